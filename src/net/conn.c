/* net/conn.c - life of a connection, the plain filter, and the sniffing of its protocol. */
#include "net/conn.h"
#include "base/mem.h"
#include "base/sys.h"
#include "net/http1.h"
#include "net/http2.h"
#include "net/metrics.h"
#include "net/tls.h"
#include <errno.h>

/* No method that HTTP/1 has here begins like the preface of HTTP/2. */
const struct conn_protocol conn_protocols[] = { { "h2", "PRI", http2_start },
                                                { "http/1.1", NULL, http1_start } };

enum { TLS_HANDSHAKE_BYTE = 0x16, SNIFF_AGAIN_MS = 20 };

/* ---- tcp filter -------------------------------------------------------------------------------------------------- */

static enum io io_of_errno(struct filter *f, unsigned need)
{
    if (errno == EAGAIN) {
        f->need = need;
        return IO_AGAIN;
    }
    return IO_FAIL;
}

static enum io tcp_recv(struct filter *f, char *p, size_t n, size_t *got)
{
    ssize_t rc = sock.recv(f->fd, p, n, 0);

    if (rc < 0) {
        return io_of_errno(f, IO_NEED_READ);
    }
    *got = (size_t)rc;
    return rc == 0 ? IO_EOF : IO_OK;
}

static enum io tcp_sendv(struct filter *f, const struct iovec *iov, size_t iov_n, bool more,
                         size_t *put)
{
    ssize_t rc = sock.sendv(f->fd, iov, iov_n, more ? MSG_MORE : 0);

    if (rc < 0) {
        return io_of_errno(f, IO_NEED_WRITE);
    }
    *put = (size_t)rc;
    return IO_OK;
}

static enum io tcp_sendfile(struct filter *f, int fd, uint64_t at, size_t n, size_t *put)
{
    off_t off = (off_t)at;
    ssize_t rc = sys.sendfile(f->fd, fd, &off, n);

    if (rc < 0) {
        return io_of_errno(f, IO_NEED_WRITE);
    }
    *put = (size_t)rc;
    return rc == 0 ? IO_EOF : IO_OK;
}

static enum io tcp_splice(struct filter *f, int pipe, size_t n, size_t *put)
{
    ssize_t rc = sys.splice(pipe, f->fd, n);

    if (rc < 0) {
        return io_of_errno(f, IO_NEED_WRITE);
    }
    *put = (size_t)rc;
    return rc == 0 ? IO_EOF : IO_OK;
}

static void tcp_shut(struct filter *f)
{
    (void)sock.shutdown(f->fd, SHUT_WR);
}

static void tcp_free(struct filter *f)
{
    mem_free(f);
}

static const struct filter_ops tcp_ops = {
    .name = "tcp",
    .recv = tcp_recv,
    .sendv = tcp_sendv,
    .sendfile = tcp_sendfile,
    .splice = tcp_splice,
    .shut = tcp_shut,
    .free = tcp_free,
};

struct filter *filter_tcp_new(int fd)
{
    struct filter *f = mem_zalloc(1, sizeof(*f));

    if (f) {
        f->ops = &tcp_ops;
        f->fd = fd;
    }
    return f;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

struct conn *conn_new(struct conn_owner *o, int fd, const struct sockaddr *addr)
{
    struct conn *c = mem_zalloc(1, sizeof(*c));
    char text[SOCK_ADDR_TEXT];

    if (c) {
        c->top = filter_tcp_new(fd);
    }
    if (!c || !c->top) {
        mem_free(c);
        (void)sys.close(fd);
        return NULL;
    }
    c->owner = o;
    c->loop = o->loop;
    c->fd = fd;
    c->peer_n = MIN_OF(sock_addr_text(addr, text), sizeof(c->peer));
    memcpy(c->peer, text, c->peer_n);
    return c;
}

void conn_ref(struct conn *c)
{
    c->refs++;
}

void conn_unref(struct conn *c)
{
    CHECK(c->refs > 0);
    if (--c->refs == 0) {
        struct conn_owner *o = c->owner;

        mem_free(c);
        o->closed(o);
    }
}

static void poll_closed(uv_handle_t *h)
{
    conn_unref(CONTAINER_OF(h, struct conn, poll));
}

static void timer_closed(struct loop_timer *t)
{
    conn_unref(CONTAINER_OF(t, struct conn, timer));
}

void conn_close(struct conn *c)
{
    struct conn_owner *o = c->owner;

    if (c->closing) {
        return;
    }
    c->closing = true;
    conn_ref(c);
    if (c->ops) {
        c->ops->free(c);
        c->ops = NULL;
    }
    c->top->ops->free(c->top);
    c->top = NULL;
    if (c->prev) {
        c->prev->next = c->next;
    } else {
        o->first = c->next;
    }
    if (c->next) {
        c->next->prev = c->prev;
    }
    o->n--;
    net_count(&loop_metrics(c->loop)->closed, 1);
    if (c->is_open) {
        (void)uv_poll_stop(&c->poll);
        uv_close((uv_handle_t *)&c->poll, poll_closed);
        loop_timer_close(&c->timer, timer_closed);
    }
    (void)sys.close(c->fd);
    conn_unref(c);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct conn *c = CONTAINER_OF(p, struct conn, poll);

    if (status < 0) {
        /* libuv has stopped the handle; the next call on the socket tells why. */
        c->mask = 0;
        c->ops->ready(c, true, true);
        return;
    }
    c->ops->ready(c, (events & (UV_READABLE | UV_DISCONNECT)) != 0, (events & UV_WRITABLE) != 0);
}

static void on_timer(struct loop_timer *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, timer);

    if (!c->closing) {
        c->ops->timeout(c);
    }
}

void conn_want(struct conn *c, unsigned mask)
{
    if (mask == c->mask || c->closing) {
        return;
    }
    c->mask = mask;
    if (mask == 0) {
        (void)uv_poll_stop(&c->poll);
    } else if (uv_poll_start(&c->poll, (int)mask, on_poll) != 0) {
        conn_close(c);
    }
}

enum io conn_recv(struct conn *c, char *p, size_t n, size_t *got)
{
    enum io io = c->top->ops->recv(c->top, p, n, got);

    if (io == IO_OK) {
        net_count(&loop_metrics(c->loop)->bytes_in, *got);
    }
    return io;
}

enum io conn_sendv(struct conn *c, const struct iovec *iov, size_t iov_n, bool more, size_t *put)
{
    enum io io = c->top->ops->sendv(c->top, iov, iov_n, more, put);

    if (io == IO_OK) {
        net_count(&loop_metrics(c->loop)->bytes_out, *put);
    }
    return io;
}

enum io conn_sendfile(struct conn *c, int fd, uint64_t at, size_t n, size_t *put)
{
    enum io io = c->top->ops->sendfile(c->top, fd, at, n, put);

    if (io == IO_OK) {
        net_count(&loop_metrics(c->loop)->bytes_out, *put);
    }
    return io;
}

enum io conn_splice(struct conn *c, int pipe, size_t n, size_t *put)
{
    enum io io = c->top->ops->splice ? c->top->ops->splice(c->top, pipe, n, put) : IO_FAIL;

    if (io == IO_OK) {
        net_count(&loop_metrics(c->loop)->bytes_out, *put);
    }
    return io;
}

void conn_drain_all(struct conn_owner *o)
{
    struct conn *next;

    o->draining = true;
    for (struct conn *c = o->first; c; c = next) {
        next = c->next;
        c->ops->drain(c);
    }
}

void conn_close_all(struct conn_owner *o)
{
    while (o->first) {
        conn_close(o->first);
    }
}

/* ---- sniff: which protocol is it? --------------------------------------------------------------------------------- */

static void sniff_limit(struct conn *c, int64_t ms)
{
    c->sniff_end_ms = loop_now_ms(c->loop) + ms;
    loop_timer_set(&c->timer, ms);
}

static void sniff_handshake(struct conn *c)
{
    enum io io = filter_tls_handshake(c->top);

    if (io == IO_AGAIN) {
        conn_want(c, c->top->need == IO_NEED_WRITE ? UV_WRITABLE : UV_READABLE);
        return;
    }
    if (io != IO_OK) {
        conn_close(c);
        return;
    }
    struct str alpn = filter_tls_alpn(c->top);
    size_t i = 0;

    while (i + 1 < ARRAY_N(conn_protocols) && !str_eq(alpn, str_cstr(conn_protocols[i].alpn))) {
        i++;
    }
    conn_protocols[i].start(c);
}

static void sniff_tls(struct conn *c)
{
    struct filter *f = filter_tls_new(c->owner->tls, c->fd);

    if (!f) {
        conn_close(c);
        return;
    }
    c->top->ops->free(c->top);
    c->top = f;
    c->is_tls = true;
    sniff_handshake(c);
}

static void sniff_ready(struct conn *c, bool readable, bool writable)
{
    char first[CONN_PREFACE_MAX];
    ssize_t n;

    (void)readable;
    (void)writable;
    if (c->is_tls) {
        sniff_handshake(c);
        return;
    }
    n = sock.recv(c->fd, first, sizeof(first), MSG_PEEK);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) {
            conn_want(c, UV_READABLE);
        } else {
            conn_close(c);
        }
        return;
    }
    if (c->owner->tls && first[0] == TLS_HANDSHAKE_BYTE) {
        sniff_tls(c);
        return;
    }
    for (size_t i = 0; i < ARRAY_N(conn_protocols); i++) {
        struct str preface = str_cstr(conn_protocols[i].preface);
        size_t k = MIN_OF(preface.n, (size_t)n);

        if (k > 0 && memcmp(first, preface.p, k) != 0) {
            continue;
        }
        if (k < preface.n) {
            /* So far it fits. The poll would wake for the bytes that are there already: look again a little later. */
            conn_want(c, 0);
            loop_timer_set(&c->timer, SNIFF_AGAIN_MS);
            return;
        }
        conn_protocols[i].start(c);
        return;
    }
}

static void sniff_timeout(struct conn *c)
{
    int64_t left = c->sniff_end_ms - loop_now_ms(c->loop);

    if (left <= 0) {
        conn_close(c);
        return;
    }
    loop_timer_set(&c->timer, left);
    sniff_ready(c, true, false);
}

/* An accepted connection is about to send its request: it keeps its time limit. */
static void sniff_drain(struct conn *c)
{
    sniff_limit(c, MIN_OF(c->owner->sniff_ms, (int64_t)1000));
}

static void sniff_free(struct conn *c)
{
    (void)c;
}

static const struct proto_ops sniff_ops = { "sniff", sniff_ready, sniff_timeout, sniff_drain,
                                            sniff_free };

void conn_open(struct conn *c)
{
    struct conn_owner *o = c->owner;

    c->next = o->first;
    if (o->first) {
        o->first->prev = c;
    }
    o->first = c;
    o->n++;
    net_count(&loop_metrics(c->loop)->accepted, 1);
    c->ops = &sniff_ops;
    if (uv_poll_init(loop_uv(c->loop), &c->poll, c->fd) != 0) {
        conn_close(c);
        return;
    }
    conn_ref(c);
    c->is_open = true;
    CHECK(loop_timer_init(c->loop, &c->timer, on_timer) == OK);
    conn_ref(c);
    sniff_limit(c, o->draining ? MIN_OF(o->sniff_ms, (int64_t)1000) : o->sniff_ms);
    conn_ref(c);
    sniff_ready(c, true, false);
    conn_unref(c);
}
