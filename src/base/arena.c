/* base/arena.c - bump allocation in blocks that double, capped.
 * Under the address sanitizer every allocation is followed by a gap where one fits, and what is not handed out is
 * poisoned, so that an overrun inside a block and a use after reset are seen. */
#include "base/arena.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(ARENA_ASAN)
#include <sanitizer/asan_interface.h>
#define ARENA_GAP          16
#define POISON(p, bytes)   ASAN_POISON_MEMORY_REGION((p), (bytes))
#define UNPOISON(p, bytes) ASAN_UNPOISON_MEMORY_REGION((p), (bytes))
#else
#define ARENA_GAP          0
#define POISON(p, bytes)   ((void)(p), (void)(bytes))
#define UNPOISON(p, bytes) ((void)(p), (void)(bytes))
#endif

enum {
    ARENA_FIRST_BYTES = 4096,
    ARENA_BLOCK_MAX = 1 << 20, /* larger ones hold one allocation */
    ARENA_KEPT_MAX = 65536,    /* by a reset */
    ARENA_ALIGN = 16,
};

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
    bool full; /* something did not fit below max */
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
            a->full = true;
            return NULL;
        }
    }
    b = mem_alloc(sizeof(*b) + cap);
    if (!b) {
        return NULL;
    }
    b->cap = cap;
    b->used = 0;
    POISON(b->data, cap);
    a->bytes += cap;
    if (a->top && need > a->next) {
        /* A block for this alone goes below the top, which has room left for small things. */
        b->prev = a->top->prev;
        a->top->prev = b;
        return b;
    }
    b->prev = a->top;
    a->top = b;
    a->next = MIN_OF(a->next * 2, (size_t)ARENA_BLOCK_MAX);
    return b;
}

static void block_free(struct arena *a, struct block *b)
{
    a->bytes -= b->cap;
    UNPOISON(b->data, b->cap);
    mem_free(b);
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

/* Who needed several blocks gets one of their size the next time, and keeps that one. */
static bool reset_to_one(struct arena *a)
{
    size_t used = 0;

    for (const struct block *b = a->top; b; b = b->prev) {
        used += b->used;
    }
    used += used / 4;
    used += ARENA_FIRST_BYTES - used % ARENA_FIRST_BYTES;
    if (!a->top || !a->top->prev || used > MIN_OF((size_t)ARENA_KEPT_MAX, a->max)) {
        return false;
    }
    while (a->top) {
        struct block *b = a->top;

        a->top = b->prev;
        block_free(a, b);
    }
    a->next = used;
    return true;
}

void arena_reset(struct arena *a)
{
    struct block *kept = NULL;

    a->full = false;
    run_cleanups(a);
    if (reset_to_one(a)) {
        return;
    }
    while (a->top) {
        struct block *b = a->top;

        a->top = b->prev;
        if (kept || b->cap > ARENA_KEPT_MAX) {
            block_free(a, b);
        } else {
            kept = b;
        }
    }
    if (kept) {
        POISON(kept->data, kept->used);
        kept->used = 0;
        kept->prev = NULL;
        a->top = kept;
    }
    a->next = MIN_OF((size_t)ARENA_FIRST_BYTES, a->max);
}

void arena_free(struct arena *a)
{
    if (!a) {
        return;
    }
    arena_reset(a);
    if (a->top) {
        block_free(a, a->top);
    }
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
    UNPOISON(p, n);
    b->used += need;
    b->used += MIN_OF((size_t)ARENA_GAP, b->cap - b->used);
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

bool arena_is_full(const struct arena *a)
{
    return a->full;
}
