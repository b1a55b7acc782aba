/* tests/30conformance/test_sql_engines.c - SQLite and PostgreSQL behave alike: values, transactions, errors. */
#include "base/exec.h"
#include "base/mem.h"
#include "base/num.h"
#include "gen/sql/queries.h"
#include "sqltest.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

static struct err err = ERR_INIT;

/* Queries of this file: both texts from one, `?`/`$` written by hand. */
#define QUERY(NAME, SQLITE, POSTGRES, KIND, IN, OUT)                                               \
    static const unsigned char NAME##_in[] = IN, NAME##_out[] = OUT;                               \
    static const char *const NAME##_names[] = { "c1", "c2", "c3", "c4", "c5" };                    \
    static const struct sql_query NAME = { .name = #NAME,                                          \
                                           .text = { SQLITE, POSTGRES },                           \
                                           .kind = KIND,                                           \
                                           .in = NAME##_in,                                        \
                                           .in_n = sizeof(NAME##_in) - 1,                          \
                                           .out = NAME##_out,                                      \
                                           .out_n = sizeof(NAME##_out) - 1,                        \
                                           .out_names = NAME##_names,                              \
                                           .cached = true }
#define TYPES(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }
#define NO_TYPES                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }
#define COLUMNS "SELECT i, d, s, b FROM vals WHERE id = "

QUERY(put, "INSERT INTO vals (id, i, d, s, b) VALUES (?1, ?2, ?3, ?4, ?5)",
      "INSERT INTO vals (id, i, d, s, b) VALUES ($1, $2, $3, $4, $5)", SQL_EXEC,
      TYPES(SQL_INT, SQL_INT | SQL_MAYBE, SQL_REAL | SQL_MAYBE, SQL_TEXT | SQL_MAYBE,
            SQL_BLOB | SQL_MAYBE),
      NO_TYPES);
QUERY(get, COLUMNS "?1", COLUMNS "$1", SQL_ONE, TYPES(SQL_INT),
      TYPES(SQL_INT | SQL_MAYBE, SQL_REAL | SQL_MAYBE, SQL_TEXT | SQL_MAYBE, SQL_BLOB | SQL_MAYBE));
QUERY(get_strict, COLUMNS "?1", COLUMNS "$1", SQL_ONE, TYPES(SQL_INT),
      TYPES(SQL_INT, SQL_REAL, SQL_TEXT, SQL_BLOB));
QUERY(in_ints, "SELECT count(*) FROM vals WHERE i IN (SELECT value FROM json_each(?1))",
      "SELECT count(*) FROM vals WHERE i = ANY ($1)", SQL_ONE, TYPES(SQL_INT_LIST), TYPES(SQL_INT));
QUERY(in_texts, "SELECT count(*) FROM vals WHERE s IN (SELECT value FROM json_each(?1))",
      "SELECT count(*) FROM vals WHERE s = ANY ($1)", SQL_ONE, TYPES(SQL_TEXT_LIST),
      TYPES(SQL_INT));
QUERY(not_null, "INSERT INTO experiment_tag (exp, key, value) VALUES (1, 'k', ?1)",
      "INSERT INTO experiment_tag (exp, key, value) VALUES (1, 'k', $1)", SQL_EXEC,
      TYPES(SQL_TEXT | SQL_MAYBE), NO_TYPES);

struct setup {
    struct sql_db *db;
    struct sql_conn *w, *r;
    struct arena *a;
};

static struct setup set_up(const char *location)
{
    struct setup s;

    s.db = sqltest_open(location);
    s.w = sqltest_connect(s.db, SQL_WRITER);
    s.r = sqltest_connect(s.db, SQL_READER);
    s.a = arena_new(64 << 20);
    sqltest_script(
        s.w,
        sqltest_is_postgres(location)
            ? "CREATE TABLE vals (id bigint PRIMARY KEY, i bigint, d double precision, s text COLLATE \"C\", b bytea);"
            : "CREATE TABLE vals (id INTEGER PRIMARY KEY, i INTEGER, d REAL, s TEXT, b BLOB) STRICT;");
    return s;
}

static void tear_down(struct setup *s)
{
    sql_disconnect(s->r);
    sql_disconnect(s->w);
    sql_close_db(s->db);
    arena_free(s->a);
}

static enum status put_row(struct sql_conn *c, int64_t id, int64_t i, double d, struct str t,
                           struct str b)
{
    struct sql_value in[5] = {
        { .i = id }, { .i = i }, { .d = d }, { .null = !t.p, .s = t }, { .null = !b.p, .s = b }
    };

    return sql_exec(c, &put, in, NULL, &err);
}

static enum status add(struct sql_conn *c, int64_t id, struct str name)
{
    return q_experiment_insert(c, id, 1000 + id, name, S("file:/a"), 5, &err);
}

static int64_t count(struct sql_conn *c)
{
    return sqltest_int(c, "SELECT count(*) FROM experiment");
}

static void begin(struct sql_conn *c)
{
    T_ST_ERR(sql_begin(c, &err), OK, &err);
}

SQL_TEST(every_query_prepares)
{
    struct setup s = set_up(location);

    for (unsigned i = 0; i < sql_query_areas_n; i++) {
        for (size_t k = 0; k < sql_query_areas[i].n; k++) {
            T_ST_ERR(sql_prepare_check(s.w, sql_query_areas[i].queries[k], &err), OK, &err);
        }
    }
    T_ST_ERR(sql_prepare_check(s.w, &get, &err), OK, &err);
    tear_down(&s);
}

SQL_TEST(a_query_that_is_declared_wrong_is_found)
{
    struct setup s = set_up(location);
    struct sql_query q = get;

    q.out_n = 3;
    T_ST(sql_prepare_check(s.w, &q, &err), ST_INTERNAL);
    q = get;
    q.text[SQL_SQLITE] = q.text[SQL_POSTGRES] = "SELECT nothing FROM vals";
    T_ST(sql_prepare_check(s.w, &q, &err), ST_INTERNAL);
    T_ST_ERR(sql_prepare_check(s.w, &get, &err), OK, &err);
    tear_down(&s);
}

SQL_TEST(values_come_back_as_they_were)
{
    static const int64_t ints[] = { 0, -1, INT64_MAX, INT64_MIN, 1LL << 53, (1LL << 53) + 1 };
    static const double doubles[] = { 0.0, -0.0, 0.1, 1e308, 5e-324, -1.5, HUGE_VAL, -HUGE_VAL };
    static const struct str texts[] = { S_INIT(""), S_INIT("a"), S_INIT("\xc3\xa9\xf0\x9f\x8f\x94"),
                                        S_INIT("' OR 1=1; --\n") };
    static const struct str blobs[] = { S_INIT(""), S_INIT("\0\xff\0"), S_INIT("x") };
    struct setup s = set_up(location);
    struct sql_value out[4];

    for (size_t i = 0; i < ARRAY_N(doubles); i++) {
        struct sql_value id[1] = { { .i = (int64_t)i } };

        T_ST_ERR(put_row(s.w, (int64_t)i, ints[i % 6], doubles[i], texts[i % 4], blobs[i % 3]), OK,
                 &err);
        T_ST_ERR(sql_one(s.r, &get, id, s.a, out, &err), OK, &err);
        T_INT(out[0].i, ints[i % 6]);
        T_DBL_BITS(out[1].d, doubles[i] == 0 ? 0.0 : doubles[i]);
        T_STR_EQ(out[2].s, texts[i % 4]);
        T_STR_EQ(out[3].s, blobs[i % 3]);
        T_OK(out[2].s.p && out[3].s.p && !out[0].null);
    }
    tear_down(&s);
}

SQL_TEST(null_and_nan)
{
    struct setup s = set_up(location);
    struct sql_value in[5] = {
        { .i = 1 }, { .null = true }, { .d = (double)NAN }, { .null = true }, { .null = true }
    };
    struct sql_value id[1] = { { .i = 1 } }, out[4];

    T_ST_ERR(sql_exec(s.w, &put, in, NULL, &err), OK, &err);
    T_ST_ERR(sql_one(s.r, &get, id, s.a, out, &err), OK, &err);
    for (int i = 0; i < 4; i++) {
        T_OK(out[i].null && !out[i].s.p);
    }
    T_ST(sql_one(s.r, &get_strict, id, s.a, out, &err), ST_CORRUPT);
    tear_down(&s);
}

SQL_TEST(large_blob)
{
    struct setup s = set_up(location);
    size_t n = 5 << 20;
    char *p = mem_alloc(n);
    struct sql_value id[1] = { { .i = 1 } }, out[4];

    for (size_t i = 0; i < n; i++) {
        p[i] = (char)t_rand();
    }
    begin(s.w);
    T_ST_ERR(put_row(s.w, 1, 1, 1, S("x"), str_of(p, n)), OK, &err);
    T_ST_ERR(put_row(s.w, 2, 1, 1, S("x"), str_of(p, n - 1)), OK, &err);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_ST_ERR(sql_one(s.r, &get, id, s.a, out, &err), OK, &err);
    T_UINT(out[3].s.n, n);
    T_MEM(out[3].s.p, p, n);
    mem_free(p);
    tear_down(&s);
}

SQL_TEST(lists)
{
    static const int64_t ints[] = { 1, -5, INT64_MAX, 77 };
    static const struct str texts[] = { S_INIT("a\"b"), S_INIT("back\\slash"),
                                        S_INIT("new\nline\x01"), S_INIT(""), S_INIT("\xc3\xa9") };
    struct setup s = set_up(location);
    struct sql_value in[1], out[1];

    for (int i = 0; i < 5; i++) {
        T_ST_ERR(put_row(s.w, i, i < 4 ? ints[i] : 5, 0, texts[i], S("")), OK, &err);
    }
    for (size_t n = 0; n <= 3; n++) {
        in[0] = (struct sql_value){ .list = ints, .list_n = n };
        T_ST_ERR(sql_one(s.r, &in_ints, in, NULL, out, &err), OK, &err);
        T_INT(out[0].i, (int64_t)n);
    }
    for (size_t n = 0; n <= 5; n++) {
        in[0] = (struct sql_value){ .list = texts, .list_n = n };
        T_ST_ERR(sql_one(s.r, &in_texts, in, NULL, out, &err), OK, &err);
        T_INT(out[0].i, (int64_t)n);
    }
    tear_down(&s);
}

SQL_TEST(text_with_a_nul_byte_is_refused)
{
    struct setup s = set_up(location);
    struct str bad = S("a\0b");
    struct sql_value in[1] = { { .list = &bad, .list_n = 1 } }, out[1];

    T_ST(put_row(s.w, 1, 1, 1, bad, S("")), ST_INVALID);
    T_ST(sql_one(s.w, &in_texts, in, NULL, out, &err), ST_INVALID);
    T_ST_ERR(put_row(s.w, 1, 1, 1, S("x"), bad), OK, &err);
    tear_down(&s);
}

SQL_TEST(text_is_ordered_by_bytes)
{
    struct setup s = set_up(location);
    struct sql_stmt *st;
    struct q_experiment_tags_row row;
    static const char *const want[] = { "A", "B", "_", "a", "b", "\xc3\xa9" };

    for (size_t i = ARRAY_N(want); i-- > 0;) {
        T_ST_ERR(q_experiment_tag_set(s.w, 1, str_cstr(want[i]), S(""), &err), OK, &err);
    }
    T_ST_ERR(q_experiment_tags_open(s.r, &st, 1, &err), OK, &err);
    for (size_t i = 0; i < ARRAY_N(want); i++) {
        T_ST_ERR(q_experiment_tags_next(st, &row, &err), OK, &err);
        T_STR_EQ(row.key, str_cstr(want[i]));
    }
    T_ST(q_experiment_tags_next(st, &row, &err), ST_END);
    T_ST(q_experiment_tags_next(st, &row, &err), ST_END);
    sql_close(st);
    tear_down(&s);
}

SQL_TEST(constraints)
{
    struct setup s = set_up(location);
    struct sql_value in[1] = { { .null = true } };

    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    T_ST(add(s.w, 1, S("two")), ST_EXISTS);
    T_ST(add(s.w, 2, S("one")), ST_EXISTS);
    T_CSTR(err.message, "already exists");
    T_ST(sql_exec(s.w, &not_null, in, NULL, &err), ST_INVALID);
    T_OK(!strstr(err.message, "experiment_tag") && !strstr(err.message, "INSERT"));
    T_INT(count(s.r), 1);
    tear_down(&s);
}

SQL_TEST(rows_changed_and_returned)
{
    struct setup s = set_up(location);
    struct q_counter_next_row next;
    struct q_experiment_get_row row;
    int64_t n = -1;

    begin(s.w);
    T_ST_ERR(q_experiment_tag_set(s.w, 1, S("k"), S("v"), &err), OK, &err);
    T_ST_ERR(q_experiment_tag_delete(s.w, 1, S("k"), &n, &err), OK, &err);
    T_INT(n, 1);
    T_ST_ERR(q_experiment_tag_delete(s.w, 1, S("k"), &n, &err), OK, &err);
    T_INT(n, 0);
    for (int i = 1; i <= 3; i++) {
        T_ST_ERR(q_counter_next(s.w, s.a, S("c"), &next, &err), OK, &err);
        T_INT(next.value, i);
    }
    T_ST(q_experiment_get(s.w, s.a, 9, &row, &err), ST_NOT_FOUND);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_INT(sqltest_int(s.r, "SELECT value FROM counter WHERE name = 'c'"), 3);
    tear_down(&s);
}

SQL_TEST(rollback_undoes)
{
    struct setup s = set_up(location);

    begin(s.w);
    T_OK(sql_in_transaction(s.w));
    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    sql_rollback(s.w);
    T_OK(!sql_in_transaction(s.w));
    T_INT(count(s.r), 0);
    T_ST(sql_commit(s.w, &err), ST_INTERNAL);
    begin(s.w);
    T_ST(sql_begin(s.w, &err), ST_INTERNAL);
    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_INT(count(s.r), 1);
    tear_down(&s);
}

SQL_TEST(a_failed_transaction_does_nothing_more)
{
    struct setup s = set_up(location);
    int64_t n;

    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    begin(s.w);
    T_ST_ERR(add(s.w, 2, S("two")), OK, &err);
    IGNORE_STATUS(add(s.w, 1, S("again"))); /* reported here, or by the next call that waits */
    T_OK(q_experiment_tag_delete(s.w, 1, S("k"), &n, &err) != OK);
    T_ST(add(s.w, 3, S("three")), ST_INVALID_STATE);
    T_ST(sql_savepoint(s.w, &err), ST_INVALID_STATE);
    T_OK(sql_commit(s.w, &err) != OK);
    T_OK(!sql_outcome_unknown(s.w));
    T_INT(count(s.r), 1);
    begin(s.w);
    T_ST_ERR(add(s.w, 3, S("three")), OK, &err);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_INT(count(s.r), 2);
    tear_down(&s);
}

SQL_TEST(an_error_comes_at_commit_at_the_latest)
{
    struct setup s = set_up(location);
    enum status st;

    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    begin(s.w);
    st = add(s.w, 1, S("again"));
    if (!st) {
        st = sql_commit(s.w, &err);
    } else {
        sql_rollback(s.w);
    }
    T_ST(st, ST_EXISTS);
    T_OK(!sql_outcome_unknown(s.w));
    T_INT(count(s.r), 1);
    tear_down(&s);
}

SQL_TEST(savepoints)
{
    struct setup s = set_up(location);
    enum status st;

    begin(s.w);
    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    T_ST_ERR(sql_savepoint(s.w, &err), OK, &err);
    T_ST_ERR(add(s.w, 2, S("two")), OK, &err);
    T_ST_ERR(sql_release(s.w, &err), OK, &err);
    /* fails: its own rows go, the others stay */
    T_ST_ERR(sql_savepoint(s.w, &err), OK, &err);
    T_ST_ERR(add(s.w, 3, S("three")), OK, &err);
    st = add(s.w, 4, S("one"));
    if (!st) st = sql_release(s.w, &err);
    T_ST(st, ST_EXISTS);
    T_ST(add(s.w, 5, S("five")), ST_INVALID_STATE);
    T_ST_ERR(sql_rollback_to(s.w, &err), OK, &err);
    /* undone without an error, with statements in flight */
    T_ST_ERR(sql_savepoint(s.w, &err), OK, &err);
    T_ST_ERR(add(s.w, 6, S("six")), OK, &err);
    T_ST_ERR(sql_rollback_to(s.w, &err), OK, &err);
    /* undone with an error in flight */
    T_ST_ERR(sql_savepoint(s.w, &err), OK, &err);
    IGNORE_STATUS(add(s.w, 1, S("seven")));
    T_ST_ERR(sql_rollback_to(s.w, &err), OK, &err);
    T_ST_ERR(add(s.w, 8, S("eight")), OK, &err);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_INT(count(s.r), 3);
    T_INT(sqltest_int(s.r,
                      "SELECT sum(id) FROM (SELECT CAST(id AS integer) AS id FROM experiment) t"),
          11);
    tear_down(&s);
}

SQL_TEST(nested_savepoints)
{
    struct setup s = set_up(location);

    begin(s.w);
    for (int i = 0; i < SQL_SAVEPOINT_MAX; i++) {
        char name[16];

        T_ST_ERR(sql_savepoint(s.w, &err), OK, &err);
        snprintf(name, sizeof(name), "n%d", i);
        T_ST_ERR(add(s.w, i, str_cstr(name)), OK, &err);
    }
    T_ST(sql_savepoint(s.w, &err), ST_INTERNAL);
    T_ST_ERR(sql_rollback_to(s.w, &err), OK, &err);
    T_ST_ERR(sql_rollback_to(s.w, &err), OK, &err);
    for (int i = 0; i < SQL_SAVEPOINT_MAX - 2; i++) {
        T_ST_ERR(sql_release(s.w, &err), OK, &err);
    }
    T_ST(sql_release(s.w, &err), ST_INTERNAL);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_INT(count(s.r), SQL_SAVEPOINT_MAX - 2);
    tear_down(&s);
}

SQL_TEST(many_statements_in_one_transaction)
{
    struct setup s = set_up(location);
    enum status st = OK;

    begin(s.w);
    for (int i = 0; i < 2000 && !st; i++) {
        char name[16];

        snprintf(name, sizeof(name), "n%d", i);
        st = add(s.w, i, str_cstr(name));
    }
    T_ST_ERR(st, OK, &err);
    T_ST_ERR(sql_commit(s.w, &err), OK, &err);
    T_INT(count(s.r), 2000);
    tear_down(&s);
}

SQL_TEST(a_snapshot_does_not_move)
{
    struct setup s = set_up(location);

    T_ST_ERR(sql_read_begin(s.r, &err), OK, &err);
    T_INT(count(s.r), 0);
    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    T_INT(count(s.r), 0);
    sql_read_end(s.r);
    T_INT(count(s.r), 1);
    tear_down(&s);
}

SQL_TEST(a_reader_cannot_write)
{
    struct setup s = set_up(location);

    T_ST(sql_begin(s.r, &err), ST_INTERNAL);
    T_ST(add(s.r, 1, S("one")), ST_INTERNAL);
    T_INT(count(s.r), 0);
    tear_down(&s);
}

SQL_TEST(statements_inside_a_statement)
{
    struct setup s = set_up(location);
    struct sql_stmt *outer, *inner;
    struct q_experiment_all_row e, again;
    int rows = 0, inner_rows = 0;
    char name[16];

    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        T_ST_ERR(add(s.w, i, str_cstr(name)), OK, &err);
    }
    T_ST_ERR(q_experiment_all_open(s.r, &outer, &err), OK, &err);
    while (q_experiment_all_next(outer, &e, &err) == OK) {
        T_INT(e.id, rows);
        rows++;
        T_ST_ERR(q_experiment_all_open(s.r, &inner, &err), OK, &err);
        while (q_experiment_all_next(inner, &again, &err) == OK) {
            inner_rows++;
            if (inner_rows % 3 == 0) break; /* closed before its end */
        }
        sql_close(inner);
        T_ST_ERR(q_experiment_tag_set(s.w, e.id, S("k"), e.name, &err), OK, &err);
    }
    sql_close(outer);
    T_INT(rows, 5);
    T_OK(inner_rows > 5);
    tear_down(&s);
}

SQL_TEST(a_writer_is_alone)
{
    struct setup s = set_up(location);
    struct sql_conn *second;

    T_ST(sql_connect(&second, s.db, SQL_WRITER, &err), ST_INVALID_STATE);
    T_OK(!second);
    sql_disconnect(s.w);
    s.w = sqltest_connect(s.db, SQL_WRITER);
    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    tear_down(&s);
}

SQL_TEST(upkeep)
{
    struct setup s = set_up(location);
    struct str version;
    int64_t size = 0;

    T_ST_ERR(sql_verify(s.r, &err), OK, &err);
    T_ST_ERR(sql_version_text(s.r, s.a, &version, &err), OK, &err);
    T_OK(str_starts(version, S("SQLite 3.")) || str_starts(version, S("PostgreSQL ")));
    T_ST_ERR(sql_size_bytes(s.r, &size, &err), OK, &err);
    T_OK(size > 4096);
    T_ST_ERR(sql_checkpoint(s.w, SQL_CHECKPOINT_PASSIVE, &err), OK, &err);
    T_ST_ERR(sql_checkpoint(s.w, SQL_CHECKPOINT_TRUNCATE, &err), OK, &err);
    T_INT(sql_wal_bytes(s.w), 0);
    T_ST(sql_checkpoint(s.r, SQL_CHECKPOINT_PASSIVE, &err), ST_INTERNAL);
    T_CSTR(sql_engine_name(sql_db_engine(s.db)),
           sqltest_is_postgres(location) ? "postgres" : "sqlite");
    tear_down(&s);
}

/* Text that no compression makes shorter. */
static struct str noise(struct arena *a, size_t n)
{
    char *p = arena_alloc(a, n);

    for (size_t i = 0; i < n; i++) {
        p[i] = (char)('0' + t_rand_below(64));
    }
    return str_of(p, n);
}

/* Every text that is part of a key fits into an index of both engines at the longest that the services let through: 4 bytes a
 * character. */
SQL_TEST(the_longest_keys_fit)
{
    struct setup s = set_up(location);

    T_ST_ERR(add(s.w, 1, noise(s.a, 500 * 4)), OK, &err);
    T_ST_ERR(q_experiment_tag_set(s.w, 1, noise(s.a, 250 * 4), noise(s.a, 20000), &err), OK, &err);
    T_ST_ERR(q_ident_insert(s.w, 0, 2, noise(s.a, 20 + 500 * 4 + 36 * 4), 1, &err), OK, &err);
    T_ST_ERR(q_prop_set_text(s.w, 1, 3, noise(s.a, 250 * 4), noise(s.a, 8000 * 4), &err), OK, &err);
    T_ST_ERR(q_model_series_insert(s.w, 1, 1, noise(s.a, 32), noise(s.a, 500 * 4),
                                   noise(s.a, 36 * 4), &err),
             OK, &err);
    T_ST_ERR(q_root_insert(s.w, 1, noise(s.a, 2048 + 64), 1, &err), OK, &err);
    T_ST_ERR(q_artifact_put(s.w, 1, noise(s.a, 1900), noise(s.a, 147), 1, 1, S(""), 5, &err), OK,
             &err);
    if (sqltest_is_postgres(location)) {
        T_ST(q_root_insert(s.w, 2, noise(s.a, 3000), 1, &err), ST_TOO_BIG);
    }
    tear_down(&s);
}

/* Two counters that every transaction changes together; readers in other threads never see them apart. */
struct racer {
    struct exec_job job;
    struct sql_db *db;
    atomic_bool *stop;
    enum status st;
    struct err err;
    int64_t reads, apart;
};

static enum status read_pair(struct sql_conn *r, struct arena *a, struct racer *me)
{
    struct q_experiment_get_row one, two;
    enum status st = sql_read_begin(r, &me->err);

    if (!st) st = q_experiment_get(r, a, 1, &one, &me->err);
    if (!st) st = q_experiment_get(r, a, 2, &two, &me->err);
    sql_read_end(r);
    if (!st && one.update_ms != two.update_ms) me->apart++;
    me->reads++;
    arena_reset(a);
    return st;
}

static void race(struct exec_job *job, unsigned worker)
{
    struct racer *me = CONTAINER_OF(job, struct racer, job);
    struct arena *a = arena_new(1 << 20);
    struct sql_conn *r = NULL;

    (void)worker;
    me->st = sql_connect(&r, me->db, SQL_READER, &me->err);
    while (!me->st && !atomic_load(me->stop)) {
        me->st = read_pair(r, a, me);
    }
    sql_disconnect(r);
    arena_free(a);
}

SQL_TEST(readers_beside_the_writer)
{
    enum { THREADS = 3, ROUNDS = 200 };
    struct setup s = set_up(location);
    struct racer racers[THREADS];
    struct exec_pool *pool;
    atomic_bool stop = false;

    T_ST_ERR(add(s.w, 1, S("one")), OK, &err);
    T_ST_ERR(add(s.w, 2, S("two")), OK, &err);
    T_ST_ERR(exec_pool_new(&pool, "readers", THREADS, THREADS, &err), OK, &err);
    for (int i = 0; i < THREADS; i++) {
        racers[i] = (struct racer){ .job.run = race, .db = s.db, .stop = &stop };
        T_ST(exec_pool_submit(pool, &racers[i].job), OK);
    }
    for (int i = 0; i < ROUNDS; i++) {
        begin(s.w);
        T_ST_ERR(q_experiment_rename(s.w, 1, S("one"), 100 + i, &err), OK, &err);
        T_ST_ERR(q_experiment_rename(s.w, 2, S("two"), 100 + i, &err), OK, &err);
        T_ST_ERR(sql_commit(s.w, &err), OK, &err);
        if (i % 50 == 0) T_ST_ERR(sql_checkpoint(s.w, SQL_CHECKPOINT_PASSIVE, &err), OK, &err);
    }
    atomic_store(&stop, true);
    exec_pool_free(pool);
    for (int i = 0; i < THREADS; i++) {
        T_ST_ERR(racers[i].st, OK, &racers[i].err);
        T_INT(racers[i].apart, 0);
        T_OK(racers[i].reads > 0);
    }
    tear_down(&s);
}

/* Everything once, with the n-th allocation failing: an error or success, never a crash or half a transaction. */
static enum status exercise(struct sql_db *db, struct arena *a, int64_t id)
{
    static const int64_t ints[] = { 1, 2, 3 };
    struct sql_conn *w = NULL, *r = NULL;
    struct sql_stmt *rows = NULL;
    struct sql_value in[1] = { { .list = ints, .list_n = 3 } }, out[1];
    struct q_experiment_get_row row;
    struct q_experiment_all_row each;
    char name[32];
    enum status st;

    snprintf(name, sizeof(name), "e%d", (int)id);
    st = sql_connect(&w, db, SQL_WRITER, &err);
    if (!st) st = sql_connect(&r, db, SQL_READER, &err);
    if (!st) st = sql_begin(w, &err);
    if (!st) st = add(w, id, str_cstr(name));
    if (!st) st = sql_savepoint(w, &err);
    if (!st) st = q_experiment_tag_set(w, id, S("k"), S("v"), &err);
    if (!st) st = sql_release(w, &err);
    if (!st) st = sql_commit(w, &err);
    if (!st) st = q_experiment_get(r, a, id, &row, &err);
    if (!st) st = sql_one(r, &in_ints, in, NULL, out, &err);
    if (!st) st = q_experiment_all_open(r, &rows, &err);
    while (!st) {
        st = q_experiment_all_next(rows, &each, &err);
    }
    sql_close(rows);
    sql_disconnect(r);
    sql_disconnect(w);
    return st;
}

SQL_TEST_LIMIT(out_of_memory_anywhere, 120)
{
    struct setup s = set_up(location);
    int64_t stored = 0, n;
    enum status st = ST_NOMEM;

    sql_disconnect(s.w);
    for (n = 1; n < 5000 && st != ST_END; n++) {
        char text[128];

        mem_fail_after(n, true);
        st = exercise(s.db, s.a, n);
        mem_fail_never();
        T_OK(st == ST_NOMEM || st == ST_END || st == ST_UNAVAILABLE);
        snprintf(text, sizeof(text), "SELECT count(*) FROM experiment WHERE id = %d", (int)n);
        stored = sqltest_int(s.r, text);
        snprintf(text, sizeof(text), "SELECT count(*) FROM experiment_tag WHERE exp = %d", (int)n);
        T_INT(sqltest_int(s.r, text), stored);
        arena_reset(s.a);
    }
    T_ST(st, ST_END);
    t_note("%d allocations failed in turn", (int)n - 2);
    T_INT(stored, 1);
    s.w = sqltest_connect(s.db, SQL_WRITER);
    T_ST_ERR(sql_verify(s.w, &err), OK, &err);
    tear_down(&s);
}
