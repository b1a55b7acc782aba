/* cli/help.c - help, manual page and manual, made from the tables. */
#include "cli/cli.h"
#include "cli/cli_int.h"

enum { FLAG_COLUMN = 34, NOUN_MAX = 64, OWN_MAX = 8 };

static void put_name(struct buf *out, const struct cli_command *c)
{
    buf_printf(out, "cairn %s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
}

static bool is_shown(const struct cli_command *c, const struct opt_row *row)
{
    return opt_is_for(row, c->verb) && (!c->short_help || (row->flags & OPT_SHORT));
}

static bool has_flags(const struct cli_command *c)
{
    for (size_t i = 0; i < c->opts_n; i++) {
        if (is_shown(c, &c->opts[i])) {
            return true;
        }
    }
    return false;
}

/* "-o, --output FORMAT" */
static void put_flag(struct buf *out, const struct opt_row *row)
{
    if (row->letter) {
        buf_printf(out, "-%c, ", row->letter);
    }
    buf_printf(out, "--%s%s", row->type == OPT_BOOL && row->def ? "[no-]" : "", row->name);
    if (opt_takes_value(row)) {
        buf_printf(out, " %s", row->arg ? row->arg : "VALUE");
    }
}

static void put_doc(struct buf *out, const struct opt_row *row)
{
    buf_put_cstr(out, row->doc);
    if (row->choices) {
        buf_printf(out, " (%s)", row->choices);
    }
    if (row->def) {
        buf_printf(out, " [%s]", row->def);
    }
}

static void put_flag_line(struct buf *out, const struct opt_row *row)
{
    size_t from = out->n, width;

    buf_put_lit(out, "  ");
    put_flag(out, row);
    width = out->n - from;
    if (width >= FLAG_COLUMN) {
        buf_put_u8(out, '\n');
        width = 0;
    }
    while (width++ < FLAG_COLUMN) {
        buf_put_u8(out, ' ');
    }
    put_doc(out, row);
    buf_put_u8(out, '\n');
}

static void put_flags(struct buf *out, const struct cli_command *c)
{
    bool mlflow = false;

    if (has_flags(c)) {
        buf_put_lit(out, "\nFlags:\n");
    }
    for (size_t i = 0; i < c->opts_n; i++) {
        if ((c->opts[i].flags & OPT_MLFLOW) && !c->short_help) {
            mlflow = true;
        } else if (is_shown(c, &c->opts[i])) {
            put_flag_line(out, &c->opts[i]);
        }
    }
    if (mlflow) {
        buf_put_lit(out, "\nOptions of `mlflow server`, with their meaning:\n");
        for (size_t i = 0; i < c->opts_n; i++) {
            if (c->opts[i].flags & OPT_MLFLOW) {
                put_flag_line(out, &c->opts[i]);
            }
        }
    }
    buf_put_lit(out, "\nGlobal flags:\n");
    for (size_t i = 0; i < cli_global_rows_n; i++) {
        put_flag_line(out, &cli_global_rows[i]);
    }
}

static void put_usage(struct buf *out, const struct cli_command *c)
{
    put_name(out, c);
    if (c->args && c->args[0]) {
        buf_printf(out, " %s", c->args);
    }
    if (c->opts_n) {
        buf_put_lit(out, " [flags]");
    }
}

static void put_command_line(struct buf *out, const struct cli_command *c)
{
    size_t from = out->n, width;

    buf_put_lit(out, "  ");
    put_usage(out, c);
    width = out->n - from;
    while (width++ < 40) {
        buf_put_u8(out, ' ');
    }
    buf_printf(out, " %s\n", c->summary);
}

/* The other commands of a noun that is a command itself. */
static void put_verbs(struct buf *out, const struct cli *cli, const struct cli_command *self)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;
    bool any = false;

    for (c = cli_next(cli, &t, &r); c && !self->verb; c = cli_next(cli, &t, &r)) {
        if (c != self && strcmp(c->noun, self->noun) == 0) {
            buf_put_cstr(out, any ? "" : "\nCommands:\n");
            put_command_line(out, c);
            any = true;
        }
    }
}

void help_command(struct buf *out, const struct cli *cli, const struct cli_command *c)
{
    buf_printf(out, "%s\n\n", c->summary);
    if (c->detail) {
        buf_printf(out, "%s\n\n", c->detail);
    }
    buf_put_lit(out, "Usage: ");
    put_usage(out, c);
    buf_put_lit(out, "\n");
    if (c->examples) {
        buf_put_lit(out, "\nExamples:\n");
        for (const char *const *e = c->examples; *e; e++) {
            buf_printf(out, "  %s\n", *e);
        }
    }
    put_verbs(out, cli, c);
    put_flags(out, c);
}

void help_noun(struct buf *out, const struct cli *cli, const char *noun)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (strcmp(c->noun, noun) == 0) {
            put_command_line(out, c);
        }
    }
    buf_printf(out, "\ncairn help %s VERB says more.\n", noun);
}

void help_top(struct buf *out, const struct cli *cli)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    buf_put_lit(out, "cairn - records AI work: runs, parameters, metrics, models, artifacts\n\n"
                     "Usage: cairn NOUN [VERB] [arguments] [flags]\n\n");
    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        put_command_line(out, c);
    }
    buf_put_lit(out, "\nGlobal flags:\n");
    for (size_t i = 0; i < cli_global_rows_n; i++) {
        put_flag_line(out, &cli_global_rows[i]);
    }
    buf_put_lit(out,
                "\nExit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict,\n"
                "6 server unreachable, 7 condition not met, 8 timeout.\n"
                "cairn help NOUN VERB says more.\n");
}

/* ---- the manual page ---------------------------------------------------------------------------------------------- */

/* Text where roff would see a command or an escape. */
static void put_roff(struct buf *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'') {
        buf_put_lit(out, "\\&");
    }
    for (const char *p = text; *p; p++) {
        if (*p == '\\') {
            buf_put_lit(out, "\\e");
        } else if (*p == '-') {
            buf_put_lit(out, "\\-");
        } else {
            buf_put_u8(out, (unsigned char)*p);
            if (*p == '\n' && (p[1] == '.' || p[1] == '\'')) {
                buf_put_lit(out, "\\&");
            }
        }
    }
}

static void man_flag(struct buf *out, const struct opt_row *row)
{
    struct buf text = BUF_INIT(4096);

    put_flag(&text, row);
    buf_put_u8(&text, 0);
    buf_put_lit(out, ".TP\n.B ");
    put_roff(out, text.failed ? row->name : text.p);
    buf_put_lit(out, "\n");
    buf_clear(&text);
    put_doc(&text, row);
    buf_put_u8(&text, 0);
    put_roff(out, text.failed ? row->doc : text.p);
    buf_put_lit(out, "\n");
    if (row->env || row->key) {
        buf_printf(out, ".br\nEnvironment: %s. File: %s.\n", row->env ? row->env : "none",
                   row->key ? row->key : "none");
    }
    buf_release(&text);
}

static void man_command(struct buf *out, const struct cli_command *c)
{
    struct buf usage = BUF_INIT(4096);

    put_usage(&usage, c);
    buf_put_u8(&usage, 0);
    buf_put_lit(out, ".SS ");
    put_roff(out, usage.failed ? c->noun : usage.p);
    buf_put_lit(out, "\n");
    put_roff(out, c->summary);
    buf_put_lit(out, ".\n");
    if (c->detail) {
        buf_put_lit(out, ".PP\n");
        put_roff(out, c->detail);
        buf_put_lit(out, "\n");
    }
    if (c->examples) {
        buf_put_lit(out, ".PP\n.nf\n");
        for (const char *const *e = c->examples; *e; e++) {
            put_roff(out, *e);
            buf_put_lit(out, "\n");
        }
        buf_put_lit(out, ".fi\n");
    }
    for (size_t i = 0; i < c->opts_n; i++) {
        if (is_shown(c, &c->opts[i])) {
            man_flag(out, &c->opts[i]);
        }
    }
    buf_release(&usage);
}

void help_man(struct buf *out, const struct cli *cli)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    buf_put_lit(out, ".TH CAIRN 1 \"\" \"cairn " CAIRN_VERSION "\"\n.SH NAME\n"
                     "cairn \\- records AI work: runs, parameters, metrics, models, artifacts\n"
                     ".SH SYNOPSIS\n.B cairn\nNOUN [VERB] [arguments] [flags]\n.SH COMMANDS\n");
    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        man_command(out, c);
    }
    buf_put_lit(out, ".SH GLOBAL FLAGS\n");
    for (size_t i = 0; i < cli_global_rows_n; i++) {
        man_flag(out, &cli_global_rows[i]);
    }
    buf_put_lit(
        out, ".SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict,\n"
             "6 server unreachable, 7 condition not met, 8 timeout.\n");
}

/* ---- the manual ------------------------------------------------------------------------------------------------------ */

/* Text of a table cell. */
static void put_cell(struct buf *out, const char *text)
{
    for (const char *p = text; p && *p; p++) {
        if (*p == '|') {
            buf_put_lit(out, "\\|");
        } else {
            buf_put_u8(out, *p == '\n' ? ' ' : (unsigned char)*p);
        }
    }
}

static void put_code(struct buf *out, const char *text)
{
    if (text) {
        buf_put_u8(out, '`');
        put_cell(out, text);
        buf_put_u8(out, '`');
    }
}

static void markdown_flags(struct buf *out, const struct opt_row *rows, size_t n)
{
    buf_put_lit(out, "\n| flag | meaning |\n|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        struct buf flag = BUF_INIT(512);

        put_flag(&flag, &rows[i]);
        buf_put_u8(&flag, 0);
        buf_put_lit(out, "| ");
        put_code(out, flag.failed ? rows[i].name : flag.p);
        buf_put_lit(out, " | ");
        buf_clear(&flag);
        put_doc(&flag, &rows[i]);
        buf_put_u8(&flag, 0);
        put_cell(out, flag.failed ? rows[i].doc : flag.p);
        buf_put_lit(out, " |\n");
        buf_release(&flag);
    }
}

static void options_row(struct buf *out, const struct opt_row *row)
{
    struct buf flag = BUF_INIT(512);

    put_flag(&flag, row);
    buf_put_u8(&flag, 0);
    buf_put_lit(out, "| ");
    put_code(out, flag.failed ? row->name : flag.p);
    buf_put_lit(out, " | ");
    put_code(out, row->env);
    buf_put_lit(out, " | ");
    put_code(out, row->key);
    buf_put_lit(out, " | ");
    put_code(out, row->def);
    buf_put_lit(out, " | ");
    if (row->choices) {
        put_cell(out, row->choices);
    } else if (row->min || row->max) {
        buf_printf(out, "%s to %s", row->min ? row->min : "0", row->max ? row->max : "any");
    }
    buf_put_lit(out, " | ");
    put_cell(out, row->doc);
    buf_put_lit(out, " |\n");
    buf_release(&flag);
}

static void options_table(struct buf *out, const struct cli_command *c, bool mlflow)
{
    buf_put_lit(out, "| flag | environment | in `cairn.conf` | default | limits | meaning |\n"
                     "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < c->opts_n; i++) {
        if (!c->opts[i].only && ((c->opts[i].flags & OPT_MLFLOW) != 0) == mlflow) {
            options_row(out, &c->opts[i]);
        }
    }
}

void help_options(struct buf *out, const struct cli *cli)
{
    const struct cli_command *server = cli_find(cli, "server", NULL);

    if (!server) {
        return;
    }
    buf_put_lit(
        out,
        "# Options of the server\n\n"
        "Made by `cairn help --options` from the table of options; `cairn server --help` and\n"
        "`GET /api/cairn/v1/config` read the same table.\n\n"
        "The strongest first: flags, environment, `.cairn.conf` (in the working directory or the nearest folder above),\n"
        "`cairn.conf` (in `$XDG_CONFIG_HOME/cairn`, else `~/.config/cairn`), defaults. In files a key stands in a section:\n\n"
        "```\n[server]\nlisten = 127.0.0.1:5757\n\n[http]\nbody_max = 128M\n```\n\n"
        "Sizes are bytes or have K, M, G, T (powers of 1024); times have ms, s, m, h, d. Lists are flags given several\n"
        "times, or commas. `cairn config explain` shows every value and where it comes from.\n\n"
        "Passwords belong in `PGPASSFILE`, tokens in files: what stands on a command line is visible to every user of\n"
        "the machine. A password in a URI works, with a warning.\n\n");
    options_table(out, server, false);
    buf_put_lit(
        out,
        "\n## Options of `mlflow server`\n\n"
        "For people who switch: these have MLflow's names and meaning, and so have its variables. `--static-prefix`,\n"
        "`--allowed-hosts`, `--cors-allowed-origins`, `--x-frame-options`, `--serve-artifacts` and\n"
        "`--default-artifact-root` are cairn's own as well; their MLflow variables (`MLFLOW_STATIC_PREFIX`,\n"
        "`MLFLOW_SERVER_ALLOWED_HOSTS`, `MLFLOW_SERVER_CORS_ALLOWED_ORIGINS`, `MLFLOW_SERVER_X_FRAME_OPTIONS`,\n"
        "`MLFLOW_SERVE_ARTIFACTS`, `MLFLOW_DEFAULT_ARTIFACT_ROOT`) count when nothing else says it. With any of them the\n"
        "default port is 5000, as MLflow's, else 5757.\n\n"
        "`--backend-store-uri sqlite:///runs.db` keeps the store in the folder `runs.db.cairn` beside that file. A\n"
        "database or folder that MLflow itself filled is left as it is, and the start refused. Roots on S3 and other\n"
        "remote places are refused here: `--blobs s3://BUCKET/PREFIX` keeps the bytes on S3.\n\n");
    options_table(out, server, true);
}

static void markdown_command(struct buf *out, const struct cli_command *c)
{
    buf_put_lit(out, "\n## ");
    put_name(out, c);
    buf_printf(out, "\n\n%s.\n", c->summary);
    if (c->detail) {
        buf_printf(out, "\n%s\n", c->detail);
    }
    buf_put_lit(out, "\n```\n");
    put_usage(out, c);
    buf_put_lit(out, "\n");
    for (const char *const *e = c->examples; e && *e; e++) {
        buf_printf(out, "%s%s\n", e == c->examples ? "\n" : "", *e);
    }
    buf_put_lit(out, "```\n");
    if (c->short_help || c->opts_n > 24) {
        struct opt_row own[OWN_MAX];
        size_t n = 0;

        for (size_t i = 0; i < c->opts_n && n < OWN_MAX; i++) {
            if (c->opts[i].only && opt_is_for(&c->opts[i], c->verb)) own[n++] = c->opts[i];
        }
        if (n) markdown_flags(out, own, n);
        buf_put_lit(out, "\nIts options are those of the server: see [options](options.md).\n");
    } else if (c->opts_n) {
        markdown_flags(out, c->opts, c->opts_n);
    }
}

void help_markdown(struct buf *out, const struct cli *cli)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    buf_put_lit(
        out,
        "# Commands\n\n"
        "Made by `cairn help --markdown` from the table of commands; the program's own help says the same.\n\n"
        "`cairn NOUN [VERB] [arguments] [flags]`. A plural noun is taken too (`cairn runs ls`). Data goes to\n"
        "stdout, messages to stderr.\n\n## Flags of every command\n");
    markdown_flags(out, cli_global_rows, cli_global_rows_n);
    buf_put_lit(
        out,
        "\nOn a terminal a table fits the width and times are relative; into a pipe it is separated by tabs and\n"
        "has no header. NaN and infinities are the texts `NaN`, `Infinity`, `-Infinity` in JSON and CSV.\n\n"
        "## Exit codes\n\n"
        "| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failed |\n"
        "| 2 | usage: unknown flag, missing argument, ambiguous prefix |\n| 3 | not found |\n"
        "| 4 | not authenticated or not allowed |\n| 5 | conflict: exists already, wrong state, another owner |\n"
        "| 6 | server unreachable or not ready |\n| 7 | condition not met: a check found something |\n"
        "| 8 | timeout |\n");
    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        markdown_command(out, c);
    }
}
