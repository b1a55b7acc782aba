/* core/outside.c - files beneath listed folders, and in listed buckets. */
#include "core/outside.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sys.h"
#include "core/artifact_int.h"
#include "core/names.h"
#include "core/outside_int.h"
#include "store/blob/bucket.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define S3_SCHEME "s3://"

enum { NAMES_MAX = 1000000 };

/* ---- URIs ------------------------------------------------------------------------------------------------------------------------- */

/* The absolute path of "file:///a", "file:/a", "file://localhost/a" and "/a", decoded once, without slashes at its end. */
static enum status path_of(struct arena *a, struct str uri, struct str *out, struct err *err)
{
    struct str p = uri;
    bool is_uri = p.n > 5 && str_eq_nocase(str_sub(p, 0, 5), S("file:"));
    char *copy = arena_alloc(a, uri.n + 1);
    size_t n = 0;

    if (!copy) {
        return err_nomem(err);
    }
    if (is_uri) {
        p = str_sub(p, 5, p.n);
        if (str_starts(p, S("//localhost/"))) {
            p = str_sub(p, 11, p.n);
        } else if (str_starts(p, S("///"))) {
            p = str_sub(p, 2, p.n);
        }
    }
    if (!str_starts(p, S("/")) || str_starts(p, S("//"))) {
        return err_set(err, ST_NOT_FOUND, "'%.*s' names no folder of this machine", STR_ARG(uri));
    }
    for (size_t i = 0; i < p.n; i++) {
        int hi = is_uri && p.p[i] == '%' && i + 2 < p.n ? num_hex_digit(p.p[i + 1]) : -1,
            lo = hi >= 0 ? num_hex_digit(p.p[i + 2]) : -1;

        copy[n++] = lo >= 0 ? (char)(hi * 16 + lo) : p.p[i];
        i += lo >= 0 ? 2 : 0;
    }
    while (n && copy[n - 1] == '/') {
        n--;
    }
    *out = str_of(copy, n);
    return n ? name_check_artifact_path(str_sub(*out, 1, n), err) : OK;
}

/* "s3://bucket/a/b" without slashes at its end. Nothing is decoded: clients take keys as they stand. */
static enum status bucket_path_of(struct str uri, struct str *out, struct err *err)
{
    struct str rest = str_sub(uri, sizeof(S3_SCHEME) - 1, uri.n);
    size_t slash = str_find_byte(rest, '/', 0);

    while (rest.n && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    *out = str_of(uri.p, sizeof(S3_SCHEME) - 1 + rest.n);
    if (!rest.n || slash == 0 || str_find_byte(rest, '?', 0) != SIZE_MAX ||
        str_find_byte(rest, '#', 0) != SIZE_MAX) {
        return err_set(err, ST_NOT_FOUND, "'%.*s' names no bucket", STR_ARG(uri));
    }
    return slash < rest.n ? name_check_artifact_path(str_sub(rest, slash + 1, rest.n), err) : OK;
}

static enum status place_path_of(struct arena *a, struct str uri, struct str *out, struct err *err)
{
    return str_starts(uri, S(S3_SCHEME)) ? bucket_path_of(uri, out, err)
                                         : path_of(a, uri, out, err);
}

const struct outside_place *outside_place_of(const struct outside *o, struct str path)
{
    const struct outside_place *found = NULL;

    for (size_t i = 0; o && i < o->n; i++) {
        const struct outside_place *p = &o->places[i];

        if (str_starts(path, p->path) && (path.n == p->path.n || path.p[p->path.n] == '/') &&
            (!found || p->path.n > found->path.n)) {
            found = p;
        }
    }
    return found;
}

enum status outside_find(const struct outside *o, struct arena *a, struct str uri,
                         const struct outside_place **place, struct str *rest, struct err *err)
{
    struct str path;
    enum status st = place_path_of(a, uri, &path, err);

    *place = st ? NULL : outside_place_of(o, path);
    if (*place) {
        size_t n = (*place)->path.n;

        *rest = path.n == n ? S("") : str_sub(path, n + 1, path.n);
        return OK;
    }
    return st ? st : err_set(err, ST_NOT_FOUND, "'%.*s' is not listed", STR_ARG(uri));
}

/* ---- the places ------------------------------------------------------------------------------------------------------------------- */

/* "PLACE=rw": written too. "PLACE=ro" is what a place is without it. */
static struct str take_mode(struct str text, bool *writes)
{
    *writes = str_ends(text, S("=rw"));
    return *writes || str_ends(text, S("=ro")) ? str_sub(text, 0, text.n - 3) : text;
}

/* What places are made from. */
struct making {
    struct outside *o;
    const struct str *own; /* as own_path_of() has them */
    size_t own_n;
    const struct blob_s3_options *s3;
    const char *state_dir;
};

/* A folder without links, "" = the root; a bucket with the prefix as the store of the bytes takes it. */
static enum status own_path_of(struct arena *a, const char *own, struct str *out, struct err *err)
{
    struct str rest = str_cstr(own);
    size_t slash;

    if (!str_starts(rest, S(S3_SCHEME))) {
        enum status st = fs_real_path(a, own, out, err);

        out->n -= !st && str_eq_lit(*out, "/");
        return st;
    }
    rest = str_sub(rest, sizeof(S3_SCHEME) - 1, rest.n);
    slash = MIN_OF(str_find_byte(rest, '/', 0), rest.n);
    *out = str_sub(rest, 0, slash);
    rest = str_sub(rest, slash, rest.n);
    while (rest.n && rest.p[0] == '/') {
        rest = str_sub(rest, 1, rest.n);
    }
    while (rest.n && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    *out = arena_printf(a, S3_SCHEME "%.*s%s%.*s", STR_ARG(*out), rest.n ? "/" : "", STR_ARG(rest));
    return out->p ? OK : err_nomem(err);
}

static bool lie_in_each_other(struct str a, struct str b)
{
    size_t n = MIN_OF(a.n, b.n);
    struct str longer = a.n > b.n ? a : b;

    return str_eq(str_sub(a, 0, n), str_sub(b, 0, n)) && (longer.n == n || longer.p[n] == '/');
}

/* real: the path without links. */
static enum status check_apart(const struct making *m, struct str real, struct err *err)
{
    for (size_t i = 0; i < m->own_n; i++) {
        if (lie_in_each_other(real, m->own[i])) {
            enum status st =
                err_set(err, ST_INVALID,
                        "the place '%.*s' of others and the server's own '%.*s' lie in each other",
                        STR_ARG(real), STR_ARG(m->own[i]));

            err_hint(err, "list it without =rw in --artifact-places, or keep the server's own data "
                          "elsewhere: who may write artifacts would write over it");
            return st;
        }
    }
    return OK;
}

static enum status open_bucket(const struct making *m, struct outside_place *p, const char *text,
                               struct err *err)
{
    enum status st = bucket_open(&p->bucket, text, m->s3, err);

    m->o->n += st == OK;
    if (!st && p->writes) {
        st = check_apart(m, p->path, err);
        st = st ? st : bucket_let_write(p->bucket, m->s3, m->state_dir, err);
        st = st ? st : outside_writers_new(m->o, err);
    }
    return st;
}

static enum status open_folder(const struct making *m, struct outside_place *p, struct err *err)
{
    const char *path = arena_cstr(m->o->arena, p->path.n ? p->path : S("/"));
    struct str real;
    enum status st;

    if (!path) {
        return err_nomem(err);
    }
    p->fd = sys.open(path, O_RDONLY | O_DIRECTORY, 0);
    if (p->fd < 0) {
        st = err_set(err, ST_INVALID, "artifacts cannot be served from there: %s", strerror(errno));
        err_hint(err, "name a folder that exists and that this user may read");
        return st;
    }
    m->o->n++;
    if (!p->writes) {
        return OK;
    }
    st = own_path_of(m->o->arena, path, &real, err);
    st = st ? st : check_apart(m, real, err);
    return st ? st : outside_prepare(p, err);
}

static enum status add_place(const struct making *m, const char *text, struct err *err)
{
    struct outside *o = m->o;
    struct outside_place *p = &o->places[o->n];
    bool writes;
    const char *path = arena_cstr(o->arena, take_mode(str_cstr(text), &writes));
    struct str uri = path ? str_cstr(path) : S("");
    enum status st = path ? place_path_of(o->arena, uri, &p->path, err) : err_nomem(err);

    p->fd = -1;
    p->writes = writes;
    p->all = o;
    if (st == ST_NOT_FOUND || st == ST_INVALID) {
        st = err_set(err, ST_INVALID, "'%s' is no place that artifacts can be served from", text);
        err_hint(err,
                 "give an absolute folder of this machine (/mnt/mlruns or file:///mnt/mlruns), or "
                 "s3://BUCKET/PREFIX");
    }
    if (st) {
        return st;
    }
    for (size_t i = 0; i < o->n; i++) {
        if (str_eq(o->places[i].path, p->path)) {
            st = err_set(err, ST_INVALID, "'%s' is listed twice", text);
            err_hint(err, "name each place of --artifact-places once");
            return st;
        }
    }
    st = str_starts(uri, S(S3_SCHEME)) ? open_bucket(m, p, path, err) : open_folder(m, p, err);
    if (st) {
        err_ctx(err, "'%s'", text);
    }
    return st;
}

/* The places, each apart from what is the server's own. */
static enum status add_places(struct making *m, const char *const *places, const char *const *own,
                              struct err *err)
{
    struct outside *o = m->o;
    struct str *paths;
    size_t n = 0;
    enum status st = OK;

    while (own && own[n]) {
        n++;
    }
    paths = ARENA_ARRAY(o->arena, struct str, MAX_OF(n, (size_t)1));
    if (!paths) {
        return err_nomem(err);
    }
    m->own = paths;
    for (; !st && m->own_n < n; m->own_n++) {
        st = own_path_of(o->arena, own[m->own_n], &paths[m->own_n], err);
    }
    for (size_t i = 0; !st && places[i]; i++) {
        st = o->n < PLACES_MAX ? add_place(m, places[i], err)
                               : err_set(err, ST_INVALID,
                                         "artifacts are served from at most %d places", PLACES_MAX);
    }
    return st;
}

enum status outside_new(struct outside **out, const char *const *places, const char *const *own,
                        const struct blob_s3_options *s3, const char *state_dir, struct err *err)
{
    struct arena *a = arena_new(4 << 20);
    struct outside *o = a ? ARENA_NEW(a, struct outside) : NULL;
    struct making m = { .o = o, .s3 = s3, .state_dir = state_dir };
    enum status st = OK;

    *out = NULL;
    if (o) {
        o->arena = a;
        o->places = ARENA_ARRAY(a, struct outside_place, PLACES_MAX);
    }
    if (!o || !o->places) {
        arena_free(a);
        return err_nomem(err);
    }
    st = places && places[0] ? add_places(&m, places, own, err) : OK;
    if (st) {
        outside_free(o);
        return st;
    }
    *out = o;
    return OK;
}

void outside_free(struct outside *o)
{
    if (o) {
        exec_pool_free(o->writers);
        for (size_t i = 0; i < o->n; i++) {
            if (o->places[i].fd >= 0) {
                (void)sys.close(o->places[i].fd);
            }
            bucket_close(o->places[i].bucket);
        }
        arena_free(o->arena);
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------ */

/* A descriptor beneath the place, with what it is. ST_NOT_FOUND: nothing there, or something that leads out or may not be read. */
static enum status open_below(struct view *v, const struct artifact_place *at, struct str path,
                              int *fd, struct stat *info, struct err *err)
{
    const char *name = arena_cstr(v->arena, path.n ? path : S("."));

    *fd = -1;
    if (!name) {
        return err_nomem(err);
    }
    if (outside_is_reserved(path)) {
        return err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'", STR_ARG(at->path));
    }
    *fd = sys.open_beneath(at->outside->fd, name, O_RDONLY | O_NONBLOCK);
    if (*fd >= 0 && sys.fstat(*fd, info) == 0) {
        return OK;
    }
    if (*fd >= 0) {
        (void)sys.close(*fd);
        *fd = -1;
    }
    if (errno == ENOSYS || errno == EMFILE || errno == ENFILE || errno == EIO) {
        return err_set(err, ST_IO, "artifacts outside of the store cannot be opened: %s",
                       strerror(errno));
    }
    return err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'", STR_ARG(at->path));
}

static int64_t ms_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
}

/* ---- buckets ------------------------------------------------------------------------------------------------------------------------ */

/* The ETag of the service names bytes within its bucket; it need not be a digest of them. */
static enum status bucket_file(struct view *v, const struct artifact_place *at,
                               struct artifact_bytes *out, struct err *err)
{
    struct bucket_entry e;
    struct str tag;
    enum status st = at->path.n && !outside_is_reserved(at->path)
                         ? bucket_stat(at->outside->bucket, v->arena, at->path, &e, err)
                         : ST_NOT_FOUND;

    if (st == ST_NOT_FOUND || (!st && e.size > INT64_MAX)) {
        return err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'", STR_ARG(at->path));
    }
    if (st) {
        return st;
    }
    out->is_remote = true;
    out->outside = at->outside;
    out->path = at->path;
    out->tag = e.etag;
    out->size = (int64_t)e.size;
    out->mtime_ms = e.mtime_ms;
    tag = str_trim(e.etag);
    if (tag.n > 1 && tag.p[0] == '"') {
        snprintf(out->etag, sizeof(out->etag), "W/%.*s", STR_ARG(tag));
    } else {
        snprintf(out->etag, sizeof(out->etag), "W/\"%" PRIx64 "-%" PRIx64 "\"", e.size,
                 (uint64_t)e.mtime_ms);
    }
    return OK;
}

enum status outside_read_begin(const struct artifact_bytes *b, uint64_t from, uint64_t n,
                               struct blob_reader **out, struct err *err)
{
    return bucket_read(b->outside->bucket, b->path, b->tag, (uint64_t)b->size, from, n, out, err);
}

/* Names that artifacts cannot have are left out, as those of folders are. */
static enum status bucket_names(struct view *v, const struct artifact_place *at, struct str after,
                                size_t max, struct artifact_info **out, size_t *n, bool *more,
                                struct err *err)
{
    struct bucket_entry *all;
    size_t all_n;

    for (;;) {
        enum status st = bucket_list(at->outside->bucket, v->arena, at->path, after, max, &all,
                                     &all_n, more, err);

        *out = st ? NULL : ARENA_ARRAY(v->arena, struct artifact_info, MAX_OF(all_n, (size_t)1));
        if (st || !*out) {
            return st ? st : err_nomem(err);
        }
        for (size_t i = 0; i < all_n; i++) {
            struct err ignored = ERR_INIT;

            if (!outside_is_reserved(all[i].name) &&
                name_check_artifact_path(all[i].name, &ignored) == OK) {
                (*out)[(*n)++] = (struct artifact_info){ .name = all[i].name,
                                                         .is_dir = all[i].is_dir,
                                                         .size = (int64_t)all[i].size,
                                                         .mtime_ms = all[i].mtime_ms };
            }
        }
        if (*n || !*more || !all_n) {
            return OK;
        }
        after = all[all_n - 1].name;
    }
}

static enum status bucket_dir(struct view *v, const struct artifact_place *at, struct str after,
                              size_t max, struct artifact_info **out, size_t *n, bool *more,
                              struct err *err)
{
    struct bucket_entry e;
    struct str dir, name;
    enum status st = bucket_names(v, at, after, max, out, n, more, err);

    if (st || *n || *more || after.n || !at->path.n) {
        return st;
    }
    st = bucket_stat(at->outside->bucket, v->arena, at->path, &e, err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    artifact_split(at->path, &dir, &name);
    **out = (struct artifact_info){
        .name = name, .is_self = true, .size = (int64_t)e.size, .mtime_ms = e.mtime_ms
    };
    *n = 1;
    return OK;
}

/* ---- files of folders --------------------------------------------------------------------------------------------------------------- */

enum status outside_open(struct view *v, const struct artifact_place *at,
                         struct artifact_bytes *out, struct err *err)
{
    struct stat info;
    enum status st;

    if (at->outside->bucket) {
        return bucket_file(v, at, out, err);
    }
    st = open_below(v, at, at->path, &out->fd, &info, err);
    if (st) {
        return st;
    }
    if (!S_ISREG(info.st_mode)) {
        (void)sys.close(out->fd);
        out->fd = -1;
        return err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'", STR_ARG(at->path));
    }
    out->size = info.st_size;
    out->mtime_ms = ms_of(&info);
    snprintf(out->etag, sizeof(out->etag), "W/\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"",
             (uint64_t)info.st_ino, (uint64_t)info.st_size,
             (uint64_t)info.st_mtim.tv_sec * 1000000000 + (uint64_t)info.st_mtim.tv_nsec);
    return OK;
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------------- */

struct names {
    struct str *p;
    size_t n, cap;
};

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Names that artifacts cannot have are left out: no route could ask for them. */
static enum status read_names(struct view *v, int fd, struct str after, struct names *out,
                              struct err *err)
{
    void *walk = sys.walk_begin(fd);
    const char *name;
    enum status st = OK;

    if (!walk) {
        (void)sys.close(fd);
        return err_errno(err, errno, "a folder outside of the store cannot be read");
    }
    while (!st && (name = sys.walk_next(walk)) != NULL) {
        struct str s = str_cstr(name);
        struct err ignored = ERR_INIT;

        if (str_eq_lit(s, ".") || str_eq_lit(s, "..") || str_cmp(s, after) <= 0 ||
            outside_is_reserved(s) || name_check_artifact_path(s, &ignored)) {
            continue;
        }
        if (out->n == NAMES_MAX) {
            st = err_set(err, ST_TOO_BIG, "a folder outside of the store has more than %d entries",
                         NAMES_MAX);
        } else if (!arena_grow(v->arena, (void **)&out->p, out->n, &out->cap, sizeof(*out->p))) {
            st = err_nomem(err);
        } else {
            out->p[out->n] = arena_str(v->arena, s);
            st = out->p[out->n++].p ? OK : err_nomem(err);
        }
    }
    sys.walk_end(walk);
    return st;
}

/* What a name is. False: gone, or it leads out, or it is neither a file nor a folder. */
static bool look(struct view *v, const struct artifact_place *at, struct str name,
                 struct artifact_info *info)
{
    struct str path =
        at->path.n ? arena_printf(v->arena, "%.*s/%.*s", STR_ARG(at->path), STR_ARG(name)) : name;
    struct err ignored = ERR_INIT;
    struct stat s;
    int fd;

    if (!path.p || open_below(v, at, path, &fd, &s, &ignored)) {
        return false;
    }
    (void)sys.close(fd);
    *info = (struct artifact_info){ .name = name,
                                    .is_dir = S_ISDIR(s.st_mode),
                                    .size = S_ISREG(s.st_mode) ? s.st_size : 0,
                                    .mtime_ms = ms_of(&s) };
    return S_ISDIR(s.st_mode) || S_ISREG(s.st_mode);
}

static enum status list_self(struct view *v, const struct artifact_place *at,
                             const struct stat *info, struct artifact_info **out, size_t *n,
                             struct err *err)
{
    struct str name = at->path;

    for (size_t at_slash = str_find_byte(name, '/', 0); at_slash != SIZE_MAX;
         at_slash = str_find_byte(name, '/', 0)) {
        name = str_sub(name, at_slash + 1, name.n);
    }
    *out = ARENA_NEW(v->arena, struct artifact_info);
    if (!*out) {
        return err_nomem(err);
    }
    **out = (struct artifact_info){
        .name = name, .is_self = true, .size = info->st_size, .mtime_ms = ms_of(info)
    };
    *n = 1;
    return OK;
}

enum status outside_list(struct view *v, const struct artifact_place *at, struct str after,
                         size_t max, struct artifact_info **out, size_t *n, bool *more,
                         struct err *err)
{
    struct names names = { 0 };
    struct stat info;
    size_t i = 0;
    int fd;
    enum status st;

    *out = NULL;
    *n = 0;
    *more = false;
    if (at->outside->bucket) {
        return bucket_dir(v, at, after, max, out, n, more, err);
    }
    st = open_below(v, at, at->path, &fd, &info, err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    if (!S_ISDIR(info.st_mode)) {
        (void)sys.close(fd);
        return S_ISREG(info.st_mode) && !after.n ? list_self(v, at, &info, out, n, err) : OK;
    }
    st = read_names(v, fd, after, &names, err);
    if (st || !names.n) {
        return st;
    }
    qsort(names.p, names.n, sizeof(*names.p), by_name);
    *out = ARENA_ARRAY(v->arena, struct artifact_info, MIN_OF(names.n, max));
    if (!*out) {
        return err_nomem(err);
    }
    for (; i < names.n && *n < max; i++) {
        *n += look(v, at, names.p[i], &(*out)[*n]);
    }
    *more = i<names.n && * n> 0;
    return OK;
}
