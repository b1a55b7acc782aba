/* api/call.h - one API call: what every tongue shares between a route and core.
 *
 *   route -> gate (who, may he) -> decode by the route's message table -> endpoint -> encode by the answer's table
 *
 * An endpoint is one of
 *   DIRECT  direct(c): answers from memory, on the loop
 *   READ    read(c, view): synchronous code on a pool thread with a connection of its own
 *   WRITE   start(c, &op): makes a write_op on the loop; it is queued to the sequencer; after the commit, finish(c) fills the
 *           answer on the loop, or read(c, view) does on a pool thread when the answer needs the store. With both, read() is for
 *           a request that was repeated with its Idempotency-Key, where the operation has not run
 *   STREAM  stream(c): has the request to itself (raw bodies)
 * read() and direct() may answer by themselves (a file, say): they return ST_END then.
 * Each fills c->out (a struct of the route's answer table, in c->arena; NULL = {}), or leaves it and sets c->raw.
 * A tongue says how its bodies are read and how its errors look.
 * Ownership: a call lives in its request's arena. Thread rule: the loop, or the one pool thread it was handed to. */
#ifndef CAIRN_API_CALL_H
#define CAIRN_API_CALL_H

#include "api/fair.h"
#include "codec/msg.h"
#include "core/access.h"
#include "core/core.h"
#include "core/idempotent.h"
#include "net/http.h"
#include "net/router.h"
#include <stdatomic.h>

struct call;

struct tongue {
    const char *name;
    unsigned decode_flags; /* enum msg_flags */
    unsigned encode_flags;
    bool json_type_required; /* POST and PUT bodies must say application/json */
    bool
        empty_query; /* a GET or DELETE without a body has its fields in the query, also when there is none */
    /* Anything the tongue asks of every request, before it is decoded. May be NULL. */
    enum status (*check)(struct http_req *req, struct err *err);
    /* The text for a request that does not fit its message; returns the status to answer with. */
    enum status (*issue)(const struct msg_issue *issue, struct arena *a, struct err *err);
    /* A tongue whose bodies are not JSON: fills c->in from the body. NULL: JSON, or the query. */
    enum status (*decode)(struct call *c, struct msg_ctx *ctx, struct err *err);
    /* The same for answers: c->out by the route's table, or c->raw; and for errors. NULL: JSON, and `error` below. */
    void (*answer)(struct call *c);
    void (*fail)(struct http_req *req, int http, enum status st, const struct err *err);
    /* The HTTP status of an error; NULL: by the status table. */
    int (*http)(enum status st, const struct err *err);
    /* Writes the error body and sets the content type; http is the status that is answered. */
    void (*error)(struct http_req *req, int http, enum status st, const struct err *err,
                  struct buf *body);
};

enum endpoint_kind { CALL_DIRECT, CALL_READ, CALL_WRITE, CALL_STREAM };

struct endpoint {
    const struct tongue *tongue;
    enum endpoint_kind kind;
    /* Before decoding; may set ctx->stream. May be NULL. */
    enum status (*prepare)(struct call *c, struct msg_ctx *ctx, struct err *err);
    enum status (*direct)(struct call *c, struct err *err);
    enum status (*read)(struct call *c, struct view *v, struct err *err);
    /* READ: on the loop, before read() goes to a pool thread. True: the answer was in memory, and is made. May be NULL. */
    bool (*quick)(struct call *c);
    enum status (*start)(struct call *c, struct write_op **op, struct err *err);
    enum status (*finish)(struct call *c, struct err *err);
    /* WRITE: with a body of more bytes than this, start() runs on a pool thread; 0 = it never does. */
    size_t heavy;
    /* For Idempotency-Key where read() needs what the operation made (a new id): the text to keep, and taking it back when the
     * operation is not run again. May be NULL. */
    struct str (*remember)(struct call *c);
    void (*recall)(struct call *c, struct str kept);
    void (*stream)(struct call *c);
};

/* The seventh argument of ROUTE, per tongue: define TONGUE_ENDPOINT-like macros with this. */
#define ENDPOINT(...) (&(const struct endpoint){ __VA_ARGS__ })

/* Per loop: the sequencer is woken once a turn, however many requests of the turn write. */
struct api_turn {
    struct loop_turn turn;
    struct loop *loop;
    struct seq *seq;
    size_t used; /* memory of requests that ended, not told yet */
    /* By what the route is about and status / 100. Only the loop writes; readers add the loops up. */
    atomic_uint_fast64_t answers[RESOURCE_N][6];
};

struct api {
    struct core *core;
    struct access *access;
    bool serve_artifacts;           /* the artifact proxy is on */
    const char *artifacts_disabled; /* text for its routes when it is off */
    void (*figures)(
        void *ctx, struct buf *out); /* Prometheus text of the whole process; NULL = route is off */
    void *figures_ctx;
    /* Requests have ended that used that much memory together; NULL = nobody wants to know. Loop. */
    void (*used)(void *ctx, size_t bytes);
    void *used_ctx;
    struct str config;   /* JSON: what GET /api/cairn/v1/config answers */
    struct digest local; /* of the token of the data folder: who can read it is an operator */
    bool has_local;
    struct api_turn turns[LOOP_MAX];
    struct fair fair;
};

struct call {
    struct api *api;
    struct core *core;
    struct http_req *req;
    struct arena *arena;
    const struct endpoint *endpoint;
    const struct principal *principal;
    void *in;       /* decoded request, by the route's table */
    void *out;      /* answer, by the route's answer table */
    struct buf raw; /* or: ready bytes, with their type */
    const char *raw_type;
    int status;              /* of a success; 0 = 200 */
    void *user;              /* the endpoint's */
    struct write_op *op;     /* the endpoint's operation */
    struct idempotent *once; /* around it, when the client sent an Idempotency-Key */
    struct fair_slot *share; /* of the client, while the write waits */
    struct err err;          /* a new call is cleared up to here */
    struct read_job job;     /* set when it is submitted: texts of errors are long */
};

/* Hooks for the HTTP server (ctx = struct api *). */
void api_hooks(struct http_hooks *hooks, struct api *api);

/* The capture of the route as text; p NULL if the route has none. */
struct str call_capture(const struct call *c, const char *name);
/* The namespace of declared nodes (core/typed) that a call is about: that of its metadata `cairn-namespace`, else its principal's, else
 * "default". ST_INVALID for a name that is too long. */
enum status call_space(const struct call *c, struct str *out, struct err *err);
/* Answers a STREAM call. call_error() may also be used there. */
void call_answer(struct call *c);
void call_error(struct call *c, enum status st, const struct err *err);

/* ---- long answers -------------------------------------------------------------------------------------------------- */

/* An answer made piece by piece, so that memory stays flat however long it is: a piece is made on a pool thread when the one
 * before it has left for the socket; other reads come in between. A short one (its first piece is the last) is sent like any
 * answer, with its length and compressed if the client likes that. */
struct long_answer {
    /* Appends the next piece to `out` (not nothing, unless it is the last) and says whether it is the last. The view's arena is empty
     * and lives until the next piece. A failure of the first piece is answered like that of any call; later the connection is
     * cut, so that the client sees a broken answer, not a short one. */
    enum status (*more)(struct long_answer *l, struct view *v, struct buf *out, bool *last,
                        struct err *err);
    const char *type; /* media type */
    /* The rest is call_long()'s. */
    struct call *call;
    struct arena *scratch;
    struct buf buf;
    bool last, given;
    struct read_job job;
};
enum { LONG_PIECE_BYTES = 1 << 20 /* what `more` may aim at */ };
/* From an endpoint's read(): makes the first piece and answers, or returns the failure. l lives in the call's arena. */
enum status call_long(struct call *c, struct view *v, struct long_answer *l, struct err *err);

#endif
