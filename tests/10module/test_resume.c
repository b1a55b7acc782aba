/* Uploads that go on later, on both SQL engines: how many are open at once, and how long nobody has to go on with one. The time is the
 * test's. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/clock.h"
#include "core/collect.h"
#include "core/resume.h"
#include "store/seq.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 120000, SIZE = 10, HOUR_MS = 3600 * 1000 };
#define FIRST_MS INT64_C(1800000000000)

static _Atomic int64_t now_ms = FIRST_MS; /* relaxed: nothing is published through it */

static int64_t test_wall(void *ctx)
{
    (void)ctx;
    return atomic_load_explicit(&now_ms, memory_order_relaxed);
}

static int64_t test_mono(void *ctx)
{
    struct timespec t;

    (void)ctx;
    T_INT(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pass(int64_t ms)
{
    atomic_fetch_add_explicit(&now_ms, ms, memory_order_relaxed);
}

/* The clock is the test's before there is another thread, and stays so. */
static void begin(struct corefix *f, const char *location)
{
    static const struct clock_ops ops = { test_wall, test_mono, NULL };
    static bool is_replaced;

    if (!is_replaced) {
        clock_replace(&ops);
        is_replaced = true;
    }
    corefix_open(f, location, NULL);
}

static enum status create(struct corefix *f, const char *mark, struct resume_create *c)
{
    resume_create_init(c, f->a);
    c->place = (struct artifact_place){ .root_uri = S("mlflow-artifacts:/"), .path = S("big") };
    c->size = SIZE;
    c->mark = str_cstr(mark);
    return corefix_run(f, &c->op);
}

static enum status take(struct corefix *f, struct str id, uint64_t at, struct resume *r)
{
    resume_take_init(r, f->core, f->a, id, at);
    return corefix_run(f, &r->op);
}

/* One request: text goes to the end of what is there. */
static void add(struct corefix *f, struct str id, uint64_t at, struct str text)
{
    struct resume r;
    struct artifact_upload u;

    T_ST_ERR(take(f, id, at, &r), OK, &f->err);
    T_ST_ERR(resume_open(&r, &u, &f->err), OK, &f->err);
    T_ST_ERR(artifact_upload_piece(&u, text, &f->err), OK, &f->err);
    T_ST_ERR(resume_save(&r, &u, &f->err), OK, &f->err);
    T_ST_ERR(corefix_run(f, &r.op), OK, &f->err);
    artifact_upload_abort(&u);
    resume_release(&r);
    T_UINT(r.have, at + text.n);
    T_OK(r.until_ms <= test_wall(NULL) + RESUME_IDLE_MS);
}

static void is_over(struct corefix *f, struct str id, uint64_t at)
{
    struct resume r;

    T_ST(take(f, id, at, &r), ST_NOT_FOUND);
    resume_release(&r);
    err_clear(&f->err);
}

static int64_t rows(struct corefix *f, const char *where)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM resumable WHERE %s", where);
    return sqltest_int(f->v.conn, sql);
}

/* Only when asked. */
static void start_collector(struct corefix *f)
{
    T_ST_ERR(collect_start(f->core, &(struct collect_options){ .every_ms = -1 }, &f->err), OK,
             &f->err);
}

static void collect(struct corefix *f)
{
    T_OK(collect_wait(f->core->collector, collect_ask(f->core->collector), WAIT_MS));
}

static bool is_kept(struct corefix *f, const char *id)
{
    char path[600];

    (void)snprintf(path, sizeof(path), "%s/partial/%s", f->blobs, id);
    return access(path, F_OK) == 0;
}

/* Not even one that somebody goes on with. */
static void none_lives_longer_than_a_week(struct corefix *f)
{
    struct resume_create c;
    uint64_t at = 0;

    T_ST_ERR(create(f, "", &c), OK, &f->err);
    for (int64_t lived = 0; lived < RESUME_LIFE_MS; lived += 20 * HOUR_MS) {
        add(f, str_cstr(c.id), at, S("x"));
        at++;
        pass(20 * HOUR_MS);
    }
    is_over(f, str_cstr(c.id), at);
    collect(f);
    T_OK(!is_kept(f, c.id));
    T_INT(rows(f, "id <> ''"), 0);
}

SQL_TEST(nobody_goes_on_with_it)
{
    struct corefix f;
    struct resume_create c, again;

    begin(&f, location);
    start_collector(&f);
    T_ST_ERR(create(&f, "mark", &c), OK, &f.err);
    T_INT(c.until_ms, test_wall(NULL) + RESUME_IDLE_MS);
    add(&f, str_cstr(c.id), 0, S("01"));
    pass(RESUME_IDLE_MS - 1);
    add(&f, str_cstr(c.id), 2, S("234")); /* in time: it has another day */
    pass(RESUME_IDLE_MS - 1);
    T_ST_ERR(create(&f, "mark", &again), OK, &f.err);
    T_CSTR(again.id, c.id);
    T_UINT(again.have, 5);
    T_OK(is_kept(&f, c.id));
    pass(1);
    is_over(&f, str_cstr(c.id), 5);
    T_ST_ERR(create(&f, "mark", &again), OK, &f.err); /* another one, from the beginning */
    T_OK(strcmp(again.id, c.id) != 0);
    T_UINT(again.have, 0);
    add(&f, str_cstr(again.id), 0, S("0"));
    collect(&f);
    T_OK(!is_kept(&f, c.id));
    T_OK(is_kept(&f, again.id));
    T_INT(rows(&f, "id <> ''"), 1);
    none_lives_longer_than_a_week(&f);
    corefix_close(&f);
}

SQL_TEST(so_many_are_open_at_once)
{
    struct corefix f;
    struct resume_create first, last, c;
    struct resume_cancel cancel;
    char sql[800];

    begin(&f, location);
    T_ST_ERR(create(&f, "first", &first), OK, &f.err);
    (void)snprintf(
        sql, sizeof(sql),
        "INSERT INTO resumable (id, state, token, mark, root_uri, owner, path, size, have, "
        "create_ms, until_ms) WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE "
        "n < %d) SELECT '0000000000000000000000000' || CAST(1000000 + n AS text), 1, '', '', '', "
        "0, 'p', 10, 0, %" PRId64 ", %" PRId64 " FROM i",
        RESUME_MAX - 2, test_wall(NULL), test_wall(NULL) + RESUME_IDLE_MS);
    corefix_script(&f, sql);
    T_ST_ERR(create(&f, "last", &last), OK, &f.err);
    T_INT(rows(&f, "state = 1"), RESUME_MAX);
    T_ST(create(&f, "more", &c), ST_UNAVAILABLE);
    T_OK(strstr(f.err.message, "1000 uploads are open") != NULL);
    err_clear(&f.err);
    T_ST_ERR(create(&f, "first", &c), OK, &f.err); /* those that are open go on */
    T_CSTR(c.id, first.id);
    resume_cancel_init(&cancel, f.a, str_cstr(first.id));
    T_ST_ERR(corefix_run(&f, &cancel.op), OK, &f.err);
    T_ST_ERR(create(&f, "more", &c), OK, &f.err);
    T_INT(rows(&f, "state = 1"), RESUME_MAX);
    corefix_close(&f);
}
