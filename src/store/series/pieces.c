/* store/series/pieces.c - making pieces and merging them, see pieces.h.
 * The merge keeps a heap of the pieces that have begun and not ended; as long as one of them stands alone before all others, its
 * points are handed on in one run. Cost: a comparison a point, and log(open pieces) where two really interleave. */
#include "store/series/pieces.h"

#include "base/mem.h"

#include <stdlib.h>

/* ---- pieces ---------------------------------------------------------------------------------------------------------------- */

static int by_begin(const void *x, const void *y)
{
    const struct piece *a = (const struct piece *)x, *b = (const struct piece *)y;
    int c = point_i64_cmp(a->first.timestamp_ms, b->first.timestamp_ms);

    if (c != 0) return c;
    /* Of those that begin at the same time, the ones that only know that time stand first: they may hold the earlier point. */
    if (a->ends != b->ends) return a->ends ? 1 : -1;
    return a->ends ? point_cmp(&a->first, &b->first) : 0;
}

bool piece_before(const struct piece *a, const struct piece *b)
{
    if (a->ends && b->ends) {
        return point_cmp(&a->last, &b->first) < 0;
    }
    return a->last.timestamp_ms < b->first.timestamp_ms;
}

static struct piece piece_loose(const struct point *p, size_t n)
{
    struct piece out = { .first = p[0],
                         .last = p[n - 1],
                         .s0 = p[0].step,
                         .s1 = p[0].step,
                         .n = n,
                         .ends = true,
                         .monotone = true,
                         .points = p };

    for (size_t i = 1; i < n; i++) {
        out.s0 = MIN_OF(out.s0, p[i].step);
        out.s1 = MAX_OF(out.s1, p[i].step);
        out.monotone = out.monotone && p[i].step >= p[i - 1].step;
    }
    return out;
}

static struct piece piece_chunk(const struct chunk_head *h, size_t chunk)
{
    struct piece out = { .s0 = h->s0,
                         .s1 = h->s1,
                         .n = (size_t)h->n,
                         .monotone = (h->flags & CHUNK_MONOTONE) != 0,
                         .chunk = chunk,
                         .low = { h->smin, h->tmin, h->vmin },
                         .high = { h->smax, h->tmax, h->vmax },
                         .sum = h->vsum,
                         .nan_n = (size_t)h->nnan };

    out.ends = chunk_ends(h, &out.first, &out.last);
    return out;
}

/* Whether a loose point stands before where the chunk may begin. */
static bool before_piece(const struct point *p, const struct piece *piece)
{
    return piece->ends ? point_cmp(p, &piece->first) < 0
                       : p->timestamp_ms < piece->first.timestamp_ms;
}

enum status pieces_of(const struct parts_key *k, struct arena *a, struct piece **out, size_t *n,
                      struct err *err)
{
    struct piece *p = (struct piece *)arena_alloc(a, (2 * k->chunks_n + 1) * sizeof(*p));
    size_t at = 0, used = 0;

    *out = p;
    *n = 0;
    if (!p) return err_nomem(err);
    for (size_t i = 0; i < k->chunks_n; i++) {
        p[used++] = piece_chunk(&k->chunks[i].head, i);
    }
    if (used > 1) qsort(p, used, sizeof(*p), by_begin);
    for (size_t i = 0; i < k->chunks_n && at < k->loose_n; i++) {
        size_t from = at;

        while (at < k->loose_n && before_piece(&k->loose[at], &p[i]))
            at++;
        if (at > from) p[used++] = piece_loose(k->loose + from, at - from);
    }
    if (at < k->loose_n) p[used++] = piece_loose(k->loose + at, k->loose_n - at);
    if (used > k->chunks_n && used > 1) qsort(p, used, sizeof(*p), by_begin);
    *n = used;
    return OK;
}

/* ---- merging --------------------------------------------------------------------------------------------------------------- */

struct cursor {
    const struct point *p, *end;
    struct point *own; /* decoded for it */
};

struct merge {
    struct cursor *heap; /* the one with the smallest point on top */
    size_t n;
    struct point last; /* handed on */
    bool any;
};

static bool cursor_less(const struct cursor *a, const struct cursor *b)
{
    return point_cmp(a->p, b->p) < 0;
}

static void heap_down(struct merge *m, size_t at)
{
    struct cursor c = m->heap[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= m->n) break;
        if (child + 1 < m->n && cursor_less(&m->heap[child + 1], &m->heap[child])) child++;
        if (!cursor_less(&m->heap[child], &c)) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = c;
}

static void heap_push(struct merge *m, struct cursor c)
{
    size_t at = m->n++;

    while (at > 0 && cursor_less(&c, &m->heap[(at - 1) / 2])) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = c;
}

/* How many points of the top cursor may be handed on: those before any other cursor and before the next piece. */
static size_t run_length(const struct merge *m, const struct piece *next)
{
    const struct cursor *top = &m->heap[0];
    const struct point *other = NULL, *end = top->end - 1;
    size_t n = 0;

    if (m->n > 1) other = m->heap[1].p;
    if (m->n > 2 && point_cmp(m->heap[2].p, other) < 0) other = m->heap[2].p;
    if ((!other || point_cmp(end, other) < 0) && (!next || before_piece(end, next))) {
        return (size_t)(top->end - top->p);
    }
    while (top->p + n < top->end && (!other || point_cmp(top->p + n, other) <= 0) &&
           (!next || before_piece(top->p + n, next))) {
        n++;
    }
    return n;
}

static enum status begin_piece(struct merge *m, struct parts *parts, const struct parts_key *k,
                               const struct piece *p, struct err *err)
{
    struct cursor c = { .p = p->points };
    enum status st = OK;

    if (!p->points) {
        c.own = (struct point *)mem_alloc(p->n * sizeof(*c.own));
        c.p = c.own;
        st = c.own ? parts_chunk(parts, k, p->chunk, c.own, err) : err_nomem(err);
    }
    if (st) {
        mem_free(c.own);
        return st;
    }
    c.end = c.p + p->n;
    heap_push(m, c);
    return OK;
}

/* Hands on the first k points of the top cursor. */
static enum status hand_on(struct merge *m, size_t k,
                           enum status (*fn)(void *ctx, const struct point *p, size_t n,
                                             struct err *err),
                           void *ctx, struct err *err)
{
    const struct point *from = m->heap[0].p;

    m->heap[0].p += k;
    if (m->any && point_cmp(from, &m->last) == 0) {
        from++;
        k--;
    }
    if (k == 0) return OK;
    m->last = from[k - 1];
    m->any = true;
    return fn(ctx, from, k, err);
}

enum status pieces_each(struct parts *parts, const struct parts_key *k, const struct piece *p,
                        size_t n,
                        enum status (*fn)(void *ctx, const struct point *p, size_t n,
                                          struct err *err),
                        void *ctx, struct err *err)
{
    struct merge m = { .heap = NULL };
    size_t next = 0;
    enum status st = OK;

    if (n == 0) return OK;
    m.heap = (struct cursor *)mem_alloc(n * sizeof(*m.heap));
    if (!m.heap) return err_nomem(err);
    while (!st && (m.n > 0 || next < n)) {
        size_t run = m.n > 0 ? run_length(&m, next < n ? &p[next] : NULL) : 0;

        if (run == 0) { /* the next piece may hold an earlier point */
            CHECK(next < n);
            st = begin_piece(&m, parts, k, &p[next++], err);
            continue;
        }
        st = hand_on(&m, run, fn, ctx, err);
        if (m.heap[0].p == m.heap[0].end) {
            mem_free(m.heap[0].own);
            m.heap[0] = m.heap[--m.n];
        }
        if (m.n > 1) heap_down(&m, 0);
    }
    while (m.n > 0) {
        mem_free(m.heap[--m.n].own);
    }
    mem_free(m.heap);
    return st;
}
