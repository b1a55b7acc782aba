/* store/heads_cells.c - the cells of a head: sorted arrays, grown before the group commits, filled after it has. */
#include "store/heads_int.h"

#include "base/mem.h"

enum { CELLS_MAX = 1 << 20, CELLS_FIRST = 8 };

static size_t cell_size(const struct head *h, const struct head_cells *c)
{
    if (c == &h->metrics) return sizeof(struct head_metric);
    return c == &h->params ? sizeof(struct head_param) : sizeof(struct head_tag);
}

enum status head_reserve(struct heads *hs, struct head *h, struct head_cells *c, size_t n,
                         size_t bytes, struct err *err)
{
    size_t size = cell_size(h, c), need = c->n + c->reserved + n,
           cap = c->cap ? c->cap : CELLS_FIRST;
    void *p, *old;

    if (need > CELLS_MAX || h->bytes - h->slack + bytes + need * size > HEAD_BODY_MAX / 2) {
        return err_set(err, ST_INVALID,
                       "run %.*s has too many metrics, params and tags: at most %d MB of them",
                       STR_ARG(h->rid), (int)(HEAD_BODY_MAX / 2 >> 20));
    }
    if (need > c->cap) {
        while (cap < need) {
            cap *= 2;
        }
        p = mem_alloc(cap * size);
        if (!p) {
            return err_nomem(err);
        }
        if (c->n > 0) {
            memcpy(p, c->p, c->n * size);
        }
        head_account(hs, h, (cap - c->cap) * size, 0);
        rwlock_write(&hs->lock);
        old = c->p;
        c->p = p;
        c->cap = cap;
        rwlock_give(&hs->lock);
        mem_free(old);
    }
    c->reserved += n;
    return OK;
}

/* All three cell types begin with their key. */
_Static_assert(offsetof(struct head_metric, key) == 0, "key first");
_Static_assert(offsetof(struct head_param, key) == 0, "key first");
_Static_assert(offsetof(struct head_tag, key) == 0, "key first");

/* Index of the first cell whose id is not below key. */
static size_t cell_at(const struct head_cells *c, size_t size, uint32_t key)
{
    const char *p = (const char *)c->p;
    size_t lo = 0, hi = c->n;
    struct mkey *k;

    if (c->n > 0) { /* new keys mostly come in rising order */
        memcpy(&k, p + (c->n - 1) * size, sizeof(struct mkey *));
        if (k->id < key) {
            return c->n;
        }
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        memcpy(&k, p + mid * size, sizeof(struct mkey *));
        if (k->id < key) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static const void *cell_find(const struct head_cells *c, size_t size, uint32_t key)
{
    size_t at = cell_at(c, size, key);
    const char *p = (const char *)c->p + at * size;
    struct mkey *k;

    if (at == c->n) {
        return NULL;
    }
    memcpy(&k, p, sizeof(struct mkey *));
    return k->id == key ? p : NULL;
}

const struct head_metric *head_metric(const struct head *h, uint32_t key)
{
    return (const struct head_metric *)cell_find(&h->metrics, sizeof(struct head_metric), key);
}

const struct head_param *head_param(const struct head *h, uint32_t key)
{
    return (const struct head_param *)cell_find(&h->params, sizeof(struct head_param), key);
}

const struct head_tag *head_tag(const struct head *h, uint32_t key)
{
    return (const struct head_tag *)cell_find(&h->tags, sizeof(struct head_tag), key);
}

/* The cell of a key, made (zeroed) if there is none. */
static void *cell_get(struct head_cells *c, size_t size, struct mkey *key)
{
    size_t at = cell_at(c, size, key->id);
    char *p = (char *)c->p + at * size;
    struct mkey *k;

    if (at < c->n) {
        memcpy(&k, p, sizeof(struct mkey *));
        if (k->id == key->id) {
            return p;
        }
        memmove(p + size, p, (c->n - at) * size);
    }
    CHECK(c->n < c->cap);
    memset(p, 0, size);
    memcpy(p, &key, sizeof(struct mkey *));
    mkey_ref(key);
    c->n++;
    return p;
}

struct metric_cell *head_metric_cell(struct head *h, struct mkey *key)
{
    return &((struct head_metric *)cell_get(&h->metrics, sizeof(struct head_metric), key))->m;
}

void head_set_param(struct heads *hs, struct head *h, struct mkey *key, struct str value)
{
    struct head_param *p = (struct head_param *)cell_get(&h->params, sizeof(*p), key);

    if (p->value.p) { /* immutable: the same value again */
        head_value_free(value);
        return;
    }
    p->value = value;
    head_account_value(hs, h, value, (struct str){ NULL, 0 });
}

void head_set_tag(struct heads *hs, struct head *h, struct mkey *key, struct str value, bool gone,
                  const struct stamp *at)
{
    struct head_tag *t = (struct head_tag *)cell_get(&h->tags, sizeof(*t), key);

    if (!stamp_after(at, &t->at)) {
        head_value_free(value);
        return;
    }
    head_account_value(hs, h, value, t->value);
    head_value_free(t->value);
    t->value = value;
    t->gone = gone;
    t->at = *at;
}

void head_set_name(struct heads *hs, struct head *h, struct str name, const struct stamp *at)
{
    if (!stamp_after(at, &h->name_at)) {
        head_value_free(name);
        return;
    }
    head_account_value(hs, h, name, h->name);
    head_value_free(h->name);
    h->name = name;
    h->name_at = *at;
}

void head_set_status(struct head *h, int status, const struct stamp *at)
{
    if (stamp_after(at, &h->status_at)) {
        h->status = status;
        h->status_at = *at;
    }
}

void head_set_end(struct head *h, int64_t end_ms, const struct stamp *at)
{
    if (stamp_after(at, &h->end_at)) {
        h->end_ms = end_ms;
        h->has_end = true;
        h->end_at = *at;
    }
}

void head_set_lifecycle(struct head *h, int lifecycle, int64_t deleted_ms, const struct stamp *at)
{
    if (stamp_after(at, &h->lifecycle_at)) {
        h->lifecycle = lifecycle;
        h->has_deleted = lifecycle != 0;
        h->deleted_ms = h->has_deleted ? deleted_ms : 0;
        h->lifecycle_at = *at;
    }
}
