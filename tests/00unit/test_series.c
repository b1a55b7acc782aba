/* Bodies of packs, batches and heads: every bit pattern comes back, damage and wrong rows are found. */
#include "tap.h"

#include "base/mem.h"
#include "store/headbody.h"
#include "store/series/batch.h"
#include "store/series/pack.h"

#include <math.h>
#include <stdlib.h>

enum { N = 5000, KEYS = 4 };

static double any_value(unsigned kind)
{
    static const double odd[] = {
        0.0, -0.0, 4.9e-324, -2.2250738585072014e-308, 1.7976931348623157e308, 1e15, -1e15, 0.1
    };
    double v;

    switch (kind % 8) {
    case 0: return 3.25;
    case 1: return (double)t_rand_below(1000);
    case 2: return (double)t_rand_below(100000) / 10000;
    case 3: return (double)((float)t_rand_below(100000) / 3.0f);
    case 4: return odd[t_rand_below(ARRAY_N(odd))];
    case 5: return t_rand_below(3) ? 1.5 : num_canonical_nan();
    case 6: return t_rand_below(2) ? (double)INFINITY : -(double)INFINITY;
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

TEST(columns_keep_every_bit)
{
    struct buf b = BUF_INIT(1 << 20);

    for (unsigned round = 0; round < 400; round++) {
        struct point p[100], q[100];
        double scratch[100];
        size_t n = 1 + t_rand_below(100);
        struct col_head head;
        struct rd r;

        for (size_t i = 0; i < n; i++) {
            p[i] = (struct point){ any_int(round), any_int(round / 3), any_value(round) };
        }
        memset(q, 0, sizeof(q));
        buf_clear(&b);
        col_put_steps(&b, p, n);
        r = rd_of(b.p, b.n);
        col_get_steps(&r, q, n);
        T_OK(!r.bad && rd_left(&r) == 0);
        buf_clear(&b);
        col_put_timestamps(&b, p, n);
        r = rd_of(b.p, b.n);
        col_get_timestamps(&r, q, n);
        T_OK(!r.bad && rd_left(&r) == 0);
        buf_clear(&b);
        col_put_values(&b, p, n, scratch, &head);
        r = rd_of(b.p, b.n);
        col_get_values(&r, &head, q, n);
        T_OK(!r.bad);
        for (size_t i = 0; i < n; i++) {
            T_INT(q[i].step, p[i].step);
            T_INT(q[i].timestamp_ms, p[i].timestamp_ms);
            T_DBL_BITS(q[i].value, p[i].value);
        }
    }
    buf_release(&b);
}

TEST(column_modes)
{
    static const struct {
        double v[3];
        int mode, exponent;
    } cases[] = {
        { { 2.5, 2.5, 2.5 }, COL_CONSTANT, 0 },
        { { -0.0, 0.0, 0.0 }, COL_FLOAT, 0 },
        { { 1, 2, 3 }, COL_DECIMAL, 0 },
        { { 0.1, 0.25, 7 }, COL_DECIMAL, 2 },
        { { 0.123456, 1, 2 }, COL_DECIMAL, 6 },
        { { 0.5, 0.3333333432674408, (double)2e20f }, COL_FLOAT, 0 },
        { { 0.1234567891, 1, 2 }, COL_DOUBLE, 0 },
        { { 1e16, 1, 2 }, COL_DOUBLE, 0 },
    };
    struct buf b = BUF_INIT(1 << 20);

    for (size_t c = 0; c < ARRAY_N(cases); c++) {
        struct point p[3] = { { .value = cases[c].v[0] },
                              { .value = cases[c].v[1] },
                              { .value = cases[c].v[2] } };
        double scratch[3];
        struct col_head head;

        buf_clear(&b);
        col_put_values(&b, p, 3, scratch, &head);
        T_INT(head.mode, cases[c].mode);
        T_INT(head.exponent, cases[c].exponent);
    }
    buf_release(&b);
}

static int by_point(const void *a, const void *b)
{
    return point_cmp((const struct point *)a, (const struct point *)b);
}

TEST(points_are_sorted)
{
    for (int round = 0; round < 200; round++) {
        struct point p[300], q[300], tmp[300];
        size_t n = t_rand_below(300);

        for (size_t i = 0; i < n; i++) {
            p[i] = (struct point){ (int64_t)t_rand_below(4), (int64_t)t_rand_below(20),
                                   any_value(4 + (unsigned)round % 2) };
        }
        memcpy(q, p, n * sizeof(*p));
        points_sort(p, tmp, n);
        if (n) qsort(q, n, sizeof(*q), by_point);
        for (size_t i = 0; i < n; i++) {
            T_INT(point_cmp(&p[i], &q[i]), 0);
        }
        n = points_dedupe(p, n);
        for (size_t i = 1; i < n; i++) {
            T_OK(point_cmp(&p[i - 1], &p[i]) < 0);
        }
    }
}

/* Packs points, reads them back per key and compares with sorting by hand. */
static void pack_round(struct packer *pk, const struct tail_point *in, size_t n)
{
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct pack_reader r;
    struct str body;
    int64_t stored, total = 0;

    T_ST(packer_begin(pk, n, &err), OK);
    packer_add(pk, in, n / 2);
    packer_add(pk, in + n / 2, n - n / 2);
    T_ST_ERR(packer_end(pk, 7, 3, &body, &stored, &err), OK, &err);
    T_ST_ERR(pack_open(&r, a, body, 7, 3, stored, &err), OK, &err);
    T_ST(pack_open(&r, a, body, 8, 3, stored, &err), ST_CORRUPT);
    T_ST(pack_open(&r, a, body, 7, 4, stored, &err), ST_CORRUPT);
    T_ST(pack_open(&r, a, body, 7, 3, stored + 1, &err), ST_CORRUPT);
    T_ST(pack_open(&r, a, str_sub(body, 0, body.n - 1), 7, 3, stored, &err), ST_CORRUPT);
    T_ST_ERR(pack_open(&r, a, body, 7, 3, stored, &err), OK, &err);
    for (uint32_t key = 1; key <= KEYS; key++) {
        const struct pack_key *k = pack_find(&r, key);
        struct point *want = (struct point *)arena_alloc(a, n * sizeof(*want) + 1), *got;
        size_t want_n = 0, all = 0;

        for (size_t i = 0; i < n; i++) {
            if (in[i].key == key) want[want_n++] = in[i].p;
        }
        all = want_n;
        if (!want_n) {
            T_OK(k == NULL);
            continue;
        }
        qsort(want, want_n, sizeof(*want), by_point);
        want_n = points_dedupe(want, want_n);
        T_OK(k != NULL);
        T_INT(pack_key_n(&r, k), want_n);
        T_INT(k->duplicates, all - want_n);
        total += (int64_t)want_n;
        got = (struct point *)arena_alloc(a, want_n * sizeof(*got));
        T_ST_ERR(pack_read(&r, k, got, &err), OK, &err);
        for (size_t i = 0; i < want_n; i++) {
            T_INT(got[i].step, want[i].step);
            T_INT(got[i].timestamp_ms, want[i].timestamp_ms);
            T_DBL_BITS(got[i].value, want[i].value);
        }
    }
    T_INT(total, stored);
    arena_free(a);
}

TEST(packs_keep_all_points)
{
    struct tail_point *in = (struct tail_point *)mem_zalloc(20000, sizeof(*in));
    struct packer *pk = packer_new();

    for (unsigned round = 0; round < 60; round++) {
        size_t n = 1 + t_rand_below(round % 10 == 0 ? 20000 : 300);

        for (size_t i = 0; i < n; i++) {
            bool together = round % 2 == 0;

            in[i].key = 1 + (uint32_t)(together ? i % KEYS : t_rand_below(KEYS));
            in[i].p.step = together ? (int64_t)(i / KEYS) : any_int(round);
            in[i].p.timestamp_ms =
                together ? (int64_t)(1700000000000 + i / KEYS * 31) : any_int(round + 1);
            in[i].p.value = any_value(round + in[i].key);
            if (i > 0 && t_rand_below(10) == 0) in[i] = in[i - 1];
        }
        pack_round(pk, in, n);
    }
    packer_free(pk);
    mem_free(in);
}

TEST(damaged_packs_are_found)
{
    struct tail_point in[64];
    struct packer *pk = packer_new();
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct pack_reader r;
    struct str body;
    char *copy;
    int64_t n;

    for (size_t i = 0; i < ARRAY_N(in); i++) {
        in[i] = (struct tail_point){ { (int64_t)i, 10 * (int64_t)i, any_value(7) },
                                     1 + (uint32_t)i % 3,
                                     0 };
    }
    T_ST(packer_begin(pk, ARRAY_N(in), &err), OK);
    packer_add(pk, in, ARRAY_N(in));
    T_ST(packer_end(pk, 1, 1, &body, &n, &err), OK);
    copy = (char *)arena_alloc(a, body.n);
    for (size_t i = 0; i < body.n * 8; i++) {
        memcpy(copy, body.p, body.n);
        copy[i / 8] = (char)(copy[i / 8] ^ (1 << i % 8));
        T_ST(pack_open(&r, a, str_of(copy, body.n), 1, 1, n, &err), ST_CORRUPT);
    }
    packer_free(pk);
    arena_free(a);
}

TEST(batches_roll_back)
{
    struct arena *a = arena_new(1 << 20);
    struct batch_builder b;
    struct batch_frames at = { 0 };
    struct batch_point_at pa = { 0 };
    struct batch_reader r;
    struct batch_record rec;
    struct batch_mark mark;
    struct err err = ERR_INIT;
    struct point p;
    struct str body;
    uint32_t ordinal, s;

    batch_init(&b);
    T_INT(batch_string(&b, 10), 0);
    T_INT(batch_string(&b, 20), 1);
    T_INT(batch_string(&b, 10), 0);
    batch_record(&b);
    batch_put_frame(&b, &at, 5, -7, 2);
    buf_put_varint(&b.payload, 1);
    buf_put_u64(&b.payload, num_double_bits(0.5));
    buf_put_varint(&b.payload, 0);
    buf_put_u64(&b.payload, num_double_bits(-0.0));
    b.points_n = 2;
    T_ST(batch_record_end(&b, BATCH_POINTS, 42, &ordinal, &err), OK);
    mark = batch_mark(&b);
    for (uint32_t i = 0; i < 500; i++) {
        T_INT(batch_string(&b, 100 + i), 2 + i);
    }
    batch_record(&b);
    T_ST(batch_record_end(&b, BATCH_LINKS, 1, &ordinal, &err), OK);
    batch_rollback(&b, &mark);
    T_INT(batch_string(&b, 300), 2);
    T_INT(batch_string(&b, 20), 1);
    batch_record(&b);
    buf_put_varint(&b.payload, 2);
    T_ST(batch_record_end(&b, BATCH_TAG_DELETED, 43, &ordinal, &err), OK);
    T_INT(ordinal, 1);
    T_ST(batch_finish(&b, 9, 0, 0, &body, &err), OK);

    T_ST(batch_open(&r, a, body, 8, 0, 0, 2, &err), ST_CORRUPT);
    T_ST(batch_open(&r, a, body, 9, 0, 0, 3, &err), ST_CORRUPT);
    T_ST_ERR(batch_open(&r, a, body, 9, 0, 0, 2, &err), OK, &err);
    T_INT(r.strings_n, 3);
    T_ST(batch_next(&r, &rec, &err), OK);
    T_INT(rec.owner, 42);
    T_OK(batch_next_point(&r, &rec, &pa, &s, &p));
    T_INT(r.strings[s].id, 20);
    T_INT(p.step, 5);
    T_INT(p.timestamp_ms, -7);
    T_OK(batch_next_point(&r, &rec, &pa, &s, &p));
    T_DBL_BITS(p.value, -0.0);
    T_OK(!batch_next_point(&r, &rec, &pa, &s, &p) && !rec.payload.bad);
    T_ST(batch_next(&r, &rec, &err), OK);
    T_OK(batch_get_string(&r, &rec, &s));
    T_INT(r.strings[s].id, 300);
    T_ST(batch_next(&r, &rec, &err), ST_END);
    batch_release(&b);
    arena_free(a);
}

TEST(head_bodies)
{
    struct arena *a = arena_new(16 << 20);
    struct head_keys keys = { 5, 0, S("0123456789abcdef") },
                     other = { 6, 0, S("0123456789abcdef") };
    struct stamp at = { 1, 0, 77, 3 };
    struct metric_cell m = { 0 };
    struct buf raw = BUF_INIT(HEAD_BODY_MAX), body = BUF_INIT(HEAD_BODY_MAX);
    struct head_body out;
    struct zip z = { 0 };
    struct err err = ERR_INIT;

    for (size_t params = 0; params < 200;
         params += 199) { /* below and above the size that is compressed */
        buf_clear(&raw);
        for (int i = 0; i < 4; i++) {
            head_put_stamp(&raw, &at);
        }
        metric_cell_add(&m, &(struct point){ INT64_MIN, INT64_MAX, num_canonical_nan() });
        buf_put_varint(&raw, 1);
        head_put_metric(&raw, 9, &m);
        buf_put_varint(&raw, params);
        for (size_t i = 0; i < params; i++) {
            head_put_param(&raw, (uint32_t)i + 1, S("value"));
        }
        buf_put_varint(&raw, 2);
        head_put_tag(&raw, 1, false, &at, S(""));
        head_put_tag(&raw, 4000000000u, true, &at, S(""));
        T_ST(head_body_finish(&z, &raw, &keys, &body, &err), OK);
        T_ST_ERR(head_body_decode(a, buf_str(&body), &keys, &out, &err), OK, &err);
        T_INT(out.metrics_n, 1);
        T_INT(out.metrics[0].m.last.step, INT64_MIN);
        T_OK(isnan(out.metrics[0].m.min));
        T_INT(out.params_n, params);
        T_INT(out.tags[1].key, 4000000000u);
        T_OK(out.tags[1].gone);
        T_INT(out.name_at.seq, 77);
        T_ST(head_body_decode(a, buf_str(&body), &other, &out, &err), ST_CORRUPT);
        T_ST(head_body_decode(a, str_sub(buf_str(&body), 0, body.n - 1), &keys, &out, &err),
             ST_CORRUPT);
    }
    zip_release(&z);
    buf_release(&raw);
    buf_release(&body);
    arena_free(a);
}

TEST(extremes_do_not_depend_on_order)
{
    struct metric_cell a = { 0 }, b = { 0 };
    struct point p[] = {
        { 3, 1, 2.0 }, { 1, 9, 2.0 }, { 2, 5, -0.0 }, { 7, 5, 0.0 }, { 4, 4, num_canonical_nan() }
    };

    for (size_t i = 0; i < ARRAY_N(p); i++) {
        metric_cell_add(&a, &p[i]);
        metric_cell_add(&b, &p[ARRAY_N(p) - 1 - i]);
    }
    T_DBL_BITS(a.min, -0.0);
    T_DBL_BITS(b.min, -0.0);
    T_INT(a.max_step, 1);
    T_INT(b.max_step, 1);
    T_INT(a.last.step, 7);
    T_INT(b.last.step, 7);
    T_INT(a.n, 5);
}
