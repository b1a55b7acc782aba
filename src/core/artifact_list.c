/* core/artifact_list.c - what lies in a directory of the artifact tree. */
#include "core/artifact_int.h"
#include "core/outside.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <stdlib.h>

void artifact_split(struct str path, struct str *dir, struct str *name)
{
    size_t at = path.n;

    while (at > 0 && path.p[at - 1] != '/') {
        at--;
    }
    *name = str_sub(path, at, path.n);
    *dir = at ? str_sub(path, 0, at - 1) : S("");
}

enum status artifact_roots_range(struct arena *a, struct str path, struct str *from, struct str *to,
                                 struct err *err)
{
    *from = path.n ? arena_printf(a, PROXY_ROOT "%.*s/", STR_ARG(path)) : S(PROXY_ROOT);
    *to =
        path.n ? arena_printf(a, PROXY_ROOT "%.*s0", STR_ARG(path)) : S(ARTIFACT_PROXY_SCHEME "0");
    return from->p && to->p ? OK : err_nomem(err);
}

struct entries {
    struct artifact_info *p;
    size_t n, cap;
};

static enum status add_entry(struct view *v, struct entries *l, const struct artifact_info *entry,
                             struct err *err)
{
    if (!arena_grow(v->arena, (void **)&l->p, l->n, &l->cap, sizeof(*l->p))) {
        return err_nomem(err);
    }
    l->p[l->n] = *entry;
    l->p[l->n].name = arena_str(v->arena, entry->name);
    return l->p[l->n++].name.p ? OK : err_nomem(err);
}

/* ---- directories that exist because roots of runs and models lie below this path of the proxy ----------------------------- */

/* However many roots lie below one name, it is found with a few looks at the index. */
struct roots_walk {
    struct view *v;
    struct str from, to; /* the range of URIs */
    struct str after;    /* the next name comes after this one */
};

/* The name, directly in the directory, of the first root whose URI comes after `from`. ST_NOT_FOUND: none. */
static enum status first_name(struct roots_walk *w, struct str from, struct str to,
                              struct str *name, struct err *err)
{
    struct q_root_first_row row;
    enum status st = q_root_first(w->v->conn, w->v->arena, from, to, &row, err);
    struct str rest;

    if (st) {
        return st;
    }
    rest = str_sub(row.uri, w->from.n, row.uri.n);
    return str_split(&rest, '/', name) && name->n ? OK : ST_NOT_FOUND;
}

static enum status below(struct roots_walk *w, struct str name, char last, struct str *out,
                         struct err *err)
{
    *out = arena_printf(w->v->arena, "%.*s%.*s%c", STR_ARG(w->from), STR_ARG(name), last);
    return out->p ? OK : err_nomem(err);
}

/* URIs are not in the order of names: "a-b/x" comes before "a/x", for '-' comes before '/'. A name that comes before the first one
 * found but stands behind it is a beginning of it, cut at such a byte. */
static enum status shortest_beginning(struct roots_walk *w, struct str found, struct str *name,
                                      struct err *err)
{
    *name = found;
    for (size_t n = 1; n < found.n; n++) {
        struct str part = str_sub(found, 0, n), from, to, other;
        enum status st;

        if ((unsigned char)found.p[n] >= '/' || str_cmp(part, w->after) <= 0) {
            continue;
        }
        st = below(w, part, '/', &from, err);
        st = st ? st : below(w, part, '0', &to, err);
        st = st ? st : first_name(w, from, to, &other, err);
        if (st == OK) {
            *name = part;
        }
        if (st != ST_NOT_FOUND) {
            return st;
        }
    }
    return OK;
}

/* ST_NOT_FOUND: there is none left. */
static enum status next_name(struct roots_walk *w, struct str *name, struct err *err)
{
    struct str from = arena_printf(w->v->arena, "%.*s%.*s", STR_ARG(w->from), STR_ARG(w->after));
    enum status st;

    for (;;) {
        struct str found;

        st = from.p ? first_name(w, from, w->to, &found, err) : err_nomem(err);
        if (st) {
            return st;
        }
        if (str_cmp(found, w->after) > 0) {
            st = shortest_beginning(w, found, name, err);
            w->after = st ? w->after : *name;
            return st;
        }
        st = below(w, found, '0', &from, err); /* behind everything below that name */
        if (st) {
            return st;
        }
    }
}

static enum status list_roots_below(struct view *v, struct str path, struct str after, size_t max,
                                    struct entries *out, struct err *err)
{
    struct roots_walk w = { .v = v, .after = after };
    enum status st = artifact_roots_range(v->arena, path, &w.from, &w.to, err);

    for (size_t n = 0; !st && n < max; n++) {
        struct str name;

        st = next_name(&w, &name, err);
        st = st ? st
                : add_entry(v, out, &(struct artifact_info){ .name = name, .is_dir = true }, err);
    }
    return st == ST_NOT_FOUND ? OK : st;
}

/* ---- rows --------------------------------------------------------------------------------------------------------------------- */

static void set_sha256(struct artifact_info *info, struct str object)
{
    info->has_sha256 = object.n == sizeof(info->sha256.b);
    if (info->has_sha256) {
        memcpy(info->sha256.b, object.p, object.n);
    }
}

/* One entry for the file itself, when the place is a file. */
static enum status list_file(struct view *v, int64_t root, struct str path, struct entries *out,
                             struct err *err)
{
    struct q_artifact_get_row row;
    struct artifact_info info;
    struct str dir, name;
    enum status st;

    artifact_split(path, &dir, &name);
    st = q_artifact_get(v->conn, v->arena, root, dir, name, &row, err);
    if (st || row.kind != 1) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    info = (struct artifact_info){
        .name = name, .is_self = true, .size = row.size, .mtime_ms = row.mtime_ms
    };
    set_sha256(&info, row.object);
    return add_entry(v, out, &info, err);
}

static enum status list_rows(struct view *v, int64_t root, struct str path, struct str after,
                             size_t max, struct entries *out, struct err *err)
{
    struct q_artifact_ls_row row;
    struct sql_stmt *stmt = NULL;
    enum status st = q_artifact_ls_open(v->conn, &stmt, root, path, after, (int64_t)max, err);

    while (!st && (st = q_artifact_ls_next(stmt, &row, err)) == OK) {
        struct artifact_info info = {
            .name = row.name, .is_dir = row.kind == 2, .size = row.size, .mtime_ms = row.mtime_ms
        };

        set_sha256(&info, row.object);
        st = add_entry(v, out, &info, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct artifact_info *)a)->name,
                   ((const struct artifact_info *)b)->name);
}

/* Both kinds of entries in one order, each name once. */
static void merge(struct entries *l)
{
    size_t kept = 0;

    if (l->n) {
        qsort(l->p, l->n, sizeof(*l->p), by_name);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (!kept || !str_eq(l->p[i].name, l->p[kept - 1].name)) {
            l->p[kept++] = l->p[i];
        }
    }
    l->n = kept;
}

enum status artifact_list(struct view *v, const struct artifact_place *at, struct str after,
                          size_t max, struct artifact_info **out, size_t *n, bool *more,
                          struct err *err)
{
    struct str from = after.p ? after : S("");
    size_t want = MIN_OF(max, (size_t)INT32_MAX - 1) + 1;
    struct q_root_get_row root;
    struct entries l = { 0 };
    enum status st;

    if (at->outside) {
        return outside_list(v, at, from, max, out, n, more, err);
    }
    st = q_root_get(v->conn, v->arena, at->root_uri, &root, err);

    *out = NULL;
    *n = 0;
    *more = false;
    if (st == OK) {
        st = list_rows(v, root.id, at->path, from, want, &l, err);
        if (!st && !l.n && !from.n && at->path.n) {
            st = list_file(v, root.id, at->path, &l, err);
        }
    } else if (st == ST_NOT_FOUND) {
        st = OK;
    }
    if (!st && str_eq_lit(at->root_uri, PROXY_ROOT) && !(l.n && l.p[0].is_self)) {
        st = list_roots_below(v, at->path, from, want, &l, err);
        if (!st) {
            merge(&l);
        }
    }
    if (st) {
        return st;
    }
    *more = l.n > max;
    *out = l.p;
    *n = MIN_OF(l.n, max);
    return OK;
}
