/* Inputs and outputs of runs through the store, on both engines: nodes and edges, once each. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/dataset.h"

static struct key_value train[] = { { S_INIT("mlflow.data.context"), S_INIT("train") },
                                    { S_INIT("k"), S_INIT("v") } };
static struct key_value test_tag[] = { { S_INIT("mlflow.data.context"), S_INIT("test") } };

static struct dataset_input input(const char *name, const char *digest)
{
    return (struct dataset_input){ .name = str_cstr(name),
                                   .digest = str_cstr(digest),
                                   .source_type = S("local"),
                                   .source = S("{\"uri\": \"x\"}"),
                                   .schema = S("{}"),
                                   .tags = train,
                                   .tags_n = 2 };
}

static struct run_links *links(struct corefix *f, struct str run)
{
    struct run_links *l = ARENA_NEW(f->a, struct run_links);

    T_OK(l != NULL);
    run_links_init(l, f->core, f->a);
    l->run_id = run;
    return l;
}

static enum status log_datasets(struct corefix *f, struct str run, struct dataset_input *d,
                                size_t n)
{
    struct run_links *l = links(f, run);

    l->datasets = d;
    l->datasets_n = n;
    return corefix_run(f, &l->op);
}

static int64_t uid_of(struct corefix *f, struct str run)
{
    struct run_view r;

    T_ST_ERR(run_get(&f->v, run, &r, &f->err), OK, &f->err);
    return r.uid;
}

static int64_t count(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

SQL_TEST(inputs_once_each)
{
    struct dataset_input d[3], *got;
    struct corefix f;
    struct str run, other;
    size_t n;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    other = corefix_new_run(&f, 0);
    d[0] = input("iris", "abc");
    d[1] = input("iris", "abd");
    d[1].schema = (struct str){ NULL, 0 };
    d[1].profile = S("{\"rows\": 1}");
    d[2] = d[0]; /* the same again in one request, with other tags */
    d[2].tags = test_tag;
    d[2].tags_n = 1;
    T_ST_ERR(log_datasets(&f, run, d, 3), OK, &f.err);
    T_ST_ERR(log_datasets(&f, run, d, 3), OK, &f.err);
    T_ST_ERR(log_datasets(&f, other, d + 2, 1), OK, &f.err);
    T_INT(count(&f, "SELECT count(*) FROM node WHERE type_id = 3"), 2);
    T_INT(count(&f, "SELECT count(*) FROM edge WHERE role = 3"), 3);
    T_INT(count(&f, "SELECT count(*) FROM edge_log"), 3);
    T_INT(count(&f,
                "SELECT count(*) FROM member m JOIN node n ON n.uid = m.node WHERE n.type_id = 3"),
          2);
    for (int i = 0; i < 2; i++) {
        T_ST_ERR(dataset_inputs_of_run(&f.v, uid_of(&f, run), &got, &n, &f.err), OK, &f.err);
        T_INT(n, 2);
        T_STR(got[0].name, "iris");
        T_STR(got[0].digest, "abc");
        T_STR(got[0].schema, "{}");
        T_OK(got[0].profile.p == NULL);
        T_STR(got[0].context, "train"); /* the first tags stay */
        T_INT(got[0].tags_n, 2);
        T_OK(got[1].schema.p == NULL);
        T_STR(got[1].profile, "{\"rows\": 1}");
        T_ST_ERR(dataset_inputs_of_run(&f.v, uid_of(&f, other), &got, &n, &f.err), OK, &f.err);
        T_INT(n, 1);
        T_STR(got[0].context, "test");
        corefix_reopen(&f);
    }
    corefix_close(&f);
}

/* Experiments do not share datasets; names and digests do not run into each other. */
SQL_TEST(identity_is_experiment_name_digest)
{
    struct dataset_input d[2];
    struct dataset_summary *s;
    struct corefix f;
    int64_t ids[2];
    size_t n;

    corefix_open(&f, location, NULL);
    ids[0] = 0;
    ids[1] = corefix_experiment(&f, "x");
    d[0] = input("a", "bc");
    d[1] = input("ab", "c");
    T_ST_ERR(log_datasets(&f, corefix_new_run(&f, ids[0]), d, 2), OK, &f.err);
    T_ST_ERR(log_datasets(&f, corefix_new_run(&f, ids[1]), d, 1), OK, &f.err);
    d[0].tags = test_tag;
    d[0].tags_n = 1;
    T_ST_ERR(log_datasets(&f, corefix_new_run(&f, ids[1]), d, 1), OK, &f.err);
    T_INT(count(&f, "SELECT count(*) FROM node WHERE type_id = 3"), 3);
    T_ST_ERR(dataset_summaries(&f.v, ids, 2, 100, &s, &n, &f.err), OK, &f.err);
    T_INT(n, 4);
    T_STR(s[0].name, "a");
    T_STR(s[1].name, "ab");
    T_INT(s[2].experiment, ids[1]);
    T_STR(s[2].context, "test");
    T_STR(s[3].context, "train");
    T_ST_ERR(dataset_summaries(&f.v, ids, 2, 3, &s, &n, &f.err), OK, &f.err);
    T_INT(n, 3);
    corefix_close(&f);
}

SQL_TEST(models_as_inputs_and_outputs)
{
    struct corefix f;
    struct logged_model m;
    struct model_output out[1], *outs;
    struct str run, ids[2], *got;
    struct run_links *l;
    size_t n;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    m = corefix_model(&f, 0, "net");
    ids[0] = ids[1] = m.model_id;
    out[0] = (struct model_output){ m.model_id, -3 };
    l = links(&f, run);
    l->model_inputs = ids;
    l->model_inputs_n = 2;
    l->model_outputs = out;
    l->model_outputs_n = 1;
    T_ST_ERR(corefix_run(&f, &l->op), OK, &f.err);
    out[0].step = 9; /* logged again: the step is the newer one */
    T_ST_ERR(corefix_run(&f, &l->op), OK, &f.err);
    T_ST_ERR(model_inputs_of_run(&f.v, uid_of(&f, run), SIZE_MAX, &got, &n, &f.err), OK, &f.err);
    T_INT(n, 1);
    T_STR_EQ(got[0], m.model_id);
    T_ST_ERR(model_outputs_of_run(&f.v, uid_of(&f, run), SIZE_MAX, &outs, &n, &f.err), OK, &f.err);
    T_INT(n, 1);
    T_INT(outs[0].step, 9);
    corefix_close(&f);
}

/* All or nothing: one bad part, and no part is stored. */
SQL_TEST(all_or_nothing)
{
    struct dataset_input d[2];
    struct experiment_lifecycle del;
    struct corefix f;
    struct str run, model = S("m-0");
    struct run_links *l;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    d[0] = d[1] = input("a", "b");
    d[1].digest = S("a\0b");
    d[1].name = S("other");
    T_ST(log_datasets(&f, run, d, 2), ST_INVALID); /* no engine holds a NUL */
    T_INT(count(&f, "SELECT count(*) FROM node WHERE type_id = 3"), 0);
    l = links(&f, run);
    l->datasets = d;
    l->datasets_n = 1;
    l->model_inputs = &model;
    l->model_inputs_n = 1;
    T_ST(corefix_run(&f, &l->op), ST_NOT_FOUND);
    T_CSTR(f.err.message, "Logged model with ID 'm-0' not found.");
    T_INT(count(&f, "SELECT count(*) FROM node WHERE type_id = 3"), 0);
    T_INT(count(&f, "SELECT count(*) FROM edge"), 0);
    T_ST(log_datasets(&f, S("nobody"), d, 1), ST_NOT_FOUND);
    experiment_lifecycle_init(&del, f.core, f.a);
    del.to = LIFECYCLE_DELETED;
    T_ST_ERR(corefix_run(&f, &del.op), OK, &f.err);
    T_ST(log_datasets(&f, run, d, 1), ST_INVALID);
    corefix_close(&f);
}

TEST(out_of_memory)
{
    struct corefix f;
    struct str run;
    int64_t logged = 0, uid;

    corefix_open(&f, t_tmpdir(), NULL);
    run = corefix_new_run(&f, 0);
    uid = uid_of(&f, run);
    for (int n = 1;; n++) {
        struct dataset_input d = input(arena_printf(f.a, "d%d", n).p, "x"), *got = NULL;
        struct arena *a = arena_new(1 << 24);
        struct view v = f.v;
        size_t got_n = 0;
        enum status st;
        bool reached;

        mem_fail_after(n, true);
        st = log_datasets(&f, run, &d, 1);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        logged += st == OK;
        T_INT(count(&f, "SELECT count(*) FROM edge"), logged);
        T_INT(count(&f, "SELECT count(*) FROM edge_tag"), logged * 2);
        v.arena = a;
        mem_fail_after(n, true);
        st = dataset_inputs_of_run(&v, uid, &got, &got_n, &f.err);
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        if (!st) T_INT(got_n, logged);
        for (size_t i = 0; i < got_n; i++) {
            T_OK(got[i].name.n > 0 && got[i].tags_n == 2 && got[i].source.n > 0);
            T_STR(got[i].context, "train");
        }
        arena_free(a);
        if (!reached) break;
    }
    corefix_close(&f);
}
