/* codec/json_int.h - scanning JSON tokens: shared by the pull reader and the message decoder of codec/.
 * A scanner starts at *pp, advances it only on success, and never reads at or beyond `end`. JSON_SCAN_SHORT says that
 * the text ends inside the token. */
#ifndef CAIRN_CODEC_JSON_INT_H
#define CAIRN_CODEC_JSON_INT_H

#include "base/arena.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum json_scan { JSON_SCAN_OK, JSON_SCAN_SHORT, JSON_SCAN_BAD };

/* The part of a string from its first escape or non-ASCII byte on; p points there, start behind the opening quote. */
enum json_scan json_scan_string_slow(const char **pp, const char *end, const char *p,
                                     struct str *raw, bool *escaped);
/* A number by the grammar of JSON; *integer: no fraction and no exponent. A number that reaches `end` is OK. */
enum json_scan json_scan_number(const char **pp, const char *end, struct str *raw, bool *integer);
/* One value of any kind with white space before it, checked; containers up to depth_max (at most 64) within each other:
 * beyond that BAD with *deep set. */
enum json_scan json_scan_value(const char **pp, const char *end, size_t depth_max, bool bare_nan,
                               struct str *raw, bool *deep);
/* NaN, Infinity or -Infinity; 0 bytes if none of them stands there. */
size_t json_scan_nan(const char *p, const char *end, double *out);
/* Decodes the escapes of a checked raw text into out (raw.n bytes suffice); returns the length. */
size_t json_unescape_to(struct str raw, char *out);

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) {
        p++;
    }
    return p;
}

/* First byte at or after p that is a quote, a backslash, a control character or not ASCII; end if there is none. */
static inline const char *json_find_special(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
                  space = _mm_set1_epi8(' ');

    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: bytes from 0x80 on are below the space too. */
        __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
                                   _mm_cmplt_epi8(v, space));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);

        if (mask) {
            return p + __builtin_ctz(mask);
        }
        p += 16;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 &&
           (unsigned char)*p < 0x80) {
        p++;
    }
    return p;
}

/* *pp points behind the opening quote; afterwards behind the closing one. Escapes and UTF-8 are checked. */
static inline enum json_scan json_scan_string(const char **pp, const char *end, struct str *raw,
                                              bool *escaped)
{
    const char *p = json_find_special(*pp, end);

    if (LIKELY(p < end && *p == '"')) {
        *raw = str_of(*pp, (size_t)(p - *pp));
        *escaped = false;
        *pp = p + 1;
        return JSON_SCAN_OK;
    }
    return json_scan_string_slow(pp, end, p, raw, escaped);
}

#endif
