/* api/native/lineage.c - the questions to the graph, and how two runs differ. */
#include "gen/native/lineage.h"
#include "api/grpc/grpc.h"
#include "api/native/native.h"
#include "base/num.h"
#include "core/graph/columns.h"
#include "core/graph/graph.h"
#include "core/graph/same.h"
#include "core/run_diff.h"

#define READ(fn) ENDPOINT(.tongue = &native_tongue, .kind = CALL_READ, .read = (fn))

enum { TYPES_MAX = 16 };

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

static enum status pairs(struct arena *a, const struct key_value *from, size_t n,
                         struct cairn_v1_lineage_pair **out, size_t *out_n, struct err *err)
{
    *out = ARENA_ARRAY(a, struct cairn_v1_lineage_pair, n + 1);
    *out_n = n;
    for (size_t i = 0; *out && i < n; i++) {
        MSG_SET(&(*out)[i], CAIRN_V1_LINEAGE_PAIR_HAS_KEY, key, from[i].key);
        MSG_SET(&(*out)[i], CAIRN_V1_LINEAGE_PAIR_HAS_VALUE, value, from[i].value);
    }
    return *out ? OK : err_nomem(err);
}

static enum status node(struct arena *a, const struct graph_node *x,
                        struct cairn_v1_lineage_node *to, struct err *err)
{
    const struct graph_details *d = x->details;
    enum status st = OK;

    MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_NODE, node, x->ref);
    MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_TYPE, type, str_cstr(graph_type_name(x->type)));
    MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_NAME, name, x->name);
    MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_DISTANCE, distance, (int32_t)x->distance);
    if (x->time_ms) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_TIME_MS, time_ms, x->time_ms);
    if (x->state.p) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_STATE, state, x->state);
    if (x->source.p) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_SOURCE, source, x->source);
    if (x->user.p) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_USER, user, x->user);
    if (x->deleted) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_DELETED, deleted, true);
    if (x->gone) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_GONE, gone, true);
    if (x->experiment.p)
        MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_EXPERIMENT, experiment, x->experiment);
    if (x->digest.p) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_DIGEST, digest, x->digest);
    if (x->group) {
        MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_GROUP, group, graph_group_id(a, x->group));
        st = to->group.p ? OK : err_nomem(err);
    }
    if (x->has_metric) MSG_SET(to, CAIRN_V1_LINEAGE_NODE_HAS_METRIC, metric, x->metric);
    to->aliases = x->aliases;
    to->aliases_n = x->aliases_n;
    if (!st && d) {
        st = pairs(a, d->params, d->params_n, &to->params, &to->params_n, err);
        st = st ? st : pairs(a, d->code, d->code_n, &to->code, &to->code_n, err);
        to->libraries = d->libraries;
        to->libraries_n = d->libraries_n;
    }
    return st;
}

static enum status nodes(struct arena *a, const struct graph_node *from, size_t n,
                         struct cairn_v1_lineage_node **out, size_t *out_n, struct err *err)
{
    enum status st = OK;

    *out = ARENA_ARRAY(a, struct cairn_v1_lineage_node, n + 1);
    *out_n = n;
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = node(a, &from[i], &(*out)[i], err);
    }
    return st;
}

static enum status links(struct arena *a, const struct graph_answer *from,
                         struct cairn_v1_lineage_answer *out, struct err *err)
{
    out->links = ARENA_ARRAY(a, struct cairn_v1_lineage_link, from->links_n + 1);
    out->links_n = from->links_n;
    for (size_t i = 0; out->links && i < from->links_n; i++) {
        const struct graph_link *l = &from->links[i];
        struct cairn_v1_lineage_link *to = &out->links[i];

        MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_FROM, from, (int32_t)l->from);
        MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_TO, to, (int32_t)l->to);
        MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_ROLE, role, str_cstr(graph_role_name(l->role)));
        if (l->rule) {
            MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_RULE, rule, str_cstr(l->rule));
            MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_REASON, reason, l->reason);
        }
        MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_RECORDED_MS, recorded_ms, l->seen_ms);
        MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_CLAIMED_MS, claimed_ms, l->claimed_ms);
        if (l->evaluation) {
            MSG_SET(to, CAIRN_V1_LINEAGE_LINK_HAS_EVALUATION, evaluation, true);
        }
    }
    return out->links ? OK : err_nomem(err);
}

static enum status totals(struct arena *a, const struct graph_total *from, size_t n,
                          struct cairn_v1_lineage_total **out, size_t *out_n, struct err *err)
{
    *out = ARENA_ARRAY(a, struct cairn_v1_lineage_total, n + 1);
    *out_n = n;
    for (size_t i = 0; *out && i < n; i++) {
        struct cairn_v1_lineage_total *to = &(*out)[i];

        MSG_SET(to, CAIRN_V1_LINEAGE_TOTAL_HAS_TYPE, type, str_cstr(graph_type_name(from[i].type)));
        MSG_SET(to, CAIRN_V1_LINEAGE_TOTAL_HAS_COUNT, count,
                (int32_t)MIN_OF(from[i].n, (size_t)INT32_MAX));
    }
    return *out ? OK : err_nomem(err);
}

static enum status groups(struct arena *a, const struct graph_answer *from,
                          struct cairn_v1_lineage_answer *out, struct err *err)
{
    enum status st = OK;

    out->groups = ARENA_ARRAY(a, struct cairn_v1_lineage_group, from->groups_n + 1);
    out->groups_n = from->groups_n;
    if (!out->groups) {
        return err_nomem(err);
    }
    for (size_t i = 0; !st && i < from->groups_n; i++) {
        const struct graph_group *g = &from->groups[i];
        struct cairn_v1_lineage_group *to = &out->groups[i];

        MSG_SET(to, CAIRN_V1_LINEAGE_GROUP_HAS_ID, id, graph_group_id(a, g->key));
        MSG_SET(to, CAIRN_V1_LINEAGE_GROUP_HAS_TYPE, type, str_cstr(graph_type_name(g->type)));
        MSG_SET(to, CAIRN_V1_LINEAGE_GROUP_HAS_ROLE, role, str_cstr(graph_role_name(g->role)));
        MSG_SET(to, CAIRN_V1_LINEAGE_GROUP_HAS_COUNT, count,
                (int32_t)MIN_OF(g->n, (size_t)INT32_MAX));
        st = to->id.p ? OK : err_nomem(err);
        if (!st && g->under_key) {
            MSG_SET(to, CAIRN_V1_LINEAGE_GROUP_HAS_UNDER_GROUP, under_group,
                    graph_group_id(a, g->under_key));
            st = to->under_group.p ? OK : err_nomem(err);
        }
        for (size_t k = 0; !st && !g->under_key && k < from->n; k++) {
            if (from->nodes[k].uid == g->under_uid) {
                MSG_SET(to, CAIRN_V1_LINEAGE_GROUP_HAS_UNDER, under, (int32_t)k);
                break;
            }
        }
    }
    return st;
}

static enum status give(struct call *c, const struct graph_answer *a, struct err *err)
{
    struct cairn_v1_lineage_answer *out = ARENA_NEW(c->arena, struct cairn_v1_lineage_answer);
    enum status st =
        out ? nodes(c->arena, a->nodes, a->n, &out->nodes, &out->nodes_n, err) : err_nomem(err);

    st = st ? st : links(c->arena, a, out, err);
    if (st) {
        return st;
    }
    st = totals(c->arena, a->totals, a->totals_n, &out->totals, &out->totals_n, err);
    st = st ? st : groups(c->arena, a, out, err);
    if (st) {
        return st;
    }
    if (a->partial) {
        MSG_SET(out, CAIRN_V1_LINEAGE_ANSWER_HAS_PARTIAL, partial, true);
    }
    c->out = out;
    return OK;
}

/* ---- questions ------------------------------------------------------------------------------------------------------------ */

static enum status types_of(struct call *c, const struct str *texts, size_t n,
                            struct graph_query *q, struct err *err)
{
    enum status st = OK;

    if (n > TYPES_MAX) {
        return err_field(err, ST_INVALID, "types", "%zu types are given, at most %d are taken", n,
                         TYPES_MAX);
    }
    q->types = ARENA_ARRAY(c->arena, enum node_type, n + 1);
    if (!q->types) {
        return err_nomem(err);
    }
    q->types_n = n;
    for (size_t i = 0; !st && i < n; i++) {
        st = graph_type_parse(texts[i], &q->types[i], err);
    }
    return st;
}

static enum status groups_of(struct call *c, const struct str *ids, size_t n, bool group,
                             struct graph_query *q, struct err *err)
{
    if (n > GRAPH_EXPAND_MAX) {
        return err_field(err, ST_INVALID, "expand", "%zu groups are given, at most %d are taken", n,
                         GRAPH_EXPAND_MAX);
    }
    q->group = group || n;
    q->expand = ARENA_ARRAY(c->arena, uint64_t, n + 1);
    if (!q->expand) {
        return err_nomem(err);
    }
    for (q->expand_n = 0; q->expand_n < n; q->expand_n++) {
        if (!graph_group_parse(ids[q->expand_n], &q->expand[q->expand_n])) {
            return err_field(err, ST_INVALID, "expand",
                             "'%.*s' is no group: give the id of a group of an answer",
                             STR_ARG(ids[q->expand_n]));
        }
    }
    return OK;
}

static enum status lineage(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_lineage *in = c->in;
    struct graph_answer answer = { 0 };
    struct graph_query q = { .node = in->node,
                             .down = str_eq_lit(in->direction, "down"),
                             .depth = (unsigned)in->depth,
                             .evaluation = in->evaluation,
                             .has_as_of = (in->has & CAIRN_V1_LINEAGE_HAS_AS_OF_MS) != 0,
                             .as_of_ms = in->as_of_ms,
                             .claimed = in->claimed,
                             .max = (size_t)in->max_nodes,
                             .timeout_ms = in->timeout_ms,
                             .columns = in->columns,
                             .details = in->details };
    enum status st = types_of(c, in->types, in->types_n, &q, err);

    st = st ? st : groups_of(c, in->expand, in->expand_n, in->group, &q, err);
    if (!st && in->direction.n && !q.down && !str_eq_lit(in->direction, "up")) {
        st = err_field(err, ST_INVALID, "direction", "direction is '%.*s', not up or down",
                       STR_ARG(in->direction));
    }
    st = st ? st : graph_ask(v, &q, &answer, err);
    return st ? st : give(c, &answer, err);
}

static enum status impact(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_lineage_impact *in = c->in;
    struct graph_answer answer = { 0 };
    struct graph_impact q = { .q = { .node = in->node,
                                     .down = true,
                                     .depth = (unsigned)in->depth,
                                     .evaluation = in->evaluation,
                                     .has_as_of =
                                         (in->has & CAIRN_V1_LINEAGE_IMPACT_HAS_AS_OF_MS) != 0,
                                     .as_of_ms = in->as_of_ms,
                                     .claimed = in->claimed,
                                     .max = (size_t)in->max_nodes,
                                     .timeout_ms = in->timeout_ms },
                              .lowest = in->lowest };
    enum status st = types_of(c, in->types, in->types_n, &q.q, err);

    st = st ? st : groups_of(c, in->expand, in->expand_n, in->group, &q.q, err);
    if (in->has & CAIRN_V1_LINEAGE_IMPACT_HAS_METRIC) {
        q.metric = in->metric;
    }
    st = st ? st : graph_impact(v, &q, &answer, err);
    return st ? st : give(c, &answer, err);
}

static enum status trail(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_lineage_trail *in = c->in;
    struct cairn_v1_lineage_trail_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_lineage_trail_answer);
    struct graph_trail t = { 0 };
    struct graph_query q = { .node = in->from,
                             .has_as_of = (in->has & CAIRN_V1_LINEAGE_TRAIL_HAS_AS_OF_MS) != 0,
                             .as_of_ms = in->as_of_ms,
                             .claimed = in->claimed,
                             .depth = (unsigned)in->depth,
                             .timeout_ms = in->timeout_ms };
    enum status st = out ? types_of(c, in->types, in->types_n, &q, err) : err_nomem(err);

    st = st ? st : graph_trail(v, &q, in->to, &t, err);
    st = st ? st : nodes(c->arena, t.nodes, t.n, &out->nodes, &out->nodes_n, err);
    st = st ? st : totals(c->arena, t.totals, t.totals_n, &out->totals, &out->totals_n, err);
    if (st) {
        return st;
    }
    out->roles = ARENA_ARRAY(c->arena, struct str, t.n + 1);
    if (!out->roles) {
        return err_nomem(err);
    }
    out->roles_n = t.n ? t.n - 1 : 0;
    for (size_t i = 0; i < out->roles_n; i++) {
        out->roles[i] = str_cstr(graph_role_name(t.roles[i]));
    }
    if (t.backwards) {
        MSG_SET(out, CAIRN_V1_LINEAGE_TRAIL_ANSWER_HAS_BACKWARDS, backwards, true);
    }
    if (t.partial) {
        MSG_SET(out, CAIRN_V1_LINEAGE_TRAIL_ANSWER_HAS_PARTIAL, partial, true);
    }
    c->out = out;
    return OK;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------ */

static enum status diff(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_run_diff *in = c->in;
    struct cairn_v1_run_diff_answer *out = ARENA_NEW(c->arena, struct cairn_v1_run_diff_answer);
    struct run_difference *d;
    size_t n, equal;
    const struct run_diff_options opt = { .all = in->all,
                                          .has_as_of =
                                              (in->has & CAIRN_V1_RUN_DIFF_HAS_AS_OF_MS) != 0,
                                          .as_of_ms = in->as_of_ms };
    enum status st = out ? run_diff(v, in->a, in->b, &opt, &d, &n, &equal, err) : err_nomem(err);

    if (st) {
        return st;
    }
    out->differences = ARENA_ARRAY(c->arena, struct cairn_v1_run_difference, n + 1);
    if (!out->differences) {
        return err_nomem(err);
    }
    out->differences_n = n;
    MSG_SET(out, CAIRN_V1_RUN_DIFF_ANSWER_HAS_EQUAL, equal,
            (int32_t)MIN_OF(equal, (size_t)INT32_MAX));
    for (size_t i = 0; i < n; i++) {
        struct cairn_v1_run_difference *to = &out->differences[i];

        MSG_SET(to, CAIRN_V1_RUN_DIFFERENCE_HAS_SECTION, section,
                str_cstr(diff_section_name(d[i].section)));
        MSG_SET(to, CAIRN_V1_RUN_DIFFERENCE_HAS_KEY, key, d[i].key);
        if (d[i].a.p) MSG_SET(to, CAIRN_V1_RUN_DIFFERENCE_HAS_A, a, d[i].a);
        if (d[i].b.p) MSG_SET(to, CAIRN_V1_RUN_DIFFERENCE_HAS_B, b, d[i].b);
        if (d[i].equal) MSG_SET(to, CAIRN_V1_RUN_DIFFERENCE_HAS_EQUAL, equal, true);
    }
    c->out = out;
    return OK;
}

/* ---- what is the same -------------------------------------------------------------------------------------------------------- */

static struct same_change *change_of(struct call *c, struct str a, struct str b, struct str reason)
{
    struct same_change *x = ARENA_NEW(c->arena, struct same_change);

    if (x) {
        same_change_init(x, c->core, c->arena);
        x->a = a;
        x->b = b;
        x->reason = reason.p ? reason : S("");
        x->who = c->principal->name;
    }
    return x;
}

static enum status same_add_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_lineage_same_add *in = c->in;
    struct same_change *x = change_of(c, in->a, in->b, in->reason);

    if (!x) {
        return err_nomem(err);
    }
    x->has_claimed = (in->has & CAIRN_V1_LINEAGE_SAME_ADD_HAS_CLAIMED_MS) != 0;
    x->claimed_ms = in->claimed_ms;
    *op = &x->op;
    return OK;
}

static enum status same_undo_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_lineage_same_undo *in = c->in;
    struct same_change *x = change_of(c, in->a, in->b, in->reason);

    if (!x) {
        return err_nomem(err);
    }
    x->undo = true;
    x->pin = in->pin;
    *op = &x->op;
    return OK;
}

static enum status same_finish(struct call *c, struct err *err)
{
    const struct same_change *x = WRITE_OP_OF(c->op, struct same_change);
    struct cairn_v1_lineage_same_changed *out =
        ARENA_NEW(c->arena, struct cairn_v1_lineage_same_changed);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_LINEAGE_SAME_CHANGED_HAS_CHANGED, changed, (int32_t)x->changed);
    c->out = out;
    return OK;
}

static enum status put_pair(struct arena *a, const struct same_pair *p,
                            struct cairn_v1_lineage_same *to, struct err *err)
{
    struct cairn_v1_lineage_node *ends = ARENA_ARRAY(a, struct cairn_v1_lineage_node, 2);
    enum status st = ends ? node(a, p->a, &ends[0], err) : err_nomem(err);

    st = st ? st : node(a, p->b, &ends[1], err);
    if (st) {
        return st;
    }
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_A, a, &ends[0]);
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_B, b, &ends[1]);
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_STATE, state,
            p->state == SAME_PINNED ? S("pinned") : S("same"));
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_RULE, rule, str_cstr(p->rule));
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_REASON, reason, p->reason);
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_WHO, who, p->who);
    MSG_SET(to, CAIRN_V1_LINEAGE_SAME_HAS_TIME_MS, time_ms, p->ms);
    return OK;
}

/* A page token is the last pair, "A.B". */
static enum status token_parse(struct str token, int64_t *a, int64_t *b, struct err *err)
{
    struct str rest = token, first;

    *a = *b = -1;
    if (!token.n) {
        return OK;
    }
    if (!str_split(&rest, '.', &first) || !num_parse_i64(first, a) || !num_parse_i64(rest, b)) {
        return err_field(err, ST_INVALID, "page_token",
                         "'%.*s' is no page token: give next_page_token of the page before",
                         STR_ARG(token));
    }
    return OK;
}

static enum status same_ls(struct call *c, struct view *v, struct err *err)
{
    const struct cairn_v1_lineage_same_list *in = c->in;
    struct cairn_v1_lineage_same_list_answer *out =
        ARENA_NEW(c->arena, struct cairn_v1_lineage_same_list_answer);
    struct same_pair *pairs = NULL;
    int64_t a, b;
    size_t n = 0;
    bool more = false;
    enum status st = out ? token_parse(in->page_token, &a, &b, err) : err_nomem(err);

    st = st ? st : same_list(v, in->rule, a, b, (size_t)in->max_results, &pairs, &n, &more, err);
    if (st) {
        return st;
    }
    out->pairs = ARENA_ARRAY(c->arena, struct cairn_v1_lineage_same, n + 1);
    if (!out->pairs) {
        return err_nomem(err);
    }
    out->pairs_n = n;
    for (size_t i = 0; !st && i < n; i++) {
        st = put_pair(c->arena, &pairs[i], &out->pairs[i], err);
    }
    if (!st && more) {
        struct str token = arena_printf(c->arena, "%lld.%lld", (long long)pairs[n - 1].a->uid,
                                        (long long)pairs[n - 1].b->uid);

        st = token.p ? OK : err_nomem(err);
        MSG_SET(out, CAIRN_V1_LINEAGE_SAME_LIST_ANSWER_HAS_NEXT_PAGE_TOKEN, next_page_token, token);
    }
    c->out = out;
    return st;
}

/* ---- columns ------------------------------------------------------------------------------------------------------------------ */

static enum status columns_start(struct call *c, struct write_op **op, struct err *err)
{
    const struct cairn_v1_lineage_columns *in = c->in;
    struct columns_change *x = ARENA_NEW(c->arena, struct columns_change);

    if (!x) {
        return err_nomem(err);
    }
    columns_change_init(x, c->core, c->arena);
    x->run_id = in->run_id;
    x->undo = in->undo;
    x->has_claimed = (in->has & CAIRN_V1_LINEAGE_COLUMNS_HAS_CLAIMED_MS) != 0;
    x->claimed_ms = in->claimed_ms;
    x->uses_n = in->uses_n;
    x->uses = ARENA_ARRAY(c->arena, struct column_use, in->uses_n + 1);
    x->derived_n = in->derived_n;
    x->derived = ARENA_ARRAY(c->arena, struct column_derived, in->derived_n + 1);
    if (!x->uses || !x->derived) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < in->uses_n; i++) {
        x->uses[i] =
            (struct column_use){ in->uses[i].dataset, in->uses[i].columns, in->uses[i].columns_n };
    }
    for (size_t i = 0; i < in->derived_n; i++) {
        const struct cairn_v1_lineage_column_derived *d = &in->derived[i];

        x->derived[i] =
            (struct column_derived){ d->from, d->from_column, d->to, d->to_column, d->kind };
    }
    *op = &x->op;
    return OK;
}

static enum status columns_finish(struct call *c, struct err *err)
{
    const struct columns_change *x = WRITE_OP_OF(c->op, struct columns_change);
    struct cairn_v1_lineage_columns_changed *out =
        ARENA_NEW(c->arena, struct cairn_v1_lineage_columns_changed);

    if (!out) {
        return err_nomem(err);
    }
    MSG_SET(out, CAIRN_V1_LINEAGE_COLUMNS_CHANGED_HAS_CHANGED, changed, (int32_t)x->changed);
    c->out = out;
    return OK;
}

#define METHOD(name, in, out, fn)                                                                  \
    GRPC_METHOD("/cairn.v1.LineageService/" name, &cairn_v1_##in##_desc, &cairn_v1_##out##_desc,   \
                RESOURCE_RUN, ACTION_RUN_READ, .kind = CALL_READ, .read = (fn))
#define METHOD_WRITE(name, in, out, start_fn, finish_fn)                                           \
    GRPC_METHOD("/cairn.v1.LineageService/" name, &cairn_v1_##in##_desc, &cairn_v1_##out##_desc,   \
                RESOURCE_RUN, ACTION_RUN_WRITE, .kind = CALL_WRITE, .start = (start_fn),           \
                .finish = (finish_fn))

const struct route native_lineage_methods[] = {
    METHOD("Why", lineage, lineage_answer, lineage),
    METHOD("Impact", lineage_impact, lineage_answer, impact),
    METHOD("Trail", lineage_trail, lineage_trail_answer, trail),
    METHOD("Diff", run_diff, run_diff_answer, diff),
    METHOD_WRITE("Columns", lineage_columns, lineage_columns_changed, columns_start,
                 columns_finish),
    METHOD_WRITE("AddSame", lineage_same_add, lineage_same_changed, same_add_start, same_finish),
    METHOD_WRITE("UndoSame", lineage_same_undo, lineage_same_changed, same_undo_start, same_finish),
    METHOD("ListSame", lineage_same_list, lineage_same_list_answer, same_ls),
};
const size_t native_lineage_methods_n = ARRAY_N(native_lineage_methods);

#define PATH "/api/cairn/v1/"
#define SAME(start_fn)                                                                             \
    ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = (start_fn),                    \
             .finish = same_finish)

const struct route native_lineage_routes[] = {
    ROUTE(HTTP_GET, PATH "lineage", &cairn_v1_lineage_desc, &cairn_v1_lineage_answer_desc,
          RESOURCE_RUN, ACTION_RUN_READ, READ(lineage)),
    ROUTE(HTTP_GET, PATH "lineage/impact", &cairn_v1_lineage_impact_desc,
          &cairn_v1_lineage_answer_desc, RESOURCE_RUN, ACTION_RUN_READ, READ(impact)),
    ROUTE(HTTP_GET, PATH "lineage/trail", &cairn_v1_lineage_trail_desc,
          &cairn_v1_lineage_trail_answer_desc, RESOURCE_RUN, ACTION_RUN_READ, READ(trail)),
    ROUTE(HTTP_GET, PATH "lineage/same", &cairn_v1_lineage_same_list_desc,
          &cairn_v1_lineage_same_list_answer_desc, RESOURCE_RUN, ACTION_RUN_READ, READ(same_ls)),
    ROUTE(HTTP_POST, PATH "lineage/same", &cairn_v1_lineage_same_add_desc,
          &cairn_v1_lineage_same_changed_desc, RESOURCE_RUN, ACTION_RUN_WRITE,
          SAME(same_add_start)),
    ROUTE(HTTP_POST, PATH "lineage/same/undo", &cairn_v1_lineage_same_undo_desc,
          &cairn_v1_lineage_same_changed_desc, RESOURCE_RUN, ACTION_RUN_WRITE,
          SAME(same_undo_start)),
    ROUTE(HTTP_POST, PATH "lineage/columns", &cairn_v1_lineage_columns_desc,
          &cairn_v1_lineage_columns_changed_desc, RESOURCE_RUN, ACTION_RUN_WRITE,
          ENDPOINT(.tongue = &native_tongue, .kind = CALL_WRITE, .start = columns_start,
                   .finish = columns_finish)),
    ROUTE(HTTP_GET, PATH "runs/diff", &cairn_v1_run_diff_desc, &cairn_v1_run_diff_answer_desc,
          RESOURCE_RUN, ACTION_RUN_READ, READ(diff)),
};
const size_t native_lineage_routes_n = ARRAY_N(native_lineage_routes);
