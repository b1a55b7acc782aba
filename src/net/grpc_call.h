/* net/grpc_call.h - the server's side of a gRPC call whose messages come and go one by one: client-streaming, server-streaming and
 * bidirectional methods.
 *
 * A call goes on by turns. A turn begins with message() or rest(), on the owner loop; the handler has the call to itself until it
 * ends the turn with grpc_call_next() or grpc_call_end(), there or later and from any thread, and says as many messages as it
 * likes meanwhile. What was said leaves when no further message is waiting (or much has been said); nothing more is read while the
 * client does not take it, and the bytes that wait here are within the window of the stream and one message: back-pressure
 * both ways. Once the client has sent its last message, rest() is called, and again whenever what it said has left: a method
 * that only streams its answers does it there. A turn of rest() that says nothing lasts until it has something to say, or ends the call.
 *
 * A call that `stays` speaks on its own as well, while it waits for its client: grpc_call_wake(), or grpc_wake() on any thread, asks for a
 * turn, which begins with push() once what was said before has left. However often it was asked for, it is one turn; a turn may ask for
 * the next one. Messages that wait and turns of push() take turns. In such a call rest() is called once, and may say nothing.
 *
 * gRPC-Web has no streams of requests: its messages are all read first, and the turns follow one another.
 * Ownership: the struct is embedded in one of the handler's that lives in the request's arena; scratch is emptied before each turn.
 * Thread rule: as above; the callbacks run on the owner loop. */
#ifndef CAIRN_NET_GRPC_CALL_H
#define CAIRN_NET_GRPC_CALL_H

#include "net/grpc.h"
#include "net/http.h"

struct grpc_call;
struct grpc_waker;

struct grpc_call_ops {
    /* A message, decompressed; valid until the turn ends. */
    void (*message)(struct grpc_call *c, struct str message);
    /* The client has sent its last message, and what was said has left. */
    void (*rest)(struct grpc_call *c);
    /* A turn that was asked for by waking; NULL if nothing wakes the call. */
    void (*push)(struct grpc_call *c);
    /* During a turn: the client has gone (ST_CANCELLED), its deadline has passed (ST_DEADLINE) or the server goes down
     * (ST_UNAVAILABLE): the turn is to end soon. May run while another thread has the turn. NULL for turns that end by themselves.
     * Of a call that stays also between two turns: then it begins the last one, for a last word; if that does not end the call, it ends
     * with `why`. */
    void (*stop)(struct grpc_call *c, enum status why);
    /* The last: nothing of the call is used afterwards. May be NULL. */
    void (*done)(struct grpc_call *c);
    bool stays;
};

struct grpc_call {
    struct http_req *req;
    struct arena *scratch; /* for a turn */
    /* The rest is private. */
    const struct grpc_call_ops *ops;
    enum grpc_form form;
    size_t max;
    struct buf in, plain, out, sending;
    size_t in_at;
    bool in_end, zip, pulling, turn, going, reading, over, answered;
    bool woken, pushed, rested;
    struct grpc_waker *waker;
    enum status stopped, lost; /* OK = nothing has happened; lost: to what the client sends */
    bool ended;                /* by the turn */
    enum status st;
    struct err err;
};

/* Takes the request over; its body is streamed (HTTP_BODY_STREAM). max: bytes of one message of the client, over gRPC-Web of all of
 * them. On failure the request is still to be answered. Loop. */
enum status grpc_call_start(struct grpc_call *c, struct http_req *req, size_t max,
                            const struct grpc_call_ops *ops, struct err *err) ATTR_CHECK;
/* Says a message: it is copied. One that does not fit in memory ends the call. During a turn. */
void grpc_call_say(struct grpc_call *c, struct str message);
/* Ends the turn. */
void grpc_call_next(struct grpc_call *c);
/* Ends the turn and the call; err is copied, NULL with OK. */
void grpc_call_end(struct grpc_call *c, enum status st, const struct err *err);

/* Asks for a turn of push(), which the call has to have. It may begin, and the call may end, before this returns. Loop. */
void grpc_call_wake(struct grpc_call *c);
/* Who wakes the call from elsewhere: lives as long as somebody holds it, and does nothing once the call is over. The caller gets a
 * reference; NULL when memory is out. Loop. */
struct grpc_waker *grpc_call_waker(struct grpc_call *c);
/* These: any thread, while the server's loops run. */
void grpc_wake(struct grpc_waker *w);
void grpc_waker_ref(struct grpc_waker *w);
void grpc_waker_unref(struct grpc_waker *w); /* NULL-safe */

#endif
