/* store/blob/recipe.h - where the bytes of an object lie: the column object.recipe.
 *
 *     u8 version
 *     1: u8 1, u8 1                                  one loose file, in the place of digest and generation
 *     2: varint packs,   per pack:   u64 id, varint bytes of the pack's file
 *        varint extents, per extent: u8 kind, varint length of what follows, ...
 *           kind 2, chunks:                          varint pack (index above), first chunk, chunks, raw bytes
 *
 * Extents follow each other in the order of the object's bytes; the raw bytes of all are its size. Numbers are little-endian, varint
 * is LEB128. A kind that a reader does not know makes the object unreadable to it, not the store: its length tells where the next
 * extent begins. See docs/formats/packfile.md.
 * Ownership: a parsed recipe lives in the arena. Thread rule: pure functions. */
#ifndef CAIRN_STORE_BLOB_RECIPE_H
#define CAIRN_STORE_BLOB_RECIPE_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    RECIPE_BYTES_MAX = 16 << 20, /* an object that would need more stays whole */
    RECIPE_PACKS_MAX = 1 << 20,
    RECIPE_EXTENTS_MAX = 1 << 22
};
enum recipe_kind { RECIPE_WHOLE = 1, RECIPE_CHUNKS = 2 };

struct recipe_pack {
    uint64_t id, bytes;
};
struct recipe_extent {
    uint32_t pack; /* index into packs */
    uint32_t first, chunks;
    uint64_t raw;
};
struct recipe {
    bool is_whole; /* then nothing else counts */
    struct recipe_pack *packs;
    struct recipe_extent *extents;
    size_t packs_n, extents_n;
};

/* size: of the object. ST_CORRUPT for what is no recipe, or not of such an object; ST_NOT_IMPLEMENTED for a kind of extent that this
 * version does not know. */
enum status recipe_parse(struct arena *a, struct str bytes, uint64_t size, struct recipe *out,
                         struct err *err) ATTR_CHECK;
/* Appends version 2. */
void recipe_put(struct buf *out, const struct recipe *r);

#endif
