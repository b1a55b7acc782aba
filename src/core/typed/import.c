/* core/typed/import.c - taking over rows of a store of others, on the sequencer. */
#include "core/typed/import.h"
#include "core/run.h"
#include "core/typed/typed_int.h"

enum {
    TYPES = 10,
    RUNS = 20
}; /* kinds in import_map beside those of nodes: TYPES and the kind; runs */

struct importer {
    struct putter p;
    struct typed_put put;
    struct typed_import *in;
    int64_t source;
};

static enum status skip(struct importer *im, struct typed_import_row *row, struct str why,
                        struct err *err)
{
    row->outcome = TYPED_SKIPPED;
    row->reason = arena_str(im->p.v.arena, why);
    return row->reason.p ? OK : err_nomem(err);
}

static enum status skip_missing(struct importer *im, struct typed_import_row *row, const char *what,
                                int64_t number, struct err *err)
{
    struct str why =
        arena_printf(im->p.v.arena, "%s %" PRId64 " is not there, or was skipped", what, number);

    return why.p ? skip(im, row, why, err) : err_nomem(err);
}

static const char *kind_name(enum node_kind kind)
{
    return kind == NODE_ARTIFACT ? "artifact" : kind == NODE_EXECUTION ? "execution" : "context";
}

/* ---- types ------------------------------------------------------------------------------------------------------------------- */

static bool declares_more(const struct typed_type *a, const struct typed_type *b)
{
    for (size_t i = 0; i < a->props_n; i++) {
        if (!typed_decl_of(b, a->props[i].key)) {
            return true;
        }
    }
    return false;
}

static enum status take_type(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct typed_type *t = &row->type, old;
    struct q_import_type_find_row map;
    bool mapped, there;
    enum status st = q_import_type_find(im->p.v.conn, im->p.v.arena, im->source, im->in->kind,
                                        row->number, &map, err);

    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    mapped = !st;
    t->has_base = t->has_base && t->base != 0;
    st = typed_type_named(&im->p.s, im->in->kind, t->name, t->version, &old, err);
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    there = !st;
    if (there) { /* the external id that it has here stays */
        t->external_id = old.external_id;
        t->has_base = t->has_base && !old.base;
        t->base = t->has_base ? t->base : 0;
    }
    row->outcome = !there                                  ? TYPED_TAKEN
                   : !mapped                               ? TYPED_FOUND
                   : declares_more(t, &old) || t->has_base ? TYPED_CHANGED
                                                           : TYPED_UNCHANGED;
    if (there && old.id <= TYPED_SYSTEM) { /* one that every namespace has */
        t->id = old.id;
        t->uid = old.uid;
        row->outcome = mapped ? TYPED_UNCHANGED : TYPED_FOUND;
        st = declares_more(t, &old)
                 ? err_set(err, ST_EXISTS, "the type %.*s has no properties here", STR_ARG(t->name))
                 : OK;
    } else {
        im->put.types = t;
        im->put.types_n = 1;
        st = typed_put_types(&im->p, err);
    }
    row->id = t->id;
    return st ? st
              : q_import_map_put(im->p.v.conn, im->source, TYPES + (int64_t)im->in->kind,
                                 row->number, t->uid, 0, err);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------- */

/* A context of that type and name, which did not come from there, is the same one. */
static enum status find_context(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct typed_type type;
    struct typed_node old;
    enum status st;

    if (im->in->kind != NODE_CONTEXT || !row->node.name.n) {
        return OK;
    }
    st = typed_type_get(&im->p.s, NODE_CONTEXT, row->node.type, &type, err);
    st = st ? st : typed_node_named(&im->p.s, &type, row->node.name, &old, err);
    if (!st) {
        row->outcome = TYPED_FOUND;
        row->id = old.id;
        row->uid = old.uid;
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status times(struct importer *im, const struct typed_node *n, struct err *err)
{
    int64_t create = n->create_ms, update = MAX_OF(n->update_ms, create);

    return create > 0 ? q_import_node_times(im->p.v.conn, n->uid, create, update, err) : OK;
}

static enum status take_node(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct typed_node *n = &row->node;
    struct q_import_type_find_row type;
    struct q_import_node_find_row map;
    int64_t stamp = n->update_ms;
    enum status st = q_import_type_find(im->p.v.conn, im->p.v.arena, im->source, im->in->kind,
                                        n->type, &type, err);

    if (st == ST_NOT_FOUND) {
        return skip_missing(im, row, "its type", n->type, err);
    }
    n->type = type.shown;
    st = st ? st
            : q_import_node_find(im->p.v.conn, im->p.v.arena, im->source, im->in->kind, row->number,
                                 &map, err);
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    n->has_id = !st;
    if (n->has_id) {
        n->id = row->id = map.id;
        n->uid = row->uid = map.uid;
        row->outcome = map.stamp == stamp ? TYPED_UNCHANGED : TYPED_CHANGED;
    } else {
        st = find_context(im, row, err);
        n->uid = row->uid;
        n->keep = row->number;
    }
    if (st || row->outcome == TYPED_UNCHANGED) {
        return st;
    }
    if (row->outcome != TYPED_FOUND) {
        row->outcome = n->has_id ? TYPED_CHANGED : TYPED_TAKEN;
        st = typed_put_node(&im->p, n, false, err);
        st = st ? st : times(im, n, err);
        row->id = n->id;
        row->uid = n->uid;
    }
    return st ? st
              : q_import_map_put(im->p.v.conn, im->source, im->in->kind, row->number, n->uid, stamp,
                                 err);
}

/* ---- links ------------------------------------------------------------------------------------------------------------------- */

/* *uid is 0 when the row was skipped because its end is not there. */
static enum status end_of(struct importer *im, struct typed_import_row *row, enum node_kind kind,
                          bool has, int64_t *number, int64_t *uid, struct err *err)
{
    struct q_import_node_find_row map;
    enum status st =
        has ? q_import_node_find(im->p.v.conn, im->p.v.arena, im->source, kind, *number, &map, err)
            : ST_NOT_FOUND;

    *uid = 0;
    if (st == ST_NOT_FOUND) {
        return skip_missing(im, row, kind_name(kind), *number, err);
    }
    if (!st) {
        *uid = map.uid;
        *number = map.id;
    }
    return st;
}

static enum status take_event(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct typed_event *e = &row->event;
    int64_t artifact, execution = 0;
    enum status st = end_of(im, row, NODE_ARTIFACT, e->has_artifact, &e->artifact, &artifact, err);

    if (!st && artifact) {
        st = end_of(im, row, NODE_EXECUTION, e->has_execution, &e->execution, &execution, err);
    }
    if (st || !execution) {
        return st;
    }
    row->outcome = TYPED_TAKEN;
    st = typed_put_event(&im->p, e, artifact, execution, err);
    if (st == ST_EXISTS) {
        row->outcome = TYPED_UNCHANGED;
    }
    return st == ST_EXISTS ? OK : st;
}

static enum status take_member(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct typed_pair *x = &row->pair;
    int64_t node, ctx = 0;
    bool added;
    enum status st = end_of(im, row, im->in->kind, x->has_a, &x->a, &node, err);

    if (!st && node) {
        st = end_of(im, row, NODE_CONTEXT, x->has_b, &x->b, &ctx, err);
    }
    if (st || !ctx) {
        return st;
    }
    st = group_member_put(im->p.g, ctx, node, MEMBER_OF_CONTEXT, &added, err);
    row->outcome = added ? TYPED_TAKEN : TYPED_UNCHANGED;
    return st;
}

static enum status take_parent(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct typed_pair *x = &row->pair;
    int64_t child, parent = 0;
    enum status st = end_of(im, row, NODE_CONTEXT, x->has_a, &x->a, &child, err);

    if (!st && child) {
        st = end_of(im, row, NODE_CONTEXT, x->has_b, &x->b, &parent, err);
    }
    if (st || !parent) {
        return st;
    }
    row->outcome = TYPED_TAKEN;
    st = typed_put_parent(&im->p, x, err);
    if (st == ST_EXISTS) {
        row->outcome = TYPED_UNCHANGED;
    }
    return st == ST_EXISTS ? OK : st;
}

/* ---- runs -------------------------------------------------------------------------------------------------------------------- */

/* The links of an execution are the run's as well. */
static enum status link_run(struct importer *im, int64_t execution, int64_t run, struct err *err)
{
    struct typed_event *events;
    size_t n;
    enum status st = typed_events(&im->p.s, NODE_EXECUTION, &execution, 1, &events, &n, err);

    for (size_t i = 0; !st && i < n; i++) {
        int64_t artifact;

        st = typed_uid(&im->p.s, NODE_ARTIFACT, events[i].artifact, &artifact, err);
        st = st ? st : typed_put_event(&im->p, &events[i], artifact, run, err);
        st = st == ST_EXISTS ? OK : st;
    }
    return st;
}

static enum status take_run(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct q_import_node_find_row x;
    struct q_import_run_find_row old;
    int64_t run, experiment;
    enum status st = q_import_node_find(im->p.v.conn, im->p.v.arena, im->source, NODE_EXECUTION,
                                        row->number, &x, err);

    if (st) {
        return st == ST_NOT_FOUND ? skip_missing(im, row, "execution", row->number, err) : st;
    }
    row->id = x.id;
    row->uid = x.uid;
    if (!row->run.n) {
        st = q_import_run_find(im->p.v.conn, im->p.v.arena, im->source, row->number, &old, err);
        if (!st) {
            row->run = old.run;
            row->outcome = old.stamp == x.stamp ? TYPED_UNCHANGED : TYPED_CHANGED;
        }
        return st == ST_NOT_FOUND ? OK : st;
    }
    row->outcome = TYPED_TAKEN;
    st = run_require_active(im->p.g, row->run, &run, &experiment, err);
    st = st ? st : link_run(im, x.id, run, err);
    return st ? st
              : q_import_map_put(im->p.v.conn, im->source, RUNS, row->number, run, x.stamp, err);
}

/* ---- the operation ------------------------------------------------------------------------------------------------------------- */

/* What is wrong with the row, not with the store or the server. */
static bool is_about_row(enum status st)
{
    return st == ST_INVALID || st == ST_INVALID_STATE || st == ST_EXISTS || st == ST_NOT_FOUND ||
           st == ST_NOT_IMPLEMENTED || st == ST_OUT_OF_RANGE;
}

/* Inside of a savepoint: a row that fails leaves nothing behind. */
static enum status take(struct importer *im, struct typed_import_row *row, struct err *err)
{
    struct sql_conn *conn = im->p.v.conn;
    struct err undo = ERR_INIT;
    enum status st;

    if (row->unreadable.p) {
        return skip(im, row, row->unreadable, err);
    }
    st = sql_savepoint(conn, err);
    if (st) {
        return st;
    }
    switch (im->in->what) {
    case TYPED_IMPORT_TYPES: st = take_type(im, row, err); break;
    case TYPED_IMPORT_NODES: st = take_node(im, row, err); break;
    case TYPED_IMPORT_PARENTS: st = take_parent(im, row, err); break;
    case TYPED_IMPORT_MEMBERS: st = take_member(im, row, err); break;
    case TYPED_IMPORT_EVENTS: st = take_event(im, row, err); break;
    case TYPED_IMPORT_RUNS: st = take_run(im, row, err); break;
    }
    st = st ? st : sql_release(conn, err);
    if (!st) {
        return OK;
    }
    im->p.has_type = false;
    if (sql_rollback_to(conn, &undo)) { /* not the row's fault any more */
        *err = undo;
        return undo.code;
    }
    if (!is_about_row(st)) {
        return st;
    }
    row->id = row->uid = 0;
    return skip(im, row, str_cstr(err->message), err);
}

static enum status open_source(struct importer *im, struct err *err)
{
    struct q_import_source_find_row row;
    struct q_counter_next_row next;
    enum status st =
        q_import_source_find(im->p.v.conn, im->p.v.arena, im->p.s.ns, im->in->source, &row, err);

    if (st != ST_NOT_FOUND) {
        im->source = row.id;
        return st;
    }
    st = q_counter_next(im->p.v.conn, im->p.v.arena, S("import_source"), &next, err);
    im->source = next.value;
    return st ? st
              : q_import_source_insert(im->p.v.conn, next.value, im->p.s.ns, im->in->source, err);
}

static enum status validate(struct write_op *op, struct group *g, struct err *err)
{
    struct typed_import *in = WRITE_OP_OF(op, struct typed_import);
    struct importer im = {
        .put = { .ns = in->ns, .who = in->who, .can_add = true, .can_omit = true },
        .in = in,
    };
    enum status st;

    im.p = (struct putter){ .g = g,
                            .v = { .core = in->core, .conn = group_conn(g), .arena = op->arena },
                            .put = &im.put };
    st = typed_open_space(&im.p, err);
    st = st ? st : open_source(&im, err);
    for (size_t i = 0; !st && i < in->rows_n; i++) {
        struct typed_import_row work = in->rows[i]; /* as it came, whenever it is validated again */

        work.outcome = TYPED_NONE;
        work.id = work.uid = 0;
        work.reason = (struct str){ NULL, 0 };
        st = take(&im, &work, err);
        in->rows[i].outcome = work.outcome;
        in->rows[i].id = work.id;
        in->rows[i].uid = work.uid;
        in->rows[i].reason = work.reason;
        in->rows[i].found = work.run;
    }
    return st;
}

static const struct write_kind import_kind = { .name = "typed.import",
                                               .validate = validate,
                                               .sql = true };

void typed_import_init(struct typed_import *in, struct core *core, struct arena *a)
{
    *in = (struct typed_import){ .op = { .kind = &import_kind, .arena = a }, .core = core };
}
