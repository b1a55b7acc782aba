/* api/grpc/health.c - grpc.health.v1: a server that answers is serving, until it goes down. */
#include "gen/grpc/health.h"
#include "api/grpc/grpc_int.h"
#include "base/mem.h"

enum { FRAME_MAX = 64 };

static bool is_known(struct str service)
{
    return service.n == 0 || grpc_has_service(service);
}

static enum status check(struct call *c, struct err *err)
{
    const struct grpc_health_v1_health_check_request *in = c->in;
    struct grpc_health_v1_health_check_response *out =
        ARENA_NEW(c->arena, struct grpc_health_v1_health_check_response);

    if (!out) {
        return err_nomem(err);
    }
    if (!is_known(in->service)) {
        return err_set(err, ST_NOT_FOUND, "service '%.*s' is not here", STR_ARG(in->service));
    }
    MSG_SET(out, GRPC_HEALTH_V1_HEALTH_CHECK_RESPONSE_HAS_STATUS, status,
            GRPC_HEALTH_V1_SERVING_STATUS_SERVING);
    c->out = out;
    return OK;
}

/* ---- watch --------------------------------------------------------------------------------------------------------------- */

struct watch {
    struct buf frame;
    bool begun, known, waiting;
};

static struct str watch_frame(struct watch *w, int32_t status)
{
    struct grpc_health_v1_health_check_response out = { 0 };
    struct buf message = BUF_INIT(FRAME_MAX);

    MSG_SET(&out, GRPC_HEALTH_V1_HEALTH_CHECK_RESPONSE_HAS_STATUS, status, status);
    msg_encode_pb(&message, &grpc_health_v1_health_check_response_desc, &out);
    buf_clear(&w->frame);
    grpc_put(&w->frame, 0, buf_str(&message));
    buf_release(&message);
    return buf_str(&w->frame);
}

/* The status as it is; then the pull waits for the end, which is all that can happen to it. */
static void watch_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct watch *w = ctx;
    struct str bytes;

    (void)at;
    if (w->begun) {
        w->waiting = true;
        return;
    }
    w->begun = true;
    bytes = watch_frame(w, w->known ? GRPC_HEALTH_V1_SERVING_STATUS_SERVING
                                    : GRPC_HEALTH_V1_SERVING_STATUS_SERVICE_UNKNOWN);
    http_give(req, bytes, w->frame.failed ? HTTP_GIVE_ABORT : HTTP_GIVE_MORE);
}

static void watch_stop(struct http_req *req, void *ctx)
{
    struct watch *w = ctx;

    if (w->waiting) {
        struct str bytes =
            w->known ? watch_frame(w, GRPC_HEALTH_V1_SERVING_STATUS_NOT_SERVING) : S("");

        w->waiting = false;
        http_give(req, bytes, w->frame.failed ? HTTP_GIVE_ABORT : HTTP_GIVE_LAST);
    }
}

static void watch_done(struct http_req *req, void *ctx)
{
    struct watch *w = ctx;

    (void)req;
    buf_release(&w->frame);
}

static void watch(struct call *c)
{
    static const struct http_producer producer = { .pull = watch_pull,
                                                   .done = watch_done,
                                                   .stop = watch_stop };
    struct grpc_health_v1_health_check_request in;
    struct msg_ctx ctx = { .arena = c->arena };
    struct watch *w = ARENA_NEW(c->arena, struct watch);
    struct grpc_reader r;
    struct str message;
    enum status st = w ? grpc_reader_init(&r, c->req, &c->err) : err_nomem(&c->err);

    st = st ? st : grpc_next(&r, &message, &c->err);
    if (st == ST_END) {
        st = err_set(&c->err, ST_BAD_REQUEST, "the request has no message");
    }
    if (!st && c->req->version < 20) {
        st = err_set(&c->err, ST_NOT_IMPLEMENTED, "Watch needs HTTP/2");
    }
    if (!st && grpc_form(http_header(c->req, S("content-type"))) != GRPC_PLAIN) {
        st = err_set(&c->err, ST_NOT_IMPLEMENTED, "Watch is not answered over gRPC-Web; use Check");
    }
    st = st ? st
            : msg_decode_pb(&grpc_health_v1_health_check_request_desc, &in, message, &ctx, &c->err);
    if (st) {
        call_error(c, st, &c->err);
        return;
    }
    w->known = is_known(in.service);
    buf_init(&w->frame, FRAME_MAX);
    http_type(c->req, grpc_type(GRPC_PLAIN));
    http_no_compress(c->req);
    http_add_trailer(c->req, S("grpc-status"), S("0"));
    http_send_stream(c->req, HTTP_LENGTH_UNKNOWN, &producer, w);
}

#define SERVICE "/grpc.health.v1.Health/"

const struct route grpc_health_routes[] = {
    GRPC_METHOD(SERVICE "Check", &grpc_health_v1_health_check_request_desc,
                &grpc_health_v1_health_check_response_desc, RESOURCE_SERVER, ACTION_PUBLIC,
                .kind = CALL_DIRECT, .direct = check),
    GRPC_METHOD(SERVICE "Watch", &grpc_health_v1_health_check_request_desc,
                &grpc_health_v1_health_check_response_desc, RESOURCE_SERVER, ACTION_PUBLIC,
                .kind = CALL_STREAM, .stream = watch),
};
const size_t grpc_health_routes_n = ARRAY_N(grpc_health_routes);
