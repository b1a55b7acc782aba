/* net/http1_head.h - the strict reader of HTTP/1 heads and chunk framing (RFC 9112), free of sockets.
 * The whole head is buffered, then checked byte by byte: CRLF only, token names, no space before the colon, no folding,
 * no control characters, exactly one Host in HTTP/1.1, Content-Length or chunked but never both. Whatever could be read
 * in two ways is refused, so that no proxy before us and we can disagree about where a request ends.
 * Ownership: results borrow from the head, which is changed in place (names become lower case).
 * Thread rule: pure functions. */
#ifndef CAIRN_NET_HTTP1_HEAD_H
#define CAIRN_NET_HTTP1_HEAD_H

#include "net/http.h"

struct http1_limits {
    size_t line_max, head_max;
    unsigned field_max;
};

/* Finds the end of a head in bytes that arrive piece by piece. Zero before the first use. */
struct http1_scan {
    size_t at;         /* bytes looked at */
    size_t line_start; /* of the line under way */
    unsigned lines;    /* complete lines */
};
enum { HTTP1_SCAN_MORE = 0, HTTP1_SCAN_DONE = 1 };
/* in is everything received since the head began. HTTP1_SCAN_MORE, HTTP1_SCAN_DONE (*head_n bytes, with the empty line),
 * or the HTTP status to refuse with: 400, 414, 431. */
int http1_scan(struct http1_scan *s, struct str in, const struct http1_limits *l, size_t *head_n);

struct http1_head {
    enum http_method method; /* HTTP_METHOD_NONE is refused with 501 */
    struct str target, raw_path, query, host;
    unsigned version; /* 10, 11 */
    struct http_field *fields;
    size_t field_n;
    uint64_t content_length; /* 0 without a body, UINT64_MAX when chunked */
    bool has_length, chunked, keep_alive, expect_continue;
};
/* head: the bytes http1_scan() found, writable. 0, or the HTTP status to refuse with (400, 417, 431, 501, 503, 505) and a
 * text in *why. Everything but 503 ends the connection. */
int http1_parse(char *head, size_t n, unsigned field_max, struct arena *a, struct http1_head *out,
                const char **why);

/* The same rules for the head of a stream of HTTP/2: out holds method, target and fields; ended: no body follows.
 * Fills the rest. What frames a message in HTTP/1 has been refused before. */
int http2_head(struct http1_head *out, struct str authority, bool ended, struct arena *a,
               const char **why);

/* Chunk framing, piece by piece. Zero before the first use. */
enum http1_chunk_state {
    HTTP1_CHUNK_SIZE,
    HTTP1_CHUNK_EXT,
    HTTP1_CHUNK_SIZE_LF,
    HTTP1_CHUNK_DATA,
    HTTP1_CHUNK_DATA_CR,
    HTTP1_CHUNK_DATA_LF,
    HTTP1_CHUNK_TRAILER, /* at the start of a trailer line */
    HTTP1_CHUNK_NAME,
    HTTP1_CHUNK_VALUE,
    HTTP1_CHUNK_VALUE_LF,
    HTTP1_CHUNK_END_LF,
    HTTP1_CHUNK_DONE,
    HTTP1_CHUNK_BAD
};
struct http1_chunks {
    enum http1_chunk_state state;
    unsigned digits;
    uint64_t left;    /* of the chunk under way */
    size_t ext_n;     /* bytes of extensions in the whole body */
    size_t trailer_n; /* bytes of trailers */
    unsigned name_n;
    char name[32]; /* of the trailer under way, lower case, cut */
};
enum { HTTP1_EXT_MAX = 4096, HTTP1_TRAILER_MAX = 8192 };
/* Reads from in until it has one run of data, or in is used up, or the body is done or broken. *used bytes were
 * consumed, the data among them is *data (empty if none). Check state for DONE and BAD. */
void http1_chunks_feed(struct http1_chunks *c, struct str in, size_t *used, struct str *data);

#endif
