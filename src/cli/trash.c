/* cli/trash.c - cairn run restore, cairn experiment rm and restore, cairn logged-model: what is deleted without --hard waits until it is
 * restored or deleted for good. */
#include "base/num.h"
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "cli/run.h"
#include "codec/json.h"

#include <stdio.h>
#include <unistd.h>

enum { BODY_MAX = 64 * 1024, LOOK_EVERY_MS = 50, PAGE = 1000 };

#define NATIVE "/api/cairn/v1/"

#define MLFLOW "/api/2.0/mlflow/"

/* POSTs {"KEY": "value"}. */
static enum status post_id(struct cli *cli, const char *path, const char *key, struct str value,
                           struct err *err)
{
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct jv *answer = NULL;
    enum status st;

    json_w_object(&w);
    json_w_key(&w, str_cstr(key));
    json_w_str(&w, value);
    json_w_object_end(&w);
    st = buf_status(&body, "request", err);
    st = st ? st : api_call(cli, "POST", path, buf_str(&body), &answer, err);
    buf_release(&body);
    return st;
}

/* Deleted runs are found by their whole id only. */
int run_restore(struct cli *cli)
{
    const struct jv *run = NULL;
    struct err err = ERR_INIT;
    enum status st = cli_run_find(cli, cli->args[0], &run, &err);
    struct str id = st ? S("") : jv_text(jv_get(run, "info"), "run_id");

    st = st ? st : post_id(cli, MLFLOW "runs/restore", "run_id", id, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "run %.*s is back", STR_ARG(id));
    return CLI_DONE;
}

static bool is_number(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return n > 0 && !text[n];
}

/* By id or name; deleted ones too. */
static enum status find_experiment(struct cli *cli, const char *name, struct str *id,
                                   struct err *err)
{
    struct str escaped = api_escape(cli->arena, str_cstr(name));
    struct jv *answer = NULL;
    const char *path;
    enum status st;

    *id = str_cstr(name);
    if (is_number(name)) {
        return OK;
    }
    path = arena_printf(cli->arena, MLFLOW "experiments/get-by-name?experiment_name=%.*s",
                        STR_ARG(escaped))
               .p;
    st = path && escaped.p ? api_call(cli, "GET", path, (struct str){ NULL, 0 }, &answer, err)
                           : err_nomem(err);
    if (!st) {
        *id = jv_text(jv_get(answer, "experiment"), "experiment_id");
    }
    return st;
}

static int change_experiment(struct cli *cli, const char *path, const char *done)
{
    struct err err = ERR_INIT;
    struct str id;
    enum status st = find_experiment(cli, cli->args[0], &id, &err);

    st = st ? st : post_id(cli, path, "experiment_id", id, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "experiment %.*s is %s", STR_ARG(id), done);
    return CLI_DONE;
}

int experiment_restore(struct cli *cli)
{
    return change_experiment(cli, MLFLOW "experiments/restore", "back");
}

/* ---- for good ----------------------------------------------------------------------------------------------------------- */

static enum status call_native(struct cli *cli, const char *method, const char *kind, struct str id,
                               const char *rest, struct jv **answer, struct err *err)
{
    struct str escaped = api_escape(cli->arena, id);
    struct str path = arena_printf(cli->arena, NATIVE "%s/%.*s%s", kind, STR_ARG(escaped), rest);
    struct str body = strcmp(method, "POST") == 0 ? S("{}") : (struct str){ NULL, 0 };

    if (!escaped.p || !path.p) {
        return err_nomem(err);
    }
    return api_call(cli, method, path.p, body, answer, err);
}

const char *rm_query(const struct rm_flags *f)
{
    return !f->hard ? "" : f->force ? "?hard=true&force=true" : "?hard=true";
}

static const struct column contents_columns[] = {
    { "id", "ID", COLUMN_NAME },
    { "runs", "RUNS", COLUMN_RIGHT },
    { "logged_models", "LOGGED MODELS", COLUMN_RIGHT },
    { "files", "FILES", COLUMN_RIGHT },
    { "bytes", "BYTES", COLUMN_RIGHT },
    { "versions", "VERSIONS THAT LOSE THEIR FILES", 0 },
};

static struct str joined(struct arena *a, const struct jv *list)
{
    struct str out = S("");

    for (const struct jv *v = list; v; v = v->next) {
        out = arena_printf(a, "%.*s%s%.*s", STR_ARG(out), out.n ? ", " : "", STR_ARG(v->text));
    }
    return out;
}

int trash_contents(struct cli *cli, const char *kind, struct str id)
{
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    struct render r;
    enum status st = render_begin(&r, cli, contents_columns, ARRAY_N(contents_columns), true, &err);

    st = st ? st : call_native(cli, "GET", kind, id, "/contents", &answer, &err);
    if (!st) {
        struct cell cells[ARRAY_N(contents_columns)] = {
            cell_text(id),
            cell_number(jv_text(answer, "runs")),
            cell_number(jv_text(answer, "logged_models")),
            cell_number(jv_text(answer, "files")),
            { .kind = CELL_BYTES, .i = jv_i64(answer, "bytes", 0) },
            cell_text(joined(cli->arena, jv_items(answer, "versions"))),
        };

        st = render_row(&r, cells, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

/* Asks, with what would go. */
static enum status confirm(struct cli *cli, const char *kind, const char *what, struct str id,
                           struct err *err)
{
    struct jv *answer = NULL;
    struct str text, versions;
    char bytes[32];
    enum status st =
        cli->globals.yes ? OK : call_native(cli, "GET", kind, id, "/contents", &answer, err);

    if (st || cli->globals.yes) {
        return st;
    }
    render_bytes(jv_i64(answer, "bytes", 0), bytes);
    versions = joined(cli->arena, jv_items(answer, "versions"));
    text = arena_printf(
        cli->arena, "%s %.*s with %lld runs, %lld logged models and %lld files of %s%s%.*s", what,
        STR_ARG(id), (long long)jv_i64(answer, "runs", 0),
        (long long)jv_i64(answer, "logged_models", 0), (long long)jv_i64(answer, "files", 0), bytes,
        versions.n ? ", which are those of version " : "", STR_ARG(versions));
    if (!text.p) {
        return err_nomem(err);
    }
    return cli_confirm(cli, text.p, err) ? OK : ST_INVALID;
}

/* Until nothing of the experiment is left. */
static enum status wait_until_gone(struct cli *cli, struct str id, struct err *err)
{
    for (;;) {
        struct jv *answer = NULL;
        enum status st = call_native(cli, "GET", "experiments", id, "/contents", &answer, err);

        if (st == ST_NOT_FOUND) {
            *err = (struct err)ERR_INIT;
            return OK;
        }
        if (st) {
            return st;
        }
        usleep(LOOK_EVERY_MS * 1000);
    }
}

int experiment_rm(struct cli *cli)
{
    const struct rm_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    struct str id;
    enum status st;

    if (!f->hard && !f->dry_run) {
        return change_experiment(cli, MLFLOW "experiments/delete", "deleted; it can be restored");
    }
    st = find_experiment(cli, cli->args[0], &id, &err);
    if (!st && f->dry_run) {
        return trash_contents(cli, "experiments", id);
    }
    st = st ? st : confirm(cli, "experiments", "experiment", id, &err);
    st = st ? st : call_native(cli, "DELETE", "experiments", id, rm_query(f), &answer, &err);
    st = st ? st : wait_until_gone(cli, id, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "experiment %.*s is gone", STR_ARG(id));
    return CLI_DONE;
}

/* ---- retention -------------------------------------------------------------------------------------------------------------- */

struct retention_flags {
    const char *trash_after, *delete_after, *metric, *mode;
    int64_t keep_last, keep_best;
    bool off, dry_run, all;
};

#define AT(field) .off = offsetof(struct retention_flags, field)
static const struct opt_row retention_rows[] = {
    { .name = "trash-after",
      .type = OPT_TEXT,
      .arg = "TIME",
      AT(trash_after),
      .doc = "finished runs that ended longer ago go to the trash, such as 90d" },
    { .name = "delete-after",
      .type = OPT_TEXT,
      .arg = "TIME",
      AT(delete_after),
      .doc = "runs and logged models that are longer in the trash go for good" },
    { .name = "keep-last",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "0",
      .min = "0",
      .max = "1000000000",
      AT(keep_last),
      .doc = "so many newest runs stay" },
    { .name = "keep-best",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "0",
      .min = "0",
      .max = "1000",
      AT(keep_best),
      .doc = "so many best runs by --metric stay, of those that ended" },
    { .name = "metric",
      .type = OPT_TEXT,
      .arg = "NAME",
      AT(metric),
      .doc = "metric for --keep-best: its newest value" },
    { .name = "mode",
      .type = OPT_CHOICE,
      .choices = "min|max",
      AT(mode),
      .doc = "whether the lowest or the highest value is best" },
    { .name = "off", .type = OPT_BOOL, AT(off), .doc = "take the rule away" },
    { .name = "dry-run",
      .type = OPT_BOOL,
      AT(dry_run),
      .doc = "only list what the rule would take now: this one, or the one that is set" },
    { .name = "all",
      .type = OPT_BOOL,
      AT(all),
      .doc = "with --dry-run: also the runs that stay, and why" },
};
#undef AT
static const struct column rule_columns[] = {
    { "active", "RULE", 0 },
    { "trash_after_ms", "TRASH AFTER", 0 },
    { "purge_after_ms", "DELETE AFTER", 0 },
    { "keep_last", "KEEP LAST", COLUMN_RIGHT },
    { "keep_best", "KEEP BEST", COLUMN_RIGHT },
    { "metric", "METRIC", 0 },
    { "mode", "MODE", 0 },
    { "who", "SET BY", 0 },
    { "changed_ms", "SET", 0 },
};
static const struct column item_columns[] = {
    { "action", "ACTION", 0 }, { "type", "TYPE", 0 },      { "id", "ID", COLUMN_NAME },
    { "name", "NAME", 0 },     { "since_ms", "SINCE", 0 }, { "reason", "WHY", 0 },
};

static enum status put_time(struct json_writer *w, const char *key, const char *text,
                            struct err *err)
{
    int64_t ms;

    if (!text) return OK;
    if (!num_parse_duration_ms(str_cstr(text), &ms)) {
        return err_set(err, ST_INVALID, "'%s' is no time such as 12h or 30d", text);
    }
    json_w_key(w, str_cstr(key));
    json_w_i64(w, ms);
    return OK;
}

static enum status call_retention(struct cli *cli, const char *method, struct str id,
                                  const char *rest, struct jv **answer, struct err *err)
{
    const struct retention_flags *f = cli->options;
    struct str path =
        arena_printf(cli->arena, NATIVE "experiments/%.*s/retention%s", STR_ARG(id), rest);
    struct buf body = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&body);
    enum status st = path.p ? OK : err_nomem(err);

    json_w_object(&w);
    if (!st) st = put_time(&w, "trash_after_ms", f->trash_after, err);
    if (!st) st = put_time(&w, "purge_after_ms", f->delete_after, err);
    if (f->keep_last) {
        json_w_key(&w, S("keep_last"));
        json_w_i64(&w, f->keep_last);
    }
    if (f->keep_best) {
        json_w_key(&w, S("keep_best"));
        json_w_i64(&w, f->keep_best);
    }
    if (f->metric) {
        json_w_key(&w, S("metric"));
        json_w_str(&w, str_cstr(f->metric));
    }
    if (f->mode) {
        json_w_key(&w, S("mode"));
        json_w_str(&w, str_cstr(f->mode));
    }
    if (f->all && strcmp(rest, "/plan") == 0) {
        json_w_key(&w, S("stays"));
        json_w_bool(&w, true);
    }
    json_w_object_end(&w);
    if (!st) st = buf_status(&body, "request", err);
    if (!st) {
        st = api_call(cli, method, path.p,
                      strcmp(method, "POST") == 0 ? buf_str(&body) : (struct str){ NULL, 0 },
                      answer, err);
    }
    buf_release(&body);
    return st;
}

static struct cell time_cell(struct arena *a, const struct jv *v, const char *key)
{
    int64_t ms = jv_i64(v, key, -1);

    if (ms < 0) return (struct cell){ .kind = CELL_NONE };
    return cell_text(ms % 86400000 == 0 && ms ? arena_printf(a, "%lldd", (long long)(ms / 86400000))
                                              : arena_printf(a, "%llds", (long long)(ms / 1000)));
}

static enum status show_rule(struct cli *cli, struct str id, struct err *err)
{
    struct jv *answer = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, rule_columns, ARRAY_N(rule_columns), true, err);

    st = st ? st : call_retention(cli, "GET", id, "", &answer, err);
    if (!st) {
        const struct jv *active = jv_get(answer, "active");
        struct cell cells[ARRAY_N(rule_columns)] = {
            cell_text(active && active->is_true ? S("on") : S("off")),
            time_cell(cli->arena, answer, "trash_after_ms"),
            time_cell(cli->arena, answer, "purge_after_ms"),
            cell_number(jv_text(answer, "keep_last")),
            cell_number(jv_text(answer, "keep_best")),
            cell_text(jv_text(answer, "metric")),
            cell_text(jv_text(answer, "mode")),
            cell_text(jv_text(answer, "who")),
            cell_time(jv_i64(answer, "changed_ms", 0)),
        };

        st = render_row(&r, cells, err);
    }
    if (!st) render_end(&r);
    return st;
}

static enum status show_plan(struct cli *cli, struct str id, struct err *err)
{
    struct jv *answer = NULL;
    struct render r;
    enum status st = render_begin(&r, cli, item_columns, ARRAY_N(item_columns), false, err);

    st = st ? st : call_retention(cli, "POST", id, "/plan", &answer, err);
    for (const struct jv *v = jv_items(answer, "items"); v && !st; v = v->next) {
        struct cell cells[ARRAY_N(item_columns)] = {
            cell_text(jv_text(v, "action")),     cell_text(jv_text(v, "type")),
            cell_text(jv_text(v, "id")),         cell_text(jv_text(v, "name")),
            cell_time(jv_i64(v, "since_ms", 0)), cell_text(jv_text(v, "reason")),
        };

        st = render_row(&r, cells, err);
    }
    if (st) return st;
    render_end(&r);
    if (jv_get(answer, "more")) cli_note(cli, "and others");
    return OK;
}

static int experiment_retention(struct cli *cli)
{
    const struct retention_flags *f = cli->options;
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    struct str id;
    bool sets = f->trash_after || f->delete_after;
    enum status st = find_experiment(cli, cli->args[0], &id, &err);

    if (!st && f->off && (sets || f->dry_run)) {
        st = err_set(&err, ST_INVALID, "--off stands alone");
    } else if (!st && (f->keep_last || f->keep_best || f->metric || f->mode) && !sets) {
        st = err_set(&err, ST_INVALID,
                     "--keep-last and --keep-best say what stays: they need --trash-after or "
                     "--delete-after");
    } else if (!st && f->dry_run) {
        st = show_plan(cli, id, &err);
    } else if (!st && f->off) {
        st = call_retention(cli, "DELETE", id, "", &answer, &err);
        if (!st) cli_note(cli, "nothing of experiment %.*s is deleted by itself", STR_ARG(id));
    } else if (!st && sets) {
        st = call_retention(cli, "POST", id, "", &answer, &err);
        if (!st) cli_note(cli, "the rule of experiment %.*s is set", STR_ARG(id));
    } else if (!st) {
        st = show_rule(cli, id, &err);
    }
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- logged models ------------------------------------------------------------------------------------------------------- */

struct models_flags {
    bool deleted;
};

static const struct opt_row models_rows[] = {
    { .name = "deleted",
      .type = OPT_BOOL,
      .off = offsetof(struct models_flags, deleted),
      .doc = "those in the trash instead" },
};
static const struct opt_row model_rm_rows[] = {
    { .name = "hard",
      .type = OPT_BOOL,
      .off = offsetof(struct rm_flags, hard),
      .doc = "for good, with its files; it cannot be restored" },
    { .name = "force",
      .type = OPT_BOOL,
      .off = offsetof(struct rm_flags, force),
      .doc = "with --hard: also when registered versions stand on it" },
    { .name = "dry-run",
      .type = OPT_BOOL,
      .off = offsetof(struct rm_flags, dry_run),
      .doc = "only show what --hard would take away" },
};
static const struct column model_columns[] = {
    { "model_id", "ID", COLUMN_NAME },       { "name", "NAME", 0 },
    { "model_type", "TYPE", COLUMN_WIDE },   { "status", "STATUS", 0 },
    { "source_run_id", "RUN", COLUMN_WIDE }, { "create_ms", "CREATED", 0 },
    { "update_ms", "CHANGED", COLUMN_WIDE },
};

static int models_ls(struct cli *cli)
{
    const struct models_flags *f = cli->options;
    struct err err = ERR_INIT;
    struct render r;
    struct str id, token = S("");
    enum status st = render_begin(&r, cli, model_columns, ARRAY_N(model_columns), false, &err);

    st = st ? st : find_experiment(cli, cli->args[0], &id, &err);
    for (bool more = true; more && !st;) {
        struct jv *answer = NULL;
        struct str path = arena_printf(
            cli->arena, NATIVE "logged-models?experiment_id=%.*s&max_results=%d%s%s%.*s",
            STR_ARG(id), PAGE, f->deleted ? "&deleted=true" : "", token.n ? "&page_token=" : "",
            STR_ARG(token));

        st = path.p ? api_call(cli, "GET", path.p, (struct str){ NULL, 0 }, &answer, &err)
                    : err_nomem(&err);
        for (const struct jv *m = jv_items(answer, "models"); m && !st; m = m->next) {
            struct cell cells[ARRAY_N(model_columns)] = {
                cell_text(jv_text(m, "model_id")),      cell_text(jv_text(m, "name")),
                cell_text(jv_text(m, "model_type")),    cell_text(jv_text(m, "status")),
                cell_text(jv_text(m, "source_run_id")), cell_time(jv_i64(m, "create_ms", 0)),
                cell_time(jv_i64(m, "update_ms", 0)),
            };

            st = render_row(&r, cells, &err);
        }
        token = jv_text(answer, "next_page_token");
        more = token.n > 0;
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

static int model_rm(struct cli *cli)
{
    const struct rm_flags *f = cli->options;
    struct str id = str_cstr(cli->args[0]);
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    enum status st = OK;

    if (f->dry_run) {
        return trash_contents(cli, "logged-models", id);
    }
    if (f->hard) st = confirm(cli, "logged-models", "logged model", id, &err);
    st = st ? st : call_native(cli, "DELETE", "logged-models", id, rm_query(f), &answer, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "logged model %.*s is %s", STR_ARG(id),
             f->hard ? "gone" : "deleted; it can be restored");
    return CLI_DONE;
}

static int model_restore(struct cli *cli)
{
    struct str id = str_cstr(cli->args[0]);
    struct jv *answer = NULL;
    struct err err = ERR_INIT;
    enum status st = call_native(cli, "POST", "logged-models", id, "/restore", &answer, &err);

    if (st) {
        return cli_fail(cli, st, &err);
    }
    cli_note(cli, "logged model %.*s is back", STR_ARG(id));
    return CLI_DONE;
}

static const struct cli_command rows[] = {
    { .noun = "experiment",
      .verb = "retention",
      .args = "EXPERIMENT",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show, try or set what is deleted by itself in an experiment",
      .detail =
          "Without a rule nothing ever is. What a registered version stands on is never taken, nor runs with the tag\n"
          "cairn.keep = true. The server looks every ten minutes, and at once when a rule is set.",
      CLI_OPTIONS(retention_rows, struct retention_flags),
      CLI_EXAMPLES(
          "cairn experiment retention sweeps --trash-after 30d --keep-last 100 --dry-run",
          "cairn experiment retention sweeps --trash-after 30d --delete-after 7d --keep-last 100",
          "cairn experiment retention sweeps --trash-after 30d --keep-best 5 --metric acc --mode max --dry-run --all",
          "cairn experiment retention sweeps --off"),
      .run = experiment_retention },
    { .noun = "logged-model",
      .verb = "ls",
      .args = "EXPERIMENT",
      .args_min = 1,
      .args_max = 1,
      .summary = "List the models that the runs of an experiment logged",
      CLI_OPTIONS(models_rows, struct models_flags),
      CLI_EXAMPLES("cairn logged-model ls digits",
                   "cairn logged-model ls digits --deleted -o name"),
      .run = models_ls },
    { .noun = "logged-model",
      .verb = "rm",
      .args = "MODEL",
      .args_min = 1,
      .args_max = 1,
      .summary = "Delete a logged model; with --hard for good",
      .detail =
          "Without --hard the model is marked as deleted, as MLflow does it, and can be restored. With --hard its params, tags,\n"
          "metrics and files go. Versions that were registered from it keep their origin, not their files.",
      CLI_OPTIONS(model_rm_rows, struct rm_flags),
      CLI_EXAMPLES("cairn logged-model rm m-5f0c2e", "cairn logged-model rm m-5f0c2e --hard --yes"),
      .run = model_rm },
    { .noun = "logged-model",
      .verb = "restore",
      .args = "MODEL",
      .args_min = 1,
      .args_max = 1,
      .summary = "Bring a deleted logged model back",
      CLI_EXAMPLES("cairn logged-model restore m-5f0c2e"),
      .run = model_restore },
};
const struct cli_table cli_trash = { rows, ARRAY_N(rows) };
