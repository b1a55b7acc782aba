/* store/runcols/check.c - columns in memory against the runs, while searches and writes go on. A run may change between the look at
 * its column and the look at its head, so what differs is looked at again: between two moments when everything committed is
 * applied, and only a run whose number of changes is the same at both counts. */
#include "base/mem.h"
#include "store/heads.h"
#include "store/runcols/runcols_int.h"

enum { KEYS_AT_ONCE = 16, SUSPECTS_MAX = 256, TRIES = 16, ARENA_MAX = 256 << 20 };

struct suspect {
    int64_t uid;
    uint32_t segment, slot;
    struct column_key key;
    uint64_t change;
    bool differs;
};
struct checker {
    struct folder f;
    struct arena *texts, *scratch;
    struct run_pick *picks;
    struct suspect suspects[SUSPECTS_MAX];
    size_t n;
    size_t hits;
};

static void suspect(struct checker *c, uint32_t segment, uint32_t slot, struct column_key key)
{
    c->hits++;
    if (c->n == SUSPECTS_MAX) return;
    c->suspects[c->n++] =
        (struct suspect){ c->f.e->segments[segment].uids[slot], segment, slot, key, 0, false };
}

static bool is_newer(const struct expcols *e, int64_t uid)
{
    size_t lo = 0, hi = e->newer.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (e->newer.p[mid] < uid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < e->newer.n && e->newer.p[lo] == uid;
}

/* Some keys of some rows of a segment; under the lock. */
static enum status compare(struct checker *c, uint32_t segment, uint32_t from, uint32_t n,
                           struct key_cols *const *keys, size_t keys_n, struct err *err)
{
    static const struct run_pick none = { .has = false };
    struct expcols *e = c->f.e;
    struct column_key wanted[KEYS_AT_ONCE];
    bool exists[RUN_PICK_ROWS];
    int64_t experiments[RUN_PICK_ROWS];
    const int64_t *uids = e->segments[segment].uids + from;
    enum status st;

    for (size_t k = 0; k < keys_n; k++) {
        wanted[k] = keys[k]->key;
    }
    arena_reset(c->texts);
    st = run_picks(c->f.rc->heads, c->f.conn, uids, n, wanted, keys_n, c->texts, c->scratch,
                   c->picks, exists, experiments, err);
    for (uint32_t i = 0; i < n && !st; i++) {
        /* the slot of a run that has gone may have the number of a run of another experiment */
        bool is_here = exists[i] && experiments[i] == e->exp;

        if (is_newer(e, uids[i])) continue;
        for (size_t k = 0; k < keys_n; k++) {
            const struct cell *cell = &keys[k]->cells[segment];
            const struct run_pick *p = is_here ? &c->picks[i * keys_n + k] : &none;

            /* of a run that has gone only its number must be gone: nobody looks at the rest */
            if (!is_here && !(wanted[k].kind == COLUMN_ATTR && wanted[k].id == COLUMN_UID)) {
                continue;
            }
            if (from + i < cell->zone.rows && !run_pick_same(cell->column, from + i, p)) {
                suspect(c, segment, from + i, wanted[k]);
            }
        }
    }
    return st;
}

static enum status scan_segment(struct checker *c, uint32_t segment, struct err *err)
{
    struct expcols *e = c->f.e;
    struct key_cols *keys[KEYS_AT_ONCE];
    uint32_t rows = e->segments[segment].rows;
    size_t at = 0, n;
    enum status st = OK;

    while (at < e->keys.n && !st) {
        for (n = 0; at < e->keys.n && n < KEYS_AT_ONCE; at++) {
            if (e->keys.p[at]->cells[segment].known) keys[n++] = e->keys.p[at];
        }
        for (uint32_t from = 0; from < rows && n > 0 && !st; from += RUN_PICK_ROWS) {
            st = compare(c, segment, from, MIN_OF(rows - from, (uint32_t)RUN_PICK_ROWS), keys, n,
                         err);
        }
    }
    return st;
}

/* *more: there may be segments behind this one. */
static enum status check_segment(struct checker *c, uint32_t segment, bool *more, struct err *err)
{
    struct expcols *e = c->f.e;
    enum status st = OK;

    *more = false;
    lock_take(&e->fold);
    if (e->loaded) {
        st = bring_up(&c->f, NULL, 0, false, err);
        *more = !st && segment < e->segments_n;
        if (*more) st = scan_segment(c, segment, err);
        account(c->f.rc, e);
    }
    lock_give(&e->fold);
    return st;
}

/* What still differs. */
static enum status look_again(struct checker *c, struct err *err)
{
    struct expcols *e = c->f.e;
    enum status st;

    lock_take(&e->fold);
    st = e->loaded ? bring_up(&c->f, NULL, 0, false, err) : OK;
    for (size_t i = 0; i < c->n && !st; i++) {
        struct suspect s = c->suspects[i];
        struct key_cols *k = e->loaded ? key_find(e, s.key) : NULL;
        size_t n = c->n, hits = c->hits;

        c->suspects[i].differs = false;
        if (!k || s.segment >= e->segments_n || s.slot >= e->segments[s.segment].rows ||
            !k->cells[s.segment].known) {
            continue;
        }
        st = compare(c, s.segment, s.slot, 1, &k, 1, err);
        c->suspects[i].differs = c->hits > hits;
        c->n = n;
    }
    account(c->f.rc, e);
    lock_give(&e->fold);
    return st;
}

static enum status settle_suspects(struct checker *c,
                                   enum status (*settle)(void *ctx, struct err *err),
                                   runcols_report report, void *ctx, struct err *err)
{
    enum status st = OK;

    for (int tries = 0; tries < TRIES && c->n > 0 && !st; tries++) {
        size_t left = 0;

        for (size_t i = 0; i < c->n; i++) {
            c->suspects[i].change = heads_change(c->f.rc->heads, c->suspects[i].uid);
        }
        st = settle(ctx, err);
        if (!st) st = look_again(c, err);
        if (!st) st = settle(ctx, err);
        for (size_t i = 0; i < c->n && !st; i++) {
            struct suspect *s = &c->suspects[i];

            if (!s->differs) continue;
            if (heads_change(c->f.rc->heads, s->uid) == s->change) {
                report(ctx, &(struct runcols_fault){ c->f.e->exp, s->uid, s->key });
            } else {
                c->suspects[left++] = *s; /* it was written meanwhile */
            }
        }
        c->n = left;
    }
    c->n = 0;
    return st;
}

static enum status check_experiment(struct checker *c, struct runcols *rc, int64_t exp,
                                    struct sql_conn *conn,
                                    enum status (*settle)(void *ctx, struct err *err),
                                    runcols_report report, void *ctx, struct err *err)
{
    struct expcols *e = expcols_enter(rc, exp);
    bool more = true;
    enum status st = e ? folder_open(&c->f, rc, e, conn, err) : err_nomem(err);

    for (uint32_t segment = 0; !st && more && c->n < SUSPECTS_MAX; segment++) {
        st = check_segment(c, segment, &more, err);
    }
    if (!st) st = settle_suspects(c, settle, report, ctx, err);
    if (e) {
        folder_close(&c->f);
        expcols_leave(rc, e);
    }
    return st;
}

static enum status experiments_in_memory(struct runcols *rc, int64_t **out, size_t *n,
                                         struct err *err)
{
    size_t room;

    *n = 0;
    lock_take(&rc->lock);
    room = rc->by_exp.n;
    lock_give(&rc->lock);
    *out = (int64_t *)mem_alloc((room + 1) * sizeof(**out));
    if (!*out) {
        return err_nomem(err);
    }
    lock_take(&rc->lock);
    for (const struct expcols *e = rc->first; e && *n < room; e = e->next) {
        (*out)[(*n)++] = e->exp;
    }
    lock_give(&rc->lock);
    return OK;
}

enum status runcols_check(struct runcols *rc, struct sql_conn *conn,
                          enum status (*settle)(void *ctx, struct err *err), runcols_report report,
                          void *ctx, struct err *err)
{
    struct checker *c = (struct checker *)mem_zalloc(1, sizeof(*c));
    int64_t *exps = NULL;
    size_t n = 0;
    enum status st = c ? experiments_in_memory(rc, &exps, &n, err) : err_nomem(err);

    if (!c) return st;
    c->texts = arena_new(ARENA_MAX);
    c->scratch = arena_new(ARENA_MAX);
    c->picks =
        (struct run_pick *)mem_alloc((size_t)RUN_PICK_ROWS * KEYS_AT_ONCE * sizeof(*c->picks));
    if (!st && !(c->texts && c->scratch && c->picks)) st = err_nomem(err);
    for (size_t i = 0; i < n && !st; i++) {
        st = check_experiment(c, rc, exps[i], conn, settle, report, ctx, err);
    }
    arena_free(c->texts);
    arena_free(c->scratch);
    mem_free(c->picks);
    mem_free(exps);
    mem_free(c);
    return st;
}
