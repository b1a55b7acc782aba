/* Deleting logged models and experiments for good: all of it goes, also when the process dies in the middle, and what stays says what was
 * there. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "core/check.h"
#include "core/purge.h"
#include "core/retention.h"
#include "store/seq.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t count(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

static void found(void *ctx, enum check_rule rule, struct str what)
{
    (void)ctx;
    t_note("%s: %.*s", check_rule_name(rule), STR_ARG(what));
}

static void is_sound(struct corefix *f)
{
    size_t n = 0;

    T_ST_ERR(core_check(f->v.conn, found, NULL, &n, &f->err), OK, &f->err);
    T_INT(n, 0);
}

/* Until the worker has nothing left to do. */
static void settle(struct corefix *f)
{
    struct exec_event *never = exec_event_new();
    int64_t left = 1;

    for (int i = 0; left && i < 60000; i++) {
        left = count(
            f, "SELECT (SELECT count(*) FROM purge) + (SELECT count(*) FROM purge_experiment)");
        if (left) (void)exec_event_wait(never, 1);
    }
    T_INT(left, 0);
    exec_event_free(never);
}

/* A model with a file, a tag and points of a run. */
static struct str new_model(struct corefix *f, int64_t experiment, struct str run)
{
    struct logged_model m = corefix_model(f, experiment, "net");
    struct key_value tag = { S("t"), S("v") };
    struct logged_model_change c;
    struct model_points *p;
    struct run_log l;

    logged_model_change_init(&c, f->core, f->a);
    c.model_id = m.model_id;
    c.what = MODEL_SET_TAGS;
    c.items = &tag;
    c.items_n = 1;
    T_ST_ERR(corefix_run(f, &c.op), OK, &f->err);
    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    p = run_log_model(&l, m.model_id, (struct str){ NULL, 0 }, (struct str){ NULL, 0 }, &f->err);
    T_OK(p != NULL);
    for (int i = 0; i < 50; i++) {
        T_ST(run_points_add(&p->points, S("auc"), i, i, i, &f->err), OK);
    }
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
    T_ST_ERR(
        corefix_put(f, str_sub(m.artifact_uri, sizeof("mlflow-artifacts:/") - 1, m.artifact_uri.n),
                    "w", 1),
        ST_INVALID, &f->err); /* the folder of its files is none */
    T_ST_ERR(
        corefix_put(f,
                    arena_printf(f->a, "%.*s/w.bin",
                                 STR_ARG(str_sub(m.artifact_uri, sizeof("mlflow-artifacts:/") - 1,
                                                 m.artifact_uri.n))),
                    "w", 1),
        OK, &f->err);
    return m.model_id;
}

static enum status purge_model(struct corefix *f, struct str id, int64_t deleted_before_ms)
{
    struct logged_model_purge *p = ARENA_NEW(f->a, struct logged_model_purge);

    logged_model_purge_init(p, f->core, f->a);
    p->model_id = id;
    p->who = S("me");
    p->deleted_before_ms = deleted_before_ms;
    return corefix_run(f, &p->op);
}

#define OF_MODELS                                                                                  \
    "SELECT (SELECT count(*) FROM logged_model) + (SELECT count(*) FROM model_series)"             \
    " + (SELECT count(*) FROM node WHERE type_id = 4) + (SELECT count(*) FROM prop)"               \
    " + (SELECT count(*) FROM ident WHERE scheme = 3) + (SELECT count(*) FROM artifact)"           \
    " + (SELECT count(*) FROM root) + (SELECT count(*) FROM pack)"

SQL_TEST(a_model_goes_whole)
{
    struct corefix f;
    struct logged_model m;
    struct str run, id;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    id = new_model(&f, 0, run);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    T_OK(count(&f, OF_MODELS) > 7);
    T_ST(purge_model(&f, id, 1), ST_INVALID_STATE); /* not in the trash */
    T_ST_ERR(purge_model(&f, id, 0), OK, &f.err);
    T_ST(purge_model(&f, id, 0), ST_NOT_FOUND);
    T_ST(logged_model_get(&f.v, id, true, &m, &f.err), ST_NOT_FOUND);
    settle(&f);
    T_INT(count(&f, OF_MODELS), 0);
    T_INT(count(&f, "SELECT count(*) FROM tombstone WHERE type_id = 4 AND ref IS NOT NULL AND"
                    " length(digest) = 64 AND experiment = 'Default' AND who = 'me'"),
          1);
    is_sound(&f);
    corefix_reopen(&f); /* the log speaks of its points still */
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    T_INT(count(&f, OF_MODELS), 0);
    is_sound(&f);
    corefix_close(&f);
}

static void killed(const char *location, const char *blobs, const char *point)
{
    struct corefix f;
    struct str run;
    char spec[64];
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        struct str id;

        corefix_open(&f, location, blobs);
        run = corefix_new_run(&f, 0);
        id = new_model(&f, 0, run);
        snprintf(spec, sizeof(spec), "%s=kill:1", point);
        failpoint_arm(spec);
        IGNORE_STATUS(purge_model(&f, id, 0));
        settle(&f);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) T_FAIL("%s is not passed", point);
    corefix_open(&f, location, blobs);
    settle(&f);
    is_sound(&f);
    while (count(&f, "SELECT count(*) FROM logged_model")) {
        struct logged_model_list q = { .max = 1, .before_ms = INT64_MAX, .before_uid = INT64_MAX };
        struct logged_model *list;
        size_t n;
        bool more;

        T_ST_ERR(logged_model_list(&f.v, &q, &list, &n, &more, &f.err), OK, &f.err);
        T_INT(n, 1);
        T_ST_ERR(purge_model(&f, list[0].model_id, 0), OK, &f.err);
    }
    settle(&f);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    T_INT(count(&f, OF_MODELS), 0);
    is_sound(&f);
    corefix_close(&f);
}

SQL_TEST(killed_while_a_model_goes)
{
    static const char *const points[] = { "core.purge.model", "core.purge.step" };
    const char *blobs = t_tmpdir();

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        killed(location, blobs, points[i]);
    }
}

SQL_TEST(an_experiment_goes_with_its_models)
{
    struct experiment_purge p;
    struct contents *c;
    struct corefix f;
    struct str run, kept;
    int64_t x, y;

    corefix_open(&f, location, NULL);
    x = corefix_experiment(&f, "x");
    y = corefix_experiment(&f, "y");
    kept = corefix_new_run(&f, y);
    for (int i = 0; i < 20; i++) {
        run = corefix_new_run(&f, x);
        T_OK(new_model(&f, x, run).n > 0);
    }
    c = ARENA_NEW(f.a, struct contents);
    T_ST_ERR(contents_of_experiment(&f.v, x, c, &f.err), OK, &f.err);
    T_INT(c->runs, 20);
    T_INT(c->logged_models, 20);
    T_INT(c->files, 20);
    T_INT(c->bytes, 20);
    experiment_purge_init(&p, f.core, f.a);
    p.id = x;
    T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    T_OK(corefix_experiment(&f, "x") > y); /* the name is free */
    settle(&f);
    T_ST(contents_of_experiment(&f.v, x, c, &f.err), ST_NOT_FOUND);
    T_INT(count(&f, OF_MODELS), 0);
    T_INT(count(&f, "SELECT count(*) FROM runhead"), 1);
    T_INT(count(&f, "SELECT count(*) FROM tombstone WHERE experiment = 'x'"), 41);
    T_ST_ERR(contents_of_run(&f.v, kept, c, &f.err), OK, &f.err);
    is_sound(&f);
    corefix_close(&f);
}

static void end_run(struct corefix *f, struct str run)
{
    struct run_update u;

    run_update_init(&u, f->core, f->a);
    u.run_id = run;
    run_update_status(&u, RUN_FINISHED);
    u.has_end = true;
    u.end_ms = 5;
    T_ST_ERR(corefix_run(f, &u.op), OK, &f->err);
}

static void set_rule(struct corefix *f, int64_t experiment, const struct retention *rule)
{
    struct retention_set s;

    retention_set_init(&s, f->core, f->a);
    s.experiment = experiment;
    s.off = !rule;
    if (rule) s.rule = *rule;
    T_ST_ERR(corefix_run(f, &s.op), OK, &f->err);
}

/* Rows follow the runs in memory: until so many do. */
static void rows_are(struct corefix *f, const char *sql, int64_t n)
{
    for (int i = 0; i < 60000 && count(f, sql) != n; i++) {
        T_ST_ERR(seq_drain(f->core->seq, &f->err), OK, &f->err);
    }
    T_INT(count(f, sql), n);
}

/* The worker obeys a rule at once when it is set, and only it. */
SQL_TEST(rules_are_obeyed)
{
    struct core_options opt = { .retention_every_ms = 3600000, .head_age_ms = 1 };
    struct retention rule = { .has_trash = true, .trash_after_ms = 1000, .keep_last = 1 };
    struct exec_event *never = exec_event_new();
    struct str old[3], newest, running;
    struct retention_item *items;
    struct corefix f;
    int64_t x, left = 3;
    size_t n;
    bool more;

    corefix_open_with(&f, location, &opt);
    x = corefix_experiment(&f, "x");
    running = corefix_new_run(&f, x);
    for (int i = 0; i < 3; i++) {
        old[i] = corefix_new_run(&f, x);
        end_run(&f, old[i]);
    }
    newest = corefix_new_run(&f, x);
    end_run(&f, newest);
    rows_are(&f, "SELECT count(*) FROM runhead WHERE status = 3", 4);
    T_ST_ERR(retention_plan(&f.v, x, &rule, false, 2, &items, &n, &more, &f.err), OK, &f.err);
    T_INT(n, 2);
    T_OK(more);
    set_rule(&f, x, &rule);
    for (int i = 0; left && i < 60000; i++) {
        struct run_view r;

        left = 0;
        for (int k = 0; k < 3; k++) {
            T_ST_ERR(run_get(&f.v, old[k], &r, &f.err), OK, &f.err);
            left += r.lifecycle == LIFECYCLE_ACTIVE;
        }
        if (left) (void)exec_event_wait(never, 1);
    }
    T_INT(left, 0);
    rows_are(&f, "SELECT count(*) FROM runhead WHERE lifecycle = 1", 3);
    rule = (struct retention){ .has_purge = true };
    while (clock_wall_ms() <= count(&f, "SELECT max(deleted_ms) FROM runhead")) {
    }
    set_rule(&f, x, &rule);
    for (int i = 0; i < 60000 && count(&f, "SELECT count(*) FROM runhead") > 2; i++) {
        (void)exec_event_wait(never, 1);
    }
    settle(&f);
    T_INT(count(&f, "SELECT count(*) FROM runhead"), 2);
    set_rule(&f, x, NULL);
    T_INT(count(&f, "SELECT count(*) FROM retention"), 0);
    T_INT(count(&f, "SELECT count(*) FROM retention_log"), 3);
    is_sound(&f);
    T_OK(running.n && newest.n);
    exec_event_free(never);
    corefix_close(&f);
}
