/* store/series/pieces.h - a series as pieces for a reader that need not see every point: each piece sorted, with what is known about
 * it unread.
 * A piece is a chunk, or loose points between the beginnings of two chunks (store/series/parts.h). Pieces may overlap, and the same
 * point may lie in two of them: pieces_each() merges them and gives each point once. A piece that overlaps no other may be
 * answered from its summary, so that a chart of a long series needs no decoding.
 * Ownership: pieces lie in the caller's arena and borrow from the parts, which stay open meanwhile.
 * Thread rule: that of the parts. */
#ifndef CAIRN_STORE_SERIES_PIECES_H
#define CAIRN_STORE_SERIES_PIECES_H

#include "store/series/parts.h"

struct piece {
    struct point first,
        last;       /* `ends`: its first and last point; else only their times are meant */
    int64_t s0, s1; /* smallest and largest step */
    size_t n;
    bool ends;                  /* see first */
    bool monotone;              /* steps never decrease from point to point */
    const struct point *points; /* loose, in order; NULL: a chunk, and what follows is set */
    size_t chunk;               /* its index among the parts */
    struct point low;  /* the first of the smallest values, NaN aside; NaN when nothing is left */
    struct point high; /* the same for the largest */
    double sum;        /* NaN aside */
    size_t nan_n;
};

/* All pieces of one key, sorted by where they begin. */
enum status pieces_of(const struct parts_key *k, struct arena *a, struct piece **out, size_t *n,
                      struct err *err) ATTR_CHECK;
/* True when every point of a stands before every point of b; no point can then be in both. */
bool piece_before(const struct piece *a, const struct piece *b);

/* Gives the points of n pieces (in their order, some left out) to fn in order, each once, in runs that are valid during the call.
 * What fn returns other than OK ends it. Holds as many decoded chunks as overlap. */
enum status pieces_each(struct parts *parts, const struct parts_key *k, const struct piece *p,
                        size_t n,
                        enum status (*fn)(void *ctx, const struct point *p, size_t n,
                                          struct err *err),
                        void *ctx, struct err *err) ATTR_CHECK;

#endif
