/* Chunk bodies: every bit pattern comes back, the summary is that of the points, damage and wrong rows are found. */
#include "tap.h"

#include "base/mem.h"
#include "store/series/chunk.h"

#include <math.h>

static double any_value(unsigned kind)
{
    static const double odd[] = {
        0.0, -0.0, 4.9e-324, -2.2250738585072014e-308, 1e15, -1e15, 1.7976931348623157e308
    };
    double v;

    switch (kind % 9) {
    case 0: return 3.25;
    case 1: return (double)t_rand_below(1000);
    case 2: return (double)t_rand_below(100000) / 10000;
    case 3: return (double)((float)t_rand_below(100000) / 3.0f);
    case 4: return odd[t_rand_below(ARRAY_N(odd))];
    case 5: return t_rand_below(3) ? 1.5 : num_canonical_nan();
    case 6: return t_rand_below(2) ? (double)INFINITY : -(double)INFINITY;
    case 7: return num_canonical_nan();
    default: v = num_bits_double(t_rand()); return isnan(v) ? num_canonical_nan() : v;
    }
}

static int64_t any_int(unsigned kind)
{
    switch (kind % 4) {
    case 0: return t_rand_below(2) ? INT64_MAX : INT64_MIN;
    case 1: return (int64_t)t_rand();
    default: return (int64_t)t_rand_below(1000);
    }
}

static size_t any_points(struct point *p, struct point *tmp, size_t max, unsigned round)
{
    size_t n = 1 + t_rand_below(max);

    for (size_t i = 0; i < n; i++) {
        p[i] = (struct point){ any_int(round), any_int(round / 2), any_value(round) };
    }
    points_sort(p, tmp, n);
    return points_dedupe(p, n);
}

/* What SQL keeps of the columns. */
static struct chunk_head through_sql(struct chunk_head h)
{
    double *v[] = { &h.vmin, &h.vmax, &h.vsum, &h.vfirst, &h.vlast };

    for (size_t i = 0; i < ARRAY_N(v); i++) {
        *v[i] = chunk_value(v[i]) ? (*v[i] == 0 ? 0 : *v[i]) : num_canonical_nan();
    }
    chunk_head_loaded(&h);
    return h;
}

static void check_summary(const struct chunk_head *h, const struct point *p, size_t n)
{
    int64_t nan_n = 0;
    bool monotone = true, has_min = false, has_max = false;

    T_INT(h->n, n);
    T_INT(h->t0, p[0].timestamp_ms);
    T_INT(h->t1, p[n - 1].timestamp_ms);
    T_DBL_BITS(h->vfirst, p[0].value);
    T_DBL_BITS(h->vlast, p[n - 1].value);
    for (size_t i = 0; i < n; i++) {
        T_OK(p[i].step >= h->s0 && p[i].step <= h->s1);
        monotone = monotone && (i == 0 || p[i].step >= p[i - 1].step);
        nan_n += isnan(p[i].value);
        if (isnan(p[i].value)) continue;
        T_OK(p[i].value >= h->vmin && p[i].value <= h->vmax);
        has_min = has_min || (num_double_bits(p[i].value) == num_double_bits(h->vmin) &&
                              p[i].step == h->smin && p[i].timestamp_ms == h->tmin);
        has_max = has_max || (num_double_bits(p[i].value) == num_double_bits(h->vmax) &&
                              p[i].step == h->smax && p[i].timestamp_ms == h->tmax);
    }
    T_INT(h->nnan, nan_n);
    T_INT((h->flags & CHUNK_MONOTONE) != 0, monotone);
    T_INT((h->flags & CHUNK_NAN) != 0, nan_n > 0);
    T_INT(has_min && has_max, nan_n < (int64_t)n);
    T_INT(isnan(h->vmin), nan_n == (int64_t)n);
}

TEST(chunks_keep_every_bit)
{
    enum { MAX = 3000 };
    struct point *p = mem_alloc(3 * MAX * sizeof(*p)), *q = p + MAX, *tmp = q + MAX;
    struct buf out = BUF_INIT(4 << 20);
    struct arena *a = arena_new(64 << 20);
    struct chunker ck;
    struct err err = ERR_INIT;

    chunker_init(&ck);
    for (unsigned round = 0; round < 300; round++) {
        size_t n = any_points(p, tmp, round % 10 ? 60 : MAX, round);
        struct chunk_head h = { .lvl = CHUNK_LVL_EXACT, .c = (int64_t)t_rand_below(3) }, back;
        int64_t dup = 0;

        buf_clear(&out);
        buf_put_lit(&out, "before");
        T_ST_ERR(chunk_encode(&ck, -5, 7, &h, p, n, (int64_t)round, &out, &err), OK, &err);
        check_summary(&h, p, n);
        back = through_sql(h);
        T_DBL_BITS(back.vmin, h.vmin);
        T_DBL_BITS(back.vfirst, h.vfirst);
        arena_reset(a);
        T_ST_ERR(chunk_decode(a, str_sub(buf_str(&out), 6, out.n - 6), -5, 7, &back, q, &dup, &err),
                 OK, &err);
        T_INT(dup, round);
        for (size_t i = 0; i < n; i++) {
            T_INT(q[i].step, p[i].step);
            T_INT(q[i].timestamp_ms, p[i].timestamp_ms);
            T_DBL_BITS(q[i].value, p[i].value);
        }
    }
    chunker_release(&ck);
    buf_release(&out);
    arena_free(a);
    mem_free(p);
}

TEST(damaged_chunks_are_found)
{
    struct point p[40], q[41], tmp[40];
    struct buf out = BUF_INIT(1 << 20);
    struct arena *a = arena_new(64 << 20);
    struct chunk_head h = { .lvl = CHUNK_LVL_EXACT }, other;
    struct chunker ck;
    struct err err = ERR_INIT;
    struct str body;
    size_t n = any_points(p, tmp, ARRAY_N(p), 3);

    chunker_init(&ck);
    T_ST_ERR(chunk_encode(&ck, 1, 2, &h, p, n, 0, &out, &err), OK, &err);
    body = buf_str(&out);
    T_ST_ERR(chunk_decode(a, body, 1, 2, &h, q, NULL, &err), OK, &err);
    for (size_t at = 0; at < out.n * 8; at++) {
        out.p[at / 8] = (char)(out.p[at / 8] ^ (1 << (at % 8)));
        T_ST(chunk_decode(a, body, 1, 2, &h, q, NULL, &err), ST_CORRUPT);
        out.p[at / 8] = (char)(out.p[at / 8] ^ (1 << (at % 8)));
    }
    for (size_t cut = 0; cut < out.n; cut++) {
        T_ST(chunk_decode(a, str_sub(body, 0, cut), 1, 2, &h, q, NULL, &err), ST_CORRUPT);
    }
    T_ST(chunk_decode(a, body, 2, 2, &h, q, NULL, &err), ST_CORRUPT);
    T_ST(chunk_decode(a, body, 1, 3, &h, q, NULL, &err), ST_CORRUPT);
#define WRONG(change)                                                                              \
    other = h;                                                                                     \
    other.change;                                                                                  \
    T_ST(chunk_decode(a, body, 1, 2, &other, q, NULL, &err), ST_CORRUPT)
    WRONG(lvl = 2);
    WRONG(t0--);
    WRONG(c++);
    WRONG(t1++);
    WRONG(s0--);
    WRONG(s1++);
    WRONG(n++);
    WRONG(n = 0);
    WRONG(n = INT64_MAX);
    WRONG(nnan++);
    WRONG(flags ^= CHUNK_MONOTONE);
    WRONG(smin++);
    WRONG(tmax++);
    WRONG(vmin = -1);
    WRONG(vsum = num_canonical_nan());
    WRONG(vlast = 1e300);
    chunker_release(&ck);
    buf_release(&out);
    arena_free(a);
}

TEST(chunks_know_which_comes_first)
{
    struct chunk_head a = { .t0 = 1, .t1 = 5, .s0 = 0, .s1 = 9, .vlast = 1.0 };
    struct chunk_head b = { .t0 = 6, .t1 = 9, .s0 = 10, .s1 = 19, .vfirst = 0.5 };

    T_OK(chunk_before(&a, &b));
    T_OK(!chunk_before(&b, &a));
    b.t0 = 5; /* the same time: the steps tell, if they are in order */
    T_OK(!chunk_before(&a, &b));
    a.flags = b.flags = CHUNK_MONOTONE;
    T_OK(chunk_before(&a, &b));
    b.s0 = 9;
    T_OK(!chunk_before(&a, &b));
    b.vfirst = 1.5;
    T_OK(chunk_before(&a, &b));
    b.t0 = 4;
    T_OK(!chunk_before(&a, &b));
}
