/* Every kind of stored body is damaged, one at a time: the store opens, the check names the run, and everything else goes on. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/check.h"
#include "core/check_memory.h"
#include "core/columns.h"
#include "core/compaction.h"
#include "core/run_purge.h"
#include "core/run_search.h"
#include "gen/sql/queries.h"
#include "store/heads.h"

enum { POINTS = 10, NEVER_MS = 1000000000 };

struct world {
    struct corefix f;
    const char *location;
    struct str left, right; /* runs: the one that suffers, and the other one */
    struct arena *names;
};

struct seen {
    struct world *w;
    int rules[CHECK_RULES_N];
    bool left, right; /* findings that name them */
};

static void collect(void *ctx, enum check_rule rule, struct str what)
{
    struct seen *s = (struct seen *)ctx;

    s->rules[rule]++;
    s->left = s->left || str_find(what, s->w->left) != SIZE_MAX;
    s->right = s->right || str_find(what, s->w->right) != SIZE_MAX;
    t_note("%s: %.*s", check_rule_name(rule), STR_ARG(what));
}

static struct seen look(struct world *w)
{
    struct seen s = { .w = w };
    size_t found;

    T_ST_ERR(core_check(w->f.v.conn, collect, &s, &found, &w->f.err), OK, &w->f.err);
    return s;
}

static void log_points(struct world *w, struct str run, int64_t from, int64_t n)
{
    struct corefix *f = &w->f;
    struct run_log l;

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    for (int64_t i = from; i < from + n; i++) {
        T_ST(run_points_add(&l.points, S("loss"), 1.0 / (double)(i + 1), 1000 + i, i, &f->err), OK);
    }
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

static enum status log_param(struct world *w, struct str run, struct str key)
{
    struct corefix *f = &w->f;
    struct key_value params[1] = { { key, S("v") } };
    struct run_log l;

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    l.params = params;
    l.params_n = 1;
    return corefix_run(f, &l.op);
}

static uint64_t find(struct world *w, const char *filter)
{
    int64_t experiment = 0;
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = str_cstr(filter),
                             .page.max = 10,
                             .count = true };
    struct run_found found;

    T_ST_ERR(run_find(&w->f.v, &in, &found, &w->f.err), OK, &w->f.err);
    return found.total;
}

/* Two runs with points in chunks and a pack, rows, and stored search columns. */
static void open_world(struct world *w, const char *location)
{
    static const struct core_options opt = { .drain_age_ms = NEVER_MS,
                                             .head_age_ms = NEVER_MS,
                                             .column_save_ms = NEVER_MS,
                                             .compact = { .chunk_points = 4 } };

    *w = (struct world){ .location = location, .names = arena_new(1 << 20) };
    corefix_open_with(&w->f, location, &opt);
    w->left = arena_str(w->names, corefix_new_run(&w->f, 0));
    w->right = arena_str(w->names, corefix_new_run(&w->f, 0));
    log_points(w, w->left, 0, POINTS);
    log_points(w, w->right, 0, POINTS);
    T_ST_ERR(compaction_start(w->f.core, true, &w->f.err), OK, &w->f.err);
    T_UINT(find(w, "metrics.loss < 0.5"), 2);
    T_ST_ERR(columns_flush(w->f.core, &w->f.err), OK, &w->f.err);
}

static void close_world(struct world *w)
{
    corefix_close(&w->f);
    arena_free(w->names);
}

struct harm {
    struct world *w;
    const char *sql;
};

static void harm_store(void *ctx)
{
    struct harm *h = (struct harm *)ctx;
    struct sql_db *db = sqltest_open(h->w->location);
    struct sql_conn *c = sqltest_connect(db, SQL_WRITER);

    sqltest_script(c, h->sql);
    sql_disconnect(c);
    sql_close_db(db);
}

/* As a kill leaves it, then damaged, then opened again. The left run has the lowest number. */
static void damage(struct world *w, const char *sql)
{
    struct harm h = { w, sql };

    corefix_crash_and(&w->f, harm_store, &h);
}

/* The other run is whole, and the server takes what comes. */
static void others_are_well(struct world *w)
{
    struct str fresh;
    struct run_view run;
    struct point *p;
    bool more;
    size_t n;

    T_ST_ERR(run_get(&w->f.v, w->right, &run, &w->f.err), OK, &w->f.err);
    T_UINT(run.metrics_n, 1);
    T_DBL_BITS(run.metrics[0].value, 1.0 / POINTS);
    T_ST_ERR(run_metric_history(&w->f.v, w->right, S("loss"), NULL, 100, &p, &n, &more, &w->f.err),
             OK, &w->f.err);
    T_UINT(n, POINTS);
    T_OK(!more);
    T_OK(find(w, "metrics.loss < 0.5") >= 1);
    T_ST_ERR(log_param(w, w->right, S("after")), OK, &w->f.err);
    fresh = corefix_new_run(&w->f, 0);
    T_ST_ERR(log_param(w, fresh, S("x")), OK, &w->f.err);
    T_ST_ERR(seq_drain(w->f.core->seq, &w->f.err), OK, &w->f.err);
    T_UINT(find(w, "params.after = 'v'"), 1);
}

static void suffers_alone(const char *location, enum check_rule rule, const char *sql)
{
    struct world w;
    struct seen s;

    open_world(&w, location);
    T_OK(!look(&w).left);
    damage(&w, sql);
    s = look(&w);
    T_OK(s.rules[rule] > 0 && s.left && !s.right);
    others_are_well(&w);
    s = look(&w);
    T_OK(s.rules[rule] > 0 && s.left && !s.right);
    close_world(&w);
}

#define LEFT  "(SELECT MIN(run) FROM runhead)"
#define RIGHT "(SELECT MAX(run) FROM runhead)"

SQL_TEST(a_chunk)
{
    suffers_alone(
        location, CHECK_CHUNK,
        "UPDATE chunk_body SET body = (SELECT b.body FROM chunk_body b JOIN chunk c ON c.id = b.id "
        "WHERE c.owner = " RIGHT " ORDER BY c.id LIMIT 1) "
        "WHERE id = (SELECT MIN(id) FROM chunk WHERE owner = " LEFT ")");
}

SQL_TEST(a_pack)
{
    suffers_alone(location, CHECK_PACK, "UPDATE pack SET n = n + 1 WHERE owner = " LEFT);
}

static enum status damaged_tag(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    (void)i;
    (void)err;
    T_OK(run_view_tag(run, S("cairn.damaged")) != NULL);
    T_UINT(run->metrics_n, 0);
    ++*(int *)ctx;
    return OK;
}

SQL_TEST(a_head_in_a_list)
{
    struct q_run_by_rid_row row;
    struct run_view run;
    struct world w;
    int seen = 0;

    open_world(&w, location);
    damage(&w, "UPDATE runhead SET body = (SELECT body FROM runhead WHERE run = " RIGHT
               ") WHERE run = " LEFT);
    T_UINT(find(&w, ""), 2);
    T_ST(run_get(&w.f.v, w.left, &run, &w.f.err), ST_CORRUPT);
    T_ST_ERR(q_run_by_rid(w.f.v.conn, w.f.a, w.left, &row, &w.f.err), OK, &w.f.err);
    T_ST_ERR(run_gather(&w.f.v, &row.run, 1, damaged_tag, &seen, &w.f.err), OK, &w.f.err);
    T_INT(seen, 1);
    close_world(&w);
}

SQL_TEST(a_head)
{
    suffers_alone(location, CHECK_HEAD,
                  "UPDATE runhead SET body = (SELECT body FROM runhead WHERE run = " RIGHT
                  ") WHERE run = " LEFT);
}

/* What heads and packs say differs, though every checksum is right. */
SQL_TEST(a_pack_that_is_gone)
{
    suffers_alone(location, CHECK_HEAD_PACKS, "DELETE FROM pack WHERE owner = " LEFT);
}

/* A row of the log: of the other run the next row is played. */
SQL_TEST(a_row_of_the_log)
{
    struct world w;
    struct seen s;

    open_world(&w, location);
    T_ST_ERR(log_param(&w, w.left, S("before")), OK, &w.f.err);
    T_ST_ERR(log_param(&w, w.right, S("before")), OK, &w.f.err);
    damage(&w, "UPDATE batch SET n = n + 1 WHERE seq = (SELECT MAX(seq) - 1 FROM batch)");
    s = look(&w);
    T_OK(s.rules[CHECK_BATCH] == 1 && s.left && !s.right);
    T_UINT(find(&w, "params.before = 'v'"), 1);
    others_are_well(&w); /* drains: the row is kept apart */
    s = look(&w);
    T_OK(s.rules[CHECK_BATCH] == 1 && s.left && !s.right);
    T_INT(sqltest_int(w.f.v.conn, "SELECT COUNT(*) FROM batch_aside"), 1);
    corefix_reopen(&w.f);
    s = look(&w);
    T_OK(s.rules[CHECK_BATCH] == 1 && s.left && !s.right);
    close_world(&w);
}

/* The log speaks of a run whose row is damaged: points go on, the record is kept. */
SQL_TEST(a_head_that_the_log_names)
{
    struct world w;
    struct seen s;

    open_world(&w, location);
    T_ST_ERR(log_param(&w, w.left, S("before")), OK, &w.f.err);
    log_points(&w, w.right, POINTS, 1);
    damage(&w, "UPDATE runhead SET body = (SELECT body FROM runhead WHERE run = " RIGHT
               ") WHERE run = " LEFT);
    s = look(&w);
    T_OK(s.rules[CHECK_HEAD] == 1 && s.left && !s.right);
    T_ST(log_param(&w, w.left, S("after")), ST_CORRUPT);
    T_ST_ERR(log_param(&w, w.right, S("after")), OK, &w.f.err);
    T_ST_ERR(seq_drain(w.f.core->seq, &w.f.err), OK, &w.f.err);
    T_INT(sqltest_int(w.f.v.conn, "SELECT COUNT(*) FROM batch_aside"), 1);
    close_world(&w);
}

/* A pack that the row has not taken in: the start would read it. */
SQL_TEST(a_pack_that_the_start_reads)
{
    struct core_options opt = { .drain_age_ms = 1,
                                .head_age_ms = NEVER_MS,
                                .column_save_ms = NEVER_MS };
    struct world w = { .location = location, .names = arena_new(1 << 20) };
    struct seq_stats before, now;
    struct seen s;

    corefix_open_with(&w.f, location, &opt);
    w.left = arena_str(w.names, corefix_new_run(&w.f, 0));
    w.right = arena_str(w.names, corefix_new_run(&w.f, 0));
    T_ST_ERR(seq_drain(w.f.core->seq, &w.f.err), OK, &w.f.err);
    log_points(&w, w.left, 0, POINTS);
    log_points(&w, w.right, 0, POINTS);
    seq_stats(w.f.core->seq, &before);
    do { /* rows of their own leave nothing of the points in the log */
        T_ST_ERR(log_param(&w, corefix_new_run(&w.f, 0), S("x")), OK, &w.f.err);
        seq_stats(w.f.core->seq, &now);
    } while (now.drains == before.drains ||
             sqltest_int(w.f.v.conn, "SELECT COUNT(*) FROM pack") < 2);
    damage(&w, "UPDATE pack SET n = n + 1 WHERE owner = " LEFT);
    s = look(&w);
    T_OK(s.rules[CHECK_PACK] > 0 && s.left && !s.right);
    others_are_well(&w);
    close_world(&w);
}

/* ---- search columns ---------------------------------------------------------------------------------------------------------------- */

/* A column names the runs at its ends: the run in the middle is not spoken of. */
SQL_TEST(a_column)
{
    struct world w;
    struct seen s;

    open_world(&w, location);
    damage(
        &w,
        "UPDATE colseg SET body = (SELECT body FROM colseg WHERE kind = 0 AND id = 1) WHERE kind = 1");
    s = look(&w);
    T_INT(s.rules[CHECK_COLUMN], 1);
    T_OK(s.left && s.right);
    others_are_well(&w); /* built again */
    T_ST_ERR(columns_flush(w.f.core, &w.f.err), OK, &w.f.err);
    s = look(&w);
    T_INT(s.rules[CHECK_COLUMN], 0);
    close_world(&w);
}

/* The numbers of the runs are damaged, and one of them has gone since: the others get its slots. */
SQL_TEST(the_column_of_slots)
{
    struct run_purge p;
    struct str last;
    struct world w;

    open_world(&w, location);
    log_points(&w, w.right, POINTS, 1); /* now their newest values differ */
    T_ST_ERR(seq_drain(w.f.core->seq, &w.f.err), OK, &w.f.err);
    corefix_reopen(&w.f);
    T_UINT(find(&w, "metrics.loss < 0.095"), 1);
    T_ST_ERR(columns_flush(w.f.core, &w.f.err), OK, &w.f.err);
    run_purge_init(&p, w.f.core, w.f.a);
    p.run_id = w.left;
    T_ST_ERR(corefix_run(&w.f, &p.op), OK, &w.f.err);
    last = corefix_new_run(&w.f, 0);
    log_points(&w, last, 0, 1); /* 1.0: as many slots as before */
    T_ST_ERR(seq_drain(w.f.core->seq, &w.f.err), OK, &w.f.err);
    damage(
        &w,
        "UPDATE colseg SET body = (SELECT body FROM colseg WHERE kind = 1) WHERE kind = 0 AND id = 1");
    T_UINT(find(&w, "attributes.status = 'RUNNING'"),
           2); /* not by the metric: its column stays where it is */
    T_ST_ERR(columns_flush(w.f.core, &w.f.err), OK, &w.f.err);
    corefix_reopen(&w.f);
    T_INT(look(&w).rules[CHECK_COLUMN], 0);
    T_UINT(find(&w, "metrics.loss < 0.095"), 1);
    T_UINT(find(&w, "metrics.loss > 0.5"), 1);
    close_world(&w);
}

/* A body that was right once. */
SQL_TEST(a_column_that_lies)
{
    struct world w;
    struct seen s;

    open_world(&w, location);
    damage(&w, "CREATE TABLE kept AS SELECT * FROM colseg");
    log_points(&w, w.left, POINTS, 1);
    T_UINT(find(&w, "metrics.loss < 0.5"), 2);
    T_ST_ERR(columns_flush(w.f.core, &w.f.err), OK, &w.f.err);
    T_INT(look(&w).rules[CHECK_COLUMN], 0);
    damage(
        &w,
        "UPDATE colseg SET (body, npresent, nnan, vmin, vmax) = (SELECT body, npresent, nnan, vmin, vmax "
        "FROM kept k WHERE k.kind = 1) WHERE kind = 1; DROP TABLE kept");
    s = look(&w);
    T_INT(s.rules[CHECK_COLUMN], 1);
    T_OK(s.left && !s.right);
    close_world(&w);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------- */

/* Changes the newest value of a run behind everybody's back. */
struct flip {
    struct write_op op;
    struct world *w;
};

static enum status flip_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct flip *x = WRITE_OP_OF(op, struct flip);
    struct head *h;
    enum status st = heads_load(group_heads(g), group_conn(g), x->w->left, &h, err);

    if (st) return st;
    heads_lock_write(group_heads(g));
    ((struct head_metric *)h->metrics.p)[0].m.last.value = 77;
    heads_unlock(group_heads(g));
    return OK;
}

static const struct write_kind flip_kind = { .name = "test.flip", .validate = flip_validate };

static struct seen look_at_memory(struct world *w)
{
    struct seen s = { .w = w };
    size_t found = 0;

    T_ST_ERR(core_check_memory(&w->f.v, collect, &s, &found, &w->f.err), OK, &w->f.err);
    T_INT((int)found, s.rules[CHECK_MEMORY]);
    return s;
}

SQL_TEST(memory_is_compared)
{
    struct world w;
    struct seen s;
    struct flip x;

    open_world(&w, location);
    log_points(&w, w.left, 0, POINTS + 1); /* some twice, one in the tail only */
    T_UINT(find(&w, "metrics.loss < 0.5"), 2);
    T_INT(look_at_memory(&w).rules[CHECK_MEMORY], 0);
    corefix_reopen(&w.f); /* columns of rows: nothing is answered from heads */
    T_UINT(find(&w, "metrics.loss < 0.5"), 2);
    write_op_init(&x.op, &flip_kind, w.f.a);
    x.w = &w;
    T_ST_ERR(corefix_run(&w.f, &x.op), OK, &w.f.err);
    s = look_at_memory(&w);
    T_INT(s.rules[CHECK_MEMORY], 2); /* against its points, and the column against it */
    T_OK(s.left && !s.right);
    log_points(&w, w.left, POINTS + 1, 1); /* a newer one */
    T_INT(look_at_memory(&w).rules[CHECK_MEMORY], 0);
    close_world(&w);
}
