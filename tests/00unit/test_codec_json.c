/* JSON text: the pull reader, free-form checks, the canonical form, the writers. */
#include "base/mem.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "tap.h"
#include <math.h>

static struct err err;

/* The events of a text as letters: { } [ ] k(ey) s(tring) d(igits) t f n N(aN), then '.' at the end, '!' on an error. */
static const char *events(struct str text, unsigned flags, size_t depth)
{
    static char out[256];
    static const char letters[] = ".nftdNsk{}[]";
    struct json_reader r;
    enum json_event ev;
    size_t n = 0;

    json_init(&r, text, flags, depth);
    do {
        ev = json_next(&r);
        if (n < sizeof(out) - 1) out[n++] = ev < 0 ? '!' : letters[ev];
    } while (ev > JSON_EV_END);
    out[n] = 0;
    json_release(&r);
    return out;
}

TEST(json_events_of_valid_text)
{
    T_CSTR(events(S(" {\"a\" : [1, -2.5e3,true,false,null,\"x\"],\"b\":{}} "), 0, 0),
           "{k[ddtfns]k{}}.");
    T_CSTR(events(S("[]"), 0, 0), "[].");
    T_CSTR(events(S("[[[]]]"), 0, 3), "[[[]]].");
    T_CSTR(events(S("0"), 0, 0), "d.");
    T_CSTR(events(S("\"\""), 0, 0), "s.");
    T_CSTR(events(S("[NaN,Infinity,-Infinity,-1]"), JSON_BARE_NAN, 0), "[NNNd].");
    T_CSTR(events(S("1 \n{} "), JSON_SEQUENCE, 0), "d{}.");
    T_CSTR(events(S("  "), JSON_SEQUENCE, 0), ".");
    T_CSTR(events(S("{\"a\":1,\"a\":2}"), 0, 0), "{kdkd}.");
}

TEST(json_refuses_what_is_not_json)
{
    static const struct str bad[] = {
        S_INIT(""),
        S_INIT(" "),
        S_INIT("{"),
        S_INIT("[1,]"),
        S_INIT("[,1]"),
        S_INIT("{\"a\"}"),
        S_INIT("{\"a\":}"),
        S_INIT("{\"a\":1,}"),
        S_INIT("{a:1}"),
        S_INIT("{'a':1}"),
        S_INIT("01"),
        S_INIT("1."),
        S_INIT(".5"),
        S_INIT("-"),
        S_INIT("+1"),
        S_INIT("1e"),
        S_INIT("1e+"),
        S_INIT("tru"),
        S_INIT("True"),
        S_INIT("nul"),
        S_INIT("NaN"),
        S_INIT("[1 2]"),
        S_INIT("1 2"),
        S_INIT("]"),
        S_INIT("[}"),
        S_INIT("{]"),
        S_INIT("{\"a\":1]"),
        S_INIT("\"a"),
        S_INIT("\"\\x\""),
        S_INIT("\"\\u12\""),
        S_INIT("\"\\u12g4\""),
        S_INIT("\"\\ud800\""),
        S_INIT("\"\\ud800\\u0041\""),
        S_INIT("\"\\udc00\""),
        S_INIT("\"\\\""),
        S_INIT("\"a\nb\""),
        S_INIT("\"\x01\""),
        S_INIT("\"\x80\""),
        S_INIT("\"\xc0\xaf\""),
        S_INIT("\"\xed\xa0\x80\""),
        S_INIT("\"\xf5\x80\x80\x80\""),
        S_INIT("/* */1"),
        S_INIT("1\0"),
        S_INIT("[1,2"),
        S_INIT("[\"a\""),
    };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        const char *ev = events(bad[i], 0, 0);

        if (ev[strlen(ev) - 1] != '!') T_FAIL("accepted: %.*s", STR_ARG(bad[i]));
        T_ST(json_check(bad[i], 0, 0, &err), ST_BAD_REQUEST);
    }
    T_CSTR(events(S("[[[]]]"), 0, 2), "[[!");
    T_CSTR(events(S("{\"a\":{\"b\":1},\"\\u0061\":2}"), JSON_NO_DUPLICATES, 0), "{k{kd}!");
    T_CSTR(events(S("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), JSON_NO_DUPLICATES, 0), "{k{kd}k{kd}}.");
}

TEST(json_error_names_the_byte)
{
    T_ST(json_check(S("{\"a\":1,}"), 0, 0, &err), ST_BAD_REQUEST);
    T_CSTR(err.message, "not JSON at byte 7: expected a key");
}

TEST(json_strings_decode)
{
    struct arena *a = arena_new(1 << 16);
    struct json_reader r;

    json_init(&r, S("\"plain\""), 0, 0);
    T_INT(json_next(&r), JSON_EV_STRING);
    T_INT(r.escaped, 0);
    T_STR(json_text(&r, a), "plain");
    json_init(&r, S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\u0000z\""), 0,
              0);
    T_INT(json_next(&r), JSON_EV_STRING);
    T_INT(r.escaped, 1);
    T_STR(json_text(&r, a), "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0z");
    json_init(&r, S("\"0123456789abcdef0123456789abcdef\xc3\xa9 long enough for wide scans \\n\""),
              0, 0);
    T_INT(json_next(&r), JSON_EV_STRING);
    T_STR(json_text(&r, a),
          "0123456789abcdef0123456789abcdef\xc3\xa9 long enough for wide scans \n");
    arena_free(a);
}

TEST(json_integers_are_exact)
{
    int64_t i;
    uint64_t u;

    T_OK(json_i64(S("9223372036854775807"), &i) && i == INT64_MAX);
    T_OK(json_i64(S("-9223372036854775808"), &i) && i == INT64_MIN);
    T_OK(!json_i64(S("9223372036854775808"), &i));
    T_OK(!json_i64(S("-9223372036854775809"), &i));
    T_OK(json_i64(S("1e3"), &i) && i == 1000);
    T_OK(json_i64(S("1.0"), &i) && i == 1);
    T_OK(json_i64(S("-120.50e1"), &i) && i == -1205);
    T_OK(json_i64(S("922337203685477580.7e1"), &i) && i == INT64_MAX);
    T_OK(!json_i64(S("1.5"), &i));
    T_OK(!json_i64(S("1e-1"), &i));
    T_OK(!json_i64(S("1e400"), &i));
    T_OK(json_i64(S("0e99999999999999999999"), &i) && i == 0);
    T_OK(!json_i64(S("1e99999999999999999999"), &i));
    T_OK(json_i64(S("100000000000000000000000e-20"), &i) && i == 1000);
    T_OK(json_u64(S("18446744073709551615"), &u) && u == UINT64_MAX);
    T_OK(!json_u64(S("-1"), &u));
    T_OK(json_u64(S("-0.0"), &u) && u == 0);
}

TEST(json_skip_steps_over_values)
{
    struct json_reader r;

    json_init(&r, S("{\"a\":[1,{\"b\":[]}],\"c\":2,\"d\":{\"e\":1}}"), 0, 0);
    T_INT(json_next(&r), JSON_EV_OBJECT);
    T_INT(json_next(&r), JSON_EV_KEY);
    T_INT(json_skip(&r), JSON_EV_ARRAY_END);
    T_INT(json_next(&r), JSON_EV_KEY);
    T_INT(json_skip(&r), JSON_EV_NUMBER);
    T_INT(json_next(&r), JSON_EV_KEY);
    T_STR(r.raw, "d");
    T_INT(json_next(&r), JSON_EV_OBJECT);
    T_INT(json_skip(&r), JSON_EV_OBJECT_END);
    T_INT(json_next(&r), JSON_EV_OBJECT_END);
    T_INT(json_next(&r), JSON_EV_END);
    json_init(&r, S("[1,"), 0, 0);
    T_INT(json_next(&r), JSON_EV_ARRAY);
    T_INT(json_skip(&r), JSON_EV_ERROR);
}

/* Reads a text in pieces of `step` bytes; its events must be those of the whole. */
static void feed_by(struct str text, size_t step, const char *want)
{
    static const char letters[] = ".nftdNsk{}[]";
    char buffer[512], got[256];
    size_t given = MIN_OF(step, text.n), have = given, n = 0;
    struct json_reader r;
    enum json_event ev;

    memcpy(buffer, text.p, given);
    json_init(&r, str_of(buffer, have), JSON_PARTIAL | JSON_BARE_NAN, 0);
    do {
        ev = json_next(&r);
        if (ev == JSON_EV_MORE) {
            struct str rest = json_rest(&r);
            size_t more = MIN_OF(step, text.n - given);

            memmove(buffer, rest.p, rest.n);
            memcpy(buffer + rest.n, text.p + given, more);
            given += more;
            have = rest.n + more;
            json_feed(&r, str_of(buffer, have), more == 0);
            continue;
        }
        got[n++] = ev < 0 ? '!' : letters[ev];
    } while (ev != JSON_EV_END && ev != JSON_EV_ERROR);
    got[n] = 0;
    T_CSTR(got, want);
    if (ev == JSON_EV_END) T_UINT(json_offset(&r), text.n);
    json_release(&r);
}

TEST(json_reads_in_pieces)
{
    for (size_t step = 1; step < 40; step++) {
        feed_by(
            S("{\"key\\u00e9\" : [1, -2.5e3, true,false ,null,\"x\\ud83d\\ude00y\", -Infinity,NaN],\"b\":{}}"),
            step, "{k[ddtfnsNN]k{}}.");
        feed_by(S("-12"), step, "d.");
        feed_by(S("[1,tru]"), step, "[d!");
        feed_by(S("[\"\\ud83dx\"]"), step, "[!");
        feed_by(S("[12"), step, "[d!");
    }
}

static struct str canonical(struct arena *a, struct str raw)
{
    struct buf b = BUF_INIT(4096);
    struct str out;

    T_ST(json_check(raw, JSON_BARE_NAN, 0, &err), OK);
    T_ST(json_canonical(&b, raw, a, &err), OK);
    out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

TEST(json_canonical_is_pythons)
{
    struct arena *a = arena_new(1 << 16);
    struct buf b = BUF_INIT(16);

    T_STR(
        canonical(
            a,
            S(" { \"b\" : 1.50 , \"a\":[ 1e3, -0, -0.0, NaN ], \"b\":true , \"\\u00e9\":\"\x7f\xc3\xa9\" } ")),
        "{\"a\":[1000.0,0,-0.0,NaN],\"b\":true,\"\\u00e9\":\"\\u007f\\u00e9\"}");
    T_STR(canonical(a, S("\"x\"")), "\"x\"");
    T_STR(canonical(a, S("[{},[],null,{\"z\":{\"y\":1,\"x\":[{\"b\":1,\"a\":2}]}}]")),
          "[{},[],null,{\"z\":{\"x\":[{\"a\":2,\"b\":1}],\"y\":1}}]");
    T_STR(canonical(a, S("123456789012345678901234567890")), "123456789012345678901234567890");
    T_STR(canonical(a, S("1e400")), "Infinity");
    T_ST(json_canonical(&b, str_of("", JSON_CANONICAL_MAX + 1), a, &err), ST_TOO_BIG);
    arena_free(a);
}

static struct str written(struct buf *b)
{
    T_ST(buf_status(b, "out", &err), OK);
    return buf_str(b);
}

TEST(json_put_str_escapes)
{
    struct buf b = BUF_INIT(4096);

    json_put_str(&b, S("a\"\\\b\f\n\r\t\x01\x1f\x7f/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), true);
    T_STR(written(&b),
          "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f/\\u00e9\\u20ac\\ud83d\\ude00\"");
    buf_clear(&b);
    json_put_str(&b, S("\x7f/\xc3\xa9\xf0\x9f\x98\x80"), false);
    T_STR(written(&b), "\"\x7f/\xc3\xa9\xf0\x9f\x98\x80\"");
    buf_clear(&b);
    json_put_str(&b,
                 S("\xff"
                   "a\xc3"),
                 false);
    T_STR(written(&b), "\"\xef\xbf\xbd"
                       "a\xef\xbf\xbd\"");
    buf_clear(&b);
    json_put_str(&b, (struct str){ NULL, 0 }, false);
    T_STR(written(&b), "\"\"");
    buf_release(&b);
}

TEST(json_put_double_by_rule)
{
    struct buf b = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER_INIT(&b);

    json_w_array(&w);
    json_w_double(&w, 1.0);
    json_w_double(&w, (double)NAN);
    w.nan = JSON_NAN_STRING;
    json_w_double(&w, (double)INFINITY);
    w.nan = JSON_NAN_BARE;
    json_w_double(&w, -(double)INFINITY);
    json_w_array_end(&w);
    T_STR(written(&b), "[1.0,null,\"Infinity\",-Infinity]");
    buf_release(&b);
}

TEST(json_writer_sets_commas)
{
    struct buf b = BUF_INIT(4096);
    struct json_writer w = JSON_WRITER_INIT(&b);

    json_w_object(&w);
    json_w_key(&w, S("a"));
    json_w_array(&w);
    json_w_i64(&w, -1);
    json_w_u64(&w, UINT64_MAX);
    json_w_object(&w);
    json_w_object_end(&w);
    json_w_array_end(&w);
    json_w_key(&w, S("b"));
    json_w_str(&w, S("x"));
    json_w_key(&w, S("c"));
    json_w_cstr(&w, NULL);
    json_w_key(&w, S("d"));
    json_w_cstr(&w, "y");
    json_w_key(&w, S("e"));
    json_w_bool(&w, false);
    json_w_key(&w, S("f"));
    json_w_raw(&w, S("[1]"));
    json_w_object_end(&w);
    T_STR(
        written(&b),
        "{\"a\":[-1,18446744073709551615,{}],\"b\":\"x\",\"c\":null,\"d\":\"y\",\"e\":false,\"f\":[1]}");
    T_ST(json_check(buf_str(&b), JSON_NO_DUPLICATES, 0, &err), OK);
    buf_release(&b);
}

/* Any text survives writing and reading, in both spellings. */
TEST(json_strings_round_trip)
{
    struct arena *a = arena_new(1 << 20);
    struct buf b = BUF_INIT(1 << 16), text = BUF_INIT(1 << 16);

    for (int round = 0; round < 2000; round++) {
        size_t n = t_rand_below(60);
        struct json_reader r;

        buf_clear(&text);
        buf_clear(&b);
        for (size_t i = 0; i < n; i++) {
            static const uint32_t tops[] = { 0x20, 0x80, 0x800, 0xd800, 0x110000 };
            uint32_t cp = (uint32_t)t_rand_below(tops[t_rand_below(5)]);
            char c[4];

            if (cp >= 0xd800 && cp < 0xe000) cp = '"';
            buf_put(&text, c, utf8_put(cp, c));
        }
        json_put_str(&b, buf_str(&text), round & 1);
        json_init(&r, buf_str(&b), 0, 0);
        T_INT(json_next(&r), JSON_EV_STRING);
        T_STR_EQ(json_text(&r, a), buf_str(&text));
        T_INT(json_next(&r), JSON_EV_END);
        arena_reset(a);
    }
    buf_release(&b);
    buf_release(&text);
    arena_free(a);
}

TEST(json_out_of_memory_is_an_error)
{
    struct str text = S("{\"a\":{\"b\\n\":1,\"c\":[\"x\\ty\"]}}");

    for (int64_t n = 1; n < 100; n++) {
        struct arena *a = arena_new(1 << 16);
        struct buf b = BUF_INIT(4096);
        enum status st;

        mem_fail_after(n, true);
        st = json_check(text, JSON_NO_DUPLICATES, 0, &err);
        if (!st) st = json_canonical(&b, text, a, &err);
        if (!st) st = buf_status(&b, "out", &err);
        mem_fail_never();
        buf_release(&b);
        arena_free(a);
        if (!st) {
            T_OK(n > 3);
            return;
        }
        T_ST(st, ST_NOMEM);
    }
    T_FAIL("never succeeds");
}
