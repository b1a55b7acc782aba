/* Memory stays flat: counted by base/mem, not read from the system. Points go through a store, are charted and deleted for good,
 * and runs are searched, while the most memory in use stays under a stated figure that does not depend on how many there are. */
#include "corefix.h"
#include "tap.h"

#include "base/exec.h"
#include "base/mem.h"
#include "core/chart.h"
#include "core/compaction.h"
#include "core/run_purge.h"
#include "core/run_search.h"
#include "store/runcols/runcols.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SLOWER = 8 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SLOWER = 8 };
#else
enum { SLOWER = 1 };
#endif
#else
enum { SLOWER = 1 };
#endif

enum {
    MB = 1 << 20,
    KEYS = 10,
    STEPS = 100, /* of one batch: 1000 points */
    POINTS = 2000000 / SLOWER,
    RUNS = 8192 / SLOWER,
    EXPERIMENTS = 8,
    GROUP = 256,
    /* What the store of these tests may keep. */
    TAILS = 4 * MB,
    HEADS = 1 * MB,
    COLUMNS = MB / 4 / SLOWER,
    ANSWERS = MB / 4,
    /* The most in use above what there was before. Points: tails, one drain's pack, one merge (40 MB at most), the engine's caches
     * of pages; the points themselves would take 64 MB. */
    INGEST_MAX = 48 * MB,
    CHART_MAX = 12 * MB,
    DELETE_MAX = 8 * MB,
    SEARCH_MAX = 32 * MB
};

static int64_t peak_above(int64_t base)
{
    return mem_peak_bytes() - base;
}

static void open_store(struct corefix *f)
{
    static const struct core_options opt = { .tail_bytes = TAILS,
                                             .head_bytes = HEADS,
                                             .column_bytes = COLUMNS,
                                             .fragment_bytes = ANSWERS,
                                             .readers = 1 };

    corefix_open_with(f, t_tmpdir(), &opt);
}

/* ---- points ----------------------------------------------------------------------------------------------------------------------- */

static void log_points(struct corefix *f, struct str run, int64_t from, int64_t to)
{
    struct arena *a = arena_new(64 * MB);

    for (int64_t at = from; at < to; at += KEYS * STEPS) {
        struct run_log l;

        arena_reset(a);
        run_log_init(&l, f->core, a);
        l.run_id = run;
        T_ST(run_points_begin(&l.points, a, &f->err), OK);
        for (int64_t i = 0; i < (int64_t)KEYS * STEPS; i++) {
            int64_t step = at / KEYS + i / KEYS;

            T_ST(run_points_add(&l.points, arena_printf(a, "key%d", (int)(i % KEYS)),
                                (double)(float)(1.0 / (double)(step + i % KEYS + 1)), step * 50,
                                step, &f->err),
                 OK);
        }
        T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
    }
    arena_free(a);
    T_ST_ERR(compaction_start(f->core, true, &f->err), OK, &f->err);
}

struct drawn {
    int64_t points;
    size_t series;
};

static enum status draw(void *ctx, size_t metric, const struct chart_series *s, struct err *err)
{
    struct drawn *d = (struct drawn *)ctx;

    (void)metric;
    (void)err;
    d->points += s->points;
    d->series++;
    return OK;
}

static void chart_all(struct corefix *f, struct str run, enum chart_axis axis)
{
    struct str names[KEYS], run_ids[1] = { run };
    struct chart_query q = { .run_ids = run_ids,
                             .run_ids_n = 1,
                             .metrics = names,
                             .metrics_n = KEYS,
                             .axis = axis,
                             .buckets = 320 };
    struct chart c = { .q = &q };
    struct drawn d = { 0 };
    bool known = false;

    for (int i = 0; i < KEYS; i++) {
        names[i] = arena_printf(f->a, "key%d", i);
    }
    T_ST_ERR(chart_run(&c, &f->v, 0, &known, draw, &d, &f->err), OK, &f->err);
    T_OK(known);
    T_UINT(d.series, KEYS);
    T_INT(d.points, POINTS);
}

TEST(points_in_charted_and_deleted_for_good)
{
    struct corefix f;
    struct run_purge p;
    struct str run;
    int64_t base, half;

    open_store(&f);
    run = corefix_new_run(&f, 0);
    mem_peak_restart();
    base = mem_bytes();
    log_points(&f, run, 0, POINTS / 2);
    half = peak_above(base);
    log_points(&f, run, POINTS / 2, POINTS);
    t_note("%d points: %lld KiB at most, the first half %lld", POINTS,
           (long long)peak_above(base) / 1024, (long long)half / 1024);
    T_OK(peak_above(base) <= INGEST_MAX);

    mem_peak_restart();
    base = mem_bytes();
    chart_all(&f, run, CHART_STEP);
    chart_all(&f, run, CHART_TIME);
    t_note("charts of all of them: %lld KiB", (long long)peak_above(base) / 1024);
    T_OK(peak_above(base) <= CHART_MAX);

    mem_peak_restart();
    base = mem_bytes();
    run_purge_init(&p, f.core, f.a);
    p.run_id = run;
    T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    t_note("deleting them: %lld KiB", (long long)peak_above(base) / 1024);
    T_OK(peak_above(base) <= DELETE_MAX);
    corefix_close(&f);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------- */

static void make_runs(struct corefix *f, int64_t experiment, int64_t from, int64_t n)
{
    struct run_create c[GROUP];
    struct run_log l[GROUP];
    struct write_op *ops[GROUP];

    for (int64_t i = 0; i < n; i++) {
        run_create_init(&c[i], f->core, f->a);
        c[i].experiment = experiment;
        c[i].start_ms = from + i;
        ops[i] = &c[i].op;
    }
    corefix_together(f, ops, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        T_ST_ERR(c[i].op.st, OK, &c[i].op.err);
        run_log_init(&l[i], f->core, f->a);
        l[i].run_id = c[i].run_id;
        T_ST(run_points_begin(&l[i].points, f->a, &f->err), OK);
        for (int k = 0; k < KEYS; k++) {
            T_ST(run_points_add(&l[i].points, arena_printf(f->a, "key%d", k),
                                (double)((from + i) % 1000) / 1000 + k, 1, 1, &f->err),
                 OK);
        }
        ops[i] = &l[i].op;
    }
    corefix_together(f, ops, (size_t)n);
    corefix_fresh(f);
}

/* How many runs of the experiment have a value of key k below its middle. */
static uint64_t find(struct corefix *f, int64_t experiment, int k)
{
    struct str order[1] = { arena_printf(f->a, "metrics.key%d DESC", (k + 1) % KEYS) };
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = arena_printf(f->a, "metrics.key%d < %d.5", k, k),
                             .order_by = order,
                             .order_by_n = 1,
                             .page.max = 50,
                             .count = true };
    struct run_found found;

    T_ST_ERR(run_find(&f->v, &in, &found, &f->err), OK, &f->err);
    return found.total;
}

TEST(many_runs_are_searched)
{
    int64_t experiments[EXPERIMENTS], base, each = RUNS / EXPERIMENTS;
    struct runcols_stats s;
    struct corefix f;

    open_store(&f);
    mem_peak_restart();
    base = mem_bytes();
    for (int e = 0; e < EXPERIMENTS; e++) {
        experiments[e] = corefix_experiment(&f, arena_cstr(f.a, arena_printf(f.a, "e%d", e)));
        for (int64_t at = 0; at < each; at += GROUP) {
            make_runs(&f, experiments[e], at, MIN_OF(each - at, (int64_t)GROUP));
        }
    }
    for (int k = 0; k < KEYS; k++) {
        for (int e = 0; e < EXPERIMENTS; e++) {
            T_UINT(find(&f, experiments[e], k), (uint64_t)MIN_OF(each, (int64_t)500) +
                                                    (uint64_t)(each > 1000 ? each - 1000 : 0));
            corefix_fresh(&f);
            runcols_stats(f.core->columns, &s);
            T_OK(s.bytes <=
                 2 * COLUMNS); /* one that is in use, or not stored yet, may stand above */
        }
    }
    T_OK(s.evictions > 0);
    t_note("searches over %d runs: %lld KiB at most", RUNS, (long long)peak_above(base) / 1024);
    T_OK(peak_above(base) <= SEARCH_MAX);
    corefix_close(&f);
}
