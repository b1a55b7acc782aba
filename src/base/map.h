/* base/map.h - hash maps from bytes or integers to pointers.
 * Open addressing, XXH3 with a per-process secret seed, so that hostile keys cannot make chains. Every map has a cap on
 * entries. Keys of a str_map are borrowed: they must live as long as their entry (usually they lie inside the value).
 * Ownership: the map owns its slots, never keys or values. Thread rule: one thread at a time. */
#ifndef CAIRN_BASE_MAP_H
#define CAIRN_BASE_MAP_H

#include "base/err.h"

struct map_slot {
    uint64_t hash; /* 0 = free */
    struct str key;
    void *value;
};

struct str_map {
    struct map_slot *slots;
    size_t n, cap, max;
};

#define STR_MAP_INIT(max_entries)                                                                  \
    {                                                                                              \
        .max = (max_entries)                                                                       \
    }

/* NULL if absent. */
void *str_map_get(const struct str_map *m, struct str key);
/* Sets or replaces; value must not be NULL. ST_NOMEM or ST_TOO_BIG. */
enum status str_map_put(struct str_map *m, struct str key, void *value) ATTR_CHECK;
/* The removed value or NULL. */
void *str_map_remove(struct str_map *m, struct str key);
void str_map_release(struct str_map *m);
/* Iteration in no order: size_t at = 0; while (str_map_next(&m, &at, &key, &value)) ... No changes meanwhile. */
bool str_map_next(const struct str_map *m, size_t *at, struct str *key, void **value);

struct int_slot {
    uint64_t key;
    void *value; /* NULL = free */
};

struct int_map {
    struct int_slot *slots;
    size_t n, cap, max;
};

#define INT_MAP_INIT(max_entries)                                                                  \
    {                                                                                              \
        .max = (max_entries)                                                                       \
    }

void *int_map_get(const struct int_map *m, uint64_t key);
enum status int_map_put(struct int_map *m, uint64_t key, void *value) ATTR_CHECK;
void *int_map_remove(struct int_map *m, uint64_t key);
void int_map_release(struct int_map *m);
bool int_map_next(const struct int_map *m, size_t *at, uint64_t *key, void **value);

#endif
