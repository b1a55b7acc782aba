/* net/http1.c - HTTP/1 as a state machine over one connection.
 * run() takes steps until none makes progress, then asks the loop for what the last step waited for. Whatever happens
 * in between (a handler that answers at once, a timer, a task of another thread) only changes state: run() is never
 * entered twice, so neither pipelined requests nor eager handlers grow the stack. */
#include "net/http1.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/http_int.h"
#include <stdio.h>

enum h1_state { H1_HEAD, H1_REQUEST, H1_WRITE, H1_SKIP, H1_LINGER };
enum h1_timer {
    H1_TIMER_OFF,
    H1_TIMER_IDLE,
    H1_TIMER_HEAD,
    H1_TIMER_BODY,
    H1_TIMER_WRITE,
    H1_TIMER_LINGER
};

enum {
    WINDOW_FIRST = HTTP_WINDOW_FIRST,
    WINDOW_BODY = HTTP_PIECE_BYTES,
    ROOM_MAX = 256 * 1024,
    SENDFILE_MAX = 1 << 20,
    SKIP_MAX = 64 * 1024,
    RUN_BUDGET = 64,
    IOV_MAX_N = 6,
    BODY_JOINED = 1024,
    LINGER_TIMES = 15,
    DRAIN_FRESH_MS = 1000
};

struct http1 {
    struct conn *c;
    struct http_worker *w;
    enum h1_state state;
    enum h1_timer timer;
    unsigned need; /* UV_READABLE, UV_WRITABLE: what the last step waited for */
    bool busy, dead, served, client_close, resuming;
    bool drained; /* the last recv got less than asked: the next one waits for the poll */
    bool keep_alive, closing; /* of the request under way */
    int64_t linger_until;
    /* input */
    char *in;
    size_t off, n, cap;
    struct http1_scan scan;
    struct http1_chunks chunks;
    bool chunked, expect, body_done;
    uint64_t left; /* of a body with Content-Length */
    /* the request and its answer */
    struct http_priv *p;
    bool answered, chunked_out, pulled, last_out;
    struct iovec iov[IOV_MAX_N];
    size_t iov_at, iov_n;
    uint64_t left_out, sent; /* body bytes; left_out is UINT64_MAX while unknown */
    uint64_t file_left;      /* of the piece of a file that the producer gave */
    char chunk_line[24];
    char *raw; /* a refusal without a request */
};

static const struct http_limits *limits(const struct http1 *h)
{
    return &h->w->server->opt.limits;
}

static void set_timer(struct http1 *h, enum h1_timer kind, int64_t ms, bool restart)
{
    if (kind == H1_TIMER_OFF) {
        loop_timer_off(&h->c->timer);
    } else if (kind != h->timer || restart) {
        loop_timer_set(&h->c->timer, ms);
    }
    h->timer = kind;
}

static void note_need(struct http1 *h)
{
    h->need |= h->c->top->need == IO_NEED_WRITE ? (unsigned)UV_WRITABLE : (unsigned)UV_READABLE;
}

/* The request, if any, goes on without the connection; the window that it works on a piece of is its own now. */
static void leave(struct http1 *h)
{
    struct http_priv *p = h->p;

    h->p = NULL;
    if (!p) {
        return;
    }
    if (p->stage == STAGE_HANDLER && !p->piece_wanted && h->in) {
        p->kept = (struct buf){ .p = h->in, .cap = h->cap };
        h->in = NULL;
        h->off = h->n = h->cap = 0;
    }
    http_core_detach(p);
}

/* The connection is of no more use. */
static void cut(struct http1 *h)
{
    h->dead = true;
    leave(h);
}

/* ---- input window --------------------------------------------------------------------------------------------------- */

static void window_drop(struct http1 *h)
{
    if (h->in && h->cap == WINDOW_FIRST) {
        http_worker_window_back(h->w, h->in);
    } else {
        mem_free(h->in);
    }
    h->in = NULL;
    h->off = h->n = h->cap = 0;
}

static bool window_room(struct http1 *h)
{
    size_t want = h->state == H1_REQUEST ? (size_t)WINDOW_BODY : (size_t)WINDOW_FIRST;

    if (h->off == h->n) {
        h->off = h->n = 0;
        if (h->cap < want) {
            window_drop(h);
            h->in = want == WINDOW_FIRST ? http_worker_window(h->w) : mem_alloc(want);
            h->cap = h->in ? want : 0;
        }
        return h->in != NULL;
    }
    if (h->n < h->cap) {
        return true;
    }
    if (h->off > 0) {
        memmove(h->in, h->in + h->off, h->n - h->off);
        h->n -= h->off;
        h->off = 0;
        return true;
    }
    char *p = mem_realloc(h->in, h->cap * 2); /* the scan stops a head at its limit */

    if (!p) {
        return false;
    }
    h->in = p;
    h->cap *= 2;
    return true;
}

static struct str window(const struct http1 *h)
{
    return str_of(h->in + h->off, h->n - h->off);
}

/* A short read has emptied the socket; asking again would only cost a call, since the poll is level-triggered. */
static enum io receive(struct http1 *h, char *p, size_t n, size_t *got)
{
    enum io io;

    *got = 0;
    if (h->drained) {
        h->need |= (unsigned)UV_READABLE;
        return IO_AGAIN;
    }
    io = conn_recv(h->c, p, n, got);
    if (io == IO_AGAIN) {
        note_need(h);
    } else if (io == IO_OK && !h->c->is_tls) {
        h->drained = *got < n;
    }
    return io;
}

static enum io fill(struct http1 *h)
{
    size_t got;
    enum io io;

    if (h->drained) {
        return receive(h, NULL, 0, &got);
    }
    if (!window_room(h)) {
        return IO_FAIL;
    }
    io = receive(h, h->in + h->n, h->cap - h->n, &got);
    h->n += got;
    return io;
}

/* ---- refusals without a request ------------------------------------------------------------------------------------- */

static void refuse_raw(struct http1 *h, int status, const char *why)
{
    enum { RAW_MAX = 768 };
    char *raw = mem_alloc(RAW_MAX);
    int n;

    net_count(&loop_metrics(h->c->loop)->bad_heads, 1);
    if (!raw) {
        cut(h);
        return;
    }
    n = snprintf(raw, RAW_MAX,
                 "HTTP/1.1 %d %s\r\nDate: %.*s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "X-Content-Type-Options: nosniff\r\nX-Frame-Options: SAMEORIGIN\r\n"
                 "%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
                 status, http_reason(status), STR_ARG(loop_http_date(h->c->loop)),
                 status == 503 ? "Retry-After: 1\r\n" : "", strlen(why) + 1, why);
    mem_free(h->raw);
    h->raw = raw;
    h->iov[0] = (struct iovec){ raw, (size_t)MIN_OF(n, RAW_MAX - 1) };
    h->iov_at = 0;
    h->iov_n = 1;
    h->keep_alive = false;
    h->body_done = false; /* whatever follows is not understood: linger */
    h->state = H1_WRITE;
}

/* ---- head ------------------------------------------------------------------------------------------------------------ */

static void begin_request(struct http1 *h, size_t head_n)
{
    struct arena *a = http_worker_arena(h->w);
    struct str head = a ? arena_str(a, str_sub(window(h), 0, head_n)) : S("");
    struct http1_head parsed;
    const char *why = "out of memory";
    int bad = 503;

    if (head.n == head_n && head.p) {
        bad =
            http1_parse((char *)(uintptr_t)head.p, head.n, limits(h)->field_max, a, &parsed, &why);
    }
    if (!bad) {
        h->p = http_core_new(h->w, h->c, a, &parsed, &http1_wire, h);
        bad = h->p ? 0 : 503;
    }
    if (bad) {
        arena_free(a); /* NULL-safe */
        refuse_raw(h, bad, why);
        return;
    }
    h->off += head_n;
    memset(&h->scan, 0, sizeof(h->scan));
    memset(&h->chunks, 0, sizeof(h->chunks));
    h->chunked = parsed.chunked;
    h->left = parsed.chunked ? 0 : parsed.content_length;
    h->body_done = !parsed.chunked && parsed.content_length == 0;
    h->expect = parsed.expect_continue && !h->body_done;
    h->client_close = !parsed.keep_alive;
    h->keep_alive = parsed.keep_alive;
    h->closing = h->answered = false;
    h->state = H1_REQUEST;
    set_timer(h, H1_TIMER_OFF, 0, false);
    http_core_begin(h->p);
}

static bool step_head(struct http1 *h)
{
    const struct http_limits *l = limits(h);
    struct http1_limits hl = { l->line_max, l->head_max, l->field_max };
    size_t head_n = 0;
    int rc = h->n > h->off ? http1_scan(&h->scan, window(h), &hl, &head_n) : HTTP1_SCAN_MORE;

    if (rc == HTTP1_SCAN_DONE) {
        begin_request(h, head_n);
        return true;
    }
    if (rc != HTTP1_SCAN_MORE) {
        refuse_raw(h, rc,
                   rc == 414 ? "the request line is too long"
                   : rc == 431
                       ? "the header fields are too large"
                       : "the head is malformed: lines end with CRLF and begin with a token");
        return true;
    }
    switch (fill(h)) {
    case IO_OK: return true;
    case IO_AGAIN:
        if (h->n > h->off) {
            set_timer(h, H1_TIMER_HEAD, l->head_ms, false);
        } else {
            window_drop(h);
            if (h->served) {
                set_timer(h, H1_TIMER_IDLE, l->idle_ms, false);
            }
        }
        return false;
    case IO_EOF:
    case IO_FAIL: break;
    }
    cut(h);
    return false;
}

/* ---- body in ---------------------------------------------------------------------------------------------------------- */

/* What the window holds of the body, without framing. False: nothing yet. */
static bool take_body(struct http1 *h)
{
    struct str in = window(h), data;
    size_t used;

    if (!h->chunked) {
        size_t most = MIN_OF((size_t)WINDOW_BODY, http_core_room_left(h->p));

        data = str_sub(in, 0, (size_t)MIN_OF((uint64_t)MIN_OF(in.n, most), h->left));
        if (data.n == 0) {
            return false;
        }
        h->off += data.n;
        h->left -= data.n;
        h->body_done = h->left == 0;
        http_core_body(h->p, data, h->body_done);
        return true;
    }
    if (in.n == 0) {
        return false;
    }
    http1_chunks_feed(&h->chunks, in, &used, &data);
    h->off += used;
    if (h->chunks.state == HTTP1_CHUNK_BAD) {
        h->closing = true;
        http_core_body_fail(h->p, 400, ST_BAD_REQUEST, "the chunks of the body are malformed");
    } else if (h->chunks.state == HTTP1_CHUNK_DONE) {
        h->body_done = true;
        http_core_body(h->p, S(""), true);
    } else if (data.n > 0) {
        http_core_body(h->p, data, false);
    }
    return true;
}

/* Straight into the buffered body where there is nothing to decode. */
static enum io recv_in_place(struct http1 *h, bool *done)
{
    char *room = NULL;
    size_t n = 0, got = 0;
    enum io io;

    *done = false;
    if (!h->chunked && (h->left >= WINDOW_FIRST || http_core_room_left(h->p) != SIZE_MAX)) {
        n = http_core_room(h->p, (size_t)MIN_OF(h->left, (uint64_t)ROOM_MAX), &room);
    }
    if (n == 0) {
        return fill(h);
    }
    io = receive(h, room, n, &got);
    if (io == IO_OK) {
        *done = true;
        h->left -= got;
        h->body_done = h->left == 0;
        http_core_body(h->p, str_of(room, got), h->body_done);
    }
    return io;
}

static bool send_continue(struct http1 *h)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct iovec iov = { (void *)(uintptr_t)text, sizeof(text) - 1 };
    size_t put = 0;

    h->expect = false;
    /* Nothing else is queued on the socket, so 25 bytes fit; if not, the peer is beyond help. */
    return conn_sendv(h->c, &iov, 1, false, &put) == IO_OK && put == iov.iov_len;
}

static bool read_body(struct http1 *h)
{
    bool done;

    if (take_body(h)) {
        set_timer(h, H1_TIMER_OFF, 0, false);
        return true;
    }
    if (h->expect && !send_continue(h)) {
        cut(h);
        return false;
    }
    switch (recv_in_place(h, &done)) {
    case IO_OK: set_timer(h, H1_TIMER_OFF, 0, false); return true;
    case IO_AGAIN: set_timer(h, H1_TIMER_BODY, limits(h)->body_ms, false); return false;
    case IO_EOF:
    case IO_FAIL: break;
    }
    cut(h);
    return false;
}

/* ---- answer out -------------------------------------------------------------------------------------------------------- */

static void iov_add(struct http1 *h, const void *p, size_t n)
{
    if (n > 0) {
        CHECK(h->iov_n < IOV_MAX_N);
        h->iov[h->iov_n++] = (struct iovec){ (void *)(uintptr_t)p, n };
    }
}

/* A fixed answer for when no memory is left to write another. */
static void answer_nomem(struct http1 *h)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                               "Retry-After: 1\r\nConnection: close\r\n\r\n";

    h->p->answer.status = 503;
    h->keep_alive = false;
    h->left_out = 0;
    h->chunked_out = false;
    h->iov_n = 0;
    iov_add(h, text, sizeof(text) - 1);
}

static char *put_text(char *o, struct str s)
{
    memcpy(o, s.p, s.n);
    return o + s.n;
}

/* The head, and after it a body that is short enough to go out with it in one piece. */
static bool print_head(struct http1 *h, bool with_length, struct str body)
{
    struct http_priv *p = h->p;
    struct http_answer *an = &p->answer;
    size_t cap = 160 + body.n;
    char *out, *o;

    for (size_t i = 0; i < an->field_n; i++) {
        cap += an->fields[i].name.n + an->fields[i].value.n + 4;
    }
    out = arena_alloc(p->req.arena, cap);
    if (!out) {
        return false;
    }
    o = put_text(out, S("HTTP/1.1 "));
    o += num_print_u64((uint64_t)an->status, o);
    *o++ = ' ';
    o = put_text(o, str_cstr(http_reason(an->status)));
    o = put_text(o, S("\r\n"));
    for (size_t i = 0; i < an->field_n; i++) {
        o = put_text(o, an->fields[i].name);
        o = put_text(o, S(": "));
        o = put_text(o, an->fields[i].value);
        o = put_text(o, S("\r\n"));
    }
    if (with_length) {
        o = put_text(o, S("Content-Length: "));
        o += num_print_u64((uint64_t)an->length, o);
        o = put_text(o, S("\r\n"));
    } else if (h->chunked_out) {
        o = put_text(o, S("Transfer-Encoding: chunked\r\n"));
    }
    if (!h->keep_alive) {
        o = put_text(o, S("Connection: close\r\n"));
    } else if (p->req.version == 10) {
        o = put_text(o, S("Connection: keep-alive\r\n"));
    }
    o = put_text(o, S("\r\n"));
    o = put_text(o, body);
    iov_add(h, out, (size_t)(o - out));
    return true;
}

/* May the connection go on after this answer? */
static bool can_keep(struct http1 *h)
{
    if (!h->keep_alive || h->closing || h->w->conns.draining) {
        return false;
    }
    if (h->body_done) {
        return true;
    }
    /* An unread body: skipped if it is small and on its way. */
    return !h->chunked && !h->expect && h->left <= SKIP_MAX;
}

static void start_answer(struct http1 *h)
{
    struct http_priv *p = h->p;
    struct http_answer *an = &p->answer;
    bool bodyless = an->status == 204 || an->status == 304 || an->status < 200;
    bool no_body = bodyless || p->req.method == HTTP_HEAD;
    bool known = an->length >= 0, bytes, joined;

    h->answered = false;
    h->keep_alive = can_keep(h);
    h->chunked_out = !known && !no_body && p->req.version == 11;
    if (!known && !no_body && p->req.version == 10) {
        h->keep_alive = false; /* delimited by the close */
    }
    h->iov_at = h->iov_n = 0;
    h->sent = 0;
    h->pulled = h->last_out = false;
    h->file_left = 0;
    h->left_out = no_body ? 0 : known ? (uint64_t)an->length : UINT64_MAX;
    h->state = H1_WRITE;
    bytes = an->kind == ANSWER_BYTES && !no_body;
    joined = bytes && an->body.n > 0 && an->body.n <= BODY_JOINED;
    if (!http_core_fields(p) || !print_head(h, known && !bodyless, joined ? an->body : S(""))) {
        answer_nomem(h);
        return;
    }
    if (bytes) {
        if (!joined) iov_add(h, an->body.p, an->body.n);
        h->sent = an->body.n;
        h->left_out = 0;
    }
}

/* Queues what the producer gave. False: the answer cannot be completed. */
static bool take_given(struct http1 *h)
{
    struct http_answer *an = &h->p->answer;
    struct str bytes = an->give;

    an->given = false;
    if (an->give_flags & HTTP_GIVE_ABORT) {
        return false;
    }
    if (an->give_n > 0) { /* of an answer of known length, as http_can_give_file() says */
        h->file_left = MIN_OF(an->give_n, h->left_out);
        h->left_out -= h->file_left;
        h->sent += h->file_left;
        h->last_out = h->left_out == 0;
        return true;
    }
    h->last_out = (an->give_flags & HTTP_GIVE_LAST) != 0;
    if (h->left_out != UINT64_MAX) {
        bytes = str_sub(bytes, 0, (size_t)MIN_OF((uint64_t)bytes.n, h->left_out));
        h->left_out -= bytes.n;
        if (h->last_out && h->left_out > 0) {
            return false; /* shorter than promised */
        }
        h->last_out = h->left_out == 0;
    }
    if (bytes.n == 0 && !h->last_out) {
        return false;
    }
    h->sent += bytes.n;
    if (h->chunked_out && bytes.n > 0) {
        int n = snprintf(h->chunk_line, sizeof(h->chunk_line), "%zx\r\n", bytes.n);

        iov_add(h, h->chunk_line, (size_t)n);
    }
    iov_add(h, bytes.p, bytes.n);
    if (h->chunked_out) {
        if (bytes.n > 0) {
            iov_add(h, "\r\n", 2);
        }
        if (h->last_out) {
            iov_add(h, "0\r\n\r\n", 5);
        }
    }
    return true;
}

static void finish_answer(struct http1 *h)
{
    struct http_priv *p = h->p;
    bool quiet = h->body_done && h->off == h->n && h->client_close;

    h->p = NULL;
    h->served = true;
    if (p) {
        http_core_finish(p, true, h->sent);
    }
    mem_free(h->raw);
    h->raw = NULL;
    if (h->keep_alive) {
        h->state = h->body_done ? H1_HEAD : H1_SKIP;
        set_timer(h, H1_TIMER_OFF, 0, false);
        return;
    }
    if (quiet) {
        h->dead = true;
        return;
    }
    /* The peer may still be sending: closing now could destroy the answer on its way. */
    h->c->top->ops->shut(h->c->top);
    h->state = H1_LINGER;
    h->linger_until = loop_now_ms(h->c->loop) + limits(h)->linger_ms * LINGER_TIMES;
    set_timer(h, H1_TIMER_LINGER, limits(h)->linger_ms, true);
}

/* One call on the socket. */
static enum io push(struct http1 *h, size_t *put)
{
    struct http_answer *an = h->p ? &h->p->answer : NULL;
    bool file = an && ((an->kind == ANSWER_FILE && h->left_out > 0) || h->file_left > 0);
    enum io io;

    if (h->iov_at < h->iov_n) {
        io = conn_sendv(h->c, h->iov + h->iov_at, h->iov_n - h->iov_at, file, put);
        for (size_t left = io == IO_OK ? *put : 0; left > 0;) {
            struct iovec *v = &h->iov[h->iov_at];
            size_t k = MIN_OF(left, v->iov_len);

            v->iov_base = (char *)v->iov_base + k;
            v->iov_len -= k;
            left -= k;
            h->iov_at += v->iov_len == 0;
        }
        return io;
    }
    if (h->file_left > 0) {
        size_t n = (size_t)MIN_OF(h->file_left, (uint64_t)SENDFILE_MAX);

        io = an->give_pipe ? conn_splice(h->c, an->give_fd, n, put)
                           : conn_sendfile(h->c, an->give_fd, an->give_at, n, put);
        if (io == IO_OK) {
            an->give_at += *put;
            h->file_left -= *put;
        }
        return io;
    }
    io = conn_sendfile(h->c, an->fd, an->offset + h->sent,
                       (size_t)MIN_OF(h->left_out, (uint64_t)SENDFILE_MAX), put);
    if (io == IO_OK) {
        h->left_out -= *put;
        h->sent += *put;
    }
    return io;
}

static bool step_write(struct http1 *h)
{
    struct http_priv *p = h->p;
    bool stream = p && p->answer.kind == ANSWER_STREAM && h->left_out > 0 && !h->last_out &&
                  h->file_left == 0;
    size_t put = 0;

    /* The first bytes of a stream share the packet with the head if they come at once. */
    if (stream && !p->answer.pulling && !p->answer.given && (h->iov_at == h->iov_n || !h->pulled)) {
        h->pulled = true;
        http_core_pull(p, p->answer.offset + h->sent);
    }
    if (stream && p->answer.given && (h->iov_at == h->iov_n || h->iov_n == 1)) {
        if (h->iov_at == h->iov_n) {
            h->iov_at = h->iov_n = 0;
        }
        if (!take_given(h)) {
            cut(h);
            return false;
        }
    }
    if (h->iov_at == h->iov_n && h->file_left == 0 &&
        (!p || p->answer.kind != ANSWER_FILE || h->left_out == 0)) {
        if (stream && p->answer.pulling) {
            set_timer(h, H1_TIMER_OFF, 0, false);
            return false;
        }
        if (!stream || h->last_out) {
            finish_answer(h);
        }
        return true;
    }
    switch (push(h, &put)) {
    case IO_OK: set_timer(h, H1_TIMER_OFF, 0, false); return true;
    case IO_AGAIN:
        note_need(h);
        set_timer(h, H1_TIMER_WRITE, limits(h)->write_ms, false);
        return false;
    case IO_EOF:
    case IO_FAIL: break;
    }
    cut(h);
    return false;
}

/* ---- after the answer --------------------------------------------------------------------------------------------------- */

static bool step_skip(struct http1 *h)
{
    size_t n = (size_t)MIN_OF((uint64_t)(h->n - h->off), h->left);

    h->off += n;
    h->left -= n;
    if (h->left == 0) {
        h->body_done = true;
        h->state = H1_HEAD;
        set_timer(h, H1_TIMER_OFF, 0, false);
        return true;
    }
    switch (fill(h)) {
    case IO_OK: return true;
    case IO_AGAIN: set_timer(h, H1_TIMER_BODY, limits(h)->body_ms, false); return false;
    case IO_EOF:
    case IO_FAIL: break;
    }
    cut(h);
    return false;
}

static bool step_linger(struct http1 *h)
{
    h->off = h->n;
    switch (fill(h)) {
    case IO_OK:
        if (loop_now_ms(h->c->loop) > h->linger_until) {
            break;
        }
        set_timer(h, H1_TIMER_LINGER, limits(h)->linger_ms, true);
        return true;
    case IO_AGAIN: window_drop(h); return false;
    case IO_EOF:
    case IO_FAIL: break;
    }
    cut(h);
    return false;
}

/* ---- the machine ---------------------------------------------------------------------------------------------------------- */

static bool step_request(struct http1 *h)
{
    if (h->answered) {
        start_answer(h);
        return true;
    }
    if (http_core_wants(h->p)) {
        return http_core_flush(h->p) || read_body(h);
    }
    if (http_core_paused(h->p)) {
        set_timer(h, H1_TIMER_BODY, limits(h)->body_ms, false);
        return false;
    }
    if (h->body_done && h->off == h->n && h->cap == WINDOW_FIRST &&
        h->p->mode == HTTP_BODY_BUFFERED) {
        window_drop(h); /* for the next request of any connection: it lies in the cache */
    }
    set_timer(h, H1_TIMER_OFF, 0, false);
    return false;
}

static bool step(struct http1 *h)
{
    switch (h->state) {
    case H1_HEAD: return step_head(h);
    case H1_REQUEST: return step_request(h);
    case H1_WRITE: return step_write(h);
    case H1_SKIP: return step_skip(h);
    case H1_LINGER: return step_linger(h);
    }
    return false;
}

static void run(struct http1 *h);

static void resume(struct loop_task *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, task);

    if (!c->closing) {
        struct http1 *h = c->proto;

        h->resuming = false;
        run(h);
    }
    conn_unref(c);
}

static void run(struct http1 *h)
{
    struct conn *c = h->c;
    unsigned budget = RUN_BUDGET;

    if (h->busy) {
        return;
    }
    h->busy = true;
    h->need = 0;
    while (!h->dead && step(h)) {
        if (--budget == 0) {
            /* Others' turn. What is left may lie in our window, where no poll sees it. */
            if (!h->resuming) {
                h->resuming = true;
                c->task.fn = resume;
                conn_ref(c);
                loop_post(c->loop, &c->task);
            }
            h->busy = false;
            return;
        }
    }
    h->busy = false;
    if (h->dead) {
        conn_close(c);
    } else if (h->need) {
        conn_want(c, h->need);
    } else if (c->mask != UV_READABLE) {
        /* Nobody waits for the socket. Polling for reads goes on until it disturbs: most answers come before. */
        conn_want(c, UV_DISCONNECT);
    }
}

static void h1_ready(struct conn *c, bool readable, bool writable)
{
    struct http1 *h = c->proto;
    bool idle = h->need == 0;

    (void)writable;
    h->drained = h->drained && !readable;
    if (idle && readable) {
        if (c->mask == 0) {
            cut(h); /* an error on the socket */
        } else if (c->mask == UV_DISCONNECT) {
            conn_want(c, 0); /* the peer has ended its direction; the answer may still be wanted */
            return;
        } else {
            conn_want(c, UV_DISCONNECT); /* bytes nobody wants now */
            return;
        }
    }
    run(h);
}

static void h1_timeout(struct conn *c)
{
    struct http1 *h = c->proto;

    h->timer = H1_TIMER_OFF;
    if (h->state == H1_HEAD && h->n > h->off) {
        refuse_raw(h, 408, "the head did not arrive in time");
    } else if (h->state == H1_REQUEST && http_core_paused(h->p)) {
        h->closing = true;
        h->busy = true;
        http_core_body_fail(h->p, 503, ST_UNAVAILABLE, "too many request bodies are in memory");
        h->busy = false;
    } else if (h->state == H1_REQUEST && http_core_wants(h->p)) {
        h->closing = true;
        h->busy = true;
        http_core_body_fail(h->p, 408, ST_DEADLINE, "the body did not arrive in time");
        h->busy = false;
    } else {
        cut(h);
    }
    run(h);
}

static void h1_drain(struct conn *c)
{
    struct http1 *h = c->proto;

    if (h->state != H1_HEAD) {
        if (h->p) {
            http_core_stop(h->p);
        }
        return;
    }
    conn_ref(c);
    h->drained = false;
    run(h); /* a request may have just arrived */
    if (!c->closing && h->state == H1_HEAD && h->n == h->off) {
        if (h->served) {
            conn_close(c);
        } else {
            set_timer(h, H1_TIMER_HEAD, MIN_OF(limits(h)->head_ms, (int64_t)DRAIN_FRESH_MS), true);
        }
    }
    conn_unref(c);
}

static void h1_free(struct conn *c)
{
    struct http1 *h = c->proto;

    c->proto = NULL;
    leave(h);
    window_drop(h);
    mem_free(h->raw);
    mem_free(h);
}

static const struct proto_ops http1_ops = { "http1", h1_ready, h1_timeout, h1_drain, h1_free };

void http1_start(struct conn *c)
{
    struct http1 *h = mem_zalloc(1, sizeof(*h));

    if (!h) {
        conn_close(c);
        return;
    }
    h->c = c;
    h->w = CONTAINER_OF(c->owner, struct http_worker, conns);
    c->ops = &http1_ops;
    c->proto = h;
    h->timer = H1_TIMER_HEAD; /* running since the accept */
    if (h->w->server->tls && !c->is_tls) {
        refuse_raw(h, 400, "this port speaks HTTPS");
    }
    run(h);
}

/* ---- what the request asks of its carrier ------------------------------------------------------------------------------------ */

static bool wire_busy(void *carrier)
{
    const struct http1 *h = carrier;

    return h->busy;
}

static void wire_run(void *carrier)
{
    run(carrier);
}

static void wire_answer(void *carrier)
{
    struct http1 *h = carrier;

    h->answered = true;
    run(h);
}

const struct http_wire http1_wire = { .busy = wire_busy,
                                      .want = wire_run,
                                      .answer = wire_answer,
                                      .given = wire_run,
                                      .gives_files = true };
