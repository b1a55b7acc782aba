/* HTTP/1: heads and chunks, cut at places the input chooses, compared with http-parser: what we accept it accepts too,
 * with the same method, target, fields and body, and a piecewise reading equals a whole one. */
#include "base/mem.h"
#include "net/http1_head.h"
#include "oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 8 << 20 };

/* Our reading of a whole message; false if we refuse it or it is not complete. */
static bool read_ours(struct str in, struct arena *a, struct http1_head *h, struct buf *body,
                      size_t *used_n, size_t step)
{
    static const struct http1_limits limits = { 4096, 8192, ORACLE_FIELDS - 1 };
    struct http1_scan scan = { 0 };
    struct http1_chunks c = { 0 };
    const char *why = NULL;
    size_t head_n = 0, at = 0;
    int rc = HTTP1_SCAN_MORE;

    for (size_t end = 0; rc == HTTP1_SCAN_MORE && end < in.n;) {
        end = MIN_OF(end + step, in.n);
        rc = http1_scan(&scan, str_sub(in, 0, end), &limits, &head_n);
    }
    if (rc != HTTP1_SCAN_DONE) {
        return false;
    }
    struct str head = arena_str(a, str_sub(in, 0, head_n));

    CHECK(head.p);
    if (http1_parse((char *)(uintptr_t)head.p, head.n, limits.field_max, a, h, &why)) {
        CHECK(why);
        return false;
    }
    at = head_n;
    if (!h->chunked) {
        if (h->content_length > in.n - at) {
            return false;
        }
        buf_put(body, in.p + at, (size_t)h->content_length);
        *used_n = at + (size_t)h->content_length;
        return true;
    }
    while (at < in.n && c.state != HTTP1_CHUNK_DONE && c.state != HTTP1_CHUNK_BAD) {
        struct str data;
        size_t used;

        http1_chunks_feed(&c, str_sub(in, at, step), &used, &data);
        CHECK(used > 0 || c.state == HTTP1_CHUNK_BAD);
        buf_put(body, data.p, data.n);
        at += used;
    }
    *used_n = at;
    return c.state == HTTP1_CHUNK_DONE;
}

static void compare(struct str in, const struct http1_head *h, const struct buf *body)
{
    struct oracle o = { .body = BUF_INIT(1 << 20) };

    oracle_read(in, &o);
    CHECK(o.accepted);
    CHECK(str_eq(str_cstr(o.method), str_cstr(http_method_name(h->method))));
    CHECK(str_eq(o.url, h->target));
    CHECK(o.version == h->version);
    CHECK(o.field_n == h->field_n);
    for (size_t i = 0; i < o.field_n; i++) {
        CHECK(str_eq_nocase(o.names[i], h->fields[i].name));
        CHECK(str_eq(str_trim(o.values[i]), h->fields[i].value));
    }
    CHECK(str_eq(buf_str(&o.body), buf_str(body)));
    buf_release(&o.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf whole = BUF_INIT(1 << 20), pieces = BUF_INIT(1 << 20);
    struct http1_head h, h2;
    struct arena *a;
    size_t used = 0, used2 = 0, step;
    struct str in;
    bool ok;

    if (n < 2) {
        return 0;
    }
    step = 1 + data[0] % 40;
    in = str_of(data + 1, n - 1);
    a = arena_new(ARENA_MAX);
    CHECK(a);
    ok = read_ours(in, a, &h, &whole, &used, SIZE_MAX / 4);
    CHECK(ok == read_ours(in, a, &h2, &pieces, &used2, step));
    if (ok) {
        CHECK(used == used2 && str_eq(buf_str(&whole), buf_str(&pieces)));
        compare(str_sub(in, 0, used), &h, &whole);
    }
    buf_release(&whole);
    buf_release(&pieces);
    arena_free(a);
    return 0;
}
