/* core/search/filter.h - filters and orders of searches: text -> typed tree -> answer for one row.
 *
 *     struct filter *f;
 *     st = filter_parse(&f, SEARCH_RUNS, S("metrics.loss < 0.3 and params.opt = 'adam'"), arena, err);
 *     st = filter_match(f, &row_ops, row, &is_match, err);
 *
 * The language is MLflow's (docs/search.md), and beyond it OR, NOT, parentheses, IN on every key,
 * the regular expressions =~ !~ RLIKE (regex.h), and last(), min(), max(), best() of a metric.
 *
 * The tree: a filter_node is AND or OR over children, NOT over one child, or a test. A test
 * compares one search_key with constants that the parser has already converted to the key's type,
 * so an evaluator never looks at text of the query. Keys are listed once per filter (filter->keys)
 * with a dense index, so that a row source may resolve names to columns or slots once per search; a
 * columnar source walks the tree itself, with bitmaps: AND is intersection, OR union, NOT
 * complement.
 *
 * Meaning of a test: a row without the key never matches, not even != (only IS NULL does), and NOT
 * is the plain complement: NOT params.a = 'x' also finds the rows without params.a. NaN is unequal
 * to everything and neither below nor above anything. A dataset test holds if it holds for one of
 * the row's datasets.
 *
 * Bounds: FILTER_TEXT_MAX bytes, FILTER_DEPTH_MAX parentheses and NOTs, FILTER_TERMS_MAX tests,
 * FILTER_LIST_MAX list items over all lists, ORDER_MAX order clauses.
 * Ownership: everything lives in the arena given to the parser and borrows nothing from the text. A
 * filter holds scratch memory of its regular expressions, so one thread evaluates it at a time. */
#ifndef CAIRN_CORE_SEARCH_FILTER_H
#define CAIRN_CORE_SEARCH_FILTER_H

#include "base/arena.h"

enum {
    FILTER_TEXT_MAX = 65536,
    FILTER_DEPTH_MAX = 64,
    FILTER_TERMS_MAX = 1000,
    FILTER_LIST_MAX = 10000,
    ORDER_MAX = 32
};

enum search_entity {
    SEARCH_RUNS,
    SEARCH_EXPERIMENTS,
    SEARCH_LOGGED_MODELS,
    SEARCH_REGISTERED_MODELS,
    SEARCH_MODEL_VERSIONS
};

enum search_kind { SEARCH_ATTR, SEARCH_METRIC, SEARCH_PARAM, SEARCH_TAG, SEARCH_DATASET };

/* Attributes of all entities; a key of kind SEARCH_DATASET names one of the three of a dataset. */
enum search_attr {
    ATTR_NONE,
    /* text */
    ATTR_RUN_ID,
    ATTR_RUN_NAME,
    ATTR_STATUS,
    ATTR_USER_ID,
    ATTR_ARTIFACT_URI,
    ATTR_NAME,
    ATTR_MODEL_ID,
    ATTR_MODEL_TYPE,
    ATTR_SOURCE_RUN_ID,
    ATTR_DATASET_NAME,
    ATTR_DATASET_DIGEST,
    ATTR_DATASET_CONTEXT,
    ATTR_SOURCE_PATH,
    /* integers; times in milliseconds */
    ATTR_START_TIME,
    ATTR_END_TIME,
    ATTR_EXPERIMENT_ID,
    ATTR_CREATION_TIME,
    ATTR_LAST_UPDATE_TIME,
    ATTR_VERSION_NUMBER
};

/* Which value of a metric's series. AGG_BEST is AGG_MIN or AGG_MAX, as the row's goal says. */
enum search_aggregate { AGG_LAST, AGG_MIN, AGG_MAX, AGG_BEST };

enum search_type { SEARCH_TEXT, SEARCH_INTEGER, SEARCH_DOUBLE };

struct search_key {
    enum search_kind kind;
    enum search_type type;
    enum search_attr attr;     /* SEARCH_ATTR and SEARCH_DATASET */
    enum search_aggregate agg; /* SEARCH_METRIC */
    struct str name;           /* of the metric, param or tag */
    struct str dataset_name; /* order of logged models: only values on this dataset; NULL p = any */
    struct str dataset_digest; /* likewise */
    unsigned index;            /* in filter->keys or among the order's clauses */
};

enum search_cmp {
    CMP_EQ,
    CMP_NE,
    CMP_LT,
    CMP_LE,
    CMP_GT,
    CMP_GE,
    CMP_LIKE,
    CMP_NOT_LIKE,
    CMP_ILIKE,
    CMP_NOT_ILIKE,
    CMP_MATCH,     /* =~ and RLIKE */
    CMP_NOT_MATCH, /* !~ and NOT RLIKE */
    CMP_IN,
    CMP_NOT_IN,
    CMP_IS_NULL,
    CMP_IS_NOT_NULL
};

/* A number of the query: exact as an integer where it is one. d is set always. */
struct search_number {
    bool is_int;
    int64_t i;
    double d;
};

struct regex;

struct search_test {
    const struct search_key *key;
    enum search_cmp cmp;
    struct str text;               /* SEARCH_TEXT: value, or the pattern */
    struct search_number number;   /* SEARCH_INTEGER, SEARCH_DOUBLE */
    struct str *texts;             /* IN: sorted, each once */
    struct search_number *numbers; /* IN: in the order given */
    size_t list_n;
    struct regex *regex; /* CMP_MATCH, CMP_NOT_MATCH */
};

enum filter_op { FILTER_AND, FILTER_OR, FILTER_NOT, FILTER_TEST };

struct filter_node {
    enum filter_op op;
    struct filter_node *child; /* first child; a FILTER_NOT has one, AND and OR two or more */
    struct filter_node *next;  /* next child of the same parent */
    struct search_test *test;  /* FILTER_TEST */
};

struct filter {
    enum search_entity entity;
    struct filter_node *root; /* NULL: every row matches */
    struct search_key **keys; /* each key once */
    size_t keys_n;
    bool has_datasets, has_metrics, has_best;
};

/* ST_INVALID with MLflow's text where it has one. Empty text is the filter that every row
 * matches. */
enum status filter_parse(struct filter **out, enum search_entity entity, struct str text,
                         struct arena *a, struct err *err);

struct order_clause {
    struct search_key key;
    bool desc;
};

/* How rows are ordered: the clauses given, then those that make the order total (the last one is
 * the row's id, unique). */
struct order {
    enum search_entity entity;
    struct order_clause *clauses;
    size_t n;
};

/* Clauses of the form `key`, `key ASC`, `key DESC`. None: the entity's default order. For runs and
 * experiments; beyond MLflow a key may be last(), min(), max() or best() of a metric. */
enum status order_parse(struct order **out, enum search_entity entity, const struct str *clauses,
                        size_t n, struct arena *a, struct err *err);

/* Logged models are ordered by fields, not by text: an attribute or metrics.NAME, the latter
 * perhaps on one dataset. */
struct order_field {
    struct str field;
    bool ascending;
    struct str dataset_name, dataset_digest; /* NULL p or empty = any */
};
enum status order_parse_models(struct order **out, const struct order_field *fields, size_t n,
                               struct arena *a, struct err *err);

/* Where the best value of a metric lies: the tag cairn.goal.<metric> = min or max. */
enum search_goal { GOAL_NONE, GOAL_MIN, GOAL_MAX };
enum { GOAL_TAG_MAX = 512 }; /* bytes; a metric whose tag would be longer has no direction */
/* The value of such a tag: min or max in any case, blanks around it; else GOAL_NONE. */
enum search_goal search_goal_parse(struct str text);

struct search_dataset {
    struct str name, digest, context; /* NULL p = none */
};

/* One row to its reader. Texts that are handed out live at least until the next row. Each function
 * returns whether the row has the value. A slot is only called for keys of its sort, so a source
 * without datasets may leave `datasets` NULL. */
struct search_row_ops {
    /* Key type SEARCH_TEXT: attributes, params, tags. */
    bool (*text)(void *row, const struct search_key *key, struct str *out);
    /* Key type SEARCH_INTEGER. */
    bool (*integer)(void *row, const struct search_key *key, int64_t *out);
    /* The last, smallest or largest value of a metric (agg is never AGG_BEST). */
    bool (*metric)(void *row, const struct search_key *key, enum search_aggregate agg, double *out);
    /* (optional) The i-th of several values of a metric, for entities whose filters hold if any of
     * them does (logged models). Only for AGG_LAST. */
    bool (*metric_any)(void *row, const struct search_key *key, size_t i, double *out);
    /* (optional: GOAL_NONE) The direction of a metric for this row. */
    enum search_goal (*goal)(void *row, const struct search_key *key);
    /* All datasets of the row. Only called by filters that name datasets. */
    enum status (*datasets)(void *row, const struct search_dataset **out, size_t *n,
                            struct err *err);
};

/* Whether the row matches. Fails where best() has no direction (ST_INVALID) and where datasets
 * cannot be read. */
enum status filter_match(const struct filter *f, const struct search_row_ops *ops, void *row,
                         bool *is_match, struct err *err);

/* The value of one order clause for one row. */
struct order_value {
    enum { ORDER_VALUE, ORDER_NAN, ORDER_MISSING, ORDER_UNREAD } rank; /* UNREAD: the driver's */
    struct str text;
    int64_t i;
    double d;
};

/* Fills out[order->n]; texts are borrowed from the row. Fails like filter_match(). */
enum status order_extract(const struct order *o, const struct search_row_ops *ops, void *row,
                          struct order_value *out, struct err *err);
/* <0, 0, >0: where a comes before, with, after b. Values come first, then NaN, then rows without
 * the key, whatever the direction; text is in byte order. */
int order_compare(const struct order *o, const struct order_value *a, const struct order_value *b);

#endif
