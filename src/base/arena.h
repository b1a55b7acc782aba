/* base/arena.h - memory by lifetime: one arena per request, connection or job, freed as a whole.
 * Every arena has a cap; allocation beyond it (or out of memory) returns NULL. Foreign resources can register a cleanup,
 * run in reverse order by arena_free() and arena_reset().
 * Ownership: the creator owns the arena; everything allocated from it lives until reset or free.
 * Thread rule: one thread at a time; hand-over between threads needs the queue's own barrier. */
#ifndef CAIRN_BASE_ARENA_H
#define CAIRN_BASE_ARENA_H

#include "base/err.h"

struct arena;

/* NULL when out of memory. max_bytes caps the sum of all blocks. */
struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena *a); /* NULL-safe; runs cleanups */
/* Runs cleanups, keeps one small block. */
void arena_reset(struct arena *a);
/* Aligned to 16 bytes. NULL beyond the cap. */
void *arena_alloc(struct arena *a, size_t n);
/* n * size bytes, zeroed; NULL on overflow. */
void *arena_zalloc(struct arena *a, size_t n, size_t size);
#define ARENA_NEW(a, type)      ((type *)arena_zalloc((a), 1, sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_zalloc((a), (n), sizeof(type)))
/* Copies; the copy is NUL-terminated after its n bytes, for C strings towards the system. p is NULL when memory is out. */
struct str arena_str(struct arena *a, struct str s);
/* NULL when memory is out. */
char *arena_cstr(struct arena *a, struct str s);
/* Printed into the arena; p is NULL when memory is out. */
struct str arena_printf(struct arena *a, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* Grows an array of *cap elements of `size` bytes that holds n, so that one more fits; false when memory is out. The old
 * copy stays in the arena until reset. */
bool arena_grow(struct arena *a, void **items, size_t n, size_t *cap, size_t size);
/* fn(ctx) runs at reset or free. False when memory is out (fn was not registered). */
bool arena_cleanup(struct arena *a, void (*fn)(void *ctx), void *ctx);
/* Something was asked for since the last reset that does not fit below the cap: memory would not have helped. */
bool arena_is_full(const struct arena *a);
/* Bytes taken from the allocator. */
size_t arena_bytes(const struct arena *a);

#endif
