/* store/runcols/pick.c - a few values of many runs. As elsewhere, a row counts only if its head was not in memory before nor after
 * it was read, and nothing left memory meanwhile; nothing is allocated under the lock of the heads: measure, allocate, copy. */
#include "base/log.h"
#include "gen/sql/queries.h"
#include "store/heads.h"
#include "store/run_status.h"
#include "store/runcols/runcols.h"
#include "store/sql/sql.h"

#include <stdlib.h>

static struct run_pick of_text(struct str s)
{
    return (struct run_pick){ .has = true, .s = s };
}

static struct run_pick of_integer(bool has, int64_t i)
{
    return (struct run_pick){ .has = has, .i = i };
}

static struct run_pick of_metric(enum column_kind kind, const struct metric_cell *m)
{
    return (struct run_pick){ .has = m->n > 0,
                              .d = kind == COLUMN_METRIC_MIN   ? m->min
                                   : kind == COLUMN_METRIC_MAX ? m->max
                                                               : m->last.value };
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------------- */

static struct run_pick head_attr(const struct head *h, uint32_t attr)
{
    switch (attr) {
    case COLUMN_UID: return of_integer(true, h->uid);
    case COLUMN_LIFECYCLE: return of_integer(true, h->lifecycle);
    case COLUMN_START: return of_integer(true, h->start_ms);
    case COLUMN_END: return of_integer(h->has_end, h->end_ms);
    case COLUMN_RUN_ID: return of_text(h->rid);
    case COLUMN_STATUS: return of_text(run_status_name(h->status));
    case COLUMN_USER: return of_text(h->user_id);
    case COLUMN_NAME: return of_text(h->name);
    case COLUMN_ARTIFACT_URI: return of_text(h->artifact_uri);
    default: return (struct run_pick){ .has = false };
    }
}

static struct run_pick head_value(const struct head *h, struct column_key k)
{
    if (k.kind == COLUMN_ATTR) {
        return head_attr(h, k.id);
    }
    if (k.kind == COLUMN_PARAM) {
        const struct head_param *p = head_param(h, k.id);

        return p ? of_text(p->value) : (struct run_pick){ .has = false };
    }
    if (k.kind == COLUMN_TAG) {
        const struct head_tag *t = head_tag(h, k.id);

        return t && !t->gone ? of_text(t->value) : (struct run_pick){ .has = false };
    }
    {
        const struct head_metric *m = head_metric(h, k.id);

        return m ? of_metric(k.kind, &m->m) : (struct run_pick){ .has = false };
    }
}

/* ---- rows -------------------------------------------------------------------------------------------------------------------------- */

static struct run_pick row_attr(const struct q_runs_by_uid_row *r, uint32_t attr)
{
    switch (attr) {
    case COLUMN_UID: return of_integer(true, r->run);
    case COLUMN_LIFECYCLE: return of_integer(true, r->lifecycle);
    case COLUMN_START: return of_integer(true, r->start_ms);
    case COLUMN_END: return of_integer(!r->end_ms_null, r->end_ms_null ? 0 : r->end_ms);
    case COLUMN_RUN_ID: return of_text(r->rid);
    case COLUMN_STATUS: return of_text(run_status_name(r->status));
    case COLUMN_USER: return of_text(r->user_id);
    case COLUMN_NAME: return of_text(r->name);
    case COLUMN_ARTIFACT_URI: return of_text(r->artifact_uri);
    default: return (struct run_pick){ .has = false };
    }
}

/* All three kinds of cells begin with their key id. */
_Static_assert(offsetof(struct body_metric, key) == 0, "key first");
_Static_assert(offsetof(struct body_param, key) == 0, "key first");
_Static_assert(offsetof(struct body_tag, key) == 0, "key first");

static int id_cmp(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static struct run_pick body_value(const struct head_body *b, struct column_key k)
{
    if (k.kind == COLUMN_PARAM) {
        const struct body_param *p =
            (const struct body_param *)(b->params_n ? bsearch(&k.id, b->params, b->params_n,
                                                              sizeof(*p), id_cmp)
                                                    : NULL);

        return p ? of_text(p->value) : (struct run_pick){ .has = false };
    }
    if (k.kind == COLUMN_TAG) {
        const struct body_tag *t =
            (const struct body_tag *)(b->tags_n
                                          ? bsearch(&k.id, b->tags, b->tags_n, sizeof(*t), id_cmp)
                                          : NULL);

        return t && !t->gone ? of_text(t->value) : (struct run_pick){ .has = false };
    }
    {
        const struct body_metric *m =
            (const struct body_metric *)(b->metrics_n ? bsearch(&k.id, b->metrics, b->metrics_n,
                                                                sizeof(*m), id_cmp)
                                                      : NULL);

        return m ? of_metric(k.kind, &m->m) : (struct run_pick){ .has = false };
    }
}

static bool same_double(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

bool run_pick_same(const struct column *c, uint32_t slot, const struct run_pick *p)
{
    double d;
    int64_t i;
    struct str s;

    if (!c) {
        return !p->has;
    }
    switch (column_type(c)) {
    case COLUMN_DOUBLE:
        return column_double(c, slot, &d) ? p->has && same_double(d, p->d) : !p->has;
    case COLUMN_INTEGER: return column_integer(c, slot, &i) ? p->has && i == p->i : !p->has;
    case COLUMN_TEXT:
    default: return column_text(c, slot, &s) ? p->has && str_eq(s, p->s) : !p->has;
    }
}

struct run_pick run_pick_of_row(const struct q_runs_by_uid_row *row, const struct head_body *body,
                                struct column_key key)
{
    return key.kind == COLUMN_ATTR ? row_attr(row, key.id) : body_value(body, key);
}

/* ---- many runs --------------------------------------------------------------------------------------------------------------------- */

struct picks {
    struct heads *heads;
    struct sql_conn *conn;
    const int64_t *uids;
    size_t n;
    const struct column_key *keys;
    size_t keys_n;
    struct arena *arena, *scratch;
    struct run_pick *out;
    bool *exists;
    int64_t *experiments;
    bool has_body; /* some key lies in the bodies */
};

static bool is_text(struct column_key k)
{
    return column_key_type(k) == COLUMN_TEXT;
}

/* Under the lock; texts are the head's own. */
static size_t measure(struct picks *p, const bool *done)
{
    size_t bytes = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct head *h = done[i] ? NULL : heads_visible_uid(p->heads, p->uids[i]);

        for (size_t k = 0; h && k < p->keys_n; k++) {
            if (is_text(p->keys[k])) bytes += head_value(h, p->keys[k]).s.n;
        }
    }
    return bytes;
}

static void copy_heads(struct picks *p, bool *done, char *at)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct head *h = done[i] ? NULL : heads_visible_uid(p->heads, p->uids[i]);

        if (!h) continue;
        done[i] = p->exists[i] = true;
        if (p->experiments) p->experiments[i] = h->exp;
        for (size_t k = 0; k < p->keys_n; k++) {
            struct run_pick *o = &p->out[i * p->keys_n + k];

            *o = head_value(h, p->keys[k]);
            if (o->s.n > 0) memcpy(at, o->s.p, o->s.n);
            if (is_text(p->keys[k]) && o->has) o->s.p = at;
            at += o->s.n;
        }
    }
}

/* done[i]: the run was in memory. */
static enum status from_heads(struct picks *p, bool *done, struct err *err)
{
    size_t room = 0, need;
    char *text = NULL;
    bool fits;

    do {
        heads_lock_read(p->heads);
        need = measure(p, done);
        fits = text && need <= room;
        if (fits) copy_heads(p, done, text);
        heads_unlock(p->heads);
        if (!fits) {
            room = need;
            text = (char *)arena_alloc(p->arena, room + 1);
            if (!text) {
                return err_nomem(err);
            }
        }
    } while (!fits);
    return OK;
}

static enum status take_row(struct picks *p, const struct q_runs_by_uid_row *row, size_t i,
                            struct err *err)
{
    struct head_body body = { 0 };
    struct head_keys keys = { row->run, row->exp, row->rid };
    enum status st;

    arena_reset(p->scratch);
    st = p->has_body ? head_body_decode(p->scratch, row->body, &keys, &body, err) : OK;
    if (st == ST_CORRUPT) { /* it has its attributes; nobody else is the worse for it */
        LOG_ERROR("store", "%s: searches do not see its metrics, params and tags", err->message);
        *err = (struct err)ERR_INIT;
        body = (struct head_body){ 0 };
        st = OK;
    }
    for (size_t k = 0; k < p->keys_n && !st; k++) {
        struct run_pick *o = &p->out[i * p->keys_n + k];

        *o = run_pick_of_row(row, &body, p->keys[k]);
        if (o->has && is_text(p->keys[k])) {
            o->s = arena_str(p->arena, o->s);
            if (!o->s.p) st = err_nomem(err);
        }
    }
    p->exists[i] = st == OK;
    if (p->experiments) p->experiments[i] = row->exp;
    return st;
}

/* Which of the runs are still to be read, by rising uid. */
struct wanted {
    int64_t uid;
    size_t at;
};

static int wanted_cmp(const void *a, const void *b)
{
    int64_t x = ((const struct wanted *)a)->uid, y = ((const struct wanted *)b)->uid;

    return (x > y) - (x < y);
}

static enum status row_found(struct picks *p, const struct q_runs_by_uid_row *row,
                             const struct wanted *w, size_t n, struct err *err)
{
    struct wanted key = { .uid = row->run };
    const struct wanted *of = (const struct wanted *)bsearch(&key, w, n, sizeof(*w), wanted_cmp);

    return NEVER(!of) ? OK : take_row(p, row, of->at, err);
}

static enum status from_rows(struct picks *p, const struct wanted *w, size_t n, struct err *err)
{
    int64_t uids[RUN_PICK_ROWS];
    struct q_runs_by_uid_row row = { 0 };
    struct q_run_attrs_by_uid_row attrs;
    struct sql_stmt *q = NULL;
    enum status st;

    for (size_t i = 0; i < n; i++) {
        uids[i] = w[i].uid;
    }
    if (p->has_body) {
        st = q_runs_by_uid_open(p->conn, &q, uids, n, err);
        while (!st && (st = q_runs_by_uid_next(q, &row, err)) == OK) {
            st = row_found(p, &row, w, n, err);
        }
    } else {
        st = q_run_attrs_by_uid_open(p->conn, &q, uids, n, err);
        while (!st && (st = q_run_attrs_by_uid_next(q, &attrs, err)) == OK) {
            row = (struct q_runs_by_uid_row){ .run = attrs.run,
                                              .exp = attrs.exp,
                                              .rid = attrs.rid,
                                              .name = attrs.name,
                                              .user_id = attrs.user_id,
                                              .status = attrs.status,
                                              .lifecycle = attrs.lifecycle,
                                              .start_ms = attrs.start_ms,
                                              .end_ms = attrs.end_ms,
                                              .end_ms_null = attrs.end_ms_null,
                                              .artifact_uri = attrs.artifact_uri };
            st = row_found(p, &row, w, n, err);
        }
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static bool any_in_memory(struct picks *p, const struct wanted *w, size_t n)
{
    bool any = false;

    heads_lock_read(p->heads);
    for (size_t i = 0; i < n && !any; i++) {
        any = heads_visible_uid(p->heads, w[i].uid) != NULL;
    }
    heads_unlock(p->heads);
    return any;
}

enum status run_picks(struct heads *hs, struct sql_conn *conn, const int64_t *uids, size_t n,
                      const struct column_key *keys, size_t keys_n, struct arena *a,
                      struct arena *scratch, struct run_pick *out, bool *exists,
                      int64_t *experiments, struct err *err)
{
    struct picks p = {
        hs, conn, uids, n, keys, keys_n, a, scratch, out, exists, experiments, false
    };
    struct wanted wanted[RUN_PICK_ROWS];
    bool done[RUN_PICK_ROWS] = { false };
    enum status st;

    CHECK(n <= RUN_PICK_ROWS);
    memset(exists, 0, n * sizeof(*exists));
    for (size_t k = 0; k < keys_n; k++) {
        p.has_body = p.has_body || keys[k].kind != COLUMN_ATTR;
    }
    for (;;) {
        uint64_t evictions = heads_evictions(hs);
        size_t left = 0;

        st = from_heads(&p, done, err);
        for (size_t i = 0; i < n; i++) {
            if (!done[i]) wanted[left++] = (struct wanted){ uids[i], i };
        }
        if (st || left == 0) return st;
        qsort(wanted, left, sizeof(*wanted), wanted_cmp);
        for (size_t i = 0; i < left; i++) {
            exists[wanted[i].at] = false;
        }
        st = from_rows(&p, wanted, left, err);
        if (st || (!any_in_memory(&p, wanted, left) && evictions == heads_evictions(hs))) {
            return st;
        }
    }
}
