/* core/props.h - typed properties of nodes: what a tongue knows of a thing beyond its columns.
 * Scope PROP_TYPED holds the fields of the thing's type ("owner", "model_format_name"), PROP_CUSTOM what its user invented. Every
 * change is appended: for registered models and versions to the registry's history, for other nodes to prop_log.
 * Ownership: what is read lives in the view's arena. Thread rule: reads need a view, group_ functions run on the sequencer inside the
 * validate() of an operation whose kind has sql set. */
#ifndef CAIRN_CORE_PROPS_H
#define CAIRN_CORE_PROPS_H

#include "core/node.h"

/* Numbers of prop.vtype. */
enum prop_type {
    PROP_GONE = 0, /* in prop_log only */
    PROP_INT = 1,
    PROP_DOUBLE = 2,
    PROP_TEXT = 3,
    PROP_BYTES = 4,
    PROP_BOOL = 5,
    PROP_JSON = 6, /* an object or a list, as text */
    PROP_PROTO = 7 /* a message that its sender names: the URL of its type is the text */
};
struct prop {
    enum prop_scope scope;
    enum prop_type type;
    struct str key;
    int64_t i; /* PROP_INT, PROP_BOOL */
    double d;
    struct str s; /* PROP_TEXT, PROP_JSON, PROP_PROTO */
    struct str b; /* PROP_PROTO; read by core/typed only */
};
struct props {
    struct prop *p; /* by scope, then key in byte order */
    size_t n;
};

/* The typed and custom properties of a node. */
enum status node_props(struct view *v, int64_t uid, struct props *out, struct err *err);
/* NULL if there is none. */
const struct prop *props_find(const struct props *p, enum prop_scope scope, struct str key);
/* Whether two hold the same value (scope and key are not looked at). */
bool prop_same(const struct prop *a, const struct prop *b);
/* The value as people read it: 3, 0.5, true, the text. NULL p when memory is out. */
struct str prop_text(struct arena *a, const struct prop *p);

/* Where changes are written down. */
struct prop_history {
    int64_t model, version; /* uid and number: in the registry's history; model 0: in prop_log */
    struct str who;
};
/* Sets the property of a node; nothing is appended when it is there with the same value (`old`). */
enum status group_prop_set(struct group *g, int64_t uid, const struct prop *p,
                           const struct props *old, const struct prop_history *to, struct err *err);
/* Takes away one that `old` has; fine when it has not. */
enum status group_prop_drop(struct group *g, int64_t uid, enum prop_scope scope, struct str key,
                            const struct props *old, const struct prop_history *to,
                            struct err *err);

#endif
