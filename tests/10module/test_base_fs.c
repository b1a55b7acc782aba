/* Files: durable writes, limits, locks, and every system call failing in turn. */
#include "base/exec.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sys.h"
#include "tap.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *in_dir(const char *dir, const char *name)
{
    static char paths[4][600];
    static unsigned at;
    char *p = paths[at++ % 4];

    snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
    return p;
}

static void check_file(const char *path, const char *want)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct str s;

    T_ST_ERR(fs_read_file(a, path, 1000, &s, &err), OK, &err);
    T_STR_EQ(s, str_cstr(want));
    arena_free(a);
}

static enum status count_entry(void *ctx, const char *name ATTR_UNUSED, struct err *err ATTR_UNUSED)
{
    ++*(int *)ctx;
    return OK;
}

static int entries(const char *dir)
{
    int n = 0;

    T_ST(fs_each(dir, count_entry, &n, NULL), OK);
    return n;
}

TEST(join)
{
    struct arena *a = arena_new(4096);

    T_CSTR(fs_join(a, "a", "b"), "a/b");
    T_CSTR(fs_join(a, "a/", "b"), "a/b");
    T_CSTR(fs_join(a, "/", "b"), "/b");
    arena_free(a);
}

TEST(mkdirs)
{
    const char *dir = t_tmpdir();
    struct err err = ERR_INIT;
    struct stat st;

    T_ST_ERR(fs_mkdirs(in_dir(dir, "a/b//c/"), &err), OK, &err);
    T_OK(stat(in_dir(dir, "a/b/c"), &st) == 0 && S_ISDIR(st.st_mode));
    T_INT(st.st_mode & 0777, 0700);
    T_ST(fs_mkdirs(in_dir(dir, "a/b/c"), &err), OK);
    T_ST(fs_mkdirs(dir, &err), OK);
    T_ST(fs_write_atomic(in_dir(dir, "f"), "x", 1, 0600, &err), OK);
    T_ST(fs_mkdirs(in_dir(dir, "f"), &err), ST_EXISTS);
    T_OK(fs_mkdirs(in_dir(dir, "f/g"), &err) != OK);
    T_OK(str_find(str_cstr(err.message), str_cstr(dir)) ==
         SIZE_MAX); /* no absolute path in a message */
    T_ST(fs_mkdirs("", &err), ST_INVALID);
}

static char synced[8][64];
static int synced_n;

/* Notes the last part of the path of what is synced. */
static int note_sync(int fd)
{
    char link[32], path[PATH_MAX];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    T_OK(n > 0 && synced_n < (int)ARRAY_N(synced));
    path[n] = 0;
    snprintf(synced[synced_n++], sizeof(synced[0]), "%s", strrchr(path, '/') + 1);
    return sys_default.fsync(fd);
}

/* A process may have died between making a directory and syncing its name: the next one makes up for it. */
TEST(mkdirs_syncs_what_another_left)
{
    const char *dir = t_tmpdir();
    struct err err = ERR_INIT;

    T_INT(mkdir(in_dir(dir, "top"), 0700), 0);
    T_INT(mkdir(in_dir(dir, "top/a"), 0700), 0);
    sys.fsync = note_sync;
    T_ST_ERR(fs_mkdirs(in_dir(dir, "top/a"), &err), OK, &err);
    T_INT(synced_n, 1);
    T_CSTR(synced[0], "top");
    synced_n = 0;
    T_ST_ERR(fs_mkdirs(in_dir(dir, "top/a/b/c"), &err), OK, &err);
    sys = sys_default;
    T_INT(synced_n, 3);
    T_CSTR(synced[0], "top");
    T_CSTR(synced[1], "a");
    T_CSTR(synced[2], "b");
}

static ssize_t refused_write(int fd, const void *p, size_t n)
{
    (void)fd, (void)p, (void)n;
    errno = ENOSPC;
    return -1;
}

/* A file without lines may be one whose maker died, or failed, before its name was durable; one with lines is none. */
TEST(append_lines_syncs_the_name_before_the_first_line)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "lines/f");
    struct arena *a = arena_new(4096);
    struct err err = ERR_INIT;
    struct str s;

    T_INT(mkdir(in_dir(dir, "lines"), 0700), 0);
    sys.fsync = note_sync;
    sys.write = refused_write;
    T_OK(fs_append_lines(path, "1\n", 2, 0600, &err));
    T_INT(synced_n, 1);
    sys.write = sys_default.write;
    T_ST_ERR(fs_append_lines(path, "1\n", 2, 0600, &err), OK, &err);
    T_INT(synced_n, 2);
    T_CSTR(synced[0], "lines");
    T_CSTR(synced[1], "lines");
    T_ST_ERR(fs_append_lines(path, "2\n", 2, 0600, &err), OK, &err);
    T_INT(synced_n, 2);
    sys = sys_default;
    T_ST_ERR(fs_read_file(a, path, 100, &s, &err), OK, &err);
    T_STR(s, "1\n2\n");
    arena_free(a);
}

/* The n-th call fails, for every n: what is said to be there is, once, and nothing is left open. */
TEST(append_lines_under_failing_calls)
{
    const char *dir = t_tmpdir();
    struct err err = ERR_INIT;
    bool done = false;
    int lowest = dup(0);

    close(lowest);
    for (int64_t n = 1; !done; n++) {
        struct arena *a = arena_new(4096);
        char name[32];
        enum status st;
        struct str s;
        int fd;

        T_OK(n < 50);
        snprintf(name, sizeof(name), "f%d", (int)n);
        sys_fail_after(n, EIO, true);
        st = fs_append_lines(in_dir(dir, name), "1\n", 2, 0600, &err);
        done = sys_call_n() < n;
        sys_fail_never();
        T_OK(st == OK || (!done && st == ST_IO));
        if (!st) {
            T_ST_ERR(fs_read_file(a, in_dir(dir, name), 100, &s, &err), OK, &err);
            T_STR(s, "1\n");
        }
        fd = dup(0);
        T_INT(fd, lowest);
        close(fd);
        arena_free(a);
    }
}

TEST(a_pipe_without_its_room_is_none)
{
    struct err err = ERR_INIT;
    int fd[2], lowest = dup(0), next;

    close(lowest);
    T_OK(fs_pipe(fd, SIZE_MAX, &err) != OK);
    T_INT(fd[0], -1);
    T_INT(fd[1], -1);
    next = dup(0);
    T_INT(next, lowest);
    close(next);
    T_ST_ERR(fs_pipe(fd, 128 * 1024, &err), OK, &err);
    T_INT(fcntl(fd[0], F_GETPIPE_SZ), 128 * 1024);
    close(fd[0]);
    close(fd[1]);
}

TEST(write_atomic_replaces)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "f");
    struct err err = ERR_INIT;
    struct stat st;

    T_ST_ERR(fs_write_atomic(path, "one", 3, 0640, &err), OK, &err);
    check_file(path, "one");
    T_OK(stat(path, &st) == 0);
    T_INT(st.st_mode & 0777, 0640);
    T_ST(fs_write_atomic(path, "", 0, 0600, &err), OK);
    check_file(path, "");
    T_INT(entries(dir), 1);
    T_ST(fs_write_atomic(in_dir(dir, "no/f"), "x", 1, 0600, &err), ST_NOT_FOUND);
}

/* The n-th call fails, for every n: an error is reported, the file holds the old or the new bytes, nothing else lies
 * around but what a failing unlink left, no descriptor is leaked. */
TEST(write_atomic_under_failing_calls)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "f");
    struct err err = ERR_INIT;
    bool done = false;
    int lowest = dup(0);

    close(lowest);
    T_ST(fs_write_atomic(path, "old", 3, 0600, &err), OK);
    for (int64_t n = 1; !done; n++) {
        struct arena *a = arena_new(4096);
        enum status st;
        struct str s;
        int fd;

        T_OK(n < 50);
        sys_fail_after(n, n % 2 ? EIO : ENOSPC, true);
        st = fs_write_atomic(path, "new", 3, 0600, &err);
        done = sys_call_n() < n;
        sys_fail_never();
        /* the last call closes the directory: it loses nothing and is not an error */
        T_OK(st == OK || (!done && st == (n % 2 ? ST_IO : ST_UNAVAILABLE)));
        T_ST(fs_read_file(a, path, 100, &s, &err), OK);
        T_OK(str_eq_lit(s, "old") || str_eq_lit(s, "new"));
        T_OK(st != OK || str_eq_lit(s, "new"));
        T_OK(st == OK || n < 8);
        T_INT(entries(dir), 1);
        fd = dup(0);
        T_INT(fd, lowest);
        close(fd);
        arena_free(a);
        T_ST(fs_write_atomic(path, "old", 3, 0600, &err), OK);
    }
}

TEST(everything_else_under_failing_calls)
{
    const char *dir = t_tmpdir();
    bool done = false;

    T_ST(fs_write_atomic(in_dir(dir, "f"), "text", 4, 0600, NULL), OK);
    T_ST(fs_mkdirs(in_dir(dir, "two/x"), NULL), OK);
    T_ST(fs_mkdirs(in_dir(dir, "two/y"), NULL), OK);
    for (int64_t n = 1; !done; n++) {
        struct arena *a = arena_new(4096);
        struct err err = ERR_INIT;
        enum status st;
        struct str s;
        char name[32];
        int fd = -1, count = 0;

        T_OK(n < 100);
        snprintf(name, sizeof(name), "d%d/e", (int)n);
        sys_fail_after(n, EIO, true);
        st = fs_mkdirs(in_dir(dir, name), &err);
        st = st ? st : fs_read_file(a, in_dir(dir, "f"), 100, &s, &err);
        st = st ? st : fs_lock_file(in_dir(dir, "lock"), "me", &fd, &err);
        st = st ? st : fs_each(in_dir(dir, "two"), count_entry, &count, &err);
        done = sys_call_n() < n;
        sys_fail_never();
        /* a failing close after reading loses nothing and is not an error */
        T_OK(done ? st == OK : st == OK || st == ST_IO);
        T_OK((st == OK) == (err.message[0] == 0));
        if (fd >= 0) {
            close(fd);
        }
        arena_free(a);
    }
}

TEST(read_file_limits)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "f");
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct str s;

    T_ST(fs_write_atomic(path, "12345", 5, 0600, &err), OK);
    T_ST(fs_read_file(a, path, 5, &s, &err), OK);
    T_STR(s, "12345");
    T_ST(fs_read_file(a, path, 4, &s, &err), ST_TOO_BIG);
    T_OK(s.p == NULL);
    T_ST(fs_read_file(a, path, SIZE_MAX, &s, &err), OK);
    T_ST(fs_read_file(a, in_dir(dir, "none"), 4, &s, &err), ST_NOT_FOUND);
    T_ST(fs_read_file(a, dir, 1 << 20, &s, &err), ST_INVALID);
    /* files of /proc say they are empty */
    T_ST_ERR(fs_read_file(a, "/proc/self/status", 1 << 16, &s, &err), OK, &err);
    T_OK(str_starts(s, S("Name:")));
    T_ST(fs_read_file(a, "/proc/self/status", 100, &s, &err), ST_TOO_BIG);
    arena_free(a);
    a = arena_new(16);
    T_ST(fs_read_file(a, "/proc/self/status", 1 << 16, &s, &err), ST_NOMEM);
    arena_free(a);
}

TEST(lock_file)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "lock");
    struct err err = ERR_INIT;
    int fd, other, status;
    pid_t pid;

    T_ST_ERR(fs_lock_file(path, "pid 12\n", &fd, &err), OK, &err);
    T_ST(fs_lock_file(path, "pid 13\n", &other, &err), ST_CONFLICT);
    T_INT(other, -1);
    T_CSTR(err.message, "lock is held by pid 12");
    pid = fork();
    if (pid == 0) {
        close(fd); /* the parent still holds it */
        _exit(fs_lock_file(path, "child", &other, NULL) == ST_CONFLICT ? 0 : 1);
    }
    T_OK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
    T_ST(fs_lock_file(path, "pid 14", &fd, &err), OK);
    check_file(path, "pid 14");
    close(fd);
}

static enum status stop_early(void *ctx, const char *name ATTR_UNUSED, struct err *err)
{
    ++*(int *)ctx;
    return err_set(err, ST_CANCELLED, "enough");
}

TEST(each_stops)
{
    const char *dir = t_tmpdir();
    struct err err = ERR_INIT;
    int n = 0;

    T_INT(entries(dir), 0);
    T_ST(fs_write_atomic(in_dir(dir, "a"), "", 0, 0600, &err), OK);
    T_ST(fs_write_atomic(in_dir(dir, "b"), "", 0, 0600, &err), OK);
    T_INT(entries(dir), 2);
    T_ST(fs_each(dir, stop_early, &n, &err), ST_CANCELLED);
    T_INT(n, 1);
    T_ST(fs_each(in_dir(dir, "none"), stop_early, &n, &err), ST_NOT_FOUND);
}

static ssize_t short_write(int fd, const void *p, size_t n)
{
    return sys_default.write(fd, p, n > 3 ? 3 : n);
}

static ssize_t no_write(int fd ATTR_UNUSED, const void *p ATTR_UNUSED, size_t n ATTR_UNUSED)
{
    return 0;
}

TEST(short_writes_are_continued)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "f");
    struct err err = ERR_INIT;

    sys.write = short_write;
    T_ST(fs_write_atomic(path, "0123456789", 10, 0600, &err), OK);
    check_file(path, "0123456789");
    sys.write = no_write;
    T_ST(fs_write_atomic(path, "x", 1, 0600, &err), ST_IO);
    sys = sys_default;
    check_file(path, "0123456789");
}

TEST(descriptors_close_on_exec)
{
    const char *dir = t_tmpdir();
    int fd = sys.open(in_dir(dir, "f"), O_RDWR | O_CREAT, 0600), d, other;
    struct stat st;

    T_OK(fd >= 0 && fcntl(fd, F_GETFD) & FD_CLOEXEC);
    d = sys.open(dir, O_RDONLY | O_DIRECTORY, 0);
    other = sys.openat(d, "f", O_RDONLY, 0);
    T_OK(other >= 0 && fcntl(other, F_GETFD) & FD_CLOEXEC);
    T_INT(sys.pwrite(fd, "abc", 3, 2), 3);
    T_INT(sys.ftruncate(fd, 4), 0);
    T_OK(sys.fstat(fd, &st) == 0 && st.st_size == 4);
    T_INT(sys.fdatasync(fd), 0);
    T_INT(sys.close(fd), 0);
    T_INT(sys.close(fd), -1);
    T_INT(errno, EBADF);
    sys_fail_after(1, EIO, true);
    T_INT(sys.close(other), -1);
    T_INT(errno, EIO);
    T_OK(fcntl(other, F_GETFD) < 0); /* closed all the same */
    sys_fail_never();
    sys.close(d);
}

struct writer {
    const char *path;
    int lines;
};

static void write_lines(void *ctx)
{
    const struct writer *w = ctx;
    struct err err = ERR_INIT;

    for (int i = 0; i < w->lines; i++) {
        T_ST_ERR(fs_append_lines(w->path, "x\n", 2, 0600, &err), OK, &err);
    }
}

static int take_lines(const char *path)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct str text = S(""), line;
    int n = 0;

    if (access(path, F_OK) == 0) {
        T_ST_ERR(fs_lines_settle(path, &err), OK, &err);
        T_ST_ERR(fs_read_file(a, path, 1 << 16, &text, &err), OK, &err);
        T_OK(unlink(path) == 0);
    }
    while (str_split(&text, '\n', &line)) {
        n += line.n > 0;
    }
    arena_free(a);
    return n;
}

/* Who takes lines away by moving the file loses none that are being added. */
TEST(lines_that_are_moved_away_are_whole)
{
    const char *dir = t_tmpdir(), *path = in_dir(dir, "lines"), *aside = in_dir(dir, "aside");
    struct writer w = { path, 300 };
    struct exec_thread *t;
    struct err err = ERR_INIT;
    int got = 0;

    T_ST_ERR(exec_thread_new(&t, "writer", write_lines, &w, &err), OK, &err);
    for (int i = 0; i < 200 && got < w.lines; i++) {
        if (rename(path, aside) == 0) got += take_lines(aside);
    }
    exec_thread_join(t);
    got += take_lines(path);
    T_INT(got, w.lines);
    T_ST(fs_lines_settle(aside, &err), ST_NOT_FOUND);
}
