/* core/search/column_int.h - what the files of the columnar search share: a plan's compiled filter,
 * and the evaluation of one segment. */
#ifndef CAIRN_CORE_SEARCH_COLUMN_INT_H
#define CAIRN_CORE_SEARCH_COLUMN_INT_H

#include "core/search/column_eval.h"
#include "core/search/driver_int.h"

#define COLUMN_NONE UINT32_MAX

/* The wants that hold a search_key: `value`, but of best() the minimum, the maximum and the tag
 * that says which of them. */
struct column_keys {
    const struct search_key *key;
    uint32_t value, max, goal;
};

/* lo..hi, both included; integers for keys of type SEARCH_INTEGER. */
struct column_range {
    union column_number {
        double d;
        int64_t i;
    } lo, hi;
};

/* A test. Of numbers: the row has the key, and its value is in one of the ranges (rising, apart from
 * each other) or, negated, in none. */
struct column_term {
    const struct search_test *test;
    struct column_keys keys;
    struct column_range *ranges;
    size_t ranges_n;
    bool is_negated;
    /* LIKE: what every match begins with and contains; `before_end` is the first text behind those
     * with the prefix (p NULL: there is no prefix). */
    struct str prefix, before_end, literal;
    struct column_memo *memo; /* answers of slow tests for texts of earlier segments; or NULL */
};

enum { COLUMN_MEMO_N = 4096, COLUMN_MEMO_TERMS = 8 };
struct column_memo {
    uint64_t hash; /* 0 = free */
    struct str text;
    bool holds;
};

struct column_node {
    enum filter_op op;
    struct column_node **children; /* in the order of evaluation */
    size_t n;
    const struct column_term *term;
    unsigned cost;
    bool has_best; /* may fail: stays behind what stood before it */
};

/* One table under one plan. Lives until searcher_end(). */
struct column_reader {
    struct searcher *searcher;
    const struct column_plan *plan;
    struct column_source *source;
};

struct column_eval {
    struct column_reader *reader;
    uint32_t segment;
    unsigned ticks; /* tests of texts since the clock was read */
    struct err *err;
    uint8_t set[COLUMN_ROWS]; /* scratch: an answer per code */
};

static inline uint32_t column_bits_count(const uint64_t *bits)
{
    uint32_t n = 0;

    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        n += (uint32_t)__builtin_popcountll(bits[w]);
    }
    return n;
}
/* Takes the lowest row out of word w; for while (word) loops. */
static inline uint32_t column_bits_take(size_t w, uint64_t *word)
{
    uint32_t slot = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(*word);

    *word &= *word - 1;
    return slot;
}
static inline const struct column_zone *column_zone_at(const struct column_eval *e, uint32_t want)
{
    return &column_table_cell(e->reader->source->table, e->segment, want)->zone;
}
static inline enum status column_at(struct column_eval *e, uint32_t want, const struct column **out)
{
    return column_table_get(e->reader->source->table, e->segment, want, out, e->err);
}

/* The rows of e->segment that exist, are of the view type, are not newer, and match the filter. */
enum status column_eval_segment(struct column_eval *e, uint64_t *bits);
/* The rows of `of` whose best() is the minimum, and those where it is the maximum. ST_INVALID when
 * one has the metric and no direction. */
enum status column_goals(struct column_eval *e, const struct column_keys *k, const uint64_t *of,
                         uint64_t *min_bits, uint64_t *max_bits);

#endif
