/* net/loop.c - thread, inbox and lazy timers around one uv_loop_t.
 * The inbox is polled like a socket: libuv's own wake-ups let the loop spin until the waker has left its system call. */
#include "net/loop.h"
#include "base/clock.h"
#include "base/inbox.h"
#include "base/mem.h"
#include "net/metrics.h"
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>

struct loop {
    uv_loop_t uv;
    uv_poll_t wake;      /* on the inbox */
    uv_prepare_t before; /* a turn begins */
    uv_check_t after;    /* and ends */
    uv_idle_t again;     /* active: the next turn does not wait */
    uv_timer_t soon;     /* active: it does not wait for long */
    bool in_turn;
    struct loop_turn *turn;
    struct inbox *inbox;
    struct exec_thread *thread;
    struct loop_task stop;
    unsigned index;
    int64_t date_s;
    char date[32];
    struct net_metrics metrics;
};

static _Thread_local struct loop *current;

/* libuv aborts the process when its own tables cannot grow; a second try covers a single failed call. */
static void *uv_alloc(size_t n)
{
    void *p = mem_alloc(n);

    return p ? p : mem_alloc(n);
}

static void *uv_regrow(void *p, size_t n)
{
    void *q = mem_realloc(p, n);

    return q || n == 0 ? q : mem_realloc(p, n);
}

static void *uv_zalloc(size_t n, size_t size)
{
    void *p = mem_zalloc(n, size);

    return p ? p : mem_zalloc(n, size);
}

static void *ssl_alloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_alloc(n);
}

static void *ssl_regrow(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return mem_realloc(p, n);
}

static void ssl_release(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    mem_free(p);
}

void net_init(void)
{
    (void)uv_replace_allocator(uv_alloc, uv_regrow, uv_zalloc, mem_free);
    /* Refused once OpenSSL has allocated; it then keeps malloc, which only tests of memory failure would notice. */
    (void)CRYPTO_set_mem_functions(ssl_alloc, ssl_regrow, ssl_release);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void tasks_run(struct mpsc_node *n)
{
    while (n) {
        struct loop_task *t = CONTAINER_OF(n, struct loop_task, node);

        /* The task may be posted again, or freed, by its own function. Relaxed: take_all() has acquired the list. */
        n = atomic_load_explicit(&n->next, memory_order_relaxed);
        t->fn(t);
    }
}

static void inbox_run(struct loop *l)
{
    tasks_run(inbox_take(l->inbox));
}

static void on_wake(uv_poll_t *wake, int status, int events)
{
    (void)status; /* of a descriptor that does not fail */
    (void)events;
    inbox_run(wake->data);
}

static void on_again(uv_idle_t *again)
{
    (void)again;
}

static void on_soon(uv_timer_t *soon)
{
    struct loop *l = soon->data;

    /* Timers run before the loop polls: without this it would poll until something comes. */
    CHECK(uv_idle_start(&l->again, on_again) == 0);
}

static void turn_begins(uv_prepare_t *before)
{
    struct loop *l = before->data;

    l->in_turn = true;
}

/* What the functions post to this loop is handled before it sleeps again, without a wake-up. What is asked for meanwhile is due at
 * the end of the next turn, so that sockets have their turn in between. */
static void turn_ends(uv_check_t *after)
{
    struct loop *l = after->data;
    struct loop_turn *t = l->turn, *next;
    bool again;

    (void)uv_idle_stop(&l->again);
    if (t) {
        l->turn = NULL;
        inbox_serve(l->inbox);
        for (; t; t = next) {
            next = t->next;
            t->queued = false;
            t->fn(t);
        }
        again = l->turn != NULL;
        if (!again) (void)uv_timer_stop(&l->soon);
        tasks_run(inbox_served(l->inbox));
        if (!again && l->turn) CHECK(uv_idle_start(&l->again, on_again) == 0);
    }
    l->in_turn = false;
}

static void queue_turn(struct loop *l, struct loop_turn *t)
{
    if (!t->queued) {
        t->queued = true;
        t->next = l->turn;
        l->turn = t;
    }
}

void loop_turn_end(struct loop *l, struct loop_turn *t)
{
    if (!l->in_turn) {
        t->fn(t);
    } else {
        queue_turn(l, t);
    }
}

void loop_turn_again(struct loop *l, struct loop_turn *t, int64_t ms)
{
    queue_turn(l, t);
    if (ms <= 0) {
        CHECK(uv_idle_start(&l->again, on_again) == 0);
    } else if (!uv_is_active((uv_handle_t *)&l->soon)) {
        CHECK(uv_timer_start(&l->soon, on_soon, (uint64_t)ms, 0) == 0);
    }
}

static void close_handles(struct loop *l)
{
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->before, NULL);
    uv_close((uv_handle_t *)&l->after, NULL);
    uv_close((uv_handle_t *)&l->again, NULL);
    uv_close((uv_handle_t *)&l->soon, NULL);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

static void loop_main(void *ctx)
{
    struct loop *l = ctx;

    current = l;
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    inbox_run(l);
    do {
        turn_ends(&l->after);
    } while (l->turn);
    close_handles(l);
    current = NULL;
}

enum status loop_new(struct loop **out, unsigned index, struct err *err)
{
    struct loop *l = mem_zalloc(1, sizeof(*l));
    char name[16];
    enum status st;

    *out = NULL;
    if (!l) {
        return err_nomem(err);
    }
    if (uv_loop_init(&l->uv) != 0) {
        mem_free(l);
        return err_set(err, ST_UNAVAILABLE, "no event loop");
    }
    l->index = index;
    l->date_s = -1;
    l->wake.data = l;
    st = inbox_new(&l->inbox, err);
    if (!st && uv_poll_init(&l->uv, &l->wake, inbox_fd(l->inbox)) != 0) {
        st = err_set(err, ST_UNAVAILABLE, "no wake-up for an event loop");
    }
    if (st) {
        (void)uv_loop_close(&l->uv);
        inbox_free(l->inbox);
        mem_free(l);
        return st;
    }
    CHECK(uv_poll_start(&l->wake, UV_READABLE, on_wake) == 0);
    CHECK(uv_prepare_init(&l->uv, &l->before) == 0 && uv_check_init(&l->uv, &l->after) == 0);
    CHECK(uv_idle_init(&l->uv, &l->again) == 0 && uv_timer_init(&l->uv, &l->soon) == 0);
    l->soon.data = l;
    l->before.data = l->after.data = l;
    CHECK(uv_prepare_start(&l->before, turn_begins) == 0);
    CHECK(uv_check_start(&l->after, turn_ends) == 0);
    (void)snprintf(name, sizeof(name), "loop%u", index);
    st = exec_thread_new(&l->thread, name, loop_main, l, err);
    if (st) {
        close_handles(l);
        (void)uv_loop_close(&l->uv);
        inbox_free(l->inbox);
        mem_free(l);
        return st;
    }
    *out = l;
    return OK;
}

static void loop_end(struct loop_task *t)
{
    struct loop *l = CONTAINER_OF(t, struct loop, stop);

    uv_stop(&l->uv);
}

void loop_free(struct loop *l)
{
    if (!l) {
        return;
    }
    l->stop.fn = loop_end;
    loop_post(l, &l->stop);
    exec_thread_join(l->thread);
    CHECK(uv_loop_close(&l->uv) == 0);
    inbox_free(l->inbox);
    mem_free(l);
}

void loop_post(struct loop *l, struct loop_task *t)
{
    inbox_post(l->inbox, &t->node);
}

bool loop_is_current(const struct loop *l)
{
    return current == l;
}

bool loop_is_any(void)
{
    return current != NULL;
}

unsigned loop_index(const struct loop *l)
{
    return l->index;
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

struct net_metrics *loop_metrics(struct loop *l)
{
    return &l->metrics;
}

int64_t loop_now_ms(struct loop *l)
{
    return (int64_t)uv_now(&l->uv);
}

struct str loop_http_date(struct loop *l)
{
    int64_t ms = clock_wall_ms(), s = ms / 1000;

    if (s != l->date_s) {
        clock_http_date(ms, l->date);
        l->date_s = s;
    }
    return str_cstr(l->date);
}

/* ---- timers --------------------------------------------------------------------------------------------------- */

static void timer_fire(uv_timer_t *uv);

static void timer_arm(struct loop_timer *t)
{
    int64_t now = (int64_t)uv_now(t->uv.loop);
    uint64_t left = t->at_ms > now ? (uint64_t)(t->at_ms - now) : 0;

    t->armed_ms = t->at_ms;
    CHECK(uv_timer_start(&t->uv, timer_fire, left, 0) == 0);
}

static void timer_fire(uv_timer_t *uv)
{
    struct loop_timer *t = CONTAINER_OF(uv, struct loop_timer, uv);

    t->armed_ms = 0;
    if (t->at_ms == 0) {
        return;
    }
    if (t->at_ms > (int64_t)uv_now(uv->loop)) {
        timer_arm(t);
        return;
    }
    t->at_ms = 0;
    t->fn(t);
}

enum status loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(struct loop_timer *t))
{
    t->at_ms = t->armed_ms = 0;
    t->fn = fn;
    return uv_timer_init(&l->uv, &t->uv) == 0 ? OK : ST_NOMEM;
}

void loop_timer_set(struct loop_timer *t, int64_t ms)
{
    t->at_ms = (int64_t)uv_now(t->uv.loop) + MAX_OF(ms, (int64_t)1);
    if (t->armed_ms == 0 || t->at_ms < t->armed_ms) {
        timer_arm(t);
    }
}

void loop_timer_off(struct loop_timer *t)
{
    t->at_ms = 0;
}

static void timer_gone(uv_handle_t *h)
{
    struct loop_timer *t = CONTAINER_OF(h, struct loop_timer, uv);

    t->fn(t);
}

void loop_timer_close(struct loop_timer *t, void (*closed)(struct loop_timer *t))
{
    t->fn = closed;
    uv_close((uv_handle_t *)&t->uv, timer_gone);
}
