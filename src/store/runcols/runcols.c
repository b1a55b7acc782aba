/* store/runcols/runcols.c - the experiments in memory, and what a search is given. */
#include "store/runcols/runcols_int.h"

#include "base/mem.h"
#include "store/heads.h"

#include <stdlib.h>

enum {
    EXPERIMENTS_MAX = 1 << 20,
    KEYS_MAX = 1 << 16,
    NEWER_LIST_MAX = 1 << 26,
    EXP_OVERHEAD = 1024
};

enum status runcols_open(struct runcols **out, size_t max_bytes, struct err *err)
{
    struct runcols *rc = (struct runcols *)mem_zalloc(1, sizeof(*rc));

    *out = rc;
    if (!rc) {
        return err_nomem(err);
    }
    lock_init(&rc->lock, LOCK_RANK_CACHE);
    rc->by_exp.max = EXPERIMENTS_MAX;
    rc->max_bytes = max_bytes;
    return OK;
}

void runcols_set_heads(struct runcols *rc, struct heads *heads)
{
    rc->heads = heads;
}

/* ---- experiments ------------------------------------------------------------------------------------------------------------------- */

void piece_free(struct piece *p)
{
    for (size_t i = 0; p && i < p->n; i++) {
        column_unref(p->cells[i].column);
    }
    mem_free(p);
}

static void expcols_free(struct expcols *e)
{
    while (e->keys.n > 0) {
        key_drop(e, e->keys.n - 1);
    }
    for (uint32_t s = 0; s < e->segments_cap; s++) {
        mem_free(e->segments[s].uids);
    }
    piece_free(e->piece);
    mem_free(e->segments);
    mem_free(e->touched);
    vec_release(&e->keys);
    vec_release(&e->stored);
    vec_release(&e->newer);
    lock_release(&e->fold);
    mem_free(e);
}

void runcols_close(struct runcols *rc)
{
    struct expcols *next;

    if (!rc) {
        return;
    }
    for (struct expcols *e = rc->first; e; e = next) {
        next = e->next;
        expcols_free(e);
    }
    int_map_release(&rc->by_exp);
    lock_release(&rc->lock);
    mem_free(rc);
}

static struct expcols *expcols_new(int64_t exp)
{
    struct expcols *e = (struct expcols *)mem_zalloc(1, sizeof(*e));

    if (!e) {
        return NULL;
    }
    e->exp = exp;
    e->lifecycle = -1;
    e->keys.max = KEYS_MAX;
    e->stored.max = KEYS_MAX;
    e->newer.max = NEWER_LIST_MAX;
    lock_init(&e->fold, LOCK_RANK_FOLD);
    e->touched = (int64_t *)mem_alloc(TOUCHED_FIRST * sizeof(*e->touched));
    e->touched_cap = TOUCHED_FIRST;
    if (!e->touched) {
        expcols_free(e);
        return NULL;
    }
    return e;
}

static void list_add(struct runcols *rc, struct expcols *e)
{
    e->next = NULL;
    e->prev = rc->last;
    *(rc->last ? &rc->last->next : &rc->first) = e;
    rc->last = e;
}

static void list_remove(struct runcols *rc, struct expcols *e)
{
    *(e->prev ? &e->prev->next : &rc->first) = e->next;
    *(e->next ? &e->next->prev : &rc->last) = e->prev;
}

struct expcols *expcols_enter(struct runcols *rc, int64_t exp)
{
    struct expcols *fresh = NULL, *e;

    lock_take(&rc->lock);
    e = (struct expcols *)int_map_get(&rc->by_exp, (uint64_t)exp);
    if (!e) {
        lock_give(&rc->lock);
        fresh = expcols_new(exp);
        if (!fresh) {
            return NULL;
        }
        lock_take(&rc->lock);
        e = (struct expcols *)int_map_get(&rc->by_exp, (uint64_t)exp);
        if (!e && int_map_put(&rc->by_exp, (uint64_t)exp, fresh) == OK) {
            e = fresh;
            fresh = NULL;
            e->gen = ++rc->gen;
            list_add(rc, e);
        }
    }
    if (e) {
        e->users++;
        list_remove(rc, e);
        list_add(rc, e);
    }
    lock_give(&rc->lock);
    if (fresh) expcols_free(fresh);
    return e;
}

/* Takes experiments out, the longest unused first, until the rest fits. What is not stored yet stays a while longer. */
static struct expcols *evict(struct runcols *rc)
{
    struct expcols *gone = NULL, *next;

    for (int pass = 0; pass < 2; pass++) {
        size_t max = pass == 0 ? rc->max_bytes : rc->max_bytes * 2;

        for (struct expcols *e = rc->first; e && rc->bytes > max; e = next) {
            next = e->next;
            if (e->users > 0 || (pass == 0 && e->unsaved)) continue;
            list_remove(rc, e);
            (void)int_map_remove(&rc->by_exp, (uint64_t)e->exp);
            rc->bytes -= e->bytes;
            atomic_fetch_add_explicit(&rc->evictions, 1, memory_order_relaxed);
            e->next = gone;
            gone = e;
        }
    }
    return gone;
}

void expcols_leave(struct runcols *rc, struct expcols *e)
{
    struct expcols *gone, *next;

    lock_take(&rc->lock);
    e->users--;
    gone = evict(rc);
    lock_give(&rc->lock);
    for (; gone; gone = next) {
        next = gone->next;
        expcols_free(gone);
    }
}

/* Under e->fold. */
void account(struct runcols *rc, struct expcols *e)
{
    size_t bytes = EXP_OVERHEAD + e->newer.cap * sizeof(int64_t);

    for (uint32_t s = 0; s < e->segments_n; s++) {
        bytes += sizeof(struct segment) + e->segments[s].cap * sizeof(int64_t);
    }
    for (size_t i = 0; i < e->keys.n; i++) {
        const struct key_cols *k = e->keys.p[i];

        bytes += sizeof(*k) + k->cap * sizeof(struct cell);
        for (uint32_t s = 0; s < e->segments_n; s++) {
            bytes += k->cells[s].column ? column_bytes(k->cells[s].column) : 0;
        }
    }
    lock_take(&rc->lock);
    rc->bytes += bytes - e->bytes;
    e->bytes = bytes;
    e->unsaved = e->changed;
    lock_give(&rc->lock);
}

/* ---- keys and segments ---------------------------------------------------------------------------------------------------------------- */

struct key_cols *key_find(const struct expcols *e, struct column_key key)
{
    for (size_t i = 0; i < e->keys.n; i++) {
        if (key_same(e->keys.p[i]->key, key)) return e->keys.p[i];
    }
    return NULL;
}

enum status key_add(struct expcols *e, struct column_key key, struct key_cols **out,
                    struct err *err)
{
    struct key_cols *k = (struct key_cols *)mem_zalloc(1, sizeof(*k));
    struct key_cols **at = k ? vec_add(&e->keys) : NULL;

    *out = NULL;
    if (!at) {
        mem_free(k);
        return err_nomem(err);
    }
    k->key = key;
    k->cap = MAX_OF(e->segments_cap, 1u);
    k->cells = (struct cell *)mem_zalloc(k->cap, sizeof(*k->cells));
    if (!k->cells) {
        e->keys.n--;
        mem_free(k);
        return err_nomem(err);
    }
    *at = *out = k;
    return OK;
}

void key_drop(struct expcols *e, size_t at)
{
    struct key_cols *k = e->keys.p[at];

    for (uint32_t s = 0; s < e->segments_n; s++) {
        column_unref(k->cells[s].column);
    }
    mem_free(k->cells);
    mem_free(k);
    e->keys.p[at] = e->keys.p[--e->keys.n];
}

enum status segment_add(struct expcols *e, struct err *err)
{
    uint32_t cap = MAX_OF(e->segments_cap, 1u);

    if (e->segments_n == SEGMENTS_MAX) {
        return err_set(err, ST_TOO_BIG, "an experiment has too many runs");
    }
    while (cap <= e->segments_n) {
        cap *= 2;
    }
    for (size_t i = 0; i < e->keys.n; i++) {
        struct key_cols *k = e->keys.p[i];
        struct cell *cells;

        if (k->cap >= cap) continue;
        cells = (struct cell *)mem_realloc(k->cells, cap * sizeof(*cells));
        if (!cells) return err_nomem(err);
        memset(cells + k->cap, 0, (cap - k->cap) * sizeof(*cells));
        k->cells = cells;
        k->cap = cap;
    }
    if (cap > e->segments_cap) {
        struct segment *p = (struct segment *)mem_realloc(e->segments, cap * sizeof(*p));

        if (!p) return err_nomem(err);
        memset(p + e->segments_cap, 0, (cap - e->segments_cap) * sizeof(*p));
        e->segments = p;
        e->segments_cap = cap;
    }
    for (size_t i = 0; i < e->keys.n; i++) {
        e->keys.p[i]->cells[e->segments_n] = (struct cell){ .known = false };
    }
    e->segments[e->segments_n++].rows = 0;
    return OK;
}

void cell_set(struct expcols *e, struct cell *c, const struct column *column, uint32_t rows)
{
    column_unref(c->column);
    *c = (struct cell){ .zone = { .rows = rows }, .column = column, .known = true };
    if (column) c->zone = *column_zone(column);
    e->changed = true;
}

/* ---- the sequencer ---------------------------------------------------------------------------------------------------------------------- */

void runcols_touch(struct runcols *rc, int64_t exp, int64_t uid, uint64_t *mark)
{
    struct expcols *e;

    if (!rc) {
        return;
    }
    lock_take(&rc->lock);
    e = (struct expcols *)int_map_get(&rc->by_exp, (uint64_t)exp);
    if (e && !(mark && *mark == e->gen)) {
        if (e->touched_n < e->touched_cap) {
            e->touched[e->touched_n++] = uid;
            if (mark) *mark = e->gen;
        } else {
            e->lost = true;
        }
    }
    lock_give(&rc->lock);
}

void runcols_lifecycle(struct runcols *rc, int64_t exp, int lifecycle)
{
    struct expcols *e;

    if (!rc) {
        return;
    }
    lock_take(&rc->lock);
    e = (struct expcols *)int_map_get(&rc->by_exp, (uint64_t)exp);
    if (e) e->lifecycle = lifecycle;
    lock_give(&rc->lock);
}

void runcols_gone(struct runcols *rc, int64_t uid)
{
    if (!rc) {
        return;
    }
    lock_take(&rc->lock);
    for (struct expcols *e = rc->first; e; e = e->next) {
        if (e->touched_n < e->touched_cap) {
            e->touched[e->touched_n++] = ~uid;
        } else {
            e->lost = true;
        }
    }
    lock_give(&rc->lock);
}

/* What has a slot here is left of the runs that have gone, whichever experiment they were of. */
static uint32_t keep_own(const struct expcols *e, int64_t *touched, uint32_t n)
{
    uint32_t kept = 0, segment, slot;

    for (uint32_t i = 0; i < n; i++) {
        int64_t uid = touched[i];

        if (uid < 0 && !slot_of(e, ~uid, &segment, &slot)) continue;
        touched[kept++] = uid < 0 ? ~uid : uid;
    }
    return kept;
}

bool runcols_are_empty(struct runcols *rc)
{
    bool empty = true;

    if (rc) {
        lock_take(&rc->lock);
        empty = rc->by_exp.n == 0;
        lock_give(&rc->lock);
    }
    return empty;
}

void runcols_reset(struct runcols *rc)
{
    if (!rc) {
        return;
    }
    lock_take(&rc->lock);
    for (struct expcols *e = rc->first; e; e = e->next) {
        e->reset = true;
    }
    lock_give(&rc->lock);
}

void runcols_drained(struct runcols *rc, int64_t drain)
{
    /* Pairs with take_touched(): who sees the number finds everything that was drained applied, and touched. */
    if (rc) atomic_store_explicit(&rc->drain, drain, memory_order_release);
}

/* Those that changed since are in touched, and are read again. */
static enum status all_got_lifecycle(struct folder *f, int lifecycle, struct err *err)
{
    struct key_cols *k = key_find(f->e, (struct column_key){ COLUMN_ATTR, COLUMN_LIFECYCLE });

    f->e->stale = true; /* the write left a note with what is stored */
    return k ? fill_key(f, k, lifecycle, err) : OK;
}

enum status take_touched(struct folder *f, struct err *err)
{
    struct runcols *rc = f->rc;
    struct expcols *e = f->e;
    int64_t drain = atomic_load_explicit(&rc->drain, memory_order_acquire);
    int64_t *buffer = NULL, *old;
    uint32_t cap, n;
    int lifecycle;
    bool lost, added, reset;
    enum status st = OK;

    lock_take(&rc->lock);
    reset = e->reset;
    e->reset = false;
    cap = e->lost && e->touched_cap < TOUCHED_MAX ? e->touched_cap * 4 : e->touched_cap;
    n = e->touched_n;
    lost = e->lost;
    lifecycle = e->lifecycle;
    lock_give(&rc->lock);
    if (reset) {
        e->loaded = false;
        e->newer.n = 0;
    }
    if (n == 0 && !lost && lifecycle < 0) {
        e->complete = drain;
        return OK;
    }
    buffer = (int64_t *)mem_alloc(cap * sizeof(*buffer));
    if (!buffer) {
        return err_nomem(err);
    }
    lock_take(&rc->lock);
    old = e->touched;
    n = e->touched_n;
    lost = e->lost;
    lifecycle = e->lifecycle;
    e->touched = buffer;
    e->touched_cap = cap;
    e->touched_n = 0;
    e->lost = false;
    e->lifecycle = -1;
    e->gen = ++rc->gen;
    lock_give(&rc->lock);
    if (lifecycle >= 0) st = all_got_lifecycle(f, lifecycle, err);
    added = newer_add(e, old, keep_own(e, old, n));
    mem_free(old);
    if (!st && !added) st = err_nomem(err);
    if (!st && lost) st = find_lost(f, err);
    if (st) {
        e->loaded = false; /* touches are lost: everything is found again */
        return st;
    }
    e->complete = drain;
    return OK;
}

/* ---- searches ------------------------------------------------------------------------------------------------------------------------- */

/* The columns of the keys, in memory and known. */
static enum status want_keys(struct folder *f, const struct column_key *keys, size_t n,
                             struct err *err)
{
    struct expcols *e = f->e;
    struct key_cols **unknown = (struct key_cols **)mem_alloc((n + 1) * sizeof(*unknown));
    size_t unknown_n = 0;
    enum status st = unknown ? OK : err_nomem(err);

    e->searches++;
    for (size_t i = 0; i < n && !st; i++) {
        struct key_cols *k;
        bool all = true;

        if (keys[i].id == 0) continue;
        k = key_find(e, keys[i]);
        if (!k) {
            st = key_add(e, keys[i], &k, err);
            if (st) break;
            st = key_is_lazy(keys[i]) ? OK : load_key(f, k, err);
            if (st) {
                key_drop(e, e->keys.n - 1); /* what is newer than it was not found */
                break;
            }
        }
        k->used = e->searches;
        for (uint32_t s = 0; s < e->segments_n && all; s++) {
            all = k->cells[s].known;
        }
        if (!all && !key_is_lazy(keys[i])) unknown[unknown_n++] = k;
    }
    if (!st && unknown_n > 0) st = build_unknown(f, unknown, unknown_n, err);
    mem_free(unknown);
    return st;
}

enum status bring_up(struct folder *f, const struct column_key *keys, size_t n, bool all,
                     struct err *err)
{
    struct expcols *e = f->e;
    enum status st = take_touched(f, err);

    if (!st && e->stale) st = load_stored(f, err);
    if (!st && !e->loaded) st = load_index(f, err);
    if (!st) st = want_keys(f, keys, n, err);
    if (!st && (all || e->must_fold || e->newer.n > NEWER_MAX)) st = fold_newer(f, err);
    return st;
}

/* A cell of a lazy key, of the runs that the search sees. The experiment takes it too where its segment is still the same. */
static enum status load_lazy(struct column_table *t, uint32_t segment, uint32_t column,
                             struct err *err)
{
    struct runcols_query *q = (struct runcols_query *)t->ctx;
    struct expcols *e = q->e;
    struct column_cell *c = column_table_cell(t, segment, column);
    struct segment of = { .rows = t->rows[segment] };
    struct column *built = NULL;
    struct key_cols *k;
    struct folder f;
    enum status st = folder_open(&f, q->rc, e, q->conn, err);

    lock_take(&e->fold);
    k = key_find(e, q->keys[column]);
    if (!st && (segment >= e->segments_n || e->segments[segment].rows < of.rows)) {
        st = err_set(err, ST_UNAVAILABLE, "the search was overtaken; try again");
    }
    if (!st && k && k->cells[segment].known && k->cells[segment].zone.rows >= of.rows) {
        c->column = column_ref(k->cells[segment].column);
    } else if (!st) {
        of.uids = e->segments[segment].uids;
        st = build_one(&f, &of, q->keys[column], &built, err);
        c->column = built;
        if (!st && k && e->segments[segment].rows == of.rows) {
            bool changed = e->changed;

            cell_set(e, &k->cells[segment], column_ref(built), of.rows);
            e->changed = changed; /* never stored */
            account(q->rc, e);
        }
    }
    lock_give(&e->fold);
    if (!st && c->column) c->zone = *column_zone(c->column);
    folder_close(&f);
    return st;
}

static enum status snapshot(struct runcols_query *q, size_t n, struct err *err)
{
    struct expcols *e = q->e;
    uint32_t segments_n = e->segments_n;
    uint32_t *rows = ARENA_ARRAY(q->arena, uint32_t, segments_n + 1);
    uint64_t **newer = ARENA_ARRAY(q->arena, uint64_t *, segments_n + 1);
    int64_t *uids = ARENA_ARRAY(q->arena, int64_t, e->newer.n + 1);
    struct column_cell *cells = ARENA_ARRAY(q->arena, struct column_cell, n * segments_n + 1);

    if (!rows || !newer || !uids || !cells) {
        return err_nomem(err);
    }
    q->newer = uids;
    q->newer_n = e->newer.n;
    q->table = (struct column_table){ .segments_n = segments_n,
                                      .columns_n = (uint32_t)n,
                                      .rows = rows,
                                      .cells = cells,
                                      .newer = (const uint64_t *const *)newer,
                                      .load = load_lazy,
                                      .ctx = q };
    for (uint32_t s = 0; s < segments_n; s++) {
        rows[s] = e->segments[s].rows;
    }
    for (size_t i = 0; i < e->newer.n; i++) {
        uint32_t segment, slot;

        uids[i] = e->newer.p[i];
        if (!slot_of(e, uids[i], &segment, &slot)) continue;
        if (!newer[segment]) newer[segment] = ARENA_ARRAY(q->arena, uint64_t, COLUMN_WORDS);
        if (!newer[segment]) return err_nomem(err);
        newer[segment][slot / 64] |= (uint64_t)1 << (slot % 64);
    }
    for (size_t i = 0; i < n; i++) {
        const struct key_cols *k = q->keys[i].id ? key_find(e, q->keys[i]) : NULL;

        for (uint32_t s = 0; k && s < segments_n; s++) {
            struct column_cell *c = &cells[i * segments_n + s];

            if (k->cells[s].known) {
                c->zone = k->cells[s].zone;
                c->column = column_ref(k->cells[s].column);
            } else { /* every run has one */
                c->zone = (struct column_zone){ rows[s], rows[s], 0, INT64_MIN, INT64_MAX };
            }
        }
    }
    return OK;
}

enum status runcols_begin(struct runcols *rc, struct sql_conn *conn, struct arena *a, int64_t exp,
                          const struct column_key *keys, size_t n, struct runcols_query *q,
                          struct err *err)
{
    struct folder f;
    enum status st;

    *q = (struct runcols_query){ .rc = rc, .conn = conn, .arena = a, .keys = keys };
    q->e = expcols_enter(rc, exp);
    if (!q->e) {
        return err_nomem(err);
    }
    st = folder_open(&f, rc, q->e, conn, err);
    lock_take(&q->e->fold);
    if (!st) st = bring_up(&f, keys, n, false, err);
    if (!st) st = snapshot(q, n, err);
    account(rc, q->e);
    lock_give(&q->e->fold);
    folder_close(&f);
    return st;
}

void runcols_end(struct runcols_query *q)
{
    if (!q->e) {
        return;
    }
    for (size_t i = 0; i < (size_t)q->table.columns_n * q->table.segments_n; i++) {
        column_unref(q->table.cells[i].column);
    }
    expcols_leave(q->rc, q->e);
    *q = (struct runcols_query){ .rc = NULL };
}

void runcols_stats(struct runcols *rc, struct runcols_stats *out)
{
    lock_take(&rc->lock);
    *out = (struct runcols_stats){ .bytes = rc->bytes, .experiments = rc->by_exp.n };
    lock_give(&rc->lock);
    out->folds = atomic_load_explicit(&rc->folds, memory_order_relaxed);
    out->loads = atomic_load_explicit(&rc->loads, memory_order_relaxed);
    out->builds = atomic_load_explicit(&rc->builds, memory_order_relaxed);
    out->evictions = atomic_load_explicit(&rc->evictions, memory_order_relaxed);
    out->lost = atomic_load_explicit(&rc->lost, memory_order_relaxed);
}
