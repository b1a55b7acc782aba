/* base/num_print.c - double to the shortest text that reads back as the same bits, and of those the nearest to the value.
 * Raffaello Giulietti, "The Schubfach way to render doubles" (2020): one 126-bit power of ten scales the value and both
 * ends of its rounding interval to integers; then the multiple of 10, or else the integer, that lies inside is taken.
 * Layout as Python's repr: plain for exponents -4 to 15, "d.ddde+XX" beyond. */
#include "base/num.h"
#include "base/num_int.h"

/* value = digits * 10^exp10 */
struct shortest {
    uint64_t digits;
    int32_t exp10;
};

/* floor(log10(2^e)), floor(log10(3/4 * 2^e)), floor(log2(10^k)), for every exponent that occurs. */
static inline int32_t log10_of_pow2(int32_t e)
{
    return (int32_t)((int64_t)e * 661971961083 >> 41);
}

static inline int32_t log10_of_three_quarters_pow2(int32_t e)
{
    return (int32_t)(((int64_t)e * 661971961083 - 274743187321) >> 41);
}

static inline int32_t log2_of_pow10(int32_t k)
{
    return (int32_t)((int64_t)k * 913124641741 >> 38);
}

/* The 126 bits in two halves of 63. */
struct scale {
    uint64_t hi, lo;
};

static inline struct scale scale_of(int32_t k)
{
    const struct num_pow *pow = &num_pows[k - POW_FIRST];
    num_u128 g = (((num_u128)pow->hi << 64 | pow->lo) >> 2) + 1;

    return (struct scale){ (uint64_t)(g >> 63), (uint64_t)g & ((uint64_t)INT64_MAX) };
}

/* g * c / 2^127, where the lowest bit also stands for everything cut off ("round to odd"): comparisons stay exact. */
static inline uint64_t scaled(struct scale g, uint64_t c)
{
    num_u128 y = (num_u128)g.hi * c;
    uint64_t x1 = (uint64_t)((num_u128)g.lo * c >> 64);
    uint64_t z = ((uint64_t)y >> 1) + x1;
    uint64_t w = (uint64_t)(y >> 64) + (z >> 63);

    return w | ((z & (uint64_t)INT64_MAX) + (uint64_t)INT64_MAX) >> 63;
}

/* c * 2^q, c > 0, the bits of a finite double. */
static struct shortest shortest_of(uint64_t c, int32_t q)
{
    uint64_t odd = c & 1, v, left, right, s;
    bool even_spacing = c != DBL_HIDDEN || q == DBL_EXP2_MIN, low_in, high_in;
    int32_t k = even_spacing ? log10_of_pow2(q) : log10_of_three_quarters_pow2(q);
    int32_t h = q + log2_of_pow10(-k) + 2;
    struct scale g = scale_of(-k);
    int64_t nearer;

    v = scaled(g, c << 2 << h);
    left = scaled(g, ((c << 2) - (even_spacing ? 2 : 1)) << h) + odd;
    right = scaled(g, ((c << 2) + 2) << h) - odd;
    s = v >> 2;
    if (s >= 10) { /* one digit less? */
        uint64_t ten = s / 10 * 10;

        low_in = left <= ten << 2;
        high_in = (ten + 10) << 2 <= right;
        if (low_in != high_in) {
            return (struct shortest){ low_in ? ten : ten + 10, k };
        }
    }
    low_in = left <= s << 2;
    high_in = (s + 1) << 2 <= right;
    if (low_in != high_in) {
        return (struct shortest){ low_in ? s : s + 1, k };
    }
    nearer = (int64_t)(v - (2 * s + 1) * 2);
    return (struct shortest){ nearer < 0 || (nearer == 0 && !(s & 1)) ? s : s + 1, k };
}

static size_t put_exponent(int32_t e, char *out)
{
    uint32_t u = (uint32_t)(e < 0 ? -e : e);
    size_t n = 2;

    out[0] = 'e';
    out[1] = e < 0 ? '-' : '+';
    if (u >= 100) {
        out[n++] = (char)('0' + u / 100);
    }
    memcpy(out + n, num_two_digits + u % 100 * 2, 2);
    return n + 2;
}

/* n digits with the point behind the first `before` of them (before may be -3 and more, and beyond n). What lies behind the n
 * digits is copied too where a copy of fixed size is faster: out has room for it. */
static size_t put_plain(const char digits[NUM_I64_MAX], size_t n, int32_t before, char *out)
{
    size_t at;

    if (before <= 0) {
        memcpy(out, "0.0000", 6);
        at = 2 + (size_t)-before;
        memcpy(out + at, digits, NUM_I64_MAX);
        return at + n;
    }
    if (before == 1 && n > 1) {
        out[0] = digits[0];
        out[1] = '.';
        memcpy(out + 2, digits + 1, NUM_I64_MAX - 1);
        return n + 1;
    }
    at = (size_t)before;
    if (n <= at) {
        memcpy(out, digits, n);
        memset(out + n, '0', at - n);
        memcpy(out + at, ".0", 2);
        return at + 2;
    }
    memcpy(out, digits, at);
    out[at] = '.';
    memcpy(out + at + 1, digits + at, n - at);
    return n + 1;
}

static size_t put_shortest(struct shortest d, char *out)
{
    char digits[NUM_I64_MAX] = { 0 };
    size_t n, at;
    int32_t sci;

    if (d.digits % 100000000 == 0) {
        d.digits /= 100000000;
        d.exp10 += 8;
    }
    while (d.digits % 10 == 0) {
        d.digits /= 10;
        d.exp10++;
    }
    n = num_print_u64(d.digits, digits);
    sci = d.exp10 + (int32_t)n - 1;
    if (sci >= -4 && sci < 16) {
        return put_plain(digits, n, sci + 1, out);
    }
    out[0] = digits[0];
    at = 1;
    if (n > 1) {
        out[1] = '.';
        memcpy(out + 2, digits + 1, n - 1);
        at = n + 1;
    }
    return at + put_exponent(sci, out + at);
}

size_t num_print_double(double v, char out[NUM_DOUBLE_MAX])
{
    uint64_t bits = num_double_bits(v), m = bits & (DBL_HIDDEN - 1);
    int32_t exp = (int32_t)(bits >> DBL_FRACTION_BITS & DBL_EXP_ALL);
    size_t n = 0;

    if (exp == DBL_EXP_ALL && m) {
        memcpy(out, "nan", 3);
        return 3;
    }
    if (bits & DBL_SIGN) {
        out[n++] = '-';
    }
    if (exp == DBL_EXP_ALL) {
        memcpy(out + n, "inf", 3);
        return n + 3;
    }
    if (exp == 0 && m == 0) {
        memcpy(out + n, "0.0", 3);
        return n + 3;
    }
    /* Integers below 2^49: their digits are the shortest. */
    if (exp >= DBL_BIAS && exp < DBL_BIAS + 49 && m << (exp - DBL_BIAS + 12) == 0) {
        n += num_print_u64((m | DBL_HIDDEN) >> (DBL_FRACTION_BITS + DBL_BIAS - exp), out + n);
        memcpy(out + n, ".0", 2);
        return n + 2;
    }
    if (exp) {
        return n + put_shortest(shortest_of(m | DBL_HIDDEN, exp - 1 + DBL_EXP2_MIN), out + n);
    }
    return n + put_shortest(shortest_of(m, DBL_EXP2_MIN), out + n);
}
