/* api/native/registry.c - what happened to registered models. */
#include "core/registry.h"
#include "api/native/native.h"
#include "gen/native/registry.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

static enum status history(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_registry_history *in = c->in;
    struct cairn_v1_registry_history_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_registry_history_answer);
    struct registry_event *events;
    size_t n;
    enum status st = out ? registry_history(v, in->name, (size_t)in->max_results, &events, &n, err)
                         : err_nomem(err);

    if (st) {
        return st;
    }
    out->events_n = n;
    out->events = ARENA_ARRAY(c->arena, struct cairn_v1_registry_event, n);
    if (!out->events) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        const struct registry_event *e = &events[i];
        struct cairn_v1_registry_event *to = &out->events[i];

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

#define PATH "/api/cairn/v1/registered-models/"

const struct route native_registry_routes[] = {
    ROUTE(HTTP_GET, PATH "history", &cairn_v1_registry_history_desc,
          &cairn_v1_registry_history_answer_desc, RESOURCE_MODEL, ACTION_MODEL_READ, READ(history)),
    ROUTE(HTTP_GET, PATH "alias-at", &cairn_v1_registry_alias_at_desc,
          &cairn_v1_registry_alias_at_answer_desc, RESOURCE_MODEL, ACTION_MODEL_READ,
          READ(alias_at)),
};
const size_t native_registry_routes_n = ARRAY_N(native_registry_routes);
