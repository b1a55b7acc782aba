/* core/collect.h - the collector: an actor of its own that deletes bytes which nothing refers to.
 * A round has these parts; each goes in batches of at most COLLECT_BATCH, every change an operation of the sequencer:
 *
 *   leases      that ended, and those of a server that is gone: their places are retired (core/object.h)
 *   walk        over all objects: what nothing refers to is condemned; bytes that lie in the row go with it at once
 *   condemned   longer than the grace: still free ones become deleting, others live
 *   deleting    their bytes are deleted, durably, then the row
 *   uploads     that go on later (core/resume.h), when nobody went on with them for their time, or they are done with: what was
 *               saved of them, then the row
 *   retired     places (store/places.h) whose time has come: the bytes, then the row
 *   packs       that no object names, when somebody asked for the round (otherwise core/repack.h does it in its time): their
 *               chunks leave the index, then the row says that they go, then the bytes, then the row
 *
 * Bytes go before the row that says so, so a crash leaves a row whose bytes are missing, and the next round finishes it: removing what
 * is gone is fine, because no place is ever used again. A reference that comes at any moment is safe: it makes a condemned
 * object live, and gives one that is being deleted a new place.
 * In the background a round comes every minute, and walks only when something was written since the last walk, at most every hour.
 *
 * Budget: a batch at a time, in memory too; in the background it sleeps nine times as long as a batch took. On several servers of one
 * database only the one that drains works by itself; two at once do no harm.
 * Ownership: the opener of the core makes it once the blob store is open; core_close() stops and frees it, before the blob store is
 * closed. Thread rule: as each function says. */
#ifndef CAIRN_CORE_COLLECT_H
#define CAIRN_CORE_COLLECT_H

#include "core/core.h"

struct collector;

enum { COLLECT_BATCH = 128, COLLECT_GRACE_MS = 20 * 60 * 1000 };

struct collect_options {
    int64_t every_ms; /* between two rounds in the background; 0 = 60 s, < 0: only when asked */
    int64_t walk_ms;  /* at least, between two walks in the background; 0 = an hour */
    int64_t grace_ms; /* 0 = COLLECT_GRACE_MS */
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
    uint64_t walked; /* objects that the walk of this round has passed */
    /* Since the start. */
    uint64_t condemned;
    uint64_t objects, places, packs; /* deleted: content, places that were given up, packs */
    uint64_t bytes;                  /* of these; content that lay in packs counts with its pack */
    uint64_t leases;                 /* ended without a file */
    uint64_t failed;                 /* steps */
    uint64_t uploads;                /* that go on later: ended */
    uint64_t round_uploads;
    uint64_t round_objects, round_places, round_bytes; /* of the last round, or the one at work */
    char problem[160]; /* of the last step that failed, while it fails; else "" */
};
/* Any thread. */
void collect_stats(struct collector *c, struct collect_stats *out);

/* What a round that begins now would delete, counted without deleting, page by page. On a pool thread. */
struct collect_plan {
    int64_t objects, object_bytes; /* that nothing refers to */
    int64_t places, place_bytes;   /* that were given up */
    int64_t leases;
    int64_t uploads,
        upload_bytes; /* that go on later: nobody did in their time, or they were given up */
    int64_t open, open_bytes; /* likewise, that may still go on */
    int64_t kept, kept_bytes; /* objects that stay */
};
enum status collect_look(struct view *v, struct collect_plan *out, struct err *err);

/* For core_close() and tests. Ends the actor; an operation of its may still be answered until the sequencer has ended. NULL-safe. */
void collect_stop(struct collector *c);
void collect_free(struct collector *c); /* after the sequencer is closed; NULL-safe */

#endif
