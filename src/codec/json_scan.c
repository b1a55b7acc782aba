/* codec/json_scan.c - tokens of JSON text, see json_int.h. */
#include "base/num.h"
#include "base/utf8.h"
#include "codec/json_int.h"

/* Four hex digits at p, which are there; -1 if they are not digits. */
static int32_t hex4(const char *p)
{
    int32_t v = 0;

    for (int i = 0; i < 4; i++) {
        int d = num_hex_digit(p[i]);

        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

/* The escape at p (a backslash): its length, 0 if the text ends in it, SIZE_MAX if it is none. */
static size_t escape_len(const char *p, const char *end)
{
    int32_t hi, lo;

    if (end - p < 2) return 0;
    if (p[1] != 'u') {
        return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : SIZE_MAX;
    }
    if (end - p < 6) return 0;
    hi = hex4(p + 2);
    if (hi < 0) return SIZE_MAX;
    if (hi < 0xd800 || hi > 0xdfff) return 6;
    if (hi >= 0xdc00) return SIZE_MAX; /* a low surrogate without its high one */
    if (end - p < 12) {
        /* Too short for the pair: more text can only help if what is there can still become one. */
        return (end - p > 6 && p[6] != '\\') || (end - p > 7 && p[7] != 'u') ? SIZE_MAX : 0;
    }
    lo = p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
    return lo >= 0xdc00 && lo <= 0xdfff ? 12 : SIZE_MAX;
}

enum json_scan json_scan_string_slow(const char **pp, const char *end, const char *p,
                                     struct str *raw, bool *escaped)
{
    bool high = false;

    *escaped = false;
    for (; p < end && *p != '"'; p = json_find_special(p, end)) {
        if (*p == '\\') {
            size_t n = escape_len(p, end);

            if (n == SIZE_MAX) return JSON_SCAN_BAD;
            if (n == 0) return JSON_SCAN_SHORT;
            *escaped = true;
            p += n;
        } else if ((unsigned char)*p >= 0x80) {
            high = true;
            while (p < end && (unsigned char)*p >= 0x80) {
                p++;
            }
        } else {
            return JSON_SCAN_BAD; /* a control character */
        }
    }
    if (p >= end) return JSON_SCAN_SHORT;

    struct str text = str_of(*pp, (size_t)(p - *pp));

    if (high && !utf8_valid(text)) return JSON_SCAN_BAD;
    *raw = text;
    *pp = p + 1;
    return JSON_SCAN_OK;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

enum json_scan json_scan_number(const char **pp, const char *end, struct str *raw, bool *integer)
{
    const char *p = *pp, *digits;

    *integer = true;
    if (p < end && *p == '-') {
        p++;
    }
    digits = p;
    p = skip_digits(p, end);
    if (p == digits) return p == end ? JSON_SCAN_SHORT : JSON_SCAN_BAD;
    if (*digits == '0' && p - digits > 1) return JSON_SCAN_BAD;
    if (p < end && *p == '.') {
        *integer = false;
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits) return p == end ? JSON_SCAN_SHORT : JSON_SCAN_BAD;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-')) {
            p++;
        }
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) return p == end ? JSON_SCAN_SHORT : JSON_SCAN_BAD;
    }
    *raw = str_of(*pp, (size_t)(p - *pp));
    *pp = p;
    return JSON_SCAN_OK;
}

size_t json_scan_nan(const char *p, const char *end, double *out)
{
    struct str s = str_of(p, (size_t)(end - p));

    if (str_starts(s, S("NaN"))) {
        *out = num_canonical_nan();
        return 3;
    }
    if (str_starts(s, S("Infinity"))) {
        *out = __builtin_inf();
        return 8;
    }
    if (str_starts(s, S("-Infinity"))) {
        *out = -__builtin_inf();
        return 9;
    }
    return 0;
}

/* true, false, null, a number or a bare NaN. */
static enum json_scan scan_plain(const char **pp, const char *end, bool bare_nan)
{
    static const struct str words[] = { S_INIT("true"), S_INIT("false"), S_INIT("null") };
    struct str left = str_of(*pp, (size_t)(end - *pp)), raw;
    double ignored;
    bool integer;
    size_t n;

    for (size_t i = 0; i < ARRAY_N(words); i++) {
        if (left.p[0] == words[i].p[0]) {
            if (!str_starts(left, words[i])) {
                return str_starts(words[i], left) ? JSON_SCAN_SHORT : JSON_SCAN_BAD;
            }
            *pp += words[i].n;
            return JSON_SCAN_OK;
        }
    }
    n = bare_nan ? json_scan_nan(*pp, end, &ignored) : 0;
    if (n) {
        *pp += n;
        return JSON_SCAN_OK;
    }
    return json_scan_number(pp, end, &raw, &integer);
}

/* A member's key and its colon. */
static enum json_scan scan_key(const char **pp, const char *end)
{
    const char *p = *pp;
    struct str raw;
    bool escaped;
    enum json_scan sc;

    if (p == end) return JSON_SCAN_SHORT;
    if (*p != '"') return JSON_SCAN_BAD;
    p++;
    sc = json_scan_string(&p, end, &raw, &escaped);
    if (sc) return sc;
    p = json_skip_space(p, end);
    if (p == end) return JSON_SCAN_SHORT;
    if (*p != ':') return JSON_SCAN_BAD;
    *pp = p + 1;
    return JSON_SCAN_OK;
}

/* What may stand between two values: commas, closing brackets, the next key. Afterwards *pp is where a value must start,
 * or *depth is 0. */
static enum json_scan scan_between(const char **pp, const char *end, uint64_t objects,
                                   size_t *depth)
{
    const char *p = *pp;

    while (*depth) {
        bool object = objects >> (*depth - 1) & 1;

        p = json_skip_space(p, end);
        if (p == end) return JSON_SCAN_SHORT;
        if (*p == (object ? '}' : ']')) {
            p++;
            (*depth)--;
            continue;
        }
        if (*p != ',') return JSON_SCAN_BAD;
        p = json_skip_space(p + 1, end);
        *pp = p;
        return object ? scan_key(pp, end) : JSON_SCAN_OK;
    }
    *pp = p;
    return JSON_SCAN_OK;
}

/* Opens the container at **pp. *open: something is in it, and *pp is where its first value must start; else it is closed
 * again. */
static enum json_scan scan_open(const char **pp, const char *end, bool object, bool *open)
{
    const char *p = json_skip_space(*pp + 1, end);

    *open = false;
    if (p == end) return JSON_SCAN_SHORT;
    if (*p == (object ? '}' : ']')) {
        *pp = p + 1;
        return JSON_SCAN_OK;
    }
    *open = true;
    *pp = p;
    return object ? scan_key(pp, end) : JSON_SCAN_OK;
}

enum json_scan json_scan_value(const char **pp, const char *end, size_t depth_max, bool bare_nan,
                               struct str *raw, bool *deep)
{
    const char *p = json_skip_space(*pp, end), *start = p;
    uint64_t objects = 0;
    size_t depth = 0;

    *deep = false;
    do {
        enum json_scan sc;
        struct str ignored;
        bool open = false, escaped;

        p = json_skip_space(p, end);
        if (p == end) return JSON_SCAN_SHORT;
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';

            if (depth == depth_max || depth == 64) {
                *deep = true;
                return JSON_SCAN_BAD;
            }
            sc = scan_open(&p, end, object, &open);
            if (open) {
                objects = (objects & ~(1ull << depth)) | (uint64_t)object << depth;
                depth++;
            }
        } else if (*p == '"') {
            p++;
            sc = json_scan_string(&p, end, &ignored, &escaped);
        } else {
            sc = scan_plain(&p, end, bare_nan);
        }
        if (!sc && !open) {
            sc = scan_between(&p, end, objects, &depth);
        }
        if (sc) return sc;
    } while (depth);
    *raw = str_of(start, (size_t)(p - start));
    *pp = p;
    return JSON_SCAN_OK;
}

size_t json_unescape_to(struct str raw, char *out)
{
    const char *p = raw.p, *end = raw.p + raw.n;
    char *o = out;

    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((slash ? slash : end) - p);

        memmove(o, p, plain);
        o += plain;
        if (!slash) {
            break;
        }
        p = slash + 2;
        switch (slash[1]) {
        case 'b': *o++ = '\b'; break;
        case 'f': *o++ = '\f'; break;
        case 'n': *o++ = '\n'; break;
        case 'r': *o++ = '\r'; break;
        case 't': *o++ = '\t'; break;
        case 'u': {
            uint32_t cp = (uint32_t)hex4(slash + 2);

            p = slash + 6;
            if (cp >= 0xd800 && cp <= 0xdbff) {
                cp = 0x10000 + ((cp - 0xd800) << 10) + ((uint32_t)hex4(slash + 8) - 0xdc00);
                p = slash + 12;
            }
            o += utf8_put(cp, o);
            break;
        }
        default: *o++ = slash[1];
        }
    }
    return (size_t)(o - out);
}
