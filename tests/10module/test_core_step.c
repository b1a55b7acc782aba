/* Memory of steps through the store, on both engines: what is recorded survives a kill, lost bytes are noticed, what was taken out stays
 * out, also for those who look into contexts; of many keys the nearest is named. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/run.h"
#include "core/step.h"
#include "core/typed/typed.h"

static void key_of(struct corefix *f, double rate, const char *data, struct str *bytes,
                   struct digest *key)
{
    struct step_entry e[] = {
        { .section = STEP_NAME, .type = STEP_TEXT, .name = S(""), .s = S("train") },
        { .section = STEP_INPUT, .type = STEP_TEXT, .name = S("data"), .s = str_cstr(data) },
        { .section = STEP_PARAMETER, .type = STEP_DOUBLE, .name = S("rate"), .d = rate },
    };

    T_ST_ERR(step_key_make(f->a, e, ARRAY_N(e), bytes, key, &f->err), OK, &f->err);
}

static enum status record(struct corefix *f, const char *ns, double rate, const char *data,
                          struct str execution, struct step_output *o, size_t n)
{
    struct step_record *r = ARENA_NEW(f->a, struct step_record);

    T_OK(r != NULL);
    step_record_init(r, f->core, f->a);
    r->ns = str_cstr(ns);
    r->who = S("ann");
    r->step = S("train");
    key_of(f, rate, data, &r->bytes, &r->key);
    r->execution = execution;
    r->outputs = o;
    r->outputs_n = n;
    return corefix_run(f, &r->op);
}

static struct step_found find(struct corefix *f, const char *ns, double rate, const char *data)
{
    struct step_found out;
    struct str bytes;
    struct digest key;

    key_of(f, rate, data, &bytes, &key);
    T_ST_ERR(step_find(&f->v, str_cstr(ns), S("train"), bytes, &key, &out, &f->err), OK, &f->err);
    return out;
}

static enum status invalidate(struct corefix *f, const char *ns, bool all, double rate,
                              const char *data, int64_t *n)
{
    struct step_invalidate *x = ARENA_NEW(f->a, struct step_invalidate);
    struct str bytes;
    enum status st;

    T_OK(x != NULL);
    step_invalidate_init(x, f->core, f->a);
    x->ns = str_cstr(ns);
    x->who = S("bob");
    x->reason = S("bad labels");
    x->step = all ? S("train") : S("");
    x->has_key = !all;
    key_of(f, rate, data, &bytes, &x->key);
    st = corefix_run(f, &x->op);
    *n = x->n;
    return st;
}

static void status_of(struct corefix *f, struct str run, enum run_status status)
{
    struct run_update *u = ARENA_NEW(f->a, struct run_update);

    T_OK(u != NULL);
    run_update_init(u, f->core, f->a);
    u->run_id = run;
    run_update_status(u, status);
    T_ST_ERR(corefix_run(f, &u->op), OK, &f->err);
}

static struct str execution_of(struct corefix *f, struct str run)
{
    return arena_printf(f->a, "run:%.*s", STR_ARG(run));
}

SQL_TEST(runs)
{
    struct corefix f;
    struct str run;
    struct step_output bytes = { .name = S("weights"), .has_sha256 = true };
    struct step_found found;
    int64_t n;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, corefix_experiment(&f, "e"));
    T_OK(sha256_of("w", 1, &bytes.sha256));
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_UNKNOWN);
    T_ST(record(&f, "default", 0.1, "d", execution_of(&f, run), &bytes, 1), ST_NOT_FOUND);
    T_ST_ERR(corefix_put(&f, S("0/weights"), "w", 1), OK, &f.err);
    T_ST(record(&f, "default", 0.1, "d", S("run:none"), &bytes, 1), ST_NOT_FOUND);
    T_ST(record(&f, "default", 0.1, "d", S("model:none"), &bytes, 1), ST_INVALID);
    T_ST_ERR(record(&f, "default", 0.1, "d", execution_of(&f, run), &bytes, 1), OK, &f.err);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_UNFINISHED);
    status_of(&f, run, RUN_FINISHED);
    T_INT(find(&f, "other", 0.1, "d").miss, STEP_UNKNOWN);
    run = arena_str(f.a, run);
    corefix_crash(&f);
    found = find(&f, "default", 0.1, "d");
    T_INT(found.miss, STEP_HIT);
    T_STR(found.who, "ann");
    T_UINT(found.outputs_n, 1);
    T_OK(found.outputs[0].is_checked && found.outputs[0].has_sha256);
    T_ST_ERR(record(&f, "default", 0.1, "d", found.execution, &bytes, 1), OK, &f.err);

    found = find(&f, "default", 0.2, "d");
    T_INT(found.miss, STEP_UNKNOWN);
    T_UINT(found.differences_all, 1);
    T_STR(found.differences[0].now->name, "rate");
    T_OK(found.near.p != NULL);

    T_ST_ERR(invalidate(&f, "default", false, 0.1, "d", &n), OK, &f.err);
    T_INT(n, 1);
    found = find(&f, "default", 0.1, "d");
    T_INT(found.miss, STEP_INVALIDATED);
    T_STR(found.who, "bob");
    T_ST(invalidate(&f, "default", false, 0.1, "d", &n), ST_NOT_FOUND);
    T_ST(record(&f, "default", 0.1, "d", found.execution.p ? found.execution : S("run:x"), NULL, 0),
         ST_NOT_FOUND);
    T_OK(!find(&f, "default", 0.2, "d").near.p);
    corefix_close(&f);
}

/* A namespace that nobody has written to gets its number from the record. */
SQL_TEST(nearest_of_many)
{
    static const char *const data[] = { "a", "b", "c", "d", "e" };
    struct corefix f;
    struct str run;
    struct step_found found;
    int64_t n;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, corefix_experiment(&f, "e"));
    status_of(&f, run, RUN_FINISHED);
    for (size_t i = 0; i < ARRAY_N(data); i++) {
        T_ST_ERR(record(&f, "team", (double)i, data[i], execution_of(&f, run), NULL, 0), OK,
                 &f.err);
    }
    found = find(&f, "team", 9, "c");
    T_UINT(found.differences_all, 1);
    T_STR(found.differences[0].before->name, "rate");
    T_OK(found.differences[0].before->d == 2.0);
    T_ST(invalidate(&f, "default", true, 0, "", &n), ST_NOT_FOUND);
    T_ST_ERR(invalidate(&f, "team", true, 0, "", &n), OK, &f.err);
    T_INT(n, (int64_t)ARRAY_N(data));
    corefix_crash(&f);
    T_INT(find(&f, "team", 1, "b").miss, STEP_INVALIDATED);
    corefix_close(&f);
}

/* Recorded by key alone, a step keeps the name that it has. */
SQL_TEST(by_key_alone)
{
    struct corefix f;
    struct step_record *r;
    struct digest key;
    struct str bytes, run;
    int64_t n;

    corefix_open(&f, location, NULL);
    for (int i = 0; i < 3; i++) {
        run = corefix_new_run(&f, 0);
        r = ARENA_NEW(f.a, struct step_record);
        T_OK(r != NULL);
        step_record_init(r, f.core, f.a);
        r->ns = S("team");
        r->who = S("ann");
        r->step = i == 1 ? S("train") : S("");
        key_of(&f, 0.1, "d", &bytes, &key);
        r->key = key;
        r->execution = execution_of(&f, run);
        T_ST_ERR(corefix_run(&f, &r->op), OK, &f.err);
    }
    T_ST_ERR(invalidate(&f, "team", true, 0, "", &n), OK, &f.err);
    T_INT(n, 3);
    corefix_close(&f);
}

/* ---- executions of ML Metadata ------------------------------------------------------------------------------------------------ */

static struct typed_put *put_new(struct corefix *f, enum typed_put_kind kind)
{
    struct typed_put *p = ARENA_NEW(f->a, struct typed_put);

    T_OK(p != NULL);
    typed_put_init(p, f->core, f->a);
    p->kind = kind;
    p->ns = S("default");
    p->who = S("test");
    return p;
}

static int64_t put_type(struct corefix *f, enum node_kind kind, const char *name)
{
    struct typed_put *p = put_new(f, TYPED_PUT_TYPES);
    struct typed_type t = { .kind = kind, .name = str_cstr(name) };

    p->types = &t;
    p->types_n = 1;
    T_ST_ERR(corefix_run(f, &p->op), OK, &f->err);
    return t.id;
}

/* One execution with one artifact that it made. */
static void put_execution(struct corefix *f, struct typed_node *x, struct typed_node *made)
{
    struct typed_put *p = put_new(f, TYPED_PUT_EXECUTION);
    struct typed_step step = { .key = S("model") };
    struct typed_edge e = { .has_event = true,
                            .has_artifact = true,
                            .event = { .type = 4, .steps = &step, .steps_n = 1 } };

    p->executions = x;
    p->executions_n = 1;
    p->artifacts = made;
    p->artifacts_n = 1;
    p->edges = &e;
    p->edges_n = made->has_id ? 0 : 1;
    T_ST_ERR(corefix_run(f, &p->op), OK, &f->err);
    x->has_id = made->has_id = true;
}

static void put_nodes(struct corefix *f, struct typed_node *n)
{
    struct typed_put *p = put_new(f, TYPED_PUT_NODES);

    p->artifacts = n;
    p->artifacts_n = 1;
    T_ST_ERR(corefix_run(f, &p->op), OK, &f->err);
}

static void state_of(struct corefix *f, struct typed_node *n, int32_t state)
{
    n->state = state;
    put_nodes(f, n);
}

static void put_member(struct corefix *f, int64_t execution, int64_t context)
{
    struct typed_put *p = put_new(f, TYPED_PUT_MEMBERS);
    struct typed_pair pair = { .has_a = true, .has_b = true, .a = execution, .b = context };

    p->pairs = &pair;
    p->pairs_n = 1;
    T_ST_ERR(corefix_run(f, &p->op), OK, &f->err);
}

SQL_TEST(executions)
{
    struct corefix f;
    struct typed_node x = { .kind = NODE_EXECUTION, .has_type = true, .has_state = true };
    struct typed_node made = { .kind = NODE_ARTIFACT, .has_type = true, .has_state = true };
    struct step_found found;
    struct digest key;
    struct str bytes;
    char hex[65];
    int64_t ctx, n;

    corefix_open(&f, location, NULL);
    x.type = put_type(&f, NODE_EXECUTION, "Trainer");
    made.type = put_type(&f, NODE_ARTIFACT, "Model");
    x.state = 3;
    made.state = 2;
    made.uri = S("gs://bucket/model");
    put_execution(&f, &x, &made);
    T_ST(record(&f, "other", 0.1, "d", S("execution:1"), NULL, 0), ST_NOT_FOUND);
    T_ST_ERR(record(&f, "default", 0.1, "d", S("execution:1"), NULL, 0), OK, &f.err);
    found = find(&f, "default", 0.1, "d");
    T_INT(found.miss, STEP_HIT);
    T_UINT(found.outputs_n, 1);
    T_STR(found.outputs[0].name, "model");
    T_STR(found.outputs[0].uri, "gs://bucket/model");
    T_OK(!found.outputs[0].is_checked);

    key_of(&f, 0.1, "d", &bytes, &key);
    digest_hex(&key, hex);
    T_ST_ERR(typed_cache_find(&f.v, S("default"), str_cstr(hex), &ctx, &f.err), OK, &f.err);

    state_of(&f, &made, 3);
    found = find(&f, "default", 0.1, "d");
    T_INT(found.miss, STEP_OUTPUT_GONE);
    T_STR(found.why, "artifact:1 is MARKED_FOR_DELETION, not LIVE");
    state_of(&f, &made, 2);
    made.uri = S("mlflow-artifacts:/0/model"); /* below a root of this store, where nothing is */
    state_of(&f, &made, 2);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_OUTPUT_GONE);
    T_ST_ERR(corefix_put(&f, S("0/model/m.bin"), "mm", 2), OK, &f.err);
    found = find(&f, "default", 0.1, "d");
    T_INT(found.miss, STEP_HIT);
    T_OK(found.outputs[0].is_checked);

    x.state = 4;
    state_of(&f, &x, 4);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_UNFINISHED);
    state_of(&f, &x, 5);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_HIT);
    T_ST_ERR(invalidate(&f, "default", false, 0.1, "d", &n), OK, &f.err);
    T_INT(n, 1);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_INVALIDATED);
    corefix_close(&f);
}

/* What only a client has put into the context of a key is found, and is known as taken out afterwards; until a client puts it there again. */
SQL_TEST(put_by_a_client)
{
    struct corefix f;
    struct typed_node x = {
        .kind = NODE_EXECUTION, .has_type = true, .has_state = true, .state = 3
    };
    struct typed_node ctx = { .kind = NODE_CONTEXT, .has_type = true };
    struct step_found found;
    struct digest key;
    struct str bytes;
    char hex[65];
    int64_t n;

    corefix_open(&f, location, NULL);
    key_of(&f, 0.1, "d", &bytes, &key);
    digest_hex(&key, hex);
    x.type = put_type(&f, NODE_EXECUTION, "Trainer");
    ctx.type = put_type(&f, NODE_CONTEXT, "execution_cache");
    ctx.name = str_of(hex, 64);
    state_of(&f, &x, 3);
    put_nodes(&f, &ctx);
    put_member(&f, x.id, ctx.id);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_HIT);
    T_ST_ERR(invalidate(&f, "default", false, 0.1, "d", &n), OK, &f.err);
    T_INT(n, 1);
    found = find(&f, "default", 0.1, "d");
    T_INT(found.miss, STEP_INVALIDATED);
    T_STR(found.who, "bob");
    T_ST(invalidate(&f, "default", false, 0.1, "d", &n), ST_NOT_FOUND);
    T_ST(record(&f, "default", 0.1, "d", S("execution:1"), NULL, 0), ST_INVALID_STATE);
    put_member(&f, x.id, ctx.id);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_HIT);
    T_ST_ERR(invalidate(&f, "default", false, 0.1, "d", &n), OK, &f.err);
    T_INT(find(&f, "default", 0.1, "d").miss, STEP_INVALIDATED);
    corefix_close(&f);
}

static struct typed_node complete(struct corefix *f)
{
    struct typed_node x = {
        .kind = NODE_EXECUTION, .has_type = true, .has_state = true, .state = 3
    };

    x.type = put_type(f, NODE_EXECUTION, "Trainer");
    put_nodes(f, &x);
    return x;
}

/* The n-th allocation fails: a record is there in both of its places or in none, a look-up answers or says so. */
TEST(out_of_memory)
{
    struct corefix f;
    struct typed_node x;
    int64_t made = 0;

    corefix_open(&f, t_tmpdir(), NULL);
    x = complete(&f);
    for (int n = 1;; n++) {
        struct arena *a = arena_new(1 << 24);
        struct step_record r;
        struct step_found found;
        struct str bytes;
        struct digest key;
        struct view v = f.v;
        enum status st, looked;
        bool reached;

        T_OK(a != NULL);
        v.arena = a;
        step_record_init(&r, f.core, a);
        r.ns = S("default");
        r.who = S("ann");
        r.step = S("train");
        r.execution = arena_printf(f.a, "execution:%lld", (long long)x.id);
        key_of(&f, 1.0 + (double)made, "d", &bytes, &key);
        r.bytes = bytes;
        r.key = key;
        mem_fail_after(n, true);
        st = corefix_run(&f, &r.op);
        looked = st ? st : step_find(&v, S("default"), S("train"), bytes, &key, &found, &f.err);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        T_OK(looked == OK || looked == ST_NOMEM || looked == ST_UNAVAILABLE);
        if (!st && !looked) T_INT(found.miss, STEP_HIT);
        made += st == OK;
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM step_done"), made);
        T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM member WHERE role = 6"), made);
        arena_free(a);
        if (!reached) break;
    }
    T_OK(made > 0);
    corefix_close(&f);
}
