/* api/kubeflow/runs.c - experiments and runs of the tracking API to be read: what a run logged as artifacts, histories of metrics. What
 * changes them is in tracking.c. */
#include "api/kubeflow/filter.h"
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "core/dataset.h"
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

enum status kf_run_artifact(struct view *v, const struct catalog_item *run, enum node_type type,
                            struct str name, struct props props, struct str description,
                            struct str uri, bool v1, struct kubeflow_artifact **out,
                            struct err *err)
{
    struct catalog_item it = { .kind = CATALOG_ARTIFACT,
                               .type = type,
                               .name = kf_name_shown(v->arena, name, false),
                               .description = description,
                               .uri = uri,
                               .create_ms = run->create_ms,
                               .update_ms = run->update_ms,
                               .props = props };
    struct kubeflow_artifact *msg;
    void *made;
    enum status st =
        it.name.p ? kf_put(v->arena, &kubeflow_artifact_desc, &it, v1, &made, err) : err_nomem(err);

    if (st) {
        return st;
    }
    *out = msg = made;
    MSG_SET(msg, KUBEFLOW_ARTIFACT_HAS_STATE, state, KUBEFLOW_ARTIFACT_STATE_ARTIFACT_LIVE);
    MSG_SET(msg, KUBEFLOW_ARTIFACT_HAS_EXPERIMENT_ID, experiment_id,
            arena_printf(v->arena, "%" PRId64, run->parent_id));
    MSG_SET(msg, KUBEFLOW_ARTIFACT_HAS_EXPERIMENT_RUN_ID, experiment_run_id,
            arena_printf(v->arena, "%" PRId64, run->id));
    return msg->experiment_id.p && msg->experiment_run_id.p ? OK : err_nomem(err);
}

static enum status put_msg(struct pager *p, const struct kubeflow_artifact *msg)
{
    if (p->w.comma) {
        buf_put_lit(p->w.b, ",");
    }
    msg_encode_json(p->w.b, &kubeflow_artifact_desc, msg, kubeflow_tongue.encode_flags);
    p->w.comma = true;
    p->n++;
    return OK;
}

/* What the run says of something it logged, in a tag; p NULL when it says nothing. */
static struct str note_of(struct arena *a, const struct run_view *run, enum node_type type,
                          struct str name, const char *what)
{
    struct str key = kf_note_tag(a, type, name, what);
    const struct str *value = key.p ? run_view_tag(run, key) : NULL;

    return value ? *value : (struct str){ NULL, 0 };
}

enum status kf_run_metric(struct view *v, const struct catalog_item *run, struct str name,
                          const struct point *at, bool v1, struct kubeflow_artifact **out,
                          struct err *err)
{
    struct str when = arena_printf(v->arena, "%" PRId64, at->timestamp_ms), none = { NULL, 0 };
    struct prop props[] = {
        { .scope = PROP_TYPED, .type = PROP_DOUBLE, .key = S("value"), .d = at->value },
        { .scope = PROP_TYPED, .type = PROP_TEXT, .key = S("timestamp"), .s = when },
        { .scope = PROP_TYPED, .type = PROP_INT, .key = S("step"), .i = at->step },
    };

    return when.p
               ? kf_run_artifact(v, run, TYPE_KF_METRIC, name,
                                 (struct props){ props, ARRAY_N(props) },
                                 note_of(v->arena, run->run, TYPE_KF_METRIC, name, "description"),
                                 none, v1, out, err)
               : err_nomem(err);
}

struct str kf_param_look(struct str value)
{
    double number;

    return num_parse_double(value, &number)                                      ? S("number")
           : str_eq_nocase(value, S("true")) || str_eq_nocase(value, S("false")) ? S("boolean")
                                                                                 : S("string");
}

enum status kf_run_param(struct view *v, const struct catalog_item *run,
                         const struct key_value *param, bool v1, struct kubeflow_artifact **out,
                         struct err *err)
{
    struct str type = note_of(v->arena, run->run, TYPE_KF_PARAMETER, param->key, "type"),
               none = { NULL, 0 };
    struct prop props[] = {
        { .scope = PROP_TYPED, .type = PROP_TEXT, .key = S("value"), .s = param->value },
        { .scope = PROP_TYPED,
          .type = PROP_TEXT,
          .key = S("parameter_type"),
          .s = type.p ? type : kf_param_look(param->value) },
    };

    return kf_run_artifact(
        v, run, TYPE_KF_PARAMETER, param->key, (struct props){ props, ARRAY_N(props) },
        note_of(v->arena, run->run, TYPE_KF_PARAMETER, param->key, "description"), none, v1, out,
        err);
}

struct str kf_source_uri(struct arena *a, struct str source)
{
    struct json_reader r;
    struct str uri = { NULL, 0 };
    enum json_event ev;

    json_init(&r, source, 0, 8);
    ev = json_next(&r);
    if (ev != JSON_EV_OBJECT) {
        uri = source;
    }
    for (; ev == JSON_EV_OBJECT || ev == JSON_EV_KEY; ev = json_next(&r)) {
        if (ev == JSON_EV_KEY) {
            bool wanted = str_eq_lit(json_text(&r, a), "uri");

            ev = json_next(&r);
            if (wanted && ev == JSON_EV_STRING) {
                uri = json_text(&r, a);
                break;
            }
            if (ev == JSON_EV_OBJECT || ev == JSON_EV_ARRAY) {
                break;
            }
        }
    }
    json_release(&r);
    return uri;
}

enum status kf_run_dataset(struct view *v, const struct catalog_item *run,
                           const struct dataset_input *d, bool v1, struct kubeflow_artifact **out,
                           struct err *err)
{
    const struct {
        const char *key;
        struct str value;
    } said[] = { { "digest", d->digest },
                 { "source_type", d->source_type },
                 { "source", d->source },
                 { "schema", d->schema },
                 { "profile", d->profile } };
    struct prop props[ARRAY_N(said)];
    struct str uri = note_of(v->arena, run->run, TYPE_KF_DATASET, d->name, "uri");
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_N(said); i++) {
        if (said[i].value.p) {
            props[n++] = (struct prop){ .scope = PROP_TYPED,
                                        .type = PROP_TEXT,
                                        .key = str_cstr(said[i].key),
                                        .s = said[i].value };
        }
    }
    return kf_run_artifact(v, run, TYPE_KF_DATASET, d->name, (struct props){ props, n },
                           note_of(v->arena, run->run, TYPE_KF_DATASET, d->name, "description"),
                           uri.p ? uri : kf_source_uri(v->arena, d->source), v1, out, err);
}

static enum status put_metric(struct pager *p, struct str name, double value, int64_t at_ms,
                              int64_t step, struct err *err)
{
    const struct point at = { .timestamp_ms = at_ms, .step = step, .value = value };
    struct kubeflow_artifact *msg;
    enum status st = kf_run_metric(p->v, p->run, name, &at, kf_is_v1(p->c), &msg, err);

    return st ? st : put_msg(p, msg);
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

/* The i-th of what the run logged: metrics with their latest values, then parameters, then data sets. */
static enum status put_logged(struct pager *p, const struct dataset_input *sets, size_t i,
                              enum node_type type, struct err *err)
{
    const struct run_view *run = p->run->run;
    const struct kubeflow_list *in = p->c->in;
    enum node_type is = i < run->metrics_n                   ? TYPE_KF_METRIC
                        : i < run->metrics_n + run->params_n ? TYPE_KF_PARAMETER
                                                             : TYPE_KF_DATASET;
    size_t at = i - (is == TYPE_KF_METRIC      ? 0
                     : is == TYPE_KF_PARAMETER ? run->metrics_n
                                               : run->metrics_n + run->params_n);
    struct str name = is == TYPE_KF_METRIC      ? run->metrics[at].key
                      : is == TYPE_KF_PARAMETER ? run->params[at].key
                                                : sets[at].name;
    struct kubeflow_artifact *msg;
    enum status st;

    if ((type && type != is) || !is_asked(in, p->c->arena, name)) {
        return OK;
    }
    if (is == TYPE_KF_METRIC) {
        const struct run_metric *m = &run->metrics[at];

        return put_metric(p, m->key, m->value, m->timestamp_ms, m->step, err);
    }
    st = is == TYPE_KF_PARAMETER
             ? kf_run_param(p->v, p->run, &run->params[at], kf_is_v1(p->c), &msg, err)
             : kf_run_dataset(p->v, p->run, &sets[at], kf_is_v1(p->c), &msg, err);
    return st ? st : put_msg(p, msg);
}

static enum status run_artifacts(struct call *c, struct view *v, struct err *err)
{
    const struct kubeflow_list *in = c->in;
    enum node_type type = in->artifact_type.n ? kf_artifact_type(in->artifact_type) : 0;
    struct catalog_item run;
    struct dataset_input *sets;
    struct pager p;
    struct str rest, token = S("");
    int64_t from;
    size_t i, all = 0, sets_n = 0;
    enum status st = run_of_path(c, v, &run, err);

    st = st ? st : page_begin(&p, c, v, &run, err);
    st = st ? st : read_token(c, &from, &rest, err);
    st = st ? st : dataset_inputs_of_run(v, run.uid, &sets, &sets_n, err);
    if (!st && in->artifact_type.n && !type) {
        st = err_field(err, ST_INVALID, "artifactType", "artifactType '%.*s' is no type",
                       STR_ARG(in->artifact_type));
    }
    if (st) {
        return st;
    }
    all = run.run->metrics_n + run.run->params_n + sets_n;
    for (i = (size_t)from; !st && i < all && p.n < p.max; i++) {
        st = put_logged(&p, sets, i, type, err);
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
