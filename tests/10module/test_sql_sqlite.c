/* tests/10module/test_sql_sqlite.c - what only the embedded engine does: its folder, its log, its file. */
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "sqltest.h"
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

TEST(a_store_of_an_unknown_scheme_is_refused)
{
    struct sql_options opt = { .location = "mysql://host/database" };
    struct sql_db *db;

    T_ST(sql_open(&db, &opt, &err), ST_INVALID);
    T_OK(db == NULL);
    T_OK(strstr(err.message, "mysql://host/database") != NULL);
    T_OK(access("mysql:", F_OK) != 0);
}

TEST(a_full_disk_is_an_answer)
{
    struct sql_options opt = { .location = t_tmpdir(), .max_pages = 200 };
    struct sql_db *db;
    struct sql_conn *w, *r;
    char name[32], big[4000];
    enum status st = OK;
    int64_t n = 0, stored;

    memset(big, 'x', sizeof(big));
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = connect_to(db, SQL_WRITER);
    r = connect_to(db, SQL_READER);
    while (!st && n < 1000) {
        T_ST_ERR(sql_begin(w, &err), OK, &err);
        snprintf(name, sizeof(name), "e%d", (int)++n);
        st = q_experiment_insert(w, n, n, str_cstr(name), str_of(big, sizeof(big)), 5, &err);
        if (!st) {
            st = sql_commit(w, &err);
        } else {
            sql_rollback(w);
        }
    }
    T_ST(st, ST_UNAVAILABLE);
    T_OK(strstr(err.message, "no space") != NULL);
    stored = sqltest_int(r, "SELECT count(*) FROM experiment");
    T_INT(stored, n - 1);
    /* what does not grow still works, and a savepoint is lost alone or with all of its transaction */
    T_ST_ERR(sql_begin(w, &err), OK, &err);
    T_ST_ERR(q_experiment_rename(w, 1, S("short"), 6, &err), OK, &err);
    T_ST_ERR(sql_savepoint(w, &err), OK, &err);
    T_ST(q_experiment_insert(w, n, n, str_cstr(name), str_of(big, sizeof(big)), 5, &err),
         ST_UNAVAILABLE);
    if (sql_rollback_to(w, &err) == OK) {
        T_ST_ERR(sql_commit(w, &err), OK, &err);
        T_INT(sqltest_int(r, "SELECT count(*) FROM experiment WHERE name = 'short'"), 1);
    } else {
        T_OK(sql_commit(w, &err) != OK);
        T_INT(sqltest_int(r, "SELECT count(*) FROM experiment WHERE name = 'short'"), 0);
    }
    T_INT(sqltest_int(r, "SELECT count(*) FROM experiment"), stored);
    T_ST_ERR(sql_verify(r, &err), OK, &err);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
}

TEST(a_backup_is_a_store)
{
    const char *dir = t_tmpdir(), *copy = t_tmpdir();
    struct sql_db *db = open_in(dir);
    struct sql_conn *w = connect_to(db, SQL_WRITER), *r;
    char path[512];

    snprintf(path, sizeof(path), "%s/cairn.db", copy);
    T_ST_ERR(sql_begin(w, &err), OK, &err);
    add_experiment(w, 1, S("one"), OK);
    T_ST_ERR(sql_commit(w, &err), OK, &err);
    T_ST_ERR(sql_begin(w, &err), OK, &err);
    add_experiment(w, 2, S("two"), OK);
    T_ST_ERR(sql_backup(db, path, &err), OK, &err); /* while a transaction is open */
    T_ST_ERR(sql_commit(w, &err), OK, &err);
    T_ST(sql_backup(db, path, &err), ST_EXISTS);
    T_ST(sql_backup(db, "/nonexistent/folder/cairn.db", &err), ST_UNAVAILABLE);
    sql_disconnect(w);
    sql_close_db(db);
    db = open_in(copy);
    r = connect_to(db, SQL_READER);
    T_INT(sqltest_int(r, "SELECT count(*) FROM experiment"), 1);
    T_ST_ERR(sql_check_schema(r, &err), OK, &err);
    T_ST_ERR(sql_verify(r, &err), OK, &err);
    sql_disconnect(r);
    sql_close_db(db);
}

static void write_file(const char *dir, const char *name, const void *p, size_t n)
{
    char path[512];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    T_OK(fd >= 0 && write(fd, p, n) == (ssize_t)n);
    close(fd);
}

static enum status try_open(const char *location)
{
    struct sql_options opt = { .location = location };
    struct sql_db *db;
    enum status st = sql_open(&db, &opt, &err);

    sql_close_db(db);
    return st;
}

TEST(what_is_not_a_store_is_left_alone)
{
    const char *dir = t_tmpdir();
    char path[512], bytes[4096];
    struct sql_options opt = { .location = dir, .schema = SQL_SCHEMA_IGNORE };
    struct sql_db *db;
    struct sql_conn *w;
    struct stat info;

    memset(bytes, 'z', sizeof(bytes));
    write_file(dir, "mlflow.db", bytes, sizeof(bytes));
    snprintf(path, sizeof(path), "%s/mlflow.db", dir);
    T_ST(try_open(path), ST_INVALID_STATE); /* a file where a folder should be */
    T_OK(strstr(err.hint, "folder") != NULL);
    write_file(dir, "cairn.db", bytes, sizeof(bytes));
    T_ST(try_open(dir), ST_CORRUPT); /* not a database */
    snprintf(path, sizeof(path), "%s/cairn.db", dir);
    T_INT(stat(path, &info), 0);
    T_INT(info.st_size, (off_t)sizeof(bytes));
    T_INT(unlink(path), 0);
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = connect_to(db, SQL_WRITER);
    sqltest_script(w, "CREATE TABLE other (a INTEGER); PRAGMA application_id = 7;");
    sql_disconnect(w);
    sql_close_db(db);
    T_ST(try_open(dir), ST_INVALID_STATE); /* a database of another program */
    T_OK(strstr(err.message, "another program") != NULL);
}

TEST(a_damaged_database_is_an_answer)
{
    const char *dir = t_tmpdir();
    struct sql_db *db = open_in(dir);
    struct sql_conn *w = connect_to(db, SQL_WRITER);
    char path[512], junk[4096], name[32];
    struct stat info;
    enum status st;
    int fd;

    T_ST_ERR(sql_begin(w, &err), OK, &err);
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "e%d", i);
        add_experiment(w, i, str_cstr(name), OK);
    }
    T_ST_ERR(sql_commit(w, &err), OK, &err);
    sql_disconnect(w);
    sql_close_db(db);
    snprintf(path, sizeof(path), "%s/cairn.db", dir);
    memset(junk, 0xa5, sizeof(junk));
    fd = open(path, O_WRONLY);
    T_OK(fd >= 0 && fstat(fd, &info) == 0);
    for (off_t at = 40960; at < info.st_size; at += 4096) {
        T_INT(pwrite(fd, junk, sizeof(junk), at), (ssize_t)sizeof(junk));
    }
    close(fd);
    st = try_open(dir);
    if (!st) {
        db = open_in(dir);
        w = connect_to(db, SQL_READER);
        st = sql_verify(w, &err);
        sql_disconnect(w);
        sql_close_db(db);
    }
    T_ST(st, ST_CORRUPT);
}

/* The log grows until it is checkpointed; a reader in the way is no error. */
TEST(checkpoints)
{
    const char *dir = t_tmpdir();
    struct sql_db *db = open_in(dir);
    struct sql_conn *w = connect_to(db, SQL_WRITER), *r = connect_to(db, SQL_READER);
    char name[32], path[512];
    struct stat info;
    int64_t before;

    T_ST_ERR(sql_read_begin(r, &err), OK, &err);
    T_INT(sqltest_int(r, "SELECT count(*) FROM experiment"), 0);
    for (int i = 0; i < 100; i++) {
        T_ST_ERR(sql_begin(w, &err), OK, &err);
        snprintf(name, sizeof(name), "e%d", i);
        add_experiment(w, i, str_cstr(name), OK);
        T_ST_ERR(sql_commit(w, &err), OK, &err);
    }
    before = sql_wal_bytes(w);
    T_OK(before > 100 * 4096);
    T_ST_ERR(sql_checkpoint(w, SQL_CHECKPOINT_TRUNCATE, &err), OK,
             &err); /* the reader holds its snapshot */
    T_OK(sql_wal_bytes(w) > 0);
    T_INT(sqltest_int(r, "SELECT count(*) FROM experiment"), 0);
    sql_read_end(r);
    T_ST_ERR(sql_checkpoint(w, SQL_CHECKPOINT_PASSIVE, &err), OK, &err);
    T_INT(sql_wal_bytes(w), 0);
    T_ST_ERR(sql_checkpoint(w, SQL_CHECKPOINT_TRUNCATE, &err), OK, &err);
    snprintf(path, sizeof(path), "%s/cairn.db-wal", dir);
    T_INT(stat(path, &info), 0);
    T_INT(info.st_size, 0);
    T_INT(sqltest_int(r, "SELECT count(*) FROM experiment"), 100);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
}

TEST(settings)
{
    const char *dir = t_tmpdir();
    struct sql_db *db = open_in(dir);
    struct sql_conn *w = connect_to(db, SQL_WRITER), *r = connect_to(db, SQL_READER);
    struct sql_conn *both[2] = { w, r };

    for (int i = 0; i < 2; i++) {
        T_INT(sqltest_int(both[i], "PRAGMA synchronous"), 2);
        T_INT(sqltest_int(both[i], "PRAGMA foreign_keys"), 1);
        T_INT(sqltest_int(both[i], "PRAGMA trusted_schema"), 0);
        T_INT(sqltest_int(both[i], "PRAGMA secure_delete"), 2);
        T_INT(sqltest_int(both[i], "PRAGMA wal_autocheckpoint"), 0);
        T_INT(sqltest_int(both[i], "PRAGMA cache_size"), i ? -1024 : -16384);
        T_INT(sqltest_int(both[i], "PRAGMA query_only"), i);
    }
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
}

/* A reader holds nothing before its first use and while it rests; what it read before, it reads again after. */
TEST(a_reader_at_rest)
{
    const char *dir = t_tmpdir();
    struct sql_db *db = open_in(dir);
    struct sql_conn *w = connect_to(db, SQL_WRITER), *r;
    struct arena *a = arena_new(1 << 20);
    struct q_experiment_get_row row;
    int64_t before = mem_bytes(), connected, open;
    char *file = arena_cstr(a, arena_printf(a, "%s/cairn.db", dir));

    T_ST_ERR(sql_begin(w, &err), OK, &err);
    add_experiment(w, 7, S("iris"), OK);
    T_ST_ERR(sql_commit(w, &err), OK, &err);
    before = mem_bytes();
    r = connect_to(db, SQL_READER);
    connected = mem_bytes() - before;
    T_OK(connected < 4096);
    T_ST_ERR(q_experiment_get(r, a, 7, &row, &err), OK, &err);
    open = mem_bytes() - before;
    T_OK(open > 40000); /* the schema as SQLite holds it */
    T_ST_ERR(sql_read_begin(r, &err), OK, &err);
    sql_rest(r); /* not inside a transaction */
    T_ST_ERR(q_experiment_get(r, a, 7, &row, &err), OK, &err);
    sql_read_end(r);
    sql_rest(r);
    T_OK(mem_bytes() - before < open / 4);
    sql_rest(r);
    sql_rest(w);
    sql_rest(NULL);
    T_ST_ERR(q_experiment_get(r, a, 7, &row, &err), OK, &err);
    T_STR(row.name, "iris");
    T_INT(sqltest_int(r, "PRAGMA query_only"), 1);
    sql_rest(r);
    T_OK(rename(file, arena_cstr(a, arena_printf(a, "%s.away", file))) == 0);
    T_ST(sql_read_begin(r, &err), ST_UNAVAILABLE);
    T_OK(!sql_in_transaction(r));
    T_ST(q_experiment_get(r, a, 7, &row, &err), ST_UNAVAILABLE);
    T_OK(rename(arena_cstr(a, arena_printf(a, "%s.away", file)), file) == 0);
    T_ST_ERR(q_experiment_get(r, a, 7, &row, &err), OK, &err);
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
    arena_free(a);
}

/* Opening a store with the n-th allocation failing: an error or success, and nothing kept. */
TEST_LIMIT(out_of_memory_while_opening, 120)
{
    const char *dir = t_tmpdir();
    enum status st = ST_NOMEM;
    int64_t n;

    T_ST_ERR(try_open(dir), OK, &err);
    for (n = 1; n < 5000 && st; n++) {
        mem_fail_after(n, true);
        st = try_open(dir);
        mem_fail_never();
        T_OK(st == OK || st == ST_NOMEM || st == ST_UNAVAILABLE);
    }
    T_ST(st, OK);
    t_note("%d allocations failed in turn", (int)n - 2);
    T_ST_ERR(try_open(dir), OK, &err);
}

/* True (and noted) if the statement reads a whole table; what a recursive query found itself is none, nor are rows of a statement. */
static bool scans(struct sql_conn *r, const char *name, const char *statement)
{
    static const unsigned char out[] = { SQL_INT, SQL_INT, SQL_INT, SQL_TEXT };
    static const char *const names[] = { "id", "parent", "unused", "detail" };
    char text[4096];
    struct sql_query plan = {
        .name = "plan", .text = { text }, .out = out, .out_n = 4, .out_names = names
    };
    struct sql_value v[4];
    struct sql_stmt *s;
    bool found = false;

    snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", statement);
    T_ST_ERR(sql_rows(r, &plan, NULL, &s, &err), OK, &err);
    while (sql_next(s, v, &err) == OK) {
        if (str_starts(v[3].s, S("SCAN")) && !str_starts(v[3].s, S("SCAN CONSTANT ROW")) &&
            !str_ends(v[3].s, S("CONSTANT ROWS")) &&
            str_find(v[3].s, S(" VIRTUAL TABLE")) == SIZE_MAX && /* a list: json_each */
            !(strstr(statement, "(VALUES ") && str_eq_lit(v[3].s, "SCAN v")) &&
            !(strstr(statement, "WITH RECURSIVE d(n)") && str_eq_lit(v[3].s, "SCAN d"))) {
            t_note("%s: %.*s", name, STR_ARG(v[3].s));
            found = true;
        }
    }
    sql_close(s);
    return found;
}

/* Every query finds its rows by an index. Those that read a whole table on purpose say so in their name. */
TEST(no_query_scans_a_table)
{
    struct sql_db *db = open_in(t_tmpdir());
    struct sql_conn *r = connect_to(db, SQL_READER);
    int bad = 0, looked_at = 0;

    T_OK(scans(r, "known", "SELECT uid FROM node WHERE name = 'x'"));
    for (unsigned i = 0; i < sql_query_areas_n; i++) {
        for (size_t k = 0; k < sql_query_areas[i].n; k++) {
            const struct sql_query *q = sql_query_areas[i].queries[k];
            struct str name = str_cstr(q->name);

            if (str_ends(name, S("_all")) || str_starts(name, S("check_"))) continue;
            bad += scans(r, q->name, q->text[SQL_SQLITE]);
            looked_at++;
        }
    }
    T_INT(bad, 0);
    T_OK(looked_at > 50);
    sql_disconnect(r);
    sql_close_db(db);
}
