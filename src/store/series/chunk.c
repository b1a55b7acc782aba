/* store/series/chunk.c - see chunk.h. Encoding costs about 40 ns a point, decoding 20, most of it zstd. */
#include "store/series/chunk.h"

#include "base/hash.h"
#include "base/mem.h"

#include <math.h>

enum { HEADER_N = 16, RAW_PER_POINT = 30, RAW_FIXED = 64, BODY_MAX = 4 << 20, HEAD_KEYS = 20 };

/* ---- the summary ---------------------------------------------------------------------------------------------------------- */

static bool is_minus_zero(double v)
{
    return num_double_bits(v) == num_double_bits(-0.0);
}

void chunk_summary(struct chunk_head *h, const struct point *p, size_t n)
{
    double nan = num_canonical_nan();

    *h = (struct chunk_head){ .lvl = h->lvl,
                              .c = h->c,
                              .t0 = p[0].timestamp_ms,
                              .t1 = p[n - 1].timestamp_ms,
                              .s0 = p[0].step,
                              .s1 = p[0].step,
                              .n = (int64_t)n,
                              .flags = CHUNK_MONOTONE,
                              .vmin = nan,
                              .vmax = nan,
                              .vfirst = p[0].value,
                              .vlast = p[n - 1].value };
    for (size_t i = 0; i < n; i++) {
        h->s0 = MIN_OF(h->s0, p[i].step);
        h->s1 = MAX_OF(h->s1, p[i].step);
        if (i > 0 && p[i].step < p[i - 1].step) h->flags &= ~(int64_t)CHUNK_MONOTONE;
        if (isnan(p[i].value)) {
            h->nnan++;
            continue;
        }
        h->vsum += p[i].value;
        if (isnan(h->vmin) || p[i].value < h->vmin) {
            h->vmin = p[i].value;
            h->smin = p[i].step;
            h->tmin = p[i].timestamp_ms;
        }
        if (isnan(h->vmax) || p[i].value > h->vmax) {
            h->vmax = p[i].value;
            h->smax = p[i].step;
            h->tmax = p[i].timestamp_ms;
        }
    }
    if (h->nnan == h->n || isnan(h->vsum)) h->vsum = nan;
    if (h->vsum == 0) h->vsum = 0; /* SQL has one zero */
    h->flags |= (h->nnan ? CHUNK_NAN : 0) | (is_minus_zero(h->vmin) ? CHUNK_MINUS_MIN : 0) |
                (is_minus_zero(h->vmax) ? CHUNK_MINUS_MAX : 0) |
                (is_minus_zero(h->vfirst) ? CHUNK_MINUS_FIRST : 0) |
                (is_minus_zero(h->vlast) ? CHUNK_MINUS_LAST : 0);
}

void chunk_head_loaded(struct chunk_head *h)
{
    if ((h->flags & CHUNK_MINUS_MIN) && h->vmin == 0) h->vmin = -0.0;
    if ((h->flags & CHUNK_MINUS_MAX) && h->vmax == 0) h->vmax = -0.0;
    if ((h->flags & CHUNK_MINUS_FIRST) && h->vfirst == 0) h->vfirst = -0.0;
    if ((h->flags & CHUNK_MINUS_LAST) && h->vlast == 0) h->vlast = -0.0;
}

struct point chunk_lower(const struct chunk_head *h)
{
    struct point first, last;

    return chunk_ends(h, &first, &last)
               ? first
               : (struct point){ .step = INT64_MIN, .timestamp_ms = h->t0, .value = -HUGE_VAL };
}

struct point chunk_upper(const struct chunk_head *h)
{
    struct point first, last;

    return chunk_ends(h, &first, &last)
               ? last
               : (struct point){ .step = INT64_MAX, .timestamp_ms = h->t1, .value = HUGE_VAL };
}

/* ---- the checksum --------------------------------------------------------------------------------------------------------- */

static int64_t value_bits(double v)
{
    if (isnan(v)) v = num_canonical_nan();
    if (v == 0) v = 0;
    return (int64_t)num_double_bits(v);
}

static uint32_t head_crc(int64_t owner, uint32_t key, const struct chunk_head *h)
{
    int64_t keys[HEAD_KEYS] = { owner,
                                (int64_t)key,
                                h->lvl,
                                h->t0,
                                h->c,
                                h->t1,
                                h->s0,
                                h->s1,
                                h->n,
                                h->nnan,
                                h->flags,
                                h->smin,
                                h->tmin,
                                h->smax,
                                h->tmax,
                                value_bits(h->vmin),
                                value_bits(h->vmax),
                                value_bits(h->vsum),
                                value_bits(h->vfirst),
                                value_bits(h->vlast) };

    return body_crc_keys(keys, ARRAY_N(keys));
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------ */

void chunker_init(struct chunker *ck)
{
    *ck = (struct chunker){ 0 };
    buf_init(&ck->steps, BODY_MAX);
    buf_init(&ck->times, BODY_MAX);
    buf_init(&ck->values, BODY_MAX);
    buf_init(&ck->raw, BODY_MAX);
}

void chunker_release(struct chunker *ck)
{
    buf_release(&ck->steps);
    buf_release(&ck->times);
    buf_release(&ck->values);
    buf_release(&ck->raw);
    mem_free(ck->scratch);
    zip_release(&ck->zip);
    chunker_init(ck);
}

static enum status raw_of(struct chunker *ck, const struct point *p, size_t n, int64_t duplicates,
                          struct col_head *col, struct err *err)
{
    enum status st;

    if (n > ck->scratch_n) {
        size_t cap = MAX_OF(n, (size_t)CHUNK_POINTS * 2);
        double *scratch = (double *)mem_realloc(ck->scratch, cap * sizeof(*scratch));

        if (!scratch) {
            return err_nomem(err);
        }
        ck->scratch = scratch;
        ck->scratch_n = cap;
    }
    buf_clear(&ck->steps);
    buf_clear(&ck->times);
    buf_clear(&ck->values);
    buf_clear(&ck->raw);
    col_put_steps(&ck->steps, p, n);
    col_put_timestamps(&ck->times, p, n);
    col_put_values(&ck->values, p, n, ck->scratch, col);
    st = buf_status(&ck->steps, "chunk steps", err);
    if (!st) st = buf_status(&ck->times, "chunk timestamps", err);
    if (!st) st = buf_status(&ck->values, "chunk values", err);
    if (st) return st;
    buf_put_varint(&ck->raw, ck->steps.n);
    buf_put_varint(&ck->raw, ck->times.n);
    buf_put_varint(&ck->raw, (uint64_t)duplicates);
    buf_put_str(&ck->raw, buf_str(&ck->steps));
    buf_put_str(&ck->raw, buf_str(&ck->times));
    buf_put_str(&ck->raw, buf_str(&ck->values));
    return buf_status(&ck->raw, "chunk", err);
}

enum status chunk_encode(struct chunker *ck, int64_t owner, uint32_t key, struct chunk_head *h,
                         const struct point *p, size_t n, int64_t duplicates, struct buf *out,
                         struct err *err)
{
    size_t at = out->n;
    struct col_head col;
    uint32_t crc;
    enum status st;

    CHECK(n > 0 && n <= CHUNK_POINTS_MAX && duplicates >= 0);
    chunk_summary(h, p, n);
    st = raw_of(ck, p, n, duplicates, &col, err);
    if (st) return st;
    buf_put_u8(out, BODY_VERSION);
    buf_put_u8(out, col.flags);
    buf_put_u8(out, col.mode);
    buf_put_u8(out, col.exponent);
    buf_put_u32(out, (uint32_t)n);
    buf_put_u32(out, (uint32_t)ck->raw.n);
    buf_put_u32(out, 0);
    st = zip_put(&ck->zip, out, buf_str(&ck->raw), err);
    if (!st) st = buf_status(out, "chunks", err);
    if (st) return st;
    crc = crc32c(head_crc(owner, key, h), out->p + at, HEADER_N - 4);
    body_patch_u32(out, at + HEADER_N - 4,
                   crc32c(crc, out->p + at + HEADER_N, out->n - at - HEADER_N));
    return OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

static enum status damaged(struct err *err, int64_t owner, uint32_t key, const struct chunk_head *h,
                           const char *what)
{
    return err_set(err, ST_CORRUPT, "chunk %lld.%lld of owner %lld, key %u: %s", (long long)h->t0,
                   (long long)h->c, (long long)owner, key, what);
}

enum status chunk_head_check(const struct chunk_head *h, int64_t owner, uint32_t key,
                             struct err *err)
{
    bool sound = h->n > 0 && h->n <= CHUNK_POINTS_MAX && h->nnan >= 0 && h->nnan <= h->n &&
                 h->t0 <= h->t1 && h->s0 <= h->s1 && (h->flags & ~(int64_t)CHUNK_FLAGS_ALL) == 0;

    return sound ? OK : damaged(err, owner, key, h, "bad columns");
}

/* The ends are compared with the columns; the whole summary is the checker's to compare. */
static bool is_sound(const struct chunk_head *h, const struct point *p, size_t n)
{
    if (p[0].timestamp_ms != h->t0 || p[n - 1].timestamp_ms != h->t1 ||
        value_bits(p[0].value) != value_bits(h->vfirst) ||
        value_bits(p[n - 1].value) != value_bits(h->vlast)) {
        return false;
    }
    for (size_t i = 1; i < n; i++) {
        if (point_cmp(&p[i - 1], &p[i]) >= 0) {
            return false;
        }
    }
    return true;
}

enum status chunk_decode(struct arena *scratch, struct str body, int64_t owner, uint32_t key,
                         const struct chunk_head *h, struct point *out, int64_t *duplicates,
                         struct err *err)
{
    struct rd r = rd_of(body.p, body.n), steps, times, values;
    struct col_head col;
    uint64_t steps_n, times_n, dup;
    uint32_t n, raw_n, want, crc;
    struct str raw, part;
    uint8_t version;
    enum status st = chunk_head_check(h, owner, key, err);

    if (st) return st;
    version = rd_u8(&r);
    col.flags = rd_u8(&r);
    col.mode = rd_u8(&r);
    col.exponent = rd_u8(&r);
    n = rd_u32(&r);
    raw_n = rd_u32(&r);
    want = rd_u32(&r);
    if (r.bad || version != BODY_VERSION || (int64_t)n != h->n ||
        raw_n > (uint64_t)n * RAW_PER_POINT + RAW_FIXED) {
        return damaged(err, owner, key, h, "bad header");
    }
    crc = crc32c(head_crc(owner, key, h), body.p, HEADER_N - 4);
    if (crc32c(crc, body.p + HEADER_N, body.n - HEADER_N) != want) {
        return damaged(err, owner, key, h, "checksum differs");
    }
    st = zip_get(scratch, str_of(body.p + HEADER_N, body.n - HEADER_N), raw_n, &raw, err);
    if (st) return st;
    r = rd_of(raw.p, raw.n);
    steps_n = rd_varint(&r);
    times_n = rd_varint(&r);
    dup = rd_varint(&r);
    part = rd_bytes(&r, steps_n);
    steps = rd_of(part.p, part.n);
    part = rd_bytes(&r, times_n);
    times = rd_of(part.p, part.n);
    values = r;
    if (r.bad || dup > INT64_MAX) {
        return damaged(err, owner, key, h, "bad lengths");
    }
    col_get_steps(&steps, out, n);
    col_get_timestamps(&times, out, n);
    col_get_values(&values, &col, out, n);
    if (steps.bad || times.bad || values.bad || rd_left(&steps) != 0 || rd_left(&times) != 0 ||
        !is_sound(h, out, n)) {
        return damaged(err, owner, key, h, "bad columns inside");
    }
    if (duplicates) *duplicates = (int64_t)dup;
    return OK;
}
