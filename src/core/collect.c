/* core/collect.c - see collect.h. */
#include "core/collect.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/object.h"
#include "core/resume.h"
#include "gen/sql/queries.h"
#include "store/blob/blob.h"
#include "store/blob/packfile.h"
#include "store/places.h"
#include "store/seq.h"
#include "store/sql/sql.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EVERY_MS = 60000,
    WALK_MS = 60 * 60 * 1000,
    RETRY_MS = 1000,
    ARENA_MAX = 8 << 20,
    WALK_PAGE = 1000,
    UNINDEX_ROWS = 1024, /* chunks of one operation */
    REST = 9             /* times as long as a batch took */
};

struct batch {
    struct blob_entry e[COLLECT_BATCH];
    char id[COLLECT_BATCH][33]; /* of leases */
    bool freed[COLLECT_BATCH];  /* by the operation */
    size_t n;
};

/* A pack that no object names, on its way out: its chunks leave the index first. */
struct free_pack {
    bool is_there;
    int64_t id, bytes;
    const struct packfile *foot; /* NULL: cannot be read */
    uint32_t at;                 /* chunks before are not in the index any more */
};

enum phase { LEASES, UPLOADS, WALK, CONDEMNED, DELETING, RETIRED, PACKS, LEFT_PACKS, PHASE_N };

/* Lives on the stack of who waits. */
struct waiter {
    struct waiter *next;
    struct exec_event *event;
    uint64_t round;
};

struct collector {
    struct core *core;
    struct sql_conn *conn;
    struct arena *arena; /* of the operation */
    struct exec_actor *actor;
    struct lock lock; /* guards what follows, until the next comment */
    bool stopping;
    struct collect_stats stats;
    struct waiter *waiters;
    /* release by the answer, acquire by the actor */
    _Atomic bool answered;
    /* The actor's. */
    struct collect_options opt;
    struct write_op op;
    bool submitted;
    struct batch batch;
    uint64_t round; /* the one that was asked for and is at work; 0: one of the background */
    bool in_round;
    enum phase phase;
    int64_t pack; /* the last that was looked at */
    struct free_pack going;
    struct resume_left left;
    struct digest walked; /* the walk is behind this, if is_walking */
    bool is_walking;
    int64_t walk_at_ms, walk_seq, seen_seq; /* walk_seq: of the log at the start of the last walk */
    int64_t void_gen;                       /* leases up to this one are nobody's; 0: none are */
    int64_t next_ms, resume_ms, began_ms;
};

/* ---- operations ----------------------------------------------------------------------------------------------------------- */

static void collect_wake(struct collector *c)
{
    lock_take(&c->lock);
    if (!c->stopping && c->actor) exec_actor_wake(c->actor);
    lock_give(&c->lock);
}

static void answered(struct write_op *op)
{
    struct collector *c = (struct collector *)op->user;

    atomic_store_explicit(&c->answered, true, memory_order_release);
    collect_wake(c);
}

static enum status submit(struct collector *c, const struct write_kind *kind, struct err *err)
{
    write_op_init(&c->op, kind, c->arena);
    c->op.user = c;
    c->op.done = answered;
    atomic_store_explicit(&c->answered, false, memory_order_relaxed);
    if (seq_submit(c->core->seq, &c->op)) {
        *err = c->op.err;
        return c->op.st;
    }
    c->submitted = true;
    return OK;
}

/* ---- batches -------------------------------------------------------------------------------------------------------------- */

static struct str key_of(const struct blob_entry *e)
{
    return str_of(e->sha256.b, sizeof(e->sha256.b));
}

/* Room for one more is the caller's to know. */
static enum status add(struct batch *b, struct str sha256, int64_t gen, int64_t bytes,
                       struct err *err)
{
    struct blob_entry *e = &b->e[b->n];

    if (sha256.n != sizeof(e->sha256.b)) {
        return err_set(err, ST_CORRUPT, "a row about bytes has no digest");
    }
    memcpy(e->sha256.b, sha256.p, sizeof(e->sha256.b));
    e->gen = gen;
    e->size = (uint64_t)bytes;
    b->freed[b->n++] = false;
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const struct blob_entry *x = (const struct blob_entry *)a, *y = (const struct blob_entry *)b;
    int d = memcmp(x->sha256.b, y->sha256.b, sizeof(x->sha256.b));

    return d ? d : (x->gen > y->gen) - (x->gen < y->gen);
}

static enum status delete_bytes(struct collector *c, struct err *err)
{
    enum status st;

    qsort(c->batch.e, c->batch.n, sizeof(c->batch.e[0]), by_place);
    FAILPOINT("core.collect.bytes.before");
    st = blob_delete_many(c->core->blobs, c->batch.e, c->batch.n, err);
    FAILPOINT("core.collect.bytes.after");
    return st;
}

/* ---- leases --------------------------------------------------------------------------------------------------------------- */

static enum status leases_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        const struct blob_entry *e = &c->batch.e[i];
        int64_t n = 0;

        st = q_lease_remove(group_conn(g), str_cstr(c->batch.id[i]), &n, err);
        /* Who published meanwhile has taken it away, and the place is a row's. */
        if (!st && n == 1) {
            st = place_retire(group_conn(g), &e->sha256, e->gen, e->size, group_now_ms(g), err);
        }
        c->batch.freed[i] = n == 1;
    }
    FAILPOINT("core.collect.leases");
    return st;
}

static const struct write_kind leases_kind = { .name = "collect.leases",
                                               .validate = leases_validate,
                                               .sql = true };

static enum status read_leases(struct collector *c, int64_t until_ms, int64_t gen, struct err *err)
{
    struct q_lease_ended_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_lease_ended_open(c->conn, &q, until_ms, gen, COLLECT_BATCH, err);

    while (!st && (st = q_lease_ended_next(q, &row, err)) == OK) {
        snprintf(c->batch.id[c->batch.n], sizeof(c->batch.id[0]), "%.*s", STR_ARG(row.id));
        st = add(&c->batch, row.sha256, row.gen, row.bytes, err);
        if (st || c->batch.n == COLLECT_BATCH) break;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static enum status step_leases(struct collector *c, struct err *err)
{
    enum status st = OK;

    if (c->void_gen) {
        st = read_leases(c, INT64_MAX, c->void_gen, err);
        if (!st && c->batch.n == 0) c->void_gen = 0;
    }
    if (!st && c->batch.n == 0) {
        st = read_leases(c, clock_wall_ms(), INT64_MAX, err);
    }
    if (st || c->batch.n == 0) {
        return st ? st : ST_END;
    }
    return submit(c, &leases_kind, err);
}

/* ---- uploads that go on later ----------------------------------------------------------------------------------------------- */

static enum status uploads_validate(struct write_op *op, struct group *g, struct err *err)
{
    return group_resume_left(g, &CONTAINER_OF(op, struct collector, op)->left, err);
}

static const struct write_kind uploads_kind = { .name = "collect.uploads",
                                                .validate = uploads_validate,
                                                .sql = true };

static enum status step_uploads(struct collector *c, struct err *err)
{
    enum status st = resume_find_left(c->conn, c->arena, clock_wall_ms(), &c->left, err);

    st = st ? st : resume_drop_left(c->core, &c->left, err);
    return st ? st : submit(c, &uploads_kind, err);
}

/* ---- the walk: what nothing refers to is condemned ------------------------------------------------------------------------------ */

static enum status is_held(struct group *g, struct write_op *op, struct str key, bool *held,
                           struct err *err)
{
    struct q_object_is_held_row row;
    enum status st = q_object_is_held(group_conn(g), op->arena, key, &row, err);

    *held = !st && row.n > 0;
    return st;
}

static enum status condemn_one(struct write_op *op, struct group *g, struct blob_entry *e,
                               bool *freed, struct err *err)
{
    struct q_object_state_row row;
    bool held = true;
    int64_t n;
    enum status st = q_object_state(group_conn(g), op->arena, key_of(e), &row, err);

    *freed = false;
    if (st || row.state != OBJECT_LIVE) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = is_held(g, op, key_of(e), &held, err);
    if (st || held) {
        return st;
    }
    e->size = (uint64_t)row.size;
    *freed = !row.recipe.p; /* the bytes lie in the row */
    return *freed ? q_object_drop(group_conn(g), key_of(e), &n, err)
                  : q_object_set_state(group_conn(g), key_of(e), OBJECT_CONDEMNED, group_now_ms(g),
                                       &n, err);
}

static enum status condemn_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        st = condemn_one(op, g, &c->batch.e[i], &c->batch.freed[i], err);
    }
    FAILPOINT("core.collect.condemn");
    return st;
}

static const struct write_kind condemn_kind = { .name = "collect.condemn",
                                                .validate = condemn_validate,
                                                .sql = true };

/* A page, or less when it holds a whole batch. *at_end: no objects are left. */
static enum status walk_page(struct collector *c, bool *at_end, struct err *err)
{
    struct digest from = c->walked;
    struct str after = c->is_walking ? str_of(from.b, sizeof(from.b)) : S("");
    struct q_object_walk_row row;
    struct sql_stmt *q = NULL;
    uint64_t n = 0;
    enum status st = q_object_walk_open(c->conn, &q, after, WALK_PAGE, err);

    while (!st && c->batch.n < COLLECT_BATCH && (st = q_object_walk_next(q, &row, err)) == OK) {
        if (row.sha256.n != sizeof(from.b)) {
            st = err_set(err, ST_CORRUPT, "an object has a digest of the wrong length");
            break;
        }
        memcpy(c->walked.b, row.sha256.p, sizeof(c->walked.b));
        c->is_walking = true;
        n++;
        if (!row.held) st = add(&c->batch, row.sha256, 0, 0, err);
    }
    sql_close(q);
    *at_end = st == ST_END && n < WALK_PAGE;
    lock_take(&c->lock);
    c->stats.walked += n;
    lock_give(&c->lock);
    return st == ST_END ? OK : st;
}

static bool walk_is_due(struct collector *c, int64_t now)
{
    struct seq_stats s;

    seq_stats(c->core->seq, &s);
    c->seen_seq = s.last_seq;
    return c->round || (now >= c->walk_at_ms && s.last_seq != c->walk_seq);
}

static enum status step_walk(struct collector *c, struct err *err)
{
    int64_t now = clock_mono_ms();
    bool at_end = false;
    enum status st;

    if (!c->is_walking) {
        if (!walk_is_due(c, now)) {
            return ST_END;
        }
        c->walk_seq = c->seen_seq;
        c->walk_at_ms = now + c->opt.walk_ms;
    }
    st = walk_page(c, &at_end, err);
    if (st) {
        return st;
    }
    if (c->batch.n > 0) {
        return submit(c, &condemn_kind, err);
    }
    return at_end ? ST_END : OK;
}

/* ---- condemned: still free? ------------------------------------------------------------------------------------------------- */

static enum status sentence_one(struct write_op *op, struct group *g, const struct blob_entry *e,
                                struct err *err)
{
    struct q_object_state_row row;
    bool held = true;
    int64_t n;
    enum status st = q_object_state(group_conn(g), op->arena, key_of(e), &row, err);

    if (st || row.state != OBJECT_CONDEMNED) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = is_held(g, op, key_of(e), &held, err);
    return st ? st
              : q_object_set_state(group_conn(g), key_of(e), held ? OBJECT_LIVE : OBJECT_DELETING,
                                   held ? 0 : group_now_ms(g), &n, err);
}

static enum status sentence_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        st = sentence_one(op, g, &c->batch.e[i], err);
    }
    FAILPOINT("core.collect.sentence");
    return st;
}

static const struct write_kind sentence_kind = { .name = "collect.sentence",
                                                 .validate = sentence_validate,
                                                 .sql = true };

static enum status read_leaving(struct collector *c, enum object_state state, int64_t before_ms,
                                struct err *err)
{
    struct q_object_leaving_row row;
    struct sql_stmt *q = NULL;
    enum status st =
        q_object_leaving_open(c->conn, &q, (int64_t)state, before_ms, COLLECT_BATCH, err);

    while (!st && (st = q_object_leaving_next(q, &row, err)) == OK) {
        st = add(&c->batch, row.sha256, row.gen, row.bytes, err);
        if (st || c->batch.n == COLLECT_BATCH) break;
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static enum status step_condemned(struct collector *c, struct err *err)
{
    int64_t before = c->round ? INT64_MAX : clock_wall_ms() - c->opt.grace_ms;
    enum status st = read_leaving(c, OBJECT_CONDEMNED, before, err);

    if (st || c->batch.n == 0) {
        return st ? st : ST_END;
    }
    return submit(c, &sentence_kind, err);
}

/* ---- deleting: the bytes, then the row ----------------------------------------------------------------------------------------- */

static enum status deleted_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        const struct blob_entry *e = &c->batch.e[i];
        int64_t n = 0;

        /* No row: a reference gave the content a new place meanwhile, or another server was here. */
        st = q_object_gone(group_conn(g), key_of(e), e->gen, &n, err);
        if (!st && n == 1) st = q_object_pack_forget(group_conn(g), key_of(e), err);
        c->batch.freed[i] = n == 1;
    }
    FAILPOINT("core.collect.deleted");
    return st;
}

static const struct write_kind deleted_kind = { .name = "collect.deleted",
                                                .validate = deleted_validate,
                                                .sql = true };

static enum status step_deleting(struct collector *c, struct err *err)
{
    enum status st = read_leaving(c, OBJECT_DELETING, INT64_MAX, err);

    if (!st && c->batch.n == 0) {
        return ST_END;
    }
    st = st ? st : delete_bytes(c, err);
    return st ? st : submit(c, &deleted_kind, err);
}

/* ---- places that were retired --------------------------------------------------------------------------------------------- */

static enum status gone_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        const struct blob_entry *e = &c->batch.e[i];
        int64_t n = 0;

        st = q_retired_remove(group_conn(g), key_of(e), e->gen, &n, err);
        c->batch.freed[i] = n == 1;
    }
    FAILPOINT("core.collect.retired");
    return st;
}

static const struct write_kind gone_kind = { .name = "collect.retired",
                                             .validate = gone_validate,
                                             .sql = true };

static enum status step_retired(struct collector *c, struct err *err)
{
    struct q_retired_due_row row;
    struct sql_stmt *q = NULL;
    enum status st =
        q_retired_due_open(c->conn, &q, c->round ? INT64_MAX : clock_wall_ms(), COLLECT_BATCH, err);

    while (!st && (st = q_retired_due_next(q, &row, err)) == OK) {
        st = add(&c->batch, row.sha256, row.gen, row.bytes, err);
        if (st || c->batch.n == COLLECT_BATCH) break;
    }
    sql_close(q);
    if (st && st != ST_END) {
        return st;
    }
    if (c->batch.n == 0) {
        return ST_END;
    }
    st = delete_bytes(c, err);
    return st ? st : submit(c, &gone_kind, err);
}

/* ---- packs that no object names -------------------------------------------------------------------------------------------- */

/* sha256 is not used, gen is the pack's id. */
static void add_pack(struct batch *b, int64_t id, int64_t bytes)
{
    b->e[b->n] = (struct blob_entry){ .gen = id, .size = (uint64_t)bytes };
    b->freed[b->n++] = false;
}

static enum status packs_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;
    int64_t n;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        /* Not those that an object names; who is about to name one finds out that it is given up. */
        st = q_packfile_deleting(group_conn(g), c->batch.e[i].gen, group_now_ms(g), &n, err);
    }
    FAILPOINT("core.collect.packs");
    return st;
}

static const struct write_kind packs_kind = { .name = "collect.packs",
                                              .validate = packs_validate,
                                              .sql = true };

static enum status unindex_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    const struct packfile *p = c->going.foot;
    enum status st = OK;

    for (uint32_t i = c->going.at; !st && i < p->n && i < c->going.at + UNINDEX_ROWS; i++) {
        st = q_chunk_at_delete(group_conn(g), (int64_t)packfile_short_id(&p->chunks[i].id),
                               c->going.id, (int64_t)i, err);
    }
    FAILPOINT("core.collect.packs.unindexed");
    return st;
}

static const struct write_kind unindex_kind = { .name = "collect.packs.unindex",
                                                .validate = unindex_validate,
                                                .sql = true };

static bool is_indexed(const struct free_pack *p)
{
    return p->foot && p->at < p->foot->n;
}

/* ST_END: there is no other. */
static enum status next_free_pack(struct collector *c, struct err *err)
{
    struct q_packfile_free_row row;
    struct sql_stmt *q = NULL;
    struct err why = ERR_INIT;
    enum status st = q_packfile_free_open(c->conn, &q, c->pack, 1, err);

    st = st ? st : q_packfile_free_next(q, &row, err);
    if (!st) c->going = (struct free_pack){ .id = row.id, .bytes = row.bytes };
    sql_close(q);
    if (st) {
        return st;
    }
    st = blob_pack_open(c->core->blobs, (uint64_t)c->going.id, (uint64_t)c->going.bytes,
                        &c->going.foot, &why);
    if (st && st != ST_CORRUPT) {
        *err = why;
        return st;
    }
    if (st) LOG_WARN("store", "a pack goes without its index: %s", why.message);
    c->pack = c->going.id;
    c->going.is_there = true;
    return OK;
}

static enum status step_packs(struct collector *c, struct err *err)
{
    enum status st = c->round ? OK : ST_END;

    if (!st && !c->going.is_there) st = next_free_pack(c, err);
    if (st) {
        return st;
    }
    add_pack(&c->batch, c->going.id, c->going.bytes);
    return submit(c, is_indexed(&c->going) ? &unindex_kind : &packs_kind, err);
}

static void free_pack_done(struct collector *c)
{
    if (c->core->blobs) blob_pack_close(c->core->blobs, c->going.foot);
    c->going = (struct free_pack){ .is_there = false };
}

/* An operation on it is committed. */
static void free_pack_answered(struct collector *c)
{
    if (is_indexed(&c->going)) {
        c->going.at += UNINDEX_ROWS;
    } else {
        free_pack_done(c);
    }
}

static enum status left_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct collector *c = CONTAINER_OF(op, struct collector, op);
    enum status st = OK;

    for (size_t i = 0; !st && i < c->batch.n; i++) {
        st = q_packfile_gone(group_conn(g), c->batch.e[i].gen, err);
        c->batch.freed[i] = true;
    }
    FAILPOINT("core.collect.packs.gone");
    return st;
}

static const struct write_kind left_kind = { .name = "collect.packs.gone",
                                             .validate = left_validate,
                                             .sql = true };

static enum status step_left_packs(struct collector *c, struct err *err)
{
    struct q_packfile_due_row row;
    struct sql_stmt *q = NULL;
    enum status st = c->round ? OK : ST_END;

    st = st ? st : q_packfile_due_open(c->conn, &q, INT64_MAX, COLLECT_BATCH, err);
    while (!st && c->batch.n < COLLECT_BATCH && (st = q_packfile_due_next(q, &row, err)) == OK) {
        add_pack(&c->batch, row.id, row.bytes);
    }
    sql_close(q);
    if (st && st != ST_END) {
        return st;
    }
    st = c->batch.n ? OK : ST_END;
    for (size_t i = 0; !st && i < c->batch.n; i++) {
        st = blob_pack_delete(c->core->blobs, (uint64_t)c->batch.e[i].gen, err);
        FAILPOINT("core.collect.packs.bytes");
    }
    return st ? st : submit(c, &left_kind, err);
}

/* ---- rounds ------------------------------------------------------------------------------------------------------------------ */

static void batch_done(struct collector *c)
{
    struct collect_stats *s = &c->stats;
    uint64_t n = 0, bytes = 0;

    for (size_t i = 0; i < c->batch.n; i++) {
        n += c->batch.freed[i];
        bytes += c->batch.freed[i] ? c->batch.e[i].size : 0;
    }
    lock_take(&c->lock);
    s->leases += c->phase == LEASES ? n : 0;
    s->condemned += c->phase == WALK ? c->batch.n - n : 0;
    s->objects += c->phase == WALK || c->phase == DELETING ? n : 0;
    s->places += c->phase == RETIRED ? n : 0;
    s->packs += c->phase == LEFT_PACKS ? n : 0;
    s->bytes += c->phase == LEASES ? 0 : bytes;
    s->round_objects += c->phase == WALK || c->phase == DELETING ? n : 0;
    s->round_places += c->phase == RETIRED || c->phase == LEFT_PACKS ? n : 0;
    s->round_bytes += c->phase == LEASES ? 0 : bytes;
    if (c->phase == UPLOADS && c->left.state == RESUME_GIVEN_UP) {
        s->uploads++;
        s->round_uploads++;
    }
    s->problem[0] = 0;
    lock_give(&c->lock);
}

static void step_failed(struct collector *c, const struct err *err, int64_t now)
{
    LOG_WARN("store", "deleting what nothing refers to waits: %s", err->message);
    c->resume_ms = now + RETRY_MS;
    lock_take(&c->lock);
    c->stats.failed++;
    snprintf(c->stats.problem, sizeof(c->stats.problem), "%s", err->message);
    lock_give(&c->lock);
}

/* Others on the same database: the one that drains does it. */
static bool is_ours(struct collector *c)
{
    struct seq_stats s;

    seq_stats(c->core->seq, &s);
    return s.others == 0 || s.owner;
}

static bool round_begin(struct collector *c, int64_t now)
{
    lock_take(&c->lock);
    c->round = c->stats.asked > c->stats.done ? c->stats.asked : 0;
    lock_give(&c->lock);
    c->in_round = c->round || (c->opt.every_ms > 0 && now >= c->next_ms && is_ours(c));
    if (!c->in_round && now >= c->next_ms) {
        c->next_ms = now + MAX_OF(c->opt.every_ms, (int64_t)1);
    }
    c->phase = LEASES;
    c->is_walking = false;
    c->pack = INT64_MIN;
    lock_take(&c->lock);
    c->stats.running = c->in_round;
    if (c->in_round) {
        c->stats.walked = c->stats.round_objects = c->stats.round_places = c->stats.round_bytes = 0;
        c->stats.round_uploads = 0;
    }
    lock_give(&c->lock);
    return c->in_round;
}

static void round_end(struct collector *c, int64_t now)
{
    lock_take(&c->lock);
    c->stats.done = MAX_OF(c->stats.done, c->round);
    c->stats.running = false;
    c->stats.problem[0] = 0;
    for (struct waiter *w = c->waiters; w; w = w->next) {
        if (w->round <= c->stats.done) exec_event_set(w->event);
    }
    lock_give(&c->lock);
    c->in_round = false;
    c->round = 0;
    c->next_ms = now + MAX_OF(c->opt.every_ms, (int64_t)1);
}

/* How long to sleep until the next round. */
static int64_t idle(struct collector *c, int64_t now)
{
    sql_rest(c->conn);
    return c->opt.every_ms > 0 ? MAX_OF(c->next_ms - now, (int64_t)1) : -1;
}

/* The batch that was read is done with. */
static void rest(struct collector *c, int64_t now)
{
    c->batch.n = 0;
    c->resume_ms = c->round ? now : now + REST * (now - c->began_ms);
}

/* The phases of a round, one step of one of them. ST_END: the round is over. */
static enum status step(struct collector *c, struct err *err)
{
    static enum status (*const steps[PHASE_N])(struct collector * c, struct err * err) = {
        [LEASES] = step_leases,       [UPLOADS] = step_uploads,       [WALK] = step_walk,
        [CONDEMNED] = step_condemned, [DELETING] = step_deleting,     [RETIRED] = step_retired,
        [PACKS] = step_packs,         [LEFT_PACKS] = step_left_packs,
    };
    enum status st = ST_END;

    while (st == ST_END && c->phase < PHASE_N) {
        c->batch.n = 0;
        st = steps[c->phase](c, err);
        if (st == ST_END) {
            c->is_walking = false;
            c->phase++;
        }
    }
    return st;
}

static int64_t collect_step(void *ctx)
{
    struct collector *c = (struct collector *)ctx;
    int64_t now = clock_mono_ms();
    struct err err = ERR_INIT;
    enum status st;
    bool stopping;

    lock_take(&c->lock);
    stopping = c->stopping;
    lock_give(&c->lock);
    if (stopping || (c->submitted && !atomic_load_explicit(&c->answered, memory_order_acquire))) {
        return -1;
    }
    if (c->submitted) {
        c->submitted = false;
        if (c->op.st) {
            step_failed(c, &c->op.err, now);
        } else {
            batch_done(c);
            if (c->phase == PACKS) free_pack_answered(c);
            rest(c, now);
        }
    }
    if (now < c->resume_ms) {
        return c->resume_ms - now;
    }
    if (!c->in_round && !round_begin(c, now)) {
        return idle(c, now);
    }
    arena_reset(c->arena);
    c->began_ms = now;
    st = step(c, &err);
    if (st == OK && c->submitted) {
        return -1;
    }
    now = clock_mono_ms();
    if (st == OK) { /* a page without work */
        rest(c, now);
        return MAX_OF(c->resume_ms - now, (int64_t)0);
    }
    if (st == ST_END) {
        round_end(c, now);
        return 0; /* another may have been asked for */
    }
    step_failed(c, &err, now);
    return RETRY_MS;
}

uint64_t collect_ask(struct collector *c)
{
    uint64_t n;

    lock_take(&c->lock);
    /* One that is at work may have passed what the caller means. */
    n = ++c->stats.asked;
    lock_give(&c->lock);
    collect_wake(c);
    return n;
}

bool collect_wait(struct collector *c, uint64_t round, int64_t timeout_ms)
{
    struct waiter w = { .event = exec_event_new(), .round = round };
    bool done;

    if (!w.event) {
        return false;
    }
    lock_take(&c->lock);
    if (round <= c->stats.done || c->stopping) exec_event_set(w.event);
    w.next = c->waiters;
    c->waiters = &w;
    lock_give(&c->lock);
    (void)exec_event_wait(w.event, timeout_ms);
    lock_take(&c->lock);
    for (struct waiter **at = &c->waiters; *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    done = round <= c->stats.done;
    lock_give(&c->lock);
    exec_event_free(w.event);
    return done;
}

void collect_stats(struct collector *c, struct collect_stats *out)
{
    lock_take(&c->lock);
    *out = c->stats;
    lock_give(&c->lock);
}

/* ---- what would go ------------------------------------------------------------------------------------------------------------ */

/* ST_END after the last page. */
static enum status plan_page(struct view *v, struct digest *last, bool *begun,
                             struct collect_plan *out, struct err *err)
{
    struct digest from = *last;
    struct str after = *begun ? str_of(from.b, sizeof(from.b)) : S("");
    struct q_object_plan_row row;
    struct sql_stmt *q = NULL;
    size_t n = 0;
    enum status st = q_object_plan_open(v->conn, &q, after, WALK_PAGE, err);

    while (!st && (st = q_object_plan_next(q, &row, err)) == OK) {
        if (row.sha256.n != sizeof(last->b)) {
            st = err_set(err, ST_CORRUPT, "an object has a digest of the wrong length");
            break;
        }
        memcpy(last->b, row.sha256.p, sizeof(last->b));
        *begun = true;
        n++;
        if (row.held) {
            out->kept++;
            out->kept_bytes += row.size;
        } else {
            out->objects++;
            out->object_bytes += row.size;
        }
    }
    sql_close(q);
    return st == ST_END && n == WALK_PAGE ? OK : st;
}

/* Uploads that go on later: which end, and which may still go on. */
static enum status plan_uploads(struct view *v, struct collect_plan *out, struct err *err)
{
    struct q_resumable_sum_row open, over, left;
    int64_t now = clock_wall_ms();
    enum status st =
        q_resumable_sum(v->conn, v->arena, RESUME_OPEN, now + 1, INT64_MAX, &open, err);

    st = st ? st : q_resumable_sum(v->conn, v->arena, RESUME_OPEN, 0, now + 1, &over, err);
    st = st ? st : q_resumable_sum(v->conn, v->arena, RESUME_GIVEN_UP, 0, INT64_MAX, &left, err);
    if (!st) {
        out->open = open.n;
        out->open_bytes = open.bytes;
        out->uploads = over.n + left.n;
        out->upload_bytes = over.bytes + left.bytes;
    }
    return st;
}

enum status collect_look(struct view *v, struct collect_plan *out, struct err *err)
{
    struct q_retired_sum_row places;
    struct q_lease_count_row leases;
    struct digest last = { { 0 } };
    bool begun = false;
    enum status st;

    *out = (struct collect_plan){ 0 };
    do {
        st = plan_page(v, &last, &begun, out, err);
    } while (st == OK);
    if (st == ST_END) st = q_retired_sum(v->conn, v->arena, &places, err);
    if (!st) st = q_lease_count(v->conn, v->arena, clock_wall_ms(), &leases, err);
    if (!st) {
        out->places = places.n;
        out->place_bytes = places.bytes;
        out->leases = leases.n;
        st = plan_uploads(v, out, err);
    }
    return st;
}

/* ---- life cycle ---------------------------------------------------------------------------------------------------------------- */

/* A server that starts alone: the leases that there are belong to servers that are gone. By their generations, not by times: the
 * clock may go back, and a lease of this server must not be taken for one of before. */
static enum status find_void(struct collector *c, struct err *err)
{
    struct q_counter_get_row row = { 0 };
    struct seq_stats stats;
    enum status st = q_counter_get(c->conn, c->arena, S("place"), &row, err);

    seq_stats(c->core->seq, &stats);
    c->void_gen = !st && stats.others == 0 ? row.value : 0;
    return st == ST_NOT_FOUND ? OK : st;
}

enum status collect_start(struct core *core, const struct collect_options *opt, struct err *err)
{
    struct collector *c = (struct collector *)mem_zalloc(1, sizeof(*c));
    struct exec_actor *actor = NULL;
    enum status st;

    if (!c) {
        return err_nomem(err);
    }
    c->core = core;
    c->opt = *opt;
    c->opt.every_ms = opt->every_ms ? opt->every_ms : (int64_t)EVERY_MS;
    c->opt.walk_ms = opt->walk_ms ? opt->walk_ms : (int64_t)WALK_MS;
    c->opt.grace_ms = opt->grace_ms ? opt->grace_ms : (int64_t)COLLECT_GRACE_MS;
    c->next_ms = clock_mono_ms() + MAX_OF(c->opt.every_ms, (int64_t)0);
    c->walk_seq = -1;
    lock_init(&c->lock, LOCK_RANK_CACHE);
    c->arena = arena_new(ARENA_MAX);
    st = c->arena ? sql_connect(&c->conn, core->db, SQL_READER, err) : err_nomem(err);
    if (!st) st = find_void(c, err);
    if (!st) st = exec_actor_new(&actor, "collector", collect_step, c, err);
    if (st) {
        collect_free(c);
        return st;
    }
    lock_take(&c->lock);
    c->actor = actor;
    lock_give(&c->lock);
    core->collector = c;
    exec_actor_wake(actor);
    return OK;
}

void collect_stop(struct collector *c)
{
    if (!c) {
        return;
    }
    lock_take(&c->lock);
    c->stopping = true;
    for (struct waiter *w = c->waiters; w; w = w->next) {
        exec_event_set(w->event);
    }
    lock_give(&c->lock);
    blob_hurry(c->core->blobs);
    exec_actor_free(c->actor);
    c->actor = NULL;
    sql_disconnect(c->conn);
    c->conn = NULL;
}

void collect_free(struct collector *c)
{
    if (!c) {
        return;
    }
    free_pack_done(c);
    sql_disconnect(c->conn);
    arena_free(c->arena);
    lock_release(&c->lock);
    mem_free(c);
}
