/* UTF-8: every boundary of Unicode table 3-7, and all code points there and back. */
#include "base/utf8.h"
#include "tap.h"

TEST(valid)
{
    T_OK(utf8_valid(S("")));
    T_OK(utf8_valid(str_of(NULL, 0)));
    T_OK(utf8_valid(S("plain text of more than eight bytes")));
    T_OK(utf8_valid(S("a\0b")));
    T_OK(utf8_valid(S("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf")));
    T_OK(utf8_valid(S("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf")));
}

TEST(invalid)
{
    static const struct str bad[] = {
        S_INIT("\x80"),
        S_INIT("\xbf"),
        S_INIT("\xc0\x80"),
        S_INIT("\xc1\xbf"),
        S_INIT("\xc2"),
        S_INIT("\xc2\x41"),
        S_INIT("\xc2\xc0"),
        S_INIT("\xe0\x9f\xbf"),
        S_INIT("\xe0\xa0"),
        S_INIT("\xe0\xa0\x41"),
        S_INIT("\xed\xa0\x80"),
        S_INIT("\xed\xbf\xbf"),
        S_INIT("\xf0\x8f\xbf\xbf"),
        S_INIT("\xf0\x90\x80"),
        S_INIT("\xf4\x90\x80\x80"),
        S_INIT("\xf5\x80\x80\x80"),
        S_INIT("\xf8\x88\x80\x80\x80"),
        S_INIT("\xfe"),
        S_INIT("\xff"),
        S_INIT("\xf0\x90\x80\x41"),
        S_INIT("\xf0\x90\x41\x80"),
    };
    char text[64];

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_OK(!utf8_valid(bad[i]));
        /* at every offset against the steps of eight bytes */
        for (size_t before = 0; before < 20; before++) {
            memset(text, 'a', sizeof(text));
            memcpy(text + before, bad[i].p, bad[i].n);
            T_OK(!utf8_valid(str_of(text, before + bad[i].n)));
            T_OK(!utf8_valid(str_of(text, before + bad[i].n + 9)));
        }
    }
}

TEST(all_code_points)
{
    char text[4];

    for (uint32_t cp = 0; cp <= 0x110000; cp++) {
        bool is_scalar = cp <= 0x10ffff && !(cp >= 0xd800 && cp <= 0xdfff);
        size_t n = utf8_put(cp, text), at = 0;

        T_OK(utf8_valid(str_of(text, n)) == is_scalar);
        if (is_scalar) {
            T_UINT(utf8_next(str_of(text, n), &at), cp);
            T_UINT(at, n);
            T_UINT(utf8_count(str_of(text, n)), 1);
        }
    }
}

TEST(count_and_prefix)
{
    struct str s = S("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z");

    T_UINT(utf8_count(s), 5);
    T_STR(utf8_prefix(s, 0), "");
    T_STR(utf8_prefix(s, 1), "a");
    T_STR(utf8_prefix(s, 2), "a\xc3\xa4");
    T_STR(utf8_prefix(s, 3), "a\xc3\xa4\xe2\x82\xac");
    T_STR(utf8_prefix(s, 4), "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    T_STR_EQ(utf8_prefix(s, 5), s);
    T_STR_EQ(utf8_prefix(s, 99), s);
}

TEST(cut_text_ends)
{
    struct str s = str_of("\xe2\x82\xac", 2);
    size_t at = 0;

    T_UINT(utf8_next(s, &at), 0xfffd);
    T_UINT(at, 2);
}

TEST(word_characters)
{
    static const uint32_t yes[] = { 'a',   'Z',  '0',  '_',    0xe4,    0x3b1,  0x4e2d,
                                    0x661, 0xb2, 0xbd, 0x2167, 0x1d7d8, 0x3134a };
    static const uint32_t no[] = { ' ',  '-',  '.',  '@',    '[',    '`',     '{',
                                   0x7f, 0xa0, 0xd7, 0x2028, 0x20ac, 0x1f600, 0x10ffff };

    for (size_t i = 0; i < ARRAY_N(yes); i++) {
        T_OK(utf8_is_word(yes[i]));
    }
    for (size_t i = 0; i < ARRAY_N(no); i++) {
        T_OK(!utf8_is_word(no[i]));
    }
}
