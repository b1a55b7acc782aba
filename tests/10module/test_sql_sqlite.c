/* tests/10module/test_sql_sqlite.c - what only the embedded engine does: its folder, its log, its file. */
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct err err = ERR_INIT;

static struct sql_db *open_in(const char *dir)
{
    struct sql_options opt = { .location = dir };
    struct sql_db *db;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    return db;
}

static struct sql_conn *connect_to(struct sql_db *db, enum sql_role role)
{
    struct sql_conn *c;

    T_ST_ERR(sql_connect(&c, db, role, &err), OK, &err);
    return c;
}

static void add_experiment(struct sql_conn *c, int64_t id, struct str name, enum status want)
{
    T_ST_ERR(q_experiment_insert(c, id, 1000 + id, name, S("file:/a"), 5, &err), want, &err);
}

TEST(store_is_created_and_read_back)
{
    const char *dir = t_tmpdir();
    struct sql_db *db = open_in(dir);
    struct sql_conn *w = connect_to(db, SQL_WRITER), *r = connect_to(db, SQL_READER);
    struct arena *a = arena_new(1 << 20);
    struct q_experiment_get_row row;

    T_ST_ERR(sql_begin(w, &err), OK, &err);
    add_experiment(w, 7, S("iris"), OK);
    T_ST(q_experiment_get(r, a, 7, &row, &err), ST_NOT_FOUND);
    T_ST_ERR(sql_commit(w, &err), OK, &err);
    T_ST_ERR(q_experiment_get(r, a, 7, &row, &err), OK, &err);
    T_STR(row.name, "iris");
    T_INT(row.uid, 1007);
    T_OK(sql_wal_bytes(w) > 0);
    T_ST_ERR(sql_checkpoint(w, SQL_CHECKPOINT_TRUNCATE, &err), OK, &err);
    T_INT(sql_wal_bytes(w), 0);
    T_ST_ERR(sql_verify(r, &err), OK, &err);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
    db = open_in(dir);
    r = connect_to(db, SQL_READER);
    T_ST_ERR(q_experiment_get(r, a, 7, &row, &err), OK, &err);
    T_STR(row.artifact_location, "file:/a");
    sql_disconnect(r);
    sql_close_db(db);
    arena_free(a);
}

TEST(second_owner_is_refused)
{
    struct sql_options opt = { .location = t_tmpdir(), .owner = "http://127.0.0.1:5757" };
    struct sql_db *db, *second;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    T_ST(sql_open(&second, &opt, &err), ST_CONFLICT);
    T_OK(second == NULL);
    T_OK(strstr(err.message, "http://127.0.0.1:5757") != NULL);
    sql_close_db(db);
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    sql_close_db(db);
}
