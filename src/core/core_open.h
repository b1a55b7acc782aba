/* core/core_open.h - making the one struct core of a process: store, caches, sequencer, readers.
 * Ownership: core_open() gives it to the caller, who closes it after everything that submits to it has stopped. Blobs are the
 * caller's to set and close. Thread rule: open and close on one thread, never a loop. */
#ifndef CAIRN_CORE_CORE_OPEN_H
#define CAIRN_CORE_CORE_OPEN_H

#include "core/core.h"
#include "core/graph/graph.h"
#include "store/compact.h"
#include "store/seq.h"
#include "store/sql/sql.h"

struct core_options {
    struct sql_options sql;
    struct str artifact_root; /* copied */
    unsigned readers;         /* pool threads with a connection each; 0 = 4 */
    size_t read_queue;        /* reads waiting; 0 = 4,096 */
    size_t tail_bytes;        /* points in memory; 0 = 32 MiB */
    size_t head_bytes;        /* runs in memory; 0 = 64 MiB */
    size_t key_bytes;         /* names in memory; 0 = 32 MiB */
    size_t fragment_bytes;    /* encoded runs in memory; 0 = 16 MiB */
    size_t column_bytes;      /* search columns in memory; 0 = a quarter of the machine's */
    int64_t column_save_ms;   /* between two times of storing them; 0 = 30,000 */
    size_t column_save_bytes; /* of one write of them; 0 = 4 MiB */
    struct graph_options graph;
    int64_t drain_age_ms; /* these as in struct seq_options */
    size_t drain_bytes;
    size_t hold_bytes;
    int64_t head_age_ms;
    int64_t wal_bytes;
    int64_t idle_ms;
    size_t wait_ops, wait_bytes;
    int64_t lease_ms, beat_ms;
    bool stale_ok;
    int64_t stale_poll_ms;
    struct compact_options compact;
    int64_t purge_rows;         /* 0 = 4,096: some 50 ms */
    bool typed_others;          /* as in struct core */
    int64_t keep_deleted_ms;    /* runs deleted longer ago go for good; 0 = never */
    int64_t retention_every_ms; /* how often the rules of experiments are obeyed; 0 = never */
    /* Writing has ended for a while, as seq.h has it: a moment to give memory back. May be NULL. */
    void (*idle)(void *ctx);
    void *idle_ctx;
};

/* Opens and migrates the store, replays its log, makes experiment 0. */
enum status core_open(struct core **out, const struct core_options *opt,
                      struct err *err) ATTR_CHECK;
void core_close(struct core *core); /* NULL-safe; finishes reads and writes that wait */

/* Leaves the store as a crash would: nothing that waits is finished or answered. For tests. */
void core_abandon(struct core *core);

/* For commands and tests: fills *v with the first connection of the pool; no read job may run meanwhile. */
void core_view(struct core *core, struct arena *a, struct view *v);

#endif
