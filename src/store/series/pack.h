/* store/series/pack.h - pack bodies: all points of one owner for one drain, as columns.
 *
 *   0 u8 version   1 u8 flags (8 split)   2 u16 0   4 u32 n points   8 u32 raw length of the directory   12 u32 crc32c over the
 *   row's owner, w0 and n, then bytes 0..11 and 16..end
 *   16  directory = varint ngroups | per group: varint n, len(step), len(ts), raw length and frame length of its values (frame length 0
 *       when not split), step column, ts column, varint nkeys, per key: varint key id, u8 flags (1 NaN list), u8 mode, u8 exponent,
 *       varint duplicates dropped, f64 first, last, min, max, varint length of its value column
 *   not split: one zstd frame of directory and value columns; the u32 at 8 is the length of both together
 *   split (values above 64 KB): u32 length of the directory's frame | frame | one frame of values per group
 *
 * A group is a set of keys with identical (step, timestamp) vectors. Points of a key are sorted by point_cmp() and free of exact
 * duplicates. min and max leave NaN out and are NaN when nothing is left.
 * Ownership: a reader borrows the body and allocates in the caller's arena.
 * Thread rule: a packer and a reader belong to one thread at a time. */
#ifndef CAIRN_STORE_SERIES_PACK_H
#define CAIRN_STORE_SERIES_PACK_H

#include "store/series/body.h"
#include "store/series/cols.h"

enum { PACK_POINTS_MAX = 1 << 21, PACK_BODY_MAX = 256 << 20 };

/* A point as a tail keeps it. */
struct tail_point {
    struct point p;
    uint32_t key;
    uint32_t pad;
};

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

struct packer;
struct packer *packer_new(void); /* NULL when memory is out */
void packer_free(struct packer *pk);
/* Starts a pack of up to n points. */
enum status packer_begin(struct packer *pk, size_t n, struct err *err);
void packer_add(struct packer *pk, const struct tail_point *p, size_t n);
/* So many more points of a key were dropped as duplicates before: counted in its directory entry. Before packer_end(). */
enum status packer_duplicates(struct packer *pk, uint32_t key, int64_t n, struct err *err);
/* Encodes; *body is valid until the next begin. *n: points stored. */
enum status packer_end(struct packer *pk, int64_t owner, int64_t w0, struct str *body, int64_t *n,
                       struct err *err);
/* After packer_end(): points of the key that has most of them. */
size_t packer_key_max(const struct packer *pk);

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

struct pack_key {
    uint32_t key;
    struct col_head head;
    uint32_t group;
    int64_t duplicates;
    double first, last, min, max;
    size_t values_at, values_n; /* inside the group's values */
};
struct pack_group {
    size_t n;
    struct str steps, timestamps;
    struct str values; /* inflated on first use when split */
    struct str frame;
    size_t values_n;
};
struct pack_reader {
    struct arena *arena;
    struct pack_group *groups;
    size_t groups_n;
    struct pack_key *keys;
    size_t keys_n;
};
/* Checks and reads the directory. ST_CORRUPT on damage. n is the row's column. */
enum status pack_open(struct pack_reader *r, struct arena *a, struct str body, int64_t owner,
                      int64_t w0, int64_t n, struct err *err);
/* NULL if the pack has no points of that key. */
const struct pack_key *pack_find(const struct pack_reader *r, uint32_t key);
size_t pack_key_n(const struct pack_reader *r, const struct pack_key *k);
/* Steps and timestamps of pack_key_n() points, in order; values are left alone. */
enum status pack_read_times(struct pack_reader *r, const struct pack_key *k, struct point *out,
                            struct err *err);
/* The values of points that pack_read_times() has filled. */
enum status pack_read_values(struct pack_reader *r, const struct pack_key *k, struct point *out,
                             struct err *err);
/* Fills pack_key_n() points, in order. */
enum status pack_read(struct pack_reader *r, const struct pack_key *k, struct point *out,
                      struct err *err);

#endif
