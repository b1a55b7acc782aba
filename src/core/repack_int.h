/* core/repack_int.h - what the files of the repacker share: repack.c has the rounds, repack_cut.c the object in hand, repack_base.c what
 * it may resemble, repack_delta.c its differences from that, repack_ops.c the write operations. Everything but what the lock guards belongs to the actor, and to the sequencer while an operation is under way. */
#ifndef CAIRN_CORE_REPACK_INT_H
#define CAIRN_CORE_REPACK_INT_H

#include "base/buf.h"
#include "base/map.h"
#include "base/vec.h"
#include "core/object.h"
#include "core/repack.h"
#include "store/blob/blob.h"
#include "store/blob/packfile.h"
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
    REPACK_ARENA_MAX = 64 << 20,
    REPACK_RECENT = 256,         /* objects packed lately that others may resemble */
    REPACK_DELTA_MIN = 16 << 10, /* bytes of an object that is compared with others */
    REPACK_DELTA_WAIT_PART = 64  /* one of a pack is enough to finish a pack for what follows */
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
    VEC(struct recipe_extent) extents; /* their steps below are its own */
    bool has_deltas;                   /* its bytes are read back before it moves */
    bool is_wrong;                     /* and were others: it does not */
    bool moved;                        /* by the operation */
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

/* What an object may resemble: bytes of the same length in packs, read beside it. */
struct repack_base {
    struct arena *arena; /* of the recipe */
    struct recipe recipe;
    struct blob_object object;
    struct blob_reader *reader; /* stands at `at` */
    uint64_t at;
    size_t extent; /* one of the recipe, and where it begins in the object */
    uint64_t extent_from;
    size_t last_extent;                        /* of the differences that were added last */
    struct recipe_run steps[RECIPE_STEPS_MAX]; /* of the piece in hand */
    size_t steps_n;
    unsigned tried, paid, width; /* pieces; of the numbers of the last one */
    unsigned char *bytes, *made; /* of a piece, and its differences */
    struct packfile_coder plain, coded;
    struct str as_plain; /* the chunk in hand as it is, coded */
    uint8_t as_plain_codec;
    size_t as_plain_n; /* 0: it is not coded */
};

/* An object that was packed lately. table: of the names, types and shapes of its tensors, where its head has them. */
struct repack_recent {
    struct digest sha256, table;
    bool has_table;
    uint64_t size, name;
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
    /* What it may resemble. */
    struct repack_base *base; /* NULL: nothing */
    bool looked, base_known;  /* whether it was looked for; base_sha is it */
    struct digest base_sha;
    struct repack_recent cur_head; /* what is known of the object in hand */
    struct repack_recent recent[REPACK_RECENT];
    size_t recent_n; /* ever added */
    bool no_deltas;  /* some were wrong */
    /* Differences that were written are read back. */
    size_t verified; /* of waiting */
    struct blob_reader *back;
    struct sha256 *back_sha;
    uint64_t back_left;
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

/* In a live pack that is not being emptied: r->hint and r->hint_n say where. ST_NOT_FOUND. */
enum status repack_find_stored(struct repacker *r, const struct digest *id, size_t raw,
                               struct err *err) ATTR_CHECK;
/* In the open pack. */
bool repack_find_open(const struct repacker *r, const struct digest *id, uint32_t *n);
bool repack_is_sparse(const struct repacker *r, uint64_t pack);
/* OK: the open pack takes a chunk. ST_NOT_FOUND: there is none. ST_TOO_BIG: it is full. */
enum status repack_room(const struct repacker *r);
/* n raw bytes become a chunk of the open pack, which has room, already coded if stored.p is not NULL. */
enum status repack_write_chunk(struct repacker *r, const struct digest *id, const void *p, size_t n,
                               struct str stored, uint8_t codec, uint32_t *number,
                               struct err *err) ATTR_CHECK;
/* n raw bytes become a chunk that the object in hand names, or are one already. The open pack has room. */
enum status repack_put_plain(struct repacker *r, const struct digest *id, const void *p, size_t n,
                             struct err *err) ATTR_CHECK;
/* The number of a pack in the recipe of the object in hand. bytes 0: of the open pack, which are known when it is sealed. */
enum status repack_pack_of(struct repacker *r, uint64_t pack, uint64_t bytes, uint32_t *n,
                           struct err *err) ATTR_CHECK;

/* ---- repack_base.c ------------------------------------------------------------------------------------------------------------ */

/* Looks for what the object in hand, whose first bytes are in the window, may resemble. *wait: it is in the open pack, which has to be
 * finished first. */
enum status repack_base_find(struct repacker *r, bool *wait, struct err *err) ATTR_CHECK;
/* What was found, if it can be read. Whatever is wrong with it: then there is none. */
enum status repack_base_open(struct repacker *r, struct err *err) ATTR_CHECK;
/* The object in hand is complete: later ones may resemble it. */
void repack_base_remember(struct repacker *r);
void repack_base_drop(struct repacker *r); /* NULL-safe */

/* ---- repack_delta.c ------------------------------------------------------------------------------------------------------------ */

/* The n bytes at p, which no pack has, as differences, as far as that pays: *used of them. ST_NOT_FOUND: it does not. The open pack has
 * room for two chunks. */
enum status repack_delta(struct repacker *r, const unsigned char *p, size_t n, size_t *used,
                         struct err *err) ATTR_CHECK;
/* Reads back some of the objects with differences up to r->waiting.p[end]. ST_END: all are read. */
enum status repack_verify(struct repacker *r, size_t end, struct err *err) ATTR_CHECK;
void repack_verify_drop(struct repacker *r);

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
