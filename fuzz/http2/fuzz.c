/* HTTP/2: the bytes of a whole session, sent to a real server of the program's own parts. Nothing may break but the connection: the
 * sanitizers watch, and the server answers the next session. */
#include "base/mem.h"
#include "base/sock.h"
#include "net/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ACTION_FUZZ = 1, READ_MAX = 1 << 24 };

static struct sockaddr_storage address;
static socklen_t address_n;

static void forget_socket(void)
{
    (void)unlink(((struct sockaddr_un *)&address)->sun_path);
}

static void on_handle(void *ctx, struct http_req *req)
{
    (void)ctx;
    http_add_trailer(req, S("x-trailer"), S("1"));
    http_send(req, req->body.n ? req->body : S("hello"));
}

static void start(void)
{
    static const struct route routes[] = {
        ROUTE(HTTP_GET, "/hello", NULL, NULL, 0, ACTION_FUZZ, &address),
        ROUTE(HTTP_POST, "/echo", NULL, NULL, 0, ACTION_FUZZ, &address),
    };
    struct http_hooks hooks = { .handle = on_handle };
    struct http_server_options o;
    struct http_server *server = NULL;
    struct router *router = NULL;
    struct err err = ERR_INIT;
    char path[64];
    struct sockaddr_un *un = (struct sockaddr_un *)&address;

    net_init();
    http_server_options_init(&o);
    o.loop_n = 1;
    o.guard.off = true;
    o.limits.linger_ms = 1;
    (void)snprintf(path, sizeof(path), "unix:/tmp/fuzz-http2.%ld", (long)getpid());
    CHECK(router_new(&router, &err) == OK);
    CHECK(router_add(router, routes, ARRAY_N(routes), NULL, 0, NULL, &err) == OK);
    CHECK(http_server_new(&server, &o, router, &hooks, &err) == OK);
    CHECK(http_server_listen(server, path, &err) == OK);
    CHECK(http_server_start(server, &err) == OK);
    un->sun_family = AF_UNIX;
    (void)snprintf(un->sun_path, sizeof(un->sun_path), "%s", path + 5);
    address_n = sizeof(*un);
    CHECK(atexit(forget_socket) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool started;
    char in[65536];
    size_t put = 0, got = 0;
    int fd;

    if (!started) {
        start();
        started = true;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_n) == 0);
    while (put < n) {
        ssize_t k = send(fd, data + put, n - put, MSG_NOSIGNAL);

        if (k <= 0) {
            break; /* it has heard enough */
        }
        put += (size_t)k;
    }
    (void)shutdown(fd, SHUT_WR);
    for (ssize_t k = 1; k > 0 && got<READ_MAX; got += k> 0 ? (size_t)k : 0) {
        k = recv(fd, in, sizeof(in), 0);
    }
    (void)close(fd);
    return 0;
}
