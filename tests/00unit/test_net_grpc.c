/* tests/00unit/test_net_grpc.c - gRPC's framing: messages cut anywhere, deadlines, texts, forms. */
#include "net/grpc.h"
#include "tap.h"
#include <stdio.h>

TEST(test_grpc_frames)
{
    struct buf b = BUF_INIT(4096);
    struct grpc_frame f;
    struct str in;

    grpc_put(&b, 0, S("hello"));
    grpc_put(&b, GRPC_FLAG_COMPRESSED, S(""));
    T_UINT(b.n, 15);
    for (size_t n = 0; n < 10; n++) { /* too little, wherever it is cut */
        in = str_sub(buf_str(&b), 0, n);
        T_INT(grpc_take(&in, 100, &f), GRPC_MORE);
        T_UINT(in.n, n);
    }
    in = buf_str(&b);
    T_INT(grpc_take(&in, 5, &f), GRPC_GOT);
    T_STR(f.bytes, "hello");
    T_OK(!f.compressed);
    T_INT(grpc_take(&in, 5, &f), GRPC_GOT);
    T_UINT(f.bytes.n, 0);
    T_OK(f.compressed);
    T_UINT(in.n, 0);
    in = buf_str(&b);
    T_INT(grpc_take(&in, 4, &f), GRPC_TOO_BIG);
    in = str_of("\0\xff\xff\xff\xff", 5);
    T_INT(grpc_take(&in, 100, &f), GRPC_TOO_BIG);
    in = str_of("\x02\0\0\0\0", 5);
    T_INT(grpc_take(&in, 100, &f), GRPC_BROKEN);
    in = str_of("\x80\0\0\0\0", 5);
    T_INT(grpc_take(&in, 100, &f), GRPC_BROKEN);
    buf_release(&b);
}

TEST(test_grpc_timeouts)
{
    int64_t ns = 0;

    T_OK(grpc_timeout(S("1S"), &ns));
    T_INT(ns, 1000000000);
    T_OK(grpc_timeout(S("99999999H"), &ns));
    T_OK(ns > 0);
    T_OK(grpc_timeout(S("20m"), &ns));
    T_INT(ns, 20000000);
    T_OK(grpc_timeout(S("7u"), &ns));
    T_INT(ns, 7000);
    T_OK(grpc_timeout(S("0n"), &ns));
    T_INT(ns, 0);
    T_OK(grpc_timeout(S("2M"), &ns));
    T_INT(ns, 120000000000);
    T_OK(!grpc_timeout(S(""), &ns));
    T_OK(!grpc_timeout(S("S"), &ns));
    T_OK(!grpc_timeout(S("1"), &ns));
    T_OK(!grpc_timeout(S("1x"), &ns));
    T_OK(!grpc_timeout(S("-1S"), &ns));
    T_OK(!grpc_timeout(S("1.5S"), &ns));
    T_OK(!grpc_timeout(S("123456789S"), &ns));
}

TEST(test_grpc_texts)
{
    struct arena *a = arena_new(1 << 16);

    T_STR(grpc_message(a, S("plain text")), "plain text");
    T_STR(grpc_message(a, S("100%\n\xc3\xa9")), "100%25%0A%C3%A9");
    T_STR(grpc_message(a, S("")), "");
    T_INT(grpc_form(S("application/grpc")), GRPC_PLAIN);
    T_INT(grpc_form(S("Application/gRPC+proto; charset=x")), GRPC_PLAIN);
    T_INT(grpc_form(S("application/grpc-web+proto")), GRPC_WEB);
    T_INT(grpc_form(S("application/grpc-web-text")), GRPC_WEB_TEXT);
    T_INT(grpc_form(S("application/grpc+json")), GRPC_NONE);
    T_INT(grpc_form(S("application/json")), GRPC_NONE);
    T_INT(grpc_form(S("")), GRPC_NONE);
    T_CSTR(grpc_type(GRPC_PLAIN), "application/grpc");
    T_CSTR(grpc_type(GRPC_WEB), "application/grpc-web+proto");
    T_CSTR(grpc_type(GRPC_WEB_TEXT), "application/grpc-web-text+proto");
    arena_free(a);
}

TEST(test_grpc_tidy)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "", "" },
        { "as it is: \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n\t.",
          "as it is: \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n\t." },
        { "\x1b[2J\x7f\r", "?[2J??" },
        { "\xc2\x9bm \xc2\xa0", "??m \xc2\xa0" },
        { "\xff\xfe", "??" },
        { "\xe2\x82", "??" },
        { "\xf0\x9f\x98", "???" },
        { "\xe2(\xa1\xed\xa0\x80", "?(????" },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%s", rows[i].in);
        grpc_tidy(text);
        T_CSTR(text, rows[i].out);
    }
}
