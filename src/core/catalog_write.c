/* core/catalog_write.c - making and changing items of the catalog, on the sequencer. */
#include "core/catalog_int.h"
#include "core/model_source.h"
#include "core/registry_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

struct subject {
    struct group *g;
    struct view v; /* reads what the group has written */
    struct str who;
};

static struct subject subject_of(struct group *g, struct write_op *op, struct core *core,
                                 struct str who)
{
    return (struct subject){ .g = g,
                             .v = { .core = core, .conn = group_conn(g), .arena = op->arena },
                             .who = who };
}

static int node_kind_of(const struct catalog_item *it)
{
    return it->kind == CATALOG_ARTIFACT                           ? NODE_ARTIFACT
           : it->kind == CATALOG_SERVE || it->kind == CATALOG_RUN ? NODE_EXECUTION
                                                                  : NODE_CONTEXT;
}

enum status catalog_taken(enum catalog_kind kind, const char *field, struct str value,
                          struct err *err)
{
    return err_field(err, ST_EXISTS, field, "%s with %s %.*s already exists",
                     catalog_kind_name(kind), field, STR_ARG(value));
}

/* ---- facts of an item ------------------------------------------------------------------------------------------------------ */

static enum status set_external(struct subject *s, const struct catalog_item *it, struct str id,
                                struct err *err)
{
    struct str key = arena_printf(s->v.arena, "%d/%.*s", node_kind_of(it), STR_ARG(id));
    struct q_ident_find_row row;
    enum status st;

    if (str_is_set(it->external_id) && str_eq(it->external_id, id)) {
        return OK;
    }
    st = key.p ? q_ident_find(s->v.conn, s->v.arena, 0, IDENT_EXTERNAL, key, &row, err)
               : err_nomem(err);
    if (!st && id.n) {
        return catalog_taken(it->kind, "externalId", id, err);
    }
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    st = q_ident_drop(s->v.conn, it->uid, IDENT_EXTERNAL, err);
    return st || id.n == 0 ? st : q_ident_insert(s->v.conn, 0, IDENT_EXTERNAL, key, it->uid, err);
}

static enum status describe(struct subject *s, const struct catalog_item *it, struct str text,
                            const struct prop_history *to, struct err *err)
{
    struct prop p = { .scope = PROP_TYPED, .type = PROP_TEXT, .key = S("description"), .s = text };
    int64_t now = group_now_ms(s->g);
    enum status st;

    if (str_eq(it->description, text)) {
        return OK;
    }
    if (it->kind != CATALOG_MODEL && it->kind != CATALOG_VERSION) {
        return group_prop_set(s->g, it->uid, &p, &it->props, to, err);
    }
    st = it->kind == CATALOG_MODEL ? q_registered_model_describe(s->v.conn, it->uid, text, now, err)
                                   : q_model_version_describe(s->v.conn, it->uid, text, now, err);
    return st ? st
              : q_registry_log_append(s->v.conn, to->model, to->version, REGISTRY_DESCRIPTION,
                                      S(""), text, s->who, now, err);
}

static bool is_given(const struct catalog_facts *f, const struct prop *p)
{
    for (size_t i = 0; i < f->props_n; i++) {
        if (f->props[i].scope == p->scope && str_eq(f->props[i].key, p->key)) {
            return true;
        }
    }
    return false;
}

static enum status touch(struct subject *s, const struct catalog_item *it, struct err *err)
{
    int64_t now = group_now_ms(s->g);

    return it->kind == CATALOG_MODEL     ? q_registered_model_touch(s->v.conn, it->uid, now, err)
           : it->kind == CATALOG_VERSION ? q_model_version_touch(s->v.conn, it->uid, now, err)
                                         : q_node_touch(s->v.conn, it->uid, now, err);
}

static enum status apply_facts(struct subject *s, const struct catalog_item *it,
                               const struct catalog_facts *f, struct err *err)
{
    struct prop_history to = { .model = it->kind == CATALOG_MODEL     ? it->uid
                                        : it->kind == CATALOG_VERSION ? it->parent
                                                                      : 0,
                               .version = it->number,
                               .who = s->who };
    enum status st = f->description.p ? describe(s, it, f->description, &to, err) : OK;

    if (!st && f->external_id.p) {
        st = set_external(s, it, f->external_id, err);
    }
    for (size_t i = 0; !st && i < f->props_n; i++) {
        st = group_prop_set(s->g, it->uid, &f->props[i], &it->props, &to, err);
    }
    for (size_t i = 0; !st && f->replace_custom && i < it->props.n; i++) {
        const struct prop *p = &it->props.p[i];

        if (p->scope == PROP_CUSTOM && !is_given(f, p)) {
            st = group_prop_drop(s->g, it->uid, PROP_CUSTOM, p->key, &it->props, &to, err);
        }
    }
    return st;
}

enum status catalog_apply_facts(struct group *g, struct view *v, struct str who,
                                const struct catalog_item *it, const struct catalog_facts *f,
                                struct err *err)
{
    struct subject s = { .g = g, .v = *v, .who = who };

    return apply_facts(&s, it, f, err);
}

static enum status check_refs(struct subject *s, const struct catalog_ref *refs, size_t n,
                              struct err *err)
{
    struct catalog_item it;
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        if (refs[i].id) {
            st = catalog_get(&s->v, refs[i].kind, refs[i].id, &it, err);
            if (st == ST_NOT_FOUND) {
                err_field(err, st, refs[i].field, "%s %" PRId64 " not found",
                          catalog_kind_name(refs[i].kind), refs[i].id);
            }
        }
    }
    return st;
}

/* ---- registered models and versions ------------------------------------------------------------------------------------------ */

static enum status model_create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_model_create *c = CONTAINER_OF(WRITE_OP_OF(op, struct registered_model_create),
                                                  struct catalog_model_create, base);
    struct subject s = subject_of(g, op, c->base.core, c->base.who);
    enum status st;

    c->base.description = c->facts.description.p ? c->facts.description : S("");
    st = group_registered_model_create(g, &c->base, err);
    if (st == ST_EXISTS) {
        return catalog_taken(CATALOG_MODEL, "name", c->base.name, err);
    }
    if (st) {
        return st;
    }
    st = catalog_get_uid(&s.v, CATALOG_MODEL, c->base.model.uid, &c->item, err);
    st = st ? st : apply_facts(&s, &c->item, &c->facts, err);
    return st ? st : catalog_get_uid(&s.v, CATALOG_MODEL, c->base.model.uid, &c->item, err);
}

static const struct write_kind model_create_kind = { .name = "catalog.model.create",
                                                     .validate = model_create_validate,
                                                     .sql = true };

void catalog_model_create_init(struct catalog_model_create *c, struct core *core, struct arena *a)
{
    *c = (struct catalog_model_create){ 0 };
    registered_model_create_init(&c->base, core, a);
    c->base.op.kind = &model_create_kind;
}

static enum status version_create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_version_create *c = CONTAINER_OF(WRITE_OP_OF(op, struct model_version_create),
                                                    struct catalog_version_create, base);
    struct subject s = subject_of(g, op, c->base.core, c->base.who);
    const struct catalog_ref model = { CATALOG_MODEL, c->model_id, "registeredModelId" };
    struct catalog_item it;
    enum status st = check_refs(&s, &model, 1, err);

    st = st ? st : catalog_get(&s.v, CATALOG_MODEL, c->model_id, &it, err);
    if (st) {
        return st;
    }
    c->base.name = it.name;
    c->base.label = c->label;
    c->base.without_source = true;
    c->base.description = c->facts.description;
    st = group_model_version_create(g, &c->base, err);
    st = st ? st : catalog_get_uid(&s.v, CATALOG_VERSION, c->base.version.uid, &c->item, err);
    st = st ? st : apply_facts(&s, &c->item, &c->facts, err);
    return st ? st : catalog_get_uid(&s.v, CATALOG_VERSION, c->base.version.uid, &c->item, err);
}

static const struct write_kind version_create_kind = { .name = "catalog.version.create",
                                                       .validate = version_create_validate,
                                                       .sql = true };

void catalog_version_create_init(struct catalog_version_create *c, struct core *core,
                                 struct arena *a)
{
    *c = (struct catalog_version_create){ 0 };
    model_version_create_init(&c->base, core, a);
    c->base.op.kind = &version_create_kind;
}

enum status catalog_label_taken(struct group *g, int64_t model, struct str label, bool *taken_out,
                                struct err *err)
{
    struct view v = { .conn = group_conn(g), .arena = group_arena(g) };
    struct q_node_row_row node;
    struct catalog_item it;
    enum status st = q_node_row(v.conn, v.arena, model, &node, err);

    st = st ? st : catalog_find(&v, CATALOG_VERSION, node.id, label, &it, err);
    *taken_out = st == OK;
    return st == ST_NOT_FOUND ? OK : st;
}

enum status catalog_drop_owned(struct group *g, int64_t model, int64_t version, struct str who,
                               struct err *err)
{
    struct sql_conn *c = group_conn(g);
    struct q_catalog_owned_row row;
    struct sql_stmt *stmt = NULL;
    int64_t *nodes = NULL, now = group_now_ms(g);
    size_t n = 0, cap = 0;
    enum status st = q_catalog_owned_open(c, &stmt, model, version, err);

    while (!st && (st = q_catalog_owned_next(stmt, &row, err)) == OK) {
        if (!arena_grow(group_arena(g), (void **)&nodes, n, &cap, sizeof(*nodes))) {
            st = err_nomem(err);
            break;
        }
        nodes[n++] = row.node;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < n; i++) {
        st = q_purge_tombstone(c, nodes[i], who, now, err);
        st = st ? st : q_purge_members_all_log(c, nodes[i], now, err);
        st = st ? st : q_purge_members_all(c, nodes[i], err);
    }
    if (!st && n) {
        st = q_purge_props(c, nodes, n, err);
        st = st ? st : q_purge_idents(c, nodes, n, err);
        st = st ? st : q_purge_nodes(c, nodes, n, err);
    }
    return st;
}

/* ---- artifacts and what serves ------------------------------------------------------------------------------------------------- */

/* The first model artifact of a version that has no source says where its bytes lie, and so does a change of that artifact. A place
 * that versions may not name stays with the artifact. */
static enum status source_of_version(struct subject *s, const struct catalog_item *version,
                                     const struct catalog_item *artifact, struct str old,
                                     struct str uri, struct err *err)
{
    struct err refused = ERR_INIT;
    struct model_source from;
    struct str none = { NULL, 0 };
    enum status st;

    if (artifact->type != TYPE_KF_MODEL_ARTIFACT || !uri.n || !str_eq(version->uri, old)) {
        return OK;
    }
    st = model_source_resolve(&s->v, s->g, uri, none, none, false, &from, &refused);
    if (st == ST_INVALID || st == ST_NOT_FOUND) {
        return OK;
    }
    if (st) {
        *err = refused;
        return st;
    }
    st = q_model_version_source(s->v.conn, version->uid, from.source, from.storage,
                                group_now_ms(s->g), err);
    return st ? st
              : q_registry_log_append(s->v.conn, version->parent, version->number,
                                      REGISTRY_PROPERTY, S("source"), from.source, s->who,
                                      group_now_ms(s->g), err);
}

/* The models of the version that is served flow into the serving. */
static enum status serve_edges(struct subject *s, const struct catalog_create *c, int64_t node,
                               struct err *err)
{
    static const int64_t types[] = { TYPE_MLFLOW_LOGGED_MODEL, TYPE_MODEL, TYPE_KF_MODEL_ARTIFACT };
    struct q_node_of_context_row row;
    struct catalog_item version;
    struct sql_stmt *stmt = NULL;
    int64_t *models = NULL;
    size_t n = 0, cap = 0;
    bool added;
    enum status st = catalog_get(&s->v, CATALOG_VERSION, c->refs[0].id, &version, err);

    st =
        st ? st : q_node_of_context_open(s->v.conn, &stmt, version.uid, types, ARRAY_N(types), err);
    while (!st && (st = q_node_of_context_next(stmt, &row, err)) == OK) {
        if (!arena_grow(s->v.arena, (void **)&models, n, &cap, sizeof(*models))) {
            st = err_nomem(err);
            break;
        }
        models[n++] = row.uid;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < n; i++) {
        st = group_edge_add(s->g, models[i], node, EDGE_INPUT, &added, err);
    }
    return st;
}

static enum status attach(struct subject *s, const struct catalog_create *c, int64_t node,
                          const struct catalog_item *parent, struct err *err)
{
    switch (c->kind) {
    case CATALOG_SERVICE:
        return group_parent_add(s->g, node, parent->uid, PARENT_SERVING_ENVIRONMENT, err);
    case CATALOG_SERVE: {
        enum status st = group_member_add(s->g, parent->uid, node, MEMBER_OF_SERVICE, err);

        return st ? st : serve_edges(s, c, node, err);
    }
    case CATALOG_ARTIFACT:
        return !parent->uid ? OK
                            : group_member_add(s->g, parent->uid, node,
                                               c->type == TYPE_KF_MODEL_ARTIFACT ? MEMBER_OF_VERSION
                                                                                 : MEMBER_BESIDE,
                                               err);
    case CATALOG_MODEL:
    case CATALOG_VERSION:
    case CATALOG_EXPERIMENT:
    case CATALOG_RUN:
    case CATALOG_ENVIRONMENT: break;
    }
    return OK;
}

static enum status change(struct subject *s, struct catalog_item *it,
                          const struct catalog_item *version, const struct catalog_facts *f,
                          struct err *err)
{
    struct str old = it->uri.p ? it->uri : S("");
    enum status st = apply_facts(s, it, f, err);

    if (!st && it->kind == CATALOG_ARTIFACT && f->uri.p && !str_eq(f->uri, old)) {
        if (it->type == TYPE_MODEL || it->type == TYPE_MLFLOW_LOGGED_MODEL) {
            return err_field(err, ST_INVALID, "uri",
                             "uri: the model was logged at %.*s, which cannot change",
                             STR_ARG(old));
        }
        st = q_node_set_uri(s->v.conn, it->uid, f->uri, err);
        if (!st && version->uid) {
            st = source_of_version(s, version, it, old, f->uri, err);
        }
    }
    st = st ? st : touch(s, it, err);
    return st ? st : catalog_get_uid(&s->v, it->kind, it->uid, it, err);
}

static enum status make(struct subject *s, struct catalog_create *c,
                        const struct catalog_item *parent, struct str key, struct err *err)
{
    static const enum node_kind kinds[] = { [CATALOG_ARTIFACT] = NODE_ARTIFACT,
                                            [CATALOG_ENVIRONMENT] = NODE_CONTEXT,
                                            [CATALOG_SERVICE] = NODE_CONTEXT,
                                            [CATALOG_SERVE] = NODE_EXECUTION };
    struct node_new node = { .kind = kinds[c->kind],
                             .type = c->type,
                             .scheme = IDENT_CATALOG,
                             .ident = key,
                             .name = c->name,
                             .uri = c->facts.uri };
    int64_t uid;
    enum status st = group_node_add(s->g, &node, &uid, err);

    st = st ? st : attach(s, c, uid, parent, err);
    st = st ? st : catalog_get_uid(&s->v, c->kind, uid, &c->item, err);
    st = st ? st : apply_facts(s, &c->item, &c->facts, err);
    if (!st && parent->kind == CATALOG_VERSION && c->facts.uri.p) {
        st = source_of_version(s, parent, &c->item, S(""), c->facts.uri, err);
    }
    c->made = true;
    return st ? st : catalog_get_uid(&s->v, c->kind, uid, &c->item, err);
}

static enum status create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_create *c = WRITE_OP_OF(op, struct catalog_create);
    struct subject s = subject_of(g, op, c->core, c->who);
    struct catalog_item parent = { 0 };
    struct str key;
    int64_t uid;
    enum status st = check_refs(&s, &c->parent, 1, err);

    st = st ? st : check_refs(&s, c->refs, ARRAY_N(c->refs), err);
    if (!st && c->parent.id) {
        st = catalog_get(&s.v, c->parent.kind, c->parent.id, &parent, err);
    }
    if (st) {
        return st;
    }
    key =
        arena_printf(op->arena, "%d/%" PRId64 "/%.*s", (int)c->type, parent.uid, STR_ARG(c->name));
    if (!key.p) {
        return err_nomem(err);
    }
    if (c->kind == CATALOG_ARTIFACT && !parent.uid) { /* names say nothing without a parent */
        return make(&s, c, &parent,
                    arena_printf(op->arena, "%.*s/%" PRId64, STR_ARG(key), group_new_uid(g)), err);
    }
    st = group_node_find(g, IDENT_CATALOG, key, &uid, err);
    if (st == ST_NOT_FOUND) {
        return make(&s, c, &parent, key, err);
    }
    if (st || !c->upsert) {
        return st ? st : catalog_taken(c->kind, "name", c->name, err);
    }
    c->made = false;
    st = catalog_get_uid(&s.v, c->kind, uid, &c->item, err);
    return st ? st : change(&s, &c->item, &parent, &c->facts, err);
}

static const struct write_kind create_kind = { .name = "catalog.create",
                                               .validate = create_validate,
                                               .sql = true };

void catalog_create_init(struct catalog_create *c, struct core *core, struct arena *a)
{
    *c = (struct catalog_create){ .op = { .kind = &create_kind, .arena = a }, .core = core };
}

/* The artifact lies where the client says, and is of the type that it says. */
static enum status check_artifact(struct subject *s, const struct catalog_patch *p,
                                  struct catalog_item *version, struct err *err)
{
    static const char *const names[] = {
        [TYPE_KF_MODEL_ARTIFACT] = "model-artifact", [TYPE_KF_DOC_ARTIFACT] = "doc-artifact",
        [TYPE_KF_DATASET] = "dataset-artifact",      [TYPE_KF_METRIC] = "metric",
        [TYPE_KF_PARAMETER] = "parameter",
    };
    enum node_type shown = catalog_shown_type(p->item.type);
    enum status st = OK;

    *version = (struct catalog_item){ 0 };
    if (p->type && p->type != shown) {
        return err_field(err, ST_INVALID, "artifactType",
                         "artifactType: artifact %" PRId64 " is a %s", p->id, names[shown]);
    }
    if (p->parent.id && p->parent.id != p->item.parent_id) {
        return err_field(err, ST_NOT_FOUND, "id", "%s %" PRId64 " has no artifact %" PRId64,
                         catalog_kind_name(p->parent.kind), p->parent.id, p->id);
    }
    if (p->item.parent) {
        st = catalog_get_uid(&s->v, CATALOG_VERSION, p->item.parent, version, err);
    }
    return st;
}

static enum status patch_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct catalog_patch *p = WRITE_OP_OF(op, struct catalog_patch);
    struct subject s = subject_of(g, op, p->core, p->who);
    struct catalog_item version = { 0 };
    enum status st = check_refs(&s, &p->parent, 1, err);

    st = st ? st : catalog_get(&s.v, p->kind, p->id, &p->item, err);
    st = st ? st : check_refs(&s, p->refs, ARRAY_N(p->refs), err);
    if (!st && p->kind == CATALOG_ARTIFACT) {
        st = check_artifact(&s, p, &version, err);
    }
    return st ? st : change(&s, &p->item, &version, &p->facts, err);
}

static const struct write_kind patch_kind = { .name = "catalog.patch",
                                              .validate = patch_validate,
                                              .sql = true };

void catalog_patch_init(struct catalog_patch *p, struct core *core, struct arena *a)
{
    *p = (struct catalog_patch){ .op = { .kind = &patch_kind, .arena = a }, .core = core };
}
