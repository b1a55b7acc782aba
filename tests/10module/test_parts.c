/* Series that lie in tail, packs and chunks at once: read as one, in order, once; chunks that claim to be alone are. */
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/series/parts.h"
#include "store/series/series.h"

#include <stdlib.h>

enum { OWNER = 5, KEYS = 3, MAX = 4000 };

struct world {
    struct series *series;
    struct sql_conn *w, *r;
    struct packer *packer;
    struct chunker chunker;
    struct arena *a;
    struct point all[KEYS][MAX];
    size_t n[KEYS];
    int64_t drain, next_ms;
    struct err err;
};

/* Mostly in order, sometimes late, sometimes the same once more; few timestamps, so that chunks touch. */
static struct point draw_point(struct world *x, size_t key)
{
    struct point p = { .step = (int64_t)t_rand_below(20), .value = (double)t_rand_below(4) };

    if (x->n[key] > 0 && t_rand_below(10) == 0) {
        return x->all[key][t_rand_below(x->n[key])];
    }
    x->next_ms += (int64_t)t_rand_below(2);
    p.timestamp_ms =
        t_rand_below(30) ? x->next_ms : (int64_t)t_rand_below((uint64_t)x->next_ms + 1);
    if (t_rand_below(3) == 0) p.value = t_rand_below(2) ? -0.0 : num_canonical_nan();
    if (t_rand_below(4)) p.step = x->next_ms;
    return p;
}

static size_t draw_points(struct world *x, struct tail_point *out, size_t max)
{
    size_t n = 0;

    while (n < max) {
        uint32_t key = (uint32_t)t_rand_below(KEYS);

        if (x->n[key] == MAX) break;
        out[n] = (struct tail_point){ .p = draw_point(x, key), .key = key };
        x->all[key][x->n[key]++] = out[n++].p;
    }
    return n;
}

static void add_tail(struct world *x)
{
    struct tail_point p[50];
    size_t n = draw_points(x, p, 1 + t_rand_below(ARRAY_N(p)));
    struct tail *t;

    T_ST_ERR(series_reserve(x->series, OWNER, n, &t, &x->err), OK, &x->err);
    series_append(x->series, t, p, n);
}

static void add_pack(struct world *x)
{
    struct tail_point p[200];
    size_t n = draw_points(x, p, 1 + t_rand_below(ARRAY_N(p)));
    struct str body;
    int64_t stored;

    if (n == 0) return;
    T_ST(packer_begin(x->packer, n, &x->err), OK);
    packer_add(x->packer, p, n);
    T_ST(packer_end(x->packer, OWNER, ++x->drain, &body, &stored, &x->err), OK);
    T_ST_ERR(sql_begin(x->w, &x->err), OK, &x->err);
    T_ST_ERR(q_pack_insert(x->w, OWNER, x->drain, stored, 0, body, &x->err), OK, &x->err);
    T_ST_ERR(sql_commit(x->w, &x->err), OK, &x->err);
}

static void insert_chunk(struct world *x, uint32_t key, const struct point *p, size_t n)
{
    struct chunk_head h = { .lvl = CHUNK_LVL_EXACT, .c = ++x->drain };
    struct buf body = BUF_INIT(1 << 20);

    T_ST(chunk_encode(&x->chunker, OWNER, key, &h, p, n, 0, &body, &x->err), OK);
    T_ST_ERR(sql_begin(x->w, &x->err), OK, &x->err);
    T_ST_ERR(series_chunk_insert(x->w, OWNER, key, &h, buf_str(&body), &x->err), OK, &x->err);
    T_ST_ERR(sql_commit(x->w, &x->err), OK, &x->err);
    buf_release(&body);
}

/* Some points of one key as one or more chunks, cut anywhere. */
static void add_chunks(struct world *x)
{
    struct point p[300], tmp[300];
    uint32_t key = (uint32_t)t_rand_below(KEYS);
    size_t n = MIN_OF(1 + t_rand_below(ARRAY_N(p)), MAX - x->n[key]), at = 0;

    for (size_t i = 0; i < n; i++) {
        p[i] = draw_point(x, key);
        x->all[key][x->n[key]++] = p[i];
    }
    points_sort(p, tmp, n);
    n = points_dedupe(p, n);
    while (at < n) {
        size_t k = 1 + t_rand_below(n - at);

        insert_chunk(x, key, p + at, k);
        at += k;
    }
}

static void check_alone(const struct parts_key *k, const struct point *all, size_t n)
{
    for (size_t i = 0; i < k->chunks_n; i++) {
        const struct chunk_head *h = &k->chunks[i].head;
        int64_t inside = 0, touching = 0;

        if (!k->chunks[i].alone) continue;
        for (size_t j = 0; j < n; j++) {
            inside += all[j].timestamp_ms > h->t0 && all[j].timestamp_ms < h->t1;
            touching += all[j].timestamp_ms >= h->t0 && all[j].timestamp_ms <= h->t1;
        }
        T_OK(inside <= h->n && touching >= h->n);
    }
}

static void check_key(struct world *x, uint32_t key)
{
    struct point *want = mem_alloc((x->n[key] + 1) * sizeof(*want) * 2), *got, after;
    size_t n = 0, want_n, at = 0;
    bool more = true, has_after = false;

    memcpy(want, x->all[key], x->n[key] * sizeof(*want));
    points_sort(want, want + x->n[key], x->n[key]);
    want_n = points_dedupe(want, x->n[key]);
    while (more) {
        size_t max = t_rand_below(4) ? 1 + t_rand_below(t_rand_below(2) ? 20 : 500) : SIZE_MAX;

        T_ST_ERR(series_history(x->series, x->r, x->a, OWNER, key, has_after ? &after : NULL, max,
                                &got, &n, &more, &x->err),
                 OK, &x->err);
        T_OK(n <= max && (n == max || !more) && n <= want_n - at);
        for (size_t i = 0; i < n; i++) {
            T_INT(point_cmp(&got[i], &want[at]), 0);
            T_DBL_BITS(got[i].value, want[at].value);
            after = got[i];
            at++;
        }
        has_after = has_after || n > 0;
        T_INT(more, at < want_n);
    }
    mem_free(want);
}

static void check(struct world *x)
{
    uint32_t keys[KEYS] = { 0, 1, 2 }, *found;
    struct parts_want want = {
        .keys = keys, .keys_n = KEYS, .from_ms = INT64_MIN, .to_ms = INT64_MAX
    };
    struct parts p;
    size_t n, have = 0;

    arena_reset(x->a);
    T_ST_ERR(parts_open(&p, x->series, x->r, x->a, OWNER, &want, &x->err), OK, &x->err);
    for (uint32_t key = 0; key < KEYS; key++) {
        struct point *sorted = mem_alloc((x->n[key] + 1) * sizeof(*sorted) * 2);

        memcpy(sorted, x->all[key], x->n[key] * sizeof(*sorted));
        points_sort(sorted, sorted + x->n[key], x->n[key]);
        check_alone(&p.keys[key], sorted, points_dedupe(sorted, x->n[key]));
        mem_free(sorted);
        have += x->n[key] > 0;
    }
    parts_close(&p);
    for (uint32_t key = 0; key < KEYS; key++) {
        check_key(x, key);
    }
    T_ST_ERR(series_keys(x->series, x->r, x->a, OWNER, &found, &n, &x->err), OK, &x->err);
    T_INT(n, have);
}

SQL_TEST(parts_are_read_as_one)
{
    struct sql_db *db = sqltest_open(location);
    struct world *x = mem_zalloc(1, sizeof(*x));

    x->w = sqltest_connect(db, SQL_WRITER);
    x->r = sqltest_connect(db, SQL_READER);
    x->packer = packer_new();
    x->a = arena_new(256 << 20);
    chunker_init(&x->chunker);
    T_ST(series_open(&x->series, 16 << 20, &x->err), OK);
    for (int round = 0; round < 60; round++) {
        switch (t_rand_below(4)) {
        case 0: add_tail(x); break;
        case 1: add_pack(x); break;
        default: add_chunks(x); break;
        }
        if (round % 4 == 0) check(x);
    }
    check(x);
    series_close(x->series);
    chunker_release(&x->chunker);
    packer_free(x->packer);
    arena_free(x->a);
    sql_disconnect(x->r);
    sql_disconnect(x->w);
    sql_close_db(db);
    mem_free(x);
}
