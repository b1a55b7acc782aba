/* Runs through the real store: what is written is read back, in memory, from rows, and after a new start. */
#include "runmodel.h"
#include "sqltest.h"
#include "tap.h"

#include "core/check.h"
#include "core/core_open.h"
#include "core/run.h"

#include <math.h>
#include <stdlib.h>

static const char *store_dir;
static size_t chunk_points; /* 0: drawn */
static int64_t keep_deleted_ms;

static struct core *store_open(int64_t head_bytes)
{
    struct core_options opt = { .sql = { .location = store_dir },
                                .artifact_root = S("/art"),
                                .readers = 1 };
    struct err err = ERR_INIT;
    struct core *core = NULL;

    opt.head_bytes = (size_t)head_bytes;
    opt.compact.chunk_points = chunk_points ? chunk_points : 1 + t_rand_below(20);
    opt.keep_deleted_ms = keep_deleted_ms;
    opt.purge_rows = (int64_t)t_rand_below(4);
    opt.compact.packs = 1 + t_rand_below(4);
    T_ST_ERR(core_open(&core, &opt, &err), OK, &err);
    return core;
}

static struct str new_run(struct core *core, struct arena *a, const char *name)
{
    struct run_create c;
    struct key_value tag = { S("team"), S("red") };
    struct err err = ERR_INIT;

    run_create_init(&c, core, a);
    c.start_ms = 5;
    c.user_id = S("ann");
    c.name = str_cstr(name);
    c.tags = &tag;
    c.tags_n = 1;
    T_ST_ERR(seq_run(core->seq, &c.op, &err), OK, &err);
    return arena_str(a, c.run_id);
}

static void log_one(struct core *core, struct arena *a, struct str run, const char *key, double v,
                    int64_t ts, int64_t step)
{
    struct run_log l;
    struct err err = ERR_INIT;

    run_log_init(&l, core, a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, a, &err), OK);
    T_ST(run_points_add(&l.points, str_cstr(key), v, ts, step, &err), OK);
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
}

static enum status log_pairs(struct core *core, struct arena *a, struct str run,
                             struct key_value *params, size_t params_n, struct key_value *tags,
                             size_t tags_n, struct err *err)
{
    struct run_log l;

    run_log_init(&l, core, a);
    l.run_id = run;
    l.params = params;
    l.params_n = params_n;
    l.tags = tags;
    l.tags_n = tags_n;
    return seq_run(core->seq, &l.op, err);
}

static void check_run(struct core *core, struct arena *a, struct str run)
{
    struct err err = ERR_INIT;
    struct run_view r;
    struct view v;
    struct point *p;
    size_t n;
    bool more;

    core_view(core, a, &v);
    T_ST_ERR(run_get(&v, run, &r, &err), OK, &err);
    T_STR(r.name, "second");
    T_STR(r.user_id, "ann");
    T_INT(r.metrics_n, 2);
    T_STR(r.metrics[0].key, "acc");
    T_STR(r.metrics[1].key, "loss");
    T_DBL_BITS(r.metrics[1].value, 0.25);
    T_DBL_BITS(r.metrics[1].min, 0.25);
    T_DBL_BITS(r.metrics[1].max, 1.5);
    T_INT(r.metrics[1].max_step, 0);
    T_INT(r.metrics[1].n, 3);
    T_INT(r.params_n, 1);
    T_STR(r.params[0].value, "0.1");
    T_INT(r.tags_n, 3);
    T_STR(*run_view_tag(&r, S("mlflow.runName")), "second");
    T_STR(*run_view_tag(&r, S("note")), "b");
    T_ST_ERR(run_metric_history(&v, run, S("loss"), NULL, 10, &p, &n, &more, &err), OK, &err);
    T_INT(n, 2);
    T_OK(!more);
    T_DBL_BITS(p[0].value, 1.5);
    T_INT(p[1].step, 1);
    T_ST(run_metric_history(&v, run, S("none"), NULL, 10, &p, &n, &more, &err), OK);
    T_INT(n, 0);
}

SQL_TEST(write_read_restart)
{
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct key_value p1[] = { { S("lr"), S("0.1") } }, p2[] = { { S("lr"), S("0.2") } };
    struct key_value tags[] = { { S("note"), S("a") },
                                { S("note"), S("b") },
                                { S("mlflow.runName"), S("second") } };
    struct core *core;
    struct str run;

    store_dir = location;
    core = store_open(0);
    run = new_run(core, a, "first");
    log_one(core, a, run, "loss", 1.5, 100, 0);
    log_one(core, a, run, "loss", 0.25, 200, 1);
    log_one(core, a, run, "loss", 0.25, 200, 1);
    log_one(core, a, run, "acc", (double)NAN, 200, 1);
    T_ST_ERR(log_pairs(core, a, run, p1, 1, tags, 3, &err), OK, &err);
    T_ST_ERR(log_pairs(core, a, run, p1, 1, NULL, 0, &err), OK, &err);
    T_ST(log_pairs(core, a, run, p2, 1, NULL, 0, &err), ST_INVALID);
    T_OK(strstr(err.message, "was already logged with value='0.1'") != NULL);
    check_run(core, a, run);
    T_ST_ERR(seq_drain(core->seq, &err), OK, &err);
    check_run(core, a, run);
    core_close(core);
    core = store_open(1); /* nothing stays in memory */
    check_run(core, a, run);
    T_ST_ERR(log_pairs(core, a, run, NULL, 0, tags + 1, 1, &err), OK, &err);
    check_run(core, a, run);
    core_close(core);
    arena_free(a);
}

SQL_TEST(deleted_runs)
{
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct key_value p[] = { { S("lr"), S("0.1") } };
    struct run_lifecycle l;
    struct run_tag_delete t;
    struct core *core;
    struct str run;

    store_dir = location;
    core = store_open(0);
    run = new_run(core, a, "x");
    run_tag_delete_init(&t, core, a);
    t.run_id = run;
    t.key = S("team");
    T_ST_ERR(seq_run(core->seq, &t.op, &err), OK, &err);
    T_ST(seq_run(core->seq, &t.op, &err), ST_NOT_FOUND);
    run_lifecycle_init(&l, core, a);
    l.run_id = run;
    l.to = LIFECYCLE_DELETED;
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    T_ST(log_pairs(core, a, run, p, 1, NULL, 0, &err), ST_INVALID);
    l.to = LIFECYCLE_ACTIVE;
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    T_ST_ERR(log_pairs(core, a, run, p, 1, NULL, 0, &err), OK, &err);
    l.run_id = S("nobody");
    T_ST(seq_run(core->seq, &l.op, &err), ST_NOT_FOUND);
    T_CSTR(err.message, "Run with id=nobody not found");
    core_close(core);
    arena_free(a);
}

/* A run that was deleted longer ago than such runs are kept goes for good; one that is not deleted stays. */
SQL_TEST(deleted_runs_are_kept_for_a_time)
{
    struct arena *a = arena_new(64 << 20);
    struct exec_event *never = exec_event_new();
    struct err err = ERR_INIT;
    struct run_lifecycle l;
    struct core *core;
    struct run_view r;
    struct view v;
    struct str gone, kept;
    enum status st = OK;

    store_dir = location;
    core = store_open(0);
    gone = new_run(core, a, "x");
    kept = new_run(core, a, "y");
    log_one(core, a, gone, "loss", 1.5, 100, 0);
    run_lifecycle_init(&l, core, a);
    l.run_id = gone;
    l.to = LIFECYCLE_DELETED;
    T_ST_ERR(seq_run(core->seq, &l.op, &err), OK, &err);
    core_close(core);
    (void)exec_event_wait(never, 3); /* longer than it is kept */
    keep_deleted_ms = 1;
    core = store_open(0);
    core_view(core, a, &v);
    while (st == OK) {
        st = run_get(&v, gone, &r, &err);
        (void)exec_event_wait(never, 1);
    }
    T_ST(st, ST_NOT_FOUND);
    T_ST_ERR(run_get(&v, kept, &r, &err), OK, &err);
    model_check_rows(core);
    core_close(core);
    exec_event_free(never);
    arena_free(a);
}

static uint64_t draw(void *ctx)
{
    (void)ctx;
    return t_rand();
}

/* Random operations in groups of any size; drains, clean restarts and crashes in between. */
SQL_TEST_LIMIT(random_operations, 240)
{
    int rounds = sqltest_is_postgres(location) ? 25 : 60;
    struct model *m = model_new(draw, NULL);
    struct err err = ERR_INIT;
    struct core *core;

    store_dir = location;
    core = store_open(0);
    T_ST_ERR(model_setup(m, core, &err), OK, &err);
    for (int i = 0; i < rounds; i++) {
        model_round(m, core, 1 + t_rand_below(30));
        switch (t_rand_below(8)) {
        case 0: T_ST_ERR(seq_drain(core->seq, &err), OK, &err); break;
        case 3:
            T_ST_ERR(seq_drain(core->seq, &err), OK, &err);
            compact_all(core->compact);
            if (t_rand_below(2)) T_OK(compact_wait(core->compact, -1));
            break;
        case 1:
            core_close(core);
            core = store_open((int64_t)t_rand_below(2));
            break;
        case 2:
            core_abandon(core);
            core = store_open((int64_t)t_rand_below(2));
            break;
        default: break;
        }
        if (t_rand_below(4) == 0) {
            model_check_rows(core);
            model_check(m, core);
        }
    }
    model_check(m, core);
    core_close(core);
    core = store_open(0);
    model_check(m, core);
    model_check_rows(core);
    core_close(core);
    model_free(m);
}

static void collect(void *ctx, enum check_rule rule, struct str what)
{
    (void)what;
    ((int *)ctx)[rule]++;
}

/* Damages rows in the way that each rule is there for, and expects that rule to speak. */
SQL_TEST(check_finds_damage)
{
    static const struct {
        enum check_rule rule;
        const char *sql;
    } cases[] = {
        { CHECK_PACK_DRAIN, "UPDATE part SET drain = 0, folded = 0" },
        { CHECK_PART, "UPDATE part SET folded = 1000" },
        { CHECK_HEAD, "UPDATE runhead SET exp = 77" },
        { CHECK_RUN_EXPERIMENT, "UPDATE runhead SET exp = 77" },
        { CHECK_HEAD_PACKS, "DELETE FROM pack" },
        { CHECK_HEAD_FOLDED, "UPDATE runhead SET ver = 0" },
        { CHECK_PACK, "UPDATE pack SET n = n + 1" },
        { CHECK_PACK_OWNER, "UPDATE pack SET owner = 999999" },
        { CHECK_CHUNK, "UPDATE chunk SET vmax = 77" },
        { CHECK_CHUNK, "UPDATE chunk SET n = 1000000000000" },
        { CHECK_CHUNK, "UPDATE chunk_body SET body = (SELECT body FROM runhead)" },
        { CHECK_CHUNK, "DELETE FROM chunk_body" },
        { CHECK_CHUNK, "DELETE FROM chunk" },
        { CHECK_HEAD_PACKS, "DELETE FROM chunk" },
        { CHECK_CHUNK_OWNER, "UPDATE chunk SET owner = 999999" },
        { CHECK_HEAD, "DELETE FROM mkey" },
        { CHECK_RUN_NODE, "DELETE FROM node WHERE type_id = 2" },
        { CHECK_IDENT, "DELETE FROM node WHERE type_id = 2" },
        { CHECK_RUN_IDENT, "DELETE FROM ident" },
        { CHECK_RUN_NODE, "DELETE FROM runhead" },
        { CHECK_EXPERIMENT_NODE, "DELETE FROM node WHERE type_id = 1" },
        { CHECK_COUNTER, "DELETE FROM counter" },
        { CHECK_EDGE, "INSERT INTO edge (src, dst, role, ms) VALUES (5, 99999, 3, 0)" },
        { CHECK_EDGE_LOG, "INSERT INTO edge (src, dst, role, ms) VALUES (1, 1, 3, 0)" },
        { CHECK_EDGE, "INSERT INTO member (ctx, node, role) VALUES (99999, 1, 1)" },
        { CHECK_ARTIFACT,
          "INSERT INTO artifact (root, dir, name, kind, size, mtime_ms) VALUES (9, '', 'x', 2, 0, 0)" },
    };
    struct arena *a = arena_new(64 << 20);
    struct err err = ERR_INIT;
    struct sql_db *db;
    struct sql_conn *w;
    struct core *core;
    struct str run;

    store_dir = location;
    chunk_points = 2;
    core = store_open(0);
    run = new_run(core, a, "x");
    for (int64_t i = 0; i < 3; i++) {
        log_one(core, a, run, "loss", 1.5 + (double)i, 100 + i, i);
    }
    T_ST_ERR(seq_drain(core->seq, &err), OK, &err);
    compact_all(core->compact);
    T_OK(compact_wait(core->compact, -1));
    core_close(core);
    db = sqltest_open(location);
    w = sqltest_connect(db, SQL_WRITER);
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        int seen[CHECK_RULES_N] = { 0 };
        size_t n;

        T_ST_ERR(core_check(w, collect, seen, &n, &err), OK, &err);
        T_INT(n, 0);
        T_ST_ERR(sql_begin(w, &err), OK, &err);
        T_ST_ERR(sql_script(w, cases[i].sql, &err), OK, &err);
        T_ST_ERR(core_check(w, collect, seen, &n, &err), OK, &err);
        sql_rollback(w);
        if (seen[cases[i].rule] == 0)
            T_FAIL("%s is not found after: %s", check_rule_name(cases[i].rule), cases[i].sql);
    }
    sql_disconnect(w);
    sql_close_db(db);
    arena_free(a);
}
