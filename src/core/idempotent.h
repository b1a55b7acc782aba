/* core/idempotent.h - the same request twice gives the same answer.
 * Wraps a write operation under a key that the client chose: the first time the operation runs and, in the same commit, the key,
 * the hash of the request and what the answer is made from are kept for a day. The same key with the same request then changes nothing
 * and gives that back; with another request it is ST_CONFLICT. Failed operations are not kept.
 * Ownership and thread rule: as the operation it wraps (store/seq.h). */
#ifndef CAIRN_CORE_IDEMPOTENT_H
#define CAIRN_CORE_IDEMPOTENT_H

#include "base/hash.h"
#include "core/core.h"
#include "store/seq.h"

enum { IDEMPOTENT_KEY_MAX = 255 };

struct idempotent {
    struct write_op op;
    struct write_op *inner;
    struct str principal, key;
    struct digest request; /* of method, path and body */
    /* Called after inner passed validate(), on the sequencer: the bytes to keep. */
    struct str (*remember)(struct idempotent *i);
    void *user;
    /* out */
    bool replayed; /* inner did not run: `kept` is what was remembered then */
    struct str kept;
};
/* ST_INVALID for a key that cannot be kept: empty, too long, or not text. */
enum status idempotent_check_key(struct str key, struct err *err);
void idempotent_init(struct idempotent *i, struct write_op *inner, struct arena *a);

#endif
