/* store/heads.h - runs in memory: attributes, params, tags, latest metrics.
 * The row of a run is complete unless its head is dirty: a dirty head stays in memory until a drain has written it. Clean
 * heads are dropped, the longest unused first, above a cap in bytes. So whoever does not find a run here reads its row -
 * and looks again when heads_evictions() has moved meanwhile, because the head may have been dirty when the row was read.
 * A head that an operation of the open group made is pending: readers do not see it.
 * Changes come in two steps: what needs memory is prepared in validate() (head_reserve, value copies), and put in under the write
 * lock in apply(), which cannot fail.
 * Ownership: the opener owns the heads; a head holds references to its keys.
 * Thread rule: everything on the sequencer's thread but heads_lock_read .. heads_unlock, heads_visible*, heads_evictions,
 * heads_change.
 * The lock is never held across SQL. */
#ifndef CAIRN_STORE_HEADS_H
#define CAIRN_STORE_HEADS_H

#include "store/headbody.h"
#include "store/mkeys.h"

struct sql_conn;
struct runcols;
struct heads;

struct head_metric {
    struct mkey *key;
    struct metric_cell m;
};
struct head_param {
    struct mkey *key;
    struct str value; /* mem_alloc */
};
struct head_tag {
    struct mkey *key;
    struct str value; /* mem_alloc; p NULL when gone */
    struct stamp at;
    bool gone;
};
struct head_cells {
    void *p; /* head_metric, head_param or head_tag, by rising key id */
    size_t n, cap, reserved;
};

struct head {
    int64_t uid, exp;
    struct str rid, user_id, artifact_uri; /* immutable, behind the struct */
    struct str name;                       /* mem_alloc */
    int status;                            /* column values of the row */
    int lifecycle;
    int64_t start_ms, end_ms, create_ms, deleted_ms;
    bool has_end, has_deleted;
    struct stamp name_at, status_at, end_at, lifecycle_at;
    struct head_cells metrics, params, tags;
    /* The sequencer's. */
    bool pending;        /* its creation has not committed (read under the lock) */
    bool attrs_dirty;    /* something that is only in the log changed since the row was written */
    bool points_dirty;   /* points came since the row was written; they are in packs or the log */
    int64_t ver;         /* drain up to which the row is complete */
    int64_t dirty_since; /* packs after this drain are not in the row */
    int64_t packed; /* drain of another server that packed its newest points; 0 = none did yet */
    int64_t written_ms;       /* monotonic time of the last write of the row */
    uint64_t touched;         /* mark of store/runcols */
    uint64_t loaded_by;       /* number of the group that loaded it */
    size_t bytes;             /* in memory, in all */
    size_t slack;             /* of these: what the allocator adds to the values */
    struct head *prev, *next; /* in the list of dirty or of clean heads */
};

enum status heads_open(struct heads **out, struct mkeys *mkeys, size_t max_bytes, struct err *err);
void heads_close(struct heads *hs); /* NULL-safe */
/* The search columns that are told of every change; NULL = none. Before the first head is made. */
void heads_set_columns(struct heads *hs, struct runcols *columns);
struct runcols *heads_columns(const struct heads *hs);

/* ---- reading, any thread ------------------------------------------------------------------------------------------------- */

#define HEADS_OF_ALL INT64_MIN
void heads_lock_read(struct heads *hs);
void heads_unlock(struct heads *hs);
/* Under the lock; NULL when the run is not in memory. */
const struct head *heads_visible(const struct heads *hs, struct str rid);
const struct head *heads_visible_uid(const struct heads *hs, int64_t uid);
/* The number of visible heads of an experiment (HEADS_OF_ALL: of all); the first `room` of their uids are written to out. Under the lock. */
size_t heads_uids_of(const struct heads *hs, int64_t exp, int64_t *out, size_t room);
/* Rises whenever heads are dropped from memory. */
uint64_t heads_evictions(const struct heads *hs);
/* Rises with every change of the run that readers can see (many runs share a number, so others may raise it too). What is
 * made from a run that is read after this call is current as long as the number is the same. Any thread, no lock needed. */
uint64_t heads_change(const struct heads *hs, int64_t uid);

/* ---- finding and making, the sequencer ------------------------------------------------------------------------------------ */

/* In memory, or loaded from its row. ST_NOT_FOUND without a message. */
enum status heads_load(struct heads *hs, struct sql_conn *writer, struct str rid, struct head **out,
                       struct err *err);
enum status heads_load_uid(struct heads *hs, struct sql_conn *writer, int64_t uid,
                           struct head **out, struct err *err);

struct head_new {
    int64_t uid, exp;
    struct str rid, user_id, artifact_uri, name;
    int64_t start_ms, create_ms;
    struct stamp at;
    struct mkey **tag_keys; /* distinct */
    struct str *tag_values;
    size_t tags_n;
};
/* A pending head, status RUNNING; its row is inserted in the open transaction. */
enum status heads_create(struct heads *hs, struct sql_conn *writer, const struct head_new *n,
                         int64_t drain, struct head **out, struct err *err);
void heads_created(struct heads *hs, struct head *h); /* committed: readers see it */
void heads_remove(struct heads *hs, struct head *h);  /* not committed */

/* ---- changing, the sequencer ------------------------------------------------------------------------------------------------ */

/* Room for more cells. ST_INVALID when the head would get too big, `bytes` being what the values take. */
enum status head_reserve(struct heads *hs, struct head *h, struct head_cells *cells, size_t n,
                         size_t bytes, struct err *err);
static inline void head_unreserve(struct head_cells *cells, size_t n)
{
    cells->reserved -= n;
}
const struct head_metric *head_metric(const struct head *h, uint32_t key);
const struct head_param *head_param(const struct head *h, uint32_t key);
const struct head_tag *head_tag(const struct head *h, uint32_t key);

void heads_lock_write(struct heads *hs);
/* Under the write lock, into reserved room; values are taken over. */
struct metric_cell *head_metric_cell(struct head *h, struct mkey *key);
void head_set_param(struct heads *hs, struct head *h, struct mkey *key, struct str value);
void head_set_tag(struct heads *hs, struct head *h, struct mkey *key, struct str value, bool gone,
                  const struct stamp *at);
void head_set_name(struct heads *hs, struct head *h, struct str name, const struct stamp *at);
void head_set_status(struct head *h, int status, const struct stamp *at);
void head_set_end(struct head *h, int64_t end_ms, const struct stamp *at);
void head_set_lifecycle(struct head *h, int lifecycle, int64_t deleted_ms, const struct stamp *at);
/* The row is behind from now on: attributes (or params, tags), or points only. drain: number of the last one. */
void heads_dirty(struct heads *hs, struct head *h, bool attrs, int64_t drain);
/* Raises heads_change(): something else that belongs to the run changed and is committed; all: of every run. heads_created()
 * and heads_dirty() do so by themselves, so they are called after the change. */
void heads_touch(struct heads *hs, int64_t uid);
void heads_touch_all(struct heads *hs);
/* Every head of an experiment in memory: size_t at = 0; while ((h = heads_next_of(...))) ... */
struct head *heads_next_of(struct heads *hs, int64_t exp, size_t *at);

/* The run has been deleted for good, committed: it leaves memory if it is there. */
void heads_purge(struct heads *hs, int64_t uid);

/* ---- drains ------------------------------------------------------------------------------------------------------------------ */

/* First dirty head; follow h->next. */
struct head *heads_first_dirty(struct heads *hs);
/* Writes the row, complete up to drain `ver`. */
enum status head_write(struct heads *hs, struct sql_conn *writer, struct head *h, int64_t ver,
                       struct err *err);
/* The transaction with head_write() is committed. */
void head_written(struct heads *hs, struct head *h, int64_t ver, int64_t now_ms);
size_t heads_bytes(const struct heads *hs);
size_t heads_dirty_bytes(const struct heads *hs);
size_t heads_dirty_n(const struct heads *hs);
size_t heads_n(const struct heads *hs);
/* Drops clean heads above the cap; between groups only. */
void heads_evict(struct heads *hs);
/* Brackets a group: heads loaded by a group that failed may hold uncommitted columns and are dropped. */
void heads_group_begin(struct heads *hs);
void heads_group_failed(struct heads *hs);

/* ---- beside other servers ---------------------------------------------------------------------------------------------------- */

/* Another server has drained everything that is in memory here: attributes, params and tags stand in their rows, points in
 * packs up to `drain`, and in the rows up to `folded`. Nothing may be reserved. */
void heads_drained_elsewhere(struct heads *hs, int64_t drain, int64_t folded);
/* Drops every head: what is in memory does not follow from the store any more. Between groups; no reader may run. */
void heads_clear(struct heads *hs);

struct mkeys *heads_mkeys(struct heads *hs);
/* Copies of values that are given to the head_set_ functions, or freed. False when memory is out. */
bool head_value_new(struct str s, struct str *out);
void head_value_free(struct str s);

#endif
