/* api/mlmd/put.c - writes: a request becomes one operation of core/typed. */
#include "api/mlmd/mlmd_int.h"

/* A new operation for the call. NULL: memory is out. */
static struct typed_put *put_new(struct call *c, enum typed_put_kind kind, struct write_op **op,
                                 struct err *err)
{
    struct typed_put *p = ARENA_NEW(c->arena, struct typed_put);

    if (!p || !mlmd_answer(c)) {
        IGNORE_STATUS(err_nomem(err)); /* only fills err */
        return NULL;
    }
    typed_put_init(p, c->core, c->arena);
    p->kind = kind;
    p->who = c->principal->name;
    *op = &p->op;
    c->user = p;
    return call_space(c, &p->ns, err) ? NULL : p;
}

#define PUT_OF(c_) ((struct typed_put *)(c_)->user)

/* ---- types ----------------------------------------------------------------------------------------------------------------- */

/* Flags of a request: can_add_fields and so on have these numbers, `at` of the first. */
static enum status type_flags(struct call *c, struct typed_put *p, uint32_t at, struct err *err)
{
    const struct msg_desc *d = c->req->route->in;
    const bool *add = mlmd_field(d, c->in, at), *match = mlmd_field(d, c->in, at + 2),
               *omit = mlmd_field(d, c->in, at + 3);

    p->can_add = add && *add;
    p->can_omit = omit && *omit;
    return match && !*match ? err_set(err, ST_NOT_IMPLEMENTED, "Must match all fields.") : OK;
}

static enum status put_type(struct call *c, struct write_op **op, enum node_kind kind,
                            struct err *err)
{
    const struct msg_desc *d = c->req->route->in;
    struct typed_put *p = put_new(c, TYPED_PUT_TYPES, op, err);
    const void *at = mlmd_field(d, c->in, 1);
    const void *type = NULL;
    enum status st = p ? type_flags(c, p, 2, err) : err->code;

    if (st) {
        return st;
    }
    if (!at) {
        return err_set(err, ST_INVALID, "No type name is specified.");
    }
    memcpy(&type, at, sizeof(type));
    p->types = ARENA_NEW(c->arena, struct typed_type);
    p->types_n = 1;
    return p->types ? mlmd_types_in(c->arena, kind, type, 1, p->types, err) : err_nomem(err);
}

static enum status put_types(struct call *c, struct write_op **op, struct err *err)
{
    const struct ml_metadata_put_types_request *in = c->in;
    struct typed_put *p = put_new(c, TYPED_PUT_TYPES, op, err);
    size_t a = in->artifact_types_n, x = in->execution_types_n, n = in->context_types_n;
    enum status st = p ? type_flags(c, p, 4, err) : err->code;

    if (st) {
        return st;
    }
    p->types_n = a + x + n;
    p->types = ARENA_ARRAY(c->arena, struct typed_type, p->types_n + 1);
    if (!p->types) {
        return err_nomem(err);
    }
    st = mlmd_types_in(c->arena, NODE_ARTIFACT, in->artifact_types, a, p->types, err);
    st = st ? st
            : mlmd_types_in(c->arena, NODE_EXECUTION, in->execution_types, x, p->types + a, err);
    return st ? st
              : mlmd_types_in(c->arena, NODE_CONTEXT, in->context_types, n, p->types + a + x, err);
}

static enum status put_type_finish(struct call *c, struct err *err)
{
    (void)err;
    mlmd_set_i64(c->req->route->out, c->out, 1, PUT_OF(c)->types[0].id);
    return OK;
}

static enum status put_types_finish(struct call *c, struct err *err)
{
    const struct ml_metadata_put_types_request *in = c->in;
    const size_t counts[] = { in->artifact_types_n, in->execution_types_n, in->context_types_n };
    int64_t *ids = ARENA_ARRAY(c->arena, int64_t, PUT_OF(c)->types_n + 1);
    size_t at = 0;

    for (size_t i = 0; ids && i < PUT_OF(c)->types_n; i++) {
        ids[i] = PUT_OF(c)->types[i].id;
    }
    for (uint32_t k = 0; ids && k < ARRAY_N(counts); k++) {
        mlmd_set_list(c->req->route->out, c->out, k + 1, ids + at, counts[k]);
        at += counts[k];
    }
    return ids ? OK : err_nomem(err);
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------- */

static enum status ids_out(struct call *c, uint32_t number, const struct typed_node *nodes,
                           size_t n, struct err *err)
{
    int64_t *ids = ARENA_ARRAY(c->arena, int64_t, n + 1);

    if (!ids) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = nodes[i].id;
    }
    mlmd_set_list(c->req->route->out, c->out, number, ids, n);
    return OK;
}

static enum status put_nodes(struct call *c, struct write_op **op, enum node_kind kind,
                             struct err *err)
{
    const struct msg_desc *d = c->req->route->in;
    struct typed_put *p = put_new(c, TYPED_PUT_NODES, op, err);
    const void *mask_at = mlmd_field(d, c->in, kind == NODE_ARTIFACT ? 4 : 3);
    const void *nodes = mlmd_list(d, c->in, 1, &(size_t){ 0 });

    if (!p) {
        return err->code;
    }
    nodes = mlmd_list(d, c->in, 1, &p->artifacts_n);
    if (kind == NODE_ARTIFACT) {
        const struct ml_metadata_put_artifacts_request *in = c->in;

        p->abort_if_updated = in->options && in->options->abort_if_latest_updated_time_changed;
    }
    if (mask_at) {
        const struct ml_metadata_field_mask *mask;

        memcpy(&mask, mask_at, sizeof(mask));
        p->mask = mask->paths;
        p->mask_n = mask->paths_n;
    }
    return mlmd_nodes_in(c->arena, kind, nodes, p->artifacts_n, &p->artifacts, err);
}

static enum status put_nodes_finish(struct call *c, struct err *err)
{
    return ids_out(c, 1, PUT_OF(c)->artifacts, PUT_OF(c)->artifacts_n, err);
}

/* ---- events, memberships, parents ------------------------------------------------------------------------------------------ */

static enum status put_events(struct call *c, struct write_op **op, struct err *err)
{
    const struct ml_metadata_put_events_request *in = c->in;
    struct typed_put *p = put_new(c, TYPED_PUT_EVENTS, op, err);
    enum status st = OK;

    if (!p) {
        return err->code;
    }
    p->events = ARENA_ARRAY(c->arena, struct typed_event, in->events_n + 1);
    p->events_n = in->events_n;
    if (!p->events) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < in->events_n; i++) {
        st = mlmd_event_in(c->arena, &in->events[i], &p->events[i], err);
    }
    return st;
}

static enum status put_members(struct call *c, struct write_op **op, struct err *err)
{
    const struct ml_metadata_put_attributions_and_associations_request *in = c->in;
    struct typed_put *p = put_new(c, TYPED_PUT_MEMBERS, op, err);

    if (!p) {
        return err->code;
    }
    p->pairs =
        ARENA_ARRAY(c->arena, struct typed_pair, in->attributions_n + in->associations_n + 1);
    p->pairs_artifacts = in->attributions_n;
    for (size_t i = 0; p->pairs && i < in->attributions_n; i++) {
        const struct ml_metadata_attribution *a = &in->attributions[i];

        p->pairs[p->pairs_n++] =
            (struct typed_pair){ .has_a = (a->has & ML_METADATA_ATTRIBUTION_HAS_ARTIFACT_ID) != 0,
                                 .has_b = (a->has & ML_METADATA_ATTRIBUTION_HAS_CONTEXT_ID) != 0,
                                 .a = a->artifact_id,
                                 .b = a->context_id };
    }
    for (size_t i = 0; p->pairs && i < in->associations_n; i++) {
        const struct ml_metadata_association *a = &in->associations[i];

        p->pairs[p->pairs_n++] =
            (struct typed_pair){ .has_a = (a->has & ML_METADATA_ASSOCIATION_HAS_EXECUTION_ID) != 0,
                                 .has_b = (a->has & ML_METADATA_ASSOCIATION_HAS_CONTEXT_ID) != 0,
                                 .a = a->execution_id,
                                 .b = a->context_id };
    }
    return p->pairs ? OK : err_nomem(err);
}

static enum status put_parents(struct call *c, struct write_op **op, struct err *err)
{
    const struct ml_metadata_put_parent_contexts_request *in = c->in;
    struct typed_put *p = put_new(c, TYPED_PUT_PARENTS, op, err);

    if (!p) {
        return err->code;
    }
    p->pairs = ARENA_ARRAY(c->arena, struct typed_pair, in->parent_contexts_n + 1);
    for (size_t i = 0; p->pairs && i < in->parent_contexts_n; i++) {
        const struct ml_metadata_parent_context *x = &in->parent_contexts[i];

        p->pairs[p->pairs_n++] =
            (struct typed_pair){ .has_a = (x->has & ML_METADATA_PARENT_CONTEXT_HAS_CHILD_ID) != 0,
                                 .has_b = (x->has & ML_METADATA_PARENT_CONTEXT_HAS_PARENT_ID) != 0,
                                 .a = x->child_id,
                                 .b = x->parent_id };
    }
    return p->pairs ? OK : err_nomem(err);
}

/* ---- an execution with what belongs to it ------------------------------------------------------------------------------------ */

static enum status put_execution(struct call *c, struct write_op **op, struct err *err)
{
    const struct ml_metadata_put_execution_request *in = c->in;
    const struct ml_metadata_put_execution_options *o = in->options;
    struct typed_put *p = put_new(c, TYPED_PUT_EXECUTION, op, err);
    size_t n = in->artifact_event_pairs_n;
    enum status st = OK;

    if (!p) {
        return err->code;
    }
    if (!in->execution) {
        return err_set(err, ST_INVALID, "No execution is found: ");
    }
    if (o) {
        p->reuse_context = o->reuse_context_if_already_exist;
        p->reuse_artifact = o->reuse_artifact_if_already_exist_by_external_id;
        p->force_update_time = o->force_update_time;
        p->force_reuse_context = o->force_reuse_context;
    }
    p->executions_n = 1;
    p->artifacts = ARENA_ARRAY(c->arena, struct typed_node, n + 1);
    p->edges = ARENA_ARRAY(c->arena, struct typed_edge, n + 1);
    p->edges_n = n;
    if (!p->artifacts || !p->edges) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        const struct ml_metadata_artifact_and_event *x = &in->artifact_event_pairs[i];
        struct typed_edge *e = &p->edges[i];

        e->has_event = x->event != NULL;
        e->has_artifact = x->artifact != NULL;
        e->artifact = p->artifacts_n;
        if (x->artifact) {
            st = mlmd_node_in(c->arena, NODE_ARTIFACT, x->artifact, &p->artifacts[p->artifacts_n++],
                              err);
        }
        if (!st && x->event) {
            st = mlmd_event_in(c->arena, x->event, &e->event, err);
        }
    }
    st = st ? st : mlmd_nodes_in(c->arena, NODE_EXECUTION, in->execution, 1, &p->executions, err);
    p->contexts_n = in->contexts_n;
    return st ? st
              : mlmd_nodes_in(c->arena, NODE_CONTEXT, in->contexts, in->contexts_n, &p->contexts,
                              err);
}

/* The number of each pair's artifact: -1 for a pair of nothing. */
static enum status put_execution_finish(struct call *c, struct err *err)
{
    const struct typed_put *p = PUT_OF(c);
    int64_t *ids = ARENA_ARRAY(c->arena, int64_t, p->edges_n + 1);

    if (!ids) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < p->edges_n; i++) {
        const struct typed_edge *e = &p->edges[i];

        ids[i] = e->has_artifact ? p->artifacts[e->artifact].id
                 : e->has_event  ? e->event.artifact
                                 : -1;
    }
    mlmd_set_i64(c->req->route->out, c->out, 1, p->executions[0].id);
    mlmd_set_list(c->req->route->out, c->out, 2, ids, p->edges_n);
    return ids_out(c, 3, p->contexts, p->contexts_n, err);
}

static enum status put_subgraph(struct call *c, struct write_op **op, struct err *err)
{
    const struct ml_metadata_put_lineage_subgraph_request *in = c->in;
    struct typed_put *p = put_new(c, TYPED_PUT_SUBGRAPH, op, err);
    enum status st;

    if (!p) {
        return err->code;
    }
    if (in->options) {
        p->reuse_context = in->options->reuse_context_if_already_exist;
        p->reuse_artifact = in->options->reuse_artifact_if_already_exist_by_external_id;
    }
    p->artifacts_n = in->artifacts_n;
    p->executions_n = in->executions_n;
    p->contexts_n = in->contexts_n;
    st = mlmd_nodes_in(c->arena, NODE_ARTIFACT, in->artifacts, in->artifacts_n, &p->artifacts, err);
    st = st ? st
            : mlmd_nodes_in(c->arena, NODE_EXECUTION, in->executions, in->executions_n,
                            &p->executions, err);
    st =
        st ? st
           : mlmd_nodes_in(c->arena, NODE_CONTEXT, in->contexts, in->contexts_n, &p->contexts, err);
    p->edges = ARENA_ARRAY(c->arena, struct typed_edge, in->event_edges_n + 1);
    p->edges_n = in->event_edges_n;
    if (!st && !p->edges) {
        st = err_nomem(err);
    }
    for (size_t i = 0; !st && i < in->event_edges_n; i++) {
        const struct ml_metadata_event_edge *x = &in->event_edges[i];
        struct typed_edge *e = &p->edges[i];

        e->has_event = x->event != NULL;
        e->has_artifact_index = (x->has & ML_METADATA_EVENT_EDGE_HAS_ARTIFACT_INDEX) != 0;
        e->has_execution_index = (x->has & ML_METADATA_EVENT_EDGE_HAS_EXECUTION_INDEX) != 0;
        e->artifact_index = x->artifact_index;
        e->execution_index = x->execution_index;
        st = x->event ? mlmd_event_in(c->arena, x->event, &e->event, err) : OK;
    }
    return st;
}

static enum status put_subgraph_finish(struct call *c, struct err *err)
{
    const struct typed_put *p = PUT_OF(c);
    enum status st = ids_out(c, 1, p->executions, p->executions_n, err);

    st = st ? st : ids_out(c, 2, p->artifacts, p->artifacts_n, err);
    return st ? st : ids_out(c, 3, p->contexts, p->contexts_n, err);
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

MLMD_KINDS(put_type, struct write_op **)
MLMD_KINDS(put_nodes, struct write_op **)

#define WRITE(name_, snake_, start_, finish_)                                                      \
    MLMD_METHOD(name_, snake_, ACTION_RUN_WRITE, .kind = CALL_WRITE, .start = (start_),            \
                .finish = (finish_))

const struct route mlmd_put_methods[] = {
    WRITE(PutArtifactType, put_artifact_type, artifact_put_type, put_type_finish),
    WRITE(PutExecutionType, put_execution_type, execution_put_type, put_type_finish),
    WRITE(PutContextType, put_context_type, context_put_type, put_type_finish),
    WRITE(PutTypes, put_types, put_types, put_types_finish),
    WRITE(PutArtifacts, put_artifacts, artifact_put_nodes, put_nodes_finish),
    WRITE(PutExecutions, put_executions, execution_put_nodes, put_nodes_finish),
    WRITE(PutContexts, put_contexts, context_put_nodes, put_nodes_finish),
    WRITE(PutEvents, put_events, put_events, NULL),
    WRITE(PutAttributionsAndAssociations, put_attributions_and_associations, put_members, NULL),
    WRITE(PutParentContexts, put_parent_contexts, put_parents, NULL),
    WRITE(PutExecution, put_execution, put_execution, put_execution_finish),
    WRITE(PutLineageSubgraph, put_lineage_subgraph, put_subgraph, put_subgraph_finish),
};
const size_t mlmd_put_methods_n = ARRAY_N(mlmd_put_methods);
