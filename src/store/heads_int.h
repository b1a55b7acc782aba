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
    size_t bytes;
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

#endif
