/* core/typed/types.c - namespaces and the types in them. */
#include "core/typed/known.h"
#include "core/typed/others.h"
#include "core/typed/typed_int.h"
#include <stdlib.h>

const struct str typed_default_ns = S_INIT("default");

enum { NO_NS = -2, FIRST_TYPE = 1000 };

enum status typed_open(struct view *v, struct str ns, struct typed_space *out, struct err *err)
{
    int64_t id = 0;
    enum status st = typed_known_space(v, ns, &id, err);

    *out = (struct typed_space){ .v = v, .ns = st ? NO_NS : id };
    out->others = out->ns == 0 && v->core->typed_others;
    return st == ST_NOT_FOUND ? OK : st;
}

enum status typed_need(struct typed_space *s, struct str ns, struct err *err)
{
    struct q_counter_next_row row;
    enum status st;

    if (s->ns != NO_NS) {
        return OK;
    }
    st = q_counter_next(s->v->conn, s->v->arena, S("ns"), &row, err);
    if (!st) {
        s->ns = row.value;
        st = q_ns_insert(s->v->conn, row.value, ns, err);
    }
    return st;
}

/* ---- reads ----------------------------------------------------------------------------------------------------------------- */

static enum status declared(struct typed_space *s, struct typed_type *t, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_type_props_row row;
    size_t cap = 0;
    enum status st = q_type_props_open(s->v->conn, &stmt, t->uid, err);

    while (!st && (st = q_type_props_next(stmt, &row, err)) == OK) {
        if (!view_keep(s->v, &row.key) ||
            !arena_grow(s->v->arena, (void **)&t->props, t->props_n, &cap, sizeof(*t->props))) {
            st = err_nomem(err);
            break;
        }
        t->props[t->props_n++] = (struct typed_decl){ row.key, (enum prop_type)row.vtype };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* The four queries give the same row. */
#define FROM_ROW(row_, kind_)                                                                      \
    (struct typed_type)                                                                            \
    {                                                                                              \
        .kind = (kind_), .uid = (row_).id, .id = (row_).shown, .name = (row_).name,                \
        .version = (row_).version.n ? (row_).version : (struct str){ NULL, 0 },                    \
        .description = (row_).description, .external_id = (row_).external_id,                      \
        .input = (row_).input, .output = (row_).output, .has_base = (row_).base != 0,              \
        .base = (row_).base ? (row_).base - 100 : 0                                                \
    }

enum status typed_type_named(struct typed_space *s, enum node_kind kind, struct str name,
                             struct str version, struct typed_type *out, struct err *err)
{
    struct q_type_named_row row;
    enum status st = q_type_named(s->v->conn, s->v->arena, s->ns, kind, name,
                                  version.p ? version : S(""), &row, err);

    if (st) {
        return st == ST_NOT_FOUND && s->others && !version.n ? typed_other_type(kind, name, 0, out)
                                                             : st;
    }
    *out = FROM_ROW(row, kind);
    return declared(s, out, err);
}

enum status typed_type_find(struct typed_space *s, enum node_kind kind, struct str name,
                            struct str version, struct typed_type *out, struct err *err)
{
    enum status st;

    *out = (struct typed_type){ .kind = kind, .name = name, .version = version };
    st = typed_known_type(s->v, s->ns, out, err);
    return st == ST_NOT_FOUND && s->others && !version.n ? typed_other_type(kind, name, 0, out)
                                                         : st;
}

enum status typed_type_get(struct typed_space *s, enum node_kind kind, int64_t id,
                           struct typed_type *out, struct err *err)
{
    struct q_type_numbered_row row;
    enum status st = q_type_numbered(s->v->conn, s->v->arena, s->ns, kind, id, &row, err);

    if (st) {
        return st == ST_NOT_FOUND && s->others
                   ? typed_other_type(kind, (struct str){ NULL, 0 }, id, out)
                   : st;
    }
    *out = FROM_ROW(row, kind);
    return declared(s, out, err);
}

enum status typed_type_external(struct typed_space *s, enum node_kind kind, struct str id,
                                struct typed_type *out, struct err *err)
{
    struct q_type_external_row row;
    enum status st = q_type_external(s->v->conn, s->v->arena, s->ns, kind, id, &row, err);

    if (st) {
        return st;
    }
    *out = FROM_ROW(row, kind);
    return declared(s, out, err);
}

static bool keep_type(struct view *v, struct q_type_list_row *row)
{
    return view_keep(v, &row->name) && view_keep(v, &row->version) &&
           view_keep(v, &row->description) && view_keep(v, &row->external_id) &&
           view_keep(v, &row->input) && view_keep(v, &row->output);
}

enum status typed_types(struct typed_space *s, enum node_kind kind, bool system,
                        struct typed_type **out, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_type_list_row row;
    struct typed_type other;
    size_t cap = 0;
    enum status st =
        q_type_list_open(s->v->conn, &stmt, s->ns, kind, system ? 1 : TYPED_SYSTEM + 1, err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_type_list_next(stmt, &row, err)) == OK) {
        if (!keep_type(s->v, &row) ||
            !arena_grow(s->v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = FROM_ROW(row, kind);
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < *n; i++) {
        st = declared(s, &(*out)[i], err);
    }
    for (size_t at = 0; !st && s->others && typed_other_types(kind, &at, &other);) {
        if (!arena_grow(s->v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            return err_nomem(err);
        }
        (*out)[(*n)++] = other;
    }
    return st;
}

/* ---- writes ---------------------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct typed_decl *)a)->key, ((const struct typed_decl *)b)->key);
}

const struct typed_decl *typed_decl_of(const struct typed_type *t, struct str key)
{
    const struct typed_decl like = { .key = key };

    return t->props_n ? bsearch(&like, t->props, t->props_n, sizeof(like), by_key) : NULL;
}

static enum status differs(const struct typed_type *t, const char *why, struct str key,
                           struct err *err)
{
    return err_set(err, ST_EXISTS,
                   "Type already exists with different properties: type '%.*s' %s '%.*s'",
                   STR_ARG(t->name), why, STR_ARG(key));
}

/* What the request says of a type that is there. */
static enum status compare(struct putter *p, const struct typed_type *in,
                           const struct typed_type *old, struct err *err)
{
    size_t common = 0;

    for (size_t i = 0; i < in->props_n; i++) {
        const struct typed_decl *d = typed_decl_of(old, in->props[i].key);

        if (d && d->type != in->props[i].type) {
            return differs(in, "has another kind of value for", d->key, err);
        }
        if (!d && !p->put->can_add) {
            return differs(in, "has no property", in->props[i].key, err);
        }
        common += d ? 1 : 0;
    }
    for (size_t i = 0; common < old->props_n && !p->put->can_omit && i < old->props_n; i++) {
        if (!typed_decl_of(in, old->props[i].key)) {
            return differs(in, "also has property", old->props[i].key, err);
        }
    }
    return OK;
}

static enum status check_type(const struct typed_type *t, struct err *err)
{
    if (!t->name.n) {
        return err_set(err, ST_INVALID, "No type name is specified.");
    }
    for (size_t i = 0; i < t->props_n; i++) {
        if (t->props[i].type == PROP_GONE) {
            return err_set(err, ST_INVALID, "Property %.*s is UNKNOWN.", STR_ARG(t->props[i].key));
        }
    }
    return OK;
}

static enum status check_external(struct putter *p, const struct typed_type *t, struct err *err)
{
    struct q_type_external_row row;
    enum status st;

    if (!t->external_id.n) {
        return OK;
    }
    st = q_type_external(p->v.conn, p->v.arena, p->s.ns, t->kind, t->external_id, &row, err);
    if (!st) {
        return err_set(err, ST_EXISTS, "Given type already exists: external_id '%.*s' is taken",
                       STR_ARG(t->external_id));
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status insert_props(struct putter *p, const struct typed_type *t,
                                const struct typed_type *old, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < t->props_n; i++) {
        if (!old || !typed_decl_of(old, t->props[i].key)) {
            st = q_type_prop_insert(p->v.conn, t->uid, t->props[i].key, t->props[i].type, err);
        }
    }
    return st;
}

static enum status make(struct putter *p, struct typed_type *t, struct err *err)
{
    struct str version = t->version.p ? t->version : S(""), none = { NULL, 0 };
    enum status st = check_external(p, t, err);

    if (!st && t->has_base && t->base == 0) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "base_type deletion is not supported yet");
    }
    st = st ? st : typed_count(p, "types", 0, &t->id, err);
    st = st ? st : group_counter(p->g, S("type"), &t->uid, err);
    if (st) {
        return st;
    }
    t->id += TYPED_SYSTEM;
    t->uid += FIRST_TYPE;
    st = q_type_insert(p->v.conn, t->uid, p->s.ns, t->kind, t->id, t->name, version,
                       t->base ? 100 + t->base : 0, t->description,
                       t->external_id.n ? t->external_id : none, t->input, t->output, err);
    return st ? st : insert_props(p, t, NULL, err);
}

static enum status change(struct putter *p, struct typed_type *t, const struct typed_type *old,
                          struct err *err)
{
    enum status st = compare(p, t, old, err);

    t->id = old->id;
    t->uid = old->uid;
    if (!st && t->has_base && t->base == 0) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "base_type deletion is not supported yet");
    }
    if (!st && t->base && old->base && t->base != old->base) {
        st = err_set(err, ST_NOT_IMPLEMENTED, "base_type update is not supported yet");
    }
    if (!st && t->base && !old->base) {
        st = q_type_set_base(p->v.conn, t->uid, 100 + t->base, err);
    }
    if (!st && t->external_id.n && !str_eq(t->external_id, old->external_id)) {
        st = check_external(p, t, err);
        st = st ? st : q_type_set_external(p->v.conn, t->uid, t->external_id, err);
    }
    return st ? st : insert_props(p, t, old, err);
}

enum status typed_put_types(struct putter *p, struct err *err)
{
    enum status st = typed_known_changing(p->v.core->typed, p->g, err);

    p->has_type = false;
    for (size_t i = 0; !st && i < p->put->types_n; i++) {
        struct typed_type *t = &p->put->types[i], old;

        st = check_type(t, err);
        if (!st && p->s.ns == 0 && !t->version.n &&
            typed_other_type(t->kind, t->name, 0, &old) == OK) {
            st = typed_other_refused(err);
        }
        if (!st) {
            st = typed_type_named(&p->s, t->kind, t->name, t->version, &old, err);
            st = st == ST_NOT_FOUND ? make(p, t, err) : st ? st : change(p, t, &old, err);
        }
    }
    return st;
}
