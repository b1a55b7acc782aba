/* What was acknowledged is seen at once: each write over one connection is followed by a question over another, which must show
 * it: 10,000 times on each engine. And what a point costs in calls of the allocator. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "api/mlflow/mlflow.h"
#include "api/native/native.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/sys.h"
#include "net/server.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 10000, RUNS = 20, BUFFER = 1 << 20 };

struct site {
    struct corefix f;
    struct access *access;
    struct api api;
    struct http_hooks hooks;
    struct router *router;
    struct http_server *http;
    char address[64];
};

static void site_open(struct site *s, const char *location)
{
    struct http_server_options o;
    struct err err = ERR_INIT;

    memset(s, 0, sizeof(*s));
    corefix_open(&s->f, location, NULL);
    T_ST(access_new(&s->access, AUTH_NONE, &err), OK);
    s->api = (struct api){ .core = s->f.core, .access = s->access };
    api_hooks(&s->hooks, &s->api);
    T_ST(router_new(&s->router, &err), OK);
    T_ST_ERR(mlflow_routes(s->router, NULL, &err), OK, &err);
    http_server_options_init(&o);
    o.loop_n = 2;
    T_ST_ERR(http_server_new(&s->http, &o, s->router, &s->hooks, &err), OK, &err);
    T_ST_ERR(http_server_listen(s->http, "127.0.0.1:0", &err), OK, &err);
    T_ST_ERR(http_server_start(s->http, &err), OK, &err);
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", http_server_port(s->http, 0));
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

/* A connection that stays open, and its last answer. */
struct line {
    int fd;
    int status;
    char *in, *out;
    struct str body;
};

static void line_open(struct line *l, const struct site *s)
{
    struct err err = ERR_INIT;

    *l = (struct line){ .in = mem_alloc(BUFFER), .out = mem_alloc(BUFFER) };
    T_OK(l->in && l->out);
    T_ST_ERR(sock_connect(s->address, &l->fd, &err), OK, &err);
}

static void line_close(struct line *l)
{
    (void)sys.close(l->fd);
    mem_free(l->in);
    mem_free(l->out);
}

/* One request; the answer has a Content-Length. */
static struct str ask(struct line *l, const char *what, const char *body)
{
    struct err err = ERR_INIT;
    int n = snprintf(l->out, BUFFER,
                     "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     what, strlen(body), body);
    size_t got = 0, end = SIZE_MAX, want = 0;

    T_OK(n > 0 && n < BUFFER);
    T_ST_ERR(fs_write_all(l->fd, l->out, (size_t)n, &err), OK, &err);
    while (end == SIZE_MAX || got < end + 4 + want) {
        ssize_t k = sys.read(l->fd, l->in + got, BUFFER - got);

        T_OK(k > 0);
        got += (size_t)k;
        if (end == SIZE_MAX) {
            end = str_find(str_of(l->in, got), S("\r\n\r\n"));
            if (end != SIZE_MAX) {
                size_t at = str_find(str_of(l->in, end), S("Content-Length: "));

                T_OK(at != SIZE_MAX);
                want = strtoul(l->in + at + 16, NULL, 10);
            }
        }
    }
    l->status = (int)strtol(l->in + 9, NULL, 10);
    l->body = str_of(l->in + end + 4, want);
    return l->body;
}

static void has(struct line *l, const char *text)
{
    T_INT(l->status, 200);
    if (str_find(l->body, str_cstr(text)) == SIZE_MAX) {
        T_FAIL("%s is not in %.*s", text, (int)MIN_OF(l->body.n, (size_t)2000), l->body.p);
    }
}

static void new_run(struct line *l, const char *name, char id[40])
{
    char body[256];
    size_t at;

    snprintf(body, sizeof(body), "{\"experiment_id\":\"0\",\"run_name\":\"%s\"}", name);
    ask(l, "POST /api/2.0/mlflow/runs/create", body);
    T_INT(l->status, 200);
    at = str_find(l->body, S("\"run_id\":\""));
    T_OK(at != SIZE_MAX);
    snprintf(id, 40, "%.32s", l->body.p + at + 10);
}

/* Which of five writes the i-th is: few make a run, so that searches stay short. */
static int kind_of(int i)
{
    return i % 5 == 2 && i % 100 != 2 ? 3 : i % 5;
}

struct fresh {
    struct line write, read;
    char runs[RUNS][40];
};

/* Writes i in one of five ways; *in_search is what a search must find then. */
static void put(struct fresh *f, int i, char *id, char *filter, size_t filter_n)
{
    char body[512], name[32];

    switch (kind_of(i)) {
    case 0:
        snprintf(body, sizeof(body),
                 "{\"run_id\":\"%s\",\"key\":\"loss\",\"value\":%d,\"timestamp\":%d,\"step\":%d}",
                 id, i, i, i);
        ask(&f->write, "POST /api/2.0/mlflow/runs/log-metric", body);
        snprintf(filter, filter_n, "metrics.loss = %d", i);
        break;
    case 1:
        snprintf(
            body, sizeof(body),
            "{\"run_id\":\"%s\",\"metrics\":[{\"key\":\"loss\",\"value\":%d,\"timestamp\":%d,\"step\":%d}"
            ",{\"key\":\"acc\",\"value\":%d,\"timestamp\":%d,\"step\":%d}]}",
            id, i, i, i, i, i, i);
        ask(&f->write, "POST /api/2.0/mlflow/runs/log-batch", body);
        snprintf(filter, filter_n, "metrics.acc = %d", i);
        break;
    case 2:
        snprintf(name, sizeof(name), "run-%d", i);
        new_run(&f->write, name, id);
        snprintf(filter, filter_n, "attributes.run_name = 'run-%d'", i);
        break;
    case 3:
        snprintf(body, sizeof(body), "{\"run_id\":\"%s\",\"key\":\"t\",\"value\":\"v%d\"}", id, i);
        ask(&f->write, "POST /api/2.0/mlflow/runs/set-tag", body);
        snprintf(filter, filter_n, "tags.t = 'v%d'", i);
        break;
    default:
        snprintf(body, sizeof(body), "{\"run_id\":\"%s\",\"key\":\"p%d\",\"value\":\"w%d\"}", id, i,
                 i);
        ask(&f->write, "POST /api/2.0/mlflow/runs/log-parameter", body);
        snprintf(filter, filter_n, "params.p%d = 'w%d'", i, i);
        break;
    }
    T_INT(f->write.status, 200);
}

/* Asks in one of four ways. */
static void look(struct fresh *f, int i, const char *id, const char *filter)
{
    char what[400], body[400], text[100];
    bool points = i % 5 < 2;

    switch (points ? i / 5 % 4 : i / 5 % 2) {
    case 0:
        snprintf(body, sizeof(body),
                 "{\"experiment_ids\":[\"0\"],\"filter\":\"%s\",\"max_results\":2}", filter);
        ask(&f->read, "POST /api/2.0/mlflow/runs/search", body);
        has(&f->read, id);
        break;
    case 1:
        snprintf(what, sizeof(what), "GET /api/2.0/mlflow/runs/get?run_id=%s", id);
        ask(&f->read, what, "");
        has(&f->read, id);
        if (kind_of(i) == 3) snprintf(text, sizeof(text), "\"v%d\"", i);
        if (kind_of(i) == 4) snprintf(text, sizeof(text), "\"w%d\"", i);
        if (kind_of(i) == 2) snprintf(text, sizeof(text), "\"run-%d\"", i);
        if (points) snprintf(text, sizeof(text), "\"step\":%d", i);
        has(&f->read, text);
        break;
    case 2:
        snprintf(
            what, sizeof(what),
            "GET /api/2.0/mlflow/metrics/get-history?run_id=%s&metric_key=loss&max_results=25000",
            id);
        ask(&f->read, what, "");
        snprintf(text, sizeof(text), "\"step\":%d", i);
        has(&f->read, text);
        break;
    default:
        snprintf(what, sizeof(what),
                 "GET /api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=%s&metric_key=loss"
                 "&max_results=10",
                 id);
        ask(&f->read, what, "");
        snprintf(text, sizeof(text), "\"step\":%d", i); /* the last point is always among them */
        has(&f->read, text);
        break;
    }
}

SQL_TEST_LIMIT(every_write_is_seen_at_once, 240)
{
    struct fresh *f = mem_zalloc(1, sizeof(*f));
    char filter[100];
    struct site s;

    T_OK(f != NULL);
    site_open(&s, location);
    line_open(&f->write, &s);
    line_open(&f->read, &s);
    for (int r = 0; r < RUNS; r++) {
        new_run(&f->write, "start", f->runs[r]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        char *id = f->runs[i / 5 % RUNS];

        put(f, i, id, filter, sizeof(filter));
        look(f, i, id, filter);
    }
    line_close(&f->write);
    line_close(&f->read);
    site_close(&s);
    mem_free(f);
}

/* ---- calls of the allocator --------------------------------------------------------------------------------------------- */

static int64_t calls_for(struct line *l, const char *id, int points, int *step)
{
    char *body = mem_alloc(BUFFER / 2);
    int64_t least = INT64_MAX;

    T_OK(body != NULL);
    for (int round = 0; round < 20; round++) {
        int n = snprintf(body, BUFFER / 2, "{\"run_id\":\"%s\",\"metrics\":[", id);

        for (int i = 0; i < points; i++) {
            n += snprintf(body + n, BUFFER / 2 - (size_t)n,
                          "%s{\"key\":\"k%d\",\"value\":0.%d1234567,\"timestamp\":%d,\"step\":%d}",
                          i ? "," : "", i % 10, i + 1, *step, *step + i / 10);
        }
        n += snprintf(body + n, BUFFER / 2 - (size_t)n, "]}");
        *step += 100;
        mem_fail_never(); /* counts from here */
        ask(l, "POST /api/2.0/mlflow/runs/log-batch", body);
        least =
            MIN_OF(least, mem_call_n()); /* others of the process allocate too, but not always */
        T_INT(l->status, 200);
    }
    mem_free(body);
    return least;
}

SQL_TEST(a_point_costs_no_call)
{
    struct line l;
    struct site s;
    char id[40];
    int step = 1;
    int64_t ten, hundred, thousand;

    site_open(&s, location);
    line_open(&l, &s);
    new_run(&l, "counted", id);
    (void)calls_for(&l, id, 1000, &step); /* warm: buffers that stay have grown */
    ten = calls_for(&l, id, 10, &step);
    hundred = calls_for(&l, id, 100, &step);
    thousand = calls_for(&l, id, 1000, &step);
    t_note("%lld calls for 10 points, %lld for 100, %lld for 1000", (long long)ten,
           (long long)hundred, (long long)thousand);
    /* What grows with the body doubles, and pages of the database hold hundreds of points. */
    T_OK(hundred - ten <= 20);
    T_OK(thousand - ten <= 60);
    line_close(&l);
    site_close(&s);
}
