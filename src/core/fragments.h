/* core/fragments.h - runs as they were last encoded for an answer, so that a list of runs that did not change is a list of copies.
 * A fragment belongs to a run and to a form, which names a tongue's message and the version of its encoder. It is current as long as
 * heads_change() of its run is what it was before the run was read; whoever finds it does not have to look at the run at all.
 * Everything here can be dropped at any time: it is made again from the run.
 * Bounds: bytes in all; the fragments that were not used for longest go first. A fragment of more than an eighth of a shard is
 * not kept.
 * Ownership: the opener owns the cache; what is put in is copied. Thread rule: any thread. */
#ifndef CAIRN_CORE_FRAGMENTS_H
#define CAIRN_CORE_FRAGMENTS_H

#include "base/buf.h"

struct fragments;
struct heads;

/* What a fragment holds. A changed encoder takes a new number: nothing is kept across processes, the number only tells forms apart. */
enum fragment_form {
    FRAGMENT_MLFLOW_RUN = 1, /* JSON of mlflow.Run as runs/search shows it */
    FRAGMENT_FORMS
};

/* max_bytes 0 = nothing is ever kept. */
enum status fragments_new(struct fragments **out, const struct heads *heads, size_t max_bytes,
                          struct err *err);
void fragments_free(struct fragments *f); /* NULL-safe */

/* Whether there is a current fragment. */
bool fragments_has(struct fragments *f, enum fragment_form form, int64_t uid);
/* Appends the current fragment to *out; false if there is none (then *out is as before, or has failed). */
bool fragments_get(struct fragments *f, enum fragment_form form, int64_t uid, struct buf *out);
/* change: heads_change() of the run before it was read. */
void fragments_put(struct fragments *f, enum fragment_form form, int64_t uid, uint64_t change,
                   struct str bytes);
size_t fragments_bytes(struct fragments *f);

#endif
