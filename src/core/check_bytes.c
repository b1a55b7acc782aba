/* core/check_bytes.c - see check_bytes.h. */
#include "core/check_bytes.h"
#include "base/hash.h"
#include "gen/sql/artifact.h"
#include "store/blob/blob.h"
#include "store/sql/sql.h"
#include <inttypes.h>
#include <stdio.h>

enum { PAGE = 1000, TEXT_BYTES = 256 };

struct walk {
    struct view *v;
    void (*report)(void *ctx, struct str what);
    void *ctx;
    size_t *found;
    struct digest last;
    size_t seen;
};

static enum status look(struct walk *w, const struct q_object_all_row *row, struct err *err)
{
    struct blob_object object;
    struct err why = ERR_INIT;
    char hex[65], text[TEXT_BYTES];
    int n;
    enum status st;

    if (!row->recipe.n) {
        return OK; /* its bytes lie in the row */
    }
    object = (struct blob_object){ w->last, row->gen, (uint64_t)row->size, row->recipe };
    st = blob_object_check(w->v->core->blobs, &object, &why);
    if (st == OK) {
        return OK;
    }
    if (st != ST_CORRUPT && st != ST_NOT_IMPLEMENTED) {
        *err = why;
        return st;
    }
    digest_hex(&w->last, hex);
    n = snprintf(text, sizeof(text), "object %s, generation %" PRId64 ", %" PRId64 " bytes: %.100s",
                 hex, row->gen, row->size, why.message);
    w->report(w->ctx, str_of(text, MIN_OF((size_t)MAX_OF(n, 0), sizeof(text) - 1)));
    (*w->found)++;
    return OK;
}

/* A page at a time, so that no read stays open while files are looked at for long. */
static enum status one_page(struct walk *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_object_all_row row;
    struct str after = w->seen ? str_of(w->last.b, sizeof(w->last.b)) : S("");
    struct digest from = w->last;
    size_t n = 0;
    enum status st;

    after.p = w->seen ? (const char *)from.b : after.p;
    st = q_object_all_open(w->v->conn, &stmt, after, PAGE, err);
    while (!st && (st = q_object_all_next(stmt, &row, err)) == OK) {
        if (row.sha256.n != sizeof(w->last.b)) {
            st = err_set(err, ST_CORRUPT, "an object has a digest of the wrong length");
            break;
        }
        memcpy(w->last.b, row.sha256.p, sizeof(w->last.b));
        n++;
        st = look(w, &row, err);
    }
    sql_close(stmt);
    w->seen += n;
    if (st == ST_END) {
        st = n < PAGE ? ST_END : OK;
    }
    return st;
}

enum status core_check_bytes(struct view *v, void (*report)(void *ctx, struct str what), void *ctx,
                             size_t *found, struct err *err)
{
    struct walk w = { .v = v, .report = report, .ctx = ctx, .found = found };
    enum status st = OK;

    while (!st) {
        st = one_page(&w, err);
    }
    return st == ST_END ? OK : st;
}
