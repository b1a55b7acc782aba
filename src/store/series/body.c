/* store/series/body.c - see body.h. */
#include "store/series/body.h"

#include "base/hash.h"

#include <stdatomic.h>
#include <zstd.h>

enum { ZSTD_LEVEL = 1, IDLE_N = 8 };

/* Contexts that wait for the next frame. Making one asks the processor what it can (CPUID), which is a trap of 10 us and more
 * in a virtual machine, beside 100 KB of memory; most frames take less. */
static _Atomic(ZSTD_DCtx *) idle[IDLE_N];

static ZSTD_DCtx *context_take(void)
{
    for (size_t i = 0; i < IDLE_N; i++) {
        if (atomic_load_explicit(&idle[i], memory_order_relaxed)) {
            ZSTD_DCtx *d = atomic_exchange_explicit(&idle[i], NULL, memory_order_acquire);

            if (d) {
                return d;
            }
        }
    }
    return ZSTD_createDCtx();
}

static void context_give(ZSTD_DCtx *d)
{
    for (size_t i = 0; i < IDLE_N; i++) {
        ZSTD_DCtx *none = NULL;

        if (atomic_compare_exchange_strong_explicit(&idle[i], &none, d, memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    (void)ZSTD_freeDCtx(d);
}

uint32_t body_crc_keys(const int64_t *keys, size_t n)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char le[8];

        for (size_t k = 0; k < sizeof(le); k++) {
            le[k] = (unsigned char)((uint64_t)keys[i] >> (8 * k));
        }
        crc = crc32c(crc, le, sizeof(le));
    }
    return crc;
}

void body_patch_u32(struct buf *b, size_t at, uint32_t v)
{
    for (size_t k = 0; k < 4 && at + k < b->n; k++) {
        b->p[at + k] = (char)(v >> (8 * k));
    }
}

void zip_release(struct zip *z)
{
    (void)ZSTD_freeCCtx((ZSTD_CCtx *)z->ctx);
    z->ctx = NULL;
}

enum status zip_put(struct zip *z, struct buf *out, struct str raw, struct err *err)
{
    size_t bound = ZSTD_compressBound(raw.n), n;

    if (!z->ctx) {
        z->ctx = ZSTD_createCCtx();
    }
    if (!z->ctx || !buf_reserve(out, bound)) {
        return z->ctx ? buf_status(out, "compressed body", err) : err_nomem(err);
    }
    n = ZSTD_compressCCtx((ZSTD_CCtx *)z->ctx, out->p + out->n, bound, raw.p, raw.n, ZSTD_LEVEL);
    if (ZSTD_isError(n)) {
        return err_set(err, ST_NOMEM, "compression failed: %s", ZSTD_getErrorName(n));
    }
    out->n += n;
    return OK;
}

enum status zip_get_into(void *p, size_t raw_n, struct str frame, struct err *err)
{
    ZSTD_DCtx *d = context_take();
    size_t n;

    if (!d) {
        return err_nomem(err);
    }
    n = ZSTD_decompressDCtx(d, p, raw_n, frame.p, frame.n);
    context_give(d);
    if (ZSTD_isError(n) || n != raw_n) {
        return err_set(err, ST_CORRUPT, "stored body does not decompress");
    }
    return OK;
}

enum status zip_get(struct arena *a, struct str frame, size_t raw_n, struct str *raw,
                    struct err *err)
{
    char *p = (char *)arena_alloc(a, raw_n > 0 ? raw_n : 1);
    enum status st = p ? zip_get_into(p, raw_n, frame, err) : err_nomem(err);

    *raw = (struct str){ NULL, 0 };
    if (!st) {
        *raw = (struct str){ p, raw_n };
    }
    return st;
}
