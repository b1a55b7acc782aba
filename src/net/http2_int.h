/* net/http2_int.h - a connection of HTTP/2 and its streams: http2.c moves bytes and time, http2_stream.c moves requests and
 * answers. Private to net.
 *
 * No callback of nghttp2 calls anything above net: it notes what happened at the stream and puts it on the list `ready`.
 * http2_run() works that list off between reading and writing. */
#ifndef CAIRN_NET_HTTP2_INT_H
#define CAIRN_NET_HTTP2_INT_H

#include "net/http_int.h"
#include <nghttp2/nghttp2.h>

enum {
    H2_STREAMS_MAX = 128,
    H2_WINDOW = 65535,
    H2_WINDOW_FAST = 1 << 20,
    H2_FAST_MAX = 8,
    H2_WINDOW_CONN = 4 << 20,
    H2_IN_BYTES = 64 * 1024,
    H2_FRAME_MAX = 16 * 1024 + 9,
    H2_OUT_BYTES = 128 * 1024
};

struct h2_stream {
    struct h2 *h;
    struct h2_stream *prev, *next, *ready_next;
    bool queued;
    int32_t id;
    /* the head as it comes */
    struct arena *arena; /* the request's, once there is one */
    struct http1_head head;
    struct str method, authority;
    size_t field_cap, head_bytes;
    unsigned field_seen;
    int bad; /* the status to refuse it with */
    const char *why;
    bool head_done, bodyless, begun;
    /* body in */
    struct buf pending, piece;
    size_t piece_at;
    uint64_t taken; /* by the request */
    bool fast, in_end, in_done, expect;
    /* the request and its answer */
    struct http_priv *p;
    bool answered, started, deferred, last_out, out_done, ended, closed;
    bool broken; /* the answer cannot be completed */
    struct str given;
    uint64_t left_out, sent;
    int64_t since_ms; /* of the last progress */
};

struct h2 {
    struct conn *c;
    struct http_worker *w;
    nghttp2_session *s;
    bool busy, dead, resuming, served;
    bool drained;  /* the last recv got less than asked: the next one waits for the poll */
    bool full;     /* the buffer of the loop has no room for the next frame */
    bool goodbye;  /* the last GOAWAY is queued */
    bool noticed;  /* the first GOAWAY of a drain is queued */
    bool linger;   /* all is sent: what still comes is thrown away */
    bool ping_out; /* unanswered */
    bool ponged;   /* the peer has seen the first GOAWAY */
    unsigned need;
    struct h2_stream *current; /* the one http2_run() works on */
    struct h2_stream *streams, *ready_first, *ready_last;
    size_t stream_n, fast_n;
    char *rest; /* bytes the socket did not take */
    size_t rest_at, rest_n;
    int64_t in_ms, idle_ms, blocked_ms, head_ms, notice_ms, linger_ms;
    int64_t deadline_ms; /* the earliest of the streams, 0 = none */
    int64_t noise_ms;    /* since when noise is counted */
    unsigned noise;
};

/* Something happened at the stream: http2_run() looks at it. */
void h2_ready(struct h2_stream *st);
void http2_run(struct h2 *h);
/* The same, soon. */
void h2_yield(struct h2 *h);
/* Brings a stream as far as it comes; frees it when it is closed. */
void h2_stream_work(struct h2_stream *st);
/* The connection ends: its request goes on alone. */
void h2_stream_drop(struct h2_stream *st);
/* Ends what nothing came of or went to for too long, or whose deadline has passed. */
void h2_stream_late(struct h2_stream *st, int64_t now);
/* The callbacks of nghttp2; NULL when memory is out. Freed by the caller. */
nghttp2_session_callbacks *h2_callbacks(void);
/* Buffers of the loop, made at the first use; NULL when memory is out. */
char *h2_in(struct http_worker *w);
char *h2_out(struct http_worker *w);

#endif
