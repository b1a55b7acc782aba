/* base/fs.h - files, durably.
 * fs_write_atomic(): temporary file, fdatasync, rename, fsync of the directory; a reader sees the old or the new bytes.
 * An fsync error means the data is lost: the file is abandoned, never synced again. Thread rule: any thread, never a loop. */
#ifndef CAIRN_BASE_FS_H
#define CAIRN_BASE_FS_H

#include "base/arena.h"

/* "dir/name" in the arena; NULL when memory is out. */
char *fs_join(struct arena *a, const char *dir, const char *name);
/* Creates path and missing parents with mode 0700 (existing ones are left alone) and syncs each parent it changed, and the one
 * that a process which died may have changed: afterwards the name of path is durable. */
enum status fs_mkdirs(const char *path, struct err *err);
enum status fs_sync_dir(const char *path, struct err *err);
enum status fs_write_atomic(const char *path, const void *p, size_t n, unsigned mode,
                            struct err *err);
/* Adds whole lines to the end of a file and syncs them; the file is made with that mode if it is not there. A last line that a process which
 * died has left without its end is ended first, so that it spoils no other. The name of a file is synced before it has lines. It is opened
 * anew each time, and locked meanwhile: who moves it away starts a new one. */
enum status fs_append_lines(const char *path, const void *p, size_t n, unsigned mode,
                            struct err *err);
/* Of a file that was moved away from where fs_append_lines() adds to it: when this returns, nobody adds to it any more. */
enum status fs_lines_settle(const char *path, struct err *err);
/* Whole file of at most max bytes into the arena; ST_TOO_BIG beyond. */
enum status fs_read_file(struct arena *a, const char *path, size_t max, struct str *out,
                         struct err *err);
/* Where path leads, absolute and without links, "." and ".."; of what exists. */
enum status fs_real_path(struct arena *a, const char *path, struct str *out, struct err *err);
/* All n bytes at the current position. */
enum status fs_write_all(int fd, const void *p, size_t n, struct err *err);
/* A pipe, fd[0] to read and fd[1] to write, neither of which waits; with room for n bytes of whole pages. Where the system gives no such room
 * (more than pipe-max-size, or the user's pipes have their share, pipe-user-pages-soft) there is none: both are -1. */
enum status fs_pipe(int fd[2], size_t n, struct err *err);
/* Exclusive advisory lock on path (created if missing) held by *fd until closed; ST_CONFLICT when another process holds
 * it, with that process's text (what the holder wrote into the file, e.g. its pid) in the message. */
enum status fs_lock_file(const char *path, const char *holder_text, int *fd, struct err *err);
/* Calls fn for each entry but . and ..; stops at the first non-OK status. */
enum status fs_each(const char *path,
                    enum status (*fn)(void *ctx, const char *name, struct err *err), void *ctx,
                    struct err *err);

#endif
