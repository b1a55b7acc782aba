/* server/commands.h - the commands of the noun server: they wire or open what only this folder may.
 * Thread rule: the main thread. */
#ifndef CAIRN_SERVER_COMMANDS_H
#define CAIRN_SERVER_COMMANDS_H

#include "cli/cli.h"

extern const struct cli_table server_commands;

#endif
