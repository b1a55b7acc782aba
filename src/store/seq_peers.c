/* store/seq_peers.c - several servers on one PostgreSQL database.
 *
 * Order. One row (part) holds the number and the tag of the last row of the log. A group commits only behind the row that
 * its server knows as the last (batch_insert), so the log is one chain and its numbers are the order of commits. Where others
 * are on the list, a group first locks that row and plays what it has not played yet; it holds the lock to its commit. A
 * server that is alone does neither: if it was wrong, its commit fails.
 *
 * The list (server). A server writes itself on it in a turn, and waits until every other one has seen it, or no longer
 * believes that it is alone, before it writes. A sign of life tells how many others there are; a server that finds none is alone
 * for a short time (alone_ms), by its clock. Who is overdue by the database's clock is put off the list in a turn, which raises
 * the fence: each commit names the fence, so what an overdue server still commits fails, and it joins again before it writes.
 *
 * Reads. Unless the server is alone, a read of memory waits for one look at the log that starts after the read came;
 * reads that wait share it. Groups look as well. With stale_ok reads wait for nothing: the server looks when another one has
 * rung the doorbell (store/sql/bell.h) after a commit, and every few milliseconds in any case.
 *
 * Drains. One server, the owner, moves the log to packs and rows, in a turn. The others see how far the log is covered with each
 * look, and let tails and dirty heads go. Rows of the log are deleted when all servers on the list have played them.
 * A server that missed deleted rows, or finds another history (a restored database, a standby that lacked the last commits),
 * sees that the chain is broken, and builds its memory anew. */
#include "store/seq_int.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "gen/sql/queries.h"
#include "store/process.h"
#include "store/runcols/runcols.h"
#include "store/sql/bell.h"
#include "store/sql/sql.h"

#include <time.h>

enum {
    PART = 0,
    LEASE_MARGIN = 10,   /* a tenth of the lease is left unused */
    JOIN_POLL_MS = 5,    /* while others have not seen this server */
    READERS_POLL_MS = 1, /* while memory is built anew */
    READERS_WAIT_MS = 10000,
    RETRY_MS = 200,
    STALE_MAX_MS = 1000
};

struct read_wait {
    struct mpsc_node link;
    struct exec_event *done;
    enum status st;
    struct err err;
};

static void pause_ms(int64_t ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL);
}

/* ---- alone? --------------------------------------------------------------------------------------------------------------- */

bool seq_alone(struct seq *s)
{
    /* Either clock may stand still while the machine sleeps, or jump; both must agree. */
    return clock_mono_ms() < atomic_load_explicit(&s->peers.alone_until_ms, memory_order_acquire) &&
           clock_wall_ms() <
               atomic_load_explicit(&s->peers.alone_until_wall_ms, memory_order_acquire);
}

static void not_alone(struct seq *s)
{
    atomic_store_explicit(&s->peers.alone_until_ms, 0, memory_order_release);
}

void seq_suspect(struct seq *s)
{
    if (s->peers.on) {
        not_alone(s);
        s->peers.beat_at_ms = 0;
    }
}

bool seq_may_write(const struct seq *s)
{
    return !s->peers.on || (s->peers.joined && !s->peers.lost);
}

/* ---- turns ---------------------------------------------------------------------------------------------------------------- */

/* What another server may have changed beside memory. In the transaction of a turn. */
static enum status refresh(struct seq *s, struct err *err)
{
    struct q_uid_last_row uid;
    enum status st = q_uid_last(s->writer, NULL, &uid, err);

    if (!st) st = mkeys_refresh(s->mkeys, s->writer, err);
    if (st) return st;
    s->last_uid = uid.uid;
    s->recorded_ms = MAX_OF(s->recorded_ms, uid.recorded_ms);
    s->counters_n = 0;
    s->peers.refresh = false;
    return OK;
}

/* The fence moved: another owner, or somebody was put off the list. Was it us? */
static enum status check_membership(struct seq *s, const struct q_turn_take_row *now,
                                    struct err *err)
{
    struct q_server_here_row here;
    enum status st = q_server_here(s->writer, NULL, s->peers.me, &here, err);

    if (st) return st;
    if (here.n == 0) {
        s->peers.joined = false;
        st = err_set(err, ST_UNAVAILABLE,
                     "this server was away too long; it joins the others again");
        if (err) err->retry_after_s = 1;
        return st;
    }
    s->fence = now->fence;
    s->peers.owner = now->owner == s->peers.me;
    return OK;
}

static enum status take_turn(struct seq *s, struct err *err)
{
    struct q_turn_take_row now;
    enum status st = q_turn_take(s->writer, NULL, PART, &now, err);

    FAILPOINT("seq.postgres.turn_locked");
    if (!st && now.fence != s->fence) st = check_membership(s, &now, err);
    if (st) return st;
    if (now.tip != s->last_seq || now.tag != s->tag || now.drain != s->drain) {
        st = seq_catch_up(s, err);
    }
    return st;
}

enum status seq_turn(struct seq *s, struct err *err)
{
    enum status st = sql_begin(s->writer, err);

    if (st || !s->peers.on || !s->peers.joined) return st; /* not joined: at the start, alone */
    if (!seq_alone(s)) st = take_turn(s, err);
    if (!st && s->peers.refresh) st = refresh(s, err);
    if (st) sql_rollback(s->writer);
    return st;
}

enum status seq_own(struct seq *s, struct err *err)
{
    struct q_part_own_row row;
    enum status st;

    if (!s->peers.on || s->peers.owner) return OK;
    st = q_part_own(s->writer, NULL, PART, s->peers.me, &row, err);
    if (st) return st;
    s->fence = row.fence; /* if the transaction is rolled back, the next turn finds the old one */
    s->peers.owner = true;
    return OK;
}

/* ---- the list ------------------------------------------------------------------------------------------------------------- */

/* Puts overdue servers off the list, or the one with that number, in a turn of its own. */
static enum status reap(struct seq *s, int64_t id, struct err *err)
{
    struct q_part_own_row row = { 0 };
    struct q_turn_take_row now;
    int64_t gone = 0;
    enum status st = sql_begin(s->writer, err);

    if (!st) st = q_turn_take(s->writer, NULL, PART, &now, err);
    if (!st && s->peers.joined && now.fence != s->fence) st = check_membership(s, &now, err);
    if (!st) st = q_server_reap(s->writer, s->peers.me, id, &gone, err);
    /* The owner may be among them, and somebody has to be it. */
    if (!st && gone > 0) st = q_part_own(s->writer, NULL, PART, s->peers.me, &row, err);
    FAILPOINT("seq.postgres.reaped");
    if (!st) st = sql_commit(s->writer, err);
    if (st) {
        sql_rollback(s->writer);
        return st;
    }
    if (gone > 0) {
        LOG_WARN("store", "%lld other servers %s", (long long)gone,
                 id ? "of this machine have ended without a word" : "were not heard of in time");
        s->fence = row.fence;
        s->peers.owner = true;
    }
    return OK;
}

/* A server that was killed on this machine needs no waiting for. */
static enum status reap_the_dead(struct seq *s, struct err *err)
{
    struct q_server_others_row row;
    struct sql_stmt *q = NULL;
    int64_t dead = 0;
    enum status st;

    do {
        st = q_server_others_open(s->writer, &q, s->peers.me, err);
        for (dead = 0; !st && dead == 0;) {
            st = q_server_others_next(q, &row, err);
            if (!st && process_is_gone(row.process)) dead = row.id;
        }
        sql_close(q);
        q = NULL;
        if (st == ST_END) st = OK;
        if (!st && dead) st = reap(s, dead, err);
    } while (!st && dead);
    return st;
}

/* Writes this server on the list. */
static enum status enlist(struct seq *s, struct err *err)
{
    char process[PROCESS_TEXT_MAX];
    struct q_server_add_row row = { 0 };
    struct q_turn_take_row now = { 0 };
    enum status st = sql_begin(s->writer, err);

    process_text(process);
    if (!st) st = q_turn_take(s->writer, NULL, PART, &now, err);
    if (!st) {
        st = q_server_add(s->writer, NULL, str_cstr(sql_db_owner(s->db)), str_cstr(process),
                          s->opt.lease_ms, s->opt.stale_ok, &row, err);
    }
    FAILPOINT("seq.postgres.enlisted");
    if (!st) st = sql_commit(s->writer, err);
    if (st) {
        sql_rollback(s->writer);
        return st;
    }
    s->peers.me = row.id;
    s->fence = now.fence;
    s->peers.owner = false;
    return reap_the_dead(s, err);
}

/* *done: no server is left that does not know of this one and may think it is alone. */
static enum status await_others(struct seq *s, bool *done, struct err *err)
{
    struct q_server_unseen_row row;
    enum status st = q_server_unseen(s->writer, NULL, s->peers.me, &row, err);

    *done = false;
    if (st) return st;
    *done = row.n == 0;
    return OK;
}

/* Nobody else is on the list: what is in the log now was the last that others wrote. */
static enum status settle_alone(struct seq *s, int64_t mono, int64_t wall, struct err *err)
{
    int64_t lease = s->opt.alone_ms - s->opt.alone_ms / LEASE_MARGIN;
    enum status st = seq_alone(s) ? OK : seq_catch_up(s, err);

    if (!st && !s->peers.owner) {
        st = sql_begin(s->writer, err);
        if (!st) st = seq_own(s, err);
        if (!st) st = sql_commit(s->writer, err);
        if (st) {
            sql_rollback(s->writer);
            s->peers.owner = false;
        }
    }
    if (st) return st;
    atomic_store_explicit(&s->peers.alone_until_wall_ms, wall + lease, memory_order_release);
    atomic_store_explicit(&s->peers.alone_until_ms, mono + lease, memory_order_release);
    return OK;
}

/* A sign of life, and what it tells. */
static enum status beat(struct seq *s, struct err *err)
{
    struct peers *p = &s->peers;
    int64_t mono = clock_mono_ms(), wall = clock_wall_ms();
    struct q_server_beat_row row;
    enum status st;

    st = q_server_beat(s->writer, NULL, p->me, s->last_seq, s->opt.lease_ms, PART, s->opt.alone_ms,
                       &row, err);
    if (st) return st;
    atomic_store_explicit(&p->others, (unsigned)row.others, memory_order_relaxed);
    p->listeners = row.listeners > 0;
    if (row.here == 0) {
        LOG_WARN("store", "this server was away too long; it joins the others again");
        not_alone(s);
        p->joined = false;
        return OK;
    }
    if (row.others > 0) not_alone(s); /* before they are told */
    if (row.expired > 0) {
        p->beat_at_ms = 0;
        return reap(s, 0, err);
    }
    if (row.newest != p->newest) {
        st = q_server_seen(s->writer, p->me, row.newest, err);
        if (st) return st;
        p->newest = row.newest;
    }
    p->owner = row.owner == p->me;
    if (row.others == 0) return settle_alone(s, mono, wall, err);
    st = seq_catch_up(s, err);
    if (!st && row.owned == 0) { /* the owner has left */
        st = seq_turn(s, err);
        if (!st) st = seq_own(s, err);
        if (!st) st = sql_commit(s->writer, err);
        if (st) sql_rollback(s->writer);
    }
    return st;
}

void seq_leave(struct seq *s)
{
    struct err err = ERR_INIT;
    enum status st;

    if (!s->peers.on || s->peers.me == 0) {
        return;
    }
    st = sql_begin(s->writer, &err);
    if (!st) st = q_part_disown(s->writer, PART, s->peers.me, &err);
    if (!st) st = q_server_remove(s->writer, s->peers.me, &err);
    if (!st) st = sql_commit(s->writer, &err);
    if (st) {
        sql_rollback(s->writer);
        LOG_WARN("store", "the others will miss this server only later: %s", err.message);
    }
}

/* ---- starting, and again ---------------------------------------------------------------------------------------------------- */

/* From one snapshot when others write meanwhile. */
static enum status replay(struct seq *s, bool beside, struct err *err)
{
    enum status st = beside ? sql_read_begin(s->writer, err) : OK;

    s->peers.snapshot = beside;
    if (!st) st = seq_replay(s, err);
    s->peers.snapshot = false;
    if (beside) sql_read_end(s->writer);
    s->peers.refresh = true;
    return st;
}

enum status seq_join(struct seq *s, struct err *err)
{
    struct q_server_beat_row row;
    bool done = false;
    enum status st;

    s->peers.on = sql_db_shared(s->db);
    if (!s->peers.on) {
        return seq_replay(s, err);
    }
    st = enlist(s, err);
    while (!st && !done) {
        st = await_others(s, &done, err);
        if (!st && !done) {
            pause_ms(JOIN_POLL_MS);
            st =
                q_server_beat(s->writer, NULL, s->peers.me, 0, s->opt.lease_ms, PART, 0, &row, err);
        }
    }
    if (!st) {
        st = q_server_beat(s->writer, NULL, s->peers.me, 0, s->opt.lease_ms, PART, 0, &row, err);
    }
    if (!st && row.expired > 0) {
        st = reap(s, 0, err);
        if (!st) {
            st =
                q_server_beat(s->writer, NULL, s->peers.me, 0, s->opt.lease_ms, PART, 0, &row, err);
        }
    }
    if (!st && row.others == 0) {
        st = sql_begin(s->writer, err);
        if (!st) st = seq_own(s, err);
        if (!st) st = sql_commit(s->writer, err);
        if (st) sql_rollback(s->writer);
    }
    if (!st) st = replay(s, row.others > 0, err);
    s->peers.joined = st == OK;
    if (st) seq_leave(s);
    return st;
}

static enum status rejoin(struct seq *s, struct err *err)
{
    bool done = false;
    enum status st = OK;

    if (s->peers.unseen_ms == 0) {
        st = enlist(s, err);
        if (st) return st;
        s->peers.unseen_ms = clock_mono_ms();
    }
    st = await_others(s, &done, err);
    if (!st && done) {
        s->peers.joined = true;
        s->peers.unseen_ms = 0;
        s->peers.beat_at_ms = 0;
    }
    return st;
}

/* Nobody reads memory while it is taken down: new readers wait, the others finish. */
static enum status rebuild(struct seq *s, struct err *err)
{
    struct peers *p = &s->peers;
    int64_t until = clock_mono_ms() + READERS_WAIT_MS;
    struct q_server_beat_row row;
    enum status st;

    not_alone(s);
    atomic_store_explicit(&p->rebuilding, true, memory_order_seq_cst);
    while (atomic_load_explicit(&p->reading, memory_order_seq_cst) > 0) {
        if (clock_mono_ms() >= until) {
            atomic_store_explicit(&p->rebuilding, false, memory_order_seq_cst);
            return err_set(err, ST_UNAVAILABLE, "reads do not end");
        }
        pause_ms(READERS_POLL_MS);
    }
    LOG_WARN("store", "the log went another way: memory is built anew");
    heads_clear(s->heads);
    series_drained(s->series);
    mkeys_clear(s->mkeys);
    s->log_bytes = s->fold_bytes = 0;
    s->log_since_ms = -1;
    if (s->opt.changed) s->opt.changed(s->opt.changed_ctx, true);
    /* From here on the others keep every row: emptying a table of the log is seen by older snapshots too. */
    st = q_server_beat(s->writer, NULL, p->me, 0, s->opt.lease_ms, PART, 0, &row, err);
    if (!st) st = replay(s, true, err);
    if (!st) {
        runcols_drained(heads_columns(s->heads), s->drain); /* perhaps fewer than before */
        p->lost = false;
        p->beat_at_ms = 0;
        atomic_fetch_add_explicit(&p->rebuilt, 1, memory_order_relaxed);
    }
    atomic_store_explicit(&p->rebuilding, false, memory_order_seq_cst);
    return st;
}

/* The sequencer has not looked for too long, or has lost its memory. */
static bool looked_badly(struct seq *s)
{
    return clock_mono_ms() - atomic_load_explicit(&s->peers.looked_ms, memory_order_acquire) >
           STALE_MAX_MS;
}

/* ---- readers ---------------------------------------------------------------------------------------------------------------- */

static enum status look(struct seq *s, struct err *err)
{
    struct read_wait w = { .done = exec_event_new() };

    if (!w.done) {
        return err_nomem(err);
    }
    if (mpsc_push(&s->peers.readers, &w.link)) exec_actor_wake(s->actor);
    if (!exec_event_wait(w.done, -1)) {
        w.st = err_set(&w.err, ST_UNAVAILABLE, "the sequencer has stopped");
    }
    exec_event_free(w.done);
    if (w.st && err) *err = w.err;
    return w.st;
}

static enum status read_begin(struct seq *s, bool stale_ok, struct err *err)
{
    struct peers *p = &s->peers;
    enum status st = OK;

    if (!p->on) {
        return OK;
    }
    for (;;) {
        if (!seq_alone(s) && (!stale_ok || looked_badly(s))) st = look(s, err);
        if (st) return st;
        atomic_fetch_add_explicit(&p->reading, 1, memory_order_seq_cst);
        if (!atomic_load_explicit(&p->rebuilding, memory_order_seq_cst)) {
            return OK;
        }
        atomic_fetch_sub_explicit(&p->reading, 1, memory_order_seq_cst);
    }
}

bool seq_read_is_current(struct seq *s)
{
    return !s->peers.on || seq_alone(s);
}

enum status seq_read_begin(struct seq *s, struct err *err)
{
    return read_begin(s, s->opt.stale_ok, err);
}

enum status seq_read_begin_exact(struct seq *s, struct err *err)
{
    return read_begin(s, false, err);
}

void seq_read_end(struct seq *s)
{
    if (s->peers.on) atomic_fetch_sub_explicit(&s->peers.reading, 1, memory_order_seq_cst);
}

struct mpsc_node *seq_readers_take(struct seq *s)
{
    return s->peers.on ? mpsc_take_all(&s->peers.readers) : NULL;
}

void seq_readers_answer(struct seq *s, struct mpsc_node *first, enum status st,
                        const struct err *err)
{
    struct mpsc_node *next;

    (void)s;
    for (struct mpsc_node *n = first; n; n = next) {
        struct read_wait *w = CONTAINER_OF(n, struct read_wait, link);

        next = atomic_load_explicit(&n->next, memory_order_relaxed);
        w->st = st;
        if (st) w->err = *err;
        exec_event_set(w->done);
    }
}

/* ---- the doorbell ------------------------------------------------------------------------------------------------------------- */

static void rung(void *ctx)
{
    struct seq *s = (struct seq *)ctx;

    atomic_store_explicit(&s->peers.rung, true, memory_order_release);
    lock_take(&s->peers.bell_lock);
    if (!s->peers.bell_off && s->actor) exec_actor_wake(s->actor);
    lock_give(&s->peers.bell_lock);
}

void seq_bell_open(struct seq *s)
{
    struct err err = ERR_INIT;

    lock_init(&s->peers.bell_lock, LOCK_RANK_CACHE);
    if (s->peers.on && sql_bell_open(&s->peers.bell, s->db, s->opt.stale_ok, rung, s, &err)) {
        LOG_WARN("store", "no doorbell between servers: %s", err.message);
    }
}

void seq_bell_off(struct seq *s)
{
    lock_take(&s->peers.bell_lock);
    s->peers.bell_off = true;
    lock_give(&s->peers.bell_lock);
}

void seq_bell_close(struct seq *s)
{
    sql_bell_close(s->peers.bell);
    s->peers.bell = NULL;
    lock_release(&s->peers.bell_lock);
}

void seq_tell_others(struct seq *s)
{
    if (s->peers.listeners && !seq_alone(s)) sql_bell_ring(s->peers.bell);
}

/* ---- between groups ----------------------------------------------------------------------------------------------------------- */

static void serve_readers(struct seq *s)
{
    struct mpsc_node *waiting = seq_readers_take(s);
    struct err err = ERR_INIT;
    int64_t now = clock_mono_ms();
    bool rung = atomic_exchange_explicit(&s->peers.rung, false, memory_order_acq_rel);
    bool poll = s->opt.stale_ok && (rung || now - s->peers.looked_ms >= s->opt.stale_poll_ms) &&
                !seq_alone(s);
    enum status st = OK;

    if (!waiting && (!poll || s->peers.lost)) {
        return;
    }
    if (s->peers.lost) {
        st = err_set(&err, ST_UNAVAILABLE, "the server reads its store anew; try again");
    } else if (!seq_alone(s)) {
        st = seq_catch_up(s, &err);
    }
    if (!st) atomic_store_explicit(&s->peers.looked_ms, now, memory_order_release);
    if (st && err.retry_after_s == 0) err.retry_after_s = 1;
    seq_readers_answer(s, waiting, st, &err);
}

int64_t seq_peers_step(struct seq *s)
{
    struct peers *p = &s->peers;
    struct err err = ERR_INIT;
    int64_t now = clock_mono_ms();
    enum status st = OK;

    if (!p->on) {
        return -1;
    }
    if (now >= p->retry_ms) {
        if (!p->joined) st = rejoin(s, &err);
        if (!st && p->lost) st = rebuild(s, &err);
        if (!st && p->joined && !p->lost && now >= p->beat_at_ms) {
            p->beat_at_ms = now + s->opt.beat_ms;
            st = beat(s, &err);
        }
        if (st && !p->failing) LOG_WARN("store", "beside other servers: %s", err.message);
        p->failing = st != OK;
        p->retry_ms = st ? now + RETRY_MS : 0;
    }
    serve_readers(s);
    atomic_store_explicit(&p->seen_owner, p->owner, memory_order_relaxed);
    if (p->retry_ms > 0) return RETRY_MS;
    if (!p->joined || p->lost) return JOIN_POLL_MS;
    now = clock_mono_ms();
    if (s->opt.stale_ok && !seq_alone(s)) {
        return MAX_OF(MIN_OF(p->beat_at_ms, p->looked_ms + s->opt.stale_poll_ms) - now, (int64_t)1);
    }
    return MAX_OF(p->beat_at_ms - now, (int64_t)0);
}
