/* tests/lib/search_dump.h - filters and orders as text, so that tests can compare trees.
 *   (and (< metric.loss 0.3) (= param.opt "adam"))      (order metric.loss desc, attr.run_id asc)
 * Thread rule: one thread at a time. */
#ifndef CAIRN_TESTS_LIB_SEARCH_DUMP_H
#define CAIRN_TESTS_LIB_SEARCH_DUMP_H

#include "base/buf.h"
#include "core/search/filter.h"

/* "true" for the filter that every row matches. */
void search_dump_filter(struct buf *out, const struct filter *f);
void search_dump_order(struct buf *out, const struct order *o);
void search_dump_key(struct buf *out, const struct search_key *key);
void search_dump_text(struct buf *out, struct str s);

#endif
