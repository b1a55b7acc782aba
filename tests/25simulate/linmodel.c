/* tests/25simulate/linmodel.c - see linmodel.h. */
#include "linmodel.h"
#include "tap.h"

#include "core/node.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <stdio.h>

enum { FACTS_MAX = 4096, SAME_N = 10 /* the first nodes, which are places of files */ };

static const unsigned roles[LIN_ROLES + 1] = { LINK_INPUT, LINK_OUTPUT, LINK_VERSION,
                                               LINK_REGISTERED, LINK_SAME };
static const enum node_type types[] = { TYPE_MODEL, TYPE_KF_MODEL_ARTIFACT, TYPE_KF_DOC_ARTIFACT,
                                        TYPE_KF_METRIC };

static struct str ident_of(struct arena *a, size_t node)
{
    return arena_printf(a, "mem:/%zu", node);
}

/* ---- operations -------------------------------------------------------------------------------------------------------------------- */

static enum status add_node(struct lin_op *op, struct group *g, struct err *err)
{
    struct str ident = ident_of(op->op.arena, op->a);
    struct node_new n = { .kind = NODE_ARTIFACT,
                          .type = (enum node_type)op->type,
                          .scheme = IDENT_MODEL_PLACE,
                          .ident = ident,
                          .name = ident,
                          .uri = ident };
    int64_t uid;
    enum status st = group_node_find(g, IDENT_MODEL_PLACE, ident, &uid, err);

    return st == ST_NOT_FOUND ? group_node_add(g, &n, &uid, err) : st;
}

static enum status link_validate(struct write_op *w, struct group *g, struct err *err)
{
    struct lin_op *op = WRITE_OP_OF(w, struct lin_op);
    struct arena *a = w->arena;
    int64_t from, to;
    bool added;
    enum status st;

    if (op->kind == LIN_NODE) return add_node(op, g, err);
    st = group_node_find(g, IDENT_MODEL_PLACE, ident_of(a, op->a), &from, err);
    st = st ? st : group_node_find(g, IDENT_MODEL_PLACE, ident_of(a, op->b), &to, err);
    if (st) return err_set(err, st, "a node is not there");
    switch (roles[op->role]) {
    case LINK_VERSION: return group_member_add(g, to, from, MEMBER_OF_VERSION, err);
    case LINK_REGISTERED: return group_parent_add(g, from, to, PARENT_REGISTERED_MODEL, err);
    default: return group_edge_add(g, from, to, (enum edge_role)roles[op->role], &added, err);
    }
}

struct lin_op *lin_draw(uint64_t (*rnd)(void *ctx), struct core *core, struct arena *a)
{
    static const struct write_kind kind = { .name = "simulated link",
                                            .validate = link_validate,
                                            .sql = true };
    struct lin_op *op = ARENA_NEW(a, struct lin_op);
    uint64_t what = rnd(NULL) % 8;

    T_OK(op != NULL);
    op->kind = what < 2 ? LIN_NODE : what < 6 ? LIN_LINK : LIN_SAME;
    op->a = rnd(NULL) % (op->kind == LIN_SAME ? SAME_N : LIN_NODES);
    op->b = rnd(NULL) % (op->kind == LIN_SAME ? SAME_N : LIN_NODES);
    if (op->a == op->b) op->b = (op->b + 1) % SAME_N;
    op->role = rnd(NULL) % LIN_ROLES;
    op->type = types[op->a < SAME_N ? 0 : rnd(NULL) % ARRAY_N(types)];
    write_op_init(&op->op, &kind, a);
    same_change_init(&op->same, core, a);
    op->same.a = arena_printf(a, "files:mem:/%zu", op->a);
    op->same.b = arena_printf(a, "files:mem:/%zu", op->b);
    op->same.undo = rnd(NULL) % 2;
    return op;
}

struct write_op *lin_op_write(struct lin_op *op)
{
    return op->kind == LIN_SAME ? &op->same.op : &op->op;
}

enum status lin_apply(struct lins *m, const struct lin_op *op)
{
    bool *same = &m->same[MIN_OF(op->a, op->b)][MAX_OF(op->a, op->b)];

    if (op->kind == LIN_NODE) {
        m->node[op->a] = true;
        return OK;
    }
    if (!m->node[op->a] || !m->node[op->b]) return ST_NOT_FOUND;
    if (op->kind == LIN_LINK) {
        m->link[op->a][op->b] |= (uint8_t)(1U << op->role);
        return OK;
    }
    if (op->same.undo && !*same) return ST_NOT_FOUND;
    *same = !op->same.undo;
    return OK;
}

/* ---- the logs ------------------------------------------------------------------------------------------------------------------------ */

struct fact {
    int64_t from, to, seen_ms;
    unsigned role; /* its place in roles */
    bool gone;
};

/* All that a question may be answered from, read anew. */
struct logs {
    int64_t uid[LIN_NODES]; /* -1: not there */
    int64_t type[LIN_NODES];
    struct fact *facts;
    size_t n;
};

static size_t role_at(int64_t role)
{
    size_t i = 0;

    while (i < ARRAY_N(roles) && roles[i] != role)
        i++;
    T_OK(i < ARRAY_N(roles));
    return i;
}

static void put(struct logs *l, int64_t from, int64_t to, int64_t role, int64_t op, int64_t seen_ms)
{
    T_OK(l->n < FACTS_MAX);
    l->facts[l->n++] = (struct fact){ from, to, seen_ms, (unsigned)role_at(role), op == 2 };
}

static enum status read_links(struct view *v, struct logs *l, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_edges_row e;
    struct q_lineage_members_row m;
    struct q_lineage_parents_row p;
    enum status st = q_lineage_edges_open(v->conn, &stmt, 0, err);

    while (!st && (st = q_lineage_edges_next(stmt, &e, err)) == OK)
        put(l, e.src, e.dst, e.role, e.op, e.seen_ms);
    sql_close(stmt);
    stmt = NULL;
    st = st == ST_END ? q_lineage_members_open(v->conn, &stmt, 0, err) : st;
    while (!st && (st = q_lineage_members_next(stmt, &m, err)) == OK)
        put(l, m.node, m.ctx, LINK_VERSION, m.op, m.seen_ms);
    sql_close(stmt);
    stmt = NULL;
    st = st == ST_END ? q_lineage_parents_open(v->conn, &stmt, 0, err) : st;
    while (!st && (st = q_lineage_parents_next(stmt, &p, err)) == OK)
        put(l, p.child, p.parent, LINK_REGISTERED, p.op, p.seen_ms);
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_same(struct view *v, struct logs *l, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_same_row s;
    enum status st = q_lineage_same_open(v->conn, &stmt, 0, err);

    while (!st && (st = q_lineage_same_next(stmt, &s, err)) == OK) {
        put(l, s.a, s.b, LINK_SAME, s.op, s.seen_ms);
        put(l, s.b, s.a, LINK_SAME, s.op, s.seen_ms);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_nodes(struct view *v, struct logs *l, struct err *err)
{
    struct q_ident_find_row ident;
    struct sql_stmt *stmt = NULL;
    struct q_lineage_types_row t;
    enum status st = OK;

    for (size_t i = 0; i < LIN_NODES && !st; i++) {
        l->uid[i] = -1;
        st = q_ident_find(v->conn, NULL, 0, IDENT_MODEL_PLACE, ident_of(v->arena, i), &ident, err);
        if (!st) l->uid[i] = ident.uid;
        if (st == ST_NOT_FOUND) st = OK;
    }
    st = st ? st : q_lineage_types_open(v->conn, &stmt, 0, err);
    while (!st && (st = q_lineage_types_next(stmt, &t, err)) == OK) {
        for (size_t i = 0; i < LIN_NODES; i++) {
            if (l->uid[i] == t.uid) l->type[i] = t.type_id;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static size_t node_at(const struct logs *l, int64_t uid)
{
    size_t i = 0;

    while (i < LIN_NODES && l->uid[i] != uid)
        i++;
    T_OK(i < LIN_NODES);
    return i;
}

static struct logs *logs_read(struct view *v)
{
    struct logs *l = ARENA_NEW(v->arena, struct logs);
    struct err err = ERR_INIT;

    T_OK(l != NULL);
    *l = (struct logs){ .facts = ARENA_ARRAY(v->arena, struct fact, FACTS_MAX) };
    T_OK(l->facts != NULL);
    T_ST_ERR(read_nodes(v, l, &err), OK, &err);
    T_ST_ERR(read_links(v, l, &err), OK, &err);
    T_ST_ERR(read_same(v, l, &err), OK, &err);
    return l;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------- */

struct answer {
    int distance[LIN_NODES]; /* -1: not found */
    int64_t type[LIN_NODES];
    uint8_t link[LIN_NODES][LIN_NODES]; /* in the direction of data, among what was found */
};

/* What stands, or stood at a time: every fact in its order, which takes the time at which it was recorded. */
static void standing(const struct logs *l, const struct graph_query *q,
                     uint8_t link[LIN_NODES][LIN_NODES])
{
    static int64_t since[LIN_NODES][LIN_NODES][LIN_ROLES + 1];
    uint8_t now[LIN_NODES][LIN_NODES] = { 0 };

    memset(link, 0, sizeof(now));
    for (size_t i = 0; i < l->n; i++) {
        const struct fact *f = &l->facts[i];
        size_t a = node_at(l, f->from), b = node_at(l, f->to);
        uint8_t bit = (uint8_t)(1U << f->role);

        if (!f->gone && !(now[a][b] & bit)) {
            now[a][b] |= bit;
            since[a][b][f->role] = f->seen_ms;
        } else if (f->gone && (now[a][b] & bit)) {
            now[a][b] &= (uint8_t)~bit;
            if (q->has_as_of && since[a][b][f->role] <= q->as_of_ms && f->seen_ms > q->as_of_ms)
                link[a][b] |= bit;
        }
    }
    for (size_t a = 0; a < LIN_NODES; a++) {
        for (size_t b = 0; b < LIN_NODES; b++) {
            for (size_t r = 0; r <= LIN_ROLES; r++) {
                if ((now[a][b] >> r & 1) && (!q->has_as_of || since[a][b][r] <= q->as_of_ms))
                    link[a][b] |= (uint8_t)(1U << r);
            }
        }
    }
}

/* Every link again and again, until no node comes nearer. */
static void expected(const struct logs *l, const struct graph_query *q, size_t start,
                     struct answer *out)
{
    const unsigned same = 1U << LIN_ROLES;
    uint8_t link[LIN_NODES][LIN_NODES];
    bool nearer = true;

    standing(l, q, link);
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < LIN_NODES; i++)
        out->distance[i] = i == start ? 0 : -1;
    while (nearer) {
        nearer = false;
        for (size_t a = 0; a < LIN_NODES; a++) {
            for (size_t b = 0; b < LIN_NODES; b++) {
                unsigned bits = q->down ? link[a][b] : link[b][a];
                int far = out->distance[a] + !(bits & same);

                if (!bits || out->distance[a] < 0 || (q->depth && far > (int)q->depth)) continue;
                if (out->distance[b] >= 0 && out->distance[b] <= far) continue;
                out->distance[b] = far;
                nearer = true;
            }
        }
    }
    for (size_t a = 0; a < LIN_NODES; a++) {
        if (out->distance[a] < 0) continue;
        out->type[a] = l->type[a];
        for (size_t b = 0; b < LIN_NODES; b++) {
            if (out->distance[b] >= 0) out->link[a][b] = link[a][b];
        }
    }
}

static void given(const struct logs *l, const struct graph_query *q,
                  const struct graph_answer *from, struct answer *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < LIN_NODES; i++)
        out->distance[i] = -1;
    for (size_t i = 0; i < from->n; i++) {
        size_t at = node_at(l, from->nodes[i].uid);

        T_INT(out->distance[at], -1);
        out->distance[at] = (int)from->nodes[i].distance;
        out->type[at] = (int64_t)from->nodes[i].type;
    }
    for (size_t i = 0; i < from->links_n; i++) {
        const struct graph_link *k = &from->links[i];
        size_t a = node_at(l, from->nodes[k->from].uid), b = node_at(l, from->nodes[k->to].uid);
        uint8_t bit = (uint8_t)(1U << role_at(k->role));

        /* when the clock went back, what was said twice may have stood twice at a time */
        if (!q->has_as_of) T_INT(out->link[a][b] & bit, 0);
        out->link[a][b] |= bit;
        if (k->role == LINK_SAME) out->link[b][a] |= bit;
    }
}

static void ask_one(struct view *v, const struct logs *l, const struct graph_query *q, size_t start,
                    bool impact, uint64_t seed)
{
    static struct answer want, got;
    struct graph_impact i = { .q = *q };
    struct graph_answer a = { 0 };
    struct err err = ERR_INIT;

    T_ST_ERR(impact ? graph_impact(v, &i, &a, &err) : graph_ask(v, q, &a, &err), OK, &err);
    expected(l, q, start, &want);
    given(l, q, &a, &got);
    if (impact) memset(want.link, 0, sizeof(want.link)); /* it gives none */
    if (a.partial || memcmp(&want, &got, sizeof(want)) != 0) {
        for (size_t k = 0; k < LIN_NODES; k++) {
            if (want.distance[k] != got.distance[k] || want.type[k] != got.type[k])
                t_note("node %zu: at %d, not %d; of type %d, not %d", k, got.distance[k],
                       want.distance[k], (int)got.type[k], (int)want.type[k]);
        }
        T_FAIL("seed %llu: what lies %s node %zu is not what the logs say",
               (unsigned long long)seed, q->down ? "behind" : "before", start);
    }
}

void lins_ask(uint64_t (*rnd)(void *ctx), struct core *core, size_t n, uint64_t seed)
{
    struct arena *a = arena_new(16 << 20);
    struct view v;
    struct logs *l;

    T_OK(a != NULL);
    core_view(core, a, &v);
    l = logs_read(&v);
    for (size_t i = 0; i < n; i++) {
        size_t start = rnd(NULL) % LIN_NODES;
        struct graph_query q = { .down = rnd(NULL) % 2, .max = 1000 };

        if (rnd(NULL) % 3 == 0) q.depth = 1 + (unsigned)(rnd(NULL) % 4);
        q.has_as_of = l->n > 0 && rnd(NULL) % 2;
        if (q.has_as_of)
            q.as_of_ms = l->facts[rnd(NULL) % l->n].seen_ms + (int64_t)(rnd(NULL) % 3) - 1;
        if (l->uid[start] < 0) continue;
        q.node = arena_printf(a, "node:%lld", (long long)l->uid[start]);
        ask_one(&v, l, &q, start, q.down && rnd(NULL) % 2, seed);
    }
    arena_free(a);
}

bool lins_agree(const struct lins *m, struct core *core)
{
    struct arena *a = arena_new(16 << 20);
    struct graph_query now = { .down = true };
    uint8_t link[LIN_NODES][LIN_NODES];
    struct view v;
    struct logs *l;
    bool same = true;

    T_OK(a != NULL);
    core_view(core, a, &v);
    l = logs_read(&v);
    standing(l, &now, link);
    for (size_t i = 0; i < LIN_NODES; i++) {
        same = same && m->node[i] == (l->uid[i] >= 0);
        for (size_t k = 0; k < LIN_NODES; k++) {
            unsigned want = m->link[i][k] | (unsigned)m->same[MIN_OF(i, k)][MAX_OF(i, k)]
                                                << LIN_ROLES;

            same = same && link[i][k] == want;
        }
    }
    arena_free(a);
    return same;
}
