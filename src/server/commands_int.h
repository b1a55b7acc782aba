/* server/commands_int.h - the functions behind the rows of commands.c. */
#ifndef CAIRN_SERVER_COMMANDS_INT_H
#define CAIRN_SERVER_COMMANDS_INT_H

#include "server/options.h"

#endif
