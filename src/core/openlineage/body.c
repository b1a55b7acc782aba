/* core/openlineage/body.c - bodies of rows: facets with their stamps, inputs and outputs of runs. docs/formats/olpack.md has the bytes. */
#include "core/openlineage/ol_int.h"

#include <stdlib.h>

enum {
    BODY_FORMAT = 1,
    CELL_GONE = 1,
    CELL_OUTSIDE = 2,
    ENTRY_ON = 1,
    ENTRY_TEXT = 2,
    ENTRY_READ = 4
};

/* ---- facets of a thing --------------------------------------------------------------------------------------------------------- */

static bool is_first(struct str key)
{
    return str_eq_lit(key, "symlinks") || str_eq_lit(key, "lineage") || str_eq_lit(key, "parent") ||
           str_eq_lit(key, "nominalTime");
}

static int cell_cmp(const void *a, const void *b)
{
    const struct ol_cell *x = a, *y = b;

    return x->first != y->first ? (x->first ? -1 : 1) : str_cmp(x->key, y->key);
}

/* Where it is, or would be. */
static size_t place_of(const struct ol_cells *c, const struct ol_cell *x, bool *there)
{
    size_t from = 0, until = c->n;

    *there = false;
    while (from < until && !*there) {
        size_t at = from + (until - from) / 2;
        int is = cell_cmp(&c->p[at], x);

        *there = is == 0;
        from = is < 0 ? at + 1 : from;
        until = is < 0 ? until : at;
    }
    return *there ? until : from;
}

struct ol_cell *ol_cell_find(const struct ol_cells *c, struct str key)
{
    struct ol_cell x = { .key = key, .first = is_first(key) };
    bool there;
    size_t at = place_of(c, &x, &there);

    return there ? &c->p[at] : NULL;
}

enum status ol_cell_add(struct ol_cells *c, struct arena *a, struct str key, struct ol_cell **out,
                        struct err *err)
{
    struct ol_cell x = { .key = key, .first = is_first(key), .gone = true, .at = OL_STAMP_NONE };
    bool there;
    size_t at = place_of(c, &x, &there);

    *out = NULL;
    if (at >= OL_CELLS_MAX) {
        return OK;
    }
    x.key = arena_str(a, key);
    if (!x.key.p || !arena_grow(a, (void **)&c->p, c->n, &c->cap, sizeof(*c->p))) {
        return err_nomem(err);
    }
    c->n = MIN_OF(c->n, (size_t)OL_CELLS_MAX - 1);
    memmove(&c->p[at + 1], &c->p[at], (c->n - at) * sizeof(*c->p));
    c->p[at] = x;
    c->n++;
    *out = &c->p[at];
    return OK;
}

/* Rows may have them in another order. */
static void in_order(struct ol_cells *c)
{
    for (size_t i = 1; i < c->n; i++) {
        if (cell_cmp(&c->p[i - 1], &c->p[i]) > 0) {
            qsort(c->p, c->n, sizeof(*c->p), cell_cmp);
            return;
        }
    }
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

static void put_text(struct buf *b, struct str s)
{
    buf_put_varint(b, s.n);
    buf_put_str(b, s);
}

static void put_stamp(struct buf *b, struct ol_stamp s)
{
    buf_put_u64(b, (uint64_t)s.us);
    buf_put_u64(b, (uint64_t)s.h);
}

void ol_cells_encode(struct buf *b, const struct ol_cells *c)
{
    buf_put_varint(b, c->n);
    for (size_t i = 0; i < c->n; i++) {
        const struct ol_cell *x = &c->p[i];

        buf_put_u8(b, (unsigned char)((x->gone ? CELL_GONE : 0) | (x->outside ? CELL_OUTSIDE : 0)));
        put_text(b, x->key);
        put_stamp(b, x->at);
        if (x->outside) {
            buf_put_u64(b, (uint64_t)x->h);
            buf_put_u64(b, (uint64_t)x->h2);
        } else if (!x->gone) {
            put_text(b, x->json);
        }
    }
}

static void put_entry(struct buf *b, const struct ol_io_entry *x)
{
    buf_put_u8(b, (unsigned char)x->dir);
    buf_put_u8(b, (unsigned char)((x->on ? ENTRY_ON : 0) | (x->text.p ? ENTRY_TEXT : 0) |
                                  (x->is_read ? ENTRY_READ : 0)));
    buf_put_varint(b, (uint64_t)x->dataset);
    buf_put_u64(b, (uint64_t)x->first_us);
    put_stamp(b, x->last);
    if (x->text.p) {
        put_stamp(b, x->version_at);
        put_text(b, x->text);
    }
    buf_put_varint(b, (uint64_t)x->version);
    buf_put_varint(b, (uint64_t)x->own);
    ol_cells_encode(b, &x->facets);
    ol_cells_encode(b, &x->io_facets);
}

void ol_run_encode(struct buf *b, const struct ol_run_body *x)
{
    buf_put_u8(b, BODY_FORMAT);
    ol_cells_encode(b, &x->facets);
    buf_put_u8(b, (unsigned char)x->job_said);
    put_stamp(b, x->job_at);
    put_stamp(b, x->end_at);
    put_stamp(b, x->emission_at);
    buf_put_u8(b, x->is_snapshot);
    put_stamp(b, x->io_at);
    buf_put_varint(b, x->io_n);
    for (size_t i = 0; i < x->io_n; i++) {
        put_entry(b, &x->io[i]);
    }
}

void ol_thing_encode(struct buf *b, const struct ol_cells *c, struct ol_stamp at, int64_t found)
{
    buf_put_u8(b, BODY_FORMAT);
    ol_cells_encode(b, c);
    put_stamp(b, at);
    buf_put_varint(b, (uint64_t)found);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

static struct str get_text(struct rd *r, struct arena *a, bool *nomem)
{
    struct str s = rd_bytes(r, rd_varint(r));

    if (r->bad) {
        return S("");
    }
    s = arena_str(a, s);
    *nomem = *nomem || !s.p;
    return s;
}

static struct ol_stamp get_stamp(struct rd *r)
{
    struct ol_stamp s = { (int64_t)rd_u64(r), 0 };

    s.h = (int64_t)rd_u64(r);
    return s;
}

bool ol_cells_decode(struct rd *r, struct arena *a, struct ol_cells *c, bool *nomem)
{
    uint64_t n = rd_varint(r);

    *c = (struct ol_cells){ 0 };
    if (r->bad || n > rd_left(r)) {
        return false;
    }
    c->p = n ? ARENA_ARRAY(a, struct ol_cell, (size_t)n) : NULL;
    c->cap = (size_t)n;
    if (n && !c->p) {
        *nomem = true;
        return false;
    }
    while (c->n < n && !r->bad && !*nomem) {
        struct ol_cell *x = &c->p[c->n++];
        unsigned bits = rd_u8(r);

        x->gone = bits & CELL_GONE;
        x->outside = bits & CELL_OUTSIDE;
        x->key = get_text(r, a, nomem);
        x->first = !*nomem && is_first(x->key);
        x->at = get_stamp(r);
        if (x->outside) {
            x->h = (int64_t)rd_u64(r);
            x->h2 = (int64_t)rd_u64(r);
        } else if (!x->gone) {
            x->json = get_text(r, a, nomem);
        }
    }
    if (r->bad || *nomem) {
        return false;
    }
    in_order(c);
    return true;
}

static bool get_entry(struct rd *r, struct arena *a, struct ol_io_entry *x, bool *nomem)
{
    unsigned bits;

    x->dir = rd_u8(r) == OL_IN ? OL_IN : OL_OUT;
    bits = rd_u8(r);
    x->on = bits & ENTRY_ON;
    x->is_read = bits & ENTRY_READ;
    x->dataset = (int64_t)rd_varint(r);
    x->first_us = (int64_t)rd_u64(r);
    x->last = get_stamp(r);
    x->version_at = OL_STAMP_NONE;
    if (bits & ENTRY_TEXT) {
        x->version_at = get_stamp(r);
        x->text = get_text(r, a, nomem);
    }
    x->version = (int64_t)rd_varint(r);
    x->own = (int64_t)rd_varint(r);
    return !r->bad && !*nomem && ol_cells_decode(r, a, &x->facets, nomem) &&
           ol_cells_decode(r, a, &x->io_facets, nomem);
}

static enum status broken(bool nomem, struct err *err)
{
    return nomem ? err_nomem(err)
                 : err_set(err, ST_CORRUPT, "what is stored of a thing of OpenLineage is damaged");
}

enum status ol_run_decode(struct str body, struct arena *a, struct ol_run_body *x, struct err *err)
{
    struct rd r = rd_of(body.p, body.n);
    bool nomem = false, fine = rd_u8(&r) == BODY_FORMAT;
    uint64_t n;

    *x = (struct ol_run_body){ 0 };
    if (!fine || !ol_cells_decode(&r, a, &x->facets, &nomem)) {
        return broken(nomem, err);
    }
    x->job_said = rd_u8(&r);
    x->job_at = get_stamp(&r);
    x->end_at = get_stamp(&r);
    x->emission_at = get_stamp(&r);
    x->is_snapshot = rd_u8(&r);
    x->io_at = get_stamp(&r);
    n = rd_varint(&r);
    if (r.bad || n > rd_left(&r)) {
        return broken(false, err);
    }
    x->io = ARENA_ARRAY(a, struct ol_io_entry, (size_t)n + 1);
    x->io_cap = (size_t)n + 1;
    if (!x->io) {
        return err_nomem(err);
    }
    while (x->io_n < n) {
        if (!get_entry(&r, a, &x->io[x->io_n], &nomem)) {
            return broken(nomem, err);
        }
        x->io_n++;
    }
    return rd_left(&r) == 0 ? OK : broken(false, err);
}

enum status ol_thing_decode(struct str body, struct arena *a, struct ol_cells *c,
                            struct ol_stamp *at, int64_t *found, struct err *err)
{
    struct rd r = rd_of(body.p, body.n);
    bool nomem = false;

    *c = (struct ol_cells){ 0 };
    *at = OL_STAMP_NONE;
    *found = 0;
    if (rd_u8(&r) != BODY_FORMAT || !ol_cells_decode(&r, a, c, &nomem)) {
        return broken(nomem, err);
    }
    *at = get_stamp(&r);
    *found = (int64_t)rd_varint(&r);
    return r.bad || rd_left(&r) ? broken(false, err) : OK;
}
