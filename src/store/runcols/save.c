/* store/runcols/save.c - storing columns, piece by piece: a piece is cells of one key. colkey.gen is raised by every write of a key, so
 * that what another server, or a change of all runs at once, stored meanwhile is never mixed with what this process knows. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/runcols/runcols_int.h"
#include "store/series/body.h"
#include "store/sql/sql.h"

#include <stdio.h>

enum { PIECE_CELLS_MAX = 4096 };

/* ---- taking pieces ----------------------------------------------------------------------------------------------------------------------- */

bool runcols_unsaved(struct runcols *rc)
{
    bool has = false;

    lock_take(&rc->lock);
    for (const struct expcols *e = rc->first; e && !has; e = e->next) {
        has = e->unsaved;
    }
    lock_give(&rc->lock);
    return has;
}

/* The longest unused that has something to store, entered. */
static struct expcols *next_unsaved(struct runcols *rc)
{
    struct expcols *e;

    lock_take(&rc->lock);
    for (e = rc->first; e && (!e->unsaved || (e->piece && !e->piece->back)); e = e->next) {
    }
    if (e) e->users++;
    lock_give(&rc->lock);
    return e;
}

/* Takes note of how the last piece ended. */
static void settle(struct runcols *rc, struct expcols *e)
{
    struct piece *p = e->piece;
    struct key_cols *k = p ? key_find(e, p->key) : NULL;
    struct stored_key *s = p ? stored_find(e, p->key) : NULL;
    enum status st = OK;

    if (!p) {
        return;
    }
    lock_take(&rc->lock);
    st = p->st;
    lock_give(&rc->lock);
    for (size_t i = 0; i < p->n && k && !st; i++) {
        struct cell *c =
            p->cells[i].segment < e->segments_n ? &k->cells[p->cells[i].segment] : NULL;

        if (c && c->known && c->column == p->cells[i].column && c->zone.rows == p->cells[i].rows) {
            c->saved = true;
        }
    }
    if (st == OK && is_slots(p->key)) {
        if (p->loads == e->loads) {
            e->slots_gen = p->gen + 1;
        } else { /* these slots were dropped meanwhile */
            e->stale = true;
        }
    }
    if (st == OK && p->slots) {
        e->new_slots = false;
        e->stale = true; /* the other keys are not stored any more */
    }
    if (st == OK && s) {
        s->gen = p->gen + 1;
        if (p->last || p->ver < 0) {
            s->ver = p->ver;
            s->has_fill = false;
        }
    }
    for (uint32_t i = 0; st == ST_CONFLICT && k && i < e->segments_n; i++) {
        k->cells[i].saved = false;
    }
    e->stale = e->stale || st == ST_CONFLICT || (st == OK && !s);
    e->changed = true; /* there may be more; save_cells() knows */
    piece_free(p);
    e->piece = NULL;
}

static size_t unsaved_of(const struct expcols *e, const struct key_cols *k)
{
    size_t n = 0;

    for (uint32_t s = 0; s < e->segments_n; s++) {
        n += k->cells[s].known && !k->cells[s].saved;
    }
    return n;
}

/* Whether what is stored of the numbers of the runs has all slots. Slots that only other keys are stored with may be those of other
 * runs after the next start: when one of these has been deleted for good by then. */
static bool slots_are_stored(const struct expcols *e)
{
    const struct key_cols *k = key_find(e, (struct column_key){ COLUMN_ATTR, COLUMN_UID });

    return k && unsaved_of(e, k) == 0 && !e->new_slots;
}

static enum status encode_cell(struct expcols *e, const struct key_cols *k, uint32_t segment,
                               struct zip *z, struct buf *b, struct runcols_save *out,
                               struct arena *a, struct err *err)
{
    const struct cell *c = &k->cells[segment];
    struct runcols_cell *to = &out->cells[out->cells_n];
    struct piece_cell *note = &e->piece->cells[e->piece->n];
    struct column_place at = { e->exp, segment, k->key };
    enum status st = OK;

    buf_clear(b);
    if (c->column) st = column_encode(z, c->column, &at, b, err);
    if (!st) st = buf_status(b, "column", err);
    if (st) return st;
    *to = (struct runcols_cell){ .segment = segment, .zone = c->zone };
    if (b->n > 0) to->body = arena_str(a, buf_str(b));
    if (b->n > 0 && !to->body.p) {
        return err_nomem(err);
    }
    *note = (struct piece_cell){ segment, c->zone.rows, column_ref(c->column) };
    out->cells_n++;
    e->piece->n++;
    return OK;
}

static enum status save_cells(struct expcols *e, const struct key_cols *k, size_t max_bytes,
                              struct arena *a, struct runcols_save *out, struct err *err)
{
    size_t left = unsaved_of(e, k), n = MIN_OF(left, (size_t)PIECE_CELLS_MAX), bytes = 0;
    const struct stored_key *s = stored_find(e, k->key);
    bool is_uid = is_slots(k->key);
    struct buf b = BUF_INIT(COLUMN_BODY_MAX);
    struct zip z = { 0 };
    enum status st = OK;

    out->cells = ARENA_ARRAY(a, struct runcols_cell, n + 1);
    e->piece = (struct piece *)mem_zalloc(1, sizeof(*e->piece) + n * sizeof(e->piece->cells[0]));
    if (!out->cells || !e->piece) return err_nomem(err);
    for (; e->round_cell < e->segments_n && out->cells_n < n && bytes < max_bytes && !st;
         e->round_cell++) {
        if (k->cells[e->round_cell].saved) continue;
        st = encode_cell(e, k, e->round_cell, &z, &b, out, a, err);
        bytes += b.n + sizeof(struct runcols_cell);
    }
    zip_release(&z);
    buf_release(&b);
    if (st) return st;
    out->key = k->key;
    out->ver = is_uid || slots_are_stored(e) ? e->complete : -1;
    out->gen = s ? s->gen : 0;
    out->last = out->cells_n == left;
    out->slots = e->new_slots && is_uid;
    out->slots_gen = e->slots_gen;
    e->behind = e->behind || out->ver < 0;
    if (e->round_cell >= e->segments_n || out->last) {
        e->round_on = true;
        e->round_key = k->key;
        e->round_cell = 0;
    }
    e->piece->key = out->key;
    e->piece->ver = out->ver;
    e->piece->gen = out->gen;
    e->piece->last = out->last;
    e->piece->slots = out->slots;
    e->piece->loads = e->loads;
    return OK;
}

/* Keys in the order in which a round of storing comes by them. */
static bool key_is_after(struct column_key a, struct column_key b)
{
    return a.kind != b.kind ? a.kind > b.kind : a.id > b.id;
}

/* The next key of the round: with cells that are not stored, or whose stored cells are said to be older than they are. A key of
 * which not all is known cannot be said to be complete. One round comes by each key once, however fast it changes. */
static const struct key_cols *next_key(struct expcols *e)
{
    const struct key_cols *found = NULL;

    for (size_t i = 0; i < e->keys.n; i++) {
        const struct key_cols *k = e->keys.p[i];
        const struct stored_key *s = stored_find(e, k->key);
        bool known = true;

        if (key_is_lazy(k->key) || (e->round_on && !key_is_after(k->key, e->round_key)) ||
            (found && key_is_after(k->key, found->key))) {
            continue;
        }
        for (uint32_t seg = 0; seg < e->segments_n && known; seg++) {
            known = k->cells[seg].known;
        }
        if (known && (unsaved_of(e, k) > 0 || !s || s->ver < e->complete || s->has_fill)) found = k;
    }
    return found;
}

static enum status take_piece(struct folder *f, size_t max_bytes, struct arena *a,
                              struct runcols_save *out, struct err *err)
{
    struct expcols *e = f->e;
    const struct key_cols *k;
    enum status st;

    settle(f->rc, e);
    st = bring_up(f, NULL, 0, true, err);
    if (st) return st;
    k = e->newer.n == 0 && e->segments_n > 0 ? next_key(e) : NULL;
    if (!k) {
        e->changed = e->again = e->behind && !e->again;
        e->behind = e->round_on = false;
        e->round_cell = 0;
        return OK;
    }
    out->e = e;
    out->exp = e->exp;
    st = save_cells(e, k, max_bytes, a, out, err);
    if (st) {
        piece_free(e->piece);
        e->piece = NULL;
        *out = (struct runcols_save){ .exp = e->exp };
    }
    return st;
}

enum status runcols_save_next(struct runcols *rc, struct sql_conn *conn, struct arena *a,
                              size_t max_bytes, struct runcols_save *out, struct err *err)
{
    struct expcols *e;
    enum status st = OK;

    *out = (struct runcols_save){ .exp = 0 };
    while (!st && !out->e && (e = next_unsaved(rc)) != NULL) {
        struct folder f;

        st = folder_open(&f, rc, e, conn, err);
        lock_take(&e->fold);
        if (!st) st = take_piece(&f, max_bytes, a, out, err);
        account(rc, e);
        lock_give(&e->fold);
        folder_close(&f);
        if (!out->e) expcols_leave(rc, e);
    }
    return st;
}

void runcols_saved(struct runcols *rc, const struct runcols_save *s, enum status st)
{
    lock_take(&rc->lock);
    s->e->piece->st = st;
    s->e->piece->back = true;
    s->e->users--;
    lock_give(&rc->lock);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------------------- */

/* A column that counts is one of the slots that are stored. */
static enum status check_slots(struct sql_conn *w, const struct runcols_save *s, struct err *err)
{
    struct q_colkey_get_row row = { .gen = 0 };
    struct err none = ERR_INIT;
    enum status st;

    if (s->ver < 0 || is_slots(s->key)) {
        return OK;
    }
    st = q_colkey_get(w, NULL, s->exp, COLUMN_ATTR, COLUMN_UID, &row, &none);
    if (st && st != ST_NOT_FOUND) {
        *err = none;
        return st;
    }
    return row.gen == s->slots_gen
               ? OK
               : err_set(err, ST_CONFLICT, "the runs' slots were stored by somebody else");
}

static enum status claim(struct sql_conn *w, const struct runcols_save *s, struct err *err)
{
    int64_t rows = 0;
    enum status st = check_slots(w, s, err);

    if (st) {
        return st;
    }
    if (s->gen == 0) {
        st = q_colkey_insert(w, s->exp, s->key.kind, s->key.id, s->last ? s->ver : -1, 1, &rows,
                             err);
    } else if (s->last || s->ver < 0) {
        st = q_colkey_complete(w, s->exp, s->key.kind, s->key.id, s->gen, s->ver, &rows, err);
    } else {
        st = q_colkey_step(w, s->exp, s->key.kind, s->key.id, s->gen, &rows, err);
    }
    if (!st && rows != 1) {
        st = err_set(err, ST_CONFLICT, "the column was stored by somebody else");
    }
    return st;
}

enum status runcols_save_write(struct sql_conn *writer, const struct runcols_save *s,
                               struct err *err)
{
    struct q_colkey_exp_gone_row gone;
    char exp[24];
    int n = snprintf(exp, sizeof(exp), "%lld", (long long)s->exp);
    enum status st = q_colkey_exp_gone(writer, NULL, str_of(exp, (size_t)n), &gone, err);

    if (st != ST_NOT_FOUND) return st; /* gone for good: nobody asks for its columns any more */
    st = claim(writer, s, err);
    if (!st && s->slots) st = q_colkey_forget(writer, s->exp, err);
    FAILPOINT("runcols.save.claimed");
    for (size_t i = 0; i < s->cells_n && !st; i++) {
        const struct runcols_cell *c = &s->cells[i];

        st = q_colseg_put(writer, s->exp, s->key.kind, s->key.id, c->segment, c->zone.rows,
                          c->zone.present_n, c->zone.nan_n, c->zone.min, c->zone.max,
                          c->body.p ? c->body : S(""), err);
        FAILPOINT("runcols.save.cell");
    }
    return st;
}

enum status runcols_lifecycle_write(struct sql_conn *writer, int64_t exp, int lifecycle,
                                    int64_t drain, struct err *err)
{
    return q_colkey_fill(writer, exp, COLUMN_ATTR, COLUMN_LIFECYCLE, drain, lifecycle, err);
}
