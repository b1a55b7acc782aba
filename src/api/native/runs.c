/* api/native/runs.c - what values a key has among the runs of experiments. */
#include "api/native/native.h"
#include "core/experiment.h"
#include "core/run_search.h"
#include "core/search/column_values.h"

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
    int64_t *ids = ARENA_ARRAY(c->arena, int64_t, in->experiment_ids_n + 1);
    struct run_search q = { .experiments = ids, .n = in->experiment_ids_n, .filter = in->filter };
    struct values_result r;
    enum status st = read_view(in->view, &q.view_type, err);

    if (st) return st;
    if (!out || !ids) return err_nomem(err);
    for (size_t i = 0; i < q.n && !st; i++) {
        st = experiment_parse_id(in->experiment_ids[i], &ids[i], err);
    }
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

const struct route native_run_routes[] = {
    ROUTE(HTTP_POST, "/api/cairn/v1/runs/values", &cairn_v1_run_values_query_desc,
          &cairn_v1_run_values_answer_desc, RESOURCE_RUN, ACTION_RUN_READ,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = run_values_read)),
};
const size_t native_run_routes_n = ARRAY_N(native_run_routes);
