/* core/artifact.c - places, listings, uploads and the operations that name them. */
#include "base/sys.h"
#include "core/artifact_int.h"
#include "core/logged_model.h"
#include "core/names.h"
#include "core/node.h"
#include "core/outside.h"
#include "core/resume.h"
#include "core/run.h"
#include "gen/sql/queries.h"
#include "store/blob/blob.h"
#include "store/sql/sql.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

/* ---- places --------------------------------------------------------------------------------------------------------------- */

static struct str trim_slashes(struct str s)
{
    while (s.n && s.p[s.n - 1] == '/') {
        s.n--;
    }
    while (s.n && s.p[0] == '/') {
        s.p++;
        s.n--;
    }
    return s;
}

/* The proxy path of an artifact URI ("mlflow-artifacts:/0/x" and "mlflow-artifacts://host/0/x" give "0/x"); p NULL for others. */
static struct str proxy_path_of(struct str uri)
{
    struct str rest, none = { NULL, 0 };
    size_t slash;

    if (!str_starts(uri, S(ARTIFACT_PROXY_SCHEME "/"))) {
        return none;
    }
    rest = str_sub(uri, sizeof(ARTIFACT_PROXY_SCHEME) - 1, uri.n);
    if (str_starts(rest, S("//")) && !str_starts(rest, S("///"))) {
        slash = str_find_byte(rest, '/', 2);
        rest = slash == SIZE_MAX ? S("/") : str_sub(rest, slash, rest.n);
    }
    return trim_slashes(rest);
}

/* The owner whose identity is the path component `id`; 0 if none. */
static enum status owner_of(struct view *v, struct str id, int64_t *uid, enum ident_scheme *scheme,
                            struct err *err)
{
    static const enum ident_scheme schemes[] = { IDENT_MLFLOW_RUN, IDENT_MLFLOW_LOGGED_MODEL };
    struct q_ident_find_row row;

    *uid = 0;
    for (size_t i = 0; i < ARRAY_N(schemes); i++) {
        enum status st = q_ident_find(v->conn, v->arena, 0, schemes[i], id, &row, err);

        if (st == OK) {
            *uid = row.uid;
            *scheme = schemes[i];
            return OK;
        }
        if (st != ST_NOT_FOUND) {
            return st;
        }
    }
    return OK;
}

/* What others keep is served below the places that the operator listed. */
static enum status outside_uri_place(struct view *v, struct str uri, int64_t owner, struct str path,
                                     struct artifact_place *out, struct err *err)
{
    struct str rest;
    enum status st = name_check_artifact_path(path, err);

    if (st) {
        return st;
    }
    *out = (struct artifact_place){ .root_uri = uri, .owner = owner };
    st = outside_find(v->core->outside, v->arena, uri, &out->outside, &rest, err);
    if (st == ST_NOT_FOUND || st == ST_INVALID) {
        err_field(
            err, ST_INVALID, "artifact_uri",
            "artifacts at '%.*s' are not served by this server: they are recorded only, and clients read them directly",
            STR_ARG(uri));
        err_hint(
            err,
            "--artifact-places lists folders of its machine (file:) and buckets (s3:) that the server may read, and with =rw "
            "behind one write; or give the "
            "experiment an artifact location below mlflow-artifacts:/ to have the server keep its files");
        return ST_INVALID;
    }
    if (st) {
        return st;
    }
    path = trim_slashes(path);
    out->path = rest.n && path.n ? arena_printf(v->arena, "%.*s/%.*s", STR_ARG(rest), STR_ARG(path))
                : rest.n         ? rest
                                 : path;
    return out->path.p ? OK : err_nomem(err);
}

/* The files of a run or model whose artifacts lie in a folder that this server writes are those, also for who goes through the proxy.
 * *found is false for all others. */
static enum status owner_outside(struct view *v, struct str id, enum ident_scheme scheme,
                                 int64_t owner, struct str path, struct artifact_place *out,
                                 bool *found, struct err *err)
{
    struct artifact_place place;
    struct logged_model m;
    struct err ignored = ERR_INIT;
    struct run_view r;
    struct str uri;
    enum status st;

    *found = false;
    if (!outside_writes_any(v->core->outside)) {
        return OK;
    }
    if (scheme == IDENT_MLFLOW_RUN) {
        st = run_get(v, id, &r, err);
        uri = st ? S("") : r.artifact_uri;
    } else {
        st = logged_model_get(v, id, true, &m, err);
        uri = st ? S("") : m.artifact_uri;
    }
    if (st || proxy_path_of(uri).p) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = outside_uri_place(v, uri, owner, path, &place, &ignored);
    if (st == OK && outside_writes(place.outside)) {
        *out = place;
        *found = true;
    }
    return st == ST_NOMEM ? err_nomem(err) : OK;
}

enum status artifact_proxy_place(struct view *v, struct str proxy_path, struct artifact_place *out,
                                 struct err *err)
{
    struct str whole, rest, part, before = { NULL, 0 };
    enum status st;

    *out = (struct artifact_place){ .root_uri = S(PROXY_ROOT), .path = S("") };
    if (proxy_path.n > ARTIFACT_PATH_MAX) {
        return err_field(err, ST_INVALID, "path", "Invalid path");
    }
    st = name_check_artifact_path(proxy_path, err);
    if (st) {
        return st;
    }
    whole = rest = trim_slashes(proxy_path);
    out->path = whole;
    /* ".../<id of a run or model>/artifacts" is a root of its own. */
    while (str_split(&rest, '/', &part)) {
        if (str_eq_lit(part, "artifacts") && before.n) {
            size_t end = (size_t)(part.p + part.n - whole.p);
            enum ident_scheme scheme;
            int64_t owner;
            bool found = false;

            st = owner_of(v, before, &owner, &scheme, err);
            if (!st && owner) {
                st = owner_outside(v, before, scheme, owner,
                                   trim_slashes(str_sub(whole, end, whole.n)), out, &found, err);
            }
            if (st || found) {
                return st;
            }
            if (owner) {
                out->owner = owner;
                out->root_uri = arena_printf(v->arena, "%s%.*s", PROXY_ROOT, (int)end, whole.p);
                out->path = trim_slashes(str_sub(whole, end, whole.n));
                return out->root_uri.p ? OK : err_nomem(err);
            }
        }
        before = part;
    }
    return OK;
}

enum status artifact_uri_place(struct view *v, struct str uri, int64_t owner, struct str path,
                               struct artifact_place *out, struct err *err)
{
    struct str proxy = proxy_path_of(uri), joined;
    enum status st;

    if (!proxy.p) {
        return outside_uri_place(v, uri, owner, path, out, err);
    }
    st = name_check_artifact_path(path, err);
    if (st) {
        return st;
    }
    joined = path.n ? arena_printf(v->arena, "%.*s/%.*s", STR_ARG(proxy), STR_ARG(path)) : proxy;
    if (!joined.p) {
        return err_nomem(err);
    }
    st = artifact_proxy_place(v, joined, out, err);
    if (!st && !out->owner) {
        out->owner = owner;
    }
    return st;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------- */

static enum status no_artifact(struct str path, struct err *err)
{
    return err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'", STR_ARG(path));
}

static enum status damaged(struct str path, struct err *err)
{
    err_set(err, ST_CORRUPT, "the bytes of artifact '%.*s' are damaged", STR_ARG(path));
    err_hint(err, "upload the same file again, anywhere: that cures every place that has it");
    return ST_CORRUPT;
}

/* What lies in a row is small: its bytes are checked whenever they are given. */
static enum status check_inline(const struct artifact_bytes *b, uint64_t size, struct str path,
                                struct err *err)
{
    struct digest d;

    if (b->inline_bytes.n != size) {
        return damaged(path, err);
    }
    if (!sha256_of(b->inline_bytes.p, b->inline_bytes.n, &d)) {
        return err_nomem(err);
    }
    return digest_eq(&d, &b->sha256) ? OK : damaged(path, err);
}

static enum status open_once(struct view *v, const struct artifact_place *at,
                             struct artifact_bytes *out, struct err *err)
{
    struct q_root_get_row root;
    struct q_artifact_get_row row;
    struct q_object_get_row object;
    struct str dir, name;
    char hex[65];
    enum status st = q_root_get(v->conn, v->arena, at->root_uri, &root, err);

    *out = (struct artifact_bytes){ .fd = -1 };
    artifact_split(at->path, &dir, &name);
    st = st ? st : q_artifact_get(v->conn, v->arena, root.id, dir, name, &row, err);
    if (st == ST_NOT_FOUND || (!st && row.kind != 1)) {
        return no_artifact(at->path, err);
    }
    if (st) {
        return st;
    }
    if (row.object.n != sizeof(out->sha256.b)) {
        return err_set(err, ST_CORRUPT, "artifact '%.*s' names no object", STR_ARG(at->path));
    }
    memcpy(out->sha256.b, row.object.p, sizeof(out->sha256.b));
    out->has_sha256 = true;
    digest_hex(&out->sha256, hex);
    snprintf(out->etag, sizeof(out->etag), "\"%s\"", hex);
    out->size = row.size;
    out->mtime_ms = row.mtime_ms;
    st = q_object_get(v->conn, v->arena, row.object, &object, err);
    if (st) {
        return st == ST_NOT_FOUND
                   ? err_set(err, ST_CORRUPT, "the object of artifact '%.*s' is missing",
                             STR_ARG(at->path))
                   : st;
    }
    if (object.stage == STAGE_DAMAGED) {
        return damaged(at->path, err);
    }
    if (object.body.p || object.size == 0) {
        out->inline_bytes = object.body.p ? object.body : S("");
        return check_inline(out, (uint64_t)object.size, at->path, err);
    }
    if (!object.recipe.n) {
        return err_set(err, ST_CORRUPT, "the object of artifact '%.*s' has no recipe",
                       STR_ARG(at->path));
    }
    out->gen = object.gen;
    out->recipe = object.recipe;
    out->is_remote = !blob_has_files(v->core->blobs) || !blob_recipe_is_whole(object.recipe);
    if (out->is_remote) {
        return OK;
    }
    st = blob_read_open(v->core->blobs, &out->sha256, object.gen, (uint64_t)object.size, &out->fd,
                        err);
    if (st) {
        err_ctx(err, "artifact '%.*s'", STR_ARG(at->path));
    }
    return st;
}

enum status artifact_open(struct view *v, const struct artifact_place *at,
                          struct artifact_bytes *out, struct err *err)
{
    struct err first = ERR_INIT;
    enum status st;

    if (at->outside) {
        *out = (struct artifact_bytes){ .fd = -1 };
        return outside_open(v, at, out, err);
    }
    st = open_once(v, at, out, &first);

    /* The bytes may have moved, or gone with the name, since the rows were read: the rows say so now. */
    if (st == ST_CORRUPT) {
        return open_once(v, at, out, err);
    }
    if (st) {
        *err = first;
    }
    return st;
}

static struct blob_object object_of(const struct artifact_bytes *b)
{
    return (struct blob_object){ b->sha256, b->gen, (uint64_t)b->size, b->recipe };
}

enum status artifact_read_begin(struct core *core, const struct artifact_bytes *b, uint64_t from,
                                uint64_t n, struct blob_reader **out, struct err *err)
{
    struct blob_object o = object_of(b);

    return b->outside ? outside_read_begin(b, from, n, out, err)
                      : blob_object_open(core->blobs, &o, from, n, out, err);
}

enum status artifact_read(struct blob_reader *r, void *p, size_t max, size_t *got, struct err *err)
{
    return blob_reader_next(r, p, max, got, err);
}

enum status artifact_read_file(struct blob_reader *r, uint64_t max, int *fd, uint64_t *at,
                               uint64_t *n, struct err *err)
{
    return blob_reader_next_file(r, max, fd, at, n, err);
}

bool artifact_read_has_pipe(const struct blob_reader *r)
{
    return blob_reader_has_pipe(r);
}

enum status artifact_read_pipe(struct blob_reader *r, int pipe, size_t max, size_t *got,
                               struct err *err)
{
    return blob_reader_next_pipe(r, pipe, max, got, err);
}

void artifact_read_end(struct blob_reader *r)
{
    blob_reader_close(r);
}

enum status artifact_read_check(struct core *core, const struct artifact_bytes *b, struct err *err)
{
    struct blob_object o = object_of(b);

    return b->outside ? OK : blob_object_check(core->blobs, &o, err); /* it was seen just now */
}

/* ---- uploads ------------------------------------------------------------------------------------------------------------------- */

enum status artifact_upload_begin(struct artifact_upload *u, struct core *core, struct arena *a,
                                  struct err *err)
{
    *u = (struct artifact_upload){ .core = core, .arena = a };
    u->small = arena_alloc(a, ARTIFACT_INLINE_MAX);
    return u->small ? OK : err_nomem(err);
}

void artifact_upload_all(struct artifact_upload *u, struct core *core, struct arena *a,
                         struct str bytes)
{
    *u = (struct artifact_upload){ .core = core, .arena = a, .size = bytes.n };
    u->small = (char *)(uintptr_t)(bytes.p ? bytes.p : "");
    u->small_n = bytes.n;
}

/* The first bytes and the next ones, into a listed place. */
static enum status begin_outside(struct artifact_upload *u, struct str bytes, struct err *err)
{
    enum status st = outside_write_begin(u->into, u->arena, &u->outside, err);

    u->in_blob = true;
    st = st ? st : outside_write(u->outside, str_of(u->small, u->small_n), err);
    return st ? st : outside_write(u->outside, bytes, err);
}

enum status artifact_upload_piece(struct artifact_upload *u, struct str bytes, struct err *err)
{
    enum status st = OK;

    u->size += bytes.n;
    if (u->outside) {
        return outside_write(u->outside, bytes, err);
    }
    if (!u->writer) {
        if (bytes.n <= ARTIFACT_INLINE_MAX - u->small_n) {
            if (bytes.n) {
                memcpy(u->small + u->small_n, bytes.p, bytes.n);
            }
            u->small_n += bytes.n;
            return OK;
        }
        if (u->into) {
            return begin_outside(u, bytes, err);
        }
        st = blob_write_begin(u->core->blobs, &u->writer, err);
        st = st ? st : blob_write(u->writer, u->small, u->small_n, err);
        u->in_blob = true;
    }
    return st ? st : blob_write(u->writer, bytes.p, bytes.n, err);
}

enum status artifact_upload_end(struct artifact_upload *u, struct err *err)
{
    enum status st = OK;
    uint64_t size;

    if (u->outside) {
        outside_write_hash(u->outside, &u->sha256);
    } else if (u->writer) {
        blob_write_hash(u->writer, &u->sha256, &size);
    } else {
        st = sha256_of(u->small, u->small_n, &u->sha256) ? OK : err_nomem(err);
    }
    if (!st && u->expect && !digest_eq(&u->sha256, u->expect)) {
        st = err_field(err, ST_INVALID, "digest",
                       "the bytes do not have the SHA-256 that was announced");
        err_hint(err, "nothing was kept; send the file again");
    }
    return st;
}

void artifact_upload_abort(struct artifact_upload *u)
{
    struct err ignored = ERR_INIT;

    blob_write_abort(u->writer);
    u->writer = NULL;
    outside_write_abort(u->outside);
    u->outside = NULL;
    if (u->direct.p) {
        IGNORE_STATUS(blob_direct_drop(u->core->blobs, u->direct, &ignored)); /* or after a day */
        u->direct.p = NULL;
    }
}

/* Whether the bytes that the row names are there. */
static enum status find_row_bytes(struct artifact_upload *u, bool *there, struct err *err)
{
    struct blob_object o = { u->sha256, u->lease.row_gen, u->size, u->lease.recipe };
    enum status st = OK;

    *there = u->lease.has_row && !u->lease.is_damaged;
    if (*there && o.recipe.n) {
        st = blob_object_check(u->core->blobs, &o, err);
        *there = st == OK;
    }
    return st == ST_CORRUPT ? OK : st;
}

enum status artifact_upload_place(struct artifact_upload *u, struct err *err)
{
    struct blob_writer *w = u->writer;
    struct str direct = u->direct;
    bool there;
    enum status st = find_row_bytes(u, &there, err);

    if (st || there) {
        artifact_upload_abort(u);
        return st;
    }
    u->writer = NULL;
    u->direct.p = NULL;
    st = direct.p
             ? blob_direct_place(u->core->blobs, direct, &u->sha256, u->lease.gen, u->size, err)
             : blob_write_place(w, u->lease.gen, err);
    u->is_placed = st == OK;
    return st;
}

enum status artifact_nameless(struct core *core, int *fd, struct err *err)
{
    *fd = core->spool ? sys.open(core->spool, O_RDWR | O_TMPFILE, 0600) : -1;
    if (*fd >= 0) {
        return OK;
    }
    return core->spool ? err_errno(err, errno, "cannot put bytes aside")
                       : err_set(err, ST_NOT_IMPLEMENTED, "there is no folder to put bytes aside");
}

enum status artifact_work_submit(struct core *core, struct exec_job *job)
{
    return exec_pool_submit(blob_pool(core->blobs), job);
}

/* ---- direct -------------------------------------------------------------------------------------------------------------------- */

bool artifact_direct_is_on(const struct core *core)
{
    return blob_has_direct(core->blobs);
}

enum status artifact_direct_begin(struct core *core, struct arena *a, unsigned parts,
                                  struct str *id, struct str *urls, struct err *err)
{
    return blob_direct_begin(core->blobs, a, parts, id, urls, err);
}

enum status artifact_direct_end(struct core *core, struct arena *a, struct str id,
                                const struct artifact_part *parts, size_t n,
                                struct artifact_upload *u, struct err *err)
{
    struct blob_part *list = ARENA_ARRAY(a, struct blob_part, n);
    enum status st;

    if (!list) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        list[i] = (struct blob_part){ parts[i].number, parts[i].etag };
    }
    *u = (struct artifact_upload){ .core = core, .arena = a, .in_blob = true };
    st = blob_direct_join(core->blobs, id, list, n, &u->sha256, &u->size, err);
    if (!st) {
        u->direct = id;
    }
    return st;
}

enum status artifact_direct_abort(struct core *core, struct str id, struct err *err)
{
    return blob_direct_abort(core->blobs, id, err);
}

enum status artifact_direct_get(struct core *core, struct arena *a, const struct artifact_bytes *b,
                                int64_t seconds, struct str *url, struct err *err)
{
    if (b->outside) {
        return outside_direct_get(b->outside, a, b->path, seconds, url, err);
    }
    if (b->is_remote && !blob_recipe_is_whole(b->recipe)) {
        return err_set(err, ST_NOT_IMPLEMENTED,
                       "Presigned URLs are not supported for this artifact: get the file through "
                       "the artifact proxy");
    }
    if (!b->is_remote) {
        return blob_direct_get_small(core->blobs, a, &b->sha256, b->inline_bytes, seconds, url,
                                     err);
    }
    return blob_direct_get(core->blobs, a, &b->sha256, b->gen, seconds, url, err);
}

/* ---- operations ------------------------------------------------------------------------------------------------------------------ */

enum status artifact_is_a_file(struct str path, struct err *err)
{
    return err_field(err, ST_INVALID, "path", "'%.*s' is a file: it cannot hold other artifacts",
                     STR_ARG(path));
}

static enum status is_read_only(const struct artifact_place *at, struct err *err)
{
    enum status st =
        err_field(err, ST_INVALID, "path", "artifacts at '%.*s' are only read by this server",
                  STR_ARG(at->root_uri));

    err_hint(
        err,
        "write them where they lie, as MLflow's clients do by themselves; or have the server's operator list the "
        "place as PLACE=rw in --artifact-places");
    return st;
}

enum status artifact_is_a_directory(struct str path, struct err *err)
{
    return err_field(err, ST_INVALID, "path", "'%.*s' is a directory", STR_ARG(path));
}

/* A new root of a run or model must not lie below a file of the general root. */
static enum status check_above(struct group *g, struct str uri, struct arena *a, struct err *err)
{
    struct q_root_get_row general;
    struct str path = proxy_path_of(uri);
    enum status st = path.n ? q_root_get(group_conn(g), a, S(PROXY_ROOT), &general, err) : OK;

    if (!path.n || st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    while (path.n) {
        struct q_artifact_get_row row;
        struct str dir, name;

        artifact_split(path, &dir, &name);
        st = q_artifact_get(group_conn(g), a, general.id, dir, name, &row, err);
        if (st == OK && row.kind == 1) {
            return artifact_is_a_file(path, err);
        }
        if (st && st != ST_NOT_FOUND) {
            return st;
        }
        path = dir;
    }
    return OK;
}

/* A file of the general root must not stand where roots of runs and models lie below. */
static enum status check_below(struct group *g, const struct artifact_place *p, struct arena *a,
                               struct err *err)
{
    struct q_root_range_row row;
    struct sql_stmt *stmt = NULL;
    struct str from, to;
    enum status st = artifact_roots_range(a, p->path, &from, &to, err);

    st = st ? st : q_root_range_open(group_conn(g), &stmt, from, to, err);
    st = st ? st : q_root_range_next(stmt, &row, err);
    sql_close(stmt);
    if (st == OK) {
        return artifact_is_a_directory(p->path, err);
    }
    return st == ST_END ? OK : st;
}

static enum status find_root(struct group *g, const struct artifact_place *p, struct arena *a,
                             int64_t *id, struct err *err)
{
    struct q_root_get_row row;
    struct q_counter_next_row next;
    enum status st = q_root_get(group_conn(g), a, p->root_uri, &row, err);

    if (st == OK) {
        *id = row.id;
    }
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = check_above(g, p->root_uri, a, err);
    st = st ? st : q_counter_next(group_conn(g), a, S("root"), &next, err);
    if (st) {
        return st;
    }
    *id = next.value;
    return q_root_insert(group_conn(g), *id, p->root_uri, p->owner, err);
}

/* Every directory above the file exists afterwards; a file in the way is an error. */
static enum status make_dirs(struct group *g, struct arena *a, int64_t root, struct str dir,
                             struct err *err)
{
    struct str none = { NULL, 0 };

    while (dir.n) {
        struct q_artifact_get_row row;
        struct str above, name;
        enum status st;

        artifact_split(dir, &above, &name);
        st = q_artifact_get(group_conn(g), a, root, above, name, &row, err);
        if (st == OK && row.kind == 1) {
            return artifact_is_a_file(dir, err);
        }
        if (st == OK) {
            return OK; /* and so are those above it */
        }
        if (st != ST_NOT_FOUND) {
            return st;
        }
        st = q_artifact_put(group_conn(g), root, above, name, 2, 0, none, group_now_ms(g), err);
        if (st) {
            return st;
        }
        dir = above;
    }
    return OK;
}

static enum status publish(struct group *g, struct arena *a, const struct artifact_upload *u,
                           struct err *err)
{
    struct object_new o = {
        .sha256 = u->sha256, .size = u->size, .lease = &u->lease, .is_placed = u->is_placed
    };

    if (!u->in_blob) {
        o.body = str_of(u->small, u->small_n);
    }
    return object_publish(g, a, &o, err);
}

enum status artifact_put_check(struct view *v, const struct artifact_place *at, struct err *err)
{
    struct str path = at->path, dir, name;
    struct q_root_get_row root;
    enum status st = path.n ? OK : err_field(err, ST_INVALID, "path", "Invalid path");

    if (at->outside) {
        return outside_writes(at->outside) ? outside_put_check(v->arena, at, err)
                                           : is_read_only(at, err);
    }
    st = st ? st : q_root_get(v->conn, v->arena, at->root_uri, &root, err);
    for (bool is_self = true; !st && path.n; is_self = false) {
        struct q_artifact_get_row row;

        artifact_split(path, &dir, &name);
        st = q_artifact_get(v->conn, v->arena, root.id, dir, name, &row, err);
        if (st == OK && (row.kind == 2) == is_self) {
            return is_self ? artifact_is_a_directory(path, err) : artifact_is_a_file(path, err);
        }
        st = st == ST_NOT_FOUND ? OK : st;
        path = dir;
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status put_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct artifact_put *p = WRITE_OP_OF(op, struct artifact_put);
    const struct artifact_upload *u = p->upload;
    struct q_artifact_get_row row;
    struct str dir, name;
    int64_t root = 0;
    enum status st;

    if (p->place.outside) {
        return is_read_only(&p->place, err);
    }
    artifact_split(p->place.path, &dir, &name);
    if (!name.n) {
        return err_field(err, ST_INVALID, "path", "Invalid path");
    }
    st = find_root(g, &p->place, op->arena, &root, err);
    st = st ? st : make_dirs(g, op->arena, root, dir, err);
    if (st) {
        return st;
    }
    st = q_artifact_get(group_conn(g), op->arena, root, dir, name, &row, err);
    if (st == OK && row.kind == 2) {
        return artifact_is_a_directory(p->place.path, err);
    }
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    st = str_eq_lit(p->place.root_uri, PROXY_ROOT) ? check_below(g, &p->place, op->arena, err) : OK;
    st = st ? st : publish(g, op->arena, u, err);
    if (!st && u->resume) {
        st = group_resume_name(g, u->resume, err);
    }
    return st ? st
              : q_artifact_put(group_conn(g), root, dir, name, 1, (int64_t)u->size,
                               str_of(u->sha256.b, sizeof(u->sha256.b)), group_now_ms(g), err);
}

static const struct write_kind put_kind = { .name = "artifact.put",
                                            .validate = put_validate,
                                            .sql = true };

/* One of many, or alone. The savepoints are set inside. */
static enum status put_small_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct artifact_put *p = WRITE_OP_OF(op, struct artifact_put);
    struct err ignored;
    enum status st = OK;

    if (p->place.outside) {
        return is_read_only(&p->place, err);
    }
    if (!p->is_decided && !p->is_alone) {
        st = artifact_put_many(g, p, err);
    }
    if (st || p->is_decided) {
        return st ? st : p->decided;
    }
    st = sql_savepoint(group_conn(g), err);
    if (st) {
        return st;
    }
    st = put_validate(op, g, err);
    st = st ? st : sql_release(group_conn(g), err);
    if (st) {
        err_clear(&ignored);
        IGNORE_STATUS(sql_rollback_to(group_conn(g), &ignored)); /* the group sees what is lost */
    }
    return st;
}

static const struct write_kind put_small_kind = { .name = "artifact.put.small",
                                                  .validate = put_small_validate };

void artifact_put_init(struct artifact_put *p, struct core *core, struct arena *a)
{
    *p = (struct artifact_put){ .op = { .kind = &put_kind, .arena = a }, .core = core };
}

/* ---- claiming, placing and naming, one after the other --------------------------------------------------------------------- */

static void put_end(struct artifact_put *p, enum status st, const struct err *err)
{
    p->op.done = p->then;
    p->op.st = st;
    if (st) {
        p->op.err = *err;
    }
    p->then(&p->op);
}

static void abort_work(struct exec_job *job, unsigned worker)
{
    struct artifact_put *p = CONTAINER_OF(job, struct artifact_put, work);

    (void)worker;
    artifact_upload_abort(p->upload);
    put_end(p, p->op.st, &p->op.err);
}

static void released(struct write_op *op)
{
    struct artifact_put *p = (struct artifact_put *)op->user;

    put_end(p, p->op.st, &p->op.err);
}

/* The lease leads to nothing: it ends now, or by itself. p->op says what failed. */
static void release_lease(struct artifact_put *p)
{
    object_release_init(&p->release, p->op.arena, &p->upload->sha256, p->upload->size,
                        &p->upload->lease);
    p->release.op.user = p;
    p->release.op.done = released;
    if (seq_submit(p->core->seq, &p->release.op)) {
        put_end(p, p->op.st, &p->op.err);
    }
}

static void put_answered(struct write_op *op)
{
    struct artifact_put *p = WRITE_OP_OF(op, struct artifact_put);

    if (op->st && p->upload->lease.id[0]) {
        release_lease(p);
    } else {
        put_end(p, op->st, &op->err);
    }
}

static void place_work(struct exec_job *job, unsigned worker)
{
    struct artifact_put *p = CONTAINER_OF(job, struct artifact_put, work);
    struct err err = ERR_INIT;
    enum status st = artifact_upload_place(p->upload, &err);

    (void)worker;
    if (!st) {
        p->op.done = put_answered;
        if (seq_submit(p->core->seq, &p->op) == OK) {
            return;
        }
    } else {
        p->op.st = st;
        p->op.err = err;
    }
    release_lease(p);
}

/* On the sequencer's thread: what waits goes elsewhere. */
static void claimed(struct write_op *op)
{
    struct object_claim *c = WRITE_OP_OF(op, struct object_claim);
    struct artifact_put *p = (struct artifact_put *)op->user;

    p->upload->lease = c->lease;
    p->work.run = op->st ? abort_work : place_work;
    if (op->st) {
        p->upload->lease.id[0] = 0;
        p->op.st = op->st;
        p->op.err = op->err;
    }
    if (artifact_work_submit(p->core, &p->work) == OK) {
        return;
    }
    if (!op->st) {
        p->op.st = err_set(&p->op.err, ST_UNAVAILABLE, "too many transfers are waiting; try again");
    }
    abort_work(&p->work, 0); /* as many as may wait do: this is short */
}

/* Files of others have no rows: their place is the folder itself. */
static enum status place_outside(struct artifact_put *p, struct err *err)
{
    struct artifact_upload *u = p->upload;
    struct outside_writer *w;
    enum status st = OK;

    if (!outside_writes(p->place.outside) || (u->in_blob && !u->outside)) {
        return is_read_only(&p->place, err);
    }
    if (!u->outside) {
        st = outside_put_check(p->op.arena, &p->place, err);
        st = st ? st : outside_write_begin(&p->place, p->op.arena, &u->outside, err);
        st = st ? st : outside_write(u->outside, str_of(u->small, u->small_n), err);
    }
    if (st) {
        return st;
    }
    w = u->outside;
    u->outside = NULL;
    return outside_write_place(w, p->op.arena, err);
}

static void outside_work(struct exec_job *job, unsigned worker)
{
    struct artifact_put *p = CONTAINER_OF(job, struct artifact_put, work);

    (void)worker;
    p->op.st = place_outside(p, &p->op.err);
    artifact_upload_abort(p->upload);
    p->op.done(&p->op);
}

enum status artifact_put_submit(struct artifact_put *p)
{
    enum status st;

    if (p->place.outside) {
        p->work.run = outside_work;
        if (outside_work_submit(p->core, &p->place, &p->work)) {
            p->op.st =
                err_set(&p->op.err, ST_UNAVAILABLE, "too many transfers are waiting; try again");
            return p->op.st;
        }
        return OK;
    }
    if (!p->upload->in_blob) {
        /* Of SQLite, which lies in this process, a question costs less than gathering it. */
        p->op.kind = sql_db_engine(p->core->db) == SQL_POSTGRES ? &put_small_kind : &put_kind;
        p->is_decided = p->is_alone = false;
        return seq_submit(p->core->seq, &p->op);
    }
    p->then = p->op.done;
    object_claim_init(&p->claim, p->op.arena, &p->upload->sha256, p->upload->size);
    p->claim.op.user = p;
    p->claim.op.done = claimed;
    st = seq_submit(p->core->seq, &p->claim.op);
    if (st) {
        p->op.st = st;
        p->op.err = p->claim.op.err;
    }
    return st;
}

static void put_run_done(struct write_op *op)
{
    exec_event_set((struct exec_event *)op->user);
}

enum status artifact_put_run(struct artifact_put *p, struct err *err)
{
    struct exec_event *e = exec_event_new();
    enum status st;

    if (!e) {
        artifact_upload_abort(p->upload);
        return err_nomem(err);
    }
    p->op.user = e;
    p->op.done = put_run_done;
    st = artifact_put_submit(p);
    if (st) {
        artifact_upload_abort(p->upload);
    } else if (!exec_event_wait(e, -1)) {
        p->op.st = err_set(&p->op.err, ST_UNAVAILABLE, "the sequencer has stopped");
    }
    exec_event_free(e);
    *err = p->op.err;
    return p->op.st;
}

/* The roots of runs and models below a path of the proxy, with everything in them. */
static enum status delete_roots_below(struct group *g, struct str path, struct arena *a,
                                      struct err *err)
{
    struct str from, to;
    int64_t n;
    enum status st = artifact_roots_range(a, path, &from, &to, err);

    st = st ? st : q_artifact_delete_roots(group_conn(g), from, to, &n, err);
    return st ? st : q_root_delete_range(group_conn(g), from, to, &n, err);
}

enum status group_artifact_delete(struct group *g, struct arena *a,
                                  const struct artifact_place *place, struct err *err)
{
    struct str path = place->path, dir, name, from, to;
    struct q_root_get_row root;
    int64_t n;
    enum status st = OK;

    if (place->outside) {
        return is_read_only(place, err);
    }
    if (path.n && str_eq_lit(place->root_uri, PROXY_ROOT)) {
        st = delete_roots_below(g, path, a, err);
    }
    st = st ? st : q_root_get(group_conn(g), a, place->root_uri, &root, err);
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    if (!path.n) {
        st = q_artifact_delete_root(group_conn(g), root.id, &n, err);
        return st ? st : q_root_delete(group_conn(g), root.id, err);
    }
    artifact_split(path, &dir, &name);
    from = arena_printf(a, "%.*s/", STR_ARG(path));
    to = arena_printf(a, "%.*s0", STR_ARG(path));
    if (!from.p || !to.p) {
        return err_nomem(err);
    }
    st = q_artifact_delete(group_conn(g), root.id, dir, name, &n, err);
    return st ? st : q_artifact_delete_below(group_conn(g), root.id, path, from, to, &n, err);
}

static enum status delete_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct artifact_delete *d = WRITE_OP_OF(op, struct artifact_delete);

    return group_artifact_delete(g, op->arena, &d->place, err);
}

static const struct write_kind delete_kind = { .name = "artifact.delete",
                                               .validate = delete_validate,
                                               .sql = true };

void artifact_delete_init(struct artifact_delete *d, struct core *core, struct arena *a)
{
    *d = (struct artifact_delete){ .op = { .kind = &delete_kind, .arena = a }, .core = core };
}

static void delete_work(struct exec_job *job, unsigned worker)
{
    struct artifact_delete *d = CONTAINER_OF(job, struct artifact_delete, work);

    (void)worker;
    d->op.st = outside_writes(d->place.outside) ? outside_delete(d->op.arena, &d->place, &d->op.err)
                                                : is_read_only(&d->place, &d->op.err);
    d->op.done(&d->op);
}

enum status artifact_delete_submit(struct artifact_delete *d)
{
    if (!d->place.outside) {
        return seq_submit(d->core->seq, &d->op);
    }
    d->work.run = delete_work;
    return outside_work_submit(d->core, &d->place, &d->work);
}
