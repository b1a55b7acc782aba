/* core/search/token.h - page tokens: a place in an order, as text that clients carry around.
 * Thread rule: pure functions. */
#ifndef CAIRN_CORE_SEARCH_TOKEN_H
#define CAIRN_CORE_SEARCH_TOKEN_H

#include "core/search/filter.h"

/* What a token belongs to. */
struct token_origin {
    enum search_entity entity;
    uint64_t scope, filter, order; /* token_hash() */
};

/* A hash that is the same in every process. False when memory is out. */
bool token_hash(const struct str *parts, size_t n, uint64_t *out);
/* The token after the row with these values of o. */
enum status token_write(struct str *out, const struct token_origin *origin, const struct order *o,
                        const struct order_value *values, struct arena *a, struct err *err);
/* Reads values (o->n of them, texts in the arena). ST_INVALID with MLflow's texts for garbage, and
 * for a token of another search. */
enum status token_read(struct str token, const struct token_origin *origin, const struct order *o,
                       struct order_value *values, struct arena *a, struct err *err);

#endif
