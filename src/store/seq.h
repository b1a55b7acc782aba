/* store/seq.h - the sequencer: the one writer of a store.
 * Every change is a struct write_op. Producers queue it with seq_submit(); the sequencer (an exec_actor that owns the write
 * connection) takes what is waiting as one group, and per operation in order calls kind->validate() against the state in memory
 * plus the earlier operations of the group. validate() runs SQL on group_conn() and adds records to the group's batch body.
 * Operations whose validate() fails are dropped from the group (their SQL is rolled back to a savepoint when kind->sql is
 * set). Then COMMIT once; then apply() of each survivor in order, which changes memory and cannot fail; then done() of each.
 * If COMMIT fails, nothing is applied and every operation of the group gets ST_UNAVAILABLE. While one commit is in flight the next
 * group collects; a single client is committed at once.
 * Caps: operations waiting, bytes waiting (seq_submit answers ST_UNAVAILABLE), operations and points per group.
 * Ownership: an operation lives in its submitter's arena until done() has returned.
 * Thread rule: seq_submit any thread; validate, apply and done run on the sequencer's thread; done must only hand over. */
#ifndef CAIRN_STORE_SEQ_H
#define CAIRN_STORE_SEQ_H

#include "base/arena.h"
#include "base/exec.h"

struct sql_conn;
struct sql_db;
struct seq;
struct group;
struct write_op;

struct write_kind {
    const char *name;       /* "run.create": in logs, metrics and audit */
    enum status (*validate)(struct write_op *op, struct group *g, struct err *err);
    void (*apply)(struct write_op *op); /* may be NULL */
    /* Called instead of apply() when the operation passed validate() but the group did not commit; may be NULL. */
    void (*undo)(struct write_op *op);
    bool sql;               /* validate() runs SQL that can fail: give it a savepoint */
};

struct write_op {
    const struct write_kind *kind;
    struct arena *arena;
    void (*done)(struct write_op *op);
    void *user;             /* the submitter's */
    /* Out, valid in done(). */
    enum status st;
    struct err err;
    /* The sequencer's. */
    struct mpsc_node link;
    struct write_op *next;
    bool passed;
    size_t bytes;           /* in: size of the request, for the cap on waiting bytes */
};

#define WRITE_OP_OF(ptr, type) CONTAINER_OF((ptr), type, op)

enum status seq_submit(struct seq *s, struct write_op *op) ATTR_CHECK;
/* For commands and tests: submits and waits. Never on a loop thread. Returns op->st and copies op->err. */
enum status seq_run(struct seq *s, struct write_op *op, struct err *err);

/* ---- inside validate() ------------------------------------------------------------------------------------------------ */

struct sql_conn *group_conn(struct group *g);
int64_t group_now_ms(const struct group *g);
/* A new node uid; unused ones leave gaps after a failed group. */
int64_t group_new_uid(struct group *g);

#endif
