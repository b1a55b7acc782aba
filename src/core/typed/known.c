/* core/typed/known.c - namespaces and types in memory, each an entry of its own with its key behind it. */
#include "core/typed/known.h"
#include "base/map.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum { WHOLE_BYTES = 1 << 20 }; /* of all whole types */

struct entry {
    int64_t uid, id;
    size_t n;
    char key[];
};

struct answer {
    size_t key_n, n;
    char bytes[]; /* the key, the answer */
};

/* A type that puts have asked for. */
struct whole_type {
    int64_t ns;
    struct typed_type type;
};

struct typed_known {
    struct lock lock; /* guards what follows, up to the sequencer's */
    struct str_map entries;
    uint64_t forgotten; /* times: what was asked for before is not kept after it */
    struct str_map answers;
    size_t answers_bytes;
    uint64_t moment; /* changes of nodes so far */
    /* The sequencer's. */
    struct arena *arena;
    struct whole_type whole[TYPED_KNOWN_WHOLE];
    size_t whole_n;
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
    k->arena = arena_new(WHOLE_BYTES);
    if (!k->arena) {
        mem_free(k);
        *out = NULL;
        return err_nomem(err);
    }
    lock_init(&k->lock, LOCK_RANK_CACHE);
    k->entries.max = TYPED_KNOWN_MAX;
    k->answers.max = TYPED_ANSWERS;
    return OK;
}

static void forget_whole(void *ctx)
{
    struct typed_known *k = ctx;

    k->whole_n = 0;
    arena_reset(k->arena);
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

/* As one of them goes; the key of an entry lies in it. */
static void answer_free(struct typed_known *k, struct answer *a)
{
    k->answers_bytes -= sizeof(*a) + a->key_n + a->n;
    mem_free(a);
}

static void clear_answers(struct typed_known *k)
{
    struct str key;
    void *value;

    for (size_t at = 0; str_map_next(&k->answers, &at, &key, &value);) {
        answer_free(k, value);
    }
    str_map_release(&k->answers);
}

void typed_known_free(struct typed_known *k)
{
    if (k) {
        clear(k);
        clear_answers(k);
        lock_release(&k->lock);
        arena_free(k->arena);
        mem_free(k);
    }
}

void typed_known_forget(struct typed_known *k)
{
    lock_take(&k->lock);
    clear(k);
    clear_answers(k);
    k->forgotten++;
    k->moment++;
    lock_give(&k->lock);
    forget_whole(k);
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

/* ---- whole types, of the sequencer ----------------------------------------------------------------------------------------- */

bool typed_known_whole(struct typed_known *k, int64_t ns, enum node_kind kind, int64_t id,
                       struct typed_type *out)
{
    for (size_t i = 0; i < k->whole_n; i++) {
        const struct whole_type *w = &k->whole[i];

        if (w->type.id == id && w->type.kind == kind && w->ns == ns) {
            *out = w->type;
            return true;
        }
    }
    return false;
}

void typed_known_keep(struct typed_known *k, int64_t ns, const struct typed_type *t)
{
    struct typed_decl *props;

    if (t->props_n > TYPED_KNOWN_DECLS) {
        return;
    }
    if (k->whole_n == TYPED_KNOWN_WHOLE) {
        forget_whole(k);
    }
    props = ARENA_ARRAY(k->arena, struct typed_decl, t->props_n + 1);
    for (size_t i = 0; props && i < t->props_n; i++) {
        props[i] = (struct typed_decl){ arena_str(k->arena, t->props[i].key), t->props[i].type };
        props = props[i].key.p ? props : NULL;
    }
    if (!props) { /* what did not fit is asked for again, and so are the others */
        forget_whole(k);
        return;
    }
    k->whole[k->whole_n++] = (struct whole_type){
        ns, { .kind = t->kind, .uid = t->uid, .id = t->id, .props = props, .props_n = t->props_n }
    };
}

enum status typed_known_changing(struct typed_known *k, struct group *g, struct err *err)
{
    forget_whole(k);
    return group_effect(g, NULL, forget_whole, k, err);
}

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

static bool space_of(const struct typed_known *k, struct str name, int64_t *ns)
{
    struct known_key key;
    const struct entry *e = NULL;

    *ns = 0;
    if (str_eq(name, typed_default_ns)) {
        return true;
    }
    key_make(&key, 0, 0, name, S(""));
    if (key.n) e = str_map_get(&k->entries, str_of(key.text, key.n));
    if (e) *ns = e->id;
    return e != NULL;
}

bool typed_known_answer(struct typed_known *k, struct str ns, const struct typed_asked *of,
                        struct arena *a, struct str *out)
{
    const struct answer *found = NULL;
    struct known_key key;
    int64_t id;

    *out = (struct str){ NULL, 0 };
    lock_take(&k->lock);
    if (space_of(k, ns, &id)) {
        key_make(&key, id, of->kind, of->type, of->name);
        if (key.n) found = str_map_get(&k->answers, str_of(key.text, key.n));
    }
    if (found) *out = arena_str(a, str_of(found->bytes + found->key_n, found->n));
    lock_give(&k->lock);
    return out->p != NULL;
}

uint64_t typed_known_moment(struct typed_known *k)
{
    uint64_t moment;

    lock_take(&k->lock);
    moment = k->moment;
    lock_give(&k->lock);
    return moment;
}

void typed_known_answer_keep(struct typed_known *k, int64_t ns, const struct typed_asked *of,
                             uint64_t moment, struct str answer)
{
    struct known_key key;
    struct answer *a;
    struct str as;

    key_make(&key, ns, of->kind, of->type, of->name);
    if (!key.n || answer.n > TYPED_ANSWER_BYTES) {
        return;
    }
    a = (struct answer *)mem_alloc(sizeof(*a) + key.n + answer.n);
    if (!a) {
        return;
    }
    *a = (struct answer){ .key_n = key.n, .n = answer.n };
    memcpy(a->bytes, key.text, key.n);
    if (answer.n) memcpy(a->bytes + key.n, answer.p, answer.n);
    as = str_of(a->bytes, key.n);
    lock_take(&k->lock);
    if (k->answers.n >= TYPED_ANSWERS || k->answers_bytes >= TYPED_ANSWERS_BYTES) {
        clear_answers(k);
    }
    k->answers_bytes += sizeof(*a) + key.n + answer.n;
    if (k->moment != moment || str_map_get(&k->answers, as) || str_map_put(&k->answers, as, a)) {
        answer_free(k, a);
    }
    lock_give(&k->lock);
}

/* A node of a group that has committed. */
struct node_changed {
    struct typed_known *k;
    struct str key;
};

static void node_changed(void *ctx)
{
    struct node_changed *x = ctx;
    struct answer *a;

    lock_take(&x->k->lock);
    x->k->moment++;
    a = str_map_get(&x->k->answers, x->key);
    if (a) {
        str_map_remove(&x->k->answers, x->key);
        answer_free(x->k, a);
    }
    lock_give(&x->k->lock);
}

enum status typed_known_node_changing(struct typed_known *k, struct group *g, int64_t ns,
                                      const struct typed_asked *of, struct err *err)
{
    struct node_changed *x;
    struct known_key key;

    key_make(&key, ns, of->kind, of->type, of->name);
    if (!key.n) {
        return OK;
    }
    x = ARENA_NEW(group_arena(g), struct node_changed);
    if (!x) {
        return err_nomem(err);
    }
    *x = (struct node_changed){ k, arena_str(group_arena(g), str_of(key.text, key.n)) };
    return x->key.p ? group_effect(g, node_changed, NULL, x, err) : err_nomem(err);
}

void typed_known_answers_drop(struct typed_known *k)
{
    lock_take(&k->lock);
    clear_answers(k);
    lock_give(&k->lock);
}
