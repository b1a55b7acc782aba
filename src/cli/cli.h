/* cli/cli.h - the frame of the command line: one table row per command; parsing, help, manual page, completion and the
 * manual are derived from it.
 *
 * cairn [global flags] NOUN [VERB] [arguments] [flags]. Nouns are singular, a plural 's' is taken too. Flags may stand
 * anywhere after the noun; "--" ends them. Unknown commands and flags are answered with the nearest one and exit code 2.
 * Ownership: the frame owns everything it hands to a command; texts live until the process ends.
 * Thread rule: the main thread. */
#ifndef CAIRN_CLI_CLI_H
#define CAIRN_CLI_CLI_H

#include "cli/opt.h"
#include "cli/out.h"

/* Exit codes (see also struct status_row). */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_NOT_ALLOWED = 4,
    CLI_CONFLICT = 5,
    CLI_UNREACHABLE = 6,
    CLI_CONDITION = 7,
    CLI_TIMEOUT = 8,
};

struct cli;
struct target;

struct cli_command {
    const char *noun;
    const char *verb; /* "ls", "token add"; NULL: the noun alone is the command */
    const char *args; /* as help shows them: "RUN", "[SHELL]", "" */
    unsigned args_min, args_max;
    const char *summary; /* one line */
    const char *detail;  /* more lines for help and manual, or NULL */
    const char *const
        *examples; /* NULL-terminated: "line", or "line  # what it does"; may be NULL */
    const struct opt_row *opts; /* own options; NULL if none */
    size_t opts_n;
    size_t opts_bytes;           /* of the struct they are written to: cli->options */
    bool short_help;             /* lists OPT_SHORT options only; the others are taken as well */
    int (*run)(struct cli *cli); /* returns the exit code */
};

/* For the rows of tables: options and the struct they fill; examples. */
#define CLI_OPTIONS(rows, type) .opts = (rows), .opts_n = ARRAY_N(rows), .opts_bytes = sizeof(type)
#define CLI_EXAMPLES(...)                                                                          \
    .examples = (const char *const[])                                                              \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

struct cli_table {
    const struct cli_command *rows;
    size_t n;
};

enum cli_format {
    CLI_TABLE,
    CLI_WIDE,
    CLI_JSON,
    CLI_JSONL,
    CLI_CSV,
    CLI_NAME,
    CLI_MD,
};

/* The global flags. */
struct cli_globals {
    const char *output; /* FORMAT[=FIELDS] */
    const char *server, *context, *token_file, *color;
    int64_t quiet, verbose;
    bool yes, no_input, help;
};

struct cli {
    struct arena *arena;
    const struct cli_table *tables;
    size_t table_n;
    const struct cli_command *command;
    struct cli_globals globals;
    enum cli_format format;
    const char *fields; /* "id,name" after the '=', or NULL */
    struct opts global_opts, own_opts;
    void *options; /* the command's own, parsed */
    const char **args;
    unsigned arg_n;
    struct conf project, user; /* .cairn.conf, cairn.conf */
    struct target *target;     /* api.h; NULL until the first call */
    const char *user_path;     /* where cairn.conf is or would be; NULL if unknown */
};

/* Runs the command line; returns the exit code. */
int cli_main(int argc, char **argv, const struct cli_table *tables, size_t table_n);

/* Prints the error (three parts, or one JSON object with -o json) and returns its exit code. */
int cli_fail(struct cli *cli, enum status st, const struct err *err);
/* Asks on the terminal before deleting; --yes says yes. False with *err filled: not confirmed. */
bool cli_confirm(const struct cli *cli, const char *what, struct err *err);
/* A message on stderr, not with --quiet. */
void cli_note(const struct cli *cli, const char *fmt, ...) ATTR_FORMAT(2, 3);
void cli_warn(const struct cli *cli, const char *fmt, ...) ATTR_FORMAT(2, 3);

extern const struct opt_row cli_global_rows[];
extern const size_t cli_global_rows_n;

/* ---- help.c ------------------------------------------------------------------------------------------------------- */

/* Everything about one command: summary, usage, examples, the verbs of its noun if it has none itself, flags. */
void help_command(struct buf *out, const struct cli *cli, const struct cli_command *c);
/* The verbs of a noun. */
void help_noun(struct buf *out, const struct cli *cli, const char *noun);
/* All nouns. */
void help_top(struct buf *out, const struct cli *cli);
/* The manual page (roff). */
void help_man(struct buf *out, const struct cli *cli);
/* The manual's page of commands. */
void help_markdown(struct buf *out, const struct cli *cli);
/* The manual's page of the options of the command `server`. */
void help_options(struct buf *out, const struct cli *cli);
/* The rows cairn itself brings: help, completion, config, context, login, run, experiment, version. */
extern const struct cli_table cli_builtin;
/* The rows of model.c, checkpoint.c, artifact.c and lineage.c. */
extern const struct cli_table cli_models;
extern const struct cli_table cli_artifacts;
extern const struct cli_table cli_checkpoints;
extern const struct cli_table cli_lineage;
/* The rows of step.c. */
extern const struct cli_table cli_step;
/* The rows of same.c and column.c. */
extern const struct cli_table cli_same;
extern const struct cli_table cli_columns;
/* Deleting for good, and the trash of logged models. */
extern const struct cli_table cli_trash;
/* The row of inspect.c. */
extern const struct cli_table cli_inspect;

#endif
