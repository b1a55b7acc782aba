/* core/access.c - tokens, principals and the decision. */
#include "core/access.h"
#include "base/exec.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "gen/sql/queries.h"
#include "store/series/batch.h"
#include "store/sql/sql.h"

enum { TOKENS_MAX = 100000, TOKEN_READ_MAX = 4096 };

struct known {
    struct digest sha256;
    struct principal principal;
    struct str name;
    struct known *retired_next;
    bool stored;   /* it came from the store */
    uint64_t seen; /* number of the last load that found it there */
    char text[];   /* name, then principal */
};

struct access {
    enum auth_mode mode;
    struct principal anonymous;
    struct rwlock lock;
    struct str_map by_digest; /* key: the digest's bytes */
    struct str_map by_name;
    uint64_t loads;        /* number of the last access_load() */
    struct known *retired; /* removed ones: principals stay valid for requests in flight */
};

static const char *const action_names[ACTION_N] = {
    [ACTION_NONE] = "none",
    [ACTION_PUBLIC] = "public",
    [ACTION_EXPERIMENT_READ] = "experiment.read",
    [ACTION_EXPERIMENT_CREATE] = "experiment.create",
    [ACTION_EXPERIMENT_UPDATE] = "experiment.update",
    [ACTION_EXPERIMENT_DELETE] = "experiment.delete",
    [ACTION_RUN_READ] = "run.read",
    [ACTION_RUN_CREATE] = "run.create",
    [ACTION_RUN_WRITE] = "run.write",
    [ACTION_RUN_DELETE] = "run.delete",
    [ACTION_ARTIFACT_READ] = "artifact.read",
    [ACTION_ARTIFACT_WRITE] = "artifact.write",
    [ACTION_ARTIFACT_DELETE] = "artifact.delete",
    [ACTION_MODEL_READ] = "model.read",
    [ACTION_MODEL_CREATE] = "model.create",
    [ACTION_MODEL_UPDATE] = "model.update",
    [ACTION_MODEL_DELETE] = "model.delete",
    [ACTION_SERVER_READ] = "server.read",
    [ACTION_SERVER_ADMIN] = "server.configure",
};

const char *action_name(enum action a)
{
    return (unsigned)a < ACTION_N ? action_names[a] : "";
}

enum status access_new(struct access **out, enum auth_mode mode, struct err *err)
{
    struct access *a = mem_zalloc(1, sizeof(*a));

    *out = a;
    if (!a) {
        return err_nomem(err);
    }
    a->mode = mode;
    a->anonymous = (struct principal){ S("anonymous"), true };
    a->by_digest.max = a->by_name.max = TOKENS_MAX;
    rwlock_init(&a->lock, LOCK_RANK_CACHE);
    return OK;
}

void access_free(struct access *a)
{
    struct str key;
    void *value;

    if (!a) {
        return;
    }
    for (size_t at = 0; str_map_next(&a->by_name, &at, &key, &value);) {
        mem_free(value);
    }
    for (struct known *k = a->retired, *next; k; k = next) {
        next = k->retired_next;
        mem_free(k);
    }
    str_map_release(&a->by_digest);
    str_map_release(&a->by_name);
    rwlock_release(&a->lock);
    mem_free(a);
}

enum auth_mode access_mode(const struct access *a)
{
    return a->mode;
}

/* Takes a token out of the maps; its memory stays, because a request in flight may still name its principal. Needs no memory: a
 * token that was removed from the store must not stay valid because memory is short. */
static bool retire(struct access *a, struct str name)
{
    struct known *k = str_map_get(&a->by_name, name);
    struct str digest;

    if (!k) {
        return false;
    }
    digest = str_of(k->sha256.b, sizeof(k->sha256.b));
    /* The same token may be known under another name as well. */
    if (str_map_get(&a->by_digest, digest) == k) {
        str_map_remove(&a->by_digest, digest);
    }
    str_map_remove(&a->by_name, k->name);
    k->retired_next = a->retired;
    a->retired = k;
    return true;
}

enum status access_add(struct access *a, struct str name, const struct digest *sha256,
                       struct str principal, struct err *err)
{
    struct known *k = mem_zalloc(1, sizeof(*k) + name.n + principal.n);
    enum status st = OK;

    if (!k) {
        return err_nomem(err);
    }
    k->sha256 = *sha256;
    memcpy(k->text, name.p, name.n);
    memcpy(k->text + name.n, principal.p, principal.n);
    k->name = str_of(k->text, name.n);
    k->principal = (struct principal){ str_of(k->text + name.n, principal.n), false };
    rwlock_write(&a->lock);
    retire(a, name);
    if (str_map_put(&a->by_name, k->name, k)) {
        st = err_nomem(err);
    }
    if (!st && str_map_put(&a->by_digest, str_of(k->sha256.b, sizeof(k->sha256.b)), k)) {
        str_map_remove(&a->by_name, k->name);
        st = err_nomem(err);
    }
    rwlock_give(&a->lock);
    if (st) {
        mem_free(k);
    }
    return st;
}

bool access_remove(struct access *a, struct str name)
{
    bool found;

    rwlock_write(&a->lock);
    found = retire(a, name);
    rwlock_give(&a->lock);
    return found;
}

enum status access_authenticate(struct access *a, struct str token, const struct principal **out,
                                struct err *err)
{
    struct digest d;
    const struct known *k;

    *out = &a->anonymous;
    if (!token.p || a->mode == AUTH_NONE) {
        return OK;
    }
    if (!token.n || token.n > TOKEN_READ_MAX) {
        return err_set(
            err, ST_UNAUTHENTICATED,
            "You are not authenticated. Send the token as a bearer token or as the basic password.");
    }
    if (!sha256_of(token.p, token.n, &d)) {
        return err_nomem(err);
    }
    /* The map compares digests of a secret the caller does not know: what leaks by timing is bits of a hash, not of a token.
     * The final comparison takes constant time all the same. */
    rwlock_read(&a->lock);
    k = str_map_get(&a->by_digest, str_of(d.b, sizeof(d.b)));
    rwlock_give(&a->lock);
    if (!k || !equal_const_time(k->sha256.b, d.b, sizeof(d.b))) {
        return err_set(err, ST_UNAUTHENTICATED,
                       "You are not authenticated. The token is not known.");
    }
    *out = &k->principal;
    return OK;
}

enum status authorise(struct access *a, const struct principal *p, enum action action,
                      enum resource resource, struct err *err)
{
    (void)resource;
    if (action == ACTION_PUBLIC) {
        return OK;
    }
    if (action <= ACTION_NONE || action >= ACTION_N) {
        return err_set(err, ST_DENIED, "Permission denied");
    }
    if (p->anonymous && a->mode != AUTH_NONE) {
        return err_set(
            err, ST_UNAUTHENTICATED,
            "You are not authenticated. Set MLFLOW_TRACKING_TOKEN to a token of this server.");
    }
    return OK;
}

/* ---- tokens -------------------------------------------------------------------------------------------------------------- */

bool token_new(char text[TOKEN_TEXT_MAX], struct digest *sha256)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t n = 0;

    memcpy(text, "cairn_t_", 8);
    /* 43 digits of base 62 hold more than 256 bits. */
    for (n = 8; n < 8 + 43; n++) {
        text[n] = digits[rand_below(62)];
    }
    text[n] = 0;
    return sha256_of(text, n, sha256);
}

/* Marks a token as one of the store; false when it is not known as it is there. */
static bool mark_stored(struct access *a, struct str name, const struct digest *d)
{
    struct known *k;
    bool same;

    rwlock_write(&a->lock);
    k = str_map_get(&a->by_name, name);
    same = k && memcmp(k->sha256.b, d->b, sizeof(d->b)) == 0;
    if (same) {
        k->stored = true;
        k->seen = a->loads;
    }
    rwlock_give(&a->lock);
    return same;
}

/* Other servers read the tokens again. */
static enum status put_notice(struct group *g, struct err *err)
{
    uint32_t ordinal;

    batch_record(group_batch(g));
    return batch_record_end(group_batch(g), BATCH_TOKENS, 0, &ordinal, err);
}

static enum status add_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct token_add *t = WRITE_OP_OF(op, struct token_add);
    int64_t added = 0;
    enum status st =
        q_token_insert(group_conn(g), t->name, str_of(t->sha256.b, sizeof(t->sha256.b)),
                       t->principal, group_now_ms(g), &added, err);

    if (!st && !added) {
        return err_field(err, ST_EXISTS, "name", "token %.*s exists already", STR_ARG(t->name));
    }
    return st ? st : put_notice(g, err);
}

static void add_apply(struct write_op *op)
{
    struct token_add *t = WRITE_OP_OF(op, struct token_add);

    /* When memory is out the token works from the next start on. */
    if (t->access) {
        IGNORE_STATUS(access_add(t->access, t->name, &t->sha256, t->principal, NULL));
        (void)mark_stored(t->access, t->name, &t->sha256);
    }
}

static const struct write_kind add_kind = {
    .name = "token.add", .validate = add_validate, .apply = add_apply, .sql = true
};

void token_add_init(struct token_add *t, struct access *access, struct arena *a)
{
    *t = (struct token_add){ .op = { .kind = &add_kind, .arena = a }, .access = access };
}

static enum status remove_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct token_remove *t = WRITE_OP_OF(op, struct token_remove);
    int64_t n = 0;
    enum status st = q_token_delete(group_conn(g), t->name, &n, err);

    if (!st && n == 0) {
        return err_field(err, ST_NOT_FOUND, "name", "token %.*s not found", STR_ARG(t->name));
    }
    return st ? st : put_notice(g, err);
}

static void remove_apply(struct write_op *op)
{
    struct token_remove *t = WRITE_OP_OF(op, struct token_remove);

    if (t->access) {
        access_remove(t->access, t->name);
    }
}

static const struct write_kind remove_kind = {
    .name = "token.remove", .validate = remove_validate, .apply = remove_apply, .sql = true
};

void token_remove_init(struct token_remove *t, struct access *access, struct arena *a)
{
    *t = (struct token_remove){ .op = { .kind = &remove_kind, .arena = a }, .access = access };
}

/* Those that were in the store once and are not any more. */
static void retire_missing(struct access *a)
{
    struct known *k;
    struct str key;
    void *value;
    bool again = true;

    rwlock_write(&a->lock);
    while (again) {
        again = false;
        for (size_t at = 0; !again && str_map_next(&a->by_name, &at, &key, &value);) {
            k = value;
            again = k->stored && k->seen != a->loads && retire(a, k->name);
        }
    }
    rwlock_give(&a->lock);
}

enum status access_load(struct access *a, struct view *v, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_token_all_row row;
    struct digest d;
    enum status st = q_token_all_open(v->conn, &stmt, err);

    rwlock_write(&a->lock);
    a->loads++;
    rwlock_give(&a->lock);
    while (!st && (st = q_token_all_next(stmt, &row, err)) == OK) {
        if (row.sha256.n != sizeof(d.b)) {
            st = err_set(err, ST_CORRUPT, "token %.*s has a digest of the wrong length",
                         STR_ARG(row.name));
            break;
        }
        memcpy(d.b, row.sha256.p, sizeof(d.b));
        if (mark_stored(a, row.name, &d)) continue;
        st = access_add(a, row.name, &d, row.principal, err);
        if (!st) (void)mark_stored(a, row.name, &d);
    }
    sql_close(stmt);
    if (st == ST_END) retire_missing(a);
    return st == ST_END ? OK : st;
}

enum status token_list(struct view *v, struct token_row **out, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_token_all_row row;
    size_t cap = 0;
    enum status st = q_token_all_open(v->conn, &stmt, err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_token_all_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.name) || !view_keep(v, &row.principal) ||
            !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = (struct token_row){ row.name, row.principal, row.create_ms };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}
