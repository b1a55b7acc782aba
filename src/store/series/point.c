/* store/series/point.c - sorting points: mostly they arrive in order, so runs are found first and merged. */
#include "store/series/point.h"

enum { INSERTION_MAX = 24 };

static void insertion(struct point *p, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct point x = p[i];
        size_t j = i;

        while (j > 0 && point_cmp(&x, &p[j - 1]) < 0) {
            p[j] = p[j - 1];
            j--;
        }
        p[j] = x;
    }
}

static void merge_sort(struct point *p, struct point *tmp, size_t n)
{
    size_t mid = n / 2, i = 0, j = mid, k = 0;

    if (n <= INSERTION_MAX) {
        insertion(p, n);
        return;
    }
    merge_sort(p, tmp, mid);
    merge_sort(p + mid, tmp, n - mid);
    if (point_cmp(&p[mid - 1], &p[mid]) <= 0) {
        return;
    }
    while (i < mid && j < n) {
        tmp[k++] = point_cmp(&p[j], &p[i]) < 0 ? p[j++] : p[i++];
    }
    while (i < mid) {
        tmp[k++] = p[i++];
    }
    memcpy(p, tmp, k * sizeof(*p)); /* what is left of the right half lies in place */
}

void points_sort(struct point *p, struct point *tmp, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (point_cmp(&p[i - 1], &p[i]) > 0) {
            merge_sort(p, tmp, n);
            return;
        }
    }
}

size_t points_dedupe(struct point *p, size_t n)
{
    size_t out = 0;

    for (size_t i = 0; i < n; i++) {
        if (out == 0 || point_cmp(&p[out - 1], &p[i]) != 0) {
            p[out++] = p[i];
        }
    }
    return out;
}
