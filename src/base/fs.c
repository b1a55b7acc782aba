/* base/fs.c - durable files over the system call table. */
#include "base/fs.h"
#include "base/rand.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { FS_WRITE_STEP = 1 << 30, HOLDER_TEXT_MAX = 200, REOPEN_MAX = 1000 };

char *fs_join(struct arena *a, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    struct str s = arena_printf(a, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);

    return s.p ? arena_cstr(a, s) : NULL;
}

/* The last part of a path, for messages: absolute paths are not shown. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

static void close_quietly(int fd)
{
    int saved = errno;

    /* Nothing written depends on it: data was synced before, or is abandoned. */
    if (sys.close(fd) < 0) {
        errno = saved;
    }
    errno = saved;
}

enum status fs_sync_dir(const char *path, struct err *err)
{
    int fd = sys.open(path, O_RDONLY | O_DIRECTORY, 0);
    enum status st = OK;

    if (fd < 0) {
        return err_errno(err, errno, "open directory %s", base_name(path));
    }
    if (sys.fsync(fd) < 0) {
        st = err_errno(err, errno, "sync directory %s", base_name(path));
    }
    close_quietly(fd);
    return st;
}

/* The directory that holds path, in buf of PATH_MAX bytes. */
static void parent_of(const char *path, char *buf)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    while (n > 0 && path[n - 1] != '/') {
        n--;
    }
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    if (n == 0) {
        memcpy(buf, ".", 2);
        return;
    }
    memcpy(buf, path, n);
    buf[n] = 0;
}

static enum status sync_parent(const char *path, struct err *err)
{
    char parent[PATH_MAX];

    parent_of(path, parent);
    return fs_sync_dir(parent, err);
}

/* A process that died may have made the directory and not synced its name. A parent above us that may not be read, or lies
 * where nothing can be written, was not made by us. */
static enum status sync_existing(const char *path, struct err *err)
{
    char parent[PATH_MAX];
    enum status st = OK;
    int fd;

    parent_of(path, parent);
    fd = sys.open(parent, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return errno == EACCES || errno == EPERM
                   ? OK
                   : err_errno(err, errno, "open directory %s", base_name(parent));
    }
    if (sys.fsync(fd) < 0 && errno != EROFS && errno != EINVAL) {
        st = err_errno(err, errno, "sync directory %s", base_name(parent));
    }
    close_quietly(fd);
    return st;
}

static enum status make_one(const char *path, struct err *err)
{
    struct stat info;

    if (sys.mkdir(path, 0700) == 0) {
        return sync_parent(path, err);
    }
    if (errno != EEXIST) {
        return err_errno(err, errno, "create directory %s", base_name(path));
    }
    if (sys.stat(path, &info) < 0) {
        return err_errno(err, errno, "look at %s", base_name(path));
    }
    if (!S_ISDIR(info.st_mode)) {
        return err_set(err, ST_EXISTS, "%s exists and is not a directory", base_name(path));
    }
    return sync_existing(path, err);
}

enum status fs_mkdirs(const char *path, struct err *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path), deepest = 0;
    struct stat info;
    enum status st = OK;

    if (n == 0 || n >= sizeof(part)) {
        return err_set(err, ST_INVALID, "path of %zu bytes is not between 1 and %d", n,
                       PATH_MAX - 1);
    }
    memcpy(part, path, n + 1);
    /* Each directory is durable before one is made in it: only the name of the deepest that is there may not be. */
    for (size_t i = 1; i <= n; i++) {
        if ((part[i] != '/' && part[i] != 0) || part[i - 1] == '/') {
            continue;
        }
        part[i] = 0;
        if (sys.stat(part, &info) == 0) {
            deepest = i;
        }
        if (i < n) {
            part[i] = '/';
        }
    }
    if (deepest && deepest < n) {
        char kept = part[deepest];

        part[deepest] = 0;
        st = sync_existing(part, err);
        part[deepest] = kept;
    }
    for (size_t i = deepest + 1; !st && i < n; i++) {
        if (part[i] != '/' || part[i - 1] == '/') {
            continue;
        }
        part[i] = 0;
        st = make_one(part, err);
        part[i] = '/';
    }
    return st ? st : make_one(part, err);
}

enum status fs_real_path(struct arena *a, const char *path, struct str *out, struct err *err)
{
    char real[PATH_MAX];

    *out = (struct str){ NULL, 0 };
    if (!realpath(path, real)) {
        return err_errno(err, errno, "find where %s leads", base_name(path));
    }
    *out = arena_str(a, str_cstr(real));
    return out->p ? OK : err_nomem(err);
}

enum status fs_write_all(int fd, const void *p, size_t n, struct err *err)
{
    const char *at = p;

    while (n) {
        ssize_t done = sys.write(fd, at, MIN_OF(n, (size_t)FS_WRITE_STEP));

        if (done < 0) {
            return err_errno(err, errno, "write");
        }
        if (done == 0) {
            return err_set(err, ST_IO, "write made no progress");
        }
        at += done;
        n -= (size_t)done;
    }
    return OK;
}

enum status fs_pipe(int fd[2], size_t n, struct err *err)
{
    if (sys.pipe(fd) < 0) {
        fd[0] = fd[1] = -1;
        return err_errno(err, errno, "pipe");
    }
    /* What a user with many pipes gets has room for a page or two, and is worse than none. */
    if (fcntl(fd[1], F_SETPIPE_SZ, (int)MIN_OF(n, (size_t)INT32_MAX)) < 0) {
        enum status st = err_errno(err, errno, "make a pipe of %zu bytes", n);

        close_quietly(fd[0]);
        close_quietly(fd[1]);
        fd[0] = fd[1] = -1;
        return st;
    }
    return OK;
}

enum status fs_write_atomic(const char *path, const void *p, size_t n, unsigned mode,
                            struct err *err)
{
    char temporary[PATH_MAX];
    enum status st;
    int fd, len;

    len = snprintf(temporary, sizeof(temporary), "%s.%016llx.tmp", path,
                   (unsigned long long)rand_u64());
    if (len < 0 || (size_t)len >= sizeof(temporary)) {
        return err_set(err, ST_INVALID, "path of %zu bytes is too long", strlen(path));
    }
    fd = sys.open(temporary, O_WRONLY | O_CREAT | O_EXCL, (mode_t)mode);
    if (fd < 0) {
        return err_errno(err, errno, "create %s", base_name(temporary));
    }
    st = fs_write_all(fd, p, n, err);
    if (!st && sys.fdatasync(fd) < 0) {
        st = err_errno(err, errno, "sync");
    }
    if (sys.close(fd) < 0 && !st) {
        st = err_errno(err, errno, "close");
    }
    if (!st && sys.rename(temporary, path) < 0) {
        st = err_errno(err, errno, "rename");
    }
    if (st) {
        err_ctx(err, "%s", base_name(path));
        IGNORE_STATUS(sys.unlink(temporary) <
                      0); /* a leftover is harmless, the first error counts */
        return st;
    }
    return sync_parent(path, err);
}

/* The last byte of a file of lines is the end of one. is_empty: a file, and without lines so far. */
static enum status end_last_line(int fd, bool *is_empty, struct err *err)
{
    struct stat info;
    char last = '\n';

    if (sys.fstat(fd, &info) < 0) return err_errno(err, errno, "look at");
    *is_empty = S_ISREG(info.st_mode) && info.st_size == 0;
    if (!S_ISREG(info.st_mode) || *is_empty) return OK;
    if (sys.pread(fd, &last, 1, info.st_size - 1) != 1) return err_errno(err, errno, "read");
    return last == '\n' ? OK : fs_write_all(fd, "\n", 1, err);
}

/* *moved: the path leads to what was opened no more. */
static enum status look_where(int fd, const char *path, bool *moved, struct err *err)
{
    struct stat here, there;

    *moved = false;
    if (sys.fstat(fd, &here) < 0) return err_errno(err, errno, "look at %s", base_name(path));
    if (!S_ISREG(here.st_mode)) return OK;
    if (sys.stat(path, &there) < 0) {
        *moved = errno == ENOENT;
        return *moved ? OK : err_errno(err, errno, "look at %s", base_name(path));
    }
    *moved = here.st_dev != there.st_dev || here.st_ino != there.st_ino;
    return OK;
}

/* Locked, so that fs_lines_settle() knows who still adds to what was moved away. A file system that has no locks does without. */
static enum status open_lines(const char *path, unsigned mode, int *fd, struct err *err)
{
    bool moved;
    enum status st;

    for (int i = 0; i < REOPEN_MAX; i++) {
        *fd = sys.open(path, O_RDWR | O_APPEND, 0);
        /* Only then: O_CREAT is refused for what others have made in a folder of all (fs.protected_regular). */
        if (*fd < 0 && errno == ENOENT) {
            *fd = sys.open(path, O_RDWR | O_APPEND | O_CREAT, (mode_t)mode);
        }
        if (*fd < 0) return err_errno(err, errno, "open %s", base_name(path));
        IGNORE_STATUS(sys.flock(*fd, LOCK_EX) < 0);
        st = look_where(*fd, path, &moved, err);
        if (!st && !moved) return OK;
        IGNORE_STATUS(sys.close(*fd) < 0); /* nothing was written */
        if (st) return st;
    }
    return err_set(err, ST_UNAVAILABLE, "%s is moved away again and again", base_name(path));
}

enum status fs_append_lines(const char *path, const void *p, size_t n, unsigned mode,
                            struct err *err)
{
    bool is_empty = false;
    int fd = -1;
    enum status st = open_lines(path, mode, &fd, err);

    if (st) return st;
    st = end_last_line(fd, &is_empty, err);
    /* Who made it may have died, or failed, before its name was synced. With lines in it, somebody has done that. */
    if (!st && is_empty) st = sync_existing(path, err);
    if (!st) st = fs_write_all(fd, p, n, err);
    if (!st && sys.fdatasync(fd) < 0 && errno != EINVAL) st = err_errno(err, errno, "sync");
    if (sys.close(fd) < 0 && !st) st = err_errno(err, errno, "close");
    if (st) err_ctx(err, "%s", base_name(path));
    return st;
}

enum status fs_lines_settle(const char *path, struct err *err)
{
    int fd = sys.open(path, O_RDWR, 0);

    if (fd < 0) return err_errno(err, errno, "open %s", base_name(path));
    IGNORE_STATUS(sys.flock(fd, LOCK_EX) < 0);
    return sys.close(fd) < 0 ? err_errno(err, errno, "close %s", base_name(path)) : OK;
}

static enum status read_rest(struct arena *a, int fd, const char *path, size_t max, struct str *out,
                             struct err *err)
{
    size_t n = 0, cap;
    struct stat info;
    char *p;

    if (sys.fstat(fd, &info) < 0) {
        return err_errno(err, errno, "look at %s", base_name(path));
    }
    if (S_ISDIR(info.st_mode)) {
        return err_set(err, ST_INVALID, "%s is a directory", base_name(path));
    }
    if (info.st_size > 0 && (uint64_t)info.st_size > max) {
        return err_set(err, ST_TOO_BIG, "%s exceeds %zu bytes", base_name(path), max);
    }
    /* One byte more than the size says: files of /proc say 0, and growth in between is noticed. It is never more than
     * max + 1, and full at max + 1 means too big. */
    cap = (info.st_size > 0 ? (size_t)info.st_size : MIN_OF(max, (size_t)4095)) + 1;
    p = arena_alloc(a, cap);
    if (!p) {
        return err_nomem(err);
    }
    for (;;) {
        ssize_t got;

        if (n == cap) {
            size_t bigger = cap > max / 2 ? max + 1 : cap * 2;
            char *q;

            if (cap > max) {
                return err_set(err, ST_TOO_BIG, "%s exceeds %zu bytes", base_name(path), max);
            }
            q = arena_alloc(a, bigger);
            if (!q) {
                return err_nomem(err);
            }
            memcpy(q, p, n);
            p = q;
            cap = bigger;
        }
        got = sys.read(fd, p + n, MIN_OF(cap - n, (size_t)FS_WRITE_STEP));
        if (got < 0) {
            return err_errno(err, errno, "read %s", base_name(path));
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    *out = (struct str){ p, n };
    return OK;
}

enum status fs_read_file(struct arena *a, const char *path, size_t max, struct str *out,
                         struct err *err)
{
    enum status st;
    int fd;

    *out = (struct str){ NULL, 0 };
    if (max == SIZE_MAX) {
        max--;
    }
    fd = sys.open(path, O_RDONLY, 0);
    if (fd < 0) {
        return err_errno(err, errno, "open %s", base_name(path));
    }
    st = read_rest(a, fd, path, max, out, err);
    close_quietly(fd);
    return st;
}

static enum status lock_is_held(int fd, const char *path, struct err *err)
{
    char holder[HOLDER_TEXT_MAX];
    ssize_t n = sys.pread(fd, holder, sizeof(holder), 0);
    struct str text = str_trim(str_of(holder, n > 0 ? (size_t)n : 0));

    return err_set(err, ST_CONFLICT, "%s is held by %.*s", base_name(path),
                   STR_ARG(text.n ? text : S("another process")));
}

enum status fs_lock_file(const char *path, const char *holder_text, int *fd, struct err *err)
{
    int file = sys.open(path, O_RDWR | O_CREAT, 0600);
    enum status st;

    *fd = -1;
    if (file < 0) {
        return err_errno(err, errno, "open %s", base_name(path));
    }
    /* flock belongs to the open file: another open of the same process is refused as well. */
    if (sys.flock(file, LOCK_EX | LOCK_NB) < 0) {
        st = errno == EWOULDBLOCK ? lock_is_held(file, path, err)
                                  : err_errno(err, errno, "lock %s", base_name(path));
        close_quietly(file);
        return st;
    }
    if (sys.ftruncate(file, 0) < 0) {
        st = err_errno(err, errno, "truncate %s", base_name(path));
    } else {
        st = fs_write_all(file, holder_text, strlen(holder_text), err);
    }
    if (st) {
        close_quietly(file);
        return st;
    }
    *fd = file;
    return OK;
}

enum status fs_each(const char *path,
                    enum status (*fn)(void *ctx, const char *name, struct err *err), void *ctx,
                    struct err *err)
{
    int fd = sys.open(path, O_RDONLY | O_DIRECTORY, 0);
    enum status st = OK;
    void *walk;

    if (fd < 0) {
        return err_errno(err, errno, "open directory %s", base_name(path));
    }
    walk = sys.walk_begin(fd);
    if (!walk) {
        st = err_errno(err, errno, "read directory %s", base_name(path));
        close_quietly(fd);
        return st;
    }
    while (!st) {
        const char *name = sys.walk_next(walk);

        if (!name) {
            if (errno) {
                st = err_errno(err, errno, "read directory %s", base_name(path));
            }
            break;
        }
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            st = fn(ctx, name, err);
        }
    }
    sys.walk_end(walk);
    return st;
}
