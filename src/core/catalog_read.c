/* core/catalog_read.c - items of the catalog by number, by name, and in lists. */
#include "base/num.h"
#include "core/catalog.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>
#include <stdlib.h>

enum { ROW_ARENA_MAX = 64 << 20 };

const char *catalog_kind_name(enum catalog_kind kind)
{
    static const char *const names[] = {
        [CATALOG_MODEL] = "registered model",    [CATALOG_VERSION] = "model version",
        [CATALOG_ARTIFACT] = "artifact",         [CATALOG_ENVIRONMENT] = "serving environment",
        [CATALOG_SERVICE] = "inference service", [CATALOG_SERVE] = "serve model",
        [CATALOG_EXPERIMENT] = "experiment",     [CATALOG_RUN] = "experiment run",
    };

    return names[kind];
}

static enum node_kind node_kind_of(enum catalog_kind kind)
{
    return kind == CATALOG_ARTIFACT                       ? NODE_ARTIFACT
           : kind == CATALOG_SERVE || kind == CATALOG_RUN ? NODE_EXECUTION
                                                          : NODE_CONTEXT;
}

static bool is_artifact_type(enum node_type t)
{
    return (t >= TYPE_KF_MODEL_ARTIFACT && t <= TYPE_KF_PARAMETER) || t == TYPE_MODEL ||
           t == TYPE_MLFLOW_LOGGED_MODEL;
}

static bool type_fits(enum catalog_kind kind, enum node_type t)
{
    switch (kind) {
    case CATALOG_MODEL: return t == TYPE_MLFLOW_REGISTERED_MODEL;
    case CATALOG_VERSION: return t == TYPE_MLFLOW_MODEL_VERSION;
    case CATALOG_ARTIFACT: return is_artifact_type(t);
    case CATALOG_ENVIRONMENT: return t == TYPE_KF_SERVING_ENVIRONMENT;
    case CATALOG_SERVICE: return t == TYPE_KF_INFERENCE_SERVICE;
    case CATALOG_SERVE: return t == TYPE_KF_SERVE_MODEL;
    case CATALOG_EXPERIMENT: return t == TYPE_MLFLOW_EXPERIMENT;
    case CATALOG_RUN: return t == TYPE_MLFLOW_RUN;
    }
    return false;
}

static enum status not_found(enum catalog_kind kind, int64_t id, struct err *err)
{
    return err_field(err, ST_NOT_FOUND, "id", "%s %" PRId64 " not found", catalog_kind_name(kind),
                     id);
}

/* ---- one item ------------------------------------------------------------------------------------------------------------ */

/* The name of a version: its label, or its number. */
static bool name_version(struct view *v, struct catalog_item *it, struct str label, int64_t number)
{
    it->number = number;
    it->name = label.p ? label : arena_printf(v->arena, "%" PRId64, number);
    return it->name.p != NULL;
}

static enum status read_model(struct view *v, struct catalog_item *it, struct err *err)
{
    struct q_catalog_model_row row;
    enum status st = q_catalog_model(v->conn, v->arena, it->uid, &row, err);

    if (!st) {
        it->id = row.id;
        it->name = row.name;
        it->description = row.description.n ? row.description : (struct str){ NULL, 0 };
        it->create_ms = row.create_ms;
        it->update_ms = row.update_ms;
    }
    return st;
}

static enum status read_version(struct view *v, struct catalog_item *it, struct err *err)
{
    struct q_catalog_version_row row;
    enum status st = q_catalog_version(v->conn, v->arena, it->uid, &row, err);

    if (st || row.stage == STAGE_DELETED) {
        return st ? st : ST_NOT_FOUND;
    }
    it->id = row.id;
    it->parent = row.model;
    it->uri = row.source;
    it->description = row.description.n ? row.description : (struct str){ NULL, 0 };
    it->create_ms = row.create_ms;
    it->update_ms = row.update_ms;
    return name_version(v, it, row.label, row.version) ? OK : err_nomem(err);
}

/* The version that an artifact belongs to first. ST_NOT_FOUND: to none that lives. */
static enum status version_of(struct view *v, int64_t node, struct catalog_item *version,
                              struct err *err)
{
    static const int64_t roles[] = { MEMBER_OF_VERSION, MEMBER_BESIDE };
    enum status st = ST_NOT_FOUND;

    for (size_t i = 0; i < ARRAY_N(roles) && st == ST_NOT_FOUND; i++) {
        struct q_node_context_row row;

        st = q_node_context(v->conn, v->arena, node, roles[i], &row, err);
        if (!st) {
            *version = (struct catalog_item){ .kind = CATALOG_VERSION, .uid = row.ctx };
            st = read_version(v, version, err);
        }
    }
    return st;
}

/* What only MLflow knows has no name of its own: it is called like the model, and is not there without a version. */
static enum status name_artifact(struct view *v, struct catalog_item *it, struct err *err)
{
    struct catalog_item version, model;
    enum status st = OK;

    if (it->parent) {
        version = (struct catalog_item){ .kind = CATALOG_VERSION, .uid = it->parent };
        st = read_version(v, &version, err);
    } else {
        st = version_of(v, it->uid, &version, err);
        it->parent = st ? 0 : version.uid;
    }
    if (it->type != TYPE_MODEL && it->type != TYPE_MLFLOW_LOGGED_MODEL) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    if (st) {
        return st;
    }
    model = (struct catalog_item){ .kind = CATALOG_MODEL, .uid = version.parent };
    st = read_model(v, &model, err);
    it->name = model.name;
    it->uri = it->uri.p ? it->uri : version.uri;
    return st;
}

static enum status read_experiment(struct view *v, struct catalog_item *it, struct err *err)
{
    struct q_catalog_experiment_row row;
    enum status st = q_catalog_experiment(v->conn, v->arena, it->uid, &row, err);

    if (st || row.lifecycle != LIFECYCLE_ACTIVE) {
        return st ? st : ST_NOT_FOUND;
    }
    it->id = row.id;
    it->number = row.exp;
    it->name = row.name;
    it->description = row.note;
    it->create_ms = row.create_ms;
    it->update_ms = row.update_ms;
    return OK;
}

static enum status read_run(struct view *v, struct catalog_item *it, struct err *err)
{
    struct run_view *run = ARENA_NEW(v->arena, struct run_view);
    struct q_catalog_experiment_number_row exp;
    const struct str *note;
    enum status st = run ? run_get_uid(v, it->uid, run, err) : err_nomem(err);

    if (st || run->lifecycle != LIFECYCLE_ACTIVE) {
        return st ? st : ST_NOT_FOUND;
    }
    st = q_catalog_experiment_number(v->conn, v->arena, run->experiment, &exp, err);
    note = run_view_tag(run, S("mlflow.note.content"));
    it->run = run;
    it->name = run->name;
    it->parent = st ? 0 : exp.uid;
    it->parent_id = st ? 0 : exp.id;
    it->description = note ? *note : (struct str){ NULL, 0 };
    if (run->has_end && run->end_ms > it->update_ms) {
        it->update_ms = run->end_ms;
    }
    return st;
}

/* From a row of node; the rest of what a list shows. */
static enum status complete(struct view *v, struct catalog_item *it, struct err *err)
{
    switch (it->kind) {
    case CATALOG_MODEL: return read_model(v, it, err);
    case CATALOG_VERSION: return read_version(v, it, err);
    case CATALOG_ARTIFACT: return name_artifact(v, it, err);
    case CATALOG_ENVIRONMENT: return OK;
    case CATALOG_EXPERIMENT: return read_experiment(v, it, err);
    case CATALOG_RUN: return read_run(v, it, err);
    case CATALOG_SERVICE:
        if (!it->parent) {
            struct q_node_parent_row row = { 0 };
            enum status st =
                q_node_parent(v->conn, v->arena, it->uid, PARENT_SERVING_ENVIRONMENT, &row, err);

            it->parent = row.parent;
            return st == ST_NOT_FOUND ? OK : st;
        }
        return OK;
    case CATALOG_SERVE:
        if (!it->parent) {
            struct q_node_context_row row = { 0 };
            enum status st =
                q_node_context(v->conn, v->arena, it->uid, MEMBER_OF_SERVICE, &row, err);

            it->parent = row.ctx;
            return st == ST_NOT_FOUND ? OK : st;
        }
        return OK;
    }
    return OK;
}

static bool add_prop(struct view *v, struct props *props, struct prop p)
{
    struct prop *all = ARENA_ARRAY(v->arena, struct prop, props->n + 1);

    if (all && props->n) {
        memcpy(all, props->p, props->n * sizeof(*all));
    }
    if (all) {
        p.scope = PROP_TYPED;
        all[props->n] = p;
        props->p = all;
        props->n++;
    }
    return all != NULL;
}

/* What a run's head says, as properties. */
static bool add_run(struct view *v, struct catalog_item *it)
{
    const struct run_view *r = it->run;
    bool ok =
        add_prop(v, &it->props,
                 (struct prop){
                     .type = PROP_TEXT, .key = S("status"), .s = run_status_name(r->status) }) &&
        add_prop(v, &it->props,
                 (struct prop){
                     .type = PROP_INT, .key = S("start_time_since_epoch"), .i = r->start_ms });

    if (ok && r->has_end) {
        ok = add_prop(
            v, &it->props,
            (struct prop){ .type = PROP_INT, .key = S("end_time_since_epoch"), .i = r->end_ms });
    }
    if (ok && r->user_id.n && !props_find(&it->props, PROP_TYPED, S("owner"))) {
        ok = add_prop(v, &it->props,
                      (struct prop){ .type = PROP_TEXT, .key = S("owner"), .s = r->user_id });
    }
    return ok;
}

enum status catalog_load(struct view *v, struct catalog_item *it, struct err *err)
{
    const struct prop *description;
    struct q_ident_of_node_row external;
    struct q_node_row_row parent;
    enum status st;

    if (it->loaded) {
        return OK;
    }
    st = node_props(v, it->uid, &it->props, err);
    if (st || (it->run && !add_run(v, it))) {
        return st ? st : err_nomem(err);
    }
    if (it->kind >= CATALOG_ARTIFACT && it->kind <= CATALOG_SERVE) {
        description = props_find(&it->props, PROP_TYPED, S("description"));
        it->description = description ? description->s : (struct str){ NULL, 0 };
    }
    st = q_ident_of_node(v->conn, v->arena, it->uid, IDENT_EXTERNAL, &external, err);
    if (!st) { /* behind the kind and its slash */
        it->external_id = str_sub(external.key, 2, external.key.n);
    }
    if (!st || st == ST_NOT_FOUND) {
        st = it->parent ? q_node_row(v->conn, v->arena, it->parent, &parent, err) : ST_NOT_FOUND;
        it->parent_id = st ? 0 : parent.id;
    }
    it->loaded = !st || st == ST_NOT_FOUND;
    return it->loaded ? OK : st;
}

enum status catalog_get_uid(struct view *v, enum catalog_kind kind, int64_t uid,
                            struct catalog_item *out, struct err *err)
{
    struct q_node_row_row row;
    enum status st = q_node_row(v->conn, v->arena, uid, &row, err);

    *out = (struct catalog_item){ .kind = kind, .uid = uid };
    if (st) {
        return st;
    }
    if (!type_fits(kind, (enum node_type)row.type_id)) {
        return ST_NOT_FOUND;
    }
    out->type = (enum node_type)row.type_id;
    out->id = row.id;
    out->name = row.name;
    out->uri = row.uri;
    out->create_ms = row.create_ms;
    out->update_ms = row.update_ms;
    st = complete(v, out, err);
    return st ? st : catalog_load(v, out, err);
}

enum status catalog_get(struct view *v, enum catalog_kind kind, int64_t id,
                        struct catalog_item *out, struct err *err)
{
    struct q_node_by_id_row row;
    enum status st = q_node_by_id(v->conn, v->arena, node_kind_of(kind), id, &row, err);

    *out = (struct catalog_item){ .kind = kind };
    st = st ? st : catalog_get_uid(v, kind, row.uid, out, err);
    return st == ST_NOT_FOUND ? not_found(kind, id, err) : st;
}

/* ---- by name --------------------------------------------------------------------------------------------------------------- */

static enum status find_ident(struct view *v, enum ident_scheme scheme, struct str key,
                              int64_t *uid, struct err *err)
{
    struct q_ident_find_row row = { 0 };
    enum status st =
        key.p ? q_ident_find(v->conn, v->arena, 0, scheme, key, &row, err) : err_nomem(err);

    *uid = row.uid;
    return st;
}

static enum status find_version(struct view *v, int64_t model, struct str name, int64_t *uid,
                                struct err *err)
{
    struct q_model_version_get_row row;
    struct catalog_item it;
    int64_t number;
    enum status st =
        find_ident(v, IDENT_VERSION_LABEL,
                   arena_printf(v->arena, "%" PRId64 "/%.*s", model, STR_ARG(name)), uid, err);

    if (st != ST_NOT_FOUND) {
        return st;
    }
    if (!num_parse_i64(name, &number) || number < 1 || name.p[0] == '0' || name.p[0] == '+') {
        return ST_NOT_FOUND;
    }
    st = q_model_version_get(v->conn, v->arena, model, number, &row, err);
    if (st) {
        return st;
    }
    it = (struct catalog_item){ .kind = CATALOG_VERSION, .uid = row.uid };
    st = read_version(v, &it, err);
    *uid = row.uid;
    return st ? st : str_eq(it.name, name) ? OK : ST_NOT_FOUND; /* its label hides its number */
}

enum status catalog_find(struct view *v, enum catalog_kind kind, int64_t parent, struct str name,
                         struct catalog_item *out, struct err *err)
{
    static const enum catalog_kind parents[] = { [CATALOG_VERSION] = CATALOG_MODEL,
                                                 [CATALOG_SERVICE] = CATALOG_ENVIRONMENT,
                                                 [CATALOG_SERVE] = CATALOG_SERVICE };
    struct q_registered_model_uid_row model;
    struct q_experiment_get_by_name_row experiment;
    struct catalog_item up = { 0 };
    enum node_type type = kind == CATALOG_ENVIRONMENT ? TYPE_KF_SERVING_ENVIRONMENT
                          : kind == CATALOG_SERVICE   ? TYPE_KF_INFERENCE_SERVICE
                                                      : TYPE_KF_SERVE_MODEL;
    int64_t uid = 0;
    enum status st = OK;

    *out = (struct catalog_item){ .kind = kind };
    if (kind == CATALOG_MODEL) {
        st = q_registered_model_uid(v->conn, v->arena, name, &model, err);
        uid = st ? 0 : model.uid;
    } else if (kind == CATALOG_EXPERIMENT) {
        st = q_experiment_get_by_name(v->conn, v->arena, name, &experiment, err);
        uid = st ? 0 : experiment.uid;
    } else if (kind != CATALOG_ENVIRONMENT) {
        st = catalog_get(v, parents[kind], parent, &up, err);
        if (st) {
            return st;
        }
    }
    if (kind == CATALOG_VERSION) {
        st = find_version(v, up.uid, name, &uid, err);
    } else if (kind != CATALOG_MODEL && kind != CATALOG_EXPERIMENT) {
        st = find_ident(
            v, IDENT_CATALOG,
            arena_printf(v->arena, "%d/%" PRId64 "/%.*s", (int)type, up.uid, STR_ARG(name)), &uid,
            err);
    }
    st = st ? st : catalog_get_uid(v, kind, uid, out, err);
    return st != ST_NOT_FOUND ? st
                              : err_field(err, st, "name", "%s with name %.*s not found",
                                          catalog_kind_name(kind), STR_ARG(name));
}

enum status catalog_find_external(struct view *v, enum catalog_kind kind, struct str external_id,
                                  struct catalog_item *out, struct err *err)
{
    int64_t uid;
    enum status st =
        find_ident(v, IDENT_EXTERNAL,
                   arena_printf(v->arena, "%d/%.*s", (int)node_kind_of(kind), STR_ARG(external_id)),
                   &uid, err);

    *out = (struct catalog_item){ .kind = kind };
    st = st ? st : catalog_get_uid(v, kind, uid, out, err);
    return st != ST_NOT_FOUND
               ? st
               : err_field(err, st, "externalId", "%s with externalId %.*s not found",
                           catalog_kind_name(kind), STR_ARG(external_id));
}

enum status catalog_newest_version(struct view *v, int64_t model_id, struct catalog_item *out,
                                   struct err *err)
{
    struct catalog_item model;
    struct q_catalog_versions_of_row row;
    struct sql_stmt *stmt = NULL;
    int64_t uid = 0;
    enum status st = catalog_get(v, CATALOG_MODEL, model_id, &model, err);

    *out = (struct catalog_item){ .kind = CATALOG_VERSION };
    st = st ? st : q_catalog_versions_of_open(v->conn, &stmt, model.uid, err);
    while (!st && (st = q_catalog_versions_of_next(stmt, &row, err)) == OK) {
        uid = row.uid;
    }
    sql_close(stmt);
    if (st != ST_END) {
        return st;
    }
    if (!uid) {
        return err_field(err, ST_NOT_FOUND, "id", "registered model %" PRId64 " has no version",
                         model_id);
    }
    return catalog_get_uid(v, CATALOG_VERSION, uid, out, err);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------------ */

struct each {
    struct view *v;
    struct view row; /* of the row at hand: its arena is emptied for the next */
    enum status (*fn)(void *ctx, struct catalog_item *item, struct err *err);
    void *ctx;
};

static enum status each_model(struct each *e, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_catalog_model_all_row row;
    enum status st = q_catalog_model_all_open(e->v->conn, &stmt, err);

    while (!st && (st = q_catalog_model_all_next(stmt, &row, err)) == OK) {
        struct catalog_item it = { .kind = CATALOG_MODEL,
                                   .type = TYPE_MLFLOW_REGISTERED_MODEL,
                                   .uid = row.uid,
                                   .id = row.id,
                                   .name = row.name,
                                   .create_ms = row.create_ms,
                                   .update_ms = row.update_ms };

        it.description = row.description.n ? row.description : (struct str){ NULL, 0 };
        st = e->fn(e->ctx, &it, err);
    }
    sql_close(stmt);
    return st;
}

/* The rows of the two queries have the same columns. */
#define VERSION_ITEM(row)                                                                          \
    ((struct catalog_item){ .kind = CATALOG_VERSION,                                               \
                            .type = TYPE_MLFLOW_MODEL_VERSION,                                     \
                            .uid = (row).uid,                                                      \
                            .id = (row).id,                                                        \
                            .parent = (row).model,                                                 \
                            .name = (row).label,                                                   \
                            .number = (row).version,                                               \
                            .description = (row).description,                                      \
                            .create_ms = (row).create_ms,                                          \
                            .update_ms = (row).update_ms })

static enum status give_version(struct each *e, struct catalog_item *it, struct err *err)
{
    char digits[NUM_I64_MAX];

    if (!it->name.p) {
        it->name = str_of(digits, num_print_i64(it->number, digits));
    }
    it->description = it->description.n ? it->description : (struct str){ NULL, 0 };
    return e->fn(e->ctx, it, err);
}

static enum status each_version(struct each *e, bool has_parent, int64_t model, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_catalog_version_all_row row;
    struct q_catalog_versions_of_row of;
    struct catalog_item it;
    enum status st;

    if (has_parent) {
        st = q_catalog_versions_of_open(e->v->conn, &stmt, model, err);
        while (!st && (st = q_catalog_versions_of_next(stmt, &of, err)) == OK) {
            it = VERSION_ITEM(of);
            st = give_version(e, &it, err);
        }
    } else {
        st = q_catalog_version_all_open(e->v->conn, &stmt, err);
        while (!st && (st = q_catalog_version_all_next(stmt, &row, err)) == OK) {
            it = VERSION_ITEM(row);
            st = give_version(e, &it, err);
        }
    }
    sql_close(stmt);
    return st;
}

#define NODE_ITEM(kind_, parent_, row)                                                             \
    ((struct catalog_item){ .kind = (kind_),                                                       \
                            .type = (enum node_type)(row).type_id,                                 \
                            .uid = (row).uid,                                                      \
                            .id = (row).id,                                                        \
                            .parent = (parent_),                                                   \
                            .name = (row).name,                                                    \
                            .uri = (row).uri,                                                      \
                            .create_ms = (row).create_ms,                                          \
                            .update_ms = (row).update_ms })

/* An artifact of a deleted version is left out. */
static enum status give_node(struct each *e, struct catalog_item *it, struct err *err)
{
    enum status st;

    arena_reset(e->row.arena);
    st = complete(&e->row, it, err);
    return st == ST_NOT_FOUND ? OK : st ? st : e->fn(e->ctx, it, err);
}

static enum status each_node(struct each *e, const struct catalog_list *in, int64_t parent,
                             const int64_t *types, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_node_of_types_row all;
    struct q_node_of_context_row of;
    struct q_node_of_parent_row below;
    struct catalog_item it;
    enum status st;

    if (!in->has_parent) {
        st = q_node_of_types_open(e->v->conn, &stmt, types, n, err);
        while (!st && (st = q_node_of_types_next(stmt, &all, err)) == OK) {
            it = NODE_ITEM(in->kind, 0, all);
            st = give_node(e, &it, err);
        }
    } else if (in->kind == CATALOG_SERVICE) {
        st = q_node_of_parent_open(e->v->conn, &stmt, parent, types, n, err);
        while (!st && (st = q_node_of_parent_next(stmt, &below, err)) == OK) {
            it = NODE_ITEM(in->kind, parent, below);
            st = give_node(e, &it, err);
        }
    } else {
        st = q_node_of_context_open(e->v->conn, &stmt, parent, types, n, err);
        while (!st && (st = q_node_of_context_next(stmt, &of, err)) == OK) {
            it = NODE_ITEM(in->kind, parent, of);
            st = give_node(e, &it, err);
        }
    }
    sql_close(stmt);
    return st;
}

static enum status each_experiment(struct each *e, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_catalog_experiment_all_row row;
    enum status st = q_catalog_experiment_all_open(e->v->conn, &stmt, err);

    while (!st && (st = q_catalog_experiment_all_next(stmt, &row, err)) == OK) {
        struct catalog_item it = { .kind = CATALOG_EXPERIMENT,
                                   .type = TYPE_MLFLOW_EXPERIMENT,
                                   .uid = row.uid,
                                   .id = row.id,
                                   .number = row.exp,
                                   .name = row.name,
                                   .create_ms = row.create_ms,
                                   .update_ms = row.update_ms };

        st = e->fn(e->ctx, &it, err);
    }
    sql_close(stmt);
    return st;
}

struct uids {
    struct arena *a;
    int64_t *p;
    size_t n, cap;
};

static enum status keep_uid(void *ctx, const struct run_view *run, struct err *err)
{
    struct uids *u = ctx;

    if (!arena_grow(u->a, (void **)&u->p, u->n, &u->cap, sizeof(*u->p))) {
        return err_nomem(err);
    }
    u->p[u->n++] = run->uid;
    return OK;
}

static int by_uid(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static enum status keep_experiment(void *ctx, struct catalog_item *item, struct err *err)
{
    struct uids *u = ctx;

    if (!arena_grow(u->a, (void **)&u->p, u->n, &u->cap, sizeof(*u->p))) {
        return err_nomem(err);
    }
    u->p[u->n++] = item->number;
    return OK;
}

/* Runs in the order of their numbers, which is that of their nodes. */
static enum status each_run(struct each *e, bool has_parent, int64_t experiment, struct err *err)
{
    struct uids exps = { .a = e->v->arena }, runs = { .a = e->v->arena };
    struct view v = e->row;
    struct each all = { .v = e->v, .fn = keep_experiment, .ctx = &exps };
    enum status st = has_parent ? OK : each_experiment(&all, err);

    st = st == ST_END ? OK : st;
    st = st ? st
            : run_each(e->v, has_parent ? &experiment : exps.p, has_parent ? 1 : exps.n,
                       VIEW_ACTIVE_ONLY, keep_uid, &runs, err);
    if (st) {
        return st;
    }
    if (runs.n) {
        qsort(runs.p, runs.n, sizeof(*runs.p), by_uid);
    }
    for (size_t i = 0; !st && i < runs.n; i++) {
        struct q_node_row_row row;
        struct catalog_item it = { .kind = CATALOG_RUN, .type = TYPE_MLFLOW_RUN, .uid = runs.p[i] };

        arena_reset(v.arena);
        st = q_node_row(v.conn, v.arena, it.uid, &row, err);
        it.id = st ? 0 : row.id;
        it.create_ms = st ? 0 : row.create_ms;
        it.update_ms = st ? 0 : row.update_ms;
        st = st ? st : read_run(&v, &it, err);
        st = st == ST_NOT_FOUND ? OK : st ? st : e->fn(e->ctx, &it, err);
    }
    return st;
}

static size_t types_of(const struct catalog_list *in, int64_t *types)
{
    static const int64_t artifacts[] = { TYPE_MLFLOW_LOGGED_MODEL, TYPE_MODEL,
                                         TYPE_KF_MODEL_ARTIFACT,   TYPE_KF_DOC_ARTIFACT,
                                         TYPE_KF_DATASET,          TYPE_KF_METRIC,
                                         TYPE_KF_PARAMETER };
    size_t n = 0;

    if (in->kind != CATALOG_ARTIFACT) {
        types[0] = in->kind == CATALOG_ENVIRONMENT ? TYPE_KF_SERVING_ENVIRONMENT
                   : in->kind == CATALOG_SERVICE   ? TYPE_KF_INFERENCE_SERVICE
                                                   : TYPE_KF_SERVE_MODEL;
        return 1;
    }
    for (size_t i = 0; i < ARRAY_N(artifacts); i++) {
        bool wanted = in->types_n == 0;

        for (size_t k = 0; k < in->types_n; k++) {
            wanted = wanted || catalog_shown_type((enum node_type)artifacts[i]) == in->types[k];
        }
        if (wanted) {
            types[n++] = artifacts[i];
        }
    }
    return n;
}

enum status catalog_each(struct view *v, const struct catalog_list *in,
                         enum status (*fn)(void *ctx, struct catalog_item *item, struct err *err),
                         void *ctx, struct err *err)
{
    static const enum catalog_kind parents[] = { [CATALOG_VERSION] = CATALOG_MODEL,
                                                 [CATALOG_ARTIFACT] = CATALOG_VERSION,
                                                 [CATALOG_SERVICE] = CATALOG_ENVIRONMENT,
                                                 [CATALOG_SERVE] = CATALOG_SERVICE,
                                                 [CATALOG_RUN] = CATALOG_EXPERIMENT };
    struct each e = { .v = v, .row = *v, .fn = fn, .ctx = ctx };
    struct catalog_item parent = { 0 };
    int64_t types[CATALOG_TYPES_MAX];
    enum status st = OK;

    if (in->has_parent) {
        st = catalog_get(v, parents[in->kind], in->parent, &parent, err);
    }
    if (st) {
        return st;
    }
    e.row.arena = arena_new(ROW_ARENA_MAX);
    if (!e.row.arena) {
        return err_nomem(err);
    }
    st = in->kind == CATALOG_MODEL        ? each_model(&e, err)
         : in->kind == CATALOG_EXPERIMENT ? each_experiment(&e, err)
         : in->kind == CATALOG_RUN        ? each_run(&e, in->has_parent, parent.number, err)
         : in->kind == CATALOG_VERSION
             ? each_version(&e, in->has_parent, parent.uid, err)
             : each_node(&e, in, parent.uid, types, types_of(in, types), err);
    arena_free(e.row.arena);
    return st == ST_END ? OK : st;
}
