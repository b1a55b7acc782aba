/* core/typed/subgraph.c - what lies around nodes of declared types: a walk along events, level by level, in questions about many nodes each.
 * Artifacts and executions take turns, so all nodes of a level are of one kind, and what an event leads to lies one level further or was
 * walked from before. */
#include "base/map.h"
#include "core/typed/typed_int.h"

enum { PORTION = 1000, TYPE_OF_OTHERS_END = TYPE_MODEL + 1 };

struct found {
    int64_t uid, id;
    bool artifact, ending;
};
struct found_event {
    size_t near, far; /* places in `nodes` */
    struct typed_event event;
};
struct walker {
    struct typed_space *s;
    struct typed_subgraph *io;
    struct int_map places; /* uid -> 1 + its place in `nodes` */
    struct found *nodes;   /* in the order in which they were found */
    size_t nodes_n, nodes_cap;
    struct found_event *events;
    size_t events_n, events_cap;
    size_t level; /* the place of the first node of the level that is walked from */
};

/* base/map keeps pointers: a place is one into nothing. */
static size_t place_of(const struct walker *w, int64_t uid)
{
    return (size_t)(uintptr_t)int_map_get(&w->places, (uint64_t)uid);
}

static enum status too_big(const struct walker *w, struct err *err)
{
    return err_set(err, ST_TOO_BIG,
                   "the subgraph has more than %zu nodes or links; ask for fewer hops or say where "
                   "it ends",
                   w->io->max);
}

static enum status add_node(struct walker *w, int64_t uid, int64_t id, bool artifact,
                            struct err *err)
{
    if (w->nodes_n == w->io->max) {
        return too_big(w, err);
    }
    if (!arena_grow(w->s->v->arena, (void **)&w->nodes, w->nodes_n, &w->nodes_cap,
                    sizeof(*w->nodes)) ||
        int_map_put(&w->places, (uint64_t)uid, (void *)(uintptr_t)(w->nodes_n + 1)) != OK) {
        return err_nomem(err);
    }
    w->nodes[w->nodes_n++] = (struct found){ .uid = uid, .id = id, .artifact = artifact };
    return OK;
}

static const struct typed_ending *ending_of(const struct walker *w, bool artifact)
{
    return artifact ? &w->io->artifacts_end : &w->io->executions_end;
}

static bool is_left_out(const struct walker *w, size_t at)
{
    return w->nodes[at].ending && !ending_of(w, w->nodes[at].artifact)->included;
}

/* Up to PORTION uids of nodes from *at on, below `end`, but of those that end the walk unless `all`. */
static size_t portion(const struct walker *w, size_t *at, size_t end, bool all, int64_t *uids)
{
    size_t n = 0;

    for (; *at < end && n < PORTION; ++*at) {
        if (all ? !is_left_out(w, *at) : !w->nodes[*at].ending) {
            uids[n++] = w->nodes[*at].uid;
        }
    }
    return n;
}

/* What is to be done with a node of a list, of which the row is enough where no other protocol is shown. */
typedef enum status (*take_fn)(struct walker *w, int64_t uid, int64_t id, struct err *err);

static enum status which(struct walker *w, struct nodelist *l, take_fn take, struct err *err)
{
    struct nodelist_cursor c;
    struct nodelist_row row;
    struct typed_node *nodes;
    size_t n = 0;
    enum status st;

    l->ns = w->s->ns;
    if (w->s->others) {
        st = typed_list(w->s, l, &nodes, &n, err);
        for (size_t i = 0; !st && i < n; i++) {
            st = take(w, nodes[i].uid, nodes[i].id, err);
        }
        return st;
    }
    st = nodelist_open(&c, w->s->v->conn, w->s->v->arena, l, err);
    while (!st && (st = nodelist_next(&c, &row, err)) == OK) {
        st = take(w, row.uid, row.id, err);
    }
    nodelist_close(&c);
    return st == ST_END ? OK : st;
}

static enum status end_at(struct walker *w, int64_t uid, int64_t id, struct err *err)
{
    (void)id;
    (void)err;
    w->nodes[place_of(w, uid) - 1].ending = true;
    return OK;
}

static enum status begin_at(struct walker *w, int64_t uid, int64_t id, struct err *err)
{
    return add_node(w, uid, id, w->io->kind == NODE_ARTIFACT, err);
}

/* Which of the nodes from a place on end the walk. */
static enum status mark_ending(struct walker *w, size_t from, struct err *err)
{
    enum status st = OK;

    for (size_t at = from; !st && at < w->nodes_n;) {
        int64_t uids[PORTION];
        bool artifact = w->nodes[at].artifact;
        struct nodelist l = { .kind = artifact ? NODE_ARTIFACT : NODE_EXECUTION,
                              .filter = ending_of(w, artifact)->filter,
                              .uids = uids };

        if (!l.filter) {
            return OK;
        }
        l.uids_n = portion(w, &at, w->nodes_n, false, uids);
        st = which(w, &l, end_at, err);
    }
    return st;
}

static enum status begin(struct walker *w, struct err *err)
{
    struct nodelist l = { .kind = (int)w->io->kind,
                          .filter = w->io->start,
                          .limit = TYPED_START_MAX };
    enum status st = which(w, &l, begin_at, err);

    if (!st && !w->nodes_n) {
        return err_set(err, ST_NOT_FOUND, "Cannot find qualified nodes to start the traversal.");
    }
    return st ? st : mark_ending(w, 0, err);
}

/* One event, seen from the node `near` of this level. */
static enum status take_event(struct walker *w, const struct q_typed_links_from_row *row,
                              int64_t near, int64_t far, struct err *err)
{
    size_t from = place_of(w, near) - 1, to = place_of(w, far);
    bool artifact = row->kind == NODE_ARTIFACT;
    struct found_event *x;
    enum status st = OK;

    if (artifact == w->nodes[from].artifact || row->kind > NODE_EXECUTION) {
        return OK;
    }
    if (!to) {
        st = add_node(w, far, row->id, artifact, err);
        to = w->nodes_n;
    } else if (to - 1 < w->level && !w->nodes[to - 1].ending && w->io->up == w->io->down) {
        return OK; /* it was walked along from there */
    }
    if (st || w->io->no_events) {
        return st;
    }
    if (w->events_n == w->io->max) {
        return too_big(w, err);
    }
    if (!arena_grow(w->s->v->arena, (void **)&w->events, w->events_n, &w->events_cap,
                    sizeof(*w->events))) {
        return err_nomem(err);
    }
    x = &w->events[w->events_n++];
    *x = (struct found_event){
        .near = from,
        .far = to - 1,
        .event = { .has_artifact = true,
                   .has_execution = true,
                   .has_ms = true,
                   .artifact = artifact ? row->id : w->nodes[from].id,
                   .execution = artifact ? w->nodes[from].id : row->id,
                   .ms = row->ms,
                   .type = (int32_t)row->role },
    };
    return typed_steps_of(w->s->v, row->path, &x->event, err);
}

static enum status along(struct walker *w, const int64_t *uids, size_t n, bool down,
                         struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_typed_links_from_row a;
    struct q_typed_links_into_row b;
    struct sql_conn *conn = w->s->v->conn;
    int64_t below = w->s->others ? TYPE_OF_OTHERS_END : 0;
    enum status st = down ? q_typed_links_from_open(conn, &stmt, uids, n, w->s->ns, below, err)
                          : q_typed_links_into_open(conn, &stmt, uids, n, w->s->ns, below, err);

    while (!st) {
        st = down ? q_typed_links_from_next(stmt, &a, err) : q_typed_links_into_next(stmt, &b, err);
        if (!st && !down) {
            a = (struct q_typed_links_from_row){ b.src, b.dst, b.role, b.path, b.ms, b.id, b.kind };
        }
        st = st ? st : take_event(w, &a, down ? a.src : a.dst, down ? a.dst : a.src, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status walk(struct walker *w, struct err *err)
{
    bool both = w->io->up == w->io->down;
    int64_t uids[PORTION];
    enum status st = begin(w, err);
    size_t end;

    for (unsigned hop = 0; !st && hop < w->io->hops && w->level < w->nodes_n; hop++) {
        end = w->nodes_n;
        for (size_t at = w->level, n; !st && (n = portion(w, &at, end, false, uids));) {
            st = both || w->io->up ? along(w, uids, n, false, err) : OK;
            st = !st && (both || w->io->down) ? along(w, uids, n, true, err) : st;
        }
        w->level = end;
        st = st ? st : mark_ending(w, end, err);
    }
    return st;
}

/* ---- contexts -------------------------------------------------------------------------------------------------------------- */

static enum status add_pair(struct walker *w, struct typed_pair **to, size_t *n, size_t *cap,
                            int64_t node, int64_t ctx, struct err *err)
{
    if (w->io->attributions_n + w->io->associations_n == w->io->max) {
        return too_big(w, err);
    }
    if (!arena_grow(w->s->v->arena, (void **)to, *n, cap, sizeof(**to))) {
        return err_nomem(err);
    }
    (*to)[(*n)++] = (struct typed_pair){ .has_a = true, .has_b = true, .a = node, .b = ctx };
    return OK;
}

static enum status members(struct walker *w, struct err *err)
{
    struct typed_subgraph *io = w->io;
    struct int_map seen = INT_MAP_INIT(TYPED_SUBGRAPH_MAX);
    size_t contexts = 0, attributions = 0, associations = 0;
    int64_t uids[PORTION];
    enum status st = OK;

    for (size_t at = 0, n; !st && (n = portion(w, &at, w->nodes_n, true, uids));) {
        struct sql_stmt *stmt = NULL;
        struct q_typed_contexts_of_many_row row;

        st = q_typed_contexts_of_many_open(w->s->v->conn, &stmt, uids, n,
                                           w->s->others ? TYPE_OF_OTHERS_END : 0, err);
        while (!st && (st = q_typed_contexts_of_many_next(stmt, &row, err)) == OK) {
            const struct found *f = &w->nodes[place_of(w, row.node) - 1];

            st = f->artifact ? add_pair(w, &io->attributions, &io->attributions_n, &attributions,
                                        f->id, row.id, err)
                             : add_pair(w, &io->associations, &io->associations_n, &associations,
                                        f->id, row.id, err);
            if (st || int_map_get(&seen, (uint64_t)row.ctx)) {
                continue;
            }
            if (!arena_grow(w->s->v->arena, (void **)&io->contexts, io->contexts_n, &contexts,
                            sizeof(*io->contexts)) ||
                int_map_put(&seen, (uint64_t)row.ctx, &seen) != OK) {
                st = err_nomem(err);
                continue;
            }
            io->contexts[io->contexts_n++] = row.id;
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    int_map_release(&seen);
    return st;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------ */

static enum status answer(struct walker *w, struct err *err)
{
    struct typed_subgraph *io = w->io;
    struct arena *a = w->s->v->arena;

    io->artifacts = ARENA_ARRAY(a, int64_t, w->nodes_n);
    io->executions = ARENA_ARRAY(a, int64_t, w->nodes_n);
    io->events = ARENA_ARRAY(a, struct typed_event, w->events_n + 1);
    if (!io->artifacts || !io->executions || !io->events) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < w->nodes_n; i++) {
        const struct found *f = &w->nodes[i];

        if (is_left_out(w, i)) {
            continue;
        }
        if (f->artifact) {
            io->artifacts[io->artifacts_n++] = f->id;
        } else {
            io->executions[io->executions_n++] = f->id;
        }
    }
    for (size_t i = 0; i < w->events_n; i++) {
        if (!is_left_out(w, w->events[i].near) && !is_left_out(w, w->events[i].far)) {
            io->events[io->events_n++] = w->events[i].event;
        }
    }
    return io->no_members ? OK : members(w, err);
}

enum status typed_subgraph(struct typed_space *s, struct typed_subgraph *io, struct err *err)
{
    struct walker w = { .s = s, .io = io, .places = INT_MAP_INIT(TYPED_SUBGRAPH_MAX) };
    enum status st;

    io->max = io->max ? io->max : TYPED_SUBGRAPH_MAX;
    st = walk(&w, err);
    st = st ? st : answer(&w, err);
    int_map_release(&w.places);
    return st;
}
