/* core/scrub.h - the scrubber: an actor of its own that reads every stored byte again, when somebody asks.
 * A round has these parts:
 *
 *   packs     each from its head to its footer, every chunk against its id; one that is damaged is marked in its row, so that
 *             nothing new is made to rely on it
 *   objects   in the order of their digests: bytes in rows and whole files against their SHA-256, recipes against the packs they name;
 *             deep: what lies in packs is read through its recipe too, as often as it is named
 *   files     that no row, no lease and no list of places to be deleted knows, found by listing what the backend has. Old ones can be
 *             swept: given to the collector (core/collect.h), which deletes them
 *
 * An object whose bytes are missing or wrong is marked in its row: it is not given to anybody, and the next upload of the same content
 * takes its place. What is found sound again loses the mark. A place belongs to somebody from the transaction that leases its
 * generation, before its file is there; the transaction that sweeps looks again, and only at generations that have been given out, so a
 * live upload is not hurt and a place that is deleted is not used later.
 * Nothing is kept of a round: one that is cut short begins again, and finds again what it had found.
 *
 * Budget: bytes per second as asked; a MB of memory for bytes, and SCRUB_FINDINGS_MAX findings, beyond which they are only counted.
 * Ownership: the opener of the core makes it once the blob store is open; core_close() stops and frees it, before the blob store is
 * closed. Thread rule: as each function says. */
#ifndef CAIRN_CORE_SCRUB_H
#define CAIRN_CORE_SCRUB_H

#include "base/hash.h"
#include "core/core.h"

struct scrubber;

enum {
    SCRUB_FINDINGS_MAX = 1000,
    SCRUB_PLACE_MAX = 96,
    SCRUB_PROBLEM_MAX = 120,
    SCRUB_RATE = 64 << 20,           /* bytes a second, unless said */
    SCRUB_AGE_MS = 24 * 3600 * 1000, /* of files that are swept, unless said */
    SCRUB_NAMES_MAX = 100            /* places that are told of one object */
};

enum status scrub_start(struct core *core, struct err *err) ATTR_CHECK;

struct scrub_options {
    uint64_t bytes_per_s; /* 0 = SCRUB_RATE */
    bool deep;
    bool sweep;     /* files that nothing knows go */
    bool has_age;   /* older than age_ms; else than SCRUB_AGE_MS */
    int64_t age_ms; /* by the clock of this machine against the one of the backend */
};
/* Asks for a round. One that is at work and does as much is that round, from now on at the rate asked for; otherwise one that
 * begins now or behind it. The number of the round. Any thread. */
uint64_t scrub_ask(struct scrubber *s, const struct scrub_options *opt);
/* Waits until that round is over. False after timeout_ms (< 0: no limit), or when the scrubber stops. Never on a loop thread. */
bool scrub_wait(struct scrubber *s, uint64_t round, int64_t timeout_ms);

struct scrub_stats {
    uint64_t asked, done; /* numbers of rounds */
    bool running;
    /* Of the round at work, or the last. */
    uint64_t packs, chunks, objects; /* that were looked at */
    uint64_t bytes;                  /* that were read */
    uint64_t files;                  /* that the backend has, of objects and packs */
    uint64_t damaged;                /* objects */
    uint64_t damaged_packs;
    uint64_t healed;                 /* objects that were marked, and are sound */
    uint64_t unknown, unknown_bytes; /* files that nothing knows */
    uint64_t swept, swept_bytes;     /* of them */
    uint64_t unfinished;        /* uploads that are open, or broke off lately, in the backend */
    int64_t began_ms, ended_ms; /* wall clock; 0: not yet */
    char problem[160];          /* why the round broke off; else "" */
};
/* Any thread. */
void scrub_stats(struct scrubber *s, struct scrub_stats *out);

enum scrub_kind { SCRUB_OBJECT = 1, SCRUB_PACK, SCRUB_FILE };
struct scrub_finding {
    enum scrub_kind kind;
    struct digest sha256; /* of an object */
    uint64_t bytes;
    int64_t mtime_ms; /* of a file */
    char place
        [SCRUB_PLACE_MAX]; /* "objects/ab/abcdef...-3", "packs/ab/abcdef0123456789", "database" */
    char problem[SCRUB_PROBLEM_MAX];
};
/* A copy of what the round at work, or the last, has found, in the arena. Any thread. */
enum status scrub_findings(struct scrubber *s, struct arena *a, struct scrub_finding **out,
                           size_t *n, struct err *err) ATTR_CHECK;

/* Who has an object, by the names people know. */
enum scrub_owner { SCRUB_RUN = 1, SCRUB_LOGGED_MODEL, SCRUB_MODEL_VERSION, SCRUB_ARTIFACT };
struct scrub_name {
    enum scrub_owner kind;
    struct str
        id; /* of the run or logged model; "NAME/NUMBER" of a model version; "" of what belongs to none of them */
    struct str name; /* of it */
    struct str path; /* of the file below its artifacts, or below those of the server */
};
/* At most SCRUB_NAMES_MAX. In the arena of the view. */
enum status scrub_names(struct view *v, const struct digest *sha256, struct scrub_name **out,
                        size_t *n, struct err *err) ATTR_CHECK;

/* For core_close() and tests. Ends the actor; an operation of its may still be answered until the sequencer has ended. NULL-safe. */
void scrub_stop(struct scrubber *s);
void scrub_free(struct scrubber *s); /* after the sequencer is closed; NULL-safe */

#endif
