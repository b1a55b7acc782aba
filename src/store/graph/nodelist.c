/* store/graph/nodelist.c - the text of a list's query, and its rows. */
#include "store/graph/nodelist.h"
#include "store/graph/nodefilter.h"
#include "store/graph/nodelist_int.h"

enum { TEXT_MAX = 512 * 1024, COLUMNS = 12 };
_Static_assert(SQL_IN_MAX <= 255, "the number of a parameter is a byte");

void nodelist_put(struct nodelist_builder *q, const char *text)
{
    buf_put_str(&q->b, str_cstr(text));
}

void nodelist_put_value(struct nodelist_builder *q, unsigned char type, struct sql_value v)
{
    if (q->n == SQL_IN_MAX) {
        q->full = true;
        return;
    }
    q->in[q->n] = v;
    q->types[q->n++] = type;
    buf_printf(&q->b, "%c%u", q->postgres ? '$' : '?', q->n);
}

void nodelist_put_int(struct nodelist_builder *q, int64_t i)
{
    nodelist_put_value(q, SQL_INT, (struct sql_value){ .i = i });
}

/* Nodes of a name: there is at most one of each type, and an index knows it. */
static void put_named(struct nodelist_builder *q, const struct nodelist *in, struct str name)
{
    nodelist_put(q, " AND n.uid IN (SELECT i.uid FROM type y JOIN ident i ON i.ns = ");
    nodelist_put_int(q, in->ns);
    nodelist_put(q, " AND i.scheme = 11 AND i.key = ");
    nodelist_put(q, q->postgres ? "convert_to(y.id || '/' || " : "CAST(y.id || '/' || ");
    nodelist_put_value(q, SQL_TEXT, (struct sql_value){ .s = name });
    nodelist_put(q, q->postgres ? ", 'UTF8')" : " AS blob)");
    nodelist_put(q, " WHERE y.shown > 0 AND y.kind = ");
    nodelist_put_int(q, in->kind);
    nodelist_put(q, ")");
}

/* What the rows would say is checked by who shows the nodes. */
static void where_shown(struct nodelist_builder *q, const struct nodelist *in)
{
    nodefilter_put_joins(q, in->filter);
    nodelist_put(q, " WHERE n.uid <> 0");
    nodefilter_put_where(q, in->filter);
}

static void where(struct nodelist_builder *q, const struct nodelist *in)
{
    struct str name = in->filter ? nodefilter_name(in->filter) : (struct str){ NULL, 0 };
    const char *value = in->order == NODELIST_BY_CREATE ? "n.create_ms" : "n.update_ms";
    const char *beyond = in->descending ? " < " : " > ";
    /* Something else names few nodes: no engine should begin with all of a namespace. */
    bool few =
        in->uids_n || in->uris_n || name.p || (in->filter && nodefilter_is_narrow(in->filter));

    if (in->filter) {
        nodefilter_put_joins(q, in->filter);
    }
    nodelist_put(q, in->ctx ? " JOIN member m ON m.node = n.uid WHERE m.role = 6 AND m.ctx = "
                            : " WHERE ");
    if (in->ctx) {
        nodelist_put_int(q, in->ctx);
        nodelist_put(q, " AND ");
    }
    nodelist_put(q, few ? "+n.ns = " : "n.ns = ");
    nodelist_put_int(q, in->ns);
    nodelist_put(q, few ? " AND +n.kind = " : " AND n.kind = ");
    nodelist_put_int(q, in->kind);
    if (in->type) {
        nodelist_put(q, few ? " AND +n.type_id = " : " AND n.type_id = ");
        nodelist_put_int(q, in->type);
    } else {
        nodelist_put(q, in->only_others ? " AND n.type_id < 8"
                        : in->others    ? " AND n.type_id NOT BETWEEN 8 AND 100"
                                        : " AND n.type_id > 100");
    }
    if (in->uris_n) {
        nodelist_put(q, " AND n.uri <> '' AND n.uri ");
        nodelist_put(q, q->postgres ? "= ANY (" : "IN (SELECT value FROM json_each(");
        nodelist_put_value(q, SQL_TEXT_LIST,
                           (struct sql_value){ .list = in->uris, .list_n = in->uris_n });
        nodelist_put(q, q->postgres ? ")" : "))");
    }
    if (in->uids_n) {
        nodelist_put(q, " AND n.uid ");
        nodelist_put(q, q->postgres ? "= ANY (" : "IN (SELECT value FROM json_each(");
        nodelist_put_value(q, SQL_INT_LIST,
                           (struct sql_value){ .list = in->uids, .list_n = in->uids_n });
        nodelist_put(q, q->postgres ? ")" : "))");
    }
    if (name.p) {
        put_named(q, in, name);
    }
    if (in->filter) {
        nodefilter_put_where(q, in->filter);
    }
    if (in->uids_n) {
        return;
    }
    if (in->has_after && in->order != NODELIST_BY_ID) {
        nodelist_put(q, " AND (");
        nodelist_put(q, value);
        nodelist_put(q, ", n.id)");
        nodelist_put(q, beyond);
        nodelist_put(q, "(");
        nodelist_put_int(q, in->after_value);
        nodelist_put(q, ", ");
        nodelist_put_int(q, in->after_id);
        nodelist_put(q, ")");
    } else if (in->has_after) {
        nodelist_put(q, " AND n.id");
        nodelist_put(q, beyond);
        nodelist_put_int(q, in->after_id);
    }
    nodelist_put(q, " ORDER BY ");
    if (in->order != NODELIST_BY_ID) {
        nodelist_put(q, value);
        nodelist_put(q, in->descending ? " DESC, " : ", ");
    }
    nodelist_put(q, in->descending ? "n.id DESC" : "n.id");
    if (in->limit) {
        nodelist_put(q, " LIMIT ");
        nodelist_put_int(q, in->limit);
    }
}

enum status nodelist_open(struct nodelist_cursor *c, struct sql_conn *conn, struct arena *a,
                          const struct nodelist *in, struct err *err)
{
    static const unsigned char out[COLUMNS] = { SQL_INT,
                                                SQL_INT,
                                                SQL_INT,
                                                SQL_INT,
                                                SQL_INT,
                                                SQL_TEXT,
                                                SQL_TEXT | SQL_MAYBE,
                                                SQL_TEXT | SQL_MAYBE,
                                                SQL_INT,
                                                SQL_INT,
                                                SQL_INT,
                                                SQL_BLOB | SQL_MAYBE };
    static const char *const names[COLUMNS] = { "uid",   "kind",      "id",        "type_id",
                                                "shown", "type_name", "name",      "uri",
                                                "flags", "create_ms", "update_ms", "external_id" };
    /* The statement keeps them. */
    struct sql_query *q = ARENA_NEW(a, struct sql_query);
    struct nodelist_builder *w = ARENA_NEW(a, struct nodelist_builder);
    struct str text;
    enum status st;

    c->stmt = NULL;
    if (!q || !w) {
        return err_nomem(err);
    }
    w->a = a;
    w->postgres = sql_conn_engine(conn) == SQL_POSTGRES;
    w->others = in->others_beside;
    w->props = in->shown ? "shown_prop" : "prop";
    buf_init(&w->b, TEXT_MAX);
    if (in->shown) {
        nodelist_put_shown(w, in->kind, in->shown);
    }
    nodelist_put(
        w,
        "SELECT n.uid, n.kind, n.id, n.type_id, t.shown, t.name, n.name, n.uri, n.flags, n.create_ms, "
        "n.update_ms, (SELECT i.key FROM ident i WHERE i.uid = n.uid AND i.scheme = 11 + n.kind) "
        "FROM ");
    nodelist_put(w, in->shown ? "shown_node n JOIN shown_type t ON t.uid = n.uid"
                              : "node n JOIN type t ON t.id = n.type_id");
    if (in->shown) {
        where_shown(w, in);
    } else {
        where(w, in);
    }
    buf_put(&w->b, "", 1);
    st = buf_status(&w->b, "query", err);
    if (!st && (w->full || w->nomem)) {
        st = w->nomem
                 ? err_nomem(err)
                 : err_set(err, ST_INVALID,
                           "Invalid `filter_query`: it has more values than a query takes; write "
                           "those of one field as one list: IN (...)");
    }
    text = st ? (struct str){ NULL, 0 } : arena_str(a, buf_str(&w->b));
    buf_release(&w->b);
    if (st || !text.p) {
        return st ? st : err_nomem(err);
    }
    *q = (struct sql_query){ .name = "nodelist",
                             .text = { text.p, text.p },
                             .in = w->types,
                             .in_n = w->n,
                             .out = out,
                             .out_names = names,
                             .out_n = COLUMNS,
                             .kind = SQL_MANY };
    return sql_rows(conn, q, w->in, &c->stmt, err);
}

enum status nodelist_next(struct nodelist_cursor *c, struct nodelist_row *out, struct err *err)
{
    struct sql_value v[COLUMNS];
    enum status st = sql_next(c->stmt, v, err);

    if (!st) {
        *out = (struct nodelist_row){ .uid = v[0].i,
                                      .kind = v[1].i,
                                      .id = v[2].i,
                                      .type_uid = v[3].i,
                                      .type = v[4].i,
                                      .type_name = v[5].s,
                                      .name = v[6].s,
                                      .uri = v[7].s,
                                      .flags = v[8].i,
                                      .create_ms = v[9].i,
                                      .update_ms = v[10].i,
                                      .external_id = v[11].s };
    }
    return st;
}

void nodelist_close(struct nodelist_cursor *c)
{
    sql_close(c->stmt);
    c->stmt = NULL;
}
