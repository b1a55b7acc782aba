/* base/mem.c - malloc behind a countdown that tests can arm. */
#include "base/mem.h"
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, KEEP_MAX = 4 << 20, HEAPS_MAX = 4, TELL_AT = 16 << 10 };

/* Relaxed order throughout: the counters guard nothing but themselves. */
static _Atomic bool
    counting; /* since a test asked for it: counting costs every thread the same cache line */
static _Atomic int64_t call_n;
static _Atomic int64_t fail_at; /* 0 = never */
static _Atomic bool fail_once;

/* Bytes in use. Each thread keeps its own change until it is worth telling: the hot paths share no cache line for it. */
static _Atomic int64_t in_use, in_use_peak;
static _Thread_local int64_t untold;

static void tell(void)
{
    int64_t now = atomic_fetch_add_explicit(&in_use, untold, memory_order_relaxed) + untold;
    int64_t peak = atomic_load_explicit(&in_use_peak, memory_order_relaxed);

    untold = 0;
    while (now > peak &&
           !atomic_compare_exchange_weak_explicit(&in_use_peak, &peak, now, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static void changed(int64_t by)
{
    untold += by;
    if (UNLIKELY(untold > TELL_AT || untold < -TELL_AT)) tell();
}

static void *counted(void *p)
{
    if (LIKELY(p)) changed((int64_t)malloc_usable_size(p));
    return p;
}

int64_t mem_bytes(void)
{
    tell();
    return atomic_load_explicit(&in_use, memory_order_relaxed);
}

int64_t mem_peak_bytes(void)
{
    tell();
    return atomic_load_explicit(&in_use_peak, memory_order_relaxed);
}

void mem_peak_restart(void)
{
    tell();
    atomic_store_explicit(&in_use_peak, atomic_load_explicit(&in_use, memory_order_relaxed),
                          memory_order_relaxed);
}

void mem_thread_ends(void)
{
    tell();
}

static bool must_fail(void)
{
    int64_t n, at;

    if (LIKELY(!atomic_load_explicit(&counting, memory_order_relaxed))) {
        return false;
    }
    n = atomic_fetch_add_explicit(&call_n, 1, memory_order_relaxed) + 1;
    at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0) {
        return false;
    }
    return atomic_load_explicit(&fail_once, memory_order_relaxed) ? n == at : n >= at;
}

void mem_fail_after(int64_t n, bool once)
{
    atomic_store_explicit(&call_n, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_once, once, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n, memory_order_relaxed);
    atomic_store_explicit(&counting, true, memory_order_relaxed);
}

void mem_fail_never(void)
{
    mem_fail_after(0, false);
}

int64_t mem_call_n(void)
{
    return atomic_load_explicit(&call_n, memory_order_relaxed);
}

void *mem_alloc(size_t n)
{
    return must_fail() ? NULL : counted(malloc(n ? n : 1));
}

void *mem_zalloc(size_t n, size_t size)
{
    size_t bytes;

    /* Checked here and not left to calloc: address sanitizers end the program instead. */
    if (must_fail() || __builtin_mul_overflow(n, size, &bytes)) {
        return NULL;
    }
    return counted(calloc(1, bytes ? bytes : 1));
}

void *mem_realloc(void *p, size_t n)
{
    int64_t before = p ? (int64_t)malloc_usable_size(p) : 0;
    void *q = must_fail() ? NULL : realloc(p, n ? n : 1);

    if (LIKELY(q)) changed((int64_t)malloc_usable_size(q) - before);
    return q;
}

void mem_free(void *p)
{
    if (p) changed(-(int64_t)malloc_usable_size(p));
    free(p);
}

void mem_start(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_MAX);
    (void)mallopt(M_ARENA_MAX, HEAPS_MAX);
    (void)mallopt(M_TRIM_THRESHOLD,
                  2 * KEEP_MAX); /* or each free near the top moves the end of the heap */
    (void)mallopt(M_TOP_PAD, KEEP_MAX / 8);
}

void mem_trim(void)
{
    (void)malloc_trim(0);
}

/* Whether a line of /proc/self/smaps begins a mapping; then `from` and `to` say where it lies if it is a file that cannot be
 * written, else they are equal. */
static bool begins_mapping(const char *line, uintptr_t *from, uintptr_t *to)
{
    char *rest;
    uintptr_t at = (uintptr_t)strtoull(line, &rest, 16);

    if (rest == line || *rest != '-') {
        return false;
    }
    *from = at;
    *to = (uintptr_t)strtoull(rest + 1, &rest, 16);
    if ((strncmp(rest, " r--p ", 6) != 0 && strncmp(rest, " r-xp ", 6) != 0) ||
        !strchr(rest, '/')) {
        *to = at;
    }
    return true;
}

/* Whether a line says that there is some of what it is named after. */
static bool is_some(const char *line, const char *name, size_t n)
{
    return strncmp(line, name, n) == 0 && strtoull(line + n, NULL, 10) > 0;
}

void mem_drop_files(void)
{
    static const char changed_kb[] = "Anonymous:", swapped_kb[] = "Swap:";
    FILE *f = fopen("/proc/self/smaps", "re");
    uintptr_t from = 0, to = 0;
    char line[512];

    if (!f) {
        return;
    }
    while (fgets(line, sizeof(line), f)) {
        if (begins_mapping(line, &from, &to)) {
            continue;
        }
        /* Pages that were changed, by the loader or by a debugger's breakpoints, would be lost; also those that lie in swap. */
        if (is_some(line, changed_kb, sizeof(changed_kb) - 1)) {
            to = from;
        } else if (strncmp(line, swapped_kb, sizeof(swapped_kb) - 1) == 0) {
            if (to > from && !is_some(line, swapped_kb, sizeof(swapped_kb) - 1)) {
                (void)madvise((void *)from, to - from, MADV_DONTNEED);
            }
            to = from;
        }
    }
    (void)fclose(f);
}

void mem_huge(void *p, size_t n)
{
    size_t skip = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;

    if (n > skip + HUGE_PAGE) {
        (void)madvise((char *)p + skip, (n - skip) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    }
}

char *mem_strdup(const char *c)
{
    size_t n = strlen(c) + 1;
    char *p = mem_alloc(n);

    if (p) {
        memcpy(p, c, n);
    }
    return p;
}
