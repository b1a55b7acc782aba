/* core/collect.c - see collect.h. */
#include "core/collect.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/blob/blob.h"
#include "store/seq.h"
#include "store/sql/sql.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVERY_MS = 60000, RETRY_MS = 1000, ARENA_MAX = 1 << 20 };

struct batch {
    struct blob_entry e[COLLECT_BATCH];
    size_t n;
};

/* Lives on the stack of who waits. */
struct waiter {
    struct waiter *next;
    struct exec_event *event;
    uint64_t round;
};

struct collector {
    struct core *core;
    struct sql_conn *conn;
    struct arena *arena; /* of the operation */
    struct exec_actor *actor;
    struct lock lock; /* guards what follows, until the next comment */
    bool stopping;
    struct collect_stats stats;
    struct waiter *waiters;
    /* release by the answer, acquire by the actor */
    _Atomic bool answered;
    /* The actor's. */
    struct collect_options opt;
    struct write_op op;
    bool submitted;
    struct batch batch;
    uint64_t round; /* the one that was asked for and is at work; 0: one of the background */
    bool in_round;
    int64_t next_ms, resume_ms, began_ms;
};

/* ---- operations ----------------------------------------------------------------------------------------------------------- */

static void collect_wake(struct collector *c)
{
    lock_take(&c->lock);
    if (!c->stopping && c->actor) exec_actor_wake(c->actor);
    lock_give(&c->lock);
}

static void answered(struct write_op *op)
{
    struct collector *c = (struct collector *)op->user;

    atomic_store_explicit(&c->answered, true, memory_order_release);
    collect_wake(c);
}

static enum status submit(struct collector *c, const struct write_kind *kind, struct err *err)
{
    write_op_init(&c->op, kind, c->arena);
    c->op.user = c;
    c->op.done = answered;
    atomic_store_explicit(&c->answered, false, memory_order_relaxed);
    if (seq_submit(c->core->seq, &c->op)) {
        *err = c->op.err;
        return c->op.st;
    }
    c->submitted = true;
    return OK;
}

/* ---- places that were retired --------------------------------------------------------------------------------------------- */

static enum status gone_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;
    int64_t n;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        const struct blob_entry *e = &c->batch.e[i];

        st = q_retired_remove(group_conn(g), str_of(e->sha256.b, sizeof(e->sha256.b)), e->gen, &n,
                              err);
    }
    FAILPOINT("core.collect.retired");
    return st;
}

static const struct write_kind gone_kind = { .name = "collect.retired",
                                             .validate = gone_validate,
                                             .sql = true };

static int by_place(const void *a, const void *b)
{
    const struct blob_entry *x = (const struct blob_entry *)a, *y = (const struct blob_entry *)b;
    int d = memcmp(x->sha256.b, y->sha256.b, sizeof(x->sha256.b));

    return d ? d : x->gen < y->gen ? -1 : x->gen > y->gen;
}

static enum status read_retired(struct collector *c, int64_t until_ms, struct err *err)
{
    struct q_retired_due_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_retired_due_open(c->conn, &q, until_ms, COLLECT_BATCH, err);

    c->batch.n = 0;
    while (!st && (st = q_retired_due_next(q, &row, err)) == OK) {
        struct blob_entry *e = &c->batch.e[c->batch.n];

        if (row.sha256.n != sizeof(e->sha256.b) || c->batch.n == COLLECT_BATCH) {
            st = err_set(err, ST_CORRUPT, "a place that was given up has no digest");
            break;
        }
        memcpy(e->sha256.b, row.sha256.p, sizeof(e->sha256.b));
        e->gen = row.gen;
        e->size = (uint64_t)row.bytes;
        c->batch.n++;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* ST_END: there are none. */
static enum status step_retired(struct collector *c, struct err *err)
{
    int64_t until = c->round ? INT64_MAX : clock_wall_ms();
    enum status st = read_retired(c, until, err);

    if (st || c->batch.n == 0) {
        return st ? st : ST_END;
    }
    qsort(c->batch.e, c->batch.n, sizeof(c->batch.e[0]), by_place);
    FAILPOINT("core.collect.bytes.before");
    st = blob_delete_many(c->core->blobs, c->batch.e, c->batch.n, err);
    FAILPOINT("core.collect.bytes.after");
    return st ? st : submit(c, &gone_kind, err);
}

/* ---- rounds ------------------------------------------------------------------------------------------------------------------ */

static void batch_done(struct collector *c)
{
    lock_take(&c->lock);
    for (size_t i = 0; i < c->batch.n; i++) {
        c->stats.bytes += c->batch.e[i].size;
    }
    c->stats.places += c->batch.n;
    c->stats.problem[0] = 0;
    lock_give(&c->lock);
    c->batch.n = 0;
}

static void step_failed(struct collector *c, const struct err *err, int64_t now)
{
    LOG_WARN("store", "deleting what nothing refers to waits: %s", err->message);
    c->resume_ms = now + RETRY_MS;
    lock_take(&c->lock);
    c->stats.failed++;
    snprintf(c->stats.problem, sizeof(c->stats.problem), "%s", err->message);
    lock_give(&c->lock);
}

/* Others on the same database: the one that drains does it. */
static bool is_ours(struct collector *c)
{
    struct seq_stats s;

    seq_stats(c->core->seq, &s);
    return s.others == 0 || s.owner;
}

static bool round_begin(struct collector *c, int64_t now)
{
    lock_take(&c->lock);
    c->round = c->stats.asked > c->stats.done ? c->stats.asked : 0;
    lock_give(&c->lock);
    c->in_round = c->round || (c->opt.every_ms > 0 && now >= c->next_ms && is_ours(c));
    if (!c->in_round && now >= c->next_ms) {
        c->next_ms = now + MAX_OF(c->opt.every_ms, (int64_t)1);
    }
    lock_take(&c->lock);
    c->stats.running = c->in_round;
    lock_give(&c->lock);
    return c->in_round;
}

static void round_end(struct collector *c, int64_t now)
{
    lock_take(&c->lock);
    c->stats.done = MAX_OF(c->stats.done, c->round);
    c->stats.running = false;
    c->stats.problem[0] = 0;
    for (struct waiter *w = c->waiters; w; w = w->next) {
        if (w->round <= c->stats.done) exec_event_set(w->event);
    }
    lock_give(&c->lock);
    c->in_round = false;
    c->round = 0;
    c->next_ms = now + MAX_OF(c->opt.every_ms, (int64_t)1);
}

/* How long to sleep until the next round. */
static int64_t idle(struct collector *c, int64_t now)
{
    return c->opt.every_ms > 0 ? MAX_OF(c->next_ms - now, (int64_t)1) : -1;
}

static int64_t collect_step(void *ctx)
{
    struct collector *c = (struct collector *)ctx;
    int64_t now = clock_mono_ms(), took;
    struct err err = ERR_INIT;
    enum status st;
    bool stopping;

    lock_take(&c->lock);
    stopping = c->stopping;
    lock_give(&c->lock);
    if (stopping || (c->submitted && !atomic_load_explicit(&c->answered, memory_order_acquire))) {
        return -1;
    }
    if (c->submitted) {
        c->submitted = false;
        took = now - c->began_ms;
        if (c->op.st) {
            step_failed(c, &c->op.err, now);
        } else {
            batch_done(c);
            c->resume_ms = c->round ? now : now + took;
        }
    }
    if (now < c->resume_ms) {
        return c->resume_ms - now;
    }
    if (!c->in_round && !round_begin(c, now)) {
        return idle(c, now);
    }
    arena_reset(c->arena);
    c->began_ms = now;
    st = step_retired(c, &err);
    if (st == OK) {
        return -1;
    }
    if (st == ST_END) {
        round_end(c, now);
        return 0; /* another may have been asked for */
    }
    step_failed(c, &err, now);
    return RETRY_MS;
}

uint64_t collect_ask(struct collector *c)
{
    uint64_t n;

    lock_take(&c->lock);
    /* One that is at work may have passed what the caller means. */
    n = ++c->stats.asked;
    lock_give(&c->lock);
    collect_wake(c);
    return n;
}

bool collect_wait(struct collector *c, uint64_t round, int64_t timeout_ms)
{
    struct waiter w = { .event = exec_event_new(), .round = round };
    bool done;

    if (!w.event) {
        return false;
    }
    lock_take(&c->lock);
    if (round <= c->stats.done || c->stopping) exec_event_set(w.event);
    w.next = c->waiters;
    c->waiters = &w;
    lock_give(&c->lock);
    (void)exec_event_wait(w.event, timeout_ms);
    lock_take(&c->lock);
    for (struct waiter **at = &c->waiters; *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    done = round <= c->stats.done;
    lock_give(&c->lock);
    exec_event_free(w.event);
    return done;
}

void collect_stats(struct collector *c, struct collect_stats *out)
{
    lock_take(&c->lock);
    *out = c->stats;
    lock_give(&c->lock);
}

/* ---- life cycle ---------------------------------------------------------------------------------------------------------------- */

enum status collect_start(struct core *core, const struct collect_options *opt, struct err *err)
{
    struct collector *c = (struct collector *)mem_zalloc(1, sizeof(*c));
    struct exec_actor *actor = NULL;
    enum status st;

    if (!c) {
        return err_nomem(err);
    }
    c->core = core;
    c->opt = *opt;
    c->opt.every_ms = opt->every_ms ? opt->every_ms : (int64_t)EVERY_MS;
    c->next_ms = clock_mono_ms() + MAX_OF(c->opt.every_ms, (int64_t)0);
    lock_init(&c->lock, LOCK_RANK_CACHE);
    c->arena = arena_new(ARENA_MAX);
    st = c->arena ? sql_connect(&c->conn, core->db, SQL_READER, err) : err_nomem(err);
    if (!st) st = exec_actor_new(&actor, "collector", collect_step, c, err);
    if (st) {
        collect_free(c);
        return st;
    }
    lock_take(&c->lock);
    c->actor = actor;
    lock_give(&c->lock);
    core->collector = c;
    exec_actor_wake(actor);
    return OK;
}

void collect_stop(struct collector *c)
{
    if (!c) {
        return;
    }
    lock_take(&c->lock);
    c->stopping = true;
    for (struct waiter *w = c->waiters; w; w = w->next) {
        exec_event_set(w->event);
    }
    lock_give(&c->lock);
    blob_hurry(c->core->blobs);
    exec_actor_free(c->actor);
    c->actor = NULL;
    sql_disconnect(c->conn);
    c->conn = NULL;
}

void collect_free(struct collector *c)
{
    if (!c) {
        return;
    }
    sql_disconnect(c->conn);
    arena_free(c->arena);
    lock_release(&c->lock);
    mem_free(c);
}
