/* core/search/column_values.c - distinct values with counts. The key is the first clause of an order
 * over runs, so that parsing, columns and the value of a single row are those of a search. */
#include "core/search/column_values.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/search/column_int.h"

#include <stdlib.h>

enum { ROWS_PER_CLOCK = 8 };

struct values {
    struct searcher *searcher;
    struct column_plan *plan;
    const struct search_key *key;
    size_t max;
    struct str_map counts; /* text -> struct value_count in the arena */
    size_t text_bytes;
    struct values_result sum;
    bool has_number;
    struct arena *arena;
};

static void release(void *ctx)
{
    str_map_release(&((struct values *)ctx)->counts);
}

enum status values_new(struct values **out, struct str filter, struct str key, size_t max,
                       struct arena *a, struct err *err)
{
    struct search_request in = {
        .entity = SEARCH_RUNS, .filter = filter, .order_by = &key, .order_by_n = 1
    };
    struct values *v = ARENA_NEW(a, struct values);
    enum status st;

    *out = NULL;
    if (!v || !arena_cleanup(a, release, v)) return err_nomem(err);
    v->arena = a;
    v->max = max;
    v->counts.max = VALUES_DISTINCT_MAX;
    st = searcher_new(&v->searcher, &in, a, err);
    if (st) return st;
    v->key = &v->searcher->order->clauses[0].key;
    if (v->searcher->order->clauses[0].desc || v->key->agg == AGG_BEST) {
        return err_field(err, ST_INVALID, "key", "the values of '%.*s' cannot be counted",
                         STR_ARG(key));
    }
    v->sum.type = v->key->type;
    v->searcher->order->n = 1;
    st = column_plan_new(&v->plan, v->searcher, a, err);
    if (!st) *out = v;
    return st;
}

const struct column_plan *values_plan(const struct values *v)
{
    return v->plan;
}

bool values_has_best(const struct values *v)
{
    return v->searcher->filter->has_best;
}

/* ---- counting ---------------------------------------------------------------------------------------- */

static enum status count_text(struct values *v, struct str text, uint64_t n, struct err *err)
{
    struct value_count *c = str_map_get(&v->counts, text);
    enum status st;

    if (c) {
        c->n += n;
        return OK;
    }
    if (v->counts.n == v->counts.max || v->text_bytes + text.n > VALUES_TEXT_MAX) {
        v->sum.others += n;
        return OK;
    }
    c = ARENA_NEW(v->arena, struct value_count);
    if (!c) return err_nomem(err);
    c->text = arena_str(v->arena, text);
    if (!c->text.p) return err_nomem(err);
    c->n = n;
    st = str_map_put(&v->counts, c->text, c);
    if (st) return err_nomem(err);
    v->text_bytes += text.n;
    return OK;
}

static void count_double(struct values *v, double d)
{
    struct values_result *s = &v->sum;

    if (d != d) {
        s->nan_n++;
        return;
    }
    s->min = v->has_number ? MIN_OF(s->min, d) : d;
    s->max = v->has_number ? MAX_OF(s->max, d) : d;
    v->has_number = true;
}

static void count_integer(struct values *v, int64_t i)
{
    struct values_result *s = &v->sum;

    s->min_i = v->has_number ? MIN_OF(s->min_i, i) : i;
    s->max_i = v->has_number ? MAX_OF(s->max_i, i) : i;
    v->has_number = true;
}

static enum status count_codes(struct values *v, const struct column *c, const uint64_t *bits,
                               struct err *err)
{
    uint32_t counts[COLUMN_ROWS] = { 0 };
    enum status st = OK;

    column_count_codes(c, bits, counts);
    for (uint32_t code = 0; code < column_codes_n(c) && !st; code++) {
        if (counts[code]) st = count_text(v, column_code_text(c, code), counts[code], err);
    }
    return st;
}

static void count_numbers(struct values *v, const struct column *c, const uint64_t *bits)
{
    for (size_t w = 0; c && w < COLUMN_WORDS; w++) {
        for (uint64_t left = bits[w]; left;) {
            uint32_t slot = column_bits_take(w, &left);
            int64_t i;
            double d;

            if (column_double(c, slot, &d)) {
                count_double(v, d);
            } else if (column_integer(c, slot, &i)) {
                count_integer(v, i);
            }
        }
    }
}

static enum status count_segment(struct values *v, struct column_eval *e)
{
    uint64_t bits[COLUMN_WORDS], has[COLUMN_WORDS];
    const struct column *c = NULL;
    enum status st = searcher_check_time(v->searcher, e->err);
    uint32_t runs;

    if (!st) st = column_eval_segment(e, bits);
    if (st) return st;
    runs = column_bits_count(bits);
    v->sum.runs += runs;
    if (runs) st = column_at(e, v->plan->order[0].value, &c);
    if (st) return st;
    column_present(c, has);
    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        has[w] &= bits[w];
    }
    v->sum.missing += runs - column_bits_count(has);
    if (v->key->type == SEARCH_TEXT) {
        return count_codes(v, c, has, e->err);
    }
    count_numbers(v, c, has);
    return OK;
}

enum status values_offer_columns(struct values *v, struct column_source *src, struct err *err)
{
    struct column_reader r = { v->searcher, v->plan, src };
    struct column_eval *e = ARENA_NEW(v->arena, struct column_eval);
    enum status st = OK;

    if (!e) return err_nomem(err);
    e->reader = &r;
    e->err = err;
    for (uint32_t i = 0; i < src->table->segments_n && !st; i++) {
        e->segment = i;
        st = count_segment(v, e);
    }
    return st;
}

enum status values_offer(struct values *v, const struct search_row_ops *ops, void *row,
                         struct err *err)
{
    struct order_value value;
    bool is_match = false;
    enum status st = OK;

    if (++v->searcher->offered % ROWS_PER_CLOCK == 0) st = searcher_check_time(v->searcher, err);
    if (!st) st = filter_match(v->searcher->filter, ops, row, &is_match, err);
    if (st || !is_match) return st;
    st = order_extract(v->searcher->order, ops, row, &value, err);
    if (st) return st;
    v->sum.runs++;
    if (value.rank == ORDER_MISSING) {
        v->sum.missing++;
    } else if (v->key->type == SEARCH_TEXT) {
        st = count_text(v, value.text, 1, err);
    } else if (v->key->type == SEARCH_INTEGER) {
        count_integer(v, value.i);
    } else {
        count_double(v, value.d);
    }
    return st;
}

/* ---- the result -------------------------------------------------------------------------------------- */

static int by_count(const void *a, const void *b)
{
    const struct value_count *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : str_cmp(x->text, y->text);
}

enum status values_end(struct values *v, struct values_result *out, struct err *err)
{
    struct value_count *all = ARENA_ARRAY(v->arena, struct value_count, v->counts.n + 1);
    struct str key;
    void *value;
    size_t at = 0, n = 0;

    if (!all) return err_nomem(err);
    while (str_map_next(&v->counts, &at, &key, &value)) {
        all[n++] = *(const struct value_count *)value;
    }
    qsort(all, n, sizeof(*all), by_count);
    *out = v->sum;
    out->distinct = n;
    out->values = all;
    out->n = MIN_OF(n, v->max);
    release(v);
    return OK;
}
