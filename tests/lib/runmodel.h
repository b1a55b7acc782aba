/* tests/lib/runmodel.h - random operations on runs, with a plain reference beside the store.
 * The reference keeps every point in a list and knows nothing of groups, tails, packs or heads. An operation is drawn once,
 * given to the store, and applied to the reference, which says what the store must answer. Both sides can be written
 * down as text; equal texts = equal state.
 * Ownership: the model owns what it draws until model_free(). Thread rule: one thread. */
#ifndef CAIRN_TESTS_LIB_RUNMODEL_H
#define CAIRN_TESTS_LIB_RUNMODEL_H

#include "base/buf.h"
#include "core/core_open.h"
#include "core/run.h"

struct model;
struct model_op;

/* rnd draws all choices. */
struct model *model_new(uint64_t (*rnd)(void *ctx), void *ctx);
void model_free(struct model *m);
/* Makes `to` what `from` is; operations are not copied. */
void model_copy(struct model *to, const struct model *from);
/* Makes the second experiment; once, in an empty store. */
enum status model_setup(struct model *m, struct core *core, struct err *err);

/* The same for a model of a store that another process has set up. */
void model_set_up(struct model *m);

/* Draws an operation; it refers to the runs that the reference has or will have. */
struct model_op *model_draw(struct model *m);
/* The operation as a write; its done is called with write_op.user = op. Operations live until model_ops_clear(). */
struct write_op *model_op_write(struct model_op *op, struct core *core, struct arena *a);
void model_ops_clear(struct model *m);
/* Changes the reference; returns the status that the store must answer. */
enum status model_apply(struct model *m, struct model_op *op);
const char *model_op_name(const struct model_op *op);

/* Everything that readers can see, as text. */
void model_dump(struct model *m, struct buf *out);
enum status store_dump(struct model *m, struct core *core, struct buf *out, struct err *err);

/* Draws, submits and checks n operations, some in one group; T_ checks inside. Waits with exec events. */
void model_round(struct model *m, struct core *core, size_t n);
bool model_agrees(struct model *m, struct core *core);
/* T_ check that store and reference agree, and that searches answer the same through columns and row by row. */
void model_check(struct model *m, struct core *core);
/* The latter alone. */
void model_search(struct model *m, struct core *core);
/* Waits until an experiment that was deleted for good is gone whole. */
void model_settle(struct core *core);
/* T_ check that core_check() finds nothing. */
void model_check_rows(struct core *core);

#endif
