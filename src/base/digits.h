/* base/digits.h - decimal digits, eight at a time: for readers of numbers. Thread rule: pure functions. */
#ifndef CAIRN_BASE_DIGITS_H
#define CAIRN_BASE_DIGITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool num_is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

/* The eight bytes at p are '0'..'9': their value. */
static inline bool num_eight_digits(const char *p, uint64_t *out)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    /* Their upper halves are 3, and still are after adding 6. */
    if (((v & 0xf0f0f0f0f0f0f0f0u) | (((v + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) >> 4)) !=
        0x3333333333333333u) {
        return false;
    }
    /* Pairs, then fours, then eight, in parallel. */
    v -= 0x3030303030303030u;
    v = (v * 10) + (v >> 8);
    v = ((v & 0x000000ff000000ffu) * (100 + ((uint64_t)1000000 << 32)) +
         ((v >> 16) & 0x000000ff000000ffu) * (1 + ((uint64_t)10000 << 32))) >>
        32;
    *out = v & 0xffffffffu;
    return true;
}

/* Adds digits to *word (modulo 2^64) and returns the first byte that is none. */
static inline const char *num_take_digits(const char *p, const char *end, uint64_t *word)
{
    uint64_t v = *word, eight;

    while (end - p >= 8 && num_eight_digits(p, &eight)) {
        v = v * 100000000 + eight;
        p += 8;
    }
    while (p < end && num_is_digit(*p)) {
        v = v * 10 + (unsigned)(*p - '0');
        p++;
    }
    *word = v;
    return p;
}

#endif
