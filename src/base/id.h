/* base/id.h - identifiers as protocols want them.
 * Thread rule: any thread. */
#ifndef CAIRN_BASE_ID_H
#define CAIRN_BASE_ID_H

#include "base/compiler.h"

/* Random UUID version 4 as 32 lower-case hex digits and a NUL (no dashes). */
void id_hex32(char out[33]);
/* UUID version 7: the time first, so that ids made one after the other lie beside each other in an index. 74 bits are random,
 * as far as random[] is. */
enum { ID_TIMED_RANDOM = 10 };
void id_timed(int64_t ms, const unsigned char random[ID_TIMED_RANDOM], char out[33]);
/* n bytes as 2n lower-case hex digits and a NUL. */
void id_hex(const void *p, size_t n, char *out);
/* From 64 random bits: a readable run name "adjective-noun-number", at most 20 characters, number 0 to 1000. */
void id_run_name(uint64_t random, char out[24]);

#endif
