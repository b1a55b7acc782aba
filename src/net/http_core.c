/* net/http_core.c - from a parsed head to the handler: checks, route, gate, body. */
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "net/http_int.h"
#include <stdarg.h>
#include <stdio.h>

enum {
    BODY_IN_ARENA = 16 * 1024,
    RESERVE_MAX = 256 * 1024,
    BODIES_TELL = 256 * 1024,
    BODY_SMALL = 4096 /* these are not held back: what they become counts elsewhere */
};

static void stage_body(struct http_priv *p);

static struct http_priv *priv_of(struct http_req *req)
{
    return req->priv;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

/* Unique, not secret: a random base per loop and a scrambled counter. */
static void make_id(struct http_worker *w, char out[HTTP_ID_N + 1])
{
    uint64_t x = ++w->id_n + w->id_base, y;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    y = w->id_base ^ (w->id_n * 0x9e3779b97f4a7c15u);
    id_hex(&x, sizeof(x), out);
    id_hex(&y, sizeof(y), out + 16);
}

static void run_answer(struct loop_task *t);
static void run_read(struct loop_task *t);
static void run_post(struct loop_task *t);
static void run_give(struct loop_task *t);
static void run_accept(struct loop_task *t);

struct http_priv *http_core_new(struct http_worker *w, const struct conn *c, struct arena *a,
                                const struct http1_head *h, const struct http_wire *wire,
                                void *carrier)
{
    struct http_priv *p = ARENA_NEW(a, struct http_priv);

    if (!p) {
        return NULL;
    }
    p->worker = w;
    p->wire = wire;
    p->carrier = carrier;
    p->answer.fd = -1;
    p->answer.status = 200;
    p->answer_task.fn = run_answer;
    p->read_task.fn = run_read;
    p->post_task.fn = run_post;
    p->give_task.fn = run_give;
    p->accept_task.fn = run_accept;
    p->req = (struct http_req){
        .method = h->method,
        .version = h->version,
        .is_tls = c->is_tls,
        .target = h->target,
        .raw_path = h->raw_path,
        .query = h->query,
        .host = h->host,
        .fields = h->fields,
        .field_n = h->field_n,
        .content_length = h->content_length,
        .start_ns = clock_mono_ns(),
        .arena = a,
        .loop = w->loop,
        .priv = p,
    };
    p->req.peer = arena_str(a, str_of(c->peer, c->peer_n));
    p->has_body = h->content_length > 0;
    make_id(w, p->req.id);
    w->reqs++;
    net_count(&loop_metrics(w->loop)->in_work_begun, 1);
    return p;
}

/* ---- room for bodies ---------------------------------------------------------------------------------------------- */

/* Returns the sum. A worker tells its changes once they matter: small bodies move no cache line between the loops. */
static int64_t bodies_changed(struct http_worker *w, int64_t by)
{
    struct http_server *s = w->server;
    int64_t tell = (int64_t)MIN_OF(s->opt.limits.bodies_max / 1024, (uint64_t)BODIES_TELL), told;

    w->bodies_untold += by;
    if (w->bodies_untold >= -tell && w->bodies_untold <= tell) {
        return atomic_load_explicit(&s->bodies, memory_order_relaxed) + w->bodies_untold;
    }
    told = atomic_fetch_add_explicit(&s->bodies, w->bodies_untold, memory_order_relaxed) +
           w->bodies_untold;
    w->bodies_untold = 0;
    return told;
}

static uint64_t held_max(const struct http_server *s)
{
    return s->opt.limits.held_max ? s->opt.limits.held_max : s->opt.limits.bodies_max / 4;
}

/* Sets aside room for the body it announces, up to a limit: who announces much and sends little holds up nobody. A lone request is
 * always let in. */
static bool reserve(struct http_priv *p)
{
    struct http_server *s = p->worker->server;
    uint64_t n = p->req.content_length == UINT64_MAX
                     ? (uint64_t)HTTP_PIECE_BYTES
                     : MIN_OF(p->req.content_length, (uint64_t)RESERVE_MAX);
    uint64_t held;

    if (n <= BODY_SMALL) {
        return true;
    }
    held = atomic_fetch_add(&s->held, n);
    if (held == 0 || (held < held_max(s) && n <= held_max(s) - held)) {
        p->held = n;
        return true;
    }
    atomic_fetch_sub(&s->held, n);
    return false;
}

static void unpause(struct http_priv *p)
{
    struct http_worker *w = p->worker;

    if (!p->paused) {
        return;
    }
    p->paused = false;
    *(p->paused_prev ? &p->paused_prev->paused_next : &w->paused_first) = p->paused_next;
    *(p->paused_next ? &p->paused_next->paused_prev : &w->paused_last) = p->paused_prev;
    p->paused_prev = p->paused_next = NULL;
    atomic_fetch_sub(&w->server->paused, 1);
}

/* True: the body is to be read now. Sequentially consistent, with give_room(): either this request sees the room that another
 * gave back, or that one sees this request waiting. */
static bool take_room(struct http_priv *p)
{
    struct http_worker *w = p->worker;

    if (reserve(p)) {
        return true;
    }
    p->paused = true;
    p->paused_prev = w->paused_last;
    *(w->paused_last ? &w->paused_last->paused_next : &w->paused_first) = p;
    w->paused_last = p;
    atomic_fetch_add(&w->server->paused, 1);
    if (!reserve(p)) {
        return false;
    }
    unpause(p);
    return true;
}

void http_worker_resume(struct loop_task *t)
{
    struct http_worker *w = CONTAINER_OF(t, struct http_worker, resume);

    atomic_store(&w->resuming, false);
    while (w->paused_first && reserve(w->paused_first)) {
        struct http_priv *p = w->paused_first;

        unpause(p);
        p->wire->want(p->carrier);
    }
}

static void give_room(struct http_priv *p)
{
    struct http_server *s = p->worker->server;

    if (p->held == 0) {
        return;
    }
    atomic_fetch_sub(&s->held, p->held);
    p->held = 0;
    if (atomic_load(&s->paused) == 0) {
        return;
    }
    for (unsigned i = 0; i < s->worker_n; i++) {
        if (!atomic_exchange(&s->workers[i].resuming, true)) {
            loop_post(s->workers[i].loop, &s->workers[i].resume);
        }
    }
}

/* ---- the end of a request ----------------------------------------------------------------------------------------- */

void http_core_finish(struct http_priv *p, bool sent, uint64_t body_bytes)
{
    struct http_worker *w = p->worker;
    struct http_server *s = w->server;
    struct arena *a = p->req.arena;
    int64_t took = clock_mono_ns() - p->req.start_ns;
    int status = sent ? p->answer.status : 0;

    p->piece_wanted = false;
    if (p->answer.kind == ANSWER_STREAM && p->answer.producer.done) {
        p->answer.producer.done(&p->req, p->answer.ctx);
    }
    net_metrics_answer(loop_metrics(w->loop), status, took);
    net_count(&loop_metrics(w->loop)->in_work_ended, 1);
    if (s->hooks.done) {
        s->hooks.done(s->hooks.ctx, &p->req, status, body_bytes, took);
    }
    http_core_free_answer(p);
    (void)bodies_changed(w, -(int64_t)p->charged);
    unpause(p);
    give_room(p);
    buf_release(&p->body);
    buf_release(&p->kept);
    decoder_free(p->decoder);
    mem_free(p->dec_out);
    http_worker_arena_back(w, a);
    w->reqs--;
    http_worker_check_idle(w);
}

void http_core_free_answer(struct http_priv *p)
{
    mem_free(p->answer.owned);
    p->answer.owned = NULL;
    if (p->answer.fd >= 0) {
        (void)sys.close(p->answer.fd);
        p->answer.fd = -1;
    }
}

/* A handler may be given pieces: before it answers, and during a streamed answer where the carrier can do both. */
static bool takes_pieces(const struct http_priv *p)
{
    return p->stage == STAGE_HANDLER || (p->stage == STAGE_ANSWERED && p->wire && p->wire->duplex);
}

static void deliver(struct http_priv *p, enum http_piece what, struct str bytes,
                    const struct err *err)
{
    p->piece_wanted = false;
    p->room = NULL;
    p->piece_fn(&p->req, p->piece_ctx, what, bytes, err);
}

/* Of a body that fails: what has come into the consumer's room. */
static void deliver_fail(struct http_priv *p, const struct err *err)
{
    deliver(p, HTTP_PIECE_FAIL, p->room ? str_of(p->room, p->room_n) : S(""), err);
}

static void deliver_gone(struct http_priv *p)
{
    struct err err = ERR_INIT;

    IGNORE_STATUS(err_set(&err, ST_CANCELLED, "the client went away")); /* only fills err */
    deliver_fail(p, &err);
}

void http_core_stop(struct http_priv *p)
{
    if (p->stage == STAGE_ANSWERED && p->answer.pulling && p->answer.producer.stop) {
        p->answer.producer.stop(&p->req, p->answer.ctx);
    }
}

void http_core_detach(struct http_priv *p)
{
    p->carrier = NULL;
    p->wire = NULL;
    /* Relaxed: a hint to whoever works on the answer. */
    atomic_store_explicit(&p->gone, true, memory_order_relaxed);
    switch (p->stage) {
    case STAGE_GATE: break; /* ends with the gate's decision */
    case STAGE_BODY: http_core_finish(p, false, 0); break;
    case STAGE_HANDLER:
        if (p->piece_wanted) {
            deliver_gone(p);
        }
        break;
    case STAGE_ANSWERED:
        if (!p->answer.pulling) {
            http_core_finish(p, false, 0);
        } else {
            http_core_stop(p);
        }
        break;
    }
}

bool http_is_gone(const struct http_req *req)
{
    return atomic_load_explicit(&req->priv->gone, memory_order_relaxed);
}

/* ---- tasks from other threads ------------------------------------------------------------------------------------ */

static void answer_now(struct http_priv *p)
{
    p->stage = STAGE_ANSWERED;
    if (p->carrier) {
        p->wire->answer(p->carrier);
    } else {
        http_core_finish(p, false, 0);
    }
}

static void run_answer(struct loop_task *t)
{
    answer_now(CONTAINER_OF(t, struct http_priv, answer_task));
}

void http_core_submit(struct http_priv *p)
{
    if (loop_is_current(p->req.loop)) {
        answer_now(p);
    } else {
        loop_post(p->req.loop, &p->answer_task);
    }
}

static void run_read(struct loop_task *t)
{
    struct http_priv *p = CONTAINER_OF(t, struct http_priv, read_task);

    p->piece_wanted = true;
    if (p->carrier) {
        p->wire->want(p->carrier);
    } else {
        deliver_gone(p);
    }
}

void http_body_read(struct http_req *req, http_piece_fn fn, void *ctx)
{
    http_body_read_into(req, NULL, 0, fn, ctx);
}

void http_body_read_into(struct http_req *req, void *room, size_t max, http_piece_fn fn, void *ctx)
{
    struct http_priv *p = priv_of(req);

    p->room = p->decoder || !max || req->content_length == UINT64_MAX ? NULL : room;
    p->room_n = 0;
    p->room_max = max;
    p->piece_fn = fn;
    p->piece_ctx = ctx;
    if (p->stage == STAGE_ANSWERED) { /* a post could outlive the request */
        p->piece_wanted = true;
        if (p->wire && !p->wire->busy(p->carrier)) {
            p->wire->later(p->carrier);
        }
        return;
    }
    if (loop_is_current(req->loop) && p->carrier && p->wire->busy(p->carrier)) {
        p->piece_wanted = true;
    } else {
        loop_post(req->loop, &p->read_task);
    }
}

static void run_post(struct loop_task *t)
{
    struct http_priv *p = CONTAINER_OF(t, struct http_priv, post_task);

    p->post_fn(&p->req, p->post_ctx);
}

void http_req_post(struct http_req *req, void (*fn)(struct http_req *req, void *ctx), void *ctx)
{
    struct http_priv *p = priv_of(req);

    p->post_fn = fn;
    p->post_ctx = ctx;
    loop_post(req->loop, &p->post_task);
}

static void give_now(struct http_priv *p)
{
    p->answer.pulling = false;
    p->answer.given = true;
    if (p->carrier) {
        p->wire->given(p->carrier);
    } else {
        http_core_finish(p, false, 0);
    }
}

static void run_give(struct loop_task *t)
{
    give_now(CONTAINER_OF(t, struct http_priv, give_task));
}

static void tell_given(struct http_req *req, struct http_priv *p)
{
    if (loop_is_current(req->loop)) {
        give_now(p);
    } else {
        loop_post(req->loop, &p->give_task);
    }
}

void http_give(struct http_req *req, struct str bytes, unsigned flags)
{
    struct http_priv *p = priv_of(req);

    p->answer.give = bytes;
    p->answer.give_flags = flags;
    p->answer.give_n = 0;
    tell_given(req, p);
}

bool http_can_give_file(const struct http_req *req)
{
    const struct http_priv *p = req->priv;

    return p->wire && p->wire->gives_files;
}

void http_give_file(struct http_req *req, int fd, uint64_t at, uint64_t n)
{
    struct http_priv *p = priv_of(req);

    p->answer.give = S("");
    p->answer.give_flags = HTTP_GIVE_MORE;
    p->answer.give_fd = fd;
    p->answer.give_at = at;
    p->answer.give_n = n;
    p->answer.give_pipe = false;
    tell_given(req, p);
}

bool http_can_give_pipe(const struct http_req *req)
{
    return !req->is_tls && http_can_give_file(req);
}

void http_give_pipe(struct http_req *req, int pipe, uint64_t n)
{
    struct http_priv *p = priv_of(req);

    p->answer.give = S("");
    p->answer.give_flags = HTTP_GIVE_MORE;
    p->answer.give_fd = pipe;
    p->answer.give_at = 0;
    p->answer.give_n = n;
    p->answer.give_pipe = true;
    tell_given(req, p);
}

void http_core_pull(struct http_priv *p, uint64_t at)
{
    p->answer.pulling = true;
    p->answer.given = false;
    p->answer.producer.pull(&p->req, p->answer.ctx, at);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

void http_core_refuse(struct http_priv *p, int http, enum status st, const char *fmt, ...)
{
    struct err err = ERR_INIT;
    va_list ap;

    err.code = st;
    va_start(ap, fmt);
    (void)vsnprintf(err.message, sizeof(err.message), fmt, ap);
    va_end(ap);
    p->refuse_status = http;
    http_send_error(&p->req, &err);
}

void http_send_error(struct http_req *req, const struct err *err)
{
    struct http_priv *p = priv_of(req);
    struct http_hooks *hooks = &p->worker->server->hooks;
    int status = p->refuse_status ? p->refuse_status : status_row(err->code)->http;

    if (hooks->error) {
        hooks->error(hooks->ctx, req, status, err);
        return;
    }
    http_status(req, status);
    if (status == 503 || status == 429) {
        http_add_headerf(req, S("Retry-After"), "%d",
                         err->retry_after_s > 0 ? err->retry_after_s : 1);
    }
    http_type(req, "text/plain; charset=utf-8");
    http_send(req, arena_printf(req->arena, "%s", err->message));
}

/* ---- begin ------------------------------------------------------------------------------------------------------- */

static void call_handler(struct http_priv *p)
{
    struct http_server *s = p->worker->server;

    p->stage = STAGE_HANDLER;
    s->hooks.handle(s->hooks.ctx, &p->req);
}

static void after_gate(struct http_priv *p)
{
    if (!p->carrier) {
        http_core_finish(p, false, 0);
        return;
    }
    stage_body(p);
}

static void run_accept(struct loop_task *t)
{
    after_gate(CONTAINER_OF(t, struct http_priv, accept_task));
}

void http_accept(struct http_req *req)
{
    struct http_priv *p = priv_of(req);

    if (loop_is_current(req->loop) && p->in_gate) {
        p->accepted = true;
    } else {
        loop_post(req->loop, &p->accept_task);
    }
}

static void stage_body(struct http_priv *p)
{
    if (p->mode == HTTP_BODY_BUFFERED && p->has_body) {
        p->stage = STAGE_BODY;
        if (take_room(p) && !p->wire->busy(p->carrier)) {
            p->wire->want(p->carrier);
        }
        return;
    }
    call_handler(p);
}

/* Whether a route answers a plain OPTIONS itself. */
static bool has_own_options(struct http_priv *p)
{
    struct http_req *req = &p->req;
    struct router_match m;

    return !http_header(req, S("access-control-request-method")).p &&
           router_find(p->worker->server->router, HTTP_OPTIONS, req->raw_path, req->arena, &m) ==
               ROUTER_FOUND;
}

/* Answers a preflight or a plain OPTIONS on an API path. */
static void send_options(struct http_priv *p)
{
    struct http_req *req = &p->req;
    struct str origin = http_header(req, S("origin")), asked;
    bool credentials;

    http_status(req, 204);
    if (http_guard_origin_allowed(&p->worker->server->opt.guard, origin, req->host, &credentials)) {
        http_add_header(req, S("Access-Control-Allow-Methods"),
                        S("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        asked = http_header(req, S("access-control-request-headers"));
        http_add_header(req, S("Access-Control-Allow-Headers"),
                        str_is_set(asked) ? asked : S("content-type, authorization"));
        http_add_header(req, S("Access-Control-Max-Age"), S("600"));
    }
    http_send_empty(req);
}

static void add_allow(struct http_priv *p, unsigned allow)
{
    struct buf b = BUF_INIT(256);

    for (unsigned m = 1; m < HTTP_METHOD_N; m++) {
        if (allow & (1u << m)) {
            buf_printf(&b, "%s%s", b.n ? ", " : "", http_method_name((enum http_method)m));
        }
    }
    http_add_header(&p->req, S("Allow"), buf_str(&b));
    buf_release(&b);
}

static void send_miss(struct http_priv *p, enum http_miss miss)
{
    struct http_hooks *hooks = &p->worker->server->hooks;

    if (hooks->no_route) {
        hooks->no_route(hooks->ctx, &p->req, miss);
    } else if (miss == HTTP_MISS_PATH) {
        http_core_refuse(p, 404, ST_NO_ENDPOINT, "no such route");
    } else {
        http_core_refuse(p, 405, ST_NO_ENDPOINT, "this route does not take %s",
                         http_method_name(p->req.method));
    }
}

/* False: answered. */
static bool find_route(struct http_priv *p)
{
    struct http_req *req = &p->req;
    struct router_match m;

    switch (router_find(p->worker->server->router, req->method, req->raw_path, req->arena, &m)) {
    case ROUTER_FOUND: break;
    case ROUTER_NO_PATH: send_miss(p, HTTP_MISS_PATH); return false;
    case ROUTER_NO_METHOD:
        add_allow(p, m.allow);
        send_miss(p, HTTP_MISS_METHOD);
        return false;
    case ROUTER_BAD_PATH:
        http_core_refuse(p, 400, ST_BAD_REQUEST, "the path is malformed");
        return false;
    case ROUTER_NOMEM: http_core_refuse(p, 503, ST_NOMEM, "out of memory"); return false;
    }
    req->route = m.route;
    req->capture_n = m.capture_n;
    memcpy(req->captures, m.captures, m.capture_n * sizeof(m.captures[0]));
    return true;
}

/* Host, Origin, path. False: answered. */
static bool check_head(struct http_priv *p)
{
    struct http_req *req = &p->req;
    const struct http_guard *g = &p->worker->server->opt.guard;
    struct str merged;
    enum router_result rr = router_merge_slashes(req->raw_path, req->arena, &merged);

    if (rr == ROUTER_FOUND) {
        rr = router_decode(merged, req->arena, &req->path);
    }
    if (rr != ROUTER_FOUND) {
        if (rr == ROUTER_NOMEM) {
            http_core_refuse(p, 503, ST_NOMEM, "out of memory");
        } else {
            http_core_refuse(p, 400, ST_BAD_REQUEST, "the path is malformed");
        }
        return false;
    }
    enum guard_result gr =
        http_guard_check(g, req->method, req->path, req->host, http_header(req, S("origin")));

    if (gr != GUARD_PASS) {
        http_status(req, 403);
        http_type(req, "text/plain; charset=utf-8");
        http_send(req, gr == GUARD_HOST ? S(HTTP_GUARD_HOST_TEXT) : S(HTTP_GUARD_ORIGIN_TEXT));
        return false;
    }
    if (req->method == HTTP_OPTIONS && http_guard_is_api(g, req->path) && !has_own_options(p)) {
        send_options(p);
        return false;
    }
    return true;
}

/* What can be said about the body before it is read. False: answered. */
static bool check_body(struct http_priv *p)
{
    struct http_req *req = &p->req;
    const struct http_limits *l = &p->worker->server->opt.limits;
    struct str coding = http_header(req, S("content-encoding"));

    p->mode = req->route->body;
    p->body_cap = req->route->body_max;
    if (p->body_cap == 0) {
        p->body_cap = p->mode == HTTP_BODY_STREAM ? l->stream_max : l->body_max;
    }
    buf_init(&p->body, (size_t)p->body_cap);
    if (!p->has_body) {
        p->body_last = true;
        return true;
    }
    if (p->mode == HTTP_BODY_NONE) {
        http_core_refuse(p, 413, ST_TOO_BIG, "this route takes no body");
        return false;
    }
    p->coding = coding_parse(coding);
    if (p->coding == CODING_UNKNOWN) {
        http_add_header(req, S("Accept-Encoding"), S("gzip, deflate, zstd"));
        http_core_refuse(p, 415, ST_INVALID, "Content-Encoding '%.*s' is not known",
                         STR_ARG(coding));
        return false;
    }
    if (req->content_length != UINT64_MAX && req->content_length > p->body_cap) {
        http_core_refuse(p, 413, ST_TOO_BIG, "body exceeds %llu bytes",
                         (unsigned long long)p->body_cap);
        return false;
    }
    if (p->coding != CODING_IDENTITY && decoder_new(&p->decoder, p->coding)) {
        http_core_refuse(p, 503, ST_NOMEM, "out of memory");
        return false;
    }
    return true;
}

static struct http_known *known_slot(struct http_priv *p)
{
    const struct http_req *req = &p->req;
    size_t n = req->raw_path.n;
    size_t at = n + 7 * (size_t)req->method + (n ? (unsigned char)req->raw_path.p[n - 1] : 0);

    return &p->worker->known[at % HTTP_KNOWN];
}

static bool is_known(struct http_priv *p)
{
    struct http_req *req = &p->req;
    const struct http_known *k = known_slot(p);

    if (!k->route || k->method != req->method ||
        !str_eq(str_of(k->text, k->path_n), req->raw_path) ||
        !str_eq(str_of(k->text + k->path_n, k->host_n), req->host) ||
        http_header(req, S("origin")).p) {
        return false;
    }
    req->path = req->raw_path;
    req->route = k->route;
    return true;
}

static void make_known(struct http_priv *p)
{
    const struct http_req *req = &p->req;
    struct http_known *k = known_slot(p);
    size_t n = req->raw_path.n;

    if (req->capture_n > 0 || req->method == HTTP_OPTIONS || req->path.p != req->raw_path.p ||
        req->path.n != n || n > HTTP_KNOWN_TEXT || req->host.n > HTTP_KNOWN_TEXT - n) {
        return;
    }
    k->route = req->route;
    k->method = req->method;
    k->path_n = n;
    k->host_n = req->host.n;
    memcpy(k->text, req->raw_path.p, n);
    if (req->host.n) memcpy(k->text + n, req->host.p, req->host.n);
}

void http_core_begin(struct http_priv *p)
{
    struct http_server *s = p->worker->server;

    if (!is_known(p)) {
        if (!check_head(p) || !find_route(p)) {
            return;
        }
        make_known(p);
    }
    if (!check_body(p)) {
        return;
    }
    if (!s->hooks.gate) {
        after_gate(p);
        return;
    }
    p->in_gate = true;
    s->hooks.gate(s->hooks.ctx, &p->req);
    /* The carrier is busy, so p is still there; an answer has only been noted. */
    p->in_gate = false;
    if (p->accepted) {
        after_gate(p);
    }
}

/* ---- body -------------------------------------------------------------------------------------------------------- */

bool http_core_wants(const struct http_priv *p)
{
    return (p->stage == STAGE_BODY && !p->paused) || (p->piece_wanted && takes_pieces(p));
}

void http_core_body_fail(struct http_priv *p, int http, enum status st, const char *why)
{
    p->body_over = true;
    p->refuse_status = http;
    unpause(p);
    if (takes_pieces(p)) {
        if (p->piece_wanted) {
            struct err err = ERR_INIT;

            IGNORE_STATUS(err_set(&err, st, "%s", why)); /* only fills err */
            deliver_fail(p, &err);
        }
    } else {
        http_core_refuse(p, http, st, "%s", why);
    }
}

static void too_big(struct http_priv *p)
{
    char text[80];

    (void)snprintf(text, sizeof(text), "body exceeds %llu bytes", (unsigned long long)p->body_cap);
    http_core_body_fail(p, 413, ST_TOO_BIG, text);
}

/* Counts decoded bytes; false: over a cap, answered. */
static bool count_body(struct http_priv *p, size_t n)
{
    struct http_server *s = p->worker->server;

    if (n > p->body_cap - p->body_seen) {
        too_big(p);
        return false;
    }
    p->body_seen += n;
    if (p->mode == HTTP_BODY_BUFFERED) {
        int64_t sum = bodies_changed(p->worker, (int64_t)n);

        p->charged += n;
        if (p->body_seen > MAX_OF(p->held, (uint64_t)BODY_SMALL)) { /* longer than it said */
            atomic_fetch_add(&s->held, p->body_seen - p->held);
            p->held = p->body_seen;
        }
        if (sum > (int64_t)s->opt.limits.bodies_max) {
            http_core_body_fail(p, 503, ST_UNAVAILABLE, "too many request bodies are in memory");
            return false;
        }
    }
    return true;
}

static void buffered_end(struct http_priv *p)
{
    p->req.body = buf_str(&p->body);
    call_handler(p);
}

static void buffered_nomem(struct http_priv *p)
{
    http_core_body_fail(p, 503, ST_NOMEM, "out of memory");
}

/* Decodes into the buffered body all that is there. False: answered. */
static bool buffered_decode(struct http_priv *p)
{
    struct err err = ERR_INIT;
    size_t n = 0, room;

    do {
        if (!buf_reserve(&p->body, (size_t)MIN_OF(p->body_cap - p->body_seen, 16384u))) {
            buffered_nomem(p);
            return false;
        }
        room = (size_t)MIN_OF((uint64_t)(p->body.cap - p->body.n), p->body_cap - p->body_seen);
        if (room == 0) {
            char probe[1]; /* the cap is reached: only the end of the stream may follow */

            if (decoder_run(p->decoder, &p->dec_in, probe, 1, &n, &err) || n > 0) {
                too_big(p);
                return false;
            }
            return true;
        }
        if (decoder_run(p->decoder, &p->dec_in, p->body.p + p->body.n, room, &n, &err)) {
            http_core_body_fail(p, err.code == ST_NOMEM ? 503 : 400, err.code, err.message);
            return false;
        }
        if (!count_body(p, n)) {
            return false;
        }
        p->body.n += n;
    } while (n > 0 || p->dec_in.n > 0);
    return true;
}

static void buffered_body(struct http_priv *p, struct str bytes)
{
    if (p->decoder) {
        p->dec_in = bytes;
        if (!buffered_decode(p)) {
            return;
        }
        if (p->body_last && !decoder_complete(p->decoder)) {
            http_core_body_fail(p, 400, ST_BAD_REQUEST, "the compressed body is cut short");
            return;
        }
    } else {
        if (!count_body(p, bytes.n)) {
            return;
        }
        if (p->body_last && p->body.n == 0 && !p->body.p && bytes.n <= BODY_IN_ARENA) {
            p->req.body = arena_str(p->req.arena, bytes); /* all in one packet */
            if (!p->req.body.p) {
                buffered_nomem(p);
            } else {
                call_handler(p);
            }
            return;
        }
        if (p->body.p && bytes.p == p->body.p + p->body.n && bytes.n <= p->body.cap - p->body.n) {
            p->body.n += bytes.n; /* received in place, and not what happens to lie behind it */
        } else {
            buf_put(&p->body, bytes.p, bytes.n);
            if (p->body.failed) {
                buffered_nomem(p);
                return;
            }
        }
    }
    if (p->body_last) {
        buffered_end(p);
    }
}

size_t http_core_room(struct http_priv *p, size_t n, char **room)
{
    if (p->stage == STAGE_HANDLER && p->room) {
        *room = p->room + p->room_n;
        return MIN_OF(n, p->room_max - p->room_n);
    }
    if (p->stage != STAGE_BODY || p->decoder || p->body_seen > p->body_cap) {
        return 0;
    }
    n = (size_t)MIN_OF((uint64_t)n, p->body_cap - p->body_seen);
    if (n == 0 || !buf_reserve(&p->body, n)) {
        return 0;
    }
    *room = p->body.p + p->body.n;
    return n;
}

size_t http_core_room_left(const struct http_priv *p)
{
    return p->stage == STAGE_HANDLER && p->room ? p->room_max - p->room_n : SIZE_MAX;
}

/* Into the consumer's room, where they may lie already. */
static void collect(struct http_priv *p, struct str bytes)
{
    if (!count_body(p, bytes.n)) {
        return;
    }
    if (bytes.p != p->room + p->room_n) {
        memcpy(p->room + p->room_n, bytes.p, bytes.n);
    }
    p->room_n += bytes.n;
    if (p->body_last || p->room_n == p->room_max) {
        deliver(p, HTTP_PIECE_DATA, str_of(p->room, p->room_n), NULL);
    }
}

/* One piece for the consumer of a compressed stream, if there is one. */
static bool stream_decode(struct http_priv *p)
{
    struct err err = ERR_INIT;
    size_t n = 0;

    if (!p->dec_out) {
        p->dec_out = mem_alloc(HTTP_PIECE_BYTES);
        if (!p->dec_out) {
            buffered_nomem(p);
            return true;
        }
    }
    do {
        if (decoder_run(p->decoder, &p->dec_in, p->dec_out, HTTP_PIECE_BYTES, &n, &err)) {
            http_core_body_fail(p, err.code == ST_NOMEM ? 503 : 400, err.code, err.message);
            return true;
        }
        if (n > 0) {
            if (count_body(p, n)) {
                deliver(p, HTTP_PIECE_DATA, str_of(p->dec_out, n), NULL);
            }
            return true;
        }
    } while (p->dec_in.n > 0);
    if (p->body_last && !decoder_complete(p->decoder)) {
        http_core_body_fail(p, 400, ST_BAD_REQUEST, "the compressed body is cut short");
        return true;
    }
    return false;
}

bool http_core_flush(struct http_priv *p)
{
    if (!takes_pieces(p)) {
        return false;
    }
    if (p->body_over) {
        struct err err = ERR_INIT;

        IGNORE_STATUS(
            err_set(&err, ST_BAD_REQUEST, "the body has failed before")); /* only fills err */
        deliver_fail(p, &err);
        return true;
    }
    if (p->decoder && stream_decode(p)) {
        return true;
    }
    if (p->body_last) {
        deliver(p, HTTP_PIECE_END, S(""), NULL);
        return true;
    }
    return false;
}

void http_core_body(struct http_priv *p, struct str bytes, bool last)
{
    p->body_last = last;
    if (p->stage == STAGE_BODY) {
        buffered_body(p, bytes);
        return;
    }
    if (p->decoder) {
        p->dec_in = bytes;
        return; /* the next flush decodes */
    }
    if (bytes.n > 0 && p->room) {
        collect(p, bytes);
    } else if (bytes.n > 0 && count_body(p, bytes.n)) {
        deliver(p, HTTP_PIECE_DATA, bytes, NULL);
    }
}
