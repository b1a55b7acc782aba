/* net/client/grpc.h - calls to a gRPC server, of all four shapes, over one connection of HTTP/2 with or without TLS.
 *
 *     grpc_dial(&g, &(struct grpc_dial){ .target = "localhost:5757" }, &err);
 *     grpc_unary(g, "/grpc.health.v1.Health/Check", request, 5000, arena, &answer, &err);
 *     grpc_close(g);
 *
 * or message by message: grpc_open(), grpc_send() as often as wanted, grpc_send_end(), grpc_recv() until it does not say OK,
 * grpc_drop(). Several calls may be open at once: every call that waits moves the bytes of all.
 *
 * Every wait ends at the deadline of its call. A call that ends without success gives the status that fits its code; where a server of
 * cairn names its own status in the details, that one, with the field at fault and the hint. A connection that breaks ends its calls
 * with ST_UNAVAILABLE, and no further one is begun on it: dial again. Nothing is repeated here.
 * Memory: of a call at most a message and a window (1 MiB) wait here; a server that sends more is not read until grpc_recv() takes it.
 * So a call that sends much and is answered much has to take its answers between its messages.
 * Ownership: the caller closes what it dialled, and drops its calls before. Thread rule: one thread; blocks, so no loop thread. */
#ifndef CAIRN_NET_CLIENT_GRPC_H
#define CAIRN_NET_CLIENT_GRPC_H

#include "base/arena.h"
#include "base/buf.h"

struct grpc_client;
struct grpc_stream;

enum { GRPC_METADATA_MAX = 4 };

struct grpc_dial {
    const char *target; /* "HOST:PORT", "http://HOST:PORT", "https://HOST:PORT" or "unix:PATH" */
    const char
        *ca_file; /* with https: the certificates that are trusted; NULL = those of the system */
    const char *token;  /* sent as a bearer token; NULL = none */
    int64_t connect_ms; /* 0 = 5 s, with the handshake */
    size_t message_max; /* one message of an answer, also unpacked; 0 = 64 MiB */
    bool gzip;          /* messages of 16 KiB and more are sent compressed */
    /* Sent with every call: name, value, name ..., NULL ends; at most GRPC_METADATA_MAX pairs, which outlive the client. NULL = none */
    const char *const *metadata;
};

/* ST_INVALID for a target that is none, ST_UNAVAILABLE when nothing answers there. */
enum status grpc_dial(struct grpc_client **out, const struct grpc_dial *how,
                      struct err *err) ATTR_CHECK;
void grpc_close(struct grpc_client *g); /* NULL-safe */

/* Begins a call of "/package.Service/Method" that may take ms milliseconds (0: for ever). */
enum status grpc_open(struct grpc_client *g, const char *method, int64_t ms,
                      struct grpc_stream **out, struct err *err) ATTR_CHECK;
/* Waits until the message is on its way. Fails when the call has ended: grpc_recv() says how. */
enum status grpc_send(struct grpc_stream *s, struct str message, struct err *err) ATTR_CHECK;
/* No further message follows. */
enum status grpc_send_end(struct grpc_stream *s, struct err *err) ATTR_CHECK;
/* The next message, valid until the next call for this stream. ST_END: the call has ended well. */
enum status grpc_recv(struct grpc_stream *s, struct str *message, struct err *err) ATTR_CHECK;
/* Forgets the call; one that has not ended is cancelled. NULL-safe. */
void grpc_drop(struct grpc_stream *s);

/* One message there and one back, which lies in the arena. */
enum status grpc_unary(struct grpc_client *g, const char *method, struct str request, int64_t ms,
                       struct arena *a, struct str *answer, struct err *err) ATTR_CHECK;

#endif
