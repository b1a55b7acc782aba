/* core/search/search_int.h - what the files of the parser share: tokens, keys, texts of errors. */
#ifndef CAIRN_CORE_SEARCH_SEARCH_INT_H
#define CAIRN_CORE_SEARCH_SEARCH_INT_H

#include "base/buf.h"
#include "core/search/filter.h"

enum token_type {
    TOKEN_END,
    TOKEN_WORD,   /* bare or quoted name, perhaps with dots: metrics.`a b`, "run name", AND */
    TOKEN_STRING, /* '...' with its quotes */
    TOKEN_NUMBER,
    TOKEN_OPERATOR, /* a run of < > = ~ ! */
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
    TOKEN_BAD /* a character that begins nothing, or an unclosed quote */
};

struct token {
    enum token_type type;
    struct str text;
    size_t at, end; /* bytes of the source */
};

/* The token that begins at or after byte `at`. */
struct token lex_next(struct str source, size_t at);
/* A word that is one of the language's own, in any case. */
bool token_is_word(const struct token *t, const char *word);
bool token_is_keyword(const struct token *t);
/* Double-quoted as a whole, so that it may be a value. */
bool token_is_quoted(const struct token *t);

/* Reads `entity_type.key` or `attribute`; key is filled except index. for_order chooses the set of
 * valid attributes. */
enum status key_parse(enum search_entity entity, struct str identifier, bool for_order,
                      struct search_key *key, struct arena *a, struct err *err);
/* The inside of last(), min(), max(), best(): a metric, whose prefix may be left out. */
enum status key_parse_metric(enum search_entity entity, struct str identifier,
                             enum search_aggregate agg, struct search_key *key, struct arena *a,
                             struct err *err);
/* The function names of aggregates; false if `name` is none. */
bool aggregate_parse(struct str name, enum search_aggregate *out);
bool search_key_same(const struct search_key *a, const struct search_key *b);
/* "metric", "parameter", ... as MLflow says them. */
const char *search_kind_name(enum search_kind kind);

/* Whether a value that the row has meets the test; i is used by keys of type SEARCH_INTEGER, d by
 * SEARCH_DOUBLE. */
bool test_text_holds(const struct search_test *t, struct str v);
bool test_number_holds(const struct search_test *t, double d, int64_t i);
/* One clause of order_compare(). */
int order_compare_value(const struct order_clause *o, const struct order_value *a,
                        const struct order_value *b);
/* ST_INVALID for a run that has the metric but no direction. */
enum status search_goal_missing(struct str metric, struct err *err);

/* One list of texts for errors, cut so that it fits a message: 'a', 'b'. */
struct text_list {
    char p[1024];
    size_t n;
};
void text_list_add(struct text_list *l, struct str s, const char *quote);

/* Python's repr() of a text, cut with "..." where it does not fit. */
void text_repr(struct str s, char *out, size_t cap);

#endif
