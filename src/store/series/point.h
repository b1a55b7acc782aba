/* store/series/point.h - one metric point and its order.
 * The order of a history is timestamp, step, value (NaN as 0), NaN flag; two values that compare equal but differ in bits (0.0
 * and -0.0) are ordered by bits, so that the order is total and only bit-identical points are duplicates. NaN is
 * canonical before it gets here. The latest point of a key is the maximum by step, timestamp, value.
 * Thread rule: pure functions. */
#ifndef CAIRN_STORE_SERIES_POINT_H
#define CAIRN_STORE_SERIES_POINT_H

#include "base/num.h"

struct point {
    int64_t step, timestamp_ms;
    double value;
};

static inline int point_i64_cmp(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static inline int point_value_cmp(double a, double b)
{
    bool an = a != a, bn = b != b;
    double x = an ? 0 : a, y = bn ? 0 : b;
    uint64_t xb, yb;

    if (x < y) return -1;
    if (x > y) return 1;
    if (an != bn) return an ? 1 : -1;
    xb = num_double_bits(x);
    yb = num_double_bits(y);
    return (yb > xb) -
           (yb < xb); /* the sign bit of -0.0 makes it the larger number: -0.0 comes first */
}

/* Order of a history. 0 only for bit-identical points. */
static inline int point_cmp(const struct point *a, const struct point *b)
{
    int c = point_i64_cmp(a->timestamp_ms, b->timestamp_ms);

    if (c == 0) c = point_i64_cmp(a->step, b->step);
    return c != 0 ? c : point_value_cmp(a->value, b->value);
}

/* Order that decides which point is the latest. */
static inline int point_latest_cmp(const struct point *a, const struct point *b)
{
    int c = point_i64_cmp(a->step, b->step);

    if (c == 0) c = point_i64_cmp(a->timestamp_ms, b->timestamp_ms);
    return c != 0 ? c : point_value_cmp(a->value, b->value);
}

/* Sorts n points by point_cmp(); nothing is moved when they are in order already. Uses tmp (n points) as scratch. */
void points_sort(struct point *p, struct point *tmp, size_t n);
/* Drops bit-identical neighbours of sorted points; returns how many are left. */
size_t points_dedupe(struct point *p, size_t n);

#endif
