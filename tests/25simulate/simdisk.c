/* tests/25simulate/simdisk.c - see simdisk.h. */
#include "simdisk.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <string.h>

/* A write (or a truncation) that the disk does not have for sure. */
struct change {
    struct change *next;
    size_t at, n;
    bool truncate;
    bool half; /* the power went meanwhile: programs never saw it */
    unsigned char data[];
};

static struct {
    uint64_t state, ops;
    int64_t off_after;
    unsigned one_in;
    bool off;
} sim;

uint64_t simdisk_draw(void)
{
    uint64_t z = (sim.state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* ---- power and faults ------------------------------------------------------------------------------------------------------- */

void simdisk_begin(uint64_t seed)
{
    sim.state = seed;
    sim.ops = 0;
    simdisk_power_on();
}

void simdisk_power_on(void)
{
    sim.off = false;
    sim.off_after = -1;
    sim.one_in = 0;
}

void simdisk_power_off_after(int64_t n)
{
    sim.off_after = n;
}

void simdisk_power_off(void)
{
    sim.off = true;
}

bool simdisk_is_off(void)
{
    return sim.off;
}

void simdisk_faults(unsigned one_in)
{
    sim.one_in = one_in;
}

bool simdisk_has_faults(void)
{
    return sim.one_in != 0;
}

uint64_t simdisk_ops(void)
{
    return sim.ops;
}

bool simdisk_fails(void)
{
    sim.ops++;
    if (!sim.off && sim.off_after >= 0 && sim.off_after-- == 0) sim.off = true;
    return sim.off || (sim.one_in && simdisk_draw() % sim.one_in == 0);
}

/* ---- bytes and changes ---------------------------------------------------------------------------------------------------- */

static void bytes_need(struct bytes *b, size_t n)
{
    if (n > b->cap) {
        size_t cap = b->cap ? b->cap : 4096;

        while (cap < n) {
            cap *= 2;
        }
        b->p = (unsigned char *)mem_realloc(b->p, cap);
        CHECK(b->p);
        memset(b->p + b->cap, 0, cap - b->cap);
        b->cap = cap;
    }
    if (n > b->n) b->n = n;
}

void bytes_cut(struct bytes *b, size_t n)
{
    if (n < b->n) {
        memset(b->p + n, 0, b->n - n);
        b->n = n;
    } else {
        bytes_need(b, n);
    }
}

static void bytes_write(struct bytes *b, size_t at, const void *p, size_t n)
{
    bytes_need(b, at + n);
    if (n) memcpy(b->p + at, p, n);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    bytes_cut(to, 0);
    bytes_need(to, from->n);
    if (from->n) memcpy(to->p, from->p, from->n);
}

static void changes_drop(struct content *f)
{
    while (f->first) {
        struct change *next = f->first->next;

        mem_free(f->first);
        f->first = next;
    }
    f->last = NULL;
}

static struct change *change_add(struct content *f, size_t at, const void *p, size_t n,
                                 bool truncate)
{
    struct change *c = (struct change *)mem_alloc(sizeof(*c) + (truncate ? 0 : n));

    CHECK(c);
    *c = (struct change){ .at = at, .n = n, .truncate = truncate };
    if (!truncate && n) memcpy(c->data, p, n);
    *(f->last ? &f->last->next : &f->first) = c;
    f->last = c;
    return c;
}

static void disk_take(struct content *f, const struct change *c)
{
    if (c->truncate) {
        bytes_cut(&f->disk, c->at);
    } else {
        bytes_write(&f->disk, c->at, c->data, c->n);
    }
}

/* Takes the change, or some of it, or nothing. */
static void disk_try(struct content *f, const struct change *c)
{
    switch (simdisk_draw() % 4) {
    case 0: return; /* lost */
    case 1:
        if (!c->truncate) { /* some sectors */
            for (size_t at = 0; at < c->n;) {
                size_t k = MIN_OF(c->n - at, SIMDISK_SECTOR - (c->at + at) % SIMDISK_SECTOR);

                if (simdisk_draw() % 2) bytes_write(&f->disk, c->at + at, c->data + at, k);
                at += k;
            }
            return;
        }
        break;
    default: break;
    }
    disk_take(f, c);
}

void content_write(struct content *c, size_t at, const void *p, size_t n)
{
    bytes_write(&c->now, at, p, n);
    (void)change_add(c, at, p, n, false);
}

void content_half_write(struct content *c, size_t at, const void *p, size_t n)
{
    change_add(c, at, p, n, false)->half = true;
}

void content_cut(struct content *c, size_t n)
{
    bytes_cut(&c->now, n);
    (void)change_add(c, n, NULL, 0, true);
}

void content_sync(struct content *c)
{
    for (const struct change *x = c->first; x; x = x->next) {
        disk_take(c, x);
    }
    changes_drop(c);
}

/* Every change is tried, in their order or in any. */
static void try_all(struct content *f)
{
    size_t n = 0, i = 0;
    struct change **list;

    for (struct change *c = f->first; c; c = c->next) {
        n++;
    }
    list = (struct change **)mem_alloc((n + 1) * sizeof(struct change *));
    CHECK(list);
    for (struct change *c = f->first; c; c = c->next) {
        list[i++] = c;
    }
    if (simdisk_draw() % 2) {
        for (i = n; i > 1; i--) {
            size_t k = simdisk_draw() % i;
            struct change *x = list[i - 1];

            list[i - 1] = list[k];
            list[k] = x;
        }
    }
    for (i = 0; i < n; i++) {
        disk_try(f, list[i]);
    }
    mem_free(list);
    changes_drop(f);
}

void content_sync_failed(struct content *c)
{
    try_all(c);
}

void content_lose(struct content *c)
{
    try_all(c);
    bytes_copy(&c->now, &c->disk);
}

void content_killed(struct content *c)
{
    for (struct change **at = &c->first, *x = c->first; x; x = *at) {
        if (x->half) {
            *at = x->next;
            mem_free(x);
        } else {
            c->last = x;
            at = &x->next;
        }
    }
    if (!c->first) c->last = NULL;
}

void content_gone(struct content *c)
{
    changes_drop(c);
    bytes_cut(&c->disk, 0);
    bytes_cut(&c->now, 0);
}

void content_free(struct content *c)
{
    changes_drop(c);
    mem_free(c->now.p);
    mem_free(c->disk.p);
    *c = (struct content){ .now = { .p = NULL } };
}
