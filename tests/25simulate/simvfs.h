/* tests/25simulate/simvfs.h - an SQLite file layer over the simulated disk (simdisk.h).
 * The first sync of a new file syncs its folder too; a file that was made but never synced may be gone after a power loss, one
 * that was deleted without a sync of its folder may be back. Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_SIMVFS_H
#define CAIRN_TESTS_25SIMULATE_SIMVFS_H

#include <stdbool.h>

/* Registers the vfs "sim" and starts from no files. */
void simvfs_begin(void);
/* What the disk has after the power loss becomes what programs see; without a loss only the process died. Every handle
 * must be closed. */
void simvfs_restart(bool power_lost);
void simvfs_end(void);

#endif
