/* server/main.c - the program: the tables of commands, and nothing else. */
#include "base/mem.h"
#include "import/import.h"
#include "server/commands.h"
#include "server/mlmd_flags.h"
#include <sys/stat.h>

enum { ARGS_MAX = 16 << 20 };

/* Who starts us in place of ML Metadata's own server runs `cairn server`. An exit code, or -1 to go on. */
static int as_mlmd(struct arena *a, int *argc, char ***argv)
{
    struct err err = ERR_INIT;
    struct str notes;
    enum status st =
        a ? mlmd_flags_turn(a, *argc, *argv, argv, argc, &notes, &err) : err_nomem(&err);

    if (st) {
        out_printf(OUT_STDERR, "metadata_store_server: %s\n%s%s%s", err.message,
                   err.hint[0] ? "  " : "", err.hint, err.hint[0] ? "\n" : "");
        return CLI_USAGE;
    }
    out_write(OUT_STDERR, notes);
    return -1;
}

int main(int argc, char **argv)
{
    const struct cli_table tables[] = {
        server_commands, cli_artifacts, cli_models,  cli_inspect, cli_checkpoints, cli_lineage,
        cli_step,        cli_same,      cli_columns, cli_trash,   cli_import,      cli_builtin,
    };

    struct arena *a = NULL;
    int code = -1;

    /* Records, tokens and backups are their owner's, whoever else has an account on the machine. */
    umask(0077);
    mem_start();
    if (mlmd_flags_are(argc, argv)) {
        a = arena_new(ARGS_MAX);
        code = as_mlmd(a, &argc, &argv);
    }
    code = code < 0 ? cli_main(argc, argv, tables, ARRAY_N(tables)) : code;
    arena_free(a);
    return code;
}
