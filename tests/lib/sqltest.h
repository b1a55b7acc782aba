/* tests/lib/sqltest.h - one test for both SQL engines.
 *
 *     SQL_TEST(names_are_unique)
 *     {
 *         struct sql_db *db = sqltest_open(location);
 *         struct sql_conn *w = sqltest_connect(db, SQL_WRITER);
 *         ...
 *     }
 *
 * defines names_are_unique_sqlite and names_are_unique_postgres; `location` is an empty folder or an empty database, for
 * struct sql_options. Link dep_sqltest. */
#ifndef CAIRN_TESTS_LIB_SQLTEST_H
#define CAIRN_TESTS_LIB_SQLTEST_H

#include "pgtest.h"
#include "store/sql/sql.h"
#include "tap.h"

#define SQL_TEST_LIMIT(name, seconds)                                                              \
    static void sqltest_##name(const char *location);                                              \
    TEST_LIMIT(name##_sqlite, seconds)                                                             \
    {                                                                                              \
        sqltest_##name(t_tmpdir());                                                                \
    }                                                                                              \
    TEST_LIMIT(name##_postgres, seconds)                                                           \
    {                                                                                              \
        sqltest_##name(pgtest_uri());                                                              \
    }                                                                                              \
    static void sqltest_##name(const char *location)
#define SQL_TEST(name) SQL_TEST_LIMIT(name, TAP_TIMEOUT_S)

/* Opened with default options, connected: the test fails where that fails. */
struct sql_db *sqltest_open(const char *location);
struct sql_conn *sqltest_connect(struct sql_db *db, enum sql_role role);
/* Runs constant SQL, written for both engines. */
void sqltest_script(struct sql_conn *c, const char *text);
/* The first column of the first row, a number; fails without a row. */
int64_t sqltest_int(struct sql_conn *c, const char *text);
bool sqltest_is_postgres(const char *location);

#endif
