/* tests/25simulate/simvfs.h - files in memory that lose what was not synced when the power goes.
 * Each file has bytes as programs see them, bytes as the disk has them, and the list of writes in between. A sync moves
 * all writes of its file to the disk. When the power goes, every write that is left is kept, lost, or kept in part (any set of
 * its 512-byte sectors), independently and in any order; a file that was made but never synced may be gone, one that was
 * deleted without a sync of its folder may be back. Writes do not change bytes around them (powersafe overwrite).
 * Faults: from a chosen operation on the power is off (everything fails), or single operations fail.
 * Everything is drawn from the seed. Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_SIMVFS_H
#define CAIRN_TESTS_25SIMULATE_SIMVFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Registers the vfs "sim" and starts from no files. */
void simvfs_begin(uint64_t seed);
/* After n more operations that change something the power is off; -1 = never. */
void simvfs_power_off_after(int64_t n);
void simvfs_power_off(void);
bool simvfs_is_off(void);
/* One in n changing operations fails (full disk, I/O error); 0 = none. */
void simvfs_faults(unsigned one_in);
/* What the disk has after the power loss becomes what programs see; the power is on again. Every handle is dead. */
void simvfs_restart(void);
/* Changing operations so far. */
uint64_t simvfs_ops(void);
void simvfs_end(void);

#endif
