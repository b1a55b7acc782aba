/* base/num.c - integers, sizes and durations. Doubles are in num_parse.c and num_print.c. */
#include "base/num.h"
#include "base/num_int.h"

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

static size_t put_u64(uint64_t v, char *out)
{
    size_t n = digits_of(v), at = n;

    while (v >= 100) {
        at -= 2;
        memcpy(out + at, num_two_digits + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        memcpy(out, num_two_digits + v * 2, 2);
    } else {
        out[0] = (char)('0' + v);
    }
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
