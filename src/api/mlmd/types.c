/* api/mlmd/types.c - reading types. */
#include "api/mlmd/mlmd_int.h"

static const char *version_text(struct str version, struct arena *a)
{
    struct str s = version.p ? arena_printf(a, "%.*s", STR_ARG(version)) : S("nullopt");

    return s.p ? s.p : "";
}

static enum status get_type(struct call *c, struct view *v, enum node_kind kind, struct err *err)
{
    const struct msg_desc *in = c->req->route->in;
    struct str name = mlmd_str(in, c->in, 1), version = mlmd_str(in, c->in, 2);
    struct typed_space s;
    struct typed_type t;
    void *out;
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : typed_type_named(&s, kind, name.p ? name : S(""), version, &t, err);
    if (st == ST_NOT_FOUND) {
        return err_set(err, st, "No type found for query, name: `%.*s`, version: `%s`",
                       STR_ARG(name), version_text(version, c->arena));
    }
    st = st ? st : mlmd_types_out(c->arena, kind, &t, 1, true, &out, err);
    if (!st && !mlmd_answer(c)) {
        st = err_nomem(err);
    }
    if (!st) {
        mlmd_set_msg(c->req->route->out, c->out, 1, out);
    }
    return st;
}

static enum status answer_types(struct call *c, enum node_kind kind, const struct typed_type *t,
                                size_t n, bool base, struct err *err)
{
    void *out;
    enum status st = mlmd_types_out(c->arena, kind, t, n, base, &out, err);

    if (!st && !mlmd_answer(c)) {
        st = err_nomem(err);
    }
    if (!st) {
        mlmd_set_list(c->req->route->out, c->out, 1, out, n);
    }
    return st;
}

static enum status get_types(struct call *c, struct view *v, enum node_kind kind, struct err *err)
{
    struct typed_space s;
    struct typed_type *t;
    size_t n;
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : typed_types(&s, kind, false, &t, &n, err);
    return st ? st : answer_types(c, kind, t, n, true, err);
}

/* In the order of the request, as often as it says. */
static enum status get_types_by_id(struct call *c, struct view *v, enum node_kind kind,
                                   struct err *err)
{
    struct typed_space s;
    struct typed_type *t;
    size_t n, got = 0;
    const int64_t *ids = mlmd_list(c->req->route->in, c->in, 1, &n);
    enum status st = mlmd_open(c, v, &s, err);

    t = ARENA_ARRAY(c->arena, struct typed_type, n + 1);
    st = st ? st : t ? OK : err_nomem(err);
    for (size_t i = 0; !st && i < n; i++) {
        st = typed_type_get(&s, kind, ids[i], &t[got], err);
        got += st ? 0 : 1;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    return st ? st : answer_types(c, kind, t, got, true, err);
}

static enum status get_types_by_external_ids(struct call *c, struct view *v, enum node_kind kind,
                                             struct err *err)
{
    struct typed_space s;
    struct typed_type *t;
    size_t n, got = 0;
    const struct str *ids = mlmd_list(c->req->route->in, c->in, 1, &n);
    enum status st = mlmd_open(c, v, &s, err);

    t = ARENA_ARRAY(c->arena, struct typed_type, n + 1);
    st = st ? st : t ? OK : err_nomem(err);
    for (size_t i = 0; !st && i < n; i++) {
        if (!ids[i].n) {
            return err_set(err, ST_INVALID,
                           "Invalid argument because at least one empty external_id exists.");
        }
        st = typed_type_external(&s, kind, ids[i], &t[got], err);
        got += st ? 0 : 1;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    if (!st && n && !got) {
        return err_set(err, ST_NOT_FOUND, "No types found for external_ids.");
    }
    return st ? st : answer_types(c, kind, t, got, false, err);
}

MLMD_KINDS(get_type, struct view *)
MLMD_KINDS(get_types, struct view *)
MLMD_KINDS(get_types_by_id, struct view *)
MLMD_KINDS(get_types_by_external_ids, struct view *)

const struct route mlmd_type_methods[] = {
    MLMD_READ(GetArtifactType, get_artifact_type, artifact_get_type),
    MLMD_READ(GetArtifactTypes, get_artifact_types, artifact_get_types),
    MLMD_READ(GetArtifactTypesByID, get_artifact_types_by_id, artifact_get_types_by_id),
    MLMD_READ(GetArtifactTypesByExternalIds, get_artifact_types_by_external_ids,
              artifact_get_types_by_external_ids),
    MLMD_READ(GetExecutionType, get_execution_type, execution_get_type),
    MLMD_READ(GetExecutionTypes, get_execution_types, execution_get_types),
    MLMD_READ(GetExecutionTypesByID, get_execution_types_by_id, execution_get_types_by_id),
    MLMD_READ(GetExecutionTypesByExternalIds, get_execution_types_by_external_ids,
              execution_get_types_by_external_ids),
    MLMD_READ(GetContextType, get_context_type, context_get_type),
    MLMD_READ(GetContextTypes, get_context_types, context_get_types),
    MLMD_READ(GetContextTypesByID, get_context_types_by_id, context_get_types_by_id),
    MLMD_READ(GetContextTypesByExternalIds, get_context_types_by_external_ids,
              context_get_types_by_external_ids),
};
const size_t mlmd_type_methods_n = ARRAY_N(mlmd_type_methods);
