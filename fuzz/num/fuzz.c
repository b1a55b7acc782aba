/* Numbers: whatever is taken is printed and taken again with the same bits, both grammars agree where both take a text,
 * and the double agrees with the C library's. */
#include "base/mem.h"
#include "base/num.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* strtod needs a NUL, and reads more than we take (spaces, hexadecimal): only asked about what we took. */
static void check_value(struct str text, double v)
{
    char *copy = mem_alloc(text.n + 1), printed[NUM_DOUBLE_MAX];
    double again;
    size_t n;

    CHECK(copy);
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    again = strtod(copy, NULL);
    CHECK(num_double_bits(v) == num_double_bits(again) || (v != v && again != again));
    mem_free(copy);
    n = num_print_double(v, printed);
    CHECK(n < sizeof(printed) && num_parse_double(str_of(printed, n), &again));
    CHECK(num_double_bits(again) == num_double_bits(v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = str_of(data, n);
    uint64_t u, size;
    int64_t i, ms;
    double v, w;
    size_t used = num_scan_double(text, &v);

    CHECK(used <= n);
    if (used) {
        CHECK(num_parse_double(str_sub(text, 0, used), &w) &&
              num_double_bits(v) == num_double_bits(w));
        check_value(str_sub(text, 0, used), v);
    }
    if (num_parse_double(text, &v)) {
        check_value(text, v);
    }
    if (n >= 8) {
        memcpy(&u, data, sizeof(u));
        v = num_bits_double(u);
        if (v == v) {
            char printed[NUM_DOUBLE_MAX];

            CHECK(num_parse_double(str_of(printed, num_print_double(v, printed)), &w));
            CHECK(num_double_bits(w) == u);
        }
    }
    if (num_parse_i64(text, &i)) {
        char printed[NUM_I64_MAX];
        int64_t again;

        CHECK(num_parse_i64(str_of(printed, num_print_i64(i, printed)), &again) && again == i);
    }
    if (num_parse_size(text, &size)) {
        CHECK(n > 0);
    }
    if (num_parse_duration_ms(text, &ms)) {
        CHECK(ms >= 0);
    }
    return 0;
}
