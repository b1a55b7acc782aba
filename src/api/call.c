/* api/call.c - the way of a call through gate, decoding, core and encoding. */
#include "api/call.h"
#include "base/log.h"
#include "store/seq.h"

enum { ANSWER_MAX = 1 << 30, ERROR_BODY_MAX = 64 * 1024, RETRY_AFTER_S = 2 };

struct str call_capture(const struct call *c, const char *name)
{
    return http_capture(c->req, str_cstr(name));
}

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

static const struct tongue *tongue_of(const struct http_req *req)
{
    extern const struct tongue mlflow_tongue;
    const struct endpoint *ep = req->route ? req->route->handler : NULL;

    return ep ? ep->tongue : &mlflow_tongue;
}

static void send_error(struct http_req *req, int http, enum status st, const struct err *err)
{
    struct buf body = BUF_INIT(ERROR_BODY_MAX);
    int retry = err->retry_after_s ? err->retry_after_s : RETRY_AFTER_S;

    if (http >= 500 && st != ST_UNAVAILABLE && st != ST_NOT_IMPLEMENTED) {
        log_line(LOG_LEVEL_ERROR, "api", req->id, "%s %.*s: %s (%s:%d)", http_method_name(req->method),
                 STR_ARG(req->path), err->message, err->file ? err->file : "", err->line);
    }
    http_status(req, http);
    if (http == 429 || http == 503) {
        http_add_headerf(req, S("retry-after"), "%d", retry);
    }
    if (http == 401) {
        http_add_header(req, S("www-authenticate"), S("Basic realm=\"mlflow\""));
    }
    tongue_of(req)->error(req, st, err, &body);
    http_send_buf(req, &body);
}

void call_error(struct call *c, enum status st, const struct err *err)
{
    struct err unknown = ERR_INIT;

    buf_release(&c->raw);
    if (err->code == OK || err->message[0] == 0) {
        err_set(&unknown, st, "%s", st == ST_NOT_FOUND ? "not found" : "the request failed");
        err = &unknown;
    }
    send_error(c->req, status_row(st)->http, st, err);
}

void call_answer(struct call *c)
{
    const struct msg_desc *out = c->req->route->out;
    struct buf body = BUF_INIT(ANSWER_MAX);
    struct err err = ERR_INIT;
    enum status st;

    if (c->raw_type) {
        body = c->raw;
        c->raw = (struct buf){ 0 };
        http_type(c->req, c->raw_type);
    } else {
        http_type(c->req, "application/json");
        if (c->out) {
            msg_encode_json(&body, out, c->out, c->endpoint->tongue->encode_flags);
        } else {
            buf_put_lit(&body, "{}");
        }
    }
    st = buf_status(&body, "answer", &err);
    if (st) {
        buf_release(&body);
        call_error(c, st == ST_TOO_BIG ? ST_INVALID : st, &err);
        return;
    }
    if (c->status) {
        http_status(c->req, c->status);
    }
    http_send_buf(c->req, &body);
}

static void conclude(struct call *c, enum status st)
{
    if (st == ST_END) {
        return;     /* the endpoint answered by itself */
    }
    if (st) {
        call_error(c, st, &c->err);
    } else {
        call_answer(c);
    }
}

/* ---- reads ----------------------------------------------------------------------------------------------------------------- */

static void run_read(struct read_job *job, struct view *v)
{
    struct call *c = CONTAINER_OF(job, struct call, job);

    log_thread_request(c->req->id);
    conclude(c, c->endpoint->read(c, v, &c->err));
    log_thread_request(NULL);
}

static void submit_read(struct call *c)
{
    enum status st;

    c->job = (struct read_job){ .run = run_read, .arena = c->arena };
    st = core_read_submit(c->core, &c->job);
    if (st) {
        err_set(&c->err, ST_UNAVAILABLE, "too many reads are waiting; try again");
        conclude(c, ST_UNAVAILABLE);
    }
}

/* ---- writes ---------------------------------------------------------------------------------------------------------------- */

static void after_write(struct http_req *req, void *ctx)
{
    struct call *c = ctx;
    enum status st = c->op->st;

    (void)req;
    if (st) {
        c->err = c->op->err;
        conclude(c, st);
    } else if (c->endpoint->read) {
        submit_read(c);
    } else {
        conclude(c, c->endpoint->finish ? c->endpoint->finish(c, &c->err) : OK);
    }
}

static void write_done(struct write_op *op)
{
    struct call *c = op->user;

    http_req_post(c->req, after_write, c);
}

static void submit_write(struct call *c)
{
    enum status st = c->endpoint->start(c, &c->op, &c->err);

    if (st) {
        conclude(c, st);
        return;
    }
    if (!c->op) {   /* nothing to change */
        conclude(c, c->endpoint->finish ? c->endpoint->finish(c, &c->err) : OK);
        return;
    }
    c->op->done = write_done;
    c->op->user = c;
    c->op->bytes = c->req->body.n;
    st = seq_submit(c->core->seq, c->op);
    if (st) {
        err_set(&c->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
        conclude(c, ST_UNAVAILABLE);
    }
}

/* ---- the request ------------------------------------------------------------------------------------------------------------- */

static enum status check_type(const struct tongue *t, const struct http_req *req, struct err *err)
{
    struct str type;

    if (!t->json_type_required || (req->method != HTTP_POST && req->method != HTTP_PUT)) {
        return OK;
    }
    type = http_content_type(req);
    if (!type.p) {
        return err_set(err, ST_INVALID, "Bad Request. Content-Type header is missing.");
    }
    if (!str_eq_lit(type, "application/json")) {
        return err_set(err, ST_INVALID, "Bad Request. Content-Type must be one of ['application/json'].");
    }
    return OK;
}

static enum status decode(struct call *c, struct err *err)
{
    const struct tongue *t = c->endpoint->tongue;
    const struct msg_desc *in = c->req->route->in;
    struct msg_ctx ctx = { .arena = c->arena, .flags = t->decode_flags };
    bool query = (c->req->method == HTTP_GET || c->req->method == HTTP_HEAD) && c->req->query.n > 0;
    enum status st = query ? OK : check_type(t, c->req, err);

    if (st || !in) {
        return st;
    }
    c->in = arena_zalloc(c->arena, 1, in->size);
    if (!c->in) {
        return err_nomem(err);
    }
    st = c->endpoint->prepare ? c->endpoint->prepare(c, &ctx, err) : OK;
    if (st) {
        return st;
    }
    st = query ? msg_decode_query(in, c->in, c->req->query, &ctx, err) : msg_decode_json(in, c->in, c->req->body, &ctx, err);
    if (st && ctx.issue.kind != MSG_ISSUE_NONE) {
        return t->issue(&ctx.issue, c->arena, err);
    }
    return st;
}

static void free_raw(void *ctx)
{
    buf_release(ctx);
}

static void handle(void *ctx, struct http_req *req)
{
    struct api *api = ctx;
    struct call *c = ARENA_NEW(req->arena, struct call);
    struct err err = ERR_INIT;

    if (!c || !arena_cleanup(req->arena, free_raw, &c->raw)) {
        send_error(req, 503, err_nomem(&err), &err);
        return;
    }
    c->api = api;
    c->core = api->core;
    c->req = req;
    c->arena = req->arena;
    c->endpoint = req->route->handler;
    c->principal = req->principal;
    buf_init(&c->raw, ANSWER_MAX);
    if (c->endpoint->kind != CALL_STREAM) {
        enum status st = decode(c, &c->err);

        if (st) {
            conclude(c, st);
            return;
        }
    }
    switch (c->endpoint->kind) {
    case CALL_DIRECT:
        conclude(c, c->endpoint->direct(c, &c->err));
        break;
    case CALL_READ:
        submit_read(c);
        break;
    case CALL_WRITE:
        submit_write(c);
        break;
    case CALL_STREAM:
        c->endpoint->stream(c);
        break;
    }
}

static void gate(void *ctx, struct http_req *req)
{
    struct api *api = ctx;
    const struct principal *who = NULL;
    struct err err = ERR_INIT;
    enum status st = access_authenticate(api->access, req->arena, http_header(req, S("authorization")), &who, &err);

    if (st == ST_UNAUTHENTICATED && req->route->action == ACTION_PUBLIC) {
        st = OK;    /* wrong credentials do no harm where none are needed */
    }
    if (!st) {
        st = authorise(api->access, who, (enum action)req->route->action, (enum resource)req->route->resource, &err);
    }
    if (st) {
        send_error(req, status_row(st)->http, st, &err);
        return;
    }
    req->principal = (void *)(uintptr_t)who;
    http_accept(req);
}

static void no_route(void *ctx, struct http_req *req, enum http_miss miss)
{
    struct err err = ERR_INIT;

    (void)ctx;
    if (miss == HTTP_MISS_METHOD) {
        err_set(&err, ST_NO_ENDPOINT, "%s is not a method of %.*s", http_method_name(req->method), STR_ARG(req->path));
        send_error(req, 405, ST_NO_ENDPOINT, &err);
    } else {
        err_set(&err, ST_NO_ENDPOINT, "No endpoint %s %.*s", http_method_name(req->method), STR_ARG(req->path));
        send_error(req, 404, ST_NO_ENDPOINT, &err);
    }
}

static void refused(void *ctx, struct http_req *req, int status, const struct err *err)
{
    (void)ctx;
    send_error(req, status, err->code, err);
}

void api_hooks(struct http_hooks *hooks, struct api *api)
{
    *hooks = (struct http_hooks){ .ctx = api, .gate = gate, .handle = handle, .no_route = no_route, .error = refused };
}
