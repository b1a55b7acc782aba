/* api/native/emit.c - how far others were told what happens here. */
#include "api/native/native.h"
#include "core/outbox.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

enum status native_emit(struct view *v, struct cairn_v1_emit_answer *out, struct err *err)
{
    struct outbox_state *list;
    size_t n;
    enum status st = outbox_states(v, &list, &n, err);

    *out = (struct cairn_v1_emit_answer){ .has = 0 };
    if (st || n == 0) return st;
    out->destinations = ARENA_ARRAY(v->arena, struct cairn_v1_emit_destination, n);
    if (!out->destinations) return err_nomem(err);
    out->destinations_n = n;
    for (size_t i = 0; i < n; i++) {
        struct cairn_v1_emit_destination *d = &out->destinations[i];

        MSG_SET(d, CAIRN_V1_EMIT_DESTINATION_HAS_NAME, name, list[i].name);
        MSG_SET(d, CAIRN_V1_EMIT_DESTINATION_HAS_MARK, mark, list[i].mark);
        MSG_SET(d, CAIRN_V1_EMIT_DESTINATION_HAS_BEHIND, behind, list[i].behind);
        MSG_SET(d, CAIRN_V1_EMIT_DESTINATION_HAS_SENT, sent, list[i].sent);
        MSG_SET(d, CAIRN_V1_EMIT_DESTINATION_HAS_REFUSED, refused, list[i].dead);
        MSG_SET(d, CAIRN_V1_EMIT_DESTINATION_HAS_LOST, lost, list[i].lost);
    }
    return OK;
}

static enum status emit_look(struct call *c, struct view *v, struct err *err)
{
    struct cairn_v1_emit_answer *out = ARENA_NEW(c->arena, struct cairn_v1_emit_answer);
    enum status st = native_need_operator(c, err);

    if (st) return st;
    c->out = out;
    return out ? native_emit(v, out, err) : err_nomem(err);
}

const struct route native_emit_routes[] = {
    ROUTE(HTTP_GET, "/api/cairn/v1/emit", NULL, &cairn_v1_emit_answer_desc, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, READ(emit_look)),
};
const size_t native_emit_routes_n = ARRAY_N(native_emit_routes);
