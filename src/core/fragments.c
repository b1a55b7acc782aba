/* core/fragments.c - see fragments.h. Shards by uid, each a map and a list from longest to last used, under a lock of its own. */
#include "core/fragments.h"

#include "base/exec.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/heads.h"

enum { SHARDS = 16, SHARD_MAX = 1 << 20, ENTRY_OVERHEAD = 64, FORM_BITS = 4 };
_Static_assert(FRAGMENT_FORMS <= 1 << FORM_BITS, "forms fit into a key");

struct fragment {
    uint64_t key, change;
    struct fragment *prev, *next;
    size_t n;
    char bytes[];
};

struct shard {
    struct lock lock;
    struct int_map by_key;
    struct fragment *first, *last; /* first: longest unused */
    size_t bytes;
};

struct fragments {
    const struct heads *heads;
    size_t max_bytes; /* of one shard */
    struct shard shards[SHARDS];
};

enum status fragments_new(struct fragments **out, const struct heads *heads, size_t max_bytes,
                          struct err *err)
{
    struct fragments *f = (struct fragments *)mem_zalloc(1, sizeof(*f));

    *out = f;
    if (!f) {
        return err_nomem(err);
    }
    f->heads = heads;
    f->max_bytes = max_bytes / SHARDS;
    for (size_t i = 0; i < SHARDS; i++) {
        lock_init(&f->shards[i].lock, LOCK_RANK_CACHE);
        f->shards[i].by_key.max = SHARD_MAX;
    }
    return OK;
}

void fragments_free(struct fragments *f)
{
    struct fragment *next;

    if (!f) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        for (struct fragment *e = f->shards[i].first; e; e = next) {
            next = e->next;
            mem_free(e);
        }
        int_map_release(&f->shards[i].by_key);
        lock_release(&f->shards[i].lock);
    }
    mem_free(f);
}

static uint64_t key_of(enum fragment_form form, int64_t uid)
{
    return (uint64_t)uid << FORM_BITS | (uint64_t)form;
}

static struct shard *shard_of(struct fragments *f, int64_t uid)
{
    return &f->shards[(uint64_t)uid % SHARDS];
}

/* ---- under the lock of the shard ---------------------------------------------------------------------------------------------- */

static void link_last(struct shard *s, struct fragment *e)
{
    e->next = NULL;
    e->prev = s->last;
    *(s->last ? &s->last->next : &s->first) = e;
    s->last = e;
    s->bytes += e->n + ENTRY_OVERHEAD;
}

static void unlink_it(struct shard *s, struct fragment *e)
{
    *(e->prev ? &e->prev->next : &s->first) = e->next;
    *(e->next ? &e->next->prev : &s->last) = e->prev;
    s->bytes -= e->n + ENTRY_OVERHEAD;
}

/* The current fragment, or NULL. */
static struct fragment *find(struct fragments *f, struct shard *s, uint64_t key, int64_t uid)
{
    struct fragment *e = (struct fragment *)int_map_get(&s->by_key, key);

    return e && e->change == heads_change(f->heads, uid) ? e : NULL;
}

/* ---- calls -------------------------------------------------------------------------------------------------------------------- */

bool fragments_has(struct fragments *f, enum fragment_form form, int64_t uid)
{
    struct shard *s = shard_of(f, uid);
    bool has;

    lock_take(&s->lock);
    has = find(f, s, key_of(form, uid), uid) != NULL;
    lock_give(&s->lock);
    return has;
}

bool fragments_get(struct fragments *f, enum fragment_form form, int64_t uid, struct buf *out)
{
    struct shard *s = shard_of(f, uid);
    size_t need = 0;
    bool done = false;

    do {
        struct fragment *e;

        if (need > 0 && !buf_reserve(out, need)) {
            return false;
        }
        lock_take(&s->lock);
        e = find(f, s, key_of(form, uid), uid);
        need = e ? e->n : 0;
        if (e && out->cap - out->n >= e->n) {
            memcpy(out->p + out->n, e->bytes, e->n);
            out->n += e->n;
            unlink_it(s, e);
            link_last(s, e);
            done = true;
        }
        lock_give(&s->lock);
    } while (!done && need > 0);
    return done;
}

void fragments_put(struct fragments *f, enum fragment_form form, int64_t uid, uint64_t change,
                   struct str bytes)
{
    struct shard *s = shard_of(f, uid);
    struct fragment *e, *gone = NULL, *old;

    if (bytes.n == 0 || bytes.n > f->max_bytes / 8) {
        return;
    }
    e = (struct fragment *)mem_alloc(sizeof(*e) + bytes.n);
    if (!e) {
        return;
    }
    e->key = key_of(form, uid);
    e->change = change;
    e->n = bytes.n;
    memcpy(e->bytes, bytes.p, bytes.n);
    lock_take(&s->lock);
    old = (struct fragment *)int_map_get(&s->by_key, e->key);
    if (int_map_put(&s->by_key, e->key, e)) {
        e->next = gone; /* no room in the map: the old one stays */
        gone = e;
    } else {
        if (old) {
            unlink_it(s, old);
            old->next = gone;
            gone = old;
        }
        link_last(s, e);
    }
    while (s->bytes > f->max_bytes && s->first) {
        old = s->first;
        unlink_it(s, old);
        (void)int_map_remove(&s->by_key, old->key);
        old->next = gone;
        gone = old;
    }
    lock_give(&s->lock);
    for (; gone; gone = old) {
        old = gone->next;
        mem_free(gone);
    }
}

size_t fragments_bytes(struct fragments *f)
{
    size_t n = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        lock_take(&f->shards[i].lock);
        n += f->shards[i].bytes;
        lock_give(&f->shards[i].lock);
    }
    return n;
}
