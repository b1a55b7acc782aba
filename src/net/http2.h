/* net/http2.h - HTTP/2 (RFC 9113) on a connection: each stream is one request of the same kind that HTTP/1 makes, so every
 * route answers over both. libnghttp2 keeps frames, HPACK, flow control and the rules of the protocol; this file keeps
 * memory, time and order.
 *
 * Memory: bytes of a body that nobody asked for yet stay within the window of their stream (64 KiB, 1 MiB for the few
 * streams whose bodies are being read), so what a connection can hold is known. Answers are written into a buffer of the
 * loop and only what the socket did not take is kept. Control frames, resets and header blocks are limited: who sends too
 * many gets a GOAWAY (ENHANCE_YOUR_CALM).
 * Thread rule: the owner loop. */
#ifndef CAIRN_NET_HTTP2_H
#define CAIRN_NET_HTTP2_H

#include "net/conn.h"

/* Becomes the protocol of c (a row of conn_protocols). The owner of c is a http_worker. */
void http2_start(struct conn *c);

#endif
