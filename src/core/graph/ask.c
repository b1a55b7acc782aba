/* core/graph/ask.c - questions: a walk in memory, then the rows of what is shown. */
#include "base/clock.h"
#include "base/map.h"
#include "core/graph/graph_int.h"
#include <math.h>
#include <stdlib.h>

enum {
    ROW_MAX = 4096,     /* links of one node that an answer looks at */
    TRAIL_ENDS_MAX = 16 /* nodes of one name that a trail begins or ends at */
};

static const struct {
    enum node_type type;
    const char *name;
} type_names[] = {
    { TYPE_MLFLOW_RUN, "run" },
    { TYPE_MLFLOW_DATASET, "dataset" },
    { TYPE_MLFLOW_LOGGED_MODEL, "model" },
    { TYPE_MLFLOW_MODEL_VERSION, "version" },
    { TYPE_MLFLOW_REGISTERED_MODEL, "registered" },
    { TYPE_MODEL, "files" },
};

const char *graph_type_name(enum node_type type)
{
    for (size_t i = 0; i < ARRAY_N(type_names); i++) {
        if (type_names[i].type == type) {
            return type_names[i].name;
        }
    }
    return "node";
}

enum status graph_type_parse(struct str text, enum node_type *out, struct err *err)
{
    for (size_t i = 0; i < ARRAY_N(type_names); i++) {
        if (str_eq(text, str_cstr(type_names[i].name))) {
            *out = type_names[i].type;
            return OK;
        }
    }
    return err_field(err, ST_INVALID, "types",
                     "'%.*s' is no type of node: it is one of run, dataset, model, version, "
                     "registered, files",
                     STR_ARG(text));
}

const char *graph_role_name(unsigned role)
{
    switch (role) {
    case LINK_INPUT: return "input";
    case LINK_OUTPUT: return "output";
    case LINK_VERSION: return "version";
    case LINK_REGISTERED: return "registered";
    case LINK_SAME: return "same";
    default: return "link";
    }
}

struct walk graph_walk(const struct graph_query *q, const int64_t *starts, size_t n)
{
    return (struct walk){ .starts = starts,
                          .starts_n = n,
                          .direction = q->down ? WALK_DOWN : WALK_UP,
                          .skip_aside = q->down && !q->evaluation,
                          .has_as_of = q->has_as_of,
                          .as_of_ms = q->as_of_ms,
                          .time = q->claimed ? WALK_CLAIMED : WALK_RECORDED,
                          .depth = q->depth,
                          .still = (uint64_t)1 << LINK_SAME,
                          .deadline_ms = q->timeout_ms ? clock_mono_ms() + q->timeout_ms : 0 };
}

/* ---- parts of an answer ------------------------------------------------------------------------------------------------ */

static bool is_wanted(const struct graph_query *q, enum node_type type)
{
    for (size_t i = 0; i < q->types_n; i++) {
        if (q->types[i] == type) {
            return true;
        }
    }
    return q->types_n == 0;
}

static void count(struct graph_answer *a, enum node_type type)
{
    size_t i = 0;

    while (i < a->totals_n && a->totals[i].type != type) {
        i++;
    }
    if (i == GRAPH_TYPES_MAX) {
        return;
    }
    if (i == a->totals_n) {
        a->totals[a->totals_n++] = (struct graph_total){ type, 0 };
    }
    a->totals[i].n++;
}

static void count_all(const struct graph *g, const struct walk_found *f, struct graph_answer *out)
{
    for (out->starts_n = 0; out->starts_n < f->n && f->distance[out->starts_n] == 0;) {
        out->starts_n++; /* what is the same as a start is one */
    }
    for (size_t i = 0; i < f->n; i++) {
        if (f->distance[i] > 0) {
            count(out, graph_type(g, f->nodes[i]));
        }
    }
    out->partial = f->partial;
}

static struct graph_node node_of(const struct graph *g, const struct walk_found *f, size_t i)
{
    return (struct graph_node){ .uid = f->nodes[i],
                                .type = graph_type(g, f->nodes[i]),
                                .distance = f->distance[i] };
}

/* The nearest that are wanted, the starts first. */
static enum status choose(struct view *v, const struct graph *g, const struct graph_query *q,
                          const struct walk_found *f, struct graph_answer *out, struct err *err)
{
    out->nodes = ARENA_ARRAY(v->arena, struct graph_node, MIN_OF(q->max, f->n) + out->starts_n + 1);
    if (!out->nodes) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < f->n && out->n < q->max + out->starts_n; i++) {
        if (f->distance[i] == 0 || is_wanted(q, graph_type(g, f->nodes[i]))) {
            out->nodes[out->n++] = node_of(g, f, i);
        }
    }
    return OK;
}

/* Links among the nodes that are given: each is found from its end that is farther from the start. */
static enum status links_among(struct view *v, const struct graph *g, const struct graph_query *q,
                               struct graph_answer *out, struct err *err)
{
    struct walk w = graph_walk(q, NULL, 0);
    struct int_map at = INT_MAP_INIT(out->n + 1);
    struct link_end *ends = ARENA_ARRAY(v->arena, struct link_end, ROW_MAX);
    size_t cap = 0;
    enum status st = ends ? OK : err_nomem(err);

    w.direction = q->down ? WALK_UP : WALK_DOWN;
    for (size_t i = 0; !st && i < out->n; i++) {
        st = int_map_put(&at, (uint64_t)out->nodes[i].uid, &out->nodes[i]) ? err_nomem(err) : OK;
    }
    for (size_t i = 0; !st && i < out->n && out->links_n < GRAPH_LINKS_MAX; i++) {
        size_t n = links_of(g->links, out->nodes[i].uid, &w, ends, ROW_MAX);

        for (size_t k = 0; !st && k < MIN_OF(n, (size_t)ROW_MAX); k++) {
            struct graph_node *other = int_map_get(&at, ends[k].node);
            uint32_t here = (uint32_t)i, there;

            if (!other) {
                continue;
            }
            there = (uint32_t)(other - out->nodes);
            if (ends[k].role == LINK_SAME && here > there) {
                continue; /* the other one has it too */
            }
            if (!arena_grow(v->arena, (void **)&out->links, out->links_n, &cap,
                            sizeof(*out->links))) {
                st = err_nomem(err);
                break;
            }
            out->links[out->links_n++] = (struct graph_link){ .from = q->down ? there : here,
                                                              .to = q->down ? here : there,
                                                              .role = ends[k].role,
                                                              .evaluation = ends[k].aside,
                                                              .seen_ms = ends[k].seen_ms,
                                                              .claimed_ms = ends[k].claimed_ms };
        }
    }
    int_map_release(&at);
    return st;
}

enum status graph_ask(struct view *v, const struct graph_query *q, struct graph_answer *out,
                      struct err *err)
{
    struct walk_found f = { 0 };
    struct graph *g;
    struct walk w;
    int64_t *starts;
    enum status st = graph_find(v, q, q->node, &starts, &out->starts_n, err);

    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    w = graph_walk(q, starts, out->starts_n);
    st = links_walk(g->links, &w, &f, err);
    if (!st) {
        count_all(g, &f, out);
        st = choose(v, g, q, &f, out, err);
    }
    st = st ? st : links_among(v, g, q, out, err);
    rwlock_give(&g->lock);
    walk_found_release(&f);
    return st ? st : graph_describe(v, out->nodes, out->n, q->details, err);
}

/* ---- a way from one to the other --------------------------------------------------------------------------------------- */

static enum status shortest(struct view *v, const struct graph *g, const struct graph_query *q,
                            const int64_t *from, size_t from_n, const int64_t *to, size_t to_n,
                            struct link_path *out, bool *partial, struct err *err)
{
    struct walk w = graph_walk(q, NULL, 0);
    enum status st = OK;

    w.direction = WALK_DOWN;
    w.skip_aside = false;
    for (size_t i = 0; !st && i < from_n; i++) {
        for (size_t k = 0; !st && k < to_n; k++) {
            struct link_path p;

            st = links_path(g->links, from[i], to[k], &w, v->arena, &p, err);
            *partial = *partial || (!st && p.partial);
            if (!st && p.n && (!out->n || p.n < out->n)) {
                *out = p;
            }
        }
    }
    return st;
}

enum status graph_trail(struct view *v, const struct graph_query *q, struct str to,
                        struct graph_trail *out, struct err *err)
{
    struct link_path p = { 0 };
    int64_t *a, *b;
    size_t a_n, b_n;
    struct graph *g;
    enum status st = graph_find(v, q, q->node, &a, &a_n, err);

    st = st ? st : graph_find(v, q, to, &b, &b_n, err);
    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    a_n = MIN_OF(a_n, (size_t)TRAIL_ENDS_MAX);
    b_n = MIN_OF(b_n, (size_t)TRAIL_ENDS_MAX);
    st = shortest(v, g, q, a, a_n, b, b_n, &p, &out->partial, err);
    if (!st && !p.n) {
        st = shortest(v, g, q, b, b_n, a, a_n, &p, &out->partial, err);
        out->backwards = p.n > 0;
    }
    out->nodes = st ? NULL : ARENA_ARRAY(v->arena, struct graph_node, p.n + 1);
    out->roles = st ? NULL : ARENA_ARRAY(v->arena, unsigned, p.n + 1);
    if (!st && (!out->nodes || !out->roles)) {
        st = err_nomem(err);
    }
    for (size_t i = 0; !st && i < p.n; i++) {
        out->nodes[i] = (struct graph_node){ .uid = p.nodes[i],
                                             .type = graph_type(g, p.nodes[i]),
                                             .distance = (unsigned)i };
        out->roles[i] = p.role[i];
        out->n++;
    }
    rwlock_give(&g->lock);
    return st ? st : graph_describe(v, out->nodes, out->n, q->details, err);
}

/* ---- impact ---------------------------------------------------------------------------------------------------------------- */

/* What people ask for first. */
static unsigned importance(enum node_type type)
{
    return type == TYPE_MLFLOW_REGISTERED_MODEL                     ? 0
           : type == TYPE_MLFLOW_MODEL_VERSION                      ? 1
           : type == TYPE_MLFLOW_LOGGED_MODEL || type == TYPE_MODEL ? 2
           : type == TYPE_MLFLOW_RUN                                ? 3
                                                                    : 4;
}

struct scored {
    size_t at; /* in the walk */
    unsigned first;
    bool has_metric;
    double metric; /* the larger the better */
};

static int scored_cmp(const void *pa, const void *pb)
{
    const struct scored *a = pa, *b = pb;

    if (a->first != b->first) {
        return a->first < b->first ? -1 : 1;
    }
    if (a->has_metric != b->has_metric) {
        return a->has_metric ? -1 : 1;
    }
    if (a->has_metric && a->metric != b->metric) {
        return a->metric > b->metric ? -1 : 1;
    }
    return a->at < b->at ? -1 : 1;
}

struct scorer {
    const struct graph_impact *in;
    struct int_map by_uid;
};

static enum status score_run(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    struct scorer *s = ctx;
    const struct run_metric *m = run_view_metric(run, s->in->metric);
    struct scored *to = int_map_get(&s->by_uid, (uint64_t)run->uid);

    (void)i;
    (void)err;
    if (m && !isnan(m->value)) {
        to->has_metric = true;
        to->metric = s->in->lowest ? -m->value : m->value;
    }
    return OK;
}

static enum status score(struct view *v, const struct graph_impact *in, const struct walk_found *f,
                         struct scored *all, size_t n, struct err *err)
{
    struct scorer s = { .in = in, .by_uid = INT_MAP_INIT(n + 1) };
    int64_t *runs = ARENA_ARRAY(v->arena, int64_t, n ? n : 1);
    size_t runs_n = 0;
    enum status st = runs ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        if (all[i].first == importance(TYPE_MLFLOW_RUN)) {
            runs[runs_n++] = f->nodes[all[i].at];
            st = int_map_put(&s.by_uid, f->nodes[all[i].at], &all[i]) ? err_nomem(err) : OK;
        }
    }
    st = st || !runs_n ? st : run_gather(v, runs, runs_n, score_run, &s, err);
    int_map_release(&s.by_uid);
    return st;
}

static enum status rank(struct view *v, const struct graph_impact *in, const struct walk_found *f,
                        const enum node_type *types, struct graph_answer *out, struct err *err)
{
    const struct graph_query *q = &in->q;
    struct scored *all = ARENA_ARRAY(v->arena, struct scored, f->n + 1);
    size_t n = 0;
    enum status st = all ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < f->n; i++) {
        if (f->distance[i] > 0 && is_wanted(q, types[i])) {
            all[n++] = (struct scored){ .at = i, .first = importance(types[i]) };
        }
    }
    if (!st && in->metric.p) {
        st = score(v, in, f, all, n, err);
    }
    if (st) {
        return st;
    }
    qsort(all, n, sizeof(*all), scored_cmp);
    out->nodes = ARENA_ARRAY(v->arena, struct graph_node, MIN_OF(q->max, n) + out->starts_n + 1);
    if (!out->nodes) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < f->n && f->distance[i] == 0; i++) {
        out->nodes[out->n++] = (struct graph_node){ .uid = f->nodes[i], .type = types[i] };
    }
    for (size_t i = 0; i < MIN_OF(q->max, n); i++) {
        out->nodes[out->n++] =
            (struct graph_node){ .uid = f->nodes[all[i].at],
                                 .type = types[all[i].at],
                                 .distance = f->distance[all[i].at],
                                 .has_metric = all[i].has_metric,
                                 .metric = in->lowest ? -all[i].metric : all[i].metric };
    }
    return OK;
}

enum status graph_impact(struct view *v, const struct graph_impact *in, struct graph_answer *out,
                         struct err *err)
{
    struct graph_query q = in->q;
    enum node_type *types = NULL;
    struct walk_found f = { 0 };
    struct graph *g;
    struct walk w;
    int64_t *starts;
    enum status st = graph_find(v, &q, q.node, &starts, &out->starts_n, err);

    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    q.down = true;
    w = graph_walk(&q, starts, out->starts_n);
    st = links_walk(g->links, &w, &f, err);
    if (!st) {
        count_all(g, &f, out);
        types = ARENA_ARRAY(v->arena, enum node_type, f.n + 1);
        st = types ? OK : err_nomem(err);
    }
    for (size_t i = 0; !st && i < f.n; i++) {
        types[i] = graph_type(g, f.nodes[i]);
    }
    rwlock_give(&g->lock); /* runs are read without it */
    st = st ? st : rank(v, in, &f, types, out, err);
    walk_found_release(&f);
    return st ? st : graph_describe(v, out->nodes, out->n, q.details, err);
}
