/* bench/bench_http.c - the HTTP layer alone: 1 KiB JSON POST echo over keep-alive connections on loopback.
 *     bench_http [CONNECTIONS [SECONDS]]
 * One loop serves, one client process asks; prints requests a second and the server's CPU time per request. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "net/server.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BODY = 1024, CONN_MAX = 1000 };

static void handle(void *ctx, struct http_req *req)
{
    (void)ctx;
    http_type(req, "application/json");
    http_send(req, req->body);
}

static const struct route routes[] = { ROUTE(HTTP_POST, "/echo", NULL, NULL, 0, 1, NULL) };

static double cpu_seconds(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Every connection has one request under way; answers are as long as the first one. */
static void client(const char *address, int conns, int seconds, int out)
{
    static struct pollfd fds[CONN_MAX];
    static size_t got[CONN_MAX];
    char ask[BODY + 256], answer[8192];
    int head =
        snprintf(ask, sizeof(ask),
                 "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n",
                 BODY);
    size_t ask_n = (size_t)head + BODY, answer_n = 0;
    uint64_t n = 0;
    int64_t end;

    memset(ask + head, 'x', BODY);
    for (int i = 0; i < conns; i++) {
        CHECK(sock_connect(address, &fds[i].fd, NULL) == OK);
        fds[i].events = POLLIN;
    }
    CHECK(send(fds[0].fd, ask, ask_n, 0) == (ssize_t)ask_n);
    while (answer_n < 100 || memcmp(answer + answer_n - 8, "xxxxxxxx", 8) != 0) {
        ssize_t k = recv(fds[0].fd, answer + answer_n, sizeof(answer) - answer_n, 0);

        CHECK(k > 0);
        answer_n += (size_t)k;
    }
    for (int i = 0; i < conns; i++) {
        CHECK(send(fds[i].fd, ask, ask_n, 0) == (ssize_t)ask_n);
    }
    end = clock_mono_ms() + seconds * 1000;
    while (clock_mono_ms() < end) {
        CHECK(poll(fds, (nfds_t)conns, 1000) >= 0);
        for (int i = 0; i < conns; i++) {
            if (fds[i].revents) {
                ssize_t k = recv(fds[i].fd, answer, sizeof(answer), 0);

                CHECK(k > 0);
                got[i] += (size_t)k;
                if (got[i] == answer_n) {
                    got[i] = 0;
                    n++;
                    CHECK(send(fds[i].fd, ask, ask_n, 0) == (ssize_t)ask_n);
                }
            }
        }
    }
    CHECK(write(out, &n, sizeof(n)) == (ssize_t)sizeof(n));
}

int main(int argc, char **argv)
{
    const struct http_hooks hooks = { .handle = handle };
    int conns = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 64;
    int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 3;
    struct http_server_options o;
    struct http_server *s = NULL;
    struct router *r = NULL;
    struct err err = ERR_INIT;
    char address[64];
    uint64_t n = 0;
    int result[2];
    double cpu;
    pid_t pid;

    if (conns < 1 || conns > CONN_MAX || seconds < 1 || pipe(result) != 0) {
        (void)fprintf(stderr, "usage: bench_http [CONNECTIONS [SECONDS]]\n");
        return 2;
    }
    net_init();
    http_server_options_init(&o);
    o.loop_n = 1;
    if (router_new(&r, &err) || router_add(r, routes, ARRAY_N(routes), NULL, 0, NULL, &err) ||
        http_server_new(&s, &o, r, &hooks, &err) || http_server_listen(s, "127.0.0.1:0", &err) ||
        http_server_start(s, &err)) {
        (void)fprintf(stderr, "bench_http: %s\n", err.message);
        return 1;
    }
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", http_server_port(s, 0));
    cpu = cpu_seconds();
    pid = fork();
    if (pid == 0) {
        client(address, conns, seconds, result[1]);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid ||
        read(result[0], &n, sizeof(n)) != (ssize_t)sizeof(n) || n == 0) {
        (void)fprintf(stderr, "bench_http: the client failed\n");
        return 1;
    }
    cpu = cpu_seconds() - cpu;
    (void)printf(
        "{\"connections\": %d, \"requests_per_s\": %.0f, \"server_us_per_request\": %.2f}\n", conns,
        (double)n / seconds, cpu * 1e6 / (double)n);
    if (http_server_stop(s, 1000, 1000, &err)) {
        return 1;
    }
    http_server_free(s);
    router_free(r);
    return 0;
}
