/* net/server.c - listening sockets, workers, start and drain.
 * Loop 0 accepts for everybody: one socket, descriptors handed out in turn, so no connection waits in a queue that a
 * closing listener would reset. */
#include "net/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sys.h"
#include "net/http_int.h"
#include "net/tls.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { LISTENER_MAX = 4, ACCEPT_BATCH = 64, ACCEPT_PAUSE_MS = 100 };

struct http_listener {
    struct http_server *server;
    int fd;
    unsigned port;
    bool polling, has_timer;
    uv_poll_t poll;
    struct loop_timer pause;
};

/* ---- options ------------------------------------------------------------------------------------------------------ */

void http_limits_default(struct http_limits *l)
{
    *l = (struct http_limits){
        .line_max = 16 * 1024,
        .head_max = 64 * 1024,
        .field_max = 100,
        .body_max = 64ull << 20,
        .stream_max = 1ull << 40,
        .bodies_max = 1ull << 30,
        .arena_max = 256u << 20,
        .conn_max = 16384,
        .head_ms = 10 * 1000,
        .body_ms = 30 * 1000,
        .write_ms = 60 * 1000,
        .idle_ms = 75 * 1000,
        .linger_ms = 2 * 1000,
    };
}

void http_server_options_init(struct http_server_options *o)
{
    memset(o, 0, sizeof(*o));
    http_limits_default(&o->limits);
}

/* ---- workers ------------------------------------------------------------------------------------------------------ */

void http_worker_check_idle(struct http_worker *w)
{
    if (w->conns.draining && w->conns.n == 0 && w->reqs == 0) {
        exec_event_set(w->event);
    }
}

struct arena *http_worker_arena(struct http_worker *w)
{
    return w->arenas_n > 0 ? w->arenas[--w->arenas_n] : arena_new(w->server->opt.limits.arena_max);
}

void http_worker_arena_back(struct http_worker *w, struct arena *a)
{
    if (w->arenas_n < HTTP_SPARES) {
        arena_reset(a);
        if (arena_bytes(a) <= HTTP_SPARE_ARENA_MAX) {
            w->arenas[w->arenas_n++] = a;
            return;
        }
    }
    arena_free(a);
}

char *http_worker_window(struct http_worker *w)
{
    return w->windows_n > 0 ? w->windows[--w->windows_n] : mem_alloc(HTTP_WINDOW_FIRST);
}

void http_worker_window_back(struct http_worker *w, char *window)
{
    if (w->windows_n < HTTP_SPARES) {
        w->windows[w->windows_n++] = window;
    } else {
        mem_free(window);
    }
}

static void free_spares(struct http_worker *w)
{
    mem_free(w->h2_in);
    mem_free(w->h2_out);
    while (w->arenas_n > 0) {
        arena_free(w->arenas[--w->arenas_n]);
    }
    while (w->windows_n > 0) {
        mem_free(w->windows[--w->windows_n]);
    }
}

static void conn_closed(struct conn_owner *o)
{
    struct http_worker *w = CONTAINER_OF(o, struct http_worker, conns);

    atomic_fetch_sub_explicit(&w->server->conns, 1, memory_order_relaxed);
    http_worker_check_idle(w);
}

static enum status worker_init(struct http_server *s, struct http_worker *w, unsigned i,
                               struct err *err)
{
    enum status st = loop_new(&w->loop, i, err);

    if (st) return st;
    w->server = s;
    w->id_base = rand_u64();
    w->resume.fn = http_worker_resume;
    w->conns = (struct conn_owner){
        .loop = w->loop,
        .tls = s->tls,
        .sniff_ms = s->opt.limits.head_ms,
        .closed = conn_closed,
    };
    w->event = exec_event_new();
    return w->event ? OK : err_nomem(err);
}

enum status http_server_new(struct http_server **out, const struct http_server_options *o,
                            const struct router *router, const struct http_hooks *hooks,
                            struct err *err)
{
    struct http_server *s = mem_zalloc(1, sizeof(*s));
    enum status st = OK;
    long cores;

    *out = NULL;
    if (!s) {
        return err_nomem(err);
    }
    s->opt = *o;
    s->router = router;
    s->hooks = *hooks;
    cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (s->opt.loop_n == 0) {
        s->opt.loop_n = (unsigned)MIN_OF(MAX_OF(cores, 1L), 4L);
    }
    s->opt.loop_n = MIN_OF(s->opt.loop_n, (unsigned)LOOP_MAX);
    s->workers = mem_zalloc(s->opt.loop_n, sizeof(*s->workers));
    s->listeners = mem_zalloc(LISTENER_MAX, sizeof(*s->listeners));
    if (!s->workers || !s->listeners) {
        st = err_nomem(err);
    } else if (o->tls.cert_file) {
        st = tls_new(&s->tls, o->tls.cert_file,
                     o->tls.key_file ? o->tls.key_file : o->tls.cert_file, err);
    }
    for (unsigned i = 0; i < s->opt.loop_n && st == OK; i++) {
        s->worker_n = i + 1;
        st = worker_init(s, &s->workers[i], i, err);
    }
    if (st) {
        http_server_free(s);
        return st;
    }
    *out = s;
    return OK;
}

void http_server_free(struct http_server *s)
{
    if (!s) {
        return;
    }
    CHECK(!s->running || s->stopped);
    for (unsigned i = 0; i < s->worker_n; i++) {
        loop_free(s->workers[i].loop);
        free_spares(&s->workers[i]);
        if (s->workers[i].event) {
            exec_event_free(s->workers[i].event);
        }
    }
    for (unsigned i = 0; i < s->listener_n; i++) {
        if (s->listeners[i].fd >= 0) {
            (void)sys.close(s->listeners[i].fd);
        }
    }
    tls_free(s->tls);
    mem_free(s->workers);
    mem_free(s->listeners);
    mem_free(s);
}

enum status http_server_listen(struct http_server *s, const char *address, struct err *err)
{
    struct http_listener *l;
    enum status st;

    if (s->listener_n == LISTENER_MAX || s->running) {
        return err_set(err, ST_TOO_BIG, "at most %d addresses, before the start", LISTENER_MAX);
    }
    l = &s->listeners[s->listener_n];
    st = sock_listen(address, s->opt.backlog > 0 ? s->opt.backlog : 1024, &l->fd, err);
    if (st) return st;
    l->server = s;
    l->port = sock_port(l->fd);
    s->listener_n++;
    return OK;
}

unsigned http_server_port(const struct http_server *s, unsigned i)
{
    return i < s->listener_n ? s->listeners[i].port : 0;
}

void http_server_metrics(const struct http_server *s, struct net_figures *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < s->worker_n; i++) {
        net_figures_add(out, loop_metrics(s->workers[i].loop));
    }
}

/* ---- accepting ---------------------------------------------------------------------------------------------------- */

static void open_task(struct loop_task *t)
{
    conn_open(CONTAINER_OF(t, struct conn, task));
}

static void refuse_conn(struct http_server *s, int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                               "Retry-After: 1\r\nConnection: close\r\n\r\n";
    const struct iovec iov = { (void *)(uintptr_t)text, sizeof(text) - 1 };

    if (!s->tls) {
        (void)sock.sendv(fd, &iov, 1, 0);
        (void)sock.shutdown(fd, SHUT_WR);
    }
    (void)sys.close(fd);
    net_count(&loop_metrics(s->workers[0].loop)->refused, 1);
}

static void hand_out(struct http_server *s, int fd, const struct sockaddr *addr)
{
    /* Only loop 0 accepts, so the turn needs no lock. */
    static _Thread_local unsigned turn;
    struct http_worker *w = &s->workers[turn++ % s->worker_n];
    struct conn *c;

    if (atomic_load_explicit(&s->conns, memory_order_relaxed) >= s->opt.limits.conn_max) {
        refuse_conn(s, fd);
        return;
    }
    if (addr->sa_family != AF_UNIX) {
        sock_nodelay(fd);
    }
    c = conn_new(&w->conns, fd, addr);
    if (!c) {
        net_count(&loop_metrics(s->workers[0].loop)->refused, 1);
        return;
    }
    atomic_fetch_add_explicit(&s->conns, 1, memory_order_relaxed);
    if (loop_is_current(w->loop)) {
        conn_open(c);
    } else {
        c->task.fn = open_task;
        loop_post(w->loop, &c->task);
    }
}

/* Accepts at most n; false when the queue is empty or accepting fails (errno). */
static bool accept_some(struct http_listener *l, unsigned n)
{
    for (; n > 0; n--) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof(addr);
        int fd;

        memset(&addr, 0, sizeof(addr));
        fd = sock.accept(l->fd, (struct sockaddr *)&addr, &len);
        if (fd >= 0) {
            hand_out(l->server, fd, (struct sockaddr *)&addr);
        } else if (errno != ECONNABORTED && errno != EPROTO) {
            return false;
        }
    }
    return true;
}

static void on_accept(uv_poll_t *poll, int status, int events);

static void pause_over(struct loop_timer *t)
{
    struct http_listener *l = CONTAINER_OF(t, struct http_listener, pause);

    (void)uv_poll_start(&l->poll, UV_READABLE, on_accept);
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
    struct http_listener *l = CONTAINER_OF(poll, struct http_listener, poll);

    (void)status;
    (void)events;
    if (!accept_some(l, ACCEPT_BATCH) && errno != EAGAIN) {
        LOG_WARN("net", "accept fails (%s): pausing for %d ms", strerror(errno), ACCEPT_PAUSE_MS);
        (void)uv_poll_stop(poll);
        loop_timer_set(&l->pause, ACCEPT_PAUSE_MS);
    }
}

/* ---- start and stop ------------------------------------------------------------------------------------------------ */

struct call {
    struct loop_task task;
    struct http_server *server;
    struct exec_event *done;
    enum status st;
};

static void start_task(struct loop_task *t)
{
    struct call *call = CONTAINER_OF(t, struct call, task);
    struct http_server *s = call->server;
    struct loop *loop = s->workers[0].loop;

    for (unsigned i = 0; i < s->listener_n && call->st == OK; i++) {
        struct http_listener *l = &s->listeners[i];

        if (loop_timer_init(loop, &l->pause, pause_over)) {
            call->st = ST_NOMEM;
            break;
        }
        l->has_timer = true;
        if (uv_poll_init(loop_uv(loop), &l->poll, l->fd) != 0) {
            call->st = ST_UNAVAILABLE;
            break;
        }
        l->polling = true;
        if (uv_poll_start(&l->poll, UV_READABLE, on_accept) != 0) {
            call->st = ST_UNAVAILABLE;
        }
    }
    exec_event_set(call->done);
}

static void timer_gone(struct loop_timer *t)
{
    (void)t;
}

/* What waits in the queues is accepted first: those clients believe they are connected. */
static void unlisten_task(struct loop_task *t)
{
    struct call *call = CONTAINER_OF(t, struct call, task);
    struct http_server *s = call->server;

    for (unsigned i = 0; i < s->listener_n; i++) {
        struct http_listener *l = &s->listeners[i];

        while (l->polling && accept_some(l, ACCEPT_BATCH)) {
        }
        if (l->polling) {
            (void)uv_poll_stop(&l->poll);
            uv_close((uv_handle_t *)&l->poll, NULL);
        }
        if (l->has_timer) {
            loop_timer_close(&l->pause, timer_gone);
        }
        (void)sys.close(l->fd);
        l->fd = -1;
        l->polling = l->has_timer = false;
    }
    exec_event_set(call->done);
}

/* Runs fn on a loop and waits for it. */
static enum status call_loop(struct http_server *s, void (*fn)(struct loop_task *t),
                             struct err *err)
{
    struct call call = { .task.fn = fn, .server = s };

    call.done = exec_event_new();
    if (!call.done) {
        return err_nomem(err);
    }
    loop_post(s->workers[0].loop, &call.task);
    (void)exec_event_wait(call.done, -1);
    exec_event_free(call.done);
    return call.st == OK ? OK : err_set(err, call.st, "the event loop takes no listener");
}

enum status http_server_start(struct http_server *s, struct err *err)
{
    enum status st = call_loop(s, start_task, err);

    s->running = true;
    if (st) {
        IGNORE_STATUS(http_server_stop(s, 0, 0, NULL)); /* nothing is connected */
    }
    return st;
}

static void drain_task(struct loop_task *t)
{
    struct http_worker *w = CONTAINER_OF(t, struct http_worker, drain);

    conn_drain_all(&w->conns);
    http_worker_check_idle(w);
}

static void force_task(struct loop_task *t)
{
    struct http_worker *w = CONTAINER_OF(t, struct http_worker, force);

    conn_close_all(&w->conns);
    http_worker_check_idle(w);
}

/* True when every worker has nothing left before the deadline. */
static bool wait_idle(struct http_server *s, int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;

    for (unsigned i = 0; i < s->worker_n; i++) {
        int64_t left = end - clock_mono_ms();

        if (!exec_event_wait(s->workers[i].event, MAX_OF(left, (int64_t)0))) {
            return false;
        }
    }
    return true;
}

enum status http_server_stop(struct http_server *s, int64_t drain_ms, int64_t grace_ms,
                             struct err *err)
{
    enum status st;

    if (!s->running || s->stopped) {
        return OK;
    }
    st = call_loop(s, unlisten_task, err);
    if (st) return st;
    for (unsigned i = 0; i < s->worker_n; i++) {
        s->workers[i].drain.fn = drain_task;
        loop_post(s->workers[i].loop, &s->workers[i].drain);
    }
    if (!wait_idle(s, drain_ms)) {
        for (unsigned i = 0; i < s->worker_n; i++) {
            s->workers[i].force.fn = force_task;
            loop_post(s->workers[i].loop, &s->workers[i].force);
        }
        if (!wait_idle(s, MAX_OF(grace_ms, (int64_t)100))) {
            return err_set(err, ST_DEADLINE, "some requests were not answered in time");
        }
    }
    s->stopped = true;
    return OK;
}
