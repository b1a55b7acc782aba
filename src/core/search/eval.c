/* core/search/eval.c - whether a row matches a filter. No allocation, no conversion: the parser did
 * all that. */
#include "core/search/regex.h"
#include "core/search/search_int.h"
#include "core/search/text.h"

struct eval {
    const struct search_row_ops *ops;
    void *row;
    struct err *err;
};

static bool list_has(const struct search_test *t, struct str text)
{
    size_t low = 0, high = t->list_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (str_cmp(t->texts[mid], text) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < t->list_n && str_eq(t->texts[low], text);
}

bool test_text_holds(const struct search_test *t, struct str v)
{
    switch (t->cmp) {
    case CMP_EQ: return str_eq(v, t->text);
    case CMP_NE: return !str_eq(v, t->text);
    case CMP_LIKE:
    case CMP_ILIKE: return like_match(v, t->text, t->cmp == CMP_ILIKE);
    case CMP_NOT_LIKE:
    case CMP_NOT_ILIKE: return !like_match(v, t->text, t->cmp == CMP_NOT_ILIKE);
    case CMP_MATCH: return regex_match(t->regex, v);
    case CMP_NOT_MATCH: return !regex_match(t->regex, v);
    case CMP_IN: return list_has(t, v);
    case CMP_NOT_IN: return !list_has(t, v);
    case CMP_IS_NOT_NULL: return true;
    case CMP_LT:
    case CMP_LE:
    case CMP_GT:
    case CMP_GE:
    case CMP_IS_NULL:
    default: return false;
    }
}

static bool double_holds(enum search_cmp cmp, double v, double with)
{
    switch (cmp) {
    case CMP_EQ: return v == with;
    case CMP_NE: return v != with;
    case CMP_LT: return v < with;
    case CMP_LE: return v <= with;
    case CMP_GT: return v > with;
    case CMP_GE: return v >= with;
    case CMP_LIKE:
    case CMP_NOT_LIKE:
    case CMP_ILIKE:
    case CMP_NOT_ILIKE:
    case CMP_MATCH:
    case CMP_NOT_MATCH:
    case CMP_IN:
    case CMP_NOT_IN:
    case CMP_IS_NULL:
    case CMP_IS_NOT_NULL:
    default: return false;
    }
}

/* An integer against a number of the query: exact where that is an integer, and beyond 2^53 too
 * where it is not. */
static bool integer_holds(enum search_cmp cmp, int64_t v, const struct search_number *with)
{
    int order = 0;

    if (with->is_int) {
        order = (v > with->i) - (v < with->i);
    } else if (with->d >= 9223372036854775808.0) {
        order = -1;
    } else if (with->d < -9223372036854775808.0) {
        order = 1;
    } else {
        int64_t whole = (int64_t)with->d;
        double rest = with->d - (double)whole;

        order = (v > whole) - (v < whole);
        if (order == 0) {
            order = (rest < 0) - (rest > 0);
        }
    }
    return double_holds(cmp, order, 0);
}

bool test_number_holds(const struct search_test *t, double d, int64_t i)
{
    bool is_int = t->key->type == SEARCH_INTEGER;

    if (t->cmp != CMP_IN && t->cmp != CMP_NOT_IN) {
        return is_int ? integer_holds(t->cmp, i, &t->number) : double_holds(t->cmp, d, t->number.d);
    }
    for (size_t n = 0; n < t->list_n; n++) {
        if (is_int ? integer_holds(CMP_EQ, i, &t->numbers[n]) : d == t->numbers[n].d) {
            return t->cmp == CMP_IN;
        }
    }
    return t->cmp == CMP_NOT_IN;
}

enum search_goal search_goal_parse(struct str text)
{
    struct str word = str_trim(text);

    return str_eq_nocase(word, S("min"))   ? GOAL_MIN
           : str_eq_nocase(word, S("max")) ? GOAL_MAX
                                           : GOAL_NONE;
}

enum status search_goal_missing(struct str metric, struct err *err)
{
    return err_set(
        err, ST_INVALID,
        "best(metrics.%.*s) needs a direction: set the tag cairn.goal.%.*s to min or max "
        "on the run or its experiment",
        STR_ARG(metric), STR_ARG(metric));
}

/* The value of a metric key; best() asks the row for its goal. */
static enum status metric_value(const struct search_row_ops *ops, void *row,
                                const struct search_key *key, double *out, bool *has,
                                struct err *err)
{
    enum search_aggregate agg = key->agg;

    if (agg == AGG_BEST) {
        enum search_goal goal = ops->goal ? ops->goal(row, key) : GOAL_NONE;

        if (goal == GOAL_NONE) {
            *has = ops->metric(row, key, AGG_LAST, out);
            if (!*has) {
                return OK;
            }
            return search_goal_missing(key->name, err);
        }
        agg = goal == GOAL_MIN ? AGG_MIN : AGG_MAX;
    }
    *has = ops->metric(row, key, agg, out);
    return OK;
}

static enum status match_metric(const struct eval *e, const struct search_test *t, bool *is_match)
{
    double v = 0;
    bool has = false;
    enum status st;

    if (e->ops->metric_any && t->key->agg == AGG_LAST) {
        for (size_t i = 0; !*is_match && e->ops->metric_any(e->row, t->key, i, &v); i++) {
            *is_match = test_number_holds(t, v, 0);
        }
        return OK;
    }
    st = metric_value(e->ops, e->row, t->key, &v, &has, e->err);
    *is_match = st == OK && has && test_number_holds(t, v, 0);
    return st;
}

static enum status match_datasets(const struct eval *e, const struct search_test *t, bool *is_match)
{
    const struct search_dataset *sets = NULL;
    size_t n = 0;
    enum status st = e->ops->datasets ? e->ops->datasets(e->row, &sets, &n, e->err) : OK;

    for (size_t i = 0; st == OK && i < n && !*is_match; i++) {
        struct str v = t->key->attr == ATTR_DATASET_NAME     ? sets[i].name
                       : t->key->attr == ATTR_DATASET_DIGEST ? sets[i].digest
                                                             : sets[i].context;

        *is_match = str_is_set(v) && test_text_holds(t, v);
    }
    return st;
}

static enum status match_test(const struct eval *e, const struct search_test *t, bool *is_match)
{
    struct str text;
    int64_t i = 0;

    *is_match = false;
    if (t->key->kind == SEARCH_METRIC) {
        return match_metric(e, t, is_match);
    }
    if (t->key->kind == SEARCH_DATASET) {
        return match_datasets(e, t, is_match);
    }
    if (t->key->type == SEARCH_INTEGER) {
        *is_match = e->ops->integer(e->row, t->key, &i) && test_number_holds(t, 0, i);
    } else if (!e->ops->text(e->row, t->key, &text)) {
        *is_match = t->cmp == CMP_IS_NULL;
    } else {
        *is_match = test_text_holds(t, text);
    }
    return OK;
}

static enum status match_node(const struct eval *e, const struct filter_node *n, bool *is_match)
{
    enum status st = OK;

    if (n->op == FILTER_TEST) {
        return match_test(e, n->test, is_match);
    }
    *is_match = n->op == FILTER_AND;
    for (const struct filter_node *c = n->child; c && st == OK; c = c->next) {
        st = match_node(e, c, is_match);
        if (n->op == FILTER_NOT) {
            *is_match = !*is_match;
        } else if (*is_match == (n->op == FILTER_OR)) {
            break;
        }
    }
    return st;
}

enum status filter_match(const struct filter *f, const struct search_row_ops *ops, void *row,
                         bool *is_match, struct err *err)
{
    struct eval e = { .ops = ops, .row = row, .err = err };

    *is_match = true;
    return f->root ? match_node(&e, f->root, is_match) : OK;
}

/* ---- orders ---------------------------------------------------------------------------------- */

enum status order_extract(const struct order *o, const struct search_row_ops *ops, void *row,
                          struct order_value *out, struct err *err)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct search_key *key = &o->clauses[i].key;
        struct order_value *v = &out[i];
        bool has = false;

        *v = (struct order_value){ .rank = ORDER_MISSING };
        if (key->kind == SEARCH_METRIC) {
            enum status st = metric_value(ops, row, key, &v->d, &has, err);

            if (st) return st;
        } else if (key->type == SEARCH_INTEGER) {
            has = ops->integer(row, key, &v->i);
        } else {
            has = ops->text(row, key, &v->text);
        }
        if (has) {
            v->rank = v->d != v->d ? ORDER_NAN : ORDER_VALUE;
        }
    }
    return OK;
}

int order_compare_value(const struct order_clause *o, const struct order_value *a,
                        const struct order_value *b)
{
    int c = (a->rank > b->rank) - (a->rank < b->rank);

    if (c || a->rank != ORDER_VALUE) {
        return c;
    }
    switch (o->key.type) {
    case SEARCH_TEXT: c = str_cmp(a->text, b->text); break;
    case SEARCH_INTEGER: c = (a->i > b->i) - (a->i < b->i); break;
    case SEARCH_DOUBLE:
    default: c = (a->d > b->d) - (a->d < b->d); break;
    }
    return o->desc ? -c : c;
}

int order_compare(const struct order *o, const struct order_value *a, const struct order_value *b)
{
    int c = 0;

    for (size_t i = 0; i < o->n && !c; i++) {
        c = order_compare_value(&o->clauses[i], &a[i], &b[i]);
    }
    return c;
}
