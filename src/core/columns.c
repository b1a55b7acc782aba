/* core/columns.c - see columns.h. One piece is on its way at a time: the job owns the saver until the operation is answered, which
 * starts the next job. */
#include "core/columns.h"

#include "base/clock.h"
#include "base/exec.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/runcols/runcols.h"
#include "store/seq.h"
#include "store/sql/sql.h"

#include <stdatomic.h>
#include <unistd.h>

enum {
    SAVE_MS = 30000,
    SAVE_BYTES = 4 << 20,
    PIECE_ARENA_MAX = 1 << 30,
    MEMORY_SHARE = 4,
    MEMORY_UNKNOWN = 1 << 30
};

struct column_saver {
    struct core *core;
    struct columns_options opt;
    struct arena *arena;
    struct sql_conn *conn; /* its own, made when it is first used */
    struct read_job job;
    struct write_op op;
    struct runcols_save piece;
    struct lock lock; /* no job is submitted once `stopping` is set under it */
    bool stopping;
    _Atomic bool busy;
    _Atomic int64_t next_ms; /* monotonic; not before */
};

/* ---- one piece ------------------------------------------------------------------------------------------------------------------- */

static enum status save_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct column_saver *s = CONTAINER_OF(op, struct column_saver, op);

    return runcols_save_write(group_conn(g), &s->piece, err);
}

static const struct write_kind save_kind = { .name = "columns.save",
                                             .validate = save_validate,
                                             .sql = true };

static void rest(struct column_saver *s)
{
    atomic_store_explicit(&s->next_ms, clock_mono_ms() + s->opt.save_ms, memory_order_relaxed);
    /* Pairs with the exchange of the next columns_save_soon(). */
    atomic_store_explicit(&s->busy, false, memory_order_release);
}

static bool submit_job(struct column_saver *s)
{
    bool sent;

    lock_take(&s->lock);
    sent = !s->stopping && core_read_submit(s->core, &s->job) == OK;
    lock_give(&s->lock);
    return sent;
}

static void saved(struct write_op *op)
{
    struct column_saver *s = CONTAINER_OF(op, struct column_saver, op);

    runcols_saved(s->core->columns, &s->piece, op->st);
    if ((op->st && op->st != ST_CONFLICT) || !submit_job(s)) {
        rest(s);
    }
}

static enum status next_piece(struct column_saver *s, struct err *err)
{
    enum status st = s->conn ? OK : sql_connect(&s->conn, s->core->db, SQL_READER, err);

    s->piece = (struct runcols_save){ .exp = 0 };
    if (st) return st;
    arena_reset(s->arena);
    s->op = (struct write_op){ .kind = &save_kind, .arena = s->arena, .done = saved };
    return runcols_save_next(s->core->columns, s->conn, s->arena, s->opt.save_bytes, &s->piece,
                             err);
}

static void save_run(struct read_job *job, struct view *v)
{
    struct column_saver *s = CONTAINER_OF(job, struct column_saver, job);
    struct err err = ERR_INIT;
    enum status st = next_piece(s, &err);

    (void)v;

    if (st) LOG_WARN("store", "search columns could not be stored: %s", err.message);
    if (!s->piece.e) {
        sql_rest(s->conn); /* all is stored: its cache is of no use until more comes */
        rest(s);
    } else if (seq_submit(s->core->seq, &s->op)) {
        runcols_saved(s->core->columns, &s->piece, ST_UNAVAILABLE);
        rest(s);
    }
}

void columns_save_soon(struct core *core)
{
    struct column_saver *s = core->column_saver;

    if (clock_mono_ms() < atomic_load_explicit(&s->next_ms, memory_order_relaxed) ||
        !runcols_unsaved(core->columns) ||
        atomic_exchange_explicit(&s->busy, true, memory_order_acq_rel)) {
        return;
    }
    if (!submit_job(s)) rest(s);
}

/* ---- all ---------------------------------------------------------------------------------------------------------------------------- */

static enum status save_until(struct column_saver *s, int64_t until_ms, struct err *err)
{
    enum status st;

    do {
        st = next_piece(s, err);
        if (st || !s->piece.e) return st;
        st = seq_run(s->core->seq, &s->op, err);
        runcols_saved(s->core->columns, &s->piece, st);
        if (st == ST_CONFLICT) st = OK;
    } while (!st && clock_mono_ms() < until_ms);
    return st;
}

void columns_stop(struct core *core)
{
    if (core->column_saver) {
        lock_take(&core->column_saver->lock);
        core->column_saver->stopping = true;
        lock_give(&core->column_saver->lock);
    }
}

void columns_save_all(struct core *core, int64_t max_ms)
{
    struct err err = ERR_INIT;
    enum status st = OK;

    if (!core->column_saver || !core->columns || !core->seq || !runcols_unsaved(core->columns)) {
        return;
    }
    st =
        seq_drain(core->seq,
                  &err); /* what is stored then is complete; also: a piece on its way is answered */
    if (!st) st = save_until(core->column_saver, clock_mono_ms() + max_ms, &err);
    if (st) LOG_WARN("store", "search columns could not be stored: %s", err.message);
}

enum status columns_flush(struct core *core, struct err *err)
{
    struct column_saver *s = core->column_saver;
    enum status st = seq_drain(core->seq, err);

    while (!st && atomic_exchange_explicit(&s->busy, true, memory_order_acq_rel)) {
        st = seq_drain(core->seq, err); /* behind the piece that is on its way */
    }
    if (st) return st;
    st = save_until(s, INT64_MAX, err);
    sql_rest(s->conn);
    rest(s);
    return st;
}

static size_t memory_share(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (size_t)pages / MEMORY_SHARE * (size_t)size
                                 : (size_t)MEMORY_UNKNOWN;
}

enum status columns_open(struct core *core, const struct columns_options *opt, struct err *err)
{
    struct column_saver *s = (struct column_saver *)mem_zalloc(1, sizeof(*s));

    core->column_saver = s;
    if (!s) {
        return err_nomem(err);
    }
    lock_init(&s->lock, LOCK_RANK_CACHE);
    s->core = core;
    s->opt = *opt;
    if (s->opt.save_ms == 0) s->opt.save_ms = SAVE_MS;
    if (s->opt.save_bytes == 0) s->opt.save_bytes = SAVE_BYTES;
    s->arena = arena_new(PIECE_ARENA_MAX);
    if (!s->arena) {
        return err_nomem(err);
    }
    s->job = (struct read_job){ .run = save_run, .arena = s->arena };
    return runcols_open(&core->columns, opt->max_bytes ? opt->max_bytes : memory_share(), err);
}

void columns_close(struct core *core)
{
    runcols_close(core->columns);
    if (core->column_saver) {
        sql_disconnect(core->column_saver->conn);
        arena_free(core->column_saver->arena);
        lock_release(&core->column_saver->lock);
        mem_free(core->column_saver);
    }
}
