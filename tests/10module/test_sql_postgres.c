/* tests/10module/test_sql_postgres.c - what only a database on the network does: it goes away, at any moment. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "gen/sql/queries.h"
#include "sqltest.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct err err = ERR_INIT;

static enum status add(struct sql_conn *c, int64_t id)
{
    char name[32];

    snprintf(name, sizeof(name), "e%ld", (long)id);
    return q_experiment_insert(c, id, 1000 + id, str_cstr(name), S("file:/a"), 5, &err);
}

static bool has(struct sql_conn *c, int64_t id)
{
    char text[96];

    snprintf(text, sizeof(text), "SELECT count(*) FROM experiment WHERE id = %ld", (long)id);
    return sqltest_int(c, text) == 1;
}

static enum status add_in_group(struct sql_conn *c, int64_t id)
{
    enum status st = sql_begin(c, &err);

    if (st) return st;
    st = add(c, id);
    if (!st) st = sql_commit(c, &err);
    if (sql_in_transaction(c)) sql_rollback(c);
    return st;
}

/* Ends every session of cairn in the database, and waits until they are gone. */
static void end_sessions(const char *uri)
{
    pgtest_psql(uri, "SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity"
                     " WHERE datname = current_database() AND application_name LIKE 'cairn%'");
}

TEST(a_lost_session_is_replaced)
{
    const char *uri = pgtest_uri();
    struct sql_db *db = sqltest_open(uri);
    struct sql_conn *w = sqltest_connect(db, SQL_WRITER), *r = sqltest_connect(db, SQL_READER);

    T_ST_ERR(add_in_group(w, 1), OK, &err);
    T_OK(has(r, 1));
    end_sessions(uri);
    T_OK(has(r, 1)); /* nobody notices */
    T_ST_ERR(add_in_group(w, 2), OK, &err);
    T_OK(has(r, 2));
    /* inside a transaction it is an error, and nothing is stored */
    T_ST_ERR(sql_begin(w, &err), OK, &err);
    T_ST_ERR(add(w, 3), OK, &err);
    end_sessions(uri);
    T_ST(sql_commit(w, &err), ST_UNAVAILABLE);
    T_OK(!sql_outcome_unknown(w));
    T_OK(!strstr(err.message, "127.0.0.1"));
    T_OK(!has(r, 3));
    T_ST_ERR(sql_begin(w, &err), OK, &err);
    T_ST_ERR(sql_savepoint(w, &err), OK, &err);
    end_sessions(uri);
    T_OK(add(w, 4) != OK || sql_release(w, &err) != OK);
    T_OK(sql_rollback_to(w, &err) != OK);
    T_OK(sql_commit(w, &err) != OK);
    T_ST_ERR(sql_read_begin(r, &err), OK, &err);
    T_OK(has(r, 1));
    end_sessions(uri);
    T_ST(sql_script(r, "SELECT 1", &err), ST_UNAVAILABLE); /* the snapshot is gone */
    sql_read_end(r);
    T_OK(has(r, 2));
    T_ST_ERR(add_in_group(w, 4), OK, &err);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
}

TEST(a_commit_lost_in_flight_is_resolved)
{
    struct sql_db *db = sqltest_open(pgtest_uri());
    struct sql_conn *w = sqltest_connect(db, SQL_WRITER), *r = sqltest_connect(db, SQL_READER);

    T_ST_ERR(add_in_group(w, 1), OK, &err);
    failpoint_arm("store.postgres.commit.unread=error:1");
    T_ST_ERR(add_in_group(w, 2), OK, &err); /* it was committed: that is the answer */
    T_OK(has(r, 2));
    failpoint_arm("store.postgres.commit.unsent=error:1");
    T_ST(add_in_group(w, 3), ST_UNAVAILABLE);
    T_OK(!sql_outcome_unknown(w));
    failpoint_arm(NULL);
    T_OK(!has(r, 3));
    T_ST_ERR(add_in_group(w, 3), OK, &err);
    T_OK(has(r, 3));
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
}

/* Commits as fast as it goes while the database is killed after a random time. Each commit answered OK is there after
 * recovery, each one answered otherwise is not, unless the outcome could not be learnt. */
TEST_LIMIT(killed_while_committing, 240)
{
    struct pgtest_server server;
    struct sql_options opt = { .connect_ms = 30000 };
    struct sql_db *db;
    struct sql_conn *w, *r;
    bool stored[20000] = { false };
    int64_t id = 0;

    pgtest_start(&server);
    opt.location = server.uri;
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = sqltest_connect(db, SQL_WRITER);
    r = sqltest_connect(db, SQL_READER);
    for (int round = 0; round < 5; round++) {
        long wait_us = 20000 + (long)t_rand_below(150000);
        pid_t killer = fork();
        enum status st = OK;
        int64_t failed = -1;

        if (killer == 0) {
            struct timespec t = { 0, wait_us * 1000 };

            nanosleep(&t, NULL);
            pgtest_kill(&server);
            t.tv_nsec = 200000000;
            nanosleep(&t, NULL);
            pgtest_up(&server);
            _exit(0);
        }
        while (!st && id + 1 < (int64_t)ARRAY_N(stored)) {
            st = add_in_group(w, ++id);
            stored[id] = st == OK;
            if (st && sql_outcome_unknown(w)) failed = id;
            /* the kill may be resolved inside a commit that then succeeds */
            if (waitpid(killer, NULL, WNOHANG) == killer) {
                killer = -1;
                break;
            }
        }
        if (killer > 0) waitpid(killer, NULL, 0);
        for (int64_t i = 1; i <= id; i++) {
            if (i != failed && has(r, i) != stored[i])
                T_FAIL("round %d: commit %ld: answered %d", round, (long)i, stored[i]);
        }
        T_ST_ERR(add_in_group(w, ++id), OK, &err);
        stored[id] = true;
    }
    t_note("%ld commits, 5 kills", (long)id);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
}

TEST_LIMIT(away_and_back, 120)
{
    struct pgtest_server server;
    struct sql_options opt = { .connect_ms = 300 };
    struct sql_db *db;
    struct sql_conn *w, *r;
    struct q_experiment_get_row row;
    struct arena *a = arena_new(1 << 20);
    int64_t start, id;

    pgtest_start(&server);
    opt.location = server.uri;
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = sqltest_connect(db, SQL_WRITER);
    r = sqltest_connect(db, SQL_READER);
    T_ST_ERR(add_in_group(w, 1), OK, &err);
    pgtest_kill(&server);
    start = clock_mono_ms();
    for (id = 2; id < 100000 && add_in_group(w, id) == OK; id++) {
        /* the session may outlive its postmaster for a moment */
    }
    T_INT(err.code, ST_UNAVAILABLE);
    while (q_experiment_get(r, a, 1, &row, &err) == OK && clock_mono_ms() - start < 30000) {
    }
    T_ST(q_experiment_get(r, a, 1, &row, &err), ST_UNAVAILABLE);
    T_ST(add_in_group(w, id), ST_UNAVAILABLE);
    T_ST(q_experiment_get(r, a, 1, &row, &err), ST_UNAVAILABLE);
    T_OK(clock_mono_ms() - start < 30000); /* bounded */
    pgtest_up(&server);
    T_ST_ERR(q_experiment_get(r, a, 1, &row, &err), OK, &err);
    T_ST_ERR(add_in_group(w, id), OK, &err);
    T_OK(has(r, id));
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
    arena_free(a);
}

/* A server that stops answering without closing anything. */
TEST_LIMIT(silent_server, 120)
{
    const char *uri = pgtest_uri();
    struct sql_options opt = { .location = uri, .statement_ms = 500 };
    struct sql_db *db;
    struct sql_conn *r;
    int64_t start;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    r = sqltest_connect(db, SQL_READER);
    start = clock_mono_ms();
    T_ST(sql_script(r, "SELECT pg_sleep(90)", &err), ST_UNAVAILABLE);
    T_OK(clock_mono_ms() - start < 30000);
    T_INT(sqltest_int(r, "SELECT 1"), 1);
    sql_disconnect(r);
    sql_close_db(db);
}

/* Another server may take the database over only after the first session is gone; the first then cannot write. */
TEST(who_loses_the_lock_writes_no_more)
{
    const char *uri = pgtest_uri();
    struct sql_options opt = { .location = uri, .connect_ms = 500 };
    struct sql_db *first, *second;
    struct sql_conn *w;

    T_ST_ERR(sql_open(&first, &opt, &err), OK, &err);
    w = sqltest_connect(first, SQL_WRITER);
    T_ST_ERR(add_in_group(w, 1), OK, &err);
    end_sessions(uri);
    T_ST_ERR(sql_open(&second, &opt, &err), OK, &err);
    T_ST(add_in_group(w, 2), ST_UNAVAILABLE);
    sql_close_db(second);
    T_ST_ERR(add_in_group(w, 2), OK, &err);
    sql_disconnect(w);
    sql_close_db(first);
}

TEST(connecting_fails_with_a_reason)
{
    struct sql_options opt = { .location = "postgresql://nobody@127.0.0.1:1/none",
                               .connect_ms = 200 };
    struct sql_db *db;
    char uri[256];

    T_ST(sql_open(&db, &opt, &err), ST_UNAVAILABLE);
    T_OK(strstr(err.message, "refused") != NULL);
    T_OK(!db);
    snprintf(uri, sizeof(uri), "%s_missing", pgtest_uri());
    opt = (struct sql_options){ .location = uri };
    T_ST(sql_open(&db, &opt, &err), ST_UNAVAILABLE);
    T_OK(strstr(err.message, "does not exist") != NULL);
    opt.location = "postgresql+psycopg2:nothing";
    T_ST(sql_open(&db, &opt, &err), ST_INVALID);
}

TEST(the_address_of_other_clients_is_understood)
{
    const char *uri = pgtest_uri();
    struct sql_options opt = {
        .owner = "a name that is longer than the sixty-three bytes PostgreSQL keeps of it"
    };
    struct sql_db *db;
    char other[256];

    snprintf(other, sizeof(other), "postgresql+psycopg2%s", uri + strlen("postgresql"));
    opt.location = other;
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    T_INT(sql_db_engine(db), SQL_POSTGRES);
    sql_close_db(db);
}

TEST(a_database_in_another_encoding_is_refused)
{
    const char *uri = pgtest_uri();
    struct sql_options opt = { 0 };
    struct sql_db *db;
    char other[256], sql[128];
    const char *name = strrchr(uri, '/') + 1;

    snprintf(
        sql, sizeof(sql),
        "CREATE DATABASE %s_l1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        name);
    pgtest_psql(uri, sql);
    snprintf(other, sizeof(other), "%s_l1", uri);
    opt.location = other;
    T_ST(sql_open(&db, &opt, &err), ST_INVALID_STATE);
    T_OK(strstr(err.message, "LATIN1") != NULL && strstr(err.hint, "UTF8") != NULL);
}

TEST(an_ordinary_role_is_enough)
{
    const char *uri = pgtest_uri();
    const char *host = strchr(uri, '@'), *name = strrchr(uri, '/') + 1;
    struct sql_options opt = { .connect_ms = 5000 };
    struct sql_db *db, *second;
    struct sql_conn *w;
    char sql[200], other[256];

    snprintf(sql, sizeof(sql), "CREATE ROLE %s_role LOGIN", name);
    pgtest_psql(uri, sql);
    snprintf(sql, sizeof(sql), "ALTER DATABASE %s OWNER TO %s_role", name, name);
    pgtest_psql(uri, sql);
    snprintf(other, sizeof(other), "postgresql://%s_role%s", name, host);
    opt.location = other;
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = sqltest_connect(db, SQL_WRITER);
    T_ST_ERR(add_in_group(w, 1), OK, &err);
    T_ST(sql_open(&second, &opt, &err), ST_CONFLICT);
    end_sessions(uri);
    T_ST_ERR(add_in_group(w, 2), OK, &err);
    T_OK(has(w, 1) && has(w, 2));
    sql_disconnect(w);
    sql_close_db(db);
}

/* The session of the writer is still there, for the server, when the writer comes back: it is ended. */
TEST(a_former_session_is_ended)
{
    const char *uri = pgtest_uri();
    struct sql_options opt = { .location = uri, .connect_ms = 5000, .statement_ms = 300 };
    struct sql_db *db;
    struct sql_conn *w;
    char sql[200];
    bool committed;
    long pid;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = sqltest_connect(db, SQL_WRITER);
    T_ST_ERR(add_in_group(w, 1), OK, &err);
    pid = strtol(pgtest_psql(uri,
                             "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database ="
                             " (SELECT oid FROM pg_database WHERE datname = current_database())"),
                 NULL, 10);
    T_OK(pid > 1);
    T_ST_ERR(sql_begin(w, &err), OK, &err);
    T_ST_ERR(add(w, 2), OK, &err);
    if (kill((pid_t)pid, SIGSTOP)) T_SKIP("the server belongs to somebody else");
    /* no answer: the connection is given up, the new one waits for the lock of the old one, and ends it once it runs */
    {
        pid_t later = fork();

        if (later == 0) {
            struct timespec t = { 6, 0 };

            nanosleep(&t, NULL);
            kill((pid_t)pid, SIGCONT);
            _exit(0);
        }
        /* COMMIT lay before the stopped session: it may have been carried out or not, but the answer is right */
        committed = sql_commit(w, &err) == OK;
        T_OK(!sql_outcome_unknown(w));
        waitpid(later, NULL, 0);
    }
    T_OK(has(w, 2) == committed);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %ld", pid);
    T_CSTR(pgtest_psql(uri, sql), "0");
    T_ST_ERR(add_in_group(w, 3), OK, &err);
    sql_disconnect(w);
    sql_close_db(db);
}
