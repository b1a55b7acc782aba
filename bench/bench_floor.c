/* bench/bench_floor.c - what the machine allows: the least that a server of small durable writes does.
 *     bench_floor PORT FILE SECONDS
 * One thread. It takes every request that is there, finds its body and one number in it, puts all bodies into one write to a
 * file of zeros, makes that durable, and answers each with `{}`. No route, no rule, no rights, no index, nothing that could be
 * read back. So what it spends on a request is TCP, epoll and the disk; the load generator runs against it as it does against the
 * program. Ends after so many seconds. */
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

enum { CONNS = 1100, IN_MAX = 64 * 1024, LOG_BYTES = 64 << 20, BLOCK = 4096, EVENTS = 256 };

struct conn {
    size_t n;
    bool due; /* a whole request has come */
    char in[IN_MAX];
};

static struct conn *conns[CONNS];
static int due[CONNS], due_n;
static char block[CONNS * BLOCK];
static volatile double sink;
static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: 26667b8c10502ae8b5ba6c64607402b8\r\n"
    "Content-Length: 2\r\n\r\n{}";

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
    for (off_t at = 0; at < LOG_BYTES; at += (off_t)sizeof(block)) {
        if (pwrite(fd, block, sizeof(block), at) != (ssize_t)sizeof(block)) fail(path);
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

/* One write, one sync, then every answer. */
static void commit(int log)
{
    static off_t at;
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
    for (int i = 0; i < due_n; i++) {
        struct conn *c = conns[due[i]];

        c->n = 0;
        c->due = false;
        if (send(due[i], answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0) close(due[i]);
    }
    due_n = 0;
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
    listener = listen_on(argv[1]);
    log = open_log(argv[2]);
    end = time(NULL) + (time_t)strtoul(argv[3], NULL, 10);
    watch(epoll, listener);
    while (time(NULL) < end) {
        int n = epoll_wait(epoll, events, EVENTS, 100);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                take_connections(epoll, listener);
            } else {
                take_request(events[i].data.fd);
            }
        }
        if (due_n) commit(log);
    }
    return 0;
}
