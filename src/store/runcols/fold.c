/* store/runcols/fold.c - new columns from older ones and what changed. The runs are read in chunks, a few keys at a time, so that
 * memory does not grow with either. */
#include "base/mem.h"
#include "store/runcols/runcols_int.h"

enum { KEYS_AT_ONCE = 16, TEXTS_MAX = 1 << 30, SCRATCH_MAX = 512 << 20 };

enum status folder_open(struct folder *f, struct runcols *rc, struct expcols *e,
                        struct sql_conn *conn, struct err *err)
{
    *f = (struct folder){ .rc = rc, .e = e, .conn = conn };
    f->texts = arena_new(TEXTS_MAX);
    f->scratch = arena_new(SCRATCH_MAX);
    return f->texts && f->scratch ? OK : err_nomem(err);
}

void folder_close(struct folder *f)
{
    for (size_t i = 0; f->builders && i < KEYS_AT_ONCE; i++) {
        column_builder_free(f->builders[i]);
    }
    mem_free(f->builders);
    mem_free(f->picks);
    arena_free(f->texts);
    arena_free(f->scratch);
}

static enum status tools_get(struct folder *f, size_t keys_n, struct err *err)
{
    if (!f->builders) {
        f->builders = (struct column_builder **)mem_zalloc(KEYS_AT_ONCE, sizeof(*f->builders));
        f->picks =
            (struct run_pick *)mem_zalloc((size_t)RUN_PICK_ROWS * KEYS_AT_ONCE, sizeof(*f->picks));
        if (!f->builders || !f->picks) return err_nomem(err);
    }
    for (size_t i = 0; i < keys_n; i++) {
        if (!f->builders[i]) f->builders[i] = column_builder_new();
        if (!f->builders[i]) return err_nomem(err);
    }
    return OK;
}

/* ---- one segment ---------------------------------------------------------------------------------------------------------------- */

/* Some keys of some rows of a segment. */
struct job {
    uint32_t rows; /* of the segment afterwards */
    const int64_t *uids;
    const uint32_t *slots; /* of the uids; NULL: 0, 1, 2 .. */
    size_t n;
    struct column_key keys[KEYS_AT_ONCE];
    const struct column *from[KEYS_AT_ONCE]; /* NULL: no row has the key */
    uint32_t old_rows[KEYS_AT_ONCE];         /* that `from` speaks of */
    struct column *out[KEYS_AT_ONCE];
    bool started[KEYS_AT_ONCE]; /* the builder differs from `from` */
    size_t keys_n;
};

static enum status start(struct folder *f, struct job *j, size_t k, struct err *err)
{
    j->started[k] = true;
    return column_builder_reset(f->builders[k], column_key_type(j->keys[k]), j->from[k], j->rows,
                                err);
}

static enum status put(struct folder *f, struct job *j, size_t k, uint32_t slot,
                       const struct run_pick *p, struct err *err)
{
    struct column_builder *b = f->builders[k];

    if (!j->started[k]) {
        enum status st = run_pick_same(j->from[k], slot, p) ? ST_END : start(f, j, k, err);

        if (st) return st == ST_END ? OK : st;
    }
    if (!p->has) {
        column_builder_missing(b, slot);
        return OK;
    }
    switch (column_key_type(j->keys[k])) {
    case COLUMN_DOUBLE: column_builder_double(b, slot, p->d); break;
    case COLUMN_INTEGER: column_builder_integer(b, slot, p->i); break;
    case COLUMN_TEXT:
    default: column_builder_text(b, slot, p->s); break;
    }
    return OK;
}

static enum status put_rows(struct folder *f, struct job *j, size_t from, size_t n, struct err *err)
{
    static const struct run_pick none = { .has = false };
    bool exists[RUN_PICK_ROWS];
    int64_t experiments[RUN_PICK_ROWS];
    enum status st = run_picks(f->rc->heads, f->conn, j->uids + from, n, j->keys, j->keys_n,
                               f->texts, f->scratch, f->picks, exists, experiments, err);

    for (size_t i = 0; i < n && !st; i++) {
        uint32_t slot = j->slots ? j->slots[from + i] : (uint32_t)(from + i);
        bool is_here = exists[i] && experiments[i] == f->e->exp;

        for (size_t k = 0; k < j->keys_n && !st; k++) {
            st = put(f, j, k, slot, is_here ? &f->picks[i * j->keys_n + k] : &none, err);
        }
    }
    return st;
}

static void job_drop(struct job *j)
{
    for (size_t k = 0; k < j->keys_n; k++) {
        column_unref(j->out[k]);
        j->out[k] = NULL;
    }
}

/* Fills out of the keys that were started. */
static enum status job_run(struct folder *f, struct job *j, struct err *err)
{
    enum status st = tools_get(f, j->keys_n, err);

    arena_reset(f->texts);
    for (size_t k = 0; k < j->keys_n && !st; k++) {
        j->started[k] = false;
        j->out[k] = NULL;
        if (j->old_rows[k] != j->rows) st = start(f, j, k, err);
    }
    for (size_t at = 0; at < j->n && !st; at += RUN_PICK_ROWS) {
        st = put_rows(f, j, at, MIN_OF(j->n - at, (size_t)RUN_PICK_ROWS), err);
    }
    for (size_t k = 0; k < j->keys_n && !st; k++) {
        if (j->started[k]) st = column_builder_finish(f->builders[k], &j->out[k], err);
    }
    if (st) job_drop(j);
    return st;
}

/* ---- folding ----------------------------------------------------------------------------------------------------------------------- */

bool slot_of(const struct expcols *e, int64_t uid, uint32_t *segment, uint32_t *slot)
{
    uint32_t lo = 0, hi = e->segments_n;
    const struct segment *s;

    while (lo < hi) { /* the first segment that ends at or behind uid */
        uint32_t mid = lo + (hi - lo) / 2;

        s = &e->segments[mid];
        if (s->uids[s->rows - 1] < uid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == e->segments_n) {
        return false;
    }
    *segment = lo;
    s = &e->segments[lo];
    lo = 0;
    hi = s->rows;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (s->uids[mid] < uid) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *slot = lo;
    return lo < s->rows && s->uids[lo] == uid;
}

/* The next keys, from *at on, whose cell of the segment is to be brought up to date. */
static void next_keys(struct expcols *e, uint32_t segment, bool fresh, size_t *at, struct job *j,
                      struct key_cols **of)
{
    j->keys_n = 0;
    for (; *at < e->keys.n && j->keys_n < KEYS_AT_ONCE; (*at)++) {
        struct key_cols *k = e->keys.p[*at];
        const struct cell *c = &k->cells[segment];

        if (!c->known && (!fresh || key_is_lazy(k->key))) continue;
        j->keys[j->keys_n] = k->key;
        j->from[j->keys_n] = c->column;
        j->old_rows[j->keys_n] = c->known ? c->zone.rows : 0;
        of[j->keys_n++] = k;
    }
}

/* New columns of one segment, all keys, or nothing is changed. fresh: the segment has just been added. */
static enum status update(struct folder *f, uint32_t segment, bool fresh, uint32_t rows,
                          const int64_t *uids, const uint32_t *slots, size_t n, struct err *err)
{
    struct expcols *e = f->e;
    struct key_cols **keys;
    struct column **out;
    bool *changed;
    struct job j = { .rows = rows, .uids = uids, .slots = slots, .n = n };
    size_t at = 0, done = 0;
    enum status st = OK;

    keys = (struct key_cols **)mem_zalloc(e->keys.n + 1, sizeof(*keys));
    out = (struct column **)mem_zalloc(e->keys.n + 1, sizeof(*out));
    changed = (bool *)mem_zalloc(e->keys.n + 1, sizeof(*changed));
    if (!keys || !out || !changed) st = err_nomem(err);
    while (!st && at < e->keys.n) {
        next_keys(e, segment, fresh, &at, &j, keys + done);
        if (j.keys_n == 0) break;
        st = job_run(f, &j, err);
        for (size_t k = 0; k < j.keys_n && !st; k++) {
            changed[done] = j.started[k];
            out[done++] = j.out[k];
        }
    }
    for (size_t i = 0; i < done; i++) {
        struct cell *c = &keys[i]->cells[segment];

        if (st) {
            column_unref(out[i]);
        } else if (changed[i]) {
            cell_set(e, c, out[i], rows);
        }
    }
    mem_free(keys);
    mem_free(out);
    mem_free(changed);
    return st;
}

/* Runs that have slots: those from newer[*at] on that lie in one segment. */
static enum status fold_changed(struct folder *f, size_t *at, struct err *err)
{
    struct expcols *e = f->e;
    uint32_t *slots = (uint32_t *)mem_alloc(COLUMN_ROWS * sizeof(*slots));
    uint32_t segment = 0, here, slot;
    size_t from = *at, n = 0;
    enum status st;

    if (!slots) {
        return err_nomem(err);
    }
    for (; from + n < e->newer.n && n < COLUMN_ROWS; n++) {
        if (!slot_of(e, e->newer.p[from + n], &here, &slot) || (n > 0 && here != segment)) break;
        segment = here;
        slots[n] = slot;
    }
    st = update(f, segment, false, e->segments[segment].rows, e->newer.p + from, slots, n, err);
    mem_free(slots);
    *at += st ? 0 : n;
    return st;
}

static enum status segment_room(struct segment *s, uint32_t rows, struct err *err)
{
    uint32_t cap = s->cap ? s->cap : 16;
    int64_t *p;

    while (cap < rows) {
        cap *= 2;
    }
    if (cap > s->cap) {
        p = (int64_t *)mem_realloc(s->uids, cap * sizeof(*p));
        if (!p) {
            return err_nomem(err);
        }
        s->uids = p;
        s->cap = cap;
    }
    return OK;
}

/* Runs behind all that have slots, as many as the last segment takes. */
static enum status fold_added(struct folder *f, size_t *at, struct err *err)
{
    struct expcols *e = f->e;
    bool fresh = e->segments_n == 0 || e->segments[e->segments_n - 1].rows == COLUMN_ROWS;
    uint32_t segment, rows, slots[RUN_PICK_ROWS * 16];
    size_t n;
    struct segment *s;
    enum status st = fresh ? segment_add(e, err) : OK;

    _Static_assert(ARRAY_N(slots) >= COLUMN_ROWS, "one segment");
    if (st) return st;
    segment = e->segments_n - 1;
    s = &e->segments[segment];
    n = MIN_OF(e->newer.n - *at, (size_t)(COLUMN_ROWS - s->rows));
    rows = s->rows + (uint32_t)n;
    st = segment_room(s, rows, err);
    for (size_t i = 0; i < n && !st; i++) {
        slots[i] = s->rows + (uint32_t)i;
        s->uids[slots[i]] = e->newer.p[*at + i];
    }
    if (!st) st = update(f, segment, fresh, rows, e->newer.p + *at, slots, n, err);
    if (st) {
        e->segments_n -= fresh;
        return st;
    }
    s->rows = rows;
    *at += n;
    return OK;
}

static void drop_unused(struct expcols *e)
{
    while (e->keys.n > COLUMN_KEYS_MAX) {
        size_t oldest = SIZE_MAX;

        for (size_t i = 0; i < e->keys.n; i++) {
            const struct key_cols *k = e->keys.p[i];

            if (k->key.kind == COLUMN_ATTR || k->used == e->searches) continue;
            if (oldest == SIZE_MAX || k->used < e->keys.p[oldest]->used) oldest = i;
        }
        if (oldest == SIZE_MAX) {
            return;
        }
        key_drop(e, oldest);
    }
}

enum status fold_newer(struct folder *f, struct err *err)
{
    struct expcols *e = f->e;
    size_t at = 0, kept = 0;
    enum status st = OK;

    if (e->newer.n == 0) {
        e->must_fold = false;
        return OK;
    }
    drop_unused(e);
    while (at < e->newer.n && !st) {
        const struct segment *s = e->segments_n ? &e->segments[e->segments_n - 1] : NULL;
        int64_t uid = e->newer.p[at];
        uint32_t segment, slot;

        if (!s || uid > s->uids[s->rows - 1]) {
            st = fold_added(f, &at, err);
        } else if (slot_of(e, uid, &segment, &slot)) {
            st = fold_changed(f, &at, err);
        } else {
            e->newer.p[kept++] = uid; /* a number out of order: always answered from its head */
            at++;
        }
    }
    if (st) { /* what was done may be done again */
        (void)newer_add(e, NULL, 0);
        return st;
    }
    e->newer.n = kept;
    e->must_fold = false;
    atomic_fetch_add_explicit(&f->rc->folds, 1, memory_order_relaxed);
    return OK;
}

/* ---- building ------------------------------------------------------------------------------------------------------------------------ */

static enum status build_segment(struct folder *f, uint32_t segment, struct key_cols **keys,
                                 size_t n, struct err *err)
{
    const struct segment *s = &f->e->segments[segment];
    struct job j = { .rows = s->rows, .uids = s->uids, .n = s->rows };
    size_t of[KEYS_AT_ONCE];
    enum status st = OK;

    for (size_t i = 0; i < n && !st;) {
        j.keys_n = 0;
        for (; i < n && j.keys_n < KEYS_AT_ONCE; i++) {
            if (keys[i]->cells[segment].known) continue;
            j.keys[j.keys_n] = keys[i]->key;
            j.from[j.keys_n] = NULL;
            j.old_rows[j.keys_n] = 0;
            of[j.keys_n++] = i;
        }
        if (j.keys_n == 0) continue;
        st = job_run(f, &j, err);
        for (size_t k = 0; k < j.keys_n && !st; k++) {
            cell_set(f->e, &keys[of[k]]->cells[segment], j.out[k], j.rows);
        }
    }
    return st;
}

enum status build_unknown(struct folder *f, struct key_cols **keys, size_t n, struct err *err)
{
    enum status st = OK;

    for (uint32_t s = 0; s < f->e->segments_n && !st; s++) {
        st = build_segment(f, s, keys, n, err);
    }
    atomic_fetch_add_explicit(&f->rc->builds, 1, memory_order_relaxed);
    return st;
}

enum status build_one(struct folder *f, const struct segment *s, struct column_key key,
                      struct column **out, struct err *err)
{
    struct job j = { .rows = s->rows, .uids = s->uids, .n = s->rows, .keys = { key }, .keys_n = 1 };
    enum status st = job_run(f, &j, err);

    *out = j.out[0];
    return st;
}
