/* core/metric_interval.c - thinning that keeps the envelope.
 * A run whose rows in the range fit is returned whole. Otherwise its rows, by step, timestamp, value (NaN as 0), are cut into
 * (max - 2) / 2 buckets of equal count; of each bucket the row with the smallest and the row with the largest value stay, beside
 * the first and the last row of the run. So at most max rows come out and no spike is lost. NaN rows stay only as first or last.
 *
 * A run comes as pieces (store/series/pieces.h). Two pieces whose steps overlap may hold the same row, or rows in turn: they are
 * read and become one. What is left stands one behind the other along the steps, so the place of every piece is known by
 * counting; a chunk that is no longer than a bucket then gives the extremes of its summary to the bucket of its middle. */
#include "core/metric_interval.h"

#include "base/mem.h"
#include "core/fan.h"
#include "core/run_int.h"
#include "store/mkeys.h"
#include "store/series/pieces.h"

#include <math.h>
#include <stdlib.h>

enum { ROOM_MAX = 512 << 20, ROWS_FIRST = 64, BATCH = 16 };

/* ---- stretches: pieces one behind the other -------------------------------------------------------------------------------- */

struct stretch {
    const struct piece *chunk; /* whole, in order of steps, overlaps nothing; or NULL: */
    const struct point *p;     /* rows in order */
    size_t n;
};

struct thinning {
    const struct metric_interval *in;
    struct arena *room; /* of one run */
    struct parts *parts;
    const struct parts_key *key;
    struct piece *pieces; /* in their order */
    size_t pieces_n;
    struct stretch *s;
    size_t n, rows;
    struct point *out; /* what stays */
    size_t out_n, cap;
};

struct gathered {
    const struct metric_interval *in;
    struct point *p;
    size_t n;
};

static int by_step(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    int c = point_i64_cmp(x->step, y->step);

    if (c == 0) c = point_i64_cmp(x->timestamp_ms, y->timestamp_ms);
    return c != 0 ? c : point_value_cmp(x->value, y->value);
}

static enum status gather(void *ctx, const struct point *p, size_t n, struct err *err)
{
    struct gathered *g = ctx;

    (void)err;
    for (size_t i = 0; i < n; i++) {
        if (p[i].step >= g->in->first_step && p[i].step <= g->in->last_step) g->p[g->n++] = p[i];
    }
    return OK;
}

static void sort_rows(struct point *p, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (by_step(&p[i - 1], &p[i]) > 0) {
            qsort(p, n, sizeof(*p), by_step);
            return;
        }
    }
}

/* Pieces sorted by their steps, on their way to stretches. */
struct along {
    const struct piece *p;
};

static int by_first_step(const void *a, const void *b)
{
    const struct piece *x = ((const struct along *)a)->p, *y = ((const struct along *)b)->p;
    int c = point_i64_cmp(x->s0, y->s0);

    return c != 0 ? c : (x > y) - (x < y);
}

static int by_place(const void *a, const void *b)
{
    const struct piece *x = ((const struct along *)a)->p, *y = ((const struct along *)b)->p;

    return (x > y) - (x < y);
}

/* Reads the pieces of one stretch; they are merged in the order of time, and their rows sorted. */
static enum status read_stretch(struct thinning *t, struct along *l, size_t n, struct stretch *out,
                                struct err *err)
{
    struct piece *p = (struct piece *)mem_alloc(n * sizeof(*p));
    struct gathered g = { .in = t->in };
    size_t room = 0;
    enum status st = p ? OK : err_nomem(err);

    if (st) return st;
    if (n > 1) qsort(l, n, sizeof(*l), by_place);
    for (size_t i = 0; i < n; i++) {
        p[i] = *l[i].p;
        room += l[i].p->n;
    }
    g.p = (struct point *)arena_alloc(t->room, room * sizeof(*g.p) + 1);
    st = g.p ? pieces_each(t->parts, t->key, p, n, gather, &g, err)
             : err_field(err, ST_TOO_BIG, "run_ids",
                         "a run has too many points out of order: ask for fewer steps");
    mem_free(p);
    if (st) return st;
    sort_rows(g.p, g.n);
    *out = (struct stretch){ .p = g.p, .n = g.n };
    return OK;
}

static enum status stretches(struct thinning *t, struct along *l, size_t n, struct err *err)
{
    size_t to;
    enum status st = OK;

    t->s = ARENA_ARRAY(t->room, struct stretch, n + 1);
    if (!t->s) return err_nomem(err);
    for (size_t from = 0; from < n && !st; from = to) {
        const struct piece *p = l[from].p;
        int64_t reach = p->s1;

        for (to = from + 1; to < n && l[to].p->s0 <= reach; to++) {
            reach = MAX_OF(reach, l[to].p->s1);
        }
        if (to - from == 1 && p->monotone && p->s0 >= t->in->first_step &&
            p->s1 <= t->in->last_step) {
            t->s[t->n] =
                (struct stretch){ .chunk = p->points ? NULL : p, .p = p->points, .n = p->n };
        } else {
            st = read_stretch(t, l + from, to - from, &t->s[t->n], err);
        }
        if (!st) t->rows += t->s[t->n].n;
        t->n += !st && t->s[t->n].n > 0;
    }
    return st;
}

static enum status find_stretches(struct thinning *t, struct err *err)
{
    struct along *l = ARENA_ARRAY(t->room, struct along, t->pieces_n + 1);
    size_t n = 0;

    if (!l) return err_nomem(err);
    for (size_t i = 0; i < t->pieces_n; i++) {
        const struct piece *p = &t->pieces[i];

        if (p->s1 >= t->in->first_step && p->s0 <= t->in->last_step) l[n++].p = p;
    }
    if (n > 1) qsort(l, n, sizeof(*l), by_first_step);
    return stretches(t, l, n, err);
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

/* Appends a row unless it was the last one. */
static enum status put_row(struct thinning *t, const struct point *p, struct err *err)
{
    size_t n = t->out_n;

    if (n > 0 && point_cmp(&t->out[n - 1], p) == 0) return OK;
    if (n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : ROWS_FIRST;
        struct point *more = (struct point *)mem_realloc(t->out, cap * sizeof(*more));

        if (!more) return err_nomem(err);
        t->out = more;
        t->cap = cap;
    }
    t->out[t->out_n++] = *p;
    return OK;
}

/* The rows of a stretch: those of a chunk are read into `room`. */
static enum status rows_of(struct thinning *t, const struct stretch *s, struct point **room,
                           const struct point **out, struct err *err)
{
    *out = s->p;
    if (!s->chunk) return OK;
    if (!*room) *room = (struct point *)mem_alloc(CHUNK_POINTS_MAX * sizeof(**room));
    *out = *room;
    return *room ? parts_chunk(t->parts, t->key, s->chunk->chunk, *room, err) : err_nomem(err);
}

static enum status put_all(struct thinning *t, struct err *err)
{
    struct point *room = NULL;
    const struct point *p;
    enum status st = OK;

    for (size_t i = 0; i < t->n && !st; i++) {
        st = rows_of(t, &t->s[i], &room, &p, err);
        for (size_t k = 0; k < t->s[i].n && !st; k++) {
            st = put_row(t, &p[k], err);
        }
    }
    mem_free(room);
    return st;
}

struct bucket {
    struct point low, high;
    bool any;
};

static void widen(struct bucket *b, const struct point *low, const struct point *high)
{
    if (isnan(low->value)) return;
    if (!b->any || low->value < b->low.value) b->low = *low;
    if (!b->any || high->value > b->high.value) b->high = *high;
    b->any = true;
}

/* Bucket of a row that is neither the first nor the last. */
static size_t bucket_at(const struct thinning *t, size_t buckets, size_t row)
{
    return (row - 1) * buckets / (t->rows - 2);
}

static enum status fill(struct thinning *t, struct bucket *b, size_t buckets, struct err *err)
{
    struct point *room = NULL;
    const struct point *p;
    size_t row = 0;
    enum status st = OK;

    for (size_t i = 0; i < t->n && !st; i++) {
        const struct stretch *s = &t->s[i];
        size_t middle = MIN_OF(MAX_OF(row + s->n / 2, (size_t)1), t->rows - 2);

        if (s->chunk && s->n <= t->rows / buckets) {
            widen(&b[bucket_at(t, buckets, middle)], &s->chunk->low, &s->chunk->high);
            row += s->n;
            continue;
        }
        st = rows_of(t, s, &room, &p, err);
        for (size_t k = 0; k < s->n && !st; k++, row++) {
            if (row > 0 && row < t->rows - 1) widen(&b[bucket_at(t, buckets, row)], &p[k], &p[k]);
        }
    }
    mem_free(room);
    return st;
}

static const struct point *first_row(const struct stretch *s)
{
    return s->chunk ? &s->chunk->first : &s->p[0];
}

static const struct point *last_row(const struct stretch *s)
{
    return s->chunk ? &s->chunk->last : &s->p[s->n - 1];
}

static enum status put_thinned(struct thinning *t, struct err *err)
{
    size_t buckets = t->in->max < 4 ? 0 : (t->in->max - 2) / 2;
    struct bucket *b = (struct bucket *)mem_zalloc(buckets + 1, sizeof(*b));
    enum status st = b ? OK : err_nomem(err);

    if (!st && buckets) st = fill(t, b, buckets, err);
    if (!st && t->in->max > 1) st = put_row(t, first_row(&t->s[0]), err);
    for (size_t i = 0; i < buckets && !st; i++) {
        bool turned = by_step(&b[i].low, &b[i].high) > 0;

        if (!b[i].any) continue;
        st = put_row(t, turned ? &b[i].high : &b[i].low, err);
        if (!st) st = put_row(t, turned ? &b[i].low : &b[i].high, err);
    }
    if (!st) st = put_row(t, last_row(&t->s[t->n - 1]), err);
    mem_free(b);
    return st;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------ */

/* Runs that are read at once. */
struct batch {
    const struct metric_interval *in;
    uint32_t key;
    size_t from;
    struct thinning t[BATCH];
};

static enum status thin_run(struct thinning *t, struct view *v, struct str run_id, uint32_t key,
                            struct err *err)
{
    struct parts_want want = {
        .keys = &key, .keys_n = 1, .from_ms = INT64_MIN, .to_ms = INT64_MAX
    };
    struct parts parts;
    int64_t uid;
    enum status st = run_uid(v, run_id, &uid, err);

    if (st == ST_NOT_FOUND) {
        *err = (struct err)ERR_INIT;
        return OK;
    }
    if (!st) st = parts_open(&parts, v->core->series, v->conn, t->room, uid, &want, err);
    if (st) return st;
    t->parts = &parts;
    t->key = &parts.keys[0];
    st = pieces_of(t->key, t->room, &t->pieces, &t->pieces_n, err);
    if (!st) st = find_stretches(t, err);
    if (!st && t->n > 0) st = t->rows <= t->in->max ? put_all(t, err) : put_thinned(t, err);
    parts_close(&parts);
    return st;
}

/* On any pool thread. */
static enum status one_run(void *ctx, size_t i, struct view *v, struct err *err)
{
    struct batch *b = ctx;
    struct thinning *t = &b->t[i];
    enum status st;

    t->in = b->in;
    t->room = arena_new(ROOM_MAX);
    st = t->room ? thin_run(t, v, b->in->run_ids[b->from + i], b->key, err) : err_nomem(err);
    arena_free(t->room);
    return st;
}

static enum status one_batch(struct view *v, struct batch *b, struct interval_row **out, size_t *n,
                             size_t *cap, struct err *err)
{
    size_t runs = MIN_OF((size_t)BATCH, b->in->run_ids_n - b->from);
    enum status st = fan_out(v, runs, one_run, b, err);

    for (size_t i = 0; i < runs; i++) {
        struct thinning *t = &b->t[i];

        for (size_t k = 0; k < t->out_n && !st; k++) {
            if (arena_grow(v->arena, (void **)out, *n, cap, sizeof(**out))) {
                (*out)[(*n)++] = (struct interval_row){ b->in->run_ids[b->from + i], t->out[k] };
            } else {
                st = err_nomem(err);
            }
        }
        mem_free(t->out);
        *t = (struct thinning){ .out = NULL };
    }
    b->from += runs;
    return st;
}

enum status metric_interval(struct view *v, const struct metric_interval *in,
                            struct interval_row **out, size_t *n, struct err *err)
{
    struct batch *b = (struct batch *)mem_zalloc(1, sizeof(*b));
    size_t cap = 0;
    enum status st = b ? OK : err_nomem(err);

    *out = NULL;
    *n = 0;
    if (st) return st;
    b->in = in;
    st = mkeys_find(v->core->mkeys, v->conn, in->key, &b->key, err);
    while (!st && b->key != 0 && b->from < in->run_ids_n) {
        st = one_batch(v, b, out, n, &cap, err);
    }
    mem_free(b);
    return st;
}
