/* core/typed/others_list.c - lists with a filter where nodes of other protocols are shown. What they show is not in the rows that a filter asks:
 * they are dressed, a portion at a time, and one query asks the filter about the portion. */
#include "core/typed/others.h"
#include "core/typed/typed_int.h"

enum { PORTION = 200, SCRATCH_MAX = 256 << 20 };

struct looking {
    struct typed_space *s;     /* of the caller */
    const struct nodelist *in; /* what is asked */
    struct typed_node *found;  /* in the caller's arena, in the order of the list */
    size_t n, cap, looked;
};

static int64_t value_of(const struct nodelist *in, const struct typed_node *n)
{
    return in->order == NODELIST_BY_CREATE   ? n->create_ms
           : in->order == NODELIST_BY_UPDATE ? n->update_ms
                                             : 0;
}

/* Below 0 where the place of a node is before (value, id) in the order of the list. */
static int compare(const struct nodelist *in, const struct typed_node *n, int64_t value, int64_t id)
{
    int64_t own = value_of(in, n);
    int order = own != value ? (own > value) - (own < value) : (n->id > id) - (n->id < id);

    return in->descending ? -order : order;
}

/* ---- one portion ------------------------------------------------------------------------------------------------------------------ */

static bool is_asked(const struct nodefilter *f, const struct prop *p)
{
    for (size_t i = 0; i < f->tables_n; i++) {
        if (f->tables[i].kind == NODEFILTER_CUSTOM && str_eq(f->tables[i].name, p->key)) {
            return true;
        }
    }
    return false;
}

/* What of the nodes the filter may ask. */
static enum status show(struct arena *a, const struct nodefilter *f, const struct typed_node *nodes,
                        size_t n, struct nodelist_shown *out, struct err *err)
{
    struct nodelist_row *rows = ARENA_ARRAY(a, struct nodelist_row, n + 1);
    struct nodelist_prop *props = NULL;
    size_t props_n = 0, cap = 0;

    if (!rows) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const struct typed_node *x = &nodes[i];

        rows[i] = (struct nodelist_row){ .uid = x->uid,
                                         .kind = (int64_t)x->kind,
                                         .id = x->id,
                                         .type_uid = x->type_uid,
                                         .type = x->type,
                                         .type_name = x->type_name,
                                         .name = x->name,
                                         .uri = x->uri,
                                         .flags = x->has_state ? 1 + x->state : 0,
                                         .create_ms = x->create_ms,
                                         .update_ms = x->update_ms };
        for (size_t k = 0; k < x->props_n; k++) {
            const struct prop *p = &x->props[k];

            if (!is_asked(f, p)) {
                continue;
            }
            if (!arena_grow(a, (void **)&props, props_n, &cap, sizeof(*props))) {
                return err_nomem(err);
            }
            props[props_n++] =
                (struct nodelist_prop){ x->uid, (int)p->type, p->key, p->i, p->d, p->s };
        }
    }
    *out = (struct nodelist_shown){ rows, n, props, props_n };
    return OK;
}

/* fits[i]: whether the filter is true of the node. v: a view with the arena of the portion. */
static enum status ask(struct view *v, const struct nodelist *in, const struct typed_node *nodes,
                       size_t n, bool *fits, struct err *err)
{
    struct nodelist_shown shown;
    struct nodelist l = {
        .kind = in->kind, .filter = in->filter, .others_beside = true, .shown = &shown
    };
    struct nodelist_cursor c;
    struct nodelist_row row;
    enum status st = show(v->arena, in->filter, nodes, n, &shown, err);

    if (st) {
        return st;
    }
    st = nodelist_open(&c, v->conn, v->arena, &l, err);
    while (!st && (st = nodelist_next(&c, &row, err)) == OK) {
        for (size_t i = 0; i < n; i++) {
            fits[i] = fits[i] || nodes[i].uid == row.uid;
        }
    }
    nodelist_close(&c);
    return st == ST_END ? OK : st;
}

/* Most come in the order of the list; those that were looked up by name do not. */
static enum status keep(struct looking *l, const struct typed_node *n, struct err *err)
{
    struct typed_node node;
    enum status st = typed_other_node(l->s, n->kind, n->id, &node, err);
    size_t at = l->n;

    if (!st && !arena_grow(l->s->v->arena, (void **)&l->found, l->n, &l->cap, sizeof(*l->found))) {
        st = err_nomem(err);
    }
    if (st) {
        return st;
    }
    for (; at > 0 && compare(l->in, &l->found[at - 1], value_of(l->in, &node), node.id) > 0; at--) {
        l->found[at] = l->found[at - 1];
    }
    l->found[at] = node;
    l->n++;
    return OK;
}

/* The next nodes of `at`, of which those that fit are found; *more: there may be others behind them. s has the portion's arena. */
static enum status portion(struct looking *l, struct typed_space *s, struct nodelist *at,
                           bool *more, struct err *err)
{
    const struct nodelist *in = l->in;
    struct typed_node *nodes;
    bool *fits;
    size_t n;
    enum status st = typed_list_rows(s, at, &nodes, &n, err);

    *more = false;
    fits = st ? NULL : ARENA_ARRAY(s->v->arena, bool, n + 1);
    if (!st && !fits) {
        st = err_nomem(err);
    }
    st = st || !n ? st : ask(s->v, in, nodes, n, fits, err);
    for (size_t i = 0; !st && i < n; i++) {
        bool behind = !in->has_after || compare(in, &nodes[i], in->after_value, in->after_id) > 0;

        st = fits[i] && (behind || in->uids_n) ? keep(l, &nodes[i], err) : OK;
    }
    l->looked += st ? 0 : n;
    *more = !st && n == PORTION && !at->uids_n && !(in->limit && l->n >= (size_t)in->limit);
    if (*more) {
        at->has_after = true;
        at->after_value = value_of(in, &nodes[n - 1]);
        at->after_id = nodes[n - 1].id;
    }
    return st;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------------- */

/* A filter that names the type or the node leaves few to look at; *none: or nothing at all. uids: room for one of each type. */
static enum status narrow(struct looking *l, struct nodelist *at, int64_t uids[8], bool *none,
                          struct err *err)
{
    struct str type_name = nodefilter_type_name(l->in->filter),
               name = nodefilter_name(l->in->filter);
    enum node_kind kind = (enum node_kind)at->kind;
    struct typed_type type;
    struct typed_node node;
    enum status st = OK;
    size_t next = 0, n = 0;

    if (type_name.p) {
        *none =
            typed_other_type(kind, type_name, 0, &type) != OK || (at->type && at->type != type.uid);
        at->type = type.uid;
    }
    if (*none || !name.p || at->uids_n) {
        return OK;
    }
    while (!st && n < 8 && typed_other_types(kind, &next, &type)) {
        st = typed_other_named(l->s, &type, name, &node, err);
        if (!st) {
            uids[n++] = node.uid;
        }
        st = st == ST_NOT_FOUND ? OK : st;
    }
    at->uids = uids;
    at->uids_n = n;
    *none = n == 0;
    return st;
}

static enum status look(struct looking *l, struct err *err)
{
    struct nodelist at = *l->in;
    struct view v = *l->s->v;
    struct typed_space s = *l->s;
    int64_t uids[8];
    bool none = false, more;
    enum status st;

    at.filter = NULL;
    at.only_others = true;
    at.limit = PORTION;
    st = narrow(l, &at, uids, &none, err);
    if (st || none) {
        return st;
    }
    v.arena = arena_new(SCRATCH_MAX);
    if (!v.arena) {
        return err_nomem(err);
    }
    s.v = &v;
    do {
        st = portion(l, &s, &at, &more, err);
        arena_reset(v.arena);
    } while (!st && more && l->looked < TYPED_OTHER_LOOK_MAX);
    arena_free(v.arena);
    if (!st && more) {
        st = err_set(err, ST_TOO_BIG,
                     "the filter would have to look at more than %d nodes of other protocols",
                     TYPED_OTHER_LOOK_MAX);
        err_hint(err, "name a type, a name or a context");
    }
    return st;
}

enum status typed_other_list(struct typed_space *s, const struct nodelist *in,
                             struct typed_node **out, size_t *n, struct err *err)
{
    struct looking l = { .s = s, .in = in };
    struct nodelist declared = *in;
    struct typed_node *rows = NULL, *merged;
    size_t rows_n = 0, i = 0, k = 0, most;
    enum status st;

    *out = NULL;
    *n = 0;
    declared.others = false;
    st = in->type ? OK : typed_list_rows(s, &declared, &rows, &rows_n, err);
    st = st ? st : look(&l, err);
    if (st) {
        return st;
    }
    most = rows_n + l.n;
    most = in->limit && !in->uids_n ? MIN_OF(most, (size_t)in->limit) : most;
    merged = ARENA_ARRAY(s->v->arena, struct typed_node, most + 1);
    if (!merged) {
        return err_nomem(err);
    }
    while (*n < most) {
        bool row = k == l.n || (i < rows_n && compare(in, &rows[i], value_of(in, &l.found[k]),
                                                      l.found[k].id) < 0);

        merged[(*n)++] = row ? rows[i++] : l.found[k++];
    }
    *out = merged;
    return OK;
}
