/* store/heads.c - the table of runs in memory: finding, loading, making, dropping. Changing cells: heads_cells.c. */
#include "store/heads_int.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/runcols/runcols.h"
#include "store/series/body.h"

#include <stdatomic.h>

enum { LOAD_ARENA_MAX = 192 << 20, RUNS_MAX = 1 << 24, HEAD_OVERHEAD = 256 };

enum status heads_open(struct heads **out, struct mkeys *mkeys, size_t max_bytes, struct err *err)
{
    struct heads *hs = (struct heads *)mem_zalloc(1, sizeof(*hs));

    *out = NULL;
    if (!hs) {
        return err_nomem(err);
    }
    hs->mkeys = mkeys;
    hs->max_bytes = max_bytes;
    hs->by_rid.max = RUNS_MAX;
    hs->by_uid.max = RUNS_MAX;
    buf_init(&hs->raw, HEAD_BODY_MAX);
    buf_init(&hs->body, HEAD_BODY_MAX + (1 << 20));
    rwlock_init(&hs->lock, LOCK_RANK_HEADS);
    *out = hs;
    return OK;
}

void heads_close(struct heads *hs)
{
    size_t at = 0;
    uint64_t uid;
    void *value;

    if (!hs) {
        return;
    }
    while (int_map_next(&hs->by_uid, &at, &uid, &value)) {
        head_free((struct head *)value);
    }
    str_map_release(&hs->by_rid);
    int_map_release(&hs->by_uid);
    buf_release(&hs->raw);
    buf_release(&hs->body);
    zip_release(&hs->zip);
    rwlock_release(&hs->lock);
    mem_free(hs);
}

void heads_set_columns(struct heads *hs, struct runcols *columns)
{
    hs->columns = columns;
}

struct runcols *heads_columns(const struct heads *hs)
{
    return hs->columns;
}

struct mkeys *heads_mkeys(struct heads *hs)
{
    return hs->mkeys;
}

/* ---- readers ---------------------------------------------------------------------------------------------------------------- */

void heads_lock_read(struct heads *hs)
{
    rwlock_read(&hs->lock);
}

void heads_lock_write(struct heads *hs)
{
    rwlock_write(&hs->lock);
}

void heads_unlock(struct heads *hs)
{
    rwlock_give(&hs->lock);
}

const struct head *heads_visible(const struct heads *hs, struct str rid)
{
    const struct head *h = (const struct head *)str_map_get(&hs->by_rid, rid);

    return h && !h->pending ? h : NULL;
}

const struct head *heads_visible_uid(const struct heads *hs, int64_t uid)
{
    const struct head *h = (const struct head *)int_map_get(&hs->by_uid, (uint64_t)uid);

    return h && !h->pending ? h : NULL;
}

size_t heads_uids_of(const struct heads *hs, int64_t exp, int64_t *out, size_t room)
{
    size_t at = 0, n = 0;
    uint64_t uid;
    void *value;

    while (int_map_next(&hs->by_uid, &at, &uid, &value)) {
        const struct head *h = (const struct head *)value;

        if ((h->exp != exp && exp != HEADS_OF_ALL) || h->pending) continue;
        if (n < room) out[n] = h->uid;
        n++;
    }
    return n;
}

uint64_t heads_evictions(const struct heads *hs)
{
    /* Pairs with the release in heads_evict(): who sees the old number sees the head in the table still. */
    return atomic_load_explicit(&hs->evictions, memory_order_acquire);
}

uint64_t heads_change(const struct heads *hs, int64_t uid)
{
    /* Pairs with the releases below: who sees the new number sees the change. */
    return atomic_load_explicit(&hs->changes[(uint64_t)uid % CHANGES_N], memory_order_acquire) +
           atomic_load_explicit(&hs->changes_all, memory_order_acquire);
}

void heads_touch(struct heads *hs, int64_t uid)
{
    atomic_fetch_add_explicit(&hs->changes[(uint64_t)uid % CHANGES_N], 1, memory_order_release);
}

void heads_touch_all(struct heads *hs)
{
    atomic_fetch_add_explicit(&hs->changes_all, 1, memory_order_release);
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------- */

static struct head_list *list_of(struct heads *hs, const struct head *h)
{
    return h->attrs_dirty || h->points_dirty || h->pending ? &hs->dirty : &hs->clean;
}

static void list_add(struct head_list *l, struct head *h)
{
    h->next = NULL;
    h->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = h;
    l->last = h;
    l->bytes += h->bytes;
    l->n++;
}

static void list_remove(struct head_list *l, struct head *h)
{
    *(h->prev ? &h->prev->next : &l->first) = h->next;
    *(h->next ? &h->next->prev : &l->last) = h->prev;
    h->prev = h->next = NULL;
    l->bytes -= h->bytes;
    l->n--;
}

void head_account(struct heads *hs, struct head *h, size_t more, size_t less)
{
    list_of(hs, h)->bytes += more - less;
    h->bytes += more - less;
}

void head_account_value(struct heads *hs, struct head *h, struct str more, struct str less)
{
    size_t added = head_value_slack(more), gone = head_value_slack(less);

    h->slack += added - gone;
    head_account(hs, h, more.n + added, less.n + gone);
}

/* Of a head that is in no list yet. */
static void count_value(struct head *h, struct str value)
{
    size_t slack = head_value_slack(value);

    h->slack += slack;
    h->bytes += value.n + slack;
}

static void touch(struct heads *hs, struct head *h)
{
    if (list_of(hs, h) == &hs->clean && hs->clean.last != h) {
        list_remove(&hs->clean, h);
        list_add(&hs->clean, h);
    }
}

/* ---- making heads ------------------------------------------------------------------------------------------------------------ */

static char *value_dup(struct str s)
{
    char *p = (char *)mem_alloc(s.n + 1);

    if (p) {
        if (s.n > 0) {
            memcpy(p, s.p, s.n);
        }
        p[s.n] = '\0';
    }
    return p;
}

bool head_value_new(struct str s, struct str *out)
{
    char *p = value_dup(s);

    *out = (struct str){ p, p ? s.n : 0 };
    return p != NULL;
}

void head_value_free(struct str s)
{
    union {
        const char *in;
        void *out;
    } u = { .in = s.p };

    mem_free(u.out);
}

void head_free(struct head *h)
{
    struct head_metric *m = (struct head_metric *)h->metrics.p;
    struct head_param *p = (struct head_param *)h->params.p;
    struct head_tag *t = (struct head_tag *)h->tags.p;

    for (size_t i = 0; i < h->metrics.n; i++) {
        mkey_unref(m[i].key);
    }
    for (size_t i = 0; i < h->params.n; i++) {
        mkey_unref(p[i].key);
        head_value_free(p[i].value);
    }
    for (size_t i = 0; i < h->tags.n; i++) {
        mkey_unref(t[i].key);
        head_value_free(t[i].value);
    }
    mem_free(m);
    mem_free(p);
    mem_free(t);
    head_value_free(h->name);
    mem_free(h);
}

static struct str take_text(char **at, struct str s)
{
    struct str out = { *at, s.n };

    if (s.n > 0) {
        memcpy(*at, s.p, s.n);
    }
    *at += s.n;
    return out;
}

static struct head *head_alloc(struct str rid, struct str user_id, struct str artifact_uri,
                               struct str name)
{
    size_t n = sizeof(struct head) + rid.n + user_id.n + artifact_uri.n;
    struct head *h = (struct head *)mem_zalloc(1, n);
    char *at = (char *)(h + 1);

    if (!h) {
        return NULL;
    }
    if (!head_value_new(name, &h->name)) {
        mem_free(h);
        return NULL;
    }
    h->rid = take_text(&at, rid);
    h->user_id = take_text(&at, user_id);
    h->artifact_uri = take_text(&at, artifact_uri);
    h->bytes = n + HEAD_OVERHEAD;
    count_value(h, h->name);
    return h;
}

/* Puts a finished head into the maps and its list. */
static enum status head_put(struct heads *hs, struct head *h, struct err *err)
{
    enum status st;

    rwlock_write(&hs->lock);
    st = str_map_put(&hs->by_rid, h->rid, h);
    if (!st) {
        st = int_map_put(&hs->by_uid, (uint64_t)h->uid, h);
        if (st) (void)str_map_remove(&hs->by_rid, h->rid);
    }
    rwlock_give(&hs->lock);
    if (st) {
        return err_nomem(err);
    }
    list_add(list_of(hs, h), h);
    return OK;
}

static void head_take_out(struct heads *hs, struct head *h)
{
    list_remove(list_of(hs, h), h);
    rwlock_write(&hs->lock);
    (void)str_map_remove(&hs->by_rid, h->rid);
    (void)int_map_remove(&hs->by_uid, (uint64_t)h->uid);
    rwlock_give(&hs->lock);
}

static enum status cells_alloc(struct head *h, struct head_cells *c, size_t n, size_t size,
                               struct err *err)
{
    if (n == 0) {
        return OK;
    }
    c->p = mem_zalloc(n, size);
    if (!c->p) {
        return err_nomem(err);
    }
    c->cap = n;
    h->bytes += n * size;
    return OK;
}

/* ---- loading ------------------------------------------------------------------------------------------------------------------ */

static enum status load_cells(struct heads *hs, struct sql_conn *conn, struct head *h,
                              const struct head_body *b, struct err *err)
{
    struct mkey *key;
    enum status st = cells_alloc(h, &h->metrics, b->metrics_n, sizeof(struct head_metric), err);

    if (!st) st = cells_alloc(h, &h->params, b->params_n, sizeof(struct head_param), err);
    if (!st) st = cells_alloc(h, &h->tags, b->tags_n, sizeof(struct head_tag), err);
    for (size_t i = 0; i < b->metrics_n && !st; i++) {
        st = mkeys_by_id(hs->mkeys, conn, b->metrics[i].key, &key, err);
        if (st) break;
        mkey_ref(key);
        ((struct head_metric *)h->metrics.p)[h->metrics.n++] =
            (struct head_metric){ key, b->metrics[i].m };
    }
    for (size_t i = 0; i < b->params_n && !st; i++) {
        struct head_param p = { 0 };

        st = mkeys_by_id(hs->mkeys, conn, b->params[i].key, &p.key, err);
        if (!st && !head_value_new(b->params[i].value, &p.value)) st = err_nomem(err);
        if (st) break;
        mkey_ref(p.key);
        count_value(h, p.value);
        ((struct head_param *)h->params.p)[h->params.n++] = p;
    }
    for (size_t i = 0; i < b->tags_n && !st; i++) {
        struct head_tag t = { .at = b->tags[i].at, .gone = b->tags[i].gone };

        st = mkeys_by_id(hs->mkeys, conn, b->tags[i].key, &t.key, err);
        if (!st && !t.gone && !head_value_new(b->tags[i].value, &t.value)) st = err_nomem(err);
        if (st) break;
        mkey_ref(t.key);
        count_value(h, t.value);
        ((struct head_tag *)h->tags.p)[h->tags.n++] = t;
    }
    return st;
}

static enum status load_row(struct heads *hs, struct sql_conn *conn, struct arena *a,
                            const struct q_run_by_rid_row *row, struct head **out, struct err *err)
{
    struct head_keys keys = { row->run, row->exp, row->rid };
    struct head_body body;
    struct head *h;
    enum status st = head_body_decode(a, row->body, &keys, &body, err);

    if (st) return st;
    h = head_alloc(row->rid, row->user_id, row->artifact_uri, row->name);
    if (!h) {
        return err_nomem(err);
    }
    h->uid = row->run;
    h->exp = row->exp;
    h->status = (int)row->status;
    h->lifecycle = (int)row->lifecycle;
    h->start_ms = row->start_ms;
    h->create_ms = row->create_ms;
    h->has_end = !row->end_ms_null;
    h->end_ms = h->has_end ? row->end_ms : 0;
    h->has_deleted = !row->deleted_ms_null;
    h->deleted_ms = h->has_deleted ? row->deleted_ms : 0;
    h->name_at = body.name_at;
    h->status_at = body.status_at;
    h->end_at = body.end_at;
    h->lifecycle_at = body.lifecycle_at;
    h->ver = row->ver;
    h->dirty_since = row->ver;
    h->loaded_by = hs->group_no;
    st = load_cells(hs, conn, h, &body, err);
    if (!st) st = head_put(hs, h, err);
    if (st) {
        head_free(h);
        return st;
    }
    *out = h;
    return OK;
}

enum status heads_load(struct heads *hs, struct sql_conn *writer, struct str rid, struct head **out,
                       struct err *err)
{
    struct head *h = (struct head *)str_map_get(&hs->by_rid, rid);
    struct q_run_by_rid_row row;
    struct arena *a;
    enum status st;

    *out = h;
    if (h) {
        touch(hs, h);
        return OK;
    }
    a = arena_new(LOAD_ARENA_MAX);
    if (!a) {
        return err_nomem(err);
    }
    st = q_run_by_rid(writer, a, rid, &row, err);
    if (!st) st = load_row(hs, writer, a, &row, out, err);
    arena_free(a);
    return st;
}

enum status heads_load_uid(struct heads *hs, struct sql_conn *writer, int64_t uid,
                           struct head **out, struct err *err)
{
    struct head *h = (struct head *)int_map_get(&hs->by_uid, (uint64_t)uid);
    struct q_run_by_uid_row row;
    struct arena *a;
    enum status st;

    *out = h;
    if (h) {
        touch(hs, h);
        return OK;
    }
    a = arena_new(LOAD_ARENA_MAX);
    if (!a) {
        return err_nomem(err);
    }
    st = q_run_by_uid(writer, a, uid, &row, err);
    if (!st) {
        struct q_run_by_rid_row same = { row.run,
                                         row.exp,
                                         row.rid,
                                         row.name,
                                         row.user_id,
                                         row.status,
                                         row.lifecycle,
                                         row.start_ms,
                                         row.end_ms,
                                         row.end_ms_null,
                                         row.create_ms,
                                         row.deleted_ms,
                                         row.deleted_ms_null,
                                         row.artifact_uri,
                                         row.ver,
                                         row.body };

        st = load_row(hs, writer, a, &same, out, err);
    }
    arena_free(a);
    return st;
}

/* ---- creating ----------------------------------------------------------------------------------------------------------------- */

static enum status encode(struct heads *hs, const struct head *h, struct str *body, struct err *err)
{
    struct head_keys keys = { h->uid, h->exp, h->rid };
    const struct head_metric *m = (const struct head_metric *)h->metrics.p;
    const struct head_param *p = (const struct head_param *)h->params.p;
    const struct head_tag *t = (const struct head_tag *)h->tags.p;
    struct buf *raw = &hs->raw;
    enum status st;

    buf_clear(raw);
    head_put_stamp(raw, &h->name_at);
    head_put_stamp(raw, &h->status_at);
    head_put_stamp(raw, &h->end_at);
    head_put_stamp(raw, &h->lifecycle_at);
    buf_put_varint(raw, h->metrics.n);
    for (size_t i = 0; i < h->metrics.n; i++) {
        head_put_metric(raw, m[i].key->id, &m[i].m);
    }
    buf_put_varint(raw, h->params.n);
    for (size_t i = 0; i < h->params.n; i++) {
        head_put_param(raw, p[i].key->id, p[i].value);
    }
    buf_put_varint(raw, h->tags.n);
    for (size_t i = 0; i < h->tags.n; i++) {
        head_put_tag(raw, t[i].key->id, t[i].gone, &t[i].at, t[i].value);
    }
    st = head_body_finish(&hs->zip, raw, &keys, &hs->body, err);
    *body = buf_str(&hs->body);
    return st;
}

enum status heads_create(struct heads *hs, struct sql_conn *writer, const struct head_new *n,
                         int64_t drain, struct head **out, struct err *err)
{
    struct head *h = head_alloc(n->rid, n->user_id, n->artifact_uri, n->name);
    struct head_tag *tags;
    struct str body;
    enum status st;

    *out = NULL;
    if (!h) {
        return err_nomem(err);
    }
    h->uid = n->uid;
    h->exp = n->exp;
    h->status = HEAD_STATUS_RUNNING;
    h->start_ms = n->start_ms;
    h->create_ms = n->create_ms;
    h->name_at = h->status_at = h->end_at = h->lifecycle_at = n->at;
    h->ver = h->dirty_since = drain;
    h->pending = true;
    st = cells_alloc(h, &h->tags, n->tags_n, sizeof(*tags), err);
    tags = (struct head_tag *)h->tags.p;
    for (size_t i = 0; i < n->tags_n && !st; i++) {
        size_t at = h->tags.n;
        struct str value;

        if (!head_value_new(n->tag_values[i], &value)) {
            st = err_nomem(err);
            break;
        }
        while (at > 0 && tags[at - 1].key->id > n->tag_keys[i]->id) {
            tags[at] = tags[at - 1];
            at--;
        }
        tags[at] = (struct head_tag){ .key = n->tag_keys[i], .value = value, .at = n->at };
        mkey_ref(n->tag_keys[i]);
        count_value(h, value);
        h->tags.n++;
    }
    if (!st) st = encode(hs, h, &body, err);
    if (!st) {
        st = q_run_insert(writer, h->uid, h->exp, h->rid, h->name, h->user_id, h->status,
                          h->lifecycle, h->start_ms, NULL, h->create_ms, NULL, h->artifact_uri,
                          h->ver, body, err);
    }
    if (!st) st = head_put(hs, h, err);
    if (st) {
        head_free(h);
        return st;
    }
    *out = h;
    return OK;
}

void heads_created(struct heads *hs, struct head *h)
{
    list_remove(&hs->dirty, h);
    rwlock_write(&hs->lock);
    h->pending = false;
    rwlock_give(&hs->lock);
    list_add(list_of(hs, h), h);
    heads_touch(hs, h->uid);
    runcols_touch(hs->columns, h->exp, h->uid, &h->touched);
}

void heads_remove(struct heads *hs, struct head *h)
{
    head_take_out(hs, h);
    head_free(h);
}

void heads_purge(struct heads *hs, int64_t uid)
{
    struct head *h = (struct head *)int_map_get(&hs->by_uid, (uint64_t)uid);

    if (h) {
        int64_t exp = h->exp;

        head_take_out(hs, h);
        /* Who finds it gone must not believe a row that it read before: it looked under the lock. */
        atomic_fetch_add_explicit(&hs->evictions, 1, memory_order_release);
        head_free(h);
        runcols_touch(hs->columns, exp, uid, NULL); /* a search that takes it finds no head */
    } else {
        runcols_gone(hs->columns, uid);
    }
    heads_touch(hs, uid);
}

/* ---- drains and dropping ------------------------------------------------------------------------------------------------------ */

void heads_dirty(struct heads *hs, struct head *h, bool attrs, int64_t drain)
{
    list_remove(list_of(hs, h), h);
    if (!h->points_dirty && !h->attrs_dirty) {
        h->dirty_since = drain;
    }
    h->attrs_dirty = h->attrs_dirty || attrs;
    h->points_dirty = h->points_dirty || !attrs;
    if (!attrs) h->packed = 0;
    list_add(list_of(hs, h), h);
    heads_touch(hs, h->uid);
    runcols_touch(hs->columns, h->exp, h->uid, &h->touched);
}

struct head *heads_first_dirty(struct heads *hs)
{
    return hs->dirty.first;
}

/* Tombstones are needed only until the row is past the records they stand for. */
static void drop_tombstones(struct heads *hs, struct head *h)
{
    struct head_tag *t = (struct head_tag *)h->tags.p;
    size_t out = 0;

    rwlock_write(&hs->lock);
    for (size_t i = 0; i < h->tags.n; i++) {
        if (t[i].gone) {
            mkey_unref(t[i].key);
        } else {
            t[out++] = t[i];
        }
    }
    h->tags.n = out;
    rwlock_give(&hs->lock);
}

enum status head_write(struct heads *hs, struct sql_conn *writer, struct head *h, int64_t ver,
                       struct err *err)
{
    struct str body;
    int64_t changed = 0;
    enum status st;

    drop_tombstones(hs, h);
    st = encode(hs, h, &body, err);
    if (st) return st;
    st = q_run_update(writer, h->uid, h->name, h->status, h->lifecycle,
                      h->has_end ? &h->end_ms : NULL, h->has_deleted ? &h->deleted_ms : NULL, ver,
                      body, &changed, err);
    if (!st && changed != 1) {
        st = err_set(err, ST_CORRUPT, "run %.*s has no row", STR_ARG(h->rid));
    }
    return st;
}

void head_written(struct heads *hs, struct head *h, int64_t ver, int64_t now_ms)
{
    list_remove(list_of(hs, h), h);
    h->attrs_dirty = h->points_dirty = false;
    h->packed = 0;
    h->ver = h->dirty_since = ver;
    h->written_ms = now_ms;
    list_add(list_of(hs, h), h);
}

size_t heads_bytes(const struct heads *hs)
{
    return hs->clean.bytes + hs->dirty.bytes;
}

size_t heads_dirty_bytes(const struct heads *hs)
{
    return hs->dirty.bytes;
}

size_t heads_dirty_n(const struct heads *hs)
{
    return hs->dirty.n;
}

size_t heads_n(const struct heads *hs)
{
    return hs->by_uid.n;
}

static void drop_clean(struct heads *hs, struct head *h)
{
    list_remove(&hs->clean, h);
    rwlock_write(&hs->lock);
    (void)str_map_remove(&hs->by_rid, h->rid);
    (void)int_map_remove(&hs->by_uid, (uint64_t)h->uid);
    /* A reader that finds the head gone must see the new number: it looked under this lock. */
    atomic_fetch_add_explicit(&hs->evictions, 1, memory_order_release);
    rwlock_give(&hs->lock);
    head_free(h);
}

void heads_evict(struct heads *hs)
{
    while (heads_bytes(hs) > hs->max_bytes && hs->clean.first) {
        drop_clean(hs, hs->clean.first);
    }
}

void heads_group_begin(struct heads *hs)
{
    hs->group_no++;
}

void heads_group_failed(struct heads *hs)
{
    struct head *next;

    for (struct head *h = hs->clean.first; h; h = next) {
        next = h->next;
        if (h->loaded_by == hs->group_no) {
            drop_clean(hs, h);
        }
    }
}

void heads_drained_elsewhere(struct heads *hs, int64_t drain, int64_t folded)
{
    struct head *next;

    for (struct head *h = hs->dirty.first; h; h = next) {
        next = h->next;
        CHECK(!h->pending);
        h->attrs_dirty = false;
        if (h->points_dirty && h->packed == 0) h->packed = drain;
        if (h->packed > folded) continue; /* its row may lack points that are in packs */
        list_remove(&hs->dirty, h);
        h->points_dirty = false;
        h->packed = 0;
        h->ver = h->dirty_since = folded;
        list_add(&hs->clean, h);
    }
}

void heads_clear(struct heads *hs)
{
    struct head_list *lists[] = { &hs->dirty, &hs->clean };

    for (size_t i = 0; i < ARRAY_N(lists); i++) {
        while (lists[i]->first) {
            struct head *h = lists[i]->first;

            head_take_out(hs, h);
            head_free(h);
        }
    }
    atomic_fetch_add_explicit(&hs->evictions, 1, memory_order_release);
    heads_touch_all(hs);
    runcols_reset(hs->columns);
}

struct head *heads_next_of(struct heads *hs, int64_t exp, size_t *at)
{
    uint64_t uid;
    void *value;

    while (int_map_next(&hs->by_uid, at, &uid, &value)) {
        struct head *h = (struct head *)value;

        if (h->exp == exp) {
            return h;
        }
    }
    return NULL;
}
