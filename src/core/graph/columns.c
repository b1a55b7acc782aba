/* core/graph/columns.c - see columns.h. What a walk by column follows is here too. */
#include "core/graph/columns.h"
#include "core/graph/graph_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum { OP_SAID = 1, OP_TAKEN_BACK = 2 };
enum { NARROWED_MAX = 256 }; /* columns that one run used, to tell of which data sets they are */

const struct str column_kinds[COLUMN_KINDS_N] = {
    { "identity", 8 },     { "transformation", 14 }, { "aggregation", 11 }, { "join", 4 },
    { "group_by", 8 },     { "filter", 6 },          { "sort", 4 },         { "window", 6 },
    { "conditional", 11 }, { "other", 5 },
};

unsigned column_role(struct str kind)
{
    if (str_eq_lit(kind, "of")) {
        return LINK_COLUMN;
    }
    if (str_eq_lit(kind, "use")) {
        return LINK_USE;
    }
    if (str_eq_lit(kind, "made")) {
        return LINK_MADE;
    }
    for (unsigned i = 0; i < COLUMN_KINDS_N; i++) {
        if (str_eq(kind, column_kinds[i])) {
            return LINK_DERIVED + i;
        }
    }
    return LINK_DERIVED + COLUMN_KIND_OTHER;
}

/* ---- walks ------------------------------------------------------------------------------------------------------------------ */

#define BIT(role) ((uint64_t)1 << (role))
static const uint64_t of_columns =
    BIT(LINK_COLUMN) | BIT(LINK_USE) | BIT(LINK_MADE) | (BIT(COLUMN_KINDS_N) - 1) << LINK_DERIVED;

/* Whether the run said which columns of the data set it used. False also if it used more than are looked at: rather a run too many. */
static bool is_narrowed(const struct column_walk *c, uint32_t set, uint32_t run)
{
    struct walk w = { .direction = WALK_UP,
                      .roles = BIT(LINK_USE),
                      .has_as_of = c->q->has_as_of,
                      .as_of_ms = c->q->as_of_ms,
                      .time = c->q->claimed ? WALK_CLAIMED : WALK_RECORDED };
    struct link_end uses[NARROWED_MAX], of[4];
    size_t n;

    n = links_of(c->g->links, run, &w, uses, ARRAY_N(uses));
    w.direction = WALK_DOWN;
    w.roles = BIT(LINK_COLUMN);
    for (size_t i = 0; i < MIN_OF(n, ARRAY_N(uses)); i++) {
        size_t sets = links_of(c->g->links, uses[i].node, &w, of, ARRAY_N(of));

        for (size_t k = 0; k < MIN_OF(sets, ARRAY_N(of)); k++) {
            if (of[k].node == set) {
                return true;
            }
        }
    }
    return false;
}

static bool follow_down(void *ctx, uint32_t from, uint32_t to, uint8_t role)
{
    const struct column_walk *c = ctx;

    return role != LINK_INPUT || graph_type(c->g, from) != TYPE_MLFLOW_DATASET ||
           !is_narrowed(c, from, to);
}

/* What a run read besides is not what the column was made of. */
static bool follow_up(void *ctx, uint32_t from, uint32_t to, uint8_t role)
{
    const struct column_walk *c = ctx;

    (void)to;
    (void)role;
    return graph_type(c->g, from) != TYPE_MLFLOW_RUN;
}

void column_walk_set(struct walk *w, const struct graph_starts *starts, struct column_walk *c)
{
    bool columns = starts && starts->columns;

    w->roles = ~of_columns;
    if (columns && w->direction == WALK_DOWN) {
        w->roles = ~BIT(LINK_MADE);
        w->still |= BIT(LINK_COLUMN);
        w->follow = follow_down;
        w->ctx = c;
    } else if (columns) {
        w->roles = ~BIT(LINK_COLUMN);
        w->follow = follow_up;
        w->ctx = c;
    } else if (c && c->q->columns && w->direction == WALK_UP) {
        w->roles = ~BIT(LINK_COLUMN);
    }
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

/* One end of a fact. */
struct end {
    int64_t uid, ds;
    struct str field;
};

static enum status append(struct columns_change *c, struct group *g, int64_t op,
                          const struct end *a, const struct end *b, int64_t via, struct str kind,
                          struct err *err)
{
    int64_t now = group_now_ms(g);

    return q_column_edge_log_append(group_conn(g), op, a->ds, a->field, b->ds, b->field, via, kind,
                                    c->has_claimed ? c->claimed_ms : now, now, a->uid, b->uid, err);
}

static enum status check_field(struct str name, struct err *err)
{
    if (!name.n || name.n > COLUMN_NAME_MAX) {
        return err_field(err, ST_INVALID, "column",
                         "a column is called by 1 to %d bytes, this name has %zu", COLUMN_NAME_MAX,
                         name.n);
    }
    return OK;
}

/* The node of a column, made if it is not there and something is to be said. uid 0: nothing was ever said. */
static enum status field_node(struct columns_change *c, struct group *g, int64_t ds,
                              struct str name, struct end *out, struct err *err)
{
    struct q_field_find_row row = { 0 };
    struct sql_conn *conn = group_conn(g);
    enum status st = check_field(name, err);

    st = st ? st : q_field_find(conn, NULL, ds, name, &row, err);
    *out = (struct end){ row.uid, ds, name };
    if (st != ST_NOT_FOUND) {
        return st;
    }
    if (c->undo) {
        return OK;
    }
    out->uid = group_new_uid(g);
    st = q_field_insert(conn, ds, name, out->uid, group_now_ms(g), err);
    return st ? st : append(c, g, OP_SAID, out, &(struct end){ ds, ds, S("") }, 0, S("of"), err);
}

/* Says or takes back one fact; *changed: it was not so before. */
static enum status say(struct columns_change *c, struct group *g, const struct end *a,
                       const struct end *b, int64_t via, struct str kind, bool *changed,
                       struct err *err)
{
    struct sql_conn *conn = group_conn(g);
    struct q_column_edge_pair_row pair;
    int64_t n = 0;
    enum status st;

    *changed = false;
    if (!a->uid || !b->uid) {
        return OK;
    }
    st = c->undo ? q_column_edge_delete(conn, a->uid, b->uid, via, kind, &n, err)
                 : q_column_edge_add(conn, a->ds, a->field, b->ds, b->field, via, kind,
                                     group_now_ms(g), a->uid, b->uid, &n, err);
    if (st || !n) {
        return st;
    }
    *changed = true;
    c->changed++;
    /* it stands as long as one run, or nobody in particular, says so */
    st = q_column_edge_pair(conn, NULL, a->uid, b->uid, kind, &pair, err);
    if (st || pair.n != (c->undo ? 0 : 1)) {
        return st;
    }
    return append(c, g, c->undo ? OP_TAKEN_BACK : OP_SAID, a, b, via, kind, err);
}

static enum status check_count(size_t n, struct err *err)
{
    if (n > COLUMN_FACTS_MAX) {
        return err_field(err, ST_INVALID, "columns",
                         "this says more than %d things: say them in several requests, and write "
                         "dataset:NAME@DIGEST",
                         COLUMN_FACTS_MAX);
    }
    return OK;
}

static enum status say_use(struct columns_change *c, struct view *v, struct group *g, int64_t run,
                           const struct column_use *u, size_t *facts, struct err *err)
{
    const struct end to = { run, run, S("") };
    struct q_edge_stands_row row;
    int64_t *sets;
    size_t n, of_run = 0;
    enum status st = graph_find_data(v, u->dataset, "dataset", &sets, &n, err);

    for (size_t i = 0; !st && i < n; i++) {
        st = q_edge_stands(v->conn, NULL, sets[i], run, EDGE_INPUT, &row, err);
        if (st == ST_NOT_FOUND) {
            st = OK;
            continue;
        }
        of_run++;
        *facts += u->columns_n;
        st = st ? st : check_count(*facts, err);
        for (size_t k = 0; !st && k < u->columns_n; k++) {
            struct end from;
            bool changed;

            st = field_node(c, g, sets[i], u->columns[k], &from, err);
            st = st ? st : say(c, g, &from, &to, run, S("use"), &changed, err);
        }
    }
    if (!st && !of_run) {
        st = err_field(err, ST_INVALID, "dataset", "the run did not read '%.*s'",
                       STR_ARG(u->dataset));
        err_hint(err, "log the data set as an input of the run first");
    }
    return st;
}

/* The run that made a column leads to it as long as it is said to have made it of something. */
static enum status say_made(struct columns_change *c, struct group *g, int64_t run,
                            const struct end *to, struct err *err)
{
    struct q_column_edge_said_row row;
    const struct end from = { run, run, S("") };
    enum status st = run ? q_column_edge_said(group_conn(g), NULL, to->uid, run, &row, err) : OK;

    if (st || !run || row.n != (c->undo ? 0 : 1)) {
        return st;
    }
    return append(c, g, c->undo ? OP_TAKEN_BACK : OP_SAID, &from, to, run, S("made"), err);
}

static enum status say_pair(struct columns_change *c, struct group *g, int64_t run,
                            const struct column_derived *d, int64_t from_ds, int64_t to_ds,
                            struct err *err)
{
    struct str kind = column_kinds[column_role(d->kind) - LINK_DERIVED];
    struct q_column_leads_to_row row = { 0 };
    struct end from, to;
    bool changed;
    enum status st = field_node(c, g, from_ds, d->from_column, &from, err);

    st = st ? st : field_node(c, g, to_ds, d->to_column, &to, err);
    if (!st && !c->undo) {
        st = q_column_leads_to(group_conn(g), NULL, to.uid, from.uid, &row, err);
    }
    if (!st && row.n) {
        return err_field(err, ST_INVALID, "derived",
                         "column '%.*s' of '%.*s' cannot be made of '%.*s' of '%.*s', which is "
                         "made of it",
                         STR_ARG(d->to_column), STR_ARG(d->to), STR_ARG(d->from_column),
                         STR_ARG(d->from));
    }
    st = st ? st : say(c, g, &from, &to, run, kind, &changed, err);
    return st || !changed ? st : say_made(c, g, run, &to, err);
}

static enum status say_derived(struct columns_change *c, struct view *v, struct group *g,
                               int64_t run, const struct column_derived *d, size_t *facts,
                               struct err *err)
{
    int64_t *from, *to;
    size_t from_n, to_n;
    enum status st = graph_find_data(v, d->from, "from", &from, &from_n, err);

    st = st ? st : graph_find_data(v, d->to, "to", &to, &to_n, err);
    if (!st) {
        *facts += from_n * to_n;
        st = check_count(*facts, err);
    }
    for (size_t i = 0; !st && i < from_n; i++) {
        for (size_t k = 0; !st && k < to_n; k++) {
            st = say_pair(c, g, run, d, from[i], to[k], err);
        }
    }
    return st;
}

/* What can be said without a look at the store. */
static enum status check_said(const struct columns_change *c, struct err *err)
{
    for (size_t i = 0; i < c->derived_n; i++) {
        struct str kind = c->derived[i].kind;
        unsigned role = column_role(kind);

        if (kind.n && (role < LINK_DERIVED || !str_eq(kind, column_kinds[role - LINK_DERIVED]))) {
            return err_field(err, ST_INVALID, "kind",
                             "'%.*s' is no way to make a column: it is one of identity, "
                             "transformation, aggregation, join, group_by, filter, sort, window, "
                             "conditional, other",
                             STR_ARG(kind));
        }
    }
    for (size_t i = 0; i < c->uses_n; i++) {
        if (!c->uses[i].columns_n) {
            return err_field(err, ST_INVALID, "columns",
                             "name the columns of '%.*s' that the run used",
                             STR_ARG(c->uses[i].dataset));
        }
    }
    if (c->uses_n && !c->run_id.n) {
        return err_field(err, ST_INVALID, "run_id", "columns were used by no run: give its id");
    }
    return check_count(c->uses_n + c->derived_n, err);
}

static enum status columns_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct columns_change *c = WRITE_OP_OF(op, struct columns_change);
    struct view v = { c->core, group_conn(g), op->arena, false };
    int64_t run = 0, experiment;
    size_t facts = 0;
    enum status st = check_said(c, err);

    c->changed = 0;
    if (!st && c->run_id.n) {
        st = run_require_active(g, c->run_id, &run, &experiment, err);
    }
    for (size_t i = 0; !st && i < c->uses_n; i++) {
        st = say_use(c, &v, g, run, &c->uses[i], &facts, err);
    }
    for (size_t i = 0; !st && i < c->derived_n; i++) {
        st = say_derived(c, &v, g, run, &c->derived[i], &facts, err);
    }
    return st;
}

void columns_change_init(struct columns_change *c, struct core *core, struct arena *a)
{
    static const struct write_kind kind = { .name = "graph.columns",
                                            .validate = columns_validate,
                                            .sql = true };

    *c = (struct columns_change){ .core = core };
    write_op_init(&c->op, &kind, a);
}
