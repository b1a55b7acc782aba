/* core/run_purge.h - deleting a run for good.
 * The operation takes the run away: its row, identity and place in memory, at once, and of its points and artifact rows as many as
 * fit into one short transaction. What is left is taken away in further short ones by a background worker, also after a
 * crash: its owner stands in a list until then. A tombstone stays (uid, kind, type, digest, who, when), and so do the edges of the run,
 * so that a model keeps its origin; the run's id is free again. Points that it logged for a model stay with the model. Bytes
 * of artifacts are given back by the collection of objects that nothing refers to.
 * Ownership: an operation lives in its submitter's arena until done has run; the opener owns the worker.
 * Thread rule: as struct write_op; the worker's functions on the thread that opens the core. */
#ifndef CAIRN_CORE_RUN_PURGE_H
#define CAIRN_CORE_RUN_PURGE_H

#include "core/core.h"
#include "store/seq.h"

/* Deletes a run, active or deleted, for good. ST_NOT_FOUND "Run with id=X not found". */
struct run_purge {
    struct write_op op;
    struct core *core;
    struct str run_id, who;
    bool
        only_deleted; /* ST_INVALID_STATE for an active run, or one that a version stands on: retention */
    bool force;       /* also when registered versions stand on it; else ST_CONFLICT */
    int64_t
        deleted_before_ms; /* not 0: only what core/retention.h may take; else ST_INVALID_STATE */
};
void run_purge_init(struct run_purge *p, struct core *core, struct arena *a);

/* The worker: finishes what is in the list; ties data to its places (core/graph/place.h); purges runs that were deleted longer than keep_ms ago, 0 = never; and obeys the rules of
 * core/retention.h every so often, 0 = never. */
struct purger;
/* Takes the reading connection over, also on failure. */
enum status purger_new(struct purger **out, struct core *core, struct sql_conn *reader,
                       int64_t keep_ms, int64_t rules_every_ms, struct err *err) ATTR_CHECK;
void purger_wake(struct purger *p);
/* Inside validate(): it looks when the group has committed. */
enum status purge_wake_after(struct group *g, struct core *core, struct err *err);
void purger_rules(struct purger *p); /* a rule was changed: looks now */
/* Ends the worker's thread; an operation of its may still be answered. NULL-safe. */
void purger_stop(struct purger *p);
void purger_free(struct purger *p); /* after the sequencer is closed; NULL-safe */

#endif
