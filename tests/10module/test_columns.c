/* Searches in columns over many runs: segments, what is stored and loaded again, memory that is too small, writers beside searchers. */
#include "corefix.h"
#include "searchcheck.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/check_memory.h"
#include "core/columns.h"
#include "core/experiment.h"
#include "core/run_purge.h"
#include "store/mkeys.h"
#include "store/runcols/runcols.h"

#include <stdatomic.h>

enum { RUNS = 4500, TOGETHER = 60 }; /* more than one segment */

static struct write_op *create_op(struct corefix *f, int64_t experiment, int i)
{
    struct run_create *c = ARENA_NEW(f->a, struct run_create);

    T_OK(c != NULL);
    run_create_init(c, f->core, f->a);
    c->experiment = experiment;
    c->start_ms = 1000 + i / 3; /* some are equal */
    c->user_id = i % 7 ? S("ann") : S("bob");
    c->name = arena_printf(f->a, "run %d", i);
    return &c->op;
}

static struct write_op *log_op(struct corefix *f, struct str run, int i)
{
    struct run_log *l = ARENA_NEW(f->a, struct run_log);
    struct key_value *kv = ARENA_ARRAY(f->a, struct key_value, 2);

    T_OK(l && kv);
    run_log_init(l, f->core, f->a);
    l->run_id = run;
    T_ST(run_points_begin(&l->points, f->a, &f->err), OK);
    T_ST(run_points_add(&l->points, S("loss"), (double)(i * 37 % 1000) / 1000, 1, i, &f->err), OK);
    if (i % 50 == 0) T_ST(run_points_add(&l->points, S("rare"), i, 1, i, &f->err), OK);
    kv[0] = (struct key_value){ S("model"), arena_printf(f->a, "x%d", i % 10) };
    kv[1] = (struct key_value){ S("note"), arena_printf(f->a, "n%d", i) };
    l->tags = kv;
    l->tags_n = i % 3 ? 2 : 1;
    return &l->op;
}

/* Runs with values; their ids are kept outside of f->a. */
static char (*make_runs(struct corefix *f, int64_t experiment, int n))[33]
{
    char(*ids)[33] = (char(*)[33])mem_zalloc((size_t)n, sizeof(*ids));
    struct write_op *ops[TOGETHER];

    T_OK(ids != NULL);
    for (int from = 0; from < n; from += TOGETHER) {
        size_t k = (size_t)MIN_OF(n - from, TOGETHER);

        for (size_t i = 0; i < k; i++) {
            ops[i] = create_op(f, experiment, from + (int)i);
        }
        corefix_together(f, ops, k);
        for (size_t i = 0; i < k; i++) {
            struct str id = WRITE_OP_OF(ops[i], struct run_create)->run_id;

            memcpy(ids[from + (int)i], id.p, 32);
            ops[i] = log_op(f, str_of(ids[from + (int)i], 32), from + (int)i);
        }
        corefix_together(f, ops, k);
        corefix_fresh(f);
    }
    return ids;
}

static struct runcols_stats stats_of(struct corefix *f)
{
    struct runcols_stats s;

    runcols_stats(f->core->columns, &s);
    return s;
}

static void compare(struct corefix *f, int64_t experiment, const char *filter, const char *order)
{
    struct str by = str_cstr(order);
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = str_cstr(filter),
                             .order_by = &by,
                             .order_by_n = 1 };

    search_compare(f->core, &in, RUNS);
}

static void set_lifecycle(struct corefix *f, int64_t experiment, enum lifecycle to)
{
    struct experiment_lifecycle x;

    experiment_lifecycle_init(&x, f->core, f->a);
    x.id = experiment;
    x.to = to;
    T_ST_ERR(corefix_run(f, &x.op), OK, &f->err);
}

static void flush(struct corefix *f)
{
    T_ST_ERR(columns_flush(f->core, &f->err), OK, &f->err);
}

SQL_TEST_LIMIT(columns_live_through_it_all, 120)
{
    struct core_options opt = { .head_bytes = 1 << 20, .column_save_ms = 1000000 };
    struct corefix f;
    int64_t all[1] = { 0 };
    char(*ids)[33];
    struct run_lifecycle gone;

    corefix_open_with(&f, location, &opt);
    ids = make_runs(&f, 0, RUNS);
    compare(&f, 0, "metrics.loss < 0.1 and tags.model = 'x3'", "metrics.loss DESC");
    compare(&f, 0, "metrics.rare > 100", "start_time ASC");
    search_check(f.core, all, 1, 1, 6);
    flush(&f);

    corefix_reopen(&f); /* now loaded, not built */
    compare(&f, 0, "metrics.loss < 0.1 and tags.model = 'x3'", "metrics.loss DESC");
    T_OK(stats_of(&f).loads >= 3);
    T_UINT(stats_of(&f).builds, 0);

    /* More changes than the buffer of touched runs holds, in both segments. */
    for (int i = 0; i < RUNS; i += 11) {
        T_ST_ERR(corefix_run(&f, log_op(&f, str_of(ids[i], 32), i + 500)), OK, &f.err);
        corefix_fresh(&f);
    }
    compare(&f, 0, "metrics.loss < 0.1 and tags.model = 'x3'", "metrics.loss DESC");
    T_OK(stats_of(&f).lost > 0);
    T_OK(stats_of(&f).folds > 0);

    /* All runs change at once, some change after that; stored in between and not. */
    set_lifecycle(&f, 0, LIFECYCLE_DELETED);
    search_check(f.core, all, 1, 2, 3);
    flush(&f);
    set_lifecycle(&f, 0, LIFECYCLE_ACTIVE);
    run_lifecycle_init(&gone, f.core, f.a);
    gone.run_id = str_of(ids[4444], 32);
    gone.to = LIFECYCLE_DELETED;
    T_ST_ERR(corefix_run(&f, &gone.op), OK, &f.err);
    corefix_reopen(&f);
    search_check(f.core, all, 1, 3, 6);
    flush(&f);
    for (int i = 0; i < RUNS; i += 450) { /* gone for good, behind what is stored */
        struct run_purge p;

        run_purge_init(&p, f.core, f.a);
        p.run_id = str_of(ids[i], 32);
        T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    }
    compare(&f, 0, "start_time > 0", "start_time ASC");
    corefix_crash(&f);
    compare(&f, 0, "start_time > 0", "start_time ASC");
    flush(&f);
    corefix_reopen(&f);
    compare(&f, 0, "start_time > 0", "start_time ASC");
    search_check(f.core, all, 1, 4, 6);
    corefix_close(&f);
    mem_free(ids);
}

SQL_TEST_LIMIT(little_memory, 60)
{
    enum { EXPERIMENTS = 4 };
    struct core_options opt = { .column_bytes = 1, .column_save_ms = 1000000 };
    int64_t all[EXPERIMENTS] = { 0 };
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    for (int i = 0; i < EXPERIMENTS; i++) {
        char name[16] = { 'e', (char)('0' + i), 0 };

        if (i > 0) all[i] = corefix_experiment(&f, name);
        mem_free(make_runs(&f, all[i], 70));
    }
    search_check(f.core, all, EXPERIMENTS, 5, 40);
    T_OK(stats_of(&f).evictions > 40);
    T_UINT(stats_of(&f).bytes, 0);
    corefix_close(&f);
}

static void found_wrong(void *ctx, enum check_rule rule, struct str what)
{
    (void)ctx;
    t_note("%s: %.*s", check_rule_name(rule), STR_ARG(what));
}

/* How many slots of an experiment have a tag. */
static int64_t slots_with_tag(struct corefix *f, int64_t experiment, struct str tag)
{
    struct column_key keys[2] = { { COLUMN_ATTR, COLUMN_UID }, { COLUMN_TAG, 0 } };
    struct runcols_query q;
    int64_t n;

    T_ST_ERR(mkeys_find(f->core->mkeys, f->v.conn, tag, &keys[1].id, &f->err), OK, &f->err);
    T_ST_ERR(runcols_begin(f->core->columns, f->v.conn, f->a, experiment, keys, 2, &q, &f->err), OK,
             &f->err);
    T_UINT(q.table.segments_n, 1);
    T_UINT(q.table.rows[0], 3);
    T_INT(column_table_cell(&q.table, 0, 0)->zone.present_n, 2);
    n = column_table_cell(&q.table, 0, 1)->zone.present_n;
    runcols_end(&q);
    return n;
}

/* When columns are loaded, the slot of a run that has gone gets a number that lies before its own: here that of a run of another
 * experiment, which has nothing to do with it. */
SQL_TEST(the_slot_of_a_run_that_has_gone)
{
    struct core_options opt = { .column_save_ms = 1000000 };
    struct run_purge p;
    struct str runs[4];
    struct corefix f;
    int64_t other;
    size_t found = 0;

    corefix_open_with(&f, location, &opt);
    other = corefix_experiment(&f, "other");
    for (int i = 0; i < 4; i++) {
        runs[i] = corefix_new_run(&f, i == 1 ? other : 0);
        T_ST_ERR(corefix_run(&f, log_op(&f, runs[i], 3 * i + 1)), OK, &f.err);
    }
    compare(&f, 0, "attributes.status = 'RUNNING'", "start_time ASC");
    flush(&f);
    run_purge_init(&p, f.core, f.a);
    p.run_id = runs[2];
    T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    corefix_reopen(&f);
    compare(&f, 0, "attributes.status = 'RUNNING'", "start_time ASC"); /* its slot is emptied */
    flush(&f);
    corefix_reopen(&f);                         /* and loaded as that */
    T_INT(slots_with_tag(&f, 0, S("note")), 2); /* built from the runs */
    compare(&f, 0, "tags.note LIKE 'n%'", "metrics.loss ASC");
    compare(&f, other, "tags.note LIKE 'n%'", "metrics.loss ASC");
    T_ST_ERR(core_check_memory(&f.v, found_wrong, NULL, &found, &f.err), OK, &f.err);
    T_UINT(found, 0);
    corefix_close(&f);
}

/* ---- storing that is cut short --------------------------------------------------------------------------------------------------- */

struct save_op {
    struct write_op op;
    struct runcols_save piece;
};

static enum status save_validate(struct write_op *op, struct group *g, struct err *err)
{
    return runcols_save_write(group_conn(g), &WRITE_OP_OF(op, struct save_op)->piece, err);
}

static const struct write_kind save_kind = { .name = "test.save",
                                             .validate = save_validate,
                                             .sql = true };

/* Stores the next piece; how many slots it has. */
static uint32_t store_piece(struct corefix *f, struct column_key of)
{
    struct save_op s;

    write_op_init(&s.op, &save_kind, f->a);
    T_ST_ERR(runcols_save_next(f->core->columns, f->v.conn, f->a, 1 << 20, &s.piece, &f->err), OK,
             &f->err);
    T_OK(s.piece.e && s.piece.cells_n == 1);
    T_OK(s.piece.key.kind == of.kind && s.piece.key.id == of.id);
    T_ST_ERR(corefix_run(f, &s.op), OK, &f->err);
    runcols_saved(f->core->columns, &s.piece, OK);
    return s.piece.cells[0].zone.rows;
}

static void want_columns(struct corefix *f, const struct column_key *keys, size_t n)
{
    struct runcols_query q;

    T_ST_ERR(runcols_begin(f->core->columns, f->v.conn, f->a, 0, keys, n, &q, &f->err), OK,
             &f->err);
    runcols_end(&q);
}

/* Runs came while columns were stored, the process died before their slots were, and one of them was deleted for good: the others
 * then get other slots than the stored column of the tag gave them. */
SQL_TEST(slots_that_were_not_stored)
{
    struct column_key keys[2] = { { COLUMN_ATTR, COLUMN_UID }, { COLUMN_TAG, 0 } };
    struct core_options opt = { .column_save_ms = 1000000, .drain_age_ms = 1000000000 };
    struct run_purge p;
    struct str runs[4];
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    for (int i = 0; i < 3; i++) {
        runs[i] = corefix_new_run(&f, 0);
        T_ST_ERR(corefix_run(&f, log_op(&f, runs[i], 3 * i + 1)), OK, &f.err);
        if (i > 0) continue;
        T_ST_ERR(mkeys_find(f.core->mkeys, f.v.conn, S("note"), &keys[1].id, &f.err), OK, &f.err);
        want_columns(&f, keys, 2);
        T_UINT(store_piece(&f, keys[0]), 1);
    }
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    T_UINT(store_piece(&f, keys[1]), 3);
    run_purge_init(&p, f.core, f.a);
    p.run_id = runs[1];
    T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    runs[3] = corefix_new_run(&f, 0);
    T_ST_ERR(corefix_run(&f, log_op(&f, runs[3], 10)), OK, &f.err);
    corefix_crash(&f);
    want_columns(&f, keys, 1); /* three slots again */
    compare(&f, 0, "tags.note = 'n4'", "start_time ASC");
    compare(&f, 0, "tags.note = 'n7'", "start_time ASC");
    compare(&f, 0, "tags.note = 'n10'", "start_time ASC");
    corefix_close(&f);
}

/* ---- writers beside searchers ------------------------------------------------------------------------------------------------- */

enum { SEARCHERS = 3, WRITES = 300 };

struct searcher_job {
    struct read_job job;
    struct corefix *f;
    struct exec_event *done;
    _Atomic int *least; /* of every run: what has been acknowledged */
    _Atomic bool *stop;
    int64_t experiment;
    int bad, searches;
};

/* Every run that is found by "loss >= what was acknowledged when the search began". */
static void search_on(struct read_job *job, struct view *v)
{
    struct searcher_job *s = CONTAINER_OF(job, struct searcher_job, job);
    struct err err = ERR_INIT;

    while (!atomic_load(s->stop)) {
        struct run_search in = { .experiments = &s->experiment,
                                 .n = 1,
                                 .view_type = VIEW_ACTIVE_ONLY,
                                 .page = { .max = 100 },
                                 .count = true };
        struct run_found found;
        int least = atomic_load(s->least);

        arena_reset(job->arena);
        in.filter = arena_printf(job->arena, "metrics.step >= %d", least);
        if (run_find(v, &in, &found, &err) || (least > 0 && found.total < TOGETHER)) s->bad++;
        s->searches++;
    }
    exec_event_set(s->done);
}

static struct write_op *step_op(struct corefix *f, const char *id, int step)
{
    struct run_log *l = ARENA_NEW(f->a, struct run_log);

    T_OK(l != NULL);
    run_log_init(l, f->core, f->a);
    l->run_id = str_of(id, 32);
    T_ST(run_points_begin(&l->points, f->a, &f->err), OK);
    T_ST(run_points_add(&l->points, S("step"), step, 1, step, &f->err), OK);
    return &l->op;
}

SQL_TEST_LIMIT(searches_see_what_was_answered, 120)
{
    struct core_options opt = { .readers = SEARCHERS + 1, .column_save_ms = 1, .drain_age_ms = 20 };
    struct searcher_job jobs[SEARCHERS];
    _Atomic int least = 0;
    _Atomic bool stop = false;
    struct write_op *ops[TOGETHER];
    struct corefix f;
    char(*ids)[33];

    corefix_open_with(&f, location, &opt);
    ids = make_runs(&f, 0, TOGETHER);
    for (int i = 0; i < SEARCHERS; i++) {
        jobs[i] =
            (struct searcher_job){ .f = &f,
                                   .done = exec_event_new(),
                                   .least = &least,
                                   .stop = &stop,
                                   .job = { .run = search_on, .arena = arena_new(64 << 20) } };
        T_ST(core_read_submit(f.core, &jobs[i].job), OK);
    }
    for (int step = 1; step <= WRITES; step++) {
        for (size_t i = 0; i < TOGETHER; i++) {
            ops[i] = step_op(&f, ids[i], step);
        }
        corefix_together(&f, ops, TOGETHER);
        atomic_store(&least, step);
        corefix_fresh(&f);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < SEARCHERS; i++) {
        T_OK(exec_event_wait(jobs[i].done, 60000));
        exec_event_free(jobs[i].done);
        arena_free(jobs[i].job.arena);
        T_INT(jobs[i].bad, 0);
        T_OK(jobs[i].searches > 0);
    }
    corefix_close(&f);
    mem_free(ids);
}
