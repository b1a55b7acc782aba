/* core/run_gather.c - reading many runs at once: those in memory one by one, the rows of the others with one statement for a chunk.
 * Runs of one search mostly have the same keys in the same places, so the names and their order are worked out when the list of key
 * ids differs from that of the run before, and not otherwise. */
#include "core/run_int.h"

#include "base/map.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <stdlib.h>

enum { CHUNK = 256, CHUNK_ARENA_MAX = 1 << 30, NAMES_MAX = 1 << 20, NAMES_ARENA_MAX = 512 << 20 };

/* ---- names -------------------------------------------------------------------------------------------------------------------- */

/* Names of a list of key ids, and where each stands among them. */
struct layout {
    uint32_t *ids;
    struct str *names;
    uint32_t *place;
    size_t n, cap;
};

struct gather {
    struct view *v;
    struct arena *names; /* of all chunks */
    struct int_map by_id;
    struct layout metrics, params, tags;
    struct arena *chunk;
    struct run_view *runs;
    bool *has;
};

static enum status name_of(struct gather *g, uint32_t id, struct str *out, struct err *err)
{
    struct str *s = (struct str *)int_map_get(&g->by_id, id);
    enum status st;

    if (!s) {
        s = ARENA_NEW(g->names, struct str);
        if (!s) return err_nomem(err);
        st = mkeys_name(g->v->core->mkeys, g->v->conn, g->names, id, s, err);
        if (!st && int_map_put(&g->by_id, id, s)) st = err_nomem(err);
        if (st) return st;
    }
    *out = *s;
    return OK;
}

static int place_cmp(const void *a, const void *b)
{
    return str_cmp(**(const struct str *const *)a, **(const struct str *const *)b);
}

static bool layout_room(struct layout *l, struct arena *a, size_t n)
{
    if (n <= l->cap) {
        return true;
    }
    l->n = 0;
    l->cap = n * 2;
    l->ids = ARENA_ARRAY(a, uint32_t, l->cap);
    l->names = ARENA_ARRAY(a, struct str, l->cap);
    l->place = ARENA_ARRAY(a, uint32_t, l->cap);
    if (!l->ids || !l->names || !l->place) {
        l->cap = 0;
        return false;
    }
    return true;
}

/* ids are in l->ids already. */
static enum status layout_fill(struct gather *g, struct layout *l, size_t n, struct err *err)
{
    const struct str **by_name = (const struct str **)arena_alloc(g->chunk, n * sizeof(void *) + 1);
    enum status st = by_name ? OK : err_nomem(err);

    l->n = 0;
    for (size_t i = 0; i < n && !st; i++) {
        st = name_of(g, l->ids[i], &l->names[i], err);
        by_name[i] = &l->names[i];
    }
    if (st) return st;
    if (n > 1) qsort(by_name, n, sizeof(*by_name), place_cmp);
    for (size_t i = 0; i < n; i++) {
        l->place[by_name[i] - l->names] = (uint32_t)i;
    }
    l->n = n;
    return OK;
}

/* Makes *l the layout of n keys. */
static enum status layout_of(struct gather *g, struct layout *l, const uint32_t *ids, size_t n,
                             struct err *err)
{
    if (n == l->n && (n == 0 || memcmp(ids, l->ids, n * sizeof(*ids)) == 0)) {
        return OK;
    }
    if (!layout_room(l, g->names, n)) {
        return err_nomem(err);
    }
    if (n > 0) memcpy(l->ids, ids, n * sizeof(*ids));
    return layout_fill(g, l, n, err);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------------- */

static enum status put_metrics(struct gather *g, const struct head_body *b, uint32_t *ids,
                               struct run_view *out, struct err *err)
{
    enum status st;

    for (size_t i = 0; i < b->metrics_n; i++) {
        ids[i] = b->metrics[i].key;
    }
    st = layout_of(g, &g->metrics, ids, b->metrics_n, err);
    out->metrics = ARENA_ARRAY(g->chunk, struct run_metric, b->metrics_n + 1);
    if (st || !out->metrics) return st ? st : err_nomem(err);
    for (size_t i = 0; i < b->metrics_n; i++) {
        out->metrics[g->metrics.place[i]] = run_metric_of(g->metrics.names[i], &b->metrics[i].m);
    }
    out->metrics_n = b->metrics_n;
    return OK;
}

static enum status put_params(struct gather *g, const struct head_body *b, uint32_t *ids,
                              struct run_view *out, struct err *err)
{
    enum status st;

    for (size_t i = 0; i < b->params_n; i++) {
        ids[i] = b->params[i].key;
    }
    st = layout_of(g, &g->params, ids, b->params_n, err);
    out->params = ARENA_ARRAY(g->chunk, struct key_value, b->params_n + 1);
    if (st || !out->params) return st ? st : err_nomem(err);
    for (size_t i = 0; i < b->params_n; i++) {
        out->params[g->params.place[i]] =
            (struct key_value){ g->params.names[i], b->params[i].value };
    }
    out->params_n = b->params_n;
    return OK;
}

static enum status put_tags(struct gather *g, struct head_body *b, uint32_t *ids,
                            struct run_view *out, struct err *err)
{
    size_t n = 0;
    enum status st;

    for (size_t i = 0; i < b->tags_n; i++) {
        if (b->tags[i].gone) continue;
        b->tags[n] = b->tags[i];
        ids[n++] = b->tags[i].key;
    }
    st = layout_of(g, &g->tags, ids, n, err);
    out->tags = ARENA_ARRAY(g->chunk, struct key_value, n + 1);
    if (st || !out->tags) return st ? st : err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        out->tags[g->tags.place[i]] = (struct key_value){ g->tags.names[i], b->tags[i].value };
    }
    out->tags_n = n;
    return OK;
}

/* In a list a run whose body is damaged stands with its attributes and a tag that says so: the others are not the worse for it. */
static enum status put_damaged(struct gather *g, const struct err *why, struct run_view *out,
                               struct err *err)
{
    out->tags = ARENA_NEW(g->chunk, struct key_value);
    if (!out->tags) {
        return err_nomem(err);
    }
    out->tags[0] =
        (struct key_value){ S("cairn.damaged"),
                            arena_printf(g->chunk,
                                         "%s; its metrics, params and tags cannot be read: see "
                                         "'cairn server check'",
                                         why->message) };
    out->tags_n = 1;
    return out->tags[0].value.p ? OK : err_nomem(err);
}

static bool keep(struct arena *a, struct str *s)
{
    *s = arena_str(a, *s);
    return s->p != NULL;
}

static enum status from_row(struct gather *g, const struct q_runs_by_uid_row *row,
                            struct run_view *out, struct err *err)
{
    struct head_keys keys = { row->run, row->exp, row->rid };
    struct head_body body = { 0 };
    struct err why = ERR_INIT;
    uint32_t *ids;
    enum status damaged = head_body_decode(g->chunk, row->body, &keys, &body, &why), st;

    if (damaged && damaged != ST_CORRUPT) {
        *err = why;
        return damaged;
    }
    *out = (struct run_view){ .uid = row->run,
                              .experiment = row->exp,
                              .run_id = row->rid,
                              .name = row->name,
                              .user_id = row->user_id,
                              .artifact_uri = row->artifact_uri,
                              .status = (enum run_status)row->status,
                              .lifecycle = (enum lifecycle)row->lifecycle,
                              .start_ms = row->start_ms,
                              .end_ms = row->end_ms_null ? 0 : row->end_ms,
                              .has_end = !row->end_ms_null };
    ids = ARENA_ARRAY(g->chunk, uint32_t,
                      MAX_OF(MAX_OF(body.metrics_n, body.params_n), body.tags_n) + 1);
    if (!ids || !keep(g->chunk, &out->run_id) || !keep(g->chunk, &out->name) ||
        !keep(g->chunk, &out->user_id) || !keep(g->chunk, &out->artifact_uri)) {
        return err_nomem(err);
    }
    if (damaged) {
        return put_damaged(g, &why, out, err);
    }
    st = put_metrics(g, &body, ids, out, err);
    if (!st) st = put_params(g, &body, ids, out, err);
    return st ? st : put_tags(g, &body, ids, out, err);
}

/* A run of the chunk that is not in memory. */
struct missing {
    int64_t uid;
    size_t at;
};

static int missing_cmp(const void *a, const void *b)
{
    int64_t x = ((const struct missing *)a)->uid, y = ((const struct missing *)b)->uid;

    return (x > y) - (x < y);
}

static enum status read_rows(struct gather *g, struct missing *m, size_t n, struct err *err)
{
    int64_t uids[CHUNK];
    struct q_runs_by_uid_row row;
    struct sql_stmt *q = NULL;
    enum status st;

    qsort(m, n, sizeof(*m), missing_cmp);
    for (size_t i = 0; i < n; i++) {
        uids[i] = m[i].uid;
    }
    st = q_runs_by_uid_open(g->v->conn, &q, uids, n, err);
    while (!st && (st = q_runs_by_uid_next(q, &row, err)) == OK) {
        struct missing key = { .uid = row.run };
        const struct missing *of =
            (const struct missing *)bsearch(&key, m, n, sizeof(key), missing_cmp);

        if (NEVER(!of)) continue;
        st = from_row(g, &row, &g->runs[of->at], err);
        g->has[of->at] = st == OK;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* ---- chunks --------------------------------------------------------------------------------------------------------------------- */

static enum status again(struct gather *g, const struct missing *m, size_t n, struct err *err)
{
    struct view v = *g->v;
    enum status st = OK;

    v.arena = g->chunk;
    for (size_t i = 0; i < n && !st; i++) {
        st = run_get_uid(&v, m[i].uid, &g->runs[m[i].at], err);
        g->has[m[i].at] = st == OK;
        if (st == ST_NOT_FOUND || st == ST_CORRUPT) st = OK; /* gone, or damaged */
    }
    return st;
}

static enum status chunk(struct gather *g, const int64_t *uids, size_t n, struct err *err)
{
    struct heads *hs = g->v->core->heads;
    uint64_t evictions = heads_evictions(hs);
    struct missing missing[CHUNK];
    size_t missing_n = 0;
    bool moved = false;
    enum status st = OK;

    for (size_t i = 0; i < n && !st; i++) {
        st = run_from_memory(hs, g->chunk, uids[i], &g->runs[i], &g->has[i], err);
        if (!g->has[i]) missing[missing_n++] = (struct missing){ uids[i], i };
    }
    if (st || missing_n == 0) return st;
    st = read_rows(g, missing, missing_n, err);
    /* As read_run() does: a row counts if its head was not in memory before nor after, and nothing left meanwhile. */
    heads_lock_read(hs);
    for (size_t i = 0; i < missing_n && !moved; i++) {
        moved = heads_visible_uid(hs, missing[i].uid) != NULL;
    }
    heads_unlock(hs);
    moved = moved || evictions != heads_evictions(hs);
    return !st && moved ? again(g, missing, missing_n, err) : st;
}

enum status run_gather(struct view *v, const int64_t *uids, size_t n,
                       enum status (*fn)(void *ctx, size_t i, const struct run_view *run,
                                         struct err *err),
                       void *ctx, struct err *err)
{
    struct gather g = { .v = v,
                        .names = arena_new(NAMES_ARENA_MAX),
                        .by_id = INT_MAP_INIT(NAMES_MAX),
                        .chunk = arena_new(CHUNK_ARENA_MAX) };
    enum status st = g.names && g.chunk ? OK : err_nomem(err);

    for (size_t from = 0; from < n && !st; from += CHUNK) {
        size_t k = MIN_OF(n - from, (size_t)CHUNK);

        arena_reset(g.chunk);
        g.runs = ARENA_ARRAY(g.chunk, struct run_view, k);
        g.has = ARENA_ARRAY(g.chunk, bool, k);
        st = g.runs && g.has ? chunk(&g, uids + from, k, err) : err_nomem(err);
        for (size_t i = 0; i < k && !st; i++) {
            if (g.has[i]) st = fn(ctx, from + i, &g.runs[i], err);
        }
    }
    int_map_release(&g.by_id);
    arena_free(g.names);
    arena_free(g.chunk);
    return st == ST_END ? OK : st;
}
