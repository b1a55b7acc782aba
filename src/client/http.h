/* client/http.h - one HTTP request and its answer, for commands.
 * libcurl does the work; it is loaded on the first request, so that local commands do not pay for it.
 * Ownership: the answer lies in the arena. Thread rule: one thread. */
#ifndef CAIRN_CLIENT_HTTP_H
#define CAIRN_CLIENT_HTTP_H

#include "base/arena.h"

enum { CLIENT_ANSWER_MAX = 256 << 20 };

struct client_request {
    const char *method; /* "GET" */
    const char *url;
    const char *socket; /* path of a unix socket to use instead of the URL's address, or NULL */
    const char *token;  /* sent as a bearer token; NULL = none */
    const char
        *ca_file;    /* with https: the authorities that are trusted; NULL = those of the system */
    struct str body; /* p NULL = none; JSON */
    int64_t connect_ms; /* 0 = 5 s */
    int64_t total_ms;   /* 0 = 120 s; with a sink or a source: without a byte */
    /* Bytes of a success (200, 206) go here piece by piece and not into the answer; false ends the request. May be NULL. */
    bool (*sink)(void *ctx, int status, const void *p, size_t n);
    void *sink_ctx;
    /* The body, source_n bytes, instead of `body`: up to max bytes at a time; 0 ends the request as failed (ST_IO). */
    size_t (*source)(void *ctx, void *p, size_t max);
    void *source_ctx;
    uint64_t source_n;
    const char *const *fields; /* more of them, "Name: value", NULL ends; NULL = none */
    const char *type;          /* of what a source gives; NULL = application/octet-stream */
    /* Asked about once a second while it waits; true ends the request with ST_CANCELLED. May be NULL. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
    const char *range; /* "100-": these bytes are asked for; 206 gives them, 200 all. NULL = all */
};

struct client_answer {
    int status;
    struct str body;
    char request_id[64]; /* "" if the server named none */
    char location[256], upload_offset[24], repr_digest[128],
        retry_after[32]; /* fields of those names; "" = none */
};

/* Any HTTP status is OK here. ST_IO when the sink or the source ends it. ST_UNAVAILABLE: no answer (the message says why); ST_NOT_IMPLEMENTED: no libcurl on this
 * machine; ST_INVALID: the URL is none. Redirects are not followed. */
enum status client_send(struct arena *a, const struct client_request *req,
                        struct client_answer *out, struct err *err) ATTR_CHECK;

#endif
