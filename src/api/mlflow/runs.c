/* api/mlflow/runs.c - run routes: life cycle, params, tags, metrics, batches, inputs and outputs. */
#include "api/mlflow/mlflow_int.h"
#include "codec/json.h"
#include "core/names.h"
#include "core/run_search.h"
#include <inttypes.h>
#include <stdio.h>

enum {
    BATCH_METRICS_MAX = 1000,
    BATCH_PARAMS_MAX = 100,
    BATCH_TAGS_MAX = 100,
    BATCH_TOTAL_MAX = 1000,
    SEARCH_DEFAULT = 1000,
    PATH_MAX_BYTES = 64
};

/* ---- creating and changing -------------------------------------------------------------------------------------------------- */

static enum status check_tags(const struct key_value *tags, size_t n, const char *list,
                              struct err *err)
{
    enum status st = OK;
    char path[PATH_MAX_BYTES];

    for (size_t i = 0; !st && i < n; i++) {
        snprintf(path, sizeof(path), "%s[%zu].key", list, i);
        st = name_check_tag(tags[i].key, path, err);
    }
    return st;
}

static enum status create_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_create_run *in = c->in;
    struct run_create *r = arena_alloc(c->arena, sizeof(*r)); /* cleared by its init */

    if (!r) {
        return err_nomem(err);
    }
    run_create_init(r, c->core, c->arena);
    r->user_id = in->user_id;
    r->name = in->run_name;
    r->start_ms = in->start_time;
    r->tags = mlflow_run_tags(c->arena, in->tags, in->tags_n);
    r->tags_n = in->tags_n;
    if (!r->tags) {
        return err_nomem(err);
    }
    *op = &r->op;
    /* Keys of tags given at birth are not checked, as the reference server does. */
    return experiment_parse_id(in->experiment_id, &r->experiment, err);
}

static enum status answer_run(struct call *c, struct view *v, struct str run_id, struct err *err)
{
    struct mlflow_get_run_response *out = ARENA_NEW(c->arena, struct mlflow_get_run_response);
    struct mlflow_run *m = ARENA_NEW(c->arena, struct mlflow_run);
    struct run_view r;
    enum status st;

    if (!out || !m) {
        return err_nomem(err);
    }
    st = run_get(v, run_id, &r, err);
    st = st ? st : mlflow_put_run(v, &r, MLFLOW_LINKS_ALL, m, err);
    MSG_SET(out, MLFLOW_GET_RUN_RESPONSE_HAS_RUN, run, m);
    c->out = out;
    return st;
}

static enum status create_read(struct call *c, struct view *v, struct err *err)
{
    return answer_run(c, v, WRITE_OP_OF(c->op, struct run_create)->run_id, err);
}

static enum status create_finish(struct call *c, struct err *err)
{
    struct mlflow_get_run_response *out = ARENA_NEW(c->arena, struct mlflow_get_run_response);
    struct mlflow_run *m = ARENA_NEW(c->arena, struct mlflow_run);
    struct run_view r;

    if (!out || !m) {
        return err_nomem(err);
    }
    run_create_view(WRITE_OP_OF(c->op, struct run_create), &r);
    MSG_SET(out, MLFLOW_GET_RUN_RESPONSE_HAS_RUN, run, m);
    c->out = out;
    return mlflow_put_new_run(c->arena, &r, m, err);
}

static struct str create_remember(struct call *c)
{
    return WRITE_OP_OF(c->op, struct run_create)->run_id;
}

static void create_recall(struct call *c, struct str kept)
{
    WRITE_OP_OF(c->op, struct run_create)->run_id = kept;
}

static enum status get(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_run *in = c->in;

    return answer_run(c, v, in->run_id, err);
}

static enum status update_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_update_run *in = c->in;
    struct run_update *u = ARENA_NEW(c->arena, struct run_update);

    if (!u) {
        return err_nomem(err);
    }
    run_update_init(u, c->core, c->arena);
    u->run_id = in->run_id;
    u->who = c->principal->name;
    if (in->has & MLFLOW_UPDATE_RUN_HAS_STATUS) run_update_status(u, (enum run_status)in->status);
    u->has_end = (in->has & MLFLOW_UPDATE_RUN_HAS_END_TIME) != 0;
    u->has_name = (in->has & MLFLOW_UPDATE_RUN_HAS_RUN_NAME) != 0 && in->run_name.n > 0;
    u->end_ms = in->end_time;
    u->name = in->run_name;
    *op = &u->op;
    if (u->has_status && (in->status < RUN_RUNNING || in->status > RUN_KILLED)) {
        return err_field(err, ST_INVALID, "status",
                         "Invalid value %" PRId32 " for parameter 'status' supplied.", in->status);
    }
    return OK;
}

static enum status update_read(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_update_run *in = c->in;
    struct mlflow_update_run_response *out = ARENA_NEW(c->arena, struct mlflow_update_run_response);
    struct mlflow_run_info *info = ARENA_NEW(c->arena, struct mlflow_run_info);
    struct run_view r;
    enum status st;

    if (!out || !info) {
        return err_nomem(err);
    }
    st = run_get(v, in->run_id, &r, err);
    if (!st) {
        mlflow_put_run_info(c->arena, &r, info);
    }
    MSG_SET(out, MLFLOW_UPDATE_RUN_RESPONSE_HAS_RUN_INFO, run_info, info);
    c->out = out;
    return st;
}

static enum status lifecycle_start(struct call *c, struct str run_id, enum lifecycle to,
                                   struct write_op **op, struct err *err)
{
    struct run_lifecycle *l = ARENA_NEW(c->arena, struct run_lifecycle);

    if (!l) {
        return err_nomem(err);
    }
    run_lifecycle_init(l, c->core, c->arena);
    l->run_id = run_id;
    l->to = to;
    *op = &l->op;
    return OK;
}

static enum status delete_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_run *in = c->in;

    return lifecycle_start(c, in->run_id, LIFECYCLE_DELETED, op, err);
}

static enum status restore_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_restore_run *in = c->in;

    return lifecycle_start(c, in->run_id, LIFECYCLE_ACTIVE, op, err);
}

/* ---- logging ------------------------------------------------------------------------------------------------------------------- */

/* A point of a request on its way into the run's points, and into the model's when it names one. */
static enum status take_metric(struct run_log *l, const struct mlflow_metric *m, size_t index,
                               bool batch, struct err *err)
{
    char path[PATH_MAX_BYTES] = "name";
    enum status st = OK;

    /* A name is looked at once in a request. */
    if (run_points_key(&l->points, m->key) == SIZE_MAX) {
        if (batch) {
            snprintf(path, sizeof(path), "metrics[%zu].name", index);
        }
        st = name_check_metric(m->key, path, err);
    }
    if (st) {
        return st;
    }
    if (m->timestamp < 0) {
        snprintf(path, sizeof(path), batch ? "metrics[%zu].timestamp" : "timestamp", index);
        return err_field(err, ST_INVALID, path,
                         "Invalid value %" PRId64
                         " for parameter '%s' supplied: metric '%.*s'. Timestamp must be a "
                         "nonnegative long (64-bit integer) ",
                         m->timestamp, path, STR_ARG(m->key));
    }
    st = run_points_add(&l->points, m->key, m->value, m->timestamp, m->step, err);
    if (!st && m->model_id.n) {
        struct model_points *of =
            run_log_model(l, m->model_id, m->dataset_name, m->dataset_digest, err);

        st = of ? run_points_add(&of->points, m->key, m->value, m->timestamp, m->step, err)
                : err->code;
    }
    return st;
}

static struct run_log *new_log(struct call *c, struct err *err)
{
    struct run_log *l = arena_alloc(c->arena, sizeof(*l)); /* cleared by its init */

    if (!l) {
        err_nomem(err);
        return NULL;
    }
    run_log_init(l, c->core, c->arena);
    return run_points_begin(&l->points, c->arena, err) ? NULL : l;
}

static enum status log_metric_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_metric *in = c->in;
    struct run_log *l = new_log(c, err);
    struct mlflow_metric m = { .key = in->key,
                               .value = in->value,
                               .timestamp = in->timestamp,
                               .step = in->step,
                               .model_id = in->model_id,
                               .dataset_name = in->dataset_name,
                               .dataset_digest = in->dataset_digest };

    if (!l) {
        return err->code;
    }
    l->run_id = in->run_id;
    *op = &l->op;
    return take_metric(l, &m, 0, false, err);
}

static enum status log_param_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_param *in = c->in;
    struct run_log *l = new_log(c, err);

    if (!l) {
        return err->code;
    }
    l->run_id = in->run_id;
    l->params = ARENA_NEW(c->arena, struct key_value);
    if (!l->params) {
        return err_nomem(err);
    }
    l->params[0] = (struct key_value){ in->key, in->value.p ? in->value : S("") };
    l->params_n = 1;
    *op = &l->op;
    return name_check_param(in->key, "key", err);
}

static enum status set_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_set_tag *in = c->in;
    struct run_log *l = new_log(c, err);

    if (!l) {
        return err->code;
    }
    l->run_id = in->run_id;
    l->tags = ARENA_NEW(c->arena, struct key_value);
    if (!l->tags) {
        return err_nomem(err);
    }
    l->tags[0] = (struct key_value){ in->key, in->value.p ? in->value : S("") };
    l->tags_n = 1;
    *op = &l->op;
    return name_check_tag(in->key, "key", err);
}

static enum status delete_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_tag *in = c->in;
    struct run_tag_delete *t = ARENA_NEW(c->arena, struct run_tag_delete);

    if (!t) {
        return err_nomem(err);
    }
    run_tag_delete_init(t, c->core, c->arena);
    t->run_id = in->run_id;
    t->key = in->key;
    *op = &t->op;
    return OK;
}

/* ---- batches: points go from the decoder straight into the operation ------------------------------------------------------------ */

struct batch {
    struct run_log *log;
    size_t metrics_n;
    struct err
        first; /* a bad metric; reported only if the request decodes, in the order that clients expect */
};

static enum status batch_metric(void *ctx, const struct msg_field *f, void *element,
                                struct err *err)
{
    struct batch *b = ctx;
    enum status st = OK;

    (void)f;
    if (!b->first.code && b->metrics_n < BATCH_METRICS_MAX) {
        st = take_metric(b->log, element, b->metrics_n, true, &b->first);
    }
    b->metrics_n++;
    if (st == ST_NOMEM) {
        return err_nomem(err);
    }
    return OK;
}

static enum status batch_prepare(struct call *c, struct msg_ctx *ctx, struct err *err)
{
    struct batch *b = arena_alloc(c->arena, sizeof(*b));

    if (!b) {
        return err_nomem(err);
    }
    b->metrics_n = 0;
    err_clear(&b->first);
    b->log = new_log(c, err);
    if (!b->log) {
        return err->code;
    }
    c->user = b;
    ctx->stream = batch_metric;
    ctx->stream_ctx = b;
    return OK;
}

static enum status too_many(size_t n, size_t max, const char *what, struct err *err)
{
    if (n <= max) {
        return OK;
    }
    return err_field(
        err, ST_INVALID, what,
        "A batch logging request can contain at most %zu %s. Got %zu %s. Please split up %s across multiple "
        "requests and try again.",
        max, what, n, what, what);
}

static enum status check_unique_params(struct arena *a, const struct key_value *params, size_t n,
                                       struct err *err)
{
    struct buf list = BUF_INIT(ERR_MESSAGE_MAX / 2);
    enum status st = OK;

    for (size_t i = 1; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(params[i].key, params[k].key)) {
                buf_printf(&list, "%s'%.*s'", list.n ? ", " : "", STR_ARG(params[i].key));
                break;
            }
        }
    }
    (void)a;
    if (list.n || list.failed) {
        st = err_field(
            err, ST_INVALID, "params",
            "Duplicate parameter keys have been submitted: [%.*s]. Please ensure the request contains only one "
            "param value per param key.",
            STR_ARG(buf_str(&list)));
    }
    buf_release(&list);
    return st;
}

static enum status log_batch_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_batch *in = c->in;
    struct batch *b = c->user;
    struct run_log *l = b->log;
    char path[PATH_MAX_BYTES];
    enum status st = name_check_run_id(in->run_id, "run_id", err);

    l->run_id = in->run_id;
    l->batch = true;
    l->params = mlflow_params(c->arena, in->params, in->params_n);
    l->params_n = in->params_n;
    l->tags = mlflow_run_tags(c->arena, in->tags, in->tags_n);
    l->tags_n = in->tags_n;
    if (!l->params || !l->tags) {
        return err_nomem(err);
    }
    *op = &l->op;
    if (!st && b->first.code) {
        *err = b->first;
        st = err->code;
    }
    for (size_t i = 0; !st && i < l->params_n; i++) {
        snprintf(path, sizeof(path), "params[%zu].key", i);
        st = name_check_param(l->params[i].key, path, err);
    }
    st = st ? st : check_tags(l->tags, l->tags_n, "tags", err);
    st = st ? st : too_many(b->metrics_n, BATCH_METRICS_MAX, "metrics", err);
    st = st ? st : too_many(l->params_n, BATCH_PARAMS_MAX, "params", err);
    st = st ? st : too_many(l->tags_n, BATCH_TAGS_MAX, "tags", err);
    st = st ? st
            : too_many(b->metrics_n + l->params_n + l->tags_n, BATCH_TOTAL_MAX,
                       "metrics, params, and tags", err);
    return st ? st : check_unique_params(c->arena, l->params, l->params_n, err);
}

/* ---- inputs and outputs ------------------------------------------------------------------------------------------------------------ */

static enum status take_dataset(struct call *c, const struct mlflow_dataset_input *in,
                                struct dataset_input *out, struct err *err)
{
    const struct mlflow_dataset *d = in->dataset;

    if (!d) {
        return err_field(err, ST_INVALID, "dataset",
                         "Dataset input must have a dataset associated with it.");
    }
    *out = (struct dataset_input){ .name = d->name,
                                   .digest = d->digest,
                                   .source_type = d->source_type,
                                   .source = d->source,
                                   .schema = d->schema,
                                   .profile = d->profile,
                                   .tags_n = in->tags_n };
    out->tags = ARENA_ARRAY(c->arena, struct key_value, in->tags_n);
    if (!out->tags) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < in->tags_n; i++) {
        out->tags[i] = (struct key_value){ in->tags[i].key, in->tags[i].value };
    }
    return OK;
}

static enum status log_inputs_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_inputs *in = c->in;
    struct run_links *l = ARENA_NEW(c->arena, struct run_links);
    enum status st = name_check_run_id(in->run_id, "run_id", err);

    if (!l) {
        return err_nomem(err);
    }
    run_links_init(l, c->core, c->arena);
    l->run_id = in->run_id;
    l->datasets = ARENA_ARRAY(c->arena, struct dataset_input, in->datasets_n);
    l->datasets_n = in->datasets_n;
    l->model_inputs = ARENA_ARRAY(c->arena, struct str, in->models_n);
    l->model_inputs_n = in->models_n;
    if (!l->datasets || !l->model_inputs) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < in->datasets_n; i++) {
        st = take_dataset(c, &in->datasets[i], &l->datasets[i], err);
    }
    for (size_t i = 0; i < in->models_n; i++) {
        l->model_inputs[i] = in->models[i].model_id;
    }
    *op = &l->op;
    return st;
}

static enum status log_outputs_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_outputs *in = c->in;
    struct run_links *l = ARENA_NEW(c->arena, struct run_links);

    if (!l) {
        return err_nomem(err);
    }
    run_links_init(l, c->core, c->arena);
    l->run_id = in->run_id;
    l->model_outputs = ARENA_ARRAY(c->arena, struct model_output, in->models_n);
    l->model_outputs_n = in->models_n;
    if (!l->model_outputs) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < in->models_n; i++) {
        l->model_outputs[i] = (struct model_output){ in->models[i].model_id, in->models[i].step };
    }
    *op = &l->op;
    return OK;
}

/* ---- the old log-model call: appends to a tag -------------------------------------------------------------------------------------- */

#define LOG_MODEL_TAG "mlflow.log-model.history"

/* A key and the raw value behind it, as members of the object being written. */
static void put_member(struct json_writer *w, struct str raw_key, struct str value)
{
    json_w_raw(w, (struct str){ raw_key.p - 1, raw_key.n + 2 });
    buf_put_u8(w->b, ':');
    w->comma = false;
    if (value.p) {
        json_w_raw(w, value);
    }
}

/* Skips the value after a KEY and gives its raw text; p NULL if it is broken. */
static struct str skip_value(struct json_reader *r)
{
    const char *start = r->p;

    if (json_skip(r) == JSON_EV_ERROR) {
        return (struct str){ NULL, 0 };
    }
    return str_trim((struct str){ start, (size_t)(r->p - start) });
}

/* Copies the flavors, whose object has just begun, without the member `config` of each. */
static bool copy_flavors(struct json_reader *r, struct json_writer *w)
{
    enum json_event ev;

    json_w_object(w);
    while ((ev = json_next(r)) == JSON_EV_KEY) {
        struct str flavor = r->raw;
        const char *start = r->p;

        ev = json_next(r);
        if (ev != JSON_EV_OBJECT) {
            put_member(w, flavor, str_trim((struct str){ start, (size_t)(r->p - start) }));
            if (ev == JSON_EV_ARRAY) {
                return false; /* a flavor is an object */
            }
            continue;
        }
        put_member(w, flavor, (struct str){ NULL, 0 });
        json_w_object(w);
        while ((ev = json_next(r)) == JSON_EV_KEY) {
            struct str key = r->raw, value = skip_value(r);

            if (!value.p) {
                return false;
            }
            if (!str_eq_lit(key, "config")) {
                put_member(w, key, value);
            }
        }
        json_w_object_end(w);
    }
    json_w_object_end(w);
    return ev == JSON_EV_OBJECT_END;
}

enum { MODEL_HAS_PATH = 1, MODEL_HAS_FLAVORS = 2, MODEL_HAS_TIME = 4, MODEL_HAS_RUN = 8 };

/* Writes what the history keeps of a model: run_id, utc_time_created, artifact_path, model_uuid and flavors. False if the text
 * is not a JSON object. *seen tells which mandatory members it has. */
static bool copy_model(struct str json, struct buf *to, unsigned *seen)
{
    struct json_writer w = JSON_WRITER_INIT(to);
    struct json_reader r;
    enum json_event ev;
    bool good = false;

    *seen = 0;
    json_init(&r, json, JSON_BARE_NAN, 0);
    if (json_next(&r) != JSON_EV_OBJECT) {
        goto out;
    }
    json_w_object(&w);
    while ((ev = json_next(&r)) == JSON_EV_KEY) {
        struct str key = r.raw, value;
        unsigned bit = str_eq_lit(key, "artifact_path")      ? MODEL_HAS_PATH
                       : str_eq_lit(key, "utc_time_created") ? MODEL_HAS_TIME
                       : str_eq_lit(key, "run_id")           ? MODEL_HAS_RUN
                                                             : 0;

        if (str_eq_lit(key, "flavors")) {
            *seen |= MODEL_HAS_FLAVORS;
            put_member(&w, key, (struct str){ NULL, 0 });
            if (json_next(&r) != JSON_EV_OBJECT || !copy_flavors(&r, &w)) {
                goto out;
            }
            continue;
        }
        *seen |= bit;
        value = skip_value(&r);
        if (!value.p) {
            goto out;
        }
        if (bit || str_eq_lit(key, "model_uuid")) {
            put_member(&w, key, value);
        }
    }
    json_w_object_end(&w);
    good = ev == JSON_EV_OBJECT_END && json_next(&r) == JSON_EV_END;
out:
    json_release(&r);
    return good;
}

static enum status missing_members(unsigned seen, struct err *err)
{
    static const struct {
        unsigned bit;
        const char *name;
    } members[] = { { MODEL_HAS_PATH, "artifact_path" },
                    { MODEL_HAS_FLAVORS, "flavors" },
                    { MODEL_HAS_TIME, "utc_time_created" },
                    { MODEL_HAS_RUN, "run_id" } };
    char list[128] = "";

    for (size_t i = 0; i < ARRAY_N(members); i++) {
        size_t n = strlen(list);

        if (!(seen & members[i].bit)) {
            snprintf(list + n, sizeof(list) - n, "%s'%s'", n ? ", " : "", members[i].name);
        }
    }
    return list[0] ? err_field(err, ST_INVALID, "model_json",
                               "Model json is missing mandatory fields: {%s}", list)
                   : OK;
}

static enum status log_model_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_log_model *in = c->in;
    struct run_log *l = new_log(c, err);
    struct buf item = BUF_INIT(in->model_json.n + 64);
    unsigned seen;
    enum status st = OK;

    if (!l) {
        return err->code;
    }
    if (!copy_model(in->model_json, &item, &seen)) {
        st = err_field(err, ST_INVALID, "model_json",
                       "Malformed model info. \n %.*s \n is not a valid JSON.",
                       STR_ARG(in->model_json));
        goto out;
    }
    st = missing_members(seen, err);
    st = st ? st : buf_status(&item, "model_json", err);
    if (st) goto out;
    l->run_id = in->run_id;
    l->append_key = S(LOG_MODEL_TAG);
    l->append_item = arena_str(c->arena, buf_str(&item));
    *op = &l->op;
    if (!l->append_item.p) {
        st = err_nomem(err);
    }
out:
    buf_release(&item);
    return st;
}

/* ---- search ----------------------------------------------------------------------------------------------------------------------------- */

/* The answer is written as text: most runs of a page are copies of what an earlier answer held (core/fragments.h). */
static enum status search(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_search_runs *in = c->in;
    struct run_search q = { .filter = in->filter,
                            .order_by = in->order_by,
                            .order_by_n = in->order_by_n,
                            .view_type = (enum view_type)in->run_view_type,
                            .page = { 0, in->page_token } };
    struct run_found found;
    int64_t *ids;
    enum status st;

    if (in->max_results < 0) {
        return err_field(err, ST_INVALID, "max_results",
                         "Invalid value %" PRId32
                         " for parameter 'max_results' supplied. It must be a positive integer",
                         in->max_results);
    }
    q.page.max = (size_t)in->max_results;
    st = mlflow_experiment_ids(c->arena, in->experiment_ids, in->experiment_ids_n, &ids, err);
    q.experiments = ids;
    q.n = in->experiment_ids_n;
    st = st ? st : run_find(v, &q, &found, err);
    if (st) {
        return st;
    }
    c->raw_type = "application/json";
    buf_put_lit(&c->raw, "{");
    if (found.n) {
        buf_put_lit(&c->raw, "\"runs\":[");
        st = mlflow_append_runs(v, found.uids, found.n, &c->raw, err);
        buf_put_lit(&c->raw, "]");
    }
    if (found.next_token.n) {
        buf_put_str(&c->raw, found.n ? S(",") : S(""));
        buf_put_lit(&c->raw, "\"next_page_token\":");
        json_put_str(&c->raw, found.next_token, false);
    }
    buf_put_lit(&c->raw, "}");
    return st ? st : buf_status(&c->raw, "list of runs", err);
}

#define PATH "/api/2.0/mlflow/runs/"

const struct route mlflow_run_routes[] = {
    ROUTE(HTTP_POST, PATH "create", &mlflow_create_run_desc, &mlflow_get_run_response_desc,
          RESOURCE_RUN, ACTION_RUN_CREATE,
          ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_WRITE, .start = create_start,
                   .finish = create_finish, .read = create_read, .remember = create_remember,
                   .recall = create_recall)),
    ROUTE(HTTP_POST, PATH "update", &mlflow_update_run_desc, &mlflow_update_run_response_desc,
          RESOURCE_RUN, ACTION_RUN_WRITE, WRITE_READ(update_start, update_read)),
    ROUTE(HTTP_POST, PATH "delete", &mlflow_delete_run_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_DELETE, WRITE(delete_start)),
    ROUTE(HTTP_POST, PATH "restore", &mlflow_restore_run_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_DELETE, WRITE(restore_start)),
    ROUTE(HTTP_POST, PATH "search", &mlflow_search_runs_desc, &mlflow_search_runs_response_desc,
          RESOURCE_RUN, ACTION_RUN_READ, READ(search)),
    ROUTE(HTTP_GET, PATH "get", &mlflow_get_run_desc, &mlflow_get_run_response_desc, RESOURCE_RUN,
          ACTION_RUN_READ, READ(get)),
    ROUTE(HTTP_POST, PATH "log-metric", &mlflow_log_metric_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(log_metric_start)),
    ROUTE(HTTP_POST, PATH "log-parameter", &mlflow_log_param_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(log_param_start)),
    ROUTE(HTTP_POST, PATH "set-tag", &mlflow_set_tag_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(set_tag_start)),
    ROUTE(HTTP_POST, PATH "delete-tag", &mlflow_delete_tag_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(delete_tag_start)),
    ROUTE(HTTP_POST, PATH "log-batch", &mlflow_log_batch_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE,
          ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_WRITE, .prepare = batch_prepare,
                   .start = log_batch_start)),
    ROUTE(HTTP_POST, PATH "log-model", &mlflow_log_model_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(log_model_start)),
    ROUTE(HTTP_POST, PATH "log-inputs", &mlflow_log_inputs_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(log_inputs_start)),
    ROUTE(HTTP_POST, PATH "outputs", &mlflow_log_outputs_desc, &mlflow_empty_desc, RESOURCE_RUN,
          ACTION_RUN_WRITE, WRITE(log_outputs_start)),
};
const size_t mlflow_run_routes_n = ARRAY_N(mlflow_run_routes);
