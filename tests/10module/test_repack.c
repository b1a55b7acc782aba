/* The repacker: what was stored is given back the same out of packs, equal chunks lie once, packs that nobody needs go, and a kill at
 * any point leaves a store that the next round puts in order. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/mem.h"
#include "core/collect.h"
#include "core/repack.h"
#include "store/blob/blob.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 120000, BIG = 1500000, PACK = 600000 };

static int64_t rows(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

static void put(struct corefix *f, const char *path, const char *p, size_t n)
{
    T_ST_ERR(corefix_put(f, str_cstr(path), p, n), OK, &f->err);
}

static enum status count_file(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(int64_t *)ctx;
    return OK;
}

/* Files below blobs/<what>/xx. */
static int64_t files(struct corefix *f, const char *what)
{
    int64_t n = 0;

    for (unsigned i = 0; i < BLOB_SHARDS; i++) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s/%02x", f->blobs, what, i);
        if (access(path, F_OK) == 0) T_ST_ERR(fs_each(path, count_file, &n, &f->err), OK, &f->err);
    }
    return n;
}

/* What must be true whenever a round is over: packs have rows, rows say where they are named, and everything can be read. */
static void in_order(struct corefix *f)
{
    T_INT(rows(f, "SELECT count(*) FROM packfile WHERE state <> 1"), 0);
    T_INT(rows(f, "SELECT count(*) FROM packfile"), files(f, "packs"));
    T_INT(rows(f, "SELECT count(*) FROM chunk_at WHERE pack NOT IN (SELECT id FROM packfile)"), 0);
    T_INT(rows(f, "SELECT count(*) FROM object_pack WHERE pack NOT IN (SELECT id FROM packfile)"),
          0);
    T_INT(
        rows(f, "SELECT count(*) FROM object_pack WHERE sha256 NOT IN (SELECT sha256 FROM object)"),
        0);
    T_INT(rows(f, "SELECT count(*) FROM packfile WHERE id NOT IN (SELECT pack FROM object_pack)"),
          0);
    T_INT(
        rows(
            f,
            "SELECT count(*) FROM object WHERE stage = 1 AND size > 0 AND (recipe IS NULL OR body IS NOT NULL "
            "OR sha256 NOT IN (SELECT sha256 FROM object_pack))"),
        0);
}

/* Rows of the artifact `gone` and what is behind it, as a collection takes them away. */
static void take_away(struct corefix *f)
{
    corefix_script(
        f, "DELETE FROM object_pack WHERE sha256 IN (SELECT object FROM artifact WHERE name = "
           "'gone'); DELETE FROM object WHERE sha256 IN (SELECT object FROM artifact WHERE name = "
           "'gone'); DELETE FROM artifact WHERE name = 'gone'");
}

SQL_TEST(objects_move_and_read_the_same)
{
    struct corefix f;
    char *big = corefix_noise(BIG), *edited = mem_alloc(BIG), *text = mem_alloc(BIG);
    struct repack_stats s, again;

    T_OK(edited && text);
    memcpy(edited, big, BIG);
    memset(edited + BIG / 2, 7, 1000);
    for (size_t i = 0; i < BIG; i++) {
        text[i] = "step,loss,accuracy\n0.25,17\n"[i % 27];
    }
    corefix_open(&f, location, NULL);
    corefix_keepers(&f, PACK);
    put(&f, "empty", "", 0);
    put(&f, "small", "hello", 5);
    put(&f, "inline", big + 100, 30000);
    put(&f, "big", big, BIG);
    put(&f, "text", text, BIG);
    s = corefix_repack(&f, REPACK_NOW);
    T_UINT(s.objects, 5);
    T_UINT(s.damaged, 0);
    T_OK(s.packs >= 3);
    /* Text is kept compressed, noise as it is. */
    T_OK(s.pack_bytes < BIG + 200000);
    T_INT(rows(&f, "SELECT count(*) FROM object WHERE stage = 0"), 0);
    T_INT(rows(&f, "SELECT count(*) FROM retired"), 2);
    put(&f, "edited", edited, BIG);
    again = corefix_repack(&f, REPACK_NOW);
    T_UINT(again.objects, 6);
    T_OK(again.new_bytes - s.new_bytes <= 2 * 131072);
    s = corefix_repack(&f, REPACK_NOW);
    T_UINT(s.packs, again.packs);
    corefix_collect(&f);
    T_INT(files(&f, "objects"), 0);
    in_order(&f);
    for (int i = 0; i < 2; i++) {
        corefix_same(&f, "empty", "", 0);
        corefix_same(&f, "small", "hello", 5);
        corefix_same(&f, "inline", big + 100, 30000);
        corefix_same(&f, "big", big, BIG);
        corefix_same(&f, "edited", edited, BIG);
        corefix_same(&f, "text", text, BIG);
        if (i == 0) corefix_reopen(&f);
    }
    corefix_close(&f);
    mem_free(big);
    mem_free(edited);
    mem_free(text);
}

/* Versions of a file, each an edit of the one before: insertions, removals, overwritten stretches. */
TEST(random_edits)
{
    enum { VERSIONS = 8, MAX = 2 * BIG };
    struct corefix f;
    char *version[VERSIONS];
    size_t n[VERSIONS];
    uint64_t sum = 0;
    struct repack_stats s;

    corefix_open(&f, t_tmpdir(), NULL);
    corefix_keepers(&f, PACK);
    for (size_t i = 0; i < VERSIONS; i++) {
        char path[32];

        version[i] = i ? mem_alloc(MAX) : corefix_noise(MAX);
        T_OK(version[i] != NULL);
        n[i] = i ? n[i - 1] : BIG;
        if (i) {
            size_t at = t_rand() % n[i], k = t_rand() % 5000;

            memcpy(version[i], version[i - 1], at);
            if (t_rand() % 2) { /* longer */
                memset(version[i] + at, (int)i, k);
                memcpy(version[i] + at + k, version[i - 1] + at, n[i - 1] - at);
                n[i] += k;
            } else {
                k = MIN_OF(k, n[i - 1] - at);
                memcpy(version[i] + at, version[i - 1] + at + k, n[i - 1] - at - k);
                n[i] -= k;
            }
        }
        snprintf(path, sizeof(path), "v/%zu", i);
        put(&f, path, version[i], n[i]);
        sum += n[i];
        if (i % 3 == 2) (void)corefix_repack(&f, REPACK_NOW);
    }
    s = corefix_repack(&f, REPACK_NOW);
    T_UINT(s.bytes, sum);
    T_OK(s.new_bytes < BIG + VERSIONS * 3 * 131072);
    in_order(&f);
    for (size_t i = 0; i < VERSIONS; i++) {
        char path[32];

        snprintf(path, sizeof(path), "v/%zu", i);
        corefix_same(&f, path, version[i], n[i]);
        mem_free(version[i]);
    }
    corefix_close(&f);
}

SQL_TEST(the_index_is_made_anew)
{
    struct corefix f;
    char *p = corefix_noise(BIG);
    struct repack_stats s, again;
    int64_t n;

    corefix_open(&f, location, NULL);
    corefix_keepers(&f, PACK);
    put(&f, "a", p, BIG);
    s = corefix_repack(&f, REPACK_NOW);
    n = rows(&f, "SELECT count(*) FROM chunk_at");
    T_OK(n > 10);
    corefix_script(&f, "DELETE FROM chunk_at");
    p[0] ^= 1;
    put(&f, "b", p, BIG);
    again = corefix_repack(&f, REPACK_REINDEX);
    T_INT(rows(&f, "SELECT count(*) FROM chunk_at"), n + 1);
    T_OK(again.new_bytes - s.new_bytes <= 131072);
    corefix_same(&f, "b", p, BIG);
    corefix_close(&f);
    mem_free(p);
}

/* Rows of packs that are gone hide no chunk, and are removed when the index is made anew. */
SQL_TEST(stale_rows_of_the_index)
{
    struct corefix f;
    char *p = corefix_noise(BIG);
    struct repack_stats s, again;
    int64_t n;

    corefix_open(&f, location, NULL);
    corefix_keepers(&f, PACK);
    put(&f, "a", p, BIG);
    s = corefix_repack(&f, REPACK_NOW);
    n = rows(&f, "SELECT count(*) FROM chunk_at");
    /* Before the true ones, as many as are looked at and more. */
    for (int i = 1; i <= 5; i++) {
        char sql[128];

        snprintf(sql, sizeof(sql), "INSERT INTO chunk_at SELECT id, %d, 0 FROM chunk_at%s", i,
                 i > 1 ? " WHERE pack = 1" : "");
        corefix_script(&f, sql);
    }
    T_INT(rows(&f, "SELECT count(*) FROM chunk_at"), 6 * n);
    p[0] ^= 1;
    put(&f, "b", p, BIG);
    again = corefix_repack(&f, REPACK_NOW);
    T_OK(again.new_bytes - s.new_bytes <= 131072);
    (void)corefix_repack(&f, REPACK_REINDEX);
    T_INT(rows(&f, "SELECT count(*) FROM chunk_at WHERE pack <= 5"), 0);
    T_INT(rows(&f, "SELECT count(*) FROM chunk_at"), n + 1);
    corefix_same(&f, "b", p, BIG);
    corefix_close(&f);
    mem_free(p);
}

/* A pack that nobody names goes; one of which little is named is emptied, and goes too. */
SQL_TEST(packs_go)
{
    struct corefix f;
    char *p = corefix_noise(BIG);
    struct repack_stats s;
    int64_t before;

    corefix_open(&f, location, NULL);
    corefix_keepers(&f, PACK);
    put(&f, "gone", p, BIG);
    put(&f, "part", p + BIG - 400000, 300000);
    put(&f, "small", "hello", 5);
    (void)corefix_repack(&f, REPACK_NOW);
    before = files(&f, "packs");
    T_OK(before >= 3);
    take_away(&f);
    s = corefix_repack(&f, REPACK_NOW);
    T_OK(s.packs_left >= 2);
    T_INT(files(&f, "packs"),
          rows(&f, "SELECT count(*) FROM packfile")); /* they have their grace */
    T_OK(rows(&f, "SELECT count(*) FROM packfile WHERE state = 3") > 0);
    (void)corefix_repack(&f, REPACK_NO_GRACE);
    in_order(&f);
    T_OK(files(&f, "packs") < before);
    T_OK(rows(&f, "SELECT CAST(sum(bytes) AS BIGINT) FROM packfile") < 700000);
    corefix_same(&f, "part", p + BIG - 400000, 300000);
    corefix_same(&f, "small", "hello", 5);
    /* The index names nothing that is gone. */
    T_INT(rows(&f, "SELECT count(*) FROM chunk_at WHERE pack NOT IN (SELECT id FROM packfile)"), 0);
    put(&f, "again", p, BIG);
    (void)corefix_repack(&f, REPACK_NOW);
    corefix_same(&f, "again", p, BIG);
    corefix_close(&f);
    mem_free(p);
}

/* The file of a loose object. */
static void place_of(struct corefix *f, const char *p, size_t n, char out[512])
{
    char hex[65], sql[256];
    struct digest d;

    T_OK(sha256_of(p, n, &d));
    digest_hex(&d, hex);
    snprintf(sql, sizeof(sql), "SELECT gen FROM object WHERE size = %zu", n);
    snprintf(out, 512, "%s/objects/%.2s/%s-%lld", f->blobs, hex, hex, (long long)rows(f, sql));
}

TEST(damaged_bytes_stay_as_they_are)
{
    struct corefix f;
    char *p = corefix_noise(BIG), path[512];
    struct repack_stats s;

    corefix_open(&f, t_tmpdir(), NULL);
    corefix_keepers(&f, PACK);
    put(&f, "bad", p, BIG);
    put(&f, "missing", p, BIG - 1);
    put(&f, "good", p + 1, 100000);
    place_of(&f, p, BIG, path);
    p[BIG / 3] ^= 1;
    T_ST_ERR(fs_write_atomic(path, p, BIG, 0600, &f.err), OK, &f.err);
    p[BIG / 3] ^= 1;
    place_of(&f, p, BIG - 1, path);
    T_INT(unlink(path), 0);
    s = corefix_repack(&f, REPACK_NOW);
    T_UINT(s.objects, 1);
    T_UINT(s.damaged, 2);
    T_INT(rows(&f, "SELECT count(*) FROM object WHERE stage = 3"), 2);
    corefix_same(&f, "good", p + 1, 100000);
    s = corefix_repack(&f, REPACK_NO_GRACE);
    T_UINT(s.damaged, 2);
    in_order(&f);
    corefix_close(&f);
    mem_free(p);
}

/* By itself, when nothing new comes any more. */
TEST(it_begins_by_itself)
{
    struct repack_options opt = { .every_ms = 1, .min_bytes = 100000 };
    struct corefix f;
    char *p = corefix_noise(BIG);

    corefix_open(&f, t_tmpdir(), NULL);
    T_ST_ERR(repack_start(f.core, &opt, &f.err), OK, &f.err);
    put(&f, "small", p, 50000);
    put(&f, "big", p, BIG);
    while (rows(&f, "SELECT count(*) FROM object WHERE stage = 0")) {
    }
    corefix_same(&f, "big", p, BIG);
    corefix_close(&f);
    mem_free(p);
}

/* ---- kills ------------------------------------------------------------------------------------------------------------------------ */

/* Packs, takes away, packs again: passes every point. */
static void whole_life(struct corefix *f)
{
    corefix_keepers(f, PACK);
    (void)corefix_repack(f, REPACK_NOW);
    take_away(f);
    corefix_script(f, "INSERT INTO chunk_at (id, pack, n) VALUES (1, 2, 3) ON CONFLICT DO NOTHING");
    (void)corefix_repack(f, REPACK_REINDEX);
    (void)corefix_repack(f, REPACK_NO_GRACE);
}

static void killed(const char *location, const char *point, unsigned passing)
{
    const char *blobs = t_tmpdir();
    char *p = corefix_noise(BIG);
    struct corefix f;
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char spec[128];

        corefix_open(&f, location, blobs);
        put(&f, "gone", p, BIG);
        put(&f, "part", p + BIG - 400000, 300000);
        put(&f, "text", p, 20000);
        snprintf(spec, sizeof(spec), "%s=kill:%u", point, passing);
        failpoint_arm(spec);
        whole_life(&f);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) && passing == 1) T_FAIL("%s is never passed", point);
    corefix_open(&f, location, blobs);
    corefix_same(&f, "part", p + BIG - 400000, 300000);
    corefix_same(&f, "text", p, 20000);
    whole_life(&f);
    corefix_collect(&f);
    in_order(&f);
    corefix_same(&f, "part", p + BIG - 400000, 300000);
    corefix_same(&f, "text", p, 20000);
    corefix_close(&f);
    mem_free(p);
}

static const char *const points[] = {
    "core.repack.begun",   "core.repack.seal",    "core.repack.sealed",    "core.repack.written",
    "core.repack.indexed", "core.repack.swapped", "core.repack.unindexed", "core.repack.left",
    "core.repack.delete",  "core.repack.deleted", "core.repack.gone",      "core.repack.stale"
};

static const char *new_folder(void)
{
    return t_tmpdir();
}

/* few: those between which rows differ most. */
static void killed_everywhere(const char *(*location)(void), bool few)
{
#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = few ? 3 : 0; i < ARRAY_N(points); i += few ? 4 : 1) {
        killed(location(), points[i], 1);
    }
    killed(location(), "core.repack.written", 2);
}

TEST(killed_while_packing_sqlite)
{
    killed_everywhere(new_folder, false);
}

TEST_LIMIT(killed_while_packing_postgres, 120)
{
    killed_everywhere(pgtest_uri, true);
}
