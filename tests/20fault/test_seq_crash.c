/* The write path dies at each of its failpoints and at none: after the next start everything acknowledged is there, and what was not
 * acknowledged is there as whole operations in their order, or not at all. And it runs out of memory at every allocation. */
#include "runmodel.h"
#include "sqltest.h"
#include "tap.h"

#include "core/columns.h"

#include "base/exec.h"
#include "base/failpoint.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 14, OPS_MAX = 20 };

/* What the dying process leaves behind for its parent. */
struct progress {
    _Atomic int rounds, acked;
};

struct splitmix {
    uint64_t state;
};

static uint64_t draw(void *ctx)
{
    uint64_t z = (((struct splitmix *)ctx)->state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int64_t idle_ms = 1; /* time without writes until the engine's log is cut */

static struct core *store_open(const char *location)
{
    struct core_options opt = { .sql = { .location = location },
                                .artifact_root = S("/art"),
                                .readers = 1,
                                .drain_bytes = 6000,
                                .head_age_ms = 1,
                                .wal_bytes = 60000,
                                .purge_rows = 1,
                                .compact = { .chunk_points = 4, .packs = 2 },
                                .idle_ms = idle_ms };
    struct err err = ERR_INIT;
    struct core *core = NULL;
    enum status st;

    do { /* the database may not have noticed yet that the last owner is dead */
        st = core_open(&core, &opt, &err);
    } while (st == ST_CONFLICT);
    T_ST_ERR(st, OK, &err);
    return core;
}

static size_t round_size(struct splitmix *r)
{
    return 1 + draw(r) % OPS_MAX;
}

struct acks {
    struct progress *progress;
    struct exec_event *all;
    int left;
};

static void acked(struct write_op *op)
{
    struct acks *a = (struct acks *)op->user;

    if (op->st != ST_UNAVAILABLE) atomic_fetch_add(&a->progress->acked, 1);
    if (--a->left == 0) exec_event_set(a->all);
}

/* One round in the process that dies. */
static void round_of_child(struct model *m, struct core *core, size_t n, struct progress *p)
{
    struct arena *arena = arena_new(64 << 20);
    struct acks a = { p, exec_event_new(), (int)n };
    struct write_op *w[OPS_MAX];

    model_ops_clear(m);
    for (size_t i = 0; i < n; i++) {
        w[i] = model_op_write(model_draw(m), core, arena);
        w[i]->user = &a;
        w[i]->done = acked;
    }
    for (size_t i = 0; i < n; i++) {
        T_ST(seq_submit(core->seq, w[i]), OK);
    }
    T_OK(exec_event_wait(a.all, 60000));
    exec_event_free(a.all);
    arena_free(arena);
    atomic_store(&p->acked, 0);
    atomic_fetch_add(&p->rounds, 1);
}

static void child(const char *location, uint64_t seed, const char *spec, struct progress *p)
{
    struct splitmix r = { seed };
    struct model *m = model_new(draw, &r);
    struct core *core = store_open(location);
    struct exec_event *never = exec_event_new();

    model_set_up(m);
    failpoint_arm(spec);
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = round_size(&r);

        round_of_child(m, core, n, p);
        if (i % 3 == 2) { /* columns of what is there, stored */
            struct err err = ERR_INIT;

            model_search(m, core);
            T_ST_ERR(columns_flush(core, &err), OK, &err);
        }
        if (i % 5 == 4) (void)exec_event_wait(never, 20); /* time to be idle */
        if (i % 4 == 3) {
            IGNORE_STATUS(seq_drain(core->seq, NULL)); /* packs to merge */
            compact_all(core->compact);
            T_OK(compact_wait(core->compact, 60000));
        }
    }
    model_settle(core);
    core_close(core);
    _exit(0);
}

/* Repeats what the child did to the reference; then the last round, as far as the store has it. */
static void compare(const char *location, uint64_t seed, const struct progress *p, const char *what)
{
    struct splitmix r = { seed };
    struct model *m = model_new(draw, &r);
    int rounds = atomic_load(&p->rounds), min = atomic_load(&p->acked);
    struct model_op *ops[OPS_MAX];
    struct core *core;
    size_t n = 0, k;

    model_set_up(m);
    for (int i = 0; i < rounds; i++) {
        n = round_size(&r);
        for (k = 0; k < n; k++) {
            ops[k] = model_draw(m);
        }
        for (k = 0; k < n; k++) {
            (void)model_apply(m, ops[k]);
        }
        model_ops_clear(m);
    }
    core = store_open(location);
    n = rounds < ROUNDS ? round_size(&r) : 0;
    for (k = 0; k < n; k++) {
        ops[k] = model_draw(m);
    }
    for (k = 0; k < (size_t)min; k++) {
        (void)model_apply(m, ops[k]);
    }
    while (!model_agrees(m, core) && k < n) {
        (void)model_apply(m, ops[k++]);
    }
    if (!model_agrees(m, core))
        t_note("%s: no prefix of round %d fits (acknowledged: %d of %zu)", what, rounds, min, n);
    model_check(m, core);
    model_check_rows(core);
    model_round(m, core, 5);
    model_check(m, core);
    core_close(core);
    model_free(m);
}

/* True if the child died of the failpoint. */
static bool crash_at(const char *location, const char *spec, uint64_t seed)
{
    struct progress *p = (struct progress *)mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    pid_t pid;

    T_OK(p != MAP_FAILED);
    memset(p, 0, sizeof(*p));
    pid = fork();
    T_OK(pid >= 0);
    if (pid == 0) child(location, seed, spec, p);
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) && WEXITSTATUS(status) != 0)
        T_FAIL("%s: the child ended with %d", spec, WEXITSTATUS(status));
    compare(location, seed, p, spec);
    munmap(p, sizeof(*p));
    return WIFSIGNALED(status);
}

static void set_up(const char *location)
{
    struct splitmix r = { 1 };
    struct model *m = model_new(draw, &r);
    struct core *core = store_open(location);
    struct err err = ERR_INIT;

    T_ST_ERR(model_setup(m, core, &err), OK, &err);
    core_close(core);
    model_free(m);
}

static const char *const points[] = { "seq.group.before_batch",
                                      "seq.group.before_commit",
                                      "seq.group.after_commit",
                                      "seq.group.before_answer",
                                      "seq.drain.begin",
                                      "seq.drain.pack",
                                      "seq.drain.head",
                                      "seq.drain.before_commit",
                                      "seq.drain.after_commit",
                                      "seq.trim.before_commit",
                                      "seq.trim.after_commit",
                                      "seq.checkpoint.truncated",
                                      "seq.checkpoint.passive",
                                      "compact.planned",
                                      "compact.validate",
                                      "compact.validated",
                                      "series.merge.deleted",
                                      "series.merge.chunk",
                                      "series.merge.pack",
                                      "runcols.save.claimed",
                                      "runcols.save.cell",
                                      "core.purge.named",
                                      "core.purge.chunks",
                                      "core.purge.packs",
                                      "core.purge.step",
                                      "core.purge.experiment",
                                      "core.purge.experiment.part",
                                      "core.purge.experiment.done" };

static void crash_everywhere(const char *(*location)(void), bool postgres)
{
#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    for (size_t i = 0; i < ARRAY_N(points); i++) {
        bool passive = strcmp(points[i], "seq.checkpoint.passive") == 0, died = false;
        char spec[96];

        if (postgres && strncmp(points[i], "seq.checkpoint", 14) == 0) continue;
        idle_ms = passive ? 100000 : 1;
        bool once = strncmp(points[i], "core.purge.experiment", 21) == 0;
        int nth = once ? 1 : 1 + (int)t_rand_below(3);

        /* What is drawn may not come by a point at all: then another history is. */
        for (int tries = 40; tries > 0 && !died; tries--, nth = nth > 1 ? nth - 1 : 1) {
            const char *where = location();

            set_up(where);
            snprintf(spec, sizeof(spec), "%s=kill:%d", points[i], nth);
            died = crash_at(where, spec, t_rand());
        }
        if (!died) T_FAIL("%s is never passed", spec);
    }
}

static const char *new_folder(void)
{
    return t_tmpdir();
}

TEST_LIMIT(killed_at_every_failpoint_sqlite, 240)
{
    crash_everywhere(new_folder, false);
}

TEST_LIMIT(killed_at_every_failpoint_postgres, 300)
{
    crash_everywhere(pgtest_uri, true);
}

/* A commit that fails takes its whole group back; what is retried afterwards is stored once. */
SQL_TEST(failed_commits_leave_nothing)
{
    struct splitmix r = { t_rand() };
    struct model *m = model_new(draw, &r);
    struct arena *a = arena_new(64 << 20);
    struct core *core = store_open(location);
    struct err err = ERR_INIT;

#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    T_ST_ERR(model_setup(m, core, &err), OK, &err);
    model_round(m, core, 10);
    for (int i = 0; i < 30; i++) {
        struct model_op *op = model_draw(m);
        struct write_op *w = model_op_write(op, core, a);
        enum status want;

        failpoint_arm("seq.group.commit_fails=error,seq.drain.commit_fails=error");
        T_OK(seq_run(core->seq, w, &err) != OK);
        failpoint_arm(NULL);
        model_check(m, core);
        want = model_apply(m, op);
        w = model_op_write(op, core, a);
        T_ST_ERR(seq_run(core->seq, w, &err), want, &err);
    }
    model_check(m, core);
    core_close(core);
    core = store_open(location);
    model_check(m, core);
    model_check_rows(core);
    core_close(core);
    model_free(m);
    arena_free(a);
}

/* The n-th allocation fails, for n = 1, 2, 3 ... until the operation needs fewer. */
static void starve(struct model *m, struct core *core, struct arena *a)
{
    struct model_op *op = model_draw(m);
    struct err err = ERR_INIT;

    for (int64_t n = 1;; n++) {
        struct write_op *w = model_op_write(op, core, a);
        struct exec_event *e = exec_event_new();
        struct progress p = { 0 };
        struct acks acks = { &p, e, 1 };
        bool enough;

        w->user = &acks;
        w->done = acked;
        mem_fail_after(n, true);
        T_ST(seq_submit(core->seq, w), OK);
        T_OK(exec_event_wait(e, 60000));
        enough = mem_call_n() < n;
        mem_fail_never();
        exec_event_free(e);
        if (w->st != ST_NOMEM && w->st != ST_UNAVAILABLE) {
            T_ST_ERR(w->st, model_apply(m, op), &w->err);
            return;
        }
        if (enough)
            T_FAIL("%s fails without a failed allocation: %s", model_op_name(op), w->err.message);
        if (n % 7 == 0) model_check(m, core);
    }
    (void)err;
}

TEST_LIMIT(out_of_memory_at_every_allocation, 240)
{
    struct splitmix r = { t_rand() };
    struct model *m = model_new(draw, &r);
    struct arena *a = arena_new(256 << 20);
    const char *location = t_tmpdir();
    struct core *core = store_open(location);
    struct err err = ERR_INIT;

    T_ST_ERR(model_setup(m, core, &err), OK, &err);
    for (int i = 0; i < 12; i++) {
        starve(m, core, a);
        model_check(m, core);
        for (int64_t n = 1; n < 400; n += 1 + (int64_t)t_rand_below(30)) {
            mem_fail_after(n, true);
            IGNORE_STATUS(
                seq_drain(core->seq, &err)); /* fails or not; nothing may be lost either way */
            mem_fail_never();
        }
        for (int64_t n = 1; n < 300; n += 1 + (int64_t)t_rand_below(40)) {
            mem_fail_after(n, true);
            compact_all(core->compact); /* merges meanwhile, or fails and tries again */
            mem_fail_never();
        }
        model_check(m, core);
        if (i % 4 == 3) {
            core_close(core);
            core = store_open(location);
        }
        model_check_rows(core);
    }
    core_close(core);
    model_free(m);
    arena_free(a);
}

/* A start that runs out of memory anywhere fails cleanly, and the next one finds everything. */
TEST_LIMIT(opening_out_of_memory, 240)
{
    struct splitmix r = { t_rand() };
    struct model *m = model_new(draw, &r);
    const char *location = t_tmpdir();
    struct core_options opt = { .sql = { .location = location },
                                .artifact_root = S("/art"),
                                .readers = 1 };
    struct core *core = store_open(location);
    struct err err = ERR_INIT;
    int failed = 0;

    T_ST_ERR(model_setup(m, core, &err), OK, &err);
    for (int i = 0; i < 6; i++) {
        model_round(m, core, 15);
        if (i == 2) T_ST_ERR(seq_drain(core->seq, &err), OK, &err);
    }
    core_abandon(core);
    for (int64_t n = 1;; n += 1 + (int64_t)t_rand_below(12)) {
        enum status st;
        bool enough;

        mem_fail_after(n, true);
        st = core_open(&core, &opt, &err);
        enough = mem_call_n() < n;
        mem_fail_never();
        if (!st) {
            model_check(m, core);
            core_abandon(core);
        } else {
            T_OK(core == NULL);
            failed++;
        }
        if (enough) break;
    }
    T_OK(failed > 10);
    core = store_open(location);
    model_check(m, core);
    model_check_rows(core);
    core_close(core);
    model_free(m);
}
