/* codec/msg_json.c - JSON to messages.
 * Recursive descent over the text with the table beside it; the hot path is a streamed list of small messages whose keys
 * come in the order of declaration (metric points): such a key costs one comparison, a number one scan, and nothing is
 * allocated. */
#include "base/digits.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "codec/json_int.h"
#include "codec/msg_int.h"

/* How a key names a field. */
enum spelling { BY_NAME, BY_CAMEL, BY_ALIAS };

struct dec {
    const char *p, *end, *start;
    struct msg_ctx *ctx;
    struct err *err;
    size_t depth, depth_max;
};

static const struct str no_value = { NULL, 0 };

static enum status bad_syntax(struct dec *d)
{
    struct str why = d->p >= d->end ? S("the JSON ends too early") : S("this is not JSON in UTF-8");

    return msg_fail(d->ctx, MSG_ISSUE_SYNTAX, NULL, NULL, why, (size_t)(d->p - d->start), d->err);
}

static inline void skip_space(struct dec *d)
{
    if (LIKELY(d->p < d->end && (unsigned char)*d->p > ' ')) return;
    d->p = json_skip_space(d->p, d->end);
}

/* The next byte after white space, 0 at the end of the text (a NUL byte is no JSON either). */
static inline char peek(struct dec *d)
{
    skip_space(d);
    return d->p < d->end ? *d->p : '\0';
}

/* Skips one value; *raw is its text. */
static enum status skip_value(struct dec *d, struct str *raw)
{
    bool deep;
    size_t left = d->depth_max - d->depth;

    if (json_scan_value(&d->p, d->end, left, (d->ctx->flags & MSG_BARE_NAN) != 0, raw, &deep) ==
        JSON_SCAN_OK) {
        return OK;
    }
    if (deep) return msg_fail(d->ctx, MSG_ISSUE_DEPTH, NULL, NULL, no_value, 0, d->err);
    return bad_syntax(d);
}

/* The value at d->p is not what f takes. */
static enum status bad_value(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                             enum msg_issue_kind kind)
{
    struct str raw;
    enum status st = skip_value(d, &raw);

    return st ? st : msg_fail(d->ctx, kind, fr, f, raw, 0, d->err);
}

/* A string at d->p, which is a quote: decoded. */
static enum status get_string(struct dec *d, struct str *out)
{
    const char *p = d->p + 1;
    bool escaped;

    if (json_scan_string(&p, d->end, out, &escaped)) return bad_syntax(d);
    d->p = p;
    if (UNLIKELY(escaped)) {
        *out = json_unescape(*out, d->ctx->arena);
        if (!out->p) return err_nomem(d->err);
    }
    return OK;
}

static enum status get_double(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                              void *at)
{
    const char *start = d->p;
    struct str raw;
    double v;
    size_t n;

    if (*d->p == '"') {
        struct str text;
        enum status st = get_string(d, &text);

        if (st) return st;
        if (!num_parse_double(text, &v)) {
            d->p = start;
            return bad_value(d, fr, f, MSG_ISSUE_TYPE);
        }
    } else {
        n = num_scan_double(str_of(d->p, (size_t)(d->end - d->p)), &v);
        if (UNLIKELY(!n && (d->ctx->flags & MSG_BARE_NAN))) n = json_scan_nan(d->p, d->end, &v);
        if (UNLIKELY(!n)) return bad_value(d, fr, f, MSG_ISSUE_TYPE);
        d->p += n;
    }
    memcpy(at, &v, sizeof(v));
    raw = str_of(start, (size_t)(d->p - start));
    msg_check_range(d->ctx, fr, f, at, raw);
    return OK;
}

/* The text of a number or of a quoted integer as integer. */
static bool set_integer(const struct msg_field *f, void *at, struct str text, bool quoted)
{
    int64_t i;
    uint64_t u;

    if (msg_is_unsigned(f)) {
        return (quoted ? num_parse_u64(text, &u) : json_u64(text, &u)) && msg_set_u64(f, at, u);
    }
    return (quoted ? num_parse_i64(text, &i) : json_i64(text, &i)) && msg_set_i64(f, at, i);
}

static enum status get_integer(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                               void *at)
{
    const char *start = d->p, *p = d->p + (*d->p == '-');
    struct str raw;
    uint64_t v = 0;

    /* Up to 18 characters and nothing of a fraction: the usual case. */
    p = num_take_digits(p, d->end - start > 18 ? start + 18 : d->end, &v);
    if (LIKELY(p < d->end && (*p == ',' || *p == '}' || *p == ' ') && p > start + (*start == '-') &&
               (start[*start == '-'] != '0' || p == start + 1))) {
        int64_t i = *start == '-' ? -(int64_t)v : (int64_t)v;

        if (!msg_set_i64(f, at, i)) return bad_value(d, fr, f, MSG_ISSUE_RANGE);
        d->p = p;
    } else if (*d->p == '"') {
        struct str text;
        enum status st = get_string(d, &text);

        if (st) return st;
        if (!set_integer(f, at, text, true)) {
            d->p = start;
            return bad_value(d, fr, f, MSG_ISSUE_TYPE);
        }
    } else {
        bool integer;

        p = d->p;
        if (json_scan_number(&p, d->end, &raw, &integer))
            return bad_value(d, fr, f, MSG_ISSUE_TYPE);
        if (!set_integer(f, at, raw, false)) {
            return bad_value(d, fr, f, integer ? MSG_ISSUE_RANGE : MSG_ISSUE_TYPE);
        }
        d->p = p;
    }
    raw = str_of(start, (size_t)(d->p - start));
    msg_check_range(d->ctx, fr, f, at, raw);
    return OK;
}

static enum status get_enum(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                            void *at)
{
    const char *start = d->p, *p = d->p;
    int32_t v = 0;
    int64_t wide;
    struct str text;
    bool integer, ok;

    if (*d->p == '"') {
        enum status st = get_string(d, &text);

        if (st) return st;
        ok = msg_enum_number(f->values, text, &v);
        if (!ok) d->p = start;
    } else {
        ok = json_scan_number(&p, d->end, &text, &integer) == JSON_SCAN_OK &&
             json_i64(text, &wide) && num_to_i32(wide, &v) && msg_enum_name(f->values, v).n;
        if (ok) d->p = p;
    }
    if (!ok) return bad_value(d, fr, f, MSG_ISSUE_TYPE);
    memcpy(at, &v, sizeof(v));
    return OK;
}

static enum status get_bool(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                            void *at)
{
    struct str left = str_of(d->p, (size_t)(d->end - d->p));
    bool v = str_starts(left, S("true"));

    if (!v && !str_starts(left, S("false"))) return bad_value(d, fr, f, MSG_ISSUE_TYPE);
    d->p += v ? 4 : 5;
    *(bool *)at = v;
    return OK;
}

static enum status get_text(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                            void *at)
{
    const char *start = d->p;
    struct str text, raw;
    bool nomem;
    enum status st;

    if (*d->p != '"') return bad_value(d, fr, f, MSG_ISSUE_TYPE);
    st = get_string(d, &text);
    if (st) return st;
    raw = str_of(start, (size_t)(d->p - start));
    if (UNLIKELY(text.n + 2 != raw.n) && msg_has_nul(text)) { /* only an escape can make it */
        return msg_fail(d->ctx, MSG_ISSUE_TYPE, fr, f, raw, 0, d->err);
    }
    if (f->type == MSG_T_BYTES && !base64_decode(text, d->ctx->arena, &text, &nomem)) {
        if (nomem) return err_nomem(d->err);
        return msg_fail(d->ctx, MSG_ISSUE_TYPE, fr, f, raw, 0, d->err);
    }
    msg_set_text(d->ctx, fr, f, at, text, raw);
    return OK;
}

static enum status get_object(struct dec *d, const struct msg_desc *desc, void *out,
                              const struct msg_frame *up);

/* One value of f, not null: a singular field, or one element of a repeated one. `at` is a struct for messages. */
static enum status get_value(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                             void *at)
{
    struct str raw;
    enum status st;

    switch ((enum msg_type)f->type) {
    case MSG_T_DOUBLE: return get_double(d, fr, f, at);
    case MSG_T_BOOL: return get_bool(d, fr, f, at);
    case MSG_T_INT32:
    case MSG_T_SINT32:
    case MSG_T_SFIX32:
    case MSG_T_INT64:
    case MSG_T_SINT64:
    case MSG_T_SFIX64:
    case MSG_T_UINT32:
    case MSG_T_FIX32:
    case MSG_T_UINT64:
    case MSG_T_FIX64: return get_integer(d, fr, f, at);
    case MSG_T_ENUM: return get_enum(d, fr, f, at);
    case MSG_T_STRING:
    case MSG_T_BYTES: return get_text(d, fr, f, at);
    case MSG_T_JSON:
        st = skip_value(d, &raw);
        if (!st) memcpy(at, &raw, sizeof(raw));
        return st;
    case MSG_T_MESSAGE: return get_object(d, f->msg, at, fr);
    case MSG_T_MAP: break;
    }
    return err_set(d->err, ST_INTERNAL, "no such field type");
}

/* Between elements: true if another one follows, with d->p at it; else d->p is behind the closing bracket. */
static inline enum status next_element(struct dec *d, char close, bool first, bool *more)
{
    char c = peek(d);

    *more = true;
    if (c == close) {
        d->p++;
        *more = false;
        return OK;
    }
    if (first) return c ? OK : bad_syntax(d);
    if (c != ',') return bad_syntax(d);
    d->p++;
    c = peek(d);
    return c && c != close ? OK : bad_syntax(d);
}

static enum status enter(struct dec *d)
{
    if (d->depth == d->depth_max)
        return msg_fail(d->ctx, MSG_ISSUE_DEPTH, NULL, NULL, no_value, 0, d->err);
    d->depth++;
    d->p++;
    return OK;
}

/* Elements of a field marked `stream` go straight to the sink. */
static enum status get_stream(struct dec *d, const struct msg_frame *up, const struct msg_field *f,
                              void *out)
{
    struct msg_frame fr = { up, f, 0 };
    size_t *n = msg_count_at(f, out);
    void *element = arena_zalloc(d->ctx->arena, 1, f->size);
    enum status st;
    bool more;

    if (!element) return err_nomem(d->err);
    for (;;) {
        st = next_element(d, ']', *n == 0, &more);
        if (st || !more) return st;
        fr.index = *n;
        if (*d->p != '{') return bad_value(d, &fr, f, MSG_ISSUE_TYPE);
        if (f->max_items) {
            st = msg_count_item(d->ctx, &fr, f, *n, d->err);
            if (st) return st;
        }
        st = get_object(d, f->msg, element, &fr);
        if (st) return st;
        (*n)++;
        if (d->ctx->issue.kind == MSG_ISSUE_NONE) {
            st = d->ctx->stream(d->ctx->stream_ctx, f, element, d->err);
            if (st) return st;
        }
    }
}

static enum status get_list(struct dec *d, const struct msg_frame *up, const struct msg_field *f,
                            void *out)
{
    struct msg_frame fr = { up, f, 0 };
    size_t cap = 0;
    enum status st;
    bool more;

    for (fr.index = 0;; fr.index++) {
        void *item;

        st = next_element(d, ']', fr.index == 0, &more);
        if (st || !more) return st;
        if (f->type == MSG_T_MESSAGE && *d->p != '{') return bad_value(d, &fr, f, MSG_ISSUE_TYPE);
        if (*d->p == 'n' && f->type != MSG_T_JSON) return bad_value(d, &fr, f, MSG_ISSUE_TYPE);
        st = msg_add_item(d->ctx, &fr, f, out, &cap, &item, d->err);
        if (!st) st = get_value(d, &fr, f, item);
        if (st) return st;
    }
}

static enum status get_map(struct dec *d, const struct msg_frame *up, const struct msg_field *f,
                           void *out)
{
    struct msg_frame fr = { up, f, SIZE_MAX };
    size_t cap = 0, i;
    enum status st;
    bool more;

    for (i = 0;; i++) {
        const char *value;
        struct msg_kv kv;
        void *item;

        st = next_element(d, '}', i == 0, &more);
        if (st || !more) return st;
        if (*d->p != '"') return bad_syntax(d);
        st = get_string(d, &kv.key);
        if (st) return st;
        if (peek(d) != ':') return bad_syntax(d);
        d->p++;
        value = d->p;
        if (peek(d) != '"') return bad_value(d, &fr, f, MSG_ISSUE_TYPE);
        st = get_string(d, &kv.value);
        if (!st && (msg_has_nul(kv.key) || msg_has_nul(kv.value))) {
            d->p = value;
            return bad_value(d, &fr, f, MSG_ISSUE_TYPE);
        }
        if (!st) st = msg_add_item(d->ctx, &fr, f, out, &cap, &item, d->err);
        if (st) return st;
        memcpy(item, &kv, sizeof(kv));
    }
}

/* The value of a repeated field or a map. */
static enum status get_repeated(struct dec *d, const struct msg_frame *up,
                                const struct msg_field *f, void *out)
{
    struct msg_frame fr = { up, f, SIZE_MAX };
    bool map = f->type == MSG_T_MAP;
    enum status st;

    if (*d->p != (map ? '{' : '[')) return bad_value(d, &fr, f, MSG_ISSUE_TYPE);
    st = enter(d);
    if (st) return st;
    if (map) {
        st = get_map(d, up, f, out);
    } else if ((f->flags & MSG_F_STREAM) && d->ctx->stream) {
        st = get_stream(d, up, f, out);
    } else {
        st = get_list(d, up, f, out);
    }
    d->depth--;
    return st;
}

static enum status get_message(struct dec *d, const struct msg_frame *fr, const struct msg_field *f,
                               void *out)
{
    void *sub;

    if (*d->p != '{') return bad_value(d, fr, f, MSG_ISSUE_TYPE);
    sub = arena_alloc(d->ctx->arena, f->msg->size);
    if (!sub) return err_nomem(d->err);
    memcpy(msg_at(f, out), &sub, sizeof(sub));
    return get_object(d, f->msg, sub, fr);
}

/* The value of a field of `out`, whatever it is. Sets its bit unless the value is null, or "" for a required one. */
static enum status get_field(struct dec *d, const struct msg_frame *up, const struct msg_field *f,
                             void *out)
{
    struct msg_frame fr = { up, f, SIZE_MAX };
    uint64_t bit = 1ull << f->bit;
    enum status st;

    if (UNLIKELY(*msg_has(out) & bit)) msg_reset_field(f, out);
    if (UNLIKELY(*d->p == 'n' && f->type != MSG_T_JSON)) {
        struct str raw;

        msg_reset_field(f, out);
        return skip_value(d, &raw);
    }
    if (f->flags & MSG_F_REPEATED) {
        st = get_repeated(d, up, f, out);
    } else if (f->type == MSG_T_MESSAGE) {
        st = get_message(d, &fr, f, out);
    } else {
        st = get_value(d, &fr, f, msg_at(f, out));
    }
    if (st) return st;
    *msg_has(out) |= bit;
    if ((f->flags & (MSG_F_REQUIRED | MSG_F_REPEATED)) == MSG_F_REQUIRED &&
        (f->type == MSG_T_STRING || f->type == MSG_T_JSON)) {
        const struct str *text = msg_cat(f, out);

        if (text->n == 0 ||
            (f->type == MSG_T_JSON && (str_eq_lit(*text, "null") || str_eq_lit(*text, "\"\"")))) {
            *msg_has(out) &= ~bit;
        }
    }
    return OK;
}

/* A field with a second name: the first name wins unless it has nothing to say. *aliased holds the bits set by a second
 * name. */
static enum status get_aliased(struct dec *d, const struct msg_frame *up, const struct msg_field *f,
                               void *out, bool is_alias, uint64_t *aliased)
{
    uint64_t bit = 1ull << f->bit, had = *msg_has(out) & bit;
    char old[sizeof(struct str)];
    bool empty;
    enum status st;

    memcpy(old, msg_at(f, out), f->size);
    st = get_field(d, up, f, out);
    if (st) return st;
    empty = !(*msg_has(out) & bit) ||
            (f->type == MSG_T_STRING && !((const struct str *)msg_cat(f, out))->n);
    if (had && (is_alias != ((*aliased & bit) != 0)) && (is_alias || empty)) {
        *msg_has(out) |= bit;
        memcpy(msg_at(f, out), old, f->size);
        return OK;
    }
    *aliased = is_alias ? *aliased | bit : *aliased & ~bit;
    return OK;
}

static const struct msg_field *find_field(const struct msg_desc *desc, struct str key,
                                          unsigned flags, enum spelling *sp)
{
    for (size_t i = 0; i < desc->field_n; i++) {
        const struct msg_field *f = &desc->fields[i];

        *sp = BY_NAME;
        if (str_eq(f->name, key)) return f;
        *sp = BY_CAMEL;
        if ((flags & MSG_CAMEL_OK) && str_eq(f->json, key)) return f;
        *sp = BY_ALIAS;
        if (f->alias.n && str_eq(f->alias, key)) return f;
    }
    return NULL;
}

/* Short texts of equal length, without a call: keys are rarely longer than 16 bytes. */
static inline bool same_key(const char *a, const char *b, size_t n)
{
    uint64_t a8[2], b8[2];
    uint32_t a4[2], b4[2];

    if (n > 16) return memcmp(a, b, n) == 0;
    if (n >= 8) {
        memcpy(&a8[0], a, 8);
        memcpy(&b8[0], b, 8);
        memcpy(&a8[1], a + n - 8, 8);
        memcpy(&b8[1], b + n - 8, 8);
        return a8[0] == b8[0] && a8[1] == b8[1];
    }
    if (n >= 4) {
        memcpy(&a4[0], a, 4);
        memcpy(&b4[0], b, 4);
        memcpy(&a4[1], a + n - 4, 4);
        memcpy(&b4[1], b + n - 4, 4);
        return a4[0] == b4[0] && a4[1] == b4[1];
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i]) return false;
    }
    return true;
}

/* Reads a key and its colon; *f is NULL for one that is to be skipped. `guess` is the index of the field tried first. */
static enum status get_key(struct dec *d, const struct msg_frame *up, const struct msg_desc *desc,
                           size_t guess, const struct msg_field **f, enum spelling *sp)
{
    const char *p = d->p + 1;
    struct str key;
    enum status st;

    if (LIKELY(guess < desc->field_n)) {
        const struct msg_field *g = &desc->fields[guess];

        if (LIKELY((size_t)(d->end - p) > g->name.n && p[g->name.n] == '"' &&
                   same_key(p, g->name.p, g->name.n))) {
            d->p = p + g->name.n + 1;
            *f = g;
            *sp = BY_NAME;
            goto colon;
        }
    }
    if (*d->p != '"') return bad_syntax(d);
    st = get_string(d, &key);
    if (st) return st;
    *f = find_field(desc, key, d->ctx->flags, sp);
    if (!*f && !(d->ctx->flags & MSG_IGNORE_UNKNOWN)) {
        const struct msg_field unknown = { .name = key };
        struct msg_frame fr = { up, &unknown, SIZE_MAX };

        return msg_fail(d->ctx, MSG_ISSUE_UNKNOWN, &fr, NULL, no_value, 0, d->err);
    }
colon:
    if (peek(d) != ':') return bad_syntax(d);
    d->p++;
    return peek(d) ? OK : bad_syntax(d);
}

/* A field that came before by its name or its camelCase twin: whether that may be. */
static enum status check_twice(struct dec *d, const struct msg_frame *up, const struct msg_field *f,
                               const uint64_t *seen, enum spelling sp)
{
    struct msg_frame fr = { up, f, SIZE_MAX };
    bool both = !(seen[sp] >> f->bit & 1);

    if (!both && !(d->ctx->flags & MSG_REFUSE_DUPLICATES) &&
        !((f->flags & MSG_F_STREAM) && d->ctx->stream)) {
        return OK; /* the last one wins */
    }
    return msg_fail(d->ctx, MSG_ISSUE_DUPLICATE, &fr, f, both ? f->json : no_value, 0, d->err);
}

/* An object at d->p, which is its opening brace, into out (desc->size bytes). */
static enum status get_object(struct dec *d, const struct msg_desc *desc, void *out,
                              const struct msg_frame *up)
{
    uint64_t seen[3] = { 0 }, aliased = 0;
    size_t guess = 0;
    bool more, first = true;
    enum spelling sp = BY_NAME;
    enum status st;

    msg_reset(desc, out);
    st = enter(d);
    for (; !st; first = false) {
        const struct msg_field *f = NULL;

        st = next_element(d, '}', first, &more);
        if (st || !more) break;
        if (UNLIKELY(*d->p != '"')) return bad_syntax(d);
        st = get_key(d, up, desc, guess, &f, &sp);
        if (st) break;
        if (UNLIKELY(!f)) {
            struct str raw;

            st = skip_value(d, &raw);
            continue;
        }
        guess = (size_t)(f - desc->fields) + 1;
        if (UNLIKELY((seen[BY_NAME] | seen[BY_CAMEL]) >> f->bit & 1) && sp != BY_ALIAS) {
            st = check_twice(d, up, f, seen, sp);
            if (st) break;
        }
        seen[sp] |= 1ull << f->bit;
        if (UNLIKELY(f->alias.n)) {
            st = get_aliased(d, up, f, out, sp == BY_ALIAS, &aliased);
        } else {
            st = get_field(d, up, f, out);
        }
    }
    if (st) return st;
    d->depth--;
    msg_check_required(d->ctx, up, desc, out);
    return OK;
}

/* The whole text is one object. */
static enum status get_top(struct dec *d, const struct msg_desc *desc, void *out)
{
    char c = peek(d);
    enum status st;

    if (d->p == d->end && (d->ctx->flags & MSG_EMPTY_OK)) {
        msg_check_required(d->ctx, NULL, desc, out);
        return OK;
    }
    if (c == '"' && (d->ctx->flags & MSG_DOUBLE_ENCODED)) {
        struct str inner;

        st = get_string(d, &inner);
        if (st) return st;
        if (peek(d) || d->p != d->end) return bad_syntax(d);
        d->p = d->start = inner.p;
        d->end = inner.p + inner.n;
        c = peek(d);
    }
    if (c != '{') return bad_syntax(d);
    st = get_object(d, desc, out, NULL);
    if (st) return st;
    skip_space(d);
    return d->p == d->end ? OK : bad_syntax(d);
}

enum status msg_decode_json(const struct msg_desc *desc, void *out, struct str json,
                            struct msg_ctx *ctx, struct err *err)
{
    struct dec d = {
        .p = json.p ? json.p : "",
        .ctx = ctx,
        .err = err,
        .depth_max = MIN_OF(ctx->depth_max ? ctx->depth_max : MSG_DEPTH_MAX, (size_t)MSG_DEPTH_MAX),
    };
    enum status st;

    d.start = d.p;
    d.end = d.p + json.n;
    ctx->issue.kind = MSG_ISSUE_NONE;
    ctx->items_n = 0;
    msg_reset(desc, out);
    st = get_top(&d, desc, out);
    return st ? st : msg_finish(ctx, err);
}
