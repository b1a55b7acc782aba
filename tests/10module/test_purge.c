/* Deleting logged models and experiments for good: all of it goes, also when the process dies in the middle, and what stays says what was
 * there. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "core/check.h"
#include "core/purge.h"
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
