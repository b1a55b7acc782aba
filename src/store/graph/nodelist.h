/* store/graph/nodelist.h - lists of nodes of declared types (core/typed/typed.h) as rows: by kind, type, context or URI, in an order,
 * from a place on, at most so many. The text of the query is made for the question; every value is a parameter.
 * Ownership: what a row points to is valid until the next one. Thread rule: that of the connection. */
#ifndef CAIRN_STORE_GRAPH_NODELIST_H
#define CAIRN_STORE_GRAPH_NODELIST_H

#include "base/arena.h"

struct nodefilter;
struct sql_conn;
struct sql_stmt;

enum nodelist_order { NODELIST_BY_ID, NODELIST_BY_CREATE, NODELIST_BY_UPDATE };

/* Nodes whose values lie elsewhere, as they are shown: a list asks about these, not about rows. Values that are a NaN, and numbers
 * beyond about 1e-58 to 1e53 in amount, match no condition; nor do texts with a NUL. */
struct nodelist_row;
struct nodelist_prop {
    int64_t uid;
    int vtype; /* enum prop_type; as custom properties */
    struct str key;
    int64_t i;
    double d;
    struct str s;
};
struct nodelist_shown {
    const struct nodelist_row *nodes; /* of the list's kind */
    size_t n;
    const struct nodelist_prop *props;
    size_t props_n;
};

struct nodelist {
    int64_t ns;
    int kind;     /* enum node_kind */
    int64_t type; /* type.id; 0 = any */
    int64_t ctx;  /* members of that node; 0 = any */
    /* Those of other protocols (types 1 to 7), where no type is named: also, or alone; at the other end of a filter's events. */
    bool others, only_others, others_beside;
    const struct nodelist_shown
        *shown;             /* NULL: rows; else which of these pass the filter, in no order */
    const struct str *uris; /* artifacts at one of these; n 0 = any */
    size_t uris_n;
    const int64_t *uids; /* only these, in no order and without a limit; n 0 = any */
    size_t uids_n;
    const struct nodefilter *filter; /* NULL = none */
    enum nodelist_order order;
    bool descending;
    /* From behind this place on: the value of the order (not BY_ID), and the number. */
    bool has_after;
    int64_t after_value, after_id;
    int64_t limit; /* 0 = all */
};

struct nodelist_row {
    int64_t uid, kind, id, type_uid, type;
    struct str type_name, name, uri, external_id; /* NULL p = none */
    int64_t flags, create_ms, update_ms;
};

struct nodelist_cursor {
    struct sql_stmt *stmt;
};
/* ST_END after the last row; close it always. */
enum status nodelist_open(struct nodelist_cursor *c, struct sql_conn *conn, struct arena *a,
                          const struct nodelist *in, struct err *err) ATTR_CHECK;
enum status nodelist_next(struct nodelist_cursor *c, struct nodelist_row *out, struct err *err);
void nodelist_close(struct nodelist_cursor *c);

#endif
