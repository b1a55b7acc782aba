/* cli/checkpoint.c - cairn checkpoint: the checkpoints of a run from the command line. */
#include "base/num.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/render.h"
#include "cli/run.h"
#include "codec/json.h"

enum { BODY_MAX = 16 << 20, PAIRS_MAX = 96, PAGE = 10000 };

struct checkpoint_ls_flags {
    const char *series;
    const char *const *metric;
    int64_t limit;
};
struct pick_flags {
    const char *series, *best, *mode, *to;
    int64_t step;
    bool force;
};
struct prune_flags {
    const char *series, *metric, *mode;
    int64_t last, best;
    bool dry_run;
};

/* ---- requests ------------------------------------------------------------------------------------------------------------ */

/* As api_get() takes them: what was not given is NULL and left out. */
struct pairs {
    const char *p[PAIRS_MAX];
    size_t n;
};

static void add(struct pairs *q, const char *name, const char *value)
{
    if (q->n + 2 < PAIRS_MAX) {
        q->p[q->n++] = name;
        q->p[q->n++] = value;
    }
}

/* "/api/cairn/v1/runs/ID/checkpointsREST?a=b" */
static enum status ask(struct cli *cli, struct str run, const char *rest, const struct pairs *q,
                       struct jv **out, struct err *err)
{
    struct str id = api_escape(cli->arena, run);
    const char *path =
        arena_printf(cli->arena, "/api/cairn/v1/runs/%.*s/checkpoints%s", STR_ARG(id), rest).p;

    *out = NULL;
    return id.p && path ? api_get(cli, path, q->p, out, err) : err_nomem(err);
}

static enum status run_id_of(struct cli *cli, const char *name, struct str *id, struct err *err)
{
    const struct jv *run = NULL;
    enum status st = cli_run_find(cli, name, &run, err);

    *id = st ? S("") : jv_text(jv_get(run, "info"), "run_id");
    return st;
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------- */

static const struct column columns[] = {
    { "path", "CHECKPOINT", COLUMN_NAME },
    { "step", "STEP", COLUMN_RIGHT },
    { "time", "SAVED", 0 },
    { "size", "SIZE", COLUMN_RIGHT },
    { "metrics", "METRICS", 0 },
    { "note", "NOTE", 0 },
    { "epoch", "EPOCH", COLUMN_WIDE | COLUMN_RIGHT },
    { "files", "FILES", COLUMN_WIDE | COLUMN_RIGHT },
    { "digest", "DIGEST", COLUMN_WIDE },
    { "series", "SERIES", COLUMN_DATA },
    { "missing", "MISSING", COLUMN_DATA },
    { "held", "HELD BY", COLUMN_DATA },
    { "goes", "GOES", COLUMN_DATA },
    { "model_id", "MODEL", COLUMN_DATA },
};

static struct cell number_or_none(const struct jv *v, const char *key)
{
    struct str text = jv_text(v, key);

    return text.p ? cell_number(text) : (struct cell){ .kind = CELL_NONE };
}

/* {"loss": 0.25} and "loss=0.25" */
static struct cell metrics_cell(struct arena *a, const struct jv *list)
{
    struct buf json = BUF_INIT(1 << 20), text = BUF_INIT(1 << 20);
    struct json_writer w = JSON_WRITER_INIT(&json);
    struct cell out = { .kind = CELL_JSON };

    json_w_object(&w);
    for (const struct jv *m = list; m; m = m->next) {
        const struct jv *value = jv_get(m, "value");

        json_w_key(&w, jv_text(m, "key"));
        json_w_raw(&w, value ? value->raw : S("null"));
        buf_printf(&text, "%s%.*s=%.*s", m == list ? "" : " ", STR_ARG(jv_text(m, "key")),
                   STR_ARG(jv_text(m, "value")));
    }
    json_w_object_end(&w);
    out.json = json.failed ? S("{}") : arena_str(a, buf_str(&json));
    out.s = text.failed || !text.n ? S("") : arena_str(a, buf_str(&text));
    buf_release(&json);
    buf_release(&text);
    return out.json.p && out.s.p ? out : (struct cell){ .kind = CELL_NONE };
}

static enum status row(struct render *r, const struct jv *c, struct err *err)
{
    struct arena *a = r->cli->arena;
    struct str missing = jv_text(c, "missing"), held = jv_text(c, "held");
    const struct jv *goes = jv_get(c, "goes");
    struct str note = arena_printf(a, "%s%s%s%.*s%s%s%.*s", goes && goes->is_true ? "goes" : "",
                                   goes && goes->is_true && missing.n ? ", " : "",
                                   missing.n ? "incomplete: no " : "", STR_ARG(missing),
                                   (missing.n || (goes && goes->is_true)) && held.n ? ", " : "",
                                   held.n ? "is " : "", STR_ARG(held));
    struct cell cells[ARRAY_N(columns)] = {
        cell_text(jv_text(c, "path")),
        number_or_none(c, "step"),
        cell_time(jv_i64(c, "time", 0)),
        { .kind = CELL_BYTES, .i = jv_i64(c, "size", 0) },
        metrics_cell(a, jv_items(c, "metrics")),
        note.n ? cell_text(note) : (struct cell){ .kind = CELL_NONE },
        number_or_none(c, "epoch"),
        number_or_none(c, "files"),
        cell_text(jv_text(c, "digest")),
        cell_text(jv_text(c, "series")),
        cell_text(missing),
        cell_text(held),
        { .kind = CELL_BOOL, .i = goes && goes->is_true },
        cell_text(jv_text(c, "model_id")),
    };

    return note.p ? render_row(r, cells, err) : err_nomem(err);
}

static enum status show_one(struct cli *cli, const struct jv *c, struct err *err)
{
    struct render r;
    enum status st = render_begin(&r, cli, columns, ARRAY_N(columns), true, err);

    st = st ? st : row(&r, c, err);
    if (!st) {
        render_end(&r);
    }
    return st;
}

/* ---- ls ------------------------------------------------------------------------------------------------------------------------- */

static int checkpoint_ls(struct cli *cli)
{
    const struct checkpoint_ls_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct str run, token = S("");
    struct render r;
    int64_t left = f->limit;
    enum status st = run_id_of(cli, cli->args[0], &run, &err);

    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);
    while (!st && left > 0) {
        struct pairs q = { .n = 0 };
        struct jv *page;

        add(&q, "series", f->series);
        for (const char *const *m = f->metric; m && *m; m++) {
            add(&q, "metric", *m);
        }
        add(&q, "max_results",
            arena_printf(cli->arena, "%lld", (long long)(left > PAGE ? PAGE : left)).p);
        add(&q, "page_token", token.n ? arena_cstr(cli->arena, token) : NULL);
        st = ask(cli, run, "", &q, &page, &err);
        for (const struct jv *c = jv_items(page, "checkpoints"); !st && c; c = c->next) {
            st = row(&r, c, &err);
            left--;
        }
        token = jv_text(page, "next_page_token");
        if (!token.n) {
            break;
        }
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

/* ---- picking one ------------------------------------------------------------------------------------------------------------------ */

/* Without --series there must be one series of those with steps. */
static enum status one_series(struct cli *cli, const struct jv *list, struct err *err)
{
    const struct jv *first = NULL;
    enum status st = OK;

    for (const struct jv *c = list; c; c = c->next) {
        if (!first) {
            first = c;
        } else if (!str_eq(jv_text(c, "series"), jv_text(first, "series"))) {
            if (!st) {
                st = err_set(err, ST_INVALID, "the run has more than one series of checkpoints");
                err_hint(err, "name one with --series");
                cli_note(cli, "%.*s", STR_ARG(jv_text(first, "series")));
            }
            first = c;
            cli_note(cli, "%.*s", STR_ARG(jv_text(c, "series")));
        }
    }
    return st;
}

/* The best, that of --step, or the last that is whole. */
static enum status pick(struct cli *cli, const struct pick_flags *f, struct str run,
                        const struct jv **out, struct err *err)
{
    struct pairs q = { .n = 0 };
    struct jv *page = NULL;
    enum status st;

    *out = NULL;
    add(&q, "series", f->series);
    add(&q, "best", f->best);
    add(&q, "mode", f->mode);
    add(&q, "max_results", "10000");
    st = ask(cli, run, "", &q, &page, err);
    if (!st && !f->series) {
        st = one_series(cli, jv_items(page, "checkpoints"), err);
    }
    for (const struct jv *c = jv_items(page, "checkpoints"); !st && c && !*out; c = c->next) {
        if (f->step >= 0 ? jv_i64(c, "step", -1) == f->step : !jv_text(c, "missing").n) {
            *out = c;
        } else if (f->step < 0) {
            cli_warn(cli, "%.*s is passed over: it has no %.*s", STR_ARG(jv_text(c, "path")),
                     STR_ARG(jv_text(c, "missing")));
        }
    }
    if (!st && !*out) {
        st = f->step >= 0 ? err_set(err, ST_NOT_FOUND, "the run has no checkpoint of step %lld",
                                    (long long)f->step)
             : f->best    ? err_set(err, ST_NOT_FOUND, "no checkpoint has a value of %s", f->best)
                          : err_set(err, ST_NOT_FOUND, "the run has no checkpoint");
        err_hint(err, "cairn checkpoint ls lists them");
    }
    return st;
}

static int checkpoint_best(struct cli *cli)
{
    const struct pick_flags *given = cli->options;
    struct pick_flags f = *given;
    const struct jv *found;
    struct err err = ERR_INIT;
    struct str run;
    enum status st = run_id_of(cli, cli->args[0], &run, &err);

    f.step = -1;
    if (!st && !f.best) {
        st = err_set(&err, ST_INVALID, "by which metric?");
        err_hint(&err, "cairn checkpoint best RUN --metric loss --mode min");
    }
    st = st ? st : pick(cli, &f, run, &found, &err);
    st = st ? st : show_one(cli, found, &err);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- get --------------------------------------------------------------------------------------------------------------------------- */

/* Files of a logged model lie in a folder that has its id. */
static enum status get_files(struct cli *cli, struct fetch *f, struct str run, struct str model,
                             const struct jv *list, struct str folder, struct err *err)
{
    struct str id = api_escape(cli->arena, model.n ? model : run);
    size_t cut = folder.n ? folder.n + 1 : 0;
    enum status st = id.p ? OK : err_nomem(err);

    for (const struct jv *v = list; !st && v; v = v->next) {
        struct str path = jv_text(v, "path"), escaped = api_escape(cli->arena, path);
        const char *target =
            arena_printf(
                cli->arena,
                model.n
                    ? "/api/2.0/mlflow/logged-models/%.*s/artifacts/files?artifact_file_path=%.*s"
                    : "/get-artifact?run_id=%.*s&path=%.*s",
                STR_ARG(id), STR_ARG(escaped))
                .p;
        struct str name = str_sub(path, cut, path.n);
        struct digest sha;

        if (model.n) {
            name = arena_printf(cli->arena, "%.*s/%.*s", STR_ARG(model), STR_ARG(path));
        }
        if (!target || !escaped.p || !name.p) {
            return err_nomem(err);
        }
        if (!digest_parse(jv_text(v, "sha256"), &sha) || path.n <= cut) {
            return err_set(err, ST_INTERNAL, "the server's list of files has no digests");
        }
        st = fetch_file(f, target, name, (uint64_t)jv_i64(v, "size", 0), &sha, err);
    }
    return st;
}

/* Everything before the last slash. */
static struct str folder_of(struct str path)
{
    size_t at = path.n;

    while (at > 0 && path.p[at - 1] != '/') {
        at--;
    }
    return str_sub(path, 0, at ? at - 1 : 0);
}

static int checkpoint_get(struct cli *cli)
{
    const struct pick_flags *flags = cli->options;
    struct fetch f = { .cli = cli, .folder = flags->to, .force = flags->force };
    const struct jv *found = NULL;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct pairs q = { .n = 0 };
    struct str run, path, folder, model;
    char size[32], had[32];
    enum status st = run_id_of(cli, cli->args[0], &run, &err);

    st = st ? st : pick(cli, flags, run, &found, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    path = jv_text(found, "path");
    model = jv_text(found, "model_id");
    folder = model.n ? S("") : folder_of(path);
    add(&q, "path", arena_cstr(cli->arena, path));
    st = ask(cli, run, "/files", &q, &answer, &err);
    f.total = (uint64_t)jv_i64(jv_get(answer, "checkpoint"), "size", 0);
    st = st ? st : get_files(cli, &f, run, model, jv_items(answer, "files"), folder, &err);
    fetch_end(&f);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_bytes((int64_t)f.done, size);
    render_bytes((int64_t)f.resumed, had);
    cli_note(cli, "%s in %s, digests are right%s%s%s", size, f.folder,
             f.resumed ? "; of these were there already: " : "", f.resumed ? had : "", "");
    if (cli->format == CLI_TABLE || cli->format == CLI_NAME) {
        size_t cut = folder.n ? folder.n + 1 : 0;

        out_printf(OUT_STDOUT, "%s/%.*s\n", f.folder,
                   STR_ARG(model.n ? model : str_sub(path, cut, path.n)));
        return CLI_DONE;
    }
    st = show_one(cli, found, &err);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- prune ---------------------------------------------------------------------------------------------------------------------------- */

static enum status delete_them(struct cli *cli, struct str run, const struct jv *plan,
                               int64_t *deleted, struct err *err)
{
    struct str id = api_escape(cli->arena, run);
    const char *path =
        arena_printf(cli->arena, "/api/cairn/v1/runs/%.*s/checkpoints/delete", STR_ARG(id)).p;
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *answer = NULL;
    enum status st;

    json_w_object(&w);
    json_w_key(&w, S("checkpoints"));
    json_w_array(&w);
    for (const struct jv *c = plan; c; c = c->next) {
        const struct jv *goes = jv_get(c, "goes");

        if (goes && goes->is_true) {
            json_w_object(&w);
            json_w_key(&w, S("path"));
            json_w_str(&w, jv_text(c, "path"));
            json_w_key(&w, S("digest"));
            json_w_str(&w, jv_text(c, "digest"));
            json_w_object_end(&w);
        }
    }
    json_w_array_end(&w);
    json_w_object_end(&w);
    st = path ? buf_status(&body, "request", err) : err_nomem(err);
    st = st ? st : api_call(cli, "POST", path, buf_str(&body), &answer, err);
    buf_release(&body);
    *deleted = st ? 0 : jv_i64(answer, "deleted", 0);
    return st;
}

/* The only series of the run. */
static enum status find_series(struct cli *cli, struct str run, const char **out, struct err *err)
{
    struct pairs q = { .n = 0 };
    struct jv *page = NULL;
    const struct jv *list;
    enum status st;

    add(&q, "max_results", "10000");
    st = ask(cli, run, "", &q, &page, err);
    list = jv_items(page, "checkpoints");
    if (!st && !list) {
        st = err_set(err, ST_NOT_FOUND, "the run has no checkpoint");
    }
    st = st ? st : one_series(cli, list, err);
    *out = st ? NULL : arena_cstr(cli->arena, jv_text(list, "series"));
    return st || *out ? st : err_nomem(err);
}

static int checkpoint_prune(struct cli *cli)
{
    const struct prune_flags *f = cli->options;
    const char *series = f->series;
    struct pairs q = { .n = 0 };
    struct err err = ERR_INIT;
    struct jv *plan = NULL;
    struct render r;
    struct str run;
    int64_t going = 0, bytes = 0, deleted = 0;
    char size[32];
    enum status st = run_id_of(cli, cli->args[0], &run, &err);

    if (!st && !series) {
        st = find_series(cli, run, &series, &err);
    }
    add(&q, "series", series);
    add(&q, "keep_last", arena_printf(cli->arena, "%lld", (long long)f->last).p);
    add(&q, "keep_best", arena_printf(cli->arena, "%lld", (long long)f->best).p);
    add(&q, "metric", f->metric);
    add(&q, "mode", f->mode);
    st = st ? st : ask(cli, run, "/plan", &q, &plan, &err);
    for (const struct jv *c = jv_items(plan, "checkpoints"); !st && c; c = c->next) {
        const struct jv *goes = jv_get(c, "goes");

        going += goes && goes->is_true;
        bytes += goes && goes->is_true ? jv_i64(c, "size", 0) : 0;
    }
    st = st ? st : render_begin(&r, cli, columns, ARRAY_N(columns), false, &err);
    for (const struct jv *c = jv_items(plan, "checkpoints"); !st && c; c = c->next) {
        st = row(&r, c, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    render_bytes(bytes, size);
    if (f->dry_run || !going) {
        cli_note(cli, "%lld would go, %s", (long long)going, size);
        return CLI_DONE;
    }
    if (!cli_confirm(cli,
                     arena_printf(cli->arena, "%lld checkpoints, %s", (long long)going, size).p,
                     &err)) {
        return cli_fail(cli, ST_INVALID, &err);
    }
    st = delete_them(cli, run, jv_items(plan, "checkpoints"), &deleted, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "deleted %lld checkpoints, %s", (long long)deleted, size);
    return CLI_DONE;
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------------- */

#define SERIES(flags)                                                                              \
    {                                                                                              \
        .name = "series", .type = OPT_TEXT, .arg = "SERIES", .off = offsetof(flags, series),       \
        .doc = "as ls -o json shows it: 'checkpoints/epoch_*'; needed where a run has several"     \
    }
#define MODE(flags)                                                                                \
    {                                                                                              \
        .name = "mode", .type = OPT_CHOICE, .choices = "min|max", .off = offsetof(flags, mode),    \
        .doc = "what is best of the metric"                                                        \
    }

static const struct opt_row ls_rows[] = {
    SERIES(struct checkpoint_ls_flags),
    { .name = "metric",
      .type = OPT_LIST,
      .arg = "KEY",
      .off = offsetof(struct checkpoint_ls_flags, metric),
      .doc = "show these metrics; without, up to 32 of the run" },
    { .name = "limit",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "100",
      .min = "1",
      .max = "1000000",
      .off = offsetof(struct checkpoint_ls_flags, limit),
      .doc = "at most so many" },
};
static const struct opt_row best_rows[] = {
    { .name = "metric",
      .type = OPT_TEXT,
      .arg = "KEY",
      .off = offsetof(struct pick_flags, best),
      .doc = "the metric that decides" },
    MODE(struct pick_flags),
    SERIES(struct pick_flags),
};
static const struct opt_row get_rows[] = {
    { .name = "to",
      .type = OPT_TEXT,
      .arg = "DIR",
      .def = ".",
      .off = offsetof(struct pick_flags, to),
      .doc = "folder for the files; made when it is missing" },
    { .name = "step",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "-1",
      .min = "-1",
      .off = offsetof(struct pick_flags, step),
      .doc = "the checkpoint of this step; without, the last that is whole" },
    { .name = "best",
      .type = OPT_TEXT,
      .arg = "METRIC",
      .off = offsetof(struct pick_flags, best),
      .doc = "the best by this metric, with --mode" },
    MODE(struct pick_flags),
    SERIES(struct pick_flags),
    { .name = "force",
      .type = OPT_BOOL,
      .off = offsetof(struct pick_flags, force),
      .doc = "replace files that have other bytes" },
};
static const struct opt_row prune_rows[] = {
    { .name = "keep-last",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "0",
      .min = "0",
      .max = "1000000",
      .off = offsetof(struct prune_flags, last),
      .doc = "so many with the highest steps stay" },
    { .name = "keep-best",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "0",
      .min = "0",
      .max = "1000000",
      .off = offsetof(struct prune_flags, best),
      .doc = "and so many of the best by --metric" },
    { .name = "metric",
      .type = OPT_TEXT,
      .arg = "KEY",
      .off = offsetof(struct prune_flags, metric),
      .doc = "the metric that decides" },
    MODE(struct prune_flags),
    SERIES(struct prune_flags),
    { .name = "dry-run",
      .type = OPT_BOOL,
      .off = offsetof(struct prune_flags, dry_run),
      .doc = "show what would go, and delete nothing" },
};

static const struct cli_command rows[] = {
    { .noun = "checkpoint",
      .verb = "ls",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "List the checkpoints of a run with the metrics of their steps",
      .detail =
          "Checkpoints are artifacts whose names carry a step: checkpoints/epoch_3, checkpoint-500, "
          "epoch=3-step=500.ckpt; and models that the run logged at a step.",
      CLI_OPTIONS(ls_rows, struct checkpoint_ls_flags),
      CLI_EXAMPLES("cairn checkpoint ls bright-fox-12",
                   "cairn checkpoint ls 4f2c --metric val_loss"),
      .run = checkpoint_ls },
    { .noun = "checkpoint",
      .verb = "best",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show the best checkpoint by a metric",
      CLI_OPTIONS(best_rows, struct pick_flags),
      CLI_EXAMPLES("cairn checkpoint best 4f2c --metric val_loss --mode min"),
      .run = checkpoint_best },
    { .noun = "checkpoint",
      .verb = "get",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Restore a checkpoint into a folder and print where it is",
      .detail =
          "Every file is checked against its SHA-256. A command that was interrupted goes on where it was.",
      CLI_OPTIONS(get_rows, struct pick_flags),
      CLI_EXAMPLES("cairn checkpoint get 4f2c --to restored",
                   "cairn checkpoint get 4f2c --best val_loss --mode min --to best"),
      .run = checkpoint_get },
    { .noun = "checkpoint",
      .verb = "prune",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Delete the checkpoints of a series but the last and the best",
      .detail =
          "What a registered model is made from, what has no step, and a newest one that is not whole stay. "
          "Logged models go into the trash, from where cairn trash brings them back.",
      CLI_OPTIONS(prune_rows, struct prune_flags),
      CLI_EXAMPLES(
          "cairn checkpoint prune 4f2c --keep-last 3 --dry-run",
          "cairn checkpoint prune 4f2c --keep-last 1 --keep-best 2 --metric val_loss --mode min --yes"),
      .run = checkpoint_prune },
};
const struct cli_table cli_checkpoints = { rows, ARRAY_N(rows) };
