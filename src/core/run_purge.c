/* core/run_purge.c - see run_purge.h. */
#include "core/run_purge.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <stdatomic.h>

enum {
    ROWS_PER_PACK = 64, /* packs are that much larger */
    RETAIN_PAGE = 64,
    RETAIN_EVERY_MS = 60000,
    RETRY_MS = 1000,
    ARENA_MAX = 1 << 20
};

/* ---- one step ------------------------------------------------------------------------------------------------------------- */

static enum status drop_chunks(struct sql_conn *w, int64_t owner, int64_t max, bool *more,
                               struct err *err)
{
    struct q_purge_chunk_bound_row b;
    int64_t n;
    enum status st = q_purge_chunk_bound(w, NULL, owner, max, &b, err);

    if (st == ST_NOT_FOUND) {
        st = q_purge_bodies(w, owner, &n, err);
        return st ? st : q_purge_chunks(w, owner, &n, err);
    }
    *more = true;
    if (!st) st = q_purge_bodies_before(w, owner, b.key, b.lvl, b.t0, b.c, &n, err);
    return st ? st : q_purge_chunks_before(w, owner, b.key, b.lvl, b.t0, b.c, &n, err);
}

static enum status drop_packs(struct sql_conn *w, int64_t owner, int64_t max, bool *more,
                              struct err *err)
{
    struct q_purge_pack_bound_row b;
    int64_t n;
    enum status st = q_purge_pack_bound(w, NULL, owner, max / ROWS_PER_PACK + 1, &b, err);

    if (st == ST_NOT_FOUND) {
        return q_purge_packs(w, owner, &n, err);
    }
    *more = true;
    return st ? st : q_purge_packs_before(w, owner, b.w0, &n, err);
}

static enum status drop_artifacts(struct sql_conn *w, struct arena *a, int64_t root, int64_t max,
                                  bool *more, struct err *err)
{
    struct q_purge_artifact_bound_row b;
    int64_t n;
    enum status st;

    if (root == 0) {
        return OK;
    }
    st = q_purge_artifact_bound(w, a, root, max, &b, err);
    if (st == ST_NOT_FOUND) {
        st = q_artifact_delete_root(w, root, &n, err);
        return st ? st : q_root_delete(w, root, err);
    }
    *more = true;
    return st ? st : q_purge_artifacts_before(w, root, b.dir, b.name, &n, err);
}

/* *more: rows are left. */
static enum status purge_step(struct core *core, struct sql_conn *w, struct arena *a, int64_t owner,
                              int64_t root, bool *more, struct err *err)
{
    int64_t max = core->purge_rows;
    enum status st;

    *more = false;
    st = drop_chunks(w, owner, max, more, err);
    FAILPOINT("core.purge.chunks");
    if (!st && !*more) st = drop_packs(w, owner, max, more, err);
    FAILPOINT("core.purge.packs");
    if (!st && !*more) st = drop_artifacts(w, a, root, max, more, err);
    return st;
}

/* ---- the operation ---------------------------------------------------------------------------------------------------------- */

struct purge_write {
    struct heads *heads;
    struct series *series;
    struct purger *purger;
    int64_t uid;
    bool more;
};

static void purge_apply(void *ctx)
{
    struct purge_write *w = (struct purge_write *)ctx;

    heads_purge(w->heads, w->uid);
    series_forget(w->series, w->uid);
    if (w->more && w->purger) purger_wake(w->purger);
}

static enum status purge_names(struct group *g, const struct run_purge *p, int64_t uid,
                               struct err *err)
{
    struct sql_conn *w = group_conn(g);
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_purge_tombstone(w, uid, p->who.p ? p->who : S(""), now, err);

    if (!st) st = q_purge_members_log(w, uid, now, err);
    if (!st) st = q_purge_members(w, uid, err);
    if (!st) st = q_purge_props(w, uid, err);
    if (!st) st = q_purge_events(w, uid, err);
    if (!st) st = q_purge_idents(w, uid, err);
    if (!st) st = q_purge_node(w, uid, err);
    if (!st) st = q_purge_run(w, uid, &n, err);
    if (!st && n != 1) {
        st = err_set(err, ST_CORRUPT, "run %.*s has no row", STR_ARG(p->run_id));
    }
    return st;
}

/* The root of its own artifacts, if they lie in this store. */
static enum status own_root(struct group *g, struct arena *a, const struct head *h, int64_t *root,
                            struct err *err)
{
    struct q_root_get_row row;
    enum status st = q_root_get(group_conn(g), a, h->artifact_uri, &row, err);

    *root = st || row.owner != h->uid ? 0 : row.id;
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status purge_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_purge *p = WRITE_OP_OF(op, struct run_purge);
    struct purge_write *w = ARENA_NEW(op->arena, struct purge_write);
    struct head *h;
    uint32_t ordinal;
    int64_t root = 0;
    enum status st = w ? run_head(g, p->run_id, &h, err) : err_nomem(err);

    if (st) return st;
    if (p->only_deleted && run_check_active(g, h, NULL) == OK) {
        return err_set(err, ST_INVALID_STATE, "run %.*s is not deleted", STR_ARG(p->run_id));
    }
    *w = (struct purge_write){
        .heads = group_heads(g), .series = group_series(g), .purger = p->core->purger, .uid = h->uid
    };
    st = group_effect(g, purge_apply, NULL, w, err);
    if (!st) st = group_pending_put(g, PENDING_PURGE, h->uid, 0, w, err);
    if (st) return st;
    batch_record(group_batch(g));
    st = batch_record_end(group_batch(g), BATCH_RUN_PURGED, h->uid, &ordinal, err);
    if (!st) st = own_root(g, op->arena, h, &root, err);
    if (!st) st = purge_names(g, p, h->uid, err);
    FAILPOINT("core.purge.named");
    if (!st) st = purge_step(p->core, group_conn(g), op->arena, h->uid, root, &w->more, err);
    if (!st && w->more) st = q_purge_add(group_conn(g), h->uid, root, err);
    return st;
}

static const struct write_kind run_purge_kind = { .name = "run.purge",
                                                  .validate = purge_validate,
                                                  .sql = true };

void run_purge_init(struct run_purge *p, struct core *core, struct arena *a)
{
    write_op_init(&p->op, &run_purge_kind, a);
    memset((char *)p + sizeof(p->op), 0, sizeof(*p) - sizeof(p->op));
    p->core = core;
}

/* ---- the worker ---------------------------------------------------------------------------------------------------------------- */

struct purger {
    struct core *core;
    struct sql_conn *conn;
    struct exec_actor *actor;
    struct lock lock; /* guards stopping and the wake of an answer */
    bool stopping;
    _Atomic bool answered;
    struct arena *arena; /* of the operation */
    /* The actor's. */
    struct write_op step; /* or */
    struct run_purge retain;
    struct write_op *op; /* submitted */
    int64_t owner, root; /* of the step */
    int64_t keep_ms, resume_ms, retain_ms;
};

static enum status step_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct purger *p = CONTAINER_OF(op, struct purger, step);
    bool more = false;
    enum status st = purge_step(p->core, group_conn(g), p->arena, p->owner, p->root, &more, err);

    if (!st && !more) st = q_purge_done(group_conn(g), p->owner, err);
    FAILPOINT("core.purge.step");
    return st;
}

static const struct write_kind step_kind = { .name = "run.purge.step",
                                             .validate = step_validate,
                                             .sql = true };

static void purger_answered(struct write_op *op)
{
    struct purger *p = (struct purger *)op->user;

    atomic_store_explicit(&p->answered, true, memory_order_release);
    purger_wake(p);
}

void purger_wake(struct purger *p)
{
    lock_take(&p->lock);
    if (!p->stopping && p->actor) exec_actor_wake(p->actor);
    lock_give(&p->lock);
}

static enum status submit(struct purger *p, struct write_op *op)
{
    op->user = p;
    op->done = purger_answered;
    atomic_store_explicit(&p->answered, false, memory_order_relaxed);
    if (seq_submit(p->core->seq, op)) {
        return op->st;
    }
    p->op = op;
    return OK;
}

/* A step for the first owner in the list, or the run that was deleted longest ago. ST_END: nothing to do. */
static enum status next_op(struct purger *p, struct err *err)
{
    struct q_purge_next_row row;
    struct q_purge_deleted_runs_row run;
    struct sql_stmt *q = NULL;
    enum status st = q_purge_next(p->conn, NULL, INT64_MIN, &row, err);

    if (st == OK) {
        p->owner = row.owner;
        p->root = row.root;
        write_op_init(&p->step, &step_kind, p->arena);
        return submit(p, &p->step);
    }
    if (st != ST_NOT_FOUND) return st;
    if (p->keep_ms <= 0 || clock_mono_ms() < p->retain_ms) {
        return ST_END;
    }
    st = q_purge_deleted_runs_open(p->conn, &q, clock_wall_ms() - p->keep_ms, 1, err);
    if (!st) st = q_purge_deleted_runs_next(q, &run, err);
    if (!st) {
        run_purge_init(&p->retain, p->core, p->arena);
        p->retain.run_id = arena_str(p->arena, run.rid);
        p->retain.who = S("retention");
        p->retain.only_deleted = true;
        if (!p->retain.run_id.p) st = err_nomem(err);
    }
    sql_close(q);
    if (st == ST_END) p->retain_ms = clock_mono_ms() + RETAIN_EVERY_MS;
    return st ? st : submit(p, &p->retain.op);
}

static int64_t purger_step(void *ctx)
{
    struct purger *p = (struct purger *)ctx;
    struct err err = ERR_INIT;
    int64_t now = clock_mono_ms();
    enum status st;
    bool stopping;

    lock_take(&p->lock);
    stopping = p->stopping;
    lock_give(&p->lock);
    if (stopping || (p->op && !atomic_load_explicit(&p->answered, memory_order_acquire))) {
        return -1;
    }
    if (p->op && p->op->st) {
        LOG_WARN("store", "deleting for good waits: %s", p->op->err.message);
        p->resume_ms = now + RETRY_MS;
    }
    p->op = NULL;
    if (now < p->resume_ms) {
        return p->resume_ms - now;
    }
    arena_reset(p->arena);
    st = next_op(p, &err);
    if (st == OK) {
        return -1;
    }
    if (st != ST_END) {
        LOG_WARN("store", "deleting for good waits: %s", err.message);
        p->resume_ms = now + RETRY_MS;
        return RETRY_MS;
    }
    return p->keep_ms > 0 ? MAX_OF(p->retain_ms - now, (int64_t)1) : -1;
}

enum status purger_new(struct purger **out, struct core *core, struct sql_conn *reader,
                       int64_t keep_ms, struct err *err)
{
    struct purger *p = (struct purger *)mem_zalloc(1, sizeof(*p));
    struct exec_actor *actor = NULL;
    enum status st;

    *out = NULL;
    if (!p) {
        sql_disconnect(reader);
        return err_nomem(err);
    }
    p->core = core;
    p->conn = reader;
    p->keep_ms = keep_ms;
    lock_init(&p->lock, LOCK_RANK_CACHE);
    p->arena = arena_new(ARENA_MAX);
    st = p->arena ? exec_actor_new(&actor, "purger", purger_step, p, err) : err_nomem(err);
    if (st) {
        purger_free(p);
        return st;
    }
    lock_take(&p->lock);
    p->actor = actor;
    lock_give(&p->lock);
    exec_actor_wake(actor);
    *out = p;
    return OK;
}

void purger_stop(struct purger *p)
{
    if (!p) {
        return;
    }
    lock_take(&p->lock);
    p->stopping = true;
    lock_give(&p->lock);
    exec_actor_free(p->actor);
    p->actor = NULL;
    sql_disconnect(p->conn);
    p->conn = NULL;
}

void purger_free(struct purger *p)
{
    if (!p) {
        return;
    }
    sql_disconnect(p->conn);
    arena_free(p->arena);
    lock_release(&p->lock);
    mem_free(p);
}
