/* api/kubeflow/custom.c - customProperties: a JSON object of typed values, from and to properties of a node. */
#include "api/kubeflow/custom.h"
#include "base/num.h"
#include "base/utf8.h"
#include "codec/base64.h"
#include "codec/json.h"
#include <math.h>

enum { CUSTOM_DEPTH = 4, CUSTOM_INT_DIGITS = 9 };

/* The members of one value, as they came; type JSON_EV_END = absent. */
enum member {
    TYPE_NAME,
    STRING_VALUE,
    INT_VALUE,
    DOUBLE_VALUE,
    BOOL_VALUE,
    STRUCT_VALUE,
    MEMBER_N
};
static const char *const member_names[MEMBER_N] = {
    "metadataType", "string_value", "int_value", "double_value", "bool_value", "struct_value"
};
struct member_value {
    enum json_event type;
    struct str text; /* decoded text, or the digits */
};

static enum status bad(struct str key, const char *why, struct err *err)
{
    struct str shown = utf8_prefix(key, 100);

    return err_field(err, ST_INVALID, "customProperties", "customProperties: '%.*s' %s",
                     STR_ARG(shown), why);
}

static enum status not_json(const struct json_reader *r, struct err *err)
{
    return r->status == ST_NOMEM
               ? err_nomem(err)
               : err_field(err, ST_INVALID, "customProperties", "customProperties: %s at byte %zu",
                           r->what ? r->what : "not an object of typed values", json_offset(r));
}

/* Behind the '{' of a value. */
static enum status read_members(struct json_reader *r, struct str key, struct arena *a,
                                struct member_value *out, struct err *err)
{
    enum json_event ev;

    for (int i = 0; i < MEMBER_N; i++) {
        out[i] = (struct member_value){ .type = JSON_EV_END };
    }
    while ((ev = json_next(r)) == JSON_EV_KEY) {
        struct str name = json_text(r, a);
        int which = 0;

        if (!name.p) {
            return err_nomem(err);
        }
        while (which < MEMBER_N && !str_eq(name, str_cstr(member_names[which]))) {
            which++;
        }
        ev = json_next(r);
        if (ev == JSON_EV_OBJECT || ev == JSON_EV_ARRAY) {
            if (which < MEMBER_N) {
                return bad(key, "has a list or an object where a plain value belongs", err);
            }
            ev = json_skip(r);
        } else if (ev > JSON_EV_END && which < MEMBER_N) {
            out[which].type = ev;
            out[which].text = ev == JSON_EV_STRING ? json_text(r, a) : r->raw;
            if (!out[which].text.p && ev == JSON_EV_STRING) {
                return err_nomem(err);
            }
        }
        if (ev <= JSON_EV_END) {
            return not_json(r, err);
        }
    }
    return ev == JSON_EV_OBJECT_END ? OK : not_json(r, err);
}

/* -?(0|[1-9][0-9]{0,8}): what every client can read back. */
static bool is_client_int(struct str s)
{
    size_t i = s.n && s.p[0] == '-';

    if (s.n == i || s.n - i > CUSTOM_INT_DIGITS || (s.p[i] == '0' && s.n - i > 1)) {
        return false;
    }
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return true;
}

static enum status struct_value(const struct member_value *v, struct prop *p, struct arena *a,
                                struct err *err)
{
    struct json_reader r;
    struct str text;
    bool nomem, object;

    if (v->type != JSON_EV_STRING) {
        return bad(p->key, "needs struct_value, base64 text", err);
    }
    nomem = false;
    if (!base64_decode(v->text, a, &text, &nomem)) {
        return nomem ? err_nomem(err) : bad(p->key, "has a struct_value that is not base64", err);
    }
    json_init(&r, text, 0, 0);
    object = json_next(&r) == JSON_EV_OBJECT && json_skip(&r) > JSON_EV_END &&
             json_next(&r) == JSON_EV_END;
    json_release(&r);
    if (!object || memchr(text.p, 0, text.n)) {
        return bad(p->key, "has a struct_value that is not the base64 of a JSON object", err);
    }
    p->type = PROP_JSON;
    p->s = text;
    return OK;
}

static enum status set_value(const struct member_value *m, struct prop *p, struct arena *a,
                             struct err *err)
{
    struct str type = m[TYPE_NAME].text;
    bool is_text = m[TYPE_NAME].type == JSON_EV_STRING;

    if (is_text && str_eq_lit(type, "MetadataStringValue")) {
        p->type = PROP_TEXT;
        p->s = m[STRING_VALUE].text;
        if (m[STRING_VALUE].type == JSON_EV_STRING && memchr(p->s.p, 0, p->s.n)) {
            return bad(p->key, "holds U+0000", err);
        }
        return m[STRING_VALUE].type == JSON_EV_STRING
                   ? OK
                   : bad(p->key, "needs string_value, text", err);
    }
    if (is_text && str_eq_lit(type, "MetadataIntValue")) {
        p->type = PROP_INT;
        return (m[INT_VALUE].type == JSON_EV_STRING && is_client_int(m[INT_VALUE].text) &&
                num_parse_i64(m[INT_VALUE].text, &p->i))
                   ? OK
                   : bad(p->key, "needs int_value, text of at most 9 digits", err);
    }
    if (is_text && str_eq_lit(type, "MetadataDoubleValue")) {
        p->type = PROP_DOUBLE;
        return (m[DOUBLE_VALUE].type == JSON_EV_NUMBER &&
                num_scan_double(m[DOUBLE_VALUE].text, &p->d) && isfinite(p->d))
                   ? OK
                   : bad(p->key, "needs double_value, a finite number", err);
    }
    if (is_text && str_eq_lit(type, "MetadataBoolValue")) {
        p->type = PROP_BOOL;
        p->i = m[BOOL_VALUE].type == JSON_EV_TRUE;
        return m[BOOL_VALUE].type == JSON_EV_TRUE || m[BOOL_VALUE].type == JSON_EV_FALSE
                   ? OK
                   : bad(p->key, "needs bool_value, true or false", err);
    }
    if (is_text && str_eq_lit(type, "MetadataStructValue")) {
        return struct_value(&m[STRUCT_VALUE], p, a, err);
    }
    return bad(p->key,
               "needs a metadataType: MetadataStringValue, MetadataIntValue, MetadataDoubleValue, "
               "MetadataBoolValue or MetadataStructValue",
               err);
}

static enum status check_size(const struct prop *p, struct err *err)
{
    if (p->key.n == 0) {
        return bad(p->key, "is an empty key", err);
    }
    if (utf8_count(p->key) > CATALOG_NAME_MAX || memchr(p->key.p, 0, p->key.n)) {
        return bad(p->key, "is too long for a key, or holds U+0000", err);
    }
    return p->s.n > REGISTRY_TEXT_MAX ? bad(p->key, "has a value of more than 100000 bytes", err)
                                      : OK;
}

enum status kf_custom_parse(struct str json, struct arena *a, struct props *out, struct err *err)
{
    struct member_value members[MEMBER_N];
    struct json_reader r;
    enum json_event ev;
    size_t cap = 0;
    enum status st = OK;

    *out = (struct props){ 0 };
    json_init(&r, json, JSON_NO_DUPLICATES, CUSTOM_DEPTH);
    if (json_next(&r) != JSON_EV_OBJECT) {
        json_release(&r);
        return err_field(err, ST_INVALID, "customProperties", "customProperties takes an object");
    }
    while (!st && (ev = json_next(&r)) == JSON_EV_KEY) {
        struct prop p = { .scope = PROP_CUSTOM, .key = json_text(&r, a) };

        if (!p.key.p || !arena_grow(a, (void **)&out->p, out->n, &cap, sizeof(*out->p))) {
            st = err_nomem(err);
        } else if (out->n == CATALOG_PROPS_MAX) {
            st = err_field(err, ST_INVALID, "customProperties",
                           "customProperties: more than %d properties", CATALOG_PROPS_MAX);
        } else if ((ev = json_next(&r)) != JSON_EV_OBJECT) {
            st = ev < JSON_EV_END
                     ? not_json(&r, err)
                     : bad(p.key, "needs an object with metadataType and its value", err);
        }
        st = st ? st : read_members(&r, p.key, a, members, err);
        st = st ? st : set_value(members, &p, a, err);
        st = st ? st : check_size(&p, err);
        if (!st) {
            out->p[out->n++] = p;
        }
    }
    if (!st && ev != JSON_EV_OBJECT_END) {
        st = not_json(&r, err);
    }
    json_release(&r);
    return st;
}

static void put_member(struct json_writer *w, const struct prop *p)
{
    char digits[NUM_I64_MAX];
    struct buf b;

    switch (p->type) {
    case PROP_INT:
        json_w_key(w, S("int_value"));
        json_w_str(w, str_of(digits, num_print_i64(p->i, digits)));
        break;
    case PROP_DOUBLE:
        json_w_key(w, S("double_value"));
        json_w_double(w, p->d);
        break;
    case PROP_BOOL:
        json_w_key(w, S("bool_value"));
        json_w_bool(w, p->i != 0);
        break;
    case PROP_JSON:
        buf_init(&b, REGISTRY_TEXT_MAX * 2);
        base64_put(&b, p->s, BASE64_STD);
        json_w_key(w, S("struct_value"));
        json_w_str(w, buf_str(&b));
        w->b->failed = w->b->failed ? w->b->failed : b.failed;
        buf_release(&b);
        break;
    case PROP_TEXT:
    case PROP_BYTES:
    case PROP_PROTO:
    case PROP_GONE:
        json_w_key(w, S("string_value"));
        json_w_str(w, p->s);
        break;
    }
}

void kf_custom_put(struct buf *b, const struct props *props)
{
    static const char *const types[] = {
        [PROP_INT] = "MetadataIntValue",      [PROP_DOUBLE] = "MetadataDoubleValue",
        [PROP_TEXT] = "MetadataStringValue",  [PROP_BYTES] = "MetadataStringValue",
        [PROP_BOOL] = "MetadataBoolValue",    [PROP_JSON] = "MetadataStructValue",
        [PROP_PROTO] = "MetadataStringValue",
    };
    struct json_writer w = JSON_WRITER_INIT(b);

    json_w_object(&w);
    for (size_t i = 0; i < props->n; i++) {
        const struct prop *p = &props->p[i];

        if (p->scope == PROP_CUSTOM && p->type != PROP_GONE) {
            json_w_key(&w, p->key);
            json_w_object(&w);
            put_member(&w, p);
            json_w_key(&w, S("metadataType"));
            json_w_cstr(&w, types[p->type]);
            json_w_object_end(&w);
        }
    }
    json_w_object_end(&w);
}
