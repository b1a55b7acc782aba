/* core/search/driver.c - a bounded heap of the best rows of a search. The heap holds slot numbers,
 * worst row first. A slot keeps its row's order values, and their texts in one block of its own
 * that is reused when a better row takes the slot. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/search/driver_int.h"
#include "core/search/search_int.h"

enum { SLOTS_FIRST = 64, ROWS_PER_CLOCK = 8 };

const struct filter *searcher_filter(const struct searcher *s)
{
    return s->filter;
}

const struct order *searcher_order(const struct searcher *s)
{
    return s->order;
}

uint64_t searcher_total(const struct searcher *s)
{
    return s->total;
}

bool searcher_is_over(const struct searcher *s)
{
    return !s->count_all && s->found > s->max;
}

const struct order_value *searcher_after(const struct searcher *s)
{
    return s->after;
}

bool searcher_has_best(const struct searcher *s)
{
    bool has = s->filter->has_best;

    for (size_t i = 0; i < s->order->n; i++) {
        has |= s->order->clauses[i].key.agg == AGG_BEST;
    }
    return has;
}

static void release(void *ctx)
{
    struct searcher *s = ctx;

    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->slots[i].text);
    }
    mem_free(s->slots);
    mem_free(s->values);
    mem_free(s->heap);
    s->slots = NULL;
    s->values = NULL;
    s->heap = NULL;
    s->n = s->cap = 0;
}

/* The parts of the order that a token depends on: the clauses as given. */
static enum status hash_order(const struct search_request *in, struct arena *a, uint64_t *out,
                              struct err *err)
{
    size_t n = 0;
    struct str *parts = ARENA_ARRAY(a, struct str, in->order_by_n + in->fields_n * 4 + 1);

    if (!parts) return err_nomem(err);
    for (size_t i = 0; i < in->order_by_n; i++) {
        parts[n++] = in->order_by[i];
    }
    for (size_t i = 0; i < in->fields_n; i++) {
        parts[n++] = in->fields[i].field;
        parts[n++] = in->fields[i].ascending ? S("asc") : S("desc");
        parts[n++] = in->fields[i].dataset_name;
        parts[n++] = in->fields[i].dataset_digest;
    }
    return token_hash(parts, n, out) ? OK : err_nomem(err);
}

static enum status read_token(struct searcher *s, const struct search_request *in, struct err *err)
{
    enum status st = hash_order(in, s->arena, &s->origin.order, err);

    if (st) return st;
    s->origin.entity = in->entity;
    if (!token_hash(&in->scope, 1, &s->origin.scope) ||
        !token_hash(&in->filter, 1, &s->origin.filter)) {
        return err_nomem(err);
    }
    if (in->page.token.n == 0) {
        return OK;
    }
    s->after = ARENA_ARRAY(s->arena, struct order_value, s->order->n);
    if (!s->after) return err_nomem(err);
    return token_read(in->page.token, &s->origin, s->order, s->after, s->arena, err);
}

enum status searcher_new(struct searcher **out, const struct search_request *in, struct arena *a,
                         struct err *err)
{
    struct searcher *s = ARENA_NEW(a, struct searcher);
    enum status st;

    *out = NULL;
    if (!s) return err_nomem(err);
    s->arena = a;
    s->max = MIN_OF(in->page.max, (size_t)UINT32_MAX);
    s->count_all = in->count_all;
    s->start_ms = clock_mono_ms();
    st = filter_parse(&s->filter, in->entity, in->filter, a, err);
    if (st) return st;
    st = in->entity == SEARCH_LOGGED_MODELS
             ? order_parse_models(&s->order, in->fields, in->fields_n, a, err)
             : order_parse(&s->order, in->entity, in->order_by, in->order_by_n, a, err);
    if (st) return st;
    s->row = ARENA_ARRAY(a, struct order_value, s->order->n);
    if (!s->row || !arena_cleanup(a, release, s)) return err_nomem(err);
    st = read_token(s, in, err);
    if (st) return st;
    *out = s;
    return OK;
}

/* ---- the heap -------------------------------------------------------------------------------- */

static struct order_value *values_of(const struct searcher *s, uint32_t slot)
{
    return s->values + (size_t)slot * s->order->n;
}

static void read_value(struct searcher *s, const struct row_ref *ref, size_t i,
                       struct order_value *v)
{
    enum status st;

    if (v->rank != ORDER_UNREAD) {
        return;
    }
    st = column_read_value(ref->reader, ref->segment, ref->slot, i, v, &s->failed_err);
    if (st) {
        s->failed = st;
        v->rank = ORDER_MISSING;
    }
}

/* order_compare() of two rows, reading what is compared. */
static int compare(struct searcher *s, struct order_value *a, const struct row_ref *a_ref,
                   struct order_value *b, const struct row_ref *b_ref)
{
    int c = 0;

    for (size_t i = 0; i < s->order->n && !c; i++) {
        read_value(s, a_ref, i, &a[i]);
        read_value(s, b_ref, i, &b[i]);
        c = order_compare_value(&s->order->clauses[i], &a[i], &b[i]);
    }
    return c;
}

/* Whether the row in slot a comes after the one in b. */
static bool is_worse(struct searcher *s, uint32_t a, uint32_t b)
{
    return compare(s, values_of(s, a), &s->slots[a].ref, values_of(s, b), &s->slots[b].ref) > 0;
}

bool searcher_is_after(struct searcher *s)
{
    static const struct row_ref whole = { .reader = NULL };

    return !s->after || compare(s, s->row, &s->row_ref, s->after, &whole) > 0;
}

const struct order_value *searcher_last(const struct searcher *s)
{
    return s->n && s->n == s->max ? values_of(s, s->heap[0]) : NULL;
}

static void sift_up(struct searcher *s, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        uint32_t swap = s->heap[at];

        if (!is_worse(s, swap, s->heap[parent])) {
            return;
        }
        s->heap[at] = s->heap[parent];
        s->heap[parent] = swap;
        at = parent;
    }
}

/* Restores the heap of n items below its root. */
static void sift_down(struct searcher *s, size_t n)
{
    size_t at = 0;

    for (;;) {
        size_t worst = at, left = 2 * at + 1;
        uint32_t swap = s->heap[at];

        if (left < n && is_worse(s, s->heap[left], s->heap[worst])) {
            worst = left;
        }
        if (left + 1 < n && is_worse(s, s->heap[left + 1], s->heap[worst])) {
            worst = left + 1;
        }
        if (worst == at) {
            return;
        }
        s->heap[at] = s->heap[worst];
        s->heap[worst] = swap;
        at = worst;
    }
}

static enum status grow(struct searcher *s, struct err *err)
{
    size_t cap = s->cap ? s->cap * 2 : SLOTS_FIRST;
    void *p;

    cap = MIN_OF(cap, s->max);
    p = mem_realloc(s->slots, cap * sizeof(*s->slots));
    if (!p) return err_nomem(err);
    s->slots = p;
    p = mem_realloc(s->values, cap * s->order->n * sizeof(*s->values));
    if (!p) return err_nomem(err);
    s->values = p;
    p = mem_realloc(s->heap, cap * sizeof(*s->heap));
    if (!p) return err_nomem(err);
    s->heap = p;
    s->cap = cap;
    return OK;
}

static size_t text_size(const struct searcher *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->order->n; i++) {
        n += s->row[i].text.n;
    }
    return n;
}

/* Copies the row at hand into a slot. */
static enum status slot_set(struct searcher *s, uint32_t at, uint64_t handle, struct err *err)
{
    struct slot *slot = &s->slots[at];
    struct order_value *values = s->values + (size_t)at * s->order->n;
    size_t need = s->row_ref.reader ? 0 : text_size(s);
    char *to;

    if (need > slot->text_cap) {
        s->text_bytes += need - slot->text_cap;
        if (s->text_bytes > SEARCHER_TEXT_MAX) {
            err_set(err, ST_INVALID,
                    "the texts that this page is ordered by take more than %d bytes",
                    SEARCHER_TEXT_MAX);
            if (err) err_hint(err, "lower max_results");
            return ST_INVALID;
        }
        to = mem_realloc(slot->text, need);
        if (!to) return err_nomem(err);
        slot->text = to;
        slot->text_cap = need;
    }
    slot->handle = handle;
    slot->ref = s->row_ref;
    memcpy(values, s->row, s->order->n * sizeof(*values));
    if (slot->ref.reader) {
        return OK;
    }
    to = slot->text;
    for (size_t i = 0; i < s->order->n; i++) {
        size_t n = values[i].text.n;

        if (n) {
            memcpy(to, values[i].text.p, n);
            values[i].text.p = to;
            to += n;
        } else {
            values[i].text.p = "";
        }
    }
    return OK;
}

/* A comparison since the last look could not read a value. */
static enum status check_failed(const struct searcher *s, struct err *err)
{
    if (s->failed && err) *err = s->failed_err;
    return s->failed;
}

enum status searcher_keep(struct searcher *s, uint64_t handle, struct err *err)
{
    enum status st;

    if (s->n == s->max) {
        if (s->max == 0 || compare(s, s->row, &s->row_ref, values_of(s, s->heap[0]),
                                   &s->slots[s->heap[0]].ref) >= 0) {
            return check_failed(s, err);
        }
        st = slot_set(s, s->heap[0], handle, err);
        if (st) return st;
        sift_down(s, s->n);
        return check_failed(s, err);
    }
    if (s->n == s->cap) {
        st = grow(s, err);
        if (st) return st;
    }
    s->slots[s->n] = (struct slot){ .handle = handle };
    s->heap[s->n] = (uint32_t)s->n;
    s->n++;
    st = slot_set(s, (uint32_t)(s->n - 1), handle, err);
    if (st) return st;
    sift_up(s, s->n - 1);
    return check_failed(s, err);
}

enum status searcher_check_time(const struct searcher *s, struct err *err)
{
    if (clock_mono_ms() - s->start_ms <= SEARCHER_MS_MAX) {
        return OK;
    }
    err_set(err, ST_INVALID, "the search takes longer than %d seconds", SEARCHER_MS_MAX / 1000);
    if (err) {
        err_hint(err,
                 "use fewer regular expressions and LIKE patterns, or search fewer experiments");
    }
    return ST_INVALID;
}

enum status searcher_offer(struct searcher *s, const struct search_row_ops *ops, void *row,
                           uint64_t handle, struct err *err)
{
    bool is_match = false;
    enum status st;

    if (++s->offered % ROWS_PER_CLOCK == 0) {
        st = searcher_check_time(s, err);
        if (st) return st;
    }
    st = filter_match(s->filter, ops, row, &is_match, err);
    if (st || !is_match) return st;
    st = order_extract(s->order, ops, row, s->row, err);
    if (st) return st;
    s->row_ref.reader = NULL;
    s->total++;
    if (!searcher_is_after(s)) {
        return OK;
    }
    s->found++;
    return searcher_keep(s, handle, err);
}

enum status searcher_end(struct searcher *s, uint64_t **handles, size_t *n, struct str *next_token,
                         struct err *err)
{
    enum status st = OK;

    *handles = ARENA_ARRAY(s->arena, uint64_t, s->n + 1);
    *n = 0;
    *next_token = (struct str){ NULL, 0 };
    if (!*handles) return err_nomem(err);
    if (s->n && s->found > s->n) { /* the root is the page's last row */
        for (size_t i = 0; i < s->order->n; i++) {
            read_value(s, &s->slots[s->heap[0]].ref, i, &values_of(s, s->heap[0])[i]);
        }
        st = check_failed(s, err);
        if (!st)
            st = token_write(next_token, &s->origin, s->order, values_of(s, s->heap[0]), s->arena,
                             err);
    }
    for (size_t left = s->n; st == OK && left > 0; left--) {
        (*handles)[left - 1] = s->slots[s->heap[0]].handle;
        s->heap[0] = s->heap[left - 1];
        sift_down(s, left - 1);
    }
    st = st ? st : check_failed(s, err);
    *n = st == OK ? s->n : 0;
    release(s);
    return st;
}
