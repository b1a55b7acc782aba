/* api/kubeflow/tracking.c - making and changing experiments and runs, and what runs log: metrics, parameters, data sets. They are the
 * tracking API's own. What that API has no place for is kept in tags of the run: descriptions, a parameter's type that its text does not
 * show, the place of a data set beside its source. */
#include "api/kubeflow/kubeflow_int.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/num.h"
#include "core/catalog_tracking.h"
#include "core/names.h"
#include <inttypes.h>

enum {
    EXPERIMENT_FIELDS = KUBEFLOW_EXPERIMENT_HAS_OWNER | KUBEFLOW_EXPERIMENT_HAS_STATE,
    RUN_FIELDS = KUBEFLOW_EXPERIMENT_RUN_HAS_OWNER | KUBEFLOW_EXPERIMENT_RUN_HAS_STATE,
    DIGEST_MAX = 36,
    DIGEST_MADE = 16, /* hexadecimal digits of one that nobody gave */
    SOURCE_TYPE_MAX = 500,
    SOURCE_MAX = 65535,
    SCHEMA_MAX = 1048575,
    USER_MAX = NAME_TAG_VALUE_MAX
};

/* ---- what was made is read after the commit --------------------------------------------------------------------------------------- */

static enum status answer_uid(struct call *c, struct view *v, enum catalog_kind kind, int64_t uid,
                              struct err *err)
{
    struct catalog_item it;
    enum status st = catalog_get_uid(v, kind, uid, &it, err);

    return st ? st : kf_answer(c, &it, err);
}

static int64_t *made_uid(struct call *c)
{
    return c->user;
}

static struct str remember(struct call *c)
{
    return arena_printf(c->arena, "%" PRId64, *made_uid(c));
}

static void recall(struct call *c, struct str kept)
{
    if (!num_parse_i64(kept, made_uid(c))) {
        *made_uid(c) = 0;
    }
}

static enum status read_experiment(struct call *c, struct view *v, struct err *err)
{
    return answer_uid(c, v, CATALOG_EXPERIMENT, *made_uid(c), err);
}

static enum status read_run(struct call *c, struct view *v, struct err *err)
{
    return answer_uid(c, v, CATALOG_RUN, *made_uid(c), err);
}

static enum status read_path(struct call *c, struct view *v, enum catalog_kind kind,
                             struct err *err)
{
    struct catalog_item it;
    int64_t id;
    enum status st = kf_path_id(c, &id, err);

    st = st ? st : catalog_get(v, kind, id, &it, err);
    return st ? st : kf_answer(c, &it, err);
}

static enum status read_experiment_of_path(struct call *c, struct view *v, struct err *err)
{
    return read_path(c, v, CATALOG_EXPERIMENT, err);
}

static enum status read_run_of_path(struct call *c, struct view *v, struct err *err)
{
    return read_path(c, v, CATALOG_RUN, err);
}

/* ---- experiments ---------------------------------------------------------------------------------------------------------------- */

static enum status check_note(struct str text, size_t max, struct err *err)
{
    return text.p ? name_check_length(text, "description", max, err) : OK;
}

static enum status create_experiment(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_experiment *in = c->in;
    struct catalog_experiment_create *x = ARENA_NEW(c->arena, struct catalog_experiment_create);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    if (!in->name.n) {
        return kf_missing("name", err);
    }
    catalog_experiment_create_init(x, c->core, c->arena);
    x->who = c->principal->name;
    st = kf_name_check(in->name, "name", err);
    st = st ? st : kf_name_stored(c->arena, in->name, false, &x->name, err);
    st = st ? st : name_check_experiment(x->name, err);
    st = st ? st : kf_facts(c, &kubeflow_experiment_desc, in, EXPERIMENT_FIELDS, &x->facts, err);
    st = st ? st : check_note(x->facts.description, NAME_EXPERIMENT_TAG_VALUE_MAX, err);
    *op = &x->op;
    c->user = &x->uid;
    c->status = 201;
    return st;
}

static enum status patch_experiment(struct call *c, struct write_op **op, struct err *err)
{
    struct catalog_experiment_patch *x = ARENA_NEW(c->arena, struct catalog_experiment_patch);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    catalog_experiment_patch_init(x, c->core, c->arena);
    x->who = c->principal->name;
    st = kf_path_id(c, &x->id, err);
    st = st ? st : kf_facts(c, &kubeflow_experiment_desc, c->in, EXPERIMENT_FIELDS, &x->facts, err);
    st = st ? st : check_note(x->facts.description, NAME_EXPERIMENT_TAG_VALUE_MAX, err);
    *op = &x->op;
    return st;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------ */

static enum status run_facts(struct call *c, struct catalog_run_times *times,
                             struct catalog_facts *facts, struct err *err)
{
    const struct kubeflow_experiment_run *in = c->in;
    enum status st = kf_facts(c, &kubeflow_experiment_run_desc, in, RUN_FIELDS, facts, err);

    times->has_status =
        (in->has & KUBEFLOW_EXPERIMENT_RUN_HAS_STATUS) && in->status != 0; /* 0: not said */
    times->status = (enum run_status)in->status;
    times->has_end = (in->has & KUBEFLOW_EXPERIMENT_RUN_HAS_END_TIME_SINCE_EPOCH) != 0;
    times->end_ms = in->end_time_since_epoch;
    return st ? st : check_note(facts->description, NAME_TAG_VALUE_MAX, err);
}

/* below: the experiment is that of the path. */
static enum status start_run(struct call *c, bool below, struct write_op **op, struct err *err)
{
    const struct kubeflow_experiment_run *in = c->in;
    struct catalog_run_create *x = ARENA_NEW(c->arena, struct catalog_run_create);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    if (!below && !in->experiment_id.n) {
        return kf_missing("experimentId", err);
    }
    catalog_run_create_init(x, c->core, c->arena);
    x->who = c->principal->name;
    x->owner = in->owner;
    x->start_ms = in->has & KUBEFLOW_EXPERIMENT_RUN_HAS_START_TIME_SINCE_EPOCH
                      ? in->start_time_since_epoch
                      : clock_wall_ms();
    st = below ? kf_path_id(c, &x->experiment_id, err)
               : kf_id(in->experiment_id, "experimentId", &x->experiment_id, err);
    st = st ? st : name_check_length(x->owner, "owner", USER_MAX, err);
    if (!st && in->name.n) {
        st = kf_name_check(in->name, "name", err);
        st = st ? st : kf_name_stored(c->arena, in->name, false, &x->name, err);
    }
    st = st ? st : run_facts(c, &x->times, &x->facts, err);
    for (size_t i = 0; !st && i < x->facts.props_n;
         i++) { /* the user of the run, by which it is found */
        struct prop *p = &x->facts.props[i];

        if (p->scope == PROP_TYPED && str_eq_lit(p->key, "owner")) {
            *p = x->facts.props[--x->facts.props_n];
            break;
        }
    }
    *op = &x->op;
    c->user = &x->uid;
    c->status = 201;
    return st;
}

static enum status create_run(struct call *c, struct write_op **op, struct err *err)
{
    return start_run(c, false, op, err);
}

static enum status create_run_below(struct call *c, struct write_op **op, struct err *err)
{
    return start_run(c, true, op, err);
}

static enum status patch_run(struct call *c, struct write_op **op, struct err *err)
{
    struct catalog_run_patch *x = ARENA_NEW(c->arena, struct catalog_run_patch);
    enum status st;

    if (!x) {
        return err_nomem(err);
    }
    catalog_run_patch_init(x, c->core, c->arena);
    x->who = c->principal->name;
    st = kf_path_id(c, &x->id, err);
    st = st ? st : run_facts(c, &x->times, &x->facts, err);
    *op = &x->op;
    return st;
}

/* ---- what runs log ---------------------------------------------------------------------------------------------------------------- */

struct str kf_note_tag(struct arena *a, enum node_type type, struct str name, const char *what)
{
    return arena_printf(a, "kubeflow.%s.%.*s.%s",
                        type == TYPE_KF_METRIC      ? "metric"
                        : type == TYPE_KF_PARAMETER ? "parameter"
                                                    : "dataset",
                        STR_ARG(name), what);
}

/* One artifact for a run; what of it is read again for the answer. */
struct logged {
    struct catalog_run_log op;
    enum node_type type;
    struct str name; /* as it is stored */
    struct point point;
    struct key_value param, tags[2];
    struct dataset_input set;
};

static const struct prop *said(const struct catalog_facts *f, const char *key)
{
    const struct props props = { f->props, f->props_n };

    return props_find(&props, PROP_TYPED, str_cstr(key));
}

static struct str said_text(const struct catalog_facts *f, const char *key)
{
    const struct prop *p = said(f, key);

    return p ? p->s : (struct str){ NULL, 0 };
}

static enum status add_tag(struct logged *l, struct arena *a, const char *what, struct str value,
                           struct err *err)
{
    struct str key = kf_note_tag(a, l->type, l->name, what);
    enum status st = key.p ? name_check_tag(key, what, err) : err_nomem(err);

    st = st ? st : check_note(value, NAME_TAG_VALUE_MAX, err);
    if (!st) {
        l->tags[l->op.log.tags_n++] = (struct key_value){ key, value };
    }
    return st;
}

static enum status log_metric(struct logged *l, const struct catalog_facts *f, struct arena *a,
                              struct err *err)
{
    const struct prop *value = said(f, "value"), *step = said(f, "step");
    struct str when = said_text(f, "timestamp");
    enum status st = name_check_metric(l->name, "name", err);

    if (!st && !value) {
        st = err_field(err, ST_INVALID, "value", "metric value is required");
    }
    l->point = (struct point){ .timestamp_ms = clock_wall_ms(),
                               .step = step ? step->i : 0,
                               .value = value ? value->d : 0 };
    if (!st && when.n && (!num_parse_i64(when, &l->point.timestamp_ms))) {
        st =
            err_field(err, ST_INVALID, "timestamp", "timestamp '%.*s' is no number of milliseconds",
                      STR_ARG(str_sub(when, 0, 100)));
    }
    st = st ? st : run_points_begin(&l->op.log.points, a, err);
    return st ? st
              : run_points_add(&l->op.log.points, l->name, l->point.value, l->point.timestamp_ms,
                               l->point.step, err);
}

static enum status log_param(struct logged *l, const struct catalog_facts *f, struct arena *a,
                             struct err *err)
{
    const struct prop *value = said(f, "value");
    struct str type = said_text(f, "parameter_type");
    enum status st = name_check_param(l->name, "name", err);

    if (!st && !value) {
        st = err_field(err, ST_INVALID, "value", "parameter value is required");
    }
    l->param = (struct key_value){ l->name, value ? value->s : S("") };
    st = st ? st : name_check_length(l->param.value, "value", NAME_PARAM_VALUE_MAX, err);
    l->op.log.params = &l->param;
    l->op.log.params_n = 1;
    return st || !type.n || str_eq(type, kf_param_look(l->param.value))
               ? st
               : add_tag(l, a, "type", type, err);
}

/* A digest of what is said of the data, for who gave none. */
static struct str make_digest(struct arena *a, const struct dataset_input *d)
{
    struct str all =
        arena_printf(a, "%.*s\n%.*s\n%.*s\n%.*s\n%.*s", STR_ARG(d->name), STR_ARG(d->source_type),
                     STR_ARG(d->source), STR_ARG(d->schema), STR_ARG(d->profile));
    struct digest digest;
    char hex[2 * sizeof(digest.b) + 1];

    if (!all.p || !sha256_of(all.p, all.n, &digest)) {
        return (struct str){ NULL, 0 };
    }
    digest_hex(&digest, hex);
    return arena_str(a, str_of(hex, DIGEST_MADE));
}

static enum status log_dataset(struct logged *l, const struct catalog_facts *f, struct arena *a,
                               struct err *err)
{
    struct dataset_input *d = &l->set;
    struct str quoted = f->uri.n ? name_json_quoted(a, f->uri) : S("\"\"");
    enum status st = OK;

    *d = (struct dataset_input){ .name = l->name,
                                 .digest = said_text(f, "digest"),
                                 .source_type = said_text(f, "source_type"),
                                 .source = said_text(f, "source"),
                                 .schema = said_text(f, "schema"),
                                 .profile = said_text(f, "profile") };
    d->source_type = d->source_type.n ? d->source_type : S("uri");
    if (!d->source.n) {
        d->source = arena_printf(a, "{\"uri\": %.*s}", STR_ARG(quoted));
    }
    if (!d->digest.n) {
        d->digest = make_digest(a, d);
    }
    if (!quoted.p || !d->source.p || !d->digest.p) {
        return err_nomem(err);
    }
    st = name_check_length(d->digest, "digest", DIGEST_MAX, err);
    st = st ? st : name_check_length(d->source_type, "sourceType", SOURCE_TYPE_MAX, err);
    st = st ? st : name_check_length(d->source, "source", SOURCE_MAX, err);
    st = st ? st : name_check_length(d->schema, "schema", SCHEMA_MAX, err);
    l->op.links.datasets = d;
    l->op.links.datasets_n = 1;
    return st || !f->uri.n || str_eq(f->uri, kf_source_uri(a, d->source))
               ? st
               : add_tag(l, a, "uri", f->uri, err);
}

/* What belongs to artifacts with a number of their own. */
static enum status check_logged(const struct kubeflow_artifact *in, enum node_type type,
                                struct err *err)
{
    if (!type) {
        return err_field(err, ST_INVALID, "artifactType",
                         "artifactType '%.*s' is none of metric, parameter, dataset-artifact",
                         STR_ARG(str_sub(in->artifact_type, 0, 100)));
    }
    if (type != TYPE_KF_METRIC && type != TYPE_KF_PARAMETER && type != TYPE_KF_DATASET) {
        return err_field(err, ST_INVALID, "artifactType",
                         "runs take metric, parameter and dataset-artifact, not %.*s: models and "
                         "documents belong to a model version",
                         STR_ARG(in->artifact_type));
    }
    if (in->id.n) {
        return err_field(err, ST_INVALID, "id",
                         "what a run logged has no id: it is known by artifactType and name");
    }
    if (!in->name.n) {
        return kf_missing("name", err);
    }
    return kf_name_check(in->name, "name", err);
}

static enum status log_artifact(struct call *c, struct write_op **op, struct err *err)
{
    const struct kubeflow_artifact *in = c->in;
    struct logged *l = ARENA_NEW(c->arena, struct logged);
    struct catalog_facts f = { .props_n = 0 };
    enum status st;

    if (!l) {
        return err_nomem(err);
    }
    if (!in->artifact_type.n) {
        return kf_missing("artifactType", err);
    }
    catalog_run_log_init(&l->op, c->core, c->arena);
    l->op.log.tags = l->tags;
    l->type = kf_artifact_type(in->artifact_type);
    c->user = l;
    *op = &l->op.op;
    st = kf_path_id(c, &l->op.id, err);
    st = st ? st : check_logged(in, l->type, err);
    st = st ? st : kf_name_stored(c->arena, in->name, false, &l->name, err);
    st = st ? st : kf_facts(c, &kubeflow_artifact_desc, in, kf_artifact_fields(l->type), &f, err);
    for (size_t i = 0; !st && i < f.props_n; i++) {
        if (f.props[i].scope == PROP_CUSTOM) {
            return err_field(err, ST_INVALID, "customProperties",
                             "customProperties of what a run logged are not kept: set them on the "
                             "run");
        }
    }
    if (!st && f.external_id.n) {
        return err_field(err, ST_INVALID, "externalId",
                         "what a run logged has no externalId: set it on the run");
    }
    if (st) {
        return st;
    }
    st = l->type == TYPE_KF_METRIC      ? log_metric(l, &f, c->arena, err)
         : l->type == TYPE_KF_PARAMETER ? log_param(l, &f, c->arena, err)
                                        : log_dataset(l, &f, c->arena, err);
    return !st && f.description.n ? add_tag(l, c->arena, "description", f.description, err) : st;
}

static enum status read_artifact(struct call *c, struct view *v, struct err *err)
{
    const struct logged *l = c->user;
    struct kubeflow_artifact *msg;
    struct catalog_item run;
    enum status st = catalog_get(v, CATALOG_RUN, l->op.id, &run, err);

    if (st) {
        return st;
    }
    st = l->type == TYPE_KF_METRIC
             ? kf_run_metric(v, &run, l->name, &l->point, kf_is_v1(c), &msg, err)
         : l->type == TYPE_KF_PARAMETER ? kf_run_param(v, &run, &l->param, kf_is_v1(c), &msg, err)
                                        : kf_run_dataset(v, &run, &l->set, kf_is_v1(c), &msg, err);
    c->out = msg;
    return st;
}

/* Names of what was made are drawn by the operation, so the answer is read after it. */
#define MAKE(start_fn, read_fn)                                                                    \
    ENDPOINT(.tongue = &kubeflow_tongue, .kind = CALL_WRITE, .start = (start_fn),                  \
             .read = (read_fn), .remember = remember, .recall = recall)
#define CHANGE(start_fn, read_fn)                                                                  \
    ENDPOINT(.tongue = &kubeflow_tongue, .kind = CALL_WRITE, .start = (start_fn), .read = (read_fn))

#define EXPERIMENT &kubeflow_experiment_desc
#define RUN        &kubeflow_experiment_run_desc
#define ARTIFACT   &kubeflow_artifact_desc

const struct route kubeflow_tracking_routes[] = {
    ROUTE(HTTP_POST, KF_PATH "/experiments", EXPERIMENT, EXPERIMENT, RESOURCE_EXPERIMENT,
          ACTION_EXPERIMENT_CREATE, MAKE(create_experiment, read_experiment)),
    ROUTE(HTTP_PATCH, KF_PATH "/experiments/{id}", EXPERIMENT, EXPERIMENT, RESOURCE_EXPERIMENT,
          ACTION_EXPERIMENT_UPDATE, CHANGE(patch_experiment, read_experiment_of_path)),
    ROUTE(HTTP_POST, KF_PATH "/experiment_runs", RUN, RUN, RESOURCE_RUN, ACTION_RUN_CREATE,
          MAKE(create_run, read_run)),
    ROUTE(HTTP_POST, KF_PATH "/experiments/{id}/experiment_runs", RUN, RUN, RESOURCE_RUN,
          ACTION_RUN_CREATE, MAKE(create_run_below, read_run)),
    ROUTE(HTTP_PATCH, KF_PATH "/experiment_runs/{id}", RUN, RUN, RESOURCE_RUN, ACTION_RUN_WRITE,
          CHANGE(patch_run, read_run_of_path)),
    ROUTE(HTTP_POST, KF_PATH "/experiment_runs/{id}/artifacts", ARTIFACT, ARTIFACT, RESOURCE_RUN,
          ACTION_RUN_WRITE, CHANGE(log_artifact, read_artifact)),
};
const size_t kubeflow_tracking_routes_n = ARRAY_N(kubeflow_tracking_routes);
