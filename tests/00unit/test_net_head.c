/* tests/00unit/test_net_head.c - the reader of heads and chunks, without sockets: split at every byte, limits, fields. */
#include "base/mem.h"
#include "net/http1_head.h"
#include "tap.h"

static const struct http1_limits wide = { 16384, 65536, 100 };

static int scan_all(const char *text, const struct http1_limits *l, size_t *head_n)
{
    struct http1_scan s = { 0 };

    return http1_scan(&s, str_cstr(text), l, head_n);
}

TEST(head_scan_at_every_split)
{
    static const char text[] = "\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    size_t whole = sizeof(text) - 1 - 3;

    for (size_t cut = 0; cut <= sizeof(text) - 1; cut++) {
        struct http1_scan s = { 0 };
        size_t n = 0;
        int rc = http1_scan(&s, str_of(text, cut), &wide, &n);

        if (cut < whole) {
            T_INT(rc, HTTP1_SCAN_MORE);
            rc = http1_scan(&s, str_of(text, sizeof(text) - 1), &wide, &n);
        }
        T_INT(rc, HTTP1_SCAN_DONE);
        T_UINT(n, whole);
    }
    /* And byte by byte. */
    struct http1_scan s = { 0 };
    size_t n = 0;

    for (size_t i = 1; i < whole; i++) {
        T_INT(http1_scan(&s, str_of(text, i), &wide, &n), HTTP1_SCAN_MORE);
    }
    T_INT(http1_scan(&s, str_of(text, whole), &wide, &n), HTTP1_SCAN_DONE);
}

TEST(head_scan_limits)
{
    const struct http1_limits small = { 20, 30, 2 };
    size_t n;

    T_INT(scan_all("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &small, &n), 414);
    T_INT(scan_all("GET / HTTP/1.1\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                   &small, &n),
          431);
    T_INT(scan_all("GET / HTTP/1.1\r\nA:1\r\nB:1\r\nC:1\r\n\r\n", &small, &n), 431);
    T_INT(scan_all("GET / HTTP/1.1\r\nA:1\r\nB:1\r\n\r\n", &small, &n), HTTP1_SCAN_DONE);
    T_INT(scan_all("GET / HTTP/1.1\n", &small, &n), 400);
    T_INT(scan_all("\n", &small, &n), 400);
    T_INT(scan_all("\r\n\r\n", &small, &n), 400);
}

static int parse(const char *text, struct arena *a, struct http1_head *h)
{
    const char *why = NULL;
    struct str copy = arena_str(a, str_cstr(text));

    return http1_parse((char *)(uintptr_t)copy.p, copy.n, 100, a, h, &why);
}

TEST(head_fields)
{
    struct arena *a = arena_new(1 << 20);
    struct http1_head h;

    T_INT(
        parse(
            "PUT /a%20b?q=1&r=?x HTTP/1.1\r\nHOST:  Example.ORG:80 \r\nX-Empty:\r\nX-Tab:\ta b\t\r\n"
            "Content-Length: 12\r\nX-High: \xc3\xa9\r\nConnection: Upgrade, Close\r\n\r\n",
            a, &h),
        0);
    T_INT(h.method, HTTP_PUT);
    T_UINT(h.version, 11);
    T_STR(h.raw_path, "/a%20b");
    T_STR(h.query, "q=1&r=?x");
    T_STR(h.host, "example.org:80");
    T_UINT(h.field_n, 6);
    T_STR(h.fields[0].name, "host");
    T_STR(h.fields[1].value, "");
    T_STR(h.fields[2].value, "a b");
    T_STR(h.fields[4].value, "\xc3\xa9");
    T_UINT(h.content_length, 12);
    T_OK(!h.keep_alive && !h.chunked && !h.expect_continue);
    T_INT(parse("GET /? HTTP/1.1\r\nHost: a\r\n\r\n", a, &h), 0);
    T_OK(str_is_set(h.query) && h.query.n == 0 && h.keep_alive);
    T_INT(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n", a, &h), 0);
    T_OK(!str_is_set(h.query));
    T_INT(parse("GET http://Example.org:5?x HTTP/1.1\r\nHost: example.ORG:5\r\n\r\n", a, &h), 0);
    T_STR(h.raw_path, "/");
    T_STR(h.query, "x");
    T_STR(h.host, "example.org:5");
    T_INT(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", a, &h), 0);
    T_INT(parse("GET / HTTP/1.0\r\n\r\n", a, &h), 0);
    T_OK(!h.keep_alive);
    T_INT(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", a, &h), 0);
    T_OK(h.keep_alive);
    T_INT(parse("POST / HTTP/1.1\r\nHost: [::1]:9\r\nTransfer-Encoding: Chunked\r\n\r\n", a, &h),
          0);
    T_OK(h.chunked && h.content_length == UINT64_MAX);
    T_INT(parse("POST / HTTP/1.1\r\nHost:\r\n\r\n", a, &h), 0); /* legal; the guard refuses it */
    arena_free(a);
}

/* Every byte at every place of a value and of a target: looking at eight at once refuses what looking at each would. */
TEST(head_every_byte)
{
    struct arena *a = arena_new(1 << 20);
    struct http1_head h;

    for (unsigned c = 1; c < 256; c++) {
        for (size_t at = 0; at < 19; at++) {
            char value[20] = "abcdefghijklmnopqrs", text[128];
            bool odd = (c < 0x20 && c != '\t') || c == 0x7f;
            bool bad = c <= ' ' || c >= 0x7f || c == '#';

            value[at] = (char)c;
            (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", value);
            T_INT(parse(text, a, &h), odd ? 400 : 0);
            (void)snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", value);
            T_INT(parse(text, a, &h), bad ? 400 : 0);
            arena_reset(a);
        }
    }
    arena_free(a);
}

TEST(head_out_of_memory)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char copy[sizeof(text)];
    struct arena *a = arena_new(1 << 20);
    struct http1_head h;
    const char *why;

    while (arena_alloc(a, 64)) {
    }
    while (arena_alloc(a, 16)) {
    }
    memcpy(copy, text, sizeof(text));
    T_INT(http1_parse(copy, sizeof(text) - 1, 100, a, &h, &why), 503);
    arena_free(a);
}

/* Feeds text in pieces of at most step bytes; the data, or "BAD", or "MORE". */
static struct str chunks(struct arena *a, const char *text, size_t step)
{
    struct http1_chunks c = { 0 };
    struct str in = str_cstr(text), data;
    char *out = arena_alloc(a, in.n + 1);
    size_t at = 0, n = 0, used;

    while (at < in.n && c.state != HTTP1_CHUNK_BAD && c.state != HTTP1_CHUNK_DONE) {
        http1_chunks_feed(&c, str_sub(in, at, step), &used, &data);
        memcpy(out + n, data.p ? data.p : "", data.n);
        n += data.n;
        at += used;
    }
    if (c.state == HTTP1_CHUNK_BAD) {
        return S("BAD");
    }
    if (c.state == HTTP1_CHUNK_DONE) {
        T_UINT(at, in.n);
        return str_of(out, n);
    }
    return S("MORE");
}

TEST(chunks_at_every_step)
{
    struct arena *a = arena_new(1 << 20);

    for (size_t step = 1; step < 40; step++) {
        T_STR(chunks(a, "5\r\nhello\r\nA;x=y\r\n0123456789\r\n000\r\nT: v\r\nU:\r\n\r\n", step),
              "hello0123456789");
        T_STR(chunks(a, "0\r\n\r\n", step), "");
        T_STR(chunks(a, "5\r\nhello\r\n", step), "MORE");
        T_STR(chunks(a, "5\r\nhelloX\r\n", step), "BAD");
        T_STR(chunks(a, "g\r\n", step), "BAD");
        T_STR(chunks(a, "\r\n", step), "BAD");
        T_STR(chunks(a, "0\r\nContent-LENGTH: 5\r\n\r\n", step), "BAD");
        T_STR(chunks(a, "0\r\n: 5\r\n\r\n", step), "BAD");
        T_STR(chunks(a, "0\r\nA\r\n\r\n", step), "BAD");
    }
    arena_free(a);
}

TEST(chunks_caps)
{
    struct arena *a = arena_new(1 << 20);
    struct buf b = BUF_INIT(1 << 20);

    for (int i = 0; i < 1000; i++) {
        buf_put_lit(&b, "1;xxxxxxxxxx\r\na\r\n");
    }
    buf_put_u8(&b, 0);
    T_STR(chunks(a, b.p, SIZE_MAX), "BAD"); /* extensions of the whole body together */
    buf_clear(&b);
    buf_put_lit(&b, "0\r\n");
    for (int i = 0; i < 1000; i++) {
        buf_put_lit(&b, "Abc: defghij\r\n");
    }
    buf_put_u8(&b, 0);
    T_STR(chunks(a, b.p, SIZE_MAX), "BAD"); /* trailers */
    T_STR(chunks(a, "1000000000000000\r\n", SIZE_MAX), "BAD");
    T_STR(chunks(a, "000000000000000005\r\nhello\r\n", SIZE_MAX), "BAD");
    buf_release(&b);
    arena_free(a);
}
