/* Metric history for charts: bounded, with its ends and its spikes; on both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "core/metric_interval.h"

#include <math.h>

static void log_points(struct corefix *f, struct str run, const double *values, size_t n)
{
    struct run_log l;

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    for (size_t i = 0; i < n; i++) {
        T_ST(run_points_add(&l.points, S("loss"), values[i], (int64_t)i, (int64_t)i, &f->err), OK);
    }
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

static size_t ask(struct corefix *f, struct str *runs, size_t runs_n, size_t max, int64_t first,
                  int64_t last, struct interval_row **rows)
{
    struct metric_interval q = { runs, runs_n, S("loss"), first, last, max };
    size_t n;

    T_ST_ERR(metric_interval(&f->v, &q, rows, &n, &f->err), OK, &f->err);
    return n;
}

SQL_TEST(short_runs_are_whole)
{
    double values[] = { 3, (double)NAN, 1, (double)INFINITY, -0.0 };
    struct interval_row *rows;
    struct corefix f;
    struct str runs[3];

    corefix_open(&f, location, NULL);
    runs[0] = corefix_new_run(&f, 0);
    runs[1] = S("nobody");
    runs[2] = corefix_new_run(&f, 0);
    log_points(&f, runs[0], values, 5);
    log_points(&f, runs[2], values, 2);
    T_INT(ask(&f, runs, 3, 5, INT64_MIN, INT64_MAX, &rows), 7);
    for (int i = 0; i < 5; i++) {
        T_STR_EQ(rows[i].run_id, runs[0]);
        T_INT(rows[i].point.step, i);
    }
    T_DBL_BITS(rows[4].point.value, -0.0);
    T_OK(isnan(rows[1].point.value));
    T_STR_EQ(rows[5].run_id, runs[2]);
    T_INT(ask(&f, runs, 3, 5, 1, 3, &rows), 4);
    T_INT(ask(&f, runs, 3, 5, 10, 20, &rows), 0);
    T_INT(ask(&f, runs, 0, 5, 10, 20, &rows), 0);
    corefix_close(&f);
}

/* Any number of rows, any limit: at most that many, in order, first and last among them, and the smallest and largest value. */
TEST(thinned_runs_keep_their_envelope)
{
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (int round = 0; round < 40; round++) {
        size_t n = 1 + (size_t)t_rand_below(2000), max = 1 + (size_t)t_rand_below(60), got;
        double *values = ARENA_ARRAY(f.a, double, n), low = (double)INFINITY,
               high = -(double)INFINITY;
        struct str run = corefix_new_run(&f, 0);
        struct interval_row *rows;
        bool saw_low = false, saw_high = false;

        for (size_t i = 0; i < n; i++) {
            values[i] = t_rand_below(50) ? (double)t_rand_below(1000) : (double)NAN;
            if (values[i] < low) low = values[i];
            if (values[i] > high) high = values[i];
        }
        log_points(&f, run, values, n);
        got = ask(&f, &run, 1, max, INT64_MIN, INT64_MAX, &rows);
        T_OK(got >= 1 && got <= max);
        if (n <= max) T_INT(got, n);
        T_INT(rows[got - 1].point.step, (int64_t)n - 1);
        if (max > 1) T_INT(rows[0].point.step, 0);
        for (size_t i = 0; i < got; i++) {
            T_OK(i == 0 || rows[i - 1].point.step < rows[i].point.step);
            T_DBL_BITS(rows[i].point.value, isnan(values[rows[i].point.step])
                                                ? rows[i].point.value
                                                : values[rows[i].point.step]);
            saw_low |= rows[i].point.value == low;
            saw_high |= rows[i].point.value == high;
        }
        if (max >= 4 && low <= high) T_OK(saw_low && saw_high);
    }
    corefix_close(&f);
}

/* The histories of many runs are not held at once. */
TEST(flat_memory)
{
    enum { RUNS = 20, POINTS = 20000 };
    struct arena *a = arena_new(256 << 10);
    struct interval_row *rows;
    struct metric_interval q = {
        .key = S_INIT("loss"), .first_step = INT64_MIN, .last_step = INT64_MAX, .max = 10
    };
    struct corefix f;
    struct view v;
    struct str runs[RUNS];
    double *values;
    size_t n;

    corefix_open(&f, t_tmpdir(), NULL);
    values = ARENA_ARRAY(f.a, double, POINTS);
    for (int i = 0; i < RUNS; i++) {
        runs[i] = corefix_new_run(&f, 0);
        log_points(&f, runs[i], values, POINTS);
    }
    v = f.v;
    v.arena = a; /* 256 KiB; one history alone has 480 KB */
    q.run_ids = runs;
    q.run_ids_n = RUNS;
    T_ST_ERR(metric_interval(&v, &q, &rows, &n, &f.err), OK, &f.err);
    T_OK(n >= RUNS * 2 && n <= RUNS * 10);
    arena_free(a);
    corefix_close(&f);
}
