/* store/columns/columns_int.h - how a column lies in memory, and the loops over its values. */
#ifndef CAIRN_STORE_COLUMNS_COLUMNS_INT_H
#define CAIRN_STORE_COLUMNS_COLUMNS_INT_H

#include "store/columns/columns.h"

enum column_layout { LAYOUT_CONSTANT = 0, LAYOUT_SPARSE = 1, LAYOUT_DENSE = 2 };
/* Integers are offsets from column->base, texts are codes; both are unsigned. */
enum column_store {
    STORE_U8 = 0,
    STORE_U16 = 1,
    STORE_U32 = 2,
    STORE_U64 = 3,
    STORE_F32 = 4,
    STORE_F64 = 5,
    STORE_N
};
static inline size_t store_size(enum column_store s)
{
    static const uint8_t sizes[STORE_N] = { 1, 2, 4, 8, 4, 8 };

    return sizes[s];
}

/* One block of memory. Value arrays have room for a multiple of 64 values, zeros behind the last.
 * LAYOUT_CONSTANT has a value only if it is a double: an integer is `base`, a text the code 0. */
struct column {
    _Atomic uint32_t refs;
    uint8_t type, layout, store;
    struct column_zone zone;
    uint32_t codes_n;
    size_t bytes;
    int64_t base;
    uint64_t *present; /* NULL: every row has the key; not for LAYOUT_SPARSE */
    uint16_t *slots;   /* LAYOUT_SPARSE: rising */
    void *values;      /* by slot, or one for each of slots */
    uint32_t *ends;    /* of each text */
    char *text;
};

struct column_shape {
    enum column_type type;
    enum column_layout layout;
    enum column_store store;
    uint32_t rows, present_n, codes_n, text_n;
};
/* Number of values that the shape stores. */
uint32_t column_shape_values(const struct column_shape *s);
/* Zeroed, one reference, zone.rows and .present_n set; NULL when memory is out. */
struct column *column_new(const struct column_shape *s);
/* Sets nan_n, min and max of the zone from what is stored. */
void column_set_zone(struct column *c);
/* The number of bits set in the words that `rows` rows take. */
uint32_t bits_count(const uint64_t *bits, uint32_t rows);
static inline size_t bits_words(uint32_t rows)
{
    return ((size_t)rows + 63) / 64;
}
static inline bool bits_has(const uint64_t *bits, uint32_t slot)
{
    return bits[slot / 64] >> (slot % 64) & 1;
}

/* Loops over whole words of 64 values; out has `words` words. Unsigned: lo <= v <= hi. */
struct column_kernels {
    const char *name;
    void (*u8)(const void *v, size_t words, uint64_t lo, uint64_t hi, uint64_t *out);
    void (*u16)(const void *v, size_t words, uint64_t lo, uint64_t hi, uint64_t *out);
    void (*u32)(const void *v, size_t words, uint64_t lo, uint64_t hi, uint64_t *out);
    void (*u64)(const void *v, size_t words, uint64_t lo, uint64_t hi, uint64_t *out);
    void (*f32)(const void *v, size_t words, float lo, float hi, uint64_t *out);
    void (*f64)(const void *v, size_t words, double lo, double hi, uint64_t *out);
    /* v in a set of 256 bits. */
    void (*set8)(const void *v, size_t words, const uint8_t set[32], uint64_t *out);
};
/* The best for this processor. */
const struct column_kernels *column_kernels(void);
/* All that this processor can run, the portable one first; NULL beyond the last. For tests. */
const struct column_kernels *column_kernels_at(size_t i);

#endif
