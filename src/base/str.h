/* base/str.h - text as pointer and length.
 * A str borrows its bytes: it never owns them and is not NUL-terminated. Text is UTF-8, validated where it enters
 * the program. A zero str (p NULL, n 0) is the empty text; str_is_set() tells it from "" where that matters.
 * Thread rule: a value type; any thread. */
#ifndef CAIRN_BASE_STR_H
#define CAIRN_BASE_STR_H

#include "base/compiler.h"
#include <stdbool.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* S("literal"): a str over a string literal, usable in static initialisers as S_INIT. */
#define S(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define S_INIT(lit)                                                                                \
    {                                                                                              \
        "" lit, sizeof(lit) - 1                                                                    \
    }
/* For printf: "%.*s", STR_ARG(s). Lengths above INT_MAX are cut. */
#define STR_ARG(s) (int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n), ((s).p ? (s).p : "")

static inline struct str str_of(const void *p, size_t n)
{
    return (struct str){ (const char *)p, n };
}

static inline struct str str_cstr(const char *c)
{
    return (struct str){ c, c ? strlen(c) : 0 };
}

static inline bool str_is_set(struct str s)
{
    return s.p != NULL;
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

#define str_eq_lit(s, lit) str_eq((s), S(lit))

/* Byte order, shorter first on a common prefix; <0, 0, >0. */
int str_cmp(struct str a, struct str b);
/* ASCII letters without case; other bytes as they are. */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* From byte `from` (clamped) at most n bytes. */
struct str str_sub(struct str s, size_t from, size_t n);
/* Without ASCII white space at both ends. */
struct str str_trim(struct str s);
/* Index of the first byte c at or after `from`; SIZE_MAX if none. */
size_t str_find_byte(struct str s, char c, size_t from);
/* Index of the first occurrence of needle; SIZE_MAX if none. An empty needle is found at 0. */
size_t str_find(struct str s, struct str needle);
/* Takes the text before the next `sep` off the front of *rest into *part; false when nothing is left. "a,,b" gives
 * "a", "", "b". */
bool str_split(struct str *rest, char sep, struct str *part);

#endif
