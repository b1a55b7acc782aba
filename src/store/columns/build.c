/* store/columns/build.c - values by slot -> the smallest column that holds them. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/columns/columns_int.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { TABLE_N = 2 * COLUMN_ROWS, CODE_NEW = COLUMN_ROWS };

struct column_builder {
    enum column_type type;
    uint32_t rows;
    enum status failed;
    const struct column *from; /* of texts: its codes are the codes below CODE_NEW */
    uint64_t present[COLUMN_WORDS];
    union {
        double d[COLUMN_ROWS];
        int64_t i[COLUMN_ROWS];
        struct str text[COLUMN_ROWS]; /* where the code is CODE_NEW */
    } v;
    uint32_t code[COLUMN_ROWS]; /* of texts */
    /* Scratch of finish: */
    uint16_t slots[COLUMN_ROWS]; /* that have the key */
    uint32_t n;
    uint16_t table[TABLE_N]; /* hash table of new texts: number in `fresh` + 1, 0 = free */
    struct fresh {
        struct str text;
        int64_t rank; /* of the text: sorting seldom looks further */
        uint32_t number;
    } fresh[COLUMN_ROWS];
    uint32_t fresh_n;
    uint32_t fresh_code[COLUMN_ROWS]; /* number -> code */
    uint32_t old_code[COLUMN_ROWS];   /* code in `from` -> code; UINT32_MAX: unused */
};

struct column_builder *column_builder_new(void)
{
    return mem_zalloc(1, sizeof(struct column_builder));
}

void column_builder_free(struct column_builder *b)
{
    mem_free(b);
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void copy_slot(struct column_builder *b, const struct column *from, uint32_t slot)
{
    if (b->type == COLUMN_DOUBLE) {
        IGNORE_STATUS(
            !column_double(from, slot, &b->v.d[slot])); /* false where the key is missing */
    } else if (b->type == COLUMN_INTEGER) {
        IGNORE_STATUS(!column_integer(from, slot, &b->v.i[slot]));
    } else {
        IGNORE_STATUS(!column_code(from, slot, &b->code[slot]));
    }
}

enum status column_builder_reset(struct column_builder *b, enum column_type type,
                                 const struct column *from, uint32_t rows, struct err *err)
{
    b->type = type;
    b->rows = rows;
    b->failed = OK;
    b->from = from;
    if (rows > COLUMN_ROWS || (from && (from->type != type || from->zone.rows > rows))) {
        return err_set(err, ST_INTERNAL, "a column of %u rows cannot be made of that one", rows);
    }
    column_present(from, b->present);
    if (from && type == COLUMN_DOUBLE && from->layout == LAYOUT_DENSE && from->store == STORE_F64) {
        memcpy(b->v.d, from->values, from->zone.rows * sizeof(double));
        return OK;
    }
    for (uint32_t slot = 0; from && slot < from->zone.rows; slot++) {
        copy_slot(b, from, slot);
    }
    return OK;
}

/* Whether the value can be taken. */
static bool take(struct column_builder *b, uint32_t slot, enum column_type type)
{
    if (slot >= b->rows || b->type != type) {
        b->failed = ST_INTERNAL;
        return false;
    }
    b->present[slot / 64] |= 1ULL << (slot % 64);
    return true;
}

void column_builder_double(struct column_builder *b, uint32_t slot, double v)
{
    if (take(b, slot, COLUMN_DOUBLE)) {
        b->v.d[slot] = v == v ? v : num_canonical_nan();
    }
}

void column_builder_integer(struct column_builder *b, uint32_t slot, int64_t v)
{
    if (take(b, slot, COLUMN_INTEGER)) {
        b->v.i[slot] = v;
    }
}

void column_builder_text(struct column_builder *b, uint32_t slot, struct str s)
{
    uint32_t code;

    if (!take(b, slot, COLUMN_TEXT)) {
        return;
    }
    code = column_code_at_least(b->from, s);
    if (code < column_codes_n(b->from) && str_eq(column_code_text(b->from, code), s)) {
        b->code[slot] = code;
    } else {
        b->code[slot] = CODE_NEW;
        b->v.text[slot] = s;
    }
}

void column_builder_missing(struct column_builder *b, uint32_t slot)
{
    if (slot >= b->rows) {
        b->failed = ST_INTERNAL;
        return;
    }
    b->present[slot / 64] &= ~(1ULL << (slot % 64));
}

/* ---- storing ----------------------------------------------------------------------------------------- */

/* Sparse below half: a value of a dense column is found by its slot, there by a search. */
static enum column_layout layout_of(const struct column_builder *b)
{
    return b->n * 2 < b->rows ? LAYOUT_SPARSE : LAYOUT_DENSE;
}

static enum column_store unsigned_store(uint64_t max)
{
    return max <= UINT8_MAX    ? STORE_U8
           : max <= UINT16_MAX ? STORE_U16
           : max <= UINT32_MAX ? STORE_U32
                               : STORE_U64;
}

static void put_unsigned(struct column *c, uint32_t at, uint64_t v)
{
    switch (c->store) {
    case STORE_U8: ((uint8_t *)c->values)[at] = (uint8_t)v; break;
    case STORE_U16: ((uint16_t *)c->values)[at] = (uint16_t)v; break;
    case STORE_U32: ((uint32_t *)c->values)[at] = (uint32_t)v; break;
    default: ((uint64_t *)c->values)[at] = v; break;
    }
}

static void put_slot(const struct column_builder *b, struct column *c, uint32_t at, uint32_t slot)
{
    if (b->type == COLUMN_INTEGER) {
        put_unsigned(c, at, (uint64_t)b->v.i[slot] - (uint64_t)c->base);
    } else if (b->type == COLUMN_TEXT) {
        put_unsigned(c, at, b->code[slot]);
    } else if (c->store == STORE_F32) {
        ((float *)c->values)[at] = (float)b->v.d[slot];
    } else {
        ((double *)c->values)[at] = b->v.d[slot];
    }
}

static struct column *store(const struct column_builder *b, const struct column_shape *shape,
                            int64_t base)
{
    struct column_shape s = *shape;
    struct column *c;

    s.type = b->type;
    s.rows = b->rows;
    s.present_n = b->n;
    c = column_new(&s);
    if (!c) {
        return NULL;
    }
    c->base = base;
    if (c->present) memcpy(c->present, b->present, sizeof(b->present));
    if (s.layout == LAYOUT_CONSTANT) {
        if (s.type == COLUMN_DOUBLE) put_slot(b, c, 0, b->slots[0]);
        return c;
    }
    if (c->layout == LAYOUT_DENSE && c->store == STORE_F64 && s.present_n == s.rows) {
        memcpy(c->values, b->v.d, s.rows * sizeof(double));
        return c;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        if (s.layout == LAYOUT_SPARSE) c->slots[i] = b->slots[i];
        put_slot(b, c, s.layout == LAYOUT_SPARSE ? i : b->slots[i], b->slots[i]);
    }
    return c;
}

static struct column *store_doubles(const struct column_builder *b)
{
    uint64_t first = num_double_bits(b->v.d[b->slots[0]]);
    struct column_shape s = { .layout = layout_of(b), .store = STORE_F32 };
    bool is_constant = true;

    for (uint32_t i = 0; i < b->n; i++) {
        double v = b->v.d[b->slots[i]];

        is_constant = is_constant && num_double_bits(v) == first;
        if (v == v && !(fabs(v) <= (double)FLT_MAX && (double)(float)v == v) && !isinf(v)) {
            s.store = STORE_F64;
        }
    }
    if (is_constant) {
        s.layout = LAYOUT_CONSTANT;
        s.store = STORE_F64;
    }
    return store(b, &s, 0);
}

static struct column *store_integers(const struct column_builder *b)
{
    int64_t min = INT64_MAX, max = INT64_MIN;
    struct column_shape s = { .layout = layout_of(b) };

    for (uint32_t i = 0; i < b->n; i++) {
        int64_t v = b->v.i[b->slots[i]];

        min = MIN_OF(min, v);
        max = MAX_OF(max, v);
    }
    if (min == max) s.layout = LAYOUT_CONSTANT;
    s.store = unsigned_store((uint64_t)max - (uint64_t)min);
    return store(b, &s, min);
}

/* ---- dictionaries ------------------------------------------------------------------------------------ */

static int fresh_order(const void *a, const void *b)
{
    const struct fresh *x = a, *y = b;

    return x->rank != y->rank ? (x->rank > y->rank ? 1 : -1) : str_cmp(x->text, y->text);
}

/* Gives each distinct new text a number; the slot's code becomes CODE_NEW + number. */
static void number_fresh(struct column_builder *b)
{
    memset(b->table, 0, sizeof(b->table));
    b->fresh_n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t slot = b->slots[i];
        struct str s = b->v.text[slot];
        size_t at;

        if (b->code[slot] != CODE_NEW) {
            continue;
        }
        at = hash_bytes(s.p, s.n) % TABLE_N;
        while (b->table[at] && !str_eq(b->fresh[b->table[at] - 1].text, s)) {
            at = (at + 1) % TABLE_N;
        }
        if (!b->table[at]) {
            b->fresh[b->fresh_n] = (struct fresh){ s, column_rank_text(s), b->fresh_n };
            b->table[at] = (uint16_t)++b->fresh_n;
        }
        b->code[slot] = CODE_NEW + b->table[at] - 1U;
    }
    qsort(b->fresh, b->fresh_n, sizeof(b->fresh[0]), fresh_order);
}

/* Merges the old texts that are still used and the new ones: gives out codes and measures. */
static void merge_texts(struct column_builder *b, uint32_t *codes_n, size_t *text_n)
{
    uint32_t old = 0, fresh = 0, old_n = column_codes_n(b->from);

    *codes_n = 0;
    *text_n = 0;
    while (old < old_n || fresh < b->fresh_n) {
        struct str text;

        if (old < old_n && b->old_code[old] == UINT32_MAX) {
            old++;
            continue;
        }
        /* the two are never equal: an equal text took the old code */
        if (fresh == b->fresh_n ||
            (old < old_n && str_cmp(column_code_text(b->from, old), b->fresh[fresh].text) < 0)) {
            text = column_code_text(b->from, old);
            b->old_code[old++] = *codes_n;
        } else {
            text = b->fresh[fresh].text;
            b->fresh_code[b->fresh[fresh++].number] = *codes_n;
        }
        (*codes_n)++;
        *text_n += text.n; /* at most 2 * COLUMN_ROWS texts that are in memory */
    }
}

/* Writes the dictionary into the column in the order of merge_texts(). */
static void put_texts(const struct column_builder *b, struct column *c)
{
    uint32_t old = 0, fresh = 0, old_n = column_codes_n(b->from), at = 0;

    for (uint32_t code = 0; code < c->codes_n; code++) {
        struct str text;

        while (old < old_n && b->old_code[old] == UINT32_MAX) {
            old++;
        }
        if (old < old_n && b->old_code[old] == code) {
            text = column_code_text(b->from, old++);
        } else {
            text = b->fresh[fresh++].text;
        }
        if (text.n) memcpy(c->text + at, text.p, text.n);
        at += (uint32_t)text.n;
        c->ends[code] = at;
    }
}

static enum status store_texts(struct column_builder *b, struct column **out, struct err *err)
{
    struct column_shape s = { .layout = layout_of(b) };
    size_t text_n;

    memset(b->old_code, 0xff, sizeof(b->old_code));
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->code[b->slots[i]] < CODE_NEW) b->old_code[b->code[b->slots[i]]] = 0;
    }
    number_fresh(b);
    merge_texts(b, &s.codes_n, &text_n);
    if (text_n > COLUMN_TEXT_MAX) {
        return err_set(err, ST_TOO_BIG, "the texts of one key in %u runs take over %d bytes",
                       b->rows, COLUMN_TEXT_MAX);
    }
    s.text_n = (uint32_t)text_n;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t *code = &b->code[b->slots[i]];

        *code = *code < CODE_NEW ? b->old_code[*code] : b->fresh_code[*code - CODE_NEW];
    }
    if (s.codes_n == 1) s.layout = LAYOUT_CONSTANT;
    s.store = unsigned_store(s.codes_n - 1);
    *out = store(b, &s, 0);
    if (*out) put_texts(b, *out);
    return OK;
}

enum status column_builder_finish(struct column_builder *b, struct column **out, struct err *err)
{
    enum status st = OK;

    *out = NULL;
    if (b->failed) return err_set(err, b->failed, "a value does not belong into this column");
    b->n = 0;
    for (size_t w = 0; w < bits_words(b->rows); w++) {
        for (uint64_t left = b->present[w]; left; left &= left - 1) {
            b->slots[b->n++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(left));
        }
    }
    if (b->n == 0) {
        return OK;
    }
    if (b->type == COLUMN_DOUBLE) {
        *out = store_doubles(b);
    } else if (b->type == COLUMN_INTEGER) {
        *out = store_integers(b);
    } else {
        st = store_texts(b, out, err);
    }
    if (st) return st;
    if (!*out) return err_nomem(err);
    column_set_zone(*out);
    return OK;
}
