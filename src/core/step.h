/* core/step.h - memory of steps: which execution did a step with exactly these inputs, code, parameters and environment, whether what it
 * made is still there, and where it is not, why not.
 *
 * An execution is run:ID or execution:ID (one of ML Metadata, of the namespace); an output is artifact:ID, model:ID, dataset:NAME@DIGEST,
 * bytes by their SHA-256, or whatever an output edge leads to. Executions of ML Metadata are also put into the context of type
 * `execution_cache` that is named like the key, where clients of ML Metadata look for them; what they put there is found here.
 * A record is one operation; recording the same again changes nothing. What was taken out (step_invalidate) is not found again, until a client puts it there again.
 * Namespaces are those of core/typed.
 * Ownership: what reads return lives in the view's arena. Thread rule: reads need a view; init functions any thread. */
#ifndef CAIRN_CORE_STEP_H
#define CAIRN_CORE_STEP_H

#include "core/core.h"
#include "core/step_key.h"
#include "store/seq.h"

enum {
    STEP_OUTPUTS_MAX = 1000, /* of an execution: that links lead to, and that are said beside */
    STEP_REASON_MAX = 2000,  /* bytes */
    STEP_TRIED_MAX = 100,    /* executions of a key that are looked at, newest first */
    STEP_NEAR_MAX =
        256, /* other keys of a step among which the nearest is looked for, newest first, */
    STEP_NEAR_BYTES = 8 << 20, /* and how much of them is read */
    STEP_DIFFERENCES_MAX = 100,
    STEP_FILES_MAX = 10000, /* of an output that are looked at */
    STEP_INVALIDATE_MAX =
        10000, /* keys that one operation takes out, and executions out of contexts */
};

/* An output; node or sha256, or both. */
struct step_output {
    struct str name;
    struct str node; /* p NULL = none */
    bool has_sha256;
    struct digest sha256;
    /* out */
    int64_t uid;
    struct str uri;  /* p NULL = none */
    bool is_checked; /* its bytes lie in this store, and are there */
};

struct step_record {
    struct write_op op;
    struct core *core;
    struct str ns, who;
    struct str step;  /* the name of the step */
    struct str bytes; /* of the key; p NULL: only the key is known */
    struct digest key;
    struct str execution;
    struct step_output *outputs; /* beyond those that edges lead to */
    size_t outputs_n;
    bool known; /* out: it was recorded before */
};
void step_record_init(struct step_record *r, struct core *core, struct arena *a);

/* Takes out one key, or all that a step has; ST_NOT_FOUND if there is nothing to take out. */
struct step_invalidate {
    struct write_op op;
    struct core *core;
    struct str ns, who, step, reason;
    bool has_key;
    struct digest key;
    int64_t n; /* out: executions that are not found any more */
    bool more; /* out: there are others: do it again */
};
void step_invalidate_init(struct step_invalidate *f, struct core *core, struct arena *a);

/* Why nothing can be taken over. */
enum step_miss {
    STEP_HIT = 0,
    STEP_UNKNOWN = 1,     /* no execution has the key */
    STEP_INVALIDATED = 2, /* it was taken out */
    STEP_UNFINISHED = 3,  /* the execution runs, failed, or is deleted */
    STEP_OUTPUT_GONE = 4  /* something that it made is not there any more */
};
/* "", "unknown", "invalidated", "unfinished", "output_gone". */
const char *step_miss_name(enum step_miss m);

struct step_found {
    enum step_miss miss;
    struct str why; /* of a miss, for people */
    /* Of a hit; of a miss the newest execution that was looked at; execution p NULL: none was. */
    struct str execution, who;
    int64_t ms;
    struct step_output *outputs; /* of a hit */
    size_t outputs_n;
    /* STEP_UNKNOWN, with bytes: the earlier key of the step that differs least, and in what; near p NULL: there is none. */
    struct str near; /* its execution */
    struct digest near_key;
    struct step_difference *differences; /* the first of them, in their order */
    size_t differences_n, differences_all;
};
/* bytes p NULL: only the key is known; step may be empty then. */
enum status step_find(struct view *v, struct str ns, struct str step, struct str bytes,
                      const struct digest *key, struct step_found *out, struct err *err);

#endif
