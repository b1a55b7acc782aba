/* store/seq_int.h - inside of the sequencer, shared by seq.c (groups), seq_here.c, seq_drain.c and seq_replay.c. */
#ifndef CAIRN_STORE_SEQ_INT_H
#define CAIRN_STORE_SEQ_INT_H

#include "base/map.h"
#include "base/vec.h"
#include "store/heads.h"
#include "store/seq.h"
#include "store/series/batch.h"
#include "store/series/series.h"

#include <stdatomic.h>

enum { COUNTERS_MAX = 16, COUNTER_NAME_MAX = 48, WAIT_SHIFT = 44 };

#define WAIT_ONE ((uint64_t)1 << WAIT_SHIFT)

struct counter {
    char name[COUNTER_NAME_MAX];
    int64_t value, committed; /* committed: as in its row */
};

struct effect {
    void (*apply)(void *ctx);
    void (*undo)(void *ctx);
    void *ctx;
};

struct pending_change {
    struct str key;
    void *before; /* NULL: there was none */
};

struct group {
    struct seq *s;
    struct arena *arena;
    int64_t seq, tag, now_ms;
    struct batch_builder batch;
    struct write_op *first, *last; /* its operations, by write_op.next */
    size_t ops_n, ops_bytes, passed_n, failed_n;
    VEC(struct effect) effects;
    struct str_map pending;
    VEC(struct pending_change) pending_log;
};

/* A commit whose outcome could not be learnt: nothing else happens until it is. */
enum doubt { DOUBT_NONE, DOUBT_GROUP, DOUBT_DRAIN };

/* Beside other servers (seq_peers.c). All but the atomics is the sequencer's. */
struct peers {
    bool on;       /* others may come */
    bool joined;   /* every other server knows of this one: it may write */
    bool refresh;  /* others may have given out numbers and changed rows since the last group */
    bool lost;     /* memory does not follow from the log: it must be built anew */
    bool owner;    /* this server drains */
    bool snapshot; /* a replay reads one moment, while others write: it cannot drain */
    bool failing;  /* said so already */
    bool tokens;   /* a row that was played says that they changed */
    int64_t me;    /* its number in the list */
    int64_t newest, unseen_ms;
    int64_t beat_at_ms, retry_ms; /* monotonic */
    /* Times until which nobody else writes, as of the list: monotonic and wall. 0: there are others. */
    _Atomic int64_t alone_until_ms, alone_until_wall_ms;
    _Atomic int64_t looked_ms; /* monotonic time of the last look for readers */
    struct mpsc readers;       /* of struct read_wait */
    _Atomic unsigned reading;
    _Atomic bool rebuilding;
    struct sql_bell *bell;
    struct lock bell_lock; /* guards bell_off, and the wake of a ring */
    bool bell_off;
    bool listeners;          /* another server listens to the bell */
    _Atomic bool rung;       /* another server has rung */
    _Atomic unsigned others; /* for seq_stats(), like the next three */
    _Atomic bool seen_owner;
    _Atomic uint64_t foreign, rebuilt;
};

/* Who may touch what the sequencer owns. */
enum role {
    ROLE_FREE,
    ROLE_THREAD, /* the actor, or it was handed over to it and it was woken */
    ROLE_HERE,   /* a thread in seq_here() */
    ROLE_CALLED  /* the same, and the actor has asked for it */
};

/* Who was just answered mostly writes again at once: waiting for them for a moment makes one commit of two. */
struct gather {
    _Atomic size_t want; /* not woken from a turn before so many operations wait; 0 = at once */
    /* Until then seq_here() does not begin before so many wait. */
    _Atomic size_t here_want;
    _Atomic int64_t here_until_ns;
    _Atomic bool
        here_next; /* what comes while the thread has the role is for the loops that brought it: they come back */
    size_t had;      /* waited when that began */
    int64_t took_ns; /* what groups take, smoothed */
    int64_t op_ns;   /* what validating one operation takes, smoothed */
    /* The thread's: its next group waits for so many, until then; 0 = it does not. */
    size_t goal;
    int64_t goal_until_ns;
    int64_t waited_ns;  /* of the time of this group */
    unsigned off, skip; /* groups after which nobody waits, since waits were in vain */
};

struct seq {
    struct exec_actor *actor;
    struct gather gather;
    _Atomic unsigned role; /* enum role */
    unsigned slow;         /* how often groups are; the role's, like all that is not atomic */
    struct mpsc inbox;
    _Atomic uint64_t
        waiting; /* operations << WAIT_SHIFT | their bytes: one cache line moves once */
    _Atomic bool stopping, abandoned, drain_wanted;
    struct sql_db *db;
    struct sql_conn *writer;
    struct mkeys *mkeys;
    struct heads *heads;
    struct series *series;
    struct seq_options opt;
    struct write_op *first, *last; /* taken from the inbox, by write_op.next */
    struct group g;
    enum doubt doubt;
    struct peers peers;
    int64_t epoch, last_seq, last_uid;
    int64_t recorded_ms; /* the time of the last group, and of the last facts of others */
    int64_t tag;         /* of the row last_seq */
    uint64_t tag_state;  /* tags are made from */
    int64_t replay_tip;  /* the last row of the log, which a replay has not reached; else 0 */
    int64_t fence;       /* under which this process commits */
    int64_t mark, drain, folded;
    size_t log_bytes;  /* of bodies above the mark */
    size_t fold_bytes; /* of packs that a start would read, as rows of heads lack them */
    _Atomic size_t replayed_bytes; /* by a start: of the engine's log, bodies of ours, such packs */
    _Atomic int64_t replay_ns;     /* what it took */
    int64_t wal_cut_at;     /* bytes of the engine's log after it could not be cut; 0 = it could */
    int64_t log_since_ms;   /* monotonic time of the first of them; -1 = none */
    int64_t drain_retry_ms; /* not before, after a drain that failed */
    int64_t drain_now;      /* monotonic time and force of the last drain begun */
    bool drain_force;
    size_t drain_packs;     /* bytes of its packs */
    int64_t wal_passive_at; /* bytes of the engine's log after the last passive checkpoint */
    int64_t idle_since_ms;
    VEC(int64_t)
    aside;           /* rows that were not played whole: kept apart by the drain that covers them */
    int64_t release; /* covered rows up to this one may go */
    int64_t unread_said_ms; /* monotonic time of the last warning of these */
    int64_t unread_to;      /* and these went although somebody had to read them */
    bool checkpointed;      /* the log file is truncated since the last write */
    struct counter counters[COUNTERS_MAX];
    size_t counters_n;
    _Atomic uint64_t groups, ops, points, drains, failed_groups, here;
    _Atomic int64_t seen_seq; /* copy of last_seq, behind what was applied: seq_applied() */
    _Atomic int64_t seen_mark, seen_drain; /* copies for seq_stats() */
    _Atomic size_t held;                   /* for seq_stats(), like the next one */
    _Atomic uint64_t unread;
    _Atomic size_t seen_log, seen_heads, seen_tails, seen_replay, seen_replay_max;
};

/* seq.c */
/* Takes the operations that were submitted; commits one group of them; copies figures for seq_stats(). */
void seq_take_inbox(struct seq *s);
void seq_group_run(struct seq *s);
void seq_show(struct seq *s);
/* All up to last_seq is in memory: others may rely on it. */
void seq_applied_now(struct seq *s);
/* Memory or log are full enough, old enough, or somebody asked. */
bool seq_drain_is_due(const struct seq *s, int64_t now, bool wanted);
/* The actor's step, once it has the role. */
int64_t seq_thread_step(struct seq *s);

/* seq_here.c */
/* The actor's step: takes the role, or learns that it will be handed over. */
int64_t seq_step(void *ctx);
/* Runs a group, and learns from the time that it takes whether loops may run the next ones. */
void seq_group_timed(struct seq *s, int64_t now);
/* After a group: waits for the next one to fill, or to have begun doing so where its operations are long. */
void seq_gather(struct seq *s);
/* In a group that began before all that it waits for were there: waits for more. False: nothing else has come. */
bool seq_gather_more(struct seq *s);
/* Validating n operations took so long. */
void seq_gather_learn(struct seq *s, size_t n, int64_t ns);
/* What waits after a group of the thread is not the thread's: the loops that brought it come back for it. */
bool seq_leaves_to_loops(const struct seq *s);
size_t seq_waiting_ops(struct seq *s);

/* seq_drain.c: moves everything up to last_seq from the log to packs and rows; force: also heads that are not due. */
enum status seq_drain_now(struct seq *s, bool force, struct err *err);
/* The commit of the drain in doubt has happened: what is left to do in memory. */
void seq_drain_committed(struct seq *s, int64_t drain, int64_t folded);
bool seq_has_log(const struct seq *s);
/* Checkpoints and truncates the engine's own log as its size and idleness ask; returns when to look again, -1 never. */
int64_t seq_checkpoint(struct seq *s, bool idle);

/* After a commit: how much a start would have to read by now, for seq_stats(). */
void seq_note_replay(struct seq *s);
/* Whether seq_checkpoint() has something to do although the sequencer is busy. */
bool seq_checkpoint_due(const struct seq *s);

/* seq_replay.c: at start. */
enum status seq_replay(struct seq *s, struct err *err);
/* Plays the rows behind last_seq, those of other servers. ST_UNAVAILABLE, and peers.lost is set when memory must be built
 * anew. */
enum status seq_catch_up(struct seq *s, struct err *err);

/* seq_peers.c */
/* Joins the other servers and replays the log. */
enum status seq_join(struct seq *s, struct err *err);
/* Begins a transaction of the writer in which memory is up to date and nobody else commits (or whose commit fails). */
enum status seq_turn(struct seq *s, struct err *err);
/* In a turn: this process drains from now on. */
enum status seq_own(struct seq *s, struct err *err);
/* Nobody else writes, as far as the list said in time. */
bool seq_alone(struct seq *s);
/* A commit failed: look before the next one. */
void seq_suspect(struct seq *s);
/* Signs of life, waiting readers, building anew; returns when it wants to run again, -1: not. */
int64_t seq_peers_step(struct seq *s);
/* False while groups must wait. */
bool seq_may_write(const struct seq *s);
/* Answers readers that wait, after an exact look or with the status. */
void seq_readers_answer(struct seq *s, struct mpsc_node *first, enum status st,
                        const struct err *err);
struct mpsc_node *seq_readers_take(struct seq *s);
/* The doorbell: opened with the actor, off before the actor is freed, closed behind it. Others are told after a commit. */
void seq_bell_open(struct seq *s);
void seq_bell_off(struct seq *s);
void seq_bell_close(struct seq *s);
void seq_tell_others(struct seq *s);
/* Leaves the list. */
void seq_leave(struct seq *s);

#endif
