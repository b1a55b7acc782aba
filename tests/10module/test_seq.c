/* The sequencer's caps and what it takes back: a failed operation leaves nothing in its group, full queues and full tails answer
 * "unavailable" with a time to wait, and go on afterwards. */
#include "tap.h"

#include "base/exec.h"
#include "base/failpoint.h"
#include "core/core_open.h"
#include "core/run.h"
#include "gen/sql/queries.h"

#include <stdio.h>

static struct core *store_open(const struct core_options *more)
{
    struct core_options opt = *more;
    struct err err = ERR_INIT;
    struct core *core = NULL;

    opt.sql.location = t_tmpdir();
    opt.artifact_root = S("/a");
    opt.readers = 1;
    T_ST_ERR(core_open(&core, &opt, &err), OK, &err);
    return core;
}

static struct str new_run(struct core *core, struct arena *a)
{
    struct run_create c;
    struct err err = ERR_INIT;

    run_create_init(&c, core, a);
    T_ST_ERR(seq_run(core->seq, &c.op, &err), OK, &err);
    return c.run_id;
}

static struct run_log *log_op(struct core *core, struct arena *a, struct str run, const char *key,
                              size_t n)
{
    struct run_log *l = ARENA_NEW(a, struct run_log);
    struct err err = ERR_INIT;

    run_log_init(l, core, a);
    l->run_id = run;
    T_ST(run_points_begin(&l->points, a, &err), OK);
    for (size_t i = 0; i < n; i++) {
        T_ST(run_points_add(&l->points, str_cstr(key), (double)i, (int64_t)i, (int64_t)i, &err),
             OK);
    }
    return l;
}

static void answered(struct write_op *op)
{
    ++*(int *)op->user;
}

TEST(a_full_queue_refuses)
{
    struct core_options opt = { .wait_ops = 5, .wait_bytes = 1000 };
    struct arena *a = arena_new(16 << 20);
    struct core *core;
    struct str run;
    int n = 0, refused = 0;

    exec_sim_begin(1);
    core = store_open(&opt);
    run = new_run(core, a);
    for (int i = 0; i < 8; i++) {
        struct write_op *op = &log_op(core, a, run, "k", 1)->op;

        op->user = &n;
        op->done = answered;
        if (seq_submit(core->seq, op)) {
            T_INT(op->st, ST_UNAVAILABLE);
            T_OK(op->err.retry_after_s > 0);
            refused++;
        }
    }
    T_INT(refused, 3);
    while (exec_sim_step()) {
    }
    T_INT(n, 5);
    for (int i = 0; i < 3;
         i++) { /* a single operation may be larger than the cap, others not beside it */
        struct write_op *op = &log_op(core, a, run, "k", 1)->op;

        op->user = &n;
        op->done = answered;
        op->bytes = i == 1 ? 900 : 2000;
        T_INT(seq_submit(core->seq, op), i == 0 ? OK : ST_UNAVAILABLE);
    }
    while (exec_sim_step()) {
    }
    T_INT(n, 6);
    core_close(core);
    exec_sim_end();
    arena_free(a);
}

TEST(full_tails_refuse_until_a_drain_works)
{
    struct core_options opt = { .tail_bytes = 64 << 10 };
    struct arena *a = arena_new(64 << 20);
    struct core *core = store_open(&opt);
    struct str run = new_run(core, a);
    struct err err = ERR_INIT;
    size_t stored = 0, n;
    struct point *p;
    struct view v;
    bool more;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    failpoint_arm("seq.drain.commit_fails=error");
    for (int i = 0; i < 100; i++) {
        enum status st = seq_run(core->seq, &log_op(core, a, run, "k", 100)->op, &err);

        if (st) {
            T_ST(st, ST_UNAVAILABLE);
            T_OK(err.retry_after_s > 0);
            break;
        }
        stored = 100;
    }
    T_OK(err.code == ST_UNAVAILABLE);
    failpoint_arm(NULL);
    T_ST_ERR(seq_drain(core->seq, &err), OK, &err);
    T_ST_ERR(seq_run(core->seq, &log_op(core, a, run, "k", 120)->op, &err), OK, &err);
    core_view(core, a, &v);
    T_ST_ERR(run_metric_history(&v, run, S("k"), NULL, 1000, &p, &n, &more, &err), OK, &err);
    T_INT(n, 120);
    T_OK(stored == 100);
    core_close(core);
    arena_free(a);
}

struct refused_op {
    struct write_op op;
    struct run_points points;
};

static enum status refused_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct refused_op *r = WRITE_OP_OF(op, struct refused_op);
    int64_t id;

    T_ST(group_owner_points(g, 77, &r->points, err), OK);
    T_ST(group_counter(g, S("test"), &id, err), OK);
    return err_set(err, ST_INVALID, "refused on purpose");
}

/* The savepoint of a failed operation takes its keys, points and counters with it; its neighbours stay. */
TEST(a_failed_operation_leaves_nothing)
{
    static const struct write_kind kind = { .name = "test.refused",
                                            .validate = refused_validate,
                                            .sql = true };
    struct core_options opt = { 0 };
    struct arena *a = arena_new(16 << 20);
    struct refused_op refused = { .op = { .kind = &kind, .arena = a } };
    struct q_mkey_by_name_row key;
    struct write_op *ops[3];
    struct err err = ERR_INIT;
    struct core *core;
    struct str run;
    struct view v;
    int n = 0;

    exec_sim_begin(2);
    core = store_open(&opt);
    run = new_run(core, a);
    T_ST(run_points_begin(&refused.points, a, &err), OK);
    T_ST(run_points_add(&refused.points, S("only here"), 1, 1, 1, &err), OK);
    ops[0] = &log_op(core, a, run, "before", 1)->op;
    ops[1] = &refused.op;
    ops[2] = &log_op(core, a, run, "after", 1)->op;
    for (int i = 0; i < 3; i++) {
        ops[i]->user = &n;
        ops[i]->done = answered;
        T_ST(seq_submit(core->seq, ops[i]), OK);
    }
    while (exec_sim_step()) {
    }
    T_INT(n, 3);
    T_ST(ops[0]->st, OK);
    T_ST(ops[1]->st, ST_INVALID);
    T_ST(ops[2]->st, OK);
    core_view(core, a, &v);
    T_ST(q_mkey_by_name(v.conn, NULL, S("only here"), &key, &err), ST_NOT_FOUND);
    T_ST(q_mkey_by_name(v.conn, NULL, S("after"), &key, &err), OK);
    T_INT(key.id, 3); /* mlflow.runName, before, after */
    T_ST(seq_run(core->seq, &log_op(core, a, run, "only here", 1)->op, &err), OK);
    T_ST(q_mkey_by_name(v.conn, NULL, S("only here"), &key, &err), OK);
    T_INT(key.id, 4);
    core_close(core);
    exec_sim_end();
    arena_free(a);
}
