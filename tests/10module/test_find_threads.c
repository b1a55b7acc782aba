/* Searches beside writers: after each answer a writer finds its own change, and only as it is now; others count runs and see no
 * fewer than were acknowledged before they asked, nor more than were begun. At the end columns and rows agree. Columns are
 * folded, stored, dropped and loaded meanwhile. */
#include "base/exec.h"
#include "base/mem.h"
#include "core/check_memory.h"
#include "core/core_open.h"
#include "core/run_search.h"
#include "core/search/column_values.h"
#include "searchcheck.h"
#include "tap.h"

#include <stdatomic.h>
#include <stdio.h>

enum { WRITERS = 4, COUNTERS = 3, CHECKS = 4, READERS = 4, RUNS_EACH = 80, CHANGES = 3 };

struct world {
    struct core *core;
    _Atomic int64_t begun, acknowledged; /* runs with the metric m */
    _Atomic int wrong, left;
    _Atomic bool stop;
    struct exec_event *done;
};

static void wrong(struct world *w, const char *what)
{
    if (atomic_fetch_add(&w->wrong, 1) < 5) t_note("%s", what);
}

/* ---- a search on the pool ------------------------------------------------------------------------------------------------------- */

struct look {
    struct read_job job;
    struct exec_event *e;
    struct str filter;
    enum status st;
    struct run_found found;
};

static void look_run(struct read_job *job, struct view *v)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    int64_t experiment = 0;
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = l->filter,
                             .page.max = 10,
                             .count = true };
    struct err err = ERR_INIT;

    l->st = run_find(v, &in, &l->found, &err);
    exec_event_set(l->e);
}

/* How many runs the filter finds; *uid is the first one. */
static uint64_t find(struct world *w, struct arena *a, struct str filter, int64_t *uid)
{
    struct look l = { .job = { .run = look_run, .arena = a },
                      .e = exec_event_new(),
                      .filter = filter };
    enum status st;

    do {
        st = core_read_submit(w->core, &l.job);
    } while (st == ST_UNAVAILABLE);
    (void)exec_event_wait(l.e, -1);
    exec_event_free(l.e);
    if (st || l.st) wrong(w, "a search failed");
    *uid = l.found.n ? l.found.uids[0] : 0;
    return l.found.total;
}

/* ---- writers ------------------------------------------------------------------------------------------------------------------------ */

struct writer {
    struct exec_job job;
    struct world *w;
    int n;
};

/* Sets tag `step` and metric m of the run to i. */
static bool change(struct world *w, struct arena *a, struct str run, int owner, int i)
{
    char texts[2][24];
    struct key_value tags[] = { { S("owner"), { NULL, 0 } }, { S("step"), { NULL, 0 } } };
    struct err err = ERR_INIT;
    struct run_log l;

    snprintf(texts[0], sizeof(texts[0]), "w%d", owner);
    snprintf(texts[1], sizeof(texts[1]), "%d", i);
    tags[0].value = str_cstr(texts[0]);
    tags[1].value = str_cstr(texts[1]);
    run_log_init(&l, w->core, a);
    l.run_id = run;
    l.tags = tags;
    l.tags_n = 2;
    return !run_points_begin(&l.points, a, &err) &&
           !run_points_add(&l.points, S("m"), i, i, i, &err) && !seq_run(w->core->seq, &l.op, &err);
}

static bool delete_run(struct world *w, struct arena *a, struct str run)
{
    struct run_lifecycle l;
    struct err err = ERR_INIT;

    run_lifecycle_init(&l, w->core, a);
    l.run_id = run;
    l.to = LIFECYCLE_DELETED;
    return !seq_run(w->core->seq, &l.op, &err);
}

/* A new run and its changes, each looked for as soon as it is answered. */
static void one_run(struct writer *me, struct arena *a, int i)
{
    struct world *w = me->w;
    struct run_create c;
    struct err err = ERR_INIT;
    char filter[128];
    int64_t uid;

    run_create_init(&c, w->core, a);
    if (seq_run(w->core->seq, &c.op, &err)) {
        wrong(w, "a run was not created");
        return;
    }
    for (int k = 0; k < CHANGES; k++) {
        int step = i * CHANGES + k;

        if (k == 0) atomic_fetch_add(&w->begun, 1);
        if (!change(w, a, c.run_id, me->n, step)) wrong(w, "a change failed");
        if (k == 0) atomic_fetch_add(&w->acknowledged, 1);
        snprintf(filter, sizeof(filter),
                 "tags.owner = 'w%d' AND metrics.m = %d AND tags.step = '%d'", me->n, step, step);
        if (find(w, a, str_cstr(filter), &uid) != 1 || uid != c.uid)
            wrong(w, "own change not found");
    }
    snprintf(filter, sizeof(filter), "tags.owner = 'w%d' AND metrics.m = %d", me->n, i * CHANGES);
    if (find(w, a, str_cstr(filter), &uid) != 0) wrong(w, "an older value was found");
    if (i % 10 == 9) {
        atomic_fetch_sub(&w->acknowledged, 1);
        if (!delete_run(w, a, c.run_id)) wrong(w, "a run was not deleted");
        atomic_fetch_sub(&w->begun, 1);
        snprintf(filter, sizeof(filter), "tags.owner = 'w%d' AND tags.step = '%d'", me->n,
                 i * CHANGES + CHANGES - 1);
        if (find(w, a, str_cstr(filter), &uid) != 0) wrong(w, "a deleted run was found");
    }
}

static void writer_run(struct exec_job *job, unsigned worker)
{
    struct writer *me = CONTAINER_OF(job, struct writer, job);
    struct arena *a = arena_new(64 << 20);

    (void)worker;
    for (int i = 0; i < RUNS_EACH && atomic_load(&me->w->wrong) == 0; i++) {
        arena_reset(a);
        one_run(me, a, i);
    }
    arena_free(a);
    if (atomic_fetch_sub(&me->w->left, 1) == 1) exec_event_set(me->w->done);
}

/* ---- counters ------------------------------------------------------------------------------------------------------------------------ */

struct counter {
    struct read_job job;
    struct world *w;
    struct exec_event *done;
    int64_t rounds;
};

static void count_once(struct counter *me, struct view *v)
{
    int64_t experiment = 0, least = atomic_load(&me->w->acknowledged), most;
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = S("metrics.m >= 0 AND tags.owner LIKE 'w%'") };
    struct values_result r;
    struct err err = ERR_INIT;
    uint64_t sum = 0;

    if (run_values(v, &in, S("tags.owner"), WRITERS, &r, &err)) {
        wrong(me->w, err.message);
        return;
    }
    most = atomic_load(&me->w->begun);
    for (size_t i = 0; i < r.n; i++) {
        sum += r.values[i].n;
    }
    /* deletions of the time between the two looks may be in it or not */
    if (r.missing != 0 || sum != r.runs || (int64_t)r.runs < least - WRITERS * RUNS_EACH / 10 ||
        (int64_t)r.runs > most + WRITERS * RUNS_EACH / 10) {
        wrong(me->w, "a count is impossible");
    }
}

static void counter_run(struct read_job *job, struct view *v)
{
    struct counter *me = CONTAINER_OF(job, struct counter, job);

    arena_reset(v->arena);
    count_once(me, v);
    me->rounds++;
    if (atomic_load(&me->w->stop) || atomic_load(&me->w->wrong) ||
        core_read_submit(me->w->core, &me->job)) {
        exec_event_set(me->done);
    }
}

/* ---- a checker on the pool ------------------------------------------------------------------------------------------------------ */

static void found_wrong(void *ctx, enum check_rule rule, struct str what)
{
    (void)rule;
    t_note("%.*s", STR_ARG(what));
    wrong((struct world *)ctx, "memory is not what is stored");
}

/* Memory is compared with what is stored while it changes: nothing differs. */
static void checker_run(struct read_job *job, struct view *v)
{
    struct counter *me = CONTAINER_OF(job, struct counter, job);
    struct err err = ERR_INIT;
    size_t found = 0;

    arena_reset(v->arena);
    if (core_check_memory(v, found_wrong, me->w, &found, &err)) wrong(me->w, err.message);
    me->rounds++;
    if (me->rounds == CHECKS || atomic_load(&me->w->stop) || atomic_load(&me->w->wrong) ||
        core_read_submit(me->w->core, &me->job)) {
        exec_event_set(me->done);
    }
}

/* ---- tests ---------------------------------------------------------------------------------------------------------------------------- */

static void run_world(const struct core_options *opt)
{
    struct arena *a = arena_new(64 << 20);
    struct counter counters[COUNTERS];
    struct writer writers[WRITERS];
    struct exec_pool *pool = NULL;
    struct err err = ERR_INIT;
    struct world w = { 0 };
    int64_t experiment = 0, uid;

    T_ST_ERR(core_open(&w.core, opt, &err), OK, &err);
    w.done = exec_event_new();
    atomic_store(&w.left, WRITERS);
    for (int i = 0; i < COUNTERS; i++) {
        counters[i] = (struct counter){ .w = &w, .done = exec_event_new() };
        counters[i].job.run = i == 0 ? checker_run : counter_run;
        counters[i].job.arena = arena_new(64 << 20);
        T_ST(core_read_submit(w.core, &counters[i].job), OK);
    }
    T_ST_ERR(exec_pool_new(&pool, "writer", WRITERS, 100, &err), OK, &err);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .job.run = writer_run, .w = &w, .n = i };
        T_ST(exec_pool_submit(pool, &writers[i].job), OK);
    }
    T_OK(exec_event_wait(w.done, -1));
    exec_pool_free(pool);
    atomic_store(&w.stop, true);
    for (int i = 0; i < COUNTERS; i++) {
        T_OK(exec_event_wait(counters[i].done, -1));
        T_OK(counters[i].rounds >= (i == 0 ? 1 : 2));
        exec_event_free(counters[i].done);
        arena_free(counters[i].job.arena);
    }
    T_INT(atomic_load(&w.wrong), 0);
    T_UINT(find(&w, a, S("metrics.m >= 0"), &uid), WRITERS * RUNS_EACH * 9 / 10);
    search_check(w.core, &experiment, 1, t_rand(), 30);
    core_close(w.core);
    exec_event_free(w.done);
    arena_free(a);
}

TEST_LIMIT(writers_find_what_they_wrote, 120)
{
    struct core_options opt = { .sql = { .location = t_tmpdir() },
                                .artifact_root = S("/a"),
                                .readers = READERS };

    run_world(&opt);
}

/* Heads leave memory all the time, and columns do. */
TEST_LIMIT(writers_find_what_they_wrote_with_little_memory, 120)
{
    struct core_options opt = { .sql = { .location = t_tmpdir() },
                                .artifact_root = S("/a"),
                                .readers = READERS,
                                .drain_bytes = 20000,
                                .head_age_ms = 1,
                                .head_bytes = 3000,
                                .column_bytes = 20000 };

    run_world(&opt);
}
