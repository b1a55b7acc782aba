/* api/kubeflow/serving.c - serving environments, the inference services in them, and what a service has served. */
#include "api/kubeflow/kubeflow_int.h"
#include "base/id.h"

enum {
    SERVICE_FIELDS = KUBEFLOW_INFERENCE_SERVICE_HAS_MODEL_VERSION_ID |
                     KUBEFLOW_INFERENCE_SERVICE_HAS_RUNTIME |
                     KUBEFLOW_INFERENCE_SERVICE_HAS_DESIRED_STATE,
    SERVICE_NEW_FIELDS = SERVICE_FIELDS | KUBEFLOW_INFERENCE_SERVICE_HAS_REGISTERED_MODEL_ID,
    SERVE_FIELDS = KUBEFLOW_SERVE_MODEL_HAS_LAST_KNOWN_STATE,
    SERVE_NEW_FIELDS = SERVE_FIELDS | KUBEFLOW_SERVE_MODEL_HAS_MODEL_VERSION_ID
};

static struct catalog_create *new_create(struct call *c, enum catalog_kind kind,
                                         enum node_type type, struct str name, struct write_op **op,
                                         struct err *err)
{
    struct catalog_create *x = ARENA_NEW(c->arena, struct catalog_create);
    char hex[33];

    if (!x) {
        err_nomem(err);
        return NULL;
    }
    catalog_create_init(x, c->core, c->arena);
    x->kind = kind;
    x->type = type;
    x->who = c->principal->name;
    x->name = name;
    if (name.n && kf_name_check(name, "name", err)) {
        return NULL;
    }
    if (!name.n) {
        id_hex32(hex);
        x->name = arena_printf(c->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
                               hex + 16, hex + 20);
        if (!x->name.p) {
            err_nomem(err);
            return NULL;
        }
    }
    *op = &x->op;
    c->user = &x->item;
    c->status = 201;
    return x;
}

static struct catalog_patch *new_patch(struct call *c, enum catalog_kind kind, struct write_op **op,
                                       struct err *err)
{
    struct catalog_patch *x = ARENA_NEW(c->arena, struct catalog_patch);

    if (!x) {
        err_nomem(err);
        return NULL;
    }
    catalog_patch_init(x, c->core, c->arena);
    x->kind = kind;
    x->who = c->principal->name;
    *op = &x->op;
    c->user = &x->item;
    return kf_path_id(c, &x->id, err) ? NULL : x;
}

/* ---- environments ------------------------------------------------------------------------------------------------------------ */

static enum status create_environment(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_serving_environment *in = c->in;
    struct catalog_create *x;

    if (!in->name.n) {
        return kf_missing("name", err);
    }
    x = new_create(c, CATALOG_ENVIRONMENT, TYPE_KF_SERVING_ENVIRONMENT, in->name, op, err);
    return x ? kf_facts(c, &kubeflow_serving_environment_desc, in, 0, &x->facts, err) : err->code;
}

static enum status patch_environment(struct call *c, struct write_op **op, struct err *err)
{
    struct catalog_patch *x = new_patch(c, CATALOG_ENVIRONMENT, op, err);

    return x ? kf_facts(c, &kubeflow_serving_environment_desc, c->in, 0, &x->facts, err)
             : err->code;
}

static enum status get_environment(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_ENVIRONMENT, 0, err);
}

static enum status find_environment(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_ENVIRONMENT, 0, err);
}

static enum status list_environments(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_ENVIRONMENT }, err);
}

/* ---- inference services --------------------------------------------------------------------------------------------------------- */

static enum status version_ref(struct str id, struct catalog_ref *out, struct err *err)
{
    *out = (struct catalog_ref){ .kind = CATALOG_VERSION, .field = "modelVersionId" };
    return id.n ? kf_id(id, "modelVersionId", &out->id, err) : OK;
}

static enum status start_service(struct call *c, bool below, struct write_op **op, struct err *err)
{
    const struct kubeflow_inference_service *in = c->in;
    struct catalog_create *x;
    enum status st;

    if (!in->registered_model_id.n || (!below && !in->serving_environment_id.n)) {
        return kf_missing(in->registered_model_id.n ? "servingEnvironmentId" : "registeredModelId",
                          err);
    }
    x = new_create(c, CATALOG_SERVICE, TYPE_KF_INFERENCE_SERVICE, in->name, op, err);
    if (!x) {
        return err->code;
    }
    x->parent =
        (struct catalog_ref){ .kind = CATALOG_ENVIRONMENT, .field = "servingEnvironmentId" };
    st = below ? kf_path_id(c, &x->parent.id, err)
               : kf_id(in->serving_environment_id, "servingEnvironmentId", &x->parent.id, err);
    x->refs[0] = (struct catalog_ref){ .kind = CATALOG_MODEL, .field = "registeredModelId" };
    st = st ? st : kf_id(in->registered_model_id, "registeredModelId", &x->refs[0].id, err);
    st = st ? st : version_ref(in->model_version_id, &x->refs[1], err);
    return st ? st
              : kf_facts(c, &kubeflow_inference_service_desc, in, SERVICE_NEW_FIELDS, &x->facts,
                         err);
}

static enum status create_service(struct call *c, struct write_op **op, struct err *err)
{
    enum status st = start_service(c, false, op, err);

    /* Clients decode an answer only with the status that their specification gives this call. */
    c->status = kf_is_v1(c) ? 201 : 200;
    return st;
}

static enum status create_service_below(struct call *c, struct write_op **op, struct err *err)
{
    return start_service(c, true, op, err);
}

static enum status patch_service(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_inference_service *in = c->in;
    struct catalog_patch *x = new_patch(c, CATALOG_SERVICE, op, err);
    enum status st = x ? version_ref(in->model_version_id, &x->refs[0], err) : err->code;

    return st ? st
              : kf_facts(c, &kubeflow_inference_service_desc, in, SERVICE_FIELDS, &x->facts, err);
}

static enum status get_service(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_SERVICE, 0, err);
}

static enum status find_service(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_SERVICE, 0, err);
}

static enum status list_services(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_SERVICE }, err);
}

static enum status list_services_below(struct call *c, struct view *v, struct err *err)
{
    struct catalog_list list = { .kind = CATALOG_SERVICE, .has_parent = true };
    enum status st = kf_path_id(c, &list.parent, err);

    return st ? st : kf_list(c, v, &list, err);
}

static int64_t number_of(const struct catalog_item *it, struct str key)
{
    const struct prop *p = props_find(&it->props, PROP_TYPED, key);

    return p ? p->i : 0;
}

static enum status get_service_model(struct call *c, struct view *v, struct err *err)
{
    struct catalog_item service, it;
    int64_t id;
    enum status st = kf_path_id(c, &id, err);

    st = st ? st : catalog_get(v, CATALOG_SERVICE, id, &service, err);
    st =
        st ? st
           : catalog_get(v, CATALOG_MODEL, number_of(&service, S("registered_model_id")), &it, err);
    return st ? st : kf_answer(c, &it, err);
}

/* The version that the service names, else the newest of its model. */
static enum status get_service_version(struct call *c, struct view *v, struct err *err)
{
    struct catalog_item service, it;
    int64_t id, version;
    enum status st = kf_path_id(c, &id, err);

    st = st ? st : catalog_get(v, CATALOG_SERVICE, id, &service, err);
    if (st) {
        return st;
    }
    version = number_of(&service, S("model_version_id"));
    st = version
             ? catalog_get(v, CATALOG_VERSION, version, &it, err)
             : catalog_newest_version(v, number_of(&service, S("registered_model_id")), &it, err);
    return st ? st : kf_answer(c, &it, err);
}

/* ---- what was served ------------------------------------------------------------------------------------------------------------ */

static enum status create_serve(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_serve_model *in = c->in;
    struct catalog_create *x;
    enum status st;

    if (!in->model_version_id.n) {
        return kf_missing("modelVersionId", err);
    }
    x = new_create(c, CATALOG_SERVE, TYPE_KF_SERVE_MODEL, in->name, op, err);
    if (!x) {
        return err->code;
    }
    x->parent = (struct catalog_ref){ .kind = CATALOG_SERVICE, .field = "id" };
    st = kf_path_id(c, &x->parent.id, err);
    st = st ? st : version_ref(in->model_version_id, &x->refs[0], err);
    return st ? st : kf_facts(c, &kubeflow_serve_model_desc, in, SERVE_NEW_FIELDS, &x->facts, err);
}

static enum status list_serves(struct call *c, struct view *v, struct err *err)
{
    struct catalog_list list = { .kind = CATALOG_SERVE, .has_parent = true };
    enum status st = kf_path_id(c, &list.parent, err);

    return st ? st : kf_list(c, v, &list, err);
}

#define ENVIRONMENT &kubeflow_serving_environment_desc
#define SERVICE     &kubeflow_inference_service_desc
#define SERVE       &kubeflow_serve_model_desc

const struct route kubeflow_serving_routes[] = {
    ROUTE(HTTP_GET, KF_PATH "/serving_environments", &kubeflow_list_desc, ENVIRONMENT,
          RESOURCE_MODEL, ACTION_MODEL_READ, READ(list_environments)),
    ROUTE(HTTP_POST, KF_PATH "/serving_environments", ENVIRONMENT, ENVIRONMENT, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_environment)),
    ROUTE(HTTP_GET, KF_PATH "/serving_environments/{id}", &kubeflow_get_desc, ENVIRONMENT,
          RESOURCE_MODEL, ACTION_MODEL_READ, READ(get_environment)),
    ROUTE(HTTP_PATCH, KF_PATH "/serving_environments/{id}", ENVIRONMENT, ENVIRONMENT,
          RESOURCE_MODEL, ACTION_MODEL_UPDATE, WRITE(patch_environment)),
    ROUTE(HTTP_GET, KF_PATH "/serving_environment", &kubeflow_find_desc, ENVIRONMENT,
          RESOURCE_MODEL, ACTION_MODEL_READ, READ(find_environment)),
    ROUTE(HTTP_GET, KF_PATH "/serving_environments/{id}/inference_services", &kubeflow_list_desc,
          SERVICE, RESOURCE_MODEL, ACTION_MODEL_READ, READ(list_services_below)),
    ROUTE(HTTP_POST, KF_PATH "/serving_environments/{id}/inference_services", SERVICE, SERVICE,
          RESOURCE_MODEL, ACTION_MODEL_CREATE, WRITE(create_service_below)),
    ROUTE(HTTP_GET, KF_PATH "/inference_services", &kubeflow_list_desc, SERVICE, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(list_services)),
    ROUTE(HTTP_POST, KF_PATH "/inference_services", SERVICE, SERVICE, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_service)),
    ROUTE(HTTP_GET, KF_PATH "/inference_services/{id}", &kubeflow_get_desc, SERVICE, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(get_service)),
    ROUTE(HTTP_PATCH, KF_PATH "/inference_services/{id}", SERVICE, SERVICE, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE, WRITE(patch_service)),
    ROUTE(HTTP_GET, KF_PATH "/inference_service", &kubeflow_find_desc, SERVICE, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(find_service)),
    ROUTE(HTTP_GET, KF_PATH "/inference_services/{id}/model", &kubeflow_get_desc,
          &kubeflow_registered_model_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(get_service_model)),
    ROUTE(HTTP_GET, KF_PATH "/inference_services/{id}/version", &kubeflow_get_desc,
          &kubeflow_model_version_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(get_service_version)),
    ROUTE(HTTP_GET, KF_PATH "/inference_services/{id}/serves", &kubeflow_list_desc, SERVE,
          RESOURCE_MODEL, ACTION_MODEL_READ, READ(list_serves)),
    ROUTE(HTTP_POST, KF_PATH "/inference_services/{id}/serves", SERVE, SERVE, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_serve)),
};
const size_t kubeflow_serving_routes_n = ARRAY_N(kubeflow_serving_routes);
