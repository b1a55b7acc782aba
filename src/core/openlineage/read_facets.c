/* core/openlineage/read_facets.c - facets of what is read: their values, and what they say of tags. */
#include "core/openlineage/read_int.h"

/* ---- values that lie outside ---------------------------------------------------------------------------------------------------- */

static bool is_wanted(struct str key, const char *const *keys)
{
    for (; keys && *keys; keys++) {
        if (str_eq(key, str_cstr(*keys))) {
            return true;
        }
    }
    return !keys;
}

enum status ol_want(struct ol_loading *l, const struct ol_cells *c, const char *const *keys,
                    struct err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        struct ol_cell *x = &c->p[i];

        if (!x->outside || x->gone || x->json.p || !is_wanted(x->key, keys)) {
            continue;
        }
        if (!arena_grow(l->v->arena, (void **)&l->p, l->n, &l->cap, sizeof(struct ol_cell *))) {
            return err_nomem(err);
        }
        l->p[l->n++] = x;
    }
    return OK;
}

static int by_hash(const void *a, const void *b)
{
    const struct ol_cell *x = *(struct ol_cell *const *)a, *y = *(struct ol_cell *const *)b;

    return x->h != y->h ? (x->h < y->h ? -1 : 1) : x->h2 < y->h2 ? -1 : x->h2 > y->h2;
}

/* Gives the value to all cells (sorted by hash) that have this one. */
static enum status give_value(struct ol_loading *l, const struct q_ol_values_of_row *row,
                              size_t *bytes, struct err *err)
{
    struct ol_cell key = { .h = row->h, .h2 = row->h2 };
    size_t lo = 0, hi = l->n, end;
    struct str raw;
    enum status st;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct ol_cell *k = &key;

        if (by_hash(&l->p[mid], &k) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == l->n || l->p[lo]->h != row->h || l->p[lo]->h2 != row->h2) {
        return OK;
    }
    for (end = lo; end < l->n && l->p[end]->h == row->h && l->p[end]->h2 == row->h2; end++) {
    }
    if (row->raw_n < 0 ||
        (size_t)row->raw_n > (OL_FACET_BYTES_MAX - *bytes) / (end - lo)) { /* each shows it */
        return err_set(err, ST_TOO_BIG,
                       "the facets of what was asked for have more than %d bytes: ask for less",
                       OL_FACET_BYTES_MAX);
    }
    *bytes += (size_t)row->raw_n * (end - lo);
    st = zip_get(l->v->arena, row->body, (size_t)row->raw_n, &raw, err);
    for (; !st && lo < end; lo++) {
        l->p[lo]->json = raw;
    }
    return st;
}

enum status ol_load(struct ol_loading *l, struct err *err)
{
    int64_t hs[OL_LIST_MAX];
    size_t bytes = 0, at = 0;
    enum status st = OK;

    if (l->n > 1) qsort(l->p, l->n, sizeof(struct ol_cell *), by_hash);
    while (!st && at < l->n) {
        struct q_ol_values_of_row row;
        struct sql_stmt *stmt = NULL;
        size_t n = 0;

        for (; at < l->n && n < OL_LIST_MAX; at++) {
            if (!n || hs[n - 1] != l->p[at]->h) {
                hs[n++] = l->p[at]->h;
            }
        }
        st = q_ol_values_of_open(l->v->conn, &stmt, hs, n, err);
        while (!st && (st = q_ol_values_of_next(stmt, &row, err)) == OK) {
            st = give_value(l, &row, &bytes, err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    l->n = 0;
    return st;
}

enum status ol_rows_of(struct arena *a, const struct ol_cells *c, enum ol_scope scope,
                       int64_t dataset, struct ol_facet_row **p, size_t *n, size_t *cap,
                       struct err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct ol_cell *x = &c->p[i];

        if (x->gone || !x->json.p) {
            continue;
        }
        if (!arena_grow(a, (void **)p, *n, cap, sizeof(**p))) {
            return err_nomem(err);
        }
        (*p)[(*n)++] = (struct ol_facet_row){ scope, dataset, x->key, x->json, x->at.us };
    }
    return OK;
}

struct str ol_facet_of(const struct ol_facet_row *f, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i].scope == OL_OF_SELF && str_eq(f[i].key, key)) {
            return f[i].json;
        }
    }
    return (struct str){ NULL, 0 };
}

/* ---- tags ----------------------------------------------------------------------------------------------------------------------------- */

static int by_uid(const void *a, const void *b)
{
    const struct ol_tagged *x = a, *y = b;
    int d = x->uid != y->uid ? (x->uid < y->uid ? -1 : 1) : str_cmp(x->field, y->field);

    return d ? d : str_cmp(x->tag, y->tag);
}

enum status ol_tagged_of(struct view *v, const int64_t *uids, size_t n, struct ol_tagged **out,
                         size_t *out_n, struct err *err)
{
    enum status st = OK;
    size_t cap = 0;

    *out = NULL;
    *out_n = 0;
    for (size_t at = 0; !st && at < n; at += OL_LIST_MAX) {
        struct q_ol_tagged_of_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_tagged_of_open(v->conn, &stmt, uids + at, MIN_OF(n - at, (size_t)OL_LIST_MAX),
                                 err);
        while (!st && (st = q_ol_tagged_of_next(stmt, &row, err)) == OK) {
            if (!arena_grow(v->arena, (void **)out, *out_n, &cap, sizeof(**out)) ||
                !view_keep(v, &row.field) || !view_keep(v, &row.tag)) {
                st = err_nomem(err);
                break;
            }
            (*out)[(*out_n)++] = (struct ol_tagged){ row.uid, row.field, row.tag, row.state == 1 };
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    if (!st && *out_n > 1) qsort(*out, *out_n, sizeof(**out), by_uid);
    return st;
}

struct pair {
    struct str field, tag;
    size_t at;
    bool on;
};
struct tagging {
    struct arena *a;
    struct pair *p;
    size_t n, cap;
};

static enum status add_pair(struct tagging *t, struct str field, struct str tag, bool on,
                            struct err *err)
{
    if (!arena_grow(t->a, (void **)&t->p, t->n, &t->cap, sizeof(*t->p))) {
        return err_nomem(err);
    }
    t->p[t->n] = (struct pair){ field, tag, t->n, on };
    t->n++;
    return OK;
}

/* {"key": "tier", "value": "gold", "field": "id"}: the name is tier:gold, or the key where the value says no more. */
static enum status one_tag(void *ctx, struct str unused, struct str tag, struct err *err)
{
    struct tagging *t = (struct tagging *)ctx;
    struct str key = json_peek_text(t->a, tag, "key"), value = json_peek_text(t->a, tag, "value"),
               field = json_peek_text(t->a, tag, "field");

    (void)unused;
    if (!key.n) {
        return OK;
    }
    if (value.n && !str_eq(value, key) && !str_eq_lit(value, "true")) {
        key = arena_printf(t->a, "%.*s:%.*s", STR_ARG(key), STR_ARG(value));
    }
    return key.p ? add_pair(t, field.p ? field : S(""), key, true, err) : err_nomem(err);
}

static int by_tag(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int d = str_cmp(x->field, y->field);

    d = d ? d : str_cmp(x->tag, y->tag);
    return d ? d : x->at < y->at ? -1 : x->at > y->at;
}

static int by_field(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int d = str_cmp(x->field, y->field);

    return d ? d : x->at < y->at ? -1 : x->at > y->at;
}

/* Each once, where it came first; not what was taken away. */
static void settle(struct tagging *t)
{
    size_t kept = 0;

    if (t->n > 1) qsort(t->p, t->n, sizeof(*t->p), by_tag);
    for (size_t i = 0, end; i < t->n; i = end) {
        bool on = true;

        for (end = i; end < t->n && str_eq(t->p[end].field, t->p[i].field) &&
                      str_eq(t->p[end].tag, t->p[i].tag);
             end++) {
            on = on && t->p[end].on;
        }
        if (on) t->p[kept++] = t->p[i];
    }
    t->n = kept;
    if (kept > 1) qsort(t->p, kept, sizeof(*t->p), by_field);
}

/* The first of those that clients said of a thing. */
static size_t first_said(const struct ol_tagged *said, size_t n, int64_t uid)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (said[mid].uid < uid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

enum status ol_tags_read(struct arena *a, struct str facet, const struct ol_tagged *said,
                         size_t said_n, int64_t uid, struct ol_tags *out, struct err *err)
{
    struct tagging t = { .a = a };
    enum status st = json_peek_each(json_peek(facet, "tags").raw, a, one_tag, &t, err);

    *out = (struct ol_tags){ 0 };
    for (size_t i = first_said(said, said_n, uid); !st && i < said_n && said[i].uid == uid; i++) {
        st = add_pair(&t, said[i].field, said[i].tag, said[i].on, err);
    }
    if (st || !t.n) {
        return st;
    }
    settle(&t);
    out->fields = ARENA_ARRAY(a, struct str, t.n + 1);
    out->tags = ARENA_ARRAY(a, struct str, t.n + 1);
    if (!out->fields || !out->tags) {
        return err_nomem(err);
    }
    for (; out->n < t.n; out->n++) {
        out->fields[out->n] = t.p[out->n].field;
        out->tags[out->n] = t.p[out->n].tag;
    }
    return OK;
}

struct str *ol_tags_of(const struct ol_tags *t, struct str field, size_t *n)
{
    size_t lo = 0, hi = t->n, end;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (str_cmp(t->fields[mid], field) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (end = lo; end < t->n && str_eq(t->fields[end], field); end++) {
    }
    *n = end - lo;
    return *n ? &t->tags[lo] : NULL;
}
