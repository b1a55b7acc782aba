/* Two servers in one process over one PostgreSQL: whatever one of them acknowledged, the other one reads at once, and together
 * they are what a plain reference says; with concurrent writers nothing is missed and nothing counts twice. */
#include "runmodel.h"
#include "searchcheck.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/exec.h"
#include "core/columns.h"
#include "core/core_open.h"
#include "core/experiment.h"
#include "core/run.h"
#include "core/run_purge.h"
#include "core/run_search.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { SERVERS = 2 };

static struct core *server_open(const char *uri, const struct core_options *more)
{
    struct core_options opt = *more;
    struct err err = ERR_INIT;
    struct core *core = NULL;

    opt.sql.location = uri;
    opt.sql.shared = true;
    opt.sql.owner = "test";
    opt.artifact_root = S("/a");
    opt.readers = 2;
    if (opt.lease_ms == 0) opt.lease_ms = 1500;
    if (opt.beat_ms == 0) opt.beat_ms = 50;
    T_ST_ERR(core_open(&core, &opt, &err), OK, &err);
    return core;
}

static uint64_t draw(void *ctx)
{
    (void)ctx;
    return t_rand();
}

/* Waits until the servers know of each other, so that nothing is answered "try again" by a commit that came too early. */
static void know_each_other(struct core **s, unsigned others)
{
    struct seq_stats st;

    for (int i = 0; i < SERVERS; i++) {
        for (int k = 0; k < 5000; k++) {
            struct timespec t = { 0, 1000000 };

            seq_stats(s[i]->seq, &st);
            if (st.others == others) break;
            nanosleep(&t, NULL);
        }
        T_INT(st.others, others);
    }
}

/* Random operations, given to one server or the other; either can be asked. Drains, clean ends and deaths of either. */
TEST_LIMIT(random_operations_on_two_servers, 240)
{
    const char *uri = pgtest_uri();
    struct core_options opt = { .head_age_ms = 1 + (int64_t)t_rand_below(100),
                                .drain_age_ms = 50 + (int64_t)t_rand_below(1000),
                                .head_bytes = t_rand_below(2) ? 1 : 0 };
    struct model *m = model_new(draw, NULL);
    struct core *s[SERVERS];
    struct err err = ERR_INIT;

    s[0] = server_open(uri, &opt);
    T_ST_ERR(model_setup(m, s[0], &err), OK, &err);
    s[1] = server_open(uri, &opt);
    for (int i = 0; i < 40; i++) {
        size_t at = t_rand_below(SERVERS);

        model_round(m, s[at], 1 + t_rand_below(30));
        if (t_rand_below(2) == 0) model_check(m, s[1 - at]);
        at = t_rand_below(SERVERS);
        switch (t_rand_below(10)) {
        case 0: T_ST_ERR(seq_drain(s[at]->seq, &err), OK, &err); break;
        case 1:
            core_close(s[at]);
            s[at] = server_open(uri, &opt);
            break;
        case 2:
            core_abandon(s[at]);
            s[at] = server_open(uri, &opt);
            break;
        default: break;
        }
    }
    for (int i = 0; i < SERVERS; i++) {
        struct seq_stats st;

        model_check(m, s[i]);
        seq_stats(s[i]->seq, &st);
        T_INT(st.rebuilt, 0);
    }
    model_check_rows(s[0]);
    core_close(s[0]);
    model_check(m, s[1]);
    core_close(s[1]);
    s[0] = server_open(uri, &opt);
    model_check(m, s[0]);
    model_check_rows(s[0]);
    core_close(s[0]);
    model_free(m);
}

/* ---- slots of the search columns ------------------------------------------------------------------------------------------------ */

struct slot_run {
    char id[33];
};

static void slots_new(struct core *core, struct slot_run *out, int i)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct run_create c;
    struct run_log l;

    run_create_init(&c, core, a);
    c.start_ms = 1000 + i;
    c.name = arena_printf(a, "run %d", i);
    T_ST_ERR(seq_run(core->seq, &c.op, &err), OK, &err);
    memcpy(out->id, c.run_id.p, 32);
    run_log_init(&l, core, a);
    l.run_id = str_of(out->id, 32);
    T_ST_ERR(run_points_begin(&l.points, a, &err), OK, &err);
    T_ST_ERR(run_points_add(&l.points, S("loss"), i, 1, 1, &err), OK, &err);
    T_ST_ERR(run_points_add(&l.points, S("rare"), 100 - i, 1, 1, &err), OK, &err);
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    arena_free(a);
}

static void slots_purge(struct core *core, struct slot_run *r)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct run_purge p;

    run_purge_init(&p, core, a);
    p.run_id = str_of(r->id, 32);
    T_ST_ERR(seq_run(core->seq, &p.op, &err), OK, &err);
    arena_free(a);
}

static void slots_search(struct core *core, const char *filter)
{
    int64_t experiment = 0;
    struct err err = ERR_INIT;
    struct str by = S("start_time ASC");
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = str_cstr(filter),
                             .order_by = &by,
                             .order_by_n = 1 };

    T_ST_ERR(seq_read_begin(core->seq, &err), OK, &err); /* what the other one wrote */
    search_compare(core, &in, 100);
    seq_read_end(core->seq);
}

/* Stores all columns. There is something to store when a column is asked for that nobody has asked for before. */
static void slots_flush(struct core *core, const char *filter)
{
    struct err err = ERR_INIT;

    slots_search(core, filter);
    T_ST_ERR(columns_flush(core, &err), OK, &err);
}

/* Each server gives the runs slots by itself, and a run that is purged before one of them looks has a slot on the other only. What both
 * store is never mixed: neither for them nor for who loads it. */
TEST_LIMIT(slots_of_two_servers_are_never_mixed, 120)
{
    const char *uri = pgtest_uri();
    const struct core_options opt = { .column_save_ms = 1000000,
                                      .head_age_ms = 1,
                                      .head_bytes = 1 };
    struct core *s[SERVERS + 1];
    struct slot_run r[5];

    s[0] = server_open(uri, &opt);
    s[1] = server_open(uri, &opt);
    slots_new(s[0], &r[0], 0);
    slots_flush(s[0], "metrics.rare > 1 AND metrics.loss >= 0");
    for (int i = 1; i < 4; i++) {
        slots_new(s[0], &r[i], i);
    }
    slots_purge(s[1], &r[2]);
    slots_flush(s[1], "metrics.loss >= 0");             /* 0 1 3 */
    slots_flush(s[0], "attributes.status = 'RUNNING'"); /* would be 0 1 - 3 */
    slots_new(s[1], &r[4], 4);
    slots_flush(s[1], "attributes.run_name LIKE 'run%'"); /* 0 1 3 4: as many, of other runs */
    for (int i = 0; i < SERVERS; i++) {
        slots_search(s[i], "metrics.rare > 1 AND metrics.loss >= 0");
        slots_search(s[i], "metrics.rare > 97.5");
    }
    s[2] = server_open(uri, &opt);
    slots_search(s[2], "metrics.rare > 1 AND metrics.loss >= 0");
    slots_search(s[2], "metrics.rare > 97.5");
    /* What another one purges goes from the columns too when the run is not in memory. */
    slots_purge(s[1], &r[3]);
    for (int i = 0; i <= SERVERS; i++) {
        slots_search(s[i], "metrics.rare > 1 AND metrics.loss >= 0");
        model_check_rows(s[i]);
        core_close(s[i]);
    }
}

/* ---- writers on both --------------------------------------------------------------------------------------------------------- */

enum { WRITERS = 4, PER_WRITER = 150, POINTS = 3 };

struct world {
    struct core *s[SERVERS];
    struct str run;
    _Atomic int left, refused, wrong;
    struct exec_event *done;
};
struct writer {
    struct exec_job job;
    struct world *w;
    int n;
};

static enum status points_of(struct core *core, struct str run, int64_t *n, struct err *err)
{
    struct arena *a = arena_new(64 << 20);
    struct run_view r;
    struct view v;
    enum status st = seq_read_begin(core->seq, err);

    *n = 0;
    if (!st) {
        core_view(core, a, &v);
        st = run_get(&v, run, &r, err);
        for (size_t i = 0; !st && i < r.metrics_n; i++) {
            *n += r.metrics[i].n;
        }
        seq_read_end(core->seq);
    }
    arena_free(a);
    return st;
}

/* Writes at one server; every fifth operation fails by itself, in the middle of its group. */
static void writer_run(struct exec_job *job, unsigned worker)
{
    struct writer *me = CONTAINER_OF(job, struct writer, job);
    struct world *w = me->w;
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;

    (void)worker;
    for (int i = 0; i < PER_WRITER; i++) {
        struct key_value bad = { S("fixed"), S("other") };
        struct run_log l;
        char key[16];
        enum status st;

        arena_reset(a);
        snprintf(key, sizeof(key), "k%d", me->n);
        run_log_init(&l, w->s[me->n % SERVERS], a);
        l.run_id = w->run;
        if (run_points_begin(&l.points, a, &err)) atomic_fetch_add(&w->wrong, 1);
        for (int k = 0; k < POINTS; k++) {
            if (run_points_add(&l.points, str_cstr(key), i, i * POINTS + k, i, &err))
                atomic_fetch_add(&w->wrong, 1);
        }
        if (i % 5 == 4) {
            l.params = &bad;
            l.params_n = 1;
        }
        st = seq_run(w->s[me->n % SERVERS]->seq, &l.op, &err);
        if (i % 5 == 4) {
            if (st != ST_INVALID) atomic_fetch_add(&w->wrong, 1);
        } else if (st == ST_UNAVAILABLE) { /* nothing of it is stored: again */
            atomic_fetch_add(&w->refused, 1);
            i--;
        } else if (st) {
            atomic_fetch_add(&w->wrong, 1);
        }
    }
    arena_free(a);
    if (atomic_fetch_sub(&w->left, 1) == 1) exec_event_set(w->done);
}

TEST_LIMIT(writers_on_both_beside_a_long_transaction, 120)
{
    const char *uri = pgtest_uri();
    struct core_options opt = { .drain_bytes = 20000, .head_age_ms = 1 };
    struct key_value fixed = { S("fixed"), S("value") };
    struct arena *a = arena_new(16 << 20);
    struct writer writers[WRITERS];
    struct world w = { .left = WRITERS };
    struct exec_pool *pool = NULL;
    struct err err = ERR_INIT;
    struct sql_options other = { .location = uri, .shared = true, .schema = SQL_SCHEMA_IGNORE };
    struct sql_db *db;
    struct sql_conn *old;
    struct run_create c;
    struct run_log l;

    w.s[0] = server_open(uri, &opt);
    w.s[1] = server_open(uri, &opt);
    know_each_other(w.s, 1);
    T_ST_ERR(sql_open(&db, &other, &err), OK, &err);
    old = sqltest_connect(db, SQL_READER);
    T_ST_ERR(sql_read_begin(old, &err), OK, &err); /* holds the oldest snapshot back to the end */
    (void)sqltest_int(old, "SELECT count(*) FROM batch");
    run_create_init(&c, w.s[0], a);
    T_ST_ERR(seq_run(w.s[0]->seq, &c.op, &err), OK, &err);
    w.run = c.run_id;
    run_log_init(&l, w.s[1], a);
    l.run_id = w.run;
    l.params = &fixed;
    l.params_n = 1;
    T_ST_ERR(seq_run(w.s[1]->seq, &l.op, &err), OK, &err);
    w.done = exec_event_new();
    T_ST_ERR(exec_pool_new(&pool, "writer", WRITERS, 100, &err), OK, &err);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){ .job.run = writer_run, .w = &w, .n = i };
        T_ST(exec_pool_submit(pool, &writers[i].job), OK);
    }
    T_OK(exec_event_wait(w.done, 100000));
    exec_pool_free(pool);
    exec_event_free(w.done);
    T_INT(atomic_load(&w.wrong), 0);
    T_INT(atomic_load(&w.refused), 0);
    for (int i = 0; i < SERVERS; i++) {
        int64_t n;

        T_ST_ERR(points_of(w.s[i], w.run, &n, &err), OK, &err);
        T_INT(n, WRITERS * PER_WRITER / 5 * 4 * POINTS);
    }
    sql_read_end(old);
    sql_disconnect(old);
    sql_close_db(db);
    model_check_rows(w.s[0]);
    core_close(w.s[0]);
    core_close(w.s[1]);
    arena_free(a);
}

/* ---- what a drain elsewhere leaves ------------------------------------------------------------------------------------------- */

static void log_points(struct core *core, struct str run, int n)
{
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct run_log l;

    run_log_init(&l, core, a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, a, &err), OK);
    for (int i = 0; i < n; i++) {
        T_ST(run_points_add(&l.points, S("k"), i, i, i, &err), OK);
    }
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    arena_free(a);
}

static void expect_points(struct core *core, struct str run, int64_t want)
{
    struct err err = ERR_INIT;
    int64_t n;

    T_ST_ERR(points_of(core, run, &n, &err), OK, &err);
    T_INT(n, want);
}

/* A head that is not in memory is read from a row that has more or less in it than what was played so far. */
TEST(heads_that_another_server_drained)
{
    const char *uri = pgtest_uri();
    struct core_options opt = { .drain_bytes = 20000, .drain_age_ms = 3600000, .beat_ms = 300 };
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct core *s[SERVERS];
    struct run_create c, other;
    struct seq_stats before, after;

    s[0] = server_open(uri, &opt);
    opt.head_bytes = 1; /* the second keeps only what it must */
    s[1] = server_open(uri, &opt);
    know_each_other(s, 1);
    run_create_init(&c, s[0], a);
    T_ST_ERR(seq_run(s[0]->seq, &c.op, &err), OK, &err);
    run_create_init(&other, s[0], a);
    T_ST_ERR(seq_run(s[0]->seq, &other.op, &err), OK, &err);
    for (int i = 1; i <= 5; i++) {
        /* everything is in rows, and out of the second server's memory */
        T_ST_ERR(seq_drain(s[0]->seq, &err), OK, &err);
        expect_points(s[1], c.run_id, (i - 1) * 1110);
        log_points(s[1], other.run_id, 1);
        /* rows that it plays after the row of the head has taken them in */
        log_points(s[0], c.run_id, 10);
        T_ST_ERR(seq_drain(s[0]->seq, &err), OK, &err);
        expect_points(s[1], c.run_id, (i - 1) * 1110 + 10);
        /* a drain that packs points and leaves the row of the head as it is */
        log_points(s[1], other.run_id, 1);
        seq_stats(s[0]->seq, &before);
        log_points(s[0], c.run_id, 1000);
        log_points(s[0], other.run_id, 1);
        for (int k = 0; k < 2000; k++) {
            struct timespec t = { 0, 1000000 };

            seq_stats(s[0]->seq, &after);
            if (after.drains > before.drains) break;
            nanosleep(&t, NULL);
        }
        T_OK(after.drains > before.drains);
        log_points(s[1], other.run_id, 1);
        expect_points(s[1], c.run_id, (i - 1) * 1110 + 1010);
        log_points(s[1], c.run_id, 100);
        expect_points(s[0], c.run_id, i * 1110);
    }
    model_check_rows(s[0]);
    core_close(s[0]);
    expect_points(s[1], c.run_id, 5 * 1110);
    core_close(s[1]);
    arena_free(a);
}

/* ---- who may share ----------------------------------------------------------------------------------------------------------- */

TEST(a_command_and_servers_keep_out_of_each_others_way)
{
    const char *uri = pgtest_uri();
    struct core_options none = { 0 };
    struct sql_options alone = { .location = uri }, shared = { .location = uri, .shared = true };
    struct core *s = server_open(uri, &none);
    struct err err = ERR_INIT;
    struct sql_db *db, *other;

    T_ST(sql_open(&db, &alone, &err), ST_CONFLICT);
    core_close(s);
    T_ST_ERR(sql_open(&db, &alone, &err), OK, &err);
    T_ST(sql_open(&other, &shared, &err), ST_CONFLICT);
    sql_close_db(db);
    T_ST_ERR(sql_open(&db, &shared, &err), OK, &err);
    T_ST_ERR(sql_open(&other, &shared, &err), OK, &err);
    sql_close_db(other);
    sql_close_db(db);
}

/* ---- param conflicts, names, runs of the other server --------------------------------------------------------------------------- */

TEST(what_one_server_wrote_binds_the_other)
{
    const char *uri = pgtest_uri();
    struct core_options none = { 0 };
    struct key_value one = { S("lr"), S("1") }, two = { S("lr"), S("2") };
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct experiment_create x;
    struct experiment_lifecycle gone;
    struct core *s[SERVERS];
    struct run_create c;
    struct run_log l;

    s[0] = server_open(uri, &none);
    s[1] = server_open(uri, &none);
    know_each_other(s, 1);
    experiment_create_init(&x, s[0], a);
    x.name = S("same");
    T_ST_ERR(seq_run(s[0]->seq, &x.op, &err), OK, &err);
    run_create_init(&c, s[1], a);
    c.experiment = x.id;
    T_ST_ERR(seq_run(s[1]->seq, &c.op, &err), OK, &err);
    run_log_init(&l, s[0], a);
    l.run_id = c.run_id;
    l.params = &one;
    l.params_n = 1;
    T_ST_ERR(seq_run(s[0]->seq, &l.op, &err), OK, &err);
    l.params = &two;
    T_ST(seq_run(s[1]->seq, &l.op, &err), ST_INVALID);
    l.params = &one;
    T_ST_ERR(seq_run(s[1]->seq, &l.op, &err), OK, &err);
    experiment_lifecycle_init(&gone, s[0], a);
    gone.id = x.id;
    gone.to = LIFECYCLE_DELETED;
    T_ST_ERR(seq_run(s[0]->seq, &gone.op, &err), OK, &err);
    T_ST(seq_run(s[1]->seq, &l.op, &err), ST_INVALID);
    run_create_init(&c, s[1], a);
    c.experiment = x.id;
    T_ST(seq_run(s[1]->seq, &c.op, &err), ST_INVALID);
    experiment_create_init(&x, s[1], a);
    x.name = S("same");
    T_ST(seq_run(s[1]->seq, &x.op, &err), ST_EXISTS);
    core_close(s[1]);
    core_close(s[0]);
    arena_free(a);
}

/* The server that reads without looking is told: nothing else makes it look within this test. */
TEST(a_ring_brings_the_news)
{
    const char *uri = pgtest_uri();
    struct core_options told = {
        .stale_ok = true, .stale_poll_ms = 1000000, .lease_ms = 1000000, .beat_ms = 300000
    };
    struct core_options often = { .lease_ms = 1000000, .beat_ms = 20 };
    struct timespec t = { 0, 1000000 };
    struct seq_stats st = { 0 }, before;
    struct core *s[SERVERS];
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    struct run_create c;

    s[0] = server_open(uri, &often);
    s[1] = server_open(uri, &told);
    for (int k = 0; k < 30000 && (!st.bell_up || st.others == 0);
         k++) { /* each knows of the other, the bell has a session */
        struct seq_stats mine;

        nanosleep(&t, NULL);
        seq_stats(s[1]->seq, &st);
        seq_stats(s[0]->seq, &mine);
        st.others = mine.others;
    }
    T_OK(st.bell_up && st.others == 1);
    for (int i = 0; i < 5; i++) {
        seq_stats(s[1]->seq, &before);
        run_create_init(&c, s[0], a);
        T_ST_ERR(seq_run(s[0]->seq, &c.op, &err), OK, &err);
        for (int k = 0; k < 30000; k++) {
            seq_stats(s[1]->seq, &st);
            if (st.foreign > before.foreign) break;
            nanosleep(&t, NULL);
        }
        T_OK(st.foreign > before.foreign);
    }
    seq_stats(s[0]->seq, &st);
    T_OK(st.rings > 0);
    core_close(s[0]);
    core_close(s[1]);
    arena_free(a);
}
