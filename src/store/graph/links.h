/* store/graph/links.h - the links of the lineage graph in memory, both ways, for walks that touch many of them.
 * A link is an interval: from the moment it was recorded until it was taken back, if it was. Nodes are their uid.
 *
 *     struct links *l = links_new();
 *     st = links_add(l, facts, n, &err);              // as they come from the logs, in their order
 *     st = links_walk(l, &(struct walk){ .starts = &uid, .starts_n = 1, .direction = WALK_DOWN }, &found, &err);
 *
 * What links_add() takes lies in a small log beside the packed base; the base is made anew when the log has grown to a part of it, so
 * adding costs little and a walk reads packed rows.
 * A base holds 30 bytes a link and 8 a node number; node numbers above LINKS_UID_MAX are refused.
 * Ownership: the caller owns the links, and releases what walks give.
 * Thread rule: links_add() and links_free() by one thread while nobody walks; walks by any number of threads at once. */
#ifndef CAIRN_STORE_GRAPH_LINKS_H
#define CAIRN_STORE_GRAPH_LINKS_H

#include "base/arena.h"

enum { LINK_ROLE_MAX = 63 };
#define LINKS_UID_MAX ((int64_t)UINT32_MAX - 1)
#define LINKS_NO_TIME INT64_MAX

/* One row of a log. A fact that repeats a link that stands is nothing, and so is one that takes back what does not. */
struct link_fact {
    int64_t src, dst;
    uint8_t role; /* 0 .. LINK_ROLE_MAX, the caller's */
    bool gone;    /* the link is taken back */
    bool aside;   /* of a fact that sets: a walk may leave such links out (an evaluation, say) */
    int64_t claimed_ms, seen_ms;
};

struct links;
/* NULL when memory is out. */
struct links *links_new(void);
void links_free(struct links *l); /* NULL-safe */
/* All or nothing. ST_INVALID for a node number that does not fit. */
enum status links_add(struct links *l, const struct link_fact *facts, size_t n,
                      struct err *err) ATTR_CHECK;
/* After much was added: the log goes into the base now, if there is memory for it. */
void links_pack(struct links *l);
/* Links that ever stood, and the bytes they take. */
size_t links_n(const struct links *l);
size_t links_bytes(const struct links *l);
/* One more than the highest node number. */
size_t links_top(const struct links *l);

enum walk_direction { WALK_UP, WALK_DOWN };
enum walk_time { WALK_RECORDED, WALK_CLAIMED };

struct walk {
    const int64_t *starts;
    size_t starts_n;
    enum walk_direction direction;
    uint64_t roles; /* bit 1 << role: links that are followed; 0 = all */
    uint64_t
        still; /* the same, of links that are walked at no distance; each is there both ways, in whatever roles */
    /* By the role over which a node was found: roles of `still` that are not walked from there. LINK_ROLE_MAX + 1 of them; NULL = none. */
    const uint64_t *barred;
    bool skip_aside; /* leaves out links that are aside */
    bool brief;      /* found.from and found.role are not wanted: they may be NULL */
    bool has_as_of;  /* only links that stood at as_of_ms */
    int64_t as_of_ms;
    enum walk_time time; /* which of the two times as_of_ms is compared with */
    unsigned depth;      /* links from the start; 0 = any */
    size_t nodes_max;    /* 0 = any; beyond: partial */
    int64_t deadline_ms; /* monotonic; 0 = none; beyond: partial */
    /* Asked about each link that passes all that and leads on from `from`; NULL = all are followed. Under the caller's locks. */
    bool (*follow)(void *ctx, uint32_t from, uint32_t to, uint8_t role);
    void *ctx;
};

/* In order of distance; the starts come first, at distance 0, each with what lies at no distance. A node is found once, over a shortest way; where several ways are
 * shortest, over the node that was found first. */
struct walk_found {
    uint32_t *nodes;
    uint32_t *from;     /* index of the node it was found from; of a start its own */
    uint8_t *role;      /* of that link; of a start 0 */
    uint16_t *distance; /* 65535 means that or more */
    size_t n;
    size_t cap;
    bool partial; /* more is there: nodes_max or deadline_ms ended the walk */
};
/* After an error *out is empty. */
enum status links_walk(const struct links *l, const struct walk *w, struct walk_found *out,
                       struct err *err) ATTR_CHECK;
void walk_found_release(struct walk_found *f);

/* The links of one node against or along the direction, as a walk would follow them, each once, at most max; how many there are in all. */
struct link_end {
    uint32_t node;
    uint8_t role;
    bool aside;
    int64_t claimed_ms, seen_ms;
};
size_t links_of(const struct links *l, int64_t node, const struct walk *w, struct link_end *out,
                size_t max);

/* A shortest way from one node to another along w->direction, both ends included; *n 0 when there is none. Only direction, roles,
 * still, skip_aside, times, depth, deadline_ms and follow of *w count. role[i] is the link from nodes[i] to nodes[i + 1]. */
struct link_path {
    uint32_t *nodes;
    uint8_t *role; /* the last one is 0 */
    size_t n;
    bool partial; /* the deadline came first: there may be a way */
};
enum status links_path(const struct links *l, int64_t from, int64_t to, const struct walk *w,
                       struct arena *a, struct link_path *out, struct err *err) ATTR_CHECK;

#endif
