/* store/seq_here.c - the sequencer as a role: who holds it, how a group is timed and gathered, and the short groups that the
 * thread which submits commits by itself (decisions/106-gathering.md, decisions/180-sequencer-as-role.md). */
#include "store/seq_int.h"

#include "base/clock.h"
#include "store/sql/sql.h"

enum {
    STOP_LINGER_US = 100,
    GATHER_MAX = 32, /* operations: a group of these costs little more each than a larger one */
    GATHER_MAX_US = 1000, /* no wait is longer */
    GATHER_SKIP_MAX = 63,
    GATHER_BUNCH_NS = 100000, /* operations that take so long are worth a wake-up */
    HERE_COST_NS = 500000,    /* a group that takes longer is slow */
    HERE_SLOW_ONE =
        4, /* what one adds, each other one takes one away: a fifth of all may be slow */
    HERE_SLOW = 32,
    HERE_SLOW_MAX = 64,
    HERE_OPS_MAX = 128,
    HERE_OP_BYTES = 32 << 10
};

/* ---- gathering ------------------------------------------------------------------------------------------------------------
 * A commit costs the same for one operation and for twenty. Clients that wait for their answers fall into two halves: one writes
 * while the other's group is committed. So a group that follows another one waits for those who were just answered, but not
 * longer than twice what a commit takes, and not when such a wait was in vain. Alone, nobody waits. */

size_t seq_waiting_ops(struct seq *s)
{
    return atomic_load_explicit(&s->waiting, memory_order_seq_cst) >> WAIT_SHIFT;
}

/* What nobody but the thread does: everything that is long, and what comes first after a rest, so that it knows when to look. */
static bool may_be_here(const struct seq *s)
{
    return sql_conn_engine(s->writer) == SQL_SQLITE && !s->peers.on && s->slow < HERE_SLOW &&
           s->doubt == DOUBT_NONE && !s->checkpointed && s->log_since_ms >= 0;
}

/* How many are to wait before the next group: 0 = it need not wait. */
static size_t gather_want(struct seq *s, size_t had)
{
    struct gather *g = &s->gather;
    size_t crowd = s->g.ops_n + had, want = MIN_OF(crowd - crowd / 8, (size_t)GATHER_MAX);

    if (crowd < 2 || had >= want || (s->peers.on && !seq_alone(s))) {
        return 0;
    }
    if (g->skip > 0) {
        g->skip--;
        return 0;
    }
    return want;
}

/* How long they may take. */
static int64_t gather_ns(const struct gather *g)
{
    return MIN_OF(2 * g->took_ns, (int64_t)GATHER_MAX_US * 1000);
}

/* Was it worth the wait? */
static void gather_judge(struct gather *g, size_t want, size_t had, size_t has)
{
    if (has >= want || has - MIN_OF(had, has) >= (want - had) / 2) {
        g->off = 0;
    } else if (has > 0) { /* for these it was in vain */
        g->off = MIN_OF(2 * g->off + 1, (unsigned)GATHER_SKIP_MAX);
        g->skip = g->off;
    }
}

/* After a group, where the next one is seq_here()'s: loops come back until enough wait. */
static void gather_here(struct seq *s, int64_t now_ns)
{
    struct gather *g = &s->gather;

    g->had = seq_waiting_ops(s);
    atomic_store_explicit(&g->here_next, true, memory_order_relaxed);
    atomic_store_explicit(&g->here_until_ns, now_ns + gather_ns(g), memory_order_relaxed);
    atomic_store_explicit(&g->here_want, gather_want(s, g->had), memory_order_relaxed);
}

/* A transaction that stays open meanwhile is in nobody's way. */
static bool gathers_in_parts(const struct seq *s)
{
    return sql_conn_engine(s->writer) == SQL_SQLITE && !s->peers.on;
}

/* Long operations are validated while the rest of their group is on its way: waits until a few more than this group has taken are
 * there, short ones until all are. Sets the goal to 0 when it is reached or the time is over. */
static void gather_wait(struct seq *s, size_t taken)
{
    struct gather *g = &s->gather;
    size_t want = g->goal, bunch = (size_t)(GATHER_BUNCH_NS / (g->op_ns + 1)) + 1, has;
    int64_t began = clock_mono_ns(), left = g->goal_until_ns - began;
    bool woken = left > 0;

    if (gathers_in_parts(s)) want = MIN_OF(want, taken + bunch);
    /* seq_cst, with seq_wake(): either it sees that nobody is to be woken before `want`, or this sees what it has submitted. */
    atomic_store_explicit(&g->want, want, memory_order_seq_cst);
    has = seq_waiting_ops(s);
    if (has < want && woken) {
        woken = exec_actor_linger(s->actor, left / 1000);
        has = seq_waiting_ops(s);
        g->waited_ns += clock_mono_ns() - began;
    }
    atomic_store_explicit(&g->want, 0, memory_order_seq_cst);
    if (has < g->goal && woken && !atomic_load_explicit(&s->stopping, memory_order_acquire)) {
        return;
    }
    gather_judge(g, g->goal, g->had, has);
    g->goal = 0;
}

void seq_gather(struct seq *s)
{
    struct gather *g = &s->gather;
    size_t had = seq_waiting_ops(s);

    if (may_be_here(s)) {
        gather_here(s, clock_mono_ns());
        return;
    }
    atomic_store_explicit(&g->here_next, false, memory_order_relaxed);
    g->goal = gather_want(s, had);
    if (g->goal == 0) {
        return;
    }
    g->had = had;
    g->goal_until_ns = clock_mono_ns() + gather_ns(g);
    gather_wait(s, 0);
    if (!gathers_in_parts(s)) g->goal = 0;
}

bool seq_gather_more(struct seq *s)
{
    while (s->gather.goal > 0) {
        seq_take_inbox(s);
        if (s->first) return true;
        gather_wait(s, s->g.ops_n);
    }
    seq_take_inbox(s);
    return s->first != NULL;
}

void seq_gather_learn(struct seq *s, size_t n, int64_t ns)
{
    if (n > 0) s->gather.op_ns += (ns / (int64_t)n - s->gather.op_ns) / 4;
}

bool seq_leaves_to_loops(const struct seq *s)
{
    return atomic_load_explicit(&s->gather.here_next, memory_order_relaxed);
}

static bool gather_is_on(struct seq *s)
{
    size_t want = atomic_load_explicit(&s->gather.here_want, memory_order_relaxed);

    return want > 0 && seq_waiting_ops(s) < want &&
           clock_mono_ns() < atomic_load_explicit(&s->gather.here_until_ns, memory_order_relaxed);
}

/* Runs a group, and learns from the time that it takes whether loops may run the next ones. */
void seq_group_timed(struct seq *s, int64_t now)
{
    int64_t began_ns = clock_mono_ns(), took_ns;
    struct gather *g = &s->gather;

    atomic_store_explicit(
        &g->here_next, may_be_here(s) && !atomic_load_explicit(&s->stopping, memory_order_acquire),
        memory_order_relaxed);
    g->waited_ns = 0;
    seq_group_run(s);
    g->goal = 0;
    took_ns = clock_mono_ns() - began_ns - g->waited_ns;
    g->took_ns += (MIN_OF(took_ns, (int64_t)GATHER_MAX_US * 1000) - g->took_ns) / 8;
    if (took_ns > HERE_COST_NS) {
        int64_t times = MIN_OF(took_ns / HERE_COST_NS, (int64_t)HERE_SLOW / HERE_SLOW_ONE);

        s->slow = MIN_OF(s->slow + (unsigned)times * HERE_SLOW_ONE, (unsigned)HERE_SLOW_MAX);
    } else if (s->slow > 0) {
        s->slow--;
    }
    s->idle_since_ms = now;
    s->checkpointed = false;
    heads_evict(s->heads);
}

/* ---- the role ------------------------------------------------------------------------------------------------------------------
 * The orders are seq_cst: who finds the role taken has pushed its operations before, and who gives it back looks at the inbox
 * afterwards, so one of the two sees to them. */

/* False: a thread in seq_here() has it, and hands it over. */
static bool role_for_thread(struct seq *s)
{
    unsigned role = atomic_load_explicit(&s->role, memory_order_seq_cst), to;

    do {
        if (role == ROLE_THREAD) return true;
        to = role == ROLE_FREE ? ROLE_THREAD : ROLE_CALLED;
    } while (!atomic_compare_exchange_weak_explicit(&s->role, &role, to, memory_order_seq_cst,
                                                    memory_order_seq_cst));
    return to == ROLE_THREAD;
}

static void role_hand_over(struct seq *s)
{
    atomic_store_explicit(&s->gather.here_next, false, memory_order_relaxed);
    atomic_store_explicit(&s->role, ROLE_THREAD, memory_order_seq_cst);
    exec_actor_wake(s->actor);
}

int64_t seq_step(void *ctx)
{
    struct seq *s = (struct seq *)ctx;
    int64_t again;

    while (!role_for_thread(s)) {
        if (!atomic_load_explicit(&s->stopping, memory_order_acquire)) {
            return -1; /* whoever has it wakes */
        }
        (void)exec_actor_linger(s->actor, STOP_LINGER_US);
    }
    again = seq_thread_step(s);
    atomic_store_explicit(&s->role, ROLE_FREE, memory_order_seq_cst);
    return again;
}

/* What waits is little, and none of it is long. */
static bool is_brief(const struct seq *s)
{
    size_t n = 0;

    for (const struct write_op *op = s->first; op; op = op->next) {
        if (!op->kind->brief || op->bytes > HERE_OP_BYTES || ++n > HERE_OPS_MAX) {
            return false;
        }
    }
    return true;
}

/* False: the thread has to go on. */
static bool group_here(struct seq *s)
{
    int64_t now = clock_mono_ms();
    size_t want;

    if (atomic_load_explicit(&s->stopping, memory_order_acquire) || !may_be_here(s) ||
        atomic_load_explicit(&s->drain_wanted, memory_order_acquire) ||
        seq_drain_is_due(s, now, false)) {
        return false;
    }
    seq_take_inbox(s);
    if (!is_brief(s)) return false;
    if (!s->first) return true;
    want = atomic_load_explicit(&s->gather.here_want, memory_order_relaxed);
    if (want > 0) gather_judge(&s->gather, want, s->gather.had, seq_waiting_ops(s));
    s->gather.goal = 0;
    seq_group_timed(s, now);
    gather_here(s, clock_mono_ns());
    atomic_fetch_add_explicit(&s->here, 1, memory_order_relaxed);
    seq_show(s);
    return s->doubt == DOUBT_NONE && !s->first && !seq_checkpoint_due(s);
}

/* When to come back for what waits. */
static int64_t here_again(struct seq *s)
{
    return mpsc_is_empty(&s->inbox) ? -1 : gather_is_on(s) ? 1 : 0;
}

int64_t seq_here(struct seq *s)
{
    unsigned role = ROLE_FREE;
    int64_t again = here_again(s);

    if (again != 0) {
        return again;
    }
    if (!atomic_compare_exchange_strong_explicit(&s->role, &role, ROLE_HERE, memory_order_seq_cst,
                                                 memory_order_seq_cst)) {
        if (role != ROLE_THREAD) return -1;
        /* The thread would keep what comes during its groups for ever: there is always something. */
        if (seq_leaves_to_loops(s)) return 1;
        seq_wake(s);
        return -1;
    }
    if (!group_here(s)) {
        role_hand_over(s);
        return -1;
    }
    role = ROLE_HERE;
    if (!atomic_compare_exchange_strong_explicit(&s->role, &role, ROLE_FREE, memory_order_seq_cst,
                                                 memory_order_seq_cst)) {
        role_hand_over(s); /* the thread has asked */
        return -1;
    }
    return here_again(s);
}
