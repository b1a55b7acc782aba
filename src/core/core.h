/* core/core.h - what every domain service is given.
 * struct core is the process's one recorder: the store, the sequencer and the caches above it. It is made once by the
 * server's wiring and immutable afterwards (its members have their own thread rules). struct view is what a read gets: a
 * connection of its own thread and the arena of the request. Writes are write_ops queued with seq_submit() (store/seq.h).
 * Ownership: the server owns the core; a view borrows everything. Thread rule: a view belongs to one pool thread. */
#ifndef CAIRN_CORE_CORE_H
#define CAIRN_CORE_CORE_H

#include "base/arena.h"
#include "base/exec.h"

#include <stdatomic.h>

struct sql_db;
struct sql_conn;
struct seq;
struct heads;
struct series;
struct compact;
struct purger;
struct collector;
struct repacker;
struct scrubber;
struct mkeys;
struct blob_store;
struct experiments;
struct fragments;
struct registry_names;
struct graph;
struct runcols;
struct column_saver;
struct outside;
struct typed_known;
struct ol_memo;
struct ol_counts;

struct core {
    struct sql_db *db;
    struct seq *seq;         /* the one writer */
    struct heads *heads;     /* runs in memory */
    struct series *series;   /* metric points in memory, packs */
    int64_t purge_rows;      /* of chunks or artifacts, that one step of it deletes */
    bool typed_others;       /* ML Metadata shows nodes of other protocols (core/typed/others.h) */
    struct purger *purger;   /* finishes deleting runs for good */
    struct compact *compact; /* moves them on in the background */
    struct mkeys *mkeys;     /* metric, param and tag names */
    struct blob_store *blobs;
    struct collector *collector;     /* deletes bytes that nothing refers to; NULL: not started */
    struct repacker *repacker;       /* moves bytes into packs; NULL: not started */
    struct scrubber *scrubber;       /* reads bytes again; NULL: not started */
    struct experiments *experiments; /* id -> name, lifecycle, artifact location */
    struct fragments *fragments;     /* encoded runs */
    struct registry_names *registry; /* the list of registered models */
    struct graph *graph;             /* links of lineage in memory */
    _Atomic int places;              /* whether data has places (core/graph/place.h); 0 = unknown */
    struct typed_known *typed;       /* namespaces and types in memory */
    struct ol_memo *openlineage;     /* rows of OpenLineage, for writing */
    struct ol_counts *ol_counts;     /* how many there are of OpenLineage, for lists */
    struct runcols *columns;         /* search columns of the experiments */
    struct column_saver *column_saver;
    struct outside *outside; /* places of others that are served; NULL = none */
    const char *spool;       /* a folder of this server alone, for what is put aside; NULL = none */
    struct str artifact_root; /* where experiments without an own location put their artifacts */
};

struct view {
    struct core *core;
    struct sql_conn *conn;
    struct arena *arena;
    bool pooled; /* of a pool thread: others may read meanwhile (core/fan.h) */
};

/* Makes *s a copy in the view's arena: what a statement gives is gone with its next row. False when memory is out. */
static inline bool view_keep(struct view *v, struct str *s)
{
    if (s->p) {
        *s = arena_str(v->arena, *s);
        return s->p != NULL;
    }
    return true;
}

/* fn(ctx) is called when another server changed the tokens of the store, on a thread that must not wait: it hands over. NULL: not any
 * more, and no call is under way when this returns. */
void core_watch_tokens(struct core *core, void (*fn)(void *ctx), void *ctx);

/* A read on its way to a pool thread: run(job, view) is called there with that thread's connection and `arena`. */
struct read_job {
    struct exec_job job;
    struct core *core;
    void (*run)(struct read_job *job, struct view *v);
    struct arena *arena;
    /* For run(): not OK when memory may lack what other servers have acknowledged; then that is the answer. */
    enum status st;
    struct err err;
};
/* The caller fills run and arena. ST_UNAVAILABLE when too many reads wait. Any thread. */
enum status core_read_submit(struct core *core, struct read_job *job) ATTR_CHECK;

enum lifecycle { LIFECYCLE_ACTIVE = 0, LIFECYCLE_DELETED = 1 };
enum view_type { VIEW_ACTIVE_ONLY = 1, VIEW_DELETED_ONLY = 2, VIEW_ALL = 3 };
static inline bool view_type_has(enum view_type v, enum lifecycle l)
{
    return v == VIEW_ALL || (v == VIEW_DELETED_ONLY) == (l == LIFECYCLE_DELETED);
}

struct key_value {
    struct str key, value;
};

/* A page of a list. Tokens are opaque to clients; NULL p = first page. */
struct page {
    size_t max;
    struct str token;
};

#endif
