/* store/blob/cdc.c - see cdc.h. */
#include "store/blob/cdc.h"
#include "base/blake3.h"

#include "store/blob/cdc_gear.inc.h"

#define CUT_MASK 0xFFFF000000000000u

enum { WINDOW = 64 /* a byte leaves the hash after so many others */ };

static const unsigned char id_key[BLAKE3_KEY_BYTES] = {
    0x66, 0x97, 0xf5, 0x77, 0x5b, 0x95, 0x50, 0xde, 0x31, 0x35, 0xcb, 0xac, 0xa5, 0x97, 0x18, 0x1c,
    0x9d, 0xe4, 0x21, 0x10, 0x9b, 0xeb, 0x2b, 0x58, 0xb4, 0xd0, 0xb0, 0x4b, 0x93, 0xad, 0xf2, 0x29,
};

size_t cdc_cut(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t end = MIN_OF(n, (size_t)CDC_MAX), at = CDC_MIN - WINDOW;
    uint64_t h = 0;

    if (n <= CDC_MIN) {
        return n;
    }
    for (; at < CDC_MIN - 1; at++) {
        h = (h << 1) + gear[p[at]];
    }
    while (at < end) {
        h = (h << 1) + gear[p[at++]];
        if (!(h & CUT_MASK)) {
            return at;
        }
    }
    return end;
}

struct digest cdc_id(const void *p, size_t n)
{
    return blake3(id_key, p, n);
}
