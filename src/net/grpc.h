/* net/grpc.h - gRPC's framing over HTTP: messages with their length before them, codes and texts in trailers, deadlines; and
 * the forms of gRPC-Web, whose trailers are the last frame of the body. Everything else about a call is HTTP's.
 * Thread rule: pure functions. */
#ifndef CAIRN_NET_GRPC_H
#define CAIRN_NET_GRPC_H

#include "base/arena.h"
#include "base/buf.h"

enum grpc_form { GRPC_NONE, GRPC_PLAIN, GRPC_WEB, GRPC_WEB_TEXT };
/* By Content-Type: application/grpc, application/grpc-web, application/grpc-web-text, each also with "+proto". */
enum grpc_form grpc_form(struct str content_type);
/* The type of an answer of that form. */
const char *grpc_type(enum grpc_form form);

enum { GRPC_PREFIX = 5, GRPC_FLAG_COMPRESSED = 1, GRPC_FLAG_TRAILERS = 0x80 };
struct grpc_frame {
    bool compressed;
    struct str bytes;
};
enum grpc_take { GRPC_MORE, GRPC_GOT, GRPC_TOO_BIG, GRPC_BROKEN };
/* One message off the front of *in; of at most max bytes. */
enum grpc_take grpc_take(struct str *in, size_t max, struct grpc_frame *out);
void grpc_put(struct buf *b, unsigned flags, struct str message);
/* grpc-timeout: at most eight digits and a unit of H, M, S, m, u, n. False: malformed. */
bool grpc_timeout(struct str value, int64_t *ns);
/* Percent-encoded for grpc-message; p is NULL when memory is out. */
struct str grpc_message(struct arena *a, struct str text);
/* A text of the other side, made fit to be shown anywhere: what is not UTF-8, and control characters but new lines and tabs, become
 * question marks. */
void grpc_tidy(char *text);
/* A compressed message into out, which may hold max bytes and is emptied first. ST_NOT_IMPLEMENTED for an encoding other than gzip,
 * ST_TOO_BIG for a longer message. */
enum status grpc_unzip(struct str encoding, struct str in, size_t max, struct buf *out,
                       struct err *err) ATTR_CHECK;
/* The value of grpc-status-details-bin: a google.rpc.Status with an ErrorInfo, whose reason is the name of the status and whose
 * metadata holds the field at fault and the hint. p is NULL when memory is out. */
struct str grpc_details(struct arena *a, int code, const char *name, const struct err *err);

#endif
