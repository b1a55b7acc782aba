/* base/hash_pair.h - blocks of SHA-256 for two hashes at once; for hash.c only.
 * Two hashes of the same bytes that began at different places share all but their states: one pass over the bytes, one message
 * schedule, and two chains of rounds that do not wait for each other. With the processor's instructions, each of which waits for the
 * one before it, that takes as long as one hash. Thread rule: pure. */
#ifndef CAIRN_BASE_HASH_PAIR_H
#define CAIRN_BASE_HASH_PAIR_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether this processor can; else the next one must not be called. */
bool hash_pair_can(void);
/* Both states, eight words each, go on over n blocks of 64 bytes, which are also copied to `copy` unless it is NULL. */
void hash_pair_blocks(uint32_t a[8], uint32_t b[8], void *copy, const void *p, size_t n);

#endif
