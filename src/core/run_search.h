/* core/run_search.h - finding runs: filter, order, pages. The language is described in core/search/filter.h.
 *
 * run_find() searches in columns; run_search() and run_search_rows() offer every run of the experiments to the search driver
 * (core/search/driver.h), one by one: the plain form, which answers the same and is what tests compare with.
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
    bool count; /* run_find(): found.total is asked for, which makes the search look at all runs */
};

struct run_found {
    int64_t *uids; /* in order; a run may have gone since */
    size_t n;
    struct str next_token; /* p is NULL when this is the last page */
    uint64_t total;        /* runs that match, on all pages; with run_search.count */
};
/* One page of a search, through the columns of the experiments (store/runcols/runcols.h). */
enum status run_find(struct view *v, const struct run_search *in, struct run_found *out,
                     struct err *err);

struct values_result;
/* The values of a key among the runs that in->filter finds, in columns too; in->order_by and page are
 * not used. key, max and *out: see core/search/column_values.h. */
enum status run_values(struct view *v, const struct run_search *in, struct str key, size_t max,
                       struct values_result *out, struct err *err);

/* Which runs are on the page, in order; token as below. Looks at every run of the experiments, one by one. */
enum status run_search_rows(struct view *v, const struct run_search *in, int64_t **uids, size_t *n,
                            struct str *next_token, struct err *err);
/* One page of runs in order. *next_token: p is NULL when this is the last page. Experiments that do
 * not exist have no runs. ST_INVALID: filter, order or token. */
enum status run_search(struct view *v, const struct run_search *in, struct run_view **out,
                       size_t *n, struct str *next_token, struct err *err);

#endif
