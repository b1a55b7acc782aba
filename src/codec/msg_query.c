/* codec/msg_query.c - query strings to messages. */
#include "base/num.h"
#include "base/utf8.h"
#include "codec/base64.h"
#include "codec/json_int.h"
#include "codec/msg_int.h"
#include "codec/query.h"

static bool get_number(const struct msg_field *f, struct str text, void *at)
{
    int64_t i;
    uint64_t u;
    double v;

    if (f->type == MSG_T_DOUBLE) {
        if (!num_parse_double(text, &v)) return false;
        memcpy(at, &v, sizeof(v));
        return true;
    }
    if (msg_is_unsigned(f)) return num_parse_u64(text, &u) && msg_set_u64(f, at, u);
    return num_parse_i64(text, &i) && msg_set_i64(f, at, i);
}

static bool get_enum(const struct msg_field *f, struct str text, void *at)
{
    int32_t v;
    int64_t wide;

    if (!msg_enum_number(f->values, text, &v) &&
        !(num_parse_i64(text, &wide) && num_to_i32(wide, &v) && msg_enum_name(f->values, v).n)) {
        return false;
    }
    memcpy(at, &v, sizeof(v));
    return true;
}

/* Is text one JSON value? *raw is it, without the space around. */
static bool is_json(struct str text, size_t depth_max, struct str *raw)
{
    const char *p = text.p, *end = text.p + text.n;
    bool deep;

    return !json_scan_value(&p, end, depth_max, false, raw, &deep) &&
           json_skip_space(p, end) == end;
}

/* One value of f from its text. */
static enum status get_value(struct msg_ctx *ctx, const struct msg_frame *fr, struct str text,
                             void *at, struct err *err)
{
    const struct msg_field *f = fr->f;
    bool ok = true, nomem = false;
    struct str raw;

    switch ((enum msg_type)f->type) {
    case MSG_T_DOUBLE:
    case MSG_T_INT32:
    case MSG_T_SINT32:
    case MSG_T_SFIX32:
    case MSG_T_INT64:
    case MSG_T_SINT64:
    case MSG_T_SFIX64:
    case MSG_T_UINT32:
    case MSG_T_FIX32:
    case MSG_T_UINT64:
    case MSG_T_FIX64:
        ok = get_number(f, text, at);
        if (ok) msg_check_range(ctx, fr, f, at, text);
        break;
    case MSG_T_BOOL:
        if (!query_bool(text, at)) return msg_fail(ctx, MSG_ISSUE_BOOL, fr, f, text, 0, err);
        break;
    case MSG_T_ENUM: ok = get_enum(f, text, at); break;
    case MSG_T_BYTES:
        ok = base64_decode(text, ctx->arena, &text, &nomem);
        if (nomem) return err_nomem(err);
        if (ok) msg_set_text(ctx, fr, f, at, text, text);
        break;
    case MSG_T_STRING:
        ok = !msg_has_nul(text);
        if (ok) msg_set_text(ctx, fr, f, at, text, text);
        break;
    case MSG_T_JSON:
        ok = is_json(text, MSG_DEPTH_MAX, &raw);
        if (ok) memcpy(at, &raw, sizeof(raw));
        break;
    case MSG_T_MESSAGE:
    case MSG_T_MAP: ok = false; break;
    }
    if (ok) return OK;
    msg_note(ctx, MSG_ISSUE_TYPE, fr, f, text, 0, true);
    ctx->issue.python_type = "str";
    return msg_issue_err(&ctx->issue, err);
}

static enum status get_argument(struct msg_ctx *ctx, const struct msg_field *f, struct str text,
                                void *out, struct err *err)
{
    struct msg_frame fr = { NULL, f, SIZE_MAX };
    void *at = msg_at(f, out);
    size_t cap = 0;
    enum status st = OK;

    if ((f->flags & MSG_F_REPEATED) && f->type != MSG_T_MESSAGE && f->type != MSG_T_MAP) {
        fr.index = msg_count(f, out);
        cap = msg_cap_of(fr.index);
        st = msg_add_item(ctx, &fr, f, out, &cap, &at, err);
    }
    if (!st) st = get_value(ctx, &fr, text, at, err);
    if (st) return st;
    *msg_has(out) |= 1ull << f->bit;
    if ((f->flags & (MSG_F_REQUIRED | MSG_F_REPEATED)) == MSG_F_REQUIRED && text.n == 0) {
        *msg_has(out) &= ~(1ull << f->bit);
    }
    return OK;
}

/* The field an argument names; *alias: by its second name. */
static const struct msg_field *find_field(const struct msg_desc *desc, struct str key,
                                          unsigned flags, bool *alias)
{
    const struct msg_field *f = msg_field_named(desc, key);

    *alias = false;
    for (size_t i = 0; !f && i < desc->field_n; i++) {
        const struct msg_field *g = &desc->fields[i];

        *alias = g->alias.n && str_eq(g->alias, key);
        if (*alias || ((flags & MSG_CAMEL_OK) && str_eq(g->json, key))) f = g;
    }
    return f;
}

enum status msg_decode_query(const struct msg_desc *desc, void *out, struct str query,
                             struct msg_ctx *ctx, struct err *err)
{
    static const struct str no_value = { NULL, 0 };
    struct str rest = query, key, value;
    uint64_t aliased = 0;

    ctx->issue.kind = MSG_ISSUE_NONE;
    ctx->items_n = 0;
    msg_reset(desc, out);
    while (query_next(&rest, &key, &value)) {
        size_t at = (size_t)(key.p - query.p);
        const struct msg_field *f;
        enum status st = query_decode(key, true, ctx->arena, &key, err);
        uint64_t bit;
        bool alias;

        if (!st) st = query_decode(value, true, ctx->arena, &value, err);
        if (st == ST_NOMEM) return st;
        if (st || !utf8_valid(key) || !utf8_valid(value)) {
            return msg_fail(ctx, MSG_ISSUE_SYNTAX, NULL, NULL,
                            S("arguments are UTF-8 with percent codes of two hex digits"), at, err);
        }
        f = find_field(desc, key, ctx->flags, &alias);
        if (!f && (ctx->flags & MSG_IGNORE_UNKNOWN)) continue;
        if (!f) {
            const struct msg_field unknown = { .name = key };
            struct msg_frame fr = { NULL, &unknown, SIZE_MAX };

            return msg_fail(ctx, MSG_ISSUE_UNKNOWN, &fr, NULL, no_value, 0, err);
        }
        bit = 1ull << f->bit;
        if (*msg_has(out) & bit && !(f->flags & MSG_F_REPEATED)) {
            /* The first one counts; but a name goes before a second name, unless it has nothing to say. */
            if (alias || !(aliased & bit) || !value.n) continue;
        }
        aliased = alias ? aliased | bit : aliased & ~bit;
        st = get_argument(ctx, f, value, out, err);
        if (st) return st;
    }
    msg_check_required(ctx, NULL, desc, out);
    return msg_finish(ctx, err);
}
