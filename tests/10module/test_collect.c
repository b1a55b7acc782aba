/* The collector: what nothing refers to goes, in its time, with its bytes; and what is left by a kill goes after the next start. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/sys.h"
#include "core/collect.h"
#include "core/repack.h"
#include "store/blob/blob.h"
#include "store/places.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 120000 };

/* Only when asked. */
static void start_collector(struct corefix *f)
{
    T_ST_ERR(collect_start(f->core, &(struct collect_options){ .every_ms = -1 }, &f->err), OK,
             &f->err);
}

static void collect(struct corefix *f)
{
    T_OK(collect_wait(f->core->collector, collect_ask(f->core->collector), WAIT_MS));
}

static struct digest put_bytes(struct corefix *f, uint64_t seed, size_t n)
{
    struct blob_writer *w;
    struct digest d;
    uint64_t size;

    T_ST_ERR(blob_write_begin(f->core->blobs, &w, &f->err), OK, &f->err);
    for (size_t at = 0; at < n; at += sizeof(seed)) {
        T_ST_ERR(blob_write(w, &seed, sizeof(seed), &f->err), OK, &f->err);
    }
    T_ST_ERR(blob_write_end(w, 0, &d, &size, &f->err), OK, &f->err);
    return d;
}

static bool has_bytes(struct corefix *f, const struct digest *d, int64_t gen)
{
    uint64_t size;
    struct err err = ERR_INIT;
    enum status st = blob_stat(f->core->blobs, d, gen, &size, &err);

    if (st != ST_NOT_FOUND) T_ST_ERR(st, OK, &err);
    return st == OK;
}

static int64_t rows(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

struct retire {
    struct write_op op;
    const struct digest *d;
    size_t n;
    int64_t now_ms;
};

static enum status retire_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct retire *r = WRITE_OP_OF(op, struct retire);
    enum status st = OK;

    for (size_t i = 0; !st && i < r->n; i++) {
        st = place_retire(group_conn(g), &r->d[i], 0, 4096, r->now_ms, err);
    }
    return st;
}

static const struct write_kind retire_kind = { .name = "test.retire",
                                               .validate = retire_validate,
                                               .sql = true };

static void retire(struct corefix *f, const struct digest *d, size_t n, int64_t now_ms)
{
    struct retire r = { .d = d, .n = n, .now_ms = now_ms };

    write_op_init(&r.op, &retire_kind, f->a);
    T_ST_ERR(corefix_run(f, &r.op), OK, &f->err);
}

SQL_TEST(places_that_were_retired_go_with_their_rows)
{
    enum { N = COLLECT_BATCH + 3 };
    struct corefix f;
    struct digest d[N], stays;
    struct collect_stats stats;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    for (size_t i = 0; i < N; i++) {
        d[i] = put_bytes(&f, i, 64);
    }
    stays = put_bytes(&f, N, 64);
    retire(&f, d, N, 0);
    retire(&f, d, 2, 0); /* twice is fine */
    T_OK(has_bytes(&f, &d[0], 0));
    collect(&f);
    for (size_t i = 0; i < N; i++) {
        T_OK(!has_bytes(&f, &d[i], 0));
    }
    T_OK(has_bytes(&f, &stays, 0));
    T_INT(rows(&f, "SELECT count(*) FROM retired"), 0);
    collect_stats(f.core->collector, &stats);
    T_UINT(stats.places, N);
    T_UINT(stats.bytes, N * 4096);
    T_UINT(stats.failed, 0);
    T_OK(!stats.running);
    collect(&f); /* nothing to do */
    corefix_close(&f);
}

/* In the background a place waits for its grace; who asks does not. */
SQL_TEST(places_have_their_grace)
{
    struct corefix f;
    struct digest old, young;

    corefix_open(&f, location, NULL);
    old = put_bytes(&f, 1, 64);
    young = put_bytes(&f, 2, 64);
    retire(&f, &old, 1, clock_wall_ms() - PLACE_GRACE_MS - 1000);
    retire(&f, &young, 1, clock_wall_ms());
    T_ST_ERR(collect_start(f.core, &(struct collect_options){ .every_ms = 1 }, &f.err), OK, &f.err);
    while (rows(&f, "SELECT count(*) FROM retired") != 1) {
    }
    T_OK(!has_bytes(&f, &old, 0));
    T_OK(has_bytes(&f, &young, 0));
    collect(&f);
    T_OK(!has_bytes(&f, &young, 0));
    corefix_close(&f);
}

/* ---- objects ---------------------------------------------------------------------------------------------------------------- */

enum { BIG = ARTIFACT_INLINE_MAX + 1000 };

static struct str body(struct corefix *f, char seed, size_t n)
{
    char *p = (char *)arena_alloc(f->a, n);

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)(seed + (char)(i % 7));
    }
    return str_of(p, n);
}

static void put(struct corefix *f, const char *path, struct str b)
{
    T_ST_ERR(corefix_put(f, str_cstr(path), b.p, b.n), OK, &f->err);
}

static void has(struct corefix *f, const char *path, struct str b)
{
    struct str got;

    T_ST_ERR(corefix_get(f, str_cstr(path), &got), OK, &f->err);
    T_OK(str_eq(got, b));
}

static void drop(struct corefix *f, const char *path)
{
    T_ST_ERR(corefix_delete(f, str_cstr(path)), OK, &f->err);
}

static enum status count_place(void *ctx, const struct blob_entry *e, struct err *err)
{
    (void)e;
    (void)err;
    ++*(int64_t *)ctx;
    return OK;
}

static int64_t files(struct corefix *f)
{
    int64_t n = 0;

    for (unsigned i = 0; i < BLOB_SHARDS; i++) {
        T_ST_ERR(blob_list(f->core->blobs, i, count_place, &n, &f->err), OK, &f->err);
    }
    return n;
}

/* Nothing lies anywhere that nothing refers to. */
static void is_clean(struct corefix *f, int64_t objects, int64_t places)
{
    T_INT(rows(f, "SELECT count(*) FROM object"), objects);
    T_INT(rows(f, "SELECT count(*) FROM object WHERE state <> 1"), 0);
    T_INT(rows(f, "SELECT count(*) FROM object WHERE recipe IS NOT NULL"), places);
    T_INT(rows(f, "SELECT count(*) FROM retired"), 0);
    T_INT(rows(f, "SELECT count(*) FROM upload"), 0);
    T_INT(files(f), places);
}

struct set_state {
    struct write_op op;
    int64_t state;
};

static enum status set_state_validate(struct write_op *op, struct group *g, struct err *err)
{
    static const char text[] = "UPDATE object SET state = $1 WHERE recipe IS NOT NULL";
    static const unsigned char in[] = { SQL_INT };
    struct sql_query q = {
        .name = "set_state", .text = { text, text }, .kind = SQL_EXEC, .in = in, .in_n = 1
    };
    struct sql_value v = { .i = WRITE_OP_OF(op, struct set_state)->state };

    return sql_exec(group_conn(g), &q, &v, NULL, err);
}

static const struct write_kind set_state_kind = { .name = "test.state",
                                                  .validate = set_state_validate,
                                                  .sql = true };

/* Of every object that does not lie in its row. */
static void set_states(struct corefix *f, enum object_state state)
{
    struct set_state s = { .state = (int64_t)state };

    write_op_init(&s.op, &set_state_kind, f->a);
    T_ST_ERR(corefix_run(f, &s.op), OK, &f->err);
}

SQL_TEST(what_nothing_refers_to_goes)
{
    struct corefix f;
    struct str one, two, small;
    struct collect_plan plan;
    struct collect_stats stats;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    one = body(&f, 1, BIG);
    two = body(&f, 2, BIG + 1);
    small = body(&f, 3, 100);
    put(&f, "a/one", one);
    put(&f, "a/one again", one);
    put(&f, "a/two", two);
    put(&f, "a/small", small);
    put(&f, "b/small", small);
    collect(&f);
    is_clean(&f, 3, 2);
    drop(&f, "a/one");
    collect(&f);
    has(&f, "a/one again", one);
    is_clean(&f, 3, 2);
    put(&f, "a/one again", two); /* written over */
    drop(&f, "a/small");
    T_ST_ERR(collect_look(&f.v, &plan, &f.err), OK, &f.err);
    T_INT(plan.objects, 1);
    T_INT(plan.object_bytes, BIG);
    T_INT(plan.kept, 2);
    T_INT(plan.kept_bytes, BIG + 1 + 100);
    T_INT(rows(&f, "SELECT count(*) FROM object"), 3);
    collect(&f);
    has(&f, "a/one again", two);
    has(&f, "b/small", small);
    is_clean(&f, 2, 1);
    drop(&f, "a");
    drop(&f, "b");
    collect(&f);
    is_clean(&f, 0, 0);
    collect_stats(f.core->collector, &stats);
    T_UINT(stats.objects, 3);
    T_UINT(stats.bytes, BIG + BIG + 1 + 100);
    put(&f, "a/one", one); /* the same again lies in another place */
    has(&f, "a/one", one);
    T_OK(rows(&f, "SELECT max(gen) FROM object") > 1);
    is_clean(&f, 1, 1);
    corefix_close(&f);
}

/* A reference that comes while the content is on its way out. */
SQL_TEST(content_comes_back_in_every_state)
{
    struct corefix f;
    struct str b;
    int64_t gen;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    b = body(&f, 1, BIG);
    put(&f, "one", b);
    gen = rows(&f, "SELECT gen FROM object");
    drop(&f, "one");
    set_states(&f, OBJECT_CONDEMNED);
    put(&f, "two", b);
    T_INT(rows(&f, "SELECT gen FROM object"), gen);
    T_INT(files(&f), 1);
    collect(&f);
    has(&f, "two", b);
    is_clean(&f, 1, 1);
    drop(&f, "two");
    set_states(&f, OBJECT_DELETING);
    put(&f, "three", b);
    T_OK(rows(&f, "SELECT gen FROM object") > gen);
    T_INT(files(&f), 2);
    collect(&f);
    has(&f, "three", b);
    is_clean(&f, 1, 1);
    set_states(&f, OBJECT_CONDEMNED); /* wrongly, as it has a name */
    collect(&f);
    has(&f, "three", b);
    is_clean(&f, 1, 1);
    corefix_close(&f);
}

/* ---- leases ------------------------------------------------------------------------------------------------------------------ */

static void upload(struct corefix *f, struct str b, struct artifact_upload *u,
                   struct artifact_put *p, const char *path)
{
    artifact_put_init(p, f->core, f->a);
    T_ST_ERR(artifact_proxy_place(&f->v, str_cstr(path), &p->place, &f->err), OK, &f->err);
    T_ST_ERR(artifact_upload_begin(u, f->core, f->a, &f->err), OK, &f->err);
    T_ST_ERR(artifact_upload_piece(u, b, &f->err), OK, &f->err);
    T_ST_ERR(artifact_upload_end(u, &f->err), OK, &f->err);
    p->upload = u;
}

static void claim_only(struct corefix *f, struct artifact_upload *u)
{
    struct object_claim c;

    object_claim_init(&c, f->a, &u->sha256, u->size);
    T_ST_ERR(corefix_run(f, &c.op), OK, &f->err);
    u->lease = c.lease;
}

static void claim(struct corefix *f, struct artifact_upload *u)
{
    claim_only(f, u);
    T_ST_ERR(artifact_upload_place(u, &f->err), OK, &f->err);
}

static void release(struct corefix *f, const struct artifact_upload *u)
{
    struct object_release r;

    object_release_init(&r, f->a, &u->sha256, u->size, &u->lease);
    T_ST_ERR(corefix_run(f, &r.op), OK, &f->err);
}

SQL_TEST(leases_keep_what_an_upload_relies_on)
{
    struct corefix f;
    struct artifact_upload fresh, same;
    struct artifact_put p, q;
    struct str b, c;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    collect(&f);
    b = body(&f, 1, BIG);
    c = body(&f, 2, BIG);
    put(&f, "one", b);
    upload(&f, b, &same, &p, "two");
    claim(&f, &same);
    T_OK(!same.is_placed); /* it lies there */
    upload(&f, c, &fresh, &q, "three");
    claim(&f, &fresh);
    T_OK(fresh.is_placed);
    drop(&f, "one");
    collect(&f);
    T_INT(files(&f), 2);
    T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    T_ST_ERR(corefix_run(&f, &q.op), OK, &f.err);
    has(&f, "two", b);
    has(&f, "three", c);
    collect(&f);
    is_clean(&f, 2, 2);
    corefix_close(&f);
}

/* Two uploads of the same new content at once: one place stays. */
SQL_TEST(two_uploads_of_the_same)
{
    struct corefix f;
    struct artifact_upload u[2];
    struct artifact_put p[2];
    struct str b;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    b = body(&f, 1, BIG);
    for (size_t i = 0; i < 2; i++) {
        upload(&f, b, &u[i], &p[i], i ? "two" : "one");
        claim(&f, &u[i]);
        T_OK(u[i].is_placed);
    }
    T_INT(files(&f), 2);
    for (size_t i = 0; i < 2; i++) {
        T_ST_ERR(corefix_run(&f, &p[i].op), OK, &f.err);
    }
    collect(&f);
    has(&f, "one", b);
    has(&f, "two", b);
    is_clean(&f, 1, 1);
    corefix_close(&f);
}

/* Leases of a server that is gone are worth nothing: their places go, and who still holds one is told to try again. */
SQL_TEST(leases_of_before_are_void)
{
    struct corefix f;
    struct artifact_upload fresh, same;
    struct artifact_put p, q;
    struct str b, got;

    corefix_open(&f, location, NULL);
    b = body(&f, 1, BIG);
    put(&f, "one", b);
    upload(&f, b, &same, &q, "two");
    claim(&f, &same);
    upload(&f, body(&f, 2, BIG), &fresh, &p, "three");
    claim(&f, &fresh);
    T_INT(rows(&f, "SELECT count(*) FROM upload"), 2);
    corefix_crash(&f);
    drop(&f, "one");
    while (clock_wall_ms() <= rows(&f, "SELECT max(create_ms) FROM upload")) {
    }
    start_collector(&f);
    collect(&f);
    collect(&f); /* places that were retired within the first */
    is_clean(&f, 0, 0);
    p.core = q.core = f.core;
    T_ST(corefix_run(&f, &p.op), ST_UNAVAILABLE);
    T_OK(f.err.retry_after_s > 0);
    T_ST(corefix_run(&f, &q.op), ST_UNAVAILABLE);
    T_ST(corefix_get(&f, S("three"), &got), ST_NOT_FOUND);
    T_ST(corefix_get(&f, S("two"), &got), ST_NOT_FOUND);
    corefix_close(&f);
}

/* The clock says that a lease was given before the collector began, but it was not. */
SQL_TEST(leases_of_this_server_are_not_of_before)
{
    struct corefix f;
    struct artifact_upload u;
    struct artifact_put p;
    struct str b;

    corefix_open(&f, location, NULL);
    b = body(&f, 1, BIG);
    put(&f, "one", body(&f, 2, BIG));
    start_collector(&f);
    upload(&f, b, &u, &p, "two");
    claim_only(&f, &u);
    corefix_script(&f, "UPDATE upload SET create_ms = 1");
    collect(&f);
    collect(&f);
    T_ST_ERR(artifact_upload_place(&u, &f.err), OK, &f.err);
    T_ST_ERR(corefix_run(&f, &p.op), OK, &f.err);
    collect(&f);
    has(&f, "two", b);
    is_clean(&f, 2, 2);
    corefix_close(&f);
}

/* The lease ends and its place is collected; only then its holder writes there. */
SQL_TEST(bytes_that_come_after_their_lease_go)
{
    struct corefix f;
    struct artifact_upload u;
    struct artifact_put p;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    upload(&f, body(&f, 1, BIG), &u, &p, "late");
    claim_only(&f, &u);
    corefix_script(&f, "UPDATE upload SET until_ms = 1");
    collect(&f);
    collect(&f);
    is_clean(&f, 0, 0);
    T_ST_ERR(artifact_upload_place(&u, &f.err), OK, &f.err);
    T_ST(corefix_run(&f, &p.op), ST_UNAVAILABLE);
    T_INT(files(&f), 1);
    release(&f, &u);
    release(&f, &u); /* twice is fine */
    T_INT(rows(&f, "SELECT count(*) FROM retired"), 1);
    collect(&f);
    is_clean(&f, 0, 0);
    corefix_close(&f);
}

/* Who does not know whether the name was given gives back the lease: bytes that have a name stay, also those of another place. */
SQL_TEST(release_of_what_was_published)
{
    struct corefix f;
    struct artifact_upload u[2];
    struct artifact_put p[2];
    struct str b;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    b = body(&f, 1, BIG);
    for (size_t i = 0; i < 2; i++) {
        upload(&f, b, &u[i], &p[i], i ? "two" : "one");
        claim(&f, &u[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        T_ST_ERR(corefix_run(&f, &p[i].op), OK, &f.err);
        release(&f, &u[i]);
    }
    collect(&f);
    has(&f, "one", b);
    has(&f, "two", b);
    is_clean(&f, 1, 1);
    corefix_close(&f);
}

/* Large bytes that cannot be named leave nothing. */
SQL_TEST(refused_uploads_leave_nothing)
{
    struct corefix f;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    put(&f, "a", S("file"));
    T_ST(corefix_put(&f, S("a/b"), body(&f, 1, BIG).p, BIG), ST_INVALID);
    T_INT(rows(&f, "SELECT count(*) FROM upload"), 0);
    T_INT(rows(&f, "SELECT count(*) FROM retired"), 1);
    collect(&f);
    is_clean(&f, 1, 0);
    corefix_close(&f);
}

/* The same bytes again mend an object whose bytes are gone. */
SQL_TEST(uploads_mend_what_is_missing)
{
    struct corefix f;
    struct digest d;
    struct str b, got;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    b = body(&f, 1, BIG);
    put(&f, "one", b);
    T_OK(sha256_of(b.p, b.n, &d));
    T_ST_ERR(blob_delete(f.core->blobs, &d, rows(&f, "SELECT gen FROM object"), &f.err), OK,
             &f.err);
    T_ST(corefix_get(&f, S("one"), &got), ST_CORRUPT);
    put(&f, "two", b);
    has(&f, "one", b);
    has(&f, "two", b);
    collect(&f);
    is_clean(&f, 1, 1);
    corefix_close(&f);
}

/* ---- kills ------------------------------------------------------------------------------------------------------------------- */

/* Uploads, uploads again, deletes: what passes every point. */
static void work(struct corefix *f)
{
    put(f, "keep", body(f, 1, BIG));
    put(f, "gone", body(f, 2, BIG));
    put(f, "small", body(f, 3, 50));
    IGNORE_STATUS(corefix_put(f, S("keep/below"), body(f, 4, BIG).p, BIG));
    drop(f, "gone");
    drop(f, "small");
    collect(f);
    put(f, "gone", body(f, 2, BIG));
    drop(f, "gone");
    collect(f);
}

/* A kill at the point leaves nothing that the next round does not finish. */
static void killed(const char *location, const char *blobs, const char *point, int nth)
{
    struct corefix f;
    struct str got;
    bool named;
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char spec[128];

        struct artifact_upload u;
        struct artifact_put p;

        corefix_open(&f, location, blobs);
        upload(&f, body(&f, 5, BIG), &u, &p, "lost");
        claim(&f, &u);
        while (clock_wall_ms() <= rows(&f, "SELECT max(create_ms) FROM upload")) {
        }
        start_collector(&f); /* the lease is of before */
        snprintf(spec, sizeof(spec), "%s=kill:%d", point, nth);
        failpoint_arm(spec);
        work(&f);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) T_FAIL("%s is not passed %d times", point, nth);
    corefix_open(&f, location, blobs);
    while (clock_wall_ms() <= rows(&f, "SELECT coalesce(max(create_ms), 0) FROM upload")) {
    }
    start_collector(&f);
    collect(&f);
    collect(&f);
    named = corefix_get(&f, S("keep"), &got) == OK;
    if (named) has(&f, "keep", body(&f, 1, BIG));
    if (corefix_get(&f, S("gone"), &got) == OK) has(&f, "gone", body(&f, 2, BIG));
    is_clean(&f, rows(&f, "SELECT count(DISTINCT object) FROM artifact"),
             rows(&f, "SELECT count(DISTINCT object) FROM artifact WHERE size > 40"
                      " AND name <> 'small'"));
    drop(&f, "");
    work(&f);
    has(&f, "keep", body(&f, 1, BIG));
    is_clean(&f, 1, 1);
    drop(&f, "");
    collect(&f);
    corefix_close(&f);
}

static const char *const points[] = {
    "core.object.claim",        "core.object.release",       "blob.write.before_dir_sync",
    "core.collect.leases",      "core.collect.condemn",      "core.collect.sentence",
    "core.collect.deleted",     "core.collect.bytes.before", "blob.delete.one",
    "core.collect.bytes.after", "core.collect.retired",
};

static void killed_everywhere(const char *location)
{
    const char *blobs = t_tmpdir();

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        killed(location, blobs, points[i], 1 + (int)(i % 2) * (i > 4));
    }
}

SQL_TEST_LIMIT(killed_while_collecting, 240)
{
    killed_everywhere(location);
}

/* ---- packs ------------------------------------------------------------------------------------------------------------------ */

static void repack(struct corefix *f)
{
    if (!f->core->repacker) {
        T_ST_ERR(repack_start(f->core, &(struct repack_options){ .every_ms = -1 }, &f->err), OK,
                 &f->err);
    }
    T_OK(repack_wait(f->core->repacker, repack_ask(f->core->repacker, REPACK_NOW), WAIT_MS));
}

/* Content in packs goes like any other, and packs with the last of it; what stays is read from them. */
SQL_TEST(packs_that_no_object_names_go)
{
    struct corefix f;
    struct collect_stats stats;

    corefix_open(&f, location, NULL);
    start_collector(&f);
    put(&f, "a", body(&f, 1, BIG));
    put(&f, "b", body(&f, 2, BIG));
    repack(&f);
    T_OK(rows(&f, "SELECT count(*) FROM chunk_at") > 0);
    collect(&f);
    T_INT(files(&f), 0);
    T_INT(rows(&f, "SELECT count(*) FROM packfile WHERE state = 1"), 1);
    drop(&f, "a");
    collect(&f);
    T_INT(rows(&f, "SELECT count(*) FROM object"), 1);
    T_INT(rows(&f, "SELECT count(*) FROM packfile WHERE state = 1"), 1);
    put(&f, "c", body(&f, 2, BIG)); /* the same, which lies in the pack */
    T_INT(files(&f), 0);
    drop(&f, "b");
    drop(&f, "c");
    collect(&f);
    T_INT(rows(&f, "SELECT count(*) FROM object"), 0);
    T_INT(rows(&f, "SELECT count(*) FROM object_pack"), 0);
    T_INT(rows(&f, "SELECT count(*) FROM packfile"), 0);
    T_INT(rows(&f, "SELECT count(*) FROM chunk_at"), 0);
    collect_stats(f.core->collector, &stats);
    T_OK(stats.packs >= 1);
    put(&f, "c", body(&f, 2, BIG));
    has(&f, "c", body(&f, 2, BIG));
    corefix_close(&f);
}

TEST(killed_while_packs_go)
{
    static const char *const pack_points[] = { "core.collect.packs", "core.collect.packs.unindexed",
                                               "core.collect.packs.bytes",
                                               "core.collect.packs.gone" };
    const char *location = t_tmpdir(), *blobs = t_tmpdir();
    struct corefix f;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(pack_points); i++) {
        int status;
        pid_t pid = fork();

        T_OK(pid >= 0);
        if (pid == 0) {
            char spec[128];

            corefix_open(&f, location, blobs);
            start_collector(&f);
            put(&f, "a", body(&f, 1, BIG));
            repack(&f);
            drop(&f, "a");
            snprintf(spec, sizeof(spec), "%s=kill", pack_points[i]);
            failpoint_arm(spec);
            collect(&f);
            _exit(0);
        }
        T_INT(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status)) T_FAIL("%s is never passed", pack_points[i]);
        corefix_open(&f, location, blobs);
        start_collector(&f);
        collect(&f);
        is_clean(&f, 0, 0);
        T_INT(rows(&f, "SELECT count(*) FROM packfile"), 0);
        T_INT(rows(&f, "SELECT count(*) FROM chunk_at"), 0);
        corefix_close(&f);
    }
}

/* ---- uploads and collections at once ------------------------------------------------------------------------------------------ */

enum { WRITERS = 3, WRITES = 25, CONTENTS = 3, SERVERS_MAX = 2 };

struct writer {
    struct core *core;
    unsigned id;
    struct str bodies[CONTENTS];
    struct read_job read;
    struct artifact_place place;
    struct artifact_bytes found;
    struct exec_event *done_reading;
    enum status st;
    struct err err;
};

static void read_it(struct read_job *job, struct view *v)
{
    struct writer *w = CONTAINER_OF(job, struct writer, read);

    w->st = job->st ? job->st : artifact_open(v, &w->place, &w->found, &w->err);
    exec_event_set(w->done_reading);
}

/* What was just acknowledged is there, as it was sent. */
static void check_written(struct writer *w, struct arena *a, struct str want)
{
    char *got = (char *)arena_alloc(a, want.n);
    size_t n = 0;

    w->done_reading = exec_event_new();
    w->read = (struct read_job){ .run = read_it, .arena = a };
    T_ST(core_read_submit(w->core, &w->read), OK);
    T_OK(exec_event_wait(w->done_reading, WAIT_MS));
    exec_event_free(w->done_reading);
    T_ST_ERR(w->st, OK, &w->err);
    T_OK(got != NULL && w->found.fd >= 0);
    while (n < want.n) {
        ssize_t k = sys.pread(w->found.fd, got + n, want.n - n, (off_t)n);

        T_OK(k > 0);
        n += (size_t)k;
    }
    sys.close(w->found.fd);
    T_OK(memcmp(got, want.p, want.n) == 0);
}

static void put_one(struct writer *w, struct arena *a, struct str b)
{
    enum status st = ST_UNAVAILABLE;

    /* A commit beside another server may be told to try again. */
    for (int i = 0; i < 1000 && st == ST_UNAVAILABLE; i++) {
        struct artifact_upload u;
        struct artifact_put p;

        artifact_put_init(&p, w->core, a);
        p.place = w->place;
        p.upload = &u;
        T_ST_ERR(artifact_upload_begin(&u, w->core, a, &w->err), OK, &w->err);
        T_ST_ERR(artifact_upload_piece(&u, b, &w->err), OK, &w->err);
        T_ST_ERR(artifact_upload_end(&u, &w->err), OK, &w->err);
        st = artifact_put_run(&p, &w->err);
    }
    T_ST_ERR(st, OK, &w->err);
}

static void drop_one(struct writer *w, struct arena *a)
{
    enum status st = ST_UNAVAILABLE;

    for (int i = 0; i < 1000 && st == ST_UNAVAILABLE; i++) {
        struct artifact_delete d;

        artifact_delete_init(&d, w->core, a);
        d.place = w->place;
        st = seq_run(w->core->seq, &d.op, &w->err);
    }
    T_ST_ERR(st, OK, &w->err);
}

/* The same few contents come and go under a name of each writer's own. */
static void write_all(void *ctx)
{
    struct writer *w = (struct writer *)ctx;
    struct arena *a = arena_new(64 << 20);

    T_OK(a != NULL);
    for (unsigned i = 0; i < WRITES; i++) {
        struct str b = w->bodies[(i * 7 + w->id) % CONTENTS];

        arena_reset(a);
        w->place = (struct artifact_place){ .root_uri = S("mlflow-artifacts:/"),
                                            .path = arena_printf(a, "w%u", w->id) };
        put_one(w, a, b);
        check_written(w, a, b);
        (void)collect_ask(w->core->collector);
        if (i % 3 != 2) drop_one(w, a);
    }
    put_one(w, a, w->bodies[w->id % CONTENTS]);
    arena_free(a);
}

static void at_once(struct corefix *f, unsigned servers)
{
    struct core *core[SERVERS_MAX] = { f->core };
    struct exec_thread *threads[SERVERS_MAX * WRITERS];
    struct writer writers[SERVERS_MAX * WRITERS];
    unsigned n = servers * WRITERS;

    start_collector(f);
    for (unsigned s = 1; s < servers; s++) {
        struct core_options opt = f->opt;

        opt.sql.location = f->location;
        opt.artifact_root = S("mlflow-artifacts:/");
        T_ST_ERR(core_open(&core[s], &opt, &f->err), OK, &f->err);
        core[s]->blobs = f->core->blobs;
        T_ST_ERR(collect_start(core[s], &(struct collect_options){ .every_ms = -1 }, &f->err), OK,
                 &f->err);
    }
    for (unsigned i = 0; i < n; i++) {
        writers[i] = (struct writer){ .core = core[i % servers], .id = i };
        for (unsigned k = 0; k < CONTENTS; k++) {
            writers[i].bodies[k] = body(f, (char)(k + 1), BIG);
        }
        T_ST_ERR(exec_thread_new(&threads[i], "writer", write_all, &writers[i], &f->err), OK,
                 &f->err);
    }
    for (unsigned i = 0; i < n; i++) {
        exec_thread_join(threads[i]);
    }
    for (unsigned s = 1; s < servers; s++) {
        core_close(core[s]);
    }
    for (unsigned i = 0; i < n; i++) {
        char name[16];

        snprintf(name, sizeof(name), "w%u", i);
        has(f, name, writers[i].bodies[i % CONTENTS]);
    }
    collect(f);
    collect(f);
    is_clean(f, CONTENTS, CONTENTS);
}

TEST_LIMIT(uploads_and_collections_at_once, 240)
{
    struct corefix f;

    corefix_open_with(&f, t_tmpdir(), &(struct core_options){ .readers = 2 });
    at_once(&f, 1);
    corefix_close(&f);
}

/* Two servers over one database and the same bytes. */
TEST_LIMIT(two_servers_upload_and_collect, 240)
{
    struct core_options opt = { .readers = 2, .sql = { .shared = true, .owner = "test" } };
    struct corefix f;

    corefix_open_with(&f, pgtest_uri(), &opt);
    at_once(&f, 2);
    corefix_close(&f);
}
