/* store/series/parts.c - see parts.h.
 * Memory is bounded by what the caller wants: while gathering loose points, only the smallest loose_max are kept; a cursor
 * holds as many chunks as overlap. */
#include "store/series/parts.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/series/series_int.h"
#include "store/sql/sql.h"

#include <stdlib.h>

enum { PACK_PAGE = 16, GATHER_FIRST = 1024, SCRATCH_MAX = 512 << 20 };

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

/* Index among the wanted keys; SIZE_MAX for another. */
static size_t wanted_at(const struct parts_want *w, uint32_t key)
{
    size_t from = 0, to = w->keys_n;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (w->keys[mid] == key) {
            return mid;
        }
        if (w->keys[mid] < key) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return SIZE_MAX;
}

static bool is_wanted(const struct parts_want *w, const struct tail_point *p)
{
    bool known = w->keys_n == 1 ? w->keys[0] == p->key : wanted_at(w, p->key) != SIZE_MAX;

    return known && p->p.timestamp_ms >= w->from_ms && p->p.timestamp_ms <= w->to_ms;
}

static size_t tail_count(const struct tail *t, const struct parts_want *w)
{
    size_t n = 0;

    for (const struct tail_block *b = t ? t->first : NULL; b; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            n += is_wanted(w, &b->p[i]);
        }
    }
    return n;
}

/* Counts, allocates, then copies: nothing is allocated under the lock. Points that arrive in between are not the
 * reader's; points that are drained in between are in the packs. */
static enum status tail_read(struct series *s, struct arena *a, int64_t owner,
                             const struct parts_want *w, struct gather *g, struct err *err)
{
    const struct tail *t;
    struct tail_point *p;
    size_t cap, n = 0;

    rwlock_read(&s->lock);
    cap = tail_count((const struct tail *)int_map_get(&s->owners, (uint64_t)owner), w);
    rwlock_give(&s->lock);
    p = (struct tail_point *)arena_alloc(a, cap * sizeof(*p) + 1);
    if (!p) {
        return err_nomem(err);
    }
    rwlock_read(&s->lock);
    t = (const struct tail *)int_map_get(&s->owners, (uint64_t)owner);
    for (const struct tail_block *b = t ? t->first : NULL; b && n < cap; b = b->next) {
        for (size_t i = 0; i < b->n && n < cap; i++) {
            if (is_wanted(w, &b->p[i])) {
                p[n++] = b->p[i];
            }
        }
    }
    rwlock_give(&s->lock);
    for (size_t i = 0; i < n; i++) {
        if (!gather_add(&g[wanted_at(w, p[i].key)], &p[i].p, 1)) {
            return err_nomem(err);
        }
    }
    return OK;
}

/* ---- packs ----------------------------------------------------------------------------------------------------------------- */

enum status series_packs_each(struct sql_conn *conn, int64_t owner,
                              enum status (*fn)(void *ctx, struct pack_reader *r, struct err *err),
                              void *ctx, struct err *err)
{
    struct arena *scratch = arena_new(SCRATCH_MAX);
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

struct loose {
    struct gather *g; /* one per wanted key */
    const struct parts_want *want;
};

static enum status loose_key(struct gather *g, const struct parts_want *w, struct pack_reader *r,
                             const struct pack_key *k, struct err *err)
{
    size_t n = pack_key_n(r, k), from = 0;
    struct point *p = (struct point *)arena_alloc(r->arena, n * sizeof(*p));
    enum status st;

    if (!p) {
        return err_nomem(err);
    }
    st = pack_read_times(r, k, p, err);
    if (st) return st;
    if (p[n - 1].timestamp_ms < w->from_ms || p[0].timestamp_ms > w->to_ms ||
        (g->after && p[n - 1].timestamp_ms < g->after->timestamp_ms) ||
        (g->cut && p[0].timestamp_ms > g->limit.timestamp_ms)) {
        return OK; /* all of it lies outside: the values need not be read */
    }
    st = pack_read_values(r, k, p, err);
    if (st) return st;
    while (from < n && p[from].timestamp_ms < w->from_ms) {
        from++;
    }
    while (n > from && p[n - 1].timestamp_ms > w->to_ms) {
        n--;
    }
    return gather_add(g, p + from, n - from) ? OK : err_nomem(err);
}

static enum status loose_pack(void *ctx, struct pack_reader *r, struct err *err)
{
    struct loose *l = (struct loose *)ctx;
    enum status st = OK;

    for (size_t i = 0; i < r->keys_n && !st; i++) {
        size_t at = wanted_at(l->want, r->keys[i].key);

        if (at != SIZE_MAX) st = loose_key(&l->g[at], l->want, r, &r->keys[i], err);
    }
    return st;
}

/* ---- chunks ---------------------------------------------------------------------------------------------------------------- */

static double value_of(double v, bool null)
{
    return null ? num_canonical_nan() : v;
}

struct chunk_head series_chunk_head(const struct q_chunk_heads_row *row)
{
    struct chunk_head h = { .lvl = CHUNK_LVL_EXACT,
                            .t0 = row->t0,
                            .c = row->c,
                            .t1 = row->t1,
                            .s0 = row->s0,
                            .s1 = row->s1,
                            .n = row->n,
                            .nnan = row->nnan,
                            .flags = row->flags,
                            .vmin = value_of(row->vmin, row->vmin_null),
                            .vmax = value_of(row->vmax, row->vmax_null),
                            .vsum = value_of(row->vsum, row->vsum_null),
                            .smin = row->smin,
                            .tmin = row->tmin,
                            .smax = row->smax,
                            .tmax = row->tmax,
                            .vfirst = value_of(row->vfirst, row->vfirst_null),
                            .vlast = value_of(row->vlast, row->vlast_null),
                            .id = row->id };

    chunk_head_loaded(&h);
    return h;
}

static enum status read_heads(struct parts *p, struct parts_key *k, const struct parts_want *w,
                              struct err *err)
{
    int64_t from = w->after ? MAX_OF(w->from_ms, w->after->timestamp_ms) : w->from_ms;
    struct q_chunk_heads_row row;
    struct parts_part *part;
    struct sql_stmt *q = NULL;
    size_t cap = 0;
    enum status st =
        q_chunk_heads_open(p->conn, &q, p->owner, k->key, CHUNK_LVL_EXACT, from, w->to_ms, err);

    while (!st && (st = q_chunk_heads_next(q, &row, err)) == OK) {
        if (!arena_grow(p->arena, (void **)&k->chunks, k->chunks_n, &cap, sizeof(*k->chunks))) {
            st = err_nomem(err);
            break;
        }
        part = &k->chunks[k->chunks_n++];
        *part = (struct parts_part){ .head = series_chunk_head(&row), .alone = true };
        part->lower = chunk_lower(&part->head);
        part->upper = chunk_upper(&part->head);
        st = chunk_head_check(&part->head, p->owner, k->key, err);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

enum status series_chunk_insert(struct sql_conn *w, int64_t owner, uint32_t key,
                                const struct chunk_head *h, struct str body, struct err *err)
{
    enum status st = q_chunk_body_insert(w, body, err);

    if (st) return st;
    return q_chunk_insert(w, owner, key, h->lvl, h->t0, h->c, h->t1, h->s0, h->s1, h->n, h->nnan,
                          h->flags, chunk_value(&h->vmin), h->smin, h->tmin, chunk_value(&h->vmax),
                          h->smax, h->tmax, chunk_value(&h->vsum), chunk_value(&h->vfirst),
                          chunk_value(&h->vlast), err);
}

/* First loose point that is not before p. */
static size_t loose_from(const struct parts_key *k, const struct point *p)
{
    size_t from = 0, to = k->loose_n;

    while (from < to) {
        size_t mid = from + (to - from) / 2;

        if (point_cmp(&k->loose[mid], p) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from;
}

static int part_cmp(const void *a, const void *b)
{
    const struct parts_part *x = (const struct parts_part *)a, *y = (const struct parts_part *)b;

    return point_cmp(&x->lower, &y->lower);
}

/* Rows come by time; chunks that share it (many points of one millisecond) are put in order here. */
static void order_parts(struct parts_key *k)
{
    for (size_t i = 1; i < k->chunks_n; i++) {
        if (part_cmp(&k->chunks[i - 1], &k->chunks[i]) > 0) {
            qsort(k->chunks, k->chunks_n, sizeof(*k->chunks), part_cmp);
            return;
        }
    }
}

static void mark_alone(struct parts_key *k)
{
    struct point reach = { 0 }; /* of all chunks so far */

    order_parts(k);
    for (size_t i = 0; i < k->chunks_n; i++) {
        struct parts_part *p = &k->chunks[i];
        size_t at = loose_from(k, &p->lower);

        if ((at < k->loose_n && point_cmp(&k->loose[at], &p->upper) <= 0) ||
            (i > 0 && point_cmp(&reach, &p->lower) >= 0) ||
            (i + 1 < k->chunks_n && point_cmp(&p->upper, &p[1].lower) >= 0)) {
            p->alone = false;
        }
        if (i == 0 || point_cmp(&p->upper, &reach) > 0) {
            reach = p->upper;
        }
    }
}

/* ---- opening --------------------------------------------------------------------------------------------------------------- */

static enum status take_loose(struct parts *p, struct gather *g, struct err *err)
{
    for (size_t i = 0; i < p->keys_n; i++) {
        struct parts_key *k = &p->keys[i];

        if (g[i].n > 0) {
            gather_compact(&g[i]);
        }
        k->loose = (struct point *)arena_alloc(p->arena, g[i].n * sizeof(*k->loose) + 1);
        if (!k->loose) {
            return err_nomem(err);
        }
        if (g[i].n > 0) memcpy(k->loose, g[i].p, g[i].n * sizeof(*k->loose));
        k->loose_n = g[i].n;
    }
    return OK;
}

enum status parts_open(struct parts *p, struct series *s, struct sql_conn *conn, struct arena *a,
                       int64_t owner, const struct parts_want *want, struct err *err)
{
    struct loose l = { .want = want };
    enum status st = OK;

    *p = (struct parts){ .series = s,
                         .conn = conn,
                         .arena = a,
                         .owner = owner,
                         .scratch = arena_new(SCRATCH_MAX),
                         .keys = ARENA_ARRAY(a, struct parts_key, want->keys_n + 1) };
    l.g = (struct gather *)mem_zalloc(want->keys_n + 1, sizeof(*l.g));
    if (!p->scratch || !p->keys || !l.g) st = err_nomem(err);
    for (size_t i = 0; i < want->keys_n && !st; i++) {
        p->keys[i].key = want->keys[i];
        l.g[i].after = want->after;
        l.g[i].keep = want->loose_max ? want->loose_max : SIZE_MAX / 2;
    }
    p->keys_n = st ? 0 : want->keys_n;
    if (!st) st = tail_read(s, p->scratch, owner, want, l.g, err);
    if (!st && !sql_in_transaction(conn)) {
        st = sql_read_begin(conn, err);
        p->snapshot = st == OK;
    }
    if (!st) st = series_packs_each(conn, owner, loose_pack, &l, err);
    if (!st) st = take_loose(p, l.g, err);
    for (size_t i = 0; i < p->keys_n && !st; i++) {
        st = read_heads(p, &p->keys[i], want, err);
        mark_alone(&p->keys[i]);
    }
    for (size_t i = 0; l.g && i < want->keys_n; i++) {
        gather_release(&l.g[i]);
    }
    mem_free(l.g);
    if (st) parts_close(p);
    return st;
}

void parts_close(struct parts *p)
{
    if (p->snapshot) sql_read_end(p->conn);
    arena_free(p->scratch);
    *p = (struct parts){ 0 };
}

enum status parts_chunk(struct parts *p, const struct parts_key *k, size_t i, struct point *out,
                        struct err *err)
{
    const struct chunk_head *h = &k->chunks[i].head;
    struct q_chunk_body_row row;
    enum status st;

    arena_reset(p->scratch);
    st = q_chunk_body(p->conn, p->scratch, h->id, &row, err);
    if (st == ST_NOT_FOUND) {
        return err_set(err, ST_CORRUPT, "chunk %lld.%lld of owner %lld, key %u has gone",
                       (long long)h->t0, (long long)h->c, (long long)p->owner, k->key);
    }
    if (!st) st = chunk_decode(p->scratch, row.body, p->owner, k->key, h, out, NULL, err);
    return st;
}

size_t parts_key_n(const struct parts_key *k)
{
    size_t n = k->loose_n;

    for (size_t i = 0; i < k->chunks_n; i++) {
        n += (size_t)k->chunks[i].head.n;
    }
    return n;
}

/* ---- the cursor ------------------------------------------------------------------------------------------------------------ */

void parts_cursor_open(struct parts_cursor *c, struct parts *p, const struct parts_key *k,
                       const struct point *after)
{
    *c = (struct parts_cursor){ .p = p, .k = k };
    if (after) {
        c->has_after = true;
        c->after = *after;
        c->loose = loose_from(k, after);
        if (c->loose < k->loose_n && point_cmp(&k->loose[c->loose], after) == 0) c->loose++;
    }
}

void parts_cursor_close(struct parts_cursor *c)
{
    mem_free(c->held);
    mem_free(c->tmp);
    c->held = c->tmp = NULL;
    c->held_cap = c->held_n = 0;
}

static bool held_room(struct parts_cursor *c, size_t n)
{
    size_t cap = MAX_OF(c->held_cap, (size_t)CHUNK_POINTS * 2);
    struct point *p, *tmp;

    while (cap < c->held_n + n) {
        cap *= 2;
    }
    if (cap == c->held_cap) {
        return true;
    }
    p = (struct point *)mem_realloc(c->held, cap * sizeof(*p));
    if (p) c->held = p;
    tmp = (struct point *)mem_realloc(c->tmp, cap * sizeof(*tmp));
    if (tmp) c->tmp = tmp;
    if (!p || !tmp) {
        return false;
    }
    c->held_cap = cap;
    return true;
}

/* Loose points before `end` (NULL: all). */
static enum status hold_loose(struct parts_cursor *c, const struct point *end, struct err *err)
{
    size_t n = 0, left = c->k->loose_n - c->loose;
    const struct point *p = c->k->loose + c->loose;

    while (n < left && (!end || point_cmp(&p[n], end) < 0)) {
        n++;
    }
    if (n == 0) {
        return OK;
    }
    if (!held_room(c, n)) {
        return err_nomem(err);
    }
    memcpy(c->held + c->held_n, p, n * sizeof(*p));
    c->held_n += n;
    c->loose += n;
    return OK;
}

/* Takes the next chunk and the loose points before the one after it: what lies before that one can go out. */
static enum status hold_chunk(struct parts_cursor *c, struct err *err)
{
    const struct parts_part *part = &c->k->chunks[c->chunk];
    const struct point *end = c->chunk + 1 < c->k->chunks_n ? &part[1].lower : NULL;
    size_t n = (size_t)part->head.n;
    enum status st;

    if (!held_room(c, n)) {
        return err_nomem(err);
    }
    st = parts_chunk(c->p, c->k, c->chunk, c->held + c->held_n, err);
    if (st) return st;
    c->held_n += n;
    c->chunk++;
    st = hold_loose(c, end, err);
    if (st) return st;
    points_sort(c->held, c->tmp, c->held_n);
    c->held_n = points_dedupe(c->held, c->held_n);
    c->ready = 0;
    while (c->ready < c->held_n && (!end || point_cmp(&c->held[c->ready], end) < 0)) {
        c->ready++;
    }
    return OK;
}

/* More points that can go out; false in *any at the end. */
static enum status hold_more(struct parts_cursor *c, bool *any, struct err *err)
{
    enum status st = OK;

    if (c->held_n > c->ready) {
        memmove(c->held, c->held + c->ready, (c->held_n - c->ready) * sizeof(*c->held));
    }
    c->held_n -= c->ready;
    c->at = c->ready = 0;
    while (c->has_after && c->chunk < c->k->chunks_n &&
           point_cmp(&c->k->chunks[c->chunk].upper, &c->after) <= 0) {
        c->chunk++;
    }
    *any = true;
    if (c->chunk < c->k->chunks_n) {
        st = hold_chunk(c, err);
    } else if (c->loose < c->k->loose_n || c->held_n > 0) {
        st = hold_loose(c, NULL, err);
        if (st) return st;
        points_sort(c->held, c->tmp, c->held_n);
        c->held_n = points_dedupe(c->held, c->held_n);
        c->ready = c->held_n;
    } else {
        *any = false;
    }
    while (c->has_after && c->at < c->ready && point_cmp(&c->held[c->at], &c->after) <= 0) {
        c->at++;
    }
    return st;
}

/* The usual chunk, decoded to where it is wanted: nothing is held, nothing lies before it or inside it. */
static bool is_straight(const struct parts_cursor *c, size_t room)
{
    const struct parts_part *part = &c->k->chunks[c->chunk];

    return c->chunk < c->k->chunks_n && c->held_n == c->ready && part->alone &&
           (size_t)part->head.n <= room &&
           (!c->has_after || point_cmp(&c->after, &part->lower) < 0) &&
           (c->loose == c->k->loose_n || point_cmp(&c->k->loose[c->loose], &part->upper) > 0);
}

enum status parts_cursor_next(struct parts_cursor *c, struct point *out, size_t max, size_t *n,
                              struct err *err)
{
    bool any = true;
    enum status st = OK;

    *n = 0;
    while (!st && any && *n < max) {
        if (c->at < c->ready) {
            size_t k = MIN_OF(c->ready - c->at, max - *n);

            memcpy(out + *n, c->held + c->at, k * sizeof(*out));
            c->at += k;
            *n += k;
        } else if (is_straight(c, max - *n)) {
            st = parts_chunk(c->p, c->k, c->chunk, out + *n, err);
            if (!st) *n += (size_t)c->k->chunks[c->chunk++].head.n;
        } else {
            st = hold_more(c, &any, err);
        }
    }
    return st;
}
