/* core/typed/put.c - a put as one operation: events, memberships and parents, an execution with what belongs to it, a subgraph. */
#include "base/buf.h"
#include "core/typed/import.h"
#include "core/typed/others.h"
#include "core/typed/typed_int.h"
#include <stdio.h>

enum status typed_count(struct putter *p, const char *what, int kind, int64_t *out, struct err *err)
{
    char name[64];
    struct q_counter_next_row row = { 0 };
    enum status st;

    snprintf(name, sizeof(name), kind ? "%s:%" PRId64 ":%d" : "%s:%" PRId64, what, p->s.ns, kind);
    if (p->s.ns == 0) {
        return group_counter(p->g, str_cstr(name), out, err);
    }
    if (p->gather && kind) {
        return typed_gather_number(p, (enum node_kind)kind, out, err);
    }
    st = q_counter_next(p->v.conn, p->v.arena, str_cstr(name), &row, err);
    *out = row.value;
    return st;
}

enum status typed_put_uid(struct putter *p, enum node_kind kind, int64_t id, int64_t *out,
                          struct err *err)
{
    enum status st = typed_gather_rows(p, err);

    return st ? st : typed_uid(&p->s, kind, id, out, err);
}

enum status typed_number(struct putter *p, enum node_kind kind, int64_t wanted, int64_t *out,
                         struct err *err)
{
    char name[64];
    struct q_counter_get_row at = { 0 };
    struct q_import_number_taken_row taken;
    enum status st;

    if (wanted <= 0 || wanted > TYPED_NUMBER_KEPT_MAX) {
        return typed_count(p, "node", (int)kind, out, err);
    }
    st = q_import_number_taken(p->v.conn, p->v.arena, p->s.ns, kind, wanted, &taken, err);
    if (st != ST_NOT_FOUND) {
        return st ? st : typed_count(p, "node", (int)kind, out, err);
    }
    *out = wanted;
    snprintf(name, sizeof(name), "node:%" PRId64 ":%d", p->s.ns, (int)kind);
    if (p->s.ns == 0) {
        return group_counter_raise(p->g, str_cstr(name), wanted, err);
    }
    st = q_counter_get(p->v.conn, p->v.arena, str_cstr(name), &at, err);
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    return at.value < wanted ? q_counter_set(p->v.conn, str_cstr(name), wanted, err) : OK;
}

/* ---- events ---------------------------------------------------------------------------------------------------------------- */

static struct str path_text(struct arena *a, const struct typed_event *e)
{
    struct buf b = BUF_INIT(1 << 20);
    struct str out = { NULL, 0 };

    for (size_t i = 0; i < e->steps_n; i++) {
        if (e->steps[i].is_index) {
            buf_printf(&b, "i%" PRId64, e->steps[i].index);
        } else {
            buf_put_u8(&b, 'k');
            buf_put_str(&b, e->steps[i].key);
        }
        buf_put_u8(&b, 0);
    }
    out = b.failed ? out : arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

enum status typed_event_exists(int64_t artifact, int64_t execution, int64_t type, struct err *err)
{
    return err_set(err, ST_EXISTS,
                   "Given event already exists: artifact_id: %" PRId64 " execution_id: %" PRId64
                   " type: %" PRId64,
                   artifact, execution, type);
}

enum status typed_put_event(struct putter *p, const struct typed_event *e, int64_t artifact,
                            int64_t execution, struct err *err)
{
    bool in = typed_event_is_input(e->type);
    int64_t now = group_now_ms(p->g), ms = e->has_ms ? e->ms : now, n = 0;
    int64_t src = in ? artifact : execution, dst = in ? execution : artifact;
    struct str path = { NULL, 0 };
    enum status st;

    if (e->type == 0) {
        return err_set(err, ST_INVALID, "No event type is specified.");
    }
    if (e->steps_n) {
        path = path_text(p->v.arena, e);
        if (!path.p) {
            return err_nomem(err);
        }
    }
    if (typed_gathers(p, MAX_OF(src, dst))) {
        return typed_gather_edge(
            p,
            &(struct gathered_edge){ { src, dst, e->type, path, ms }, e->artifact, e->execution },
            err);
    }
    st = q_edge_add(p->v.conn, src, dst, e->type, path, ms, &n, err);
    if (!st && n == 0) {
        return typed_event_exists(e->artifact, e->execution, e->type, err);
    }
    return st ? st : q_edge_log_append(p->v.conn, 1, src, dst, e->type, path, ms, now, err);
}

static enum status event_end(struct putter *p, enum node_kind kind, bool has, int64_t id,
                             int64_t *uid, struct err *err)
{
    const char *what = kind == NODE_ARTIFACT ? "artifact" : "execution";
    enum status st;

    if (!has) {
        return err_set(err, ST_INVALID, "No %s id is specified.", what);
    }
    st = typed_put_uid(p, kind, id, uid, err);
    return st == ST_NOT_FOUND
               ? err_set(err, ST_INVALID, "No %s with the given id %" PRId64, what, id)
               : st;
}

static enum status put_event(struct putter *p, const struct typed_event *e, struct err *err)
{
    int64_t artifact = 0, execution = 0;
    enum status st = OK;

    if (!e->has_artifact) {
        return err_set(err, ST_INVALID, "No artifact id is specified.");
    }
    if (!e->has_execution) {
        return err_set(err, ST_INVALID, "No execution id is specified.");
    }
    if (e->type == 0) {
        return err_set(err, ST_INVALID, "No event type is specified.");
    }
    st = event_end(p, NODE_ARTIFACT, true, e->artifact, &artifact, err);
    st = st ? st : event_end(p, NODE_EXECUTION, true, e->execution, &execution, err);
    return st ? st : typed_put_event(p, e, artifact, execution, err);
}

/* ---- memberships and parents ------------------------------------------------------------------------------------------------- */

enum status typed_put_member(struct putter *p, int64_t node, int64_t ctx, struct err *err)
{
    return typed_gathers(p, MAX_OF(node, ctx))
               ? typed_gather_member(p, ctx, node, err)
               : group_member_add(p->g, ctx, node, MEMBER_OF_CONTEXT, err);
}

static enum status end_of(struct putter *p, enum node_kind kind, bool has, int64_t id,
                          const char *what, int64_t *uid, struct err *err)
{
    enum status st = has ? typed_put_uid(p, kind, id, uid, err) : ST_NOT_FOUND;

    return st == ST_NOT_FOUND ? err_set(err, ST_INVALID, "%s id not found.", what) : st;
}

static enum status put_pair(struct putter *p, const struct typed_pair *x, bool artifact,
                            struct err *err)
{
    int64_t node, ctx;
    enum status st = end_of(p, NODE_CONTEXT, x->has_b, x->b, "Context", &ctx, err);

    st = st ? st
            : end_of(p, artifact ? NODE_ARTIFACT : NODE_EXECUTION, x->has_a, x->a,
                     artifact ? "Artifact" : "Execution", &node, err);
    return st ? st : typed_put_member(p, node, ctx, err);
}

enum status typed_put_parent(struct putter *p, const struct typed_pair *x, struct err *err)
{
    int64_t child, parent, now = group_now_ms(p->g), n = 0;
    struct q_typed_is_ancestor_row row;
    struct typed_node other;
    enum status st;

    if (!x->has_a || !x->has_b) {
        return err_set(err, ST_INVALID, "Missing parent / child id in the parent_context: ");
    }
    st = typed_put_uid(p, NODE_CONTEXT, x->b, &parent, err);
    st = st ? st : typed_put_uid(p, NODE_CONTEXT, x->a, &child, err);
    if (st == ST_NOT_FOUND || (!st && child == parent)) {
        return err_set(err, ST_INVALID,
                       "Given parent / child id in the parent_context cannot be found: child_id: "
                       "%" PRId64 " parent_id: %" PRId64,
                       x->a, x->b);
    }
    if (st) {
        return st;
    }
    if (typed_other_node(&p->s, NODE_CONTEXT, x->a, &other, err) == OK ||
        typed_other_node(&p->s, NODE_CONTEXT, x->b, &other, err) == OK) {
        return typed_other_refused(err);
    }
    st = q_typed_is_ancestor(p->v.conn, p->v.arena, child, parent, &row, err);
    if (!st && row.found) {
        st = err_set(err, ST_INVALID, "There is a cycle detected of the given relationship.");
    }
    st = st ? st : q_parent_add(p->v.conn, child, parent, PARENT_CONTEXT, &n, err);
    if (!st && n == 0) {
        st = err_set(err, ST_EXISTS,
                     "Given parent_context already exists: child_id: %" PRId64
                     " parent_id: %" PRId64,
                     x->a, x->b);
    }
    return st ? st
              : q_parent_log_append(p->v.conn, 1, child, parent, PARENT_CONTEXT, now, now, err);
}

enum status typed_put_edges(struct putter *p, struct err *err)
{
    const struct typed_put *in = p->put;
    enum status st = OK;

    for (size_t i = 0; !st && i < in->events_n; i++) {
        st = put_event(p, &in->events[i], err);
    }
    for (size_t i = 0; !st && i < in->pairs_n; i++) {
        st = in->kind == TYPED_PUT_PARENTS
                 ? typed_put_parent(p, &in->pairs[i], err)
                 : put_pair(p, &in->pairs[i], i < in->pairs_artifacts, err);
    }
    return st;
}

/* ---- nodes with what belongs to them ------------------------------------------------------------------------------------------ */

static enum status put_artifact(struct putter *p, struct typed_node *n, struct err *err)
{
    struct typed_node old;
    enum status st;

    if (!n->has_id && n->external_id.n && p->put->reuse_artifact) {
        st = typed_gather_rows(p, err);
        st = st ? st : typed_node_external(&p->s, NODE_ARTIFACT, n->external_id, &old, err);
        if (st && st != ST_NOT_FOUND) {
            return st;
        }
        n->has_id = !st;
        n->id = st ? 0 : old.id;
    }
    return typed_put_node(p, n, false, err);
}

static enum status put_contexts(struct putter *p, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < p->put->contexts_n; i++) {
        st = typed_put_context(p, &p->put->contexts[i], err);
    }
    return st;
}

static enum status into_contexts(struct putter *p, int64_t node, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < p->put->contexts_n; i++) {
        st = typed_put_member(p, node, p->put->contexts[i].uid, err);
    }
    return st;
}

/* The event of an edge: its ends must be what it says itself, if it does. */
static enum status fits(bool has, int64_t said, const struct typed_node *n, const char *text,
                        struct err *err)
{
    return has && (!n->has_id || n->id != said) ? err_set(err, ST_INVALID, "%s%" PRId64, text, said)
                                                : OK;
}

/* Ids as they came, before nodes get theirs. */
static enum status check_pairs(struct putter *p, struct err *err)
{
    const struct typed_put *in = p->put;
    enum status st = OK;

    for (size_t i = 0; !st && i < in->edges_n; i++) {
        const struct typed_edge *e = &in->edges[i];

        if (e->has_event && e->has_artifact) {
            st = fits(e->event.has_artifact, e->event.artifact, &in->artifacts[e->artifact],
                      "Given event.artifact_id is not aligned with the artifact: ", err);
        } else if (e->has_event && !e->event.has_artifact) {
            st = err_set(err, ST_INVALID,
                         "If no artifact is present, given event must have an artifact_id: ");
        }
        if (!st && e->has_event) {
            st =
                fits(e->event.has_execution, e->event.execution, &in->executions[0],
                     "Request's event.execution_id does not match with the given execution: ", err);
        }
    }
    return st;
}

enum status typed_put_execution(struct putter *p, struct err *err)
{
    struct typed_put *in = p->put;
    struct typed_node *x = in->executions;
    enum status st = check_pairs(p, err);

    for (size_t i = 0; !st && i < in->artifacts_n; i++) {
        st = put_artifact(p, &in->artifacts[i], err);
    }
    st = st ? st : typed_put_node(p, x, in->force_update_time, err);
    for (size_t i = 0; !st && i < in->edges_n; i++) {
        struct typed_edge *e = &in->edges[i];
        int64_t uid = e->has_artifact ? in->artifacts[e->artifact].uid : 0;

        if (!e->has_event) {
            continue;
        }
        if (!e->has_artifact) {
            st = event_end(p, NODE_ARTIFACT, e->event.has_artifact, e->event.artifact, &uid, err);
        } else {
            e->event.artifact = in->artifacts[e->artifact].id;
        }
        e->event.execution = x->id;
        st = st ? st : typed_put_event(p, &e->event, uid, x->uid, err);
    }
    st = st ? st : put_contexts(p, err);
    st = st ? st : into_contexts(p, x->uid, err);
    for (size_t i = 0; !st && in->contexts_n && i < in->edges_n; i++) {
        const struct typed_edge *e = &in->edges[i];
        int64_t uid = e->has_artifact ? in->artifacts[e->artifact].uid : 0;

        if (!uid && e->has_event) {
            st = typed_put_uid(p, NODE_ARTIFACT, e->event.artifact, &uid, err);
        }
        st = st || !uid ? st : into_contexts(p, uid, err);
    }
    return st;
}

/* ---- a subgraph -------------------------------------------------------------------------------------------------------------- */

static enum status check_end(bool has_index, int64_t index, const struct typed_node *nodes,
                             size_t n, bool has_id, int64_t id, const char *what, struct err *err)
{
    if (!has_index && !has_id) {
        return err_set(err, ST_INVALID,
                       "Event_edge is missing an %s. Could not find either an %s_index or an "
                       "event.%s_id",
                       what, what, what);
    }
    if (has_index && (index < 0 || (uint64_t)index >= n)) {
        return err_set(err, ST_OUT_OF_RANGE,
                       "The event_edge has an %s_index %" PRId64
                       " that is outside the bounds of the request's %ss list, [0, %zu)",
                       what, index, what, n);
    }
    if (has_index && has_id && !nodes[index].has_id) {
        return err_set(err, ST_INVALID,
                       "Missing %s ID. The referenced %s at %s_index %" PRId64
                       " does not have an ID even though the event_edge specifies an "
                       "event.%s_id of %" PRId64,
                       what, what, what, index, what, id);
    }
    if (has_index && has_id && nodes[index].id != id) {
        return err_set(err, ST_INVALID,
                       "Mismatch between the %s at index %" PRId64 " and the id %" PRId64
                       " in its event",
                       what, index, id);
    }
    return OK;
}

static enum status check_edges(struct putter *p, struct err *err)
{
    const struct typed_put *in = p->put;
    enum status st = OK;

    for (size_t i = 0; !st && i < in->edges_n; i++) {
        const struct typed_edge *e = &in->edges[i];

        if (!e->has_event) {
            return err_set(err, ST_INVALID, "No event found for event_edge: ");
        }
        st = check_end(e->has_execution_index, e->execution_index, in->executions, in->executions_n,
                       e->event.has_execution, e->event.execution, "execution", err);
        st =
            st ? st
               : check_end(e->has_artifact_index, e->artifact_index, in->artifacts, in->artifacts_n,
                           e->event.has_artifact, e->event.artifact, "artifact", err);
    }
    return st;
}

static enum status check_all(struct putter *p, const struct typed_node *nodes, size_t n,
                             struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = typed_check_node(p, &nodes[i], err);
    }
    return st;
}

static enum status put_edges(struct putter *p, struct err *err)
{
    struct typed_put *in = p->put;
    enum status st = OK;

    for (size_t i = 0; !st && i < in->edges_n; i++) {
        struct typed_edge *e = &in->edges[i];
        struct typed_node *a = e->has_artifact_index ? &in->artifacts[e->artifact_index] : NULL;
        struct typed_node *x = e->has_execution_index ? &in->executions[e->execution_index] : NULL;
        int64_t artifact = a ? a->uid : 0, execution = x ? x->uid : 0;

        e->event.artifact = a ? a->id : e->event.artifact;
        e->event.execution = x ? x->id : e->event.execution;
        st = a ? OK : event_end(p, NODE_ARTIFACT, true, e->event.artifact, &artifact, err);
        if (!st && !x) {
            st = event_end(p, NODE_EXECUTION, true, e->event.execution, &execution, err);
        }
        st = st ? st : typed_put_event(p, &e->event, artifact, execution, err);
    }
    return st;
}

enum status typed_put_subgraph(struct putter *p, struct err *err)
{
    struct typed_put *in = p->put;
    enum status st = check_edges(p, err);

    st = st ? st : check_all(p, in->artifacts, in->artifacts_n, err);
    st = st ? st : check_all(p, in->executions, in->executions_n, err);
    st = st ? st : check_all(p, in->contexts, in->contexts_n, err);
    st = st ? st : put_contexts(p, err);
    for (size_t i = 0; !st && i < in->artifacts_n; i++) {
        st = put_artifact(p, &in->artifacts[i], err);
        st = st ? st : into_contexts(p, in->artifacts[i].uid, err);
    }
    for (size_t i = 0; !st && i < in->executions_n; i++) {
        st = typed_put_node(p, &in->executions[i], false, err);
        st = st ? st : into_contexts(p, in->executions[i].uid, err);
    }
    return st ? st : put_edges(p, err);
}

/* ---- the operation ------------------------------------------------------------------------------------------------------------- */

/* The namespace is made by the first that writes to it. */
enum status typed_open_space(struct putter *p, struct err *err)
{
    enum status st = typed_open(&p->v, p->put->ns, &p->s, err);

    return st ? st : typed_need(&p->s, p->put->ns, err);
}

static enum status put_all(struct putter *p, struct err *err)
{
    struct typed_put *in = p->put;
    enum status st = OK;

    switch (in->kind) {
    case TYPED_PUT_TYPES: return typed_put_types(p, err);
    case TYPED_PUT_EVENTS:
    case TYPED_PUT_MEMBERS:
    case TYPED_PUT_PARENTS: return typed_put_edges(p, err);
    case TYPED_PUT_EXECUTION: return typed_put_execution(p, err);
    case TYPED_PUT_SUBGRAPH: return typed_put_subgraph(p, err);
    case TYPED_PUT_NODES: break;
    }
    for (size_t i = 0; !st && i < in->artifacts_n; i++) {
        st = typed_put_node(p, &in->artifacts[i], false, err);
    }
    return st;
}

static enum status validate(struct write_op *op, struct group *g, struct err *err)
{
    struct typed_put *in = WRITE_OP_OF(op, struct typed_put);
    struct putter p = { .g = g,
                        .v = { .core = in->core, .conn = group_conn(g), .arena = op->arena },
                        .put = in,
                        .gather = true };
    enum status st;

    st = typed_open_space(&p, err);
    p.s.v = &p.v;
    st = st ? st : put_all(&p, err);
    return st ? st : typed_gather_end(&p, err);
}

static const struct write_kind put_kind = { .name = "typed.put",
                                            .validate = validate,
                                            .sql = true };

void typed_put_init(struct typed_put *p, struct core *core, struct arena *a)
{
    *p = (struct typed_put){ .op = { .kind = &put_kind, .arena = a }, .core = core };
}
