/* base/num.h - numbers to and from text, exactly, without locale; and checked arithmetic.
 * Doubles are parsed correctly rounded (nearest, ties to even) and printed as the shortest digits that round-trip
 * (Python's repr in digits; exponent form where repr uses it). Thread rule: pure functions. */
#ifndef CAIRN_BASE_NUM_H
#define CAIRN_BASE_NUM_H

#include "base/str.h"

static inline bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
/* False if v does not fit. */
static inline bool num_to_u32(uint64_t v, uint32_t *out)
{
    *out = (uint32_t)v;
    return v <= UINT32_MAX;
}
static inline bool num_to_i32(int64_t v, int32_t *out)
{
    *out = (int32_t)v;
    return v >= INT32_MIN && v <= INT32_MAX;
}

/* The whole text is a decimal integer, optional '-' (and '+' only for num_parse_i64), no spaces; false on anything else
 * and on overflow. */
bool num_parse_i64(struct str s, int64_t *out);
bool num_parse_u64(struct str s, uint64_t *out);
/* The value of a hex digit of either case, -1 for any other character. */
int num_hex_digit(char c);

/* Reads a JSON-shaped number at the start of s: -?digits[.digits][e[+-]digits]. Leading zeros and a missing integer part
 * are refused as in JSON. Returns the bytes read, 0 if there is no number. A number beyond range gives +-infinity. */
size_t num_scan_double(struct str s, double *out);
/* The whole text: a number as above (leading '+', ".5", "5." and leading zeros are also taken), or in any case "nan", "inf", "infinity"
 * with optional sign. */
bool num_parse_double(struct str s, double *out);

enum { NUM_DOUBLE_MAX = 32, NUM_I64_MAX = 24 };
/* Shortest digits that parse back to the same bits; "1.0" keeps ".0" as Python's repr does, "1e-05", "1e+16" likewise. Finite values only for JSON;
 * NaN and infinities print "nan", "inf", "-inf". Returns the length; not NUL-terminated. */
size_t num_print_double(double v, char out[NUM_DOUBLE_MAX]);
/* Bytes of out behind the digits may be overwritten. */
size_t num_print_i64(int64_t v, char out[NUM_I64_MAX]);
size_t num_print_u64(uint64_t v, char out[NUM_I64_MAX]);

/* The one NaN bit pattern that is stored. */
double num_canonical_nan(void);
static inline uint64_t num_double_bits(double v)
{
    uint64_t u;

    memcpy(&u, &v, sizeof(u));
    return u;
}
static inline double num_bits_double(uint64_t u)
{
    double v;

    memcpy(&v, &u, sizeof(v));
    return v;
}

/* "64M", "4K", "1G", "2T", "512" -> bytes (powers of 1024); false on anything else or overflow. */
bool num_parse_size(struct str s, uint64_t *out);
/* "500ms", "10s", "5m", "2h", "7d" -> milliseconds. */
bool num_parse_duration_ms(struct str s, int64_t *out);

#endif
