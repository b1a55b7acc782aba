/* base/blake3.h - BLAKE3, plain and keyed.
 * Written from the public description of the algorithm. Whole chunks of 1,024 bytes and the nodes above them are computed in 4, 8
 * or 16 lanes, by what the processor has; blake3_portable() takes one at a time and is there to compare.
 * Thread rule: pure functions. */
#ifndef CAIRN_BASE_BLAKE3_H
#define CAIRN_BASE_BLAKE3_H

#include "base/hash.h"

enum { BLAKE3_KEY_BYTES = 32 };

/* key NULL: the plain hash. */
struct digest blake3(const unsigned char *key, const void *p, size_t n);
struct digest blake3_portable(const unsigned char *key, const void *p, size_t n);

#endif
