/* net/conn.h - one connection: a descriptor, a chain of transport filters, and the protocol on top.
 *
 *   socket <- tcp filter <- [tls filter] <- protocol (sniff, then http1 or http2)
 *
 * Filters are pulled: recv, sendv, sendfile and splice move bytes or say IO_AGAIN, and note in `need` which readiness they wait
 * for. A protocol gets ready() calls and asks for them with conn_want(). A new protocol is one struct proto_ops and one
 * row of the table in conn.c (its ALPN name, its first bytes); nothing below or beside it changes.
 *
 * Ownership: a conn owns its descriptor, filters and, through proto_ops.free, its protocol. References keep its memory
 * until posted tasks have run. Thread rule: the owner loop. */
#ifndef CAIRN_NET_CONN_H
#define CAIRN_NET_CONN_H

#include "base/sock.h"
#include "net/loop.h"

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FAIL };
enum io_need { IO_NEED_READ = 1, IO_NEED_WRITE = 2 };

struct filter;
struct filter_ops {
    const char *name;
    /* IO_OK: *got > 0. */
    enum io (*recv)(struct filter *f, char *p, size_t n, size_t *got);
    /* IO_OK: *put > 0, maybe not all. more: further bytes follow at once (they may share a packet). */
    enum io (*sendv)(struct filter *f, const struct iovec *iov, size_t iov_n, bool more,
                     size_t *put);
    /* IO_EOF: the file ended early. */
    enum io (*sendfile)(struct filter *f, int fd, uint64_t at, size_t n, size_t *put);
    /* Bytes that lie in a pipe. NULL: this filter has to see what it sends. */
    enum io (*splice)(struct filter *f, int pipe, size_t n, size_t *put);
    /* Ends our direction; the peer's may go on. */
    void (*shut)(struct filter *f);
    void (*free)(struct filter *f);
};
struct filter {
    const struct filter_ops *ops;
    int fd;
    unsigned need; /* enum io_need after IO_AGAIN */
};

/* The socket itself. NULL when memory is out. Does not own fd. */
struct filter *filter_tcp_new(int fd);

struct conn;
struct proto_ops {
    const char *name;
    /* The socket is readable or writable, or broken (both are then set and the next call on it fails). */
    void (*ready)(struct conn *c, bool readable, bool writable);
    void (*timeout)(struct conn *c);
    /* The server is going down: finish what is under way and close soon. */
    void (*drain)(struct conn *c);
    /* The connection ends now: let go of it. */
    void (*free)(struct conn *c);
};

struct conn_owner;
struct conn {
    struct loop *loop;
    struct conn_owner *owner;
    int fd;
    unsigned mask; /* what libuv polls for */
    unsigned refs; /* open handles and posted tasks */
    bool closing, is_tls, is_open;
    struct filter *top;
    const struct proto_ops *ops;
    void *proto;
    uv_poll_t poll;
    struct loop_timer timer;
    struct loop_task task; /* hand-over to the loop */
    int64_t sniff_end_ms;  /* when the protocol must be known */
    struct conn *prev, *next;
    size_t peer_n;
    char peer[64];
};

/* Who keeps the connections of one loop. */
struct tls;
struct conn_owner {
    struct loop *loop;
    const struct tls *tls; /* NULL: plain */
    struct conn *first;
    size_t n;
    bool draining;
    int64_t sniff_ms;                     /* to the first byte and through the TLS handshake */
    void (*closed)(struct conn_owner *o); /* after a connection has gone */
};

/* Takes fd. NULL when memory is out (fd is closed). Any thread. */
struct conn *conn_new(struct conn_owner *o, int fd, const struct sockaddr *addr);
/* Starts it on the owner loop. */
void conn_open(struct conn *c);
/* Frees protocol and filters, closes; the memory goes once no reference is left. */
void conn_close(struct conn *c);
void conn_ref(struct conn *c);
void conn_unref(struct conn *c);
/* What to poll for: UV_READABLE, UV_WRITABLE, UV_DISCONNECT; 0 = nothing. */
void conn_want(struct conn *c, unsigned mask);
enum io conn_recv(struct conn *c, char *p, size_t n, size_t *got);
enum io conn_sendv(struct conn *c, const struct iovec *iov, size_t iov_n, bool more, size_t *put);
enum io conn_sendfile(struct conn *c, int fd, uint64_t at, size_t n, size_t *put);
/* Of a connection without TLS. */
enum io conn_splice(struct conn *c, int pipe, size_t n, size_t *put);
/* Every open connection is told. */
void conn_drain_all(struct conn_owner *o);
void conn_close_all(struct conn_owner *o);

enum { CONN_PREFACE_MAX = 3 };
/* A protocol by the name ALPN agreed on or the bytes it starts with. */
struct conn_protocol {
    const char *alpn;
    const char *
        preface; /* the first bytes that decide, no more than CONN_PREFACE_MAX; NULL: the default */
    /* Puts c->ops and c->proto in place and reads on; closes c when memory is out. */
    void (*start)(struct conn *c);
};
/* HTTP/1.1 is the last row, the default. */
extern const struct conn_protocol conn_protocols[];

#endif
