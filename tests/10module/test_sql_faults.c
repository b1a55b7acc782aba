/* tests/10module/test_sql_faults.c - SQLite's system calls fail one after the other: writes, syncs, truncations.
 * What was acknowledged is there after each failure and after the store is opened again; what was not is all or nothing,
 * and the connection goes on. fsync() and fdatasync() of this program stand before the C library's. */
#include "gen/sql/queries.h"
#include "sqltest.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct err err = ERR_INIT;
static int64_t calls, fail_at; /* fail_at 0: never */
static int fail_errno, syncs;
static bool fail_once;

static bool fails(void)
{
    calls++;
    if (fail_at == 0 || calls < fail_at || (fail_once && calls > fail_at)) return false;
    errno = fail_errno;
    return true;
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    syncs++;
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    syncs++;
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

static ssize_t pwrite_or_fail(int fd, const void *p, size_t n, off_t at)
{
    if (fails()) return -1;
    return pwrite(fd, p, n, at);
}

static ssize_t write_or_fail(int fd, const void *p, size_t n)
{
    if (fails()) return -1;
    return write(fd, p, n);
}

static int ftruncate_or_fail(int fd, off_t n)
{
    return fails() ? -1 : ftruncate(fd, n);
}

static void replace(const char *name, sqlite3_syscall_ptr fn)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

    T_INT(vfs->xSetSystemCall(vfs, name, fn), SQLITE_OK);
}

static void arm(int64_t at, int errnum, bool once)
{
    calls = 0;
    fail_at = at;
    fail_errno = errnum;
    fail_once = once;
}

static enum status add(struct sql_conn *w, int64_t id)
{
    char name[32], place[3000];
    enum status st;

    memset(place, 'p', sizeof(place));
    snprintf(name, sizeof(name), "e%ld", (long)id);
    st = sql_begin(w, &err);
    if (st) return st;
    st = q_experiment_insert(w, id, id, str_cstr(name), str_of(place, sizeof(place)), 5, &err);
    if (!st) st = q_experiment_tag_set(w, id, S("k"), S("v"), &err);
    if (!st) return sql_commit(w, &err);
    sql_rollback(w);
    return st;
}

static bool has(struct sql_conn *c, int64_t id)
{
    char text[160];
    int64_t rows, tags;

    snprintf(text, sizeof(text), "SELECT count(*) FROM experiment WHERE id = %ld", (long)id);
    rows = sqltest_int(c, text);
    snprintf(text, sizeof(text), "SELECT count(*) FROM experiment_tag WHERE exp = %ld", (long)id);
    tags = sqltest_int(c, text);
    T_INT(tags, rows); /* never half of it */
    return rows == 1;
}

/* One round: open, two commits and two checkpoints with the n-th call failing; then everything is compared. False when
 * nothing failed any more. */
static bool round_of(const char *dir, int64_t n, int errnum, bool once)
{
    struct sql_options opt = { .location = dir };
    struct sql_db *db;
    struct sql_conn *w = NULL, *r;
    bool stored[2] = { false, false };
    enum status st, first = OK;

    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = sqltest_connect(db, SQL_WRITER);
    arm(n, errnum, once);
    for (int i = 0; i < 2; i++) {
        st = add(w, 2 * n + i);
        stored[i] = st == OK;
        if (st && !first) first = st;
        st = sql_checkpoint(w, i ? SQL_CHECKPOINT_TRUNCATE : SQL_CHECKPOINT_PASSIVE, &err);
        if (st && !first) first = st;
    }
    sql_disconnect(w);
    sql_close_db(db);
    db = NULL;
    st = sql_open(&db, &opt, &err);
    if (st && !first) first = st;
    sql_close_db(db);
    arm(0, 0, false);
    if (first)
        T_OK(first == (errnum == ENOSPC ? ST_UNAVAILABLE : ST_IO) || first == ST_UNAVAILABLE ||
             first == ST_IO);
    db = sqltest_open(dir);
    w = sqltest_connect(db, SQL_WRITER);
    r = sqltest_connect(db, SQL_READER);
    T_ST_ERR(sql_verify(r, &err), OK, &err);
    for (int i = 0; i < 2; i++) {
        bool there = has(r, 2 * n + i);

        if (stored[i] && !there) T_FAIL("call %ld: an acknowledged commit is lost", (long)n);
    }
    T_ST_ERR(add(w, 1000000 + n), OK, &err);
    T_OK(has(r, 1000000 + n));
    sql_disconnect(r);
    sql_disconnect(w);
    sql_close_db(db);
    return first != OK;
}

static void sweep(int errnum, bool once)
{
    const char *dir = t_tmpdir();
    int64_t n = 1, quiet = 0;
    struct sql_db *db = sqltest_open(dir); /* starts the library */

    sql_close_db(db);
    replace("pwrite", (sqlite3_syscall_ptr)pwrite_or_fail);
    replace("pwrite64", (sqlite3_syscall_ptr)pwrite_or_fail);
    replace("write", (sqlite3_syscall_ptr)write_or_fail);
    replace("ftruncate", (sqlite3_syscall_ptr)ftruncate_or_fail);
    /* failures in a close are not reported: a few rounds without an error are not the end */
    for (; n < 300 && quiet < 15; n++) {
        quiet = round_of(dir, n, errnum, once) ? 0 : quiet + 1;
    }
    t_note("%ld calls failed in turn", (long)(n - quiet));
    T_OK(n - quiet > 5);
}

TEST_LIMIT(each_call_fails_once, 120)
{
    sweep(EIO, true);
}

TEST_LIMIT(the_disk_fails_for_good, 120)
{
    sweep(EIO, false);
}

TEST_LIMIT(the_disk_is_full, 120)
{
    sweep(ENOSPC, false);
}

TEST(each_commit_is_one_sync)
{
    struct sql_db *db = sqltest_open(t_tmpdir());
    struct sql_conn *w = sqltest_connect(db, SQL_WRITER);

    T_ST_ERR(add(w, 1), OK, &err); /* the first one also syncs the header of the log */
    for (int i = 2; i < 10; i++) {
        syncs = 0;
        T_ST_ERR(add(w, i), OK, &err);
        T_INT(syncs, 1);
    }
    sql_disconnect(w);
    sql_close_db(db);
}

/* The simulator's way in: a VFS of its own, no lock, no file touched beside it. */
TEST(a_vfs_of_ones_own)
{
    static sqlite3_vfs mine;
    const char *dir = t_tmpdir();
    struct sql_options opt = { .location = dir, .vfs = "mine", .no_lock = true };
    struct sql_db *db;
    struct sql_conn *w;
    char path[512];

    T_OK(sql_open(&db, &opt, &err) != OK); /* not registered yet */
    mine = *sqlite3_vfs_find(NULL);
    mine.zName = "mine";
    mine.pNext = NULL;
    T_INT(sqlite3_vfs_register(&mine, 0), SQLITE_OK);
    T_ST_ERR(sql_open(&db, &opt, &err), OK, &err);
    w = sqltest_connect(db, SQL_WRITER);
    T_ST_ERR(add(w, 1), OK, &err);
    sql_disconnect(w);
    sql_close_db(db);
    snprintf(path, sizeof(path), "%s/lock", dir);
    T_INT(access(path, F_OK), -1);
    T_INT(sqlite3_vfs_unregister(&mine), SQLITE_OK);
}
