/* store/blob/s3_http.h - HTTP for S3: libcurl, one exchange at a time on a channel, bounded in time and memory.
 * A channel is a connection that is kept between exchanges; channels wait in a list until the next exchange needs one. An exchange
 * is driven by the thread that waits for it; between two reads of a long answer nothing runs, and the peer is slowed down by TCP.
 * Over plain HTTP the rest of a long answer of known length may also be had from the socket itself, behind what libcurl has read.
 * No answer is decompressed and no redirect is followed. Nothing of a request is ever logged.
 * Ownership: the caller owns everything it passes in until the exchange ends. Thread rule: a struct s3_http any thread; an
 * exchange one thread at a time. */
#ifndef CAIRN_STORE_BLOB_S3_HTTP_H
#define CAIRN_STORE_BLOB_S3_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/exec.h"

enum { S3_STALL_MS = 20000, S3_ANSWER_MAX = 8 << 20, S3_AHEAD_MAX = 256 * 1024 };
/* Less is not had by s3_http_pipe(): its connection ends with the answer. */
enum { S3_PIPE_MIN = 1 << 20 };

#define S3_MARK_FIELD "x-amz-meta-cairn-upload"

struct s3_channel;

/* Channels at rest. A zero object is valid. */
struct s3_http {
    const char *ca_file; /* certificates to trust; NULL = the system's */
    int64_t stall_ms;    /* no byte in either direction for so long: broken; 0 = S3_STALL_MS */
    struct lock lock;
    bool has_lock;
    struct s3_channel *idle;
    unsigned idle_n;
};
void s3_http_init(struct s3_http *h);
void s3_http_close(struct s3_http *h);

struct s3_request {
    const char *method;
    const char *url;
    const char *const *fields; /* "name: value" */
    size_t fields_n;
    struct str body;  /* p NULL = none */
    int64_t until_ms; /* monotonic: given up then */
    bool may_think;   /* the answer may take long to begin: only until_ms ends the wait */
};

struct s3_answer {
    int status;
    struct str body; /* in the arena */
    char etag[256], region[64], request_id[128];
    char location[1024];
    char mark[64];        /* x-amz-meta-cairn-upload: see s3_create() */
    int64_t length;       /* Content-Length; -1 = unknown */
    int64_t first, total; /* of Content-Range; -1 = unknown */
    int64_t retry_after;  /* seconds; 0 = not said */
    bool
        is_hopeless; /* no answer, and another try would bring none either: a certificate of nobody */
};

/* A whole exchange. Any HTTP status is OK; ST_UNAVAILABLE when the connection failed, broke or took too long. */
enum status s3_http_call(struct s3_http *h, const struct s3_request *req, struct arena *a,
                         struct s3_answer *out, struct err *err);

/* An exchange whose answer is read in pieces. After OK the head is there; with a status other than 200 and 206 the body is in
 * *out, as above, and the channel is done. */
enum status s3_http_begin(struct s3_http *h, const struct s3_request *req, struct arena *a,
                          struct s3_channel **channel, struct s3_answer *out, struct err *err);
/* max bytes, or what has come of them within 100 ms; less at the end of the answer, where it breaks off, which the next call tells
 * (ST_UNAVAILABLE), and after a try of s3_http_pipe(), for which what is here already is in the way. *got == 0 behind the end. */
enum status s3_http_read(struct s3_channel *c, void *p, size_t max, size_t *got, struct err *err);
/* Moves up to max of the bytes that come next into an empty, non-blocking pipe, without looking at them: waits until 256 KiB of them have
 * come (max, if that is less) or 100 ms are over. *got == 0 with OK: they are not to be had so, here and now, but by s3_http_read().
 * ST_UNAVAILABLE: the connection broke or stalls; ST_NOMEM: libcurl could not go on. What was moved before is good; nothing else comes from
 * this channel but what s3_http_read() has here already. */
enum status s3_http_pipe(struct s3_channel *c, int pipe, size_t max, size_t *got, struct err *err);
/* Back to rest, or closed if the answer was not read to its end. Does not wait. NULL-safe. */
void s3_http_end(struct s3_channel *c);

#endif
