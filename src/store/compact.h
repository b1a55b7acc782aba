/* store/compact.h - the compactor: an actor of its own that moves points from packs to chunks in the background.
 * Drains tell it what they wrote. An owner is due when its packs hold a chunk of some key (CHUNK_POINTS), when it has more
 * than MERGE_PACKS packs, or when its run has ended. Then the compactor reads the packs on its own connection, encodes on its own
 * thread (store/series/merge.h), and submits one write operation, "series.merge", whose validate() finds out whether the packs are
 * still there, takes them away and puts chunks in: in the transaction of its group, so that a crash leaves all of it or nothing.
 *
 * Only packs that the row of the run has folded (w0 <= runhead.ver) are merged: latest values never depend on a merged pack.
 *
 * Budget: while writes wait or were made in the last quarter of a second, it sleeps three times as long as it computed, so it takes at most a
 * quarter of one core, also when everything was asked for; alone it does not sleep. Owners that need nothing are passed by in
 * pages of hundreds. It ends between two keys of a merge. Memory: one merge at a time, see merge.h; of due owners at most OWNERS_MAX (others
 * are found again by a later drain or the next start). Nothing that readers or writers need is held while it works.
 *
 * Failures are logged and tried again when the owner is due the next time; a damaged body is logged with its owner, and the owner
 * is left alone until the next start.
 * Ownership: the opener owns the compactor. Order: compact_new, seq_open with it, compact_start; compact_stop, seq_close, compact_free.
 * Thread rule: as each function says. */
#ifndef CAIRN_STORE_COMPACT_H
#define CAIRN_STORE_COMPACT_H

#include "base/err.h"

struct compact;
struct seq;
struct sql_conn;

struct compact_options {
    size_t chunk_points; /* 0 = CHUNK_POINTS; less is for tests */
    size_t packs;        /* 0 = MERGE_PACKS */
    size_t rewrite;      /* points; 0 = MERGE_REWRITE; less is for tests */
};
enum status compact_new(struct compact **out, const struct compact_options *opt,
                        struct err *err) ATTR_CHECK;
/* Takes the reading connection over, also on failure. Looks for owners that were due when the store was last closed. */
enum status compact_start(struct compact *c, struct seq *seq, struct sql_conn *reader,
                          struct err *err) ATTR_CHECK;
/* Ends the actor. An operation that is submitted may still be answered until seq_close() or seq_abandon() has returned. NULL-safe. */
void compact_stop(struct compact *c);
void compact_free(struct compact *c); /* NULL-safe */

/* ---- from the sequencer, in a drain ------------------------------------------------------------------------------------ */

void compact_packed(struct compact *c, int64_t owner, int64_t kn);
void compact_ended(struct compact *c, int64_t owner);
/* The drain is committed: what was told before counts from now on. */
void compact_drained(struct compact *c);

/* ---- asking, any thread ------------------------------------------------------------------------------------------------- */

/* Brings every owner into its final form, once; after a seq_drain(). Returns at once. */
void compact_all(struct compact *c);
/* Waits until no compact_all() of before is left. False after timeout_ms (< 0: no limit), or when the compactor stops. Never
 * on a loop thread. */
bool compact_wait(struct compact *c, int64_t timeout_ms);

struct compact_stats {
    uint64_t merges, points, chunks; /* since the start */
    uint64_t failed;
    uint64_t cpu_ns;
    uint64_t owners;     /* looked at by the last compact_all() */
    uint64_t waiting;    /* owners that are due */
    bool all_wanted;     /* compact_all() was asked for and is not done */
    uint64_t all_rounds; /* how many of them are done */
};
void compact_stats(struct compact *c, struct compact_stats *out);

#endif
