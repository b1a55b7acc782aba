/* store/series/body.h - what all stored bodies share: the CRC over the row's key columns and the body, and zstd.
 * Thread rule: a struct zip belongs to one thread at a time; the rest is pure. */
#ifndef CAIRN_STORE_SERIES_BODY_H
#define CAIRN_STORE_SERIES_BODY_H

#include "base/arena.h"
#include "base/buf.h"

enum { BODY_VERSION = 1 };

/* CRC-32C over the key columns of the row, chained before the bytes of the body. */
uint32_t body_crc_keys(const int64_t *keys, size_t n);
/* Overwrites four bytes of b at `at`, little-endian. */
void body_patch_u32(struct buf *b, size_t at, uint32_t v);

/* A reusable compressor, level 1. Zero object is ready; memory comes with the first use. */
struct zip {
    void *ctx;
};
void zip_release(struct zip *z);
/* Appends one frame of raw to out. */
enum status zip_put(struct zip *z, struct buf *out, struct str raw, struct err *err);
/* Inflates one whole frame that must give exactly raw_n bytes, into the arena. ST_CORRUPT on damage. */
enum status zip_get(struct arena *a, struct str frame, size_t raw_n, struct str *raw,
                    struct err *err);
/* The same into raw_n bytes at p. */
enum status zip_get_into(void *p, size_t raw_n, struct str frame, struct err *err);

#endif
