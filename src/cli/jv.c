/* cli/jv.c - the pull reader's events as a tree. */
#include "cli/jv.h"
#include "codec/json.h"

enum { DEPTH_MAX = 64 };

struct parse {
    struct json_reader r;
    struct arena *a;
    struct str text;
    struct jv *open[DEPTH_MAX + 1]; /* containers that are not closed */
    struct jv *last[DEPTH_MAX + 1]; /* their last child */
    size_t from[DEPTH_MAX + 1];     /* where their text begins */
    size_t depth;
    struct str key;
    struct jv *root;
};

static struct jv *add(struct parse *p, enum jv_kind kind)
{
    struct jv *v = ARENA_NEW(p->a, struct jv);

    if (!v) {
        return NULL;
    }
    v->kind = kind;
    v->key = p->key;
    p->key = S("");
    if (!p->depth) {
        p->root = v;
    } else if (p->last[p->depth]) {
        p->last[p->depth]->next = v;
    } else {
        p->open[p->depth]->first = v;
    }
    p->last[p->depth] = v;
    return v;
}

static bool open_container(struct parse *p, enum jv_kind kind)
{
    struct jv *v = add(p, kind);

    if (!v || p->depth == DEPTH_MAX) {
        return false;
    }
    p->depth++;
    p->open[p->depth] = v;
    p->last[p->depth] = NULL;
    p->from[p->depth] = json_offset(&p->r) - 1;
    return true;
}

static bool scalar(struct parse *p, enum json_event ev)
{
    enum jv_kind kind = ev == JSON_EV_NULL                          ? JV_NULL
                        : ev == JSON_EV_STRING                      ? JV_TEXT
                        : ev == JSON_EV_TRUE || ev == JSON_EV_FALSE ? JV_BOOL
                                                                    : JV_NUMBER;
    struct jv *v = add(p, kind);

    if (!v) {
        return false;
    }
    v->is_true = ev == JSON_EV_TRUE;
    v->raw = p->r.raw;
    v->text = v->raw;
    if (kind == JV_TEXT) {
        v->text = json_text(&p->r, p->a);
        v->raw = str_of(v->raw.p - 1, v->raw.n + 2);
        return v->text.p != NULL;
    }
    if (kind == JV_BOOL) {
        v->raw = v->is_true ? S("true") : S("false");
    } else if (kind == JV_NULL) {
        v->raw = S("null");
    }
    return true;
}

static bool take(struct parse *p, enum json_event ev)
{
    switch (ev) {
    case JSON_EV_KEY: p->key = json_text(&p->r, p->a); return p->key.p != NULL;
    case JSON_EV_OBJECT: return open_container(p, JV_OBJECT);
    case JSON_EV_ARRAY: return open_container(p, JV_ARRAY);
    case JSON_EV_OBJECT_END:
    case JSON_EV_ARRAY_END:
        p->open[p->depth]->raw =
            str_sub(p->text, p->from[p->depth], json_offset(&p->r) - p->from[p->depth]);
        p->depth--;
        return true;
    case JSON_EV_NULL:
    case JSON_EV_TRUE:
    case JSON_EV_FALSE:
    case JSON_EV_NUMBER:
    case JSON_EV_NAN:
    case JSON_EV_STRING: return scalar(p, ev);
    case JSON_EV_ERROR:
    case JSON_EV_MORE:
    case JSON_EV_END: break;
    }
    return false;
}

enum status jv_parse(struct str text, struct arena *a, struct jv **out, struct err *err)
{
    struct parse *p = ARENA_NEW(a, struct parse);
    enum json_event ev;
    enum status st = OK;

    *out = NULL;
    if (!p) {
        return err_nomem(err);
    }
    p->a = a;
    p->text = text;
    p->key = S("");
    json_init(&p->r, text, JSON_BARE_NAN, DEPTH_MAX);
    for (ev = json_next(&p->r); !st && ev > JSON_EV_END; ev = json_next(&p->r)) {
        if (!take(p, ev)) {
            st = err_nomem(err);
            break;
        }
    }
    if (!st && ev != JSON_EV_END) {
        st = err_set(err, ST_BAD_REQUEST, "not JSON at byte %zu: %s", json_offset(&p->r),
                     p->r.what ? p->r.what : "");
    }
    json_release(&p->r);
    *out = st ? NULL : p->root;
    return st;
}

const struct jv *jv_get(const struct jv *v, const char *key)
{
    struct str want = str_cstr(key);

    if (!v || v->kind != JV_OBJECT) {
        return NULL;
    }
    for (const struct jv *m = v->first; m; m = m->next) {
        if (str_eq(m->key, want)) {
            return m;
        }
    }
    return NULL;
}

struct str jv_text(const struct jv *v, const char *key)
{
    const struct jv *m = jv_get(v, key);

    return m && (m->kind == JV_TEXT || m->kind == JV_NUMBER) ? m->text : (struct str){ NULL, 0 };
}

int64_t jv_i64(const struct jv *v, const char *key, int64_t otherwise)
{
    struct str text = jv_text(v, key);
    int64_t n;

    return text.p && json_i64(text, &n) ? n : otherwise;
}

const struct jv *jv_items(const struct jv *v, const char *key)
{
    const struct jv *m = jv_get(v, key);

    return m && m->kind == JV_ARRAY ? m->first : NULL;
}
