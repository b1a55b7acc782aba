/* api/native/keep.c - deleting bytes that nothing refers to. */
#include "api/native/native.h"
#include "core/collect.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

void native_gc(struct collector *collector, struct cairn_v1_gc_answer *out)
{
    struct collect_stats *s = NULL, stats;

    collect_stats(collector, &stats);
    s = &stats;
    *out = (struct cairn_v1_gc_answer){ .has = 0 };
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_ROUND, round, (int64_t)s->asked);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_DONE_ROUND, done_round, (int64_t)s->done);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_RUNNING, running, s->running);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_WALKED, walked, (int64_t)s->walked);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_OBJECTS, objects, (int64_t)s->round_objects);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_PLACES, places, (int64_t)s->round_places);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_BYTES, bytes, (int64_t)s->round_bytes);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_UPLOADS, uploads, (int64_t)s->round_uploads);
}

enum status native_gc_plan(struct view *v, struct cairn_v1_gc_answer *out, struct err *err)
{
    struct collect_plan plan;
    enum status st = collect_look(v, &plan, err);

    if (st) {
        return st;
    }
    *out = (struct cairn_v1_gc_answer){ .has = 0 };
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_DRY_RUN, dry_run, true);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_WALKED, walked, plan.objects + plan.kept);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_OBJECTS, objects, plan.objects);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_PLACES, places, plan.places);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_BYTES, bytes,
            plan.object_bytes + plan.place_bytes + plan.upload_bytes);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_UPLOADS, uploads, plan.uploads);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_OPEN_UPLOADS, open_uploads, plan.open);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_OPEN_BYTES, open_bytes, plan.open_bytes);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_KEPT, kept, plan.kept);
    MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_KEPT_BYTES, kept_bytes, plan.kept_bytes);
    return OK;
}

/* With why it waits, a copy of which lies in the arena. */
static enum status gc_state(struct call *c, struct err *err)
{
    struct cairn_v1_gc_answer *out = ARENA_NEW(c->arena, struct cairn_v1_gc_answer);
    struct collect_stats s;

    if (!out) {
        return err_nomem(err);
    }
    native_gc(c->core->collector, out);
    collect_stats(c->core->collector, &s);
    if (s.problem[0]) {
        struct str text = arena_str(c->arena, str_cstr(s.problem));

        MSG_SET(out, CAIRN_V1_GC_ANSWER_HAS_PROBLEM, problem, text);
        if (!text.p) {
            return err_nomem(err);
        }
    }
    c->out = out;
    return OK;
}

static enum status gc(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_gc *in = c->in;
    struct cairn_v1_gc_answer *out;
    enum status st = native_need_operator(c, err);

    if (st) {
        return st;
    }
    if (in->dry_run) {
        out = ARENA_NEW(c->arena, struct cairn_v1_gc_answer);
        c->out = out;
        return out ? native_gc_plan(v, out, err) : err_nomem(err);
    }
    (void)collect_ask(c->core->collector);
    return gc_state(c, err);
}

static enum status gc_look(struct call *c, struct view *v, struct err *err)
{
    enum status st = native_need_operator(c, err);

    (void)v;
    return st ? st : gc_state(c, err);
}

const struct route native_keep_routes[] = {
    ROUTE(HTTP_POST, "/api/cairn/v1/gc", &cairn_v1_gc_desc, &cairn_v1_gc_answer_desc,
          RESOURCE_SERVER, ACTION_SERVER_ADMIN, READ(gc)),
    ROUTE(HTTP_GET, "/api/cairn/v1/gc", NULL, &cairn_v1_gc_answer_desc, RESOURCE_SERVER,
          ACTION_SERVER_ADMIN, READ(gc_look)),
};
const size_t native_keep_routes_n = ARRAY_N(native_keep_routes);
