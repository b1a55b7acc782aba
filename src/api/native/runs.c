/* api/native/runs.c - runs with the values that are asked for; what values a key has among runs. */
#include "gen/native/runs.h"
#include "api/native/native.h"
#include "base/utf8.h"
#include "core/experiment.h"
#include "core/run_project.h"
#include "core/run_search.h"
#include "core/search/column_values.h"

enum { FILTER_ROOM = FILTER_TEXT_MAX + 4096 };

static enum status read_view(struct str text, enum view_type *out, struct err *err)
{
    if (!text.n || str_eq_lit(text, "active")) {
        *out = VIEW_ACTIVE_ONLY;
    } else if (str_eq_lit(text, "deleted")) {
        *out = VIEW_DELETED_ONLY;
    } else if (str_eq_lit(text, "all")) {
        *out = VIEW_ALL;
    } else {
        return err_field(err, ST_INVALID, "view", "view is '%.*s', not active, deleted or all",
                         STR_ARG(text));
    }
    return OK;
}

static enum status experiments_of(struct arena *a, const struct str *texts, size_t n,
                                  struct run_search *q, struct err *err)
{
    int64_t *ids = ARENA_ARRAY(a, int64_t, n + 1);
    enum status st = ids ? OK : err_nomem(err);

    for (size_t i = 0; i < n && !st; i++) {
        st = experiment_parse_id(texts[i], &ids[i], err);
    }
    q->experiments = ids;
    q->n = n;
    return st;
}

/* ---- search ------------------------------------------------------------------------------------------------------------------------ */

struct rows {
    struct arena *arena;
    struct cairn_v1_run_search_answer *out;
};

static bool copy_pairs(struct arena *a, const struct key_value *p, size_t n,
                       struct cairn_v1_run_pair **out)
{
    *out = ARENA_ARRAY(a, struct cairn_v1_run_pair, n + 1);
    for (size_t i = 0; *out && i < n; i++) {
        struct cairn_v1_run_pair *to = &(*out)[i];

        MSG_SET(to, CAIRN_V1_RUN_PAIR_HAS_KEY, key, arena_str(a, p[i].key));
        MSG_SET(to, CAIRN_V1_RUN_PAIR_HAS_VALUE, value, arena_str(a, p[i].value));
        if (!to->key.p || !to->value.p) return false;
    }
    return *out != NULL;
}

static bool copy_metrics(struct arena *a, const struct run_view *run, struct cairn_v1_run_row *to)
{
    to->metrics = ARENA_ARRAY(a, struct cairn_v1_run_metric, run->metrics_n + 1);
    for (size_t i = 0; to->metrics && i < run->metrics_n; i++) {
        struct cairn_v1_run_metric *m = &to->metrics[i];

        MSG_SET(m, CAIRN_V1_RUN_METRIC_HAS_KEY, key, arena_str(a, run->metrics[i].key));
        MSG_SET(m, CAIRN_V1_RUN_METRIC_HAS_VALUE, value, run->metrics[i].value);
        if (!m->key.p) return false;
    }
    to->metrics_n = run->metrics_n;
    return to->metrics != NULL;
}

static enum status add_row(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    struct rows *r = ctx;
    struct arena *a = r->arena;
    struct cairn_v1_run_row *to = &r->out->runs[r->out->runs_n++];

    (void)i;
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_RUN_ID, run_id, arena_str(a, run->run_id));
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_RUN_NAME, run_name, arena_str(a, run->name));
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_EXPERIMENT_ID, experiment_id,
            arena_printf(a, "%lld", (long long)run->experiment));
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_STATUS, status, run_status_name(run->status));
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_START_TIME, start_time, run->start_ms);
    if (run->has_end) {
        MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_END_TIME, end_time, run->end_ms);
    }
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_USER_ID, user_id, arena_str(a, run->user_id));
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_LIFECYCLE_STAGE, lifecycle_stage,
            run->lifecycle == LIFECYCLE_DELETED ? S("deleted") : S("active"));
    MSG_SET(to, CAIRN_V1_RUN_ROW_HAS_ARTIFACT_URI, artifact_uri, arena_str(a, run->artifact_uri));
    to->params_n = run->params_n;
    to->tags_n = run->tags_n;
    if (!to->run_id.p || !to->run_name.p || !to->experiment_id.p || !to->user_id.p ||
        !to->artifact_uri.p || !copy_metrics(a, run, to) ||
        !copy_pairs(a, run->params, run->params_n, &to->params) ||
        !copy_pairs(a, run->tags, run->tags_n, &to->tags)) {
        return err_nomem(err);
    }
    return OK;
}

static enum status search(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_run_search *in = c->in;
    struct run_search q = { .filter = in->filter,
                            .order_by = in->order_by,
                            .order_by_n = in->order_by_n,
                            .page = { (size_t)in->max_results, in->page_token },
                            .count = in->count };
    struct run_projection keys = { { in->metric_keys, in->metric_keys_n },
                                   { in->param_keys, in->param_keys_n },
                                   { in->tag_keys, in->tag_keys_n } };
    struct rows rows = { c->arena, ARENA_NEW(c->arena, struct cairn_v1_run_search_answer) };
    struct run_found found;
    enum status st = rows.out ? read_view(in->view, &q.view_type, err) : err_nomem(err);

    st = st ? st : experiments_of(c->arena, in->experiment_ids, in->experiment_ids_n, &q, err);
    st = st ? st : run_find(v, &q, &found, err);
    if (st) {
        return st;
    }
    rows.out->runs = ARENA_ARRAY(c->arena, struct cairn_v1_run_row, found.n + 1);
    if (!rows.out->runs) {
        return err_nomem(err);
    }
    st = run_project(v, found.uids, found.n, &keys, add_row, &rows, err);
    if (found.next_token.n) {
        MSG_SET(rows.out, CAIRN_V1_RUN_SEARCH_ANSWER_HAS_NEXT_PAGE_TOKEN, next_page_token,
                found.next_token);
    }
    if (in->count) {
        MSG_SET(rows.out, CAIRN_V1_RUN_SEARCH_ANSWER_HAS_TOTAL, total, (int64_t)found.total);
    }
    c->raw_type = "application/json";
    msg_encode_json(&c->raw, &cairn_v1_run_search_answer_desc, rows.out, MSG_JSON_NAN_STRINGS);
    return st ? st : buf_status(&c->raw, "list of runs", err);
}

/* ---- values ----------------------------------------------------------------------------------------- */

/* The filter, and that the key begins with the prefix: a regular expression in which every character is given by its number. */
static enum status with_prefix(struct arena *a, const struct cairn_v1_run_values_query *in,
                               struct str *out, struct err *err)
{
    struct buf b = BUF_INIT(FILTER_ROOM);
    enum status st;

    if (in->filter.n) buf_printf(&b, "(%.*s) and ", STR_ARG(in->filter));
    buf_put_str(&b, in->key);
    buf_put_lit(&b, " =~ '\\A");
    for (size_t at = 0; at < in->prefix.n;) {
        buf_printf(&b, "\\x{%x}", (unsigned)utf8_next(in->prefix, &at));
    }
    buf_put_lit(&b, "'");
    st = buf_status(&b, "filter", err);
    if (!st) {
        *out = arena_str(a, buf_str(&b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

static enum status put_texts(struct call *c, const struct values_result *r,
                             struct cairn_v1_run_values_answer *out, struct err *err)
{
    out->values = ARENA_ARRAY(c->arena, struct cairn_v1_run_value, r->n + 1);
    if (!out->values) return err_nomem(err);
    out->values_n = r->n;
    for (size_t i = 0; i < r->n; i++) {
        MSG_SET(&out->values[i], CAIRN_V1_RUN_VALUE_HAS_VALUE, value, r->values[i].text);
        MSG_SET(&out->values[i], CAIRN_V1_RUN_VALUE_HAS_RUNS, runs, (int64_t)r->values[i].n);
    }
    MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_DISTINCT, distinct, (int64_t)r->distinct);
    if (r->others) {
        MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_OTHERS, others, (int64_t)r->others);
    }
    return OK;
}

static void put_numbers(const struct values_result *r, struct cairn_v1_run_values_answer *out)
{
    bool has_any = r->runs > r->missing + r->nan_n;

    if (r->type == SEARCH_INTEGER) {
        if (has_any) {
            MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_MIN_MS, min_ms, r->min_i);
            MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_MAX_MS, max_ms, r->max_i);
        }
        return;
    }
    MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_NAN, nan, (int64_t)r->nan_n);
    if (has_any) {
        MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_MIN, min, r->min);
        MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_MAX, max, r->max);
    }
}

static enum status run_values_read(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_run_values_query *in = c->in;
    struct cairn_v1_run_values_answer *out = ARENA_NEW(c->arena, struct cairn_v1_run_values_answer);
    struct run_search q = { .filter = in->filter };
    struct values_result r;
    enum status st = read_view(in->view, &q.view_type, err);

    if (st) return st;
    if (!out) return err_nomem(err);
    st = experiments_of(c->arena, in->experiment_ids, in->experiment_ids_n, &q, err);
    if (!st && in->prefix.n) st = with_prefix(c->arena, in, &q.filter, err);
    if (!st) st = run_values(v, &q, in->key, (size_t)in->max_values, &r, err);
    if (st) return st;
    MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_RUNS, runs, (int64_t)r.runs);
    MSG_SET(out, CAIRN_V1_RUN_VALUES_ANSWER_HAS_MISSING, missing, (int64_t)r.missing);
    if (r.type == SEARCH_TEXT) {
        st = put_texts(c, &r, out, err);
    } else {
        put_numbers(&r, out);
    }
    c->out = out;
    return st;
}

static enum status events(struct call *c, struct view *v, struct err *err)
{
    struct cairn_v1_run_events_answer *out = ARENA_NEW(c->arena, struct cairn_v1_run_events_answer);
    struct run_event *list;
    size_t n;
    enum status st =
        out ? run_events(v, call_capture(c, "run_id"), &list, &n, err) : err_nomem(err);

    if (st) return st;
    out->events_n = n;
    out->events = ARENA_ARRAY(c->arena, struct cairn_v1_run_event, n + 1);
    if (!out->events) return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        struct cairn_v1_run_event *to = &out->events[i];

        MSG_SET(to, CAIRN_V1_RUN_EVENT_HAS_WHAT, what, S("resumed"));
        MSG_SET(to, CAIRN_V1_RUN_EVENT_HAS_AT_MS, at_ms, list[i].at_ms);
        MSG_SET(to, CAIRN_V1_RUN_EVENT_HAS_BEFORE, before, run_status_name(list[i].before));
        MSG_SET(to, CAIRN_V1_RUN_EVENT_HAS_SINCE_MS, since_ms, list[i].since_ms);
        MSG_SET(to, CAIRN_V1_RUN_EVENT_HAS_WHO, who, list[i].who);
    }
    c->out = out;
    return OK;
}

const struct route native_run_routes[] = {
    ROUTE(HTTP_GET, "/api/cairn/v1/runs/{run_id}/events", &cairn_v1_run_events_query_desc,
          &cairn_v1_run_events_answer_desc, RESOURCE_RUN, ACTION_RUN_READ,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = events)),
    ROUTE(HTTP_POST, "/api/cairn/v1/runs/search", &cairn_v1_run_search_desc,
          &cairn_v1_run_search_answer_desc, RESOURCE_RUN, ACTION_RUN_READ,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = search)),
    ROUTE(HTTP_POST, "/api/cairn/v1/runs/values", &cairn_v1_run_values_query_desc,
          &cairn_v1_run_values_answer_desc, RESOURCE_RUN, ACTION_RUN_READ,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = run_values_read)),
};
const size_t native_run_routes_n = ARRAY_N(native_run_routes);
