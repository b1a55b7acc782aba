/* cli/fetch.c - downloads with check and resume. */
#include "cli/fetch.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/sys.h"
#include "cli/api.h"
#include "cli/render.h"
#include <errno.h>
#include <fcntl.h>

enum { PIECE = 1 << 20, SHOW_EVERY_MS = 200 };

struct one {
    struct fetch *f;
    int fd;
    uint64_t at, size;
    struct sha256 *sha;
    bool begun;  /* bytes of this request have come */
    bool failed; /* at writing */
    int errnum;
};

static void show(struct fetch *f, uint64_t now)
{
    char done[32], total[32];

    if (f->cli->globals.quiet > 0 || !out_is_tty(OUT_STDERR) ||
        clock_mono_ms() - f->shown_ms < SHOW_EVERY_MS) {
        return;
    }
    f->shown_ms = clock_mono_ms();
    render_bytes((int64_t)(f->done + now), done);
    render_bytes((int64_t)f->total, total);
    out_printf(OUT_STDERR, "\r%s of %s \033[K", done, total);
}

void fetch_end(struct fetch *f)
{
    if (f->shown_ms) {
        out_printf(OUT_STDERR, "\r\033[K");
        f->shown_ms = 0;
    }
}

static bool restart(struct one *o)
{
    o->at = 0;
    return sha256_restart(o->sha) && sys.ftruncate(o->fd, 0) == 0;
}

static bool on_bytes(void *ctx, int status, const void *p, size_t n)
{
    struct one *o = ctx;

    if (status == 200 && !o->begun && o->at &&
        !restart(o)) { /* all, although only the rest was asked for */
        o->failed = true;
        return false;
    }
    o->begun = true;
    for (size_t done = 0; done < n;) {
        ssize_t w = sys.pwrite(o->fd, (const char *)p + done, n - done, (off_t)(o->at + done));

        if (w <= 0) {
            o->failed = true;
            o->errnum = w < 0 ? errno : ENOSPC;
            return false;
        }
        done += (size_t)w;
    }
    sha256_update(o->sha, p, n);
    o->at += n;
    show(o->f, o->at);
    return o->at <= o->size;
}

/* Hashes what is there already; more than the file has is thrown away. */
static enum status read_part(struct one *o, struct err *err)
{
    char *piece = arena_alloc(o->f->cli->arena, PIECE);
    ssize_t n = 1;

    if (!piece) {
        return err_nomem(err);
    }
    while (n > 0) {
        n = sys.pread(o->fd, piece, PIECE, (off_t)o->at);
        if (n > 0) {
            sha256_update(o->sha, piece, (size_t)n);
            o->at += (uint64_t)n;
        }
    }
    if (n < 0 || o->at > o->size) {
        return restart(o) ? OK : err_set(err, ST_IO, "cannot begin the file again");
    }
    return OK;
}

static enum status download(struct one *o, const char *path, const struct digest *want,
                            struct err *err)
{
    struct digest got;
    uint64_t had;
    enum status st;

    for (int round = 0;; round++) {
        had = o->at;
        o->begun = false;
        st = o->at < o->size || !o->size ? api_download(o->f->cli, path, o->at, on_bytes, o, err)
                                         : OK;
        if (o->failed) {
            return err_set(err, ST_IO, "cannot write: %s", strerror(o->errnum));
        }
        if (st && st != ST_IO) {
            return st;
        }
        got = sha256_end(o->sha);
        if (!st && o->at == o->size && digest_eq(&got, want)) {
            o->f->resumed += had;
            return OK;
        }
        /* What an earlier command left may be of other bytes: once more from the start. */
        if (round || !had) {
            return err_set(err, ST_CORRUPT, "%s: the bytes that came are not those it has", path);
        }
        if (!restart(o)) {
            return err_set(err, ST_IO, "cannot begin the file again");
        }
    }
}

/* What is at the final name: OK the right bytes, ST_NOT_FOUND nothing, ST_EXISTS something else. */
static enum status look(struct one *o, const char *dest, const struct digest *want, struct err *err)
{
    struct digest got;
    struct stat info;
    enum status st;

    if (sys.stat(dest, &info)) {
        return ST_NOT_FOUND;
    }
    if (!S_ISREG(info.st_mode)) {
        return err_set(err, ST_EXISTS, "%s is in the way", dest);
    }
    if ((uint64_t)info.st_size == o->size) {
        o->fd = sys.open(dest, O_RDONLY | O_CLOEXEC, 0);
        st = o->fd < 0 ? ST_NOT_FOUND : read_part(o, err);
        if (o->fd >= 0) {
            sys.close(o->fd);
        }
        got = sha256_end(o->sha);
        if (!st && o->at == o->size && digest_eq(&got, want)) {
            return OK;
        }
        o->at = 0;
        if (!sha256_restart(o->sha)) {
            return err_nomem(err);
        }
    }
    if (o->f->force) {
        return ST_NOT_FOUND;
    }
    err_set(err, ST_EXISTS, "%s is there with other bytes", dest);
    err_hint(err, "--force replaces it; or name another folder");
    return ST_EXISTS;
}

/* The name is one of a file below the folder. */
static bool is_inside(struct str name)
{
    struct str rest = name, part;

    while (str_split(&rest, '/', &part)) {
        if (!part.n || str_eq_lit(part, ".") || str_eq_lit(part, "..") ||
            memchr(part.p, 0, part.n)) {
            return false;
        }
    }
    return name.n > 0;
}

static enum status keep(struct one *o, const char *part, const char *dest, const char *folder,
                        struct err *err)
{
    if (sys.fdatasync(o->fd) || sys.rename(part, dest)) {
        return err_set(err, ST_IO, "%s: %s", dest, strerror(errno));
    }
    return fs_sync_dir(folder, err);
}

enum status fetch_file(struct fetch *f, const char *path, struct str name, uint64_t size,
                       const struct digest *sha256, struct err *err)
{
    struct one o = { .f = f, .fd = -1, .size = size, .sha = sha256_new() };
    const char *dest = arena_printf(f->cli->arena, "%s/%.*s", f->folder, STR_ARG(name)).p, *folder,
               *part, *slash = dest ? strrchr(dest, '/') : NULL;
    enum status st;

    if (!o.sha || !dest) {
        st = err_nomem(err);
        goto out;
    }
    if (!is_inside(name)) {
        st = err_set(err, ST_INVALID, "'%.*s' is no name of a file here", STR_ARG(name));
        goto out;
    }
    folder = arena_cstr(f->cli->arena, str_of(dest, (size_t)(slash - dest)));
    part = arena_printf(f->cli->arena, "%s.part", dest).p;
    st = folder && part ? look(&o, dest, sha256, err) : err_nomem(err);
    if (st == OK) {
        f->resumed += size;
        f->done += size;
        goto out;
    }
    if (st != ST_NOT_FOUND) {
        goto out;
    }
    st = fs_mkdirs(folder, err);
    o.fd = st ? -1 : sys.open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (!st && o.fd < 0) {
        st = err_set(err, ST_IO, "%s: %s", part, strerror(errno));
    }
    st = st ? st : read_part(&o, err);
    st = st ? st : download(&o, path, sha256, err);
    st = st ? st : keep(&o, part, dest, folder, err);
    if (!st) {
        f->done += size;
    } else if (st == ST_CORRUPT) {
        sys.unlink(part);
    }
    if (o.fd >= 0) {
        sys.close(o.fd);
    }
out:
    sha256_free(o.sha);
    return st;
}
