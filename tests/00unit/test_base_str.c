/* Text as pointer and length: comparison, search, splitting. */
#include "tap.h"

TEST(eq_and_cmp)
{
    T_OK(str_eq(S(""), str_of(NULL, 0)));
    T_OK(str_eq(S("ab"), S("ab")));
    T_OK(!str_eq(S("ab"), S("abc")));
    T_OK(str_eq_lit(S("ab"), "ab"));
    T_INT(str_cmp(S("a"), S("a")), 0);
    T_OK(str_cmp(S("a"), S("b")) < 0);
    T_OK(str_cmp(S("b"), S("a")) > 0);
    T_OK(str_cmp(S("a"), S("ab")) < 0);
    T_OK(str_cmp(S("ab"), S("a")) > 0);
    T_OK(str_cmp(str_of(NULL, 0), S("")) == 0);
    T_OK(str_cmp(S("\x7f"), S("\x80")) < 0); /* bytes are unsigned */
}

TEST(eq_nocase)
{
    T_OK(str_eq_nocase(S("Content-Length"), S("content-LENGTH")));
    T_OK(!str_eq_nocase(S("a"), S("b")));
    T_OK(!str_eq_nocase(S("a"), S("aa")));
    T_OK(!str_eq_nocase(S("@"), S("`"))); /* 0x40 and 0x60 are no letters */
    T_OK(!str_eq_nocase(S("["), S("{")));
    T_OK(!str_eq_nocase(S("\xc0"), S("\xe0")));
}

TEST(starts_ends)
{
    T_OK(str_starts(S("abc"), S("ab")));
    T_OK(str_starts(S("abc"), S("")));
    T_OK(!str_starts(S("a"), S("ab")));
    T_OK(str_ends(S("abc"), S("bc")));
    T_OK(str_ends(S("abc"), S("")));
    T_OK(!str_ends(S("c"), S("bc")));
    T_OK(!str_ends(S("abd"), S("bc")));
}

TEST(sub_clamps)
{
    T_STR(str_sub(S("abcdef"), 2, 3), "cde");
    T_STR(str_sub(S("abc"), 2, SIZE_MAX), "c");
    T_STR(str_sub(S("abc"), 9, 1), "");
    T_UINT(str_sub(str_of(NULL, 0), 1, 1).n, 0);
}

TEST(trim)
{
    T_STR(str_trim(S("  a b\t\r\n")), "a b");
    T_STR(str_trim(S(" \t ")), "");
    T_STR(str_trim(S("")), "");
}

TEST(find)
{
    T_UINT(str_find_byte(S("a,b,c"), ',', 0), 1);
    T_UINT(str_find_byte(S("a,b,c"), ',', 2), 3);
    T_UINT(str_find_byte(S("a,b,c"), ',', 4), SIZE_MAX);
    T_UINT(str_find_byte(S("a"), 'a', 7), SIZE_MAX);
    T_UINT(str_find(S("banana"), S("nan")), 2);
    T_UINT(str_find(S("banana"), S("")), 0);
    T_UINT(str_find(S("ba"), S("ban")), SIZE_MAX);
    T_UINT(str_find(S("banana"), S("x")), SIZE_MAX);
}

TEST(split)
{
    struct str rest = S("a,,b"), part;

    T_OK(str_split(&rest, ',', &part));
    T_STR(part, "a");
    T_OK(str_split(&rest, ',', &part));
    T_STR(part, "");
    T_OK(str_split(&rest, ',', &part));
    T_STR(part, "b");
    T_OK(!str_split(&rest, ',', &part));

    rest = S("a,");
    T_OK(str_split(&rest, ',', &part));
    T_OK(str_split(&rest, ',', &part));
    T_STR(part, "");
    T_OK(!str_split(&rest, ',', &part));

    rest = S("");
    T_OK(str_split(&rest, ',', &part));
    T_STR(part, "");
    T_OK(!str_split(&rest, ',', &part));
}
