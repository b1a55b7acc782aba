/* core/graph/ask.c - questions: a walk in memory, then the rows of what is shown. */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/graph/graph_int.h"
#include "core/graph/place.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <math.h>
#include <stdlib.h>

enum {
    REASONS_MAX = 1000, /* links of an answer whose reasons are read */
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
    { TYPE_DATA_COLUMN, "column" },
    { TYPE_DATA_PLACE, "place" },
    { TYPE_OL_JOB, "job" },
    { TYPE_OL_RUN, "jobrun" },
    { TYPE_OL_DATASET, "data" },
    { TYPE_OL_VERSION, "dataversion" },
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
                     "registered, files, column, place, job, jobrun, data, dataversion",
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
    case LINK_COLUMN: return "column";
    case LINK_USE: return "use";
    case LINK_MADE: return "made";
    case LINK_PARENT: return "parent";
    default: break;
    }
    if (role >= LINK_TO_PLACE && role < LINK_FROM_PLACE + PLACE_KINDS_N) {
        return "place";
    }
    return role >= LINK_DERIVED && role < LINK_DERIVED + COLUMN_KINDS_N
               ? column_kinds[role - LINK_DERIVED].p
               : "link";
}

/* ---- places of data ---------------------------------------------------------------------------------------------------------
 * A walk goes from a thing to its place and on to others that are there, but not to another version of the kind that it came from, and
 * what was found at a place does not lead to its other places. Who asks what something was made of is not led to data sets of MLflow,
 * which nothing makes: they would only be many. Going up, a link is walked against its direction, so to and from change places. */

#define BIT(role) ((uint64_t)1 << (role))
#define ALL_TO    ((BIT(PLACE_KINDS_N) - 1) << LINK_TO_PLACE)
#define ALL_FROM  ((BIT(PLACE_KINDS_N) - 1) << LINK_FROM_PLACE)

static const uint64_t barred_down[LINK_ROLE_MAX + 1] = {
    [LINK_TO_PLACE + PLACE_VERSION] = BIT(LINK_FROM_PLACE + PLACE_VERSION),
    [LINK_TO_PLACE + PLACE_OPENLINEAGE] = BIT(LINK_FROM_PLACE + PLACE_OPENLINEAGE),
    [LINK_FROM_PLACE + PLACE_ANY] = ALL_TO,
    [LINK_FROM_PLACE + PLACE_MLFLOW] = ALL_TO,
    [LINK_FROM_PLACE + PLACE_VERSION] = ALL_TO,
    [LINK_FROM_PLACE + PLACE_OPENLINEAGE] = ALL_TO,
};
static const uint64_t barred_up[LINK_ROLE_MAX + 1] = {
    [LINK_FROM_PLACE + PLACE_VERSION] = BIT(LINK_TO_PLACE + PLACE_VERSION),
    [LINK_FROM_PLACE + PLACE_OPENLINEAGE] = BIT(LINK_TO_PLACE + PLACE_OPENLINEAGE),
    [LINK_TO_PLACE + PLACE_ANY] = ALL_FROM,
    [LINK_TO_PLACE + PLACE_MLFLOW] = ALL_FROM,
    [LINK_TO_PLACE + PLACE_VERSION] = ALL_FROM,
    [LINK_TO_PLACE + PLACE_OPENLINEAGE] = ALL_FROM,
};

static bool is_to_place(unsigned role)
{
    return role >= LINK_TO_PLACE && role < LINK_TO_PLACE + PLACE_KINDS_N;
}

static bool is_from_place(unsigned role)
{
    return role >= LINK_FROM_PLACE && role < LINK_FROM_PLACE + PLACE_KINDS_N;
}

static void walk_places(struct walk *w)
{
    bool down = w->direction == WALK_DOWN;

    w->still |= ALL_TO | ALL_FROM;
    w->barred = down ? barred_down : barred_up;
    w->roles = w->roles ? w->roles : UINT64_MAX;
    if (!down) {
        w->roles &= ~(BIT(LINK_TO_PLACE + PLACE_MLFLOW) | BIT(LINK_TO_PLACE + PLACE_VERSION));
    }
}

/* Whether things of several protocols meet at a place: else it is nothing that anybody asks for. */
static bool is_meeting(const struct graph *g, const struct walk *walked, uint32_t place)
{
    struct walk w = { .direction = WALK_DOWN,
                      .roles = BIT(LINK_FROM_PLACE + PLACE_MLFLOW) |
                               BIT(LINK_FROM_PLACE + PLACE_VERSION),
                      .has_as_of = walked->has_as_of,
                      .as_of_ms = walked->as_of_ms,
                      .time = walked->time };
    size_t mlflow = links_of(g->links, place, &w, NULL, 0);

    w.roles = BIT(LINK_FROM_PLACE + PLACE_ANY) | BIT(LINK_FROM_PLACE + PLACE_OPENLINEAGE);
    return links_of(g->links, place, &w, NULL, 0) > (mlflow ? 0 : 1);
}

/* Whether a place is shown: something meets there, or at the place that it is a version of. */
static bool is_spoken_of(const struct graph *g, const struct walk *walked, uint32_t place)
{
    struct walk w = { .direction = WALK_DOWN,
                      .roles = BIT(LINK_TO_PLACE + PLACE_VERSION),
                      .has_as_of = walked->has_as_of,
                      .as_of_ms = walked->as_of_ms,
                      .time = walked->time };
    struct link_end above;

    return is_meeting(g, walked, place) ||
           (links_of(g->links, place, &w, &above, 1) && is_meeting(g, walked, above.node));
}

/* Whether a node that was found is part of the answer. */
static bool is_part(const struct graph *g, const struct walk *w, const struct walk_found *f,
                    size_t i)
{
    return graph_type(g, f->nodes[i]) != TYPE_DATA_PLACE || (f->from && f->from[i] == i) ||
           is_spoken_of(g, w, f->nodes[i]);
}

struct walk graph_walk(const struct graph_query *q, const struct graph_starts *starts,
                       struct column_walk *columns)
{
    struct walk w = { .starts = starts ? starts->uids : NULL,
                      .starts_n = starts ? starts->n : 0,
                      .direction = q->down ? WALK_DOWN : WALK_UP,
                      .skip_aside = q->down && !q->evaluation,
                      .has_as_of = q->has_as_of,
                      .as_of_ms = q->as_of_ms,
                      .time = q->claimed ? WALK_CLAIMED : WALK_RECORDED,
                      .depth = q->depth,
                      .still = (uint64_t)1 << LINK_SAME,
                      .deadline_ms = q->timeout_ms ? clock_mono_ms() + q->timeout_ms : 0 };

    w.brief = !q->group && !q->expand_n;
    column_walk_set(&w, starts, columns);
    walk_places(&w);
    return w;
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

/* Nodes are counted by these; those that have no name of their own are one. */
enum { COUNTED = ARRAY_N(type_names) + 1 };
_Static_assert((size_t)COUNTED <= GRAPH_TYPES_MAX, "totals have room for each");

static size_t counted_as(enum node_type type)
{
    size_t i = 0;

    while (i < ARRAY_N(type_names) && type_names[i].type != type) {
        i++;
    }
    return i;
}

static void count(struct graph_total *totals, size_t *n, size_t as, size_t more)
{
    enum node_type type = as < ARRAY_N(type_names) ? type_names[as].type : GRAPH_TYPE_OTHER;
    size_t i = 0;

    while (i < *n && totals[i].type != type) {
        i++;
    }
    if (i == *n) {
        totals[(*n)++] = (struct graph_total){ type, 0 };
    }
    totals[i].n += more;
}

static void count_all(const struct graph *g, const struct walk *w, const struct walk_found *f,
                      struct graph_answer *out)
{
    size_t n[COUNTED] = { 0 }, i = 0;

    for (out->starts_n = 0; i < f->n && f->distance[i] == 0; i++) {
        out->starts_n += is_part(g, w, f, i); /* what is the same as a start is one */
    }
    for (; i < f->n; i++) {
        n[counted_as(graph_type(g, f->nodes[i]))] += is_part(g, w, f, i);
    }
    for (size_t as = 0; as < COUNTED; as++) {
        if (n[as]) {
            count(out->totals, &out->totals_n, as, n[as]);
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
                          const struct walk *w, const struct walk_found *f, struct groups *groups,
                          struct graph_answer *out, struct err *err)
{
    out->nodes = ARENA_ARRAY(v->arena, struct graph_node, MIN_OF(q->max, f->n) + out->starts_n + 1);
    if (!out->nodes) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < f->n && out->n < q->max + out->starts_n; i++) {
        uint64_t key;

        if ((f->distance[i] == 0 || is_wanted(q, graph_type(g, f->nodes[i]))) &&
            is_part(g, w, f, i) && groups_take(groups, i, &key)) {
            out->nodes[out->n] = node_of(g, f, i);
            out->nodes[out->n++].group = key;
        }
    }
    return OK;
}

/* Links among the nodes that are given: each is found from its end that is farther from the start. */
static enum status links_among(struct view *v, const struct graph *g, const struct graph_query *q,
                               const struct walk *walked, struct graph_answer *out, struct err *err)
{
    struct walk w = *walked;
    struct int_map at = INT_MAP_INIT(out->n + 1);
    struct link_end *ends = ARENA_ARRAY(v->arena, struct link_end, ROW_MAX);
    size_t cap = 0;
    enum status st = ends ? OK : err_nomem(err);

    w.direction = q->down ? WALK_UP : WALK_DOWN;
    w.roles |= ALL_TO;
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
            if ((ends[k].role == LINK_SAME && here > there) || is_from_place(ends[k].role)) {
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

/* Why what is the same is: who says so now. Of the first that are given. */
static enum status put_reasons(struct view *v, struct graph_answer *out, struct err *err)
{
    enum status st = OK;
    size_t n = 0;

    for (size_t i = 0; !st && i < out->links_n && n < REASONS_MAX; i++) {
        struct graph_link *l = &out->links[i];
        int64_t a = out->nodes[l->from].uid, b = out->nodes[l->to].uid;
        struct q_same_why_row row;

        if (l->role != LINK_SAME && !is_to_place(l->role)) {
            continue;
        }
        n++;
        st = q_same_why(v->conn, v->arena, l->role == LINK_SAME ? MIN_OF(a, b) : a,
                        l->role == LINK_SAME ? MAX_OF(a, b) : b, &row, err);
        if (!st) {
            l->rule = same_rule_name(row.rule);
            l->reason = row.reason;
        }
        st = st == ST_NOT_FOUND ? OK : st;
    }
    return st;
}

static enum status describe(struct view *v, const struct graph_query *q, struct graph_answer *out,
                            struct err *err)
{
    enum status st = graph_describe(v, out->nodes, out->n, q->details, err);

    return st ? st : put_reasons(v, out, err);
}

enum status graph_ask(struct view *v, const struct graph_query *q, struct graph_answer *out,
                      struct err *err)
{
    struct column_walk by_column = { NULL, q };
    struct groups groups = { 0 };
    struct walk_found f = { 0 };
    struct graph_starts starts;
    struct graph *g;
    struct walk w;
    enum status st = graph_find(v, q, q->node, &starts, err);

    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    by_column.g = g;
    w = graph_walk(q, &starts, &by_column);
    st = links_walk(g->links, &w, &f, err);
    if (!st) {
        count_all(g, &w, &f, out);
        st = groups_make(&groups, g, q, &f, w.still, err);
    }
    st = st ? st : choose(v, g, q, &w, &f, &groups, out, err);
    st = st ? st : groups_give(v, &groups, &f, out, err);
    groups_release(&groups);
    st = st ? st : links_among(v, g, q, &w, out, err);
    rwlock_give(&g->lock);
    walk_found_release(&f);
    return st ? st : describe(v, q, out, err);
}

/* ---- a way from one to the other --------------------------------------------------------------------------------------- */

/* Which nodes a trail leads over: those that are wanted, and both ends. */
struct over {
    const struct graph *g;
    const struct graph_query *q;
    const struct graph_starts *a, *b;
    bool (*follow)(void *ctx, uint32_t from, uint32_t to, uint8_t role); /* by column; NULL = any */
    void *ctx;
    int64_t deadline_ms; /* of all walks together */
};

static bool is_among(const struct graph_starts *s, uint32_t node)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->uids[i] == node) {
            return true;
        }
    }
    return false;
}

static bool lead_over(void *ctx, uint32_t from, uint32_t to, uint8_t role)
{
    const struct over *o = ctx;

    if (o->follow && !o->follow(o->ctx, from, to, role)) {
        return false;
    }
    return is_wanted(o->q, graph_type(o->g, to)) || is_among(o->a, to) || is_among(o->b, to);
}

/* Along the data, from the one end. */
static struct walk trail_walk(struct over *o, const struct graph_starts *from,
                              struct column_walk *by_column)
{
    struct walk w;

    *by_column = (struct column_walk){ o->g, o->q };
    w = graph_walk(o->q, from, by_column);
    w.skip_aside = false;
    w.deadline_ms = o->deadline_ms;
    if (!from->columns && (o->a->columns || o->b->columns)) {
        w.roles = UINT64_MAX;
    }
    o->follow = w.follow;
    o->ctx = w.ctx;
    if (o->q->types_n) {
        w.follow = lead_over;
        w.ctx = o;
    }
    return w;
}

static enum status shortest(struct view *v, struct over *o, const struct graph_starts *from,
                            const struct graph_starts *to, struct link_path *out, bool *partial,
                            struct err *err)
{
    struct column_walk by_column;
    struct walk w = trail_walk(o, from, &by_column);
    enum status st = OK;

    for (size_t i = 0; !st && i < MIN_OF(from->n, (size_t)TRAIL_ENDS_MAX); i++) {
        for (size_t k = 0; !st && k < MIN_OF(to->n, (size_t)TRAIL_ENDS_MAX); k++) {
            struct link_path p;

            st = links_path(o->g->links, from->uids[i], to->uids[k], &w, v->arena, &p, err);
            *partial = *partial || (!st && p.partial);
            if (!st && p.n && (!out->n || p.n < out->n)) {
                *out = p;
            }
        }
    }
    return st;
}

/* What lies on any way: found from the one end along the data, and from the other against it, no farther together than may be. */
static enum status between(struct over *o, const struct graph_starts *from,
                           const struct graph_starts *to, struct graph_trail *out, struct err *err)
{
    struct column_walk by_column;
    struct walk w = trail_walk(o, from, &by_column);
    struct walk_found down = { 0 }, up = { 0 };
    uint32_t *far =
        mem_zalloc(links_top(o->g->links) + 1, sizeof(*far)); /* by node: distance + 1 */
    enum status st = far ? links_walk(o->g->links, &w, &down, err) : err_nomem(err);

    w.starts = to->uids;
    w.starts_n = to->n;
    w.direction = WALK_UP;
    w.barred = barred_up;
    st = st ? st : links_walk(o->g->links, &w, &up, err);
    out->partial = out->partial || down.partial || up.partial;
    for (size_t i = 0; !st && i < up.n; i++) {
        if (up.nodes[i] < links_top(o->g->links)) {
            far[up.nodes[i]] = up.distance[i] + 1u;
        }
    }
    for (size_t i = 0; !st && i < down.n; i++) {
        uint32_t there = down.nodes[i] < links_top(o->g->links) ? far[down.nodes[i]] : 0;

        if (there && down.distance[i] && there > 1 &&
            (!o->q->depth || down.distance[i] + there - 1 <= o->q->depth) &&
            is_part(o->g, &w, &down, i)) {
            count(out->totals, &out->totals_n, counted_as(graph_type(o->g, down.nodes[i])), 1);
        }
    }
    mem_free(far);
    walk_found_release(&down);
    walk_found_release(&up);
    return st;
}

enum status graph_trail(struct view *v, const struct graph_query *in, struct str to,
                        struct graph_trail *out, struct err *err)
{
    struct graph_query q = *in;
    struct graph_starts a, b;
    struct link_path p = { 0 };
    struct over o = {
        .q = &q, .a = &a, .b = &b, .deadline_ms = q.timeout_ms ? clock_mono_ms() + q.timeout_ms : 0
    };
    struct graph *g;
    enum status st = graph_find(v, &q, q.node, &a, err);

    st = st ? st : graph_find(v, &q, to, &b, err);
    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    q.down = true;
    o.g = g;
    st = shortest(v, &o, &a, &b, &p, &out->partial, err);
    if (!st && !p.n) {
        st = shortest(v, &o, &b, &a, &p, &out->partial, err);
        out->backwards = p.n > 0;
    }
    if (!st && p.n) {
        st = out->backwards ? between(&o, &b, &a, out, err) : between(&o, &a, &b, out, err);
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
    return st ? st : graph_describe(v, out->nodes, out->n, q.details, err);
}

/* ---- impact ---------------------------------------------------------------------------------------------------------------- */

/* What people ask for first. */
enum { FIRST_RUN = 3, FIRST_OTHER, FIRST_N };
#define TYPE_NO_PART ((enum node_type)0xffff) /* of what was found and is not given */

static unsigned importance(enum node_type type)
{
    return type == TYPE_MLFLOW_REGISTERED_MODEL                     ? 0
           : type == TYPE_MLFLOW_MODEL_VERSION                      ? 1
           : type == TYPE_MLFLOW_LOGGED_MODEL || type == TYPE_MODEL ? 2
           : type == TYPE_MLFLOW_RUN                                ? FIRST_RUN
                                                                    : FIRST_OTHER;
}

struct scored {
    double metric; /* the larger the better */
    uint32_t at;   /* in the walk */
    bool has_metric;
};

static int scored_cmp(const void *pa, const void *pb)
{
    const struct scored *a = pa, *b = pb;

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

/* All are runs: the best first. */
static enum status score(struct view *v, const struct graph_impact *in, const struct walk_found *f,
                         struct scored *all, size_t n, struct err *err)
{
    struct scorer s = { .in = in, .by_uid = INT_MAP_INIT(n + 1) };
    int64_t *runs = ARENA_ARRAY(v->arena, int64_t, n ? n : 1);
    enum status st = runs ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        runs[i] = f->nodes[all[i].at];
        st = int_map_put(&s.by_uid, f->nodes[all[i].at], &all[i]) ? err_nomem(err) : OK;
    }
    st = st || !n ? st : run_gather(v, runs, n, score_run, &s, err);
    int_map_release(&s.by_uid);
    if (!st) {
        qsort(all, n, sizeof(*all), scored_cmp);
    }
    return st;
}

/* Those that are wanted, by importance, the nearest first; those of one importance begin at begin[it]. The number of all. */
static size_t arrange(const struct graph_query *q, const struct walk_found *f,
                      const enum node_type *types, struct scored *all, size_t *begin)
{
    size_t at[FIRST_N] = { 0 }, n = 0;

    for (size_t i = 0; i < f->n; i++) {
        at[importance(types[i])] +=
            f->distance[i] > 0 && types[i] != TYPE_NO_PART && is_wanted(q, types[i]);
    }
    for (unsigned k = 0; k < FIRST_N; k++) {
        size_t more = at[k];

        begin[k] = at[k] = n;
        n += more;
    }
    for (size_t i = 0; i < f->n; i++) {
        if (f->distance[i] > 0 && types[i] != TYPE_NO_PART && is_wanted(q, types[i])) {
            all[at[importance(types[i])]++] = (struct scored){ .at = (uint32_t)i };
        }
    }
    return n;
}

static enum status rank(struct view *v, const struct graph_impact *in, const struct walk_found *f,
                        const enum node_type *types, struct groups *groups,
                        struct graph_answer *out, struct err *err)
{
    const struct graph_query *q = &in->q;
    struct scored *all = ARENA_ARRAY(v->arena, struct scored, f->n + 1);
    size_t begin[FIRST_N] = { 0 }, n = all ? arrange(q, f, types, all, begin) : 0;
    enum status st = all ? OK : err_nomem(err);

    if (!st && in->metric.p) {
        st = score(v, in, f, all + begin[FIRST_RUN], begin[FIRST_OTHER] - begin[FIRST_RUN], err);
    }
    if (st) {
        return st;
    }
    out->nodes = ARENA_ARRAY(v->arena, struct graph_node, MIN_OF(q->max, n) + out->starts_n + 1);
    if (!out->nodes) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < f->n && f->distance[i] == 0; i++) {
        if (types[i] != TYPE_NO_PART) {
            out->nodes[out->n++] = (struct graph_node){ .uid = f->nodes[i], .type = types[i] };
        }
    }
    for (size_t i = 0; i < n && out->n < q->max + out->starts_n; i++) {
        uint64_t key;

        if (!groups_take(groups, all[i].at, &key)) {
            continue;
        }
        out->nodes[out->n++] =
            (struct graph_node){ .group = key,
                                 .uid = f->nodes[all[i].at],
                                 .type = types[all[i].at],
                                 .distance = f->distance[all[i].at],
                                 .has_metric = all[i].has_metric,
                                 .metric = in->lowest ? -all[i].metric : all[i].metric };
    }
    return groups_give(v, groups, f, out, err);
}

enum status graph_impact(struct view *v, const struct graph_impact *in, struct graph_answer *out,
                         struct err *err)
{
    struct graph_query q = in->q;
    enum node_type *types = NULL;
    struct column_walk by_column = { NULL, &q };
    struct groups groups = { 0 };
    struct walk_found f = { 0 };
    struct graph_starts starts;
    struct graph *g;
    struct walk w;
    enum status st = graph_find(v, &q, q.node, &starts, err);

    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    q.down = true;
    by_column.g = g;
    w = graph_walk(&q, &starts, &by_column);
    st = links_walk(g->links, &w, &f, err);
    if (!st) {
        count_all(g, &w, &f, out);
        types = ARENA_ARRAY(v->arena, enum node_type, f.n + 1);
        st = types ? OK : err_nomem(err);
        st = st ? st : groups_make(&groups, g, &q, &f, w.still, err);
    }
    for (size_t i = 0; !st && i < f.n; i++) {
        types[i] = is_part(g, &w, &f, i) ? graph_type(g, f.nodes[i]) : TYPE_NO_PART;
    }
    rwlock_give(&g->lock); /* runs are read without it */
    st = st ? st : rank(v, in, &f, types, &groups, out, err);
    groups_release(&groups);
    walk_found_release(&f);
    return st ? st : graph_describe(v, out->nodes, out->n, q.details, err);
}
