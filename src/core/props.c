/* core/props.c - typed properties: rows of prop, their current view, and what is appended beside them. */
#include "core/props.h"
#include "base/num.h"
#include "core/registry.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

enum status node_props(struct view *v, int64_t uid, struct props *out, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_prop_all_row row;
    size_t cap = 0;
    enum status st = q_prop_all_open(v->conn, &stmt, uid, err);

    *out = (struct props){ 0 };
    while (!st && (st = q_prop_all_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.key) || !view_keep(v, &row.s) ||
            !arena_grow(v->arena, (void **)&out->p, out->n, &cap, sizeof(*out->p))) {
            st = err_nomem(err);
            break;
        }
        out->p[out->n++] = (struct prop){ .scope = (enum prop_scope)row.scope,
                                          .type = (enum prop_type)row.vtype,
                                          .key = row.key,
                                          .i = row.i_null ? 0 : row.i,
                                          .d = row.d_null ? 0 : row.d,
                                          .s = row.s };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

const struct prop *props_find(const struct props *p, enum prop_scope scope, struct str key)
{
    for (size_t i = 0; p && i < p->n; i++) {
        if (p->p[i].scope == scope && str_eq(p->p[i].key, key)) {
            return &p->p[i];
        }
    }
    return NULL;
}

bool prop_same(const struct prop *a, const struct prop *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case PROP_INT:
    case PROP_BOOL: return a->i == b->i;
    case PROP_DOUBLE: return num_double_bits(a->d) == num_double_bits(b->d);
    case PROP_TEXT:
    case PROP_BYTES:
    case PROP_JSON: return str_eq(a->s, b->s);
    case PROP_PROTO: return str_eq(a->s, b->s) && str_eq(a->b, b->b);
    case PROP_GONE: break;
    }
    return true;
}

struct str prop_text(struct arena *a, const struct prop *p)
{
    char digits[NUM_DOUBLE_MAX];

    switch (p->type) {
    case PROP_INT: return arena_printf(a, "%" PRId64, p->i);
    case PROP_BOOL: return p->i ? S("true") : S("false");
    case PROP_DOUBLE: return arena_str(a, str_of(digits, num_print_double(p->d, digits)));
    case PROP_TEXT:
    case PROP_BYTES:
    case PROP_PROTO:
    case PROP_JSON: return p->s.p ? p->s : S("");
    case PROP_GONE: break;
    }
    return S("");
}

/* p->type PROP_GONE: it was taken away. */
static enum status append(struct group *g, int64_t uid, const struct prop *p,
                          const struct prop_history *to, struct err *err)
{
    int64_t now = group_now_ms(g);
    bool has_i = p->type == PROP_INT || p->type == PROP_BOOL;
    struct str value = { NULL, 0 };

    if (!to->model) {
        return q_prop_log_append(
            group_conn(g), uid, p->scope, p->key, p->type, has_i ? &p->i : NULL,
            p->type == PROP_DOUBLE ? &p->d : NULL,
            p->type == PROP_TEXT || p->type == PROP_JSON ? p->s : (struct str){ NULL, 0 }, to->who,
            now, err);
    }
    if (p->type != PROP_GONE) {
        value = prop_text(group_arena(g), p);
        if (!value.p) {
            return err_nomem(err);
        }
    }
    return q_registry_log_append(group_conn(g), to->model, to->version, REGISTRY_PROPERTY, p->key,
                                 value, to->who, now, err);
}

enum status group_prop_set(struct group *g, int64_t uid, const struct prop *p,
                           const struct props *old, const struct prop_history *to, struct err *err)
{
    const struct prop *before = props_find(old, p->scope, p->key);
    bool has_i = p->type == PROP_INT || p->type == PROP_BOOL;
    bool has_s = p->type == PROP_TEXT || p->type == PROP_JSON;
    enum status st;

    if (before && prop_same(before, p)) {
        return OK;
    }
    st = q_prop_set(group_conn(g), uid, p->scope, p->key, p->type, has_i ? &p->i : NULL,
                    p->type == PROP_DOUBLE ? &p->d : NULL,
                    has_s ? (p->s.p ? p->s : S("")) : (struct str){ NULL, 0 }, err);
    return st ? st : append(g, uid, p, to, err);
}

enum status group_prop_drop(struct group *g, int64_t uid, enum prop_scope scope, struct str key,
                            const struct props *old, const struct prop_history *to, struct err *err)
{
    const struct prop gone = { .scope = scope, .type = PROP_GONE, .key = key };
    int64_t n;
    enum status st;

    if (!props_find(old, scope, key)) {
        return OK;
    }
    st = q_prop_delete(group_conn(g), uid, scope, key, &n, err);
    return st ? st : append(g, uid, &gone, to, err);
}
