/* store/blob/recipe.h - where the bytes of an object lie: the column object.recipe.
 *
 *     u8 version
 *     1: u8 1, u8 1                                  one loose file, in the place of digest and generation
 *     2: varint packs,   per pack:   u64 id, varint bytes of the pack's file
 *        varint extents, per extent: u8 kind, varint length of what follows, ...
 *           kind 2, chunks:                          varint pack (index above), first chunk, chunks, raw bytes
 *           kind 3, differences: the same of the chunks that hold them, u8 width of their numbers, varint steps below,
 *                                per step: u8 width (0: the first, which holds bytes), varint pack, first chunk, chunks, skipped bytes
 *
 * The bytes of kind 3 are those of its first step, changed by each further step and at last by the differences themselves
 * (store/blob/delta.h): everything a reader needs is named in the recipe, so there is nothing to follow, no cycle, and at most
 * RECIPE_STEPS_MAX changes. Such an extent begins at a multiple of RECIPE_ALIGN in the object, and its length is one unless it ends it.
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
    RECIPE_EXTENTS_MAX = 1 << 22,
    RECIPE_STEPS_MAX = 4, /* differences, one on the other */
    RECIPE_ALIGN =
        4 /* numbers of 2 and 4 bytes lie whole in every piece of an extent of differences */
};
enum recipe_kind { RECIPE_WHOLE = 1, RECIPE_CHUNKS = 2, RECIPE_DELTA = 3 };

struct recipe_pack {
    uint64_t id, bytes;
};
/* Bytes of a run of chunks from `skip` on, which lies in the first of them; as many as the extent has. */
struct recipe_run {
    uint32_t pack, first, chunks, skip;
    uint8_t width; /* of the numbers whose differences they are; 0: bytes */
};
struct recipe_extent {
    uint32_t pack; /* index into packs */
    uint32_t first, chunks;
    uint64_t raw;
    uint8_t
        width; /* 0: the chunks are the bytes; else they are differences, of numbers of so many bytes */
    uint8_t under_n;          /* steps below, 1 .. RECIPE_STEPS_MAX then */
    struct recipe_run *under; /* from the first on */
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
/* Calls fn for every run of chunks that an extent needs: its own, then those below. */
typedef void (*recipe_run_fn)(void *ctx, const struct recipe *r, const struct recipe_run *run,
                              bool is_own);
void recipe_each_run(const struct recipe *r, const struct recipe_extent *e, recipe_run_fn fn,
                     void *ctx);
/* Appends version 2. */
void recipe_put(struct buf *out, const struct recipe *r);

#endif
