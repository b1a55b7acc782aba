/* bench/bench_chart.c - charts and histories without HTTP: `bench_chart FOLDER [STEPS]`, one figure a line: milliseconds of wall
 * clock and of this thread's CPU, the best of five.
 *   short      100 runs x 10 metrics x 1000 points: the thinned histories of ten requests, and one chart of all
 *   long       10 runs x 10 metrics x STEPS (1000000) points: the same
 *   zoomed     one part in ten of the long runs, which has to be read
 *   history    all points of one long series, in pages as an answer is made of
 * In a new folder the runs are logged first and brought to their final form; a folder that has them is used as it is. */
#include "base/clock.h"
#include "core/chart.h"
#include "core/compaction.h"
#include "core/core_open.h"
#include "core/experiment.h"
#include "core/metric_interval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    METRICS = 10,
    BATCH = 1000,
    SHORT_RUNS = 100,
    SHORT_STEPS = 1000,
    LONG_RUNS = 10,
    ROUNDS = 5,
    BUCKETS = 320,
    PAGE = 100000
};

struct bench {
    struct core *core;
    struct arena *a;
    struct view v;
    struct err err;
    struct str metrics[METRICS];
};

static void must(struct bench *b, enum status st)
{
    if (st) {
        fprintf(stderr, "bench_chart: %s\n", b->err.message);
        exit(1);
    }
}

/* ---- filling ---------------------------------------------------------------------------------------------------------------- */

static uint64_t seed = 7;

static double noise(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 40) / (double)(1 << 24);
}

static void log_steps(struct bench *b, struct str run, int64_t from, int64_t to)
{
    struct arena *a = arena_new(64 << 20);
    struct run_log l;

    if (!a) exit(1);
    run_log_init(&l, b->core, a);
    l.run_id = run;
    must(b, run_points_begin(&l.points, a, &b->err));
    for (int64_t s = from; s < to; s++) {
        int64_t ms = 1700000000000 + s * 100 + (int64_t)(noise() * 20);

        for (int m = 0; m < METRICS; m++) {
            float v = (float)(2 / (1 + (double)s / 1000) + noise() / 10);

            must(b, run_points_add(&l.points, b->metrics[m], (double)v, ms, s, &b->err));
        }
    }
    must(b, seq_run(b->core->seq, &l.op, &b->err));
    arena_free(a);
}

static void fill(struct bench *b, const char *prefix, int runs, int64_t steps)
{
    int64_t from_ns = clock_mono_ns();

    for (int r = 0; r < runs; r++) {
        struct run_create c;

        run_create_init(&c, b->core, b->a);
        c.run_id = arena_printf(b->a, "%s%030d", prefix, r);
        c.start_ms = 1700000000000;
        must(b, seq_run(b->core->seq, &c.op, &b->err));
        for (int64_t s = 0; s < steps; s += BATCH / METRICS) {
            log_steps(b, c.run_id, s, MIN_OF(steps, s + BATCH / METRICS));
        }
    }
    printf("%-34s %9.1f s\n", "filled", (double)(clock_mono_ns() - from_ns) / 1e9);
}

/* ---- measuring -------------------------------------------------------------------------------------------------------------- */

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct question {
    struct bench *b;
    struct str runs[SHORT_RUNS];
    size_t runs_n;
    int64_t from, to;
    bool ranged;
    size_t rows;
    int64_t summaries, decoded;
};

static void measure(const char *name, void (*fn)(struct question *q), struct question *q)
{
    double wall = 1e18, cpu = 1e18;

    for (int i = 0; i < ROUNDS; i++) {
        double c = cpu_ms();
        int64_t ns = clock_mono_ns();

        fn(q);
        cpu = MIN_OF(cpu, cpu_ms() - c);
        wall = MIN_OF(wall, (double)(clock_mono_ns() - ns) / 1e6);
    }
    printf("%-34s %9.1f ms wall %9.1f ms CPU %9zu rows %7lld summaries %9lld points read\n", name,
           wall, cpu, q->rows, (long long)q->summaries, (long long)q->decoded);
}

static void thinned(struct question *q)
{
    q->rows = 0;
    for (int m = 0; m < METRICS; m++) {
        struct metric_interval in = { .run_ids = q->runs,
                                      .run_ids_n = q->runs_n,
                                      .key = q->b->metrics[m],
                                      .first_step = INT64_MIN,
                                      .last_step = INT64_MAX,
                                      .max = BUCKETS };
        struct interval_row *rows;
        struct view v = q->b->v;
        size_t n;

        v.arena = arena_new(256 << 20);
        if (!v.arena) exit(1);
        must(q->b, metric_interval(&v, &in, &rows, &n, &q->b->err));
        q->rows += n;
        arena_free(v.arena);
    }
}

static enum status count(void *ctx, size_t metric, const struct chart_series *s, struct err *err)
{
    (void)metric;
    (void)err;
    ((struct question *)ctx)->rows += s->n;
    return OK;
}

static void charted(struct question *q)
{
    struct chart_query in = { .run_ids = q->runs,
                              .run_ids_n = q->runs_n,
                              .metrics = q->b->metrics,
                              .metrics_n = METRICS,
                              .axis = CHART_STEP,
                              .buckets = BUCKETS,
                              .has_from = q->ranged,
                              .has_to = q->ranged,
                              .from = q->from,
                              .to = q->to };
    struct chart c = { .q = &in };
    bool known;

    q->rows = 0;
    for (size_t r = 0; r < q->runs_n; r++) {
        must(q->b, chart_run(&c, &q->b->v, r, &known, count, q, &q->b->err));
    }
    q->summaries = c.headers;
    q->decoded = c.decoded;
}

static void history(struct question *q)
{
    struct point after, *p;
    size_t n;
    bool more = true, begun = false;

    q->rows = 0;
    while (more) {
        struct view v = q->b->v;

        v.arena = arena_new(64 << 20);
        if (!v.arena) exit(1);
        must(q->b, run_metric_history(&v, q->runs[0], q->b->metrics[0], begun ? &after : NULL, PAGE,
                                      &p, &n, &more, &q->b->err));
        q->rows += n;
        if (n) after = p[n - 1];
        begun = true;
        arena_free(v.arena);
    }
}

static void runs_of(struct question *q, struct bench *b, const char *prefix, int n)
{
    *q = (struct question){ .b = b, .runs_n = (size_t)n };
    for (int r = 0; r < n; r++) {
        q->runs[r] = arena_printf(b->a, "%s%030d", prefix, r);
    }
}

int main(int argc, char **argv)
{
    static struct question q;
    struct bench b = { .a = arena_new(1 << 30) };
    struct core_options opt = { .sql = { .location = argc > 1 ? argv[1] : "" } };
    int64_t steps = argc > 2 ? atoll(argv[2]) : 1000000;
    struct run_view run;

    if (argc < 2 || !b.a) {
        fprintf(stderr, "usage: bench_chart FOLDER [STEPS]\n");
        return 2;
    }
    must(&b, core_open(&b.core, &opt, &b.err));
    core_view(b.core, b.a, &b.v);
    for (int m = 0; m < METRICS; m++) {
        b.metrics[m] = arena_printf(b.a, "train/layer_%02d/loss", m);
    }
    if (run_get(&b.v, S("aa000000000000000000000000000000"), &run, &b.err) == ST_NOT_FOUND) {
        fill(&b, "aa", SHORT_RUNS, SHORT_STEPS);
        fill(&b, "bb", LONG_RUNS, steps);
        must(&b, seq_drain(b.core->seq, &b.err));
        must(&b, compaction_start(b.core, true, &b.err));
    }
    runs_of(&q, &b, "aa", SHORT_RUNS);
    measure("short, thinned (10 requests)", thinned, &q);
    measure("short, chart (1 call)", charted, &q);
    runs_of(&q, &b, "bb", LONG_RUNS);
    measure("long, thinned (10 requests)", thinned, &q);
    measure("long, chart (1 call)", charted, &q);
    q.ranged = true;
    q.from = steps / 2;
    q.to = q.from + steps / 10;
    measure("long, zoomed to a tenth", charted, &q);
    measure("history of one long series", history, &q);
    core_close(b.core);
    arena_free(b.a);
    return 0;
}
