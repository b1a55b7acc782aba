/* bench/load.c - the load generator: one program for every server that speaks MLflow's REST API.
 *
 *     bench_load WORK --port N [options]
 *
 * WORK                 one request is                                    needs
 *   create             runs/create with one tag                          --experiment ID --requests N
 *   fill               runs/create and log-batch: 50 metrics, 50         --experiment ID --requests N
 *                      params, 3 tags; a request is one run
 *   metric             log-metric; each client has its own run           --ids FILE (one run's id a line)
 *   batch              log-batch of --keys metrics (50) x --steps (20)   --ids FILE
 *   request            a line METHOD PATH [BODY] of a file, in turn      --ids FILE
 *   history            the next page of a metric's history; all points   --ids FILE --requests PAGES
 *                      are summed up                                     [--experiment KEY] [--steps PAGE]
 *
 * --clients N (1)      keep-alive connections, each with one request at a time
 * --seconds S, --requests N, --each N   when to stop: after the time, when N are done, when each client has done N
 * --quickack           acknowledge what arrives at once (TCP_QUICKACK)
 * --shared             all clients write to the first run
 * --first N (0)        number of the first run (create, fill) or request (metric, batch): values follow from it
 * --kind K (loss)      noise, loss, accuracy, cosine, constant, mixed
 * --out FILE           write the ids of new runs, in the order of their numbers
 * --answer FILE        write the last answer
 *
 * Prints one line of JSON: requests, seconds, rate, latencies (microseconds; waited_s is their sum), failures, own CPU time,
 * and how many requests each client did ("each"). A request that fails with 429 or 5xx is sent again. SIGTERM stops early ("cut": true).
 *
 *     bench_load expect-series KIND RUN KEY STEPS      what a series must contain
 *     bench_load expect-search RUNS LOSS MODEL LIMIT   which runs of the search store must be found
 *     bench_load dump-store FIRST RUNS                 the bodies that fill the search store
 *     bench_load dump-series KIND RUNS KEYS STEPS      points as tab-separated lines: run, key, value, timestamp, step
 *     bench_load check N                               compare own number printing with the C library's */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include "load.h"

enum { SUB_BITS = 7, HIST_MAX = 64 << SUB_BITS, EVENTS_MAX = 256, BUSY_MS = 5 };

static struct load load;
static struct client clients[CLIENTS_MAX];
static uint64_t hist[HIST_MAX]; /* latencies: 128 steps to each power of two */
static int64_t longest_ns, waited_ns, end_ns;
static int active;
static volatile sig_atomic_t stopped;

void die(const char *format, ...)
{
    va_list args;

    fputs("bench_load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void buf_room(struct buf *b, size_t more)
{
    if (b->n + more <= b->cap) return;
    b->cap = b->cap * 2 > b->n + more ? b->cap * 2 : b->n + more;
    b->p = realloc(b->p, b->cap);
    if (!b->p) die("out of memory");
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    buf_room(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_text(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    char text[1024];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof(text)) die("text too long");
    buf_add(b, text, (size_t)n);
}

static void hist_add(int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    int bits = v < (1U << SUB_BITS) ? 0 : 64 - __builtin_clzll(v) - SUB_BITS - 1;

    hist[((uint64_t)bits << SUB_BITS) + (v >> bits)]++;
    if (ns > longest_ns) longest_ns = ns;
    waited_ns += ns;
}

static double hist_us(double share)
{
    uint64_t total = 0, seen = 0;

    for (int i = 0; i < HIST_MAX; i++) {
        total += hist[i];
    }
    for (int i = 0; i < HIST_MAX; i++) {
        seen += hist[i];
        if (seen && (double)seen >= share * (double)total) {
            int bits = i >> SUB_BITS ? (i >> SUB_BITS) - 1 : 0;
            return (double)((uint64_t)(i - (bits << SUB_BITS)) << bits) / 1000.0;
        }
    }
    return 0;
}

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void watch(int ep, struct client *c, int op)
{
    struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = c } };

    if (c->writing) ev.events |= EPOLLOUT;
    if (epoll_ctl(ep, op, c->conn.fd, &ev) != 0) die("epoll_ctl: %s", strerror(errno));
}

static void answered(int ep, struct client *c);

/* Sends what has been put into the connection. */
static void send_request(int ep, struct client *c, const char *method, const char *path)
{
    c->from_ns = now_ns();
    for (int i = 0; i < 3; i++) {
        bool wrote = c->writing;
        enum conn_state st = conn_send(&c->conn, &load.to, method, path);
        c->writing = st == CONN_MORE;
        if (st != CONN_LOST) {
            if (wrote != c->writing) watch(ep, c, EPOLL_CTL_MOD);
            load.bytes_out += (int64_t)(c->conn.out.n - c->conn.begin);
            return;
        }
        conn_close(&c->conn);
        conn_open(&c->conn, &load.to);
        watch(ep, c, EPOLL_CTL_ADD);
    }
    die("the server closes its connections");
}

static void start_next(int ep, struct client *c)
{
    const char *method = NULL, *path = NULL;
    bool half = c->phase == 1; /* a run that has begun is finished */

    if ((!half && (stopped || (end_ns && now_ns() >= end_ns))) ||
        !work_next(&load, c, &method, &path)) {
        c->idle = true;
        active--;
        return;
    }
    send_request(ep, c, method, path);
}

static void failed(int ep, struct client *c)
{
    const char *method = NULL, *path = NULL;
    const char *body = c->conn.status ? c->conn.in.p + c->conn.body : "the connection was closed";
    int status = c->conn.status;

    if (load.bad + load.retried < 3)
        fprintf(stderr, "bench_load: %s, client %d, status %d: %.300s\n", load.work, c->index,
                status, body);
    if (status == 0 || status == 429 || status >= 500) {
        struct timespec pause = { .tv_nsec = BUSY_MS * 1000000 };
        load.retried++;
        if (c->tries > 2) nanosleep(&pause, NULL);
        if (!stopped && work_again(&load, c, &method, &path)) {
            send_request(ep, c, method, path);
            return;
        }
    }
    load.bad++;
    c->phase = 0;
    start_next(ep, c);
}

static void answered(int ep, struct client *c)
{
    hist_add(now_ns() - c->from_ns);
    load.bytes_in += (int64_t)c->conn.in.n;
    if (c->conn.status != 200) {
        failed(ep, c);
        return;
    }
    work_answer(&load, c);
    if (c->phase == 0) load.done++;
    if (c->conn.closing) {
        conn_close(&c->conn);
        conn_open(&c->conn, &load.to);
        watch(ep, c, EPOLL_CTL_ADD);
    }
    start_next(ep, c);
}

static void ready(int ep, struct client *c, uint32_t events)
{
    enum conn_state st = CONN_MORE;

    if (c->idle) { /* the server has closed what nobody uses */
        if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP | EPOLLIN))
            epoll_ctl(ep, EPOLL_CTL_DEL, c->conn.fd, NULL);
        return;
    }
    if (c->writing && (events & EPOLLOUT)) {
        st = conn_write(&c->conn);
        if (st == CONN_DONE) {
            c->writing = false;
            watch(ep, c, EPOLL_CTL_MOD);
            st = CONN_MORE;
        }
    }
    if (st != CONN_LOST && (events & ~(uint32_t)EPOLLOUT)) st = conn_read(&c->conn, &load.to);
    if (st == CONN_DONE) {
        answered(ep, c);
    } else if (st == CONN_LOST) {
        c->conn.status = 0;
        conn_close(&c->conn);
        conn_open(&c->conn, &load.to);
        c->writing = false;
        watch(ep, c, EPOLL_CTL_ADD);
        failed(ep, c);
    }
}

static void run(void)
{
    struct epoll_event events[EVENTS_MAX];
    int ep = epoll_create1(EPOLL_CLOEXEC);

    if (ep < 0) die("epoll: %s", strerror(errno));
    active = load.clients;
    for (int i = 0; i < load.clients; i++) {
        clients[i].index = i;
        clients[i].item = -1;
        conn_open(&clients[i].conn, &load.to);
        watch(ep, &clients[i], EPOLL_CTL_ADD);
    }
    for (int i = 0; i < load.clients; i++) {
        start_next(ep, &clients[i]);
    }
    while (active > 0) {
        int n = epoll_wait(ep, events, EVENTS_MAX, 100);
        if (n < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
        if (stopped > 1) break;
        if (stopped && n <= 0)
            break; /* nothing has come since: an answer that takes long is not waited for */
        for (int i = 0; i < n; i++) {
            ready(ep, events[i].data.ptr, events[i].events);
        }
    }
}

static double cpu_seconds(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void options(int argc, char **argv)
{
    static const struct option names[] = {
        { "port", required_argument, NULL, 'p' },
        { "clients", required_argument, NULL, 'c' },
        { "seconds", required_argument, NULL, 's' },
        { "requests", required_argument, NULL, 'n' },
        { "quickack", no_argument, NULL, 'q' },
        { "shared", no_argument, NULL, 'S' },
        { "first", required_argument, NULL, 'f' },
        { "kind", required_argument, NULL, 'k' },
        { "experiment", required_argument, NULL, 'e' },
        { "ids", required_argument, NULL, 'i' },
        { "out", required_argument, NULL, 'o' },
        { "answer", required_argument, NULL, 'a' },
        { "steps", required_argument, NULL, 't' },
        { "keys", required_argument, NULL, 'K' },
        { "each", required_argument, NULL, 'E' },
        { NULL, 0, NULL, 0 },
    };
    int c, kind;

    load.clients = 1;
    load.kind = KIND_LOSS;
    load.steps = -1;
    load.keys = KEYS;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 'p': load.to.port = (int)strtol(optarg, NULL, 10); break;
        case 'c': load.clients = (int)strtol(optarg, NULL, 10); break;
        case 's': load.seconds = strtod(optarg, NULL); break;
        case 'n': load.requests = strtoll(optarg, NULL, 10); break;
        case 'q': load.to.quickack = true; break;
        case 'S': load.shared = true; break;
        case 'f': load.first = strtoll(optarg, NULL, 10); break;
        case 'e': load.experiment = optarg; break;
        case 'i': load.ids_file = optarg; break;
        case 'o': load.out_file = optarg; break;
        case 'a': load.answer_file = optarg; break;
        case 't': load.steps = (int)strtol(optarg, NULL, 10); break;
        case 'K': load.keys = (int)strtol(optarg, NULL, 10); break;
        case 'E': load.each = strtoll(optarg, NULL, 10); break;
        case 'k':
            kind = kind_find(optarg);
            if (kind < 0) die("unknown kind: %s", optarg);
            load.kind = (enum kind)kind;
            break;
        default: exit(2);
        }
    }
    if (optind != argc - 1) die("usage: bench_load WORK --port N [options]; see bench/load.c");
    load.work = argv[optind];
    if (load.steps < 0) load.steps = strcmp(load.work, "batch") == 0 ? STEPS : 0;
    if (load.to.port < 1 || load.to.port > 65535) die("--port is missing");
    if (load.clients < 1 || load.clients > CLIENTS_MAX) die("--clients is 1 to %d", CLIENTS_MAX);
    if (load.first < 0 || (strcmp(load.work, "batch") == 0 && load.steps < 1) || load.keys < 1 ||
        load.keys > KEYS)
        die("a number is too small");
}

int main(int argc, char **argv)
{
    struct sigaction act = { .sa_handler = on_signal };
    double seconds, cpu;
    int64_t from;

    if (work_expect(argc, argv)) return 0;
    options(argc, argv);
    work_init(&load);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    cpu = cpu_seconds();
    from = now_ns();
    if (load.seconds > 0) end_ns = from + (int64_t)(load.seconds * 1e9);
    run();
    seconds = (double)(now_ns() - from) / 1e9;
    cpu = cpu_seconds() - cpu;
    printf("{\"work\":\"%s\",\"clients\":%d,\"requests\":%" PRId64
           ",\"seconds\":%.6f,\"rate\":%.3f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"bad\":%" PRId64
           ",\"retried\":%" PRId64 ",\"bytes_out\":%" PRId64 ",\"bytes_in\":%" PRId64
           ",\"waited_s\":%.6f,\"cpu_s\":%.3f,\"cut\":%s",
           load.work, load.clients, load.done, seconds, (double)load.done / seconds, hist_us(0.5),
           hist_us(0.99), (double)longest_ns / 1000.0, load.bad, load.retried, load.bytes_out,
           load.bytes_in, (double)waited_ns / 1e9, cpu, stopped ? "true" : "false");
    work_end(&load);
    printf(",\"each\":[");
    for (int i = 0; i < load.clients; i++) {
        printf("%s%" PRId64, i ? "," : "", clients[i].item + 1);
    }
    printf("]}\n");
    return load.bad ? 1 : 0;
}
