/* store/headbody.c - see headbody.h. */
#include "store/headbody.h"

#include "base/hash.h"
#include "store/series/body.h"

#include <math.h>

enum {
    HEADER_N = 12,
    FLAG_ZSTD = 1,
    TAG_GONE = 1,
    ZSTD_FROM = 512,
    METRIC_MIN_N = 29,
    PARAM_MIN_N = 2,
    TAG_MIN_N = 7
};

static bool is_less(double v, int64_t step, double than, int64_t than_step)
{
    int c = point_value_cmp(v, than);

    return c < 0 || (c == 0 && step < than_step);
}

void metric_cell_add(struct metric_cell *m, const struct point *p)
{
    if (m->n == 0) {
        *m = (struct metric_cell){ .last = *p,
                                   .min = num_canonical_nan(),
                                   .max = num_canonical_nan() };
    } else if (point_latest_cmp(p, &m->last) > 0) {
        m->last = *p;
    }
    m->n++;
    if (isnan(p->value)) {
        return;
    }
    if (isnan(m->min) || is_less(p->value, p->step, m->min, m->min_step)) {
        m->min = p->value;
        m->min_step = p->step;
    }
    if (isnan(m->max) || point_value_cmp(p->value, m->max) > 0 ||
        (point_value_cmp(p->value, m->max) == 0 && p->step < m->max_step)) {
        m->max = p->value;
        m->max_step = p->step;
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

void head_put_stamp(struct buf *raw, const struct stamp *s)
{
    buf_put_varint(raw, (uint64_t)s->epoch);
    buf_put_varint(raw, s->x);
    buf_put_varint(raw, (uint64_t)s->seq);
    buf_put_varint(raw, s->ordinal);
}

void head_put_metric(struct buf *raw, uint32_t key, const struct metric_cell *m)
{
    buf_put_varint(raw, key);
    buf_put_u64(raw, num_double_bits(m->last.value));
    buf_put_zigzag(raw, m->last.timestamp_ms);
    buf_put_zigzag(raw, m->last.step);
    buf_put_u64(raw, num_double_bits(m->min));
    buf_put_u64(raw, num_double_bits(m->max));
    buf_put_zigzag(raw, m->min_step);
    buf_put_zigzag(raw, m->max_step);
    buf_put_varint(raw, (uint64_t)m->n);
}

void head_put_param(struct buf *raw, uint32_t key, struct str value)
{
    buf_put_varint(raw, key);
    buf_put_varint(raw, value.n);
    buf_put_str(raw, value);
}

void head_put_tag(struct buf *raw, uint32_t key, bool gone, const struct stamp *at,
                  struct str value)
{
    buf_put_varint(raw, key);
    buf_put_u8(raw, gone ? TAG_GONE : 0);
    head_put_stamp(raw, at);
    buf_put_varint(raw, value.n);
    buf_put_str(raw, value);
}

static uint32_t body_crc(const char *p, size_t n, const struct head_keys *keys)
{
    int64_t k[2] = { keys->run, keys->exp };
    uint32_t crc = body_crc_keys(k, ARRAY_N(k));

    crc = crc32c(crc, keys->rid.p, keys->rid.n);
    crc = crc32c(crc, p, HEADER_N - 4);
    return crc32c(crc, p + HEADER_N, n - HEADER_N);
}

enum status head_body_finish(struct zip *z, const struct buf *raw, const struct head_keys *keys,
                             struct buf *out, struct err *err)
{
    bool pack = raw->n >= ZSTD_FROM;
    enum status st = buf_status(raw, "run head", err);

    if (st) return st;
    buf_clear(out);
    buf_put_u8(out, BODY_VERSION);
    buf_put_u8(out, pack ? FLAG_ZSTD : 0);
    buf_put_u16(out, 0);
    buf_put_u32(out, (uint32_t)raw->n);
    buf_put_u32(out, 0);
    if (pack) {
        st = zip_put(z, out, buf_str(raw), err);
        if (st) return st;
    } else {
        buf_put_str(out, buf_str(raw));
    }
    st = buf_status(out, "run head", err);
    if (st) return st;
    body_patch_u32(out, HEADER_N - 4, body_crc(out->p, out->n, keys));
    return OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static struct stamp get_stamp(struct rd *r)
{
    struct stamp s;

    s.epoch = (int64_t)rd_varint(r);
    s.x = rd_varint(r);
    s.seq = (int64_t)rd_varint(r);
    s.ordinal = (uint32_t)rd_varint(r);
    return s;
}

/* A key id greater than the one before. */
static uint32_t get_key(struct rd *r, uint32_t before)
{
    uint64_t key = rd_varint(r);

    if (key <= before || key > UINT32_MAX) {
        r->bad = true;
    }
    return (uint32_t)key;
}

/* Number of items, at most what the bytes that are left can hold. */
static size_t get_count(struct rd *r, size_t item_min_n)
{
    uint64_t n = rd_varint(r);

    if (n > rd_left(r) / item_min_n) {
        r->bad = true;
        return 0;
    }
    return (size_t)n;
}

static bool get_metrics(struct rd *r, struct arena *a, struct head_body *out)
{
    uint32_t key = 0;

    out->metrics_n = get_count(r, METRIC_MIN_N);
    out->metrics = ARENA_ARRAY(a, struct body_metric, out->metrics_n + 1);
    if (!out->metrics) {
        return false;
    }
    for (size_t i = 0; i < out->metrics_n && !r->bad; i++) {
        struct body_metric *b = &out->metrics[i];

        b->key = key = get_key(r, key);
        b->m.last.value = num_bits_double(rd_u64(r));
        b->m.last.timestamp_ms = rd_zigzag(r);
        b->m.last.step = rd_zigzag(r);
        b->m.min = num_bits_double(rd_u64(r));
        b->m.max = num_bits_double(rd_u64(r));
        b->m.min_step = rd_zigzag(r);
        b->m.max_step = rd_zigzag(r);
        b->m.n = (int64_t)rd_varint(r);
        r->bad = r->bad || b->m.n <= 0;
    }
    return true;
}

static bool get_params(struct rd *r, struct arena *a, struct head_body *out)
{
    uint32_t key = 0;

    out->params_n = get_count(r, PARAM_MIN_N);
    out->params = ARENA_ARRAY(a, struct body_param, out->params_n + 1);
    if (!out->params) {
        return false;
    }
    for (size_t i = 0; i < out->params_n && !r->bad; i++) {
        out->params[i].key = key = get_key(r, key);
        out->params[i].value = rd_bytes(r, rd_varint(r));
    }
    return true;
}

static bool get_tags(struct rd *r, struct arena *a, struct head_body *out)
{
    uint32_t key = 0;

    out->tags_n = get_count(r, TAG_MIN_N);
    out->tags = ARENA_ARRAY(a, struct body_tag, out->tags_n + 1);
    if (!out->tags) {
        return false;
    }
    for (size_t i = 0; i < out->tags_n && !r->bad; i++) {
        struct body_tag *t = &out->tags[i];

        t->key = key = get_key(r, key);
        t->gone = (rd_u8(r) & TAG_GONE) != 0;
        t->at = get_stamp(r);
        t->value = rd_bytes(r, rd_varint(r));
    }
    return true;
}

static enum status damaged(struct err *err, const struct head_keys *keys, const char *what)
{
    return err_set(err, ST_CORRUPT, "head of run %.*s: %s", STR_ARG(keys->rid), what);
}

enum status head_body_decode(struct arena *a, struct str body, const struct head_keys *keys,
                             struct head_body *out, struct err *err)
{
    struct rd h = rd_of(body.p, body.n), r;
    uint8_t version = rd_u8(&h), flags = rd_u8(&h);
    uint32_t raw_n, want;
    struct str raw;

    memset(out, 0, sizeof(*out));
    (void)rd_u16(&h);
    raw_n = rd_u32(&h);
    want = rd_u32(&h);
    if (h.bad || version != BODY_VERSION || raw_n > HEAD_BODY_MAX) {
        return damaged(err, keys, "bad header");
    }
    if (body_crc(body.p, body.n, keys) != want) {
        return damaged(err, keys, "checksum differs");
    }
    if (flags & FLAG_ZSTD) {
        enum status st = zip_get(a, str_of(body.p + HEADER_N, body.n - HEADER_N), raw_n, &raw, err);

        if (st) return st;
    } else {
        raw = arena_str(a, str_of(body.p + HEADER_N, body.n - HEADER_N));
        if (!raw.p) {
            return err_nomem(err);
        }
        if (raw.n != raw_n) {
            return damaged(err, keys, "wrong length");
        }
    }
    r = rd_of(raw.p, raw.n);
    out->name_at = get_stamp(&r);
    out->status_at = get_stamp(&r);
    out->end_at = get_stamp(&r);
    out->lifecycle_at = get_stamp(&r);
    if (!get_metrics(&r, a, out) || !get_params(&r, a, out) || !get_tags(&r, a, out)) {
        return err_nomem(err);
    }
    return r.bad || rd_left(&r) != 0 ? damaged(err, keys, "bad body") : OK;
}
