/* api/kubeflow/artifacts.c - artifacts: models, documents, data sets, metrics, parameters; alone or below a version. */
#include "api/kubeflow/kubeflow_int.h"
#include "base/id.h"

/* The type that the body names; /model_artifacts know theirs. */
static enum status read_type(const struct call *c, enum node_type fixed, enum node_type *out,
                             struct err *err)
{
    const struct kubeflow_artifact *in = c->in;

    *out = fixed;
    if (!in->artifact_type.n) {
        return fixed ? OK : kf_missing("artifactType", err);
    }
    *out = kf_artifact_type(in->artifact_type);
    if (!*out || (fixed && *out != fixed)) {
        return err_field(err, ST_INVALID, "artifactType", "artifactType '%.*s' is %s%s",
                         STR_ARG(in->artifact_type), fixed ? "not " : "none of ",
                         fixed
                             ? "model-artifact"
                             : "model-artifact, doc-artifact, dataset-artifact, metric, parameter");
    }
    return OK;
}

/* A name for who gave none: a random UUID. */
static enum status choose_name(struct call *c, struct str given, struct str *out, struct err *err)
{
    char hex[33];

    *out = given;
    if (given.n) {
        return kf_name_check(given, "name", err);
    }
    id_hex32(hex);
    *out = arena_printf(c->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                        hex + 20);
    return out->p ? OK : err_nomem(err);
}

static enum status start_patch(struct call *c, enum node_type fixed, struct str id,
                               struct catalog_ref parent, struct write_op **op, struct err *err)
{
    struct catalog_patch *x = ARENA_NEW(c->arena, struct catalog_patch);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    catalog_patch_init(x, c->core, c->arena);
    x->kind = CATALOG_ARTIFACT;
    x->who = c->principal->name;
    x->parent = parent;
    st = kf_id(id, "id", &x->id, err);
    st = st ? st : read_type(c, fixed, &x->type, err);
    st = st ? st
            : kf_facts(c, &kubeflow_artifact_desc, c->in, kf_artifact_fields(x->type), &x->facts,
                       err);
    *op = &x->op;
    c->user = &x->item;
    return st;
}

static enum status start_create(struct call *c, enum node_type fixed, struct catalog_ref parent,
                                struct write_op **op, struct err *err)
{
    const struct kubeflow_artifact *in = c->in;
    struct catalog_create *x = ARENA_NEW(c->arena, struct catalog_create);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    catalog_create_init(x, c->core, c->arena);
    x->kind = CATALOG_ARTIFACT;
    x->who = c->principal->name;
    x->parent = parent;
    st = read_type(c, fixed, &x->type, err);
    st = st ? st : choose_name(c, in->name, &x->name, err);
    if (!st && x->type == TYPE_KF_METRIC && !(in->has & KUBEFLOW_ARTIFACT_HAS_VALUE)) {
        return err_field(err, ST_INVALID, "value", "metric value is required");
    }
    st = st ? st
            : kf_facts(c, &kubeflow_artifact_desc, in, kf_artifact_fields(x->type), &x->facts, err);
    x->upsert =
        parent.id && in->name.n && (x->type == TYPE_KF_METRIC || x->type == TYPE_KF_PARAMETER);
    *op = &x->op;
    c->user = &x->item;
    c->status = 201;
    return st;
}

static enum status create_any(struct call *c, struct write_op **op, struct err *err)
{
    return start_create(c, 0, (struct catalog_ref){ 0 }, op, err);
}

static enum status create_model(struct call *c, struct write_op **op, struct err *err)
{
    return start_create(c, TYPE_KF_MODEL_ARTIFACT, (struct catalog_ref){ 0 }, op, err);
}

static enum status patch_any(struct call *c, struct write_op **op, struct err *err)
{
    return start_patch(c, 0, call_capture(c, "id"), (struct catalog_ref){ 0 }, op, err);
}

static enum status patch_model(struct call *c, struct write_op **op, struct err *err)
{
    return start_patch(c, TYPE_KF_MODEL_ARTIFACT, call_capture(c, "id"), (struct catalog_ref){ 0 },
                       op, err);
}

/* With an id it changes that artifact, without one it makes one, or changes the metric or parameter of that name. */
static enum status upsert(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_artifact *in = c->in;
    struct catalog_ref version = { .kind = CATALOG_VERSION, .field = "id" };
    enum status st = kf_path_id(c, &version.id, err);

    if (st) {
        return st;
    }
    return in->id.n ? start_patch(c, 0, in->id, version, op, err)
                    : start_create(c, 0, version, op, err);
}

static enum status upsert_done(struct call *c, struct err *err)
{
    const struct kubeflow_artifact *in = c->in;

    if (!in->id.n) {
        c->status = WRITE_OP_OF(c->op, struct catalog_create)->made ? 201 : 200;
    }
    return kf_finish(c, err);
}

static enum status get_any(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_ARTIFACT, 0, err);
}

static enum status get_model(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_ARTIFACT, TYPE_KF_MODEL_ARTIFACT, err);
}

static enum status find_any(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_ARTIFACT, 0, err);
}

static enum status find_model(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_ARTIFACT, TYPE_KF_MODEL_ARTIFACT, err);
}

static enum status list_any(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_ARTIFACT }, err);
}

static enum status list_models(struct call *c, struct view *v, struct err *err)
{
    struct catalog_list list = { .kind = CATALOG_ARTIFACT,
                                 .types = { TYPE_KF_MODEL_ARTIFACT },
                                 .types_n = 1 };

    return kf_list(c, v, &list, err);
}

static enum status list_below(struct call *c, struct view *v, struct err *err)
{
    struct catalog_list list = { .kind = CATALOG_ARTIFACT, .has_parent = true };
    enum status st = kf_path_id(c, &list.parent, err);

    return st ? st : kf_list(c, v, &list, err);
}

#define ARTIFACT &kubeflow_artifact_desc

const struct route kubeflow_artifact_routes[] = {
    ROUTE(HTTP_GET, KF_PATH "/artifacts", &kubeflow_list_desc, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(list_any)),
    ROUTE(HTTP_POST, KF_PATH "/artifacts", ARTIFACT, ARTIFACT, RESOURCE_MODEL, ACTION_MODEL_CREATE,
          WRITE(create_any)),
    ROUTE(HTTP_GET, KF_PATH "/artifacts/{id}", &kubeflow_get_desc, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(get_any)),
    ROUTE(HTTP_PATCH, KF_PATH "/artifacts/{id}", ARTIFACT, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE, WRITE(patch_any)),
    ROUTE(HTTP_GET, KF_PATH "/artifact", &kubeflow_find_desc, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(find_any)),
    ROUTE(HTTP_GET, KF_PATH "/model_artifacts", &kubeflow_list_desc, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(list_models)),
    ROUTE(HTTP_POST, KF_PATH "/model_artifacts", ARTIFACT, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_CREATE, WRITE(create_model)),
    ROUTE(HTTP_GET, KF_PATH "/model_artifacts/{id}", &kubeflow_get_desc, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(get_model)),
    ROUTE(HTTP_PATCH, KF_PATH "/model_artifacts/{id}", ARTIFACT, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE, WRITE(patch_model)),
    ROUTE(HTTP_GET, KF_PATH "/model_artifact", &kubeflow_find_desc, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_READ, READ(find_model)),
    ROUTE(HTTP_GET, KF_PATH "/model_versions/{id}/artifacts", &kubeflow_list_desc, ARTIFACT,
          RESOURCE_MODEL, ACTION_MODEL_READ, READ(list_below)),
    ROUTE(HTTP_POST, KF_PATH "/model_versions/{id}/artifacts", ARTIFACT, ARTIFACT, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE,
          ENDPOINT(.tongue = &kubeflow_tongue, .kind = CALL_WRITE, .start = upsert,
                   .finish = upsert_done)),
};
const size_t kubeflow_artifact_routes_n = ARRAY_N(kubeflow_artifact_routes);
