/* core/registry_names.c - the list of registered models, brought up to date from what their history says has changed. */
#include "core/registry_names.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <stdlib.h>

enum { CHANGES_MAX = 500 };

struct registry_names {
    struct lock lock;
    struct registry_list *now; /* NULL: nothing was read yet */
};

enum status registry_names_new(struct registry_names **out, struct err *err)
{
    struct registry_names *c = (struct registry_names *)mem_zalloc(1, sizeof(*c));

    *out = c;
    if (!c) {
        return err_nomem(err);
    }
    lock_init(&c->lock, LOCK_RANK_CACHE);
    return OK;
}

void registry_names_put(struct registry_names *c, struct registry_list *list)
{
    bool last = false;

    if (list) {
        lock_take(&c->lock);
        last = --list->refs == 0;
        lock_give(&c->lock);
    }
    if (last) {
        mem_free(list);
    }
}

void registry_names_free(struct registry_names *c)
{
    if (c) {
        registry_names_put(c, c->now);
        lock_release(&c->lock);
        mem_free(c);
    }
}

static struct registry_list *current(struct registry_names *c)
{
    struct registry_list *l;

    lock_take(&c->lock);
    l = c->now;
    if (l) {
        l->refs++;
    }
    lock_give(&c->lock);
    return l;
}

/* A list of its own memory from entries whose names lie elsewhere; with the caller's reference. NULL: no memory. */
static struct registry_list *make(const struct registry_name *p, size_t n, size_t bytes,
                                  int64_t seq)
{
    size_t head = sizeof(struct registry_list) + n * sizeof(*p);
    struct registry_list *l = (struct registry_list *)mem_alloc(head + bytes);
    char *at = (char *)l + head;

    if (!l) {
        return NULL;
    }
    *l = (struct registry_list){
        .p = (struct registry_name *)(l + 1), .n = n, .seq = seq, .refs = 1, .bytes = bytes
    };
    for (size_t i = 0; i < n; i++) {
        l->p[i] = p[i];
        l->p[i].name.p = at;
        if (p[i].name.n) memcpy(at, p[i].name.p, p[i].name.n);
        at += p[i].name.n;
    }
    return l;
}

/* Entries on their way into a list. */
struct making {
    struct arena *a;
    struct registry_name *p;
    size_t n, cap, bytes;
};

static enum status add(struct making *m, struct registry_name one, bool copy, struct err *err)
{
    if (copy) {
        one.name = arena_str(m->a, one.name);
    }
    if (!one.name.p || !arena_grow(m->a, (void **)&m->p, m->n, &m->cap, sizeof(*m->p))) {
        return err_nomem(err);
    }
    m->bytes += one.name.n;
    m->p[m->n++] = one;
    return OK;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct registry_name *)a)->name,
                   ((const struct registry_name *)b)->name);
}

static enum status read_all(struct view *v, struct making *m, struct err *err)
{
    struct q_registered_model_all_row row;
    struct sql_stmt *stmt = NULL;
    enum status st = q_registered_model_all_open(v->conn, &stmt, err);

    while (!st && m->n <= REGISTRY_NAMES_MAX && m->bytes <= REGISTRY_NAMES_BYTES &&
           (st = q_registered_model_all_next(stmt, &row, err)) == OK) {
        st = add(m, (struct registry_name){ row.uid, row.create_ms, row.name, row.prompt != 0 },
                 true, err);
    }
    sql_close(stmt);
    if (st == ST_END && m->n > 1) { /* engines have orders of their own */
        qsort(m->p, m->n, sizeof(*m->p), by_name);
    }
    return st == ST_END ? OK : st;
}

/* The changed models as they are now, by name; those that were deleted are not among them. */
static enum status read_changed(struct view *v, const int64_t *changed, size_t n,
                                struct making *out, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        struct q_registered_model_by_uid_row row;

        st = q_registered_model_by_uid(v->conn, out->a, changed[i], &row, err);
        if (st == ST_NOT_FOUND) {
            st = OK;
        } else if (!st) {
            st = add(out,
                     (struct registry_name){ changed[i], row.create_ms, row.name, row.prompt != 0 },
                     false, err);
        }
    }
    if (!st && out->n > 1) {
        qsort(out->p, out->n, sizeof(*out->p), by_name);
    }
    return st;
}

/* The old list with the changed models (their numbers in order) read again. */
static enum status merge(struct view *v, const struct registry_list *old, const int64_t *changed,
                         size_t n, struct making *m, struct err *err)
{
    struct making now = { .a = m->a };
    size_t at = 0;
    enum status st = read_changed(v, changed, n, &now, err);

    for (size_t i = 0; !st && i < old->n; i++) {
        if (n && bsearch(&old->p[i].uid, changed, n, sizeof(*changed), by_number)) {
            continue;
        }
        for (; !st && at < now.n && by_name(&now.p[at], &old->p[i]) < 0; at++) {
            st = add(m, now.p[at], false, err);
        }
        st = st ? st : add(m, old->p[i], false, err);
    }
    for (; !st && at < now.n; at++) {
        st = add(m, now.p[at], false, err);
    }
    return st;
}

/* Models that changed after the old list was made; *n > CHANGES_MAX: too many. */
static enum status changes_since(struct view *v, int64_t seq, int64_t *out, size_t *n,
                                 struct err *err)
{
    struct q_registry_log_models_row row;
    struct sql_stmt *stmt = NULL;
    enum status st = q_registry_log_models_open(v->conn, &stmt, seq, CHANGES_MAX + 1, err);

    *n = 0;
    while (!st && (st = q_registry_log_models_next(stmt, &row, err)) == OK) {
        out[(*n)++] = row.model;
    }
    sql_close(stmt);
    if (st == ST_END && *n > 1) {
        size_t kept = 1;

        qsort(out, *n, sizeof(*out), by_number);
        for (size_t i = 1; *n <= CHANGES_MAX && i < *n; i++) {
            if (out[i] != out[kept - 1]) {
                out[kept++] = out[i];
            }
        }
        *n = *n <= CHANGES_MAX ? kept : *n;
    }
    return st == ST_END ? OK : st;
}

static enum status refresh(struct view *v, const struct registry_list *old, int64_t seq,
                           struct registry_list **out, struct err *err)
{
    struct making m = { .a = arena_new((size_t)4 * REGISTRY_NAMES_BYTES) };
    int64_t changed[CHANGES_MAX + 1];
    size_t n = CHANGES_MAX + 1;
    enum status st = m.a ? OK : err_nomem(err);

    if (!st && old) {
        st = changes_since(v, old->seq, changed, &n, err);
    }
    if (!st) {
        st = n > CHANGES_MAX ? read_all(v, &m, err) : merge(v, old, changed, n, &m, err);
    }
    if (!st && m.n <= REGISTRY_NAMES_MAX && m.bytes <= REGISTRY_NAMES_BYTES) {
        *out = make(m.p, m.n, m.bytes, seq);
        st = *out ? OK : err_nomem(err);
    }
    arena_free(m.a);
    return st;
}

/* The newer one stays. */
static void publish(struct registry_names *c, struct registry_list *list)
{
    struct registry_list *old = NULL;

    lock_take(&c->lock);
    if (!c->now || c->now->seq <= list->seq) {
        old = c->now;
        c->now = list;
        list->refs++;
    }
    lock_give(&c->lock);
    registry_names_put(c, old);
}

enum status registry_names_get(struct view *v, struct registry_list **out, struct err *err)
{
    struct registry_names *c = v->core->registry;
    struct registry_list *old;
    struct q_registry_log_end_row end;
    enum status st = q_registry_log_end(v->conn, v->arena, &end, err);

    *out = NULL;
    if (st) {
        return st;
    }
    old = current(c);
    if (old && old->seq == end.seq) {
        *out = old;
        return OK;
    }
    /* Rows that are read now may be newer than the number that was read before: they are read once more then. */
    st = refresh(v, old && old->seq < end.seq ? old : NULL, end.seq, out, err);
    registry_names_put(c, old);
    if (!st && *out) {
        publish(c, *out);
    }
    return st;
}
