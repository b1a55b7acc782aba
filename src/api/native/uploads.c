/* api/native/uploads.c - uploads that go on where they stopped, as clients of the tus protocol (1.0.0) make them. */
#include "api/bytes.h"
#include "api/native/native.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/utf8.h"
#include "codec/base64.h"
#include "core/names.h"
#include "gen/native/artifacts.h"
#include "store/seq.h"
#include <inttypes.h>

#define STREAM(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_STREAM, .stream = (fn))

enum { LOCKED_RETRY_S = 1, DAMAGED = 460 /* as tus calls it */ };

#define VERSION "1.0.0"

/* ---- answers ------------------------------------------------------------------------------------------------------------------- */

static void say(struct call *c, int http, enum status st, const struct err *err)
{
    struct buf body = BUF_INIT(64 * 1024);

    http_status(c->req, http);
    native_tongue.error(c->req, http, st, err, &body);
    http_send_buf(c->req, &body);
}

/* Every answer says which version it is of. False: the client speaks another one, and has been told. */
static bool speaks_tus(struct call *c)
{
    struct str version = http_header(c->req, S("tus-resumable"));

    http_add_header(c->req, S("Tus-Resumable"), S(VERSION));
    http_add_header(c->req, S("Cache-Control"), S("no-store"));
    if (http_header(c->req, S("origin"))
            .p) { /* where it is allowed one: what its scripts may read */
        http_add_header(c->req, S("Access-Control-Expose-Headers"),
                        S("Location, Repr-Digest, Retry-After, Tus-Resumable, Tus-Version, "
                          "Upload-Expires, Upload-Length, Upload-Offset"));
    }
    if (str_eq_lit(version, VERSION)) {
        return true;
    }
    http_add_header(c->req, S("Tus-Version"), S(VERSION));
    err_set(&c->err, ST_INVALID, "an upload that goes on later is made with Tus-Resumable: 1.0.0");
    err_hint(&c->err, "send the field with every request; a PUT of the file needs none of this");
    say(c, 412, ST_INVALID, &c->err);
    return false;
}

static void add_offset(struct call *c, uint64_t have)
{
    http_add_headerf(c->req, S("Upload-Offset"), "%" PRIu64, have);
}

/* When an open one ends if nobody goes on with it. */
static void add_expires(struct call *c, int64_t until_ms)
{
    char date[32];

    clock_http_date(until_ms, date);
    http_add_headerf(c->req, S("Upload-Expires"), "%s", date);
}

static void is_locked(struct call *c)
{
    err_set(&c->err, ST_CONFLICT, "another request goes on with the upload; try again");
    http_add_headerf(c->req, S("Retry-After"), "%d", LOCKED_RETRY_S);
    say(c, 423, ST_CONFLICT, &c->err);
}

/* A failure of an operation on the upload; have and size as resume_take() left them. */
static void fail(struct call *c, enum status st, const struct err *err, uint64_t have)
{
    if (st == ST_CONFLICT) {
        add_offset(c, have);
    }
    call_error(c, st, err);
}

static enum status number_of(struct call *c, const char *field, uint64_t *out)
{
    struct str s = http_header(c->req, str_cstr(field));

    if (!num_parse_u64(s, out) || *out > INT64_MAX) {
        return err_field(&c->err, ST_INVALID, field,
                         "the field %s is missing, or no number of bytes", field);
    }
    return OK;
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------------- */

struct begin {
    struct call *call;
    struct cairn_v1_artifact_upload in;
    struct read_job where;
    struct resume_create op;
};

/* "name base64, name base64": what is known of it. */
static enum status take_metadata(struct begin *b, struct str list)
{
    struct call *c = b->call;
    struct str pair, name;

    while (str_split(&list, ',', &pair)) {
        struct str value = str_trim(pair);
        bool nomem = false;

        if (!str_split(&value, ' ', &name)) {
            continue;
        }
        value = str_trim(value);
        if (!base64_decode(value, c->arena, &value, &nomem)) {
            return nomem ? err_nomem(&c->err)
                         : err_field(&c->err, ST_INVALID, "upload-metadata",
                                     "the value of '%.*s' is not base64", STR_ARG(name));
        }
        if (!utf8_valid(value)) {
            return err_field(&c->err, ST_INVALID, "upload-metadata",
                             "the value of '%.*s' is not UTF-8", STR_ARG(name));
        }
        if (str_eq_lit(name, "run_id")) {
            b->in.run_id = value;
        } else if (str_eq_lit(name, "model_id")) {
            b->in.model_id = value;
        } else if (str_eq_lit(name, "path")) {
            b->in.path = value;
        } else if (str_eq_lit(name, "fingerprint")) {
            b->op.mark = value;
        } else if (str_eq_lit(name, "sha256")) {
            b->op.has_expect = digest_parse(value, &b->op.expect);
            if (!b->op.has_expect) {
                return err_field(&c->err, ST_INVALID, "upload-metadata",
                                 "sha256 is not 64 hex digits");
            }
        }
    }
    return b->op.mark.n > RESUME_MARK_MAX
               ? err_field(&c->err, ST_INVALID, "upload-metadata", "fingerprint exceeds %d bytes",
                           RESUME_MARK_MAX)
               : OK;
}

static void finish_begin(struct http_req *req, void *ctx)
{
    struct begin *b = ctx;

    if (b->op.op.st) {
        call_error(b->call, b->op.op.st, &b->op.op.err);
        return;
    }
    http_status(req, 201);
    http_add_headerf(req, S("Location"), "uploads/%s", b->op.id);
    add_offset(b->call, b->op.have);
    add_expires(b->call, b->op.until_ms);
    http_send_empty(req);
}

static void begin_done(struct write_op *op)
{
    struct begin *b = op->user;

    http_req_post(b->call->req, finish_begin, b);
}

static void find_place(struct read_job *job, struct view *v)
{
    struct begin *b = CONTAINER_OF(job, struct begin, where);
    struct call *c = b->call;
    enum status st = job->st;

    if (st) {
        c->err = job->err;
    } else {
        st = native_artifact_place(c->api, v, b->in.run_id, b->in.model_id, b->in.path,
                                   &b->op.place, &c->err);
    }
    st = st ? st : artifact_put_check(v, &b->op.place, &c->err);
    if (!st && b->op.place.outside) {
        st = err_field(&c->err, ST_INVALID, "path",
                       "files outside of the server's own store are sent in one PUT");
    }
    if (!st && seq_submit(c->core->seq, &b->op.op)) {
        st = err_set(&c->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
    }
    if (st) {
        call_error(c, st, &c->err);
    }
}

static void begin(struct call *c)
{
    struct begin *b = ARENA_NEW(c->arena, struct begin);
    struct msg_ctx ctx = { .arena = c->arena };
    enum status st = b ? OK : err_nomem(&c->err);
    struct str query = c->req->query.p ? c->req->query : S(""), list;

    if (!speaks_tus(c)) {
        return;
    }
    if (!st) {
        b->call = c;
        resume_create_init(&b->op, c->arena);
        b->op.mark = S("");
        st = msg_decode_query(&cairn_v1_artifact_upload_desc, &b->in, query, &ctx, &c->err);
    }
    for (size_t i = 0; !st && (list = http_header_nth(c->req, S("upload-metadata"), i)).p; i++) {
        st = take_metadata(b, list);
    }
    st = st ? st : number_of(c, "upload-length", &b->op.size);
    if (!st && !b->op.size) {
        st = err_field(&c->err, ST_INVALID, "upload-length",
                       "an empty file has nothing to go on with: send it in a PUT");
    }
    st = st ? st : name_check_artifact_path(b->in.path, &c->err);
    if (!st) {
        b->op.op.done = begin_done;
        b->op.op.user = b;
        b->where = (struct read_job){ .run = find_place, .arena = c->arena };
        if (core_read_submit(c->core, &b->where)) {
            st = err_set(&c->err, ST_UNAVAILABLE, "too many reads are waiting; try again");
        }
    }
    if (st) {
        call_error(c, st, &c->err);
    }
}

/* ---- how far it is ------------------------------------------------------------------------------------------------------------- */

struct look {
    struct call *call;
    struct read_job job;
};

static void look_up(struct read_job *job, struct view *v)
{
    struct look *l = CONTAINER_OF(job, struct look, job);
    struct call *c = l->call;
    struct resume_info info;
    enum status st = job->st;

    if (st) {
        c->err = job->err;
    } else {
        st = resume_look(v, call_capture(c, "id"), &info, &c->err);
    }
    if (st) {
        call_error(c, st, &c->err);
        return;
    }
    add_offset(c, info.have);
    http_add_headerf(c->req, S("Upload-Length"), "%" PRIu64, info.size);
    if (info.have < info.size) {
        add_expires(c, info.until_ms);
    }
    http_send_empty(c->req);
}

static void look(struct call *c)
{
    struct look *l = ARENA_NEW(c->arena, struct look);

    if (!speaks_tus(c)) {
        return;
    }
    /* What a request is about to save would be asked for twice. */
    if (resume_is_busy(c->core, call_capture(c, "id"))) {
        is_locked(c);
        return;
    }
    if (!l) {
        call_error(c, err_nomem(&c->err), &c->err);
        return;
    }
    l->call = c;
    l->job = (struct read_job){ .run = look_up, .arena = c->arena };
    if (core_read_submit(c->core, &l->job)) {
        call_error(c, err_set(&c->err, ST_UNAVAILABLE, "too many reads are waiting; try again"),
                   &c->err);
    }
}

/* ---- adding --------------------------------------------------------------------------------------------------------------------- */

struct add {
    struct bytes_put put;
    struct resume resume;
    struct resume_cancel cancel;
};

static void answer_added(struct add *a)
{
    struct bytes_put *p = &a->put;
    struct call *c = p->call;

    if (p->st == ST_CONFLICT && resume_is_busy(c->core, a->resume.id)) {
        is_locked(c);
        return;
    }
    if (p->is_damaged) {
        say(c, DAMAGED, p->st, &p->err);
        return;
    }
    if (p->st) {
        fail(c, p->st, &p->err, a->resume.have);
        return;
    }
    if (!p->is_whole) {
        add_expires(c, a->resume.until_ms);
    }
    add_offset(c, p->is_whole ? a->resume.size : a->resume.have);
    if (p->is_whole) {
        struct buf text = BUF_INIT(128);

        base64_put(&text, str_of(p->upload.sha256.b, sizeof(p->upload.sha256.b)), BASE64_STD);
        http_add_headerf(c->req, S("Repr-Digest"), "sha-256=:%.*s:", STR_ARG(buf_str(&text)));
        buf_release(&text);
    }
    http_status(c->req, 204);
    http_send_empty(c->req);
}

static void finish_given_up(struct http_req *req, void *ctx)
{
    (void)req;
    answer_added(ctx);
}

static void given_up(struct write_op *op)
{
    struct add *a = op->user;

    http_req_post(a->put.call->req, finish_given_up, a);
}

/* What is wrong with the whole will not be right another time, nor come back what is missing: then the upload ends. */
static bool is_hopeless(const struct bytes_put *p)
{
    return p->st == ST_NOT_FOUND ||
           (p->is_whole &&
            (p->st == ST_INVALID || p->st == ST_INVALID_STATE || p->st == ST_EXISTS));
}

static void put_answer(struct bytes_put *p)
{
    struct add *a = CONTAINER_OF(p, struct add, put);

    if (is_hopeless(p)) {
        resume_cancel_init(&a->cancel, p->call->arena, a->resume.id);
        a->cancel.op.user = a;
        a->cancel.op.done = given_up;
        if (seq_submit(p->call->core->seq, &a->cancel.op) == OK) {
            return;
        }
    }
    answer_added(a);
}

static void go_on(struct http_req *req, void *ctx)
{
    struct add *a = ctx;
    struct call *c = a->put.call;

    (void)req;
    if (a->resume.op.st) {
        fail(c, a->resume.op.st, &a->resume.op.err, a->resume.have);
    } else {
        bytes_put_resume(c, &a->put, &a->resume);
    }
}

static void taken(struct write_op *op)
{
    struct add *a = op->user;

    http_req_post(a->put.call->req, go_on, a);
}

static void free_sum(void *ctx)
{
    checksum_free(ctx);
}

/* "sha1 BASE64": of the body of this request. */
static enum status take_checksum(struct add *a, struct call *c)
{
    struct str said = http_header(c->req, S("upload-checksum")), name;
    bool is_sha1, nomem = false;

    if (!said.p) {
        return OK;
    }
    if (!str_split(&said, ' ', &name)) {
        name = S("");
    }
    is_sha1 = str_eq_lit(name, "sha1");
    if (!is_sha1 && !str_eq_lit(name, "sha256")) {
        return err_field(&c->err, ST_INVALID, "upload-checksum",
                         "a checksum is 'sha1 BASE64' or 'sha256 BASE64'");
    }
    if (!base64_decode(str_trim(said), c->arena, &a->put.sum_said, &nomem) ||
        a->put.sum_said.n != (is_sha1 ? 20 : 32)) {
        return nomem ? err_nomem(&c->err)
                     : err_field(&c->err, ST_INVALID, "upload-checksum",
                                 "the checksum is no %.*s in base64", STR_ARG(name));
    }
    a->put.sum = checksum_new(is_sha1 ? CHECKSUM_SHA1 : CHECKSUM_SHA256);
    if (!a->put.sum) {
        return err_nomem(&c->err);
    }
    if (!arena_cleanup(c->arena, free_sum, a->put.sum)) {
        checksum_free(a->put.sum);
        return err_nomem(&c->err);
    }
    return OK;
}

static void add(struct call *c)
{
    struct add *a = ARENA_NEW(c->arena, struct add);
    struct str type = http_content_type(c->req), id = call_capture(c, "id");
    uint64_t at = 0;
    enum status st = OK;

    if (!speaks_tus(c)) {
        return;
    }
    if (!str_eq_lit(type, "application/offset+octet-stream")) {
        err_field(&c->err, ST_INVALID, "content-type",
                  "the body of a PATCH is application/offset+octet-stream");
        say(c, 415, ST_INVALID, &c->err);
        return;
    }
    if (resume_is_busy(c->core, id)) {
        is_locked(c);
        return;
    }
    st = a ? number_of(c, "upload-offset", &at) : err_nomem(&c->err);
    if (!st && http_header(c->req, S("content-encoding")).p) {
        st = err_field(&c->err, ST_INVALID, "content-encoding",
                       "bytes that go on at an offset are sent as they are, not compressed");
    }
    st = st ? st : take_checksum(a, c);
    if (!st) {
        a->put.call = c;
        a->put.answer = put_answer;
        resume_take_init(&a->resume, c->core, c->arena, id, at);
        a->resume.op.done = taken;
        a->resume.op.user = a;
        if (seq_submit(c->core->seq, &a->resume.op)) {
            st = err_set(&c->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
        }
    }
    if (st) {
        call_error(c, st, &c->err);
    }
}

/* ---- giving up ------------------------------------------------------------------------------------------------------------------ */

struct give_up {
    struct call *call;
    struct resume_cancel op;
};

static void finish_give_up(struct http_req *req, void *ctx)
{
    struct give_up *g = ctx;

    if (g->op.op.st) {
        call_error(g->call, g->op.op.st, &g->op.op.err);
    } else {
        http_status(req, 204);
        http_send_empty(req);
    }
}

static void give_up_done(struct write_op *op)
{
    struct give_up *g = op->user;

    http_req_post(g->call->req, finish_give_up, g);
}

static void give_up(struct call *c)
{
    struct give_up *g = ARENA_NEW(c->arena, struct give_up);

    if (!speaks_tus(c)) {
        return;
    }
    if (resume_is_busy(c->core, call_capture(c, "id"))) {
        is_locked(c);
        return;
    }
    if (!g) {
        call_error(c, err_nomem(&c->err), &c->err);
        return;
    }
    g->call = c;
    resume_cancel_init(&g->op, c->arena, call_capture(c, "id"));
    g->op.op.done = give_up_done;
    g->op.op.user = g;
    if (seq_submit(c->core->seq, &g->op.op)) {
        call_error(c, err_set(&c->err, ST_UNAVAILABLE, "too many writes are waiting; try again"),
                   &c->err);
    }
}

/* ---- what is spoken ------------------------------------------------------------------------------------------------------------- */

static void tell(struct call *c)
{
    http_add_header(c->req, S("Tus-Resumable"), S(VERSION));
    http_add_header(c->req, S("Tus-Version"), S(VERSION));
    http_add_header(c->req, S("Tus-Extension"), S("creation,termination,expiration,checksum"));
    http_add_header(c->req, S("Tus-Checksum-Algorithm"), S("sha1,sha256"));
    http_status(c->req, 204);
    http_send_empty(c->req);
}

#define PATH "/api/cairn/v1/uploads"

const struct route native_upload_routes[] = {
    ROUTE(HTTP_POST, PATH, &cairn_v1_artifact_upload_desc, NULL, RESOURCE_ARTIFACT,
          ACTION_ARTIFACT_WRITE, STREAM(begin)),
    ROUTE(HTTP_OPTIONS, PATH, NULL, NULL, RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE, STREAM(tell)),
    ROUTE(HTTP_HEAD, PATH "/{id}", NULL, NULL, RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE,
          STREAM(look)),
    ROUTE_BODY(HTTP_PATCH, PATH "/{id}", NULL, NULL, RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE,
               STREAM(add), HTTP_BODY_STREAM, 0),
    ROUTE(HTTP_DELETE, PATH "/{id}", NULL, NULL, RESOURCE_ARTIFACT, ACTION_ARTIFACT_WRITE,
          STREAM(give_up)),
};
const size_t native_upload_routes_n = ARRAY_N(native_upload_routes);
