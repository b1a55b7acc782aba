/* base/sys.h - system calls through one table, so that a test can fail, shorten or delay any of them.
 * The table's functions behave as the system's (return -1 and set errno). Interrupted calls are repeated inside, and
 * every descriptor is opened close-on-exec.
 * Thread rule: any thread; replacing an entry only while nothing else runs. */
#ifndef CAIRN_BASE_SYS_H
#define CAIRN_BASE_SYS_H

#include "base/compiler.h"
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct sys_table {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*openat)(int dir, const char *path, int flags, mode_t mode);
    /* openat2(): neither the path nor a symbolic link on its way leads out of the directory. */
    int (*open_beneath)(int dir, const char *path, int flags);
    int (*close)(int fd);
    ssize_t (*read)(int fd, void *p, size_t n);
    ssize_t (*pread)(int fd, void *p, size_t n, off_t at);
    ssize_t (*write)(int fd, const void *p, size_t n);
    ssize_t (*pwrite)(int fd, const void *p, size_t n, off_t at);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, off_t n);
    int (*flock)(int fd, int operation);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*link)(const char *from, const char *to); /* a second name of the file */
    int (*mkdir)(const char *path, mode_t mode);
    int (*mkdirat)(int dir, const char *path, mode_t mode);
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*unlinkat)(int dir, const char *path, int flags);
    int (*fchmod)(int fd, mode_t mode);
    int (*fstat)(int fd, struct stat *st);
    int (*stat)(const char *path, struct stat *st);
    ssize_t (*sendfile)(int out, int in, off_t *at, size_t n);
    /* Moves bytes from or into a pipe, without waiting for it; the other side waits or not as its own flags say. */
    ssize_t (*splice)(int in, int out, size_t n);
    int (*pipe)(int fd[2]); /* non-blocking */
    /* The entries of a directory: a walk over fd, which belongs to the walk from then on (NULL: to the caller still). */
    void *(*walk_begin)(int fd);
    /* The next name, valid until the next call; NULL at the end (errno 0) or on failure. */
    const char *(*walk_next)(void *walk);
    void (*walk_end)(void *walk);
};
/* The calls in force. */
extern struct sys_table sys;
/* The system's own. */
extern const struct sys_table sys_default;

/* Fault injection for tests: the n-th call through the table from now fails with errnum (or all from then on). */
void sys_fail_after(int64_t n, int errnum, bool once);
void sys_fail_never(void);
int64_t sys_call_n(void);

#endif
