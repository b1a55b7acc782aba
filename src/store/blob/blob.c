/* store/blob/blob.c - whole objects as loose files. */
#include "store/blob/blob.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define FORMAT_TEXT "cairn-blobs 1\n"

enum { PLACE_MAX = 4096, POOL_THREADS = 2, POOL_QUEUE_MAX = 4096, FORMAT_MAX = 4096 };

struct blob_store {
    struct exec_pool *pool;
    int lock; /* descriptor of DIR/lock, -1 = none */
    /* Folders of objects/ whose own name is durable. Relaxed order: a folder made durable twice does no harm. */
    _Atomic bool folder_durable[256];
    char dir[PLACE_MAX / 2];
};

struct blob_writer {
    struct blob_store *store;
    struct sha256 *sha;
    uint64_t size;
    int fd;
    char tmp[PLACE_MAX];
};

/* ---- the folder ------------------------------------------------------------------------------------------------------------ */

static enum status remove_leftover(void *ctx, const char *name, struct err *err)
{
    const struct blob_store *s = ctx;
    char path[PLACE_MAX];

    snprintf(path, sizeof(path), "%s/tmp/%s", s->dir, name);
    if (sys.unlink(path) != 0 && errno != ENOENT) {
        return err_errno(err, errno, "cannot remove the unfinished upload %s", name);
    }
    return OK;
}

/* What goes wrong in the folder is never the fault of a client who sends or asks for bytes. */
static enum status as_io(enum status st, struct err *err)
{
    if (st == ST_NOT_FOUND || st == ST_EXISTS) {
        st = ST_IO;
        if (err) {
            err->code = st;
        }
    }
    return st;
}

/* *is_new: the folder has no FORMAT yet. Nothing is written into a folder of another format. */
static enum status check_format(const struct blob_store *s, bool *is_new, struct err *err)
{
    struct arena *a = arena_new(64 * 1024);
    char path[PLACE_MAX];
    struct str text;
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    snprintf(path, sizeof(path), "%s/FORMAT", s->dir);
    st = fs_read_file(a, path, FORMAT_MAX, &text, err);
    *is_new = st == ST_NOT_FOUND;
    if (*is_new) {
        st = OK;
    } else if ((!st && !str_eq_lit(text, FORMAT_TEXT)) || st == ST_TOO_BIG) {
        text = st ? S("too long") : str_sub(str_trim(text), 0, 40);
        st =
            err_set(err, ST_INVALID, "the blob folder has another format: \"%.*s\"", STR_ARG(text));
        err_hint(
            err,
            "open it with the version of cairn that wrote it, or choose another folder with --blobs");
    }
    arena_free(a);
    return st;
}

/* What lies in tmp/ belongs to whoever holds the lock: another server's uploads must not be taken for leftovers. */
static enum status take_lock(struct blob_store *s, struct err *err)
{
    char path[PLACE_MAX], pid[32];
    enum status st;

    snprintf(path, sizeof(path), "%s/lock", s->dir);
    snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    st = fs_lock_file(path, pid, &s->lock, err);
    if (st == ST_CONFLICT && err) {
        err_ctx(err, "the blob folder is in use");
        err_hint(err, "give every server a blob folder of its own with --blobs");
    }
    return st;
}

static enum status prepare(struct blob_store *s, struct err *err)
{
    char path[PLACE_MAX];
    bool is_new = false;
    enum status st = fs_mkdirs(s->dir, err);

    st = st ? st : check_format(s, &is_new, err);
    if (st) {
        return st;
    }
    snprintf(path, sizeof(path), "%s/objects", s->dir);
    st = fs_mkdirs(path, err);
    snprintf(path, sizeof(path), "%s/tmp", s->dir);
    st = st ? st : fs_mkdirs(path, err);
    st = st ? st : take_lock(s, err);
    st = st ? st : fs_each(path, remove_leftover, s, err);
    if (!st && is_new) {
        /* Last: a folder with FORMAT is complete, and syncing it made the other names durable as well. */
        snprintf(path, sizeof(path), "%s/FORMAT", s->dir);
        st = fs_write_atomic(path, FORMAT_TEXT, sizeof(FORMAT_TEXT) - 1, 0600, err);
    }
    return st;
}

static void release(struct blob_store *s)
{
    exec_pool_free(s->pool);
    if (s->lock >= 0) {
        sys.close(s->lock);
    }
    mem_free(s);
}

enum status blob_open(struct blob_store **out, const char *dir, struct err *err)
{
    struct blob_store *s = mem_zalloc(1, sizeof(*s));
    enum status st;

    *out = NULL;
    if (!s) {
        return err_nomem(err);
    }
    s->lock = -1;
    if ((size_t)snprintf(s->dir, sizeof(s->dir), "%s", dir) >= sizeof(s->dir)) {
        st = err_set(err, ST_INVALID, "the path of the blob folder is too long");
    } else {
        st = prepare(s, err);
    }
    st = st ? st : exec_pool_new(&s->pool, "blob", POOL_THREADS, POOL_QUEUE_MAX, err);
    if (st) {
        release(s);
        return st;
    }
    *out = s;
    return OK;
}

void blob_close(struct blob_store *s)
{
    if (s) {
        release(s);
    }
}

const char *blob_dir(const struct blob_store *s)
{
    return s->dir;
}

struct exec_pool *blob_pool(struct blob_store *s)
{
    return s->pool;
}

static void folder_of(const struct blob_store *s, const struct digest *d, char out[PLACE_MAX])
{
    snprintf(out, PLACE_MAX, "%s/objects/%02x", s->dir, d->b[0]);
}

static void place_of(const struct blob_store *s, const struct digest *d, int64_t gen,
                     char out[PLACE_MAX])
{
    char hex[65];

    digest_hex(d, hex);
    snprintf(out, PLACE_MAX, "%s/objects/%02x/%s-%" PRId64, s->dir, d->b[0], hex, gen);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

enum status blob_write_begin(struct blob_store *s, struct blob_writer **out, struct err *err)
{
    struct blob_writer *w = mem_zalloc(1, sizeof(*w));
    char name[33];

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->store = s;
    w->sha = sha256_new();
    if (!w->sha) {
        mem_free(w);
        return err_nomem(err);
    }
    id_hex32(name);
    snprintf(w->tmp, sizeof(w->tmp), "%s/tmp/%s", s->dir, name);
    w->fd = sys.open(w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        enum status st = as_io(err_errno(err, errno, "cannot begin an upload"), err);

        sha256_free(w->sha);
        mem_free(w);
        return st;
    }
    *out = w;
    return OK;
}

enum status blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err)
{
    enum status st = fs_write_all(w->fd, p, n, err);

    if (!st) {
        sha256_update(w->sha, p, n);
        w->size += n;
    }
    return as_io(st, err);
}

void blob_write_abort(struct blob_writer *w)
{
    if (!w) {
        return;
    }
    if (w->fd >= 0) {
        sys.close(w->fd);
    }
    sys.unlink(w->tmp);
    sha256_free(w->sha);
    mem_free(w);
}

/* Makes the folder of an object and its name durable: also when another thread, or a process that died, has just made it. */
static enum status make_folder(struct blob_store *s, const struct digest *d, const char *folder,
                               struct err *err)
{
    _Atomic bool *durable = &s->folder_durable[d->b[0]];
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

enum status blob_write_end(struct blob_writer *w, struct digest *sha256, uint64_t *size,
                           struct err *err)
{
    char folder[PLACE_MAX], place[PLACE_MAX];
    enum status st = OK;
    int fd = w->fd;

    *sha256 = sha256_end(w->sha);
    *size = w->size;
    folder_of(w->store, sha256, folder);
    place_of(w->store, sha256, 0, place);
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
    st = make_folder(w->store, sha256, folder, err);
    if (st) goto out;
    FAILPOINT("blob.write.before_rename");
    /* Replacing an equal file is harmless: readers keep the old one open, and the bytes are the same. */
    if (sys.rename(w->tmp, place) != 0) {
        st = err_errno(err, errno, "cannot put an upload in its place");
        goto out;
    }
    w->tmp[0] = 0;
    FAILPOINT("blob.write.before_dir_sync");
    st = fs_sync_dir(folder, err);
    FAILPOINT("blob.write.after_dir_sync");
out:
    if (st && w->tmp[0]) {
        blob_write_abort(w);
    } else {
        sha256_free(w->sha);
        mem_free(w);
    }
    return as_io(st, err);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

enum status blob_read_open(struct blob_store *s, const struct digest *sha256, int64_t gen,
                           uint64_t size, int *fd, struct err *err)
{
    char place[PLACE_MAX];
    struct stat info;

    place_of(s, sha256, gen, place);
    *fd = sys.open(place, O_RDONLY | O_CLOEXEC, 0);
    if (*fd < 0) {
        if (errno != ENOENT) {
            return err_errno(err, errno, "cannot open an object");
        }
        return err_set(err, ST_CORRUPT, "the bytes of an object are missing");
    }
    if (sys.fstat(*fd, &info) != 0 || (uint64_t)info.st_size != size) {
        sys.close(*fd);
        *fd = -1;
        return err_set(err, ST_CORRUPT,
                       "the bytes of an object have another size than its row says");
    }
    return OK;
}

void blob_recipe_whole(unsigned char out[BLOB_RECIPE_WHOLE_BYTES])
{
    out[0] = 1; /* version */
    out[1] = 1; /* extents */
    out[2] = 1; /* kind: the whole object, raw, in the file of this digest and generation */
}

bool blob_recipe_is_whole(struct str recipe)
{
    unsigned char whole[BLOB_RECIPE_WHOLE_BYTES];

    blob_recipe_whole(whole);
    return recipe.n == sizeof(whole) && memcmp(recipe.p, whole, sizeof(whole)) == 0;
}
