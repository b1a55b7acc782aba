/* core/chart.c - cutting series into buckets, see chart.h.
 * A series comes as pieces (store/series/pieces.h), sorted by time. Pieces outside the range are left alone; those that overlap are
 * merged, point by point; one that overlaps none is taken by its summary where that says enough, else read.
 * Cost: about 15 ns a point that is read, 50 ns a summary. */
#include "core/chart.h"

#include "base/map.h"
#include "base/mem.h"
#include "core/run_int.h"
#include "store/mkeys.h"
#include "store/series/pieces.h"
#include "store/series/series.h"

#include <math.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 u128;

enum { READ_ROOM = 64 << 20, READ_ROOM_ONE = 1 << 30, RUN_ROOM = 64 << 20, JOIN_FIRST = 4096 };

/* ---- checks ---------------------------------------------------------------------------------------------------------------- */

static enum status check_counts(const struct chart_query *q, struct err *err)
{
    if (q->run_ids_n == 0 || q->run_ids_n > CHART_RUNS_MAX) {
        return err_field(err, ST_INVALID, "run_ids", "a chart has 1 to %d runs, not %zu",
                         (int)CHART_RUNS_MAX, q->run_ids_n);
    }
    if (q->metrics_n == 0 || q->metrics_n > CHART_METRICS_MAX) {
        return err_field(err, ST_INVALID, "metrics", "a chart has 1 to %d metrics, not %zu",
                         (int)CHART_METRICS_MAX, q->metrics_n);
    }
    if (q->run_ids_n * q->metrics_n > CHART_SERIES_MAX) {
        return err_field(err, ST_INVALID, "metrics",
                         "a chart has at most %d series, not %zu runs times %zu metrics",
                         (int)CHART_SERIES_MAX, q->run_ids_n, q->metrics_n);
    }
    if (q->buckets == 0 || q->buckets > CHART_BUCKETS_MAX) {
        return err_field(err, ST_INVALID, "buckets", "a chart has 1 to %d buckets",
                         (int)CHART_BUCKETS_MAX);
    }
    if (q->metrics_n * q->buckets > CHART_RUN_CELLS_MAX) {
        return err_field(err, ST_INVALID, "buckets",
                         "%zu metrics of %zu buckets are more than %d buckets of a run",
                         q->metrics_n, q->buckets, (int)CHART_RUN_CELLS_MAX);
    }
    if (q->run_ids_n * q->metrics_n * q->buckets > CHART_CELLS_MAX) {
        return err_field(err, ST_INVALID, "buckets",
                         "%zu series of %zu buckets are more than %d buckets in all",
                         q->run_ids_n * q->metrics_n, q->buckets, (int)CHART_CELLS_MAX);
    }
    return OK;
}

enum status chart_check(const struct chart_query *q, struct err *err)
{
    enum status st = check_counts(q, err);

    if (st) return st;
    if (q->axis < CHART_STEP || q->axis > CHART_METRIC) {
        return err_field(err, ST_INVALID, "x", "there is no such axis");
    }
    if (q->axis == CHART_METRIC) {
        if (q->x_metric.n == 0) {
            return err_field(err, ST_INVALID, "x_metric", "the metric of the x axis is missing");
        }
        if ((q->has_from && !isfinite(q->from_value)) || (q->has_to && !isfinite(q->to_value))) {
            return err_field(err, ST_INVALID, q->has_from ? "from_value" : "to_value",
                             "a range has finite ends");
        }
        if (q->has_from && q->has_to && q->from_value > q->to_value) {
            return err_field(err, ST_INVALID, "to_value", "the range ends before it begins");
        }
    } else if (q->has_from && q->has_to && q->from > q->to) {
        return err_field(err, ST_INVALID, "to", "the range ends before it begins");
    }
    return OK;
}

/* ---- the grid -------------------------------------------------------------------------------------------------------------- */

/* lo..hi, both inside, in `n` buckets. Whole numbers are exact up to the whole range of 64 bits. */
struct grid {
    size_t n;
    int64_t lo, hi;
    u128 span;  /* hi - lo + 1 */
    bool small; /* span times n fits 64 bits */
    double dlo, dhi;
    size_t at; /* bucket of the last look-up, from at_lo to at_hi */
    int64_t at_lo, at_hi;
};

static void grid_int(struct grid *g, int64_t lo, int64_t hi, size_t buckets)
{
    *g = (struct grid){ .lo = lo, .hi = hi, .at_lo = 1, .at_hi = 0 };
    g->span = (u128)((uint64_t)hi - (uint64_t)lo) + 1;
    g->n = g->span < buckets ? (size_t)g->span : buckets;
    g->small = g->span <= UINT64_MAX / CHART_BUCKETS_MAX - 1;
}

/* First offset of bucket b. */
static uint64_t grid_edge(const struct grid *g, size_t b)
{
    if (g->small) {
        return ((uint64_t)b * (uint64_t)g->span + g->n - 1) / g->n;
    }
    return (uint64_t)(((u128)b * g->span + g->n - 1) / g->n);
}

/* x lies in the range. */
static size_t grid_at(struct grid *g, int64_t x)
{
    uint64_t off = (uint64_t)x - (uint64_t)g->lo;

    if (x >= g->at_lo && x <= g->at_hi) {
        return g->at;
    }
    g->at =
        g->small ? (size_t)(off * g->n / (uint64_t)g->span) : (size_t)((u128)off * g->n / g->span);
    g->at_lo = (int64_t)((uint64_t)g->lo + grid_edge(g, g->at));
    g->at_hi = (int64_t)((uint64_t)g->lo + grid_edge(g, g->at + 1) - 1);
    return g->at;
}

static size_t grid_at_double(const struct grid *g, double x)
{
    double span = g->dhi - g->dlo, part;

    if (isinf(span)) {
        part = (x / 2 - g->dlo / 2) / (g->dhi / 2 - g->dlo / 2);
    } else {
        part = span > 0 ? (x - g->dlo) / span : 0;
    }
    part *= (double)g->n;
    return part >= (double)g->n ? g->n - 1 : (size_t)part;
}

/* ---- buckets --------------------------------------------------------------------------------------------------------------- */

/* The newest values of the x metric, by step. */
struct join {
    struct point *p;
    size_t n, cap, at;
    bool unsorted;
};

/* The pieces of one series; the parts are those of its run. */
struct series_pieces {
    struct parts *parts;
    const struct parts_key *key;
    struct piece *p;
    size_t n;
};

struct work {
    struct chart *c;
    enum chart_axis axis;
    struct grid grid;
    struct chart_bucket *b; /* grid.n; n == 0: nothing else is set */
    long double *sum;
    int64_t origin_ms, unjoined;
    struct join *join;
    bool snapped;
    /* finding the ends of a joined series */
    bool measure, any;
    double least, most;
};

static int64_t sub_sat(int64_t a, int64_t b)
{
    int64_t out;

    if (__builtin_sub_overflow(a, b, &out)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return out;
}

static int mark_cmp(const struct work *w, const struct chart_mark *a, const struct chart_mark *b)
{
    int c = w->axis == CHART_METRIC ? (a->x.d > b->x.d) - (a->x.d < b->x.d)
                                    : (a->x.i > b->x.i) - (a->x.i < b->x.i);

    return c != 0 ? c : point_cmp(&a->p, &b->p);
}

static void bucket_ends(const struct work *w, struct chart_bucket *b, const struct chart_mark *from,
                        const struct chart_mark *to)
{
    if (b->n == 0) {
        b->first = *from;
        b->last = *to;
        b->odd_n = 0;
        return;
    }
    if (mark_cmp(w, from, &b->first) < 0) b->first = *from;
    if (mark_cmp(w, to, &b->last) > 0) b->last = *to;
}

static void bucket_low(const struct work *w, struct chart_bucket *b, const struct chart_mark *m)
{
    double v = m->p.value;

    if (b->n == b->odd_n || v < b->low.p.value ||
        (v == b->low.p.value && mark_cmp(w, m, &b->low) < 0)) {
        b->low = *m;
    }
}

static void bucket_high(const struct work *w, struct chart_bucket *b, const struct chart_mark *m)
{
    double v = m->p.value;

    if (b->n == b->odd_n || v > b->high.p.value ||
        (v == b->high.p.value && mark_cmp(w, m, &b->high) < 0)) {
        b->high = *m;
    }
}

static void add_mark(struct work *w, size_t at, const struct chart_mark *m)
{
    struct chart_bucket *b = &w->b[at];

    bucket_ends(w, b, m, m);
    if (b->n == 0) w->sum[at] = 0;
    if (isfinite(m->p.value)) {
        bucket_low(w, b, m);
        bucket_high(w, b, m);
        w->sum[at] += (long double)m->p.value;
    } else {
        b->odd_n++;
    }
    b->n++;
}

static int64_t x_of(const struct work *w, const struct point *p)
{
    if (w->axis == CHART_STEP) return p->step;
    return w->axis == CHART_TIME ? p->timestamp_ms : sub_sat(p->timestamp_ms, w->origin_ms);
}

/* What some points that follow each other along the axis come to. */
struct sum {
    struct chart_mark first, last, low, high;
    int64_t n, odd_n;
    long double sum;
};

static void add_sum(struct work *w, size_t at, const struct sum *s)
{
    struct chart_bucket *b = &w->b[at];

    bucket_ends(w, b, &s->first, &s->last);
    if (b->n == 0) w->sum[at] = 0;
    if (s->odd_n < s->n) {
        bucket_low(w, b, &s->low);
        bucket_high(w, b, &s->high);
        w->sum[at] += s->sum;
    }
    b->n += s->n;
    b->odd_n += s->odd_n;
}

/* Points come in order of time; those that fall into one bucket one after the other, x never decreasing, are summed up first. */
static enum status add_points(void *ctx, const struct point *p, size_t n, struct err *err)
{
    struct work *w = ctx;
    size_t i = 0;

    (void)err;
    while (i < n) {
        int64_t x = x_of(w, &p[i]), end;
        size_t from = i, low = SIZE_MAX, high = SIZE_MAX, at;
        struct sum s = { .n = 0 };

        if (x < w->grid.lo || x > w->grid.hi) {
            i++;
            continue;
        }
        at = grid_at(&w->grid, x);
        end = w->grid.at_hi;
        s.first = (struct chart_mark){ .p = p[i], .x.i = x };
        for (int64_t before = x; i < n; i++) {
            double v = p[i].value;

            x = x_of(w, &p[i]);
            if (x < before || x > end) break;
            before = x;
            if (!isfinite(v)) {
                s.odd_n++;
                continue;
            }
            s.sum += (long double)v;
            if (low == SIZE_MAX || v < p[low].value) low = i;
            if (high == SIZE_MAX || v > p[high].value) high = i;
        }
        s.n = (int64_t)(i - from);
        s.last = (struct chart_mark){ .p = p[i - 1], .x.i = x_of(w, &p[i - 1]) };
        if (low != SIZE_MAX) {
            s.low = (struct chart_mark){ .p = p[low], .x.i = x_of(w, &p[low]) };
            s.high = (struct chart_mark){ .p = p[high], .x.i = x_of(w, &p[high]) };
        }
        add_sum(w, at, &s);
    }
    return OK;
}

/* ---- the x metric ---------------------------------------------------------------------------------------------------------- */

static enum status join_add(void *ctx, const struct point *p, size_t n, struct err *err)
{
    struct join *j = ctx;

    for (size_t i = 0; i < n; i++) {
        if (j->n > 0 && j->p[j->n - 1].step == p[i].step) {
            j->p[j->n - 1] = p[i]; /* later in order: newer */
            continue;
        }
        if (j->n == CHART_JOIN_MAX) {
            return err_field(err, ST_INVALID, "x_metric",
                             "the metric of the x axis has more than %d points",
                             (int)CHART_JOIN_MAX);
        }
        if (j->n == j->cap) {
            size_t cap = j->cap ? j->cap * 2 : JOIN_FIRST;
            struct point *more = (struct point *)mem_realloc(j->p, cap * sizeof(*more));

            if (!more) return err_nomem(err);
            j->p = more;
            j->cap = cap;
        }
        j->unsorted = j->unsorted || (j->n > 0 && j->p[j->n - 1].step > p[i].step);
        j->p[j->n++] = p[i];
    }
    return OK;
}

static int by_latest(const void *a, const void *b)
{
    return point_latest_cmp((const struct point *)a, (const struct point *)b);
}

static void join_sort(struct join *j)
{
    size_t out = 0;

    if (!j->unsorted) return;
    qsort(j->p, j->n, sizeof(*j->p), by_latest);
    for (size_t i = 0; i < j->n; i++) {
        if (out > 0 && j->p[out - 1].step == j->p[i].step) out--;
        j->p[out++] = j->p[i];
    }
    j->n = out;
}

/* False when there is no finite value at that step. */
static bool join_find(struct join *j, int64_t step, double *x)
{
    size_t lo = 0, hi = j->n;

    if (j->at + 1 < j->n && j->p[j->at + 1].step == step) {
        j->at++;
    } else if (j->at >= j->n || j->p[j->at].step != step) {
        while (lo < hi) {
            size_t mid = lo + (hi - lo) / 2;

            if (j->p[mid].step < step) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        if (lo == j->n || j->p[lo].step != step) return false;
        j->at = lo;
    }
    *x = j->p[j->at].value;
    return isfinite(*x);
}

static enum status add_joined(void *ctx, const struct point *p, size_t n, struct err *err)
{
    struct work *w = ctx;

    (void)err;
    for (size_t i = 0; i < n; i++) {
        struct chart_mark m = { .p = p[i] };

        if (!join_find(w->join, p[i].step, &m.x.d)) {
            w->unjoined += !w->measure;
        } else if (w->measure) {
            w->least = !w->any || m.x.d < w->least ? m.x.d : w->least;
            w->most = !w->any || m.x.d > w->most ? m.x.d : w->most;
            w->any = true;
        } else if (m.x.d >= w->grid.dlo && m.x.d <= w->grid.dhi) {
            add_mark(w, grid_at_double(&w->grid, m.x.d), &m);
        }
    }
    return OK;
}

/* ---- pieces ---------------------------------------------------------------------------------------------------------------- */

static int64_t piece_x0(const struct work *w, const struct piece *p)
{
    return w->axis == CHART_STEP ? p->s0 : x_of(w, &p->first);
}

static int64_t piece_x1(const struct work *w, const struct piece *p)
{
    return w->axis == CHART_STEP ? p->s1 : x_of(w, &p->last);
}

static bool piece_outside(const struct work *w, const struct piece *p)
{
    return piece_x1(w, p) < w->grid.lo || piece_x0(w, p) > w->grid.hi;
}

/* Whether the summary says all that a bucket needs: its ends in the order of the axis, and finite extremes. */
static bool piece_tells(const struct work *w, const struct piece *p)
{
    return !p->points && (w->axis != CHART_STEP || p->monotone) &&
           (p->nan_n == p->n ||
            (isfinite(p->low.value) && isfinite(p->high.value) && isfinite(p->sum)));
}

/* Adds a piece that overlaps no other by its summary. `apart`: nor does it along the axis. False when it has to be read. */
static bool add_summary(struct work *w, const struct piece *p, bool apart)
{
    struct sum s = { .first = { .p = p->first, .x.i = piece_x0(w, p) },
                     .last = { .p = p->last, .x.i = piece_x1(w, p) },
                     .low = { .p = p->low, .x.i = x_of(w, &p->low) },
                     .high = { .p = p->high, .x.i = x_of(w, &p->high) },
                     .n = (int64_t)p->n,
                     .odd_n = (int64_t)p->nan_n,
                     .sum = (long double)p->sum };
    size_t at;

    if (!piece_tells(w, p) || s.first.x.i < w->grid.lo || s.last.x.i > w->grid.hi) return false;
    at = grid_at(&w->grid, s.first.x.i);
    if (at != grid_at(&w->grid, s.last.x.i)) {
        uint64_t width = (uint64_t)s.last.x.i - (uint64_t)s.first.x.i;

        if (w->c->q->exact || !apart || width > w->grid.span / w->grid.n) return false;
        at = grid_at(&w->grid, (int64_t)((uint64_t)s.first.x.i + width / 2));
        w->snapped = true;
    }
    add_sum(w, at, &s);
    w->c->headers++;
    return true;
}

struct along {
    int64_t x0, x1;
    size_t piece;
};

static int by_x(const void *a, const void *b)
{
    return point_i64_cmp(((const struct along *)a)->x0, ((const struct along *)b)->x0);
}

/* Which pieces overlap no other along the axis. */
static enum status find_apart(const struct work *w, const struct series_pieces *l, bool *apart,
                              struct err *err)
{
    struct along *s = (struct along *)mem_alloc((l->n + 1) * sizeof(*s));
    int64_t reach = INT64_MIN;

    if (!s) return err_nomem(err);
    for (size_t i = 0; i < l->n; i++) {
        s[i] = (struct along){ piece_x0(w, &l->p[i]), piece_x1(w, &l->p[i]), i };
    }
    if (l->n > 1) qsort(s, l->n, sizeof(*s), by_x);
    for (size_t i = 0; i < l->n; i++) {
        apart[s[i].piece] = (i == 0 || reach < s[i].x0) && (i + 1 == l->n || s[i].x1 < s[i + 1].x0);
        reach = MAX_OF(reach, s[i].x1);
    }
    mem_free(s);
    return OK;
}

static enum status read_pieces(struct work *w, const struct series_pieces *l, size_t from, size_t n,
                               struct err *err)
{
    const struct piece *p = l->p + from;

    for (size_t i = 0; i < n; i++) {
        w->c->decoded += (int64_t)p[i].n;
    }
    if (w->c->decoded > CHART_DECODE_MAX) {
        return err_field(
            err, ST_TOO_BIG, "run_ids",
            "the chart would read more than %d points: ask for fewer series or less of them",
            (int)CHART_DECODE_MAX);
    }
    return pieces_each(l->parts, l->key, p, n, w->axis == CHART_METRIC ? add_joined : add_points, w,
                       err);
}

/* Fills the buckets; leaves out pieces beyond the range (p is compacted). */
static enum status add_pieces(struct work *w, struct series_pieces *l, struct err *err)
{
    bool *apart = (bool *)mem_zalloc(l->n + 1, sizeof(*apart)), summaries = false;
    size_t kept = 0, to;
    enum status st = apart ? OK : err_nomem(err);

    for (size_t i = 0; i < l->n && !st; i++) {
        if (!piece_outside(w, &l->p[i])) {
            summaries = summaries || !l->p[i].points;
            l->p[kept++] = l->p[i];
        }
    }
    l->n = st ? 0 : kept;
    if (!st && summaries && !w->c->q->exact) st = find_apart(w, l, apart, err);
    for (size_t from = 0; from < l->n && !st; from = to) {
        size_t reach = from;

        for (to = from + 1; to < l->n && !piece_before(&l->p[reach], &l->p[to]); to++) {
            if (point_cmp(&l->p[to].last, &l->p[reach].last) > 0) reach = to;
        }
        if (to - from > 1 || !add_summary(w, &l->p[from], apart[from])) {
            st = read_pieces(w, l, from, to - from, err);
        }
    }
    mem_free(apart);
    return st;
}

/* ---- series ---------------------------------------------------------------------------------------------------------------- */

static enum status measure_joined(struct work *w, const struct series_pieces *l, struct err *err)
{
    const struct chart_query *q = w->c->q;
    enum status st = OK;

    if (!q->has_from || !q->has_to) {
        w->measure = true;
        w->any = false;
        st = read_pieces(w, l, 0, l->n, err);
        w->measure = false;
    } else {
        w->any = true;
    }
    w->grid = (struct grid){ .n = q->buckets };
    w->grid.dlo = q->has_from ? q->from_value : w->least;
    w->grid.dhi = q->has_to ? q->to_value : w->most;
    return st;
}

static enum status series_joined(struct work *w, struct series_pieces *l, struct err *err)
{
    enum status st = measure_joined(w, l, err);

    if (st) return st;
    if (!w->any || w->grid.dlo > w->grid.dhi) {
        w->grid.dlo = 1; /* nothing lies in it */
        w->grid.dhi = 0;
    }
    for (size_t i = 0; i < w->grid.n; i++) {
        w->b[i].n = 0;
    }
    return read_pieces(w, l, 0, l->n, err);
}

static enum status series_plain(struct work *w, struct series_pieces *l, struct err *err)
{
    const struct chart_query *q = w->c->q;
    int64_t lo = INT64_MAX, hi = INT64_MIN;

    if (l->n == 0) return OK;
    if (w->axis == CHART_RELATIVE && w->origin_ms <= 0) {
        w->origin_ms = l->p[0].first.timestamp_ms;
    }
    for (size_t i = 0; i < l->n; i++) {
        lo = MIN_OF(lo, piece_x0(w, &l->p[i]));
        hi = MAX_OF(hi, piece_x1(w, &l->p[i]));
    }
    lo = q->has_from ? q->from : lo;
    hi = q->has_to ? q->to : hi;
    if (lo > hi) return OK;
    grid_int(&w->grid, lo, hi, q->buckets);
    for (size_t i = 0; i < w->grid.n; i++) {
        w->b[i].n = 0;
    }
    return add_pieces(w, l, err);
}

static void finish(struct work *w, struct chart_series *out)
{
    *out = (struct chart_series){
        .b = w->b, .unjoined = w->unjoined, .origin_ms = w->origin_ms, .snapped = w->snapped
    };
    for (size_t i = 0; i < w->grid.n; i++) {
        struct chart_bucket *b = &w->b[i];

        if (b->n == 0) continue;
        b->mean = b->odd_n < b->n ? (double)(w->sum[i] / (long double)(b->n - b->odd_n))
                                  : num_canonical_nan();
        out->points += b->n;
        if (out->n != i) w->b[out->n] = *b;
        out->n++;
    }
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------ */

/* What one run needs: which key each metric is, and room. */
struct run_work {
    struct chart *c;
    struct view v;      /* its arena is ours, for the whole run */
    struct arena *room; /* for parts and pieces */
    int64_t uid, origin_ms;
    uint32_t keys[CHART_METRICS_MAX]; /* those that exist, each once, rising */
    size_t keys_n;
    uint32_t of[CHART_METRICS_MAX]; /* metric -> key, 0: none */
    struct join join;
    struct chart_bucket *b;
    long double *sum;
    enum status (*fn)(void *ctx, size_t metric, const struct chart_series *s, struct err *err);
    void *ctx;
};

static int by_key(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static enum status find_keys(struct run_work *r, struct err *err)
{
    const struct chart_query *q = r->c->q;
    size_t n = 0;
    enum status st = OK;

    for (size_t m = 0; m < q->metrics_n && !st; m++) {
        st = mkeys_find(r->v.core->mkeys, r->v.conn, q->metrics[m], &r->of[m], err);
        if (!st && r->of[m] != 0) r->keys[r->keys_n++] = r->of[m];
    }
    if (r->keys_n > 1) qsort(r->keys, r->keys_n, sizeof(r->keys[0]), by_key);
    for (size_t i = 0; i < r->keys_n; i++) {
        if (n == 0 || r->keys[n - 1] != r->keys[i]) r->keys[n++] = r->keys[i];
    }
    r->keys_n = n;
    return st;
}

/* What times are wanted, as far as the axis says. */
static void want_times(const struct run_work *r, struct parts_want *w)
{
    const struct chart_query *q = r->c->q;
    int64_t origin = q->axis == CHART_RELATIVE ? r->origin_ms : 0;
    bool known = q->axis == CHART_TIME || (q->axis == CHART_RELATIVE && origin > 0);

    w->from_ms = INT64_MIN;
    w->to_ms = INT64_MAX;
    /* A relative time beyond 64 bits stands at their end. */
    if (known && q->has_from && q->from != INT64_MIN &&
        __builtin_add_overflow(q->from, origin, &w->from_ms)) {
        w->from_ms = INT64_MIN;
    }
    if (known && q->has_to && q->to != INT64_MAX &&
        __builtin_add_overflow(q->to, origin, &w->to_ms)) {
        w->to_ms = INT64_MAX;
    }
}

static enum status open_parts(struct run_work *r, const uint32_t *keys, size_t n, struct parts *p,
                              struct err *err)
{
    struct parts_want want = { .keys = keys, .keys_n = n };

    want_times(r, &want);
    return parts_open(p, r->v.core->series, r->v.conn, r->room, r->uid, &want, err);
}

static enum status pieces_of_key(struct run_work *r, struct parts *parts, uint32_t key,
                                 struct series_pieces *out, struct err *err)
{
    *out = (struct series_pieces){ .parts = parts };
    for (size_t i = 0; i < parts->keys_n; i++) {
        if (parts->keys[i].key == key) out->key = &parts->keys[i];
    }
    return out->key ? pieces_of(out->key, r->room, &out->p, &out->n, err) : OK;
}

static enum status load_join(struct run_work *r, struct err *err)
{
    struct series_pieces l;
    struct parts parts;
    uint32_t key;
    enum status st = mkeys_find(r->v.core->mkeys, r->v.conn, r->c->q->x_metric, &key, err);

    if (st || key == 0) return st;
    st = open_parts(r, &key, 1, &parts, err);
    if (st) return st;
    st = pieces_of_key(r, &parts, key, &l, err);
    for (size_t i = 0; i < l.n && !st; i++) {
        r->c->decoded += (int64_t)l.p[i].n;
    }
    if (!st) st = pieces_each(&parts, l.key, l.p, l.n, join_add, &r->join, err);
    parts_close(&parts);
    arena_reset(r->room);
    join_sort(&r->join);
    return st;
}

static enum status one_series(struct run_work *r, struct parts *parts, size_t metric,
                              struct err *err)
{
    struct work w = { .c = r->c,
                      .axis = r->c->q->axis,
                      .b = r->b,
                      .sum = r->sum,
                      .origin_ms = r->origin_ms,
                      .join = &r->join };
    struct series_pieces l;
    struct chart_series out;
    enum status st = pieces_of_key(r, parts, r->of[metric], &l, err);

    if (st) return st;
    st = w.axis == CHART_METRIC ? series_joined(&w, &l, err) : series_plain(&w, &l, err);
    if (st) return st;
    finish(&w, &out);
    return r->fn(r->ctx, metric, &out, err);
}

/* All metrics in one reading of the run; metric by metric where they do not fit into memory together. */
static enum status all_series(struct run_work *r, struct err *err)
{
    const struct chart_query *q = r->c->q;
    struct parts parts = { 0 };
    enum status st = open_parts(r, r->keys, r->keys_n, &parts, err);
    bool together = st != ST_NOMEM;

    if (!together) {
        arena_free(r->room);
        r->room = arena_new(READ_ROOM_ONE);
        st = r->room ? OK : err_nomem(err);
    }
    for (size_t m = 0; m < q->metrics_n && !st; m++) {
        if (!together) {
            parts_close(&parts);
            arena_reset(r->room);
            st = open_parts(r, &r->of[m], r->of[m] != 0, &parts, err);
        }
        if (!st) st = one_series(r, &parts, m, err);
    }
    parts_close(&parts);
    return st;
}

static enum status origin_of(struct run_work *r, struct str run_id, struct err *err)
{
    struct run_view run;
    enum status st;

    if (r->c->q->axis != CHART_RELATIVE) return OK;
    st = run_get(&r->v, run_id, &run, err);
    r->origin_ms = st ? 0 : run.start_ms;
    return st;
}

static enum status run_charts(struct run_work *r, struct str run_id, struct err *err)
{
    const struct chart_query *q = r->c->q;
    enum status st = origin_of(r, run_id, err);

    if (!st) st = find_keys(r, err);
    if (!st && q->axis == CHART_METRIC) st = load_join(r, err);
    return st ? st : all_series(r, err);
}

enum status chart_run(struct chart *c, struct view *v, size_t run, bool *known,
                      enum status (*fn)(void *ctx, size_t metric, const struct chart_series *s,
                                        struct err *err),
                      void *ctx, struct err *err)
{
    struct run_work *r = (struct run_work *)mem_zalloc(1, sizeof(*r));
    struct str run_id = c->q->run_ids[run];
    enum status st;

    *known = true;
    if (!r) return err_nomem(err);
    r->c = c;
    r->fn = fn;
    r->ctx = ctx;
    r->v = *v;
    r->v.arena = arena_new(RUN_ROOM);
    r->room = arena_new(READ_ROOM);
    r->b = (struct chart_bucket *)mem_alloc(c->q->buckets * sizeof(*r->b));
    r->sum = (long double *)mem_alloc(c->q->buckets * sizeof(*r->sum));
    if (!r->v.arena || !r->room || !r->b || !r->sum) {
        st = err_nomem(err);
        goto out;
    }
    st = run_uid(&r->v, run_id, &r->uid, err);
    if (!st) st = run_charts(r, run_id, err);
    if (st == ST_NOT_FOUND) {
        *known = false;
        *err = (struct err)ERR_INIT;
        st = OK;
    }
out:
    arena_free(r->v.arena);
    arena_free(r->room);
    mem_free(r->b);
    mem_free(r->sum);
    mem_free(r->join.p);
    mem_free(r);
    return st;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------------- */

size_t chart_picks(const struct chart_bucket *b, bool metric_axis, struct chart_mark out[4])
{
    struct work w = { .axis = metric_axis ? CHART_METRIC : CHART_STEP };
    const struct chart_mark *marks[4] = { &b->first, &b->low, &b->high, &b->last };
    size_t n = 0;

    if (b->n > b->odd_n && mark_cmp(&w, &b->low, &b->high) > 0) {
        marks[1] = &b->high;
        marks[2] = &b->low;
    }
    for (size_t i = 0; i < 4; i++) {
        if (b->n == b->odd_n && (i == 1 || i == 2)) continue;
        if (n == 0 || mark_cmp(&w, &out[n - 1], marks[i]) != 0) out[n++] = *marks[i];
    }
    return n;
}
