/* store/seq.c - the sequencer: taking groups, committing them, answering. See seq.h for the order of steps. */
#include "store/seq_int.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/inbox.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "gen/sql/queries.h"
#include "store/sql/bell.h"
#include "store/sql/sql.h"

enum {
    GROUP_OPS_MAX = 4096,
    GROUP_POINTS_MAX = 100000,
    GROUP_BYTES_MAX = 4 << 20,
    GROUP_REQUESTS_MAX = 8 << 20, /* bytes of its requests, some of which go into rows */
    GROUP_ARENA_MAX = 256 << 20,
    EFFECTS_MAX = 1 << 20,
    ASIDE_MAX = 1 << 16,
    PENDING_MAX = 1 << 20,
    PART = 0,
    DRAIN_AGE_MS = 10000,
    DRAIN_BYTES = 8 << 20,
    HEAD_AGE_MS = 60000,
    WAL_BYTES = 8 << 20,
    HOLD_BYTES = 64 << 20,
    IDLE_MS = 1000,
    WAIT_OPS = 8192,
    WAIT_BYTES = 256 << 20,
    DOUBT_RETRY_MS = 200,
    SEQ_RETRY_AFTER_S = 1,
    STALE_POLL_MS = 15,
    LEASE_MS = 10000,
    CLOCK_BACK_MS = 3600 * 1000
};

/* ---- what validate() asks of its group ------------------------------------------------------------------------------------ */

struct sql_conn *group_conn(struct group *g)
{
    return g->s->writer;
}

int64_t group_now_ms(const struct group *g)
{
    return g->now_ms;
}

int64_t group_new_uid(struct group *g)
{
    return ++g->s->last_uid;
}

struct batch_builder *group_batch(struct group *g)
{
    return &g->batch;
}

struct mkeys *group_mkeys(struct group *g)
{
    return g->s->mkeys;
}

struct heads *group_heads(struct group *g)
{
    return g->s->heads;
}

struct series *group_series(struct group *g)
{
    return g->s->series;
}

struct arena *group_arena(struct group *g)
{
    return g->arena;
}

int64_t group_drain(const struct group *g)
{
    return g->s->drain;
}

void group_stamp(const struct group *g, uint32_t ordinal, struct stamp *out)
{
    *out = (struct stamp){ .epoch = g->s->epoch, .seq = g->seq, .ordinal = ordinal };
}

enum status group_effect(struct group *g, void (*apply)(void *ctx), void (*undo)(void *ctx),
                         void *ctx, struct err *err)
{
    struct effect *e = vec_add(&g->effects);

    if (!e) {
        return err_nomem(err);
    }
    *e = (struct effect){ apply, undo, ctx };
    return OK;
}

static enum status counter_of(struct seq *s, struct str name, struct counter **out, struct err *err)
{
    struct q_counter_get_row row = { 0 };
    struct counter *c = NULL;
    enum status st;

    *out = NULL;
    for (size_t i = 0; i < s->counters_n; i++) {
        if (str_eq(str_cstr(s->counters[i].name), name)) {
            c = &s->counters[i];
        }
    }
    if (!c) {
        if (NEVER(s->counters_n == COUNTERS_MAX || name.n >= COUNTER_NAME_MAX)) {
            return err_set(err, ST_INTERNAL, "no room for counter %.*s", STR_ARG(name));
        }
        st = q_counter_get(s->writer, NULL, name, &row, err);
        if (st && st != ST_NOT_FOUND) return st;
        c = &s->counters[s->counters_n++];
        memset(c->name, 0, sizeof(c->name));
        memcpy(c->name, name.p, name.n);
        c->value = c->committed = row.value;
    }
    *out = c;
    return OK;
}

enum status group_counter(struct group *g, struct str name, int64_t *out, struct err *err)
{
    struct counter *c;
    enum status st = counter_of(g->s, name, &c, err);

    *out = st ? 0 : ++c->value;
    return st;
}

enum status group_counter_raise(struct group *g, struct str name, int64_t least, struct err *err)
{
    struct counter *c;
    enum status st = counter_of(g->s, name, &c, err);

    if (!st) c->value = MAX_OF(c->value, least);
    return st;
}

/* ---- pending changes --------------------------------------------------------------------------------------------------------- */

struct pending_key {
    int64_t kind, a, b;
};

const void *group_pending(struct group *g, enum pending_kind kind, int64_t a, int64_t b)
{
    struct pending_key key = { kind, a, b };

    return g->pending.n ? str_map_get(&g->pending, str_of(&key, sizeof(key))) : NULL;
}

enum status group_pending_put(struct group *g, enum pending_kind kind, int64_t a, int64_t b,
                              const void *value, struct err *err)
{
    struct pending_key key = { kind, a, b };
    struct str k = arena_str(g->arena, str_of(&key, sizeof(key)));
    struct pending_change *c = vec_add(&g->pending_log);
    union {
        const void *in;
        void *out;
    } v = { .in = value };

    if (!k.p || !c) {
        g->pending_log.n -= c != NULL;
        return err_nomem(err);
    }
    *c = (struct pending_change){ k, str_map_get(&g->pending, k) };
    if (str_map_put(&g->pending, k, v.out)) {
        g->pending_log.n--;
        return err_nomem(err);
    }
    return OK;
}

static void pending_rollback(struct group *g, size_t mark)
{
    while (g->pending_log.n > mark) {
        struct pending_change *c = &g->pending_log.p[--g->pending_log.n];

        if (!c->before || str_map_put(&g->pending, c->key, c->before)) {
            (void)str_map_remove(&g->pending,
                                 c->key); /* a put over an existing entry needs no memory */
        }
    }
}

/* ---- a group: start, validate ------------------------------------------------------------------------------------------------- */

static void group_reset(struct group *g)
{
    arena_reset(g->arena);
    batch_clear(&g->batch);
    vec_clear(&g->effects);
    if (g->pending_log.n > 0) {
        str_map_release(&g->pending);
    }
    vec_clear(&g->pending_log);
    g->first = g->last = NULL;
    g->ops_n = g->ops_bytes = g->passed_n = g->failed_n = 0;
}

static void effects_undo(struct group *g, size_t mark)
{
    while (g->effects.n > mark) {
        struct effect *e = &g->effects.p[--g->effects.n];

        if (e->undo) e->undo(e->ctx);
    }
}

struct group_mark {
    struct batch_mark batch;
    size_t effects, pending, keys;
    int64_t counters[COUNTERS_MAX];
    size_t counters_n;
};

static void mark_take(struct group *g, struct group_mark *m)
{
    struct seq *s = g->s;

    m->batch = batch_mark(&g->batch);
    m->effects = g->effects.n;
    m->pending = g->pending_log.n;
    m->keys = mkeys_mark(s->mkeys);
    m->counters_n = s->counters_n;
    for (size_t i = 0; i < s->counters_n; i++) {
        m->counters[i] = s->counters[i].value;
    }
}

/* sql_undone: the statements of the operation were rolled back too, so its new keys do not exist. */
static void mark_back(struct group *g, const struct group_mark *m, bool sql_undone)
{
    struct seq *s = g->s;

    effects_undo(g, m->effects);
    pending_rollback(g, m->pending);
    batch_rollback(&g->batch, &m->batch);
    if (sql_undone) {
        mkeys_rollback(s->mkeys, m->keys);
    }
    for (size_t i = 0; i < s->counters_n; i++) {
        s->counters[i].value = i < m->counters_n ? m->counters[i] : s->counters[i].committed;
    }
}

/* False when the transaction is lost. */
static bool validate_one(struct group *g, struct write_op *op)
{
    struct sql_conn *c = g->s->writer;
    struct group_mark mark;
    bool lost = false, valid = false;
    enum status st = OK;

    mark_take(g, &mark);
    op->passed = false;
    op->effects_from = mark.effects;
    if (op->kind->sql) {
        st = sql_savepoint(c, &op->err);
        lost = st != OK;
    }
    if (!st) {
        st = op->kind->validate(op, g, &op->err);
        valid = st == OK;
        if (!st && op->kind->sql) st = sql_release(c, &op->err);
        if (st && op->kind->sql) {
            struct err ignored = ERR_INIT;

            lost = sql_rollback_to(c, &ignored) != OK;
        } else {
            lost = sql_tx_failed(c);
        }
    }
    op->st = st;
    op->effects_n = g->effects.n - mark.effects;
    if (st) {
        mark_back(g, &mark, op->kind->sql);
        if (valid && op->kind->undo) op->kind->undo(op); /* its statements failed later on */
        g->failed_n++;
    } else {
        op->passed = true;
        g->passed_n++;
    }
    return !lost;
}

/* ---- a group: end -------------------------------------------------------------------------------------------------------------- */

static void wait_no_more(struct seq *s, size_t ops, size_t bytes)
{
    atomic_fetch_sub_explicit(&s->waiting, ops * WAIT_ONE + bytes, memory_order_relaxed);
}

static void answer_all(struct group *g)
{
    struct write_op *next;

    wait_no_more(g->s, g->ops_n, g->ops_bytes);
    inbox_hold(); /* who waits for several of them wakes once */
    for (struct write_op *op = g->first; op; op = next) {
        next = op->next;
        op->done(op);
    }
    inbox_release();
    g->first = g->last = NULL;
}

static void group_committed(struct group *g)
{
    struct seq *s = g->s;

    s->last_seq = g->seq;
    s->tag = g->tag;
    s->log_bytes += g->batch.body.n;
    if (s->log_since_ms < 0) {
        s->log_since_ms = clock_mono_ms();
    }
    for (size_t i = 0; i < s->counters_n; i++) {
        s->counters[i].committed = s->counters[i].value;
    }
    for (struct write_op *op = g->first; op; op = op->next) {
        if (!op->passed) {
            continue;
        }
        if (op->kind->apply) op->kind->apply(op);
        for (size_t i = 0; i < op->effects_n; i++) {
            struct effect *e = &g->effects.p[op->effects_from + i];

            if (e->apply) e->apply(e->ctx);
        }
    }
    seq_applied_now(s);
    mkeys_commit(s->mkeys);
    atomic_fetch_add_explicit(&s->groups, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->ops, g->passed_n, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->points, (uint64_t)g->batch.points_n, memory_order_relaxed);
    seq_tell_others(s);
}

/* Every operation of the group, also one that failed by itself: its failure may rest on one that now did not happen. */
static void group_failed(struct group *g, enum status st, const struct err *why)
{
    struct seq *s = g->s;

    effects_undo(g, 0);
    for (struct write_op *op = g->first; op; op = op->next) {
        if (op->passed && op->kind->undo) op->kind->undo(op);
        op->passed = false;
        op->st = st == ST_NOMEM ? ST_NOMEM : ST_UNAVAILABLE;
        op->err = *why;
        op->err.code = op->st;
        if (op->err.retry_after_s == 0) op->err.retry_after_s = SEQ_RETRY_AFTER_S;
    }
    mkeys_rollback(s->mkeys, 0);
    heads_group_failed(s->heads);
    for (size_t i = 0; i < s->counters_n; i++) {
        s->counters[i].value = s->counters[i].committed;
    }
    atomic_fetch_add_explicit(&s->failed_groups, 1, memory_order_relaxed);
}

static enum status counters_write(struct seq *s, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; i < s->counters_n && !st; i++) {
        struct counter *c = &s->counters[i];

        if (c->value != c->committed) {
            st = q_counter_set(s->writer, str_cstr(c->name), c->value, err);
        }
    }
    return st;
}

static enum status group_commit(struct group *g, struct err *err)
{
    struct seq *s = g->s;
    struct str body;
    enum status st = counters_write(s, err);

    if (!st) st = batch_finish(&g->batch, g->seq, s->epoch, PART, &body, err);
    FAILPOINT("seq.group.before_batch");
    /* Every group has a row, also one without records: it is what tells the outcome of a commit in doubt. */
    if (!st) {
        st = q_batch_insert(s->writer, g->seq, s->epoch, PART, g->batch.points_n, body, s->drain,
                            s->tag, g->tag, s->fence, err);
    }
    FAILPOINT("seq.group.before_commit");
    if (!st && FAILPOINT_ERR("seq.group.commit_fails")) {
        st = err_set(err, ST_UNAVAILABLE, "the store cannot be written");
    }
    if (!st) st = sql_commit(s->writer, err);
    FAILPOINT("seq.group.after_commit");
    return st;
}

static void take_op(struct seq *s, struct group *g)
{
    struct write_op *op = s->first;

    s->first = op->next;
    if (!s->first) s->last = NULL;
    op->next = NULL;
    op->passed = false;
    *(g->last ? &g->last->next : &g->first) = op;
    g->last = op;
    g->ops_n++;
    g->ops_bytes += op->bytes;
}

static bool group_full(const struct group *g)
{
    return g->ops_n >= GROUP_OPS_MAX || g->batch.points_n >= GROUP_POINTS_MAX ||
           g->batch.records.n >= GROUP_BYTES_MAX || g->ops_bytes >= GROUP_REQUESTS_MAX;
}

int64_t group_server(const struct group *g)
{
    return g->s->peers.me;
}

size_t group_ahead(struct group *g, struct write_op **out, size_t max)
{
    size_t n = 0, room = group_full(g) ? 0 : MIN_OF(max, GROUP_OPS_MAX - g->ops_n);

    for (struct write_op *op = g->s->first; op && n < room; op = op->next) {
        out[n++] = op;
    }
    return n;
}

/* The transaction broke under this operation: why all others fail with it. */
static enum status group_lost(const struct write_op *op, struct err *err)
{
    if (op->st == ST_UNAVAILABLE || op->st == ST_NOMEM || op->st == ST_CORRUPT || op->st == ST_IO) {
        *err = op->err;
        return op->st;
    }
    LOG_ERROR("store", "%s broke its group: %s", op->kind->name, op->err.message);
    return err_set(err, ST_UNAVAILABLE, "another write of the same moment failed");
}

/* Readers that came before the turn have their look at the log with it. */
static enum status group_begin(struct seq *s, struct err *err)
{
    struct mpsc_node *readers = seq_readers_take(s);
    enum status st = seq_turn(s, err);

    if (readers) {
        if (st && err->retry_after_s == 0) err->retry_after_s = SEQ_RETRY_AFTER_S;
        seq_readers_answer(s, readers, st, err);
    }
    return st;
}

/* Random to other processes, and never the same twice in this one. */
static int64_t next_tag(struct seq *s)
{
    uint64_t x = s->tag_state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (int64_t)((x ^ (x >> 31)) >> 1);
}

/* What is recorded later does not carry an earlier time, so a question as of a time sees what was recorded by then: a clock that is set back a
 * little is waited for. One that is set back further was wrong before. */
static int64_t recording_time(struct seq *s)
{
    int64_t now = clock_wall_ms(), back = s->recorded_ms - now;

    if (back > 0 && back <= CLOCK_BACK_MS) {
        return s->recorded_ms;
    }
    if (back > 0) {
        LOG_WARN("store", "the clock is %lld s behind what was recorded last; it is believed",
                 (long long)(back / 1000));
    }
    s->recorded_ms = now;
    return now;
}

/* Takes operations and validates them, until no more come. st: of the transaction so far. */
static enum status group_validate(struct seq *s, struct group *g, enum status st, struct err *err)
{
    do {
        int64_t began_ns = clock_mono_ns();
        size_t had = g->ops_n;

        g->now_ms = recording_time(s);
        while (s->first && !group_full(g)) {
            struct write_op *op = s->first;

            take_op(s, g);
            if (!st && !validate_one(g, op)) {
                st = group_lost(op, err);
            }
        }
        seq_gather_learn(s, g->ops_n - had, clock_mono_ns() - began_ns);
    } while (!st && !group_full(g) && s->gather.goal > 0 && seq_gather_more(s));
    return st;
}

void seq_group_run(struct seq *s)
{
    struct group *g = &s->g;
    struct err err ATTR_UNINIT;
    enum status st;

    err_clear(&err);
    group_reset(g);
    heads_group_begin(s->heads);
    st = group_begin(s, &err);
    g->seq = s->last_seq + 1;
    g->tag = next_tag(s);
    st = group_validate(s, g, st, &err);
    if (!st && g->passed_n == 0) {
        sql_rollback(s->writer);
        mkeys_rollback(s->mkeys, 0);
        answer_all(g);
        return;
    }
    if (!st) st = group_commit(g, &err);
    if (st && sql_outcome_unknown(s->writer)) {
        LOG_ERROR("store", "the outcome of a commit is unknown: %s", err.message);
        s->doubt = DOUBT_GROUP;
        return;
    }
    if (st) {
        sql_rollback(s->writer);
        if (st == ST_INVALID && s->peers.on) { /* the row of the log was refused */
            st = err_set(&err, ST_UNAVAILABLE, "another server has written meanwhile; try again");
        }
        LOG_WARN("store", "a group of %zu operations failed: %s", g->ops_n, err.message);
        group_failed(g, st, &err);
        seq_suspect(s);
    } else {
        group_committed(g);
        seq_note_replay(s);
    }
    FAILPOINT("seq.group.before_answer");
    answer_all(g);
}

/* ---- a commit in doubt ------------------------------------------------------------------------------------------------------- */

/* *committed: the row of the group is there, or the drain of the mark. */
static enum status ask_outcome(struct seq *s, bool *committed, int64_t *folded, struct err *err)
{
    struct q_batch_tag_row row = { 0 };
    struct q_part_get_row part = { 0 };
    bool gone = false;
    enum status st = sql_begin(s->writer, err);

    if (!st) st = q_part_get(s->writer, NULL, PART, &part, err);
    if (!st && s->doubt == DOUBT_GROUP) {
        st = q_batch_tag(s->writer, NULL, s->g.seq, &row, err);
        gone = st == ST_NOT_FOUND;
        if (gone) st = OK;
    }
    sql_rollback(s->writer);
    *folded = part.folded;
    *committed = s->doubt == DOUBT_GROUP ? !gone && row.tag == s->g.tag
                                         : part.drain == s->drain + 1 && part.fence == s->fence;
    return st;
}

/* Asks the database what became of the commit; false when it still does not answer. */
static bool doubt_resolve(struct seq *s)
{
    struct err err = ERR_INIT;
    int64_t folded = 0;
    bool committed = false, give_up = atomic_load_explicit(&s->stopping, memory_order_acquire);

    if (ask_outcome(s, &committed, &folded, &err)) {
        if (!give_up) {
            return false;
        }
        committed =
            false; /* stopping: nobody can know; clients are told to retry, the log knows better after a start */
    }
    seq_suspect(s);
    if (s->doubt == DOUBT_GROUP) {
        if (committed) {
            group_committed(&s->g);
        } else {
            err_set(&err, ST_UNAVAILABLE, "the database was lost while committing");
            group_failed(&s->g, ST_UNAVAILABLE, &err);
        }
        answer_all(&s->g);
    } else if (committed) {
        seq_drain_committed(s, s->drain + 1, folded);
    }
    s->doubt = DOUBT_NONE;
    return true;
}

/* ---- the actor ---------------------------------------------------------------------------------------------------------------- */

void seq_take_inbox(struct seq *s)
{
    struct mpsc_node *n = mpsc_take_all(&s->inbox), *next;

    for (; n; n = next) {
        struct write_op *op = CONTAINER_OF(n, struct write_op, link);

        next = atomic_load_explicit(&n->next, memory_order_relaxed);
        op->next = NULL;
        *(s->last ? &s->last->next : &s->first) = op;
        s->last = op;
    }
}

/* Memory or log are full enough, old enough, or somebody asked. */
bool seq_drain_is_due(const struct seq *s, int64_t now, bool wanted)
{
    size_t tails_max = MIN_OF(s->opt.drain_bytes, series_max_bytes(s->series) / 2);
    bool full = series_bytes(s->series) >= tails_max || s->log_bytes >= s->opt.drain_bytes;
    bool old = s->log_since_ms >= 0 && now - s->log_since_ms >= s->opt.drain_age_ms;

    if (s->peers.on && !s->peers.owner) {
        /* Another server does it; if it does not, memory must not run full, nor the log grow. */
        full = series_bytes(s->series) >= tails_max + tails_max / 2 ||
               s->log_bytes >= s->opt.drain_bytes + s->opt.drain_bytes / 2;
        old = false;
    }
    return (full || old || wanted) && now >= s->drain_retry_ms;
}

static void drain_if_due(struct seq *s, int64_t now)
{
    struct err err ATTR_UNINIT;
    bool wanted = atomic_load_explicit(&s->drain_wanted, memory_order_acquire);

    if (!seq_drain_is_due(s, now, wanted)) {
        return;
    }
    err_clear(&err);
    if (seq_drain_now(s, wanted, &err)) {
        LOG_WARN("store", "moving points to packs failed, trying again: %s", err.message);
        s->drain_retry_ms = now + 1000;
    } else {
        atomic_store_explicit(&s->drain_wanted, false, memory_order_release);
    }
}

void seq_show(struct seq *s)
{
    seq_applied_now(s);
    atomic_store_explicit(&s->seen_mark, s->mark, memory_order_relaxed);
    atomic_store_explicit(&s->seen_drain, s->drain, memory_order_relaxed);
    atomic_store_explicit(&s->seen_log, s->log_bytes, memory_order_relaxed);
    atomic_store_explicit(&s->seen_heads, heads_bytes(s->heads), memory_order_relaxed);
    atomic_store_explicit(&s->seen_tails, series_bytes(s->series), memory_order_relaxed);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : MIN_OF(a, b);
}

static int64_t next_wake(struct seq *s, int64_t now, int64_t checkpoint_in, int64_t peers_in)
{
    int64_t in = sooner(checkpoint_in, peers_in);

    if (s->log_since_ms >= 0 && (!s->peers.on || s->peers.owner)) {
        int64_t due = MAX_OF(s->log_since_ms + s->opt.drain_age_ms, s->drain_retry_ms) - now;

        due = MAX_OF(due, (int64_t)1);
        in = in < 0 ? due : MIN_OF(in, due);
    }
    return in;
}

static void readers_refuse(struct seq *s)
{
    struct err err = ERR_INIT;
    enum status st = err_set(&err, ST_UNAVAILABLE, "the database is not reachable");

    err.retry_after_s = SEQ_RETRY_AFTER_S;
    seq_readers_answer(s, seq_readers_take(s), st, &err);
}

/* Stopping while the other servers do not let this one write. */
static void refuse_all(struct seq *s)
{
    while (s->first) {
        struct write_op *op = s->first;

        s->first = op->next;
        op->st = err_set(&op->err, ST_UNAVAILABLE, "the server is stopping");
        op->err.retry_after_s = SEQ_RETRY_AFTER_S;
        wait_no_more(s, 1, op->bytes);
        op->done(op);
    }
    s->last = NULL;
}

/* The actor's step, once it has the role. */
int64_t seq_thread_step(struct seq *s)
{
    int64_t now, checkpoint_in, peers_in, began_ns;
    bool stopping;

    if (atomic_load_explicit(&s->abandoned, memory_order_acquire)) {
        return -1;
    }
    do {
        stopping = atomic_load_explicit(&s->stopping, memory_order_acquire);
        if (s->doubt != DOUBT_NONE && !doubt_resolve(s)) {
            readers_refuse(s);
            return DOUBT_RETRY_MS;
        }
        seq_take_inbox(s);
        peers_in = seq_peers_step(s);
        now = clock_mono_ms();
        began_ns = 0;
        if (seq_may_write(s)) drain_if_due(s, now);
        if (stopping && !seq_may_write(s)) refuse_all(s);
        if (s->doubt == DOUBT_NONE && s->first && seq_may_write(s)) {
            began_ns = clock_mono_ns();
            seq_group_timed(s, now);
        }
        checkpoint_in =
            s->doubt == DOUBT_NONE ? seq_checkpoint(s, s->first == NULL) : DOUBT_RETRY_MS;
        if (began_ns && !stopping && s->doubt == DOUBT_NONE) seq_gather(s);
        if (stopping || !began_ns || !seq_leaves_to_loops(s)) seq_take_inbox(s);
    } while (stopping && s->first);
    seq_show(s);
    if (!seq_may_write(s)) return peers_in;
    return s->first ? 0 : next_wake(s, clock_mono_ms(), checkpoint_in, peers_in);
}

/* ---- submitting -------------------------------------------------------------------------------------------------------------- */

static enum status enter(struct seq *s, struct write_op *op, bool *wake)
{
    uint64_t before =
        atomic_fetch_add_explicit(&s->waiting, WAIT_ONE + op->bytes, memory_order_seq_cst);
    size_t n = before >> WAIT_SHIFT, bytes = before & (WAIT_ONE - 1);
    const char *why = NULL;

    op->st = OK;
    err_clear(&op->err);
    if (atomic_load_explicit(&s->stopping, memory_order_acquire)) {
        why = "the server is stopping";
    } else if (n >= s->opt.wait_ops || (n > 0 && bytes + op->bytes > s->opt.wait_bytes)) {
        why = "too many writes are waiting";
    }
    if (why) {
        wait_no_more(s, 1, op->bytes);
        op->st = err_set(&op->err, ST_UNAVAILABLE, "%s", why);
        op->err.retry_after_s = SEQ_RETRY_AFTER_S;
        return op->st;
    }
    *wake = mpsc_push(&s->inbox, &op->link);
    return OK;
}

enum status seq_submit(struct seq *s, struct write_op *op)
{
    bool wake = false;
    enum status st = enter(s, op, &wake);

    if (wake) exec_actor_wake(s->actor);
    return st;
}

enum status seq_submit_quiet(struct seq *s, struct write_op *op)
{
    bool wake;

    return enter(s, op, &wake);
}

void seq_wake(struct seq *s)
{
    size_t want = atomic_load_explicit(&s->gather.want, memory_order_seq_cst);

    if (want > 0 && seq_waiting_ops(s) < want) {
        return; /* it is waiting for more, or will see these: see seq_gather() */
    }
    if (!mpsc_is_empty(&s->inbox)) exec_actor_wake(s->actor);
}

static void run_done(struct write_op *op)
{
    exec_event_set((struct exec_event *)op->user);
}

enum status seq_run(struct seq *s, struct write_op *op, struct err *err)
{
    struct exec_event *e = exec_event_new();
    enum status st;

    if (!e) {
        return err_nomem(err);
    }
    op->user = e;
    op->done = run_done;
    st = seq_submit(s, op);
    if (!st && !exec_event_wait(e, -1)) {
        op->st = err_set(&op->err, ST_UNAVAILABLE, "the sequencer has stopped");
    }
    exec_event_free(e);
    if (err) *err = op->err;
    return op->st;
}

static enum status ask_validate(struct write_op *op, struct group *g, struct err *err)
{
    (void)op;
    atomic_store_explicit(&g->s->drain_wanted, true, memory_order_release);
    g->s->drain_retry_ms = 0;
    return err_set(err, ST_END, "nothing to commit");
}

static enum status nothing_validate(struct write_op *op, struct group *g, struct err *err)
{
    (void)op;
    (void)g;
    return err_set(err, ST_END, "nothing to commit");
}

enum status seq_drain(struct seq *s, struct err *err)
{
    static const struct write_kind ask = { .name = "seq.drain", .validate = ask_validate };
    static const struct write_kind wait = { .name = "seq.drained", .validate = nothing_validate };
    struct write_op op = { .kind = &ask };
    enum status st =
        seq_run(s, &op, err); /* its group ends; the next step drains before its group */

    if (st != ST_END) return st;
    op = (struct write_op){ .kind = &wait };
    st = seq_run(s, &op, err);
    if (st != ST_END) return st;
    if (err) *err = (struct err)ERR_INIT;
    if (atomic_load_explicit(&s->drain_wanted, memory_order_acquire)) {
        return err_set(err, ST_UNAVAILABLE, "points could not be moved to packs; see the log");
    }
    return OK;
}

void seq_caps(const struct seq *s, size_t *ops, size_t *bytes)
{
    *ops = s->opt.wait_ops;
    *bytes = s->opt.wait_bytes;
}

size_t seq_hold_bytes(const struct seq *s)
{
    return s->opt.hold_bytes;
}

int64_t seq_applied(const struct seq *s)
{
    return atomic_load_explicit(&s->seen_seq, memory_order_acquire);
}

void seq_applied_now(struct seq *s)
{
    atomic_store_explicit(&s->seen_seq, s->last_seq, memory_order_release);
}

void seq_stats(struct seq *s, struct seq_stats *out)
{
    uint64_t wait = atomic_load_explicit(&s->waiting, memory_order_relaxed);

    *out = (struct seq_stats){
        .waiting = wait >> WAIT_SHIFT,
        .waiting_bytes = wait & (WAIT_ONE - 1),
        .groups = atomic_load_explicit(&s->groups, memory_order_relaxed),
        .ops = atomic_load_explicit(&s->ops, memory_order_relaxed),
        .points = atomic_load_explicit(&s->points, memory_order_relaxed),
        .drains = atomic_load_explicit(&s->drains, memory_order_relaxed),
        .here = atomic_load_explicit(&s->here, memory_order_relaxed),
        .failed_groups = atomic_load_explicit(&s->failed_groups, memory_order_relaxed),
        .last_seq = atomic_load_explicit(&s->seen_seq, memory_order_relaxed),
        .mark = atomic_load_explicit(&s->seen_mark, memory_order_relaxed),
        .drain = atomic_load_explicit(&s->seen_drain, memory_order_relaxed),
        .log_bytes = atomic_load_explicit(&s->seen_log, memory_order_relaxed),
        .replay_bytes = atomic_load_explicit(&s->seen_replay, memory_order_relaxed),
        .replay_max = atomic_load_explicit(&s->seen_replay_max, memory_order_relaxed),
        .replayed_bytes = s->replayed_bytes,
        .replay_ns = s->replay_ns,
        .heads_bytes = atomic_load_explicit(&s->seen_heads, memory_order_relaxed),
        .tails_bytes = atomic_load_explicit(&s->seen_tails, memory_order_relaxed),
        .others = atomic_load_explicit(&s->peers.others, memory_order_relaxed),
        .owner = atomic_load_explicit(&s->peers.seen_owner, memory_order_relaxed),
        .foreign = atomic_load_explicit(&s->peers.foreign, memory_order_relaxed),
        .rebuilt = atomic_load_explicit(&s->peers.rebuilt, memory_order_relaxed),
        .rings = sql_bell_rings(s->peers.bell),
        .bell_up = sql_bell_is_up(s->peers.bell),
        .held_bytes = atomic_load_explicit(&s->held, memory_order_relaxed),
        .unread = atomic_load_explicit(&s->unread, memory_order_relaxed),
    };
}

/* ---- life cycle --------------------------------------------------------------------------------------------------------------- */

static void defaults(struct seq_options *o)
{
    if (o->drain_age_ms == 0) o->drain_age_ms = DRAIN_AGE_MS;
    if (o->drain_bytes == 0) o->drain_bytes = DRAIN_BYTES;
    if (o->head_age_ms == 0) o->head_age_ms = HEAD_AGE_MS;
    if (o->wal_bytes == 0) o->wal_bytes = WAL_BYTES;
    if (o->hold_bytes == 0) o->hold_bytes = HOLD_BYTES;
    if (o->idle_ms == 0) o->idle_ms = IDLE_MS;
    if (o->wait_ops == 0) o->wait_ops = WAIT_OPS;
    if (o->wait_bytes == 0) o->wait_bytes = WAIT_BYTES;
    if (o->lease_ms == 0) o->lease_ms = LEASE_MS;
    if (o->stale_poll_ms == 0) o->stale_poll_ms = STALE_POLL_MS;
    if (o->beat_ms == 0) o->beat_ms = MAX_OF(o->lease_ms / 10, (int64_t)1);
    if (o->alone_ms == 0) o->alone_ms = MIN_OF(3 * o->beat_ms, o->lease_ms);
}

static void seq_free(struct seq *s)
{
    sql_disconnect(s->writer);
    batch_release(&s->g.batch);
    vec_release(&s->g.effects);
    vec_release(&s->g.pending_log);
    vec_release(&s->aside);
    str_map_release(&s->g.pending);
    arena_free(s->g.arena);
    mem_free(s);
}

enum status seq_open(struct seq **out, const struct seq_options *opt, struct err *err)
{
    struct seq *s = (struct seq *)mem_zalloc(1, sizeof(*s));
    enum status st;

    *out = NULL;
    if (!s) {
        sql_disconnect(opt->writer);
        return err_nomem(err);
    }
    s->opt = *opt;
    defaults(&s->opt);
    s->db = opt->db;
    s->writer = opt->writer;
    s->mkeys = opt->mkeys;
    s->heads = opt->heads;
    s->series = opt->series;
    s->log_since_ms = -1;
    s->idle_since_ms = clock_mono_ms();
    s->checkpointed = sql_wal_kept(s->writer) == 0; /* else a kill has left it */
    s->tag_state = rand_u64();
    s->g.s = s;
    s->g.effects.max = EFFECTS_MAX;
    s->g.pending_log.max = PENDING_MAX;
    s->aside.max = ASIDE_MAX;
    s->g.pending.max = PENDING_MAX;
    batch_init(&s->g.batch);
    mpsc_init(&s->inbox);
    mpsc_init(&s->peers.readers);
    s->g.arena = arena_new(GROUP_ARENA_MAX);
    st = s->g.arena ? seq_join(s, err) : err_nomem(err);
    if (!st) seq_note_replay(s); /* a start does not shorten what the next one would read */
    if (!st) st = exec_actor_new(&s->actor, "sequencer", seq_step, s, err);
    if (st) {
        if (s->peers.joined) seq_leave(s);
        seq_free(s);
        return st;
    }
    seq_bell_open(s);
    exec_actor_wake(s->actor); /* what was replayed may be due */
    *out = s;
    return OK;
}

void seq_abandon(struct seq *s)
{
    if (!s) {
        return;
    }
    atomic_store_explicit(&s->abandoned, true, memory_order_release);
    atomic_store_explicit(&s->stopping, true, memory_order_release);
    seq_bell_off(s);
    exec_actor_free(s->actor);
    seq_bell_close(s);
    seq_free(s);
}

/* The last server leaves nothing in the log; others go on with it. */
static bool seq_drains_at_end(struct seq *s)
{
    return !s->peers.on || (seq_may_write(s) && seq_alone(s));
}

void seq_close(struct seq *s)
{
    struct err err = ERR_INIT;

    if (!s) {
        return;
    }
    atomic_store_explicit(&s->stopping, true, memory_order_release);
    seq_bell_off(s);
    exec_actor_free(s->actor);
    seq_bell_close(s);
    if (s->doubt == DOUBT_NONE) {
        if (seq_drains_at_end(s) && seq_drain_now(s, true, &err)) {
            LOG_WARN("store", "the log stays for the next start: %s", err.message);
        }
        (void)seq_checkpoint(s, true);
    }
    seq_leave(s);
    seq_free(s);
}
