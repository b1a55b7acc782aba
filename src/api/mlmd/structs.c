/* api/mlmd/structs.c - google.protobuf.Struct is kept as the JSON object that it means (msg_struct_json()); back from there. Numbers that
 * JSON has no digits for are NaN, Infinity, -Infinity. */
#include "api/mlmd/mlmd_int.h"
#include "base/num.h"
#include "codec/json.h"
#include <math.h>

enum { DEPTH_MAX = 64 };

/* ---- from JSON ------------------------------------------------------------------------------------------------------------- */

struct parse {
    struct json_reader r;
    struct arena *a;
    struct err *err;
};

static enum status damaged(struct parse *p)
{
    return p->r.status == ST_NOMEM ? err_nomem(p->err)
                                   : err_set(p->err, ST_CORRUPT, "a struct property is damaged");
}

static enum status read_value(struct parse *p, enum json_event e,
                              struct ml_metadata_struct_value *v);

static enum status read_struct(struct parse *p, struct ml_metadata_struct *s)
{
    enum status st = OK;
    enum json_event e;
    size_t cap = 0;

    while (!st && (e = json_next(&p->r)) == JSON_EV_KEY) {
        struct ml_metadata_struct_member *m;
        struct ml_metadata_struct_value *v = ARENA_NEW(p->a, struct ml_metadata_struct_value);

        if (!v || !arena_grow(p->a, (void **)&s->fields, s->fields_n, &cap, sizeof(*s->fields))) {
            return err_nomem(p->err);
        }
        m = &s->fields[s->fields_n++];
        *m = (struct ml_metadata_struct_member){ 0 };
        MSG_SET(m, ML_METADATA_STRUCT_MEMBER_HAS_KEY, key, json_text(&p->r, p->a));
        MSG_SET(m, ML_METADATA_STRUCT_MEMBER_HAS_VALUE, value, v);
        st = m->key.p ? read_value(p, json_next(&p->r), v) : err_nomem(p->err);
    }
    return st ? st : e == JSON_EV_OBJECT_END ? OK : damaged(p);
}

static enum status read_list(struct parse *p, struct ml_metadata_struct_list *l)
{
    enum status st = OK;
    enum json_event e = JSON_EV_ERROR;
    size_t cap = 0;

    while (!st && (e = json_next(&p->r)) != JSON_EV_ARRAY_END) {
        if (!arena_grow(p->a, (void **)&l->values, l->values_n, &cap, sizeof(*l->values))) {
            return err_nomem(p->err);
        }
        l->values[l->values_n] = (struct ml_metadata_struct_value){ 0 };
        st = read_value(p, e, &l->values[l->values_n++]);
    }
    return st;
}

static double number_of(struct str raw)
{
    double d = 0;

    return raw.p[0] == 'N'                ? (double)NAN
           : raw.p[0] == 'I'              ? (double)INFINITY
           : raw.n > 1 && raw.p[1] == 'I' ? -(double)INFINITY
           : num_parse_double(raw, &d)    ? d
                                          : 0;
}

static enum status read_value(struct parse *p, enum json_event e,
                              struct ml_metadata_struct_value *v)
{
    struct ml_metadata_struct *s;
    struct ml_metadata_struct_list *l;

    switch (e) {
    case JSON_EV_NULL: v->has |= ML_METADATA_STRUCT_VALUE_HAS_NULL_VALUE; return OK;
    case JSON_EV_TRUE:
    case JSON_EV_FALSE:
        MSG_SET(v, ML_METADATA_STRUCT_VALUE_HAS_BOOL_VALUE, bool_value, e == JSON_EV_TRUE);
        return OK;
    case JSON_EV_NUMBER:
    case JSON_EV_NAN:
        MSG_SET(v, ML_METADATA_STRUCT_VALUE_HAS_NUMBER_VALUE, number_value, number_of(p->r.raw));
        return OK;
    case JSON_EV_STRING:
        MSG_SET(v, ML_METADATA_STRUCT_VALUE_HAS_STRING_VALUE, string_value, json_text(&p->r, p->a));
        return v->string_value.p ? OK : err_nomem(p->err);
    case JSON_EV_OBJECT:
        s = ARENA_NEW(p->a, struct ml_metadata_struct);
        MSG_SET(v, ML_METADATA_STRUCT_VALUE_HAS_STRUCT_VALUE, struct_value, s);
        return s ? read_struct(p, s) : err_nomem(p->err);
    case JSON_EV_ARRAY:
        l = ARENA_NEW(p->a, struct ml_metadata_struct_list);
        MSG_SET(v, ML_METADATA_STRUCT_VALUE_HAS_LIST_VALUE, list_value, l);
        return l ? read_list(p, l) : err_nomem(p->err);
    case JSON_EV_ERROR:
    case JSON_EV_MORE:
    case JSON_EV_END:
    case JSON_EV_KEY:
    case JSON_EV_OBJECT_END:
    case JSON_EV_ARRAY_END: break;
    }
    return damaged(p);
}

enum status mlmd_struct_parse(struct arena *a, struct str text, struct ml_metadata_struct **out,
                              struct err *err)
{
    struct parse p = { .a = a, .err = err };
    enum status st;

    *out = ARENA_NEW(a, struct ml_metadata_struct);
    if (!*out) {
        return err_nomem(err);
    }
    json_init(&p.r, text, JSON_BARE_NAN, DEPTH_MAX);
    st = json_next(&p.r) == JSON_EV_OBJECT ? read_struct(&p, *out) : damaged(&p);
    json_release(&p.r);
    return st;
}
