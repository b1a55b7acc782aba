/* core/node.c - the graph's write side: one function per kind of fact. */
#include "core/node.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <stdio.h>

enum status group_node_add(struct group *g, const struct node_new *n, int64_t *uid, struct err *err)
{
    struct sql_conn *c = group_conn(g);
    int64_t id;
    char counter[48];
    enum status st;

    *uid = 0;
    snprintf(counter, sizeof(counter), "node:0:%d", (int)n->kind);
    st = group_counter(g, str_cstr(counter), &id, err);
    if (st) {
        return st;
    }
    *uid = group_new_uid(g);
    st = q_ident_insert(c, 0, n->scheme, n->ident, *uid, err);
    if (st) {
        return st;
    }
    return q_node_insert(c, *uid, 0, n->kind, id, n->type, n->name, n->uri, n->digest,
                         group_now_ms(g), err);
}

enum status group_node_find(struct group *g, enum ident_scheme scheme, struct str ident,
                            int64_t *uid, struct err *err)
{
    struct q_ident_find_row row = { 0 };
    enum status st = q_ident_find(group_conn(g), NULL, 0, scheme, ident, &row, err);

    *uid = row.uid;
    return st;
}

enum status group_edge_add(struct group *g, int64_t src, int64_t dst, enum edge_role role,
                           bool *added, struct err *err)
{
    struct sql_conn *c = group_conn(g);
    struct str no_path = { NULL, 0 };
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_edge_add(c, src, dst, role, no_path, now, &n, err);

    *added = n > 0;
    if (st || n == 0) {
        return st;
    }
    return q_edge_log_append(c, 1, src, dst, role, no_path, now, now, err);
}

enum status group_member_put(struct group *g, int64_t ctx, int64_t node, enum member_role role,
                             bool *added, struct err *err)
{
    struct sql_conn *c = group_conn(g);
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_member_add(c, ctx, node, role, &n, err);

    *added = n > 0;
    if (st || n == 0) {
        return st;
    }
    return q_member_log_append(c, 1, ctx, node, role, now, now, err);
}

enum status group_member_add(struct group *g, int64_t ctx, int64_t node, enum member_role role,
                             struct err *err)
{
    bool added;

    return group_member_put(g, ctx, node, role, &added, err);
}

enum status group_parent_add(struct group *g, int64_t child, int64_t parent, enum parent_role role,
                             struct err *err)
{
    struct sql_conn *c = group_conn(g);
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_parent_add(c, child, parent, role, &n, err);

    if (st || n == 0) {
        return st;
    }
    return q_parent_log_append(c, 1, child, parent, role, now, now, err);
}

enum status node_texts(struct view *v, int64_t uid, enum prop_scope scope, struct key_value **out,
                       size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_prop_texts_row row;
    size_t cap = 0;
    enum status st = q_prop_texts_open(v->conn, &stmt, uid, scope, err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_prop_texts_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.key) || !view_keep(v, &row.value) ||
            !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = (struct key_value){ row.key, row.value };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}
