/* core/search/column_eval.h - searching runs in columns (store/columns/columns.h) instead of row by
 * row.
 *
 *     st = searcher_new(&s, &request, v->arena, err);
 *     st = column_plan_new(&plan, s, v->arena, err);       which columns the search reads
 *     for each experiment:
 *         fill a column_table whose columns are plan->wants, in that order
 *         st = searcher_offer_columns(s, plan, &source, err);
 *         st = searcher_offer(s, ...) for each run in source.table->newer, from its head
 *     st = searcher_end(s, &handles, &n, &token, err);     handles are uids
 *     then let go of the tables
 *
 * The answer is the one that searcher_offer() of every run would give, errors of best() included;
 * eval.c says what a test means. For each segment the filter tree becomes a bitmap: AND starts with
 * what is cheapest and stops when nothing is left, zones answer where they can before a column is
 * read, tests of texts run once per distinct value. Then only the values of the first order clause
 * are read for the rows that are left; segments are taken best first, and those that cannot get into
 * the page any more are not read (unless all hits are to be counted). Further clauses are read when
 * two rows are equal so far.
 *
 * Cost per segment of 4096 runs, everything in memory: about 0.5 us for a param, 2 us for a metric,
 * 10 ns for each row that matches.
 *
 * Bounds: as the driver's; memory in the arena grows with the filter, not with the runs.
 * Ownership: plan and searcher live in the arena; table, columns and source belong to the caller and
 * must stay as they are until searcher_end(). Thread rule: one thread at a time. */
#ifndef CAIRN_CORE_SEARCH_COLUMN_EVAL_H
#define CAIRN_CORE_SEARCH_COLUMN_EVAL_H

#include "core/search/driver.h"
#include "store/columns/columns.h"

/* One column that the search reads. The first two are always COLUMN_UID and COLUMN_LIFECYCLE. */
struct column_want {
    enum column_kind kind;
    uint32_t attr;   /* COLUMN_ATTR: enum column_attr; 0 = no run has it: leave its cells zero */
    struct str name; /* else the name of the metric, param or tag */
};
enum { COLUMN_WANT_UID = 0, COLUMN_WANT_LIFECYCLE = 1 };

struct column_plan {
    struct column_want *wants; /* each once */
    size_t n;
    struct column_term *terms; /* the evaluator's, as what follows */
    struct column_node *root;
    struct column_keys *order;
};

/* For a searcher of SEARCH_RUNS. ST_NOMEM. */
enum status column_plan_new(struct column_plan **out, struct searcher *s, struct arena *a,
                            struct err *err);

/* What the columns cannot say themselves. */
struct column_source {
    struct column_table *table; /* columns_n is the plan's n */
    enum view_type view_type;
    /* (optional: GOAL_NONE) The direction of a metric that the experiment gives to runs without a
     * tag of their own. */
    enum search_goal (*goal)(void *ctx, struct str metric);
    /* (optional: none) All datasets of a run, until the next call. */
    enum status (*datasets)(void *ctx, int64_t uid, const struct search_dataset **out, size_t *n,
                            struct err *err);
    void *ctx;
};

/* Takes all runs of the table into account but those marked newer. */
enum status searcher_offer_columns(struct searcher *s, const struct column_plan *p,
                                   struct column_source *src, struct err *err);

#endif
