/* codec/json_write.c - JSON output, see json.h. */
#include "base/num.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "codec/json_int.h"

static const char hex[] = "0123456789abcdef";

static void put_unicode(struct buf *b, uint32_t unit)
{
    char out[6] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]
    };

    buf_put(b, out, sizeof(out));
}

static void put_escape(struct buf *b, unsigned char c)
{
    char out[2] = { '\\', 0 };

    switch (c) {
    case '"':
    case '\\': out[1] = (char)c; break;
    case '\b': out[1] = 'b'; break;
    case '\f': out[1] = 'f'; break;
    case '\n': out[1] = 'n'; break;
    case '\r': out[1] = 'r'; break;
    case '\t': out[1] = 't'; break;
    default: put_unicode(b, c); return;
    }
    buf_put(b, out, 2);
}

/* The character at *at, not ASCII. Advances by one byte where it is invalid. */
static void put_wide(struct buf *b, struct str s, size_t *at, bool ascii)
{
    size_t from = *at, len = 1;
    uint32_t cp = 0xfffd;

    while (from + len < s.n && len < 4 && ((unsigned char)s.p[from + len] & 0xc0) == 0x80) {
        len++;
    }
    if (len > 1 && utf8_valid(str_sub(s, from, len))) {
        cp = utf8_next(s, at);
    } else {
        *at = from + 1;
    }
    if (ascii && cp >= 0x10000) {
        put_unicode(b, 0xd800 + ((cp - 0x10000) >> 10));
        put_unicode(b, 0xdc00 + ((cp - 0x10000) & 0x3ff));
    } else if (ascii) {
        put_unicode(b, cp);
    } else {
        char out[4];

        buf_put(b, out, utf8_put(cp, out));
    }
}

void json_put_str(struct buf *b, struct str s, bool ascii)
{
    size_t at = 0;

    buf_put_u8(b, '"');
    while (at < s.n) {
        const char *p = s.p + at, *hit = json_find_special(p, s.p + s.n);
        const char *del = ascii ? memchr(p, 0x7f, (size_t)(hit - p)) : NULL;

        if (del) hit = del;
        if (hit > p) buf_put(b, p, (size_t)(hit - p));
        at += (size_t)(hit - p);
        if (at == s.n) break;
        if ((unsigned char)*hit >= 0x80) {
            put_wide(b, s, &at, ascii);
        } else {
            put_escape(b, (unsigned char)*hit);
            at++;
        }
    }
    buf_put_u8(b, '"');
}

void json_put_double(struct buf *b, double v, enum json_nan nan)
{
    static const struct str names[] = { S_INIT("NaN"), S_INIT("Infinity"), S_INIT("-Infinity") };
    struct str name;
    char out[NUM_DOUBLE_MAX];

    if (LIKELY(__builtin_isfinite(v))) {
        buf_put(b, out, num_print_double(v, out));
        return;
    }
    name = names[__builtin_isnan(v) ? 0 : v > 0 ? 1 : 2];
    if (nan == JSON_NAN_NULL) {
        buf_put_lit(b, "null");
    } else if (nan == JSON_NAN_STRING) {
        json_put_str(b, name, false);
    } else {
        buf_put_str(b, name);
    }
}

void json_put_i64(struct buf *b, int64_t v)
{
    char out[NUM_I64_MAX];

    buf_put(b, out, num_print_i64(v, out));
}

void json_put_u64(struct buf *b, uint64_t v)
{
    char out[NUM_I64_MAX];

    buf_put(b, out, num_print_u64(v, out));
}

/* Before any value or key. */
static void comma(struct json_writer *w)
{
    if (w->comma) buf_put_u8(w->b, ',');
    w->comma = true;
}

void json_w_object(struct json_writer *w)
{
    comma(w);
    buf_put_u8(w->b, '{');
    w->comma = false;
}

void json_w_object_end(struct json_writer *w)
{
    buf_put_u8(w->b, '}');
    w->comma = true;
}

void json_w_array(struct json_writer *w)
{
    comma(w);
    buf_put_u8(w->b, '[');
    w->comma = false;
}

void json_w_array_end(struct json_writer *w)
{
    buf_put_u8(w->b, ']');
    w->comma = true;
}

void json_w_key(struct json_writer *w, struct str key)
{
    json_w_str(w, key);
    buf_put_u8(w->b, ':');
    w->comma = false;
}

void json_w_str(struct json_writer *w, struct str s)
{
    comma(w);
    json_put_str(w->b, s, w->ascii);
}

void json_w_cstr(struct json_writer *w, const char *c)
{
    if (c) {
        json_w_str(w, str_cstr(c));
    } else {
        json_w_null(w);
    }
}

void json_w_i64(struct json_writer *w, int64_t v)
{
    comma(w);
    json_put_i64(w->b, v);
}

void json_w_u64(struct json_writer *w, uint64_t v)
{
    comma(w);
    json_put_u64(w->b, v);
}

void json_w_double(struct json_writer *w, double v)
{
    comma(w);
    json_put_double(w->b, v, w->nan);
}

void json_w_bool(struct json_writer *w, bool v)
{
    json_w_raw(w, v ? S("true") : S("false"));
}

void json_w_null(struct json_writer *w)
{
    json_w_raw(w, S("null"));
}

void json_w_raw(struct json_writer *w, struct str json)
{
    comma(w);
    buf_put_str(w->b, json);
}
