/* core/search/driver.h - one page of a search over rows of any source.
 *
 *     struct searcher *s;
 *     st = searcher_new(&s, &(struct search_request){ .entity = SEARCH_EXPERIMENTS, .filter = filter,
 *         .order_by = order_by, .order_by_n = n, .scope = scope, .page = page }, v->arena, err);
 *     for each row of the scope, in any order:
 *         st = searcher_offer(s, &row_ops, row, handle, err);
 *     st = searcher_end(s, &handles, &handles_n, next_token, err);
 *     read the rows of the handles, in that order
 *
 * Only the best page.max rows are kept, in a bounded heap, so the cost is one evaluation per row
 * and log(page.max) comparisons for a row that gets into the page; nothing is allocated for rows
 * that do not.
 *
 * Page tokens say where the last row of the page stands in the order, so no row comes twice or is
 * lost unless its own order key changed in between, and a deep page costs what the first one costs.
 * A token is base64url of: version, entity, a hash each of scope, filter and order, the last row's
 * order values, CRC-32C. It survives restarts. A damaged one, or one of another search, is refused.
 *
 * Bounds: SEARCHER_TEXT_MAX bytes of text order keys in a page, SEARCHER_MS_MAX milliseconds for
 * all rows (a filter of many regular expressions over many rows), SEARCH_TOKEN_MAX characters of
 * token.
 * Ownership: the searcher belongs to the arena and is gone with it; what it allocates itself is
 * freed with the arena, or earlier by searcher_end(). Texts of the request are borrowed until then.
 * Thread rule: one thread at a time. */
#ifndef CAIRN_CORE_SEARCH_DRIVER_H
#define CAIRN_CORE_SEARCH_DRIVER_H

#include "core/core.h"
#include "core/search/filter.h"

enum { SEARCHER_TEXT_MAX = 64 << 20, SEARCHER_MS_MAX = 30000, SEARCH_TOKEN_MAX = 1 << 20 };

struct searcher;

struct search_request {
    enum search_entity entity;
    struct str filter;
    const struct str *order_by; /* runs, experiments */
    size_t order_by_n;
    const struct order_field *fields; /* logged models */
    size_t fields_n;
    /* What is searched (experiment ids, view type), in any form that is equal for equal searches:
     * the next page must come from the same. */
    struct str scope;
    struct page page; /* max 0 gives an empty page */
    bool count_all;   /* searcher_total() is asked for */
};

/* Parses filter and order and reads the token. ST_INVALID for whatever is wrong with them. */
enum status searcher_new(struct searcher **out, const struct search_request *in, struct arena *a,
                         struct err *err);
const struct filter *searcher_filter(const struct searcher *s);
const struct order *searcher_order(const struct searcher *s);
/* Whether filter or order ask for the direction of a metric. */
bool searcher_has_best(const struct searcher *s);
/* Takes the row into account. handle is what searcher_end() gives back for it. */
enum status searcher_offer(struct searcher *s, const struct search_row_ops *ops, void *row,
                           uint64_t handle, struct err *err);
/* Rows that matched so far, on all pages. Rows of columns may have been left out where they could
 * not get into the page, unless the request said count_all. */
uint64_t searcher_total(const struct searcher *s);
/* For rows that are offered in the order of the search: the page is full and another one follows it, so no further row counts. */
bool searcher_is_over(const struct searcher *s);
/* The order values of the last row of the page before, one for each clause; NULL for the first page. */
const struct order_value *searcher_after(const struct searcher *s);
/* ST_INVALID when the search takes longer than SEARCHER_MS_MAX; for the reading after searcher_end(), too. */
enum status searcher_check_time(const struct searcher *s, struct err *err);
/* The handles of the page in order, and the token of the next page: p is NULL if this is the last.
 * Both live in the arena. */
enum status searcher_end(struct searcher *s, uint64_t **handles, size_t *n, struct str *next_token,
                         struct err *err);

#endif
