/* core/resume.h - uploads that go on where they stopped.
 * An upload is a row (table resumable) and what the blob store has saved of it. A request that adds to it
 *   takes   it, an operation: the row says where it stopped, and nobody else can save from now on
 *   opens   a writer behind what is durable
 *   saves   at its end, and on the way every RESUME_EVERY bytes: first the bytes are durable, then an operation says so
 *   names   the file with its last bytes, in the operation that says the upload is complete (core/artifact.h): never the one
 *           without the other
 * so the offset that is answered is never beyond what is durable, and a crash costs at most what came since the last save. An upload
 * that nobody goes on with ends by itself after RESUME_IDLE_MS; the collector removes what was saved, before the row.
 * Ownership: the caller's. Thread rule: operations as struct write_op; resume_open() and resume_save() on a thread of
 * artifact_work_submit(). */
#ifndef CAIRN_CORE_RESUME_H
#define CAIRN_CORE_RESUME_H

#include "core/artifact.h"
#include "store/blob/blob.h"

enum resume_state { RESUME_OPEN = 1, RESUME_NAMED = 2, RESUME_GIVEN_UP = 3, RESUME_TOLD = 4 };
enum {
    RESUME_MAX = 1000, /* that are open at once */
    RESUME_MARK_MAX = 256,
    RESUME_IDLE_MS = 24 * 3600 * 1000,
    RESUME_LIFE_MS = 7 * 24 * 3600 * 1000,
    RESUME_EVERY = 64 << 20
};

/* Begins one; with a mark, an open one of the same mark, place and size is found instead. ST_RATE when too many are open. */
struct resume_create {
    struct write_op op;
    struct artifact_place place;
    uint64_t size;
    struct str mark; /* "" = none */
    bool has_expect; /* the whole must have this SHA-256 */
    struct digest expect;
    /* Out. */
    char id[BLOB_RESUME_ID + 1];
    uint64_t have;
    int64_t until_ms;
};
void resume_create_init(struct resume_create *c, struct arena *a);

/* How far it is. ST_NOT_FOUND when there is none, or it was given up. Of one that is complete have is its size. */
struct resume_info {
    uint64_t size, have;
    int64_t until_ms;
};
enum status resume_look(struct view *v, struct str id, struct resume_info *out, struct err *err);

/* Gives an open one up; missing is ST_NOT_FOUND. */
struct resume_cancel {
    struct write_op op;
    struct str id;
};
void resume_cancel_init(struct resume_cancel *c, struct arena *a, struct str id);

/* A request that adds to one. */
struct resume {
    struct write_op op;
    struct core *core;
    struct str id;
    uint64_t at; /* in: where the client goes on */
    /* Of resume_take(). */
    char token[33];
    uint64_t size, have; /* have: durable; valid after ST_CONFLICT too, as is size */
    int64_t until_ms, life_ms;
    struct artifact_place place;
    bool has_expect;
    struct digest expect;
    struct blob_saved saved;
    struct buf ledger;
};
/* Takes it: op.st is ST_NOT_FOUND, or ST_CONFLICT when the client would go on elsewhere than where it stopped. The place lies in the
 * arena, and so does what resume_open() needs. */
void resume_take_init(struct resume *r, struct core *core, struct arena *a, struct str id,
                      uint64_t at);
/* A writer for the upload. ST_CONFLICT while another request writes; ST_NOT_FOUND when what was saved is missing. */
enum status resume_open(struct resume *r, struct artifact_upload *u, struct err *err);
/* Whether another request writes, here and now. */
bool resume_is_busy(struct core *core, struct str id);
/* Enough has come since the last save. */
bool resume_is_due(const struct resume *r, const struct artifact_upload *u);
/* Makes what has come durable, and makes the operation that says so: the caller submits r->op then. ST_CONFLICT of that: somebody else
 * has taken the upload. */
enum status resume_save(struct resume *r, struct artifact_upload *u, struct err *err);
void resume_release(struct resume *r);

/* Inside the validate() that names the file. */
enum status group_resume_name(struct group *g, const struct resume *r, struct err *err);

/* ---- for the collector -------------------------------------------------------------------------------------------------- */

struct resume_left {
    char id[BLOB_RESUME_ID + 1];
    enum resume_state state;
    struct str ledger; /* in the arena */
};
/* One whose time is over, or that is done with. ST_END when there is none. */
enum status resume_find_left(struct sql_conn *conn, struct arena *a, int64_t now_ms,
                             struct resume_left *out, struct err *err);
/* Before its operation: removes what was saved, where its state says so. */
enum status resume_drop_left(struct core *core, const struct resume_left *l, struct err *err);
/* In the operation: the next state. */
enum status group_resume_left(struct group *g, const struct resume_left *l, struct err *err);

#endif
