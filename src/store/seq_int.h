/* store/seq_int.h - inside of the sequencer, shared by seq.c (groups), seq_drain.c and seq_replay.c. */
#ifndef CAIRN_STORE_SEQ_INT_H
#define CAIRN_STORE_SEQ_INT_H

#include "base/map.h"
#include "base/vec.h"
#include "store/heads.h"
#include "store/seq.h"
#include "store/series/batch.h"
#include "store/series/series.h"

#include <stdatomic.h>

enum { COUNTERS_MAX = 16, COUNTER_NAME_MAX = 48 };

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
    int64_t seq, now_ms;
    struct batch_builder batch;
    struct write_op *first, *last; /* its operations, by write_op.next */
    size_t ops_n, passed_n, failed_n;
    VEC(struct effect) effects;
    struct str_map pending;
    VEC(struct pending_change) pending_log;
};

/* A commit whose outcome could not be learnt: nothing else happens until it is. */
enum doubt { DOUBT_NONE, DOUBT_GROUP, DOUBT_DRAIN };

struct seq {
    struct exec_actor *actor;
    struct mpsc inbox;
    _Atomic size_t waiting, waiting_bytes;
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
    int64_t epoch, last_seq, last_uid;
    int64_t mark, drain, folded;
    size_t log_bytes;       /* of bodies above the mark */
    int64_t log_since_ms;   /* monotonic time of the first of them; -1 = none */
    int64_t drain_retry_ms; /* not before, after a drain that failed */
    int64_t drain_now;      /* monotonic time and force of the last drain begun */
    bool drain_force;
    int64_t wal_passive_at; /* bytes of the engine's log after the last passive checkpoint */
    int64_t idle_since_ms;
    bool checkpointed; /* the log file is truncated since the last write */
    struct counter counters[COUNTERS_MAX];
    size_t counters_n;
    _Atomic uint64_t groups, ops, points, drains, failed_groups;
    _Atomic int64_t seen_seq, seen_mark, seen_drain; /* copies for seq_stats() */
    _Atomic size_t seen_log;
};

/* seq_drain.c: moves everything up to last_seq from the log to packs and rows; force: also heads that are not due. */
enum status seq_drain_now(struct seq *s, bool force, struct err *err);
/* The commit of the drain in doubt has happened: what is left to do in memory. */
void seq_drain_committed(struct seq *s, int64_t drain, int64_t folded);
bool seq_has_log(const struct seq *s);
/* Checkpoints and truncates the engine's own log as its size and idleness ask; returns when to look again, -1 never. */
int64_t seq_checkpoint(struct seq *s, bool idle);

/* seq_replay.c: at start. */
enum status seq_replay(struct seq *s, struct err *err);

#endif
