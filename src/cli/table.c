/* cli/table.c - the table of commands that talk to a server or need none: one row each. */
#include "cli/api.h"
#include "cli/cli_int.h"
#include "cli/commands.h"
#include "cli/render.h"

static enum status find_help(struct cli *cli, const struct cli_command **out, struct err *err)
{
    const char *noun = NULL;
    const char *verb = cli->arg_n > 1 ? cli->args[1] : NULL;
    const struct cli_command *c;
    size_t t = 0, r = 0;
    enum status st;

    *out = NULL;
    for (c = cli_next(cli, &t, &r); c && !noun; c = cli_next(cli, &t, &r)) {
        noun = cli_is_noun(c->noun, str_cstr(cli->args[0])) ? c->noun : NULL;
    }
    if (cli->arg_n > 2) {
        verb = arena_printf(cli->arena, "%s %s", cli->args[1], cli->args[2]).p;
    }
    cli->args[0] = noun ? noun : cli->args[0];
    *out = noun ? cli_find(cli, noun, verb) : NULL;
    if (*out || (noun && !verb)) {
        return OK;
    }
    st = err_set(err, ST_INVALID, "there is no command %s%s%s", cli->args[0], verb ? " " : "",
                 verb ? verb : "");
    err_hint(err, "cairn help lists the commands");
    return st;
}

enum { HELP_MAX = 1 << 20 };

struct help_flags {
    bool man, markdown, options;
};

static int run_help(struct cli *cli)
{
    const struct help_flags *f = cli->options;
    const struct cli_command *c = NULL;
    struct buf b = BUF_INIT(HELP_MAX);
    struct err err = ERR_INIT;
    enum status st = OK;

    if (f->man) {
        help_man(&b, cli);
    } else if (f->markdown) {
        help_markdown(&b, cli);
    } else if (f->options) {
        help_options(&b, cli);
    } else if (cli->arg_n == 0) {
        help_top(&b, cli);
    } else {
        st = find_help(cli, &c, &err);
        if (!st && c) {
            help_command(&b, cli, c);
        } else if (!st) {
            help_noun(&b, cli, cli->args[0]);
        }
    }
    st = st ? st : buf_status(&b, "help", &err);
    if (!st) {
        out_write(OUT_STDOUT, buf_str(&b));
    }
    buf_release(&b);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

static const struct opt_row help_rows[] = {
    { .name = "man",
      .type = OPT_BOOL,
      .off = offsetof(struct help_flags, man),
      .doc = "the manual page, for man(1)" },
    { .name = "markdown",
      .type = OPT_BOOL,
      .off = offsetof(struct help_flags, markdown),
      .doc = "the page of commands of the manual" },
    { .name = "options",
      .type = OPT_BOOL,
      .off = offsetof(struct help_flags, options),
      .doc = "the page of the server's options of the manual" },
};

/* ---- version ------------------------------------------------------------------------------------------------------ */

/* The server is asked only if something names one: without, this is a local command. */
static void ask_server(struct cli *cli, struct cell cells[])
{
    struct err err = ERR_INIT;
    struct jv *answer = NULL;
    enum status st;

    if (!cli->globals.server && !cli->globals.context) {
        return;
    }
    st = api_call(cli, "GET", "/api/cairn/v1/version", (struct str){ NULL, 0 }, &answer, &err);
    if (st) {
        cli_warn(cli, "%s", err.message);
        return;
    }
    cells[1] = cell_text(jv_text(answer, "version"));
    cells[2] = cell_text(str_cstr(cli->target->url));
    cells[3] = cell_text(jv_text(answer, "database"));
    cells[4] = cell_text(jv_text(answer, "mlflow"));
}

int version(struct cli *cli)
{
    static const struct column columns[] = {
        { "version", "CAIRN", COLUMN_NAME },
        { "server_version", "SERVER", 0 },
        { "server", "AT", 0 },
        { "database", "DATABASE", 0 },
        { "mlflow", "MLFLOW", 0 },
    };
    struct cell cells[ARRAY_N(columns)] = { cell_text(S(CAIRN_VERSION)) };
    struct render r;
    struct err err = ERR_INIT;
    enum status st;

    ask_server(cli, cells);
    if (cli->format == CLI_TABLE && !cli->fields) {
        out_printf(OUT_STDOUT, "cairn %s\n", CAIRN_VERSION);
        if (cells[1].kind == CELL_TEXT) {
            out_printf(OUT_STDOUT, "server %.*s at %.*s: %.*s, as MLflow %.*s\n",
                       STR_ARG(cells[1].s), STR_ARG(cells[2].s), STR_ARG(cells[3].s),
                       STR_ARG(cells[4].s));
        }
        return CLI_DONE;
    }
    st = render_begin(&r, cli, columns, ARRAY_N(columns), true, &err);
    st = st ? st : render_row(&r, cells, &err);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&r);
    return CLI_DONE;
}

/* ---- options ------------------------------------------------------------------------------------------------------ */

#define AT(member) .off = offsetof(struct ls_flags, member)
static const struct opt_row run_chart_rows[] = {
    { .name = "x",
      .type = OPT_TEXT,
      .arg = "AXIS",
      .def = "step",
      .off = offsetof(struct chart_flags, x),
      .doc = "along step, time, relative (time since the start of the run), or a metric" },
    { .name = "with",
      .type = OPT_LIST,
      .arg = "RUN",
      .off = offsetof(struct chart_flags, with),
      .doc = "more runs in the same pictures" },
    { .name = "from",
      .type = OPT_TEXT,
      .arg = "X",
      .off = offsetof(struct chart_flags, from),
      .doc = "the first x: a step, milliseconds, a value of the metric" },
    { .name = "to",
      .type = OPT_TEXT,
      .arg = "X",
      .off = offsetof(struct chart_flags, to),
      .doc = "the last x" },
    { .name = "width",
      .type = OPT_COUNT,
      .arg = "N",
      .min = "30",
      .max = "1000",
      .off = offsetof(struct chart_flags, width),
      .doc = "columns of the picture; without it those of the terminal" },
    { .name = "height",
      .type = OPT_COUNT,
      .arg = "N",
      .min = "3",
      .max = "200",
      .off = offsetof(struct chart_flags, height),
      .doc = "rows of the curves; without it 15, or 8 for several metrics" },
    { .name = "buckets",
      .type = OPT_COUNT,
      .arg = "N",
      .min = "1",
      .max = "8192",
      .off = offsetof(struct chart_flags, buckets),
      .doc = "parts of the axis, for -o json; without it as many as the picture can show" },
};
static const struct opt_row run_ls_rows[] = {
    { .name = "experiment",
      .letter = 'e',
      .type = OPT_LIST,
      .arg = "NAME|ID",
      AT(experiment),
      .doc = "runs of these experiments; without it of all" },
    { .name = "filter",
      .type = OPT_TEXT,
      .arg = "EXPR",
      AT(filter),
      .doc = "what runs have to meet: metrics.acc > 0.9 and params.opt = 'adam'" },
    { .name = "sort", .type = OPT_LIST, .arg = "EXPR", AT(sort), .doc = "order: metrics.loss ASC" },
    { .name = "limit",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "100",
      .min = "1",
      .max = "1000000",
      AT(limit),
      .doc = "at most so many" },
    { .name = "all", .type = OPT_BOOL, AT(all), .doc = "without a limit" },
    { .name = "deleted", .type = OPT_BOOL, AT(deleted), .doc = "deleted runs instead" },
};
static const struct opt_row experiment_ls_rows[] = {
    { .name = "filter", .type = OPT_TEXT, .arg = "EXPR", AT(filter), .doc = "name LIKE 'vision%'" },
    { .name = "sort", .type = OPT_LIST, .arg = "EXPR", AT(sort), .doc = "order: name ASC" },
    { .name = "limit",
      .type = OPT_COUNT,
      .arg = "N",
      .def = "100",
      .min = "1",
      .max = "1000000",
      AT(limit),
      .doc = "at most so many" },
    { .name = "all", .type = OPT_BOOL, AT(all), .doc = "without a limit" },
    { .name = "deleted", .type = OPT_BOOL, AT(deleted), .doc = "deleted experiments instead" },
};
#undef AT
static const struct opt_row context_set_rows[] = {
    { .name = "server",
      .type = OPT_TEXT,
      .arg = "URL",
      .off = offsetof(struct context_flags, server),
      .doc = "its address" },
    { .name = "token-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      .off = offsetof(struct context_flags, token_file),
      .doc = "file with the token to send there" },
};
static const struct opt_row login_rows[] = {
    { .name = "with-token",
      .type = OPT_BOOL,
      .off = offsetof(struct login_flags, with_token),
      .doc = "read the token from stdin" },
    { .name = "name",
      .type = OPT_TEXT,
      .arg = "NAME",
      .off = offsetof(struct login_flags, name),
      .doc = "name of the context; without it made from the address" },
};

static const struct opt_row rm_rows[] = {
    { .name = "hard",
      .type = OPT_BOOL,
      .off = offsetof(struct rm_flags, hard),
      .doc = "for good: everything about it goes, and cannot be restored" },
    { .name = "force",
      .type = OPT_BOOL,
      .off = offsetof(struct rm_flags, force),
      .doc = "with --hard: also when registered versions stand on it" },
    { .name = "dry-run",
      .type = OPT_BOOL,
      .off = offsetof(struct rm_flags, dry_run),
      .doc = "only show what --hard would take away" },
};

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static const struct cli_command rows[] = {
    { .noun = "run",
      .verb = "ls",
      .summary = "List runs",
      CLI_OPTIONS(run_ls_rows, struct ls_flags),
      CLI_EXAMPLES(
          "cairn run ls --experiment digits --sort 'metrics.accuracy DESC' --limit 10",
          "cairn run ls --filter \"params.opt = 'adam'\" -o csv=run_id,params.lr,metrics.loss",
          "cairn run ls -o name | head -1"),
      .run = run_ls },
    { .noun = "run",
      .verb = "show",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show one run: its id, the beginning of it, or its name",
      CLI_EXAMPLES("cairn run show 4f2c", "cairn run show gifted-otter-12 -o json"),
      .run = run_show },
    { .noun = "run",
      .verb = "events",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Show when somebody went on in a run, after an interruption or its end",
      CLI_EXAMPLES("cairn run events 4f2c"),
      .run = run_events_ls },
    { .noun = "run",
      .verb = "rm",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Delete a run; with --hard for good",
      .detail =
          "Without --hard the run is marked as deleted, as MLflow does it, and can be restored. With --hard its points, params,\n"
          "tags and list of artifacts go at once, also when it was marked before (then give the whole id). What models know of\n"
          "their origin stays.",
      CLI_OPTIONS(rm_rows, struct rm_flags),
      CLI_EXAMPLES("cairn run rm gifted-otter-12", "cairn run rm 4f2c --hard"),
      .run = run_rm },
    { .noun = "run",
      .verb = "restore",
      .args = "RUN",
      .args_min = 1,
      .args_max = 1,
      .summary = "Bring a deleted run back",
      .detail = "Takes the whole id of the run. One that was deleted with --hard is gone.",
      CLI_EXAMPLES("cairn run restore 4f2c81d0e9b54a6f8c3d2e1f0a9b8c7d"),
      .run = run_restore },
    { .noun = "run",
      .verb = "chart",
      .args = "RUN [METRIC...]",
      .args_min = 1,
      .args_max = 50,
      .summary = "Draw the metrics of a run: those named, or all",
      CLI_OPTIONS(run_chart_rows, struct chart_flags),
      CLI_EXAMPLES("cairn run chart gifted-otter-12 loss accuracy",
                   "cairn run chart 4f2c loss --with 81d0 --x relative",
                   "cairn run chart 4f2c loss --x epoch --from 2 --to 5",
                   "cairn run chart 4f2c loss --buckets 100 -o json"),
      .run = run_chart },
    { .noun = "experiment",
      .verb = "ls",
      .summary = "List experiments",
      CLI_OPTIONS(experiment_ls_rows, struct ls_flags),
      CLI_EXAMPLES("cairn experiment ls -o name"),
      .run = experiment_ls },
    { .noun = "experiment",
      .verb = "rm",
      .args = "EXPERIMENT",
      .args_min = 1,
      .args_max = 1,
      .summary = "Delete an experiment, by id or name, and its runs; with --hard for good",
      .detail =
          "Without --hard the experiment and its runs are marked as deleted, as MLflow does it, and can be restored; its name stays\n"
          "taken. With --hard its runs, logged models, data sets, metrics and artifacts go, and its name is free at once. What\n"
          "registered models know of their origin stays. The command waits until all of it is gone.",
      CLI_OPTIONS(rm_rows, struct rm_flags),
      CLI_EXAMPLES("cairn experiment rm digits", "cairn experiment rm digits --dry-run",
                   "cairn experiment rm digits --hard --yes"),
      .run = experiment_rm },
    { .noun = "experiment",
      .verb = "restore",
      .args = "EXPERIMENT",
      .args_min = 1,
      .args_max = 1,
      .summary = "Bring a deleted experiment back, by id or name",
      CLI_EXAMPLES("cairn experiment restore digits"),
      .run = experiment_restore },
    { .noun = "context", .verb = "ls", .summary = "List the named servers", .run = context_ls },
    { .noun = "context",
      .verb = "use",
      .args = "NAME",
      .args_min = 1,
      .args_max = 1,
      .summary = "Use a named server from now on",
      .run = context_use },
    { .noun = "context",
      .verb = "set",
      .args = "NAME",
      .args_min = 1,
      .args_max = 1,
      .summary = "Name a server",
      CLI_OPTIONS(context_set_rows, struct context_flags),
      CLI_EXAMPLES(
          "cairn context set team --server https://cairn.example.com --token-file ~/.cairn-token"),
      .run = context_set },
    { .noun = "context",
      .verb = "rm",
      .args = "NAME",
      .args_min = 1,
      .args_max = 1,
      .summary = "Forget a named server",
      .run = context_rm },
    { .noun = "login",
      .args = "URL",
      .args_min = 1,
      .args_max = 1,
      .summary = "Keep a token for a server and use that server",
      .detail =
          "The token is read from stdin, tried, and kept in a file that only its owner can read.",
      CLI_OPTIONS(login_rows, struct login_flags),
      CLI_EXAMPLES("cairn login https://cairn.example.com --with-token < token.txt"),
      .run = login },
    { .noun = "logout",
      .args = "[NAME]",
      .args_max = 1,
      .summary = "Forget the token of a named server",
      .run = logout },
    { .noun = "config",
      .verb = "explain",
      .summary = "Show every option, its value and where that comes from",
      CLI_EXAMPLES("cairn config explain -o wide"),
      .run = config_explain },
    { .noun = "completion",
      .args = "SHELL",
      .args_min = 1,
      .args_max = 1,
      .summary = "Print the completion script of bash, zsh or fish",
      CLI_EXAMPLES("source <(cairn completion bash)"),
      .run = completion },
    { .noun = "help",
      .args = "[NOUN [VERB]]",
      .args_max = 3,
      .summary = "Explain a command",
      CLI_OPTIONS(help_rows, struct help_flags),
      CLI_EXAMPLES("cairn help run ls", "cairn help --man > cairn.1"),
      .run = run_help },
    { .noun = "version",
      .summary = "Show the version of cairn, and of the server if one is named",
      CLI_EXAMPLES("cairn version --server http://127.0.0.1:5757 -o json"),
      .run = version },
};
const struct cli_table cli_builtin = { rows, ARRAY_N(rows) };
