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

/* An event on its way to the store, with the numbers that clients see. */
struct gathered_edge {
    struct q_typed_edge_rows_in row;
    int64_t artifact, execution;
};

/* A put at work on the sequencer: s reads what the group has written. */
struct putter {
    struct group *g;
    struct view v;
    struct typed_space s;
    struct typed_put *put;
    struct typed_type type; /* the last one that was asked for: its numbers, and what it declares */
    bool has_type;
    /* gather.c: what new nodes have goes to the store together; typed_gather_rows() precedes reads of nodes, typed_gather_end() the end. */
    bool gather; /* else every node goes alone */
    struct q_typed_node_rows_in *nodes;
    struct q_typed_prop_rows_in *props;
    struct gathered_edge *edges;
    struct q_typed_member_rows_in *members;
    size_t nodes_n, nodes_cap, props_n, props_cap, edges_n, edges_cap, members_n, members_cap;
    bool links_alone;                  /* links went to the store already */
    int64_t first;                     /* the first uid that this put gave, 0: none */
    int64_t made_first, made_last;     /* nodes whose properties are not in the log yet, 0: none */
    int64_t numbers[NODE_CONTEXT + 1]; /* the last that was given out, by kind; 0: none was */
};

/* A new node, which has its uid and its number. */
enum status typed_gather_node(struct putter *p, const struct typed_node *n, struct err *err);
/* Whether a link can wait that ends at this uid: one that the put itself has made, so that the link is new too. */
bool typed_gathers(const struct putter *p, int64_t uid);
enum status typed_gather_edge(struct putter *p, const struct gathered_edge *e, struct err *err);
enum status typed_gather_member(struct putter *p, int64_t ctx, int64_t node, struct err *err);
/* The next number of a kind, in a namespace whose counters are rows. */
enum status typed_gather_number(struct putter *p, enum node_kind kind, int64_t *out,
                                struct err *err);
/* Nodes and their properties are in the store. */
enum status typed_gather_rows(struct putter *p, struct err *err);
/* Everything that was gathered is, and the log of it. */
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

/* ST_EXISTS with the client's text. */
enum status typed_event_exists(int64_t artifact, int64_t execution, int64_t type, struct err *err);
/* typed_uid() of nodes that this put may have made. */
enum status typed_put_uid(struct putter *p, enum node_kind kind, int64_t id, int64_t *out,
                          struct err *err);
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
