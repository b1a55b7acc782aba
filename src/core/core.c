/* core/core.c - see core.h and core_open.h. */
#include "core/core_open.h"

#include "base/mem.h"
#include "core/collect.h"
#include "core/columns.h"
#include "core/experiment.h"
#include "core/fragments.h"
#include "core/graph/graph.h"
#include "core/graph/place.h"
#include "core/openlineage/openlineage.h"
#include "core/openlineage/read_counts.h"
#include "core/registry_names.h"
#include "core/repack.h"
#include "core/run_purge.h"
#include "core/scrub.h"
#include "core/typed/known.h"
#include "store/compact.h"
#include "store/heads.h"
#include "store/mkeys.h"
#include "store/runcols/runcols.h"
#include "store/series/series.h"

enum {
    READERS = 4,
    PURGE_ROWS = 4096,
    READERS_MAX = 64,
    READ_QUEUE = 4096,
    TAIL_BYTES = 32 << 20,
    HEAD_BYTES = 64 << 20,
    KEY_BYTES = 32 << 20,
    FRAGMENT_BYTES = 8 << 20,
    COLUMNS_END_MS = 2000
};

struct core_all {
    struct core core;
    struct exec_pool *pool;
    struct sql_conn *conns[READERS_MAX];
    unsigned conns_n;
    char *artifact_root;
    struct lock watch_lock; /* guards the next two */
    void (*tokens_changed)(void *ctx);
    void *tokens_ctx;
    void (*idle)(void *ctx); /* of the options */
    void *idle_ctx;
};

#define ALL_OF(c) CONTAINER_OF((c), struct core_all, core)

static void read_run(struct exec_job *job, unsigned worker)
{
    struct read_job *r = CONTAINER_OF(job, struct read_job, job);
    struct core *core = r->core;
    struct view v = { core, ALL_OF(core)->conns[worker], r->arena, true };
    enum status st = seq_read_begin(core->seq, &r->err);

    r->st = st;
    r->run(r, &v); /* r may be gone then */
    if (!st) seq_read_end(core->seq);
}

enum status core_read_submit(struct core *core, struct read_job *job)
{
    job->core = core;
    job->job.run = read_run;
    return exec_pool_submit(ALL_OF(core)->pool, &job->job);
}

void core_view(struct core *core, struct arena *a, struct view *v)
{
    *v = (struct view){ core, ALL_OF(core)->conns[0], a, false };
}

void core_watch_tokens(struct core *core, void (*fn)(void *ctx), void *ctx)
{
    struct core_all *all = ALL_OF(core);

    lock_take(&all->watch_lock);
    all->tokens_changed = fn;
    all->tokens_ctx = ctx;
    lock_give(&all->watch_lock);
}

static void others_wrote(void *ctx, bool tokens)
{
    struct core_all *all = ALL_OF((struct core *)ctx);

    experiments_forget(&all->core);
    typed_known_forget(all->core.typed);
    ol_memo_forget(all->core.openlineage);
    place_forget(&all->core);
    ol_counts_forget(all->core.ol_counts);
    lock_take(&all->watch_lock);
    if (tokens && all->tokens_changed) all->tokens_changed(all->tokens_ctx);
    lock_give(&all->watch_lock);
}

static void went_idle(void *ctx)
{
    struct core_all *all = ctx;

    ol_memo_forget(all->core.openlineage);
    typed_known_answers_drop(all->core.typed);
    if (all->idle) all->idle(all->idle_ctx);
}

static enum status open_seq(struct core *c, const struct core_options *opt, struct err *err)
{
    struct seq_options so = { .db = c->db,
                              .drain_age_ms = opt->drain_age_ms,
                              .drain_bytes = opt->drain_bytes,
                              .hold_bytes = opt->hold_bytes,
                              .head_age_ms = opt->head_age_ms,
                              .wal_bytes = opt->wal_bytes,
                              .idle_ms = opt->idle_ms,
                              .wait_ops = opt->wait_ops,
                              .wait_bytes = opt->wait_bytes,
                              .lease_ms = opt->lease_ms,
                              .beat_ms = opt->beat_ms,
                              .stale_ok = opt->stale_ok,
                              .stale_poll_ms = opt->stale_poll_ms,
                              .changed = others_wrote,
                              .changed_ctx = c,
                              .idle = went_idle,
                              .idle_ctx = ALL_OF(c) };
    enum status st = sql_connect(&so.writer, c->db, SQL_WRITER, err);

    if (!st)
        st = mkeys_open(&c->mkeys, so.writer, opt->key_bytes ? opt->key_bytes : KEY_BYTES, err);
    if (!st)
        st = heads_open(&c->heads, c->mkeys, opt->head_bytes ? opt->head_bytes : HEAD_BYTES, err);
    if (!st) {
        runcols_set_heads(c->columns, c->heads);
        heads_set_columns(c->heads, c->columns);
    }
    if (!st) st = series_open(&c->series, opt->tail_bytes ? opt->tail_bytes : TAIL_BYTES, err);
    if (st) {
        sql_disconnect(so.writer);
        return st;
    }
    so.mkeys = c->mkeys;
    so.heads = c->heads;
    so.series = c->series;
    so.compact = c->compact;
    return seq_open(&c->seq, &so, err);
}

static enum status start_compact(struct core *c, const struct core_options *opt, struct err *err)
{
    struct sql_conn *conn = NULL;
    enum status st = sql_connect(&conn, c->db, SQL_READER, err);

    if (!st) st = compact_start(c->compact, c->seq, conn, err);
    if (!st) st = sql_connect(&conn, c->db, SQL_READER, err);
    return st ? st
              : purger_new(&c->purger, c, conn, opt->keep_deleted_ms, opt->retention_every_ms, err);
}

static enum status open_readers(struct core_all *all, const struct core_options *opt,
                                struct err *err)
{
    unsigned n = MIN_OF(opt->readers ? opt->readers : (unsigned)READERS, (unsigned)READERS_MAX);
    enum status st = OK;

    while (!st && all->conns_n < n) {
        st = sql_connect(&all->conns[all->conns_n], all->core.db, SQL_READER, err);
        all->conns_n += st == OK;
    }
    if (!st) {
        st = exec_pool_new(&all->pool, "reader", n, opt->read_queue ? opt->read_queue : READ_QUEUE,
                           err);
    }
    return st;
}

enum status core_open(struct core **out, const struct core_options *opt, struct err *err)
{
    struct core_all *all = (struct core_all *)mem_zalloc(1, sizeof(*all));
    struct core *c;
    enum status st;

    *out = NULL;
    if (!all) {
        return err_nomem(err);
    }
    c = &all->core;
    lock_init(&all->watch_lock, LOCK_RANK_HEADS);
    all->artifact_root = (char *)mem_alloc(opt->artifact_root.n + 1);
    if (!all->artifact_root) {
        lock_release(&all->watch_lock);
        mem_free(all);
        return err_nomem(err);
    }
    if (opt->artifact_root.n > 0)
        memcpy(all->artifact_root, opt->artifact_root.p, opt->artifact_root.n);
    all->idle = opt->idle;
    all->idle_ctx = opt->idle_ctx;
    c->typed_others = opt->typed_others;
    c->purge_rows = opt->purge_rows ? opt->purge_rows : (int64_t)PURGE_ROWS;
    c->artifact_root = str_of(all->artifact_root, opt->artifact_root.n);
    st = sql_open(&c->db, &opt->sql, err);
    if (!st) st = experiments_new(&c->experiments, err);
    if (!st) st = typed_known_new(&c->typed, err);
    if (!st) st = ol_memo_new(&c->openlineage, err);
    if (!st) st = ol_counts_new(&c->ol_counts, err);
    if (!st) st = compact_new(&c->compact, &opt->compact, err);
    if (!st) {
        st = columns_open(c,
                          &(struct columns_options){ opt->column_bytes, opt->column_save_ms,
                                                     opt->column_save_bytes },
                          err);
    }
    if (!st) st = open_seq(c, opt, err);
    if (!st) {
        st = fragments_new(&c->fragments, c->heads,
                           opt->fragment_bytes ? opt->fragment_bytes : FRAGMENT_BYTES, err);
    }
    if (!st) st = graph_new(&c->graph, c, &opt->graph, err);
    if (!st) st = registry_names_new(&c->registry, err);
    if (!st) st = open_readers(all, opt, err);
    if (!st) st = experiments_ensure_default(c, err);
    if (!st) st = start_compact(c, opt, err);
    if (st) {
        core_close(c);
        return st;
    }
    *out = c;
    return OK;
}

static void core_end(struct core *core, void (*end_seq)(struct seq *s))
{
    struct core_all *all;

    if (!core) {
        return;
    }
    all = ALL_OF(core);
    columns_stop(core);
    exec_pool_free(all->pool);
    if (end_seq == seq_close && all->conns_n > 0) {
        columns_save_all(core, COLUMNS_END_MS);
        graph_save_all(core->graph);
    }
    for (unsigned i = 0; i < all->conns_n; i++) {
        sql_disconnect(all->conns[i]);
    }
    compact_stop(core->compact);
    purger_stop(core->purger);
    collect_stop(core->collector);
    repack_stop(core->repacker);
    scrub_stop(core->scrubber);
    end_seq(core->seq);
    compact_free(core->compact);
    columns_close(core);
    purger_free(core->purger);
    collect_free(core->collector);
    repack_free(core->repacker);
    scrub_free(core->scrubber);
    series_close(core->series);
    heads_close(core->heads);
    mkeys_close(core->mkeys);
    experiments_free(core->experiments);
    typed_known_free(core->typed);
    ol_memo_free(core->openlineage);
    ol_counts_free(core->ol_counts);
    fragments_free(core->fragments);
    registry_names_free(core->registry);
    graph_free(core->graph);
    sql_close_db(core->db);
    lock_release(&all->watch_lock);
    mem_free(all->artifact_root);
    mem_free(all);
}

void core_close(struct core *core)
{
    core_end(core, seq_close);
}

void core_abandon(struct core *core)
{
    core_end(core, seq_abandon);
}
