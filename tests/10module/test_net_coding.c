/* tests/10module/test_net_coding.c - compressed bodies both ways. */
#include "base/mem.h"
#include "net/coding.h"
#include "netfix.h"
#include <stdio.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

static void post(struct nf *f, const char *route, const char *coding, struct str body,
                 struct nf_answer *a)
{
    char head[256];
    int fd = nf_connect(f);

    (void)snprintf(head, sizeof(head),
                   "POST %s HTTP/1.1\r\n" HOST
                   "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
                   route, coding, body.n);
    nf_send(fd, head);
    nf_sendn(fd, body.p, body.n);
    T_OK(nf_answer(fd, a));
    (void)close(fd);
}

static void pack(enum coding c, size_t n, struct buf *out)
{
    char *p = mem_zalloc(n, 1);

    T_OK(p != NULL);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)((i / 1000) % 100);
    }
    buf_init(out, 1 << 30);
    T_ST(coding_compress(c, str_of(p, n), out, NULL), OK);
    mem_free(p);
}

static void check_in(enum coding c, const char *name)
{
    struct buf packed, bomb;
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    pack(c, 1000000, &packed);
    T_OK(packed.n < 100000);
    post(&f, "/echo", name, buf_str(&packed), &a);
    T_INT(a.status, 200);
    T_UINT(a.n, 1000000);
    for (size_t i = 0; i < a.n; i++) {
        T_INT(a.body[i], (char)((i / 1000) % 100));
    }
    nf_answer_release(&a);
    post(&f, "/count", name, buf_str(&packed), &a);
    T_CSTR(a.body, "1000000");
    nf_answer_release(&a);
    /* Cut short, garbage, and garbage behind the end. */
    post(&f, "/echo", name, str_sub(buf_str(&packed), 0, packed.n - 5), &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    post(&f, "/count", name, str_sub(buf_str(&packed), 0, packed.n - 5), &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    post(&f, "/echo", name, S("this is not compressed at all"), &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    buf_put_lit(&packed, "garbage");
    post(&f, "/echo", name, buf_str(&packed), &a);
    T_INT(a.status, 400);
    nf_answer_release(&a);
    buf_release(&packed);
    /* A bomb: small on the wire, over the cap unfolded; the server stays small. */
    uint64_t before = nf_rss();

    pack(c, 200u << 20, &bomb);
    post(&f, "/echo", name, buf_str(&bomb), &a);
    T_INT(a.status, 413);
    nf_answer_release(&a);
    t_note("a bomb of %zu bytes: %lld KiB more", bomb.n,
           ((long long)nf_rss() - (long long)before) / 1024);
    buf_release(&bomb);
    nf_stop(&f);
}

TEST(test_net_gzip_in)
{
    check_in(CODING_GZIP, "gzip");
}

TEST(test_net_zstd_in)
{
    check_in(CODING_ZSTD, "zstd");
}

static void check_out(enum coding c, const char *accept)
{
    struct decoder *d = NULL;
    struct nf_answer a;
    char text[256], *out;
    struct str in;
    struct nf f;
    size_t n = 0, k;
    int fd;

    nf_start(&f, NULL);
    (void)snprintf(text, sizeof(text),
                   "GET /text/200000 HTTP/1.1\r\n" HOST "Accept-Encoding: %s\r\n\r\n", accept);
    fd = nf_connect(&f);
    nf_send(fd, text);
    T_OK(nf_answer(fd, &a));
    T_CSTR(nf_field(&a, "content-encoding"), coding_name(c));
    T_CSTR(nf_field(&a, "vary"), "Accept-Encoding");
    T_OK(a.n < 100000);
    T_ST(decoder_new(&d, c), OK);
    out = mem_alloc(300000);
    in = str_of(a.body, a.n);
    do {
        T_ST(decoder_run(d, &in, out + n, 300000 - n, &k, NULL), OK);
        n += k;
    } while (k > 0 || in.n > 0);
    T_OK(decoder_complete(d));
    T_UINT(n, 200000);
    T_OK(memcmp(out, "{\"key\": \"loss\", \"value\": 0.0},{\"key\"", 35) == 0);
    decoder_free(d);
    mem_free(out);
    nf_answer_release(&a);
    /* Not asked for, refused, too small, or a part of the bytes: as it is. */
    nf_send(fd, "GET /text/200000 HTTP/1.1\r\n" HOST "\r\n");
    T_OK(nf_answer(fd, &a));
    T_CSTR(nf_field(&a, "content-encoding"), "");
    T_UINT(a.n, 200000);
    nf_answer_release(&a);
    nf_send(fd,
            "GET /text/200000 HTTP/1.1\r\n" HOST "Accept-Encoding: gzip;q=0, zstd;q=0.0\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_UINT(a.n, 200000);
    nf_answer_release(&a);
    nf_send(fd, "GET /text/16384 HTTP/1.1\r\n" HOST "Accept-Encoding: gzip, zstd\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_UINT(a.n, 16384);
    nf_answer_release(&a);
    nf_send(fd, "GET /text/200000 HTTP/1.1\r\n" HOST
                "Accept-Encoding: gzip, zstd\r\nRange: bytes=5-9\r\n\r\n");
    T_OK(nf_answer(fd, &a));
    T_INT(a.status, 206);
    T_UINT(a.n, 5);
    nf_answer_release(&a);
    (void)close(fd);
    nf_stop(&f);
}

TEST(test_net_gzip_out)
{
    check_out(CODING_GZIP, "deflate, gzip;q=0.8");
}

TEST(test_net_zstd_out)
{
    check_out(CODING_ZSTD, "gzip, zstd");
}

TEST(test_net_coding_unknown)
{
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    post(&f, "/echo", "br", S("x"), &a);
    T_INT(a.status, 415);
    T_CSTR(nf_field(&a, "accept-encoding"), "gzip, deflate, zstd");
    nf_answer_release(&a);
    post(&f, "/echo", "gzip, gzip", S("x"), &a);
    T_INT(a.status, 415);
    nf_answer_release(&a);
    post(&f, "/echo", "identity", S("x"), &a);
    T_CSTR(a.body, "x");
    nf_answer_release(&a);
    nf_stop(&f);
}
