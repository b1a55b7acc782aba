/* core/typed/others.h - nodes of other protocols (runs, models, data sets of MLflow) as nodes of declared types, where the server shows
 * them: in the namespace `default`, where they have had numbers from the first day. They are read through their owners, never copied;
 * events, attributions and associations may name them, everything else is refused.
 * Thread rule: as typed.h. */
#ifndef CAIRN_CORE_TYPED_OTHERS_H
#define CAIRN_CORE_TYPED_OTHERS_H

#include "core/typed/typed.h"

enum {
    TYPED_OTHER_TYPES = 1000000000, /* added to the id of a type: its number */
    TYPED_OTHER_LOOK_MAX = 100000
};

static inline bool typed_is_other(int64_t type_uid)
{
    return type_uid > 0 && type_uid <= TYPE_MODEL;
}

/* The next type of a kind after `at` (0 at first), in the order of their numbers; false after the last. */
bool typed_other_types(enum node_kind kind, size_t *at, struct typed_type *out);
/* ST_NOT_FOUND without text. name p NULL: by number. */
enum status typed_other_type(enum node_kind kind, struct str name, int64_t id,
                             struct typed_type *out);
enum status typed_other_node(struct typed_space *s, enum node_kind kind, int64_t id,
                             struct typed_node *out, struct err *err);
/* By the name that the node has here: the id of a run or a logged model, the name of a registered model. */
enum status typed_other_named(struct typed_space *s, const struct typed_type *type, struct str name,
                              struct typed_node *out, struct err *err);
/* What a node of which only the row is known has: name, state, properties. */
enum status typed_other_dress(struct typed_space *s, struct typed_node *n, struct err *err);
/* A list with a filter, which is asked of what nodes of other protocols show, and of the others' rows. ST_TOO_BIG where more than
 * TYPED_OTHER_LOOK_MAX of them would have to be looked at. */
enum status typed_other_list(struct typed_space *s, const struct nodelist *in,
                             struct typed_node **out, size_t *n, struct err *err);
/* The error for what a client may not do with it: ST_INVALID_STATE. */
enum status typed_other_refused(struct err *err);

#endif
