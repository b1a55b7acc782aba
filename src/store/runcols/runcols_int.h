/* store/runcols/runcols_int.h - one experiment's columns, shared by the files of this folder. */
#ifndef CAIRN_STORE_RUNCOLS_RUNCOLS_INT_H
#define CAIRN_STORE_RUNCOLS_RUNCOLS_INT_H

#include "base/exec.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/runcols/runcols.h"

#include <stdatomic.h>

enum {
    COLUMN_KEYS_MAX =
        64, /* keys of an experiment that a fold brings up to date; the longest unused are dropped */
    NEWER_MAX = 256, /* rows that are answered from their heads instead of being folded */
    TOUCHED_FIRST = 16,
    TOUCHED_MAX = 1 << 16,
    SEGMENTS_MAX = 1 << 16
};

/* One key in one segment. */
struct cell {
    struct column_zone zone; /* of the column; without one all zero but rows */
    const struct column *column;
    bool known; /* else neither loaded nor built */
    bool saved; /* what is stored is this */
};

struct key_cols {
    struct column_key key;
    uint64_t used;      /* expcols.searches when it was last named */
    struct cell *cells; /* of each segment */
    uint32_t cap;
};

/* A key with a row in colkey. */
struct stored_key {
    struct column_key key;
    int64_t ver, gen;
    bool has_fill; /* COLUMN_LIFECYCLE: every run has this value, unless it is newer */
    int64_t fill;
};

/* What is on its way to the database. */
struct piece {
    struct column_key key;
    int64_t ver, gen;
    bool last, slots;
    uint64_t loads; /* of the experiment, when it was taken */
    enum status st; /* guarded by runcols.lock, as is */
    bool back;
    size_t n;
    struct piece_cell {
        uint32_t segment, rows;
        const struct column *column;
    } cells[];
};

struct segment {
    /* Rising. A run that has gone keeps its slot; when that is loaded it has a number between its
     * neighbours', which may be that of a run of another experiment. */
    int64_t *uids;
    uint32_t rows, cap;
};

struct expcols {
    int64_t exp;
    /* Guarded by runcols.lock. */
    unsigned users; /* searches and saves at work */
    struct expcols *prev, *next;
    size_t bytes;
    bool unsaved;
    int64_t *touched; /* ~uid: gone, of whatever experiment */
    uint32_t touched_n, touched_cap;
    bool reset;    /* everything is to be read again */
    bool lost;     /* more was touched than fits */
    int lifecycle; /* that all runs got; -1 none */
    uint64_t gen;  /* a mark of this number is in touched */
    /* Guarded by `fold`. */
    struct lock fold;
    bool loaded;
    bool must_fold; /* newer holds more than what was touched a moment ago */
    uint64_t searches;
    int64_t complete; /* every change in rows up to this drain is in the cells or in newer */
    struct segment *segments;
    uint32_t segments_n, segments_cap;
    VEC(struct key_cols *) keys;
    VEC(struct stored_key) stored;
    VEC(int64_t) newer; /* sorted, each once */
    bool changed;       /* a cell is not saved */
    bool new_slots; /* the index was made anew: what is stored of other keys is of other slots */
    bool stale;     /* somebody else stored something: `stored` is to be read again */
    /* colkey.gen of the numbers of the runs when they were read here, or stored from here: the slots here are those, with more behind.
     * With any other number somebody else's slots are stored, which may be those of other runs. */
    int64_t slots_gen;
    uint64_t loads; /* times that the index was read */
    struct piece *piece;
    bool behind;   /* a key was stored with slots that are not stored: it does not count */
    bool again;    /* this round of storing came of that */
    bool round_on; /* storing has come by round_key */
    struct column_key round_key;
    uint32_t round_cell; /* of the key after it */
};

struct runcols {
    struct lock lock;
    struct int_map by_exp;
    struct expcols *first, *last; /* first: longest unused */
    size_t bytes, max_bytes;
    uint64_t gen;
    struct heads *heads;
    _Atomic int64_t drain;
    _Atomic uint64_t folds, loads, builds, evictions, lost;
};

/* The numbers of the runs: which slot is whose. */
static inline bool is_slots(struct column_key key)
{
    return key.kind == COLUMN_ATTR && key.id == COLUMN_UID;
}

/* Memory and a connection for bringing one experiment up to date. */
struct folder {
    struct runcols *rc;
    struct expcols *e;
    struct sql_conn *conn;
    struct arena *texts, *scratch;
    struct column_builder **builders;
    struct run_pick *picks;
};

/* fold.c: all under e->fold. */

enum status folder_open(struct folder *f, struct runcols *rc, struct expcols *e,
                        struct sql_conn *conn, struct err *err);
void folder_close(struct folder *f);
/* Folds everything that is newer; what cannot be folded stays newer. */
enum status fold_newer(struct folder *f, struct err *err);
/* Builds the cells of these keys that are not known, in every segment. */
enum status build_unknown(struct folder *f, struct key_cols **keys, size_t n, struct err *err);
/* The same for one segment, out NULL when no run has the key; nothing of e is changed. */
enum status build_one(struct folder *f, const struct segment *s, struct column_key key,
                      struct column **out, struct err *err);
/* Where a run lies; false if it has no slot. */
bool slot_of(const struct expcols *e, int64_t uid, uint32_t *segment, uint32_t *slot);

/* load.c: all under e->fold. */

/* Reads which runs there are, from what is stored and from the rows behind it. */
enum status load_index(struct folder *f, struct err *err);
/* Takes what is stored of a key into its cells; what is newer than it joins e->newer. */
enum status load_key(struct folder *f, struct key_cols *k, struct err *err);
/* Gives the key the same value in every cell. */
enum status fill_key(struct folder *f, struct key_cols *k, int64_t value, struct err *err);
/* Reads e->stored; other slots than those here make e->loaded false. */
enum status load_stored(struct folder *f, struct err *err);
/* Finds again what changed since e->complete. */
enum status find_lost(struct folder *f, struct err *err);
/* Adds to newer; sorts. False when memory is out. */
bool newer_add(struct expcols *e, const int64_t *uids, size_t n);
struct stored_key *stored_find(struct expcols *e, struct column_key key);

/* runcols.c */

struct key_cols *key_find(const struct expcols *e, struct column_key key);
enum status key_add(struct expcols *e, struct column_key key, struct key_cols **out,
                    struct err *err);
void key_drop(struct expcols *e, size_t at);
/* Room for one more segment, its cells unknown. */
enum status segment_add(struct expcols *e, struct err *err);
/* Takes the reference over. */
void cell_set(struct expcols *e, struct cell *c, const struct column *column, uint32_t rows);
void piece_free(struct piece *p);
/* The experiment, in use until expcols_leave(); NULL when memory is out. From now on what is touched is noted. */
struct expcols *expcols_enter(struct runcols *rc, int64_t exp);
void expcols_leave(struct runcols *rc, struct expcols *e);
/* Under e->fold: counts its memory again. */
void account(struct runcols *rc, struct expcols *e);
/* Under e->fold: takes what was touched, loads what is not there; folds what is newer when there is much of it, or all. */
enum status bring_up(struct folder *f, const struct column_key *keys, size_t n, bool all,
                     struct err *err);
/* Takes what was touched since the last time; `lost` is handled. */
enum status take_touched(struct folder *f, struct err *err);
/* RUN_ID does not change and is asked for only where starts are equal: its cells come when they are wanted. */
static inline bool key_is_lazy(struct column_key k)
{
    return k.kind == COLUMN_ATTR && k.id == COLUMN_RUN_ID;
}
static inline bool key_same(struct column_key a, struct column_key b)
{
    return a.kind == b.kind && a.id == b.id;
}

#endif
