/* bench/bench_codec.c - how fast messages are read and written, one core.
 * usage: bench_codec [seconds per row, default 1]
 * The bodies are what an MLflow client sends: log-batch with 1000 metric points, values of a training loss. Target:
 * 6 M points/s decoded into a sink, at the release flags. Times are CPU times. */
#include "base/num.h"
#include "codec/json.h"
#include "codec/msg.h"
#include "gen/mlflow/tracking.h"
#include <stdio.h>
#include <sys/resource.h>

enum { POINTS = 1000 };

static double sink_sum;

/* Of this process: what other programs take does not count. */
static int64_t cpu_ns(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static enum status sink(void *ctx, const struct msg_field *f, void *element, struct err *err)
{
    const struct mlflow_metric *m = element;

    (void)ctx, (void)f, (void)err;
    sink_sum += m->value + (double)m->step;
    return OK;
}

/* A body; python: with the spaces that Python's json.dumps leaves, else compact. */
static void make_body(struct buf *b, bool python)
{
    const char *sep = python ? ", " : ",", *colon = python ? ": " : ":";
    uint64_t seed = 88172645463325252u;

    buf_printf(b, "{\"run_id\"%s\"0123456789abcdef0123456789abcdef\"%s\"metrics\"%s[", colon, sep,
               colon);
    for (int i = 0; i < POINTS; i++) {
        char num[NUM_DOUBLE_MAX];
        size_t n;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        n = num_print_double((double)(seed >> 11) / 9007199254740992.0, num);
        buf_printf(
            b, "%s{\"key\"%s\"train_loss\"%s\"value\"%s%.*s%s\"timestamp\"%s%lld%s\"step\"%s%d}",
            i ? sep : "", colon, sep, colon, (int)n, num, sep, colon, 1700000000000LL + i, sep,
            colon, i);
    }
    buf_put_lit(b, "]}");
}

static void report(const char *what, int64_t rounds, size_t bytes, int64_t ns)
{
    double s = (double)ns / 1e9;

    printf("%-34s %8.2f M points/s %8.0f MB/s %8.1f ns/point\n", what,
           (double)rounds * POINTS / s / 1e6, (double)rounds * (double)bytes / s / 1e6,
           (double)ns / ((double)rounds * POINTS));
}

static enum status decode(const struct buf *body, struct arena *a, bool stream, bool wire,
                          struct err *err)
{
    struct mlflow_log_batch m;
    struct msg_ctx ctx = { .arena = a, .flags = MSG_JSON_LENIENT, .stream = stream ? sink : NULL };

    arena_reset(a);
    return wire ? msg_decode_pb(&mlflow_log_batch_desc, &m, buf_str(body), &ctx, err)
                : msg_decode_json(&mlflow_log_batch_desc, &m, buf_str(body), &ctx, err);
}

static int row(const char *what, const struct buf *body, struct arena *a, bool stream, bool wire,
               int64_t limit_ns)
{
    struct err err = ERR_INIT;
    int64_t t0 = cpu_ns(), t, rounds = 0;

    do {
        if (decode(body, a, stream, wire, &err)) {
            fprintf(stderr, "bench_codec: %s\n", err.message);
            return 1;
        }
        rounds++;
        t = cpu_ns() - t0;
    } while (t < limit_ns);
    report(what, rounds, body->n, t);
    return 0;
}

static int encode_rows(const struct buf *body, struct arena *a, int64_t limit_ns)
{
    struct mlflow_log_batch m;
    struct msg_ctx ctx = { .arena = a, .flags = MSG_JSON_LENIENT };
    struct buf out = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;

    arena_reset(a);
    if (msg_decode_json(&mlflow_log_batch_desc, &m, buf_str(body), &ctx, &err)) return 1;
    for (int wire = 0; wire < 2; wire++) {
        int64_t t0 = cpu_ns(), t, rounds = 0;

        do {
            buf_clear(&out);
            if (wire) {
                msg_encode_pb(&out, &mlflow_log_batch_desc, &m);
            } else {
                msg_encode_json(&out, &mlflow_log_batch_desc, &m, MSG_JSON_MLFLOW);
            }
            rounds++;
            t = cpu_ns() - t0;
        } while (t < limit_ns);
        report(wire ? "encode protobuf" : "encode JSON", rounds, out.n, t);
    }
    buf_release(&out);
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = 1;
    struct arena *a = arena_new(64u << 20);
    struct buf python = BUF_INIT(1 << 20), compact = BUF_INIT(1 << 20), wire = BUF_INIT(1 << 20);
    struct mlflow_log_batch m;
    struct msg_ctx ctx = { .arena = a, .flags = MSG_JSON_LENIENT };
    struct err err = ERR_INIT;
    int64_t limit_ns;
    int bad;

    if (argc > 1 &&
        (!num_parse_double(str_cstr(argv[1]), &seconds) || !(seconds > 0 && seconds <= 60))) {
        fprintf(stderr, "usage: bench_codec [seconds per row]\n");
        return 2;
    }
    limit_ns = (int64_t)(seconds * 1e9);
    make_body(&python, true);
    make_body(&compact, false);
    if (!a || msg_decode_json(&mlflow_log_batch_desc, &m, buf_str(&python), &ctx, &err)) {
        fprintf(stderr, "bench_codec: %s\n", err.message);
        return 1;
    }
    msg_encode_pb(&wire, &mlflow_log_batch_desc, &m);
    bad = row("log-batch JSON, to a sink", &python, a, true, false, limit_ns) ||
          row("log-batch JSON compact, to a sink", &compact, a, true, false, limit_ns) ||
          row("log-batch JSON, collected", &python, a, false, false, limit_ns) ||
          row("log-batch protobuf, to a sink", &wire, a, true, true, limit_ns) ||
          encode_rows(&python, a, limit_ns);
    buf_release(&python);
    buf_release(&compact);
    buf_release(&wire);
    arena_free(a);
    return bad;
}
