/* tests/lib/netfix.c - see netfix.h. */
#include "netfix.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sock.h"
#include "base/sys.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

enum { ACTION_TEST = 1, PIECE = 50000 };

static struct nf *the_nf;

struct test_op {
    void (*run)(struct http_req *req);
};

/* ---- handlers ------------------------------------------------------------------------------------------------------ */

struct pool_task {
    struct exec_job job;
    struct http_req *req;
    void (*run)(struct pool_task *t);
    struct str bytes;
    uint64_t sum, at, n;
    char *data;
};

static void pool_run(struct exec_job *job, unsigned worker)
{
    struct pool_task *t = CONTAINER_OF(job, struct pool_task, job);

    (void)worker;
    t->run(t);
}

static struct pool_task *pool_task(struct http_req *req, void (*run)(struct pool_task *t))
{
    struct pool_task *t = ARENA_NEW(req->arena, struct pool_task);

    if (t) {
        t->data = arena_alloc(req->arena, PIECE);
    }
    if (!t || !t->data) {
        http_status(req, 503);
        http_send_empty(req);
        return NULL;
    }
    t->req = req;
    t->run = run;
    t->job.run = pool_run;
    return t;
}

static void to_pool(struct pool_task *t)
{
    if (exec_pool_submit(the_nf->pool, &t->job)) {
        T_FAIL("the pool is full");
    }
}

static void on_hello(struct http_req *req)
{
    http_type(req, "text/plain");
    http_send(req, S("hello"));
}

static void on_echo(struct http_req *req)
{
    http_type(req, "application/octet-stream");
    http_send(req, req->body);
}

static void on_put(struct http_req *req)
{
    http_send(req, http_capture(req, S("path")));
}

static void on_early(struct http_req *req)
{
    http_status(req, 401);
    http_send(req, S("no"));
}

static uint64_t number(struct http_req *req)
{
    uint64_t n = 0;

    return num_parse_u64(http_capture(req, S("n")), &n) ? n : 0;
}

static void text_later(struct pool_task *t)
{
    struct buf b = BUF_INIT(1 << 30);

    while (b.n < t->n && b.failed == OK) {
        buf_printf(&b, "{\"key\": \"loss\", \"value\": 0.%zu},", b.n);
    }
    b.n = b.failed ? b.n : (size_t)t->n;
    http_type(t->req, "application/json");
    http_allow_range(t->req);
    http_send_buf(t->req, &b);
}

static void on_text(struct http_req *req)
{
    struct pool_task *t = pool_task(req, text_later);

    if (t) {
        t->n = number(req);
        to_pool(t);
    }
}

static void on_file(struct http_req *req)
{
    http_type(req, "application/octet-stream");
    http_send_file(req, dup(the_nf->file_fd), 0, the_nf->file_n);
}

static void count_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                        const struct err *err);

static void count_later(struct pool_task *t)
{
    for (size_t i = 0; i < t->bytes.n; i += 512) {
        t->at += (unsigned char)t->bytes.p[i];
    }
    t->sum += t->bytes.n;
    http_body_read(t->req, count_piece, t);
}

static void count_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                        const struct err *err)
{
    struct pool_task *t = ctx;

    if (what == HTTP_PIECE_DATA) {
        t->bytes = bytes;
        to_pool(t);
    } else if (what == HTTP_PIECE_END) {
        http_send(req, arena_printf(req->arena, "%llu", (unsigned long long)t->sum));
    } else {
        http_send_error(req, err);
    }
}

static void on_count(struct http_req *req)
{
    struct pool_task *t = pool_task(req, count_later);

    if (t) {
        http_body_read(req, count_piece, t);
    }
}

/* Pieces into rooms of an odd size, two in turn: how many, how many of them lay in their room, and a sum over all bytes. */
static void room_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                       const struct err *err);

static void room_later(struct pool_task *t)
{
    for (size_t i = 0; i < t->bytes.n; i++) {
        t->sum = t->sum * 31 + (unsigned char)t->bytes.p[i];
    }
    t->n++;
    t->at += t->bytes.p == t->data || t->bytes.p == t->data + NF_ROOM;
    http_body_read_into(t->req, t->data + t->n % 2 * NF_ROOM, NF_ROOM, room_piece, t);
}

static void room_piece(struct http_req *req, void *ctx, enum http_piece what, struct str bytes,
                       const struct err *err)
{
    struct pool_task *t = ctx;

    if (what == HTTP_PIECE_DATA) {
        T_OK(bytes.n > 0);
        t->bytes = bytes;
        to_pool(t);
    } else if (what == HTTP_PIECE_END) {
        http_send(req, arena_printf(req->arena, "%llu %llu %llu", (unsigned long long)t->n,
                                    (unsigned long long)t->at, (unsigned long long)t->sum));
    } else {
        http_send_error(req, err);
    }
}

static void on_rooms(struct http_req *req)
{
    struct pool_task *t = pool_task(req, room_later);

    if (t) {
        t->data = arena_alloc(req->arena, (size_t)2 * NF_ROOM);
        T_OK(t->data != NULL);
        http_body_read_into(req, t->data, NF_ROOM, room_piece, t);
    }
}

static void give_later(struct pool_task *t)
{
    memset(t->data, 'a' + (int)(t->sum % 26), PIECE);
    t->sum++;
    http_give(t->req, str_of(t->data, PIECE), t->sum == t->n ? HTTP_GIVE_LAST : HTTP_GIVE_MORE);
}

static void stream_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct pool_task *t = ctx;

    (void)req;
    (void)at;
    to_pool(t);
}

static void on_stream(struct http_req *req)
{
    static const struct http_producer producer = { .pull = stream_pull };
    struct pool_task *t = pool_task(req, give_later);

    if (t) {
        t->n = number(req);
        http_send_stream(req, HTTP_LENGTH_UNKNOWN, &producer, t);
    }
}

/* Byte i of the known stream is i % 251. */
static void known_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct pool_task *t = ctx;
    size_t n = (size_t)MIN_OF(t->n - at, (uint64_t)PIECE);

    for (size_t i = 0; i < n; i++) {
        t->data[i] = (char)((at + i) % 251);
    }
    http_give(req, str_of(t->data, n), HTTP_GIVE_MORE);
}

static void on_known(struct http_req *req)
{
    static const struct http_producer producer = { .pull = known_pull };
    struct pool_task *t = pool_task(req, give_later);

    if (t) {
        t->n = number(req);
        http_allow_range(req);
        http_send_stream(req, (int64_t)t->n, &producer, t);
    }
}

/* The same bytes; where it can be, two pieces of three go through a pipe. */
struct piped {
    uint64_t n;
    unsigned pulls;
    int pipe[2];
    char data[PIECE];
};

static void piped_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct piped *t = ctx;
    size_t n = (size_t)MIN_OF(t->n - at, (uint64_t)PIECE);

    for (size_t i = 0; i < n; i++) {
        t->data[i] = (char)((at + i) % 251);
    }
    if (t->pulls++ % 3 == 0 || t->pipe[0] < 0) {
        http_give(req, str_of(t->data, n), HTTP_GIVE_MORE);
        return;
    }
    n = (size_t)sys.write(t->pipe[1], t->data, n); /* what has room in it */
    http_give_pipe(req, t->pipe[0], n);
}

static void piped_done(struct http_req *req, void *ctx)
{
    struct piped *t = ctx;

    (void)req;
    if (t->pipe[0] >= 0) {
        T_INT(sys.close(t->pipe[0]), 0);
        T_INT(sys.close(t->pipe[1]), 0);
    }
    exec_event_set(the_nf->arrived);
}

static void on_piped(struct http_req *req)
{
    static const struct http_producer producer = { .pull = piped_pull, .done = piped_done };
    struct piped *t = ARENA_NEW(req->arena, struct piped);
    struct err err = ERR_INIT;

    T_OK(t != NULL);
    t->n = number(req);
    t->pipe[0] = t->pipe[1] = -1;
    if (http_can_give_pipe(req)) {
        T_ST_ERR(fs_pipe(t->pipe, 1 << 20, &err), OK, &err);
    }
    http_add_headerf(req, S("x-piped"), "%d", t->pipe[0] >= 0);
    http_allow_range(req);
    http_send_stream(req, (int64_t)t->n, &producer, t);
}

/* /abort gives one piece and gives up; /short promises 100 bytes and ends after 10. */
static void broken_pull(struct http_req *req, void *ctx, uint64_t at)
{
    bool promised = str_eq_lit(req->path, "/short");

    (void)ctx;
    if (at == 0) {
        http_give(req, S("0123456789"), promised ? HTTP_GIVE_LAST : HTTP_GIVE_MORE);
    } else {
        http_give(req, S(""), HTTP_GIVE_ABORT);
    }
}

static void broken_done(struct http_req *req, void *ctx)
{
    (void)req;
    (void)ctx;
    exec_event_set(the_nf->arrived);
}

static void on_broken(struct http_req *req)
{
    static const struct http_producer producer = { .pull = broken_pull, .done = broken_done };

    http_send_stream(req, str_eq_lit(req->path, "/short") ? 100 : HTTP_LENGTH_UNKNOWN, &producer,
                     NULL);
}

static void on_loop(struct http_req *req)
{
    http_send(req, arena_printf(req->arena, "%u", loop_index(req->loop)));
}

static void meta_posted(struct http_req *req, void *ctx)
{
    (void)ctx;
    T_OK(loop_is_current(req->loop));
    http_type(req, "text/plain");
    http_no_compress(req);
    http_send(req,
              arena_printf(req->arena, "%.*s %d %d %s %.*s", STR_ARG(http_content_type(req)),
                           http_header_has(req, S("accept"), S("text/plain")), http_is_gone(req),
                           http_reason(599), STR_ARG(http_header_nth(req, S("accept"), 1))));
}

static void meta_later(struct pool_task *t)
{
    http_req_post(t->req, meta_posted, NULL);
}

static void on_meta(struct http_req *req)
{
    struct pool_task *t = pool_task(req, meta_later);

    if (t) {
        to_pool(t);
    }
}

static void slow_later(struct pool_task *t)
{
    exec_event_set(the_nf->arrived);
    T_OK(exec_event_wait(the_nf->release, 30000));
    http_send(t->req, S("late"));
}

static void on_slow(struct http_req *req)
{
    struct pool_task *t = pool_task(req, slow_later);

    if (t) {
        to_pool(t);
    }
}

static void hold_later(struct pool_task *t)
{
    exec_event_set(the_nf->arrived);
    T_OK(exec_event_wait(the_nf->release, 30000));
    t->run = count_later;
    http_body_read(t->req, count_piece, t);
}

static void on_hold(struct http_req *req)
{
    struct pool_task *t = pool_task(req, hold_later);

    if (t) {
        to_pool(t);
    }
}

static const struct test_op op_hello = { on_hello }, op_echo = { on_echo }, op_put = { on_put },
                            op_text = { on_text }, op_file = { on_file }, op_count = { on_count },
                            op_rooms = { on_rooms }, op_stream = { on_stream },
                            op_known = { on_known }, op_piped = { on_piped }, op_slow = { on_slow },
                            op_hold = { on_hold }, op_early = { on_early },
                            op_broken = { on_broken }, op_meta = { on_meta }, op_loop = { on_loop };

static const struct route routes[] = {
    ROUTE(HTTP_GET, "/hello", NULL, NULL, 0, ACTION_TEST, &op_hello),
    ROUTE(HTTP_GET, "/health", NULL, NULL, 0, ACTION_TEST, &op_hello),
    ROUTE(HTTP_POST, "/echo", NULL, NULL, 0, ACTION_TEST, &op_echo),
    ROUTE(HTTP_POST, "/api/2.0/mlflow/runs/create", NULL, NULL, 0, ACTION_TEST, &op_echo),
    ROUTE_BODY(HTTP_POST, "/count", NULL, NULL, 0, ACTION_TEST, &op_count, HTTP_BODY_STREAM, 0),
    ROUTE_BODY(HTTP_POST, "/count-capped", NULL, NULL, 0, ACTION_TEST, &op_count, HTTP_BODY_STREAM,
               100000),
    ROUTE_BODY(HTTP_POST, "/rooms", NULL, NULL, 0, ACTION_TEST, &op_rooms, HTTP_BODY_STREAM, 0),
    ROUTE_BODY(HTTP_POST, "/hold", NULL, NULL, 0, ACTION_TEST, &op_hold, HTTP_BODY_STREAM, 0),
    ROUTE_BODY(HTTP_POST, "/early", NULL, NULL, 0, ACTION_TEST, &op_early, HTTP_BODY_STREAM, 0),
    ROUTE(HTTP_GET, "/text/{n}", NULL, NULL, 0, ACTION_TEST, &op_text),
    ROUTE(HTTP_GET, "/file", NULL, NULL, 0, ACTION_TEST, &op_file),
    ROUTE(HTTP_GET, "/stream/{n}", NULL, NULL, 0, ACTION_TEST, &op_stream),
    ROUTE(HTTP_GET, "/known/{n}", NULL, NULL, 0, ACTION_TEST, &op_known),
    ROUTE(HTTP_GET, "/piped/{n}", NULL, NULL, 0, ACTION_TEST, &op_piped),
    ROUTE(HTTP_GET, "/slow", NULL, NULL, 0, ACTION_TEST, &op_slow),
    ROUTE(HTTP_POST, "/slow", NULL, NULL, 0, ACTION_TEST, &op_slow),
    ROUTE(HTTP_GET, "/abort", NULL, NULL, 0, ACTION_TEST, &op_broken),
    ROUTE(HTTP_GET, "/short", NULL, NULL, 0, ACTION_TEST, &op_broken),
    ROUTE(HTTP_GET, "/loop", NULL, NULL, 0, ACTION_TEST, &op_loop),
    ROUTE(HTTP_GET, "/meta", NULL, NULL, 0, ACTION_TEST, &op_meta),
    ROUTE(HTTP_PUT, "/put/{path*}", NULL, NULL, 0, ACTION_TEST, &op_put),
};
static const struct route_alias aliases[] = { { "/api/", "/ajax-api/" } };

static void on_handle(void *ctx, struct http_req *req)
{
    (void)ctx;
    ((const struct test_op *)req->route->handler)->run(req);
}

/* ---- server -------------------------------------------------------------------------------------------------------- */

void nf_start(struct nf *f, void (*tweak)(struct http_server_options *o))
{
    struct http_hooks hooks = { .handle = on_handle };
    struct http_server_options o;
    struct err err = ERR_INIT;

    net_init();
    memset(f, 0, sizeof(*f));
    the_nf = f;
    f->file_fd = -1;
    f->release = exec_event_new();
    f->arrived = exec_event_new();
    http_server_options_init(&o);
    o.loop_n = 2;
    if (tweak) {
        tweak(&o);
    }
    T_ST_ERR(exec_pool_new(&f->pool, "test", 2, 1000, &err), OK, &err);
    T_ST_ERR(router_new(&f->router, &err), OK, &err);
    T_ST_ERR(router_add(f->router, routes, ARRAY_N(routes), aliases, ARRAY_N(aliases), NULL, &err),
             OK, &err);
    T_ST_ERR(http_server_new(&f->server, &o, f->router, &hooks, &err), OK, &err);
    T_ST_ERR(http_server_listen(f->server, "127.0.0.1:0", &err), OK, &err);
    (void)snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", http_server_port(f->server, 0));
    T_ST_ERR(http_server_start(f->server, &err), OK, &err);
}

void nf_stop(struct nf *f)
{
    struct err err = ERR_INIT;

    T_ST_ERR(http_server_stop(f->server, 2000, 5000, &err), OK, &err);
    exec_pool_free(f->pool);
    http_server_free(f->server);
    router_free(f->router);
    exec_event_free(f->release);
    exec_event_free(f->arrived);
}

void nf_release(struct nf *f)
{
    exec_event_set(f->release);
}

uint64_t nf_rss(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    T_OK(file != NULL);
    T_INT(fscanf(file, "%llu %llu", &size, &resident), 2);
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- client -------------------------------------------------------------------------------------------------------- */

int nf_connect(const struct nf *f)
{
    struct timeval limit = { .tv_sec = 20 };
    struct err err = ERR_INIT;
    int fd = -1;

    T_ST_ERR(sock_connect(f->address, &fd, &err), OK, &err);
    T_INT(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    T_INT(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}

void nf_sendn(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t put = send(fd, at, n, MSG_NOSIGNAL);

        if (put <= 0) {
            T_FAIL("send: %s", strerror(errno));
        }
        at += put;
        n -= (size_t)put;
    }
}

void nf_send(int fd, const char *text)
{
    nf_sendn(fd, text, strlen(text));
}

static bool byte_of(int fd, char *c)
{
    ssize_t n = recv(fd, c, 1, 0);

    if (n < 0 && errno == EAGAIN) {
        T_FAIL("no answer in time");
    }
    return n == 1;
}

static void need(int fd, char *p, size_t n)
{
    while (n > 0) {
        ssize_t got = recv(fd, p, n, 0);

        if (got <= 0) {
            T_FAIL("the answer is cut short by %zu bytes", n);
        }
        p += got;
        n -= (size_t)got;
    }
}

static bool read_line(int fd, char *line, size_t cap)
{
    size_t n = 0;

    while (n + 1 < cap && byte_of(fd, line + n)) {
        if (line[n++] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    line[n] = '\0';
    return false;
}

const char *nf_field(const struct nf_answer *a, const char *name)
{
    static char value[8192];
    size_t n = strlen(name);

    for (const char *p = strchr(a->head, '\n'); p && p[1]; p = strchr(p + 1, '\n')) {
        if (strncasecmp(p + 1, name, n) == 0 && p[1 + n] == ':') {
            size_t k = strcspn(p + 3 + n, "\r\n");

            memcpy(value, p + 3 + n, k);
            value[k] = '\0';
            return value;
        }
    }
    return "";
}

static void grow(struct nf_answer *a, size_t n)
{
    a->body = mem_realloc(a->body, a->n + n + 1);
    T_OK(a->body != NULL);
}

static void read_chunks(int fd, struct nf_answer *a)
{
    char line[256];

    for (;;) {
        T_OK(read_line(fd, line, sizeof(line)));
        size_t n = (size_t)strtoull(line, NULL, 16);

        if (n == 0) {
            T_OK(read_line(fd, line, sizeof(line)));
            T_CSTR(line, "\r\n");
            return;
        }
        grow(a, n);
        need(fd, a->body + a->n, n);
        a->n += n;
        T_OK(read_line(fd, line, sizeof(line)));
        T_CSTR(line, "\r\n");
    }
}

static void read_to_end(int fd, struct nf_answer *a)
{
    ssize_t got;

    do {
        grow(a, 65536);
        got = recv(fd, a->body + a->n, 65536, 0);
        T_OK(got >= 0);
        a->n += (size_t)got;
    } while (got > 0);
    a->closed = true;
}

static bool answer_of(int fd, struct nf_answer *a, bool head)
{
    size_t n = 0;
    const char *length;

    memset(a, 0, sizeof(*a));
    do {
        if (!read_line(fd, a->head + n, sizeof(a->head) - n)) {
            T_UINT(n, 0);
            return false;
        }
        n += strlen(a->head + n);
    } while (n < 4 || memcmp(a->head + n - 4, "\r\n\r\n", 4) != 0);
    T_OK(strncmp(a->head, "HTTP/1.1 ", 9) == 0);
    a->status = (int)strtol(a->head + 9, NULL, 10);
    grow(a, 0);
    length = nf_field(a, "content-length");
    if (head || a->status == 204 || a->status == 304 || a->status < 200) {
        length = "0";
    }
    if (strcmp(nf_field(a, "transfer-encoding"), "chunked") == 0 && !head) {
        read_chunks(fd, a);
    } else if (length[0] || head) {
        length = head ? "0" : length;
        n = (size_t)strtoull(length, NULL, 10);
        grow(a, n);
        need(fd, a->body, n);
        a->n = n;
    } else {
        read_to_end(fd, a);
    }
    a->body[a->n] = '\0';
    return true;
}

bool nf_answer(int fd, struct nf_answer *a)
{
    return answer_of(fd, a, false);
}

bool nf_answer_head(int fd, struct nf_answer *a)
{
    return answer_of(fd, a, true);
}

void nf_answer_release(struct nf_answer *a)
{
    mem_free(a->body);
    a->body = NULL;
}

void nf_ask(const struct nf *f, const char *text, struct nf_answer *a)
{
    int fd = nf_connect(f);

    nf_send(fd, text);
    T_OK(nf_answer(fd, a));
    (void)close(fd);
}

bool nf_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}
