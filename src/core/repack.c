/* core/repack.c - the rounds of the repacker. See repack.h and repack_int.h. One step of the actor does one piece: cuts some MB,
 * finishes a pack, or submits one operation and waits for its answer. */
#include "core/repack_int.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/blob/packfile.h"
#include "store/places.h"
#include "store/sql/sql.h"
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

enum {
    EVERY_MS = 60000,
    MIN_BYTES = 8 << 20,
    PACK_BYTES = 64 << 20,
    BYTES_PER_S = 64 << 20,
    PATIENT_LOOKS = 10,
    SWEEP_EVERY_MS = 30 * 60 * 1000,
    WRITING_MS = 60 * 60 * 1000, /* beside other servers: then whoever wrote it is gone */
    CHECKED_MAX = 64,            /* packs whose use a round of its own counts */
    NAP_MS = 20,
    OP_ARENA_MAX = 1 << 20
};

/* Lives on the stack of who waits. */
struct repack_waiter {
    struct repack_waiter *next;
    struct exec_event *event;
    uint64_t round;
};

/* ---- the open pack ------------------------------------------------------------------------------------------------------------- */

static void close_pack(struct repacker *r)
{
    blob_pack_abort(r->writer);
    r->writer = NULL;
    r->pack_row = false;
    vec_clear(&r->ids);
    int_map_release(&r->ids_at);
    r->indexed = 0;
}

static void free_waiting(struct repacker *r)
{
    for (size_t i = 0; i < r->waiting.n; i++) {
        repack_object_free(r->waiting.p[i]);
    }
    vec_clear(&r->waiting);
    r->swapped = r->verified = 0;
    repack_verify_drop(r);
}

/* The size of the open pack is known now. */
static void patch(struct repacker *r, struct repack_object *o)
{
    for (size_t i = 0; o && i < o->packs.n; i++) {
        if (o->packs.p[i].id == r->pack_id) o->packs.p[i].bytes = r->pack_bytes;
    }
}

static enum status step_seal(struct repacker *r, struct err *err)
{
    struct blob_pack_writer *w = r->writer;
    enum status st;

    r->writer = NULL;
    FAILPOINT("core.repack.seal");
    st = blob_pack_end(w, &r->pack_bytes, err);
    FAILPOINT("core.repack.sealed");
    if (st) {
        return st;
    }
    for (size_t i = 0; i < r->waiting.n; i++) {
        patch(r, r->waiting.p[i]);
    }
    patch(r, r->cur);
    r->phase = PHASE_SEALED;
    return repack_op_written(r, err);
}

/* What is finished goes to its places; then the phase `next`. */
static void flush(struct repacker *r, enum repack_phase next)
{
    r->after_swap = next;
    if (r->writer && !blob_pack_chunks(r->writer)) {
        close_pack(r); /* its row goes with what is left over */
    }
    r->phase = r->writer ? PHASE_SEAL : PHASE_SWAP;
}

static enum status step_swap(struct repacker *r, struct err *err)
{
    if (r->swapped < r->waiting.n) {
        enum status st = repack_verify(r, MIN_OF(r->waiting.n, r->swapped + REPACK_SWAPS), err);

        return st == ST_END ? repack_op_swap(r, err) : st;
    }
    free_waiting(r);
    r->phase = r->after_swap;
    return OK;
}

static void swapped(struct repacker *r)
{
    size_t end = MIN_OF(r->waiting.n, r->swapped + REPACK_SWAPS);

    lock_take(&r->lock);
    for (size_t i = r->swapped; i < end; i++) {
        const struct repack_object *o = r->waiting.p[i];

        if (o->moved && !o->before.p) {
            r->stats.objects++;
            r->stats.bytes += o->size;
        }
    }
    lock_give(&r->lock);
    r->swapped = end;
}

/* ---- objects --------------------------------------------------------------------------------------------------------------------- */

/* The bytes of the object in hand cannot be had, now or ever: it stays as it is. */
static enum status leave_alone(struct repacker *r, const struct err *why, struct err *err)
{
    char hex[65];

    r->stays = why->code == ST_CORRUPT ? STAGE_DAMAGED : STAGE_STAYS;

    digest_hex(&r->cur->sha256, hex);
    LOG_ERROR("store", "object %s stays as it is: %s", hex, why->message);
    return repack_op_stays(r, err);
}

static bool is_its_fault(enum status st)
{
    return st == ST_CORRUPT || st == ST_NOT_IMPLEMENTED;
}

static enum status take_next(struct repacker *r, struct err *err)
{
    struct repack_object *o = mem_zalloc(1, sizeof(*o));
    struct err why = ERR_INIT;
    enum status st;

    if (!o) {
        return err_nomem(err);
    }
    *o = r->page[r->page_at++];
    st = repack_take(r, o, &why);
    if (st == ST_CONFLICT) { /* deleted, or another server was here */
        repack_drop(r);
        return OK;
    }
    if (st && !is_its_fault(st)) {
        *err = why;
        return st;
    }
    r->phase = PHASE_CUT;
    return st ? leave_alone(r, &why, err) : OK;
}

static void begin_page(struct repacker *r)
{
    r->page_n = r->page_at = 0;
    r->page_last = r->cursor_set = false;
}

static enum status step_objects(struct repacker *r, struct err *err)
{
    if (r->waiting.n >= REPACK_WAITING_MAX) {
        flush(r, PHASE_OBJECTS);
        return OK;
    }
    if (r->page_at < r->page_n) {
        return take_next(r, err);
    }
    if (!r->page_last) {
        return repack_page_objects(r, err);
    }
    if (r->again && ++r->sparse_at < r->sparse_n) {
        begin_page(r);
        return OK;
    }
    repack_forget_hint(r);
    r->pack_cursor = 0;
    r->packs_n = r->packs_at = 0;
    r->packs_last = false;
    flush(r, PHASE_SWEEP);
    return OK;
}

static enum status step_cut(struct repacker *r, struct err *err)
{
    struct repack_object **slot;
    struct err why = ERR_INIT;
    enum status st = repack_cut(r, &why);

    switch ((int)st) {
    case OK: return OK;
    case ST_END:
        slot = vec_add(&r->waiting);
        if (!slot) {
            return err_nomem(err);
        }
        *slot = r->cur;
        repack_base_remember(r);
        r->cur = NULL;
        repack_drop(r);
        r->phase = PHASE_OBJECTS;
        return OK;
    case ST_NOT_FOUND: /* of a new pack */
        if (!r->pack_row) {
            r->pack_id = blob_pack_draw();
            return repack_op_begin(r, err);
        }
        return blob_pack_begin(r->core->blobs, r->pack_id, &r->writer, err);
    case ST_TOO_BIG: flush(r, PHASE_CUT); return OK;
    default: break;
    }
    if (is_its_fault(st)) {
        return leave_alone(r, &why, err);
    }
    *err = why;
    return st;
}

/* ---- packs ------------------------------------------------------------------------------------------------------------------------- */

static bool is_alone(struct repacker *r)
{
    struct seq_stats s;

    seq_stats(r->core->seq, &s);
    return s.others == 0;
}

static void leave(struct repacker *r, const struct repack_pack *p)
{
    r->leaving = *p;
    r->leaving_open = false;
    r->indexed = 0;
    r->phase = PHASE_LEAVE;
}

/* Is it in use, and is it worth its bytes? */
static enum status look_at_live(struct repacker *r, const struct repack_pack *p, struct err *err)
{
    struct q_object_pack_ls_row row;
    struct sql_stmt *q = NULL;
    struct err why = ERR_INIT;
    uint64_t used = 0;
    enum status st = q_object_pack_ls_open(r->conn, &q, (int64_t)p->id, S(""), 1, err);

    st = st ? st : q_object_pack_ls_next(q, &row, err);
    sql_close(q);
    if (st == ST_END) {
        leave(r, p);
        return OK;
    }
    if (st || p->state == PACK_DAMAGED || r->again || r->sparse_n == REPACK_SPARSE_MAX ||
        (!r->round && (r->checked_n == CHECKED_MAX || p->id <= r->checked_to))) {
        return st;
    }
    r->checked_n++;
    if (!r->round) r->checked_to = p->id;
    st = repack_used(r, p, &used, &why);
    if (st) {
        LOG_WARN("store", "pack %016" PRIx64 ": %s", p->id, why.message);
        return OK;
    }
    if (used < p->bytes / 2) r->sparse[r->sparse_n++] = p->id;
    return OK;
}

/* After the packs: those that are nearly free are emptied, once. */
static void sweep_end(struct repacker *r)
{
    if (!r->round && r->packs_last && r->checked_n < CHECKED_MAX) r->checked_to = 0;
    if (!r->again && r->sparse_n) {
        r->again = true;
        r->sparse_at = 0;
        begin_page(r);
        r->phase = PHASE_OBJECTS;
        return;
    }
    r->phase = PHASE_DELETE;
}

static enum status step_sweep(struct repacker *r, struct err *err)
{
    const struct repack_pack *p;

    if (r->packs_at == r->packs_n) {
        if (!r->packs_last) {
            return repack_page_packs(r, err);
        }
        sweep_end(r);
        return OK;
    }
    p = &r->packs[r->packs_at++];
    if (p->state == PACK_WRITING && (is_alone(r) || clock_wall_ms() - p->since_ms > WRITING_MS)) {
        leave(r, p);
    }
    return p->state == PACK_LIVE || p->state == PACK_DAMAGED ? look_at_live(r, p, err) : OK;
}

static enum status step_leave(struct repacker *r, struct err *err)
{
    struct err why = ERR_INIT;

    if (!r->leaving_open && r->leaving.state != PACK_WRITING &&
        blob_pack_open(r->core->blobs, r->leaving.id, r->leaving.bytes, &r->leaving_foot, &why)) {
        LOG_WARN("store", "pack %016" PRIx64 " goes without its index: %s", r->leaving.id,
                 why.message);
    }
    r->leaving_open = true;
    if (r->leaving_foot && r->indexed < r->leaving_foot->n) {
        return repack_op_unindex(r, err);
    }
    blob_pack_close(r->core->blobs, r->leaving_foot);
    r->leaving_foot = NULL;
    return repack_op_leave(r, err);
}

/* ST_END: none is due. */
static enum status step_delete(struct repacker *r, struct err *err)
{
    int64_t before = r->no_grace ? INT64_MAX : clock_wall_ms() - PLACE_GRACE_MS;
    struct q_packfile_due_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_packfile_due_open(r->conn, &q, before, 1, err);

    st = st ? st : q_packfile_due_next(q, &row, err);
    if (!st) r->leaving = (struct repack_pack){ .id = (uint64_t)row.id };
    sql_close(q);
    if (st) {
        return st;
    }
    FAILPOINT("core.repack.delete");
    st = blob_pack_delete(r->core->blobs, r->leaving.id, err);
    FAILPOINT("core.repack.deleted");
    return st ? st : repack_op_gone(r, err);
}

/* ---- the index made anew ------------------------------------------------------------------------------------------------------------- */

static enum status step_stale(struct repacker *r, struct err *err)
{
    enum status st = repack_page_stale(r, err);

    if (!st && r->stale_last) r->phase = PHASE_INDEX;
    return st || r->stale.n == 0 ? st : repack_op_stale(r, err);
}

/* The ids of the next pack go through the slices of the open one. */
static enum status step_index(struct repacker *r, struct err *err)
{
    const struct packfile *p = NULL;
    struct err why = ERR_INIT;

    if (r->indexed < r->ids.n) {
        return repack_op_index(r, err);
    }
    close_pack(r);
    if (r->packs_at == r->packs_n) {
        if (!r->packs_last) {
            return repack_page_packs(r, err);
        }
        r->phase = PHASE_OBJECTS;
        return OK;
    }
    r->leaving = r->packs[r->packs_at++];
    if (r->leaving.state != PACK_LIVE) {
        return OK;
    }
    if (blob_pack_open(r->core->blobs, r->leaving.id, r->leaving.bytes, &p, &why)) {
        LOG_WARN("store", "pack %016" PRIx64 " is not in the index: %s", r->leaving.id,
                 why.message);
        return OK;
    }
    r->pack_id = p->id;
    for (uint32_t i = 0; i < p->n; i++) {
        struct digest *id = vec_add(&r->ids);

        if (!id) {
            blob_pack_close(r->core->blobs, p);
            return err_nomem(err);
        }
        *id = p->chunks[i].id;
    }
    blob_pack_close(r->core->blobs, p);
    return OK;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------------------------- */

/* Others on the same database: the one that drains does it. */
static bool is_ours(struct repacker *r)
{
    struct seq_stats s;

    seq_stats(r->core->seq, &s);
    return s.others == 0 || s.owner;
}

/* Enough waits, and nothing new came since the last look, or that often enough. */
static bool is_time(struct repacker *r, int64_t now)
{
    struct err err = ERR_INIT;
    uint64_t bytes = 0;

    if (r->opt.every_ms < 0 || now < r->next_ms || !is_ours(r)) {
        return false;
    }
    if (now - r->swept_ms >= SWEEP_EVERY_MS) {
        return true;
    }
    if (blob_has_direct(r->core->blobs) || repack_waiting_bytes(r, &bytes, &err) ||
        bytes < r->opt.min_bytes) {
        r->looks = 0;
        return false;
    }
    if (bytes != r->seen_bytes && r->looks < r->opt.patient_looks) {
        r->seen_bytes = bytes;
        r->looks++;
        return false;
    }
    return true;
}

static bool round_begin(struct repacker *r, int64_t now)
{
    unsigned how;

    lock_take(&r->lock);
    r->round = r->stats.asked > r->stats.done ? r->stats.asked : 0;
    how = r->round ? r->how : 0;
    r->how = r->round ? 0 : r->how;
    lock_give(&r->lock);
    r->in_round = r->round || is_time(r, now);
    if (!r->in_round) {
        if (now >= r->next_ms) r->next_ms = now + MAX_OF(r->opt.every_ms, (int64_t)1);
        return false;
    }
    r->looks = 0;
    r->seen_bytes = 0;
    r->round_bytes = 0;
    r->began_ms = now;
    r->no_grace = how & REPACK_NO_GRACE;
    r->again = false;
    r->sparse_n = r->sparse_at = r->checked_n = 0;
    begin_page(r);
    r->page_last = (how & REPACK_SWEEP) || (!r->round && blob_has_direct(r->core->blobs));
    r->pack_cursor = 0;
    r->packs_n = r->packs_at = 0;
    r->packs_last = false;
    r->stale_to = (struct repack_row){ INT64_MIN, INT64_MIN, INT64_MIN };
    r->phase = how & REPACK_REINDEX ? PHASE_STALE : PHASE_OBJECTS;
    lock_take(&r->lock);
    r->stats.running = true;
    lock_give(&r->lock);
    return true;
}

static void round_end(struct repacker *r, const struct err *problem)
{
    int64_t now = clock_mono_ms();

    repack_drop(r);
    repack_forget_hint(r);
    close_pack(r);
    free_waiting(r);
    blob_pack_close(r->core->blobs, r->leaving_foot);
    r->leaving_foot = NULL;
    r->phase = PHASE_IDLE;
    r->in_round = false;
    r->next_ms = now + MAX_OF(r->opt.every_ms, (int64_t)1);
    r->swept_ms = now;
    lock_take(&r->lock);
    r->stats.done = MAX_OF(r->stats.done, r->round);
    r->stats.running = false;
    r->stats.failed += problem != NULL;
    snprintf(r->stats.problem, sizeof(r->stats.problem), "%s", problem ? problem->message : "");
    for (struct repack_waiter *w = r->waiters; w; w = w->next) {
        if (w->round <= r->stats.done) exec_event_set(w->event);
    }
    lock_give(&r->lock);
    r->round = 0;
    if (problem) LOG_WARN("store", "packing broke off, and is tried again: %s", problem->message);
}

/* The operation is committed. */
static void on_answer(struct repacker *r, enum repack_op op)
{
    switch (op) {
    case OP_NONE: break;
    case OP_STALE: break;
    case OP_BEGIN: r->pack_row = true; break;
    case OP_WRITTEN:
        lock_take(&r->lock);
        r->stats.packs++;
        r->stats.pack_bytes += r->pack_bytes;
        lock_give(&r->lock);
        r->indexed = 0;
        break;
    case OP_INDEX:
    case OP_UNINDEX: r->indexed += REPACK_INDEX_ROWS; break;
    case OP_SWAP: swapped(r); break;
    case OP_STAYS:
        repack_drop(r);
        lock_take(&r->lock);
        r->stats.damaged++;
        lock_give(&r->lock);
        r->phase = PHASE_OBJECTS;
        break;
    case OP_LEAVE:
        lock_take(&r->lock);
        r->stats.packs_left++;
        lock_give(&r->lock);
        r->phase = PHASE_SWEEP;
        break;
    case OP_GONE: break;
    }
}

static enum status run_phase(struct repacker *r, struct err *err)
{
    switch (r->phase) {
    case PHASE_IDLE: return ST_END;
    case PHASE_STALE: return step_stale(r, err);
    case PHASE_INDEX: return step_index(r, err);
    case PHASE_OBJECTS: return step_objects(r, err);
    case PHASE_CUT: return step_cut(r, err);
    case PHASE_SEAL: return step_seal(r, err);
    case PHASE_SEALED:
        if (r->indexed < r->ids.n) {
            return repack_op_index(r, err);
        }
        close_pack(r);
        r->phase = PHASE_SWAP;
        return OK;
    case PHASE_SWAP: return step_swap(r, err);
    case PHASE_SWEEP: return step_sweep(r, err);
    case PHASE_LEAVE: return step_leave(r, err);
    case PHASE_DELETE: return step_delete(r, err);
    }
    return ST_END;
}

/* How far a round of its own is ahead of its rate. */
static int64_t ahead_ms(const struct repacker *r)
{
    uint64_t due = r->round_bytes / (r->opt.bytes_per_s / 1000 + 1);

    return r->round ? 0 : (int64_t)due - (clock_mono_ms() - r->began_ms);
}

static int64_t repack_step(void *ctx)
{
    struct repacker *r = ctx;
    struct err err = ERR_INIT;
    int64_t now = clock_mono_ms();
    enum repack_op op = r->submitted;
    enum status st;
    bool stopping;

    lock_take(&r->lock);
    stopping = r->stopping;
    lock_give(&r->lock);
    if (stopping || (op && !atomic_load_explicit(&r->answered, memory_order_acquire))) {
        return -1;
    }
    if (op) {
        r->submitted = OP_NONE;
        if (r->op.st) {
            round_end(r, &r->op.err);
            return 0;
        }
        on_answer(r, op);
    }
    if (!r->in_round && !round_begin(r, now)) {
        sql_rest(r->conn);
        mem_free(r->window);
        r->window = NULL;
        return r->opt.every_ms > 0 ? MAX_OF(r->next_ms - now, (int64_t)1) : -1;
    }
    if (ahead_ms(r) > NAP_MS) {
        return ahead_ms(r);
    }
    st = run_phase(r, &err);
    if (st) {
        round_end(r, st == ST_END ? NULL : &err);
        return 0;
    }
    return r->submitted ? -1 : 0;
}

/* ---- asking -------------------------------------------------------------------------------------------------------------------------- */

static void repack_wake(struct repacker *r)
{
    lock_take(&r->lock);
    if (!r->stopping && r->actor) exec_actor_wake(r->actor);
    lock_give(&r->lock);
}

uint64_t repack_ask(struct repacker *r, unsigned how)
{
    uint64_t n;

    lock_take(&r->lock);
    n = ++r->stats.asked;
    r->how |= how;
    lock_give(&r->lock);
    repack_wake(r);
    return n;
}

bool repack_wait(struct repacker *r, uint64_t round, int64_t timeout_ms)
{
    struct repack_waiter w = { .event = exec_event_new(), .round = round };
    bool done;

    if (!w.event) {
        return false;
    }
    lock_take(&r->lock);
    if (round <= r->stats.done || r->stopping) exec_event_set(w.event);
    w.next = r->waiters;
    r->waiters = &w;
    lock_give(&r->lock);
    (void)exec_event_wait(w.event, timeout_ms);
    lock_take(&r->lock);
    for (struct repack_waiter **at = &r->waiters; *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    done = round <= r->stats.done;
    lock_give(&r->lock);
    exec_event_free(w.event);
    return done;
}

void repack_stats(struct repacker *r, struct repack_stats *out)
{
    lock_take(&r->lock);
    *out = r->stats;
    lock_give(&r->lock);
}

/* ---- life cycle ------------------------------------------------------------------------------------------------------------------------ */

static void set_options(struct repacker *r, const struct repack_options *opt)
{
    r->opt = *opt;
    r->opt.every_ms = opt->every_ms ? opt->every_ms : (int64_t)EVERY_MS;
    r->opt.min_bytes = opt->min_bytes ? opt->min_bytes : (uint64_t)MIN_BYTES;
    r->opt.pack_bytes = opt->pack_bytes ? opt->pack_bytes : (uint64_t)PACK_BYTES;
    r->opt.bytes_per_s = opt->bytes_per_s ? opt->bytes_per_s : (uint64_t)BYTES_PER_S;
    r->opt.patient_looks = opt->patient_looks ? opt->patient_looks : (unsigned)PATIENT_LOOKS;
}

enum status repack_start(struct core *core, const struct repack_options *opt, struct err *err)
{
    struct repacker *r = mem_zalloc(1, sizeof(*r));
    struct exec_actor *actor = NULL;
    enum status st;

    if (!r) {
        return err_nomem(err);
    }
    r->core = core;
    set_options(r, opt);
    r->next_ms = clock_mono_ms() + MAX_OF(r->opt.every_ms, (int64_t)0);
    r->swept_ms = clock_mono_ms();
    r->ids.max = PACKFILE_CHUNKS_MAX;
    r->stale.max = REPACK_INDEX_ROWS;
    r->ids_at = (struct int_map)INT_MAP_INIT(PACKFILE_CHUNKS_MAX);
    r->waiting.max = REPACK_WAITING_MAX;
    lock_init(&r->lock, LOCK_RANK_CACHE);
    r->arena = arena_new(OP_ARENA_MAX);
    r->scratch = arena_new(REPACK_ARENA_MAX);
    st = r->arena && r->scratch ? sql_connect(&r->conn, core->db, SQL_READER, err) : err_nomem(err);
    st = st ? st : exec_actor_new(&actor, "repacker", repack_step, r, err);
    if (st) {
        repack_free(r);
        return st;
    }
    lock_take(&r->lock);
    r->actor = actor;
    lock_give(&r->lock);
    core->repacker = r;
    exec_actor_wake(actor);
    return OK;
}

void repack_stop(struct repacker *r)
{
    if (!r) {
        return;
    }
    lock_take(&r->lock);
    r->stopping = true;
    for (struct repack_waiter *w = r->waiters; w; w = w->next) {
        exec_event_set(w->event);
    }
    lock_give(&r->lock);
    blob_hurry(r->core->blobs);
    exec_actor_free(r->actor);
    r->actor = NULL;
    sql_disconnect(r->conn);
    r->conn = NULL;
}

void repack_free(struct repacker *r)
{
    if (!r) {
        return;
    }
    repack_drop(r);
    if (r->core->blobs) {
        repack_forget_hint(r);
        blob_pack_close(r->core->blobs, r->leaving_foot);
    }
    close_pack(r);
    free_waiting(r);
    repack_verify_drop(r);
    vec_release(&r->ids);
    vec_release(&r->stale);
    vec_release(&r->waiting);
    sql_disconnect(r->conn);
    arena_free(r->arena);
    arena_free(r->scratch);
    mem_free(r->window);
    lock_release(&r->lock);
    mem_free(r);
}
