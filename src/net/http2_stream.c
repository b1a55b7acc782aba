/* net/http2_stream.c - a stream of HTTP/2 as a request: head, body in, answer out. */
#include "base/mem.h"
#include "base/num.h"
#include "base/sys.h"
#include "net/http2_int.h"

enum {
    HEAD_WASTE = 4, /* a head of so many times the limit is reset, not answered */
    FIELD_COST = 32 /* what HTTP/2 counts for a field beyond its text */
};

static const struct http_limits *limits(const struct h2_stream *st)
{
    return &st->h->w->server->opt.limits;
}

static struct net_metrics *metrics(const struct h2 *h)
{
    return loop_metrics(h->c->loop);
}

static void progress(struct h2_stream *st)
{
    st->since_ms = loop_now_ms(st->h->c->loop);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static struct h2_stream *stream_new(struct h2 *h, int32_t id)
{
    struct h2_stream *st = mem_zalloc(1, sizeof(*st));

    if (!st) {
        return NULL;
    }
    st->arena = http_worker_arena(h->w);
    if (!st->arena) {
        mem_free(st);
        return NULL;
    }
    st->h = h;
    st->id = id;
    buf_init(&st->pending, H2_WINDOW_FAST + H2_FRAME_MAX);
    buf_init(&st->piece, H2_WINDOW_FAST + H2_FRAME_MAX);
    st->next = h->streams;
    if (st->next) {
        st->next->prev = st;
    }
    h->streams = st;
    h->stream_n++;
    h->served = true;
    progress(st);
    net_count(&metrics(h)->h2_streams, 1);
    return st;
}

static void stream_free(struct h2_stream *st)
{
    struct h2 *h = st->h;

    *(st->prev ? &st->prev->next : &h->streams) = st->next;
    if (st->next) {
        st->next->prev = st->prev;
    }
    h->stream_n--;
    h->idle_ms = loop_now_ms(h->c->loop);
    if (st->fast) {
        h->fast_n--;
        atomic_fetch_sub_explicit(&h->w->server->bodies, H2_WINDOW_FAST, memory_order_relaxed);
    }
    if (st->arena) {
        http_worker_arena_back(h->w, st->arena);
    }
    buf_release(&st->pending);
    buf_release(&st->piece);
    mem_free(st);
}

static void detach(struct h2_stream *st)
{
    struct http_priv *p = st->p;

    st->p = NULL;
    if (p) {
        p->kept = st->piece;
        st->piece = (struct buf){ 0 };
        http_core_detach(p);
    }
}

void h2_stream_drop(struct h2_stream *st)
{
    detach(st);
    stream_free(st);
}

static void reset(struct h2_stream *st, uint32_t why)
{
    if (!st->closed && nghttp2_submit_rst_stream(st->h->s, NGHTTP2_FLAG_NONE, st->id, why)) {
        st->h->dead = true;
    }
}

/* ---- head --------------------------------------------------------------------------------------------------------- */

static void head_bad(struct h2_stream *st, int status, const char *why)
{
    if (st->bad == 0) {
        st->bad = status;
        st->why = why;
    }
}

/* The crumbs of a cookie are one field again. */
static bool join_cookie(struct h2_stream *st, struct str value)
{
    for (size_t i = 0; i < st->head.field_n; i++) {
        struct http_field *f = &st->head.fields[i];

        if (str_eq_lit(f->name, "cookie")) {
            f->value = arena_printf(st->arena, "%.*s; %.*s", STR_ARG(f->value), STR_ARG(value));
            if (!str_is_set(f->value)) {
                f->value = S("");
                head_bad(st, 503, "out of memory");
            }
            return true;
        }
    }
    return false;
}

static void add_field(struct h2_stream *st, struct str name, struct str value)
{
    struct http1_head *h = &st->head;

    if (++st->field_seen > limits(st)->field_max) {
        head_bad(st, 431, "too many header fields");
        return;
    }
    if (str_eq_lit(name, "cookie") && join_cookie(st, value)) {
        return;
    }
    name = arena_str(st->arena, name);
    value = arena_str(st->arena, value);
    if (!name.p || !value.p ||
        !arena_grow(st->arena, (void **)&h->fields, h->field_n, &st->field_cap,
                    sizeof(*h->fields))) {
        head_bad(st, 503, "out of memory");
        return;
    }
    h->fields[h->field_n++] = (struct http_field){ name, value };
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *st;

    h->head_ms = loop_now_ms(h->c->loop);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    st = stream_new(h, frame->hd.stream_id);
    if (!st || nghttp2_session_set_stream_user_data(s, frame->hd.stream_id, st)) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);
    struct str n = str_of(name, name_n), v = str_of(value, value_n), *to;

    (void)flags;
    (void)ctx;
    if (!st) {
        return 0;
    }
    st->head_bytes += name_n + value_n + FIELD_COST;
    if (st->head_bytes > HEAD_WASTE * limits(st)->head_max) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (st->head_bytes > limits(st)->head_max) {
        head_bad(st, 431, "the header fields are too large");
    }
    if (st->bad || st->head_done) {
        return 0; /* trailers say nothing that anybody asks for */
    }
    if (name_n == 0 || name[0] != ':') {
        add_field(st, n, v);
        return 0;
    }
    to = str_eq_lit(n, ":method")      ? &st->method
         : str_eq_lit(n, ":path")      ? &st->head.target
         : str_eq_lit(n, ":authority") ? &st->authority
                                       : NULL;
    if (to == &st->head.target && v.n > limits(st)->line_max) {
        head_bad(st, 414, "the request target is too long");
    } else if (to) {
        *to = arena_str(st->arena, v);
        if (!to->p) {
            head_bad(st, 503, "out of memory");
        }
    }
    return 0;
}

static int on_invalid_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                             void *ctx)
{
    (void)s;
    (void)frame;
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    (void)flags;
    (void)ctx;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* An answer without a request. */
static void refuse(struct h2_stream *st, int status)
{
    char text[24] = { 0 };
    nghttp2_nv nv[2] = {
        { .name = (uint8_t *)(uintptr_t) ":status", .namelen = 7, .value = (uint8_t *)text },
        { .name = (uint8_t *)(uintptr_t) "content-length",
          .namelen = 14,
          .value = (uint8_t *)(uintptr_t) "0",
          .valuelen = 1 },
    };

    nv[0].valuelen = num_print_u64((uint64_t)status, text);
    net_count(&metrics(st->h)->bad_heads, 1);
    if (nghttp2_submit_response(st->h->s, st->id, nv, ARRAY_N(nv), NULL)) {
        st->h->dead = true;
    }
}

static void begin(struct h2_stream *st)
{
    struct http1_head *head = &st->head;

    st->begun = true;
    head->method = http_method_parse(st->method);
    if (st->bad == 0) {
        st->bad = http2_head(head, st->authority, st->bodyless, st->arena, &st->why);
    }
    if (st->bad == 0) {
        st->p = http_core_new(st->h->w, st->h->c, st->arena, head, &http2_wire, st);
        st->bad = st->p ? 0 : 503;
    }
    if (st->bad) {
        refuse(st, st->bad);
        return;
    }
    st->arena = NULL; /* the request's now */
    st->expect = head->expect_continue && !st->in_end;
    http_core_begin(st->p);
}

/* ---- body in ------------------------------------------------------------------------------------------------------ */

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *ctx)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, id);

    (void)flags;
    (void)ctx;
    if (nghttp2_session_consume_connection(s, n)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!st || st->out_done || (st->begun && !st->p)) {
        return 0; /* nobody reads it; its window stays shut */
    }
    buf_put(&st->pending, data, n);
    if (st->pending.failed) {
        reset(st, NGHTTP2_INTERNAL_ERROR);
        return 0;
    }
    progress(st);
    h2_ready(st);
    return 0;
}

/* A body that is read gets a larger window, as long as memory for it can be set aside. */
static void widen(struct h2_stream *st)
{
    struct http_server *s = st->h->w->server;

    if (st->fast || st->in_end || st->h->fast_n == H2_FAST_MAX) {
        return;
    }
    if (atomic_fetch_add_explicit(&s->bodies, H2_WINDOW_FAST, memory_order_relaxed) +
            H2_WINDOW_FAST >
        (int64_t)(s->opt.limits.bodies_max / 2)) {
        atomic_fetch_sub_explicit(&s->bodies, H2_WINDOW_FAST, memory_order_relaxed);
        return;
    }
    st->fast = true;
    st->h->fast_n++;
    if (nghttp2_session_set_local_window_size(st->h->s, NGHTTP2_FLAG_NONE, st->id,
                                              H2_WINDOW_FAST)) {
        st->h->dead = true;
    }
}

static void send_continue(struct h2_stream *st)
{
    const nghttp2_nv nv = { .name = (uint8_t *)(uintptr_t) ":status",
                            .namelen = 7,
                            .value = (uint8_t *)(uintptr_t) "100",
                            .valuelen = 3 };

    st->expect = false;
    if (nghttp2_submit_headers(st->h->s, NGHTTP2_FLAG_NONE, st->id, NULL, &nv, 1, NULL) < 0) {
        st->h->dead = true;
    }
}

/* Gives the request what there is. False: nothing yet. */
static bool take_body(struct h2_stream *st)
{
    struct str data;
    bool last;

    if (st->piece_at == st->piece.n && st->pending.n > 0) {
        struct buf empty = st->piece;

        st->piece = st->pending;
        st->pending = empty;
        buf_clear(&st->pending);
        st->piece_at = 0;
    }
    data = str_sub(buf_str(&st->piece), st->piece_at,
                   MIN_OF((size_t)HTTP_PIECE_BYTES, http_core_room_left(st->p)));
    st->piece_at += data.n;
    st->taken += data.n;
    last = (st->in_end && st->pending.n == 0 && st->piece_at == st->piece.n) ||
           st->taken == st->head.content_length;
    if (data.n == 0 && (!last || st->in_done)) {
        if (st->expect) {
            send_continue(st);
        }
        if (!st->answered) { /* a conversation may last for ever: it keeps to the small window */
            widen(st);
        }
        return false;
    }
    if (data.n > 0 && !st->closed && nghttp2_session_consume_stream(st->h->s, st->id, data.n)) {
        st->h->dead = true;
    }
    st->in_done = last;
    http_core_body(st->p, data, last);
    return true;
}

/* ---- answer out --------------------------------------------------------------------------------------------------- */

static nghttp2_nv nv_of(struct str name, struct str value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p,
                         .namelen = name.n,
                         .value = (uint8_t *)(uintptr_t)value.p,
                         .valuelen = value.n };
}

/* Fields with their names in lower case, after `at` others; NULL when memory is out. */
static nghttp2_nv *make_nv(struct http_priv *p, const struct http_field *fields, size_t n,
                           size_t at)
{
    nghttp2_nv *nv = ARENA_ARRAY(p->req.arena, nghttp2_nv, n + at);

    for (size_t i = 0; nv && i < n; i++) {
        struct str name = fields[i].name;
        char *low = arena_alloc(p->req.arena, name.n);

        if (!low) {
            return NULL;
        }
        for (size_t k = 0; k < name.n; k++) {
            low[k] = name.p[k] >= 'A' && name.p[k] <= 'Z' ? (char)(name.p[k] + 32) : name.p[k];
        }
        nv[at + i] = nv_of(str_of(low, name.n), fields[i].value);
    }
    return nv;
}

static uint64_t sendable(const struct h2_stream *st)
{
    return st->p->answer.kind == ANSWER_STREAM ? st->given.n : st->left_out;
}

static ssize_t on_read(nghttp2_session *s, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx)
{
    struct h2_stream *st = source->ptr;
    struct http_answer *an;
    size_t n;

    (void)to;
    (void)ctx;
    if (!st->p || st->broken) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    an = &st->p->answer;
    n = (size_t)MIN_OF(sendable(st), (uint64_t)max);
    if (n == 0 && !st->last_out) {
        st->deferred = true;
        h2_ready(st);
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    }
    if (st->last_out && n == sendable(st)) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (an->trailer_n > 0) {
            nghttp2_nv *nv = make_nv(st->p, an->trailers, an->trailer_n, 0);

            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (!nv || nghttp2_submit_trailer(s, id, nv, an->trailer_n)) {
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
            }
        }
    }
    return (ssize_t)n;
}

static bool read_file(const struct http_answer *an, uint64_t at, char *to, size_t n)
{
    while (n > 0) {
        ssize_t got = sys.pread(an->fd, to, n, (off_t)at);

        if (got <= 0) {
            return false; /* shorter than promised */
        }
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

static int on_send_data(nghttp2_session *s, nghttp2_frame *frame, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *ctx)
{
    enum { HEAD_BYTES = 9 };
    struct h2 *h = ctx;
    struct h2_stream *st = source->ptr;
    struct http_worker *w = h->w;
    char *to = w->h2_out + w->h2_out_n;
    struct http_answer *an;

    (void)s;
    (void)frame;
    if (n + HEAD_BYTES > H2_OUT_BYTES - w->h2_out_n) {
        h->full = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (!st->p) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    an = &st->p->answer;
    memcpy(to, head, HEAD_BYTES);
    if (an->kind == ANSWER_STREAM) {
        memcpy(to + HEAD_BYTES, st->given.p, n);
        st->given = str_sub(st->given, n, SIZE_MAX);
    } else if (an->kind == ANSWER_BYTES) {
        memcpy(to + HEAD_BYTES, an->body.p + st->sent, n);
    } else if (!read_file(an, an->offset + st->sent, to + HEAD_BYTES, n)) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    w->h2_out_n += n + HEAD_BYTES;
    st->sent += n;
    st->left_out -= an->length >= 0 ? n : 0;
    progress(st);
    return 0;
}

static void start_answer(struct h2_stream *st)
{
    struct http_priv *p = st->p;
    struct http_answer *an = &p->answer;
    bool ok = http_core_fields(p);
    bool bodyless = an->status == 204 || an->status == 304;
    bool no_body = bodyless || p->req.method == HTTP_HEAD;
    bool with_length = an->length >= 0 && !bodyless && an->trailer_n == 0;
    char status[24], length[24];
    nghttp2_data_provider source = { .source.ptr = st, .read_callback = on_read };
    nghttp2_nv *nv = ok ? make_nv(p, an->fields, an->field_n, 2) : NULL;

    st->started = true;
    st->left_out = no_body ? 0 : an->length >= 0 ? (uint64_t)an->length : UINT64_MAX;
    st->last_out = an->kind != ANSWER_STREAM || st->left_out == 0;
    progress(st);
    if (!nv) {
        an->status = 503;
        an->trailer_n = 0;
        refuse(st, 503);
        return;
    }
    nv[0] = nv_of(S(":status"), str_of(status, num_print_u64((uint64_t)an->status, status)));
    if (with_length) {
        nv[1] =
            nv_of(S("content-length"), str_of(length, num_print_u64((uint64_t)an->length, length)));
    } else {
        nv[1] = nv[an->field_n + 1]; /* there is always a field */
    }
    if (nghttp2_submit_response(st->h->s, st->id, nv, an->field_n + (with_length ? 2 : 1),
                                st->left_out > 0 || (an->trailer_n > 0 && !no_body) ? &source
                                                                                    : NULL)) {
        st->h->dead = true;
    }
}

/* What the producer gave. False: the answer cannot be completed. */
static bool take_given(struct h2_stream *st)
{
    struct http_answer *an = &st->p->answer;
    struct str bytes = an->give;

    an->given = false;
    if (an->give_flags & HTTP_GIVE_ABORT) {
        return false;
    }
    st->last_out = (an->give_flags & HTTP_GIVE_LAST) != 0;
    if (an->length >= 0) {
        bytes = str_sub(bytes, 0, (size_t)MIN_OF((uint64_t)bytes.n, st->left_out));
        if (st->last_out && bytes.n < st->left_out) {
            return false; /* shorter than promised */
        }
        st->last_out = bytes.n == st->left_out;
    }
    if (bytes.n == 0 && !st->last_out) {
        return false;
    }
    st->given = bytes;
    progress(st);
    return true;
}

/* Asks the producer for more once all it gave is written; wakes the stream when it has given. */
static void pump(struct h2_stream *st)
{
    struct http_answer *an = &st->p->answer;

    if (an->kind != ANSWER_STREAM || st->last_out || st->broken || st->given.n > 0) {
        return;
    }
    if (!an->pulling && !an->given) {
        http_core_pull(st->p, an->offset + st->sent);
        if (st->h->noticed || st->p->late) {
            http_core_stop(st->p);
        }
    }
    if (!an->given) {
        return;
    }
    if (!take_given(st)) {
        st->broken = true;
        reset(st, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    if (st->deferred) {
        st->deferred = false;
        if (nghttp2_session_resume_data(st->h->s, st->id)) {
            reset(st, NGHTTP2_INTERNAL_ERROR);
        }
    }
}

static void finish(struct h2_stream *st)
{
    struct http_priv *p = st->p;

    st->p = NULL;
    st->ended = true;
    if (p) {
        http_core_finish(p, true, st->sent);
    }
    if (!st->in_end && !st->in_done) {
        reset(st, NGHTTP2_NO_ERROR); /* the rest of the body is not wanted */
    }
}

static bool has_body(const struct h2_stream *st)
{
    return st->pending.n > 0 || st->piece_at < st->piece.n || st->in_end;
}

static void note_deadline(struct h2_stream *st)
{
    struct h2 *h = st->h;
    int64_t at = st->p->deadline_ms;

    if (at && (h->deadline_ms == 0 || at < h->deadline_ms)) {
        h->deadline_ms = at;
    }
}

/* The deadline that the client has set: a producer that waits is told, an answer that is not read is cut. */
static void check_deadline(struct h2_stream *st, int64_t now)
{
    struct http_priv *p = st->p;

    if (p->deadline_ms == 0 || st->closed || st->out_done) {
        return;
    }
    if (now < p->deadline_ms) {
        note_deadline(st);
        return;
    }
    p->deadline_ms = 0;
    p->late = true;
    if (p->answer.pulling) {
        http_core_stop(p);
    } else if (st->answered) {
        reset(st, NGHTTP2_CANCEL);
    }
}

void h2_stream_work(struct h2_stream *st)
{
    if (st->head_done && !st->begun && !st->closed) {
        begin(st);
    }
    if (st->out_done && !st->ended) {
        finish(st);
    }
    if (st->closed) {
        h2_stream_drop(st);
        return;
    }
    while (st->p && http_core_wants(st->p)) {
        if (!http_core_flush(st->p) && !take_body(st)) {
            break;
        }
    }
    if (st->p && st->answered && !st->started) {
        start_answer(st);
    }
    if (st->p && st->started && !st->out_done) {
        pump(st);
    }
    if (st->p) {
        note_deadline(st);
        if (st->answered && http_core_wants(st->p) && has_body(st)) {
            h2_ready(st); /* the pull has asked for what is there already */
        }
    }
}

void h2_stream_late(struct h2_stream *st, int64_t now)
{
    struct http_priv *p = st->p;
    int64_t waited = now - st->since_ms;

    if (!p) {
        if (waited >= limits(st)->body_ms) {
            reset(st, NGHTTP2_CANCEL); /* answered, but it does not end */
        }
        return;
    }
    if (!st->answered && http_core_paused(p)) {
        if (waited >= limits(st)->body_ms) {
            http_core_body_fail(p, 503, ST_UNAVAILABLE, "too many request bodies are in memory");
        }
    } else if (!st->answered && http_core_wants(p)) {
        if (waited >= limits(st)->body_ms) {
            http_core_body_fail(p, 408, ST_DEADLINE, "the body did not arrive in time");
        }
    } else if (st->started && !st->out_done && !p->answer.pulling) {
        if (waited >= limits(st)->write_ms) {
            reset(st, NGHTTP2_CANCEL);
        }
    } else {
        st->since_ms = now; /* it is the handler that works */
    }
    check_deadline(st, now);
}

/* ---- what nghttp2 tells ------------------------------------------------------------------------------------------- */

static bool is_noise(const nghttp2_frame *f)
{
    switch (f->hd.type) {
    case NGHTTP2_DATA: return f->hd.length == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_HEADERS:
    case NGHTTP2_WINDOW_UPDATE: return false;
    default: return true;
    }
}

static void on_noise(struct h2 *h)
{
    enum { NOISE_MS = 10 * 1000 };
    int64_t now = loop_now_ms(h->c->loop);

    if (now - h->noise_ms > NOISE_MS) {
        h->noise_ms = now;
        h->noise = 0;
    }
    h->noise++;
}

static int on_frame_recv(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);

    if (is_noise(frame)) {
        on_noise(h);
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        h->ponged = h->noticed;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        net_count(&metrics(h)->h2_resets, 1);
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        h->head_ms = 0;
    }
    if (st && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
        st->bodyless =
            st->head_done ? st->bodyless : (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        st->head_done = true;
        st->in_end = st->in_end || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
        h2_ready(st);
    }
    return 0;
}

static int on_frame_send(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);

    (void)ctx;
    if (st && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        st->out_done = true;
        h2_ready(st);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t why, void *ctx)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(s, id);

    (void)why;
    (void)ctx;
    if (st) {
        st->closed = true;
        st->h->head_ms = st->head_done ? st->h->head_ms : 0;
        h2_ready(st);
    }
    return 0;
}

nghttp2_session_callbacks *h2_callbacks(void)
{
    nghttp2_session_callbacks *cb;

    if (nghttp2_session_callbacks_new(&cb)) {
        return NULL;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    return cb;
}

/* ---- what the request asks of its carrier --------------------------------------------------------------------------- */

static bool wire_busy(void *carrier)
{
    const struct h2_stream *st = carrier;

    return st->h->busy && st->h->current == st;
}

static void wire_more(void *carrier)
{
    struct h2_stream *st = carrier;

    h2_ready(st);
    http2_run(st->h);
}

static void wire_answer(void *carrier)
{
    struct h2_stream *st = carrier;

    st->answered = true;
    wire_more(st);
}

static void wire_later(void *carrier)
{
    struct h2_stream *st = carrier;

    h2_ready(st);
    if (!st->h->busy) {
        h2_yield(st->h);
    }
}

const struct http_wire http2_wire = { .busy = wire_busy,
                                      .want = wire_more,
                                      .answer = wire_answer,
                                      .given = wire_more,
                                      .later = wire_later,
                                      .gives_files = false,
                                      .duplex = true };
