/* api/call.c - the way of a call through gate, decoding, core and encoding. */
#include "api/call.h"
#include "base/log.h"
#include "codec/base64.h"
#include "core/typed/typed.h"
#include "store/seq.h"

enum { ANSWER_MAX = 1 << 30, ERROR_BODY_MAX = 64 * 1024, RETRY_AFTER_S = 2, USED_TELL = 1 << 20 };

struct str call_capture(const struct call *c, const char *name)
{
    return http_capture(c->req, str_cstr(name));
}

enum status call_space(const struct call *c, struct str *out, struct err *err)
{
    struct str named = http_header(c->req, S("cairn-namespace"));

    *out = named.n                                    ? named
           : c->principal && !c->principal->anonymous ? c->principal->name
                                                      : typed_default_ns;
    return out->n <= TYPED_NS_MAX
               ? OK
               : err_set(err, ST_INVALID, "the name of a namespace has at most %d bytes",
                         TYPED_NS_MAX);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

static const struct tongue *tongue_of(const struct http_req *req)
{
    extern const struct tongue mlflow_tongue, kubeflow_tongue, openlineage_tongue, grpc_tongue;
    const struct endpoint *ep = req->route ? req->route->handler : NULL;

    if (!ep && str_starts(http_header(req, S("content-type")), S("application/grpc"))) {
        return &grpc_tongue;
    }

    return ep                                                           ? ep->tongue
           : str_find(req->path, S("/api/model_registry/")) != SIZE_MAX ? &kubeflow_tongue
           : str_find(req->path, S("/api/v1/")) != SIZE_MAX             ? &openlineage_tongue
                                                                        : &mlflow_tongue;
}

static int http_of(const struct http_req *req, enum status st, const struct err *err)
{
    const struct tongue *t = tongue_of(req);

    return t->http ? t->http(st, err) : status_row(st)->http;
}

static void send_error(struct http_req *req, int http, enum status st, const struct err *err)
{
    struct buf body = BUF_INIT(ERROR_BODY_MAX);
    int retry = err->retry_after_s ? err->retry_after_s : RETRY_AFTER_S;

    if (http >= 500 && st != ST_UNAVAILABLE && st != ST_NOT_IMPLEMENTED) {
        log_line(LOG_LEVEL_ERROR, "api", req->id, "%s %.*s: %s (%s:%d)",
                 http_method_name(req->method), STR_ARG(req->path), err->message,
                 err->file ? err->file : "", err->line);
    }
    if (tongue_of(req)->fail) {
        tongue_of(req)->fail(req, http, st, err);
        return;
    }
    http_status(req, http);
    if (http == 429 || http == 503) {
        http_add_headerf(req, S("retry-after"), "%d", retry);
    }
    if (http == 401) {
        http_add_header(req, S("www-authenticate"), S("Basic realm=\"mlflow\""));
    }
    tongue_of(req)->error(req, http, st, err, &body);
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
    send_error(c->req, http_of(c->req, st, err), st, err);
}

void call_answer(struct call *c)
{
    const struct msg_desc *out = c->req->route->out;
    struct buf body = BUF_INIT(ANSWER_MAX);
    struct err err ATTR_UNINIT;
    enum status st;

    if (c->endpoint->tongue->answer) {
        c->endpoint->tongue->answer(c);
        return;
    }
    if (!c->raw_type && !c->out) {
        http_type(c->req, "application/json");
        http_status(c->req, c->status ? c->status : 200);
        http_send(c->req, S("{}"));
        return;
    }
    if (c->raw_type) {
        body = c->raw;
        c->raw = (struct buf){ 0 };
        http_type(c->req, c->raw_type);
    } else {
        http_type(c->req, "application/json");
        msg_encode_json(&body, out, c->out, c->endpoint->tongue->encode_flags);
    }
    err_clear(&err);
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
        return; /* the endpoint answered by itself */
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
    if (job->st) c->err = job->err;
    conclude(c, job->st ? job->st : c->endpoint->read(c, v, &c->err));
    log_thread_request(NULL);
}

static void submit_job(struct call *c, void (*run)(struct read_job *job, struct view *v))
{
    enum status st;

    memset(&c->job, 0, offsetof(struct read_job, err));
    err_clear(&c->job.err);
    c->job.run = run;
    c->job.arena = c->arena;
    st = core_read_submit(c->core, &c->job);
    if (st) {
        err_set(&c->err, ST_UNAVAILABLE, "too many reads are waiting; try again");
        conclude(c, ST_UNAVAILABLE);
    }
}

static void submit_read(struct call *c)
{
    submit_job(c, run_read);
}

/* ---- writes ---------------------------------------------------------------------------------------------------------------- */

/* A tongue whose answers are not JSON makes its own of what was kept. */
static enum status decode_kept(struct call *c)
{
    const struct msg_desc *out = c->req->route->out;
    struct msg_ctx ctx = { .arena = c->arena, .flags = MSG_IGNORE_UNKNOWN | MSG_EMPTY_OK };

    c->out = arena_zalloc(c->arena, 1, out->size);
    return c->out ? msg_decode_json(out, c->out, c->once->kept, &ctx, &c->err) : err_nomem(&c->err);
}

/* The operation is durable, or was once: the answer is made from what it left. */
static void after_write(struct http_req *req, void *ctx)
{
    struct call *c = ctx;
    const struct write_op *op = c->once ? &c->once->op : c->op;
    bool replayed = c->once && c->once->replayed;

    (void)req;
    fair_leave(c->share, op->bytes);
    if (op->st) {
        c->err = op->err;
        conclude(c, op->st);
        return;
    }
    if (c->endpoint->finish && !replayed) {
        conclude(c, c->endpoint->finish(c, &c->err));
    } else if (c->endpoint->read) {
        if (replayed && c->endpoint->recall) {
            c->endpoint->recall(c, c->once->kept);
        }
        submit_read(c);
    } else if (replayed && c->endpoint->tongue->answer) {
        conclude(c, decode_kept(c));
    } else if (replayed) {
        buf_put_str(&c->raw, c->once->kept);
        c->raw_type = "application/json";
        conclude(c, OK);
    } else {
        conclude(c, OK);
    }
}

static void write_done(struct write_op *op)
{
    struct call *c = op->user;

    http_req_post(c->req, after_write, c);
}

/* What a repeated request will be answered from: the endpoint's own note, or the answer itself. */
static struct str remember(struct idempotent *i)
{
    struct call *c = i->user;
    struct buf body = BUF_INIT(ANSWER_MAX);
    struct str kept = S("");

    if (c->endpoint->remember) {
        return c->endpoint->remember(c);
    }
    if (c->endpoint->read) {
        return kept;
    }
    if (c->endpoint->finish && c->endpoint->finish(c, &c->err)) {
        return (struct str){ NULL, 0 };
    }
    if (c->out) {
        msg_encode_json(&body, c->req->route->out, c->out, c->endpoint->tongue->encode_flags);
    } else {
        buf_put_lit(&body, "{}");
    }
    kept = body.failed ? (struct str){ NULL, 0 } : arena_str(c->arena, buf_str(&body));
    buf_release(&body);
    return kept;
}

/* Wraps the call's operation when the client sent a key. */
static enum status wrap_once(struct call *c)
{
    struct str key = http_header(c->req, S("idempotency-key"));
    struct sha256 *sha;

    if (!key.p || c->req->method != HTTP_POST) {
        return OK;
    }
    if (idempotent_check_key(key, &c->err)) {
        return c->err.code;
    }
    c->once = ARENA_NEW(c->arena, struct idempotent);
    sha = sha256_new();
    if (!c->once || !sha) {
        sha256_free(sha);
        return err_nomem(&c->err);
    }
    idempotent_init(c->once, c->op, c->arena);
    c->once->principal = c->principal->name;
    c->once->key = key;
    c->once->remember = remember;
    c->once->user = c;
    sha256_update(sha, c->req->path.p, c->req->path.n);
    sha256_update(sha, "", 1);
    sha256_update(sha, c->req->body.p, c->req->body.n);
    c->once->request = sha256_end(sha);
    sha256_free(sha);
    return OK;
}

static void turn_ends(struct loop_turn *t)
{
    struct api_turn *a = CONTAINER_OF(t, struct api_turn, turn);

    int64_t ms = seq_here(a->seq);

    if (ms >= 0) loop_turn_again(a->loop, t, ms);
}

/* Everything that the sockets of this turn have brought is one group. */
static enum status submit_in_turn(struct call *c, struct write_op *op)
{
    struct loop *loop = c->req->loop;
    struct api_turn *t = &c->api->turns[loop_index(loop)];
    enum status st;

    t->loop = loop;
    t->seq = c->core->seq;
    t->turn.fn = turn_ends;
    st = seq_submit_quiet(t->seq, op);
    if (!st) loop_turn_end(loop, &t->turn); /* the call is the sequencer's already */
    return st;
}

static enum status take_share(struct call *c, size_t bytes)
{
    struct str who =
        c->principal && !c->principal->anonymous ? c->principal->name : fair_host(c->req->peer);
    size_t queue_ops, queue_bytes;

    seq_caps(c->core->seq, &queue_ops, &queue_bytes);
    return fair_enter(&c->api->fair, who, bytes, queue_ops, queue_bytes, &c->share, &c->err);
}

/* st: of start(). */
static void started(struct call *c, enum status st)
{
    struct write_op *op;

    st = st ? st : wrap_once(c);
    if (st) {
        conclude(c, st);
        return;
    }
    op = c->once ? &c->once->op : c->op;
    op->done = write_done;
    op->user = c;
    op->bytes = c->req->body.n + arena_bytes(c->arena);
    st = take_share(c, op->bytes);
    if (st) {
        conclude(c, st);
        return;
    }
    st = submit_in_turn(c, op);
    if (st) {
        fair_leave(c->share, op->bytes);
        err_set(&c->err, ST_UNAVAILABLE, "too many writes are waiting; try again");
        conclude(c, ST_UNAVAILABLE);
    }
}

static void after_start(struct http_req *req, void *ctx)
{
    struct call *c = ctx;

    (void)req;
    started(c, c->job.st);
}

/* A large request is taken apart where it holds nobody up; the loop goes on with it. */
static void run_start(struct read_job *job, struct view *v)
{
    struct call *c = CONTAINER_OF(job, struct call, job);

    (void)v;
    c->job.st = c->endpoint->start(
        c, &c->op, &c->err); /* memory that lags behind others does not matter here */
    http_req_post(c->req, after_start, c);
}

static void submit_write(struct call *c)
{
    if (c->endpoint->heavy && c->req->body.n > c->endpoint->heavy) {
        submit_job(c, run_start);
    } else {
        started(c, c->endpoint->start(c, &c->op, &c->err));
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
        return err_set(err, ST_INVALID,
                       "Bad Request. Content-Type must be one of ['application/json'].");
    }
    return OK;
}

static enum status decode(struct call *c, struct err *err)
{
    const struct tongue *t = c->endpoint->tongue;
    const struct msg_desc *in = c->req->route->in;
    struct msg_ctx ctx = { .arena = c->arena, .flags = t->decode_flags };
    bool get = c->req->method == HTTP_GET || c->req->method == HTTP_HEAD;
    bool remove = t->empty_query && c->req->method == HTTP_DELETE;
    /* Clients that send a body with everything send {}: it says nothing, and must not hide what the query says. */
    bool empty = c->req->body.n == 0 || (remove && str_eq_lit(str_trim(c->req->body), "{}"));
    bool query = (get && c->req->query.n > 0) || (((t->empty_query && get) || remove) && empty);
    enum status st = query ? OK : check_type(t, c->req, err);

    if (!st && remove && !empty && c->req->query.n > 0) {
        st = err_set(err, ST_INVALID,
                     "a DELETE says what it means in its query or in its body, not in both");
    }

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
    st = t->decode ? t->decode(c, &ctx, err)
         : query   ? msg_decode_query(in, c->in, c->req->query.p ? c->req->query : S(""), &ctx, err)
                   : msg_decode_json(in, c->in, c->req->body, &ctx, err);
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
    struct call *c = arena_alloc(req->arena, sizeof(*c));
    enum status st;

    if (!c || !arena_cleanup(req->arena, free_raw, &c->raw)) {
        struct err err = ERR_INIT;

        send_error(req, 503, err_nomem(&err), &err);
        return;
    }
    memset(c, 0, offsetof(struct call, err));
    err_clear(&c->err);
    c->api = api;
    c->core = api->core;
    c->req = req;
    c->arena = req->arena;
    c->endpoint = req->route->handler;
    c->principal = req->principal;
    buf_init(&c->raw, ANSWER_MAX);
    if (c->endpoint->tongue->check) {
        st = c->endpoint->tongue->check(req, &c->err);
        if (st) {
            conclude(c, st);
            return;
        }
    }
    if (c->endpoint->kind != CALL_STREAM) {
        st = decode(c, &c->err);

        if (st) {
            conclude(c, st);
            return;
        }
    }
    switch (c->endpoint->kind) {
    case CALL_DIRECT: conclude(c, c->endpoint->direct(c, &c->err)); break;
    case CALL_READ:
        if (c->endpoint->quick && c->endpoint->quick(c)) {
            call_answer(c);
        } else {
            submit_read(c);
        }
        break;
    case CALL_WRITE: submit_write(c); break;
    case CALL_STREAM: c->endpoint->stream(c); break;
    }
}

/* The token of an Authorization value: "Bearer TOKEN", or "Basic ..." whose password is the token. p NULL without a value, empty
 * for a value that holds none. */
static struct str credential(struct arena *arena, struct str value)
{
    struct str none = S(""), rest, decoded;
    size_t colon;
    bool nomem;

    if (!value.p) {
        return value;
    }
    if (value.n > 7 && str_eq_nocase(str_sub(value, 0, 7), S("bearer "))) {
        return str_trim(str_sub(value, 7, value.n));
    }
    if (value.n > 6 && str_eq_nocase(str_sub(value, 0, 6), S("basic "))) {
        rest = str_trim(str_sub(value, 6, value.n));
        if (!base64_decode(rest, arena, &decoded, &nomem)) {
            return none;
        }
        colon = str_find_byte(decoded, ':', 0);
        return colon == SIZE_MAX ? none : str_sub(decoded, colon + 1, decoded.n);
    }
    return none;
}

static void gate(void *ctx, struct http_req *req)
{
    struct api *api = ctx;
    const struct principal *who = NULL;
    struct err err ATTR_UNINIT;
    enum status st;

    err_clear(&err);
    st = access_authenticate(
        api->access, credential(req->arena, http_header(req, S("authorization"))), &who, &err);
    if (st == ST_UNAUTHENTICATED && req->route->action == ACTION_PUBLIC) {
        st = OK; /* wrong credentials do no harm where none are needed */
    }
    if (!st) {
        st = authorise(api->access, who, (enum action)req->route->action,
                       (enum resource)req->route->resource, &err);
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
        err_set(&err, ST_NO_ENDPOINT, "%s is not a method of %.*s", http_method_name(req->method),
                STR_ARG(req->path));
        send_error(req, 405, ST_NO_ENDPOINT, &err);
    } else {
        err_set(&err, ST_NO_ENDPOINT, "No endpoint %s %.*s", http_method_name(req->method),
                STR_ARG(req->path));
        send_error(req, 404, ST_NO_ENDPOINT, &err);
    }
}

static void refused(void *ctx, struct http_req *req, int status, const struct err *err)
{
    (void)ctx;
    send_error(req, status, err->code, err);
}

/* Counts, and the access log: every request at debug level, failures of ours as warnings. */
static void done(void *ctx, struct http_req *req, int status, uint64_t body_bytes, int64_t took_ns)
{
    struct api *api = ctx;
    int resource = req->route ? req->route->resource : RESOURCE_SERVER;
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 : 0;
    enum log_level level = class == 5 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
    size_t used = arena_bytes(req->arena) + req->body.n + (size_t)body_bytes;

    struct api_turn *t = &api->turns[loop_index(req->loop)];

    t->used += used;
    if (t->used >= USED_TELL) {
        if (api->used) api->used(api->used_ctx, t->used);
        t->used = 0;
    }

    if (resource >= 0 && resource < RESOURCE_N) {
        atomic_uint_fast64_t *n = &t->answers[resource][class];

        /* relaxed, and no exchange: one thread writes, and readers want counts, not order */
        atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    if (log_enabled(level)) {
        log_line(level, "http", req->id, "%s %.*s %d %llu bytes %lld us %.*s",
                 http_method_name(req->method), STR_ARG(req->path), status,
                 (unsigned long long)body_bytes, (long long)(took_ns / 1000), STR_ARG(req->peer));
    }
}

void api_hooks(struct http_hooks *hooks, struct api *api)
{
    *hooks = (struct http_hooks){ .ctx = api,
                                  .gate = gate,
                                  .handle = handle,
                                  .no_route = no_route,
                                  .error = refused,
                                  .done = done };
}
