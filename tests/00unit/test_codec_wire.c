/* Protobuf wire, query strings, base64, CSV. */
#include "base/utf8.h"
#include "codec/base64.h"
#include "codec/csv.h"
#include "codec/msg.h"
#include "codec/query.h"
#include "codec_all.h"
#include "tap.h"
#include <math.h>

static struct err err;
static struct msg_ctx ctx;
static struct arena *arena;

static void setup(void)
{
    if (arena) {
        arena_reset(arena);
    } else {
        arena = arena_new(1 << 20);
    }
    ctx = (struct msg_ctx){ .arena = arena };
}

static enum status from_wire(const struct msg_desc *desc, void *out, struct str wire)
{
    setup();
    return msg_decode_pb(desc, out, wire, &ctx, &err);
}

#define WIRE(m, lit) from_wire(&t_all_desc, (m), S(lit))

/* ---- protobuf ---- */

TEST(pb_known_bytes)
{
    struct t_all m;

    T_ST(WIRE(&m, "\x09\0\0\0\0\0\0\xf8\x3f"
                  "\x10\x01"
                  "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                  "\x20\x03"
                  "\x2d\xfe\xff\xff\xff"
                  "\x30\x96\x01"
                  "\x38\x01"
                  "\x41\xff\xff\xff\xff\xff\xff\xff\xff"
                  "\x48\xff\xff\xff\xff\x0f"
                  "\x55\x01\0\0\0"
                  "\x58\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                  "\x61\x02\0\0\0\0\0\0\0"
                  "\x68\x05"
                  "\x72\x02\xc3\xa9"
                  "\x7a\x02\xff\0"),
         OK);
    T_DBL_BITS(m.d, 1.5);
    T_INT(m.b, 1);
    T_INT(m.i32, -1);
    T_INT(m.s32, -2);
    T_INT(m.sf32, -2);
    T_INT(m.i64, 150);
    T_INT(m.s64, -1);
    T_INT(m.sf64, -1);
    T_UINT(m.u32, UINT32_MAX);
    T_UINT(m.f32, 1);
    T_UINT(m.u64, UINT64_MAX);
    T_UINT(m.f64, 2);
    T_INT(m.color, T_COLOR_BLUE);
    T_STR(m.text_value, "\xc3\xa9");
    T_STR(m.raw_bytes, "\xff\0");
}

TEST(pb_messages_maps_and_lists)
{
    struct t_all m;

    T_ST_ERR(WIRE(&m, "\x82\x01\x06\x0a\x04[1 ]"      /* any_json */
                      "\x8a\x01\x05\x0a\x01k\x10\x07" /* leaf */
                      "\x92\x01\x06\x0a\x01"
                      "a\x12\x01"
                      "b\x92\x01\x03\x12\x01"
                      "c"                                          /* labels */
                      "\xa8\x01\x01\xaa\x01\x02\x02\x03"           /* i32s: one alone, two packed */
                      "\xd2\x01\x01x\xd2\x01\0"                    /* texts */
                      "\xea\x01\x03\x0a\x01p\xea\x01\x03\x0a\x01q" /* leaves */
                      "\xc2\x3e\x02\x10\x01"),                     /* all */
             OK, &err);
    T_STR(m.any_json, "[1 ]");
    T_STR(m.leaf->key, "k");
    T_INT(m.leaf->n, 7);
    T_UINT(m.labels_n, 2);
    T_STR(m.labels[0].value, "b");
    T_STR(m.labels[1].key, "");
    T_UINT(m.i32s_n, 3);
    T_INT(m.i32s[2], 3);
    T_UINT(m.texts_n, 2);
    T_UINT(m.leaves_n, 2);
    T_STR(m.leaves[1].key, "q");
    T_INT(m.all->b, 1);
}

TEST(pb_skips_what_it_does_not_know)
{
    struct t_all m;

    T_ST_ERR(WIRE(&m, "\xf8\x3f\x01" /* field 1023, varint */
                      "\xf9\x3f"
                      "12345678" /* 64 bits */
                      "\xfd\x3f"
                      "1234" /* 32 bits */
                      "\xfa\x3f\x03"
                      "abc"                              /* bytes */
                      "\xfb\x3f\x08\x01\x13\x14\xfc\x3f" /* a group with a group in it */
                      "\x15\x01\0\0\0"                   /* b as 32 bits: another type */
                      "\x0a\x01x"                        /* d as bytes */
                      "\x10\x01"),
             OK, &err);
    T_UINT(m.has, T_ALL_HAS_B);
}

TEST(pb_refuses_broken_wire)
{
#define BAD(lit) S_INIT(lit)
    static const struct str bad[] = {
        BAD("\x08"),
        BAD("\x09\0\0"),
        BAD("\x10\x80"),
        BAD("\x72\x02x"),
        BAD("\x72\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        BAD("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        BAD("\0\x01"),
        BAD("\x04"),
        BAD("\x0b"),
        BAD("\x0b\x14"),
        BAD("\x0f\x01"),
        BAD("\x72\x01\xff"),
        BAD("\x80\x80\x80\x80\x10\x01"),
        BAD("\x8a\x01\x02\x0a\x05"),
        BAD("\x92\x01\x03\x0a\x01\xff"),
        BAD("\x92\x01\x02\x0a\x09"),
        BAD("\xaa\x01\x01\x80"),
        BAD("\x9a\x01\x03"
            "123"),
        BAD("\x82\x01\x02\x0a\x04"),
    };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct t_all m;

        if (from_wire(&t_all_desc, &m, bad[i]) != ST_BAD_REQUEST) T_FAIL("row %zu is accepted", i);
        T_INT(ctx.issue.kind, MSG_ISSUE_SYNTAX);
    }
}

TEST(pb_issues)
{
    struct t_all m;
    struct t_rules r;
    struct t_leaf leaf;
    struct buf deep = BUF_INIT(1 << 16);

    T_ST(from_wire(&t_leaf_desc, &leaf, S("")), ST_INVALID);
    T_INT(ctx.issue.kind, MSG_ISSUE_MISSING);
    T_ST(from_wire(&t_leaf_desc, &leaf, S("\x0a\0")), ST_INVALID);
    T_INT(ctx.issue.kind, MSG_ISSUE_MISSING);
    T_ST(from_wire(&t_leaf_desc, &leaf,
                   S("\x0a\x09"
                     "123456789")),
         ST_INVALID);
    T_INT(ctx.issue.kind, MSG_ISSUE_TOO_LONG);
    T_ST(WIRE(&m, "\x68\x03"), ST_INVALID);
    T_CSTR(err.message, "field color takes one of the values of its enum");
    T_ST(WIRE(&m, "\x72\x01\0"), ST_INVALID);
    T_CSTR(ctx.issue.path, "text_value");
    T_ST(WIRE(&m, "\x92\x01\x03\x0a\x01\0"), ST_INVALID);
    T_CSTR(ctx.issue.path, "labels[0]");
    T_ST(WIRE(&m, "\x82\x01\x03\x0a\x01["), ST_INVALID);
    T_CSTR(ctx.issue.path, "any_json");
    T_ST(from_wire(&t_rules_desc, &r, S("\x22\x01n\x28\x0b")), ST_INVALID);
    T_INT(ctx.issue.kind, MSG_ISSUE_RANGE);
    T_ST(from_wire(&t_rules_desc, &r,
                   S("\x22\x01n\x5a\x01"
                     "a\x5a\x01"
                     "b\x5a\x01"
                     "c")),
         ST_TOO_BIG);
    T_CSTR(err.message, "field few: more than 2 elements");
    for (int i = 0; i < 64; i++) {
        struct str inner = arena_str(arena, buf_str(&deep));

        buf_clear(&deep);
        buf_put_lit(&deep, "\xc2\x3e");
        buf_put_varint(&deep, inner.n);
        buf_put_str(&deep, inner);
        if (i == 62) {
            struct str wire = buf_str(&deep);

            ctx = (struct msg_ctx){ .arena = arena };
            T_ST(msg_decode_pb(&t_all_desc, &m, wire, &ctx, &err), OK);
        }
    }
    ctx = (struct msg_ctx){ .arena = arena };
    T_ST(msg_decode_pb(&t_all_desc, &m, buf_str(&deep), &ctx, &err), ST_BAD_REQUEST);
    T_INT(ctx.issue.kind, MSG_ISSUE_DEPTH);
    buf_release(&deep);
}

TEST(pb_second_number_and_defaults)
{
    struct t_rules r;

    T_ST(from_wire(&t_rules_desc, &r, S("\x0a\x01o")), OK);
    T_STR(r.name, "o");
    T_INT(r.size, 7);
    T_ST(from_wire(&t_rules_desc, &r, S("\x22\x01n\x0a\x01o")), OK);
    T_STR(r.name, "n");
    T_ST(from_wire(&t_rules_desc, &r, S("\x0a\x01o\x22\x01n")), OK);
    T_STR(r.name, "n");
}

static enum status count(void *stream_ctx, const struct msg_field *f, void *element, struct err *e)
{
    const struct t_leaf *leaf = element;

    (void)f, (void)e;
    *(int64_t *)stream_ctx += leaf->n * (leaf->has & T_LEAF_HAS_N ? 1 : 1000);
    return OK;
}

TEST(pb_streams_elements)
{
    struct t_rules r;
    int64_t sum = 0;

    setup();
    ctx.stream = count;
    ctx.stream_ctx = &sum;
    T_ST(msg_decode_pb(&t_rules_desc, &r,
                       S("\x22\x01n\x52\x05\x0a\x01"
                         "a\x10\x02\x52\x03\x0a\x01"
                         "b\x52\x05\x10\x05\x0a\x01"
                         "c"),
                       &ctx, &err),
         OK);
    T_INT(sum, 7);
    T_UINT(r.leaves_n, 3);
    T_OK(!r.leaves);
}

/* ---- round trips ---- */

static struct str random_text(void)
{
    struct buf b = BUF_INIT(256);
    struct str out;
    size_t n = t_rand_below(12);

    for (size_t i = 0; i < n; i++) {
        static const uint32_t tops[] = { 0x7e, 0x80, 0x800, 0xd800, 0x110000 };
        uint32_t cp = (uint32_t)t_rand_below(tops[t_rand_below(5)]) + (i == 0);
        char c[4];

        if (cp == 0 || (cp >= 0xd800 && cp < 0xe000) || cp > 0x10ffff) cp = 'x';
        buf_put(&b, c, utf8_put(cp, c));
    }
    out = arena_str(arena, buf_str(&b));
    buf_release(&b);
    return out;
}

static int64_t random_i64(void)
{
    return (int64_t)(t_rand() >> t_rand_below(64)) * (t_rand_below(2) ? 1 : -1);
}

static double random_double(void)
{
    double v;
    uint64_t u = t_rand();

    memcpy(&v, &u, sizeof(v));
    return isfinite(v) ? v : (double)random_i64();
}

#define LIST(type, m, member, make)                                                                \
    do {                                                                                           \
        (m)->member##_n = t_rand_below(4);                                                         \
        (m)->member = ARENA_ARRAY(arena, type, (m)->member##_n + 1);                               \
        for (size_t i_ = 0; i_ < (m)->member##_n; i_++) {                                          \
            (m)->member[i_] = (make);                                                              \
        }                                                                                          \
        if ((m)->member##_n == 0) (m)->member = NULL;                                              \
    } while (0)

static struct t_leaf random_leaf(void)
{
    struct t_leaf leaf = { 0 };

    MSG_SET(&leaf, T_LEAF_HAS_KEY, key, arena_printf(arena, "k%d", (int)t_rand_below(1000)));
    if (t_rand_below(2)) MSG_SET(&leaf, T_LEAF_HAS_N, n, random_i64());
    return leaf;
}

static struct t_all *random_all(int depth)
{
    static const int32_t colors[] = { T_COLOR_RED, T_COLOR_BLUE, T_COLOR_COLD };
    struct t_all *m = ARENA_NEW(arena, struct t_all);
    uint64_t lists = T_ALL_HAS_LABELS | (T_ALL_HAS_LEAVES * 2 - T_ALL_HAS_DS);

    m->has = t_rand() & (T_ALL_HAS_ALL * 2 - 1) & ~lists & ~(T_ALL_HAS_LEAF | T_ALL_HAS_ALL);
    m->d = random_double();
    m->b = t_rand_below(2);
    m->i32 = (int32_t)t_rand();
    m->s32 = (int32_t)random_i64();
    m->sf32 = (int32_t)t_rand();
    m->i64 = random_i64();
    m->s64 = random_i64();
    m->sf64 = random_i64();
    m->u32 = (uint32_t)t_rand();
    m->f32 = (uint32_t)t_rand();
    m->u64 = t_rand() >> t_rand_below(64);
    m->f64 = t_rand();
    m->color = colors[t_rand_below(3)];
    m->text_value = random_text();
    m->raw_bytes = random_text();
    m->any_json = S("{\"a\":[1,2]}");
    if (t_rand_below(2)) {
        m->leaf = ARENA_NEW(arena, struct t_leaf);
        *m->leaf = random_leaf();
        m->has |= T_ALL_HAS_LEAF;
    }
    LIST(struct msg_kv, m, labels, ((struct msg_kv){ random_text(), random_text() }));
    LIST(double, m, ds, random_double());
    LIST(bool, m, bs, t_rand_below(2));
    LIST(int32_t, m, i32s, (int32_t)t_rand());
    LIST(int64_t, m, s64s, random_i64());
    LIST(uint32_t, m, f32s, (uint32_t)t_rand());
    LIST(uint64_t, m, u64s, t_rand());
    LIST(int32_t, m, colors, colors[t_rand_below(3)]);
    LIST(struct str, m, texts, random_text());
    LIST(struct str, m, raws, random_text());
    LIST(struct str, m, jsons, S("null"));
    LIST(struct t_leaf, m, leaves, random_leaf());
    if (depth && t_rand_below(2)) {
        m->all = random_all(depth - 1);
        m->has |= T_ALL_HAS_ALL;
    }
    return m;
}

/* message -> JSON -> message -> wire -> message -> JSON: the two JSON texts are equal, and so are the wires. */
TEST(codec_round_trips)
{
    struct buf json = BUF_INIT(1 << 18), again = BUF_INIT(1 << 18), wire = BUF_INIT(1 << 18);

    for (unsigned round = 0; round < 500; round++) {
        unsigned flags = (round & 1 ? MSG_JSON_ASCII : 0) |
                         (round & 2 ? MSG_JSON_INT64_AS_NUMBER : 0) |
                         (round & 4 ? MSG_JSON_CAMEL : 0);
        struct t_all *m, out;

        setup();
        m = random_all(3);
        ctx.flags = MSG_CAMEL_OK;
        buf_clear(&json);
        buf_clear(&again);
        buf_clear(&wire);
        msg_encode_json(&json, &t_all_desc, m, flags);
        T_ST_ERR(msg_decode_json(&t_all_desc, &out, buf_str(&json), &ctx, &err), OK, &err);
        msg_encode_pb(&wire, &t_all_desc, &out);
        T_UINT(msg_size_pb(&t_all_desc, &out), wire.n);
        T_UINT(msg_size_pb(&t_all_desc, m), wire.n);
        T_ST_ERR(msg_decode_pb(&t_all_desc, &out, buf_str(&wire), &ctx, &err), OK, &err);
        msg_encode_json(&again, &t_all_desc, &out, flags);
        T_ST(buf_status(&again, "json", &err), OK);
        T_STR_EQ(buf_str(&again), buf_str(&json));
    }
    buf_release(&json);
    buf_release(&again);
    buf_release(&wire);
}

TEST(pb_out_of_memory_is_an_error)
{
    struct buf wire = BUF_INIT(1 << 18);
    struct t_all out;

    setup();
    msg_encode_pb(&wire, &t_all_desc, random_all(3));
    for (size_t max = 0; max < 1 << 18; max += 64) {
        struct arena *a = arena_new(max);
        struct msg_ctx c = { .arena = a };
        enum status st = msg_decode_pb(&t_all_desc, &out, buf_str(&wire), &c, &err);

        arena_free(a);
        if (!st) {
            buf_release(&wire);
            return;
        }
        T_ST(st, ST_NOMEM);
    }
    T_FAIL("never succeeds");
}

/* ---- query strings ---- */

static enum status query(const struct msg_desc *desc, void *out, struct str text, unsigned flags)
{
    setup();
    ctx.flags = flags;
    return msg_decode_query(desc, out, text, &ctx, &err);
}

TEST(query_to_message)
{
    struct t_all m;
    struct t_rules r;

    T_ST_ERR(
        query(
            &t_all_desc, &m,
            S("&text_value=a%20b+c%C3%A9&b=TRUE&i32=-5&u64=18446744073709551615&d=1e3&color=BLUE&texts=x&texts=&"
              "i32s=1&i32s=2&raw_bytes=AAE&any_json=%5B1%5D&&colors=1&colors=COLD&bs=false"),
            0),
        OK, &err);
    T_STR(m.text_value, "a b c\xc3\xa9");
    T_INT(m.b, 1);
    T_INT(m.i32, -5);
    T_UINT(m.u64, UINT64_MAX);
    T_DBL_BITS(m.d, 1000.0);
    T_INT(m.color, T_COLOR_BLUE);
    T_UINT(m.texts_n, 2);
    T_INT(m.i32s[1], 2);
    T_STR(m.raw_bytes, "\0\x01");
    T_STR(m.any_json, "[1]");
    T_INT(m.colors[1], T_COLOR_COLD);
    T_UINT(m.bs_n, 1);
    T_ST(query(&t_all_desc, &m, S("i32=1&i32=2"), 0), OK);
    T_INT(m.i32, 1); /* the first counts */
    T_ST(query(&t_all_desc, &m, S("textValue=1"), 0), ST_INVALID);
    T_CSTR(err.message, "unknown field textValue");
    T_ST(query(&t_all_desc, &m, S("textValue=1&what&%2b=%2b"), MSG_CAMEL_OK | MSG_IGNORE_UNKNOWN),
         OK);
    T_STR(m.text_value, "1");
    T_ST(query(&t_all_desc, &m, (struct str){ NULL, 0 }, 0), OK);
    T_ST(query(&t_rules_desc, &r, S("old_name=a"), 0), OK);
    T_STR(r.name, "a");
    T_ST(query(&t_rules_desc, &r, S("old_name=a&name=b"), 0), OK);
    T_STR(r.name, "b");
    T_ST(query(&t_rules_desc, &r, S("name=b&old_name=a"), 0), OK);
    T_STR(r.name, "b");
    T_ST(query(&t_rules_desc, &r, S("old_name=a&name="), 0), OK);
    T_STR(r.name, "a");
}

TEST(query_issues)
{
    static const struct {
        const char *text;
        enum msg_issue_kind kind;
        const char *path, *value;
    } rows[] = {
        { "i32=abc", MSG_ISSUE_TYPE, "i32", "abc" },
        { "i32=", MSG_ISSUE_TYPE, "i32", "" },
        { "i32=1.5", MSG_ISSUE_TYPE, "i32", "1.5" },
        { "i32=2147483648", MSG_ISSUE_TYPE, "i32", "2147483648" },
        { "u32=-1", MSG_ISSUE_TYPE, "u32", "-1" },
        { "d=x", MSG_ISSUE_TYPE, "d", "x" },
        { "b=yes", MSG_ISSUE_BOOL, "b", "yes" },
        { "b=", MSG_ISSUE_BOOL, "b", "" },
        { "color=GREEN", MSG_ISSUE_TYPE, "color", "GREEN" },
        { "i32s=1&i32s=x", MSG_ISSUE_TYPE, "i32s[1]", "x" },
        { "leaf=x", MSG_ISSUE_TYPE, "leaf", "x" },
        { "labels=x", MSG_ISSUE_TYPE, "labels", "x" },
        { "leaves=x", MSG_ISSUE_TYPE, "leaves", "x" },
        { "any_json=%5B", MSG_ISSUE_TYPE, "any_json", "[" },
        { "raw_bytes=a*", MSG_ISSUE_TYPE, "raw_bytes", "a*" },
        { "text_value=%00", MSG_ISSUE_TYPE, "text_value", NULL },
        { "text_value=%", MSG_ISSUE_SYNTAX, "", NULL },
        { "text_value=%4", MSG_ISSUE_SYNTAX, "", NULL },
        { "text_value=%4x", MSG_ISSUE_SYNTAX, "", NULL },
        { "text_value=%ff", MSG_ISSUE_SYNTAX, "", NULL },
        { "a%ff=1", MSG_ISSUE_SYNTAX, "", NULL },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct t_all m;

        T_OK(query(&t_all_desc, &m, str_cstr(rows[i].text), 0) != OK);
        if (ctx.issue.kind != rows[i].kind) T_FAIL("issue %d: %s", ctx.issue.kind, rows[i].text);
        T_CSTR(ctx.issue.path, rows[i].path);
        if (rows[i].value) T_STR_EQ(ctx.issue.value_json, str_cstr(rows[i].value));
        if (rows[i].kind == MSG_ISSUE_TYPE) T_CSTR(ctx.issue.python_type, "str");
    }
    T_ST(query(&t_rules_desc, &(struct t_rules){ 0 }, S("name="), 0), ST_INVALID);
    T_CSTR(err.message, "field name is missing");
    T_ST(query(&t_rules_desc, &(struct t_rules){ 0 }, S("name=n&size=11"), 0), ST_INVALID);
    T_CSTR(err.message, "field size: 11 is out of range");
    T_ST(query(&t_rules_desc, &(struct t_rules){ 0 }, S("name=n&few=1&few=2&few=3"), 0),
         ST_TOO_BIG);
}

TEST(query_by_hand)
{
    struct str out;
    bool found, v = false;
    struct buf b = BUF_INIT(256);

    setup();
    T_ST(query_get(S("a=1&path=x%2Fy+z&path=2"), S("path"), arena, &out, &found, &err), OK);
    T_INT(found, 1);
    T_STR(out, "x/y z");
    T_ST(query_get(S("a=1"), S("b"), arena, &out, &found, &err), OK);
    T_INT(found, 0);
    T_ST(query_get(S("a=%ff"), S("a"), arena, &out, &found, &err), ST_BAD_REQUEST);
    T_ST(query_get(S("a=%f"), S("a"), arena, &out, &found, &err), ST_BAD_REQUEST);
    T_ST(query_decode(S("a+b%2B"), false, arena, &out, &err), OK);
    T_STR(out, "a+b+");
    T_OK(query_bool(S("True"), &v) && v);
    T_OK(query_bool(S("fALSE"), &v) && !v);
    T_OK(!query_bool(S("1"), &v));
    query_put(&b, S("a b/c+\xc3\xa9~\0"), "/");
    T_STR(buf_str(&b), "a%20b/c%2B%C3%A9~%00");
    buf_release(&b);
}

/* ---- base64 and CSV ---- */

TEST(base64_vectors)
{
    static const char *plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    static const char *bad[] = { "Z",    "Zg=",  "Zg===",    "Z===", "Zh==", "Zm9=",
                                 "Zm8 ", "Zm8*", "Zg==Zg==", "====", "Zm9vY" };
    struct buf b = BUF_INIT(1024);
    struct str out;
    bool nomem;

    setup();
    for (size_t i = 0; i < ARRAY_N(plain); i++) {
        buf_clear(&b);
        base64_put(&b, str_cstr(plain[i]), BASE64_STD);
        T_STR_EQ(buf_str(&b), str_cstr(coded[i]));
        T_OK(base64_decode(str_cstr(coded[i]), arena, &out, &nomem));
        T_STR_EQ(out, str_cstr(plain[i]));
        buf_clear(&b);
        base64_put(&b, str_cstr(plain[i]), BASE64_NO_PAD);
        T_OK(base64_decode(buf_str(&b), arena, &out, &nomem));
        T_STR_EQ(out, str_cstr(plain[i]));
    }
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        if (base64_decode(str_cstr(bad[i]), arena, &out, &nomem) || nomem)
            T_FAIL("accepted: %s", bad[i]);
    }
    buf_clear(&b);
    base64_put(&b, S("\xfb\xff\xfe"), BASE64_URL);
    T_STR(buf_str(&b), "-__-");
    buf_clear(&b);
    base64_put(&b, S("\xfb\xff\xfe"), BASE64_STD);
    T_STR(buf_str(&b), "+//+");
    buf_release(&b);
}

TEST(csv_quotes_only_where_needed)
{
    struct buf b = BUF_INIT(1024);
    struct csv_writer w = CSV_WRITER_INIT(&b);

    csv_str(&w, S("plain"));
    csv_str(&w, S("a,b"));
    csv_str(&w, S("say \"x\""));
    csv_str(&w, S("two\nlines"));
    csv_str(&w, S(" blank"));
    csv_str(&w, S(""));
    csv_i64(&w, -7);
    csv_double(&w, 0.1);
    csv_double(&w, (double)NAN);
    csv_end_row(&w);
    csv_str(&w, S(""));
    csv_end_row(&w);
    T_STR(buf_str(&b),
          "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\" blank\",,-7,0.1,nan\r\n\"\"\r\n");
    buf_release(&b);
}
