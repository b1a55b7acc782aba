/* core/repack_int.h - what the files of the repacker share: repack.c has the rounds, repack_cut.c the object in hand, repack_ops.c the
 * write operations. Everything but what the lock guards belongs to the actor, and to the sequencer while an operation is under way. */
#ifndef CAIRN_CORE_REPACK_INT_H
#define CAIRN_CORE_REPACK_INT_H

#include "base/buf.h"
#include "base/map.h"
#include "base/vec.h"
#include "core/object.h"
#include "core/repack.h"
#include "store/blob/blob.h"
#include "store/blob/recipe.h"
#include "store/seq.h"

enum {
    REPACK_WINDOW = 1 << 20,     /* bytes of the object in hand */
    REPACK_STEP_BYTES = 4 << 20, /* of one step of the actor */
    REPACK_PAGE = 64,            /* objects, packs */
    REPACK_WAITING_MAX = 8192,   /* objects that wait for the open pack */
    REPACK_SWAPS = 128,          /* objects of one operation */
    REPACK_INDEX_ROWS = 1024,    /* chunks of one operation */
    REPACK_SPARSE_MAX = 64,      /* packs that one round empties */
    REPACK_ARENA_MAX = 64 << 20
};

/* What the operation under way is. */
enum repack_op {
    OP_NONE,
    OP_BEGIN,
    OP_WRITTEN,
    OP_INDEX,
    OP_SWAP,
    OP_STAYS,
    OP_UNINDEX,
    OP_STALE,
    OP_LEAVE,
    OP_GONE
};

/* An object and where its bytes lie from now on. */
struct repack_object {
    struct digest sha256;
    int64_t gen;
    uint64_t size;
    bool is_loose;     /* a file of its own becomes free */
    struct str before; /* recipe of one that is packed once more; p NULL: it was not packed */
    VEC(struct recipe_pack) packs;
    VEC(struct recipe_extent) extents;
    bool moved; /* by the operation */
};
void repack_object_free(struct repack_object *o); /* NULL-safe */

struct repack_pack { /* a row of packfile; state: enum pack_state */
    uint64_t id, bytes;
    int64_t since_ms;
    unsigned state;
};

struct repack_row { /* of the index */
    int64_t id, pack, n;
};

enum repack_phase {
    PHASE_IDLE,
    PHASE_STALE,   /* rows of packs that are gone leave the index */
    PHASE_INDEX,   /* footers of all packs go into the index */
    PHASE_OBJECTS, /* the next object: of those that wait, then of nearly free packs */
    PHASE_CUT,     /* the object in hand */
    PHASE_SEAL,    /* the open pack is finished */
    PHASE_SEALED,  /* its row, its index */
    PHASE_SWAP,    /* objects get their recipes */
    PHASE_SWEEP,   /* packs that are free, or nearly */
    PHASE_LEAVE,   /* one of them loses its index, then its state */
    PHASE_DELETE   /* bytes of packs whose time has come */
};

struct repacker {
    struct core *core;
    struct sql_conn *conn;
    struct arena *arena;   /* of the operation */
    struct arena *scratch; /* of a step */
    struct exec_actor *actor;
    struct repack_options opt;
    struct lock lock; /* guards what follows, until the next comment */
    bool stopping;
    unsigned how; /* of the rounds that are asked for: enum repack_ask */
    struct repack_stats stats;
    struct repack_waiter *waiters;
    /* release by the answer, acquire by the actor */
    _Atomic bool answered;
    /* Operation under way, or answered. */
    struct write_op op;
    enum repack_op submitted;
    /* Rounds. */
    enum repack_phase phase, after_swap;
    uint64_t round; /* that was asked for; 0: by itself */
    bool in_round, no_grace;
    int64_t next_ms, began_ms, swept_ms;
    uint64_t round_bytes; /* read in this round */
    uint64_t seen_bytes;  /* waiting at the last look */
    unsigned looks;
    /* Objects still to be looked at. */
    struct digest cursor;
    bool cursor_set, page_last;
    struct repack_object page[REPACK_PAGE];
    size_t page_n, page_at;
    /* The object in hand. */
    struct repack_object *cur;
    struct blob_reader *reader;
    struct sha256 *sha;
    unsigned char *window; /* NULL while the repacker rests */
    size_t have, at;
    uint64_t done;           /* bytes that are cut */
    enum object_stage stays; /* of one that is not moved */
    /* Where the last chunk was found: its successor is looked for there first. */
    const struct packfile *hint;
    uint32_t hint_n;
    /* The open pack. writer NULL: none, or its row is made. */
    uint64_t pack_id, pack_bytes;
    bool pack_row;
    struct blob_pack_writer *writer;
    VEC(struct digest) ids;
    struct int_map ids_at;
    size_t indexed;
    VEC(struct repack_row) stale; /* of the operation */
    struct repack_row stale_to;   /* the index was looked at up to this one */
    bool stale_last;
    VEC(struct repack_object *) waiting;
    size_t swapped;
    /* Packs. */
    uint64_t pack_cursor;
    struct repack_pack packs[REPACK_PAGE];
    size_t packs_n, packs_at;
    bool packs_last;
    struct repack_pack leaving;
    const struct packfile *leaving_foot;
    bool leaving_open;   /* its footer was looked for */
    size_t checked_n;    /* packs whose use was counted in this round */
    uint64_t checked_to; /* by rounds of their own, so that each looks at others */
    uint64_t sparse[REPACK_SPARSE_MAX];
    size_t sparse_n, sparse_at;
    bool again; /* objects of sparse packs are being packed once more, or have been */
};

/* A page of what is next; *last: there is no other. */
enum status repack_page_objects(struct repacker *r, struct err *err) ATTR_CHECK;
enum status repack_page_packs(struct repacker *r, struct err *err) ATTR_CHECK;
/* The next page of the index: r->stale are those of its rows whose packs are not live. */
enum status repack_page_stale(struct repacker *r, struct err *err) ATTR_CHECK;
/* Bytes that wait, counted up to a few thousand objects. */
enum status repack_waiting_bytes(struct repacker *r, uint64_t *bytes, struct err *err) ATTR_CHECK;
/* How much of a live pack is worth keeping for the objects that name it, in bytes of its file. */
enum status repack_used(struct repacker *r, const struct repack_pack *p, uint64_t *used,
                        struct err *err) ATTR_CHECK;

/* ---- repack_find.c: above. repack_cut.c ----------------------------------------------------------------------------------------------------------- */

/* Takes an object in hand: its bytes can be read. Takes o, also on failure. ST_CORRUPT when they cannot be had. */
enum status repack_take(struct repacker *r, struct repack_object *o, struct err *err) ATTR_CHECK;
/* Cuts some more of it. ST_END: it is complete. ST_NOT_FOUND: a pack has to be opened first. ST_TOO_BIG: the open pack is full.
 * ST_CORRUPT: its bytes are not those of its digest; ST_NOT_IMPLEMENTED: it falls into too many pieces. */
enum status repack_cut(struct repacker *r, struct err *err) ATTR_CHECK;
/* The object in hand is let go; NULL-safe. */
void repack_drop(struct repacker *r);
void repack_forget_hint(struct repacker *r);

/* ---- repack_ops.c: each submits; the actor goes on when it is answered ------------------------------------------------------- */

enum status repack_op_begin(struct repacker *r,
                            struct err *err) ATTR_CHECK; /* row of the open pack */
enum status repack_op_written(struct repacker *r, struct err *err) ATTR_CHECK; /* it is live */
enum status repack_op_index(struct repacker *r,
                            struct err *err) ATTR_CHECK; /* some of its chunks, from r->indexed */
enum status repack_op_swap(struct repacker *r,
                           struct err *err) ATTR_CHECK; /* some of r->waiting, from r->swapped */
enum status repack_op_stays(struct repacker *r,
                            struct err *err) ATTR_CHECK; /* the object in hand */
enum status repack_op_unindex(struct repacker *r, struct err *err)
    ATTR_CHECK; /* chunks of r->leaving_foot, from r->indexed */
enum status repack_op_stale(struct repacker *r, struct err *err) ATTR_CHECK; /* r->stale */
enum status repack_op_leave(struct repacker *r,
                            struct err *err) ATTR_CHECK; /* r->leaving is being deleted */
enum status repack_op_gone(struct repacker *r, struct err *err) ATTR_CHECK; /* its bytes are */

#endif
