/* core/object.h - the rows of content: how bytes come to be held, and how they are given up.
 * An object row says what is stored of one content (its SHA-256) and where: in the row, or in places of the blob store (digest and
 * generation), none of which is ever used twice. Its state is live, condemned (nothing refers to it; a reference makes it live
 * again), or deleting (its bytes are going; a reference gives it a new place).
 *
 * Larger bytes come in three steps. Claim, a transaction: the uploader, who knows the digest, gets a lease, which keeps the
 * collector away from that content, and a generation that is his alone. Place, without a transaction: unless what the row names is
 * there, the bytes are made durable in their place of that generation. Publish, in the transaction that makes the reference: takes
 * the lease away (without it the bytes may be gone: the client sends them again), and makes the row live, with its own place or ours;
 * what then is named by nothing is retired. Who dies in between leaves a lease, which ends, and the collector retires its place.
 * Ownership: as core/artifact.h. Thread rule: operations as struct write_op; object_publish() inside validate(). */
#ifndef CAIRN_CORE_OBJECT_H
#define CAIRN_CORE_OBJECT_H

#include "base/hash.h"
#include "core/core.h"
#include "store/seq.h"

enum object_state { OBJECT_LIVE = 1, OBJECT_CONDEMNED = 2, OBJECT_DELETING = 3 };
/* How far the repacker is with it. Damaged: its bytes were found missing or wrong; they are not given any more, and the next upload of
 * the content takes their place. */
enum object_stage { STAGE_NEW = 0, STAGE_PACKED = 1, STAGE_STAYS = 2, STAGE_DAMAGED = 3 };

/* Of a row of packfile. Damaged: objects still name it, and nothing new may. */
enum pack_state { PACK_LIVE = 1, PACK_DELETING = 3, PACK_WRITING = 4, PACK_DAMAGED = 5 };

/* A lease lasts an hour, and as much longer as a slow service takes to copy the bytes. */
enum { OBJECT_LEASE_MS = 60 * 60 * 1000, OBJECT_LEASE_BYTES_PER_MS = 8 * 1024 };

struct object_lease {
    char id[33];  /* "": none */
    int64_t gen;  /* the holder may write this place */
    bool has_row; /* a row has the content, in generation row_gen */
    int64_t row_gen;
    bool is_damaged;   /* its bytes are known to be wrong */
    struct str recipe; /* of the row, in the claim's arena; NULL p: the bytes lie in the row */
};

struct object_claim {
    struct write_op op;
    struct digest sha256;
    uint64_t size;
    struct object_lease lease; /* out */
};
void object_claim_init(struct object_claim *c, struct arena *a, const struct digest *sha256,
                       uint64_t size);

/* Ends a lease that leads to nothing, and retires its place unless a row names it: also when the lease is gone already, as its
 * holder may have written there since. After the last write to the place. */
struct object_release {
    struct write_op op;
    struct digest sha256;
    uint64_t size;
    const struct object_lease *lease;
};
void object_release_init(struct object_release *r, struct arena *a, const struct digest *sha256,
                         uint64_t size, const struct object_lease *lease);

/* What is to be held from this transaction on. */
struct object_new {
    struct digest sha256;
    uint64_t size;
    struct str body;                  /* the bytes, when they lie in the row; else */
    const struct object_lease *lease; /* the claim's */
    bool is_placed;                   /* the place of the lease has the bytes */
};
/* The caller adds the reference. ST_UNAVAILABLE when the lease is gone. */
enum status object_publish(struct group *g, struct arena *a, const struct object_new *o,
                           struct err *err);

/* Nothing names the content's place any more. recipe: of the row. Inside validate(). */
struct sql_conn;
enum status object_give_up(struct sql_conn *w, const struct digest *sha256, int64_t gen,
                           uint64_t size, struct str recipe, int64_t now_ms, struct err *err);

#endif
