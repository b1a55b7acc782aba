/* Checkpoints as differences from each other: what resembles another is kept as its differences, is given back the same whole and in
 * ranges, needs nobody's name but its own, and a kill while it is packed loses nothing. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/mem.h"
#include "core/collect.h"
#include "core/repack.h"
#include "core/scrub.h"
#include "gen/sql/queries.h"
#include "store/blob/blob.h"
#include "store/blob/recipe.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 120000, FLOATS = 60000, BYTES = 4 * FLOATS, PACK = 600000 };

static void put(struct corefix *f, const char *path, const char *p, size_t n)
{
    T_ST_ERR(corefix_put(f, str_cstr(path), p, n), OK, &f->err);
}

/* Weights: floats of one scale. */
static char *weights(void)
{
    char *p = mem_alloc(BYTES);

    T_OK(p != NULL);
    for (size_t i = 0; i < FLOATS; i++) {
        float x = ((float)(t_rand() % 2000001) - 1e6f) * 2e-8f;

        memcpy(p + 4 * i, &x, sizeof(x));
    }
    return p;
}

/* An epoch of training: each weight moves a little. */
static void train(char *p)
{
    for (size_t i = 0; i < FLOATS; i++) {
        float x;

        memcpy(&x, p + 4 * i, sizeof(x));
        x += ((float)(t_rand() % 2001) - 1e3f) * 1e-9f;
        memcpy(p + 4 * i, &x, sizeof(x));
    }
}

/* The weights after one more epoch; the caller frees them, like those of weights(). */
static char *trained(const char *before)
{
    char *after = mem_alloc(BYTES);

    T_OK(after != NULL);
    memcpy(after, before, BYTES);
    train(after);
    return after;
}

static void epoch_path(unsigned i, char out[64])
{
    snprintf(out, 64, "checkpoints/epoch_%u/state.bin", i);
}

/* The most steps below an extent of any object; *packs: of its recipe, of all objects together. */
static unsigned deepest(struct corefix *f)
{
    struct q_object_all_row row;
    struct sql_stmt *q = NULL;
    struct arena *a = arena_new(1 << 20);
    unsigned most = 0;
    enum status st;

    T_OK(a != NULL);
    T_ST_ERR(q_object_all_open(f->v.conn, &q, S(""), 1000, &f->err), OK, &f->err);
    while ((st = q_object_all_next(q, &row, &f->err)) == OK) {
        struct recipe r;

        if (!row.recipe.n) continue;
        T_ST_ERR(recipe_parse(a, row.recipe, (uint64_t)row.size, &r, &f->err), OK, &f->err);
        for (size_t i = 0; i < r.extents_n; i++) {
            most = MAX_OF(most, (unsigned)r.extents[i].under_n);
        }
    }
    T_ST(st, ST_END);
    sql_close(q);
    arena_free(a);
    return most;
}

static int64_t rows(struct corefix *f, const char *sql)
{
    return sqltest_int(f->v.conn, sql);
}

/* Deletes an artifact, collects, and lets packs go that nobody needs. */
static void forget(struct corefix *f, unsigned epoch)
{
    char path[64];

    epoch_path(epoch, path);
    T_ST_ERR(corefix_delete(f, str_cstr(path)), OK, &f->err);
    corefix_script(f, "UPDATE object SET since_ms = 0");
    corefix_collect(f);
}

/* But for short pieces at ends, each less than 4 KiB a step. */
static void is_nearly(uint64_t got, uint64_t want)
{
    T_OK(got <= want);
    T_OK(got >= want - want / 8);
}

SQL_TEST_LIMIT(a_series_is_kept_as_differences, 120)
{
    enum { EPOCHS = 7 };
    struct corefix f;
    char *state[EPOCHS], path[64];
    struct repack_stats s = { .asked = 0 }, before;
    uint64_t alone;

    corefix_open(&f, location, NULL);
    corefix_keepers(&f, PACK);
    for (unsigned i = 0; i < EPOCHS; i++) {
        state[i] = i ? trained(state[i - 1]) : weights();
        epoch_path(i, path);
        put(&f, path, state[i], BYTES);
        before = s;
        s = corefix_repack(&f, REPACK_NOW);
        T_UINT(s.objects, i + 1);
        if (i == 0) alone = s.pack_bytes;
        if (i == 0 || i == 5) { /* begins anew behind four steps */
            T_UINT(s.delta_bytes, before.delta_bytes);
        } else {
            is_nearly(s.delta_bytes - before.delta_bytes, BYTES);
            T_OK(s.pack_bytes - before.pack_bytes < alone * 8 / 10);
        }
    }
    T_UINT(deepest(&f), RECIPE_STEPS_MAX);
    for (unsigned i = 0; i < EPOCHS; i++) {
        epoch_path(i, path);
        corefix_same(&f, path, state[i], BYTES);
    }
    /* The first four go, and their bytes are kept for those that differ from them; the fifth alone is not worth them. */
    forget(&f, 0);
    forget(&f, 1);
    forget(&f, 2);
    (void)corefix_repack(&f, REPACK_NO_GRACE);
    T_UINT(deepest(&f), RECIPE_STEPS_MAX);
    for (unsigned i = 3; i < EPOCHS; i++) {
        epoch_path(i, path);
        corefix_same(&f, path, state[i], BYTES);
    }
    forget(&f, 3);
    (void)corefix_repack(&f, REPACK_NO_GRACE);
    (void)corefix_repack(&f, REPACK_NO_GRACE);
    T_OK(deepest(&f) < RECIPE_STEPS_MAX);
    T_OK(rows(&f, "SELECT CAST(sum(bytes) AS BIGINT) FROM packfile") < (int64_t)(3 * alone));
    for (unsigned i = 4; i < EPOCHS; i++) {
        epoch_path(i, path);
        corefix_same(&f, path, state[i], BYTES);
    }
    corefix_close(&f);
    for (unsigned i = 0; i < EPOCHS; i++) {
        mem_free(state[i]);
    }
}

/* All of a series at once, in the order of their digests; a file elsewhere with the same name and length; and others that resemble nothing. */
TEST(several_in_one_round)
{
    enum { EPOCHS = 4 };
    struct corefix f;
    char *state[EPOCHS], path[64], *noise = corefix_noise(2 * BYTES);
    struct repack_stats s, again;

    corefix_open(&f, t_tmpdir(), NULL);
    corefix_keepers(&f, PACK);
    for (unsigned i = 0; i < EPOCHS; i++) {
        state[i] = i ? trained(state[i - 1]) : weights();
        epoch_path(i, path);
        put(&f, path, state[i], BYTES);
    }
    s = corefix_repack(&f, REPACK_NOW);
    T_UINT(s.objects, EPOCHS);
    is_nearly(s.delta_bytes, (EPOCHS - 1) * BYTES);
    train(state[0]);
    put(&f, "model/state.bin", state[0], BYTES);
    again = corefix_repack(&f, REPACK_NOW);
    is_nearly(again.delta_bytes - s.delta_bytes, BYTES);
    put(&f, "noise/1/state.bin", noise, BYTES);
    put(&f, "noise/2/state.bin", noise + BYTES, BYTES);
    s = corefix_repack(&f, REPACK_NOW);
    T_UINT(s.delta_bytes, again.delta_bytes);
    corefix_same(&f, "model/state.bin", state[0], BYTES);
    for (unsigned i = 1; i < EPOCHS; i++) {
        epoch_path(i, path);
        corefix_same(&f, path, state[i], BYTES);
    }
    corefix_close(&f);
    for (unsigned i = 0; i < EPOCHS; i++) {
        mem_free(state[i]);
    }
    mem_free(noise);
}

/* A head and tensors of safetensors, at an odd place in the object, with other bytes before and behind; half of them stay as they were. */
TEST(tensors_between_other_bytes)
{
    enum { HEAD = 1003, TAIL = 999, ALL = HEAD + BYTES + TAIL };
    struct corefix f;
    char *a = mem_alloc(ALL), *b = mem_alloc(ALL), *w = weights();
    struct repack_stats s, again;

    T_OK(a && b);
    memset(a, 'x', ALL);
    memset(a, 0, 8);
    a[0] = 100;
    a[8] = '{';
    memcpy(a + HEAD, w, BYTES);
    memcpy(b, a, ALL);
    train(w);
    memcpy(b + HEAD + BYTES / 2, w + BYTES / 2, BYTES / 2);
    b[ALL - 1] = 'y';
    corefix_open(&f, t_tmpdir(), NULL);
    corefix_keepers(&f, PACK);
    put(&f, "one/a.safetensors", a, ALL);
    s = corefix_repack(&f, REPACK_NOW);
    put(&f, "two/b.safetensors", b, ALL);
    again = corefix_repack(&f, REPACK_NOW);
    T_OK(again.delta_bytes > BYTES / 4);
    T_OK(again.new_bytes - s.new_bytes < BYTES / 2 + 3 * 131072);
    corefix_same(&f, "one/a.safetensors", a, ALL);
    corefix_same(&f, "two/b.safetensors", b, ALL);
    corefix_reopen(&f);
    corefix_same(&f, "two/b.safetensors", b, ALL);
    corefix_close(&f);
    mem_free(a);
    mem_free(b);
    mem_free(w);
}

static void flip_at(const char *path)
{
    char c = 0;
    int fd = open(path, O_RDWR);

    T_OK(fd >= 0);
    T_INT(pread(fd, &c, 1, 2000), 1);
    c = (char)(c ^ 1);
    T_INT(pwrite(fd, &c, 1, 2000), 1);
    close(fd);
}

struct place {
    char path[600], folder[512];
    unsigned n;
};

static enum status pick(void *ctx, const char *name, struct err *err)
{
    struct place *p = ctx;

    (void)err;
    snprintf(p->path, sizeof(p->path), "%s/%s", p->folder, name);
    p->n++;
    return OK;
}

/* The file of the only pack. */
static struct place pack_of_one(struct corefix *f)
{
    struct place p = { .n = 0 };

    for (unsigned i = 0; i < BLOB_SHARDS; i++) {
        snprintf(p.folder, sizeof(p.folder), "%s/packs/%02x", f->blobs, i);
        if (access(p.folder, F_OK) == 0)
            T_ST_ERR(fs_each(p.folder, pick, &p, &f->err), OK, &f->err);
    }
    T_UINT(p.n, 1);
    return p;
}

/* Reading everything again finds all who need a damaged chunk, also below their differences; bytes that come again cure them. */
TEST(damage_below_is_found_and_cured)
{
    struct corefix f;
    char *one = weights(), *two = mem_alloc(BYTES);
    struct scrub_stats s;
    struct place harm;
    struct str got;

    T_OK(two != NULL);
    memcpy(two, one, BYTES);
    train(two);
    corefix_open(&f, t_tmpdir(), NULL);
    corefix_keepers(&f, PACK);
    T_ST_ERR(scrub_start(f.core, &f.err), OK, &f.err);
    put(&f, "ckpt-1/state.bin", one, BYTES);
    (void)corefix_repack(&f, REPACK_NOW);
    harm = pack_of_one(&f);
    put(&f, "ckpt-2/state.bin", two, BYTES);
    (void)corefix_repack(&f, REPACK_NOW);
    T_UINT(deepest(&f), 1);
    flip_at(harm.path);
    T_OK(scrub_wait(f.core->scrubber,
                    scrub_ask(f.core->scrubber, &(struct scrub_options){ .bytes_per_s = 1u << 30 }),
                    WAIT_MS));
    scrub_stats(f.core->scrubber, &s);
    T_UINT(s.damaged_packs, 1);
    T_UINT(s.damaged, 2);
    T_ST(corefix_get(&f, S("ckpt-1/state.bin"), &got), ST_CORRUPT);
    T_ST(corefix_get(&f, S("ckpt-2/state.bin"), &got), ST_CORRUPT);
    corefix_fresh(&f);
    put(&f, "again/1", one, BYTES);
    put(&f, "again/2", two, BYTES);
    (void)corefix_repack(&f, REPACK_NOW);
    corefix_same(&f, "ckpt-1/state.bin", one, BYTES);
    corefix_same(&f, "ckpt-2/state.bin", two, BYTES);
    corefix_close(&f);
    mem_free(one);
    mem_free(two);
}

/* Damage below differences is an error of those who need it, and no wrong byte is given. */
TEST(damage_below_is_seen)
{
    struct corefix f;
    char *p = weights();
    struct str got;

    corefix_open(&f, t_tmpdir(), NULL);
    corefix_keepers(&f, PACK);
    put(&f, "ckpt-1/state.bin", p, BYTES);
    (void)corefix_repack(&f, REPACK_NOW);
    flip_at(pack_of_one(&f).path);
    train(p);
    put(&f, "ckpt-2/state.bin", p, BYTES);
    /* What it resembles cannot be read: it is kept by itself. */
    (void)corefix_repack(&f, REPACK_NOW);
    corefix_same(&f, "ckpt-2/state.bin", p, BYTES);
    T_ST(corefix_get(&f, S("ckpt-1/state.bin"), &got), ST_CORRUPT);
    corefix_fresh(&f);
    corefix_close(&f);
    mem_free(p);
}

static void killed(const char *point, unsigned passing)
{
    const char *blobs = t_tmpdir();
    const char *location = t_tmpdir();
    char *one = weights(), *two = mem_alloc(BYTES);
    struct corefix f;
    int status;
    pid_t pid;

    T_OK(two != NULL);
    memcpy(two, one, BYTES);
    train(two);
    pid = fork();
    T_OK(pid >= 0);
    if (pid == 0) {
        char spec[128];

        corefix_open(&f, location, blobs);
        put(&f, "step_1/state.bin", one, BYTES);
        corefix_keepers(&f, PACK);
        (void)corefix_repack(&f, REPACK_NOW);
        put(&f, "step_2/state.bin", two, BYTES);
        snprintf(spec, sizeof(spec), "%s=kill:%u", point, passing);
        failpoint_arm(spec);
        (void)corefix_repack(&f, REPACK_NOW);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) T_FAIL("%s is never passed", point);
    corefix_open(&f, location, blobs);
    corefix_same(&f, "step_1/state.bin", one, BYTES);
    corefix_same(&f, "step_2/state.bin", two, BYTES);
    corefix_keepers(&f, PACK);
    (void)corefix_repack(&f, REPACK_NOW);
    (void)corefix_repack(&f, REPACK_NO_GRACE);
    corefix_same(&f, "step_1/state.bin", one, BYTES);
    corefix_same(&f, "step_2/state.bin", two, BYTES);
    T_UINT(deepest(&f), 1);
    T_INT(rows(&f, "SELECT count(*) FROM packfile WHERE state <> 1"), 0);
    corefix_close(&f);
    mem_free(one);
    mem_free(two);
}

TEST(killed_while_differences_are_packed)
{
#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    killed("core.repack.sealed", 1);
    killed("core.repack.verified", 1);
    killed("core.repack.swapped", 1);
}
