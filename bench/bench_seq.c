/* bench/bench_seq.c - the write path without HTTP: `bench_seq FOLDER|postgresql://... [SECONDS [shared]]`, one figure a line.
 * With a third argument the database may be shared with other servers.
 *   open     opening the store, with its replay
 *   one      one client, one point an operation, each waits for its answer
 *   many     64 operations in flight, one point each
 *   batch    16 in flight, 1000 points each (50 keys x 20 steps)
 *   create   64 creations of runs in flight
 * A client is a slot that submits again from done(). */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "core/core_open.h"
#include "core/run.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLOTS_MAX = 256, RUNS = 16, KEYS = 50, STEPS = 20, LATENCIES_MAX = 1 << 20 };

struct bench {
    struct core *core;
    struct str runs[RUNS];
    _Atomic int64_t done, failed, in_flight;
    _Atomic bool stop;
    int64_t *latency_ns;
    _Atomic size_t latencies_n;
};

struct slot {
    struct bench *b;
    struct arena *arena;
    union {
        struct run_log log;
        struct run_create create;
    } u;
    int64_t sent_ns, step;
    int n, keys, points;
    bool create;
};

static void slot_send(struct slot *s);

static void slot_done(struct write_op *op)
{
    struct slot *s = (struct slot *)op->user;
    struct bench *b = s->b;
    size_t i = atomic_fetch_add(&b->latencies_n, 1);

    if (i < LATENCIES_MAX) b->latency_ns[i] = clock_mono_ns() - s->sent_ns;
    atomic_fetch_add(op->st ? &b->failed : &b->done, 1);
    if (op->st && atomic_load(&b->failed) < 3) fprintf(stderr, "failed: %s\n", op->err.message);
    if (atomic_load(&b->stop)) {
        atomic_fetch_sub(&b->in_flight, 1);
        return;
    }
    slot_send(s);
}

static void fill_points(struct slot *s)
{
    struct err err = ERR_INIT;
    char key[48];

    if (run_points_begin(&s->u.log.points, s->arena, &err)) exit(1);
    for (int i = 0; i < s->points; i++) {
        double v = (double)(1.0f / (float)(s->step + 1));
        int k = i % s->keys;

        if (k == 0) s->step++;
        snprintf(key, sizeof(key), "train/layer_%02d/loss", k);
        if (run_points_add(&s->u.log.points, str_cstr(key), v, 1700000000000 + s->step * 37,
                           s->step, &err))
            exit(1);
    }
}

static void slot_send(struct slot *s)
{
    struct write_op *op;

    arena_reset(s->arena);
    if (s->create) {
        run_create_init(&s->u.create, s->b->core, s->arena);
        s->u.create.name = S("bench");
        op = &s->u.create.op;
    } else {
        run_log_init(&s->u.log, s->b->core, s->arena);
        s->u.log.run_id = s->b->runs[s->n % RUNS];
        fill_points(s);
        op = &s->u.log.op;
    }
    op->user = s;
    op->done = slot_done;
    op->bytes = 1000;
    s->sent_ns = clock_mono_ns();
    if (seq_submit(s->b->core->seq, op)) {
        fprintf(stderr, "refused: %s\n", op->err.message);
        exit(1);
    }
}

static int ns_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void round_run(struct bench *b, const char *name, int slots, int keys, int points,
                      bool create, double seconds)
{
    static struct slot slot[SLOTS_MAX];
    int64_t from = clock_mono_ns();
    double took;
    size_t n;

    atomic_store(&b->done, 0);
    atomic_store(&b->failed, 0);
    atomic_store(&b->latencies_n, 0);
    atomic_store(&b->stop, false);
    atomic_store(&b->in_flight, slots);
    for (int i = 0; i < slots; i++) {
        slot[i] = (struct slot){
            .b = b, .arena = arena_new(64 << 20), .n = i, .keys = keys, .points = points
        };
        slot[i].create = create;
        slot_send(&slot[i]);
    }
    usleep((unsigned)(seconds * 1e6));
    atomic_store(&b->stop, true);
    while (atomic_load(&b->in_flight) > 0) {
        usleep(1000);
    }
    took = (double)(clock_mono_ns() - from) / 1e9;
    n = MIN_OF(atomic_load(&b->latencies_n), (size_t)LATENCIES_MAX);
    qsort(b->latency_ns, n, sizeof(*b->latency_ns), ns_cmp);
    printf("%-8s %9.0f ops/s %11.0f points/s  p50 %.3f ms  p99 %.3f ms  failed %lld\n", name,
           (double)atomic_load(&b->done) / took, (double)atomic_load(&b->done) * points / took,
           n ? (double)b->latency_ns[n / 2] / 1e6 : 0,
           n ? (double)b->latency_ns[n * 99 / 100] / 1e6 : 0, (long long)atomic_load(&b->failed));
    for (int i = 0; i < slots; i++) {
        arena_free(slot[i].arena);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct core_options opt = { .sql = { .location = argc > 1 ? argv[1] : ".", .shared = argc > 3 },
                                .artifact_root = S("/a"),
                                .readers = 1 };
    double seconds = 3;
    struct arena *a = arena_new(16 << 20);
    struct err err = ERR_INIT;
    int64_t from = clock_mono_ns();

    if (argc > 2) (void)num_parse_double(str_cstr(argv[2]), &seconds);
    b.latency_ns = (int64_t *)mem_zalloc(LATENCIES_MAX, sizeof(*b.latency_ns));
    if (!a || !b.latency_ns || core_open(&b.core, &opt, &err)) {
        fprintf(stderr, "bench_seq: %s\n", err.message);
        return 1;
    }
    printf("open     %9.3f ms\n", (double)(clock_mono_ns() - from) / 1e6);
    for (int i = 0; i < RUNS; i++) {
        struct run_create c;

        run_create_init(&c, b.core, a);
        if (seq_run(b.core->seq, &c.op, &err)) {
            fprintf(stderr, "bench_seq: %s\n", err.message);
            return 1;
        }
        b.runs[i] = c.run_id;
    }
    round_run(&b, "one", 1, 1, 1, false, seconds);
    round_run(&b, "many", 64, 1, 1, false, seconds);
    round_run(&b, "batch", 16, KEYS, KEYS * STEPS, false, seconds);
    round_run(&b, "create", 64, 1, 0, true, seconds);
    core_close(b.core);
    mem_free(b.latency_ns);
    arena_free(a);
    return 0;
}
