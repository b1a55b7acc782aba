/* core/idempotent.c - a write operation that remembers it has run. */
#include "core/idempotent.h"
#include "base/utf8.h"
#include "gen/sql/queries.h"

enum { KEPT_MS = 24 * 3600 * 1000 };

enum status idempotent_check_key(struct str key, struct err *err)
{
    bool good = key.n > 0 && key.n <= IDEMPOTENT_KEY_MAX && utf8_valid(key);

    for (size_t i = 0; good && i < key.n; i++) {
        good = (unsigned char)key.p[i] >= 0x20 && key.p[i] != 0x7f;
    }
    return good ? OK
                : err_field(err, ST_INVALID, "Idempotency-Key",
                            "an idempotency key has 1 to %d characters of UTF-8 text",
                            IDEMPOTENT_KEY_MAX);
}

/* Rows older than a day go with the next new one, so that the table holds a day's keys. */
static enum status expire(struct group *g, int64_t now, struct err *err)
{
    int64_t n;

    return q_idempotency_expire(group_conn(g), now - KEPT_MS, &n, err);
}

static enum status validate(struct write_op *op, struct group *g, struct err *err)
{
    struct idempotent *i = WRITE_OP_OF(op, struct idempotent);
    struct str request = str_of(i->request.b, sizeof(i->request.b));
    struct q_idempotency_get_row row;
    int64_t now = group_now_ms(g);
    enum status st =
        q_idempotency_get(group_conn(g), op->arena, i->principal, i->key, now - KEPT_MS, &row, err);

    if (st == OK) {
        if (!str_eq(row.request, request)) {
            err_field(err, ST_CONFLICT, "Idempotency-Key",
                      "the idempotency key was used for another request");
            err_hint(err, "send a new key with a new request");
            return ST_CONFLICT;
        }
        i->replayed = true;
        i->kept = row.answer;
        return OK;
    }
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = i->inner->kind->validate(i->inner, g, err);
    if (st) {
        return st;
    }
    i->kept = i->remember(i);
    st = i->kept.p ? q_idempotency_put(group_conn(g), i->principal, i->key, request, 200, i->kept,
                                       now, err)
                   : err_nomem(err);
    st = st ? st : expire(g, now, err);
    if (st && i->inner->kind->undo) {
        i->inner->kind->undo(i->inner);
    }
    return st;
}

static void apply(struct write_op *op)
{
    struct idempotent *i = WRITE_OP_OF(op, struct idempotent);

    if (!i->replayed && i->inner->kind->apply) {
        i->inner->kind->apply(i->inner);
    }
}

static void undo(struct write_op *op)
{
    struct idempotent *i = WRITE_OP_OF(op, struct idempotent);

    if (!i->replayed && i->inner->kind->undo) {
        i->inner->kind->undo(i->inner);
    }
}

static const struct write_kind kind = {
    .name = "idempotent", .validate = validate, .apply = apply, .undo = undo, .sql = true
};

void idempotent_init(struct idempotent *i, struct write_op *inner, struct arena *a)
{
    *i = (struct idempotent){ .op = { .kind = &kind, .arena = a }, .inner = inner };
}
