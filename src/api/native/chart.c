/* api/native/chart.c - POST /api/cairn/v1/charts: many curves in one answer, as JSON or as arrays for a browser.
 * A few runs are read at once, written and forgotten before the next; the answer leaves piece by piece. docs/api/charts.md has
 * both forms. */
#include "core/chart.h"
#include "api/native/native.h"
#include "codec/json.h"
#include "core/fan.h"

#include <math.h>

#define BINARY_TYPE "application/vnd.cairn.chart"

/* Bits of the columns, in their order in both forms. */
enum {
    COL_X0,
    COL_FIRST,
    COL_X_LOW,
    COL_LOW,
    COL_X_HIGH,
    COL_HIGH,
    COL_X1,
    COL_LAST,
    COL_MEAN,
    COL_DOUBLES, /* those before are doubles, those from here on are 32-bit integers */
    COL_N = COL_DOUBLES,
    COL_ODD,
    COL_ALL
};
static const struct str column_names[COL_ALL] = { S_INIT("x0"),  S_INIT("first"),  S_INIT("x_low"),
                                                  S_INIT("low"), S_INIT("x_high"), S_INIT("high"),
                                                  S_INIT("x1"),  S_INIT("last"),   S_INIT("mean"),
                                                  S_INIT("n"),   S_INIT("odd") };

enum { BINARY_VERSION = 1, FLAG_MISSING = 1, FLAG_SNAPPED = 2 };

struct chart_call {
    struct long_answer answer;
    struct chart_query q;
    int64_t decoded; /* points read so far */
    unsigned columns;
    bool binary, begun;
    size_t run;    /* the next */
    bool *missing; /* by run */
    struct part *parts;
    size_t parts_n; /* runs that are read at once */
};

/* The series of one run. */
struct part {
    const struct chart_call *c;
    struct chart chart;
    size_t run, series;
    bool missing;
    struct buf out;
    struct printed
        *printed; /* of each bucket of the series, VALUES_N: where its values stand in out */
};
struct printed {
    uint32_t at; /* 0: not there */
    uint32_t n;
};
enum { VALUES_N = 4 }; /* first, low, high, last */
enum { PARTS_MAX = 8, PART_MAX = 128 << 20 };

/* ---- JSON ------------------------------------------------------------------------------------------------------------------- */

static bool metric_axis(const struct chart_call *c)
{
    return c->q.axis == CHART_METRIC;
}

static const struct chart_mark *mark_of(const struct chart_bucket *b, unsigned column)
{
    if (column <= COL_FIRST) return &b->first;
    if (column >= COL_X1) return &b->last;
    if (b->n == b->odd_n) return NULL;
    return column <= COL_LOW ? &b->low : &b->high;
}

static bool is_x(unsigned column)
{
    return column < COL_MEAN && column % 2 == 0;
}

static char *put_text(char *at, struct str s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_number(char *at, double v)
{
    if (isfinite(v)) return at + num_print_double(v, at);
    return put_text(at, isnan(v) ? S("\"NaN\"") : v > 0 ? S("\"Infinity\"") : S("\"-Infinity\""));
}

/* A bucket of few points names the same one several times: what was printed for it is copied. There is room for NUM_DOUBLE_MAX
 * bytes. */
static char *put_json_value(struct part *p, char *at, const struct chart_bucket *b, size_t bucket,
                            unsigned value)
{
    const struct chart_mark *marks[VALUES_N] = { &b->first, &b->low, &b->high, &b->last };
    struct printed *printed = p->printed + bucket * VALUES_N, *own = &printed[value];
    uint64_t bits = num_double_bits(marks[value]->p.value);
    char text[NUM_DOUBLE_MAX];

    own->at = (uint32_t)(at - p->out.p);
    for (unsigned i = 0; i < value; i++) {
        if (printed[i].at && num_double_bits(marks[i]->p.value) == bits) {
            memcpy(text, p->out.p + printed[i].at, sizeof(text));
            memcpy(at, text, sizeof(text));
            own->n = printed[i].n;
            return at + own->n;
        }
    }
    own->n = (uint32_t)(put_number(at, marks[value]->p.value) - at);
    return at + own->n;
}

/* There is room for NUM_DOUBLE_MAX bytes. */
static char *put_json_cell(struct part *p, char *at, const struct chart_bucket *b, size_t bucket,
                           unsigned column)
{
    const struct chart_call *c = p->c;
    const struct chart_mark *m = column < COL_MEAN ? mark_of(b, column) : NULL;

    if (column >= COL_DOUBLES) return at + num_print_i64(column == COL_N ? b->n : b->odd_n, at);
    if (column == COL_MEAN && b->n > b->odd_n) return put_number(at, b->mean);
    if (!m) return put_text(at, S("null"));
    if (!is_x(column)) return put_json_value(p, at, b, bucket, column / 2);
    return metric_axis(c) ? put_number(at, m->x.d) : at + num_print_i64(m->x.i, at);
}

static void put_json_column(struct part *p, const struct chart_series *s, unsigned column)
{
    char *at;

    if (!buf_reserve(&p->out, s->n * (NUM_DOUBLE_MAX + 1) + 1)) return;
    at = p->out.p + p->out.n;
    for (size_t i = 0; i < s->n; i++) {
        if (i > 0) *at++ = ',';
        at = put_json_cell(p, at, &s->b[i], i, column);
    }
    p->out.n = (size_t)(at - p->out.p);
}

static void put_json(struct part *p, size_t metric, const struct chart_series *s)
{
    const struct chart_call *c = p->c;
    struct json_writer w = JSON_WRITER_INIT(&p->out);

    if (p->series > 0) buf_put_u8(&p->out, ',');
    json_w_object(&w);
    json_w_key(&w, S("run_id"));
    json_w_str(&w, c->q.run_ids[p->run]);
    json_w_key(&w, S("metric"));
    json_w_str(&w, c->q.metrics[metric]);
    json_w_key(&w, S("points"));
    json_w_i64(&w, s->points);
    if (metric_axis(c)) {
        json_w_key(&w, S("unjoined"));
        json_w_i64(&w, s->unjoined);
    }
    if (c->q.axis == CHART_RELATIVE) {
        json_w_key(&w, S("origin_ms"));
        json_w_i64(&w, s->origin_ms);
    }
    json_w_key(&w, S("snapped"));
    json_w_bool(&w, s->snapped);
    memset(p->printed, 0, s->n * VALUES_N * sizeof(*p->printed));
    for (unsigned col = 0; col < COL_ALL; col++) {
        if (!(c->columns & 1u << col)) continue;
        json_w_key(&w, column_names[col]);
        json_w_array(&w);
        put_json_column(p, s, col);
        json_w_array_end(&w);
    }
    json_w_object_end(&w);
}

static void json_end(const struct chart_call *c, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    buf_put_lit(out, "],\"missing_runs\":");
    json_w_array(&w);
    for (size_t i = 0; i < c->q.run_ids_n; i++) {
        if (c->missing[i]) json_w_str(&w, c->q.run_ids[i]);
    }
    json_w_array_end(&w);
    buf_put_u8(out, '}');
}

/* ---- arrays ----------------------------------------------------------------------------------------------------------------- */

static void binary_begin(const struct chart_call *c, struct buf *out)
{
    buf_put_lit(out, "cairncht");
    buf_put_u32(out, BINARY_VERSION);
    buf_put_u32(out, (uint32_t)c->q.run_ids_n);
    buf_put_u32(out, (uint32_t)c->q.metrics_n);
    buf_put_u32(out, c->columns);
    buf_put_u32(out, (uint32_t)c->q.axis);
    buf_put_u32(out, 0);
}

static void put_f64(struct buf *b, double v)
{
    buf_put_u64(b, num_double_bits(v));
}

static char *put_le64(char *at, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (char)(unsigned char)(v >> (8 * i));
    }
    return at + 8;
}

static char *put_le32(char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (char)(unsigned char)(v >> (8 * i));
    }
    return at + 4;
}

static double double_of(const struct chart_call *c, const struct chart_bucket *b, unsigned col)
{
    const struct chart_mark *m = col < COL_MEAN ? mark_of(b, col) : NULL;

    if (col == COL_MEAN) return b->mean;
    if (!m) return num_canonical_nan();
    if (!is_x(col)) return m->p.value;
    return metric_axis(c) ? m->x.d : (double)m->x.i;
}

/* There is room. */
static char *put_column(const struct chart_call *c, const struct chart_series *s, unsigned col,
                        char *at)
{
    if (col < COL_DOUBLES) {
        for (size_t i = 0; i < s->n; i++) {
            at = put_le64(at, num_double_bits(double_of(c, &s->b[i], col)));
        }
        return at;
    }
    for (size_t i = 0; i < s->n; i++) {
        int64_t v = col == COL_N ? s->b[i].n : s->b[i].odd_n;

        at = put_le32(at, (uint32_t)MIN_OF(v, INT32_MAX));
    }
    return s->n % 2 ? put_le32(at, 0) : at;
}

static void put_binary(struct part *p, size_t metric, const struct chart_series *s)
{
    const struct chart_call *c = p->c;
    struct buf *out = &p->out;
    char *at;

    buf_put_u32(out, (uint32_t)p->run);
    buf_put_u32(out, (uint32_t)metric);
    buf_put_u32(out, (uint32_t)s->n);
    buf_put_u32(out, (p->missing ? FLAG_MISSING : 0) | (s->snapped ? FLAG_SNAPPED : 0));
    put_f64(out, (double)s->points);
    put_f64(out, (double)s->unjoined);
    put_f64(out, c->q.axis == CHART_RELATIVE ? (double)s->origin_ms : 0);
    if (!buf_reserve(out, (s->n + 1) * COL_ALL * sizeof(double))) return;
    at = out->p + out->n;
    for (unsigned col = 0; col < COL_ALL; col++) {
        if (c->columns & 1u << col) at = put_column(c, s, col, at);
    }
    out->n = (size_t)(at - out->p);
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------- */

static enum status put_series(void *ctx, size_t metric, const struct chart_series *s,
                              struct err *err)
{
    struct part *p = ctx;

    (void)err;
    if (p->c->binary) {
        put_binary(p, metric, s);
    } else {
        put_json(p, metric, s);
    }
    p->series++;
    return OK;
}

/* One run, on any pool thread. */
static enum status put_run(void *ctx, size_t i, struct view *v, struct err *err)
{
    static const struct chart_series none;
    struct part *p = &((struct chart_call *)ctx)->parts[i];
    bool known;
    enum status st = chart_run(&p->chart, v, p->run, &known, put_series, p, err);

    if (st) return st;
    p->missing = !known;
    for (size_t m = 0; !known && m < p->c->q.metrics_n; m++) {
        st = put_series(p, m, &none, err);
    }
    return buf_status(&p->out, "chart", err);
}

/* The next runs, at once, and their series in order. */
static enum status put_runs(struct chart_call *c, struct view *v, struct buf *out, struct err *err)
{
    size_t n = MIN_OF(c->parts_n, c->q.run_ids_n - c->run);
    int64_t before = c->decoded;
    enum status st;

    for (size_t i = 0; i < n; i++) {
        struct part *p = &c->parts[i];

        p->c = c;
        p->chart = (struct chart){ .q = &c->q, .decoded = before };
        p->run = c->run + i;
        p->series = 0;
        buf_clear(&p->out);
    }
    st = fan_out(v, n, put_run, c, err);
    for (size_t i = 0; i < n && !st; i++) {
        struct part *p = &c->parts[i];

        if (!c->binary && p->run > 0) buf_put_u8(out, ',');
        buf_put_str(out, buf_str(&p->out));
        c->missing[p->run] = p->missing;
        c->decoded += p->chart.decoded - before;
    }
    c->run += n;
    return st;
}

static enum status more(struct long_answer *l, struct view *v, struct buf *out, bool *last,
                        struct err *err)
{
    struct chart_call *c = CONTAINER_OF(l, struct chart_call, answer);
    enum status st = OK;

    if (!c->begun && c->binary) binary_begin(c, out);
    if (!c->begun && !c->binary) buf_put_lit(out, "{\"series\":[");
    c->begun = true;
    while (!st && c->run < c->q.run_ids_n && out->n < LONG_PIECE_BYTES) {
        st = http_is_gone(l->call->req) ? err_set(err, ST_CANCELLED, "the client is gone")
                                        : put_runs(c, v, out, err);
    }
    *last = c->run == c->q.run_ids_n;
    if (!st && *last && !c->binary) json_end(c, out);
    return st;
}

static void parts_free(void *ctx)
{
    struct chart_call *c = ctx;

    for (size_t i = 0; i < c->parts_n; i++) {
        buf_release(&c->parts[i].out);
    }
}

static enum status make_parts(struct chart_call *c, struct arena *a, struct err *err)
{
    size_t cells = c->q.metrics_n * c->q.buckets;

    c->parts_n = MIN_OF(MAX_OF(CHART_RUN_CELLS_MAX / cells, (size_t)1), (size_t)PARTS_MAX);
    c->parts = ARENA_ARRAY(a, struct part, c->parts_n);
    c->missing = ARENA_ARRAY(a, bool, c->q.run_ids_n);
    if (!c->parts || !c->missing || !arena_cleanup(a, parts_free, c)) return err_nomem(err);
    for (size_t i = 0; i < c->parts_n; i++) {
        buf_init(&c->parts[i].out, PART_MAX);
        if (c->binary) continue;
        c->parts[i].printed = ARENA_ARRAY(a, struct printed, c->q.buckets * VALUES_N);
        if (!c->parts[i].printed) return err_nomem(err);
    }
    return OK;
}

/* ---- the question ----------------------------------------------------------------------------------------------------------- */

static enum status axis_of(const struct cairn_v1_chart_query *in, struct chart_query *q,
                           struct err *err)
{
    static const struct str names[] = { S_INIT("step"), S_INIT("time"), S_INIT("relative") };
    bool metric = (in->has & CAIRN_V1_CHART_QUERY_HAS_X_METRIC) != 0;
    enum status st;

    q->axis = metric ? CHART_METRIC : CHART_STEP;
    q->x_metric = in->x_metric;
    if (!(in->has & CAIRN_V1_CHART_QUERY_HAS_X)) return OK;
    if (metric) {
        return err_field(err, ST_INVALID, "x_metric", "x and x_metric cannot both be given");
    }
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        if (str_eq(in->x, names[i])) {
            q->axis = (enum chart_axis)(CHART_STEP + i);
            return OK;
        }
    }
    st = err_field(err, ST_INVALID, "x", "there is no axis %.*s", STR_ARG(in->x));
    err_hint(err, "step, time and relative are axes; a metric is given as x_metric");
    return st;
}

static enum status columns_of(const struct cairn_v1_chart_query *in, unsigned *out, struct err *err)
{
    enum status st = OK;

    *out = in->columns_n ? 0 : (1u << COL_ALL) - 1;
    for (size_t i = 0; i < in->columns_n && !st; i++) {
        unsigned col = 0;

        while (col < COL_ALL && !str_eq(in->columns[i], column_names[col]))
            col++;
        if (col == COL_ALL) {
            st = err_field(err, ST_INVALID, "columns", "there is no column %.*s",
                           STR_ARG(in->columns[i]));
            err_hint(err, "x0 first x_low low x_high high x1 last mean n odd");
        }
        *out |= 1u << col;
    }
    return st;
}

static enum status range_of(const struct cairn_v1_chart_query *in, struct chart_query *q,
                            struct err *err)
{
    bool whole = (in->has & (CAIRN_V1_CHART_QUERY_HAS_FROM | CAIRN_V1_CHART_QUERY_HAS_TO)) != 0;
    bool value =
        (in->has & (CAIRN_V1_CHART_QUERY_HAS_FROM_VALUE | CAIRN_V1_CHART_QUERY_HAS_TO_VALUE)) != 0;

    if (q->axis == CHART_METRIC && whole) {
        return err_field(err, ST_INVALID, in->has & CAIRN_V1_CHART_QUERY_HAS_FROM ? "from" : "to",
                         "a range along a metric is given as from_value and to_value");
    }
    if (q->axis != CHART_METRIC && value) {
        return err_field(err, ST_INVALID,
                         in->has & CAIRN_V1_CHART_QUERY_HAS_FROM_VALUE ? "from_value" : "to_value",
                         "a range along steps or times is given as from and to");
    }
    q->from = in->from;
    q->to = in->to;
    q->from_value = in->from_value;
    q->to_value = in->to_value;
    q->has_from =
        (in->has & (CAIRN_V1_CHART_QUERY_HAS_FROM | CAIRN_V1_CHART_QUERY_HAS_FROM_VALUE)) != 0;
    q->has_to = (in->has & (CAIRN_V1_CHART_QUERY_HAS_TO | CAIRN_V1_CHART_QUERY_HAS_TO_VALUE)) != 0;
    return OK;
}

static enum status charts(struct call *call, struct view *v, struct err *err)
{
    const struct cairn_v1_chart_query *in = call->in;
    struct chart_call *c = ARENA_NEW(call->arena, struct chart_call);
    enum status st = c ? OK : err_nomem(err);

    if (st) return st;
    c->q = (struct chart_query){ .run_ids = in->run_ids,
                                 .run_ids_n = in->run_ids_n,
                                 .metrics = in->metrics,
                                 .metrics_n = in->metrics_n,
                                 .buckets = (size_t)MAX_OF(in->buckets, 0),
                                 .exact = in->exact };
    st = axis_of(in, &c->q, err);
    st = st ? st : columns_of(in, &c->columns, err);
    st = st ? st : range_of(in, &c->q, err);
    st = st ? st : chart_check(&c->q, err);
    if (st) return st;
    c->binary = http_header_has(call->req, S("accept"), S(BINARY_TYPE));
    st = make_parts(c, call->arena, err);
    if (st) return st;
    c->answer.more = more;
    c->answer.type = c->binary ? BINARY_TYPE : "application/json";
    http_add_header(call->req, S("vary"), S("Accept"));
    return call_long(call, v, &c->answer, err);
}

const struct route native_chart_routes[] = {
    ROUTE(HTTP_POST, "/api/cairn/v1/charts", &cairn_v1_chart_query_desc, NULL, RESOURCE_RUN,
          ACTION_RUN_READ, ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = charts)),
};
const size_t native_chart_routes_n = ARRAY_N(native_chart_routes);
