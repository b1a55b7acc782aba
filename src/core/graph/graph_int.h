/* core/graph/graph_int.h - shared by the files of the graph. */
#ifndef CAIRN_CORE_GRAPH_GRAPH_INT_H
#define CAIRN_CORE_GRAPH_GRAPH_INT_H

#include "base/map.h"
#include "core/graph/graph.h"
#include "store/graph/links.h"

struct graph {
    struct core *core;
    struct graph_options o;
    char *file;       /* o.file */
    struct lock load; /* one thread brings the graph up to date */
    struct rwlock lock;
    struct links *links;
    uint16_t *types; /* by uid: enum node_type; 0 = a run, or nothing */
    size_t types_n;
    /* load's: up to where the logs are in memory */
    int64_t edges, members, parents, nodes, gone, same, columns;
    bool opened;    /* the stored base was looked for */
    bool saving;    /* a job is on its way */
    size_t unsaved; /* facts behind the stored base */
    struct read_job save;
};

/* The stored base (base.c), under `load`. Reads it, if there is one that is of these logs; else the graph stays empty. */
void graph_base_open(struct view *v, struct graph *g);
/* Has it written in the background, when enough is new. */
void graph_base_save_soon(struct graph *g);

/* Brings the graph up to what the view sees, and holds it for reading until rwlock_give(&g->lock). */
enum status graph_hold(struct view *v, struct graph **out, struct err *err);
/* Under the lock. */
enum node_type graph_type(const struct graph *g, uint32_t uid);

/* Alike siblings among what a walk found (group.c). Without q->group and q->expand there are none. */
struct group_of {
    uint64_t key;
    size_t n, shown; /* shown: in the answer */
    size_t under;    /* what its first node was found from */
    enum node_type type;
    unsigned role;
    bool open; /* expanded */
};
struct groups {
    const struct graph_query *q;
    struct int_map by_key;
    struct group_of *all;
    size_t n, cap;
    uint32_t *of; /* by place in the walk; UINT32_MAX = alone */
};
/* still: as in the walk that found them. */
enum status groups_make(struct groups *x, const struct graph *g, const struct graph_query *q,
                        const struct walk_found *f, uint64_t still, struct err *err);
void groups_release(struct groups *x);
/* Whether the node at place i is given, which counts it; *key: its group, or 0. */
bool groups_take(struct groups *x, size_t i, uint64_t *key);
/* The groups of which something was given and something was not. */
enum status groups_give(struct view *v, const struct groups *x, const struct walk_found *f,
                        struct graph_answer *out, struct err *err);

/* The nodes that a text names, at most GRAPH_STARTS_MAX. */
struct graph_starts {
    int64_t *uids;
    size_t n;
    bool
        columns; /* a column is asked for: its nodes, and data sets whose schema has it that nothing was said of by column */
};
enum status graph_find(struct view *v, const struct graph_query *q, struct str text,
                       struct graph_starts *out, struct err *err);
/* Fills what lies in rows: uid, type and distance are set. */
enum status graph_describe(struct view *v, struct graph_node *nodes, size_t n, bool details,
                           struct err *err);
enum status graph_details(struct view *v, struct graph_node *nodes, size_t n, struct err *err);
/* The data sets or the place of files that a text names; by rows of v->conn only, so that a write can ask. */
enum status graph_find_data(struct view *v, struct str text, const char *field, int64_t **uids,
                            size_t *n, struct err *err);
/* The same, and places and artifacts by their numbers: what can be said to be the same. */
enum status graph_find_same(struct view *v, struct str text, const char *field, int64_t **uids,
                            size_t *n, struct err *err);
/* Which links a question follows: columns->g must be set for those that begin at a column, or ask for columns. */
struct column_walk {
    const struct graph *g;
    const struct graph_query *q;
};
struct walk graph_walk(const struct graph_query *q, const struct graph_starts *starts,
                       struct column_walk *columns);
/* What a walk follows by column, or not at all; starts may be NULL. */
void column_walk_set(struct walk *w, const struct graph_starts *starts, struct column_walk *c);
/* The role of a link by what column_edge_log calls it. */
unsigned column_role(struct str kind);

#endif
