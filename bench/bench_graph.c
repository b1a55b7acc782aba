/* bench/bench_graph.c - the lineage graph in memory, beside a recursive query of SQLite over the same links: what lies downstream of
 * one data set that everything was made from. Processor time. bench_graph [LINKS]: 1,000,000 by default, over 3 nodes to 10 links. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/graph/links.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 25, SPAN = 2000 };

/* Acyclic; a link spans at most SPAN numbers, as what is made of each other is recorded at about the same time. */
static struct link_fact *draw(size_t links, size_t nodes)
{
    struct link_fact *f = mem_alloc(links * sizeof(*f));
    uint64_t state = 1;

    for (size_t i = 0; f && i < links; i++) {
        uint64_t r;

        state = state * 6364136223846793005u + 1442695040888963407u;
        r = state >> 33;
        f[i] = (struct link_fact){ .role = 3, .claimed_ms = (int64_t)i, .seen_ms = (int64_t)i };
        f[i].dst = (int64_t)(1 + i % (nodes - 1));
        f[i].src = f[i].dst - 1 - (int64_t)(r % (uint64_t)MIN_OF(f[i].dst, SPAN));
    }
    return f;
}

static void bad(sqlite3 *db, const char *what)
{
    fprintf(stderr, "bench_graph: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static double recursive_s(const struct link_fact *f, size_t n, size_t *found)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int64_t from;

    if (sqlite3_open(":memory:", &db) ||
        sqlite3_exec(db,
                     "CREATE TABLE edge (src INTEGER, dst INTEGER, role INTEGER, PRIMARY KEY (src, "
                     "dst, role)) WITHOUT ROWID; BEGIN",
                     NULL, NULL, NULL) ||
        sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO edge VALUES (?1, ?2, 3)", -1, &s, NULL)) {
        bad(db, "set up");
    }
    for (size_t i = 0; i < n; i++) {
        sqlite3_bind_int64(s, 1, f[i].src);
        sqlite3_bind_int64(s, 2, f[i].dst);
        if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s)) {
            bad(db, "insert");
        }
    }
    sqlite3_finalize(s);
    if (sqlite3_prepare_v2(
            db,
            "WITH RECURSIVE d(n) AS (SELECT 0 UNION SELECT e.dst FROM d CROSS JOIN edge e "
            "ON e.src = d.n) SELECT count(*) FROM d",
            -1, &s, NULL)) {
        bad(db, "prepare");
    }
    from = clock_thread_cpu_ns();
    if (sqlite3_step(s) != SQLITE_ROW) {
        bad(db, "walk");
    }
    *found = (size_t)sqlite3_column_int64(s, 0);
    from = clock_thread_cpu_ns() - from;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return (double)from / 1e9;
}

static double walk_s(const struct links *l, const struct walk *w, size_t *found)
{
    double best = 1e9;
    struct err err = ERR_INIT;
    struct walk_found f;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t from = clock_thread_cpu_ns();

        if (links_walk(l, w, &f, &err)) {
            fprintf(stderr, "bench_graph: %s\n", err.message);
            exit(1);
        }
        best = MIN_OF(best, (double)(clock_thread_cpu_ns() - from) / 1e9);
        *found = f.n;
        walk_found_release(&f);
    }
    return best;
}

/* A hundredth of the links once more, of another role: they stay in the log. */
static double late_s(struct links *l, struct link_fact *f, size_t n, const struct walk *w)
{
    struct err err = ERR_INIT;
    size_t found;

    for (size_t i = 0; i < n; i++) {
        f[i].role = 4;
    }
    if (links_add(l, f, n, &err)) {
        fprintf(stderr, "bench_graph: %s\n", err.message);
        exit(1);
    }
    return walk_s(l, w, &found);
}

int main(int argc, char **argv)
{
    int64_t n = 1000000, start = 0, from;
    struct walk w = { .starts = &start, .starts_n = 1, .direction = WALK_DOWN, .brief = true };
    struct links *l = links_new();
    struct err err = ERR_INIT;
    struct link_fact *f;
    size_t nodes, found, slow_found;
    double s, as_of_s, slow;

    if (argc > 1 && !num_parse_i64(str_cstr(argv[1]), &n)) {
        fprintf(stderr, "usage: bench_graph [LINKS]\n");
        return 2;
    }
    nodes = (size_t)n * 3 / 10;
    f = draw((size_t)n, nodes);
    from = clock_thread_cpu_ns();
    if (!l || !f || links_add(l, f, (size_t)n, &err)) {
        fprintf(stderr, "bench_graph: %s\n", err.message);
        return 1;
    }
    printf("%zu links, %zu nodes: packed in %.3f s, %.1f MB\n", links_n(l), nodes,
           (double)(clock_thread_cpu_ns() - from) / 1e9, (double)links_bytes(l) / 1e6);
    s = walk_s(l, &w, &found);
    printf("downstream of one: %zu nodes in %.2f ms\n", found, s * 1e3);
    w.has_as_of = true;
    w.as_of_ms = n;
    as_of_s = walk_s(l, &w, &found);
    printf("the same as of a time: %.2f ms\n", as_of_s * 1e3);
    slow = recursive_s(f, (size_t)n, &slow_found);
    printf("recursive query of SQLite in memory: %zu nodes in %.2f ms, ratio %.0f\n", slow_found,
           slow * 1e3, slow / s);
    w.has_as_of = false;
    printf("with a hundredth of the links in the log: %.2f ms\n",
           late_s(l, f, (size_t)n / 100, &w) * 1e3);
    links_free(l);
    mem_free(f);
    return found == slow_found ? 0 : 1;
}
