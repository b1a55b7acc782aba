/* The graph over the logs, on both engines: what is stored of it is used if it is of these logs and only then, whatever happens while it
 * is written; its memory has an end; two servers of one database see what either acknowledged. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "base/exec.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "core/graph/graph.h"
#include "gen/sql/queries.h"
#include "store/seq.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHAIN = 3000, HUB = 500, FIRST = 100000, OTHER = 800000 };

/* A chain of nodes from FIRST, with a hub at its end. */
static void add_links(struct corefix *f, int from, int n, int hub)
{
    char text[512];

    snprintf(
        text, sizeof(text),
        "WITH RECURSIVE t(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM t WHERE i < %d) INSERT INTO edge_log "
        "(op, src, dst, role, claimed_ms, seen_ms) SELECT 1, %d + (CASE WHEN i < %d THEN i ELSE %d END), "
        "%d + i + 1, 3, i, i + 1 FROM t",
        from, from + n - 1, FIRST, hub, hub, FIRST);
    corefix_script(f, text);
}

/* As a request does: on a thread of the pool, where the links are stored too. */
struct question {
    struct read_job job;
    struct graph_query q;
    struct graph_answer *out;
    enum status st;
    struct err err;
    struct exec_event *done;
};

static void answer(struct read_job *job, struct view *v)
{
    struct question *q = CONTAINER_OF(job, struct question, job);

    q->st = job->st ? job->st : graph_ask(v, &q->q, q->out, &q->err);
    exec_event_set(q->done);
}

static enum status ask(struct corefix *f, int start, bool down, struct graph_answer *out)
{
    struct question q = { .q = { .down = down, .max = 10 }, .out = out };

    q.q.node = arena_printf(f->a, "node:%d", FIRST + start);
    q.job = (struct read_job){ .run = answer, .arena = f->a };
    q.done = exec_event_new();
    *out = (struct graph_answer){ 0 };
    T_OK(q.done != NULL);
    T_ST(core_read_submit(f->core, &q.job), OK);
    T_OK(exec_event_wait(q.done, -1));
    exec_event_free(q.done);
    f->err = q.err;
    return q.st;
}

static size_t reached(struct corefix *f, int start, bool down)
{
    struct graph_answer a;
    size_t n = 0;

    T_ST_ERR(ask(f, start, down, &a), OK, &f->err);
    for (size_t i = 0; i < a.totals_n; i++)
        n += a.totals[i].n;
    return n;
}

static void same_answers(struct corefix *f)
{
    T_UINT(reached(f, 0, true), CHAIN + HUB);
    T_UINT(reached(f, CHAIN + HUB, false), CHAIN + 1);
}

/* Where another node is the same as the first of the chain. */
static void same_with_another(struct corefix *f)
{
    T_UINT(reached(f, OTHER, true), CHAIN + HUB);
    T_UINT(reached(f, CHAIN + HUB, false), CHAIN + 2);
}

/* At most two in one test. */
static const char *new_file(void)
{
    static char paths[2][512];
    static size_t n;
    char *path = paths[n++ % ARRAY_N(paths)];

    snprintf(path, sizeof(paths[0]), "%s/lineage.links", t_tmpdir());
    return path;
}

static struct core_options with_file(const char *file)
{
    return (struct core_options){ .graph = { .file = file, .save_links = 100 } };
}

static void flip(const char *file, off_t at)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);
    uint8_t b;

    T_OK(fd >= 0 && pread(fd, &b, 1, at) == 1);
    b ^= 0x10;
    T_OK(pwrite(fd, &b, 1, at) == 1);
    close(fd);
}

SQL_TEST(stored_links_are_used)
{
    const char *file = new_file();
    struct core_options opt = with_file(file);
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    add_links(&f, 0, CHAIN + HUB, CHAIN);
    same_answers(&f);
    corefix_script(&f,
                   "INSERT INTO same_log (op, a, b, rule, reason, who, pin, claimed_ms, seen_ms) "
                   "VALUES (1, 100000, 900000, 1, '', '', 0, 1, 1)");
    same_with_another(&f);
    corefix_reopen(&f);
    corefix_script(
        &f, "DELETE FROM edge_log WHERE seq < (SELECT max(seq) FROM edge_log)"); /* a proof */
    same_with_another(&f);
    add_links(&f, CHAIN + HUB, 50, CHAIN + HUB);
    T_UINT(reached(&f, 0, true), CHAIN + HUB + 50);
    corefix_crash(&f);
    T_UINT(reached(&f, 0, true), CHAIN + HUB + 50);
    corefix_reopen(&f);
    corefix_script(&f, "DELETE FROM edge_log"); /* not the logs that they were made of */
    T_UINT(reached(&f, 0, true), 0);
    corefix_close(&f);
}

SQL_TEST(damaged_or_foreign_links_are_not)
{
    const char *file = new_file();
    struct core_options opt = with_file(file);
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    add_links(&f, 0, CHAIN + HUB, CHAIN);
    same_answers(&f);
    for (off_t at = 20; at < 100000; at = at * 7 + 1) {
        corefix_reopen(&f); /* stored again, since what was found was of no use */
        flip(file, at);
        same_answers(&f);
    }
    corefix_reopen(&f);
    corefix_script(&f, "UPDATE edge_log SET seen_ms = seen_ms + 1");
    corefix_script(&f, "UPDATE edge_log SET op = 2 WHERE src = 100001");
    T_UINT(reached(&f, 0, true), 1);
    corefix_close(&f);
}

SQL_TEST(the_graph_has_an_end)
{
    struct core_options opt = { .graph = { .max_bytes = 1000000 } };
    struct graph_answer a;
    struct corefix f;

    corefix_open_with(&f, location, &opt);
    add_links(&f, 0, CHAIN, CHAIN);
    T_UINT(reached(&f, 0, true), CHAIN);
    add_links(&f, CHAIN, 6000, CHAIN);
    T_ST(ask(&f, 0, true, &a), ST_UNAVAILABLE);
    T_OK(strstr(f.err.hint, "--store-graph-bytes") != NULL);
    f.opt.graph.max_bytes = 10000000;
    corefix_reopen(&f);
    T_UINT(reached(&f, 0, true), CHAIN + 6000);
    corefix_close(&f);
}

static void killed(const char *location, const char *blobs, const char *file, const char *point)
{
    struct core_options opt = with_file(file);
    struct corefix f;
    int status;
    pid_t pid = fork();

    T_OK(pid >= 0);
    if (pid == 0) {
        char spec[128];

        corefix_open_at(&f, location, blobs, &opt);
        snprintf(spec, sizeof(spec), "%s=kill:1", point);
        failpoint_arm(spec);
        corefix_script(
            &f, "INSERT INTO edge_log (op, src, dst, role, claimed_ms, seen_ms) "
                "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < 200) "
                "SELECT 1, 1, 1000 + i, 3, i, i FROM t");
        (void)reached(&f, 0, true);
        corefix_close(&f);
        _exit(0);
    }
    T_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) T_FAIL("%s is never passed", point);
    corefix_open_at(&f, location, blobs, &opt);
    same_answers(&f);
    corefix_close(&f);
}

SQL_TEST(killed_while_links_are_stored)
{
#ifndef CAIRN_FAILPOINTS
    T_SKIP("a build without failpoints");
#endif
    static const char *const points[] = { "graph.base.before_sync", "graph.base.before_rename",
                                          "graph.base.before_dir_sync" };
    const char *file = new_file(), *blobs = t_tmpdir();
    struct core_options opt = with_file(file);
    struct corefix f;

    corefix_open_at(&f, location, blobs, &opt);
    add_links(&f, 0, CHAIN + HUB, CHAIN);
    corefix_close(&f);
    for (size_t i = 0; i < ARRAY_N(points); i++)
        killed(location, blobs, file, points[i]);
}

TEST(two_servers_have_one_graph)
{
    const char *uri = pgtest_uri();
    struct core_options opt[2] = { with_file(new_file()), with_file(new_file()) };
    struct corefix f[2];

    for (int i = 0; i < 2; i++) {
        opt[i].sql.shared = true;
        opt[i].sql.owner = "test";
        corefix_open_with(&f[i], uri, &opt[i]);
    }
    for (int round = 0; round < 6; round++) {
        add_links(&f[round % 2], round * 150, 150, CHAIN);
        T_UINT(reached(&f[1 - round % 2], 0, true), (size_t)(round + 1) * 150);
        T_UINT(reached(&f[round % 2], 0, true), (size_t)(round + 1) * 150);
        if (round == 3) corefix_reopen(&f[0]); /* its own file is older than the logs */
    }
    corefix_close(&f[0]);
    T_UINT(reached(&f[1], 6 * 150, false), 6 * 150);
    corefix_close(&f[1]);
}

/* ---- a clock that is set back ----------------------------------------------------------------------------------------------- */

#define BEGIN_MS INT64_C(1800000000000)
static _Atomic int64_t clock_ms; /* relaxed: nothing is published through it */

static int64_t test_wall(void *ctx)
{
    (void)ctx;
    return BEGIN_MS + atomic_load_explicit(&clock_ms, memory_order_relaxed);
}

static int64_t test_mono(void *ctx)
{
    struct timespec t;

    (void)ctx;
    T_INT(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Sets or takes back a link from FIRST to the next, as operations record facts. */
struct recording {
    struct write_op op;
    int what;
    int64_t at;
};

static enum status record(struct write_op *op, struct group *g, struct err *err)
{
    struct recording *r = WRITE_OP_OF(op, struct recording);

    r->at = group_now_ms(g);
    return q_edge_log_append(group_conn(g), r->what, FIRST, FIRST + 1, 3, (struct str){ NULL, 0 },
                             0, r->at, err);
}

/* At a time of the clock: when it was recorded. */
static int64_t record_at(struct corefix *f, int64_t ms, bool gone)
{
    static const struct write_kind kind = { .name = "test", .validate = record, .sql = true };
    struct recording r = { .what = gone ? 2 : 1 };

    atomic_store_explicit(&clock_ms, ms, memory_order_relaxed);
    write_op_init(&r.op, &kind, f->a);
    T_ST_ERR(corefix_run(f, &r.op), OK, &f->err);
    return r.at - BEGIN_MS;
}

/* How many nodes and links a question as of then gives. */
static void known_at(struct corefix *f, int64_t ms, size_t nodes, size_t links)
{
    struct question q = {
        .q = { .down = true, .max = 10, .has_as_of = true, .as_of_ms = BEGIN_MS + ms }
    };
    struct graph_answer a = { 0 };

    q.out = &a;
    q.q.node = arena_printf(f->a, "node:%d", FIRST);
    q.job = (struct read_job){ .run = answer, .arena = f->a };
    q.done = exec_event_new();
    T_OK(q.done != NULL);
    T_ST(core_read_submit(f->core, &q.job), OK);
    T_OK(exec_event_wait(q.done, -1));
    exec_event_free(q.done);
    T_ST_ERR(q.st, OK, &q.err);
    T_UINT(a.n, nodes);
    T_UINT(a.links_n, links);
}

/* What is recorded later has no earlier time, also after a start: nothing stands twice, and what was taken back last is gone. A clock that
 * was hours ahead is corrected all the same. */
SQL_TEST(recorded_order_is_kept_when_the_clock_goes_back)
{
    static const struct clock_ops ops = { test_wall, test_mono, NULL };
    struct corefix f;

    clock_replace(&ops); /* before there is another thread */
    corefix_open(&f, location, NULL);
    T_INT(record_at(&f, 10000, false), 10000);
    T_INT(record_at(&f, 100000, true), 100000);
    T_INT(record_at(&f, 50000, false), 100000);
    known_at(&f, 9999, 1, 0);
    known_at(&f, 75000, 2, 1);
    known_at(&f, 100000, 2, 1);
    corefix_reopen(&f);
    T_INT(record_at(&f, 60000, true), 100000);
    known_at(&f, 75000, 2, 1);
    known_at(&f, 100000, 1, 0);
    T_INT(record_at(&f, 100001, false), 100001);
    T_INT(record_at(&f, 100001 - 3600 * 1000, true), 100001);
    T_INT(record_at(&f, 100000 - 3600 * 1000, false), 100000 - 3600 * 1000);
    T_INT(record_at(&f, 110000 - 3600 * 1000, true), 110000 - 3600 * 1000);
    known_at(&f, 75000, 2, 1);
    known_at(&f, 105000 - 3600 * 1000, 2, 1);
    known_at(&f, 100001, 1, 0);
    corefix_close(&f);
}
