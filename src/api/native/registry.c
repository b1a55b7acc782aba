/* api/native/registry.c - what happened to registered models; registering in one step. */
#include "core/registry.h"
#include "api/native/native.h"
#include "gen/native/registry.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

static void put_event(const struct registry_event *e, struct cairn_v1_registry_event *to)
{
    MSG_SET(to, CAIRN_V1_REGISTRY_EVENT_HAS_WHAT, what, str_cstr(registry_event_name(e->kind)));
    MSG_SET(to, CAIRN_V1_REGISTRY_EVENT_HAS_WHO, who, e->who);
    MSG_SET(to, CAIRN_V1_REGISTRY_EVENT_HAS_AT_MS, at_ms, e->at_ms);
    if (e->version) {
        MSG_SET(to, CAIRN_V1_REGISTRY_EVENT_HAS_VERSION, version, e->version);
    }
    if (e->key.n) {
        MSG_SET(to, CAIRN_V1_REGISTRY_EVENT_HAS_KEY, key, e->key);
    }
    if (e->value.p) {
        MSG_SET(to, CAIRN_V1_REGISTRY_EVENT_HAS_VALUE, value, e->value);
    }
}

static enum status history(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_registry_history *in = c->in;
    struct cairn_v1_registry_history_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_registry_history_answer);
    struct registry_history q = {
        .name = in->name,
        .version = (in->has & CAIRN_V1_REGISTRY_HISTORY_HAS_VERSION) ? in->version : -1,
        .key = in->key,
        .until_ms = (in->has & CAIRN_V1_REGISTRY_HISTORY_HAS_AT_MS) ? in->at_ms : INT64_MAX,
        .page = { (size_t)in->max_results, in->page_token },
    };
    struct registry_event *events;
    struct str token;
    size_t n;
    enum status st = out ? OK : err_nomem(err);

    if (!st && in->what.n) {
        st = registry_event_parse(in->what, &q.what, err);
    }
    st = st ? st : registry_history(v, &q, &events, &n, &token, err);
    if (st) {
        return st;
    }
    out->events_n = n;
    out->events = ARENA_ARRAY(c->arena, struct cairn_v1_registry_event, n + 1);
    if (!out->events) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        put_event(&events[i], &out->events[i]);
    }
    if (token.n) {
        MSG_SET(out, CAIRN_V1_REGISTRY_HISTORY_ANSWER_HAS_NEXT_PAGE_TOKEN, next_page_token, token);
    }
    c->out = out;
    return OK;
}

static enum status alias_at(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_registry_alias_at *in = c->in;
    struct cairn_v1_registry_alias_at_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_registry_alias_at_answer);
    int64_t at = (in->has & CAIRN_V1_REGISTRY_ALIAS_AT_HAS_AT_MS) ? in->at_ms : INT64_MAX;
    int64_t version, since;
    struct str who;
    enum status st =
        out ? registry_alias_at(v, in->name, in->alias, at, &version, &who, &since, err)
            : err_nomem(err);

    if (!st && version) {
        MSG_SET(out, CAIRN_V1_REGISTRY_ALIAS_AT_ANSWER_HAS_VERSION, version, version);
        MSG_SET(out, CAIRN_V1_REGISTRY_ALIAS_AT_ANSWER_HAS_WHO, who, who);
        MSG_SET(out, CAIRN_V1_REGISTRY_ALIAS_AT_ANSWER_HAS_SINCE_MS, since_ms, since);
    }
    c->out = out;
    return st;
}

/* ---- versions ------------------------------------------------------------------------------------------------------------- */

static enum status put_version(struct arena *a, const struct model_version *v,
                               struct cairn_v1_registry_version *to, struct err *err)
{
    MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_NAME, name, v->name);
    MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_VERSION, version,
            arena_printf(a, "%lld", (long long)v->version));
    MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_CURRENT_STAGE, current_stage,
            str_cstr(stage_name(v->stage)));
    MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_SOURCE, source, v->source);
    MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_CREATION_TIMESTAMP, creation_timestamp, v->create_ms);
    MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_LAST_UPDATED_TIMESTAMP, last_updated_timestamp,
            v->update_ms);
    if (v->description.n) {
        MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_DESCRIPTION, description, v->description);
    }
    if (v->run_id.n) {
        MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_RUN_ID, run_id, v->run_id);
    }
    if (v->model_id.n) {
        MSG_SET(to, CAIRN_V1_REGISTRY_VERSION_HAS_MODEL_ID, model_id, v->model_id);
    }
    to->aliases = v->aliases;
    to->aliases_n = v->aliases_n;
    to->tags_n = v->tags_n;
    to->tags = ARENA_ARRAY(a, struct cairn_v1_registry_pair, v->tags_n + 1);
    if (!to->tags || !to->version.p) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < v->tags_n; i++) {
        MSG_SET(&to->tags[i], CAIRN_V1_REGISTRY_PAIR_HAS_KEY, key, v->tags[i].key);
        MSG_SET(&to->tags[i], CAIRN_V1_REGISTRY_PAIR_HAS_VALUE, value, v->tags[i].value);
    }
    return OK;
}

static enum status versions(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_registry_versions *in = c->in;
    struct cairn_v1_registry_versions_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_registry_versions_answer);
    struct str order = S("version_number DESC"), token;
    struct registry_search q = { .model = in->name,
                                 .order_by = &order,
                                 .order_by_n = 1,
                                 .page = { (size_t)in->max_results, in->page_token } };
    struct registered_model model;
    struct model_version *found;
    size_t n;
    enum status st = out ? registered_model_get(v, in->name, &model, err) : err_nomem(err);

    st = st ? st : model_version_search(v, &q, &found, &n, &token, err);
    if (st) {
        return st;
    }
    out->model_versions_n = n;
    out->model_versions = ARENA_ARRAY(c->arena, struct cairn_v1_registry_version, n + 1);
    st = out->model_versions ? OK : err_nomem(err);
    for (size_t i = 0; !st && i < n; i++) {
        st = put_version(c->arena, &found[i], &out->model_versions[i], err);
    }
    if (token.n) {
        MSG_SET(out, CAIRN_V1_REGISTRY_VERSIONS_ANSWER_HAS_NEXT_PAGE_TOKEN, next_page_token, token);
    }
    c->out = out;
    return st;
}

static struct str or_empty(struct str s)
{
    return s.p ? s : S("");
}

static enum status register_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_registry_register *in = c->in;
    struct model_version_create *x = ARENA_NEW(c->arena, struct model_version_create);
    enum status st = name_check_registered_model(in->name, "name", err);

    if (!x) {
        return err_nomem(err);
    }
    model_version_create_init(x, c->core, c->arena);
    x->name = in->name;
    x->source = in->source;
    x->description = or_empty(in->description);
    x->run_id = in->run_id;
    x->model_id = in->model_id;
    x->who = c->principal->name;
    x->alias = in->alias;
    x->make_model = true;
    x->tags = ARENA_ARRAY(c->arena, struct key_value, in->tags_n + 1);
    x->tags_n = in->tags_n;
    *op = &x->op;
    if (!x->tags) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < in->tags_n; i++) {
        x->tags[i] = (struct key_value){ in->tags[i].key, or_empty(in->tags[i].value) };
    }
    return st ? st : model_version_check(x, err);
}

static enum status register_finish(struct call *c, struct err *err)
{
    const struct model_version_create *x = WRITE_OP_OF(c->op, struct model_version_create);
    struct cairn_v1_registry_register_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_registry_register_answer);
    struct cairn_v1_registry_version *version =
        ARENA_NEW(c->arena, struct cairn_v1_registry_version);

    if (!out || !version) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_REGISTRY_REGISTER_ANSWER_HAS_MODEL_VERSION, model_version, version);
    if (x->redacted) {
        MSG_SET(out, CAIRN_V1_REGISTRY_REGISTER_ANSWER_HAS_REDACTED, redacted, true);
    }
    c->out = out;
    return put_version(c->arena, &x->version, version, err);
}

static enum status unalias_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_registry_unalias *in = c->in;
    struct registry_change *x = ARENA_NEW(c->arena, struct registry_change);
    enum status st = name_check_registered_model(in->name, "name", err);

    if (!x) {
        return err_nomem(err);
    }
    registry_change_init(x, c->core, c->arena);
    x->what = MODEL_UNALIAS;
    x->name = in->name;
    x->key = in->alias;
    x->version = in->version;
    x->who = c->principal->name;
    *op = &x->op;
    return st ? st : name_check_model_alias(in->alias, false, err);
}

#define PATH "/api/cairn/v1/registered-models/"

const struct route native_registry_routes[] = {
    ROUTE(HTTP_GET, PATH "history", &cairn_v1_registry_history_desc,
          &cairn_v1_registry_history_answer_desc, RESOURCE_MODEL, ACTION_MODEL_READ, READ(history)),
    ROUTE(HTTP_GET, PATH "alias-at", &cairn_v1_registry_alias_at_desc,
          &cairn_v1_registry_alias_at_answer_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(alias_at)),
    ROUTE(HTTP_GET, PATH "versions", &cairn_v1_registry_versions_desc,
          &cairn_v1_registry_versions_answer_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(versions)),
    ROUTE(HTTP_POST, PATH "register", &cairn_v1_registry_register_desc,
          &cairn_v1_registry_register_answer_desc, RESOURCE_MODEL, ACTION_MODEL_CREATE,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = register_start,
                   .finish = register_finish)),
    ROUTE(HTTP_DELETE, PATH "alias", &cairn_v1_registry_unalias_desc, NULL, RESOURCE_MODEL,
          ACTION_MODEL_UPDATE,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = unalias_start)),
};
const size_t native_registry_routes_n = ARRAY_N(native_registry_routes);
