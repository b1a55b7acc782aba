/* Regular expressions, LIKE and case folding. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/search/regex.h"
#include "core/search/text.h"
#include "tap.h"

static const struct {
    const char *pattern, *text;
    bool want;
} matches[] = {
    { "", "", true },
    { "", "abc", true },
    { "b", "abc", true },
    { "^b", "abc", false },
    { "^abc$", "abc", true },
    { "^ab$", "abc", false },
    { "c$", "abc", true },
    { "a.c", "abc", true },
    { "a.c", "a\nc", false },
    { "(?s)a.c", "a\nc", true },
    { "^b", "a\nb", false },
    { "(?m)^b$", "a\nb\nc", true },
    { "a*", "", true },
    { "^a+$", "aaa", true },
    { "^a+$", "", false },
    { "^a?b$", "b", true },
    { "^(ab)*$", "ababab", true },
    { "^(ab)*$", "ababa", false },
    { "^(a|bc|d)+$", "abcd", true },
    { "^(a|bc|d)+$", "abd", false },
    { "^(|a)b$", "b", true },
    { "^a{3}$", "aaa", true },
    { "^a{3}$", "aa", false },
    { "^a{3}$", "aaaa", false },
    { "^a{2,}$", "aaaa", true },
    { "^a{2,}$", "a", false },
    { "^a{1,2}$", "aa", true },
    { "^a{1,2}$", "aaa", false },
    { "^a{0}$", "", true },
    { "a{", "a{", true },
    { "a{x}", "a{x}", true },
    { "^a+?$", "aaa", true },
    { "^[a-c]+$", "abc", true },
    { "^[a-c]+$", "abd", false },
    { "^[^a-c]+$", "xyz", true },
    { "^[^a-c]+$", "xaz", false },
    { "^[]a]+$", "]a", true },
    { "^[^]a]+$", "]", false },
    { "^[a-]+$", "a-", true },
    { "^[\\d\\-x]+$", "1-x", true },
    { "^[\\]]$", "]", true },
    { "^[[:alpha:]_]+$", "aB_", true },
    { "^[[:alpha:]]+$", "a1", false },
    { "^\\d+\\D\\w\\W\\s\\S$", "42a_- x", true },
    { "\\bfoo\\b", "a foo b", true },
    { "\\bfoo\\b", "afoo b", false },
    { "\\Bfoo", "afoo", true },
    { "\\Aab\\z", "ab", true },
    { "a\\.b", "a.b", true },
    { "a\\.b", "axb", false },
    { "\\x41\\x{1F600}", "A\xf0\x9f\x98\x80", true },
    { "^.$", "\xc3\xa9", true },
    { "^[\xc3\xa0-\xc3\xbf]+$", "\xc3\xa9\xc3\xa8", true },
    { "(?i)abc", "xABCx", true },
    { "(?i)\xc3\xa9", "\xc3\x89", true },
    { "(?i)^[a-z]+$", "ABC", true },
    { "(?i)^[A-Z]+$", "abc", true },
    { "(?i)^[^a-z]+$", "ABC", false },
    { "(?i)[\xce\xb1-\xcf\x89]", "\xce\xa9", true },
    { "(?i)k", "\xe2\x84\xaa", true },
    { "(?i)[k]", "\xe2\x84\xaa", true },
    { "a(?i)b", "aB", true },
    { "a(?i)b", "AB", false },
    { "a(?i:b)c", "aBc", true },
    { "a(?i:b)c", "aBC", false },
    { "(?i)a(?-i:b)", "AB", false },
    { "((?i)a)b", "Ab", true },
    { "((?i)a)b", "AB", false },
    { "^(?P<n>a)(?:b)(?<m>c)$", "abc", true },
    { "^(?:(?:a*)*)*$", "aaab", false },
    { "^(a*)*b$", "aaab", true },
    { "^(?:a?){20}a{20}$", "aaaaaaaaaaaaaaaaaaaa", true },
    { "x*y*z*", "", true },
    { "^\\t\\n$", "\t\n", true },
};

TEST(search_regex_matches)
{
    for (size_t i = 0; i < ARRAY_N(matches); i++) {
        struct arena *a = arena_new(1 << 20);
        struct err err = ERR_INIT;
        struct regex *r;

        t_note("'%s' on '%s'", matches[i].pattern, matches[i].text);
        T_ST_ERR(regex_compile(&r, str_cstr(matches[i].pattern), a, &err), OK, &err);
        T_INT(regex_match(r, str_cstr(matches[i].text)), matches[i].want);
        T_INT(regex_match(r, str_cstr(matches[i].text)),
              matches[i].want); /* the scratch is clean */
        arena_free(a);
    }
}

TEST(search_regex_errors)
{
    static const char *const bad[] = {
        "(",
        ")",
        "a)",
        "[",
        "[a",
        "[]",
        "[z-a]",
        "[a-\\d]",
        "*",
        "a**",
        "+",
        "?",
        "a|*",
        "a{2,1}",
        "a{1001}",
        "\\",
        "\\q",
        "\\1",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "(?x)a",
        "(?P<n",
        "(?P=n)",
        "\\xg",
        "\\x{}",
        "\\x{110000}",
        "[[:foo:]]",
        "(?i",
        "\\x{d800}",
        "a{2}{3}",
        "(a{1000}){1000}",
        "((((a{9}){9}){9}){9}){9}",
        "(){1000}{1000}",
    };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct arena *a = arena_new(64 << 20);
        struct err err = ERR_INIT;
        struct regex *r;

        t_note("%s", bad[i]);
        T_ST(regex_compile(&r, str_cstr(bad[i]), a, &err), ST_INVALID);
        T_OK(r == NULL);
        T_OK(strstr(err.message, "egular expression") != NULL);
        arena_free(a);
    }
}

static enum status compile_repeated(const char *before, const char *part, int n, const char *after)
{
    struct arena *a = arena_new(64 << 20);
    struct buf b = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    struct regex *r;
    enum status st;

    buf_put_cstr(&b, before);
    for (int i = 0; i < n; i++) {
        buf_put_cstr(&b, part);
    }
    buf_put_cstr(&b, after);
    st = regex_compile(&r, buf_str(&b), a, &err);
    buf_release(&b);
    arena_free(a);
    return st;
}

TEST(search_regex_bounds)
{
    T_ST(compile_repeated("", "a", REGEX_PROGRAM_MAX - 1, ""), OK);
    T_ST(compile_repeated("", "a", REGEX_PROGRAM_MAX, ""), ST_INVALID);
    T_ST(compile_repeated("[", "a", REGEX_PATTERN_MAX - 2, "]"), OK);
    T_ST(compile_repeated("[", "a", REGEX_PATTERN_MAX - 1, "]"), ST_INVALID);
    T_ST(compile_repeated("((((((((((", "(){0,1000}", 90, "))))))))))"), ST_INVALID);
    T_ST(compile_repeated("", "(", REGEX_DEPTH_MAX + 1, "a"), ST_INVALID);
    T_ST(compile_repeated("", "(?i)[\\x{0}-\\x{10ffff}k]", 150, ""), OK);
    T_ST(compile_repeated("(?i)", "[\xce\xb1\xce\xb4-\xcf\x89]", 400, ""), OK);
}

/* The classic bomb of backtracking engines: here it is one more state. */
TEST(search_regex_is_linear)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct regex *r;
    char text[8000];
    int64_t start;

    memset(text, 'a', sizeof(text));
    T_ST_ERR(regex_compile(&r, S("^(a+)+(a|aa)+(a*)*b$"), a, &err), OK, &err);
    start = clock_mono_ms();
    T_INT(regex_match(r, str_of(text, sizeof(text))), false);
    T_OK(clock_mono_ms() - start < 2000);
    arena_free(a);
}

TEST(search_like)
{
    static const struct {
        const char *text, *pattern;
        bool want, want_fold;
    } cases[] = {
        { "", "", true, true },
        { "", "%", true, true },
        { "", "_", false, false },
        { "abc", "abc", true, true },
        { "abc", "ABC", false, true },
        { "abc", "a%", true, true },
        { "abc", "%C", false, true },
        { "abc", "%b%", true, true },
        { "abc", "_b_", true, true },
        { "abc", "__", false, false },
        { "abc", "ab", false, false },
        { "abc", "abcd", false, false },
        { "aXbXc", "a%X%c", true, true },
        { "aab", "%ab", true, true },
        { "aaab", "%a_b", true, true },
        { "mississippi", "m%iss%ip%i", true, true },
        { "mississippi", "m%iss%ipp", false, false },
        { "\xc3\xa9t\xc3\xa9", "_t_", true, true },
        { "\xc3\xa9t\xc3\xa9", "\xc3\x89T%", false, true },
        { "\xce\xa9", "\xcf\x89", false, true },
        { "a%b", "a%b", true, true },
        { "a\\%b", "a\\%b", true, true },
        { "a\nb", "a%b", true, true },
        { "ab", "%%%b", true, true },
        { "ab", "a%%_%", true, true },
        { "a", "a%_%", false, false },
        { "ababac", "%abac", true, true },
        { "ababab", "%abac%", false, false },
        { "\xc3\xa9\xc3\xaa", "%\xc3\xaa", true, true },
        { "\xc3\xa9\xc3\xaa", "%\xaa", false, false },
        { "xay", "%a", false, false },
        { "", "%a", false, false },
        { "ab", "%ab%_", false, false },
    };

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        t_note("'%s' like '%s'", cases[i].text, cases[i].pattern);
        T_INT(like_match(str_cstr(cases[i].text), str_cstr(cases[i].pattern), false),
              cases[i].want);
        T_INT(like_match(str_cstr(cases[i].text), str_cstr(cases[i].pattern), true),
              cases[i].want_fold);
    }
}

TEST(search_fold)
{
    T_UINT(fold_char('A'), 'a');
    T_UINT(fold_char('z'), 'z');
    T_UINT(fold_char('['), '[');
    T_UINT(fold_char(0xc9), 0xe9);
    T_UINT(fold_char(0xd7), 0xd7);
    T_UINT(fold_char(0x100), 0x101);
    T_UINT(fold_char(0x101), 0x101);
    T_UINT(fold_char(0x130), 0x130);
    T_UINT(fold_char(0x3a9), 0x3c9);
    T_UINT(fold_char(0x212a), 'k');
    T_UINT(fold_char(0x10400), 0x10428);
    T_UINT(fold_char(0x10ffff), 0x10ffff);
}
