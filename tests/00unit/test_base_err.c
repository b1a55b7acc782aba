/* Errors: one struct, filled by the callee, with context added above it. */
#include "tap.h"
#include <errno.h>

TEST(set_and_context)
{
    struct err err = ERR_INIT;

    T_ST(err_set(&err, ST_NOT_FOUND, "run %s not found", "4f2c"), ST_NOT_FOUND);
    T_ST(err.code, ST_NOT_FOUND);
    T_CSTR(err.message, "run 4f2c not found");
    T_OK(err.line > 0 && err.file != NULL);
    err_ctx(&err, "backup to %s", "x");
    T_CSTR(err.message, "backup to x: run 4f2c not found");
    T_ST(err.code, ST_NOT_FOUND);
    err_hint(&err, "try %d", 7);
    T_CSTR(err.hint, "try 7");
    T_ST(err_field(&err, ST_INVALID, "run_id", "bad"), ST_INVALID);
    T_CSTR(err.field, "run_id");
    T_CSTR(err.hint, "");
    T_ST(err_nomem(&err), ST_NOMEM);
    T_CSTR(err.message, "out of memory");
}

TEST(null_is_taken)
{
    T_ST(err_set(NULL, ST_INVALID, "x"), ST_INVALID);
    T_ST(err_field(NULL, ST_INVALID, "f", "x"), ST_INVALID);
    T_ST(err_nomem(NULL), ST_NOMEM);
    T_ST(err_errno(NULL, ENOENT, "x"), ST_NOT_FOUND);
    err_ctx(NULL, "x");
    err_hint(NULL, "x");
}

TEST(from_errno)
{
    struct err err = ERR_INIT;

    T_ST(err_errno(&err, ENOSPC, "write %s", "a"), ST_UNAVAILABLE);
    T_CSTR(err.message, "write a: No space left on device");
    T_ST(err_errno(&err, EDQUOT, "x"), ST_UNAVAILABLE);
    T_ST(err_errno(&err, EMFILE, "x"), ST_UNAVAILABLE);
    T_ST(err_errno(&err, ENOMEM, "x"), ST_NOMEM);
    T_ST(err_errno(&err, ENOENT, "x"), ST_NOT_FOUND);
    T_ST(err_errno(&err, EEXIST, "x"), ST_EXISTS);
    T_ST(err_errno(&err, EIO, "x"), ST_IO);
}

TEST(long_text_is_cut_between_characters)
{
    struct err err = ERR_INIT;
    char text[3 * ERR_MESSAGE_MAX];

    for (int shift = 0; shift < 3; shift++) {
        size_t n;

        memset(text, 'a', sizeof(text));
        for (size_t i = (size_t)shift; i + 3 < sizeof(text); i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 3);
        }
        text[sizeof(text) - 1] = 0;
        err_set(&err, ST_INVALID, "%s", text);
        n = strlen(err.message);
        T_OK(n >= ERR_MESSAGE_MAX - 4 && n < ERR_MESSAGE_MAX);
        T_OK((n - (size_t)shift) % 3 == 0);
        err_ctx(&err, "%s", "ctx");
        n = strlen(err.message);
        T_OK((n - 5 - (size_t)shift) % 3 == 0);
    }
}

TEST(every_status_has_a_row)
{
    for (int st = 0; st < ST_N; st++) {
        const struct status_row *row = status_row((enum status)st);

        T_OK(row->name && row->http >= 200 && row->grpc >= 0 && row->grpc <= 16 && row->mlflow);
        T_OK(row->exit_code >= 0 && row->exit_code <= 8);
        T_OK((st == OK) == (row->exit_code == 0));
        T_OK((st == OK) == (row->http == 200));
    }
    T_OK(status_row((enum status)999) == status_row(ST_INTERNAL));
}
