/* core/experiment.c - experiments: writes on the sequencer, reads from SQL.
 * The sequencer keeps what every run operation asks for (lifecycle, artifact location) in a small cache. An operation that
 * changes an experiment drops its entry in validate(), so that later operations of the group read the changed row, and
 * again in undo(), because such a read may have cached a row that was rolled back. */
#include "core/experiment.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "core/names.h"
#include "core/node.h"
#include "core/run.h"
#include "core/search/driver.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

enum { CACHE_MAX = 65536 };

struct cached {
    int64_t uid;
    enum lifecycle lifecycle;
    size_t location_n;
    char location[];
};

struct experiments {
    struct int_map by_id;
};

/* ---- cache ------------------------------------------------------------------------------------------------------------- */

enum status experiments_new(struct experiments **out, struct err *err)
{
    struct experiments *x = mem_zalloc(1, sizeof(*x));

    *out = x;
    if (!x) {
        return err_nomem(err);
    }
    x->by_id.max = CACHE_MAX;
    return OK;
}

static void cache_clear(struct experiments *x)
{
    uint64_t key;
    void *value;

    for (size_t at = 0; int_map_next(&x->by_id, &at, &key, &value);) {
        mem_free(value);
    }
    int_map_release(&x->by_id);
}

void experiments_free(struct experiments *x)
{
    if (x) {
        cache_clear(x);
        mem_free(x);
    }
}

void experiments_forget(struct core *core)
{
    cache_clear(core->experiments);
}

static void cache_drop(struct core *core, int64_t id)
{
    mem_free(int_map_remove(&core->experiments->by_id, (uint64_t)id));
}

void experiment_forget(struct core *core, int64_t id)
{
    cache_drop(core, id);
}

/* The entry of an experiment as the group sees it, valid until the next call; NULL after filling *err. */
static const struct cached *cache_find(struct core *core, struct group *g, int64_t id,
                                       struct err *err)
{
    struct experiments *x = core->experiments;
    struct cached *c = int_map_get(&x->by_id, (uint64_t)id);
    struct q_experiment_get_row row = { 0 };
    struct arena *a;
    enum status st;

    if (c) {
        return c;
    }
    a = arena_new(1 << 20);
    if (!a) {
        err_nomem(err);
        return NULL;
    }
    st = q_experiment_get(group_conn(g), a, id, &row, err);
    if (st) {
        if (st == ST_NOT_FOUND) {
            err_field(err, st, "experiment_id", "No Experiment with id=%" PRId64 " exists", id);
        }
        goto out;
    }
    if (x->by_id.n >= CACHE_MAX) {
        cache_clear(x);
    }
    c = mem_alloc(sizeof(*c) + row.artifact_location.n);
    if (!c || int_map_put(&x->by_id, (uint64_t)id, c)) {
        mem_free(c);
        c = NULL;
        err_nomem(err);
        goto out;
    }
    c->uid = row.uid;
    c->lifecycle = row.lifecycle ? LIFECYCLE_DELETED : LIFECYCLE_ACTIVE;
    c->location_n = row.artifact_location.n;
    memcpy(c->location, row.artifact_location.p, row.artifact_location.n);
out:
    arena_free(a);
    return c;
}

enum status experiment_require(struct core *core, struct group *g, int64_t id, struct err *err)
{
    return cache_find(core, g, id, err) ? OK : err->code;
}

enum status experiment_require_active(struct core *core, struct group *g, int64_t id,
                                      struct err *err)
{
    const struct cached *c = cache_find(core, g, id, err);

    if (!c) {
        return err->code;
    }
    if (c->lifecycle != LIFECYCLE_ACTIVE) {
        return err_field(err, ST_INVALID, "experiment_id",
                         "The experiment %" PRId64
                         " must be in the 'active' state. Current state is deleted.",
                         id);
    }
    return OK;
}

struct str experiment_artifact_location(struct core *core, struct group *g, int64_t id,
                                        struct arena *a)
{
    struct err ignored = ERR_INIT;
    const struct cached *c = cache_find(core, g, id, &ignored);

    if (!c) {
        return (struct str){ NULL, 0 };
    }
    return arena_str(a, str_of(c->location, c->location_n));
}

int64_t experiment_uid(struct core *core, struct group *g, int64_t id)
{
    struct err ignored = ERR_INIT;
    const struct cached *c = cache_find(core, g, id, &ignored);

    return c ? c->uid : 0;
}

/* ---- writes -------------------------------------------------------------------------------------------------------------- */

static enum status set_tags(struct sql_conn *c, int64_t id, const struct key_value *tags, size_t n,
                            struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = q_experiment_tag_set(c, id, tags[i].key, tags[i].value, err);
    }
    return st;
}

static enum status create_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct experiment_create *c = WRITE_OP_OF(op, struct experiment_create);
    struct q_counter_next_row next;
    struct q_experiment_get_by_name_row taken;
    struct node_new node = { .kind = NODE_CONTEXT,
                             .type = TYPE_MLFLOW_EXPERIMENT,
                             .scheme = IDENT_MLFLOW_EXPERIMENT };
    struct str location = c->artifact_location, root = c->core->artifact_root;
    int64_t uid;
    enum status st;

    st = q_experiment_get_by_name(group_conn(g), op->arena, c->name, &taken, err);
    if (st == OK) {
        return err_field(
            err, ST_EXISTS, "name",
            "Experiment(name=%.*s) already exists. Error: the name is taken by experiment %" PRId64
            "%s",
            STR_ARG(c->name), taken.id, taken.lifecycle ? ", which is deleted" : "");
    }
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = q_counter_next(group_conn(g), op->arena, S("experiment"), &next, err);
    if (st) {
        return st;
    }
    c->id = next.value - 1;
    node.ident = arena_printf(op->arena, "%" PRId64, c->id);
    if (!location.n) {
        location = arena_printf(op->arena, "%.*s%s%" PRId64, STR_ARG(root),
                                str_ends(root, S("/")) ? "" : "/", c->id);
    }
    if (!node.ident.p || !location.p) {
        return err_nomem(err);
    }
    st = group_node_add(g, &node, &uid, err);
    if (st) {
        return st;
    }
    st = q_experiment_insert(group_conn(g), c->id, uid, c->name, location, group_now_ms(g), err);
    if (st) {
        return st;
    }
    return set_tags(group_conn(g), c->id, c->tags, c->tags_n, err);
}

/* A later operation of the group may have asked for the new experiment by its number, which another one will get. */
static void create_undo(struct write_op *op)
{
    struct experiment_create *c = WRITE_OP_OF(op, struct experiment_create);

    cache_drop(c->core, c->id);
}

static const struct write_kind create_kind = {
    .name = "experiment.create", .validate = create_validate, .undo = create_undo, .sql = true
};

/* Experiment 0 is made once: renaming it does not bring back another of its name. */
static enum status default_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct q_experiment_get_row row;
    enum status st = q_experiment_get(group_conn(g), op->arena, 0, &row, err);

    return st == ST_NOT_FOUND ? create_validate(op, g, err) : st ? st : ST_EXISTS;
}

static const struct write_kind default_kind = {
    .name = "experiment.default", .validate = default_validate, .undo = create_undo, .sql = true
};

void experiment_create_init(struct experiment_create *c, struct core *core, struct arena *a)
{
    *c = (struct experiment_create){ .op = { .kind = &create_kind, .arena = a },
                                     .core = core,
                                     .id = -1 };
}

enum status experiments_ensure_default(struct core *core, struct err *err)
{
    struct experiment_create c;
    struct arena *a = arena_new(1 << 20);
    enum status st;

    if (!a) {
        return err_nomem(err);
    }
    experiment_create_init(&c, core, a);
    c.op.kind = &default_kind;
    c.name = S("Default");
    st = seq_run(core->seq, &c.op, err);
    arena_free(a);
    return st == ST_EXISTS ? OK : st;
}

static enum status rename_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct experiment_rename *r = WRITE_OP_OF(op, struct experiment_rename);
    struct q_experiment_get_by_name_row taken;
    const struct cached *c = cache_find(r->core, g, r->id, err);
    enum status st;

    if (!c) {
        return err->code;
    }
    if (c->lifecycle != LIFECYCLE_ACTIVE) {
        return err_set(err, ST_INVALID_STATE, "Cannot rename a non-active experiment.");
    }
    st = q_experiment_get_by_name(group_conn(g), op->arena, r->name, &taken, err);
    if (st == OK && taken.id != r->id) {
        return err_field(
            err, ST_EXISTS, "new_name",
            "Experiment(name=%.*s) already exists. Error: the name is taken by experiment %" PRId64,
            STR_ARG(r->name), taken.id);
    }
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    return q_experiment_rename(group_conn(g), r->id, r->name, group_now_ms(g), err);
}

static const struct write_kind rename_kind = { .name = "experiment.rename",
                                               .validate = rename_validate,
                                               .sql = true };

void experiment_rename_init(struct experiment_rename *r, struct core *core, struct arena *a)
{
    *r = (struct experiment_rename){ .op = { .kind = &rename_kind, .arena = a }, .core = core };
}

static enum status lifecycle_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct experiment_lifecycle *l = WRITE_OP_OF(op, struct experiment_lifecycle);
    const struct cached *c = cache_find(l->core, g, l->id, err);
    enum status st;

    if (!c) {
        return err->code;
    }
    if (c->lifecycle == l->to) {
        return err_field(err, ST_NOT_FOUND, "experiment_id",
                         "No Experiment with id=%" PRId64 " exists", l->id);
    }
    cache_drop(l->core, l->id);
    st = q_experiment_set_lifecycle(group_conn(g), l->id, l->to, group_now_ms(g), err);
    if (st) {
        return st;
    }
    return group_experiment_runs_lifecycle(g, l->id, l->to, err);
}

static void lifecycle_undo(struct write_op *op)
{
    struct experiment_lifecycle *l = WRITE_OP_OF(op, struct experiment_lifecycle);

    cache_drop(l->core, l->id);
}

static const struct write_kind lifecycle_kind = { .name = "experiment.lifecycle",
                                                  .validate = lifecycle_validate,
                                                  .undo = lifecycle_undo,
                                                  .sql = true };

void experiment_lifecycle_init(struct experiment_lifecycle *l, struct core *core, struct arena *a)
{
    *l = (struct experiment_lifecycle){ .op = { .kind = &lifecycle_kind, .arena = a },
                                        .core = core };
}

static enum status tag_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct experiment_tag *t = WRITE_OP_OF(op, struct experiment_tag);
    int64_t n = 0;
    enum status st = experiment_require_active(t->core, g, t->id, err);

    if (st) {
        return st;
    }
    if (!t->remove) {
        return q_experiment_tag_set(group_conn(g), t->id, t->key, t->value, err);
    }
    st = q_experiment_tag_delete(group_conn(g), t->id, t->key, &n, err);
    if (!st && n == 0) {
        return err_field(err, ST_NOT_FOUND, "key",
                         "No tag with name: %.*s in experiment with id %" PRId64, STR_ARG(t->key),
                         t->id);
    }
    return st;
}

static const struct write_kind tag_kind = { .name = "experiment.tag",
                                            .validate = tag_validate,
                                            .sql = true };

void experiment_tag_init(struct experiment_tag *t, struct core *core, struct arena *a)
{
    *t = (struct experiment_tag){ .op = { .kind = &tag_kind, .arena = a }, .core = core };
}

/* ---- reads --------------------------------------------------------------------------------------------------------------- */

enum status experiment_parse_id(struct str text, int64_t *id, struct err *err)
{
    *id = 0;
    if (text.n == 0 || num_parse_i64(str_trim(text), id)) {
        return OK;
    }
    return err_field(err, ST_INVALID, "experiment_id",
                     "Invalid experiment ID '%.*s'. Experiment ID must be a valid integer.",
                     STR_ARG(text));
}

static enum status read_tags(struct view *v, struct experiment *x, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_experiment_tags_row row;
    size_t cap = 0;
    enum status st = q_experiment_tags_open(v->conn, &stmt, x->id, err);

    while (!st && (st = q_experiment_tags_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.key) || !view_keep(v, &row.value) ||
            !arena_grow(v->arena, (void **)&x->tags, x->tags_n, &cap, sizeof(*x->tags))) {
            st = err_nomem(err);
            break;
        }
        x->tags[x->tags_n++] = (struct key_value){ row.key, row.value };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status experiment_get(struct view *v, int64_t id, struct experiment *out, struct err *err)
{
    struct q_experiment_get_row row;
    enum status st = q_experiment_get(v->conn, v->arena, id, &row, err);

    *out = (struct experiment){ 0 };
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "experiment_id", "No Experiment with id=%" PRId64 " exists", id);
    }
    if (st) {
        return st;
    }
    *out = (struct experiment){ .id = row.id,
                                .uid = row.uid,
                                .name = row.name,
                                .artifact_location = row.artifact_location,
                                .lifecycle = row.lifecycle ? LIFECYCLE_DELETED : LIFECYCLE_ACTIVE,
                                .create_ms = row.create_ms,
                                .update_ms = row.update_ms };
    return read_tags(v, out, err);
}

enum status experiment_get_by_name(struct view *v, struct str name, struct experiment *out,
                                   struct err *err)
{
    struct q_experiment_get_by_name_row row;
    enum status st = q_experiment_get_by_name(v->conn, v->arena, name, &row, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "experiment_name", "Could not find experiment with name '%.*s'",
                         STR_ARG(name));
    }
    return st ? st : experiment_get(v, row.id, out, err);
}

/* ---- search --------------------------------------------------------------------------------------------------------------- */

/* All experiments with their tags, in the arena. Installations have few experiments compared with runs. */
struct all {
    struct experiment *x;
    size_t n, cap;
    size_t tag_cap;
};

static enum status read_all(struct view *v, struct all *all, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_experiment_all_row row;
    struct q_experiment_tags_all_row tag;
    size_t at = 0;
    enum status st = q_experiment_all_open(v->conn, &stmt, err);

    while (!st && (st = q_experiment_all_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.name) || !view_keep(v, &row.artifact_location) ||
            !arena_grow(v->arena, (void **)&all->x, all->n, &all->cap, sizeof(*all->x))) {
            st = err_nomem(err);
            break;
        }
        all->x[all->n++] =
            (struct experiment){ .id = row.id,
                                 .uid = row.uid,
                                 .name = row.name,
                                 .artifact_location = row.artifact_location,
                                 .lifecycle = row.lifecycle ? LIFECYCLE_DELETED : LIFECYCLE_ACTIVE,
                                 .create_ms = row.create_ms,
                                 .update_ms = row.update_ms };
    }
    sql_close(stmt);
    stmt = NULL;
    st = st == ST_END ? q_experiment_tags_all_open(v->conn, &stmt, err) : st;
    while (!st && (st = q_experiment_tags_all_next(stmt, &tag, err)) == OK) {
        struct experiment *x;

        while (at < all->n && all->x[at].id < tag.exp) {
            at++;
            all->tag_cap = 0;
        }
        if (at == all->n || all->x[at].id != tag.exp) {
            continue; /* made after the first statement */
        }
        x = &all->x[at];
        if (!view_keep(v, &tag.key) || !view_keep(v, &tag.value) ||
            !arena_grow(v->arena, (void **)&x->tags, x->tags_n, &all->tag_cap, sizeof(*x->tags))) {
            st = err_nomem(err);
            break;
        }
        x->tags[x->tags_n++] = (struct key_value){ tag.key, tag.value };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct experiment *x = row;

    if (key->kind == SEARCH_ATTR && key->attr == ATTR_NAME) {
        *out = x->name;
        return true;
    }
    for (size_t i = 0; key->kind == SEARCH_TAG && i < x->tags_n; i++) {
        if (str_eq(x->tags[i].key, key->name)) {
            *out = x->tags[i].value;
            return true;
        }
    }
    return false;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    const struct experiment *x = row;

    *out = key->attr == ATTR_EXPERIMENT_ID   ? x->id
           : key->attr == ATTR_CREATION_TIME ? x->create_ms
                                             : x->update_ms;
    return key->attr == ATTR_EXPERIMENT_ID || key->attr == ATTR_CREATION_TIME ||
           key->attr == ATTR_LAST_UPDATE_TIME;
}

enum status experiment_search(struct view *v, const struct experiment_search *in,
                              struct experiment **out, size_t *n, struct str *next_token,
                              struct err *err)
{
    static const struct search_row_ops ops = { .text = row_text, .integer = row_integer };
    struct search_request request = { .entity = SEARCH_EXPERIMENTS,
                                      .filter = in->filter,
                                      .order_by = in->order_by,
                                      .order_by_n = in->order_by_n,
                                      .scope = arena_printf(v->arena, "%d", (int)in->view_type),
                                      .page = in->page };
    struct all all = { 0 };
    struct searcher *s;
    uint64_t *handles;
    enum status st = searcher_new(&s, &request, v->arena, err);

    *out = NULL;
    *n = 0;
    st = st ? st : read_all(v, &all, err);
    for (size_t i = 0; !st && i < all.n; i++) {
        if (view_type_has(in->view_type, all.x[i].lifecycle)) {
            st = searcher_offer(s, &ops, &all.x[i], i, err);
        }
    }
    st = st ? st : searcher_end(s, &handles, n, next_token, err);
    if (st) {
        return st;
    }
    *out = ARENA_ARRAY(v->arena, struct experiment, *n);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i] = all.x[handles[i]];
    }
    return OK;
}
