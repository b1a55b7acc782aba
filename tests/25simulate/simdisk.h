/* tests/25simulate/simdisk.h - the disk below the simulated file layers: power, faults, and the bytes of files.
 * A file has bytes as programs see them, bytes as the disk has them, and the list of writes in between. A sync moves
 * all writes of its file to the disk. When the power goes, every write that is left is kept, lost, or kept in part (any set of
 * its 512-byte sectors), independently and in any order. Writes do not change bytes around them (powersafe overwrite).
 * Faults: from a chosen operation on the power is off (everything fails), or single operations fail.
 * Everything is drawn from the seed. Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_SIMDISK_H
#define CAIRN_TESTS_25SIMULATE_SIMDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIMDISK_SECTOR = 512 };

void simdisk_begin(uint64_t seed);
uint64_t simdisk_draw(void);
/* After n more operations that change something the power is off; -1 = never. */
void simdisk_power_off_after(int64_t n);
void simdisk_power_off(void);
/* On again, without faults. */
void simdisk_power_on(void);
bool simdisk_is_off(void);
/* One in n changing operations fails (full disk, I/O error); 0 = none. */
void simdisk_faults(unsigned one_in);
bool simdisk_has_faults(void);
/* Counts an operation that changes something; true when it must not happen. */
bool simdisk_fails(void);
/* Changing operations so far. */
uint64_t simdisk_ops(void);

struct bytes {
    unsigned char *p;
    size_t n, cap;
};
void bytes_cut(struct bytes *b, size_t n);

struct change;
struct content {
    struct bytes now, disk;
    struct change *first, *last;
};
void content_write(struct content *c, size_t at, const void *p, size_t n);
/* The power went during this write: the disk may have some of it. */
void content_half_write(struct content *c, size_t at, const void *p, size_t n);
void content_cut(struct content *c, size_t n);
void content_sync(struct content *c);
/* A sync that failed: what was to be written is written or not, and no later sync writes it. */
void content_sync_failed(struct content *c);
/* The power goes: programs see what the disk has. */
void content_lose(struct content *c);
/* The process died, the system did not. */
void content_killed(struct content *c);
/* Nothing of it is on the disk, and no change waits. */
void content_gone(struct content *c);
void content_free(struct content *c);

#endif
