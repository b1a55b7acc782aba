/* store/series/history.c - the reading side of series.h, on top of parts.h. */
#include "store/series/series_int.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/series/parts.h"
#include "store/sql/sql.h"

#include <stdlib.h>

enum { HEADS_ARENA_MAX = 512 << 20 };

enum status series_history(struct series *s, struct sql_conn *conn, struct arena *a, int64_t owner,
                           uint32_t key, const struct point *after, size_t max, struct point **out,
                           size_t *n, bool *more, struct err *err)
{
    size_t keep = max < SIZE_MAX / 4 ? max + 1 : SIZE_MAX / 4, room;
    struct parts_want want = { .keys = &key,
                               .keys_n = 1,
                               .from_ms = INT64_MIN,
                               .to_ms = INT64_MAX,
                               .after = after,
                               .loose_max = keep };
    struct parts_cursor cursor;
    struct arena *heads = arena_new(HEADS_ARENA_MAX);
    struct parts p;
    enum status st = heads ? parts_open(&p, s, conn, heads, owner, &want, err) : err_nomem(err);

    *out = NULL;
    *n = 0;
    *more = false;
    if (st) goto out;
    room = MIN_OF(keep, parts_key_n(&p.keys[0]));
    *out = (struct point *)arena_alloc(a, room * sizeof(**out) + 1);
    parts_cursor_open(&cursor, &p, &p.keys[0], after);
    st = *out ? parts_cursor_next(&cursor, *out, room, n, err) : err_nomem(err);
    parts_cursor_close(&cursor);
    parts_close(&p);
    *more = *n > max;
    *n = MIN_OF(*n, max);
out:
    if (st) {
        *out = NULL;
        *n = 0;
        *more = false;
    }
    arena_free(heads);
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

/* One look-up per key: the rows of a key are never walked. */
static enum status keys_chunks(struct sql_conn *conn, int64_t owner, struct key_set *set,
                               struct err *err)
{
    struct q_chunk_next_key_row row = { .key = -1 };
    enum status st = OK;

    while (!st) {
        st = q_chunk_next_key(conn, NULL, owner, row.key, &row, err);
        if (st || row.key_null) {
            return st;
        }
        if (!set_add(set, (uint32_t)row.key)) st = err_nomem(err);
    }
    return st;
}

enum status series_keys(struct series *s, struct sql_conn *conn, struct arena *a, int64_t owner,
                        uint32_t **out, size_t *n, struct err *err)
{
    struct key_set set = { 0 };
    bool snapshot = false;
    enum status st = keys_tail(s, owner, &set, err);

    *out = NULL;
    *n = 0;
    if (!st && !sql_in_transaction(conn)) {
        st = sql_read_begin(conn, err);
        snapshot = st == OK;
    }
    if (!st) st = series_packs_each(conn, owner, keys_pack, &set, err);
    if (!st) st = keys_chunks(conn, owner, &set, err);
    if (snapshot) sql_read_end(conn);
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
