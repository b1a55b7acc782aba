/* core/chart.h - curves for a picture: the points of runs x metrics, cut into buckets along an x axis.
 * Of each bucket: its first and last point, the points of the smallest and the largest finite value, the mean of the finite values,
 * how many points there are and how many of them are NaN or infinite. So a curve drawn from first, low, high and last
 * has every spike of the data, at any width.
 *
 * The axis: step; wall time (milliseconds since the epoch); relative time (milliseconds since the start of the run, or since the
 * series' first point where the run has no start); or another metric of the same run: a point stands where that metric's
 * newest value at the same step is; a point at a step where it has no finite value is left out and counted (unjoined).
 * Order inside a bucket: x, then timestamp, step, value; of equal extremes the first counts. Duplicates count once.
 *
 * The range [from, to] (both inside; where one is not given, the end of the series) is cut into `buckets` of equal width, or
 * into one per step (millisecond) when there are fewer of them. Empty buckets are left out. A part of a series that is stored with a
 * summary and is narrower than a bucket goes whole to the bucket where its middle lies, so the ends of a bucket may stand a
 * little beside the grid; x of `first` and `last` say where it really begins and ends, buckets never overlap, and every
 * figure is exact for what lies between them. With `exact` the grid is kept, at the price of reading more.
 *
 * Memory: one series at a time, and of a stored series what overlaps; the x metric of one run is held whole (at most
 * CHART_JOIN_MAX points).
 * Thread rule: a pool thread. */
#ifndef CAIRN_CORE_CHART_H
#define CAIRN_CORE_CHART_H

#include "core/run.h"

enum chart_axis { CHART_STEP = 1, CHART_TIME = 2, CHART_RELATIVE = 3, CHART_METRIC = 4 };

enum {
    CHART_RUNS_MAX = 1000,
    CHART_METRICS_MAX = 200,
    CHART_SERIES_MAX = 10000,
    CHART_BUCKETS_MAX = 8192,
    CHART_CELLS_MAX = 4000000,    /* series times buckets */
    CHART_RUN_CELLS_MAX = 200000, /* of these, of one run */
    CHART_JOIN_MAX = 4000000,
    CHART_DECODE_MAX = 1000000000, /* points read for one query */
};

struct chart_query {
    struct str *run_ids;
    size_t run_ids_n;
    struct str *metrics;
    size_t metrics_n;
    enum chart_axis axis;
    struct str x_metric; /* of CHART_METRIC */
    size_t buckets;
    bool has_from, has_to, exact;
    int64_t from, to;            /* of the other axes */
    double from_value, to_value; /* of CHART_METRIC */
};

/* A point and where it stands. */
struct chart_mark {
    struct point p;
    union {
        int64_t i; /* steps or milliseconds */
        double d;  /* of CHART_METRIC */
    } x;
};

struct chart_bucket {
    struct chart_mark first, last; /* their steps are exact where x is the step */
    struct chart_mark low, high;   /* of the finite values; nothing when n == odd_n */
    int64_t n, odd_n;              /* points; those that are NaN or infinite */
    double mean;                   /* of the finite values */
};

struct chart_series {
    struct chart_bucket *b; /* n that are not empty, in order of x */
    size_t n;
    int64_t points; /* in all buckets */
    int64_t
        unjoined; /* points inside no bucket because the x metric has no finite value at their step */
    int64_t origin_ms; /* of CHART_RELATIVE: what stands at 0 */
    bool snapped;      /* a bucket's ends stand beside the grid */
};

/* Checks limits and range: ST_INVALID that names the field. */
enum status chart_check(const struct chart_query *q, struct err *err);

/* What the calls for one query share. */
struct chart {
    const struct chart_query *q;
    int64_t decoded; /* points read so far */
    int64_t headers; /* summaries used instead */
};
/* Calls fn for each metric of a run, in the order of the query (metrics the run does not have give an empty series). *known is false
 * when there is no such run; fn is not called then. What fn is given is valid during the call. ST_TOO_BIG when the limit of
 * points read is reached. The view's arena is not used. */
enum status chart_run(struct chart *c, struct view *v, size_t run, bool *known,
                      enum status (*fn)(void *ctx, size_t metric, const struct chart_series *s,
                                        struct err *err),
                      void *ctx, struct err *err);

/* The points of a bucket that a curve is drawn through, in order of x, each once: first, low, high, last. Returns how many. */
size_t chart_picks(const struct chart_bucket *b, bool metric_axis, struct chart_mark out[4]);

#endif
