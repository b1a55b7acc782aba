/* core/typed/nodes.c - reading nodes of declared types, and what hangs on them. */
#include "base/num.h"
#include "core/typed/others.h"
#include "core/typed/typed_int.h"
#include <math.h>
#include <stdlib.h>

enum { PORTION = 1000 }; /* nodes that one query asks about */

enum status typed_props(struct view *v, int64_t uid, struct prop **out, size_t *n, struct err *err)
{
    struct typed_node one = { .uid = uid };
    enum status st = typed_props_of(v, &one, 1, err);

    *out = one.props;
    *n = one.props_n;
    return st;
}

static int by_uid(const void *a, const void *b)
{
    const struct typed_node *x = *(struct typed_node *const *)a,
                            *y = *(struct typed_node *const *)b;

    return (x->uid > y->uid) - (x->uid < y->uid);
}

static enum status add_prop(struct view *v, struct typed_node *n, size_t *cap,
                            struct q_typed_props_of_many_row *row, struct err *err)
{
    if (!view_keep(v, &row->key) || !view_keep(v, &row->s) || !view_keep(v, &row->b) ||
        !arena_grow(v->arena, (void **)&n->props, n->props_n, cap, sizeof(*n->props))) {
        return err_nomem(err);
    }
    n->props[n->props_n++] = (struct prop){ .scope = (enum prop_scope)row->scope,
                                            .type = (enum prop_type)row->vtype,
                                            .key = row->key,
                                            .i = row->i_null ? 0 : row->i,
                                            .d = row->d_null ? (double)NAN : row->d,
                                            .s = row->s,
                                            .b = row->b };
    return OK;
}

/* The two queries give the same row. */
static enum status next_prop(struct sql_stmt *stmt, bool one, struct q_typed_props_of_many_row *out,
                             struct err *err)
{
    struct q_typed_props_row row;
    enum status st =
        one ? q_typed_props_next(stmt, &row, err) : q_typed_props_of_many_next(stmt, out, err);

    if (!st && one) {
        *out = (struct q_typed_props_of_many_row){ .uid = row.uid,
                                                   .scope = row.scope,
                                                   .key = row.key,
                                                   .vtype = row.vtype,
                                                   .i = row.i,
                                                   .i_null = row.i_null,
                                                   .d = row.d,
                                                   .d_null = row.d_null,
                                                   .s = row.s,
                                                   .b = row.b };
    }
    return st;
}

/* Rows come by uid, as `sorted` is. */
static enum status props_of(struct view *v, struct typed_node **sorted, const int64_t *uids,
                            size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_typed_props_of_many_row row;
    size_t at = 0, cap = 0;
    enum status st = n == 1 ? q_typed_props_open(v->conn, &stmt, uids[0], err)
                            : q_typed_props_of_many_open(v->conn, &stmt, uids, n, err);

    while (!st && (st = next_prop(stmt, n == 1, &row, err)) == OK) {
        while (at < n && sorted[at]->uid < row.uid) {
            at++;
            cap = 0;
        }
        st = add_prop(v, sorted[at], &cap, &row, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status typed_props_of(struct view *v, struct typed_node *nodes, size_t n, struct err *err)
{
    struct typed_node **sorted = ARENA_ARRAY(v->arena, struct typed_node *, n + 1);
    int64_t *uids = ARENA_ARRAY(v->arena, int64_t, n + 1);
    enum status st = sorted && uids ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        sorted[i] = &nodes[i];
    }
    if (!st && n > 1) {
        qsort(sorted, n, sizeof(struct typed_node *), by_uid);
    }
    for (size_t i = 0; !st && i < n; i++) {
        uids[i] = sorted[i]->uid;
    }
    for (size_t i = 0; !st && i < n; i += PORTION) {
        st = props_of(v, sorted + i, uids + i, MIN_OF(PORTION, n - i), err);
    }
    return st;
}

enum status typed_from_row(struct view *v, const struct nodelist_row *row, struct typed_node *out,
                           struct err *err)
{
    *out = (struct typed_node){ .kind = (enum node_kind)row->kind,
                                .has_id = true,
                                .has_type = true,
                                .has_state = row->flags > 0,
                                .state = (int32_t)(row->flags > 0 ? row->flags - 1 : 0),
                                .uid = row->uid,
                                .id = row->id,
                                .type = row->type,
                                .type_uid = row->type_uid,
                                .type_name = row->type_name,
                                .name = row->name,
                                .uri = row->uri,
                                .external_id = row->external_id,
                                .create_ms = row->create_ms,
                                .update_ms = row->update_ms };
    return view_keep(v, &out->type_name) && view_keep(v, &out->name) && view_keep(v, &out->uri) &&
                   view_keep(v, &out->external_id)
               ? OK
               : err_nomem(err);
}

/* What identifies a node whose row and properties are asked for in one query. */
struct wanted {
    enum { OF_NUMBER, OF_UID, OF_IDENT } by;
    int64_t ns, which, n; /* kind and number; uid; scheme */
    struct str key;
};

static enum status whole_open(struct sql_conn *conn, struct sql_stmt **stmt, const struct wanted *w,
                              struct err *err)
{
    switch (w->by) {
    case OF_NUMBER: return q_typed_whole_open(conn, stmt, w->ns, w->which, w->n, err);
    case OF_UID: return q_typed_whole_of_uid_open(conn, stmt, w->n, err);
    case OF_IDENT: break;
    }
    return q_typed_whole_of_ident_open(conn, stmt, w->ns, w->which, w->key, err);
}

/* The three queries give the same row. */
#define WHOLE_NEXT(name_)                                                                          \
    do {                                                                                           \
        struct q_##name_##_row r_;                                                                 \
                                                                                                   \
        st = q_##name_##_next(stmt, &r_, err);                                                     \
        if (!st) {                                                                                 \
            *node = (struct nodelist_row){ .uid = r_.uid,                                          \
                                           .kind = r_.kind,                                        \
                                           .id = r_.id,                                            \
                                           .type_uid = r_.type_id,                                 \
                                           .type = r_.shown,                                       \
                                           .type_name = r_.type_name,                              \
                                           .name = r_.name,                                        \
                                           .uri = r_.uri,                                          \
                                           .external_id = r_.external_id,                          \
                                           .flags = r_.flags,                                      \
                                           .create_ms = r_.create_ms,                              \
                                           .update_ms = r_.update_ms };                            \
            *has_prop = !r_.scope_null;                                                            \
            *prop = (struct q_typed_props_of_many_row){ r_.uid, r_.scope,  r_.key, r_.vtype,       \
                                                        r_.i,   r_.i_null, r_.d,   r_.d_null,      \
                                                        r_.s,   r_.b };                            \
        }                                                                                          \
    } while (0)

static enum status whole_next(struct sql_stmt *stmt, const struct wanted *w,
                              struct nodelist_row *node, bool *has_prop,
                              struct q_typed_props_of_many_row *prop, struct err *err)
{
    enum status st;

    if (w->by == OF_NUMBER) {
        WHOLE_NEXT(typed_whole);
    } else if (w->by == OF_UID) {
        WHOLE_NEXT(typed_whole_of_uid);
    } else {
        WHOLE_NEXT(typed_whole_of_ident);
    }
    return st;
}

static enum status whole(struct typed_space *s, const struct wanted *w, struct typed_node *out,
                         struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct nodelist_row node;
    struct q_typed_props_of_many_row prop;
    bool has_prop = false, found = false;
    size_t cap = 0;
    enum status st = whole_open(s->v->conn, &stmt, w, err);

    while (!st && (st = whole_next(stmt, w, &node, &has_prop, &prop, err)) == OK) {
        st = found ? OK : typed_from_row(s->v, &node, out, err);
        found = true;
        st = st || !has_prop ? st : add_prop(s->v, out, &cap, &prop, err);
    }
    sql_close(stmt);
    return st != ST_END ? st : found ? OK : ST_NOT_FOUND;
}

enum status typed_node_get(struct typed_space *s, enum node_kind kind, int64_t id,
                           struct typed_node *out, struct err *err)
{
    const struct wanted w = { .by = OF_NUMBER, .ns = s->ns, .which = kind, .n = id };
    enum status st = whole(s, &w, out, err);

    return st == ST_NOT_FOUND && s->others ? typed_other_node(s, kind, id, out, err) : st;
}

static enum status of_uid(struct typed_space *s, int64_t uid, struct typed_node *out,
                          struct err *err)
{
    return whole(s, &(struct wanted){ .by = OF_UID, .n = uid }, out, err);
}

enum status typed_node_named(struct typed_space *s, const struct typed_type *type, struct str name,
                             struct typed_node *out, struct err *err)
{
    struct wanted w = { .by = OF_IDENT, .ns = s->ns, .which = IDENT_TYPED_NAME };

    if (typed_is_other(type->uid)) {
        return typed_other_named(s, type, name, out, err);
    }
    w.key = arena_printf(s->v->arena, "%" PRId64 "/%.*s", type->uid, STR_ARG(name));
    return w.key.p ? whole(s, &w, out, err) : err_nomem(err);
}

enum status typed_node_external(struct typed_space *s, enum node_kind kind, struct str id,
                                struct typed_node *out, struct err *err)
{
    const struct wanted w = {
        .by = OF_IDENT, .ns = s->ns, .which = IDENT_TYPED_NAME + (int64_t)kind, .key = id
    };

    return whole(s, &w, out, err);
}

enum status typed_list_rows(struct typed_space *s, const struct nodelist *in,
                            struct typed_node **out, size_t *n, struct err *err)
{
    struct nodelist_cursor c;
    struct nodelist_row row;
    size_t cap = 0;
    enum status st;

    *out = NULL;
    *n = 0;
    st = nodelist_open(&c, s->v->conn, s->v->arena, in, err);
    while (!st && (st = nodelist_next(&c, &row, err)) == OK) {
        if (!arena_grow(s->v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        st = typed_from_row(s->v, &row, &(*out)[*n], err);
        *n += st ? 0 : 1;
    }
    nodelist_close(&c);
    st = st == ST_END ? OK : st;
    st = st ? st : typed_props_of(s->v, *out, *n, err);
    for (size_t i = 0; !st && i < *n; i++) {
        if (typed_is_other((*out)[i].type_uid)) {
            st = typed_other_dress(s, &(*out)[i], err);
        }
    }
    return st;
}

enum status typed_list(struct typed_space *s, struct nodelist *in, struct typed_node **out,
                       size_t *n, struct err *err)
{
    in->ns = s->ns;
    in->others = in->others_beside = s->others;
    return s->others && in->filter && (!in->type || typed_is_other(in->type))
               ? typed_other_list(s, in, out, n, err)
               : typed_list_rows(s, in, out, n, err);
}

enum status typed_uid(struct typed_space *s, enum node_kind kind, int64_t id, int64_t *out,
                      struct err *err)
{
    struct q_typed_uid_row row = { 0 };
    enum status st = q_typed_uid(s->v->conn, s->v->arena, s->ns, kind, id, &row, err);

    if (st == ST_NOT_FOUND && s->others) {
        struct q_other_node_row other;

        st = q_other_node(s->v->conn, s->v->arena, kind, id, &other, err);
        row.uid = st ? 0 : other.uid;
    }
    *out = row.uid;
    return st;
}

/* ---- events ---------------------------------------------------------------------------------------------------------------- */

/* Steps as they are stored: 'i' and digits or 'k' and a name, each ended by a NUL. */
enum status typed_steps_of(struct view *v, struct str path, struct typed_event *e, struct err *err)
{
    size_t cap = 0;

    while (path.n) {
        size_t end = str_find_byte(path, '\0', 0);
        struct str one = str_sub(path, 0, end == SIZE_MAX ? path.n : end);
        struct typed_step step = { .is_index = one.n && one.p[0] == 'i' };

        path = str_sub(path, end == SIZE_MAX ? path.n : end + 1, path.n);
        step.key = str_sub(one, one.n ? 1 : 0, one.n);
        if (step.is_index && !num_parse_i64(step.key, &step.index)) {
            return err_set(err, ST_CORRUPT, "the path of an event is damaged");
        }
        if (!view_keep(v, &step.key) ||
            !arena_grow(v->arena, (void **)&e->steps, e->steps_n, &cap, sizeof(*e->steps))) {
            return err_nomem(err);
        }
        e->steps[e->steps_n++] = step;
    }
    return OK;
}

struct events {
    struct view *v;
    struct typed_event *e;
    size_t n, cap;
};

static int by_seq(const void *a, const void *b)
{
    const struct typed_event *x = a, *y = b;

    return (x->seq > y->seq) - (x->seq < y->seq);
}

static enum status add_event(struct events *to, const struct q_typed_events_from_row *row,
                             struct err *err)
{
    bool in = typed_event_is_input(row->role);
    struct typed_event *e;

    if (!arena_grow(to->v->arena, (void **)&to->e, to->n, &to->cap, sizeof(*to->e))) {
        return err_nomem(err);
    }
    e = &to->e[to->n++];
    *e = (struct typed_event){ .has_artifact = true,
                               .has_execution = true,
                               .has_ms = true,
                               .artifact = in ? row->src_id : row->dst_id,
                               .execution = in ? row->dst_id : row->src_id,
                               .ms = row->ms,
                               .seq = row->seq,
                               .type = (int32_t)row->role };
    return typed_steps_of(to->v, row->path, e, err);
}

/* The four queries give the same row. */
#define EVENT_NEXT(name_)                                                                          \
    do {                                                                                           \
        struct q_##name_##_row r_;                                                                 \
                                                                                                   \
        st = q_##name_##_next(stmt, &r_, err);                                                     \
        if (!st) {                                                                                 \
            row = (struct q_typed_events_from_row){ r_.src, r_.dst,    r_.role,   r_.path,         \
                                                    r_.ms,  r_.src_id, r_.dst_id, r_.seq };        \
        }                                                                                          \
    } while (0)

static enum status events_of(struct typed_space *s, int64_t uid, bool from, struct events *to,
                             struct err *err)
{
    struct sql_conn *conn = s->v->conn;
    struct sql_stmt *stmt = NULL;
    struct q_typed_events_from_row row;
    enum status st = s->others ? from ? q_other_events_from_open(conn, &stmt, uid, err)
                                      : q_other_events_into_open(conn, &stmt, uid, err)
                     : from ? q_typed_events_from_open(conn, &stmt, uid, err)
                               : q_typed_events_into_open(conn, &stmt, uid, err);

    while (!st) {
        if (s->others && from) {
            EVENT_NEXT(other_events_from);
        } else if (s->others) {
            EVENT_NEXT(other_events_into);
        } else if (from) {
            EVENT_NEXT(typed_events_from);
        } else {
            EVENT_NEXT(typed_events_into);
        }
        st = st ? st : add_event(to, &row, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status typed_events(struct typed_space *s, enum node_kind kind, const int64_t *ids, size_t n,
                         struct typed_event **out, size_t *out_n, struct err *err)
{
    struct events to = { .v = s->v };
    enum status st = OK;
    int64_t uid;

    for (size_t i = 0; !st && i < n; i++) {
        st = typed_uid(s, kind, ids[i], &uid, err);
        if (!st) {
            size_t before = to.n;

            st = events_of(s, uid, true, &to, err);
            st = st ? st : events_of(s, uid, false, &to, err);
            if (to.n > before) {
                qsort(to.e + before, to.n - before, sizeof(*to.e), by_seq);
            }
        } else if (st == ST_NOT_FOUND) {
            st = OK;
        }
    }
    *out = to.e;
    *out_n = to.n;
    return st;
}

/* ---- contexts, parents, children ----------------------------------------------------------------------------------------- */

static enum status related_uids(struct typed_space *s, enum typed_relation what, int64_t uid,
                                int64_t **out, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_typed_contexts_of_row a = { 0 };
    struct q_typed_parents_of_row b = { 0 };
    struct q_typed_children_of_row c = { 0 };
    size_t cap = 0;
    enum status st = what == TYPED_CONTEXTS ? q_typed_contexts_of_open(s->v->conn, &stmt, uid, err)
                     : what == TYPED_PARENTS
                         ? q_typed_parents_of_open(s->v->conn, &stmt, uid, err)
                         : q_typed_children_of_open(s->v->conn, &stmt, uid, err);

    *out = NULL;
    *n = 0;
    while (!st) {
        st = what == TYPED_CONTEXTS  ? q_typed_contexts_of_next(stmt, &a, err)
             : what == TYPED_PARENTS ? q_typed_parents_of_next(stmt, &b, err)
                                     : q_typed_children_of_next(stmt, &c, err);
        if (!st && !arena_grow(s->v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
        }
        if (!st) {
            (*out)[(*n)++] = what == TYPED_CONTEXTS ? a.uid : what == TYPED_PARENTS ? b.uid : c.uid;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status typed_related(struct typed_space *s, enum typed_relation what, enum node_kind kind,
                          int64_t id, struct typed_node **out, size_t *n, struct err *err)
{
    int64_t uid, *uids;
    size_t uids_n;
    enum status st = typed_uid(s, kind, id, &uid, err);

    *out = NULL;
    *n = 0;
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = related_uids(s, what, uid, &uids, &uids_n, err);
    if (!st && uids_n) {
        *out = ARENA_ARRAY(s->v->arena, struct typed_node, uids_n);
        st = *out ? OK : err_nomem(err);
    }
    for (size_t i = 0; !st && i < uids_n; i++) {
        st = of_uid(s, uids[i], &(*out)[*n], err);
        *n += st ? 0 : 1;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    return st;
}
