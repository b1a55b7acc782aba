/* store/sql/bell.h - a doorbell between the servers on one PostgreSQL database: "there is something new", and nothing else.
 * It rings outside of every write transaction, on a session of its own (a NOTIFY inside takes one lock of the whole cluster at commit), at
 * most every few milliseconds, and may fail to ring: nobody's correctness hangs on it, who listens also looks by himself.
 *
 *     sql_bell_open(&b, db, true, on_ring, ctx, err)      a thread that connects when there is something to do
 *     sql_bell_ring(b)                                     after a commit, where others listen
 *     sql_bell_close(b)
 *
 * A bell that cannot connect tries again each second. On other engines *out is NULL.
 * Ownership: the opener closes it before the database. Thread rule: ring on any thread, never blocks; rung is called on the
 * bell's own thread and must only hand over. */
#ifndef CAIRN_STORE_SQL_BELL_H
#define CAIRN_STORE_SQL_BELL_H

#include "base/err.h"

struct sql_db;
struct sql_bell;

/* listen: rung(ctx) is called when another session has rung. */
enum status sql_bell_open(struct sql_bell **out, struct sql_db *db, bool listen,
                          void (*rung)(void *ctx), void *ctx, struct err *err) ATTR_CHECK;
void sql_bell_ring(struct sql_bell *b);  /* NULL-safe */
void sql_bell_close(struct sql_bell *b); /* NULL-safe */
/* Whether it listens at this moment; rings that were sent. */
bool sql_bell_is_up(struct sql_bell *b);
uint64_t sql_bell_rings(struct sql_bell *b);

#endif
