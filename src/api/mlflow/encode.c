/* api/mlflow/encode.c - core values as MLflow messages. */
#include "api/mlflow/mlflow_int.h"
#include "base/num.h"
#include <float.h>
#include <inttypes.h>
#include <math.h>

static struct str stage(enum lifecycle l)
{
    return l == LIFECYCLE_DELETED ? S("deleted") : S("active");
}

struct str mlflow_id_text(struct arena *a, int64_t id)
{
    char text[NUM_I64_MAX];

    return arena_str(a, str_of(text, num_print_i64(id, text)));
}

double mlflow_finite(double v)
{
    if (isinf(v)) {
        return v > 0 ? DBL_MAX : -DBL_MAX;
    }
    return v;
}

enum status mlflow_put_experiment(struct arena *a, const struct experiment *x,
                                  struct mlflow_experiment *out, struct err *err)
{
    *out = (struct mlflow_experiment){ 0 };
    MSG_SET(out, MLFLOW_EXPERIMENT_HAS_EXPERIMENT_ID, experiment_id, mlflow_id_text(a, x->id));
    MSG_SET(out, MLFLOW_EXPERIMENT_HAS_NAME, name, x->name);
    MSG_SET(out, MLFLOW_EXPERIMENT_HAS_ARTIFACT_LOCATION, artifact_location, x->artifact_location);
    MSG_SET(out, MLFLOW_EXPERIMENT_HAS_LIFECYCLE_STAGE, lifecycle_stage, stage(x->lifecycle));
    MSG_SET(out, MLFLOW_EXPERIMENT_HAS_LAST_UPDATE_TIME, last_update_time, x->update_ms);
    MSG_SET(out, MLFLOW_EXPERIMENT_HAS_CREATION_TIME, creation_time, x->create_ms);
    out->tags = ARENA_ARRAY(a, struct mlflow_experiment_tag, x->tags_n);
    if (!out->tags || !out->experiment_id.p) {
        return err_nomem(err);
    }
    out->tags_n = x->tags_n;
    for (size_t i = 0; i < x->tags_n; i++) {
        MSG_SET(&out->tags[i], MLFLOW_EXPERIMENT_TAG_HAS_KEY, key, x->tags[i].key);
        MSG_SET(&out->tags[i], MLFLOW_EXPERIMENT_TAG_HAS_VALUE, value, x->tags[i].value);
    }
    return OK;
}

void mlflow_put_run_info(struct arena *a, const struct run_view *r, struct mlflow_run_info *out)
{
    *out = (struct mlflow_run_info){ 0 };
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_RUN_UUID, run_uuid, r->run_id);
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_RUN_ID, run_id, r->run_id);
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_RUN_NAME, run_name, r->name);
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_EXPERIMENT_ID, experiment_id,
            mlflow_id_text(a, r->experiment));
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_USER_ID, user_id, r->user_id);
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_STATUS, status, (int32_t)r->status);
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_START_TIME, start_time, r->start_ms);
    if (r->has_end) {
        MSG_SET(out, MLFLOW_RUN_INFO_HAS_END_TIME, end_time, r->end_ms);
    }
    if (r->artifact_uri.n) {
        MSG_SET(out, MLFLOW_RUN_INFO_HAS_ARTIFACT_URI, artifact_uri, r->artifact_uri);
    }
    MSG_SET(out, MLFLOW_RUN_INFO_HAS_LIFECYCLE_STAGE, lifecycle_stage, stage(r->lifecycle));
}

void mlflow_put_metric(struct str key, const struct point *p, struct mlflow_metric *out)
{
    *out = (struct mlflow_metric){ 0 };
    MSG_SET(out, MLFLOW_METRIC_HAS_KEY, key, key);
    MSG_SET(out, MLFLOW_METRIC_HAS_VALUE, value, mlflow_finite(p->value));
    MSG_SET(out, MLFLOW_METRIC_HAS_TIMESTAMP, timestamp, p->timestamp_ms);
    MSG_SET(out, MLFLOW_METRIC_HAS_STEP, step, p->step);
}

static enum status put_run_data(struct arena *a, const struct run_view *r,
                                struct mlflow_run_data *out, struct err *err)
{
    out->metrics = ARENA_ARRAY(a, struct mlflow_metric, r->metrics_n);
    out->params = ARENA_ARRAY(a, struct mlflow_param, r->params_n);
    out->tags = ARENA_ARRAY(a, struct mlflow_run_tag, r->tags_n);
    if (!out->metrics || !out->params || !out->tags) {
        return err_nomem(err);
    }
    out->metrics_n = r->metrics_n;
    out->params_n = r->params_n;
    out->tags_n = r->tags_n;
    for (size_t i = 0; i < r->metrics_n; i++) {
        const struct run_metric *m = &r->metrics[i];
        struct point p = { m->step, m->timestamp_ms, m->value };

        mlflow_put_metric(m->key, &p, &out->metrics[i]);
    }
    for (size_t i = 0; i < r->params_n; i++) {
        MSG_SET(&out->params[i], MLFLOW_PARAM_HAS_KEY, key, r->params[i].key);
        MSG_SET(&out->params[i], MLFLOW_PARAM_HAS_VALUE, value, r->params[i].value);
    }
    for (size_t i = 0; i < r->tags_n; i++) {
        MSG_SET(&out->tags[i], MLFLOW_RUN_TAG_HAS_KEY, key, r->tags[i].key);
        MSG_SET(&out->tags[i], MLFLOW_RUN_TAG_HAS_VALUE, value, r->tags[i].value);
    }
    return OK;
}

static enum status put_dataset_input(struct arena *a, const struct dataset_input *d,
                                     struct mlflow_dataset_input *out, struct err *err)
{
    struct mlflow_dataset *set = ARENA_NEW(a, struct mlflow_dataset);

    out->tags = ARENA_ARRAY(a, struct mlflow_input_tag, d->tags_n);
    if (!set || !out->tags) {
        return err_nomem(err);
    }
    out->tags_n = d->tags_n;
    for (size_t i = 0; i < d->tags_n; i++) {
        MSG_SET(&out->tags[i], MLFLOW_INPUT_TAG_HAS_KEY, key, d->tags[i].key);
        MSG_SET(&out->tags[i], MLFLOW_INPUT_TAG_HAS_VALUE, value, d->tags[i].value);
    }
    MSG_SET(set, MLFLOW_DATASET_HAS_NAME, name, d->name);
    MSG_SET(set, MLFLOW_DATASET_HAS_DIGEST, digest, d->digest);
    MSG_SET(set, MLFLOW_DATASET_HAS_SOURCE_TYPE, source_type, d->source_type);
    MSG_SET(set, MLFLOW_DATASET_HAS_SOURCE, source, d->source);
    if (d->schema.p) {
        MSG_SET(set, MLFLOW_DATASET_HAS_SCHEMA, schema, d->schema);
    }
    if (d->profile.p) {
        MSG_SET(set, MLFLOW_DATASET_HAS_PROFILE, profile, d->profile);
    }
    MSG_SET(out, MLFLOW_DATASET_INPUT_HAS_DATASET, dataset, set);
    return OK;
}

static enum status put_inputs(struct view *v, int64_t uid, bool model_inputs,
                              struct mlflow_run_inputs *out, struct err *err)
{
    struct dataset_input *sets;
    struct str *models = NULL;
    size_t n, models_n = 0;
    enum status st = dataset_inputs_of_run(v, uid, &sets, &n, err);

    if (!st && model_inputs) {
        st = model_inputs_of_run(v, uid, SIZE_MAX, &models, &models_n, err);
    }
    if (st) {
        return st;
    }
    out->dataset_inputs = ARENA_ARRAY(v->arena, struct mlflow_dataset_input, n);
    out->model_inputs = ARENA_ARRAY(v->arena, struct mlflow_model_input, models_n);
    if (!out->dataset_inputs || !out->model_inputs) {
        return err_nomem(err);
    }
    out->dataset_inputs_n = n;
    out->model_inputs_n = models_n;
    for (size_t i = 0; !st && i < n; i++) {
        st = put_dataset_input(v->arena, &sets[i], &out->dataset_inputs[i], err);
    }
    for (size_t i = 0; i < models_n; i++) {
        MSG_SET(&out->model_inputs[i], MLFLOW_MODEL_INPUT_HAS_MODEL_ID, model_id, models[i]);
    }
    return st;
}

static enum status put_outputs(struct view *v, int64_t uid, struct mlflow_run_outputs *out,
                               struct err *err)
{
    struct model_output *models;
    size_t n;
    enum status st = model_outputs_of_run(v, uid, SIZE_MAX, &models, &n, err);

    if (st) {
        return st;
    }
    out->model_outputs = ARENA_ARRAY(v->arena, struct mlflow_model_output, n);
    if (!out->model_outputs) {
        return err_nomem(err);
    }
    out->model_outputs_n = n;
    for (size_t i = 0; i < n; i++) {
        MSG_SET(&out->model_outputs[i], MLFLOW_MODEL_OUTPUT_HAS_MODEL_ID, model_id,
                models[i].model_id);
        MSG_SET(&out->model_outputs[i], MLFLOW_MODEL_OUTPUT_HAS_STEP, step, models[i].step);
    }
    return OK;
}

enum status mlflow_put_new_run(struct arena *a, const struct run_view *r, struct mlflow_run *out,
                               struct err *err)
{
    struct mlflow_run_info *info = ARENA_NEW(a, struct mlflow_run_info);
    struct mlflow_run_data *data = ARENA_NEW(a, struct mlflow_run_data);
    struct mlflow_run_inputs *inputs = ARENA_NEW(a, struct mlflow_run_inputs);
    struct mlflow_run_outputs *outputs = ARENA_NEW(a, struct mlflow_run_outputs);

    *out = (struct mlflow_run){ 0 };
    if (!info || !data || !inputs || !outputs) {
        return err_nomem(err);
    }
    mlflow_put_run_info(a, r, info);
    MSG_SET(out, MLFLOW_RUN_HAS_INFO, info, info);
    MSG_SET(out, MLFLOW_RUN_HAS_DATA, data, data);
    MSG_SET(out, MLFLOW_RUN_HAS_INPUTS, inputs, inputs);
    MSG_SET(out, MLFLOW_RUN_HAS_OUTPUTS, outputs, outputs);
    return put_run_data(a, r, data, err);
}

enum status mlflow_put_run(struct view *v, const struct run_view *r, enum mlflow_links links,
                           struct mlflow_run *out, struct err *err)
{
    enum status st = mlflow_put_new_run(v->arena, r, out, err);

    if (links == MLFLOW_LINKS_NONE) {
        return st;
    }
    st = st ? st : put_inputs(v, r->uid, links == MLFLOW_LINKS_ALL, out->inputs, err);
    return st ? st : put_outputs(v, r->uid, out->outputs, err);
}

static enum status put_model_info(struct arena *a, const struct logged_model *m,
                                  struct mlflow_logged_model_info *out, struct err *err)
{
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_MODEL_ID, model_id, m->model_id);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_EXPERIMENT_ID, experiment_id,
            mlflow_id_text(a, m->experiment));
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_NAME, name, m->name);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_CREATION_TIMESTAMP_MS, creation_timestamp_ms,
            m->create_ms);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_LAST_UPDATED_TIMESTAMP_MS, last_updated_timestamp_ms,
            m->update_ms);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_ARTIFACT_URI, artifact_uri, m->artifact_uri);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_STATUS, status, (int32_t)m->status);
    if (m->model_type.p) {
        MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_MODEL_TYPE, model_type, m->model_type);
    }
    if (m->source_run_id.p) {
        MSG_SET(out, MLFLOW_LOGGED_MODEL_INFO_HAS_SOURCE_RUN_ID, source_run_id, m->source_run_id);
    }
    out->tags = ARENA_ARRAY(a, struct mlflow_logged_model_tag, m->tags_n);
    if (!out->tags || !out->experiment_id.p) {
        return err_nomem(err);
    }
    out->tags_n = m->tags_n;
    for (size_t i = 0; i < m->tags_n; i++) {
        MSG_SET(&out->tags[i], MLFLOW_LOGGED_MODEL_TAG_HAS_KEY, key, m->tags[i].key);
        MSG_SET(&out->tags[i], MLFLOW_LOGGED_MODEL_TAG_HAS_VALUE, value, m->tags[i].value);
    }
    return OK;
}

static enum status put_model_data(struct arena *a, const struct logged_model *m,
                                  struct mlflow_logged_model_data *out, struct err *err)
{
    out->params = ARENA_ARRAY(a, struct mlflow_logged_model_parameter, m->params_n);
    out->metrics = ARENA_ARRAY(a, struct mlflow_metric, m->metrics_n);
    if (!out->params || !out->metrics) {
        return err_nomem(err);
    }
    out->params_n = m->params_n;
    out->metrics_n = m->metrics_n;
    for (size_t i = 0; i < m->params_n; i++) {
        MSG_SET(&out->params[i], MLFLOW_LOGGED_MODEL_PARAMETER_HAS_KEY, key, m->params[i].key);
        MSG_SET(&out->params[i], MLFLOW_LOGGED_MODEL_PARAMETER_HAS_VALUE, value,
                m->params[i].value);
    }
    for (size_t i = 0; i < m->metrics_n; i++) {
        struct mlflow_metric *to = &out->metrics[i];

        mlflow_put_metric(m->metrics[i].key, &m->metrics[i].point, to);
        MSG_SET(to, MLFLOW_METRIC_HAS_MODEL_ID, model_id, m->model_id);
        MSG_SET(to, MLFLOW_METRIC_HAS_RUN_ID, run_id, m->metrics[i].run_id);
        if (m->metrics[i].dataset_name.p) {
            MSG_SET(to, MLFLOW_METRIC_HAS_DATASET_NAME, dataset_name, m->metrics[i].dataset_name);
        }
        if (m->metrics[i].dataset_digest.p) {
            MSG_SET(to, MLFLOW_METRIC_HAS_DATASET_DIGEST, dataset_digest,
                    m->metrics[i].dataset_digest);
        }
    }
    return OK;
}

enum status mlflow_put_model(struct arena *a, const struct logged_model *m,
                             struct mlflow_logged_model *out, struct err *err)
{
    struct mlflow_logged_model_info *info = ARENA_NEW(a, struct mlflow_logged_model_info);
    struct mlflow_logged_model_data *data = ARENA_NEW(a, struct mlflow_logged_model_data);
    enum status st;

    *out = (struct mlflow_logged_model){ 0 };
    if (!info || !data) {
        return err_nomem(err);
    }
    st = put_model_info(a, m, info, err);
    st = st ? st : put_model_data(a, m, data, err);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_HAS_INFO, info, info);
    MSG_SET(out, MLFLOW_LOGGED_MODEL_HAS_DATA, data, data);
    return st;
}

/* ---- requests ------------------------------------------------------------------------------------------------------------- */

static struct str or_empty(struct str s)
{
    return s.p ? s : S("");
}

struct key_value *mlflow_run_tags(struct arena *a, const struct mlflow_run_tag *tags, size_t n)
{
    struct key_value *out = ARENA_ARRAY(a, struct key_value, n);

    for (size_t i = 0; out && i < n; i++) {
        out[i] = (struct key_value){ tags[i].key, or_empty(tags[i].value) };
    }
    return out;
}

struct key_value *mlflow_params(struct arena *a, const struct mlflow_param *params, size_t n)
{
    struct key_value *out = ARENA_ARRAY(a, struct key_value, n);

    for (size_t i = 0; out && i < n; i++) {
        out[i] = (struct key_value){ params[i].key, or_empty(params[i].value) };
    }
    return out;
}

enum status mlflow_experiment_ids(struct arena *a, const struct str *texts, size_t n, int64_t **out,
                                  struct err *err)
{
    enum status st = OK;

    *out = ARENA_ARRAY(a, int64_t, n);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = experiment_parse_id(texts[i], &(*out)[i], err);
    }
    return st;
}
