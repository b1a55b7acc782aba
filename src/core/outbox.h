/* core/outbox.h - what happened in the store, in order, for those who tell it to others (engine/emit.h).
 * A struct outbox reads the log for one destination and remembers durably how far it has come. Runs come from the log of groups, in the
 * order of their commits; registrations and links of other tongues from logs that stay. What is read is that something happened; what
 * is told is the state of the thing at the time of telling, which is at least what the log says.
 *     outbox_take(), then again and again: outbox_read(); tell the facts; outbox_advance().
 * A row of the log is read only when its changes are in memory, so that what it says can be described.
 * At least once: after a crash the facts since the last outbox_advance() that returned OK are read again.
 * Rows of the log stay until all outboxes have advanced over them, but no more than seq_options.hold_bytes; rows that went before
 * they were read are counted as lost.
 * Several servers on one store: one of them has a destination, until it leaves the list of servers; outbox_advance() answers ST_CONFLICT when
 * another one has it by then.
 * Ownership: the caller frees the outbox before the core. Facts and texts live until the next outbox_read(). Thread rule: one
 * thread at a time, never a loop nor the sequencer's. */
#ifndef CAIRN_CORE_OUTBOX_H
#define CAIRN_CORE_OUTBOX_H

#include "core/core.h"
#include "core/run.h"

struct outbox;

enum { OUTBOX_NAME_MAX = 32, OUTBOX_MAX = 8 };

enum outbox_kind {
    OUTBOX_RUN_STARTED = 1,
    OUTBOX_RUN_LINKS,  /* inputs or outputs were added, and nothing else of this page says it */
    OUTBOX_RUN_STATUS, /* status, end_ms */
    OUTBOX_VERSION,    /* of registered model uid: `version` was made */
    OUTBOX_ALIAS,    /* of registered model uid: key names `version`; value p NULL: not any more */
    OUTBOX_RENAMED,  /* registered model uid; value: its new name */
    OUTBOX_DROPPED,  /* registered model; value: its name */
    OUTBOX_EXECUTION /* links of the execution `uid` of a declared type were added */
};
struct outbox_fact {
    enum outbox_kind kind;
    int64_t uid;
    enum run_status status;
    bool has_end;
    int64_t end_ms, at_ms, version;
    struct str key, value;
};

/* Once, before any is opened: these destinations begin at the end of what happened if they are new, and others hold nothing back any
 * more; while other servers are on the store, which may tell them, those stay until a server starts alone. n may be 0. */
enum status outbox_setup(struct core *core, const char *const *names, size_t n,
                         struct err *err) ATTR_CHECK;
enum status outbox_new(struct outbox **out, struct core *core, const char *name,
                       struct err *err) ATTR_CHECK;
void outbox_free(struct outbox *o); /* NULL-safe */

/* This server tells from now on, from the durable mark. ST_CONFLICT: another one does. */
enum status outbox_take(struct outbox *o, struct err *err) ATTR_CHECK;
/* The next facts behind what was read before. *n may be 0 with *more true: there is more, which says nothing. *more false: nothing is to
 * be read now, ask again later. ST_CONFLICT: take it first. */
enum status outbox_read(struct outbox *o, const struct outbox_fact **facts, size_t *n, bool *more,
                        struct err *err) ATTR_CHECK;
/* All facts of the page have been told: `sent` and `dead` of their events count. */
enum status outbox_advance(struct outbox *o, uint64_t sent, uint64_t dead,
                           struct err *err) ATTR_CHECK;

/* Rows of the log that are not yet told, and that were lost since it was opened. Any thread. */
uint64_t outbox_behind(const struct outbox *o);
uint64_t outbox_lost(const struct outbox *o);
/* A view for describing a fact, with memory as acknowledged; outbox_view_end() ends it. Its arena is empty. */
enum status outbox_view(struct outbox *o, struct view **v, struct err *err) ATTR_CHECK;
void outbox_view_end(struct outbox *o);

/* ---- of what facts name --------------------------------------------------------------------------------------------------- */

/* The name of a registered model; ST_NOT_FOUND. */
enum status outbox_model(struct view *v, int64_t uid, struct str *name, bool *prompt,
                         struct err *err);
/* Whether a registered model that is gone was a prompt. */
enum status outbox_was_prompt(struct view *v, int64_t uid, bool *prompt, struct err *err);
struct outbox_artifact {
    int64_t id;
    struct str type, name, uri; /* NULL p = none, of the last two */
};
struct outbox_execution {
    struct str space, type; /* namespace, name of the type */
    int64_t id, create_ms, update_ms;
    int32_t state; /* as ML Metadata counts them; 0 = not known */
    struct outbox_artifact *inputs, *outputs;
    size_t inputs_n, outputs_n;
};
/* With at most max inputs and as many outputs; ST_NOT_FOUND. */
enum status outbox_execution(struct view *v, int64_t uid, size_t max, struct outbox_execution *out,
                             struct err *err);

struct outbox_state {
    struct str name;
    int64_t mark, behind; /* rows of the log told, and not yet told */
    int64_t lost, sent, dead;
};
/* Of every destination that the store knows. */
enum status outbox_states(struct view *v, struct outbox_state **out, size_t *n, struct err *err);

#endif
