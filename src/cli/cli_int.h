/* cli/cli_int.h - shared by the files of this folder. */
#ifndef CAIRN_CLI_CLI_INT_H
#define CAIRN_CLI_CLI_INT_H

#include "cli/cli.h"

/* Walks the rows of all tables: size_t t = 0, r = 0; NULL after the last. */
const struct cli_command *cli_next(const struct cli *cli, size_t *table, size_t *row);
/* verb NULL: the noun alone. NULL if there is none. */
const struct cli_command *cli_find(const struct cli *cli, const char *noun, const char *verb);
/* "run" and "runs" are the noun run. */
bool cli_is_noun(const char *noun, struct str word);
enum out_color cli_color(const struct cli *cli);

#endif
