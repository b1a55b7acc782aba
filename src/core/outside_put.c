/* core/outside_put.c - files that this server writes below listed folders; those of buckets go on to outside_bucket.c.
 * Every folder on the way is opened by its name alone, from the one above it and never through a symbolic link, so no name leads out,
 * also when the tree changes meanwhile. A file comes under a name of its own in DESK, at the top of the place; it is renamed when its
 * bytes are durable. A crash leaves it there, where nobody is shown it, and a start removes it a day later. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/rand.h"
#include "base/sys.h"
#include "core/artifact_int.h"
#include "core/outside_int.h"
#include "store/blob/bucket.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define DESK BUCKET_DESK

enum {
    PART_MAX = 255,
    DEPTH_MAX = 64, /* of a folder that is removed: each level holds a descriptor */
    ROUNDS_MAX = 8, /* while others write into it */
    TRIES_MAX = 3,
    WRITER_NAME = 32,
    LEFT_MS = 24 * 3600 * 1000,
    FULL_RETRY_S = 30
};

struct outside_writer {
    const struct artifact_place *at;
    const struct outside_place *place;
    struct sha256 *sha;
    struct digest sha256; /* once it is asked for: of all bytes */
    bool has_sha256;
    uint64_t size;
    struct s3_writer *in_bucket; /* NULL: a file, which the next three say */
    int fd, desk;
    char name[WRITER_NAME + 1];
};

/* One name of a path, as the system takes it. */
struct part {
    char s[PART_MAX + 1];
};

bool outside_writes(const struct outside_place *p)
{
    return p && p->writes;
}

bool outside_writes_any(const struct outside *o)
{
    for (size_t i = 0; o && i < o->n; i++) {
        if (o->places[i].writes) {
            return true;
        }
    }
    return false;
}

bool outside_is_reserved(struct str path)
{
    struct str part;

    while (str_split(&path, '/', &part)) {
        if (str_eq_lit(part, DESK)) {
            return true;
        }
    }
    return false;
}

static enum status failed(int errnum, struct err *err)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        err_set(
            err, ST_UNAVAILABLE,
            "the disk of the folder of these artifacts is full (%s): delete what is not needed there",
            strerror(errnum));
        if (err) {
            err->retry_after_s = FULL_RETRY_S;
        }
        return ST_UNAVAILABLE;
    case EACCES:
    case EPERM:
    case EROFS:
        return err_set(err, ST_DENIED, "this server's user may not write there (%s)",
                       strerror(errnum));
    case EXDEV:
        return err_set(
            err, ST_DENIED,
            "another file system is mounted there: the server's operator lists the folder "
            "that it is mounted at in --artifact-places");
    case EMFILE:
    case ENFILE:
    case ENOMEM: return err_errno(err, errnum, "the folder of these artifacts cannot be written");
    default:
        return err_set(err, ST_IO, "the folder of these artifacts cannot be written: %s",
                       strerror(errnum));
    }
}

/* ---- names ------------------------------------------------------------------------------------------------------------------------- */

static enum status part_of(struct str s, struct part *out, struct err *err)
{
    if (s.n > PART_MAX) {
        return err_field(err, ST_INVALID, "path", "a name in the path is longer than %d bytes",
                         PART_MAX);
    }
    if (!s.n || str_eq_lit(s, ".") || str_eq_lit(s, "..") || str_eq_lit(s, DESK) ||
        str_find_byte(s, 0, 0) != SIZE_MAX) {
        return err_field(err, ST_INVALID, "path", "Invalid path");
    }
    memcpy(out->s, s.p, s.n);
    out->s[s.n] = 0;
    return OK;
}

/* What a name is, itself: links are not followed. errno when it fails. */
static bool what_is(int dir, const char *name, struct stat *info)
{
    int fd = sys.openat(dir, name, O_PATH | O_NOFOLLOW, 0), kept;
    bool ok = fd >= 0 && sys.fstat(fd, info) == 0;

    kept = errno;
    if (fd >= 0) {
        (void)sys.close(fd);
    }
    errno = kept;
    return ok;
}

static enum status is_a_link(struct str path, struct err *err)
{
    return err_field(err, ST_INVALID, "path",
                     "'%.*s' is a symbolic link: this server writes through none", STR_ARG(path));
}

enum status outside_check_place(struct arena *a, const struct artifact_place *at, struct err *err)
{
    const struct outside *all = at->outside->all;
    struct str full = arena_printf(a, "%.*s/%.*s", STR_ARG(at->outside->path), STR_ARG(at->path));

    if (!full.p) {
        return err_nomem(err);
    }
    if (!at->path.n) {
        return err_field(err, ST_INVALID, "path", "Invalid path");
    }
    if (outside_place_of(all, full) != at->outside) {
        return err_field(err, ST_INVALID, "path", "'%.*s' lies in another listed place",
                         STR_ARG(at->path));
    }
    for (size_t i = 0; i < all->n; i++) {
        struct str other = all->places[i].path;

        if (other.n > full.n && str_starts(other, full) && other.p[full.n] == '/') {
            return err_field(err, ST_INVALID, "path", "another listed place lies in '%.*s'",
                             STR_ARG(at->path));
        }
    }
    return OK;
}

/* ---- folders ----------------------------------------------------------------------------------------------------------------------- */

/* A folder that is made has the rights of the one that it lies in. */
static enum status make_dir(int above, const char *name, bool *made, struct err *err)
{
    struct stat info;
    int fd;
    enum status st = OK;

    *made = sys.mkdirat(above, name, 0700) == 0;
    if (!*made) {
        return errno == EEXIST ? OK : failed(errno, err);
    }
    fd = sys.openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0 || sys.fstat(above, &info) < 0 || sys.fchmod(fd, info.st_mode & 07777) < 0) {
        st = failed(errno, err);
    }
    if (fd >= 0) {
        (void)sys.close(fd);
    }
    return st;
}

/* The folders that an upload has made: one in the other, down to the deepest. */
struct made {
    unsigned n;
    struct str deepest;
};

/* From *fd one folder down; *fd is closed or replaced. ST_NOT_FOUND: it is not there. made: NULL = none is made. */
static enum status step(int *fd, struct str name, struct str so_far, struct made *made,
                        struct err *err)
{
    struct part part;
    struct stat info;
    bool is_new = false;
    int next = -1;
    enum status st = part_of(name, &part, err);

    if (!st) {
        next = sys.openat(*fd, part.s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (next < 0 && errno == ENOENT && made) {
            st = make_dir(*fd, part.s, &is_new, err);
            if (is_new) {
                made->n++;
                made->deepest = so_far;
            }
            next = st ? -1 : sys.openat(*fd, part.s, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        }
    }
    if (!st && next < 0) {
        int why = errno;

        st = why == ENOENT ? ST_NOT_FOUND : failed(why, err);
        if ((why == ENOTDIR || why == ELOOP) && what_is(*fd, part.s, &info)) {
            st = S_ISLNK(info.st_mode) ? is_a_link(so_far, err) : artifact_is_a_file(so_far, err);
        }
    }
    /* Also one that was there: another upload may have made it just now. */
    if (!st && made && sys.fsync(*fd) < 0) {
        st = failed(errno, err);
    }
    (void)sys.close(*fd);
    *fd = next;
    if (st && next >= 0) {
        (void)sys.close(next);
        *fd = -1;
    }
    return st;
}

/* The folder at `dir`, below the place; missing ones are made and counted, unless made is NULL: then ST_NOT_FOUND. */
static enum status open_dir(const struct outside_place *p, struct str dir, struct made *made,
                            int *fd, struct err *err)
{
    struct str rest = dir, name;
    enum status st = OK;

    *fd = sys.openat(p->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0) {
        return failed(errno, err);
    }
    while (!st && rest.n && str_split(&rest, '/', &name)) {
        st = step(fd, name, str_of(dir.p, (size_t)(name.p + name.n - dir.p)), made, err);
    }
    return st;
}

/* The folders that an upload made which failed, unless others use them already. */
static void drop_made(const struct outside_place *p, const struct made *made)
{
    struct err ignored = ERR_INIT;
    struct str dir = made->deepest, above, name;
    struct part part;
    int fd;

    for (unsigned i = 0; i < made->n; i++, dir = above) {
        artifact_split(dir, &above, &name);
        if (part_of(name, &part, &ignored)) {
            return;
        }
        if (open_dir(p, above, NULL, &fd, &ignored) == OK) {
            (void)sys.unlinkat(fd, part.s, AT_REMOVEDIR);
        }
        if (fd >= 0) {
            (void)sys.close(fd);
        }
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------------ */

/* Whether a file may have this name in this folder. */
static enum status check_leaf(int dir, const char *name, struct str path, struct err *err)
{
    struct stat info;

    if (!what_is(dir, name, &info)) {
        return errno == ENOENT ? OK : failed(errno, err);
    }
    if (S_ISREG(info.st_mode)) {
        return OK;
    }
    return S_ISDIR(info.st_mode) ? artifact_is_a_directory(path, err)
           : S_ISLNK(info.st_mode)
               ? is_a_link(path, err)
               : err_field(err, ST_INVALID, "path", "'%.*s' is no file", STR_ARG(path));
}

enum status outside_put_check(struct arena *a, const struct artifact_place *at, struct err *err)
{
    struct str dir, name, rest, one;
    struct part part;
    int fd = -1;
    enum status st = outside_check_place(a, at, err);

    if (st || at->outside->bucket) {
        return st ? st : outside_bucket_check(at, err);
    }
    artifact_split(at->path, &dir, &name);
    st = part_of(name, &part, err);
    for (rest = dir; !st && rest.n && str_split(&rest, '/', &one);) {
        struct part ignored;

        st = part_of(one, &ignored, err);
    }
    if (st) {
        return st;
    }
    st = open_dir(at->outside, dir, NULL, &fd, err);
    st = st ? st : check_leaf(fd, part.s, at->path, err);
    if (fd >= 0) {
        (void)sys.close(fd);
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status open_desk(const struct outside_place *p, int *fd, struct err *err)
{
    *fd = sys.openat(p->fd, DESK, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (*fd < 0 && errno == ENOENT) {
        if (sys.mkdirat(p->fd, DESK, 0700) < 0 && errno != EEXIST) {
            return failed(errno, err);
        }
        *fd = sys.openat(p->fd, DESK, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    }
    return *fd < 0 ? failed(errno, err) : OK;
}

enum status outside_prepare(const struct outside_place *p, struct err *err)
{
    const char *name;
    struct stat info;
    void *walk;
    int fd;
    enum status st = open_desk(p, &fd, err);

    if (st) {
        err_hint(err, "let this user write there, or list the folder without =rw");
        return st == ST_DENIED ? ST_INVALID : st;
    }
    walk = sys.walk_begin(fd);
    if (!walk) {
        st = failed(errno, err);
        (void)sys.close(fd);
        return st;
    }
    while ((name = sys.walk_next(walk)) != NULL) {
        if (strlen(name) == WRITER_NAME && what_is(fd, name, &info) && S_ISREG(info.st_mode) &&
            clock_wall_ms() - (int64_t)info.st_mtim.tv_sec * 1000 > LEFT_MS) {
            (void)sys.unlinkat(fd, name, 0);
        }
    }
    sys.walk_end(walk);
    return OK;
}

static enum status begin_file(struct outside_writer *w, struct err *err)
{
    enum status st = open_desk(w->place, &w->desk, err);

    snprintf(w->name, sizeof(w->name), "%016llx%016llx", (unsigned long long)rand_u64(),
             (unsigned long long)rand_u64());
    if (!st) {
        w->fd = sys.openat(w->desk, w->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        st = w->fd < 0 ? failed(errno, err) : OK;
    }
    return st;
}

enum status outside_write_begin(const struct artifact_place *at, struct arena *a,
                                struct outside_writer **out, struct err *err)
{
    struct outside_writer *w = ARENA_NEW(a, struct outside_writer);
    enum status st;

    *out = NULL;
    if (!w) {
        return err_nomem(err);
    }
    w->at = at;
    w->place = at->outside;
    w->fd = w->desk = -1;
    w->sha = sha256_resume(NULL, 0);
    st = !w->sha            ? err_nomem(err)
         : w->place->bucket ? outside_bucket_begin(at, a, &w->in_bucket, err)
                            : begin_file(w, err);
    if (st) {
        outside_write_abort(w);
        return st;
    }
    *out = w;
    return OK;
}

enum status outside_write(struct outside_writer *w, struct str bytes, struct err *err)
{
    size_t at = 0;

    w->size += bytes.n;
    if (w->in_bucket) {
        return bucket_write(w->in_bucket, w->sha, bytes, err);
    }
    sha256_update(w->sha, bytes.p, bytes.n);
    while (at < bytes.n) {
        ssize_t n = sys.write(w->fd, bytes.p + at, bytes.n - at);

        if (n <= 0) {
            return failed(n < 0 ? errno : ENOSPC, err);
        }
        at += (size_t)n;
    }
    return OK;
}

void outside_write_hash(struct outside_writer *w, struct digest *sha256)
{
    *sha256 = w->sha256 = sha256_end(w->sha);
    w->has_sha256 = true;
}

static void release(struct outside_writer *w)
{
    sha256_free(w->sha);
    if (w->fd >= 0) {
        (void)sys.close(w->fd);
    }
    if (w->desk >= 0) {
        (void)sys.close(w->desk);
    }
    w->sha = NULL;
    w->fd = w->desk = -1;
}

void outside_write_abort(struct outside_writer *w)
{
    if (w) {
        bucket_write_abort(w->in_bucket);
        w->in_bucket = NULL;
        if (w->fd >= 0) {
            (void)sys.unlinkat(w->desk, w->name, 0);
        }
        release(w);
    }
}

/* Once. *gone: a folder on the way was removed meanwhile. */
static enum status place_once(struct outside_writer *w, bool *gone, struct err *err)
{
    const struct artifact_place *at = w->at;
    struct str dir, name;
    struct stat info;
    struct part part;
    struct made made = { 0 };
    int fd = -1;
    enum status st;

    *gone = false;
    artifact_split(at->path, &dir, &name);
    st = part_of(name, &part, err);
    if (st) {
        return st;
    }
    st = open_dir(w->place, dir, &made, &fd, err);
    st = st ? st : check_leaf(fd, part.s, at->path, err);
    /* A file has the rights of the folder that it lies in, but for those to enter it. */
    if (!st && (sys.fstat(fd, &info) < 0 || sys.fchmod(w->fd, info.st_mode & 0666) < 0)) {
        st = failed(errno, err);
    }
    FAILPOINT("core.outside.put.before_rename");
    if (!st && sys.renameat(w->desk, w->name, fd, part.s) < 0) {
        *gone = errno == ENOENT;
        st = errno == EISDIR ? artifact_is_a_directory(at->path, err) : failed(errno, err);
    } else if (!st) {
        FAILPOINT("core.outside.put.before_dir_sync");
        st = sys.fsync(fd) < 0 ? failed(errno, err) : OK;
    }
    *gone = *gone || st == ST_NOT_FOUND;
    if (fd >= 0) {
        (void)sys.close(fd);
    }
    if (st) {
        drop_made(w->place, &made);
    }
    return st;
}

static enum status place_in_bucket(struct outside_writer *w, struct err *err)
{
    struct s3_writer *in_bucket = w->in_bucket;
    enum status st;

    w->in_bucket = NULL;
    st = bucket_write_finish(in_bucket, w->has_sha256 ? &w->sha256 : NULL, w->size, err);
    release(w);
    return st;
}

enum status outside_write_place(struct outside_writer *w, struct arena *a, struct err *err)
{
    enum status st;
    bool gone = true;

    if (w->in_bucket) {
        return place_in_bucket(w, err);
    }
    st = outside_check_place(a, w->at, err);
    FAILPOINT("core.outside.put.before_sync");
    if (!st && sys.fsync(w->fd) < 0) {
        st = failed(errno, err);
    }
    for (unsigned i = 0; !st && gone && i < TRIES_MAX; i++) {
        st = place_once(w, &gone, err);
        if (st && gone && i + 1 < TRIES_MAX) {
            st = OK;
        }
    }
    if (st == ST_NOT_FOUND) {
        st = err_set(err, ST_UNAVAILABLE, "the folder is being removed; try again");
    }
    if (st) {
        outside_write_abort(w);
    } else {
        release(w);
    }
    return st;
}

/* ---- removing ------------------------------------------------------------------------------------------------------------------------ */

static enum status remove_name(int dir, const char *name, unsigned depth, struct err *err);

/* What is in a folder, whose descriptor is the walk's from here on. */
static enum status empty(int fd, unsigned depth, struct err *err)
{
    void *walk = sys.walk_begin(fd);
    const char *name;
    enum status st = OK;

    if (!walk) {
        st = failed(errno, err);
        (void)sys.close(fd);
        return st;
    }
    while (!st && (name = sys.walk_next(walk)) != NULL) {
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            st = remove_name(fd, name, depth, err);
        }
    }
    sys.walk_end(walk);
    return st;
}

static enum status remove_name(int dir, const char *name, unsigned depth, struct err *err)
{
    enum status st = OK;

    for (unsigned i = 0; !st && i < ROUNDS_MAX; i++) {
        struct stat info;
        int fd;

        if (!what_is(dir, name, &info)) {
            return errno == ENOENT ? OK : failed(errno, err);
        }
        if (!S_ISDIR(info.st_mode)) {
            return sys.unlinkat(dir, name, 0) == 0 || errno == ENOENT ? OK : failed(errno, err);
        }
        if (sys.unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
            return OK;
        }
        if (errno != ENOTEMPTY && errno != EEXIST) {
            return failed(errno, err);
        }
        if (depth == DEPTH_MAX) {
            return err_field(err, ST_INVALID, "path",
                             "folders lie more than %d deep there: remove some first", DEPTH_MAX);
        }
        fd = sys.openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd < 0) {
            return errno == ENOENT ? OK : failed(errno, err);
        }
        st = empty(fd, depth + 1, err);
    }
    return st ? st
              : err_set(err, ST_UNAVAILABLE,
                        "others write into the folder that is removed; try again");
}

enum status outside_delete(struct arena *a, const struct artifact_place *at, struct err *err)
{
    struct str dir, name;
    struct part part;
    int fd = -1;
    enum status st = outside_check_place(a, at, err);

    if (st || at->outside->bucket) {
        return st ? st : outside_bucket_delete(at, err);
    }
    artifact_split(at->path, &dir, &name);
    st = part_of(name, &part, err);
    st = st ? st : open_dir(at->outside, dir, NULL, &fd, err);
    st = st ? st : remove_name(fd, part.s, 0, err);
    if (!st) {
        FAILPOINT("core.outside.delete.before_dir_sync");
        st = sys.fsync(fd) < 0 ? failed(errno, err) : OK;
    }
    if (fd >= 0) {
        (void)sys.close(fd);
    }
    return st == ST_NOT_FOUND ? OK : st;
}
