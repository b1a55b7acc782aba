/* store/blob/dir.c - whole objects as files of a folder.
 *
 *     DIR/FORMAT                          "cairn-blobs 1"
 *     DIR/lock                            held while the store is open
 *     DIR/tmp/<random>                    being written; emptied at the next start
 *     DIR/objects/ab/abcdef...-0          whole objects
 *     DIR/packs/ab/abcdef0123456789       packs
 *     DIR/partial/<id>                    uploads that go on later: their owner removes them; after nine days they are nobody's
 *
 * Written to a temporary file, fdatasync, rename, fsync of the folder: then the place is durable. An fsync error means the bytes
 * are lost: the file is abandoned. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/blob/blob_ops.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { PLACE_MAX = 4096 };
#define PARTIAL_MAX_MS ((int64_t)9 * 24 * 3600 * 1000)

struct dir {
    int lock; /* descriptor of DIR/lock, -1 = none */
    /* Folders of objects/ whose own name is durable. Relaxed order: a folder made durable twice does no harm. */
    _Atomic bool folder_durable[BLOB_SHARDS], pack_folder_durable[BLOB_SHARDS];
    char path[PLACE_MAX / 2];
};

struct dir_writer {
    struct dir *dir;
    int fd;
    bool is_partial; /* what was saved stays, whatever becomes of the writer */
    char tmp[PLACE_MAX];
};

struct dir_reader {
    int fd;
    off_t at;
};

/* ---- the folder ------------------------------------------------------------------------------------------------------------ */

static enum status remove_leftover(void *ctx, const char *name, struct err *err)
{
    const struct dir *d = ctx;
    char path[PLACE_MAX];

    snprintf(path, sizeof(path), "%s/tmp/%s", d->path, name);
    if (sys.unlink(path) != 0 && errno != ENOENT) {
        return err_errno(err, errno, "cannot remove the unfinished upload %s", name);
    }
    return OK;
}

static enum status remove_old_partial(void *ctx, const char *name, struct err *err)
{
    const struct dir *d = ctx;
    char path[PLACE_MAX];
    struct stat info;

    snprintf(path, sizeof(path), "%s/partial/%s", d->path, name);
    if (sys.stat(path, &info) != 0 ||
        clock_wall_ms() - (int64_t)info.st_mtim.tv_sec * 1000 < PARTIAL_MAX_MS) {
        return OK;
    }
    return sys.unlink(path) == 0 || errno == ENOENT
               ? OK
               : err_errno(err, errno, "cannot remove the unfinished upload %s", name);
}

static enum status remove_old_partials(struct dir *d, struct err *err)
{
    char path[PLACE_MAX];
    struct stat info;

    snprintf(path, sizeof(path), "%s/partial", d->path);
    return sys.stat(path, &info) == 0 ? fs_each(path, remove_old_partial, d, err) : OK;
}

/* *is_new: the folder has no FORMAT yet. Nothing is written into a folder of another format. */
static enum status check_format(const struct dir *d, bool *is_new, struct err *err)
{
    struct arena *a = arena_new(64 * 1024);
    char path[PLACE_MAX];
    struct str text;
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    snprintf(path, sizeof(path), "%s/FORMAT", d->path);
    st = fs_read_file(a, path, BLOB_FORMAT_MAX, &text, err);
    *is_new = st == ST_NOT_FOUND;
    if (*is_new) {
        st = OK;
    } else if ((!st && !str_eq_lit(text, BLOB_FORMAT_TEXT)) || st == ST_TOO_BIG) {
        st = blob_other_format(st ? S("too long") : text, err);
    }
    arena_free(a);
    return st;
}

/* What lies in tmp/ belongs to whoever holds the lock: another server's uploads must not be taken for leftovers. */
static enum status take_lock(struct dir *d, struct err *err)
{
    char path[PLACE_MAX], pid[32];
    enum status st;

    snprintf(path, sizeof(path), "%s/lock", d->path);
    snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    st = fs_lock_file(path, pid, &d->lock, err);
    if (st == ST_CONFLICT && err) {
        err_ctx(err, "the blob folder is in use");
        err_hint(err, "give every server a blob folder of its own with --blobs");
    }
    return st;
}

static enum status prepare(struct dir *d, struct err *err)
{
    char path[PLACE_MAX];
    bool is_new = false;
    enum status st = fs_mkdirs(d->path, err);

    st = st ? st : check_format(d, &is_new, err);
    if (st) {
        return st;
    }
    snprintf(path, sizeof(path), "%s/objects", d->path);
    st = fs_mkdirs(path, err);
    snprintf(path, sizeof(path), "%s/tmp", d->path);
    st = st ? st : fs_mkdirs(path, err);
    st = st ? st : take_lock(d, err);
    st = st ? st : fs_each(path, remove_leftover, d, err);
    st = st ? st : remove_old_partials(d, err);
    if (!st && is_new) {
        /* Last: a folder with FORMAT is complete, and syncing it made the other names durable as well. */
        snprintf(path, sizeof(path), "%s/FORMAT", d->path);
        st = fs_write_atomic(path, BLOB_FORMAT_TEXT, sizeof(BLOB_FORMAT_TEXT) - 1, 0600, err);
    }
    return st;
}

static void dir_close(void *b)
{
    struct dir *d = b;

    if (d->lock >= 0) {
        sys.close(d->lock);
    }
    mem_free(d);
}

static enum status dir_open(void **out, const struct blob_options *opt, struct err *err)
{
    struct dir *d = mem_zalloc(1, sizeof(*d));
    enum status st;

    *out = NULL;
    if (!d) {
        return err_nomem(err);
    }
    d->lock = -1;
    if ((size_t)snprintf(d->path, sizeof(d->path), "%s", opt->location) >= sizeof(d->path)) {
        st = err_set(err, ST_INVALID, "the path of the blob folder is too long");
    } else {
        st = prepare(d, err);
    }
    if (st) {
        dir_close(d);
        return st;
    }
    *out = d;
    return OK;
}

static bool dir_serves(const char *location)
{
    (void)location;
    return true;
}

static const char *dir_path(const void *b)
{
    return ((const struct dir *)b)->path;
}

static enum status dir_health(void *b, struct err *err)
{
    bool is_new = false;
    enum status st = check_format(b, &is_new, err);

    return is_new && !st ? err_set(err, ST_CORRUPT, "the blob folder has lost its file FORMAT")
                         : st;
}

static void folder_of(const struct dir *d, unsigned shard, char out[PLACE_MAX])
{
    snprintf(out, PLACE_MAX, "%s/objects/%02x", d->path, shard);
}

static void place_of(const struct dir *d, const struct digest *sha256, int64_t gen,
                     char out[PLACE_MAX])
{
    char name[BLOB_NAME_MAX];

    blob_name(sha256, gen, name);
    snprintf(out, PLACE_MAX, "%s/objects/%02x/%s", d->path, sha256->b[0], name);
}

static void pack_place_of(const struct dir *d, uint64_t id, char out[PLACE_MAX])
{
    char place[BLOB_PACK_PLACE_MAX];

    blob_pack_place(id, place);
    snprintf(out, PLACE_MAX, "%s/%s", d->path, place);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

static enum status dir_write_begin(void *b, void **out, struct err *err)
{
    struct dir *d = b;
    struct dir_writer *w = mem_zalloc(1, sizeof(*w));
    char name[33];

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->dir = d;
    id_hex32(name);
    snprintf(w->tmp, sizeof(w->tmp), "%s/tmp/%s", d->path, name);
    w->fd = sys.open(w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        enum status st = err_errno(err, errno, "cannot begin an upload");

        mem_free(w);
        return st;
    }
    *out = w;
    return OK;
}

static enum status dir_write(void *writer, struct sha256 *sha, const void *p, size_t n,
                             struct err *err)
{
    struct dir_writer *w = writer;
    enum status st = fs_write_all(w->fd, p, n, err);

    if (!st && sha) {
        sha256_update(sha, p, n);
    }
    return st;
}

static void dir_write_abort(void *writer)
{
    struct dir_writer *w = writer;

    if (w->fd >= 0) {
        sys.close(w->fd);
    }
    if (!w->is_partial) {
        sys.unlink(w->tmp);
    }
    mem_free(w);
}

/* Makes the folder of an object and its name durable: also when another thread, or a process that died, has just made it. */
static enum status make_folder(_Atomic bool *durable, const char *folder, struct err *err)
{
    enum status st;

    if (atomic_load_explicit(durable, memory_order_relaxed)) {
        return OK;
    }
    st = fs_mkdirs(folder, err);
    if (!st) {
        atomic_store_explicit(durable, true, memory_order_relaxed);
    }
    return st;
}

/* A file that goes on later keeps its name too, as long as the place is named by nothing: where the folder knows no second names, it
 * moves. */
static int put_in_place(const struct dir_writer *w, const char *place)
{
    return w->is_partial && sys.link(w->tmp, place) == 0 ? 0 : sys.rename(w->tmp, place);
}

static enum status finish_at(struct dir_writer *w, _Atomic bool *durable, const char *folder,
                             const char *place, struct err *err)
{
    enum status st = OK;
    int fd = w->fd;

    FAILPOINT("blob.write.before_sync");
    if (sys.fdatasync(fd) != 0) {
        st = err_errno(err, errno, "cannot make an upload durable");
        goto out;
    }
    w->fd = -1;
    if (sys.close(fd) != 0) {
        st = err_errno(err, errno, "cannot close an upload");
        goto out;
    }
    st = make_folder(durable, folder, err);
    if (st) goto out;
    FAILPOINT("blob.write.before_rename");
    /* Replacing an equal file is harmless: readers keep the old one open, and the bytes are the same. */
    if (put_in_place(w, place) != 0) {
        st = err_errno(err, errno, "cannot put an upload in its place");
        goto out;
    }
    w->tmp[0] = 0;
    FAILPOINT("blob.write.before_dir_sync");
    st = fs_sync_dir(folder, err);
    FAILPOINT("blob.write.after_dir_sync");
out:
    if (st && w->tmp[0]) {
        dir_write_abort(w);
    } else {
        mem_free(w);
    }
    return st;
}

static enum status dir_write_finish(void *writer, const struct digest *sha256, int64_t gen,
                                    uint64_t size, struct err *err)
{
    struct dir_writer *w = writer;
    char folder[PLACE_MAX], place[PLACE_MAX];

    (void)size;
    folder_of(w->dir, sha256->b[0], folder);
    place_of(w->dir, sha256, gen, place);
    return finish_at(w, &w->dir->folder_durable[sha256->b[0]], folder, place, err);
}

static enum status dir_pack_finish(void *writer, uint64_t id, uint64_t size, struct err *err)
{
    struct dir_writer *w = writer;
    char folder[PLACE_MAX], place[PLACE_MAX];

    (void)size;
    pack_place_of(w->dir, id, place);
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(place, '/') - place), place);
    return finish_at(w, &w->dir->pack_folder_durable[id >> 56], folder, place, err);
}

/* ---- uploads that go on later -------------------------------------------------------------------------------------------------- */

static void partial_of(const struct dir *d, struct str id, char out[PLACE_MAX])
{
    snprintf(out, PLACE_MAX, "%s/partial/%.*s", d->path, STR_ARG(id));
}

/* The file as long as what was saved, and written behind that. */
static enum status open_partial(struct dir_writer *w, uint64_t at, struct err *err)
{
    struct stat info;

    w->fd = sys.open(w->tmp, O_WRONLY | O_APPEND | O_CLOEXEC | (at ? 0 : O_CREAT), 0600);
    if (w->fd < 0) {
        return err_errno(err, errno, "cannot go on with an upload");
    }
    if (sys.fstat(w->fd, &info) != 0 || (uint64_t)info.st_size < at) {
        return err_set(err, ST_NOT_FOUND, "what was saved of an upload is missing");
    }
    return sys.ftruncate(w->fd, (off_t)at) == 0
               ? OK
               : err_errno(err, errno, "cannot go on with an upload");
}

static enum status dir_resume_begin(void *b, struct str id, uint64_t at, struct str ledger,
                                    void **out, struct err *err)
{
    struct dir *d = b;
    struct dir_writer *w = mem_zalloc(1, sizeof(*w));
    char folder[PLACE_MAX];
    enum status st = OK;

    (void)ledger;
    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->dir = d;
    w->is_partial = true;
    w->fd = -1;
    partial_of(d, id, w->tmp);
    if (!at) {
        snprintf(folder, sizeof(folder), "%s/partial", d->path);
        st = fs_mkdirs(folder, err);
    }
    st = st ? st : open_partial(w, at, err);
    FAILPOINT("blob.resume.opened");
    if (!st && !at) {
        st = fs_sync_dir(folder, err); /* later a name that is missing is an upload that is lost */
    }
    if (st) {
        dir_write_abort(w);
        return st;
    }
    *out = w;
    return OK;
}

static enum status dir_resume_save(void *writer, struct buf *ledger, struct err *err)
{
    struct dir_writer *w = writer;

    (void)ledger;
    FAILPOINT("blob.resume.before_sync");
    return sys.fdatasync(w->fd) == 0 ? OK : err_errno(err, errno, "cannot make an upload durable");
}

static enum status dir_resume_drop(void *b, struct str id, struct str ledger, struct err *err)
{
    struct dir *d = b;
    char path[PLACE_MAX], folder[PLACE_MAX];

    (void)ledger;
    partial_of(d, id, path);
    snprintf(folder, sizeof(folder), "%s/partial", d->path);
    if (sys.unlink(path) != 0) {
        return errno == ENOENT ? OK : err_errno(err, errno, "cannot remove an unfinished upload");
    }
    return fs_sync_dir(folder, err);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

static enum status open_place(const char *place, int *fd, struct err *err)
{
    *fd = sys.open(place, O_RDONLY | O_CLOEXEC, 0);
    return *fd < 0 ? err_errno(err, errno, "cannot open an object") : OK;
}

static enum status dir_open_fd(void *b, const struct digest *sha256, int64_t gen, int *fd,
                               struct err *err)
{
    char place[PLACE_MAX];

    place_of(b, sha256, gen, place);
    return open_place(place, fd, err);
}

static enum status dir_pack_open_fd(void *b, uint64_t id, int *fd, struct err *err)
{
    char place[PLACE_MAX];

    pack_place_of(b, id, place);
    return open_place(place, fd, err);
}

static enum status read_begin_at(const char *place, uint64_t size, uint64_t from, void **out,
                                 struct err *err)
{
    struct dir_reader *r = mem_zalloc(1, sizeof(*r));
    struct stat info;
    enum status st;

    *out = NULL;
    if (!r) {
        return err_nomem(err);
    }
    st = open_place(place, &r->fd, err);
    if (st) {
        mem_free(r);
        return st;
    }
    if (sys.fstat(r->fd, &info) != 0 || (uint64_t)info.st_size != size) {
        sys.close(r->fd);
        mem_free(r);
        return err_set(err, ST_CORRUPT,
                       "the bytes of an object have another size than its row says");
    }
    r->at = (off_t)from;
    *out = r;
    return OK;
}

static enum status dir_read_begin(void *b, const struct digest *sha256, int64_t gen, uint64_t size,
                                  uint64_t from, uint64_t n, void **out, struct err *err)
{
    char place[PLACE_MAX];

    (void)n;
    place_of(b, sha256, gen, place);
    return read_begin_at(place, size, from, out, err);
}

static enum status dir_pack_read_begin(void *b, uint64_t id, uint64_t size, uint64_t from,
                                       uint64_t n, void **out, struct err *err)
{
    char place[PLACE_MAX];

    (void)n;
    pack_place_of(b, id, place);
    return read_begin_at(place, size, from, out, err);
}

static enum status dir_read(void *reader, void *p, size_t max, size_t *got, struct err *err)
{
    struct dir_reader *r = reader;
    ssize_t n = sys.pread(r->fd, p, max, r->at);

    if (n < 0) {
        return blob_as_io(err_errno(err, errno, "cannot read an object"), err);
    }
    if (n == 0) {
        return err_set(err, ST_CORRUPT, "an object became shorter while it was read");
    }
    r->at += n;
    *got = (size_t)n;
    return OK;
}

static void dir_read_end(void *reader)
{
    struct dir_reader *r = reader;

    sys.close(r->fd);
    mem_free(r);
}

/* ---- keeping -------------------------------------------------------------------------------------------------------------------- */

/* mtime_ms: may be NULL. */
static enum status stat_place(const char *place, uint64_t *size, int64_t *mtime_ms, struct err *err)
{
    struct stat info;

    if (sys.stat(place, &info) != 0) {
        return err_errno(err, errno, "cannot look at an object");
    }
    *size = (uint64_t)info.st_size;
    if (mtime_ms) {
        *mtime_ms = (int64_t)info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1000000;
    }
    return OK;
}

static enum status dir_stat(void *b, const struct digest *sha256, int64_t gen, uint64_t *size,
                            struct err *err)
{
    char place[PLACE_MAX];

    place_of(b, sha256, gen, place);
    return stat_place(place, size, NULL, err);
}

static enum status dir_pack_stat(void *b, uint64_t id, uint64_t *size, struct err *err)
{
    char place[PLACE_MAX];

    pack_place_of(b, id, place);
    return stat_place(place, size, NULL, err);
}

static enum status remove_place(const char *place, struct err *err)
{
    return sys.unlink(place) == 0 || errno == ENOENT
               ? OK
               : err_errno(err, errno, "cannot remove an object");
}

static enum status dir_remove(void *b, const struct digest *sha256, int64_t gen, struct err *err)
{
    char place[PLACE_MAX];

    place_of(b, sha256, gen, place);
    return remove_place(place, err);
}

static enum status dir_pack_remove(void *b, uint64_t id, struct err *err)
{
    char place[PLACE_MAX], folder[PLACE_MAX];
    struct stat info;
    enum status st;

    pack_place_of(b, id, place);
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(place, '/') - place), place);
    st = remove_place(place, err);
    return st || sys.stat(folder, &info) != 0 ? st : fs_sync_dir(folder, err);
}

static enum status dir_settle(void *b, unsigned shard, struct err *err)
{
    char folder[PLACE_MAX];
    struct stat info;

    folder_of(b, shard, folder);
    if (sys.stat(folder, &info) != 0 && errno == ENOENT) {
        return OK;
    }
    return fs_sync_dir(folder, err);
}

static enum status count_one(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(size_t *)ctx;
    return OK;
}

/* Opening the folder removed what was left; the rest is at work. */
static enum status dir_tidy(void *b, size_t *left, struct err *err)
{
    const struct dir *d = b;
    char path[PLACE_MAX];

    snprintf(path, sizeof(path), "%s/tmp", d->path);
    return fs_each(path, count_one, left, err);
}

struct listing {
    void *dir;
    blob_entry_fn fn;
    void *ctx;
};

/* Of a name that a listing showed: ST_END, without a message, when it has gone meanwhile. */
static enum status stat_listed(const char *place, uint64_t *size, int64_t *mtime_ms,
                               struct err *err)
{
    struct err why = ERR_INIT;
    enum status st = stat_place(place, size, mtime_ms, &why);

    if (st == ST_NOT_FOUND) {
        return ST_END;
    }
    if (st) {
        *err = why;
    }
    return st;
}

static enum status list_one(void *ctx, const char *name, struct err *err)
{
    const struct listing *l = ctx;
    struct blob_entry e;
    char place[PLACE_MAX];
    enum status st;

    if (!blob_name_parse(str_cstr(name), &e.sha256, &e.gen)) {
        return OK;
    }
    place_of(l->dir, &e.sha256, e.gen, place);
    st = stat_listed(place, &e.size, &e.mtime_ms, err);
    return st ? (st == ST_END ? OK : st) : l->fn(l->ctx, &e, err);
}

static enum status dir_list(void *b, unsigned shard, blob_entry_fn fn, void *ctx, struct err *err)
{
    struct listing l = { b, fn, ctx };
    char folder[PLACE_MAX];
    struct stat info;

    folder_of(b, shard, folder);
    if (sys.stat(folder, &info) != 0) {
        return errno == ENOENT ? OK : err_errno(err, errno, "cannot list objects");
    }
    return fs_each(folder, list_one, &l, err);
}

struct pack_listing {
    const struct dir *dir;
    blob_pack_entry_fn fn;
    void *ctx;
};

static enum status list_one_pack(void *ctx, const char *name, struct err *err)
{
    const struct pack_listing *l = ctx;
    struct blob_pack_entry e;
    char place[PLACE_MAX];
    enum status st;

    if (!blob_pack_name_parse(str_cstr(name), &e.id)) {
        return OK;
    }
    pack_place_of(l->dir, e.id, place);
    st = stat_listed(place, &e.size, &e.mtime_ms, err);
    return st ? (st == ST_END ? OK : st) : l->fn(l->ctx, &e, err);
}

static enum status dir_pack_list(void *b, unsigned shard, blob_pack_entry_fn fn, void *ctx,
                                 struct err *err)
{
    struct pack_listing l = { b, fn, ctx };
    char folder[PLACE_MAX];
    struct stat info;

    snprintf(folder, sizeof(folder), "%s/packs/%02x", l.dir->path, shard);
    if (sys.stat(folder, &info) != 0) {
        return errno == ENOENT ? OK : err_errno(err, errno, "cannot list packs");
    }
    return fs_each(folder, list_one_pack, &l, err);
}

const struct blob_ops blob_dir_ops = {
    .name = "dir",
    .serves = dir_serves,
    .threads = 2,
    .open = dir_open,
    .close = dir_close,
    .dir = dir_path,
    .location = dir_path,
    .health = dir_health,
    .write_begin = dir_write_begin,
    .write = dir_write,
    .write_finish = dir_write_finish,
    .write_abort = dir_write_abort,
    .resume_begin = dir_resume_begin,
    .resume_save = dir_resume_save,
    .resume_drop = dir_resume_drop,
    .open_fd = dir_open_fd,
    .read_begin = dir_read_begin,
    .read = dir_read,
    .read_end = dir_read_end,
    .stat = dir_stat,
    .remove = dir_remove,
    .settle = dir_settle,
    .list = dir_list,
    .pack_list = dir_pack_list,
    .pack_finish = dir_pack_finish,
    .pack_open_fd = dir_pack_open_fd,
    .pack_read_begin = dir_pack_read_begin,
    .pack_stat = dir_pack_stat,
    .pack_remove = dir_pack_remove,
    .tidy = dir_tidy,
};
