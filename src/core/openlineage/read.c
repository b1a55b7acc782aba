/* core/openlineage/read.c - facets, inputs and outputs from bodies, and events by time. */
#include "core/openlineage/ol_int.h"

enum { BYTES_MAX = 16 << 20 };

/* ---- bodies ------------------------------------------------------------------------------------------------------------------- */

struct rows {
    struct view *v;
    struct ol_facet_row *p;
    size_t n, cap;
};

static enum status outside(struct view *v, const struct ol_cell *x, struct str *json,
                           struct err *err)
{
    struct q_ol_value_get_row row;
    enum status st = q_ol_value_get(v->conn, v->arena, x->h, x->h2, &row, err);

    if (st == ST_NOT_FOUND) {
        return err_set(err, ST_CORRUPT, "the value of a facet is missing");
    }
    return st ? st : zip_get(v->arena, row.body, (size_t)row.raw_n, json, err);
}

static enum status add(struct rows *r, enum ol_scope scope, int64_t dataset,
                       const struct ol_cells *c, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < c->n; i++) {
        const struct ol_cell *x = &c->p[i];
        struct ol_facet_row *to;

        if (x->gone) {
            continue;
        }
        if (!arena_grow(r->v->arena, (void **)&r->p, r->n, &r->cap, sizeof(*r->p))) {
            return err_nomem(err);
        }
        to = &r->p[r->n++];
        *to = (struct ol_facet_row){
            .scope = scope, .dataset = dataset, .key = x->key, .json = x->json, .event_us = x->at.us
        };
        if (x->outside) {
            st = outside(r->v, x, &to->json, err);
        }
    }
    return st;
}

enum status ol_facets(struct view *v, struct str body, struct ol_facet_row **out, size_t *n,
                      struct err *err)
{
    struct rows r = { .v = v };
    struct ol_cells cells;
    struct ol_stamp at;
    int64_t found;
    enum status st = ol_thing_decode(body, v->arena, &cells, &at, &found, err);

    st = st ? st : add(&r, OL_OF_SELF, 0, &cells, err);
    *out = r.p;
    *n = r.n;
    return st;
}

enum status ol_run_facets(struct view *v, struct str body, struct ol_facet_row **out, size_t *n,
                          struct err *err)
{
    struct rows r = { .v = v };
    struct ol_run_body x;
    enum status st = ol_run_decode(body, v->arena, &x, err);

    st = st ? st : add(&r, OL_OF_SELF, 0, &x.facets, err);
    for (size_t i = 0; !st && i < x.io_n; i++) {
        st = add(&r, x.io[i].dir == OL_IN ? OL_OF_INPUT : OL_OF_OUTPUT, x.io[i].dataset,
                 &x.io[i].io_facets, err);
        st = st ? st : add(&r, OL_OF_MADE, x.io[i].dataset, &x.io[i].facets, err);
    }
    *out = r.p;
    *n = r.n;
    return st;
}

enum status ol_run_io(struct view *v, struct str body, struct ol_io_row **out, size_t *n,
                      struct err *err)
{
    struct ol_run_body x;
    enum status st = ol_run_decode(body, v->arena, &x, err);

    *n = 0;
    *out = st ? NULL : ARENA_ARRAY(v->arena, struct ol_io_row, x.io_n + 1);
    if (st || !*out) {
        return st ? st : err_nomem(err);
    }
    for (size_t i = 0; i < x.io_n; i++) {
        const struct ol_io_entry *e = &x.io[i];

        if (e->on) {
            (*out)[(*n)++] = (struct ol_io_row){ .dir = e->dir,
                                                 .dataset = e->dataset,
                                                 .version = e->version,
                                                 .first_us = e->first_us,
                                                 .last_us = e->last.us };
        }
    }
    return OK;
}

/* ---- events by time ------------------------------------------------------------------------------------------------------------- */

/* The pack that was read last. */
struct pack {
    int64_t first, n;
    struct str raw;
    struct arena *arena;
};

static enum status read_pack(struct view *v, struct pack *p, int64_t seq, struct err *err)
{
    struct q_ol_pack_of_row row;
    enum status st;

    if (p->raw.p && seq >= p->first && seq < p->first + p->n) {
        return OK;
    }
    arena_reset(p->arena);
    p->raw.p = NULL;
    st = q_ol_pack_of(v->conn, p->arena, seq, &row, err);
    if (!st) {
        p->first = row.first;
        p->n = row.n;
        st = zip_get(p->arena, row.body, (size_t)row.raw_n, &p->raw, err);
    }
    if (st == ST_NOT_FOUND || (!st && (seq >= p->first + p->n || p->raw.n < (size_t)p->n * 4))) {
        st = err_set(err, ST_CORRUPT, "the bytes of an event are missing");
    }
    return st;
}

static enum status raw_of(struct view *v, struct pack *p, int64_t seq, struct str *out,
                          struct err *err)
{
    uint64_t from = 0, n = 0;
    struct rd r;
    enum status st = read_pack(v, p, seq, err);

    if (st) {
        return st;
    }
    r = rd_of(p->raw.p, p->raw.n);
    for (int64_t i = p->first; i <= seq; i++) {
        from += n;
        n = rd_u32(&r);
    }
    from += (uint64_t)p->n * 4;
    if (r.bad || from > p->raw.n || n > p->raw.n - from) {
        return err_set(err, ST_CORRUPT, "the bytes of an event are damaged");
    }
    *out = arena_str(v->arena, str_sub(p->raw, (size_t)from, (size_t)n));
    return out->p ? OK : err_nomem(err);
}

/* One more than fits tells that there are more. */
static enum status list(struct view *v, const struct ol_events_query *q, struct ol_stored *out,
                        size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_ol_events_up_row up;
    struct q_ol_events_down_row down;
    int64_t max = (int64_t)q->max + 1;
    enum status st = q->down ? q_ol_events_down_open(v->conn, &stmt, q->from_us, q->until_us,
                                                     q->after_us, q->after, max, err)
                             : q_ol_events_up_open(v->conn, &stmt, q->from_us, q->until_us,
                                                   q->after_us, q->after, max, err);

    while (!st) {
        if (q->down) {
            st = q_ol_events_down_next(stmt, &down, err);
            up = (struct q_ol_events_up_row){ down.seq, down.event_us, down.kind };
        } else {
            st = q_ol_events_up_next(stmt, &up, err);
        }
        if (!st) {
            out[(*n)++] = (struct ol_stored){ .seq = up.seq,
                                              .event_us = up.event_us,
                                              .kind = (enum ol_kind)up.kind };
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status ol_events(struct view *v, const struct ol_events_query *q, struct ol_stored **out,
                      size_t *n, bool *more, struct err *err)
{
    struct pack pack = { .arena = arena_new((size_t)2 << 30) };
    size_t room = q->bytes_max ? q->bytes_max : (size_t)BYTES_MAX, bytes = 0, all = 0;
    enum status st = OK;

    *n = 0;
    *more = false;
    *out = ARENA_ARRAY(v->arena, struct ol_stored, q->max + 1);
    st = *out && pack.arena ? list(v, q, *out, &all, err) : err_nomem(err);
    while (!st && *n < all) {
        struct ol_stored *e = &(*out)[*n];

        if (*n == q->max || bytes > room) {
            *more = true;
            break;
        }
        st = raw_of(v, &pack, e->seq, &e->raw, err);
        bytes += e->raw.n;
        *n += !st;
    }
    arena_free(pack.arena);
    return st;
}
