/* api/kubeflow/values.c - bodies as facts of an item, items as messages. The tables drive both: a field of a message that is not one of
 * those that every item has is a typed property of the same name. */
#include "api/kubeflow/custom.h"
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"
#include "base/utf8.h"
#include "codec/json.h"
#include <inttypes.h>
#include <math.h>

#define MEMBER(type, msg, f)  ((type *)(void *)((char *)(msg) + (f)->off))
#define CMEMBER(type, msg, f) ((const type *)(const void *)((const char *)(msg) + (f)->off))

static const struct {
    enum node_type type;
    const char *name;
    unsigned from, to; /* fields of it, by number */
} artifact_types[] = {
    { TYPE_KF_MODEL_ARTIFACT, "model-artifact", 13, 22 },
    { TYPE_KF_DOC_ARTIFACT, "doc-artifact", 1, 0 },
    { TYPE_KF_DATASET, "dataset-artifact", 23, 27 },
    { TYPE_KF_METRIC, "metric", 28, 30 },
    { TYPE_KF_PARAMETER, "parameter", 31, 31 },
};

enum node_type kf_artifact_type(struct str text)
{
    for (size_t i = 0; i < ARRAY_N(artifact_types); i++) {
        if (str_eq(text, str_cstr(artifact_types[i].name))) {
            return artifact_types[i].type;
        }
    }
    return (enum node_type)0;
}

struct str kf_artifact_type_name(enum node_type type)
{
    for (size_t i = 0; i < ARRAY_N(artifact_types); i++) {
        if (artifact_types[i].type == catalog_shown_type(type)) {
            return str_cstr(artifact_types[i].name);
        }
    }
    return S("");
}

uint64_t kf_artifact_fields(enum node_type type)
{
    uint64_t out = KUBEFLOW_ARTIFACT_HAS_STATE;

    if (type == TYPE_KF_PARAMETER) {
        out |= KUBEFLOW_ARTIFACT_HAS_VALUE;
    } else if (type != TYPE_KF_METRIC) {
        out |= KUBEFLOW_ARTIFACT_HAS_URI;
    }
    for (size_t i = 0; i < ARRAY_N(artifact_types); i++) {
        for (unsigned n = artifact_types[i].from;
             artifact_types[i].type == type && n <= artifact_types[i].to; n++) {
            out |= UINT64_C(1) << msg_field_numbered(&kubeflow_artifact_desc, n)->bit;
        }
    }
    return out;
}

/* ---- from a body ------------------------------------------------------------------------------------------------------------ */

static enum status check_text(struct str s, const struct msg_field *f, struct err *err)
{
    if (s.n <= KF_TEXT_MAX) {
        return OK;
    }
    return err_field(err, ST_INVALID, f->json.p, "field %.*s exceeds %d bytes", STR_ARG(f->json),
                     KF_TEXT_MAX);
}

static enum status list_prop(struct call *c, const struct msg_field *f, const void *in,
                             struct prop *p, struct err *err)
{
    const struct str *items = *(struct str *const *)(const void *)((const char *)in + f->off);
    size_t n = *(const size_t *)(const void *)((const char *)in + f->off_n);
    struct buf b = BUF_INIT(KF_TEXT_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);
    enum status st;

    json_w_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_w_str(&w, items[i]);
    }
    json_w_array_end(&w);
    p->type = PROP_JSON;
    p->s = b.failed ? S("") : arena_str(c->arena, buf_str(&b));
    st = b.failed == ST_TOO_BIG
             ? err_field(err, ST_INVALID, f->json.p, "field %.*s exceeds %d bytes",
                         STR_ARG(f->json), KF_TEXT_MAX)
         : b.failed || !p->s.p ? err_nomem(err)
                               : OK;
    buf_release(&b);
    return st;
}

/* value and step of a metric, value of a parameter. */
static enum status json_prop(struct call *c, const struct msg_field *f, struct str raw,
                             struct prop *p, bool metric, struct err *err)
{
    struct json_reader r;
    enum json_event ev;
    bool ok = false;

    json_init(&r, raw, 0, 1);
    ev = json_next(&r);
    if (!metric && ev == JSON_EV_STRING) {
        p->type = PROP_TEXT;
        p->s = json_text(&r, c->arena);
        ok = p->s.p && !memchr(p->s.p, 0, p->s.n);
    } else if (metric && ev == JSON_EV_NUMBER && str_eq_lit(f->name, "value")) {
        p->type = PROP_DOUBLE;
        ok = num_scan_double(r.raw, &p->d) > 0 && isfinite(p->d);
    } else if (metric && str_eq_lit(f->name, "step")) { /* v1 says text, v1alpha3 a number */
        p->type = PROP_INT;
        ok = (ev == JSON_EV_NUMBER && json_i64(r.raw, &p->i)) ||
             (ev == JSON_EV_STRING && num_parse_i64(r.raw, &p->i));
    }
    json_release(&r);
    if (!ok) {
        return err_field(err, ST_INVALID, f->json.p, "field %.*s takes %s, not %.*s",
                         STR_ARG(f->json),
                         !metric                        ? "text"
                         : str_eq_lit(f->name, "value") ? "a finite number"
                                                        : "an integer",
                         STR_ARG(utf8_prefix(raw, 80)));
    }
    return check_text(p->s, f, err);
}

static bool names_an_item(const struct msg_field *f)
{
    return str_eq_lit(f->name, "registered_model_id") || str_eq_lit(f->name, "model_version_id") ||
           str_eq_lit(f->name, "serving_environment_id");
}

static enum status typed_prop(struct call *c, const struct msg_field *f, const void *in,
                              bool metric, struct prop *p, struct err *err)
{
    struct str text;

    *p = (struct prop){ .scope = PROP_TYPED, .type = PROP_TEXT, .key = f->name };
    if (f->flags & MSG_F_REPEATED) {
        return list_prop(c, f, in, p, err);
    }
    if (f->type == MSG_T_ENUM) {
        p->s = msg_enum_name(f->values, *CMEMBER(int32_t, in, f));
        return OK;
    }
    text = *CMEMBER(struct str, in, f);
    if (f->type == MSG_T_JSON) {
        return json_prop(c, f, text, p, metric, err);
    }
    if (names_an_item(f)) {
        p->type = PROP_INT;
        return kf_id(text, f->json.p, &p->i, err);
    }
    p->s = text;
    return check_text(text, f, err);
}

/* What every item may be given. *taken: it was one of these. */
static enum status common_fact(struct call *c, const struct msg_field *f, const void *in,
                               struct catalog_facts *out, struct props *custom, bool *taken,
                               struct err *err)
{
    static const char *const names[] = { "custom_properties", "description", "external_id", "uri" };
    struct str text;
    size_t which = 0;

    while (which < ARRAY_N(names) && !str_eq(f->name, str_cstr(names[which]))) {
        which++;
    }
    *taken = which < ARRAY_N(names);
    if (!*taken) {
        return OK;
    }
    text = *CMEMBER(struct str, in, f);
    switch (which) {
    case 0: out->replace_custom = true; return kf_custom_parse(text, c->arena, custom, err);
    case 1: out->description = text; break;
    case 2: out->external_id = text; return text.n ? kf_name_check(text, "externalId", err) : OK;
    default: out->uri = text; break;
    }
    return check_text(text, f, err);
}

enum status kf_facts(struct call *c, const struct msg_desc *desc, const void *in, uint64_t only,
                     struct catalog_facts *out, struct err *err)
{
    uint64_t has = *(const uint64_t *)in;
    bool metric = desc == &kubeflow_artifact_desc && (only & KUBEFLOW_ARTIFACT_HAS_STEP);
    struct props custom = { 0 };
    struct prop *typed = ARENA_ARRAY(c->arena, struct prop, desc->field_n);
    size_t n = 0;
    enum status st = typed ? OK : err_nomem(err);

    *out = (struct catalog_facts){ 0 };
    for (uint16_t i = 0; !st && i < desc->field_n; i++) {
        const struct msg_field *f = &desc->fields[i];
        uint64_t bit = UINT64_C(1) << f->bit;
        bool allowed = (only & bit) != 0, taken = false;

        if ((has & bit) && (allowed || !str_eq_lit(f->name, "uri"))) {
            st = common_fact(c, f, in, out, &custom, &taken, err);
        }
        if (!st && !taken && allowed && (has & bit)) {
            st = typed_prop(c, f, in, metric, &typed[n], err);
            n += !st;
        }
    }
    out->props_n = n + custom.n;
    out->props = st ? NULL : ARENA_ARRAY(c->arena, struct prop, out->props_n);
    if (st || !out->props) {
        return st ? st : err_nomem(err);
    }
    memcpy(out->props, typed, n * sizeof(*typed));
    if (custom.n) {
        memcpy(out->props + n, custom.p, custom.n * sizeof(*typed));
    }
    return OK;
}

/* ---- to a message ------------------------------------------------------------------------------------------------------------- */

static void set_bit(void *msg, const struct msg_field *f)
{
    *(uint64_t *)msg |= UINT64_C(1) << f->bit;
}

static bool set_text(void *msg, const struct msg_field *f, struct str text)
{
    if (text.p) {
        *MEMBER(struct str, msg, f) = text;
        set_bit(msg, f);
    }
    return text.p != NULL;
}

static struct str number_text(struct arena *a, int64_t i)
{
    return arena_printf(a, "%" PRId64, i);
}

static struct str custom_text(struct arena *a, const struct props *props)
{
    struct buf b = BUF_INIT(1 << 28);
    struct str out = { NULL, 0 };

    kf_custom_put(&b, props);
    if (!b.failed) {
        out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return out;
}

/* A list that was stored as JSON. */
static bool put_list(struct arena *a, void *msg, const struct msg_field *f, struct str json)
{
    struct json_reader r;
    struct str *items = NULL;
    size_t n = 0, cap = 0;
    enum json_event ev;
    bool ok = true;

    json_init(&r, json, 0, 2);
    ev = json_next(&r);
    while (ok && ev == JSON_EV_ARRAY && (json_next(&r) == JSON_EV_STRING)) {
        ok = arena_grow(a, (void **)&items, n, &cap, sizeof(*items));
        if (ok) {
            items[n] = json_text(&r, a);
            ok = items[n++].p != NULL;
        }
    }
    json_release(&r);
    *MEMBER(struct str *, msg, f) = items;
    *(size_t *)(void *)((char *)msg + f->off_n) = n;
    set_bit(msg, f);
    return ok;
}

static bool put_typed(struct arena *a, void *msg, const struct msg_field *f, const struct prop *p,
                      bool v1)
{
    struct buf b = BUF_INIT(KF_TEXT_MAX * 8);
    int32_t number;
    bool ok = true;

    if (!p) {
        if (f->type == MSG_T_ENUM && (f->flags & MSG_F_DEF)) {
            *MEMBER(int32_t, msg, f) = (int32_t)f->def;
            set_bit(msg, f);
        }
        return true;
    }
    if (f->flags & MSG_F_REPEATED) {
        return put_list(a, msg, f, p->s);
    }
    if (f->type == MSG_T_ENUM) {
        if (msg_enum_number(f->values, p->s, &number)) {
            *MEMBER(int32_t, msg, f) = number;
            set_bit(msg, f);
        }
        return true;
    }
    if (f->type == MSG_T_INT64) {
        *MEMBER(int64_t, msg, f) = p->i;
        set_bit(msg, f);
        return true;
    }
    if (f->type == MSG_T_JSON && p->type == PROP_TEXT) {
        json_put_str(&b, p->s, false);
    } else if (f->type == MSG_T_JSON && p->type == PROP_DOUBLE) {
        json_put_double(&b, p->d, JSON_NAN_NULL);
    } else if (f->type == MSG_T_JSON && v1) {
        json_put_str(&b, number_text(a, p->i), false);
    } else {
        return set_text(msg, f, p->type == PROP_INT ? number_text(a, p->i) : prop_text(a, p));
    }
    ok = !b.failed && set_text(msg, f, arena_str(a, buf_str(&b)));
    buf_release(&b);
    return ok;
}

/* Fields that every item has, and numbers of parents. False: memory is out. *done: it was one of them. */
static bool put_common(struct arena *a, void *msg, const struct msg_field *f,
                       const struct catalog_item *it, bool *done)
{
    struct str name = f->name;

    *done = true;
    if (str_eq_lit(name, "id")) { /* points of runs have none */
        return !it->id || set_text(msg, f, number_text(a, it->id));
    }
    if (str_eq_lit(name, "name")) {
        return set_text(msg, f, kf_item_name(a, it));
    }
    if (str_eq_lit(name, "external_id")) {
        set_text(msg, f, it->external_id);
    } else if (str_eq_lit(name, "description")) {
        set_text(msg, f, it->description);
    } else if (str_eq_lit(name, "custom_properties")) {
        return set_text(msg, f, custom_text(a, &it->props));
    } else if (str_eq_lit(name, "create_time_since_epoch")) {
        *MEMBER(int64_t, msg, f) = it->create_ms;
        set_bit(msg, f);
    } else if (str_eq_lit(name, "last_update_time_since_epoch")) {
        *MEMBER(int64_t, msg, f) = it->update_ms;
        set_bit(msg, f);
    } else if (str_eq_lit(name, "artifact_type")) {
        set_text(msg, f, kf_artifact_type_name(it->type));
    } else if (str_eq_lit(name, "uri") && it->kind == CATALOG_ARTIFACT) {
        set_text(msg, f, it->uri);
    } else if ((it->kind == CATALOG_VERSION && str_eq_lit(name, "registered_model_id")) ||
               (it->kind == CATALOG_RUN && str_eq_lit(name, "experiment_id")) ||
               (it->kind == CATALOG_SERVICE && str_eq_lit(name, "serving_environment_id"))) {
        return set_text(msg, f, number_text(a, it->parent_id));
    } else {
        *done = false;
    }
    return true;
}

enum status kf_put(struct arena *a, const struct msg_desc *desc, const struct catalog_item *it,
                   bool v1, void **out, struct err *err)
{
    void *msg = arena_zalloc(a, 1, desc->size);
    bool ok = msg != NULL;

    for (uint16_t i = 0; ok && i < desc->field_n; i++) {
        const struct msg_field *f = &desc->fields[i];
        bool done;

        ok = put_common(a, msg, f, it, &done);
        if (ok && !done) {
            ok = put_typed(a, msg, f, props_find(&it->props, PROP_TYPED, f->name), v1);
        }
    }
    *out = msg;
    return ok ? OK : err_nomem(err);
}

enum status kf_answer(struct call *c, const struct catalog_item *it, struct err *err)
{
    return kf_put(c->arena, c->req->route->out, it, kf_is_v1(c), &c->out, err);
}

enum status kf_finish(struct call *c, struct err *err)
{
    return kf_answer(c, c->user, err);
}
