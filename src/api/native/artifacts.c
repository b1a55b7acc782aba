/* api/native/artifacts.c - lists, bytes and folders of artifacts. */
#include "gen/native/artifacts.h"
#include "api/archive.h"
#include "api/bytes.h"
#include "api/native/native.h"
#include "core/logged_model.h"
#include "core/names.h"
#include "core/run.h"

#define READ(fn)   ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))
#define STREAM(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_STREAM, .stream = (fn))

/* ---- places ----------------------------------------------------------------------------------------------------------------------- */

static enum status proxy_is_on(const struct api *api, struct err *err)
{
    enum status st;

    if (api->serve_artifacts) {
        return OK;
    }
    st = err_set(err, ST_DENIED, "this server does not serve artifacts");
    err_hint(err, "start it without --no-serve-artifacts");
    return st;
}

/* The place that a request names. */
enum status native_artifact_place(const struct api *api, struct view *v, struct str run_id,
                                  struct str model_id, struct str path, struct artifact_place *out,
                                  struct err *err)
{
    enum status st = name_check_artifact_path(path, err);

    if (!st && run_id.n && model_id.n) {
        st = err_field(err, ST_INVALID, "model_id", "give a run_id or a model_id, not both");
    }
    if (st) {
        return st;
    }
    if (run_id.n) {
        struct run_view r;

        st = run_get(v, run_id, &r, err);
        return st ? st : artifact_uri_place(v, r.artifact_uri, r.uid, path, out, err);
    }
    if (model_id.n) {
        struct logged_model m;

        st = logged_model_get(v, model_id, false, &m, err);
        return st ? st : artifact_uri_place(v, m.artifact_uri, m.uid, path, out, err);
    }
    st = proxy_is_on(api, err);
    return st ? st : artifact_proxy_place(v, path, out, err);
}

static struct str last_part(struct str path)
{
    size_t at;

    while (path.n && path.p[path.n - 1] == '/') {
        path.n--;
    }
    at = path.n;
    while (at && path.p[at - 1] != '/') {
        at--;
    }
    return str_sub(path, at, path.n);
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------------- */

static enum status put_info(struct arena *a, const struct artifact_info *info, struct str prefix,
                            struct cairn_v1_artifact_info *out, struct err *err)
{
    struct str path =
        prefix.n ? arena_printf(a, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(info->name)) : info->name;

    if (!path.p) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_ARTIFACT_INFO_HAS_PATH, path, path);
    MSG_SET(out, CAIRN_V1_ARTIFACT_INFO_HAS_IS_DIR, is_dir, info->is_dir);
    if (info->mtime_ms) {
        MSG_SET(out, CAIRN_V1_ARTIFACT_INFO_HAS_MTIME_MS, mtime_ms, info->mtime_ms);
    }
    if (!info->is_dir) {
        MSG_SET(out, CAIRN_V1_ARTIFACT_INFO_HAS_SIZE, size, info->size);
    }
    if (info->has_sha256) {
        char *hex = arena_alloc(a, 65);

        if (!hex) {
            return err_nomem(err);
        }
        digest_hex(&info->sha256, hex);
        MSG_SET(out, CAIRN_V1_ARTIFACT_INFO_HAS_SHA256, sha256, str_of(hex, 64));
    }
    return OK;
}

static enum status list(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_artifact_list *in = c->in;
    struct cairn_v1_artifact_list_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_artifact_list_answer);
    struct str prefix = in->path;
    struct artifact_place place;
    struct artifact_info *infos;
    size_t n = 0;
    bool more;
    enum status st = out ? OK : err_nomem(err);

    st =
        st ? st : native_artifact_place(c->api, v, in->run_id, in->model_id, in->path, &place, err);
    st = st ? st
            : artifact_list(v, &place, in->page_token, (size_t)in->max_results, &infos, &n, &more,
                            err);
    if (st) {
        return st;
    }
    while (prefix.n && prefix.p[prefix.n - 1] == '/') {
        prefix.n--;
    }
    if (n && infos[0].is_self) {
        prefix.n -= infos[0].name.n;
        prefix.n -= prefix.n ? 1 : 0;
        MSG_SET(out, CAIRN_V1_ARTIFACT_LIST_ANSWER_HAS_IS_FILE, is_file, true);
    }
    out->files_n = n;
    out->files = ARENA_ARRAY(c->arena, struct cairn_v1_artifact_info, n + 1);
    st = out->files ? OK : err_nomem(err);
    for (size_t i = 0; i < n && !st; i++) {
        st = put_info(c->arena, &infos[i], prefix, &out->files[i], err);
    }
    if (!st && more) {
        MSG_SET(out, CAIRN_V1_ARTIFACT_LIST_ANSWER_HAS_NEXT_PAGE_TOKEN, next_page_token,
                infos[n - 1].name);
    }
    c->out = out;
    return st;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------------------------- */

static enum status get_file(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_artifact_file *in = c->in;
    struct artifact_place place;
    enum status st =
        native_artifact_place(c->api, v, in->run_id, in->model_id, in->path, &place, err);

    return st ? st : bytes_send(c, v, &place, err);
}

static enum status get_archive(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_artifact_archive *in = c->in;
    struct str name = last_part(in->path);
    struct artifact_place place;
    enum archive_kind kind = ARCHIVE_ZIP;
    enum status st = OK;

    if (str_eq_lit(in->format, "tar")) {
        kind = ARCHIVE_TAR;
    } else if (in->format.n && !str_eq_lit(in->format, "zip")) {
        st = err_field(err, ST_INVALID, "format", "format is '%.*s', not zip or tar",
                       STR_ARG(in->format));
    }
    st =
        st ? st : native_artifact_place(c->api, v, in->run_id, in->model_id, in->path, &place, err);
    name = name.n           ? name
           : in->run_id.n   ? in->run_id
           : in->model_id.n ? in->model_id
                            : S("artifacts");
    return st ? st : archive_send(c, v, &place, kind, name, err);
}

struct native_put {
    struct bytes_put put; /* owner: the run's id */
    struct str model_id;
};

static enum status put_where(struct bytes_put *p, struct view *v, struct artifact_place *out,
                             struct err *err)
{
    struct native_put *n = CONTAINER_OF(p, struct native_put, put);

    return native_artifact_place(p->call->api, v, p->owner, n->model_id, p->path, out, err);
}

static void put_is_done(struct bytes_put *p)
{
    struct call *c = p->call;
    struct cairn_v1_artifact_info *out = ARENA_NEW(c->arena, struct cairn_v1_artifact_info);
    struct artifact_info info = { .name = p->path,
                                  .size = (int64_t)p->upload.size,
                                  .has_sha256 = true,
                                  .sha256 = p->upload.sha256 };

    /* Without memory the answer is {}: the file is there. */
    if (out && put_info(c->arena, &info, S(""), out, NULL) == OK) {
        c->out = out;
    }
}

static void put_file(struct call *c)
{
    struct native_put *n = ARENA_NEW(c->arena, struct native_put);
    struct cairn_v1_artifact_file in = { 0 };
    struct msg_ctx ctx = { .arena = c->arena };
    enum status st = n ? OK : err_nomem(&c->err);

    if (!st) {
        st = msg_decode_query(&cairn_v1_artifact_file_desc, &in,
                              c->req->query.p ? c->req->query : S(""), &ctx, &c->err);
    }
    st = st ? st : name_check_artifact_path(in.path, &c->err);
    if (st) {
        call_error(c, st, &c->err);
        return;
    }
    n->put.where = put_where;
    n->put.path = in.path;
    n->put.owner = in.run_id;
    n->model_id = in.model_id;
    n->put.done = put_is_done;
    bytes_put_begin(c, &n->put);
}

/* ---- removing --------------------------------------------------------------------------------------------------------------------------- */

struct removal {
    struct call *call;
    struct artifact_delete op;
};

static void finish_removal(struct http_req *req, void *ctx)
{
    struct removal *r = ctx;

    (void)req;
    if (r->op.op.st) {
        call_error(r->call, r->op.op.st, &r->op.op.err);
    } else {
        call_answer(r->call);
    }
}

static void removal_done(struct write_op *op)
{
    struct removal *r = op->user;

    http_req_post(r->call->req, finish_removal, r);
}

static enum status remove_file(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_artifact_remove *in = c->in;
    struct removal *r = ARENA_NEW(c->arena, struct removal);
    struct artifact_info *infos;
    size_t n = 0;
    bool more;
    enum status st = r ? OK : err_nomem(err);

    if (st) {
        return st;
    }
    r->call = c;
    artifact_delete_init(&r->op, c->core, c->arena);
    st = native_artifact_place(c->api, v, in->run_id, in->model_id, in->path, &r->op.place, err);
    st = st ? st : artifact_list(v, &r->op.place, S(""), 1, &infos, &n, &more, err);
    /* A folder of others may be empty. */
    if (!st && !n && !(r->op.place.outside && in->recursive)) {
        st = err_field(err, ST_NOT_FOUND, "path", "No such artifact: '%.*s'", STR_ARG(in->path));
    }
    if (!st && n && !infos[0].is_self && !in->recursive) {
        st = err_field(err, ST_INVALID, "path", "'%.*s' is a folder", STR_ARG(in->path));
        err_hint(err,
                 "say recursive=true (cairn artifact rm --recursive) to remove all that is in it");
    }
    if (st) {
        return st;
    }
    r->op.op.done = removal_done;
    r->op.op.user = r;
    return artifact_delete_submit(&r->op) == OK
               ? ST_END
               : err_set(err, ST_UNAVAILABLE, "too many writes are waiting; try again");
}

#define PATH "/api/cairn/v1/artifacts"

const struct route native_artifact_routes[] = {
    ROUTE(HTTP_GET, PATH, &cairn_v1_artifact_list_desc, &cairn_v1_artifact_list_answer_desc,
          RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ, READ(list)),
    ROUTE(HTTP_GET, PATH "/file", &cairn_v1_artifact_file_desc, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_READ, READ(get_file)),
    ROUTE_BODY(HTTP_PUT, PATH "/file", NULL, &cairn_v1_artifact_info_desc, RESOURCE_ARTIFACT,
               ACTION_ARTIFACT_WRITE, STREAM(put_file), HTTP_BODY_STREAM, 0),
    ROUTE(HTTP_DELETE, PATH "/file", &cairn_v1_artifact_remove_desc, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_DELETE, READ(remove_file)),
    ROUTE(HTTP_GET, PATH "/archive", &cairn_v1_artifact_archive_desc, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_READ, READ(get_archive)),
};
const size_t native_artifact_routes_n = ARRAY_N(native_artifact_routes);
