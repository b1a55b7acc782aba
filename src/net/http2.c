/* net/http2.c - bytes and time of a connection of HTTP/2.
 * http2_run() goes round: work off the streams that are ready, write what nghttp2 has, read. Whatever happens in between
 * (a handler that answers at once, a task of another thread) only puts a stream on the list: run is never entered twice. */
#include "net/http2.h"
#include "base/mem.h"
#include "net/h2_mem.h"
#include "net/http1.h"
#include "net/http2_int.h"

enum {
    RUN_BUDGET = 16,
    QUEUE_MAX = 1024, /* frames that wait for a socket that takes none: no more is read */
    NOISE_MAX = 4096, /* control frames within ten seconds */
    TICK_MIN_MS = 10,
    TICK_MAX_MS = 1000,
    NOTICE_MS = 1000, /* between the two GOAWAYs of a drain when the ping is not answered */
    LINGER_TIMES = 15
};

static const struct http_limits *limits(const struct h2 *h)
{
    return &h->w->server->opt.limits;
}

char *h2_in(struct http_worker *w)
{
    if (!w->h2_in) {
        w->h2_in = mem_alloc(H2_IN_BYTES);
    }
    return w->h2_in;
}

char *h2_out(struct http_worker *w)
{
    if (!w->h2_out) {
        w->h2_out = mem_alloc(H2_OUT_BYTES);
    }
    return w->h2_out;
}

void h2_ready(struct h2_stream *st)
{
    struct h2 *h = st->h;

    if (st->queued) {
        return;
    }
    st->queued = true;
    st->ready_next = NULL;
    *(h->ready_last ? &h->ready_last->ready_next : &h->ready_first) = st;
    h->ready_last = st;
}

static void drop_streams(struct h2 *h)
{
    h->ready_first = h->ready_last = NULL;
    while (h->streams) {
        h2_stream_drop(h->streams);
    }
}

/* The connection is of no more use. */
static void cut(struct h2 *h)
{
    h->dead = true;
}

static void note_need(struct h2 *h)
{
    h->need |= h->c->top->need == IO_NEED_WRITE ? (unsigned)UV_WRITABLE : (unsigned)UV_READABLE;
}

/* ---- out ---------------------------------------------------------------------------------------------------------- */

/* True: the socket took all of it. */
static bool push(struct h2 *h, const char *p, size_t n, size_t *put)
{
    *put = 0;
    while (*put < n) {
        const struct iovec iov = { (void *)(uintptr_t)(p + *put), n - *put };
        size_t k = 0;
        enum io io = conn_sendv(h->c, &iov, 1, false, &k);

        if (io == IO_AGAIN) {
            note_need(h);
            return false;
        }
        if (io != IO_OK) {
            cut(h);
            return false;
        }
        *put += k;
        h->blocked_ms = 0;
    }
    return true;
}

static bool push_rest(struct h2 *h)
{
    size_t put;
    bool all = push(h, h->rest + h->rest_at, h->rest_n - h->rest_at, &put);

    h->rest_at += put;
    if (all) {
        mem_free(h->rest);
        h->rest = NULL;
        h->rest_at = h->rest_n = 0;
    }
    return all;
}

static void keep_rest(struct h2 *h, const char *p, size_t n)
{
    h->rest = mem_alloc(n);
    if (!h->rest) {
        cut(h);
        return;
    }
    memcpy(h->rest, p, n);
    h->rest_at = 0;
    h->rest_n = n;
    h->blocked_ms = loop_now_ms(h->c->loop);
}

/* Frames of nghttp2 until the buffer is full or it has no more. False: broken. */
static bool collect(struct h2 *h)
{
    struct http_worker *w = h->w;

    h->full = false;
    w->h2_out_n = 0;
    while (w->h2_out_n + H2_FRAME_MAX <= H2_OUT_BYTES / 2) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->s, &p);

        if (n < 0) {
            return false;
        }
        if (n == 0) {
            return true;
        }
        if ((size_t)n > H2_OUT_BYTES - w->h2_out_n) {
            return false; /* no frame is as large as that */
        }
        memcpy(w->h2_out + w->h2_out_n, p, (size_t)n);
        w->h2_out_n += (size_t)n;
    }
    h->full = true;
    return true;
}

/* True if something was written and more may follow. */
static bool step_out(struct h2 *h)
{
    char *out = h2_out(h->w);
    size_t put;

    if (!out) {
        cut(h);
        return false;
    }
    if (h->rest && !push_rest(h)) {
        return false;
    }
    if (!collect(h)) {
        cut(h);
        return false;
    }
    if (h->w->h2_out_n == 0) {
        return false;
    }
    if (!push(h, out, h->w->h2_out_n, &put)) {
        if (!h->dead) {
            keep_rest(h, out + put, h->w->h2_out_n - put);
        }
        return false;
    }
    return h->full;
}

/* ---- in ----------------------------------------------------------------------------------------------------------- */

/* What was sent is against the protocol or too much: say so and go. */
static void give_up(struct h2 *h, uint32_t why)
{
    if (why == NGHTTP2_ENHANCE_YOUR_CALM) {
        net_count(&loop_metrics(h->c->loop)->h2_floods, 1);
    }
    h->goodbye = true;
    if (nghttp2_session_terminate_session(h->s, why)) {
        cut(h);
    }
}

/* The last GOAWAY of a drain. */
static void say_goodbye(struct h2 *h)
{
    h->goodbye = true;
    if (nghttp2_submit_goaway(h->s, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h->s), NGHTTP2_NO_ERROR, NULL,
                              0) ||
        (h->stream_n == 0 && nghttp2_session_terminate_session(h->s, NGHTTP2_NO_ERROR))) {
        cut(h);
    }
}

static void feed(struct h2 *h, const char *p, size_t n)
{
    ssize_t used = nghttp2_session_mem_recv(h->s, (const uint8_t *)p, n);

    h->ping_out = false;
    if (used >= 0) {
        if (h->noise > NOISE_MAX && !h->goodbye) {
            give_up(h, NGHTTP2_ENHANCE_YOUR_CALM);
        }
        return;
    }
    if (used == NGHTTP2_ERR_BAD_CLIENT_MAGIC || used == NGHTTP2_ERR_NOMEM) {
        net_count(&loop_metrics(h->c->loop)->bad_heads, 1);
        cut(h);
    } else {
        give_up(h,
                used == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR);
    }
}

/* True if something came. */
static bool step_in(struct h2 *h)
{
    char *in = h2_in(h->w);
    size_t got = 0;

    if (!in) {
        cut(h);
        return false;
    }
    if (!h->linger && !nghttp2_session_want_read(h->s)) {
        return false;
    }
    if (nghttp2_session_get_outbound_queue_size(h->s) > QUEUE_MAX) {
        return false;
    }
    if (h->drained) {
        h->need |= (unsigned)UV_READABLE;
        return false;
    }
    switch (conn_recv(h->c, in, H2_IN_BYTES, &got)) {
    case IO_OK: break;
    case IO_AGAIN: note_need(h); return false;
    case IO_EOF:
    case IO_FAIL: cut(h); return false;
    }
    h->drained = !h->c->is_tls && got < H2_IN_BYTES;
    h->in_ms = loop_now_ms(h->c->loop);
    if (!h->linger) {
        feed(h, in, got);
    }
    if (h->ponged && !h->goodbye) {
        say_goodbye(h);
    }
    return true;
}

/* ---- the machine --------------------------------------------------------------------------------------------------- */

static void work(struct h2 *h)
{
    while (h->ready_first && !h->dead) {
        struct h2_stream *st = h->ready_first;

        h->ready_first = st->ready_next;
        if (!h->ready_first) {
            h->ready_last = NULL;
        }
        st->queued = false;
        h->current = st;
        h2_stream_work(st);
        h->current = NULL;
    }
}

/* The earliest moment something may be late. */
static void set_timer(struct h2 *h)
{
    const struct http_limits *l = limits(h);
    int64_t now = loop_now_ms(h->c->loop), tick;

    if (h->stream_n == 0 && !h->rest && !h->linger && h->head_ms == 0 && !h->noticed && h->served) {
        loop_timer_set(&h->c->timer, h->idle_ms + l->idle_ms - now);
        return;
    }
    tick = MIN_OF(MIN_OF(l->body_ms, l->write_ms), MIN_OF(l->head_ms, l->linger_ms)) / 4;
    tick = MIN_OF(MAX_OF(tick, (int64_t)TICK_MIN_MS), (int64_t)TICK_MAX_MS);
    if (h->deadline_ms) {
        tick = MIN_OF(tick, MAX_OF(h->deadline_ms - now, (int64_t)1));
    }
    if (h->c->timer.at_ms == 0 || h->c->timer.at_ms > now + tick) {
        loop_timer_set(&h->c->timer, tick);
    }
}

/* All is said: our direction ends, the peer's bytes are thrown away for a while, so that it sees the GOAWAY and not a reset. */
static void begin_linger(struct h2 *h)
{
    drop_streams(h);
    h->c->top->ops->shut(h->c->top);
    h->linger = true;
    h->linger_ms = h->in_ms = loop_now_ms(h->c->loop);
}

static void resume(struct loop_task *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, task);

    if (!c->closing) {
        struct h2 *h = c->proto;

        h->resuming = false;
        http2_run(h);
    }
    conn_unref(c);
}

/* Others' turn. What is left may lie in buffers that no poll sees. */
void h2_yield(struct h2 *h)
{
    if (!h->resuming) {
        h->resuming = true;
        h->c->task.fn = resume;
        conn_ref(h->c);
        loop_post(h->c->loop, &h->c->task);
    }
}

void http2_run(struct h2 *h)
{
    struct conn *c = h->c;
    unsigned budget = RUN_BUDGET;

    if (h->busy) {
        return;
    }
    h->busy = true;
    h->need = 0;
    for (bool more = true; more && !h->dead && budget > 0; budget--) {
        more = false;
        if (!h->linger) {
            work(h);
            more = !h->dead && step_out(h);
        }
        more = (!h->dead && step_in(h)) || more || h->ready_first;
    }
    if (!h->dead && !h->linger && !h->rest && !h->ready_first && !nghttp2_session_want_read(h->s) &&
        !nghttp2_session_want_write(h->s)) {
        begin_linger(h);
        h2_yield(h);
    }
    h->busy = false;
    if (h->dead) {
        conn_close(c);
        return;
    }
    if (budget == 0) {
        h2_yield(h);
    }
    conn_want(c, h->need);
    if (!c->closing) {
        set_timer(h);
    }
}

static void h2_conn_ready(struct conn *c, bool readable, bool writable)
{
    struct h2 *h = c->proto;

    (void)writable;
    h->drained = h->drained && !readable;
    http2_run(h);
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

/* A peer that is not heard of while streams are open is asked for a sign of life; the second silence ends it. */
static void check_alive(struct h2 *h, int64_t now)
{
    if (h->stream_n == 0 || now - h->in_ms < limits(h)->idle_ms) {
        return;
    }
    if (h->ping_out) {
        cut(h);
        return;
    }
    h->ping_out = true;
    h->in_ms = now;
    if (nghttp2_submit_ping(h->s, NGHTTP2_FLAG_NONE, NULL)) {
        cut(h);
    }
}

static void check_times(struct h2 *h, int64_t now)
{
    const struct http_limits *l = limits(h);
    struct h2_stream *next;

    if (h->linger) {
        h->dead =
            now - h->in_ms >= l->linger_ms || now - h->linger_ms >= l->linger_ms * LINGER_TIMES;
        return;
    }
    if ((h->rest && now - h->blocked_ms >= l->write_ms) ||
        (h->head_ms && now - h->head_ms >= l->head_ms)) {
        cut(h);
        return;
    }
    h->deadline_ms = 0;
    for (struct h2_stream *st = h->streams; st; st = next) {
        next = st->next;
        h2_stream_late(st, now);
    }
    if (h->noticed && !h->goodbye && now - h->notice_ms >= NOTICE_MS) {
        say_goodbye(h);
    }
    check_alive(h, now);
    if (h->stream_n == 0 && !h->goodbye &&
        now - h->idle_ms >= (h->served ? l->idle_ms : l->head_ms)) {
        give_up(h, NGHTTP2_NO_ERROR);
    }
}

static void h2_timeout(struct conn *c)
{
    struct h2 *h = c->proto;

    if (!h->busy) {
        h->busy = true;
        check_times(h, loop_now_ms(c->loop));
        h->busy = false;
    }
    http2_run(h);
}

/* Who waits is told first. The first GOAWAY takes every stream that is on its way; the second one, when the peer has answered our ping (so it has seen
 * the first) or NOTICE_MS later, names the last that is answered. */
static void h2_drain(struct conn *c)
{
    struct h2 *h = c->proto;

    if (h->noticed || h->goodbye || h->linger) {
        return;
    }
    h->noticed = true;
    h->notice_ms = loop_now_ms(c->loop);
    h->drained = false;
    h->busy = true;
    for (struct h2_stream *st = h->streams; st; st = st->next) {
        if (st->p) {
            http_core_stop(st->p);
        }
    }
    work(h); /* last words that are there already leave before the GOAWAY */
    if (!h->dead) {
        (void)step_out(h); /* http2_run() goes on */
    }
    h->dead = h->dead || nghttp2_submit_shutdown_notice(h->s) ||
              nghttp2_submit_ping(h->s, NGHTTP2_FLAG_NONE, NULL);
    h->busy = false;
    http2_run(h);
}

static void h2_free(struct conn *c)
{
    struct h2 *h = c->proto;

    c->proto = NULL;
    h->busy = true; /* requests that end here do not come back */
    drop_streams(h);
    nghttp2_session_del(h->s);
    mem_free(h->rest);
    mem_free(h);
}

static const struct proto_ops http2_ops = { "http2", h2_conn_ready, h2_timeout, h2_drain, h2_free };

/* ---- start --------------------------------------------------------------------------------------------------------- */

static bool new_session(struct h2 *h)
{
    nghttp2_mem mem = h2_mem();
    nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits(h)->head_max },
    };
    nghttp2_session_callbacks *cb = h2_callbacks();
    nghttp2_option *opt = NULL;
    bool ok = cb && nghttp2_option_new(&opt) == 0;

    if (ok) {
        nghttp2_option_set_no_auto_window_update(opt, 1);
        if (nghttp2_session_server_new3(&h->s, cb, h, opt, &mem)) {
            h->s = NULL;
        }
        ok = h->s &&
             nghttp2_submit_settings(h->s, NGHTTP2_FLAG_NONE, settings, ARRAY_N(settings)) == 0 &&
             nghttp2_session_set_local_window_size(h->s, NGHTTP2_FLAG_NONE, 0, H2_WINDOW_CONN) == 0;
    }
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return ok;
}

void http2_start(struct conn *c)
{
    struct http_worker *w = CONTAINER_OF(c->owner, struct http_worker, conns);
    struct h2 *h;

    if (w->server->tls && !c->is_tls) {
        http1_start(c); /* which says that this port speaks HTTPS */
        return;
    }
    h = mem_zalloc(1, sizeof(*h));
    if (!h) {
        conn_close(c);
        return;
    }
    h->c = c;
    h->w = w;
    h->in_ms = h->idle_ms = h->noise_ms = loop_now_ms(c->loop);
    if (!new_session(h)) {
        nghttp2_session_del(h->s);
        mem_free(h);
        conn_close(c);
        return;
    }
    net_count(&loop_metrics(c->loop)->h2_conns, 1);
    c->ops = &http2_ops;
    c->proto = h;
    loop_timer_off(&c->timer);
    if (c->owner->draining) {
        h2_drain(c);
    } else {
        http2_run(h);
    }
}
