/* tests/10module/test_net_flow.c - slow and absent clients, back-pressure, many connections, drain, memory failures. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "netfix.h"
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

static void short_times(struct http_server_options *o)
{
    o->limits.head_ms = 300;
    o->limits.body_ms = 300;
    o->limits.write_ms = 300;
    o->limits.idle_ms = 300;
    o->limits.linger_ms = 300;
}

TEST(test_net_slow_client)
{
    struct nf_answer a;
    struct nf f;
    int64_t begin;
    int fd;

    nf_start(&f, short_times);
    /* Nothing at all: closed without a word. */
    fd = nf_connect(&f);
    T_OK(nf_closed(fd));
    (void)close(fd);
    /* A head that trickles in does not win time with each byte. */
    fd = nf_connect(&f);
    begin = clock_mono_ms();
    nf_send(fd, "GET /hello HTTP/1.1\r\nX: ");
    for (int i = 0; i < 100; i++) {
        struct timespec nap = { .tv_nsec = 20 * 1000000 };
        char c = 'x';

        if (send(fd, &c, 1, MSG_NOSIGNAL) != 1) {
            break;
        }
        char got;
        if (recv(fd, &got, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
            break;
        }
        (void)nanosleep(&nap, NULL);
    }
    T_OK(clock_mono_ms() - begin < 1500);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 408);
    nf_answer_release(&a);
    (void)close(fd);
    /* A body that stops. */
    for (int i = 0; i < 2; i++) {
        fd = nf_connect(&f);
        nf_send(fd, i == 0 ? "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc"
                           : "POST /count HTTP/1.1\r\n" HOST
                             "Transfer-Encoding: chunked\r\n\r\n5\r\nab");
        T_OK(nf_answer(fd, &a));
        T_INT(a.status, 408);
        T_CSTR(nf_field(&a, "connection"), "close");
        nf_answer_release(&a);
        (void)close(fd);
    }
    /* Keep-alive without a further request. */
    fd = nf_connect(&f);
    nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fd, &a));
    nf_answer_release(&a);
    T_OK(nf_closed(fd));
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_stalled_reader)
{
    struct nf f;
    struct net_figures m;
    int fd;

    /* An answer nobody reads is cut after write_ms, so stop() need not wait for it. */
    nf_start(&f, short_times);
    fd = nf_connect(&f);
    nf_send(fd, "GET /known/1000000000 HTTP/1.1\r\n" HOST "\r\n");
    int64_t end = clock_mono_ms() + 15000;

    do {
        struct timespec nap = { .tv_nsec = 20 * 1000000 };

        (void)nanosleep(&nap, NULL);
        http_server_metrics(f.server, &m);
    } while (m.requests[0] == 0 && clock_mono_ms() < end);
    T_UINT(m.requests[0], 1);
    (void)close(fd);
    nf_stop(&f);
}

/* Sends n bytes of a body in another process, so that only the server's memory is measured here. */
static pid_t send_in_child(int fd, uint64_t n, const char *want)
{
    enum { BLOCK = 1 << 20 };
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char *p = mem_zalloc(BLOCK, 1);
        struct nf_answer a;

        while (n > 0) {
            size_t k = (size_t)MIN_OF(n, (uint64_t)BLOCK);

            nf_sendn(fd, p, k);
            n -= k;
        }
        T_OK(nf_answer(fd, &a));
        T_CSTR(a.body, want);
        _exit(0);
    }
    return pid;
}

static void check_child(pid_t pid)
{
    int status = 0;

    T_INT(waitpid(pid, &status, 0), pid);
    T_INT(status, 0);
}

TEST_LIMIT(test_net_upload_4gb, 240)
{
    const uint64_t n = 4ull << 30;
    uint64_t before, most = 0;
    struct net_figures m;
    char head[256], want[32];
    struct nf f;
    pid_t pid;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    (void)snprintf(head, sizeof(head),
                   "POST /count HTTP/1.1\r\n" HOST "Content-Length: %llu\r\n\r\n",
                   (unsigned long long)n);
    (void)snprintf(want, sizeof(want), "%llu", (unsigned long long)n);
    before = nf_rss();
    nf_send(fd, head);
    pid = send_in_child(fd, n, want);
    do {
        struct timespec nap = { .tv_nsec = 50 * 1000000 };

        (void)nanosleep(&nap, NULL);
        most = MAX_OF(most, nf_rss());
        http_server_metrics(f.server, &m);
    } while (m.requests[2] == 0 && m.requests[0] == 0);
    check_child(pid);
    t_note("4 GiB in: at most %lld KiB more", ((long long)most - (long long)before) / 1024);
    T_OK(most < before + (16u << 20));
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_backpressure_upload)
{
    const uint64_t n = 64ull << 20;
    struct net_figures m, later;
    uint64_t before;
    char head[256];
    struct nf f;
    pid_t pid;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    (void)snprintf(head, sizeof(head),
                   "POST /hold HTTP/1.1\r\n" HOST "Content-Length: %llu\r\n\r\n",
                   (unsigned long long)n);
    before = nf_rss();
    nf_send(fd, head);
    pid = send_in_child(fd, n, "67108864");
    T_OK(exec_event_wait(f.arrived, 10000));
    /* The handler asks for nothing: nothing is read, the client is stopped by its socket. */
    struct timespec nap = { .tv_nsec = 300 * 1000000 };

    http_server_metrics(f.server, &later);
    do { /* comes to rest, on a busy machine later than on an idle one */
        m = later;
        (void)nanosleep(&nap, NULL);
        http_server_metrics(f.server, &later);
    } while (later.bytes_in != m.bytes_in);
    T_OK(m.bytes_in < 100000);
    T_OK(nf_rss() < before + (4u << 20));
    nf_release(&f);
    check_child(pid);
    (void)close(fd);
    nf_stop(&f);
}

enum { HELD_BODY = 200 * 1024, HELD_MAX = 300 * 1024 };

static void little_room(struct http_server_options *o)
{
    o->limits.held_max = HELD_MAX;
}

static void little_room_short_times(struct http_server_options *o)
{
    short_times(o);
    o->limits.held_max = HELD_MAX;
}

static pid_t post_slow(struct nf *f, int *fd)
{
    char head[128];

    *fd = nf_connect(f);
    (void)snprintf(head, sizeof(head), "POST /slow HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
                   (int)HELD_BODY);
    nf_send(*fd, head);
    return send_in_child(*fd, HELD_BODY, "late");
}

/* While the answers to what is in memory wait, further bodies stay where they are; small requests and those without a body pass. */
TEST(test_net_bodies_wait_for_room)
{
    enum { CLIENTS = 6 };
    struct timespec nap = { .tv_nsec = 300 * 1000000 };
    struct net_figures m, later;
    pid_t pids[CLIENTS];
    int fds[CLIENTS];
    struct nf_answer a;
    struct nf f;

    nf_start(&f, little_room);
    for (int i = 0; i < CLIENTS; i++) {
        pids[i] = post_slow(&f, &fds[i]);
    }
    T_OK(exec_event_wait(f.arrived, 10000));
    http_server_metrics(f.server, &later);
    do { /* comes to rest */
        m = later;
        (void)nanosleep(&nap, NULL);
        http_server_metrics(f.server, &later);
    } while (later.bytes_in != m.bytes_in);
    /* One whole body, and of each other at most what came with its head. */
    T_OK(m.bytes_in >= HELD_BODY && m.bytes_in < HELD_BODY + CLIENTS * 20000);
    nf_ask(&f, "POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\nContent-Length: 2\r\n\r\nhi",
           &a);
    T_CSTR(a.body, "hi");
    nf_answer_release(&a);
    nf_ask(&f, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", &a);
    T_INT(a.status, 200);
    nf_answer_release(&a);
    nf_release(&f);
    for (int i = 0; i < CLIENTS; i++) {
        check_child(pids[i]);
        (void)close(fds[i]);
    }
    nf_stop(&f);
}

TEST(test_net_bodies_wait_no_longer)
{
    struct nf_answer a;
    char head[128];
    struct nf f;
    int fd, gone, fd0;
    pid_t first;

    nf_start(&f, little_room_short_times);
    first = post_slow(&f, &fd0);
    T_OK(exec_event_wait(f.arrived, 10000));
    (void)snprintf(head, sizeof(head), "POST /slow HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
                   (int)HELD_BODY);
    gone = nf_connect(&f); /* a client that does not wait */
    nf_send(gone, head);
    (void)close(gone);
    fd = nf_connect(&f);
    nf_send(fd, head);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 503);
    T_CSTR(nf_field(&a, "retry-after"), "1");
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    (void)close(fd);
    nf_release(&f);
    check_child(first);
    (void)close(fd0);
    nf_stop(&f);
}

TEST_LIMIT(test_net_stalled_download, 120)
{
    struct net_figures m, later;
    uint64_t before;
    char block[65536], path[512];
    struct timespec nap = { .tv_nsec = 300 * 1000000 };
    FILE *file;
    struct nf f;

    nf_start(&f, NULL);
    (void)snprintf(path, sizeof(path), "%s/sparse", t_tmpdir());
    file = fopen(path, "w+");
    T_OK(file != NULL);
    T_INT(ftruncate(fileno(file), 1ll << 30), 0);
    f.file_fd = fileno(file);
    f.file_n = 1ull << 30;
    for (int i = 0; i < 3; i++) {
        static const char *const routes[] = { "/file", "/stream/20000", "/known/1000000000" };
        int fd = nf_connect(&f);
        size_t got = 0;

        (void)snprintf(path, sizeof(path), "GET %s HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
                       routes[i]);
        before = nf_rss();
        nf_send(fd, path);
        /* stalled: comes to rest long before its end, on a busy machine later than on an idle one */
        http_server_metrics(f.server, &later);
        do {
            m = later;
            (void)nanosleep(&nap, NULL);
            http_server_metrics(f.server, &later);
        } while (later.bytes_out != m.bytes_out);
        T_OK(nf_rss() < before + (4u << 20));
        for (ssize_t k = 1; k > 0; got += (size_t)k) {
            k = recv(fd, block, sizeof(block), 0);
            T_OK(k >= 0);
        }
        T_OK(got > 900u << 20); /* and went on */
        T_OK(nf_rss() < before + (8u << 20));
        (void)close(fd);
    }
    (void)fclose(file);
    nf_stop(&f);
}

TEST_LIMIT(test_net_idle_10000, 120)
{
    enum { CONNECTIONS = 10000 };
    struct rlimit lim;
    uint64_t before, after;
    struct net_figures m;
    struct nf f;
    int ready[2], go[2], n = CONNECTIONS;
    char c = 0;
    pid_t pid;

    T_INT(getrlimit(RLIMIT_NOFILE, &lim), 0);
    lim.rlim_cur = lim.rlim_max;
    T_INT(setrlimit(RLIMIT_NOFILE, &lim), 0);
    if (lim.rlim_cur < CONNECTIONS + 100) {
        n = (int)lim.rlim_cur - 100;
        t_note("only %d descriptors: %d connections", (int)lim.rlim_cur, n);
    }
    nf_start(&f, NULL);
    T_INT(pipe(ready), 0);
    T_INT(pipe(go), 0);
    before = nf_rss();
    pid = fork();
    T_OK(pid >= 0);
    if (pid == 0) {
        struct nf_answer a;

        for (int i = 0; i < n; i++) {
            int fd = nf_connect(&f);

            nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
            T_OK(nf_answer(fd, &a));
            T_INT(a.status, 200);
            nf_answer_release(&a);
        }
        T_INT(write(ready[1], "r", 1), 1);
        T_INT(read(go[0], &c, 1), 1);
        _exit(0);
    }
    T_INT(read(ready[0], &c, 1), 1);
    after = nf_rss();
    http_server_metrics(f.server, &m);
    T_UINT(m.open, n);
    t_note("%d idle connections: %llu KiB more, %llu bytes each", n,
           (unsigned long long)(after - before) / 1024,
           (unsigned long long)(after - before) / (unsigned long long)n);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    T_OK(after < before + (100ull << 20) / 10000 * (unsigned long long)n);
#endif
    T_INT(write(go[1], "g", 1), 1);
    check_child(pid);
    nf_stop(&f);
}

TEST(test_net_client_gone)
{
    struct net_figures m;
    struct nf f;
    int64_t end;
    int fd;

    /* The handler is at work while its client breaks the connection: the answer is thrown away. */
    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "GET /slow HTTP/1.1\r\n" HOST "\r\n");
    T_OK(exec_event_wait(f.arrived, 10000));
    struct linger hard = { .l_onoff = 1 };

    T_INT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    (void)close(fd); /* a reset */
    nf_release(&f);
    end = clock_mono_ms() + 10000;
    do {
        http_server_metrics(f.server, &m);
    } while (m.in_work > 0 && clock_mono_ms() < end);
    T_UINT(m.in_work, 0);
    nf_stop(&f);
}

TEST(test_net_half_closed)
{
    struct nf_answer a;
    struct nf f;
    int fd;

    /* A client that ends its direction still gets its answer. */
    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "GET /slow HTTP/1.1\r\n" HOST "\r\n");
    T_OK(exec_event_wait(f.arrived, 10000));
    T_INT(shutdown(fd, SHUT_WR), 0);
    nf_release(&f);
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "late");
    nf_answer_release(&a);
    (void)close(fd);
    nf_stop(&f);
}

struct stopper {
    struct nf *f;
    struct exec_event *done;
};

static void stop_server(void *ctx)
{
    struct stopper *s = ctx;

    T_ST(http_server_stop(s->f->server, 10000, 5000, NULL), OK);
    exec_event_set(s->done);
}

TEST(test_net_drain)
{
    enum { WAITING = 20 };
    struct exec_thread *t = NULL;
    struct stopper s;
    struct nf_answer a;
    int idle, slow, fresh, late[WAITING];
    struct nf f;

    nf_start(&f, NULL);
    s.f = &f;
    s.done = exec_event_new();
    idle = nf_connect(&f);
    nf_send(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(idle, &a));
    nf_answer_release(&a);
    slow = nf_connect(&f);
    nf_send(slow, "GET /slow HTTP/1.1\r\n" HOST "\r\n");
    T_OK(exec_event_wait(f.arrived, 10000));
    fresh = nf_connect(&f);
    /* Connected, their requests sent, maybe not accepted yet. */
    for (int i = 0; i < WAITING; i++) {
        late[i] = nf_connect(&f);
        nf_send(late[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    }
    T_ST(exec_thread_new(&t, "stopper", stop_server, &s, NULL), OK);
    for (int i = 0; i < WAITING; i++) {
        T_OK(nf_answer(late[i], &a));
        T_INT(a.status, 200);
        nf_answer_release(&a);
        T_OK(nf_closed(late[i]));
        (void)close(late[i]);
    }
    T_OK(nf_closed(idle));
    nf_send(fresh, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fresh, &a));
    T_INT(a.status, 200);
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    T_OK(nf_closed(fresh));
    T_OK(!exec_event_wait(s.done, 0)); /* one request is still in work */
    nf_release(&f);
    T_OK(nf_answer(slow, &a));
    T_CSTR(a.body, "late");
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    T_OK(nf_closed(slow));
    (void)close(idle);
    (void)close(fresh);
    (void)close(slow);
    T_OK(exec_event_wait(s.done, 10000));
    exec_thread_join(t);
    exec_event_free(s.done);
    int fd;

    T_OK(sock_connect(f.address, &fd, NULL) != OK); /* nobody listens any more */
    nf_stop(&f);
}

/* Clients that never stop asking while the server goes down: what was worked on was answered, in full. */
struct asker {
    struct nf *f;
    struct exec_thread *thread;
    uint64_t answers;
    bool broken; /* an answer that began and did not end */
};

static bool ask_once(int fd, bool *broken)
{
    static const char ask[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello";
    char text[2048];
    size_t n = 0;

    if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(ask) - 1) {
        return false;
    }
    while (n < 9 || memcmp(text + n - 9, "\r\n\r\nhello", 9) != 0) {
        ssize_t k = recv(fd, text + n, sizeof(text) - n, 0);

        if (k <= 0) {
            *broken = n > 0;
            return false;
        }
        n += (size_t)k;
    }
    return true;
}

static void ask_on(void *ctx)
{
    struct asker *a = ctx;
    int fd;

    while (sock_connect(a->f->address, &fd, NULL) == OK) {
        while (ask_once(fd, &a->broken)) {
            a->answers++;
        }
        (void)close(fd);
    }
}

TEST(test_net_drain_under_load)
{
    struct asker askers[8];
    struct net_figures m;
    struct nf f;
    uint64_t answers = 0;

    nf_start(&f, NULL);
    memset(askers, 0, sizeof(askers));
    for (size_t i = 0; i < ARRAY_N(askers); i++) {
        askers[i].f = &f;
        T_ST(exec_thread_new(&askers[i].thread, "asker", ask_on, &askers[i], NULL), OK);
    }
    do {
        http_server_metrics(f.server, &m);
    } while (m.requests[2] < 2000);
    T_ST(http_server_stop(f.server, 10000, 5000, NULL), OK);
    for (size_t i = 0; i < ARRAY_N(askers); i++) {
        exec_thread_join(askers[i].thread);
        answers += askers[i].answers;
        T_OK(!askers[i].broken);
    }
    http_server_metrics(f.server, &m);
    T_UINT(m.requests[2], answers);
    T_UINT(m.requests[0], 0);
    t_note("%llu answers", (unsigned long long)answers);
    nf_stop(&f);
}

TEST(test_net_drain_deadline)
{
    struct nf f;
    int fd, busy;

    /* A client that never takes its answer cannot hold up the end. */
    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "GET /known/1000000000 HTTP/1.1\r\n" HOST "\r\n");
    busy = nf_connect(&f);
    nf_send(busy, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab");
    T_ST(http_server_stop(f.server, 200, 5000, NULL), OK);
    nf_stop(&f);
    (void)close(fd);
    (void)close(busy);
}

static void few_connections(struct http_server_options *o)
{
    o->limits.conn_max = 5;
}

TEST(test_net_conn_max)
{
    struct nf_answer a;
    struct nf f;
    int fds[5], fd;

    nf_start(&f, few_connections);
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        fds[i] = nf_connect(&f);
        nf_send(fds[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        T_OK(nf_answer(fds[i], &a));
        nf_answer_release(&a);
    }
    fd = nf_connect(&f);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 503);
    T_CSTR(nf_field(&a, "retry-after"), "1");
    nf_answer_release(&a);
    (void)close(fd);
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        (void)close(fds[i]);
    }
    nf_stop(&f);
}

/* Every request is answered in full or with 503, or its connection is closed; the server lives and leaks nothing. */
TEST_LIMIT(test_net_out_of_memory, 120)
{
    static const char *const asks[] = {
        "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        "POST /count HTTP/1.1\r\n" HOST
        "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "GET /stream/3 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "GET /text/50000 HTTP/1.1\r\n" HOST "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n",
        "GET /nothing HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
    };
    unsigned served = 0, refused = 0, closed = 0;
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    for (size_t k = 0; k < ARRAY_N(asks); k++) {
        for (int64_t n = 1; n <= 30; n++) {
            int fd = nf_connect(&f);
            char text[65536];
            size_t got = 0;

            mem_fail_after(n, true);
            nf_send(fd, asks[k]);
            for (ssize_t r = 1; r > 0 && got < sizeof(text) - 1; got += (size_t)MAX_OF(r, 0)) {
                r = recv(fd, text + got, sizeof(text) - 1 - got, 0);
            }
            mem_fail_never();
            text[got] = '\0';
            (void)close(fd);
            if (got == 0) {
                closed++;
            } else if (strstr(text, " 503 ")) {
                refused++;
            } else {
                T_OK(strstr(text, " 200 ") || strstr(text, " 404 "));
                served++;
            }
        }
    }
    t_note("served %u, 503 %u, closed %u", served, refused, closed);
    T_OK(served > 0 && refused > 0);
    nf_ask(&f, asks[0], &a);
    T_INT(a.status, 200);
    nf_answer_release(&a);
    nf_stop(&f);
}

/* A client that goes while a pool thread works on a piece of its body: the piece stays. (The sanitizers see it.) */
TEST(test_net_piece_outlives_its_connection)
{
    const struct linger reset = { .l_onoff = 1 };
    struct nf f;

    nf_start(&f, NULL);
    for (int i = 0; i < 20; i++) {
        int fd = nf_connect(&f);

        nf_send(fd,
                "POST /hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n0123456789");
        T_OK(exec_event_wait(f.arrived, 30000));
        T_INT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        nf_release(&f);
        (void)close(fd);
    }
    nf_stop(&f);
}
