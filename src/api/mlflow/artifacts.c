/* api/mlflow/artifacts.c - artifact listing, the artifact proxy, downloads and uploads. */
#include "api/bytes.h"
#include "api/mlflow/mlflow_int.h"
#include "codec/json.h"
#include "core/names.h"

/* The names of a page of the run's list, and of a piece of the proxy's, which has no pages. */
enum { LIST_PAGE = 10000, LIST_PIECE = 500, PROXY_NAME_MAX = 256, UPLOAD_MAX = 10 * 1024 * 1024 };

/* ---- listing ---------------------------------------------------------------------------------------------------------------- */

/* prefix is put before every name ("" or "dir"). */
static struct mlflow_file_info *put_files(struct arena *a, const struct artifact_info *infos,
                                          size_t n, struct str prefix)
{
    struct mlflow_file_info *out = ARENA_ARRAY(a, struct mlflow_file_info, n);

    for (size_t i = 0; out && i < n; i++) {
        struct str path =
            prefix.n ? arena_printf(a, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(infos[i].name))
                     : infos[i].name;

        if (!path.p) {
            return NULL;
        }
        MSG_SET(&out[i], MLFLOW_FILE_INFO_HAS_PATH, path, path);
        MSG_SET(&out[i], MLFLOW_FILE_INFO_HAS_IS_DIR, is_dir, infos[i].is_dir);
        if (!infos[i].is_dir && infos[i].size) {
            MSG_SET(&out[i], MLFLOW_FILE_INFO_HAS_FILE_SIZE, file_size, infos[i].size);
        }
    }
    return out;
}

/* The entries below `path` of an artifact URI. A file lists itself, under the directory it lies in. */
static enum status list_uri(struct call *c, struct view *v, struct str uri, int64_t owner,
                            struct str path, struct str token,
                            struct mlflow_list_artifacts_response *out, struct err *err)
{
    struct artifact_place place;
    struct artifact_info *infos;
    struct str prefix = path;
    size_t n;
    bool more;
    enum status st = artifact_uri_place(v, uri, owner, path, &place, err);

    st = st ? st : artifact_list(v, &place, token, LIST_PAGE, &infos, &n, &more, err);
    if (st) {
        return st;
    }
    while (prefix.n && prefix.p[prefix.n - 1] == '/') {
        prefix.n--;
    }
    if (n && infos[0].is_self) {
        prefix.n -= infos[0].name.n;
        prefix.n -= prefix.n ? 1 : 0;
    }
    MSG_SET(out, MLFLOW_LIST_ARTIFACTS_RESPONSE_HAS_ROOT_URI, root_uri, uri);
    out->files = put_files(c->arena, infos, n, prefix);
    out->files_n = n;
    if (!out->files) {
        return err_nomem(err);
    }
    if (more) {
        MSG_SET(out, MLFLOW_LIST_ARTIFACTS_RESPONSE_HAS_NEXT_PAGE_TOKEN, next_page_token,
                infos[n - 1].name);
    }
    c->out = out;
    return OK;
}

static enum status list(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_list_artifacts *in = c->in;
    struct mlflow_list_artifacts_response *out =
        ARENA_NEW(c->arena, struct mlflow_list_artifacts_response);
    struct run_view r;
    enum status st;

    if (!out) {
        return err_nomem(err);
    }
    st = name_check_artifact_path(in->path, err);
    st = st ? st : run_get(v, in->run_id, &r, err);
    return st ? st : list_uri(c, v, r.artifact_uri, r.uid, in->path, in->page_token, out, err);
}

static enum status list_model(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_list_logged_model_artifacts *in = c->in;
    struct mlflow_list_artifacts_response *out =
        ARENA_NEW(c->arena, struct mlflow_list_artifacts_response);
    struct logged_model m;
    enum status st;

    if (!out) {
        return err_nomem(err);
    }
    st = name_check_artifact_path(in->artifact_directory_path, err);
    st = st ? st : logged_model_get(v, call_capture(c, "model_id"), false, &m, err);
    return st ? st
              : list_uri(c, v, m.artifact_uri, m.uid, in->artifact_directory_path, in->page_token,
                         out, err);
}

/* ---- downloads ------------------------------------------------------------------------------------------------------------- */

static enum status get_run_artifact(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_run_artifact *in = c->in;
    struct artifact_place place;
    struct run_view r;
    enum status st = name_check_artifact_path(in->path, err);

    st = st ? st : run_get(v, in->run_id, &r, err);
    st = st ? st : artifact_uri_place(v, r.artifact_uri, r.uid, in->path, &place, err);
    return st ? st : bytes_send(c, v, &place, err);
}

static enum status get_model_artifact(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_logged_model_artifact *in = c->in;
    struct artifact_place place;
    struct logged_model m;
    enum status st = name_check_artifact_path(in->artifact_file_path, err);

    st = st ? st : logged_model_get(v, call_capture(c, "model_id"), false, &m, err);
    st =
        st ? st : artifact_uri_place(v, m.artifact_uri, m.uid, in->artifact_file_path, &place, err);
    return st ? st : bytes_send(c, v, &place, err);
}

/* ---- the proxy ------------------------------------------------------------------------------------------------------------------ */

enum status mlflow_proxy_is_on(struct call *c)
{
    if (c->api->serve_artifacts) {
        return OK;
    }
    http_status(c->req, 503);
    http_type(c->req, "text/plain; charset=utf-8");
    http_send(
        c->req,
        arena_printf(
            c->arena,
            "Endpoint: %s disabled due to the mlflow server running with `--no-serve-artifacts`. To "
            "enable artifacts server functionality, run `cairn server` with `--serve-artifacts`",
            c->req->route->path));
    return ST_END;
}

static enum status proxy_get(struct call *c, struct view *v, struct err *err)
{
    struct artifact_place place;
    enum status st = mlflow_proxy_is_on(c);

    st = st ? st : artifact_proxy_place(v, call_capture(c, "path"), &place, err);
    return st ? st : bytes_send(c, v, &place, err);
}

/* Clients do not page this list: it is complete, made piece by piece while it leaves. */
struct proxy_list {
    struct long_answer answer;
    struct artifact_place place;
    struct str after; /* the last name of the piece before */
    char name[PROXY_NAME_MAX];
    bool begun;
};

static enum status proxy_list_more(struct long_answer *answer, struct view *v, struct buf *out,
                                   bool *last, struct err *err)
{
    struct proxy_list *l = CONTAINER_OF(answer, struct proxy_list, answer);
    struct json_writer w = JSON_WRITER_INIT(out);
    struct artifact_info *infos;
    size_t n;
    bool more;
    enum status st = artifact_list(v, &l->place, l->after, LIST_PIECE, &infos, &n, &more, err);

    if (st) {
        return st;
    }
    *last = !more;
    if (!n) {
        buf_put_cstr(out, l->begun ? "]}" : "{}");
        return OK;
    }
    buf_put_cstr(out, l->begun ? "," : "{\"files\":[");
    l->begun = true;
    for (size_t i = 0; i < n; i++) {
        json_w_object(&w); /* with a comma before it, if it is not the piece's first */
        json_w_key(&w, S("path"));
        json_w_str(&w, infos[i].name);
        json_w_key(&w, S("is_dir"));
        json_w_bool(&w, infos[i].is_dir);
        if (!infos[i].is_dir && infos[i].size) {
            json_w_key(&w, S("file_size"));
            json_w_i64(&w, infos[i].size);
        }
        json_w_object_end(&w);
    }
    if (*last) {
        buf_put_cstr(out, "]}");
    } else if (infos[n - 1].name.n > sizeof(l->name)) {
        return err_set(err, ST_CORRUPT, "an artifact has a name of %zu bytes", infos[n - 1].name.n);
    } else {
        memcpy(l->name, infos[n - 1].name.p, infos[n - 1].name.n);
        l->after = str_of(l->name, infos[n - 1].name.n);
    }
    return OK;
}

static enum status proxy_list(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_proxy_list_artifacts *in = c->in;
    struct proxy_list *l = ARENA_NEW(c->arena, struct proxy_list);
    enum status st = mlflow_proxy_is_on(c);

    if (!st && !l) {
        return err_nomem(err);
    }
    st = st ? st : artifact_proxy_place(v, in->path, &l->place, err);
    if (st) {
        return st;
    }
    l->after = S("");
    l->answer.more = proxy_list_more;
    l->answer.type = "application/json";
    return call_long(c, v, &l->answer, err);
}

/* ---- uploads ----------------------------------------------------------------------------------------------------------------------- */

static enum status proxy_where(struct bytes_put *p, struct view *v, struct artifact_place *out,
                               struct err *err)
{
    return artifact_proxy_place(v, p->path, out, err);
}

static enum status run_where(struct bytes_put *p, struct view *v, struct artifact_place *out,
                             struct err *err)
{
    struct run_view r;
    enum status st = run_get(v, p->owner, &r, err);

    return st ? st : artifact_uri_place(v, r.artifact_uri, r.uid, p->path, out, err);
}

static void proxy_put(struct call *c)
{
    struct bytes_put *p = ARENA_NEW(c->arena, struct bytes_put);

    if (mlflow_proxy_is_on(c)) {
        return;
    }
    if (!p) {
        call_error(c, err_nomem(&c->err), &c->err);
        return;
    }
    p->where = proxy_where;
    p->path = call_capture(c, "path");
    bytes_put_begin(c, p);
}

static void upload_artifact(struct call *c)
{
    struct bytes_put *p = ARENA_NEW(c->arena, struct bytes_put);
    struct mlflow_run_artifact in = { 0 };
    struct msg_ctx ctx = { .arena = c->arena, .flags = MSG_JSON_LENIENT };
    enum status st = p ? OK : err_nomem(&c->err);

    if (!st && msg_decode_query(&mlflow_run_artifact_desc, &in,
                                c->req->query.p ? c->req->query : S(""), &ctx, &c->err)) {
        st = err_field(&c->err, ST_INVALID, in.run_id.n ? "path" : "run_uuid",
                       "Request must specify %s.", in.run_id.n ? "path" : "run_uuid");
    }
    st = st ? st : name_check_artifact_path(in.path, &c->err);
    if (st) {
        call_error(c, st, &c->err);
        return;
    }
    p->where = run_where;
    p->path = in.path;
    p->owner = in.run_id;
    p->max = UPLOAD_MAX;
    p->too_big = "Artifact size is too large. Max size is 10MB.";
    p->too_small = "Request must specify data.";
    bytes_put_begin(c, p);
}

/* ---- deleting ---------------------------------------------------------------------------------------------------------------------- */

/* The place needs a read before the operation can be made, so this call goes pool -> sequencer -> loop. */
struct delete_call {
    struct call *call;
    struct read_job where;
    struct artifact_delete op;
    enum status st;
    struct err err;
};

static void finish_delete(struct http_req *req, void *ctx)
{
    struct delete_call *d = ctx;

    (void)req;
    if (d->st) {
        call_error(d->call, d->st, &d->err);
    } else {
        call_answer(d->call);
    }
}

static void delete_done(struct write_op *op)
{
    struct delete_call *d = op->user;

    d->st = op->st;
    d->err = op->err;
    http_req_post(d->call->req, finish_delete, d);
}

static void find_deleted(struct read_job *job, struct view *v)
{
    struct delete_call *d = CONTAINER_OF(job, struct delete_call, where);

    d->st = artifact_proxy_place(v, call_capture(d->call, "path"), &d->op.place, &d->err);
    if (job->st) {
        d->st = job->st;
        d->err = job->err;
    }
    if (!d->st) {
        d->op.op.done = delete_done;
        d->op.op.user = d;
        if (artifact_delete_submit(&d->op) == OK) {
            return;
        }
        d->st = err_set(&d->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
    }
    call_error(d->call, d->st, &d->err);
}

static void proxy_delete(struct call *c)
{
    struct delete_call *d = ARENA_NEW(c->arena, struct delete_call);

    if (mlflow_proxy_is_on(c)) {
        return;
    }
    if (!d) {
        call_error(c, err_nomem(&c->err), &c->err);
        return;
    }
    d->call = c;
    artifact_delete_init(&d->op, c->core, c->arena);
    d->where = (struct read_job){ .run = find_deleted, .arena = c->arena };
    if (core_read_submit(c->core, &d->where)) {
        call_error(c, err_set(&d->err, ST_UNAVAILABLE, "too many reads are waiting; try again"),
                   &d->err);
    }
}

#define PROXY "/api/2.0/mlflow-artifacts/"
#define PATH  "/api/2.0/mlflow/"

const struct route mlflow_artifact_routes[] = {
    ROUTE(HTTP_GET, PATH "artifacts/list", &mlflow_list_artifacts_desc,
          &mlflow_list_artifacts_response_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(list)),
    ROUTE(HTTP_GET, PATH "logged-models/{model_id}/artifacts/directories",
          &mlflow_list_logged_model_artifacts_desc, &mlflow_list_artifacts_response_desc,
          RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ, READ(list_model)),
    ROUTE(HTTP_GET, PATH "logged-models/{model_id}/artifacts/files",
          &mlflow_get_logged_model_artifact_desc, NULL, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(get_model_artifact)),
    ROUTE(HTTP_GET, "/get-artifact", &mlflow_run_artifact_desc, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_READ, READ(get_run_artifact)),
    ROUTE_BODY(HTTP_POST, PATH "upload-artifact", NULL, NULL, RESOURCE_ARTIFACT,
               ACTION_ARTIFACT_WRITE, STREAM(upload_artifact), HTTP_BODY_STREAM, 0),
    ROUTE(HTTP_GET, PROXY "artifacts", &mlflow_proxy_list_artifacts_desc,
          &mlflow_proxy_list_artifacts_response_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(proxy_list)),
    ROUTE(HTTP_GET, PROXY "artifacts/{path*}", NULL, NULL, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(proxy_get)),
    ROUTE_BODY(HTTP_PUT, PROXY "artifacts/{path*}", NULL, NULL, RESOURCE_ARTIFACT,
               ACTION_ARTIFACT_WRITE, STREAM(proxy_put), HTTP_BODY_STREAM, 0),
    ROUTE(HTTP_DELETE, PROXY "artifacts/{path*}", NULL, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_DELETE, STREAM(proxy_delete)),
};
const size_t mlflow_artifact_routes_n = ARRAY_N(mlflow_artifact_routes);
