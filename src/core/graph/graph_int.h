/* core/graph/graph_int.h - shared by the files of the graph. */
#ifndef CAIRN_CORE_GRAPH_GRAPH_INT_H
#define CAIRN_CORE_GRAPH_GRAPH_INT_H

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
    int64_t edges, members, parents, nodes, gone, same;
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

/* The nodes that a text names, at most GRAPH_STARTS_MAX. */
enum status graph_find(struct view *v, const struct graph_query *q, struct str text, int64_t **uids,
                       size_t *n, struct err *err);
/* Fills what lies in rows: uid, type and distance are set. */
enum status graph_describe(struct view *v, struct graph_node *nodes, size_t n, bool details,
                           struct err *err);
enum status graph_details(struct view *v, struct graph_node *nodes, size_t n, struct err *err);
/* The data sets or the place of files that a text names; by rows of v->conn only, so that a write can ask. */
enum status graph_find_data(struct view *v, struct str text, const char *field, int64_t **uids,
                            size_t *n, struct err *err);
struct walk graph_walk(const struct graph_query *q, const int64_t *starts, size_t n);

#endif
