/* store/sql/pg_bell.c - see bell.h. One thread waits for its session and for an inbox, in which lies that somebody wants to ring or that
 * the end has come. The session does not wait for its commits to be on disk: a lost ring is nothing. */
#include "store/sql/bell.h"

#include "base/clock.h"
#include "base/exec.h"
#include "base/inbox.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/sql/pg_int.h"

#include <poll.h>
#include <stdatomic.h>

enum { RING_MS = 5, RETRY_MS = 1000, IDLE_MS = 60000 };

struct sql_bell {
    const struct pg_db *db;
    bool listen;
    void (*rung)(void *ctx);
    void *ctx;
    struct exec_thread *thread;
    struct inbox *inbox;
    struct mpsc_node note;
    _Atomic bool noted; /* the note is in the inbox, or on its way */
    _Atomic bool wanted, stopping, up;
    _Atomic uint64_t rings;
    /* The thread's. */
    PGconn *h;
    int64_t ring_at_ms, retry_ms; /* not before */
    bool complained;
};

/* ---- the session ------------------------------------------------------------------------------------------------------------------- */

static void hang_up(struct sql_bell *b)
{
    atomic_store_explicit(&b->up, false, memory_order_release);
    if (b->h) pq.PQfinish(b->h);
    b->h = NULL;
    b->retry_ms = clock_mono_ms() + RETRY_MS;
}

static bool command(struct sql_bell *b, const char *text)
{
    PGresult *r = pq.PQexec(b->h, text);
    bool good = pq.PQresultStatus(r) == PGRES_COMMAND_OK;

    pq.PQclear(r);
    return good;
}

static void connect_bell(struct sql_bell *b)
{
    const char *keys[] = { "dbname", "application_name", "connect_timeout", "tcp_user_timeout",
                           NULL };
    const char *values[] = { b->db->uri, b->db->app, "5", "10000", NULL };

    b->h = pq.PQconnectdbParams(keys, values, 1);
    if (b->h && pq.PQstatus(b->h) == CONNECTION_OK && command(b, "SET synchronous_commit = off") &&
        (!b->listen || command(b, "LISTEN cairn_log"))) {
        b->complained = false;
        atomic_store_explicit(&b->up, true, memory_order_release);
        if (b->listen) b->rung(b->ctx); /* it may have rung meanwhile */
        return;
    }
    if (!b->complained)
        LOG_WARN("postgres", "no session for the doorbell: looking from time to time has to do");
    b->complained = true;
    hang_up(b);
}

/* What came from the server: rings of others, or the end of the session. */
static void take_notes(struct sql_bell *b)
{
    bool rung = false;
    PGnotify *n;

    if (!pq.PQconsumeInput(b->h)) {
        hang_up(b);
        return;
    }
    while ((n = pq.PQnotifies(b->h)) != NULL) {
        rung = rung || n->be_pid != pq.PQbackendPID(b->h);
        pq.PQfreemem(n);
    }
    if (rung) b->rung(b->ctx);
}

static void ring_now(struct sql_bell *b)
{
    atomic_store_explicit(&b->wanted, false,
                          memory_order_seq_cst); /* before: what is wanted later rings again */
    if (command(b, "NOTIFY cairn_log")) {
        atomic_fetch_add_explicit(&b->rings, 1, memory_order_relaxed);
        b->ring_at_ms = clock_mono_ms() + RING_MS;
        take_notes(b); /* that came with the answer */
    } else {
        hang_up(b);
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------------------------- */

static int64_t wait_for(const struct sql_bell *b, bool wanted, int64_t now)
{
    if (!b->h && (wanted || b->listen)) return MAX_OF(b->retry_ms - now, (int64_t)0);
    if (b->h && wanted) return MAX_OF(b->ring_at_ms - now, (int64_t)0);
    return IDLE_MS;
}

static void wait_a_moment(struct sql_bell *b)
{
    bool wanted = atomic_load_explicit(&b->wanted, memory_order_seq_cst);
    struct pollfd fds[2] = { { .fd = inbox_fd(b->inbox), .events = POLLIN },
                             { .fd = b->h ? pq.PQsocket(b->h) : -1, .events = POLLIN } };
    int64_t ms = wait_for(b, wanted, clock_mono_ms());

    if (poll(fds, 2, (int)ms) < 0) {
        return; /* a signal: again */
    }
    if (b->h && fds[1].revents) take_notes(b);
}

static void bell_run(void *ctx)
{
    struct sql_bell *b = (struct sql_bell *)ctx;

    while (!atomic_load_explicit(&b->stopping, memory_order_acquire)) {
        int64_t now = clock_mono_ms();
        bool wanted;

        if (inbox_take(b->inbox)) atomic_store_explicit(&b->noted, false, memory_order_seq_cst);
        /* After that: who finds the note still there has set what it wants before. */
        wanted = atomic_load_explicit(&b->wanted, memory_order_seq_cst);

        if (!b->h && (wanted || b->listen) && now >= b->retry_ms) connect_bell(b);
        if (b->h && wanted && now >= b->ring_at_ms) ring_now(b);
        wait_a_moment(b);
    }
    if (b->h) pq.PQfinish(b->h);
}

static void wake(struct sql_bell *b)
{
    if (!atomic_exchange_explicit(&b->noted, true, memory_order_seq_cst)) {
        inbox_post(b->inbox, &b->note);
    }
}

void sql_bell_ring(struct sql_bell *b)
{
    if (b && !atomic_exchange_explicit(&b->wanted, true, memory_order_seq_cst)) wake(b);
}

bool sql_bell_is_up(struct sql_bell *b)
{
    return b && atomic_load_explicit(&b->up, memory_order_acquire);
}

uint64_t sql_bell_rings(struct sql_bell *b)
{
    return b ? atomic_load_explicit(&b->rings, memory_order_relaxed) : 0;
}

enum status sql_bell_open(struct sql_bell **out, struct sql_db *db, bool listen,
                          void (*rung)(void *ctx), void *ctx, struct err *err)
{
    struct sql_bell *b;
    enum status st;

    *out = NULL;
    if (sql_db_engine(db) != SQL_POSTGRES) {
        return OK;
    }
    b = (struct sql_bell *)mem_zalloc(1, sizeof(*b));
    if (!b) {
        return err_nomem(err);
    }
    b->db = CONTAINER_OF(db, struct pg_db, base);
    b->listen = listen;
    b->rung = rung;
    b->ctx = ctx;
    st = inbox_new(&b->inbox, err);
    if (!st) st = exec_thread_new(&b->thread, "doorbell", bell_run, b, err);
    if (st) {
        inbox_free(b->inbox);
        mem_free(b);
        return st;
    }
    *out = b;
    return OK;
}

void sql_bell_close(struct sql_bell *b)
{
    if (!b) {
        return;
    }
    atomic_store_explicit(&b->stopping, true, memory_order_release);
    wake(b);
    exec_thread_join(b->thread);
    inbox_free(b->inbox);
    mem_free(b);
}
