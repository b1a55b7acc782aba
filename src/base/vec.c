/* base/vec.c - growth by doubling. */
#include "base/vec.h"

bool vec_room(void **p, size_t n, size_t *cap, size_t max, size_t size)
{
    size_t bigger;
    void *q;

    if (n < *cap) {
        return true;
    }
    if (n >= max) {
        return false;
    }
    bigger = *cap ? *cap * 2 : 16;
    bigger = bigger > max ? max : bigger;
    if (bigger > SIZE_MAX / size) {
        return false;
    }
    q = mem_realloc(*p, bigger * size);
    if (!q) {
        return false;
    }
    *p = q;
    *cap = bigger;
    return true;
}
