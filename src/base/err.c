/* base/err.c - filling errors, and the table of what each status means at the edges. */
#include "base/err.h"
#include "base/log_int.h"
#include <errno.h>
#include <execinfo.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* HTTP status and gRPC code by the protocols' own meaning; MLflow codes as its clients know them; CLI exit codes:
 * 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 unreachable, 8 timed out. */
static const struct status_row status_rows[ST_N] = {
    [OK] = { "OK", 200, 0, "", 0 },
    [ST_INVALID] = { "INVALID", 400, 3, "INVALID_PARAMETER_VALUE", 2 },
    [ST_BAD_REQUEST] = { "BAD_REQUEST", 400, 3, "BAD_REQUEST", 2 },
    [ST_NOT_FOUND] = { "NOT_FOUND", 404, 5, "RESOURCE_DOES_NOT_EXIST", 3 },
    [ST_NO_ENDPOINT] = { "NO_ENDPOINT", 404, 12, "ENDPOINT_NOT_FOUND", 1 },
    [ST_EXISTS] = { "EXISTS", 400, 6, "RESOURCE_ALREADY_EXISTS", 5 },
    [ST_INVALID_STATE] = { "INVALID_STATE", 400, 9, "INVALID_STATE", 5 },
    [ST_CONFLICT] = { "CONFLICT", 409, 10, "RESOURCE_CONFLICT", 5 },
    [ST_UNAUTHENTICATED] = { "UNAUTHENTICATED", 401, 16, "UNAUTHENTICATED", 4 },
    [ST_DENIED] = { "DENIED", 403, 7, "PERMISSION_DENIED", 4 },
    [ST_TOO_BIG] = { "TOO_BIG", 413, 8, "INVALID_PARAMETER_VALUE", 1 },
    [ST_BUSY] = { "BUSY", 429, 8, "RESOURCE_EXHAUSTED", 8 },
    [ST_UNAVAILABLE] = { "UNAVAILABLE", 503, 14, "TEMPORARILY_UNAVAILABLE", 6 },
    [ST_NOMEM] = { "NOMEM", 503, 8, "TEMPORARILY_UNAVAILABLE", 1 },
    [ST_IO] = { "IO", 503, 14, "TEMPORARILY_UNAVAILABLE", 1 },
    [ST_NOT_IMPLEMENTED] = { "NOT_IMPLEMENTED", 501, 12, "NOT_IMPLEMENTED", 1 },
    [ST_CORRUPT] = { "CORRUPT", 500, 15, "DATA_LOSS", 1 },
    [ST_CANCELLED] = { "CANCELLED", 499, 1, "CANCELLED", 1 },
    [ST_DEADLINE] = { "DEADLINE", 504, 4, "DEADLINE_EXCEEDED", 8 },
    [ST_OUT_OF_RANGE] = { "OUT_OF_RANGE", 400, 11, "INVALID_PARAMETER_VALUE", 2 },
    [ST_INTERNAL] = { "INTERNAL", 500, 13, "INTERNAL_ERROR", 1 },
    [ST_END] = { "END", 500, 13, "INTERNAL_ERROR", 1 },
};

const struct status_row *status_row(enum status st)
{
    return &status_rows[(unsigned)st < (unsigned)ST_N ? st : ST_INTERNAL];
}

static void err_start(struct err *err, enum status st, const char *file, int line)
{
    err->code = st;
    err->file = file;
    err->line = line;
    err->retry_after_s = 0;
    err->code_name = NULL;
    err->field[0] = 0;
    err->message[0] = 0;
    err->hint[0] = 0;
}

/* Cuts at a UTF-8 boundary after vsnprintf cut somewhere. */
static void end_on_character(char *text, size_t size)
{
    size_t n = strlen(text);

    if (n + 1 < size) {
        return;
    }
    while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80) {
        n--;
    }
    if (n > 0 && (unsigned char)text[n - 1] >= 0xc0) {
        n--;
    }
    text[n] = 0;
}

enum status err_set_at(struct err *err, enum status st, const char *file, int line, const char *fmt,
                       ...)
{
    va_list ap;

    if (!err) {
        return st;
    }
    err_start(err, st, file, line);
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    end_on_character(err->message, sizeof(err->message));
    return st;
}

enum status err_field_at(struct err *err, enum status st, const char *file, int line,
                         const char *field, const char *fmt, ...)
{
    va_list ap;

    if (!err) {
        return st;
    }
    err_start(err, st, file, line);
    snprintf(err->field, sizeof(err->field), "%s", field);
    va_start(ap, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    end_on_character(err->message, sizeof(err->message));
    return st;
}

void err_ctx(struct err *err, const char *fmt, ...)
{
    char old[ERR_MESSAGE_MAX];
    va_list ap;
    int n;

    if (!err) {
        return;
    }
    memcpy(old, err->message, sizeof(old));
    va_start(ap, fmt);
    n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->message)) {
        snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %s", old);
    }
    end_on_character(err->message, sizeof(err->message));
}

void err_hint(struct err *err, const char *fmt, ...)
{
    va_list ap;

    if (!err) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
    va_end(ap);
    end_on_character(err->hint, sizeof(err->hint));
}

enum status err_nomem_at(struct err *err, const char *file, int line)
{
    return err_set_at(err, ST_NOMEM, file, line, "out of memory");
}

static enum status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE: return ST_UNAVAILABLE;
    case ENOENT: return ST_NOT_FOUND;
    case ENOMEM: return ST_NOMEM;
    case EEXIST: return ST_EXISTS;
    default: return ST_IO;
    }
}

enum status err_errno_at(struct err *err, int errnum, const char *file, int line, const char *fmt,
                         ...)
{
    enum status st = status_of_errno(errnum);
    char text[128];
    va_list ap;
    int n;

    if (!err) {
        return st;
    }
    err_start(err, st, file, line);
    va_start(ap, fmt);
    n = vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(err->message)) {
        snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %s",
                 strerror_r(errnum, text, sizeof(text)));
    }
    end_on_character(err->message, sizeof(err->message));
    return st;
}

/* The crash report: what broke, the request at hand, the stack, the last log lines. */
void bug_at(const char *file, int line, const char *what)
{
    static _Atomic bool reporting;
    const char *req = log_thread_request_get();
    void *frames[64];
    char text[512];
    int n;

    n = snprintf(text, sizeof(text),
                 "cairn " CAIRN_VERSION ": broken invariant at %s:%d: %s\nrequest: %s\nstack:\n",
                 file, line, what, req ? req : "-");
    if (n > 0 && write(2, text, MIN_OF((size_t)n, sizeof(text) - 1)) < 0) {
        abort();
    }
    /* A second failure while reporting, here or on another thread, ends at once. */
    if (atomic_exchange(&reporting, true)) {
        abort();
    }
    backtrace_symbols_fd(frames, backtrace(frames, (int)ARRAY_N(frames)), 2);
    if (write(2, "last log lines:\n", 16) == 16) {
        log_ring_write(2, 50);
    }
    abort();
}
