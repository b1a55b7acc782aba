/* JSON trees, times and sizes for people, text that must not drive a terminal, escapes. */
#include "cli/api.h"
#include "cli/render.h"
#include "tap.h"
#include <stdlib.h>

static struct arena *memory(void)
{
    static struct arena *a;

    if (!a) {
        a = arena_new(8 << 20);
    }
    if (!a) {
        abort();
    }
    return a;
}

TEST(a_document_as_a_tree)
{
    struct err err = ERR_INIT;
    struct jv *doc;
    const struct jv *item;

    T_ST(jv_parse(
             S(" {\"a\": [1, {\"b\": \"x\\n\"}, null], \"n\": \"12\", \"f\": NaN, \"t\": true} "),
             memory(), &doc, &err),
         OK);
    item = jv_items(doc, "a");
    T_STR(item->text, "1");
    T_STR(jv_text(item->next, "b"), "x\n");
    T_STR(item->next->raw, "{\"b\": \"x\\n\"}");
    T_OK(item->next->next->kind == JV_NULL && !item->next->next->next);
    T_INT(jv_i64(doc, "n", 0), 12);
    T_INT(jv_i64(doc, "none", -7), -7);
    T_STR(jv_text(doc, "f"), "NaN");
    T_OK(jv_get(doc, "t")->is_true && !jv_get(doc, "x") && !jv_items(doc, "n") &&
         !jv_get(NULL, "a"));
}

TEST(what_is_no_document)
{
    static const char *const bad[] = { "", "{", "{\"a\":1}}", "[1,]", "nul", "\"\\x\"" };
    struct err err = ERR_INIT;
    struct jv *doc;
    struct buf deep = BUF_INIT(4096);

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_ST(jv_parse(str_cstr(bad[i]), memory(), &doc, &err), ST_BAD_REQUEST);
        T_OK(!doc);
    }
    for (int i = 0; i < 100; i++) {
        buf_put_u8(&deep, '[');
    }
    T_OK(jv_parse(buf_str(&deep), memory(), &doc, &err) != OK);
    buf_release(&deep);
}

TEST(times_for_people)
{
    static const struct {
        int64_t ms;
        const char *want;
    } cases[] = { { 0, "now" },           { 999, "now" },      { 1000, "1s ago" },
                  { 59999, "59s ago" },   { 60000, "1m ago" }, { 7200000, "2h ago" },
                  { 86400000, "1d ago" }, { -90000, "in 1m" }, { 2592000000, "1mo ago" } };
    char text[32];

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        render_ago(1700000000000 - cases[i].ms, 1700000000000, text);
        T_CSTR(text, cases[i].want);
    }
}

TEST(sizes_for_people)
{
    static const struct {
        int64_t bytes;
        const char *want;
    } cases[] = { { 0, "0 B" },
                  { 1023, "1023 B" },
                  { 1024, "1.0 KiB" },
                  { 1536, "1.5 KiB" },
                  { 1048575, "1023.9 KiB" },
                  { 1048576, "1.0 MiB" },
                  { INT64_MAX, "7.9 EiB" } };
    char text[32];

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        render_bytes(cases[i].bytes, text);
        T_CSTR(text, cases[i].want);
    }
}

TEST(control_characters_become_spaces)
{
    struct buf b = BUF_INIT(256);

    render_plain(&b, S("a\x1b[31m\tb\r\n\x7f\xc2\x9bz\xc3\xa9"));
    T_STR(buf_str(&b), "a [31m b    z\xc3\xa9");
    buf_clear(&b);
    render_plain(&b, S("\xff"));
    T_STR(buf_str(&b), "(not text)");
    buf_release(&b);
}

TEST(escapes_of_paths)
{
    T_STR(api_escape(memory(), S("a b/\xc3\xa4?#%~-._Z9")), "a%20b%2F%C3%A4%3F%23%25~-._Z9");
    T_STR(api_escape(memory(), S("")), "");
}
