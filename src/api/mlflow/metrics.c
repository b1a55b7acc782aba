/* api/mlflow/metrics.c - metric history, one run or many. */
#include "api/mlflow/mlflow_int.h"
#include "base/num.h"
#include "codec/base64.h"
#include "core/metric_interval.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    HISTORY_PAGE_MAX = 10000000, /* rows of one answer without max_results */
    BULK_ROWS_MAX = 25000,
    BULK_RUNS_MAX = 100,
    INTERVAL_MAX = 2500
};

/* ---- page tokens: the last point of the page, 24 bytes in base64url ------------------------------------------------------- */

static struct str token_of(struct arena *a, const struct point *p)
{
    struct buf raw = BUF_INIT(64), text = BUF_INIT(128);
    struct str out = { NULL, 0 };

    buf_put_u64(&raw, (uint64_t)p->timestamp_ms);
    buf_put_u64(&raw, (uint64_t)p->step);
    buf_put_u64(&raw, num_double_bits(p->value));
    base64_put(&text, buf_str(&raw), BASE64_URL | BASE64_NO_PAD);
    if (!raw.failed && !text.failed) {
        out = arena_str(a, buf_str(&text));
    }
    buf_release(&raw);
    buf_release(&text);
    return out;
}

static enum status token_read(struct arena *a, struct str token, struct point *p, struct err *err)
{
    struct str raw;
    struct rd r;
    bool nomem = false;

    if (!base64_decode(token, a, &raw, &nomem) || raw.n != 24) {
        return nomem ? err_nomem(err)
                     : err_field(err, ST_INVALID, "page_token",
                                 "Invalid page token, could not base64-decode");
    }
    r = rd_of(raw.p, raw.n);
    p->timestamp_ms = (int64_t)rd_u64(&r);
    p->step = (int64_t)rd_u64(&r);
    p->value = num_bits_double(rd_u64(&r));
    return OK;
}

static enum status history(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_metric_history *in = c->in;
    struct mlflow_get_metric_history_response *out =
        ARENA_NEW(c->arena, struct mlflow_get_metric_history_response);
    bool paged = (in->has & MLFLOW_GET_METRIC_HISTORY_HAS_MAX_RESULTS) != 0;
    size_t max = paged ? (size_t)MAX_OF(in->max_results, 0) : (size_t)HISTORY_PAGE_MAX, n;
    struct point after, *points;
    bool more;
    enum status st = OK;

    if (!out) {
        return err_nomem(err);
    }
    if (paged && in->max_results <= 0) {
        return err_field(err, ST_INVALID, "max_results",
                         "Invalid value %" PRId32
                         " for parameter 'max_results' supplied. It must be a positive integer.",
                         in->max_results);
    }
    if (in->page_token.n) {
        st = token_read(c->arena, in->page_token, &after, err);
    }
    st = st ? st
            : run_metric_history(v, in->run_id, in->metric_key, in->page_token.n ? &after : NULL,
                                 max, &points, &n, &more, err);
    if (st) {
        return st;
    }
    out->metrics = ARENA_ARRAY(c->arena, struct mlflow_metric, n);
    if (!out->metrics) {
        return err_nomem(err);
    }
    out->metrics_n = n;
    for (size_t i = 0; i < n; i++) {
        mlflow_put_metric(in->metric_key, &points[i], &out->metrics[i]);
    }
    if (more && n) {
        struct str token = token_of(c->arena, &points[n - 1]);

        if (!token.p) {
            return err_nomem(err);
        }
        MSG_SET(out, MLFLOW_GET_METRIC_HISTORY_RESPONSE_HAS_NEXT_PAGE_TOKEN, next_page_token,
                token);
    }
    c->out = out;
    return OK;
}

/* ---- many runs ------------------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void put_row(struct str key, struct str run_id, const struct point *p,
                    struct mlflow_metric_with_run_id *out)
{
    *out = (struct mlflow_metric_with_run_id){ 0 };
    MSG_SET(out, MLFLOW_METRIC_WITH_RUN_ID_HAS_KEY, key, key);
    MSG_SET(out, MLFLOW_METRIC_WITH_RUN_ID_HAS_VALUE, value, mlflow_finite(p->value));
    MSG_SET(out, MLFLOW_METRIC_WITH_RUN_ID_HAS_TIMESTAMP, timestamp, p->timestamp_ms);
    MSG_SET(out, MLFLOW_METRIC_WITH_RUN_ID_HAS_STEP, step, p->step);
    MSG_SET(out, MLFLOW_METRIC_WITH_RUN_ID_HAS_RUN_ID, run_id, run_id);
}

/* This route is hand-written upstream: its answer carries NaN as a bare token. */
static enum status answer_bulk(struct call *c,
                               const struct mlflow_get_metric_history_bulk_response *out,
                               struct err *err)
{
    (void)err;
    msg_encode_json(&c->raw, &mlflow_get_metric_history_bulk_response_desc, out,
                    MSG_JSON_INT64_AS_NUMBER | MSG_JSON_ASCII | MSG_JSON_NAN_BARE);
    if (!out->metrics_n) {
        buf_clear(&c->raw);
        buf_put_lit(&c->raw, "{\"metrics\":[]}");
    }
    c->raw_type = "application/json";
    return OK;
}

static enum status bulk(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_metric_history_bulk *in = c->in;
    struct mlflow_get_metric_history_bulk_response out = { 0 };
    size_t max = (size_t)MIN_OF(MAX_OF(in->max_results, 0), BULK_ROWS_MAX), cap = 0;
    struct str *runs = in->run_id;
    enum status st = OK;

    if (!in->run_id_n) {
        return err_field(err, ST_INVALID, "run_id",
                         "GetMetricHistoryBulk request must specify at least one run_id.");
    }
    if (in->run_id_n > BULK_RUNS_MAX) {
        return err_field(
            err, ST_INVALID, "run_id",
            "GetMetricHistoryBulk request cannot specify more than %d run_ids. Received %zu run_ids.",
            BULK_RUNS_MAX, in->run_id_n);
    }
    if (!(in->has & MLFLOW_GET_METRIC_HISTORY_BULK_HAS_METRIC_KEY)) {
        return err_field(err, ST_INVALID, "metric_key",
                         "GetMetricHistoryBulk request must specify a metric_key.");
    }
    qsort(runs, in->run_id_n, sizeof(*runs), by_text);
    for (size_t i = 0; !st && i < in->run_id_n && out.metrics_n < max; i++) {
        struct point *points;
        size_t n;
        bool more;

        if (i && str_eq(runs[i], runs[i - 1])) {
            continue;
        }
        st = run_metric_history(v, runs[i], in->metric_key, NULL, max - out.metrics_n, &points, &n,
                                &more, err);
        if (st == ST_NOT_FOUND) {
            st = OK; /* an unknown run has no rows */
            continue;
        }
        for (size_t k = 0; !st && k < n; k++) {
            if (!arena_grow(c->arena, (void **)&out.metrics, out.metrics_n, &cap,
                            sizeof(*out.metrics))) {
                st = err_nomem(err);
                break;
            }
            put_row(in->metric_key, runs[i], &points[k], &out.metrics[out.metrics_n++]);
        }
    }
    return st ? st : answer_bulk(c, &out, err);
}

static enum status check_range(const struct mlflow_get_metric_history_bulk_interval *in,
                               struct err *err)
{
    bool start = (in->has & MLFLOW_GET_METRIC_HISTORY_BULK_INTERVAL_HAS_START_STEP) != 0;
    bool end = (in->has & MLFLOW_GET_METRIC_HISTORY_BULK_INTERVAL_HAS_END_STEP) != 0;

    if (in->run_ids_n > BULK_RUNS_MAX) {
        return err_field(
            err, ST_INVALID, "run_ids",
            "GetMetricHistoryBulkInterval request must specify at most %d run_ids. Received %zu run_ids. See the "
            "API docs for more information about request parameters.",
            BULK_RUNS_MAX, in->run_ids_n);
    }
    if (in->max_results < 1 || in->max_results > INTERVAL_MAX) {
        return err_field(
            err, ST_INVALID, "max_results",
            "max_results must be between 1 and %d. See the API docs for more information about request "
            "parameters.",
            INTERVAL_MAX);
    }
    if (start != end) {
        return err_field(err, ST_INVALID, start ? "end_step" : "start_step",
                         "If either start step or end step are specified, both must be specified.");
    }
    if (start && in->start_step > in->end_step) {
        return err_field(err, ST_INVALID, "end_step",
                         "end_step must be greater than start_step. Found start_step=%" PRId32
                         " and end_step=%" PRId32 ".",
                         in->start_step, in->end_step);
    }
    return OK;
}

static enum status interval(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_metric_history_bulk_interval *in = c->in;
    struct mlflow_get_metric_history_bulk_interval_response *out =
        ARENA_NEW(c->arena, struct mlflow_get_metric_history_bulk_interval_response);
    bool ranged = (in->has & MLFLOW_GET_METRIC_HISTORY_BULK_INTERVAL_HAS_START_STEP) != 0;
    struct metric_interval q = { .run_ids = in->run_ids,
                                 .run_ids_n = in->run_ids_n,
                                 .key = in->metric_key,
                                 .first_step = ranged ? in->start_step : INT64_MIN,
                                 .last_step = ranged ? in->end_step : INT64_MAX,
                                 .max = (size_t)MAX_OF(in->max_results, 0) };
    struct interval_row *rows;
    size_t n;
    enum status st = check_range(in, err);

    if (!out) {
        return err_nomem(err);
    }
    st = st ? st : metric_interval(v, &q, &rows, &n, err);
    if (st) {
        return st;
    }
    out->metrics = ARENA_ARRAY(c->arena, struct mlflow_metric_with_run_id, n);
    if (!out->metrics) {
        return err_nomem(err);
    }
    out->metrics_n = n;
    for (size_t i = 0; i < n; i++) {
        put_row(in->metric_key, rows[i].run_id, &rows[i].point, &out->metrics[i]);
    }
    c->out = out;
    return OK;
}

const struct route mlflow_metric_routes[] = {
    ROUTE(HTTP_GET, "/api/2.0/mlflow/metrics/get-history", &mlflow_get_metric_history_desc,
          &mlflow_get_metric_history_response_desc, RESOURCE_RUN, ACTION_RUN_READ, READ(history)),
    ROUTE(HTTP_GET, "/api/2.0/mlflow/metrics/get-history-bulk",
          &mlflow_get_metric_history_bulk_desc, &mlflow_get_metric_history_bulk_response_desc,
          RESOURCE_RUN, ACTION_RUN_READ, READ(bulk)),
    ROUTE(HTTP_GET, "/api/2.0/mlflow/metrics/get-history-bulk-interval",
          &mlflow_get_metric_history_bulk_interval_desc,
          &mlflow_get_metric_history_bulk_interval_response_desc, RESOURCE_RUN, ACTION_RUN_READ,
          READ(interval)),
};
const size_t mlflow_metric_routes_n = ARRAY_N(mlflow_metric_routes);
