/* api/mlmd/import.c - rows of a store that is taken over become one operation of core/typed; a row that is none is skipped with its
 * reason, not the request refused. */
#include "core/typed/import.h"
#include "api/mlmd/mlmd_int.h"
#include "gen/mlmd/import.h"

/* What rows of each kind are. */
static const struct shape {
    enum typed_import_what what;
    enum node_kind kind;
    const struct msg_desc *desc;
} shapes[] = {
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_ARTIFACT_TYPES] = { TYPED_IMPORT_TYPES, NODE_ARTIFACT,
                                                          &ml_metadata_artifact_type_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_EXECUTION_TYPES] = { TYPED_IMPORT_TYPES, NODE_EXECUTION,
                                                           &ml_metadata_execution_type_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_CONTEXT_TYPES] = { TYPED_IMPORT_TYPES, NODE_CONTEXT,
                                                         &ml_metadata_context_type_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_ARTIFACTS] = { TYPED_IMPORT_NODES, NODE_ARTIFACT,
                                                     &ml_metadata_artifact_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_EXECUTIONS] = { TYPED_IMPORT_NODES, NODE_EXECUTION,
                                                      &ml_metadata_execution_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_CONTEXTS] = { TYPED_IMPORT_NODES, NODE_CONTEXT,
                                                    &ml_metadata_context_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_PARENTS] = { TYPED_IMPORT_PARENTS, NODE_CONTEXT,
                                                   &ml_metadata_parent_context_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_ATTRIBUTIONS] = { TYPED_IMPORT_MEMBERS, NODE_ARTIFACT,
                                                        &ml_metadata_attribution_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_ASSOCIATIONS] = { TYPED_IMPORT_MEMBERS, NODE_EXECUTION,
                                                        &ml_metadata_association_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_EVENTS] = { TYPED_IMPORT_EVENTS, NODE_CONTEXT,
                                                  &ml_metadata_event_desc },
    [CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_RUNS] = { TYPED_IMPORT_RUNS, NODE_EXECUTION,
                                                &cairn_mlmd_v1_import_run_desc },
};

/* Messages of pairs: two numbers, of which one may be named first or second. */
static void pair_in(const struct shape *s, const void *msg, struct typed_pair *out)
{
    *out = (struct typed_pair){ .has_a = mlmd_field(s->desc, msg, 1) != NULL,
                                .has_b = mlmd_field(s->desc, msg, 2) != NULL,
                                .a = mlmd_i64(s->desc, msg, 1),
                                .b = mlmd_i64(s->desc, msg, 2) };
}

static enum status row_in(struct arena *a, const struct shape *s, struct str bytes,
                          struct typed_import_row *row, struct err *err)
{
    struct msg_ctx ctx = { .arena = a };
    void *msg = arena_zalloc(a, 1, s->desc->size);
    enum status st = msg ? msg_decode_pb(s->desc, msg, bytes, &ctx, err) : err_nomem(err);

    if (st) {
        return st;
    }
    switch (s->what) {
    case TYPED_IMPORT_TYPES:
        row->number = mlmd_i64(s->desc, msg, 1);
        return mlmd_types_in(a, s->kind, msg, 1, &row->type, err);
    case TYPED_IMPORT_NODES:
        row->number = mlmd_i64(s->desc, msg, 1);
        return mlmd_node_in(a, s->kind, msg, &row->node, err);
    case TYPED_IMPORT_EVENTS: return mlmd_event_in(a, msg, &row->event, err);
    case TYPED_IMPORT_RUNS:
        row->number = mlmd_i64(s->desc, msg, 1);
        row->run = mlmd_str(s->desc, msg, 2);
        return OK;
    case TYPED_IMPORT_PARENTS:
    case TYPED_IMPORT_MEMBERS: break;
    }
    pair_in(s, msg, &row->pair);
    return OK;
}

static enum status put_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_mlmd_v1_import_request *in = c->in;
    const struct shape *s = (size_t)in->what < ARRAY_N(shapes) ? &shapes[in->what] : NULL;
    struct typed_import *p = ARENA_NEW(c->arena, struct typed_import);
    enum status st = OK;

    if (!s || !s->desc || in->what <= 0) {
        return err_set(err, ST_INVALID, "field what: rows of which table?");
    }
    if (!p || !mlmd_answer(c)) {
        return err_nomem(err);
    }
    typed_import_init(p, c->core, c->arena);
    p->who = c->principal->name;
    p->source = in->source;
    p->what = s->what;
    p->kind = s->kind;
    p->rows_n = in->rows_n;
    p->rows = ARENA_ARRAY(c->arena, struct typed_import_row, in->rows_n + 1);
    if (!p->rows) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < in->rows_n; i++) {
        struct err why = ERR_INIT;

        st = row_in(c->arena, s, in->rows[i], &p->rows[i], &why);
        if (st == ST_NOMEM) {
            return err_nomem(err);
        }
        if (st) {
            p->rows[i].unreadable =
                arena_printf(c->arena, "it cannot be read: %.300s", why.message);
            st = p->rows[i].unreadable.p ? OK : err_nomem(err);
        }
    }
    *op = &p->op;
    c->user = p;
    return st ? st : call_space(c, &p->ns, err);
}

static enum status put_finish(struct call *c, struct err *err)
{
    const struct typed_import *p = c->user;
    struct cairn_mlmd_v1_import_response *out = c->out;

    out->results = ARENA_ARRAY(c->arena, struct cairn_mlmd_v1_import_result, p->rows_n + 1);
    if (!out->results) {
        return err_nomem(err);
    }
    out->has |= CAIRN_MLMD_V1_IMPORT_RESPONSE_HAS_RESULTS;
    for (size_t i = 0; i < p->rows_n; i++) {
        const struct typed_import_row *row = &p->rows[i];
        struct cairn_mlmd_v1_import_result *r = &out->results[out->results_n++];

        MSG_SET(r, CAIRN_MLMD_V1_IMPORT_RESULT_HAS_OUTCOME, outcome, (int32_t)row->outcome);
        if (row->number) MSG_SET(r, CAIRN_MLMD_V1_IMPORT_RESULT_HAS_NUMBER, number, row->number);
        if (row->id) MSG_SET(r, CAIRN_MLMD_V1_IMPORT_RESULT_HAS_ID, id, row->id);
        if (row->uid) MSG_SET(r, CAIRN_MLMD_V1_IMPORT_RESULT_HAS_NODE, node, row->uid);
        if (row->found.n) MSG_SET(r, CAIRN_MLMD_V1_IMPORT_RESULT_HAS_RUN, run, row->found);
        if (row->reason.p) MSG_SET(r, CAIRN_MLMD_V1_IMPORT_RESULT_HAS_REASON, reason, row->reason);
    }
    return OK;
}

const struct route mlmd_import_methods[] = {
    GRPC_METHOD_OF(MLMD_MESSAGE_MAX, "/cairn.mlmd.v1.ImportService/Put",
                   &cairn_mlmd_v1_import_request_desc, &cairn_mlmd_v1_import_response_desc,
                   RESOURCE_RUN, ACTION_RUN_WRITE, .kind = CALL_WRITE, .start = put_start,
                   .finish = put_finish),
};
const size_t mlmd_import_methods_n = ARRAY_N(mlmd_import_methods);
