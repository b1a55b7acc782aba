/* store/compact.c - see compact.h. One step of the actor does one piece: takes notes, makes a plan and submits it, or looks at a
 * page of owners; what it found due waits in a queue. */
#include "store/compact.h"

#include "base/clock.h"
#include "base/exec.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "gen/sql/queries.h"
#include "store/seq.h"
#include "store/series/merge.h"
#include "store/sql/sql.h"

#include <stdatomic.h>

enum {
    OWNERS_MAX = 1 << 18,
    NOTES_MAX = 1 << 20,
    SCAN_PAGE = 256,
    LOOK_AHEAD = 64, /* owners whose run has ended that are looked at at once */
    SLEEP_PART = 3,  /* sleeps so many times what it computed: a quarter of one core */
    ACTIVE_MS = 250,
    PASSES_MAX = 1 << 14, /* each takes a part of a long series further */
    RETRY_MS = 1000,
    REST_MS = 1000,
    CONFLICTS_MAX = 8,
    NS_PER_MS = 1000000
};

struct note {
    int64_t owner, kn;
    bool ended;
};
struct notes { /* of one drain */
    struct mpsc_node link;
    size_t n;
    struct note p[];
};
struct owner {
    int64_t owner;
    int64_t packs, kn; /* since it was last merged */
    bool ended, queued, bad;
    bool looked, due;   /* `looked`: due says whether its packs give anything to merge */
    struct owner *next; /* in the queue */
};
struct waiter {
    struct waiter *next;
    struct exec_event *event;
    uint64_t target;
    bool done;
};
enum scan { SCAN_FULL, SCAN_MANY, SCAN_DONE };

struct compact {
    struct seq *seq;
    struct sql_conn *conn;
    struct exec_actor *actor;
    struct merger *merger;
    VEC(struct note) pending; /* the sequencer's, until its drain is committed */
    struct mpsc inbox;
    int64_t chunk_points, packs_max;
    struct lock lock; /* guards stopping, waiters and the wake of an answer */
    bool stopping;
    struct waiter *waiters;
    _Atomic bool answered;
    _Atomic uint64_t all_asked, all_done;
    /* The actor's. */
    struct int_map owners;
    struct owner *first, *last;
    uint64_t queued_n;
    enum scan scan;
    int64_t scan_after;
    bool all; /* a round over everything is being made */
    uint64_t all_target;
    int64_t all_owner; /* the one in hand, or the last */
    bool all_again;
    unsigned passes; /* over it */
    struct all_page {
        int64_t owner;
        bool due;
    } page[SCAN_PAGE]; /* owners of packs, by number */
    size_t page_n, page_at;
    int64_t page_after;
    bool pages_done;
    int64_t next_chunks; /* the next owner of chunks */
    bool has_next, no_next;
    struct write_op op;
    struct merge_plan *plan;
    bool submitted, op_all;
    enum merge_mode op_mode;
    int64_t op_owner;
    int conflicts;
    int64_t debt_ns, resume_ms, active_until_ms;
    uint64_t seen_ops, own_ops;
    _Atomic uint64_t merges, points, chunks, failed, cpu_ns, all_owners, waiting;
};

/* ---- notes of the sequencer ---------------------------------------------------------------------------------------------------- */

static void note(struct compact *c, int64_t owner, int64_t kn, bool ended)
{
    struct note *n = vec_add(&c->pending);

    if (n)
        *n =
            (struct note){ owner, kn, ended }; /* without room: a later drain or a start finds it */
}

void compact_packed(struct compact *c, int64_t owner, int64_t kn)
{
    note(c, owner, kn, false);
}

void compact_ended(struct compact *c, int64_t owner)
{
    note(c, owner, 0, true);
}

void compact_drained(struct compact *c)
{
    size_t n = c->pending.n;
    struct notes *m = n ? (struct notes *)mem_alloc(sizeof(*m) + n * sizeof(m->p[0])) : NULL;

    if (m) {
        m->n = n;
        memcpy(m->p, c->pending.p, n * sizeof(m->p[0]));
        if (mpsc_push(&c->inbox, &m->link)) {
            lock_take(&c->lock);
            if (!c->stopping && c->actor) exec_actor_wake(c->actor);
            lock_give(&c->lock);
        }
    }
    vec_release(&c->pending);
}

/* ---- owners --------------------------------------------------------------------------------------------------------------------- */

static struct owner *owner_of(struct compact *c, int64_t uid)
{
    struct owner *o = (struct owner *)int_map_get(&c->owners, (uint64_t)uid);

    if (o) {
        return o;
    }
    o = (struct owner *)mem_zalloc(1, sizeof(*o));
    if (!o) {
        return NULL;
    }
    o->owner = uid;
    if (int_map_put(&c->owners, (uint64_t)uid, o)) {
        mem_free(o);
        return NULL;
    }
    return o;
}

static void forget(struct compact *c, struct owner *o)
{
    (void)int_map_remove(&c->owners, (uint64_t)o->owner);
    mem_free(o);
}

static void enqueue(struct compact *c, struct owner *o)
{
    if (o->queued || o->bad) {
        return;
    }
    o->queued = true;
    o->next = NULL;
    *(c->last ? &c->last->next : &c->first) = o;
    c->last = o;
    c->queued_n++;
}

static struct owner *dequeue(struct compact *c)
{
    struct owner *o = c->first;

    if (o) {
        c->first = o->next;
        if (!c->first) c->last = NULL;
        o->queued = false;
        c->queued_n--;
    }
    return o;
}

/* Too many to remember: everyone is due, and forgotten when merged. */
static void make_room(struct compact *c)
{
    size_t at = 0;
    uint64_t key;
    void *value;

    if (c->owners.n < OWNERS_MAX - 1) {
        return;
    }
    while (int_map_next(&c->owners, &at, &key, &value)) {
        enqueue(c, (struct owner *)value);
    }
}

static void take_notes(struct compact *c)
{
    struct mpsc_node *n = mpsc_take_all(&c->inbox), *next;

    for (; n; n = next) {
        struct notes *m = CONTAINER_OF(n, struct notes, link);

        next = atomic_load_explicit(&n->next, memory_order_relaxed);
        for (size_t i = 0; i < m->n; i++) {
            struct owner *o;

            make_room(c);
            o = owner_of(c, m->p[i].owner);
            if (!o) continue;
            o->packs += !m->p[i].ended;
            o->kn += m->p[i].kn;
            o->ended = o->ended || m->p[i].ended;
            o->looked = false;
            if (o->packs > c->packs_max || o->kn >= c->chunk_points || o->ended) enqueue(c, o);
        }
        mem_free(m);
    }
}

/* ---- the operation ---------------------------------------------------------------------------------------------------------------- */

/* A lease of the store, once there is one, is proved here: first, in the same transaction. */
static enum status merge_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct compact *c = CONTAINER_OF(op, struct compact, op);
    enum status st;

    FAILPOINT("compact.validate");
    st = merge_write(c->plan, group_conn(g), err);
    FAILPOINT("compact.validated");
    return st;
}

static const struct write_kind merge_kind = { .name = "series.merge",
                                              .validate = merge_validate,
                                              .sql = true };

static void merge_done(struct write_op *op)
{
    struct compact *c = CONTAINER_OF(op, struct compact, op);

    atomic_store_explicit(&c->answered, true, memory_order_release);
    lock_take(&c->lock);
    if (!c->stopping) exec_actor_wake(c->actor);
    lock_give(&c->lock);
}

static enum status submit(struct compact *c)
{
    c->op = (struct write_op){ .kind = &merge_kind,
                               .done = merge_done,
                               .bytes = c->plan->bodies.n + c->plan->rest.n };
    atomic_store_explicit(&c->answered, false, memory_order_relaxed);
    c->submitted = true;
    if (seq_submit(c->seq, &c->op)) {
        c->submitted = false;
        return c->op.st;
    }
    c->own_ops++;
    return OK;
}

/* ---- one owner ---------------------------------------------------------------------------------------------------------------------- */

static void wait_a_while(struct compact *c)
{
    c->resume_ms = clock_mono_ms() + RETRY_MS;
}

/* What failed is tried again later, but damage. */
static void failed(struct compact *c, enum status st, const struct err *err)
{
    int64_t uid = c->op_owner;
    struct owner *o = owner_of(c, uid);

    atomic_fetch_add_explicit(&c->failed, 1, memory_order_relaxed);
    if (st == ST_CONFLICT && c->conflicts++ < CONFLICTS_MAX) {
        LOG_DEBUG("store", "merging packs of owner %lld: %s", (long long)uid, err->message);
    } else if (st == ST_CORRUPT) {
        LOG_ERROR("store", "packs of owner %lld are not merged: %s", (long long)uid, err->message);
        if (o) o->bad = true;
    } else {
        LOG_WARN("store", "packs of owner %lld are merged later: %s", (long long)uid, err->message);
        wait_a_while(c);
    }
    if (c->op_all) {
        c->all_again = st != ST_CORRUPT && c->conflicts <= CONFLICTS_MAX;
    } else if (o) {
        o->ended = o->ended || c->op_mode == MERGE_ENDED;
        enqueue(c, o);
    }
}

/* Up to which drain packs may be merged. */
static enum status complete_to(struct compact *c, int64_t owner, int64_t *ver, struct err *err)
{
    struct q_run_ver_row row = { 0 };
    enum status st = q_run_ver(c->conn, NULL, owner, &row, err);

    *ver = st == ST_NOT_FOUND ? INT64_MAX : row.ver; /* the owner of a model series has no row */
    return st == ST_NOT_FOUND ? OK : st;
}

/* Plans and submits; *idle when there was nothing to do. */
static void merge_owner(struct compact *c, int64_t uid, enum merge_mode mode, bool *idle)
{
    struct err err = ERR_INIT;
    int64_t ver = 0;
    enum status st = complete_to(c, uid, &ver, &err);

    *idle = false;
    c->op_owner = uid;
    c->op_mode = mode;
    c->op_all = mode == MERGE_FINAL;
    if (!st) st = merge_make(c->merger, c->conn, uid, ver, mode, &c->plan, &err);
    FAILPOINT("compact.planned");
    if (!st && c->plan->packs_n == 0 && c->plan->gone_n == 0) {
        *idle = true;
    } else if (!st) {
        st = submit(c);
        if (st) err = c->op.err;
    }
    if (st && st != ST_CANCELLED) failed(c, st, &err);
    if (st || *idle) merger_clear(c->merger);
}

static void merge_answered(struct compact *c)
{
    struct owner *o = (struct owner *)int_map_get(&c->owners, (uint64_t)c->op_owner);
    bool more = c->plan->more;

    c->submitted = false;
    if (c->op.st) {
        failed(c, c->op.st, &c->op.err);
    } else {
        c->conflicts = 0;
        atomic_fetch_add_explicit(&c->merges, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&c->points, (uint64_t)c->plan->points, memory_order_relaxed);
        atomic_fetch_add_explicit(&c->chunks, c->plan->chunks_n, memory_order_relaxed);
        if (c->op_all) {
            c->all_again = more && ++c->passes < PASSES_MAX;
        } else if (o && more) {
            o->ended = o->ended || c->op_mode == MERGE_ENDED;
            enqueue(c, o);
        }
        if (o && !o->queued && !o->bad && o->packs == 0 && o->kn == 0) forget(c, o);
    }
    merger_clear(c->merger);
}

/* Whether what an owner's packs hold, in all, is worth a merge once its run has ended. */
static bool is_due(const struct compact *c, int64_t packs, int64_t kn)
{
    return packs > 1 || kn >= c->chunk_points;
}

/* Of the first owners of the queue, those whose run has ended: mostly their points lie in one pack, and stay there. */
static void look_ahead(struct compact *c)
{
    int64_t uids[LOOK_AHEAD];
    struct q_pack_owners_of_row row;
    struct err err = ERR_INIT;
    struct sql_stmt *q = NULL;
    size_t n = 0;
    enum status st;

    for (struct owner *o = c->first; o && n < LOOK_AHEAD && o->ended && !o->looked; o = o->next) {
        o->due = false;
        uids[n++] = o->owner;
    }
    if (n == 0) {
        return;
    }
    st = q_pack_owners_of_open(c->conn, &q, uids, n, &err);
    while (!st && (st = q_pack_owners_of_next(q, &row, &err)) == OK) {
        struct owner *o = (struct owner *)int_map_get(&c->owners, (uint64_t)row.owner);

        if (o) o->due = is_due(c, row.packs, row.kn);
    }
    sql_close(q);
    for (size_t i = 0; i < n && st == ST_END; i++) {
        struct owner *o = (struct owner *)int_map_get(&c->owners, (uint64_t)uids[i]);

        if (o) o->looked = true; /* else it is merged as any other, which says what is wrong */
    }
}

/* The next owner that is due. */
static void merge_due(struct compact *c)
{
    struct owner *o;
    int64_t uid;
    bool ended, idle, skip;

    look_ahead(c);
    do { /* those that give nothing cost nothing */
        o = dequeue(c);
        skip = o->looked && !o->due;
        if (skip) forget(c, o);
    } while (skip && c->first && c->first->looked);
    if (skip) {
        return;
    }
    uid = o->owner;
    ended = o->ended;
    o->packs = o->kn = 0;
    o->ended = o->looked = false;
    merge_owner(c, uid, ended ? MERGE_ENDED : MERGE_TIERED, &idle);
    if (idle) {
        o = (struct owner *)int_map_get(&c->owners, (uint64_t)uid);
        if (o && !o->queued && !o->bad) forget(c, o);
    }
}

/* ---- everything, and what a start finds -------------------------------------------------------------------------------------------- */

/* Those whose round is done, or everybody. */
static void wake_waiters(struct compact *c, bool stopping)
{
    uint64_t done = atomic_load_explicit(&c->all_done, memory_order_acquire);

    lock_take(&c->lock);
    for (struct waiter *w = c->waiters; w; w = w->next) {
        if (w->target <= done) w->done = true;
        if (w->done || stopping) exec_event_set(w->event);
    }
    lock_give(&c->lock);
}

bool compact_wait(struct compact *c, int64_t timeout_ms)
{
    struct waiter w = { .event = exec_event_new(),
                        .target = atomic_load_explicit(&c->all_asked, memory_order_acquire) };
    bool ready;

    if (!w.event) {
        return false;
    }
    lock_take(&c->lock);
    w.done = w.target <= atomic_load_explicit(&c->all_done, memory_order_acquire);
    ready = w.done || c->stopping;
    w.next = c->waiters;
    c->waiters = &w;
    lock_give(&c->lock);
    if (!ready) (void)exec_event_wait(w.event, timeout_ms);
    lock_take(&c->lock);
    for (struct waiter **at = &c->waiters; *at; at = &(*at)->next) {
        if (*at == &w) {
            *at = w.next;
            break;
        }
    }
    lock_give(&c->lock);
    exec_event_free(w.event);
    return w.done;
}

/* Fills the page with the next owners of packs. */
static enum status all_page(struct compact *c, struct err *err)
{
    struct q_pack_owners_sum_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_pack_owners_sum_open(c->conn, &q, c->page_after, SCAN_PAGE, err);

    c->page_n = c->page_at = 0;
    while (!st && (st = q_pack_owners_sum_next(q, &row, err)) == OK) {
        c->page[c->page_n++] = (struct all_page){ row.owner, is_due(c, row.packs, row.kn) };
        c->page_after = row.owner;
    }
    sql_close(q);
    c->pages_done = c->page_n < SCAN_PAGE;
    return st == ST_END ? OK : st;
}

/* The next owner that may have something: it has chunks, or packs that are worth a merge. *found false: the page is at its end. */
static enum status all_next(struct compact *c, bool *found, struct err *err)
{
    struct q_chunk_next_owner_row row = { 0 };
    enum status st = OK;

    *found = false;
    if (!c->has_next && !c->no_next) {
        st = q_chunk_next_owner(c->conn, NULL, c->all_owner, &row, err);
        if (st) return st;
        c->no_next = row.owner_null;
        c->has_next = !c->no_next;
        c->next_chunks = row.owner;
    }
    if (c->page_at == c->page_n && !c->pages_done) {
        return all_page(c, err);
    }
    while (!*found && c->page_at < c->page_n) {
        const struct all_page *o = &c->page[c->page_at];

        if (c->has_next && c->next_chunks < o->owner) break;
        *found = o->due || (c->has_next && c->next_chunks == o->owner);
        if (c->has_next && c->next_chunks == o->owner) c->has_next = false;
        c->all_owner = o->owner;
        c->page_at++;
        atomic_fetch_add_explicit(&c->all_owners, 1, memory_order_relaxed);
    }
    if (!*found && c->has_next && (c->page_at < c->page_n || c->pages_done)) {
        *found = true;
        c->all_owner = c->next_chunks;
        c->has_next = false;
        atomic_fetch_add_explicit(&c->all_owners, 1, memory_order_relaxed);
    }
    return OK;
}

static void all_step(struct compact *c)
{
    struct err err = ERR_INIT;
    bool idle = true, found = c->all_again;
    enum status st = found ? OK : all_next(c, &found, &err);

    if (st) {
        LOG_WARN("store", "compaction waits: %s", err.message);
        wait_a_while(c);
        return;
    }
    if (!c->all_again) c->passes = 0;
    c->all_again = false;
    if (found) {
        merge_owner(c, c->all_owner, MERGE_FINAL, &idle);
    } else if (c->page_at == c->page_n && c->pages_done && c->no_next) {
        c->all = false;
        atomic_store_explicit(&c->all_done, c->all_target, memory_order_release);
        wake_waiters(c, false);
    }
}

static bool all_begin(struct compact *c)
{
    uint64_t asked = atomic_load_explicit(&c->all_asked, memory_order_acquire);

    if (!c->all && asked != atomic_load_explicit(&c->all_done, memory_order_relaxed)) {
        c->all = true;
        c->all_again = false;
        c->all_target = asked;
        c->all_owner = c->page_after = INT64_MIN;
        c->page_n = c->page_at = 0;
        c->pages_done = c->has_next = c->no_next = false;
        c->conflicts = 0;
        atomic_store_explicit(&c->all_owners, 0, memory_order_relaxed);
    }
    return c->all;
}

static enum status scan_full(struct compact *c, size_t *rows, struct err *err)
{
    struct q_pack_owners_full_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_pack_owners_full_open(c->conn, &q, c->scan_after, SCAN_PAGE, err);

    while (!st && (st = q_pack_owners_full_next(q, &row, err)) == OK) {
        struct owner *o = owner_of(c, row.owner);

        (*rows)++;
        c->scan_after = row.owner;
        if (o) enqueue(c, o);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static enum status scan_many(struct compact *c, size_t *rows, struct err *err)
{
    struct q_pack_owners_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_pack_owners_open(c->conn, &q, c->scan_after, SCAN_PAGE, err);

    while (!st && (st = q_pack_owners_next(q, &row, err)) == OK) {
        struct owner *o = row.packs > c->packs_max ? owner_of(c, row.owner) : NULL;

        (*rows)++;
        c->scan_after = row.owner;
        if (o) enqueue(c, o);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

static void scan_step(struct compact *c)
{
    struct err err = ERR_INIT;
    size_t rows = 0;
    enum status st = c->scan == SCAN_FULL ? scan_full(c, &rows, &err) : scan_many(c, &rows, &err);

    if (st) {
        LOG_WARN("store", "compaction waits: %s", err.message);
        wait_a_while(c);
    } else if (rows < SCAN_PAGE) {
        c->scan++;
        c->scan_after = INT64_MIN;
    }
}

/* ---- the actor ---------------------------------------------------------------------------------------------------------------------- */

/* Now, or a moment ago: a commit may take longer than a step here. */
static bool writers_are_active(struct compact *c, int64_t now)
{
    struct seq_stats s;
    uint64_t others;

    seq_stats(c->seq, &s);
    others = s.ops - MIN_OF(c->own_ops, s.ops);
    if (s.waiting > 1 || others > c->seen_ops) c->active_until_ms = now + ACTIVE_MS;
    c->seen_ops = others;
    return now < c->active_until_ms;
}

/* Of several servers on one database, the one that drains also merges what is left from before. */
static bool is_drainer(struct compact *c)
{
    struct seq_stats s;

    seq_stats(c->seq, &s);
    return s.owner || s.drains > 0;
}

/* One piece of work; false when there is none. */
static bool work(struct compact *c)
{
    if (all_begin(c)) {
        all_step(c);
    } else if (c->first) {
        merge_due(c);
    } else if (c->scan != SCAN_DONE && is_drainer(c)) {
        scan_step(c);
    } else {
        return false;
    }
    return true;
}

static int64_t compact_step(void *ctx)
{
    struct compact *c = (struct compact *)ctx;
    int64_t began = clock_thread_cpu_ns(), now = clock_mono_ms(), used;
    bool more;

    lock_take(&c->lock);
    more = !c->stopping;
    lock_give(&c->lock);
    if (!more) {
        return -1;
    }
    take_notes(c);
    if (c->submitted) {
        if (!atomic_load_explicit(&c->answered, memory_order_acquire)) {
            return -1;
        }
        merge_answered(c);
    }
    if (now < c->resume_ms) {
        return c->resume_ms - now;
    }
    more = work(c);
    atomic_store_explicit(&c->waiting, c->queued_n, memory_order_relaxed);
    used = clock_thread_cpu_ns() - began;
    atomic_fetch_add_explicit(&c->cpu_ns, (uint64_t)used, memory_order_relaxed);
    if (!writers_are_active(c, clock_mono_ms())) {
        c->debt_ns = 0;
    } else {
        c->debt_ns += used * SLEEP_PART;
    }
    if (c->debt_ns >= NS_PER_MS) {
        c->resume_ms = MAX_OF(c->resume_ms, clock_mono_ms() + c->debt_ns / NS_PER_MS);
        c->debt_ns %= NS_PER_MS;
    }
    if (c->submitted) {
        return -1;
    }
    if (!more) { /* looks again when nobody writes */
        if (c->active_until_ms > now) return MAX_OF(c->active_until_ms - now, (int64_t)REST_MS);
        sql_rest(c->conn);
        return -1;
    }
    now = clock_mono_ms();
    return c->resume_ms > now ? c->resume_ms - now : 0;
}

void compact_all(struct compact *c)
{
    atomic_fetch_add_explicit(&c->all_asked, 1, memory_order_release);
    lock_take(&c->lock);
    if (!c->stopping && c->actor) exec_actor_wake(c->actor);
    lock_give(&c->lock);
}

void compact_stats(struct compact *c, struct compact_stats *out)
{
    *out = (struct compact_stats){
        .merges = atomic_load_explicit(&c->merges, memory_order_relaxed),
        .points = atomic_load_explicit(&c->points, memory_order_relaxed),
        .chunks = atomic_load_explicit(&c->chunks, memory_order_relaxed),
        .failed = atomic_load_explicit(&c->failed, memory_order_relaxed),
        .cpu_ns = atomic_load_explicit(&c->cpu_ns, memory_order_relaxed),
        .owners = atomic_load_explicit(&c->all_owners, memory_order_relaxed),
        .waiting = atomic_load_explicit(&c->waiting, memory_order_relaxed),
        .all_rounds = atomic_load_explicit(&c->all_done, memory_order_acquire),
    };
    out->all_wanted = out->all_rounds != atomic_load_explicit(&c->all_asked, memory_order_acquire);
}

/* ---- life cycle --------------------------------------------------------------------------------------------------------------------- */

enum status compact_new(struct compact **out, const struct compact_options *opt, struct err *err)
{
    struct compact *c = (struct compact *)mem_zalloc(1, sizeof(*c));

    *out = NULL;
    if (!c) {
        return err_nomem(err);
    }
    c->owners.max = OWNERS_MAX;
    c->pending.max = NOTES_MAX;
    c->scan_after = INT64_MIN;
    mpsc_init(&c->inbox);
    lock_init(&c->lock, LOCK_RANK_CACHE);
    c->merger = merger_new(opt->chunk_points, opt->rewrite);
    c->chunk_points = opt->chunk_points ? (int64_t)opt->chunk_points : (int64_t)CHUNK_POINTS;
    c->packs_max = opt->packs ? (int64_t)opt->packs : (int64_t)MERGE_PACKS;
    if (!c->merger) {
        compact_free(c);
        return err_nomem(err);
    }
    *out = c;
    return OK;
}

enum status compact_start(struct compact *c, struct seq *seq, struct sql_conn *reader,
                          struct err *err)
{
    struct exec_actor *actor = NULL;
    enum status st;

    c->seq = seq;
    c->conn = reader;
    st = exec_actor_new(&actor, "compactor", compact_step, c, err);
    if (st) return st;
    lock_take(&c->lock);
    c->actor = actor;
    lock_give(&c->lock);
    exec_actor_wake(actor);
    return OK;
}

void compact_stop(struct compact *c)
{
    if (!c || !c->actor) {
        return;
    }
    lock_take(&c->lock);
    c->stopping = true;
    lock_give(&c->lock);
    merger_cancel(c->merger);
    wake_waiters(c, true);
    exec_actor_free(c->actor);
    sql_disconnect(c->conn);
    c->conn = NULL;
}

void compact_free(struct compact *c)
{
    size_t at = 0;
    uint64_t key;
    void *value;

    if (!c) {
        return;
    }
    sql_disconnect(c->conn);
    for (struct mpsc_node *n = mpsc_take_all(&c->inbox), *next; n; n = next) {
        next = atomic_load_explicit(&n->next, memory_order_relaxed);
        mem_free(CONTAINER_OF(n, struct notes, link));
    }
    while (int_map_next(&c->owners, &at, &key, &value)) {
        mem_free(value);
    }
    int_map_release(&c->owners);
    vec_release(&c->pending);
    merger_free(c->merger);
    lock_release(&c->lock);
    mem_free(c);
}
