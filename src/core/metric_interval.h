/* core/metric_interval.h - one metric of many runs, thinned for a chart.
 * Each run is thinned by itself, so that its curve does not change with the company it is shown in: first and last row always
 * stay, the rows between them are cut into buckets of equal count, and of each bucket the rows with the smallest and the largest
 * value stay, so that no spike is lost. At most `max` rows per run come out; a run with fewer is returned whole. A few
 * runs are read at once (core/fan.h), the others wait.
 * Thread rule: a pool thread. */
#ifndef CAIRN_CORE_METRIC_INTERVAL_H
#define CAIRN_CORE_METRIC_INTERVAL_H

#include "core/run.h"

struct metric_interval {
    struct str *run_ids;
    size_t run_ids_n;
    struct str key;
    int64_t first_step, last_step;
    size_t max; /* rows of the answer per run, at least 1 */
};
struct interval_row {
    struct str run_id;
    struct point point;
};
/* Rows per run, in the order asked for, by step, timestamp, value. Unknown runs have no rows. */
enum status metric_interval(struct view *v, const struct metric_interval *in,
                            struct interval_row **out, size_t *n, struct err *err);

#endif
