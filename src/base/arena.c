/* base/arena.c - bump allocation in blocks that double, capped. */
#include "base/arena.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>

enum { ARENA_FIRST_BYTES = 4096, ARENA_BLOCK_MAX = 1 << 20, ARENA_ALIGN = 16 };

struct block {
    struct block *prev;
    size_t cap, used;
    ATTR_ALIGNED(16) char data[];
};

struct cleanup {
    struct cleanup *prev;
    void (*fn)(void *ctx);
    void *ctx;
};

struct arena {
    struct block *top;
    struct cleanup *cleanups;
    size_t bytes, max, next;
};

static struct block *block_new(struct arena *a, size_t need)
{
    size_t cap = MAX_OF(need, a->next);
    struct block *b;

    if (cap > SIZE_MAX - sizeof(struct block)) {
        return NULL;
    }
    if (a->bytes > a->max || cap > a->max - a->bytes) {
        cap = need;
        if (need > a->max - MIN_OF(a->bytes, a->max)) {
            return NULL;
        }
    }
    b = mem_alloc(sizeof(*b) + cap);
    if (!b) {
        return NULL;
    }
    b->prev = a->top;
    b->cap = cap;
    b->used = 0;
    a->top = b;
    a->bytes += cap;
    a->next = MIN_OF(a->next * 2, (size_t)ARENA_BLOCK_MAX);
    return b;
}

struct arena *arena_new(size_t max_bytes)
{
    struct arena *a = mem_zalloc(1, sizeof(*a));

    if (!a) {
        return NULL;
    }
    a->max = max_bytes;
    a->next = MIN_OF((size_t)ARENA_FIRST_BYTES, max_bytes);
    return a;
}

static void run_cleanups(struct arena *a)
{
    struct cleanup *c = a->cleanups;

    a->cleanups = NULL;
    for (; c; c = c->prev) {
        c->fn(c->ctx);
    }
}

void arena_reset(struct arena *a)
{
    run_cleanups(a);
    while (a->top && a->top->prev) {
        struct block *b = a->top;

        a->top = b->prev;
        a->bytes -= b->cap;
        mem_free(b);
    }
    if (a->top) {
        a->top->used = 0;
    }
    a->next = MIN_OF((size_t)ARENA_FIRST_BYTES, a->max);
}

void arena_free(struct arena *a)
{
    if (!a) {
        return;
    }
    arena_reset(a);
    mem_free(a->top);
    mem_free(a);
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct block *b = a->top;
    size_t need = (n + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1);
    void *p;

    if (need < n) {
        return NULL;
    }
    if (need == 0) {
        need = ARENA_ALIGN;
    }
    if (!b || b->cap - b->used < need) {
        b = block_new(a, need);
        if (!b) {
            return NULL;
        }
    }
    p = b->data + b->used;
    b->used += need;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    void *p;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        return NULL;
    }
    p = arena_alloc(a, bytes);
    if (p) {
        memset(p, 0, bytes);
    }
    return p;
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p;

    if (s.n == SIZE_MAX) {
        return NULL;
    }
    p = arena_alloc(a, s.n + 1);
    if (!p) {
        return NULL;
    }
    if (s.n) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = 0;
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);

    return p ? (struct str){ p, s.n } : (struct str){ NULL, 0 };
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *p = NULL;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0) {
        p = arena_alloc(a, (size_t)n + 1);
        if (p) {
            vsnprintf(p, (size_t)n + 1, fmt, again);
        }
    }
    va_end(again);
    va_end(ap);
    return p ? (struct str){ p, (size_t)n } : (struct str){ NULL, 0 };
}

bool arena_grow(struct arena *a, void **items, size_t n, size_t *cap, size_t size)
{
    size_t bigger;
    void *p;

    if (n < *cap) {
        return true;
    }
    bigger = *cap ? *cap * 2 : 8;
    if (bigger <= *cap || bigger > SIZE_MAX / size) {
        return false;
    }
    p = arena_alloc(a, bigger * size);
    if (!p) {
        return false;
    }
    if (n) {
        memcpy(p, *items, n * size);
    }
    *items = p;
    *cap = bigger;
    return true;
}

bool arena_cleanup(struct arena *a, void (*fn)(void *ctx), void *ctx)
{
    struct cleanup *c = arena_alloc(a, sizeof(*c));

    if (!c) {
        return false;
    }
    *c = (struct cleanup){ a->cleanups, fn, ctx };
    a->cleanups = c;
    return true;
}

size_t arena_bytes(const struct arena *a)
{
    return a->bytes;
}
