/* codec/msg_json_enc.c - messages to JSON. */
#include "codec/base64.h"
#include "codec/json.h"
#include "codec/msg_int.h"

struct enc {
    struct buf *b;
    unsigned flags;
    enum json_nan nan;
    bool ascii;
};

static void put_number(struct enc *e, int64_t v)
{
    if (e->flags & MSG_JSON_INT64_AS_NUMBER) {
        json_put_i64(e->b, v);
    } else {
        buf_put_u8(e->b, '"');
        json_put_i64(e->b, v);
        buf_put_u8(e->b, '"');
    }
}

static void put_unsigned(struct enc *e, uint64_t v)
{
    if (e->flags & MSG_JSON_INT64_AS_NUMBER) {
        json_put_u64(e->b, v);
    } else {
        buf_put_u8(e->b, '"');
        json_put_u64(e->b, v);
        buf_put_u8(e->b, '"');
    }
}

static void put_enum(struct enc *e, const struct msg_field *f, int32_t v)
{
    struct str name = msg_enum_name(f->values, v);

    if (name.n) {
        json_put_str(e->b, name, e->ascii);
    } else {
        json_put_i64(e->b, v);
    }
}

static void put_bytes(struct enc *e, struct str bytes)
{
    buf_put_u8(e->b, '"');
    base64_put(e->b, bytes, BASE64_STD);
    buf_put_u8(e->b, '"');
}

static void put_object(struct enc *e, const struct msg_desc *desc, const void *in, size_t depth);

/* One value: a singular field, or one element. `at` is a struct for messages. */
static void put_value(struct enc *e, const struct msg_field *f, const void *at, size_t depth)
{
    const struct str *text = at;

    switch ((enum msg_type)f->type) {
    case MSG_T_DOUBLE: json_put_double(e->b, *(const double *)at, e->nan); break;
    case MSG_T_BOOL: buf_put_str(e->b, *(const bool *)at ? S("true") : S("false")); break;
    case MSG_T_INT32:
    case MSG_T_SINT32:
    case MSG_T_SFIX32: json_put_i64(e->b, *(const int32_t *)at); break;
    case MSG_T_UINT32:
    case MSG_T_FIX32: json_put_u64(e->b, *(const uint32_t *)at); break;
    case MSG_T_INT64:
    case MSG_T_SINT64:
    case MSG_T_SFIX64: put_number(e, *(const int64_t *)at); break;
    case MSG_T_UINT64:
    case MSG_T_FIX64: put_unsigned(e, *(const uint64_t *)at); break;
    case MSG_T_ENUM: put_enum(e, f, *(const int32_t *)at); break;
    case MSG_T_STRING: json_put_str(e->b, *text, e->ascii); break;
    case MSG_T_BYTES: put_bytes(e, *text); break;
    case MSG_T_JSON: buf_put_str(e->b, text->n ? *text : S("null")); break;
    case MSG_T_MESSAGE: put_object(e, f->msg, at, depth); break;
    case MSG_T_MAP: break; /* has no single value */
    }
}

static void put_map(struct enc *e, const struct msg_kv *kv, size_t n)
{
    buf_put_u8(e->b, '{');
    for (size_t i = 0; i < n; i++) {
        if (i) buf_put_u8(e->b, ',');
        json_put_str(e->b, kv[i].key, e->ascii);
        buf_put_u8(e->b, ':');
        json_put_str(e->b, kv[i].value, e->ascii);
    }
    buf_put_u8(e->b, '}');
}

static void put_list(struct enc *e, const struct msg_field *f, const char *items, size_t n,
                     size_t depth)
{
    buf_put_u8(e->b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i) buf_put_u8(e->b, ',');
        put_value(e, f, items + i * f->size, depth);
    }
    buf_put_u8(e->b, ']');
}

static void put_field(struct enc *e, const struct msg_field *f, const void *in, size_t depth)
{
    const void *at = msg_cat(f, in), *p;

    if (f->flags & MSG_F_REPEATED) {
        memcpy(&p, at, sizeof(p));
        if (f->type == MSG_T_MAP) {
            put_map(e, p, msg_count(f, in));
        } else {
            put_list(e, f, p, p ? msg_count(f, in) : 0, depth);
        }
    } else if (f->type == MSG_T_MESSAGE) {
        memcpy(&p, at, sizeof(p));
        if (p) {
            put_object(e, f->msg, p, depth);
        } else {
            buf_put_lit(e->b, "{}");
        }
    } else {
        put_value(e, f, at, depth);
    }
}

static void put_object(struct enc *e, const struct msg_desc *desc, const void *in, size_t depth)
{
    bool comma = false;

    if (depth == MSG_DEPTH_MAX) BUG("message nested too deep");
    buf_put_u8(e->b, '{');
    for (size_t i = 0; i < desc->field_n; i++) {
        const struct msg_field *f = &desc->fields[i];
        struct str key = (e->flags & MSG_JSON_CAMEL) ? f->json : f->name;

        if (!msg_is_present(f, in)) continue;
        if (comma) buf_put_u8(e->b, ',');
        comma = true;
        /* Keys are plain ASCII, so quotes are all they need. */
        if (!buf_reserve(e->b, key.n + 3)) return;
        e->b->p[e->b->n] = '"';
        memcpy(e->b->p + e->b->n + 1, key.p, key.n);
        memcpy(e->b->p + e->b->n + 1 + key.n, "\":", 2);
        e->b->n += key.n + 3;
        put_field(e, f, in, depth + 1);
    }
    buf_put_u8(e->b, '}');
}

void msg_encode_json(struct buf *b, const struct msg_desc *desc, const void *in, unsigned flags)
{
    struct enc e = {
        .b = b,
        .flags = flags,
        .ascii = (flags & MSG_JSON_ASCII) != 0,
        .nan = (flags & MSG_JSON_NAN_STRINGS) ? JSON_NAN_STRING
               : (flags & MSG_JSON_NAN_BARE)  ? JSON_NAN_BARE
                                              : JSON_NAN_NULL,
    };

    put_object(&e, desc, in, 0);
}
