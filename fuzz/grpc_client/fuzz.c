/* The client of gRPC: the bytes of a hostile server, answered to one unary call and two conversations of one connection. The first byte
 * says how the client is set up and what it asks, the second where the input is parted: what follows comes after the unary call, and then
 * the server ends. Every call ends, with little memory; a message is no longer than allowed, a text of an error is text. */
#include "base/mem.h"
#include "base/sock.h"
#include "base/sys.h"
#include "base/utf8.h"
#include "net/client/grpc.h"
#include "net/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { GZIP = 1, TOKEN = 2, SMALL = 4, UNARY = 8, LARGE = 16 }; /* the first byte */
enum {
    MESSAGE_MAX = 64 * 1024,
    SMALL_MAX = 100,
    INPUT_MAX = 96 * 1024, /* fits into the buffer of a socket */
    MEMORY_MAX = 24 << 20,
    WAIT_MS = 10000, /* never reached: the server has ended by then */
    SHORT_MS = 2
};

static char address[64];
static int listening = -1;

static void forget_socket(void)
{
    (void)unlink(address + 5);
}

static void start(void)
{
    struct err err = ERR_INIT;

    net_init();
    (void)snprintf(address, sizeof(address), "unix:/tmp/fuzz-grpc-client.%ld", (long)getpid());
    CHECK(sock_listen(address, 4, &listening, &err) == OK);
    CHECK(atexit(forget_socket) == 0);
}

static void say(int fd, const uint8_t *data, size_t n)
{
    struct iovec iov = { (void *)(uintptr_t)data, n };

    CHECK(n == 0 || sock.sendv(fd, &iov, 1, 0) == (ssize_t)n);
}

static void check_error(enum status st, const struct err *err)
{
    CHECK(err->code == st);
    CHECK(utf8_valid(str_cstr(err->message)) && utf8_valid(str_cstr(err->hint)) &&
          utf8_valid(str_cstr(err->field)));
    for (const char *p = err->message; *p; p++) {
        CHECK((unsigned char)*p >= ' ' || *p == '\n' || *p == '\t');
    }
}

/* Every message, then the end. */
static void hear(struct grpc_stream *s, size_t max)
{
    enum status st;

    do {
        struct err err = ERR_INIT;
        struct str message;

        st = grpc_recv(s, &message, &err);
        CHECK(message.n <= max);
        for (size_t i = 0; i < message.n; i++) { /* all of it can be read */
            (void)*(const volatile char *)(message.p + i);
        }
        if (st && st != ST_END) check_error(st, &err);
    } while (st == OK);
}

static struct grpc_stream *ask(struct grpc_client *g, struct str message)
{
    struct err err = ERR_INIT;
    struct grpc_stream *s = NULL;
    enum status st = grpc_open(g, "/x.Y/Talk", WAIT_MS, &s, &err);

    CHECK((st == OK) == (s != NULL));
    if (!st) {
        st = grpc_send(s, message, &err);
    }
    if (st) check_error(st, &err);
    return s;
}

static void unary(struct grpc_client *g, int64_t ms, struct str message, size_t max)
{
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;
    struct str answer;
    enum status st;

    CHECK(a);
    st = grpc_unary(g, "/x.Y/Ask", message, ms, a, &answer, &err);
    CHECK(answer.n <= max);
    if (st) check_error(st, &err);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char large[32 * 1024];
    struct grpc_dial how = { .target = address };
    struct err err = ERR_INIT;
    struct grpc_client *g = NULL;
    struct grpc_stream *a, *b;
    struct str message = S("what?");
    size_t parted;
    int64_t before;
    int fd;

    if (n < 2 || n > INPUT_MAX) {
        return 0;
    }
    if (listening < 0) {
        start();
    }
    how.gzip = data[0] & GZIP;
    how.token = data[0] & TOKEN ? "secret" : NULL;
    how.message_max = data[0] & SMALL ? SMALL_MAX : MESSAGE_MAX;
    if (data[0] & LARGE) {
        message = str_of(large, sizeof(large));
    }
    parted = data[0] & UNARY ? (n - 2) * data[1] / 255 : 0;
    mem_peak_restart();
    before = mem_bytes();
    CHECK(grpc_dial(&g, &how, &err) == OK);
    fd = sock.accept(listening, NULL, NULL);
    CHECK(fd >= 0);
    say(fd, data + 2, parted);
    if (data[0] & UNARY) {
        unary(g, parted == n - 2 ? SHORT_MS : 1, message, how.message_max);
    }
    say(fd, data + 2 + parted, n - 2 - parted);
    (void)sock.shutdown(fd, SHUT_WR);
    a = ask(g, message);
    b = ask(g, S(""));
    if (a) {
        hear(a, how.message_max);
        IGNORE_STATUS(grpc_send_end(a, &err)); /* any end will do */
    }
    if (b) hear(b, how.message_max);
    grpc_drop(a);
    CHECK(grpc_open(g, "/x.Y/Talk", WAIT_MS, &a, &err) != OK); /* the connection has ended */
    grpc_drop(b);
    grpc_close(g);
    (void)sys.close(fd);
    CHECK(mem_peak_bytes() - before < MEMORY_MAX);
    return 0;
}
