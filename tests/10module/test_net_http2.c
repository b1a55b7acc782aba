/* tests/10module/test_net_http2.c - HTTP/2 over loopback, with a client made of nghttp2: the same routes as over HTTP/1, many
 * streams at once, back-pressure, limits, floods, slow clients, drain. */
#include "base/clock.h"
#include "base/mem.h"
#include "netfix.h"
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* ---- a client ----------------------------------------------------------------------------------------------------- */

enum { ANSWERS = 256, PREFACE_N = 24 };

struct answer {
    int32_t id;
    int status;
    struct buf body;
    char fields[2048]; /* "name: value\n" */
    bool closed;
    uint32_t error;
    size_t left; /* of the request's body */
};

struct client {
    int fd;
    nghttp2_session *s;
    struct answer answers[ANSWERS];
    unsigned n, closed, pings, pongs;
    bool goaway, ended, hold; /* hold: bodies are not read (their windows stay shut) */
    uint32_t goaway_error;
    int32_t goaway_last;
};

static struct answer *answer_of(struct client *c, int32_t id)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (c->answers[i].id == id) {
            return &c->answers[i];
        }
    }
    return NULL;
}

static int cl_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *ctx)
{
    struct answer *a = answer_of(ctx, f->hd.stream_id);
    size_t at;

    (void)s;
    (void)flags;
    T_OK(a != NULL);
    at = strlen(a->fields);
    (void)snprintf(a->fields + at, sizeof(a->fields) - at, "%.*s: %.*s\n", (int)name_n,
                   (const char *)name, (int)value_n, (const char *)value);
    if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
        a->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
    }
    return 0;
}

static int cl_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
                   void *ctx)
{
    struct client *c = ctx;
    struct answer *a = answer_of(c, id);

    (void)flags;
    buf_put(&a->body, data, n);
    if (!c->hold) {
        T_INT(nghttp2_session_consume(s, id, n), 0);
    }
    return 0;
}

static int cl_close(nghttp2_session *s, int32_t id, uint32_t error, void *ctx)
{
    struct client *c = ctx;
    struct answer *a = answer_of(c, id);

    (void)s;
    a->closed = true;
    a->error = error;
    c->closed++;
    return 0;
}

static int cl_frame(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
    struct client *c = ctx;

    (void)s;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        c->goaway = true;
        c->goaway_error = f->goaway.error_code;
        c->goaway_last = f->goaway.last_stream_id;
    }
    if (f->hd.type == NGHTTP2_PING) {
        *(f->hd.flags & NGHTTP2_FLAG_ACK ? &c->pongs : &c->pings) += 1;
    }
    return 0;
}

static ssize_t cl_read(nghttp2_session *s, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx)
{
    struct answer *a = source->ptr;
    size_t n = MIN_OF(a->left, max);

    (void)s;
    (void)id;
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)((a->left - i) % 251);
    }
    a->left -= n;
    if (a->left == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static void cl_open(struct client *c, const struct nf *f)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;

    memset(c, 0, sizeof(*c));
    c->fd = nf_connect(f);
    T_INT(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, cl_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, cl_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, cl_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, cl_frame);
    T_INT(nghttp2_option_new(&opt), 0);
    nghttp2_option_set_no_auto_window_update(opt, 1);
    nghttp2_option_set_max_send_header_block_length(opt, 1 << 20);
    T_INT(nghttp2_session_client_new2(&c->s, cb, c, opt), 0);
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    T_INT(nghttp2_submit_settings(c->s, 0, NULL, 0), 0);
}

static void cl_close_all(struct client *c)
{
    nghttp2_session_del(c->s);
    for (unsigned i = 0; i < c->n; i++) {
        buf_release(&c->answers[i].body);
    }
    (void)close(c->fd);
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                         strlen(value), 0 };
}

/* A request; body_n bytes of body, with their number in content-length if told is true. extra: name, value or NULL. */
static struct answer *cl_ask(struct client *c, const char *method, const char *path, size_t body_n,
                             bool told, const char *name, const char *value)
{
    struct answer *a = &c->answers[c->n++];
    nghttp2_data_provider body = { .source.ptr = a, .read_callback = cl_read };
    char length[24];
    nghttp2_nv fields[8] = { nv(":method", method), nv(":scheme", "http"), nv(":path", path),
                             nv(":authority", "localhost") };
    size_t n = 4;

    T_OK(c->n <= ANSWERS);
    buf_init(&a->body, 64 << 20);
    a->left = body_n;
    if (told) {
        (void)snprintf(length, sizeof(length), "%zu", body_n);
        fields[n++] = nv("content-length", length);
    }
    if (name) {
        fields[n++] = nv(name, value);
    }
    a->id = nghttp2_submit_request(c->s, NULL, fields, n, body_n ? &body : NULL, NULL);
    T_OK(a->id > 0);
    return a;
}

/* Moves bytes both ways once, waiting for the server at most 20 s. False: the server has ended the connection. */
static bool cl_turn(struct client *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    char in[65536];
    const uint8_t *out;
    ssize_t n;

    if (nghttp2_session_want_write(c->s)) {
        p.events |= POLLOUT;
    }
    T_OK(poll(&p, 1, 20000) > 0);
    if (p.revents & POLLIN) {
        n = recv(c->fd, in, sizeof(in), 0);
        if (n <= 0) {
            c->ended = true;
            return false;
        }
        T_OK(nghttp2_session_mem_recv(c->s, (uint8_t *)in, (size_t)n) == n);
    }
    if (p.revents & POLLOUT) {
        n = nghttp2_session_mem_send(c->s, &out);
        T_OK(n >= 0);
        for (size_t at = 0; at < (size_t)n;) {
            ssize_t put = send(c->fd, out + at, (size_t)n - at, MSG_NOSIGNAL);

            if (put < 0) {
                c->ended = true;
                return false;
            }
            at += (size_t)put;
        }
    }
    return true;
}

/* Until every request has ended. */
static void cl_run(struct client *c)
{
    while (c->closed < c->n && cl_turn(c)) {
    }
}

static void cl_until_end(struct client *c)
{
    while (cl_turn(c)) {
    }
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

static void check_ok(const struct answer *a, const char *body)
{
    T_OK(a->closed);
    T_UINT(a->error, NGHTTP2_NO_ERROR);
    T_INT(a->status, 200);
    T_OK(str_eq(buf_str(&a->body), str_cstr(body)));
}

TEST(test_net_http2)
{
    struct client c;
    struct answer *a, *b, *d, *e, *g, *k;
    struct net_figures m;
    struct nf f;

    nf_start(&f, NULL);
    cl_open(&c, &f);
    a = cl_ask(&c, "GET", "/hello", 0, false, NULL, NULL);
    b = cl_ask(&c, "GET", "/stream/20", 0, false, NULL, NULL);
    d = cl_ask(&c, "GET", "/known/300000", 0, false, NULL, NULL);
    e = cl_ask(&c, "POST", "/echo", 200000, true, NULL, NULL);
    g = cl_ask(&c, "POST", "/count", 3000000, false, NULL, NULL);
    k = cl_ask(&c, "HEAD", "/known/1000", 0, false, NULL, NULL);
    cl_run(&c);
    check_ok(a, "hello");
    T_OK(strstr(a->fields, "content-length: 5\n") != NULL);
    T_OK(strstr(a->fields, "x-request-id: ") != NULL);
    T_UINT(b->body.n, 20 * 50000);
    T_INT(b->status, 200);
    T_UINT(d->body.n, 300000);
    for (size_t i = 0; i < d->body.n; i++) {
        T_INT((unsigned char)d->body.p[i], (int)(i % 251));
    }
    T_UINT(e->body.n, 200000);
    for (size_t i = 0; i < e->body.n; i++) {
        T_INT((unsigned char)e->body.p[i], (int)((200000 - i) % 251));
    }
    check_ok(g, "3000000");
    T_INT(k->status, 200);
    T_UINT(k->body.n, 0);
    T_OK(strstr(k->fields, "content-length: 1000\n") != NULL);
    http_server_metrics(f.server, &m);
    T_UINT(m.h2_conns, 1);
    T_UINT(m.h2_streams, 6);
    cl_close_all(&c);
    nf_stop(&f);
}

/* Bodies into rooms, ranges, parts of a file, refusals. */
TEST(test_net_http2_kinds)
{
    struct client c;
    struct answer *a, *b, *d, *e, *g, *k, *l, *o;
    struct nf f;
    char path[512];
    FILE *file;

    nf_start(&f, NULL);
    (void)snprintf(path, sizeof(path), "%s/file", t_tmpdir());
    file = fopen(path, "w+");
    T_OK(file != NULL);
    for (int i = 0; i < 500000; i++) {
        (void)fputc(i % 251, file);
    }
    T_INT(fflush(file), 0);
    f.file_fd = fileno(file);
    f.file_n = 500000;
    cl_open(&c, &f);
    a = cl_ask(&c, "POST", "/rooms", 100000, true, NULL, NULL);
    b = cl_ask(&c, "GET", "/file", 0, false, "range", "bytes=1000-200999");
    d = cl_ask(&c, "GET", "/known/5000", 0, false, "range", "bytes=-10");
    e = cl_ask(&c, "GET", "/nothing", 0, false, NULL, NULL);
    g = cl_ask(&c, "DELETE", "/hello", 0, false, NULL, NULL);
    k = cl_ask(&c, "BREW", "/hello", 0, false, NULL, NULL);
    l = cl_ask(&c, "POST", "/early", 1000000, true, NULL, NULL);
    o = cl_ask(&c, "POST", "/hello", 10, true, "expect", "200-maybe");
    cl_run(&c);
    T_INT(a->status, 200);
    T_OK(a->body.n > 0);
    T_INT(b->status, 206);
    T_UINT(b->body.n, 200000);
    for (size_t i = 0; i < b->body.n; i++) {
        T_INT((unsigned char)b->body.p[i], (int)((i + 1000) % 251));
    }
    T_INT(d->status, 206);
    T_UINT(d->body.n, 10);
    T_INT(e->status, 404);
    T_INT(g->status, 405);
    T_OK(strstr(g->fields, "allow: GET") != NULL);
    T_INT(k->status, 501);
    T_INT(l->status, 401);
    T_INT(o->status, 417);
    cl_close_all(&c);
    (void)fclose(file);
    nf_stop(&f);
}

TEST(test_net_http2_broken_answers)
{
    struct client c;
    struct answer *a, *b, *d;
    struct nf f;

    nf_start(&f, NULL);
    cl_open(&c, &f);
    a = cl_ask(&c, "GET", "/abort", 0, false, NULL, NULL);
    b = cl_ask(&c, "GET", "/short", 0, false, NULL, NULL);
    cl_run(&c);
    T_UINT(a->error, NGHTTP2_INTERNAL_ERROR);
    T_UINT(b->error, NGHTTP2_INTERNAL_ERROR);
    d = cl_ask(&c, "GET", "/hello", 0, false, NULL, NULL); /* the others are not hurt */
    cl_run(&c);
    check_ok(d, "hello");
    cl_close_all(&c);
    nf_stop(&f);
}

/* A hundred at once, answered in any order, on one connection. */
TEST(test_net_http2_many)
{
    struct client c;
    struct nf f;

    nf_start(&f, NULL);
    cl_open(&c, &f);
    for (unsigned i = 0; i < 250; i++) {
        (void)cl_ask(&c, i % 2 ? "POST" : "GET", i % 2 ? "/echo" : "/known/20000", i % 2 ? 3000 : 0,
                     i % 4 == 1, NULL, NULL);
    }
    cl_run(&c);
    for (unsigned i = 0; i < c.n; i++) {
        T_INT(c.answers[i].status, 200);
        T_UINT(c.answers[i].body.n, i % 2 ? 3000 : 20000);
    }
    cl_close_all(&c);
    nf_stop(&f);
}

/* ---- limits -------------------------------------------------------------------------------------------------------- */

TEST(test_net_http2_heads)
{
    struct client c;
    struct answer *a, *b, *d;
    struct nf f;
    char *text = mem_zalloc(60001, 1);
    char path[17000] = "/";

    nf_start(&f, NULL);
    memset(text, 'x', 60000);
    memset(path + 1, 'y', sizeof(path) - 2);
    cl_open(&c, &f);
    a = cl_ask(&c, "GET", "/hello", 0, false, "x-large", text);
    b = cl_ask(&c, "GET", path, 0, false, NULL, NULL);
    cl_run(&c);
    check_ok(a, "hello");
    T_INT(b->status, 414);
    /* Over the limit only together. */
    nghttp2_nv fields[6] = { nv(":method", "GET"),  nv(":scheme", "http"),
                             nv(":path", "/hello"), nv(":authority", "localhost"),
                             nv("x-a", text),       nv("x-b", text + 40000) };
    d = &c.answers[c.n++];
    d->id = nghttp2_submit_request(c.s, NULL, fields, 6, NULL, NULL);
    cl_run(&c);
    T_INT(d->status, 431);
    /* The Host rule is that of HTTP/1. */
    fields[3] = nv(":authority", "a b");
    d = &c.answers[c.n++];
    d->id = nghttp2_submit_request(c.s, NULL, fields, 4, NULL, NULL);
    cl_run(&c);
    T_OK(d->status == 400 || d->error == NGHTTP2_PROTOCOL_ERROR);
    cl_close_all(&c);
    mem_free(text);
    nf_stop(&f);
}

static void frame(struct buf *b, size_t n, unsigned type, unsigned flags, uint32_t id,
                  const char *payload)
{
    const uint8_t head[9] = { (uint8_t)(n >> 16),  (uint8_t)(n >> 8),  (uint8_t)n,
                              (uint8_t)type,       (uint8_t)flags,     (uint8_t)(id >> 24),
                              (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id };

    buf_put(b, head, sizeof(head));
    buf_put(b, payload, n);
}

static void raw_open(struct buf *b)
{
    buf_init(b, 64 << 20);
    buf_put(b, NGHTTP2_CLIENT_MAGIC, PREFACE_N);
    frame(b, 0, NGHTTP2_SETTINGS, 0, 0, "");
}

/* GET /hello of localhost; literal fields, nothing is remembered. */
static const char head_hello[] = "\x82\x86\x04\x06/hello\x01\x09localhost";

/* The bytes are sent, whatever the server says meanwhile; then it must end the connection. What it has sent last is the
 * error of its GOAWAY, UINT32_MAX without one. */
static uint32_t flood(const struct nf *f, const struct buf *b)
{
    int fd = nf_connect(f);
    struct buf got;
    size_t put = 0, at = 0;
    uint32_t error = UINT32_MAX;

    buf_init(&got, 64 << 20);
    for (bool open = true; open;) {
        struct pollfd p = { .fd = fd, .events = (short)(POLLIN | (put < b->n ? POLLOUT : 0)) };

        T_OK(poll(&p, 1, 20000) > 0);
        if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
            T_OK(buf_reserve(&got, 65536));
            ssize_t n = recv(fd, got.p + got.n, 65536, 0);

            open = n > 0;
            got.n += n > 0 ? (size_t)n : 0;
        } else if (p.revents & POLLOUT) {
            ssize_t n = send(fd, b->p + put, MIN_OF(b->n - put, (size_t)65536),
                             MSG_NOSIGNAL | MSG_DONTWAIT);

            put = n > 0 ? put + (size_t)n : n < 0 && put < b->n ? b->n : put;
        }
    }
    while (at + 9 <= got.n) {
        const uint8_t *p = (const uint8_t *)got.p + at;
        size_t n = ((size_t)p[0] << 16) + ((size_t)p[1] << 8) + p[2];

        if (p[3] == NGHTTP2_GOAWAY && at + 17 <= got.n) {
            error =
                ((uint32_t)p[13] << 24) + ((uint32_t)p[14] << 16) + ((uint32_t)p[15] << 8) + p[16];
        }
        at += 9 + n;
    }
    buf_release(&got);
    (void)close(fd);
    return error;
}

static void expect_flood(const struct nf *f, struct buf *b, bool calm)
{
    uint32_t error = flood(f, b);

    /* A reset may overtake the GOAWAY when bytes were still on their way. */
    T_OK(error == UINT32_MAX || (calm ? error == NGHTTP2_ENHANCE_YOUR_CALM : error != 0));
    buf_release(b);
}

TEST(test_net_http2_floods)
{
    struct nf_answer a;
    struct net_figures m;
    struct buf b;
    struct nf f;

    nf_start(&f, NULL);
    raw_open(&b); /* pings */
    for (int i = 0; i < 10000; i++) {
        frame(&b, 8, NGHTTP2_PING, 0, 0, "12345678");
    }
    expect_flood(&f, &b, true);
    raw_open(&b); /* settings */
    for (int i = 0; i < 10000; i++) {
        frame(&b, 0, NGHTTP2_SETTINGS, 0, 0, "");
    }
    expect_flood(&f, &b, true);
    raw_open(&b); /* requests that are taken back at once */
    for (uint32_t i = 0; i < 5000; i++) {
        frame(&b, sizeof(head_hello) - 1, NGHTTP2_HEADERS, 5, 2 * i + 1, head_hello);
        frame(&b, 4, NGHTTP2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\x08");
    }
    expect_flood(&f, &b, false);
    raw_open(&b); /* a head that never ends */
    frame(&b, sizeof(head_hello) - 1, NGHTTP2_HEADERS, 1, 1, head_hello);
    for (int i = 0; i < 10000; i++) {
        frame(&b, 0, NGHTTP2_CONTINUATION, 0, 1, "");
    }
    expect_flood(&f, &b, false);
    raw_open(&b); /* frames of data without data */
    frame(&b, sizeof(head_hello) - 1, NGHTTP2_HEADERS, 4, 1, head_hello);
    for (int i = 0; i < 10000; i++) {
        frame(&b, 0, NGHTTP2_DATA, 0, 1, "");
    }
    expect_flood(&f, &b, true);
    http_server_metrics(f.server, &m);
    T_OK(m.h2_floods >= 3);
    nf_ask(&f, "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &a);
    T_INT(a.status, 200);
    nf_answer_release(&a);
    nf_stop(&f);
}

/* A small block that unfolds: one field of 4000 bytes is remembered, then named a thousand times. */
TEST(test_net_http2_hpack_bomb)
{
    struct buf b, block = BUF_INIT(1 << 20);
    struct nf f;
    uint64_t before;

    nf_start(&f, NULL);
    before = nf_rss();
    raw_open(&b);
    for (uint32_t i = 0; i < 100; i++) {
        buf_clear(&block);
        buf_put(&block, head_hello, sizeof(head_hello) - 1);
        if (i == 0) {
            buf_put_lit(&block, "\x40\x01z\x7f\xa1\x1e"); /* indexed; a value of 4000 bytes */
            for (int k = 0; k < 4000; k++) {
                buf_put_u8(&block, 'v');
            }
        }
        for (int k = 0; k < 10000; k++) {
            buf_put_u8(&block, 0xbe); /* the newest entry of the table */
        }
        frame(&b, block.n, NGHTTP2_HEADERS, 5, 2 * i + 1, block.p);
    }
    frame(&b, 9, 0x7f, 0, 0, "unknown!!");
    frame(&b, 1, NGHTTP2_PING, 0, 0, "x"); /* of a wrong size: the end */
    expect_flood(&f, &b, false);
    T_OK(nf_rss() < before + (32u << 20));
    buf_release(&block);
    nf_stop(&f);
}

/* What is not HTTP/2 after all, and a preface that comes byte by byte. */
TEST(test_net_http2_preface)
{
    static const char magic[] = NGHTTP2_CLIENT_MAGIC;
    struct nf f;
    struct buf b = BUF_INIT(4096);
    struct nf_answer a;
    char in[16];
    int fd;

    nf_start(&f, NULL);
    buf_put_lit(&b, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n and more");
    T_UINT(flood(&f, &b), UINT32_MAX);
    buf_clear(&b);
    buf_put_lit(&b, "PRIMA /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    T_UINT(flood(&f, &b), UINT32_MAX);
    buf_release(&b);
    fd = nf_connect(&f);
    for (size_t i = 0; i < PREFACE_N; i++) {
        nf_sendn(fd, magic + i, 1);
    }
    nf_sendn(fd, "\0\0\0\x04\0\0\0\0\0", 9);
    T_INT(recv(fd, in, 9, MSG_WAITALL), 9);
    T_INT(in[3], NGHTTP2_SETTINGS);
    (void)close(fd);
    fd = nf_connect(&f); /* the same letter begins a POST */
    nf_sendn(fd, "P", 1);
    nf_send(fd, "OST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi");
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "hi");
    nf_answer_release(&a);
    (void)close(fd);
    nf_stop(&f);
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static void short_times(struct http_server_options *o)
{
    o->limits.head_ms = 300;
    o->limits.body_ms = 300;
    o->limits.write_ms = 300;
    o->limits.idle_ms = 300;
    o->limits.linger_ms = 300;
}

TEST(test_net_http2_slow_clients)
{
    struct client c;
    struct answer *a;
    struct nf f;
    int fd;

    nf_start(&f, short_times);
    fd = nf_connect(&f); /* only the preface */
    nf_send(fd, NGHTTP2_CLIENT_MAGIC);
    while (recv(fd, &(char){ 0 }, 1, 0) == 1) {
    }
    (void)close(fd);
    fd = nf_connect(&f); /* not even that */
    nf_send(fd, "PR");
    T_OK(nf_closed(fd));
    (void)close(fd);
    /* A body that stops: 408, and the stream ends. */
    cl_open(&c, &f);
    nghttp2_nv fields[5] = { nv(":method", "POST"), nv(":scheme", "http"), nv(":path", "/count"),
                             nv(":authority", "localhost"), nv("content-length", "10") };
    a = &c.answers[c.n++];
    a->id = nghttp2_submit_headers(c.s, 0, -1, NULL, fields, 5, NULL);
    T_OK(a->id > 0);
    cl_run(&c);
    T_INT(a->status, 408);
    cl_until_end(&c); /* and the idle connection ends with a word */
    T_OK(c.goaway);
    T_UINT(c.goaway_error, NGHTTP2_NO_ERROR);
    cl_close_all(&c);
    /* An answer whose window is never opened again. */
    cl_open(&c, &f);
    c.hold = true;
    a = cl_ask(&c, "GET", "/known/1000000", 0, false, NULL, NULL);
    cl_run(&c);
    T_UINT(a->error, NGHTTP2_CANCEL);
    cl_close_all(&c);
    nf_stop(&f);
}

static void short_idle(struct http_server_options *o)
{
    o->limits.idle_ms = 250;
}

/* Pings of a client are answered; a client that says nothing while a call is open is asked, lives on when it answers, and is cut when it
 * does not. */
TEST(test_net_http2_pings)
{
    struct client c;
    struct answer *a;
    struct buf b;
    struct nf f;
    bool lived = false;
    int fd;

    nf_start(&f, short_idle);
    for (int tries = 0; !lived && tries < 20;
         tries++) { /* a very busy machine may answer too late */
        cl_open(&c, &f);
        a = cl_ask(&c, "POST", "/hold", 10, true, NULL, NULL);
        for (int i = 0; i < 100; i++) {
            T_INT(nghttp2_submit_ping(c.s, NGHTTP2_FLAG_NONE, NULL), 0);
        }
        while ((c.pongs < 100 || c.pings < 2) && cl_turn(&c)) {
        }
        lived = !c.ended;
        T_OK(!lived || (!c.goaway && !a->closed));
        nf_release(&f);
        cl_run(&c);
        cl_close_all(&c);
    }
    T_OK(lived);
    fd = nf_connect(&f);
    raw_open(&b);
    frame(&b, sizeof(head_hello) - 1, NGHTTP2_HEADERS, 4, 1,
          head_hello); /* its body does not come */
    nf_sendn(fd, b.p, b.n);
    buf_release(&b);
    while (recv(fd, &(char){ 0 }, 1, 0) == 1) {
    }
    (void)close(fd);
    nf_stop(&f);
}

/* While a handler does not ask for a body, no more of it comes than its window. */
TEST(test_net_http2_back_pressure)
{
    struct client c;
    struct answer *a, *b;
    struct nf f;

    nf_start(&f, NULL);
    cl_open(&c, &f);
    a = cl_ask(&c, "POST", "/hold", 1000000, false, NULL, NULL);
    b = cl_ask(&c, "POST", "/echo", 100000, false, NULL, NULL); /* goes by */
    while (!b->closed) {
        T_OK(cl_turn(&c));
    }
    T_UINT(b->body.n, 100000);
    T_OK(!a->closed);
    T_OK(a->left >= 1000000 - 65535);
    nf_release(&f);
    cl_run(&c);
    check_ok(a, "1000000");
    cl_close_all(&c);
    nf_stop(&f);
}

static void stop_later(void *ctx)
{
    struct nf *f = ctx;
    struct err err = ERR_INIT;

    T_ST_ERR(http_server_stop(f->server, 20000, 5000, &err), OK, &err);
}

/* A stop tells the client twice, answers what it has begun, and ends. */
TEST(test_net_http2_drain)
{
    struct exec_thread *t = NULL;
    struct err err = ERR_INIT;
    struct client c;
    struct answer *a;
    struct nf f;

    nf_start(&f, NULL);
    cl_open(&c, &f);
    a = cl_ask(&c, "GET", "/slow", 0, false, NULL, NULL);
    while (!exec_event_wait(f.arrived, 0)) {
        struct pollfd p = { .fd = c.fd, .events = POLLIN };

        if (nghttp2_session_want_write(c.s) || poll(&p, 1, 10) > 0) {
            T_OK(cl_turn(&c));
        }
    }
    T_ST_ERR(exec_thread_new(&t, "stop", stop_later, &f, &err), OK, &err);
    while (!c.goaway) {
        T_OK(cl_turn(&c));
    }
    T_INT(c.goaway_last, INT32_MAX);
    c.goaway = false;
    while (!c.goaway) {
        T_OK(cl_turn(&c));
    }
    T_INT(c.goaway_last, a->id);
    T_UINT(c.goaway_error, NGHTTP2_NO_ERROR);
    nf_release(&f);
    cl_run(&c);
    check_ok(a, "late");
    cl_until_end(&c);
    cl_close_all(&c);
    exec_thread_join(t);
    nf_stop(&f);
}

/* Every allocation in turn fails once: an answer or an end, never a crash or a leak. */
TEST(test_net_http2_memory)
{
    struct nf f;

    nf_start(&f, NULL);
    for (int64_t n = 1; n < 60; n++) {
        struct client c;

        cl_open(&c, &f);
        (void)cl_ask(&c, "POST", "/echo", 3000, false, NULL, NULL);
        (void)cl_ask(&c, "GET", "/stream/2", 0, false, NULL, NULL);
        mem_fail_after(n, true);
        cl_run(&c);
        mem_fail_never();
        cl_close_all(&c);
    }
    nf_stop(&f);
}
