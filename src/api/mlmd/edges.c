/* api/mlmd/edges.c - reading events, and what contexts hold. */
#include "api/mlmd/mlmd_int.h"
#include <inttypes.h>

/* ---- events ---------------------------------------------------------------------------------------------------------------- */

static enum status get_events(struct call *c, struct view *v, enum node_kind kind, struct err *err)
{
    struct typed_space s;
    struct typed_event *events;
    struct ml_metadata_event *out;
    size_t n, events_n;
    const int64_t *ids = mlmd_list(c->req->route->in, c->in, 1, &n);
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : typed_events(&s, kind, ids, n, &events, &events_n, err);
    st = st ? st : mlmd_events_out(c->arena, events, events_n, &out, err);
    if (!st && !mlmd_answer(c)) {
        st = err_nomem(err);
    }
    if (!st) {
        mlmd_set_list(c->req->route->out, c->out, 1, out, events_n);
    }
    return st;
}

static enum status get_events_of_executions(struct call *c, struct view *v, struct err *err)
{
    return get_events(c, v, NODE_EXECUTION, err);
}

static enum status get_events_of_artifacts(struct call *c, struct view *v, struct err *err)
{
    return get_events(c, v, NODE_ARTIFACT, err);
}

/* ---- contexts of a node, parents and children of a context -------------------------------------------------------------------- */

static enum status answer_contexts(struct call *c, const struct typed_node *nodes, size_t n,
                                   struct err *err)
{
    void *out;
    enum status st = mlmd_nodes_out(c->arena, NODE_CONTEXT, nodes, n, &out, err);

    if (!st && !mlmd_answer(c)) {
        st = err_nomem(err);
    }
    if (!st) {
        mlmd_set_list(c->req->route->out, c->out, 1, out, n);
    }
    return st;
}

static enum status related(struct call *c, struct view *v, enum typed_relation what,
                           enum node_kind kind, struct err *err)
{
    int64_t id = mlmd_i64(c->req->route->in, c->in, 1);
    struct typed_space s;
    struct typed_node *nodes;
    size_t n;
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : typed_related(&s, what, kind, id, &nodes, &n, err);
    if (!st && what == TYPED_CONTEXTS && n == 0) {
        return err_set(err, ST_NOT_FOUND, "No contexts found for %s_id: %" PRId64,
                       kind == NODE_ARTIFACT ? "artifact" : "execution", id);
    }
    return st ? st : answer_contexts(c, nodes, n, err);
}

static enum status get_contexts_by_artifact(struct call *c, struct view *v, struct err *err)
{
    return related(c, v, TYPED_CONTEXTS, NODE_ARTIFACT, err);
}

static enum status get_contexts_by_execution(struct call *c, struct view *v, struct err *err)
{
    return related(c, v, TYPED_CONTEXTS, NODE_EXECUTION, err);
}

static enum status get_parents(struct call *c, struct view *v, struct err *err)
{
    return related(c, v, TYPED_PARENTS, NODE_CONTEXT, err);
}

static enum status get_children(struct call *c, struct view *v, struct err *err)
{
    return related(c, v, TYPED_CHILDREN, NODE_CONTEXT, err);
}

/* Entries of the map: both directions have the same shape. */
_Static_assert(sizeof(struct ml_metadata_parent_contexts_entry) ==
                   sizeof(struct ml_metadata_children_contexts_entry),
               "the two maps have the same form");

static enum status related_of_many(struct call *c, struct view *v, enum typed_relation what,
                                   const struct msg_desc *entry, const struct msg_desc *value,
                                   struct err *err)
{
    size_t n, got = 0;
    const int64_t *ids = mlmd_list(c->req->route->in, c->in, 1, &n);
    char *entries = arena_zalloc(c->arena, n + 1, entry->size);
    char *values = arena_zalloc(c->arena, n + 1, value->size);
    struct typed_space s;
    enum status st = mlmd_open(c, v, &s, err);

    if (!st && (!entries || !values || !mlmd_answer(c))) {
        st = err_nomem(err);
    }
    if (!st && n == 0) {
        st = err_set(err, ST_INVALID, "context_ids is empty");
    }
    for (size_t i = 0; !st && i < n; i++) {
        struct typed_node *nodes;
        size_t nodes_n;
        void *out;

        st = typed_related(&s, what, NODE_CONTEXT, ids[i], &nodes, &nodes_n, err);
        if (st || nodes_n == 0) {
            continue;
        }
        st = mlmd_nodes_out(c->arena, NODE_CONTEXT, nodes, nodes_n, &out, err);
        if (!st) {
            mlmd_set_list(value, values + got * value->size, 1, out, nodes_n);
            mlmd_set_i64(entry, entries + got * entry->size, 1, ids[i]);
            mlmd_set_msg(entry, entries + got * entry->size, 2, values + got * value->size);
            got++;
        }
    }
    if (!st) {
        mlmd_set_list(c->req->route->out, c->out, 2, entries, got);
    }
    return st;
}

static enum status get_parents_of_many(struct call *c, struct view *v, struct err *err)
{
    return related_of_many(c, v, TYPED_PARENTS, &ml_metadata_parent_contexts_entry_desc,
                           &ml_metadata_parent_contexts_desc, err);
}

static enum status get_children_of_many(struct call *c, struct view *v, struct err *err)
{
    return related_of_many(c, v, TYPED_CHILDREN, &ml_metadata_children_contexts_entry_desc,
                           &ml_metadata_children_contexts_desc, err);
}

/* ---- what a context holds ---------------------------------------------------------------------------------------------------- */

static enum status get_members(struct call *c, struct view *v, enum node_kind kind, struct err *err)
{
    struct typed_space s;
    struct nodelist l = { .kind = (int)kind };
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : typed_uid(&s, NODE_CONTEXT, mlmd_i64(c->req->route->in, c->in, 1), &l.ctx, err);
    if (st == ST_NOT_FOUND) {
        return mlmd_answer(c) ? OK : err_nomem(err);
    }
    return st ? st : mlmd_list_answer(c, &s, &l, mlmd_options(c, 2), err);
}

static enum status get_artifacts_by_context(struct call *c, struct view *v, struct err *err)
{
    return get_members(c, v, NODE_ARTIFACT, err);
}

static enum status get_executions_by_context(struct call *c, struct view *v, struct err *err)
{
    return get_members(c, v, NODE_EXECUTION, err);
}

/* ---- the graph --------------------------------------------------------------------------------------------------------------- */

static enum status get_lineage_graph(struct call *c, struct err *err)
{
    (void)c;
    return err_set(err, ST_NOT_IMPLEMENTED, "GetLineageGraph is not implemented.");
}

#define DIRECT(name_, snake_, fn_)                                                                 \
    MLMD_METHOD(name_, snake_, ACTION_RUN_READ, .kind = CALL_DIRECT, .direct = (fn_))

const struct route mlmd_edge_methods[] = {
    MLMD_READ(GetEventsByExecutionIDs, get_events_by_execution_i_ds, get_events_of_executions),
    MLMD_READ(GetEventsByArtifactIDs, get_events_by_artifact_i_ds, get_events_of_artifacts),
    MLMD_READ(GetContextsByArtifact, get_contexts_by_artifact, get_contexts_by_artifact),
    MLMD_READ(GetContextsByExecution, get_contexts_by_execution, get_contexts_by_execution),
    MLMD_READ(GetArtifactsByContext, get_artifacts_by_context, get_artifacts_by_context),
    MLMD_READ(GetExecutionsByContext, get_executions_by_context, get_executions_by_context),
    MLMD_READ(GetParentContextsByContext, get_parent_contexts_by_context, get_parents),
    MLMD_READ(GetChildrenContextsByContext, get_children_contexts_by_context, get_children),
    MLMD_READ(GetParentContextsByContexts, get_parent_contexts_by_contexts, get_parents_of_many),
    MLMD_READ(GetChildrenContextsByContexts, get_children_contexts_by_contexts,
              get_children_of_many),
    MLMD_READ(GetLineageSubgraph, get_lineage_subgraph, mlmd_get_lineage_subgraph),
    DIRECT(GetLineageGraph, get_lineage_graph, get_lineage_graph),
};
const size_t mlmd_edge_methods_n = ARRAY_N(mlmd_edge_methods);
