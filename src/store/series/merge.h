/* store/series/merge.h - making chunks of packs: what one merge of one owner takes away and puts in.
 * Planning reads packs and chunks on any connection and changes nothing; writing is a few statements inside a transaction, which
 * find out first whether what was read is still there. So the two are apart in time and nothing waits for the encoding.
 *
 * Which packs: the newest, and older ones as long as they are not more than twice what was taken so far (and in any case from the
 * first that holds a full chunk of some key), so that a point is packed again a logarithmic number of times only. Of each key,
 * points after the last chunk become chunks of CHUNK_POINTS; what is left over, of all keys, becomes one pack with the number of
 * the last pack replaced. Late points go into the chunks they fall into when they are at least a quarter of these, else they
 * wait in the pack; once they would fill a chunk they become one that overlaps, which readers merge. The final form has no chunks
 * that overlap: where more of them do than one merge rewrites, each merge puts the first of them in order, up to where the others
 * begin, and the next one goes on from there.
 *
 * Memory: the packs of one merge (MERGE_POINTS points; at least two packs, a pack being at most what tails may hold), twice
 * 24 bytes for each point of the key in hand, some 10 bytes for each point written and 120 for each packed again: 40 MB at
 * most for MERGE_POINTS points, 12 MB for one long series.
 * Ownership: a merger owns its buffers and the plan in it. Thread rule: planning on one thread at a time; merge_write() on the
 * thread of its connection, while nobody plans. */
#ifndef CAIRN_STORE_SERIES_MERGE_H
#define CAIRN_STORE_SERIES_MERGE_H

#include "store/series/chunk.h"
#include "store/series/pack.h"

struct sql_conn;

enum { MERGE_POINTS = 1 << 18, MERGE_PACKS = 16, MERGE_REWRITE = 1 << 17 };

enum merge_mode {
    MERGE_TIERED, /* what is worth it while more may come */
    MERGE_ENDED,  /* all packs into one */
    MERGE_FINAL,  /* and chunks that overlap are written again */
};

struct merge_gone {
    uint32_t key;
    int64_t t0, c, id;
};
struct merge_chunk {
    uint32_t key;
    struct chunk_head head;
    size_t at, n; /* in bodies */
};

struct merge_plan {
    int64_t owner;
    int64_t *packs; /* by rising w0; these go */
    size_t packs_n;
    struct merge_gone *gone; /* and these */
    size_t gone_n;
    struct merge_chunk *chunks; /* these come */
    size_t chunks_n;
    struct buf bodies;
    struct str rest; /* the pack of what is left over; p NULL when nothing is */
    int64_t rest_w0, rest_n, rest_kn;
    int64_t points; /* read from packs */
    bool more;      /* packs are left that a further merge may take */
};

struct merger;
/* chunk_points: what is cut, 0 = CHUNK_POINTS; rewrite_points: of chunks that one merge encodes again, 0 = MERGE_REWRITE; less is for
 * tests. NULL when memory is out. */
struct merger *merger_new(size_t chunk_points, size_t rewrite_points);
void merger_free(struct merger *m);
/* merge_make() ends soon with ST_CANCELLED, now and whenever it is called again. Any thread. */
void merger_cancel(struct merger *m);

/* Reads packs up to drain `ver` and makes the plan; packs_n and gone_n are 0 when there is nothing to do. ST_CORRUPT when
 * something read is damaged. */
enum status merge_make(struct merger *m, struct sql_conn *conn, int64_t owner, int64_t ver,
                       enum merge_mode mode, struct merge_plan **out, struct err *err) ATTR_CHECK;
/* In the transaction of a writer. ST_CONFLICT when what was read is not there any more: nothing may be kept then. */
enum status merge_write(const struct merge_plan *p, struct sql_conn *writer,
                        struct err *err) ATTR_CHECK;
/* Gives back the memory of the last plan. */
void merger_clear(struct merger *m);

#endif
