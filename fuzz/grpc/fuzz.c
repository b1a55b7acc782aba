/* gRPC's framing: messages taken off the input are its bytes in order, and what is put again is what was taken. */
#include "base/mem.h"
#include "net/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str in = str_of(data, n), text;
    struct buf again = BUF_INIT(1 << 24);
    struct arena *a = arena_new(1 << 24);
    struct grpc_frame f;
    int64_t ns;

    CHECK(a);
    while (grpc_take(&in, 1 << 20, &f) == GRPC_GOT) {
        CHECK(f.bytes.n <= 1 << 20);
        grpc_put(&again, f.compressed ? GRPC_FLAG_COMPRESSED : 0, f.bytes);
    }
    CHECK(!again.failed && again.n == n - in.n);
    CHECK(again.n == 0 || memcmp(again.p, data, again.n) == 0);
    in = str_of(data, n);
    if (grpc_timeout(in, &ns)) {
        CHECK(ns >= 0 && n <= 9);
    }
    (void)grpc_form(in);
    text = grpc_message(a, str_sub(in, 0, 1 << 20));
    for (size_t i = 0; text.p && i < text.n; i++) {
        CHECK(text.p[i] >= 0x20 && text.p[i] < 0x7f);
    }
    buf_release(&again);
    arena_free(a);
    return 0;
}
