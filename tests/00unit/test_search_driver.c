/* Evaluation of filters, orders, pages and tokens, over rows that are plain structs. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/search/driver.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A row: at most one metric m, param p, tag t. */
struct row {
    const char *id, *status, *p, *t;
    int64_t start, end; /* end 0: none */
    double m, min, max;
    bool has_m;
    enum search_goal goal;
    struct search_dataset datasets[2];
    size_t datasets_n;
    bool fails;
};

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct row *r = row;
    const char *v = key->kind == SEARCH_PARAM                                ? r->p
                    : key->kind == SEARCH_TAG                                ? r->t
                    : key->attr == ATTR_RUN_ID || key->attr == ATTR_MODEL_ID ? r->id
                    : key->attr == ATTR_STATUS                               ? r->status
                                                                             : NULL;

    if (key->name.n && !str_eq_lit(key->name, "p") && !str_eq_lit(key->name, "t")) {
        v = NULL;
    }
    *out = str_cstr(v);
    return v != NULL;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    const struct row *r = row;

    *out = key->attr == ATTR_END_TIME ? r->end : r->start;
    return key->attr != ATTR_END_TIME || r->end;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct row *r = row;

    *out = agg == AGG_MIN ? r->min : agg == AGG_MAX ? r->max : r->m;
    return r->has_m && str_eq_lit(key->name, "m");
}

static enum search_goal row_goal(void *row, const struct search_key *key)
{
    return key->name.n ? ((const struct row *)row)->goal : GOAL_NONE;
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    const struct row *r = row;

    *out = r->datasets;
    *n = r->datasets_n;
    return r->fails ? err_set(err, ST_UNAVAILABLE, "database away") : OK;
}

static const struct search_row_ops ops = { row_text, row_integer, row_metric,
                                           NULL,     row_goal,    row_datasets };

/* Whether text matches the row: 1, 0, or -1 for an error. */
static int match(const char *text, struct row *row)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct filter *f;
    bool is_match = false;
    enum status st;

    t_note("%s", text);
    T_ST_ERR(filter_parse(&f, SEARCH_RUNS, str_cstr(text), a, &err), OK, &err);
    st = filter_match(f, &ops, row, &is_match, &err);
    arena_free(a);
    return st ? -1 : is_match;
}

static struct row full_row(void)
{
    return (struct row){ .id = "r1",
                         .status = "FINISHED",
                         .p = "Adam",
                         .t = "x",
                         .start = 100,
                         .end = 200,
                         .m = 0.5,
                         .min = 0.25,
                         .max = 2,
                         .has_m = true };
}

TEST(search_match_kinds)
{
    struct row r = full_row();

    T_INT(match("", &r), 1);
    T_INT(match("metrics.m = 0.5", &r), 1);
    T_INT(match("metrics.m != 0.5", &r), 0);
    T_INT(match("metrics.m < 1 and metrics.m > 0 and metrics.m >= 0.5 and metrics.m <= 0.5", &r),
          1);
    T_INT(match("metrics.m in (1, 0.5)", &r), 1);
    T_INT(match("metrics.m not in (1, 0.5)", &r), 0);
    T_INT(match("params.p = 'Adam'", &r), 1);
    T_INT(match("params.p = 'adam'", &r), 0);
    T_INT(match("params.p ilike 'aD%'", &r), 1);
    T_INT(match("params.p like 'aD%'", &r), 0);
    T_INT(match("params.p not like 'aD%'", &r), 1);
    T_INT(match("params.p not ilike 'aD%'", &r), 0);
    T_INT(match("params.p =~ 'd.m$'", &r), 1);
    T_INT(match("params.p !~ 'd.m$'", &r), 0);
    T_INT(match("params.p in ('SGD', 'Adam', 'Zap')", &r), 1);
    T_INT(match("params.p not in ('SGD', 'Adam')", &r), 0);
    T_INT(match("params.p is null", &r), 0);
    T_INT(match("params.p is not null", &r), 1);
    T_INT(match("start_time = 100 and end_time > 150.5", &r), 1);
    T_INT(match("start_time < 100.5 and start_time > 99.5 and start_time != 100.5", &r), 1);
    T_INT(match("start_time < 1e300 and start_time > -1e300", &r), 1);
    T_INT(match("start_time in (5, 100)", &r), 1);
    T_INT(match("status = 'FINISHED' and run_id like 'r_'", &r), 1);
}

TEST(search_match_logic)
{
    struct row r = full_row();

    T_INT(match("metrics.m = 1 or params.p = 'Adam'", &r), 1);
    T_INT(match("metrics.m = 1 or params.p = 'x'", &r), 0);
    T_INT(match("not metrics.m = 1", &r), 1);
    T_INT(match("not (metrics.m = 0.5 and params.p = 'Adam')", &r), 0);
    T_INT(match("not (metrics.m = 0.5 and params.p = 'x')", &r), 1);
    T_INT(match("(metrics.m = 1 or tags.t = 'x') and (status = 'x' or end_time = 200)", &r), 1);
}

/* A row without the key matches nothing but IS NULL and NOT. */
TEST(search_match_missing)
{
    struct row r = { .id = "r", .start = 1 };

    T_INT(match("metrics.m != 1", &r), 0);
    T_INT(match("metrics.m not in (1)", &r), 0);
    T_INT(match("params.p != 'a'", &r), 0);
    T_INT(match("params.p not like 'a'", &r), 0);
    T_INT(match("params.p !~ 'a'", &r), 0);
    T_INT(match("params.p not in ('a')", &r), 0);
    T_INT(match("end_time != 5", &r), 0);
    T_INT(match("user_id != 'a'", &r), 0);
    T_INT(match("params.p is null", &r), 1);
    T_INT(match("params.p is not null", &r), 0);
    T_INT(match("not params.p = 'a'", &r), 1);
}

TEST(search_match_nan)
{
    struct row r = full_row();

    r.m = (double)NAN;
    T_INT(match("metrics.m = 0", &r), 0);
    T_INT(match("metrics.m != 0", &r), 1);
    T_INT(match("metrics.m < 1", &r), 0);
    T_INT(match("metrics.m >= 0", &r), 0);
    r.m = (double)INFINITY;
    T_INT(match("metrics.m > 1e308", &r), 1);
}

TEST(search_match_big_integers)
{
    struct row r = { .id = "r", .start = 9007199254740993 }; /* 2^53 + 1 is no double */

    T_INT(match("start_time = 9007199254740993", &r), 1);
    T_INT(match("start_time = 9007199254740992", &r), 0);
    T_INT(match("start_time > 9007199254740992.0", &r), 1);
    r.start = INT64_MAX;
    T_INT(match("start_time < 9223372036854775808", &r), 1);
    T_INT(match("start_time = 9223372036854775808", &r), 0);
    r.start = INT64_MIN;
    T_INT(match("start_time >= -9223372036854775808", &r), 1);
    T_INT(match("start_time > -9.3e18", &r), 1);
}

TEST(search_match_aggregates)
{
    struct row r = full_row();

    T_INT(match("min(metrics.m) = 0.25 and max(metrics.m) = 2 and last(metrics.m) = 0.5", &r), 1);
    T_INT(match("best(metrics.m) = 0.25", &r), -1);
    T_INT(match("best(metrics.other) = 0.25", &r), 0); /* no metric, no question */
    r.goal = GOAL_MIN;
    T_INT(match("best(metrics.m) = 0.25", &r), 1);
    r.goal = GOAL_MAX;
    T_INT(match("best(metrics.m) = 2", &r), 1);
}

static bool row_metric_any(void *row, const struct search_key *key, size_t i, double *out)
{
    *out = (double)i;
    return key->name.n && i < 3 && ((const struct row *)row)->has_m;
}

/* Logged models: any value of the metric may hold. */
TEST(search_match_any_metric)
{
    static const struct search_row_ops any = { row_text,       row_integer, row_metric,
                                               row_metric_any, NULL,        NULL };
    static const struct {
        const char *text;
        bool want;
    } cases[] = { { "metrics.m = 2", true },
                  { "metrics.m = 3", false },
                  { "metrics.m != 2", true },
                  { "metrics.m < 0", false },
                  { "max(metrics.m) = 2", true } };
    struct row r = full_row();

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct arena *a = arena_new(1 << 20);
        struct err err = ERR_INIT;
        struct filter *f;
        bool is_match;

        T_ST_ERR(filter_parse(&f, SEARCH_LOGGED_MODELS, str_cstr(cases[i].text), a, &err), OK,
                 &err);
        T_ST_ERR(filter_match(f, &any, &r, &is_match, &err), OK, &err);
        T_INT(is_match, cases[i].want);
        arena_free(a);
    }
}

TEST(search_match_datasets)
{
    struct row r = full_row();

    T_INT(match("datasets.name != 'a'", &r), 0);
    r.datasets[0] = (struct search_dataset){ S("iris"), S("d1"), S("train") };
    r.datasets[1] = (struct search_dataset){ S("wine"), S("d2"), { NULL, 0 } };
    r.datasets_n = 2;
    T_INT(match("datasets.name = 'wine' and dataset.digest in ('d1')", &r), 1);
    T_INT(match("datasets.name != 'wine'", &r), 1);
    T_INT(match("datasets.name = 'x'", &r), 0);
    T_INT(match("datasets.context = 'train'", &r), 1);
    T_INT(match("datasets.context != 'train'", &r), 0);
    r.fails = true;
    T_INT(match("datasets.name = 'wine'", &r), -1);
    T_INT(match("datasets.name = 'wine' and metrics.m = 7", &r),
          0); /* the cheap test comes first */
}

/* ---- orders and pages ------------------------------------------------------------------------- */

enum { ROWS = 200 };

struct table {
    struct row rows[ROWS];
    char ids[ROWS][16];
    struct order *order;
};

/* Rows with many equal keys, missing ones and NaN. */
static void table_fill(struct table *t)
{
    static const char *const texts[] = { "", "a", "b", "\xc3\xa9", NULL, "ab" };
    static const double values[] = {
        -1, 0, 0.5, (double)NAN, (double)INFINITY, -(double)INFINITY, 7
    };

    for (size_t i = 0; i < ROWS; i++) {
        struct row *r = &t->rows[i];

        snprintf(t->ids[i], sizeof(t->ids[i]), "%08x", (unsigned)(i * 2654435761U));
        *r = (struct row){ .id = t->ids[i], .status = "RUNNING" };
        r->p = texts[t_rand_below(ARRAY_N(texts))];
        r->t = texts[t_rand_below(ARRAY_N(texts))];
        r->start = (int64_t)t_rand_below(5) - 2;
        r->end = (int64_t)t_rand_below(3);
        r->has_m = t_rand_below(4) > 0;
        r->m = r->min = r->max = values[t_rand_below(ARRAY_N(values))];
        r->goal = GOAL_MIN;
    }
}

static const struct table *sorted_table;

/* The reference: compares two rows by plain rules, clause by clause. */
static int reference(const void *a, const void *b)
{
    const struct row *x = &sorted_table->rows[*(const size_t *)a],
                     *y = &sorted_table->rows[*(const size_t *)b];
    const struct order *o = sorted_table->order;

    for (size_t i = 0; i < o->n; i++) {
        const struct search_key *key = &o->clauses[i].key;
        int rank_x = 0, rank_y = 0, c = 0;

        if (key->type == SEARCH_DOUBLE) {
            rank_x = !x->has_m ? 2 : isnan(x->m) ? 1 : 0;
            rank_y = !y->has_m ? 2 : isnan(y->m) ? 1 : 0;
            c = rank_x || rank_y ? 0 : (x->m > y->m) - (x->m < y->m);
        } else if (key->type == SEARCH_INTEGER) {
            bool end = key->attr == ATTR_END_TIME;
            int64_t v = end ? x->end : x->start, w = end ? y->end : y->start;

            rank_x = end && !v;
            rank_y = end && !w;
            c = rank_x || rank_y ? 0 : (v > w) - (v < w);
        } else {
            const char *v = key->kind == SEARCH_PARAM ? x->p
                            : key->kind == SEARCH_TAG ? x->t
                                                      : x->id;
            const char *w = key->kind == SEARCH_PARAM ? y->p
                            : key->kind == SEARCH_TAG ? y->t
                                                      : y->id;

            rank_x = !v;
            rank_y = !w;
            c = v && w ? strcmp(v, w) : 0;
        }
        if (rank_x != rank_y) {
            return rank_x - rank_y;
        }
        if (c) {
            return o->clauses[i].desc ? -c : c;
        }
    }
    return 0;
}

/* Reads all pages of a search, offering rows in another order each time, and compares with the reference. */
static void check_pages(struct table *t, const struct str *clauses, size_t clauses_n,
                        size_t page_max)
{
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct search_request in = { .entity = SEARCH_RUNS,
                                 .order_by = clauses,
                                 .order_by_n = clauses_n,
                                 .scope = S("scope"),
                                 .page = { .max = page_max } };
    size_t want[ROWS], got_n = 0, pages = 0;

    for (size_t i = 0; i < ROWS; i++) {
        want[i] = i;
    }
    T_ST_ERR(order_parse(&t->order, SEARCH_RUNS, clauses, clauses_n, a, &err), OK, &err);
    sorted_table = t;
    qsort(want, ROWS, sizeof(*want), reference);
    do {
        struct searcher *s;
        uint64_t *handles;
        size_t n, from = t_rand_below(ROWS);

        T_ST_ERR(searcher_new(&s, &in, a, &err), OK, &err);
        for (size_t i = 0; i < ROWS; i++) {
            size_t at = (from + i * 7) % ROWS;

            T_ST_ERR(searcher_offer(s, &ops, &t->rows[at], at, &err), OK, &err);
        }
        T_ST_ERR(searcher_end(s, &handles, &n, &in.page.token, &err), OK, &err);
        for (size_t i = 0; i < n; i++) {
            T_UINT(handles[i], want[got_n + i]);
        }
        got_n += n;
        pages++;
        T_OK(in.page.token.p == NULL || n == page_max);
    } while (in.page.token.p);
    T_UINT(got_n, ROWS);
    T_UINT(pages, (ROWS + page_max - 1) / page_max);
    arena_free(a);
}

TEST(search_pages)
{
    static const struct str clauses[][3] = {
        { S_INIT("start_time DESC"), { NULL, 0 }, { NULL, 0 } },
        { S_INIT("metrics.m"), S_INIT("params.p DESC"), { NULL, 0 } },
        { S_INIT("metrics.m DESC"), S_INIT("end_time DESC"), S_INIT("tags.t") },
        { S_INIT("params.p"), { NULL, 0 }, { NULL, 0 } },
        { S_INIT("tags.t DESC"), S_INIT("start_time"), { NULL, 0 } },
        { S_INIT("run_id DESC"), { NULL, 0 }, { NULL, 0 } },
        { S_INIT("best(metrics.m)"), S_INIT("end_time"), { NULL, 0 } },
    };
    static const size_t sizes[] = { 1, 7, 64, 100, 199, 200, 201 };
    struct table *t = mem_zalloc(1, sizeof(*t));

    table_fill(t);
    for (size_t i = 0; i < ARRAY_N(clauses); i++) {
        size_t n = clauses[i][2].n ? 3 : clauses[i][1].n ? 2 : 1;

        for (size_t j = 0; j < ARRAY_N(sizes); j++) {
            check_pages(t, clauses[i], n, sizes[j]);
        }
    }
    check_pages(t, NULL, 0, 13);
    mem_free(t);
}

/* Between two pages rows come and go: those that stay come exactly once. */
TEST(search_pages_while_rows_change)
{
    static const struct str by_param = S_INIT("params.p DESC");
    struct table *t = mem_zalloc(1, sizeof(*t));
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct search_request in = {
        .entity = SEARCH_RUNS, .order_by = &by_param, .order_by_n = 1, .page = { .max = 9 }
    };
    unsigned seen[ROWS] = { 0 };
    bool is_there[ROWS] = { false }, stays[ROWS];

    table_fill(t);
    for (size_t i = 0; i < ROWS; i++) {
        is_there[i] = stays[i] = i % 3 != 0;
    }
    do {
        struct searcher *s;
        uint64_t *handles;
        size_t n;

        T_ST_ERR(searcher_new(&s, &in, a, &err), OK, &err);
        for (size_t i = 0; i < ROWS; i++) {
            if (is_there[i]) T_ST_ERR(searcher_offer(s, &ops, &t->rows[i], i, &err), OK, &err);
        }
        T_ST_ERR(searcher_end(s, &handles, &n, &in.page.token, &err), OK, &err);
        for (size_t i = 0; i < n; i++) {
            T_UINT(seen[handles[i]], 0);
            seen[handles[i]]++;
        }
        for (int i = 0; i < 10; i++) {
            size_t at = t_rand_below(ROWS);

            is_there[at] = !is_there[at];
            stays[at] = false;
        }
    } while (in.page.token.p);
    for (size_t i = 0; i < ROWS; i++) {
        if (stays[i]) T_UINT(seen[i], 1);
    }
    arena_free(a);
    mem_free(t);
}

/* The first page of all rows; the token goes to *token. */
static enum status first_page(const struct search_request *in, struct arena *a, struct str *token,
                              struct err *err)
{
    struct searcher *s;
    uint64_t *handles;
    size_t n;
    enum status st = searcher_new(&s, in, a, err);

    for (int i = 0; i < 4 && st == OK; i++) {
        static const char *const ids[] = { "a", "b", "c", "d" };
        struct row r = { .id = ids[i], .start = 5 };

        st = searcher_offer(s, &ops, &r, (uint64_t)i, err);
    }
    return st ? st : searcher_end(s, &handles, &n, token, err);
}

static void refuse(struct search_request in, struct str token, const char *want)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct searcher *s;

    in.page.token = token;
    T_ST(searcher_new(&s, &in, a, &err), ST_INVALID);
    T_OK(s == NULL);
    if (strncmp(err.message, want, strlen(want)) != 0) T_CSTR(err.message, want);
    arena_free(a);
}

TEST(search_token_belongs_to_a_search)
{
    static const struct str by_name = S_INIT("params.p");
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct search_request in = {
        .entity = SEARCH_RUNS, .filter = S("start_time > 1"), .scope = S("1"), .page = { .max = 2 }
    };
    struct search_request other;
    struct str token, mangled;

    T_ST_ERR(first_page(&in, a, &token, &err), OK, &err);
    T_OK(token.n > 0);
    in.page.token = token;
    T_ST_ERR(first_page(&in, a, &mangled, &err), OK, &err);
    T_OK(mangled.p == NULL);
    other = in;
    other.filter = S("start_time > 2");
    refuse(other, token,
           "Filter string in the page token does not match the requested filter string.");
    other = in;
    other.scope = S("2");
    refuse(other, token,
           "Experiment IDs in the page token do not match the requested experiment IDs.");
    other = in;
    other.order_by = &by_name;
    other.order_by_n = 1;
    refuse(other, token, "Order by in the page token does not match the requested order by.");
    other = in;
    other.entity = SEARCH_EXPERIMENTS;
    other.filter = S("");
    refuse(other, token, "The page token belongs to another kind of search.");
    refuse(in, S("!"), "Invalid page token, could not base64-decode");
    refuse(in, S("abcde"), "Invalid page token, could not base64-decode");
    refuse(in, S("abc"), "Invalid page token, decoded value=b'i\\xb7'");
    refuse(in, S("eyJvZmZzZXQiOiA1fQ=="), "Invalid page token, decoded value=b'{\"offset\": 5}'");
    for (size_t i = 0; i < token.n; i++) { /* no byte can be changed, no tail cut */
        mangled = arena_str(a, token);
        ((char *)(uintptr_t)mangled.p)[i] = mangled.p[i] == 'A' ? 'B' : 'A';
        refuse(in, mangled, "Invalid page token, ");
        if (i) refuse(in, str_sub(token, 0, i), "Invalid page token, ");
    }
    arena_free(a);
}

TEST(search_page_of_nothing)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct search_request in = { .entity = SEARCH_RUNS, .page = { .max = 0 } };
    struct str token;

    T_ST_ERR(first_page(&in, a, &token, &err), OK, &err);
    T_OK(token.p == NULL);
    in.page.max = 4;
    T_ST_ERR(first_page(&in, a, &token, &err), OK, &err);
    T_OK(token.p == NULL); /* exactly full, nothing left */
    arena_free(a);
}

TEST(search_page_text_bound)
{
    static const struct str by_name = S_INIT("params.p");
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct search_request in = {
        .entity = SEARCH_RUNS, .order_by = &by_name, .order_by_n = 1, .page = { .max = 50000 }
    };
    char *text = mem_alloc(1 << 20);
    struct row r = { .id = "a", .p = text };
    struct searcher *s;
    enum status st = OK;
    int n = 0;

    memset(text, 'x', 1 << 20);
    text[(1 << 20) - 1] = '\0';
    T_ST_ERR(searcher_new(&s, &in, a, &err), OK, &err);
    while (st == OK && n < 100) {
        st = searcher_offer(s, &ops, &r, (uint64_t)n++, &err);
    }
    T_ST(st, ST_INVALID);
    T_INT(n, SEARCHER_TEXT_MAX / (1 << 20) + 1);
    arena_free(a);
    mem_free(text);
}

static int64_t fake_now_ns;
static int64_t fake_wall(void *ctx)
{
    return ctx ? 0 : 1;
}
static int64_t fake_mono(void *ctx)
{
    return ctx ? 0 : fake_now_ns;
}

TEST(search_time_bound)
{
    static const struct clock_ops fake = { fake_wall, fake_mono, NULL };
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct search_request in = { .entity = SEARCH_RUNS, .page = { .max = 5 } };
    struct row r = { .id = "a" };
    struct searcher *s;
    enum status st = OK;

    clock_replace(&fake);
    T_ST_ERR(searcher_new(&s, &in, a, &err), OK, &err);
    fake_now_ns = (int64_t)SEARCHER_MS_MAX * 1000000;
    for (int i = 0; i < 100 && st == OK; i++) {
        st = searcher_offer(s, &ops, &r, 0, &err);
    }
    T_ST_ERR(st, OK, &err);
    fake_now_ns += 2000000;
    for (int i = 0; i < 100 && st == OK; i++) {
        st = searcher_offer(s, &ops, &r, 0, &err);
    }
    T_ST(st, ST_INVALID);
    clock_replace(NULL);
    arena_free(a);
}

TEST(search_driver_no_memory)
{
    static const struct str by_name = S_INIT("params.p");
    struct search_request in = {
        .entity = SEARCH_RUNS, .order_by = &by_name, .order_by_n = 1, .page = { .max = 2 }
    };

    for (int64_t calls = 1;; calls++) {
        struct arena *a = arena_new(1 << 20);
        struct err err = ERR_INIT;
        struct str token;
        enum status st;

        mem_fail_after(calls, true);
        st = first_page(&in, a, &token, &err);
        mem_fail_never();
        arena_free(a);
        if (st == OK) {
            break;
        }
        T_ST(st, ST_NOMEM);
        T_OK(calls < 1000);
    }
}
