/* core/check.c - see check.h. */
#include "core/check_int.h"

#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/series/batch.h"
#include "store/sql/sql.h"

enum {
    PAGE = 64,
    SCRATCH_MAX = 512 << 20,
    KEYS_KNOWN_MAX = 1 << 24,
    PART = 0,
    NAMED_MAX = 8,
    ASIDE_SHOWN = 100
};

static const char *const rule_names[CHECK_RULES_N] = {
    [CHECK_ENGINE] = "engine",
    [CHECK_PART] = "part",
    [CHECK_BATCH] = "batch",
    [CHECK_PACK] = "pack",
    [CHECK_CHUNK] = "chunk",
    [CHECK_HEAD] = "head",
    [CHECK_HEAD_PACKS] = "head-packs",
    [CHECK_HEAD_FOLDED] = "head-folded",
    [CHECK_PACK_OWNER] = "pack-owner",
    [CHECK_CHUNK_OWNER] = "chunk-owner",
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
    [CHECK_COLUMN] = "column",
    [CHECK_MEMORY] = "memory",
};

const char *check_rule_name(enum check_rule rule)
{
    return rule_names[rule];
}

void check_finding(struct check *c, enum check_rule rule, struct str what)
{
    c->found++;
    c->report(c->ctx, rule, what);
}

/* A finding when st is damage; then OK. Other statuses are passed on. */
enum status check_damage(struct check *c, enum check_rule rule, enum status st, struct err *err)
{
    if (st != ST_CORRUPT) return st;
    check_finding(c, rule, str_cstr(err->message));
    *err = (struct err)ERR_INIT;
    return OK;
}

struct str check_owner_name(struct check *c, int64_t owner)
{
    struct q_check_rid_row row;
    struct err ignored = ERR_INIT;

    if (q_check_rid(c->conn, c->scratch, owner, &row, &ignored) == OK) {
        return arena_printf(c->scratch, "run %.*s (%.*s)", STR_ARG(row.rid), STR_ARG(row.name));
    }
    return arena_printf(c->scratch, "model series %lld", (long long)owner);
}

enum status check_damage_of(struct check *c, enum check_rule rule, int64_t owner, enum status st,
                            struct err *err)
{
    struct str name;

    if (st != ST_CORRUPT) return st;
    name = check_owner_name(c, owner);
    check_finding(c, rule, arena_printf(c->scratch, "%.*s: %s", STR_ARG(name), err->message));
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
            check_finding(c, rule, row.what);                                                      \
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
SQL_RULE(check_chunk_owner)
SQL_RULE(check_chunk_body)
SQL_RULE(check_chunk_id)
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
    { CHECK_CHUNK_OWNER, rule_check_chunk_owner },
    { CHECK_CHUNK, rule_check_chunk_body },
    { CHECK_CHUNK, rule_check_chunk_id },
    { CHECK_HEAD_FOLDED, rule_check_pack_folded },
    { CHECK_PACK_DRAIN, rule_check_drain },
    { CHECK_COUNTER, rule_check_counter },
    { CHECK_ARTIFACT, rule_check_artifact_object },
    { CHECK_ARTIFACT, rule_check_artifact_root },
    { CHECK_OBJECT, rule_check_object_bytes },
};

/* ---- keys ------------------------------------------------------------------------------------------------------------------------ */

enum status check_need_key(struct check *c, enum check_rule rule, uint32_t id, const char *where,
                           int64_t n, struct err *err)
{
    struct q_mkey_by_id_row row;
    enum status st;

    if (int_map_get(&c->keys, id)) {
        return OK;
    }
    st = q_mkey_by_id(c->conn, c->scratch, id, &row, err);
    if (st == ST_NOT_FOUND) {
        check_finding(
            c, rule,
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
    case BATCH_TOKENS:
    case BATCH_RUN_PURGED:
    case BATCH_LINKS: return true;
    }
    return false;
}

bool check_record_names_run(const struct batch_record *rec)
{
    return rec->kind != BATCH_OWNER_POINTS && rec->kind != BATCH_EXPERIMENT_LIFECYCLE &&
           rec->kind != BATCH_TOKENS && rec->kind != BATCH_LINKS && rec->kind != BATCH_RUN_PURGED;
}

static enum status check_record(struct check *c, const struct batch_reader *b,
                                struct batch_record *rec, int64_t seq, struct err *err)
{
    struct q_tombstone_get_row gone;
    struct q_run_by_uid_row row;
    enum status st = OK;

    if (!record_is_sound(b, rec)) {
        check_finding(c, CHECK_BATCH,
                      arena_printf(c->scratch, "batch %lld: record %u is damaged", (long long)seq,
                                   rec->ordinal));
    }
    if (check_record_names_run(rec)) {
        st = q_run_by_uid(c->conn, c->scratch, rec->owner, &row, err);
        if (st == ST_NOT_FOUND) st = q_tombstone_get(c->conn, NULL, rec->owner, &gone, err);
        if (st == ST_NOT_FOUND) {
            check_finding(c, CHECK_BATCH,
                          arena_printf(c->scratch, "batch %lld: run %lld has no row",
                                       (long long)seq, (long long)rec->owner));
            st = OK;
        }
    }
    return st;
}

/* Which runs a damaged row of the log spoke of, as far as it can be read. */
static struct str damaged_runs(struct check *c, struct str body, int64_t seq)
{
    struct batch_reader b;
    struct batch_record rec;
    struct q_check_rid_row row;
    struct err ignored = ERR_INIT;
    int64_t named[NAMED_MAX];
    struct str out = S("of no run that it still names");
    size_t n = 0;

    if (batch_open_damaged(&b, c->scratch, body, seq, &ignored)) return out;
    while (n < NAMED_MAX && batch_next(&b, &rec, &ignored) == OK) {
        bool known = !check_record_names_run(&rec);
        struct str name;

        for (size_t i = 0; i < n && !known; i++) {
            known = named[i] == rec.owner;
        }
        if (known || q_check_rid(c->conn, c->scratch, rec.owner, &row, &ignored)) continue;
        name = check_owner_name(c, rec.owner);
        out = n == 0 ? arena_printf(c->scratch, "as far as it can be read of %.*s", STR_ARG(name))
                     : arena_printf(c->scratch, "%.*s, %.*s", STR_ARG(out), STR_ARG(name));
        named[n++] = rec.owner;
    }
    return out;
}

static enum status damaged_batch(struct check *c, struct str body, int64_t seq, enum status st,
                                 struct err *err)
{
    struct str runs;

    if (st != ST_CORRUPT) return st;
    runs = damaged_runs(c, body, seq);
    check_finding(c, CHECK_BATCH,
                  arena_printf(c->scratch, "%s; %.*s", err->message, STR_ARG(runs)));
    *err = (struct err)ERR_INIT;
    return OK;
}

/* Rows that a start could not play. */
static enum status check_aside(struct check *c, struct err *err)
{
    struct q_batch_aside_after_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_batch_aside_after_open(c->conn, &q, INT64_MIN, ASIDE_SHOWN, err);

    while (!st && (st = q_batch_aside_after_next(q, &row, err)) == OK) {
        struct str runs;

        arena_reset(c->scratch);
        runs = damaged_runs(c, row.body, row.seq);
        check_finding(
            c, CHECK_BATCH,
            arena_printf(c->scratch,
                         "batch %lld could not be played whole at a start and was kept apart "
                         "(table batch_aside); %.*s",
                         (long long)row.seq, STR_ARG(runs)));
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static enum status check_batch(struct check *c, const struct q_batch_after_row *row,
                               struct err *err)
{
    struct batch_reader b;
    struct batch_record rec;
    enum status st =
        batch_open(&b, c->scratch, row->body, row->seq, row->epoch, row->part, row->n, err);

    for (size_t i = 0; i < b.strings_n && !st; i++) {
        if (b.strings[i].id)
            st = check_need_key(c, CHECK_BATCH, b.strings[i].id, "batch", row->seq, err);
    }
    while (!st && (st = batch_next(&b, &rec, err)) == OK) {
        st = check_record(c, &b, &rec, row->seq, err);
    }
    return st == ST_END ? OK : damaged_batch(c, row->body, row->seq, st, err);
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

/* ---- heads ------------------------------------------------------------------------------------------------------------------------- */

static enum status check_head(struct check *c, const struct q_check_run_rows_row *row,
                              struct err *err)
{
    struct head_keys keys = { row->run, row->exp, row->rid };
    struct head_body body;
    enum status st = head_body_decode(c->scratch, row->body, &keys, &body, err);

    if (row->ver > c->drain || row->ver < 0) {
        check_finding(c, CHECK_HEAD,
                      arena_printf(c->scratch, "run %.*s is of drain %lld, the last is %lld",
                                   STR_ARG(row->rid), (long long)row->ver, (long long)c->drain));
    }
    if (row->status < 1 || row->status > 5 || row->lifecycle < 0 || row->lifecycle > 1) {
        check_finding(c, CHECK_HEAD,
                      arena_printf(c->scratch, "run %.*s: status %lld, lifecycle %lld",
                                   STR_ARG(row->rid), (long long)row->status,
                                   (long long)row->lifecycle));
    }
    for (size_t i = 0; i < body.metrics_n && !st; i++) {
        st = check_need_key(c, CHECK_HEAD, body.metrics[i].key, "head of run", row->run, err);
    }
    for (size_t i = 0; i < body.params_n && !st; i++) {
        st = check_need_key(c, CHECK_HEAD, body.params[i].key, "head of run", row->run, err);
    }
    for (size_t i = 0; i < body.tags_n && !st; i++) {
        st = check_need_key(c, CHECK_HEAD, body.tags[i].key, "head of run", row->run, err);
    }
    if (!st) st = check_points_of_head(c, row, &body, err);
    return check_damage_of(c, CHECK_HEAD, row->run, st, err);
}

/* One page of heads after *row, in one snapshot: a merge or a drain in between would show points twice, or not at all. */
static enum status check_heads_page(struct check *c, struct q_check_run_rows_row *row, size_t *rows,
                                    struct err *err)
{
    struct q_part_get_row part = { 0 };
    struct sql_stmt *q = NULL;
    bool snapshot = !sql_in_transaction(c->conn);
    enum status st = snapshot ? sql_read_begin(c->conn, err) : OK;

    *rows = 0;
    if (st) return st;
    st = q_part_get(c->conn, NULL, PART, &part, err);
    c->drain = st ? c->drain : part.drain;
    st = st == ST_NOT_FOUND ? OK : st; /* reported already */
    st = st ? st : q_check_run_rows_open(c->conn, &q, row->run, PAGE, err);
    while (!st && (st = q_check_run_rows_next(q, row, err)) == OK) {
        ++*rows;
        arena_reset(c->scratch);
        st = check_head(c, row, err);
    }
    sql_close(q);
    if (snapshot) sql_read_end(c->conn);
    return st == ST_END ? OK : st;
}

static enum status check_heads(struct check *c, struct err *err)
{
    struct q_check_run_rows_row row = { .run = INT64_MIN };
    size_t rows;
    enum status st;

    do {
        st = check_heads_page(c, &row, &rows, err);
    } while (!st && rows == PAGE);
    return st;
}

/* ---- all ----------------------------------------------------------------------------------------------------------------------------- */

static enum status check_part(struct check *c, struct err *err)
{
    struct q_part_get_row part = { 0 };
    enum status st = q_part_get(c->conn, NULL, PART, &part, err);

    if (st == ST_NOT_FOUND) {
        check_finding(c, CHECK_PART, S("part 0 has no row"));
        return OK;
    }
    c->mark = part.mark;
    c->drain = part.drain;
    if (!st && (part.folded > part.drain || part.folded < 0 || part.mark < 0)) {
        check_finding(c, CHECK_PART, S("part 0: folded is ahead of drain"));
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

    if (!st) st = check_damage(&c, CHECK_ENGINE, sql_verify(conn, err), err);
    if (!st) st = check_part(&c, err);
    for (size_t i = 0; i < ARRAY_N(sql_rules) && !st; i++) {
        st = sql_rules[i].run(&c, sql_rules[i].rule, err);
    }
    if (!st) st = check_log(&c, err);
    if (!st) st = check_aside(&c, err);
    if (!st) st = check_packs(&c, err);
    if (!st) st = check_chunks(&c, err);
    if (!st) st = check_heads(&c, err);
    if (!st) st = check_columns(&c, err);
    *found = c.found;
    int_map_release(&c.keys);
    arena_free(c.scratch);
    return st;
}
