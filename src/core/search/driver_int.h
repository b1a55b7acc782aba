/* core/search/driver_int.h - the heap of the best rows, shared by rows that come one by one
 * (driver.c) and those of columns (column_top.c). Values of the latter are read when they are first
 * compared. */
#ifndef CAIRN_CORE_SEARCH_DRIVER_INT_H
#define CAIRN_CORE_SEARCH_DRIVER_INT_H

#include "core/search/driver.h"
#include "core/search/token.h"

struct column_reader;
struct top;

/* Where a row's unread values are; reader NULL: there are none. */
struct row_ref {
    struct column_reader *reader;
    uint32_t segment, slot;
};

struct slot {
    uint64_t handle;
    char *text; /* copies of the values' texts; those of columns stay there */
    size_t text_cap;
    struct row_ref ref;
};

struct searcher {
    struct filter *filter;
    struct order *order;
    struct arena *arena;
    struct token_origin origin;
    size_t max;
    bool count_all;
    struct order_value *after; /* the last row of the page before; NULL = first page */
    struct order_value *row;   /* of the row at hand */
    struct row_ref row_ref;
    struct slot *slots;
    struct order_value *values; /* order->n for each slot */
    uint32_t *heap;
    size_t n, cap;
    size_t text_bytes;
    uint64_t total; /* rows that matched */
    uint64_t found; /* of them, after `after` */
    uint64_t offered;
    int64_t start_ms;
    enum status failed; /* a value could not be read while rows were compared */
    struct err failed_err;
    struct top *top; /* scratch of column_top.c */
};

/* ST_INVALID when the search takes too long. */
/* Whether the row at hand comes after the page before. */
bool searcher_is_after(struct searcher *s);
/* The page is full (perhaps because it is empty): only rows before its last one get in. */
static inline bool searcher_is_full(const struct searcher *s)
{
    return s->n == s->max;
}
/* The first order value of the page's last row; NULL while the page is not full. */
const struct order_value *searcher_last(const struct searcher *s);
/* Puts the row at hand into the page if it belongs there. */
enum status searcher_keep(struct searcher *s, uint64_t handle, struct err *err);
/* Reads the value of clause i. */
enum status column_read_value(struct column_reader *r, uint32_t segment, uint32_t slot, size_t i,
                              struct order_value *out, struct err *err);

#endif
