/* tests/10module/test_net_http1.c - HTTP/1.1 over loopback: one named test per promise of net. */
#include "base/mem.h"
#include "netfix.h"
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

TEST(test_net_keepalive)
{
    struct nf f;
    struct nf_answer a;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    for (int i = 0; i < 3; i++) {
        nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        T_OK(nf_answer(fd, &a));
        T_INT(a.status, 200);
        T_CSTR(a.body, "hello");
        T_CSTR(nf_field(&a, "content-length"), "5");
        T_CSTR(nf_field(&a, "connection"), "");
        T_CSTR(nf_field(&a, "x-content-type-options"), "nosniff");
        T_CSTR(nf_field(&a, "x-frame-options"), "SAMEORIGIN");
        T_UINT(strlen(nf_field(&a, "x-request-id")), 32);
        T_UINT(strlen(nf_field(&a, "date")), 29);
        nf_answer_release(&a);
    }
    nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    T_OK(nf_closed(fd));
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_pipelining)
{
    enum { N = 500 };
    struct buf b = BUF_INIT(1 << 20);
    struct nf_answer a;
    struct nf f;
    char want[32];
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    for (int i = 0; i < N; i++) {
        /* Sync and pool-thread handlers mixed: answers keep the order of the requests all the same. */
        if (i % 7 == 3) {
            buf_printf(&b, "GET /text/%d HTTP/1.1\r\n" HOST "\r\n", i + 1);
        } else {
            buf_printf(&b, "PUT /put/%d HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", i);
        }
    }
    nf_sendn(fd, b.p, b.n);
    for (int i = 0; i < N; i++) {
        T_OK(nf_answer(fd, &a));
        T_INT(a.status, 200);
        if (i % 7 == 3) {
            T_UINT(a.n, i + 1);
        } else {
            (void)snprintf(want, sizeof(want), "%d", i);
            T_CSTR(a.body, want);
        }
        nf_answer_release(&a);
    }
    buf_release(&b);
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_chunked_in)
{
    static const char head[] = "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
    static const char body[] = "5;name=\"a value\"\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n"
                               "0\r\nX-Checksum: 12\r\n\r\n";
    struct nf_answer a;
    struct nf f;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, head);
    nf_send(fd, body);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    T_CSTR(a.body, "hello world");
    nf_answer_release(&a);
    /* Byte by byte, on the same connection. */
    nf_send(fd, head);
    for (size_t i = 0; body[i]; i++) {
        nf_sendn(fd, body + i, 1);
    }
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "hello world");
    nf_answer_release(&a);
    /* Streamed route. */
    nf_send(fd, "POST /count HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    nf_send(fd, body);
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "11");
    nf_answer_release(&a);
    (void)close(fd);
    nf_stop(&f);
}

/* A body in rooms of the consumer's: full ones but the last, whatever pieces it comes in; chunked ones lie elsewhere. */
TEST(test_net_body_into_rooms)
{
    static const size_t sizes[] = { 0,           1,           NF_ROOM - 1, NF_ROOM,
                                    NF_ROOM + 1, 2 * NF_ROOM, 20000,       300001 };
    static char body[300001];
    struct nf_answer a;
    struct nf f;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (char)t_rand();
    }
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            char head[256], want[96];
            unsigned long long sum = 0, pieces = (sizes[i] + NF_ROOM - 1) / NF_ROOM;
            size_t at = 0;

            for (size_t k = 0; k < sizes[i]; k++) {
                sum = sum * 31 + (unsigned char)body[k];
            }
            if (chunked) {
                snprintf(head, sizeof(head),
                         "POST /rooms HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
            } else {
                snprintf(head, sizeof(head),
                         "POST /rooms HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", sizes[i]);
            }
            nf_send(fd, head);
            while (at < sizes[i]) {
                size_t some = (size_t)(1 + t_rand() % 9000), n = MIN_OF(sizes[i] - at, some);

                if (chunked) {
                    snprintf(head, sizeof(head), "%zx\r\n", n);
                    nf_send(fd, head);
                }
                nf_sendn(fd, body + at, n);
                if (chunked) nf_send(fd, "\r\n");
                at += n;
            }
            if (chunked) nf_send(fd, "0\r\n\r\n");
            T_OK(nf_answer(fd, &a));
            if (chunked) {
                const char *sum_at = strrchr(a.body, ' ');

                snprintf(want, sizeof(want), " %llu", sum);
                T_OK(sum_at != NULL);
                T_CSTR(sum_at ? sum_at : "", want);
            } else {
                snprintf(want, sizeof(want), "%llu %llu %llu", pieces, pieces, sum);
                T_CSTR(a.body, want);
            }
            nf_answer_release(&a);
        }
    }
    (void)close(fd);
    /* A body that breaks off, and one that comes with the request after it. */
    fd = nf_connect(&f);
    nf_send(fd, "POST /rooms HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\n");
    nf_sendn(fd, body, 7000);
    (void)close(fd);
    fd = nf_connect(&f);
    nf_send(fd, "POST /rooms HTTP/1.1\r\n" HOST
                "Content-Length: 2\r\n\r\nabGET /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "1 1 3105"); /* 97 * 31 + 98 */
    nf_answer_release(&a);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    nf_answer_release(&a);
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_chunked_out)
{
    struct nf_answer a;
    struct nf f;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "GET /stream/20 HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    T_CSTR(nf_field(&a, "transfer-encoding"), "chunked");
    T_CSTR(nf_field(&a, "content-length"), "");
    T_UINT(a.n, 20 * 50000);
    for (size_t i = 0; i < a.n; i++) {
        T_INT(a.body[i], 'a' + (int)(i / 50000));
    }
    nf_answer_release(&a);
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "hello");
    nf_answer_release(&a);
    (void)close(fd);
    /* HTTP/1.0 knows no chunks: the close ends the body. */
    nf_ask(&f, "GET /stream/3 HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n", &a);
    T_CSTR(nf_field(&a, "transfer-encoding"), "");
    T_CSTR(nf_field(&a, "connection"), "close");
    T_UINT(a.n, 3 * 50000);
    T_OK(a.closed);
    nf_answer_release(&a);
    nf_stop(&f);
}

TEST(test_net_http10)
{
    struct nf_answer a;
    struct nf f;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "GET /hello HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_CSTR(nf_field(&a, "connection"), "keep-alive");
    nf_answer_release(&a);
    nf_send(fd, "GET /health HTTP/1.0\r\n\r\n"); /* no Host: fine here, and in 1.0 */
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    T_OK(nf_closed(fd));
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_expect)
{
    struct nf_answer a;
    struct nf f;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 100);
    nf_answer_release(&a);
    nf_send(fd, "12345");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    T_CSTR(a.body, "12345");
    nf_answer_release(&a);
    /* The body came along without waiting: no 100 is needed. */
    nf_send(fd, "POST /echo HTTP/1.1\r\n" HOST
                "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    T_CSTR(a.body, "abcde");
    nf_answer_release(&a);
    /* Refused before the body was asked for: the final answer only, then the end. */
    nf_send(fd,
            "POST /early HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 401);
    T_CSTR(nf_field(&a, "connection"), "close");
    nf_answer_release(&a);
    (void)close(fd);
    nf_ask(&f, "GET /hello HTTP/1.1\r\n" HOST "Expect: magic\r\n\r\n", &a);
    T_INT(a.status, 417);
    nf_answer_release(&a);
    nf_stop(&f);
}

TEST(test_net_head)
{
    struct nf_answer a;
    struct nf f;
    int fd;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "HEAD /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer_head(fd, &a));
    T_INT(a.status, 200);
    T_CSTR(nf_field(&a, "content-length"), "5");
    nf_answer_release(&a);
    nf_send(fd, "HEAD /stream/5 HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer_head(fd, &a));
    T_CSTR(nf_field(&a, "content-length"), "");
    nf_answer_release(&a);
    nf_send(fd, "HEAD /known/7 HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer_head(fd, &a));
    T_CSTR(nf_field(&a, "content-length"), "7");
    nf_answer_release(&a);
    nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n"); /* nothing of a body lies between */
    T_OK(nf_answer(fd, &a));
    T_CSTR(a.body, "hello");
    nf_answer_release(&a);
    (void)close(fd);
    nf_stop(&f);
}

static void make_file(struct nf *f, size_t n)
{
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/file", t_tmpdir());
    file = fopen(path, "w+");
    T_OK(file != NULL);
    for (size_t i = 0; i < n; i++) {
        T_OK(fputc((int)(i % 251), file) != EOF);
    }
    T_INT(fflush(file), 0);
    f->file_fd = fileno(file);
    f->file_n = n;
}

static void ask_range(struct nf *f, const char *route, const char *range, int status, size_t from,
                      size_t n, const char *content_range)
{
    char text[512];
    struct nf_answer a;

    (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "%s%s\r\n", route, range,
                   range[0] ? "\r\n" : "");
    nf_ask(f, text, &a);
    T_INT(a.status, status);
    T_UINT(a.n, n);
    T_CSTR(nf_field(&a, "content-range"), content_range);
    for (size_t i = 0; i < n; i++) {
        T_UINT((unsigned char)a.body[i], (from + i) % 251);
    }
    nf_answer_release(&a);
}

TEST(test_net_range)
{
    struct nf f;
    struct nf_answer a;

    nf_start(&f, NULL);
    make_file(&f, 300000);
    for (int i = 0; i < 3; i++) {
        const char *r = i == 0 ? "/file" : i == 1 ? "/known/300000" : "/piped/300000";

        ask_range(&f, r, "", 200, 0, 300000, "");
        ask_range(&f, r, "Range: bytes=0-0", 206, 0, 1, "bytes 0-0/300000");
        ask_range(&f, r, "Range: bytes=1000-200999", 206, 1000, 200000, "bytes 1000-200999/300000");
        ask_range(&f, r, "Range: bytes=299999-", 206, 299999, 1, "bytes 299999-299999/300000");
        ask_range(&f, r, "Range: bytes=-10", 206, 299990, 10, "bytes 299990-299999/300000");
        ask_range(&f, r, "Range: bytes=10-99999999", 206, 10, 299990, "bytes 10-299999/300000");
        ask_range(&f, r, "Range: bytes=300000-", 416, 0, 0, "bytes */300000");
        ask_range(&f, r, "Range: bytes=-0", 416, 0, 0, "bytes */300000");
        /* What is malformed, of another unit, several, or conditional is answered whole. */
        ask_range(&f, r, "Range: bytes=5-2", 200, 0, 300000, "");
        ask_range(&f, r, "Range: lines=1-2", 200, 0, 300000, "");
        ask_range(&f, r, "Range: bytes=0-1,5-6", 200, 0, 300000, "");
        ask_range(&f, r, "Range: bytes=0-1\r\nIf-Range: \"x\"", 200, 0, 300000, "");
        ask_range(&f, r, "Range: bytes=99999999999999999999-", 200, 0, 300000, "");
    }
    nf_ask(&f, "GET /file HTTP/1.1\r\n" HOST "\r\n", &a);
    T_CSTR(nf_field(&a, "accept-ranges"), "bytes");
    nf_answer_release(&a);
    nf_stop(&f);
}

/* Bytes go through a pipe unseen: to a client that goes away in the middle, and to one that takes them in small steps. */
TEST(test_net_pipe)
{
    enum { N = 1500000 };
    struct nf f;
    struct nf_answer a;
    char piece[4096];
    int fd, small = 65536;

    nf_start(&f, NULL);
    fd = nf_connect(&f);
    nf_send(fd, "GET /piped/60000000 HTTP/1.1\r\n" HOST "\r\n");
    T_OK(read(fd, piece, sizeof(piece)) > 0);
    T_INT(close(fd), 0);
    T_OK(exec_event_wait(f.arrived, 30000));
    fd = nf_connect(&f);
    T_INT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (int i = 0; i < 2; i++) { /* the connection goes on */
        nf_send(fd, "GET /piped/1500000 HTTP/1.1\r\n" HOST "\r\n");
        T_OK(nf_answer(fd, &a));
        T_CSTR(nf_field(&a, "x-piped"), "1");
        T_UINT(a.n, N);
        for (size_t k = 0; k < N; k++) {
            if ((unsigned char)a.body[k] != k % 251) T_UINT(k, N);
        }
        nf_answer_release(&a);
    }
    T_INT(close(fd), 0);
    nf_stop(&f);
}

TEST(test_net_paths)
{
    struct nf f;
    struct nf_answer a;

    nf_start(&f, NULL);
    nf_ask(&f, "PUT //put///a%20b//c%2Fd/ HTTP/1.1\r\n" HOST "\r\n", &a);
    T_CSTR(a.body, "a b/c/d/");
    nf_answer_release(&a);
    nf_ask(&f, "GET /nothing HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 404);
    nf_answer_release(&a);
    nf_ask(&f, "DELETE /hello HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 405);
    T_CSTR(nf_field(&a, "allow"), "GET, HEAD");
    nf_answer_release(&a);
    nf_ask(&f, "PUT /put/%zz HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    nf_ask(&f, "PUT /put/%ff HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    nf_ask(&f, "PUT /put/%00 HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    nf_ask(&f, "GET http://LOCALHOST/hello?x=1 HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 200);
    nf_answer_release(&a);
    nf_stop(&f);
}

/* Each is answered 400 (or what stands there), and the connection ends: nothing behind it is read as a request. */
static const struct {
    const char *text;
    int status;
} hostile[] = {
    /* two lengths, or a length and chunks */
    { "POST /echo HTTP/1.1\r\n" HOST
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\nhello", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\nhello", 400 },
    /* codings that hide */
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
      "chunked\r\n\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
    { "POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "Transfer-Encodinghhhhhhhhhh: chunked\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "Content_Length: 5\r\n\r\n", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Content-Length:\t5\r\n\r\nhello", 400 },
    /* line ends */
    { "GET /hello HTTP/1.1\nHost: localhost\n\n", 400 },
    { "GET /hello HTTP/1.1\r\nHost: localhost\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r" HOST "\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n " HOST "\r\n", 400 },
    { "\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n", 400 },
    /* names and values */
    { "GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "Content Length: 5\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X\xc3\xa9: 1\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST "X: \x7f\r\n\r\n", 400 },
    /* hosts */
    { "GET /hello HTTP/1.1\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n", 400 },
    { "GET /hello HTTP/1.1\r\nHost: localhost, evil\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\nHost: evil@localhost\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\nHost: localhost:x\r\n\r\n", 400 },
    { "GET /hello HTTP/1.1\r\nHost: localhost/x\r\n\r\n", 400 },
    { "GET http://evil/hello HTTP/1.1\r\n" HOST "\r\n", 400 },
    /* request lines */
    { "GET  /hello HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET /hello  HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET /hello HTTP/1.1 \r\n" HOST "\r\n", 400 },
    { "GET /hel\tlo HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET /hello#x HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET /h\xc3\xa9llo HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET hello HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET * HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "GET /hello\r\n" HOST "\r\n", 400 },
    { "GET /hello http/1.1\r\n" HOST "\r\n", 400 },
    { "GET /hello HTTP/1.1x\r\n" HOST "\r\n", 400 },
    { "GET /hello HTTP/2.0\r\n" HOST "\r\n", 505 },
    { "GET /hello HTTP/1.2\r\n" HOST "\r\n", 505 },
    { "get /hello HTTP/1.1\r\n" HOST "\r\n", 501 },
    { "TRACE /hello HTTP/1.1\r\n" HOST "\r\n", 501 },
    { "G@T /hello HTTP/1.1\r\n" HOST "\r\n", 400 },
    { " GET /hello HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "\x16\x03\x01\x02", 400 },
    /* chunks */
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST
      "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST
      "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST
      "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\n\r\n",
      400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nA : x\r\n\r\n", 400 },
    { "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n",
      400 },
};

TEST(test_net_smuggling)
{
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_N(hostile); i++) {
        int fd = nf_connect(&f);

        nf_send(fd, hostile[i].text);
        nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n"); /* must not be answered */
        if (!nf_answer(fd, &a) || a.status != hostile[i].status ||
            strcmp(nf_field(&a, "connection"), "close") != 0) {
            T_FAIL("row %zu: answered %d, not %d: %s", i, a.status, hostile[i].status,
                   hostile[i].text);
        }
        nf_answer_release(&a);
        if (nf_answer(fd, &a)) {
            T_FAIL("row %zu: the bytes behind it were read as a request: %s", i, hostile[i].text);
        }
        (void)close(fd);
    }
    /* A NUL byte anywhere in a head. */
    static const char with_nul[] = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n";

    for (size_t at = 0; at + 4 < sizeof(with_nul) - 1; at++) {
        char text[sizeof(with_nul)];
        int fd = nf_connect(&f);

        memcpy(text, with_nul, sizeof(text));
        text[strlen(with_nul)] = 'c';
        text[at] = '\0';
        nf_sendn(fd, text, sizeof(text) - 1);
        T_OK(nf_answer(fd, &a));
        T_OK(a.status >= 400 && a.status != 404);
        T_CSTR(nf_field(&a, "connection"), "close");
        nf_answer_release(&a);
        (void)close(fd);
    }
    nf_stop(&f);
}

static void small_limits(struct http_server_options *o)
{
    o->limits.line_max = 200;
    o->limits.head_max = 1000;
    o->limits.field_max = 10;
    o->limits.body_max = 1000;
    o->limits.bodies_max = 3000;
}

static void ask_big(struct nf *f, const char *before, size_t n, const char *after, int status)
{
    struct buf b = BUF_INIT(1 << 20);
    struct nf_answer a;
    int fd = nf_connect(f);

    buf_put_cstr(&b, before);
    for (size_t i = 0; i < n; i++) {
        buf_put_u8(&b, 'x');
    }
    buf_put_cstr(&b, after);
    nf_sendn(fd, b.p, b.n);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, status);
    T_CSTR(nf_field(&a, "connection"), status < 400 ? "" : "close");
    nf_answer_release(&a);
    buf_release(&b);
    (void)close(fd);
}

TEST(test_net_limits)
{
    struct nf f;
    struct nf_answer a;

    nf_start(&f, small_limits);
    ask_big(&f, "PUT /put/", 100, " HTTP/1.1\r\n" HOST "\r\n", 200);
    ask_big(&f, "PUT /put/", 200, " HTTP/1.1\r\n" HOST "\r\n", 414);
    ask_big(&f, "PUT /put/", 5000, "", 414);
    ask_big(&f, "GET /hello HTTP/1.1\r\n" HOST "X: ", 500, "\r\n\r\n", 200);
    ask_big(&f, "GET /hello HTTP/1.1\r\n" HOST "X: ", 1500, "\r\n\r\n", 431);
    ask_big(&f, "GET /hello HTTP/1.1\r\n" HOST "X: ", 50000, "", 431);
    ask_big(&f,
            "GET /hello HTTP/1.1\r\n" HOST
            "A:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\nF:1\r\nG:1\r\nH:1\r\nI:1\r\n",
            0, "\r\n", 200);
    ask_big(&f,
            "GET /hello HTTP/1.1\r\n" HOST
            "A:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\nF:1\r\nG:1\r\nH:1\r\nI:1\r\nJ:1\r\n",
            0, "\r\n", 431);
    ask_big(&f, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n", 1000, "", 200);
    /* Small enough to be skipped: the connection lives on. */
    int fd = nf_connect(&f);

    nf_send(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n");
    for (int i = 0; i < 1001; i++) {
        nf_send(fd, "x");
    }
    nf_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 413);
    T_CSTR(a.body, "body exceeds 1000 bytes");
    nf_answer_release(&a);
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 200);
    nf_answer_release(&a);
    (void)close(fd);
    ask_big(&f, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100000000\r\n\r\n", 100000, "",
            413);
    ask_big(&f, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", 1001,
            "\r\n0\r\n\r\n", 413);
    ask_big(&f,
            "POST /count-capped HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
            200000, "", 413);
    nf_stop(&f);
}

TEST(test_net_big_head)
{
    struct nf f;

    /* Larger than the first window, below the limit. */
    nf_start(&f, NULL);
    ask_big(&f, "GET /hello HTTP/1.1\r\n" HOST "X: ", 60000, "\r\n\r\n", 200);
    ask_big(&f, "PUT /put/", 16000, " HTTP/1.1\r\n" HOST "\r\n", 200);
    nf_stop(&f);
}

TEST(test_net_broken_stream)
{
    static const char *const routes[] = { "/abort", "/short" };
    struct nf f;

    nf_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_N(routes); i++) {
        char text[4096];
        size_t got = 0;
        int fd = nf_connect(&f);

        (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", routes[i]);
        nf_send(fd, text);
        for (ssize_t n = 1; n > 0; got += (size_t)n) {
            n = recv(fd, text + got, sizeof(text) - 1 - got, 0);
            T_OK(n >= 0);
        }
        text[got] = '\0';
        /* Cut in a way no client takes for the whole: no last chunk, fewer bytes than announced. */
        T_OK(strstr(text, "\r\n0\r\n\r\n") == NULL);
        (void)close(fd);
        T_OK(exec_event_wait(f.arrived, 10000)); /* done() was called */
    }
    nf_stop(&f);
}

TEST(test_net_request_reading)
{
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    nf_ask(&f,
           "GET /meta HTTP/1.1\r\n" HOST "Content-Type: Application/JSON; charset=utf-8\r\n"
           "Accept: text/html, TEXT/plain;q=0.5\r\nAccept: second\r\n\r\n",
           &a);
    T_CSTR(a.body, "application/json 1 0  second");
    nf_answer_release(&a);
    nf_stop(&f);
}

static void few_bodies(struct http_server_options *o)
{
    o->limits.bodies_max = 100000;
    o->limits.held_max = 1 << 20; /* nobody waits: the hard cap is what is tested */
}

TEST(test_net_bodies_cap)
{
    static const char head[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 45001\r\n\r\n";
    struct nf_answer a;
    struct nf f;
    char *body = mem_zalloc(70000, 1);
    int one, two;

    nf_start(&f, few_bodies);
    memset(body, 'x', 70000);
    one = nf_connect(&f);
    two = nf_connect(&f);
    nf_send(one, head);
    nf_sendn(one, body, 45000); /* held: one byte is missing */
    struct net_figures m;

    do { /* all of it is counted before the other body comes */
        http_server_metrics(f.server, &m);
    } while (m.bytes_in < strlen(head) + 45000);
    nf_send(two, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 70000\r\n\r\n");
    nf_sendn(two, body, 70000);
    T_OK(nf_answer(two, &a));
    T_INT(a.status, 503);
    T_CSTR(nf_field(&a, "retry-after"), "1");
    nf_answer_release(&a);
    do { /* what it had taken is given back after its answer */
        http_server_metrics(f.server, &m);
    } while (m.in_work > 1);
    nf_send(one, "x");
    T_OK(nf_answer(one, &a));
    T_INT(a.status, 200);
    nf_answer_release(&a);
    /* Given back: the next one is served. */
    nf_send(one, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 45000\r\n\r\n");
    nf_sendn(one, body, 45000);
    T_OK(nf_answer(one, &a));
    T_INT(a.status, 200);
    nf_answer_release(&a);
    mem_free(body);
    (void)close(one);
    (void)close(two);
    nf_stop(&f);
}

static void one_big_answer(struct http_server_options *o)
{
    o->limits.bodies_max = 24 << 20;
}

/* An answer that its client does not read stays in memory: what does not fit any more is 503, and comes later. */
TEST(test_net_unread_answers_count)
{
    enum { BIG = 16 << 20 };
    struct nf_answer a;
    struct nf f;
    int stalled;
    char first;

    nf_start(&f, one_big_answer);
    stalled = nf_connect(&f);
    nf_send(stalled, "GET /text/16777216 HTTP/1.1\r\n" HOST "\r\n");
    T_INT(recv(stalled, &first, 1, MSG_PEEK),
          1); /* it is on its way, and more than the kernel takes */
    nf_ask(&f, "GET /text/16777216 HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 503);
    T_CSTR(nf_field(&a, "retry-after"), "1");
    T_OK(strstr(a.body, "answers") != NULL);
    nf_answer_release(&a);
    nf_ask(&f, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 200);
    nf_answer_release(&a);
    T_OK(nf_answer(stalled, &a));
    T_INT(a.n, BIG);
    nf_answer_release(&a);
    nf_ask(&f, "GET /text/16777216 HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 200);
    nf_answer_release(&a);
    (void)close(stalled);
    nf_stop(&f);
}
