/* store/seq.h - the sequencer: the one writer of a store.
 * Every change is a struct write_op. Producers queue it with seq_submit(); the sequencer (an exec_actor that owns the write
 * connection) takes what is waiting as one group, and per operation in order calls kind->validate() against the state in memory
 * plus the earlier operations of the group. validate() runs SQL on group_conn() and adds records to the group's batch body.
 * Operations whose validate() fails are dropped from the group (their SQL is rolled back to a savepoint when kind->sql is
 * set). Then COMMIT once; then apply() of each survivor in order, which changes memory and cannot fail; then done() of each.
 * If COMMIT fails, nothing is applied and every operation of the group gets ST_UNAVAILABLE. While one commit is in flight the next
 * group collects; a single client is committed at once.
 * Caps: operations waiting, bytes waiting (seq_submit answers ST_UNAVAILABLE), operations and points per group.
 * Ownership: an operation lives in its submitter's arena until done() has returned.
 *
 * Several servers on one PostgreSQL (sql_options.shared): each has a sequencer and all of the log in memory. They take turns: who
 * commits a group does so behind the last row of the log only, after playing the rows of the others, so numbers of rows are
 * the order of commits on all servers. A server that is alone skips looking. One of them drains. See seq_peers.c.
 *
 * The sequencer is a role. Mostly its thread holds it; a thread that submits may take it for one small group (seq_here()).
 * Thread rule: seq_submit any thread; validate, apply and done run on the thread that holds the role, one at a time, "the
 * sequencer's thread" elsewhere; done must only hand over. Who submits has returned from it before seq_close(). */
#ifndef CAIRN_STORE_SEQ_H
#define CAIRN_STORE_SEQ_H

#include "base/arena.h"
#include "base/exec.h"

struct sql_conn;
struct sql_db;
struct seq;
struct group;
struct write_op;
struct compact;

struct write_kind {
    const char *name; /* "run.create": in logs, metrics and audit */
    enum status (*validate)(struct write_op *op, struct group *g, struct err *err);
    void (*apply)(struct write_op *op); /* may be NULL */
    /* Called instead of apply() when the operation passed validate() but its statements failed afterwards, or the group did not
     * commit; may be NULL. */
    void (*undo)(struct write_op *op);
    bool sql; /* validate() runs SQL that can fail: give it a savepoint */
    bool
        brief; /* validate() works on memory and reads a few rows by their keys at most: see seq_here() */
};

struct write_op {
    const struct write_kind *kind;
    struct arena *arena;
    void (*done)(struct write_op *op);
    void *user; /* the submitter's */
    /* The sequencer's. */
    struct mpsc_node link;
    struct write_op *next;
    bool passed;
    size_t effects_from, effects_n;
    size_t bytes; /* in: size of the request, for the cap on waiting bytes */
    /* Out, valid in done(). Last: its text keeps what both threads touch in one place. */
    enum status st;
    struct err err;
};

#define WRITE_OP_OF(ptr, type) CONTAINER_OF((ptr), type, op)

/* An empty operation; for those that are made often, since it leaves the text of err as it was. */
static inline void write_op_init(struct write_op *op, const struct write_kind *kind,
                                 struct arena *arena)
{
    op->kind = kind;
    op->arena = arena;
    op->done = NULL;
    op->user = NULL;
    op->st = OK;
    err_clear(&op->err);
    op->next = NULL;
    op->passed = false;
    op->effects_from = op->effects_n = op->bytes = 0;
}

/* ---- life cycle ----------------------------------------------------------------------------------------------------------- */

struct seq_options {
    struct sql_db *db;
    struct mkeys *mkeys;
    struct heads *heads;
    struct series *series;
    struct sql_conn *writer; /* taken over */
    struct compact *compact; /* told what drains wrote; may be NULL */
    int64_t
        drain_age_ms; /* 0 = 10,000: changes older than this are moved from the log to packs and rows */
    size_t
        drain_bytes; /* 0 = 8 MiB of points in memory or of log: drained at once; half of it of packs that heads lack: heads are written */
    int64_t
        head_age_ms; /* 0 = 60,000: a head that only got points is written this long after the last time */
    size_t wait_ops, wait_bytes; /* 0 = 8,192 operations, 256 MiB */
    int64_t
        wal_bytes; /* 0 = 8 MiB of the engine's log are copied to the database; it is cut when a start would read 2.5 times that */
    size_t
        hold_bytes; /* 0 = 64 MiB: of covered log, that is kept for who has not read it (core/outbox.h) */
    int64_t
        idle_ms; /* 0 = 1,000: the engine's log is cut, and memory given back, after this time without writes */
    /* Beside other servers. */
    int64_t lease_ms; /* 0 = 10,000: who is not heard of for this time is put off the list */
    int64_t beat_ms;  /* 0 = a tenth of it: between signs of life */
    int64_t
        alone_ms; /* 0 = 3 times that: how long a server that is alone may rely on the last one */
    /* Reads do not look at the log; the sequencer does so when another server rings, and every so often, while there are others. */
    bool stale_ok;
    int64_t stale_poll_ms; /* 0 = 15 */
    /* Other servers have written, perhaps anything: caches of rows are stale; tokens: also those of the store's tokens. On the
     * sequencer's thread; may be NULL. */
    void (*changed)(void *ctx, bool tokens);
    void *changed_ctx;
    /* No write came for idle_ms, and what the writing kept in memory was given back. On the sequencer's thread; may be NULL. */
    void (*idle)(void *ctx);
    void *idle_ctx;
};
/* Replays the log into heads and series, then starts the actor. On failure the writer is disconnected as well. */
enum status seq_open(struct seq **out, const struct seq_options *opt, struct err *err) ATTR_CHECK;
/* Finishes what waits, drains, stops. NULL-safe. Before mkeys, heads and series are closed. */
void seq_close(struct seq *s);

/* Stops at once, as a crash would: what is not committed is lost and its operations are never answered. For tests. */
void seq_abandon(struct seq *s);

struct seq_stats {
    size_t waiting, waiting_bytes;
    uint64_t groups, ops, points, drains, failed_groups;
    uint64_t here; /* groups of those that seq_here() ran */
    int64_t last_seq, mark, drain;
    size_t log_bytes;
    size_t replay_bytes,
        replay_max; /* what a start would read after a kill now, and after any commit since the start */
    size_t replayed_bytes; /* what this start has read: the engine's log, the log, packs */
    int64_t replay_ns;     /* and how long that took */
    size_t heads_bytes, tails_bytes; /* of memory: runs; points that are not in packs yet */
    unsigned others;                 /* other servers on the same store */
    bool owner;                      /* this one drains */
    uint64_t foreign;                /* groups of others played */
    uint64_t rebuilt;                /* times that memory was built anew */
    uint64_t rings;                  /* of the doorbell, for others */
    bool bell_up;                    /* it has a session */
    size_t held_bytes;               /* of covered log, kept for who has not read it */
    uint64_t unread;                 /* rows of the log that went unread, being beyond the cap */
};
/* Any thread; numbers of different moments. */
void seq_stats(struct seq *s, struct seq_stats *out);

/* The caps on what waits. Immutable. */
void seq_caps(const struct seq *s, size_t *ops, size_t *bytes);
/* seq_options.hold_bytes. Immutable. */
size_t seq_hold_bytes(const struct seq *s);

/* The last row of the log whose changes are in memory here: who reads memory after this call sees at least these. A row behind it may be
 * in the database already, from the commit of its group until the group has been applied. Any thread. */
int64_t seq_applied(const struct seq *s);

/* ---- submitting ------------------------------------------------------------------------------------------------------------ */

/* When it answers anything but OK, done() is not called and op->err says why. */
enum status seq_submit(struct seq *s, struct write_op *op) ATTR_CHECK;
/* The same without waking the sequencer, for a caller that has more to submit: seq_wake() follows, from the same thread. What
 * the sequencer takes before that is as well. */
enum status seq_submit_quiet(struct seq *s, struct write_op *op) ATTR_CHECK;
void seq_wake(struct seq *s);
/* As seq_wake(), for a thread that can spare the time of a short commit, an event loop at the end of its turn. When nobody is at
 * a group, what waits is brief and small, and commits have been short, the group is committed by this thread now, and done()
 * called here. The caller calls again after so many milliseconds at the latest, and whenever it has submitted more: 0 = what came
 * meanwhile waits, 1 = the next group fills (decisions/106-gathering.md), -1 = nothing is left to this thread. */
int64_t seq_here(struct seq *s) ATTR_CHECK;
/* For commands and tests: submits and waits. Never on a loop thread. Returns op->st and copies op->err. */
enum status seq_run(struct seq *s, struct write_op *op, struct err *err);
/* Moves everything from the log to packs and rows now; waits. For commands and tests, never on a loop thread. */
enum status seq_drain(struct seq *s, struct err *err);

/* Before a read of what is in memory: everything that any server has acknowledged by now is in memory here when this
 * returns OK. Costs a look at the clock unless other servers are on the store. ST_UNAVAILABLE when the database does not
 * answer. seq_read_end() follows, when it was OK, once memory has been read: never on a loop or the sequencer's thread. */
enum status seq_read_begin(struct seq *s, struct err *err) ATTR_CHECK;
/* The same also where seq_options.stale_ok lets other reads look less often. */
enum status seq_read_begin_exact(struct seq *s, struct err *err) ATTR_CHECK;
void seq_read_end(struct seq *s);
/* Whether that would do nothing at this moment: no other server is on the store. A loop may then answer from memory. Any thread. */
bool seq_read_is_current(struct seq *s);

/* ---- inside validate() ------------------------------------------------------------------------------------------------ */

struct sql_conn *group_conn(struct group *g);
/* When what the group writes is recorded: never before what was recorded earlier, also by other servers and before a start, but where the
 * clock was set back by more than an hour. It may rise from one operation of the group to the next. */
int64_t group_now_ms(const struct group *g);
/* The operations that wait behind the one that is being validated, in order, at most max: how many. They are validated next, in
 * this group, unless one before them adds records. For kinds that do the work of many at once. */
size_t group_ahead(struct group *g, struct write_op **out, size_t max);
/* The number of this server in the list of those on the store; 0 when no others can be. */
int64_t group_server(const struct group *g);
/* A new node uid; unused ones leave gaps after a failed group. */
int64_t group_new_uid(struct group *g);
/* The next value of a dense counter ("node:0:2"); given back when the operation or its group fails. The first use of a
 * name reads its row; rows are written once per group. A counter is used either this way or with SQL, never both. */
enum status group_counter(struct group *g, struct str name, int64_t *out, struct err *err);
/* The counter is at `least` or beyond from now on. */
enum status group_counter_raise(struct group *g, struct str name, int64_t least, struct err *err);

/* ---- for services whose state is in memory (runs) ----------------------------------------------------------------------- */

struct batch_builder;
struct mkeys;
struct heads;
struct series;
struct stamp;

struct batch_builder *group_batch(struct group *g);
struct mkeys *group_mkeys(struct group *g);
struct heads *group_heads(struct group *g);
struct series *group_series(struct group *g);
/* Lives until the group has ended. */
struct arena *group_arena(struct group *g);
/* Number of the last drain: what heads_dirty() and heads_create() want. */
int64_t group_drain(const struct group *g);
/* The stamp of a record of this group. */
void group_stamp(const struct group *g, uint32_t ordinal, struct stamp *out);
/* Something that happens when the group has committed (apply, which cannot fail), or has not (undo), in order, undo in
 * reverse. Either may be NULL. When this fails with ST_NOMEM the caller undoes its own. */
enum status group_effect(struct group *g, void (*apply)(void *ctx), void (*undo)(void *ctx),
                         void *ctx, struct err *err) ATTR_CHECK;
/* What earlier operations of the group changed and readers do not see yet, by (kind, a, b). A put of an operation that fails is
 * taken back. value must not be NULL. */
enum pending_kind {
    PENDING_LIFECYCLE = 1,
    PENDING_EXPERIMENT = 2,
    PENDING_PARAM = 3,
    PENDING_TAG = 4,
    PENDING_PURGE = 5 /* the run is being deleted for good */
};
const void *group_pending(struct group *g, enum pending_kind kind, int64_t a, int64_t b);
enum status group_pending_put(struct group *g, enum pending_kind kind, int64_t a, int64_t b,
                              const void *value, struct err *err) ATTR_CHECK;

#endif
