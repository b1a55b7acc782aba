/* core/search/column_values.h - the distinct values of one key among the runs that a filter finds,
 * with counts: what a table of runs offers to choose from.
 *
 *     st = values_new(&v, S("metrics.loss < 1"), S("params.model"), 100, arena, err);
 *     for each experiment: a column_table with the columns of values_plan(v)->wants
 *         st = values_offer_columns(v, &source, err);
 *         st = values_offer(v, &row_ops, row, err) for each run in source.table->newer
 *     st = values_end(v, &result, err);
 *
 * Bounds: VALUES_DISTINCT_MAX distinct texts are told apart, VALUES_TEXT_MAX bytes of them are held;
 * further ones are counted in result.others. Time as a search's.
 * Ownership: everything lives in the arena or is freed with it; tables must stay until values_end().
 * Thread rule: one thread at a time. */
#ifndef CAIRN_CORE_SEARCH_COLUMN_VALUES_H
#define CAIRN_CORE_SEARCH_COLUMN_VALUES_H

#include "core/search/column_eval.h"

enum { VALUES_DISTINCT_MAX = 1000000, VALUES_TEXT_MAX = 64 << 20 };

struct value_count {
    struct str text;
    uint64_t n; /* runs with it */
};

struct values_result {
    enum search_type type;
    uint64_t runs;    /* that match */
    uint64_t missing; /* of them, without the key */
    /* Keys of type SEARCH_TEXT: the most frequent first, equal counts in byte order; at most the
     * number asked for. */
    struct value_count *values;
    size_t n;
    uint64_t distinct; /* values in all, as far as they were told apart */
    uint64_t others;   /* runs whose value was not told apart */
    /* Numbers; NaN is counted apart. min and max are 0 where there is no other value. */
    uint64_t nan_n;
    double min, max;      /* SEARCH_DOUBLE */
    int64_t min_i, max_i; /* SEARCH_INTEGER */
};

struct values;

/* `key` as in order clauses: params.k, metrics.k, status, ... but not best(). ST_INVALID for a wrong
 * filter or key. */
enum status values_new(struct values **out, struct str filter, struct str key, size_t max,
                       struct arena *a, struct err *err);
const struct column_plan *values_plan(const struct values *v);
/* Whether the filter needs the goals of experiments. */
bool values_has_best(const struct values *v);
enum status values_offer_columns(struct values *v, struct column_source *src, struct err *err);
enum status values_offer(struct values *v, const struct search_row_ops *ops, void *row,
                         struct err *err);
enum status values_end(struct values *v, struct values_result *out, struct err *err);

#endif
