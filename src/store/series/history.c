/* store/series/history.c - the reading side of series.h.
 * Memory is bounded by what the caller wants: while gathering, only the smallest max + 1 points are kept. */
#include "store/series/series_int.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <stdlib.h>

enum { PACK_PAGE = 16, GATHER_FIRST = 1024, PACK_ARENA_MAX = 512 << 20 };

/* ---- gathering the smallest points ------------------------------------------------------------------------------------- */

struct gather {
    struct point *p, *tmp;
    size_t n, cap, keep; /* keep = max + 1 */
    const struct point *after;
    bool cut; /* points beyond limit are dropped */
    struct point limit;
};

static void gather_release(struct gather *g)
{
    mem_free(g->p);
    mem_free(g->tmp);
}

static void gather_compact(struct gather *g)
{
    points_sort(g->p, g->tmp, g->n);
    g->n = points_dedupe(g->p, g->n);
    if (g->n >= g->keep) {
        g->n = g->keep;
        g->cut = true;
        g->limit = g->p[g->keep - 1];
    }
}

static bool gather_room(struct gather *g)
{
    size_t cap = g->cap ? g->cap * 2 : GATHER_FIRST;
    struct point *p, *tmp;

    if (g->cap / 2 >=
        g->keep) { /* big enough to hold what is kept twice: throw the rest away instead */
        gather_compact(g);
        if (g->n <= g->cap / 2 + 1) {
            return true;
        }
    }
    p = (struct point *)mem_realloc(g->p, cap * sizeof(*p));
    if (p) g->p = p;
    tmp = (struct point *)mem_realloc(g->tmp, cap * sizeof(*tmp));
    if (tmp) g->tmp = tmp;
    if (!p || !tmp) {
        return false;
    }
    g->cap = cap;
    return true;
}

static bool gather_add(struct gather *g, const struct point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((g->after && point_cmp(&p[i], g->after) <= 0) ||
            (g->cut && point_cmp(&p[i], &g->limit) > 0)) {
            continue;
        }
        if (g->n == g->cap && !gather_room(g)) {
            return false;
        }
        g->p[g->n++] = p[i];
    }
    return true;
}

/* ---- tails ----------------------------------------------------------------------------------------------------------------- */

static size_t tail_count(const struct tail *t, uint32_t key)
{
    size_t n = 0;

    for (const struct tail_block *b = t ? t->first : NULL; b; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            n += b->p[i].key == key;
        }
    }
    return n;
}

/* Counts, allocates, then copies: nothing is allocated under the lock. Points that arrive in between are not the
 * reader's; points that are drained in between are in the packs. */
static enum status tail_read(struct series *s, struct arena *a, int64_t owner, uint32_t key,
                             struct point **out, size_t *n, struct err *err)
{
    const struct tail *t;
    size_t cap;

    *n = 0;
    rwlock_read(&s->lock);
    cap = tail_count((const struct tail *)int_map_get(&s->owners, (uint64_t)owner), key);
    rwlock_give(&s->lock);
    *out = (struct point *)arena_alloc(a, cap * sizeof(**out) + 1);
    if (!*out) {
        return err_nomem(err);
    }
    rwlock_read(&s->lock);
    t = (const struct tail *)int_map_get(&s->owners, (uint64_t)owner);
    for (const struct tail_block *b = t ? t->first : NULL; b && *n < cap; b = b->next) {
        for (size_t i = 0; i < b->n && *n < cap; i++) {
            if (b->p[i].key == key) {
                (*out)[(*n)++] = b->p[i].p;
            }
        }
    }
    rwlock_give(&s->lock);
    return OK;
}

/* ---- packs ----------------------------------------------------------------------------------------------------------------- */

/* Calls fn for each pack of the owner, in order; the reader and what it allocates live until fn returns. */
static enum status packs_each(struct sql_conn *conn, int64_t owner,
                              enum status (*fn)(void *ctx, struct pack_reader *r, struct err *err),
                              void *ctx, struct err *err)
{
    struct arena *scratch = arena_new(PACK_ARENA_MAX);
    struct q_pack_of_owner_row row;
    struct pack_reader reader;
    int64_t after = -1;
    size_t rows;
    enum status st = scratch ? OK : err_nomem(err);

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        if (!st) st = q_pack_of_owner_open(conn, &q, owner, after, PACK_PAGE, err);
        while (!st && (st = q_pack_of_owner_next(q, &row, err)) == OK) {
            rows++;
            after = row.w0;
            arena_reset(scratch);
            st = pack_open(&reader, scratch, row.body, owner, row.w0, row.n, err);
            if (!st) st = fn(ctx, &reader, err);
            if (st == ST_END) st = err_set(err, ST_INTERNAL, "pack reader");
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PACK_PAGE);
    arena_free(scratch);
    return st;
}

struct history {
    struct gather g;
    uint32_t key;
};

static enum status history_pack(void *ctx, struct pack_reader *r, struct err *err)
{
    struct history *h = (struct history *)ctx;
    const struct pack_key *k = pack_find(r, h->key);
    struct point *p;
    size_t n;
    enum status st;

    if (!k) {
        return OK;
    }
    n = pack_key_n(r, k);
    p = (struct point *)arena_alloc(r->arena, n * sizeof(*p));
    if (!p) {
        return err_nomem(err);
    }
    st = pack_read_times(r, k, p, err);
    if (st) return st;
    if ((h->g.after && p[n - 1].timestamp_ms < h->g.after->timestamp_ms) ||
        (h->g.cut && p[0].timestamp_ms > h->g.limit.timestamp_ms)) {
        return OK; /* all of it lies outside: the values need not be read */
    }
    st = pack_read(r, k, p, err);
    if (st) return st;
    return gather_add(&h->g, p, n) ? OK : err_nomem(err);
}

enum status series_history(struct series *s, struct sql_conn *conn, struct arena *a, int64_t owner,
                           uint32_t key, const struct point *after, size_t max, struct point **out,
                           size_t *n, bool *more, struct err *err)
{
    struct history h = {
        .key = key, .g = { .after = after, .keep = max < SIZE_MAX / 2 ? max + 1 : SIZE_MAX / 2 }
    };
    struct arena *scratch = arena_new(PACK_ARENA_MAX);
    struct point *tail;
    size_t tail_n;
    enum status st =
        scratch ? tail_read(s, scratch, owner, key, &tail, &tail_n, err) : err_nomem(err);

    *out = NULL;
    *n = 0;
    *more = false;
    if (st) goto out;
    if (!gather_add(&h.g, tail, tail_n)) {
        st = err_nomem(err);
        goto out;
    }
    st = packs_each(conn, owner, history_pack, &h, err);
    if (st) goto out;
    if (h.g.n > 0) {
        gather_compact(&h.g);
    }
    *more = h.g.n > max;
    *n = MIN_OF(h.g.n, max);
    *out = (struct point *)arena_alloc(a, *n * sizeof(**out) + 1);
    if (!*out) {
        *n = 0;
        st = err_nomem(err);
    } else if (*n > 0) {
        memcpy(*out, h.g.p, *n * sizeof(**out));
    }
out:
    gather_release(&h.g);
    arena_free(scratch);
    return st;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------ */

struct key_set {
    uint32_t *ids;
    size_t n, cap;
};

static int id_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void set_compact(struct key_set *s)
{
    size_t out = 0;

    if (s->n > 1) {
        qsort(s->ids, s->n, sizeof(*s->ids), id_cmp);
    }
    for (size_t i = 0; i < s->n; i++) {
        if (out == 0 || s->ids[out - 1] != s->ids[i]) {
            s->ids[out++] = s->ids[i];
        }
    }
    s->n = out;
}

static bool set_add(struct key_set *s, uint32_t id)
{
    if (s->n == s->cap) {
        set_compact(s);
    }
    if (s->n + s->n / 2 >= s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 256;
        uint32_t *p = (uint32_t *)mem_realloc(s->ids, cap * sizeof(*p));

        if (!p) {
            return false;
        }
        s->ids = p;
        s->cap = cap;
    }
    s->ids[s->n++] = id;
    return true;
}

static enum status keys_pack(void *ctx, struct pack_reader *r, struct err *err)
{
    struct key_set *set = (struct key_set *)ctx;

    for (size_t i = 0; i < r->keys_n; i++) {
        if (!set_add(set, r->keys[i].key)) {
            return err_nomem(err);
        }
    }
    return OK;
}

static enum status keys_tail(struct series *s, int64_t owner, struct key_set *set, struct err *err)
{
    const struct tail *t;
    size_t cap;
    uint32_t *ids;

    rwlock_read(&s->lock);
    t = (const struct tail *)int_map_get(&s->owners, (uint64_t)owner);
    cap = t ? t->n : 0;
    rwlock_give(&s->lock);
    ids = (uint32_t *)mem_alloc((cap + 1) * sizeof(*ids));
    if (!ids) {
        return err_nomem(err);
    }
    set->ids = ids;
    set->cap = cap + 1;
    rwlock_read(&s->lock);
    t = (const struct tail *)int_map_get(&s->owners, (uint64_t)owner);
    for (const struct tail_block *b = t ? t->first : NULL; b; b = b->next) {
        for (size_t i = 0; i < b->n && set->n < cap; i++) {
            ids[set->n++] = b->p[i].key;
        }
    }
    rwlock_give(&s->lock);
    set_compact(set);
    return OK;
}

enum status series_keys(struct series *s, struct sql_conn *conn, struct arena *a, int64_t owner,
                        uint32_t **out, size_t *n, struct err *err)
{
    struct key_set set = { 0 };
    enum status st = keys_tail(s, owner, &set, err);

    *out = NULL;
    *n = 0;
    if (!st) st = packs_each(conn, owner, keys_pack, &set, err);
    if (!st) {
        set_compact(&set);
        *out = (uint32_t *)arena_alloc(a, set.n * sizeof(**out) + 1);
        st = *out ? OK : err_nomem(err);
    }
    if (!st && set.n > 0) {
        memcpy(*out, set.ids, set.n * sizeof(**out));
        *n = set.n;
    }
    mem_free(set.ids);
    return st;
}
