/* cli/cli.c - from argv to a command of the table. */
#include "cli/cli.h"
#include "cli/cli_int.h"
#include "codec/json.h"
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { ARENA_MAX = 256 << 20, ARGS_MAX = 256, ERROR_JSON_MAX = 16 * 1024 };

#define AT(member) offsetof(struct cli_globals, member)
const struct opt_row cli_global_rows[] = {
    { .name = "output",
      .letter = 'o',
      .type = OPT_TEXT,
      .arg = "FORMAT[=FIELDS]",
      .off = AT(output),
      .doc =
          "table, wide, json, jsonl, csv, name or md; FIELDS picks columns: -o csv=id,metrics.loss" },
    { .name = "server",
      .type = OPT_TEXT,
      .arg = "URL",
      .env = "CAIRN_SERVER",
      .key = "cli.server",
      .off = AT(server),
      .doc = "the server to talk to" },
    { .name = "context",
      .type = OPT_TEXT,
      .arg = "NAME",
      .env = "CAIRN_CONTEXT",
      .key = "cli.context",
      .off = AT(context),
      .doc = "the named server to talk to, see cairn context" },
    { .name = "token-file",
      .type = OPT_TEXT,
      .arg = "FILE",
      .env = "CAIRN_TOKEN_FILE",
      .off = AT(token_file),
      .doc = "file with the token to send" },
    { .name = "color",
      .type = OPT_CHOICE,
      .arg = "WHEN",
      .def = "auto",
      .choices = "auto|always|never",
      .off = AT(color),
      .doc = "colours: auto (on a terminal), always or never" },
    { .name = "quiet",
      .letter = 'q',
      .type = OPT_TIMES,
      .off = AT(quiet),
      .doc = "say less on stderr" },
    { .name = "verbose",
      .letter = 'v',
      .type = OPT_TIMES,
      .off = AT(verbose),
      .doc = "say more on stderr" },
    { .name = "yes", .letter = 'y', .type = OPT_BOOL, .off = AT(yes), .doc = "do not ask" },
    { .name = "no-input", .type = OPT_BOOL, .off = AT(no_input), .doc = "never ask: fail instead" },
    { .name = "help", .letter = 'h', .type = OPT_BOOL, .off = AT(help), .doc = "this text" },
};
const size_t cli_global_rows_n = ARRAY_N(cli_global_rows);
#undef AT

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void put_error_json(const struct err *err, enum status st)
{
    struct buf b = BUF_INIT(ERROR_JSON_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);

    json_w_object(&w);
    json_w_key(&w, S("error"));
    json_w_object(&w);
    json_w_key(&w, S("code"));
    json_w_cstr(&w, status_row(st)->name);
    json_w_key(&w, S("message"));
    json_w_cstr(&w, err->message);
    json_w_key(&w, S("hint"));
    json_w_cstr(&w, err->hint);
    json_w_key(&w, S("field"));
    json_w_cstr(&w, err->field);
    json_w_object_end(&w);
    json_w_object_end(&w);
    buf_put_u8(&b, '\n');
    out_write(OUT_STDERR, buf_str(&b));
    buf_release(&b);
}

static bool wants_json(const struct cli *cli)
{
    return cli->format == CLI_JSON || cli->format == CLI_JSONL;
}

bool cli_confirm(const struct cli *cli, const char *what, struct err *err)
{
    char line[16];

    if (cli->globals.yes) {
        return true;
    }
    if (!cli->globals.no_input && isatty(STDIN_FILENO)) {
        fprintf(stderr, "Delete %s? This cannot be undone. [y/N] ", what);
        if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y')) {
            return true;
        }
    }
    err_set(err, ST_INVALID, "%s was not deleted", what);
    err_hint(err, "--yes deletes without asking");
    return false;
}

int cli_fail(struct cli *cli, enum status st, const struct err *err)
{
    const struct cli_command *c = cli->command;
    int code = status_row(st)->exit_code;

    if (wants_json(cli)) {
        put_error_json(err, st);
    } else {
        bool color = out_color(cli_color(cli), OUT_STDERR);

        out_printf(OUT_STDERR, "%scairn%s%s%s%s:%s %s\n", color ? "\033[31m" : "", c ? " " : "",
                   c ? c->noun : "", c && c->verb ? " " : "", c && c->verb ? c->verb : "",
                   color ? "\033[0m" : "", err->message[0] ? err->message : status_row(st)->name);
        if (err->hint[0]) {
            out_printf(OUT_STDERR, "  %s\n", err->hint);
        }
    }
    return code ? code : CLI_FAILED;
}

enum out_color cli_color(const struct cli *cli)
{
    struct str c = str_cstr(cli->globals.color);

    return str_eq_lit(c, "always")  ? OUT_COLOR_ALWAYS
           : str_eq_lit(c, "never") ? OUT_COLOR_NEVER
                                    : OUT_COLOR_AUTO;
}

ATTR_FORMAT(2, 0)
static void say(const char *prefix, const char *fmt, va_list args)
{
    char text[2048];

    vsnprintf(text, sizeof(text), fmt, args);
    out_printf(OUT_STDERR, "cairn: %s%s\n", prefix, text);
}

void cli_note(const struct cli *cli, const char *fmt, ...)
{
    va_list args;

    if (cli->globals.quiet > 0) {
        return;
    }
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
}

void cli_warn(const struct cli *cli, const char *fmt, ...)
{
    va_list args;

    if (cli->globals.quiet > 1) {
        return;
    }
    va_start(args, fmt);
    say("warning: ", fmt, args);
    va_end(args);
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

bool cli_is_noun(const char *noun, struct str word)
{
    struct str own = str_cstr(noun);

    return str_eq(own, word) ||
           (word.n == own.n + 1 && word.p[own.n] == 's' && str_starts(word, own));
}

const struct cli_command *cli_next(const struct cli *cli, size_t *table, size_t *row)
{
    while (*table < cli->table_n) {
        if (*row < cli->tables[*table].n) {
            return &cli->tables[*table].rows[(*row)++];
        }
        (*table)++;
        *row = 0;
    }
    return NULL;
}

/* The canonical noun; NULL if there is none. */
static const char *find_noun(const struct cli *cli, struct str word)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (cli_is_noun(c->noun, word)) {
            return c->noun;
        }
    }
    return NULL;
}

const struct cli_command *cli_find(const struct cli *cli, const char *noun, const char *verb)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (strcmp(c->noun, noun) == 0 &&
            (verb ? c->verb && strcmp(c->verb, verb) == 0 : c->verb == NULL)) {
            return c;
        }
    }
    return NULL;
}

/* True if some verb of the noun is `first` or begins with it and a space. */
static bool begins_verb(const struct cli *cli, const char *noun, struct str first)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        struct str verb = str_cstr(c->verb);

        if (strcmp(c->noun, noun) == 0 && c->verb && str_starts(verb, first) &&
            (verb.n == first.n || verb.p[first.n] == ' ')) {
            return true;
        }
    }
    return false;
}

static enum status no_noun(struct cli *cli, const char *word, struct err *err)
{
    const char *best = NULL;
    unsigned cost = UINT32_MAX;
    const struct cli_command *c;
    size_t t = 0, r = 0;
    enum status st = err_set(err, ST_INVALID, "there is no command %s", word);

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        opt_nearest(str_cstr(word), c->noun, &best, &cost);
    }
    if (best) {
        err_hint(err, "did you mean: cairn %s", best);
    } else {
        err_hint(err, "cairn help lists the commands");
    }
    return st;
}

static enum status no_verb(struct cli *cli, const char *noun, const char *word, struct err *err)
{
    const char *best = NULL;
    unsigned cost = UINT32_MAX;
    const struct cli_command *c;
    size_t t = 0, r = 0;
    enum status st = err_set(err, ST_INVALID, "there is no command %s %s", noun, word);

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (strcmp(c->noun, noun) == 0 && c->verb) {
            const char *first = arena_cstr(cli->arena, str_of(c->verb, strcspn(c->verb, " ")));

            opt_nearest(str_cstr(word), c->verb, &best, &cost);
            opt_nearest(str_cstr(word), first ? first : c->verb, &best, &cost);
        }
    }
    if (best) {
        err_hint(err, "did you mean: cairn %s %s", noun, best);
    } else {
        err_hint(err, "cairn help %s lists its commands", noun);
    }
    return st;
}

/* ---- flags -------------------------------------------------------------------------------------------------------- */

static enum status no_flag(struct cli *cli, struct str name, struct err *err)
{
    const struct opts *sets[] = { &cli->own_opts, &cli->global_opts };
    const char *best = NULL;
    unsigned cost = UINT32_MAX;
    enum status st = err_set(err, ST_INVALID, "there is no flag --%.*s", STR_ARG(name));

    for (size_t s = 0; s < ARRAY_N(sets); s++) {
        for (size_t i = 0; i < sets[s]->n; i++) {
            opt_nearest(name, sets[s]->rows[i].name, &best, &cost);
        }
    }
    if (best) {
        err_hint(err, "did you mean: --%s", best);
    } else {
        err_hint(err, "--help lists the flags");
    }
    return st;
}

/* The set and the row of a flag; the command's own flags hide the global ones. */
static struct opts *find_flag(struct cli *cli, struct str name, char letter, bool global_only,
                              const struct opt_row **row, bool *negated)
{
    struct opts *sets[] = { &cli->own_opts, &cli->global_opts };

    *negated = false;
    for (size_t s = global_only ? 1 : 0; s < ARRAY_N(sets); s++) {
        *row = letter ? opts_find_letter(sets[s], letter) : opts_find(sets[s], name, negated);
        if (*row && (!cli->command || opt_is_for(*row, cli->command->verb))) {
            return sets[s];
        }
    }
    *row = NULL;
    return NULL;
}

struct scan {
    int argc;
    char **argv;
    int at;
    bool ended; /* after "--" */
};

static enum status take_value(struct scan *s, const struct opt_row *row, const char *inlined,
                              const char **value, struct err *err)
{
    if (!opt_takes_value(row)) {
        *value = inlined;
        return inlined && row->type == OPT_TIMES
                   ? err_set(err, ST_INVALID, "--%s takes no value", row->name)
                   : OK;
    }
    if (inlined) {
        *value = inlined;
        return OK;
    }
    if (s->at >= s->argc) {
        return err_set(err, ST_INVALID, "--%s needs a value: --%s %s", row->name, row->name,
                       row->arg ? row->arg : "VALUE");
    }
    *value = s->argv[s->at++];
    return OK;
}

static enum status long_flag(struct cli *cli, struct scan *s, const char *arg, bool global_only,
                             struct err *err)
{
    const char *eq = strchr(arg, '=');
    struct str name = str_of(arg + 2, eq ? (size_t)(eq - arg) - 2 : strlen(arg) - 2);
    const struct opt_row *row;
    const char *value;
    bool negated;
    struct opts *set = find_flag(cli, name, 0, global_only, &row, &negated);
    enum status st;

    if (!set) {
        return no_flag(cli, name, err);
    }
    st = take_value(s, row, eq ? eq + 1 : NULL, &value, err);
    return st ? st : opts_flag(set, row, value, negated, err);
}

/* -o json, -ojson, -vv */
static enum status short_flags(struct cli *cli, struct scan *s, const char *arg, bool global_only,
                               struct err *err)
{
    for (const char *p = arg + 1; *p; p++) {
        const struct opt_row *row;
        const char *value;
        bool negated;
        struct opts *set = find_flag(cli, S(""), *p, global_only, &row, &negated);
        enum status st;

        if (!set) {
            st = err_set(err, ST_INVALID, "there is no flag -%c", *p);
            err_hint(err, "--help lists the flags");
            return st;
        }
        if (opt_takes_value(row)) {
            st = take_value(s, row, p[1] ? p + 1 : NULL, &value, err);
            return st ? st : opts_flag(set, row, value, false, err);
        }
        st = opts_flag(set, row, NULL, false, err);
        if (st) return st;
    }
    return OK;
}

/* The next word that is no flag; *word is NULL at the end. */
static enum status next_word(struct cli *cli, struct scan *s, bool global_only, const char **word,
                             struct err *err)
{
    *word = NULL;
    while (s->at < s->argc) {
        const char *arg = s->argv[s->at];
        enum status st;

        if (s->ended || arg[0] != '-' || arg[1] == 0) {
            s->at++;
            *word = arg;
            return OK;
        }
        s->at++;
        if (strcmp(arg, "--") == 0) {
            s->ended = true;
            continue;
        }
        st = arg[1] == '-' ? long_flag(cli, s, arg, global_only, err)
                           : short_flags(cli, s, arg, global_only, err);
        if (st) return st;
    }
    return OK;
}

/* ---- from words to a command ---------------------------------------------------------------------------------------- */

/* Takes the verb's words, if they come next. *noun_only: there is no verb and the noun is no command by itself. */
static enum status find_command(struct cli *cli, struct scan *s, const char *noun, struct err *err)
{
    const struct cli_command *alone = cli_find(cli, noun, NULL);
    const char *next = s->at < s->argc ? s->argv[s->at] : NULL;
    const char *verb = next;

    cli->command = alone;
    if (!next || next[0] == '-') {
        return OK;
    }
    if (!begins_verb(cli, noun, str_cstr(next))) {
        return alone && alone->args_max > 0 ? OK : no_verb(cli, noun, next, err);
    }
    s->at++;
    cli->command = cli_find(cli, noun, verb);
    if (!cli->command) {
        const char *more = s->at < s->argc ? s->argv[s->at] : "";

        verb = arena_printf(cli->arena, "%s %s", verb, more).p;
        if (!verb) {
            return err_nomem(err);
        }
        cli->command = cli_find(cli, noun, verb);
        if (!cli->command) {
            return no_verb(cli, noun, verb, err);
        }
        s->at++;
    }
    return OK;
}

static enum status read_conf(struct cli *cli, struct err *err)
{
    enum status st = conf_read_project(&cli->project, cli->arena, err);

    cli->user_path = conf_user_path(cli->arena);
    if (!st && cli->user_path) {
        st = conf_read(&cli->user, cli->arena, cli->user_path, err);
    }
    return st;
}

static enum status parse_output(struct cli *cli, struct err *err)
{
    static const char *const names[] = {
        [CLI_TABLE] = "table", [CLI_WIDE] = "wide", [CLI_JSON] = "json", [CLI_JSONL] = "jsonl",
        [CLI_CSV] = "csv",     [CLI_NAME] = "name", [CLI_MD] = "md"
    };
    const char *text = cli->globals.output ? cli->globals.output : "table";
    const char *eq = strchr(text, '=');
    struct str name = str_of(text, eq ? (size_t)(eq - text) : strlen(text));
    enum status st;

    cli->fields = eq ? eq + 1 : NULL;
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        if (str_eq(name, str_cstr(names[i]))) {
            cli->format = (enum cli_format)i;
            return OK;
        }
    }
    st = err_set(err, ST_INVALID, "there is no output format %.*s", STR_ARG(name));
    err_hint(err, "give one of: table, wide, json, jsonl, csv, name, md");
    return st;
}

static void add_layers(struct cli *cli, struct opts *o)
{
    opts_env(o);
    opts_conf(o, &cli->project, OPT_FROM_PROJECT);
    opts_conf(o, &cli->user, OPT_FROM_USER);
}

static enum status parse_rest(struct cli *cli, struct scan *s, struct err *err)
{
    const struct cli_command *c = cli->command;
    const char *word;
    enum status st = opts_init(&cli->own_opts, c->opts, c->opts_n, cli->arena, err);

    cli->args = ARENA_ARRAY(cli->arena, const char *, ARGS_MAX);
    cli->options = arena_zalloc(cli->arena, 1, MAX_OF(c->opts_bytes, (size_t)1));
    if (!st && (!cli->args || !cli->options)) {
        st = err_nomem(err);
    }
    while (!st) {
        st = next_word(cli, s, false, &word, err);
        if (st || !word) {
            break;
        }
        if (cli->arg_n == ARGS_MAX) {
            return err_set(err, ST_INVALID, "more than %d arguments", ARGS_MAX);
        }
        cli->args[cli->arg_n++] = word;
    }
    return st;
}

static enum status check_args(const struct cli *cli, struct err *err)
{
    const struct cli_command *c = cli->command;
    enum status st = OK;

    if (cli->arg_n < c->args_min) {
        st = err_set(err, ST_INVALID, "an argument is missing");
    } else if (cli->arg_n > c->args_max) {
        st = err_set(err, ST_INVALID, "there is no place for the argument \"%s\"",
                     cli->args[c->args_max]);
    }
    if (st) {
        err_hint(err, "usage: cairn %s%s%s %s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
                 c->args ? c->args : "");
    }
    return st;
}

static int print_help(void (*fill)(struct buf *out, const struct cli *cli, const char *noun),
                      const struct cli *cli, const char *noun)
{
    struct buf b = BUF_INIT(1 << 20);

    fill(&b, cli, noun);
    out_write(OUT_STDOUT, buf_str(&b));
    buf_release(&b);
    return CLI_DONE;
}

static void fill_command(struct buf *out, const struct cli *cli, const char *noun)
{
    (void)noun;
    help_command(out, cli, cli->command);
}

static void fill_noun(struct buf *out, const struct cli *cli, const char *noun)
{
    help_noun(out, cli, noun);
}

static void fill_top(struct buf *out, const struct cli *cli, const char *noun)
{
    (void)noun;
    help_top(out, cli);
}

static int run_command(struct cli *cli, struct err *err)
{
    enum status st = check_args(cli, err);
    int code;

    st = st ? st : read_conf(cli, err);
    if (!st) {
        add_layers(cli, &cli->global_opts);
        add_layers(cli, &cli->own_opts);
        st = opts_apply(&cli->global_opts, &cli->globals, err);
    }
    st = st ? st : opts_apply(&cli->own_opts, cli->options, err);
    st = st ? st : parse_output(cli, err);
    if (st) {
        return cli_fail(cli, st, err);
    }
    code = cli->command->run(cli);
    return code == CLI_DONE && out_failed() ? CLI_FAILED : code;
}

/* Early, so that errors of parsing come as the caller wants them. */
static void guess_format(struct cli *cli)
{
    const char *text = opts_text(&cli->global_opts, "output");

    if (text && (str_starts(str_cstr(text), S("json")))) {
        cli->format = CLI_JSON;
    }
}

static int dispatch(struct cli *cli, struct scan *s, struct err *err)
{
    const char *word, *noun = NULL;
    const struct opt_value *help;
    enum status st = next_word(cli, s, true, &word, err);

    if (!st && word) {
        noun = find_noun(cli, str_cstr(word));
        st = noun ? find_command(cli, s, noun, err) : no_noun(cli, word, err);
    }
    if (!st && cli->command) {
        st = parse_rest(cli, s, err);
    } else if (!st && noun) {
        st = next_word(cli, s, true, &word, err);
    }
    guess_format(cli);
    if (st) {
        return cli_fail(cli, st, err);
    }
    help = opts_value(&cli->global_opts, "help");
    if (!cli->command) {
        return noun ? print_help(fill_noun, cli, noun) : print_help(fill_top, cli, NULL);
    }
    if (help->source == OPT_FROM_FLAG) {
        return print_help(fill_command, cli, noun);
    }
    return run_command(cli, err);
}

int cli_main(int argc, char **argv, const struct cli_table *tables, size_t table_n)
{
    struct cli cli = { .tables = tables, .table_n = table_n };
    struct scan s = { .argc = argc, .argv = argv, .at = 1 };
    struct err err = ERR_INIT;
    static char version[] = "version";
    enum status st;
    int code;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        argv[1] = version; /* what every program is asked first */
    }
    cli.arena = arena_new(ARENA_MAX);
    st = cli.arena
             ? opts_init(&cli.global_opts, cli_global_rows, cli_global_rows_n, cli.arena, &err)
             : err_nomem(&err);
    code = st ? cli_fail(&cli, st, &err) : dispatch(&cli, &s, &err);
    arena_free(cli.arena);
    return code;
}
