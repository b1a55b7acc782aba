/* api/kubeflow/list.c - lists page by page, and finding one thing. A list walks its items once: the filter sees each, what is left is
 * ordered, and only the items of the page are read whole. A page token says where the last item stood: order, its value, its number. */
#include "api/kubeflow/filter.h"
#include "api/kubeflow/kubeflow_int.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_BODY_MAX = 1 << 30, SCRATCH_MAX = 64 << 20, TOKEN_MAX = 200 };

enum order_by { BY_ID = 'i', BY_CREATED = 'c', BY_UPDATED = 'u' };

struct entry {
    int64_t value, id, uid;
};
struct lister {
    struct view *v;
    struct view scratch; /* of the item at hand */
    const struct catalog_list *list;
    const struct msg_desc *desc;
    const struct kf_filter *filter;
    struct str name, external_id; /* of which items only; NULL p = any */
    enum order_by by;
    bool desc_order, has_token, v1;
    struct entry after; /* the token's */
    size_t page;
    struct entry *entries;
    size_t n, cap;
    struct arena *a; /* where entries live */
};

/* ---- properties for filters -------------------------------------------------------------------------------------------------- */

#define COMMON                                                                                     \
    { "id", KF_INT }, { "name", KF_TEXT }, { "externalId", KF_TEXT }, { "description", KF_TEXT },  \
        { "createTimeSinceEpoch", KF_INT },                                                        \
    {                                                                                              \
        "lastUpdateTimeSinceEpoch", KF_INT                                                         \
    }

static const struct kf_known model_fields[] = {
    COMMON, { "state", KF_TEXT }, { "owner", KF_TEXT }, { NULL, KF_NONE }
};
static const struct kf_known version_fields[] = { COMMON,
                                                  { "registeredModelId", KF_INT },
                                                  { "state", KF_TEXT },
                                                  { "author", KF_TEXT },
                                                  { NULL, KF_NONE } };
static const struct kf_known environment_fields[] = { COMMON, { NULL, KF_NONE } };
static const struct kf_known service_fields[] = { COMMON,
                                                  { "registeredModelId", KF_INT },
                                                  { "modelVersionId", KF_INT },
                                                  { "servingEnvironmentId", KF_INT },
                                                  { "runtime", KF_TEXT },
                                                  { "desiredState", KF_TEXT },
                                                  { NULL, KF_NONE } };
static const struct kf_known serve_fields[] = { COMMON,
                                                { "lastKnownState", KF_TEXT },
                                                { "modelVersionId", KF_INT },
                                                { "inferenceServiceId", KF_INT },
                                                { NULL, KF_NONE } };
static const struct kf_known artifact_fields[] = { COMMON,
                                                   { "uri", KF_TEXT },
                                                   { "state", KF_TEXT },
                                                   { "experimentId", KF_INT },
                                                   { "experimentRunId", KF_INT },
                                                   { "artifactType", KF_TEXT },
                                                   { "modelFormatName", KF_TEXT },
                                                   { "modelFormatVersion", KF_TEXT },
                                                   { "storageKey", KF_TEXT },
                                                   { "storagePath", KF_TEXT },
                                                   { "serviceAccountName", KF_TEXT },
                                                   { "modelSourceKind", KF_TEXT },
                                                   { "modelSourceClass", KF_TEXT },
                                                   { "modelSourceGroup", KF_TEXT },
                                                   { "modelSourceId", KF_TEXT },
                                                   { "modelSourceName", KF_TEXT },
                                                   { "digest", KF_TEXT },
                                                   { "sourceType", KF_TEXT },
                                                   { "source", KF_TEXT },
                                                   { "schema", KF_TEXT },
                                                   { "profile", KF_TEXT },
                                                   { "value", KF_NONE },
                                                   { "timestamp", KF_INT },
                                                   { "step", KF_INT },
                                                   { "parameterType", KF_TEXT },
                                                   { NULL, KF_NONE } };

static const struct kf_known experiment_fields[] = {
    COMMON, { "state", KF_TEXT }, { "owner", KF_TEXT }, { NULL, KF_NONE }
};
static const struct kf_known run_fields[] = { COMMON,
                                              { "experimentId", KF_INT },
                                              { "startTimeSinceEpoch", KF_INT },
                                              { "endTimeSinceEpoch", KF_INT },
                                              { "status", KF_TEXT },
                                              { "state", KF_TEXT },
                                              { "owner", KF_TEXT },
                                              { NULL, KF_NONE } };

static const struct {
    const struct kf_known *fields;
    const struct msg_desc *desc;
} kinds[] = {
    [CATALOG_MODEL] = { model_fields, &kubeflow_registered_model_desc },
    [CATALOG_VERSION] = { version_fields, &kubeflow_model_version_desc },
    [CATALOG_ARTIFACT] = { artifact_fields, &kubeflow_artifact_desc },
    [CATALOG_ENVIRONMENT] = { environment_fields, &kubeflow_serving_environment_desc },
    [CATALOG_SERVICE] = { service_fields, &kubeflow_inference_service_desc },
    [CATALOG_SERVE] = { serve_fields, &kubeflow_serve_model_desc },
    [CATALOG_EXPERIMENT] = { experiment_fields, &kubeflow_experiment_desc },
    [CATALOG_RUN] = { run_fields, &kubeflow_experiment_run_desc },
};

static struct kf_value text_value(struct str s)
{
    return (struct kf_value){ .type = s.p ? KF_TEXT : KF_NONE, .text = s };
}

static struct kf_value int_value(int64_t i)
{
    return (struct kf_value){ .type = KF_INT, .i = i, .d = (double)i };
}

static struct kf_value prop_value(const struct prop *p)
{
    if (!p) {
        return (struct kf_value){ .type = KF_NONE };
    }
    switch (p->type) {
    case PROP_INT: return int_value(p->i);
    case PROP_DOUBLE: return (struct kf_value){ .type = KF_DOUBLE, .d = p->d };
    case PROP_BOOL: return (struct kf_value){ .type = KF_BOOL, .i = p->i };
    case PROP_TEXT: return text_value(p->s);
    case PROP_JSON:
    case PROP_PROTO:
    case PROP_BYTES:
    case PROP_GONE: break;
    }
    return (struct kf_value){ .type = KF_NONE };
}

/* A field of the message: a typed property, or the default of its enum. */
static struct kf_value field_value(const struct lister *l, const struct catalog_item *it,
                                   struct str name, enum kf_type type)
{
    const struct msg_field *f = NULL;
    struct kf_value v;

    for (uint16_t i = 0; !f && i < l->desc->field_n; i++) {
        f = str_eq(l->desc->fields[i].json, name) ? &l->desc->fields[i] : NULL;
    }
    if (!f) {
        return (struct kf_value){ .type = KF_NONE };
    }
    v = prop_value(props_find(&it->props, PROP_TYPED, f->name));
    if (v.type == KF_NONE && f->type == MSG_T_ENUM && (f->flags & MSG_F_DEF)) {
        v = text_value(msg_enum_name(f->values, (int32_t)f->def));
    }
    if (v.type == KF_TEXT && type == KF_INT) { /* a time as text */
        int64_t i;

        v = num_parse_i64(v.text, &i) ? int_value(i) : (struct kf_value){ .type = KF_NONE };
    }
    return v;
}

struct row {
    struct lister *l;
    struct catalog_item *it;
};

static enum status known_value(struct row *r, const struct kf_known *k, struct kf_value *out,
                               struct err *err)
{
    const struct catalog_item *it = r->it;
    struct str name = str_cstr(k->name);

    if (str_eq_lit(name, "name")) {
        *out = text_value(kf_item_name(r->l->scratch.arena, it));
        return out->text.p ? OK : err_nomem(err);
    }
    *out = str_eq_lit(name, "id")                         ? int_value(it->id)
           : str_eq_lit(name, "externalId")               ? text_value(it->external_id)
           : str_eq_lit(name, "description")              ? text_value(it->description)
           : str_eq_lit(name, "createTimeSinceEpoch")     ? int_value(it->create_ms)
           : str_eq_lit(name, "lastUpdateTimeSinceEpoch") ? int_value(it->update_ms)
           : str_eq_lit(name, "artifactType") ? text_value(kf_artifact_type_name(it->type))
           : str_eq_lit(name, "uri")          ? text_value(it->uri)
           : (it->kind == CATALOG_VERSION && str_eq_lit(name, "registeredModelId")) ||
                   (it->kind == CATALOG_SERVICE && str_eq_lit(name, "servingEnvironmentId")) ||
                   (it->kind == CATALOG_SERVE && str_eq_lit(name, "inferenceServiceId")) ||
                   (it->kind == CATALOG_RUN && str_eq_lit(name, "experimentId"))
               ? int_value(it->parent_id)
               : field_value(r->l, it, name, k->type);
    return OK;
}

static enum status get_value(void *ctx, const struct kf_property *p, struct kf_value *out,
                             struct err *err)
{
    struct row *r = ctx;
    enum status st = catalog_load(&r->l->scratch, r->it, err);

    if (st) {
        return st;
    }
    if (p->known) {
        return known_value(r, p->known, out, err);
    }
    *out = prop_value(props_find(&r->it->props, PROP_CUSTOM, p->name));
    return OK;
}

/* ---- the walk ------------------------------------------------------------------------------------------------------------------- */

static int compare(const struct entry *a, const struct entry *b)
{
    int order = (a->value > b->value) - (a->value < b->value);

    return order ? order : (a->id > b->id) - (a->id < b->id);
}

static int compare_up(const void *a, const void *b)
{
    return compare(a, b);
}

static int compare_down(const void *a, const void *b)
{
    return compare(b, a);
}

static enum status wanted(struct lister *l, struct catalog_item *it, bool *out, struct err *err)
{
    struct row r = { l, it };
    struct str name;
    enum status st = OK;

    *out = true;
    if (l->name.p) {
        name = kf_item_name(l->scratch.arena, it);
        *out = name.p && str_eq(name, l->name);
    }
    if (*out && l->external_id.p) {
        st = catalog_load(&l->scratch, it, err);
        *out = !st && it->external_id.p && str_eq(it->external_id, l->external_id);
    }
    return st || !*out ? st : kf_filter_match(l->filter, get_value, &r, out, err);
}

static enum status take(void *ctx, struct catalog_item *it, struct err *err)
{
    struct lister *l = ctx;
    struct entry e = { .value = l->by == BY_ID        ? 0
                                : l->by == BY_CREATED ? it->create_ms
                                                      : it->update_ms,
                       .id = it->id,
                       .uid = it->uid };
    bool is_wanted;
    int order = l->has_token ? compare(&e, &l->after) : 0;
    enum status st;

    if (l->has_token && (l->desc_order ? order >= 0 : order <= 0)) {
        return OK;
    }
    arena_reset(l->scratch.arena);
    st = wanted(l, it, &is_wanted, err);
    if (st || !is_wanted) {
        return st;
    }
    if (!arena_grow(l->a, (void **)&l->entries, l->n, &l->cap, sizeof(e))) {
        return err_nomem(err);
    }
    l->entries[l->n++] = e;
    /* Items come by ascending number: enough is enough. */
    return l->by == BY_ID && !l->desc_order && l->n > l->page ? ST_END : OK;
}

/* ---- tokens --------------------------------------------------------------------------------------------------------------------- */

static void put_token(struct buf *b, const struct lister *l, const struct entry *last)
{
    char text[TOKEN_MAX];
    int n = snprintf(text, sizeof(text), "%c%c:%" PRId64 ":%" PRId64, (char)l->by,
                     l->desc_order ? 'd' : 'a', last->value, last->id);

    base64_put(b, str_of(text, (size_t)n), BASE64_URL | BASE64_NO_PAD);
}

static enum status read_token(struct lister *l, struct str token, struct err *err)
{
    struct str text = S(""), rest, part;
    bool nomem = false, ok;

    if (token.n == 0) {
        return OK;
    }
    ok = token.n <= TOKEN_MAX && base64_decode(token, l->a, &text, &nomem) && text.n > 3;
    if (nomem) {
        return err_nomem(err);
    }
    rest = str_sub(text, 3, text.n);
    ok = ok && text.p[2] == ':' && str_split(&rest, ':', &part) &&
         num_parse_i64(part, &l->after.value) && num_parse_i64(rest, &l->after.id);
    if (!ok) {
        return err_field(err, ST_INVALID, "nextPageToken",
                         "nextPageToken is not one that this server gave");
    }
    if (text.p[0] != (char)l->by || text.p[1] != (l->desc_order ? 'd' : 'a')) {
        return err_field(err, ST_INVALID, "nextPageToken",
                         "nextPageToken belongs to a list in another order");
    }
    l->has_token = true;
    return OK;
}

/* ---- a page ---------------------------------------------------------------------------------------------------------------------- */

static enum status read_order(struct lister *l, const struct kubeflow_list *in, struct err *err)
{
    struct str by = in->order_by.n ? in->order_by : S("ID");
    struct str sort = in->sort_order.n ? in->sort_order : S("ASC");

    l->by = str_eq_lit(by, "CREATE_TIME")        ? BY_CREATED
            : str_eq_lit(by, "LAST_UPDATE_TIME") ? BY_UPDATED
                                                 : BY_ID;
    l->desc_order = str_eq_lit(sort, "DESC");
    if (l->by == BY_ID && !str_eq_lit(by, "ID")) {
        return err_field(err, ST_INVALID, "orderBy",
                         "orderBy '%.*s' is none of CREATE_TIME, LAST_UPDATE_TIME, ID",
                         STR_ARG(by));
    }
    if (!l->desc_order && !str_eq_lit(sort, "ASC")) {
        return err_field(err, ST_INVALID, "sortOrder", "sortOrder '%.*s' is neither ASC nor DESC",
                         STR_ARG(sort));
    }
    return OK;
}

static enum status read_query(struct lister *l, const struct kubeflow_list *in,
                              struct catalog_list *list, struct kf_filter **filter, struct err *err)
{
    int64_t page = KF_PAGE_MAX;
    enum status st = OK;

    if (in->page_size.n && (!num_parse_i64(in->page_size, &page) || page < 1)) {
        return err_field(err, ST_INVALID, "pageSize", "pageSize '%.*s' is no positive number",
                         STR_ARG(in->page_size));
    }
    l->page = page < KF_PAGE_MAX ? (size_t)page : KF_PAGE_MAX;
    l->name = in->name.n ? in->name : (struct str){ NULL, 0 };
    l->external_id = in->external_id.n ? in->external_id : (struct str){ NULL, 0 };
    if (in->artifact_type.n && list->kind == CATALOG_ARTIFACT) {
        list->types[0] = kf_artifact_type(in->artifact_type);
        list->types_n = 1;
        if (!list->types[0]) {
            st = err_field(err, ST_INVALID, "artifactType",
                           "artifactType '%.*s' is none of model-artifact, doc-artifact, "
                           "dataset-artifact, metric, parameter",
                           STR_ARG(in->artifact_type));
        }
    }
    st = st ? st : read_order(l, in, err);
    st = st ? st : read_token(l, in->next_page_token, err);
    return st ? st : kf_filter_parse(filter, in->filter_query, kinds[list->kind].fields, l->a, err);
}

static enum status put_items(struct lister *l, struct json_writer *w, size_t n, struct err *err)
{
    struct catalog_item it;
    void *msg;
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        arena_reset(l->scratch.arena);
        st = catalog_get_uid(&l->scratch, l->list->kind, l->entries[i].uid, &it, err);
        if (st == ST_NOT_FOUND) { /* it went meanwhile */
            st = OK;
            continue;
        }
        st = st ? st : kf_put(l->scratch.arena, l->desc, &it, l->v1, &msg, err);
        if (!st) {
            if (w->comma) {
                buf_put_lit(w->b, ",");
            }
            msg_encode_json(w->b, l->desc, msg, kubeflow_tongue.encode_flags);
            w->comma = true;
        }
    }
    return st;
}

static enum status answer_page(struct call *c, struct lister *l, struct err *err)
{
    struct json_writer w = JSON_WRITER_INIT(&c->raw);
    struct buf token = BUF_INIT(TOKEN_MAX * 2);
    bool more = l->n > l->page;
    size_t n = more ? l->page : l->n;
    enum status st;

    if (l->n) {
        qsort(l->entries, l->n, sizeof(*l->entries), l->desc_order ? compare_down : compare_up);
    }
    json_w_object(&w);
    json_w_key(&w, S("items"));
    json_w_array(&w);
    st = put_items(l, &w, n, err);
    json_w_array_end(&w);
    if (more) {
        put_token(&token, l, &l->entries[n - 1]);
    }
    json_w_key(&w, S("nextPageToken"));
    json_w_str(&w, token.n ? buf_str(&token) : S(""));
    json_w_key(&w, S("pageSize"));
    json_w_u64(&w, l->page);
    json_w_key(&w, S("size"));
    json_w_u64(&w, n);
    json_w_object_end(&w);
    c->raw_type = "application/json";
    buf_release(&token);
    return st ? st : buf_status(&c->raw, "the page", err);
}

enum status kf_list(struct call *c, struct view *v, struct catalog_list *list, struct err *err)
{
    struct lister l = {
        .v = v, .scratch = *v, .list = list, .desc = kinds[list->kind].desc, .a = c->arena
    };
    struct kf_filter *filter = NULL;
    enum status st = read_query(&l, c->in, list, &filter, err);

    if (st) {
        return st;
    }
    l.filter = filter;
    l.scratch.arena = arena_new(SCRATCH_MAX);
    if (!l.scratch.arena) {
        return err_nomem(err);
    }
    st = catalog_each(v, list, take, &l, err);
    st = st ? st : answer_page(c, &l, err);
    arena_free(l.scratch.arena);
    return st;
}

/* ---- one thing -------------------------------------------------------------------------------------------------------------------- */

static enum status not_this_type(enum node_type type, struct err *err)
{
    return err_field(err, ST_NOT_FOUND, "id", "%.*s not found (id)",
                     STR_ARG(kf_artifact_type_name(type)));
}

enum status kf_get(struct call *c, struct view *v, enum catalog_kind kind, enum node_type type,
                   struct err *err)
{
    struct catalog_item it;
    int64_t id;
    enum status st = kf_path_id(c, &id, err);

    st = st ? st : catalog_get(v, kind, id, &it, err);
    if (!st && type && catalog_shown_type(it.type) != type) {
        return not_this_type(type, err);
    }
    return st ? st : kf_answer(c, &it, err);
}

struct finding {
    struct view *v;
    struct str name;
    struct catalog_item found;
    size_t n;
};

static enum status look(void *ctx, struct catalog_item *it, struct err *err)
{
    struct finding *f = ctx;
    struct str name = kf_item_name(f->v->arena, it);

    if (!name.p) {
        return err_nomem(err);
    }
    if (str_eq(name, f->name)) {
        f->found = *it;
        f->n++;
    }
    return OK;
}

/* Artifacts of a version have a name once per type, runs of an experiment any, so there may be several. */
static enum status find_among(struct view *v, enum catalog_kind kind, int64_t parent,
                              struct str name, enum node_type type, struct catalog_item *it,
                              struct err *err)
{
    struct catalog_list list = { .kind = kind,
                                 .has_parent = true,
                                 .parent = parent,
                                 .types = { type },
                                 .types_n = type ? 1 : 0 };
    struct finding f = { .v = v, .name = name };
    enum status st = catalog_each(v, &list, look, &f, err);

    if (!st && f.n != 1) {
        return err_field(err, ST_NOT_FOUND, "name", "%zu %ss have the name %.*s", f.n,
                         catalog_kind_name(kind), STR_ARG(name));
    }
    return st ? st : catalog_get_uid(v, kind, f.found.uid, it, err);
}

enum status kf_find(struct call *c, struct view *v, enum catalog_kind kind, enum node_type type,
                    struct err *err)
{
    static const struct kubeflow_find nothing = { 0 };
    const struct kubeflow_find *in = c->in ? c->in : &nothing;
    bool below = kind == CATALOG_VERSION || kind == CATALOG_ARTIFACT || kind == CATALOG_SERVICE ||
                 kind == CATALOG_RUN;
    struct str name = in->name;
    struct catalog_item it;
    int64_t parent = 0;
    enum status st = OK;

    if (in->external_id.n) {
        st = catalog_find_external(v, kind, in->external_id, &it, err);
        if (!st && type && catalog_shown_type(it.type) != type) {
            return not_this_type(type, err);
        }
        return st ? st : kf_answer(c, &it, err);
    }
    if (!name.n || (below && !in->parent_resource_id.n)) {
        return err_set(err, ST_INVALID,
                       below ? "either externalId, or name and parentResourceId must be given"
                             : "either externalId or name must be given");
    }
    if (below) {
        st = kf_id(in->parent_resource_id, "parentResourceId", &parent, err);
    }
    if (!st && (kind == CATALOG_MODEL || kind == CATALOG_EXPERIMENT)) {
        st = kf_name_stored(c->arena, name, kind == CATALOG_MODEL, &name, err);
        if (st == ST_INVALID) { /* nothing is shown with such a name */
            return err_field(err, ST_NOT_FOUND, "name", "%s with name %.*s not found",
                             catalog_kind_name(kind), STR_ARG(in->name));
        }
    }
    if (st) {
        return st;
    }
    st = kind == CATALOG_ARTIFACT || kind == CATALOG_RUN
             ? find_among(v, kind, parent, name, type, &it, err)
             : catalog_find(v, kind, parent, name, &it, err);
    return st ? st : kf_answer(c, &it, err);
}
