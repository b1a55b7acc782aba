/* base/str.c - comparison and search over borrowed text. */
#include "base/str.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN_OF(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;

    if (c != 0) {
        return c;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

static unsigned char lower_ascii(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower_ascii(a.p[i]) != lower_ascii(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

struct str str_sub(struct str s, size_t from, size_t n)
{
    size_t at = MIN_OF(from, s.n);

    return (struct str){ s.p ? s.p + at : NULL, MIN_OF(n, s.n - at) };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

struct str str_trim(struct str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

size_t str_find_byte(struct str s, char c, size_t from)
{
    const char *hit;

    if (from >= s.n) {
        return SIZE_MAX;
    }
    hit = memchr(s.p + from, c, s.n - from);
    return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

size_t str_find(struct str s, struct str needle)
{
    const char *hit;

    if (needle.n == 0) {
        return 0;
    }
    if (needle.n > s.n) {
        return SIZE_MAX;
    }
    hit = memmem(s.p, s.n, needle.p, needle.n);
    return hit ? (size_t)(hit - s.p) : SIZE_MAX;
}

bool str_split(struct str *rest, char sep, struct str *part)
{
    size_t at;

    if (!rest->p) {
        return false;
    }
    at = str_find_byte(*rest, sep, 0);
    if (at == SIZE_MAX) {
        *part = *rest;
        *rest = (struct str){ NULL, 0 };
    } else {
        *part = str_sub(*rest, 0, at);
        *rest = (struct str){ rest->p + at + 1, rest->n - at - 1 };
    }
    return true;
}
