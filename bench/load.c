/* bench/load.c - a small HTTP load generator for the recording path.
 *
 *     load PORT RUN_ID metric|batch CLIENTS SECONDS [POINTS]
 *
 * CLIENTS threads with one keep-alive connection each log metrics of one run as fast as they are answered: one point
 * per request (metric), or POINTS points per request (batch). Prints one line of JSON: requests, seconds, rate,
 * points per second, latency percentiles in microseconds, and answers other than 200 (which make the exit code 1). */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES_MAX = 1 << 22, HEAD_MAX = 512, ANSWER_MAX = 65536, POINT_MAX = 96 };

struct client {
    pthread_t thread;
    int index;
    int64_t requests, bad;
    uint32_t *us; /* latency of each request */
    size_t us_n;
};

static int port, points = 1;
static const char *run_id;
static bool batch;
static int64_t end_us;

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int connect_to(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* The next request into buf (of cap bytes); its length. */
static size_t build(char *buf, size_t cap, const struct client *c, int64_t step)
{
    char head[HEAD_MAX], *o = buf + HEAD_MAX, *end = buf + cap;
    int64_t ms = 1700000000000 + step;
    int n;

    if (!batch) {
        o += snprintf(o, (size_t)(end - o),
                      "{\"run_id\":\"%s\",\"key\":\"m%d\",\"value\":%.17g,\"timestamp\":%" PRId64
                      ",\"step\":%" PRId64 "}",
                      run_id, c->index, 1.0 / (double)(step + 3), ms, step);
    } else {
        o += snprintf(o, (size_t)(end - o), "{\"run_id\":\"%s\",\"metrics\":[", run_id);
        for (int i = 0; i < points; i++) {
            o += snprintf(o, (size_t)(end - o),
                          "%s{\"key\":\"b%d\",\"value\":%.17g,\"timestamp\":%" PRId64
                          ",\"step\":%" PRId64 "}",
                          i ? "," : "", c->index, 1.0 / (double)(step * points + i + 3), ms,
                          step * points + i);
        }
        o += snprintf(o, (size_t)(end - o), "]}");
    }
    n = snprintf(head, sizeof(head),
                 "POST /api/2.0/mlflow/runs/log-%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                 "Content-Type: application/json\r\nContent-Length: %td\r\n\r\n",
                 batch ? "batch" : "metric", port, o - (buf + HEAD_MAX));
    memmove(buf + n, buf + HEAD_MAX, (size_t)(o - (buf + HEAD_MAX)));
    memcpy(buf, head, (size_t)n);
    return (size_t)n + (size_t)(o - (buf + HEAD_MAX));
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* Reads one answer with a Content-Length; its status, 0 if the connection failed. */
static int read_answer(int fd, char *buf)
{
    size_t n = 0, want = 0;
    char *body = NULL, *field;

    for (;;) {
        ssize_t r = recv(fd, buf + n, ANSWER_MAX - 1 - n, 0);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return 0;
        n += (size_t)r;
        buf[n] = '\0';
        if (!body && (body = strstr(buf, "\r\n\r\n"))) {
            body += 4;
            field = strcasestr(buf, "\r\nContent-Length:");
            want = field ? strtoul(field + 17, NULL, 10) : 0;
        }
        if (body && (size_t)(buf + n - body) >= want) return (int)strtol(buf + 9, NULL, 10);
        if (n + 1 >= ANSWER_MAX) return 0;
    }
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    size_t cap = HEAD_MAX + 256 + (size_t)points * POINT_MAX;
    char *request = malloc(cap), *answer = malloc(ANSWER_MAX);
    int fd = connect_to();

    c->us = malloc(SAMPLES_MAX * sizeof(*c->us));
    for (int64_t step = 0; request && answer && c->us; step++) {
        size_t n = build(request, cap, c, step);
        int64_t from = now_us();
        if (from >= end_us) break;
        if (!send_all(fd, request, n) || read_answer(fd, answer) != 200) {
            if (c->bad++ == 0) fprintf(stderr, "client %d: %.300s\n", c->index, answer);
            break;
        }
        if (c->us_n < SAMPLES_MAX) c->us[c->us_n++] = (uint32_t)(now_us() - from);
        c->requests++;
    }
    close(fd);
    free(request);
    free(answer);
    return NULL;
}

static int compare_us(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int print_result(const struct client *c, int n, double seconds)
{
    int64_t requests = 0, bad = 0;
    size_t total = 0, at = 0;
    uint32_t *us;

    for (int i = 0; i < n; i++) {
        requests += c[i].requests;
        bad += c[i].bad;
        total += c[i].us_n;
    }
    us = malloc((total ? total : 1) * sizeof(*us));
    if (!us) return 1;
    us[0] = 0;
    for (int i = 0; i < n; i++) {
        memcpy(us + at, c[i].us, c[i].us_n * sizeof(*us));
        at += c[i].us_n;
    }
    qsort(us, total, sizeof(*us), compare_us);
    printf("{\"requests\":%" PRId64 ",\"seconds\":%.3f,\"rate\":%.0f,\"points_rate\":%.0f,"
           "\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"bad\":%" PRId64 "}\n",
           requests, seconds, (double)requests / seconds,
           (double)requests * (double)points / seconds, us[total / 2], us[total * 99 / 100],
           us[total ? total - 1 : 0], bad);
    free(us);
    return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct client *c;
    int64_t from;
    double seconds;
    int n, rc;

    if (argc < 6) {
        fprintf(stderr, "usage: %s PORT RUN_ID metric|batch CLIENTS SECONDS [POINTS]\n", argv[0]);
        return 2;
    }
    port = (int)strtol(argv[1], NULL, 10);
    run_id = argv[2];
    batch = strcmp(argv[3], "batch") == 0;
    n = (int)strtol(argv[4], NULL, 10);
    if (batch) points = argc > 6 ? (int)strtol(argv[6], NULL, 10) : 1000;
    if (n < 1 || n > 1024 || points < 1 || points > 1000) return 2;
    c = calloc((size_t)n, sizeof(*c));
    if (!c) return 1;
    from = now_us();
    end_us = from + strtol(argv[5], NULL, 10) * 1000000;
    for (int i = 0; i < n; i++) {
        c[i].index = i;
        if (pthread_create(&c[i].thread, NULL, client_main, &c[i]) != 0) return 1;
    }
    for (int i = 0; i < n; i++) {
        pthread_join(c[i].thread, NULL);
    }
    seconds = (double)(now_us() - from) / 1e6;
    rc = print_result(c, n, seconds);
    for (int i = 0; i < n; i++) {
        free(c[i].us);
    }
    free(c);
    return rc;
}
