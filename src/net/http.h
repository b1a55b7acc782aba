/* net/http.h - one request and its answer, whatever protocol carried it.
 *
 * Life of a request:
 *   head read -> Host and Origin checks -> route -> hooks.gate (who is it, may he?) -> body -> hooks.handle -> answer
 * A handler answers with exactly one of the http_send_* calls, at once or later, from the owner loop or from any other
 * thread the request was handed to; after that call the request must not be touched. If the client goes away before,
 * the request stays valid until the handler answers; the answer is then thrown away (http_is_gone() tells early).
 *
 * Body modes, chosen by the route: HTTP_BODY_BUFFERED: the whole body is in req->body (decompressed, capped) before
 * handle is called. HTTP_BODY_STREAM: handle is called after the head; http_body_read() pulls the bytes piece by
 * piece, and nothing is read from the socket while no piece is asked for. HTTP_BODY_NONE: a body is refused with 413.
 *
 * Ownership: a request owns its arena; everything in struct http_req lives until the request has been answered. Text
 * is borrowed from that arena.
 * Thread rule: one thread at a time: the owner loop until handle returns, then whichever thread the handler handed the
 * request to (hand it over through a queue with a barrier: exec_pool_submit, mpsc). Functions marked "loop" run on the
 * owner loop only; callbacks of http_body_read() and of streams always run there.
 * Memory: a failure while an answer is built is remembered and answered as 503; no call here needs checking for it. */
#ifndef CAIRN_NET_HTTP_H
#define CAIRN_NET_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/loop.h"

enum http_method {
    HTTP_METHOD_NONE,
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_METHOD_N
};
/* "GET"; "" for HTTP_METHOD_NONE. */
const char *http_method_name(enum http_method m);
/* Exact, case-sensitive; HTTP_METHOD_NONE if unknown. */
enum http_method http_method_parse(struct str s);

enum http_body_mode { HTTP_BODY_BUFFERED, HTTP_BODY_STREAM, HTTP_BODY_NONE };

struct http_field {
    struct str name; /* lower case */
    struct str value;
};

enum { HTTP_CAPTURE_MAX = 8, HTTP_ID_N = 32 };

struct http_capture {
    struct str name;  /* as in the route: "run_id" */
    struct str value; /* percent-decoded once, valid UTF-8, never empty */
};

struct route;
struct http_conn; /* what carries the request; private to net */
struct http_priv; /* private to net */

struct http_req {
    enum http_method
        method; /* HEAD is routed to GET when the table has no HEAD row; the answer's body is not sent */
    unsigned version; /* 10, 11, (20) */
    bool is_tls;
    struct str target;   /* as sent */
    struct str raw_path; /* path of the target, still percent-encoded */
    struct str path;     /* percent-decoded once, repeated slashes merged, valid UTF-8, no NUL */
    struct str query;    /* after '?', still encoded; p is NULL if there is no '?' */
    struct str host;     /* Host field (or authority of the target), lower case */
    struct str peer;     /* "127.0.0.1:40112", "[::1]:40112", "unix" */
    const struct http_field *fields;
    size_t field_n;
    const struct route *route; /* NULL for the hooks no_route and error before routing */
    struct http_capture captures[HTTP_CAPTURE_MAX];
    size_t capture_n;
    struct str body; /* HTTP_BODY_BUFFERED: the whole body */
    uint64_t
        content_length; /* as declared (before decompression); UINT64_MAX when chunked; 0 without a body */
    char id[HTTP_ID_N + 1]; /* of this request, hex; also sent as X-Request-Id */
    int64_t start_ns;       /* monotonic, when the head was complete */
    struct arena *arena;
    struct loop *loop; /* the owner */
    void *principal;   /* for the layers above */
    void *user;        /* for the layers above */
    struct http_priv *priv;
};

/* ---- reading the request ---------------------------------------------------------------------------------------- */

/* The value of the first field of that (lower-case) name; p is NULL if absent. */
struct str http_header(const struct http_req *req, struct str name);
/* The i-th (from 0) of several fields of one name; p is NULL if absent. */
struct str http_header_nth(const struct http_req *req, struct str name, size_t i);
/* True if the comma-separated list in the fields `name` holds `token` (any case), as in Connection or Accept. */
bool http_header_has(const struct http_req *req, struct str name, struct str token);
/* A capture of the route by name; p is NULL if the route has none. */
struct str http_capture(const struct http_req *req, struct str name);
/* Media type of Content-Type, lower case, without parameters; p is NULL if absent. */
struct str http_content_type(const struct http_req *req);
/* The client closed or broke its connection: work on the answer is in vain. Any thread. */
bool http_is_gone(const struct http_req *req);

/* What a piece of a streamed body is. */
enum http_piece {
    HTTP_PIECE_DATA, /* bytes; ask again for more */
    HTTP_PIECE_END,  /* the body is complete; no bytes */
    HTTP_PIECE_FAIL /* broken, too big, too slow or gone: err says which. Clean up and answer with http_send_error() */
};
/* bytes stay valid until the next http_body_read() or the answer; so a pool thread may work on them meanwhile. err is
 * NULL unless FAIL. Runs on the owner loop. */
typedef void (*http_piece_fn)(struct http_req *req, void *ctx, enum http_piece what,
                              struct str bytes, const struct err *err);
/* Asks for the next piece of a HTTP_BODY_STREAM body: fn is called once, at most 64 KiB at a time, never from inside
 * this call. Any thread; one call at a time. Without it nothing is read from the client (back-pressure).
 * While a piece is outstanding the request must not be answered: wait for fn. */
void http_body_read(struct http_req *req, http_piece_fn fn, void *ctx);
/* Whether the body may be read while the answer is given (HTTP/2): then http_body_read() may also be called after http_send_stream(),
 * on the owner loop, from a pull on until the answer's last piece has been given. What is outstanding when the request ends is forgotten:
 * the producer's done says so. */
bool http_can_converse(const struct http_req *req);
/* The same with room for large pieces: bytes that need no decoding are received right there, until it is full or the body is complete,
 * and nothing is copied. The piece may also lie elsewhere, as http_body_read() gives it. room belongs to net until fn is called. So
 * one piece can be worked on while the next one comes into another room. HTTP_PIECE_FAIL gives what has come into the room. */
void http_body_read_into(struct http_req *req, void *room, size_t max, http_piece_fn fn, void *ctx);

/* Runs fn(req, ctx) on the owner loop, never from inside this call. Any thread that holds the request; one post at a
 * time. Needs no memory. */
void http_req_post(struct http_req *req, void (*fn)(struct http_req *req, void *ctx), void *ctx);

/* ---- answering ---------------------------------------------------------------------------------------------------- */

/* 200 unless set. */
void http_status(struct http_req *req, int status);
/* Adds a field; name and value are copied. Content-Length, Transfer-Encoding, Connection, Date, X-Request-Id and the
 * two security fields are written by net and must not be added. A value with a control character is dropped with a
 * log line (no answer splitting). */
void http_add_header(struct http_req *req, struct str name, struct str value);
void http_add_headerf(struct http_req *req, struct str name, const char *fmt, ...)
    ATTR_FORMAT(3, 4);
/* A field after the body. Only HTTP/2 carries it: to others (version < 20) it is not sent. */
void http_add_trailer(struct http_req *req, struct str name, struct str value);
/* Sets Content-Type; a literal or arena text, not copied. */
void http_type(struct http_req *req, const char *media_type);
/* This answer is not to be compressed, whatever its size and type (already compressed or secret-bearing bodies). */
void http_no_compress(struct http_req *req);
/* Byte ranges (RFC 9110 section 14, one range, GET) apply to the answer sent by http_send, http_send_buf and
 * http_send_stream with a known length. http_send_file always honours them. */
void http_allow_range(struct http_req *req);
/* The strong entity tag (quoted) of what will be sent, so that If-Range can be compared; borrowed until the answer is out. Without it
 * a request with If-Range gets the whole. */
void http_range_etag(struct http_req *req, const char *etag);

/* The part [*from, *from + *n) of `total` bytes that http_send_stream() will ask for when ranges are allowed; false: none, the
 * answer will be 416. For handlers that have to know it before they answer; the status is to be set before. */
bool http_wanted(const struct http_req *req, uint64_t total, uint64_t *from, uint64_t *n);

/* Body lies in the arena, in static memory, or anywhere that lives until the answer is out. Bodies over 16 KiB of a
 * compressible type are compressed here, on the calling thread, when the client accepts zstd or gzip (on a loop thread
 * only up to 128 KiB). */
void http_send(struct http_req *req, struct str body);
/* Takes the bytes of b (also when the request is gone); b is empty afterwards. A failed buffer is answered as 503. */
void http_send_buf(struct http_req *req, struct buf *b);
/* No body: 204, 304, or Content-Length: 0. */
void http_send_empty(struct http_req *req);
/* length bytes of fd from offset, by sendfile; takes fd (closes it). */
void http_send_file(struct http_req *req, int fd, uint64_t offset, uint64_t length);
/* Status and plain text (or what hooks.error makes of it). Also the way out after HTTP_PIECE_FAIL. */
void http_send_error(struct http_req *req, const struct err *err);

enum { HTTP_LENGTH_UNKNOWN = -1 };

/* Where the bytes of a streamed answer come from. */
struct http_producer {
    /* Asks for the next bytes, from absolute position `at` of the whole answer on (so that ranges need no seek call):
     * answer with one http_give(), at once or later, from any thread. Runs on the owner loop, once per give, only when
     * the bytes before have left for the socket. */
    void (*pull)(struct http_req *req, void *ctx, uint64_t at);
    /* The answer is out, or the client is gone and no pull is outstanding. Runs once, on the owner loop; may be NULL. */
    void (*done)(struct http_req *req, void *ctx);
    /* A pull is outstanding and the client has gone, the deadline has passed or the server goes down: answer it soon. Runs on the owner
     * loop, maybe more than once; NULL for producers that never let a pull wait. */
    void (*stop)(struct http_req *req, void *ctx);
};
/* Streams length bytes (or HTTP_LENGTH_UNKNOWN: chunked; HTTP/1.0 clients get it delimited by close). */
void http_send_stream(struct http_req *req, int64_t length, const struct http_producer *p,
                      void *ctx);
/* The streamed answer is to end within ms milliseconds: then a pull that waits is told to stop, and an answer that its client does not
 * read is reset. Only HTTP/2 keeps it. Loop. */
void http_deadline(struct http_req *req, int64_t ms);
/* That deadline has passed. Loop. */
bool http_is_late(const struct http_req *req);
enum http_give_flags {
    HTTP_GIVE_MORE = 0,
    HTTP_GIVE_LAST = 1, /* nothing after these bytes */
    HTTP_GIVE_ABORT =
        2 /* cannot go on: the connection is cut, so that the client sees a broken answer, not a short one */
};
/* Answers one pull. bytes stay valid until the next pull or done. Zero bytes with HTTP_GIVE_MORE are not allowed. Any
 * thread. */
void http_give(struct http_req *req, struct str bytes, unsigned flags);
/* Whether a pull of this request's answer, of known length, may be answered with a piece of a file. */
bool http_can_give_file(const struct http_req *req);
/* The same with n > 0 bytes of a file, which leave by sendfile; fd is borrowed until the next pull or done. */
void http_give_file(struct http_req *req, int fd, uint64_t at, uint64_t n);
/* The same for n > 0 bytes that lie in a pipe, which move to the socket without being seen; borrowed likewise, and empty when the next
 * pull comes. */
bool http_can_give_pipe(const struct http_req *req);
void http_give_pipe(struct http_req *req, int pipe, uint64_t n);

/* ---- hooks: what net asks the layers above ------------------------------------------------------------------------ */

enum http_miss { HTTP_MISS_PATH, HTTP_MISS_METHOD }; /* 404; 405 (Allow is already added) */

struct http_hooks {
    void *ctx;
    /* Routed, body not read yet: find the principal, check the right the route declares; then call http_accept(), or
     * answer (401, 403). May do so later. NULL accepts everything. Loop. */
    void (*gate)(void *ctx, struct http_req *req);
    /* The request is complete (STREAM: its head): answer, now or later. Loop. */
    void (*handle)(void *ctx, struct http_req *req);
    /* No route. NULL: plain text. Loop. */
    void (*no_route)(void *ctx, struct http_req *req, enum http_miss miss);
    /* net itself or http_send_error() refuses a request that has a head: set status and fields as the tongue of that
     * path wants and answer with http_send/http_send_buf. status is the one proposed. NULL: plain text. Loop, or the
     * thread that called http_send_error(). */
    void (*error)(void *ctx, struct http_req *req, int status, const struct err *err);
    /* After the last byte of the answer, for logs and metrics; status 0: the client went away first. NULL: none.
     * Loop. */
    void (*done)(void *ctx, struct http_req *req, int status, uint64_t body_bytes, int64_t took_ns);
};
/* From hooks.gate: go on with the body and hooks.handle. Any thread. */
void http_accept(struct http_req *req);

/* Reason phrase: "Not Found"; "" if unknown. */
const char *http_reason(int status);

#endif
