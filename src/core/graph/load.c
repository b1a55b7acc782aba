/* core/graph/load.c - the graph in memory, filled from the logs. */
#include "base/mem.h"
#include "core/graph/graph_int.h"
#include "core/graph/place.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <unistd.h>

enum {
    CHUNK = 1 << 17, /* facts between two packings */
    MEMORY_SHARE = 4,
    SAVE_LINKS = 1 << 15,
    FACT_BYTES = 128 /* of memory for one that is being added */
};
static const size_t memory_unknown = (size_t)1 << 30;

static size_t memory_share(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (size_t)pages / MEMORY_SHARE * (size_t)size : memory_unknown;
}

enum status graph_new(struct graph **out, struct core *core, const struct graph_options *opt,
                      struct err *err)
{
    struct graph *g = mem_zalloc(1, sizeof(*g));
    size_t n = opt->file ? strlen(opt->file) + 1 : 0;

    if (!g || !(g->links = links_new()) || (n && !(g->file = mem_alloc(n)))) {
        links_free(g ? g->links : NULL);
        mem_free(g);
        return err_nomem(err);
    }
    g->core = core;
    g->o = *opt;
    g->o.file = n ? memcpy(g->file, opt->file, n) : NULL;
    g->o.max_bytes = g->o.max_bytes ? g->o.max_bytes : memory_share();
    g->o.save_links = g->o.save_links ? g->o.save_links : (size_t)SAVE_LINKS;
    lock_init(&g->load, LOCK_RANK_FOLD);
    rwlock_init(&g->lock, LOCK_RANK_CACHE);
    *out = g;
    return OK;
}

void graph_free(struct graph *g)
{
    if (!g) {
        return;
    }
    links_free(g->links);
    mem_free(g->types);
    mem_free(g->file);
    lock_release(&g->load);
    rwlock_release(&g->lock);
    mem_free(g);
}

size_t graph_bytes(struct graph *g)
{
    size_t n;

    rwlock_read(&g->lock);
    n = links_bytes(g->links) + g->types_n * sizeof(*g->types);
    rwlock_give(&g->lock);
    return n;
}

enum node_type graph_type(const struct graph *g, uint32_t uid)
{
    unsigned type = uid < g->types_n ? g->types[uid] : 0;

    return type ? (enum node_type)type : TYPE_MLFLOW_RUN;
}

/* ---- what is new ------------------------------------------------------------------------------------------------------- */

struct news {
    struct graph *g;
    struct link_fact *facts;
    size_t n, cap;
    size_t all; /* facts that were added */
    struct {
        int64_t uid, type;
    } * types;
    size_t types_n, types_cap;
    int64_t edges, members, parents, nodes, gone, same, columns;
};

static void *grown(void *items, size_t n, size_t *cap, size_t size)
{
    size_t want = *cap ? *cap * 2 : 64;
    void *p;

    if (n < *cap) {
        return items;
    }
    p = mem_realloc(items, want * size);
    if (p) {
        *cap = want;
    }
    return p;
}

static enum status keep_types(struct graph *g, const struct news *w, struct err *err)
{
    size_t top = g->types_n;
    uint16_t *types;

    for (size_t i = 0; i < w->types_n; i++) {
        if (w->types[i].uid >= 0 && w->types[i].uid <= LINKS_UID_MAX) {
            top = MAX_OF(top, (size_t)w->types[i].uid + 1);
        }
    }
    if (top > g->types_n) {
        top += top / 4;
        types = mem_realloc(g->types, top * sizeof(*types));
        if (!types) {
            return err_nomem(err);
        }
        memset(types + g->types_n, 0, (top - g->types_n) * sizeof(*types));
        g->types = types;
        g->types_n = top;
    }
    for (size_t i = 0; i < w->types_n; i++) {
        if (w->types[i].uid >= 0 && w->types[i].uid <= LINKS_UID_MAX) {
            g->types[w->types[i].uid] = (uint16_t)MIN_OF(w->types[i].type, UINT16_MAX);
        }
    }
    return OK;
}

/* Room for what comes and for packing it. */
static enum status check_room(const struct graph *g, size_t n, struct err *err)
{
    size_t now = links_bytes(g->links), types = g->types_n * sizeof(*g->types);

    if (2 * now + types + n * FACT_BYTES > g->o.max_bytes) {
        err_set(err, ST_UNAVAILABLE,
                "the links of the graph (%zu) need more memory than it may use (%zu bytes)",
                links_n(g->links) + n, g->o.max_bytes);
        err_hint(err, "start the server with a larger --store-graph-bytes");
        return ST_UNAVAILABLE;
    }
    return OK;
}

/* What was read goes into the graph, and the marks with it. */
static enum status flush(struct news *w, struct err *err)
{
    struct graph *g = w->g;
    enum status st = OK;

    if (w->n) {
        st = check_room(g, w->n, err);
    }
    if (!st && (w->n || w->types_n)) {
        rwlock_write(&g->lock);
        st = keep_types(g, w, err);
        st = st ? st : links_add(g->links, w->facts, w->n, err);
        rwlock_give(&g->lock);
    }
    if (!st) {
        g->unsaved += w->n + w->types_n;
        w->all += w->n;
        g->edges = w->edges;
        g->members = w->members;
        g->parents = w->parents;
        g->nodes = w->nodes;
        g->gone = w->gone;
        g->same = w->same;
        g->columns = w->columns;
        w->n = w->types_n = 0;
    }
    return st;
}

static enum status put_fact(struct news *w, const struct link_fact *f, struct err *err)
{
    struct link_fact *facts = grown(w->facts, w->n, &w->cap, sizeof(*facts));

    if (!facts) {
        return err_nomem(err);
    }
    w->facts = facts;
    facts[w->n++] = *f;
    return w->n < CHUNK ? OK : flush(w, err);
}

/* Data that a run was only measured on: what it made does not come from it. */
static bool is_evaluation(struct str context)
{
    static const char *const words[] = { "eval",    "evaluation", "test",
                                         "testing", "validation", "val" };

    for (size_t i = 0; context.p && i < ARRAY_N(words); i++) {
        if (str_eq_nocase(context, str_cstr(words[i]))) {
            return true;
        }
    }
    return false;
}

static enum status read_edges(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_edges_row row;
    enum status st = q_lineage_edges_open(v->conn, &stmt, w->edges, err);

    while (!st && (st = q_lineage_edges_next(stmt, &row, err)) == OK) {
        w->edges = row.seq;
        st = put_fact(w,
                      &(struct link_fact){ .src = row.src,
                                           .dst = row.dst,
                                           .role = (uint8_t)row.role,
                                           .gone = row.op == 2,
                                           .aside = is_evaluation(row.context),
                                           .claimed_ms = row.claimed_ms,
                                           .seen_ms = row.seen_ms },
                      err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_members(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_members_row row;
    enum status st = q_lineage_members_open(v->conn, &stmt, w->members, err);

    while (!st && (st = q_lineage_members_next(stmt, &row, err)) == OK) {
        struct link_fact f = { .src = row.node,
                               .dst = row.ctx,
                               .role = LINK_VERSION,
                               .gone = row.op == 2,
                               .claimed_ms = row.claimed_ms,
                               .seen_ms = row.seen_ms };

        if (row.role == MEMBER_OF_DATASET) { /* both ways, as what is at a place */
            f.role = LINK_TO_PLACE + PLACE_OPENLINEAGE;
            st = put_fact(w, &f, err);
            f.src = row.ctx;
            f.dst = row.node;
            f.role = LINK_FROM_PLACE + PLACE_OPENLINEAGE;
        }
        w->members = row.seq;
        st = st ? st : put_fact(w, &f, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_parents(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_parents_row row;
    enum status st = q_lineage_parents_open(v->conn, &stmt, w->parents, err);

    while (!st && (st = q_lineage_parents_next(stmt, &row, err)) == OK) {
        bool run = row.role == PARENT_RUN; /* data flows to what it started */

        w->parents = row.seq;
        st = put_fact(w,
                      &(struct link_fact){ .src = run ? row.parent : row.child,
                                           .dst = run ? row.child : row.parent,
                                           .role = run ? LINK_PARENT : LINK_REGISTERED,
                                           .gone = row.op == 2,
                                           .claimed_ms = row.claimed_ms,
                                           .seen_ms = row.seen_ms },
                      err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* The link of a pair that is the same, which is there both ways. Of places, the place is the second. */
static void same_roles(int64_t rule, uint8_t *there, uint8_t *back)
{
    unsigned kind = rule == SAME_DIGEST    ? PLACE_MLFLOW
                    : rule == SAME_VERSION ? PLACE_VERSION
                                           : PLACE_ANY;
    bool place = rule >= SAME_URI && rule <= SAME_AT_DIGEST;

    *there = (uint8_t)(place ? LINK_TO_PLACE + kind : (unsigned)LINK_SAME);
    *back = (uint8_t)(place ? LINK_FROM_PLACE + kind : (unsigned)LINK_SAME);
}

/* Both ways: whichever is found, the other is. */
static enum status read_same(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_same_row row;
    enum status st = q_lineage_same_open(v->conn, &stmt, w->same, err);

    while (!st && (st = q_lineage_same_next(stmt, &row, err)) == OK) {
        struct link_fact f = { .src = row.a,
                               .dst = row.b,
                               .gone = row.op == 2,
                               .claimed_ms = row.claimed_ms,
                               .seen_ms = row.seen_ms };

        uint8_t back;

        same_roles(row.rule, &f.role, &back);
        st = put_fact(w, &f, err);
        f.src = row.b;
        f.dst = row.a;
        f.role = back;
        w->same =
            row.seq; /* with the second: a portion may end between them, and a fact may come twice */
        st = st ? st : put_fact(w, &f, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status put_type(struct news *w, int64_t uid, int64_t type, struct err *err)
{
    void *p = grown(w->types, w->types_n, &w->types_cap, sizeof(*w->types));

    if (!p) {
        return err_nomem(err);
    }
    w->types = p;
    w->types[w->types_n].uid = uid;
    w->types[w->types_n++].type = type;
    return OK;
}

static enum status read_types(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_types_row row;
    enum status st = q_lineage_types_open(v->conn, &stmt, w->nodes, err);

    while (!st && (st = q_lineage_types_next(stmt, &row, err)) == OK) {
        w->nodes = row.uid;
        st = put_type(w, row.uid, row.type_id, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* What went before its type was read; what went later has its type already, and another order of uids does not matter then. */
static enum status read_gone(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_gone_types_row row;
    enum status st = q_lineage_gone_types_open(v->conn, &stmt, w->gone, err);

    while (!st && (st = q_lineage_gone_types_next(stmt, &row, err)) == OK) {
        st = put_type(w, row.uid, row.type_id, err);
    }
    sql_close(stmt);
    w->gone = w->nodes;
    return st == ST_END ? OK : st;
}

/* What was said of columns. A column is a node as soon as something is said of it: that it is one of its data set comes first. */
static enum status read_columns(struct view *v, struct news *w, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_columns_row row;
    enum status st = q_lineage_columns_open(v->conn, &stmt, w->columns, err);

    while (!st && (st = q_lineage_columns_next(stmt, &row, err)) == OK) {
        unsigned role = column_role(row.kind);

        w->columns = row.seq;
        if (role == LINK_COLUMN) {
            st = put_type(w, row.src, TYPE_DATA_COLUMN, err);
        }
        st = st ? st
                : put_fact(w,
                           &(struct link_fact){ .src = row.src,
                                                .dst = row.dst,
                                                .role = (uint8_t)role,
                                                .gone = row.op == 2,
                                                .claimed_ms = row.claimed_ms,
                                                .seen_ms = row.seen_ms },
                           err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status load(struct view *v, struct graph *g, struct err *err)
{
    struct news w = { .g = g,
                      .edges = g->edges,
                      .members = g->members,
                      .parents = g->parents,
                      .nodes = g->nodes,
                      .gone = g->gone,
                      .same = g->same,
                      .columns = g->columns };
    enum status st = read_edges(v, &w, err);

    st = st ? st : read_members(v, &w, err);
    st = st ? st : read_parents(v, &w, err);
    st = st ? st : read_same(v, &w, err);
    st = st ? st : read_columns(v, &w, err);
    st = st ? st : read_types(v, &w, err);
    st = st ? st : read_gone(v, &w, err);
    st = st ? st : flush(&w, err);
    if (w.all >= CHUNK / 2) { /* walks are quickest over packed links */
        rwlock_write(&g->lock);
        links_pack(g->links);
        rwlock_give(&g->lock);
    }
    mem_free(w.facts);
    mem_free(w.types);
    return st;
}

enum status graph_hold(struct view *v, struct graph **out, struct err *err)
{
    struct graph *g = v->core->graph;
    enum status st;

    lock_take(&g->load);
    if (!g->opened) {
        graph_base_open(v, g);
        g->opened = true;
    }
    st = load(v, g, err);
    graph_base_save_soon(g);
    lock_give(&g->load);
    if (!st) {
        rwlock_read(&g->lock);
        *out = g;
    }
    return st;
}
