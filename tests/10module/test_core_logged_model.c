/* Logged models through the store, on both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/mem.h"

static struct logged_model_change *change(struct corefix *f, struct str id)
{
    struct logged_model_change *c = ARENA_NEW(f->a, struct logged_model_change);

    T_OK(c != NULL);
    logged_model_change_init(c, f->core, f->a);
    c->model_id = id;
    return c;
}

static struct logged_model get(struct corefix *f, struct str id)
{
    struct logged_model m;

    T_ST_ERR(logged_model_get(&f->v, id, true, &m, &f->err), OK, &f->err);
    return m;
}

static void check_pairs(const struct key_value *got, size_t n, const char *want)
{
    struct buf b = BUF_INIT(4096);

    for (size_t i = 0; i < n; i++) {
        buf_printf(&b, "%.*s=%.*s;", STR_ARG(got[i].key), STR_ARG(got[i].value));
    }
    T_STR_EQ(buf_str(&b), str_cstr(want));
    buf_release(&b);
}

SQL_TEST(create_shows_what_is_stored)
{
    struct key_value params[] = { { S("z"), S("1") }, { S("a"), S("") } };
    struct key_value tags[] = {
        { S("t"), S("1") }, { S("s"), S("x") }, { S("t"), S("2") }, { S("t"), S("3") }
    };
    struct logged_model_create c;
    struct logged_model m;
    struct corefix f;

    corefix_open(&f, location, NULL);
    logged_model_create_init(&c, f.core, f.a);
    c.name = S("net");
    c.model_type = S("");
    c.params = params;
    c.params_n = 2;
    c.tags = tags;
    c.tags_n = 4;
    T_ST_ERR(corefix_run(&f, &c.op), OK, &f.err);
    for (int i = 0; i < 3; i++) {
        m = i ? get(&f, c.model.model_id) : c.model;
        T_STR(m.name, "net");
        T_INT(m.model_id.n, 34);
        T_OK(m.model_type.p && m.model_type.n == 0);
        T_OK(m.source_run_id.p == NULL);
        T_INT(m.status, LOGGED_MODEL_PENDING);
        check_pairs(m.params, m.params_n, "a=;z=1;");
        check_pairs(m.tags, m.tags_n, "s=x;t=3;"); /* of a key given twice the last counts */
        T_STR_EQ(m.artifact_uri, arena_printf(f.a, "mlflow-artifacts:/0/models/%.*s/artifacts",
                                              STR_ARG(m.model_id)));
        if (i == 1) corefix_reopen(&f);
    }
    params[1].key = S("z");
    logged_model_create_init(&c, f.core, f.a);
    c.name = S("net");
    c.params = params;
    c.params_n = 2;
    T_ST(corefix_run(&f, &c.op), ST_INVALID);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM logged_model"), 1);
    c.params_n = 0;
    c.name = (struct str){ NULL, 0 };
    c.experiment = 5;
    T_ST(corefix_run(&f, &c.op), ST_NOT_FOUND);
    c.experiment = 0;
    T_ST_ERR(corefix_run(&f, &c.op), OK, &f.err);
    T_OK(c.model.name.n > 0); /* drawn */
    corefix_close(&f);
}

/* Many tags do not cost the writer time in their square. */
TEST(many_tags)
{
    enum { MANY = 20000 };
    struct logged_model_create c;
    struct corefix f;
    int64_t began;

    corefix_open(&f, t_tmpdir(), NULL);
    logged_model_create_init(&c, f.core, f.a);
    c.name = S("net");
    c.tags = ARENA_ARRAY(f.a, struct key_value, MANY);
    c.tags_n = MANY;
    for (size_t i = 0; i < MANY; i++) {
        c.tags[i] = (struct key_value){ arena_printf(f.a, "%zu", i * 7919 % (MANY / 2)),
                                        arena_printf(f.a, "%zu", i) };
    }
    began = clock_mono_ms();
    T_ST_ERR(corefix_run(&f, &c.op), OK, &f.err);
    t_note("%d tags: %lld ms", MANY, (long long)(clock_mono_ms() - began));
    T_INT(c.model.tags_n, MANY / 2);
    corefix_close(&f);
}

SQL_TEST(life_cycle)
{
    struct key_value items[] = { { S("k"), S("1") }, { S("l"), S("2") } };
    struct logged_model_change *x;
    struct logged_model m;
    struct corefix f;
    struct str id;

    corefix_open(&f, location, NULL);
    id = corefix_model(&f, 0, "net").model_id;
    x = change(&f, id);
    x->what = MODEL_SET_TAGS;
    x->items = items;
    x->items_n = 2;
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    items[0].value = S("9");
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    x->what = MODEL_LOG_PARAMS;
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    T_ST(corefix_run(&f, &x->op), ST_INVALID);
    T_CSTR(f.err.field, "params");
    x->what = MODEL_DELETE_TAG;
    x->key = S("l");
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    T_ST(corefix_run(&f, &x->op), ST_NOT_FOUND);
    x->what = MODEL_FINALIZE;
    x->status = LOGGED_MODEL_READY;
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    m = get(&f, id);
    check_pairs(m.tags, m.tags_n, "k=9;");
    check_pairs(m.params, m.params_n, "k=9;l=2;");
    T_INT(m.status, LOGGED_MODEL_READY);
    x->what = MODEL_DELETE;
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    T_ST_ERR(corefix_run(&f, &x->op), OK, &f.err);
    T_ST(logged_model_get(&f.v, id, false, &m, &f.err), ST_NOT_FOUND);
    T_INT(get(&f, id).lifecycle, LIFECYCLE_DELETED);
    x->what = MODEL_SET_TAGS;
    T_ST(corefix_run(&f, &x->op), ST_NOT_FOUND);
    x = change(&f, S("m-1"));
    x->what = MODEL_DELETE;
    T_ST(corefix_run(&f, &x->op), ST_NOT_FOUND);
    T_CSTR(f.err.message, "Logged model with ID 'm-1' not found.");
    corefix_close(&f);
}

static void log_metric(struct corefix *f, struct str run, struct str model, const char *key,
                       double value, int64_t step, const char *dataset)
{
    struct str name = dataset ? str_cstr(dataset) : (struct str){ NULL, 0 }, none = { NULL, 0 };
    struct run_log l;
    struct model_points *m;

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    T_ST(run_points_add(&l.points, str_cstr(key), value, 100 + step, step, &f->err), OK);
    m = run_log_model(&l, model, name, dataset ? S("d1") : none, &f->err);
    T_OK(m != NULL);
    T_ST(run_points_add(&m->points, str_cstr(key), value, 100 + step, step, &f->err), OK);
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

SQL_TEST(metrics_belong_to_model_run_and_dataset)
{
    struct logged_model m;
    struct corefix f;
    struct str run, id;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    id = corefix_model(&f, 0, "net").model_id;
    log_metric(&f, run, id, "loss", 2, 0, NULL);
    log_metric(&f, run, id, "loss", 1, 1, NULL);
    log_metric(&f, run, id, "loss", 3, 1, "iris");
    log_metric(&f, run, id, "acc", 0.5, 1, "iris");
    for (int i = 0; i < 3; i++) {
        m = get(&f, id);
        T_INT(m.metrics_n, 4);
        T_STR(m.metrics[0].key, "acc");
        T_STR(m.metrics[0].dataset_name, "iris");
        T_STR(m.metrics[0].dataset_digest, "d1");
        T_STR_EQ(m.metrics[0].run_id, run);
        T_DBL_BITS(m.metrics[1].point.value, 2.0);
        T_OK(m.metrics[1].dataset_name.p == NULL);
        if (i == 0) T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
        if (i == 1) corefix_reopen(&f);
    }
    corefix_close(&f);
}

SQL_TEST(search)
{
    enum { MODELS = 30 };
    struct logged_model_search q = { .experiments_n = 1 };
    struct order_field by_loss[] = { { S_INIT("metrics.loss"), true, { NULL, 0 }, { NULL, 0 } } };
    struct key_value iris[] = { { S_INIT("iris"), { NULL, 0 } } };
    struct logged_model *found;
    struct logged_model_change *del;
    struct corefix f;
    struct str run, ids[MODELS];
    int64_t exp = 0;
    size_t n, total = 0;
    double last = -1;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    for (int i = 0; i < MODELS; i++) {
        ids[i] = corefix_model(&f, 0, arena_printf(f.a, "net%02d", i).p).model_id;
        log_metric(&f, run, ids[i], "loss", i * 7 % MODELS, 0, i % 3 ? NULL : "iris");
    }
    q.experiments = &exp;
    q.order_by = by_loss;
    q.order_by_n = 1;
    q.page.max = 7;
    do {
        T_ST_ERR(logged_model_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
        for (size_t i = 0; i < n; i++) {
            T_INT(found[i].metrics_n, 1);
            T_OK(found[i].metrics[0].point.value > last);
            last = found[i].metrics[0].point.value;
        }
        total += n;
    } while (q.page.token.p);
    T_INT(total, MODELS);
    q.page = (struct page){ 100, { NULL, 0 } };
    q.filter = S("metrics.loss >= 10 AND name LIKE 'net%'");
    T_ST_ERR(logged_model_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
    T_INT(n, 20);
    q.datasets = iris;
    q.datasets_n = 1;
    q.filter = S("");
    q.page.token = (struct str){ NULL, 0 };
    T_ST_ERR(logged_model_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
    T_INT(n, 10);
    del = change(&f, ids[0]);
    del->what = MODEL_DELETE;
    T_ST_ERR(corefix_run(&f, &del->op), OK, &f.err);
    q.page.token = (struct str){ NULL, 0 };
    T_ST_ERR(logged_model_search(&f.v, &q, &found, &n, &q.page.token, &f.err), OK, &f.err);
    T_INT(n, 9);
    corefix_close(&f);
}

/* What a search of many models takes does not grow with them. */
TEST(search_in_flat_memory)
{
    struct key_value tag = { S_INIT("text"), { NULL, 0 } };
    struct logged_model_search q = { .experiments_n = 1, .page = { 5, { NULL, 0 } } };
    struct logged_model *found;
    struct arena *a = arena_new(400 << 10);
    struct corefix f;
    struct view v;
    struct str token;
    char *big;
    int64_t exp = 0;
    size_t n;

    corefix_open(&f, t_tmpdir(), NULL);
    big = arena_zalloc(f.a, 1, 8000);
    memset(big, 'x', 8000);
    tag.value = str_of(big, 8000);
    for (int i = 0; i < 200; i++) {
        struct logged_model_create c;

        logged_model_create_init(&c, f.core, f.a);
        c.name = S("net");
        c.tags = &tag;
        c.tags_n = 1;
        T_ST_ERR(corefix_run(&f, &c.op), OK, &f.err);
    }
    v = f.v;
    v.arena = a; /* 400 KiB for 1.6 MB of models */
    q.experiments = &exp;
    T_ST_ERR(logged_model_search(&v, &q, &found, &n, &token, &f.err), OK, &f.err);
    T_INT(n, 5);
    T_INT(found[4].tags[0].value.n, 8000);
    arena_free(a);
    corefix_close(&f);
}

TEST(out_of_memory)
{
    struct key_value pairs[] = { { S("a"), S("1") }, { S("b"), S("2") } };
    struct corefix f;
    int64_t made = 0;

    corefix_open(&f, t_tmpdir(), NULL);
    for (int n = 1;; n++) {
        struct logged_model_create c;
        struct arena *a = arena_new(1 << 24);
        struct view v = f.v;
        struct logged_model m;
        enum status st;
        bool reached;

        logged_model_create_init(&c, f.core, a);
        c.name = S("net");
        c.params = c.tags = pairs;
        c.params_n = c.tags_n = 2;
        mem_fail_after(n, true);
        st = corefix_run(&f, &c.op);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        made += st == OK;
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM logged_model"), made);
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM prop"), made * 4);
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM ident WHERE scheme = 3"), made);
        v.arena = a;
        for (int k = 1; !st && k < 30; k++) {
            mem_fail_after(k, true);
            st = logged_model_get(&v, c.model.model_id, false, &m, &f.err);
            mem_fail_never();
            T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
            if (!st) {
                check_pairs(m.params, m.params_n, "a=1;b=2;");
                check_pairs(m.tags, m.tags_n, "a=1;b=2;");
            }
            st = OK;
        }
        arena_free(a);
        if (!reached) break;
    }
    corefix_close(&f);
}
