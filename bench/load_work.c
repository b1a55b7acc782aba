/* bench/load_work.c - what the clients of the load generator ask for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define API "/api/2.0/mlflow/"

enum { TRIES_MAX = 20, PATH_MAX_LEN = 7900 };

/* A paged read of one metric. */
static struct {
    char token[512];
    char path[PATH_MAX_LEN];
    int64_t points, pages, time_ms;
    double sum;
    bool ordered, ended;
} history;

static bool is(const struct load *l, const char *work)
{
    return strcmp(l->work, work) == 0;
}

static struct buf read_file(const char *name)
{
    struct buf b = { 0 };
    FILE *f = fopen(name, "rbe");
    size_t n;

    if (!f) die("cannot read %s", name);
    do {
        buf_room(&b, 1 << 16);
        n = fread(b.p + b.n, 1, b.cap - b.n - 1, f);
        b.n += n;
    } while (n > 0);
    fclose(f);
    b.p[b.n] = '\0';
    return b;
}

/* Calls take(l, line, length) for each line that is not empty. */
static void each_line(struct load *l, const char *name, void (*take)(struct load *, char *, size_t))
{
    struct buf b = read_file(name);
    char *at = b.p;

    while (*at) {
        size_t n = strcspn(at, "\n");
        bool last = at[n] == '\0';
        at[n] = '\0';
        if (n) take(l, at, n);
        at += n + !last;
    }
    free(b.p);
}

static void take_id(struct load *l, char *line, size_t n)
{
    if (n >= ID_MAX) die("a run's id of %zu bytes", n);
    if ((l->ids_n & (l->ids_n + 1023) & 1023) == 0 && l->ids_n % 1024 == 0) {
        l->ids = realloc(l->ids, (size_t)(l->ids_n + 1024) * sizeof(*l->ids));
        if (!l->ids) die("out of memory");
    }
    memcpy(l->ids[l->ids_n++], line, n + 1);
}

static void take_line(struct load *l, char *line, size_t n)
{
    l->lines = realloc(l->lines, (size_t)(l->lines_n + 1) * sizeof(*l->lines));
    if (!l->lines) die("out of memory");
    l->lines[l->lines_n] = (struct buf){ 0 };
    buf_add(&l->lines[l->lines_n], line, n + 1);
    l->lines_n++;
}

void work_init(struct load *l)
{
    bool series = is(l, "metric") || is(l, "batch");

    if (is(l, "create") || is(l, "fill")) {
        if (!l->experiment || l->requests <= 0)
            die("%s needs --experiment and --requests", l->work);
        l->ids_n = l->requests;
        l->ids = calloc((size_t)l->ids_n, sizeof(*l->ids));
        if (!l->ids) die("out of memory");
    } else if (series || is(l, "history")) {
        if (!l->ids_file) die("%s needs --ids", l->work);
        each_line(l, l->ids_file, take_id);
        if (l->ids_n == 0) die("%s has no ids", l->ids_file);
        if (series && !l->shared && l->ids_n < l->clients)
            die("%d clients need as many runs, or --shared", l->clients);
        if (is(l, "history") && l->clients != 1) die("history has one client");
    } else if (is(l, "request")) {
        if (!l->ids_file) die("request needs --ids: a file with lines METHOD PATH [BODY]");
        each_line(l, l->ids_file, take_line);
        if (l->lines_n == 0) die("%s has no lines", l->ids_file);
    } else {
        die("unknown work: %s", l->work);
    }
    if (l->requests <= 0 && l->seconds <= 0 && (!series || l->shared || l->each <= 0))
        die("--requests, --each or --seconds is needed");
}

static void put_series(struct load *l, struct client *c)
{
    struct buf *b = conn_body(&c->conn);
    int64_t run = l->shared ? 0 : c->index;

    if (is(l, "metric")) {
        gen_metric(b, l->ids[run], l->kind, run, l->first + c->item);
    } else {
        gen_batch(b, l->ids[run], l->kind, run, (l->first + c->item) * l->steps, l->steps, l->keys);
    }
}

static void put_line(struct load *l, struct client *c, const char **method, const char **path)
{
    static char word[16], route[PATH_MAX_LEN];
    const char *line = l->lines[c->item % l->lines_n].p, *rest;
    size_t n = strcspn(line, " "), m;

    if (line[n] != ' ' || n >= sizeof(word)) die("not METHOD PATH: %.80s", line);
    m = strcspn(line + n + 1, " ");
    if (m >= sizeof(route)) die("the path is too long: %.80s", line);
    snprintf(word, sizeof(word), "%.*s", (int)n, line);
    snprintf(route, sizeof(route), "%.*s", (int)m, line + n + 1);
    rest = line + n + 1 + m;
    buf_text(conn_body(&c->conn), *rest ? rest + 1 : rest);
    *method = word;
    *path = route;
}

/* The request for c->item and c->phase. */
static void put_request(struct load *l, struct client *c, const char **method, const char **path)
{
    *method = "POST";
    if (is(l, "create") || (is(l, "fill") && c->phase == 0)) {
        gen_create(conn_body(&c->conn), l->experiment, l->first + c->item, is(l, "fill"));
        *path = API "runs/create";
    } else if (is(l, "fill")) {
        gen_fill(conn_body(&c->conn), c->id, l->first + c->item);
        *path = API "runs/log-batch";
    } else if (is(l, "metric")) {
        put_series(l, c);
        *path = API "runs/log-metric";
    } else if (is(l, "batch")) {
        put_series(l, c);
        *path = API "runs/log-batch";
    } else if (is(l, "history")) {
        conn_body(&c->conn);
        *method = "GET";
        snprintf(history.path, sizeof(history.path),
                 API "metrics/get-history?run_id=%s&metric_key=%s", l->ids[0],
                 l->experiment ? l->experiment : gen_key(0));
        if (l->steps > 0) {
            size_t n = strlen(history.path);
            snprintf(history.path + n, sizeof(history.path) - n, "&max_results=%d%s%s", l->steps,
                     history.token[0] ? "&page_token=" : "", history.token);
        }
        *path = history.path;
    } else {
        put_line(l, c, method, path);
    }
}

bool work_next(struct load *l, struct client *c, const char **method, const char **path)
{
    if (is(l, "fill") && c->phase == 1) { /* the second half of a run that has begun */
        c->tries = 0;
        put_request(l, c, method, path);
        return true;
    }
    if (is(l, "history")) {
        if (history.ended) return false;
    } else {
        if (l->requests > 0 && l->taken >= l->requests) return false;
        if (l->each > 0 && c->item + 1 >= l->each) return false;
        l->taken++;
        if (l->shared || !(is(l, "metric") || is(l, "batch"))) {
            c->item = l->taken - 1;
        } else {
            c->item++; /* steps of its own run; begins at -1 */
        }
    }
    c->tries = 0;
    put_request(l, c, method, path);
    return true;
}

bool work_again(struct load *l, struct client *c, const char **method, const char **path)
{
    if (++c->tries > TRIES_MAX) return false;
    put_request(l, c, method, path);
    return true;
}

/* The text of a field of an answer, without escapes; empty if it is not there. */
static void text_field(const char *body, const char *name, char *out, size_t cap)
{
    const char *at = strstr(body, name);
    size_t n = 0;

    out[0] = '\0';
    if (!at) return;
    at += strlen(name);
    at += strspn(at, " \t\r\n");
    if (*at++ != ':') return;
    at += strspn(at, " \t\r\n");
    if (*at++ != '"') return;
    n = strcspn(at, "\"");
    if (n >= cap) die("%s is too long", name);
    memcpy(out, at, n);
    out[n] = '\0';
}

static void percent_encode(char *out, size_t cap, const char *in)
{
    size_t n = 0;

    for (; *in && n + 4 < cap; in++) {
        if (strchr("+/=%&?# ", *in)) {
            n += (size_t)snprintf(out + n, cap - n, "%%%02X", (unsigned char)*in);
        } else {
            out[n++] = *in;
        }
    }
    out[n] = '\0';
}

static void history_answer(const struct load *l, const char *body)
{
    static const char value[] = "\"value\"", when[] = "\"timestamp\"";
    const char *at = body, *next;
    char token[160];

    while ((next = strstr(at, value)) != NULL) {
        at = next + strlen(value);
        at += strspn(at, ": \n");
        history.sum += strtod(at, NULL);
        history.points++;
    }
    for (at = body; (next = strstr(at, when)) != NULL;) {
        int64_t ms;
        at = next + strlen(when);
        at += strspn(at, ": \n\"");
        ms = strtoll(at, NULL, 10);
        if (ms < history.time_ms) history.ordered = false;
        history.time_ms = ms;
    }
    text_field(body, "\"next_page_token\"", token, sizeof(token));
    percent_encode(history.token, sizeof(history.token), token);
    history.pages++;
    history.ended = token[0] == '\0' || history.pages == l->requests;
}

void work_answer(struct load *l, struct client *c)
{
    const char *body = c->conn.in.p + c->conn.body;

    if (is(l, "create") || (is(l, "fill") && c->phase == 0)) {
        text_field(body, "\"run_id\"", c->id, sizeof(c->id));
        if (!c->id[0]) die("no run_id in: %.300s", body);
        memcpy(l->ids[c->item], c->id, sizeof(c->id));
        c->phase = is(l, "fill");
    } else if (is(l, "fill")) {
        c->phase = 0;
    } else if (is(l, "history")) {
        if (history.points == 0) history.ordered = true;
        history_answer(l, body);
    } else if (is(l, "request") && l->answer_file) {
        l->answer.n = 0;
        buf_add(&l->answer, body, c->conn.text);
    }
}

void work_end(struct load *l)
{
    if (is(l, "history")) {
        printf(",\"points\":%" PRId64 ",\"sum\":%.17g,\"ordered\":%s", history.points, history.sum,
               history.ordered ? "true" : "false");
    }
    if (l->out_file && l->ids && (is(l, "create") || is(l, "fill"))) {
        FILE *f = fopen(l->out_file, l->first ? "ae" : "we");
        if (!f) die("cannot write %s", l->out_file);
        for (int64_t i = 0; i < l->ids_n && l->ids[i][0]; i++) {
            fprintf(f, "%s\n", l->ids[i]);
        }
        fclose(f);
    }
    if (l->answer_file) {
        FILE *f = fopen(l->answer_file, "we");
        if (!f) die("cannot write %s", l->answer_file);
        fwrite(l->answer.p, 1, l->answer.n, f);
        fclose(f);
    }
}

/* ---- what a server must answer --------------------------------------------------------------------------------- */

static int expect_series(char **argv)
{
    int kind = kind_find(argv[0]), key = (int)strtol(argv[2], NULL, 10);
    int64_t run = strtoll(argv[1], NULL, 10), steps = strtoll(argv[3], NULL, 10);
    double sum = 0, low = 0, high = 0, v = 0, first = 0;

    if (kind < 0 || key < 0 || key >= KEYS) return 2;
    for (int64_t s = 0; s < steps; s++) {
        v = gen_value((enum kind)kind, run, key, s);
        if (s == 0) first = low = high = v;
        if (v < low) low = v;
        if (v > high) high = v;
        sum += v;
    }
    printf("{\"key\":\"%s\",\"count\":%" PRId64
           ",\"sum\":%.17g,\"first\":%.17g,\"last\":%.17g,\"min\":%.17g,"
           "\"max\":%.17g}\n",
           gen_key(key), steps, sum, first, v, low, high);
    return 0;
}

struct hit {
    double acc;
    int64_t run;
};

static int higher_acc(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;

    return (x->acc < y->acc) - (x->acc > y->acc);
}

/* Runs of the search store with loss below a limit and one model, best accuracy first. */
static int expect_search(char **argv)
{
    int64_t runs = strtoll(argv[0], NULL, 10), n = 0, limit = strtoll(argv[3], NULL, 10);
    double below = strtod(argv[1], NULL);
    int model = (int)strtol(argv[2], NULL, 10);
    struct hit *hits = calloc((size_t)runs + 1, sizeof(*hits));

    if (!hits) return 1;
    for (int64_t r = 0; r < runs; r++) {
        if (gen_model(r) == model && gen_uniform(r, 0) < below)
            hits[n++] = (struct hit){ gen_uniform(r, 1), r };
    }
    qsort(hits, (size_t)n, sizeof(*hits), higher_acc);
    printf("{\"hits\":%" PRId64 ",\"runs\":[", n);
    for (int64_t i = 0; i < n && i < limit; i++) {
        printf("%s%" PRId64, i ? "," : "", hits[i].run);
    }
    printf("]}\n");
    free(hits);
    return 0;
}

/* The bodies that fill the search store, one run a line: runs/create, a tab, log-batch. */
static int dump_store(char **argv)
{
    int64_t first = strtoll(argv[0], NULL, 10), n = strtoll(argv[1], NULL, 10);
    struct buf b = { 0 };

    for (int64_t r = first; r < first + n; r++) {
        b.n = 0;
        gen_create(&b, "0", r, true);
        buf_add(&b, "\t", 1);
        gen_fill(&b, "0", r);
        buf_add(&b, "\n", 1);
        fwrite(b.p, 1, b.n, stdout);
    }
    free(b.p);
    return 0;
}

/* The points of runs 0 ... as tab-separated lines: run, key, value, timestamp, step. */
static int dump_series(char **argv)
{
    int kind = kind_find(argv[0]), keys = (int)strtol(argv[2], NULL, 10);
    int64_t runs = strtoll(argv[1], NULL, 10), steps = strtoll(argv[3], NULL, 10);
    char number[NUMBER_MAX];

    if (kind < 0 || keys < 1 || keys > KEYS) return 2;
    for (int64_t r = 0; r < runs; r++) {
        for (int k = 0; k < keys; k++) {
            for (int64_t s = 0; s < steps; s++) {
                size_t n = gen_print_value(number, (enum kind)kind, r, k, s);
                printf("%" PRId64 "\t%s\t%.*s\t%" PRId64 "\t%" PRId64 "\n", r, gen_key(k), (int)n,
                       number, gen_time_ms(r, s), s);
            }
        }
    }
    return 0;
}

bool work_expect(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "expect-series") == 0) exit(expect_series(argv + 2));
    if (argc == 6 && strcmp(argv[1], "expect-search") == 0) exit(expect_search(argv + 2));
    if (argc == 4 && strcmp(argv[1], "dump-store") == 0) exit(dump_store(argv + 2));
    if (argc == 6 && strcmp(argv[1], "dump-series") == 0) exit(dump_series(argv + 2));
    if (argc == 3 && strcmp(argv[1], "check") == 0)
        exit(gen_check(strtoll(argv[2], NULL, 10)) ? 0 : 1);
    return false;
}
