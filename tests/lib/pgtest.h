/* tests/lib/pgtest.h - a PostgreSQL for tests.
 * The server is the one that CAIRN_TEST_POSTGRES names (tools/with-postgres), else one that is started for this test
 * program on first use, as an unprivileged user on a loopback port, and stopped when the program ends. Without
 * PostgreSQL 15 the test is skipped, or fails where the variable CI is set. CAIRN_PG_BIN replaces
 * /usr/lib/postgresql/15/bin.
 * Ownership: returned texts live until the test ends. Thread rule: one thread at a time. */
#ifndef CAIRN_TESTS_LIB_PGTEST_H
#define CAIRN_TESTS_LIB_PGTEST_H

/* postgresql://... of a new, empty database. */
const char *pgtest_uri(void);
/* Runs SQL on that database with psql; its unaligned output. */
const char *pgtest_psql(const char *uri, const char *sql);

/* A server of this test alone, which may be killed. */
struct pgtest_server {
    char dir[64];
    char uri[128]; /* of a new, empty database */
};
void pgtest_start(struct pgtest_server *s);
/* kill -9; it stays down until pgtest_up(). */
void pgtest_kill(struct pgtest_server *s);
/* Starts it again and waits until it has recovered and answers. */
void pgtest_up(struct pgtest_server *s);

#endif
