/* Batch bodies: any bytes after a right header and checksum are read to the end or refused. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/series/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER_N = 8 };

static void read_record(const struct batch_reader *b, struct batch_record *rec)
{
    struct batch_point_at at = { 0 };
    struct batch_attrs attrs;
    uint64_t left = SIZE_MAX;
    struct point p;
    struct str value;
    uint32_t string;
    uint8_t lifecycle;
    int64_t ms;

    switch (rec->kind) {
    case BATCH_POINTS:
    case BATCH_OWNER_POINTS:
        while (batch_next_point(b, rec, &at, &string, &p)) {
            CHECK(string < b->strings_n);
        }
        break;
    case BATCH_PARAMS:
    case BATCH_TAGS:
        while (batch_next_pair(b, rec, &left, &string, &value)) {
            CHECK(string < b->strings_n);
        }
        break;
    case BATCH_TAG_DELETED: (void)batch_get_string(b, rec, &string); break;
    case BATCH_ATTRIBUTES: (void)batch_get_attrs(rec, &attrs); break;
    case BATCH_LIFECYCLE:
    case BATCH_EXPERIMENT_LIFECYCLE: (void)batch_get_lifecycle(rec, &lifecycle, &ms); break;
    case BATCH_RUN_CREATED:
    case BATCH_TOKENS:
    case BATCH_RUN_PURGED:
    case BATCH_LINKS: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t keys[4] = { 1, 0, 0, 0 };
    struct buf b = BUF_INIT(1 << 20);
    struct arena *a = arena_new(16 << 20);
    struct batch_reader r;
    struct batch_record rec;
    struct err err = ERR_INIT;
    uint32_t crc;

    if (a && size < (1 << 19)) {
        buf_put_u32(&b, BODY_VERSION);
        buf_put_u32(&b, 0);
        buf_put(&b, data, size);
        crc = crc32c(body_crc_keys(keys, ARRAY_N(keys)), b.p, HEADER_N - 4);
        body_patch_u32(&b, 4, crc32c(crc, b.p + HEADER_N, b.n - HEADER_N));
        if (!batch_open(&r, a, buf_str(&b), 1, 0, 0, 0, &err)) {
            while (!batch_next(&r, &rec, &err)) {
                read_record(&r, &rec);
            }
        }
    }
    buf_release(&b);
    arena_free(a);
    return 0;
}
