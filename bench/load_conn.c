/* bench/load_conn.c - one keep-alive connection of the load generator. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

enum { HEAD_ROOM = 8192, READ_AT_LEAST = 65536, SEND_BUFFER = 1 << 18 };

void conn_open(struct conn *c, const struct target *to)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)to->port) };
    int one = 1, room = SEND_BUFFER;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("cannot connect to port %d: %s", to->port, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl: %s", strerror(errno));
}

void conn_close(struct conn *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

struct buf *conn_body(struct conn *c)
{
    buf_room(&c->out, HEAD_ROOM);
    c->out.n = HEAD_ROOM;
    return &c->out;
}

enum conn_state conn_send(struct conn *c, const struct target *to, const char *method,
                          const char *path)
{
    char head[HEAD_ROOM];
    size_t body = c->out.n - HEAD_ROOM;
    int n;

    if (body || strcmp(method, "GET") != 0) {
        n = snprintf(head, sizeof(head),
                     "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     method, path, to->port, body);
    } else {
        n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", method,
                     path, to->port);
    }
    if (n < 0 || n >= HEAD_ROOM) die("the path is too long: %s", path);
    c->begin = c->sent =
        (size_t)(HEAD_ROOM - n); /* the head ends where the body starts: one write */
    memcpy(c->out.p + c->sent, head, (size_t)n);
    c->in.n = c->body = c->want = c->scan = c->text = 0;
    c->chunked = c->closing = false;
    c->status = 0;
    return conn_write(c);
}

enum conn_state conn_write(struct conn *c)
{
    while (c->sent < c->out.n) {
        ssize_t w = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0 && errno == EAGAIN) return CONN_MORE;
        if (w <= 0) return CONN_LOST;
        c->sent += (size_t)w;
    }
    return CONN_DONE;
}

static const char *field(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);

    return at ? at + strlen(name) : NULL;
}

/* Looks for the end of the head; false as long as it is not there. */
static bool read_head(struct conn *c)
{
    char *end, *value;

    c->in.p[c->in.n] = '\0';
    end = strstr(c->in.p, "\r\n\r\n");
    if (!end) return false;
    end[2] = '\0';
    c->body = c->scan = (size_t)(end + 4 - c->in.p);
    c->status = (int)strtol(c->in.p + 9, NULL, 10);
    value = (char *)(uintptr_t)field(c->in.p, "\r\nContent-Length:");
    c->want = value ? strtoul(value, NULL, 10) : 0;
    value = (char *)(uintptr_t)field(c->in.p, "\r\nTransfer-Encoding:");
    c->chunked = value && strcasestr(value, "chunked");
    value = (char *)(uintptr_t)field(c->in.p, "\r\nConnection:");
    c->closing = value && strncasecmp(value, " close", 6) == 0;
    end[2] = '\r';
    if (c->want > ANSWER_MAX) die("an answer of %zu bytes", c->want);
    return true;
}

/* Joins the chunks that are complete; true after the last one. Trailers are not expected. */
static bool read_chunks(struct conn *c)
{
    for (;;) {
        char *line = c->in.p + c->scan, *end;
        size_t left = c->in.n - c->scan, size;
        c->in.p[c->in.n] = '\0';
        end = memmem(line, left, "\r\n", 2);
        if (!end) return false;
        size = strtoul(line, NULL, 16);
        if (size > ANSWER_MAX) die("a chunk of %zu bytes", size);
        if (left < (size_t)(end - line) + 2 + size + 2) return false;
        memmove(c->in.p + c->body + c->text, end + 2, size);
        c->text += size;
        c->scan += (size_t)(end - line) + 2 + size + 2;
        if (size == 0) return true;
    }
}

enum conn_state conn_read(struct conn *c, const struct target *to)
{
    int one = 1;

    for (;;) {
        size_t more = READ_AT_LEAST;
        ssize_t r;
        if (c->body && c->body + c->want > c->in.n + more) more = c->body + c->want - c->in.n;
        buf_room(&c->in, more + 1);
        r = recv(c->fd, c->in.p + c->in.n, c->in.cap - 1 - c->in.n, 0);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0 && errno == EAGAIN) return CONN_MORE;
        if (r <= 0) return CONN_LOST;
        if (to->quickack) setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
        c->in.n += (size_t)r;
        if (!c->body && !read_head(c)) continue;
        if (c->chunked) {
            if (read_chunks(c)) break;
        } else if (c->in.n - c->body >= c->want) {
            c->text = c->want;
            break;
        }
    }
    c->in.p[c->body + c->text] = '\0';
    return CONN_DONE;
}
