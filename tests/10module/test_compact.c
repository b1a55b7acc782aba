/* The compactor: chunks that overlap come apart however many they are, owners that need nothing cost nothing, the share of a core
 * is kept beside writers, and it ends at once. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/check.h"
#include "core/compaction.h"
#include "store/compact.h"
#include "store/mkeys.h"
#include "store/series/merge.h"
#include "store/series/parts.h"

#include <stdlib.h>

enum { CHUNK = 8, REWRITE = 64, CHUNKS = 60, LATE = 20, SPREAD = 400, RUNS = 150 };

static void expect_sound(void *ctx, enum check_rule rule, struct str what)
{
    (void)ctx;
    T_FAIL("%s: %.*s", check_rule_name(rule), STR_ARG(what));
}

/* ---- chunks that overlap ------------------------------------------------------------------------------------------------------------ */

struct overlap {
    struct write_op op;
    int64_t owner;
    uint32_t key;
    struct point all[CHUNKS * CHUNK + LATE];
    size_t n;
};

static int by_order(const void *a, const void *b)
{
    return point_cmp((const struct point *)a, (const struct point *)b);
}

/* Chunks of points from anywhere: each overlaps nearly all others. */
static enum status write_overlap(struct write_op *op, struct group *g, struct err *err)
{
    struct overlap *o = WRITE_OP_OF(op, struct overlap);
    struct buf body = BUF_INIT(1 << 20);
    struct chunker ck;
    enum status st = OK;

    chunker_init(&ck);
    for (int64_t c = 0; c < CHUNKS && !st; c++) {
        struct chunk_head h = { .lvl = CHUNK_LVL_EXACT, .c = c };
        struct point *p = o->all + o->n;
        size_t n = 0, kept = 0;

        while (n < CHUNK) {
            p[n++] = (struct point){ .step = (int64_t)t_rand_below(SPREAD),
                                     .timestamp_ms = (int64_t)t_rand_below(SPREAD),
                                     .value = (double)t_rand_below(3) };
        }
        qsort(p, n, sizeof(*p), by_order);
        for (size_t i = 0; i < n; i++) {
            if (kept == 0 || point_cmp(&p[kept - 1], &p[i]) != 0) p[kept++] = p[i];
        }
        o->n += kept;
        buf_clear(&body);
        st = chunk_encode(&ck, o->owner, o->key, &h, p, kept, 0, &body, err);
        if (!st) st = series_chunk_insert(group_conn(g), o->owner, o->key, &h, buf_str(&body), err);
    }
    buf_release(&body);
    chunker_release(&ck);
    return st;
}

static const struct write_kind overlap_kind = { .name = "test.overlap",
                                                .validate = write_overlap,
                                                .sql = true };

static void log_late(struct corefix *f, struct str run, struct overlap *o)
{
    struct run_log l;

    run_log_init(&l, f->core, f->a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, f->a, &f->err), OK);
    for (int i = 0; i < LATE; i++) {
        struct point p = { .step = i,
                           .timestamp_ms = (int64_t)t_rand_below(SPREAD * 2),
                           .value = 7 };

        T_ST(run_points_add(&l.points, S("m"), p.value, p.timestamp_ms, p.step, &f->err), OK);
        o->all[o->n++] = p;
    }
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

SQL_TEST(chunks_that_overlap_come_apart)
{
    struct core_options opt = { .compact = { .chunk_points = CHUNK, .rewrite = REWRITE } };
    struct overlap *o = (struct overlap *)mem_zalloc(1, sizeof(*o));
    struct parts_want want = { .from_ms = INT64_MIN, .to_ms = INT64_MAX };
    struct compact_stats s;
    struct parts p;
    struct point *got;
    struct run_view view;
    struct corefix f;
    struct str run;
    size_t n, kept = 0, in_chunks = 0;
    bool more;

    corefix_open_with(&f, location, &opt);
    run = corefix_new_run(&f, 0);
    log_late(&f, run, o); /* gives the key its number */
    T_ST_ERR(run_get(&f.v, run, &view, &f.err), OK, &f.err);
    T_ST_ERR(mkeys_find(f.core->mkeys, f.v.conn, S("m"), &o->key, &f.err), OK, &f.err);
    o->owner = view.uid;
    write_op_init(&o->op, &overlap_kind, f.a);
    T_ST_ERR(corefix_run(&f, &o->op), OK, &f.err);
    T_ST_ERR(compaction_start(f.core, true, &f.err), OK, &f.err);
    compact_stats(f.core->compact, &s);
    T_OK(s.merges > 5 && s.merges < 200);

    qsort(o->all, o->n, sizeof(*o->all), by_order);
    for (size_t i = 0; i < o->n; i++) {
        if (kept == 0 || point_cmp(&o->all[kept - 1], &o->all[i]) != 0) o->all[kept++] = o->all[i];
    }
    T_ST_ERR(run_metric_history(&f.v, run, S("m"), NULL, 10000, &got, &n, &more, &f.err), OK,
             &f.err);
    T_UINT(n, kept);
    for (size_t i = 0; i < n; i++) {
        T_INT(point_cmp(&got[i], &o->all[i]), 0);
    }
    want.keys = &o->key;
    want.keys_n = 1;
    T_ST_ERR(parts_open(&p, f.core->series, f.v.conn, f.a, o->owner, &want, &f.err), OK, &f.err);
    for (size_t i = 0; i < p.keys[0].chunks_n; i++) {
        in_chunks += (size_t)p.keys[0].chunks[i].head.n;
        if (i > 0) {
            /* inside of one timestamp the columns do not tell */
            T_OK(p.keys[0].chunks[i - 1].head.t1 <= p.keys[0].chunks[i].head.t0);
        }
    }
    T_UINT(in_chunks + p.keys[0].loose_n, kept);
    T_OK(p.keys[0].loose_n < CHUNK);
    parts_close(&p);
    corefix_close(&f);
    mem_free(o);
}

/* ---- owners that need nothing ---------------------------------------------------------------------------------------------------- */

SQL_TEST(short_runs_are_passed_by)
{
    struct core_options opt = { .drain_age_ms = 1000000000 };
    struct compact_stats s;
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    for (int i = 0; i < RUNS; i++) {
        struct str run = corefix_new_run(&f, 0);
        struct run_update u;
        struct run_log l;

        run_log_init(&l, f.core, f.a);
        l.run_id = run;
        T_ST(run_points_begin(&l.points, f.a, &f.err), OK);
        T_ST(run_points_add(&l.points, S("m"), 1, 1, 1, &f.err), OK);
        T_ST_ERR(corefix_run(&f, &l.op), OK, &f.err);
        run_update_init(&u, f.core, f.a);
        u.run_id = run;
        u.has_status = u.has_end = true;
        u.status = RUN_FINISHED;
        u.end_ms = 5;
        T_ST_ERR(corefix_run(&f, &u.op), OK, &f.err);
    }
    T_ST_ERR(compaction_start(f.core, true, &f.err), OK, &f.err);
    compact_stats(f.core->compact, &s);
    T_UINT(s.owners, RUNS);
    T_UINT(s.merges, 0);
    T_UINT(s.failed, 0);
    corefix_close(&f);
}

/* ---- beside writers --------------------------------------------------------------------------------------------------------------- */

static void log_many(struct corefix *f, struct arena *a, struct str run, int64_t from)
{
    struct run_log l;

    arena_reset(a);
    run_log_init(&l, f->core, a);
    l.run_id = run;
    T_ST(run_points_begin(&l.points, a, &f->err), OK);
    for (int64_t i = from; i < from + 500; i++) {
        T_ST(run_points_add(&l.points, S("m"), 1.0 / (double)(i + 1), i, i, &f->err), OK);
    }
    T_ST_ERR(corefix_run(f, &l.op), OK, &f->err);
}

/* Writes go on for as long as it takes until many merges are done; small chunks make them dear. */
TEST(a_quarter_of_a_core_beside_writers)
{
    enum { MERGES = 12, SLACK_MS = 100 };
    struct core_options opt = { .drain_bytes = 64 << 10,
                                .compact = { .chunk_points = 16, .packs = 2 } };
    struct arena *a = arena_new(64 << 20);
    struct compact_stats s;
    struct corefix f;
    struct str run;
    int64_t began, at = 0;

    corefix_open_with(&f, t_tmpdir(), &opt);
    run = corefix_new_run(&f, 0);
    log_many(&f, a, run, at);
    began = clock_mono_ms();
    do {
        at += 500;
        log_many(&f, a, run, at);
        compact_stats(f.core->compact, &s);
    } while (s.merges < MERGES);
    t_note("%lld ms of CPU in %lld ms", (long long)s.cpu_ns / 1000000,
           (long long)(clock_mono_ms() - began));
    T_OK((int64_t)s.cpu_ns / 1000000 <= (clock_mono_ms() - began) / 4 + SLACK_MS);
    corefix_close(&f);
    arena_free(a);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------------------- */

TEST(a_merge_is_cancelled)
{
    struct merger *m = merger_new(0, 0);
    struct merge_plan *plan;
    struct arena *a = arena_new(64 << 20);
    struct run_view view;
    struct corefix f;
    struct str run;

    corefix_open(&f, t_tmpdir(), NULL);
    run = corefix_new_run(&f, 0);
    log_many(&f, a, run, 0);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    T_ST_ERR(run_get(&f.v, run, &view, &f.err), OK, &f.err);
    log_many(&f, a, run, 500);
    T_ST_ERR(seq_drain(f.core->seq, &f.err), OK, &f.err);
    T_ST_ERR(merge_make(m, f.v.conn, view.uid, INT64_MAX, MERGE_FINAL, &plan, &f.err), OK, &f.err);
    T_UINT(plan->packs_n, 2);
    merger_cancel(m);
    T_ST(merge_make(m, f.v.conn, view.uid, INT64_MAX, MERGE_FINAL, &plan, &f.err), ST_CANCELLED);
    merger_free(m);
    corefix_close(&f);
    arena_free(a);
}

/* Everything was asked for, and the store is closed in the middle of it. */
SQL_TEST(closing_leaves_it_where_it_is)
{
    struct core_options opt = { .compact = { .chunk_points = 16 } };
    struct arena *a = arena_new(64 << 20);
    struct corefix f;
    struct str run;
    size_t found = 0;

    corefix_open_with(&f, location, &opt);
    run = corefix_new_run(&f, 0);
    for (int64_t i = 0; i < 10; i++) {
        log_many(&f, a, run, i * 500);
        T_ST_ERR(compaction_start(f.core, false, &f.err), OK, &f.err);
    }
    corefix_reopen(&f);
    T_ST_ERR(core_check(f.v.conn, expect_sound, NULL, &found, &f.err), OK, &f.err);
    T_UINT(found, 0);
    corefix_close(&f);
    arena_free(a);
}
