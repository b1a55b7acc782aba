/* store/blob/delta.c - see delta.h. */
#include "store/blob/delta.h"

#include <stdint.h>
#include <string.h>

static uint32_t get(const unsigned char *p, unsigned width)
{
    uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8;

    return width == 4 ? v | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : v;
}

static void put(unsigned char *p, uint32_t v, unsigned width)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
    if (width == 4) {
        p[2] = (unsigned char)(v >> 16);
        p[3] = (unsigned char)(v >> 24);
    }
}

/* Bits above those of the number stay 0. */
static uint32_t ordered(uint32_t v, uint32_t top)
{
    return v & top ? ~v & (top | (top - 1)) : v | top;
}

static uint32_t unordered(uint32_t v, uint32_t top)
{
    return v & top ? v ^ top : ~v & (top | (top - 1));
}

static void xor_rest(unsigned char *p, const unsigned char *by, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] ^= by[i];
    }
}

void delta_make(unsigned char *out, const void *from, const void *to, size_t n, unsigned width)
{
    const unsigned char *a = from, *b = to;
    uint32_t top = UINT32_C(1) << (width * 8 - 1), mask = top | (top - 1);
    size_t whole = n - n % width;

    for (size_t i = 0; i < whole; i += width) {
        uint32_t step = (ordered(get(b + i, width), top) - ordered(get(a + i, width), top)) & mask;

        put(out + i, ((step << 1) ^ (step & top ? mask : 0)) & mask, width);
    }
    memcpy(out + whole, b + whole, n - whole);
    xor_rest(out + whole, a + whole, n - whole);
}

void delta_apply(unsigned char *p, const void *differences, size_t n, unsigned width)
{
    const unsigned char *d = differences;
    uint32_t top = UINT32_C(1) << (width * 8 - 1), mask = top | (top - 1);
    size_t whole = n - n % width;

    for (size_t i = 0; i < whole; i += width) {
        uint32_t folded = get(d + i, width), step = folded >> 1 ^ (folded & 1 ? mask : 0);

        put(p + i, unordered((ordered(get(p + i, width), top) + step) & mask, top), width);
    }
    xor_rest(p + whole, d + whole, n - whole);
}
