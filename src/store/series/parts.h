/* store/series/parts.h - what some series of one owner are made of at one moment: loose points (tail and packs) and chunks.
 *
 *     parts_open(&p, series, conn, arena, owner, &want, err)    tail, then one snapshot of packs and chunk columns
 *     for (i < p.keys_n) p.keys[i].loose, .chunks               a chart: chunks that are `alone` are summed up by their head
 *     parts_chunk(&p, &p.keys[i], j, points, err)               only the others, and those at edges, are decoded
 *     parts_close(&p)
 *
 * A point moves from the tail to a pack to a chunk; the tail is copied first and packs and chunks are read in one snapshot, so
 * none is missed. One that moved meanwhile shows twice, as an exact duplicate: which is why a head may be used only when
 * `alone` is set, and whoever merges drops duplicates. Bodies of chunks are not read before they are asked for.
 * A chart of 320 buckets over 1 M points thus costs some 490 rows of columns and the chunks at the edges of its buckets.
 * Ownership: lists lie in the caller's arena; the snapshot is the connection's until parts_close().
 * Thread rule: one thread at a time, with its own connection. */
#ifndef CAIRN_STORE_SERIES_PARTS_H
#define CAIRN_STORE_SERIES_PARTS_H

#include "store/series/chunk.h"

struct series;
struct sql_conn;

/* keys in rising order, each once. Parts outside the times are left out where that is known without decoding: the caller
 * still drops points outside. */
struct parts_want {
    const uint32_t *keys;
    size_t keys_n;
    int64_t from_ms, to_ms; /* INT64_MIN, INT64_MAX: everything */
    /* For a page: only loose points after `after` (NULL: all), and of these the first loose_max (0: all) of each key. */
    const struct point *after;
    size_t loose_max;
};

struct parts_part {
    struct chunk_head head;
    struct point lower, upper; /* all its points lie between, see chunk_lower() */
    bool alone; /* no loose point and no other chunk lies between its first and its last point */
};

struct parts_key {
    uint32_t key;
    struct point *loose; /* of tail and packs, in order, exact duplicates once */
    size_t loose_n;
    struct parts_part *chunks; /* by lower */
    size_t chunks_n;
};

struct parts {
    struct parts_key *keys; /* one for each wanted, in the same order */
    size_t keys_n;
    /* Private. */
    struct series *series;
    struct sql_conn *conn;
    struct arena *arena, *scratch;
    int64_t owner;
    bool snapshot;
};

/* conn must not be in a transaction, or in one that reads. On failure nothing is left open. */
enum status parts_open(struct parts *p, struct series *s, struct sql_conn *conn, struct arena *a,
                       int64_t owner, const struct parts_want *want, struct err *err) ATTR_CHECK;
void parts_close(struct parts *p); /* a zero object is fine */
/* Fills chunks[i].head.n points, in order. ST_CORRUPT when the body is damaged: no other chunk is the worse for it. */
enum status parts_chunk(struct parts *p, const struct parts_key *k, size_t i, struct point *out,
                        struct err *err) ATTR_CHECK;

/* All points of one key, in order, exact duplicates once, decoded chunk by chunk as they are asked for. */
struct parts_cursor {
    struct parts *p;
    const struct parts_key *k;
    struct point *held, *tmp; /* decoded and in order */
    size_t at, ready,
        held_n; /* held[at..ready) can go out; before the others something may still come */
    size_t held_cap;
    size_t chunk, loose; /* next of each */
    struct point after;
    bool has_after;
};
/* From after `after` (NULL: from the first). */
void parts_cursor_open(struct parts_cursor *c, struct parts *p, const struct parts_key *k,
                       const struct point *after);
void parts_cursor_close(struct parts_cursor *c);
/* At most max points into out; *n = 0 at the end. */
enum status parts_cursor_next(struct parts_cursor *c, struct point *out, size_t max, size_t *n,
                              struct err *err) ATTR_CHECK;
/* How many points there are, duplicates between parts counted each time. */
size_t parts_key_n(const struct parts_key *k);

/* Writes a chunk, in a transaction of the writer. */
enum status series_chunk_insert(struct sql_conn *w, int64_t owner, uint32_t key,
                                const struct chunk_head *h, struct str body,
                                struct err *err) ATTR_CHECK;

#endif
