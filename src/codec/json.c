/* codec/json.c - the pull reader, see json.h. */
#include "codec/json.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "codec/json_int.h"
#include <stdlib.h>

/* What the next token must be. */
enum json_state {
    WANT_VALUE,        /* a value */
    WANT_VALUE_OR_END, /* directly after '[' */
    WANT_KEY,          /* after a comma in an object */
    WANT_KEY_OR_END,   /* directly after '{' */
    WANT_COMMA_OR_END, /* after a value in a container */
    WANT_NOTHING,      /* after the top value */
};

enum { JSON_KEYS_MAX = 1 << 24 };

void json_init(struct json_reader *r, struct str text, unsigned flags, size_t depth_max)
{
    if (!text.p) text = S("");
    *r = (struct json_reader){
        .p = text.p,
        .end = text.p + text.n,
        .piece = text.p,
        .flags = flags,
        .depth_max = MIN_OF(depth_max ? depth_max : 64, (size_t)JSON_DEPTH_MAX),
        .keys = INT_MAP_INIT(JSON_KEYS_MAX),
    };
}

void json_release(struct json_reader *r)
{
    int_map_release(&r->keys);
    mem_free(r->object_ids);
    r->object_ids = NULL;
}

struct str json_rest(const struct json_reader *r)
{
    return str_of(r->p, (size_t)(r->end - r->p));
}

void json_feed(struct json_reader *r, struct str text, bool final)
{
    if (!text.p) text = S("");
    r->base += (size_t)(r->p - r->piece);
    r->p = r->piece = text.p;
    r->end = text.p + text.n;
    if (final) {
        r->flags &= ~(unsigned)JSON_PARTIAL;
    }
}

size_t json_offset(const struct json_reader *r)
{
    return r->base + (size_t)(r->p - r->piece);
}

static enum json_event fail(struct json_reader *r, enum status st, const char *what)
{
    r->status = st;
    r->what = what;
    return JSON_EV_ERROR;
}

/* The token at r->p does not end in this piece, or is none. */
static enum json_event no_token(struct json_reader *r, enum json_scan sc, const char *what)
{
    if (sc == JSON_SCAN_SHORT) {
        return (r->flags & JSON_PARTIAL) ? JSON_EV_MORE : fail(r, ST_BAD_REQUEST, "unexpected end");
    }
    return fail(r, ST_BAD_REQUEST, what);
}

static bool in_object(const struct json_reader *r)
{
    return r->nest[(r->depth - 1) / 64] >> ((r->depth - 1) % 64) & 1;
}

static enum json_event value_done(struct json_reader *r, enum json_event ev)
{
    r->state = r->depth ? WANT_COMMA_OR_END : WANT_NOTHING;
    return ev;
}

static enum json_event open_container(struct json_reader *r, bool object)
{
    uint64_t bit;

    if (r->depth == r->depth_max) return fail(r, ST_BAD_REQUEST, "nested too deep");
    bit = 1ull << (r->depth % 64);
    r->nest[r->depth / 64] = (r->nest[r->depth / 64] & ~bit) | (object ? bit : 0);
    if (object && (r->flags & JSON_NO_DUPLICATES)) {
        if (!r->object_ids) {
            r->object_ids = mem_zalloc(r->depth_max, sizeof(*r->object_ids));
            if (!r->object_ids) return fail(r, ST_NOMEM, "out of memory");
        }
        r->object_ids[r->depth] = ++r->object_n;
    }
    r->depth++;
    r->p++;
    r->state = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return object ? JSON_EV_OBJECT : JSON_EV_ARRAY;
}

static enum json_event close_container(struct json_reader *r, bool object)
{
    r->p++;
    r->depth--;
    return value_done(r, object ? JSON_EV_OBJECT_END : JSON_EV_ARRAY_END);
}

/* Remembers the key; JSON_EV_KEY, or an error if the object has it already. */
static enum json_event note_key(struct json_reader *r)
{
    uint64_t id[2] = { r->object_ids[r->depth - 1], 0 };
    uint64_t hash;
    enum status st;

    if (r->escaped) {
        char *text = mem_alloc(r->raw.n + 1);

        if (!text) return fail(r, ST_NOMEM, "out of memory");
        id[1] = hash_bytes(text, json_unescape_to(r->raw, text));
        mem_free(text);
    } else {
        id[1] = hash_bytes(r->raw.p, r->raw.n);
    }
    hash = hash_bytes(id, sizeof(id));
    if (int_map_get(&r->keys, hash)) return fail(r, ST_BAD_REQUEST, "key given twice");
    st = int_map_put(&r->keys, hash, r);
    if (st == ST_NOMEM) return fail(r, st, "out of memory");
    return st ? fail(r, ST_BAD_REQUEST, "too many keys") : JSON_EV_KEY;
}

static enum json_event next_key(struct json_reader *r)
{
    const char *p = r->p + 1;
    enum json_scan sc;

    if (*r->p != '"') return fail(r, ST_BAD_REQUEST, "expected a key");
    sc = json_scan_string(&p, r->end, &r->raw, &r->escaped);
    if (sc) return no_token(r, sc, "not a string");
    p = json_skip_space(p, r->end);
    if (p == r->end) return no_token(r, JSON_SCAN_SHORT, NULL);
    if (*p != ':') {
        r->p = p;
        return fail(r, ST_BAD_REQUEST, "expected ':'");
    }
    if (r->flags & JSON_NO_DUPLICATES) {
        enum json_event ev = note_key(r);

        if (ev != JSON_EV_KEY) return ev;
    }
    r->p = p + 1;
    r->state = WANT_VALUE;
    return JSON_EV_KEY;
}

/* A word such as true; the piece may end inside it. */
static enum json_event next_word(struct json_reader *r, struct str word, enum json_event ev)
{
    struct str left = json_rest(r);

    if (str_starts(left, word)) {
        r->raw = str_sub(left, 0, word.n);
        r->p += word.n;
        return value_done(r, ev);
    }
    return no_token(r, str_starts(word, left) ? JSON_SCAN_SHORT : JSON_SCAN_BAD,
                    "unexpected character");
}

static enum json_event next_number(struct json_reader *r)
{
    const char *p = r->p;
    enum json_scan sc;
    bool integer;

    if ((r->flags & JSON_BARE_NAN) && *p == '-' && (r->end - p < 2 || p[1] == 'I')) {
        return next_word(r, S("-Infinity"), JSON_EV_NAN);
    }
    sc = json_scan_number(&p, r->end, &r->raw, &integer);
    if (!sc && p == r->end && (r->flags & JSON_PARTIAL)) {
        sc = JSON_SCAN_SHORT; /* more digits may follow */
    }
    if (sc) return no_token(r, sc, "unexpected character");
    r->p = p;
    return value_done(r, JSON_EV_NUMBER);
}

static enum json_event next_value(struct json_reader *r)
{
    const char *p = r->p + 1;
    enum json_scan sc;

    switch (*r->p) {
    case '{': return open_container(r, true);
    case '[': return open_container(r, false);
    case 't': return next_word(r, S("true"), JSON_EV_TRUE);
    case 'f': return next_word(r, S("false"), JSON_EV_FALSE);
    case 'n': return next_word(r, S("null"), JSON_EV_NULL);
    case 'N':
        if (r->flags & JSON_BARE_NAN) return next_word(r, S("NaN"), JSON_EV_NAN);
        break;
    case 'I':
        if (r->flags & JSON_BARE_NAN) return next_word(r, S("Infinity"), JSON_EV_NAN);
        break;
    case '"':
        sc = json_scan_string(&p, r->end, &r->raw, &r->escaped);
        if (sc) return no_token(r, sc, "not a string");
        r->p = p;
        return value_done(r, JSON_EV_STRING);
    default:
        if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) return next_number(r);
    }
    return fail(r, ST_BAD_REQUEST, "unexpected character");
}

enum json_event json_next(struct json_reader *r)
{
    for (;;) {
        r->p = json_skip_space(r->p, r->end);
        if (r->p == r->end) {
            bool whole = r->state == WANT_NOTHING ||
                         (r->state == WANT_VALUE && r->depth == 0 && (r->flags & JSON_SEQUENCE));

            if (r->flags & JSON_PARTIAL) return JSON_EV_MORE;
            return whole ? JSON_EV_END : fail(r, ST_BAD_REQUEST, "unexpected end");
        }
        switch ((enum json_state)r->state) {
        case WANT_VALUE: return next_value(r);
        case WANT_VALUE_OR_END: return *r->p == ']' ? close_container(r, false) : next_value(r);
        case WANT_KEY: return next_key(r);
        case WANT_KEY_OR_END: return *r->p == '}' ? close_container(r, true) : next_key(r);
        case WANT_COMMA_OR_END:
            if (*r->p == (in_object(r) ? '}' : ']')) return close_container(r, in_object(r));
            if (*r->p != ',') return fail(r, ST_BAD_REQUEST, "expected ',' or the end");
            r->p++;
            r->state = in_object(r) ? WANT_KEY : WANT_VALUE;
            break;
        case WANT_NOTHING:
            if (!(r->flags & JSON_SEQUENCE)) return fail(r, ST_BAD_REQUEST, "text after the value");
            r->state = WANT_VALUE;
        }
    }
}

enum json_event json_skip(struct json_reader *r)
{
    /* A container was just opened if its first token is due; its own start does not count as depth to come back to. */
    bool opened = r->state == WANT_VALUE_OR_END || r->state == WANT_KEY_OR_END;
    size_t depth = r->depth - opened;
    enum json_event ev;

    do {
        ev = json_next(r);
        if (ev == JSON_EV_MORE) return fail(r, ST_BAD_REQUEST, "unexpected end");
    } while (ev > JSON_EV_END && (r->depth > depth || ev == JSON_EV_KEY));
    return ev;
}

struct str json_unescape(struct str raw, struct arena *a)
{
    char *p = arena_alloc(a, raw.n + 1);

    if (!p) return (struct str){ NULL, 0 };
    return str_of(p, json_unescape_to(raw, p));
}

struct str json_text(const struct json_reader *r, struct arena *a)
{
    return r->escaped ? json_unescape(r->raw, a) : r->raw;
}

/* Digits of a JSON number with fraction or exponent as an integer: magnitude and sign, exactly. */
static bool scaled_integer(struct str raw, bool *negative, uint64_t *out)
{
    bool minus = raw.n && raw.p[0] == '-', point = false;
    int64_t shift = 0, exp = 0;
    uint64_t v = 0, zeros = 0; /* zeros: seen after the last digit that is none, not yet in v */
    size_t i = minus;

    for (; i < raw.n && raw.p[i] != 'e' && raw.p[i] != 'E'; i++) {
        if (raw.p[i] == '.') {
            point = true;
            continue;
        }
        shift -= point;
        if (raw.p[i] == '0') {
            zeros += v != 0;
            continue;
        }
        for (; zeros; zeros--) {
            if (__builtin_mul_overflow(v, (uint64_t)10, &v)) return false;
        }
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(raw.p[i] - '0'), &v)) {
            return false;
        }
    }
    if (i < raw.n) {
        struct str digits = str_sub(raw, i + 1, raw.n);

        if (!num_parse_i64(digits, &exp)) exp = str_starts(digits, S("-")) ? -100000 : 100000;
        exp = MAX_OF(MIN_OF(exp, (int64_t)100000), (int64_t)-100000);
    }
    *negative = minus;
    *out = v;
    if (v == 0) return true;
    exp += shift + (int64_t)zeros;
    if (exp < 0) return false;
    for (; exp; exp--) {
        if (__builtin_mul_overflow(v, (uint64_t)10, &v)) return false;
    }
    *out = v;
    return true;
}

bool json_i64(struct str raw, int64_t *out)
{
    bool negative;
    uint64_t v;

    if (raw.n && raw.p[0] != '+' && num_parse_i64(raw, out)) return true;
    if (!scaled_integer(raw, &negative, &v) || v > (uint64_t)INT64_MAX + negative) return false;
    *out = (int64_t)(negative ? 0 - v : v);
    return true;
}

bool json_u64(struct str raw, uint64_t *out)
{
    bool negative;
    uint64_t v;

    if (num_parse_u64(raw, out)) return true;
    if (!scaled_integer(raw, &negative, &v) || (negative && v)) return false;
    *out = v;
    return true;
}

enum status json_check(struct str text, unsigned flags, size_t depth_max, struct err *err)
{
    struct json_reader r;
    enum json_event ev;
    enum status st = OK;

    json_init(&r, text, flags & ~(unsigned)JSON_PARTIAL, depth_max);
    do {
        ev = json_next(&r);
    } while (ev > JSON_EV_END);
    if (ev == JSON_EV_ERROR) {
        st = r.status == ST_NOMEM
                 ? err_nomem(err)
                 : err_set(err, r.status, "not JSON at byte %zu: %s", json_offset(&r), r.what);
    }
    json_release(&r);
    return st;
}

/* ---- canonical form ---- */

struct member {
    struct str key, value;
    size_t at;
};

static int member_cmp(const void *pa, const void *pb)
{
    const struct member *a = pa, *b = pb;
    int c = str_cmp(a->key, b->key);

    return c ? c : (a->at < b->at) - (a->at > b->at); /* the last of equal keys first */
}

static enum status canonical_number(struct buf *b, struct str raw)
{
    double v;

    if (memchr(raw.p, '.', raw.n) || memchr(raw.p, 'e', raw.n) || memchr(raw.p, 'E', raw.n)) {
        IGNORE_STATUS(num_scan_double(raw, &v) == 0); /* raw is a number: it cannot fail */
        json_put_double(b, v, JSON_NAN_BARE);
    } else if (str_eq_lit(raw, "-0")) {
        buf_put_lit(b, "0");
    } else {
        buf_put_str(b, raw);
    }
    return OK;
}

static enum status canonical(struct buf *b, struct json_reader *r, enum json_event ev,
                             struct arena *a, struct err *err);

static enum status canonical_object(struct buf *b, struct json_reader *r, struct arena *a,
                                    struct err *err)
{
    struct member *m = NULL;
    size_t n = 0, cap = 0;
    bool comma = false;

    while (json_next(r) == JSON_EV_KEY) {
        struct str key = json_text(r, a);
        const char *start = r->p;

        if (!key.p || !arena_grow(a, (void **)&m, n, &cap, sizeof(*m))) return err_nomem(err);
        json_next(r);
        if (r->state == WANT_VALUE_OR_END || r->state == WANT_KEY_OR_END) json_skip(r);
        m[n] = (struct member){ key, str_of(start, (size_t)(r->p - start)), n };
        n++;
    }
    if (n) qsort(m, n, sizeof(*m), member_cmp);
    buf_put_u8(b, '{');
    for (size_t i = 0; i < n; i++) {
        struct json_reader sub;
        enum status st;

        if (i && str_eq(m[i].key, m[i - 1].key)) continue;
        if (comma) buf_put_u8(b, ',');
        comma = true;
        json_put_str(b, m[i].key, true);
        buf_put_u8(b, ':');
        json_init(&sub, m[i].value, JSON_BARE_NAN, JSON_DEPTH_MAX);
        st = canonical(b, &sub, json_next(&sub), a, err);
        if (st) return st;
    }
    buf_put_u8(b, '}');
    return OK;
}

static enum status canonical(struct buf *b, struct json_reader *r, enum json_event ev,
                             struct arena *a, struct err *err)
{
    struct str text;
    enum status st;
    bool comma = false;

    switch (ev) {
    case JSON_EV_OBJECT: return canonical_object(b, r, a, err);
    case JSON_EV_ARRAY:
        buf_put_u8(b, '[');
        while ((ev = json_next(r)) > JSON_EV_END && ev != JSON_EV_ARRAY_END) {
            if (comma) buf_put_u8(b, ',');
            comma = true;
            st = canonical(b, r, ev, a, err);
            if (st) return st;
        }
        buf_put_u8(b, ']');
        return OK;
    case JSON_EV_STRING:
        text = json_text(r, a);
        if (!text.p) return err_nomem(err);
        json_put_str(b, text, true);
        return OK;
    case JSON_EV_NUMBER: return canonical_number(b, r->raw);
    case JSON_EV_NULL:
    case JSON_EV_TRUE:
    case JSON_EV_FALSE:
    case JSON_EV_NAN: buf_put_str(b, r->raw); return OK;
    case JSON_EV_ERROR:
    case JSON_EV_MORE:
    case JSON_EV_END:
    case JSON_EV_KEY:
    case JSON_EV_OBJECT_END:
    case JSON_EV_ARRAY_END: break;
    }
    return OK; /* not reached for a checked value */
}

enum status json_canonical(struct buf *b, struct str raw, struct arena *a, struct err *err)
{
    struct json_reader r;

    if (raw.n > JSON_CANONICAL_MAX) {
        return err_set(err, ST_TOO_BIG, "value exceeds %d bytes", JSON_CANONICAL_MAX);
    }
    json_init(&r, raw, JSON_BARE_NAN, JSON_DEPTH_MAX);
    return canonical(b, &r, json_next(&r), a, err);
}
