/* core/repack_ops.c - the repacker's write operations: each a short transaction. See repack_int.h. */
#include "core/repack_int.h"

#include "base/failpoint.h"
#include "gen/sql/queries.h"
#include "store/blob/packfile.h"
#include "store/places.h"
#include "store/sql/sql.h"
#include <stdatomic.h>

enum { RECIPE_TEXT_MAX = RECIPE_BYTES_MAX };

static void answered(struct write_op *op)
{
    struct repacker *r = op->user;

    atomic_store_explicit(&r->answered, true, memory_order_release);
    lock_take(&r->lock);
    if (!r->stopping && r->actor) exec_actor_wake(r->actor);
    lock_give(&r->lock);
}

static enum status submit(struct repacker *r, enum repack_op what, const struct write_kind *kind,
                          struct err *err)
{
    arena_reset(r->arena);
    write_op_init(&r->op, kind, r->arena);
    r->op.user = r;
    r->op.done = answered;
    atomic_store_explicit(&r->answered, false, memory_order_relaxed);
    if (seq_submit(r->core->seq, &r->op)) {
        *err = r->op.err;
        return r->op.st;
    }
    r->submitted = what;
    return OK;
}

static struct repacker *of(struct write_op *op)
{
    return CONTAINER_OF(op, struct repacker, op);
}

static struct str sha_of(const struct repack_object *o)
{
    return str_of(o->sha256.b, sizeof(o->sha256.b));
}

/* ---- the open pack ------------------------------------------------------------------------------------------------------------- */

static enum status begin_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    char place[BLOB_PACK_PLACE_MAX];
    int64_t n = 0;
    enum status st;

    blob_pack_place(r->pack_id, place);
    st = q_packfile_begin(group_conn(g), (int64_t)r->pack_id, str_cstr(place), group_now_ms(g), &n,
                          err);
    FAILPOINT("core.repack.begun");
    return st || n == 1 ? st : err_set(err, ST_CONFLICT, "the id of a pack is taken");
}

static const struct write_kind begin_kind = { .name = "repack.begin",
                                              .validate = begin_validate,
                                              .sql = true };

enum status repack_op_begin(struct repacker *r, struct err *err)
{
    return submit(r, OP_BEGIN, &begin_kind, err);
}

static enum status written_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    int64_t n = 0;
    enum status st =
        q_packfile_written(group_conn(g), (int64_t)r->pack_id, (int64_t)r->pack_bytes, &n, err);

    FAILPOINT("core.repack.written");
    return st || n == 1 ? st : err_set(err, ST_CONFLICT, "the row of a pack has changed");
}

static const struct write_kind written_kind = { .name = "repack.written",
                                                .validate = written_validate,
                                                .sql = true };

enum status repack_op_written(struct repacker *r, struct err *err)
{
    return submit(r, OP_WRITTEN, &written_kind, err);
}

/* ---- the index -------------------------------------------------------------------------------------------------------------------- */

static enum status index_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    size_t end = MIN_OF(r->ids.n, r->indexed + REPACK_INDEX_ROWS);
    struct q_packfile_get_row pack;
    enum status st = q_packfile_get(group_conn(g), r->arena, (int64_t)r->pack_id, &pack, err);

    /* One that the collector gave up meanwhile gets no rows any more. */
    if (st == ST_NOT_FOUND || (!st && pack.state != PACK_LIVE)) {
        return OK;
    }
    for (size_t i = r->indexed; !st && i < end; i++) {
        st = q_chunk_at_put(group_conn(g), (int64_t)packfile_short_id(&r->ids.p[i]),
                            (int64_t)r->pack_id, (int64_t)i, err);
    }
    FAILPOINT("core.repack.indexed");
    return st;
}

static const struct write_kind index_kind = { .name = "repack.index",
                                              .validate = index_validate,
                                              .sql = true };

enum status repack_op_index(struct repacker *r, struct err *err)
{
    return submit(r, OP_INDEX, &index_kind, err);
}

static enum status unindex_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    size_t end = MIN_OF((size_t)r->leaving_foot->n, r->indexed + REPACK_INDEX_ROWS);
    enum status st = OK;

    for (size_t i = r->indexed; !st && i < end; i++) {
        st = q_chunk_at_delete(group_conn(g),
                               (int64_t)packfile_short_id(&r->leaving_foot->chunks[i].id),
                               (int64_t)r->leaving.id, (int64_t)i, err);
    }
    FAILPOINT("core.repack.unindexed");
    return st;
}

static const struct write_kind unindex_kind = { .name = "repack.unindex",
                                                .validate = unindex_validate,
                                                .sql = true };

enum status repack_op_unindex(struct repacker *r, struct err *err)
{
    return submit(r, OP_UNINDEX, &unindex_kind, err);
}

static enum status stale_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    enum status st = OK;

    for (size_t i = 0; !st && i < r->stale.n; i++) {
        const struct repack_row *row = &r->stale.p[i];

        st = q_chunk_at_delete(group_conn(g), row->id, row->pack, row->n, err);
    }
    FAILPOINT("core.repack.stale");
    return st;
}

static const struct write_kind stale_kind = { .name = "repack.stale",
                                              .validate = stale_validate,
                                              .sql = true };

enum status repack_op_stale(struct repacker *r, struct err *err)
{
    return submit(r, OP_STALE, &stale_kind, err);
}

/* ---- objects -------------------------------------------------------------------------------------------------------------------- */

/* Every pack of the object is live in this transaction: what is being deleted was not chosen in vain, the object is looked at again. */
static enum status packs_live(struct repacker *r, struct group *g, const struct repack_object *o,
                              bool *live, struct err *err)
{
    *live = true;
    for (size_t i = 0; *live && i < o->packs.n; i++) {
        struct q_packfile_get_row row;
        enum status st =
            q_packfile_get(group_conn(g), r->arena, (int64_t)o->packs.p[i].id, &row, err);

        if (st && st != ST_NOT_FOUND) {
            return st;
        }
        *live = !st && row.state == PACK_LIVE && (uint64_t)row.bytes == o->packs.p[i].bytes;
    }
    return OK;
}

static enum status new_rows(struct group *g, const struct repack_object *o, struct err *err)
{
    enum status st = o->before.p ? q_object_pack_forget(group_conn(g), sha_of(o), err) : OK;

    for (size_t i = 0; !st && i < o->packs.n; i++) {
        st = q_object_pack_put(group_conn(g), (int64_t)o->packs.p[i].id, sha_of(o), err);
    }
    return st;
}

static enum status swap_one(struct repacker *r, struct group *g, struct repack_object *o,
                            struct err *err)
{
    struct recipe recipe = { .packs = o->packs.p,
                             .packs_n = o->packs.n,
                             .extents = o->extents.p,
                             .extents_n = o->extents.n };
    struct buf b = BUF_INIT(RECIPE_TEXT_MAX);
    bool live = false;
    int64_t n = 0;
    enum status st = o->is_wrong ? OK : packs_live(r, g, o, &live, err);

    o->moved = false;
    if (st || !live) {
        return st;
    }
    recipe_put(&b, &recipe);
    st = buf_status(&b, "recipe", err);
    if (!st) {
        st = o->before.p
                 ? q_object_moved(group_conn(g), sha_of(o), o->gen, buf_str(&b), o->before, &n, err)
                 : q_object_packed(group_conn(g), sha_of(o), o->gen, buf_str(&b), &n, err);
    }
    buf_release(&b);
    if (st || n == 0) {
        return st;
    }
    o->moved = true;
    st = new_rows(g, o, err);
    if (!st && o->is_loose) {
        st = place_retire(group_conn(g), &o->sha256, o->gen, o->size, group_now_ms(g), err);
    }
    return st;
}

static enum status swap_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    size_t end = MIN_OF(r->waiting.n, r->swapped + REPACK_SWAPS);
    enum status st = OK;

    for (size_t i = r->swapped; !st && i < end; i++) {
        st = swap_one(r, g, r->waiting.p[i], err);
    }
    FAILPOINT("core.repack.swapped");
    return st;
}

static const struct write_kind swap_kind = { .name = "repack.swap",
                                             .validate = swap_validate,
                                             .sql = true };

enum status repack_op_swap(struct repacker *r, struct err *err)
{
    return submit(r, OP_SWAP, &swap_kind, err);
}

static enum status stays_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    int64_t n = 0;

    FAILPOINT("core.repack.stays");
    return q_object_stays(group_conn(g), sha_of(r->cur), r->cur->gen, (int64_t)r->stays, &n, err);
}

static const struct write_kind stays_kind = { .name = "repack.stays",
                                              .validate = stays_validate,
                                              .sql = true };

enum status repack_op_stays(struct repacker *r, struct err *err)
{
    return submit(r, OP_STAYS, &stays_kind, err);
}

/* ---- packs that go ---------------------------------------------------------------------------------------------------------------- */

static enum status leave_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct repacker *r = of(op);
    int64_t n = 0;
    enum status st =
        q_packfile_deleting(group_conn(g), (int64_t)r->leaving.id, group_now_ms(g), &n, err);

    FAILPOINT("core.repack.left");
    return st;
}

static const struct write_kind leave_kind = { .name = "repack.leave",
                                              .validate = leave_validate,
                                              .sql = true };

enum status repack_op_leave(struct repacker *r, struct err *err)
{
    return submit(r, OP_LEAVE, &leave_kind, err);
}

static enum status gone_validate(struct write_op *op, struct group *g, struct err *err)
{
    FAILPOINT("core.repack.gone");
    return q_packfile_gone(group_conn(g), (int64_t)of(op)->leaving.id, err);
}

static const struct write_kind gone_kind = { .name = "repack.gone",
                                             .validate = gone_validate,
                                             .sql = true };

enum status repack_op_gone(struct repacker *r, struct err *err)
{
    return submit(r, OP_GONE, &gone_kind, err);
}
