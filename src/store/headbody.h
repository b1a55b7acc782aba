/* store/headbody.h - the body of a runhead row: latest metrics, params, tags, and the stamps of all mutable cells.
 *
 *   u8 version | u8 flags (1 zstd) | u16 0 | u32 raw length | u32 crc32c over run, exp, rid, then bytes 0..7 and 12..end | raw, or a
 *   zstd frame of it
 *   raw   = stamps of name, status, end, lifecycle | varint n, metrics | varint n, params | varint n, tags; each by rising key id
 *   stamp = varint epoch | varint x | varint seq | varint ordinal
 *   metric = varint key | f64 value | zigzag timestamp | zigzag step | f64 min | f64 max | zigzag min_step | zigzag max_step | varint n
 *   param = varint key | varint length, bytes          tag = varint key | u8 flags (1 gone) | stamp | varint length, bytes
 *
 * Ownership: decoded texts lie in the arena. Thread rule: pure functions. */
#ifndef CAIRN_STORE_HEADBODY_H
#define CAIRN_STORE_HEADBODY_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/series/point.h"

struct zip;

enum { HEAD_BODY_MAX = 64 << 20 };

/* When a mutable cell was written; a change is applied only if its stamp is greater. x stays 0 while a store has one
 * writer, whose seq is then the order of commits. */
struct stamp {
    int64_t epoch;
    uint64_t x;
    int64_t seq;
    uint32_t ordinal;
};
static inline bool stamp_after(const struct stamp *a, const struct stamp *b)
{
    if (a->epoch != b->epoch) return a->epoch > b->epoch;
    if (a->x != b->x) return a->x > b->x;
    return a->seq != b->seq ? a->seq > b->seq : a->ordinal > b->ordinal;
}

/* The newest point of a key and the extremes of its series. min and max are NaN while there is no other value; of equal
 * extremes the smallest step counts, so that the result does not depend on the order of arrival. */
struct metric_cell {
    struct point last;
    double min, max;
    int64_t min_step, max_step;
    int64_t n;
};
/* Takes one more point in; zero n = empty cell. */
void metric_cell_add(struct metric_cell *m, const struct point *p);

struct body_metric {
    uint32_t key;
    struct metric_cell m;
};
struct body_param {
    uint32_t key;
    struct str value;
};
struct body_tag {
    uint32_t key;
    bool gone;
    struct stamp at;
    struct str value;
};
struct head_body {
    struct stamp name_at, status_at, end_at, lifecycle_at;
    struct body_metric *metrics;
    size_t metrics_n;
    struct body_param *params;
    size_t params_n;
    struct body_tag *tags;
    size_t tags_n;
};

/* What the CRC covers beside the body. */
struct head_keys {
    int64_t run, exp;
    struct str rid;
};
/* Pieces of the raw body, in order: stamps, then each section. */
void head_put_stamp(struct buf *raw, const struct stamp *s);
void head_put_metric(struct buf *raw, uint32_t key, const struct metric_cell *m);
void head_put_param(struct buf *raw, uint32_t key, struct str value);
void head_put_tag(struct buf *raw, uint32_t key, bool gone, const struct stamp *at,
                  struct str value);
/* Wraps a finished raw body. */
enum status head_body_finish(struct zip *z, const struct buf *raw, const struct head_keys *keys,
                             struct buf *out, struct err *err);
/* ST_CORRUPT on damage. */
enum status head_body_decode(struct arena *a, struct str body, const struct head_keys *keys,
                             struct head_body *out, struct err *err);

#endif
