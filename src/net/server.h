/* net/server.h - the HTTP server: listening sockets, loops, limits, drain.
 *   http_server_new() -> http_server_listen() once or more -> http_server_start() -> ... -> http_server_stop()
 *   -> http_server_free()
 * Ownership: the server borrows router, hooks and options' strings: they outlive it. Thread rule: these calls belong to
 * the thread that made the server (not a loop); http_server_metrics() may be called from any thread. */
#ifndef CAIRN_NET_SERVER_H
#define CAIRN_NET_SERVER_H

#include "net/guard.h"
#include "net/metrics.h"
#include "net/router.h"

struct http_limits {
    size_t line_max;     /* request line, 414 beyond (16 KiB) */
    size_t head_max;     /* all header fields, 431 beyond (64 KiB) */
    unsigned field_max;  /* number of fields, 431 beyond (100) */
    uint64_t body_max;   /* one buffered body after decompression, 413 beyond (64 MiB) */
    uint64_t stream_max; /* one streamed body, 413 beyond (1 TiB) */
    uint64_t
        bodies_max; /* all buffered bodies and unread answers of the server together, 503 beyond (1 GiB) */
    uint64_t
        held_max; /* once that many bytes of buffered bodies are held by unanswered requests, further bodies are left in their
                   * sockets; 503 after body_ms of that. 0 = a quarter of bodies_max */
    size_t arena_max; /* one request's arena (256 MiB) */
    unsigned
        conn_max;     /* open connections; a connection beyond is answered 503 and closed (16384) */
    int64_t head_ms;  /* from the first byte (or the accept) to the end of the head: 408 (10 s) */
    int64_t body_ms;  /* without a byte of a body that is wanted: 408 (30 s) */
    int64_t write_ms; /* without progress of an answer: cut (60 s) */
    int64_t idle_ms;  /* keep-alive without a request: closed (75 s) */
    int64_t linger_ms; /* reading on after an early answer, so that the client sees it (2 s) */
};
/* The values in parentheses. */
void http_limits_default(struct http_limits *l);

struct tls_options {
    const char *cert_file; /* PEM chain; NULL = no TLS */
    const char *key_file;  /* PEM */
};

struct http_server_options {
    unsigned loop_n; /* 0 = one per core, at most 4 */
    struct http_limits limits;
    struct http_guard guard;
    struct tls_options tls; /* with TLS a plain request on the port is answered 400 */
    int backlog;            /* 0 = 1024 */
};
/* Defaults for everything. */
void http_server_options_init(struct http_server_options *o);

struct http_server;

enum status http_server_new(struct http_server **out, const struct http_server_options *o,
                            const struct router *router, const struct http_hooks *hooks,
                            struct err *err);
/* "127.0.0.1:5757", "[::1]:0", "0.0.0.0:80", "unix:/path"; port 0 lets the system choose. At most 4 addresses. */
enum status http_server_listen(struct http_server *s, const char *address, struct err *err);
/* TCP port of the i-th address. */
unsigned http_server_port(const struct http_server *s, unsigned i);
enum status http_server_start(struct http_server *s, struct err *err);
/* Drains and ends: accepts what waits in the socket, then closes it; requests in work are answered (with Connection:
 * close), idle connections closed; after drain_ms the rest is cut. Returns when every request has been answered by its
 * handler; ST_DEADLINE if some handler has not answered grace_ms after that (then nothing may be freed). */
enum status http_server_stop(struct http_server *s, int64_t drain_ms, int64_t grace_ms,
                             struct err *err);
/* After stop. NULL-safe. */
void http_server_free(struct http_server *s);
/* Sums over the loops. */
void http_server_metrics(const struct http_server *s, struct net_figures *out);

#endif
