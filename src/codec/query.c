/* codec/query.c - see query.h. */
#include "codec/query.h"
#include "base/num.h"
#include "base/utf8.h"

bool query_next(struct str *rest, struct str *name, struct str *value)
{
    struct str part;
    size_t at;

    do {
        if (!str_split(rest, '&', &part)) return false;
    } while (part.n == 0);
    at = str_find_byte(part, '=', 0);
    *name = str_sub(part, 0, MIN_OF(at, part.n));
    *value = at == SIZE_MAX ? S("") : str_sub(part, at + 1, part.n);
    return true;
}

enum status query_decode(struct str s, bool plus, struct arena *a, struct str *out, struct err *err)
{
    char *p, *o;

    if (!s.n || (!memchr(s.p, '%', s.n) && !(plus && memchr(s.p, '+', s.n)))) {
        *out = s.n ? s : S("");
        return OK;
    }
    o = p = arena_alloc(a, s.n);
    if (!p) return err_nomem(err);
    for (size_t i = 0; i < s.n; i++) {
        int hi, lo;

        if (s.p[i] == '+' && plus) {
            *o++ = ' ';
        } else if (s.p[i] != '%') {
            *o++ = s.p[i];
        } else {
            hi = i + 2 < s.n ? num_hex_digit(s.p[i + 1]) : -1;
            lo = i + 2 < s.n ? num_hex_digit(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return err_set(err, ST_BAD_REQUEST, "'%%' without two hex digits at byte %zu", i);
            *o++ = (char)(hi << 4 | lo);
            i += 2;
        }
    }
    *out = str_of(p, (size_t)(o - p));
    return OK;
}

enum status query_get(struct str query, struct str name, struct arena *a, struct str *out,
                      bool *found, struct err *err)
{
    struct str key, value;

    *found = false;
    while (query_next(&query, &key, &value)) {
        enum status st = query_decode(key, true, a, &key, err);

        if (st) return st;
        if (!str_eq(key, name)) continue;
        st = query_decode(value, true, a, out, err);
        if (st) return st;
        if (!utf8_valid(*out))
            return err_set(err, ST_BAD_REQUEST, "argument %.*s is not UTF-8", STR_ARG(name));
        *found = true;
        return OK;
    }
    return OK;
}

bool query_bool(struct str s, bool *out)
{
    *out = str_eq_nocase(s, S("true"));
    return *out || str_eq_nocase(s, S("false"));
}

void query_put(struct buf *b, struct str s, const char *keep)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     (c && (strchr("-._~", c) || strchr(keep, c)));

        if (plain) {
            buf_put_u8(b, c);
        } else {
            char out[3] = { '%', hex[c >> 4], hex[c & 15] };

            buf_put(b, out, 3);
        }
    }
}
