/* The sequencer as a role: a thread that submits commits a small group itself, hands over what is long or not its own, and nobody is
 * forgotten when several threads and the sequencer's own want the role at once. */
#include "tap.h"

#include "base/clock.h"
#include "base/exec.h"
#include "core/core_open.h"

#include <stdatomic.h>

enum { THREADS = 4, BURSTS = 60, BURST = 3, SLOW_EVERY = 7 };

/* ---- operations without records ------------------------------------------------------------------------------------ */

struct count {
    struct write_op op;
    struct book *book;
    int who, n;
};

/* Not atomic: only who holds the role touches it. */
struct book {
    int validated, applied, last[THREADS + 1], disorder;
};

static int64_t clock_ns = 1000000000, cost_ns;

static enum status count_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct count *c = WRITE_OP_OF(op, struct count);

    (void)g;
    (void)err;
    clock_ns += cost_ns;
    c->book->validated++;
    c->book->disorder += c->book->last[c->who] + 1 != c->n;
    c->book->last[c->who] = c->n;
    return OK;
}

static void count_apply(struct write_op *op)
{
    WRITE_OP_OF(op, struct count)->book->applied++;
}

static const struct write_kind brief_kind = {
    .name = "test.brief", .validate = count_validate, .apply = count_apply, .brief = true
};
static const struct write_kind long_kind = { .name = "test.long",
                                             .validate = count_validate,
                                             .apply = count_apply };

static void done(struct write_op *op)
{
    ++*(int *)op->user;
}

static struct count *count_new(struct arena *a, const struct write_kind *kind, struct book *book,
                               int who, int n)
{
    struct count *c = ARENA_NEW(a, struct count);

    write_op_init(&c->op, kind, a);
    c->book = book;
    c->who = who;
    c->n = n;
    return c;
}

/* Nothing rests or is drained by age meanwhile. */
static struct core *store_open(void)
{
    struct core_options opt = { .sql = { .location = t_tmpdir() },
                                .artifact_root = S("/a"),
                                .readers = 1,
                                .idle_ms = 3600000,
                                .drain_age_ms = 36000000 };
    struct err err = ERR_INIT;
    struct core *core = NULL;

    T_ST_ERR(core_open(&core, &opt, &err), OK, &err);
    return core;
}

static uint64_t groups_here(struct core *core)
{
    struct seq_stats s;

    seq_stats(core->seq, &s);
    return s.here;
}

/* ---- one thread, and a clock that moves while operations are validated ------------------------------------------------ */

static int64_t test_wall(void *ctx)
{
    (void)ctx;
    return 1700000000000;
}

static int64_t test_mono(void *ctx)
{
    (void)ctx;
    return clock_ns;
}

static const struct clock_ops test_clock = { .wall_ms = test_wall, .mono_ns = test_mono };

struct bench {
    struct core *core;
    struct arena *a;
    struct book book;
    int answered, n;
};

static void submit(struct bench *b, const struct write_kind *kind, size_t bytes)
{
    struct count *c = count_new(b->a, kind, &b->book, 0, ++b->n);

    c->op.done = done;
    c->op.user = &b->answered;
    c->op.bytes = bytes;
    T_ST(seq_submit_quiet(b->core->seq, &c->op), OK);
}

static void run_others(void)
{
    while (exec_sim_step()) {
    }
}

/* The sequencer rests; the first group after that is its thread's. */
static void begin(struct bench *b)
{
    *b = (struct bench){ .a = arena_new(16 << 20) };
    cost_ns = 0;
    clock_replace(&test_clock);
    exec_sim_begin(1);
    b->core = store_open();
    clock_ns += 3600 * INT64_C(1000000000);
    run_others();
    submit(b, &brief_kind, 10);
    T_INT(seq_here(b->core->seq), -1);
    T_INT(b->answered, 0);
    run_others();
    T_INT(b->answered, 1);
    T_INT(groups_here(b->core), 0);
}

static void end(struct bench *b)
{
    core_close(b->core);
    exec_sim_end();
    clock_replace(NULL);
    T_INT(b->book.disorder, 0);
    T_INT(b->book.validated, b->n);
    T_INT(b->book.applied, b->n);
    T_INT(b->answered, b->n);
    arena_free(b->a);
}

TEST(who_submits_commits)
{
    struct bench b;

    begin(&b);
    for (int i = 0; i < 3; i++) {
        submit(&b, &brief_kind, 10);
        T_INT(seq_here(b.core->seq), -1);
        T_INT(b.answered, b.n); /* and nothing else has run */
    }
    T_INT(groups_here(b.core), 3);
    T_INT(seq_here(b.core->seq), -1); /* nothing waits */
    T_INT(groups_here(b.core), 3);
    end(&b);
}

TEST(what_is_long_is_handed_over)
{
    struct bench b;

    begin(&b);
    submit(&b, &brief_kind, 10);
    submit(&b, &long_kind, 10); /* long by its kind */
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 1);
    submit(&b, &brief_kind, 10); /* the role is the thread's until it has run */
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 1);
    run_others();
    T_INT(b.answered, 4);
    submit(&b, &brief_kind, 1 << 20); /* by its size */
    clock_ns += 10000000;
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 4);
    run_others();
    T_INT(b.answered, 5);
    T_INT(groups_here(b.core), 0);
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 6);
    T_INT(groups_here(b.core), 1);
    end(&b);
}

static struct bench *answers_to;

/* A client that is answered writes again, before the thread has ended its group. */
static void done_and_again(struct write_op *op)
{
    done(op);
    submit(answers_to, &brief_kind, 10);
    T_INT(seq_here(answers_to->core->seq), 1);
}

TEST(the_thread_does_not_keep_a_crowd)
{
    struct bench b;
    struct count *c;

    begin(&b);
    answers_to = &b;
    c = count_new(b.a, &long_kind, &b.book, 0, ++b.n);
    c->op.done = done_and_again;
    c->op.user = &b.answered;
    T_ST(seq_submit_quiet(b.core->seq, &c->op), OK);
    T_INT(seq_here(b.core->seq), -1);
    run_others();
    T_INT(b.answered, 2); /* what came meanwhile is left to who brought it */
    clock_ns += 2000000;
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 3);
    T_INT(groups_here(b.core), 1);
    end(&b);
}

TEST(slow_commits_are_the_threads)
{
    struct bench b;

    begin(&b);
    cost_ns = 50000000;
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), -1);
    T_INT(groups_here(b.core), 1);
    cost_ns = 1000;
    submit(&b, &brief_kind, 10); /* the disk was slow: not on this thread */
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 2);
    run_others();
    T_INT(b.answered, 3);
    for (int i = 0; i < 40; i++) { /* until it has been fast often enough */
        submit(&b, &brief_kind, 10);
        T_INT(seq_here(b.core->seq), -1);
        run_others();
    }
    T_OK(groups_here(b.core) > 1);
    end(&b);
}

TEST(a_group_waits_for_those_who_were_answered)
{
    struct bench b;

    begin(&b);
    cost_ns = 100000;
    for (int i = 0; i < 4; i++) {
        submit(&b, &brief_kind, 10);
    }
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 5);
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), 1); /* three more are expected */
    T_INT(b.answered, 5);
    submit(&b, &brief_kind, 10);
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), 1);
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 9);
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), 1);
    clock_ns += 2000000; /* they do not come */
    T_INT(seq_here(b.core->seq), -1);
    T_INT(b.answered, 10);
    for (int i = 0; i < 3; i++) { /* alone, nobody waits */
        submit(&b, &brief_kind, 10);
        T_INT(seq_here(b.core->seq), -1);
        T_INT(b.answered, 11 + i);
    }
    end(&b);
}

/* Submits the next of its kind while it is validated, until `more` are through. */
struct chain {
    struct count count;
    struct bench *bench;
    int more;
};

static void chain_submit(struct bench *b, int more);

static enum status chain_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct chain *c = CONTAINER_OF(WRITE_OP_OF(op, struct count), struct chain, count);

    if (c->more > 0) chain_submit(c->bench, c->more - 1);
    return count_validate(op, g, err);
}

static const struct write_kind chain_kind = { .name = "test.chain",
                                              .validate = chain_validate,
                                              .apply = count_apply };

static void chain_submit(struct bench *b, int more)
{
    struct chain *c = ARENA_NEW(b->a, struct chain);

    write_op_init(&c->count.op, &chain_kind, b->a);
    c->count.book = &b->book;
    c->count.n = ++b->n;
    c->count.op.done = done;
    c->count.op.user = &b->answered;
    c->count.op.bytes = 10;
    c->bench = b;
    c->more = more;
    T_ST(seq_submit_quiet(b->core->seq, &c->count.op), OK);
}

/* Where operations are long, a group that is to be of six begins with the first, and takes what comes while that is validated. */
TEST(a_group_of_long_ones_begins_before_it_is_full)
{
    struct seq_stats before, after;
    struct bench b;

    begin(&b);
    cost_ns = 10000000;
    for (int i = 0; i < 4; i++) {
        submit(&b, &long_kind, 10);
    }
    chain_submit(
        &b,
        1); /* while this is validated, one comes: for the next group, which is on its way then */
    seq_wake(b.core->seq);
    T_OK(exec_sim_step());
    T_INT(b.answered, 6);
    seq_stats(b.core->seq, &before);
    cost_ns = 1000;
    chain_submit(&b, 3);
    run_others();
    seq_stats(b.core->seq, &after);
    T_INT(b.answered, b.n);
    T_INT(after.groups, before.groups + 1);
    end(&b);
}

TEST(what_waits_at_the_end_is_answered)
{
    struct bench b;

    begin(&b);
    submit(&b, &long_kind, 10);
    submit(&b, &brief_kind, 10);
    T_INT(seq_here(b.core->seq), -1); /* handed over, and the thread has not run */
    submit(&b, &brief_kind, 10);
    end(&b);
}

/* ---- threads ---------------------------------------------------------------------------------------------------------- */

struct crowd {
    struct core *core;
    struct book book;
    _Atomic int wrong, left;
    struct exec_event *end;
};

struct member {
    struct exec_job job;
    struct crowd *crowd;
    int who;
    _Atomic int left; /* of the burst */
    struct exec_event *answered;
};

static void member_done(struct write_op *op)
{
    struct member *m = (struct member *)op->user;

    if (op->st) atomic_fetch_add(&m->crowd->wrong, 1);
    if (atomic_fetch_sub(&m->left, 1) == 1) exec_event_set(m->answered);
}

/* As an event loop does it: a burst is submitted, and the rest of the turn is spent as seq_here() says. */
static void burst(struct member *m, struct arena *a, int from)
{
    struct seq *seq = m->crowd->core->seq;
    int64_t ms;

    m->answered = exec_event_new();
    atomic_store(&m->left, BURST);
    for (int i = 0; i < BURST; i++) {
        bool slow = (from + i) % SLOW_EVERY == 0;
        struct count *c =
            count_new(a, slow ? &long_kind : &brief_kind, &m->crowd->book, m->who, from + i);

        c->op.done = member_done;
        c->op.user = m;
        while (seq_submit_quiet(seq, &c->op)) {
            atomic_fetch_add(&m->crowd->wrong, 1);
        }
    }
    do { /* also for what others have left to this one, when its own is answered */
        ms = seq_here(seq);
    } while (!exec_event_wait(m->answered, ms) || ms >= 0);
    exec_event_free(m->answered);
}

static void member_run(struct exec_job *job, unsigned worker)
{
    struct member *m = CONTAINER_OF(job, struct member, job);
    struct arena *a = arena_new(16 << 20);

    (void)worker;
    for (int i = 0; i < BURSTS; i++) {
        arena_reset(a);
        burst(m, a, 1 + i * BURST);
    }
    arena_free(a);
    if (atomic_fetch_sub(&m->crowd->left, 1) == 1) exec_event_set(m->crowd->end);
}

/* Beside them, one that waits for the sequencer's own thread. */
static void other_writes(struct crowd *crowd, struct arena *a)
{
    struct err err = ERR_INIT;

    for (int i = 0; i < BURSTS; i++) {
        struct count *c =
            count_new(a, i % 2 ? &brief_kind : &long_kind, &crowd->book, THREADS, i + 1);

        T_ST_ERR(seq_run(crowd->core->seq, &c->op, &err), OK, &err);
    }
}

TEST_LIMIT(threads_pass_the_role_on, 120)
{
    enum { ALL = THREADS * BURSTS * BURST + BURSTS };
    struct crowd crowd = { .end = exec_event_new() };
    struct arena *a = arena_new(16 << 20);
    struct member members[THREADS];
    struct exec_pool *pool = NULL;
    struct err err = ERR_INIT;
    struct seq_stats s;

    cost_ns = 0;
    crowd.core = store_open();
    atomic_store(&crowd.left, THREADS);
    T_ST_ERR(exec_pool_new(&pool, "member", THREADS, 100, &err), OK, &err);
    for (int i = 0; i < THREADS; i++) {
        members[i] = (struct member){ .job.run = member_run, .crowd = &crowd, .who = i };
        T_ST(exec_pool_submit(pool, &members[i].job), OK);
    }
    other_writes(&crowd, a);
    T_OK(exec_event_wait(crowd.end, -1));
    exec_pool_free(pool);
    seq_stats(crowd.core->seq, &s);
    T_INT(s.waiting, 0);
    T_INT(s.failed_groups, 0);
    core_close(crowd.core);
    T_INT(atomic_load(&crowd.wrong), 0);
    T_INT(crowd.book.validated, ALL);
    T_INT(crowd.book.applied, ALL);
    T_INT(crowd.book.disorder, 0);
    exec_event_free(crowd.end);
    arena_free(a);
}
