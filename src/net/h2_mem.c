/* net/h2_mem.c - see h2_mem.h. */
#include "net/h2_mem.h"

#include "base/mem.h"

static void *h2_malloc(size_t n, void *ctx)
{
    (void)ctx;
    return mem_alloc(n);
}

static void h2_release(void *p, void *ctx)
{
    (void)ctx;
    mem_free(p);
}

static void *h2_calloc(size_t n, size_t size, void *ctx)
{
    (void)ctx;
    return mem_zalloc(n, size);
}

static void *h2_realloc(void *p, size_t n, void *ctx)
{
    (void)ctx;
    return mem_realloc(p, n);
}

nghttp2_mem h2_mem(void)
{
    return (nghttp2_mem){ NULL, h2_malloc, h2_release, h2_calloc, h2_realloc };
}
