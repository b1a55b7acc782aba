/* core/check_series.c - packs and chunks, and what heads say about them. A damaged body is reported with the run it belongs to. */
#include "core/check_int.h"

#include "base/mem.h"
#include "store/series/chunk.h"
#include "store/series/pack.h"
#include "store/sql/sql.h"

#include <math.h>

enum { PAGE = 64, SCRATCH_MAX = 512 << 20, CELLS_MAX = 1 << 20 };

/* ---- packs ------------------------------------------------------------------------------------------------------------------------- */

static bool same_bits(double a, double b)
{
    return num_double_bits(a) == num_double_bits(b) || (isnan(a) && isnan(b));
}

static bool summary_is_right(const struct pack_key *k, const struct point *p, size_t n)
{
    double min = num_canonical_nan(), max = min;

    for (size_t i = 0; i < n; i++) {
        if (isnan(p[i].value)) continue;
        if (isnan(min) || p[i].value < min) min = p[i].value;
        if (isnan(max) || p[i].value > max) max = p[i].value;
    }
    return same_bits(k->first, p[0].value) && same_bits(k->last, p[n - 1].value) &&
           (k->min == min || (isnan(k->min) && isnan(min))) &&
           (k->max == max || (isnan(k->max) && isnan(max)));
}

static enum status check_pack_key(struct check *c, struct pack_reader *r, const struct pack_key *k,
                                  int64_t owner, int64_t w0, struct err *err)
{
    size_t n = pack_key_n(r, k);
    struct point *p = (struct point *)arena_alloc(c->scratch, n * sizeof(*p));
    const char *wrong = NULL;
    enum status st = p ? pack_read(r, k, p, err) : err_nomem(err);

    if (st) return st;
    for (size_t i = 1; i < n && !wrong; i++) {
        if (point_cmp(&p[i - 1], &p[i]) >= 0) wrong = "points are not in order";
    }
    if (!wrong && !summary_is_right(k, p, n)) wrong = "the summary is not that of the points";
    if (wrong) {
        struct str name = check_owner_name(c, owner);

        check_finding(c, CHECK_PACK,
                      arena_printf(c->scratch, "%.*s: pack %lld, key %u: %s", STR_ARG(name),
                                   (long long)w0, k->key, wrong));
    }
    return check_need_key(c, CHECK_PACK, k->key, "pack of owner", owner, err);
}

enum status check_packs(struct check *c, struct err *err)
{
    struct q_check_pack_rows_row row = { .owner = INT64_MIN, .w0 = INT64_MIN };
    struct pack_reader r;
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_check_pack_rows_open(c->conn, &q, row.owner, row.w0, PAGE, err);
        while (!st && (st = q_check_pack_rows_next(q, &row, err)) == OK) {
            rows++;
            arena_reset(c->scratch);
            st = pack_open(&r, c->scratch, row.body, row.owner, row.w0, row.n, err);
            for (size_t i = 0; i < r.keys_n && !st; i++) {
                st = check_pack_key(c, &r, &r.keys[i], row.owner, row.w0, err);
            }
            st = check_damage_of(c, CHECK_PACK, row.owner, st, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------------------------ */

static double value_of(double v, bool null)
{
    return null ? num_canonical_nan() : v;
}

static bool summaries_agree(const struct chunk_head *a, const struct chunk_head *b)
{
    return a->t0 == b->t0 && a->t1 == b->t1 && a->s0 == b->s0 && a->s1 == b->s1 && a->n == b->n &&
           a->nnan == b->nnan && a->flags == b->flags && a->smin == b->smin && a->tmin == b->tmin &&
           a->smax == b->smax && a->tmax == b->tmax && same_bits(a->vmin, b->vmin) &&
           same_bits(a->vmax, b->vmax) && same_bits(a->vsum, b->vsum) &&
           same_bits(a->vfirst, b->vfirst) && same_bits(a->vlast, b->vlast);
}

/* The points of a row, in the arena. */
static enum status chunk_points(struct arena *a, const struct q_check_chunk_rows_row *row,
                                struct chunk_head *h, struct point **out, int64_t *duplicates,
                                struct err *err)
{
    enum status st;

    *h = (struct chunk_head){ .lvl = row->lvl,
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
    chunk_head_loaded(h);
    st = chunk_head_check(h, row->owner, (uint32_t)row->key, err);
    if (!st && !row->body.p) {
        st = err_set(err, ST_CORRUPT, "chunk %lld.%lld of owner %lld has no body", (long long)h->t0,
                     (long long)h->c, (long long)row->owner);
    }
    if (st) return st;
    *out = (struct point *)arena_alloc(a, (size_t)h->n * sizeof(**out));
    return *out ? chunk_decode(a, row->body, row->owner, (uint32_t)row->key, h, *out, duplicates,
                               err)
                : err_nomem(err);
}

static enum status check_chunk(struct check *c, const struct q_check_chunk_rows_row *row,
                               struct err *err)
{
    struct chunk_head h, real = { .lvl = CHUNK_LVL_EXACT, .c = row->c };
    struct point *p;
    enum status st = chunk_points(c->scratch, row, &h, &p, NULL, err);

    if (st) return check_damage_of(c, CHECK_CHUNK, row->owner, st, err);
    chunk_summary(&real, p, (size_t)h.n);
    if (h.lvl != CHUNK_LVL_EXACT || !summaries_agree(&h, &real)) {
        struct str name = check_owner_name(c, row->owner);

        check_finding(
            c, CHECK_CHUNK,
            arena_printf(c->scratch,
                         "%.*s: chunk %lld.%lld of key %lld: the columns are not those of "
                         "its points",
                         STR_ARG(name), (long long)row->t0, (long long)row->c,
                         (long long)row->key));
    }
    return check_need_key(c, CHECK_CHUNK, (uint32_t)row->key, "chunk of owner", row->owner, err);
}

/* Every chunk after the one in *at, up to owner `last`. */
static enum status each_chunk(struct check *c, struct arena *a, struct q_check_chunk_rows_row *at,
                              int64_t last,
                              enum status (*fn)(void *ctx, const struct q_check_chunk_rows_row *row,
                                                struct err *err),
                              void *ctx, struct err *err)
{
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_check_chunk_rows_open(c->conn, &q, at->owner, at->key, at->lvl, at->t0, at->c, last,
                                     PAGE, err);
        while (!st && (st = q_check_chunk_rows_next(q, at, err)) == OK) {
            rows++;
            arena_reset(a);
            st = fn(ctx, at, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

static enum status check_chunk_row(void *ctx, const struct q_check_chunk_rows_row *row,
                                   struct err *err)
{
    return check_chunk((struct check *)ctx, row, err);
}

enum status check_chunks(struct check *c, struct err *err)
{
    struct q_check_chunk_rows_row at = { .owner = INT64_MIN };

    return each_chunk(c, c->scratch, &at, INT64_MAX, check_chunk_row, c, err);
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------------- */

/* What the packs of a run say about one key. */
struct packed_cell {
    uint32_t key;
    struct metric_cell m;
};

struct packed {
    struct packed_cell *cells;
    size_t n, cap;
    struct arena *arena;
};

static struct metric_cell *packed_cell(struct packed *p, uint32_t key)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->cells[i].key == key) return &p->cells[i].m;
    }
    if (p->n >= CELLS_MAX ||
        !arena_grow(p->arena, (void **)&p->cells, p->n, &p->cap, sizeof(*p->cells))) {
        return NULL;
    }
    p->cells[p->n] = (struct packed_cell){ .key = key };
    return &p->cells[p->n++].m;
}

static enum status fold(struct packed *p, struct pack_reader *r, struct err *err)
{
    for (size_t i = 0; i < r->keys_n; i++) {
        struct metric_cell *m = packed_cell(p, r->keys[i].key);
        size_t n = pack_key_n(r, &r->keys[i]);
        struct point *points = (struct point *)arena_alloc(r->arena, n * sizeof(*points));
        enum status st = m && points ? pack_read(r, &r->keys[i], points, err) : err_nomem(err);

        if (st) return st;
        for (size_t k = 0; k < n; k++) {
            metric_cell_add(m, &points[k]);
        }
        m->n += r->keys[i].duplicates;
    }
    return OK;
}

static enum status fold_packs(struct check *c, struct packed *p, int64_t run, int64_t ver,
                              struct err *err)
{
    struct arena *pack_arena = arena_new(SCRATCH_MAX);
    struct q_pack_of_owner_row row = { .w0 = -1 };
    struct pack_reader r;
    size_t rows;
    enum status st = pack_arena ? OK : err_nomem(err);

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        if (!st) st = q_pack_of_owner_open(c->conn, &q, run, row.w0, PAGE, err);
        while (!st && (st = q_pack_of_owner_next(q, &row, err)) == OK) {
            rows++;
            if (row.w0 > ver) continue;
            arena_reset(pack_arena);
            st = pack_open(&r, pack_arena, row.body, run, row.w0, row.n, err);
            if (!st) st = fold(p, &r, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    arena_free(pack_arena);
    return st;
}

struct fold_chunks {
    struct packed *packed;
    struct arena *arena;
};

static enum status fold_chunk(void *ctx, const struct q_check_chunk_rows_row *row, struct err *err)
{
    struct fold_chunks *f = (struct fold_chunks *)ctx;
    struct metric_cell *m = packed_cell(f->packed, (uint32_t)row->key);
    struct chunk_head h;
    struct point *p;
    int64_t duplicates = 0;
    enum status st = m ? chunk_points(f->arena, row, &h, &p, &duplicates, err) : err_nomem(err);

    if (st) return st;
    for (int64_t i = 0; i < h.n; i++) {
        metric_cell_add(m, &p[i]);
    }
    m->n += duplicates;
    return OK;
}

static enum status fold_chunks(struct check *c, struct packed *p, int64_t run, struct err *err)
{
    struct q_check_chunk_rows_row at = { .owner = run, .key = -1 };
    struct fold_chunks f = { p, arena_new(SCRATCH_MAX) };
    enum status st =
        f.arena ? each_chunk(c, f.arena, &at, run, fold_chunk, &f, err) : err_nomem(err);

    arena_free(f.arena);
    return st;
}

static bool cells_agree(const struct metric_cell *a, const struct metric_cell *b)
{
    return point_latest_cmp(&a->last, &b->last) == 0 && a->n == b->n && same_bits(a->min, b->min) &&
           same_bits(a->max, b->max) && a->min_step == b->min_step && a->max_step == b->max_step;
}

enum status check_points_of_head(struct check *c, const struct q_check_run_rows_row *row,
                                 const struct head_body *body, struct err *err)
{
    struct packed p = { .arena = c->scratch };
    enum status st = fold_packs(c, &p, row->run, row->ver, err);

    if (!st) st = fold_chunks(c, &p, row->run, err);
    if (st) return st == ST_CORRUPT ? OK : st; /* reported with the pack or chunk */
    for (size_t i = 0; i < body->metrics_n; i++) {
        struct metric_cell *m = packed_cell(&p, body->metrics[i].key);

        if (!m) return err_nomem(err);
        if (!cells_agree(m, &body->metrics[i].m)) {
            check_finding(
                c, CHECK_HEAD_PACKS,
                arena_printf(c->scratch,
                             "run %.*s, key %u: head and packs differ (%lld and %lld points)",
                             STR_ARG(row->rid), body->metrics[i].key,
                             (long long)body->metrics[i].m.n, (long long)m->n));
        }
    }
    if (p.n != body->metrics_n) {
        check_finding(c, CHECK_HEAD_PACKS,
                      arena_printf(c->scratch, "run %.*s: the packs have %zu keys, the head %zu",
                                   STR_ARG(row->rid), p.n, body->metrics_n));
    }
    return OK;
}
