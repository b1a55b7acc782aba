/* inspect/json_peek.c - see json_peek.h. */
#include "inspect/json_peek.h"
#include "codec/json.h"

enum { DEPTH = 200 };

/* The value that follows; false at an error. */
static bool value_next(struct json_reader *r, enum json_event *ev, struct json_peeked *m)
{
    const char *from;

    *ev = json_next(r);
    *m = (struct json_peeked){ .raw = r->raw,
                               .is_text = *ev == JSON_EV_STRING,
                               .escaped = r->escaped };
    switch (*ev) {
    case JSON_EV_STRING:
    case JSON_EV_NUMBER: return true;
    case JSON_EV_NULL: m->raw = S("null"); return true;
    case JSON_EV_TRUE: m->raw = S("true"); return true;
    case JSON_EV_FALSE: m->raw = S("false"); return true;
    case JSON_EV_OBJECT:
    case JSON_EV_ARRAY:
        from = r->p - 1;
        if (json_skip(r) == JSON_EV_ERROR) {
            return false;
        }
        m->raw = str_of(from, (size_t)(r->p - from));
        return true;
    case JSON_EV_ERROR:
    case JSON_EV_MORE:
    case JSON_EV_END:
    case JSON_EV_NAN:
    case JSON_EV_KEY:
    case JSON_EV_OBJECT_END:
    case JSON_EV_ARRAY_END: break;
    }
    return false;
}

struct json_peeked json_peek(struct str object, const char *key)
{
    struct json_peeked m, found = { .raw = { NULL, 0 } };
    struct json_reader r;
    enum json_event ev;

    if (!object.p) {
        return found;
    }
    json_init(&r, object, 0, DEPTH);
    if (json_next(&r) == JSON_EV_OBJECT) {
        while (json_next(&r) == JSON_EV_KEY) {
            bool is = !r.escaped && str_eq(r.raw, str_cstr(key));

            if (!value_next(&r, &ev, &m)) {
                break;
            }
            if (is) {
                found = ev == JSON_EV_NULL ? (struct json_peeked){ .raw = { NULL, 0 } } : m;
            }
        }
    }
    json_release(&r);
    return found;
}

static struct str text_of(struct arena *a, const struct json_peeked *m)
{
    return !m->is_text ? (struct str){ NULL, 0 } : m->escaped ? json_unescape(m->raw, a) : m->raw;
}

struct str json_peek_text(struct arena *a, struct str object, const char *key)
{
    struct json_peeked m = json_peek(object, key);

    return m.raw.p ? text_of(a, &m) : (struct str){ NULL, 0 };
}

enum status json_peek_each(struct str json, struct arena *a,
                           enum status (*fn)(void *ctx, struct str key, struct str value,
                                             struct err *err),
                           void *ctx, struct err *err)
{
    struct json_reader r;
    struct json_peeked m;
    enum json_event ev;
    enum status st = OK;

    if (!json.p) {
        return OK;
    }
    json_init(&r, json, 0, DEPTH);
    ev = json_next(&r);
    if (ev == JSON_EV_OBJECT) {
        while (!st && json_next(&r) == JSON_EV_KEY) {
            struct str key = json_text(&r, a);

            st = !key.p ? err_nomem(err) : value_next(&r, &ev, &m) ? OK : ST_END;
            if (!st) st = fn(ctx, key, m.raw, err);
        }
    } else if (ev == JSON_EV_ARRAY) {
        while (!st && value_next(&r, &ev, &m)) {
            st = fn(ctx, S(""), m.raw, err);
        }
    }
    json_release(&r);
    return st == ST_END ? OK : st;
}
