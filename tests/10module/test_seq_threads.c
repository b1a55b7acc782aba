/* Many threads write and read at once: every answer is right, nothing is lost, and readers see what was answered. */
#include "tap.h"

#include "base/exec.h"
#include "base/mem.h"
#include "core/core_open.h"
#include "core/run.h"

#include <stdatomic.h>
#include <stdio.h>

enum { WRITERS = 8, READERS = 4, PER_WRITER = 150, RUNS = 3 };

struct world {
    struct core *core;
    struct str runs[RUNS];
    _Atomic int wrong, left;
    _Atomic bool stop;
    struct exec_event *done;
};

struct writer {
    struct exec_job job;
    struct world *w;
    int n;
};

struct reader {
    struct read_job job;
    struct world *w;
    struct exec_event *done;
    _Atomic int64_t *seen;
};

/* After each answer the writer's own point must be in the history: asked through the pool. */
struct look {
    struct read_job job;
    struct exec_event *e;
    struct str run, key;
    size_t n;
    enum status st;
};

static void look_run(struct read_job *job, struct view *v)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    struct err err = ERR_INIT;
    struct point *p;
    bool more;

    l->st = run_metric_history(v, l->run, l->key, NULL, 100000, &p, &l->n, &more, &err);
    exec_event_set(l->e);
}

static size_t history_n(struct world *w, struct arena *a, struct str run, struct str key)
{
    struct look l = { .run = run, .key = key, .e = exec_event_new() };
    enum status st;

    l.job.run = look_run;
    l.job.arena = a;
    do {
        st = core_read_submit(w->core, &l.job);
    } while (st == ST_UNAVAILABLE);
    (void)exec_event_wait(l.e, -1);
    exec_event_free(l.e);
    if (st || l.st) atomic_fetch_add(&w->wrong, 1);
    return l.n;
}

static void writer_run(struct exec_job *job, unsigned worker)
{
    struct writer *me = CONTAINER_OF(job, struct writer, job);
    struct world *w = me->w;
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    char key[16];

    (void)worker;
    snprintf(key, sizeof(key), "k%d", me->n);
    for (int i = 0; i < PER_WRITER; i++) {
        struct key_value param = { str_cstr(key), S("1") }, tag = { S("shared"), str_cstr(key) };
        struct run_log l;

        arena_reset(a);
        run_log_init(&l, w->core, a);
        l.run_id = w->runs[i % RUNS];
        l.params = &param;
        l.params_n = 1;
        l.tags = &tag;
        l.tags_n = 1;
        if (run_points_begin(&l.points, a, &err) ||
            run_points_add(&l.points, str_cstr(key), i, i, i, &err) ||
            seq_run(w->core->seq, &l.op, &err)) {
            atomic_fetch_add(&w->wrong, 1);
        }
        if (i % 10 == 9 &&
            history_n(w, a, w->runs[i % RUNS], str_cstr(key)) != (size_t)(i / RUNS + 1)) {
            atomic_fetch_add(&w->wrong, 1);
        }
    }
    arena_free(a);
    if (atomic_fetch_sub(&w->left, 1) == 1) exec_event_set(w->done);
}

/* Reads all runs again and again; numbers never fall. */
static enum status sum_points(void *ctx, const struct run_view *run, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < run->metrics_n; i++) {
        *(int64_t *)ctx += run->metrics[i].n;
    }
    return OK;
}

static void reader_run(struct read_job *job, struct view *v)
{
    struct reader *me = CONTAINER_OF(job, struct reader, job);
    struct err err = ERR_INIT;
    int64_t exp = 0, sum = 0;

    if (run_each(v, &exp, 1, VIEW_ALL, sum_points, &sum, &err) || sum < atomic_load(me->seen)) {
        atomic_fetch_add(&me->w->wrong, 1);
    }
    atomic_store(me->seen, sum);
    if (atomic_load(&me->w->stop) || core_read_submit(me->w->core, &me->job)) {
        exec_event_set(me->done);
    }
}

static void make_runs(struct world *w, struct arena *a)
{
    struct err err = ERR_INIT;

    for (int i = 0; i < RUNS; i++) {
        struct run_create c;

        run_create_init(&c, w->core, a);
        T_ST_ERR(seq_run(w->core->seq, &c.op, &err), OK, &err);
        w->runs[i] = arena_str(a, c.run_id);
    }
}

TEST_LIMIT(writers_and_readers, 120)
{
    struct core_options opt = { .sql = { .location = t_tmpdir() },
                                .artifact_root = S("/a"),
                                .readers = READERS,
                                .drain_bytes = 20000,
                                .head_age_ms = 1,
                                .head_bytes = 3000 };
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct world w = { 0 };
    struct writer writers[WRITERS];
    struct reader reader = { .w = &w };
    _Atomic int64_t seen = 0;
    struct exec_pool *pool = NULL;
    int64_t sum = 0, exp = 0;
    struct view v;

    T_ST_ERR(core_open(&w.core, &opt, &err), OK, &err);
    make_runs(&w, a);
    w.done = exec_event_new();
    atomic_store(&w.left, WRITERS);
    reader.seen = &seen;
    reader.done = exec_event_new();
    reader.job.run = reader_run;
    reader.job.arena = arena_new(16 << 20);
    T_ST(core_read_submit(w.core, &reader.job), OK);
    T_ST_ERR(exec_pool_new(&pool, "writer", WRITERS, 100, &err), OK, &err);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .job.run = writer_run, .w = &w, .n = i };
        T_ST(exec_pool_submit(pool, &writers[i].job), OK);
    }
    T_OK(exec_event_wait(w.done, 100000));
    exec_pool_free(pool);
    atomic_store(&w.stop, true);
    T_OK(exec_event_wait(reader.done, 100000));
    T_INT(atomic_load(&w.wrong), 0);
    core_view(w.core, a, &v);
    T_ST_ERR(run_each(&v, &exp, 1, VIEW_ALL, sum_points, &sum, &err), OK, &err);
    T_INT(sum, WRITERS * PER_WRITER);
    core_close(w.core);
    exec_event_free(reader.done);
    exec_event_free(w.done);
    arena_free(reader.job.arena);
    arena_free(a);
}

/* Writers as an event loop has them: they submit quietly, wake at the end of their turn, and go on with the answer. So groups wait for
 * those who were just answered; nobody is forgotten. */
struct quiet_writer {
    struct exec_job job;
    struct world *w;
    struct exec_event *answered;
};

static void quiet_done(struct write_op *op)
{
    exec_event_set((struct exec_event *)op->user);
}

static void quiet_run(struct exec_job *job, unsigned worker)
{
    struct quiet_writer *me = CONTAINER_OF(job, struct quiet_writer, job);
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;

    for (int i = 0; i < PER_WRITER; i++) {
        struct run_log l;

        arena_reset(a);
        run_log_init(&l, me->w->core, a);
        l.run_id = me->w->runs[i % RUNS];
        l.op.done = quiet_done;
        l.op.user = me->answered = exec_event_new();
        if (run_points_begin(&l.points, a, &err) ||
            run_points_add(&l.points, S("m"), i, i, i * WRITERS + (int)worker, &err) ||
            seq_submit_quiet(me->w->core->seq, &l.op)) {
            atomic_fetch_add(&me->w->wrong, 1);
        } else {
            seq_wake(me->w->core->seq);
            (void)exec_event_wait(me->answered, -1);
            if (l.op.st) atomic_fetch_add(&me->w->wrong, 1);
        }
        exec_event_free(me->answered);
    }
    arena_free(a);
    if (atomic_fetch_sub(&me->w->left, 1) == 1) exec_event_set(me->w->done);
}

TEST_LIMIT(quiet_writers_are_all_answered, 120)
{
    struct core_options opt = { .sql = { .location = t_tmpdir() }, .artifact_root = S("/a") };
    struct arena *a = arena_new(16 << 20);
    struct world w = { .done = exec_event_new() };
    struct quiet_writer writers[WRITERS];
    struct exec_pool *pool = NULL;
    struct err err = ERR_INIT;
    struct seq_stats stats;

    T_ST_ERR(core_open(&w.core, &opt, &err), OK, &err);
    make_runs(&w, a);
    atomic_store(&w.left, WRITERS);
    T_ST_ERR(exec_pool_new(&pool, "quiet", WRITERS, 100, &err), OK, &err);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct quiet_writer){ .job.run = quiet_run, .w = &w };
        T_ST(exec_pool_submit(pool, &writers[i].job), OK);
    }
    T_OK(exec_event_wait(w.done, 100000));
    exec_pool_free(pool);
    T_INT(atomic_load(&w.wrong), 0);
    seq_stats(w.core->seq, &stats);
    T_UINT(stats.points, WRITERS * PER_WRITER);
    T_UINT(stats.waiting, 0);
    core_close(w.core);
    exec_event_free(w.done);
    arena_free(a);
}

/* Reads a page of runs while the one that comes last is changed, drained and thrown out of memory. */
struct leaving {
    struct core *core;
    struct str last;
    int64_t seen, calls;
};

static void log_one(struct core *core, struct str run, double value)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct run_log l;

    run_log_init(&l, core, a);
    l.run_id = run;
    T_ST_ERR(run_points_begin(&l.points, a, &err), OK, &err);
    T_ST_ERR(run_points_add(&l.points, S("m"), value, 1, (int64_t)value, &err), OK, &err);
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    arena_free(a);
}

static enum status leave_run(void *ctx, const struct run_view *run, struct err *err)
{
    struct leaving *l = ctx;

    if (str_eq(run->run_id, l->last)) {
        l->seen = run->metrics_n ? run->metrics[0].n : 0;
    }
    if (l->calls++ == 0) {
        T_OK(!str_eq(run->run_id, l->last));
        for (int i = 0; i < 5; i++) {
            log_one(l->core, l->last, i);
        }
        T_ST_ERR(seq_drain(l->core->seq, err), OK, err);
        log_one(l->core, run->run_id, 1); /* the end of this group throws clean heads out */
    }
    return OK;
}

TEST(a_run_that_leaves_memory_while_its_page_is_read)
{
    struct core_options opt = { .sql = { .location = t_tmpdir() },
                                .artifact_root = S("/a"),
                                .head_age_ms = 1,
                                .head_bytes = 1 };
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct world w = { 0 };
    struct leaving l = { 0 };
    int64_t exp = 0;
    struct view v;

    T_ST_ERR(core_open(&w.core, &opt, &err), OK, &err);
    make_runs(&w, a);
    T_ST_ERR(seq_drain(w.core->seq, &err), OK, &err);
    l.core = w.core;
    l.last = w.runs[RUNS - 1];
    core_view(w.core, a, &v);
    T_ST_ERR(run_each(&v, &exp, 1, VIEW_ALL, leave_run, &l, &err), OK, &err);
    T_INT(l.calls, RUNS);
    T_INT(l.seen, 5);
    core_close(w.core);
    arena_free(a);
}
