/* Charts against a slow and plain reference, over random histories: every axis, range and width, with duplicates, NaN, infinities,
 * -0.0, steps out of order and at the ends of 64 bits, in memory, in packs, in chunks and in mixtures; on both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/chart.h"
#include "core/metric_interval.h"
#include "gen/sql/queries.h"
#include "store/mkeys.h"
#include "store/series/parts.h"

#include <math.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

enum { KEYS = 3, POINTS_MAX = 6000 };

static const struct str names[KEYS] = { S_INIT("a"), S_INIT("b"), S_INIT("x") };

/* ---- random histories ------------------------------------------------------------------------------------------------------- */

struct shape {
    int64_t step, time; /* of the next point */
    unsigned jumpy;     /* of 100: points whose step or time goes anywhere */
    unsigned odd;       /* of 100: NaN and infinities */
    unsigned again;     /* of 100: points logged twice */
    bool still;         /* time stands still */
    bool extreme;       /* steps and times of 64 bits */
};

static double a_value(const struct shape *s)
{
    static const double odd[] = { (double)NAN, (double)INFINITY, -(double)INFINITY };
    static const double edge[] = { 0.0, -0.0, 1e308, -1e308, 5e-324, 1, -1 };

    if (t_rand_below(100) < s->odd) return odd[t_rand_below(3)];
    if (t_rand_below(20) == 0) return edge[t_rand_below(ARRAY_N(edge))];
    return (double)((int64_t)t_rand_below(2000) - 1000) / (double)(1 + t_rand_below(3));
}

static int64_t anywhere(const struct shape *s)
{
    static const int64_t ends[] = { INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1, 0, -1 };

    if (s->extreme) {
        return t_rand_below(2) ? ends[t_rand_below(ARRAY_N(ends))] : (int64_t)t_rand();
    }
    return (int64_t)t_rand_below(4000) - 500;
}

static void log_some(struct corefix *f, struct str run, struct shape *s, size_t n)
{
    struct run_log l;

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    for (size_t i = 0; i < n; i++) {
        int64_t step = s->step, time = s->time;

        if (t_rand_below(100) < s->jumpy) step = anywhere(s);
        if (t_rand_below(100) < s->jumpy) time = anywhere(s);
        for (size_t k = 0; k < KEYS; k++) {
            double v = a_value(s);

            if (t_rand_below(10) == 0) continue;
            if (k == 2 && t_rand_below(4)) v = (double)(step / 2);
            for (unsigned twice = 0; twice < 2; twice++) {
                T_ST(run_points_add(&l.points, names[k], v, time, step, &f->err), OK);
                if (t_rand_below(100) >= s->again) break;
            }
        }
        s->step += s->step < 1000000 ? (int64_t)t_rand_below(3) : 0;
        s->time += s->still ? 0 : (int64_t)t_rand_below(50);
    }
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

/* As a merge leaves it. */
static void insert_chunk(struct corefix *f, struct sql_conn *w, int64_t owner, uint32_t key,
                         const struct point *p, size_t n)
{
    static int64_t c;
    struct chunk_head h = { .lvl = CHUNK_LVL_EXACT, .c = 1000 + ++c };
    struct buf body = BUF_INIT(1 << 20);
    struct chunker ck;

    chunker_init(&ck);
    T_ST(chunk_encode(&ck, owner, key, &h, p, n, 0, &body, &f->err), OK);
    T_ST_ERR(series_chunk_insert(w, owner, key, &h, buf_str(&body), &f->err), OK, &f->err);
    buf_release(&body);
    chunker_release(&ck);
}

struct chunks {
    struct write_op op;
    struct corefix *f;
    int64_t owner;
    uint32_t key;
    struct point p[1000];
    size_t n;
};

static enum status chunks_write(struct write_op *op, struct group *g, struct err *err)
{
    struct chunks *c = WRITE_OP_OF(op, struct chunks);
    size_t at = 0;

    (void)err;
    while (at < c->n) {
        size_t k = 1 + (size_t)t_rand_below(t_rand_below(5) ? 30 : 400);

        k = MIN_OF(k, c->n - at);
        insert_chunk(c->f, group_conn(g), c->owner, c->key, c->p + at, k);
        at += k;
    }
    return OK;
}

/* Points of one key that lie in chunks; some of them perhaps in packs or in memory as well. */
static void chunk_some(struct corefix *f, struct str run, struct shape *s, size_t n)
{
    static const struct write_kind kind = { .name = "test.chunks", .validate = chunks_write };
    struct chunks *c = ARENA_NEW(f->a, struct chunks);
    struct str name = names[t_rand_below(KEYS)];
    struct point tmp[1000], *have;
    struct run_view view;
    size_t have_n;
    bool more;

    T_OK(c);
    c->op = (struct write_op){ .kind = &kind, .arena = f->a };
    c->f = f;
    T_ST_ERR(run_get(&f->v, run, &view, &f->err), OK, &f->err);
    c->owner = view.uid;
    T_ST_ERR(run_metric_history(&f->v, run, name, NULL, 6000, &have, &have_n, &more, &f->err), OK,
             &f->err);
    T_ST_ERR(mkeys_find(f->core->mkeys, f->v.conn, name, &c->key, &f->err), OK, &f->err);
    if (c->key == 0 || n == 0) return;
    for (size_t i = 0; i < n; i++) {
        s->step += s->step < 1000000 ? (int64_t)t_rand_below(3) : 0;
        s->time += s->still ? 0 : (int64_t)t_rand_below(50);
        c->p[i] = (struct point){ s->step, s->time, a_value(s) };
        if (c->p[i].value != c->p[i].value) c->p[i].value = num_canonical_nan();
        if (t_rand_below(100) < s->jumpy) c->p[i].step = anywhere(s);
        if (have_n > 0 && t_rand_below(100) < s->again) c->p[i] = have[t_rand_below(have_n)];
    }
    points_sort(c->p, tmp, n);
    c->n = points_dedupe(c->p, n);
    T_ST_ERR(corefix_run(f, &c->op), OK, &f->err);
}

static struct str a_run(struct corefix *f)
{
    struct shape s = { .step = (int64_t)t_rand_below(100),
                       .time = 1000 + (int64_t)t_rand_below(100),
                       .jumpy = t_rand_below(2) ? (unsigned)t_rand_below(30) : 0,
                       .odd = t_rand_below(2) ? (unsigned)t_rand_below(100) : 0,
                       .again = (unsigned)t_rand_below(20),
                       .still = t_rand_below(5) == 0,
                       .extreme = t_rand_below(6) == 0 };
    struct run_create c;
    size_t calls = (size_t)t_rand_below(5);

    if (t_rand_below(3) == 0) { /* as most histories are */
        s = (struct shape){ .step = s.step, .time = s.time, .odd = (unsigned)t_rand_below(2) };
        calls = 3;
    }
    run_create_init(&c, f->core, f->a);
    c.start_ms = t_rand_below(4) ? 900 : 0;
    T_ST_ERR(corefix_run(f, &c.op), OK, &f->err);
    for (size_t i = 0; i < calls; i++) {
        struct shape before = s;
        size_t n = (size_t)t_rand_below(t_rand_below(3) ? 40 : 300);

        log_some(f, c.run_id, &s, n);
        if (t_rand_below(3) == 0) T_ST_ERR(seq_drain(f->core->seq, &f->err), OK, &f->err);
        if (t_rand_below(2) == 0) chunk_some(f, c.run_id, &s, (size_t)t_rand_below(1000));
        if (s.again && t_rand_below(4) == 0)
            s = before; /* a process that began again from a checkpoint */
    }
    return c.run_id;
}

/* ---- the reference ---------------------------------------------------------------------------------------------------------- */

struct reference {
    enum chart_axis axis;
    struct chart_mark m[POINTS_MAX];
    size_t n;
    int64_t unjoined, origin;
};

static int x_cmp(enum chart_axis axis, const struct chart_mark *a, const struct chart_mark *b)
{
    return axis == CHART_METRIC ? (a->x.d > b->x.d) - (a->x.d < b->x.d)
                                : (a->x.i > b->x.i) - (a->x.i < b->x.i);
}

static enum chart_axis sort_axis;

static int order(const void *a, const void *b)
{
    const struct chart_mark *x = a, *y = b;
    int c = x_cmp(sort_axis, x, y);

    return c != 0 ? c : point_cmp(&x->p, &y->p);
}

static void read_all(struct corefix *f, struct str run, struct str key, struct point **p, size_t *n)
{
    bool more;

    T_ST_ERR(run_metric_history(&f->v, run, key, NULL, POINTS_MAX, p, n, &more, &f->err), OK,
             &f->err);
    T_OK(!more);
}

static bool joined(const struct point *x, size_t n, int64_t step, double *out)
{
    const struct point *best = NULL;

    for (size_t i = 0; i < n; i++) {
        if (x[i].step == step && (!best || point_latest_cmp(&x[i], best) > 0)) best = &x[i];
    }
    *out = best ? best->value : 0;
    return best && isfinite(best->value);
}

/* All points of a series where they stand on the axis, in order. */
static void reference_of(struct corefix *f, struct str run, struct str key, struct str x_key,
                         int64_t start_ms, enum chart_axis axis, struct reference *r)
{
    struct point *p, *x = NULL;
    size_t n, x_n = 0;

    read_all(f, run, key, &p, &n);
    if (axis == CHART_METRIC) read_all(f, run, x_key, &x, &x_n);
    *r = (struct reference){ .axis = axis };
    r->origin = start_ms > 0 ? start_ms : n > 0 ? p[0].timestamp_ms : 0;
    for (size_t i = 0; i < n; i++) {
        struct chart_mark m = { .p = p[i] };

        if (axis == CHART_METRIC) {
            if (!joined(x, x_n, p[i].step, &m.x.d)) {
                r->unjoined++;
                continue;
            }
        } else if (axis == CHART_RELATIVE) {
            if (__builtin_sub_overflow(p[i].timestamp_ms, r->origin, &m.x.i)) {
                m.x.i = p[i].timestamp_ms < 0 ? INT64_MIN : INT64_MAX;
            }
        } else {
            m.x.i = axis == CHART_STEP ? p[i].step : p[i].timestamp_ms;
        }
        r->m[r->n++] = m;
    }
    sort_axis = axis;
    qsort(r->m, r->n, sizeof(r->m[0]), order);
}

/* Along a time the step of an end may be unknown; nobody is told it. */
static bool same_mark(const struct chart_mark *a, const struct chart_mark *b, enum chart_axis axis)
{
    if (axis == CHART_TIME || axis == CHART_RELATIVE) {
        return a->x.i == b->x.i && a->p.timestamp_ms == b->p.timestamp_ms &&
               point_value_cmp(a->p.value, b->p.value) == 0;
    }
    return x_cmp(axis, a, b) == 0 && point_cmp(&a->p, &b->p) == 0;
}

/* Whether the bucket says what the points from..to are. */
static void check_bucket(const struct reference *r, const struct chart_bucket *b, size_t from,
                         size_t to)
{
    const struct chart_mark *low = NULL, *high = NULL;
    struct chart_mark picks[4];
    long double sum = 0;
    int64_t odd = 0;
    size_t n;

    T_INT(b->n, (int64_t)(to - from));
    T_OK(same_mark(&b->first, &r->m[from], r->axis));
    T_OK(same_mark(&b->last, &r->m[to - 1], r->axis));
    for (size_t i = from; i < to; i++) {
        const struct chart_mark *m = &r->m[i];

        if (!isfinite(m->p.value)) {
            odd++;
            continue;
        }
        if (!low || m->p.value < low->p.value) low = m;
        if (!high || m->p.value > high->p.value) high = m;
        sum += (long double)m->p.value;
    }
    T_INT(b->odd_n, odd);
    if (low) {
        double mean = (double)(sum / (long double)(b->n - odd));

        T_OK(same_mark(&b->low, low, r->axis) && same_mark(&b->high, high, r->axis));
        T_OK(fabs(b->mean - mean) <=
             1e-12 * fmax(1, fmax(fabs(low->p.value), fabs(high->p.value))));
    } else {
        T_OK(isnan(b->mean));
    }
    n = chart_picks(b, r->axis == CHART_METRIC, picks);
    T_OK(n >= 1 && n <= 4 && same_mark(&picks[0], &b->first, r->axis) &&
         same_mark(&picks[n - 1], &b->last, r->axis));
    for (size_t i = 1; i < n; i++) {
        sort_axis = r->axis;
        T_OK(order(&picks[i - 1], &picks[i]) < 0);
    }
}

static size_t bucket_of(const struct chart_query *q, const struct chart_mark *m, int64_t lo,
                        int64_t hi, double dlo, double dhi)
{
    if (q->axis == CHART_METRIC) {
        double part = isinf(dhi - dlo) ? (m->x.d / 2 - dlo / 2) / (dhi / 2 - dlo / 2)
                      : dhi > dlo      ? (m->x.d - dlo) / (dhi - dlo)
                                       : 0;
        double at = part * (double)q->buckets;

        return at >= (double)q->buckets ? q->buckets - 1 : (size_t)at;
    }
    {
        wide span = (wide)((uint64_t)hi - (uint64_t)lo) + 1;
        wide n = span < q->buckets ? span : q->buckets;

        return (size_t)((wide)((uint64_t)m->x.i - (uint64_t)lo) * n / span);
    }
}

static bool inside(const struct chart_query *q, const struct chart_mark *m)
{
    if (q->axis == CHART_METRIC) {
        return (!q->has_from || m->x.d >= q->from_value) && (!q->has_to || m->x.d <= q->to_value);
    }
    return (!q->has_from || m->x.i >= q->from) && (!q->has_to || m->x.i <= q->to);
}

/* Exact: bucket for bucket as the grid says. Else: every bucket says what lies between its ends, and nothing is left out. */
static void compare(const struct chart_query *q, struct reference *r, const struct chart_series *s)
{
    size_t n = 0, at = 0, bucket = 0;
    int64_t lo, hi;
    double dlo, dhi;

    for (size_t i = 0; i < r->n; i++) {
        if (inside(q, &r->m[i])) r->m[n++] = r->m[i];
    }
    r->n = n;
    T_INT(s->points, (int64_t)n);
    T_OK(s->n <= q->buckets);
    if (n == 0) {
        T_INT(s->n, 0);
        return;
    }
    lo = q->has_from ? q->from : r->m[0].x.i;
    hi = q->has_to ? q->to : r->m[n - 1].x.i;
    dlo = q->has_from ? q->from_value : r->m[0].x.d;
    dhi = q->has_to ? q->to_value : r->m[n - 1].x.d;
    while (at < n) {
        const struct chart_bucket *b = &s->b[bucket];
        size_t to = at;

        T_OK(bucket < s->n);
        if (s->snapped) {
            while (to < n && x_cmp(q->axis, &r->m[to], &b->last) <= 0)
                to++;
        } else {
            size_t k = bucket_of(q, &r->m[at], lo, hi, dlo, dhi);

            while (to < n && bucket_of(q, &r->m[to], lo, hi, dlo, dhi) == k)
                to++;
        }
        T_OK(to > at);
        check_bucket(r, b, at, to);
        at = to;
        bucket++;
    }
    T_INT(bucket, s->n);
    T_OK(!q->exact || !s->snapped);
}

/* ---- asking ----------------------------------------------------------------------------------------------------------------- */

struct asked {
    size_t snapped, exact;
    int64_t headers;
    struct corefix *f;
    const struct chart_query *q;
    struct str run;
    int64_t start_ms;
    size_t next;
    struct reference r;
};

static enum status answered(void *ctx, size_t metric, const struct chart_series *s, struct err *err)
{
    struct asked *a = ctx;

    (void)err;
    T_INT(metric, a->next++);
    reference_of(a->f, a->run, a->q->metrics[metric], a->q->x_metric, a->start_ms, a->q->axis,
                 &a->r);
    if (a->q->axis == CHART_RELATIVE && a->r.n > 0) T_INT(s->origin_ms, a->r.origin);
    if (a->q->axis == CHART_METRIC) T_INT(s->unjoined, a->r.unjoined);
    compare(a->q, &a->r, s);
    a->snapped += s->snapped;
    a->exact += !s->snapped && s->n > 0;
    return OK;
}

static int64_t an_end(const struct reference *r)
{
    int64_t x = r->n ? r->m[t_rand_below(r->n)].x.i : 0;

    return x > -1000000 && x < 1000000 ? x + (int64_t)t_rand_below(21) - 10 : x;
}

static void ask_randomly(struct corefix *f, struct str run, struct asked *a)
{
    struct str metrics[] = { names[0], names[1], S("none"), names[0] };
    struct run_view view;
    struct chart_query q = { .run_ids = &run,
                             .run_ids_n = 1,
                             .metrics = metrics,
                             .metrics_n = 1 + (size_t)t_rand_below(4),
                             .axis = (enum chart_axis)(1 + t_rand_below(4)),
                             .x_metric = names[t_rand_below(4) ? 2 : 0],
                             .buckets = 1 + (size_t)t_rand_below(t_rand_below(2) ? 10 : 700),
                             .exact = t_rand_below(2) != 0 };
    struct chart c = { .q = &q };
    bool known;

    T_ST_ERR(run_get(&f->v, run, &view, &f->err), OK, &f->err);
    a->f = f;
    a->q = &q;
    a->run = run;
    a->start_ms = view.start_ms;
    a->next = 0;
    reference_of(f, run, names[0], q.x_metric, view.start_ms, q.axis, &a->r);
    q.has_from = t_rand_below(2);
    q.has_to = t_rand_below(2);
    q.from = an_end(&a->r);
    q.to = an_end(&a->r);
    if (q.from > q.to && q.has_from && q.has_to) q.to = q.from;
    q.from_value = (double)q.from;
    q.to_value = (double)q.to;
    if (q.axis == CHART_METRIC) {
        q.from_value = (double)((int64_t)t_rand_below(400) - 100);
        q.to_value = q.from_value + (double)t_rand_below(400);
    }
    T_ST_ERR(chart_check(&q, &f->err), OK, &f->err);
    T_ST_ERR(chart_run(&c, &f->v, 0, &known, answered, a, &f->err), OK, &f->err);
    T_OK(known);
    T_INT(a->next, q.metrics_n);
    a->headers += c.headers;
}

/* ---- the same histories, thinned --------------------------------------------------------------------------------------------- */

static int by_step(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    int c = point_i64_cmp(x->step, y->step);

    if (c == 0) c = point_i64_cmp(x->timestamp_ms, y->timestamp_ms);
    return c != 0 ? c : point_value_cmp(x->value, y->value);
}

static bool is_row(const struct point *p, size_t n, const struct point *row)
{
    return bsearch(row, p, n, sizeof(*p), by_step) != NULL;
}

static void thin_randomly(struct corefix *f, struct str run)
{
    struct metric_interval q = { .run_ids = &run,
                                 .run_ids_n = 1,
                                 .key = names[t_rand_below(KEYS)],
                                 .first_step = INT64_MIN,
                                 .last_step = INT64_MAX,
                                 .max = 1 + (size_t)t_rand_below(t_rand_below(3) ? 60 : 3000) };
    const struct point *low = NULL, *high = NULL;
    bool saw_low = false, saw_high = false;
    struct interval_row *rows;
    struct point *p;
    size_t n, kept = 0, got;

    read_all(f, run, q.key, &p, &n);
    if (t_rand_below(2)) {
        q.first_step = (int64_t)t_rand_below(300) - 20;
        q.last_step = q.first_step + (int64_t)t_rand_below(600);
    }
    for (size_t i = 0; i < n; i++) {
        if (p[i].step >= q.first_step && p[i].step <= q.last_step) p[kept++] = p[i];
    }
    n = kept;
    if (n > 0) qsort(p, n, sizeof(*p), by_step);
    T_ST_ERR(metric_interval(&f->v, &q, &rows, &got, &f->err), OK, &f->err);
    T_OK(got <= q.max && (n > q.max || got == n));
    if (n == 0) return;
    T_OK(point_cmp(&rows[got - 1].point, &p[n - 1]) == 0);
    if (q.max > 1) T_OK(point_cmp(&rows[0].point, &p[0]) == 0);
    for (size_t i = 0; i < n; i++) {
        if (p[i].value != p[i].value) continue;
        if (!low || p[i].value < low->value) low = &p[i];
        if (!high || p[i].value > high->value) high = &p[i];
    }
    for (size_t i = 0; i < got; i++) {
        T_OK(i == 0 || by_step(&rows[i - 1].point, &rows[i].point) < 0);
        T_OK(is_row(p, n, &rows[i].point));
        saw_low |= low && rows[i].point.value == low->value;
        saw_high |= high && rows[i].point.value == high->value;
    }
    if (q.max >= 4 && low) T_OK(saw_low && saw_high);
}

SQL_TEST(charts_say_what_the_points_say)
{
    struct asked *a = calloc(1, sizeof(*a));
    bool slow = sqltest_is_postgres(location);
    struct corefix f;

    T_OK(a);
    corefix_open(&f, location, NULL);
    for (int round = 0; round < (slow ? 8 : 60); round++) {
        struct str run = a_run(&f);

        for (int i = 0; i < 12; i++) {
            ask_randomly(&f, run, a);
            thin_randomly(&f, run);
        }
        if (round % 10 == 9) corefix_reopen(&f);
        corefix_fresh(&f);
    }
    t_note("%zu series on the grid, %zu beside it, %lld summaries", a->exact, a->snapped,
           (long long)a->headers);
    T_OK(slow || (a->snapped > 5 && a->headers > 100));
    corefix_close(&f);
    free(a);
}

static enum status no_series(void *ctx, size_t metric, const struct chart_series *s,
                             struct err *err)
{
    (void)metric;
    (void)s;
    (void)err;
    (*(int *)ctx)++;
    return OK;
}

static enum status stop(void *ctx, size_t metric, const struct chart_series *s, struct err *err)
{
    (void)metric;
    (void)s;
    (*(int *)ctx)++;
    return err_set(err, ST_CANCELLED, "enough");
}

TEST(unknown_runs_and_metrics)
{
    struct str runs[] = { S("nobody"), S("") }, metrics[] = { S("a"), S("b") };
    struct chart_query q = { runs, 2, metrics, 2, .axis = CHART_STEP, .buckets = 10 };
    struct chart c = { .q = &q };
    struct corefix f;
    bool known = true;
    int called = 0;

    corefix_open(&f, t_tmpdir(), NULL);
    T_ST_ERR(chart_run(&c, &f.v, 0, &known, no_series, &called, &f.err), OK, &f.err);
    T_OK(!known && called == 0);
    runs[1] = corefix_new_run(&f, 0);
    T_ST_ERR(chart_run(&c, &f.v, 1, &known, no_series, &called, &f.err), OK, &f.err);
    T_OK(known && called == 2);
    q.axis = CHART_RELATIVE;
    T_ST_ERR(chart_run(&c, &f.v, 0, &known, no_series, &called, &f.err), OK, &f.err);
    T_OK(!known && called == 2);
    T_ST(chart_run(&c, &f.v, 1, &known, stop, &called, &f.err), ST_CANCELLED);
    T_INT(called, 3);
    corefix_close(&f);
}

TEST(limits_name_their_field)
{
    static struct str many[CHART_RUNS_MAX + 1];
    const struct chart_query good = { many, 10, many, 10, .axis = CHART_STEP, .buckets = 320 };
    struct err err = ERR_INIT;
    struct chart_query q = good;

#define REFUSED(field_name, ...)                                                                   \
    q = good;                                                                                      \
    __VA_ARGS__;                                                                                   \
    T_ST(chart_check(&q, &err), ST_INVALID);                                                       \
    T_CSTR(err.field, field_name)
    T_ST_ERR(chart_check(&q, &err), OK, &err);
    REFUSED("run_ids", q.run_ids_n = 0);
    REFUSED("run_ids", q.run_ids_n = CHART_RUNS_MAX + 1);
    REFUSED("metrics", q.metrics_n = 0);
    REFUSED("metrics", q.metrics_n = CHART_METRICS_MAX + 1);
    REFUSED("metrics", q.run_ids_n = 1000; q.metrics_n = 11);
    REFUSED("buckets", q.buckets = 0);
    REFUSED("buckets", q.buckets = CHART_BUCKETS_MAX + 1);
    REFUSED("buckets", q.run_ids_n = 1000; q.buckets = 401);
    REFUSED("buckets", q.run_ids_n = 1; q.metrics_n = 200; q.buckets = 1001);
    REFUSED("x", q.axis = (enum chart_axis)9);
    REFUSED("x_metric", q.axis = CHART_METRIC);
    REFUSED("to", q.has_from = q.has_to = true; q.from = 1);
    REFUSED("to_value", q.axis = CHART_METRIC; q.x_metric = S("x"); q.has_from = q.has_to = true;
            q.from_value = 1);
    REFUSED("from_value", q.axis = CHART_METRIC; q.x_metric = S("x"); q.has_from = true;
            q.from_value = (double)NAN);
}

/* Whatever the length of a history, the view's arena stays as it is. */
TEST(the_arena_of_the_request_is_left_alone)
{
    struct str metrics[] = { S("a") };
    struct chart_query q = { NULL, 1, metrics, 1, .axis = CHART_STEP, .buckets = 320 };
    struct chart c = { .q = &q };
    struct shape s = { .step = 0 };
    struct corefix f;
    struct str run;
    bool known;
    size_t before;
    int called = 0;

    corefix_open(&f, t_tmpdir(), NULL);
    run = corefix_new_run(&f, 0);
    q.run_ids = &run;
    log_some(&f, run, &s, 2000);
    before = arena_bytes(f.v.arena);
    T_ST_ERR(chart_run(&c, &f.v, 0, &known, no_series, &called, &f.err), OK, &f.err);
    T_OK(known && called == 1 && arena_bytes(f.v.arena) == before);
    corefix_close(&f);
}

/* Any one allocation fails: the read says so, and works afterwards. */
TEST(out_of_memory)
{
    struct str metrics[] = { S("a"), S("b") };
    struct chart_query q = { .metrics = metrics, .run_ids_n = 1, .metrics_n = 2, .buckets = 50 };
    struct metric_interval in = { .run_ids_n = 1,
                                  .key = metrics[0],
                                  .first_step = INT64_MIN,
                                  .last_step = INT64_MAX,
                                  .max = 40 };
    struct shape s = { .step = 0 };
    struct corefix f;
    struct str run;
    bool failed = true;

    corefix_open(&f, t_tmpdir(), NULL);
    run = corefix_new_run(&f, 0);
    q.run_ids = in.run_ids = &run;
    q.x_metric = names[2];
    log_some(&f, run, &s, 500);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    chunk_some(&f, run, &s, 500);
    log_some(&f, run, &s, 100);
    for (int64_t n = 1; failed; n++) {
        struct chart c = { .q = &q };
        struct interval_row *rows;
        enum status st[3];
        size_t rows_n;
        bool known;
        int called = 0;

        mem_fail_after(n, true);
        q.axis = CHART_METRIC;
        st[0] = chart_run(&c, &f.v, 0, &known, no_series, &called, &f.err);
        mem_fail_after(n, true);
        q.axis = CHART_RELATIVE;
        st[1] = chart_run(&c, &f.v, 0, &known, no_series, &called, &f.err);
        mem_fail_after(n, true);
        st[2] = metric_interval(&f.v, &in, &rows, &rows_n, &f.err);
        failed = st[0] || st[1] || st[2];
        for (size_t i = 0; i < 3; i++) {
            T_OK(st[i] == OK || st[i] == ST_NOMEM || st[i] == ST_UNAVAILABLE);
        }
        T_OK(n < 5000);
        mem_fail_never();
    }
    corefix_close(&f);
}
