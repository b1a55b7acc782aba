/* import/import.h - cairn import: records of other systems are read where they lie and sent to a server, which remembers what it took.
 * Each source is a client of the API like any other: nothing here touches a store. Thread rule: the main thread. */
#ifndef CAIRN_IMPORT_IMPORT_H
#define CAIRN_IMPORT_IMPORT_H

#include "cli/cli.h"

extern const struct cli_table cli_import;

#endif
