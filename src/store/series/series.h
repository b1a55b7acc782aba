/* store/series/series.h - metric points: tails in memory, packs and chunks in SQL, and reading all three.
 * A point is durable in the log when it is acknowledged; it then lies in the tail of its owner (a run or a model series)
 * until a drain writes it to a pack, and a merge moves long series on to chunks. All tails together have a cap. Reads take the
 * tail first, then packs and chunks of one snapshot (parts.h), so a drain or merge in between can only show a point twice, and
 * exact duplicates are dropped anyway.
 * Room is reserved in validate(), so that the append after the commit cannot fail.
 * Ownership: the opener owns the series and with it all tails; a struct tail is valid until series_drained().
 * Thread rule: writing on the sequencer's thread, reading on any thread. */
#ifndef CAIRN_STORE_SERIES_SERIES_H
#define CAIRN_STORE_SERIES_SERIES_H

#include "base/arena.h"
#include "store/series/pack.h"

struct sql_conn;
struct series;
struct tail;

enum status series_open(struct series **out, size_t max_bytes, struct err *err);
void series_close(struct series *s); /* NULL-safe */

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

/* Room for n more points of an owner; ST_UNAVAILABLE at the cap. */
enum status series_reserve(struct series *s, int64_t owner, size_t n, struct tail **out,
                           struct err *err);
void series_unreserve(struct tail *t, size_t n);
/* Into reserved room. */
void series_append(struct series *s, struct tail *t, const struct tail_point *p, size_t n);
size_t series_bytes(const struct series *s);
size_t series_max_bytes(const struct series *s);
size_t series_points(const struct series *s);
/* Monotonic time of the oldest point in a tail; -1 when there is none. */
int64_t series_oldest_ms(const struct series *s);

/* Every owner with points, for a drain: size_t at = 0; while (series_next(s, &at, &owner)) ... */
bool series_next(struct series *s, size_t *at, int64_t *owner);
/* The pack of that owner's whole tail; *body is valid until the next call. *kn: points of its largest key. */
enum status series_pack(struct series *s, int64_t owner, int64_t w0, struct str *body, int64_t *n,
                        int64_t *kn, struct err *err);
/* Points in the tail of an owner. */
size_t series_owner_points(const struct series *s, int64_t owner);
/* The packs are committed: lets all tails go. Nothing may be reserved. */
void series_drained(struct series *s);

/* The owner is deleted for good: its tail goes. Nothing may be reserved in it. */
void series_forget(struct series *s, int64_t owner);

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

/* Points of one key in order, from after `after` (NULL: the first), at most max; *more when there are others. */
enum status series_history(struct series *s, struct sql_conn *conn, struct arena *a, int64_t owner,
                           uint32_t key, const struct point *after, size_t max, struct point **out,
                           size_t *n, bool *more, struct err *err);
/* Ids of the keys that an owner has points of, ascending. */
enum status series_keys(struct series *s, struct sql_conn *conn, struct arena *a, int64_t owner,
                        uint32_t **out, size_t *n, struct err *err);

#endif
