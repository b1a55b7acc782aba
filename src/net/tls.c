/* net/tls.c - an OpenSSL session as a filter. */
#include "net/tls.h"
#include "base/mem.h"
#include "base/sys.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

enum { TLS_COALESCE = 16 * 1024 };

struct tls {
    SSL_CTX *ctx;
};

struct tls_filter {
    struct filter f;
    SSL *ssl;
    bool broken; /* after a fatal error no shutdown may be tried */
};

static struct tls_filter *self(struct filter *f)
{
    return CONTAINER_OF(f, struct tls_filter, f);
}

/* ---- context ------------------------------------------------------------------------------------------------------ */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    (void)ssl;
    (void)arg;
    for (size_t i = 0;; i++) {
        struct str name = str_cstr(conn_protocols[i].alpn);

        for (unsigned at = 0; at < in_n && in[at] <= in_n - at - 1; at += 1u + in[at]) {
            if (str_eq(str_of(in + at + 1, in[at]), name)) {
                *out = in + at + 1;
                *out_n = in[at];
                return SSL_TLSEXT_ERR_OK;
            }
        }
        if (!conn_protocols[i].preface) {
            return SSL_TLSEXT_ERR_NOACK; /* that was the last row */
        }
    }
}

static enum status ssl_failed(struct err *err, const char *what, const char *file)
{
    char text[160];
    unsigned long code = ERR_get_error();

    ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return err_set(err, ST_INVALID, "%s %s: %s", what, file, code ? text : "cannot be used");
}

enum status tls_new(struct tls **out, const char *cert_file, const char *key_file, struct err *err)
{
    struct tls *t = mem_zalloc(1, sizeof(*t));
    enum status st = OK;

    *out = NULL;
    if (!t) {
        return err_nomem(err);
    }
    t->ctx = SSL_CTX_new(TLS_server_method());
    if (!t->ctx) {
        mem_free(t);
        return err_nomem(err);
    }
    (void)SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE |
                                          SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(t->ctx, choose_alpn, NULL);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_file) != 1) {
        st = ssl_failed(err, "certificate", cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        st = ssl_failed(err, "private key", key_file);
    } else if (SSL_CTX_check_private_key(t->ctx) != 1) {
        st = ssl_failed(err, "private key does not fit the certificate:", key_file);
    }
    if (st) {
        tls_free(t);
        return st;
    }
    *out = t;
    return OK;
}

enum status tls_client_new(struct tls **out, const char *ca_file, struct err *err)
{
    struct tls *t = mem_zalloc(1, sizeof(*t));
    enum status st = OK;

    *out = NULL;
    if (t) {
        t->ctx = SSL_CTX_new(TLS_client_method());
    }
    if (!t || !t->ctx || SSL_CTX_set_alpn_protos(t->ctx, (const unsigned char *)"\2h2", 3) != 0) {
        tls_free(t);
        return err_nomem(err);
    }
    (void)SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    ERR_clear_error();
    if (ca_file && SSL_CTX_load_verify_file(t->ctx, ca_file) != 1) {
        st = ssl_failed(err, "certificates", ca_file);
    } else if (!ca_file && SSL_CTX_set_default_verify_paths(t->ctx) != 1) {
        st = ssl_failed(err, "certificates of", "the system");
    }
    if (st) {
        tls_free(t);
        return st;
    }
    *out = t;
    return OK;
}

void tls_free(struct tls *t)
{
    if (t) {
        SSL_CTX_free(t->ctx);
        mem_free(t);
    }
}

/* ---- filter ------------------------------------------------------------------------------------------------------- */

static enum io io_of_ssl(struct tls_filter *t, int rc)
{
    int e = SSL_get_error(t->ssl, rc);

    ERR_clear_error();
    if (e == SSL_ERROR_WANT_READ) {
        t->f.need = IO_NEED_READ;
        return IO_AGAIN;
    }
    if (e == SSL_ERROR_WANT_WRITE) {
        t->f.need = IO_NEED_WRITE;
        return IO_AGAIN;
    }
    if (e == SSL_ERROR_ZERO_RETURN) {
        return IO_EOF;
    }
    t->broken = true;
    return IO_FAIL;
}

enum io filter_tls_handshake(struct filter *f)
{
    struct tls_filter *t = self(f);
    int rc = SSL_do_handshake(t->ssl);

    return rc == 1 ? IO_OK : io_of_ssl(t, rc);
}

struct str filter_tls_alpn(const struct filter *f)
{
    const struct tls_filter *t = CONTAINER_OF((uintptr_t)f, struct tls_filter, f);
    const unsigned char *p = NULL;
    unsigned n = 0;

    SSL_get0_alpn_selected(t->ssl, &p, &n);
    return str_of(p, n);
}

static enum io tls_recv(struct filter *f, char *p, size_t n, size_t *got)
{
    struct tls_filter *t = self(f);
    int rc = SSL_read_ex(t->ssl, p, n, got);

    return rc == 1 ? IO_OK : io_of_ssl(t, rc);
}

static enum io tls_send(struct tls_filter *t, const void *p, size_t n, size_t *put)
{
    int rc = SSL_write_ex(t->ssl, p, n, put);

    return rc == 1 ? IO_OK : io_of_ssl(t, rc);
}

/* Small pieces become one record. A repeated call brings the same bytes, as OpenSSL wants. */
static enum io tls_sendv(struct filter *f, const struct iovec *iov, size_t iov_n, bool more,
                         size_t *put)
{
    char tmp[TLS_COALESCE];
    size_t n = 0;

    (void)more;
    if (iov_n == 1 || iov[0].iov_len >= sizeof(tmp)) {
        return tls_send(self(f), iov[0].iov_base, iov[0].iov_len, put);
    }
    for (size_t i = 0; i < iov_n && n < sizeof(tmp); i++) {
        size_t k = MIN_OF(iov[i].iov_len, sizeof(tmp) - n);

        memcpy(tmp + n, iov[i].iov_base, k);
        n += k;
    }
    return tls_send(self(f), tmp, n, put);
}

static enum io tls_sendfile(struct filter *f, int fd, uint64_t at, size_t n, size_t *put)
{
    char tmp[TLS_COALESCE];
    ssize_t got = sys.pread(fd, tmp, MIN_OF(n, sizeof(tmp)), (off_t)at);

    if (got <= 0) {
        return got == 0 ? IO_EOF : IO_FAIL;
    }
    return tls_send(self(f), tmp, (size_t)got, put);
}

static void tls_shut(struct filter *f)
{
    struct tls_filter *t = self(f);

    if (!t->broken && SSL_is_init_finished(t->ssl)) {
        (void)SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    (void)sock.shutdown(f->fd, SHUT_WR);
}

static void tls_filter_free(struct filter *f)
{
    struct tls_filter *t = self(f);

    if (!t->broken && SSL_is_init_finished(t->ssl)) {
        (void)SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    SSL_free(t->ssl);
    mem_free(t);
}

/* No splice: what leaves is encrypted here. */
static const struct filter_ops tls_ops = {
    .name = "tls",
    .recv = tls_recv,
    .sendv = tls_sendv,
    .sendfile = tls_sendfile,
    .shut = tls_shut,
    .free = tls_filter_free,
};

static struct tls_filter *filter_new(const struct tls *t, int fd)
{
    struct tls_filter *tf = mem_zalloc(1, sizeof(*tf));

    if (!tf) {
        return NULL;
    }
    tf->f.ops = &tls_ops;
    tf->f.fd = fd;
    tf->ssl = SSL_new(t->ctx);
    if (!tf->ssl || SSL_set_fd(tf->ssl, fd) != 1) {
        SSL_free(tf->ssl);
        mem_free(tf);
        return NULL;
    }
    return tf;
}

struct filter *filter_tls_new(const struct tls *t, int fd)
{
    struct tls_filter *tf = filter_new(t, fd);

    if (!tf) {
        return NULL;
    }
    SSL_set_accept_state(tf->ssl);
    return &tf->f;
}

struct filter *filter_tls_dial(const struct tls *t, int fd, const char *host)
{
    struct tls_filter *tf = filter_new(t, fd);
    bool ok;

    if (!tf) {
        return NULL;
    }
    ERR_clear_error();
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tf->ssl), host) == 1) {
        ok = true; /* numbers have no SNI */
    } else {
        ok = SSL_set1_host(tf->ssl, host) == 1 &&
             SSL_ctrl(tf->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                      (void *)(uintptr_t)host) == 1; /* the macro drops the const */
    }
    ERR_clear_error();
    if (!ok) {
        tls_filter_free(&tf->f);
        return NULL;
    }
    SSL_set_connect_state(tf->ssl);
    return &tf->f;
}

const char *filter_tls_why(const struct filter *f)
{
    const struct tls_filter *t = CONTAINER_OF((uintptr_t)f, struct tls_filter, f);
    long why = SSL_get_verify_result(t->ssl);

    return why == X509_V_OK ? "the TLS handshake has failed" : X509_verify_cert_error_string(why);
}
