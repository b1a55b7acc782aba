/* store/series/tail.c - the writing side of series.h: chains of blocks per owner, in order of arrival.
 * A block is 32 bytes a point; the first of an owner is small, later ones double up to BLOCK_MAX. */
#include "store/series/series_int.h"

#include "base/clock.h"
#include "base/mem.h"

enum { BLOCK_FIRST = 8, BLOCK_MAX = 4096, OWNERS_MAX = 1 << 20 };

enum status series_open(struct series **out, size_t max_bytes, struct err *err)
{
    struct series *s = (struct series *)mem_zalloc(1, sizeof(*s));

    *out = NULL;
    if (!s) {
        return err_nomem(err);
    }
    s->max_bytes = max_bytes;
    s->oldest_ms = -1;
    s->owners.max = OWNERS_MAX;
    rwlock_init(&s->lock, LOCK_RANK_SERIES);
    *out = s;
    return OK;
}

static void tail_free(struct tail *t)
{
    struct tail_block *b = t->first;

    while (b) {
        struct tail_block *next = b->next;

        mem_free(b);
        b = next;
    }
    mem_free(t);
}

static void owners_free(struct int_map *owners)
{
    size_t at = 0;
    uint64_t owner;
    void *value;

    while (int_map_next(owners, &at, &owner, &value)) {
        tail_free((struct tail *)value);
    }
    int_map_release(owners);
}

void series_close(struct series *s)
{
    if (!s) {
        return;
    }
    owners_free(&s->owners);
    packer_free(s->packer);
    rwlock_release(&s->lock);
    mem_free(s);
}

static enum status tail_of(struct series *s, int64_t owner, struct tail **out, struct err *err)
{
    struct tail *t = (struct tail *)int_map_get(&s->owners, (uint64_t)owner);
    enum status st;

    *out = t;
    if (t) {
        return OK;
    }
    t = (struct tail *)mem_zalloc(1, sizeof(*t));
    if (!t) {
        return err_nomem(err);
    }
    t->owner = owner;
    rwlock_write(&s->lock);
    st = int_map_put(&s->owners, (uint64_t)owner, t);
    rwlock_give(&s->lock);
    if (st) {
        mem_free(t);
        return st == ST_NOMEM ? err_nomem(err)
                              : err_set(err, ST_UNAVAILABLE, "too many runs log at once");
    }
    s->bytes += sizeof(*t);
    *out = t;
    return OK;
}

enum status series_reserve(struct series *s, int64_t owner, size_t n, struct tail **out,
                           struct err *err)
{
    size_t need, cap, bytes;
    struct tail_block *b;
    struct tail *t;
    enum status st = tail_of(s, owner, &t, err);

    *out = NULL;
    if (st) return st;
    CHECK(t);
    need = t->reserved + n;
    if (need > t->room) {
        cap = MIN_OF(MAX_OF((size_t)BLOCK_FIRST, t->n), (size_t)BLOCK_MAX);
        cap = MAX_OF(cap, need - t->room);
        bytes = sizeof(*b) + cap * sizeof(b->p[0]);
        if (s->bytes + bytes > s->max_bytes) {
            st = err_set(err, ST_UNAVAILABLE, "metric points wait to be written: over %zu bytes",
                         s->max_bytes);
            if (err) err->retry_after_s = 1;
            return st;
        }
        b = (struct tail_block *)mem_alloc(bytes);
        if (!b) {
            return err_nomem(err);
        }
        b->next = NULL;
        b->n = 0;
        b->cap = cap;
        rwlock_write(&s->lock);
        *(t->last ? &t->last->next : &t->first) = b;
        t->last = b;
        if (!t->write) {
            t->write = b;
        }
        rwlock_give(&s->lock);
        t->room += cap;
        s->bytes += bytes;
    }
    t->reserved += n;
    *out = t;
    return OK;
}

void series_unreserve(struct tail *t, size_t n)
{
    CHECK(t->reserved >= n);
    t->reserved -= n;
}

void series_append(struct series *s, struct tail *t, const struct tail_point *p, size_t n)
{
    CHECK(t->reserved >= n && t->room >= n);
    t->reserved -= n;
    t->room -= n;
    rwlock_write(&s->lock);
    t->n += n;
    while (n > 0) {
        struct tail_block *b = t->write;
        size_t k = MIN_OF(n, b->cap - b->n);

        memcpy(b->p + b->n, p, k * sizeof(*p));
        b->n += k;
        p += k;
        n -= k;
        s->points += k;
        if (b->n == b->cap && b->next) {
            t->write = b->next;
        }
    }
    rwlock_give(&s->lock);
    if (s->oldest_ms < 0) {
        s->oldest_ms = clock_mono_ms();
    }
}

size_t series_bytes(const struct series *s)
{
    return s->bytes;
}

size_t series_max_bytes(const struct series *s)
{
    return s->max_bytes;
}

size_t series_points(const struct series *s)
{
    return s->points;
}

int64_t series_oldest_ms(const struct series *s)
{
    return s->oldest_ms;
}

bool series_next(struct series *s, size_t *at, int64_t *owner)
{
    uint64_t key;
    void *value;

    while (int_map_next(&s->owners, at, &key, &value)) {
        if (((struct tail *)value)->n > 0) {
            *owner = (int64_t)key;
            return true;
        }
    }
    return false;
}

size_t series_owner_points(const struct series *s, int64_t owner)
{
    const struct tail *t = (const struct tail *)int_map_get(&s->owners, (uint64_t)owner);

    return t ? t->n : 0;
}

enum status series_pack(struct series *s, int64_t owner, int64_t w0, struct str *body, int64_t *n,
                        int64_t *kn, struct err *err)
{
    struct tail *t = (struct tail *)int_map_get(&s->owners, (uint64_t)owner);
    enum status st;

    if (!s->packer) {
        s->packer = packer_new();
        if (!s->packer) {
            return err_nomem(err);
        }
    }
    st = packer_begin(s->packer, t->n, err);
    if (st) return st;
    for (struct tail_block *b = t->first; b; b = b->next) {
        packer_add(s->packer, b->p, b->n);
    }
    st = packer_end(s->packer, owner, w0, body, n, err);
    *kn = st ? 0 : (int64_t)packer_key_max(s->packer);
    return st;
}

void series_drained(struct series *s)
{
    struct int_map gone;
    size_t at = 0;
    uint64_t owner;
    void *value;

    while (int_map_next(&s->owners, &at, &owner, &value)) {
        CHECK(((struct tail *)value)->reserved == 0);
    }
    rwlock_write(&s->lock);
    gone = s->owners;
    s->owners = (struct int_map)INT_MAP_INIT(OWNERS_MAX);
    rwlock_give(&s->lock);
    owners_free(&gone);
    if (s->points > (1 << 16)) {
        packer_free(s->packer); /* its buffers fit the largest tail: do not keep them while idle */
        s->packer = NULL;
    }
    s->bytes = s->points = 0;
    s->oldest_ms = -1;
}

void series_forget(struct series *s, int64_t owner)
{
    struct tail *t;

    rwlock_write(&s->lock);
    t = (struct tail *)int_map_remove(&s->owners, (uint64_t)owner);
    if (t) {
        s->points -= t->n;
        s->bytes -= sizeof(*t);
        for (const struct tail_block *b = t->first; b; b = b->next) {
            s->bytes -= sizeof(*b) + b->cap * sizeof(b->p[0]);
        }
    }
    rwlock_give(&s->lock);
    if (t) {
        CHECK(t->reserved == 0);
        tail_free(t);
    }
}
