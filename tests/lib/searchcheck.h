/* tests/lib/searchcheck.h - random searches, through columns and row by row: the answers must be equal.
 * Constants of filters are values that the store has, so that tests on either side of them are met.
 * Ownership: nothing is kept. Thread rule: the thread of core_view(). */
#ifndef CAIRN_TESTS_LIB_SEARCHCHECK_H
#define CAIRN_TESTS_LIB_SEARCHCHECK_H

#include "core/core_open.h"
#include "core/run_search.h"

/* n searches over some of these experiments, page by page: runs, their order, tokens, counts, errors. A difference fails the test and
 * prints the search. */
void search_check(struct core *core, const int64_t *experiments, size_t experiments_n,
                  uint64_t seed, size_t n);
/* One search, all pages of `page` runs. */
void search_compare(struct core *core, const struct run_search *in, size_t page);

#endif
