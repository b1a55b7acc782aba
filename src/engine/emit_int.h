/* engine/emit_int.h - pieces of events, shared by the files that write them. Objects that a function opens are ended by the caller unless it
 * says otherwise. */
#ifndef CAIRN_ENGINE_EMIT_INT_H
#define CAIRN_ENGINE_EMIT_INT_H

#include "codec/json.h"
#include "core/outbox.h"

void emit_member(struct json_writer *w, const char *key, struct str value);
/* Opens the event: "RunEvent", with its type (NULL = none). */
void emit_begin(struct json_writer *w, const char *kind, const char *type, int64_t ms);
/* Opens the member run, with the id of a run or of what is called so. */
void emit_run_ref(struct json_writer *w, struct str run_id);
/* Opens the member job. */
void emit_job(struct json_writer *w, struct str ns, struct str name);
/* Opens a facet: its key, version and name. */
void emit_facet(struct json_writer *w, const char *key, const char *version, const char *name);
/* Opens a data set and its facets; emit_dataset_end() ends both. */
void emit_dataset(struct json_writer *w, struct str ns, struct str name);
void emit_dataset_end(struct json_writer *w);
/* A place as a URI without passwords and signatures: a path is one of file, USER@HOST:PATH one of ssh. */
struct str emit_uri(struct arena *a, struct str place);
/* Whole facets; nothing where there is nothing to say. */
void emit_engine(struct json_writer *w);
void emit_job_type(struct json_writer *w, const char *type);
void emit_version(struct json_writer *w, struct str version);
void emit_source(struct json_writer *w, struct arena *a, struct str name, struct str uri);
void emit_type(struct json_writer *w, const char *type, const char *sub);

/* The event of OUTBOX_EXECUTION. */
enum status emit_execution(struct json_writer *w, struct view *v, const struct outbox_fact *f,
                           struct str ns, struct err *err) ATTR_CHECK;

#endif
