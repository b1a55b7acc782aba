/* Pack bodies. The first byte chooses: raw bytes behind a right checksum, or a directory that is compressed here first, so
 * that the fuzzer gets past zstd. The next byte is the number of points. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/series/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER_N = 16 };

static void build(struct buf *b, const uint8_t *data, size_t size, uint32_t n, bool compress)
{
    int64_t keys[3] = { 1, 1, n };
    struct zip z = { 0 };
    uint32_t crc;

    buf_put_u8(b, BODY_VERSION);
    buf_put_u8(b, 0);
    buf_put_u16(b, 0);
    buf_put_u32(b, n);
    buf_put_u32(b, (uint32_t)size);
    buf_put_u32(b, 0);
    if (compress) {
        IGNORE_STATUS(zip_put(&z, b, str_of(data, size), NULL)); /* an empty frame is refused */
    } else {
        buf_put(b, data, size);
    }
    zip_release(&z);
    crc = crc32c(body_crc_keys(keys, ARRAY_N(keys)), b->p, HEADER_N - 4);
    body_patch_u32(b, HEADER_N - 4, crc32c(crc, b->p + HEADER_N, b->n - HEADER_N));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b = BUF_INIT(4 << 20);
    struct arena *a = arena_new(64 << 20);
    struct pack_reader r;
    struct err err = ERR_INIT;

    if (a && size >= 2 && size < (1 << 16)) {
        uint32_t n = 1 + data[1];

        build(&b, data + 2, size - 2, n, data[0] % 4 != 0);
        if (!pack_open(&r, a, buf_str(&b), 1, 1, n, &err)) {
            for (size_t i = 0; i < r.keys_n; i++) {
                size_t k = pack_key_n(&r, &r.keys[i]);
                struct point *p = (struct point *)arena_alloc(a, k * sizeof(*p));

                CHECK(k <= n);
                if (p) {
                    IGNORE_STATUS(
                        pack_read(&r, &r.keys[i], p, &err)); /* refused or read, both are right */
                }
            }
        }
    }
    buf_release(&b);
    arena_free(a);
    return 0;
}
