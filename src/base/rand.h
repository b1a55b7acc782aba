/* base/rand.h - random bytes from the system, replaceable by a seed in tests and in the simulator.
 * Thread rule: any thread (the seeded source takes a lock). */
#ifndef CAIRN_BASE_RAND_H
#define CAIRN_BASE_RAND_H

#include "base/compiler.h"

/* Aborts the process only if the system has no randomness at all. */
void rand_bytes(void *p, size_t n);
uint64_t rand_u64(void);
/* 0 .. n-1, n > 0, without bias. */
uint64_t rand_below(uint64_t n);

/* From now on a seeded sequence (tests, simulator). Not while other threads run. */
void rand_seed(uint64_t seed);
void rand_unseed(void);

#endif
