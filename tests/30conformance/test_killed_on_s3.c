/* Killed while bytes go into a bucket, on either SQL engine: in the middle of an upload, while it is completed, while it is packed, and
 * in each transaction of a collection. What was acknowledged stays, what was not is whole or absent, and after the next round nothing
 * lies anywhere that nothing refers to. The same on a folder: tests/10module/test_collect.c, test_repack.c; the backend alone:
 * test_blob_backends.c. Runs on radosgw, beside tools/with-s3. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/id.h"
#include "base/mem.h"
#include "core/collect.h"
#include "core/repack.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PART = 5 << 20, LARGE = PART + 100000, MIDDLE = 100000 };

enum phase { UPLOAD, PACK, COLLECT };

static const struct {
    const char *name;
    enum phase in;
} points[] = {
    { "blob.s3.upload.part_sent", UPLOAD }, { "blob.s3.complete.before", UPLOAD },
    { "blob.s3.complete.after", UPLOAD },   { "blob.s3.copy.after", UPLOAD },
    { "core.repack.seal", PACK },           { "core.repack.sealed", PACK },
    { "core.repack.swapped", PACK },        { "core.collect.condemn", COLLECT },
    { "core.collect.sentence", COLLECT },   { "core.collect.bytes.after", COLLECT },
    { "core.collect.deleted", COLLECT },
};

static char bucket[256], endpoint[256];

/* A prefix of its own; the process finds what it left behind by the folder. */
static struct blob_options new_bucket(void)
{
    const char *all = getenv("CAIRN_TEST_S3"), *at = all ? strstr(all, "radosgw=") : NULL;
    char id[33];

    if (!at) T_SKIP("CAIRN_TEST_S3 names no radosgw");
    at += strlen("radosgw=");
    snprintf(endpoint, sizeof(endpoint), "%.*s", (int)strcspn(at, " "), at);
    id_hex32(id);
    snprintf(bucket, sizeof(bucket), "s3://cairn/killed/%s", id);
    return (struct blob_options){ .location = bucket,
                                  .state_dir = t_tmpdir(),
                                  .s3 = { .endpoint = endpoint, .part_bytes = PART } };
}

static int64_t rows(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

static void put(struct corefix *f, const char *path, const char *p, size_t n)
{
    T_ST_ERR(corefix_put(f, str_cstr(path), p, n), OK, &f->err);
}

/* Leases are of before once the clock has gone on. */
static void start_keepers(struct corefix *f)
{
    while (clock_wall_ms() <= rows(f, "SELECT coalesce(max(create_ms), 0) FROM upload")) {
    }
    corefix_keepers(f, 0);
}

/* What passes the points of a phase. */
static void work(struct corefix *f, enum phase phase, const char *p)
{
    switch (phase) {
    case UPLOAD: put(f, "large", p, LARGE); break;
    case PACK: (void)corefix_repack(f, REPACK_NOW); break;
    case COLLECT:
        T_ST_ERR(corefix_delete(f, S("gone")), OK, &f->err);
        corefix_collect(f);
        break;
    }
}

/* In a child. Does not return. */
static void work_and_die(const char *location, const struct blob_options *bytes, size_t point,
                         const char *p)
{
    struct corefix f;
    char spec[128];

    corefix_open_on(&f, location, bytes);
    start_keepers(&f);
    put(&f, "keep", p + 1, MIDDLE);
    put(&f, "gone", p + 2, MIDDLE);
    snprintf(spec, sizeof(spec), "%s=kill", points[point].name);
    failpoint_arm(spec);
    work(&f, points[point].in, p);
    _exit(0);
}

/* Nothing refers to what was collected, and nothing unfinished is left. */
static void is_clean(struct corefix *f, int64_t objects)
{
    size_t left;

    T_INT(rows(f, "SELECT count(*) FROM object"), objects);
    T_INT(rows(f, "SELECT count(*) FROM object WHERE state <> 1"), 0);
    T_INT(rows(f, "SELECT count(*) FROM retired"), 0);
    T_INT(rows(f, "SELECT count(*) FROM upload"), 0);
    T_ST_ERR(blob_tidy(f->core->blobs, &left, &f->err), OK, &f->err);
    T_UINT(left, 0);
}

/* The next server: reads what is there, does what was not done, and ends with an empty store. */
static void go_on(struct corefix *f, enum phase phase, const char *p)
{
    struct str got;
    bool is_there;

    start_keepers(f);
    corefix_same(f, "keep", p + 1, MIDDLE);
    is_there = corefix_get(f, S("gone"), &got) == OK;
    T_OK(is_there || phase == COLLECT);
    if (is_there) corefix_same(f, "gone", p + 2, MIDDLE);
    if (corefix_get(f, S("large"), &got) == OK) corefix_same(f, "large", p, LARGE);
    corefix_collect(f);
    is_clean(f, rows(f, "SELECT count(DISTINCT object) FROM artifact"));
    put(f, "gone", p + 2, MIDDLE);
    work(f, phase, p);
    corefix_same(f, "keep", p + 1, MIDDLE);
    T_ST_ERR(corefix_delete(f, S("")), OK, &f->err);
    corefix_collect(f);
    if (phase == PACK) (void)corefix_repack(f, REPACK_NO_GRACE);
    is_clean(f, 0);
    T_INT(rows(f, "SELECT count(*) FROM packfile"), 0);
}

static enum status no_object(void *ctx, const struct blob_entry *e, struct err *err)
{
    (void)ctx;
    (void)e;
    return err_set(err, ST_CORRUPT, "an object is left in the bucket");
}

static enum status no_pack(void *ctx, const struct blob_pack_entry *e, struct err *err)
{
    (void)ctx;
    (void)e;
    return err_set(err, ST_CORRUPT, "a pack is left in the bucket");
}

static void nothing_is_left(struct blob_store *s)
{
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < BLOB_SHARDS; i++) {
        T_ST_ERR(blob_list(s, i, no_object, NULL, &err), OK, &err);
        T_ST_ERR(blob_pack_list(s, i, no_pack, NULL, &err), OK, &err);
    }
}

SQL_TEST_LIMIT(killed_anywhere, 240)
{
    struct blob_options bytes = new_bucket();
    char *p = corefix_noise(LARGE);
    struct corefix f;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        int status;
        pid_t pid = fork();

        T_OK(pid >= 0);
        if (pid == 0) work_and_die(location, &bytes, i, p);
        T_INT(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status)) T_FAIL("%s is not passed", points[i].name);
        corefix_open_on(&f, location, &bytes);
        go_on(&f, points[i].in, p);
        if (i + 1 == ARRAY_N(points)) nothing_is_left(f.core->blobs);
        corefix_close(&f);
    }
    mem_free(p);
}
