/* core/graph/same.h - data that was recorded as two things and is one: said by somebody, with a reason, and taken back.
 * Nodes are never merged: questions walk to what is the same at no distance, as of a time if they ask for one. A name that stands for
 * several nodes (a data set of several experiments) is said for all of them. Taking back with `pin` keeps rules that work by
 * themselves (place.h) from saying it again; a person may.
 * Ownership: a change borrows everything from its arena. Thread rule: as other write operations; same_list() on pool threads. */
#ifndef CAIRN_CORE_GRAPH_SAME_H
#define CAIRN_CORE_GRAPH_SAME_H

#include "core/graph/graph.h"
#include "store/seq.h"

enum { SAME_REASON_MAX = 2000, SAME_PAIRS_MAX = 1000 };
enum same_state { SAME_STANDS = 1, SAME_PINNED = 2 };

/* Of data sets, places, artifacts and places of models. ST_NOT_FOUND names what is not there, or that the two were not said to be the same;
 * ST_INVALID for one thing with itself. What stands already is not written again. */
struct same_change {
    struct write_op op;
    struct core *core;
    struct str a, b; /* as in questions */
    struct str reason, who;
    bool undo, pin; /* pin: of undo */
    bool has_claimed;
    int64_t claimed_ms; /* since when it holds; else now */
    /* out */
    size_t changed; /* pairs */
};
void same_change_init(struct same_change *c, struct core *core, struct arena *a);

struct same_pair {
    struct graph_node *a, *b;
    enum same_state state;
    const char *rule; /* same_rule_name() */
    struct str reason, who;
    int64_t ms;
};
/* In the order of the node numbers, behind the pair (after_a, after_b); *more: there are others behind these. rule: n 0 = all. */
enum status same_list(struct view *v, struct str rule, int64_t after_a, int64_t after_b, size_t max,
                      struct same_pair **out, size_t *n, bool *more, struct err *err);

#endif
