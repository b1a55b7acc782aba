/* api/mlflow/artifacts.c - artifact listing, the artifact proxy, downloads and uploads. */
#include "api/mlflow/mlflow_int.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/artifact.h"
#include "core/names.h"

enum { LIST_PAGE = 100000, UPLOAD_MAX = 10 * 1024 * 1024 };

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
    if (n == 1 && !infos[0].is_dir && prefix.n && str_ends(prefix, infos[0].name) && !token.n) {
        struct artifact_bytes b;
        struct err ignored = ERR_INIT;

        if (artifact_open(v, &place, &b, &ignored) == OK) {
            if (b.fd >= 0) {
                sys.close(b.fd);
            }
            prefix.n -= infos[0].name.n;
            prefix.n -= prefix.n ? 1 : 0;
        }
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

/* ---- downloads ---------------------------------------------------------------------------------------------------------------- */

static const char *type_of(struct str name)
{
    static const struct {
        struct str suffix;
        const char *type;
    } types[] = {
        { S_INIT(".txt"), "text/plain; charset=utf-8" },
        { S_INIT(".log"), "text/plain; charset=utf-8" },
        { S_INIT(".md"), "text/plain; charset=utf-8" },
        { S_INIT(".yaml"), "text/plain; charset=utf-8" },
        { S_INIT(".yml"), "text/plain; charset=utf-8" },
        { S_INIT("MLmodel"), "text/plain; charset=utf-8" },
        { S_INIT(".py"), "text/plain; charset=utf-8" },
        { S_INIT(".csv"), "text/csv; charset=utf-8" },
        { S_INIT(".json"), "application/json" },
        { S_INIT(".html"), "text/html; charset=utf-8" },
        { S_INIT(".png"), "image/png" },
        { S_INIT(".jpg"), "image/jpeg" },
        { S_INIT(".jpeg"), "image/jpeg" },
        { S_INIT(".gif"), "image/gif" },
        { S_INIT(".webp"), "image/webp" },
        { S_INIT(".svg"), "image/svg+xml" },
        { S_INIT(".pdf"), "application/pdf" },
        { S_INIT(".zip"), "application/zip" },
        { S_INIT(".gz"), "application/gzip" },
        { S_INIT(".mp4"), "video/mp4" },
        { S_INIT(".wav"), "audio/wav" },
        { S_INIT(".mp3"), "audio/mpeg" },
    };

    for (size_t i = 0; i < ARRAY_N(types); i++) {
        if (str_ends(name, types[i].suffix)) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* RFC 6266: an ASCII form, and the exact one percent-encoded (RFC 8187). */
static void add_disposition(struct call *c, struct str name)
{
    struct buf b = BUF_INIT(8192);

    buf_put_lit(&b, "attachment; filename=\"");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char u = (unsigned char)name.p[i];

        buf_put_u8(&b, u < 0x20 || u >= 0x7f || u == '"' || u == '\\' ? '_' : u);
    }
    buf_put_lit(&b, "\"; filename*=UTF-8''");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char u = (unsigned char)name.p[i];
        bool plain = (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') ||
                     u == '.' || u == '-' || u == '_' || u == '~';

        if (plain) {
            buf_put_u8(&b, u);
        } else {
            buf_printf(&b, "%%%02X", u);
        }
    }
    if (!b.failed) {
        http_add_header(c->req, S("content-disposition"), buf_str(&b));
    }
    buf_release(&b);
}

/* HTML and SVG never run in the server's origin: they are attachments, sandboxed. */
static void add_fields(struct call *c, struct str name, const struct digest *sha256)
{
    char hex[65];

    digest_hex(sha256, hex);
    http_type(c->req, type_of(name));
    add_disposition(c, name);
    http_add_header(c->req, S("content-security-policy"), S("sandbox; default-src 'none'"));
    http_add_headerf(c->req, S("etag"), "\"%s\"", hex);
}

/* ---- bytes that lie elsewhere come piece by piece, on threads that may wait ---------------------------------------------- */

enum { REMOTE_PIECE = 128 * 1024 };

struct remote_get {
    struct call *call;
    struct exec_job work;
    struct str name;
    struct artifact_bytes bytes;
    struct blob_reader *reader;
    uint64_t from, n; /* what the client wants of it */
    char *piece;
    size_t have; /* bytes in the piece that the client has not been given */
    struct err err;
};

static void remote_more(struct exec_job *job, unsigned worker)
{
    struct remote_get *g = CONTAINER_OF(job, struct remote_get, work);
    size_t got;

    (void)worker;
    if (artifact_read(g->reader, g->piece, REMOTE_PIECE, &got, &g->err)) {
        LOG_WARN("artifacts", "a download broke off: %s", g->err.message);
        http_give(g->call->req, S(""), HTTP_GIVE_ABORT);
        return;
    }
    http_give(g->call->req, str_of(g->piece, got), HTTP_GIVE_MORE);
}

static void remote_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct remote_get *g = ctx;

    (void)at; /* bytes are asked for in order */
    if (g->have) {
        size_t n = g->have;

        g->have = 0;
        http_give(req, str_of(g->piece, n), HTTP_GIVE_MORE);
        return;
    }
    g->work.run = remote_more;
    if (artifact_work_submit(g->call->core, &g->work)) {
        http_give(req, S(""), HTTP_GIVE_ABORT);
    }
}

static void remote_done(struct http_req *req, void *ctx)
{
    struct remote_get *g = ctx;

    (void)req;
    artifact_read_end(g->reader);
    g->reader = NULL;
}

/* The first bytes are fetched before the answer begins, so that what fails is still an error with a status. */
static void remote_first(struct exec_job *job, unsigned worker)
{
    static const struct http_producer producer = { .pull = remote_pull, .done = remote_done };
    struct remote_get *g = CONTAINER_OF(job, struct remote_get, work);
    struct http_req *req = g->call->req;
    uint64_t size = (uint64_t)g->bytes.size;
    bool some = http_wanted(req, size, &g->from, &g->n);
    enum status st = OK;

    (void)worker;
    if (req->method == HTTP_HEAD) {
        st = artifact_read_check(g->call->core, &g->bytes, &g->err);
    } else if (some) {
        st = artifact_read_begin(g->call->core, &g->bytes, g->from, g->n, &g->reader, &g->err);
        st = st ? st : artifact_read(g->reader, g->piece, REMOTE_PIECE, &g->have, &g->err);
    }
    if (st) {
        artifact_read_end(g->reader);
        call_error(g->call, st, &g->err);
        return;
    }
    add_fields(g->call, g->name, &g->bytes.sha256);
    http_allow_range(req);
    http_send_stream(req, g->bytes.size, &producer, g);
}

static enum status send_remote(struct call *c, struct str name, const struct artifact_bytes *b,
                               struct err *err)
{
    struct remote_get *g = ARENA_NEW(c->arena, struct remote_get);

    if (g) {
        g->piece = arena_alloc(c->arena, REMOTE_PIECE);
    }
    if (!g || !g->piece) {
        return err_nomem(err);
    }
    g->call = c;
    g->name = name;
    g->bytes = *b;
    g->work.run = remote_first;
    return artifact_work_submit(c->core, &g->work)
               ? err_set(err, ST_UNAVAILABLE, "too many transfers are waiting; try again")
               : ST_END;
}

/* Sends the file at a place and ends the call. */
/* The client has these bytes already: If-None-Match names them (RFC 9110 13.1.2, weak comparison). */
static bool is_known(const struct call *c, const char *hex)
{
    struct str list, tag;

    for (size_t i = 0; (list = http_header_nth(c->req, S("if-none-match"), i)).p; i++) {
        while (str_split(&list, ',', &tag)) {
            tag = str_trim(tag);
            if (str_starts(tag, S("W/"))) tag = str_sub(tag, 2, tag.n);
            if (str_eq_lit(tag, "*") || (tag.n == 66 && tag.p[0] == '"' && tag.p[65] == '"' &&
                                         str_eq(str_sub(tag, 1, 64), str_cstr(hex)))) {
                return true;
            }
        }
    }
    return false;
}

static enum status send_place(struct call *c, struct view *v, const struct artifact_place *place,
                              struct err *err)
{
    struct artifact_bytes b;
    struct str name = place->path;
    enum status st = artifact_open(v, place, &b, err);
    char hex[65];

    if (st) {
        return st;
    }
    digest_hex(&b.sha256, hex);
    if (is_known(c, hex)) {
        if (!b.is_remote && b.fd >= 0) (void)sys.close(b.fd);
        http_status(c->req, 304);
        http_add_headerf(c->req, S("etag"), "\"%s\"", hex);
        http_send_empty(c->req);
        return ST_END;
    }
    for (size_t at = str_find_byte(name, '/', 0); at != SIZE_MAX;
         at = str_find_byte(name, '/', 0)) {
        name = str_sub(name, at + 1, name.n);
    }
    if (b.is_remote) {
        return send_remote(c, name, &b, err);
    }
    add_fields(c, name, &b.sha256);
    if (b.fd >= 0) {
        http_send_file(c->req, b.fd, 0, (uint64_t)b.size);
    } else {
        http_allow_range(c->req);
        http_send(c->req, b.inline_bytes);
    }
    return ST_END;
}

static enum status get_run_artifact(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_run_artifact *in = c->in;
    struct artifact_place place;
    struct run_view r;
    enum status st = name_check_artifact_path(in->path, err);

    st = st ? st : run_get(v, in->run_id, &r, err);
    st = st ? st : artifact_uri_place(v, r.artifact_uri, r.uid, in->path, &place, err);
    return st ? st : send_place(c, v, &place, err);
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
    return st ? st : send_place(c, v, &place, err);
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
    return st ? st : send_place(c, v, &place, err);
}

static enum status proxy_list(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_proxy_list_artifacts *in = c->in;
    struct mlflow_proxy_list_artifacts_response *out =
        ARENA_NEW(c->arena, struct mlflow_proxy_list_artifacts_response);
    struct artifact_place place;
    struct artifact_info *infos;
    size_t n;
    bool more;
    enum status st = mlflow_proxy_is_on(c);

    if (!st && !out) {
        return err_nomem(err);
    }
    st = st ? st : artifact_proxy_place(v, in->path, &place, err);
    st = st ? st : artifact_list(v, &place, S(""), SIZE_MAX, &infos, &n, &more, err);
    if (st) {
        return st;
    }
    out->files = put_files(c->arena, infos, n, S(""));
    out->files_n = n;
    c->out = out;
    return out->files ? OK : err_nomem(err);
}

static enum status no_presigned(struct call *c, struct err *err)
{
    (void)c;
    return err_set(
        err, ST_NOT_IMPLEMENTED,
        "Presigned URLs are not supported for the current artifact repository: send or get the file through the "
        "artifact proxy");
}

static enum status no_presigned_upload(struct call *c, struct err *err)
{
    (void)c;
    return err_set(
        err, ST_INVALID,
        "Presigned upload URLs are not available for artifacts that the server keeps: use the "
        "artifact proxy");
}

/* ---- uploads: pieces go from the loop to a thread that hashes and writes, one at a time ---------------------------------------- */

struct put_call {
    struct call *call;
    struct read_job where; /* finds the place */
    struct exec_job work;  /* hashes and writes */
    enum { WORK_PIECE, WORK_END, WORK_FAIL } what;
    struct str bytes;
    struct artifact_upload upload;
    struct artifact_put put;
    struct str path;   /* proxy path; or below the run's artifacts */
    struct str run_id; /* upload-artifact */
    enum status st;
    struct err err;
};

static void finish_put(struct http_req *req, void *ctx)
{
    struct put_call *p = ctx;

    (void)req;
    if (p->st) {
        call_error(p->call, p->st, &p->err);
    } else {
        call_answer(p->call);
    }
}

static void put_done(struct write_op *op)
{
    struct put_call *p = op->user;

    p->st = op->st;
    p->err = op->err;
    http_req_post(p->call->req, finish_put, p);
}

static void work(struct exec_job *job, unsigned worker);

static void on_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                     const struct err *err)
{
    struct put_call *p = ctx;

    (void)req;
    p->what = what == HTTP_PIECE_DATA ? WORK_PIECE : what == HTTP_PIECE_END ? WORK_END : WORK_FAIL;
    p->bytes = bytes;
    if (what == HTTP_PIECE_FAIL) {
        p->err = *err;
    }
    p->work.run = work;
    if (artifact_work_submit(p->call->core, &p->work)) {
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many uploads are waiting; try again");
        artifact_upload_abort(&p->upload);
        finish_put(req, p);
    }
}

static void fail_put(struct put_call *p)
{
    artifact_upload_abort(&p->upload);
    call_error(p->call, p->st, &p->err);
}

/* The cap of upload-artifact, also for bodies that do not say their length. */
static enum status check_size(struct put_call *p, uint64_t size)
{
    return !p->run_id.p || size <= UPLOAD_MAX
               ? OK
               : err_field(&p->err, ST_INVALID, "data",
                           "Artifact size is too large. Max size is 10MB.");
}

static void work(struct exec_job *job, unsigned worker)
{
    struct put_call *p = CONTAINER_OF(job, struct put_call, work);

    (void)worker;
    switch (p->what) {
    case WORK_FAIL:
        artifact_upload_abort(&p->upload);
        http_send_error(p->call->req, &p->err);
        return;
    case WORK_PIECE:
        p->st = check_size(p, p->upload.size + p->bytes.n);
        p->st = p->st ? p->st : artifact_upload_piece(&p->upload, p->bytes, &p->err);
        if (p->st) {
            fail_put(p);
        } else {
            http_body_read(p->call->req, on_piece, p);
        }
        return;
    case WORK_END: break;
    }
    if (p->run_id.p && p->upload.size == 0) {
        p->st = err_field(&p->err, ST_INVALID, "data", "Request must specify data.");
    } else {
        p->st = artifact_upload_end(&p->upload, &p->err);
    }
    if (!p->st) {
        p->put.upload = &p->upload;
        p->put.op.done = put_done;
        p->put.op.user = p;
        p->put.op.bytes = p->upload.in_blob ? 1024 : p->upload.small_n;
        /* Once submitted, the call belongs to the sequencer: nothing of it may be touched here. */
        if (seq_submit(p->call->core->seq, &p->put.op) == OK) {
            return;
        }
        p->st = err_set(&p->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
    }
    fail_put(p);
}

/* On a pool thread: where do the bytes go? Then the first piece is asked for. */
static void find_place(struct read_job *job, struct view *v)
{
    struct put_call *p = CONTAINER_OF(job, struct put_call, where);
    struct run_view r;

    p->st = job->st;
    if (p->st) {
        p->err = job->err;
    } else if (p->run_id.p) {
        p->st = run_get(v, p->run_id, &r, &p->err);
        p->st = p->st
                    ? p->st
                    : artifact_uri_place(v, r.artifact_uri, r.uid, p->path, &p->put.place, &p->err);
    } else {
        p->st = artifact_proxy_place(v, p->path, &p->put.place, &p->err);
    }
    p->st =
        p->st ? p->st : artifact_upload_begin(&p->upload, p->call->core, p->call->arena, &p->err);
    if (p->st) {
        call_error(p->call, p->st, &p->err);
    } else {
        http_body_read(p->call->req, on_piece, p);
    }
}

static void begin_put(struct call *c, struct put_call *p)
{
    p->call = c;
    artifact_put_init(&p->put, c->core, c->arena);
    p->where = (struct read_job){ .run = find_place, .arena = c->arena };
    if (core_read_submit(c->core, &p->where)) {
        err_set(&p->err, ST_UNAVAILABLE, "too many reads are waiting; try again");
        call_error(c, ST_UNAVAILABLE, &p->err);
    }
}

static void proxy_put(struct call *c)
{
    struct put_call *p = ARENA_NEW(c->arena, struct put_call);

    if (mlflow_proxy_is_on(c)) {
        return;
    }
    if (!p) {
        call_error(c, err_nomem(&c->err), &c->err);
        return;
    }
    p->path = call_capture(c, "path");
    begin_put(c, p);
}

static void upload_artifact(struct call *c)
{
    struct put_call *p = ARENA_NEW(c->arena, struct put_call);
    struct mlflow_run_artifact in = { 0 };
    struct msg_ctx ctx = { .arena = c->arena, .flags = MSG_JSON_LENIENT };
    enum status st = p ? OK : err_nomem(&c->err);

    if (!st && msg_decode_query(&mlflow_run_artifact_desc, &in,
                                c->req->query.p ? c->req->query : S(""), &ctx, &c->err)) {
        st = err_field(&c->err, ST_INVALID, in.run_id.n ? "path" : "run_uuid",
                       "Request must specify %s.", in.run_id.n ? "path" : "run_uuid");
    }
    st = st ? st : name_check_artifact_path(in.path, &c->err);
    if (!st && c->req->content_length != UINT64_MAX && c->req->content_length > UPLOAD_MAX) {
        st =
            err_field(&c->err, ST_INVALID, "data", "Artifact size is too large. Max size is 10MB.");
    }
    if (st) {
        call_error(c, st, &c->err);
        return;
    }
    p->path = in.path;
    p->run_id = in.run_id;
    begin_put(c, p);
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
        if (seq_submit(d->call->core->seq, &d->op.op) == OK) {
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
    ROUTE(HTTP_POST, PATH "artifacts/presigned-upload-url", NULL, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_WRITE, DIRECT(no_presigned_upload)),
    ROUTE(HTTP_POST, PATH "artifacts/presigned-download-url", NULL, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_READ, DIRECT(no_presigned)),
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
