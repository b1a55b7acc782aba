/* net/http_int.h - what the protocol-neutral part of a request (http_core.c, http_answer.c) and its carriers (http1.c,
 * http2_stream.c) know of each other. Private to net.
 *
 * A carrier makes a request with http_core_new(), starts it with http_core_begin(), feeds it body bytes while
 * http_core_wants() says so, sends p->answer once its `answer` call came, and ends it with http_core_finish(). If the
 * connection breaks before, it says http_core_detach() and forgets the request. Calls of http_core_* may call back into
 * the carrier's struct http_wire, so a carrier is not re-entered while busy: it then only notes what happened. */
#ifndef CAIRN_NET_HTTP_INT_H
#define CAIRN_NET_HTTP_INT_H

#include "net/coding.h"
#include "net/conn.h"
#include "net/http1_head.h"
#include "net/server.h"
#include <stdatomic.h>

struct http_worker; /* one per loop */

struct http_server {
    struct http_server_options opt;
    const struct router *router;
    struct http_hooks hooks;
    struct http_worker *workers;
    unsigned worker_n;
    struct tls *tls;
    struct http_listener *listeners;
    unsigned listener_n;
    bool running, stopped;
    atomic_uint conns; /* all loops */
    /* Bytes of buffered bodies and of answers that wait for their clients, less what the workers have not told. */
    atomic_int_fast64_t bodies;
    atomic_uint_fast64_t held; /* bytes of buffered bodies of requests that are not answered */
    atomic_uint paused;        /* requests whose bodies are not read for that reason */
};

/* Arenas of ended requests and input windows of connections that wait, for the next request: a request costs no call of the
 * allocator that the one before has paid for already. */
enum { HTTP_SPARES = 128, HTTP_SPARE_ARENA_MAX = 64 * 1024, HTTP_WINDOW_FIRST = 16 * 1024 };

/* A request line and Host that have passed the guard and found their route: the next one like it need not be looked at again. Only
 * where nothing else decides: no capture, nothing to decode, no Origin. */
enum { HTTP_KNOWN = 16, HTTP_KNOWN_TEXT = 200 };

struct http_known {
    const struct route *route; /* NULL = free */
    enum http_method method;
    size_t path_n, host_n;
    char text[HTTP_KNOWN_TEXT]; /* the path as sent, the host */
};

struct http_worker {
    struct conn_owner conns; /* first: CONTAINER_OF from the owner */
    struct http_server *server;
    struct loop *loop;
    char *h2_in, *h2_out; /* of every connection of HTTP/2, made at the first one */
    size_t h2_out_n;
    struct arena *arenas[HTTP_SPARES];
    char *windows[HTTP_SPARES]; /* of HTTP_WINDOW_FIRST bytes */
    unsigned arenas_n, windows_n;
    struct http_priv *paused_first, *paused_last;
    struct loop_task resume;
    atomic_bool resuming; /* the task is on its way */
    size_t reqs;          /* not finished */
    struct http_known known[HTTP_KNOWN];
    int64_t bodies_untold; /* not in the server's `bodies` yet */
    uint64_t id_base, id_n;
    struct loop_task drain, force;
    struct exec_event *event; /* set when draining and nothing is left */
};
void http_worker_check_idle(struct http_worker *w);
/* Requests of the worker whose bodies may be read now. */
void http_worker_resume(struct loop_task *t);
/* An arena for a request, NULL when memory is out, and back. The worker's loop. */
struct arena *http_worker_arena(struct http_worker *w);
void http_worker_arena_back(struct http_worker *w, struct arena *a);
/* HTTP_WINDOW_FIRST bytes, NULL when memory is out, and back. */
char *http_worker_window(struct http_worker *w);
void http_worker_window_back(struct http_worker *w, char *window);

struct http_wire {
    bool (*busy)(void *carrier);
    void (*want)(void *carrier);   /* http_core_wants() has become true */
    void (*answer)(void *carrier); /* p->answer is complete */
    void (*given)(void *carrier);  /* http_give() has answered a pull */
    void (*later)(
        void *carrier); /* look at the request again soon, not from inside; NULL unless duplex */
    bool gives_files;   /* answer.give_n is understood */
    bool duplex;        /* the body may be read while the answer is given */
};

enum answer_kind { ANSWER_BYTES, ANSWER_FILE, ANSWER_STREAM };
struct http_answer {
    int status;
    enum answer_kind kind;
    bool failed; /* memory ran out while it was built: a fixed 503 goes out instead */
    bool no_compress, allow_range, no_body;
    struct http_field *fields;
    size_t field_n, field_cap;
    struct http_field *trailers;
    size_t trailer_n, trailer_cap;
    struct str type;
    const char *etag; /* what If-Range is compared with, or NULL */
    struct str body;  /* BYTES */
    char *owned;      /* mem_free afterwards */
    int fd;           /* FILE, else -1 */
    uint64_t offset;  /* FILE, STREAM: where the bytes to send begin */
    int64_t length;   /* bytes to send, HTTP_LENGTH_UNKNOWN for some streams */
    struct http_producer producer;
    void *ctx;
    bool pulling, given;
    struct str give;
    unsigned give_flags;
    int give_fd; /* of a piece of a file, which is what give_n > 0 says */
    uint64_t give_at, give_n;
    bool give_pipe; /* it is a pipe */
};

enum http_stage { STAGE_GATE, STAGE_BODY, STAGE_HANDLER, STAGE_ANSWERED };

struct http_priv {
    struct http_req req;
    struct http_worker *worker;
    const struct http_wire *wire;
    void *carrier; /* NULL once the connection is gone */
    atomic_bool gone;
    enum http_stage stage;
    bool in_gate, accepted, has_body;
    bool paused;         /* in the worker's list, its body is not read yet */
    bool late;           /* the deadline has passed */
    int64_t deadline_ms; /* of the answer, as loop_now_ms(); 0 = none */
    struct http_priv *paused_prev, *paused_next;
    int refuse_status; /* of net's own refusals, 0 = from the status */
    /* body */
    enum http_body_mode mode;
    uint64_t body_cap, body_seen, charged, held;
    struct buf body;
    enum coding coding;
    struct decoder *decoder;
    struct str dec_in; /* not decoded yet, the carrier's bytes */
    struct buf kept;   /* of a carrier that has gone: a piece that somebody works on lies there */
    char *dec_out;
    bool body_last, body_over, piece_wanted;
    char *room; /* the consumer's, for the piece that is wanted; NULL = none */
    size_t room_n, room_max;
    http_piece_fn piece_fn;
    void *piece_ctx;
    struct http_answer answer;
    struct loop_task answer_task, read_task, post_task, give_task, accept_task;
    void (*post_fn)(struct http_req *req, void *ctx);
    void *post_ctx;
};

extern const struct http_wire http1_wire, http2_wire;

enum { HTTP_PIECE_BYTES = 64 * 1024 };

/* A request of its own arena, from a parsed head that lies in that arena. */
struct http_priv *http_core_new(struct http_worker *w, const struct conn *c, struct arena *a,
                                const struct http1_head *h, const struct http_wire *wire,
                                void *carrier);
void http_core_begin(struct http_priv *p);
/* Too much memory is held by other requests: the body stays in the socket until some of them are answered. */
static inline bool http_core_paused(const struct http_priv *p)
{
    return p->paused;
}
/* Body bytes are wanted, or a piece can be delivered without any. */
bool http_core_wants(const struct http_priv *p);
/* Delivers what is there already; true if it did. Before the carrier reads more. */
bool http_core_flush(struct http_priv *p);
/* Bytes as they came, without framing; they stay valid until http_core_wants() again. last: nothing follows. */
void http_core_body(struct http_priv *p, struct str bytes, bool last);
/* Room to receive raw body bytes right into the buffered body, or 0. Then http_core_body() with the same bytes. */
size_t http_core_room(struct http_priv *p, size_t n, char **room);
/* How many bytes http_core_body() may be given at once; SIZE_MAX = any number. */
size_t http_core_room_left(const struct http_priv *p);
void http_core_body_fail(struct http_priv *p, int http, enum status st, const char *why);
/* Adds the fields every answer has; false when memory is out. */
bool http_core_fields(struct http_priv *p);
void http_core_pull(struct http_priv *p, uint64_t at);
/* A pull that waits for an event is to be answered: the client has gone, the deadline has passed or the server goes down. */
void http_core_stop(struct http_priv *p);
/* The answer is out (sent) or cut. */
void http_core_finish(struct http_priv *p, bool sent, uint64_t body_bytes);
void http_core_detach(struct http_priv *p);
/* The answer is built: to the carrier, on the owner loop. */
void http_core_submit(struct http_priv *p);
/* A refusal of net's own. */
void http_core_refuse(struct http_priv *p, int http, enum status st, const char *fmt, ...)
    ATTR_FORMAT(4, 5);
void http_core_free_answer(struct http_priv *p);
/* Field without checks; text not copied. */
void http_answer_field(struct http_priv *p, struct str name, struct str value);

#endif
