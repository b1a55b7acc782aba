/* net/client/grpc.c - see grpc.h. The session of libnghttp2 lives here; the bytes go through the same filters as the server's. */
#include "net/client/grpc.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sock.h"
#include "base/sys.h"
#include "codec/base64.h"
#include "net/coding.h"
#include "net/grpc.h"
#include "net/h2_mem.h"
#include "net/tls.h"
#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>

enum {
    IN_BYTES = 64 * 1024,
    TURN_READS = 64,
    WINDOW = 1 << 20,
    WINDOW_CONN = 16 << 20,
    HEAD_MAX = 256 * 1024,
    TEXT_MAX = 1024,
    HOST_MAX = 256,
    CONNECT_MS = 5000,
    MESSAGE_MAX = 64 << 20,
    COMPRESS_MIN = 16 * 1024,
    ARENA_MAX = 4 << 20
};

struct grpc_stream {
    struct grpc_client *g;
    struct grpc_stream *prev, *next;
    struct arena *arena; /* what the answer's fields say */
    int32_t id;
    int64_t until_ms; /* 0 = for ever */
    struct buf out, in, plain;
    size_t out_at, in_at, untold; /* untold: bytes of `in` whose room the peer has not got back */
    bool out_end, deferred, closed, late;
    uint32_t error;
    size_t head_bytes;
    int http, code; /* code: -1 = none has come */
    struct str text, details, encoding;
};

struct grpc_client {
    nghttp2_session *s;
    struct tls *tls;
    struct filter *f;
    int fd;
    struct grpc_stream *streams;
    const uint8_t *out; /* nghttp2's, not sent yet */
    size_t out_n;
    char *in;
    bool broken, goaway, gzip;
    size_t max;
    char why[TEXT_MAX];
    char host[HOST_MAX], authority[HOST_MAX + 8];
    const char *scheme;
    char *token; /* "Bearer ..." or NULL */
    const char *const *metadata;
};

/* ---- what nghttp2 tells -------------------------------------------------------------------------------------------------- */

static void keep(struct grpc_stream *s, struct str value, struct str *out)
{
    struct str copy = arena_str(s->arena, value);

    if (copy.p) *out = copy;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct grpc_stream *s = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    struct str n = str_of(name, name_n), v = str_of(value, value_n);
    uint64_t number;

    (void)flags;
    (void)ctx;
    if (!s || frame->hd.type != NGHTTP2_HEADERS) { /* a push that we have refused */
        return 0;
    }
    s->head_bytes += name_n + value_n;
    if (s->head_bytes > HEAD_MAX) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (str_eq_lit(n, ":status") && num_parse_u64(v, &number)) {
        s->http = (int)MIN_OF(number, (uint64_t)999);
    } else if (str_eq_lit(n, "grpc-status") && num_parse_u64(v, &number)) {
        s->code = (int)MIN_OF(number, (uint64_t)999);
    } else if (str_eq_lit(n, "grpc-message")) {
        keep(s, v, &s->text);
    } else if (str_eq_lit(n, "grpc-status-details-bin")) {
        keep(s, v, &s->details);
    } else if (str_eq_lit(n, "grpc-encoding")) {
        keep(s, v, &s->encoding);
    }
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *ctx)
{
    struct grpc_stream *s = nghttp2_session_get_stream_user_data(h2, id);

    (void)flags;
    (void)ctx;
    if (nghttp2_session_consume_connection(h2, n)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!s) {
        return 0;
    }
    buf_put(&s->in, data, n);
    s->untold += n;
    if (s->in.failed && nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL)) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t why, void *ctx)
{
    struct grpc_stream *s = nghttp2_session_get_stream_user_data(h2, id);

    (void)ctx;
    if (s) {
        s->closed = true;
        s->error = why;
    }
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct grpc_client *g = ctx;

    (void)h2;
    g->goaway = g->goaway || frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static ssize_t on_read(nghttp2_session *h2, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx)
{
    struct grpc_stream *s = nghttp2_session_get_stream_user_data(h2, id);
    size_t n;

    (void)source;
    (void)ctx;
    if (!s) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    n = MIN_OF(s->out.n - s->out_at, max);
    if (n == 0 && !s->out_end) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) memcpy(to, s->out.p + s->out_at, n);
    s->out_at += n;
    if (s->out_end && s->out_at == s->out.n) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* ---- bytes --------------------------------------------------------------------------------------------------------------- */

static void broke(struct grpc_client *g, const char *why)
{
    if (!g->broken) {
        g->broken = true;
        (void)snprintf(g->why, sizeof(g->why), "%s: %s", g->authority, why);
    }
}

static void move_out(struct grpc_client *g)
{
    while (!g->broken) {
        struct iovec iov = { (void *)(uintptr_t)g->out, g->out_n };
        size_t put = 0;
        enum io io;

        if (g->out_n == 0) {
            ssize_t n = nghttp2_session_mem_send(g->s, &g->out);

            if (n < 0) {
                broke(g, nghttp2_strerror((int)n));
            } else if (n == 0 && !nghttp2_session_want_read(g->s)) { /* a goodbye has been said */
                broke(g, g->goaway ? "the server is going down" : "this is not HTTP/2");
            }
            if (n <= 0) {
                return;
            }
            g->out_n = (size_t)n;
            continue;
        }
        io = g->f->ops->sendv(g->f, &iov, 1, false, &put);
        if (io == IO_AGAIN) {
            return;
        }
        if (io != IO_OK) {
            broke(g, "the connection has broken");
        }
        g->out += put;
        g->out_n -= put;
    }
}

/* True: something has come. At most TURN_READS pieces, so that a server that never stops does not hold up a deadline. */
static bool move_in(struct grpc_client *g)
{
    bool any = false;

    for (int i = 0; !g->broken && i < TURN_READS; i++) {
        size_t got = 0;
        enum io io = g->f->ops->recv(g->f, g->in, IN_BYTES, &got);
        ssize_t used;

        if (io == IO_AGAIN) {
            return any;
        }
        if (io != IO_OK) {
            broke(g,
                  g->goaway ? "the server is going down" : "the server has ended the connection");
            break;
        }
        any = true;
        used = nghttp2_session_mem_recv(g->s, (const uint8_t *)g->in, got);
        if (used < 0) {
            broke(g, nghttp2_strerror((int)used));
        }
    }
    return true;
}

/* Until something has come or gone; false: the time is over. */
static bool await(struct grpc_client *g, int64_t until_ms)
{
    short events = g->out_n > 0 || g->f->need == IO_NEED_WRITE ? POLLIN | POLLOUT : POLLIN;
    int64_t left = until_ms ? until_ms - clock_mono_ms() : 60000;

    return left > 0 && (sock_wait(g->fd, events, left) || !until_ms || clock_mono_ms() < until_ms);
}

/* One round for every call of the connection. False: this call's time is over. */
static bool turn(struct grpc_stream *s)
{
    struct grpc_client *g = s->g;

    move_out(g);
    if (g->broken || s->closed) {
        return true;
    }
    if (move_in(g)) { /* a server may have much to say that is nothing to this call */
        return s->closed || g->broken || !s->until_ms || clock_mono_ms() < s->until_ms;
    }
    if (!await(g, s->until_ms)) {
        return false;
    }
    (void)move_in(g);
    return true;
}

/* ---- connecting ---------------------------------------------------------------------------------------------------------- */

static enum status bad_target(const char *target, struct err *err)
{
    enum status st = err_set(err, ST_INVALID, "'%s' is no address of a server", target);

    err_hint(err, "write HOST:PORT, https://HOST:PORT or unix:PATH");
    return st;
}

static enum status unix_socket(struct grpc_client *g, const char *target, struct err *err)
{
    enum status st = sock_connect(target, &g->fd, err);

    (void)snprintf(g->authority, sizeof(g->authority), "localhost");
    if (!st && fcntl(g->fd, F_SETFL, O_NONBLOCK) != 0) {
        st = err_errno(err, errno, "%s", target);
    }
    return st;
}

static enum status tcp_socket(struct grpc_client *g, struct str rest, const char *usual, int64_t ms,
                              struct err *err)
{
    struct str host, port;
    uint64_t number;
    size_t colon = SIZE_MAX;

    if (str_ends(rest, S("/"))) rest.n--;
    for (size_t i = 0; i < rest.n; i++) {
        colon = rest.p[i] == ':' ? i : rest.p[i] == ']' ? SIZE_MAX : colon;
    }
    host = str_sub(rest, 0, colon);
    port = colon == SIZE_MAX ? str_cstr(usual) : str_sub(rest, colon + 1, SIZE_MAX);
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host = str_sub(host, 1, host.n - 2);
    }
    if (host.n == 0 || host.n >= HOST_MAX || !num_parse_u64(port, &number) || number == 0 ||
        number > 65535) {
        return bad_target(rest.p, err);
    }
    (void)snprintf(g->host, sizeof(g->host), "%.*s", STR_ARG(host));
    (void)snprintf(g->authority, sizeof(g->authority), "%.*s", STR_ARG(rest));
    return sock_dial(g->host, (unsigned)number, ms, &g->fd, err);
}

static enum status handshake(struct grpc_client *g, const char *ca_file, int64_t until_ms,
                             struct err *err)
{
    enum status st = tls_client_new(&g->tls, ca_file, err);
    enum io io;

    if (st) {
        return st;
    }
    g->f = filter_tls_dial(g->tls, g->fd, g->host);
    if (!g->f) {
        return err_nomem(err);
    }
    while ((io = filter_tls_handshake(g->f)) == IO_AGAIN) {
        g->out_n = g->f->need == IO_NEED_WRITE; /* what await() looks for */
        if (!await(g, until_ms)) {
            return err_set(err, ST_DEADLINE, "%s: the TLS handshake did not end in time",
                           g->authority);
        }
    }
    g->out_n = 0;
    if (io != IO_OK) {
        return err_set(err, ST_UNAVAILABLE, "%s: %s", g->authority, filter_tls_why(g->f));
    }
    if (!str_eq_lit(filter_tls_alpn(g->f), "h2")) {
        return err_set(err, ST_UNAVAILABLE, "%s does not speak HTTP/2", g->authority);
    }
    return OK;
}

static bool new_session(struct grpc_client *g)
{
    nghttp2_mem mem = h2_mem();
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
                                          { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW } };
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    bool ok = nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&opt) == 0;

    if (ok) {
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_option_set_no_auto_window_update(opt, 1);
        if (nghttp2_session_client_new3(&g->s, cb, g, opt, &mem)) {
            g->s = NULL;
        }
        ok = g->s &&
             nghttp2_submit_settings(g->s, NGHTTP2_FLAG_NONE, settings, ARRAY_N(settings)) == 0 &&
             nghttp2_session_set_local_window_size(g->s, NGHTTP2_FLAG_NONE, 0, WINDOW_CONN) == 0;
    }
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return ok;
}

/* The socket, and TLS on it where it is asked for. */
static enum status reach(struct grpc_client *g, const struct grpc_dial *how, struct err *err)
{
    int64_t ms = how->connect_ms ? how->connect_ms : CONNECT_MS, until = clock_mono_ms() + ms;
    struct str target = str_cstr(how->target);
    bool secure = str_starts(target, S("https://"));
    const char *usual = secure ? "443" : str_starts(target, S("http://")) ? "80" : "";
    enum status st;

    g->scheme = secure ? "https" : "http";
    if (str_starts(target, S("unix:"))) {
        st = unix_socket(g, how->target, err);
    } else {
        target = str_sub(target, secure ? 8 : str_starts(target, S("http://")) ? 7 : 0, SIZE_MAX);
        st = tcp_socket(g, target, usual, ms, err);
    }
    if (st) {
        return st;
    }
    if (secure) {
        return handshake(g, how->ca_file, until, err);
    }
    g->f = filter_tcp_new(g->fd);
    return g->f ? OK : err_nomem(err);
}

enum status grpc_dial(struct grpc_client **out, const struct grpc_dial *how, struct err *err)
{
    struct grpc_client *g = mem_zalloc(1, sizeof(*g));
    size_t token_n = how->token ? strlen(how->token) + sizeof("Bearer ") : 0;
    enum status st;

    *out = NULL;
    if (!g) {
        return err_nomem(err);
    }
    g->fd = -1;
    g->gzip = how->gzip;
    g->max = how->message_max ? how->message_max : MESSAGE_MAX;
    g->in = mem_alloc(IN_BYTES);
    g->metadata = how->metadata;
    g->token = token_n ? mem_alloc(token_n) : NULL;
    st = !g->in || (token_n && !g->token) ? err_nomem(err) : reach(g, how, err);
    if (!st && !new_session(g)) {
        st = err_nomem(err);
    }
    if (st) {
        grpc_close(g);
        return st;
    }
    if (g->token) (void)snprintf(g->token, token_n, "Bearer %s", how->token);
    *out = g;
    return OK;
}

void grpc_close(struct grpc_client *g)
{
    if (!g) {
        return;
    }
    if (g->s && !g->broken) {
        IGNORE_STATUS(nghttp2_session_terminate_session(g->s, NGHTTP2_NO_ERROR)); /* polite only */
        move_out(g);
    }
    nghttp2_session_del(g->s);
    if (g->f) g->f->ops->free(g->f);
    if (g->fd >= 0) (void)sys.close(g->fd);
    tls_free(g->tls);
    mem_free(g->in);
    mem_free(g->token);
    mem_free(g);
}

/* ---- a call --------------------------------------------------------------------------------------------------------------- */

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name,
                         .value = (uint8_t *)(uintptr_t)value,
                         .namelen = strlen(name),
                         .valuelen = strlen(value) };
}

static int32_t submit(struct grpc_stream *s, const char *method, int64_t ms)
{
    nghttp2_data_provider body = { .read_callback = on_read };
    struct grpc_client *g = s->g;
    char timeout[32];
    nghttp2_nv fields[12 + GRPC_METADATA_MAX] = { nv(":method", "POST"),
                                                  nv(":scheme", g->scheme),
                                                  nv(":path", method),
                                                  nv(":authority", g->authority),
                                                  nv("te", "trailers"),
                                                  nv("content-type", "application/grpc"),
                                                  nv("user-agent", "cairn/" CAIRN_VERSION),
                                                  nv("grpc-accept-encoding", "identity,gzip") };
    size_t n = 8;

    if (g->gzip) {
        fields[n++] = nv("grpc-encoding", "gzip");
    }
    if (ms > 0) { /* at most eight digits */
        (void)snprintf(timeout, sizeof(timeout), ms < 100000000 ? "%lldm" : "%lldS",
                       (long long)(ms < 100000000 ? ms : MIN_OF(ms / 1000, (int64_t)99999999)));
        fields[n++] = nv("grpc-timeout", timeout);
    }
    if (g->token) {
        fields[n] = nv("authorization", g->token);
        fields[n++].flags = NGHTTP2_NV_FLAG_NO_INDEX;
    }
    for (size_t i = 0; g->metadata && g->metadata[i] && i < 2 * GRPC_METADATA_MAX; i += 2) {
        fields[n++] = nv(g->metadata[i], g->metadata[i + 1]);
    }
    return nghttp2_submit_request(g->s, NULL, fields, n, &body, s);
}

static enum status gone(const struct grpc_client *g, struct err *err)
{
    return g->broken ? err_set(err, ST_UNAVAILABLE, "%s", g->why)
                     : err_set(err, ST_UNAVAILABLE, "%s is going down", g->authority);
}

enum status grpc_open(struct grpc_client *g, const char *method, int64_t ms,
                      struct grpc_stream **out, struct err *err)
{
    struct grpc_stream *s;

    *out = NULL;
    if (g->broken || g->goaway) {
        return gone(g, err);
    }
    s = mem_zalloc(1, sizeof(*s));
    if (!s) {
        return err_nomem(err);
    }
    s->g = g;
    s->code = -1;
    s->until_ms = ms > 0 ? clock_mono_ms() + ms : 0;
    s->arena = arena_new(ARENA_MAX);
    buf_init(&s->out, SIZE_MAX / 2);
    buf_init(&s->in, g->max + GRPC_PREFIX + 2 * (size_t)WINDOW);
    buf_init(&s->plain, g->max);
    s->next = g->streams;
    if (s->next) s->next->prev = s;
    g->streams = s;
    s->id = s->arena ? submit(s, method, ms) : -1;
    if (s->id < 0) {
        grpc_drop(s);
        return err_nomem(err);
    }
    *out = s;
    return OK;
}

void grpc_drop(struct grpc_stream *s)
{
    if (!s) {
        return;
    }
    if (s->id > 0) {
        (void)nghttp2_session_set_stream_user_data(s->g->s, s->id, NULL);
        if (!s->closed && !s->g->broken) {
            if (nghttp2_submit_rst_stream(s->g->s, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL)) {
                broke(s->g, "out of memory");
            }
            move_out(s->g);
        }
    }
    *(s->prev ? &s->prev->next : &s->g->streams) = s->next;
    if (s->next) s->next->prev = s->prev;
    buf_release(&s->out);
    buf_release(&s->in);
    buf_release(&s->plain);
    arena_free(s->arena);
    mem_free(s);
}

static void give_up(struct grpc_stream *s)
{
    if (!s->closed && !s->g->broken) {
        if (nghttp2_submit_rst_stream(s->g->s, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL)) {
            broke(s->g, "out of memory");
        }
        move_out(s->g);
    }
    s->closed = true;
}

static enum status too_late(struct grpc_stream *s, struct err *err)
{
    give_up(s);
    s->late = true;
    return err_set(err, ST_DEADLINE, "%s did not answer in time", s->g->authority);
}

static void wake(struct grpc_stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        if (nghttp2_session_resume_data(s->g->s, s->id)) {
            s->closed = true;
        }
    }
}

enum status grpc_send(struct grpc_stream *s, struct str message, struct err *err)
{
    struct buf small = BUF_INIT(SIZE_MAX / 2);

    if (message.n > UINT32_MAX - GRPC_PREFIX) {
        return err_set(err, ST_TOO_BIG, "a message of %zu bytes is too large for gRPC", message.n);
    }
    if (s->g->gzip && message.n >= COMPRESS_MIN &&
        coding_compress(CODING_GZIP, message, &small, NULL) == OK && small.n < message.n) {
        grpc_put(&s->out, GRPC_FLAG_COMPRESSED, buf_str(&small));
    } else {
        grpc_put(&s->out, 0, message);
    }
    buf_release(&small);
    if (s->out.failed) {
        return err_nomem(err);
    }
    for (;;) {
        wake(s);
        move_out(s->g);
        if (s->closed || s->g->broken || s->out_at == s->out.n) {
            break;
        }
        if (!turn(s)) {
            return too_late(s, err);
        }
    }
    if (s->out_at == s->out.n) {
        buf_clear(&s->out);
        s->out_at = 0;
        return OK;
    }
    return s->closed ? err_set(err, ST_CANCELLED, "the call has ended") : gone(s->g, err);
}

enum status grpc_send_end(struct grpc_stream *s, struct err *err)
{
    s->out_end = true;
    wake(s);
    move_out(s->g);
    return s->closed || !s->g->broken ? OK : gone(s->g, err);
}

/* ---- how it ended ----------------------------------------------------------------------------------------------------------- */

static enum status status_of(int code)
{
    for (unsigned i = 1; i < ST_N; i++) {
        if (status_row((enum status)i)->grpc == code) {
            return (enum status)i;
        }
    }
    return ST_INTERNAL;
}

static enum status status_named(struct str name, enum status otherwise)
{
    for (unsigned i = 1; i < ST_N; i++) {
        if (str_eq(name, str_cstr(status_row((enum status)i)->name))) {
            return (enum status)i;
        }
    }
    return otherwise;
}

/* The text of grpc-message, cut where it does not fit. */
static void plain_text(struct str in, char *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < in.n && n + 1 < max; i++, n++) {
        int high = in.p[i] == '%' && i + 2 < in.n ? num_hex_digit(in.p[i + 1]) : -1;
        int low = high >= 0 ? num_hex_digit(in.p[i + 2]) : -1;

        out[n] = low >= 0 ? (char)(high * 16 + low) : in.p[i];
        i += low >= 0 ? 2 : 0;
    }
    out[n] = 0;
}

/* The next field of a protobuf message; its bytes where it has any. False at the end, or when it is broken. */
static bool next_field(struct rd *r, uint64_t *number, struct str *bytes)
{
    uint64_t key = rd_left(r) ? rd_varint(r) : 0;

    *number = key >> 3;
    *bytes = S("");
    switch (key & 7) {
    case 0: (void)rd_varint(r); break;
    case 1: (void)rd_u64(r); break;
    case 2: *bytes = rd_bytes(r, rd_varint(r)); break;
    case 5: (void)rd_u32(r); break;
    default: return false;
    }
    return key != 0 && !r->bad;
}

static void copy_text(char *to, size_t max, struct str from)
{
    (void)snprintf(to, max, "%.*s", (int)MIN_OF(from.n, max), from.p ? from.p : "");
}

/* An ErrorInfo of a cairn: its own status, the field at fault, the hint. */
static enum status read_info(struct str info, enum status st, struct err *err)
{
    struct rd r = rd_of(info.p, info.n);
    struct str bytes, reason = S(""), domain = S("");
    uint64_t number;

    while (next_field(&r, &number, &bytes)) {
        reason = number == 1 ? bytes : reason;
        domain = number == 2 ? bytes : domain;
        if (number == 3) {
            struct rd pair = rd_of(bytes.p, bytes.n);
            struct str part, name = S(""), value = S("");

            while (next_field(&pair, &number, &part)) {
                name = number == 1 ? part : name;
                value = number == 2 ? part : value;
            }
            if (str_eq_lit(name, "field")) copy_text(err->field, sizeof(err->field), value);
            if (str_eq_lit(name, "hint")) copy_text(err->hint, sizeof(err->hint), value);
        }
    }
    return str_eq_lit(domain, "cairn") ? status_named(reason, st) : st;
}

static enum status read_details(struct grpc_stream *s, enum status st, struct err *err)
{
    struct str bytes, any, status;
    uint64_t number;
    bool nomem;
    struct rd r;

    if (s->details.n == 0 || !base64_decode(s->details, s->arena, &status, &nomem)) {
        return st;
    }
    r = rd_of(status.p, status.n);
    while (next_field(&r, &number, &any)) {
        struct rd in = rd_of(any.p, any.n);
        struct str type = S(""), value = S("");

        while (number == 3 && next_field(&in, &number, &bytes)) {
            type = number == 1 ? bytes : type;
            value = number == 2 ? bytes : value;
            number = 3;
        }
        if (str_ends(type, S("/google.rpc.ErrorInfo"))) {
            st = read_info(value, st, err);
        }
    }
    return st;
}

static enum status outcome(struct grpc_stream *s, struct err *err)
{
    char text[TEXT_MAX];
    enum status st;

    if (s->late) {
        return too_late(s, err);
    }
    if (s->code == 0) {
        return s->in_at == s->in.n
                   ? ST_END
                   : err_set(err, ST_INTERNAL, "%s sent a message that is cut short",
                             s->g->authority);
    }
    if (s->code > 0) {
        plain_text(s->text, text, sizeof(text));
        st = status_of(s->code);
        st = err_set(err, st, "%s", text[0] ? text : status_row(st)->name);
        st = read_details(s, st, err);
        err->code = st;
        grpc_tidy(err->message);
        grpc_tidy(err->hint);
        grpc_tidy(err->field);
        return st;
    }
    if (!s->closed) {
        return gone(s->g, err);
    }
    if (s->http && s->http != 200) {
        st = s->http == 401                     ? ST_UNAUTHENTICATED
             : s->http == 403                   ? ST_DENIED
             : s->http == 404                   ? ST_NO_ENDPOINT
             : s->http == 429 || s->http >= 502 ? ST_UNAVAILABLE
                                                : ST_INTERNAL;
        return err_set(err, st, "%s answered HTTP %d instead of gRPC", s->g->authority, s->http);
    }
    st = s->error == NGHTTP2_REFUSED_STREAM || s->g->goaway ? ST_UNAVAILABLE
         : s->error == NGHTTP2_CANCEL                       ? ST_CANCELLED
         : s->error == NGHTTP2_ENHANCE_YOUR_CALM            ? ST_BUSY
                                                            : ST_INTERNAL;
    return err_set(err, st, "%s broke the call off (%s)", s->g->authority,
                   nghttp2_http2_strerror(s->error));
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */

/* What is taken from `in` makes room at the server. */
static void tell(struct grpc_stream *s)
{
    if (s->untold > 0 && !s->closed && !s->g->broken &&
        nghttp2_session_consume_stream(s->g->s, s->id, s->untold)) {
        broke(s->g, "out of memory");
    }
    s->untold = 0;
}

static enum status give(struct grpc_stream *s, const struct grpc_frame *f, struct str *message,
                        struct err *err)
{
    enum status st;

    *message = f->bytes;
    if (!f->compressed) {
        return OK;
    }
    st = grpc_unzip(s->encoding, f->bytes, s->g->max, &s->plain, err);
    *message = buf_str(&s->plain);
    if (st) {
        give_up(s);
    }
    return st;
}

static void forget_taken(struct grpc_stream *s)
{
    size_t left = s->in.n - s->in_at;

    if (s->in_at > 0 && left > 0) {
        memmove(s->in.p, s->in.p + s->in_at, left);
    }
    s->in.n = left;
    s->in_at = 0;
}

enum status grpc_recv(struct grpc_stream *s, struct str *message, struct err *err)
{
    struct grpc_frame f;
    struct str in;

    *message = S("");
    forget_taken(s);
    for (;;) {
        /* what is no answer of gRPC is not read as one */
        in = s->http == 0 || s->http == 200 ? buf_str(&s->in) : S("");
        switch (grpc_take(&in, s->g->max, &f)) {
        case GRPC_GOT:
            s->in_at = s->in.n - in.n;
            tell(s);
            return give(s, &f, message, err);
        case GRPC_TOO_BIG:
            give_up(s);
            return err_set(err, ST_TOO_BIG, "a message of the answer exceeds %zu bytes", s->g->max);
        case GRPC_BROKEN:
            give_up(s);
            return err_set(err, ST_INTERNAL, "%s sent something that is not gRPC", s->g->authority);
        case GRPC_MORE: break;
        }
        if (s->closed || s->g->broken) {
            return outcome(s, err);
        }
        tell(s);
        if (!turn(s)) {
            return too_late(s, err);
        }
    }
}

enum status grpc_unary(struct grpc_client *g, const char *method, struct str request, int64_t ms,
                       struct arena *a, struct str *answer, struct err *err)
{
    struct err why = ERR_INIT;
    struct grpc_stream *s;
    struct str message, more;
    enum status st = grpc_open(g, method, ms, &s, err);

    *answer = S("");
    if (st) {
        return st;
    }
    if (grpc_send(s, request, &why) == OK) {
        IGNORE_STATUS(grpc_send_end(s, &why)); /* the answer says what went wrong */
    }
    st = grpc_recv(s, &message, err);
    if (st == ST_END) {
        st = err_set(err, ST_INTERNAL, "%s gave no answer", g->authority);
    } else if (st == OK) {
        *answer = arena_str(a, message);
        st = answer->p ? grpc_recv(s, &more, err) : err_nomem(err);
        st = st == ST_END ? OK
             : st         ? st
                          : err_set(err, ST_INTERNAL, "%s gave more than one answer", g->authority);
    }
    grpc_drop(s);
    return st;
}
