/* api/mlflow/artifact_direct.c - the proxy's uploads in parts and downloads that clients make straight from the store of the bytes,
 * where it can give them URLs. Elsewhere the answer is the 501 that clients take for "send it through the proxy". */
#include "api/mlflow/mlflow_int.h"
#include "core/artifact.h"
#include "core/names.h"
#include "core/outside.h"
#include "store/seq.h"
#include <inttypes.h>

enum { PRESIGNED_S = 900 };

struct direct_call {
    struct call *call;
    struct exec_job work; /* waits for the store of the bytes */
    struct artifact_bytes bytes;
    bool of_run; /* the answer is that of the run's route */
    int64_t seconds;
    struct artifact_upload upload;
    struct artifact_put put;
    enum status st;
    struct err err;
};

static enum status no_multipart(struct err *err)
{
    return err_set(
        err, ST_NOT_IMPLEMENTED,
        "Multipart upload is not supported for the current artifact repository: send the file with one PUT");
}

static void finish(struct http_req *req, void *ctx)
{
    struct direct_call *d = ctx;

    (void)req;
    if (d->st) {
        call_error(d->call, d->st, &d->err);
    } else {
        call_answer(d->call);
    }
}

static void hand_back(struct direct_call *d)
{
    http_req_post(d->call->req, finish, d);
}

/* Whether clients may send files there, or get them, themselves. */
static bool has_direct(struct call *c, const struct artifact_place *at)
{
    return at->outside ? outside_has_direct(at->outside) : artifact_direct_is_on(c->core);
}

/* From a read: the rest runs where waiting is allowed. */
static enum status go_on(struct call *c, struct direct_call *d,
                         void (*run)(struct exec_job *job, unsigned worker), struct err *err)
{
    d->call = c;
    d->work.run = run;
    return outside_work_submit(c->core, &d->put.place, &d->work)
               ? err_set(err, ST_UNAVAILABLE, "too many transfers are waiting; try again")
               : ST_END;
}

/* The file that the URL's folder and the name of the client's file make. */
static enum status place_of(struct call *c, struct view *v, struct str local,
                            struct artifact_place *out, struct err *err)
{
    struct str dir = call_capture(c, "path"), path;
    size_t at = local.n;
    enum status st;

    while (at && local.p[at - 1] != '/' && local.p[at - 1] != '\\') {
        at--;
    }
    local = str_sub(local, at, local.n);
    if (!local.n) {
        return err_field(err, ST_INVALID, "path", "Invalid path");
    }
    path = arena_printf(c->arena, "%.*s/%.*s", STR_ARG(dir), STR_ARG(local));
    if (!path.p) {
        return err_nomem(err);
    }
    st = artifact_proxy_place(v, path, out, err);
    return !st && !has_direct(c, out) ? no_multipart(err) : st;
}

/* ---- creating -------------------------------------------------------------------------------------------------------------------- */

static void create_work(struct exec_job *job, unsigned worker)
{
    struct direct_call *d = CONTAINER_OF(job, struct direct_call, work);
    struct call *c = d->call;
    const struct mlflow_create_multipart_upload *in = c->in;
    struct mlflow_create_multipart_upload_response *out =
        ARENA_NEW(c->arena, struct mlflow_create_multipart_upload_response);
    size_t n = (in->has & MLFLOW_CREATE_MULTIPART_UPLOAD_HAS_NUM_PARTS) ? (size_t)in->num_parts : 1;
    struct str id, *urls = ARENA_ARRAY(c->arena, struct str, n);

    (void)worker;
    if (out) {
        out->credentials = ARENA_ARRAY(c->arena, struct mlflow_multipart_upload_credential, n);
    }
    d->st = !out || !urls || !out->credentials ? err_nomem(&d->err)
            : d->put.place.outside
                ? outside_direct_begin(&d->put.place, c->arena, (unsigned)n, &id, urls, &d->err)
                : artifact_direct_begin(c->core, c->arena, (unsigned)n, &id, urls, &d->err);
    if (!d->st) {
        MSG_SET(out, MLFLOW_CREATE_MULTIPART_UPLOAD_RESPONSE_HAS_UPLOAD_ID, upload_id, id);
        out->has |= MLFLOW_CREATE_MULTIPART_UPLOAD_RESPONSE_HAS_CREDENTIALS;
        out->credentials_n = n;
        for (size_t i = 0; i < n; i++) {
            struct mlflow_multipart_upload_credential *one = &out->credentials[i];

            MSG_SET(one, MLFLOW_MULTIPART_UPLOAD_CREDENTIAL_HAS_URL, url, urls[i]);
            MSG_SET(one, MLFLOW_MULTIPART_UPLOAD_CREDENTIAL_HAS_PART_NUMBER, part_number,
                    (int64_t)i + 1);
        }
        c->out = out;
    }
    hand_back(d);
}

/* The call, and the file that it is about. */
static enum status begin(struct call *c, struct view *v, struct str local, struct direct_call **out,
                         struct err *err)
{
    enum status st = mlflow_proxy_is_on(c);

    if (!st && !artifact_direct_is_on(c->core) && !outside_has_direct_any(c->core->outside)) {
        st = no_multipart(err);
    }
    if (!st) {
        *out = ARENA_NEW(c->arena, struct direct_call);
        st = *out ? OK : err_nomem(err);
    }
    if (!st) {
        artifact_put_init(&(*out)->put, c->core, c->arena);
        st = place_of(c, v, local, &(*out)->put.place, err);
    }
    return st;
}

static enum status create(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_create_multipart_upload *in = c->in;
    struct direct_call *d;
    enum status st = begin(c, v, in->path, &d, err);

    return st ? st : go_on(c, d, create_work, err);
}

/* ---- completing ------------------------------------------------------------------------------------------------------------------- */

static void put_done(struct write_op *op)
{
    struct direct_call *d = op->user;

    d->st = op->st;
    d->err = op->err;
    hand_back(d);
}

static void complete_work(struct exec_job *job, unsigned worker)
{
    struct direct_call *d = CONTAINER_OF(job, struct direct_call, work);
    struct call *c = d->call;
    const struct mlflow_complete_multipart_upload *in = c->in;
    struct artifact_part *parts = ARENA_ARRAY(c->arena, struct artifact_part, in->parts_n);

    (void)worker;
    for (size_t i = 0; parts && i < in->parts_n; i++) {
        int64_t number = in->parts[i].part_number;

        parts[i].number = number > 0 && number <= UINT16_MAX ? (unsigned)number : 0;
        parts[i].etag = in->parts[i].etag;
    }
    if (parts && d->put.place.outside) {
        d->st =
            outside_direct_end(&d->put.place, c->arena, in->upload_id, parts, in->parts_n, &d->err);
        hand_back(d);
        return;
    }
    d->st = parts ? artifact_direct_end(c->core, c->arena, in->upload_id, parts, in->parts_n,
                                        &d->upload, &d->err)
                  : err_nomem(&d->err);
    if (!d->st) {
        d->put.upload = &d->upload;
        d->put.op.done = put_done;
        d->put.op.user = d;
        d->put.op.bytes = 1024;
        if (artifact_put_submit(&d->put) == OK) {
            return; /* the call belongs to the sequencer now */
        }
        artifact_upload_abort(&d->upload);
        d->st = err_set(&d->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
    }
    hand_back(d);
}

static enum status complete(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_complete_multipart_upload *in = c->in;
    struct direct_call *d;
    enum status st = begin(c, v, in->path, &d, err);

    return st ? st : go_on(c, d, complete_work, err);
}

/* ---- giving up -------------------------------------------------------------------------------------------------------------------- */

static void abort_work(struct exec_job *job, unsigned worker)
{
    struct direct_call *d = CONTAINER_OF(job, struct direct_call, work);
    const struct mlflow_abort_multipart_upload *in = d->call->in;

    (void)worker;
    d->st = d->put.place.outside ? outside_direct_abort(&d->put.place, in->upload_id, &d->err)
                                 : artifact_direct_abort(d->call->core, in->upload_id, &d->err);
    hand_back(d);
}

static enum status give_up(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_abort_multipart_upload *in = c->in;
    struct direct_call *d;
    enum status st = begin(c, v, in->path, &d, err);

    return st ? st : go_on(c, d, abort_work, err);
}

/* ---- downloads -------------------------------------------------------------------------------------------------------------------- */

static enum status put_url(struct call *c, struct direct_call *d, struct str url, struct err *err)
{
    if (d->of_run) {
        struct mlflow_create_presigned_download_url_response *out =
            ARENA_NEW(c->arena, struct mlflow_create_presigned_download_url_response);

        if (!out) {
            return err_nomem(err);
        }
        MSG_SET(out, MLFLOW_CREATE_PRESIGNED_DOWNLOAD_URL_RESPONSE_HAS_PRESIGNED_URL, presigned_url,
                url);
        MSG_SET(out, MLFLOW_CREATE_PRESIGNED_DOWNLOAD_URL_RESPONSE_HAS_FILE_SIZE, file_size,
                d->bytes.size);
        c->out = out;
    } else {
        struct mlflow_get_presigned_download_url_response *out =
            ARENA_NEW(c->arena, struct mlflow_get_presigned_download_url_response);

        if (!out) {
            return err_nomem(err);
        }
        MSG_SET(out, MLFLOW_GET_PRESIGNED_DOWNLOAD_URL_RESPONSE_HAS_URL, url, url);
        MSG_SET(out, MLFLOW_GET_PRESIGNED_DOWNLOAD_URL_RESPONSE_HAS_FILE_SIZE, file_size,
                d->bytes.size);
        c->out = out;
    }
    return OK;
}

static void get_work(struct exec_job *job, unsigned worker)
{
    struct direct_call *d = CONTAINER_OF(job, struct direct_call, work);
    struct call *c = d->call;
    struct str url;

    (void)worker;
    d->st = artifact_direct_get(c->core, c->arena, &d->bytes, d->seconds, &url, &d->err);
    d->st = d->st ? d->st : put_url(c, d, url, &d->err);
    hand_back(d);
}

static enum status presigned(struct call *c, struct view *v, struct err *err)
{
    struct direct_call *d = ARENA_NEW(c->arena, struct direct_call);
    enum status st = mlflow_proxy_is_on(c);
    bool has = false;

    if (st) {
        return st;
    }
    if (!d) {
        return err_nomem(err);
    }
    d->seconds = PRESIGNED_S;
    if (artifact_direct_is_on(c->core) || outside_has_direct_any(c->core->outside)) {
        st = artifact_proxy_place(v, call_capture(c, "path"), &d->put.place, err);
        has = st || has_direct(c, &d->put.place);
    }
    if (!has) {
        return err_set(
            err, ST_NOT_IMPLEMENTED,
            "Presigned URLs are not supported for the current artifact repository: get the file through the artifact "
            "proxy");
    }
    st = st ? st : artifact_open(v, &d->put.place, &d->bytes, err);
    return st ? st : go_on(c, d, get_work, err);
}

/* ---- the same by run: for runs whose artifacts the clients reach themselves ------------------------------------------------ */

/* The scheme of a URI whose bytes this server keeps or hands through; p NULL for others. */
static struct str proxied_scheme(struct str uri)
{
    static const char *const schemes[] = { "mlflow-artifacts", "http", "https" };
    struct str rest = uri, scheme;

    if (str_split(&rest, ':', &scheme) && rest.p) {
        for (size_t i = 0; i < ARRAY_N(schemes); i++) {
            if (str_eq_nocase(scheme, str_cstr(schemes[i]))) {
                return str_cstr(schemes[i]);
            }
        }
    }
    return (struct str){ NULL, 0 };
}

static enum status not_for_proxied(const char *what, const char *whose, const char *need,
                                   struct str scheme, struct err *err)
{
    return err_set(err, ST_INVALID,
                   "Presigned %s is not supported for %sproxied artifact storage (artifact URI "
                   "scheme: %.*s). This endpoint requires a %sdirect cloud storage artifact URI.",
                   what, whose, STR_ARG(scheme), need);
}

/* ---- and whose artifacts lie in a bucket of others ------------------------------------------------------------------------------ */

enum { PRESIGNED_MAX_S = 604800 };

static enum status check_expiration(int64_t seconds, struct err *err)
{
    return seconds >= 1 && seconds <= PRESIGNED_MAX_S
               ? OK
               : err_field(err, ST_INVALID, "expiration",
                           "expiration must be between 1 and %d seconds (got %" PRId64 ").",
                           PRESIGNED_MAX_S, seconds);
}

static enum status not_supported(const char *what, struct err *err)
{
    return err_set(err, ST_NOT_IMPLEMENTED,
                   "Presigned %s is not supported for the current artifact repository", what);
}

/* The file of a path below a URI that no proxy serves: not supported where clients cannot reach it. */
static enum status direct_place(struct call *c, struct view *v, struct str uri, int64_t owner,
                                struct str path, const char *what, struct direct_call *d,
                                struct err *err)
{
    struct err why = ERR_INIT;
    enum status st = artifact_uri_place(v, uri, owner, path, &d->put.place, &why);

    if (st == ST_NOMEM) {
        *err = why;
        return st;
    }
    return st || !has_direct(c, &d->put.place) ? not_supported(what, err) : OK;
}

static void put_work(struct exec_job *job, unsigned worker)
{
    struct direct_call *d = CONTAINER_OF(job, struct direct_call, work);
    struct call *c = d->call;
    struct mlflow_create_presigned_upload_url_response *out =
        ARENA_NEW(c->arena, struct mlflow_create_presigned_upload_url_response);
    struct str url;

    (void)worker;
    d->st = out ? outside_direct_put(&d->put.place, c->arena, d->seconds, &url, &d->err)
                : err_nomem(&d->err);
    if (!d->st) {
        MSG_SET(out, MLFLOW_CREATE_PRESIGNED_UPLOAD_URL_RESPONSE_HAS_PRESIGNED_URL, presigned_url,
                url);
        c->out = out;
    }
    hand_back(d);
}

/* A URL for one PUT: the file has its name when the service has all of it. */
static enum status upload_outside(struct call *c, struct view *v, struct str uri, int64_t owner,
                                  struct err *err)
{
    const struct mlflow_create_presigned_upload_url *in = c->in;
    struct direct_call *d = ARENA_NEW(c->arena, struct direct_call);
    enum status st =
        d ? direct_place(c, v, uri, owner, in->path, "upload", d, err) : err_nomem(err);

    if (!st && !outside_writes(d->put.place.outside)) {
        return not_supported("upload", err);
    }
    st = st ? st : check_expiration(in->expiration, err);
    if (!st) {
        d->seconds = in->expiration;
        st = go_on(c, d, put_work, err);
    }
    return st;
}

static enum status presigned_upload(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_create_presigned_upload_url *in = c->in;
    struct str uri, scheme;
    int64_t owner = 0;
    enum status st;

    if ((in->run_id.n > 0) == (in->model_id.n > 0)) {
        return err_set(err, ST_INVALID, "Exactly one of run_id and model_id must be provided.");
    }
    st = name_check_artifact_path(in->path, err);
    if (!st && in->run_id.n) {
        struct run_view r;

        st = run_get(v, in->run_id, &r, err);
        uri = st ? S("") : r.artifact_uri;
        owner = st ? 0 : r.uid;
    } else if (!st) {
        struct logged_model m;

        st = logged_model_get(v, in->model_id, false, &m, err);
        uri = st ? S("") : m.artifact_uri;
    }
    if (st) {
        return st;
    }
    scheme = proxied_scheme(uri);
    return scheme.p ? not_for_proxied("upload", "", "", scheme, err)
                    : upload_outside(c, v, uri, owner, err);
}

/* Where the bytes lie in a bucket that clients may reach (--s3-direct), files of the proxy have a URL too. */
static enum status presigned_download(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_create_presigned_download_url *in = c->in;
    struct direct_call *d = ARENA_NEW(c->arena, struct direct_call);
    struct run_view r;
    struct str scheme;
    enum status st = d ? name_check_artifact_path(in->path, err) : err_nomem(err);

    st = st ? st : check_expiration(in->expiration, err);
    st = st ? st : run_get(v, in->run_id, &r, err);
    if (st) {
        return st;
    }
    scheme = proxied_scheme(r.artifact_uri);
    if (!scheme.p) {
        st = direct_place(c, v, r.artifact_uri, r.uid, in->path, "download", d, err);
        if (st) {
            return st;
        }
    }
    if (scheme.p && (!artifact_direct_is_on(c->core) || !c->api->serve_artifacts)) {
        return not_for_proxied("download", "runs with ", "run with a ", scheme, err);
    }
    d->of_run = true;
    d->seconds = in->expiration;
    if (scheme.p) {
        st = artifact_uri_place(v, r.artifact_uri, r.uid, in->path, &d->put.place, err);
    }
    st = st ? st : artifact_open(v, &d->put.place, &d->bytes, err);
    return st ? st : go_on(c, d, get_work, err);
}

#define PROXY "/api/2.0/mlflow-artifacts/"

#define PATH "/api/2.0/mlflow/"

const struct route mlflow_direct_routes[] = {
    ROUTE(HTTP_POST, PATH "artifacts/presigned-upload-url",
          &mlflow_create_presigned_upload_url_desc,
          &mlflow_create_presigned_upload_url_response_desc, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_WRITE, READ(presigned_upload)),
    ROUTE(HTTP_POST, PATH "artifacts/presigned-download-url",
          &mlflow_create_presigned_download_url_desc,
          &mlflow_create_presigned_download_url_response_desc, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_READ, READ(presigned_download)),
    ROUTE(HTTP_POST, PROXY "mpu/create/{path*}", &mlflow_create_multipart_upload_desc,
          &mlflow_create_multipart_upload_response_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE,
          READ(create)),
    ROUTE(HTTP_POST, PROXY "mpu/complete/{path*}", &mlflow_complete_multipart_upload_desc, NULL,
          RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE, READ(complete)),
    ROUTE(HTTP_POST, PROXY "mpu/abort/{path*}", &mlflow_abort_multipart_upload_desc, NULL,
          RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE, READ(give_up)),
    ROUTE(HTTP_GET, PROXY "presigned/{path*}", NULL,
          &mlflow_get_presigned_download_url_response_desc, RESOURCE_ARTIFACT, ACTION_ARTIFACT_READ,
          READ(presigned)),
};
const size_t mlflow_direct_routes_n = ARRAY_N(mlflow_direct_routes);
