/* The scrubber: damage of every kind is found and told with its owner, is not served, and is cured by the next upload of the same bytes;
 * files that nothing knows go, and no upload is hurt; a kill at any point leaves a store that the next round puts in order. On a
 * folder, and on S3 servers where CAIRN_TEST_S3 names them (tools/with-s3 does). */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "core/collect.h"
#include "core/object.h"
#include "core/repack.h"
#include "core/scrub.h"
#include "store/blob/blob.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 120000, BIG = 300000, PACK = 600000 };

static void start(struct corefix *f)
{
    corefix_keepers(f, PACK);
    T_ST_ERR(scrub_start(f->core, &f->err), OK, &f->err);
}

static void repack(struct corefix *f)
{
    T_OK(repack_wait(f->core->repacker, repack_ask(f->core->repacker, REPACK_NO_GRACE), WAIT_MS));
}

static struct scrub_stats scrub(struct corefix *f, const struct scrub_options *opt)
{
    struct scrub_stats s;

    T_OK(scrub_wait(f->core->scrubber, scrub_ask(f->core->scrubber, opt), WAIT_MS));
    scrub_stats(f->core->scrubber, &s);
    T_OK(str_eq(str_cstr(s.problem), S("")));
    return s;
}

static struct scrub_stats look(struct corefix *f)
{
    return scrub(f, &(struct scrub_options){ .bytes_per_s = 1u << 30 });
}

static void put(struct corefix *f, const char *path, const char *p, size_t n)
{
    T_ST_ERR(corefix_put(f, str_cstr(path), p, n), OK, &f->err);
}

static void is_refused(struct corefix *f, const char *path)
{
    struct str got;

    T_ST(corefix_get(f, str_cstr(path), &got), ST_CORRUPT);
    corefix_fresh(f);
}

static const struct scrub_finding *found(struct corefix *f, size_t *n)
{
    struct scrub_finding *all;

    T_ST_ERR(scrub_findings(f->core->scrubber, f->a, &all, n, &f->err), OK, &f->err);
    return all;
}

/* ---- damage to files, by hand ------------------------------------------------------------------------------------------------- */

enum harm { FLIP, TRUNCATE, REMOVE };

static void harm_file(const char *path, enum harm harm, off_t at)
{
    char c;
    int fd;

    if (harm == REMOVE) {
        T_INT(unlink(path), 0);
        return;
    }
    fd = open(path, O_RDWR);
    T_OK(fd >= 0);
    if (harm == TRUNCATE) {
        T_INT(ftruncate(fd, at), 0);
    } else {
        T_INT(pread(fd, &c, 1, at), 1);
        c = (char)(c ^ 1);
        T_INT(pwrite(fd, &c, 1, at), 1);
    }
    close(fd);
}

struct picked {
    char path[600], folder[512];
    int n;
};

static enum status pick(void *ctx, const char *name, struct err *err)
{
    struct picked *p = ctx;

    (void)err;
    p->n++;
    snprintf(p->path, sizeof(p->path), "%s/%s", p->folder, name);
    return OK;
}

/* The only file below blobs/<what>/xx; how many there are. */
static int only_file(struct corefix *f, const char *what, char path[600])
{
    struct picked p = { .n = 0 };

    for (unsigned i = 0; i < BLOB_SHARDS; i++) {
        snprintf(p.folder, sizeof(p.folder), "%s/%s/%02x", f->blobs, what, i);
        if (access(p.folder, F_OK) == 0) {
            T_ST_ERR(fs_each(p.folder, pick, &p, &f->err), OK, &f->err);
        }
    }
    memcpy(path, p.path, sizeof(p.path));
    return p.n;
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

TEST(sound)
{
    struct corefix f;
    char *big = corefix_noise(BIG);
    struct scrub_stats s;
    size_t n;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    s = look(&f);
    T_UINT(s.objects, 0);
    put(&f, "a/big", big, BIG);
    put(&f, "a/small", big, 1000);
    put(&f, "a/empty", big, 0);
    s = look(&f);
    T_UINT(s.objects, 3);
    T_UINT(s.bytes, BIG + 1000);
    T_UINT(s.files, 1);
    T_UINT(s.damaged + s.unknown + s.packs, 0);
    repack(&f);
    corefix_collect(&f);
    s = scrub(&f, &(struct scrub_options){ .deep = true, .bytes_per_s = 1u << 30 });
    T_UINT(s.objects, 3);
    T_UINT(s.packs, 1);
    T_OK(s.bytes >= 2 * BIG); /* once in the pack, once through the recipe */
    T_UINT(s.damaged + s.unknown, 0);
    (void)found(&f, &n);
    T_UINT(n, 0);
    corefix_close(&f);
    mem_free(big);
}

/* What is wrong is found, not served, cured by an upload of the same bytes elsewhere, and then sound. */
static void cure(struct corefix *f, const char *path, const char *p, size_t n)
{
    struct scrub_stats s = look(f);

    T_UINT(s.damaged, 1);
    is_refused(f, path);
    put(f, "cure/again", p, n);
    corefix_same(f, path, p, n);
    s = look(f);
    T_UINT(s.damaged, 0);
}

static void whole_file(enum harm harm, off_t at)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600];

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "a/big", big, BIG);
    T_INT(only_file(&f, "objects", path), 1);
    harm_file(path, harm, at);
    cure(&f, "a/big", big, BIG);
    corefix_collect(&f);
    T_INT(only_file(&f, "objects", path), 1); /* the old place is gone */
    corefix_close(&f);
    mem_free(big);
}

TEST(whole_file_flipped)
{
    whole_file(FLIP, BIG / 2);
}

TEST(whole_file_truncated)
{
    whole_file(TRUNCATE, BIG - 1);
}

TEST(whole_file_removed)
{
    whole_file(REMOVE, 0);
}

/* A mark goes when the bytes are back. */
TEST(healed_by_hand)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600];
    struct scrub_stats s;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "a/big", big, BIG);
    T_INT(only_file(&f, "objects", path), 1);
    harm_file(path, FLIP, 7);
    T_UINT(look(&f).damaged, 1);
    T_UINT(look(&f).damaged, 1); /* again, as long as it is */
    harm_file(path, FLIP, 7);
    is_refused(&f, "a/big");
    s = look(&f);
    T_UINT(s.damaged, 0);
    T_UINT(s.healed, 1);
    corefix_same(&f, "a/big", big, BIG);
    corefix_close(&f);
    mem_free(big);
}

static void pack_file(enum harm harm, off_t at, size_t packs_damaged)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600];
    struct scrub_stats s;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "a/big", big, BIG);
    repack(&f);
    corefix_collect(&f);
    T_INT(only_file(&f, "packs", path), 1);
    harm_file(path, harm, at);
    s = look(&f);
    T_UINT(s.damaged_packs, packs_damaged);
    T_UINT(s.damaged, 1);
    is_refused(&f, "a/big");
    put(&f, "cure/again", big, BIG);
    corefix_same(&f, "a/big", big, BIG);
    repack(&f); /* does not rely on what is damaged */
    corefix_collect(&f);
    corefix_same(&f, "a/big", big, BIG);
    s = look(&f);
    T_UINT(s.damaged + s.damaged_packs, 0);
    corefix_close(&f);
    mem_free(big);
}

TEST(pack_chunk_flipped)
{
    pack_file(FLIP, 16 + 1000, 1);
}

TEST(pack_foot_flipped)
{
    pack_file(FLIP, BIG + 60, 1);
}

TEST(pack_truncated)
{
    pack_file(TRUNCATE, BIG / 2, 1);
}

TEST(pack_removed)
{
    pack_file(REMOVE, 0, 1);
}

TEST(row_of_a_small_object)
{
    struct corefix f;
    char *small = corefix_noise(1000);

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "a/small", small, 1000);
    corefix_script(&f, "UPDATE object SET body = randomblob(1000) WHERE size = 1000");
    is_refused(&f, "a/small"); /* also before anybody looked */
    cure(&f, "a/small", small, 1000);
    corefix_script(&f, "UPDATE object SET body = randomblob(999) WHERE size = 1000");
    cure(&f, "a/small", small, 1000);
    corefix_close(&f);
    mem_free(small);
}

TEST(recipe)
{
    struct corefix f;
    char *big = corefix_noise(BIG);

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "a/big", big, BIG);
    repack(&f);
    corefix_script(&f, "UPDATE object SET recipe = randomblob(20) WHERE recipe IS NOT NULL");
    cure(&f, "a/big", big, BIG);
    corefix_close(&f);
    mem_free(big);
}

/* The repacker reads every byte as well; what it finds is marked the same. */
TEST(found_by_the_repacker)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600];

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "a/big", big, BIG);
    T_INT(only_file(&f, "objects", path), 1);
    harm_file(path, FLIP, 7);
    repack(&f);
    is_refused(&f, "a/big");
    put(&f, "b/big", big, BIG);
    corefix_same(&f, "a/big", big, BIG);
    T_UINT(look(&f).damaged, 0);
    corefix_close(&f);
    mem_free(big);
}

TEST(names)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600], at[200];
    const struct scrub_finding *all;
    struct scrub_name *names;
    struct logged_model model;
    struct str run, text;
    size_t n, names_n;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    run = corefix_new_run(&f, 0);
    run = arena_str(f.a, run);
    model = corefix_model(&f, 0, "resnet");
    snprintf(at, sizeof(at), "0/%.*s/artifacts/model/weights", STR_ARG(run));
    put(&f, at, big, BIG);
    snprintf(at, sizeof(at), "0/models/%.*s/artifacts/weights", STR_ARG(model.model_id));
    put(&f, at, big, BIG);
    put(&f, "elsewhere/weights", big, BIG);
    T_INT(only_file(&f, "objects", path), 1);
    harm_file(path, FLIP, 0);
    T_UINT(look(&f).damaged, 1);
    all = found(&f, &n);
    T_UINT(n, 1);
    T_INT(all[0].kind, SCRUB_OBJECT);
    T_OK(strncmp(all[0].place, "objects/", 8) == 0);
    T_ST_ERR(scrub_names(&f.v, &all[0].sha256, &names, &names_n, &f.err), OK, &f.err);
    T_UINT(names_n, 3);
    for (size_t i = 0; i < names_n; i++) {
        text = names[i].kind == SCRUB_RUN            ? run
               : names[i].kind == SCRUB_LOGGED_MODEL ? model.model_id
                                                     : S("");
        T_STR_EQ(names[i].id, text);
    }
    corefix_close(&f);
    mem_free(big);
}

/* ---- files that nothing knows --------------------------------------------------------------------------------------------------- */

/* A place without a row: leased, written, and the lease ended under it, as when its holder dies after its write. */
static void orphan(struct corefix *f, const char *p, size_t n)
{
    struct object_claim claim;
    struct blob_writer *w;
    struct digest d;
    char sql[128];
    uint64_t size;

    T_ST_ERR(blob_write_begin(f->core->blobs, &w, &f->err), OK, &f->err);
    T_ST_ERR(blob_write(w, p, n, &f->err), OK, &f->err);
    blob_write_hash(w, &d, &size);
    object_claim_init(&claim, f->a, &d, size);
    T_ST_ERR(corefix_run(f, &claim.op), OK, &f->err);
    T_ST_ERR(blob_write_place(w, claim.lease.gen, &f->err), OK, &f->err);
    snprintf(sql, sizeof(sql), "DELETE FROM upload WHERE gen = %lld", (long long)claim.lease.gen);
    corefix_script(f, sql);
    corefix_fresh(f);
}

static const struct scrub_options sweep_all = { .bytes_per_s = 1u << 30,
                                                .sweep = true,
                                                .has_age = true };

TEST(files_that_nothing_knows)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600];
    const struct scrub_finding *all;
    struct scrub_stats s;
    size_t n;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "kept", big, BIG);
    orphan(&f, big + 1, 100000);
    orphan(&f, big, BIG); /* of a content that has a row, in another place */
    s = look(&f);
    T_UINT(s.files, 3);
    T_UINT(s.unknown, 2);
    T_UINT(s.unknown_bytes, BIG + 100000);
    T_UINT(s.swept + s.damaged, 0);
    all = found(&f, &n);
    T_UINT(n, 2);
    T_INT(all[0].kind, SCRUB_FILE);
    T_OK(all[0].mtime_ms > 0);
    s = scrub(&f, &(struct scrub_options){ .sweep = true }); /* not a day old */
    T_UINT(s.unknown, 2);
    T_UINT(s.swept, 0);
    s = scrub(&f, &sweep_all);
    T_UINT(s.swept, 2);
    T_UINT(s.swept_bytes, BIG + 100000);
    corefix_collect(&f);
    T_INT(only_file(&f, "objects", path), 1);
    corefix_same(&f, "kept", big, BIG);
    T_UINT(look(&f).unknown, 0);
    corefix_close(&f);
    mem_free(big);
}

/* Between its lease and its row an upload is known, and a place that was not given out yet is left alone. */
TEST(uploads_are_not_hurt)
{
    struct corefix f;
    char *big = corefix_noise(BIG);
    struct object_claim claim;
    struct blob_writer *w;
    struct digest d;
    struct scrub_stats s;
    uint64_t size;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    T_ST_ERR(blob_write_begin(f.core->blobs, &w, &f.err), OK, &f.err);
    T_ST_ERR(blob_write(w, big, BIG, &f.err), OK, &f.err);
    blob_write_hash(w, &d, &size);
    object_claim_init(&claim, f.a, &d, size);
    T_ST_ERR(corefix_run(&f, &claim.op), OK, &f.err);
    T_ST_ERR(blob_write_place(w, claim.lease.gen, &f.err), OK, &f.err);
    s = scrub(&f, &sweep_all);
    T_UINT(s.files, 1);
    T_UINT(s.unknown, 0);
    T_ST_ERR(blob_write_begin(f.core->blobs, &w, &f.err), OK, &f.err);
    T_ST_ERR(blob_write(w, big + 1, 1000, &f.err), OK, &f.err);
    T_ST_ERR(blob_write_end(w, 1000000, &d, &size, &f.err), OK, &f.err);
    s = scrub(&f, &sweep_all);
    T_UINT(s.unknown, 1);
    T_UINT(s.swept, 0);
    corefix_close(&f);
    mem_free(big);
}

/* More than one batch of a shard would need 128 equal first bytes; packs go one batch after the other the same way. */
TEST(packs_that_nothing_knows)
{
    struct corefix f;
    char *big = corefix_noise(BIG), path[600];
    struct scrub_stats s;

    corefix_open(&f, t_tmpdir(), NULL);
    start(&f);
    put(&f, "kept", big, BIG);
    repack(&f);
    corefix_collect(&f);
    corefix_script(&f, "DELETE FROM packfile");
    s = scrub(&f, &sweep_all); /* not as long as an object names it */
    T_UINT(s.unknown, 1);
    T_UINT(s.swept + s.damaged, 0);
    corefix_script(
        &f,
        "DELETE FROM artifact; DELETE FROM object; DELETE FROM object_pack; DELETE FROM chunk_at");
    s = scrub(&f, &sweep_all);
    T_UINT(s.swept, 1);
    corefix_collect(&f);
    T_INT(only_file(&f, "packs", path), 0);
    T_UINT(look(&f).unknown, 0);
    corefix_close(&f);
    mem_free(big);
}

/* ---- kills -------------------------------------------------------------------------------------------------------------------- */

/* Passes every point. */
static void whole_life(struct corefix *f)
{
    start(f);
    (void)look(f);
    (void)scrub(f, &sweep_all);
    corefix_collect(f);
}

static void killed(const char *point)
{
    const char *folder = t_tmpdir(), *blobs = t_tmpdir();
    char *big = corefix_noise(BIG), path[600];
    struct scrub_stats s;
    struct corefix f;
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char spec[128];

        corefix_open(&f, folder, blobs);
        start(&f);
        put(&f, "packed", big, BIG);
        repack(&f);
        corefix_collect(&f);
        T_INT(only_file(&f, "packs", path), 1);
        harm_file(path, FLIP, 5000);
        put(&f, "row", big, 1000);
        orphan(&f, big + 1, 100000);
        corefix_script(&f,
                       "UPDATE object SET stage = 3 WHERE size = 1000"); /* a mark that is wrong */
        corefix_close(&f);
        corefix_open(&f, folder, blobs);
        snprintf(spec, sizeof(spec), "%s=kill:1", point);
        failpoint_arm(spec);
        whole_life(&f);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) T_FAIL("%s is never passed", point);
    corefix_open(&f, folder, blobs);
    whole_life(&f);
    T_INT(only_file(&f, "objects", path), 0);
    s = look(&f);
    T_UINT(s.damaged, 1);
    T_UINT(s.damaged_packs, 1);
    T_UINT(s.unknown, 0);
    corefix_same(&f, "row", big, 1000);
    is_refused(&f, "packed");
    cure(&f, "packed", big, BIG);
    corefix_close(&f);
    mem_free(big);
}

TEST_LIMIT(killed_at_every_step, 120)
{
    static const char *const points[] = { "core.scrub.mark", "core.scrub.heal", "core.scrub.judge",
                                          "core.scrub.swept" };

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        killed(points[i]);
    }
}
