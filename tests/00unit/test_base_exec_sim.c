/* The simulator's scheduler: one seed is one order, all orders occur, time stands still, a crash loses what is queued. */
#include "base/clock.h"
#include "base/exec.h"
#include "tap.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char history[4096];
static size_t history_n;

static void note(char c)
{
    T_OK(history_n < sizeof(history) - 1);
    history[history_n++] = c;
    history[history_n] = 0;
}

static int64_t now_ms;

static int64_t sim_mono(void *ctx ATTR_UNUSED)
{
    return now_ms * 1000000;
}

static const struct clock_ops sim_clock = { sim_mono, sim_mono, NULL };

struct letter {
    struct exec_job job;
    char c;
};

static void write_letter(struct exec_job *job, unsigned worker)
{
    CHECK(worker < 2);
    note(CONTAINER_OF(job, struct letter, job)->c);
}

static int64_t write_hash(void *ctx)
{
    int *left = ctx;

    note('#');
    return --*left > 0 ? 10 : -1;
}

static void run_history(uint64_t seed)
{
    struct letter letters[6];
    struct exec_pool *p;
    struct exec_actor *a;
    int left = 3;

    now_ms = 1000;
    history_n = 0;
    clock_replace(&sim_clock);
    exec_sim_begin(seed);
    T_ST(exec_pool_new(&p, "p", 2, 6, NULL), OK);
    T_UINT(exec_pool_workers(p), 2);
    T_ST(exec_actor_new(&a, "a", write_hash, &left, NULL), OK);
    for (int i = 0; i < 6; i++) {
        letters[i] = (struct letter){ { write_letter, NULL }, (char)('a' + i) };
        T_ST(exec_pool_submit(p, &letters[i].job), OK);
    }
    T_UINT(exec_pool_queued(p), 6);
    exec_actor_wake(a);
    for (;;) {
        while (exec_sim_step()) {
        }
        if (exec_sim_next_ms() < 0) {
            break;
        }
        T_OK(exec_sim_next_ms() > now_ms); /* time stands still by itself */
        now_ms = exec_sim_next_ms();
        note('+');
    }
    T_INT(now_ms, 1020);
    exec_actor_free(a);
    exec_pool_free(p);
    exec_sim_end();
    clock_replace(NULL);
    T_UINT(history_n, 6 + 3 + 2 + 1);
}

TEST(one_seed_is_one_order)
{
    char first[sizeof(history)];
    int different = 0;

    run_history(1);
    memcpy(first, history, sizeof(first));
    run_history(1);
    T_CSTR(history, first);
    for (uint64_t seed = 2; seed < 50; seed++) {
        run_history(seed);
        different += strcmp(history, first) != 0;
    }
    T_OK(different > 40);
}

/* With two workers the first two jobs may start in either order; the sixth never starts first. */
TEST(orders_are_those_that_threads_could_have)
{
    bool first_seen[256] = { false };

    for (uint64_t seed = 0; seed < 200; seed++) {
        run_history(seed);
        first_seen[(unsigned char)history[0]] = true;
    }
    T_OK(first_seen['a'] && first_seen['b'] && first_seen['#']);
    T_OK(!first_seen['c'] && !first_seen['f']);
}

static struct exec_event *answered;

static void answer(struct exec_job *job ATTR_UNUSED, unsigned worker ATTR_UNUSED)
{
    exec_event_set(answered);
}

TEST(waiting_runs_the_others)
{
    struct exec_job job = { answer, NULL };
    struct exec_pool *p;

    exec_sim_begin(1);
    answered = exec_event_new();
    T_ST(exec_pool_new(&p, "p", 1, 1, NULL), OK);
    T_OK(!exec_event_wait(answered, 1000)); /* nothing could set it */
    T_ST(exec_pool_submit(p, &job), OK);
    T_ST(exec_pool_submit(p, &job), ST_UNAVAILABLE);
    T_OK(exec_event_wait(answered, -1));
    exec_pool_free(p);
    exec_event_free(answered);
    exec_sim_end();
}

struct waiting_job {
    struct exec_job job, inner;
    struct exec_pool *pool;
    bool answered;
};

static void wait_inside(struct exec_job *job, unsigned worker ATTR_UNUSED)
{
    struct waiting_job *w = CONTAINER_OF(job, struct waiting_job, job);

    T_ST(exec_pool_submit(w->pool, &w->inner), OK);
    w->answered = exec_event_wait(answered, 1000);
}

/* A job that waits for another job of its pool needs a second worker, as it does with threads. */
TEST(waiting_keeps_a_worker_busy)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct waiting_job w = { { wait_inside, NULL }, { answer, NULL }, NULL, false };

        exec_sim_begin(1);
        answered = exec_event_new();
        T_ST(exec_pool_new(&w.pool, "p", workers, 4, NULL), OK);
        T_ST(exec_pool_submit(w.pool, &w.job), OK);
        T_OK(exec_sim_step());
        T_OK(w.answered == (workers == 2));
        exec_pool_free(w.pool);
        exec_event_free(answered);
        exec_sim_end();
    }
}

TEST(freeing_a_pool_runs_what_is_queued)
{
    struct letter letters[3];
    struct exec_pool *p;

    history_n = 0;
    exec_sim_begin(1);
    T_ST(exec_pool_new(&p, "p", 1, 3, NULL), OK);
    for (int i = 0; i < 3; i++) {
        letters[i] = (struct letter){ { write_letter, NULL }, (char)('a' + i) };
        T_ST(exec_pool_submit(p, &letters[i].job), OK);
    }
    exec_pool_free(p);
    T_CSTR(history, "abc"); /* one worker: in order */
    exec_sim_end();
}

TEST(a_crash_loses_what_is_queued)
{
    struct letter one = { { write_letter, NULL }, 'a' }, two = { { write_letter, NULL }, 'b' };
    struct exec_pool *p, *again;
    struct exec_actor *a;
    int left = 1;

    history_n = 0;
    history[0] = 0;
    exec_sim_begin(1);
    T_ST(exec_pool_new(&p, "p", 1, 3, NULL), OK);
    T_ST(exec_actor_new(&a, "a", write_hash, &left, NULL), OK);
    T_ST(exec_pool_submit(p, &one.job), OK);
    exec_actor_wake(a);
    exec_sim_crash();
    T_OK(!exec_sim_step());
    T_ST(exec_pool_submit(p, &two.job), ST_UNAVAILABLE);
    exec_actor_wake(a);
    T_OK(!exec_sim_step());
    T_ST(exec_pool_new(&again, "p", 1, 3, NULL), OK);
    T_ST(exec_pool_submit(again, &two.job), OK);
    T_OK(exec_sim_step());
    T_CSTR(history, "b");
    exec_actor_free(a); /* no last step */
    exec_pool_free(p);
    T_CSTR(history, "b");
    exec_sim_end(); /* frees `again` */
}

static struct lock sim_lock = LOCK_INIT(LOCK_RANK_HEADS);

TEST(locks_are_checked_free)
{
    struct rwlock rw;
    pid_t pid;
    int status;

    exec_sim_begin(1);
    rwlock_init(&rw, LOCK_RANK_SERIES);
    lock_take(&sim_lock);
    rwlock_write(&rw);
    rwlock_give(&rw);
    rwlock_read(&rw);
    rwlock_give(&rw);
    rwlock_release(&rw);
    pid = fork();
    if (pid == 0) {
        close(2);
        lock_release(&sim_lock); /* held */
        _exit(0);
    }
    T_OK(waitpid(pid, &status, 0) == pid);
    T_OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    lock_give(&sim_lock);
    exec_sim_end();
}
