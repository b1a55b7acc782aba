/* The collector: what nothing refers to goes, in its time, with its bytes; and what is left by a kill goes after the next start. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "core/collect.h"
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
    T_ST_ERR(blob_write_end(w, &d, &size, &f->err), OK, &f->err);
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

/* A kill at the point leaves nothing that the next round does not finish. */
static void killed(const char *location, const char *point)
{
    const char *blobs = t_tmpdir();
    struct corefix f;
    struct digest d[3];
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char spec[128];

        corefix_open(&f, location, blobs);
        start_collector(&f);
        for (size_t i = 0; i < ARRAY_N(d); i++) {
            d[i] = put_bytes(&f, i, 64);
        }
        retire(&f, d, ARRAY_N(d), 0);
        snprintf(spec, sizeof(spec), "%s=kill", point);
        failpoint_arm(spec);
        collect(&f);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) T_FAIL("%s is never passed", point);
    corefix_open(&f, location, blobs);
    for (size_t i = 0; i < ARRAY_N(d); i++) {
        d[i] = put_bytes(&f, i, 64);
    }
    T_INT(rows(&f, "SELECT count(*) FROM retired"), 3);
    start_collector(&f);
    collect(&f);
    for (size_t i = 0; i < ARRAY_N(d); i++) {
        T_OK(!has_bytes(&f, &d[i], 0));
    }
    T_INT(rows(&f, "SELECT count(*) FROM retired"), 0);
    corefix_close(&f);
}

static const char *const points[] = { "core.collect.bytes.before", "blob.delete.one",
                                      "core.collect.bytes.after", "core.collect.retired" };

static const char *new_folder(void)
{
    return t_tmpdir();
}

static void killed_everywhere(const char *(*location)(void))
{
#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        killed(location(), points[i]);
    }
}

TEST(killed_while_collecting_sqlite)
{
    killed_everywhere(new_folder);
}

TEST_LIMIT(killed_while_collecting_postgres, 120)
{
    killed_everywhere(pgtest_uri);
}
