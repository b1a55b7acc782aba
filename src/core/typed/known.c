/* core/typed/known.c - namespaces and types in memory, each an entry of its own with its key behind it. */
#include "core/typed/known.h"
#include "base/map.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

struct entry {
    int64_t uid, id;
    size_t n;
    char key[];
};

struct typed_known {
    struct lock lock; /* guards the rest */
    struct str_map entries;
    uint64_t forgotten; /* times: what was asked for before is not kept after it */
};

/* What an entry is found by. A namespace has no kind. */
struct known_key {
    char text[sizeof(int64_t) + 2 + 2 * TYPED_KNOWN_BYTES];
    size_t n; /* 0: too long to be kept */
};

enum status typed_known_new(struct typed_known **out, struct err *err)
{
    struct typed_known *k = (struct typed_known *)mem_zalloc(1, sizeof(*k));

    *out = k;
    if (!k) {
        return err_nomem(err);
    }
    lock_init(&k->lock, LOCK_RANK_CACHE);
    k->entries.max = TYPED_KNOWN_MAX;
    return OK;
}

static void clear(struct typed_known *k)
{
    struct str key;
    void *value;

    for (size_t at = 0; str_map_next(&k->entries, &at, &key, &value);) {
        mem_free(value);
    }
    str_map_release(&k->entries);
}

void typed_known_free(struct typed_known *k)
{
    if (k) {
        clear(k);
        lock_release(&k->lock);
        mem_free(k);
    }
}

void typed_known_forget(struct typed_known *k)
{
    lock_take(&k->lock);
    clear(k);
    k->forgotten++;
    lock_give(&k->lock);
}

static void key_put(struct known_key *k, const void *p, size_t n)
{
    if (n > 0) memcpy(k->text + k->n, p, n);
    k->n += n;
}

/* Names may hold any byte but NUL. */
static void key_make(struct known_key *k, int64_t ns, enum node_kind kind, struct str name,
                     struct str version)
{
    char c = (char)kind;

    k->n = 0;
    if (name.n <= TYPED_KNOWN_BYTES && version.n <= TYPED_KNOWN_BYTES) {
        key_put(k, &ns, sizeof(ns));
        key_put(k, &c, 1);
        key_put(k, name.p, name.n);
        key_put(k, "", 1);
        key_put(k, version.p, version.n);
    }
}

/* Whether it is there; *forgotten is for keep(). */
static bool find(struct typed_known *k, const struct known_key *key, int64_t *uid, int64_t *id,
                 uint64_t *forgotten)
{
    const struct entry *e;

    lock_take(&k->lock);
    e = key->n ? str_map_get(&k->entries, str_of(key->text, key->n)) : NULL;
    if (e) {
        *uid = e->uid;
        *id = e->id;
    }
    *forgotten = k->forgotten;
    lock_give(&k->lock);
    return e != NULL;
}

/* What memory has no room for is asked for again. */
static void keep(struct typed_known *k, const struct view *v, const struct known_key *key,
                 int64_t uid, int64_t id, uint64_t forgotten)
{
    struct entry *e;
    struct str as;

    if (!key->n || sql_conn_role(v->conn) != SQL_READER) {
        return;
    }
    e = (struct entry *)mem_alloc(sizeof(*e) + key->n);
    if (!e) {
        return;
    }
    *e = (struct entry){ .uid = uid, .id = id, .n = key->n };
    memcpy(e->key, key->text, key->n);
    as = str_of(e->key, e->n);
    lock_take(&k->lock);
    if (k->entries.n >= TYPED_KNOWN_MAX) {
        clear(k);
    }
    if (k->forgotten != forgotten || str_map_get(&k->entries, as) ||
        str_map_put(&k->entries, as, e)) {
        mem_free(e);
    }
    lock_give(&k->lock);
}

enum status typed_known_space(struct view *v, struct str name, int64_t *out, struct err *err)
{
    struct typed_known *k = v->core->typed;
    struct known_key key;
    struct q_ns_find_row row = { 0 };
    uint64_t forgotten;
    int64_t unused;
    enum status st;

    *out = 0;
    if (str_eq(name, typed_default_ns)) {
        return OK; /* it is there from the first day */
    }
    key_make(&key, 0, 0, name, S(""));
    if (find(k, &key, &unused, out, &forgotten)) {
        return OK;
    }
    st = q_ns_find(v->conn, v->arena, name, &row, err);
    if (!st) {
        *out = row.id;
        keep(k, v, &key, 0, row.id, forgotten);
    }
    return st;
}

enum status typed_known_type(struct view *v, int64_t ns, struct typed_type *key, struct err *err)
{
    struct typed_known *k = v->core->typed;
    struct str version = key->version.p ? key->version : S("");
    struct known_key at;
    struct q_type_named_row row;
    uint64_t forgotten;
    enum status st;

    key_make(&at, ns, key->kind, key->name, version);
    if (find(k, &at, &key->uid, &key->id, &forgotten)) {
        return OK;
    }
    st = q_type_named(v->conn, v->arena, ns, key->kind, key->name, version, &row, err);
    if (!st) {
        key->uid = row.id;
        key->id = row.shown;
        keep(k, v, &at, row.id, row.shown, forgotten);
    }
    return st;
}
