/* core/check_memory.c - see check_memory.h. Between two moments at which everything committed is applied, a run whose number of
 * changes is the same at both did not change: only such a run is spoken of. */
#include "core/check_memory.h"

#include "base/mem.h"
#include "core/check_int.h"
#include "store/heads.h"
#include "store/runcols/runcols.h"
#include "store/seq.h"
#include "store/series/parts.h"
#include "store/sql/sql.h"

#include <math.h>

enum { PAGE = 32, TRIES = 8, POINTS = 4096, SCRATCH_MAX = 512 << 20 };

struct cell {
    uint32_t key;
    struct metric_cell m;
};
struct memory {
    struct check c; /* names and findings */
    struct view *v;
    struct heads *heads;
    struct arena *parts, *chunks;
};

/* ---- settling ------------------------------------------------------------------------------------------------------------------- */

static enum status settle_validate(struct write_op *op, struct group *g, struct err *err)
{
    (void)op;
    (void)g;
    (void)err;
    return OK;
}

static const struct write_kind settle_kind = { .name = "check.settle",
                                               .validate = settle_validate };

/* Everything that was committed before is applied: this operation's group comes after it. */
static enum status settle(void *ctx, struct err *err)
{
    struct memory *m = (struct memory *)ctx;
    struct write_op op;

    write_op_init(&op, &settle_kind, m->c.scratch);
    return seq_run(m->v->core->seq, &op, err);
}

/* ---- runs ----------------------------------------------------------------------------------------------------------------------- */

/* The metrics of a run as memory has them now; *n 0 when it is not in memory. */
static enum status copy_cells(struct memory *m, int64_t uid, struct cell **out, size_t *n,
                              struct err *err)
{
    struct arena *a = m->parts;
    size_t room = 0;

    *n = 0;
    *out = NULL;
    for (;;) {
        const struct head *h;
        const struct head_metric *p;

        heads_lock_read(m->heads);
        h = heads_visible_uid(m->heads, uid);
        *n = h ? h->metrics.n : 0;
        p = h ? (const struct head_metric *)h->metrics.p : NULL;
        for (size_t i = 0; i < *n && *n <= room; i++) {
            (*out)[i] = (struct cell){ p[i].key->id, p[i].m };
        }
        heads_unlock(m->heads);
        if (*n <= room) return OK;
        room = *n + 16;
        *out = ARENA_ARRAY(a, struct cell, room);
        if (!*out) return err_nomem(err);
    }
}

static enum status fold_points(struct memory *m, struct parts *p, const struct parts_key *k,
                               struct metric_cell *out, struct err *err)
{
    struct point *points = (struct point *)arena_alloc(m->chunks, POINTS * sizeof(*points));
    struct parts_cursor cursor;
    size_t n = 0;
    enum status st = points ? OK : err_nomem(err);

    *out = (struct metric_cell){ .n = 0 };
    if (st) return st;
    parts_cursor_open(&cursor, p, k, NULL);
    do {
        st = parts_cursor_next(&cursor, points, POINTS, &n, err);
        for (size_t i = 0; i < n && !st; i++) {
            metric_cell_add(out, &points[i]);
        }
    } while (!st && n > 0);
    parts_cursor_close(&cursor);
    return st;
}

static bool same_value(double a, double b)
{
    return num_double_bits(a) == num_double_bits(b) || (isnan(a) && isnan(b));
}

/* mine counts points that were logged twice; all has each once. */
static bool agree(const struct metric_cell *mine, const struct metric_cell *all)
{
    return point_latest_cmp(&mine->last, &all->last) == 0 && mine->n >= all->n &&
           same_value(mine->min, all->min) && same_value(mine->max, all->max) &&
           mine->min_step == all->min_step && mine->max_step == all->max_step;
}

/* *key: the first that differs; 0 = none. */
static enum status compare_run(struct memory *m, int64_t uid, uint32_t *key, struct err *err)
{
    struct parts_want want = { .from_ms = INT64_MIN, .to_ms = INT64_MAX };
    struct parts p = { .keys_n = 0 };
    struct cell *cells;
    uint32_t *keys;
    size_t n;
    enum status st;

    *key = 0;
    arena_reset(m->parts);
    st = copy_cells(m, uid, &cells, &n, err);
    if (st || n == 0) return st;
    keys = ARENA_ARRAY(m->parts, uint32_t, n);
    if (!keys) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = cells[i].key;
    }
    want.keys = keys;
    want.keys_n = n;
    st = parts_open(&p, m->v->core->series, m->c.conn, m->parts, uid, &want, err);
    for (size_t i = 0; i < n && !st && *key == 0; i++) {
        struct metric_cell all;

        arena_reset(m->chunks);
        st = fold_points(m, &p, &p.keys[i], &all, err);
        if (!st && !agree(&cells[i].m, &all)) *key = cells[i].key;
    }
    parts_close(&p);
    if (st == ST_CORRUPT) { /* reported with the pack or chunk */
        *err = (struct err)ERR_INIT;
        st = OK;
    }
    return st;
}

static enum status check_page(struct memory *m, int64_t *uids, size_t n, struct err *err)
{
    uint64_t changes[PAGE];
    uint32_t keys[PAGE];
    enum status st = OK;

    for (int tries = 0; tries < TRIES && n > 0 && !st; tries++) {
        size_t left = 0;

        for (size_t i = 0; i < n; i++) {
            changes[i] = heads_change(m->heads, uids[i]);
        }
        st = settle(m, err);
        for (size_t i = 0; i < n && !st; i++) {
            st = compare_run(m, uids[i], &keys[i], err);
        }
        if (!st) st = settle(m, err);
        for (size_t i = 0; i < n && !st; i++) {
            struct str run, key;

            if (keys[i] == 0) continue;
            if (heads_change(m->heads, uids[i]) != changes[i]) {
                uids[left++] = uids[i];
                continue;
            }
            arena_reset(m->c.scratch);
            run = check_owner_name(&m->c, uids[i]);
            key = check_key_name(&m->c, (struct column_key){ COLUMN_METRIC, keys[i] });
            check_finding(&m->c, CHECK_MEMORY,
                          arena_printf(m->c.scratch,
                                       "%.*s: %.*s in memory is not that of its points",
                                       STR_ARG(run), STR_ARG(key)));
        }
        n = left;
    }
    return st;
}

static enum status check_runs(struct memory *m, struct err *err)
{
    int64_t *uids = NULL;
    size_t room = 0, n;
    enum status st = OK;

    for (;;) {
        heads_lock_read(m->heads);
        n = heads_uids_of(m->heads, HEADS_OF_ALL, uids, room);
        heads_unlock(m->heads);
        if (n <= room) break;
        mem_free(uids);
        room = n + n / 8 + 16;
        uids = (int64_t *)mem_alloc(room * sizeof(*uids));
        if (!uids) {
            return err_nomem(err);
        }
    }
    for (size_t at = 0; at < n && !st; at += PAGE) {
        st = check_page(m, uids + at, MIN_OF(n - at, (size_t)PAGE), err);
    }
    mem_free(uids);
    return st;
}

/* ---- all ------------------------------------------------------------------------------------------------------------------------ */

static void column_fault(void *ctx, const struct runcols_fault *f)
{
    struct memory *m = (struct memory *)ctx;
    struct str run, key;

    arena_reset(m->c.scratch);
    run = check_owner_name(&m->c, f->uid);
    key = check_key_name(&m->c, f->key);
    check_finding(&m->c, CHECK_MEMORY,
                  arena_printf(m->c.scratch,
                               "%.*s: the search column of %.*s in memory is not what the run has",
                               STR_ARG(run), STR_ARG(key)));
}

enum status core_check_memory(struct view *v, check_report report, void *ctx, size_t *found,
                              struct err *err)
{
    struct memory m = {
        .c = { .conn = v->conn, .report = report, .ctx = ctx, .scratch = arena_new(SCRATCH_MAX) },
        .v = v,
        .heads = v->core->heads,
        .parts = arena_new(SCRATCH_MAX),
        .chunks = arena_new(SCRATCH_MAX)
    };
    enum status st = m.c.scratch && m.parts && m.chunks ? OK : err_nomem(err);

    if (!st) st = check_runs(&m, err);
    if (!st) st = runcols_check(v->core->columns, v->conn, settle, column_fault, &m, err);
    *found += m.c.found;
    arena_free(m.c.scratch);
    arena_free(m.parts);
    arena_free(m.chunks);
    return st;
}
