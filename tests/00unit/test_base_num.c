/* Numbers as text: limits, grammar, and doubles whose digits are easy to get wrong. All of Python's and a million random
 * ones are compared in tests/10module/test_num_python.py. */
#include "base/digits.h"
#include "base/num.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>

TEST(checked_arithmetic)
{
    size_t n;
    uint32_t u;
    int32_t i;

    T_OK(size_add(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
    T_OK(!size_add(SIZE_MAX, 1, &n));
    T_OK(size_mul(SIZE_MAX / 3, 3, &n));
    T_OK(!size_mul(SIZE_MAX / 2, 3, &n));
    T_OK(num_to_u32(UINT32_MAX, &u) && u == UINT32_MAX);
    T_OK(!num_to_u32((uint64_t)UINT32_MAX + 1, &u));
    T_OK(num_to_i32(INT32_MIN, &i) && i == INT32_MIN);
    T_OK(!num_to_i32((int64_t)INT32_MIN - 1, &i));
    T_OK(!num_to_i32((int64_t)INT32_MAX + 1, &i));
}

static void check_i64(struct str s, int64_t want)
{
    int64_t v;
    char text[NUM_I64_MAX];

    T_OK(num_parse_i64(s, &v));
    T_INT(v, want);
    if (s.p[0] != '+') {
        T_STR_EQ(str_of(text, num_print_i64(v, text)), s);
    }
}

/* Every length, ended by the text or by each of some characters, as one after the other. */
TEST(digits_eight_at_a_time)
{
    static const char digits[] = "9070504030201908765", ends[] = "/:,}e.\0\x80";

    for (size_t n = 0; n < sizeof(digits); n++) {
        for (size_t i = 0; i < sizeof(ends); i++) {
            char text[sizeof(digits) + 8];
            uint64_t want = 3, got = 3;
            size_t size = i ? sizeof(text) : n;

            memset(text, '7', sizeof(text));
            memcpy(text, digits, n);
            if (i) text[n] = ends[i - 1];
            for (size_t k = 0; k < n; k++) {
                want = want * 10 + (uint64_t)(text[k] - '0');
            }
            T_OK(num_take_digits(text, text + size, &got) == text + n);
            T_UINT(got, want);
        }
    }
}

TEST(integers)
{
    static const struct str bad[] = { S_INIT(""),
                                      S_INIT("-"),
                                      S_INIT("+"),
                                      S_INIT(" 1"),
                                      S_INIT("1 "),
                                      S_INIT("0x"),
                                      S_INIT("1.0"),
                                      S_INIT("--1"),
                                      S_INIT("1e3"),
                                      S_INIT("+-1"),
                                      S_INIT("9223372036854775808"),
                                      S_INIT("-9223372036854775809"),
                                      S_INIT("99999999999999999999999") };
    char text[NUM_I64_MAX];
    uint64_t u;
    int64_t v;

    check_i64(S("0"), 0);
    check_i64(S("7"), 7);
    check_i64(S("-1"), -1);
    check_i64(S("+15"), 15);
    check_i64(S("100"), 100);
    check_i64(S("9223372036854775807"), INT64_MAX);
    check_i64(S("-9223372036854775808"), INT64_MIN);
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_OK(!num_parse_i64(bad[i], &v));
    }
    T_OK(num_parse_u64(S("18446744073709551615"), &u) && u == UINT64_MAX);
    T_STR(str_of(text, num_print_u64(u, text)), "18446744073709551615");
    T_OK(num_parse_u64(S("00012"), &u) && u == 12);
    T_OK(!num_parse_u64(S("18446744073709551616"), &u));
    T_OK(!num_parse_u64(S("+1"), &u));
    T_OK(!num_parse_u64(S("-0"), &u));
    for (int i = 0; i < 10000; i++) {
        u = t_rand() >> t_rand_below(64);
        T_OK(num_parse_u64(str_of(text, num_print_u64(u, text)), &u));
    }
}

TEST(digits_of_every_length)
{
    char text[NUM_I64_MAX], want[NUM_I64_MAX];
    uint64_t ten = 1;

    for (int n = 1; n <= 20; n++, ten *= 10) {
        for (int i = 0; i < 2000; i++) {
            uint64_t v = i == 0 ? ten - 1 : i == 1 ? ten : ten + t_rand() % ten * 9;
            int len = snprintf(want, sizeof(want), "%llu", (unsigned long long)v);

            T_STR_EQ(str_of(text, num_print_u64(v, text)), str_of(want, (size_t)len));
        }
        if (n == 20) break;
    }
}

TEST(sizes)
{
    uint64_t v;

    T_OK(num_parse_size(S("512"), &v) && v == 512);
    T_OK(num_parse_size(S("4K"), &v) && v == 4096);
    T_OK(num_parse_size(S("64M"), &v) && v == (uint64_t)64 << 20);
    T_OK(num_parse_size(S("1G"), &v) && v == (uint64_t)1 << 30);
    T_OK(num_parse_size(S("2T"), &v) && v == (uint64_t)2 << 40);
    T_OK(num_parse_size(S("0"), &v) && v == 0);
    T_OK(!num_parse_size(S(""), &v));
    T_OK(!num_parse_size(S("K"), &v));
    T_OK(!num_parse_size(S("1KB"), &v));
    T_OK(!num_parse_size(S("1k"), &v));
    T_OK(!num_parse_size(S("-1"), &v));
    T_OK(!num_parse_size(S("1 M"), &v));
    T_OK(!num_parse_size(S("16777216T"), &v));
    T_OK(num_parse_size(S("16777215T"), &v));
    T_OK(!num_parse_size(S("99999999999999999999"), &v));
}

TEST(durations)
{
    int64_t v;

    T_OK(num_parse_duration_ms(S("500ms"), &v) && v == 500);
    T_OK(num_parse_duration_ms(S("10s"), &v) && v == 10000);
    T_OK(num_parse_duration_ms(S("5m"), &v) && v == 300000);
    T_OK(num_parse_duration_ms(S("2h"), &v) && v == 7200000);
    T_OK(num_parse_duration_ms(S("7d"), &v) && v == 604800000);
    T_OK(num_parse_duration_ms(S("0s"), &v) && v == 0);
    T_OK(!num_parse_duration_ms(S("5"), &v));
    T_OK(!num_parse_duration_ms(S("s"), &v));
    T_OK(!num_parse_duration_ms(S("-5s"), &v));
    T_OK(!num_parse_duration_ms(S("5 s"), &v));
    T_OK(!num_parse_duration_ms(S("1w"), &v));
    T_OK(!num_parse_duration_ms(S("106751991168d"), &v));
    T_OK(!num_parse_duration_ms(S("18446744073709551615ms"), &v));
}

static void check_print(double v, const char *want)
{
    char text[NUM_DOUBLE_MAX];
    double again;
    size_t n = num_print_double(v, text);

    T_STR_EQ(str_of(text, n), str_cstr(want));
    T_OK(num_parse_double(str_of(text, n), &again));
    T_DBL_BITS(again, v);
}

TEST(printing)
{
    check_print(0.0, "0.0");
    check_print(-0.0, "-0.0");
    check_print(1.0, "1.0");
    check_print(-1.5, "-1.5");
    check_print(0.1, "0.1");
    check_print(100.0, "100.0");
    check_print(1e15, "1000000000000000.0");
    check_print(1e16, "1e+16");
    check_print(9007199254740993.0, "9007199254740992.0");
    check_print(9999999999999998.0, "9999999999999998.0");
    check_print(123456789012345680.0, "1.2345678901234568e+17");
    check_print(1e22, "1e+22");
    check_print(1e23, "1e+23");
    check_print(0.0001, "0.0001");
    check_print(0.00012345678901234567, "0.00012345678901234567");
    check_print(1e-5, "1e-05");
    check_print(1.5e-10, "1.5e-10");
    check_print(1e100, "1e+100");
    check_print(-1.7976931348623157e308, "-1.7976931348623157e+308");
    check_print(2.2250738585072014e-308, "2.2250738585072014e-308");
    check_print(2.225073858507201e-308, "2.225073858507201e-308");
    check_print(5e-324, "5e-324");
    check_print(1e-323, "1e-323");
    check_print(1.5e-323, "1.5e-323");
    check_print(2e-323, "2e-323");
    check_print(9.5367431640625e-07, "9.5367431640625e-07");
    check_print(5e-323, "5e-323"); /* 4.9e-323 is nearer, but longer */
    check_print(1125899906842624.25,
                "1125899906842624.2"); /* a tie between two texts: the even digit */
    check_print(1125899906842624.75, "1125899906842624.8");
    check_print(5.684341886080802e-14,
                "5.684341886080802e-14"); /* 2^-44: the gap below is half of that above */
    check_print(num_bits_double(0x7ff0000000000000u), "inf");
    check_print(num_bits_double(0xfff0000000000000u), "-inf");
    check_print(num_canonical_nan(), "nan");
    T_UINT(num_double_bits(num_canonical_nan()), 0x7ff8000000000000u);
}

/* A number as JSON has it, of which `used` bytes are read. */
static void check_scan(struct str s, size_t used, double want)
{
    double v = -77;

    T_UINT(num_scan_double(s, &v), used);
    T_DBL_BITS(v, used ? want : -77);
}

TEST(json_grammar)
{
    check_scan(S("0"), 1, 0.0);
    check_scan(S("-0"), 2, -0.0);
    check_scan(S("1.5,"), 3, 1.5);
    check_scan(S("1e3]"), 3, 1000.0);
    check_scan(S("1E+03x"), 5, 1000.0);
    check_scan(S("12345678 "), 8, 12345678.0);
    check_scan(S("123456789012345678"), 18, 123456789012345678.0);
    check_scan(S("0.00000001"), 10, 1e-8);
    check_scan(S("-12e-1"), 6, -1.2);
    check_scan(S("1e400"), 5, num_bits_double(0x7ff0000000000000u));
    check_scan(S("-1e400"), 6, num_bits_double(0xfff0000000000000u));
    check_scan(S("1e-400"), 6, 0.0);
    check_scan(S("1e99999999999999999999"), 22, num_bits_double(0x7ff0000000000000u));
    check_scan(S("0e99999999999999999999"), 22, 0.0);
    check_scan(S("1e-99999999999999999999"), 23, 0.0);
    check_scan(S(""), 0, 0);
    check_scan(str_of(NULL, 0), 0, 0);
    check_scan(S("-"), 0, 0);
    check_scan(S("+1"), 0, 0);
    check_scan(S("01"), 0, 0);
    check_scan(S("-01"), 0, 0);
    check_scan(S(".5"), 0, 0);
    check_scan(S("1."), 0, 0);
    check_scan(S("1.e5"), 0, 0);
    check_scan(S("1e"), 0, 0);
    check_scan(S("1e+"), 0, 0);
    check_scan(S("nan"), 0, 0);
    check_scan(S("inf"), 0, 0);
    check_scan(S(" 1"), 0, 0);
}

TEST(free_grammar)
{
    static const struct str bad[] = { S_INIT(""),    S_INIT("."),    S_INIT("-."),   S_INIT("e5"),
                                      S_INIT("1e"),  S_INIT(" 1"),   S_INIT("1 "),   S_INIT("1x"),
                                      S_INIT("--1"), S_INIT("+-1"),  S_INIT("nanx"), S_INIT("in"),
                                      S_INIT("-"),   S_INIT("0x10"), S_INIT("1_0") };
    double v;

    T_OK(num_parse_double(S("+1.5"), &v) && v == 1.5);
    T_OK(num_parse_double(S(".5"), &v) && v == 0.5);
    T_OK(num_parse_double(S("5."), &v) && v == 5);
    T_OK(num_parse_double(S("5.e1"), &v) && v == 50);
    T_OK(num_parse_double(S("007"), &v) && v == 7);
    T_OK(num_parse_double(S("-.5e-1"), &v) && v == -0.05);
    T_OK(num_parse_double(S("NaN"), &v));
    T_DBL_BITS(v, num_canonical_nan());
    T_OK(num_parse_double(S("-nan"), &v));
    T_DBL_BITS(v, num_canonical_nan());
    T_OK(num_parse_double(S("Infinity"), &v));
    T_UINT(num_double_bits(v), 0x7ff0000000000000u);
    T_OK(num_parse_double(S("+INF"), &v));
    T_UINT(num_double_bits(v), 0x7ff0000000000000u);
    T_OK(num_parse_double(S("-inf"), &v));
    T_UINT(num_double_bits(v), 0xfff0000000000000u);
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_OK(!num_parse_double(bad[i], &v));
    }
}

static void check_parse(const char *text, uint64_t bits)
{
    double v;

    T_OK(num_parse_double(str_cstr(text), &v));
    T_UINT(num_double_bits(v), bits);
}

TEST(rounding)
{
    check_parse("9007199254740993", 0x4340000000000000u);   /* tie to even, down */
    check_parse("9007199254740995", 0x4340000000000002u);   /* tie to even, up */
    check_parse("9007199254740995.0", 0x4340000000000002u); /* ties behind a point */
    check_parse("9007199254740995.00", 0x4340000000000002u);
    check_parse("9007199254740995.000", 0x4340000000000002u);
    check_parse("9007199254740993.000", 0x4340000000000000u);
    check_parse("562949953421312.3125", 0x4300000000000002u);
    check_parse("562949953421312.1875", 0x4300000000000002u);
    check_parse("9007199254740993.0000000000000000000001", 0x4340000000000001u);
    check_parse("9007199254740992.9999999999999999999999", 0x4340000000000000u);
    check_parse("1.7976931348623157e308", 0x7fefffffffffffffu);
    check_parse("1.7976931348623158e308", 0x7fefffffffffffffu);
    check_parse("1.797693134862315807e308", 0x7fefffffffffffffu);
    check_parse("1.797693134862315808e308", 0x7ff0000000000000u);
    check_parse("2.2250738585072011e-308", 0x000fffffffffffffu);
    check_parse("2.2250738585072012e-308", 0x0010000000000000u);
    check_parse("4.9406564584124654e-324", 1);
    check_parse("2.4703282292062328e-324", 1);
    check_parse("2.4703282292062327e-324", 0);
    check_parse("1e-324", 0);
    check_parse("1e23", 0x44b52d02c7e14af6u);
    check_parse("8.988465674311579539e307", 0x7fdfffffffffffffu + 1);
    check_parse("0.500000000000000166533453693773481063544750213623046875",
                0x3fe0000000000002u); /* tie to even */
    check_parse("0.500000000000000166533453693773481063544750213623046874", 0x3fe0000000000001u);
    check_parse("0.500000000000000166533453693773481063544750213623046876", 0x3fe0000000000002u);
}

/* Exactly in the middle between two doubles, then one digit above, far to the right. */
TEST(ties_in_very_long_texts)
{
    static char text[5000];
    size_t n;

    n = (size_t)snprintf(text, sizeof(text), "9007199254740993.");
    memset(text + n, '0', 4000);
    text[n + 4000] = 0;
    check_parse(text, 0x4340000000000000u);
    text[n + 3999] = '1';
    check_parse(text, 0x4340000000000001u);
    memset(text, '0', 4000); /* leading zeros are no digits */
    memcpy(text + 4000, "9007199254740995", 17);
    check_parse(text, 0x4340000000000002u);
    memcpy(text, "0.", 2);
    memcpy(text + 4000, "1e4000", 7);
    check_parse(text, num_double_bits(1e1));
    memset(text, '1', 400);
    text[400] = 0;
    check_parse(text, 0x7ff0000000000000u);
    memcpy(text + 400, "e-400", 6);
    check_parse(text, num_double_bits(0.11111111111111111));
}

TEST(random_bits_there_and_back)
{
    for (int i = 0; i < 200000; i++) {
        double v = num_bits_double(t_rand()), again;
        char text[NUM_DOUBLE_MAX + 1], *end;
        size_t n;

        if (v != v || v - v != 0) {
            continue;
        }
        n = num_print_double(v, text);
        T_OK(n < NUM_DOUBLE_MAX);
        T_OK(num_parse_double(str_of(text, n), &again));
        T_DBL_BITS(again, v);
        text[n] = 0;
        T_DBL_BITS(strtod(text, &end), v);
    }
}

/* Random digit strings of every length against the C library, which rounds correctly as well. */
TEST(random_texts_against_the_c_library)
{
    for (int i = 0; i < 100000; i++) {
        char text[64];
        size_t digits = 1 + t_rand_below(40), n = 0, point = t_rand_below(digits + 1);
        double v;

        for (size_t k = 0; k < digits; k++) {
            if (k == point) {
                text[n++] = '.';
            }
            text[n++] = (char)('0' + t_rand_below(10));
        }
        n += (size_t)snprintf(text + n, sizeof(text) - n, "e%d", (int)t_rand_below(680) - 350);
        T_OK(num_parse_double(str_of(text, n), &v));
        T_DBL_BITS(v, strtod(text, NULL));
    }
}
