/* store/graph/nodefilter.h - conditions on nodes of declared types: a tree over values of the node, of its properties and of what is beside
 * it (contexts, events, parents, members). nodelist makes SQL of it in which every value is a parameter.
 *
 * Every table that is mentioned is an inner join: a node whose property or neighbour is not there does not match, also not under OR.
 * One table always means one row of it. A tree is typed by its maker: what is compared fits together, arithmetic is of integers only, there
 * is little of it (NODEFILTER_SUMS_MAX), and the pattern of a LIKE is a text that does not end in a lone backslash.
 * Ownership: the maker's arena. Thread rule: immutable after its making. */
#ifndef CAIRN_STORE_GRAPH_NODEFILTER_H
#define CAIRN_STORE_GRAPH_NODEFILTER_H

#include "base/arena.h"

enum {
    NODEFILTER_PROPS_MAX = 16,     /* properties that a filter mentions */
    NODEFILTER_NEIGHBOURS_MAX = 8, /* neighbours */
    NODEFILTER_EXPRS_MAX =
        900,                /* of a tree, without the values of lists: engines bound its depth */
    NODEFILTER_SUMS_MAX = 8 /* operators of arithmetic: no number of an engine overflows */
};

/* a table; the node itself is none of them. */
enum nodefilter_table_kind {
    NODEFILTER_TYPED, /* a property of the type, one that its user invented: `name` */
    NODEFILTER_CUSTOM,
    NODEFILTER_CONTEXT, /* that the node is in */
    NODEFILTER_EVENT,   /* with the node at its other end */
    NODEFILTER_PARENT,
    NODEFILTER_CHILD,
    NODEFILTER_ARTIFACT, /* that the context holds */
    NODEFILTER_EXECUTION
};
struct nodefilter_table {
    enum nodefilter_table_kind kind;
    struct str name;
};

enum nodefilter_field {
    NODEFILTER_ID, /* of an event: of the node at its other end */
    NODEFILTER_TYPE_ID,
    NODEFILTER_TYPE,
    NODEFILTER_NAME,
    NODEFILTER_EXTERNAL_ID,
    NODEFILTER_URI,
    NODEFILTER_STATE, /* its number; NULL: it has none, which is unlike every state (NE, NOT_IN) */
    NODEFILTER_CREATE,
    NODEFILTER_UPDATE,
    NODEFILTER_EVENT_TYPE,
    NODEFILTER_EVENT_MS,
    NODEFILTER_INT_VALUE,
    NODEFILTER_DOUBLE_VALUE,
    NODEFILTER_TEXT_VALUE,
    NODEFILTER_BOOL_VALUE
};

enum nodefilter_op {
    NODEFILTER_NULL,
    NODEFILTER_TRUE,
    NODEFILTER_FALSE,
    NODEFILTER_INT,
    NODEFILTER_REAL,
    NODEFILTER_TEXT,
    NODEFILTER_FIELD,
    NODEFILTER_NEG, /* a */
    NODEFILTER_ADD, /* a, b */
    NODEFILTER_SUB,
    NODEFILTER_MUL,
    NODEFILTER_DIV, /* a double; NULL where b is 0 */
    NODEFILTER_EQ,
    NODEFILTER_NE,
    NODEFILTER_LT,
    NODEFILTER_LE,
    NODEFILTER_GT,
    NODEFILTER_GE,
    NODEFILTER_LIKE, /* without regard to the case of ASCII letters; a backslash takes a sign as it is */
    NODEFILTER_IN,      /* a, list (not empty) */
    NODEFILTER_BETWEEN, /* a, b, c */
    NODEFILTER_IS_NULL, /* a */
    NODEFILTER_IS_TRUE,
    NODEFILTER_IS_FALSE,
    NODEFILTER_NOT,
    NODEFILTER_AND,
    NODEFILTER_OR
};
enum nodefilter_type {
    NODEFILTER_OF_NULL,
    NODEFILTER_OF_INT,
    NODEFILTER_OF_REAL,
    NODEFILTER_OF_TEXT,
    NODEFILTER_OF_BOOL
};

struct nodefilter_expr {
    enum nodefilter_op op;
    enum nodefilter_type type;
    bool negated; /* LIKE, IN, BETWEEN, IS_...: NOT before the word */
    int64_t i;
    double d;
    struct str s;
    int table; /* of a field: its place in `tables`, -1 the node itself */
    enum nodefilter_field field;
    struct nodefilter_expr *a, *b, *c;
    struct nodefilter_expr **list;
    size_t list_n;
};

struct nodefilter {
    struct nodefilter_expr *root; /* a BOOL */
    struct nodefilter_table tables[NODEFILTER_PROPS_MAX + NODEFILTER_NEIGHBOURS_MAX];
    size_t tables_n;
};

/* The name, or the name of the type, that a node must have for the filter to be true. NULL p: there is none. */
struct str nodefilter_name(const struct nodefilter *f);
struct str nodefilter_type_name(const struct nodefilter *f);

/* Of NODEFILTER_TYPED and _CUSTOM. */
static inline bool nodefilter_is_prop(const struct nodefilter_table *t)
{
    return t->kind == NODEFILTER_TYPED || t->kind == NODEFILTER_CUSTOM;
}

#endif
