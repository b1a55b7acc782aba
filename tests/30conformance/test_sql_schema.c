/* tests/30conformance/test_sql_schema.c - creating, upgrading and refusing a store, on both engines. */
#include "gen/sql/queries.h"
#include "sqltest.h"
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct err err = ERR_INIT;

static enum status try_open(const char *location, enum sql_schema_mode mode)
{
    struct sql_options opt = { .location = location, .schema = mode };
    struct sql_db *db;
    enum status st = sql_open(&db, &opt, &err);

    T_OK((st == OK) == (db != NULL));
    sql_close_db(db);
    return st;
}

/* Runs SQL in the store without looking at its schema. */
static void change(const char *location, const char *text)
{
    struct sql_options opt = { .location = location, .schema = SQL_SCHEMA_IGNORE };
    struct sql_db *db;
    struct sql_conn *c;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    c = sqltest_connect(db, SQL_WRITER);
    sqltest_script(c, text);
    sql_disconnect(c);
    sql_close_db(db);
}

static int64_t ask(const char *location, const char *text)
{
    struct sql_options opt = { .location = location, .schema = SQL_SCHEMA_IGNORE };
    struct sql_db *db;
    struct sql_conn *c;
    int64_t n;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    c = sqltest_connect(db, SQL_READER);
    n = sqltest_int(c, text);
    sql_disconnect(c);
    sql_close_db(db);
    return n;
}

SQL_TEST(a_store_is_created_once)
{
    struct sql_db *db;
    struct sql_conn *c;
    int64_t version;

    T_ST(try_open(location, SQL_SCHEMA_CHECK), ST_INVALID_STATE);
    T_ST_ERR(try_open(location, SQL_SCHEMA_MIGRATE), OK, &err);
    T_ST_ERR(try_open(location, SQL_SCHEMA_MIGRATE), OK, &err);
    T_ST_ERR(try_open(location, SQL_SCHEMA_CHECK), OK, &err);
    db = sqltest_open(location);
    c = sqltest_connect(db, SQL_READER);
    T_ST_ERR(sql_schema_version(c, &version, &err), OK, &err);
    T_INT(version, sql_schema_newest());
    T_ST_ERR(sql_check_schema(c, &err), OK, &err);
    T_INT(sqltest_int(c, "SELECT count(*) FROM schema_version"), (int64_t)sql_migrations_n);
    sql_disconnect(c);
    sql_close_db(db);
}

SQL_TEST(a_newer_store_is_refused)
{
    T_ST_ERR(try_open(location, SQL_SCHEMA_MIGRATE), OK, &err);
    change(location,
           "INSERT INTO schema_version (version, name, applied_ms) VALUES (99999, 'later', 0);");
    T_ST(try_open(location, SQL_SCHEMA_MIGRATE), ST_INVALID_STATE);
    T_OK(strstr(err.message, "99999") != NULL);
    T_OK(strstr(err.hint, "cairn") != NULL);
    T_ST(try_open(location, SQL_SCHEMA_CHECK), ST_INVALID_STATE);
    change(location, "DELETE FROM schema_version WHERE version = 99999;");
    T_ST_ERR(try_open(location, SQL_SCHEMA_CHECK), OK, &err);
}

SQL_TEST(the_schema_of_mlflow_is_refused_and_left_alone)
{
    change(location,
           "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);"
           "INSERT INTO alembic_version VALUES ('abc');"
           "CREATE TABLE experiments (experiment_id INTEGER NOT NULL, name VARCHAR(256) NOT NULL);"
           "INSERT INTO experiments VALUES (0, 'Default');");
    T_ST(try_open(location, SQL_SCHEMA_MIGRATE), ST_INVALID_STATE);
    T_OK(strstr(err.message, "MLflow") != NULL);
    T_OK(err.hint[0] != '\0');
    T_ST(try_open(location, SQL_SCHEMA_CHECK), ST_INVALID_STATE);
    T_OK(strstr(err.message, "MLflow") != NULL);
    T_INT(ask(location, "SELECT count(*) FROM experiments"), 1);
    T_INT(ask(location, sqltest_is_postgres(location)
                            ? "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
                            : "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"),
          2);
}

SQL_TEST(a_migration_that_fails_leaves_nothing)
{
    change(location, "CREATE TABLE node (mine INTEGER);");
    T_OK(try_open(location, SQL_SCHEMA_MIGRATE) != OK);
    T_OK(strstr(err.message, "first") != NULL);
    T_INT(ask(location, sqltest_is_postgres(location)
                            ? "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
                            : "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"),
          1);
}

/* Several processes start on an empty store at the same moment; without the lock of the owner, so that they meet in the
 * migration itself. */
SQL_TEST_LIMIT(parallel_starts, 120)
{
    enum { PROCESSES = 6 };
    pid_t pids[PROCESSES];
    int go[2];

    T_OK(pipe(go) == 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct sql_options opt = { .location = location, .no_lock = true, .busy_ms = 30000 };
            struct sql_db *db;
            char byte;

            close(go[1]);
            if (read(go[0], &byte, 1) != 0) _exit(2);
            if (sql_open(&db, &opt, &err)) {
                fprintf(stderr, "%s\n", err.message);
                _exit(1);
            }
            sql_close_db(db);
            _exit(0);
        }
    }
    close(go[0]);
    close(go[1]); /* go */
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;

        T_INT(waitpid(pids[i], &status, 0), pids[i]);
        T_INT(status, 0);
    }
    T_ST_ERR(try_open(location, SQL_SCHEMA_CHECK), OK, &err);
    T_INT(ask(location, "SELECT count(*) FROM schema_version"), (int64_t)sql_migrations_n);
    T_INT(ask(location, "SELECT count(*) FROM ns"), 1);
}

SQL_TEST(a_second_server_is_refused)
{
    struct sql_options opt = { .location = location, .owner = "http://127.0.0.1:5757" };
    struct sql_db *db, *second;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    T_ST(sql_open(&second, &opt, &err), ST_CONFLICT);
    T_OK(strstr(err.message, "http://127.0.0.1:5757") != NULL);
    T_OK(strstr(err.message, "another cairn") != NULL);
    T_OK(err.hint[0] != '\0');
    sql_close_db(db);
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    sql_close_db(db);
}
