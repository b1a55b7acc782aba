/* store/blob/delta.h - differences between numbers at the same place of two objects, as extents of kind 3 hold them.
 * Numbers are little-endian, 2 or 4 bytes wide. The bits of a float are brought into the order of the numbers (negative ones inverted,
 * others with their top bit set), subtracted modulo 2^bits, and the step is folded so that small ones of either sign are small
 * (0, -1, 1, -2, ... become 0, 1, 2, 3, ...). Integers go the same way, at no loss. Bytes behind the last whole number are XORed.
 * Measured against XOR of everything this is never larger (docs/decisions/160-tensor-deltas.md).
 * Thread rule: pure functions. */
#ifndef CAIRN_STORE_BLOB_DELTA_H
#define CAIRN_STORE_BLOB_DELTA_H

#include "base/compiler.h"
#include <stddef.h>

/* out: the n bytes that lead from `from` to `to`. width: 2 or 4. */
void delta_make(unsigned char *out, const void *from, const void *to, size_t n, unsigned width);
/* p: n bytes, which become those that the differences lead to. */
void delta_apply(unsigned char *p, const void *differences, size_t n, unsigned width);

#endif
