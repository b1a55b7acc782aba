/* bench/bench_sql.c - what one statement and one commit cost on each engine.
 * Usage: bench_sql DIR|postgresql://... - a store that is created there; its rows are left behind. */
#include "base/clock.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { COMMITS = 3000, GROUP = 200, READS = 20000 };

static struct err err = ERR_INIT;

static void must(enum status st, const char *what)
{
    if (!st) return;
    fprintf(stderr, "bench_sql: %s: %s\n", what, err.message);
    exit(1);
}

static void show(const char *what, int64_t start_ns, int64_t n)
{
    double us = (double)(clock_mono_ns() - start_ns) / 1000;

    printf("%-44s %9.0f /s %9.2f us each\n", what, (double)n * 1e6 / us, us / (double)n);
}

int main(int argc, char **argv)
{
    struct sql_options opt = { .location = argc > 1 ? argv[1] : "." };
    struct arena *a = arena_new(64 << 20);
    struct q_experiment_get_row row;
    struct sql_conn *w, *r;
    struct sql_stmt *rows;
    struct q_experiment_tags_row tag;
    struct sql_db *db;
    char key[32], body[400] = { 0 };
    int64_t start, n = 0;
    enum status st;

    must(sql_open(&db, &opt, &err), "open");
    must(sql_connect(&w, db, SQL_WRITER, &err), "connect");
    must(sql_connect(&r, db, SQL_READER, &err), "connect");
    must(q_experiment_insert(w, 1, 1, S("bench"), S("file:/bench"), 0, &err), "insert");
    start = clock_mono_ns();
    for (int i = 0; i < COMMITS; i++) {
        must(sql_begin(w, &err), "begin");
        must(q_edge_log_append(w, 1, i, i, 3, str_of(body, sizeof(body)), 0, 0, &err), "append");
        must(sql_commit(w, &err), "commit");
        if (sql_wal_bytes(w) > 4 << 20)
            must(sql_checkpoint(w, SQL_CHECKPOINT_PASSIVE, &err), "checkpoint");
    }
    show("durable transactions of one insert", start, COMMITS);
    start = clock_mono_ns();
    for (int i = 0; i < COMMITS / 10; i++) {
        must(sql_begin(w, &err), "begin");
        for (int k = 0; k < GROUP; k++) {
            snprintf(key, sizeof(key), "k%d", k);
            must(q_experiment_tag_set(w, 1, str_cstr(key), S("value"), &err), "set");
        }
        must(sql_commit(w, &err), "commit");
    }
    show("upserts, 200 per durable transaction", start, (int64_t)COMMITS / 10 * GROUP);
    start = clock_mono_ns();
    for (int i = 0; i < COMMITS / 10; i++) {
        must(sql_begin(w, &err), "begin");
        for (int k = 0; k < 20; k++) {
            must(sql_savepoint(w, &err), "savepoint");
            must(q_experiment_tag_set(w, 1, S("k1"), S("value"), &err), "set");
            must(sql_release(w, &err), "release");
        }
        must(sql_commit(w, &err), "commit");
    }
    show("upserts in savepoints, 20 per transaction", start, (int64_t)COMMITS / 10 * 20);
    start = clock_mono_ns();
    for (int i = 0; i < READS; i++) {
        must(q_experiment_get(r, a, 1, &row, &err), "get");
        arena_reset(a);
    }
    show("reads of one row", start, READS);
    start = clock_mono_ns();
    for (int i = 0; i < READS / 100; i++) {
        must(q_experiment_tags_open(r, &rows, 1, &err), "open");
        while ((st = q_experiment_tags_next(rows, &tag, &err)) == OK) {
            n++;
        }
        must(st == ST_END ? OK : st, "next");
        sql_close(rows);
    }
    show("rows of a result of 200", start, n);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
    arena_free(a);
    return 0;
}
