/* net/router.h - tables of routes, compiled once.
 * A path is made of static segments and captures: "/api/2.0/mlflow/logged-models/{model_id}/tags/{tag_key}". A capture
 * takes one whole segment, or, as the last one written "{path*}", all that is left (at least one byte, slashes kept).
 * A static segment wins over a capture, a capture over a rest. Repeated slashes in a request count as one; a slash at
 * the end counts. Captures are percent-decoded once, after the split, so %2F stays inside its capture.
 * A route without a right does not compile (ROUTE) and is not added (router_add).
 * Ownership: the router copies nothing of the tables: they are static. Thread rule: built by one thread, immutable
 * afterwards. */
#ifndef CAIRN_NET_ROUTER_H
#define CAIRN_NET_ROUTER_H

#include "net/http.h"

/* The right a route declares is an integer here; its names are the layer's above. */
enum { ROUTE_ACTION_NONE = 0 };

struct route {
    enum http_method method;
    const char *path;
    const void *in;      /* message table of the request, for the layer above */
    const void *out;     /* and of the answer */
    int resource;        /* what the right is about, for the layer above */
    int action;          /* the right; ROUTE_ACTION_NONE is refused */
    const void *handler; /* for the layer above: a pointer to a const struct of its own */
    enum http_body_mode body;
    uint64_t body_max; /* 0 = the server's default; for BUFFERED and STREAM, after decompression */
};

/* One row of a table. Exactly seven arguments; an action of 0 does not compile. */
#define ROUTE(method_, path_, in_, out_, resource_, action_, handler_)                             \
    {                                                                                              \
        .method = (method_), .path = (path_), .in = (in_), .out = (out_), .resource = (resource_), \
        .action = ROUTE_CHECKED_(action_), .handler = (handler_), .body = HTTP_BODY_BUFFERED       \
    }
/* As ROUTE, with the body mode and its cap in bytes (0 = default). */
#define ROUTE_BODY(method_, path_, in_, out_, resource_, action_, handler_, body_, body_max_)      \
    {                                                                                              \
        .method = (method_), .path = (path_), .in = (in_), .out = (out_), .resource = (resource_), \
        .action = ROUTE_CHECKED_(action_), .handler = (handler_), .body = (body_),                 \
        .body_max = (body_max_)                                                                    \
    }
#define ROUTE_CHECKED_(action_)                                                                    \
    ((int)((action_) + 0 * sizeof(struct {                                                         \
                           _Static_assert((int)(action_) != ROUTE_ACTION_NONE,                     \
                                          "every route declares the right it needs");              \
                           int unused;                                                             \
                       })))

/* Every route of the table whose path starts with `from` is also added with `to` in its place: "/api/2.0" ->
 * "/ajax-api/2.0". */
struct route_alias {
    const char *from, *to;
};

struct router;

enum status router_new(struct router **out, struct err *err);
void router_free(struct router *r); /* NULL-safe */
/* Adds n routes, each also under its aliases; prefix ("/mlflow", or "" or NULL) is put before all of them. ST_EXISTS when
 * two routes have the same method and shape, ST_INVALID for a malformed path or a missing right. */
enum status router_add(struct router *r, const struct route *routes, size_t n,
                       const struct route_alias *aliases, size_t alias_n, const char *prefix,
                       struct err *err);

enum router_result {
    ROUTER_FOUND,
    ROUTER_NO_PATH,
    ROUTER_NO_METHOD, /* the path exists: *allow has a bit 1 << method for each method it takes */
    ROUTER_BAD_PATH,  /* a broken percent escape, invalid UTF-8 or NUL */
    ROUTER_NOMEM
};
struct router_match {
    const struct route *route;
    struct http_capture captures[HTTP_CAPTURE_MAX];
    size_t capture_n;
    unsigned allow;
};
/* raw_path is the path as sent, still encoded. HEAD finds GET when there is no HEAD row. Captures lie in the arena. */
enum router_result router_find(const struct router *r, enum http_method method, struct str raw_path,
                               struct arena *a, struct router_match *out);
/* The steps of router_find(), for whoever needs the path before a route is known: repeated slashes merged; then
 * percent-decoded once and checked to be UTF-8 without NUL. Both borrow from raw where nothing changes. */
enum router_result router_merge_slashes(struct str raw, struct arena *a, struct str *out);
enum router_result router_decode(struct str raw, struct arena *a, struct str *out);
/* Calls fn for every row that was added (aliases included), with its full path: for the route x caller test, and for
 * the API reference. */
void router_each(const struct router *r,
                 void (*fn)(void *ctx, const struct route *route, struct str path), void *ctx);

#endif
