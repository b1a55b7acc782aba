/* bench/load.h - parts of the load generator; load.c says how it is used.
 *
 * One program for every server that speaks MLflow's REST API, so that servers are compared under the same load: keep-alive
 * connections, one write per request, the next request of a client follows the answer to its last one. All data come from
 * load_gen.c, which computes the same values in every run, so what a server stored can be computed again and compared.
 * Everything runs on one thread. */
#ifndef CAIRN_BENCH_LOAD_H
#define CAIRN_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KEYS = 50,  /* metrics of a run: train/layer_00/loss ... train/layer_49/loss */
    STEPS = 20, /* steps in one log-batch: 50 x 20 = 1000 points */
    CLIENTS_MAX = 1024,
    ID_MAX = 64,     /* length of a run's id, its end included */
    NUMBER_MAX = 40, /* room for one printed double */
    ANSWER_MAX = 1 << 30
};

/* Text that grows; the program ends when memory does. */
struct buf {
    char *p;
    size_t n, cap;
};

void buf_room(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_text(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
int64_t now_ns(void);

/* ---- load_gen.c: the data ------------------------------------------------------------------------------------ */

/* How the values of a metric come about; KIND_MIXED gives metric k the kind k % 5. */
enum kind { KIND_NOISE, KIND_LOSS, KIND_ACCURACY, KIND_COSINE, KIND_CONSTANT, KIND_MIXED };

/* The kind of that name: noise, loss, accuracy, cosine, constant, mixed; -1 if there is none. */
int kind_find(const char *name);
/* Value of metric key of run number run at a step. */
double gen_value(enum kind kind, int64_t run, int key, int64_t step);
/* Prints v (0 or 1e-8 <= v < 1000) with 17 significant digits, as "%.17g" rounds; the length. */
size_t gen_print(char *out, double v);
/* Prints the value as a client would: accuracies and constants with their few digits, all else with 17. */
size_t gen_print_value(char *out, enum kind kind, int64_t run, int key, int64_t step);
/* Milliseconds since 1970 of a step of a run: about one a second, jittered, rising. */
int64_t gen_time_ms(int64_t run, int64_t step);
/* Metric k (0 loss, 1 acc, then m_02 ...) of run r of the search store: uniform, above 0 and below 1. */
double gen_uniform(int64_t run, int key);
/* Number of the model (0 ... 9) of run r of the search store. */
int gen_model(int64_t run);
/* Name of metric k: of long series, or of the search store. */
const char *gen_key(int key);
const char *gen_store_key(int key);
/* Bodies of requests. */
void gen_metric(struct buf *b, const char *id, enum kind kind, int64_t run, int64_t step);
/* keys metrics at each of the steps from step on. */
void gen_batch(struct buf *b, const char *id, enum kind kind, int64_t run, int64_t step, int steps,
               int keys);
void gen_create(struct buf *b, const char *experiment, int64_t run, bool search_store);
void gen_fill(struct buf *b, const char *id, int64_t run);
/* Compares gen_print() with the C library's printing and reading on n values; false and a message if they differ. */
bool gen_check(int64_t n);

/* ---- load_conn.c: one connection ----------------------------------------------------------------------------- */

struct conn {
    int fd; /* -1: not connected */
    struct buf out;
    size_t begin; /* where the head of the request starts */
    size_t sent;
    struct buf in;
    size_t body; /* where the body starts; 0 as long as the head is incomplete */
    size_t want; /* length of the body, if not chunked */
    size_t scan; /* how far chunks have been read */
    size_t text; /* length of the body once chunks are joined */
    bool chunked, closing;
    int status;
};

struct target {
    int port;
    bool quickack;
};

enum conn_state { CONN_MORE, CONN_DONE, CONN_LOST };

void conn_open(struct conn *c, const struct target *to);
void conn_close(struct conn *c);
/* Starts a request with one write: head for method and path, then body (may be empty). The body must lie in c->out from
 * HEAD_ROOM on, as conn_body() leaves it. */
struct buf *conn_body(struct conn *c);
enum conn_state conn_send(struct conn *c, const struct target *to, const char *method,
                          const char *path);
/* Writes what is left of the request. */
enum conn_state conn_write(struct conn *c);
/* Reads what is there; CONN_DONE when the answer is complete: status, in.p + body, text. */
enum conn_state conn_read(struct conn *c, const struct target *to);

/* ---- load_work.c: what the clients do ------------------------------------------------------------------------- */

struct client {
    struct conn conn;
    int index;
    bool idle;       /* has nothing left to do */
    bool writing;    /* waits until the socket takes the rest of its request */
    int64_t from_ns; /* when its request was sent */
    int64_t item;    /* what it is working on: number of a request, or of a run */
    int phase;       /* fill: 0 create, 1 log-batch */
    int tries;
    char id[ID_MAX];
};

/* Options of the command line and the state that all clients share. */
struct load {
    const char *work;
    struct target to;
    int clients;
    double seconds;   /* 0: until the requests are done */
    int64_t requests; /* 0: until the time is over */
    int64_t each;     /* metric, batch: of one client; 0: no limit */
    int64_t first;    /* number of the first run (create, fill) or step (metric, batch) */
    const char *experiment, *ids_file, *out_file, *answer_file;
    enum kind kind;
    bool shared; /* all clients write to the first run */
    int steps;   /* of one batch */
    int keys;    /* of one batch */

    char (*ids)[ID_MAX];
    int64_t ids_n;
    struct buf *lines; /* request: METHOD PATH [BODY] each */
    int64_t lines_n;
    int64_t taken; /* items given out */
    int64_t done, bad, retried, bytes_in, bytes_out;
    struct buf answer; /* the last good one */
};

/* Prepares what the work needs; ends the program when an option is missing. */
void work_init(struct load *l);
/* Puts the next request of a client into its connection and names its route; false when there is none left. */
bool work_next(struct load *l, struct client *c, const char **method, const char **path);
/* Looks at a good answer. */
void work_answer(struct load *l, struct client *c);
/* The same request again, after a failure; false if it has failed too often. */
bool work_again(struct load *l, struct client *c, const char **method, const char **path);
/* Writes what was asked for: ids of new runs, the last answer. */
void work_end(struct load *l);
/* Commands that compute instead of asking a server; false if the name is none of them. */
bool work_expect(int argc, char **argv);

#endif
