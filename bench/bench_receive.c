/* bench/bench_receive.c - the least that a server of files does: receives a body, hashes it with SHA-256, writes it and syncs it, on one
 * thread, one request after the other. What a machine allows an upload to cost.
 *
 *     bench_receive PORT FILE SECONDS
 *
 * GET answers 200; PUT with Content-Length keeps the body in FILE. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 256 * 1024, HEAD_MAX = 8192 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void answer(int fd, const char *status)
{
    char text[160];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\n{}", status);

    if (write(fd, text, (size_t)n) != n) die("write");
}

static void keep(int out, EVP_MD_CTX *sha, const char *p, size_t n)
{
    if (EVP_DigestUpdate(sha, p, n) != 1) die("sha256");
    while (n > 0) {
        ssize_t w = write(out, p, n);

        if (w <= 0) die("write");
        p += w;
        n -= (size_t)w;
    }
}

static void receive(int fd, const char *file, const char *first, size_t first_n, size_t total)
{
    static char piece[PIECE];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_n;
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int out = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    size_t left = total - first_n;

    if (out < 0 || !sha || EVP_DigestInit_ex(sha, EVP_sha256(), NULL) != 1) die(file);
    keep(out, sha, first, first_n);
    while (left > 0) {
        ssize_t n = read(fd, piece, left < PIECE ? left : PIECE);

        if (n <= 0) die("read");
        keep(out, sha, piece, (size_t)n);
        left -= (size_t)n;
    }
    if (EVP_DigestFinal_ex(sha, digest, &digest_n) != 1 || fdatasync(out) || close(out)) die(file);
    EVP_MD_CTX_free(sha);
}

/* One request; 0 when the client is gone. */
static int serve(int fd, const char *file)
{
    static char head[HEAD_MAX + 1];
    size_t n = 0;
    char *end = NULL, *length;

    while (!end) {
        ssize_t got = n < HEAD_MAX ? read(fd, head + n, HEAD_MAX - n) : 0;

        if (got <= 0) return 0;
        n += (size_t)got;
        head[n] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    length = strcasestr(head, "\r\nContent-Length:");
    if (length && length < end) {
        size_t total = strtoull(length + 17, NULL, 10), have = n - (size_t)(end + 4 - head);

        receive(fd, file, end + 4, have < total ? have : total, total);
    }
    answer(fd, "200 OK");
    return 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (argc != 4) {
        fprintf(stderr, "usage: bench_receive PORT FILE SECONDS\n");
        return 2;
    }
    alarm((unsigned)strtoul(argv[3], NULL, 10));
    a.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 16)) {
        die("listen");
    }
    for (;;) {
        int fd = accept(s, NULL, NULL);

        if (fd < 0 && errno != EINTR) die("accept");
        while (fd >= 0 && serve(fd, argv[2])) {
        }
        if (fd >= 0) close(fd);
    }
}
