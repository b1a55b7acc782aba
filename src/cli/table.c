/* cli/table.c - the table of commands that talk to a server or need none: one row each. */
#include "cli/cli.h"
#include "cli/cli_int.h"

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
    bool man, markdown;
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
    } else if (cli->arg_n == 0) {
        help_top(&b, cli);
    } else {
        st = find_help(cli, &c, &err);
        if (!st && c) {
            help_command(&b, c);
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
};

#define OPTIONS(rows, type) .opts = (rows), .opts_n = ARRAY_N(rows), .opts_bytes = sizeof(type)

static const struct cli_command rows[] = {
    { .noun = "help",
      .args = "[NOUN [VERB]]",
      .args_max = 3,
      .summary = "Explain a command",
      .examples = (const char *const[]){ "cairn help run ls", "cairn help --man > cairn.1", NULL },
      OPTIONS(help_rows, struct help_flags),
      .run = run_help },
};
const struct cli_table cli_builtin = { rows, ARRAY_N(rows) };
