/* core/graph/group.c - clusters of alike siblings in a large answer: nodes of one type that were found over the same kind of link from one
 * node, or from nodes that are alike themselves. A group is called by what it is, so the next question can ask for its nodes. */
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/graph/graph_int.h"
#include <inttypes.h>
#include <stdlib.h>

#define NO_GROUP UINT32_MAX

/* What a node's children are told apart by: itself, or its group. */
static uint64_t owner_of(const struct groups *x, const struct walk_found *f, size_t i)
{
    uint64_t self[2] = { f->nodes[i], 0 };

    return x->of[i] == NO_GROUP ? hash_bytes(self, sizeof(self)) : x->all[x->of[i]].key;
}

static struct group_of *group_at(struct groups *x, uint64_t key)
{
    void *known = int_map_get(&x->by_key, key);
    struct group_of *all = x->all;

    if (known) {
        return &x->all[(uintptr_t)known - 1];
    }
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 64;

        all = mem_realloc(x->all, cap * sizeof(*all));
        if (!all) {
            return NULL;
        }
        x->all = all;
        x->cap = cap;
    }
    if (int_map_put(&x->by_key, key, (void *)((uintptr_t)x->n + 1))) {
        return NULL;
    }
    all[x->n] = (struct group_of){ .key = key };
    return &all[x->n++];
}

static bool is_expanded(const struct graph_query *q, uint64_t key)
{
    for (size_t i = 0; i < q->expand_n; i++) {
        if (q->expand[i] == key) {
            return true;
        }
    }
    return false;
}

/* The nodes of one distance, [from, to), all of whose parents are done. */
static enum status group_level(struct groups *x, const struct graph *g, const struct walk_found *f,
                               uint64_t still, size_t from, size_t to, struct err *err)
{
    size_t first = x->n;

    for (size_t i = from; i < to; i++) {
        uint64_t what[3] = { 0, graph_type(g, f->nodes[i]), f->role[i] };
        struct group_of *p;

        x->of[i] = NO_GROUP;
        if (f->distance[i] == 0 || (still >> f->role[i] & 1)) {
            continue;
        }
        what[0] = owner_of(x, f, f->from[i]);
        p = group_at(x, hash_bytes(what, sizeof(what)));
        if (!p) {
            return err_nomem(err);
        }
        if (p->n++ == 0) {
            p->type = (enum node_type)what[1];
            p->role = f->role[i];
            p->under = f->from[i];
        }
        x->of[i] = (uint32_t)(p - x->all);
    }
    for (size_t i = first; i < x->n; i++) {
        x->all[i].open = is_expanded(x->q, x->all[i].key);
    }
    for (size_t i = from; i < to; i++) {
        if (x->of[i] != NO_GROUP && x->all[x->of[i]].n < GRAPH_ALIKE_MIN) {
            x->of[i] = NO_GROUP;
        }
    }
    return OK;
}

enum status groups_make(struct groups *x, const struct graph *g, const struct graph_query *q,
                        const struct walk_found *f, uint64_t still, struct err *err)
{
    enum status st = OK;

    *x = (struct groups){ .q = q, .by_key = INT_MAP_INIT(f->n + 1) };
    if (!q->group && !q->expand_n) {
        return OK;
    }
    x->of = mem_alloc((f->n + 1) * sizeof(*x->of));
    if (!x->of) {
        return err_nomem(err);
    }
    for (size_t i = 0, end; !st && i < f->n; i = end) {
        for (end = i; end < f->n && f->distance[end] == f->distance[i];) {
            end++;
        }
        st = group_level(x, g, f, still, i, end, err);
    }
    if (st) {
        groups_release(x);
    }
    return st;
}

void groups_release(struct groups *x)
{
    int_map_release(&x->by_key);
    mem_free(x->all);
    mem_free(x->of);
    *x = (struct groups){ .q = x->q };
}

bool groups_take(struct groups *x, size_t i, uint64_t *key)
{
    struct group_of *p = x->of && x->of[i] != NO_GROUP ? &x->all[x->of[i]] : NULL;

    *key = p ? p->key : 0;
    if (p && !p->open && p->shown >= GRAPH_ALIKE_SHOWN) {
        return false;
    }
    if (p) {
        p->shown++;
    }
    return true;
}

struct str graph_group_id(struct arena *a, uint64_t key)
{
    return arena_printf(a, "g%016" PRIx64, key);
}

bool graph_group_parse(struct str id, uint64_t *key)
{
    *key = 0;
    if (id.n != 17 || id.p[0] != 'g') {
        return false;
    }
    for (size_t i = 1; i < id.n; i++) {
        char c = id.p[i];
        bool digit = c >= '0' && c <= '9';

        if (!digit && (c < 'a' || c > 'f')) {
            return false;
        }
        *key = *key << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

enum status groups_give(struct view *v, const struct groups *x, const struct walk_found *f,
                        struct graph_answer *out, struct err *err)
{
    size_t cap = 0;

    for (size_t i = 0; x->of && i < x->n && out->groups_n < GRAPH_GROUPS_MAX; i++) {
        const struct group_of *p = &x->all[i];
        struct graph_group to = { .key = p->key, .type = p->type, .role = p->role, .n = p->n };

        if (p->n < GRAPH_ALIKE_MIN || !p->shown || p->open) {
            continue;
        }
        if (x->of[p->under] == NO_GROUP) {
            to.under_uid = f->nodes[p->under];
        } else {
            to.under_key = x->all[x->of[p->under]].key;
        }
        if (!arena_grow(v->arena, (void **)&out->groups, out->groups_n, &cap,
                        sizeof(*out->groups))) {
            return err_nomem(err);
        }
        out->groups[out->groups_n++] = to;
    }
    return OK;
}
