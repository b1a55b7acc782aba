/* core/run_purge.c - see run_purge.h. */
#include "core/run_purge.h"
#include "core/graph/place.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/purge.h"
#include "core/purge_int.h"
#include "core/retention.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <stdatomic.h>

enum {
    ROWS_PER_PACK = 64, /* packs are that much larger */
    OWNERS_PER_STEP = 64,
    RETAIN_EVERY_MS = 60000,
    RETRY_MS = 1000,
    RULES_IN_A_ROW = 200,
    RULES_REST_MS = 1000,
    ARENA_MAX = 1 << 20
};

/* ---- one step ------------------------------------------------------------------------------------------------------------- */

static enum status drop_chunks(struct sql_conn *w, int64_t owner, int64_t *left, bool *more,
                               struct err *err)
{
    struct q_purge_chunk_bound_row b;
    int64_t n = 0;
    enum status st = q_purge_chunk_bound(w, NULL, owner, *left, &b, err);

    if (st == ST_NOT_FOUND) {
        st = q_purge_bodies(w, owner, &n, err);
        if (!st) st = q_purge_chunks(w, owner, &n, err);
    } else {
        *more = true;
        if (!st) st = q_purge_bodies_before(w, owner, b.key, b.lvl, b.t0, b.c, &n, err);
        if (!st) st = q_purge_chunks_before(w, owner, b.key, b.lvl, b.t0, b.c, &n, err);
    }
    *left -= n;
    return st;
}

static enum status drop_packs(struct sql_conn *w, int64_t owner, int64_t *left, bool *more,
                              struct err *err)
{
    struct q_purge_pack_bound_row b;
    int64_t n = 0, max = MAX_OF(*left, (int64_t)0) / ROWS_PER_PACK + 1;
    enum status st = q_purge_pack_bound(w, NULL, owner, max, &b, err);

    if (st == ST_NOT_FOUND) {
        st = q_purge_packs(w, owner, &n, err);
    } else {
        *more = true;
        if (!st) st = q_purge_packs_before(w, owner, b.w0, &n, err);
    }
    *left -= n * ROWS_PER_PACK;
    return st;
}

static enum status drop_artifacts(struct sql_conn *w, struct arena *a, int64_t root, int64_t *left,
                                  bool *more, struct err *err)
{
    struct q_purge_artifact_bound_row b;
    int64_t n = 0;
    enum status st;

    if (root == 0) {
        return OK;
    }
    st = q_purge_artifact_bound(w, a, root, MAX_OF(*left, (int64_t)1), &b, err);
    if (st == ST_NOT_FOUND) {
        st = q_artifact_delete_root(w, root, &n, err);
        if (!st) st = q_root_delete(w, root, err);
    } else {
        *more = true;
        if (!st) st = q_purge_artifacts_before(w, root, b.dir, b.name, &n, err);
    }
    *left -= n;
    return st;
}

/* Deletes up to about *left rows, and takes them off. *more: rows are left. */
static enum status purge_step(struct sql_conn *w, struct arena *a, int64_t owner, int64_t root,
                              int64_t *left, bool *more, struct err *err)
{
    enum status st;

    *more = false;
    st = drop_chunks(w, owner, left, more, err);
    FAILPOINT("core.purge.chunks");
    if (!st && !*more) st = drop_packs(w, owner, left, more, err);
    FAILPOINT("core.purge.packs");
    if (!st && !*more) st = drop_artifacts(w, a, root, left, more, err);
    return st;
}

/* ---- the operation ---------------------------------------------------------------------------------------------------------- */

struct purge_write {
    struct heads *heads;
    struct series *series;
    const int64_t *uids;
    size_t n;
};

static void purge_apply(void *ctx)
{
    struct purge_write *w = (struct purge_write *)ctx;

    for (size_t i = 0; i < w->n; i++) {
        heads_purge(w->heads, w->uids[i]);
        series_forget(w->series, w->uids[i]);
    }
}

enum status purge_forget(struct group *g, const int64_t *uids, size_t n, struct err *err)
{
    struct purge_write *w = (struct purge_write *)arena_alloc(group_arena(g), sizeof(*w));
    int64_t *own = ARENA_ARRAY(group_arena(g), int64_t, n + 1);
    uint32_t ordinal;
    enum status st = w && own ? OK : err_nomem(err);

    if (st) return st;
    if (n > 0) memcpy(own, uids, n * sizeof(*own));
    *w = (struct purge_write){ group_heads(g), group_series(g), own, n };
    st = group_effect(g, purge_apply, NULL, w, err);
    for (size_t i = 0; i < n && !st; i++) {
        batch_record(group_batch(g));
        st = batch_record_end(group_batch(g), BATCH_RUN_PURGED, own[i], &ordinal, err);
        if (!st) st = group_pending_put(g, PENDING_PURGE, own[i], 0, w, err);
    }
    return st;
}

static void wake_apply(void *ctx)
{
    struct core *core = (struct core *)ctx;

    if (core->purger) purger_wake(core->purger);
}

enum status purge_wake_after(struct group *g, struct core *core, struct err *err)
{
    return group_effect(g, wake_apply, NULL, core, err);
}

enum status purge_runs(struct group *g, const int64_t *uids, size_t n, struct str who,
                       struct str experiment, struct str name, struct err *err)
{
    struct sql_conn *w = group_conn(g);
    int64_t now = group_now_ms(g), gone = 0;
    enum status st = purge_forget(g, uids, n, err);

    if (!st)
        st = q_purge_run_tombstones(w, uids, n, who.p ? who : S(""), now, experiment, name, err);
    if (!st) st = q_purge_members_log(w, uids, n, now, err);
    if (!st) st = q_purge_members(w, uids, n, err);
    if (!st) st = q_purge_props(w, uids, n, err);
    if (!st) st = q_purge_events(w, uids, n, err);
    if (!st) st = q_purge_idents(w, uids, n, err);
    if (!st) st = q_purge_nodes(w, uids, n, err);
    if (!st) st = q_purge_runs(w, uids, n, &gone, err);
    if (!st && gone != (int64_t)n) {
        st = err_set(err, ST_CORRUPT, "%zu runs have %lld rows", n, (long long)gone);
    }
    FAILPOINT("core.purge.named");
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
    struct str none = { NULL, 0 };
    struct head *h;
    int64_t root = 0, left = p->core->purge_rows, uid;
    bool more = false;
    enum status st = run_head(g, p->run_id, &h, err);

    if (st) return st;
    if (p->only_deleted && run_check_active(g, h, NULL) == OK) {
        return err_set(err, ST_INVALID_STATE, "run %.*s is not deleted", STR_ARG(p->run_id));
    }
    if (p->deleted_before_ms) {
        if (!h->has_deleted || h->deleted_ms >= p->deleted_before_ms)
            return err_set(err, ST_INVALID_STATE, "run %.*s stays", STR_ARG(p->run_id));
    }
    st = p->only_deleted ? retention_check_run(g, p->run_id, err)
         : p->force      ? OK
                         : standing_check_run(g, p->run_id, err);
    if (st) return st;
    uid = h->uid;
    st = own_root(g, op->arena, h, &root, err);
    if (!st) st = purge_runs(g, &uid, 1, p->who, none, h->name, err);
    if (!st) st = purge_step(group_conn(g), op->arena, uid, root, &left, &more, err);
    if (st || !more) return st;
    st = purge_wake_after(g, p->core, err);
    return st ? st : q_purge_add(group_conn(g), uid, root, err);
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
    struct run_lifecycle retire;
    struct logged_model_purge retain_model;
    struct write_op *op; /* submitted */
    /* The walk over the rules: of which experiment, where in it, since when; how many it took in a row. */
    int64_t rules_every_ms, rules_ms, rule_now_ms;
    struct q_retention_next_row rule;
    struct retention_walk walk;
    struct arena *rule_arena; /* of the rule that is walked: its metric, and the best */
    struct retention held;
    struct retention_best best;
    struct retention_bar bar;
    bool in_rule;
    unsigned taken;
    _Atomic bool rules_asked;
    /* Of the step: owners with rows, or none and the experiment. */
    struct q_purge_list_row owners[OWNERS_PER_STEP];
    size_t owners_n;
    struct experiment_rest rest;
    int64_t keep_ms, resume_ms, retain_ms;
};

static enum status step_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct purger *p = CONTAINER_OF(op, struct purger, step);
    int64_t left = p->core->purge_rows;
    bool more = false;
    enum status st = OK;

    if (p->owners_n == 0) {
        st = purge_experiment_part(g, p->arena, &p->rest, err);
    }
    for (size_t i = 0; i < p->owners_n && left > 0 && !more && !st; i++) {
        st = purge_step(group_conn(g), p->arena, p->owners[i].owner, p->owners[i].root, &left,
                        &more, err);
        if (!st && !more) st = q_purge_done(group_conn(g), p->owners[i].owner, err);
    }
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

/* What is listed: rows of owners first, then experiments. ST_END: nothing. */
static enum status next_listed(struct purger *p, struct err *err)
{
    struct q_purge_experiment_next_row x;
    struct sql_stmt *q = NULL;
    enum status st = q_purge_list_open(p->conn, &q, INT64_MIN, OWNERS_PER_STEP, err);

    p->owners_n = 0;
    while (!st && p->owners_n < OWNERS_PER_STEP &&
           (st = q_purge_list_next(q, &p->owners[p->owners_n], err)) == OK) {
        p->owners_n++;
    }
    sql_close(q);
    if (st && st != ST_END) return st;
    if (p->owners_n == 0) {
        st = q_purge_experiment_next(p->conn, p->arena, INT64_MIN, &x, err);
        if (st) return st == ST_NOT_FOUND ? ST_END : st;
        p->rest = (struct experiment_rest){ x.exp, x.uid, x.name, x.who };
    }
    write_op_init(&p->step, &step_kind, p->arena);
    return submit(p, &p->step);
}

static enum status take(struct purger *p, const struct retention_item *item)
{
    LOG_INFO("store", "the rule of experiment %lld takes %s %.*s", (long long)p->rule.exp,
             item->what == RETENTION_PURGE_MODEL ? "logged model"
             : item->what == RETENTION_PURGE_RUN ? "for good run"
                                                 : "to the trash run",
             STR_ARG(item->id));
    p->taken++;
    if (item->what == RETENTION_TRASH_RUN) {
        run_lifecycle_init(&p->retire, p->core, p->arena);
        p->retire.run_id = item->id;
        p->retire.to = LIFECYCLE_DELETED;
        p->retire.ended_before_ms = p->rule_now_ms - p->rule.trash_after_ms;
        p->retire.bar = &p->bar;
        return submit(p, &p->retire.op);
    }
    if (item->what == RETENTION_PURGE_RUN) {
        run_purge_init(&p->retain, p->core, p->arena);
        p->retain.run_id = item->id;
        p->retain.who = S("retention");
        p->retain.only_deleted = true;
        p->retain.deleted_before_ms = p->rule_now_ms - p->rule.purge_after_ms;
        return submit(p, &p->retain.op);
    }
    logged_model_purge_init(&p->retain_model, p->core, p->arena);
    p->retain_model.model_id = item->id;
    p->retain_model.who = S("retention");
    p->retain_model.deleted_before_ms = p->rule_now_ms - p->rule.purge_after_ms;
    return submit(p, &p->retain_model.op);
}

/* The rule of the next experiment, and what it keeps. ST_NOT_FOUND: the walk is over. */
static enum status begin_rule(struct purger *p, struct err *err)
{
    struct view v = { .core = p->core, .conn = p->conn, .arena = p->rule_arena };
    enum status st = q_retention_next(p->conn, p->arena, p->rule.exp, &p->rule, err);

    if (st) return st;
    arena_reset(p->rule_arena);
    p->held = (struct retention){ .has_trash = !p->rule.trash_after_ms_null,
                                  .has_purge = !p->rule.purge_after_ms_null,
                                  .trash_after_ms = p->rule.trash_after_ms,
                                  .purge_after_ms = p->rule.purge_after_ms,
                                  .keep_last = p->rule.keep_last,
                                  .keep_best = p->rule.keep_best,
                                  .metric = arena_str(p->rule_arena, p->rule.metric),
                                  .maximum = p->rule.maximum != 0 };
    if (!p->held.metric.p) return err_nomem(err);
    st = retention_best_find(&v, p->rule_arena, p->rule.exp, &p->held, &p->best, err);
    if (st) return st;
    retention_bar_of(&p->held, &p->best, &p->bar);
    p->in_rule = true;
    p->rule_now_ms = clock_wall_ms();
    p->walk = (struct retention_walk)RETENTION_WALK_BEGIN;
    return OK;
}

/* The next thing that the rules take in this walk over them. ST_NOT_FOUND: the walk is over. */
static enum status next_of_walk(struct purger *p, struct err *err)
{
    struct retention_item item;

    for (;;) {
        enum status st = p->in_rule ? OK : begin_rule(p, err);

        if (!st) {
            st = retention_find(p->conn, p->arena, p->rule.exp, &p->held, &p->best, p->rule_now_ms,
                                &p->walk, &item, err);
        }
        if (st != ST_END) return st ? st : take(p, &item);
        p->in_rule = false;
    }
}

/* The next thing that a rule takes. ST_END: none now. */
static enum status next_of_rules(struct purger *p, struct err *err)
{
    if (p->rules_every_ms <= 0) return ST_END;
    for (;;) {
        enum status st;

        /* Rules that were changed during a walk have one of their own. */
        if (!p->in_rule && atomic_exchange_explicit(&p->rules_asked, false, memory_order_acquire)) {
            p->rules_ms = 0;
            p->rule.exp = INT64_MIN;
        }
        if (clock_mono_ms() < p->rules_ms) return ST_END;
        st = next_of_walk(p, err);
        if (st != ST_NOT_FOUND) return st;
        p->rule.exp = INT64_MIN;
        p->rules_ms = clock_mono_ms() + p->rules_every_ms;
    }
}

void purger_rules(struct purger *p)
{
    atomic_store_explicit(&p->rules_asked, true, memory_order_release);
    purger_wake(p);
}

static enum status places_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct purger *p = CONTAINER_OF(op, struct purger, step);
    enum status st = place_step(g, p->core, p->arena, err);

    return st == ST_END ? OK : st;
}

/* What is to be tied to places of data. ST_END: nothing. */
static enum status next_of_places(struct purger *p, struct err *err)
{
    static const struct write_kind kind = { .name = "graph.place.step",
                                            .validate = places_validate,
                                            .sql = true };
    struct q_place_work_next_row work;
    enum status st = q_place_work_next(p->conn, p->arena, &work, err);

    if (st) return st == ST_NOT_FOUND ? ST_END : st;
    write_op_init(&p->step, &kind, p->arena);
    return submit(p, &p->step);
}

/* A step of what is listed, or the run that was deleted longest ago. ST_END: nothing to do. */
static enum status next_op(struct purger *p, struct err *err)
{
    struct q_purge_deleted_runs_row run;
    struct sql_stmt *q = NULL;
    enum status st = next_listed(p, err);

    if (st != ST_END) return st;
    st = next_of_places(p, err);
    if (st != ST_END) return st;
    st = next_of_rules(p, err);
    if (st != ST_END) return st;
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

/* Milliseconds until something may be due by time; -1 = never. */
static int64_t next_look(const struct purger *p, int64_t now)
{
    int64_t at = INT64_MAX;

    if (p->keep_ms > 0) at = MIN_OF(at, p->retain_ms);
    if (p->rules_every_ms > 0) at = MIN_OF(at, p->rules_ms);
    return at == INT64_MAX ? -1 : MAX_OF(at - now, (int64_t)1);
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
    if (p->op && p->op->st && p->op != &p->step &&
        (p->op->st == ST_INVALID_STATE || p->op->st == ST_NOT_FOUND)) {
        p->op = NULL; /* a run that stays after all, or is gone */
    }
    if (p->taken >= RULES_IN_A_ROW) {
        p->taken = 0;
        p->resume_ms = now + RULES_REST_MS;
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
    sql_rest(p->conn);
    return next_look(p, now);
}

enum status purger_new(struct purger **out, struct core *core, struct sql_conn *reader,
                       int64_t keep_ms, int64_t rules_every_ms, struct err *err)
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
    p->rules_every_ms = rules_every_ms;
    p->rule.exp = INT64_MIN;
    lock_init(&p->lock, LOCK_RANK_CACHE);
    p->arena = arena_new(ARENA_MAX);
    p->rule_arena = arena_new(ARENA_MAX);
    st = p->arena && p->rule_arena ? exec_actor_new(&actor, "purger", purger_step, p, err)
                                   : err_nomem(err);
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
    arena_free(p->rule_arena);
    lock_release(&p->lock);
    mem_free(p);
}
