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

enum { MESSAGE_MAX = 4096 };

struct watch {
    struct grpc_call call;
    bool asked, known;
};

static struct watch *watch_of(struct grpc_call *c)
{
    return CONTAINER_OF(c, struct watch, call);
}

static void say(struct grpc_call *c, int32_t status)
{
    struct grpc_health_v1_health_check_response out = { 0 };
    struct buf message = BUF_INIT(FRAME_MAX);

    MSG_SET(&out, GRPC_HEALTH_V1_HEALTH_CHECK_RESPONSE_HAS_STATUS, status, status);
    msg_encode_pb(&message, &grpc_health_v1_health_check_response_desc, &out);
    grpc_call_say(c, buf_str(&message));
    buf_release(&message);
}

static void end_with(struct grpc_call *c, const char *text)
{
    struct err err = ERR_INIT;
    enum status st = err_set(&err, ST_BAD_REQUEST, "%s", text);

    grpc_call_end(c, st, &err);
}

static void watch_message(struct grpc_call *c, struct str message)
{
    struct grpc_health_v1_health_check_request in;
    struct msg_ctx ctx = { .arena = c->scratch };
    struct err err = ERR_INIT;
    struct watch *w = watch_of(c);
    enum status st =
        msg_decode_pb(&grpc_health_v1_health_check_request_desc, &in, message, &ctx, &err);

    if (st) {
        grpc_call_end(c, st, &err);
        return;
    }
    if (w->asked) {
        end_with(c, "the request has more than one message");
        return;
    }
    w->asked = true;
    w->known = is_known(in.service);
    say(c, w->known ? GRPC_HEALTH_V1_SERVING_STATUS_SERVING
                    : GRPC_HEALTH_V1_SERVING_STATUS_SERVICE_UNKNOWN);
    grpc_call_next(c);
}

/* Whether the client's side is open or not: what is left is to say when that changes. */
static void watch_rest(struct grpc_call *c)
{
    if (!watch_of(c)->asked) {
        end_with(c, "the request has no message");
    } else {
        grpc_call_next(c);
    }
}

static void watch_stop(struct grpc_call *c, enum status why)
{
    struct err err = ERR_INIT;

    if (why == ST_UNAVAILABLE && !watch_of(c)->asked) {
        grpc_call_next(c);
        return;
    }
    if (why == ST_UNAVAILABLE) {
        if (watch_of(c)->known) say(c, GRPC_HEALTH_V1_SERVING_STATUS_NOT_SERVING);
        grpc_call_end(c, OK, NULL);
        return;
    }
    IGNORE_STATUS(err_set(&err, why, "the deadline has passed")); /* only fills err */
    grpc_call_end(c, why, &err);
}

static void watch(struct call *c)
{
    static const struct grpc_call_ops ops = {
        .message = watch_message, .rest = watch_rest, .stop = watch_stop, .stays = true
    };
    struct watch *w = ARENA_NEW(c->arena, struct watch);
    enum status st = w ? OK : err_nomem(&c->err);

    if (!st && c->req->version < 20) { /* nobody would see that the client has gone */
        st = err_set(&c->err, ST_NOT_IMPLEMENTED, "Watch needs HTTP/2; use Check");
    }
    st = st ? st : grpc_call_start(&w->call, c->req, MESSAGE_MAX, &ops, &c->err);
    if (st) {
        call_error(c, st, &c->err);
    }
}

#define SERVICE "/grpc.health.v1.Health/"

const struct route grpc_health_routes[] = {
    GRPC_METHOD(SERVICE "Check", &grpc_health_v1_health_check_request_desc,
                &grpc_health_v1_health_check_response_desc, RESOURCE_SERVER, ACTION_PUBLIC,
                .kind = CALL_DIRECT, .direct = check),
    GRPC_STREAM(SERVICE "Watch", &grpc_health_v1_health_check_request_desc,
                &grpc_health_v1_health_check_response_desc, RESOURCE_SERVER, ACTION_PUBLIC, watch),
};
const size_t grpc_health_routes_n = ARRAY_N(grpc_health_routes);
