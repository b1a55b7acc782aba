/* core/typed/put_nodes.c - making and changing nodes of declared types, on the sequencer. */
#include "core/graph/place.h"
#include "core/typed/known.h"
#include "core/typed/others.h"
#include "core/typed/typed_int.h"
#include <stdlib.h>

static const struct str none = { NULL, 0 };

/* ---- types and properties ------------------------------------------------------------------------------------------------ */

static enum status type_of(struct putter *p, enum node_kind kind, int64_t id, struct err *err)
{
    enum status st;

    if (p->has_type && p->type.kind == kind && p->type.id == id) {
        return OK;
    }
    p->has_type = typed_known_whole(p->v.core->typed, p->s.ns, kind, id, &p->type);
    if (p->has_type) {
        return OK;
    }
    st = typed_type_get(&p->s, kind, id, &p->type, err);
    if (st == ST_NOT_FOUND) {
        return err_set(err, st, "No type found for query, type_id: %" PRId64, id);
    }
    p->has_type = !st;
    if (!st && !typed_is_other(p->type.uid)) {
        typed_known_keep(p->v.core->typed, p->s.ns, &p->type);
    }
    return st;
}

static bool in_mask(const struct typed_put *put, const char *field, struct str *key)
{
    struct str head = str_cstr(field);

    for (size_t i = 0; i < put->mask_n; i++) {
        struct str path = put->mask[i];

        if (str_eq(path, head)) {
            return true;
        }
        if (key && path.n > head.n + 1 && str_starts(path, head) && path.p[head.n] == '.' &&
            str_eq(str_sub(path, head.n + 1, path.n), *key)) {
            return true;
        }
    }
    return false;
}

/* Whether an update says something about a field: it does about every one without a mask. */
static bool says(const struct putter *p, bool update, const char *field)
{
    return !update || !p->put->mask_n || in_mask(p->put, field, NULL);
}

static bool says_prop(const struct putter *p, bool update, const struct prop *x)
{
    struct str key = x->key;

    return !update || !p->put->mask_n ||
           in_mask(p->put, x->scope == PROP_TYPED ? "properties" : "custom_properties", &key);
}

static enum status check_prop(const struct typed_type *t, const struct prop *x, struct err *err)
{
    const struct typed_decl *d = x->scope == PROP_TYPED ? typed_decl_of(t, x->key) : NULL;

    if (x->scope == PROP_TYPED && !d) {
        return err_set(err, ST_INVALID, "Found unknown property: %.*s", STR_ARG(x->key));
    }
    if (d && d->type != x->type) {
        return err_set(err, ST_INVALID, "Found unmatched property type: %.*s", STR_ARG(x->key));
    }
    if (x->type == PROP_GONE) {
        return err_set(err, ST_INVALID, "Found a property without a value: %.*s", STR_ARG(x->key));
    }
    if (x->type == PROP_PROTO && !x->s.n) {
        return err_set(err, ST_INVALID, "Found a proto property without a type_url: %.*s",
                       STR_ARG(x->key));
    }
    return OK;
}

static enum status check_props(struct putter *p, const struct typed_node *n, bool update,
                               struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n->props_n; i++) {
        if (says_prop(p, update, &n->props[i])) {
            st = check_prop(&p->type, &n->props[i], err);
        }
    }
    return st;
}

enum status typed_check_node(struct putter *p, const struct typed_node *n, struct err *err)
{
    enum status st;

    if (!n->has_type) {
        return err_set(err, ST_INVALID, "Type id is missing.");
    }
    st = type_of(p, n->kind, n->type, err);
    return st ? st : check_props(p, n, false, err);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

struct prop_row typed_prop_row(const struct prop *x)
{
    bool has_i = x->type == PROP_INT || x->type == PROP_BOOL;
    bool has_s = x->type == PROP_TEXT || x->type == PROP_JSON || x->type == PROP_PROTO;

    return (struct prop_row){ .i = has_i ? &x->i : NULL,
                              .d = x->type == PROP_DOUBLE ? &x->d : NULL,
                              .s = has_s ? (x->s.p ? x->s : S("")) : none,
                              .b = x->type == PROP_PROTO ? (x->b.p ? x->b : S("")) : none };
}

static enum status store_prop(struct putter *p, int64_t uid, const struct prop *x, struct err *err)
{
    struct prop_row row = typed_prop_row(x);
    enum status st = q_typed_prop_insert(p->v.conn, uid, x->scope, x->key, x->type, row.i, row.d,
                                         row.s, row.b, err);

    return st ? st
              : q_typed_prop_log(p->v.conn, uid, x->scope, x->key, x->type, row.i, row.d, row.s,
                                 row.b, p->put->who, group_now_ms(p->g), err);
}

static enum status drop_prop(struct putter *p, int64_t uid, const struct prop *x, struct err *err)
{
    int64_t n;
    enum status st = q_prop_delete(p->v.conn, uid, x->scope, x->key, &n, err);

    return st ? st
              : q_typed_prop_log(p->v.conn, uid, x->scope, x->key, PROP_GONE, NULL, NULL, none,
                                 none, p->put->who, group_now_ms(p->g), err);
}

static enum status taken(struct putter *p, int64_t scheme, struct str key, const char *what,
                         struct str value, struct err *err)
{
    struct q_ident_find_row row;
    enum status st = q_ident_find(p->v.conn, p->v.arena, p->s.ns, scheme, key, &row, err);

    if (!st) {
        return err_set(err, ST_EXISTS, "Given node already exists: %s: \"%.*s\"", what,
                       STR_ARG(str_sub(value, 0, 200)));
    }
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status give_name(struct putter *p, const struct typed_node *n, struct err *err)
{
    struct str key = arena_printf(p->v.arena, "%" PRId64 "/%.*s", n->type_uid, STR_ARG(n->name));
    enum status st;

    if (!key.p) {
        return err_nomem(err);
    }
    st = taken(p, IDENT_TYPED_NAME, key, "name", n->name, err);
    return st ? st : q_ident_insert(p->v.conn, p->s.ns, IDENT_TYPED_NAME, key, n->uid, err);
}

static enum status give_external(struct putter *p, const struct typed_node *n, struct err *err)
{
    int64_t scheme = IDENT_TYPED_NAME + (int64_t)n->kind;
    enum status st = taken(p, scheme, n->external_id, "external_id", n->external_id, err);

    return st ? st : q_ident_insert(p->v.conn, p->s.ns, scheme, n->external_id, n->uid, err);
}

/* The digest that an artifact says to have: a text property of that name; p NULL = none. */
static struct str digest_in(const struct typed_node *n)
{
    for (size_t i = 0; i < n->props_n; i++) {
        if (n->props[i].type == PROP_TEXT && str_eq_lit(n->props[i].key, "digest")) {
            return n->props[i].s;
        }
    }
    return none;
}

static enum status make(struct putter *p, struct typed_node *n, struct err *err)
{
    enum status st = typed_check_node(p, n, err);

    if (!st && typed_is_other(p->type.uid)) {
        return typed_other_refused(err);
    }
    if (!st && n->kind == NODE_CONTEXT && !n->name.n) {
        st = err_set(err, ST_INVALID, "Context name should not be empty");
    }
    if (st) {
        return st;
    }
    n->uid = group_new_uid(p->g);
    n->type_uid = p->type.uid;
    st = n->name.n ? give_name(p, n, err) : OK;
    if (!st && n->external_id.n) {
        st = give_external(p, n, err);
    }
    st = st ? st : typed_number(p, n->kind, n->keep, &n->id, err);
    if (!st && n->kind == NODE_ARTIFACT && n->uri.n) {
        struct place_artifact at = { p->v.core, p->v.arena, n->uid, n->uri, digest_in(n), false };

        st = place_artifact(p->g, &at, err);
    }
    return st ? st : typed_gather_node(p, n, err);
}

/* ---- changes --------------------------------------------------------------------------------------------------------------- */

static int by_scope_and_key(const void *a, const void *b)
{
    const struct prop *x = a, *y = b;

    return x->scope != y->scope ? (x->scope > y->scope) - (x->scope < y->scope)
                                : str_cmp(x->key, y->key);
}

static const struct prop *find(const struct typed_node *n, const struct prop *like)
{
    return n->props_n ? bsearch(like, n->props, n->props_n, sizeof(*like), by_scope_and_key) : NULL;
}

static enum status change_props(struct putter *p, const struct typed_node *n,
                                const struct typed_node *old, bool *changed, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n->props_n; i++) {
        const struct prop *x = &n->props[i], *before = find(old, x);

        if (says_prop(p, true, x) && !(before && prop_same(before, x))) {
            st = store_prop(p, old->uid, x, err);
            *changed = true;
        }
    }
    for (size_t i = 0; !st && i < old->props_n; i++) {
        if (says_prop(p, true, &old->props[i]) && !find(n, &old->props[i])) {
            st = drop_prop(p, old->uid, &old->props[i], err);
            *changed = true;
        }
    }
    return st;
}

static enum status change_external(struct putter *p, const struct typed_node *n,
                                   const struct typed_node *old, bool *changed, struct err *err)
{
    struct typed_node as = *old;
    enum status st;

    if (!says(p, true, "external_id") || (n->external_id.n == 0 && old->external_id.n == 0) ||
        (old->external_id.n && str_eq(n->external_id, old->external_id))) {
        return OK;
    }
    *changed = true;
    st = q_ident_drop(p->v.conn, old->uid, IDENT_TYPED_NAME + (int64_t)n->kind, err);
    as.external_id = n->external_id;
    return st || !n->external_id.n ? st : give_external(p, &as, err);
}

/* The name of a context; those of others stay what they are. */
static enum status change_name(struct putter *p, const struct typed_node *n, struct typed_node *as,
                               bool *changed, struct err *err)
{
    enum status st;

    if (n->kind != NODE_CONTEXT || !says(p, true, "name")) {
        return OK;
    }
    if (!n->name.n) {
        return err_set(err, ST_INVALID, "Context name should not be empty");
    }
    if (str_eq(n->name, as->name)) {
        return OK;
    }
    *changed = true;
    as->name = n->name;
    st = q_ident_drop(p->v.conn, as->uid, IDENT_TYPED_NAME, err);
    return st ? st : give_name(p, as, err);
}

static enum status check_change(struct putter *p, const struct typed_node *n,
                                const struct typed_node *old, struct err *err)
{
    enum status st;

    if (n->has_type && n->type != old->type) {
        return err_set(err, ST_INVALID,
                       "Given type_id %" PRId64 " is different from the one known before: %" PRId64,
                       n->type, old->type);
    }
    if (p->put->abort_if_updated && (!n->has_update || n->update_ms != old->update_ms)) {
        return err_set(err, ST_INVALID_STATE,
                       "`abort_if_latest_updated_time_changed` is set, and the stored %s with id "
                       "= %" PRId64 " has a different last_update_time_since_epoch: %" PRId64
                       " from the one in the given one: %" PRId64,
                       n->kind == NODE_ARTIFACT ? "artifact" : "node", old->id, old->update_ms,
                       n->update_ms);
    }
    st = type_of(p, n->kind, old->type, err);
    return st ? st : check_props(p, n, true, err);
}

/* Where an artifact is, or which version it says to be, is not what it was. */
static enum status change_place(struct putter *p, const struct typed_node *old, struct str uri,
                                struct err *err)
{
    struct typed_node now = { .kind = NODE_ARTIFACT };
    struct str before = digest_in(old), digest;
    enum status st = typed_props(&p->v, old->uid, &now.props, &now.props_n, err);

    if (st) {
        return st;
    }
    digest = digest_in(&now);
    if (str_eq(uri, old->uri.p ? old->uri : S("")) && str_eq(digest, before)) {
        return OK;
    }
    return place_artifact(
        p->g, &(struct place_artifact){ p->v.core, p->v.arena, old->uid, uri, digest, true }, err);
}

static enum status change(struct putter *p, struct typed_node *n, bool force, struct err *err)
{
    struct typed_node old, as;
    int64_t flags;
    bool changed = force;
    enum status st = typed_gather_rows(p, err);

    st = st ? st : typed_node_get(&p->s, n->kind, n->id, &old, err);
    if (!st && p->made_first && old.uid >= p->made_first) { /* this put has made it */
        st = typed_gather_end(p, err);
    }
    if (st == ST_NOT_FOUND) {
        return err_set(err, ST_INVALID, "Cannot find the given id %" PRId64, n->id);
    }
    if (!st && typed_is_other(old.type_uid)) {
        return typed_other_refused(err);
    }
    st = st ? st : check_change(p, n, &old, err);
    if (!st && old.name.n) {
        st = typed_known_node_changing(p->v.core->typed, p->g, p->s.ns,
                                       &(struct typed_asked){ n->kind, old.type_name, old.name },
                                       err);
    }
    if (st) {
        return st;
    }
    n->uid = old.uid;
    n->type_uid = old.type_uid;
    as = old;
    st = change_name(p, n, &as, &changed, err);
    st = st ? st : change_external(p, n, &old, &changed, err);
    st = st ? st : change_props(p, n, &old, &changed, err);
    if (st) {
        return st;
    }
    if (n->kind == NODE_ARTIFACT && says(p, true, "uri") &&
        !str_eq(n->uri.p ? n->uri : S(""), old.uri.p ? old.uri : S(""))) {
        as.uri = n->uri.p ? n->uri : S("");
        changed = true;
    }
    flags = old.has_state ? 1 + old.state : 0;
    if (n->kind != NODE_CONTEXT &&
        says(p, true, n->kind == NODE_ARTIFACT ? "state" : "last_known_state")) {
        int64_t now = n->has_state ? 1 + n->state : 0;

        changed = changed || now != flags;
        flags = now;
    }
    if (changed) {
        st = q_typed_node_update(p->v.conn, old.uid, as.name, as.uri, flags,
                                 MAX_OF(group_now_ms(p->g), old.update_ms + 1), err);
    }
    return st || !changed || n->kind != NODE_ARTIFACT ? st : change_place(p, &old, as.uri, err);
}

enum status typed_put_node(struct putter *p, struct typed_node *n, bool force, struct err *err)
{
    return n->has_id ? change(p, n, force, err) : make(p, n, err);
}

enum status typed_put_context(struct putter *p, struct typed_node *n, struct err *err)
{
    struct typed_node old;
    enum status st;

    if (n->has_id && p->put->force_reuse_context) {
        st = typed_put_uid(p, NODE_CONTEXT, n->id, &n->uid, err);
        return st == ST_NOT_FOUND
                   ? err_set(err, st, "Results missing for ids: {%" PRId64 "}", n->id)
                   : st;
    }
    if (!n->has_type) {
        return err_set(err, ST_INVALID, "Context is missing a type_id: ");
    }
    if (!n->name.n) {
        return err_set(err, ST_INVALID, "Context is missing a name: ");
    }
    if (n->has_id || !p->put->reuse_context) {
        return typed_put_node(p, n, false, err);
    }
    st = type_of(p, NODE_CONTEXT, n->type, err);
    st = st ? st : typed_gather_rows(p, err);
    st = st ? st : typed_node_named(&p->s, &p->type, n->name, &old, err);
    if (st == ST_NOT_FOUND && p->has_type) {
        return typed_put_node(p, n, false, err);
    }
    if (!st) {
        n->uid = old.uid;
        n->id = old.id;
        n->has_id = true;
    }
    return st;
}
