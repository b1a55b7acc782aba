/* api/fair.h - no client fills the queue of writes alone.
 * A client is a token's principal, or for anonymous callers the address they call from, without its port. Each may have half
 * of the queue waiting, in operations and in bytes; who wants more is answered 429 and tries again. The queue itself,
 * when it is full, answers 503 (store/seq.h), so the two say who has to slow down: this client, or everybody.
 * Clients are counted by a hash into a fixed table: nothing is allocated and nothing grows. Two that meet in one slot, one pair in
 * a thousand, share their half.
 * Ownership: part of struct api. Thread rule: any thread. */
#ifndef CAIRN_API_FAIR_H
#define CAIRN_API_FAIR_H

#include "base/err.h"
#include <stdatomic.h>

enum { FAIR_SLOTS = 1024, FAIR_SHIFT = 44 };

struct fair_slot {
    atomic_uint_fast64_t held; /* writes << FAIR_SHIFT | bytes: one cache line moves once */
};

struct fair {
    struct fair_slot slots[FAIR_SLOTS];
};

/* One more write of `client`, of `bytes`, with queue_ops and queue_bytes as the caps of the whole queue. OK and the slot in *slot, or
 * ST_BUSY. A single write may be bigger than the share. */
enum status fair_enter(struct fair *f, struct str client, size_t bytes, size_t queue_ops,
                       size_t queue_bytes, struct fair_slot **slot, struct err *err) ATTR_CHECK;
/* The write has been answered. */
void fair_leave(struct fair_slot *slot, size_t bytes);
/* "10.0.0.7" of "10.0.0.7:40112", "[::1]" of "[::1]:40112"; "unix" stays. */
struct str fair_host(struct str peer);

#endif
