/* tests/25simulate/artmodel.h - random artifact operations, with a plain reference beside the store.
 * The reference is a table: what lies at each of a few paths. Bytes are made from a number, so that the same bytes come more
 * than once; sizes lie on both sides of what is kept in a row. An upload goes piece by piece as jobs of the blob store's pool;
 * what it becomes is an operation like others. Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_ARTMODEL_H
#define CAIRN_TESTS_25SIMULATE_ARTMODEL_H

#include "core/artifact.h"
#include "core/core_open.h"

enum { ART_PATHS = 8 };

/* What the reference holds; copied by assignment. */
struct arts {
    uint64_t seed; /* for messages */
    struct {
        enum { ART_NONE, ART_FILE, ART_DIR } kind;
        uint64_t body;
    } at[ART_PATHS];
};

enum art_state {
    ART_UPLOADING,
    ART_QUEUED,
    ART_CLAIMING, /* large bytes wait for their lease */
    ART_PLACING,
    ART_READY,
    ART_FAILED
};

struct art_op {
    struct exec_job job;
    bool is_delete;
    size_t path; /* ART_PATHS: everything */
    uint64_t body;
    struct str bytes;
    size_t sent;
    enum art_state state; /* of the upload */
    enum status st;
    struct err err;
    struct artifact_upload upload;
    struct object_claim claim;
    struct object_release release;
    struct core *core;
    struct arena *arena;
    uint64_t (*rnd)(void *ctx);
    union {
        struct artifact_put put;
        struct artifact_delete del;
    } w;
};

/* Draws an operation, in the arena. A delete is ready; a put has to be uploaded first. */
struct art_op *art_draw(uint64_t (*rnd)(void *ctx), struct core *core, struct arena *a);
/* Gives the next piece of an upload to the pool; does nothing while one waits there. */
void art_upload_step(struct art_op *op);
/* After a crash, and after a failure. */
void art_upload_drop(struct art_op *op);
/* When it leads to nothing: gives its lease back, if it has one. */
void art_release(struct art_op *op);
/* The operation as a write, once ready. */
struct write_op *art_op_write(struct art_op *op);
/* Changes the reference; returns the status that the store must answer. */
enum status art_apply(struct arts *m, const struct art_op *op);

/* Whether the store's artifacts are those of the reference, byte for byte. A failure to list or read one is a T_ failure. */
bool arts_agree(const struct arts *m, struct core *core);
void arts_check(const struct arts *m, struct core *core);
/* T_ check that every object in the store has its bytes, named or not. */
void arts_check_objects(const struct arts *m, struct core *core);
/* T_ check that all of it can be moved into packs, that it is the same there, and that there are no other packs. */
void arts_check_packed(const struct arts *m, struct core *core);

/* Collects; then T_ checks that nothing lies in the store that nothing refers to: every file has its row or its lease, and of
 * objects only those are left that a name or a lease holds. */
void arts_check_collected(const struct arts *m, struct core *core);

#endif
