/* server/main.c - the program: the tables of commands, and nothing else. */
#include "server/commands.h"

int main(int argc, char **argv)
{
    const struct cli_table tables[] = { server_commands, cli_builtin };

    return cli_main(argc, argv, tables, ARRAY_N(tables));
}
