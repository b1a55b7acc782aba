/* cli/chart.c - cairn run chart: the curves of a run in the terminal, one picture per metric. */
#include "base/num.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/plot.h"
#include "cli/render.h"
#include "cli/run.h"
#include "codec/json.h"

#include <math.h>
#include <stdlib.h>

enum {
    BODY_MAX = 1 << 20,
    PICTURE_MAX = 64 << 20,
    RUNS_MAX = 20,
    METRICS_MAX = 50,
    NAME_MAX_SHOWN = 40
};

struct charting {
    struct cli *cli;
    const struct chart_flags *f;
    const struct jv *runs[RUNS_MAX];
    size_t runs_n;
    struct str metrics[METRICS_MAX];
    size_t metrics_n;
    struct plot plot;
};

/* ---- the question ----------------------------------------------------------------------------------------------------------- */

static struct str run_text(const struct jv *run, const char *key)
{
    struct str s = jv_text(jv_get(run, "info"), key);

    return s.p ? s : S("");
}

static enum status find_runs(struct charting *c, struct err *err)
{
    enum status st = cli_run_find(c->cli, c->cli->args[0], &c->runs[0], err);

    c->runs_n = 1;
    for (const char *const *r = c->f->with; r && *r && !st; r++) {
        if (c->runs_n == RUNS_MAX) {
            return err_set(err, ST_INVALID, "a picture has at most %d runs", (int)RUNS_MAX);
        }
        st = cli_run_find(c->cli, *r, &c->runs[c->runs_n], err);
        c->runs_n += st == OK;
    }
    return st;
}

/* Those of the command line; without any, those of the first run, but not what the machine reports of itself. */
static enum status find_metrics(struct charting *c, struct err *err)
{
    const struct jv *m = jv_items(jv_get(c->runs[0], "data"), "metrics");
    enum status st;

    for (unsigned i = 1; i < c->cli->arg_n && c->metrics_n < METRICS_MAX; i++) {
        c->metrics[c->metrics_n++] = str_cstr(c->cli->args[i]);
    }
    for (; c->cli->arg_n == 1 && m && c->metrics_n < METRICS_MAX; m = m->next) {
        struct str key = jv_text(m, "key");

        if (!str_starts(key, S("system/"))) c->metrics[c->metrics_n++] = key;
    }
    if (c->metrics_n) return OK;
    st = err_set(err, ST_NOT_FOUND, "run %s has no metrics", c->cli->args[0]);
    err_hint(err, "log some, or name another run: cairn run ls lists them");
    return st;
}

static bool time_axis(const struct chart_flags *f)
{
    return strcmp(f->x, "time") == 0 || strcmp(f->x, "relative") == 0;
}

static bool metric_axis(const struct chart_flags *f)
{
    return strcmp(f->x, "step") != 0 && !time_axis(f);
}

static enum status put_end(struct json_writer *w, const struct chart_flags *f, const char *name,
                           const char *text, struct err *err)
{
    double d;
    int64_t i;

    if (!text) return OK;
    if (metric_axis(f)) {
        if (!num_parse_double(str_cstr(text), &d) || !isfinite(d)) {
            return err_set(err, ST_INVALID, "--%s: \"%s\" is no number", name, text);
        }
        json_w_key(w, strcmp(name, "from") == 0 ? S("from_value") : S("to_value"));
        json_w_double(w, d);
        return OK;
    }
    if (!num_parse_i64(str_cstr(text), &i)) {
        return err_set(err, ST_INVALID, "--%s: \"%s\" is no whole number", name, text);
    }
    json_w_key(w, str_cstr(name));
    json_w_i64(w, i);
    return OK;
}

static enum status put_question(struct charting *c, struct buf *body, struct err *err)
{
    struct json_writer w = JSON_WRITER_INIT(body);
    enum status st;

    json_w_object(&w);
    json_w_key(&w, S("run_ids"));
    json_w_array(&w);
    for (size_t i = 0; i < c->runs_n; i++) {
        json_w_str(&w, run_text(c->runs[i], "run_id"));
    }
    json_w_array_end(&w);
    json_w_key(&w, S("metrics"));
    json_w_array(&w);
    for (size_t i = 0; i < c->metrics_n; i++) {
        json_w_str(&w, c->metrics[i]);
    }
    json_w_array_end(&w);
    json_w_key(&w, metric_axis(c->f) ? S("x_metric") : S("x"));
    json_w_cstr(&w, c->f->x);
    json_w_key(&w, S("buckets"));
    json_w_i64(&w,
               c->f->buckets ? c->f->buckets : (int64_t)plot_dots(c->plot.width, c->plot.unicode));
    st = put_end(&w, c->f, "from", c->f->from, err);
    st = st ? st : put_end(&w, c->f, "to", c->f->to, err);
    json_w_object_end(&w);
    return st ? st : buf_status(body, "chart", err);
}

/* ---- the curves ------------------------------------------------------------------------------------------------------------- */

static double number_of(const struct jv *v)
{
    double d;

    return v && v->kind != JV_NULL && num_parse_double(v->text, &d) ? d : (double)NAN;
}

static int by_x(const void *a, const void *b)
{
    const struct plot_mark *p = a, *q = b;

    return (p->x > q->x) - (p->x < q->x);
}

struct curve {
    double low, high, last, x_last;
    int64_t points, odd;
    struct plot_line line;
};

static size_t items_n(const struct jv *series, const char *key)
{
    size_t n = 0;

    for (const struct jv *v = jv_items(series, key); v; v = v->next) {
        n++;
    }
    return n;
}

/* Four marks of a bucket, in order of x; those that are not there are left out. */
static size_t marks_of(const struct jv *at[8], struct plot_mark *out)
{
    size_t n = 0;

    out[n++] = (struct plot_mark){ number_of(at[0]), number_of(at[1]) };
    for (size_t k = 2; k < 6; k += 2) {
        if (at[k] && at[k]->kind != JV_NULL) {
            out[n++] = (struct plot_mark){ number_of(at[k]), number_of(at[k + 1]) };
        }
    }
    if (n == 3 && by_x(&out[1], &out[2]) > 0) {
        struct plot_mark m = out[1];

        out[1] = out[2];
        out[2] = m;
    }
    out[n++] = (struct plot_mark){ number_of(at[6]), number_of(at[7]) };
    return n;
}

static enum status read_curve(struct arena *a, const struct jv *series, struct curve *c,
                              struct err *err)
{
    static const char *const names[8] = { "x0",     "first", "x_low", "low",
                                          "x_high", "high",  "x1",    "last" };
    const struct jv *at[8];
    struct plot_mark *m = ARENA_ARRAY(a, struct plot_mark, 4 * items_n(series, "x0") + 1);

    *c = (struct curve){ .low = (double)NAN, .high = (double)NAN, .last = (double)NAN };
    if (!m) return err_nomem(err);
    c->points = jv_i64(series, "points", 0);
    for (const struct jv *v = jv_items(series, "odd"); v; v = v->next) {
        c->odd += (int64_t)number_of(v);
    }
    for (size_t k = 0; k < 8; k++) {
        at[k] = jv_items(series, names[k]);
    }
    while (at[0]) {
        double low = number_of(at[3]), high = number_of(at[5]);

        c->line.n += marks_of(at, m + c->line.n);
        c->low = fmin(c->low, low);
        c->high = fmax(c->high, high);
        c->x_last = number_of(at[6]);
        c->last = number_of(at[7]);
        for (size_t k = 0; k < 8; k++) {
            at[k] = at[k] ? at[k]->next : NULL;
        }
    }
    c->line.m = m;
    return OK;
}

/* ---- the picture ------------------------------------------------------------------------------------------------------------ */

static void put_name(struct buf *out, const struct jv *run)
{
    struct str name = run_text(run, "run_name"), id = run_text(run, "run_id");

    if (name.n) {
        render_plain(out, str_sub(name, 0, MIN_OF(name.n, (size_t)NAME_MAX_SHOWN)));
    } else {
        buf_put_str(out, str_sub(id, 0, 8));
    }
}

static void put_x(struct buf *out, const struct charting *c, double x)
{
    char text[32];

    if (strcmp(c->f->x, "relative") == 0) {
        plot_span(x, text);
        buf_printf(out, "%s", text);
    } else if (strcmp(c->f->x, "time") != 0) {
        plot_number(x, text);
        buf_printf(out, "%s %s", metric_axis(c->f) ? c->f->x : "step", text);
    }
}

static void put_legend(struct buf *out, const struct charting *c, const struct jv *run,
                       const struct curve *v, size_t i)
{
    char low[32], high[32], last[32];

    buf_put_lit(out, "  ");
    plot_sample(out, &c->plot, i);
    buf_put_u8(out, ' ');
    put_name(out, run);
    if (!v->points) {
        buf_put_lit(out, "  no points\n");
        return;
    }
    plot_number(v->last, last);
    buf_printf(out, "  last %s",
               isfinite(v->last) ? last
               : isnan(v->last)  ? "NaN"
               : v->last > 0     ? "Infinity"
                                 : "-Infinity");
    if (strcmp(c->f->x, "time") != 0) {
        buf_put_lit(out, " at ");
        put_x(out, c, v->x_last);
    }
    if (isfinite(v->low)) {
        plot_number(v->low, low);
        plot_number(v->high, high);
        buf_printf(out, "  min %s  max %s", low, high);
    }
    buf_printf(out, "  %lld point%s", (long long)v->points, v->points == 1 ? "" : "s");
    if (v->odd) buf_printf(out, ", %lld NaN or infinite", (long long)v->odd);
    buf_put_u8(out, '\n');
}

static enum status put_picture(struct buf *out, struct charting *c, size_t metric,
                               const struct jv *const *series, struct err *err)
{
    struct curve *v = ARENA_ARRAY(c->cli->arena, struct curve, c->runs_n);
    struct plot_line *lines = ARENA_ARRAY(c->cli->arena, struct plot_line, c->runs_n);
    enum status st = v && lines ? OK : err_nomem(err);

    for (size_t i = 0; i < c->runs_n && !st; i++) {
        st = read_curve(c->cli->arena, series[i * c->metrics_n + metric], &v[i], err);
        lines[i] = v[i].line;
    }
    if (st) return st;
    c->plot.lines = lines;
    if (metric) buf_put_u8(out, '\n');
    if (c->plot.color) buf_put_lit(out, "\033[1m");
    render_plain(out, c->metrics[metric]);
    if (c->plot.color) buf_put_lit(out, "\033[0m");
    buf_put_cstr(out, strcmp(c->f->x, "time") == 0       ? " by time (UTC)\n"
                      : strcmp(c->f->x, "relative") == 0 ? " by time since the start\n"
                                                         : " by ");
    if (!time_axis(c->f)) {
        render_plain(out, str_cstr(c->f->x));
        buf_put_u8(out, '\n');
    }
    st = plot_draw(out, &c->plot, err);
    for (size_t i = 0; i < c->runs_n; i++) {
        put_legend(out, c, c->runs[i], &v[i], i);
    }
    return st ? st : buf_status(out, "picture", err);
}

static enum status no_points(const struct charting *c, struct err *err)
{
    bool range = c->f->from || c->f->to;
    enum status st =
        err_set(err, ST_NOT_FOUND, "no points of %.*s%s%s", STR_ARG(c->metrics[0]),
                c->metrics_n > 1 ? " and the others" : "", range ? " in that range" : "");

    err_hint(err,
             metric_axis(c->f) ? "points are joined with the metric of --x by their step"
                               : "cairn run show %s lists its metrics",
             c->cli->args[0]);
    return st;
}

static enum status put_pictures(struct charting *c, const struct jv *answer, struct err *err)
{
    struct buf out = BUF_INIT(PICTURE_MAX);
    const struct jv **series =
        ARENA_ARRAY(c->cli->arena, const struct jv *, c->runs_n * c->metrics_n);
    int64_t points = 0;
    size_t n = 0;
    enum status st = series ? OK : err_nomem(err);

    for (const struct jv *v = jv_items(answer, "series"); v && !st; v = v->next) {
        if (n < c->runs_n * c->metrics_n) series[n++] = v;
        points += jv_i64(v, "points", 0);
    }
    if (!st && n < c->runs_n * c->metrics_n) st = err_set(err, ST_INTERNAL, "series are missing");
    if (!st && !points) st = no_points(c, err);
    for (size_t m = 0; m < c->metrics_n && !st; m++) {
        st = put_picture(&out, c, m, series, err);
    }
    if (!st) out_write(OUT_STDOUT, buf_str(&out));
    buf_release(&out);
    return st;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------ */

/* What the locale says of the terminal's characters. */
static bool is_utf8_locale(void)
{
    static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

    for (size_t i = 0; i < ARRAY_N(names); i++) {
        const char *v = getenv(names[i]);
        struct str s = v ? str_cstr(v) : S("");

        if (s.n) {
            return str_find(s, S("UTF-8")) != SIZE_MAX || str_find(s, S("utf8")) != SIZE_MAX ||
                   str_find(s, S("utf-8")) != SIZE_MAX;
        }
    }
    return false;
}

static void put_answer(const struct cli *cli, const struct jv *answer)
{
    struct str line = S("\n");

    if (cli->format == CLI_JSON) {
        out_write(OUT_STDOUT, answer->raw);
        out_write(OUT_STDOUT, line);
        return;
    }
    for (const struct jv *v = jv_items(answer, "series"); v; v = v->next) {
        out_write(OUT_STDOUT, v->raw);
        out_write(OUT_STDOUT, line);
    }
}

static enum status ask(struct charting *c, struct jv **answer, struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    enum status st = put_question(c, &body, err);

    st = st ? st : api_call(c->cli, "POST", "/api/cairn/v1/charts", buf_str(&body), answer, err);
    buf_release(&body);
    return st;
}

int run_chart(struct cli *cli)
{
    struct charting c = { .cli = cli, .f = cli->options };
    bool picture = cli->format == CLI_TABLE || cli->format == CLI_WIDE;
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    enum status st = OK;

    if (!picture && cli->format != CLI_JSON && cli->format != CLI_JSONL) {
        st = err_set(&err, ST_INVALID, "a chart has no such format");
        err_hint(&err, "-o json and -o jsonl give its numbers");
    }
    c.plot = (struct plot){ .width = c.f->width ? (unsigned)c.f->width : out_width(OUT_STDOUT),
                            .unicode = is_utf8_locale(),
                            .color = out_color(cli_color(cli), OUT_STDOUT),
                            .axis = strcmp(c.f->x, "time") == 0       ? PLOT_TIME
                                    : strcmp(c.f->x, "relative") == 0 ? PLOT_SPAN
                                                                      : PLOT_NUMBER };
    c.plot.width = MIN_OF(c.plot.width, (unsigned)PLOT_WIDTH_MAX);
    st = st ? st : find_runs(&c, &err);
    st = st ? st : find_metrics(&c, &err);
    c.plot.n = c.runs_n;
    c.plot.height = c.f->height ? (unsigned)c.f->height : c.metrics_n > 1 ? 8 : 15;
    st = st ? st : ask(&c, &answer, &err);
    if (!st && picture) {
        st = put_pictures(&c, answer, &err);
    } else if (!st) {
        put_answer(cli, answer);
    }
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}
