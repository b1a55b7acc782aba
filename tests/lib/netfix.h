/* tests/lib/netfix.h - a server with test routes, and a blocking client, for tests of net over loopback.
 * Routes: GET /hello; POST /echo (whole body back); POST /count (streamed body, counted on a pool thread); POST /rooms (streamed into rooms); GET /text/{n}
 * (n bytes of JSON text); GET /file (nf.file_fd with nf.file_n); GET /stream/{n} (n pieces, length unknown, from a pool
 * thread); GET /known/{n} (n bytes, streamed); GET and POST /slow (answers when nf_release() is called); POST /hold (streamed body,
 * read only after nf_release()); PUT /put/{path*}; POST /early (streamed route
 * that answers without reading); GET /abort and
 * /short (streams that break); GET /loop (index of the loop); GET /meta (what a handler reads of its request, answered through http_req_post). */
#ifndef CAIRN_TESTS_LIB_NETFIX_H
#define CAIRN_TESTS_LIB_NETFIX_H

#include "net/server.h"
#include "tap.h"

/* Bytes of a room of POST /rooms, which answers "PIECES IN-THEIR-ROOM SUM", where SUM is by sum * 31 + byte. */
enum { NF_ROOM = 4999 };

struct nf {
    struct http_server *server;
    struct router *router;
    struct exec_pool *pool;
    struct exec_event *release; /* set by nf_release() */
    struct exec_event *arrived; /* set when a handler of /slow or /hold was called */
    char address[64];
    int file_fd;
    uint64_t file_n;
};

/* Fails the test if the server does not start. tweak may be NULL. */
void nf_start(struct nf *f, void (*tweak)(struct http_server_options *o));
void nf_stop(struct nf *f);
void nf_release(struct nf *f);

struct nf_answer {
    int status;
    char head[16384]; /* NUL-terminated, with the status line */
    char *body;       /* malloc of base/mem; NUL-terminated */
    size_t n;
    bool closed; /* the server closed the connection after it */
};

/* A connected blocking socket, 20 s receive limit. */
int nf_connect(const struct nf *f);
void nf_send(int fd, const char *text);
void nf_sendn(int fd, const void *p, size_t n);
/* One answer (length, chunked or until close). False when the connection ended before its head. */
bool nf_answer(int fd, struct nf_answer *a);
/* As nf_answer, for an answer to HEAD. */
bool nf_answer_head(int fd, struct nf_answer *a);
void nf_answer_release(struct nf_answer *a);
/* Value of a field in the head, "" if absent. Static storage. */
const char *nf_field(const struct nf_answer *a, const char *name);
/* Connects, sends, reads one answer, closes. */
void nf_ask(const struct nf *f, const char *text, struct nf_answer *a);
/* True when the peer has closed (waits up to the receive limit). */
bool nf_closed(int fd);
/* Resident bytes of this process. */
uint64_t nf_rss(void);

#endif
