/* Many runs at once, from memory and from rows, on both engines; and what was encoded of them before. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/dataset.h"
#include "core/fragments.h"
#include "store/heads.h"

enum { RUNS = 300 };

static void log_values(struct corefix *f, struct str run, int seed)
{
    struct run_log l;
    struct key_value params[3], tags[2];

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    for (int i = 0; i < 3 + seed % 4; i++) {
        struct str key = arena_printf(f->a, "m%d", (seed * 7 + i * 5) % 11);

        T_ST(run_points_add(&l.points, key, seed * 0.5 + i, 1000 + i, i, &f->err), OK);
    }
    for (int i = 0; i < 3; i++) {
        params[i] = (struct key_value){ arena_printf(f->a, "p%d", seed % 3 + i),
                                        arena_printf(f->a, "%d", i) };
    }
    tags[0] = (struct key_value){ S("z"), S("last") };
    tags[1] = (struct key_value){ S("a"), arena_printf(f->a, "%d", seed) };
    l.params = params;
    l.params_n = 3;
    l.tags = tags;
    l.tags_n = 2;
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

static void same_pairs(const struct key_value *a, const struct key_value *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        T_STR_EQ(a[i].key, b[i].key);
        T_STR_EQ(a[i].value, b[i].value);
    }
}

struct seen {
    struct corefix *f;
    const int64_t *uids;
    size_t n;
};

static enum status compare(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    struct seen *s = (struct seen *)ctx;
    struct run_view one;

    T_ST_ERR(run_get_uid(&s->f->v, s->uids[i], &one, err), OK, err);
    T_INT(run->uid, s->uids[i]);
    T_STR_EQ(run->run_id, one.run_id);
    T_STR_EQ(run->name, one.name);
    T_STR_EQ(run->user_id, one.user_id);
    T_STR_EQ(run->artifact_uri, one.artifact_uri);
    T_INT(run->status, one.status);
    T_INT(run->has_end, one.has_end);
    T_UINT(run->metrics_n, one.metrics_n);
    T_UINT(run->params_n, one.params_n);
    T_UINT(run->tags_n, one.tags_n);
    for (size_t k = 0; k < one.metrics_n; k++) {
        T_STR_EQ(run->metrics[k].key, one.metrics[k].key);
        T_DBL_BITS(run->metrics[k].value, one.metrics[k].value);
        T_INT(run->metrics[k].n, one.metrics[k].n);
    }
    same_pairs(run->params, one.params, one.params_n);
    same_pairs(run->tags, one.tags, one.tags_n);
    s->n++;
    return OK;
}

SQL_TEST(gather_reads_what_get_reads)
{
    struct core_options opt = { .head_bytes = 100 << 10 }; /* a few dozen runs in memory */
    int64_t uids[RUNS + 1];
    struct corefix f;
    struct seen seen;

    corefix_open_with(&f, location, &opt);
    for (int i = 0; i < RUNS; i++) {
        struct str id = corefix_new_run(&f, 0);
        struct run_view r;

        log_values(&f, id, i);
        T_ST_ERR(run_get(&f.v, id, &r, &f.err), OK, &f.err);
        uids[(i * 7) % RUNS] = r.uid; /* in an order of its own */
        corefix_fresh(&f);
        if (i % 100 == 99) T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    }
    uids[RUNS] = 999999999; /* no such run */
    seen = (struct seen){ &f, uids, 0 };
    T_ST_ERR(run_gather(&f.v, uids, RUNS + 1, compare, &seen, &f.err), OK, &f.err);
    T_UINT(seen.n, RUNS);
    corefix_reopen(&f);
    seen = (struct seen){ &f, uids, 0 };
    T_ST_ERR(run_gather(&f.v, uids, RUNS, compare, &seen, &f.err), OK, &f.err);
    T_UINT(seen.n, RUNS);
    corefix_close(&f);
}

static int64_t uid_of(struct corefix *f, struct str run)
{
    struct run_view r;

    T_ST_ERR(run_get(&f->v, run, &r, &f->err), OK, &f->err);
    return r.uid;
}

static void keep(struct corefix *f, int64_t uid, struct str text)
{
    fragments_put(f->core->fragments, FRAGMENT_MLFLOW_RUN, uid, heads_change(f->core->heads, uid),
                  text);
    T_OK(fragments_has(f->core->fragments, FRAGMENT_MLFLOW_RUN, uid));
}

static bool kept(struct corefix *f, int64_t uid)
{
    return fragments_has(f->core->fragments, FRAGMENT_MLFLOW_RUN, uid);
}

SQL_TEST(a_change_ends_a_fragment)
{
    struct corefix f;
    struct buf out = BUF_INIT(1000);
    struct str run;
    int64_t uid;
    uint64_t before;

    corefix_open(&f, location, NULL);
    run = corefix_new_run(&f, 0);
    uid = uid_of(&f, run);
    before = heads_change(f.core->heads, uid);
    T_OK(!kept(&f, uid));
    keep(&f, uid, S("one"));
    buf_put_lit(&out, "<");
    T_OK(fragments_get(f.core->fragments, FRAGMENT_MLFLOW_RUN, uid, &out));
    T_STR(buf_str(&out), "<one");
    keep(&f, uid, S("two"));
    T_OK(fragments_get(f.core->fragments, FRAGMENT_MLFLOW_RUN, uid, &out));
    T_STR(buf_str(&out), "<onetwo");

    log_values(&f, run, 1);
    T_OK(!kept(&f, uid));
    T_OK(!fragments_get(f.core->fragments, FRAGMENT_MLFLOW_RUN, uid, &out));
    T_STR(buf_str(&out), "<onetwo");
    fragments_put(f.core->fragments, FRAGMENT_MLFLOW_RUN, uid, before, S("old")); /* read before */
    T_OK(!kept(&f, uid));

    keep(&f, uid, S("three"));
    {
        struct run_update u;

        run_update_init(&u, f.core, f.a);
        u.run_id = run;
        run_update_status(&u, RUN_FINISHED);
        T_ST_ERR(corefix_run(&f, &u.op), OK, &f.err);
    }
    T_OK(!kept(&f, uid));

    keep(&f, uid, S("four"));
    {
        struct dataset_input d = {
            .name = S("d"), .digest = S("1"), .source_type = S("local"), .source = S("x")
        };
        struct run_links l;

        run_links_init(&l, f.core, f.a);
        l.run_id = run;
        l.datasets = &d;
        l.datasets_n = 1;
        T_ST_ERR(corefix_run(&f, &l.op), OK, &f.err);
    }
    T_OK(!kept(&f, uid));

    keep(&f, uid, S("five"));
    {
        struct experiment_lifecycle x;

        experiment_lifecycle_init(&x, f.core, f.a);
        x.id = 0;
        x.to = LIFECYCLE_DELETED;
        T_ST_ERR(corefix_run(&f, &x.op), OK, &f.err);
    }
    T_OK(!kept(&f, uid));
    buf_release(&out);
    corefix_close(&f);
}

SQL_TEST(fragments_stay_below_their_cap)
{
    enum { CAP = 1 << 16, PIECE = 100 };
    struct fragments *small;
    struct buf out = BUF_INIT(1 << 20);
    char bytes[PIECE];
    struct corefix f;
    size_t left = 0;

    corefix_open(&f, location, NULL);
    T_ST(fragments_new(&small, f.core->heads, CAP, &f.err), OK);
    for (int64_t uid = 1; uid <= 4000; uid++) {
        memset(bytes, (int)('a' + uid % 26), sizeof(bytes));
        fragments_put(small, FRAGMENT_MLFLOW_RUN, uid, heads_change(f.core->heads, uid),
                      str_of(bytes, sizeof(bytes)));
        T_OK(fragments_bytes(small) <= CAP);
        T_OK(fragments_get(small, FRAGMENT_MLFLOW_RUN, uid, &out));
        buf_clear(&out);
    }
    T_OK(fragments_has(small, FRAGMENT_MLFLOW_RUN, 4000));
    for (int64_t uid = 1; uid <= 4000; uid++) {
        left += fragments_has(small, FRAGMENT_MLFLOW_RUN, uid);
    }
    T_OK(left > CAP / (PIECE + 64) / 2);
    T_OK(left <= CAP / (PIECE + 64));
    fragments_put(small, FRAGMENT_MLFLOW_RUN, 5000, 0, (struct str){ bytes, 0 });
    T_OK(!fragments_has(small, FRAGMENT_MLFLOW_RUN, 5000));
    fragments_free(small);
    buf_release(&out);
    corefix_close(&f);
}
