/* core/outbox.c - see outbox.h.
 * Reading goes in rounds. A round begins with one look at the ends of all three logs, so that what the second and third say is told
 * behind what the first says of the same moment: a version is told after the run that made it. */
#include "core/outbox.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/registry.h"
#include "gen/sql/queries.h"
#include "store/seq.h"
#include "store/series/batch.h"
#include "store/sql/sql.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    PART = 0,
    ROWS_PER_PAGE = 64,
    FACTS_PER_PAGE = 256,
    FACTS_MAX = 1 << 20, /* one row of the log has no more records */
    SEEN_MAX = 1 << 20,
    SAVE_ROWS = 256, /* that say nothing, after which the mark is written all the same */
    SAVE_PART = 4,   /* and so after this part of what the log is held for */
    ARENA_MAX = 256 << 20,
    ROW_ARENA_MAX = 64 << 20
};

struct place {
    int64_t mark, registry, links;
};

struct outbox {
    struct core *core;
    char name[OUTBOX_NAME_MAX];
    struct sql_conn *conn;
    struct arena *arena; /* of the page, then of each description */
    struct arena *facts_arena, *row_arena;
    struct view view;
    bool taken, viewing;
    int64_t fence;
    struct place saved, at, goal;
    int64_t lost,
        bytes; /* since it was saved: rows that were gone, bodies of rows that were read */
    VEC(struct outbox_fact) facts;
    _Atomic int64_t told; /* copy of at.mark without the page that is being told */
    _Atomic uint64_t lost_all;
    struct int_map seen; /* runs of the page whose links are told anyway */
};

/* ---- operations --------------------------------------------------------------------------------------------------------------- */

struct setup_op {
    struct write_op op;
    const char *const *names;
    size_t n;
};

static bool is_named(const struct setup_op *s, struct str name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (str_eq(str_cstr(s->names[i]), name)) return true;
    }
    return false;
}

static enum status setup_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct setup_op *s = WRITE_OP_OF(op, struct setup_op);
    struct sql_conn *w = group_conn(g);
    char gone[OUTBOX_MAX][OUTBOX_NAME_MAX];
    struct q_emit_ends_row ends;
    struct q_emit_all_row row;
    struct sql_stmt *q = NULL;
    size_t gone_n = 0;
    enum status st = q_emit_ends(w, NULL, PART, &ends, err);

    for (size_t i = 0; i < s->n && !st; i++) {
        st = q_emit_add(w, str_cstr(s->names[i]), ends.mark, ends.registry, ends.links, err);
    }
    if (!st) st = q_emit_all_open(w, &q, err);
    while (!st && (st = q_emit_all_next(q, &row, err)) == OK) {
        if (!is_named(s, row.name) && gone_n < OUTBOX_MAX && row.name.n < OUTBOX_NAME_MAX) {
            memcpy(gone[gone_n], row.name.p, row.name.n);
            gone[gone_n++][row.name.n] = 0;
        }
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; i < gone_n && !st; i++) {
        st = q_emit_forget(w, str_cstr(gone[i]), group_server(g), err);
    }
    FAILPOINT("core.outbox.setup");
    return st;
}

static const struct write_kind setup_kind = { .name = "outbox.setup",
                                              .validate = setup_validate,
                                              .sql = true };

enum status outbox_setup(struct core *core, const char *const *names, size_t n, struct err *err)
{
    struct setup_op s = { .op = { .kind = &setup_kind }, .names = names, .n = n };

    return seq_run(core->seq, &s.op, err);
}

struct take_op {
    struct write_op op;
    struct str name;
    struct q_emit_take_row row; /* out */
};

static enum status take_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct take_op *t = WRITE_OP_OF(op, struct take_op);
    enum status st = q_emit_take(group_conn(g), op->arena, t->name, group_server(g), &t->row, err);

    FAILPOINT("core.outbox.take");
    if (st == ST_NOT_FOUND) {
        return err_set(err, ST_CONFLICT, "another server tells %.*s", STR_ARG(t->name));
    }
    return st;
}

static const struct write_kind take_kind = { .name = "outbox.take",
                                             .validate = take_validate,
                                             .sql = true };

struct advance_op {
    struct write_op op;
    struct str name;
    int64_t fence, lost, sent, dead;
    struct place to;
};

static enum status advance_validate(struct write_op *op, struct group *g, struct err *err)
{
    const struct advance_op *a = WRITE_OP_OF(op, struct advance_op);
    int64_t changed = 0;
    enum status st = q_emit_advance(group_conn(g), a->name, a->fence, a->to.mark, a->to.registry,
                                    a->to.links, a->lost, a->sent, a->dead, &changed, err);

    FAILPOINT("core.outbox.advance");
    if (!st && changed != 1) {
        st = err_set(err, ST_CONFLICT, "another server tells %.*s by now", STR_ARG(a->name));
    }
    return st;
}

static const struct write_kind advance_kind = { .name = "outbox.advance",
                                                .validate = advance_validate,
                                                .sql = true };

/* ---- life cycle ---------------------------------------------------------------------------------------------------------------- */

enum status outbox_new(struct outbox **out, struct core *core, const char *name, struct err *err)
{
    struct outbox *o = (struct outbox *)mem_zalloc(1, sizeof(*o));
    size_t n = strlen(name);
    enum status st = OK;

    *out = NULL;
    if (!o) return err_nomem(err);
    if (n == 0 || n >= OUTBOX_NAME_MAX) {
        mem_free(o);
        return err_set(err, ST_INVALID, "a destination has a name of 1 to %d bytes",
                       OUTBOX_NAME_MAX - 1);
    }
    o->core = core;
    memcpy(o->name, name, n + 1);
    o->facts.max = FACTS_MAX;
    o->seen.max = SEEN_MAX;
    o->arena = arena_new(ARENA_MAX);
    o->facts_arena = arena_new(ARENA_MAX);
    o->row_arena = arena_new(ROW_ARENA_MAX);
    if (!o->arena || !o->facts_arena || !o->row_arena) st = err_nomem(err);
    if (!st) st = sql_connect(&o->conn, core->db, SQL_READER, err);
    if (st) {
        outbox_free(o);
        return st;
    }
    *out = o;
    return OK;
}

void outbox_free(struct outbox *o)
{
    if (!o) return;
    outbox_view_end(o);
    sql_disconnect(o->conn);
    vec_release(&o->facts);
    int_map_release(&o->seen);
    arena_free(o->arena);
    arena_free(o->facts_arena);
    arena_free(o->row_arena);
    mem_free(o);
}

/* Another server tells, and knows how far it is behind. */
static void not_taken(struct outbox *o)
{
    o->taken = false;
    atomic_store_explicit(&o->told, 0, memory_order_relaxed);
}

enum status outbox_take(struct outbox *o, struct err *err)
{
    struct take_op t = { .op = { .kind = &take_kind, .arena = o->arena },
                         .name = str_cstr(o->name) };
    enum status st;

    not_taken(o);
    arena_reset(o->arena);
    st = seq_run(o->core->seq, &t.op, err);
    if (st) return st;
    o->taken = true;
    o->fence = t.row.fence;
    o->saved = (struct place){ t.row.mark, t.row.registry, t.row.links };
    o->at = o->goal = o->saved;
    atomic_store_explicit(&o->told, o->at.mark, memory_order_relaxed);
    o->lost = o->bytes = 0;
    return OK;
}

enum status outbox_advance(struct outbox *o, uint64_t sent, uint64_t dead, struct err *err)
{
    struct advance_op a = { .op = { .kind = &advance_kind },
                            .name = str_cstr(o->name),
                            .fence = o->fence,
                            .lost = o->lost,
                            .sent = (int64_t)sent,
                            .dead = (int64_t)dead,
                            .to = o->at };
    enum status st;

    atomic_store_explicit(&o->told, o->at.mark, memory_order_relaxed);
    if (sent == 0 && dead == 0 && o->lost == 0 && o->at.mark - o->saved.mark < SAVE_ROWS &&
        (size_t)o->bytes < seq_hold_bytes(o->core->seq) / SAVE_PART) {
        return OK; /* writing this down makes a row of the log itself */
    }
    st = seq_run(o->core->seq, &a.op, err);
    if (st == ST_CONFLICT) not_taken(o);
    if (st) return st;
    o->saved = o->at;
    o->lost = o->bytes = 0;
    return OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------- */

static struct outbox_fact *add(struct outbox *o, enum outbox_kind kind, int64_t uid)
{
    struct outbox_fact *f = vec_add(&o->facts);

    if (f) *f = (struct outbox_fact){ .kind = kind, .uid = uid };
    return f;
}

static bool is_end(int64_t status)
{
    return status == RUN_FINISHED || status == RUN_FAILED || status == RUN_KILLED;
}

/* START and the end of a run tell its links as well. */
static enum status will_tell(struct outbox *o, int64_t uid, struct err *err)
{
    return int_map_put(&o->seen, (uint64_t)uid, o) ? err_nomem(err) : OK;
}

static enum status take_record(struct outbox *o, struct batch_record *rec, struct err *err)
{
    struct batch_attrs attrs;
    struct outbox_fact *f;

    if (rec->kind == BATCH_RUN_CREATED) {
        f = add(o, OUTBOX_RUN_STARTED, rec->owner);
        return f ? will_tell(o, rec->owner, err) : err_nomem(err);
    }
    if (rec->kind == BATCH_LINKS) {
        f = add(o, OUTBOX_RUN_LINKS, rec->owner);
        return f ? OK : err_nomem(err);
    }
    if (rec->kind != BATCH_ATTRIBUTES) return OK;
    if (!batch_get_attrs(rec, &attrs)) {
        return err_set(err, ST_CORRUPT, "a record of the log is damaged");
    }
    if (!(attrs.mask & BATCH_ATTR_STATUS)) return OK;
    f = add(o, OUTBOX_RUN_STATUS, rec->owner);
    if (!f) return err_nomem(err);
    f->status = (enum run_status)attrs.status;
    f->has_end = (attrs.mask & BATCH_ATTR_END) != 0;
    f->end_ms = attrs.end_ms;
    return is_end(attrs.status) ? will_tell(o, rec->owner, err) : OK;
}

static enum status take_row(struct outbox *o, const struct q_batch_after_row *row, struct err *err)
{
    struct batch_reader b;
    struct batch_record rec;
    size_t before = o->facts.n;
    enum status st;

    arena_reset(o->row_arena);
    st = batch_open(&b, o->row_arena, row->body, row->seq, row->epoch, row->part, row->n, err);
    while (!st && (st = batch_next(&b, &rec, err)) == OK) {
        st = take_record(o, &rec, err);
    }
    if (st == ST_CORRUPT) {
        LOG_ERROR("outbox", "%s: row %" PRId64 " of the log cannot be read: %s", o->name, row->seq,
                  err->message);
        o->facts.n = before;
        o->lost++;
        err_clear(err);
        return OK;
    }
    return st == ST_END ? OK : st;
}

/* Links that something else of the page tells are dropped, and all but the last notice of one run. */
static enum status drop_told_links(struct outbox *o, struct err *err)
{
    size_t keep = o->facts.n;

    for (size_t i = o->facts.n; i-- > 0;) {
        struct outbox_fact f = o->facts.p[i];

        if (f.kind == OUTBOX_RUN_LINKS) {
            if (int_map_get(&o->seen, (uint64_t)f.uid)) continue;
            if (will_tell(o, f.uid, err)) return ST_NOMEM;
        }
        o->facts.p[--keep] = f;
    }
    o->facts.n -= keep;
    memmove(o->facts.p, o->facts.p + keep, o->facts.n * sizeof(*o->facts.p));
    return OK;
}

/* Rows up to `upto`, which are in memory. */
static enum status read_log(struct outbox *o, int64_t upto, struct err *err)
{
    struct q_batch_after_row row;
    struct sql_stmt *q = NULL;
    int64_t rows = 0;
    enum status st = q_batch_after_open(o->conn, &q, o->at.mark, ROWS_PER_PAGE, err);

    int_map_release(&o->seen);
    o->seen.max = SEEN_MAX;
    while (!st && o->at.mark < upto && o->facts.n < FACTS_PER_PAGE &&
           (st = q_batch_after_next(q, &row, err)) == OK) {
        if (row.seq > upto) break;
        rows++;
        o->lost += row.seq - o->at.mark - 1; /* numbers have no gaps */
        o->at.mark = row.seq;
        o->bytes += (int64_t)row.body.n;
        st = take_row(o, &row, err);
    }
    sql_close(q);
    if (st == ST_END) st = OK;
    if (!st && rows == 0) {
        o->lost += upto - o->at.mark;
        o->at.mark = upto;
    }
    return st || o->facts.n == 0 ? st : drop_told_links(o, err);
}

static bool keep(struct outbox *o, struct str from, struct str *to)
{
    *to = from.p ? arena_str(o->facts_arena, from) : from;
    return !from.p || to->p;
}

static enum outbox_kind kind_of(const struct q_emit_registry_row *row)
{
    switch (row->what) {
    case REGISTRY_CREATED: return row->version > 0 ? OUTBOX_VERSION : 0;
    case REGISTRY_ALIAS: return OUTBOX_ALIAS;
    case REGISTRY_RENAMED: return row->version == 0 ? OUTBOX_RENAMED : 0;
    case REGISTRY_DELETED: return row->version == 0 ? OUTBOX_DROPPED : 0;
    default: return 0;
    }
}

static enum status read_registry(struct outbox *o, struct err *err)
{
    struct q_emit_registry_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_emit_registry_open(o->conn, &q, o->at.registry, FACTS_PER_PAGE, err);

    while (!st && o->at.registry < o->goal.registry &&
           (st = q_emit_registry_next(q, &row, err)) == OK) {
        enum outbox_kind kind = kind_of(&row);
        struct outbox_fact *f = kind ? add(o, kind, row.model) : NULL;

        o->at.registry = row.seq;
        if (!kind) continue;
        if (!f) {
            st = err_nomem(err);
            break;
        }
        f->version = row.version;
        f->at_ms = row.seen_ms;
        st = keep(o, row.key, &f->key) && keep(o, row.value, &f->value) ? OK : err_nomem(err);
    }
    sql_close(q);
    if (st == ST_END) { /* the rest of the round are numbers that no row has */
        o->at.registry = o->facts.n == 0 ? o->goal.registry : o->at.registry;
        st = OK;
    }
    return st;
}

static enum status read_links(struct outbox *o, struct err *err)
{
    struct q_emit_links_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_emit_links_open(o->conn, &q, o->at.links, FACTS_PER_PAGE, err);

    int_map_release(&o->seen);
    o->seen.max = SEEN_MAX;
    while (!st && o->at.links < o->goal.links && (st = q_emit_links_next(q, &row, err)) == OK) {
        o->at.links = row.seq;
        if (row.execution_null || int_map_get(&o->seen, (uint64_t)row.execution)) continue;
        st = add(o, OUTBOX_EXECUTION, row.execution) ? will_tell(o, row.execution, err)
                                                     : err_nomem(err);
    }
    sql_close(q);
    if (st == ST_END) {
        o->at.links = o->facts.n == 0 ? o->goal.links : o->at.links;
        st = OK;
    }
    return st;
}

static bool at_goal(const struct outbox *o)
{
    return o->at.mark >= o->goal.mark && o->at.registry >= o->goal.registry &&
           o->at.links >= o->goal.links;
}

/* Up to where the three logs go now. */
static enum status next_round(struct outbox *o, struct err *err)
{
    struct q_emit_ends_row ends;
    enum status st = q_emit_ends(o->conn, NULL, PART, &ends, err);

    if (!st) o->goal = (struct place){ ends.mark, ends.registry, ends.links };
    return st;
}

/* Up to which row of the log it may be read in this round. The database shows a row before its group has been applied: its run would be taken
 * for one that was deleted for good, and its end be told without what came with it. */
static enum status applied(struct outbox *o, int64_t *upto, struct err *err)
{
    struct seq *seq = o->core->seq;
    enum status st = OK;

    *upto = MIN_OF(o->goal.mark, seq_applied(seq));
    if (*upto >= o->goal.mark) return OK;
    st = seq_read_begin_exact(seq, err); /* rows of other servers are looked for */
    if (st) return st;
    seq_read_end(seq);
    *upto = MIN_OF(o->goal.mark, seq_applied(seq));
    return OK;
}

enum status outbox_read(struct outbox *o, const struct outbox_fact **facts, size_t *n, bool *more,
                        struct err *err)
{
    struct place before = o->at;
    int64_t lost = o->lost, bytes = o->bytes, upto = 0;
    enum status st = OK;

    *facts = NULL;
    *n = 0;
    *more = false;
    if (!o->taken) return err_set(err, ST_CONFLICT, "%s is not told from here", o->name);
    vec_clear(&o->facts);
    arena_reset(o->facts_arena);
    if (at_goal(o)) st = next_round(o, err);
    if (!st && o->at.mark < o->goal.mark) st = applied(o, &upto, err);
    if (!st && o->at.mark < upto) {
        st = read_log(o, upto, err);
    } else if (!st && o->at.mark < o->goal.mark) {
        sql_rest(o->conn);
        return OK; /* what is in memory has been read; the rest is being applied */
    } else if (!st && o->at.registry < o->goal.registry) {
        st = read_registry(o, err);
    } else if (!st && o->at.links < o->goal.links) {
        st = read_links(o, err);
    } else if (!st) {
        sql_rest(o->conn);
        return OK;
    }
    if (st) {
        o->at = before;
        o->lost = lost;
        o->bytes = bytes;
        return st;
    }
    if (o->lost > lost) {
        atomic_fetch_add_explicit(&o->lost_all, (uint64_t)(o->lost - lost), memory_order_relaxed);
        LOG_WARN("outbox",
                 "%s: %" PRId64
                 " rows of the log were released before they were told: its destination was "
                 "away for too long",
                 o->name, o->lost - lost);
    }
    *facts = o->facts.p;
    *n = o->facts.n;
    *more = true;
    return OK;
}

uint64_t outbox_behind(const struct outbox *o)
{
    struct seq_stats now;
    int64_t told = atomic_load_explicit(&o->told, memory_order_relaxed);

    seq_stats(o->core->seq, &now);
    return told > 0 && now.last_seq > told ? (uint64_t)(now.last_seq - told) : 0;
}

uint64_t outbox_lost(const struct outbox *o)
{
    return atomic_load_explicit(&o->lost_all, memory_order_relaxed);
}

enum status outbox_view(struct outbox *o, struct view **v, struct err *err)
{
    enum status st;

    arena_reset(o->arena);
    o->view = (struct view){ o->core, o->conn, o->arena, false };
    *v = &o->view;
    st = seq_read_begin_exact(o->core->seq, err);
    o->viewing = st == OK;
    return st;
}

void outbox_view_end(struct outbox *o)
{
    if (o->viewing) seq_read_end(o->core->seq);
    o->viewing = false;
}

enum status outbox_states(struct view *v, struct outbox_state **out, size_t *n, struct err *err)
{
    struct outbox_state *list = ARENA_ARRAY(v->arena, struct outbox_state, OUTBOX_MAX);
    struct q_emit_ends_row ends;
    struct q_emit_all_row row;
    struct sql_stmt *q = NULL;
    enum status st = list ? q_emit_ends(v->conn, NULL, PART, &ends, err) : err_nomem(err);

    *out = list;
    *n = 0;
    if (!st) st = q_emit_all_open(v->conn, &q, err);
    while (!st && *n < OUTBOX_MAX && (st = q_emit_all_next(q, &row, err)) == OK) {
        list[*n] = (struct outbox_state){ .name = row.name,
                                          .mark = row.mark,
                                          .behind = MAX_OF(ends.mark - row.mark, (int64_t)0),
                                          .lost = row.lost,
                                          .sent = row.sent,
                                          .dead = row.dead };
        st = view_keep(v, &list[*n].name) ? OK : err_nomem(err);
        ++*n;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* ---- of what facts name ------------------------------------------------------------------------------------------------------- */

enum status outbox_model(struct view *v, int64_t uid, struct str *name, bool *prompt,
                         struct err *err)
{
    struct q_registered_model_by_uid_row row;
    enum status st = q_registered_model_by_uid(v->conn, v->arena, uid, &row, err);

    *name = st ? S("") : row.name;
    *prompt = !st && row.prompt != 0;
    return st;
}

enum status outbox_was_prompt(struct view *v, int64_t uid, bool *prompt, struct err *err)
{
    struct q_emit_model_tag_row row;
    enum status st = q_emit_model_tag(v->conn, v->arena, uid, PROMPT_TAG, &row, err);

    *prompt = !st && row.value.p && str_eq_nocase(row.value, S("true"));
    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return OK;
    }
    return st;
}

/* The rows of both queries are alike. */
#define READ_ARTIFACTS(query, list, count)                                                         \
    do {                                                                                           \
        struct query##_row it;                                                                     \
        struct sql_stmt *q = NULL;                                                                 \
        (list) = ARENA_ARRAY(v->arena, struct outbox_artifact, max + 1);                           \
        st = (list) ? query##_open(v->conn, &q, uid, (int64_t)max, err) : err_nomem(err);          \
        while (!st && (count) < max && (st = query##_next(q, &it, err)) == OK) {                   \
            struct outbox_artifact *a = &(list)[(count)++];                                        \
            *a = (struct outbox_artifact){ it.id, it.type, it.name, it.uri };                      \
            if (!view_keep(v, &a->type) || !view_keep(v, &a->name) || !view_keep(v, &a->uri)) {    \
                st = err_nomem(err);                                                               \
            }                                                                                      \
        }                                                                                          \
        sql_close(q);                                                                              \
        st = st == ST_END ? OK : st;                                                               \
    } while (0)

enum status outbox_execution(struct view *v, int64_t uid, size_t max, struct outbox_execution *out,
                             struct err *err)
{
    struct q_emit_execution_row row;
    enum status st = q_emit_execution(v->conn, v->arena, uid, &row, err);

    *out = (struct outbox_execution){ .id = 0 };
    if (st) return st;
    out->space = row.space;
    out->type = row.type;
    out->id = row.id;
    out->create_ms = row.create_ms;
    out->update_ms = row.update_ms;
    out->state = (int32_t)(row.flags > 0 ? row.flags - 1 : 0);
    READ_ARTIFACTS(q_emit_inputs, out->inputs, out->inputs_n);
    if (!st) READ_ARTIFACTS(q_emit_outputs, out->outputs, out->outputs_n);
    return st;
}
