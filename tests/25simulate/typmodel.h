/* tests/25simulate/typmodel.h - random writes of ML Metadata, memory of steps and imports, with a plain reference beside the store.
 * The reference is a table for each of three namespaces: which of a few nodes there are and under which numbers, what hangs together, which
 * step was done by which execution, what was taken over from a source and when. In `default` runs take numbers as well, so only names
 * count there. Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_TYPMODEL_H
#define CAIRN_TESTS_25SIMULATE_TYPMODEL_H

#include "core/core_open.h"
#include "core/step.h"
#include "core/typed/import.h"

enum {
    TYP_SPACES = 3, /* the first is `default` */
    TYP_ARTIFACTS = 5,
    TYP_EXECUTIONS = 12,
    TYP_CONTEXTS = 3,
    TYP_KEYS = 3,
    TYP_ROWS = 3 /* of an import */
};

/* Numbers: 0 = not there. */
struct typ_space {
    int64_t type[4]; /* of artifacts, executions, contexts; execution_cache */
    int64_t types_n;
    int64_t given[3]; /* the highest number, by kind */
    struct {
        int64_t number, value;
    } artifact[TYP_ARTIFACTS];
    int64_t execution[TYP_EXECUTIONS], context[TYP_CONTEXTS], cache[TYP_KEYS];
    uint8_t event[TYP_ARTIFACTS][TYP_EXECUTIONS]; /* a bit for each type of event */
    bool has_artifact[TYP_CONTEXTS][TYP_ARTIFACTS], has_execution[TYP_CONTEXTS][TYP_EXECUTIONS];
    enum { TYP_NEVER, TYP_DONE, TYP_GONE } done[TYP_KEYS][TYP_EXECUTIONS];
    /* What was taken over: the time of its change there. */
    int64_t from_type[2], from_artifact[TYP_ARTIFACTS], from_execution[TYP_EXECUTIONS];
};
/* Copied by assignment. */
struct typs {
    struct typ_space space[TYP_SPACES];
};

struct typ_op {
    enum typ_kind {
        TYP_TYPES,
        TYP_WHOLE,
        TYP_CHANGE,
        TYP_EVENT,
        TYP_RECORD,
        TYP_FORGET,
        TYP_IMPORT
    } kind;
    size_t space, a, x, c, key;
    int64_t value, type[3];
    /* Of an import: which of the source's nodes, and what the reference says of each. */
    size_t rows[TYP_ROWS];
    enum typed_outcome want[TYP_ROWS];
    int64_t want_id[TYP_ROWS]; /* and of a put: the numbers of its artifact, execution, context */
    struct typed_put put;
    struct step_record record;
    struct step_invalidate forget;
    struct typed_import import;
};

/* Draws an operation, in the arena. */
struct typ_op *typ_draw(uint64_t (*rnd)(void *ctx), const struct typs *m, struct core *core,
                        struct arena *a);
struct write_op *typ_op_write(struct typ_op *op);
/* Changes the reference; returns the status that the store must answer. */
enum status typ_apply(struct typs *m, struct typ_op *op);
/* T_ check of what an operation that was applied has said beside its status: numbers, and what became of rows. */
void typ_check_answer(const struct typ_op *op, uint64_t seed);

/* Whether every read of ML Metadata, and every question about a step, is answered as the reference says. */
bool typs_agree(const struct typs *m, struct core *core);

#endif
