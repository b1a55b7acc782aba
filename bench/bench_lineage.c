/* bench/bench_lineage.c - questions of lineage over a store, without HTTP: bench_lineage FOLDER [LINKS]
 * bench_lineage FOLDER LINKS alone: without the recursive query.
 * Makes a store of LINKS links (1,000,000 by default) over 3 data sets to 10 links, each link spanning at most 2,000 of them, and asks for
 * everything downstream of the first: with the logs read, from memory, with the 1,000 nearest described, and first after a start. One
 * figure a line, of the wall clock and of the processor; nodes found are compared with a recursive query of the store. */
#include "base/clock.h"
#include "base/num.h"
#include "core/core_open.h"
#include "core/graph/graph.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 9, FIRST = 1000000, SPAN = 2000, NEAREST = 1000 };

static void bad(const char *what, const char *why)
{
    fprintf(stderr, "bench_lineage: %s: %s\n", what, why);
    exit(1);
}

/* ---- the store ------------------------------------------------------------------------------------------------------------ */

struct fill {
    struct write_op op;
    int64_t links, nodes;
};

static enum status fill_validate(struct write_op *op, struct group *g, struct err *err)
{
    const struct fill *f = WRITE_OP_OF(op, struct fill);
    char text[1024];
    enum status st;

    snprintf(text, sizeof(text),
             "WITH RECURSIVE t(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM t WHERE i + 1 < %lld) "
             "INSERT INTO node (uid, ns, kind, id, type_id, name, digest, create_ms, update_ms) "
             "SELECT %d + i, 0, 1, %d + i, 3, 'data ' || (i %% 100), 'digest ' || i, i, i FROM t",
             (long long)f->nodes, FIRST, FIRST);
    st = sql_script(group_conn(g), text, err);
    /* the source is drawn from the SPAN nodes before the destination */
    snprintf(
        text, sizeof(text),
        "WITH RECURSIVE t(i, r) AS (SELECT 0, 1 UNION ALL SELECT i + 1, (r * 1103515245 + 12345) %% "
        "2147483648 FROM t WHERE i + 1 < %lld) INSERT INTO edge_log (op, src, dst, role, claimed_ms, "
        "seen_ms) SELECT 1, %d + d - 1 - (r / 8) %% min(d, %d), %d + d, 3, i, i FROM (SELECT i, r, 1 + i "
        "%% (%lld - 1) AS d FROM t)",
        (long long)f->links, FIRST, SPAN, FIRST, (long long)f->nodes);
    return st ? st : sql_script(group_conn(g), text, err);
}

static struct core *open_store(const char *folder, const char *file)
{
    struct core_options opt = { .sql = { .location = folder },
                                .artifact_root = S("mlflow-artifacts:/"),
                                .readers = 1,
                                .graph = { .file = file } };
    struct core *core;
    struct err err = ERR_INIT;

    if (core_open(&core, &opt, &err)) bad("open", err.message);
    return core;
}

static void fill(struct core *core, int64_t links, int64_t nodes)
{
    static const struct write_kind kind = { .name = "bench.fill",
                                            .validate = fill_validate,
                                            .sql = true };
    struct fill f = { .links = links, .nodes = nodes };
    struct arena *a = arena_new(1 << 20);
    struct err err = ERR_INIT;

    write_op_init(&f.op, &kind, a);
    if (!a || seq_run(core->seq, &f.op, &err)) bad("fill", err.message);
    arena_free(a);
}

/* ---- questions ------------------------------------------------------------------------------------------------------------ */

struct question {
    struct read_job job;
    struct exec_event *done;
    size_t max, found;
    double wall_ms, cpu_ms;
};

static void answer(struct read_job *job, struct view *v)
{
    struct question *q = CONTAINER_OF(job, struct question, job);
    struct graph_query in = { .down = true, .max = q->max };
    struct graph_answer out = { 0 };
    struct err err = ERR_INIT;
    int64_t cpu = clock_thread_cpu_ns(), wall = clock_mono_ns();

    in.node = arena_printf(v->arena, "node:%d", FIRST);
    if (job->st || graph_ask(v, &in, &out, &err)) bad("ask", err.message);
    q->wall_ms = (double)(clock_mono_ns() - wall) / 1e6;
    q->cpu_ms = (double)(clock_thread_cpu_ns() - cpu) / 1e6;
    q->found = 0;
    for (size_t i = 0; i < out.totals_n; i++)
        q->found += out.totals[i].n;
    exec_event_set(q->done);
}

static struct question ask(struct core *core, size_t max)
{
    struct question q = { .max = max, .done = exec_event_new() };
    struct arena *a = arena_new(64 << 20);

    q.job = (struct read_job){ .run = answer, .arena = a };
    if (!q.done || !a || core_read_submit(core, &q.job)) bad("ask", "no memory");
    (void)exec_event_wait(q.done, -1);
    exec_event_free(q.done);
    arena_free(a);
    return q;
}

static void best(struct core *core, const char *what, size_t max, size_t want)
{
    struct question least = ask(core, max);

    for (int i = 1; i < ROUNDS; i++) {
        struct question q = ask(core, max);

        if (q.found != want) bad(what, "another number of nodes");
        if (q.wall_ms < least.wall_ms) least.wall_ms = q.wall_ms;
        if (q.cpu_ms < least.cpu_ms) least.cpu_ms = q.cpu_ms;
    }
    printf("%s: %.2f ms, %.2f ms CPU\n", what, least.wall_ms, least.cpu_ms);
}

/* The recursive query over the same rows, in an index as a table of links has it. */
static size_t recursive(const char *folder)
{
    char path[4096];
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int64_t cpu;
    size_t n;

    snprintf(path, sizeof(path), "%s/cairn.db", folder);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) ||
        sqlite3_exec(
            db,
            "CREATE TEMP TABLE link (src INTEGER, dst INTEGER, PRIMARY KEY (src, dst)) WITHOUT ROWID; "
            "INSERT OR IGNORE INTO link SELECT src, dst FROM edge_log",
            NULL, NULL, NULL) ||
        sqlite3_prepare_v2(
            db,
            "WITH RECURSIVE d(n) AS (SELECT 1000000 UNION SELECT e.dst FROM d CROSS JOIN "
            "link e ON e.src = d.n) SELECT count(*) FROM d",
            -1, &s, NULL)) {
        bad("recursive query", sqlite3_errmsg(db));
    }
    cpu = clock_thread_cpu_ns();
    if (sqlite3_step(s) != SQLITE_ROW) bad("recursive query", sqlite3_errmsg(db));
    printf("recursive query of SQLite: %.2f ms CPU\n", (double)(clock_thread_cpu_ns() - cpu) / 1e6);
    n = (size_t)sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n - 1;
}

int main(int argc, char **argv)
{
    char file[4096];
    int64_t links = 1000000;
    struct question first;
    struct core *core;
    size_t n;

    if (argc < 2 || argc > 4 || (argc > 2 && !num_parse_i64(str_cstr(argv[2]), &links)) ||
        links < 10) {
        fprintf(stderr, "usage: bench_lineage FOLDER [LINKS [alone]]\n");
        return 2;
    }
    snprintf(file, sizeof(file), "%s/lineage.links", argv[1]);
    core = open_store(argv[1], file);
    fill(core, links, links * 3 / 10);
    first = ask(core, 1);
    n = first.found;
    printf("%zu nodes from %lld links, the logs read: %.0f ms, %.0f ms CPU, %.1f MB\n", n,
           (long long)links, first.wall_ms, first.cpu_ms, (double)graph_bytes(core->graph) / 1e6);
    best(core, "set and totals", 1, n);
    best(core, "with the 1,000 nearest described", NEAREST, n);
    core_close(core);
    core = open_store(argv[1], file);
    first = ask(core, 1);
    printf("first after a start: %.2f ms, %.2f ms CPU\n", first.wall_ms, first.cpu_ms);
    core_close(core);
    if (first.found != n || (argc < 4 && recursive(argv[1]) != n))
        bad("compare", "another number of nodes");
    return 0;
}
