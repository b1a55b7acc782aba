/* bench/bench_columns.c - searches in the columns of one experiment, on one thread.
 * RUNS_N runs of 50 metrics and 50 params each (10 values), made of a fixed seed; only the columns that the searches name are
 * built. Prints CPU milliseconds per search (the smallest and the median of ROUNDS), what a segment costs in memory, and what it costs to
 * change runs. Usage: bench_columns [runs in thousands] */
#include "base/mem.h"
#include "core/search/column_eval.h"
#include "store/series/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 15, SEGMENTS_MAX = 1024, WANTS_MAX = 16 };

static struct column_builder *builder;
static uint32_t runs_n = 1000000, segments_n;
static uint32_t rows[SEGMENTS_MAX];

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 31) * 0x7fb5d329728ea185U;
    v = (v ^ v >> 27) * 0x81dadef4bc2dd44dU;
    return v ^ v >> 33;
}

/* The thread's own time: the machine may be busy. */
static int64_t cpu_ns(void)
{
    struct timespec ts;

    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) ? 0 : ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* A number for one cell of the table. */
static uint64_t cell_random(const struct column_want *w, uint64_t run)
{
    uint64_t key = w->attr + ((uint64_t)w->kind << 8);

    for (size_t i = 0; i < w->name.n; i++) {
        key = key * 31 + (unsigned char)w->name.p[i];
    }
    return mix(run * 0x9e3779b97f4a7c15U + mix(key));
}

static void put(const struct column_want *w, uint32_t slot, uint64_t run, char *text)
{
    static const char *const values[] = {
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9"
    };
    uint64_t r = cell_random(w, run);

    if (w->kind == COLUMN_PARAM) {
        column_builder_text(builder, slot, str_cstr(values[r % 10]));
    } else if (w->kind == COLUMN_TAG) { /* run_name is the tag mlflow.runName */
        int n = snprintf(text, 40, "run-%llu", (unsigned long long)run);

        column_builder_text(builder, slot, str_of(text, (size_t)n));
    } else if (w->kind != COLUMN_ATTR) {
        column_builder_double(builder, slot, (double)(r >> 11) * 0x1p-53);
    } else if (w->attr == COLUMN_UID) {
        column_builder_integer(builder, slot, (int64_t)run + 1);
    } else if (w->attr == COLUMN_LIFECYCLE) {
        column_builder_integer(builder, slot, 0);
    } else if (w->attr == COLUMN_START) {
        column_builder_integer(builder, slot, 1700000000000 + (int64_t)run * 37);
    } else if (w->attr == COLUMN_RUN_ID) {
        int n =
            snprintf(text, 40, "%016llx%016llx", (unsigned long long)r, (unsigned long long)mix(r));

        column_builder_text(builder, slot, str_of(text, (size_t)n));
    }
}

static struct column *build(const struct column_want *w, uint32_t segment)
{
    static char texts[COLUMN_ROWS][40];
    struct column_key key = { w->kind, w->attr };
    struct err err = ERR_INIT;
    struct column *c;

    CHECK(column_builder_reset(builder, column_key_type(key), NULL, rows[segment], &err) == OK);
    for (uint32_t i = 0; i < rows[segment]; i++) {
        put(w, i, (uint64_t)segment * COLUMN_ROWS + i, texts[i]);
    }
    CHECK(column_builder_finish(builder, &c, &err) == OK);
    return c;
}

/* ---- tables, built once per column and kept ---------------------------------------------------------- */

static struct kept {
    struct column_want want;
    struct column_cell cells[SEGMENTS_MAX];
} kept[WANTS_MAX];
static size_t kept_n;

static struct column_cell *cells_of(const struct column_want *w)
{
    struct kept *k = kept;

    while (k < kept + kept_n &&
           !(k->want.kind == w->kind && k->want.attr == w->attr && str_eq(k->want.name, w->name))) {
        k++;
    }
    if (k == kept + kept_n) {
        char *name = mem_strdup(w->name.p ? w->name.p : "");

        CHECK(kept_n++ < WANTS_MAX && name);
        k->want = *w;
        k->want.name = str_of(name, w->name.n);
        for (uint32_t s = 0; s < segments_n; s++) {
            struct column *c = build(w, s);

            k->cells[s].column = c;
            if (c) k->cells[s].zone = *column_zone(c);
        }
    }
    return k->cells;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t search(const struct search_request *in, struct str *token, size_t *n,
                      uint64_t *total)
{
    static struct column_cell cells[WANTS_MAX * SEGMENTS_MAX];
    struct arena *a = arena_new(64 << 20);
    struct column_table t = { .segments_n = segments_n, .rows = rows, .cells = cells };
    struct column_source source = { .table = &t, .view_type = VIEW_ACTIVE_ONLY };
    struct err err = ERR_INIT;
    struct column_plan *plan;
    struct searcher *s;
    uint64_t *handles;
    struct str next;
    int64_t start;
    enum status st;

    CHECK(a);
    st = searcher_new(&s, in, a, &err);
    if (!st) st = column_plan_new(&plan, s, a, &err);
    CHECK(st == OK && plan->n <= WANTS_MAX);
    t.columns_n = (uint32_t)plan->n;
    for (size_t i = 0; i < plan->n; i++) {
        memcpy(cells + i * segments_n, cells_of(&plan->wants[i]), segments_n * sizeof(*cells));
    }
    start = cpu_ns();
    st = searcher_offer_columns(s, plan, &source, &err);
    *total = searcher_total(s);
    if (!st) st = searcher_end(s, &handles, n, &next, &err);
    start = cpu_ns() - start;
    if (st) printf("%s\n", err.message);
    if (token && next.p) *token = str_of(mem_strdup(next.p), next.n);
    arena_free(a);
    return start;
}

static void measure(const char *filter, const char *order, size_t page, bool count, bool second)
{
    struct str clause = str_cstr(order), token = { NULL, 0 };
    struct search_request in = { .entity = SEARCH_RUNS,
                                 .filter = str_cstr(filter),
                                 .order_by = &clause,
                                 .order_by_n = clause.n > 0,
                                 .count_all = count,
                                 .page = { .max = page } };
    int64_t ns[ROUNDS];
    uint64_t total = 0;
    size_t n = 0;

    search(&in, &token, &n, &total);
    if (second) in.page.token = token;
    for (int i = 0; i < ROUNDS; i++) {
        ns[i] = search(&in, NULL, &n, &total);
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    printf("%7.3f %7.3f ms  %5zu rows  %8llu hits%s  %s%s%s%s\n", (double)ns[0] / 1e6,
           (double)ns[ROUNDS / 2] / 1e6, n, (unsigned long long)total, count ? "" : " seen", filter,
           order[0] ? "  ORDER BY " : "", order, second ? "  (second page)" : "");
    mem_free((char *)(uintptr_t)token.p);
}

/* ---- building ---------------------------------------------------------------------------------------- */

static void measure_one(const char *what, const struct column_want *w, unsigned changes)
{
    struct err err = ERR_INIT;
    struct column *c = build(w, 0), *changed;
    struct column_key key = { w->kind, w->attr };
    char text[64][40];
    struct column_place place = { 0, 0, { w->kind, 1 } };
    struct buf body = BUF_INIT(COLUMN_BODY_MAX);
    struct zip zip = { NULL };
    size_t stored;
    int64_t start = cpu_ns(), built, patched, encoded, decoded;

    for (int i = 0; i < 50; i++) {
        struct column *again = build(w, 0);

        column_unref(again);
    }
    built = cpu_ns() - start;
    start = cpu_ns();
    for (int i = 0; i < 200; i++) {
        CHECK(column_builder_reset(builder, column_key_type(key), c, rows[0], &err) == OK);
        for (unsigned k = 0; k < changes; k++) {
            put(w, (uint32_t)(mix(k) % rows[0]), 7000000 + k, text[k]);
        }
        CHECK(column_builder_finish(builder, &changed, &err) == OK);
        column_unref(changed);
    }
    patched = cpu_ns() - start;
    start = cpu_ns();
    for (int i = 0; i < 200; i++) {
        struct buf again = BUF_INIT(COLUMN_BODY_MAX);

        CHECK(column_encode(&zip, c, &place, &again, &err) == OK);
        buf_release(&again);
    }
    encoded = cpu_ns() - start;
    CHECK(column_encode(&zip, c, &place, &body, &err) == OK);
    start = cpu_ns();
    for (int i = 0; i < 200; i++) {
        CHECK(column_decode(&changed, buf_str(&body), &place, &err) == OK);
        column_unref(changed);
    }
    decoded = cpu_ns() - start;
    stored = body.n;
    zip_release(&zip);
    buf_release(&body);
    printf(
        "%-10s %7zu bytes, %5.1f a run, built in %6.1f us, %u changed in %6.1f us, stored as %zu "
        "bytes, written in %5.1f us, read in %5.1f us\n",
        what, column_bytes(c), (double)column_bytes(c) / rows[0], (double)built / 50e3, changes,
        (double)patched / 200e3, stored, (double)encoded / 200e3, (double)decoded / 200e3);
    column_unref(c);
}

int main(int argc, char **argv)
{
    if (argc > 1) runs_n = (uint32_t)strtoul(argv[1], NULL, 10) * 1000;
    builder = column_builder_new();
    CHECK(builder && runs_n > 0 && runs_n <= SEGMENTS_MAX * COLUMN_ROWS);
    for (uint32_t left = runs_n; left > 0; left -= rows[segments_n++]) {
        rows[segments_n] = MIN_OF(left, (uint32_t)COLUMN_ROWS);
    }
    printf("%u runs\n", runs_n);
    measure("metrics.loss < 0.1 AND params.model = 'x3'", "metrics.acc DESC", 100, false, false);
    measure("metrics.loss < 0.1 AND params.model = 'x3'", "metrics.acc DESC", 100, false, true);
    measure("metrics.loss < 0.1 AND params.model = 'x3'", "metrics.acc DESC", 100, true, false);
    measure("metrics.loss < 0.0001 AND params.model = 'x3'", "metrics.acc DESC", 100, false, false);
    measure("", "", 1000, false, false);
    measure("", "", 1000, true, false);
    measure("", "metrics.acc DESC", 1000, false, false);
    measure("", "metrics.acc DESC", 1000, false, true);
    measure("metrics.loss > 0.5 OR params.model != 'x3'", "metrics.acc", 100, true, false);
    measure("params.model LIKE 'x%' and params.model =~ '[3-5]$'", "metrics.acc", 100, true, false);
    measure("params.model IN ('x1', 'x3', 'x9')", "params.model DESC", 100, true, false);
    measure("run_name = 'run-77777'", "", 100, false, false);
    measure("run_name LIKE '%777%'", "", 100, true, false);
    measure("run_name LIKE 'run-777%'", "", 100, true, false);
    measure("run_name ILIKE '%N-777%'", "", 100, true, false);
    measure("run_name =~ '^run-.*777$'", "", 100, true, false);
    measure_one("metric", &(struct column_want){ COLUMN_METRIC, 0, S("loss") }, 20);
    measure_one("param", &(struct column_want){ COLUMN_PARAM, 0, S("model") }, 20);
    measure_one("start_time", &(struct column_want){ COLUMN_ATTR, COLUMN_START, S("") }, 20);
    measure_one("run_name", &(struct column_want){ COLUMN_TAG, 0, S("mlflow.runName") }, 20);
    measure_one("run_id", &(struct column_want){ COLUMN_ATTR, COLUMN_RUN_ID, S("") }, 20);
    return 0;
}
