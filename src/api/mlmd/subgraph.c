/* api/mlmd/subgraph.c - GetLineageSubgraph: a walk of core/typed as a LineageGraph. Nodes of the answer have their numbers only. */
#include "api/mlmd/mlmd_int.h"
#include <inttypes.h>

/* ---- the question ------------------------------------------------------------------------------------------------------------ */

static enum status ending_in(struct call *c, enum node_kind kind,
                             const struct ml_metadata_ending_nodes *in, struct typed_ending *out,
                             struct err *err)
{
    struct nodefilter *filter = NULL;
    enum status st = OK;

    if (in && in->filter_query.n) {
        st = mlmd_filter_parse(c->arena, kind, in->filter_query, &filter, err);
        *out = (struct typed_ending){ .filter = filter, .included = in->include_ending_nodes };
    }
    return st;
}

static enum status query_in(struct call *c,
                            const struct ml_metadata_lineage_subgraph_query_options *o,
                            struct typed_subgraph *out, struct err *err)
{
    const struct ml_metadata_starting_nodes *start = !o ? NULL
                                                     : o->starting_executions
                                                         ? o->starting_executions
                                                         : o->starting_artifacts;
    struct nodefilter *filter = NULL;
    enum status st;

    if (!start) {
        return err_set(err, ST_INVALID, "Missing arguments for listing starting nodes.");
    }
    if (!start->filter_query.n) {
        return err_set(err, ST_INVALID,
                       "Cannot list starting nodes if `filter_query` is unspecified.");
    }
    if (o->max_num_hops < 0) {
        return err_set(err, ST_INVALID, "max_num_hops cannot be negative: max_num_hops = %" PRId64,
                       o->max_num_hops);
    }
    out->kind = o->starting_executions ? NODE_EXECUTION : NODE_ARTIFACT;
    out->hops = o->has & ML_METADATA_LINEAGE_SUBGRAPH_QUERY_OPTIONS_HAS_MAX_NUM_HOPS
                    ? (unsigned)MIN_OF(o->max_num_hops, TYPED_HOPS_MAX)
                    : TYPED_HOPS_MAX;
    out->up = o->direction == ML_METADATA_DIRECTION_UPSTREAM;
    out->down = o->direction == ML_METADATA_DIRECTION_DOWNSTREAM;
    st = mlmd_filter_parse(c->arena, out->kind, start->filter_query, &filter, err);
    out->start = filter;
    st = st ? st : ending_in(c, NODE_ARTIFACT, o->ending_artifacts, &out->artifacts_end, err);
    return st ? st : ending_in(c, NODE_EXECUTION, o->ending_executions, &out->executions_end, err);
}

/* Whether an answer has a field: without a mask all. */
static bool wanted(const struct ml_metadata_field_mask *mask, const char *field)
{
    bool any = !mask || !mask->paths_n;

    for (size_t i = 0; !any && i < mask->paths_n; i++) {
        any = str_eq(mask->paths[i], str_cstr(field));
    }
    return any;
}

/* ---- the answer ---------------------------------------------------------------------------------------------------------------- */

static enum status numbers_out(struct call *c, struct ml_metadata_lineage_graph *g, uint32_t field,
                               enum node_kind kind, const int64_t *ids, size_t n, struct err *err)
{
    const struct msg_desc *d = mlmd_node_desc(kind);
    char *nodes = arena_zalloc(c->arena, n + 1, d->size);

    if (!nodes) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        mlmd_set_i64(d, nodes + i * d->size, 1, ids[i]);
    }
    mlmd_set_list(&ml_metadata_lineage_graph_desc, g, field, nodes, n);
    return OK;
}

/* Attributions and associations: the node is field 1, its context field 2. */
static enum status pairs_out(struct call *c, struct ml_metadata_lineage_graph *g, uint32_t field,
                             const struct msg_desc *d, const struct typed_pair *pairs, size_t n,
                             struct err *err)
{
    char *out = arena_zalloc(c->arena, n + 1, d->size);

    if (!out) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        mlmd_set_i64(d, out + i * d->size, 1, pairs[i].a);
        mlmd_set_i64(d, out + i * d->size, 2, pairs[i].b);
    }
    mlmd_set_list(&ml_metadata_lineage_graph_desc, g, field, out, n);
    return OK;
}

static enum status types_out(struct call *c, struct typed_space *s, enum node_kind kind,
                             uint32_t field, struct ml_metadata_lineage_graph *g, struct err *err)
{
    struct typed_type *types;
    void *out;
    size_t n;
    enum status st = typed_types(s, kind, true, &types, &n, err);

    st = st ? st : mlmd_types_out(c->arena, kind, types, n, false, &out, err);
    if (!st) {
        mlmd_set_list(&ml_metadata_lineage_graph_desc, g, field, out, n);
    }
    return st;
}

static enum status events_out(struct call *c, struct ml_metadata_lineage_graph *g,
                              const struct typed_subgraph *sub, struct err *err)
{
    struct ml_metadata_event *out;
    enum status st = mlmd_events_out(c->arena, sub->events, sub->events_n, &out, err);

    if (!st) {
        mlmd_set_list(&ml_metadata_lineage_graph_desc, g, 7, out, sub->events_n);
    }
    return st;
}

static enum status graph_out(struct call *c, struct typed_space *s,
                             const struct ml_metadata_field_mask *mask,
                             const struct typed_subgraph *sub, struct ml_metadata_lineage_graph *g,
                             struct err *err)
{
    static const struct {
        const char *types, *nodes;
        enum node_kind kind;
    } kinds[] = { { "artifact_types", "artifacts", NODE_ARTIFACT },
                  { "execution_types", "executions", NODE_EXECUTION },
                  { "context_types", "contexts", NODE_CONTEXT } };
    const int64_t *ids[] = { sub->artifacts, sub->executions, sub->contexts };
    const size_t ids_n[] = { sub->artifacts_n, sub->executions_n, sub->contexts_n };
    enum status st = OK;

    for (uint32_t i = 0; !st && i < ARRAY_N(kinds); i++) {
        if (wanted(mask, kinds[i].types)) {
            st = types_out(c, s, kinds[i].kind, 1 + i, g, err);
        }
        if (!st && wanted(mask, kinds[i].nodes)) {
            st = numbers_out(c, g, 4 + i, kinds[i].kind, ids[i], ids_n[i], err);
        }
    }
    if (!st && wanted(mask, "events")) {
        st = events_out(c, g, sub, err);
    }
    if (!st && wanted(mask, "attributions")) {
        st = pairs_out(c, g, 8, &ml_metadata_attribution_desc, sub->attributions,
                       sub->attributions_n, err);
    }
    if (!st && wanted(mask, "associations")) {
        st = pairs_out(c, g, 9, &ml_metadata_association_desc, sub->associations,
                       sub->associations_n, err);
    }
    return st;
}

enum status mlmd_get_lineage_subgraph(struct call *c, struct view *v, struct err *err)
{
    const struct ml_metadata_get_lineage_subgraph_request *in = c->in;
    const struct ml_metadata_field_mask *mask = in->read_mask;
    struct ml_metadata_lineage_graph *g = ARENA_NEW(c->arena, struct ml_metadata_lineage_graph);
    struct typed_subgraph sub = { 0 };
    struct typed_space s;
    enum status st = g && mlmd_answer(c) ? mlmd_open(c, v, &s, err) : err_nomem(err);

    st = st ? st : query_in(c, in->lineage_subgraph_query_options, &sub, err);
    if (st) {
        return st;
    }
    sub.no_events = !wanted(mask, "events");
    sub.no_members =
        !wanted(mask, "contexts") && !wanted(mask, "attributions") && !wanted(mask, "associations");
    st = typed_subgraph(&s, &sub, err);
    st = st ? st : graph_out(c, &s, mask, &sub, g, err);
    if (!st) {
        mlmd_set_msg(c->req->route->out, c->out, 1, g);
    }
    return st;
}
