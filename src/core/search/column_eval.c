/* core/search/column_eval.c - one segment and a compiled filter -> a bitmap of the rows that match.
 * Every node is given the rows that are still open and leaves those of them for which it is true, as
 * the row-by-row evaluation goes on or stops for each row; so tests that can fail see the same rows
 * here as there. */
#include "base/hash.h"
#include "core/search/column_int.h"
#include "core/search/search_int.h"

#include <math.h>

enum {
    FEW_ROWS = 48,         /* fewer are looked up one by one */
    MANY_RANGES = 24,      /* more are searched for each row */
    TICKS_PER_CLOCK = 256, /* tests of texts */
    SET_BYTES = COLUMN_WORDS * sizeof(uint64_t)
};

static bool is_empty(const uint64_t *bits)
{
    uint64_t any = 0;

    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        any |= bits[w];
    }
    return any == 0;
}

static void keep_only(uint64_t *bits, const uint64_t *mask)
{
    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        bits[w] &= mask[w];
    }
}

static void add(uint64_t *bits, const uint64_t *more)
{
    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        bits[w] |= more[w];
    }
}

static void take_away(uint64_t *bits, const uint64_t *gone)
{
    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        bits[w] &= ~gone[w];
    }
}

/* ---- zones ------------------------------------------------------------------------------------------- */

static bool zone_meets(const struct column_zone *z, const struct column_range *r, bool is_int)
{
    int64_t lo = is_int ? r->lo.i : column_rank_double(r->lo.d);
    int64_t hi = is_int ? r->hi.i : column_rank_double(r->hi.d);

    return lo <= z->max && hi >= z->min;
}

static bool zone_has_text(const struct column_zone *z, struct str s)
{
    int64_t rank = column_rank_text(s);

    return rank >= z->min && rank <= z->max;
}

/* rows: those of the segment; the column may be older and shorter. */
static bool zone_excludes_text(const struct column_zone *z, uint32_t rows,
                               const struct search_test *test)
{
    if (test->cmp == CMP_IS_NULL) {
        return z->present_n == rows;
    }
    if (z->present_n == 0) {
        return true;
    }
    if (test->cmp == CMP_EQ) {
        return !zone_has_text(z, test->text);
    }
    if (test->cmp == CMP_IN && test->list_n <= MANY_RANGES) {
        for (size_t i = 0; i < test->list_n; i++) {
            if (zone_has_text(z, test->texts[i])) {
                return false;
            }
        }
        return true;
    }
    return false;
}

/* Whether the zone alone says that no row matches. */
static bool zone_excludes(const struct column_eval *e, const struct column_term *t)
{
    bool is_int = t->test->key->type == SEARCH_INTEGER;
    const struct column_zone *z;

    if (t->keys.value == COLUMN_NONE || t->keys.max != COLUMN_NONE) {
        return false; /* data sets, best() */
    }
    z = column_zone_at(e, t->keys.value);
    if (t->test->key->type == SEARCH_TEXT) {
        return zone_excludes_text(z, e->reader->source->table->rows[e->segment], t->test);
    }
    if (z->present_n == 0 || t->is_negated) {
        return z->present_n == 0;
    }
    for (size_t i = 0; i < t->ranges_n && i < MANY_RANGES; i++) {
        if (z->nan_n < z->present_n && zone_meets(z, &t->ranges[i], is_int)) {
            return false;
        }
    }
    return t->ranges_n <= MANY_RANGES;
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

static bool number_in(const struct column_term *t, double d, int64_t i)
{
    bool is_int = t->test->key->type == SEARCH_INTEGER;
    size_t low = 0, high = t->ranges_n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (is_int ? t->ranges[mid].lo.i <= i : t->ranges[mid].lo.d <= d) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low > 0 && (is_int ? i <= t->ranges[low - 1].hi.i : d <= t->ranges[low - 1].hi.d);
}

/* Each row of the mask by itself. */
static void numbers_by_row(const struct column_term *t, const struct column *c,
                           const uint64_t *mask, uint64_t *bits)
{
    bool is_int = t->test->key->type == SEARCH_INTEGER;

    memset(bits, 0, SET_BYTES);
    for (size_t w = 0; w < COLUMN_WORDS; w++) {
        for (uint64_t left = mask[w]; left;) {
            uint32_t slot = column_bits_take(w, &left);
            int64_t i = 0;
            double d = 0;

            if ((is_int ? column_integer(c, slot, &i) : column_double(c, slot, &d)) &&
                number_in(t, d, i) != t->is_negated) {
                bits[w] |= 1ULL << (slot % 64);
            }
        }
    }
}

static void test_numbers(const struct column_term *t, const struct column *c, const uint64_t *mask,
                         uint64_t *bits)
{
    bool is_int = t->test->key->type == SEARCH_INTEGER;
    uint64_t one[COLUMN_WORDS];

    if (t->ranges_n > MANY_RANGES || column_bits_count(mask) < FEW_ROWS) {
        numbers_by_row(t, c, mask, bits);
        return;
    }
    memset(bits, 0, SET_BYTES);
    for (size_t i = 0; i < t->ranges_n; i++) {
        const struct column_range *r = &t->ranges[i];

        if (!zone_meets(column_zone(c), r, is_int)) {
            continue;
        }
        if (is_int) {
            column_range_integer(c, r->lo.i, r->hi.i, one);
        } else {
            column_range_double(c, r->lo.d, r->hi.d, one);
        }
        add(bits, one);
    }
    if (t->is_negated) {
        column_present(c, one);
        take_away(one, bits);
        memcpy(bits, one, SET_BYTES);
    }
    keep_only(bits, mask);
}

/* ---- texts ------------------------------------------------------------------------------------------- */

enum { SET_NO, SET_TEST, SET_LACKS }; /* e->set: needs no answer; a test; is no match of LIKE */

/* LIKE: marks the texts without the pattern's prefix or its longest literal. The texts lie one
 * behind the other, so one search goes through all of them. */
static void narrow_like(struct column_eval *e, const struct column_term *t, const struct column *c)
{
    uint32_t n = column_codes_n(c), code = 0, last = n;
    struct str text = column_code_text(c, 0);
    const char *at, *end;

    if (t->prefix.n) {
        code = column_code_at_least(c, t->prefix);
        last = column_code_at_least(c, t->before_end);
    }
    for (uint32_t i = 0; i < n; i++) {
        if ((i < code || i >= last) && e->set[i]) e->set[i] = SET_LACKS;
    }
    if (t->literal.n == 0 || t->prefix.n == t->literal.n || code >= last) {
        return;
    }
    at = column_code_text(c, code).p;
    text = column_code_text(c, last - 1);
    end = text.p + text.n;
    while (code < last) {
        const char *hit = memmem(at, (size_t)(end - at), t->literal.p, t->literal.n);

        for (; code < last; code++) {
            text = column_code_text(c, code);
            if (hit && hit < text.p + text.n) break;
            if (e->set[code]) e->set[code] = SET_LACKS;
        }
        if (code < last && hit + t->literal.n <= text.p + text.n) {
            code++; /* stays marked for its test */
            at = text.p + text.n;
        } else if (code < last) {
            at = hit + 1; /* the hit runs over the end of its text */
        }
    }
}

static bool code_holds(const struct column_term *t, struct str text)
{
    struct column_memo *m;
    uint64_t hash;

    if (!t->memo) {
        return test_text_holds(t->test, text);
    }
    hash = hash_bytes(text.p, text.n) | 1;
    m = &t->memo[hash / 2 % COLUMN_MEMO_N];
    if (m->hash != hash || !str_eq(m->text, text)) {
        *m = (struct column_memo){ hash, text, test_text_holds(t->test, text) };
    }
    return m->holds;
}

/* Fills e->set with the answer for each distinct text. Only those that a row of the mask has are
 * tested when the mask has fewer rows than there are texts. */
static enum status test_codes(struct column_eval *e, const struct column_term *t,
                              const struct column *c, const uint64_t *mask)
{
    uint32_t n = column_codes_n(c);
    bool by_row = column_bits_count(mask) < n;
    enum status st = OK;

    memset(e->set, by_row ? SET_NO : SET_TEST, n);
    for (size_t w = 0; by_row && w < COLUMN_WORDS; w++) {
        for (uint64_t left = mask[w]; left;) {
            uint32_t code;

            if (column_code(c, column_bits_take(w, &left), &code)) e->set[code] = SET_TEST;
        }
    }
    if (n && (t->test->cmp == CMP_LIKE || t->test->cmp == CMP_NOT_LIKE)) narrow_like(e, t, c);
    for (uint32_t code = 0; code < n && !st; code++) {
        if (e->set[code] != SET_TEST) {
            e->set[code] = e->set[code] == SET_LACKS && t->test->cmp == CMP_NOT_LIKE;
            continue;
        }
        e->set[code] = code_holds(t, column_code_text(c, code));
        if (++e->ticks % TICKS_PER_CLOCK == 0) {
            st = searcher_check_time(e->reader->searcher, e->err);
        }
    }
    return st;
}

/* IN: the codes of the list. Both are sorted: a short list is looked up, a long one merged. */
static void list_codes(struct column_eval *e, const struct search_test *test,
                       const struct column *c)
{
    uint32_t n = column_codes_n(c), code = 0;
    size_t steps = 32U - (uint32_t)__builtin_clz(n | 1); /* of one look-up */
    bool merge = test->list_n * steps > test->list_n + n;

    memset(e->set, 0, n);
    for (size_t i = 0; i < test->list_n && code < n; i++) {
        if (!merge) code = column_code_at_least(c, test->texts[i]);
        while (code < n && merge && str_cmp(column_code_text(c, code), test->texts[i]) < 0) {
            code++;
        }
        if (code < n && str_eq(column_code_text(c, code), test->texts[i])) e->set[code] = 1;
    }
}

/* = and !=: one code, found by a search. */
static void test_equal(const struct search_test *test, const struct column *c, uint64_t *bits)
{
    uint32_t code = column_code_at_least(c, test->text);
    uint64_t all[COLUMN_WORDS];

    memset(bits, 0, SET_BYTES);
    if (code < column_codes_n(c) && str_eq(column_code_text(c, code), test->text)) {
        column_range_codes(c, code, code, bits);
    }
    if (test->cmp == CMP_NE) {
        column_present(c, all);
        take_away(all, bits);
        memcpy(bits, all, SET_BYTES);
    }
}

static enum status test_texts(struct column_eval *e, const struct column_term *t,
                              const struct column *c, const uint64_t *mask, uint64_t *bits)
{
    const struct search_test *test = t->test;
    enum status st = OK;

    if (test->cmp == CMP_EQ || test->cmp == CMP_NE) {
        test_equal(test, c, bits);
    } else if (test->cmp == CMP_IS_NULL || test->cmp == CMP_IS_NOT_NULL) {
        column_present(c, bits);
        if (test->cmp == CMP_IS_NULL) {
            uint64_t has[COLUMN_WORDS];

            memcpy(has, bits, SET_BYTES);
            memcpy(bits, mask, SET_BYTES);
            take_away(bits, has);
        }
    } else {
        if (test->cmp == CMP_IN && test->list_n < 4 * (size_t)column_codes_n(c)) {
            list_codes(e, test, c);
        } else {
            st = test_codes(e, t, c, mask);
        }
        column_codes_in(c, e->set, bits);
    }
    keep_only(bits, mask);
    return st;
}

/* ---- data sets --------------------------------------------------------------------------------------- */

static bool datasets_hold(const struct search_test *test, const struct search_dataset *sets,
                          size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str v = test->key->attr == ATTR_DATASET_NAME     ? sets[i].name
                       : test->key->attr == ATTR_DATASET_DIGEST ? sets[i].digest
                                                                : sets[i].context;

        if (str_is_set(v) && test_text_holds(test, v)) {
            return true;
        }
    }
    return false;
}

static enum status test_datasets(struct column_eval *e, const struct search_test *test,
                                 const uint64_t *mask, uint64_t *bits)
{
    const struct column_source *source = e->reader->source;
    const struct column *uids;
    enum status st = column_at(e, COLUMN_WANT_UID, &uids);

    memset(bits, 0, SET_BYTES);
    for (size_t w = 0; source->datasets && w < COLUMN_WORDS; w++) {
        for (uint64_t left = mask[w]; left && !st;) {
            uint32_t slot = column_bits_take(w, &left);
            const struct search_dataset *sets = NULL;
            size_t n = 0;
            int64_t uid = 0;

            if (!column_integer(uids, slot, &uid)) continue;
            st = source->datasets(source->ctx, uid, &sets, &n, e->err);
            if (!st && datasets_hold(test, sets, n)) bits[w] |= 1ULL << (slot % 64);
            if (!st) st = searcher_check_time(e->reader->searcher, e->err);
        }
    }
    return st;
}

/* ---- best() ------------------------------------------------------------------------------------------ */

/* Where the rows' own tags say min or max. */
static enum status own_goals(struct column_eval *e, uint32_t want, uint64_t *min_bits,
                             uint64_t *max_bits)
{
    const struct column *c;
    enum status st = column_at(e, want, &c);

    if (st) return st;
    for (uint32_t code = 0; code < column_codes_n(c); code++) {
        e->set[code] = search_goal_parse(column_code_text(c, code)) == GOAL_MIN;
    }
    column_codes_in(c, e->set, min_bits);
    for (uint32_t code = 0; code < column_codes_n(c); code++) {
        e->set[code] = search_goal_parse(column_code_text(c, code)) == GOAL_MAX;
    }
    column_codes_in(c, e->set, max_bits);
    return OK;
}

enum status column_goals(struct column_eval *e, const struct column_keys *k, const uint64_t *of,
                         uint64_t *min_bits, uint64_t *max_bits)
{
    const struct column_source *source = e->reader->source;
    bool can_have = k->goal != COLUMN_NONE;
    enum search_goal others =
        can_have && source->goal ? source->goal(source->ctx, k->key->name) : GOAL_NONE;
    uint64_t left[COLUMN_WORDS];
    const struct column *c;
    enum status st;

    memset(min_bits, 0, SET_BYTES);
    memset(max_bits, 0, SET_BYTES);
    st = can_have ? own_goals(e, k->goal, min_bits, max_bits) : OK;
    if (!st) st = column_at(e, k->value, &c);
    if (st) return st;
    keep_only(min_bits, of);
    keep_only(max_bits, of);
    column_present(c, left);
    keep_only(left, of);
    take_away(left, min_bits);
    take_away(left, max_bits);
    if (others == GOAL_MIN) {
        add(min_bits, left);
    } else if (others == GOAL_MAX) {
        add(max_bits, left);
    } else if (!is_empty(left)) {
        return search_goal_missing(k->key->name, e->err);
    }
    return OK;
}

static enum status test_best(struct column_eval *e, const struct column_term *t,
                             const uint64_t *mask, uint64_t *bits)
{
    uint64_t min_bits[COLUMN_WORDS], max_bits[COLUMN_WORDS];
    const struct column *min = NULL, *max = NULL;
    enum status st = column_goals(e, &t->keys, mask, min_bits, max_bits);

    if (!st) st = column_at(e, t->keys.value, &min);
    if (!st) st = column_at(e, t->keys.max, &max);
    memset(bits, 0, SET_BYTES);
    if (st || !min || !max) return st;
    test_numbers(t, min, min_bits, bits);
    test_numbers(t, max, max_bits, min_bits);
    add(bits, min_bits);
    return OK;
}

/* ---- the tree ---------------------------------------------------------------------------------------- */

static enum status eval_test(struct column_eval *e, const struct column_term *t,
                             const uint64_t *mask, uint64_t *bits)
{
    const struct search_key *key = t->test->key;
    const struct column *c;
    enum status st;

    if (key->kind == SEARCH_DATASET) {
        return test_datasets(e, t->test, mask, bits);
    }
    if (key->kind == SEARCH_METRIC && key->agg == AGG_BEST) {
        return test_best(e, t, mask, bits);
    }
    if (zone_excludes(e, t)) {
        memset(bits, 0, SET_BYTES);
        return OK;
    }
    st = column_at(e, t->keys.value, &c);
    if (st) return st;
    if (key->type == SEARCH_TEXT) {
        return test_texts(e, t, c, mask, bits);
    }
    memset(bits, 0, SET_BYTES);
    if (c) test_numbers(t, c, mask, bits);
    return OK;
}

/* Whether a zone rules out one of the tests that come before any best(). */
static bool and_excluded(const struct column_eval *e, const struct column_node *n)
{
    for (size_t i = 0; i < n->n && !n->children[i]->has_best; i++) {
        if (n->children[i]->op == FILTER_TEST && zone_excludes(e, n->children[i]->term)) {
            return true;
        }
    }
    return false;
}

static enum status eval_node(struct column_eval *e, const struct column_node *n,
                             const uint64_t *mask, uint64_t *bits);

/* AND goes on with the rows that are left, OR with those that no child has taken. */
static enum status eval_children(struct column_eval *e, const struct column_node *n,
                                 const uint64_t *mask, uint64_t *bits)
{
    uint64_t open[COLUMN_WORDS], one[COLUMN_WORDS];
    bool is_and = n->op == FILTER_AND;
    enum status st = OK;

    memcpy(open, mask, SET_BYTES);
    memset(bits, 0, SET_BYTES);
    if (is_and && and_excluded(e, n)) {
        return OK;
    }
    for (size_t i = 0; i < n->n && !st && !is_empty(open); i++) {
        st = eval_node(e, n->children[i], open, one);
        if (is_and) {
            memcpy(open, one, SET_BYTES);
        } else {
            add(bits, one);
            take_away(open, one);
        }
    }
    if (is_and) memcpy(bits, open, SET_BYTES);
    return st;
}

static enum status eval_node(struct column_eval *e, const struct column_node *n,
                             const uint64_t *mask, uint64_t *bits)
{
    uint64_t inner[COLUMN_WORDS];
    enum status st;

    if (n->op == FILTER_TEST) {
        return eval_test(e, n->term, mask, bits);
    }
    if (n->op != FILTER_NOT) {
        return eval_children(e, n, mask, bits);
    }
    st = eval_node(e, n->children[0], mask, inner);
    memcpy(bits, mask, SET_BYTES);
    take_away(bits, inner);
    return st;
}

/* The runs that exist, are of the view type and not newer. */
static enum status eval_scope(struct column_eval *e, uint64_t *bits)
{
    const struct column_source *source = e->reader->source;
    const struct column_table *t = source->table;
    const struct column *c;
    enum status st = column_at(e, COLUMN_WANT_UID, &c);

    if (st) return st;
    column_present(c, bits);
    if (t->newer && t->newer[e->segment]) take_away(bits, t->newer[e->segment]);
    if (source->view_type != VIEW_ALL) {
        uint64_t deleted[COLUMN_WORDS];

        st = column_at(e, COLUMN_WANT_LIFECYCLE, &c);
        if (st) return st;
        column_range_integer(c, LIFECYCLE_DELETED, LIFECYCLE_DELETED, deleted);
        if (source->view_type == VIEW_DELETED_ONLY) {
            keep_only(bits, deleted);
        } else {
            take_away(bits, deleted);
        }
    }
    return OK;
}

enum status column_eval_segment(struct column_eval *e, uint64_t *bits)
{
    const struct column_node *root = e->reader->plan->root;
    uint64_t scope[COLUMN_WORDS];
    enum status st;

    memset(bits, 0, SET_BYTES);
    if (root && !root->has_best &&
        ((root->op == FILTER_AND && and_excluded(e, root)) ||
         (root->op == FILTER_TEST && zone_excludes(e, root->term)))) {
        return OK;
    }
    st = eval_scope(e, root ? scope : bits);
    if (st || !root || is_empty(scope)) return st;
    return eval_node(e, root, scope, bits);
}
