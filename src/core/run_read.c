/* core/run_read.c - reading runs: from memory when the head is there, else from its row.
 * A copy of a head is made in two steps, so that nothing is allocated under the lock: measure, allocate, copy; again from the
 * start when it grew in between. A row is only believed when no head left memory while it was read (store/heads.h). */
#include "core/run_int.h"

#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <stdlib.h>

enum { EACH_PAGE = 128, EACH_ARENA_MAX = 512 << 20 };

/* ---- copying a head ---------------------------------------------------------------------------------------------------------- */

struct copy_need {
    size_t metrics, params, tags, bytes;
};

static const struct head_metric *metrics_of(const struct head *h)
{
    return (const struct head_metric *)h->metrics.p;
}

static const struct head_param *params_of(const struct head *h)
{
    return (const struct head_param *)h->params.p;
}

static const struct head_tag *tags_of(const struct head *h)
{
    return (const struct head_tag *)h->tags.p;
}

static struct copy_need measure(const struct head *h)
{
    struct copy_need n = { h->metrics.n, h->params.n, h->tags.n, 0 };

    n.bytes = h->rid.n + h->name.n + h->user_id.n + h->artifact_uri.n;
    for (size_t i = 0; i < n.metrics; i++) {
        n.bytes += metrics_of(h)[i].key->name.n;
    }
    for (size_t i = 0; i < n.params; i++) {
        n.bytes += params_of(h)[i].key->name.n + params_of(h)[i].value.n;
    }
    for (size_t i = 0; i < n.tags; i++) {
        n.bytes += tags_of(h)[i].key->name.n + tags_of(h)[i].value.n;
    }
    return n;
}

static struct str put_text(char **at, struct str s)
{
    struct str out = { *at, s.n };

    if (s.n > 0) {
        memcpy(*at, s.p, s.n);
    }
    *at += s.n;
    return out;
}

struct run_metric run_metric_of(struct str key, const struct metric_cell *m)
{
    return (struct run_metric){ .key = key,
                                .value = m->last.value,
                                .timestamp_ms = m->last.timestamp_ms,
                                .step = m->last.step,
                                .min = m->min,
                                .max = m->max,
                                .min_step = m->min_step,
                                .max_step = m->max_step,
                                .n = m->n };
}

/* Fills *out, whose arrays and `at` have the room that measure() asked for. */
static void copy_head(const struct head *h, struct run_view *out, char *at)
{
    out->uid = h->uid;
    out->experiment = h->exp;
    out->run_id = put_text(&at, h->rid);
    out->name = put_text(&at, h->name);
    out->user_id = put_text(&at, h->user_id);
    out->artifact_uri = put_text(&at, h->artifact_uri);
    out->status = (enum run_status)h->status;
    out->lifecycle = (enum lifecycle)h->lifecycle;
    out->start_ms = h->start_ms;
    out->end_ms = h->end_ms;
    out->has_end = h->has_end;
    out->metrics_n = out->params_n = out->tags_n = 0;
    for (size_t i = 0; i < h->metrics.n; i++) {
        const struct head_metric *m = &metrics_of(h)[i];

        if (m->m.n > 0)
            out->metrics[out->metrics_n++] = run_metric_of(put_text(&at, m->key->name), &m->m);
    }
    for (size_t i = 0; i < h->params.n; i++) {
        const struct head_param *p = &params_of(h)[i];

        out->params[out->params_n].key = put_text(&at, p->key->name);
        out->params[out->params_n++].value = put_text(&at, p->value);
    }
    for (size_t i = 0; i < h->tags.n; i++) {
        const struct head_tag *t = &tags_of(h)[i];

        if (!t->gone) {
            out->tags[out->tags_n].key = put_text(&at, t->key->name);
            out->tags[out->tags_n++].value = put_text(&at, t->value);
        }
    }
}

static int metric_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct run_metric *)a)->key, ((const struct run_metric *)b)->key);
}

static int pair_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct key_value *)a)->key, ((const struct key_value *)b)->key);
}

void run_pairs_sort(struct key_value *p, size_t n)
{
    if (n > 1) qsort(p, n, sizeof(*p), pair_cmp);
}

static void sort_view(struct run_view *v)
{
    if (v->metrics_n > 1) qsort(v->metrics, v->metrics_n, sizeof(*v->metrics), metric_cmp);
    run_pairs_sort(v->params, v->params_n);
    run_pairs_sort(v->tags, v->tags_n);
}

static bool fits(const struct copy_need *n, const struct copy_need *room)
{
    return n->metrics <= room->metrics && n->params <= room->params && n->tags <= room->tags &&
           n->bytes <= room->bytes;
}

static const struct head *find(const struct heads *hs, struct str rid, int64_t uid)
{
    return rid.p ? heads_visible(hs, rid) : heads_visible_uid(hs, uid);
}

/* *found is false when the run is not in memory. */
static enum status from_memory(struct heads *hs, struct arena *a, struct str rid, int64_t uid,
                               struct run_view *out, bool *found, struct err *err)
{
    struct copy_need room = { 0 }, need;
    const struct head *h;
    char *text = NULL;
    bool done = false;

    memset(out, 0, sizeof(*out));
    for (;;) {
        heads_lock_read(hs);
        h = find(hs, rid, uid);
        if (h) {
            need = measure(h);
            done = text && fits(&need, &room);
            if (done) copy_head(h, out, text);
        }
        heads_unlock(hs);
        *found = h != NULL;
        if (!h || done) break;
        room = need;
        out->metrics = ARENA_ARRAY(a, struct run_metric, room.metrics + 1);
        out->params = ARENA_ARRAY(a, struct key_value, room.params + 1);
        out->tags = ARENA_ARRAY(a, struct key_value, room.tags + 1);
        text = (char *)arena_alloc(a, room.bytes + 1);
        if (!out->metrics || !out->params || !out->tags || !text) {
            return err_nomem(err);
        }
    }
    if (done) sort_view(out);
    return OK;
}

enum status run_from_memory(struct heads *hs, struct arena *a, int64_t uid, struct run_view *out,
                            bool *found, struct err *err)
{
    return from_memory(hs, a, (struct str){ NULL, 0 }, uid, out, found, err);
}

/* ---- reading a row ------------------------------------------------------------------------------------------------------------ */

static enum status from_body(struct view *v, struct arena *a, const struct head_body *b,
                             struct run_view *out, struct err *err)
{
    struct mkeys *keys = v->core->mkeys;
    enum status st = OK;

    out->metrics = ARENA_ARRAY(a, struct run_metric, b->metrics_n + 1);
    out->params = ARENA_ARRAY(a, struct key_value, b->params_n + 1);
    out->tags = ARENA_ARRAY(a, struct key_value, b->tags_n + 1);
    if (!out->metrics || !out->params || !out->tags) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < b->metrics_n && !st; i++) {
        struct str key;

        st = mkeys_name(keys, v->conn, a, b->metrics[i].key, &key, err);
        if (!st) out->metrics[out->metrics_n++] = run_metric_of(key, &b->metrics[i].m);
    }
    for (size_t i = 0; i < b->params_n && !st; i++) {
        struct key_value *kv = &out->params[out->params_n];

        st = mkeys_name(keys, v->conn, a, b->params[i].key, &kv->key, err);
        kv->value = b->params[i].value;
        out->params_n += st == OK;
    }
    for (size_t i = 0; i < b->tags_n && !st; i++) {
        struct key_value *kv = &out->tags[out->tags_n];

        if (b->tags[i].gone) continue;
        st = mkeys_name(keys, v->conn, a, b->tags[i].key, &kv->key, err);
        kv->value = b->tags[i].value;
        out->tags_n += st == OK;
    }
    if (!st) sort_view(out);
    return st;
}

/* Texts of the row stay where they are: they must live as long as *out. */
static enum status from_row(struct view *v, struct arena *a, const struct q_run_by_rid_row *row,
                            struct run_view *out, struct err *err)
{
    struct head_keys keys = { row->run, row->exp, row->rid };
    struct head_body body;
    enum status st = head_body_decode(a, row->body, &keys, &body, err);

    if (st) return st;
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
    return from_body(v, a, &body, out, err);
}

/* The columns of the three queries are the same. */
#define AS_ROW(r)                                                                                  \
    {                                                                                              \
        .run = (r).run, .exp = (r).exp, .rid = (r).rid, .name = (r).name, .user_id = (r).user_id,  \
        .status = (r).status, .lifecycle = (r).lifecycle, .start_ms = (r).start_ms,                \
        .end_ms = (r).end_ms, .end_ms_null = (r).end_ms_null, .create_ms = (r).create_ms,          \
        .deleted_ms = (r).deleted_ms, .deleted_ms_null = (r).deleted_ms_null,                      \
        .artifact_uri = (r).artifact_uri, .ver = (r).ver, .body = (r).body                         \
    }

static enum status read_row(struct view *v, struct arena *a, struct str rid, int64_t uid,
                            struct q_run_by_rid_row *row, struct err *err)
{
    struct q_run_by_uid_row by_uid;
    enum status st;

    if (rid.p) {
        return q_run_by_rid(v->conn, a, rid, row, err);
    }
    st = q_run_by_uid(v->conn, a, uid, &by_uid, err);
    if (!st) *row = (struct q_run_by_rid_row)AS_ROW(by_uid);
    return st;
}

/* rid.p or uid. ST_NOT_FOUND without a message. */
static enum status read_run(struct view *v, struct arena *a, struct str rid, int64_t uid,
                            struct run_view *out, struct err *err)
{
    struct heads *hs = v->core->heads;
    struct q_run_by_rid_row row;
    enum status st;

    for (;;) {
        uint64_t evictions = heads_evictions(hs);
        bool found;

        st = from_memory(hs, a, rid, uid, out, &found, err);
        if (st || found) return st;
        st = read_row(v, a, rid, uid, &row, err);
        if (st && st != ST_NOT_FOUND) return st;
        heads_lock_read(hs);
        found = find(hs, rid, uid) != NULL;
        heads_unlock(hs);
        if (!found && evictions == heads_evictions(hs)) {
            return st ? st : from_row(v, a, &row, out, err);
        }
    }
}

enum status run_get(struct view *v, struct str run_id, struct run_view *out, struct err *err)
{
    enum status st = read_run(v, v->arena, run_id.p ? run_id : S(""), 0, out, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "run_id", "Run with id=%.*s not found", STR_ARG(run_id));
    }
    return st;
}

enum status run_get_uid(struct view *v, int64_t uid, struct run_view *out, struct err *err)
{
    enum status st = read_run(v, v->arena, (struct str){ NULL, 0 }, uid, out, err);

    if (st == ST_NOT_FOUND) {
        return err_set(err, st, "Run with number %lld not found", (long long)uid);
    }
    return st;
}

/* ---- all runs ------------------------------------------------------------------------------------------------------------------- */

struct each {
    struct view *v;
    struct arena *scratch;
    enum view_type type;
    enum status (*fn)(void *ctx, const struct run_view *run, struct err *err);
    void *ctx;
    /* Runs whose row may be older than what memory had: they left memory while the page was read. As long as the page's statement is
     * open, SQLite shows this connection the moment it began, so they are read again after it is closed. */
    int64_t again[EACH_PAGE];
    size_t again_n;
};

/* One run of a page; the row was read after `evictions` was. */
static enum status each_row(struct each *e, const struct q_run_by_rid_row *row, uint64_t evictions,
                            struct err *err)
{
    struct heads *hs = e->v->core->heads;
    struct str by_uid = { NULL, 0 };
    struct run_view run;
    bool found;
    enum status st = from_memory(hs, e->scratch, by_uid, row->run, &run, &found, err);

    if (st) return st;
    if (!found && evictions != heads_evictions(hs)) {
        e->again[e->again_n++] = row->run;
        return OK;
    }
    if (!found) {
        if (!view_type_has(e->type, (enum lifecycle)row->lifecycle)) return OK;
        st = from_row(e->v, e->scratch, row, &run, err);
    }
    if (st || !view_type_has(e->type, run.lifecycle)) return st;
    return e->fn(e->ctx, &run, err);
}

/* The runs that were put off, each as it is now. */
static enum status each_again(struct each *e, struct err *err)
{
    struct run_view run;
    enum status st = OK;

    for (size_t i = 0; i < e->again_n && !st; i++) {
        arena_reset(e->scratch);
        st = read_run(e->v, e->scratch, (struct str){ NULL, 0 }, e->again[i], &run, err);
        if (st == ST_NOT_FOUND) {
            st = OK;
        } else if (!st && view_type_has(e->type, run.lifecycle)) {
            st = e->fn(e->ctx, &run, err);
        }
    }
    e->again_n = 0;
    return st;
}

static enum status each_page(struct each *e, int64_t exp, int64_t *start_ms, int64_t *uid,
                             size_t *rows, struct err *err)
{
    uint64_t evictions = heads_evictions(e->v->core->heads);
    struct q_run_page_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_run_page_open(e->v->conn, &q, exp, *start_ms, *uid, EACH_PAGE, err);

    *rows = 0;
    while (!st && (st = q_run_page_next(q, &row, err)) == OK) {
        struct q_run_by_rid_row same = AS_ROW(row);

        (*rows)++;
        *start_ms = row.start_ms;
        *uid = row.run;
        arena_reset(e->scratch);
        st = each_row(e, &same, evictions, err);
        if (st == ST_END) {
            sql_close(q);
            return ST_END;
        }
    }
    sql_close(q);
    return st == ST_END ? each_again(e, err) : st;
}

enum status run_each(struct view *v, const int64_t *experiments, size_t n, enum view_type type,
                     enum status (*fn)(void *ctx, const struct run_view *run, struct err *err),
                     void *ctx, struct err *err)
{
    struct each e = {
        .v = v, .scratch = arena_new(EACH_ARENA_MAX), .type = type, .fn = fn, .ctx = ctx
    };
    enum status st = e.scratch ? OK : err_nomem(err);

    for (size_t i = 0; i < n && !st; i++) {
        int64_t start_ms = INT64_MIN, uid = INT64_MIN;
        size_t rows;

        do {
            st = each_page(&e, experiments[i], &start_ms, &uid, &rows, err);
        } while (!st && rows == EACH_PAGE);
    }
    arena_free(e.scratch);
    return st == ST_END ? OK : st;
}

/* ---- copies and look-ups ---------------------------------------------------------------------------------------------------------- */

static bool copy_pairs(struct arena *a, const struct key_value *from, size_t n,
                       struct key_value **out)
{
    *out = ARENA_ARRAY(a, struct key_value, n + 1);
    for (size_t i = 0; *out && i < n; i++) {
        (*out)[i].key = arena_str(a, from[i].key);
        (*out)[i].value = arena_str(a, from[i].value);
        if (!(*out)[i].key.p || !(*out)[i].value.p) return false;
    }
    return *out != NULL;
}

enum status run_view_copy(struct arena *a, const struct run_view *from, struct run_view *to,
                          struct err *err)
{
    *to = *from;
    to->run_id = arena_str(a, from->run_id);
    to->name = arena_str(a, from->name);
    to->user_id = arena_str(a, from->user_id);
    to->artifact_uri = arena_str(a, from->artifact_uri);
    to->metrics = ARENA_ARRAY(a, struct run_metric, from->metrics_n + 1);
    if (!to->run_id.p || !to->name.p || !to->user_id.p || !to->artifact_uri.p || !to->metrics ||
        !copy_pairs(a, from->params, from->params_n, &to->params) ||
        !copy_pairs(a, from->tags, from->tags_n, &to->tags)) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < from->metrics_n; i++) {
        to->metrics[i] = from->metrics[i];
        to->metrics[i].key = arena_str(a, from->metrics[i].key);
        if (!to->metrics[i].key.p) {
            return err_nomem(err);
        }
    }
    return OK;
}

const struct run_metric *run_view_metric(const struct run_view *run, struct str key)
{
    struct run_metric want = { .key = key };

    return run->metrics_n ? (const struct run_metric *)bsearch(&want, run->metrics, run->metrics_n,
                                                               sizeof(want), metric_cmp)
                          : NULL;
}

static const struct str *pair_value(const struct key_value *items, size_t n, struct str key)
{
    struct key_value want = { .key = key };
    const struct key_value *kv =
        n ? (const struct key_value *)bsearch(&want, items, n, sizeof(want), pair_cmp) : NULL;

    return kv ? &kv->value : NULL;
}

const struct str *run_view_param(const struct run_view *run, struct str key)
{
    return pair_value(run->params, run->params_n, key);
}

const struct str *run_view_tag(const struct run_view *run, struct str key)
{
    return pair_value(run->tags, run->tags_n, key);
}

/* ---- histories ------------------------------------------------------------------------------------------------------------------ */

enum status run_uid(struct view *v, struct str run_id, int64_t *uid, struct err *err)
{
    struct q_ident_find_row row;
    const struct head *h;
    enum status st;

    heads_lock_read(v->core->heads);
    h = heads_visible(v->core->heads, run_id);
    *uid = h ? h->uid : 0;
    heads_unlock(v->core->heads);
    if (h) {
        return OK;
    }
    st = q_ident_find(v->conn, NULL, 0, 1, run_id, &row, err);
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "run_id", "Run with id=%.*s not found", STR_ARG(run_id));
    }
    *uid = row.uid;
    return st;
}

static enum status history(struct view *v, int64_t owner, struct str key, const struct point *after,
                           size_t max, struct point **out, size_t *n, bool *more, struct err *err)
{
    uint32_t id;
    enum status st = mkeys_find(v->core->mkeys, v->conn, key, &id, err);

    *out = NULL;
    *n = 0;
    *more = false;
    if (st || id == 0) return st;
    return series_history(v->core->series, v->conn, v->arena, owner, id, after, max, out, n, more,
                          err);
}

enum status run_metric_history(struct view *v, struct str run_id, struct str key,
                               const struct point *after, size_t max, struct point **out, size_t *n,
                               bool *more, struct err *err)
{
    int64_t uid = 0;
    enum status st = run_uid(v, run_id, &uid, err);

    *out = NULL;
    *n = 0;
    *more = false;
    return st ? st : history(v, uid, key, after, max, out, n, more, err);
}

enum status owner_metric_history(struct view *v, int64_t owner, struct str key, struct point **out,
                                 size_t *n, struct err *err)
{
    bool more;

    return history(v, owner, key, NULL, SIZE_MAX / 4, out, n, &more, err);
}

static int str_sort_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

enum status owner_metric_keys(struct view *v, int64_t owner, struct str **out, size_t *n,
                              struct err *err)
{
    uint32_t *ids;
    size_t ids_n;
    enum status st = series_keys(v->core->series, v->conn, v->arena, owner, &ids, &ids_n, err);

    *out = NULL;
    *n = 0;
    if (st) return st;
    *out = ARENA_ARRAY(v->arena, struct str, ids_n + 1);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < ids_n && !st; i++) {
        st = mkeys_name(v->core->mkeys, v->conn, v->arena, ids[i], &(*out)[i], err);
    }
    if (st) return st;
    *n = ids_n;
    if (ids_n > 1) qsort(*out, ids_n, sizeof(**out), str_sort_cmp);
    return OK;
}

enum status run_events(struct view *v, struct str run_id, struct run_event **out, size_t *n,
                       struct err *err)
{
    struct q_run_event_list_row row;
    struct sql_stmt *stmt = NULL;
    size_t cap = 0;
    int64_t uid = 0;
    enum status st = run_uid(v, run_id, &uid, err);

    *out = NULL;
    *n = 0;
    if (!st) st = q_run_event_list_open(v->conn, &stmt, uid, RUN_EVENTS_MAX, err);
    while (!st && (st = q_run_event_list_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.who) ||
            !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = (struct run_event){ .kind = (enum run_event_kind)row.what,
                                             .before = (enum run_status)row.before,
                                             .since_ms = row.since_ms,
                                             .at_ms = row.seen_ms,
                                             .who = row.who };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

uint64_t run_change(const struct view *v, int64_t uid)
{
    return heads_change(v->core->heads, uid);
}
