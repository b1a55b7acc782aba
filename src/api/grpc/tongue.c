/* api/grpc/tongue.c - frames, codes and deadlines of gRPC calls. */
#include "api/grpc/grpc_int.h"
#include "api/mlmd/mlmd.h"
#include "api/native/native.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/proto_file.h"
#include "net/coding.h"

enum { COMPRESS_MIN = 16 * 1024, ANSWER_MAX = 1 << 30 };

static enum grpc_form form_of(const struct http_req *req)
{
    return grpc_form(http_header(req, S("content-type")));
}

/* ---- requests ----------------------------------------------------------------------------------------------------------- */

enum status grpc_reader_init(struct grpc_reader *r, struct http_req *req, struct err *err)
{
    bool nomem;

    *r = (struct grpc_reader){ .req = req, .left = req->body };
    if (form_of(req) == GRPC_WEB_TEXT && !base64_decode(req->body, req->arena, &r->left, &nomem)) {
        return nomem ? err_nomem(err) : err_set(err, ST_BAD_REQUEST, "the body is not base64");
    }
    return OK;
}

static size_t message_max(const struct http_req *req)
{
    return (size_t)(req->route->body_max / 2);
}

enum status grpc_next(struct grpc_reader *r, struct str *message, struct err *err)
{
    struct str encoding = http_header(r->req, S("grpc-encoding"));
    struct buf plain = BUF_INIT(message_max(r->req));
    struct grpc_frame f;
    enum status st;

    if (r->left.n == 0) {
        return ST_END;
    }
    switch (grpc_take(&r->left, message_max(r->req), &f)) {
    case GRPC_GOT: break;
    case GRPC_TOO_BIG:
        return err_set(err, ST_TOO_BIG, "message exceeds %zu bytes", message_max(r->req));
    case GRPC_MORE:
    case GRPC_BROKEN: return err_set(err, ST_BAD_REQUEST, "the frames of the body are malformed");
    }
    *message = f.bytes;
    if (!f.compressed) {
        return OK;
    }
    st = grpc_unzip(encoding, f.bytes, message_max(r->req), &plain, err);
    if (st == ST_NOT_IMPLEMENTED) {
        http_add_header(r->req, S("grpc-accept-encoding"), S("identity,gzip"));
    }
    if (!st) {
        *message = arena_str(r->req->arena, buf_str(&plain));
        st = message->p ? OK : err_nomem(err);
    }
    buf_release(&plain);
    return st;
}

static bool is_late(const struct http_req *req)
{
    struct str value = http_header(req, S("grpc-timeout"));
    int64_t ns;

    return value.p && grpc_timeout(value, &ns) && clock_mono_ns() - req->start_ns >= ns;
}

static enum status check(struct http_req *req, struct err *err)
{
    enum grpc_form form = form_of(req);
    struct str timeout = http_header(req, S("grpc-timeout"));
    int64_t ns;

    if (form == GRPC_NONE) {
        return err_set(err, ST_INVALID,
                       "Content-Type must be application/grpc or application/grpc-web");
    }
    if (form == GRPC_PLAIN && req->version < 20) {
        return err_set(err, ST_INVALID, "gRPC needs HTTP/2; gRPC-Web goes over HTTP/1.1 as well");
    }
    if (timeout.p && !grpc_timeout(timeout, &ns)) {
        return err_set(err, ST_INVALID, "grpc-timeout '%.*s' is malformed", STR_ARG(timeout));
    }
    return is_late(req) ? err_set(err, ST_DEADLINE, "the deadline has passed") : OK;
}

static enum status decode(struct call *c, struct msg_ctx *ctx, struct err *err)
{
    struct grpc_reader r;
    struct str message, more;
    enum status st = grpc_reader_init(&r, c->req, err);

    st = st ? st : grpc_next(&r, &message, err);
    if (st == ST_END) {
        return err_set(err, ST_BAD_REQUEST, "the request has no message");
    }
    if (!st && grpc_next(&r, &more, err) != ST_END) {
        st = err_set(err, ST_BAD_REQUEST, "the request has more than one message");
    }
    return st ? st : msg_decode_pb(c->req->route->in, c->in, message, ctx, err);
}

static enum status issue(const struct msg_issue *i, struct arena *a, struct err *err)
{
    (void)a;
    return msg_issue_err(i, err);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

/* Sends the frames in b, which is empty afterwards, and code 0 after them. */
static void send_frames(struct http_req *req, struct buf *b)
{
    enum grpc_form form = form_of(req);

    http_type(req, grpc_type(form));
    http_no_compress(req);
    if (form == GRPC_PLAIN) {
        http_add_trailer(req, S("grpc-status"), S("0"));
    } else {
        grpc_put(b, GRPC_FLAG_TRAILERS, S("grpc-status:0\r\n"));
    }
    if (form == GRPC_WEB_TEXT) {
        struct buf text = BUF_INIT(ANSWER_MAX);

        base64_put(&text, buf_str(b), BASE64_STD);
        text.failed = b->failed ? b->failed : text.failed;
        buf_release(b);
        *b = text;
    }
    http_send_buf(req, b);
}

static void answer(struct call *c)
{
    static const struct {
        uint64_t has;
    } nothing;
    const struct msg_desc *out = c->req->route->out;
    struct buf message = BUF_INIT(ANSWER_MAX), frames = BUF_INIT(ANSWER_MAX),
               small = BUF_INIT(ANSWER_MAX);
    struct str bytes;

    if (is_late(c->req)) {
        IGNORE_STATUS(
            err_set(&c->err, ST_DEADLINE, "the deadline has passed")); /* only fills err */
        call_error(c, ST_DEADLINE, &c->err);
        return;
    }
    if (c->raw_type) { /* frames that the endpoint made */
        frames = c->raw;
        c->raw = (struct buf){ 0 };
        send_frames(c->req, &frames);
        return;
    }
    msg_encode_pb(&message, out, c->out ? c->out : &nothing);
    bytes = buf_str(&message);
    if (bytes.n >= COMPRESS_MIN && !message.failed &&
        http_header_has(c->req, S("grpc-accept-encoding"), S("gzip")) &&
        coding_compress(CODING_GZIP, bytes, &small, NULL) == OK && small.n < bytes.n) {
        http_add_header(c->req, S("grpc-encoding"), S("gzip"));
        grpc_put(&frames, GRPC_FLAG_COMPRESSED, buf_str(&small));
    } else {
        grpc_put(&frames, 0, bytes);
    }
    frames.failed = message.failed ? message.failed : frames.failed;
    buf_release(&message);
    buf_release(&small);
    send_frames(c->req, &frames);
}

static void fail(struct http_req *req, int http, enum status st, const struct err *err)
{
    enum grpc_form form = form_of(req);
    int code = status_row(st)->grpc;
    struct str text, details;
    struct buf b;

    if (form == GRPC_NONE || (form == GRPC_PLAIN && req->version < 20)) {
        http_status(req, form == GRPC_NONE && http == 400 ? 415 : http); /* not a client of gRPC */
        http_type(req, "text/plain; charset=utf-8");
        http_send(req, arena_printf(req->arena, "%s\n", err->message));
        return;
    }
    text = grpc_message(req->arena, str_cstr(err->message));
    http_status(req, 200);
    http_type(req, grpc_type(form));
    http_no_compress(req);
    if (form == GRPC_PLAIN) {
        http_add_headerf(req, S("grpc-status"), "%d", code);
        http_add_header(req, S("grpc-message"), text);
        details = grpc_details(req->arena, code, status_row(st)->name, err);
        if (details.p) {
            http_add_header(req, S("grpc-status-details-bin"), details);
        }
        http_send_empty(req);
        return;
    }
    buf_init(&b, ANSWER_MAX);
    text = arena_printf(req->arena, "grpc-status:%d\r\ngrpc-message:%.*s\r\n", code, STR_ARG(text));
    grpc_put(&b, GRPC_FLAG_TRAILERS, text);
    if (form == GRPC_WEB_TEXT) {
        struct str plain = arena_str(req->arena, buf_str(&b));

        buf_clear(&b);
        base64_put(&b, plain, BASE64_STD);
    }
    http_send_buf(req, &b);
}

const struct tongue grpc_tongue = {
    .name = "grpc", .check = check, .issue = issue, .decode = decode, .answer = answer, .fail = fail
};

/* ---- services ----------------------------------------------------------------------------------------------------------- */

bool grpc_has_service(struct str name)
{
    for (size_t i = 0; i < proto_file_n; i++) {
        for (const char *const *s = proto_files[i].services; *s; s++) {
            if (str_eq(name, str_cstr(*s))) {
                return true;
            }
        }
    }
    return false;
}

static enum status own_methods(struct router *r, struct err *err)
{
    enum status st = router_add(r, grpc_health_routes, grpc_health_routes_n, NULL, 0, NULL, err);

    return st ? st
              : router_add(r, grpc_reflection_routes, grpc_reflection_routes_n, NULL, 0, NULL, err);
}

enum status grpc_routes(struct router *r, struct err *err)
{
    /* Who has methods. */
    static enum status (*const tongues[])(
        struct router *, struct err *) = { own_methods, native_methods, mlmd_methods };
    enum status st = OK;

    for (size_t i = 0; !st && i < ARRAY_N(tongues); i++) {
        st = tongues[i](r, err);
    }
    return st;
}
