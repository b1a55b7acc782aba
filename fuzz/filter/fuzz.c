/* Filters, orders, regular expressions and page tokens from hostile clients.
 * First byte: modulo 3 the entity, bits 2 and 3 what the rest is. A filter that parses is
 * evaluated on three rows, one of them with texts cut from the input itself, row by row and in
 * columns. */
#include "base/mem.h"
#include "base/utf8.h"
#include "core/search/column_eval.h"
#include "core/search/regex.h"
#include "core/search/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct row {
    struct str text;
    double number;
    bool is_empty;
};

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct row *r = row;

    *out = key->name.n % 2 ? r->text : S("FINISHED");
    return !r->is_empty;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    *out = key->attr == ATTR_END_TIME ? 7 : INT64_MIN;
    return !((const struct row *)row)->is_empty;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct row *r = row;

    CHECK(agg != AGG_BEST);
    *out = key->name.n > 3 ? r->number : 1;
    return !r->is_empty;
}

static enum search_goal experiment_goal(void *ctx, struct str metric)
{
    (void)ctx;
    return metric.n % 3 == 0 ? GOAL_NONE : GOAL_MAX;
}

/* The tag of the run, else what the experiment says. */
static enum search_goal row_goal(void *row, const struct search_key *key)
{
    struct search_key tag = { .kind = SEARCH_TAG, .name = { NULL, 11 + key->name.n } };
    struct str text;
    enum search_goal goal = GOAL_NONE;

    if (tag.name.n > GOAL_TAG_MAX) {
        return GOAL_NONE;
    }
    if (row_text(row, &tag, &text)) goal = search_goal_parse(text);
    return goal != GOAL_NONE ? goal : experiment_goal(NULL, key->name);
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    static const struct search_dataset sets[] = { { S_INIT("iris"), S_INIT("d"), { NULL, 0 } } };

    *out = sets;
    *n = 1;
    return ((const struct row *)row)->is_empty ? err_set(err, ST_UNAVAILABLE, "away") : OK;
}

static const struct search_row_ops ops = { row_text, row_integer, row_metric,
                                           NULL,     row_goal,    row_datasets };

/* ---- columns ---- */

enum { ROWS_N = 3 };

static void put(struct column_builder *b, uint32_t slot, struct row *row,
                const struct column_want *w)
{
    struct search_key key = { .kind = w->kind == COLUMN_PARAM ? SEARCH_PARAM
                                      : w->kind == COLUMN_TAG ? SEARCH_TAG
                                                              : SEARCH_METRIC,
                              .name = w->name };
    struct str text;
    int64_t i;
    double d;

    if (w->kind == COLUMN_ATTR) {
        key = (struct search_key){ .kind = SEARCH_ATTR };
        key.attr = w->attr == COLUMN_END ? ATTR_END_TIME : ATTR_START_TIME;
        if (w->attr == COLUMN_UID || w->attr == COLUMN_LIFECYCLE) {
            column_builder_integer(b, slot, w->attr == COLUMN_UID ? slot : 0);
        } else if (w->attr == COLUMN_START || w->attr == COLUMN_END) {
            if (row_integer(row, &key, &i)) column_builder_integer(b, slot, i);
        } else if (row_text(row, &key, &text)) {
            column_builder_text(b, slot, text);
        }
    } else if (w->kind == COLUMN_PARAM || w->kind == COLUMN_TAG) {
        if (row_text(row, &key, &text)) column_builder_text(b, slot, text);
    } else if (row_metric(row, &key, AGG_LAST, &d)) {
        column_builder_double(b, slot, d);
    }
}

static enum status source_datasets(void *ctx, int64_t uid, const struct search_dataset **out,
                                   size_t *n, struct err *err)
{
    return row_datasets((struct row *)ctx + uid, out, n, err);
}

/* The same search in columns. */
static enum status by_columns(const struct search_request *in, struct row *rows, uint64_t **handles,
                              size_t *n, struct str *next, struct arena *a, struct err *err)
{
    static const uint32_t rows_n = ROWS_N;
    struct column_builder *b = column_builder_new();
    struct column_table t = { .segments_n = 1, .rows = &rows_n };
    struct column_source source = { &t, VIEW_ALL, experiment_goal, source_datasets, rows };
    struct column_plan *plan;
    struct searcher *s;
    enum status st;

    CHECK(b && searcher_new(&s, in, a, err) == OK && column_plan_new(&plan, s, a, err) == OK);
    t.columns_n = (uint32_t)plan->n;
    t.cells = mem_zalloc(plan->n, sizeof(*t.cells));
    CHECK(t.cells);
    for (size_t i = 0; i < plan->n; i++) {
        struct column_key key = { plan->wants[i].kind, plan->wants[i].attr };
        struct column *c;

        CHECK(column_builder_reset(b, column_key_type(key), NULL, ROWS_N, err) == OK);
        for (uint32_t slot = 0; slot < ROWS_N; slot++) {
            put(b, slot, &rows[slot], &plan->wants[i]);
        }
        CHECK(column_builder_finish(b, &c, err) == OK);
        t.cells[i].column = c;
        if (c) t.cells[i].zone = *column_zone(c);
    }
    st = searcher_offer_columns(s, plan, &source, err);
    if (!st) CHECK(searcher_end(s, handles, n, next, err) == OK);
    for (size_t i = 0; i < plan->n; i++) {
        column_unref(t.cells[i].column);
    }
    mem_free(t.cells);
    column_builder_free(b);
    return st;
}

static void search(enum search_entity entity, struct str filter, struct str order, struct str token,
                   struct arena *a)
{
    struct order_field field = { .field = order, .dataset_name = order };
    struct search_request in = { .entity = entity,
                                 .filter = filter,
                                 .order_by = &order,
                                 .fields = &field,
                                 .page = { .max = 1, .token = token } };
    struct str text = filter.n && utf8_valid(str_sub(filter, filter.n / 2, filter.n))
                          ? str_sub(filter, filter.n / 2, filter.n)
                          : S("x");
    struct row rows[ROWS_N] = { { text, 0.5, false },
                                { S(""), -1, true },
                                { S("zz"), 1e300, false } };
    struct err err = ERR_INIT;
    struct searcher *s;
    struct str next, next_too;
    uint64_t *handles, *handles_too;
    size_t n, n_too;
    enum status st = OK;

    in.order_by_n = in.fields_n = order.n > 0;
    if (searcher_new(&s, &in, a, &err)) {
        CHECK(s == NULL && err.code != OK && err.message[0]);
        return;
    }
    for (size_t i = 0; i < ARRAY_N(rows) && !st; i++) {
        st = searcher_offer(s, &ops, &rows[i], i, &err);
    }
    if (entity == SEARCH_RUNS) {
        CHECK(st == by_columns(&in, rows, &handles_too, &n_too, &next_too, a, &err));
    }
    if (st) {
        return;
    }
    CHECK(searcher_end(s, &handles, &n, &next, &err) == OK);
    if (entity == SEARCH_RUNS) {
        CHECK(n == n_too && str_eq(next, next_too));
        CHECK(n == 0 || handles[0] == handles_too[0]);
    }
    if (next.p) { /* what we wrote, we read */
        in.page.token = next;
        CHECK(searcher_new(&s, &in, a, &err) == OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a;
    struct str text = str_of(data, n), first;
    struct err err = ERR_INIT;
    struct regex *r;
    unsigned what;

    if (n == 0) {
        return 0;
    }
    what = data[0];
    text = str_sub(text, 1, n);
    a = arena_new(16 << 20);
    CHECK(a);
    switch (what >> 2 & 3) {
    case 0: search(what % 3, text, S(""), S(""), a); break;
    case 1: search(what % 3, S(""), text, S(""), a); break;
    case 2: search(what % 3, S(""), S(""), text, a); break;
    default: /* pattern, newline, text */
        str_split(&text, '\n', &first);
        if (utf8_valid(first) && utf8_valid(text) && regex_compile(&r, first, a, &err) == OK) {
            bool is_match = regex_match(r, text);

            CHECK(regex_match(r, text) == is_match);
        }
        break;
    }
    arena_free(a);
    return 0;
}
