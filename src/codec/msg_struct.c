/* codec/msg_struct.c - google.protobuf.Struct, or a message with its numbers, as the JSON object that it means. */
#include "codec/json.h"
#include "codec/msg.h"
#include <stdlib.h>

enum { TEXT_MAX = 64 << 20 };
enum { STRUCT_FIELDS = 1, KEY = 1, MEMBER = 2, LIST_VALUES = 1 };
enum { VALUE_NUMBER = 2, VALUE_STRING, VALUE_BOOL, VALUE_STRUCT, VALUE_LIST };

struct writing {
    struct json_writer w;
    struct arena *arena;
};
struct member {
    struct str key;
    const void *value; /* NULL: null */
    size_t at;
};

/* Where a field lies if it is there. */
static const void *field(const struct msg_desc *d, const void *in, uint32_t number)
{
    const struct msg_field *f = msg_field_numbered(d, number);

    if (NEVER(!f)) BUG("a message that is no Struct");
    return *(const uint64_t *)in >> f->bit & 1 ? (const char *)in + f->off : NULL;
}

static const void *message(const struct msg_desc *d, const void *in, uint32_t number)
{
    const void *at = field(d, in, number), *out = NULL;

    if (at) memcpy(&out, at, sizeof(out));
    return out;
}

static const char *items(const struct msg_desc *d, const void *in, uint32_t number,
                         const struct msg_field **f, size_t *n)
{
    const char *out;

    *f = msg_field_numbered(d, number);
    if (NEVER(!*f)) BUG("a message that is no Struct");
    memcpy(n, (const char *)in + (*f)->off_n, sizeof(*n));
    memcpy(&out, (const char *)in + (*f)->off, sizeof(out));
    return out;
}

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int c = str_cmp(x->key, y->key);

    return c ? c : (x->at > y->at) - (x->at < y->at);
}

static void write_value(struct writing *w, const struct msg_desc *d, const void *v);

static void write_struct(struct writing *w, const struct msg_desc *d, const void *in)
{
    const struct msg_field *f;
    size_t n;
    const char *entries = items(d, in, STRUCT_FIELDS, &f, &n);
    struct member *all = ARENA_ARRAY(w->arena, struct member, n + 1);

    if (!all) {
        w->w.b->failed = ST_NOMEM;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *e = entries + i * f->size;
        const void *key = field(f->msg, e, KEY);

        all[i] = (struct member){ S(""), message(f->msg, e, MEMBER), i };
        if (key) memcpy(&all[i].key, key, sizeof(all[i].key));
    }
    qsort(all, n, sizeof(*all), by_key);
    json_w_object(&w->w);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || !str_eq(all[i].key, all[i + 1].key)) {
            json_w_key(&w->w, all[i].key);
            write_value(w, msg_field_numbered(f->msg, MEMBER)->msg, all[i].value);
        }
    }
    json_w_object_end(&w->w);
}

static void write_list(struct writing *w, const struct msg_desc *d, const void *in)
{
    const struct msg_field *f;
    size_t n;
    const char *values = items(d, in, LIST_VALUES, &f, &n);

    json_w_array(&w->w);
    for (size_t i = 0; i < n; i++) {
        write_value(w, f->msg, values + i * f->size);
    }
    json_w_array_end(&w->w);
}

static void write_value(struct writing *w, const struct msg_desc *d, const void *v)
{
    const void *number = v ? field(d, v, VALUE_NUMBER) : NULL;
    const void *text = v ? field(d, v, VALUE_STRING) : NULL;
    const bool *truth = v ? field(d, v, VALUE_BOOL) : NULL;
    const void *object = v ? message(d, v, VALUE_STRUCT) : NULL;
    const void *list = v ? message(d, v, VALUE_LIST) : NULL;
    struct str s;
    double x;

    if (number) {
        memcpy(&x, number, sizeof(x));
        json_w_double(&w->w, x);
    } else if (text) {
        memcpy(&s, text, sizeof(s));
        json_w_str(&w->w, s);
    } else if (truth) {
        json_w_bool(&w->w, *truth);
    } else if (object) {
        write_struct(w, msg_field_numbered(d, VALUE_STRUCT)->msg, object);
    } else if (list) {
        write_list(w, msg_field_numbered(d, VALUE_LIST)->msg, list);
    } else {
        json_w_null(&w->w);
    }
}

enum status msg_struct_json(struct arena *a, const struct msg_desc *desc, const void *in,
                            unsigned flags, struct str *out, struct err *err)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    struct writing w = { .w = JSON_WRITER_INIT(&b), .arena = a };
    enum status st;

    if (flags & MSG_JSON_NAN_BARE) w.w.nan = JSON_NAN_BARE;
    write_struct(&w, desc, in);
    st = buf_status(&b, "struct", err);
    if (!st) {
        *out = arena_str(a, buf_str(&b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}
