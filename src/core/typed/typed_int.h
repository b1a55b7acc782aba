/* core/typed/typed_int.h - shared by the files of this folder. */
#ifndef CAIRN_CORE_TYPED_TYPED_INT_H
#define CAIRN_CORE_TYPED_TYPED_INT_H

#include "core/typed/typed.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

/* The columns of a property's value; a NULL is none. Points into the property. */
struct prop_row {
    const int64_t *i;
    const double *d;
    struct str s, b;
};
struct prop_row typed_prop_row(const struct prop *x);

/* A property of a new node on its way to the store. */
struct gathered_prop {
    int64_t uid;
    const struct prop *x;
    struct prop_row row;
};

/* A put at work on the sequencer: s reads what the group has written. */
struct putter {
    struct group *g;
    struct view v;
    struct typed_space s;
    struct typed_put *put;
    struct typed_type type; /* the last one that was asked for, with its declared properties */
    bool has_type;
    /* gather.c: rows of new nodes go to the store together; typed_gather_end() follows, also before they are read. */
    bool gather;
    struct gathered_prop waiting[4];
    size_t waiting_n;
    int64_t made_first, made_last;     /* nodes whose properties are not in the log yet, 0: none */
    int64_t numbers[NODE_CONTEXT + 1]; /* the last that was given out, by kind; 0: none was */
};

/* What a new node has, once its uid is known. */
enum status typed_gather_props(struct putter *p, const struct typed_node *n, struct err *err);
/* The next number of a kind, in a namespace whose counters are rows. */
enum status typed_gather_number(struct putter *p, enum node_kind kind, int64_t *out,
                                struct err *err);
/* Everything that was gathered is in the store. */
enum status typed_gather_end(struct putter *p, struct err *err);

/* NULL: the type does not declare it. */
const struct typed_decl *typed_decl_of(const struct typed_type *t, struct str key);
enum status typed_put_types(struct putter *p, struct err *err);
/* One node, made or changed. `typed`: the type must be named even where a node is changed. force: the time of its last change moves. */
enum status typed_put_node(struct putter *p, struct typed_node *n, bool force, struct err *err);
/* Type and properties, before anything is written: what PutLineageSubgraph says first. */
enum status typed_check_node(struct putter *p, const struct typed_node *n, struct err *err);
enum status typed_put_context(struct putter *p, struct typed_node *n, struct err *err);
/* The event between two nodes that are there. */
enum status typed_put_event(struct putter *p, const struct typed_event *e, int64_t artifact,
                            int64_t execution, struct err *err);
enum status typed_put_member(struct putter *p, int64_t node, int64_t ctx, struct err *err);
enum status typed_put_edges(struct putter *p, struct err *err);
enum status typed_put_execution(struct putter *p, struct err *err);
enum status typed_put_subgraph(struct putter *p, struct err *err);

/* The next of a dense count. */
enum status typed_count(struct putter *p, const char *what, int kind, int64_t *out,
                        struct err *err);
/* The number of a new node: the one that is wanted if nothing has it, else the next. */
enum status typed_number(struct putter *p, enum node_kind kind, int64_t wanted, int64_t *out,
                         struct err *err);
/* The namespace of the put; the first that writes to one makes it. */
enum status typed_open_space(struct putter *p, struct err *err);
/* Child and parent, by their numbers. */
enum status typed_put_parent(struct putter *p, const struct typed_pair *x, struct err *err);
/* Properties of a node, of both scopes. */
enum status typed_props(struct view *v, int64_t uid, struct prop **out, size_t *n, struct err *err);
/* The same of many nodes, each of them once. */
enum status typed_props_of(struct view *v, struct typed_node *nodes, size_t n, struct err *err);
/* The steps of an event's path, from as it is stored. */
enum status typed_steps_of(struct view *v, struct str path, struct typed_event *e, struct err *err);
/* Nodes of a list as its query finds them; those of other protocols are dressed, and a filter does not know what they wear. */
enum status typed_list_rows(struct typed_space *s, const struct nodelist *in,
                            struct typed_node **out, size_t *n, struct err *err);
/* A row of nodelist as a node. */
enum status typed_from_row(struct view *v, const struct nodelist_row *row, struct typed_node *out,
                           struct err *err);

#endif
