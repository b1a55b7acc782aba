/* base/utf8.c - UTF-8 by the rules of Unicode table 3-7. */
#include "base/utf8.h"

struct word_range {
    uint32_t first, last;
};

#include "base/utf8_word.inc.h"

/* Bytes of the valid character at p, 0 if there is none. */
static size_t valid_at(const unsigned char *p, size_t n)
{
    unsigned char c = p[0], low = 0x80, high = 0xbf;
    size_t len;

    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        len = 2;
    } else if ((c & 0xf0) == 0xe0) {
        len = 3;
        low = c == 0xe0 ? 0xa0 : 0x80;  /* overlong */
        high = c == 0xed ? 0x9f : 0xbf; /* surrogates */
    } else if (c >= 0xf0 && c <= 0xf4) {
        len = 4;
        low = c == 0xf0 ? 0x90 : 0x80;  /* overlong */
        high = c == 0xf4 ? 0x8f : 0xbf; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (n < len || p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

bool utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t at = 0;

    while (at < s.n) {
        size_t len;

        while (s.n - at >= 8) {
            uint64_t eight;

            memcpy(&eight, p + at, sizeof(eight));
            if (eight & 0x8080808080808080u) {
                break;
            }
            at += 8;
        }
        if (at == s.n) {
            break;
        }
        len = valid_at(p + at, s.n - at);
        if (len == 0) {
            return false;
        }
        at += len;
    }
    return true;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

size_t utf8_count(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        n += !is_continuation(s.p[i]);
    }
    return n;
}

struct str utf8_prefix(struct str s, size_t n)
{
    size_t at = 0;

    if (n >= s.n) {
        return s;
    }
    while (n > 0 && at < s.n) {
        at++;
        while (at < s.n && is_continuation(s.p[at])) {
            at++;
        }
        n--;
    }
    return (struct str){ s.p, at };
}

uint32_t utf8_next(struct str s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s.p + *at;
    size_t left = s.n - *at;

    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xe0 && left >= 2) {
        *at += 2;
        return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    }
    if (p[0] < 0xf0 && left >= 3) {
        *at += 3;
        return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    }
    if (left >= 4) {
        *at += 4;
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
               (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
    }
    *at = s.n; /* the text was not valid */
    return 0xfffd;
}

size_t utf8_put(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (cp >> 18 & 0x07));
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

bool utf8_is_word(uint32_t cp)
{
    size_t low = 0, high = ARRAY_N(word_ranges);

    if (cp < 0x80) {
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9') ||
               cp == '_';
    }
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (cp > word_ranges[mid].last) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < ARRAY_N(word_ranges) && cp >= word_ranges[low].first;
}
