/* net/tls.h - TLS by OpenSSL as a transport filter, on the descriptor itself (so that kernel TLS stays possible).
 * TLS 1.2 and 1.3; ALPN offers the names of conn_protocols. Thread rule: struct tls is immutable after tls_new(); a
 * filter belongs to its loop. */
#ifndef CAIRN_NET_TLS_H
#define CAIRN_NET_TLS_H

#include "net/conn.h"

struct tls;
/* PEM files. ST_INVALID with OpenSSL's reason when they do not load or do not fit together. */
enum status tls_new(struct tls **out, const char *cert_file, const char *key_file, struct err *err);
/* For connections that this program makes to servers of HTTP/2: ca_file holds the certificates it trusts, NULL: those of the system. */
enum status tls_client_new(struct tls **out, const char *ca_file, struct err *err);
void tls_free(struct tls *t); /* NULL-safe */

/* A server-side filter on fd. NULL when memory is out. */
struct filter *filter_tls_new(const struct tls *t, int fd);
/* A client-side filter on fd, from tls_client_new(): the server has to be `host`, a name or a number, and to speak h2. NULL when memory
 * is out. */
struct filter *filter_tls_dial(const struct tls *t, int fd, const char *host);
/* Why a handshake of a client has failed; static text. */
const char *filter_tls_why(const struct filter *f);
/* IO_OK when the handshake is done; IO_AGAIN waits for f->need. */
enum io filter_tls_handshake(struct filter *f);
/* The name ALPN agreed on; empty if none. */
struct str filter_tls_alpn(const struct filter *f);

#endif
