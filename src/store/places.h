/* store/places.h - places of the blob store that are given up.
 * A place (digest and generation) is never used again. When the last thing that names one goes away, the same transaction
 * retires it: it is put on a list, and the collector (core/collect.h) deletes its bytes some time later, so that who has just read
 * where the bytes lie still finds them. A crash leaves the list.
 * Ownership: nothing is kept. Thread rule: inside validate() of a write operation. */
#ifndef CAIRN_STORE_PLACES_H
#define CAIRN_STORE_PLACES_H

#include "base/hash.h"

struct sql_conn;

/* Longer than a signed URL is good for, and than a reader needs to open what it has read about. */
enum { PLACE_GRACE_MS = 20 * 60 * 1000 };

/* No row names the bytes of this place from this transaction on. Twice is fine. bytes: what its deletion frees. */
enum status place_retire(struct sql_conn *w, const struct digest *sha256, int64_t gen,
                         uint64_t bytes, int64_t now_ms, struct err *err);

#endif
