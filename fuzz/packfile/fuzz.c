/* Footers of packfiles, stored chunks and recipes, from bytes that anybody may have written.
 * First byte: 0 a footer as it is, 1 a footer whose checksum and place are made to fit, 2 a recipe (of the size in the next 8 bytes), 3 a
 * chunk (raw length in the next 4 bytes, then its codec), 4 differences (width, then half of the bytes lead to the other half). */
#include "base/arena.h"
#include "base/mem.h"
#include "store/blob/cdc.h"
#include "store/blob/delta.h"
#include "store/blob/packfile.h"
#include "store/blob/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID = 77, ARENA_MAX = 64 << 20 };

static void footer(struct str foot, uint64_t bytes)
{
    struct packfile *p = NULL;
    struct err err = ERR_INIT;

    if (packfile_parse(foot, ID, bytes, &p, &err)) {
        return;
    }
    /* What was taken can be written, and is the same then. */
    struct buf b = BUF_INIT(PACKFILE_FOOT_MAX);

    packfile_put_foot(&b, ID, p->chunks, p->n);
    if (!b.failed && !str_eq(buf_str(&b), foot)) {
        BUG("a footer that was read is written in another way");
    }
    buf_release(&b);
    mem_free(p);
}

/* The id, the checksum and the offset of the footer fit the rest. */
static void mended(const uint8_t *data, size_t size)
{
    char *p = mem_alloc(size);
    struct buf b = { .p = p, .n = size, .cap = size, .max = size };
    uint64_t at = PACKFILE_HEAD_BYTES;

    if (!p || size < PACKFILE_TAIL_BYTES) {
        mem_free(p);
        return;
    }
    memcpy(p, data, size);
    for (size_t i = 0; i + PACKFILE_ENTRY_BYTES + PACKFILE_TAIL_BYTES <= size;
         i += PACKFILE_ENTRY_BYTES) {
        struct rd r = rd_of(p + i + 32, 4);

        at += rd_u32(&r);
    }
    body_patch_u32(&b, size - 32, (uint32_t)at);
    body_patch_u32(&b, size - 28, (uint32_t)(at >> 32));
    body_patch_u32(&b, size - 24, (uint32_t)((size - PACKFILE_TAIL_BYTES) / PACKFILE_ENTRY_BYTES));
    body_patch_u32(&b, size - 16, ID);
    body_patch_u32(&b, size - 12, 0);
    memcpy(p + size - 8, "CAIRNPKE", 8);
    body_patch_u32(&b, size - 20, crc32c(crc32c(0, p, size - 20), p + size - 16, 16));
    footer(str_of(p, size), at + size);
    mem_free(p);
}

static void recipe(const uint8_t *data, size_t size)
{
    struct rd r = rd_of(data, size);
    uint64_t bytes = rd_u64(&r);
    struct arena *a = arena_new(ARENA_MAX);
    struct recipe got, again;
    struct err err = ERR_INIT;
    struct str text = rd_bytes(&r, rd_left(&r));
    struct buf b = BUF_INIT(RECIPE_BYTES_MAX);

    if (a && !r.bad && recipe_parse(a, text, bytes, &got, &err) == OK && !got.is_whole) {
        recipe_put(&b, &got);
        if (b.failed || recipe_parse(a, buf_str(&b), bytes, &again, &err) ||
            again.extents_n != got.extents_n || again.packs_n != got.packs_n) {
            BUG("a recipe that was read is written in another way");
        }
        if (!b.failed) {
            struct buf twice = BUF_INIT(RECIPE_BYTES_MAX);

            recipe_put(&twice, &again);
            if (twice.failed || !str_eq(buf_str(&twice), buf_str(&b))) {
                BUG("a recipe loses something when it is read");
            }
            buf_release(&twice);
        }
    }
    buf_release(&b);
    arena_free(a);
}

static void chunk(const uint8_t *data, size_t size)
{
    static unsigned char raw[CDC_MAX], scratch[CDC_MAX];
    struct rd r = rd_of(data, size);
    struct packfile_chunk c = { .raw = rd_u32(&r) % CDC_MAX + 1, .codec = rd_u8(&r) % 4 };
    struct str stored = rd_bytes(&r, rd_left(&r));
    struct err err = ERR_INIT;

    c.stored = (uint32_t)stored.n;
    if (r.bad || !stored.n || stored.n > c.raw) {
        return;
    }
    if (c.codec == PACKFILE_RAW) c.raw = c.stored;
    IGNORE_STATUS(packfile_decode(&c, stored.p, raw, scratch, &err)); /* any answer but a crash */
}

static void differences(const uint8_t *data, size_t size)
{
    size_t n = MIN_OF((size - 1) / 2, (size_t)CDC_MAX);
    static unsigned char made[CDC_MAX], back[CDC_MAX];
    unsigned width = data[0] % 2 ? 2 : 4;

    delta_make(made, data + 1, data + 1 + n, n, width);
    memcpy(back, data + 1, n);
    delta_apply(back, made, n, width);
    if (memcmp(back, data + 1 + n, n) != 0) BUG("differences do not lead back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) {
        return 0;
    }
    switch (data[0]) {
    case 0: footer(str_of(data + 1, size - 1), UINT64_C(1) << 20); break;
    case 1: mended(data + 1, size - 1); break;
    case 2: recipe(data + 1, size - 1); break;
    case 4:
        if (size > 1) differences(data + 1, size - 1);
        break;
    default: chunk(data + 1, size - 1); break;
    }
    return 0;
}
