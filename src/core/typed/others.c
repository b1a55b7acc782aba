/* core/typed/others.c - nodes of other protocols, read through their owners. */
#include "core/typed/others.h"
#include "core/run.h"
#include "core/typed/typed_int.h"

/* scheme: of the identity that is the node's name here; 0: it has none. In the order of their ids. */
static const struct other {
    enum node_kind kind;
    int type, scheme;
    struct str name;
} others[] = {
    { NODE_CONTEXT, TYPE_MLFLOW_EXPERIMENT, IDENT_MLFLOW_EXPERIMENT, S_INIT("mlflow.Experiment") },
    { NODE_EXECUTION, TYPE_MLFLOW_RUN, IDENT_MLFLOW_RUN, S_INIT("mlflow.Run") },
    { NODE_ARTIFACT, TYPE_MLFLOW_DATASET, 0, S_INIT("mlflow.Dataset") },
    { NODE_ARTIFACT, TYPE_MLFLOW_LOGGED_MODEL, IDENT_MLFLOW_LOGGED_MODEL,
      S_INIT("mlflow.LoggedModel") },
    { NODE_CONTEXT, TYPE_MLFLOW_REGISTERED_MODEL, IDENT_REGISTERED_MODEL,
      S_INIT("mlflow.RegisteredModel") },
    { NODE_CONTEXT, TYPE_MLFLOW_MODEL_VERSION, IDENT_MODEL_VERSION, S_INIT("mlflow.ModelVersion") },
    { NODE_ARTIFACT, TYPE_MODEL, 0, S_INIT("cairn.Model") },
};

enum status typed_other_refused(struct err *err)
{
    enum status st =
        err_set(err, ST_INVALID_STATE,
                "Nodes and types of other protocols are only read here: events, attributions "
                "and associations may name them");

    err_hint(err, "change it through its own protocol");
    return st;
}

/* ---- types ------------------------------------------------------------------------------------------------------------------- */

bool typed_other_types(enum node_kind kind, size_t *at, struct typed_type *out)
{
    while (*at < ARRAY_N(others)) {
        const struct other *o = &others[(*at)++];

        if (o->kind == kind) {
            *out = (struct typed_type){
                .kind = kind, .uid = o->type, .id = TYPED_OTHER_TYPES + o->type, .name = o->name
            };
            return true;
        }
    }
    return false;
}

enum status typed_other_type(enum node_kind kind, struct str name, int64_t id,
                             struct typed_type *out)
{
    size_t at = 0;

    while (typed_other_types(kind, &at, out)) {
        if (name.p ? str_eq(out->name, name) : out->id == id) {
            return OK;
        }
    }
    return ST_NOT_FOUND;
}

/* ---- properties ---------------------------------------------------------------------------------------------------------------- */

struct dressing {
    struct arena *a;
    struct prop *props;
    size_t n, cap;
    bool nomem;
};

static struct prop *add(struct dressing *d, const char *group, struct str key, enum prop_type type)
{
    struct str full = group ? arena_printf(d->a, "%s.%.*s", group, STR_ARG(key)) : key;

    if (!full.p || !arena_grow(d->a, (void **)&d->props, d->n, &d->cap, sizeof(*d->props))) {
        d->nomem = true;
        return NULL;
    }
    d->props[d->n] = (struct prop){ .scope = PROP_CUSTOM, .type = type, .key = full };
    return &d->props[d->n++];
}

static void add_text(struct dressing *d, const char *group, struct str key, struct str value)
{
    struct prop *p = add(d, group, key, PROP_TEXT);

    if (p) p->s = value.p ? value : S("");
}

static enum status dress_run(struct typed_space *s, struct typed_node *n, struct dressing *d,
                             struct err *err)
{
    /* NEW 1, RUNNING 2, COMPLETE 3, FAILED 4, CANCELED 6 */
    static const uint8_t states[] = { [RUN_RUNNING] = 2,
                                      [RUN_SCHEDULED] = 1,
                                      [RUN_FINISHED] = 3,
                                      [RUN_FAILED] = 4,
                                      [RUN_KILLED] = 6 };
    struct run_view run;
    struct prop *p;
    enum status st = run_get_uid(s->v, n->uid, &run, err);

    if (st) {
        return st;
    }
    n->name = run.run_id;
    n->has_state = (size_t)run.status < ARRAY_N(states) && states[run.status];
    n->state = n->has_state ? states[run.status] : 0;
    add_text(d, NULL, S("run_name"), run.name);
    p = add(d, NULL, S("experiment_id"), PROP_INT);
    if (p) p->i = run.experiment;
    p = add(d, NULL, S("start_time"), PROP_INT);
    if (p) p->i = run.start_ms;
    p = run.has_end ? add(d, NULL, S("end_time"), PROP_INT) : NULL;
    if (p) p->i = run.end_ms;
    for (size_t i = 0; i < run.params_n; i++) {
        add_text(d, "params", run.params[i].key, run.params[i].value);
    }
    for (size_t i = 0; i < run.tags_n; i++) {
        add_text(d, "tags", run.tags[i].key, run.tags[i].value);
    }
    for (size_t i = 0; i < run.metrics_n; i++) {
        p = add(d, "metrics", run.metrics[i].key, PROP_DOUBLE);
        if (p) p->d = run.metrics[i].value;
    }
    return OK;
}

static enum status dress_plain(struct typed_space *s, struct typed_node *n, struct dressing *d,
                               struct err *err)
{
    struct q_other_digest_row row;
    struct prop *props;
    size_t props_n;
    enum status st = q_other_digest(s->v->conn, s->v->arena, n->uid, &row, err);

    st = st ? st : typed_props(s->v, n->uid, &props, &props_n, err);
    if (st) {
        return st;
    }
    if (n->name.n) add_text(d, NULL, S("name"), n->name);
    if (row.digest.n) add_text(d, NULL, S("digest"), row.digest);
    for (size_t i = 0; i < props_n; i++) {
        struct prop *p = add(d, NULL, props[i].key, props[i].type);

        if (p) {
            *p = props[i];
            p->scope = PROP_CUSTOM;
        }
    }
    return OK;
}

enum status typed_other_dress(struct typed_space *s, struct typed_node *n, struct err *err)
{
    struct dressing d = { .a = s->v->arena };
    const struct other *o = NULL;
    struct q_other_ident_row ident;
    enum status st;

    for (size_t i = 0; i < ARRAY_N(others); i++) {
        o = others[i].type == n->type_uid ? &others[i] : o;
    }
    if (!o) {
        return ST_NOT_FOUND;
    }
    n->type = TYPED_OTHER_TYPES + o->type;
    n->type_name = o->name;
    n->has_id = n->has_type = true;
    n->has_state = false;
    if (o->type == TYPE_MLFLOW_RUN) {
        st = dress_run(s, n, &d, err);
    } else {
        st = dress_plain(s, n, &d, err);
        n->name = (struct str){ NULL, 0 };
        if (!st && o->scheme) {
            st = q_other_ident(s->v->conn, s->v->arena, n->uid, o->scheme, &ident, err);
            n->name = st ? n->name : ident.key;
            st = st == ST_NOT_FOUND ? OK : st;
        }
    }
    n->props = d.props;
    n->props_n = d.n;
    return st ? st : d.nomem ? err_nomem(err) : OK;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------- */

enum status typed_other_node(struct typed_space *s, enum node_kind kind, int64_t id,
                             struct typed_node *out, struct err *err)
{
    struct q_other_node_row row;
    enum status st =
        s->others ? q_other_node(s->v->conn, s->v->arena, kind, id, &row, err) : ST_NOT_FOUND;

    if (st) {
        return st;
    }
    *out = (struct typed_node){ .kind = kind,
                                .uid = row.uid,
                                .id = id,
                                .type_uid = row.type_id,
                                .name = row.name,
                                .uri = row.uri,
                                .create_ms = row.create_ms,
                                .update_ms = row.update_ms };
    return typed_other_dress(s, out, err);
}

enum status typed_other_named(struct typed_space *s, const struct typed_type *type, struct str name,
                              struct typed_node *out, struct err *err)
{
    struct q_ident_find_row row;
    struct q_other_number_row number;
    enum status st = ST_NOT_FOUND;

    for (size_t i = 0; i < ARRAY_N(others); i++) {
        if (others[i].type == type->uid && others[i].scheme) {
            st = q_ident_find(s->v->conn, s->v->arena, 0, others[i].scheme, name, &row, err);
        }
    }
    st = st ? st : q_other_number(s->v->conn, s->v->arena, row.uid, &number, err);
    return st ? st : typed_other_node(s, type->kind, number.id, out, err);
}
