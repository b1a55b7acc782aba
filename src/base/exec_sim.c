/* base/exec_sim.c - pools and actors on one thread, in an order drawn from a seed.
 * A step picks one of everything that could run now with equal probability: each woken or due actor, and of each pool the
 * jobs that its workers could have started (as many of the oldest as it has workers). Time stands still unless the
 * caller moves the replaced clock. */
#include "base/clock.h"
#include "base/exec_int.h"
#include "base/mem.h"
#include "base/rand_int.h"

struct sim_pool {
    struct sim_pool *next;
    struct exec_job *first;
    size_t queued, queue_max;
    unsigned n_workers, running; /* jobs that wait for an event run inside each other */
    bool dead, stopping;
};

struct sim_actor {
    struct sim_actor *next;
    int64_t (*step)(void *ctx);
    void *ctx;
    int64_t due_ms; /* -1 = only when woken */
    bool woken, running, dead;
};

static struct sim_pool *pools;
static struct sim_actor *actors;
static struct xoshiro order;

static struct sim_pool *pool_of(const struct exec_pool *p)
{
    return (struct sim_pool *)(uintptr_t)p;
}

static struct sim_actor *actor_of(struct exec_actor *a)
{
    return (struct sim_actor *)(void *)a;
}

void exec_sim_begin(uint64_t seed)
{
    CHECK(!exec_sim_on);
    xoshiro_seed(&order, seed);
    exec_sim_on = true;
}

enum status sim_pool_new(struct exec_pool **out, const char *name, unsigned n_workers,
                         size_t queue_max, struct err *err)
{
    struct sim_pool *p;

    if (n_workers == 0) {
        return err_set(err, ST_INVALID, "pool %s: no workers", name);
    }
    p = mem_zalloc(1, sizeof(*p));
    if (!p) {
        return err_nomem(err);
    }
    p->n_workers = n_workers;
    p->queue_max = queue_max;
    p->next = pools;
    pools = p;
    *out = (struct exec_pool *)(void *)p;
    return OK;
}

enum status sim_pool_submit(struct exec_pool *handle, struct exec_job *job)
{
    struct sim_pool *p = pool_of(handle);
    struct exec_job **at = &p->first;

    if (p->dead || p->stopping || p->queued >= p->queue_max) {
        return ST_UNAVAILABLE;
    }
    while (*at) {
        at = &(*at)->next;
    }
    job->next = NULL;
    *at = job;
    p->queued++;
    return OK;
}

size_t sim_pool_queued(const struct exec_pool *p)
{
    return pool_of(p)->queued;
}

unsigned sim_pool_workers(const struct exec_pool *p)
{
    return pool_of(p)->n_workers;
}

static uint64_t draw_below(uint64_t n)
{
    return xoshiro_next(&order) % n; /* the bias is far below what a test could see */
}

static void run_job(struct sim_pool *p, uint64_t index)
{
    struct exec_job **at = &p->first, *job;

    while (index--) {
        at = &(*at)->next;
    }
    job = *at;
    *at = job->next;
    p->queued--;
    p->running++;
    job->run(job, (unsigned)draw_below(p->n_workers));
    p->running--;
}

/* How many of the oldest jobs the free workers could start now. */
static size_t can_start(const struct sim_pool *p)
{
    return p->dead ? 0 : MIN_OF(p->queued, (size_t)(p->n_workers - p->running));
}

void sim_pool_free(struct exec_pool *handle)
{
    struct sim_pool *p = pool_of(handle), **at = &pools;

    CHECK(p->running == 0 && "a pool is not freed by its own job");
    p->stopping = true;
    while (can_start(p)) {
        run_job(p, draw_below(can_start(p)));
    }
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    mem_free(p);
}

enum status sim_actor_new(struct exec_actor **out, const char *name ATTR_UNUSED,
                          int64_t (*step)(void *ctx), void *ctx, struct err *err)
{
    struct sim_actor *a = mem_zalloc(1, sizeof(*a));

    if (!a) {
        return err_nomem(err);
    }
    a->step = step;
    a->ctx = ctx;
    a->due_ms = -1;
    a->next = actors;
    actors = a;
    *out = (struct exec_actor *)(void *)a;
    return OK;
}

void sim_actor_wake(struct exec_actor *a)
{
    actor_of(a)->woken = true;
}

static void run_actor(struct sim_actor *a)
{
    int64_t wait_ms;

    a->woken = false;
    a->running = true;
    wait_ms = a->step(a->ctx);
    a->running = false;
    a->due_ms = wait_ms < 0 ? -1 : clock_mono_ms() + wait_ms;
}

void sim_actor_free(struct exec_actor *handle)
{
    struct sim_actor *a = actor_of(handle), **at = &actors;

    CHECK(!a->running && "an actor cannot free itself");
    if (!a->dead) {
        run_actor(a);
    }
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    mem_free(a);
}

static bool is_ready(const struct sim_actor *a, int64_t now_ms)
{
    return !a->dead && !a->running && (a->woken || (a->due_ms >= 0 && a->due_ms <= now_ms));
}

bool exec_sim_step(void)
{
    int64_t now_ms = clock_mono_ms();
    uint64_t n = 0, pick;

    for (struct sim_actor *a = actors; a; a = a->next) {
        n += is_ready(a, now_ms);
    }
    for (struct sim_pool *p = pools; p; p = p->next) {
        n += can_start(p);
    }
    if (n == 0) {
        return false;
    }
    pick = draw_below(n);
    for (struct sim_actor *a = actors; a; a = a->next) {
        if (is_ready(a, now_ms) && pick-- == 0) {
            run_actor(a);
            return true;
        }
    }
    for (struct sim_pool *p = pools; p; p = p->next) {
        if (pick < can_start(p)) {
            run_job(p, pick);
            return true;
        }
        pick -= can_start(p);
    }
    BUG("the pick lies within what was counted");
}

int64_t exec_sim_next_ms(void)
{
    int64_t next = -1;

    for (struct sim_actor *a = actors; a; a = a->next) {
        if (!a->dead && !a->running && a->due_ms >= 0 && (next < 0 || a->due_ms < next)) {
            next = a->due_ms;
        }
    }
    return next;
}

void exec_sim_crash(void)
{
    for (struct sim_actor *a = actors; a; a = a->next) {
        a->dead = true;
    }
    for (struct sim_pool *p = pools; p; p = p->next) {
        p->dead = true;
        p->first = NULL;
        p->queued = 0;
    }
}

void exec_sim_end(void)
{
    CHECK(exec_sim_on);
    while (actors) {
        struct sim_actor *a = actors;

        actors = a->next;
        mem_free(a);
    }
    while (pools) {
        struct sim_pool *p = pools;

        pools = p->next;
        mem_free(p);
    }
    exec_sim_on = false;
}
