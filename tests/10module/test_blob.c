/* Whole objects in a folder: what is written is there, also after a failing system call or a kill, and nothing else is. */
#include "tap.h"

#include "base/arena.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/blob/blob.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct blob_store *open_at(const char *dir)
{
    struct blob_store *s = NULL;
    struct err err = ERR_INIT;

    T_ST_ERR(blob_open(&s, dir, &err), OK, &err);
    return s;
}

static enum status write_all(struct blob_store *s, const void *p, size_t n, struct digest *d,
                             struct err *err)
{
    struct blob_writer *w;
    uint64_t size = 0;
    enum status st = blob_write_begin(s, &w, err);

    if (st) {
        T_OK(w == NULL);
        return st;
    }
    for (size_t at = 0; !st && at < n; at += 4000) {
        st = blob_write(w, (const char *)p + at, MIN_OF(n - at, 4000u), err);
    }
    if (st) {
        blob_write_abort(w);
        return st;
    }
    st = blob_write_end(w, 0, d, &size, err);
    if (!st) T_UINT(size, n);
    return st;
}

static void check_bytes(struct blob_store *s, const struct digest *d, const void *p, size_t n)
{
    struct err err = ERR_INIT;
    char got[4096];
    int fd;

    T_ST_ERR(blob_read_open(s, d, 0, n, &fd, &err), OK, &err);
    for (size_t at = 0; at < n;) {
        ssize_t r = sys.read(fd, got, sizeof(got));

        T_OK(r > 0);
        T_MEM(got, (const char *)p + at, (size_t)r);
        at += (size_t)r;
    }
    T_INT(sys.read(fd, got, 1), 0);
    sys.close(fd);
}

static enum status count_one(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(int *)ctx;
    return OK;
}

static int entries(const char *dir, const char *below)
{
    struct err err = ERR_INIT;
    char path[512];
    int n = 0;

    snprintf(path, sizeof(path), "%s/%s", dir, below);
    T_ST_ERR(fs_each(path, count_one, &n, &err), OK, &err);
    return n;
}

static void put_file(const char *dir, const char *name, const char *text)
{
    struct err err = ERR_INIT;
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    T_ST_ERR(fs_write_atomic(path, text, strlen(text), 0600, &err), OK, &err);
}

TEST(sizes)
{
    static const size_t sizes[] = { 0, 1, 4000, 4001, 32768, 32769, 1 << 20 };
    struct blob_store *s = open_at(t_tmpdir());
    char *bytes = mem_alloc(1 << 20);
    struct err err = ERR_INIT;

    T_OK(bytes != NULL);
    for (size_t i = 0; i < 1 << 20; i++) {
        bytes[i] = (char)t_rand();
    }
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct digest got, want;

        T_ST_ERR(write_all(s, bytes, sizes[i], &got, &err), OK, &err);
        T_OK(sha256_of(bytes, sizes[i], &want));
        T_MEM(got.b, want.b, sizeof(want.b));
        check_bytes(s, &got, bytes, sizes[i]);
    }
    mem_free(bytes);
    blob_close(s);
}

TEST(same_bytes_are_one_file)
{
    const char *dir = t_tmpdir();
    struct blob_store *s = open_at(dir);
    struct err err = ERR_INIT;
    struct digest d;

    T_ST(write_all(s, "abc", 3, &d, &err), OK);
    T_ST(write_all(s, "abc", 3, &d, &err), OK);
    T_INT(entries(dir, "objects"), 1);
    T_INT(entries(dir, "objects/ba"), 1); /* sha256("abc") = ba78... */
    T_INT(entries(dir, "tmp"), 0);
    check_bytes(s, &d, "abc", 3);
    blob_close(s);
}

TEST(damaged_objects_are_not_handed_out)
{
    const char *dir = t_tmpdir();
    struct blob_store *s = open_at(dir);
    struct err err = ERR_INIT;
    struct digest d;
    char path[512], hex[65];
    int fd;

    T_ST(write_all(s, "abc", 3, &d, &err), OK);
    T_ST(blob_read_open(s, &d, 0, 4, &fd, &err), ST_CORRUPT);
    T_INT(fd, -1);
    T_ST(blob_read_open(s, &d, 1, 3, &fd, &err), ST_CORRUPT);
    digest_hex(&d, hex);
    snprintf(path, sizeof(path), "%s/objects/ba/%s-0", dir, hex);
    T_INT(sys.unlink(path), 0);
    T_ST(blob_read_open(s, &d, 0, 3, &fd, &err), ST_CORRUPT);
    T_OK(strstr(err.message, dir) == NULL); /* clients see this text */
    blob_close(s);
}

TEST(leftovers_are_removed_and_aborted_writes_leave_none)
{
    const char *dir = t_tmpdir();
    struct blob_store *s = open_at(dir);
    struct blob_writer *w;
    struct err err = ERR_INIT;

    T_ST(blob_write_begin(s, &w, &err), OK);
    T_ST(blob_write(w, "abc", 3, &err), OK);
    T_INT(entries(dir, "tmp"), 1);
    blob_write_abort(w);
    blob_write_abort(NULL);
    T_INT(entries(dir, "tmp"), 0);
    blob_close(s);
    put_file(dir, "tmp/0123456789abcdef0123456789abcdef", "half");
    s = open_at(dir);
    T_INT(entries(dir, "tmp"), 0);
    blob_close(s);
    blob_close(NULL);
}

TEST(another_format_is_refused_and_left_alone)
{
    const char *dir = t_tmpdir();
    struct blob_store *s = NULL;
    struct err err = ERR_INIT;
    char big[8000];

    put_file(dir, "FORMAT", "cairn-blobs 2\n");
    T_ST(blob_open(&s, dir, &err), ST_INVALID);
    T_OK(s == NULL);
    T_OK(strstr(err.message, "cairn-blobs 2") != NULL);
    T_OK(err.hint[0] != 0);
    T_INT(entries(dir, "."), 1);
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    put_file(dir, "FORMAT", big);
    T_ST(blob_open(&s, dir, &err), ST_INVALID);
    put_file(dir, "FORMAT", "");
    T_ST(blob_open(&s, dir, &err), ST_INVALID);
}

/* A second server on the folder would remove the first one's uploads as leftovers. */
TEST(one_owner)
{
    const char *dir = t_tmpdir();
    struct blob_store *s = open_at(dir), *second = NULL;
    struct blob_writer *w;
    struct digest d;
    uint64_t size;
    struct err err = ERR_INIT;

    T_ST(blob_write_begin(s, &w, &err), OK);
    T_ST(blob_write(w, "abc", 3, &err), OK);
    T_ST(blob_open(&second, dir, &err), ST_CONFLICT);
    T_OK(second == NULL);
    T_OK(strstr(err.message, "the blob folder is in use") != NULL);
    T_OK(err.hint[0] != 0);
    T_ST_ERR(blob_write_end(w, 0, &d, &size, &err), OK, &err);
    check_bytes(s, &d, "abc", 3);
    blob_close(s);
    s = open_at(dir);
    blob_close(s);
}

/* Each system call of a write fails, with each of the usual reasons: nothing is stored that was not said to be, the reason is never
 * the client's fault, no descriptor or memory is lost, and the next write succeeds. */
TEST(every_system_call_fails)
{
    static const int reasons[] = { ENOSPC, EIO, EDQUOT, EMFILE, ENOENT, EEXIST, EACCES, ENOMEM };
    const char *dir = t_tmpdir();
    struct blob_store *s;
    struct err err = ERR_INIT;
    int first = sys.open("/dev/null", 0, 0), failed = 0;

    sys.close(first);
    s = open_at(dir);
    for (size_t r = 0; r < ARRAY_N(reasons); r++) {
        for (int n = 1;; n++) {
            char text[32];
            struct digest d;
            enum status st;
            bool reached;

            snprintf(text, sizeof(text), "%zu %d", r, n);
            sys_fail_after(n, reasons[r], true);
            st = write_all(s, text, strlen(text), &d, &err);
            reached = sys_call_n() >= n;
            sys_fail_never();
            if (!st) {
                check_bytes(s, &d, text, strlen(text));
                if (!reached) break;
                continue;
            }
            failed++;
            T_OK(st == ST_IO || st == ST_UNAVAILABLE || st == ST_NOMEM);
            T_INT(err.code, st);
            T_INT(status_row(st)->http, 503);
            T_OK(strstr(err.message, dir) == NULL || st == ST_IO);
            T_ST_ERR(write_all(s, text, strlen(text), &d, &err), OK, &err);
            check_bytes(s, &d, text, strlen(text));
        }
        T_INT(entries(dir, "tmp"), 0);
    }
    T_OK(failed >=
         5 * (int)ARRAY_N(reasons)); /* open, write, fdatasync, close, mkdir, rename, fsync */
    blob_close(s);
    T_INT(sys.open("/dev/null", 0, 0), first);
    sys.close(first);
}

TEST(every_system_call_of_opening_fails)
{
    for (int n = 1;; n++) {
        const char *dir = n < 60 ? t_tmpdir() : NULL;
        struct blob_store *s = NULL;
        struct err err = ERR_INIT;
        enum status st;
        bool reached;

        T_OK(dir != NULL);
        sys_fail_after(n, EIO, true);
        st = blob_open(&s, dir, &err);
        reached = sys_call_n() >= n;
        sys_fail_never();
        T_OK((st == OK) == (s != NULL));
        blob_close(s);
        s = open_at(dir); /* nothing half-made stands in the way */
        blob_close(s);
        if (!reached) break;
    }
}

TEST(every_allocation_fails)
{
    struct blob_store *s = open_at(t_tmpdir());
    struct err err = ERR_INIT;

    for (int n = 1;; n++) {
        struct digest d;
        enum status st;
        bool reached;

        mem_fail_after(n, true);
        st = write_all(s, "abc", 3, &d, &err);
        reached = mem_call_n() >= n;
        mem_fail_never();
        if (st) T_ST(st, ST_NOMEM);
        if (!st) check_bytes(s, &d, "abc", 3);
        if (!reached) break;
    }
    blob_close(s);
}

/* Killed at each point of a write: what was complete before is there, what was not is whole or absent, and nothing is left over. */
TEST(killed_at_every_failpoint)
{
    static const char *const points[] = { "blob.write.before_sync", "blob.write.before_rename",
                                          "blob.write.before_dir_sync",
                                          "blob.write.after_dir_sync" };

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        const char *dir = t_tmpdir();
        struct blob_store *s;
        struct err err = ERR_INIT;
        struct digest first, second;
        char spec[64];
        int status, fd;
        pid_t pid = fork();

        T_OK(pid >= 0);
        if (pid == 0) {
            s = open_at(dir);
            T_ST(write_all(s, "first", 5, &first, &err), OK);
            snprintf(spec, sizeof(spec), "%s=kill", points[i]);
            failpoint_arm(spec);
            IGNORE_STATUS(write_all(s, "second", 6, &second, &err)); /* does not return */
            _exit(1);
        }
        T_INT(waitpid(pid, &status, 0), pid);
        T_OK(WIFSIGNALED(status));
        s = open_at(dir);
        T_OK(sha256_of("first", 5, &first));
        T_OK(sha256_of("second", 6, &second));
        check_bytes(s, &first, "first", 5);
        if (blob_read_open(s, &second, 0, 6, &fd, &err) == OK) {
            sys.close(fd);
            check_bytes(s, &second, "second", 6);
        }
        T_INT(entries(dir, "tmp"), 0);
        T_ST_ERR(write_all(s, "second", 6, &second, &err), OK, &err);
        check_bytes(s, &second, "second", 6);
        blob_close(s);
    }
}

TEST(recipe_of_a_whole_file)
{
    unsigned char r[BLOB_RECIPE_WHOLE_BYTES];

    blob_recipe_whole(r);
    T_OK(blob_recipe_is_whole(str_of(r, sizeof(r))));
    T_OK(!blob_recipe_is_whole(str_of(r, 2)));
    T_OK(!blob_recipe_is_whole((struct str){ NULL, 0 }));
    r[0] = 2;
    T_OK(!blob_recipe_is_whole(str_of(r, sizeof(r))));
}
