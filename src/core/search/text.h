/* core/search/text.h - case folding and LIKE. Folding maps a character to its lower case where that
 * is one character (Unicode simple case mapping); so ILIKE and (?i) agree with each other and with
 * lower() of the databases on ASCII.
 * Thread rule: pure functions. All texts are valid UTF-8. */
#ifndef CAIRN_CORE_SEARCH_TEXT_H
#define CAIRN_CORE_SEARCH_TEXT_H

#include "base/str.h"

uint32_t fold_char(uint32_t cp);
/* Calls fn for each pair (upper, lower) of the table where one of both lies in first..last; for
 * character classes. */
void fold_each(uint32_t first, uint32_t last, void (*fn)(void *ctx, uint32_t upper, uint32_t lower),
               void *ctx);

/* SQL's LIKE over the whole text: % is any text, _ any one character; there is no escape. `fold`
 * compares folded (ILIKE). Time is at most text length x pattern length, linear for patterns with
 * one %. */
bool like_match(struct str text, struct str pattern, bool fold);

#endif
