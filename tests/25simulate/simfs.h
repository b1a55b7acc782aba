/* tests/25simulate/simfs.h - a file layer for base/sys.h over the simulated disk (simdisk.h).
 * Everything below SIMFS_ROOT is in memory; other paths and descriptors go to the system. As little is durable as a file
 * system may promise: the bytes of a file after a sync of the file, a name (made, replaced, removed) after a sync of its
 * folder. Until then a power loss leaves each name, apart from the others, at what the disk has or at any state since; a rename
 * between folders is two names. What no path leads to is gone. A sync that fails loses the bytes for good. Writes may be
 * short. Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_SIMFS_H
#define CAIRN_TESTS_25SIMULATE_SIMFS_H

#include <stdbool.h>

#define SIMFS_ROOT "/simfs"

/* From now on the calls of base/sys.h are these; the root is there, and empty. */
void simfs_begin(void);
/* Without a power loss only the process died. Every descriptor must be closed. */
void simfs_restart(bool power_lost);
/* Back to the system's calls. */
void simfs_end(void);

#endif
