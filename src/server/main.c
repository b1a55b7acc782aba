/* server/main.c - the program: the tables of commands, and nothing else. */
#include "base/mem.h"
#include "import/import.h"
#include "server/commands.h"
#include <sys/stat.h>

int main(int argc, char **argv)
{
    const struct cli_table tables[] = {
        server_commands, cli_artifacts, cli_models,  cli_inspect, cli_checkpoints, cli_lineage,
        cli_step,        cli_same,      cli_columns, cli_trash,   cli_import,      cli_builtin,
    };

    /* Records, tokens and backups are their owner's, whoever else has an account on the machine. */
    umask(0077);
    mem_start();
    return cli_main(argc, argv, tables, ARRAY_N(tables));
}
