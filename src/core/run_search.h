/* core/run_search.h - finding runs: filter, order, pages.
 * Every run of the experiments is offered to the search driver (core/search/driver.h); only the
 * page's runs are then read whole. The language is described in core/search/filter.h.
 *
 * best(metrics.k) needs a direction: the tag cairn.goal.k = min or max of the run, else of its
 * experiment; a run that has the metric but no direction fails the search with ST_INVALID and what
 * to do. Filters on datasets read a run's inputs only when the cheaper parts of the filter leave it
 * open.
 * Ownership: results live in the view's arena. Thread rule: pool threads, one search per view. */
#ifndef CAIRN_CORE_RUN_SEARCH_H
#define CAIRN_CORE_RUN_SEARCH_H

#include "core/run.h"

struct run_search {
    const int64_t *experiments;
    size_t n;
    enum view_type view_type;
    struct str filter;
    const struct str *order_by;
    size_t order_by_n;
    struct page page;
};

/* Which runs are on the page, in order; token as below. Looks at every run of the experiments, one by one. */
enum status run_search_rows(struct view *v, const struct run_search *in, int64_t **uids, size_t *n,
                            struct str *next_token, struct err *err);
/* One page of runs in order. *next_token: p is NULL when this is the last page. Experiments that do
 * not exist have no runs. ST_INVALID: filter, order or token. */
enum status run_search(struct view *v, const struct run_search *in, struct run_view **out,
                       size_t *n, struct str *next_token, struct err *err);

#endif
