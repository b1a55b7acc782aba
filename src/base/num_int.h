/* base/num_int.h - what reading and printing of doubles share. */
#ifndef CAIRN_BASE_NUM_INT_H
#define CAIRN_BASE_NUM_INT_H

#include "base/compiler.h"

__extension__ typedef unsigned __int128 num_u128;

/* The leading 128 bits of 10^q, cut: see tools/gen_pow.py. */
struct num_pow {
    uint64_t hi, lo;
};
enum { POW_FIRST = -342, POW_LAST = 324 };
extern const struct num_pow num_pows[POW_LAST - POW_FIRST + 1];

/* "00" to "99". */
extern const char num_two_digits[201];

/* IEEE 754 binary64 */
enum {
    DBL_FRACTION_BITS = 52,
    DBL_BIAS = 1023,
    DBL_EXP_ALL = 0x7ff,  /* infinities and NaN */
    DBL_EXP2_MIN = -1074, /* the smallest subnormal is 2^-1074 */
};
#define DBL_HIDDEN   ((uint64_t)1 << DBL_FRACTION_BITS)
#define DBL_INFINITE ((uint64_t)DBL_EXP_ALL << DBL_FRACTION_BITS)
#define DBL_SIGN     ((uint64_t)1 << 63)

#endif
