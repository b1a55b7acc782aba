/* codec/msg.c - what all codecs of messages share: issues, defaults, limits, look-ups. */
#include "codec/msg.h"
#include "base/utf8.h"
#include "codec/msg_int.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- look-ups ---- */

const struct msg_field *msg_field_named(const struct msg_desc *desc, struct str name)
{
    for (size_t i = 0; i < desc->field_n; i++) {
        if (str_eq(desc->fields[i].name, name)) return &desc->fields[i];
    }
    return NULL;
}

const struct msg_field *msg_field_numbered(const struct msg_desc *desc, uint32_t number)
{
    for (size_t i = 0; i < desc->field_n; i++) {
        if (desc->fields[i].number == number) return &desc->fields[i];
    }
    return NULL;
}

struct str msg_enum_name(const struct msg_enum *e, int32_t number)
{
    for (size_t i = 0; i < e->value_n; i++) {
        if (e->values[i].number == number) return e->values[i].name;
    }
    return (struct str){ NULL, 0 };
}

bool msg_enum_number(const struct msg_enum *e, struct str name, int32_t *number)
{
    for (size_t i = 0; i < e->value_n; i++) {
        if (str_eq(e->values[i].name, name)) {
            *number = e->values[i].number;
            return true;
        }
    }
    return false;
}

/* ---- issues ---- */

/* Writes the path from the top to frame; returns its length, cut at max - 1. */
static size_t put_path(const struct msg_frame *frame, char *out, size_t max)
{
    size_t n = frame->up ? put_path(frame->up, out, max) : 0;
    int wrote;

    wrote = snprintf(out + n, max - n, "%s%.*s", n ? "." : "", STR_ARG(frame->f->name));
    n = MIN_OF(n + (size_t)MAX_OF(wrote, 0), max - 1);
    if (frame->index != SIZE_MAX) {
        wrote = snprintf(out + n, max - n, "[%zu]", frame->index);
        n = MIN_OF(n + (size_t)MAX_OF(wrote, 0), max - 1);
    }
    return n;
}

/* The Python name of a JSON value's type. */
static const char *python_type(struct str value)
{
    switch (value.n ? value.p[0] : 0) {
    case '"': return "str";
    case '{': return "dict";
    case '[': return "list";
    case 't':
    case 'f': return "bool";
    case 'n': return "NoneType";
    case 'N':
    case 'I': return "float";
    case 0: return NULL;
    default: break;
    }
    for (size_t i = 0; i < value.n; i++) {
        if (strchr(".eEI", value.p[i])) return "float";
    }
    return "int";
}

void msg_note(struct msg_ctx *ctx, enum msg_issue_kind kind, const struct msg_frame *frame,
              const struct msg_field *f, struct str value, size_t got, bool force)
{
    struct msg_issue *is = &ctx->issue;

    if (is->kind != MSG_ISSUE_NONE && !force) return;
    *is = (struct msg_issue){
        .kind = kind, .field = f, .value_json = value, .python_type = python_type(value), .got = got
    };
    if (frame) put_path(frame, is->path, sizeof(is->path));
}

enum status msg_fail(struct msg_ctx *ctx, enum msg_issue_kind kind, const struct msg_frame *frame,
                     const struct msg_field *f, struct str value, size_t got, struct err *err)
{
    msg_note(ctx, kind, frame, f, value, got, true);
    return msg_issue_err(&ctx->issue, err);
}

enum status msg_finish(struct msg_ctx *ctx, struct err *err)
{
    return ctx->issue.kind == MSG_ISSUE_NONE ? OK : msg_issue_err(&ctx->issue, err);
}

/* What a field takes, for messages. */
static const char *type_text(const struct msg_field *f)
{
    switch ((enum msg_type)f->type) {
    case MSG_T_DOUBLE: return "a number";
    case MSG_T_BOOL: return "true or false";
    case MSG_T_INT32:
    case MSG_T_SINT32:
    case MSG_T_SFIX32: return "a 32-bit integer";
    case MSG_T_INT64:
    case MSG_T_SINT64:
    case MSG_T_SFIX64: return "an integer";
    case MSG_T_UINT32:
    case MSG_T_FIX32: return "a 32-bit integer that is not negative";
    case MSG_T_UINT64:
    case MSG_T_FIX64: return "an integer that is not negative";
    case MSG_T_ENUM: return "one of the values of its enum";
    case MSG_T_STRING: return "text";
    case MSG_T_BYTES: return "base64 text";
    case MSG_T_JSON: return "any JSON value";
    case MSG_T_MESSAGE: return "an object";
    case MSG_T_MAP: return "an object whose values are text";
    }
    return "a value";
}

static enum status type_err(const struct msg_issue *is, struct err *err)
{
    const struct msg_field *f = is->field;
    size_t n_path = strlen(is->path);
    bool element = n_path && is->path[n_path - 1] == ']';
    bool list = f && (f->flags & MSG_F_REPEATED) && f->type != MSG_T_MAP && !element;
    struct str value = utf8_prefix(is->value_json, 80);

    err_field(err, ST_INVALID, is->path, "field %s takes %s%s%s%.*s%s", is->path,
              list ? "a list, each " : "", f ? type_text(f) : "another type",
              value.n ? ", not " : "", STR_ARG(value), value.n < is->value_json.n ? "..." : "");
    if (f && f->type == MSG_T_ENUM) {
        char names[ERR_HINT_MAX / 2] = "";
        size_t n = 0;

        for (size_t i = 0; i < f->values->value_n && n < sizeof(names) - 1; i++) {
            n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%.*s", i ? ", " : "",
                                  STR_ARG(f->values->values[i].name));
        }
        err_hint(err, "the values are %s", names);
    }
    return ST_INVALID;
}

static enum status range_err(const struct msg_issue *is, struct err *err)
{
    const struct msg_field *f = is->field;
    struct str value = utf8_prefix(is->value_json, 80);

    err_field(err, ST_INVALID, is->path, "field %s: %.*s is out of range", is->path,
              STR_ARG(value));
    if ((f->flags & MSG_F_MIN) && (f->flags & MSG_F_MAX)) {
        err_hint(err, "it must be from %" PRId64 " to %" PRId64, f->min, f->max);
    } else if (f->flags & MSG_F_MIN) {
        err_hint(err, "it must be at least %" PRId64, f->min);
    } else if (f->flags & MSG_F_MAX) {
        err_hint(err, "it must be at most %" PRId64, f->max);
    } else {
        err_hint(err, "it must be %s", type_text(f));
    }
    return ST_INVALID;
}

enum status msg_issue_err(const struct msg_issue *is, struct err *err)
{
    struct str value = utf8_prefix(is->value_json, 80);

    switch (is->kind) {
    case MSG_ISSUE_NONE: return OK;
    case MSG_ISSUE_SYNTAX:
        return err_set(err, ST_BAD_REQUEST, "request cannot be read at byte %zu%s%.*s", is->got,
                       value.n ? ": " : "", STR_ARG(value));
    case MSG_ISSUE_MISSING:
        return err_field(err, ST_INVALID, is->path, "field %s is missing", is->path);
    case MSG_ISSUE_TYPE: return type_err(is, err);
    case MSG_ISSUE_RANGE: return range_err(is, err);
    case MSG_ISSUE_TOO_LONG:
        return err_field(err, ST_INVALID, is->path,
                         "field %s has %zu characters, at most %" PRIu32 " are allowed", is->path,
                         is->got, is->field->max_len);
    case MSG_ISSUE_TOO_MANY:
        return err_field(err, ST_TOO_BIG, is->path, "field %s: more than %zu elements", is->path,
                         is->got);
    case MSG_ISSUE_BOOL:
        return err_field(err, ST_INVALID, is->path, "argument %s must be true or false, not %.*s",
                         is->path, STR_ARG(value));
    case MSG_ISSUE_UNKNOWN:
        return err_field(err, ST_INVALID, is->path, "unknown field %s", is->path);
    case MSG_ISSUE_DUPLICATE:
        if (value.n) {
            return err_field(err, ST_INVALID, is->path,
                             "field %s is given by two names, %.*s is the other", is->path,
                             STR_ARG(value));
        }
        return err_field(err, ST_INVALID, is->path, "field %s is given twice", is->path);
    case MSG_ISSUE_DEPTH: return err_set(err, ST_BAD_REQUEST, "request is nested too deep");
    }
    return err_set(err, ST_INTERNAL, "issue of no kind");
}

/* ---- members ---- */

bool msg_set_i64(const struct msg_field *f, void *at, int64_t v)
{
    int32_t v32 = (int32_t)v;

    if (msg_is_unsigned(f)) return v >= 0 && msg_set_u64(f, at, (uint64_t)v);
    if (f->size == sizeof(v)) {
        memcpy(at, &v, sizeof(v));
        return true;
    }
    memcpy(at, &v32, sizeof(v32));
    return v32 == v;
}

bool msg_set_u64(const struct msg_field *f, void *at, uint64_t v)
{
    uint32_t v32 = (uint32_t)v;

    if (f->size == sizeof(v)) {
        memcpy(at, &v, sizeof(v));
        return true;
    }
    memcpy(at, &v32, sizeof(v32));
    return v32 == v;
}

void msg_reset_field(const struct msg_field *f, void *out)
{
    void *at = msg_at(f, out);

    *msg_has(out) &= ~(1ull << f->bit);
    if (f->flags & MSG_F_REPEATED) {
        memset(at, 0, sizeof(void *));
        *msg_count_at(f, out) = 0;
        return;
    }
    memset(at, 0, f->type == MSG_T_MESSAGE ? sizeof(void *) : f->size);
    if (f->flags & MSG_F_DEF) {
        if (f->type == MSG_T_BOOL) {
            *(bool *)at = f->def != 0;
        } else {
            IGNORE_STATUS(msg_set_i64(f, at, f->def)); /* a default fits its type */
        }
    }
}

void msg_reset(const struct msg_desc *desc, void *out)
{
    memset(out, 0, desc->size);
    if (!desc->has_def) return;
    for (size_t i = 0; i < desc->field_n; i++) {
        if (desc->fields[i].flags & MSG_F_DEF) msg_reset_field(&desc->fields[i], out);
    }
}

void msg_check_required(struct msg_ctx *ctx, const struct msg_frame *frame,
                        const struct msg_desc *desc, const void *out)
{
    uint64_t has, missing;

    memcpy(&has, out, sizeof(has));
    missing = desc->required & ~has;
    if (LIKELY(!missing)) return;

    struct msg_frame last = { frame, &desc->fields[__builtin_ctzll(missing)], SIZE_MAX };
    bool force =
        !frame || ctx->issue.kind == MSG_ISSUE_TOO_LONG || ctx->issue.kind == MSG_ISSUE_RANGE;

    msg_note(ctx, MSG_ISSUE_MISSING, &last, last.f, (struct str){ NULL, 0 }, 0, force);
}

enum status msg_count_item(struct msg_ctx *ctx, const struct msg_frame *frame,
                           const struct msg_field *f, size_t n, struct err *err)
{
    size_t max = ctx->items_max ? ctx->items_max : MSG_ITEMS_MAX;
    struct msg_frame list = { frame ? frame->up : NULL, f, SIZE_MAX };

    if (f->max_items && n >= f->max_items) {
        return msg_fail(ctx, MSG_ISSUE_TOO_MANY, &list, f, (struct str){ NULL, 0 }, f->max_items,
                        err);
    }
    if (ctx->items_n >= max) {
        return msg_fail(ctx, MSG_ISSUE_TOO_MANY, &list, f, (struct str){ NULL, 0 }, max, err);
    }
    ctx->items_n++;
    return OK;
}

enum status msg_add_item(struct msg_ctx *ctx, const struct msg_frame *frame,
                         const struct msg_field *f, void *out, size_t *cap, void **item,
                         struct err *err)
{
    size_t *n = msg_count_at(f, out);
    void *items;
    enum status st = msg_count_item(ctx, frame, f, *n, err);

    if (st) return st;
    memcpy(&items, msg_at(f, out), sizeof(items));
    if (!arena_grow(ctx->arena, &items, *n, cap, f->size)) return err_nomem(err);
    memcpy(msg_at(f, out), &items, sizeof(items));
    *item = (char *)items + *n * f->size;
    memset(*item, 0, f->size);
    (*n)++;
    return OK;
}

void msg_set_text(struct msg_ctx *ctx, const struct msg_frame *frame, const struct msg_field *f,
                  void *at, struct str text, struct str value)
{
    if (UNLIKELY(f->max_len && text.n > f->max_len)) {
        size_t n = f->type == MSG_T_BYTES ? text.n : utf8_count(text);

        if (n > f->max_len) {
            if (f->flags & MSG_F_TRUNC) {
                text = utf8_prefix(text, f->max_len);
            } else {
                msg_note(ctx, MSG_ISSUE_TOO_LONG, frame, f, value, n, false);
            }
        }
    }
    memcpy(at, &text, sizeof(text));
}

void msg_check_range(struct msg_ctx *ctx, const struct msg_frame *frame, const struct msg_field *f,
                     const void *at, struct str value)
{
    bool low, high;

    if (LIKELY(!(f->flags & (MSG_F_MIN | MSG_F_MAX)))) return;
    if (f->type == MSG_T_DOUBLE) {
        double v;

        memcpy(&v, at, sizeof(v));
        low = v < (double)f->min;
        high = v > (double)f->max;
    } else if (msg_is_unsigned(f)) {
        uint64_t v = 0;

        memcpy(&v, at, f->size); /* little-endian, as the wire */
        low = f->min > 0 && v < (uint64_t)f->min;
        high = f->max < 0 || v > (uint64_t)f->max;
    } else {
        int64_t v;
        int32_t v32;

        memcpy(&v32, at, sizeof(v32));
        v = v32;
        if (f->size == sizeof(v)) memcpy(&v, at, sizeof(v));
        low = v < f->min;
        high = v > f->max;
    }
    if (((f->flags & MSG_F_MIN) && low) || ((f->flags & MSG_F_MAX) && high)) {
        msg_note(ctx, MSG_ISSUE_RANGE, frame, f, value, 0, false);
    }
}
