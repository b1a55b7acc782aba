/* store/series/chunk.h - chunks: a long stretch of one series, as columns behind a summary.
 * The columns of the row are the summary and its only copy: who wants a chart reads them and leaves the body alone, which lies
 * in a table of its own (chunk.id = chunk_body.id).
 *
 * body:
 *   0 u8 version   1 u8 flags (1 NaN list)   2 u8 value mode   3 u8 exponent   4 u32 n   8 u32 raw length   12 u32 crc32c over the
 *   row's owner, key, lvl, t0, c, t1, s0, s1, n, nnan, flags, smin, tmin, smax, tmax and the bits of vmin, vmax, vsum, vfirst,
 *   vlast (8 bytes each, little-endian; NULL as the canonical NaN, -0.0 as 0.0), then bytes 0..11 and 16..end
 *   16 zstd frame of: varint length of the step column | varint length of the timestamp column | varint duplicates dropped
 *      | step column | timestamp column | value column (cols.h, NaN list included)
 *
 * Points are sorted by point_cmp() and free of exact duplicates. flags of the row: CHUNK_NAN and CHUNK_MONOTONE, and four
 * that say that a value column, which SQL keeps as 0.0, is -0.0.
 * Ownership: a chunker owns its buffers; a decoder allocates in the caller's arena only.
 * Thread rule: a chunker belongs to one thread at a time; the rest is pure. */
#ifndef CAIRN_STORE_SERIES_CHUNK_H
#define CAIRN_STORE_SERIES_CHUNK_H

#include "store/series/body.h"
#include "store/series/cols.h"

/* CHUNK_POINTS: what a merge cuts; CHUNK_POINTS_MAX: what a reader takes. */
enum { CHUNK_LVL_EXACT = 1, CHUNK_POINTS = 2048, CHUNK_POINTS_MAX = 65536 };
enum chunk_flags {
    CHUNK_NAN = 1,      /* some point is NaN */
    CHUNK_MONOTONE = 2, /* the step never decreases in the order of the points */
    CHUNK_MINUS_MIN = 4,
    CHUNK_MINUS_MAX = 8,
    CHUNK_MINUS_FIRST = 16,
    CHUNK_MINUS_LAST = 32,
    CHUNK_FLAGS_ALL = 63
};

/* The columns of a row but owner, key and body. Values that SQL has as NULL are NaN here. */
struct chunk_head {
    int64_t lvl, t0, c, t1, s0, s1;
    int64_t n, nnan;
    int64_t flags;
    double vmin, vmax,
        vsum; /* NaN when every point is NaN; vsum also when infinities of both signs meet */
    int64_t smin, tmin, smax,
        tmax; /* step and time of the first point that has vmin, vmax; 0 without one */
    double vfirst, vlast;
    int64_t id; /* of the body; not part of the summary */
};

/* Sums up n > 0 points in order; c and lvl are the caller's. */
void chunk_summary(struct chunk_head *h, const struct point *p, size_t n);
/* Sets the signs that SQL has lost, after the columns were read. */
void chunk_head_loaded(struct chunk_head *h);
/* What SQL is given for a value column: NULL for NaN. */
static inline const double *chunk_value(const double *v)
{
    return *v != *v ? NULL : v;
}

/* When CHUNK_MONOTONE is set, the first and the last point are known without the body. */
static inline bool chunk_ends(const struct chunk_head *h, struct point *first, struct point *last)
{
    *first = (struct point){ h->s0, h->t0, h->vfirst };
    *last = (struct point){ h->s1, h->t1, h->vlast };
    return (h->flags & CHUNK_MONOTONE) != 0;
}
/* No point of the chunk comes before the first, none after the second: known from the columns. They are points of the chunk when
 * CHUNK_MONOTONE is set. */
struct point chunk_lower(const struct chunk_head *h);
struct point chunk_upper(const struct chunk_head *h);
/* True when every point of a comes before every point of b; in doubt false. */
static inline bool chunk_before(const struct chunk_head *a, const struct chunk_head *b)
{
    struct point x = chunk_upper(a), y = chunk_lower(b);

    return point_cmp(&x, &y) < 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

struct chunker {
    struct buf steps, times, raw, values;
    double *scratch;
    size_t scratch_n;
    struct zip zip;
};
void chunker_init(struct chunker *ck);
void chunker_release(struct chunker *ck);
/* Appends the body of n points (at most CHUNK_POINTS_MAX, in order, no duplicates) to out and fills *h, whose lvl and c are
 * given. duplicates: how many more were received. */
enum status chunk_encode(struct chunker *ck, int64_t owner, uint32_t key, struct chunk_head *h,
                         const struct point *p, size_t n, int64_t duplicates, struct buf *out,
                         struct err *err);

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

/* ST_CORRUPT when the columns cannot be those of a chunk (n, for one, is a size to allocate). */
enum status chunk_head_check(const struct chunk_head *h, int64_t owner, uint32_t key,
                             struct err *err);
/* Fills h->n points, in order. The columns and the body are checked against each other. *duplicates may be NULL. */
enum status chunk_decode(struct arena *scratch, struct str body, int64_t owner, uint32_t key,
                         const struct chunk_head *h, struct point *out, int64_t *duplicates,
                         struct err *err);

#endif
