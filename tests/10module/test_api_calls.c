/* Calls through a whole server in this process: idempotency keys, full disks, full queues, damaged bytes. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "api/mlflow/mlflow.h"
#include "base/exec.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/sys.h"
#include "net/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX_BYTES = 1 << 20 };

struct site {
    struct corefix f;
    struct access *access;
    struct api api;
    struct http_hooks hooks;
    struct router *router;
    struct http_server *http;
    char address[256];
    char other[256]; /* the same server, by another way: to it another client */
};

static void site_open_with(struct site *s, const char *location, const struct core_options *core)
{
    struct http_server_options o;
    struct err err = ERR_INIT;

    memset(s, 0, sizeof(*s));
    corefix_open_with(&s->f, location, core);
    T_ST(access_new(&s->access, AUTH_NONE, &err), OK);
    s->api = (struct api){ .core = s->f.core, .access = s->access, .serve_artifacts = true };
    api_hooks(&s->hooks, &s->api);
    T_ST(router_new(&s->router, &err), OK);
    T_ST_ERR(mlflow_routes(s->router, NULL, &err), OK, &err);
    http_server_options_init(&o);
    o.loop_n = 2;
    T_ST_ERR(http_server_new(&s->http, &o, s->router, &s->hooks, &err), OK, &err);
    T_ST_ERR(http_server_listen(s->http, "127.0.0.1:0", &err), OK, &err);
    snprintf(s->other, sizeof(s->other), "unix:%s/sock", t_tmpdir());
    T_ST_ERR(http_server_listen(s->http, s->other, &err), OK, &err);
    T_ST_ERR(http_server_start(s->http, &err), OK, &err);
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", http_server_port(s->http, 0));
}

static void site_open(struct site *s, const char *location)
{
    struct core_options none = { 0 };

    site_open_with(s, location, &none);
}

static void site_close(struct site *s)
{
    struct err err = ERR_INIT;

    T_ST_ERR(http_server_stop(s->http, 5000, 5000, &err), OK, &err);
    http_server_free(s->http);
    router_free(s->router);
    corefix_close(&s->f);
    access_free(s->access);
}

/* Sends a request and leaves its answer to be read. */
static int ask(struct site *s, const char *line, const char *fields, struct str body)
{
    struct str head =
        arena_printf(s->f.a,
                     "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
                     "application/json\r\n%sContent-Length: %zu\r\n\r\n",
                     line, fields, body.n);
    struct err err = ERR_INIT;
    int fd;

    T_ST_ERR(sock_connect(s->address, &fd, &err), OK, &err);
    T_ST_ERR(fs_write_all(fd, head.p, head.n, &err), OK, &err);
    T_ST_ERR(fs_write_all(fd, body.p, body.n, &err), OK, &err);
    return fd;
}

struct reply {
    int status;
    struct str head, body;
};

static struct reply reply(struct site *s, int fd)
{
    char *p = arena_alloc(s->f.a, ANSWER_MAX_BYTES);
    struct reply r;
    size_t n = 0, end;
    ssize_t got;

    T_OK(p != NULL);
    while (n < ANSWER_MAX_BYTES && (got = sys.read(fd, p + n, ANSWER_MAX_BYTES - n)) > 0) {
        n += (size_t)got;
    }
    sys.close(fd);
    T_OK(n > 13);
    end = str_find(str_of(p, n), S("\r\n\r\n"));
    T_OK(end != SIZE_MAX);
    r.head = str_of(p, end + 2);
    r.body = str_of(p + end + 4, n - end - 4);
    r.status = (int)strtol(p + 9, NULL, 10);
    return r;
}

static struct reply call(struct site *s, const char *line, const char *fields, struct str body)
{
    return reply(s, ask(s, line, fields, body));
}

static bool has(struct str s, const char *part)
{
    return str_find(s, str_cstr(part)) != SIZE_MAX;
}

#define CREATE_RUN        "POST /api/2.0/mlflow/runs/create"
#define CREATE_EXPERIMENT "POST /api/2.0/mlflow/experiments/create"
#define KEY               "Idempotency-Key: k1\r\n"

SQL_TEST(a_repeated_request_gets_the_same_answer)
{
    static const struct {
        const char *line;
        struct str body, other;
    } cases[] = {
        { CREATE_RUN, S_INIT("{\"experiment_id\": \"0\", \"run_name\": \"a\"}"),
          S_INIT("{\"experiment_id\": \"0\", \"run_name\": \"b\"}") },
        { CREATE_EXPERIMENT, S_INIT("{\"name\": \"a\"}"), S_INIT("{\"name\": \"b\"}") },
        { "POST /api/2.0/mlflow/logged-models",
          S_INIT("{\"experiment_id\": \"0\", \"tags\": [{\"key\": \"k\", \"value\": \"v\"}]}"),
          S_INIT("{\"experiment_id\": \"0\"}") },
    };
    struct site s;

    site_open(&s, location);
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        const char *key = arena_printf(s.f.a, "Idempotency-Key: key %zu\r\n", i).p;
        struct reply first = call(&s, cases[i].line, key, cases[i].body);
        struct reply again = call(&s, cases[i].line, key, cases[i].body);
        struct reply other = call(&s, cases[i].line, key, cases[i].other);

        T_INT(first.status, 200);
        T_INT(again.status, 200);
        T_STR_EQ(again.body, first.body);
        T_INT(other.status, 409);
        T_OK(has(other.body, "the idempotency key was used for another request"));
    }
    T_INT(sqltest_int(s.f.v.conn, "SELECT count(*) FROM ident WHERE scheme = 1"), 1);
    T_INT(sqltest_int(s.f.v.conn, "SELECT count(*) FROM experiment"), 2);
    T_INT(sqltest_int(s.f.v.conn, "SELECT count(*) FROM logged_model"), 1);
    site_close(&s);
}

SQL_TEST(the_same_request_at_the_same_moment)
{
    enum { N = 8 };
    struct str body = S("{\"experiment_id\": \"0\"}");
    struct reply first, r;
    struct site s;
    int fd[N];

    site_open(&s, location);
    for (int i = 0; i < N; i++) {
        fd[i] = ask(&s, CREATE_RUN, KEY, body);
    }
    first = reply(&s, fd[0]);
    T_INT(first.status, 200);
    for (int i = 1; i < N; i++) {
        r = reply(&s, fd[i]);
        T_INT(r.status, 200);
        T_STR_EQ(r.body, first.body);
    }
    T_INT(sqltest_int(s.f.v.conn, "SELECT count(*) FROM ident WHERE scheme = 1"), 1);
    site_close(&s);
}

/* A key that is no text is the client's mistake on every engine, and nothing is stored. */
SQL_TEST(keys_that_cannot_be_kept)
{
    static const char *const keys[] = { "Idempotency-Key: caf\xe9\r\n", "Idempotency-Key:\r\n" };
    struct site s;

    site_open(&s, location);
    for (size_t i = 0; i < ARRAY_N(keys); i++) {
        struct reply r = call(&s, CREATE_EXPERIMENT, keys[i], S("{\"name\": \"a\"}"));

        T_INT(r.status, 400);
        T_OK(has(r.body, "an idempotency key has 1 to 255 characters"));
    }
    T_INT(sqltest_int(s.f.v.conn, "SELECT count(*) FROM experiment"), 1);
    site_close(&s);
}

static int no_room(int fd)
{
    (void)fd;
    errno = ENOSPC;
    return -1;
}

/* No room for bytes: 503 with the time to try again, nothing stored; and it works when there is room. */
SQL_TEST(full_disk)
{
    struct str bytes;
    struct reply r;
    struct site s;
    char *p;

    site_open(&s, location);
    p = arena_zalloc(s.f.a, 1, 200000);
    bytes = str_of(p, 200000);
    sys.fdatasync = no_room; /* nothing runs: the server waits for requests */
    r = call(&s, "PUT /api/2.0/mlflow-artifacts/artifacts/d/x.bin", "", bytes);
    sys = sys_default;
    T_INT(r.status, 503);
    T_OK(has(r.head, "retry-after: ") || has(r.head, "Retry-After: "));
    T_OK(has(r.body, "TEMPORARILY_UNAVAILABLE"));
    T_OK(has(r.body, "No space left on device"));
    T_OK(!has(r.body, s.f.blobs));
    T_STR(corefix_ls(&s.f, S("")), "");
    r = call(&s, "PUT /api/2.0/mlflow-artifacts/artifacts/d/x.bin", "", bytes);
    T_INT(r.status, 200);
    T_STR(r.body, "{}");
    r = call(&s, "GET /api/2.0/mlflow-artifacts/artifacts/d/x.bin", "", S(""));
    T_INT(r.status, 200);
    T_STR_EQ(r.body, bytes);
    site_close(&s);
}

/* A lost file is said to be lost, without telling where it was. */
TEST(lost_bytes)
{
    struct reply r;
    struct site s;
    char path[512], hex[65];
    struct digest d;
    char *p;

    site_open(&s, t_tmpdir());
    p = arena_zalloc(s.f.a, 1, 100000);
    T_ST_ERR(corefix_put(&s.f, S("x"), p, 100000), OK, &s.f.err);
    T_OK(sha256_of(p, 100000, &d));
    digest_hex(&d, hex);
    snprintf(path, sizeof(path), "%s/objects/%.2s/%s-1", s.f.blobs, hex, hex);
    T_INT(sys.unlink(path), 0);
    r = call(&s, "GET /api/2.0/mlflow-artifacts/artifacts/x", "", S(""));
    T_INT(r.status, 500);
    T_OK(has(r.body, "DATA_LOSS"));
    T_OK(has(r.body, "artifact 'x'"));
    T_OK(!has(r.body, s.f.blobs));
    T_ST_ERR(corefix_put(&s.f, S("y"), p, 100000), OK, &s.f.err); /* the same bytes again: healed */
    r = call(&s, "GET /api/2.0/mlflow-artifacts/artifacts/x", "", S(""));
    T_INT(r.status, 200);
    T_INT(r.body.n, 100000);
    site_close(&s);
}

/* ---- queues that are full ------------------------------------------------------------------------------------------------- */

struct held {
    struct read_job read;
    struct write_op op;
    struct exec_event *started, *release; /* of the one that holds the others up; else NULL */
    size_t *left;
    struct exec_event *all;
};

static void wait_in_read(struct read_job *job, struct view *v)
{
    struct held *h = CONTAINER_OF(job, struct held, read);

    (void)v;
    if (h->started) exec_event_set(h->started);
    if (h->release) T_OK(exec_event_wait(h->release, 60000));
    if (--*h->left == 0) exec_event_set(h->all); /* one reader: no other thread counts */
}

static enum status wait_in_write(struct write_op *op, struct group *g, struct err *err)
{
    struct held *h = CONTAINER_OF(op, struct held, op);

    (void)g;
    (void)err;
    if (h->release) T_OK(exec_event_wait(h->release, 60000));
    return OK;
}

static void write_is_done(struct write_op *op)
{
    struct held *h = CONTAINER_OF(op, struct held, op);

    if (--*h->left == 0) exec_event_set(h->all);
}

static void check_busy(struct reply r, const char *text)
{
    T_INT(r.status, 503);
    T_OK(has(r.head, "retry-after: ") || has(r.head, "Retry-After: "));
    T_OK(has(r.body, "TEMPORARILY_UNAVAILABLE"));
    T_OK(has(r.body, text));
}

TEST(too_many_reads)
{
    enum { MANY = 10000 };
    struct exec_event *started = exec_event_new(), *release = exec_event_new(),
                      *all = exec_event_new();
    struct held *held;
    struct site s;
    size_t left = 0, n = 0;

    site_open(&s, t_tmpdir());
    held = ARENA_ARRAY(s.f.a, struct held, MANY);
    left = MANY;
    for (; n < MANY; n++) {
        held[n].started = n ? NULL : started;
        held[n].release = n ? NULL : release;
        held[n].left = &left;
        held[n].all = all;
        held[n].read = (struct read_job){ .run = wait_in_read, .arena = s.f.a };
        if (core_read_submit(s.f.core, &held[n].read)) {
            break;
        }
        if (n == 0) T_OK(exec_event_wait(started, 60000)); /* it is out of the queue */
    }
    T_OK(n > 100 && n < MANY);
    check_busy(call(&s, "GET /api/2.0/mlflow/experiments/get?experiment_id=0", "", S("")),
               "too many reads are waiting");
    check_busy(call(&s, "PUT /api/2.0/mlflow-artifacts/artifacts/x", "", S("bytes")),
               "too many reads are waiting");
    check_busy(call(&s, "DELETE /api/2.0/mlflow-artifacts/artifacts/x", "", S("")),
               "too many reads are waiting");
    T_INT(call(&s, "GET /health", "", S("")).status, 200);
    left = n; /* the first one waits; none has counted yet */
    exec_event_set(release);
    T_OK(exec_event_wait(all, 60000));
    T_INT(call(&s, "GET /api/2.0/mlflow/experiments/get?experiment_id=0", "", S("")).status, 200);
    site_close(&s);
    exec_event_free(started);
    exec_event_free(release);
    exec_event_free(all);
}

TEST(too_many_writes)
{
    static const struct write_kind kind = { .name = "test.wait", .validate = wait_in_write };
    enum { MANY = 20000 };
    struct exec_event *release = exec_event_new(), *all = exec_event_new();
    struct held *held;
    struct site s;
    size_t left = SIZE_MAX, n = 0;

    site_open(&s, t_tmpdir());
    held = ARENA_ARRAY(s.f.a, struct held, MANY);
    for (; n < MANY; n++) {
        held[n].release = n ? NULL : release;
        held[n].left = &left;
        held[n].all = all;
        held[n].op = (struct write_op){ .kind = &kind, .arena = s.f.a, .done = write_is_done };
        if (seq_submit(s.f.core->seq, &held[n].op)) {
            break;
        }
    }
    T_OK(n > 100 && n < MANY);
    check_busy(call(&s, CREATE_EXPERIMENT, "", S("{\"name\": \"a\"}")),
               "too many writes are waiting");
    check_busy(call(&s, CREATE_EXPERIMENT, KEY, S("{\"name\": \"a\"}")),
               "too many writes are waiting");
    check_busy(call(&s, "PUT /api/2.0/mlflow-artifacts/artifacts/x", "", S("bytes")),
               "too many writes are waiting");
    T_INT(call(&s, "GET /api/2.0/mlflow/experiments/get?experiment_id=0", "", S("")).status, 200);
    left = n; /* the first one holds the sequencer; none has counted yet */
    exec_event_set(release);
    T_OK(exec_event_wait(all, 60000));
    T_INT(call(&s, CREATE_EXPERIMENT, KEY, S("{\"name\": \"a\"}")).status, 200);
    site_close(&s);
    exec_event_free(release);
    exec_event_free(all);
}

/* Holds the sequencer; then `share` writes of one client wait, its next one is answered 429, another client still gets in until the
 * whole queue is full, which is 503 for everybody. All that were taken are answered once the sequencer goes on. */
TEST(one_client_has_half_of_the_queue)
{
    static const struct write_kind kind = { .name = "test.wait", .validate = wait_in_write };
    enum { QUEUE = 16, SHARE = QUEUE / 2 };
    struct core_options opt = { .wait_ops = QUEUE };
    struct exec_event *release = exec_event_new(), *all = exec_event_new();
    struct held held = { .release = release, .all = all };
    struct seq_stats stats;
    struct reply r;
    struct site s;
    size_t left = 1;
    int fds[QUEUE], n = 0;
    char own[sizeof(s.address)];

    site_open_with(&s, t_tmpdir(), &opt);
    held.left = &left;
    held.op = (struct write_op){ .kind = &kind, .arena = s.f.a, .done = write_is_done };
    T_ST(seq_submit(s.f.core->seq, &held.op), OK);
    for (; n < SHARE; n++) {
        fds[n] = ask(&s, CREATE_EXPERIMENT, "", arena_printf(s.f.a, "{\"name\": \"own %d\"}", n));
    }
    do { /* until they are in the queue */
        struct timespec nap = { .tv_nsec = 1000000 };

        (void)nanosleep(&nap, NULL);
        seq_stats(s.f.core->seq, &stats);
    } while (stats.waiting < SHARE + 1);
    r = call(&s, CREATE_EXPERIMENT, "", S("{\"name\": \"one more\"}"));
    T_INT(r.status, 429);
    T_OK(has(r.head, "retry-after: ") || has(r.head, "Retry-After: "));
    T_OK(has(r.body, "RESOURCE_EXHAUSTED"));
    T_OK(has(r.body, "its share"));
    memcpy(own, s.address, sizeof(own));
    snprintf(s.address, sizeof(s.address), "%s", s.other);
    for (; n < QUEUE - 1; n++) {
        fds[n] = ask(&s, CREATE_EXPERIMENT, "", arena_printf(s.f.a, "{\"name\": \"other %d\"}", n));
    }
    do {
        struct timespec nap = { .tv_nsec = 1000000 };

        (void)nanosleep(&nap, NULL);
        seq_stats(s.f.core->seq, &stats);
    } while (stats.waiting < QUEUE);
    check_busy(call(&s, CREATE_EXPERIMENT, "", S("{\"name\": \"late\"}")),
               "too many writes are waiting");
    exec_event_set(release);
    T_OK(exec_event_wait(all, 60000));
    for (int i = 0; i < n; i++) {
        T_INT(reply(&s, fds[i]).status, 200);
    }
    memcpy(s.address, own, sizeof(own));
    for (int i = 0; i < 2 * QUEUE; i++) { /* what was counted is counted no more */
        T_INT(call(&s, CREATE_EXPERIMENT, "", arena_printf(s.f.a, "{\"name\": \"again %d\"}", i))
                  .status,
              200);
    }
    site_close(&s);
    exec_event_free(release);
    exec_event_free(all);
}

TEST(hosts_of_clients)
{
    static const char *const peers[][2] = { { "127.0.0.1:40112", "127.0.0.1" },
                                            { "[::1]:40112", "[::1]" },
                                            { "unix", "unix" },
                                            { "", "" },
                                            { "1:", "1:" },
                                            { "12", "12" },
                                            { ":1", ":1" } };

    for (size_t i = 0; i < ARRAY_N(peers); i++) {
        T_OK(str_eq(fair_host(str_cstr(peers[i][0])), str_cstr(peers[i][1])));
    }
}

TEST(shares_in_bytes)
{
    struct fair *f = mem_zalloc(1, sizeof(*f));
    struct fair_slot *a, *b, *c;
    struct err err = ERR_INIT;

    T_OK(f != NULL);
    T_ST(fair_enter(f, S("x"), 600, 100, 1000, &a, &err), OK); /* alone, whatever its size */
    T_ST(fair_enter(f, S("x"), 1, 100, 1000, &b, &err), ST_BUSY);
    T_OK(err.retry_after_s >= 1 && err.retry_after_s <= 2);
    fair_leave(a, 600);
    T_ST(fair_enter(f, S("x"), 250, 100, 1000, &a, &err), OK);
    T_ST(fair_enter(f, S("x"), 250, 100, 1000, &b, &err), OK);
    T_ST(fair_enter(f, S("x"), 1, 100, 1000, &c, &err), ST_BUSY);
    fair_leave(a, 250);
    fair_leave(b, 250);
    T_UINT(atomic_load(&a->held), 0);
    mem_free(f);
}
