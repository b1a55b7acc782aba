/* api/kubeflow/models.c - registered models and their versions. */
#include "api/kubeflow/kubeflow_int.h"

enum {
    MODEL_FIELDS = KUBEFLOW_REGISTERED_MODEL_HAS_OWNER | KUBEFLOW_REGISTERED_MODEL_HAS_STATE |
                   KUBEFLOW_REGISTERED_MODEL_HAS_README | KUBEFLOW_REGISTERED_MODEL_HAS_MATURITY |
                   KUBEFLOW_REGISTERED_MODEL_HAS_LANGUAGE | KUBEFLOW_REGISTERED_MODEL_HAS_TASKS |
                   KUBEFLOW_REGISTERED_MODEL_HAS_PROVIDER | KUBEFLOW_REGISTERED_MODEL_HAS_LOGO |
                   KUBEFLOW_REGISTERED_MODEL_HAS_LICENSE |
                   KUBEFLOW_REGISTERED_MODEL_HAS_LICENSE_LINK |
                   KUBEFLOW_REGISTERED_MODEL_HAS_LIBRARY_NAME,
    VERSION_FIELDS = KUBEFLOW_MODEL_VERSION_HAS_AUTHOR | KUBEFLOW_MODEL_VERSION_HAS_STATE
};

static enum status create_model(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_registered_model *in = c->in;
    struct catalog_model_create *x = ARENA_NEW(c->arena, struct catalog_model_create);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    if (!in->name.n) {
        return kf_missing("name", err);
    }
    catalog_model_create_init(x, c->core, c->arena);
    x->base.who = c->principal->name;
    st = kf_name_check(in->name, "name", err);
    st = st ? st : kf_name_stored(c->arena, in->name, true, &x->base.name, err);
    st = st ? st : name_check_registered_model(x->base.name, "name", err);
    st = st ? st : kf_facts(c, &kubeflow_registered_model_desc, in, MODEL_FIELDS, &x->facts, err);
    *op = &x->base.op;
    c->user = &x->item;
    c->status = 201;
    return st;
}

static enum status start_patch(struct call *c, enum catalog_kind kind, const struct msg_desc *desc,
                               uint64_t fields, struct write_op **op, struct err *err)
{
    struct catalog_patch *x = ARENA_NEW(c->arena, struct catalog_patch);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    catalog_patch_init(x, c->core, c->arena);
    x->kind = kind;
    x->who = c->principal->name;
    st = kf_path_id(c, &x->id, err);
    st = st ? st : kf_facts(c, desc, c->in, fields, &x->facts, err);
    *op = &x->op;
    c->user = &x->item;
    return st;
}

static enum status patch_model(struct call *c, struct write_op **op, struct err *err)
{
    return start_patch(c, CATALOG_MODEL, &kubeflow_registered_model_desc, MODEL_FIELDS, op, err);
}

static enum status get_model(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_MODEL, 0, err);
}

static enum status find_model(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_MODEL, 0, err);
}

static enum status list_models(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_MODEL }, err);
}

/* below: the model is that of the path. */
static enum status start_version(struct call *c, bool below, struct write_op **op, struct err *err)
{
    const struct kubeflow_model_version *in = c->in;
    struct catalog_version_create *x = ARENA_NEW(c->arena, struct catalog_version_create);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    if (!in->name.n || (!below && !in->registered_model_id.n)) {
        return kf_missing(in->name.n ? "registeredModelId" : "name", err);
    }
    catalog_version_create_init(x, c->core, c->arena);
    x->base.who = c->principal->name;
    x->label = in->name;
    st = below ? kf_path_id(c, &x->model_id, err)
               : kf_id(in->registered_model_id, "registeredModelId", &x->model_id, err);
    st = st ? st : kf_name_check(in->name, "name", err);
    st = st ? st : kf_facts(c, &kubeflow_model_version_desc, in, VERSION_FIELDS, &x->facts, err);
    *op = &x->base.op;
    c->user = &x->item;
    c->status = 201;
    return st;
}

static enum status create_version(struct call *c, struct write_op **op, struct err *err)
{
    return start_version(c, false, op, err);
}

static enum status create_version_below(struct call *c, struct write_op **op, struct err *err)
{
    return start_version(c, true, op, err);
}

static enum status patch_version(struct call *c, struct write_op **op, struct err *err)
{
    return start_patch(c, CATALOG_VERSION, &kubeflow_model_version_desc, VERSION_FIELDS, op, err);
}

static enum status get_version(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_VERSION, 0, err);
}

static enum status find_version(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_VERSION, 0, err);
}

static enum status list_versions(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_VERSION }, err);
}

static enum status list_versions_below(struct call *c, struct view *v, struct err *err)
{
    struct catalog_list list = { .kind = CATALOG_VERSION, .has_parent = true };
    enum status st = kf_path_id(c, &list.parent, err);

    return st ? st : kf_list(c, v, &list, err);
}

#define MODEL   &kubeflow_registered_model_desc
#define VERSION &kubeflow_model_version_desc

const struct route kubeflow_model_routes[] = {
    ROUTE(HTTP_GET, KF_PATH "/registered_models", &kubeflow_list_desc, MODEL, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(list_models)),
    ROUTE(HTTP_POST, KF_PATH "/registered_models", MODEL, MODEL, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_model)),
    ROUTE(HTTP_GET, KF_PATH "/registered_models/{id}", &kubeflow_get_desc, MODEL, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(get_model)),
    ROUTE(HTTP_PATCH, KF_PATH "/registered_models/{id}", MODEL, MODEL, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE, WRITE(patch_model)),
    ROUTE(HTTP_GET, KF_PATH "/registered_model", &kubeflow_find_desc, MODEL, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(find_model)),
    ROUTE(HTTP_GET, KF_PATH "/registered_models/{id}/versions", &kubeflow_list_desc, VERSION,
          RESOURCE_MODEL, ACTION_MODEL_READ, READ(list_versions_below)),
    ROUTE(HTTP_POST, KF_PATH "/registered_models/{id}/versions", VERSION, VERSION, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_version_below)),
    ROUTE(HTTP_GET, KF_PATH "/model_versions", &kubeflow_list_desc, VERSION, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(list_versions)),
    ROUTE(HTTP_POST, KF_PATH "/model_versions", VERSION, VERSION, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_version)),
    ROUTE(HTTP_GET, KF_PATH "/model_versions/{id}", &kubeflow_get_desc, VERSION, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(get_version)),
    ROUTE(HTTP_PATCH, KF_PATH "/model_versions/{id}", VERSION, VERSION, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE, WRITE(patch_version)),
    ROUTE(HTTP_GET, KF_PATH "/model_version", &kubeflow_find_desc, VERSION, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(find_version)),
};
const size_t kubeflow_model_routes_n = ARRAY_N(kubeflow_model_routes);
