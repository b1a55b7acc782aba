/* store/series/cols.c - see cols.h. Integers are computed modulo 2^64, so any pair of int64 round-trips. */
#include "store/series/cols.h"

#include <math.h>

enum { EXPONENT_MAX = 6 };

static const double pow10_exact[EXPONENT_MAX + 1] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };
static const double DECIMAL_MAX = 1e15;

/* ---- integers --------------------------------------------------------------------------------------------------------- */

struct dod {
    uint64_t prev, delta;
    bool started;
};

static int64_t dod_encode(struct dod *d, int64_t v)
{
    uint64_t delta = (uint64_t)v - d->prev;
    uint64_t out = delta - d->delta;

    d->prev = (uint64_t)v;
    d->delta = d->started ? delta : 0;
    d->started = true;
    return (int64_t)out;
}

static int64_t dod_decode(struct dod *d, int64_t coded)
{
    uint64_t delta = (uint64_t)coded + d->delta;

    d->prev += delta;
    d->delta = d->started ? delta : 0;
    d->started = true;
    return (int64_t)d->prev;
}

void col_put_steps(struct buf *b, const struct point *p, size_t n)
{
    struct dod d = { 0 };

    for (size_t i = 0; i < n; i++) {
        buf_put_zigzag(b, dod_encode(&d, p[i].step));
    }
}

void col_put_timestamps(struct buf *b, const struct point *p, size_t n)
{
    struct dod d = { 0 };

    for (size_t i = 0; i < n; i++) {
        buf_put_zigzag(b, dod_encode(&d, p[i].timestamp_ms));
    }
}

void col_get_steps(struct rd *r, struct point *p, size_t n)
{
    struct dod d = { 0 };

    for (size_t i = 0; i < n && !r->bad; i++) {
        p[i].step = dod_decode(&d, rd_zigzag(r));
    }
}

void col_get_timestamps(struct rd *r, struct point *p, size_t n)
{
    struct dod d = { 0 };

    for (size_t i = 0; i < n && !r->bad; i++) {
        p[i].timestamp_ms = dod_decode(&d, rd_zigzag(r));
    }
}

/* ---- values ------------------------------------------------------------------------------------------------------------- */

static bool is_constant(const double *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (num_double_bits(v[i]) != num_double_bits(v[0])) {
            return false;
        }
    }
    return true;
}

/* Bit patterns are compared, not values: -0.0 is not the decimal 0. */
static bool is_decimal(const double *v, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++) {
        double x = v[i] * scale, q;

        if (!(fabs(x) <= DECIMAL_MAX)) {
            return false;
        }
        q = (double)(int64_t)rint(x);
        if (num_double_bits(q / scale) != num_double_bits(v[i])) {
            return false;
        }
    }
    return true;
}

static bool is_float(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (num_double_bits((double)(float)v[i]) != num_double_bits(v[i])) {
            return false;
        }
    }
    return true;
}

static void choose_mode(const double *v, size_t n, struct col_head *head)
{
    if (is_constant(v, n)) {
        head->mode = COL_CONSTANT;
        return;
    }
    for (uint8_t e = 0; e <= EXPONENT_MAX; e++) {
        if (is_decimal(v, n, pow10_exact[e])) {
            head->mode = COL_DECIMAL;
            head->exponent = e;
            return;
        }
    }
    head->mode = is_float(v, n) ? COL_FLOAT : COL_DOUBLE;
}

static void put_decimal(struct buf *b, const double *v, size_t n, double scale)
{
    int64_t prev = 0;

    for (size_t i = 0; i < n; i++) {
        int64_t q = (int64_t)rint(v[i] * scale);

        buf_put_zigzag(b, q - prev);
        prev = q;
    }
}

static void put_planes(struct buf *b, const double *v, size_t n, bool as_float)
{
    size_t width = as_float ? sizeof(float) : sizeof(double);
    char *out;

    if (!buf_reserve(b, n * width)) {
        return;
    }
    out = b->p + b->n;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;

        if (as_float) {
            float f = (float)v[i];
            uint32_t u;

            memcpy(&u, &f, sizeof(u));
            bits = u;
        } else {
            bits = num_double_bits(v[i]);
        }
        for (size_t plane = 0; plane < width; plane++) {
            out[plane * n + i] = (char)(bits >> (8 * plane));
        }
    }
    b->n += n * width;
}

static size_t take_nan(const struct point *p, size_t n, double *v)
{
    size_t nan_n = 0;
    double last = 0;

    for (size_t i = 0; i < n; i++) {
        if (isnan(p[i].value)) {
            nan_n++;
        } else {
            last = p[i].value;
        }
        v[i] = last;
    }
    return nan_n;
}

void col_put_values(struct buf *b, const struct point *p, size_t n, double *scratch,
                    struct col_head *head)
{
    size_t nan_n = take_nan(p, n, scratch), prev = 0;

    *head = (struct col_head){ .flags = nan_n > 0 ? COL_HAS_NAN : 0 };
    choose_mode(scratch, n, head);
    switch (head->mode) {
    case COL_CONSTANT: buf_put_u64(b, num_double_bits(scratch[0])); break;
    case COL_DECIMAL: put_decimal(b, scratch, n, pow10_exact[head->exponent]); break;
    default: put_planes(b, scratch, n, head->mode == COL_FLOAT); break;
    }
    if (nan_n == 0) {
        return;
    }
    buf_put_varint(b, nan_n);
    for (size_t i = 0; i < n; i++) {
        if (isnan(p[i].value)) {
            buf_put_varint(b, i - prev);
            prev = i;
        }
    }
}

static void get_decimal(struct rd *r, struct point *p, size_t n, double scale)
{
    uint64_t q = 0;

    for (size_t i = 0; i < n && !r->bad; i++) {
        q += (uint64_t)rd_zigzag(r);
        p[i].value = (double)(int64_t)q / scale;
    }
}

static void get_planes(struct rd *r, struct point *p, size_t n, size_t width)
{
    struct str s = rd_bytes(r, (uint64_t)n * width);

    if (r->bad) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;

        for (size_t plane = 0; plane < width; plane++) {
            bits |= (uint64_t)(unsigned char)s.p[plane * n + i] << (8 * plane);
        }
        if (width == sizeof(float)) {
            uint32_t u = (uint32_t)bits;
            float f;

            memcpy(&f, &u, sizeof(f));
            p[i].value = (double)f;
        } else {
            p[i].value = num_bits_double(bits);
        }
    }
}

static void get_nan(struct rd *r, struct point *p, size_t n)
{
    uint64_t nan_n = rd_varint(r), at = 0;

    if (nan_n == 0 || nan_n > n) {
        r->bad = true;
    }
    for (uint64_t i = 0; i < nan_n && !r->bad; i++) {
        uint64_t gap = rd_varint(r);

        if (gap >= n - at || (i > 0 && gap == 0)) {
            r->bad = true;
            return;
        }
        at += gap;
        p[at].value = num_canonical_nan();
    }
}

void col_get_values(struct rd *r, const struct col_head *head, struct point *p, size_t n)
{
    if (head->mode == COL_CONSTANT) {
        double v = num_bits_double(rd_u64(r));

        for (size_t i = 0; i < n; i++) {
            p[i].value = v;
        }
    } else if (head->mode == COL_DECIMAL && head->exponent <= EXPONENT_MAX) {
        get_decimal(r, p, n, pow10_exact[head->exponent]);
    } else if (head->mode == COL_FLOAT || head->mode == COL_DOUBLE) {
        get_planes(r, p, n, head->mode == COL_FLOAT ? sizeof(float) : sizeof(double));
    } else {
        r->bad = true;
    }
    if (!r->bad && (head->flags & COL_HAS_NAN) != 0) {
        get_nan(r, p, n);
    }
    if (rd_left(r) != 0) {
        r->bad = true;
    }
}
