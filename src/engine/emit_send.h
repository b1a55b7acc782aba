/* engine/emit_send.h - giving one event to a destination, and keeping what it does not want.
 * Thread rule: any thread that may block. */
#ifndef CAIRN_ENGINE_EMIT_SEND_H
#define CAIRN_ENGINE_EMIT_SEND_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    EMIT_TOKEN_MAX = 64 << 10,
    EMIT_REASON_MAX = 2000 /* bytes of an answer that are kept as the reason */
};

/* An address of HTTP. A URL without a path gets api/v1/lineage. */
struct emit_address {
    const char *url;
    const char *token_file;     /* read for every event, so that it can be replaced; NULL = none */
    const char *const *headers; /* "Name: value", NULL ends; NULL = none */
    const char *ca_file;        /* NULL = the authorities of the system */
    int64_t timeout_ms;         /* 0 = 5 s */
    bool gzip;
    bool (*stop)(void *ctx); /* true: no answer is waited for any more; may be NULL */
    void *stop_ctx;
};
enum status emit_address_check(const struct emit_address *to, struct err *err) ATTR_CHECK;

enum emit_outcome {
    EMIT_TAKEN, /* 2xx */
    EMIT_LATER, /* nobody there, too slow, overloaded, or it does not know who sends: 401, 403, 407, 408, 425, 429, 5xx */
    EMIT_BROKEN, /* 500: the event may be why */
    EMIT_REFUSED /* any other answer */
};
struct emit_answer {
    enum emit_outcome outcome;
    int64_t after_ms; /* what Retry-After asks for; 0 = nothing */
    struct str why;   /* in the arena; of all but EMIT_TAKEN */
};
/* *out says what came of it; only memory and the token file make it fail. */
enum status emit_post(const struct emit_address *to, struct arena *a, struct str event,
                      struct emit_answer *out, struct err *err) ATTR_CHECK;

/* Adds one line to the file of what was refused: {"time", "destination", "reason", "event"}. Durable when it returns OK. */
enum status emit_bury(const char *file, const char *destination, struct str reason,
                      struct str event, struct err *err) ATTR_CHECK;

#endif
