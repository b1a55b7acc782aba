/* core/search/column_top.c - the rows of columns that get into the page.
 * Segments are visited in the order of the best value that their zone allows for the first order
 * clause; when the page is full and a zone is behind its last row, nothing that follows can get in.
 * Within a segment the rows behind the page's last row (and before the page token) are dropped as
 * bitmaps before any single value is read. */
#include "core/search/column_int.h"
#include "core/search/search_int.h"

#include <math.h>
#include <stdlib.h>

/* ---- values ------------------------------------------------------------------------------------------ */

/* Which column holds a row's value of best(): its own goal, else the experiment's. */
static enum status best_want(struct column_reader *r, const struct column_keys *k, uint32_t segment,
                             uint32_t slot, uint32_t *want, struct err *err)
{
    const struct column_source *source = r->source;
    enum search_goal goal = GOAL_NONE;
    const struct column *tags;
    struct str text;
    enum status st;

    *want = COLUMN_NONE;
    if (k->goal == COLUMN_NONE) {
        return OK;
    }
    st = column_table_get(source->table, segment, k->goal, &tags, err);
    if (st) return st;
    if (column_text(tags, slot, &text)) goal = search_goal_parse(text);
    if (goal == GOAL_NONE && source->goal) goal = source->goal(source->ctx, k->key->name);
    if (goal != GOAL_NONE) *want = goal == GOAL_MIN ? k->value : k->max;
    return OK;
}

enum status column_read_value(struct column_reader *r, uint32_t segment, uint32_t slot, size_t i,
                              struct order_value *out, struct err *err)
{
    const struct column_keys *k = &r->plan->order[i];
    uint32_t want = k->value;
    const struct column *c;
    bool has = false;
    enum status st = OK;

    *out = (struct order_value){ .rank = ORDER_MISSING };
    if (k->max != COLUMN_NONE) st = best_want(r, k, segment, slot, &want, err);
    if (st || want == COLUMN_NONE) return st;
    st = column_table_get(r->source->table, segment, want, &c, err);
    if (st) return st;
    switch (k->key->type) {
    case SEARCH_TEXT: has = column_text(c, slot, &out->text); break;
    case SEARCH_INTEGER: has = column_integer(c, slot, &out->i); break;
    case SEARCH_DOUBLE:
    default: has = column_double(c, slot, &out->d); break;
    }
    if (has) out->rank = out->d != out->d ? ORDER_NAN : ORDER_VALUE;
    return OK;
}

/* ---- bounds ------------------------------------------------------------------------------------------ */

/* A place in the order of the first clause: what its zone or one value says. Smaller comes first. */
struct bound {
    int rank;   /* ORDER_VALUE, _NAN, _MISSING */
    int64_t at; /* ORDER_VALUE: the value's rank (columns.h), negated for DESC */
};

static int bound_compare(const struct bound *a, const struct bound *b)
{
    if (a->rank != b->rank || a->rank != ORDER_VALUE) {
        return (a->rank > b->rank) - (a->rank < b->rank);
    }
    return (a->at > b->at) - (a->at < b->at);
}

static struct bound bound_of(const struct order_clause *o, int64_t rank)
{
    return (struct bound){ ORDER_VALUE, o->desc ? ~rank : rank };
}

static struct bound bound_of_value(const struct order_clause *o, const struct order_value *v)
{
    if (v->rank != ORDER_VALUE) {
        return (struct bound){ (int)v->rank, 0 };
    }
    return bound_of(o, o->key.type == SEARCH_TEXT      ? column_rank_text(v->text)
                       : o->key.type == SEARCH_INTEGER ? v->i
                                                       : column_rank_double(v->d));
}

/* Where the first row of a zone can stand. */
static struct bound zone_first(const struct order_clause *o, const struct column_zone *z)
{
    if (z->nan_n == z->present_n) {
        return (struct bound){ z->nan_n ? ORDER_NAN : ORDER_MISSING, 0 };
    }
    return bound_of(o, o->desc ? z->max : z->min);
}

/* And the last one. rows: those of the segment. */
static struct bound zone_last(const struct order_clause *o, const struct column_zone *z,
                              uint32_t rows)
{
    if (z->present_n < rows) {
        return (struct bound){ ORDER_MISSING, 0 };
    }
    if (z->nan_n) {
        return (struct bound){ ORDER_NAN, 0 };
    }
    return bound_of(o, o->desc ? z->min : z->max);
}

/* ---- segments ---------------------------------------------------------------------------------------- */

struct visit {
    struct bound first;
    uint32_t segment;
};

struct top {
    struct column_eval eval;
    struct column_reader *reader;
    struct searcher *searcher;
    const struct order_clause *clause; /* the first */
    uint32_t want;                     /* its column; COLUMN_NONE: bounds are not known */
    struct visit *visits;
    size_t visits_cap;
};

static int visit_order(const void *a, const void *b)
{
    const struct visit *x = a, *y = b;
    int c = bound_compare(&x->first, &y->first);

    return c ? c : (x->segment < y->segment) - (x->segment > y->segment); /* the newest first */
}

static enum status plan_visits(struct top *t, struct err *err)
{
    const struct column_table *table = t->reader->source->table;

    if (table->segments_n > t->visits_cap) {
        t->visits = ARENA_ARRAY(t->searcher->arena, struct visit, table->segments_n);
        t->visits_cap = t->visits ? table->segments_n : 0;
        if (!t->visits) return err_nomem(err);
    }
    for (uint32_t i = 0; i < table->segments_n; i++) {
        t->visits[i] = (struct visit){ .segment = i };
        if (t->want != COLUMN_NONE) {
            t->visits[i].first = zone_first(t->clause, &column_table_cell(table, i, t->want)->zone);
        }
    }
    if (table->segments_n) {
        qsort(t->visits, table->segments_n, sizeof(*t->visits), visit_order);
    }
    return OK;
}

/* ---- rows -------------------------------------------------------------------------------------------- */

/* Rows whose first value is at v or behind it in the order, or at v or before it. */
static void rows_beside(const struct top *t, const struct column *c, const struct order_value *v,
                        bool behind, uint64_t *bits)
{
    bool upwards = behind != t->clause->desc; /* greater values are wanted */
    const double inf = (double)INFINITY;
    uint64_t values[COLUMN_WORDS];

    memset(values, 0, sizeof(values));
    memset(bits, 0, sizeof(values));
    if (v->rank == ORDER_MISSING) {
        column_present(c, behind ? values : bits); /* behind: all but those */
    } else if (v->rank == ORDER_NAN) {
        if (behind) {
            column_range_double(c, -inf, inf, values);
        } else {
            column_present(c, bits);
        }
    } else if (t->clause->key.type == SEARCH_INTEGER) {
        column_range_integer(c, upwards ? v->i : INT64_MIN, upwards ? INT64_MAX : v->i, bits);
        column_present(c, values);
    } else if (t->clause->key.type == SEARCH_DOUBLE) {
        column_range_double(c, upwards ? v->d : -inf, upwards ? inf : v->d, bits);
        column_range_double(c, -inf, inf, values);
    } else {
        uint32_t code = column_code_at_least(c, v->text), n = column_codes_n(c);
        bool is_equal = code < n && str_eq(column_code_text(c, code), v->text);

        if (upwards) {
            column_range_codes(c, code, n, bits);
        } else if (code + is_equal > 0) {
            column_range_codes(c, 0, code + is_equal - 1U, bits);
        }
        column_present(c, values);
    }
    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        if (behind) {
            bits[w] |= ~values[w]; /* NaN and missing come after every value */
        } else if (v->rank == ORDER_MISSING) {
            bits[w] = ~0ULL;
        }
    }
}

/* Leaves the rows that are not behind the page's last row by their first value. */
static void drop_behind(const struct top *t, const struct column *c, uint64_t *bits)
{
    const struct order_value *last = searcher_last(t->searcher);
    uint64_t rows[COLUMN_WORDS];

    if (last && t->want != COLUMN_NONE) {
        rows_beside(t, c, last, false, rows);
        for (size_t w = 0; w < COLUMN_WORDS; w++) {
            bits[w] &= rows[w];
        }
    }
}

/* Takes the rows before the page token away, counts those behind it, and moves those that only the
 * further clauses can decide to `ties`. */
static void split_at_token(const struct top *t, const struct column *c, uint64_t *bits,
                           uint64_t *ties)
{
    struct searcher *s = t->searcher;
    uint64_t behind[COLUMN_WORDS], before[COLUMN_WORDS];

    memset(ties, 0, sizeof(behind));
    if (s->after && t->want == COLUMN_NONE) {
        memcpy(ties, bits, sizeof(behind));
        memset(bits, 0, sizeof(behind));
    } else if (s->after) {
        rows_beside(t, c, &s->after[0], true, behind);
        rows_beside(t, c, &s->after[0], false, before);
        for (size_t w = 0; w < COLUMN_WORDS; w++) {
            ties[w] = bits[w] & behind[w] & before[w];
            bits[w] &= behind[w] & ~before[w];
        }
    }
    s->found += column_bits_count(bits);
}

static enum status offer_row(struct top *t, const struct column *uids, uint32_t slot, bool is_tie,
                             struct err *err)
{
    struct searcher *s = t->searcher;
    uint32_t segment = t->eval.segment;
    const struct order_value *last = searcher_last(s);
    int64_t uid = 0;
    enum status st;

    s->row_ref = (struct row_ref){ t->reader, segment, slot };
    for (size_t i = 0; i < s->order->n; i++) {
        s->row[i].rank = ORDER_UNREAD;
    }
    st = column_read_value(t->reader, segment, slot, 0, &s->row[0], err);
    if (st) return st;
    if (is_tie) {
        bool is_after = searcher_is_after(s);

        if (s->failed && err) *err = s->failed_err;
        if (s->failed) return s->failed;
        s->found += is_after;
        if (!is_after) return OK;
    }
    if (last && order_compare_value(t->clause, &s->row[0], last) > 0) {
        return OK;
    }
    IGNORE_STATUS(!column_integer(uids, slot, &uid)); /* only existing runs are in the bitmap */
    return searcher_keep(s, (uint64_t)uid, err);
}

static enum status offer_bits(struct top *t, const struct column *uids, const uint64_t *bits,
                              bool is_tie, struct err *err)
{
    enum status st = OK;

    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        for (uint64_t left = bits[w]; left && !st;) {
            st = offer_row(t, uids, column_bits_take(w, &left), is_tie, err);
        }
    }
    return st;
}

/* The rows of one segment that match. */
static enum status offer_rows(struct top *t, uint64_t *bits, struct err *err)
{
    const struct column *uids, *c = NULL;
    uint64_t ties[COLUMN_WORDS];
    enum status st = column_at(&t->eval, COLUMN_WANT_UID, &uids);

    if (!st && t->want != COLUMN_NONE) st = column_at(&t->eval, t->want, &c);
    if (st) return st;
    split_at_token(t, c, bits, ties);
    st = offer_bits(t, uids, ties, true, err);
    if (st) return st;
    drop_behind(t, c, bits);
    return offer_bits(t, uids, bits, false, err);
}

/* Rows that are ordered by best() and have no direction fail the search, wherever they stand. */
static enum status check_goals(struct top *t, const uint64_t *bits)
{
    uint64_t min_bits[COLUMN_WORDS], max_bits[COLUMN_WORDS];
    enum status st = OK;

    for (size_t i = 0; i < t->searcher->order->n && !st; i++) {
        const struct column_keys *k = &t->reader->plan->order[i];

        if (k->max != COLUMN_NONE) st = column_goals(&t->eval, k, bits, min_bits, max_bits);
    }
    return st;
}

/* Whether the segment lies before the page token as a whole. */
static bool is_before_page(const struct top *t, uint32_t segment)
{
    const struct column_table *table = t->reader->source->table;
    const struct searcher *s = t->searcher;
    struct bound last, after;

    if (!s->after || t->want == COLUMN_NONE) {
        return false;
    }
    last = zone_last(t->clause, &column_table_cell(table, segment, t->want)->zone,
                     table->rows[segment]);
    after = bound_of_value(t->clause, &s->after[0]);
    return bound_compare(&last, &after) < 0;
}

/* Whether no row of the segment, or of those that are visited later, can get into the page. */
static bool is_behind_page(const struct top *t, const struct visit *v)
{
    const struct searcher *s = t->searcher;
    const struct order_value *last = searcher_last(s);
    struct bound page;

    if (s->max == 0) {
        return true;
    }
    if (!last || t->want == COLUMN_NONE) {
        return false;
    }
    page = bound_of_value(t->clause, last);
    return bound_compare(&v->first, &page) > 0;
}

static enum status visit(struct top *t, const struct visit *v, bool *done, struct err *err)
{
    struct searcher *s = t->searcher;
    bool is_needed = s->count_all || searcher_has_best(s);
    bool behind = is_behind_page(t, v), before = is_before_page(t, v->segment);
    uint64_t bits[COLUMN_WORDS];
    enum status st;

    if (!is_needed && behind && (s->found > s->n || s->max == 0)) {
        *done = true;
        return OK;
    }
    if (!is_needed && before) {
        return OK;
    }
    t->eval.segment = v->segment;
    st = searcher_check_time(s, err);
    if (!st) st = column_eval_segment(&t->eval, bits);
    if (!st) st = check_goals(t, bits);
    if (st) return st;
    s->total += column_bits_count(bits);
    if (before) {
        return OK;
    }
    if (behind) { /* all of them come after the page, and so after its token */
        s->found += column_bits_count(bits);
        return OK;
    }
    return offer_rows(t, bits, err);
}

enum status searcher_offer_columns(struct searcher *s, const struct column_plan *p,
                                   struct column_source *src, struct err *err)
{
    struct column_reader *r = ARENA_NEW(s->arena, struct column_reader);
    struct top *t = s->top;
    bool done = false;
    enum status st;

    if (!t) {
        t = s->top = ARENA_NEW(s->arena, struct top);
    }
    if (!t || !r) return err_nomem(err);
    *r = (struct column_reader){ s, p, src };
    t->reader = r;
    t->searcher = s;
    t->clause = &s->order->clauses[0];
    t->want = p->order[0].max == COLUMN_NONE ? p->order[0].value : COLUMN_NONE;
    t->eval.reader = r;
    t->eval.err = err;
    st = plan_visits(t, err);
    for (uint32_t i = 0; i < src->table->segments_n && !st && !done; i++) {
        st = visit(t, &t->visits[i], &done, err);
    }
    return st;
}
