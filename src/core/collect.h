/* core/collect.h - the collector: an actor of its own that deletes bytes which nothing refers to.
 * Today these are the places that were retired (store/places.h): their bytes go when their time has come, then the row.
 * Bytes go first and durably, so a crash in between leaves a row whose bytes are missing, which the next round finishes: removing what
 * is gone is fine, because no place is ever used again.
 *
 * Budget: a batch of COLLECT_BATCH places at a time, in memory too; between two of them it sleeps as long as they took, unless somebody
 * waits for it. On several servers of one database only the one that drains works by itself; two at once do no harm.
 * Ownership: the opener of the core makes it once the blob store is open; core_close() stops and frees it, before the blob store is
 * closed. Thread rule: as each function says. */
#ifndef CAIRN_CORE_COLLECT_H
#define CAIRN_CORE_COLLECT_H

#include "core/core.h"

struct collector;

enum { COLLECT_BATCH = 256 };

struct collect_options {
    int64_t every_ms; /* between two rounds in the background; 0 = 60 s, < 0: only when asked */
};
/* With core->blobs open. On the thread that opens the core. */
enum status collect_start(struct core *core, const struct collect_options *opt,
                          struct err *err) ATTR_CHECK;

/* A round that begins now and waits for no grace: everything that is free by then is gone after it. Any thread. The number of the
 * round. */
uint64_t collect_ask(struct collector *c);

/* Waits until that round is over. False after timeout_ms (< 0: no limit), or when the collector stops. Never on a loop thread. */
bool collect_wait(struct collector *c, uint64_t round, int64_t timeout_ms);

struct collect_stats {
    uint64_t asked, done; /* numbers of rounds that were asked for */
    bool running;
    uint64_t places, bytes; /* deleted, since the start */
    uint64_t failed;        /* steps */
    char problem[160];      /* of the last step that failed, while it fails; else "" */
};
/* Any thread. */
void collect_stats(struct collector *c, struct collect_stats *out);

/* For core_close() and tests. Ends the actor; an operation of its may still be answered until the sequencer has ended. NULL-safe. */
void collect_stop(struct collector *c);
void collect_free(struct collector *c); /* after the sequencer is closed; NULL-safe */

#endif
