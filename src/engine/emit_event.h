/* engine/emit_event.h - what happened here, as events of OpenLineage (spec 2-0-2).
 * How things are named is in docs/openlineage-emit.md. A run is a run of the job that is called as its experiment; its id is the MLflow id
 * written as a UUID. Data sets are called by their place where the source says one, else datasets:/NAME; logged models are
 * logged-models:/EXPERIMENT/NAME in the version of their id, registered ones models:/NAME in the version of their number.
 * Thread rule: the thread of the view. */
#ifndef CAIRN_ENGINE_EMIT_EVENT_H
#define CAIRN_ENGINE_EMIT_EVENT_H

#include "base/buf.h"
#include "core/outbox.h"

#define EMIT_PRODUCER "urn:cairn:" CAIRN_VERSION

enum {
    EMIT_EVENT_MAX = 64 << 20,
    EMIT_LIST_MAX = 1000,  /* params, tags, inputs or outputs of an event; more are left out */
    EMIT_VALUE_MAX = 8192, /* bytes of a value of those */
    EMIT_FIELDS_MAX = 10000,
    EMIT_ROOT_MAX = 32 /* runs from a run up to the one at the beginning */
};

/* Writes the event of a fact to `out`, which is empty; it stays empty when there is nothing to tell: the thing is gone for good, is a
 * prompt, or has not changed in a way that others see. ST_TOO_BIG when it would be larger than any event, or does not fit in the arena of
 * the view. ns: the namespace of jobs, and of what has no place of its own. */
enum status emit_event(struct view *v, const struct outbox_fact *f, struct str ns, struct buf *out,
                       struct err *err) ATTR_CHECK;

/* The place of a data set, without passwords, as OpenLineage names it, from MLflow's text of its source. False when that says none. */
struct emit_name {
    struct str ns, name;
};
bool emit_place(struct arena *a, struct str source, struct emit_name *out);
/* The place as one URI; p NULL when memory is out. */
struct str emit_place_uri(struct arena *a, const struct emit_name *at);
/* A run id as a UUID: 32 digits get dashes; another text gets a name-based one. */
void emit_run_id(struct str run_id, char out[37]);

#endif
