/* base/num.c - integers, sizes and durations. Doubles are in num_parse.c and num_print.c. */
#include "base/num.h"
#include "base/num_int.h"

int num_hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool num_parse_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)((unsigned char)s.p[i] - '0');

        if (digit > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)digit, &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

bool num_parse_i64(struct str s, int64_t *out)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t v;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s.p++;
        s.n--;
    }
    if (!num_parse_u64(s, &v) || v > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = (int64_t)(negative ? 0 - v : v);
    return true;
}

const char num_two_digits[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Decimal digits of v; 1 for 0. */
static size_t digits_of(uint64_t v)
{
    static const uint64_t powers[20] = { 0,
                                         10,
                                         100,
                                         1000,
                                         10000,
                                         100000,
                                         1000000,
                                         10000000,
                                         100000000,
                                         1000000000,
                                         10000000000,
                                         100000000000,
                                         1000000000000,
                                         10000000000000,
                                         100000000000000,
                                         1000000000000000,
                                         10000000000000000,
                                         100000000000000000,
                                         1000000000000000000,
                                         10000000000000000000u };
    /* 1233/4096 is log10(2), a little less; v >= powers[1] and so on decides the rest */
    size_t n = (size_t)((64 - __builtin_clzll(v | 1)) * 1233 >> 12);

    return n + (v >= powers[n]);
}

/* Eight digits of v < 10^8, leading zeros included, the first in the lowest byte: halves, quarters, digits, all lanes at once. */
static uint64_t eight_digits(uint32_t v)
{
    uint64_t x = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = (x * 10486 >> 20) & 0x0000007f0000007fu;
    uint64_t y = hundreds | (x - 100 * hundreds) << 16;
    uint64_t tens = (y * 103 >> 10) & 0x000f000f000f000fu;

    return (tens | (y - 10 * tens) << 8) + 0x3030303030303030u;
}

static void put_eight(uint64_t digits, char *out)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    digits = __builtin_bswap64(digits);
#endif
    memcpy(out, &digits, 8);
}

static size_t put_few(uint32_t v, char *out)
{
    size_t n = v < 100 ? 1 + (v >= 10) : 3 + (v >= 1000);
    char four[8] = { 0 };

    memcpy(four, num_two_digits + v / 100 * 2, 2);
    memcpy(four + 2, num_two_digits + v % 100 * 2, 2);
    memcpy(out, four + 4 - n, 4);
    return n;
}

/* What lies behind the digits may be written too, up to NUM_I64_MAX bytes. Few branches: doubles have 15, 16 or 17 digits, which
 * nobody can predict. */
static size_t put_u64(uint64_t v, char *out)
{
    uint64_t high = v / 100000000;
    uint32_t low = (uint32_t)(v % 100000000), lead;
    size_t n;

    if (v < 10000) return put_few((uint32_t)v, out);
    n = digits_of(v);
    if (n <= 8) {
        put_eight(eight_digits(low) >> 8 * (8 - n), out);
        return n;
    }
    if (n > 17) {
        size_t top = put_few((uint32_t)(high / 100000000), out);

        put_eight(eight_digits((uint32_t)(high % 100000000)), out + top);
        put_eight(eight_digits(low), out + top + 8);
        return n;
    }
    lead = (uint32_t)(high / 100000000); /* the 17th digit from the end, or 0 */
    out[0] = (char)('0' + lead);
    put_eight(eight_digits((uint32_t)(high % 100000000)) >> 8 * (n < 16 ? 16 - n : 0),
              out + (n > 16));
    put_eight(eight_digits(low), out + n - 8);
    return n;
}

size_t num_print_u64(uint64_t v, char out[NUM_I64_MAX])
{
    return put_u64(v, out);
}

size_t num_print_i64(int64_t v, char out[NUM_I64_MAX])
{
    if (v >= 0) {
        return put_u64((uint64_t)v, out);
    }
    out[0] = '-';
    return 1 + put_u64(0 - (uint64_t)v, out + 1);
}

double num_canonical_nan(void)
{
    return num_bits_double(0x7ff8000000000000u);
}

/* The digits at the start of s as a number, and the rest as its unit; false without digits or on overflow. */
static bool split_unit(struct str s, uint64_t *v, struct str *unit)
{
    size_t n = 0;

    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') {
        n++;
    }
    *unit = str_sub(s, n, s.n - n);
    return num_parse_u64(str_sub(s, 0, n), v);
}

bool num_parse_size(struct str s, uint64_t *out)
{
    static const char units[] = "KMGT";
    struct str unit;
    uint64_t v;

    if (!split_unit(s, &v, &unit) || unit.n > 1) {
        return false;
    }
    if (unit.n == 1) {
        const char *hit = memchr(units, unit.p[0], sizeof(units) - 1);

        if (!hit || __builtin_mul_overflow(v, (uint64_t)1 << (10 * (hit - units + 1)), &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

bool num_parse_duration_ms(struct str s, int64_t *out)
{
    static const struct {
        struct str name;
        int64_t ms;
    } units[] = {
        { S_INIT("ms"), 1 },      { S_INIT("s"), 1000 },     { S_INIT("m"), 60000 },
        { S_INIT("h"), 3600000 }, { S_INIT("d"), 86400000 },
    };
    struct str unit;
    uint64_t v;

    if (!split_unit(s, &v, &unit) || v > INT64_MAX) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_N(units); i++) {
        if (str_eq(unit, units[i].name)) {
            return !__builtin_mul_overflow((int64_t)v, units[i].ms, out);
        }
    }
    return false;
}
