/* core/logged_model.c - logged models: rows, properties and metric series. */
#include "core/logged_model.h"
#include "base/id.h"
#include "base/rand.h"
#include "core/experiment.h"
#include "core/names.h"
#include "core/node.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>
#include <stdlib.h>

enum { METRIC_ROWS_MAX = 100000 };

/* ---- writes -------------------------------------------------------------------------------------------------------------- */

static enum status add_params(struct group *g, int64_t uid, const struct key_value *items, size_t n,
                              struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int64_t added = 0;
        enum status st = q_prop_insert_text(group_conn(g), uid, PROP_PARAM, items[i].key,
                                            items[i].value, &added, err);

        if (!st && !added) {
            return err_field(
                err, ST_INVALID, "params",
                "Param with key '%.*s' was already logged for this model; params of logged models cannot be "
                "changed",
                STR_ARG(items[i].key));
        }
        if (st) {
            return st;
        }
    }
    return OK;
}

static enum status set_tags(struct group *g, int64_t uid, const struct key_value *items, size_t n,
                            struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = q_prop_set_text(group_conn(g), uid, PROP_TAG, items[i].key, items[i].value, err);
    }
    return st;
}

struct keyed {
    struct key_value item;
    size_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int c = str_cmp(x->item.key, y->item.key);

    return c ? c : x->at < y->at ? -1 : x->at > y->at;
}

/* Sorts by key; of equal keys only the last one stays, as in the store. `order` lends its room. */
static size_t sort_unique(struct key_value *items, size_t n, struct keyed *order)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        order[i] = (struct keyed){ items[i], i };
    }
    if (n) {
        qsort(order, n, sizeof(*order), by_key);
    }
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || !str_eq(order[i].item.key, order[i + 1].item.key)) {
            items[kept++] = order[i].item;
        }
    }
    return kept;
}

/* Fills what the answer of a creation shows. */
static enum status fill_created(struct logged_model_create *c, struct group *g, struct err *err)
{
    struct logged_model *m = &c->model;
    struct keyed *order = ARENA_ARRAY(c->op.arena, struct keyed, MAX_OF(c->params_n, c->tags_n));

    m->tags = ARENA_ARRAY(c->op.arena, struct key_value, c->tags_n);
    m->params = ARENA_ARRAY(c->op.arena, struct key_value, c->params_n);
    if (!order || !m->tags || !m->params) {
        return err_nomem(err);
    }
    if (c->params_n) {
        memcpy(m->params, c->params, c->params_n * sizeof(*m->params));
    }
    if (c->tags_n) {
        memcpy(m->tags, c->tags, c->tags_n * sizeof(*m->tags));
    }
    m->params_n = sort_unique(m->params, c->params_n, order);
    m->tags_n = sort_unique(m->tags, c->tags_n, order);
    m->status = LOGGED_MODEL_PENDING;
    m->lifecycle = LIFECYCLE_ACTIVE;
    m->experiment = c->experiment;
    m->model_type = c->model_type;
    m->source_run_id = c->source_run_id;
    m->create_ms = m->update_ms = group_now_ms(g);
    return OK;
}

static enum status create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct logged_model_create *c = WRITE_OP_OF(op, struct logged_model_create);
    struct logged_model *m = &c->model;
    struct node_new node = { .kind = NODE_ARTIFACT,
                             .type = TYPE_MLFLOW_LOGGED_MODEL,
                             .scheme = IDENT_MLFLOW_LOGGED_MODEL };
    char hex[33], name[24];
    struct str location;
    enum status st = experiment_require_active(c->core, g, c->experiment, err);

    if (st) {
        return st;
    }
    id_hex32(hex);
    id_run_name(rand_u64(), name);
    location = experiment_artifact_location(c->core, g, c->experiment, op->arena);
    m->model_id = arena_printf(op->arena, "m-%s", hex);
    m->name = c->name.n ? c->name : arena_str(op->arena, str_cstr(name));
    m->artifact_uri = arena_printf(op->arena, "%.*s%smodels/%.*s/artifacts", STR_ARG(location),
                                   str_ends(location, S("/")) ? "" : "/", STR_ARG(m->model_id));
    if (!location.p || !m->model_id.p || !m->name.p || !m->artifact_uri.p) {
        return err_nomem(err);
    }
    node.ident = m->model_id;
    node.uri = m->artifact_uri;
    st = group_node_add(g, &node, &m->uid, err);
    st = st ? st
            : q_logged_model_insert(group_conn(g), m->uid, m->model_id, c->experiment, m->name,
                                    c->model_type, c->source_run_id, LOGGED_MODEL_PENDING,
                                    m->artifact_uri, group_now_ms(g), err);
    st = st ? st
            : group_member_add(g, experiment_uid(c->core, g, c->experiment), m->uid,
                               MEMBER_OF_EXPERIMENT, err);
    st = st ? st : add_params(g, m->uid, c->params, c->params_n, err);
    st = st ? st : set_tags(g, m->uid, c->tags, c->tags_n, err);
    return st ? st : fill_created(c, g, err);
}

static const struct write_kind create_kind = { .name = "logged_model.create",
                                               .validate = create_validate,
                                               .sql = true };

void logged_model_create_init(struct logged_model_create *c, struct core *core, struct arena *a)
{
    *c = (struct logged_model_create){ .op = { .kind = &create_kind, .arena = a }, .core = core };
}

static enum status not_found(struct str model_id, struct err *err)
{
    return err_field(err, ST_NOT_FOUND, "model_id", "Logged model with ID '%.*s' not found.",
                     STR_ARG(model_id));
}

static enum status change_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct logged_model_change *c = WRITE_OP_OF(op, struct logged_model_change);
    struct q_logged_model_get_row row;
    int64_t n = 0;
    enum status st = q_logged_model_get(group_conn(g), op->arena, c->model_id, &row, err);

    if (st == ST_NOT_FOUND ||
        (!st && row.lifecycle && c->what != MODEL_DELETE && c->what != MODEL_RESTORE)) {
        return not_found(c->model_id, err);
    }
    if (st) {
        return st;
    }
    switch (c->what) {
    case MODEL_FINALIZE:
        return q_logged_model_set_status(group_conn(g), row.uid, c->status, group_now_ms(g), err);
    case MODEL_DELETE:
        return q_logged_model_set_lifecycle(group_conn(g), row.uid, LIFECYCLE_DELETED,
                                            group_now_ms(g), err);
    case MODEL_RESTORE:
        st = experiment_require(c->core, g, row.exp, err); /* it may be going for good */
        return st || !row.lifecycle
                   ? st
                   : q_logged_model_set_lifecycle(group_conn(g), row.uid, LIFECYCLE_ACTIVE,
                                                  group_now_ms(g), err);
    case MODEL_SET_TAGS: return set_tags(g, row.uid, c->items, c->items_n, err);
    case MODEL_LOG_PARAMS: return add_params(g, row.uid, c->items, c->items_n, err);
    case MODEL_DELETE_TAG: break;
    }
    st = q_prop_delete(group_conn(g), row.uid, PROP_TAG, c->key, &n, err);
    if (!st && n == 0) {
        return err_field(err, ST_NOT_FOUND, "tag_key",
                         "No tag with key '%.*s' found for model with ID '%.*s'.", STR_ARG(c->key),
                         STR_ARG(c->model_id));
    }
    return st;
}

static const struct write_kind change_kind = { .name = "logged_model.change",
                                               .validate = change_validate,
                                               .sql = true };

void logged_model_change_init(struct logged_model_change *c, struct core *core, struct arena *a)
{
    *c = (struct logged_model_change){ .op = { .kind = &change_kind, .arena = a }, .core = core };
}

struct model_points *run_log_model(struct run_log *l, struct str model_id, struct str dataset_name,
                                   struct str dataset_digest, struct err *err)
{
    struct model_points *m;

    for (size_t i = 0; i < l->models_n; i++) {
        m = &l->models[i];
        if (str_eq(m->model_id, model_id) && str_eq(m->dataset_name, dataset_name) &&
            str_eq(m->dataset_digest, dataset_digest)) {
            return m;
        }
    }
    if (!arena_grow(l->op.arena, (void **)&l->models, l->models_n, &l->models_cap,
                    sizeof(*l->models))) {
        err_nomem(err);
        return NULL;
    }
    m = &l->models[l->models_n];
    *m = (struct model_points){ model_id, l->run_id, dataset_name, dataset_digest, { 0 } };
    if (run_points_begin(&m->points, l->op.arena, err)) {
        return NULL;
    }
    l->models_n++;
    l->op.kind = &run_log_models_kind;
    return m;
}

enum status group_model_points(struct group *g, const struct model_points *m, struct err *err)
{
    struct str none = { "", 0 };
    struct str name = m->dataset_name.p ? m->dataset_name : none;
    struct str digest = m->dataset_digest.p ? m->dataset_digest : none;
    struct q_logged_model_get_row model;
    struct q_model_series_find_row series = { 0 };
    enum status st = q_logged_model_get(group_conn(g), m->points.arena, m->model_id, &model, err);

    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = q_model_series_find(group_conn(g), NULL, model.uid, m->run_id, name, digest, &series, err);
    if (st == ST_NOT_FOUND) {
        series.uid = group_new_uid(g);
        st = q_model_series_insert(group_conn(g), series.uid, model.uid, m->run_id, name, digest,
                                   err);
    }
    return st ? st : group_owner_points(g, series.uid, &m->points, err);
}

/* ---- reads ----------------------------------------------------------------------------------------------------------------- */

/* All points of one owner, appended to the model's metrics. */
static enum status read_series(struct view *v, const struct q_model_series_of_model_row *series,
                               struct logged_model *m, size_t *cap, struct err *err)
{
    struct str *keys, none = { NULL, 0 };
    size_t keys_n;
    enum status st = owner_metric_keys(v, series->uid, &keys, &keys_n, err);

    for (size_t k = 0; !st && k < keys_n; k++) {
        struct point *points;
        size_t n;

        st = owner_metric_history(v, series->uid, keys[k], &points, &n, err);
        for (size_t i = 0; !st && i < n && m->metrics_n < METRIC_ROWS_MAX; i++) {
            if (!arena_grow(v->arena, (void **)&m->metrics, m->metrics_n, cap,
                            sizeof(*m->metrics))) {
                return err_nomem(err);
            }
            m->metrics[m->metrics_n++] = (struct model_metric){
                .key = keys[k],
                .point = points[i],
                .run_id = series->rid,
                .dataset_name = series->dataset_name.n ? series->dataset_name : none,
                .dataset_digest = series->dataset_digest.n ? series->dataset_digest : none
            };
        }
    }
    return st;
}

static int by_metric(const void *a, const void *b)
{
    const struct model_metric *x = a, *y = b;
    int c = str_cmp(x->key, y->key);

    if (c) {
        return c;
    }
    if (x->point.timestamp_ms != y->point.timestamp_ms) {
        return x->point.timestamp_ms < y->point.timestamp_ms ? -1 : 1;
    }
    return x->point.step < y->point.step ? -1 : x->point.step > y->point.step;
}

static enum status read_metrics(struct view *v, struct logged_model *m, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_model_series_of_model_row row, *rows = NULL;
    size_t n = 0, rows_cap = 0, cap = 0;
    enum status st = q_model_series_of_model_open(v->conn, &stmt, m->uid, err);

    while (!st && (st = q_model_series_of_model_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.rid) || !view_keep(v, &row.dataset_name) ||
            !view_keep(v, &row.dataset_digest) ||
            !arena_grow(v->arena, (void **)&rows, n, &rows_cap, sizeof(*rows))) {
            st = err_nomem(err);
            break;
        }
        rows[n++] = row;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < n; i++) {
        st = read_series(v, &rows[i], m, &cap, err);
    }
    if (!st && m->metrics_n) {
        qsort(m->metrics, m->metrics_n, sizeof(*m->metrics), by_metric);
    }
    return st;
}

/* Params, tags and metrics of a model whose row is filled. */
static enum status read_parts(struct view *v, struct logged_model *m, struct err *err)
{
    enum status st = node_texts(v, m->uid, PROP_PARAM, &m->params, &m->params_n, err);

    st = st ? st : node_texts(v, m->uid, PROP_TAG, &m->tags, &m->tags_n, err);
    return st ? st : read_metrics(v, m, err);
}

enum status logged_model_get(struct view *v, struct str model_id, bool allow_deleted,
                             struct logged_model *out, struct err *err)
{
    struct q_logged_model_get_row row;
    enum status st = q_logged_model_get(v->conn, v->arena, model_id, &row, err);

    *out = (struct logged_model){ 0 };
    if (st == ST_NOT_FOUND || (!st && row.lifecycle && !allow_deleted)) {
        return not_found(model_id, err);
    }
    if (st) {
        return st;
    }
    *out = (struct logged_model){ .uid = row.uid,
                                  .experiment = row.exp,
                                  .model_id = row.mid,
                                  .name = row.name,
                                  .model_type = row.model_type,
                                  .source_run_id = row.source_run,
                                  .artifact_uri = row.artifact_uri,
                                  .status = (enum logged_model_status)row.status,
                                  .lifecycle = row.lifecycle ? LIFECYCLE_DELETED : LIFECYCLE_ACTIVE,
                                  .create_ms = row.create_ms,
                                  .update_ms = row.update_ms };
    return read_parts(v, out, err);
}

enum status logged_model_list(struct view *v, const struct logged_model_list *in,
                              struct logged_model **out, size_t *n, bool *more, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_logged_model_list_row row;
    struct logged_model *list = ARENA_ARRAY(v->arena, struct logged_model, in->max + 1);
    enum lifecycle lifecycle = in->deleted ? LIFECYCLE_DELETED : LIFECYCLE_ACTIVE;
    enum status st =
        list ? q_logged_model_list_open(v->conn, &stmt, in->experiment, lifecycle, in->before_ms,
                                        in->before_uid, (int64_t)in->max + 1, err)
             : err_nomem(err);

    *out = NULL;
    *n = 0;
    *more = false;
    while (!st && (st = q_logged_model_list_next(stmt, &row, err)) == OK) {
        struct logged_model *m = &list[*n];

        if (*n == in->max) {
            *more = true;
            break;
        }
        *m = (struct logged_model){ .uid = row.uid,
                                    .experiment = in->experiment,
                                    .model_id = row.mid,
                                    .name = row.name,
                                    .model_type = row.model_type,
                                    .source_run_id = row.source_run,
                                    .artifact_uri = row.artifact_uri,
                                    .status = (enum logged_model_status)row.status,
                                    .lifecycle = lifecycle,
                                    .create_ms = row.create_ms,
                                    .update_ms = row.update_ms };
        if (!view_keep(v, &m->model_id) || !view_keep(v, &m->name) ||
            !view_keep(v, &m->model_type) || !view_keep(v, &m->source_run_id) ||
            !view_keep(v, &m->artifact_uri)) {
            st = err_nomem(err);
            break;
        }
        (*n)++;
    }
    sql_close(stmt);
    *out = list;
    return st == ST_END ? OK : st;
}
