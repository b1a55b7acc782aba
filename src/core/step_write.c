/* core/step_write.c - recording what an execution did, and taking it out again. */
#include "base/failpoint.h"
#include "base/num.h"
#include "core/run_int.h"
#include "core/step_int.h"

/* ---- names, by rows only ------------------------------------------------------------------------------------------------------ */

struct writer {
    struct group *g;
    struct view v;
    struct typed_space s;
};

static bool word(struct str *text, const char *kind)
{
    struct str w = str_cstr(kind);

    if (!str_starts(*text, w)) {
        return false;
    }
    *text = str_sub(*text, w.n, text->n);
    return true;
}

static enum status typed_of(struct writer *w, enum node_kind kind, struct str id, int64_t *uid,
                            struct err *err)
{
    int64_t number;

    return num_parse_i64(id, &number) ? typed_uid(&w->s, kind, number, uid, err) : ST_NOT_FOUND;
}

static enum status execution_of(struct writer *w, struct str text, bool *is_typed, int64_t *uid,
                                struct err *err)
{
    struct str id = text;
    struct head *head;
    enum status st;

    *is_typed = false;
    *uid = 0;
    if (word(&id, "run:")) {
        st = run_head(w->g, id, &head, err);
        *uid = st ? 0 : head->uid;
    } else if (word(&id, "execution:")) {
        *is_typed = true;
        st = typed_of(w, NODE_EXECUTION, id, uid, err);
    } else {
        st = err_field(err, ST_INVALID, "execution", "'%.*s' names no execution",
                       STR_ARG(str_sub(text, 0, 200)));
        err_hint(err, "write run:ID, or execution:NUMBER for one of ML Metadata");
        return st;
    }
    return st == ST_NOT_FOUND ? err_field(err, st, "execution", "there is no '%.*s'",
                                          STR_ARG(str_sub(text, 0, 200)))
                              : st;
}

static enum status dataset_of(struct writer *w, struct str text, int64_t *uid, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_datasets_version_row row;
    size_t at = text.n;
    enum status st;

    while (at > 0 && text.p[at - 1] != '@') {
        at--;
    }
    if (at < 2) {
        return ST_NOT_FOUND;
    }
    st = q_lineage_datasets_version_open(w->v.conn, &stmt, str_sub(text, 0, at - 1),
                                         str_sub(text, at, text.n), 1, err);
    st = st ? st : q_lineage_datasets_version_next(stmt, &row, err);
    *uid = st ? 0 : row.uid;
    sql_close(stmt);
    return st == ST_END ? ST_NOT_FOUND : st;
}

static enum status node_of(struct writer *w, struct str text, int64_t *uid, struct err *err)
{
    struct q_logged_model_get_row model;
    struct str id = text;
    enum status st;

    if (word(&id, "artifact:")) {
        st = typed_of(w, NODE_ARTIFACT, id, uid, err);
    } else if (word(&id, "model:")) {
        st = q_logged_model_get(w->v.conn, w->v.arena, id, &model, err);
        *uid = st ? 0 : model.uid;
    } else if (word(&id, "dataset:")) {
        st = dataset_of(w, id, uid, err);
    } else {
        st = err_field(err, ST_INVALID, "outputs", "'%.*s' names no output",
                       STR_ARG(str_sub(text, 0, 200)));
        err_hint(err, "write artifact:NUMBER, model:ID or dataset:NAME@DIGEST");
        return st;
    }
    return st == ST_NOT_FOUND
               ? err_field(err, st, "outputs", "there is no '%.*s'", STR_ARG(str_sub(text, 0, 200)))
               : st;
}

static enum status output_of(struct writer *w, struct step_output *o, struct err *err)
{
    struct q_object_state_row row;
    enum status st;

    o->uid = 0;
    if (o->node.p) {
        st = node_of(w, o->node, &o->uid, err);
        if (st) {
            return st;
        }
    }
    if (!o->has_sha256) {
        return o->node.p ? OK
                         : err_field(err, ST_INVALID, "outputs",
                                     "the output '%.*s' has neither a node nor a sha256",
                                     STR_ARG(str_sub(o->name, 0, 200)));
    }
    st = q_object_state(w->v.conn, w->v.arena, step_key_bytes(&o->sha256), &row, err);
    if (st == ST_NOT_FOUND) {
        st = err_field(err, ST_NOT_FOUND, "outputs",
                       "no bytes with the SHA-256 of the output '%.*s' are in this store",
                       STR_ARG(str_sub(o->name, 0, 200)));
        err_hint(err, "log the file as an artifact first");
    }
    return st;
}

/* ---- recording ---------------------------------------------------------------------------------------------------------------- */

static enum status open_writer(struct writer *w, struct write_op *op, struct core *core,
                               struct str ns, struct group *g, struct err *err)
{
    *w =
        (struct writer){ .g = g, .v = { .core = core, .conn = group_conn(g), .arena = op->arena } };
    return typed_open(&w->v, ns, &w->s, err);
}

static enum status put_rows(struct writer *w, struct step_record *r, int64_t execution,
                            struct err *err)
{
    struct str key = step_key_bytes(&r->key), none = { NULL, 0 };
    int64_t now = group_now_ms(w->g), ns = w->s.ns;
    enum status st = q_step_key_put(w->v.conn, ns, key, r->step, r->bytes, now, err);

    st = st ? st : q_step_done_add(w->v.conn, ns, key, execution, r->who, now, err);
    for (size_t i = 0; !st && i < r->outputs_n; i++) {
        const struct step_output *o = &r->outputs[i];

        st = q_step_output_add(w->v.conn, ns, key, execution, (int64_t)i, o->name, o->uid,
                               o->has_sha256 ? step_key_bytes(&o->sha256) : none, err);
    }
    return st;
}

static enum status record_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct step_record *r = WRITE_OP_OF(op, struct step_record);
    struct q_step_done_get_row row;
    struct writer w;
    int64_t execution;
    bool is_typed;
    enum status st = open_writer(&w, op, r->core, r->ns, g, err);

    r->known = false;
    st = st ? st : execution_of(&w, r->execution, &is_typed, &execution, err);
    for (size_t i = 0; !st && i < r->outputs_n; i++) {
        st = output_of(&w, &r->outputs[i], err);
    }
    st = st ? st : typed_need(&w.s, r->ns, err);
    if (st) {
        return st;
    }
    st =
        q_step_done_get(w.v.conn, w.v.arena, w.s.ns, step_key_bytes(&r->key), execution, &row, err);
    if (!st && row.gone) {
        st = err_field(err, ST_INVALID_STATE, "execution",
                       "'%.*s' was taken out for this key: its outputs are not taken over any more",
                       STR_ARG(r->execution));
        err_hint(err, "run the step again and record that execution");
        return st;
    }
    r->known = !st;
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = put_rows(&w, r, execution, err);
    FAILPOINT("core.step.record");
    if (!st && is_typed) {
        struct typed_cache_entry e = { .core = r->core,
                                       .arena = op->arena,
                                       .ns = r->ns,
                                       .who = r->who,
                                       .key = step_key_text(op->arena, &r->key),
                                       .execution = execution };

        st = e.key.p ? typed_cache_add(g, &e, err) : err_nomem(err);
    }
    return st;
}

void step_record_init(struct step_record *r, struct core *core, struct arena *a)
{
    static const struct write_kind kind = { .name = "step.record",
                                            .validate = record_validate,
                                            .sql = true };

    *r = (struct step_record){ .core = core };
    write_op_init(&r->op, &kind, a);
}

/* ---- taking out --------------------------------------------------------------------------------------------------------------- */

struct keys {
    struct digest *p;
    size_t n, cap;
};

static enum status keys_of_step(struct writer *w, struct step_invalidate *f, struct keys *keys,
                                struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_step_keys_live_row row;
    enum status st =
        q_step_keys_live_open(w->v.conn, &stmt, w->s.ns, f->step, STEP_INVALIDATE_MAX + 1, err);

    while (!st && (st = q_step_keys_live_next(stmt, &row, err)) == OK) {
        if (keys->n == STEP_INVALIDATE_MAX) {
            f->more = true;
            break;
        }
        if (!arena_grow(w->v.arena, (void **)&keys->p, keys->n, &keys->cap, sizeof(*keys->p))) {
            st = err_nomem(err);
            break;
        }
        if (row.key.n == sizeof(keys->p->b)) {
            memcpy(keys->p[keys->n++].b, row.key.p, row.key.n);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* Out of the context in which clients of ML Metadata would still find them, at most `max` of them: *n; *more: it has others. */
static enum status out_of_context(struct writer *w, struct str ns, const struct digest *key,
                                  int64_t id, int64_t max, int64_t *n, bool *more, struct err *err)
{
    struct str name = step_key_text(w->v.arena, key);
    struct q_step_executions_in_row row;
    int64_t ctx, *uids = NULL, now = group_now_ms(w->g), removed = 0;
    struct sql_stmt *stmt = NULL;
    size_t uids_n = 0, cap = 0;
    enum status st = name.p ? typed_cache_find(&w->v, ns, name, &ctx, err) : err_nomem(err);

    *n = 0;
    *more = false;
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = q_step_executions_in_open(w->v.conn, &stmt, ctx, max + 1, err);
    while (!st && (st = q_step_executions_in_next(stmt, &row, err)) == OK) {
        if ((int64_t)uids_n == max) {
            *more = true;
            break;
        }
        if (!arena_grow(w->v.arena, (void **)&uids, uids_n, &cap, sizeof(*uids))) {
            st = err_nomem(err);
            break;
        }
        uids[uids_n++] = row.uid;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < uids_n; i++) {
        st = q_step_member_remove(w->v.conn, ctx, uids[i], &removed, err);
        st = st ? st
                : q_member_log_append(w->v.conn, 2, ctx, uids[i], MEMBER_OF_CONTEXT, now, now, err);
        st = st ? st
                : q_step_done_gone_there(w->v.conn, w->s.ns, step_key_bytes(key), uids[i], now, id,
                                         err);
    }
    *n = (int64_t)uids_n;
    return st;
}

/* A key that has more than may be taken out now stays what it is for those that are recorded, until the rest is taken out. */
static enum status take_out(struct writer *w, struct step_invalidate *f, const struct digest *key,
                            int64_t id, int64_t *left, struct err *err)
{
    int64_t rows = 0, members = 0;
    bool more;
    enum status st = out_of_context(w, f->ns, key, id, *left, &members, &more, err);

    if (!st && !more) {
        st = q_step_done_gone(w->v.conn, w->s.ns, step_key_bytes(key), id, &rows, err);
    }
    f->n += MAX_OF(rows, members);
    f->more = f->more || more;
    *left -= members;
    return st;
}

static enum status invalidate_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct step_invalidate *f = WRITE_OP_OF(op, struct step_invalidate);
    struct keys keys = { .p = NULL };
    struct writer w;
    int64_t id = 0, left = STEP_INVALIDATE_MAX;
    enum status st = open_writer(&w, op, f->core, f->ns, g, err);

    f->n = 0;
    f->more = false;
    st = st ? st : group_counter(g, S("step_gone"), &id, err);
    if (f->has_key) {
        keys = (struct keys){ &f->key, 1, 1 };
    } else {
        st = st ? st : keys_of_step(&w, f, &keys, err);
    }
    for (size_t i = 0; !st && i < keys.n; i++) {
        st = take_out(&w, f, &keys.p[i], id, &left, err);
    }
    if (!st && f->n == 0) {
        st = err_field(err, ST_NOT_FOUND, f->has_key ? "key" : "step",
                       "nothing is kept under this %s", f->has_key ? "key" : "name of a step");
    }
    FAILPOINT("core.step.invalidate");
    return st ? st
              : q_step_gone_add(w.v.conn, id, w.s.ns, f->step.p ? f->step : S(""),
                                f->has_key ? step_key_bytes(&f->key) : (struct str){ NULL, 0 },
                                f->n, f->reason, f->who, group_now_ms(g), err);
}

void step_invalidate_init(struct step_invalidate *f, struct core *core, struct arena *a)
{
    static const struct write_kind kind = { .name = "step.invalidate",
                                            .validate = invalidate_validate,
                                            .sql = true };

    *f = (struct step_invalidate){ .core = core };
    write_op_init(&f->op, &kind, a);
}
