/* base/sys.c - the system calls, with a countdown that tests can arm. */
#include "base/sys.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Relaxed order throughout: the counters guard nothing but themselves. */
static _Atomic int64_t call_n;
static _Atomic int64_t fail_at; /* 0 = never */
static _Atomic int fail_errno;
static _Atomic bool fail_once;

static bool must_fail(void)
{
    int64_t n = atomic_fetch_add_explicit(&call_n, 1, memory_order_relaxed) + 1;
    int64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);

    if (LIKELY(at == 0)) {
        return false;
    }
    if (atomic_load_explicit(&fail_once, memory_order_relaxed) ? n == at : n >= at) {
        errno = atomic_load_explicit(&fail_errno, memory_order_relaxed);
        return true;
    }
    return false;
}

void sys_fail_after(int64_t n, int errnum, bool once)
{
    atomic_store_explicit(&call_n, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_errno, errnum, memory_order_relaxed);
    atomic_store_explicit(&fail_once, once, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n, memory_order_relaxed);
}

void sys_fail_never(void)
{
    sys_fail_after(0, 0, false);
}

int64_t sys_call_n(void)
{
    return atomic_load_explicit(&call_n, memory_order_relaxed);
}

/* Runs the call until it is not interrupted; -1 at once where a test wants a failure. */
#define REPEATED(type, call)                                                                       \
    do {                                                                                           \
        type got_;                                                                                 \
                                                                                                   \
        if (UNLIKELY(must_fail())) {                                                               \
            return -1;                                                                             \
        }                                                                                          \
        do {                                                                                       \
            got_ = (call);                                                                         \
        } while (got_ < 0 && errno == EINTR);                                                      \
        return got_;                                                                               \
    } while (0)

static int do_open(const char *path, int flags, mode_t mode)
{
    REPEATED(int, open(path, flags | O_CLOEXEC, mode));
}

static int do_openat(int dir, const char *path, int flags, mode_t mode)
{
    REPEATED(int, openat(dir, path, flags | O_CLOEXEC, mode));
}

static int do_open_beneath(int dir, const char *path, int flags)
{
    const struct open_how how = { .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

    REPEATED(int, (int)syscall(SYS_openat2, dir, path, &how, sizeof(how)));
}

static int do_close(int fd)
{
    /* Linux has released the descriptor whatever close() returns: never repeated, and done even where a test wants an
     * error. */
    bool fail = must_fail();
    int wanted = errno, got = close(fd);

    if (fail) {
        errno = wanted;
        return -1;
    }
    return got < 0 && errno == EINTR ? 0 : got;
}

static ssize_t do_read(int fd, void *p, size_t n)
{
    REPEATED(ssize_t, read(fd, p, n));
}

static ssize_t do_pread(int fd, void *p, size_t n, off_t at)
{
    REPEATED(ssize_t, pread(fd, p, n, at));
}

static ssize_t do_write(int fd, const void *p, size_t n)
{
    REPEATED(ssize_t, write(fd, p, n));
}

static ssize_t do_pwrite(int fd, const void *p, size_t n, off_t at)
{
    REPEATED(ssize_t, pwrite(fd, p, n, at));
}

static int do_fsync(int fd)
{
    REPEATED(int, fsync(fd));
}

static int do_fdatasync(int fd)
{
    REPEATED(int, fdatasync(fd));
}

static int do_ftruncate(int fd, off_t n)
{
    REPEATED(int, ftruncate(fd, n));
}

static int do_flock(int fd, int operation)
{
    REPEATED(int, flock(fd, operation));
}

static int do_rename(const char *from, const char *to)
{
    REPEATED(int, rename(from, to));
}

static int do_link(const char *from, const char *to)
{
    REPEATED(int, link(from, to));
}

static int do_unlink(const char *path)
{
    REPEATED(int, unlink(path));
}

static int do_mkdir(const char *path, mode_t mode)
{
    REPEATED(int, mkdir(path, mode));
}

static int do_mkdirat(int dir, const char *path, mode_t mode)
{
    REPEATED(int, mkdirat(dir, path, mode));
}

static int do_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    REPEATED(int, renameat(from_dir, from, to_dir, to));
}

static int do_unlinkat(int dir, const char *path, int flags)
{
    REPEATED(int, unlinkat(dir, path, flags));
}

static int do_fchmod(int fd, mode_t mode)
{
    REPEATED(int, fchmod(fd, mode));
}

static int do_fstat(int fd, struct stat *st)
{
    REPEATED(int, fstat(fd, st));
}

static int do_stat(const char *path, struct stat *st)
{
    REPEATED(int, stat(path, st));
}

static ssize_t do_sendfile(int out, int in, off_t *at, size_t n)
{
    REPEATED(ssize_t, sendfile(out, in, at, n));
}

static ssize_t do_splice(int in, int out, size_t n)
{
    REPEATED(ssize_t, splice(in, NULL, out, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
}

static int do_pipe(int fd[2])
{
    REPEATED(int, pipe2(fd, O_CLOEXEC | O_NONBLOCK));
}

static void *do_walk_begin(int fd)
{
    return UNLIKELY(must_fail()) ? NULL : fdopendir(fd);
}

static const char *do_walk_next(void *walk)
{
    struct dirent *entry;

    if (UNLIKELY(must_fail())) {
        return NULL;
    }
    errno = 0;
    entry = readdir((DIR *)walk);
    return entry ? entry->d_name : NULL;
}

static void do_walk_end(void *walk)
{
    closedir((DIR *)walk); /* nothing was written, so nothing can be lost */
}

#define SYS_CALLS                                                                                  \
    {                                                                                              \
        .open = do_open, .openat = do_openat, .open_beneath = do_open_beneath, .close = do_close,  \
        .read = do_read, .pread = do_pread, .write = do_write, .pwrite = do_pwrite,                \
        .fsync = do_fsync, .fdatasync = do_fdatasync, .ftruncate = do_ftruncate,                   \
        .flock = do_flock, .rename = do_rename, .unlink = do_unlink, .link = do_link,              \
        .mkdir = do_mkdir, .mkdirat = do_mkdirat, .renameat = do_renameat,                         \
        .unlinkat = do_unlinkat, .fchmod = do_fchmod, .fstat = do_fstat, .stat = do_stat,          \
        .sendfile = do_sendfile, .walk_begin = do_walk_begin, .walk_next = do_walk_next,           \
        .walk_end = do_walk_end, .splice = do_splice, .pipe = do_pipe,                             \
    }

struct sys_table sys = SYS_CALLS;
const struct sys_table sys_default = SYS_CALLS;
