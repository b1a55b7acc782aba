/* base/vec.h - a typed growable array with a maximum.
 *   VEC(struct point) points = VEC_INIT(1000000);
 *   struct point *p = vec_add(&points);   NULL at the maximum or when memory is out
 * Ownership: vec_release() frees the items. Thread rule: one thread at a time. */
#ifndef CAIRN_BASE_VEC_H
#define CAIRN_BASE_VEC_H

#include "base/mem.h"

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *p;                                                                                   \
        size_t n, cap, max;                                                                        \
    }
#define VEC_INIT(max_items)                                                                        \
    {                                                                                              \
        .max = (max_items)                                                                         \
    }

/* Makes room for one more item; false at the maximum or when memory is out. Not to be called directly. */
bool vec_room(void **p, size_t n, size_t *cap, size_t max, size_t size);

/* The address of a new, uninitialised item at the end, or NULL. */
#define vec_add(v)                                                                                 \
    (vec_room((void **)&(v)->p, (v)->n, &(v)->cap, (v)->max, sizeof(*(v)->p)) ? &(v)->p[(v)->n++]  \
                                                                              : NULL)
#define vec_clear(v) ((v)->n = 0)
#define vec_release(v)                                                                             \
    do {                                                                                           \
        mem_free((v)->p);                                                                          \
        (v)->p = NULL;                                                                             \
        (v)->n = (v)->cap = 0;                                                                     \
    } while (0)

#endif
