/* api/mlflow/models.c - logged-model routes. */
#include "api/mlflow/mlflow_int.h"
#include "core/names.h"
#include <inttypes.h>
#include <stdio.h>

static struct key_value *pairs_of_params(struct arena *a,
                                         const struct mlflow_logged_model_parameter *p, size_t n)
{
    struct key_value *out = ARENA_ARRAY(a, struct key_value, n);

    for (size_t i = 0; out && i < n; i++) {
        out[i] = (struct key_value){ p[i].key, p[i].value.p ? p[i].value : S("") };
    }
    return out;
}

static struct key_value *pairs_of_tags(struct arena *a, const struct mlflow_logged_model_tag *t,
                                       size_t n)
{
    struct key_value *out = ARENA_ARRAY(a, struct key_value, n);

    for (size_t i = 0; out && i < n; i++) {
        out[i] = (struct key_value){ t[i].key, t[i].value.p ? t[i].value : S("") };
    }
    return out;
}

/* The capture of the path wins over a field of the body. */
static struct str model_id_of(const struct call *c)
{
    return call_capture(c, "model_id");
}

static enum status answer(struct call *c, const struct logged_model *m, struct err *err)
{
    struct mlflow_get_logged_model_response *out =
        ARENA_NEW(c->arena, struct mlflow_get_logged_model_response);
    struct mlflow_logged_model *to = ARENA_NEW(c->arena, struct mlflow_logged_model);

    if (!out || !to) {
        return err_nomem(err);
    }
    MSG_SET(out, MLFLOW_GET_LOGGED_MODEL_RESPONSE_HAS_MODEL, model, to);
    c->out = out;
    return mlflow_put_model(c->arena, m, to, err);
}

static struct str or_null(struct str s)
{
    return s.n ? s : (struct str){ NULL, 0 };
}

static enum status create_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_create_logged_model *in = c->in;
    struct logged_model_create *m = ARENA_NEW(c->arena, struct logged_model_create);
    enum status st;

    if (!m) {
        return err_nomem(err);
    }
    logged_model_create_init(m, c->core, c->arena);
    m->name = or_null(in->name);
    m->model_type = (in->has & MLFLOW_CREATE_LOGGED_MODEL_HAS_MODEL_TYPE) ? in->model_type
                                                                          : (struct str){ NULL, 0 };
    m->source_run_id = (in->has & MLFLOW_CREATE_LOGGED_MODEL_HAS_SOURCE_RUN_ID)
                           ? in->source_run_id
                           : (struct str){ NULL, 0 };
    m->params = pairs_of_params(c->arena, in->params, in->params_n);
    m->params_n = in->params_n;
    m->tags = pairs_of_tags(c->arena, in->tags, in->tags_n);
    m->tags_n = in->tags_n;
    if (!m->params || !m->tags) {
        return err_nomem(err);
    }
    *op = &m->op;
    st = name_check_logged_model(in->name, err);
    return st ? st : experiment_parse_id(in->experiment_id, &m->experiment, err);
}

static enum status create_finish(struct call *c, struct err *err)
{
    return answer(c, &WRITE_OP_OF(c->op, struct logged_model_create)->model, err);
}

static enum status get(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_logged_model *in = c->in;
    struct logged_model m;
    enum status st = logged_model_get(v, model_id_of(c), in->allow_deleted, &m, err);

    return st ? st : answer(c, &m, err);
}

/* The model as it is after a change. */
static enum status read_back(struct call *c, struct view *v, struct err *err)
{
    struct logged_model m;
    enum status st = logged_model_get(v, model_id_of(c), true, &m, err);

    return st ? st : answer(c, &m, err);
}

static struct logged_model_change *new_change(struct call *c, struct write_op **op, struct err *err)
{
    struct logged_model_change *x = ARENA_NEW(c->arena, struct logged_model_change);

    if (!x) {
        err_nomem(err);
        return NULL;
    }
    logged_model_change_init(x, c->core, c->arena);
    x->model_id = model_id_of(c);
    *op = &x->op;
    return x;
}

static enum status finalize_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_finalize_logged_model *in = c->in;
    struct logged_model_change *x = new_change(c, op, err);

    if (!x) {
        return err->code;
    }
    x->what = MODEL_FINALIZE;
    x->status = (enum logged_model_status)in->status;
    if (in->status < LOGGED_MODEL_PENDING || in->status > LOGGED_MODEL_UPLOAD_FAILED) {
        return err_field(err, ST_INVALID, "status",
                         "Invalid value %" PRId32 " for parameter 'status' supplied.", in->status);
    }
    return OK;
}

static enum status delete_start(struct call *c, struct write_op **op, struct err *err)
{
    struct logged_model_change *x = new_change(c, op, err);

    if (!x) {
        return err->code;
    }
    x->what = MODEL_DELETE;
    return OK;
}

static enum status set_tags_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_set_logged_model_tags *in = c->in;
    struct logged_model_change *x = new_change(c, op, err);

    if (!x) {
        return err->code;
    }
    x->what = MODEL_SET_TAGS;
    x->items = pairs_of_tags(c->arena, in->tags, in->tags_n);
    x->items_n = in->tags_n;
    return x->items ? OK : err_nomem(err);
}

static enum status delete_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    struct logged_model_change *x = new_change(c, op, err);

    if (!x) {
        return err->code;
    }
    x->what = MODEL_DELETE_TAG;
    x->key = call_capture(c, "tag_key");
    return OK;
}

static enum status log_params_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_logged_model_params *in = c->in;
    struct logged_model_change *x = new_change(c, op, err);

    if (!x) {
        return err->code;
    }
    x->what = MODEL_LOG_PARAMS;
    x->items = pairs_of_params(c->arena, in->params, in->params_n);
    x->items_n = in->params_n;
    return x->items ? OK : err_nomem(err);
}

static enum status take_order(struct call *c, const struct mlflow_search_logged_models *in,
                              struct logged_model_search *q, struct err *err)
{
    q->order_by = ARENA_ARRAY(c->arena, struct order_field, in->order_by_n);
    q->datasets = ARENA_ARRAY(c->arena, struct key_value, in->datasets_n);
    if (!q->order_by || !q->datasets) {
        return err_nomem(err);
    }
    q->order_by_n = in->order_by_n;
    q->datasets_n = in->datasets_n;
    for (size_t i = 0; i < in->order_by_n; i++) {
        q->order_by[i] =
            (struct order_field){ in->order_by[i].field_name, in->order_by[i].ascending,
                                  or_null(in->order_by[i].dataset_name),
                                  or_null(in->order_by[i].dataset_digest) };
    }
    for (size_t i = 0; i < in->datasets_n; i++) {
        q->datasets[i] = (struct key_value){ in->datasets[i].dataset_name,
                                             or_null(in->datasets[i].dataset_digest) };
    }
    return OK;
}

static enum status search(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_search_logged_models *in = c->in;
    struct mlflow_search_logged_models_response *out =
        ARENA_NEW(c->arena, struct mlflow_search_logged_models_response);
    struct logged_model_search q = { .filter = in->filter,
                                     .experiments_n = in->experiment_ids_n,
                                     .page = { in->max_results > 0 ? (size_t)in->max_results : 100,
                                               in->page_token } };
    struct logged_model *found;
    struct str token;
    size_t n;
    enum status st;

    if (!out) {
        return err_nomem(err);
    }
    st = mlflow_experiment_ids(c->arena, in->experiment_ids, in->experiment_ids_n, &q.experiments,
                               err);
    st = st ? st : take_order(c, in, &q, err);
    st = st ? st : logged_model_search(v, &q, &found, &n, &token, err);
    if (st) {
        return st;
    }
    out->models = ARENA_ARRAY(c->arena, struct mlflow_logged_model, n);
    if (!out->models) {
        return err_nomem(err);
    }
    out->models_n = n;
    for (size_t i = 0; !st && i < n; i++) {
        st = mlflow_put_model(c->arena, &found[i], &out->models[i], err);
    }
    if (token.n) {
        MSG_SET(out, MLFLOW_SEARCH_LOGGED_MODELS_RESPONSE_HAS_NEXT_PAGE_TOKEN, next_page_token,
                token);
    }
    c->out = out;
    return st;
}

#define PATH "/api/2.0/mlflow/logged-models"

const struct route mlflow_model_routes[] = {
    ROUTE(HTTP_POST, PATH, &mlflow_create_logged_model_desc, &mlflow_get_logged_model_response_desc,
          RESOURCE_MODEL, ACTION_MODEL_CREATE, WRITE_THEN(create_start, create_finish)),
    ROUTE(HTTP_POST, PATH "/search", &mlflow_search_logged_models_desc,
          &mlflow_search_logged_models_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(search)),
    ROUTE(HTTP_GET, PATH "/{model_id}", &mlflow_get_logged_model_desc,
          &mlflow_get_logged_model_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ, READ(get)),
    ROUTE(HTTP_PATCH, PATH "/{model_id}", &mlflow_finalize_logged_model_desc,
          &mlflow_get_logged_model_response_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE,
          WRITE_READ(finalize_start, read_back)),
    ROUTE(HTTP_DELETE, PATH "/{model_id}", &mlflow_delete_logged_model_desc, &mlflow_empty_desc,
          RESOURCE_MODEL, ACTION_MODEL_DELETE, WRITE(delete_start)),
    ROUTE(HTTP_PATCH, PATH "/{model_id}/tags", &mlflow_set_logged_model_tags_desc,
          &mlflow_empty_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(set_tags_start)),
    ROUTE(HTTP_DELETE, PATH "/{model_id}/tags/{tag_key}", &mlflow_delete_logged_model_tag_desc,
          &mlflow_empty_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(delete_tag_start)),
    ROUTE(HTTP_POST, PATH "/{model_id}/params", &mlflow_log_logged_model_params_desc,
          &mlflow_empty_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(log_params_start)),
};
const size_t mlflow_model_routes_n = ARRAY_N(mlflow_model_routes);
