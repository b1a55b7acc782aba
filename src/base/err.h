/* base/err.h - the one error type.
 * A function that can fail returns enum status (0 = OK) and fills the struct err of its caller; callers may add context
 * with err_ctx() but never replace the cause. Only the edge (API encoders, CLI, logger) turns an error into output.
 * Messages are lower case without a trailing stop and name the object and the limit; where an unmodified client matches
 * a text, the message is that text. The hint says what to do. No secrets, no SQL, no absolute paths.
 * Ownership: a struct err is a plain value, usually on the caller's stack; nothing in it is allocated. */
#ifndef CAIRN_BASE_ERR_H
#define CAIRN_BASE_ERR_H

#include "base/str.h"

/* One row of the status table per value (see status_row()). Keep the order: rows are indexed by it. */
enum status {
    OK = 0,
    ST_INVALID,         /* a parameter has a wrong value */
    ST_BAD_REQUEST,     /* the request cannot be read at all */
    ST_NOT_FOUND,       /* the object does not exist */
    ST_NO_ENDPOINT,     /* no such route */
    ST_EXISTS,          /* the name is taken */
    ST_INVALID_STATE,   /* the object is in a state that forbids this */
    ST_CONFLICT,        /* another body under the same idempotency key, failed precondition */
    ST_UNAUTHENTICATED, /* no or wrong credentials */
    ST_DENIED,          /* the principal may not do this */
    ST_TOO_BIG,         /* a body, message or object is over its cap */
    ST_BUSY,            /* one client is over its share: try again later */
    ST_UNAVAILABLE,     /* the service cannot do it now: queue full, database away, disk full */
    ST_NOMEM,           /* out of memory */
    ST_IO,              /* a file or device failed */
    ST_NOT_IMPLEMENTED, /* a thing this server does not do */
    ST_CORRUPT,         /* stored data fails its check */
    ST_CANCELLED,       /* the peer went away */
    ST_DEADLINE,        /* took too long */
    ST_OUT_OF_RANGE,    /* an index beyond what it points into */
    ST_INTERNAL,        /* a bug of ours */
    ST_END,             /* not an error: an iteration has no further row */
    ST_N
};

enum { ERR_MESSAGE_MAX = 2048, ERR_HINT_MAX = 256, ERR_FIELD_MAX = 128 };

struct err {
    enum status code;
    int line;
    const char *file;      /* where it was raised; static */
    const char *code_name; /* a code of its own at the edge, static; NULL = by the status table */
    int retry_after_s;     /* for ST_BUSY and ST_UNAVAILABLE; 0 = the edge's default */
    char field[ERR_FIELD_MAX]; /* path of the request field at fault, "" if none */
    char message[ERR_MESSAGE_MAX];
    char hint[ERR_HINT_MAX];
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = OK                                                                                 \
    }

/* ERR_INIT where it runs often: only what makes the struct empty is written, not its kilobytes of text. */
static inline void err_clear(struct err *err)
{
    err->code = OK;
    err->line = 0;
    err->file = err->code_name = NULL;
    err->retry_after_s = 0;
    err->field[0] = err->message[0] = err->hint[0] = '\0';
}

/* What a status means at each edge. */
struct status_row {
    const char *name;   /* "INVALID" */
    int http;           /* HTTP status */
    int grpc;           /* gRPC code */
    const char *mlflow; /* MLflow error_code */
    int exit_code;      /* of the command line, 0..8 */
};
const struct status_row *status_row(enum status st);

/* Fills *err and returns st, so that a call site is one line. err may be NULL. */
enum status err_set_at(struct err *err, enum status st, const char *file, int line, const char *fmt,
                       ...) ATTR_FORMAT(5, 6);
#define err_set(err, st, ...) err_set_at((err), (st), __FILE__, __LINE__, __VA_ARGS__)
/* As err_set, with the request field at fault. */
enum status err_field_at(struct err *err, enum status st, const char *file, int line,
                         const char *field, const char *fmt, ...) ATTR_FORMAT(6, 7);
#define err_field(err, st, field, ...)                                                             \
    err_field_at((err), (st), __FILE__, __LINE__, (field), __VA_ARGS__)
/* Prefixes the message: "<context>: <message>". */
void err_ctx(struct err *err, const char *fmt, ...) ATTR_FORMAT(2, 3);
void err_hint(struct err *err, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* ST_NOMEM with a standard text. */
enum status err_nomem_at(struct err *err, const char *file, int line);
#define err_nomem(err) err_nomem_at((err), __FILE__, __LINE__)
/* From errno: ENOSPC, EDQUOT and EMFILE are ST_UNAVAILABLE, ENOENT ST_NOT_FOUND, ENOMEM ST_NOMEM, else ST_IO. */
enum status err_errno_at(struct err *err, int errnum, const char *file, int line, const char *fmt,
                         ...) ATTR_FORMAT(5, 6);
#define err_errno(err, errnum, ...) err_errno_at((err), (errnum), __FILE__, __LINE__, __VA_ARGS__)

#endif
