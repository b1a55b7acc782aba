/* api/mlmd/nodes.c - reading nodes, one by one and in lists. */
#include "api/mlmd/mlmd_int.h"
#include "base/num.h"
#include "codec/base64.h"
#include "core/typed/known.h"
#include "core/typed/others.h"
#include "net/grpc.h"
#include "store/seq.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    PAGE_DEFAULT = 20,
    SEEN_MAX = 500,           /* external ids of a request that are looked through for doubles */
    PORTION = 64,             /* nodes that an unlimited list reads at once */
    ANSWER_BYTES = 3584 << 10 /* of an unlimited list: clients take 4 MiB */
};

const struct ml_metadata_list_operation_options *mlmd_options(struct call *c, uint32_t number)
{
    const struct ml_metadata_list_operation_options *o = NULL;
    const void *at = mlmd_field(c->req->route->in, c->in, number);

    if (at) memcpy(&o, at, sizeof(o));
    return o;
}

/* ---- tokens: order, direction, whether the list is unlimited, value and number of the last node ----------------------------------- */

static struct str token_text(struct arena *a, const struct nodelist *l, bool unlimited)
{
    struct buf b = BUF_INIT(256);
    struct str plain = arena_printf(a, "1 %d %d %d %" PRId64 " %" PRId64, (int)l->order,
                                    l->descending, unlimited, l->after_value, l->after_id);
    struct str out = { NULL, 0 };

    base64_put(&b, plain, BASE64_URL);
    if (plain.p && !b.failed) {
        out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return out;
}

static enum status token_read(struct call *c, struct str token, struct nodelist *l, bool *unlimited,
                              struct err *err)
{
    struct str plain, part;
    int64_t v[6];
    size_t n = 0;
    bool nomem = false;

    if (!base64_decode(token, c->arena, &plain, &nomem)) {
        return nomem ? err_nomem(err)
                     : err_set(err, ST_INVALID, "Failed to decode next page token string");
    }
    while (n < ARRAY_N(v) && str_split(&plain, ' ', &part) && num_parse_i64(part, &v[n])) {
        n++;
    }
    if (n != ARRAY_N(v) || plain.n || v[0] != 1) {
        return err_set(err, ST_INVALID, "Failed to decode next page token string");
    }
    if (v[1] != (int64_t)l->order || v[2] != (int64_t)l->descending) {
        return err_set(
            err, ST_INVALID,
            "ListOperationOptions mismatch between calls: the token is of a list in another order");
    }
    *unlimited = v[3] != 0;
    l->has_after = true;
    l->after_value = v[4];
    l->after_id = v[5];
    return OK;
}

/* ---- lists ----------------------------------------------------------------------------------------------------------------- */

static enum status options_in(struct call *c, const struct ml_metadata_list_operation_options *o,
                              struct nodelist *l, bool *unlimited, struct err *err)
{
    const struct ml_metadata_order_by_field *by = o->order_by_field;
    bool has_size = (o->has & ML_METADATA_LIST_OPERATION_OPTIONS_HAS_MAX_RESULT_SIZE) != 0;
    int32_t field = by && by->has & ML_METADATA_ORDER_BY_FIELD_HAS_FIELD
                        ? by->field
                        : ML_METADATA_ORDER_FIELD_ID;

    if (has_size && o->max_result_size <= 0) {
        return err_set(err, ST_INVALID,
                       "max_result_size field value is required to be greater than 0 and less "
                       "than or equal to 100. Set value:%d",
                       o->max_result_size);
    }
    if (field == ML_METADATA_ORDER_FIELD_FIELD_UNSPECIFIED) {
        return err_set(err, ST_INVALID,
                       "Unsupported field: FIELD_UNSPECIFIED specified in ListOperationOptions");
    }
    if (o->filter_query.n) {
        struct nodefilter *filter;
        enum status st =
            mlmd_filter_parse(c->arena, (enum node_kind)l->kind, o->filter_query, &filter, err);

        if (st) {
            return st;
        }
        l->filter = filter;
    }
    l->order = field == ML_METADATA_ORDER_FIELD_CREATE_TIME        ? NODELIST_BY_CREATE
               : field == ML_METADATA_ORDER_FIELD_LAST_UPDATE_TIME ? NODELIST_BY_UPDATE
                                                                   : NODELIST_BY_ID;
    l->descending = by && by->has & ML_METADATA_ORDER_BY_FIELD_HAS_IS_ASC && !by->is_asc;
    l->limit = has_size ? MIN_OF(o->max_result_size, TYPED_PAGE_MAX) : PAGE_DEFAULT;
    if (o->next_page_token.n) {
        enum status st = token_read(c, o->next_page_token, l, unlimited, err);

        *unlimited = *unlimited && !has_size;
        return st;
    }
    return OK;
}

/* The place behind a node. */
static void after(struct nodelist *l, const struct typed_node *n)
{
    l->has_after = true;
    l->after_id = n->id;
    l->after_value = l->order == NODELIST_BY_CREATE   ? n->create_ms
                     : l->order == NODELIST_BY_UPDATE ? n->update_ms
                                                      : 0;
}

struct gathered {
    char *nodes; /* messages */
    size_t n, cap, size;
    bool more, full;
};

/* *n: as many of them as there are, at least one, before an unlimited answer is too large. */
static enum status keep_nodes(struct call *c, struct gathered *g, enum node_kind kind,
                              const struct typed_node *nodes, size_t *n, bool unlimited,
                              struct err *err)
{
    const struct msg_desc *d = mlmd_node_desc(kind);
    void *msgs;
    enum status st = mlmd_nodes_out(c->arena, kind, nodes, *n, &msgs, err);

    for (size_t i = 0; !st && i < *n; i++) {
        const char *msg = (const char *)msgs + i * d->size;
        size_t size = msg_size_pb(d, msg) + 6;

        if (unlimited && g->n && g->size + size > ANSWER_BYTES) {
            *n = i;
            g->full = g->more = true;
            break;
        }
        if (!arena_grow(c->arena, (void **)&g->nodes, g->n, &g->cap, d->size)) {
            return err_nomem(err);
        }
        memcpy(g->nodes + g->n * d->size, msg, d->size);
        g->size += size;
        g->n++;
    }
    return st;
}

/* One node more than is wanted is read, so that a last page is known to be the last. */
static enum status gather(struct call *c, struct typed_space *s, struct nodelist *l, bool unlimited,
                          struct gathered *g, struct err *err)
{
    size_t want = (size_t)(unlimited ? PORTION : l->limit), n;
    struct typed_node *nodes;
    enum status st;

    l->limit = (int64_t)want + 1;
    do {
        st = typed_list(s, l, &nodes, &n, err);
        g->more = !st && n > want;
        n = MIN_OF(n, want);
        st = st ? st : keep_nodes(c, g, (enum node_kind)l->kind, nodes, &n, unlimited, err);
        if (!st && n) {
            after(l, &nodes[n - 1]);
        }
    } while (!st && g->more && unlimited && !g->full);
    return st;
}

enum status mlmd_list_answer(struct call *c, struct typed_space *s, struct nodelist *list,
                             const struct ml_metadata_list_operation_options *o, struct err *err)
{
    const struct msg_desc *d = c->req->route->out;
    struct gathered g = { 0 };
    bool unlimited = !o;
    enum status st = o ? options_in(c, o, list, &unlimited, err) : OK;
    struct str token = S("");

    st = st ? st : gather(c, s, list, unlimited, &g, err);
    if (st || !mlmd_answer(c)) {
        return st ? st : err_nomem(err);
    }
    if (g.more) {
        token = token_text(c->arena, list, unlimited);
        if (!token.p) {
            return err_nomem(err);
        }
    }
    mlmd_set_list(d, c->out, 1, g.nodes, g.n);
    if (o || g.more) {
        mlmd_set_str(d, c->out, 2, token);
    }
    return OK;
}

static enum status get_nodes(struct call *c, struct view *v, enum node_kind kind, struct err *err)
{
    struct typed_space s;
    struct nodelist l = { .kind = (int)kind };
    enum status st = mlmd_open(c, v, &s, err);

    return st ? st : mlmd_list_answer(c, &s, &l, mlmd_options(c, 1), err);
}

static enum status get_nodes_by_type(struct call *c, struct view *v, enum node_kind kind,
                                     struct err *err)
{
    const struct msg_desc *in = c->req->route->in;
    bool context = kind == NODE_CONTEXT;
    struct str name = mlmd_str(in, c->in, 1), version = mlmd_str(in, c->in, context ? 3 : 2);
    struct typed_space s;
    struct typed_type t;
    struct nodelist l = { .kind = (int)kind };
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : typed_type_find(&s, kind, name.p ? name : S(""), version, &t, err);
    if (st == ST_NOT_FOUND) {
        return mlmd_answer(c) ? OK : err_nomem(err);
    }
    l.type = t.uid;
    return st ? st : mlmd_list_answer(c, &s, &l, mlmd_options(c, context ? 2 : 3), err);
}

/* ---- by what names them ------------------------------------------------------------------------------------------------------ */

static enum status answer_nodes(struct call *c, enum node_kind kind, const struct typed_node *nodes,
                                size_t n, struct err *err)
{
    void *out;
    enum status st = mlmd_nodes_out(c->arena, kind, nodes, n, &out, err);

    if (!st && !mlmd_answer(c)) {
        st = err_nomem(err);
    }
    if (!st) {
        mlmd_set_list(c->req->route->out, c->out, 1, out, n);
    }
    return st;
}

static bool seen(const struct typed_node *nodes, size_t n, int64_t uid)
{
    for (size_t i = 0; i < n; i++) {
        if (nodes[i].uid == uid) {
            return true;
        }
    }
    return false;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Numbers that come again are left out from there on; in the order of the request. */
static enum status first_of_each(struct call *c, int64_t *ids, size_t *n, struct err *err)
{
    int64_t *sorted = ARENA_ARRAY(c->arena, int64_t, *n + 1);
    bool *used = ARENA_ARRAY(c->arena, bool, *n + 1);
    size_t kept = 0;

    if (!sorted || !used) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < *n; i++) {
        sorted[i] = ids[i];
    }
    qsort(sorted, *n, sizeof(*sorted), by_number);
    for (size_t i = 0; i < *n; i++) {
        const int64_t *at = bsearch(&ids[i], sorted, *n, sizeof(*sorted), by_number);

        while (at > sorted && at[-1] == ids[i]) {
            at--;
        }
        if (!used[at - sorted]) {
            used[at - sorted] = true;
            ids[kept++] = ids[i];
        }
    }
    *n = kept;
    return OK;
}

static enum status answer_types_of(struct call *c, struct typed_space *s,
                                   const struct typed_node *nodes, size_t n, struct err *err)
{
    struct typed_type *types = ARENA_ARRAY(c->arena, struct typed_type, n + 1);
    size_t types_n = 0;
    void *out;
    enum status st = types ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        bool known = false;

        for (size_t k = 0; k < types_n && !known; k++) {
            known = types[k].id == nodes[i].type;
        }
        if (!known) {
            st = typed_type_get(s, NODE_ARTIFACT, nodes[i].type, &types[types_n++], err);
        }
    }
    st = st ? st : mlmd_types_out(c->arena, NODE_ARTIFACT, types, types_n, false, &out, err);
    if (!st) {
        mlmd_set_list(c->req->route->out, c->out, 2, out, types_n);
    }
    return st;
}

static enum status get_nodes_by_id(struct call *c, struct view *v, enum node_kind kind,
                                   struct err *err)
{
    struct typed_space s;
    struct typed_node *nodes;
    size_t n, got = 0;
    int64_t *ids = mlmd_list(c->req->route->in, c->in, 1, &n);
    const bool *populate = kind == NODE_ARTIFACT ? mlmd_field(c->req->route->in, c->in, 3) : NULL;
    enum status st = mlmd_open(c, v, &s, err);

    st = st ? st : first_of_each(c, ids, &n, err);
    nodes = ARENA_ARRAY(c->arena, struct typed_node, n + 1);
    st = st ? st : nodes ? OK : err_nomem(err);
    for (size_t i = 0; !st && i < n; i++) {
        st = typed_node_get(&s, kind, ids[i], &nodes[got], err);
        got += st ? 0 : 1;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    st = st ? st : answer_nodes(c, kind, nodes, got, err);
    return st || !populate || !*populate ? st : answer_types_of(c, &s, nodes, got, err);
}

static struct typed_asked asked(const struct call *c, enum node_kind kind)
{
    const struct msg_desc *in = c->req->route->in;
    struct str type = mlmd_str(in, c->in, 1), name = mlmd_str(in, c->in, 2);

    return (struct typed_asked){ kind, type.p ? type : S(""), name.p ? name : S("") };
}

/* The message as it is on the wire. */
static bool answer_bytes(struct call *c, struct str message)
{
    grpc_put(&c->raw, 0, message);
    c->raw_type = grpc_type(GRPC_PLAIN);
    return true;
}

static bool quick_by_name(struct call *c, enum node_kind kind)
{
    const struct typed_asked of = asked(c, kind);
    struct str ns, found;

    return !mlmd_str(c->req->route->in, c->in, 3).n && seq_read_is_current(c->core->seq) &&
           call_space(c, &ns, &c->err) == OK &&
           typed_known_answer(c->core->typed, ns, &of, c->arena, &found) && answer_bytes(c, found);
}

/* Small ones are kept, and are not encoded again. */
static void keep_answer(struct call *c, const struct typed_space *s, const struct typed_asked *of,
                        uint64_t moment)
{
    struct buf b = BUF_INIT(TYPED_ANSWER_BYTES);

    msg_encode_pb(&b, c->req->route->out, c->out);
    if (!b.failed) {
        typed_known_answer_keep(c->core->typed, s->ns, of, moment, buf_str(&b));
        answer_bytes(c, buf_str(&b));
    }
    buf_release(&b);
}

static enum status get_node_by_name(struct call *c, struct view *v, enum node_kind kind,
                                    struct err *err)
{
    const struct typed_asked of = asked(c, kind);
    struct str version = mlmd_str(c->req->route->in, c->in, 3);
    uint64_t moment = typed_known_moment(c->core->typed);
    struct typed_space s;
    struct typed_type t;
    struct typed_node n;
    void *out;
    enum status st = mlmd_open(c, v, &s, err);

    if (!st && !mlmd_answer(c)) {
        return err_nomem(err);
    }
    st = st ? st : typed_type_find(&s, kind, of.type, version, &t, err);
    st = st ? st : typed_node_named(&s, &t, of.name, &n, err);
    if (st == ST_NOT_FOUND) {
        return OK;
    }
    st = st ? st : mlmd_nodes_out(c->arena, kind, &n, 1, &out, err);
    if (!st) {
        mlmd_set_msg(c->req->route->out, c->out, 1, out);
    }
    if (!st && !version.n && !typed_is_other(t.uid)) {
        keep_answer(c, &s, &of, moment);
    }
    return st;
}

static enum status get_nodes_by_external_ids(struct call *c, struct view *v, enum node_kind kind,
                                             struct err *err)
{
    struct typed_space s;
    struct typed_node *nodes;
    size_t n, got = 0;
    const struct str *ids = mlmd_list(c->req->route->in, c->in, 1, &n);
    enum status st = mlmd_open(c, v, &s, err);

    nodes = ARENA_ARRAY(c->arena, struct typed_node, n + 1);
    st = st ? st : nodes ? OK : err_nomem(err);
    for (size_t i = 0; !st && i < n; i++) {
        if (!ids[i].n) {
            return err_set(err, ST_INVALID,
                           "Invalid argument because at least one empty external_id exists.");
        }
        st = typed_node_external(&s, kind, ids[i], &nodes[got], err);
        if (!st && !(n <= SEEN_MAX && seen(nodes, got, nodes[got].uid))) {
            got++;
        }
        st = st == ST_NOT_FOUND ? OK : st;
    }
    if (!st && n && !got) {
        return err_set(err, ST_NOT_FOUND, "No %ss found for external_ids.",
                       kind == NODE_ARTIFACT    ? "artifact"
                       : kind == NODE_EXECUTION ? "execution"
                                                : "context");
    }
    return st ? st : answer_nodes(c, kind, nodes, got, err);
}

static enum status get_artifacts_by_uri(struct call *c, struct view *v, struct err *err)
{
    const struct ml_metadata_get_artifacts_by_uri_request *in = c->in;
    struct typed_space s;
    struct typed_node *nodes = NULL;
    size_t n = 0;
    struct nodelist l = { .kind = NODE_ARTIFACT, .uris = in->uris, .uris_n = in->uris_n };
    enum status st = mlmd_open(c, v, &s, err);

    if (in->has & ML_METADATA_GET_ARTIFACTS_BY_URI_REQUEST_HAS_URI) {
        return err_set(err, ST_INVALID,
                       "the request has the field uri of clients before 0.21; send uris");
    }
    if (!st && in->uris_n) {
        st = typed_list(&s, &l, &nodes, &n, err);
    }
    return st ? st : answer_nodes(c, NODE_ARTIFACT, nodes, n, err);
}

MLMD_KINDS(get_nodes, struct view *)
MLMD_KINDS(get_nodes_by_type, struct view *)
MLMD_KINDS(get_nodes_by_id, struct view *)
MLMD_KINDS(get_node_by_name, struct view *)
MLMD_KINDS(get_nodes_by_external_ids, struct view *)

#define QUICK(kind_, KIND_)                                                                        \
    static bool kind_##_quick(struct call *c)                                                      \
    {                                                                                              \
        return quick_by_name(c, KIND_);                                                            \
    }
QUICK(artifact, NODE_ARTIFACT)
QUICK(execution, NODE_EXECUTION)
QUICK(context, NODE_CONTEXT)

const struct route mlmd_node_methods[] = {
    MLMD_READ(GetArtifacts, get_artifacts, artifact_get_nodes),
    MLMD_READ(GetArtifactsByID, get_artifacts_by_id, artifact_get_nodes_by_id),
    MLMD_READ(GetArtifactsByType, get_artifacts_by_type, artifact_get_nodes_by_type),
    MLMD_READ_QUICK(GetArtifactByTypeAndName, get_artifact_by_type_and_name,
                    artifact_get_node_by_name, artifact_quick),
    MLMD_READ(GetArtifactsByExternalIds, get_artifacts_by_external_ids,
              artifact_get_nodes_by_external_ids),
    MLMD_READ(GetArtifactsByURI, get_artifacts_by_uri, get_artifacts_by_uri),
    MLMD_READ(GetExecutions, get_executions, execution_get_nodes),
    MLMD_READ(GetExecutionsByID, get_executions_by_id, execution_get_nodes_by_id),
    MLMD_READ(GetExecutionsByType, get_executions_by_type, execution_get_nodes_by_type),
    MLMD_READ_QUICK(GetExecutionByTypeAndName, get_execution_by_type_and_name,
                    execution_get_node_by_name, execution_quick),
    MLMD_READ(GetExecutionsByExternalIds, get_executions_by_external_ids,
              execution_get_nodes_by_external_ids),
    MLMD_READ(GetContexts, get_contexts, context_get_nodes),
    MLMD_READ(GetContextsByID, get_contexts_by_id, context_get_nodes_by_id),
    MLMD_READ(GetContextsByType, get_contexts_by_type, context_get_nodes_by_type),
    MLMD_READ_QUICK(GetContextByTypeAndName, get_context_by_type_and_name, context_get_node_by_name,
                    context_quick),
    MLMD_READ(GetContextsByExternalIds, get_contexts_by_external_ids,
              context_get_nodes_by_external_ids),
};
const size_t mlmd_node_methods_n = ARRAY_N(mlmd_node_methods);
