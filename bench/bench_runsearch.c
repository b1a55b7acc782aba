/* bench/bench_runsearch.c - searches over many runs, without HTTP:
 *   bench_runsearch FOLDER load N     adds N runs of 50 metrics, 50 params and 3 tags each to experiment 0
 *   bench_runsearch FOLDER search     common and rare filter, pages of 1000; medians of 25, one figure a line
 * The data depend on the number of the run only: metrics loss, acc, m_02.. uniform in 0..1, param model x0..x9. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "core/core_open.h"
#include "core/run_search.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLOTS = 256, METRICS = 50, PARAMS = 50, TAGS = 3, ROUNDS = 25 };

struct load {
    struct core *core;
    _Atomic int64_t next, in_flight, failed;
    int64_t from, to;
};

struct slot {
    struct load *l;
    struct arena *arena;
    struct run_create create;
    struct run_log log;
    int64_t n;
    struct str run_id;
};

static struct str metric_keys[METRICS], param_keys[PARAMS];

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t draw(int64_t run, int what)
{
    return mix((uint64_t)run * 1000003u + (uint64_t)what + 1);
}

static double uniform(int64_t run, int what)
{
    return (double)(float)((double)(draw(run, what) >> 11) * 0x1p-53);
}

static void slot_next(struct slot *s);

static void failed(struct slot *s, const struct write_op *op)
{
    if (atomic_fetch_add(&s->l->failed, 1) < 3) fprintf(stderr, "failed: %s\n", op->err.message);
}

static void logged(struct write_op *op)
{
    struct slot *s = (struct slot *)op->user;

    if (op->st) failed(s, op);
    slot_next(s);
}

static void log_values(struct slot *s)
{
    struct err err = ERR_INIT;

    run_log_init(&s->log, s->l->core, s->arena);
    s->log.run_id = s->run_id;
    s->log.batch = true;
    s->log.params = ARENA_ARRAY(s->arena, struct key_value, PARAMS);
    if (!s->log.params || run_points_begin(&s->log.points, s->arena, &err)) exit(1);
    for (int i = 0; i < METRICS; i++) {
        if (run_points_add(&s->log.points, metric_keys[i], uniform(s->n, i), 1700000000000 + s->n,
                           1, &err)) {
            exit(1);
        }
    }
    for (int i = 0; i < PARAMS; i++) {
        s->log.params[i].key = param_keys[i];
        s->log.params[i].value =
            arena_printf(s->arena, "x%d", (int)(draw(s->n, 100 + i) % (i ? 50 : 10)));
    }
    s->log.params_n = PARAMS;
    s->log.op.user = s;
    s->log.op.done = logged;
    s->log.op.bytes = 1000;
    if (seq_submit(s->l->core->seq, &s->log.op)) exit(1);
}

static void created(struct write_op *op)
{
    struct slot *s = (struct slot *)op->user;

    if (op->st) {
        failed(s, op);
        slot_next(s);
        return;
    }
    s->run_id = s->create.run_id;
    log_values(s);
}

static void slot_next(struct slot *s)
{
    struct load *l = s->l;

    s->n = atomic_fetch_add(&l->next, 1);
    if (s->n >= l->to) {
        atomic_fetch_sub(&l->in_flight, 1);
        return;
    }
    arena_reset(s->arena);
    run_create_init(&s->create, l->core, s->arena);
    s->create.start_ms = 1700000000000 + s->n;
    s->create.user_id = S("bench");
    s->create.name = arena_printf(s->arena, "run-%lld", (long long)s->n);
    s->create.tags = ARENA_ARRAY(s->arena, struct key_value, TAGS);
    if (!s->create.tags) exit(1);
    s->create.tags[0] = (struct key_value){ S("team"), S("vision") };
    s->create.tags[1] =
        (struct key_value){ S("host"), arena_printf(s->arena, "n%d", (int)(draw(s->n, 200) % 64)) };
    s->create.tags[2] = (struct key_value){ S("mlflow.source.name"), S("train.py") };
    s->create.tags_n = TAGS;
    s->create.op.user = s;
    s->create.op.done = created;
    s->create.op.bytes = 200;
    if (seq_submit(l->core->seq, &s->create.op)) exit(1);
}

static int load(struct core *core, int64_t n)
{
    static struct slot slots[SLOTS];
    struct load l = { .core = core, .to = n };
    int64_t from = clock_mono_ms();

    atomic_store(&l.in_flight, SLOTS);
    for (int i = 0; i < SLOTS; i++) {
        slots[i] = (struct slot){ .l = &l, .arena = arena_new(1 << 20) };
        slot_next(&slots[i]);
    }
    while (atomic_load(&l.in_flight) > 0) {
        usleep(10000);
    }
    for (int i = 0; i < SLOTS; i++) {
        arena_free(slots[i].arena);
    }
    printf("load     %lld runs in %.1f s, %lld failed\n", (long long)n,
           (double)(clock_mono_ms() - from) / 1000, (long long)atomic_load(&l.failed));
    return atomic_load(&l.failed) ? 1 : 0;
}

static int ns_cmp(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int search(struct core *core, const char *name, const char *filter, const char *order,
                  size_t page)
{
    int64_t experiment = 0, took[ROUNDS];
    struct str by = str_cstr(order);
    struct run_search in = { .experiments = &experiment,
                             .n = 1,
                             .view_type = VIEW_ACTIVE_ONLY,
                             .filter = str_cstr(filter),
                             .order_by = &by,
                             .order_by_n = order ? 1 : 0,
                             .page = { .max = page } };
    struct arena *a = arena_new(512 << 20);
    struct err err = ERR_INIT;
    struct run_found found = { .n = 0 };
    struct view v;

    for (int i = 0; i < ROUNDS; i++) {
        arena_reset(a);
        core_view(core, a, &v);
        took[i] = clock_mono_ns();
        if (run_find(&v, &in, &found, &err)) {
            fprintf(stderr, "bench_runsearch: %s\n", err.message);
            return 1;
        }
        took[i] = clock_mono_ns() - took[i];
        if (i == 0) printf("%-8s first %9.3f ms  ", name, (double)took[0] / 1e6);
    }
    qsort(took, ROUNDS, sizeof(*took), ns_cmp);
    printf("p50 %9.3f ms  runs %zu\n", (double)took[ROUNDS / 2] / 1e6, found.n);
    arena_free(a);
    return 0;
}

static void name_keys(struct arena *a)
{
    for (int i = 0; i < METRICS; i++) {
        metric_keys[i] = i == 0 ? S("loss") : i == 1 ? S("acc") : arena_printf(a, "m_%02d", i);
    }
    for (int i = 0; i < PARAMS; i++) {
        param_keys[i] = i == 0 ? S("model") : arena_printf(a, "p_%02d", i);
    }
}

int main(int argc, char **argv)
{
    struct core_options opt = { .sql = { .location = argc > 1 ? argv[1] : "." },
                                .artifact_root = S("/a"),
                                .readers = 1 };
    struct arena *a = arena_new(1 << 20);
    struct core *core;
    struct err err = ERR_INIT;
    int64_t n = 10000, from = clock_mono_ns();
    int rc;

    name_keys(a);
    if (argc > 3) (void)num_parse_i64(str_cstr(argv[3]), &n);
    if (core_open(&core, &opt, &err)) {
        fprintf(stderr, "bench_runsearch: %s\n", err.message);
        return 1;
    }
    printf("open     %9.3f ms\n", (double)(clock_mono_ns() - from) / 1e6);
    if (argc > 2 && str_eq_lit(str_cstr(argv[2]), "load")) {
        rc = load(core, n);
    } else {
        rc = search(core, "common", "metrics.loss < 0.1 and params.model = 'x3'",
                    "metrics.acc DESC", 100) ||
             search(core, "rare", "metrics.loss < 0.0001 and params.model = 'x3'",
                    "metrics.acc DESC", 100) ||
             search(core, "page", "", NULL, 1000);
    }
    core_close(core);
    arena_free(a);
    return rc;
}
