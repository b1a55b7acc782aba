/* What a start has to read after a kill is bounded at every moment: while large batches and many small ones come, and again
 * once a snapshot that was held for long has gone. And a start says what it has read. */
#include "tap.h"

#include "core/core_open.h"
#include "core/run.h"
#include "store/sql/sql.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 200, BOUND = 32000000 };

static struct core *store_open(const char *location, const struct core_options *more)
{
    struct core_options opt = *more;
    struct err err = ERR_INIT;
    struct core *core = NULL;

    opt.sql.location = location;
    opt.artifact_root = S("/a");
    opt.readers = 1;
    T_ST_ERR(core_open(&core, &opt, &err), OK, &err);
    return core;
}

static void new_runs(struct core *core, struct arena *a, struct str *runs)
{
    struct err err = ERR_INIT;

    for (int i = 0; i < RUNS; i++) {
        struct run_create c;

        run_create_init(&c, core, a);
        T_ST_ERR(seq_run(core->seq, &c.op, &err), OK, &err);
        runs[i] = c.run_id;
    }
}

/* Points whose values do not compress. */
static void log_points(struct core *core, struct arena *a, struct str run, int n, int64_t at)
{
    struct run_log *l = ARENA_NEW(a, struct run_log);
    struct err err = ERR_INIT;

    run_log_init(l, core, a);
    l->run_id = run;
    T_ST(run_points_begin(&l->points, a, &err), OK);
    for (int i = 0; i < n; i++) {
        uint64_t x = (uint64_t)(at * 100000 + i) * 0x9E3779B97F4A7C15u;

        T_ST(run_points_add(&l->points, S("k"), (double)(x >> 11) / 7, at * 100000 + i,
                            (int64_t)(x % 1000000), &err),
             OK);
    }
    T_ST_ERR(seq_run(core->seq, &l->op, &err), OK, &err);
}

static size_t most(struct core *core)
{
    struct seq_stats s;

    seq_stats(core->seq, &s);
    return s.replay_max;
}

/* Large batches, and small ones of many runs in between. */
static void load(struct core *core, const struct str *runs, int from, int batches)
{
    struct arena *a = arena_new(64 << 20);

    for (int i = from; i < from + batches; i++) {
        arena_reset(a);
        if (i % 10 == 0) {
            log_points(core, a, runs[i % RUNS], 50000, i);
        } else {
            log_points(core, a, runs[i * 7 % RUNS], 20, i);
        }
    }
    arena_free(a);
}

TEST_LIMIT(never_more_than_32_mb, 240)
{
    struct core_options opt = { .idle_ms = 3600000 };
    struct arena *a = arena_new(16 << 20);
    struct core *core = store_open(t_tmpdir(), &opt);
    struct str runs[RUNS];
    struct seq_stats s;

    new_runs(core, a, runs);
    load(core, runs, 0, 800);
    seq_stats(core->seq, &s);
    t_note("at most %zu bytes, %llu drains", s.replay_max, (unsigned long long)s.drains);
    T_OK(s.drains >= 4);
    T_OK(s.replay_max > 8000000);
    T_OK(s.replay_max <= BOUND);
    core_close(core);
    arena_free(a);
}

/* SQLite's log cannot be cut while somebody reads an old snapshot; afterwards it is. */
TEST_LIMIT(a_snapshot_holds_it_and_no_longer, 240)
{
    struct core_options opt = { .idle_ms = 3600000, .wal_bytes = 400000, .drain_bytes = 400000 };
    struct arena *a = arena_new(16 << 20);
    struct core *core = store_open(t_tmpdir(), &opt);
    struct sql_conn *reader;
    struct err err = ERR_INIT;
    struct str runs[RUNS];
    struct seq_stats s;
    int64_t n;

    new_runs(core, a, runs);
    T_ST_ERR(sql_connect(&reader, core->db, SQL_READER, &err), OK, &err);
    T_ST_ERR(sql_read_begin(reader, &err), OK, &err);
    T_ST_ERR(sql_size_bytes(reader, &n, &err), OK, &err);
    load(core, runs, 0, 30);
    seq_stats(core->seq, &s);
    T_OK(s.replay_bytes > 1000000);
    sql_read_end(reader);
    load(core, runs, 30, 30);
    sql_disconnect(reader);
    seq_stats(core->seq, &s);
    t_note("%zu bytes with a snapshot, %zu after it", s.replay_max, s.replay_bytes);
    T_OK(s.replay_bytes < s.replay_max);
    core_close(core);
    arena_free(a);
}

/* In a process that is gone without an end: makes what is to be replayed, or only opens the store. The most that a start would read. */
static size_t killed(const char *dir, bool writes)
{
    struct core_options opt = { .idle_ms = 3600000 };
    size_t said = 0;
    int pipes[2], status;
    pid_t pid;

    T_INT(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        struct arena *a = arena_new(16 << 20);
        struct str runs[RUNS];
        struct core *core = store_open(dir, &opt);

        if (writes) {
            new_runs(core, a, runs);
            load(core, runs, 0, 60);
        }
        said = most(core);
        _exit(write(pipes[1], &said, sizeof(said)) == (ssize_t)sizeof(said) ? 0 : 1);
    }
    T_OK(pid > 0);
    T_INT(read(pipes[0], &said, sizeof(said)), (int64_t)sizeof(said));
    T_INT(waitpid(pid, &status, 0), pid);
    T_INT(status, 0);
    return said;
}

/* A log that a kill has left is recovered once, not copied before the first answer: the first rest does that. */
TEST_LIMIT(a_start_says_what_it_read, 240)
{
    struct core_options opt = { .idle_ms = 1 };
    const struct timespec nap = { .tv_nsec = 1000000 };
    const char *dir = t_tmpdir();
    size_t said = killed(dir, true), again = killed(dir, false);
    struct core *core;
    struct seq_stats s;

    t_note("%zu bytes at most, %zu after the second start", said, again);
    T_OK(again > 0 && again <= said);
    core = store_open(dir, &opt);
    seq_stats(core->seq, &s);
    t_note("%zu read", s.replayed_bytes);
    T_OK(s.replayed_bytes > 0 && s.replayed_bytes <= said);
    T_OK(s.replay_ns > 0);
    T_OK(s.replay_max <= said);
    while (s.replay_bytes >= s.replay_max) { /* or the time of the test ends */
        (void)nanosleep(&nap, NULL);
        seq_stats(core->seq, &s);
    }
    core_close(core);
    core = store_open(dir, &opt);
    seq_stats(core->seq, &s);
    T_INT(s.replayed_bytes, 0);
    T_INT(s.replay_ns, 0);
    core_close(core);
}
