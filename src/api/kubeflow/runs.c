/* api/kubeflow/runs.c - experiments and runs of the tracking API, read only; what a run logged as artifacts; histories of metrics. */
#include "api/kubeflow/filter.h"
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "core/run.h"
#include <inttypes.h>
#include <stdio.h>

enum { TOKEN_MAX = 400 };

static enum status list_experiments(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_EXPERIMENT }, err);
}

static enum status get_experiment(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_EXPERIMENT, 0, err);
}

static enum status find_experiment(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_EXPERIMENT, 0, err);
}

static enum status list_runs(struct call *c, struct view *v, struct err *err)
{
    return kf_list(c, v, &(struct catalog_list){ .kind = CATALOG_RUN }, err);
}

static enum status list_runs_below(struct call *c, struct view *v, struct err *err)
{
    struct catalog_list list = { .kind = CATALOG_RUN, .has_parent = true };
    enum status st = kf_path_id(c, &list.parent, err);

    return st ? st : kf_list(c, v, &list, err);
}

static enum status get_run(struct call *c, struct view *v, struct err *err)
{
    return kf_get(c, v, CATALOG_RUN, 0, err);
}

static enum status find_run(struct call *c, struct view *v, struct err *err)
{
    return kf_find(c, v, CATALOG_RUN, 0, err);
}

/* ---- what a run logged ----------------------------------------------------------------------------------------------------------- */

/* A page of made-up artifacts: metrics and parameters have no number of their own. */
struct pager {
    struct call *c;
    struct view *v;
    const struct catalog_item *run;
    struct json_writer w;
    size_t max, n;
};

static enum status page_begin(struct pager *p, struct call *c, struct view *v,
                              const struct catalog_item *run, struct err *err)
{
    const struct kubeflow_list *in = c->in;
    int64_t size = KF_PAGE_MAX;

    if (in->page_size.n && (!num_parse_i64(in->page_size, &size) || size < 1)) {
        return err_field(err, ST_INVALID, "pageSize", "pageSize '%.*s' is no positive number",
                         STR_ARG(in->page_size));
    }
    if (in->filter_query.n) {
        return err_field(
            err, ST_INVALID, "filterQuery",
            "filterQuery is not taken for what a run logged; name and artifactType are");
    }
    *p = (struct pager){ .c = c,
                         .v = v,
                         .run = run,
                         .w = JSON_WRITER_INIT(&c->raw),
                         .max = size < KF_PAGE_MAX ? (size_t)size : KF_PAGE_MAX };
    json_w_object(&p->w);
    json_w_key(&p->w, S("items"));
    json_w_array(&p->w);
    return OK;
}

static enum status page_end(struct pager *p, struct str token, struct err *err)
{
    struct buf b = BUF_INIT(TOKEN_MAX * 2);

    if (token.n) {
        base64_put(&b, token, BASE64_URL | BASE64_NO_PAD);
    }
    json_w_array_end(&p->w);
    json_w_key(&p->w, S("nextPageToken"));
    json_w_str(&p->w, b.n ? buf_str(&b) : S(""));
    json_w_key(&p->w, S("pageSize"));
    json_w_u64(&p->w, p->max);
    json_w_key(&p->w, S("size"));
    json_w_u64(&p->w, p->n);
    json_w_object_end(&p->w);
    p->c->raw_type = "application/json";
    buf_release(&b);
    return buf_status(&p->c->raw, "the page", err);
}

static enum status put_item(struct pager *p, enum node_type type, struct str name,
                            struct prop *props, size_t n, struct err *err)
{
    struct kubeflow_artifact *msg;
    struct catalog_item it = { .kind = CATALOG_ARTIFACT,
                               .type = type,
                               .name = kf_name_shown(p->v->arena, name, false),
                               .create_ms = p->run->create_ms,
                               .update_ms = p->run->update_ms,
                               .props = { props, n } };
    void *out;
    enum status st =
        it.name.p ? kf_put(p->v->arena, &kubeflow_artifact_desc, &it, kf_is_v1(p->c), &out, err)
                  : err_nomem(err);

    if (st) {
        return st;
    }
    msg = out;
    MSG_SET(msg, KUBEFLOW_ARTIFACT_HAS_STATE, state, KUBEFLOW_ARTIFACT_STATE_ARTIFACT_LIVE);
    MSG_SET(msg, KUBEFLOW_ARTIFACT_HAS_EXPERIMENT_ID, experiment_id,
            arena_printf(p->v->arena, "%" PRId64, p->run->parent_id));
    MSG_SET(msg, KUBEFLOW_ARTIFACT_HAS_EXPERIMENT_RUN_ID, experiment_run_id,
            arena_printf(p->v->arena, "%" PRId64, p->run->id));
    if (p->w.comma) {
        buf_put_lit(p->w.b, ",");
    }
    msg_encode_json(p->w.b, &kubeflow_artifact_desc, msg, kubeflow_tongue.encode_flags);
    p->w.comma = true;
    p->n++;
    return OK;
}

static enum status put_metric(struct pager *p, struct str name, double value, int64_t at_ms,
                              int64_t step, struct err *err)
{
    struct str at = arena_printf(p->v->arena, "%" PRId64, at_ms);
    struct prop props[] = {
        { .scope = PROP_TYPED, .type = PROP_DOUBLE, .key = S("value"), .d = value },
        { .scope = PROP_TYPED, .type = PROP_TEXT, .key = S("timestamp"), .s = at },
        { .scope = PROP_TYPED, .type = PROP_INT, .key = S("step"), .i = step },
    };

    return at.p ? put_item(p, TYPE_KF_METRIC, name, props, ARRAY_N(props), err) : err_nomem(err);
}

/* MLflow keeps text: numbers are told by their look. */
static enum status put_param(struct pager *p, const struct key_value *param, struct err *err)
{
    double number;
    struct prop props[] = {
        { .scope = PROP_TYPED, .type = PROP_TEXT, .key = S("value"), .s = param->value },
        { .scope = PROP_TYPED,
          .type = PROP_TEXT,
          .key = S("parameter_type"),
          .s = num_parse_double(param->value, &number) ? S("number") : S("string") },
    };

    return put_item(p, TYPE_KF_PARAMETER, param->key, props, ARRAY_N(props), err);
}

/* Decodes a token of ours: "<number>:<rest>". */
static enum status read_token(struct call *c, int64_t *number, struct str *rest, struct err *err)
{
    const struct kubeflow_list *in = c->in;
    struct str text = S(""), part;
    bool nomem = false;

    *number = 0;
    *rest = S("");
    if (!in->next_page_token.n) {
        return OK;
    }
    if (in->next_page_token.n <= TOKEN_MAX * 2 &&
        base64_decode(in->next_page_token, c->arena, &text, &nomem) &&
        str_split(&text, ':', &part) && num_parse_i64(part, number) && *number >= 0) {
        *rest = text;
        return OK;
    }
    return nomem ? err_nomem(err)
                 : err_field(err, ST_INVALID, "nextPageToken",
                             "nextPageToken is not one that this server gave");
}

static enum status run_of_path(struct call *c, struct view *v, struct catalog_item *run,
                               struct err *err)
{
    int64_t id;
    enum status st = kf_path_id(c, &id, err);

    return st ? st : catalog_get(v, CATALOG_RUN, id, run, err);
}

static bool is_asked(const struct kubeflow_list *in, struct arena *a, struct str name)
{
    return !in->name.n || str_eq(in->name, kf_name_shown(a, name, false));
}

/* Metrics with their latest values, then parameters, each by name. */
static enum status run_artifacts(struct call *c, struct view *v, struct err *err)
{
    const struct kubeflow_list *in = c->in;
    enum node_type type = in->artifact_type.n ? kf_artifact_type(in->artifact_type) : 0;
    struct catalog_item run;
    struct pager p;
    struct str rest, token = S("");
    int64_t from;
    size_t i, all = 0;
    enum status st = run_of_path(c, v, &run, err);

    st = st ? st : page_begin(&p, c, v, &run, err);
    st = st ? st : read_token(c, &from, &rest, err);
    if (!st && in->artifact_type.n && !type) {
        st = err_field(err, ST_INVALID, "artifactType", "artifactType '%.*s' is no type",
                       STR_ARG(in->artifact_type));
    }
    if (st) {
        return st;
    }
    all = run.run->metrics_n + run.run->params_n;
    for (i = (size_t)from; !st && i < all && p.n < p.max; i++) {
        bool metric = i < run.run->metrics_n;
        const struct run_metric *m = metric ? &run.run->metrics[i] : NULL;
        const struct key_value *param = metric ? NULL : &run.run->params[i - run.run->metrics_n];

        if ((type && type != (metric ? TYPE_KF_METRIC : TYPE_KF_PARAMETER)) ||
            !is_asked(in, c->arena, metric ? m->key : param->key)) {
            continue;
        }
        st = metric ? put_metric(&p, m->key, m->value, m->timestamp_ms, m->step, err)
                    : put_param(&p, param, err);
    }
    if (!st && i < all) {
        token = arena_printf(c->arena, "%zu:", i);
    }
    return st ? st : page_end(&p, token, err);
}

static bool step_is_asked(struct str steps, int64_t step)
{
    struct str part;
    int64_t one;

    if (!steps.n) {
        return true;
    }
    while (str_split(&steps, ',', &part)) {
        if (num_parse_i64(part, &one) && one == step) {
            return true;
        }
    }
    return false;
}

static enum status check_steps(struct str steps, struct err *err)
{
    struct str rest = steps, part;
    int64_t one;

    while (str_split(&rest, ',', &part)) {
        if (part.n < 1 || part.n > 9 || !num_parse_i64(part, &one) || one < 0) {
            return err_field(err, ST_INVALID, "stepIds",
                             "stepIds '%.*s' are not numbers with commas between them",
                             STR_ARG(str_sub(steps, 0, 100)));
        }
    }
    return OK;
}

/* "<index of the metric>:<timestamp>:<step>:<bits of the value>": after which point the next page begins. */
static enum status read_place(struct str rest, struct point *after, bool *has, struct err *err)
{
    struct str part;
    uint64_t bits;

    *has = rest.n > 0;
    if (!rest.n) {
        return OK;
    }
    if (str_split(&rest, ':', &part) && num_parse_i64(part, &after->timestamp_ms) &&
        str_split(&rest, ':', &part) && num_parse_i64(part, &after->step) &&
        num_parse_u64(rest, &bits)) {
        after->value = num_bits_double(bits);
        return OK;
    }
    return err_field(err, ST_INVALID, "nextPageToken",
                     "nextPageToken is not one that this server gave");
}

/* Points of one metric from a place on; *token: where the page ends, p NULL = all of it was given. */
static enum status put_history(struct pager *p, size_t index, const struct point *after,
                               struct str *token, struct err *err)
{
    const struct kubeflow_list *in = p->c->in;
    const struct run_metric *m = &p->run->run->metrics[index];
    struct point *points, last = { 0 };
    size_t n;
    bool more = true;
    enum status st = OK;

    token->p = NULL;
    while (!st && more) {
        st = run_metric_history(p->v, p->run->run->run_id, m->key, after, KF_PAGE_MAX, &points, &n,
                                &more, err);
        for (size_t i = 0; !st && i < n; i++) {
            if (p->n == p->max) {
                *token =
                    arena_printf(p->c->arena, "%zu:%" PRId64 ":%" PRId64 ":%" PRIu64, index,
                                 after->timestamp_ms, after->step, num_double_bits(after->value));
                return token->p ? OK : err_nomem(err);
            }
            if (step_is_asked(in->step_ids, points[i].step)) {
                st = put_metric(p, m->key, points[i].value, points[i].timestamp_ms, points[i].step,
                                err);
            }
            last = points[i];
            after = &last;
        }
        more = more && n > 0;
    }
    return st;
}

static enum status metric_history(struct call *c, struct view *v, struct err *err)
{
    const struct kubeflow_list *in = c->in;
    struct catalog_item run;
    struct pager p;
    struct point place = { 0 };
    struct str rest, token = { NULL, 0 };
    int64_t from;
    bool has;
    enum status st = run_of_path(c, v, &run, err);

    st = st ? st : check_steps(in->step_ids, err);
    st = st ? st : page_begin(&p, c, v, &run, err);
    st = st ? st : read_token(c, &from, &rest, err);
    st = st ? st : read_place(rest, &place, &has, err);
    for (size_t i = st ? 0 : (size_t)from; !st && !token.p && i < run.run->metrics_n; i++) {
        if (p.n == p.max) {
            token = arena_printf(c->arena, "%zu:", i);
            break;
        }
        if (is_asked(in, c->arena, run.run->metrics[i].key)) {
            st = put_history(&p, i, has && i == (size_t)from ? &place : NULL, &token, err);
        }
    }
    return st ? st : page_end(&p, token, err);
}

#define EXPERIMENT &kubeflow_experiment_desc
#define RUN        &kubeflow_experiment_run_desc

const struct route kubeflow_run_routes[] = {
    ROUTE(HTTP_GET, KF_PATH "/experiments", &kubeflow_list_desc, EXPERIMENT, RESOURCE_EXPERIMENT,
          ACTION_EXPERIMENT_READ, READ(list_experiments)),
    ROUTE(HTTP_GET, KF_PATH "/experiments/{id}", &kubeflow_get_desc, EXPERIMENT,
          RESOURCE_EXPERIMENT, ACTION_EXPERIMENT_READ, READ(get_experiment)),
    ROUTE(HTTP_GET, KF_PATH "/experiment", &kubeflow_find_desc, EXPERIMENT, RESOURCE_EXPERIMENT,
          ACTION_EXPERIMENT_READ, READ(find_experiment)),
    ROUTE(HTTP_GET, KF_PATH "/experiments/{id}/experiment_runs", &kubeflow_list_desc, RUN,
          RESOURCE_RUN, ACTION_RUN_READ, READ(list_runs_below)),
    ROUTE(HTTP_GET, KF_PATH "/experiment_runs", &kubeflow_list_desc, RUN, RESOURCE_RUN,
          ACTION_RUN_READ, READ(list_runs)),
    ROUTE(HTTP_GET, KF_PATH "/experiment_runs/{id}", &kubeflow_get_desc, RUN, RESOURCE_RUN,
          ACTION_RUN_READ, READ(get_run)),
    ROUTE(HTTP_GET, KF_PATH "/experiment_run", &kubeflow_find_desc, RUN, RESOURCE_RUN,
          ACTION_RUN_READ, READ(find_run)),
    ROUTE(HTTP_GET, KF_PATH "/experiment_runs/{id}/artifacts", &kubeflow_list_desc,
          &kubeflow_artifact_desc, RESOURCE_RUN, ACTION_RUN_READ, READ(run_artifacts)),
    ROUTE(HTTP_GET, KF_PATH "/experiment_runs/{id}/metric_history", &kubeflow_list_desc,
          &kubeflow_artifact_desc, RESOURCE_RUN, ACTION_RUN_READ, READ(metric_history)),
};
const size_t kubeflow_run_routes_n = ARRAY_N(kubeflow_run_routes);
