/* store/runcols/load.c - from what is stored. What is stored of a key holds every change in rows up to colkey.ver; later ones are in
 * rows with a greater ver, or in heads in memory, which are looked at first: a head that leaves memory in between has left its
 * row behind. Nothing here fails because a stored body is damaged: its cell is built again. */
#include "base/log.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/heads.h"
#include "store/runcols/runcols_int.h"
#include "store/sql/sql.h"

#include <stdlib.h>

enum { PAGE = 32, SINCE_PAGE = 4096 };

static const struct column_key uid_key = { COLUMN_ATTR, COLUMN_UID };

/* ---- newer --------------------------------------------------------------------------------------------------------------------------- */

static int uid_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

bool newer_add(struct expcols *e, const int64_t *uids, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        int64_t *p = vec_add(&e->newer);

        if (!p) return false;
        *p = uids[i];
    }
    if (e->newer.n > 1) qsort(e->newer.p, e->newer.n, sizeof(*e->newer.p), uid_cmp);
    for (size_t i = 0; i < e->newer.n; i++) {
        if (kept == 0 || e->newer.p[kept - 1] != e->newer.p[i]) {
            e->newer.p[kept++] = e->newer.p[i];
        }
    }
    e->newer.n = kept;
    return true;
}

/* Every head in memory: what it has may not be in its row yet. */
static enum status heads_are_newer(struct folder *f, struct err *err)
{
    struct heads *hs = f->rc->heads;
    int64_t *uids = NULL;
    size_t room = 0, n;
    bool added;

    for (;;) {
        heads_lock_read(hs);
        n = heads_uids_of(hs, f->e->exp, uids, room);
        heads_unlock(hs);
        if (n <= room) break;
        mem_free(uids);
        room = n + n / 8 + 16;
        uids = (int64_t *)mem_alloc(room * sizeof(*uids));
        if (!uids) {
            return err_nomem(err);
        }
    }
    added = newer_add(f->e, uids, n);
    mem_free(uids);
    return added ? OK : err_nomem(err);
}

/* Runs with a slot whose row is of a later drain than ver, and those without a slot; rows of drains before `ver` are not read. */
static enum status rows_are_newer(struct folder *f, int64_t ver, struct err *err)
{
    struct expcols *e = f->e;
    struct q_run_since_row row = { .ver = ver, .run = INT64_MIN };
    uint32_t segment, slot;
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_run_since_open(f->conn, &q, e->exp, row.ver, row.run, SINCE_PAGE, err);
        while (!st && (st = q_run_since_next(q, &row, err)) == OK) {
            rows++;
            if (row.ver > ver || !slot_of(e, row.run, &segment, &slot)) {
                int64_t *p = vec_add(&e->newer);

                if (!p)
                    st = err_nomem(err);
                else
                    *p = row.run;
            }
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == SINCE_PAGE);
    if (!st && !newer_add(e, NULL, 0)) st = err_nomem(err);
    e->must_fold = true; /* most of them are not in memory */
    return st;
}

/* Runs that were deleted for good have no row that could be newer: whatever still has a slot here is folded. */
static enum status gone_are_newer(struct folder *f, struct err *err)
{
    struct expcols *e = f->e;
    struct key_cols *uids = key_find(e, (struct column_key){ COLUMN_ATTR, COLUMN_UID });
    struct q_run_gone_row row = { .uid = INT64_MIN };
    uint32_t segment, slot;
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_run_gone_open(f->conn, &q, row.uid, SINCE_PAGE, err);
        while (!st && (st = q_run_gone_next(q, &row, err)) == OK) {
            int64_t *p, uid;

            rows++;
            if (!slot_of(e, row.uid, &segment, &slot)) continue;
            if (uids && uids->cells[segment].column &&
                !column_integer(uids->cells[segment].column, slot, &uid))
                continue; /* known already */
            p = vec_add(&e->newer);
            if (!p)
                st = err_nomem(err);
            else
                *p = row.uid;
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == SINCE_PAGE);
    if (!st && !newer_add(e, NULL, 0)) st = err_nomem(err);
    return st;
}

enum status find_lost(struct folder *f, struct err *err)
{
    enum status st = heads_are_newer(f, err);

    atomic_fetch_add_explicit(&f->rc->lost, 1, memory_order_relaxed);
    if (!st) st = rows_are_newer(f, f->e->complete, err);
    return st ? st : gone_are_newer(f, err);
}

/* ---- what is stored ------------------------------------------------------------------------------------------------------------------- */

struct stored_key *stored_find(struct expcols *e, struct column_key key)
{
    for (size_t i = 0; i < e->stored.n; i++) {
        if (key_same(e->stored.p[i].key, key)) return &e->stored.p[i];
    }
    return NULL;
}

/* Whether the stored slots of this gen are those here, perhaps by a piece of which no note was taken yet. */
static bool slots_are(struct folder *f, int64_t gen)
{
    const struct expcols *e = f->e;
    const struct piece *p = e->piece;
    bool own = gen == e->slots_gen;

    if (!own && p && is_slots(p->key) && p->loads == e->loads && gen == p->gen + 1) {
        lock_take(&f->rc->lock);
        own = p->back && p->st == OK;
        lock_give(&f->rc->lock);
    }
    return own;
}

enum status load_stored(struct folder *f, struct err *err)
{
    struct expcols *e = f->e;
    struct q_colkeys_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_colkeys_open(f->conn, &q, e->exp, err);

    vec_clear(&e->stored);
    while (!st && (st = q_colkeys_next(q, &row, err)) == OK) {
        struct stored_key *k = vec_add(&e->stored);

        if (!k) {
            st = err_nomem(err);
            break;
        }
        *k = (struct stored_key){ .key = { (enum column_kind)row.kind, (uint32_t)row.id },
                                  .ver = row.ver,
                                  .gen = row.gen,
                                  .has_fill = !row.fill_null,
                                  .fill = row.fill_null ? 0 : row.fill };
    }
    sql_close(q);
    if (st == ST_END) {
        const struct stored_key *slots = stored_find(e, uid_key);

        e->stale = false;
        if (!slots_are(f, slots ? slots->gen : 0)) e->loaded = false;
        st = OK;
    }
    return st;
}

/* *same: the key and the slots are stored as they were when this process learnt of them. */
static enum status is_unchanged(struct folder *f, const struct stored_key *of, bool *same,
                                struct err *err)
{
    struct expcols *e = f->e;
    struct q_colkey_get_row key = { .gen = 0 }, slots = { .gen = 0 };
    struct err none = ERR_INIT;
    enum status st = q_colkey_get(f->conn, NULL, e->exp, of->key.kind, of->key.id, &key, &none);

    if (!st) st = q_colkey_get(f->conn, NULL, e->exp, uid_key.kind, uid_key.id, &slots, &none);
    *same = !st && key.gen == of->gen && slots_are(f, slots.gen);
    if (st && st != ST_NOT_FOUND) {
        *err = none;
        return st;
    }
    return OK;
}

static void forget_cells(struct expcols *e, struct key_cols *k)
{
    for (uint32_t s = 0; s < e->segments_n; s++) {
        column_unref(k->cells[s].column);
        k->cells[s] = (struct cell){ .known = false };
    }
}

static enum status decode(struct folder *f, const struct q_colseg_of_key_row *row,
                          struct column_key key, struct column **out)
{
    struct column_place at = { f->e->exp, row->seg, key };
    struct err err = ERR_INIT;
    enum status st = OK;

    *out = NULL;
    if (row->present > 0) {
        st = column_decode(out, row->body, &at, &err);
        if (!st &&
            (column_type(*out) != column_key_type(key) || column_zone(*out)->rows != row->rows ||
             column_zone(*out)->present_n != row->present)) {
            column_unref(*out);
            *out = NULL;
            st = err_set(&err, ST_CORRUPT, "a stored column is not what its row says");
        }
    }
    if (st == ST_CORRUPT) {
        LOG_WARN("store", "column %d.%u of experiment %lld, segment %lld: %s; it is built again",
                 (int)key.kind, key.id, (long long)f->e->exp, (long long)row->seg, err.message);
    }
    return st;
}

/* Calls fn for the stored cells of a key, in order. A cell that is damaged ends it (all: the index needs every one) or is left
 * out. */
static enum status each_cell(struct folder *f, struct column_key key,
                             enum status (*fn)(struct folder *f, uint32_t segment, uint32_t rows,
                                               struct column *column, void *ctx, struct err *err),
                             void *ctx, struct err *err)
{
    struct q_colseg_of_key_row row = { .seg = -1 };
    struct column *column;
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_colseg_of_key_open(f->conn, &q, f->e->exp, key.kind, key.id, row.seg, PAGE, err);
        while (!st && (st = q_colseg_of_key_next(q, &row, err)) == OK) {
            rows++;
            if (row.rows <= 0 || row.rows > COLUMN_ROWS || row.seg < 0 || row.seg >= SEGMENTS_MAX ||
                row.present < 0 || row.present > row.rows) {
                continue;
            }
            st = decode(f, &row, key, &column);
            if (st == ST_NOMEM) {
                st = err_nomem(err);
            } else if (st) {
                st = OK;
            } else {
                st = fn(f, (uint32_t)row.seg, (uint32_t)row.rows, column, ctx, err);
            }
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

static enum status take_cell(struct folder *f, uint32_t segment, uint32_t rows,
                             struct column *column, void *ctx, struct err *err)
{
    struct key_cols *k = (struct key_cols *)ctx;
    struct expcols *e = f->e;

    (void)err;
    if (segment < e->segments_n && e->segments[segment].rows == rows && !k->cells[segment].known) {
        bool changed = e->changed;

        cell_set(e, &k->cells[segment], column, rows);
        k->cells[segment].saved = true;
        e->changed = changed;
    } else {
        column_unref(column);
    }
    return OK;
}

/* Every run has the same value. */
enum status fill_key(struct folder *f, struct key_cols *k, int64_t value, struct err *err)
{
    struct column_builder *b = column_builder_new();
    enum status st = b ? OK : err_nomem(err);

    for (uint32_t s = 0; s < f->e->segments_n && !st; s++) {
        uint32_t rows = f->e->segments[s].rows;
        struct column *column;

        st = column_builder_reset(b, COLUMN_INTEGER, NULL, rows, err);
        for (uint32_t i = 0; i < rows && !st; i++) {
            column_builder_integer(b, i, value);
        }
        if (!st) st = column_builder_finish(b, &column, err);
        if (!st) cell_set(f->e, &k->cells[s], column, rows);
    }
    column_builder_free(b);
    return st;
}

enum status load_key(struct folder *f, struct key_cols *k, struct err *err)
{
    struct expcols *e = f->e;
    const struct stored_key *stored = stored_find(e, k->key);
    struct stored_key was;
    bool same = false;
    int64_t ver;
    enum status st;

    if (!stored || stored->ver < 0) {
        return OK;
    }
    ver = stored->ver;
    was = *stored;
    st = stored->has_fill ? fill_key(f, k, stored->fill, err)
                          : each_cell(f, k->key, take_cell, k, err);
    atomic_fetch_add_explicit(&f->rc->loads, 1, memory_order_relaxed);
    /* Another server may have stored other slots before these cells were read, or stores them now. */
    if (!st) st = is_unchanged(f, &was, &same, err);
    if (!st && !same) {
        forget_cells(e, k);
        e->stale = true;
        return OK; /* it is built from the runs */
    }
    if (!st) st = heads_are_newer(f, err);
    return st ? st : rows_are_newer(f, ver, err);
}

/* ---- the index ------------------------------------------------------------------------------------------------------------------------- */

struct index {
    struct key_cols *uid;
    bool bad;
};

static enum status take_uids(struct folder *f, uint32_t segment, uint32_t rows,
                             struct column *column, void *ctx, struct err *err)
{
    struct index *x = (struct index *)ctx;
    struct expcols *e = f->e;
    int64_t before =
        e->segments_n ? e->segments[e->segments_n - 1].uids[e->segments[e->segments_n - 1].rows - 1]
                      : INT64_MIN;
    struct segment *s;
    enum status st;

    if (segment != e->segments_n || (segment > 0 && e->segments[segment - 1].rows != COLUMN_ROWS)) {
        x->bad = true;
        column_unref(column);
        return OK;
    }
    st = segment_add(e, err);
    if (!st) {
        s = &e->segments[segment];
        mem_free(s->uids);
        s->cap = rows;
        s->uids = (int64_t *)mem_alloc(rows * sizeof(*s->uids));
        if (!s->uids) {
            s->cap = 0;
            e->segments_n--;
            st = err_nomem(err);
        }
    }
    if (st) {
        column_unref(column);
        return st;
    }
    for (uint32_t i = 0; i < rows; i++) {
        int64_t uid;

        if (!column_integer(column, i, &uid)) {
            /* A run that has gone: its number was not below, and no two slots of the experiment have the
             * same. A run of another experiment may have this one. */
            uid = before + 1;
        } else if (uid <= before) {
            x->bad = true;
        }
        s->uids[i] = before = uid;
    }
    s->rows = rows;
    cell_set(e, &x->uid->cells[segment], column, rows);
    x->uid->cells[segment].saved = true;
    return OK;
}

static void forget_segments(struct expcols *e)
{
    for (size_t i = 0; i < e->keys.n; i++) {
        forget_cells(e, e->keys.p[i]);
    }
    e->segments_n = 0;
}

enum status load_index(struct folder *f, struct err *err)
{
    struct expcols *e = f->e;
    const struct stored_key *stored;
    struct index x = { .uid = key_find(e, uid_key) };
    int64_t ver = -1;
    enum status st = load_stored(f, err);

    if (!st && !x.uid) st = key_add(e, uid_key, &x.uid, err);
    if (st) return st;
    forget_segments(e);
    stored = stored_find(e, uid_key);
    e->slots_gen = stored ? stored->gen : 0;
    e->loads++;
    if (stored && stored->ver >= 0) {
        ver = stored->ver;
        st = each_cell(f, uid_key, take_uids, &x, err);
        if (!st && (x.bad || e->segments_n == 0)) {
            forget_segments(e);
            ver = -1;
        }
    }
    e->changed = false;
    e->new_slots = ver < 0 && e->stored.n > 0;
    if (ver < 0) {
        for (size_t i = 0; i < e->stored.n; i++) { /* not without knowing whose values they are */
            e->stored.p[i].ver = -1;
        }
    }
    if (!st) st = heads_are_newer(f, err);
    if (!st) st = rows_are_newer(f, ver, err);
    if (!st) st = gone_are_newer(f, err);
    e->loaded = st == OK;
    return st;
}
