/* store/graph/nodeshown.c - nodes that have no rows of their own values, as tables of one query: their values are lists, which are cut into rows
 * again. A number is an odd whole number and powers of two, so that it is exactly itself: not every engine reads decimals so. */
#include "store/graph/nodelist_int.h"
#include <math.h>

enum {
    NODE_INTS = 7,
    NODE_TEXTS = 3,
    PROP_TEXTS = 2,
    SHIFT_MAX = 62,
    DOWN = 4, /* shifts to smaller numbers, */
    UP = 2,   /* to larger ones */
    PROP_INTS = 4 + DOWN + UP,
    OF_INT = 1,
    OF_DOUBLE = 2,
    OF_BOOL = 5 /* enum prop_type, as nodefilter.c has them */
};

struct lists {
    int64_t *ints, *prop_ints;
    struct str *texts, *prop_texts;
    size_t props_n;
};

/* Present texts begin with a sign, so that none is none. */
static struct str present(struct nodelist_builder *q, struct str s)
{
    struct str out = { "", 0 };

    if (!s.p || str_find_byte(s, '\0', 0) != SIZE_MAX) {
        return out;
    }
    out = arena_printf(q->a, "=%.*s", STR_ARG(s));
    q->nomem = q->nomem || !out.p;
    return out;
}

/* d = m / 2^down... * 2^up...; false where it is not, or no number. */
static bool parts_of(double d, int64_t *m, int64_t shifts[DOWN + UP])
{
    int e, from, to, left;
    double part = frexp(d, &e);

    if (!isfinite(d)) {
        return false;
    }
    *m = (int64_t)ldexp(part, 53);
    e -= 53;
    while (*m && *m % 2 == 0) {
        *m /= 2;
        e++;
    }
    left = *m == 0 ? 0 : e < 0 ? -e : e;
    from = e < 0 ? 0 : DOWN;
    to = e < 0 ? DOWN : DOWN + UP;
    for (int i = 0; i < DOWN + UP; i++) {
        shifts[i] = i < from || i >= to ? 0 : MIN_OF(left, (int)SHIFT_MAX);
        left -= (int)shifts[i];
    }
    return left == 0;
}

static void add_prop(struct nodelist_builder *q, struct lists *l, const struct nodelist_prop *p)
{
    int64_t *ints = l->prop_ints + l->props_n * PROP_INTS;
    struct str *texts = l->prop_texts + l->props_n * PROP_TEXTS;

    ints[0] = p->uid;
    ints[1] = p->vtype;
    ints[2] = p->vtype == OF_INT || p->vtype == OF_BOOL ? p->i : 0;
    if (p->vtype == OF_DOUBLE && !parts_of(p->d, &ints[3], &ints[4])) {
        return;
    }
    texts[0] = p->key;
    texts[1] = present(q, p->s.p ? p->s : S(""));
    if (!texts[1].n || str_find_byte(p->key, '\0', 0) != SIZE_MAX) {
        return;
    }
    l->props_n++;
}

static bool lists_of(struct nodelist_builder *q, const struct nodelist_shown *shown,
                     struct lists *l)
{
    *l = (struct lists){
        .ints = ARENA_ARRAY(q->a, int64_t, shown->n * NODE_INTS + 1),
        .texts = ARENA_ARRAY(q->a, struct str, shown->n * NODE_TEXTS + 1),
        .prop_ints = ARENA_ARRAY(q->a, int64_t, (shown->props_n + 1) * PROP_INTS),
        .prop_texts = ARENA_ARRAY(q->a, struct str, (shown->props_n + 1) * PROP_TEXTS),
    };
    if (!l->ints || !l->texts || !l->prop_ints || !l->prop_texts) {
        return false;
    }
    for (size_t i = 0; i < shown->n; i++) {
        const struct nodelist_row *n = &shown->nodes[i];
        const int64_t ints[NODE_INTS] = { n->uid,   n->id,        n->type_uid, n->type,
                                          n->flags, n->create_ms, n->update_ms };

        memcpy(l->ints + i * NODE_INTS, ints, sizeof(ints));
        l->texts[i * NODE_TEXTS] = n->type_name;
        l->texts[i * NODE_TEXTS + 1] = present(q, n->name);
        l->texts[i * NODE_TEXTS + 2] = present(q, n->uri);
    }
    for (size_t i = 0; i < shown->props_n; i++) {
        add_prop(q, l, &shown->props[i]);
    }
    return !q->nomem;
}

/* NAME(k, v): the values of a list and their places. */
static void put_list(struct nodelist_builder *q, const char *name, unsigned char type,
                     const void *values, size_t n)
{
    buf_printf(&q->b, "%s(k, v) AS (SELECT %s", name,
               q->postgres ? "o - 1, v FROM unnest(" : "key, value FROM json_each(");
    nodelist_put_value(q, type, (struct sql_value){ .list = values, .list_n = n });
    nodelist_put(q, q->postgres ? ") WITH ORDINALITY AS l(v, o)), " : ")), ");
}

/* (SELECT its rows, each of so many values one after another) */
static void put_rows(struct nodelist_builder *q, const char *list, const char *const *columns,
                     int n)
{
    buf_printf(&q->b, "(SELECT k / %d AS row_at", n);
    for (int i = 0; i < n; i++) {
        buf_printf(&q->b, ", MAX(CASE k %% %d WHEN %d THEN v END) AS %s", n, i, columns[i]);
    }
    buf_printf(&q->b, " FROM %s GROUP BY k / %d)", list, n);
}

void nodelist_put_shown(struct nodelist_builder *q, int kind, const struct nodelist_shown *shown)
{
    static const char *const node_ints[] = { "uid",   "id",        "type_id",  "shown",
                                             "flags", "create_ms", "update_ms" };
    static const char *const node_texts[] = { "type_name", "name", "uri" };
    static const char *const prop_ints[] = { "uid", "vtype", "i",  "m",  "d1",
                                             "d2",  "d3",    "d4", "u1", "u2" };
    static const char *const prop_texts[] = { "key", "s" };
    struct lists l;

    if (!lists_of(q, shown, &l)) {
        q->nomem = true;
        return;
    }
    nodelist_put(q, "WITH ");
    put_list(q, "ni", SQL_INT_LIST, l.ints, shown->n * NODE_INTS);
    put_list(q, "nt", SQL_TEXT_LIST, l.texts, shown->n * NODE_TEXTS);
    put_list(q, "pi", SQL_INT_LIST, l.prop_ints, l.props_n * PROP_INTS);
    put_list(q, "pt", SQL_TEXT_LIST, l.prop_texts, l.props_n * PROP_TEXTS);
    buf_printf(&q->b,
               "shown_node AS (SELECT a.*, %d AS kind, b.type_name, CASE WHEN b.name <> '' THEN "
               "substr(b.name, 2) END AS name, CASE WHEN b.uri <> '' THEN substr(b.uri, 2) END AS "
               "uri FROM ",
               kind);
    put_rows(q, "ni", node_ints, NODE_INTS);
    nodelist_put(q, " a JOIN ");
    put_rows(q, "nt", node_texts, NODE_TEXTS);
    nodelist_put(q, " b ON b.row_at = a.row_at), shown_type AS (SELECT uid, shown, type_name AS "
                    "name FROM shown_node), shown_prop AS (SELECT a.uid, 1 AS scope, b.key, "
                    "a.vtype, a.i, substr(b.s, 2) AS s, CAST(a.m AS double precision)");
    for (int i = 4; i < PROP_INTS; i++) {
        buf_printf(&q->b, " %c CAST(CAST(1 AS bigint) << CAST(a.%s AS int) AS double precision)",
                   i < 4 + DOWN ? '/' : '*', prop_ints[i]);
    }
    nodelist_put(q, " AS d FROM ");
    put_rows(q, "pi", prop_ints, PROP_INTS);
    nodelist_put(q, " a JOIN ");
    put_rows(q, "pt", prop_texts, PROP_TEXTS);
    nodelist_put(q, " b ON b.row_at = a.row_at) ");
}
