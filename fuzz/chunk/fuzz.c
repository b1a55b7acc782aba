/* Chunk bodies. The first byte chooses: raw bytes behind a right checksum, or columns that are compressed here first, so that the
 * fuzzer gets past zstd; the next two the number of points, three more flags, mode and exponent of the value column. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/series/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER_N = 16, SKIP = 6 };

/* The checksum also covers the columns of the row; they are all 0 but n and c here, which the decoder finds out last. */
static uint32_t crc_of(const struct buf *b, int64_t n)
{
    int64_t keys[20] = { 1, 2, CHUNK_LVL_EXACT, 0, 0, 0, 0, 0, n };
    uint32_t crc = crc32c(body_crc_keys(keys, ARRAY_N(keys)), b->p, HEADER_N - 4);

    return crc32c(crc, b->p + HEADER_N, b->n - HEADER_N);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b = BUF_INIT(4 << 20);
    struct arena *a = arena_new(64 << 20);
    struct zip z = { 0 };
    struct err err = ERR_INIT;

    if (a && size >= SKIP && size < (1 << 16)) {
        struct chunk_head h = { .lvl = CHUNK_LVL_EXACT, .n = 1 + data[1] + (data[2] % 16) * 256 };
        struct str rest = str_of(data + SKIP, size - SKIP);
        struct point *p = (struct point *)arena_alloc(a, (size_t)h.n * sizeof(*p));
        int64_t duplicates;

        buf_put_u8(&b, BODY_VERSION);
        buf_put(&b, data + 3, 3);
        buf_put_u32(&b, (uint32_t)h.n);
        buf_put_u32(&b, (uint32_t)rest.n);
        buf_put_u32(&b, 0);
        if (data[0] % 4 != 0) {
            IGNORE_STATUS(zip_put(&z, &b, rest, NULL)); /* an empty frame is refused */
        } else {
            buf_put_str(&b, rest);
        }
        body_patch_u32(&b, HEADER_N - 4, crc_of(&b, h.n));
        if (p) {
            /* Refused or read, both are right. */
            IGNORE_STATUS(chunk_decode(a, buf_str(&b), 1, 2, &h, p, &duplicates, &err));
        }
    }
    zip_release(&z);
    buf_release(&b);
    arena_free(a);
    return 0;
}
