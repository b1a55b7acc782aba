/* core/repack.h - the repacker: an actor of its own that moves the bytes of objects into packs, where equal chunks lie once.
 * An object is taken from its file or its row, cut into chunks, and checked against its SHA-256 on the way. Chunks that no live pack has
 * go into a new one. When that is durable and its row says so, one transaction gives the object its recipe and retires its file
 * (store/places.h). A pack that no object names any more is retired too, and one of which less than half is named is emptied first,
 * by packing its objects once more without it. Objects whose bytes are damaged or missing are logged and left as they are.
 *
 * Bytes that no pack has and that resemble those of an earlier checkpoint are kept as differences where that pays
 * (docs/decisions/160-tensor-deltas.md); they are read back before the object gets its recipe.
 *
 * A crash at any point leaves: a pack row that says "being written" (its file is removed by a later round), or a pack that nothing
 * names (used or removed by a later round), or objects that are not moved yet. The index of chunks (table chunk_at) is a help only.
 *
 * By itself it begins when enough is waiting and nothing came for a while. Budget: bytes per second as the options say, a few MB of
 * memory. On several servers of one database the one that drains does it. Not by itself where clients get bytes from the backend
 * themselves: what is in packs has no URL.
 * Ownership: the opener of the core makes it once the blob store is open; core_close() stops and frees it, before the blob store is
 * closed. Thread rule: as each function says. */
#ifndef CAIRN_CORE_REPACK_H
#define CAIRN_CORE_REPACK_H

#include "core/core.h"

struct repacker;

struct repack_options {
    int64_t every_ms;     /* between two looks at what is waiting; 0 = 60 s, < 0: only when asked */
    uint64_t min_bytes;   /* that wait before a round begins by itself; 0 = 8 MiB */
    uint64_t pack_bytes;  /* of a pack that is full; 0 = 64 MiB */
    uint64_t bytes_per_s; /* read by a round that nobody asked for; 0 = 64 MiB */
    unsigned
        patient_looks; /* so often something new may come between looks, then it begins; 0 = 10 */
};
/* With core->blobs open. On the thread that opens the core. */
enum status repack_start(struct core *core, const struct repack_options *opt,
                         struct err *err) ATTR_CHECK;

enum repack_ask {
    REPACK_NOW = 0,
    REPACK_REINDEX = 1,  /* the index of chunks is made anew first, and loses packs that are gone */
    REPACK_NO_GRACE = 2, /* packs that were retired lose their bytes at once */
    REPACK_SWEEP = 4     /* nothing new is packed: only packs that nobody needs go */
};
/* A round that begins now, at full speed; what is there by now is in packs after it. Any thread. The number of the round. */
uint64_t repack_ask(struct repacker *r, unsigned how);
/* Waits until that round is over. False after timeout_ms (< 0: no limit), or when the repacker stops. Never on a loop thread. */
bool repack_wait(struct repacker *r, uint64_t round, int64_t timeout_ms);

struct repack_stats {
    uint64_t asked, done; /* numbers of rounds that were asked for */
    bool running;
    /* Since the start. */
    uint64_t objects, bytes;    /* moved into packs; sizes of the objects */
    uint64_t new_bytes;         /* raw bytes of chunks that were written */
    uint64_t delta_bytes;       /* of the objects, kept as differences from others */
    uint64_t packs, pack_bytes; /* written; bytes of their files */
    uint64_t packs_left;        /* retired */
    uint64_t damaged;           /* objects that stay as they are */
    uint64_t failed;            /* rounds that broke off */
    char problem[160];          /* of the last round, if it broke off; else "" */
};
/* Any thread. */
void repack_stats(struct repacker *r, struct repack_stats *out);

/* For core_close() and tests. Ends the actor; an operation of its may still be answered until the sequencer has ended. NULL-safe. */
void repack_stop(struct repacker *r);
void repack_free(struct repacker *r); /* after the sequencer is closed; NULL-safe */

#endif
