/* tests/10module/test_net_hooks.c - what net asks the layers above: gate, error bodies, misses, logs; and the parts of
 * the machine alone: filters on a socket pair, a unix socket, sockets that move a byte at a time. */
#include "base/mem.h"
#include "base/sock.h"
#include "base/sys.h"
#include "net/conn.h"
#include "netfix.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

enum { ACTION_OPEN = 1, ACTION_CLOSED, ACTION_LATER };

static struct exec_pool *pool;
static atomic_int done_n, done_status, gated;

struct late {
    struct exec_job job;
    struct http_req *req;
};

static void admit_later(struct exec_job *job, unsigned worker)
{
    struct late *l = CONTAINER_OF(job, struct late, job);

    (void)worker;
    l->req->principal = (void *)(uintptr_t) "pool";
    if (str_eq_lit(http_header(l->req, S("authorization")), "no")) {
        http_status(l->req, 403);
        http_send(l->req, S("refused later"));
    } else {
        http_accept(l->req);
    }
}

static void gate(void *ctx, struct http_req *req)
{
    (void)ctx;
    atomic_fetch_add(&gated, 1);
    if (req->route->action == ACTION_OPEN) {
        http_accept(req);
    } else if (req->route->action == ACTION_CLOSED) {
        http_status(req, 401);
        http_add_header(req, S("WWW-Authenticate"), S("Basic realm=\"test\""));
        http_send(req, S("who are you?"));
    } else {
        struct late *l = ARENA_NEW(req->arena, struct late);

        T_OK(l != NULL);
        l->req = req;
        l->job.run = admit_later;
        T_ST(exec_pool_submit(pool, &l->job), OK);
    }
}

static void handle(void *ctx, struct http_req *req)
{
    (void)ctx;
    http_add_header(req, S("X-Bad"), S("a\r\nSet-Cookie: x=1")); /* dropped */
    http_add_header(req, S("X Bad"), S("a"));                    /* dropped */
    http_add_headerf(req, S("X-Who"), "%s", req->principal ? (const char *)req->principal : "none");
    http_send(req, req->body);
}

static void json_error(void *ctx, struct http_req *req, int status, const struct err *err)
{
    (void)ctx;
    http_status(req, status);
    http_type(req, "application/json");
    http_send(req, arena_printf(req->arena, "{\"code\": \"%s\"}", status_row(err->code)->mlflow));
}

static void json_miss(void *ctx, struct http_req *req, enum http_miss miss)
{
    (void)ctx;
    http_status(req, miss == HTTP_MISS_PATH ? 404 : 405);
    http_send(req, S("{}"));
}

static void done(void *ctx, struct http_req *req, int status, uint64_t body_bytes, int64_t took_ns)
{
    (void)ctx;
    (void)body_bytes;
    T_OK(strlen(req->id) == HTTP_ID_N && took_ns >= 0);
    atomic_fetch_add(&done_n, 1);
    atomic_store(&done_status, status);
}

static const struct route routes[] = {
    ROUTE(HTTP_POST, "/open", NULL, NULL, 0, ACTION_OPEN, NULL),
    ROUTE(HTTP_POST, "/closed", NULL, NULL, 0, ACTION_CLOSED, NULL),
    ROUTE(HTTP_POST, "/later", NULL, NULL, 0, ACTION_LATER, NULL),
    ROUTE_BODY(HTTP_POST, "/nobody", NULL, NULL, 0, ACTION_OPEN, NULL, HTTP_BODY_NONE, 0),
};

static void start(struct nf *f, const char *address)
{
    const struct http_hooks hooks = {
        .gate = gate, .handle = handle, .no_route = json_miss, .error = json_error, .done = done
    };
    struct http_server_options o;
    struct err err = ERR_INIT;

    net_init();
    memset(f, 0, sizeof(*f));
    http_server_options_init(&o);
    o.loop_n = 1;
    o.limits.body_max = 100;
    T_ST_ERR(exec_pool_new(&pool, "test", 1, 100, &err), OK, &err);
    T_ST_ERR(router_new(&f->router, &err), OK, &err);
    T_ST_ERR(router_add(f->router, routes, ARRAY_N(routes), NULL, 0, NULL, &err), OK, &err);
    T_ST_ERR(http_server_new(&f->server, &o, f->router, &hooks, &err), OK, &err);
    T_ST_ERR(http_server_listen(f->server, address, &err), OK, &err);
    (void)snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", http_server_port(f->server, 0));
    T_ST_ERR(http_server_start(f->server, &err), OK, &err);
}

static void stop(struct nf *f)
{
    T_ST(http_server_stop(f->server, 2000, 2000, NULL), OK);
    exec_pool_free(pool);
    http_server_free(f->server);
    router_free(f->router);
}

TEST(test_net_hooks)
{
    struct nf_answer a;
    struct nf f;
    int fd;

    start(&f, "127.0.0.1:0");
    fd = nf_connect(&f);
    nf_send(fd, "POST /open HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi");
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "hi");
    T_CSTR(nf_field(&a, "x-who"), "none");
    T_CSTR(nf_field(&a, "x-bad"), "");
    T_OK(strstr(a.head, "Cookie") == NULL && strstr(a.head, "X Bad") == NULL);
    nf_answer_release(&a);
    /* Refused before its body was read; the small rest is skipped and the connection lives. */
    nf_send(fd, "POST /closed HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 401);
    T_CSTR(nf_field(&a, "www-authenticate"), "Basic realm=\"test\"");
    nf_answer_release(&a);
    nf_send(fd, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi");
    T_OK(nf_answer(fd, &a));
    T_CSTR(nf_field(&a, "x-who"), "pool");
    T_CSTR(a.body, "hi");
    nf_answer_release(&a);
    nf_send(fd, "POST /later HTTP/1.1\r\n" HOST "Authorization: no\r\nContent-Length: 2\r\n\r\nhi");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 403);
    nf_answer_release(&a);
    nf_send(fd, "GET /open HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 405);
    T_CSTR(nf_field(&a, "allow"), "POST");
    T_CSTR(a.body, "{}");
    nf_answer_release(&a);
    nf_send(fd, "POST /nobody HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 413);
    T_OK(strstr(a.body, "\"code\"") != NULL);
    nf_answer_release(&a);
    nf_send(fd, "POST /open HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 413);
    T_CSTR(nf_field(&a, "content-type"), "application/json");
    nf_answer_release(&a);
    (void)close(fd);
    stop(&f);
    T_INT(atomic_load(&done_n), 7);
    T_INT(atomic_load(&gated), 4);
}

/* Gone while the gate still thinks: no handler is called, nothing leaks. */
TEST(test_net_gone_in_gate)
{
    struct nf f;

    start(&f, "127.0.0.1:0");
    for (int i = 0; i < 50; i++) {
        int fd = nf_connect(&f);

        nf_send(fd, "POST /later HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n");
        (void)close(fd);
    }
    stop(&f);
}

TEST(test_net_unix_socket)
{
    char address[256];
    struct nf_answer a;
    struct nf f;
    int fd = -1;

    (void)snprintf(address, sizeof(address), "unix:%s/sock", t_tmpdir());
    start(&f, address);
    T_ST(sock_connect(address, &fd, NULL), OK);
    nf_send(fd, "POST /open HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi");
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "hi");
    nf_answer_release(&a);
    (void)close(fd);
    stop(&f);
}

TEST(test_net_listen_errors)
{
    static const char *const bad[] = { "",         "localhost", "127.0.0.1:", "127.0.0.1:70000",
                                       "1.2.3:80", "[::1:80",   "unix:",      "example.org:80" };
    struct err err = ERR_INIT;
    int fd, fd2;
    char address[64];

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_ST(sock_listen(bad[i], 10, &fd, &err), ST_INVALID);
        T_INT(fd, -1);
    }
    T_ST(sock_listen("localhost:0", 10, &fd, &err), OK);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", sock_port(fd));
    T_OK(sock_listen(address, 10, &fd2, &err) != OK); /* taken */
    (void)close(fd);
}

/* ---- sockets that move little ----------------------------------------------------------------------------------------- */

static ssize_t recv_byte(int fd, void *p, size_t n, int flags)
{
    return sock_default.recv(fd, p, flags & MSG_PEEK ? n : 1, flags);
}

static ssize_t send_few(int fd, const struct iovec *iov, size_t iov_n, int flags)
{
    struct iovec one = iov[0];
    static _Thread_local unsigned turn;

    (void)iov_n;
    if (turn++ % 3 == 0) {
        errno = EAGAIN; /* the socket is writable all the same: it is asked again at once */
        return -1;
    }
    one.iov_len = MIN_OF(one.iov_len, (size_t)7);
    return sock_default.sendv(fd, &one, 1, flags);
}

static ssize_t sendfile_few(int out, int in, off_t *at, size_t n)
{
    return sys_default.sendfile(out, in, at, MIN_OF(n, (size_t)1000));
}

TEST(test_net_short_io)
{
    struct nf_answer a;
    char path[512];
    FILE *file;
    struct nf f;
    int fd;

    sock.recv = recv_byte;
    sock.sendv = send_few;
    sys.sendfile = sendfile_few;
    nf_start(&f, NULL);
    (void)snprintf(path, sizeof(path), "%s/file", t_tmpdir());
    file = fopen(path, "w+");
    T_OK(file != NULL);
    for (int i = 0; i < 10000; i++) {
        (void)fputc(i % 251, file);
    }
    T_INT(fflush(file), 0);
    f.file_fd = fileno(file);
    f.file_n = 10000;
    fd = nf_connect(&f);
    nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                "POST /echo HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                "POST /count HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n0123456789"
                "GET /stream/1 HTTP/1.1\r\n" HOST "\r\n"
                "GET /known/1000 HTTP/1.1\r\n" HOST "\r\n"
                "GET /file HTTP/1.1\r\n" HOST "\r\n");
    static const size_t lengths[] = { 5, 5, 2, 50000, 1000, 10000 };

    for (size_t i = 0; i < ARRAY_N(lengths); i++) {
        T_OK(nf_answer(fd, &a));
        T_INT(a.status, 200);
        T_UINT(a.n, lengths[i]);
        nf_answer_release(&a);
    }
    (void)close(fd);
    (void)fclose(file);
    nf_stop(&f);
    sock = sock_default;
    sys = sys_default;
}

static atomic_int calls_left; /* until one fails; negative: never */

static bool fails_now(void)
{
    return atomic_load(&calls_left) >= 0 && atomic_fetch_sub(&calls_left, 1) == 0;
}

static ssize_t recv_fails(int fd, void *p, size_t n, int flags)
{
    if (fails_now()) {
        errno = ECONNRESET;
        return -1;
    }
    return sock_default.recv(fd, p, n, flags);
}

static ssize_t send_fails(int fd, const struct iovec *iov, size_t iov_n, int flags)
{
    if (fails_now()) {
        errno = EPIPE;
        return -1;
    }
    return sock_default.sendv(fd, iov, iov_n, flags);
}

/* The n-th call on a socket fails: that connection ends, the next one is served. */
TEST(test_net_broken_sockets)
{
    static const char *const asks[] = {
        "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "POST /count HTTP/1.1\r\n" HOST
        "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "GET /stream/3 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "bad\r\n\r\n",
    };
    struct nf f;

    atomic_store(&calls_left, -1);
    sock.recv = recv_fails;
    sock.sendv = send_fails;
    nf_start(&f, NULL);
    for (size_t k = 0; k < ARRAY_N(asks); k++) {
        for (int n = 0; n < 8; n++) {
            struct nf_answer a;
            char c[4096];
            int fd = nf_connect(&f);

            atomic_store(&calls_left, n);
            nf_send(fd, asks[k]);
            (void)shutdown(fd, SHUT_WR);
            while (recv(fd, c, sizeof(c), 0) > 0) {
            }
            (void)close(fd);
            atomic_store(&calls_left, -1);
            nf_ask(&f, asks[0], &a);
            T_INT(a.status, 200);
            nf_answer_release(&a);
        }
    }
    nf_stop(&f);
    sock = sock_default;
}

static atomic_int writes, pieces, nodelay;

static ssize_t send_counted(int fd, const struct iovec *iov, size_t iov_n, int flags)
{
    socklen_t n = sizeof(int);
    int on = 0;

    atomic_fetch_add(&writes, 1);
    atomic_store(&pieces, (int)iov_n);
    T_INT(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    atomic_store(&nodelay, on);
    return sock_default.sendv(fd, iov, iov_n, flags);
}

/* Head and body leave in one call, at once. */
TEST(test_net_one_write)
{
    enum { STREAM = 3 };
    static const char *const asks[] = {
        "GET /hello HTTP/1.1\r\n" HOST "\r\n",
        "GET /text/1000 HTTP/1.1\r\n" HOST "\r\n",                       /* from a pool thread */
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", /* the body read */
        "GET /known/1000 HTTP/1.1\r\n" HOST "\r\n", /* a stream that is ready */
        "GET /nothing HTTP/1.1\r\n" HOST "\r\n",
    };
    struct nf_answer a;
    struct nf f;
    int fd;

    sock.sendv = send_counted;
    nf_start(&f, NULL);
    fd = nf_connect(&f);
    for (size_t i = 0; i < ARRAY_N(asks); i++) {
        atomic_store(&writes, 0);
        nf_send(fd, asks[i]);
        T_OK(nf_answer(fd, &a));
        T_OK(a.n > 0);
        nf_answer_release(&a);
        T_INT(atomic_load(&writes), 1);
        T_INT(atomic_load(&pieces), i == STREAM ? 2 : 1); /* a short body stands behind its head */
        T_INT(atomic_load(&nodelay), 1);
    }
    (void)close(fd);
    nf_stop(&f);
    sock = sock_default;
}

TEST(test_net_round_robin)
{
    int fds[8], on_loop[2] = { 0 };
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        fds[i] = nf_connect(&f);
        for (int k = 0; k < 2; k++) { /* a connection stays where it is */
            nf_send(fds[i], "GET /loop HTTP/1.1\r\n" HOST "\r\n");
            T_OK(nf_answer(fds[i], &a));
            T_OK(strcmp(a.body, "0") == 0 || strcmp(a.body, "1") == 0);
            on_loop[a.body[0] - '0']++;
            nf_answer_release(&a);
        }
    }
    T_INT(on_loop[0], 8);
    T_INT(on_loop[1], 8);
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        (void)close(fds[i]);
    }
    nf_stop(&f);
}

/* ---- the plain filter alone -------------------------------------------------------------------------------------------- */

TEST(test_net_filter_tcp)
{
    const struct iovec two[] = { { (void *)(uintptr_t) "abc", 3 },
                                 { (void *)(uintptr_t) "defg", 4 } };
    struct filter *f;
    char got[16], path[512];
    size_t n = 0;
    int pair[2], file;

    T_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    f = filter_tcp_new(pair[0]);
    T_OK(f != NULL);
    T_INT(f->ops->recv(f, got, sizeof(got), &n), IO_AGAIN);
    T_INT(f->need, IO_NEED_READ);
    T_INT(f->ops->sendv(f, two, 2, false, &n), IO_OK);
    T_UINT(n, 7);
    T_INT(recv(pair[1], got, sizeof(got), 0), 7);
    T_MEM(got, "abcdefg", 7);
    (void)snprintf(path, sizeof(path), "%s/f", t_tmpdir());
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    T_INT(write(file, "0123456789", 10), 10);
    T_INT(f->ops->sendfile(f, file, 4, 3, &n), IO_OK);
    T_INT(recv(pair[1], got, sizeof(got), 0), 3);
    T_MEM(got, "456", 3);
    T_INT(f->ops->sendfile(f, file, 10, 3, &n), IO_EOF);
    T_INT(send(pair[1], "xy", 2, 0), 2);
    T_INT(f->ops->recv(f, got, sizeof(got), &n), IO_OK);
    T_UINT(n, 2);
    T_INT(shutdown(pair[1], SHUT_WR), 0);
    T_INT(f->ops->recv(f, got, sizeof(got), &n), IO_EOF);
    for (;;) {
        enum io io = f->ops->sendv(f, two, 2, false, &n);

        if (io == IO_AGAIN) {
            T_INT(f->need, IO_NEED_WRITE);
            break;
        }
        T_INT(io, IO_OK);
    }
    (void)close(pair[1]);
    T_INT(f->ops->sendv(f, two, 2, false, &n), IO_FAIL);
    f->ops->free(f);
    (void)close(pair[0]);
    (void)close(file);
}
