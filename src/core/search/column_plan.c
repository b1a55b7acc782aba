/* core/search/column_plan.c - a filter and an order -> which columns are read, and the filter as
 * ranges of numbers in the order of evaluation. Made once per search. */
#include "core/search/column_int.h"
#include "core/search/search_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- wants ------------------------------------------------------------------------------------------- */

struct compile {
    struct column_plan *plan;
    size_t cap;
    size_t terms_n, memos_n;
    struct arena *arena;
};

static enum status want(struct compile *c, enum column_kind kind, uint32_t attr, struct str name,
                        uint32_t *out, struct err *err)
{
    struct column_plan *p = c->plan;

    for (size_t i = 0; i < p->n; i++) {
        if (p->wants[i].kind == kind && p->wants[i].attr == attr &&
            str_eq(p->wants[i].name, name)) {
            *out = (uint32_t)i;
            return OK;
        }
    }
    if (p->n == c->cap &&
        !arena_grow(c->arena, (void **)&p->wants, p->n, &c->cap, sizeof(*p->wants))) {
        return err_nomem(err);
    }
    *out = (uint32_t)p->n;
    p->wants[p->n++] = (struct column_want){ .kind = kind, .attr = attr, .name = name };
    return OK;
}

static uint32_t attr_of(enum search_attr attr)
{
    static const struct {
        enum search_attr attr;
        enum column_attr column;
    } rows[] = {
        { ATTR_RUN_ID, COLUMN_RUN_ID },    { ATTR_RUN_NAME, COLUMN_NAME },
        { ATTR_STATUS, COLUMN_STATUS },    { ATTR_USER_ID, COLUMN_USER },
        { ATTR_START_TIME, COLUMN_START }, { ATTR_ARTIFACT_URI, COLUMN_ARTIFACT_URI },
        { ATTR_END_TIME, COLUMN_END },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (rows[i].attr == attr) {
            return rows[i].column;
        }
    }
    return 0;
}

/* best(): minimum, maximum, and the tag of the run. */
static enum status want_best(struct compile *c, const struct search_key *key,
                             struct column_keys *out, struct err *err)
{
    struct str tag = arena_printf(c->arena, "cairn.goal.%.*s", STR_ARG(key->name));
    enum status st;

    if (!tag.p) return err_nomem(err);
    st = want(c, COLUMN_METRIC_MIN, 0, key->name, &out->value, err);
    if (!st) st = want(c, COLUMN_METRIC_MAX, 0, key->name, &out->max, err);
    if (!st && tag.n <= GOAL_TAG_MAX) st = want(c, COLUMN_TAG, 0, tag, &out->goal, err);
    return st;
}

static enum status want_key(struct compile *c, const struct search_key *key,
                            struct column_keys *out, struct err *err)
{
    struct str none = { NULL, 0 };

    *out = (struct column_keys){ key, COLUMN_NONE, COLUMN_NONE, COLUMN_NONE };
    switch (key->kind) {
    case SEARCH_ATTR: return want(c, COLUMN_ATTR, attr_of(key->attr), none, &out->value, err);
    case SEARCH_PARAM: return want(c, COLUMN_PARAM, 0, key->name, &out->value, err);
    case SEARCH_TAG: return want(c, COLUMN_TAG, 0, key->name, &out->value, err);
    case SEARCH_METRIC:
        if (key->agg == AGG_BEST) {
            return want_best(c, key, out, err);
        }
        return want(c,
                    key->agg == AGG_MIN   ? COLUMN_METRIC_MIN
                    : key->agg == AGG_MAX ? COLUMN_METRIC_MAX
                                          : COLUMN_METRIC,
                    0, key->name, &out->value, err);
    case SEARCH_DATASET:
    default: return OK;
    }
}

/* ---- numbers as ranges ------------------------------------------------------------------------------- */

/* False: no value. */
static bool double_range(enum search_cmp cmp, double with, struct column_range *r)
{
    r->lo.d = (double)-INFINITY;
    r->hi.d = (double)INFINITY;
    switch (cmp) {
    case CMP_EQ:
    case CMP_NE: r->lo.d = r->hi.d = with; return with == with;
    case CMP_LT: r->hi.d = nextafter(with, (double)-INFINITY); return with > r->lo.d;
    case CMP_GT: r->lo.d = nextafter(with, (double)INFINITY); return with < r->hi.d;
    case CMP_LE: r->hi.d = with; return with == with;
    case CMP_GE: r->lo.d = with; return with == with;
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

/* The integers at or above a number, and those at or below it, as first and last ones. Beyond 64
 * bits: none of the one and all of the other. */
static void integer_bounds(const struct search_number *with, int64_t *at_least, bool *has_at_least,
                           int64_t *at_most, bool *has_at_most)
{
    *has_at_least = *has_at_most = true;
    if (with->is_int) {
        *at_least = *at_most = with->i;
    } else if (with->d >= 9223372036854775808.0) {
        *has_at_least = false;
        *at_most = INT64_MAX;
    } else if (with->d < -9223372036854775808.0) {
        *has_at_most = false;
        *at_least = INT64_MIN;
    } else if (with->d != with->d) {
        *has_at_least = *has_at_most = false;
    } else { /* not whole: below 2^53, so that the neighbours are exact */
        *at_least = (int64_t)ceil(with->d);
        *at_most = (int64_t)floor(with->d);
    }
}

static bool integer_range(enum search_cmp cmp, const struct search_number *with,
                          struct column_range *r)
{
    int64_t at_least = 0, at_most = 0;
    bool has_at_least, has_at_most, is_whole;

    integer_bounds(with, &at_least, &has_at_least, &at_most, &has_at_most);
    is_whole = has_at_least && has_at_most && at_least == at_most;
    r->lo.i = INT64_MIN;
    r->hi.i = INT64_MAX;
    if (cmp == CMP_EQ || cmp == CMP_NE) {
        r->lo.i = r->hi.i = at_least;
        return is_whole;
    }
    if (cmp == CMP_LE || (cmp == CMP_LT && !is_whole)) {
        r->hi.i = at_most;
        return has_at_most;
    }
    if (cmp == CMP_GE || (cmp == CMP_GT && !is_whole)) {
        r->lo.i = at_least;
        return has_at_least;
    }
    if (cmp == CMP_LT) {
        r->hi.i = at_most - (at_most > INT64_MIN);
        return at_most > INT64_MIN;
    }
    r->lo.i = at_least + (at_least < INT64_MAX);
    return cmp == CMP_GT && at_least < INT64_MAX;
}

static int double_order(const void *a, const void *b)
{
    double x = ((const struct column_range *)a)->lo.d, y = ((const struct column_range *)b)->lo.d;

    return (x > y) - (x < y);
}

static int integer_order(const void *a, const void *b)
{
    int64_t x = ((const struct column_range *)a)->lo.i, y = ((const struct column_range *)b)->lo.i;

    return (x > y) - (x < y);
}

static enum status compile_numbers(struct compile *c, struct column_term *t, struct err *err)
{
    const struct search_test *test = t->test;
    bool is_list = test->cmp == CMP_IN || test->cmp == CMP_NOT_IN;
    bool is_int = test->key->type == SEARCH_INTEGER;
    size_t n = is_list ? test->list_n : 1;

    t->is_negated = test->cmp == CMP_NE || test->cmp == CMP_NOT_IN;
    t->ranges = ARENA_ARRAY(c->arena, struct column_range, n + 1);
    if (!t->ranges) return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        const struct search_number *with = is_list ? &test->numbers[i] : &test->number;
        enum search_cmp cmp = is_list ? CMP_EQ : test->cmp;
        struct column_range *r = &t->ranges[t->ranges_n];

        t->ranges_n += is_int ? integer_range(cmp, with, r) : double_range(cmp, with->d, r);
    }
    qsort(t->ranges, t->ranges_n, sizeof(*t->ranges), is_int ? integer_order : double_order);
    return OK;
}

/* ---- texts ------------------------------------------------------------------------------------------- */

/* The longest part of a LIKE pattern without wildcards, and the one at its beginning. */
static enum status compile_like(struct compile *c, struct column_term *t, struct err *err)
{
    struct str pattern = t->test->text;
    size_t begin = 0;
    char *end;

    for (size_t i = 0; i <= pattern.n; i++) {
        if (i < pattern.n && pattern.p[i] != '%' && pattern.p[i] != '_') {
            continue;
        }
        if (begin == 0) t->prefix = str_sub(pattern, 0, i);
        if (i - begin > t->literal.n) t->literal = str_sub(pattern, begin, i - begin);
        begin = i + 1;
    }
    if (t->prefix.n) { /* UTF-8 has no byte 0xff, so that the last one can be counted up */
        end = arena_alloc(c->arena, t->prefix.n);
        if (!end) return err_nomem(err);
        memcpy(end, t->prefix.p, t->prefix.n);
        end[t->prefix.n - 1]++;
        t->before_end = str_of(end, t->prefix.n);
    }
    return OK;
}

static enum status compile_texts(struct compile *c, struct column_term *t, struct err *err)
{
    enum search_cmp cmp = t->test->cmp;

    if (cmp == CMP_LIKE || cmp == CMP_NOT_LIKE) {
        return compile_like(c, t, err);
    }
    if ((cmp == CMP_MATCH || cmp == CMP_NOT_MATCH || cmp == CMP_ILIKE || cmp == CMP_NOT_ILIKE) &&
        c->memos_n++ < COLUMN_MEMO_TERMS) {
        t->memo = ARENA_ARRAY(c->arena, struct column_memo, COLUMN_MEMO_N);
        if (!t->memo) return err_nomem(err);
    }
    return OK;
}

/* ---- the tree ---------------------------------------------------------------------------------------- */

/* Roughly 0.1 us per segment. */
static unsigned test_cost(const struct search_test *t)
{
    if (t->key->kind == SEARCH_DATASET) {
        return 100000;
    }
    switch (t->cmp) {
    case CMP_MATCH:
    case CMP_NOT_MATCH: return 500;
    case CMP_LIKE:
    case CMP_NOT_LIKE: return 60;
    case CMP_ILIKE:
    case CMP_NOT_ILIKE: return 200;
    case CMP_IN:
    case CMP_NOT_IN: return 20 + (unsigned)t->list_n;
    case CMP_EQ:
    case CMP_NE:
    case CMP_LT:
    case CMP_LE:
    case CMP_GT:
    case CMP_GE:
    case CMP_IS_NULL:
    case CMP_IS_NOT_NULL:
    default:
        return t->key->agg == AGG_BEST          ? 80
               : t->key->type == SEARCH_TEXT    ? 4
               : t->key->type == SEARCH_INTEGER ? 10
                                                : 20;
    }
}

static enum status compile_test(struct compile *c, const struct search_test *test,
                                struct column_node *n, struct err *err)
{
    struct column_term *t = &c->plan->terms[c->terms_n++];
    enum status st;

    t->test = test;
    n->term = t;
    n->cost = test_cost(test);
    n->has_best = test->key->kind == SEARCH_METRIC && test->key->agg == AGG_BEST;
    st = want_key(c, test->key, &t->keys, err);
    if (st || test->key->kind == SEARCH_DATASET) return st;
    return test->key->type == SEARCH_TEXT ? compile_texts(c, t, err) : compile_numbers(c, t, err);
}

/* Cheapest first; the children of AND and OR may change places as long as those that can fail see
 * the same rows. */
static void sort_children(struct column_node *n)
{
    for (size_t i = 1; i < n->n; i++) {
        struct column_node *moved = n->children[i];
        size_t at = i;

        while (at > 0 && !moved->has_best && !n->children[at - 1]->has_best &&
               n->children[at - 1]->cost > moved->cost) {
            n->children[at] = n->children[at - 1];
            at--;
        }
        n->children[at] = moved;
    }
}

static enum status compile_node(struct compile *c, const struct filter_node *from,
                                struct column_node **out, struct err *err)
{
    struct column_node *n = ARENA_NEW(c->arena, struct column_node);
    enum status st = OK;
    size_t children = 0;

    if (!n) return err_nomem(err);
    *out = n;
    n->op = from->op;
    if (from->op == FILTER_TEST) {
        return compile_test(c, from->test, n, err);
    }
    for (const struct filter_node *child = from->child; child; child = child->next) {
        children++;
    }
    n->children = ARENA_ARRAY(c->arena, struct column_node *, children + 1);
    if (!n->children) return err_nomem(err);
    for (const struct filter_node *child = from->child; child && !st; child = child->next) {
        st = compile_node(c, child, &n->children[n->n], err);
        if (st) return st;
        n->cost += n->children[n->n]->cost;
        n->has_best |= n->children[n->n]->has_best;
        n->n++;
    }
    sort_children(n);
    return OK;
}

static size_t count_tests(const struct filter_node *n)
{
    size_t tests = n->op == FILTER_TEST;

    for (const struct filter_node *child = n->child; child; child = child->next) {
        tests += count_tests(child);
    }
    return tests;
}

enum status column_plan_new(struct column_plan **out, struct searcher *s, struct arena *a,
                            struct err *err)
{
    struct column_plan *p = ARENA_NEW(a, struct column_plan);
    struct compile c = { .plan = p, .arena = a };
    const struct filter_node *root = s->filter->root;
    struct str none = { NULL, 0 };
    uint32_t ignored;
    enum status st;

    *out = NULL;
    if (!p) return err_nomem(err);
    p->terms = ARENA_ARRAY(a, struct column_term, (root ? count_tests(root) : 0) + 1);
    p->order = ARENA_ARRAY(a, struct column_keys, s->order->n + 1);
    if (!p->terms || !p->order) return err_nomem(err);
    st = want(&c, COLUMN_ATTR, COLUMN_UID, none, &ignored, err);
    if (!st) st = want(&c, COLUMN_ATTR, COLUMN_LIFECYCLE, none, &ignored, err);
    if (!st && root) st = compile_node(&c, root, &p->root, err);
    for (size_t i = 0; i < s->order->n && !st; i++) {
        st = want_key(&c, &s->order->clauses[i].key, &p->order[i], err);
    }
    if (!st) *out = p;
    return st;
}
