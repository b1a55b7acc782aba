/* Bodies of run heads: the input is the raw body, behind a right header and checksum. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/headbody.h"
#include "store/series/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head_keys keys = { 1, 0, S("r") };
    struct buf raw = BUF_INIT(1 << 20), body = BUF_INIT(4 << 20);
    struct arena *a = arena_new(64 << 20);
    struct head_body out;
    struct err err = ERR_INIT;
    struct zip z = { 0 };

    if (a && size < (1 << 16)) {
        buf_put(&raw, data, size);
        if (!head_body_finish(&z, &raw, &keys, &body, &err) &&
            !head_body_decode(a, buf_str(&body), &keys, &out, &err)) {
            for (size_t i = 1; i < out.metrics_n; i++) {
                CHECK(out.metrics[i - 1].key < out.metrics[i].key);
            }
            for (size_t i = 1; i < out.tags_n; i++) {
                CHECK(out.tags[i - 1].key < out.tags[i].key);
            }
        }
    }
    zip_release(&z);
    buf_release(&raw);
    buf_release(&body);
    arena_free(a);
    return 0;
}
