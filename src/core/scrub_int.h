/* core/scrub_int.h - what the files of the scrubber share: scrub.c has the rounds, scrub_look.c looks at packs, objects and files,
 * scrub_ops.c has the write operations, scrub_names.c tells whose an object is. Everything but what the lock guards belongs to the
 * actor, and to the sequencer while an operation is under way. */
#ifndef CAIRN_CORE_SCRUB_INT_H
#define CAIRN_CORE_SCRUB_INT_H

#include "base/map.h"
#include "base/vec.h"
#include "core/object.h"
#include "core/scrub.h"
#include "store/blob/blob.h"
#include "store/blob/packfile.h"
#include "store/seq.h"

enum {
    SCRUB_WINDOW = 256 * 1024,
    SCRUB_STEP_BYTES = 4 << 20, /* of one step of the actor */
    SCRUB_STEP_ROWS = 200,
    SCRUB_BATCH = 128,         /* files of one operation */
    SCRUB_BAD_PACKS_MAX = 512, /* beyond: objects in packs are read in full */
    SCRUB_ARENA_MAX = 64 << 20
};

enum scrub_phase { SCRUB_PACKS, SCRUB_OBJECTS, SCRUB_FILES, SCRUB_PHASE_N };

/* A pack that is damaged. */
struct scrub_bad {
    uint64_t id;
    bool all;                                      /* its footer cannot be had */
    unsigned char chunks[PACKFILE_CHUNKS_MAX / 8]; /* a bit each */
};

struct scrub_object { /* a row; texts in s->scratch */
    struct digest sha256;
    int64_t gen;
    uint64_t size;
    unsigned state, stage;
    struct str recipe, body; /* p NULL: none */
};

struct scrub_file { /* that nothing knows */
    bool is_pack;
    struct blob_entry e;
    uint64_t pack;
    bool taken; /* by the operation */
};

/* Lives on the stack of who waits. */
struct scrub_waiter {
    struct scrub_waiter *next;
    struct exec_event *event;
    uint64_t round;
};

struct scrubber {
    struct core *core;
    struct sql_conn *conn; /* while a round is at work */
    struct arena *arena;   /* of the operation */
    struct arena *scratch; /* of the object in hand */
    struct exec_actor *actor;
    struct lock lock; /* guards what follows, until the next comment */
    bool stopping;
    struct scrub_options want;
    struct scrub_stats stats;
    VEC(struct scrub_finding) findings;
    struct scrub_waiter *waiters;
    /* release by the answer, acquire by the actor */
    _Atomic bool answered;
    /* The actor's. */
    struct write_op op;
    bool submitted;
    struct scrub_options opt; /* of the round; the rate is read from `want` */
    uint64_t round;
    bool in_round;
    enum scrub_phase phase;
    int64_t began_ms, resume_ms;
    uint64_t paced; /* bytes since began_ms */
    unsigned char *window;
    /* Packs. */
    uint64_t pack, pack_bytes; /* in hand, or the last */
    struct blob_pack_scan *scan;
    struct scrub_bad *bad_now; /* of the pack in hand */
    unsigned pack_state;       /* in its row */
    struct int_map bad;        /* struct scrub_bad, by id */
    bool bad_is_full;
    /* Objects. */
    struct digest last;
    bool begun;
    struct scrub_object object;
    struct blob_reader *reader;
    struct sha256 *sha; /* not NULL: the object in hand is being read */
    uint64_t left;
    char problem[SCRUB_PROBLEM_MAX]; /* of the object of the operation */
    /* Files. */
    unsigned shard;
    bool listing_packs;
    size_t passed; /* files of the shard that earlier batches have had */
    struct scrub_file files[SCRUB_BATCH];
    size_t files_n;
};

/* ---- scrub.c ---------------------------------------------------------------------------------------------------------------- */

void scrub_read(struct scrubber *s, uint64_t bytes); /* were read */
void scrub_report(struct scrubber *s, const struct scrub_finding *f);

/* ---- scrub_look.c: a step of each phase. ST_END: it is over ------------------------------------------------------------------- */

enum status scrub_step_packs(struct scrubber *s, struct err *err) ATTR_CHECK;
enum status scrub_step_objects(struct scrubber *s, struct err *err) ATTR_CHECK;
enum status scrub_step_files(struct scrubber *s, struct err *err) ATTR_CHECK;
void scrub_look_reset(struct scrubber *s); /* nothing is in hand */
/* An operation was answered. */
void scrub_swept(struct scrubber *s);

/* ---- scrub_ops.c: each submits; the actor goes on when it is answered ------------------------------------------------------------ */

/* The object in hand is damaged, or sound. */
enum status scrub_op_mark(struct scrubber *s, struct err *err) ATTR_CHECK;
enum status scrub_op_heal(struct scrubber *s, struct err *err) ATTR_CHECK;
/* The pack in hand is damaged, or sound again. */
enum status scrub_op_judge(struct scrubber *s, struct err *err) ATTR_CHECK;
/* s->files go to the collector, if nothing knows them still. */
enum status scrub_op_sweep(struct scrubber *s, struct err *err) ATTR_CHECK;

static inline bool scrub_is_bad(const struct scrub_bad *b, uint32_t chunk)
{
    return b->all || (b->chunks[chunk / 8] >> (chunk % 8) & 1);
}

#endif
