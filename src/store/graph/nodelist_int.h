/* store/graph/nodelist_int.h - the text of a query with its parameters, while nodelist.c and nodefilter.c make it. */
#ifndef CAIRN_STORE_GRAPH_NODELIST_INT_H
#define CAIRN_STORE_GRAPH_NODELIST_INT_H

#include "base/buf.h"
#include "store/graph/nodelist.h"
#include "store/sql/sql.h"

struct nodelist_builder {
    struct arena *a;
    struct buf b;
    struct sql_value in[SQL_IN_MAX];
    unsigned char types[SQL_IN_MAX];
    unsigned char n;
    bool postgres, full, nomem; /* full: more values than a query takes */
    bool others;                /* neighbours of other protocols count */
    const char *props;          /* the table of properties */
};

void nodelist_put(struct nodelist_builder *q, const char *text);
/* A parameter, and its place in the text. */
void nodelist_put_value(struct nodelist_builder *q, unsigned char type, struct sql_value v);
void nodelist_put_int(struct nodelist_builder *q, int64_t i);

/* The tables shown_node, shown_type and shown_prop, before the SELECT that asks them. */
void nodelist_put_shown(struct nodelist_builder *q, int kind, const struct nodelist_shown *shown);

/* Whether few nodes pass, and an index knows them: a number that a property has, or a URI. */
bool nodefilter_is_narrow(const struct nodefilter *f);
/* Joins of the properties that a filter mentions, to the node n. */
void nodefilter_put_joins(struct nodelist_builder *q, const struct nodefilter *f);
/* " AND " and the condition itself on n, its type t and those joins. */
void nodefilter_put_where(struct nodelist_builder *q, const struct nodefilter *f);

#endif
