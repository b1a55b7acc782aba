/* The same request twice under one key: one change, one answer; on both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "base/mem.h"
#include "core/idempotent.h"

struct once {
    struct idempotent i;
    struct experiment_create c;
};

static struct str keep_id(struct idempotent *i)
{
    const struct once *o = i->user;

    return arena_printf(i->op.arena, "%lld", (long long)o->c.id);
}

static struct once *new_once(struct corefix *f, const char *key, const char *name)
{
    struct once *o = ARENA_NEW(f->a, struct once);

    T_OK(o != NULL);
    experiment_create_init(&o->c, f->core, f->a);
    o->c.name = str_cstr(name);
    idempotent_init(&o->i, &o->c.op, f->a);
    o->i.principal = S("ann");
    o->i.key = str_cstr(key);
    T_OK(sha256_of(name, strlen(name), &o->i.request));
    o->i.remember = keep_id;
    o->i.user = o;
    return o;
}

static int64_t experiments(struct corefix *f)
{
    return sqltest_int(f->v.conn, "SELECT count(*) FROM experiment");
}

SQL_TEST(same_key_same_answer)
{
    struct corefix f;
    struct once *o;

    corefix_open(&f, location, NULL);
    for (int round = 0; round < 3; round++) {
        o = new_once(&f, "k", "x");
        T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
        T_STR(o->i.kept, "1");
        T_OK(o->i.replayed == (round > 0));
        T_INT(experiments(&f), 2);
        if (round == 1) corefix_reopen(&f);
    }
    o = new_once(&f, "k", "y");
    T_ST(corefix_run(&f, &o->i.op), ST_CONFLICT);
    T_INT(status_row(f.err.code)->http, 409);
    T_CSTR(f.err.field, "Idempotency-Key");
    o = new_once(&f, "k", "y");
    o->i.principal = S("bob"); /* keys belong to principals */
    T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
    T_STR(o->i.kept, "2");
    corefix_close(&f);
}

SQL_TEST(failures_are_not_kept)
{
    struct corefix f;
    struct experiment_rename r;
    struct once *o;

    corefix_open(&f, location, NULL);
    corefix_experiment(&f, "taken");
    o = new_once(&f, "k", "taken");
    T_ST(corefix_run(&f, &o->i.op), ST_EXISTS);
    experiment_rename_init(&r, f.core, f.a);
    r.id = 1;
    r.name = S("free again");
    T_ST(corefix_run(&f, &r.op), OK);
    o = new_once(&f, "k", "taken");
    T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
    T_OK(!o->i.replayed);
    corefix_close(&f);
}

/* Two at the same moment: one of them runs, the other gets its answer. */
SQL_TEST(concurrent_duplicates)
{
    enum { N = 8 };
    struct corefix f;
    struct write_op *ops[N];
    struct once *o[N];
    int ran = 0;

    corefix_open(&f, location, NULL);
    for (int i = 0; i < N; i++) {
        o[i] = new_once(&f, "k", "x");
        ops[i] = &o[i]->i.op;
    }
    corefix_together(&f, ops, N);
    for (int i = 0; i < N; i++) {
        T_ST_ERR(ops[i]->st, OK, &ops[i]->err);
        T_STR(o[i]->i.kept, "1");
        ran += !o[i]->i.replayed;
    }
    T_INT(ran, 1);
    T_INT(experiments(&f), 2);
    corefix_close(&f);
}

SQL_TEST(a_lost_commit_keeps_no_key)
{
    struct corefix f;
    struct once *o;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    corefix_open(&f, location, NULL);
    failpoint_arm("seq.group.commit_fails=error");
    o = new_once(&f, "k", "x");
    T_ST(corefix_run(&f, &o->i.op), ST_UNAVAILABLE);
    failpoint_arm(NULL);
    T_INT(experiments(&f), 1);
    o = new_once(&f, "k", "x");
    T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
    T_OK(!o->i.replayed);
    corefix_close(&f);
}

/* After a day the key is free, and the table holds no older rows. */
SQL_TEST(keys_expire)
{
    struct corefix f;
    struct once *o;

    corefix_open(&f, location, NULL);
    for (int i = 0; i < 5; i++) {
        o = new_once(&f, arena_printf(f.a, "k%d", i).p, arena_printf(f.a, "x%d", i).p);
        T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
    }
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM idempotency"), 5);
    corefix_close(&f);
    {
        struct sql_db *db = sqltest_open(location);
        struct sql_conn *w = sqltest_connect(db, SQL_WRITER);

        sqltest_script(w,
                       "UPDATE idempotency SET create_ms = create_ms - 86400001 WHERE key <> 'k4'");
        sql_disconnect(w);
        sql_close_db(db);
    }
    corefix_open(&f, location, NULL);
    o = new_once(&f, "k0", "another");
    T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
    T_OK(!o->i.replayed);
    T_INT(sqltest_int(f.v.conn, "SELECT count(*) FROM idempotency"), 2);
    corefix_close(&f);
}

TEST(out_of_memory)
{
    struct corefix f;

    corefix_open(&f, t_tmpdir(), NULL);
    for (int n = 1;; n++) {
        const char *name = arena_printf(f.a, "x%d", n).p;
        int64_t before = experiments(&f);
        struct once *o = new_once(&f, name, name);
        enum status st;
        bool reached;

        mem_fail_after(n, true);
        st = corefix_run(&f, &o->i.op);
        reached = mem_call_n() >= n;
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
        T_INT(experiments(&f), before + (st == OK));
        o = new_once(&f, name, name);
        T_ST_ERR(corefix_run(&f, &o->i.op), OK, &f.err);
        T_OK(o->i.replayed == (st == OK));
        T_INT(experiments(&f), before + 1);
        if (!reached) break;
    }
    corefix_close(&f);
}

TEST(keys)
{
    struct err err = ERR_INIT;
    char big[257];

    memset(big, 'k', sizeof(big));
    T_ST(idempotent_check_key(S("a"), &err), OK);
    T_ST(idempotent_check_key(str_of(big, 255), &err), OK);
    T_ST(idempotent_check_key(str_of(big, 256), &err), ST_INVALID);
    T_ST(idempotent_check_key(S(""), &err), ST_INVALID);
    T_ST(idempotent_check_key(S("caf\xc3\xa9"), &err), OK);
    T_ST(idempotent_check_key(S("caf\xe9"), &err), ST_INVALID); /* no store takes it as text */
    T_ST(idempotent_check_key(S("a\0b"), &err), ST_INVALID);
    T_ST(idempotent_check_key(S("a\tb"), &err), ST_INVALID);
}
