/* api/mlflow/metrics.c - metric history, one run or many. */
#include "api/mlflow/mlflow_int.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "core/metric_interval.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    HISTORY_PIECE = 100000, /* rows of a long answer that are held at once */
    BULK_ROWS_MAX = 25000,
    BULK_RUNS_MAX = 100,
    INTERVAL_MAX = 2500,
    ROW_BYTES = 88 /* of a row beside its key and its run, mostly */
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

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

/* Rows of one key (and run) are written without messages in between: what does not change is laid down once. The text is
 * that of the message tables. */
struct row_writer {
    struct buf text;
    struct str head, tail; /* {"key":"k","value":   and }   or ,"run_id":"r"} */
    bool bare_nan, comma;
};

static void free_buf(void *ctx)
{
    buf_release(ctx);
}

/* w is zero, or has rows of another run before these. */
static enum status rows_begin(struct row_writer *w, struct arena *a, struct str key, struct str run,
                              struct err *err)
{
    size_t split;

    if (!w->text.max) {
        buf_init(&w->text, 1 << 20);
        if (!arena_cleanup(a, free_buf, &w->text)) return err_nomem(err);
    }
    buf_clear(&w->text);
    buf_put_lit(&w->text, "{\"key\":");
    json_put_str(&w->text, key, true);
    buf_put_lit(&w->text, ",\"value\":");
    split = w->text.n;
    if (run.p) {
        buf_put_lit(&w->text, ",\"run_id\":");
        json_put_str(&w->text, run, true);
    }
    buf_put_u8(&w->text, '}');
    w->head = str_of(w->text.p, split);
    w->tail = str_of(w->text.p + split, w->text.n - split);
    return buf_status(&w->text, "row", err);
}

static char *put_bytes(char *at, const char *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

static char *put_value(const struct row_writer *w, char *at, double v)
{
    v = mlflow_finite(v);
    if (v == v) return at + num_print_double(v, at);
    return w->bare_nan ? put_bytes(at, "NaN", 3) : put_bytes(at, "\"NaN\"", 5);
}

static void rows_put(struct row_writer *w, struct buf *b, const struct point *p)
{
    enum { FIXED = 1 + NUM_DOUBLE_MAX + 13 + NUM_I64_MAX + 8 + NUM_I64_MAX };
    char *at;

    if (!buf_reserve(b, w->head.n + w->tail.n + FIXED)) return;
    at = b->p + b->n;
    if (w->comma) *at++ = ',';
    w->comma = true;
    at = put_bytes(at, w->head.p, w->head.n);
    at = put_value(w, at, p->value);
    at = put_bytes(at, ",\"timestamp\":", 13);
    at += num_print_i64(p->timestamp_ms, at);
    at = put_bytes(at, ",\"step\":", 8);
    at += num_print_i64(p->step, at);
    at = put_bytes(at, w->tail.p, w->tail.n);
    b->n = (size_t)(at - b->p);
}

/* ---- one run --------------------------------------------------------------------------------------------------------------- */

/* A history leaves page by page, so that its length costs no memory. */
struct history_call {
    struct long_answer answer;
    struct str run_id, key;
    size_t left; /* rows wanted */
    struct point after;
    bool has_after, begun;
    struct row_writer rows;
};

static enum status history_more(struct long_answer *l, struct view *v, struct buf *out, bool *last,
                                struct err *err)
{
    struct history_call *h = CONTAINER_OF(l, struct history_call, answer);
    struct point *points;
    struct str token;
    size_t n;
    bool more;
    enum status st =
        run_metric_history(v, h->run_id, h->key, h->has_after ? &h->after : NULL,
                           MIN_OF(h->left, (size_t)HISTORY_PIECE), &points, &n, &more, err);

    if (st) return st;
    h->left -= n;
    *last = !more || h->left == 0 || n == 0;
    if (!h->begun) buf_put_cstr(out, n ? "{\"metrics\":[" : "{");
    for (size_t i = 0; i < n; i++) {
        rows_put(&h->rows, out, &points[i]);
    }
    if (n) {
        h->after = points[n - 1];
        h->has_after = true;
    }
    if (*last && h->rows.comma) buf_put_u8(out, ']');
    if (*last && more && n) {
        token = token_of(v->arena, &h->after);
        if (!token.p) return err_nomem(err);
        buf_put_lit(out, ",\"next_page_token\":");
        json_put_str(out, token, true);
    }
    if (*last) buf_put_u8(out, '}');
    h->begun = true;
    return OK;
}

static enum status history(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_metric_history *in = c->in;
    struct history_call *h = ARENA_NEW(c->arena, struct history_call);
    bool paged = (in->has & MLFLOW_GET_METRIC_HISTORY_HAS_MAX_RESULTS) != 0;
    enum status st = h ? OK : err_nomem(err);

    if (st) return st;
    if (paged && in->max_results <= 0) {
        return err_field(err, ST_INVALID, "max_results",
                         "Invalid value %" PRId32
                         " for parameter 'max_results' supplied. It must be a positive integer.",
                         in->max_results);
    }
    h->answer.more = history_more;
    h->answer.type = "application/json";
    h->run_id = in->run_id;
    h->key = in->metric_key;
    h->left = paged ? (size_t)in->max_results : SIZE_MAX;
    h->has_after = in->page_token.n > 0;
    if (h->has_after) st = token_read(c->arena, in->page_token, &h->after, err);
    if (!st) st = rows_begin(&h->rows, c->arena, in->metric_key, (struct str){ NULL, 0 }, err);
    return st ? st : call_long(c, v, &h->answer, err);
}

/* ---- many runs ------------------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static enum status check_bulk(const struct mlflow_get_metric_history_bulk *in, struct err *err)
{
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
    return OK;
}

/* This route is hand-written upstream: its answer carries NaN as a bare token. */
static enum status bulk(struct call *c, struct view *v, struct err *err)
{
    const struct mlflow_get_metric_history_bulk *in = c->in;
    struct row_writer *w = ARENA_NEW(c->arena, struct row_writer);
    size_t left = (size_t)MIN_OF(MAX_OF(in->max_results, 0), BULK_ROWS_MAX), n;
    struct str *runs = in->run_id;
    struct point *points;
    bool more;
    enum status st = w ? check_bulk(in, err) : err_nomem(err);

    if (st) return st;
    qsort(runs, in->run_id_n, sizeof(*runs), by_text);
    w->bare_nan = true;
    buf_put_lit(&c->raw, "{\"metrics\":[");
    for (size_t i = 0; !st && i < in->run_id_n && left > 0; i++) {
        if (i && str_eq(runs[i], runs[i - 1])) {
            continue;
        }
        st = run_metric_history(v, runs[i], in->metric_key, NULL, left, &points, &n, &more, err);
        if (st == ST_NOT_FOUND) {
            st = OK; /* an unknown run has no rows */
            continue;
        }
        if (!st) st = rows_begin(w, c->arena, in->metric_key, runs[i], err);
        for (size_t k = 0; k < n && !st; k++) {
            rows_put(w, &c->raw, &points[k]);
        }
        left -= st ? 0 : n;
    }
    buf_put_lit(&c->raw, "]}");
    c->raw_type = "application/json";
    return st;
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
    struct row_writer *w = ARENA_NEW(c->arena, struct row_writer);
    bool ranged = (in->has & MLFLOW_GET_METRIC_HISTORY_BULK_INTERVAL_HAS_START_STEP) != 0;
    struct metric_interval q = { .run_ids = in->run_ids,
                                 .run_ids_n = in->run_ids_n,
                                 .key = in->metric_key,
                                 .first_step = ranged ? in->start_step : INT64_MIN,
                                 .last_step = ranged ? in->end_step : INT64_MAX,
                                 .max = (size_t)MAX_OF(in->max_results, 0) };
    struct interval_row *rows;
    size_t n;
    enum status st = w ? check_range(in, err) : err_nomem(err);

    st = st ? st : metric_interval(v, &q, &rows, &n, err);
    if (st) return st;
    /* Room for all of it at once: growing would copy it several times. What is too much is found below. */
    if (n) (void)buf_reserve(&c->raw, n * (in->metric_key.n + rows[0].run_id.n + ROW_BYTES));
    buf_put_cstr(&c->raw, n ? "{\"metrics\":[" : "{");
    for (size_t i = 0; i < n && !st; i++) {
        if (i == 0 || rows[i].run_id.p != rows[i - 1].run_id.p) {
            st = rows_begin(w, c->arena, in->metric_key, rows[i].run_id, err);
        }
        if (!st) rows_put(w, &c->raw, &rows[i].point);
    }
    buf_put_cstr(&c->raw, n ? "]}" : "}");
    c->raw_type = "application/json";
    return st;
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
