/* net/http1.h - HTTP/1.1 (and 1.0) on a connection: one request at a time, in order, from a head that is buffered whole.
 * An idle connection holds no buffer. Reading stops while nobody asks for bytes. Thread rule: the owner loop. */
#ifndef CAIRN_NET_HTTP1_H
#define CAIRN_NET_HTTP1_H

#include "net/conn.h"

/* Becomes the protocol of c (a row of conn_protocols). The owner of c is a http_worker. */
void http1_start(struct conn *c);

#endif
