/* tests/lib/searchcheck.c - see searchcheck.h. */
#include "searchcheck.h"
#include "tap.h"

#include "base/buf.h"
#include "core/run.h"

#include <math.h>
#include <stdio.h>

enum { SAMPLE = 64, ARENA_MAX = 1 << 30, FILTER_MAX = 8192, ORDERS = 4, DEPTH = 3 };

struct gen {
    uint64_t state;
    struct arena *arena;
    struct run_view *runs; /* a sample of the store */
    size_t runs_n, seen;
    struct buf text;
};

static uint64_t draw(struct gen *g)
{
    uint64_t x = g->state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static size_t below(struct gen *g, size_t n)
{
    return (size_t)(draw(g) % n);
}

static enum status sample(void *ctx, const struct run_view *run, struct err *err)
{
    struct gen *g = (struct gen *)ctx;
    size_t at = g->seen++;

    if (at >= SAMPLE) {
        at = below(g, g->seen);
        if (at >= SAMPLE) return OK;
    }
    g->runs_n = MAX_OF(g->runs_n, at + 1);
    return run_view_copy(g->arena, run, &g->runs[at], err);
}

/* ---- filters ---------------------------------------------------------------------------------------------------------------------- */

static void put_text(struct gen *g, struct str s)
{
    buf_put_u8(&g->text, '\'');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\'' && s.p[i] != '\\') buf_put_u8(&g->text, (unsigned char)s.p[i]);
    }
    buf_put_u8(&g->text, '\'');
}

static void put_number(struct gen *g, double v)
{
    char text[64];

    if (!isfinite(v)) v = v > 0 ? 1e308 : -1;
    if (below(g, 4) == 0) v += (double)below(g, 3) - 1;
    snprintf(text, sizeof(text), "%.17g", v);
    if (text[0] == '-' && below(g, 2)) text[0] = '0';
    buf_put_cstr(&g->text, text);
}

static void test_text(struct gen *g, struct str value, bool nullable)
{
    static const char *const ops[] = { " = ", " != ", " like ", " ilike ", " not like ", " =~ " };
    size_t op = below(g, nullable ? 10 : 8);

    if (op >= 8) {
        buf_put_cstr(&g->text, op == 8 ? " is null" : " is not null");
    } else if (op >= 6) {
        buf_put_cstr(&g->text, op == 6 ? " in (" : " not in (");
        put_text(g, value);
        buf_put_cstr(&g->text, ", 'nothing')");
    } else {
        buf_put_cstr(&g->text, ops[op]);
        if (op >= 2 && op <= 4 && value.n > 0) {
            value = arena_printf(g->arena, "%.*s%%", (int)MIN_OF(value.n, 3u), value.p);
        } else if (op == 5) {
            value = value.n > 0 && value.p[0] >= 'a' && value.p[0] <= 'z' ? str_sub(value, 0, 1)
                                                                          : S("[0-9]");
        }
        put_text(g, value);
    }
}

static void test_number(struct gen *g, double value)
{
    static const char *const ops[] = { " = ", " != ", " < ", " <= ", " > ", " >= " };

    buf_put_cstr(&g->text, ops[below(g, ARRAY_N(ops))]);
    put_number(g, value);
}

static const char *const status_names[] = { "",         "RUNNING", "SCHEDULED",
                                            "FINISHED", "FAILED",  "KILLED" };

static void attribute(struct gen *g, const struct run_view *r)
{
    switch (below(g, 7)) {
    case 0:
        buf_put_cstr(&g->text, "status");
        test_text(g, str_cstr(status_names[r->status]), false);
        break;
    case 1:
        buf_put_cstr(&g->text, "attributes.run_name");
        test_text(g, r->name, false);
        break;
    case 2:
        buf_put_cstr(&g->text, "user_id");
        test_text(g, r->user_id, false);
        break;
    case 3:
        buf_put_cstr(&g->text, "run_id");
        test_text(g, r->run_id, false);
        break;
    case 4:
        buf_put_cstr(&g->text, "start_time");
        test_number(g, (double)r->start_ms);
        break;
    case 5:
        buf_put_cstr(&g->text, "end_time");
        test_number(g, r->has_end ? (double)r->end_ms : 5);
        break;
    default: buf_put_cstr(&g->text, "artifact_uri"); test_text(g, r->artifact_uri, false);
    }
}

static void put_key(struct gen *g, const char *kind, struct str key)
{
    buf_printf(&g->text, "%s.`%.*s`", kind, STR_ARG(key));
}

static void metric(struct gen *g, const struct run_view *r)
{
    static const char *const of[] = { "", "min(", "max(", "last(", "best(" };
    const struct run_metric *m = &r->metrics[below(g, r->metrics_n)];
    size_t agg = below(g, 12) == 0 ? 4 : below(g, 4);

    buf_put_cstr(&g->text, of[agg]);
    put_key(g, "metrics", m->key);
    if (agg) buf_put_u8(&g->text, ')');
    test_number(g, agg == 1 ? m->min : agg == 2 ? m->max : m->value);
}

static void term(struct gen *g)
{
    const struct run_view *r = &g->runs[below(g, g->runs_n)];
    size_t what = below(g, 10);

    if (what < 4 && r->metrics_n > 0) {
        metric(g, r);
    } else if (what < 6 && r->params_n > 0) {
        const struct key_value *p = &r->params[below(g, r->params_n)];

        put_key(g, "params", p->key);
        test_text(g, p->value, true);
    } else if (what < 8 && r->tags_n > 0) {
        const struct key_value *t = &r->tags[below(g, r->tags_n)];

        put_key(g, "tags", t->key);
        test_text(g, t->value, true);
    } else if (what == 8 && below(g, 4) == 0) {
        buf_put_cstr(&g->text, below(g, 2) ? "params.nobody = 'x'" : "datasets.name = 'd1'");
    } else {
        attribute(g, r);
    }
}

static void filter(struct gen *g, int depth)
{
    size_t n = depth == 0 ? 1 : 1 + below(g, 3);

    for (size_t i = 0; i < n; i++) {
        if (i) buf_put_cstr(&g->text, below(g, 3) ? " and " : " or ");
        if (below(g, 5) == 0) buf_put_cstr(&g->text, "not ");
        if (depth > 0 && below(g, 3) == 0) {
            buf_put_u8(&g->text, '(');
            filter(g, depth - 1);
            buf_put_u8(&g->text, ')');
        } else {
            term(g);
        }
    }
}

static struct str order(struct gen *g)
{
    static const char *const attributes[] = { "status", "run_name", "start_time", "end_time",
                                              "user_id" };
    const struct run_view *r = &g->runs[below(g, g->runs_n)];
    const char *to = below(g, 2) ? "ASC" : "DESC";
    size_t what = below(g, 4);

    if (what == 0 && r->metrics_n > 0) {
        return arena_printf(g->arena, "metrics.`%.*s` %s",
                            STR_ARG(r->metrics[below(g, r->metrics_n)].key), to);
    }
    if (what == 1 && r->params_n > 0) {
        return arena_printf(g->arena, "params.`%.*s` %s",
                            STR_ARG(r->params[below(g, r->params_n)].key), to);
    }
    if (what == 2 && r->tags_n > 0) {
        return arena_printf(g->arena, "tags.`%.*s` %s", STR_ARG(r->tags[below(g, r->tags_n)].key),
                            to);
    }
    return arena_printf(g->arena, "%s %s", attributes[below(g, ARRAY_N(attributes))], to);
}

/* ---- comparing -------------------------------------------------------------------------------------------------------------------- */

static void differs(const struct run_search *in, const char *what, int64_t got, int64_t want)
{
    fprintf(stderr, "# filter: %.*s\n# view %d, page of %zu\n", STR_ARG(in->filter), in->view_type,
            in->page.max);
    for (size_t i = 0; i < in->order_by_n; i++) {
        fprintf(stderr, "# order: %.*s\n", STR_ARG(in->order_by[i]));
    }
    T_FAIL("%s: columns say %lld, rows %lld", what, (long long)got, (long long)want);
}

static void same(const struct run_search *in, const char *what, int64_t got, int64_t want)
{
    if (got != want) differs(in, what, got, want);
}

void search_compare(struct core *core, const struct run_search *in, size_t page)
{
    struct run_search q = *in;
    struct arena *a = arena_new(ARENA_MAX);
    uint64_t total = 0, all = 0;
    struct view v;

    T_OK(a != NULL);
    core_view(core, a, &v);
    q.page.max = page;
    q.count = true;
    do {
        struct err err = ERR_INIT, rows_err = ERR_INIT;
        struct run_found found;
        struct str token = { NULL, 0 };
        int64_t *uids = NULL;
        size_t n = 0;
        enum status st = run_find(&v, &q, &found, &err);
        enum status want = run_search_rows(&v, &q, &uids, &n, &token, &rows_err);

        same(in, "status", st, want);
        if (st) {
            T_STR_EQ(str_cstr(err.message), str_cstr(rows_err.message));
            break;
        }
        same(in, "runs", (int64_t)found.n, (int64_t)n);
        for (size_t i = 0; i < n; i++) {
            same(in, "uid", found.uids[i], uids[i]);
        }
        T_STR_EQ(found.next_token, token);
        if (all == 0) total = found.total;
        all += n;
        q.page.token = token;
    } while (q.page.token.n > 0);
    if (all > 0) same(in, "total", (int64_t)total, (int64_t)all);
    arena_free(a);
}

static void one(struct gen *g, struct core *core, const int64_t *experiments, size_t n)
{
    struct str orders[ORDERS];
    struct run_search in = { .experiments = experiments,
                             .n = n,
                             .view_type = (enum view_type)(1 + below(g, 3)),
                             .order_by = orders };

    if (below(g, 3) == 0) {
        in.experiments += below(g, n);
        in.n = 1;
    }
    buf_clear(&g->text);
    if (g->runs_n > 0 && below(g, 8) > 0) filter(g, DEPTH);
    in.filter = buf_str(&g->text);
    for (size_t k = g->runs_n ? below(g, ORDERS) : 0; in.order_by_n < k;) {
        orders[in.order_by_n++] = order(g);
    }
    search_compare(core, &in, g->seen > 100 ? g->seen / 2 + below(g, g->seen) : 1 + below(g, 8));
}

void search_check(struct core *core, const int64_t *experiments, size_t experiments_n,
                  uint64_t seed, size_t n)
{
    struct gen g = { .state = seed, .arena = arena_new(ARENA_MAX), .text = BUF_INIT(FILTER_MAX) };
    struct err err = ERR_INIT;
    struct view v;

    T_OK(g.arena != NULL);
    g.runs = ARENA_ARRAY(g.arena, struct run_view, SAMPLE);
    T_OK(g.runs != NULL);
    core_view(core, g.arena, &v);
    T_ST_ERR(run_each(&v, experiments, experiments_n, VIEW_ALL, sample, &g, &err), OK, &err);
    for (size_t i = 0; i < n; i++) {
        one(&g, core, experiments, experiments_n);
    }
    buf_release(&g.text);
    arena_free(g.arena);
}
