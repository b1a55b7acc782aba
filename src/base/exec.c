/* base/exec.c - pools, actors, locks and events on POSIX threads. */
#include "base/exec.h"
#include "base/exec_int.h"
#include "base/mem.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { POOL_WORKERS_MAX = 256, THREAD_NAME_BYTES = 16, LOCKS_HELD_MAX = 16 };

bool exec_sim_on;

/* ---- threads -------------------------------------------------------------------------------------------------------- */

static void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    CHECK(pthread_cond_init(c, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

/* Threads take no signals but those of their own faults: the program's go to the thread that waits for them. */
static int thread_start(pthread_t *t, void *(*main)(void *arg), void *arg)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(t, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static struct timespec deadline_in_us(int64_t us)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += (time_t)(us / 1000000);
    ts.tv_nsec += (long)(us % 1000000) * 1000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_nsec -= 1000000000;
        ts.tv_sec++;
    }
    return ts;
}

static struct timespec deadline_in(int64_t ms)
{
    return deadline_in_us(MIN_OF(ms, (int64_t)1000 * 86400 * 3650) * 1000);
}

/* ---- pool ----------------------------------------------------------------------------------------------------------- */

struct worker {
    struct exec_pool *pool;
    pthread_t thread;
    unsigned index;
};

struct exec_pool {
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    struct exec_job *first, *last;
    size_t queued, queue_max;
    unsigned n_workers, idle;
    bool stopping;
    char name[THREAD_NAME_BYTES];
    struct worker workers[];
};

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct exec_pool *p = w->pool;
    char name[THREAD_NAME_BYTES];

    snprintf(name, sizeof(name), "%.11s-%u", p->name, w->index);
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        struct exec_job *job = p->first;

        if (job) {
            p->first = job->next;
            if (!p->first) {
                p->last = NULL;
            }
            p->queued--;
            pthread_mutex_unlock(&p->mutex);
            job->run(job, w->index);
            pthread_mutex_lock(&p->mutex);
        } else if (p->stopping) {
            break;
        } else {
            p->idle++;
            pthread_cond_wait(&p->ready, &p->mutex);
            p->idle--;
        }
    }
    pthread_mutex_unlock(&p->mutex);
    mem_thread_ends();
    return NULL;
}

static void pool_stop(struct exec_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_cond_broadcast(&p->ready);
    pthread_mutex_unlock(&p->mutex);
    for (unsigned i = 0; i < p->n_workers; i++) {
        pthread_join(p->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&p->ready);
    pthread_mutex_destroy(&p->mutex);
    mem_free(p);
}

enum status exec_pool_new(struct exec_pool **out, const char *name, unsigned n_workers,
                          size_t queue_max, struct err *err)
{
    struct exec_pool *p;

    *out = NULL;
    if (exec_sim_on) {
        return sim_pool_new(out, name, n_workers, queue_max, err);
    }
    if (n_workers == 0 || n_workers > POOL_WORKERS_MAX) {
        return err_set(err, ST_INVALID, "pool %s: %u workers is not between 1 and %d", name,
                       n_workers, POOL_WORKERS_MAX);
    }
    p = mem_zalloc(1, sizeof(*p) + n_workers * sizeof(p->workers[0]));
    if (!p) {
        return err_nomem(err);
    }
    pthread_mutex_init(&p->mutex, NULL);
    cond_init(&p->ready);
    p->queue_max = queue_max;
    snprintf(p->name, sizeof(p->name), "%s", name);
    for (unsigned i = 0; i < n_workers; i++) {
        int rc;

        p->workers[i].pool = p;
        p->workers[i].index = i;
        rc = thread_start(&p->workers[i].thread, worker_main, &p->workers[i]);
        if (rc) {
            pool_stop(p);
            return err_set(err, rc == EAGAIN ? ST_UNAVAILABLE : ST_IO,
                           "pool %s: thread %u of %u does not start", name, i + 1, n_workers);
        }
        p->n_workers++;
    }
    *out = p;
    return OK;
}

enum status exec_pool_submit(struct exec_pool *p, struct exec_job *job)
{
    enum status st = OK;

    if (exec_sim_on) {
        return sim_pool_submit(p, job);
    }
    job->next = NULL;
    pthread_mutex_lock(&p->mutex);
    if (p->stopping || p->queued >= p->queue_max) {
        st = ST_UNAVAILABLE;
    } else {
        if (p->last) {
            p->last->next = job;
        } else {
            p->first = job;
        }
        p->last = job;
        p->queued++;
        if (p->idle) {
            pthread_cond_signal(&p->ready);
        }
    }
    pthread_mutex_unlock(&p->mutex);
    return st;
}

size_t exec_pool_queued(struct exec_pool *p)
{
    size_t n;

    if (exec_sim_on) {
        return sim_pool_queued(p);
    }
    pthread_mutex_lock(&p->mutex);
    n = p->queued;
    pthread_mutex_unlock(&p->mutex);
    return n;
}

unsigned exec_pool_workers(const struct exec_pool *p)
{
    return exec_sim_on ? sim_pool_workers(p) : p->n_workers;
}

void exec_pool_free(struct exec_pool *p)
{
    if (!p) {
        return;
    }
    if (exec_sim_on) {
        sim_pool_free(p);
    } else {
        pool_stop(p);
    }
}

/* ---- actor ---------------------------------------------------------------------------------------------------------- */

struct exec_actor {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Set by wakers, cleared by the actor before each step. seq_cst exchange on both sides: what a waker did before it
     * found the flag set is seen by the step that follows the clearing. */
    _Atomic bool woken;
    bool stopping; /* under mutex */
    int64_t (*step)(void *ctx);
    void *ctx;
    pthread_t thread;
    char name[THREAD_NAME_BYTES];
};

/* Waits until woken, stopped, or wait_ms passed (-1: no limit). True when stopped. */
static bool actor_wait(struct exec_actor *a, int64_t wait_ms)
{
    struct timespec until = deadline_in(MAX_OF(wait_ms, 0));
    bool stopping;

    pthread_mutex_lock(&a->mutex);
    while (wait_ms != 0 && !a->stopping && !atomic_load(&a->woken)) {
        if (wait_ms < 0) {
            pthread_cond_wait(&a->changed, &a->mutex);
        } else if (pthread_cond_timedwait(&a->changed, &a->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    stopping = a->stopping;
    pthread_mutex_unlock(&a->mutex);
    return stopping;
}

bool exec_actor_linger(struct exec_actor *a, int64_t us)
{
    struct timespec until;
    bool woken;

    if (exec_sim_on) {
        return false;
    }
    until = deadline_in_us(MAX_OF(us, (int64_t)0));
    atomic_store(&a->woken, false);
    pthread_mutex_lock(&a->mutex);
    while (!a->stopping && !atomic_load(&a->woken)) {
        if (pthread_cond_timedwait(&a->changed, &a->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    woken = a->stopping;
    pthread_mutex_unlock(&a->mutex);
    /* As before a step: what wakers did before they found the flag set is seen by what follows. */
    return atomic_exchange(&a->woken, false) || woken;
}

static void *actor_main(void *arg)
{
    struct exec_actor *a = arg;
    int64_t wait_ms = -1;

    pthread_setname_np(pthread_self(), a->name);
    for (;;) {
        bool stopping = actor_wait(a, wait_ms);

        atomic_exchange(&a->woken, false);
        wait_ms = a->step(a->ctx);
        if (stopping) {
            mem_thread_ends();
            return NULL;
        }
    }
}

enum status exec_actor_new(struct exec_actor **out, const char *name, int64_t (*step)(void *ctx),
                           void *ctx, struct err *err)
{
    struct exec_actor *a;
    int rc;

    *out = NULL;
    if (exec_sim_on) {
        return sim_actor_new(out, name, step, ctx, err);
    }
    a = mem_zalloc(1, sizeof(*a));
    if (!a) {
        return err_nomem(err);
    }
    pthread_mutex_init(&a->mutex, NULL);
    cond_init(&a->changed);
    a->step = step;
    a->ctx = ctx;
    snprintf(a->name, sizeof(a->name), "%s", name);
    rc = thread_start(&a->thread, actor_main, a);
    if (rc) {
        pthread_cond_destroy(&a->changed);
        pthread_mutex_destroy(&a->mutex);
        mem_free(a);
        return err_set(err, rc == EAGAIN ? ST_UNAVAILABLE : ST_IO,
                       "actor %s: thread does not start", name);
    }
    *out = a;
    return OK;
}

void exec_actor_wake(struct exec_actor *a)
{
    if (exec_sim_on) {
        sim_actor_wake(a);
        return;
    }
    if (atomic_exchange(&a->woken, true)) {
        return; /* whoever set it signals, or the step that clears it comes after us */
    }
    pthread_mutex_lock(&a->mutex);
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
}

void exec_actor_free(struct exec_actor *a)
{
    if (!a) {
        return;
    }
    if (exec_sim_on) {
        sim_actor_free(a);
        return;
    }
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->mutex);
    mem_free(a);
}

/* ---- multi-producer, single-consumer queue ---------------------------------------------------------------------------- */

void mpsc_init(struct mpsc *q)
{
    atomic_init(&q->head, NULL);
}

bool mpsc_push(struct mpsc *q, struct mpsc_node *n)
{
    struct mpsc_node *old = atomic_load_explicit(&q->head, memory_order_relaxed);

    /* release pairs with the acquire of mpsc_take_all(): the consumer sees the node's content. seq_cst, because a consumer may
     * say in another variable that it need not be woken, and look here once more when it has taken that back. */
    do {
        atomic_store_explicit(&n->next, old, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&q->head, &old, n, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return old == NULL;
}

bool mpsc_is_empty(struct mpsc *q)
{
    /* seq_cst, with mpsc_push(): a pusher sees its own node until the consumer took it, and who has just said in another variable
     * that it does not look any more sees what was pushed before somebody read that. */
    return atomic_load_explicit(&q->head, memory_order_seq_cst) == NULL;
}

struct mpsc_node *mpsc_take_all(struct mpsc *q)
{
    struct mpsc_node *n = atomic_exchange_explicit(&q->head, NULL, memory_order_seq_cst),
                     *oldest = NULL;

    while (n) {
        struct mpsc_node *older = atomic_load_explicit(&n->next, memory_order_relaxed);

        atomic_store_explicit(&n->next, oldest, memory_order_relaxed);
        oldest = n;
        n = older;
    }
    return oldest;
}

/* ---- locks ------------------------------------------------------------------------------------------------------------ */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct lock *)0)->impl),
               "struct lock is too small");
_Static_assert(sizeof(pthread_rwlock_t) <= sizeof(((struct rwlock *)0)->impl),
               "struct rwlock is too small");

#ifndef NDEBUG
/* The ranks this thread holds, for the order check. */
static _Thread_local int ranks_held[LOCKS_HELD_MAX];
static _Thread_local size_t ranks_held_n;

static void rank_push(int rank)
{
    CHECK(ranks_held_n < LOCKS_HELD_MAX);
    for (size_t i = 0; i < ranks_held_n; i++) {
        CHECK(ranks_held[i] < rank && "locks are taken in rising rank");
    }
    ranks_held[ranks_held_n++] = rank;
}

static void rank_pop(int rank)
{
    size_t i = ranks_held_n;

    while (i > 0 && ranks_held[i - 1] != rank) {
        i--;
    }
    CHECK(i > 0 && "the lock given back is held");
    ranks_held_n--;
    for (i--; i < ranks_held_n; i++) {
        ranks_held[i] = ranks_held[i + 1];
    }
}
#else
static void rank_push(int rank ATTR_UNUSED)
{
}

static void rank_pop(int rank ATTR_UNUSED)
{
}
#endif

static pthread_mutex_t *mutex_of(struct lock *l)
{
    return (pthread_mutex_t *)(void *)l->impl;
}

void lock_init(struct lock *l, enum lock_rank rank)
{
    *l = (struct lock){ .rank = (int)rank };
    pthread_mutex_init(mutex_of(l), NULL);
}

void lock_take(struct lock *l)
{
    rank_push(l->rank);
    if (exec_sim_on) {
        CHECK(l->held == 0 &&
              "a lock is free when taken: one thread runs, and none yields under a lock");
        l->held = 1;
        return;
    }
    pthread_mutex_lock(mutex_of(l));
}

void lock_give(struct lock *l)
{
    rank_pop(l->rank);
    if (exec_sim_on) {
        CHECK(l->held == 1);
        l->held = 0;
        return;
    }
    pthread_mutex_unlock(mutex_of(l));
}

void lock_release(struct lock *l)
{
    CHECK(l->held == 0);
    pthread_mutex_destroy(mutex_of(l));
}

static pthread_rwlock_t *rw_of(struct rwlock *l)
{
    return (pthread_rwlock_t *)(void *)l->impl;
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
    *l = (struct rwlock){ .rank = (int)rank };
    pthread_rwlock_init(rw_of(l), NULL);
}

void rwlock_read(struct rwlock *l)
{
    rank_push(l->rank);
    if (exec_sim_on) {
        CHECK(l->held >= 0);
        l->held++;
        return;
    }
    pthread_rwlock_rdlock(rw_of(l));
}

void rwlock_write(struct rwlock *l)
{
    rank_push(l->rank);
    if (exec_sim_on) {
        CHECK(l->held == 0);
        l->held = -1;
        return;
    }
    pthread_rwlock_wrlock(rw_of(l));
}

void rwlock_give(struct rwlock *l)
{
    rank_pop(l->rank);
    if (exec_sim_on) {
        CHECK(l->held != 0);
        l->held = l->held > 0 ? l->held - 1 : 0;
        return;
    }
    pthread_rwlock_unlock(rw_of(l));
}

void rwlock_release(struct rwlock *l)
{
    CHECK(l->held == 0);
    pthread_rwlock_destroy(rw_of(l));
}

/* ---- event ------------------------------------------------------------------------------------------------------------ */

struct exec_event {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool set;
};

struct exec_event *exec_event_new(void)
{
    struct exec_event *e = mem_zalloc(1, sizeof(*e));

    if (e) {
        pthread_mutex_init(&e->mutex, NULL);
        cond_init(&e->changed);
    }
    return e;
}

void exec_event_set(struct exec_event *e)
{
    pthread_mutex_lock(&e->mutex);
    e->set = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->mutex);
}

static bool event_wait_simulated(struct exec_event *e, int64_t timeout_ms)
{
    while (!e->set) {
        if (!exec_sim_step()) {
            CHECK(timeout_ms >= 0 && "a simulated wait that nothing can end");
            return false;
        }
    }
    return true;
}

bool exec_event_wait(struct exec_event *e, int64_t timeout_ms)
{
    struct timespec until = deadline_in(MAX_OF(timeout_ms, 0));
    bool set;

    if (exec_sim_on) {
        return event_wait_simulated(e, timeout_ms);
    }
    pthread_mutex_lock(&e->mutex);
    while (!e->set) {
        if (timeout_ms < 0) {
            pthread_cond_wait(&e->changed, &e->mutex);
        } else if (pthread_cond_timedwait(&e->changed, &e->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    set = e->set;
    pthread_mutex_unlock(&e->mutex);
    return set;
}

void exec_event_free(struct exec_event *e)
{
    if (e) {
        pthread_cond_destroy(&e->changed);
        pthread_mutex_destroy(&e->mutex);
        mem_free(e);
    }
}
