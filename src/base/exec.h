/* base/exec.h - the only place with threads, locks and pools.
 * Code above sees three things: a pool that runs jobs, an actor that handles its inbox one wake-up at a time (the
 * sequencer is one), and locks. Two implementations stand behind them: real threads, and the simulator's, which runs
 * everything on one thread in an order drawn from a seed. So the same code is tested under both.
 * Ownership: jobs and actors are embedded in caller-owned structs and stay valid until they have run / been stopped.
 * Thread rule: any thread, unless a function says otherwise. Lock ranks: a thread takes locks in rising rank only
 * (checked in debug builds); no lock is held across I/O or a callback. */
#ifndef CAIRN_BASE_EXEC_H
#define CAIRN_BASE_EXEC_H

#include "base/err.h"

/* ---- pool -------------------------------------------------------------------------------------------------------- */

struct exec_job {
    void (*run)(struct exec_job *job,
                unsigned worker); /* worker: 0 .. pool size-1, for per-thread resources */
    struct exec_job *next;        /* queue link, the pool's */
};

struct exec_pool;
/* n_workers threads named `name`; at most queue_max jobs wait. */
enum status exec_pool_new(struct exec_pool **out, const char *name, unsigned n_workers,
                          size_t queue_max, struct err *err);
/* ST_UNAVAILABLE when the queue is full or the pool is stopping. */
enum status exec_pool_submit(struct exec_pool *p, struct exec_job *job) ATTR_CHECK;
size_t exec_pool_queued(struct exec_pool *p);
unsigned exec_pool_workers(const struct exec_pool *p);
/* Runs what is queued, then ends the threads. NULL-safe. */
void exec_pool_free(struct exec_pool *p);

/* ---- actor: one logical thread with a wake flag -------------------------------------------------------------------- */

struct exec_actor;
/* step(ctx) is called on the actor's own thread whenever exec_actor_wake() was called since its last call began, and
 * when the time of its last return value is reached: it returns the milliseconds until it wants to run again, or -1 for
 * only when woken. */
enum status exec_actor_new(struct exec_actor **out, const char *name, int64_t (*step)(void *ctx),
                           void *ctx, struct err *err);
void exec_actor_wake(struct exec_actor *a);
/* For the step itself, which has a reason to be patient: waits until the actor is woken from now on, at most so many
 * microseconds; what it was woken for before is the step's to look at afterwards. False when the time is over; at once under
 * the simulator. */
bool exec_actor_linger(struct exec_actor *a, int64_t us);
/* One last step, then the thread ends. NULL-safe. */
void exec_actor_free(struct exec_actor *a);

/* ---- a thread of its own, for what waits in a foreign loop (an event loop of net). Not under the simulator. ---------- */

struct exec_thread;
/* Calls run(ctx) on a new thread named `name` (at most 15 bytes), all signals blocked. */
enum status exec_thread_new(struct exec_thread **out, const char *name, void (*run)(void *ctx),
                            void *ctx, struct err *err);
/* Waits for run to return, then frees. NULL-safe. */
void exec_thread_join(struct exec_thread *t);

/* ---- multi-producer, single-consumer queue --------------------------------------------------------------------------- */

struct mpsc_node {
    struct mpsc_node *_Atomic next;
};
struct mpsc {
    struct mpsc_node *_Atomic head; /* newest, producers push here */
};
void mpsc_init(struct mpsc *q);
/* True if the queue was empty: the pusher then wakes the consumer. */
bool mpsc_push(struct mpsc *q, struct mpsc_node *n);
bool mpsc_is_empty(struct mpsc *q);
/* Everything pushed so far, oldest first, linked by next; NULL if empty. */
struct mpsc_node *mpsc_take_all(struct mpsc *q);

/* ---- locks ------------------------------------------------------------------------------------------------------------ */

enum lock_rank {
    LOCK_RANK_FOLD = 5, /* of one experiment's columns: held while pool threads read what changed */
    LOCK_RANK_HEADS = 10,
    LOCK_RANK_SERIES = 20,
    LOCK_RANK_BLOB = 30,
    LOCK_RANK_CACHE = 40,
    LOCK_RANK_LOG = 90,
    LOCK_RANK_LEAF = 100, /* base's own; nothing is taken under it */
};

struct lock {
    void *impl[8];
    int rank;
    int held; /* the simulator's */
};
/* For static locks, which need neither lock_init() nor lock_release(). */
#define LOCK_INIT(lock_rank)                                                                       \
    {                                                                                              \
        .rank = (lock_rank)                                                                        \
    }
void lock_init(struct lock *l, enum lock_rank rank);
void lock_take(struct lock *l);
void lock_give(struct lock *l);
void lock_release(struct lock *l); /* destroys */

/* Many readers or one writer. */
struct rwlock {
    void *impl[8];
    int rank;
    int held; /* the simulator's: readers, or -1 for a writer */
};
void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_read(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_give(struct rwlock *l);
void rwlock_release(struct rwlock *l);

/* One-shot: waits on another thread until set. For start-up, tests and commands; never on a loop thread. In the
 * simulator a wait runs steps until the event is set; when nothing is ready it returns false (a wait without limit that
 * nothing can end is a bug). */
struct exec_event;
struct exec_event *exec_event_new(void); /* NULL when memory is out */
void exec_event_set(struct exec_event *e);
/* False on timeout; timeout_ms < 0 waits without limit. */
bool exec_event_wait(struct exec_event *e, int64_t timeout_ms);
void exec_event_free(struct exec_event *e);

/* ---- the simulator's scheduler ----------------------------------------------------------------------------------------- */

/* From now on pools and actors of this process run on the calling thread, inside exec_sim_run(), in an order drawn from
 * seed. Before any pool or actor is created. */
void exec_sim_begin(uint64_t seed);
/* Runs one ready job or actor step; false when nothing is ready (then advance the clock and try again). The choice is
 * among all ready actors and the jobs that the workers of each pool could have started. */
bool exec_sim_step(void);
/* Earliest wanted time of an actor in monotonic ms, -1 if none. */
int64_t exec_sim_next_ms(void);
/* The crash: no queued job or actor of now ever runs again. Their handles stay valid, dead: a submit answers
 * ST_UNAVAILABLE, a wake does nothing, _free() frees without a last step. New pools and actors can be made at once. */
void exec_sim_crash(void);
/* Back to real threads. Frees every pool and actor that is left. */
void exec_sim_end(void);

#endif
