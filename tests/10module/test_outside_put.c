/* Files written into a listed folder: every call may fail, and then nothing is kept; a full disk is said as one. */
#include "tap.h"

#include "base/fs.h"
#include "base/sys.h"
#include "core/outside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fix {
    const char *dir;
    struct arena *a;
    struct outside *o;
    struct artifact_place at;
    struct err err;
};

static void setup(struct fix *f)
{
    const char *places[2] = { NULL, NULL };
    struct str rest;

    *f = (struct fix){ .dir = t_tmpdir(), .a = arena_new(1 << 20), .err = ERR_INIT };
    T_OK(f->a != NULL);
    places[0] = arena_printf(f->a, "%s=rw", f->dir).p;
    T_ST_ERR(outside_new(&f->o, places, NULL, NULL, NULL, &f->err), OK, &f->err);
    T_ST_ERR(outside_find(f->o, f->a, str_cstr(f->dir), &f->at.outside, &rest, &f->err), OK,
             &f->err);
    T_OK(outside_writes(f->at.outside) && outside_writes_any(f->o) && !rest.n);
    f->at.path = S("a/b/file");
}

static void teardown(struct fix *f)
{
    outside_free(f->o);
    arena_free(f->a);
}

static enum status put(struct fix *f, const char *bytes)
{
    struct outside_writer *w;
    enum status st;

    err_clear(&f->err);
    st = outside_write_begin(&f->at, f->a, &w, &f->err);
    if (st) {
        return st;
    }
    st = outside_write(w, str_cstr(bytes), &f->err);
    if (st) {
        outside_write_abort(w);
        return st;
    }
    return outside_write_place(w, f->a, &f->err);
}

static enum status count(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(unsigned *)ctx;
    return OK;
}

static unsigned names_in(struct fix *f, const char *below)
{
    unsigned n = 0;

    T_ST_ERR(fs_each(arena_printf(f->a, "%s/%s", f->dir, below).p, count, &n, &f->err), OK,
             &f->err);
    return n;
}

/* "" when it is not there. */
static struct str bytes_of(struct fix *f)
{
    struct str bytes = S("");
    struct err ignored = ERR_INIT;
    const char *path = arena_printf(f->a, "%s/a/b/file", f->dir).p;

    return fs_read_file(f->a, path, 100, &bytes, &ignored) ? S("") : bytes;
}

TEST(every_call_may_fail)
{
    int64_t calls = 0;
    struct fix f;

    setup(&f);
    sys_fail_after(1 << 30, EIO, true);
    calls = sys_call_n();
    T_ST_ERR(put(&f, "first"), OK, &f.err);
    calls = sys_call_n() - calls;
    T_OK(calls > 8);
    for (int64_t i = 1; i <= calls; i++) {
        enum status st;
        struct str is;

        sys_fail_never();
        T_ST_ERR(outside_delete(f.a,
                                &(struct artifact_place){ .outside = f.at.outside, .path = S("a") },
                                &f.err),
                 OK, &f.err);
        T_INT(names_in(&f, ""), 1); /* the folder where files wait */
        sys_fail_after(i, EIO, true);
        st = put(&f, "bytes");
        sys_fail_never();
        is = bytes_of(&f);
        T_OK(st == OK || st == ST_IO);
        T_OK(st ? !is.n || str_eq_lit(is, "bytes") : str_eq_lit(is, "bytes"));
        T_INT(names_in(&f, ".cairn-uploads"), 0);
        T_OK(is.n || names_in(&f, "") == 1);
    }
    teardown(&f);
}

static ssize_t full_write(int fd, const void *p, size_t n)
{
    (void)fd;
    (void)p;
    (void)n;
    errno = ENOSPC;
    return -1;
}

TEST(a_full_disk_is_said)
{
    struct fix f;

    setup(&f);
    T_ST_ERR(put(&f, "old"), OK, &f.err);
    sys.write = full_write;
    T_ST(put(&f, "new"), ST_UNAVAILABLE);
    sys = sys_default;
    T_OK(strstr(f.err.message, "full") != NULL && f.err.retry_after_s > 0);
    T_OK(str_eq_lit(bytes_of(&f), "old"));
    T_INT(names_in(&f, ".cairn-uploads"), 0);
    T_ST_ERR(put(&f, "new"), OK, &f.err);
    T_OK(str_eq_lit(bytes_of(&f), "new"));
    teardown(&f);
}

static int dir_is_removed(int from_dir, const char *from, int to_dir, const char *to)
{
    sys.renameat = sys_default.renameat;
    (void)from_dir;
    (void)from;
    (void)to_dir;
    (void)to;
    errno = ENOENT;
    return -1;
}

/* The folder goes away between its making and the name of the file: it is made again. */
TEST(a_folder_that_goes_meanwhile)
{
    struct fix f;

    setup(&f);
    sys.renameat = dir_is_removed;
    T_ST_ERR(put(&f, "bytes"), OK, &f.err);
    sys = sys_default;
    T_OK(str_eq_lit(bytes_of(&f), "bytes"));
    teardown(&f);
}

TEST(paths_that_are_no_files)
{
    static const char *const bad[] = { "",       "a/b",    "a/b/file/x",
                                       "link",   "link/x", ".cairn-uploads/x",
                                       "a/../x", "a//b" };
    struct fix f;

    setup(&f);
    T_ST_ERR(put(&f, "1"), OK, &f.err);
    T_INT(symlink("a", arena_printf(f.a, "%s/link", f.dir).p), 0);
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        f.at.path = str_cstr(bad[i]);
        T_ST(outside_put_check(f.a, &f.at, &f.err), ST_INVALID);
        T_ST(put(&f, "2"), ST_INVALID);
    }
    T_INT(names_in(&f, "a"), 1);
    T_INT(names_in(&f, "a/b"), 1);
    f.at.path = S("");
    T_ST(outside_delete(f.a, &f.at, &f.err), ST_INVALID);
    f.at.path = S("link");
    T_ST_ERR(outside_delete(f.a, &f.at, &f.err), OK, &f.err);
    T_OK(str_eq_lit(bytes_of(&f), "1"));
    f.at.path = S("none/x");
    T_ST_ERR(outside_delete(f.a, &f.at, &f.err), OK, &f.err);
    teardown(&f);
}

/* What outside_new() says of two places (b may be NULL), with a server's own data in "data", beneath the folder of the process. */
static enum status new_of(struct fix *f, const char *own, const char *a, const char *b)
{
    const struct blob_s3_options s3 = { .endpoint = "http://127.0.0.1:1" };
    const char *all_own[] = { "data", own, NULL }, *places[] = { a, b, NULL };
    struct outside *o;
    enum status st;

    err_clear(&f->err);
    st = outside_new(&o, places, all_own, &s3, NULL, &f->err);
    T_OK((st == OK) == (o != NULL));
    outside_free(o);
    return st;
}

static const char *below(struct fix *f, const char *rest)
{
    return arena_printf(f->a, "%s%s", f->dir, rest).p;
}

TEST(own_data_lies_apart)
{
    static const char *const bad[] = { "=rw",         "/data=rw", "/data/in=rw", "/data/in/=rw",
                                       "/to/data=rw", "/up=rw",   "/link/in=rw" };
    static const char *const bad_buckets[][2] = { { "s3://own", "s3://own/x=rw" },
                                                  { "s3://own//x", "s3://own/x=rw" },
                                                  { "s3://own/x/", "s3://own=rw" },
                                                  { "s3://own/x", "s3://own/x/y/=rw" } };
    struct fix f;

    setup(&f);
    T_INT(chdir(f.dir), 0);
    T_INT(rmdir(below(&f, "/.cairn-uploads")), 0);
    T_ST_ERR(fs_mkdirs("data/in", &f.err), OK, &f.err);
    T_ST_ERR(fs_mkdirs("database", &f.err), OK, &f.err);
    T_ST_ERR(fs_mkdirs("to", &f.err), OK, &f.err);
    T_INT(symlink("../data", "to/data"), 0);
    T_INT(symlink("..", "data/out"), 0);
    T_INT(symlink("data/out", "up"), 0);
    T_INT(symlink("data", "link"), 0);
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_ST(new_of(&f, NULL, below(&f, "/to"), below(&f, bad[i])), ST_INVALID);
        T_OK(strstr(f.err.message, "lie in each other") != NULL);
    }
    for (size_t i = 0; i < ARRAY_N(bad_buckets); i++) {
        T_ST(new_of(&f, bad_buckets[i][0], bad_buckets[i][1], NULL), ST_INVALID);
        T_OK(strstr(f.err.message, "lie in each other") != NULL);
    }
    T_ST(new_of(&f, "missing", f.dir, NULL), ST_NOT_FOUND);
    T_OK(access(".cairn-uploads", F_OK) != 0 && access("data/.cairn-uploads", F_OK) != 0 &&
         access("data/in/.cairn-uploads", F_OK) != 0);
    T_ST_ERR(new_of(&f, "s3://own/x", f.dir, "s3://own"), OK, &f.err);
    T_ST_ERR(new_of(&f, NULL, below(&f, "/database=rw"), f.dir), OK, &f.err);
    teardown(&f);
}

TEST(a_place_is_listed_once)
{
    static const char *const again[] = { "", "/", "=rw", "/=ro" };
    struct fix f;

    setup(&f);
    T_INT(chdir(f.dir), 0);
    T_ST_ERR(fs_mkdirs("data", &f.err), OK, &f.err);
    for (size_t i = 0; i < ARRAY_N(again); i++) {
        T_ST(new_of(&f, NULL, f.dir, below(&f, again[i])), ST_INVALID);
        T_OK(strstr(f.err.message, "listed twice") != NULL);
    }
    T_ST(new_of(&f, NULL, "s3://one/x", "s3://one/x/=ro"), ST_INVALID);
    T_OK(strstr(f.err.message, "listed twice") != NULL);
    teardown(&f);
}
