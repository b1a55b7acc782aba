/* api/mlflow/experiments.c - experiment routes. */
#include "api/mlflow/mlflow_int.h"
#include "core/names.h"

enum { SEARCH_MAX = 50000, SUMMARIES_MAX = 1000, SUMMARY_EXPERIMENTS_MAX = 20 };

/* ---- writes --------------------------------------------------------------------------------------------------------------- */

static enum status create_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_create_experiment *in = c->in;
    struct experiment_create *x = ARENA_NEW(c->arena, struct experiment_create);
    enum status st = name_check_experiment(in->name, err);

    if (!x) {
        return err_nomem(err);
    }
    experiment_create_init(x, c->core, c->arena);
    x->name = in->name;
    x->tags = ARENA_ARRAY(c->arena, struct key_value, in->tags_n);
    x->tags_n = in->tags_n;
    if (!x->tags) {
        return err_nomem(err);
    }
    if (!st && in->artifact_location.n) {
        x->artifact_location = in->artifact_location;
        st = name_check_artifact_location(in->artifact_location, err);
    }
    for (size_t i = 0; !st && i < in->tags_n; i++) {
        x->tags[i] =
            (struct key_value){ in->tags[i].key, in->tags[i].value.p ? in->tags[i].value : S("") };
        st = name_check_experiment_tag(x->tags[i].key, x->tags[i].value, err);
    }
    *op = &x->op;
    return st;
}

static enum status create_finish(struct call *c, struct err *err)
{
    struct mlflow_create_experiment_response *out =
        ARENA_NEW(c->arena, struct mlflow_create_experiment_response);
    const struct experiment_create *x = WRITE_OP_OF(c->op, struct experiment_create);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, MLFLOW_CREATE_EXPERIMENT_RESPONSE_HAS_EXPERIMENT_ID, experiment_id,
            mlflow_id_text(c->arena, x->id));
    c->out = out;
    return out->experiment_id.p ? OK : err_nomem(err);
}

static enum status update_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_update_experiment *in = c->in;
    struct experiment_rename *x = ARENA_NEW(c->arena, struct experiment_rename);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    experiment_rename_init(x, c->core, c->arena);
    x->name = in->new_name;
    *op = &x->op;
    st = name_check_experiment(in->new_name, err);
    return st ? st : experiment_parse_id(in->experiment_id, &x->id, err);
}

static enum status lifecycle_start(struct call *c, struct str id, enum lifecycle to,
                                   struct write_op **op, struct err *err)
{
    struct experiment_lifecycle *x = ARENA_NEW(c->arena, struct experiment_lifecycle);

    if (!x) {
        return err_nomem(err);
    }
    experiment_lifecycle_init(x, c->core, c->arena);
    x->to = to;
    *op = &x->op;
    return experiment_parse_id(id, &x->id, err);
}

static enum status delete_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_experiment *in = c->in;

    return lifecycle_start(c, in->experiment_id, LIFECYCLE_DELETED, op, err);
}

static enum status restore_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_restore_experiment *in = c->in;

    return lifecycle_start(c, in->experiment_id, LIFECYCLE_ACTIVE, op, err);
}

static enum status set_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_set_experiment_tag *in = c->in;
    struct experiment_tag *x = ARENA_NEW(c->arena, struct experiment_tag);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    experiment_tag_init(x, c->core, c->arena);
    x->key = in->key;
    x->value = in->value.p ? in->value : S("");
    *op = &x->op;
    st = name_check_experiment_tag(x->key, x->value, err);
    return st ? st : experiment_parse_id(in->experiment_id, &x->id, err);
}

static enum status delete_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_experiment_tag *in = c->in;
    struct experiment_tag *x = ARENA_NEW(c->arena, struct experiment_tag);

    if (!x) {
        return err_nomem(err);
    }
    experiment_tag_init(x, c->core, c->arena);
    x->key = in->key;
    x->remove = true;
    *op = &x->op;
    return experiment_parse_id(in->experiment_id, &x->id, err);
}

/* ---- reads ------------------------------------------------------------------------------------------------------------------ */

static enum status answer_one(struct call *c, const struct experiment *x, struct err *err)
{
    struct mlflow_get_experiment_response *out =
        ARENA_NEW(c->arena, struct mlflow_get_experiment_response);
    struct mlflow_experiment *m = ARENA_NEW(c->arena, struct mlflow_experiment);

    if (!out || !m) {
        return err_nomem(err);
    }
    MSG_SET(out, MLFLOW_GET_EXPERIMENT_RESPONSE_HAS_EXPERIMENT, experiment, m);
    c->out = out;
    return mlflow_put_experiment(c->arena, x, m, err);
}

static enum status get(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_experiment *in = c->in;
    struct experiment x;
    int64_t id;
    enum status st = experiment_parse_id(in->experiment_id, &id, err);

    st = st ? st : experiment_get(v, id, &x, err);
    return st ? st : answer_one(c, &x, err);
}

static enum status get_by_name(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_experiment_by_name *in = c->in;
    struct experiment x;
    enum status st = experiment_get_by_name(v, in->experiment_name, &x, err);

    return st ? st : answer_one(c, &x, err);
}

static enum status search(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_search_experiments *in = c->in;
    struct mlflow_search_experiments_response *out =
        ARENA_NEW(c->arena, struct mlflow_search_experiments_response);
    struct experiment_search q = { .filter = in->filter,
                                   .order_by = in->order_by,
                                   .order_by_n = in->order_by_n,
                                   .view_type = (enum view_type)in->view_type,
                                   .page = { 0, in->page_token } };
    struct experiment *found;
    struct str token;
    size_t n;
    enum status st;

    if (in->max_results < 1 || in->max_results > SEARCH_MAX) {
        return err_field(err, ST_INVALID, "max_results",
                         "Invalid value %lld for parameter 'max_results' supplied. It must be %s",
                         (long long)in->max_results,
                         in->max_results < 1 ? "a positive integer" : "at most 50000");
    }
    q.page.max = (size_t)in->max_results;
    if (!out) {
        return err_nomem(err);
    }
    st = experiment_search(v, &q, &found, &n, &token, err);
    if (st) {
        return st;
    }
    out->experiments = ARENA_ARRAY(c->arena, struct mlflow_experiment, n);
    if (!out->experiments) {
        return err_nomem(err);
    }
    out->experiments_n = n;
    for (size_t i = 0; !st && i < n; i++) {
        st = mlflow_put_experiment(c->arena, &found[i], &out->experiments[i], err);
    }
    if (token.n) {
        MSG_SET(out, MLFLOW_SEARCH_EXPERIMENTS_RESPONSE_HAS_NEXT_PAGE_TOKEN, next_page_token,
                token);
    }
    c->out = out;
    return st;
}

static enum status search_datasets(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_search_datasets *in = c->in;
    struct mlflow_search_datasets_response *out =
        ARENA_NEW(c->arena, struct mlflow_search_datasets_response);
    struct dataset_summary *found;
    int64_t *ids;
    size_t n;
    enum status st;

    if (!in->experiment_ids_n) {
        return err_field(err, ST_INVALID, "experiment_ids",
                         "SearchDatasets request must specify at least one experiment_id.");
    }
    if (in->experiment_ids_n > SUMMARY_EXPERIMENTS_MAX) {
        return err_field(
            err, ST_INVALID, "experiment_ids",
            "SearchDatasets request cannot specify more than %d experiment_ids. Received %zu experiment_ids.",
            SUMMARY_EXPERIMENTS_MAX, in->experiment_ids_n);
    }
    if (!out) {
        return err_nomem(err);
    }
    st = mlflow_experiment_ids(c->arena, in->experiment_ids, in->experiment_ids_n, &ids, err);
    st = st ? st : dataset_summaries(v, ids, in->experiment_ids_n, SUMMARIES_MAX, &found, &n, err);
    if (st) {
        return st;
    }
    out->dataset_summaries = ARENA_ARRAY(c->arena, struct mlflow_dataset_summary, n);
    if (!out->dataset_summaries) {
        return err_nomem(err);
    }
    out->dataset_summaries_n = n;
    for (size_t i = 0; i < n; i++) {
        struct mlflow_dataset_summary *to = &out->dataset_summaries[i];

        MSG_SET(to, MLFLOW_DATASET_SUMMARY_HAS_EXPERIMENT_ID, experiment_id,
                mlflow_id_text(c->arena, found[i].experiment));
        MSG_SET(to, MLFLOW_DATASET_SUMMARY_HAS_NAME, name, found[i].name);
        MSG_SET(to, MLFLOW_DATASET_SUMMARY_HAS_DIGEST, digest, found[i].digest);
        if (found[i].context.p) {
            MSG_SET(to, MLFLOW_DATASET_SUMMARY_HAS_CONTEXT, context, found[i].context);
        }
    }
    c->out = out;
    return OK;
}

#define PATH "/api/2.0/mlflow/experiments/"

const struct route mlflow_experiment_routes[] = {
    ROUTE(HTTP_POST, PATH "create", &mlflow_create_experiment_desc,
          &mlflow_create_experiment_response_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_CREATE,
          WRITE_THEN(create_start, create_finish)),
    ROUTE(HTTP_POST, PATH "update", &mlflow_update_experiment_desc, &mlflow_empty_desc,
          RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_UPDATE, WRITE(update_start)),
    ROUTE(HTTP_POST, PATH "delete", &mlflow_delete_experiment_desc, &mlflow_empty_desc,
          RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_DELETE, WRITE(delete_start)),
    ROUTE(HTTP_POST, PATH "restore", &mlflow_restore_experiment_desc, &mlflow_empty_desc,
          RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_DELETE, WRITE(restore_start)),
    ROUTE(HTTP_POST, PATH "set-experiment-tag", &mlflow_set_experiment_tag_desc, &mlflow_empty_desc,
          RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_UPDATE, WRITE(set_tag_start)),
    ROUTE(HTTP_POST, PATH "delete-experiment-tag", &mlflow_delete_experiment_tag_desc,
          &mlflow_empty_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_UPDATE,
          WRITE(delete_tag_start)),
    ROUTE(HTTP_GET, PATH "get", &mlflow_get_experiment_desc, &mlflow_get_experiment_response_desc,
          RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ, READ(get)),
    ROUTE(HTTP_GET, PATH "get-by-name", &mlflow_get_experiment_by_name_desc,
          &mlflow_get_experiment_response_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ,
          READ(get_by_name)),
    ROUTE(HTTP_POST, PATH "search", &mlflow_search_experiments_desc,
          &mlflow_search_experiments_response_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ,
          READ(search)),
    ROUTE(HTTP_GET, PATH "search", &mlflow_search_experiments_desc,
          &mlflow_search_experiments_response_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ,
          READ(search)),
    ROUTE(HTTP_POST, PATH "search-datasets", &mlflow_search_datasets_desc,
          &mlflow_search_datasets_response_desc, RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ,
          READ(search_datasets)),
};
const size_t mlflow_experiment_routes_n = ARRAY_N(mlflow_experiment_routes);
