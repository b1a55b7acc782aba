/* tests/25simulate/linmodel.h - random links of lineage, with two plain references beside the store.
 * What stands is a table: which of a few nodes there are, and which links among them. What questions must answer is walked anew for each,
 * slowly, over the rows of the logs, whatever the links in memory and their file (DATA/lineage.links) hold.
 * Thread rule: one thread. */
#ifndef CAIRN_TESTS_25SIMULATE_LINMODEL_H
#define CAIRN_TESTS_25SIMULATE_LINMODEL_H

#include "core/core_open.h"
#include "core/graph/same.h"

enum { LIN_NODES = 24, LIN_ROLES = 4 };

/* What stands; copied by assignment. Links: a bit for each role. */
struct lins {
    bool node[LIN_NODES];
    uint8_t link[LIN_NODES][LIN_NODES];
    bool same[LIN_NODES][LIN_NODES]; /* the lower one first */
};

struct lin_op {
    enum { LIN_NODE, LIN_LINK, LIN_SAME } kind;
    size_t a, b, role;
    unsigned type; /* of a new node */
    struct write_op op;
    struct same_change same;
};

/* Draws an operation, in the arena. */
struct lin_op *lin_draw(uint64_t (*rnd)(void *ctx), struct core *core, struct arena *a);
struct write_op *lin_op_write(struct lin_op *op);
/* Changes the reference; returns the status that the store must answer. */
enum status lin_apply(struct lins *m, const struct lin_op *op);

/* Whether the rows of the store are those of the reference. */
bool lins_agree(const struct lins *m, struct core *core);
/* T_ check that n drawn questions, to either side, of any depth and time, are answered as the logs say. */
void lins_ask(uint64_t (*rnd)(void *ctx), struct core *core, size_t n, uint64_t seed);

#endif
