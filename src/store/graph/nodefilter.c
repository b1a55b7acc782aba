/* store/graph/nodefilter.c - a tree of conditions as SQL. Properties are one row or none, so they are joined plainly; neighbours may be many,
 * so they are looked for with EXISTS, and a node is in a list once. */
#include "store/graph/nodefilter.h"
#include "store/graph/nodelist_int.h"

static void put_expr(struct nodelist_builder *q, const struct nodefilter *f,
                     const struct nodefilter_expr *e);

/* ---- fields ---------------------------------------------------------------------------------------------------------------- */

static const char *const prop_values[][2] = {
    { "1", "i" }, { "2", "d" }, { "3", "s" }, { "5", "i <> 0" }
};

static void put_external(struct nodelist_builder *q, const char *of)
{
    buf_printf(&q->b,
               "%s(SELECT i.key FROM ident i WHERE i.uid = %s.uid AND i.scheme = 11 + %s.kind)%s",
               q->postgres ? "(convert_from(" : "CAST(", of, of,
               q->postgres ? ", 'UTF8') COLLATE \"C\")" : " AS text)");
}

static void put_type_name(struct nodelist_builder *q, const struct nodefilter_expr *e)
{
    if (e->table < 0) {
        nodelist_put(q, "t.name");
    } else {
        buf_printf(&q->b, "(SELECT y.name FROM type y WHERE y.id = x%d.type_id)", e->table);
    }
}

static void put_field(struct nodelist_builder *q, const struct nodefilter_expr *e)
{
    char of[16] = "n";
    struct str name;
    const char *column = NULL;

    if (e->table >= 0) {
        name = arena_printf(q->a, "x%d", e->table);
        if (!name.p || name.n >= sizeof(of)) {
            q->nomem = true;
            return;
        }
        memcpy(of, name.p, name.n);
        of[name.n] = '\0';
    }
    switch (e->field) {
    case NODEFILTER_ID: column = "id"; break;
    case NODEFILTER_NAME: column = "name"; break;
    case NODEFILTER_URI: column = "uri"; break;
    case NODEFILTER_CREATE: column = "create_ms"; break;
    case NODEFILTER_UPDATE: column = "update_ms"; break;
    case NODEFILTER_TYPE_ID: nodelist_put(q, "t.shown"); return;
    case NODEFILTER_TYPE: put_type_name(q, e); return;
    case NODEFILTER_EXTERNAL_ID: put_external(q, of); return;
    case NODEFILTER_STATE: buf_printf(&q->b, "(NULLIF(%s.flags, 0) - 1)", of); return;
    case NODEFILTER_EVENT_TYPE: buf_printf(&q->b, "e%d.role", e->table); return;
    case NODEFILTER_EVENT_MS: buf_printf(&q->b, "e%d.ms", e->table); return;
    case NODEFILTER_INT_VALUE:
    case NODEFILTER_DOUBLE_VALUE:
    case NODEFILTER_TEXT_VALUE:
    case NODEFILTER_BOOL_VALUE:
        buf_printf(&q->b, "(CASE WHEN p%d.vtype = %s THEN p%d.%s END)", e->table,
                   prop_values[e->field - NODEFILTER_INT_VALUE][0], e->table,
                   prop_values[e->field - NODEFILTER_INT_VALUE][1]);
        return;
    }
    buf_printf(&q->b, "%s.%s", of, column);
}

/* ---- lists ----------------------------------------------------------------------------------------------------------------- */

static bool all_of(const struct nodefilter_expr *e, enum nodefilter_op op)
{
    for (size_t i = 0; i < e->list_n; i++) {
        if (e->list[i]->op != op && e->list[i]->op != NODEFILTER_NULL) {
            return false;
        }
    }
    return true;
}

/* Values of one kind are one parameter. */
static void put_list(struct nodelist_builder *q, const struct nodefilter_expr *e, bool text)
{
    struct str *texts = text ? ARENA_ARRAY(q->a, struct str, e->list_n) : NULL;
    int64_t *ints = text ? NULL : ARENA_ARRAY(q->a, int64_t, e->list_n);
    size_t n = 0;

    if (!texts && !ints) {
        q->nomem = true;
        return;
    }
    for (size_t i = 0; i < e->list_n; i++) {
        if (e->list[i]->op == NODEFILTER_NULL) {
            continue;
        }
        if (texts) {
            texts[n++] = e->list[i]->s;
        } else {
            ints[n++] = e->list[i]->i;
        }
    }
    nodelist_put(q, q->postgres ? " = ANY (" : " IN (SELECT value FROM json_each(");
    nodelist_put_value(
        q, text ? SQL_TEXT_LIST : SQL_INT_LIST,
        (struct sql_value){ .list = text ? (const void *)texts : (const void *)ints, .list_n = n });
    nodelist_put(q, q->postgres ? ")" : "))");
}

static void put_each(struct nodelist_builder *q, const struct nodefilter *f,
                     const struct nodefilter_expr *e)
{
    const char *between = " IN (";

    for (size_t i = 0; i < e->list_n; i++) {
        if (e->list[i]->op != NODEFILTER_NULL) {
            nodelist_put(q, between);
            put_expr(q, f, e->list[i]);
            between = ", ";
        }
    }
    nodelist_put(q, ")");
}

/* A node without a state is unlike every state. */
static void put_unlike(struct nodelist_builder *q, const struct nodefilter *f,
                       const struct nodefilter_expr *e, bool unlike)
{
    unlike = unlike && e->op == NODEFILTER_FIELD && e->field == NODEFILTER_STATE;
    nodelist_put(q, unlike ? "COALESCE(" : "");
    put_expr(q, f, e);
    nodelist_put(q, unlike ? ", -1)" : "");
}

static void put_in(struct nodelist_builder *q, const struct nodefilter *f,
                   const struct nodefilter_expr *e)
{
    size_t nulls = 0;

    for (size_t i = 0; i < e->list_n; i++) {
        nulls += e->list[i]->op == NODEFILTER_NULL ? 1 : 0;
    }
    nodelist_put(q, e->negated ? "(NOT (" : "((");
    if (nulls < e->list_n) {
        put_unlike(q, f, e->a, e->negated);
        if (all_of(e, NODEFILTER_INT) || all_of(e, NODEFILTER_TEXT)) {
            put_list(q, e, all_of(e, NODEFILTER_TEXT));
        } else {
            put_each(q, f, e);
        }
    }
    nodelist_put(q, nulls == 0 ? "))" : nulls < e->list_n ? " OR NULL))" : "NULL))");
}

/* ---- trees ----------------------------------------------------------------------------------------------------------------- */

static void put_two(struct nodelist_builder *q, const struct nodefilter *f,
                    const struct nodefilter_expr *e, const char *op)
{
    nodelist_put(q, "(");
    put_unlike(q, f, e->a, e->op == NODEFILTER_NE);
    nodelist_put(q, op);
    put_unlike(q, f, e->b, e->op == NODEFILTER_NE);
    nodelist_put(q, ")");
}

/* A chain stands side by side: parsers of engines do not nest as deep as it is long. */
static void put_chain(struct nodelist_builder *q, const struct nodefilter *f,
                      const struct nodefilter_expr *e)
{
    if (e->a->op == e->op) {
        put_chain(q, f, e->a);
    } else {
        put_expr(q, f, e->a);
    }
    nodelist_put(q, e->op == NODEFILTER_AND ? " AND " : " OR ");
    put_expr(q, f, e->b);
}

static void put_junction(struct nodelist_builder *q, const struct nodefilter *f,
                         const struct nodefilter_expr *e)
{
    nodelist_put(q, "(");
    put_chain(q, f, e);
    nodelist_put(q, ")");
}

static void put_sum(struct nodelist_builder *q, const struct nodefilter *f,
                    const struct nodefilter_expr *e, const char *op)
{
    bool ratio = e->op == NODEFILTER_DIV;

    nodelist_put(q, "(CAST(");
    put_expr(q, f, e->a);
    nodelist_put(q, ratio ? " AS double precision)" : " AS numeric)");
    nodelist_put(q, op);
    nodelist_put(q, ratio ? "NULLIF(" : "CAST(");
    put_expr(q, f, e->b);
    nodelist_put(q, ratio ? ", 0))" : " AS numeric))");
}

/* (FRONT a BACK) */
static void put_one(struct nodelist_builder *q, const struct nodefilter *f,
                    const struct nodefilter_expr *e, const char *front, const char *back)
{
    nodelist_put(q, front);
    put_expr(q, f, e->a);
    nodelist_put(q, back);
}

static void put_like(struct nodelist_builder *q, const struct nodefilter *f,
                     const struct nodefilter_expr *e)
{
    const char *fold = q->postgres ? "lower((" : "(";
    const char *end = q->postgres ? ") COLLATE \"C\")" : ")";

    nodelist_put(q, "(");
    nodelist_put(q, fold);
    put_expr(q, f, e->a);
    nodelist_put(q, end);
    nodelist_put(q, e->negated ? " NOT LIKE " : " LIKE ");
    nodelist_put(q, fold);
    put_expr(q, f, e->b);
    nodelist_put(q, end);
    nodelist_put(q, " ESCAPE '\\')");
}

static void put_text(struct nodelist_builder *q, struct str s)
{
    nodelist_put(q, q->postgres ? "(" : "");
    nodelist_put_value(q, SQL_TEXT, (struct sql_value){ .s = s });
    nodelist_put(q, q->postgres ? " COLLATE \"C\")" : "");
}

static void put_between(struct nodelist_builder *q, const struct nodefilter *f,
                        const struct nodefilter_expr *e)
{
    put_one(q, f, e, "(", e->negated ? " NOT BETWEEN " : " BETWEEN ");
    put_expr(q, f, e->b);
    nodelist_put(q, " AND ");
    put_expr(q, f, e->c);
    nodelist_put(q, ")");
}

static void put_expr(struct nodelist_builder *q, const struct nodefilter *f,
                     const struct nodefilter_expr *e)
{
    switch (e->op) {
    case NODEFILTER_NULL: nodelist_put(q, "NULL"); break;
    case NODEFILTER_TRUE: nodelist_put(q, "TRUE"); break;
    case NODEFILTER_FALSE: nodelist_put(q, "FALSE"); break;
    case NODEFILTER_INT: nodelist_put_int(q, e->i); break;
    case NODEFILTER_REAL: nodelist_put_value(q, SQL_REAL, (struct sql_value){ .d = e->d }); break;
    case NODEFILTER_TEXT: put_text(q, e->s); break;
    case NODEFILTER_FIELD: put_field(q, e); break;
    case NODEFILTER_NEG: put_one(q, f, e, "(- CAST(", " AS numeric))"); break;
    case NODEFILTER_ADD: put_sum(q, f, e, " + "); break;
    case NODEFILTER_SUB: put_sum(q, f, e, " - "); break;
    case NODEFILTER_MUL: put_sum(q, f, e, " * "); break;
    case NODEFILTER_DIV: put_sum(q, f, e, " / "); break;
    case NODEFILTER_EQ: put_two(q, f, e, " = "); break;
    case NODEFILTER_NE: put_two(q, f, e, " <> "); break;
    case NODEFILTER_LT: put_two(q, f, e, " < "); break;
    case NODEFILTER_LE: put_two(q, f, e, " <= "); break;
    case NODEFILTER_GT: put_two(q, f, e, " > "); break;
    case NODEFILTER_GE: put_two(q, f, e, " >= "); break;
    case NODEFILTER_AND:
    case NODEFILTER_OR: put_junction(q, f, e); break;
    case NODEFILTER_NOT: put_one(q, f, e, "(NOT ", ")"); break;
    case NODEFILTER_LIKE: put_like(q, f, e); break;
    case NODEFILTER_IN: put_in(q, f, e); break;
    case NODEFILTER_BETWEEN: put_between(q, f, e); break;
    case NODEFILTER_IS_NULL:
        put_one(q, f, e, "(", e->negated ? " IS NOT NULL)" : " IS NULL)");
        break;
    case NODEFILTER_IS_TRUE:
        put_one(q, f, e, "(", e->negated ? " IS NOT TRUE)" : " IS TRUE)");
        break;
    case NODEFILTER_IS_FALSE:
        put_one(q, f, e, "(", e->negated ? " IS NOT FALSE)" : " IS FALSE)");
        break;
    }
}

/* ---- tables ---------------------------------------------------------------------------------------------------------------- */

/* The number that a property must have for the tree to be true: those have an index. NULL: there is none. */
static const struct nodefilter_expr *needs_int(const struct nodefilter_expr *e, size_t table)
{
    const struct nodefilter_expr *found;

    if (e->op == NODEFILTER_AND) {
        found = needs_int(e->a, table);
        return found ? found : needs_int(e->b, table);
    }
    return e->op == NODEFILTER_EQ && e->a->op == NODEFILTER_FIELD && e->a->table >= 0 &&
                   (size_t)e->a->table == table && e->a->field == NODEFILTER_INT_VALUE &&
                   e->b->op == NODEFILTER_INT
               ? e->b
               : NULL;
}

/* The text that a field of the node must have for the tree to be true. NULL: there is none. */
static const struct nodefilter_expr *needs_text(const struct nodefilter_expr *e,
                                                enum nodefilter_field field)
{
    const struct nodefilter_expr *found;

    if (e->op == NODEFILTER_AND) {
        found = needs_text(e->a, field);
        return found ? found : needs_text(e->b, field);
    }
    return e->op == NODEFILTER_EQ && e->a->op == NODEFILTER_FIELD && e->a->table < 0 &&
                   e->a->field == field && e->b->op == NODEFILTER_TEXT && e->b->s.n > 0
               ? e->b
               : NULL;
}

struct str nodefilter_name(const struct nodefilter *f)
{
    const struct nodefilter_expr *e = needs_text(f->root, NODEFILTER_NAME);

    return e ? e->s : (struct str){ NULL, 0 };
}

struct str nodefilter_type_name(const struct nodefilter *f)
{
    const struct nodefilter_expr *e = needs_text(f->root, NODEFILTER_TYPE);

    return e ? e->s : (struct str){ NULL, 0 };
}

/* Whether the tree is true only for artifacts at some URI that is not empty: those have an index. */
static bool needs_uri(const struct nodefilter *f)
{
    return needs_text(f->root, NODEFILTER_URI) != NULL;
}

bool nodefilter_is_narrow(const struct nodefilter *f)
{
    for (size_t i = 0; i < f->tables_n; i++) {
        if (nodefilter_is_prop(&f->tables[i]) && needs_int(f->root, i)) {
            return true;
        }
    }
    return needs_uri(f);
}

void nodefilter_put_joins(struct nodelist_builder *q, const struct nodefilter *f)
{
    for (size_t i = 0; i < f->tables_n; i++) {
        const struct nodefilter_expr *value;

        if (!nodefilter_is_prop(&f->tables[i])) {
            continue;
        }
        buf_printf(&q->b, " JOIN %s p%zu ON p%zu.uid = n.uid AND p%zu.scope = %d AND p%zu.key = ",
                   q->props, i, i, i, f->tables[i].kind == NODEFILTER_CUSTOM, i);
        nodelist_put_value(q, SQL_TEXT, (struct sql_value){ .s = f->tables[i].name });
        value = needs_int(f->root, i);
        if (value) {
            buf_printf(&q->b, " AND p%zu.i = ", i);
            nodelist_put_int(q, value->i);
        }
    }
}

static void put_neighbour(struct nodelist_builder *q, enum nodefilter_table_kind kind, size_t i)
{
    switch (kind) {
    case NODEFILTER_CONTEXT:
        buf_printf(&q->b, "member m%zu JOIN node x%zu ON x%zu.uid = m%zu.ctx", i, i, i, i);
        break;
    case NODEFILTER_EVENT:
        buf_printf(
            &q->b,
            "edge e%zu JOIN node x%zu ON x%zu.uid = CASE WHEN e%zu.src = n.uid THEN e%zu.dst "
            "ELSE e%zu.src END",
            i, i, i, i, i, i);
        break;
    case NODEFILTER_PARENT:
        buf_printf(&q->b, "parent q%zu JOIN node x%zu ON x%zu.uid = q%zu.parent", i, i, i, i);
        break;
    case NODEFILTER_CHILD:
        buf_printf(&q->b, "parent q%zu JOIN node x%zu ON x%zu.uid = q%zu.child", i, i, i, i);
        break;
    case NODEFILTER_TYPED:
    case NODEFILTER_CUSTOM:
    case NODEFILTER_ARTIFACT:
    case NODEFILTER_EXECUTION:
        buf_printf(&q->b, "member m%zu JOIN node x%zu ON x%zu.uid = m%zu.node AND x%zu.kind = %d",
                   i, i, i, i, i, kind == NODEFILTER_ARTIFACT ? 1 : 2);
        break;
    }
    buf_printf(&q->b,
               q->others && kind == NODEFILTER_EVENT ? " AND x%zu.type_id NOT BETWEEN 8 AND 100"
                                                     : " AND x%zu.type_id > 100",
               i);
}

static void put_neighbour_of(struct nodelist_builder *q, enum nodefilter_table_kind kind, size_t i)
{
    switch (kind) {
    case NODEFILTER_CONTEXT:
        buf_printf(&q->b, "m%zu.node = n.uid AND m%zu.role = 6 AND ", i, i);
        break;
    case NODEFILTER_EVENT:
        buf_printf(&q->b,
                   "(e%zu.src = n.uid OR e%zu.dst = n.uid) AND e%zu.role BETWEEN 1 AND 7 AND ", i,
                   i, i);
        break;
    case NODEFILTER_PARENT:
        buf_printf(&q->b, "q%zu.child = n.uid AND q%zu.role = 3 AND ", i, i);
        break;
    case NODEFILTER_CHILD:
        buf_printf(&q->b, "q%zu.parent = n.uid AND q%zu.role = 3 AND ", i, i);
        break;
    case NODEFILTER_TYPED:
    case NODEFILTER_CUSTOM:
    case NODEFILTER_ARTIFACT:
    case NODEFILTER_EXECUTION:
        buf_printf(&q->b, "m%zu.ctx = n.uid AND m%zu.role = 6 AND ", i, i);
        break;
    }
}

void nodefilter_put_where(struct nodelist_builder *q, const struct nodefilter *f)
{
    const char *between = " AND EXISTS (SELECT 1 FROM ";
    bool any = false;

    if (needs_uri(f)) {
        nodelist_put(q, " AND n.uri <> ''");
    }
    for (size_t i = 0; i < f->tables_n; i++) {
        if (!nodefilter_is_prop(&f->tables[i])) {
            nodelist_put(q, between);
            put_neighbour(q, f->tables[i].kind, i);
            between = ", ";
            any = true;
        }
    }
    nodelist_put(q, any ? " WHERE " : " AND ");
    for (size_t i = 0; i < f->tables_n; i++) {
        if (!nodefilter_is_prop(&f->tables[i])) {
            put_neighbour_of(q, f->tables[i].kind, i);
        }
    }
    put_expr(q, f, f->root);
    nodelist_put(q, any ? ")" : "");
}
