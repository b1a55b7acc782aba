/* cli/run.c - cairn run ls, cairn run show, cairn run rm, cairn experiment ls. */
#include "cli/run.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/utf8.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "codec/json.h"

enum {
    PAGE_MAX = 1000,
    BODY_MAX = 4 << 20,
    CANDIDATES_MAX = 20,
    TEXT_MAX = 1 << 20,
    PICKED_MAX = 32,
    RESUMES_SHOWN = 10
};

#define SEARCH_RUNS        "/api/2.0/mlflow/runs/search"
#define LIST_RUNS          "/api/cairn/v1/runs/search"
#define SEARCH_EXPERIMENTS "/api/2.0/mlflow/experiments/search"

/* ---- pages ---------------------------------------------------------------------------------------------------------- */

struct paging {
    struct cli *cli;
    const char *path, *list; /* "runs" */
    const struct ls_flags *flags;
    struct str experiments; /* JSON array, p NULL = none */
    struct str values;      /* LIST_RUNS: members of the request that say which values are wanted */
    int64_t left;           /* rows wanted; < 0 = all */
    enum status (*row)(void *ctx, const struct jv *v, struct err *err);
    void *ctx;
};

static void put_body(struct json_writer *w, const struct paging *p, struct str token)
{
    int64_t size = p->left < 0 || p->left > PAGE_MAX ? PAGE_MAX : p->left;

    json_w_object(w);
    json_w_key(w, S("max_results"));
    json_w_i64(w, size);
    if (p->experiments.p) {
        json_w_key(w, S("experiment_ids"));
        json_w_raw(w, p->experiments);
    }
    if (p->flags->filter) {
        json_w_key(w, S("filter"));
        json_w_cstr(w, p->flags->filter);
    }
    if (p->values.p) {
        json_w_raw(w, p->values);
        json_w_key(w, S("view"));
        json_w_cstr(w, p->flags->deleted ? "deleted" : "active");
    } else {
        json_w_key(w, p->experiments.p ? S("run_view_type") : S("view_type"));
        json_w_cstr(w, p->flags->deleted ? "DELETED_ONLY" : "ACTIVE_ONLY");
    }
    if (p->flags->sort) {
        json_w_key(w, S("order_by"));
        json_w_array(w);
        for (const char *const *s = p->flags->sort; *s; s++) {
            json_w_cstr(w, *s);
        }
        json_w_array_end(w);
    }
    if (token.n) {
        json_w_key(w, S("page_token"));
        json_w_str(w, token);
    }
    json_w_object_end(w);
}

static enum status one_page(struct paging *p, struct str *token, struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *page = NULL;
    enum status st;

    put_body(&w, p, *token);
    st = buf_status(&body, "search", err);
    st = st ? st : api_call(p->cli, "POST", p->path, buf_str(&body), &page, err);
    buf_release(&body);
    for (const struct jv *v = jv_items(page, p->list); !st && v && p->left != 0; v = v->next) {
        st = p->row(p->ctx, v, err);
        p->left -= p->left > 0;
    }
    *token = st ? S("") : jv_text(page, "next_page_token");
    return st;
}

static enum status all_pages(struct paging *p, struct err *err)
{
    struct str token = S("");
    enum status st;

    do {
        st = one_page(p, &token, err);
    } while (!st && token.n && p->left != 0);
    return st;
}

/* ---- experiments ------------------------------------------------------------------------------------------------------ */

struct id_list {
    struct json_writer w;
    struct buf b;
};

static enum status add_id(void *ctx, const struct jv *v, struct err *err)
{
    struct id_list *l = ctx;

    (void)err;
    json_w_str(&l->w, jv_text(v, "experiment_id"));
    return OK;
}

/* The id behind an id or a name. */
static enum status resolve(struct cli *cli, const char *name, struct str *id, struct err *err)
{
    struct str escaped = api_escape(cli->arena, str_cstr(name));
    struct jv *answer = NULL;
    int64_t number;
    const char *path;
    enum status st;

    if (num_parse_i64(str_cstr(name), &number)) {
        path = arena_printf(cli->arena, "/api/2.0/mlflow/experiments/get?experiment_id=%s", name).p;
        st = path ? api_call(cli, "GET", path, (struct str){ NULL, 0 }, &answer, err)
                  : err_nomem(err);
        if (st != ST_NOT_FOUND) {
            *id = str_cstr(name);
            return st;
        }
    }
    path = arena_printf(cli->arena, "/api/2.0/mlflow/experiments/get-by-name?experiment_name=%.*s",
                        STR_ARG(escaped))
               .p;
    st = path && escaped.p ? api_call(cli, "GET", path, (struct str){ NULL, 0 }, &answer, err)
                           : err_nomem(err);
    *id = jv_text(jv_get(answer, "experiment"), "experiment_id");
    if (st == ST_NOT_FOUND) {
        err_hint(err, "cairn experiment ls lists them");
    }
    return st;
}

/* JSON array of the ids of --experiment; of all experiments without. */
static enum status experiment_ids(struct cli *cli, const struct ls_flags *f, struct str *out,
                                  struct err *err)
{
    struct id_list l = { .b = BUF_INIT(BODY_MAX) };
    struct ls_flags none = { .limit = -1 };
    struct paging p = { .cli = cli,
                        .path = SEARCH_EXPERIMENTS,
                        .list = "experiments",
                        .flags = &none,
                        .left = -1,
                        .row = add_id,
                        .ctx = &l };
    struct str id;
    enum status st = OK;

    l.w = (struct json_writer)JSON_WRITER_INIT(&l.b);
    json_w_array(&l.w);
    for (const char *const *e = f->experiment; e && *e && !st; e++) {
        st = resolve(cli, *e, &id, err);
        if (!st) json_w_str(&l.w, id);
    }
    if (!f->experiment) {
        st = all_pages(&p, err);
    }
    json_w_array_end(&l.w);
    st = st ? st : buf_status(&l.b, "experiments", err);
    if (!st) {
        *out = arena_str(cli->arena, buf_str(&l.b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&l.b);
    return st;
}

static const struct column experiment_columns[] = {
    { "experiment_id", "ID", COLUMN_NAME },
    { "name", "NAME", 0 },
    { "last_update_time", "UPDATED", 0 },
    { "creation_time", "CREATED", 0 },
    { "lifecycle_stage", "STAGE", COLUMN_WIDE },
    { "artifact_location", "ARTIFACTS", COLUMN_WIDE },
    { "tags", "TAGS", COLUMN_DATA },
};

/* ---- pairs as columns ------------------------------------------------------------------------------------------------- */

/* Value of a pair named key in a list of {"key", "value"}. */
static const struct jv *find_pair(const struct jv *list, struct str key)
{
    for (const struct jv *v = list; v; v = v->next) {
        if (str_eq(jv_text(v, "key"), key)) {
            return jv_get(v, "value");
        }
    }
    return NULL;
}

static struct cell cell_of(const struct jv *v)
{
    if (!v || v->kind == JV_NULL) {
        return (struct cell){ .kind = CELL_NONE };
    }
    return v->kind == JV_NUMBER ? cell_number(v->text) : cell_text(v->text);
}

/* [{"key": "a", "value": 1}] as {"a": 1}, and as "a=1" for people. */
static struct cell pairs_cell(struct arena *a, const struct jv *list)
{
    struct buf json = BUF_INIT(TEXT_MAX), text = BUF_INIT(TEXT_MAX);
    struct json_writer w = JSON_WRITER_INIT(&json);
    struct cell out = { .kind = CELL_JSON };

    json_w_object(&w);
    for (const struct jv *v = list; v; v = v->next) {
        const struct jv *value = jv_get(v, "value");
        struct str key = jv_text(v, "key"), s = value ? value->text : S("");
        bool number =
            value && value->kind == JV_NUMBER && s.n && s.p[s.n - 1] >= '0' && s.p[s.n - 1] <= '9';

        json_w_key(&w, key);
        if (number) {
            json_w_raw(&w, s);
        } else {
            json_w_str(&w, s);
        }
        buf_printf(&text, "%s%.*s=%.*s", v == list ? "" : " ", STR_ARG(key), STR_ARG(s));
    }
    json_w_object_end(&w);
    out.json = json.failed ? S("{}") : arena_str(a, buf_str(&json));
    out.s = arena_str(a, buf_str(&text));
    out.s = out.s.p ? out.s : S("");
    buf_release(&json);
    buf_release(&text);
    return out;
}

static enum status experiment_row(void *ctx, const struct jv *v, struct err *err)
{
    struct render *r = ctx;
    struct cell cells[ARRAY_N(experiment_columns)] = {
        cell_text(jv_text(v, "experiment_id")),         cell_text(jv_text(v, "name")),
        cell_time(jv_i64(v, "last_update_time", 0)),    cell_time(jv_i64(v, "creation_time", 0)),
        cell_text(jv_text(v, "lifecycle_stage")),       cell_text(jv_text(v, "artifact_location")),
        pairs_cell(r->cli->arena, jv_items(v, "tags")),
    };

    return render_row(r, cells, err);
}

int experiment_ls(struct cli *cli)
{
    const struct ls_flags *f = cli->options;
    struct render r;
    struct err err = ERR_INIT;
    struct paging p = { .cli = cli,
                        .path = SEARCH_EXPERIMENTS,
                        .list = "experiments",
                        .flags = f,
                        .left = f->all ? -1 : f->limit,
                        .row = experiment_row,
                        .ctx = &r };
    enum status st =
        render_begin(&r, cli, experiment_columns, ARRAY_N(experiment_columns), false, &err);

    st = st ? st : all_pages(&p, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

/* ---- runs --------------------------------------------------------------------------------------------------------------- */

static const struct column run_columns[] = {
    { "run_id", "ID", COLUMN_NAME },
    { "run_name", "NAME", 0 },
    { "status", "STATUS", 0 },
    { "start_time", "STARTED", 0 },
    { "metrics", "METRICS", 0 },
    { "experiment_id", "EXPERIMENT", COLUMN_WIDE },
    { "end_time", "ENDED", COLUMN_WIDE },
    { "user_id", "USER", COLUMN_WIDE },
    { "params", "PARAMS", COLUMN_WIDE },
    { "tags", "TAGS", COLUMN_DATA },
    { "lifecycle_stage", "STAGE", COLUMN_DATA },
    { "artifact_uri", "ARTIFACTS", COLUMN_DATA },
};
enum { RUN_COLUMNS_N = ARRAY_N(run_columns) };

struct run_table {
    struct render r;
    struct column columns[RUN_COLUMNS_N + PICKED_MAX];
    size_t n;
};

/* metrics.NAME, params.NAME and tags.NAME become columns when they are picked. */
static enum status run_table_begin(struct run_table *t, struct cli *cli, bool single,
                                   struct err *err)
{
    static const char *const groups[] = { "metrics.", "params.", "tags." };
    struct str rest = str_cstr(cli->fields), one;

    memcpy(t->columns, run_columns, sizeof(run_columns));
    t->n = RUN_COLUMNS_N;
    while (cli->fields && str_split(&rest, ',', &one)) {
        one = str_trim(one);
        for (size_t g = 0; g < ARRAY_N(groups); g++) {
            if (str_starts(one, str_cstr(groups[g])) && t->n < ARRAY_N(t->columns)) {
                const char *name = arena_cstr(cli->arena, one);

                if (!name) {
                    return err_nomem(err);
                }
                t->columns[t->n++] = (struct column){ name, name, g == 0 ? COLUMN_RIGHT : 0 };
            }
        }
    }
    return render_begin(&t->r, cli, t->columns, t->n, single, err);
}

static struct cell picked_cell(const struct jv *data, const char *name)
{
    const char *dot = strchr(name, '.');
    struct str group = str_of(name, (size_t)(dot - name));
    const char *list = str_eq_lit(group, "metrics")  ? "metrics"
                       : str_eq_lit(group, "params") ? "params"
                                                     : "tags";

    return cell_of(find_pair(jv_items(data, list), str_cstr(dot + 1)));
}

static enum status run_row(void *ctx, const struct jv *v, struct err *err)
{
    struct run_table *t = ctx;
    struct arena *a = t->r.cli->arena;
    const struct jv *in = jv_get(v, "info"), *info = in ? in : v,
                    *data = in ? jv_get(v, "data") : v; /* a row of LIST_RUNS is flat */
    struct cell cells[RUN_COLUMNS_N + PICKED_MAX] = {
        cell_text(jv_text(info, "run_id")),          cell_text(jv_text(info, "run_name")),
        cell_text(jv_text(info, "status")),          cell_time(jv_i64(info, "start_time", 0)),
        pairs_cell(a, jv_items(data, "metrics")),    cell_text(jv_text(info, "experiment_id")),
        cell_time(jv_i64(info, "end_time", 0)),      cell_text(jv_text(info, "user_id")),
        pairs_cell(a, jv_items(data, "params")),     pairs_cell(a, jv_items(data, "tags")),
        cell_text(jv_text(info, "lifecycle_stage")), cell_text(jv_text(info, "artifact_uri")),
    };

    for (size_t i = RUN_COLUMNS_N; i < t->n; i++) {
        cells[i] = picked_cell(data, t->columns[i].name);
    }
    return render_row(&t->r, cells, err);
}

/* "metric_keys":["loss"],...: only what the picked columns show; without a choice all. */
static enum status wanted_values(struct cli *cli, struct str *out, struct err *err)
{
    static const char *const lists[][3] = { { "metric_keys", "metrics", "metrics." },
                                            { "param_keys", "params", "params." },
                                            { "tag_keys", "tags", "tags." } };
    struct buf b = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);
    enum status st;

    for (size_t i = 0; i < ARRAY_N(lists); i++) {
        struct str rest = str_cstr(cli->fields), one;

        json_w_key(&w, str_cstr(lists[i][0]));
        json_w_array(&w);
        if (!cli->fields) json_w_cstr(&w, "*");
        while (cli->fields && str_split(&rest, ',', &one)) {
            one = str_trim(one);
            if (str_eq(one, str_cstr(lists[i][1]))) {
                json_w_cstr(&w, "*");
            } else if (str_starts(one, str_cstr(lists[i][2]))) {
                json_w_str(&w, str_sub(one, strlen(lists[i][2]), one.n));
            }
        }
        json_w_array_end(&w);
    }
    st = buf_status(&b, "search", err);
    if (!st) {
        *out = arena_str(cli->arena, buf_str(&b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}

int run_ls(struct cli *cli)
{
    const struct ls_flags *f = cli->options;
    struct run_table t = { .n = 0 };
    struct err err = ERR_INIT;
    struct paging p = { .cli = cli,
                        .path = LIST_RUNS,
                        .list = "runs",
                        .flags = f,
                        .left = f->all ? -1 : f->limit,
                        .row = run_row,
                        .ctx = &t };
    enum status st = run_table_begin(&t, cli, false, &err);

    st = st ? st : wanted_values(cli, &p.values, &err);
    st = st ? st : experiment_ids(cli, f, &p.experiments, &err);
    st = st ? st : all_pages(&p, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&t.r);
    return CLI_DONE;
}

/* ---- one run -------------------------------------------------------------------------------------------------------------- */

struct candidates {
    struct arena *a;
    const struct jv *runs[CANDIDATES_MAX];
    size_t n;
};

static enum status add_candidate(void *ctx, const struct jv *v, struct err *err)
{
    struct candidates *c = ctx;

    (void)err;
    if (c->n < CANDIDATES_MAX) {
        c->runs[c->n++] = v;
    }
    return OK;
}

static enum status get_run(struct cli *cli, struct str id, const struct jv **out, struct err *err)
{
    struct str escaped = api_escape(cli->arena, id);
    const char *path =
        arena_printf(cli->arena, "/api/2.0/mlflow/runs/get?run_id=%.*s", STR_ARG(escaped)).p;
    struct jv *answer = NULL;
    enum status st = path && escaped.p
                         ? api_call(cli, "GET", path, (struct str){ NULL, 0 }, &answer, err)
                         : err_nomem(err);

    *out = jv_get(answer, "run");
    return st;
}

static enum status ambiguous(struct cli *cli, const char *name, const struct candidates *c,
                             struct err *err)
{
    enum status st = err_set(err, ST_INVALID, "\"%s\" is more than one run", name);

    for (size_t i = 0; i < c->n; i++) {
        const struct jv *info = jv_get(c->runs[i], "info");
        struct str id = jv_text(info, "run_id"), label = jv_text(info, "run_name");

        cli_note(cli, "%.*s  %.*s", STR_ARG(id), STR_ARG(label));
    }
    err_hint(err, "give more of the id");
    return st;
}

/* Text in the quotes of a filter. */
static const char *quoted(struct arena *a, const char *fmt_before, const char *text,
                          const char *after)
{
    char q = strchr(text, '\'') ? '"' : '\'';

    return arena_printf(a, "%s %c%s%s%c", fmt_before, q, text, after, q).p;
}

/* The run of exactly that name. A filter has no escapes: a name with both kinds of quotes becomes a regular expression in which every
 * character is given by its number. */
static const char *is_named(struct arena *a, const char *name)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    struct str text = str_cstr(name);
    const char *out;

    if (!strchr(name, '\'') || !strchr(name, '"')) {
        return quoted(a, "attributes.run_name =", name, "");
    }
    buf_put_lit(&b, "attributes.run_name =~ '\\A");
    for (size_t at = 0; at < text.n;) {
        buf_printf(&b, "\\x{%x}", (unsigned)utf8_next(text, &at));
    }
    buf_put_lit(&b, "\\z'");
    out = b.failed ? NULL : arena_cstr(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static bool is_hex(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'))) {
            return false;
        }
    }
    return text[0] != 0;
}

/* By id, then by name, then by the beginning of an id. */
enum status cli_run_find(struct cli *cli, const char *name, const struct jv **out, struct err *err)
{
    struct ls_flags f = { .filter = is_named(cli->arena, name) };
    struct candidates c = { .a = cli->arena };
    struct paging p = { .cli = cli,
                        .path = SEARCH_RUNS,
                        .list = "runs",
                        .flags = &f,
                        .left = CANDIDATES_MAX,
                        .row = add_candidate,
                        .ctx = &c };
    enum status st;

    *out = NULL;
    if (strlen(name) == 32 && is_hex(name)) {
        return get_run(cli, str_cstr(name), out, err);
    }
    st = experiment_ids(cli, &f, &p.experiments, err);
    st = st ? st : all_pages(&p, err);
    if (!st && !c.n && is_hex(name)) {
        f.filter = quoted(cli->arena, "attributes.run_id LIKE", name, "%");
        p.left = CANDIDATES_MAX;
        st = all_pages(&p, err);
    }
    if (st) {
        return st;
    }
    if (c.n > 1) {
        return ambiguous(cli, name, &c, err);
    }
    if (!c.n) {
        st = err_set(err, ST_NOT_FOUND, "run \"%s\" not found", name);
        err_hint(err, "cairn run ls lists the runs");
        return st;
    }
    return get_run(cli, jv_text(jv_get(c.runs[0], "info"), "run_id"), out, err);
}

static void put_time(struct buf *b, const char *label, int64_t ms, int64_t now_ms)
{
    char when[32], ago[32];

    if (ms > 0) {
        clock_rfc3339(ms, when);
        render_ago(ms, now_ms, ago);
        buf_printf(b, "%-12s %s (%s)\n", label, when, ago);
    }
}

static void put_line(struct buf *b, const char *label, struct str value)
{
    if (value.n) {
        buf_printf(b, "%-12s ", label);
        render_plain(b, value);
        buf_put_u8(b, '\n');
    }
}

static void put_pairs(struct buf *b, const char *title, const struct jv *list)
{
    if (list) {
        buf_printf(b, "\n%s\n", title);
    }
    for (const struct jv *v = list; v; v = v->next) {
        const struct jv *value = jv_get(v, "value");

        buf_put_cstr(b, "  ");
        render_plain(b, jv_text(v, "key"));
        buf_put_cstr(b, " = ");
        render_plain(b, value ? value->text : S(""));
        buf_put_u8(b, '\n');
    }
}

/* "12 s", "3 min 5 s", "2 h 10 min" */
static void put_span(struct buf *b, int64_t ms)
{
    int64_t s = ms / 1000;

    if (s < 60) {
        buf_printf(b, "%lld s", (long long)s);
    } else if (s < 3600) {
        buf_printf(b, "%lld min %lld s", (long long)(s / 60), (long long)(s % 60));
    } else {
        buf_printf(b, "%lld h %lld min", (long long)(s / 3600), (long long)(s % 3600 / 60));
    }
}

/* When somebody went on in the run, the first time first. */
static void put_resumed(struct buf *b, const struct jv *events)
{
    const struct jv *list[RESUMES_SHOWN];
    size_t n = 0;
    char at[32];

    for (const struct jv *e = events; e && n < RESUMES_SHOWN; e = e->next) {
        list[n++] = e;
    }
    while (n--) {
        int64_t when = jv_i64(list[n], "at_ms", 0);

        clock_rfc3339(when, at);
        buf_printf(b, "%-12s %s, after ", "resumed", at);
        put_span(b, when - jv_i64(list[n], "since_ms", when));
        buf_printf(b, " without a sign of life (was %.*s)\n", STR_ARG(jv_text(list[n], "before")));
    }
}

static enum status print_run(const struct jv *run, const struct jv *events, struct err *err)
{
    struct buf b = BUF_INIT(64 << 20);
    const struct jv *info = jv_get(run, "info"), *data = jv_get(run, "data");
    int64_t now = clock_wall_ms();
    enum status st;

    put_line(&b, "run", jv_text(info, "run_id"));
    put_line(&b, "name", jv_text(info, "run_name"));
    put_line(&b, "status", jv_text(info, "status"));
    put_line(&b, "stage", jv_text(info, "lifecycle_stage"));
    put_line(&b, "experiment", jv_text(info, "experiment_id"));
    put_line(&b, "user", jv_text(info, "user_id"));
    put_time(&b, "started", jv_i64(info, "start_time", 0), now);
    put_resumed(&b, events);
    put_time(&b, "ended", jv_i64(info, "end_time", 0), now);
    put_line(&b, "artifacts", jv_text(info, "artifact_uri"));
    put_pairs(&b, "parameters", jv_items(data, "params"));
    put_pairs(&b, "metrics", jv_items(data, "metrics"));
    put_pairs(&b, "tags", jv_items(data, "tags"));
    st = buf_status(&b, "run", err);
    if (!st) {
        out_write(OUT_STDOUT, buf_str(&b));
    }
    buf_release(&b);
    return st;
}

static enum status run_events(struct cli *cli, struct str run, struct jv **out, struct err *err)
{
    struct str id = api_escape(cli->arena, run);
    const char *path = arena_printf(cli->arena, "/api/cairn/v1/runs/%.*s/events", STR_ARG(id)).p;
    enum status st = path && id.p ? api_call(cli, "GET", path, (struct str){ NULL, 0 }, out, err)
                                  : err_nomem(err);

    return st;
}

static const struct column event_columns[] = {
    { "at_ms", "WHEN", 0 }, { "what", "WHAT", COLUMN_NAME },
    { "before", "WAS", 0 }, { "since_ms", "LAST SIGN", 0 },
    { "who", "WHO", 0 },
};

int run_events_ls(struct cli *cli)
{
    const struct jv *run = NULL;
    struct jv *events = NULL;
    struct err err = ERR_INIT;
    struct render r;
    enum status st = cli_run_find(cli, cli->args[0], &run, &err);

    st = st ? st : run_events(cli, jv_text(jv_get(run, "info"), "run_id"), &events, &err);
    st = st ? st : render_begin(&r, cli, event_columns, ARRAY_N(event_columns), false, &err);
    for (const struct jv *e = jv_items(events, "events"); !st && e; e = e->next) {
        struct cell cells[ARRAY_N(event_columns)] = {
            cell_time(jv_i64(e, "at_ms", 0)), cell_text(jv_text(e, "what")),
            cell_text(jv_text(e, "before")),  cell_time(jv_i64(e, "since_ms", 0)),
            cell_text(jv_text(e, "who")),
        };

        st = render_row(&r, cells, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

int run_show(struct cli *cli)
{
    const struct jv *run = NULL;
    struct jv *events = NULL;
    struct err err = ERR_INIT;
    struct run_table t = { .n = 0 };
    bool text = (cli->format == CLI_TABLE || cli->format == CLI_WIDE) && !cli->fields;
    enum status st = text ? OK : run_table_begin(&t, cli, true, &err);

    st = st ? st : cli_run_find(cli, cli->args[0], &run, &err);
    if (!st && text) {
        st = run_events(cli, jv_text(jv_get(run, "info"), "run_id"), &events, &err);
        st = st ? st : print_run(run, jv_items(events, "events"), &err);
    } else if (!st) {
        st = run_row(&t, run, &err);
        if (!st) render_end(&t.r);
    }
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* Deleted runs are found by their whole id only. */
int run_rm(struct cli *cli)
{
    const struct rm_flags *f = cli->options;
    const struct jv *run = NULL;
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    enum status st = cli_run_find(cli, cli->args[0], &run, &err);
    struct str id = st ? S("") : jv_text(jv_get(run, "info"), "run_id");
    struct str escaped = api_escape(cli->arena, id);
    const char *path =
        arena_printf(cli->arena, "/api/cairn/v1/runs/%.*s%s", STR_ARG(escaped), rm_query(f)).p;

    if (!st && (!path || !escaped.p)) st = err_nomem(&err);
    if (!st && f->dry_run) {
        return trash_contents(cli, "runs", id);
    }
    st = st ? st : api_call(cli, "DELETE", path, (struct str){ NULL, 0 }, &answer, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, f->hard ? "run %.*s is gone" : "run %.*s is deleted; it can be restored",
             STR_ARG(id));
    return CLI_DONE;
}
