/* codec/msg_pb.c - messages from and to protobuf wire. */
#include "base/utf8.h"
#include "codec/json_int.h"
#include "codec/msg_int.h"

enum wire {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_LEN = 2,
    WIRE_GROUP = 3,
    WIRE_GROUP_END = 4,
    WIRE_32 = 5
};

static enum wire wire_of(const struct msg_field *f)
{
    switch ((enum msg_type)f->type) {
    case MSG_T_DOUBLE:
    case MSG_T_SFIX64:
    case MSG_T_FIX64: return WIRE_64;
    case MSG_T_SFIX32:
    case MSG_T_FIX32: return WIRE_32;
    case MSG_T_STRING:
    case MSG_T_BYTES:
    case MSG_T_JSON:
    case MSG_T_MESSAGE:
    case MSG_T_MAP: return WIRE_LEN;
    case MSG_T_BOOL:
    case MSG_T_INT32:
    case MSG_T_SINT32:
    case MSG_T_INT64:
    case MSG_T_SINT64:
    case MSG_T_UINT32:
    case MSG_T_UINT64:
    case MSG_T_ENUM: break;
    }
    return WIRE_VARINT;
}

/* ---- decoding ---- */

struct dec {
    const char *start;
    struct msg_ctx *ctx;
    struct err *err;
    size_t depth_max;
    const struct msg_field *stream_of; /* the field that stream_element is for */
    void *stream_element;
};

static const struct str no_value = { NULL, 0 };

static enum status bad_wire(struct dec *d, const struct rd *r)
{
    return msg_fail(d->ctx, MSG_ISSUE_SYNTAX, NULL, NULL, S("this is not protobuf"),
                    (size_t)((const char *)r->p - d->start), d->err);
}

static enum status too_deep(struct dec *d)
{
    return msg_fail(d->ctx, MSG_ISSUE_DEPTH, NULL, NULL, no_value, 0, d->err);
}

/* Skips the value of a field that the table does not have. */
static enum status skip_field(struct dec *d, struct rd *r, uint32_t number, unsigned wire)
{
    uint32_t open[MSG_DEPTH_MAX]; /* groups within each other */
    size_t depth = 0;

    for (;;) {
        uint64_t tag;

        switch (wire) {
        case WIRE_VARINT: rd_varint(r); break;
        case WIRE_64: rd_bytes(r, 8); break;
        case WIRE_LEN: rd_bytes(r, rd_varint(r)); break;
        case WIRE_32: rd_bytes(r, 4); break;
        case WIRE_GROUP:
            if (depth == d->depth_max) return too_deep(d);
            open[depth++] = number;
            break;
        case WIRE_GROUP_END:
            if (!depth || open[depth - 1] != number) return bad_wire(d, r);
            depth--;
            break;
        default: return bad_wire(d, r);
        }
        if (r->bad) return bad_wire(d, r);
        if (!depth) return OK;
        tag = rd_varint(r);
        number = (uint32_t)(tag >> 3);
        wire = (unsigned)(tag & 7);
        if (r->bad || tag > UINT32_MAX || !number) return bad_wire(d, r);
    }
}

/* The value of cairn.Json: a message whose field 1 is the text. */
static enum status get_json(struct dec *d, const struct msg_frame *fr, struct rd *r,
                            struct str *out)
{
    struct rd sub = *r;
    const char *p;
    struct str raw;
    bool deep;

    *out = S("null");
    while (rd_left(&sub)) {
        uint64_t tag = rd_varint(&sub);
        enum status st;

        if (sub.bad || tag > UINT32_MAX || !(tag >> 3)) return bad_wire(d, &sub);
        if (tag == (1 << 3 | WIRE_LEN)) {
            *out = rd_bytes(&sub, rd_varint(&sub));
            if (sub.bad) return bad_wire(d, &sub);
        } else {
            st = skip_field(d, &sub, (uint32_t)(tag >> 3), (unsigned)(tag & 7));
            if (st) return st;
        }
    }
    p = out->p;
    if (json_scan_value(&p, out->p + out->n, d->depth_max, false, &raw, &deep) ||
        json_skip_space(p, out->p + out->n) != out->p + out->n) {
        return deep ? too_deep(d)
                    : msg_fail(d->ctx, MSG_ISSUE_TYPE, fr, fr->f, no_value, 0, d->err);
    }
    *out = raw;
    return OK;
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

/* A number of f from the wire. */
static enum status get_number(struct dec *d, const struct msg_frame *fr, struct rd *r, void *at)
{
    const struct msg_field *f = fr->f;
    uint64_t v = 0;
    int32_t e;

    switch (wire_of(f)) {
    case WIRE_64: v = rd_u64(r); break;
    case WIRE_32: v = rd_u32(r); break;
    case WIRE_VARINT: v = rd_varint(r); break;
    case WIRE_LEN:
    case WIRE_GROUP:
    case WIRE_GROUP_END: break;
    }
    if (r->bad) return bad_wire(d, r);
    if (f->type == MSG_T_BOOL) {
        *(bool *)at = v != 0;
        return OK;
    }
    if (f->type == MSG_T_SINT32 || f->type == MSG_T_SINT64) v = (uint64_t)unzigzag(v);
    if (f->type == MSG_T_ENUM) {
        e = (int32_t)(uint32_t)v;
        if (!msg_enum_name(f->values, e).n)
            return msg_fail(d->ctx, MSG_ISSUE_TYPE, fr, f, no_value, 0, d->err);
    }
    memcpy(at, &v, f->size); /* little-endian: the low half of v for 32 bits, as protobuf cuts it */
    msg_check_range(d->ctx, fr, f, at, no_value);
    return OK;
}

static enum status get_message(struct dec *d, struct rd r, const struct msg_desc *desc, void *out,
                               const struct msg_frame *up, size_t depth);

/* The bytes of a length-delimited value, into `at` (a struct for messages). */
static enum status get_len(struct dec *d, const struct msg_frame *fr, struct str bytes, void *at,
                           size_t depth)
{
    const struct msg_field *f = fr->f;
    struct rd sub = rd_of(bytes.p ? bytes.p : "", bytes.n);
    struct str json;
    enum status st;

    if (f->type == MSG_T_MESSAGE) return get_message(d, sub, f->msg, at, fr, depth + 1);
    if (f->type == MSG_T_JSON) {
        st = get_json(d, fr, &sub, &json);
        if (!st) memcpy(at, &json, sizeof(json));
        return st;
    }
    if (f->type == MSG_T_STRING && !utf8_valid(bytes)) return bad_wire(d, &sub);
    if (f->type == MSG_T_STRING && msg_has_nul(bytes)) {
        return msg_fail(d->ctx, MSG_ISSUE_TYPE, fr, f, no_value, 0, d->err);
    }
    msg_set_text(d->ctx, fr, f, at, bytes.p ? bytes : S(""), no_value);
    return OK;
}

static enum status get_map_entry(struct dec *d, const struct msg_frame *fr, struct str bytes,
                                 struct msg_kv *kv)
{
    struct rd sub = rd_of(bytes.p ? bytes.p : "", bytes.n);

    kv->key = kv->value = S("");
    while (rd_left(&sub)) {
        uint64_t tag = rd_varint(&sub);
        struct str *to = tag == (1 << 3 | WIRE_LEN)   ? &kv->key
                         : tag == (2 << 3 | WIRE_LEN) ? &kv->value
                                                      : NULL;
        enum status st;

        if (sub.bad || tag > UINT32_MAX || !(tag >> 3)) return bad_wire(d, &sub);
        if (to) {
            *to = rd_bytes(&sub, rd_varint(&sub));
            if (sub.bad || !utf8_valid(*to)) return bad_wire(d, &sub);
            if (msg_has_nul(*to))
                return msg_fail(d->ctx, MSG_ISSUE_TYPE, fr, fr->f, no_value, 0, d->err);
        } else {
            st = skip_field(d, &sub, (uint32_t)(tag >> 3), (unsigned)(tag & 7));
            if (st) return st;
        }
    }
    return OK;
}

static enum status get_streamed(struct dec *d, const struct msg_frame *fr, struct str bytes,
                                void *out, size_t depth)
{
    const struct msg_field *f = fr->f;
    size_t *n = msg_count_at(f, out);
    enum status st;

    if (d->stream_of != f) {
        d->stream_element = arena_alloc(d->ctx->arena, f->size);
        if (!d->stream_element) return err_nomem(d->err);
        d->stream_of = f;
    }
    if (f->max_items) {
        st = msg_count_item(d->ctx, fr, f, *n, d->err);
        if (st) return st;
    }
    st = get_len(d, fr, bytes, d->stream_element, depth);
    if (st) return st;
    (*n)++;
    return d->ctx->issue.kind ? OK
                              : d->ctx->stream(d->ctx->stream_ctx, f, d->stream_element, d->err);
}

/* One or, packed, many elements of a repeated field. */
static enum status get_repeated(struct dec *d, struct rd *r, const struct msg_field *f,
                                const struct msg_frame *up, void *out, unsigned wire, size_t depth)
{
    struct msg_frame fr = { up, f, msg_count(f, out) };
    size_t cap = msg_cap_of(fr.index);
    struct rd packed;
    struct str bytes;
    void *item;
    enum status st;

    if (wire != WIRE_LEN) {
        st = msg_add_item(d->ctx, &fr, f, out, &cap, &item, d->err);
        return st ? st : get_number(d, &fr, r, item);
    }
    bytes = rd_bytes(r, rd_varint(r));
    if (r->bad) return bad_wire(d, r);
    if ((f->flags & MSG_F_STREAM) && d->ctx->stream) return get_streamed(d, &fr, bytes, out, depth);
    if (wire_of(f) == WIRE_LEN) {
        st = msg_add_item(d->ctx, &fr, f, out, &cap, &item, d->err);
        if (st) return st;
        return f->type == MSG_T_MAP ? get_map_entry(d, &fr, bytes, item)
                                    : get_len(d, &fr, bytes, item, depth);
    }
    packed = rd_of(bytes.p ? bytes.p : "", bytes.n);
    for (; rd_left(&packed); fr.index++) {
        st = msg_add_item(d->ctx, &fr, f, out, &cap, &item, d->err);
        if (!st) st = get_number(d, &fr, &packed, item);
        if (st) return st;
    }
    return OK;
}

static enum status get_field(struct dec *d, struct rd *r, const struct msg_field *f,
                             const struct msg_frame *up, void *out, unsigned wire, size_t depth)
{
    struct msg_frame fr = { up, f, SIZE_MAX };
    uint64_t bit = 1ull << f->bit;
    void *at = msg_at(f, out);
    struct str bytes;
    enum status st;

    if (f->flags & MSG_F_REPEATED) {
        st = get_repeated(d, r, f, up, out, wire, depth);
    } else if (wire != WIRE_LEN) {
        st = get_number(d, &fr, r, at);
    } else {
        bytes = rd_bytes(r, rd_varint(r));
        if (r->bad) return bad_wire(d, r);
        if (f->type == MSG_T_MESSAGE) {
            void *sub = arena_alloc(d->ctx->arena, f->msg->size);

            if (!sub) return err_nomem(d->err);
            memcpy(at, &sub, sizeof(sub));
            at = sub;
        }
        st = get_len(d, &fr, bytes, at, depth);
        if (!st && (f->flags & MSG_F_REQUIRED) && f->type == MSG_T_STRING && bytes.n == 0) {
            *msg_has(out) &= ~bit;
            return OK;
        }
    }
    if (!st) *msg_has(out) |= bit;
    return st;
}

/* The field with this number, tried at *guess first; *alias: by its second number. */
static const struct msg_field *find_number(const struct msg_desc *desc, uint32_t number,
                                           size_t *guess, bool *alias)
{
    *alias = false;
    for (size_t k = 0; k < desc->field_n; k++) {
        size_t i = *guess + k < desc->field_n ? *guess + k : *guess + k - desc->field_n;
        const struct msg_field *f = &desc->fields[i];

        if (f->number == number || f->alias_number == number) {
            *alias = f->number != number;
            *guess = i;
            return f;
        }
    }
    return NULL;
}

static bool wire_fits(const struct msg_field *f, unsigned wire)
{
    return wire == wire_of(f) || (wire == WIRE_LEN && (f->flags & MSG_F_PACKED));
}

static enum status get_message(struct dec *d, struct rd r, const struct msg_desc *desc, void *out,
                               const struct msg_frame *up, size_t depth)
{
    size_t guess = 0;

    if (depth > d->depth_max) return too_deep(d);
    msg_reset(desc, out);
    while (rd_left(&r)) {
        uint64_t tag = rd_varint(&r);
        uint32_t number = (uint32_t)(tag >> 3);
        unsigned wire = (unsigned)(tag & 7);
        const struct msg_field *f;
        bool alias;
        enum status st;

        if (r.bad || tag > UINT32_MAX || !number) return bad_wire(d, &r);
        f = find_number(desc, number, &guess, &alias);
        /* The second number counts only where the first says nothing, as with names in JSON. */
        if (!f || !wire_fits(f, wire) || (alias && (*msg_has(out) >> f->bit & 1))) {
            st = skip_field(d, &r, number, wire);
        } else {
            st = get_field(d, &r, f, up, out, wire, depth);
        }
        if (st) return st;
    }
    msg_check_required(d->ctx, up, desc, out);
    return OK;
}

enum status msg_decode_pb(const struct msg_desc *desc, void *out, struct str wire,
                          struct msg_ctx *ctx, struct err *err)
{
    struct dec d = {
        .start = wire.p ? wire.p : "",
        .ctx = ctx,
        .err = err,
        .depth_max = MIN_OF(ctx->depth_max ? ctx->depth_max : MSG_DEPTH_MAX, (size_t)MSG_DEPTH_MAX),
    };
    enum status st;

    ctx->issue.kind = MSG_ISSUE_NONE;
    ctx->items_n = 0;
    st = get_message(&d, rd_of(d.start, wire.n), desc, out, NULL, 1);
    return st ? st : msg_finish(ctx, err);
}

/* ---- encoding ---- */

static size_t varint_n(uint64_t v)
{
    return (size_t)(63 - __builtin_clzll(v | 1)) / 7 + 1;
}

/* A number of f as the wire's varint. */
static uint64_t varint_of(const struct msg_field *f, const void *at)
{
    uint64_t u = 0;
    int32_t v32;
    int64_t v;

    if (f->type == MSG_T_BOOL) return *(const bool *)at;
    if (msg_is_unsigned(f)) {
        memcpy(&u, at, f->size);
        return u;
    }
    memcpy(&v32, at, sizeof(v32));
    v = v32;
    if (f->size == sizeof(v)) memcpy(&v, at, sizeof(v));
    if (f->type == MSG_T_SINT32 || f->type == MSG_T_SINT64)
        return (uint64_t)v << 1 ^ (v < 0 ? ~0ull : 0);
    return (uint64_t)v;
}

static size_t scalar_n(const struct msg_field *f, const void *at)
{
    switch (wire_of(f)) {
    case WIRE_64: return 8;
    case WIRE_32: return 4;
    case WIRE_VARINT: return varint_n(varint_of(f, at));
    case WIRE_LEN:
    case WIRE_GROUP:
    case WIRE_GROUP_END: break;
    }
    return 0;
}

static size_t entry_n(const struct msg_kv *kv)
{
    return 2 + varint_n(kv->key.n) + kv->key.n + varint_n(kv->value.n) + kv->value.n;
}

/* Bytes behind the length of a length-delimited value. */
static size_t len_n(const struct msg_field *f, const void *at)
{
    const struct str *text = at;

    if (f->type == MSG_T_MESSAGE) return msg_size_pb(f->msg, at);
    if (f->type == MSG_T_MAP) return entry_n(at);
    if (f->type == MSG_T_JSON) return 1 + varint_n(text->n) + text->n;
    return text->n;
}

/* A value with its tag (tag_n bytes). */
static size_t value_n(const struct msg_field *f, const void *at, size_t tag_n)
{
    size_t n;

    if (wire_of(f) != WIRE_LEN) return tag_n + scalar_n(f, at);
    n = len_n(f, at);
    return tag_n + varint_n(n) + n;
}

static size_t packed_n(const struct msg_field *f, const char *items, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += scalar_n(f, items + i * f->size);
    }
    return sum;
}

size_t msg_size_pb(const struct msg_desc *desc, const void *in)
{
    size_t sum = 0;

    for (size_t i = 0; in && i < desc->field_n; i++) {
        const struct msg_field *f = &desc->fields[i];
        size_t tag_n = varint_n((uint64_t)f->number << 3), n = 1;
        const void *at = msg_cat(f, in), *p;

        if (!msg_is_present(f, in)) continue;
        memcpy(&p, at, sizeof(p));
        if (!(f->flags & MSG_F_REPEATED)) {
            sum += value_n(f, f->type == MSG_T_MESSAGE ? p : at, tag_n);
            continue;
        }
        n = p ? msg_count(f, in) : 0;
        if (n && (f->flags & MSG_F_PACKED)) {
            size_t body = packed_n(f, p, n);

            sum += tag_n + varint_n(body) + body;
            continue;
        }
        for (size_t k = 0; k < n; k++) {
            sum += value_n(f, (const char *)p + k * f->size, tag_n);
        }
    }
    return sum;
}

static void put_scalar(struct buf *b, const struct msg_field *f, const void *at)
{
    if (wire_of(f) == WIRE_VARINT) {
        buf_put_varint(b, varint_of(f, at));
    } else {
        buf_put(b, at, f->size); /* little-endian */
    }
}

static void put_tag(struct buf *b, const struct msg_field *f, enum wire wire)
{
    buf_put_varint(b, (uint64_t)f->number << 3 | wire);
}

static void put_text(struct buf *b, unsigned number, struct str text)
{
    buf_put_varint(b, number << 3 | WIRE_LEN);
    buf_put_varint(b, text.n);
    buf_put_str(b, text);
}

static void put_message(struct buf *b, const struct msg_desc *desc, const void *in, size_t depth);

static void put_value(struct buf *b, const struct msg_field *f, const void *at, size_t depth)
{
    const struct msg_kv *kv = at;

    put_tag(b, f, wire_of(f));
    if (wire_of(f) != WIRE_LEN) {
        put_scalar(b, f, at);
        return;
    }
    buf_put_varint(b, len_n(f, at));
    if (f->type == MSG_T_MESSAGE) {
        put_message(b, f->msg, at, depth + 1);
    } else if (f->type == MSG_T_MAP) {
        put_text(b, 1, kv->key);
        put_text(b, 2, kv->value);
    } else if (f->type == MSG_T_JSON) {
        put_text(b, 1, *(const struct str *)at);
    } else {
        buf_put_str(b, *(const struct str *)at);
    }
}

static void put_message(struct buf *b, const struct msg_desc *desc, const void *in, size_t depth)
{
    if (depth == MSG_DEPTH_MAX) BUG("message nested too deep");
    for (size_t i = 0; in && i < desc->field_n; i++) {
        const struct msg_field *f = &desc->fields[i];
        const void *at = msg_cat(f, in), *p;
        size_t n;

        if (!msg_is_present(f, in)) continue;
        memcpy(&p, at, sizeof(p));
        if (!(f->flags & MSG_F_REPEATED)) {
            put_value(b, f, f->type == MSG_T_MESSAGE ? p : at, depth);
            continue;
        }
        n = p ? msg_count(f, in) : 0;
        if (n && (f->flags & MSG_F_PACKED)) {
            put_tag(b, f, WIRE_LEN);
            buf_put_varint(b, packed_n(f, p, n));
            for (size_t k = 0; k < n; k++) {
                put_scalar(b, f, (const char *)p + k * f->size);
            }
            continue;
        }
        for (size_t k = 0; k < n; k++) {
            put_value(b, f, (const char *)p + k * f->size, depth);
        }
    }
}

void msg_encode_pb(struct buf *b, const struct msg_desc *desc, const void *in)
{
    put_message(b, desc, in, 0);
}
