/* cli/run.h - finding the run that somebody means.
 * Ownership: what is found lies in the arena of the command. Thread rule: the main thread. */
#ifndef CAIRN_CLI_RUN_H
#define CAIRN_CLI_RUN_H

#include "cli/cli.h"
#include "cli/jv.h"

/* The run of that id, that name or that beginning of an id; ST_INVALID when there are several, ST_NOT_FOUND. */
enum status cli_run_find(struct cli *cli, const char *name, const struct jv **out,
                         struct err *err) ATTR_CHECK;

#endif
