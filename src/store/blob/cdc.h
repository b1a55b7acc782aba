/* store/blob/cdc.h - where bytes are cut into chunks, and how a chunk is named.
 * The cuts depend on the bytes around them only (a gear hash over the last 64 bytes), so an edit moves the cuts beside it and no
 * others, and equal stretches of different objects give equal chunks. Sizes, table and the key of the ids are those of the Xet
 * suite: clients that speak it can be served without hashing again.
 * Thread rule: pure functions. */
#ifndef CAIRN_STORE_BLOB_CDC_H
#define CAIRN_STORE_BLOB_CDC_H

#include "base/hash.h"

enum { CDC_MIN = 8192, CDC_MAX = 131072 };

/* The length of the first chunk of p: all of it when n is small, so give CDC_MAX bytes, or all that are left. n > 0. */
size_t cdc_cut(const void *p, size_t n);
/* Keyed BLAKE3 of the raw bytes. */
struct digest cdc_id(const void *p, size_t n);

#endif
