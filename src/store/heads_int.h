/* store/heads_int.h - inside of struct heads, shared by heads.c and heads_cells.c. */
#ifndef CAIRN_STORE_HEADS_INT_H
#define CAIRN_STORE_HEADS_INT_H

#include "base/exec.h"
#include "base/map.h"
#include "store/heads.h"
#include "store/series/body.h"

enum { HEAD_STATUS_RUNNING = 1, CHANGES_N = 1 << 14 };

struct head_list {
    struct head *first, *last;
    size_t bytes, n;
};

struct heads {
    struct rwlock
        lock; /* guards the maps and the cells of every head; written by the sequencer only */
    struct str_map by_rid;
    struct int_map by_uid;
    _Atomic uint64_t evictions;
    _Atomic uint64_t changes[CHANGES_N]; /* of runs, by the low bits of their uid */
    _Atomic uint64_t changes_all;
    /* The sequencer's. */
    struct mkeys *mkeys;
    struct runcols *columns;
    struct head_list dirty, clean; /* clean: longest unused first */
    size_t max_bytes;
    uint64_t group_no;
    struct buf raw, body;
    struct zip zip;
};

void head_free(struct head *h);
/* Corrects the sums after h grew or shrank. */
void head_account(struct heads *hs, struct head *h, size_t more, size_t less);
/* What the allocator takes for a value beyond its bytes: a block is of 32 bytes at least, and a multiple of 16 with 8 for itself. A run
 * of many short params holds more of this than of values. */
static inline size_t head_value_slack(struct str value)
{
    return value.p ? MAX_OF((value.n + 1 + 8 + 15) / 16 * 16, (size_t)32) - value.n : 0;
}
/* The same after a value of a head that is in its list was put in for another one (p NULL: none). */
void head_account_value(struct heads *hs, struct head *h, struct str more, struct str less);

#endif
