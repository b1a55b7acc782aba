/* core/run_points.c - collecting the points of a request. */
#include "core/run.h"

#include "base/map.h"
#include "base/num.h"

#include <math.h>

enum {
    POINTS_MAX = 100000,
    KEYS_MAX = 1 << 20,
    SCAN_MAX = 4 /* keys that are compared one by one: most requests need no map */
};

static void index_release(void *ctx)
{
    str_map_release((struct str_map *)ctx);
}

enum status run_points_begin(struct run_points *p, struct arena *a, struct err *err)
{
    (void)err;
    *p = (struct run_points){ .arena = a };
    return OK;
}

/* The map, made from the keys so far. */
static bool index_make(struct run_points *p)
{
    p->index = ARENA_NEW(p->arena, struct str_map);
    if (!p->index || !arena_cleanup(p->arena, index_release, p->index)) {
        p->index = NULL;
        return false;
    }
    p->index->max = KEYS_MAX;
    for (size_t i = 0; i < p->keys_n; i++) {
        if (str_map_put(p->index, p->keys[i], (void *)(uintptr_t)(i + 1))) {
            return false;
        }
    }
    return true;
}

size_t run_points_key(const struct run_points *p, struct str key)
{
    /* Mostly the same key as one of the last points, or few keys in turn. */
    if (p->n > 0) {
        size_t last = p->points[p->n - 1].key, next = last + 1 < p->keys_n ? last + 1 : 0;

        if (str_eq(p->keys[last], key)) return last;
        if (str_eq(p->keys[next], key)) return next;
    }
    if (p->index) {
        void *found = str_map_get(p->index, key);

        return found ? (size_t)(uintptr_t)found - 1 : SIZE_MAX;
    }
    for (size_t i = 0; i < p->keys_n; i++) {
        if (str_eq(p->keys[i], key)) return i;
    }
    return SIZE_MAX;
}

/* Index of key in p->keys, SIZE_MAX when memory is out. */
static size_t key_index(struct run_points *p, struct str key)
{
    size_t at = run_points_key(p, key);
    struct str copy;

    if (at != SIZE_MAX) {
        return at;
    }
    copy = arena_str(p->arena, key);
    if (!copy.p ||
        !arena_grow(p->arena, (void **)&p->keys, p->keys_n, &p->keys_cap, sizeof(*p->keys)) ||
        (!p->index && p->keys_n == SCAN_MAX && !index_make(p)) ||
        (p->index && str_map_put(p->index, copy, (void *)(uintptr_t)(p->keys_n + 1)))) {
        return SIZE_MAX;
    }
    p->keys[p->keys_n] = copy;
    return p->keys_n++;
}

enum status run_points_add(struct run_points *p, struct str key, double value, int64_t timestamp_ms,
                           int64_t step, struct err *err)
{
    size_t k;

    if (p->n >= POINTS_MAX) {
        return err_set(err, ST_TOO_BIG, "a request has more than %d metric points",
                       (int)POINTS_MAX);
    }
    k = key_index(p, key);
    if (k == SIZE_MAX ||
        !arena_grow(p->arena, (void **)&p->points, p->n, &p->cap, sizeof(*p->points))) {
        return err_nomem(err);
    }
    p->points[p->n++] = (struct run_point){ .step = step,
                                            .timestamp_ms = timestamp_ms,
                                            .value = isnan(value) ? num_canonical_nan() : value,
                                            .key = (uint32_t)k };
    return OK;
}
