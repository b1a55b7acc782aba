/* Threads: pools, actors, queues, locks and events under contention. Run under the thread sanitizer as well. */
#include "base/exec.h"
#include "base/inbox.h"
#include "base/mem.h"
#include "tap.h"
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

struct count_job {
    struct exec_job job;
    _Atomic int *n;
    unsigned workers;
};

static void count_run(struct exec_job *job, unsigned worker)
{
    struct count_job *c = CONTAINER_OF(job, struct count_job, job);

    CHECK(worker < c->workers);
    atomic_fetch_add(c->n, 1);
}

TEST(pool_runs_everything)
{
    static struct count_job jobs[2000];
    _Atomic int n = 0;
    struct exec_pool *p;
    struct err err = ERR_INIT;

    T_ST_ERR(exec_pool_new(&p, "test", 3, ARRAY_N(jobs), &err), OK, &err);
    T_UINT(exec_pool_workers(p), 3);
    for (size_t i = 0; i < ARRAY_N(jobs); i++) {
        jobs[i] = (struct count_job){ { count_run, NULL }, &n, 3 };
        T_ST(exec_pool_submit(p, &jobs[i].job), OK);
    }
    exec_pool_free(p); /* runs what is queued */
    T_INT(n, ARRAY_N(jobs));
    exec_pool_free(NULL);
}

struct gate_job {
    struct exec_job job;
    struct exec_event *started, *go;
};

static void gate_run(struct exec_job *job, unsigned worker ATTR_UNUSED)
{
    struct gate_job *g = CONTAINER_OF(job, struct gate_job, job);

    exec_event_set(g->started);
    CHECK(exec_event_wait(g->go, -1));
}

TEST(pool_queue_is_bounded)
{
    struct gate_job gate = { { gate_run, NULL }, exec_event_new(), exec_event_new() };
    _Atomic int n = 0;
    struct count_job jobs[3];
    struct exec_pool *p;

    T_ST(exec_pool_new(&p, "test", 1, 2, NULL), OK);
    T_ST(exec_pool_submit(p, &gate.job), OK);
    T_OK(exec_event_wait(gate.started, -1));
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct count_job){ { count_run, NULL }, &n, 1 };
    }
    T_ST(exec_pool_submit(p, &jobs[0].job), OK);
    T_ST(exec_pool_submit(p, &jobs[1].job), OK);
    T_ST(exec_pool_submit(p, &jobs[2].job), ST_UNAVAILABLE);
    T_UINT(exec_pool_queued(p), 2);
    exec_event_set(gate.go);
    exec_pool_free(p);
    T_INT(n, 2);
    exec_event_free(gate.started);
    exec_event_free(gate.go);
}

TEST(pool_refuses)
{
    struct exec_pool *p = (struct exec_pool *)&p;
    struct err err = ERR_INIT;

    T_ST(exec_pool_new(&p, "none", 0, 1, &err), ST_INVALID);
    T_OK(p == NULL);
    T_ST(exec_pool_new(&p, "many", 100000, 1, &err), ST_INVALID);
    mem_fail_after(1, true);
    T_ST(exec_pool_new(&p, "x", 1, 1, &err), ST_NOMEM);
    mem_fail_after(1, true);
    T_OK(exec_event_new() == NULL);
    mem_fail_never();
}

enum { PUSHERS = 4, PUSHES = 20000 };

struct item {
    struct mpsc_node node;
    unsigned from, seq;
};

struct consumer {
    struct mpsc q;
    struct exec_actor *actor;
    struct exec_event *done;
    unsigned next[PUSHERS], n, steps;
};

struct pusher {
    struct exec_job job;
    struct consumer *to;
    unsigned index;
    struct item items[PUSHES];
};

static int64_t consume(void *ctx)
{
    struct consumer *c = ctx;

    c->steps++;
    for (struct mpsc_node *n = mpsc_take_all(&c->q); n;) {
        struct item *it = CONTAINER_OF(n, struct item, node);

        n = atomic_load_explicit(&n->next, memory_order_relaxed);
        CHECK(it->seq == c->next[it->from]); /* each producer's own order is kept */
        c->next[it->from]++;
        if (++c->n == PUSHERS * PUSHES) {
            exec_event_set(c->done);
        }
    }
    return -1;
}

static void push_run(struct exec_job *job, unsigned worker ATTR_UNUSED)
{
    struct pusher *p = CONTAINER_OF(job, struct pusher, job);

    for (unsigned i = 0; i < PUSHES; i++) {
        p->items[i].from = p->index;
        p->items[i].seq = i;
        if (mpsc_push(&p->to->q, &p->items[i].node)) {
            exec_actor_wake(p->to->actor);
        }
    }
}

/* Only the push that found the queue empty wakes, and nothing is left lying. */
TEST(actor_consumes_a_queue)
{
    static struct pusher pushers[PUSHERS];
    static struct consumer c;
    struct exec_pool *p;

    mpsc_init(&c.q);
    c.done = exec_event_new();
    T_ST(exec_actor_new(&c.actor, "consumer", consume, &c, NULL), OK);
    T_ST(exec_pool_new(&p, "push", PUSHERS, PUSHERS, NULL), OK);
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i].job.run = push_run;
        pushers[i].to = &c;
        pushers[i].index = i;
        T_ST(exec_pool_submit(p, &pushers[i].job), OK);
    }
    T_OK(exec_event_wait(c.done, 30000));
    exec_pool_free(p);
    exec_actor_free(c.actor);
    exec_event_free(c.done);
    T_UINT(c.n, PUSHERS * PUSHES);
    T_OK(c.steps <= PUSHERS * PUSHES + 1);
}

struct ticker {
    int steps;
    struct exec_event *five;
};

static int64_t tick(void *ctx)
{
    struct ticker *t = ctx;

    if (++t->steps == 5) {
        exec_event_set(t->five);
    }
    return t->steps < 5 ? t->steps % 2 : -1;
}

TEST(actor_runs_again_when_it_wants)
{
    struct ticker t = { 0, exec_event_new() };
    struct exec_actor *a;

    T_ST(exec_actor_new(&a, "ticker", tick, &t, NULL), OK);
    T_OK(!exec_event_wait(t.five, 5)); /* not before it was woken once */
    exec_actor_wake(a);
    T_OK(exec_event_wait(t.five, 30000));
    exec_actor_free(a); /* one last step */
    T_INT(t.steps, 6);
    exec_event_free(t.five);
    exec_actor_free(NULL);
}

static int64_t always(void *ctx)
{
    atomic_fetch_add((_Atomic int *)ctx, 1);
    return 0;
}

TEST(a_busy_actor_stops)
{
    _Atomic int n = 0;
    struct exec_actor *a;

    T_ST(exec_actor_new(&a, "busy", always, &n, NULL), OK);
    exec_actor_wake(a);
    while (atomic_load(&n) < 100) {
    }
    exec_actor_free(a);
    T_OK(n >= 101);
}

struct patient {
    struct exec_actor *actor;
    struct exec_event *began, *over, *quiet, *ended;
    bool woken, late;
};

static int64_t be_patient(void *ctx)
{
    struct patient *p = ctx;

    if (!p->over) {
        return -1; /* the last step */
    }
    exec_event_set(p->began);
    p->woken = exec_actor_linger(p->actor, 60000000);
    exec_event_set(p->over);
    p->over = NULL;
    (void)exec_event_wait(p->quiet, -1); /* nobody wakes any more */
    p->late = !exec_actor_linger(p->actor, 1);
    exec_event_set(p->ended);
    return -1;
}

/* What the actor was woken for before does not end its patience; the next wake-up does. */
TEST(an_actor_lingers_until_it_is_woken)
{
    struct exec_event *over = exec_event_new();
    struct patient p = { .began = exec_event_new(),
                         .over = over,
                         .quiet = exec_event_new(),
                         .ended = exec_event_new() };

    T_ST(exec_actor_new(&p.actor, "patient", be_patient, &p, NULL), OK);
    exec_actor_wake(p.actor);
    T_OK(exec_event_wait(p.began, 30000));
    T_OK(!exec_event_wait(over, 20)); /* not by itself */
    /* A wake-up may come before the actor lingers, and is then forgotten: so more than one. */
    do {
        exec_actor_wake(p.actor);
    } while (!exec_event_wait(over, 5));
    exec_event_set(p.quiet);
    T_OK(exec_event_wait(p.ended, 30000));
    exec_actor_free(p.actor);
    T_OK(p.woken && p.late);
    exec_event_free(p.began);
    exec_event_free(p.quiet);
    exec_event_free(p.ended);
    exec_event_free(over);
}

/* ---- inbox ------------------------------------------------------------------------------------------------------------- */

enum { POSTERS = 4, POSTS = 3000 };

struct poster {
    struct exec_job job;
    struct inbox *to[2];
    bool holds;
    struct mpsc_node nodes[POSTS];
};

static void post_run(struct exec_job *job, unsigned worker ATTR_UNUSED)
{
    struct poster *p = CONTAINER_OF(job, struct poster, job);

    for (unsigned i = 0; i < POSTS; i++) {
        if (p->holds && i % 5 == 0) inbox_hold();
        inbox_post(p->to[i % 2], &p->nodes[i]);
        if (p->holds && i % 5 == 4) inbox_release();
    }
}

static unsigned take_count(struct inbox *box)
{
    unsigned n = 0;

    for (struct mpsc_node *at = inbox_take(box); at;
         at = atomic_load_explicit(&at->next, memory_order_relaxed)) {
        n++;
    }
    return n;
}

/* Everything arrives, and the descriptor is readable as long as something lies there. */
TEST_LIMIT(inboxes_wake_their_owner, 120)
{
    static struct poster posters[POSTERS];
    struct inbox *box[2];
    unsigned n = 0;
    struct exec_pool *p;

    T_ST(inbox_new(&box[0], NULL), OK);
    T_ST(inbox_new(&box[1], NULL), OK);
    T_ST(exec_pool_new(&p, "post", POSTERS, POSTERS, NULL), OK);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] =
            (struct poster){ .job.run = post_run, .to = { box[0], box[1] }, .holds = i % 2 == 1 };
        T_ST(exec_pool_submit(p, &posters[i].job), OK);
    }
    while (n < POSTERS * POSTS) {
        struct pollfd fds[2] = { { inbox_fd(box[0]), POLLIN, 0 }, { inbox_fd(box[1]), POLLIN, 0 } };

        T_OK(poll(fds, 2, 60000) > 0);
        n += take_count(box[0]) + take_count(box[1]);
    }
    exec_pool_free(p);
    T_UINT(n, POSTERS * POSTS);
    T_OK(!inbox_take(box[0]) && !inbox_take(box[1]));
    inbox_free(box[0]);
    inbox_free(box[1]);
    inbox_free(NULL);
}

static bool readable(struct inbox *box)
{
    struct pollfd fd = { inbox_fd(box), POLLIN, 0 };

    return poll(&fd, 1, 0) == 1;
}

TEST(inboxes_that_are_held_back_wake_at_the_end)
{
    struct mpsc_node nodes[3];
    struct inbox *box, *gone;

    T_ST(inbox_new(&box, NULL), OK);
    T_ST(inbox_new(&gone, NULL), OK);
    inbox_hold();
    inbox_post(box, &nodes[0]);
    inbox_post(box, &nodes[1]);
    inbox_post(gone, &nodes[2]);
    T_OK(!readable(box));
    T_UINT(take_count(gone), 1); /* its owner looked by itself, and ends */
    inbox_free(gone);
    inbox_release();
    T_OK(readable(box));
    T_UINT(take_count(box), 2);
    T_OK(!readable(box));
    inbox_post(box, &nodes[0]);
    T_OK(readable(box));
    T_UINT(take_count(box), 1);
    inbox_free(box);
}

TEST(an_inbox_that_is_served_does_not_wake_its_owner)
{
    struct mpsc_node nodes[3], *n;
    struct inbox *box;

    T_ST(inbox_new(&box, NULL), OK);
    inbox_serve(box);
    T_OK(!inbox_served(box)); /* nothing was posted */
    inbox_serve(box);
    inbox_post(box, &nodes[0]);
    inbox_hold();
    inbox_post(box, &nodes[1]);
    inbox_release();
    T_OK(!readable(box));
    n = inbox_served(box);
    T_OK(n == &nodes[0] && atomic_load(&n->next) == &nodes[1]);
    inbox_post(box, &nodes[2]);
    T_OK(readable(box));
    T_UINT(take_count(box), 1);
    inbox_free(box);
}

static struct lock the_lock = LOCK_INIT(LOCK_RANK_CACHE);
static struct rwlock the_rwlock;
static int guarded, shared_guarded;

static void lock_run(struct exec_job *job ATTR_UNUSED, unsigned worker ATTR_UNUSED)
{
    for (int i = 0; i < 1000; i++) {
        rwlock_write(&the_rwlock);
        shared_guarded++;
        rwlock_give(&the_rwlock);
        rwlock_read(&the_rwlock);
        lock_take(&the_lock);
        guarded += shared_guarded > 0;
        lock_give(&the_lock);
        rwlock_give(&the_rwlock);
    }
}

TEST(locks_exclude)
{
    struct exec_job jobs[4] = {
        { lock_run, NULL }, { lock_run, NULL }, { lock_run, NULL }, { lock_run, NULL }
    };
    struct exec_pool *p;

    rwlock_init(&the_rwlock, LOCK_RANK_HEADS);
    T_ST(exec_pool_new(&p, "lock", 4, 4, NULL), OK);
    for (int i = 0; i < 4; i++) {
        T_ST(exec_pool_submit(p, &jobs[i]), OK);
    }
    exec_pool_free(p);
    T_INT(guarded, 4000);
    T_INT(shared_guarded, 4000);
    rwlock_release(&the_rwlock);
}

#ifndef NDEBUG
static void take_in_falling_rank(void)
{
    struct lock a, b;

    lock_init(&a, LOCK_RANK_HEADS);
    lock_init(&b, LOCK_RANK_BLOB);
    lock_take(&b);
    lock_take(&a);
}

static void take_twice(void)
{
    struct lock a;

    lock_init(&a, LOCK_RANK_HEADS);
    lock_take(&a);
    lock_take(&a);
}

static void give_what_is_not_held(void)
{
    struct lock a;

    lock_init(&a, LOCK_RANK_HEADS);
    lock_give(&a);
}

/* fn breaks an invariant: a child that runs it aborts. */
static void check_aborts(void (*fn)(void))
{
    pid_t pid = fork();
    int status;

    T_OK(pid >= 0);
    if (pid == 0) {
        close(2);
        fn();
        _exit(0);
    }
    T_OK(waitpid(pid, &status, 0) == pid);
    T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

TEST(lock_order_is_checked)
{
    struct lock a, b, c;

    check_aborts(take_in_falling_rank);
    check_aborts(take_twice);
    check_aborts(give_what_is_not_held);
    lock_init(&a, LOCK_RANK_HEADS);
    lock_init(&b, LOCK_RANK_SERIES);
    lock_init(&c, LOCK_RANK_BLOB);
    lock_take(&a);
    lock_take(&b);
    lock_give(&a); /* given back in any order */
    lock_take(&c);
    lock_give(&b);
    lock_give(&c);
    lock_take(&a);
    lock_give(&a);
    lock_release(&a);
    lock_release(&b);
    lock_release(&c);
}
#endif

TEST(events)
{
    struct exec_event *e = exec_event_new();

    T_OK(!exec_event_wait(e, 0));
    T_OK(!exec_event_wait(e, 3));
    exec_event_set(e);
    T_OK(exec_event_wait(e, 0));
    T_OK(exec_event_wait(e, -1)); /* stays set */
    exec_event_free(e);
    exec_event_free(NULL);
}
