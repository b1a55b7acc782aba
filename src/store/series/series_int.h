/* store/series/series_int.h - inside of struct series, shared by tail.c, parts.c and history.c. */
#ifndef CAIRN_STORE_SERIES_SERIES_INT_H
#define CAIRN_STORE_SERIES_SERIES_INT_H

#include "base/exec.h"
#include "base/map.h"
#include "store/series/chunk.h"
#include "store/series/series.h"

struct sql_conn;

struct tail_block {
    struct tail_block *next;
    size_t n, cap;
    struct tail_point p[];
};

struct tail {
    int64_t owner;
    struct tail_block *first, *last;
    struct tail_block *write; /* the block that the next point goes to */
    size_t n;                 /* points in all blocks */
    size_t room, reserved;    /* free places; those promised to operations */
};

struct series {
    struct rwlock lock;    /* guards owners and every chain; written by the sequencer only */
    struct int_map owners; /* -> struct tail */
    size_t bytes, max_bytes, points;
    int64_t oldest_ms;
    struct packer *packer; /* the sequencer's */
};

/* parts.c: calls fn for each pack of the owner, in order; the reader and what it allocates live until fn returns. */
enum status series_packs_each(struct sql_conn *conn, int64_t owner,
                              enum status (*fn)(void *ctx, struct pack_reader *r, struct err *err),
                              void *ctx, struct err *err);

struct q_chunk_heads_row;
/* parts.c: a row of columns. */
struct chunk_head series_chunk_head(const struct q_chunk_heads_row *row);

#endif
