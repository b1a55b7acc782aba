/* store/columns/column.c - a column in memory: one block, its accessors and its tests. */
#include "base/mem.h"
#include "base/num.h"
#include "store/columns/columns_int.h"

#include <math.h>
#include <stdatomic.h>

/* ---- life -------------------------------------------------------------------------------------------- */

enum { ALIGN = 64 };

uint32_t column_shape_values(const struct column_shape *s)
{
    switch (s->layout) {
    case LAYOUT_CONSTANT: return s->type == COLUMN_DOUBLE;
    case LAYOUT_SPARSE: return s->present_n;
    case LAYOUT_DENSE:
    default: return s->rows;
    }
}

/* Takes n bytes of the block; returns where they begin. */
static size_t place(size_t *at, size_t n)
{
    size_t here = *at;

    *at = (here + n + ALIGN - 1) / ALIGN * ALIGN;
    return here;
}

struct column *column_new(const struct column_shape *s)
{
    bool has_bitmap = s->layout != LAYOUT_SPARSE && s->present_n < s->rows;
    size_t values_n = column_shape_values(s);
    size_t total = 0, present, slots, values, ends, text;
    struct column *c;
    char *block;

    place(&total, sizeof(*c));
    present = place(&total, has_bitmap ? COLUMN_WORDS * sizeof(uint64_t) : 0);
    slots = place(&total, s->layout == LAYOUT_SPARSE ? s->present_n * sizeof(uint16_t) : 0);
    if (s->layout != LAYOUT_CONSTANT) values_n = (values_n + 63) / 64 * 64;
    values = place(&total, values_n * store_size(s->store));
    ends = place(&total, s->codes_n * sizeof(uint32_t));
    text = place(&total, (size_t)s->text_n + 1);
    block = mem_zalloc(1, total);
    if (!block) {
        return NULL;
    }
    c = (struct column *)(void *)block;
    *c = (struct column){ .refs = 1,
                          .type = (uint8_t)s->type,
                          .layout = (uint8_t)s->layout,
                          .store = (uint8_t)s->store,
                          .zone = { .rows = s->rows, .present_n = s->present_n },
                          .codes_n = s->codes_n,
                          .bytes = total };
    c->present = has_bitmap ? (uint64_t *)(void *)(block + present) : NULL;
    c->slots = (uint16_t *)(void *)(block + slots);
    c->values = block + values;
    c->ends = (uint32_t *)(void *)(block + ends);
    c->text = block + text;
    return c;
}

struct column *column_ref(const struct column *c)
{
    struct column *same = (struct column *)(uintptr_t)c;

    if (same) {
        atomic_fetch_add_explicit(&same->refs, 1, memory_order_relaxed);
    }
    return same;
}

void column_unref(const struct column *c)
{
    struct column *same = (struct column *)(uintptr_t)c;

    if (same && atomic_fetch_sub_explicit(&same->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(same);
    }
}

const struct column_zone *column_zone(const struct column *c)
{
    return &c->zone;
}

enum column_type column_type(const struct column *c)
{
    return c->type;
}

size_t column_bytes(const struct column *c)
{
    return c->bytes;
}

/* ---- zones ------------------------------------------------------------------------------------------- */

int64_t column_rank_double(double v)
{
    int64_t bits = (int64_t)num_double_bits(v);

    return bits >= 0 ? bits : INT64_MIN - bits;
}

int64_t column_rank_text(struct str s)
{
    uint64_t rank = 0;

    for (size_t i = 0; i < 8; i++) {
        rank = rank << 8 | (i < s.n ? (unsigned char)s.p[i] : 0U);
    }
    return (int64_t)(rank ^ (uint64_t)INT64_MIN);
}

static double stored_double(const struct column *c, uint32_t i)
{
    double v = c->store == STORE_F32 ? (double)((const float *)c->values)[i]
                                     : ((const double *)c->values)[i];

    return v == v ? v : num_canonical_nan();
}

static uint64_t stored_unsigned(const struct column *c, uint32_t i)
{
    switch (c->store) {
    case STORE_U8: return ((const uint8_t *)c->values)[i];
    case STORE_U16: return ((const uint16_t *)c->values)[i];
    case STORE_U32: return ((const uint32_t *)c->values)[i];
    default: return ((const uint64_t *)c->values)[i];
    }
}

/* Of the value array; what a dense one holds in rows without the key does not count. */
static void zone_of_doubles(struct column *c)
{
    uint32_t n = c->layout == LAYOUT_CONSTANT ? 1
                 : c->layout == LAYOUT_DENSE  ? c->zone.rows
                                              : c->zone.present_n;
    double min = (double)INFINITY, max = (double)-INFINITY;
    uint32_t nan_n = 0;

    for (uint32_t i = 0; i < n; i++) {
        double v = stored_double(c, i);

        if (c->layout == LAYOUT_DENSE && c->present && !bits_has(c->present, i)) {
            continue;
        }
        nan_n += v != v;
        min = v < min ? v : min;
        max = v > max ? v : max;
    }
    c->zone.nan_n = c->layout == LAYOUT_CONSTANT && nan_n ? c->zone.present_n : nan_n;
    c->zone.min = min <= max ? column_rank_double(min) : 0;
    c->zone.max = min <= max ? column_rank_double(max) : 0;
}

static void zone_of_integers(struct column *c)
{
    uint32_t n = c->layout == LAYOUT_CONSTANT ? 0
                 : c->layout == LAYOUT_DENSE  ? c->zone.rows
                                              : c->zone.present_n;
    uint64_t max = 0, min = n ? UINT64_MAX : 0;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t v = stored_unsigned(c, i);

        if (c->layout == LAYOUT_DENSE && c->present && !bits_has(c->present, i)) {
            continue;
        }
        max = MAX_OF(max, v);
        min = MIN_OF(min, v);
    }
    c->zone.min = (int64_t)((uint64_t)c->base + min);
    c->zone.max = (int64_t)((uint64_t)c->base + max);
}

void column_set_zone(struct column *c)
{
    c->zone.nan_n = 0;
    if (c->type == COLUMN_DOUBLE) {
        zone_of_doubles(c);
    } else if (c->type == COLUMN_INTEGER) {
        zone_of_integers(c);
    } else {
        c->zone.min = column_rank_text(column_code_text(c, 0));
        c->zone.max = column_rank_text(column_code_text(c, c->codes_n - 1));
    }
}

/* ---- one value --------------------------------------------------------------------------------------- */

/* The index of a slot's value; false: the row lacks the key. */
static bool find(const struct column *c, uint32_t slot, uint32_t *at)
{
    uint32_t low = 0, high = c->zone.present_n;

    if (slot >= c->zone.rows) {
        return false;
    }
    if (c->layout != LAYOUT_SPARSE) {
        *at = c->layout == LAYOUT_DENSE ? slot : 0;
        return !c->present || bits_has(c->present, slot);
    }
    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (c->slots[mid] < slot) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *at = low;
    return low < c->zone.present_n && c->slots[low] == slot;
}

bool column_double(const struct column *c, uint32_t slot, double *out)
{
    uint32_t at;

    if (!c || c->type != COLUMN_DOUBLE || !find(c, slot, &at)) {
        return false;
    }
    *out = stored_double(c, at);
    return true;
}

bool column_integer(const struct column *c, uint32_t slot, int64_t *out)
{
    uint32_t at;

    if (!c || c->type != COLUMN_INTEGER || !find(c, slot, &at)) {
        return false;
    }
    *out = c->base;
    if (c->layout != LAYOUT_CONSTANT) {
        *out = (int64_t)((uint64_t)c->base + stored_unsigned(c, at));
    }
    return true;
}

bool column_code(const struct column *c, uint32_t slot, uint32_t *out)
{
    uint32_t at;

    if (!c || c->type != COLUMN_TEXT || !find(c, slot, &at)) {
        return false;
    }
    *out = c->layout == LAYOUT_CONSTANT ? 0 : (uint32_t)stored_unsigned(c, at);
    return true;
}

bool column_text(const struct column *c, uint32_t slot, struct str *out)
{
    uint32_t code;

    if (!column_code(c, slot, &code)) {
        return false;
    }
    *out = column_code_text(c, code);
    return true;
}

uint32_t column_codes_n(const struct column *c)
{
    return c ? c->codes_n : 0;
}

struct str column_code_text(const struct column *c, uint32_t code)
{
    uint32_t begin = code ? c->ends[code - 1] : 0;

    return str_of(c->text + begin, c->ends[code] - begin);
}

uint32_t column_code_at_least(const struct column *c, struct str s)
{
    uint32_t low = 0, high = column_codes_n(c);

    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (str_cmp(column_code_text(c, mid), s) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* ---- bitmaps ----------------------------------------------------------------------------------------- */

uint32_t bits_count(const uint64_t *bits, uint32_t rows)
{
    uint32_t n = 0;

    for (size_t w = 0; w < bits_words(rows); w++) {
        n += (uint32_t)__builtin_popcountll(bits[w]);
    }
    return n;
}

/* The words beyond the last row are zero. */
static void set_rows(uint32_t rows, uint64_t *bits)
{
    size_t whole = rows / 64;

    memset(bits, 0, COLUMN_WORDS * sizeof(*bits));
    memset(bits, 0xff, whole * sizeof(*bits));
    if (rows % 64) {
        bits[whole] = (1ULL << (rows % 64)) - 1;
    }
}

void column_present(const struct column *c, uint64_t *bits)
{
    if (!c) {
        memset(bits, 0, COLUMN_WORDS * sizeof(*bits));
    } else if (c->layout == LAYOUT_SPARSE) {
        memset(bits, 0, COLUMN_WORDS * sizeof(*bits));
        for (uint32_t i = 0; i < c->zone.present_n; i++) {
            bits[c->slots[i] / 64] |= 1ULL << (c->slots[i] % 64);
        }
    } else if (c->present) {
        memcpy(bits, c->present, COLUMN_WORDS * sizeof(*bits));
    } else {
        set_rows(c->zone.rows, bits);
    }
}

/* Where a range test over all values was made: of sparse ones `hits` counts values, not slots. */
static void finish_range(const struct column *c, const uint64_t *hits, uint64_t *bits)
{
    if (c->layout == LAYOUT_DENSE) {
        if (c->present || c->zone.rows % 64) {
            uint64_t rows[COLUMN_WORDS];

            column_present(c, rows);
            for (size_t w = 0; w < bits_words(c->zone.rows); w++) {
                bits[w] &= rows[w];
            }
        }
        return;
    }
    memset(bits, 0, COLUMN_WORDS * sizeof(*bits));
    for (size_t w = 0; w < bits_words(c->zone.present_n); w++) {
        uint64_t left = hits[w];

        while (left) {
            uint32_t i = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left);

            left &= left - 1;
            if (i >= c->zone.present_n) {
                return;
            }
            bits[c->slots[i] / 64] |= 1ULL << (c->slots[i] % 64);
        }
    }
}

/* Where a test over the values begins: the words to fill, or a scratch for sparse columns. */
static uint64_t *start_range(const struct column *c, uint64_t *bits, uint64_t *scratch,
                             size_t *words)
{
    *words = bits_words(c->layout == LAYOUT_SPARSE ? c->zone.present_n : c->zone.rows);
    if (c->layout == LAYOUT_SPARSE) {
        return scratch;
    }
    memset(bits + *words, 0, (COLUMN_WORDS - *words) * sizeof(*bits));
    return bits;
}

/* Trivial answers. */
static bool none_or_all(const struct column *c, bool is_none, bool is_all, uint64_t *bits)
{
    if (is_none) {
        memset(bits, 0, COLUMN_WORDS * sizeof(*bits));
    } else if (is_all) {
        column_present(c, bits);
    }
    return is_none || is_all;
}

/* The greatest float at most v, and the smallest at least v: what lies between is the same. */
static float float_down(double v)
{
    float f = (float)v;

    return (double)f > v ? nextafterf(f, -INFINITY) : f;
}

static float float_up(double v)
{
    float f = (float)v;

    return (double)f < v ? nextafterf(f, INFINITY) : f;
}

void column_range_double(const struct column *c, double lo, double hi, uint64_t *bits)
{
    const struct column_kernels *k = column_kernels();
    uint64_t scratch[COLUMN_WORDS], *to;
    size_t words;
    bool is_none, is_all;

    is_none = !c || c->type != COLUMN_DOUBLE || !(lo <= hi) || c->zone.nan_n == c->zone.present_n ||
              column_rank_double(lo) > c->zone.max || column_rank_double(hi) < c->zone.min;
    is_all = !is_none && c->zone.nan_n == 0 && column_rank_double(lo) <= c->zone.min &&
             column_rank_double(hi) >= c->zone.max;
    if (none_or_all(c, is_none, is_all, bits)) {
        return;
    }
    to = start_range(c, bits, scratch, &words);
    if (c->store == STORE_F32) {
        k->f32(c->values, words, float_up(lo), float_down(hi), to);
    } else {
        k->f64(c->values, words, lo, hi, to);
    }
    finish_range(c, to, bits);
}

/* Values (offsets or codes) in lo..hi, which lie within what the column stores. */
static void range_unsigned(const struct column *c, uint64_t lo, uint64_t hi, uint64_t *bits)
{
    const struct column_kernels *k = column_kernels();
    uint64_t scratch[COLUMN_WORDS], *to;
    size_t words;

    to = start_range(c, bits, scratch, &words);
    switch (c->store) {
    case STORE_U8: k->u8(c->values, words, lo, hi, to); break;
    case STORE_U16: k->u16(c->values, words, lo, hi, to); break;
    case STORE_U32: k->u32(c->values, words, lo, hi, to); break;
    default: k->u64(c->values, words, lo, hi, to); break;
    }
    finish_range(c, to, bits);
}

void column_range_integer(const struct column *c, int64_t lo, int64_t hi, uint64_t *bits)
{
    bool is_none =
        !c || c->type != COLUMN_INTEGER || lo > hi || lo > c->zone.max || hi < c->zone.min;
    bool is_all = !is_none && lo <= c->zone.min && hi >= c->zone.max;

    if (none_or_all(c, is_none, is_all, bits)) {
        return;
    }
    lo = MAX_OF(lo, c->zone.min);
    hi = MIN_OF(hi, c->zone.max);
    range_unsigned(c, (uint64_t)lo - (uint64_t)c->base, (uint64_t)hi - (uint64_t)c->base, bits);
}

void column_range_codes(const struct column *c, uint32_t lo, uint32_t hi, uint64_t *bits)
{
    bool is_none = !c || lo > hi || lo >= c->codes_n;
    bool is_all = !is_none && lo == 0 && hi >= c->codes_n - 1;

    if (!none_or_all(c, is_none, is_all, bits)) {
        range_unsigned(c, lo, MIN_OF(hi, c->codes_n - 1), bits);
    }
}

static void codes_in_set16(const struct column *c, const uint8_t *set, size_t words, uint64_t *to)
{
    const uint16_t *v = c->values;

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i++) {
            bits |= (uint64_t)(set[v[i]] != 0) << i;
        }
        to[w] = bits;
    }
}

void column_codes_in(const struct column *c, const uint8_t *set, uint64_t *bits)
{
    uint64_t scratch[COLUMN_WORDS], *to;
    uint8_t packed[32] = { 0 };
    uint32_t n = column_codes_n(c), first = 0, last = n, hits = 0;
    size_t words;

    while (first < n && !set[first]) {
        first++;
    }
    while (last > first && !set[last - 1]) {
        last--;
    }
    for (uint32_t i = first; i < last; i++) {
        hits += set[i] != 0;
    }
    if (hits == last - first) { /* none, or one after another */
        column_range_codes(c, first, hits ? last - 1 : 0, bits);
        if (!hits) memset(bits, 0, COLUMN_WORDS * sizeof(*bits));
        return;
    }
    to = start_range(c, bits, scratch, &words);
    if (c->store == STORE_U8) {
        for (uint32_t i = first; i < last; i++) {
            packed[i / 8] |= (uint8_t)((set[i] != 0) << (i % 8));
        }
        column_kernels()->set8(c->values, words, packed, to);
    } else {
        codes_in_set16(c, set, words, to);
    }
    finish_range(c, to, bits);
}

void column_count_codes(const struct column *c, const uint64_t *of, uint32_t *counts)
{
    uint32_t code;

    for (size_t w = 0; c && w < bits_words(c->zone.rows); w++) {
        for (uint64_t left = of[w]; left; left &= left - 1) {
            if (column_code(c, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left), &code)) {
                counts[code]++;
            }
        }
    }
}

/* ---- tables ------------------------------------------------------------------------------------------ */

enum status column_table_get(struct column_table *t, uint32_t segment, uint32_t column,
                             const struct column **out, struct err *err)
{
    struct column_cell *cell = column_table_cell(t, segment, column);
    enum status st;

    *out = NULL;
    if (cell->column || cell->zone.present_n == 0) {
        *out = cell->column;
        return OK;
    }
    if (!t->load) {
        return err_set(err, ST_INTERNAL, "a column is not in memory and cannot be loaded");
    }
    st = t->load(t, segment, column, err);
    if (st) return st;
    *out = cell->column;
    return OK;
}
