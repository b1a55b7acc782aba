/* Searches in columns against the same searches row by row: random runs, filters of the whole
 * grammar, orders, view types and page sizes, through all pages, while runs change. */
#include "base/mem.h"
#include "base/num.h"
#include "core/search/column_values.h"
#include "tap.h"

#include <math.h>
#include <stdio.h>

enum { METRICS_N = 4, TEXTS_N = 5, SEGMENTS_MAX = 5, RUNS_MAX = 1500, WANTS_MAX = 64 };

struct metric {
    bool has;
    double last, min, max;
};

struct run {
    int64_t uid;
    bool exists;
    char rid[16], name[16], user[8];
    bool has_name;
    int lifecycle, status;
    int64_t start_ms, end_ms;
    bool has_end;
    struct metric metrics[METRICS_N];
    char params[TEXTS_N][12]; /* "" = missing, "-" = the empty text */
    char tags[TEXTS_N][12];
    unsigned datasets;
};

struct world {
    struct run *runs;
    uint32_t segments_n, rows[SEGMENTS_MAX], begin[SEGMENTS_MAX];
    enum search_goal goal; /* of the experiment, for all metrics */
    unsigned goal_tags;    /* of 8 runs, how many have a tag */
};

static struct world world;
static struct column_builder *builder;

/* ---- rows -------------------------------------------------------------------------------------------- */

static const char *const statuses[] = { "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED" };
static const char *const metric_names[METRICS_N] = { "loss", "acc", "same", "rare" };

static bool text_value(const char *raw, struct str *out)
{
    *out = raw[0] == '-' ? S("") : str_cstr(raw);
    return raw[0] != 0;
}

static bool run_attr(const struct run *r, enum search_attr attr, struct str *out)
{
    switch ((int)attr) {
    case ATTR_RUN_ID: *out = str_cstr(r->rid); return true;
    case ATTR_RUN_NAME: *out = str_cstr(r->name); return r->has_name;
    case ATTR_STATUS: *out = str_cstr(statuses[r->status]); return true;
    case ATTR_USER_ID: *out = str_cstr(r->user); return true;
    default: return false;
    }
}

/* Params are p0..p4, tags t0..t3 and, as the fifth, the goal of `loss`. */
static bool run_key(const struct run *r, enum search_kind kind, struct str name, struct str *out)
{
    if (kind == SEARCH_TAG && str_eq_lit(name, "cairn.goal.loss")) {
        return text_value(r->tags[4], out);
    }
    if (name.n != 2 || name.p[0] != (kind == SEARCH_TAG ? 't' : 'p') || name.p[1] < '0' ||
        name.p[1] >= '0' + TEXTS_N - (kind == SEARCH_TAG)) {
        return false;
    }
    return text_value(kind == SEARCH_TAG ? r->tags[name.p[1] - '0'] : r->params[name.p[1] - '0'],
                      out);
}

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct run *r = row;

    return key->kind == SEARCH_ATTR ? run_attr(r, key->attr, out)
                                    : run_key(r, key->kind, key->name, out);
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    const struct run *r = row;

    *out = key->attr == ATTR_START_TIME ? r->start_ms : r->end_ms;
    return key->attr == ATTR_START_TIME || (key->attr == ATTR_END_TIME && r->has_end);
}

static const struct metric *run_metric(const struct run *r, struct str name)
{
    for (size_t i = 0; i < METRICS_N; i++) {
        if (str_eq(name, str_cstr(metric_names[i]))) {
            return r->metrics[i].has ? &r->metrics[i] : NULL;
        }
    }
    return NULL;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct metric *m = run_metric(row, key->name);

    if (m) *out = agg == AGG_MIN ? m->min : agg == AGG_MAX ? m->max : m->last;
    return m != NULL;
}

static enum search_goal experiment_goal(void *ctx, struct str metric)
{
    T_OK(ctx == &world && metric.n > 0);
    return world.goal;
}

static enum search_goal row_goal(void *row, const struct search_key *key)
{
    char name[64];
    struct str tag;
    enum search_goal goal = GOAL_NONE;

    (void)snprintf(name, sizeof(name), "cairn.goal.%.*s", STR_ARG(key->name));
    if (run_key(row, SEARCH_TAG, str_cstr(name), &tag)) goal = search_goal_parse(tag);
    return goal != GOAL_NONE ? goal : experiment_goal(&world, key->name);
}

static enum status datasets_of(const struct run *r, const struct search_dataset **out, size_t *n)
{
    static const struct search_dataset sets[] = { { S_INIT("iris"), S_INIT("d1"), S_INIT("train") },
                                                  { S_INIT("mnist"), S_INIT("d2"), { NULL, 0 } } };

    *out = sets + (r->datasets == 2);
    *n = r->datasets == 3 ? 2 : r->datasets > 0;
    return OK;
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    T_OK(err != NULL);
    return datasets_of(row, out, n);
}

static const struct search_row_ops row_ops = { row_text, row_integer, row_metric,
                                               NULL,     row_goal,    row_datasets };

/* ---- drawing runs ------------------------------------------------------------------------------------ */

static void draw_text(char *out, size_t cap, unsigned distinct)
{
    static const char *const odd[] = { "", "-", "ADAM", "\xc3\x84x", "100%" };

    if (t_rand_below(8) == 0) {
        (void)snprintf(out, cap, "%s", odd[t_rand_below(ARRAY_N(odd))]);
    } else {
        (void)snprintf(out, cap, "adam%u", (unsigned)t_rand_below(distinct));
    }
}

static double draw_double(void)
{
    switch (t_rand_below(8)) {
    case 0: return (double)NAN;
    case 1: return t_rand_below(2) ? (double)INFINITY : (double)-INFINITY;
    case 2: return t_rand_below(2) ? 0.0 : -0.0;
    case 3: return (double)t_rand_below(1000) / 7.0;
    default: return (double)t_rand_below(20) / 4.0;
    }
}

static void draw_metrics(struct run *r)
{
    for (size_t i = 0; i < METRICS_N; i++) {
        struct metric *m = &r->metrics[i];
        double a = draw_double(), b = draw_double();

        m->has = t_rand_below(i == 3 ? 20 : 6) == 0 ? i == 3 : i != 3;
        m->last = i == 2 ? 0.5 : a;
        m->min = a < b ? a : b;
        m->max = a < b ? b : a;
    }
}

/* All but uid, rid and whether it exists. */
static void draw_changes(struct run *r)
{
    static const unsigned distinct[TEXTS_N] = { 1, 3, 40, 1000, 5 };

    r->lifecycle = t_rand_below(8) == 0;
    r->status = (int)t_rand_below(ARRAY_N(statuses));
    (void)snprintf(r->name, sizeof(r->name), "run-%u", (unsigned)t_rand_below(400));
    r->has_name = t_rand_below(5) > 0;
    (void)snprintf(r->user, sizeof(r->user), "%s", t_rand_below(3) ? "ann" : "");
    r->has_end = t_rand_below(2);
    r->end_ms = r->start_ms + (int64_t)t_rand_below(50);
    draw_metrics(r);
    for (size_t i = 0; i < TEXTS_N; i++) {
        draw_text(r->params[i], sizeof(r->params[i]), distinct[i]);
        draw_text(r->tags[i], sizeof(r->tags[i]), distinct[i]);
    }
    r->tags[4][0] = 0;
    if (t_rand_below(8) < world.goal_tags) {
        (void)snprintf(r->tags[4], sizeof(r->tags[4]), "%s", t_rand_below(2) ? "max" : " Min ");
    }
    r->datasets = (unsigned)t_rand_below(4);
}

static void draw_world(void)
{
    uint32_t n = 0;

    world.segments_n = (uint32_t)t_rand_below(SEGMENTS_MAX + 1);
    world.goal = (enum search_goal)t_rand_below(3);
    world.goal_tags = (unsigned)t_rand_below(3) * 4;
    for (uint32_t s = 0; s < world.segments_n; s++) {
        world.begin[s] = n;
        world.rows[s] = 1 + (uint32_t)t_rand_below(300);
        n += world.rows[s];
    }
    for (uint32_t i = 0; i < n; i++) {
        struct run *r = &world.runs[i];

        r->uid = 1000 + i;
        r->exists = t_rand_below(30) > 0;
        (void)snprintf(r->rid, sizeof(r->rid), "%08x", (unsigned)(i * 2654435761U));
        r->start_ms = 1700000000000 + (int64_t)t_rand_below(60) * (t_rand_below(50) ? 1 : -1000000);
        draw_changes(r);
    }
}

/* ---- columns ----------------------------------------------------------------------------------------- */

static struct column_plan *plan; /* of the search at hand */
static const struct column *held[WANTS_MAX * SEGMENTS_MAX];

static void put_attr(const struct run *r, uint32_t slot, uint32_t attr)
{
    switch ((enum column_attr)attr) {
    case COLUMN_UID: column_builder_integer(builder, slot, r->uid); break;
    case COLUMN_RUN_ID: column_builder_text(builder, slot, str_cstr(r->rid)); break;
    case COLUMN_LIFECYCLE: column_builder_integer(builder, slot, r->lifecycle); break;
    case COLUMN_START: column_builder_integer(builder, slot, r->start_ms); break;
    case COLUMN_END:
        if (r->has_end) column_builder_integer(builder, slot, r->end_ms);
        break;
    case COLUMN_STATUS: column_builder_text(builder, slot, str_cstr(statuses[r->status])); break;
    case COLUMN_USER: column_builder_text(builder, slot, str_cstr(r->user)); break;
    case COLUMN_NAME:
        if (r->has_name) column_builder_text(builder, slot, str_cstr(r->name));
        break;
    case COLUMN_ARTIFACT_URI:
    default: break;
    }
}

static void put_run(const struct run *r, uint32_t slot, const struct column_want *w)
{
    const struct metric *m;
    struct str text;

    column_builder_missing(builder, slot);
    if (!r->exists) {
        return;
    }
    if (w->kind == COLUMN_ATTR) {
        put_attr(r, slot, w->attr);
    } else if (w->kind == COLUMN_PARAM || w->kind == COLUMN_TAG) {
        if (run_key(r, w->kind == COLUMN_TAG ? SEARCH_TAG : SEARCH_PARAM, w->name, &text)) {
            column_builder_text(builder, slot, text);
        }
    } else {
        m = run_metric(r, w->name);
        if (m) {
            column_builder_double(builder, slot,
                                  w->kind == COLUMN_METRIC_MIN   ? m->min
                                  : w->kind == COLUMN_METRIC_MAX ? m->max
                                                                 : m->last);
        }
    }
}

/* from: an older column; only the rows marked in `changed` are put in then. */
static struct column *build(uint32_t segment, const struct column_want *w,
                            const struct column *from, const uint64_t *changed)
{
    struct column_key key = { w->kind, w->attr };
    struct err err = ERR_INIT;
    struct column *c;

    T_ST(column_builder_reset(builder, column_key_type(key), from, world.rows[segment], &err), OK);
    for (uint32_t slot = 0; slot < world.rows[segment]; slot++) {
        if (!from || (changed[slot / 64] >> (slot % 64) & 1)) {
            put_run(&world.runs[world.begin[segment] + slot], slot, w);
        }
    }
    T_ST_ERR(column_builder_finish(builder, &c, &err), OK, &err);
    return c;
}

static unsigned loads, load_fails_at; /* the number of calls; which of them fails */

static enum status load(struct column_table *t, uint32_t segment, uint32_t column, struct err *err)
{
    struct column_cell *cell = column_table_cell(t, segment, column);

    if (++loads == load_fails_at) return err_set(err, ST_IO, "away");
    T_OK(err != NULL && t->ctx == &world);
    T_OK(cell->column == NULL && cell->zone.present_n > 0);
    cell->column = build(segment, &plan->wants[column], NULL, NULL);
    held[column * t->segments_n + segment] = cell->column;
    return OK;
}

/* Builds what the plan wants; some cells are left to be loaded, some runs to be offered one by one
 * after having changed. */
static void fill(struct column_table *t, struct column_cell *cells, uint64_t (*newer)[COLUMN_WORDS],
                 const uint64_t **newer_of)
{
    T_OK(plan->n <= WANTS_MAX);
    *t = (struct column_table){ .segments_n = world.segments_n,
                                .columns_n = (uint32_t)plan->n,
                                .rows = world.rows,
                                .cells = cells,
                                .newer = newer_of,
                                .load = load,
                                .ctx = &world };
    memset(held, 0, sizeof(held));
    for (uint32_t i = 0; i < t->columns_n * t->segments_n; i++) {
        uint32_t segment = i % t->segments_n;
        struct column *c = build(segment, &plan->wants[i / t->segments_n], NULL, NULL);

        cells[i] = (struct column_cell){ .column = c };
        if (c) cells[i].zone = *column_zone(c);
        held[i] = c;
        if (c && t_rand_below(4) == 0) {
            column_unref(c);
            cells[i].column = held[i] = NULL;
        }
    }
    for (uint32_t s = 0; s < t->segments_n; s++) {
        memset(newer[s], 0, sizeof(newer[s]));
        newer_of[s] = t_rand_below(3) ? newer[s] : NULL;
    }
}

/* Changes some runs; half of them are folded into new columns, the others are marked newer. */
static void change(struct column_table *t, uint64_t (*newer)[COLUMN_WORDS])
{
    for (uint32_t s = 0; s < t->segments_n; s++) {
        bool fold = !t->newer[s] || t_rand_below(2);
        uint64_t changed[COLUMN_WORDS] = { 0 };

        for (uint32_t i = 0; i < 10; i++) {
            uint32_t slot = (uint32_t)t_rand_below(world.rows[s]);

            draw_changes(&world.runs[world.begin[s] + slot]);
            changed[slot / 64] |= 1ULL << (slot % 64);
        }
        for (size_t w = 0; !fold && w < COLUMN_WORDS; w++) {
            newer[s][w] |= changed[w];
        }
        /* cells that load() would fill see the changed runs anyway: their zone must hold them */
        for (uint32_t c = 0; c < t->columns_n; c++) {
            struct column_cell *cell = column_table_cell(t, s, c);
            size_t at = c * t->segments_n + s;
            bool is_loaded = cell->column || cell->zone.present_n == 0;
            struct column *now = fold && is_loaded
                                     ? build(s, &plan->wants[c], cell->column, changed)
                                     : build(s, &plan->wants[c], NULL, NULL);

            if (!fold && is_loaded) {
                column_unref(now);
                continue;
            }
            column_unref(held[at]);
            held[at] = now;
            cell->column = now;
            cell->zone = now ? *column_zone(now) : (struct column_zone){ .rows = 0 };
        }
    }
}

static void let_go(const struct column_table *t)
{
    for (uint32_t i = 0; i < t->columns_n * t->segments_n; i++) {
        column_unref(held[i]);
    }
}

/* ---- drawing searches -------------------------------------------------------------------------------- */

static const char *pick(const char *const *list, size_t n)
{
    return list[t_rand_below(n)];
}
#define PICK(list) pick(list, ARRAY_N(list))

static void draw_text_test(struct buf *b, const char *key, bool can_be_null)
{
    static const char *const values[] = { "adam1", "adam7",    "ADAM",   "",    "\xc3\xa4x", "100%",
                                          "zz",    "FINISHED", "run-17", "ann", "00000000" };
    static const char *const patterns[] = { "adam%",      "%m_",    "a%1",     "%",        "_",
                                            "%\xc3\x84%", "run-1%", "FIN%",    "x",        "%dam1%",
                                            "ad%m_",      "adam%1", "run-%7%", "\xc3\x84%" };
    static const char *const regexes[] = { "^adam[0-3]$", "[13]+", "(?i)^ADAM", "$^",
                                           "run-(1|2)." };
    const char *v = PICK(values);

    buf_printf(b, "%s ", key);
    switch (t_rand_below(can_be_null ? 8 : 6)) {
    case 0: buf_printf(b, "= '%s'", v); break;
    case 1: buf_printf(b, "!= '%s'", v); break;
    case 2: buf_printf(b, "%sLIKE '%s'", t_rand_below(2) ? "NOT " : "", PICK(patterns)); break;
    case 3: buf_printf(b, "%sILIKE '%s'", t_rand_below(2) ? "NOT " : "", PICK(patterns)); break;
    case 4: buf_printf(b, "%s '%s'", t_rand_below(2) ? "=~" : "!~", PICK(regexes)); break;
    case 5:
        buf_printf(b, "%sIN ('%s', 'adam3'", t_rand_below(2) ? "NOT " : "", v);
        for (uint64_t i = t_rand_below(40); i > 0; i--) {
            buf_printf(b, ", 'adam%u'", (unsigned)t_rand_below(1200));
        }
        buf_printf(b, ")");
        break;
    case 6: buf_printf(b, "IS NULL"); break;
    default: buf_printf(b, "IS NOT NULL"); break;
    }
}

static void draw_number_test(struct buf *b, const char *key, bool is_time)
{
    static const char *const cmp[] = { "=", "!=", "<", "<=", ">", ">=" };
    static const char *const doubles[] = { "0",      "0.5", "-0.0",
                                           "1.25",   "3",   "1e400",
                                           "-1e400", "2.6", "142.71428571428572" };
    static const char *const times[] = {
        "1700000000010",        "1700000000030.5",    "0", "-1e30", "1e30", "1700000000059",
        "-9223372036854775808", "9223372036854775807"
    };
    const char *v = is_time ? PICK(times) : PICK(doubles);

    if (t_rand_below(5)) {
        buf_printf(b, "%s %s %s", key, PICK(cmp), v);
        return;
    }
    buf_printf(b, "%s %sIN (%s", key, t_rand_below(2) ? "NOT " : "", v);
    for (uint64_t i = t_rand_below(2) ? t_rand_below(4) : t_rand_below(60); i > 0; i--) {
        if (is_time) {
            buf_printf(b, ", %llu", 1700000000000ULL + (unsigned long long)t_rand_below(60));
        } else {
            buf_printf(b, ", %g", (double)t_rand_below(40) / 4.0);
        }
    }
    buf_printf(b, ")");
}

static void draw_test(struct buf *b)
{
    static const char *const params[] = { "params.p0",   "params.p1", "params.p2", "params.p3",
                                          "params.none", "tags.t1",   "tags.t3" };
    static const char *const attrs[] = { "run_id", "run_name", "status", "user_id",
                                         "artifact_uri" };
    static const char *const metrics[] = { "metrics.loss",       "metrics.acc",
                                           "metrics.same",       "metrics.rare",
                                           "metrics.none",       "min(metrics.acc)",
                                           "max(metrics.loss)",  "last(metrics.loss)",
                                           "best(metrics.loss)", "best(metrics.acc)" };
    static const char *const times[] = { "start_time", "end_time" };
    static const char *const sets[] = { "datasets.name", "datasets.digest", "datasets.context" };

    switch (t_rand_below(10)) {
    case 0:
    case 1:
    case 2:
    case 3: draw_text_test(b, PICK(params), true); break;
    case 4: draw_text_test(b, PICK(attrs), false); break;
    case 5: draw_number_test(b, PICK(times), true); break;
    case 6:
        buf_printf(b, "%s %s '%s'", PICK(sets),
                   t_rand_below(2) ? "=" : "!=", t_rand_below(2) ? "iris" : "train");
        break;
    default: draw_number_test(b, metrics[t_rand_below(t_rand_below(8) ? 8 : 10)], false); break;
    }
}

static void draw_filter(struct buf *b, unsigned depth)
{
    uint64_t n = 2 + t_rand_below(2);
    bool is_and = t_rand_below(2);

    if (depth == 0 || t_rand_below(3) == 0) {
        draw_test(b);
        return;
    }
    if (t_rand_below(4) == 0) buf_printf(b, "NOT ");
    buf_printf(b, "(");
    for (uint64_t i = 0; i < n; i++) {
        if (i) buf_printf(b, is_and ? " AND " : " OR ");
        draw_filter(b, depth - 1);
    }
    buf_printf(b, ")");
}

static size_t draw_order(struct str *clauses)
{
    static const struct str keys[] = {
        S_INIT("metrics.loss"),   S_INIT("metrics.acc DESC"),  S_INIT("params.p1"),
        S_INIT("params.p3 DESC"), S_INIT("tags.t2"),           S_INIT("start_time"),
        S_INIT("end_time DESC"),  S_INIT("run_name"),          S_INIT("status DESC"),
        S_INIT("metrics.rare"),   S_INIT("min(metrics.acc)"),  S_INIT("metrics.none"),
        S_INIT("run_id DESC"),    S_INIT("metrics.same DESC"), S_INIT("artifact_uri"),
        S_INIT("params.p3"),      S_INIT("metrics.loss DESC"), S_INIT("best(metrics.loss)"),
    };
    size_t n = t_rand_below(4), kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct str key = keys[t_rand_below(ARRAY_N(keys) - (t_rand_below(6) > 0))];
        bool is_new = true;

        for (size_t k = 0; k < kept; k++) {
            is_new = is_new && !str_eq(str_sub(clauses[k], 0, str_find_byte(clauses[k], ' ', 0)),
                                       str_sub(key, 0, str_find_byte(key, ' ', 0)));
        }
        if (is_new) clauses[kept++] = key;
    }
    return kept;
}

/* ---- comparing --------------------------------------------------------------------------------------- */

struct answer {
    enum status st;
    struct err err;
    uint64_t *handles;
    size_t n;
    struct str token;
    uint64_t total;
};

static bool in_view(const struct run *r, enum view_type type)
{
    return r->exists && view_type_has(type, (enum lifecycle)r->lifecycle);
}

static void by_rows(struct answer *a, const struct search_request *in, enum view_type type,
                    struct arena *arena)
{
    struct searcher *s;

    a->st = searcher_new(&s, in, arena, &a->err);
    for (uint32_t seg = 0; seg < world.segments_n; seg++) {
        for (uint32_t i = 0; i < world.rows[seg] && !a->st; i++) {
            struct run *r = &world.runs[world.begin[seg] + i];

            if (in_view(r, type)) {
                a->st = searcher_offer(s, &row_ops, r, (uint64_t)r->uid, &a->err);
            }
        }
    }
    if (!a->st) a->total = searcher_total(s);
    if (!a->st) a->st = searcher_end(s, &a->handles, &a->n, &a->token, &a->err);
}

static enum status source_datasets(void *ctx, int64_t uid, const struct search_dataset **out,
                                   size_t *n, struct err *err)
{
    T_OK(ctx == &world && err != NULL);
    return datasets_of(&world.runs[uid - 1000], out, n);
}

static void by_columns(struct answer *a, const struct search_request *in, enum view_type type,
                       struct column_table *t, struct arena *arena)
{
    struct column_source source = { t, type, experiment_goal, source_datasets, &world };
    struct searcher *s;

    a->st = searcher_new(&s, in, arena, &a->err);
    if (!a->st) a->st = column_plan_new(&plan, s, arena, &a->err);
    if (!a->st) a->st = searcher_offer_columns(s, plan, &source, &a->err);
    for (uint32_t seg = 0; seg < world.segments_n; seg++) {
        for (uint32_t i = 0; i < world.rows[seg] && !a->st; i++) {
            struct run *r = &world.runs[world.begin[seg] + i];

            if (t->newer[seg] && (t->newer[seg][i / 64] >> (i % 64) & 1) && in_view(r, type)) {
                a->st = searcher_offer(s, &row_ops, r, (uint64_t)r->uid, &a->err);
            }
        }
    }
    if (!a->st) a->total = searcher_total(s);
    if (!a->st) a->st = searcher_end(s, &a->handles, &a->n, &a->token, &a->err);
}

static void same(const struct answer *want, const struct answer *got,
                 const struct search_request *in)
{
    const char *text = in->filter.p;

    if (want->st != got->st) {
        T_FAIL("%s: status %d, by rows %d (%s%s)", text, (int)got->st, (int)want->st,
               got->err.message, want->err.message);
    }
    if (want->st) {
        T_CSTR(got->err.message, want->err.message);
        return;
    }
    if (want->n != got->n) T_FAIL("%s: %zu rows, not %zu", text, got->n, want->n);
    for (size_t i = 0; i < want->n; i++) {
        if (want->handles[i] != got->handles[i]) {
            T_FAIL("%s: row %zu is %llu, not %llu", text, i, (unsigned long long)got->handles[i],
                   (unsigned long long)want->handles[i]);
        }
    }
    if (want->token.n != got->token.n || !str_eq(want->token, got->token)) {
        T_FAIL("%s: another token", text);
    }
    if (in->count_all && want->total != got->total) T_FAIL("%s: another total", text);
}

/* All pages of one search. Returns whether it found anything. */
static bool compare_search(struct search_request *in, enum view_type type, bool with_changes)
{
    static struct column_cell cells[WANTS_MAX * SEGMENTS_MAX];
    static uint64_t newer[SEGMENTS_MAX][COLUMN_WORDS];
    const uint64_t *newer_of[SEGMENTS_MAX];
    struct arena *arena = arena_new(64 << 20);
    struct column_table t = { .segments_n = 0 };
    struct err err = ERR_INIT;
    struct searcher *s;
    bool found = false;

    T_OK(arena != NULL);
    T_ST_ERR(searcher_new(&s, in, arena, &err), OK, &err);
    T_ST_ERR(column_plan_new(&plan, s, arena, &err), OK, &err);
    fill(&t, cells, newer, newer_of);
    for (unsigned page = 0; page < 12; page++) {
        struct answer want = { .st = OK }, got = { .st = OK };

        if (with_changes) change(&t, newer);
        by_rows(&want, in, type, arena);
        by_columns(&got, in, type, &t, arena);
        same(&want, &got, in);
        if (want.st) break;
        found = found || want.n > 0;
        if (!want.token.p) break;
        in->page.token = want.token;
    }
    let_go(&t);
    arena_free(arena);
    return found;
}

static void compare_random(unsigned rounds, bool with_changes)
{
    unsigned found = 0;

    builder = column_builder_new();
    world.runs = mem_zalloc(RUNS_MAX, sizeof(*world.runs));
    T_OK(builder && world.runs);
    for (unsigned round = 0; round < rounds; round++) {
        struct buf text = BUF_INIT(FILTER_TEXT_MAX);
        struct str clauses[4];
        struct search_request in = { .entity = SEARCH_RUNS, .order_by = clauses };

        if (round % 8 == 0) draw_world();
        if (t_rand_below(6)) draw_filter(&text, (unsigned)t_rand_below(4));
        buf_put_u8(&text, 0);
        in.filter = str_of(text.p, text.n - 1);
        in.order_by_n = draw_order(clauses);
        in.page.max = t_rand_below(12) ? 1 + t_rand_below(200) : 0;
        in.count_all = t_rand_below(4) == 0;
        found += compare_search(&in, (enum view_type)(1 + t_rand_below(3)), with_changes);
        buf_release(&text);
    }
    t_note("%u of %u searches found something", found, rounds);
    T_OK(found > rounds / 8);
    mem_free(world.runs);
    column_builder_free(builder);
}

TEST(columns_answer_as_rows_do)
{
    compare_random(700, false);
}

TEST(columns_answer_as_rows_do_while_runs_change)
{
    compare_random(400, true);
}

/* ---- failures ---------------------------------------------------------------------------------------- */

/* One search whose columns all have to be loaded. */
static enum status search_loading(struct column_table *t, struct arena *arena, bool no_memory,
                                  int64_t call)
{
    struct str order[] = { S_INIT("metrics.same"), S_INIT("params.p1 DESC") };
    struct search_request in = { .entity = SEARCH_RUNS,
                                 .filter = S("params.p3 LIKE 'adam%' OR best(metrics.loss) < 2"),
                                 .order_by = order,
                                 .order_by_n = 2,
                                 .page.max = 70 };
    struct column_source source = { t, VIEW_ALL, experiment_goal, source_datasets, &world };
    struct answer a = { .st = OK };
    struct searcher *s;

    loads = 0;
    load_fails_at = no_memory ? 0 : (unsigned)call;
    a.st = searcher_new(&s, &in, arena, &a.err);
    if (no_memory) mem_fail_after(call, false);
    if (!a.st) a.st = column_plan_new(&plan, s, arena, &a.err);
    call -= mem_call_n();
    mem_fail_never();
    if (a.st) return a.st;
    for (uint32_t i = 0; i < (uint32_t)plan->n * world.segments_n; i++) {
        struct column *c =
            build(i % world.segments_n, &plan->wants[i / world.segments_n], NULL, NULL);

        t->cells[i] = (struct column_cell){ .column = no_memory ? c : NULL };
        if (c) t->cells[i].zone = *column_zone(c);
        held[i] = no_memory ? c : NULL;
        if (!no_memory) column_unref(c);
    }
    t->columns_n = (uint32_t)plan->n;
    if (no_memory) mem_fail_after(call, false);
    a.st = searcher_offer_columns(s, plan, &source, &a.err);
    if (!a.st) a.st = searcher_end(s, &a.handles, &a.n, &a.token, &a.err);
    mem_fail_never();
    let_go(t);
    return a.st;
}

static void sweep(bool no_memory, enum status want)
{
    static struct column_cell cells[WANTS_MAX * SEGMENTS_MAX];
    struct column_table t = { .cells = cells, .load = load, .ctx = &world };
    enum status st = want;
    unsigned failed = 0;

    builder = column_builder_new();
    world.runs = mem_zalloc(RUNS_MAX, sizeof(*world.runs));
    T_OK(builder && world.runs);
    do {
        draw_world();
        world.goal = GOAL_MIN;
    } while (world.segments_n < 3);
    t.segments_n = world.segments_n;
    t.rows = world.rows;
    for (int64_t call = 1; st; call++) {
        struct arena *arena = arena_new(64 << 20);

        T_OK(arena != NULL);
        memset(held, 0, sizeof(held));
        st = search_loading(&t, arena, no_memory, call);
        T_OK(st == OK || st == want);
        failed += st != OK;
        arena_free(arena);
    }
    t_note("%u failures", failed);
    T_OK(failed > 2);
    mem_free(world.runs);
    column_builder_free(builder);
}

TEST(searches_end_with_the_error_of_a_column_that_cannot_be_loaded)
{
    sweep(false, ST_IO);
}

TEST(searches_in_columns_survive_failed_allocations)
{
    sweep(true, ST_NOMEM);
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void count_by_rows(struct values *v, enum view_type type, const struct column_table *t)
{
    struct err err = ERR_INIT;

    for (uint32_t seg = 0; seg < world.segments_n; seg++) {
        for (uint32_t i = 0; i < world.rows[seg]; i++) {
            struct run *r = &world.runs[world.begin[seg] + i];
            bool is_newer = t && t->newer[seg] && (t->newer[seg][i / 64] >> (i % 64) & 1);

            if ((!t || is_newer) && in_view(r, type)) {
                T_ST_ERR(values_offer(v, &row_ops, r, &err), OK, &err);
            }
        }
    }
}

static void compare_values(struct str filter, struct str key, enum view_type type)
{
    static struct column_cell cells[WANTS_MAX * SEGMENTS_MAX];
    static uint64_t newer[SEGMENTS_MAX][COLUMN_WORDS];
    const uint64_t *newer_of[SEGMENTS_MAX];
    struct arena *arena = arena_new(64 << 20);
    struct column_table t = { .segments_n = 0 };
    struct column_source source = { &t, type, experiment_goal, source_datasets, &world };
    struct values_result want, got;
    struct values *rows, *columns;
    struct err err = ERR_INIT;
    uint64_t sum = 0;

    T_OK(arena != NULL);
    T_ST_ERR(values_new(&rows, filter, key, 10, arena, &err), OK, &err);
    T_ST_ERR(values_new(&columns, filter, key, 10, arena, &err), OK, &err);
    plan = (struct column_plan *)(uintptr_t)values_plan(columns);
    fill(&t, cells, newer, newer_of);
    change(&t, newer);
    count_by_rows(rows, type, NULL);
    T_ST_ERR(values_offer_columns(columns, &source, &err), OK, &err);
    count_by_rows(columns, type, &t);
    T_ST(values_end(rows, &want, &err), OK);
    T_ST(values_end(columns, &got, &err), OK);
    T_UINT(got.runs, want.runs);
    T_UINT(got.missing, want.missing);
    T_UINT(got.nan_n, want.nan_n);
    T_UINT(got.distinct, want.distinct);
    T_UINT(got.n, want.n);
    T_OK(got.n <= 10);
    for (size_t i = 0; i < got.n; i++) {
        T_STR_EQ(got.values[i].text, want.values[i].text);
        T_UINT(got.values[i].n, want.values[i].n);
        sum += got.values[i].n;
    }
    if (got.type == SEARCH_TEXT && got.distinct <= 10) T_UINT(sum + got.missing, got.runs);
    T_OK(got.min == want.min && got.max == want.max);
    T_INT(got.min_i, want.min_i);
    T_INT(got.max_i, want.max_i);
    let_go(&t);
    arena_free(arena);
}

TEST(values_are_counted_as_by_rows)
{
    static const struct str keys[] = { S_INIT("params.p1"),  S_INIT("params.p3"),
                                       S_INIT("tags.none"),  S_INIT("status"),
                                       S_INIT("run_name"),   S_INIT("metrics.loss"),
                                       S_INIT("end_time"),   S_INIT("min(metrics.rare)"),
                                       S_INIT("start_time"), S_INIT("user_id") };
    static const struct str filters[] = { S_INIT(""), S_INIT("metrics.acc < 2"),
                                          S_INIT(
                                              "params.p2 LIKE '%1%' OR datasets.name = 'iris'") };

    builder = column_builder_new();
    world.runs = mem_zalloc(RUNS_MAX, sizeof(*world.runs));
    T_OK(builder && world.runs);
    for (unsigned round = 0; round < 150; round++) {
        if (round % 8 == 0) draw_world();
        compare_values(filters[round % 3], keys[round % ARRAY_N(keys)],
                       (enum view_type)(1 + t_rand_below(3)));
    }
    mem_free(world.runs);
    column_builder_free(builder);
}

TEST(values_refuse_what_is_no_key)
{
    struct arena *arena = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct values *v;

    T_OK(arena != NULL);
    T_ST(values_new(&v, S(""), S("params.a DESC"), 10, arena, &err), ST_INVALID);
    T_ST(values_new(&v, S(""), S("best(metrics.a)"), 10, arena, &err), ST_INVALID);
    T_ST(values_new(&v, S(""), S("what"), 10, arena, &err), ST_INVALID);
    T_ST(values_new(&v, S("params.a ="), S("params.a"), 10, arena, &err), ST_INVALID);
    T_OK(v == NULL && err.message[0]);
    arena_free(arena);
}
