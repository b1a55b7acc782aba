/* core/metric_interval.c - thinning that keeps the envelope.
 * A run whose rows in the range fit is returned whole. Otherwise its rows, in order of (step, timestamp, value), are cut into
 * (max - 2) / 2 buckets of equal count; of each bucket the row with the smallest and the row with the largest value stay, beside
 * the first and the last row of the run. So at most max rows come out and no spike is lost. NaN rows stay only as first or last. */
#include "core/metric_interval.h"
#include <math.h>
#include <stdlib.h>

enum { POINTS_MAX = 50000000, ROOM_MAX = 256 << 20 };

static int by_step(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    if (x->step != y->step) {
        return x->step < y->step ? -1 : 1;
    }
    if (x->timestamp_ms != y->timestamp_ms) {
        return x->timestamp_ms < y->timestamp_ms ? -1 : 1;
    }
    /* NaN stands behind every number, so that the order is total: qsort() may do anything with one that is not. */
    if (isnan(x->value) || isnan(y->value)) {
        return (isnan(x->value) ? 1 : 0) - (isnan(y->value) ? 1 : 0);
    }
    return x->value < y->value ? -1 : x->value > y->value;
}

/* Keeps at most max of the n sorted points, in place; returns how many. */
static size_t thin(struct point *p, size_t n, size_t max)
{
    size_t buckets, kept = 0;

    if (n <= max) {
        return n;
    }
    if (max == 1) {
        p[0] = p[n - 1];
        return 1;
    }
    kept = 1; /* the first row stays where it is */
    buckets = (max - 2) / 2;
    for (size_t b = 0; b < buckets; b++) {
        size_t from = 1 + (n - 2) * b / buckets, to = 1 + (n - 2) * (b + 1) / buckets;
        size_t low = SIZE_MAX, high = SIZE_MAX;

        for (size_t i = from; i < to; i++) {
            if (isnan(p[i].value)) {
                continue;
            }
            low = low == SIZE_MAX || p[i].value < p[low].value ? i : low;
            high = high == SIZE_MAX || p[i].value > p[high].value ? i : high;
        }
        if (low == SIZE_MAX) {
            continue;
        }
        /* Both indices are at or behind `kept`, so nothing unread is overwritten. */
        if (low == high) {
            p[kept++] = p[low];
        } else {
            struct point first = p[MIN_OF(low, high)], second = p[MAX_OF(low, high)];

            p[kept++] = first;
            p[kept++] = second;
        }
    }
    p[kept++] = p[n - 1];
    return kept;
}

/* `room` holds the whole history of the run meanwhile. */
static enum status one_run(struct view *v, const struct metric_interval *in, struct str run_id,
                           struct arena *room, struct interval_row **out, size_t *n, size_t *cap,
                           struct err *err)
{
    struct view scratch = *v;
    struct point *points;
    size_t count, kept = 0;
    bool more;
    enum status st;

    scratch.arena = room;
    st = run_metric_history(&scratch, run_id, in->key, NULL, POINTS_MAX, &points, &count, &more,
                            err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    for (size_t i = 0; i < count; i++) {
        if (points[i].step >= in->first_step && points[i].step <= in->last_step) {
            points[kept++] = points[i];
        }
    }
    if (kept) {
        qsort(points, kept, sizeof(*points), by_step);
    }
    kept = thin(points, kept, in->max);
    for (size_t i = 0; i < kept; i++) {
        if (!arena_grow(v->arena, (void **)out, *n, cap, sizeof(**out))) {
            return err_nomem(err);
        }
        (*out)[(*n)++] = (struct interval_row){ run_id, points[i] };
    }
    return OK;
}

enum status metric_interval(struct view *v, const struct metric_interval *in,
                            struct interval_row **out, size_t *n, struct err *err)
{
    struct arena *room = arena_new(ROOM_MAX);
    size_t cap = 0;
    enum status st = room ? OK : err_nomem(err);

    *out = NULL;
    *n = 0;
    for (size_t i = 0; !st && i < in->run_ids_n; i++) {
        st = one_run(v, in, in->run_ids[i], room, out, n, &cap, err);
        arena_reset(room);
    }
    arena_free(room);
    return st;
}
