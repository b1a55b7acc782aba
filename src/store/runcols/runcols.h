/* store/runcols/runcols.h - the columns of all experiments that are searched: which runs they have, columns loaded or built when a
 * search names them, brought up to date before each search, dropped when memory is short.
 *
 * SQL and the heads in memory are the truth (store/heads.h); everything here can be thrown away. The sequencer only says "this run
 * changed" (runcols_touch), into a buffer of fixed size for each experiment in memory: a few nanoseconds, nothing that can
 * fail. A search first brings its experiment up to date on its own thread, under the experiment's fold lock: it takes
 * what was touched and either folds it into new columns of the segments concerned, or, when that is little, leaves those
 * rows to be answered from their heads (struct runcols_query, newer). So a search sees every change whose write was
 * answered before it began. It then holds references to the columns it named and lets go of the lock: nobody waits for a search.
 * When more was touched than the buffer holds, what changed is found again by ver of the rows and by the heads in memory.
 *
 * What is stored (runcols_save_*, table colseg) says up to which drain it is complete (colkey.ver): the rows with a greater ver are newer, and so
 * are all heads in memory, and nothing else. See docs/decisions/093-search-columns.md.
 *
 * Bounds: memory of columns (a search may exceed it while it runs), COLUMN_KEYS_MAX keys of an experiment after a fold.
 * Ownership: the opener owns it all. Thread rule: runcols_touch, _gone, _lifecycle, _drained on the sequencer's thread; the rest on pool
 * threads. */
#ifndef CAIRN_STORE_RUNCOLS_RUNCOLS_H
#define CAIRN_STORE_RUNCOLS_RUNCOLS_H

#include "base/arena.h"
#include "store/columns/columns.h"

struct heads;
struct sql_conn;
struct runcols;

enum status runcols_open(struct runcols **out, size_t max_bytes, struct err *err);
/* Whose heads are read; before any search. */
void runcols_set_heads(struct runcols *rc, struct heads *heads);
void runcols_close(struct runcols *rc); /* NULL-safe; no search may run */

/* ---- the sequencer ---------------------------------------------------------------------------------------------------------------- */

/* A run is new, or something of it changed, and readers of its head see it. mark: the head's own, so that a run that is touched
 * again before a search has come by costs next to nothing; NULL without. NULL-safe. */
void runcols_touch(struct runcols *rc, int64_t exp, int64_t uid, uint64_t *mark);
/* A run was deleted for good, perhaps by another server; of which experiment it was, nobody here knows. NULL-safe. */
void runcols_gone(struct runcols *rc, int64_t uid);
/* All runs of an experiment got this lifecycle, in memory and in their rows. */
void runcols_lifecycle(struct runcols *rc, int64_t exp, int lifecycle);
/* No experiment is in memory, so nobody has to be told anything. NULL-safe. */
bool runcols_are_empty(struct runcols *rc);
/* What is in memory does not follow from the store any more: all of it is read again. No search may run. NULL-safe. */
void runcols_reset(struct runcols *rc);
/* A drain has committed: rows are complete up to it. */
void runcols_drained(struct runcols *rc, int64_t drain);

/* ---- searches --------------------------------------------------------------------------------------------------------------------- */

/* What one search sees of one experiment. */
struct runcols_query {
    struct column_table table; /* column i holds keys[i] */
    const int64_t *
        newer; /* uids of runs to be answered from their heads; those that have a slot are marked in the table */
    size_t newer_n;
    /* The module's. */
    struct runcols *rc;
    struct expcols *e;
    struct sql_conn *conn;
    struct arena *arena;
    const struct column_key *keys;
};
/* keys: each once, id 0 of a name that is not known. The arena and keys must live until runcols_end(). Also after a failure,
 * runcols_end() is called (of a zero object it does nothing). */
enum status runcols_begin(struct runcols *rc, struct sql_conn *conn, struct arena *a, int64_t exp,
                          const struct column_key *keys, size_t n, struct runcols_query *q,
                          struct err *err);
void runcols_end(struct runcols_query *q);

struct runcols_stats {
    size_t bytes, experiments;
    uint64_t folds, loads, builds, evictions, lost;
};
void runcols_stats(struct runcols *rc, struct runcols_stats *out);

/* ---- storing ----------------------------------------------------------------------------------------------------------------------- */

/* One piece of what is not stored yet: some columns of one key of one experiment, encoded. */
struct runcols_cell {
    uint32_t segment;
    struct column_zone zone;
    struct str body; /* n 0: no run of the segment has the key */
};
struct runcols_save {
    int64_t exp;
    struct column_key key;
    int64_t
        ver; /* the key is complete up to this drain when `last`; -1: it has slots that are not stored yet, and is not loaded */
    int64_t gen;       /* of colkey as this process knows it; 0 = there is no row */
    bool last;         /* with this piece everything of the key is stored */
    bool slots;        /* it gives runs other slots than what is stored of other keys means */
    int64_t slots_gen; /* the same of the numbers of the runs */
    struct runcols_cell *cells;
    size_t cells_n;
    struct expcols *e; /* the module's */
};
/* Takes the next piece, at most about max_bytes of bodies, into the arena; cells_n and last are 0 when there is nothing. Folds first.
 * Whoever got a piece must give it back with runcols_saved(). */
enum status runcols_save_next(struct runcols *rc, struct sql_conn *conn, struct arena *a,
                              size_t max_bytes, struct runcols_save *out, struct err *err);
/* The write of the piece, inside a transaction of the writer. ST_CONFLICT: somebody else stored the key, or the runs' slots, since. */
enum status runcols_save_write(struct sql_conn *writer, const struct runcols_save *s,
                               struct err *err);
/* What became of it: OK, ST_CONFLICT, or any other failure (tried again later). Any thread. */
void runcols_saved(struct runcols *rc, const struct runcols_save *s, enum status st);
/* Whether runcols_save_next() would find something. */
bool runcols_unsaved(struct runcols *rc);

/* All runs of the experiment got this lifecycle in the open transaction: what is stored follows. */
enum status runcols_lifecycle_write(struct sql_conn *writer, int64_t exp, int lifecycle,
                                    int64_t drain, struct err *err);

/* ---- checking --------------------------------------------------------------------------------------------------------------------- */

/* A value in memory that is not what its run has. */
struct runcols_fault {
    int64_t exp, uid;
    struct column_key key;
};
typedef void (*runcols_report)(void *ctx, const struct runcols_fault *f);
/* Compares every column in memory with the runs, a segment at a time; searches and writes go on meanwhile. settle(ctx) returns when
 * every write that was committed before the call is applied. Reports the first few hundred of each experiment; a run that is written
 * all the time may be passed over. */
enum status runcols_check(struct runcols *rc, struct sql_conn *conn,
                          enum status (*settle)(void *ctx, struct err *err), runcols_report report,
                          void *ctx, struct err *err);

/* ---- values of runs ----------------------------------------------------------------------------------------------------------------- */

/* The value of one key of one run. */
struct run_pick {
    bool has;
    double d;
    int64_t i;
    struct str s;
};
struct q_runs_by_uid_row;
struct head_body;
/* The value as a row has it; body may be NULL for an attribute. Texts are the row's. */
struct run_pick run_pick_of_row(const struct q_runs_by_uid_row *row, const struct head_body *body,
                                struct column_key key);
/* Whether that is what the column (NULL: no row has the key) has in a slot. */
bool run_pick_same(const struct column *c, uint32_t slot, const struct run_pick *p);
enum { RUN_PICK_ROWS = 256 };
/* The values of n keys of up to RUN_PICK_ROWS runs, as they are now: from heads in memory, else from rows. out[run * keys_n + key];
 * exists[run] tells whether there is such a run, experiments[run] (may be NULL) where. Texts live in the arena; scratch is reset. */
enum status run_picks(struct heads *hs, struct sql_conn *conn, const int64_t *uids, size_t n,
                      const struct column_key *keys, size_t keys_n, struct arena *a,
                      struct arena *scratch, struct run_pick *out, bool *exists,
                      int64_t *experiments, struct err *err);

#endif
