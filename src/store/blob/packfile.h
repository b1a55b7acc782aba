/* store/blob/packfile.h - the format of a packfile: chunks of objects, one behind the other, and a footer that lists them.
 *
 *     0   8  "CAIRNPK1"     8  u64 id of the pack
 *     16  stored bytes of every chunk
 *     footer: per chunk 40 bytes: 32 id (store/blob/cdc.h), u32 stored bytes, u24 raw bytes, u8 codec
 *     tail:   u64 offset of the footer, u32 chunks, u32 CRC-32C, u64 id of the pack, 8 "CAIRNPKE"
 *
 * The CRC covers the footer and the tail without the CRC itself. Numbers are little-endian. Codecs: 0 raw; 1 a zstd frame; 2, 3 the
 * bytes in 2 or 4 planes (byte 0 of every element of 2 or 4 bytes, then byte 1, ...; earlier planes are one longer where the
 * length is no multiple), each u32 length and its bytes: a zstd frame if they are fewer than the plane has, else the plane. A chunk is kept compressed when that saves a tenth of it. docs/formats/packfile.md is the
 * description for others.
 * A pack is written once and never changed; its chunks are found by number, so an index of chunk ids can always be made anew.
 * Thread rule: a coder belongs to one thread at a time; the rest is pure. */
#ifndef CAIRN_STORE_BLOB_PACKFILE_H
#define CAIRN_STORE_BLOB_PACKFILE_H

#include "base/buf.h"
#include "base/hash.h"
#include "store/series/body.h"

enum {
    PACKFILE_HEAD_BYTES = 16,
    PACKFILE_ENTRY_BYTES = 40,
    PACKFILE_TAIL_BYTES = 32,
    PACKFILE_CHUNKS_MAX = 16384,
    PACKFILE_FOOT_MAX = PACKFILE_CHUNKS_MAX * PACKFILE_ENTRY_BYTES + PACKFILE_TAIL_BYTES,
    PACKFILE_BYTES_MAX = 1 << 30
};
enum packfile_codec {
    PACKFILE_RAW = 0,
    PACKFILE_ZSTD = 1,
    PACKFILE_ZSTD_2 = 2,
    PACKFILE_ZSTD_4 = 3
};

struct packfile_chunk {
    struct digest id;
    uint32_t offset, stored, raw;
    uint8_t codec;
};
struct packfile {
    uint64_t id, bytes;
    uint32_t n;
    struct packfile_chunk chunks[];
};
/* What an index of chunks knows of an id: its first 8 bytes. */
uint64_t packfile_short_id(const struct digest *id);

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

void packfile_head(uint64_t id, unsigned char out[PACKFILE_HEAD_BYTES]);
/* Footer and tail; offsets of the chunks do not count, their order does. */
void packfile_put_foot(struct buf *out, uint64_t id, const struct packfile_chunk *chunks, size_t n);

struct packfile_coder { /* zero object is ready */
    struct zip zip;
    struct buf best, other, planes;
};
void packfile_coder_release(struct packfile_coder *c);
/* *out: what to store of a chunk of n <= CDC_MAX bytes; p itself, or in the coder until its next call. */
enum status packfile_encode(struct packfile_coder *c, const void *p, size_t n, struct str *out,
                            uint8_t *codec, struct err *err) ATTR_CHECK;

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

/* How many bytes at the end of a file hold its footer; from the tail of a file of `bytes`. ST_CORRUPT. */
enum status packfile_foot_bytes(const unsigned char tail[PACKFILE_TAIL_BYTES], uint64_t bytes,
                                size_t *n, struct err *err) ATTR_CHECK;
/* *out is the caller's (mem_free). ST_CORRUPT when the foot is not that of this pack. */
enum status packfile_parse(struct str foot, uint64_t id, uint64_t bytes, struct packfile **out,
                           struct err *err) ATTR_CHECK;
/* The raw bytes of a chunk into raw, which has room for c->raw; scratch too. The id is checked. ST_CORRUPT. */
enum status packfile_decode(const struct packfile_chunk *c, const void *stored, unsigned char *raw,
                            unsigned char *scratch, struct err *err) ATTR_CHECK;

#endif
