/* engine/emit.h - tells others what happens here: runs, registrations, imports, as events of OpenLineage, to an address or into a file.
 * Every destination has a thread and a durable mark of its own (core/outbox.h): in order, at least once, and what cannot be told now is
 * tried again for as long as the log is held for it. What a destination refuses goes to a file, from where it can be sent again.
 * Ownership: the caller stops the emitter before the core is closed; options are copied where they are not texts, which outlive it.
 * Thread rule: start and stop on one thread; emit_stats() any thread. */
#ifndef CAIRN_ENGINE_EMIT_H
#define CAIRN_ENGINE_EMIT_H

#include "core/core.h"
#include "engine/emit_send.h"

struct emitter;

enum { EMIT_DESTINATIONS = 2 };
#define EMIT_REFUSED_FILE "openlineage-refused.jsonl"

struct emit_options {
    struct emit_address to; /* url NULL = none */
    const char *file;       /* events are added to, one a line; NULL = none */
    const char *refused;    /* where goes what the address does not want */
    const char *ns;         /* namespace of jobs */
    int64_t poll_ms;        /* 0 = 500: how often the log is looked at */
    int64_t standby_ms;     /* 0 = 2,000: how often, whether the server that tells is gone */
    int64_t retry_min_ms, retry_max_ms; /* 0 = 500, 60,000: between tries */
    unsigned broken_max; /* 0 = 10: after so many answers of 500 the event is refused */
};

/* Also when nothing is to be told: then what was configured before holds no log back any more, and *out is NULL. */
enum status emit_start(struct emitter **out, struct core *core, const struct emit_options *opt,
                       struct err *err) ATTR_CHECK;
/* At once: what is not told stays for the next start. NULL-safe. */
void emit_stop(struct emitter *e);

enum emit_state {
    EMIT_IDLE,    /* all is told */
    EMIT_TELLING, /* at work */
    EMIT_WAITING, /* the last try failed */
    EMIT_STANDBY  /* another server tells */
};
const char *emit_state_name(enum emit_state s); /* "idle", "telling", "waiting", "standby" */
struct emit_stats {
    const char *name; /* "url", "file" */
    enum emit_state state;
    uint64_t sent, failed, dead, lost; /* events, tries, events, rows of the log; since the start */
    uint64_t behind;                   /* rows of the log */
    int64_t behind_ms;                 /* since the oldest of them was read; 0 = nothing waits */
};
/* Returns how many there are, at most EMIT_DESTINATIONS. NULL-safe. */
size_t emit_stats(struct emitter *e, struct emit_stats out[EMIT_DESTINATIONS]);

#endif
