/* base/sock.c - see sock.h. */
#include "base/sock.h"
#include "base/clock.h"
#include "base/num.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int real_accept(int fd, struct sockaddr *addr, socklen_t *n)
{
    int got;

    do {
        got = accept4(fd, addr, n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    return got;
}

static ssize_t real_recv(int fd, void *p, size_t n, int flags)
{
    ssize_t got;

    do {
        got = recv(fd, p, n, flags);
    } while (got < 0 && errno == EINTR);
    return got;
}

static ssize_t real_sendv(int fd, const struct iovec *iov, size_t iov_n, int flags)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = iov_n };
    ssize_t put;

    do { /* one piece is cheaper without the header of a message */
        put = iov_n == 1 ? send(fd, iov->iov_base, iov->iov_len, flags | MSG_NOSIGNAL)
                         : sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put;
}

static int real_shutdown(int fd, int how)
{
    return shutdown(fd, how);
}

#define SOCK_DEFAULT                                                                               \
    {                                                                                              \
        .accept = real_accept, .recv = real_recv, .sendv = real_sendv, .shutdown = real_shutdown   \
    }
struct sock_table sock = SOCK_DEFAULT;
const struct sock_table sock_default = SOCK_DEFAULT;

union sock_any {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage all;
};

static bool host_parse(struct str host, uint64_t port, union sock_any *a, socklen_t *n)
{
    char text[64];

    if (host.n == 0 || host.n >= sizeof(text) || port > 65535) {
        return false;
    }
    if (str_eq_lit(host, "*")) {
        host = S("0.0.0.0");
    } else if (str_eq_lit(host, "localhost")) {
        host = S("127.0.0.1");
    }
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (text[0] == '[' && text[host.n - 1] == ']') {
        text[host.n - 1] = '\0';
        a->in6.sin6_family = AF_INET6;
        a->in6.sin6_port = htons((uint16_t)port);
        *n = sizeof(a->in6);
        return inet_pton(AF_INET6, text + 1, &a->in6.sin6_addr) == 1;
    }
    a->in.sin_family = AF_INET;
    a->in.sin_port = htons((uint16_t)port);
    *n = sizeof(a->in);
    return inet_pton(AF_INET, text, &a->in.sin_addr) == 1;
}

static enum status sock_parse(const char *address, union sock_any *a, socklen_t *n, struct err *err)
{
    struct str s = str_cstr(address);
    size_t colon = SIZE_MAX;
    uint64_t port;

    memset(a, 0, sizeof(*a));
    if (str_starts(s, S("unix:"))) {
        s = str_sub(s, 5, SIZE_MAX);
        if (s.n == 0 || s.n >= sizeof(a->un.sun_path)) {
            return err_set(err, ST_INVALID, "the path of a unix socket has 1 to %zu bytes",
                           sizeof(a->un.sun_path) - 1);
        }
        a->un.sun_family = AF_UNIX;
        memcpy(a->un.sun_path, s.p, s.n);
        *n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + s.n + 1);
        return OK;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ':') {
            colon = i;
        }
    }
    if (colon == SIZE_MAX || !num_parse_u64(str_sub(s, colon + 1, SIZE_MAX), &port) ||
        !host_parse(str_sub(s, 0, colon), port, a, n)) {
        err_set(err, ST_INVALID, "address '%s' is not ADDRESS:PORT", address);
        err_hint(err, "examples: 127.0.0.1:5757, 0.0.0.0:80, [::1]:5757, unix:/run/cairn.sock");
        return ST_INVALID;
    }
    return OK;
}

enum status sock_listen(const char *address, int backlog, int *fd, struct err *err)
{
    union sock_any a;
    socklen_t n;
    const int one = 1;
    enum status st = sock_parse(address, &a, &n, err);
    int s;

    *fd = -1;
    if (st) return st;
    s = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return err_errno(err, errno, "socket for %s", address);
    }
    if (a.sa.sa_family == AF_UNIX) {
        (void)unlink(a.un.sun_path);
    } else {
        (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    if (a.sa.sa_family == AF_INET6) {
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (bind(s, &a.sa, n) != 0 || (a.sa.sa_family == AF_UNIX && chmod(a.un.sun_path, 0600) != 0) ||
        listen(s, backlog) != 0) {
        st = err_errno(err, errno, "listen on %s", address);
        (void)close(s);
        return st;
    }
    *fd = s;
    return OK;
}

enum status sock_connect(const char *address, int *fd, struct err *err)
{
    union sock_any a;
    socklen_t n;
    enum status st = sock_parse(address, &a, &n, err);
    int s, rc;

    *fd = -1;
    if (st) return st;
    s = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return err_errno(err, errno, "socket for %s", address);
    }
    do {
        rc = connect(s, &a.sa, n);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        st = err_errno(err, errno, "connect to %s", address);
        (void)close(s);
        return st;
    }
    sock_nodelay(s);
    *fd = s;
    return OK;
}

/* One address. 0, or what went wrong. */
static int dial_one(const struct addrinfo *ai, int64_t until_ms, int *fd)
{
    int s = sock_new(ai->ai_family, SOCK_STREAM, 0), failed = 0;
    socklen_t n = sizeof(failed);

    if (s < 0) {
        return errno;
    }
    if (connect(s, ai->ai_addr, ai->ai_addrlen) != 0) {
        failed = errno == EINTR ? EINPROGRESS : errno;
    }
    while (failed == EINPROGRESS) {
        int64_t left = until_ms - clock_mono_ms();

        if (sock_wait(s, POLLOUT, left)) {
            failed = getsockopt(s, SOL_SOCKET, SO_ERROR, &failed, &n) != 0 ? errno : failed;
            break;
        }
        if (left <= 0) {
            failed = ETIMEDOUT;
        }
    }
    if (failed) {
        (void)close(s);
        return failed;
    }
    sock_nodelay(s);
    *fd = s;
    return 0;
}

enum status sock_dial(const char *host, unsigned port, int64_t ms, int *fd, struct err *err)
{
    struct addrinfo want = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
    int64_t until = clock_mono_ms() + ms;
    char service[16];
    int rc;

    *fd = -1;
    (void)snprintf(service, sizeof(service), "%u", port);
    rc = getaddrinfo(host, service, &want, &found);
    if (rc != 0) {
        return err_set(err, ST_UNAVAILABLE, "%s is not known here: %s", host, gai_strerror(rc));
    }
    rc = ETIMEDOUT;
    for (const struct addrinfo *ai = found; ai && *fd < 0 && clock_mono_ms() < until;
         ai = ai->ai_next) {
        rc = dial_one(ai, until, fd);
    }
    freeaddrinfo(found);
    return *fd >= 0 ? OK : err_set(err, ST_UNAVAILABLE, "%s port %u: %s", host, port, strerror(rc));
}

unsigned sock_port(int fd)
{
    union sock_any a;
    socklen_t n = sizeof(a);

    if (getsockname(fd, &a.sa, &n) != 0) {
        return 0;
    }
    if (a.sa.sa_family == AF_INET) {
        return ntohs(a.in.sin_port);
    }
    return a.sa.sa_family == AF_INET6 ? ntohs(a.in6.sin6_port) : 0;
}

size_t sock_addr_text(const struct sockaddr *addr, char out[SOCK_ADDR_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "";
    union sock_any a;
    int n;

    memset(&a, 0, sizeof(a));
    if (addr->sa_family == AF_INET) {
        memcpy(&a.in, addr, sizeof(a.in));
        (void)inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host));
        n = snprintf(out, SOCK_ADDR_TEXT, "%s:%u", host, ntohs(a.in.sin_port));
    } else if (addr->sa_family == AF_INET6) {
        memcpy(&a.in6, addr, sizeof(a.in6));
        (void)inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host));
        n = snprintf(out, SOCK_ADDR_TEXT, "[%s]:%u", host, ntohs(a.in6.sin6_port));
    } else {
        n = snprintf(out, SOCK_ADDR_TEXT, "unix");
    }
    return n > 0 ? (size_t)n : 0;
}

void sock_nodelay(int fd)
{
    const int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

int sock_new(int family, int type, int protocol)
{
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
}

void sock_wake_from(int fd, size_t n)
{
    const int low = (int)MIN_OF(n, (size_t)INT32_MAX);

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof(low));
}

bool sock_wait(int fd, short events, int64_t ms)
{
    struct pollfd p = { .fd = fd, .events = events };

    return poll(&p, 1, (int)MIN_OF(MAX_OF(ms, (int64_t)0), (int64_t)60000)) > 0;
}
