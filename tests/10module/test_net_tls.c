/* tests/10module/test_net_tls.c - TLS by option: the same answers through the filter, ALPN, refusals. */
#include "base/mem.h"
#include "netfix.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

static char cert_path[512], key_path[512];

/* A self-signed certificate for localhost, in files of the test's own folder. */
static void make_cert(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *name;
    FILE *f;

    T_OK(key && x);
    (void)snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", t_tmpdir());
    (void)snprintf(key_path, sizeof(key_path), "%s/key.pem", t_tmpdir());
    T_INT(X509_set_version(x, 2), 1);
    T_INT(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
    T_OK(X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL);
    T_OK(X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL);
    T_INT(X509_set_pubkey(x, key), 1);
    name = X509_get_subject_name(x);
    T_INT(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost",
                                     -1, -1, 0),
          1);
    T_INT(X509_set_issuer_name(x, name), 1);
    T_OK(X509_sign(x, key, EVP_sha256()) > 0);
    f = fopen(cert_path, "w");
    T_OK(f && PEM_write_X509(f, x) == 1);
    (void)fclose(f);
    f = fopen(key_path, "w");
    T_OK(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    (void)fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static void with_tls(struct http_server_options *o)
{
    o->tls.cert_file = cert_path;
    o->tls.key_file = key_path;
}

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static bool client_open(struct client *c, const struct nf *f, int max_version, const char *alpn,
                        size_t alpn_n)
{
    c->ctx = SSL_CTX_new(TLS_client_method());
    T_OK(c->ctx != NULL);
    T_INT(SSL_CTX_load_verify_locations(c->ctx, cert_path, NULL), 1);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    T_INT(SSL_CTX_set_max_proto_version(c->ctx, max_version), 1);
    if (max_version != 0 && max_version < TLS1_2_VERSION) {
        SSL_CTX_set_security_level(c->ctx, 0);
    }
    c->ssl = SSL_new(c->ctx);
    T_OK(c->ssl != NULL);
    if (alpn) {
        T_INT(SSL_set_alpn_protos(c->ssl, (const unsigned char *)alpn, (unsigned)alpn_n), 0);
    }
    c->fd = nf_connect(f);
    T_INT(SSL_set_fd(c->ssl, c->fd), 1);
    return SSL_connect(c->ssl) == 1;
}

static void client_close(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    (void)close(c->fd);
    ERR_clear_error();
}

/* Sends, then reads until n bytes of body have come. */
static void client_ask(struct client *c, const char *text, size_t body_n, struct buf *out)
{
    size_t put = 0, got = 0, end = SIZE_MAX;

    buf_init(out, 64 << 20);
    T_INT(SSL_write_ex(c->ssl, text, strlen(text), &put), 1);
    while (end == SIZE_MAX || out->n < end + 4 + body_n) {
        T_OK(buf_reserve(out, 65536));
        T_INT(SSL_read_ex(c->ssl, out->p + out->n, 65536, &got), 1);
        out->n += got;
        end = str_find(buf_str(out), S("\r\n\r\n"));
    }
    T_UINT(out->n, end + 4 + body_n);
}

static void check_version(int version, const char *name)
{
    struct client c;
    struct buf b;
    struct nf f;
    char path[512];
    FILE *file;

    make_cert();
    nf_start(&f, with_tls);
    T_OK(client_open(&c, &f, version, "\x08http/1.1", 9));
    T_CSTR(SSL_get_version(c.ssl), name);
    const unsigned char *alpn;
    unsigned alpn_n;

    SSL_get0_alpn_selected(c.ssl, &alpn, &alpn_n);
    T_STR(str_of(alpn, alpn_n), "http/1.1");
    for (int i = 0; i < 3; i++) {
        client_ask(&c, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 5, &b);
        T_OK(str_ends(buf_str(&b), S("hello")));
        buf_release(&b);
    }
    client_ask(&c, "GET /known/3000000 HTTP/1.1\r\n" HOST "\r\n", 3000000, &b);
    for (size_t i = 0; i < 3000000; i++) {
        T_INT((unsigned char)b.p[b.n - 3000000 + i], (int)(i % 251));
    }
    buf_release(&b);
    client_ask(&c, "GET /piped/300000 HTTP/1.1\r\n" HOST "\r\n", 300000, &b); /* through none */
    T_OK(str_find(buf_str(&b), S("x-piped: 0")) != SIZE_MAX);
    for (size_t i = 0; i < 300000; i++) {
        T_INT((unsigned char)b.p[b.n - 300000 + i], (int)(i % 251));
    }
    buf_release(&b);
    (void)snprintf(path, sizeof(path), "%s/file", t_tmpdir());
    file = fopen(path, "w+");
    T_OK(file != NULL);
    for (int i = 0; i < 1000000; i++) {
        (void)fputc(i % 251, file);
    }
    T_INT(fflush(file), 0);
    f.file_fd = fileno(file);
    f.file_n = 1000000;
    client_ask(&c, "GET /file HTTP/1.1\r\n" HOST "\r\n", 1000000, &b);
    for (size_t i = 0; i < 1000000; i++) {
        T_INT((unsigned char)b.p[b.n - 1000000 + i], (int)(i % 251));
    }
    buf_release(&b);
    /* A body larger than a record, whole and streamed. */
    for (int i = 0; i < 2; i++) {
        enum { BODY = 200000 };
        char *text = mem_zalloc(BODY + 256, 1);
        int n = snprintf(text, 256, "POST %s HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
                         i ? "/count" : "/echo", BODY);

        memset(text + n, 'y', BODY);
        client_ask(&c, text, i ? 6 : BODY, &b);
        T_OK(str_ends(buf_str(&b), i ? S("200000") : S("yyyyyyyy")));
        buf_release(&b);
        mem_free(text);
    }
    (void)fclose(file);
    client_close(&c);
    nf_stop(&f);
}

TEST(test_net_tls)
{
    check_version(0, "TLSv1.3");
}

TEST(test_net_tls12)
{
    check_version(TLS1_2_VERSION, "TLSv1.2");
}

/* Who offers both gets HTTP/2: the server's SETTINGS come as soon as the client's preface is there. */
TEST(test_net_tls_http2)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0";
    const unsigned char *alpn;
    unsigned alpn_n;
    struct client c;
    struct nf f;
    size_t n = 0;
    char in[9];

    make_cert();
    nf_start(&f, with_tls);
    T_OK(client_open(&c, &f, 0, "\x08http/1.1\x02h2", 12));
    SSL_get0_alpn_selected(c.ssl, &alpn, &alpn_n);
    T_STR(str_of(alpn, alpn_n), "h2");
    T_INT(SSL_write_ex(c.ssl, hello, sizeof(hello), &n), 1);
    T_INT(SSL_read_ex(c.ssl, in, sizeof(in), &n), 1);
    T_UINT(n, sizeof(in));
    T_INT(in[3], 4);
    client_close(&c);
    nf_stop(&f);
}

TEST(test_net_tls_refusals)
{
    struct client c;
    struct nf_answer a;
    struct nf f;
    int fd;

    make_cert();
    nf_start(&f, with_tls);
    T_OK(!client_open(&c, &f, TLS1_1_VERSION, NULL, 0)); /* too old */
    client_close(&c);
    /* Plain HTTP on a TLS port is told so. */
    nf_ask(&f, "GET /hello HTTP/1.1\r\n" HOST "\r\n", &a);
    T_INT(a.status, 400);
    T_CSTR(a.body, "this port speaks HTTPS\n");
    nf_answer_release(&a);
    /* A broken handshake. */
    fd = nf_connect(&f);
    nf_sendn(fd, "\x16\x03\x01\x00\x05xxxxxxxxxxxxxxxx", 21);
    char c1;
    ssize_t n;

    do {
        n = recv(fd, &c1, 1, 0); /* an alert, then the end */
    } while (n == 1);
    T_OK(n <= 0);
    (void)close(fd);
    /* Without ALPN: HTTP/1.1. */
    T_OK(client_open(&c, &f, 0, NULL, 0));
    struct buf b;

    client_ask(&c, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 5, &b);
    buf_release(&b);
    client_close(&c);
    nf_stop(&f);
}

TEST(test_net_tls_files)
{
    struct http_hooks hooks = { 0 };
    struct http_server_options o;
    struct http_server *s = NULL;
    struct router *r = NULL;
    struct err err = ERR_INIT;

    net_init();
    make_cert();
    http_server_options_init(&o);
    T_ST(router_new(&r, &err), OK);
    o.tls.cert_file = "/nonexistent/cert.pem";
    T_ST(http_server_new(&s, &o, r, &hooks, &err), ST_INVALID);
    T_OK(s == NULL);
    o.tls.cert_file = cert_path;
    o.tls.key_file = cert_path; /* not a key */
    T_ST(http_server_new(&s, &o, r, &hooks, &err), ST_INVALID);
    router_free(r);
}

static void tls_short(struct http_server_options *o)
{
    with_tls(o);
    o->limits.head_ms = 300;
}

TEST(test_net_tls_slow_handshake)
{
    struct nf f;
    int fd;

    make_cert();
    nf_start(&f, tls_short);
    fd = nf_connect(&f);
    nf_send(fd, "\x16");
    T_OK(nf_closed(fd));
    (void)close(fd);
    nf_stop(&f);
}
