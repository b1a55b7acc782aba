/* core/check.c - see check.h. */
#include "core/check.h"

#include "base/map.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/headbody.h"
#include "store/series/batch.h"
#include "store/series/pack.h"
#include "store/sql/sql.h"

#include <math.h>

enum {
    PAGE = 64,
    SCRATCH_MAX = 512 << 20,
    KEYS_KNOWN_MAX = 1 << 24,
    CELLS_MAX = 1 << 20,
    PART = 0
};

static const char *const rule_names[CHECK_RULES_N] = {
    [CHECK_ENGINE] = "engine",
    [CHECK_PART] = "part",
    [CHECK_BATCH] = "batch",
    [CHECK_PACK] = "pack",
    [CHECK_HEAD] = "head",
    [CHECK_HEAD_PACKS] = "head-packs",
    [CHECK_HEAD_FOLDED] = "head-folded",
    [CHECK_PACK_OWNER] = "pack-owner",
    [CHECK_PACK_DRAIN] = "pack-drain",
    [CHECK_RUN_NODE] = "run-node",
    [CHECK_RUN_IDENT] = "run-ident",
    [CHECK_RUN_EXPERIMENT] = "run-experiment",
    [CHECK_EXPERIMENT_NODE] = "experiment-node",
    [CHECK_IDENT] = "ident",
    [CHECK_EDGE] = "edge",
    [CHECK_EDGE_LOG] = "edge-log",
    [CHECK_MODEL] = "model",
    [CHECK_COUNTER] = "counter",
    [CHECK_ARTIFACT] = "artifact",
    [CHECK_OBJECT] = "object",
};

const char *check_rule_name(enum check_rule rule)
{
    return rule_names[rule];
}

struct check {
    struct sql_conn *conn;
    check_report report;
    void *ctx;
    size_t found;
    struct arena *scratch; /* reset per row */
    struct int_map keys;   /* ids known to have a name */
    int64_t drain, mark;
};

static void finding(struct check *c, enum check_rule rule, struct str what)
{
    c->found++;
    c->report(c->ctx, rule, what);
}

/* A finding when st is damage; then OK. Other statuses are passed on. */
static enum status damage(struct check *c, enum check_rule rule, enum status st, struct err *err)
{
    if (st != ST_CORRUPT) return st;
    finding(c, rule, str_cstr(err->message));
    *err = (struct err)ERR_INIT;
    return OK;
}

/* ---- rules that are one query -------------------------------------------------------------------------------------------------- */

/* All check_ queries without parameters have the same one column, so they share a row type in shape. */
#define SQL_RULE(query)                                                                            \
    static enum status rule_##query(struct check *c, enum check_rule rule, struct err *err)        \
    {                                                                                              \
        struct q_##query##_row row;                                                                \
        struct sql_stmt *q = NULL;                                                                 \
        enum status st = q_##query##_open(c->conn, &q, err);                                       \
                                                                                                   \
        while (!st && (st = q_##query##_next(q, &row, err)) == OK) {                               \
            finding(c, rule, row.what);                                                            \
        }                                                                                          \
        sql_close(q);                                                                              \
        return st == ST_END ? OK : st;                                                             \
    }

SQL_RULE(check_run_node)
SQL_RULE(check_node_run)
SQL_RULE(check_run_ident)
SQL_RULE(check_run_experiment)
SQL_RULE(check_experiment_node)
SQL_RULE(check_ident_node)
SQL_RULE(check_node_ident)
SQL_RULE(check_edge_node)
SQL_RULE(check_edge_log)
SQL_RULE(check_edge_tag)
SQL_RULE(check_member_node)
SQL_RULE(check_model_node)
SQL_RULE(check_model_experiment)
SQL_RULE(check_series_model)
SQL_RULE(check_pack_owner)
SQL_RULE(check_pack_folded)
SQL_RULE(check_drain)
SQL_RULE(check_counter)
SQL_RULE(check_artifact_object)
SQL_RULE(check_artifact_root)
SQL_RULE(check_object_bytes)

static const struct {
    enum check_rule rule;
    enum status (*run)(struct check *c, enum check_rule rule, struct err *err);
} sql_rules[] = {
    { CHECK_RUN_NODE, rule_check_run_node },
    { CHECK_RUN_NODE, rule_check_node_run },
    { CHECK_RUN_IDENT, rule_check_run_ident },
    { CHECK_RUN_EXPERIMENT, rule_check_run_experiment },
    { CHECK_RUN_EXPERIMENT, rule_check_model_experiment },
    { CHECK_EXPERIMENT_NODE, rule_check_experiment_node },
    { CHECK_IDENT, rule_check_ident_node },
    { CHECK_IDENT, rule_check_node_ident },
    { CHECK_EDGE, rule_check_edge_node },
    { CHECK_EDGE, rule_check_edge_tag },
    { CHECK_EDGE, rule_check_member_node },
    { CHECK_EDGE_LOG, rule_check_edge_log },
    { CHECK_MODEL, rule_check_model_node },
    { CHECK_MODEL, rule_check_series_model },
    { CHECK_PACK_OWNER, rule_check_pack_owner },
    { CHECK_HEAD_FOLDED, rule_check_pack_folded },
    { CHECK_PACK_DRAIN, rule_check_drain },
    { CHECK_COUNTER, rule_check_counter },
    { CHECK_ARTIFACT, rule_check_artifact_object },
    { CHECK_ARTIFACT, rule_check_artifact_root },
    { CHECK_OBJECT, rule_check_object_bytes },
};

/* ---- keys ------------------------------------------------------------------------------------------------------------------------ */

static enum status need_key(struct check *c, enum check_rule rule, uint32_t id, const char *where,
                            int64_t n, struct err *err)
{
    struct q_mkey_by_id_row row;
    enum status st;

    if (int_map_get(&c->keys, id)) {
        return OK;
    }
    st = q_mkey_by_id(c->conn, c->scratch, id, &row, err);
    if (st == ST_NOT_FOUND) {
        finding(c, rule,
                arena_printf(c->scratch, "%s %lld: key %u has no name", where, (long long)n, id));
        return OK;
    }
    if (!st && int_map_put(&c->keys, id, c)) st = err_nomem(err);
    return st;
}

/* ---- the log ---------------------------------------------------------------------------------------------------------------------- */

static bool record_is_sound(const struct batch_reader *b, struct batch_record *rec)
{
    struct batch_point_at at = { 0 };
    struct batch_attrs attrs;
    uint64_t left = SIZE_MAX;
    struct point p;
    struct str value;
    uint32_t string;
    uint8_t lifecycle;
    int64_t ms;

    switch (rec->kind) {
    case BATCH_POINTS:
    case BATCH_OWNER_POINTS:
        while (batch_next_point(b, rec, &at, &string, &p)) {
        }
        return !rec->payload.bad;
    case BATCH_PARAMS:
    case BATCH_TAGS:
        while (batch_next_pair(b, rec, &left, &string, &value)) {
        }
        return !rec->payload.bad;
    case BATCH_TAG_DELETED: return batch_get_string(b, rec, &string);
    case BATCH_ATTRIBUTES: return batch_get_attrs(rec, &attrs);
    case BATCH_LIFECYCLE:
    case BATCH_EXPERIMENT_LIFECYCLE: return batch_get_lifecycle(rec, &lifecycle, &ms);
    case BATCH_RUN_CREATED:
    case BATCH_LINKS: return true;
    }
    return false;
}

static bool names_a_run(const struct batch_record *rec)
{
    return rec->kind != BATCH_OWNER_POINTS && rec->kind != BATCH_EXPERIMENT_LIFECYCLE &&
           rec->kind != BATCH_LINKS;
}

static enum status check_record(struct check *c, const struct batch_reader *b,
                                struct batch_record *rec, int64_t seq, struct err *err)
{
    struct q_run_by_uid_row row;
    enum status st = OK;

    if (!record_is_sound(b, rec)) {
        finding(c, CHECK_BATCH,
                arena_printf(c->scratch, "batch %lld: record %u is damaged", (long long)seq,
                             rec->ordinal));
    }
    if (names_a_run(rec)) {
        st = q_run_by_uid(c->conn, c->scratch, rec->owner, &row, err);
        if (st == ST_NOT_FOUND) {
            finding(c, CHECK_BATCH,
                    arena_printf(c->scratch, "batch %lld: run %lld has no row", (long long)seq,
                                 (long long)rec->owner));
            st = OK;
        }
    }
    return st;
}

static enum status check_batch(struct check *c, const struct q_batch_after_row *row,
                               struct err *err)
{
    struct batch_reader b;
    struct batch_record rec;
    enum status st =
        batch_open(&b, c->scratch, row->body, row->seq, row->epoch, row->part, row->n, err);

    for (size_t i = 0; i < b.strings_n && !st; i++) {
        if (b.strings[i].id) st = need_key(c, CHECK_BATCH, b.strings[i].id, "batch", row->seq, err);
    }
    while (!st && (st = batch_next(&b, &rec, err)) == OK) {
        st = check_record(c, &b, &rec, row->seq, err);
    }
    return st == ST_END ? OK : damage(c, CHECK_BATCH, st, err);
}

static enum status check_log(struct check *c, struct err *err)
{
    struct q_batch_after_row row = { .seq = c->mark };
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_batch_after_open(c->conn, &q, row.seq, PAGE, err);
        while (!st && (st = q_batch_after_next(q, &row, err)) == OK) {
            rows++;
            arena_reset(c->scratch);
            st = check_batch(c, &row, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

/* ---- packs ------------------------------------------------------------------------------------------------------------------------- */

static bool same_bits(double a, double b)
{
    return num_double_bits(a) == num_double_bits(b) || (isnan(a) && isnan(b));
}

static bool summary_is_right(const struct pack_key *k, const struct point *p, size_t n)
{
    double min = num_canonical_nan(), max = min;

    for (size_t i = 0; i < n; i++) {
        if (isnan(p[i].value)) continue;
        if (isnan(min) || p[i].value < min) min = p[i].value;
        if (isnan(max) || p[i].value > max) max = p[i].value;
    }
    return same_bits(k->first, p[0].value) && same_bits(k->last, p[n - 1].value) &&
           (k->min == min || (isnan(k->min) && isnan(min))) &&
           (k->max == max || (isnan(k->max) && isnan(max)));
}

static enum status check_pack_key(struct check *c, struct pack_reader *r, const struct pack_key *k,
                                  int64_t owner, int64_t w0, struct err *err)
{
    size_t n = pack_key_n(r, k);
    struct point *p = (struct point *)arena_alloc(c->scratch, n * sizeof(*p));
    const char *wrong = NULL;
    enum status st = p ? pack_read(r, k, p, err) : err_nomem(err);

    if (st) return st;
    for (size_t i = 1; i < n && !wrong; i++) {
        if (point_cmp(&p[i - 1], &p[i]) >= 0) wrong = "points are not in order";
    }
    if (!wrong && !summary_is_right(k, p, n)) wrong = "the summary is not that of the points";
    if (wrong) {
        finding(c, CHECK_PACK,
                arena_printf(c->scratch, "pack %lld of owner %lld, key %u: %s", (long long)w0,
                             (long long)owner, k->key, wrong));
    }
    return need_key(c, CHECK_PACK, k->key, "pack of owner", owner, err);
}

static enum status check_packs(struct check *c, struct err *err)
{
    struct q_check_pack_rows_row row = { .owner = INT64_MIN, .w0 = INT64_MIN };
    struct pack_reader r;
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_check_pack_rows_open(c->conn, &q, row.owner, row.w0, PAGE, err);
        while (!st && (st = q_check_pack_rows_next(q, &row, err)) == OK) {
            rows++;
            arena_reset(c->scratch);
            st = pack_open(&r, c->scratch, row.body, row.owner, row.w0, row.n, err);
            for (size_t i = 0; i < r.keys_n && !st; i++) {
                st = check_pack_key(c, &r, &r.keys[i], row.owner, row.w0, err);
            }
            st = damage(c, CHECK_PACK, st, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

/* ---- heads ------------------------------------------------------------------------------------------------------------------------- */

/* What the packs of a run say about one key. */
struct packed_cell {
    uint32_t key;
    struct metric_cell m;
};

struct packed {
    struct packed_cell *cells;
    size_t n, cap;
    struct arena *arena;
};

static struct metric_cell *packed_cell(struct packed *p, uint32_t key)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->cells[i].key == key) return &p->cells[i].m;
    }
    if (p->n >= CELLS_MAX ||
        !arena_grow(p->arena, (void **)&p->cells, p->n, &p->cap, sizeof(*p->cells))) {
        return NULL;
    }
    p->cells[p->n] = (struct packed_cell){ .key = key };
    return &p->cells[p->n++].m;
}

static enum status fold(struct packed *p, struct pack_reader *r, struct err *err)
{
    for (size_t i = 0; i < r->keys_n; i++) {
        struct metric_cell *m = packed_cell(p, r->keys[i].key);
        size_t n = pack_key_n(r, &r->keys[i]);
        struct point *points = (struct point *)arena_alloc(r->arena, n * sizeof(*points));
        enum status st = m && points ? pack_read(r, &r->keys[i], points, err) : err_nomem(err);

        if (st) return st;
        for (size_t k = 0; k < n; k++) {
            metric_cell_add(m, &points[k]);
        }
        m->n += r->keys[i].duplicates;
    }
    return OK;
}

static enum status fold_packs(struct check *c, struct packed *p, int64_t run, int64_t ver,
                              struct err *err)
{
    struct arena *pack_arena = arena_new(SCRATCH_MAX);
    struct q_pack_of_owner_row row = { .w0 = -1 };
    struct pack_reader r;
    size_t rows;
    enum status st = pack_arena ? OK : err_nomem(err);

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        if (!st) st = q_pack_of_owner_open(c->conn, &q, run, row.w0, PAGE, err);
        while (!st && (st = q_pack_of_owner_next(q, &row, err)) == OK) {
            rows++;
            if (row.w0 > ver) continue;
            arena_reset(pack_arena);
            st = pack_open(&r, pack_arena, row.body, run, row.w0, row.n, err);
            if (!st) st = fold(p, &r, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    arena_free(pack_arena);
    return st;
}

static bool cells_agree(const struct metric_cell *a, const struct metric_cell *b)
{
    return point_latest_cmp(&a->last, &b->last) == 0 && a->n == b->n && same_bits(a->min, b->min) &&
           same_bits(a->max, b->max) && a->min_step == b->min_step && a->max_step == b->max_step;
}

static enum status compare_packs(struct check *c, const struct q_check_run_rows_row *row,
                                 const struct head_body *body, struct err *err)
{
    struct packed p = { .arena = c->scratch };
    enum status st = fold_packs(c, &p, row->run, row->ver, err);

    if (st) return st == ST_CORRUPT ? OK : st; /* reported with the pack */
    for (size_t i = 0; i < body->metrics_n; i++) {
        struct metric_cell *m = packed_cell(&p, body->metrics[i].key);

        if (!m) return err_nomem(err);
        if (!cells_agree(m, &body->metrics[i].m)) {
            finding(c, CHECK_HEAD_PACKS,
                    arena_printf(c->scratch,
                                 "run %.*s, key %u: head and packs differ (%lld and %lld points)",
                                 STR_ARG(row->rid), body->metrics[i].key,
                                 (long long)body->metrics[i].m.n, (long long)m->n));
        }
    }
    if (p.n != body->metrics_n) {
        finding(c, CHECK_HEAD_PACKS,
                arena_printf(c->scratch, "run %.*s: the packs have %zu keys, the head %zu",
                             STR_ARG(row->rid), p.n, body->metrics_n));
    }
    return OK;
}

static enum status check_head(struct check *c, const struct q_check_run_rows_row *row,
                              struct err *err)
{
    struct head_keys keys = { row->run, row->exp, row->rid };
    struct head_body body;
    enum status st = head_body_decode(c->scratch, row->body, &keys, &body, err);

    if (row->ver > c->drain || row->ver < 0) {
        finding(c, CHECK_HEAD,
                arena_printf(c->scratch, "run %.*s is of drain %lld, the last is %lld",
                             STR_ARG(row->rid), (long long)row->ver, (long long)c->drain));
    }
    if (row->status < 1 || row->status > 5 || row->lifecycle < 0 || row->lifecycle > 1) {
        finding(c, CHECK_HEAD,
                arena_printf(c->scratch, "run %.*s: status %lld, lifecycle %lld", STR_ARG(row->rid),
                             (long long)row->status, (long long)row->lifecycle));
    }
    for (size_t i = 0; i < body.metrics_n && !st; i++) {
        st = need_key(c, CHECK_HEAD, body.metrics[i].key, "head of run", row->run, err);
    }
    for (size_t i = 0; i < body.params_n && !st; i++) {
        st = need_key(c, CHECK_HEAD, body.params[i].key, "head of run", row->run, err);
    }
    for (size_t i = 0; i < body.tags_n && !st; i++) {
        st = need_key(c, CHECK_HEAD, body.tags[i].key, "head of run", row->run, err);
    }
    if (!st) st = compare_packs(c, row, &body, err);
    return damage(c, CHECK_HEAD, st, err);
}

static enum status check_heads(struct check *c, struct err *err)
{
    struct q_check_run_rows_row row = { .run = INT64_MIN };
    size_t rows;
    enum status st = OK;

    do {
        struct sql_stmt *q = NULL;

        rows = 0;
        st = q_check_run_rows_open(c->conn, &q, row.run, PAGE, err);
        while (!st && (st = q_check_run_rows_next(q, &row, err)) == OK) {
            rows++;
            arena_reset(c->scratch);
            st = check_head(c, &row, err);
        }
        sql_close(q);
        if (st == ST_END) st = OK;
    } while (!st && rows == PAGE);
    return st;
}

/* ---- all ----------------------------------------------------------------------------------------------------------------------------- */

static enum status check_part(struct check *c, struct err *err)
{
    struct q_part_get_row part = { 0 };
    enum status st = q_part_get(c->conn, NULL, PART, &part, err);

    if (st == ST_NOT_FOUND) {
        finding(c, CHECK_PART, S("part 0 has no row"));
        return OK;
    }
    c->mark = part.mark;
    c->drain = part.drain;
    if (!st && (part.folded > part.drain || part.folded < 0 || part.mark < 0)) {
        finding(c, CHECK_PART, S("part 0: folded is ahead of drain"));
    }
    return st;
}

enum status core_check(struct sql_conn *conn, check_report report, void *ctx, size_t *found,
                       struct err *err)
{
    struct check c = { .conn = conn,
                       .report = report,
                       .ctx = ctx,
                       .scratch = arena_new(SCRATCH_MAX),
                       .keys = INT_MAP_INIT(KEYS_KNOWN_MAX) };
    enum status st = c.scratch ? OK : err_nomem(err);

    if (!st) st = damage(&c, CHECK_ENGINE, sql_verify(conn, err), err);
    if (!st) st = check_part(&c, err);
    for (size_t i = 0; i < ARRAY_N(sql_rules) && !st; i++) {
        st = sql_rules[i].run(&c, sql_rules[i].rule, err);
    }
    if (!st) st = check_log(&c, err);
    if (!st) st = check_packs(&c, err);
    if (!st) st = check_heads(&c, err);
    *found = c.found;
    int_map_release(&c.keys);
    arena_free(c.scratch);
    return st;
}
