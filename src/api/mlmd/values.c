/* api/mlmd/values.c - messages of nodes, types and events to core's structs and back. */
#include "api/mlmd/mlmd_int.h"
#include <stdlib.h>

/* ---- fields by number ------------------------------------------------------------------------------------------------------ */

static const struct msg_field *field(const struct msg_desc *d, uint32_t number)
{
    const struct msg_field *f = msg_field_numbered(d, number);

    if (NEVER(!f)) BUG("a message lacks a field that the code names");
    return f;
}

const void *mlmd_field(const struct msg_desc *d, const void *in, uint32_t number)
{
    const struct msg_field *f = field(d, number);

    return *(const uint64_t *)in >> f->bit & 1 ? (const char *)in + f->off : NULL;
}

void *mlmd_list(const struct msg_desc *d, const void *in, uint32_t number, size_t *n)
{
    const struct msg_field *f = field(d, number);
    void *items;

    memcpy(n, (const char *)in + f->off_n, sizeof(*n));
    memcpy(&items, (const char *)in + f->off, sizeof(items));
    return items;
}

int64_t mlmd_i64(const struct msg_desc *d, const void *in, uint32_t number)
{
    const void *at = mlmd_field(d, in, number);
    int64_t v = 0;

    if (at) memcpy(&v, at, sizeof(v));
    return v;
}

static int32_t get_i32(const struct msg_desc *d, const void *in, uint32_t number)
{
    const void *at = mlmd_field(d, in, number);
    int32_t v = 0;

    if (at) memcpy(&v, at, sizeof(v));
    return v;
}

struct str mlmd_str(const struct msg_desc *d, const void *in, uint32_t number)
{
    const void *at = mlmd_field(d, in, number);
    struct str v = { NULL, 0 };

    if (at) memcpy(&v, at, sizeof(v));
    if (at && !v.p) v = S("");
    return v;
}

static void set(const struct msg_desc *d, void *out, uint32_t number, const void *v, size_t size)
{
    const struct msg_field *f = field(d, number);

    *(uint64_t *)out |= (uint64_t)1 << f->bit;
    memcpy((char *)out + f->off, v, size);
}

void mlmd_set_i64(const struct msg_desc *d, void *out, uint32_t number, int64_t v)
{
    set(d, out, number, &v, sizeof(v));
}

void mlmd_set_i32(const struct msg_desc *d, void *out, uint32_t number, int32_t v)
{
    set(d, out, number, &v, sizeof(v));
}

void mlmd_set_str(const struct msg_desc *d, void *out, uint32_t number, struct str v)
{
    set(d, out, number, &v, sizeof(v));
}

void mlmd_set_msg(const struct msg_desc *d, void *out, uint32_t number, void *v)
{
    set(d, out, number, &v, sizeof(v));
}

void mlmd_set_list(const struct msg_desc *d, void *out, uint32_t number, void *items, size_t n)
{
    set(d, out, number, &items, sizeof(items));
    memcpy((char *)out + field(d, number)->off_n, &n, sizeof(n));
}

void *mlmd_answer(struct call *c)
{
    const struct msg_desc *d = c->req->route->out;

    c->out = arena_zalloc(c->arena, 1, d->size);
    return c->out;
}

enum status mlmd_open(struct call *c, struct view *v, struct typed_space *s, struct err *err)
{
    struct str ns;
    enum status st = call_space(c, &ns, err);

    return st ? st : typed_open(v, ns, s, err);
}

/* ---- methods ----------------------------------------------------------------------------------------------------------------- */

enum status mlmd_methods(struct router *r, struct err *err)
{
    const struct {
        const struct route *rows;
        size_t n;
    } tables[] = { { mlmd_put_methods, mlmd_put_methods_n },
                   { mlmd_type_methods, mlmd_type_methods_n },
                   { mlmd_node_methods, mlmd_node_methods_n },
                   { mlmd_edge_methods, mlmd_edge_methods_n },
                   { mlmd_import_methods, mlmd_import_methods_n } };
    enum status st = OK;

    for (size_t i = 0; !st && i < ARRAY_N(tables); i++) {
        st = router_add(r, tables[i].rows, tables[i].n, NULL, 0, NULL, err);
    }
    return st;
}

/* ---- values ------------------------------------------------------------------------------------------------------------------ */

static const enum prop_type prop_types[] = { PROP_GONE, PROP_INT,   PROP_DOUBLE, PROP_TEXT,
                                             PROP_JSON, PROP_PROTO, PROP_BOOL };

static int32_t declared_as(enum prop_type t)
{
    for (size_t i = 1; i < ARRAY_N(prop_types); i++) {
        if (prop_types[i] == t) {
            return (int32_t)i;
        }
    }
    return 0;
}

static struct str text_of(struct str s)
{
    return s.p ? s : S("");
}

static enum status value_in(struct arena *a, const struct ml_metadata_value *v, struct prop *p,
                            struct err *err)
{
    uint64_t has = v ? v->has : 0;

    if (has & ML_METADATA_VALUE_HAS_INT_VALUE) {
        p->type = PROP_INT;
        p->i = v->int_value;
    } else if (has & ML_METADATA_VALUE_HAS_DOUBLE_VALUE) {
        p->type = PROP_DOUBLE;
        p->d = v->double_value;
    } else if (has & ML_METADATA_VALUE_HAS_STRING_VALUE) {
        p->type = PROP_TEXT;
        p->s = text_of(v->string_value);
    } else if (has & ML_METADATA_VALUE_HAS_BOOL_VALUE) {
        p->type = PROP_BOOL;
        p->i = v->bool_value;
    } else if (has & ML_METADATA_VALUE_HAS_PROTO_VALUE) {
        p->type = PROP_PROTO;
        p->s = text_of(v->proto_value->type_url);
        p->b = text_of(v->proto_value->value);
    } else if (has & ML_METADATA_VALUE_HAS_STRUCT_VALUE) {
        p->type = PROP_JSON;
        return msg_struct_json(a, &ml_metadata_struct_desc, v->struct_value, MSG_JSON_NAN_BARE,
                               &p->s, err);
    }
    return OK;
}

static enum status value_out(struct arena *a, const struct prop *p, struct ml_metadata_value *v,
                             struct err *err)
{
    struct ml_metadata_any *any;

    switch (p->type) {
    case PROP_INT: MSG_SET(v, ML_METADATA_VALUE_HAS_INT_VALUE, int_value, p->i); break;
    case PROP_DOUBLE: MSG_SET(v, ML_METADATA_VALUE_HAS_DOUBLE_VALUE, double_value, p->d); break;
    case PROP_BOOL: MSG_SET(v, ML_METADATA_VALUE_HAS_BOOL_VALUE, bool_value, p->i != 0); break;
    case PROP_JSON:
        v->has |= ML_METADATA_VALUE_HAS_STRUCT_VALUE;
        return mlmd_struct_parse(a, p->s, &v->struct_value, err);
    case PROP_PROTO:
        any = ARENA_NEW(a, struct ml_metadata_any);
        if (!any) return err_nomem(err);
        MSG_SET(any, ML_METADATA_ANY_HAS_TYPE_URL, type_url, p->s);
        MSG_SET(any, ML_METADATA_ANY_HAS_VALUE, value, text_of(p->b));
        MSG_SET(v, ML_METADATA_VALUE_HAS_PROTO_VALUE, proto_value, any);
        break;
    case PROP_TEXT:
    case PROP_BYTES:
    case PROP_GONE:
        MSG_SET(v, ML_METADATA_VALUE_HAS_STRING_VALUE, string_value, text_of(p->s));
        break;
    }
    return OK;
}

/* ---- maps: sorted by key, of equal keys the last -------------------------------------------------------------------------------- */

struct keyed {
    struct str key;
    size_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int c = str_cmp(x->key, y->key);

    return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* Indices of the entries that count, in their order. The key is the first field of an entry of `size` bytes, at `off`. */
static struct keyed *sorted(struct arena *a, const void *entries, size_t n, size_t size, size_t off,
                            size_t *out_n)
{
    struct keyed *k = ARENA_ARRAY(a, struct keyed, n + 1);
    size_t kept = 0;

    for (size_t i = 0; k && i < n; i++) {
        memcpy(&k[i].key, (const char *)entries + i * size + off, sizeof(k[i].key));
        k[i].at = i;
    }
    if (k) {
        qsort(k, n, sizeof(*k), by_key);
        for (size_t i = 0; i < n; i++) {
            if (i + 1 == n || !str_eq(k[i].key, k[i + 1].key)) {
                k[kept++] = k[i];
            }
        }
    }
    *out_n = kept;
    return k;
}

static enum status props_in(struct arena *a, const struct ml_metadata_property_entry *e, size_t n,
                            enum prop_scope scope, struct typed_node *out, struct err *err)
{
    size_t kept;
    struct keyed *k =
        sorted(a, e, n, sizeof(*e), offsetof(struct ml_metadata_property_entry, key), &kept);
    enum status st = k ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < kept; i++) {
        struct prop *p = &out->props[out->props_n++];

        *p = (struct prop){ .scope = scope, .key = text_of(k[i].key) };
        st = value_in(a, e[k[i].at].value, p, err);
    }
    return st;
}

static enum status props_out(struct arena *a, const struct msg_desc *d, void *out,
                             const struct typed_node *n, enum prop_scope scope, uint32_t number,
                             struct err *err)
{
    struct ml_metadata_property_entry *e =
        ARENA_ARRAY(a, struct ml_metadata_property_entry, n->props_n + 1);
    struct ml_metadata_value *v = ARENA_ARRAY(a, struct ml_metadata_value, n->props_n + 1);
    enum status st = e && v ? OK : err_nomem(err);
    size_t k = 0;

    for (size_t i = 0; !st && i < n->props_n; i++) {
        if (n->props[i].scope == scope) {
            MSG_SET(&e[k], ML_METADATA_PROPERTY_ENTRY_HAS_KEY, key, n->props[i].key);
            MSG_SET(&e[k], ML_METADATA_PROPERTY_ENTRY_HAS_VALUE, value, &v[k]);
            st = value_out(a, &n->props[i], &v[k], err);
            k++;
        }
    }
    if (!st && k) {
        mlmd_set_list(d, out, number, e, k);
    }
    return st;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------------- */

enum { ID = 1, TYPE_ID = 2, PROPERTIES = 4, CUSTOM_PROPERTIES = 5 };

/* Numbers of the fields that differ; 0: the kind has none. */
static const struct node_fields {
    uint8_t name, uri, state, type, create, update, external;
} node_fields[] = {
    [NODE_ARTIFACT] = { 7, 3, 6, 8, 9, 10, 11 },
    [NODE_EXECUTION] = { 6, 0, 3, 7, 8, 9, 10 },
    [NODE_CONTEXT] = { 3, 0, 0, 6, 7, 8, 9 },
};

const struct msg_desc *mlmd_node_desc(enum node_kind kind)
{
    return kind == NODE_ARTIFACT    ? &ml_metadata_artifact_desc
           : kind == NODE_EXECUTION ? &ml_metadata_execution_desc
                                    : &ml_metadata_context_desc;
}

enum status mlmd_node_in(struct arena *a, enum node_kind kind, const void *in,
                         struct typed_node *out, struct err *err)
{
    const struct msg_desc *d = mlmd_node_desc(kind);
    const struct node_fields *f = &node_fields[kind];
    size_t typed_n, custom_n;
    const struct ml_metadata_property_entry *typed = mlmd_list(d, in, PROPERTIES, &typed_n);
    const struct ml_metadata_property_entry *custom =
        mlmd_list(d, in, CUSTOM_PROPERTIES, &custom_n);
    enum status st;

    *out = (struct typed_node){ .kind = kind,
                                .has_id = mlmd_field(d, in, ID) != NULL,
                                .has_type = mlmd_field(d, in, TYPE_ID) != NULL,
                                .has_state = f->state && mlmd_field(d, in, f->state),
                                .has_update = mlmd_field(d, in, f->update) != NULL,
                                .id = mlmd_i64(d, in, ID),
                                .type = mlmd_i64(d, in, TYPE_ID),
                                .name = mlmd_str(d, in, f->name),
                                .external_id = mlmd_str(d, in, f->external),
                                .create_ms = mlmd_i64(d, in, f->create),
                                .update_ms = mlmd_i64(d, in, f->update) };
    if (out->has_state) out->state = get_i32(d, in, f->state);
    if (f->uri) out->uri = mlmd_str(d, in, f->uri);
    out->props = ARENA_ARRAY(a, struct prop, typed_n + custom_n + 1);
    st = out->props ? props_in(a, typed, typed_n, PROP_TYPED, out, err) : err_nomem(err);
    return st ? st : props_in(a, custom, custom_n, PROP_CUSTOM, out, err);
}

enum status mlmd_nodes_in(struct arena *a, enum node_kind kind, const void *in, size_t n,
                          struct typed_node **out, struct err *err)
{
    size_t size = mlmd_node_desc(kind)->size;
    enum status st = OK;

    *out = ARENA_ARRAY(a, struct typed_node, n + 1);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = mlmd_node_in(a, kind, (const char *)in + i * size, &(*out)[i], err);
    }
    return st;
}

static enum status node_out(struct arena *a, const struct typed_node *n, void *out, struct err *err)
{
    const struct msg_desc *d = mlmd_node_desc(n->kind);
    const struct node_fields *f = &node_fields[n->kind];
    enum status st;

    mlmd_set_i64(d, out, ID, n->id);
    mlmd_set_i64(d, out, TYPE_ID, n->type);
    mlmd_set_str(d, out, f->type, n->type_name);
    mlmd_set_i64(d, out, f->create, n->create_ms);
    mlmd_set_i64(d, out, f->update, n->update_ms);
    if (n->name.p) mlmd_set_str(d, out, f->name, n->name);
    if (n->external_id.p) mlmd_set_str(d, out, f->external, n->external_id);
    if (f->uri) mlmd_set_str(d, out, f->uri, text_of(n->uri));
    if (f->state && n->has_state) mlmd_set_i32(d, out, f->state, n->state);
    st = props_out(a, d, out, n, PROP_TYPED, PROPERTIES, err);
    return st ? st : props_out(a, d, out, n, PROP_CUSTOM, CUSTOM_PROPERTIES, err);
}

enum status mlmd_nodes_out(struct arena *a, enum node_kind kind, const struct typed_node *in,
                           size_t n, void **out, struct err *err)
{
    size_t size = mlmd_node_desc(kind)->size;
    enum status st = OK;

    *out = arena_zalloc(a, n + 1, size);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = node_out(a, &in[i], (char *)*out + i * size, err);
    }
    return st;
}

/* ---- types --------------------------------------------------------------------------------------------------------------------- */

enum { TYPE_NAME = 2, TYPE_PROPERTIES = 3, INPUT = 4, OUTPUT = 5, ARTIFACT_BASES = 4 };

static const struct type_fields {
    uint8_t version, description, base, external;
} type_fields[] = {
    [NODE_ARTIFACT] = { 4, 5, 6, 7 },
    [NODE_EXECUTION] = { 6, 7, 8, 9 },
    [NODE_CONTEXT] = { 4, 5, 6, 7 },
};

const struct msg_desc *mlmd_type_desc(enum node_kind kind)
{
    return kind == NODE_ARTIFACT    ? &ml_metadata_artifact_type_desc
           : kind == NODE_EXECUTION ? &ml_metadata_execution_type_desc
                                    : &ml_metadata_context_type_desc;
}

static enum status type_in(struct arena *a, enum node_kind kind, const void *in,
                           struct typed_type *out, struct err *err)
{
    const struct msg_desc *d = mlmd_type_desc(kind);
    const struct type_fields *f = &type_fields[kind];
    size_t n, kept;
    const struct ml_metadata_property_type_entry *e = mlmd_list(d, in, TYPE_PROPERTIES, &n);
    struct keyed *k =
        sorted(a, e, n, sizeof(*e), offsetof(struct ml_metadata_property_type_entry, key), &kept);
    int32_t base = get_i32(d, in, f->base);

    *out = (struct typed_type){ .kind = kind,
                                .name = mlmd_str(d, in, TYPE_NAME),
                                .version = mlmd_str(d, in, f->version),
                                .description = mlmd_str(d, in, f->description),
                                .external_id = mlmd_str(d, in, f->external),
                                .has_base = mlmd_field(d, in, f->base) != NULL,
                                .base =
                                    base && kind == NODE_EXECUTION ? base + ARTIFACT_BASES : base };
    if (kind == NODE_EXECUTION) {
        out->input = mlmd_str(d, in, INPUT);
        out->output = mlmd_str(d, in, OUTPUT);
    }
    out->props = ARENA_ARRAY(a, struct typed_decl, n + 1);
    if (!out->props || !k) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < kept; i++) {
        out->props[out->props_n++] =
            (struct typed_decl){ text_of(k[i].key), prop_types[e[k[i].at].value] };
    }
    return OK;
}

enum status mlmd_types_in(struct arena *a, enum node_kind kind, const void *in, size_t n,
                          struct typed_type *out, struct err *err)
{
    size_t size = mlmd_type_desc(kind)->size;
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = type_in(a, kind, (const char *)in + i * size, &out[i], err);
    }
    return st;
}

static enum status type_out(struct arena *a, const struct typed_type *t, bool base, void *out,
                            struct err *err)
{
    const struct msg_desc *d = mlmd_type_desc(t->kind);
    const struct type_fields *f = &type_fields[t->kind];
    struct ml_metadata_property_type_entry *e =
        ARENA_ARRAY(a, struct ml_metadata_property_type_entry, t->props_n + 1);

    if (!e) {
        return err_nomem(err);
    }
    mlmd_set_i64(d, out, ID, t->id);
    mlmd_set_str(d, out, TYPE_NAME, t->name);
    if (t->version.p) mlmd_set_str(d, out, f->version, t->version);
    if (t->description.p) mlmd_set_str(d, out, f->description, t->description);
    if (t->external_id.p) mlmd_set_str(d, out, f->external, t->external_id);
    if (t->input.p) mlmd_set_str(d, out, INPUT, t->input);
    if (t->output.p) mlmd_set_str(d, out, OUTPUT, t->output);
    if (base && t->base) {
        mlmd_set_i32(d, out, f->base,
                     (int32_t)(t->kind == NODE_EXECUTION ? t->base - ARTIFACT_BASES : t->base));
    }
    for (size_t i = 0; i < t->props_n; i++) {
        MSG_SET(&e[i], ML_METADATA_PROPERTY_TYPE_ENTRY_HAS_KEY, key, t->props[i].key);
        MSG_SET(&e[i], ML_METADATA_PROPERTY_TYPE_ENTRY_HAS_VALUE, value,
                declared_as(t->props[i].type));
    }
    if (t->props_n) {
        mlmd_set_list(d, out, TYPE_PROPERTIES, e, t->props_n);
    }
    return OK;
}

enum status mlmd_types_out(struct arena *a, enum node_kind kind, const struct typed_type *in,
                           size_t n, bool base, void **out, struct err *err)
{
    size_t size = mlmd_type_desc(kind)->size;
    enum status st = OK;

    *out = arena_zalloc(a, n + 1, size);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = type_out(a, &in[i], base, (char *)*out + i * size, err);
    }
    return st;
}

/* ---- events -------------------------------------------------------------------------------------------------------------------- */

enum status mlmd_event_in(struct arena *a, const struct ml_metadata_event *in,
                          struct typed_event *out, struct err *err)
{
    size_t n = in->path ? in->path->steps_n : 0;

    *out = (struct typed_event){
        .has_artifact = (in->has & ML_METADATA_EVENT_HAS_ARTIFACT_ID) != 0,
        .has_execution = (in->has & ML_METADATA_EVENT_HAS_EXECUTION_ID) != 0,
        .has_ms = (in->has & ML_METADATA_EVENT_HAS_MILLISECONDS_SINCE_EPOCH) != 0,
        .artifact = in->artifact_id,
        .execution = in->execution_id,
        .ms = in->milliseconds_since_epoch,
        .type = in->type,
        .steps = ARENA_ARRAY(a, struct typed_step, n + 1),
    };
    if (!out->steps) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const struct ml_metadata_event_step *s = &in->path->steps[i];

        out->steps[out->steps_n++] =
            (struct typed_step){ .is_index = (s->has & ML_METADATA_EVENT_STEP_HAS_INDEX) != 0,
                                 .index = s->index,
                                 .key = text_of(s->key) };
    }
    return OK;
}

enum status mlmd_events_out(struct arena *a, const struct typed_event *in, size_t n,
                            struct ml_metadata_event **out, struct err *err)
{
    *out = ARENA_ARRAY(a, struct ml_metadata_event, n + 1);
    for (size_t i = 0; *out && i < n; i++) {
        struct ml_metadata_event *e = &(*out)[i];

        MSG_SET(e, ML_METADATA_EVENT_HAS_ARTIFACT_ID, artifact_id, in[i].artifact);
        MSG_SET(e, ML_METADATA_EVENT_HAS_EXECUTION_ID, execution_id, in[i].execution);
        MSG_SET(e, ML_METADATA_EVENT_HAS_TYPE, type, in[i].type);
        MSG_SET(e, ML_METADATA_EVENT_HAS_MILLISECONDS_SINCE_EPOCH, milliseconds_since_epoch,
                in[i].ms);
        if (!in[i].steps_n) {
            continue;
        }
        MSG_SET(e, ML_METADATA_EVENT_HAS_PATH, path, ARENA_NEW(a, struct ml_metadata_event_path));
        if (!e->path) {
            return err_nomem(err);
        }
        e->path->steps = ARENA_ARRAY(a, struct ml_metadata_event_step, in[i].steps_n);
        e->path->steps_n = in[i].steps_n;
        for (size_t k = 0; e->path->steps && k < in[i].steps_n; k++) {
            struct ml_metadata_event_step *s = &e->path->steps[k];

            if (in[i].steps[k].is_index) {
                MSG_SET(s, ML_METADATA_EVENT_STEP_HAS_INDEX, index, in[i].steps[k].index);
            } else {
                MSG_SET(s, ML_METADATA_EVENT_STEP_HAS_KEY, key, in[i].steps[k].key);
            }
        }
        if (!e->path->steps) {
            return err_nomem(err);
        }
    }
    return *out ? OK : err_nomem(err);
}
