/* core/graph/same.c - see same.h. */
#include "core/graph/same.h"
#include "core/graph/graph_int.h"
#include "core/graph/place.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

enum { OP_SAID = 1, OP_TAKEN_BACK = 2 };

/* One pair, a < b, or what is at a place and the place. */
static enum status say(struct group *g, struct same_change *c, int64_t a, int64_t b, int64_t rule,
                       struct err *err)
{
    struct sql_conn *conn = group_conn(g);
    int64_t now = group_now_ms(g), claimed = c->has_claimed ? c->claimed_ms : now;
    struct q_same_get_row row = { 0 };
    enum status st = q_same_get(conn, c->op.arena, a, b, &row, err);
    bool stands = !st && row.state == SAME_STANDS;

    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    if (stands != c->undo && !(c->undo && c->pin && st == OK)) {
        return OK;
    }
    if (stands == c->undo) {
        st = q_same_log_append(conn, c->undo ? OP_TAKEN_BACK : OP_SAID, a, b, rule, c->reason,
                               c->who, c->undo && c->pin, claimed, now, err);
        c->changed++;
    }
    if (st) {
        return st;
    }
    if (c->undo && !c->pin) {
        return q_same_delete(conn, a, b, err);
    }
    return q_same_put(conn, a, b, c->undo ? SAME_PINNED : SAME_STANDS, rule, c->reason, c->who, now,
                      err);
}

/* What is at one place is not two things by saying so: one of them must be taken from the place. */
static enum status check_meeting(struct group *g, struct same_change *c, int64_t x, int64_t y,
                                 struct err *err)
{
    struct q_same_meeting_row row;
    enum status st = q_same_meeting(group_conn(g), c->op.arena, x, y, &row, err);

    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = err_set(err, ST_INVALID_STATE, "'%.*s' and '%.*s' meet at place:%.*s%s%.*s", STR_ARG(c->a),
                 STR_ARG(c->b), STR_ARG(row.uri), row.digest.p ? "@" : "", STR_ARG(row.digest));
    err_hint(err, "take one of them from it: cairn same undo %.*s place:... --pin", STR_ARG(c->a));
    return st;
}

static enum status say_pair(struct group *g, struct same_change *c, int64_t x, int64_t y,
                            struct err *err)
{
    struct q_same_node_row a = { 0 }, b = { 0 };
    size_t before;
    enum status st = x == y ? OK : q_same_node(group_conn(g), c->op.arena, x, &a, err);

    st = x == y || st ? st : q_same_node(group_conn(g), c->op.arena, y, &b, err);
    if (st || x == y) {
        return st;
    }
    if (a.type_id == TYPE_DATA_PLACE && (b.type_id != TYPE_DATA_PLACE || !a.digest.p)) {
        struct q_same_node_row other = a;
        int64_t uid = x;

        a = b;
        b = other;
        x = y;
        y = uid;
    }
    if (b.type_id == TYPE_DATA_PLACE &&
        (a.type_id != TYPE_DATA_PLACE || (a.digest.p && !b.digest.p))) {
        return say(g, c, x, y, place_rule(a.type_id, b.digest.p != NULL), err);
    }
    before = c->changed;
    st = say(g, c, MIN_OF(x, y), MAX_OF(x, y), SAME_SAID, err);
    return st || !c->undo || c->changed > before ? st : check_meeting(g, c, x, y, err);
}

static enum status check_names(const struct same_change *c, const int64_t *a, size_t a_n,
                               const int64_t *b, size_t b_n, struct err *err)
{
    if (c->reason.n > SAME_REASON_MAX) {
        return err_field(err, ST_INVALID, "reason", "the reason has %zu bytes, at most %d are kept",
                         c->reason.n, SAME_REASON_MAX);
    }
    if (a_n * b_n > SAME_PAIRS_MAX) {
        return err_field(err, ST_INVALID, "a",
                         "the names stand for %zu and %zu nodes, more than %d pairs: write "
                         "dataset:NAME@DIGEST",
                         a_n, b_n, SAME_PAIRS_MAX);
    }
    for (size_t i = 0; i < a_n; i++) {
        for (size_t k = 0; k < b_n; k++) {
            if (a[i] == b[k]) {
                return err_field(err, ST_INVALID, "b",
                                 "'%.*s' and '%.*s' name one and the same node", STR_ARG(c->a),
                                 STR_ARG(c->b));
            }
        }
    }
    return OK;
}

static enum status same_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct same_change *c = WRITE_OP_OF(op, struct same_change);
    struct view v = { c->core, group_conn(g), op->arena, false };
    int64_t *a = NULL, *b = NULL;
    size_t a_n = 0, b_n = 0;
    enum status st = graph_find_same(&v, c->a, "a", &a, &a_n, err);

    c->changed = 0;
    st = st ? st : graph_find_same(&v, c->b, "b", &b, &b_n, err);
    st = st ? st : check_names(c, a, a_n, b, b_n, err);
    for (size_t i = 0; !st && i < a_n; i++) {
        /* taking back looks at every pair; saying ties all to the first of the other name */
        for (size_t k = 0; !st && k < (c->undo || i == 0 ? b_n : 1); k++) {
            st = say_pair(g, c, a[i], b[k], err);
        }
    }
    if (!st && c->undo && !c->changed && !c->pin) {
        st = err_set(err, ST_NOT_FOUND, "nobody said that '%.*s' and '%.*s' are the same",
                     STR_ARG(c->a), STR_ARG(c->b));
        err_hint(err, "cairn same ls shows what was said");
    }
    return st;
}

void same_change_init(struct same_change *c, struct core *core, struct arena *a)
{
    static const struct write_kind kind = { .name = "graph.same",
                                            .validate = same_validate,
                                            .sql = true };

    *c = (struct same_change){ .core = core };
    write_op_init(&c->op, &kind, a);
}

/* ---- reading --------------------------------------------------------------------------------------------------------------- */

struct kept {
    struct same_pair *pairs;
    struct graph_node *nodes;
    int64_t rules[2]; /* 0 = any */
    size_t n, max;
    bool more;
};

static enum status read_pairs(struct view *v, int64_t after_a, int64_t after_b, struct kept *k,
                              struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_same_list_row row;
    enum status st = q_same_list_open(v->conn, &stmt, after_a, after_b, (int64_t)k->max + 1,
                                      k->rules[0], k->rules[1], err);

    while (!st && (st = q_same_list_next(stmt, &row, err)) == OK) {
        struct same_pair *p = &k->pairs[k->n];

        if (k->n == k->max) {
            k->more = true;
            break;
        }
        *p = (struct same_pair){ .a = &k->nodes[2 * k->n],
                                 .b = &k->nodes[2 * k->n + 1],
                                 .state = (enum same_state)row.state,
                                 .rule = same_rule_name(row.rule),
                                 .reason = row.reason,
                                 .who = row.who,
                                 .ms = row.ms };
        p->a->uid = row.a;
        p->b->uid = row.b;
        if (!view_keep(v, &p->reason) || !view_keep(v, &p->who)) {
            st = err_nomem(err);
            break;
        }
        k->n++;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status rules_of(struct str name, int64_t *rules, struct err *err)
{
    size_t n = 0;

    for (int64_t r = SAME_SAID; name.n && r <= SAME_RUN; r++) {
        if (str_eq(name, str_cstr(same_rule_name(r)))) {
            rules[n++] = r;
        }
    }
    rules[1] = n == 1 ? rules[0] : rules[1];
    if (name.n && !n) {
        return err_field(err, ST_INVALID, "rule",
                         "'%.*s' is no rule: it is one of said, uri, digest, symlink, run",
                         STR_ARG(name));
    }
    return OK;
}

enum status same_list(struct view *v, struct str rule, int64_t after_a, int64_t after_b, size_t max,
                      struct same_pair **out, size_t *n, bool *more, struct err *err)
{
    struct kept k = { .pairs = ARENA_ARRAY(v->arena, struct same_pair, max + 1),
                      .nodes = arena_zalloc(v->arena, 2 * max + 2, sizeof(struct graph_node)),
                      .max = max };
    struct graph *g;
    enum status st = k.pairs && k.nodes ? OK : err_nomem(err);

    st = st ? st : rules_of(rule, k.rules, err);
    st = st ? st : read_pairs(v, after_a, after_b, &k, err);
    st = st ? st : graph_hold(v, &g, err);
    if (st) {
        return st;
    }
    for (size_t i = 0; i < 2 * k.n; i++) {
        k.nodes[i].type = graph_type(g, (uint32_t)k.nodes[i].uid);
    }
    rwlock_give(&g->lock);
    /* one at a time: a node may be in several pairs */
    for (size_t i = 0; !st && i < 2 * k.n; i++) {
        st = graph_describe(v, &k.nodes[i], 1, false, err);
    }
    *out = k.pairs;
    *n = k.n;
    *more = k.more;
    return st;
}
