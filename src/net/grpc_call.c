/* net/grpc_call.c - see grpc_call.h.
 * Everything happens in go(): it takes a step as long as there is one, and only then gives or reads, which may be the end of the
 * request. */
#include "net/grpc_call.h"
#include "base/clock.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "net/http_int.h"
#include <stdatomic.h>
#include <stdio.h>

enum {
    SEND_BYTES = 64 * 1024, /* so much of what was said leaves before more is asked */
    OUT_MAX = 64 << 20,
    SCRATCH_MAX = 64 << 20,
    KEEP_MAX = 16 * 1024, /* what a call that waits keeps of its buffers */
    COMPRESS_MIN = 16 * 1024
};

enum act { ACT_AGAIN, ACT_WAIT, ACT_READ, ACT_GIVE, ACT_LAST };

static void go(struct grpc_call *c);

/* ---- out ------------------------------------------------------------------------------------------------------------ */

void grpc_call_say(struct grpc_call *c, struct str message)
{
    struct buf small = BUF_INIT(OUT_MAX);

    if (c->zip && message.n >= COMPRESS_MIN &&
        coding_compress(CODING_GZIP, message, &small, NULL) == OK && small.n < message.n) {
        grpc_put(&c->out, GRPC_FLAG_COMPRESSED, buf_str(&small));
    } else {
        grpc_put(&c->out, 0, message);
    }
    buf_release(&small);
}

/* The outcome, in trailers or in the last frame. */
static void put_outcome(struct grpc_call *c)
{
    struct http_req *req = c->req;
    int code = c->st ? status_row(c->st)->grpc : 0;
    char number[16];
    struct str text, details;

    (void)snprintf(number, sizeof(number), "%d", code);
    text = c->st ? grpc_message(c->scratch, str_cstr(c->err.message)) : S("");
    if (c->form != GRPC_PLAIN) {
        text = arena_printf(c->scratch, "grpc-status:%d\r\n%s%.*s%s", code,
                            c->st ? "grpc-message:" : "", STR_ARG(text), c->st ? "\r\n" : "");
        grpc_put(&c->out, GRPC_FLAG_TRAILERS, text);
        return;
    }
    http_add_trailer(req, S("grpc-status"), str_cstr(number));
    if (c->st) {
        http_add_trailer(req, S("grpc-message"), text.p ? text : S(""));
        details = grpc_details(c->scratch, code, status_row(c->st)->name, &c->err);
        if (details.p) {
            http_add_trailer(req, S("grpc-status-details-bin"), details);
        }
    }
}

/* Answers the pull: with what was said, which it keeps until the next one. The last thing that is done with the call. */
static void give(struct grpc_call *c, bool last)
{
    struct buf sent = c->sending;
    bool failed;

    if (last) {
        put_outcome(c);
        c->answered = true;
    }
    c->sending = c->out;
    c->out = sent;
    buf_clear(&c->out);
    if (c->form == GRPC_WEB_TEXT) {
        base64_put(&c->out, buf_str(&c->sending), BASE64_STD);
        failed = c->sending.failed || c->out.failed;
        sent = c->out;
        c->out = c->sending;
        c->sending = sent;
        buf_clear(&c->out);
    } else {
        failed = c->sending.failed != OK;
    }
    if (c->out.cap > KEEP_MAX) {
        buf_release(&c->out);
    }
    c->pulling = false;
    http_give(c->req, buf_str(&c->sending),
              failed ? HTTP_GIVE_ABORT
              : last ? HTTP_GIVE_LAST
                     : HTTP_GIVE_MORE);
}

/* ---- in ------------------------------------------------------------------------------------------------------------- */

static void end_with(struct grpc_call *c, enum status st, const char *text)
{
    c->over = true;
    c->st = err_set(&c->err, st, "%s", text);
}

static void fail_stopped(struct grpc_call *c)
{
    end_with(c, c->stopped,
             c->stopped == ST_DEADLINE      ? "the deadline has passed"
             : c->stopped == ST_UNAVAILABLE ? "the server is going down"
                                            : "the client has gone");
}

static struct str unread(const struct grpc_call *c)
{
    return str_sub(buf_str(&c->in), c->in_at, SIZE_MAX);
}

/* A whole message waits, or what is there will never be one. */
static bool has_message(const struct grpc_call *c)
{
    struct str in = unread(c);
    struct grpc_frame f;

    return grpc_take(&in, c->max, &f) != GRPC_MORE;
}

static void begin_turn(struct grpc_call *c)
{
    arena_reset(c->scratch);
    c->turn = true;
}

static enum act take_message(struct grpc_call *c)
{
    struct str in = unread(c), message;
    struct grpc_frame f;

    switch (grpc_take(&in, c->max, &f)) {
    case GRPC_GOT: break;
    case GRPC_MORE:
        if (!c->in_end) {
            if (c->in_at == c->in.n && c->in.cap > KEEP_MAX) {
                buf_release(&c->in);
                c->in_at = 0;
            }
            return ACT_READ;
        }
        if (in.n > 0) {
            end_with(c, ST_BAD_REQUEST, "the last message is cut short");
            return ACT_AGAIN;
        }
        if (c->ops->stays && c->rested) {
            return ACT_WAIT; /* to be woken */
        }
        c->rested = true;
        begin_turn(c);
        c->ops->rest(c);
        return ACT_AGAIN;
    case GRPC_TOO_BIG:
        c->over = true;
        c->st = err_set(&c->err, ST_TOO_BIG, "message exceeds %zu bytes", c->max);
        return ACT_AGAIN;
    case GRPC_BROKEN:
        end_with(c, ST_BAD_REQUEST, "the frames of the body are malformed");
        return ACT_AGAIN;
    }
    c->in_at = c->in.n - in.n;
    message = f.bytes;
    if (f.compressed) {
        c->st = grpc_unzip(http_header(c->req, S("grpc-encoding")), f.bytes, c->max, &c->plain,
                           &c->err);
        if (c->st) {
            if (c->st == ST_NOT_IMPLEMENTED && c->form == GRPC_PLAIN) {
                http_add_trailer(c->req, S("grpc-accept-encoding"), S("identity,gzip"));
            }
            c->over = true;
            return ACT_AGAIN;
        }
        message = buf_str(&c->plain);
    }
    begin_turn(c);
    c->pushed = false;
    c->ops->message(c, message);
    return ACT_AGAIN;
}

static enum act step(struct grpc_call *c)
{
    if (c->turn) {
        return ACT_WAIT; /* its end goes on */
    }
    if (c->ended) {
        c->over = true;
    }
    if (c->stopped && !c->over) {
        fail_stopped(c);
    }
    if (c->lost && !c->over) {
        end_with(c, c->lost, "the request has broken off");
    }
    if (c->in.failed && !c->over) {
        end_with(c, c->in.failed, "the message does not fit in memory");
    }
    if (!c->pulling) {
        return ACT_WAIT; /* the client takes nothing: nothing is asked of it */
    }
    if (c->out.failed && !c->over) {
        end_with(c, c->out.failed, "the answer does not fit in memory");
        buf_clear(&c->out);
    }
    if (c->over) {
        return ACT_LAST;
    }
    if (c->woken && c->out.n < SEND_BYTES && !(c->pushed && has_message(c))) {
        begin_turn(c);
        c->woken = false;
        c->pushed = true;
        c->ops->push(c);
        return ACT_AGAIN;
    }
    if (c->out.n >= SEND_BYTES || (c->out.n > 0 && !has_message(c))) {
        return ACT_GIVE;
    }
    return take_message(c);
}

static void on_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                     const struct err *err)
{
    struct grpc_call *c = ctx;

    (void)req;
    c->reading = false;
    if (what == HTTP_PIECE_DATA) {
        if (c->in_at > 0) {
            size_t left = c->in.n - c->in_at;

            if (left > 0) memmove(c->in.p, c->in.p + c->in_at, left);
            c->in.n = left;
            c->in_at = 0;
        }
        buf_put_str(&c->in, bytes);
    } else if (what == HTTP_PIECE_END) {
        c->in_end = true;
    } else {
        c->lost = err->code;
    }
    go(c);
}

static void go(struct grpc_call *c)
{
    enum act act;

    if (c->going || c->answered) {
        return;
    }
    c->going = true;
    do {
        act = step(c);
    } while (act == ACT_AGAIN);
    c->going = false;
    if (act == ACT_GIVE || act == ACT_LAST) {
        give(c, act == ACT_LAST);
    } else if (act == ACT_READ && !c->reading) {
        c->reading = true;
        http_body_read(c->req, on_piece, c);
    }
}

/* ---- the end of a turn ------------------------------------------------------------------------------------------------ */

static void turn_over(struct http_req *req, void *ctx)
{
    struct grpc_call *c = ctx;

    (void)req;
    c->turn = false;
    go(c);
}

void grpc_call_next(struct grpc_call *c)
{
    if (!loop_is_current(c->req->loop)) {
        http_req_post(c->req, turn_over, c);
    } else {
        turn_over(c->req, c);
    }
}

void grpc_call_end(struct grpc_call *c, enum status st, const struct err *err)
{
    c->st = st;
    if (st) {
        c->err = *err;
    }
    c->ended = true;
    grpc_call_next(c);
}

/* ---- waking ------------------------------------------------------------------------------------------------------------- */

struct grpc_waker {
    struct loop_task task;
    struct loop *loop;
    struct grpc_call *call; /* NULL: it is over. The loop's */
    atomic_uint refs;       /* one is the call's, one of a task that is on its way */
    atomic_bool posted;
};

void grpc_call_wake(struct grpc_call *c)
{
    c->woken = true;
    go(c);
}

static void run_wake(struct loop_task *t)
{
    struct grpc_waker *w = CONTAINER_OF(t, struct grpc_waker, task);

    /* Acquires what was done before a wake that found this true: the partner is in grpc_wake(). */
    atomic_exchange_explicit(&w->posted, false, memory_order_acq_rel);
    if (w->call) {
        grpc_call_wake(w->call);
    }
    grpc_waker_unref(w);
}

struct grpc_waker *grpc_call_waker(struct grpc_call *c)
{
    struct grpc_waker *w = c->waker;

    if (!w) {
        w = mem_zalloc(1, sizeof(*w));
        if (!w) {
            return NULL;
        }
        w->task.fn = run_wake;
        w->loop = c->req->loop;
        w->call = c;
        atomic_init(&w->refs, 1);
        c->waker = w;
    }
    grpc_waker_ref(w);
    return w;
}

void grpc_wake(struct grpc_waker *w)
{
    /* Released to run_wake(). */
    if (!atomic_exchange_explicit(&w->posted, true, memory_order_acq_rel)) {
        grpc_waker_ref(w);
        loop_post(w->loop, &w->task);
    }
}

void grpc_waker_ref(struct grpc_waker *w)
{
    /* Relaxed: who has a reference gives another. */
    atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
}

void grpc_waker_unref(struct grpc_waker *w)
{
    /* Acquire and release: the last one sees what the others did. */
    if (w && atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(w);
    }
}

/* ---- the answer as a stream --------------------------------------------------------------------------------------------- */

static void on_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct grpc_call *c = ctx;

    (void)req;
    (void)at;
    c->pulling = true;
    if (c->sending.cap > KEEP_MAX) {
        buf_release(&c->sending);
    }
    go(c);
}

static void on_stop(struct http_req *req, void *ctx)
{
    struct grpc_call *c = ctx;

    c->stopped = http_is_gone(req)   ? ST_CANCELLED
                 : http_is_late(req) ? ST_DEADLINE
                                     : ST_UNAVAILABLE;
    if (c->turn) {
        if (c->ops->stop) {
            c->ops->stop(c, c->stopped);
        }
        return;
    }
    if (c->ops->stays && c->ops->stop && !c->ended && !c->over) {
        begin_turn(c);
        c->ops->stop(c, c->stopped);
        return;
    }
    go(c);
}

static void on_done(struct http_req *req, void *ctx)
{
    struct grpc_call *c = ctx;

    (void)req;
    if (c->waker) {
        c->waker->call = NULL;
        grpc_waker_unref(c->waker);
    }
    if (c->ops->done) {
        c->ops->done(c);
    }
    buf_release(&c->in);
    buf_release(&c->plain);
    buf_release(&c->out);
    buf_release(&c->sending);
    arena_free(c->scratch);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------------ */

static void begin_answer(struct grpc_call *c)
{
    static const struct http_producer producer = { .pull = on_pull,
                                                   .done = on_done,
                                                   .stop = on_stop };

    http_type(c->req, grpc_type(c->form));
    http_no_compress(c->req);
    if (c->zip) {
        http_add_header(c->req, S("grpc-encoding"), S("gzip"));
    }
    http_send_stream(c->req, HTTP_LENGTH_UNKNOWN, &producer, c);
}

static void refuse(struct grpc_call *c, const struct err *err)
{
    static const struct grpc_call_ops none;
    struct err copy = *err;
    struct http_req *req = c->req;

    c->ops = &none;
    on_done(req, c);
    http_send_error(req, &copy);
}

/* gRPC-Web: everything is read, then answered. */
static void on_web_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                         const struct err *err)
{
    struct grpc_call *c = ctx;
    struct err bad = ERR_INIT;
    struct str text;
    bool nomem = false;

    if (what == HTTP_PIECE_FAIL) {
        refuse(c, err);
        return;
    }
    if (what == HTTP_PIECE_DATA) {
        buf_put_str(&c->in, bytes);
        if (!c->in.failed) {
            http_body_read(req, on_web_piece, c);
            return;
        }
        IGNORE_STATUS(err_set(&bad, c->in.failed, "the messages do not fit in memory")); /* fills */
        refuse(c, &bad);
        return;
    }
    if (c->form == GRPC_WEB_TEXT) {
        if (!base64_decode(buf_str(&c->in), req->arena, &text, &nomem)) {
            IGNORE_STATUS(nomem ? err_nomem(&bad)
                                : err_set(&bad, ST_BAD_REQUEST, "the body is not base64"));
            refuse(c, &bad);
            return;
        }
        buf_clear(&c->in);
        buf_put_str(&c->in, text);
    }
    c->in_end = true;
    begin_answer(c);
}

enum status grpc_call_start(struct grpc_call *c, struct http_req *req, size_t max,
                            const struct grpc_call_ops *ops, struct err *err)
{
    struct str timeout = http_header(req, S("grpc-timeout"));
    int64_t ns = 0, left;

    *c = (struct grpc_call){ .req = req, .ops = ops, .max = max };
    c->form = grpc_form(http_header(req, S("content-type")));
    c->zip = http_header_has(req, S("grpc-accept-encoding"), S("gzip")) && c->form == GRPC_PLAIN;
    c->scratch = arena_new(SCRATCH_MAX);
    if (!c->scratch) {
        return err_nomem(err);
    }
    buf_init(&c->in, (c->form == GRPC_WEB_TEXT ? max / 3 * 4 + 4 : max) + GRPC_PREFIX +
                         2 * HTTP_PIECE_BYTES);
    buf_init(&c->plain, max);
    buf_init(&c->out, OUT_MAX);
    buf_init(&c->sending, OUT_MAX);
    if (timeout.p && grpc_timeout(timeout, &ns)) {
        left = ns - (clock_mono_ns() - req->start_ns);
        http_deadline(req, left / 1000000 + 1);
    }
    if (c->form == GRPC_PLAIN && http_can_converse(req)) {
        begin_answer(c);
    } else {
        http_body_read(req, on_web_piece, c);
    }
    return OK;
}
