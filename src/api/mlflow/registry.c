/* api/mlflow/registry.c - registered-model and model-version routes. */
#include "core/registry.h"
#include "api/mlflow/mlflow_int.h"
#include "core/names.h"
#include "gen/mlflow/registry.h"
#include <inttypes.h>

enum { MODELS_MAX = 1000, VERSIONS_MAX = 200000 };

/* ---- core values as messages -------------------------------------------------------------------------------------------- */

static enum status put_version(struct arena *a, const struct model_version *v,
                               struct mlflow_model_version *out, struct err *err)
{
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_NAME, name, v->name);
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_VERSION, version, mlflow_id_text(a, v->version));
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_CREATION_TIMESTAMP, creation_timestamp, v->create_ms);
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_LAST_UPDATED_TIMESTAMP, last_updated_timestamp,
            v->update_ms);
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_CURRENT_STAGE, current_stage,
            str_cstr(stage_name(v->stage)));
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_SOURCE, source, v->source);
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_RUN_ID, run_id, v->run_id);
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_RUN_LINK, run_link, v->run_link);
    MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_STATUS, status, MLFLOW_MODEL_VERSION_STATUS_READY);
    if (v->description.p) {
        MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_DESCRIPTION, description, v->description);
    }
    if (v->model_id.p) {
        MSG_SET(out, MLFLOW_MODEL_VERSION_HAS_MODEL_ID, model_id, v->model_id);
    }
    out->aliases = v->aliases;
    out->aliases_n = v->aliases_n;
    out->tags_n = v->tags_n;
    out->tags = ARENA_ARRAY(a, struct mlflow_model_version_tag, v->tags_n);
    for (size_t i = 0; out->tags && i < v->tags_n; i++) {
        MSG_SET(&out->tags[i], MLFLOW_MODEL_VERSION_TAG_HAS_KEY, key, v->tags[i].key);
        MSG_SET(&out->tags[i], MLFLOW_MODEL_VERSION_TAG_HAS_VALUE, value, v->tags[i].value);
    }
    return out->tags && out->version.p ? OK : err_nomem(err);
}

static enum status put_model(struct arena *a, const struct registered_model *m,
                             struct mlflow_registered_model *out, struct err *err)
{
    enum status st = OK;

    MSG_SET(out, MLFLOW_REGISTERED_MODEL_HAS_NAME, name, m->name);
    MSG_SET(out, MLFLOW_REGISTERED_MODEL_HAS_CREATION_TIMESTAMP, creation_timestamp, m->create_ms);
    MSG_SET(out, MLFLOW_REGISTERED_MODEL_HAS_LAST_UPDATED_TIMESTAMP, last_updated_timestamp,
            m->update_ms);
    if (m->description.n) {
        MSG_SET(out, MLFLOW_REGISTERED_MODEL_HAS_DESCRIPTION, description, m->description);
    }
    out->tags_n = m->tags_n;
    out->tags = ARENA_ARRAY(a, struct mlflow_registered_model_tag, m->tags_n);
    out->aliases_n = m->aliases_n;
    out->aliases = ARENA_ARRAY(a, struct mlflow_registered_model_alias, m->aliases_n);
    out->latest_versions_n = m->latest_n;
    out->latest_versions = ARENA_ARRAY(a, struct mlflow_model_version, m->latest_n);
    if (!out->tags || !out->aliases || !out->latest_versions) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < m->tags_n; i++) {
        MSG_SET(&out->tags[i], MLFLOW_REGISTERED_MODEL_TAG_HAS_KEY, key, m->tags[i].key);
        MSG_SET(&out->tags[i], MLFLOW_REGISTERED_MODEL_TAG_HAS_VALUE, value, m->tags[i].value);
    }
    for (size_t i = 0; i < m->aliases_n; i++) {
        MSG_SET(&out->aliases[i], MLFLOW_REGISTERED_MODEL_ALIAS_HAS_ALIAS, alias,
                m->aliases[i].alias);
        MSG_SET(&out->aliases[i], MLFLOW_REGISTERED_MODEL_ALIAS_HAS_VERSION, version,
                mlflow_id_text(a, m->aliases[i].version));
    }
    for (size_t i = 0; !st && i < m->latest_n; i++) {
        st = put_version(a, &m->latest[i], &out->latest_versions[i], err);
    }
    return st;
}

static enum status answer_model(struct call *c, const struct registered_model *m, struct err *err)
{
    struct mlflow_registered_model_response *out =
        ARENA_NEW(c->arena, struct mlflow_registered_model_response);
    struct mlflow_registered_model *to = ARENA_NEW(c->arena, struct mlflow_registered_model);

    if (!out || !to) {
        return err_nomem(err);
    }
    MSG_SET(out, MLFLOW_REGISTERED_MODEL_RESPONSE_HAS_REGISTERED_MODEL, registered_model, to);
    c->out = out;
    return put_model(c->arena, m, to, err);
}

static enum status answer_version(struct call *c, const struct model_version *v, struct err *err)
{
    struct mlflow_model_version_response *out =
        ARENA_NEW(c->arena, struct mlflow_model_version_response);
    struct mlflow_model_version *to = ARENA_NEW(c->arena, struct mlflow_model_version);

    if (!out || !to) {
        return err_nomem(err);
    }
    MSG_SET(out, MLFLOW_MODEL_VERSION_RESPONSE_HAS_MODEL_VERSION, model_version, to);
    c->out = out;
    return put_version(c->arena, v, to, err);
}

static enum status answer_versions(struct call *c, const struct model_version *found, size_t n,
                                   struct str token, struct err *err)
{
    struct mlflow_model_versions_response *out =
        ARENA_NEW(c->arena, struct mlflow_model_versions_response);
    enum status st = OK;

    if (!out || !(out->model_versions = ARENA_ARRAY(c->arena, struct mlflow_model_version, n))) {
        return err_nomem(err);
    }
    out->model_versions_n = n;
    for (size_t i = 0; !st && i < n; i++) {
        st = put_version(c->arena, &found[i], &out->model_versions[i], err);
    }
    if (token.n) {
        MSG_SET(out, MLFLOW_MODEL_VERSIONS_RESPONSE_HAS_NEXT_PAGE_TOKEN, next_page_token, token);
    }
    c->out = out;
    return st;
}

static enum status check_max(int64_t given, int64_t max, struct err *err)
{
    if (given > max) {
        return err_field(
            err, ST_INVALID, "max_results",
            "Invalid value for request parameter max_results. It must be at most %" PRId64
            ", but got value %" PRId64,
            max, given);
    }
    if (given < 1) {
        return err_field(
            err, ST_INVALID, "max_results",
            "Invalid value for max_results. It must be a positive integer, but got %" PRId64,
            given);
    }
    return OK;
}

static struct str or_empty(struct str s)
{
    return s.p ? s : S("");
}

/* ---- registered models --------------------------------------------------------------------------------------------------- */

static enum status create_model_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_create_registered_model *in = c->in;
    struct registered_model_create *x = ARENA_NEW(c->arena, struct registered_model_create);
    enum status st = name_check_registered_model(in->name, "name", err);

    if (!x) {
        return err_nomem(err);
    }
    registered_model_create_init(x, c->core, c->arena);
    x->name = in->name;
    x->description = or_empty(in->description);
    x->who = c->principal->name;
    x->tags = ARENA_ARRAY(c->arena, struct key_value, in->tags_n);
    x->tags_n = in->tags_n;
    if (!x->tags) {
        return err_nomem(err);
    }
    st = st ? st : name_check_length(x->description, "description", REGISTRY_TEXT_MAX, err);
    for (size_t i = 0; !st && i < in->tags_n; i++) {
        x->tags[i] = (struct key_value){ in->tags[i].key, or_empty(in->tags[i].value) };
        st = name_check_registry_tag(x->tags[i].key, x->tags[i].value, err);
    }
    *op = &x->op;
    return st;
}

static enum status create_model_finish(struct call *c, struct err *err)
{
    return answer_model(c, &WRITE_OP_OF(c->op, struct registered_model_create)->model, err);
}

static enum status get_model(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_registered_model *in = c->in;
    struct registered_model m;
    enum status st = name_check_registered_model(in->name, "name", err);

    st = st ? st : registered_model_get(v, in->name, &m, err);
    return st ? st : answer_model(c, &m, err);
}

static enum status search_models(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_search_registered_models *in = c->in;
    struct mlflow_search_registered_models_response *out =
        ARENA_NEW(c->arena, struct mlflow_search_registered_models_response);
    struct registry_search q = { .filter = in->filter,
                                 .order_by = in->order_by,
                                 .order_by_n = in->order_by_n,
                                 .page = { (size_t)in->max_results, in->page_token } };
    struct registered_model *found;
    struct str token;
    size_t n;
    enum status st = out ? check_max(in->max_results, MODELS_MAX, err) : err_nomem(err);

    st = st ? st : registered_model_search(v, &q, &found, &n, &token, err);
    if (st) {
        return st;
    }
    out->registered_models = ARENA_ARRAY(c->arena, struct mlflow_registered_model, n);
    if (!out->registered_models) {
        return err_nomem(err);
    }
    out->registered_models_n = n;
    for (size_t i = 0; !st && i < n; i++) {
        st = put_model(c->arena, &found[i], &out->registered_models[i], err);
    }
    if (token.n) {
        MSG_SET(out, MLFLOW_SEARCH_REGISTERED_MODELS_RESPONSE_HAS_NEXT_PAGE_TOKEN, next_page_token,
                token);
    }
    c->out = out;
    return st;
}

static enum status latest_versions(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_latest_versions *in = c->in;
    unsigned stages = in->stages_n ? 0 : (1u << STAGE_DELETED) - 1;
    struct model_version *found;
    enum model_stage stage;
    size_t n;
    enum status st = name_check_registered_model(in->name, "name", err);

    for (size_t i = 0; !st && i < in->stages_n; i++) {
        st = stage_parse(in->stages[i], &stage, err);
        stages |= st ? 0 : 1u << stage;
    }
    st = st ? st : model_versions_latest(v, in->name, stages, &found, &n, err);
    return st ? st : answer_versions(c, found, n, (struct str){ NULL, 0 }, err);
}

/* An operation that changes the model or version of the request; the name is checked. */
static struct registry_change *new_change(struct call *c, enum registry_change_kind what,
                                          struct str name, struct write_op **op, struct err *err)
{
    struct registry_change *x = ARENA_NEW(c->arena, struct registry_change);

    if (!x) {
        err_nomem(err);
        return NULL;
    }
    if (name_check_registered_model(name, "name", err)) {
        return NULL;
    }
    registry_change_init(x, c->core, c->arena);
    x->what = what;
    x->name = name;
    x->who = c->principal->name;
    *op = &x->op;
    return x;
}

static enum status model_finish(struct call *c, struct err *err)
{
    return answer_model(c, &WRITE_OP_OF(c->op, struct registry_change)->model, err);
}

static enum status version_finish(struct call *c, struct err *err)
{
    return answer_version(c, &WRITE_OP_OF(c->op, struct registry_change)->after, err);
}

static enum status update_model_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_update_registered_model *in = c->in;
    struct registry_change *x = new_change(c, MODEL_DESCRIBE, in->name, op, err);

    if (!x) {
        return err->code;
    }
    x->value = or_empty(in->description);
    return name_check_length(x->value, "description", REGISTRY_TEXT_MAX, err);
}

static enum status rename_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_rename_registered_model *in = c->in;
    struct registry_change *x = new_change(c, MODEL_RENAME, in->name, op, err);

    if (!x) {
        return err->code;
    }
    x->value = in->new_name;
    return name_check_registered_model(in->new_name, "new_name", err);
}

static enum status delete_model_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_registered_model *in = c->in;

    return new_change(c, MODEL_DROP, in->name, op, err) ? OK : err->code;
}

static enum status set_model_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_set_registered_model_tag *in = c->in;
    struct registry_change *x = new_change(c, MODEL_TAG, in->name, op, err);

    if (!x) {
        return err->code;
    }
    x->key = in->key;
    x->value = or_empty(in->value);
    return name_check_registry_tag(x->key, x->value, err);
}

static enum status delete_model_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_registered_model_tag *in = c->in;
    struct registry_change *x = new_change(c, MODEL_UNTAG, in->name, op, err);

    if (!x) {
        return err->code;
    }
    x->key = in->key;
    return name_check_tag(in->key, "key", err);
}

static enum status set_alias_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_set_registered_model_alias *in = c->in;
    struct registry_change *x = new_change(c, MODEL_ALIAS, in->name, op, err);
    enum status st;

    if (!x) {
        return err->code;
    }
    x->key = in->alias;
    st = name_check_model_alias(in->alias, true, err);
    return st ? st : model_version_parse(in->version, &x->version, err);
}

static enum status delete_alias_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_registered_model_alias *in = c->in;
    struct registry_change *x = new_change(c, MODEL_UNALIAS, in->name, op, err);

    if (!x) {
        return err->code;
    }
    x->key = in->alias;
    return name_check_model_alias(in->alias, false, err);
}

static enum status get_by_alias(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_model_version_by_alias *in = c->in;
    struct model_version mv;
    enum status st = name_check_registered_model(in->name, "name", err);

    st = st ? st : name_check_model_alias(in->alias, false, err);
    st = st ? st : model_version_by_alias(v, in->name, in->alias, &mv, err);
    return st ? st : answer_version(c, &mv, err);
}

/* ---- model versions --------------------------------------------------------------------------------------------------------- */

static enum status create_version_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_create_model_version *in = c->in;
    struct model_version_create *x = ARENA_NEW(c->arena, struct model_version_create);
    enum status st = name_check_registered_model(in->name, "name", err);

    if (!x) {
        return err_nomem(err);
    }
    model_version_create_init(x, c->core, c->arena);
    x->name = in->name;
    x->source = in->source;
    x->description = or_empty(in->description);
    x->run_id = in->run_id;
    x->run_link = or_empty(in->run_link);
    x->model_id = in->model_id;
    x->who = c->principal->name;
    x->tags = ARENA_ARRAY(c->arena, struct key_value, in->tags_n);
    x->tags_n = in->tags_n;
    if (!x->tags) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < in->tags_n; i++) {
        x->tags[i] = (struct key_value){ in->tags[i].key, or_empty(in->tags[i].value) };
    }
    *op = &x->op;
    return st ? st : model_version_check(x, err);
}

static enum status create_version_finish(struct call *c, struct err *err)
{
    return answer_version(c, &WRITE_OP_OF(c->op, struct model_version_create)->version, err);
}

static struct registry_change *version_change(struct call *c, enum registry_change_kind what,
                                              struct str name, struct str version,
                                              struct write_op **op, struct err *err)
{
    struct registry_change *x = new_change(c, what, name, op, err);

    return x && model_version_parse(version, &x->version, err) == OK ? x : NULL;
}

static enum status update_version_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_update_model_version *in = c->in;
    struct registry_change *x = version_change(c, VERSION_DESCRIBE, in->name, in->version, op, err);

    if (!x) {
        return err->code;
    }
    x->value = in->description;
    return name_check_length(or_empty(x->value), "description", REGISTRY_TEXT_MAX, err);
}

static enum status stage_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_transition_model_version_stage *in = c->in;
    struct registry_change *x = version_change(c, VERSION_STAGE, in->name, in->version, op, err);

    if (!x) {
        return err->code;
    }
    x->archive = in->archive_existing_versions;
    return stage_parse(in->stage, &x->stage, err);
}

static enum status delete_version_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_model_version *in = c->in;

    return version_change(c, VERSION_DROP, in->name, in->version, op, err) ? OK : err->code;
}

static enum status set_version_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_set_model_version_tag *in = c->in;
    struct registry_change *x = version_change(c, VERSION_TAG, in->name, in->version, op, err);

    if (!x) {
        return err->code;
    }
    x->key = in->key;
    x->value = or_empty(in->value);
    return name_check_registry_tag(x->key, x->value, err);
}

static enum status delete_version_tag_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct mlflow_delete_model_version_tag *in = c->in;
    struct registry_change *x = version_change(c, VERSION_UNTAG, in->name, in->version, op, err);

    if (!x) {
        return err->code;
    }
    x->key = in->key;
    return name_check_tag(in->key, "key", err);
}

static enum status find_version(struct view *v, struct str name, struct str version,
                                struct model_version *mv, struct err *err)
{
    int64_t number;
    enum status st = name_check_registered_model(name, "name", err);

    st = st ? st : model_version_parse(version, &number, err);
    return st ? st : model_version_get(v, name, number, mv, err);
}

static enum status get_version(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_model_version *in = c->in;
    struct model_version mv;
    enum status st = find_version(v, in->name, in->version, &mv, err);

    return st ? st : answer_version(c, &mv, err);
}

static enum status download_uri(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_model_version_download_uri *in = c->in;
    struct mlflow_get_model_version_download_uri_response *out =
        ARENA_NEW(c->arena, struct mlflow_get_model_version_download_uri_response);
    struct model_version mv;
    enum status st =
        out ? find_version(v, in->name, or_empty(in->version), &mv, err) : err_nomem(err);

    if (!st) {
        MSG_SET(out, MLFLOW_GET_MODEL_VERSION_DOWNLOAD_URI_RESPONSE_HAS_ARTIFACT_URI, artifact_uri,
                mv.storage);
    }
    c->out = out;
    return st;
}

static enum status search_versions(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_search_model_versions *in = c->in;
    struct registry_search q = { .filter = in->filter,
                                 .order_by = in->order_by,
                                 .order_by_n = in->order_by_n,
                                 .page = { (size_t)in->max_results, in->page_token } };
    struct model_version *found;
    struct str token;
    size_t n;
    enum status st = check_max(in->max_results, VERSIONS_MAX, err);

    st = st ? st : model_version_search(v, &q, &found, &n, &token, err);
    return st ? st : answer_versions(c, found, n, token, err);
}

#define MODELS   "/api/2.0/mlflow/registered-models/"
#define VERSIONS "/api/2.0/mlflow/model-versions/"

const struct route mlflow_registry_routes[] = {
    ROUTE(HTTP_POST, MODELS "create", &mlflow_create_registered_model_desc,
          &mlflow_registered_model_response_desc, RESOURCE_MODEL, ACTION_MODEL_CREATE,
          WRITE_THEN(create_model_start, create_model_finish)),
    ROUTE(HTTP_POST, MODELS "rename", &mlflow_rename_registered_model_desc,
          &mlflow_registered_model_response_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE,
          WRITE_THEN(rename_start, model_finish)),
    ROUTE(HTTP_PATCH, MODELS "update", &mlflow_update_registered_model_desc,
          &mlflow_registered_model_response_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE,
          WRITE_THEN(update_model_start, model_finish)),
    ROUTE(HTTP_DELETE, MODELS "delete", &mlflow_delete_registered_model_desc, &mlflow_empty_desc,
          RESOURCE_MODEL, ACTION_MODEL_DELETE, WRITE(delete_model_start)),
    ROUTE(HTTP_GET, MODELS "get", &mlflow_get_registered_model_desc,
          &mlflow_registered_model_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(get_model)),
    ROUTE(HTTP_GET, MODELS "search", &mlflow_search_registered_models_desc,
          &mlflow_search_registered_models_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(search_models)),
    ROUTE(HTTP_POST, MODELS "get-latest-versions", &mlflow_get_latest_versions_desc,
          &mlflow_model_versions_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(latest_versions)),
    ROUTE(HTTP_GET, MODELS "get-latest-versions", &mlflow_get_latest_versions_desc,
          &mlflow_model_versions_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(latest_versions)),
    ROUTE(HTTP_POST, MODELS "set-tag", &mlflow_set_registered_model_tag_desc, &mlflow_empty_desc,
          RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(set_model_tag_start)),
    ROUTE(HTTP_DELETE, MODELS "delete-tag", &mlflow_delete_registered_model_tag_desc,
          &mlflow_empty_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(delete_model_tag_start)),
    ROUTE(HTTP_POST, MODELS "alias", &mlflow_set_registered_model_alias_desc, &mlflow_empty_desc,
          RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(set_alias_start)),
    ROUTE(HTTP_DELETE, MODELS "alias", &mlflow_delete_registered_model_alias_desc,
          &mlflow_empty_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(delete_alias_start)),
    ROUTE(HTTP_GET, MODELS "alias", &mlflow_get_model_version_by_alias_desc,
          &mlflow_model_version_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(get_by_alias)),
    ROUTE(HTTP_POST, VERSIONS "create", &mlflow_create_model_version_desc,
          &mlflow_model_version_response_desc, RESOURCE_MODEL, ACTION_MODEL_CREATE,
          WRITE_THEN(create_version_start, create_version_finish)),
    ROUTE(HTTP_PATCH, VERSIONS "update", &mlflow_update_model_version_desc,
          &mlflow_model_version_response_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE,
          WRITE_THEN(update_version_start, version_finish)),
    ROUTE(HTTP_POST, VERSIONS "transition-stage", &mlflow_transition_model_version_stage_desc,
          &mlflow_model_version_response_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE,
          WRITE_THEN(stage_start, version_finish)),
    ROUTE(HTTP_DELETE, VERSIONS "delete", &mlflow_delete_model_version_desc, &mlflow_empty_desc,
          RESOURCE_MODEL, ACTION_MODEL_DELETE, WRITE(delete_version_start)),
    ROUTE(HTTP_GET, VERSIONS "get", &mlflow_get_model_version_desc,
          &mlflow_model_version_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(get_version)),
    ROUTE(HTTP_GET, VERSIONS "search", &mlflow_search_model_versions_desc,
          &mlflow_model_versions_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(search_versions)),
    ROUTE(HTTP_GET, VERSIONS "get-download-uri", &mlflow_get_model_version_download_uri_desc,
          &mlflow_get_model_version_download_uri_response_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(download_uri)),
    ROUTE(HTTP_POST, VERSIONS "set-tag", &mlflow_set_model_version_tag_desc, &mlflow_empty_desc,
          RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(set_version_tag_start)),
    ROUTE(HTTP_DELETE, VERSIONS "delete-tag", &mlflow_delete_model_version_tag_desc,
          &mlflow_empty_desc, RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(delete_version_tag_start)),
};
const size_t mlflow_registry_routes_n = ARRAY_N(mlflow_registry_routes);
