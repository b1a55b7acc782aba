/* bench/bench_floor.c - what the machine allows: the least that a server of small durable writes does.
 *     bench_floor PORT FILE SECONDS
 * One thread. It takes every request that is there, finds its body and one number in it, puts all bodies into one write to a
 * file of zeros, makes that durable, and answers each: with `{}`, or a request that makes a run with as many bytes as the program
 * does. Nobody is answered before that. No route, no rule, no rights, no index, nothing that could be read back. So what it spends on
 * a request is TCP, epoll and the disk; the load generator runs against it as it does against the program.
 * It does what makes this cheapest: where several connections write, a write waits until seven of eight have something, as the
 * program does (twice the time of a sync at most, and a millisecond), and the file is as large as the log of the program and was
 * written page by page, so that the system syncs pages and not folios of megabytes. Ends after so many seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNS = 1100,
    IN_MAX = 64 * 1024,
    LOG_BYTES = 8 << 20,
    BLOCK = 4096,
    EVENTS = 256,
    WAIT_MAX_NS = 1000000,
    RUN_ID = 32
};

struct conn {
    size_t n;
    bool due; /* a whole request has come */
    char in[IN_MAX];
};

static struct conn *conns[CONNS];
static int due[CONNS], due_n, open_n;
static int64_t took_ns,
    wait_until_ns; /* what a write and its sync take; when the next one is not waited for any longer */
static char block[CONNS * BLOCK];
static volatile double sink;
static const char answer[] =
    "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 08:33:31 GMT\r\nContent-Type: application/json\r\n"
    "X-Request-Id: 26667b8c10502ae8b5ba6c64607402b8\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: SAMEORIGIN\r\n"
    "Content-Length: 2\r\n\r\n{}";
/* A run as the program answers it, as many bytes of it; its id is counted up. */
static const char run_made[] =
    "{\"run\":{\"info\":{\"run_id\":\"00000000000000000000000000000000\",\"run_uuid\":\"00000000000000000000000000000000\","
    "\"run_name\":\"run-1000000-00\",\"experiment_id\":\"1\",\"user_id\":\"user-10\",\"status\":\"RUNNING\",\"start_time\":1700000000000,"
    "\"artifact_uri\":\"mlflow-artifacts:/1/00000000000000000000000000000000/artifacts\",\"lifecycle_stage\":\"active\"},"
    "\"data\":{\"tags\":[{\"key\":\"mlflow.runName\",\"value\":\"run-1000000-00\"},{\"key\":\"mlflow.user\",\"value\":"
    "\"user-10\"}]}}}";
static char made[sizeof(answer) + sizeof(run_made)], *made_id;
static size_t made_n;

static void fail(const char *what)
{
    fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_on(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, CONNS) != 0) {
        fail("listen");
    }
    return fd;
}

/* A file that is written once, so that a sync has no metadata to write. */
static int open_log(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) fail(path);
    for (off_t at = 0; at < LOG_BYTES; at += BLOCK) {
        if (pwrite(fd, block, BLOCK, at) != BLOCK) fail(path);
    }
    if (fsync(fd) != 0) fail(path);
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) fail("epoll");
}

static void take_connections(int epoll, int listener)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= CONNS) {
            close(fd);
            continue;
        }
        if (!conns[fd] && !(conns[fd] = malloc(sizeof(**conns)))) fail("memory");
        conns[fd]->n = 0;
        conns[fd]->due = false;
        open_n++;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(epoll, fd);
    }
}

/* The body of a whole request, NULL before it is there. */
static const char *body_of(struct conn *c, size_t *n)
{
    const char *end, *length;

    c->in[c->n] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end) return NULL;
    length = strcasestr(c->in, "content-length:");
    *n = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
    return (size_t)(end + 4 - c->in) + *n <= c->n ? end + 4 : NULL;
}

static void take_request(int fd)
{
    struct conn *c = conns[fd];
    ssize_t r = recv(fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
    const char *body, *value;
    size_t n;

    if (r < 0 && errno == EAGAIN) return;
    if (r <= 0) {
        close(fd);
        open_n--;
        return;
    }
    c->n += (size_t)r;
    body = body_of(c, &n);
    if (!body || c->due) return;
    value = strstr(body, "\"value\":");
    if (value) sink = strtod(value + 8, NULL);
    c->due = true;
    due[due_n++] = fd;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The answer to what a connection has asked for. */
static void answer_to(int fd)
{
    struct conn *c = conns[fd];
    const char *p = answer;
    size_t n = sizeof(answer) - 1;
    bool makes = memmem(c->in, c->n < 64 ? c->n : 64, "/runs/create", 12) != NULL;

    if (makes) {
        for (char *digit = made_id + RUN_ID - 1; ++*digit > '9'; digit--) {
            *digit = '0';
        }
        p = made;
        n = made_n;
    }
    c->n = 0;
    c->due = false;
    if (send(fd, p, n, MSG_NOSIGNAL) < 0) close(fd);
}

/* One write, one sync, then every answer. */
static void commit(int log)
{
    static off_t at;
    int64_t began = now_ns();
    size_t used = 0, want;

    for (int i = 0; i < due_n; i++) {
        struct conn *c = conns[due[i]];
        size_t n, room = sizeof(block) - used;
        const char *body = body_of(c, &n);

        n = n < room ? n : room;
        if (body) memcpy(block + used, body, n);
        used += n;
    }
    want = (used + BLOCK - 1) / BLOCK * BLOCK;
    if (at + (off_t)want > LOG_BYTES) at = 0;
    if (want && (pwrite(log, block, want, at) != (ssize_t)want || fdatasync(log) != 0)) fail("log");
    at += (off_t)want;
    took_ns += (now_ns() - began - took_ns) / 8;
    for (int i = 0; i < due_n; i++) {
        answer_to(due[i]);
    }
    due_n = 0;
    wait_until_ns = now_ns() + (2 * took_ns < WAIT_MAX_NS ? 2 * took_ns : WAIT_MAX_NS);
}

/* How long the next write waits for more: 0 = no longer. */
static int64_t wait_ns(void)
{
    int64_t left = wait_until_ns - now_ns();

    return due_n < open_n - open_n / 8 && left > 0 ? left : 0;
}

static void build_answers(void)
{
    int head =
        snprintf(made, sizeof(made), "%.*sContent-Length: %zu\r\n\r\n",
                 (int)(strstr(answer, "Content-Length") - answer), answer, sizeof(run_made) - 1);

    memcpy(made + head, run_made, sizeof(run_made) - 1);
    made_n = (size_t)head + sizeof(run_made) - 1;
    made_id = strstr(made, "run_id") + 9;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC), listener, log;
    time_t end;

    if (argc != 4) {
        fprintf(stderr, "usage: bench_floor PORT FILE SECONDS\n");
        return 2;
    }
    build_answers();
    listener = listen_on(argv[1]);
    log = open_log(argv[2]);
    end = time(NULL) + (time_t)strtoul(argv[3], NULL, 10);
    watch(epoll, listener);
    while (time(NULL) < end) {
        struct timespec wait = { .tv_nsec = due_n ? (long)wait_ns() : 100000000 };
        int n = epoll_pwait2(epoll, events, EVENTS, &wait, NULL);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take_connections(epoll, listener);
            } else {
                take_request(events[i].data.fd);
            }
        }
        if (due_n && wait_ns() == 0) commit(log);
    }
    return 0;
}
