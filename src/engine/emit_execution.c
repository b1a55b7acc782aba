/* engine/emit_execution.c - executions of ML Metadata as runs, what they read and made as data sets: what clients put, and what was imported
 * from another store. */
#include "engine/emit_event.h"
#include "engine/emit_int.h"

/* States as ML Metadata counts them: 1 NEW, 2 RUNNING, 3 COMPLETE, 4 FAILED, 5 CACHED, 6 CANCELED. */
static const char *type_of(int32_t state)
{
    static const char *const types[] = { "OTHER", "START",    "START", "COMPLETE",
                                         "FAIL",  "COMPLETE", "ABORT" };

    return state >= 0 && (size_t)state < ARRAY_N(types) ? types[state] : "OTHER";
}

static enum status put_artifacts(struct json_writer *w, struct arena *a, struct str ns,
                                 const char *key, const struct outbox_artifact *list, size_t n,
                                 struct err *err)
{
    json_w_key(w, str_cstr(key));
    json_w_array(w);
    for (size_t i = 0; i < n; i++) {
        const struct outbox_artifact *it = &list[i];
        struct str id = arena_printf(a, "%lld", (long long)it->id);
        struct emit_name at;

        if (!emit_place(a, it->uri, &at)) {
            at.ns = ns;
            at.name = arena_printf(a, "artifacts:/%.*s/%.*s", STR_ARG(it->type),
                                   STR_ARG(it->name.p ? it->name : id));
        }
        if (!id.p || !at.name.p) return err_nomem(err);
        emit_dataset(w, at.ns, at.name);
        emit_version(w, id);
        if (str_ends(it->type, S("Model"))) emit_type(w, "MODEL", NULL);
        emit_source(w, a, it->type, it->uri);
        emit_dataset_end(w);
    }
    json_w_array_end(w);
    return OK;
}

enum status emit_execution(struct json_writer *w, struct view *v, const struct outbox_fact *f,
                           struct str ns, struct err *err)
{
    struct outbox_execution x;
    struct str id;
    const char *type;
    enum status st = outbox_execution(v, f->uid, EMIT_LIST_MAX, &x, err);

    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return OK;
    }
    if (st) return st;
    id = arena_printf(v->arena, "%.*s:mlmd:%.*s:%lld", STR_ARG(ns), STR_ARG(x.space),
                      (long long)x.id);
    if (!id.p) return err_nomem(err);
    type = type_of(x.state);
    emit_begin(w, "RunEvent", type,
               str_eq_lit(str_cstr(type), "START") ? x.create_ms : x.update_ms);
    emit_run_ref(w, id);
    json_w_key(w, S("facets"));
    json_w_object(w);
    emit_engine(w);
    json_w_object_end(w);
    json_w_object_end(w);
    emit_job(w, ns, x.type);
    json_w_key(w, S("facets"));
    json_w_object(w);
    emit_job_type(w, "EXECUTION");
    json_w_object_end(w);
    json_w_object_end(w);
    st = put_artifacts(w, v->arena, ns, "inputs", x.inputs, x.inputs_n, err);
    if (!st) st = put_artifacts(w, v->arena, ns, "outputs", x.outputs, x.outputs_n, err);
    json_w_object_end(w);
    return st;
}
