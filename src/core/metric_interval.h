/* core/metric_interval.h - one metric of many runs, thinned for a chart.
 * The rows of all runs are thinned on one common set of steps, so that curves can be compared, and the answer is bounded:
 * at most about `max` rows per run, first and last step of every run always among them, and per bucket of steps the points
 * with the smallest and the largest value are kept, so that no spike is lost.
 * Thread rule: a pool thread. */
#ifndef CAIRN_CORE_METRIC_INTERVAL_H
#define CAIRN_CORE_METRIC_INTERVAL_H

#include "core/run.h"

struct metric_interval {
    struct str *run_ids;
    size_t run_ids_n;
    struct str key;
    int64_t first_step, last_step;
    size_t max; /* rows of the answer per run */
};
struct interval_row {
    struct str run_id;
    struct point point;
};
/* Rows per run, in the order asked for, by step, timestamp, value. Unknown runs have no rows. */
enum status metric_interval(struct view *v, const struct metric_interval *in,
                            struct interval_row **out, size_t *n, struct err *err);

#endif
