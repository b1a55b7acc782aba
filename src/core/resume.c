/* core/resume.c - see resume.h. */
#include "core/resume.h"

#include "base/failpoint.h"
#include "base/id.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <inttypes.h>
#include <stdio.h>

static enum status no_such(struct str id, struct err *err)
{
    enum status st = err_set(err, ST_NOT_FOUND, "there is no upload %.*s",
                             (int)MIN_OF(id.n, (size_t)BLOB_RESUME_ID), id.p);

    err_hint(err, "it was given up, or nobody went on with it for a day: begin again");
    return st;
}

/* ---- beginning ---------------------------------------------------------------------------------------------------------------- */

static enum status find_again(struct resume_create *c, struct group *g, bool *found,
                              struct err *err)
{
    struct q_resumable_find_row row;
    enum status st =
        c->mark.n ? q_resumable_find(group_conn(g), c->op.arena, c->mark, c->place.root_uri,
                                     c->place.path, (int64_t)c->size, group_now_ms(g), &row, err)
                  : ST_NOT_FOUND;

    *found = st == OK && row.id.n == BLOB_RESUME_ID;
    if (*found) {
        memcpy(c->id, row.id.p, BLOB_RESUME_ID);
        c->id[BLOB_RESUME_ID] = 0;
        c->have = (uint64_t)row.have;
        c->until_ms = row.until_ms;
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct resume_create *c = WRITE_OP_OF(op, struct resume_create);
    struct str expect = { NULL, 0 };
    struct q_resumable_sum_row open;
    int64_t now = group_now_ms(g), n = 0;
    bool found = false;
    enum status st = find_again(c, g, &found, err);

    if (st || found) {
        return st;
    }
    st = q_resumable_sum(group_conn(g), op->arena, RESUME_OPEN, 0, INT64_MAX, &open, err);
    if (!st && open.n >= RESUME_MAX) {
        st = err_set(err, ST_UNAVAILABLE, "%d uploads are open already; try again later",
                     RESUME_MAX);
        err_hint(err, "those that nobody goes on with end after a day; a PUT needs none");
        return st;
    }
    id_hex32(c->id);
    c->have = 0;
    c->until_ms = now + RESUME_IDLE_MS;
    if (c->has_expect) {
        expect = str_of(c->expect.b, sizeof(c->expect.b));
    }
    st = st ? st
            : q_resumable_add(group_conn(g), str_cstr(c->id), c->mark, c->place.root_uri,
                              c->place.owner, c->place.path, (int64_t)c->size, expect, now,
                              c->until_ms, &n, err);
    FAILPOINT("core.resume.create");
    return st;
}

static const struct write_kind create_kind = { .name = "resume.create",
                                               .validate = create_validate,
                                               .sql = true };

void resume_create_init(struct resume_create *c, struct arena *a)
{
    *c = (struct resume_create){ .op = { .kind = &create_kind, .arena = a } };
}

/* ---- looking, giving up --------------------------------------------------------------------------------------------------------- */

enum status resume_look(struct view *v, struct str id, struct resume_info *out, struct err *err)
{
    struct q_resumable_get_row row;
    enum status st = q_resumable_get(v->conn, v->arena, id, &row, err);

    if (st == ST_NOT_FOUND || (!st && row.state == RESUME_GIVEN_UP)) {
        return no_such(id, err);
    }
    if (!st) {
        *out = (struct resume_info){ (uint64_t)row.size, (uint64_t)row.have, row.until_ms };
    }
    return st;
}

static enum status cancel_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct resume_cancel *c = WRITE_OP_OF(op, struct resume_cancel);
    int64_t n = 0;
    enum status st = q_resumable_give_up(group_conn(g), c->id, &n, err);

    FAILPOINT("core.resume.cancel");
    return st || n == 1 ? st : no_such(c->id, err);
}

static const struct write_kind cancel_kind = { .name = "resume.cancel",
                                               .validate = cancel_validate,
                                               .sql = true };

void resume_cancel_init(struct resume_cancel *c, struct arena *a, struct str id)
{
    *c = (struct resume_cancel){ .op = { .kind = &cancel_kind, .arena = a }, .id = id };
}

/* ---- adding ------------------------------------------------------------------------------------------------------------------------ */

static int64_t until(const struct resume *r, int64_t now)
{
    return MIN_OF(now + RESUME_IDLE_MS, r->life_ms);
}

static enum status keep_row(struct resume *r, struct q_resumable_get_row *row, struct err *err)
{
    struct arena *a = r->op.arena;

    r->place = (struct artifact_place){ .root_uri = arena_str(a, row->root_uri),
                                        .owner = row->owner,
                                        .path = arena_str(a, row->path) };
    r->saved.at = r->have;
    r->saved.ledger = row->ledger.n ? arena_str(a, row->ledger) : S("");
    r->has_expect = row->expect.p != NULL;
    if (!r->place.root_uri.p || !r->place.path.p || !r->saved.ledger.p) {
        return err_nomem(err);
    }
    if (row->hash.n > sizeof(r->saved.hash) || (r->has_expect && row->expect.n != 32)) {
        return err_set(err, ST_CORRUPT, "the row of an upload is damaged");
    }
    if (row->hash.n) {
        memcpy(r->saved.hash, row->hash.p, row->hash.n);
    }
    r->saved.hash_n = row->hash.n;
    if (r->has_expect) {
        memcpy(r->expect.b, row->expect.p, sizeof(r->expect.b));
    }
    return OK;
}

static enum status take_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct resume *r = WRITE_OP_OF(op, struct resume);
    struct q_resumable_get_row row;
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_resumable_get(group_conn(g), op->arena, r->id, &row, err);

    if (st == ST_NOT_FOUND || (!st && (row.state == RESUME_GIVEN_UP ||
                                       (row.state == RESUME_OPEN && row.until_ms <= now)))) {
        return no_such(r->id, err);
    }
    if (st) {
        return st;
    }
    r->size = (uint64_t)row.size;
    r->have = (uint64_t)row.have;
    r->life_ms = row.create_ms + RESUME_LIFE_MS;
    if (row.state != RESUME_OPEN) {
        return err_set(err, ST_CONFLICT, "the upload is complete");
    }
    if (r->at != r->have) {
        return err_set(err, ST_CONFLICT, "the upload goes on at %" PRIu64 ", not at %" PRIu64,
                       r->have, r->at);
    }
    r->until_ms = until(r, now);
    id_hex32(r->token);
    st = keep_row(r, &row, err);
    return st ? st
              : q_resumable_take(group_conn(g), r->id, str_cstr(r->token), r->until_ms, &n, err);
}

static const struct write_kind take_kind = { .name = "resume.take",
                                             .validate = take_validate,
                                             .sql = true };

void resume_take_init(struct resume *r, struct core *core, struct arena *a, struct str id,
                      uint64_t at)
{
    *r = (struct resume){
        .op = { .kind = &take_kind, .arena = a }, .core = core, .id = id, .at = at
    };
    buf_init(&r->ledger, BLOB_LEDGER_MAX);
}

enum status resume_open(struct resume *r, struct artifact_upload *u, struct err *err)
{
    enum status st;

    *u = (struct artifact_upload){ .core = r->core,
                                   .arena = r->op.arena,
                                   .in_blob = true,
                                   .size = r->have,
                                   .expect = r->has_expect ? &r->expect : NULL,
                                   .resume = r };
    st = blob_resume(r->core->blobs, r->id, &r->saved, &u->writer, err);
    return st == ST_NOT_FOUND ? no_such(r->id, err) : st;
}

bool resume_is_busy(struct core *core, struct str id)
{
    return blob_resume_is_busy(core->blobs, id);
}

bool resume_is_due(const struct resume *r, const struct artifact_upload *u)
{
    return u->size - r->have >= RESUME_EVERY && u->size < r->size;
}

static enum status save_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct resume *r = WRITE_OP_OF(op, struct resume);
    int64_t n = 0;
    enum status st;

    r->until_ms = until(r, group_now_ms(g));
    st = q_resumable_save(group_conn(g), r->id, str_cstr(r->token), (int64_t)r->saved.at,
                          str_of(r->saved.hash, r->saved.hash_n), r->saved.ledger, r->until_ms, &n,
                          err);
    FAILPOINT("core.resume.save");
    return st || n == 1 ? st : err_set(err, ST_CONFLICT, "another request goes on with the upload");
}

static void save_apply(struct write_op *op)
{
    struct resume *r = WRITE_OP_OF(op, struct resume);

    r->have = r->saved.at;
}

static const struct write_kind save_kind = {
    .name = "resume.save", .validate = save_validate, .apply = save_apply, .sql = true
};

enum status resume_save(struct resume *r, struct artifact_upload *u, struct err *err)
{
    enum status st = blob_resume_save(u->writer, &r->ledger, &r->saved, err);

    write_op_init(&r->op, &save_kind, r->op.arena);
    return st;
}

void resume_release(struct resume *r)
{
    buf_release(&r->ledger);
}

enum status group_resume_name(struct group *g, const struct resume *r, struct err *err)
{
    int64_t n = 0;
    enum status st = q_resumable_name(group_conn(g), r->id, str_cstr(r->token),
                                      group_now_ms(g) + RESUME_IDLE_MS, &n, err);

    FAILPOINT("core.resume.name");
    return st || n == 1 ? st : err_set(err, ST_CONFLICT, "another request goes on with the upload");
}

/* ---- for the collector ------------------------------------------------------------------------------------------------------------ */

enum status resume_find_left(struct sql_conn *conn, struct arena *a, int64_t now_ms,
                             struct resume_left *out, struct err *err)
{
    static const enum resume_state states[] = { RESUME_OPEN, RESUME_NAMED, RESUME_GIVEN_UP,
                                                RESUME_TOLD };
    enum status st = ST_END;

    for (size_t i = 0; st == ST_END && i < ARRAY_N(states); i++) {
        bool at_once = states[i] == RESUME_NAMED || states[i] == RESUME_GIVEN_UP;
        struct q_resumable_due_row row;
        struct sql_stmt *q = NULL;

        st = q_resumable_due_open(conn, &q, states[i], at_once ? INT64_MAX : now_ms, 1, err);
        st = st ? st : q_resumable_due_next(q, &row, err);
        if (!st) {
            *out =
                (struct resume_left){ .state = states[i],
                                      .ledger = arena_str(a, row.ledger.p ? row.ledger : S("")) };
            snprintf(out->id, sizeof(out->id), "%.*s", STR_ARG(row.id));
            st = out->ledger.p ? OK : err_nomem(err);
        }
        sql_close(q);
    }
    return st;
}

enum status resume_drop_left(struct core *core, const struct resume_left *l, struct err *err)
{
    if (l->state == RESUME_OPEN || l->state == RESUME_TOLD) {
        return OK;
    }
    FAILPOINT("core.resume.drop");
    return blob_resume_drop(core->blobs, str_cstr(l->id), l->ledger, err);
}

enum status group_resume_left(struct group *g, const struct resume_left *l, struct err *err)
{
    int64_t n = 0;
    enum status st = OK;

    switch (l->state) {
    case RESUME_OPEN:
        st = q_resumable_expire(group_conn(g), str_cstr(l->id), group_now_ms(g), &n, err);
        break;
    case RESUME_NAMED: st = q_resumable_dropped(group_conn(g), str_cstr(l->id), &n, err); break;
    case RESUME_GIVEN_UP:
    case RESUME_TOLD:
        st = q_resumable_forget(group_conn(g), str_cstr(l->id), l->state, &n, err);
        break;
    }
    FAILPOINT("core.resume.left");
    return st;
}
