/* store/sql/pg_conn.c - one PostgreSQL connection: connecting, waiting, errors, pipeline. See pg_int.h.
 * No wait is without a bound: connecting by connect_ms, a statement by statement_ms (the server's own timeout comes
 * first, ours covers a server that does not answer any more). */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include "store/sql/pg_int.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

enum {
    ANSWER_SLACK_MS = 5000,   /* after the server should have given up */
    OPEN_LOCK_WAIT_MS = 1500, /* a killed owner's session may need a moment to end */
    SHARED_IDLE_TX_MS = 5000, /* who stands still inside a transaction gives its locks up */
    SHARED_LOCK_MS = 8000,    /* longer than that */
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 1000,
};
/* Advisory lock of one database: "cairn" in ASCII. */
#define OWNER_LOCK        "426836062830"
#define OWNER_LOCK_NUMBER 426836062830

/* ---- errors --------------------------------------------------------------------------------------------------------- */

static void drop_prepared(void *ctx, void *stmt)
{
    (void)ctx;
    mem_free(stmt);
}

void pg_drop(struct pg_conn *c)
{
    if (c->h) pq.PQfinish(c->h);
    c->h = NULL;
    sql_cache_clear(&c->cache, drop_prepared, NULL);
    c->fresh_n = 0;
    c->pending = 0;
    c->pending_bytes = 0;
    c->marked = false;
}

/* First line of what libpq says. */
static struct str first_line(const char *text)
{
    struct str s = str_cstr(text ? text : "");
    size_t end = str_find_byte(s, '\n', 0);

    return end == SIZE_MAX ? s : str_sub(s, 0, end);
}

enum status pg_lost(struct pg_conn *c, const char *what, struct err *err)
{
    LOG_WARN("postgres", "%s: connection lost: %.*s", what,
             STR_ARG(first_line(c->h ? pq.PQerrorMessage(c->h) : "no connection")));
    pg_drop(c);
    return err_set(err, ST_UNAVAILABLE, "the database is not reachable");
}

static bool state_is(const char *state, const char *prefix)
{
    return strncmp(state, prefix, strlen(prefix)) == 0;
}

/* SQLSTATE -> status, first match; what ends the session drops the connection. */
static const struct {
    const char *prefix;
    enum status st;
    bool drop, quiet;
    const char *message;
} states[] = {
    { "23505", ST_EXISTS, false, true, "already exists" },
    { "23P01", ST_EXISTS, false, true, "already exists" },
    { "23", ST_INVALID, false, true, "a value is not allowed here" },
    { "22", ST_INVALID, false, true, "a value cannot be stored" },
    { "54", ST_TOO_BIG, false, true, "a value is too big to be stored" },
    { "53100", ST_UNAVAILABLE, false, false, "no space left for the store" },
    { "53", ST_UNAVAILABLE, false, false, "the database is out of resources" },
    { "40", ST_UNAVAILABLE, false, false, "the store is locked by another operation" },
    { "55P03", ST_UNAVAILABLE, false, true, "the store is locked by another operation" },
    { "57014", ST_UNAVAILABLE, false, false, "the database took too long" },
    { "57", ST_UNAVAILABLE, true, false, "the database is not reachable" },
    { "08", ST_UNAVAILABLE, true, false, "the database is not reachable" },
    { "25P03", ST_UNAVAILABLE, true, false, "the database is not reachable" },
    { "26", ST_UNAVAILABLE, true, false, "the database forgot its prepared statements" },
    { "58", ST_IO, false, false, "the database's disk failed" },
    { "XX001", ST_CORRUPT, false, false, "the store's database is damaged" },
    { "XX002", ST_CORRUPT, false, false, "the store's database is damaged" },
};

enum status pg_error(struct pg_conn *c, const char *what, const PGresult *r, struct err *err)
{
    const char *state = r ? pq.PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    size_t i = 0;

    if (!state) return pg_lost(c, what, err); /* libpq's own errors have none */
    while (i < ARRAY_N(states) && !state_is(state, states[i].prefix)) {
        i++;
    }
    if (i == ARRAY_N(states) || !states[i].quiet)
        LOG_WARN("postgres", "%s: %.*s (%s)", what, STR_ARG(first_line(pq.PQresultErrorMessage(r))),
                 state);
    if (state_is(state, "25006") && c->base.role == SQL_WRITER) {
        /* this server became a standby: the next connection finds the new primary */
        pg_drop(c);
        return err_set(err, ST_UNAVAILABLE, "the database is read-only");
    }
    if (i == ARRAY_N(states)) return err_set(err, ST_INTERNAL, "a statement failed (%s)", state);
    if (states[i].drop) pg_drop(c);
    return err_set(err, states[i].st, "%s", states[i].message);
}

/* ---- waiting and reading ---------------------------------------------------------------------------------------------- */

/* Until an answer can be taken without blocking; sends what is left meanwhile. */
static bool wait_answer(struct pg_conn *c, int64_t deadline_ms)
{
    while (true) {
        int more = pq.PQflush(c->h), n;
        struct pollfd fd = { .fd = pq.PQsocket(c->h), .events = POLLIN };
        int64_t left = deadline_ms - clock_mono_ms();

        if (more < 0) return false;
        if (more == 0 && !pq.PQisBusy(c->h)) return true;
        if (more) fd.events |= POLLOUT;
        if (left <= 0) return false;
        n = poll(&fd, 1, (int)MIN_OF(left, 60000));
        if (n < 0 && errno != EINTR) return false;
        if (n > 0 && !pq.PQconsumeInput(c->h)) return false;
    }
}

/* After the answers are read: what was prepared is there, or may not be. */
static void settle_fresh(struct pg_conn *c, bool good)
{
    for (unsigned i = 0; i < c->fresh_n; i++) {
        c->fresh[i]->sent = good;
    }
    c->fresh_n = 0;
}

enum status pg_sync(struct pg_conn *c, const char *what, PGresult **out, struct err *err)
{
    int64_t deadline = clock_mono_ms() + c->base.db->statement_ms + ANSWER_SLACK_MS;
    PGresult *last = NULL;
    enum status st = OK;
    int nulls = 0;

    if (out) *out = NULL;
    if (!c->h) return err_set(err, ST_UNAVAILABLE, "the database is not reachable");
    if (!pq.PQpipelineSync(c->h)) return pg_lost(c, what, err);
    while (true) {
        PGresult *r;
        ExecStatusType is;

        r = wait_answer(c, deadline) ? pq.PQgetResult(c->h) : NULL;
        if (!r &&
            (pq.PQstatus(c->h) != CONNECTION_OK || clock_mono_ms() >= deadline || ++nulls > 2)) {
            pq.PQclear(last);
            return st ? (pg_drop(c), st) : pg_lost(c, what, err);
        }
        if (!r) continue; /* the end of one statement's answers */
        nulls = 0;
        is = pq.PQresultStatus(r);
        if (is == PGRES_PIPELINE_SYNC) {
            pq.PQclear(r);
            break;
        }
        if (is == PGRES_FATAL_ERROR && !st) {
            st = pg_error(c, what, r, err);
            if (!c->h) { /* the error ended the session */
                pq.PQclear(r);
                pq.PQclear(last);
                return st;
            }
        }
        pq.PQclear(last);
        last = r;
    }
    c->pending = 0;
    c->pending_bytes = 0;
    settle_fresh(c, !st);
    if (st || !out) {
        pq.PQclear(last);
    } else {
        *out = last;
    }
    return st;
}

/* ---- sending ---------------------------------------------------------------------------------------------------------- */

static unsigned param_type(unsigned type)
{
    switch (type & SQL_TYPE_MASK) {
    case SQL_INT: return PG_INT8;
    case SQL_REAL: return PG_FLOAT8;
    case SQL_TEXT: return PG_TEXT;
    case SQL_BLOB: return PG_BYTEA;
    case SQL_INT_LIST: return PG_INT8_ARRAY;
    default: return PG_TEXT_ARRAY;
    }
}

static void put_be32(struct buf *b, uint32_t v)
{
    buf_put_u32(b, __builtin_bswap32(v)); /* buf writes little-endian */
}

/* The binary form of a one-dimensional array. */
static void put_list(struct buf *b, unsigned type, const struct sql_value *v)
{
    const int64_t *ints = v->list;
    const struct str *texts = v->list;

    put_be32(b, v->list_n ? 1 : 0);
    put_be32(b, 0);
    put_be32(b, type == SQL_INT_LIST ? PG_INT8 : PG_TEXT);
    if (!v->list_n) return;
    put_be32(b, (uint32_t)v->list_n);
    put_be32(b, 1);
    for (size_t i = 0; i < v->list_n; i++) {
        if (type == SQL_INT_LIST) {
            put_be32(b, 8);
            buf_put_u64(b, __builtin_bswap64((uint64_t)ints[i]));
        } else {
            put_be32(b, (uint32_t)texts[i].n);
            buf_put_str(b, texts[i]);
        }
    }
}

/* Parameters in libpq's form. Numbers lie in `number`, lists in `list`. */
struct packed {
    const char *values[SQL_IN_MAX];
    int lengths[SQL_IN_MAX];
    int formats[SQL_IN_MAX];
    uint64_t number[SQL_IN_MAX];
    struct buf list;
    size_t bytes;
};

/* SQLite keeps no -0.0. */
static uint64_t real_bits(double d)
{
    return num_double_bits(d == 0 ? 0.0 : d);
}

static enum status pack(struct packed *p, const struct sql_query *q, const struct sql_value *in,
                        struct err *err)
{
    size_t list_at[SQL_IN_MAX] = { 0 };
    enum status st;

    p->bytes = 64;
    for (unsigned i = 0; i < q->in_n; i++) {
        unsigned type = q->in[i] & SQL_TYPE_MASK;
        const struct sql_value *v = &in[i];

        p->formats[i] = 1;
        if ((v->null && (q->in[i] & SQL_MAYBE)) || (type == SQL_REAL && isnan(v->d))) {
            p->values[i] = NULL;
        } else if (type == SQL_INT || type == SQL_REAL) {
            p->number[i] = __builtin_bswap64(type == SQL_INT ? (uint64_t)v->i : real_bits(v->d));
            p->values[i] = (const char *)&p->number[i];
            p->lengths[i] = 8;
        } else if (type == SQL_INT_LIST || type == SQL_TEXT_LIST) {
            list_at[i] = p->list.n;
            put_list(&p->list, type, v);
            p->lengths[i] = (int)(p->list.n - list_at[i]);
        } else {
            if (v->s.n > INT32_MAX / 2)
                return err_set(err, ST_TOO_BIG, "a value is too big to be stored");
            p->values[i] = v->s.p ? v->s.p : "";
            p->lengths[i] = (int)v->s.n;
        }
        p->bytes += (size_t)p->lengths[i] + 8;
    }
    st = buf_status(&p->list, "list of values", err);
    for (unsigned i = 0; !st && i < q->in_n; i++) {
        unsigned type = q->in[i] & SQL_TYPE_MASK;

        if (type == SQL_INT_LIST || type == SQL_TEXT_LIST) p->values[i] = p->list.p + list_at[i];
    }
    return st;
}

static enum status prepared(struct pg_conn *c, const struct sql_query *q, struct pg_prepared **out,
                            struct err *err)
{
    struct pg_prepared *p = sql_cache_find(&c->cache, q);
    Oid types[SQL_IN_MAX];
    char name[24];
    enum status st;

    *out = p;
    if (p && p->sent) return OK;
    if (c->fresh_n == PG_FRESH_MAX) {
        st = pg_sync(c, q->name, NULL, err);
        if (st) return st;
    }
    if (!p) {
        p = mem_zalloc(1, sizeof(*p));
        if (!p) return err_nomem(err);
        st = sql_cache_add(&c->cache, q, p, err);
        if (st) {
            mem_free(p);
            return st;
        }
    }
    p->number =
        ++c->next_number; /* never again the name of one whose preparation may have failed */
    for (unsigned i = 0; i < q->in_n; i++) {
        types[i] = param_type(q->in[i]);
    }
    snprintf(name, sizeof(name), "q%u", p->number);
    if (!pq.PQsendPrepare(c->h, name, q->text[SQL_POSTGRES], q->in_n, types))
        return pg_lost(c, q->name, err);
    p->sent = true;
    c->fresh[c->fresh_n++] = p;
    c->pending++;
    *out = p;
    return OK;
}

enum status pg_send(struct pg_conn *c, const struct sql_query *q, const struct sql_value *in,
                    struct err *err)
{
    struct packed p = { .list = BUF_INIT(PG_LIST_BYTES) };
    struct pg_prepared *prep = NULL;
    Oid types[SQL_IN_MAX];
    char name[24];
    enum status st;
    int ok;

    if (!c->h) return err_set(err, ST_UNAVAILABLE, "the database is not reachable");
    st = pack(&p, q, in, err);
    if (!st && q->cached) st = prepared(c, q, &prep, err);
    if (st) goto out;
    if (prep) {
        snprintf(name, sizeof(name), "q%u", prep->number);
        ok = pq.PQsendQueryPrepared(c->h, name, q->in_n, p.values, p.lengths, p.formats, 1);
    } else {
        for (unsigned i = 0; i < q->in_n; i++) {
            types[i] = param_type(q->in[i]);
        }
        ok = pq.PQsendQueryParams(c->h, q->text[SQL_POSTGRES], q->in_n, types, p.values, p.lengths,
                                  p.formats, 1);
    }
    if (!ok) {
        st = pg_lost(c, q->name, err);
        goto out;
    }
    c->pending++;
    c->pending_bytes += p.bytes;
out:
    buf_release(&p.list);
    return st;
}

enum status pg_send_text(struct pg_conn *c, const char *text, struct err *err)
{
    if (!c->h) return err_set(err, ST_UNAVAILABLE, "the database is not reachable");
    if (!pq.PQsendQueryParams(c->h, text, 0, NULL, NULL, NULL, NULL, 1))
        return pg_lost(c, text, err);
    c->pending++;
    return OK;
}

/* ---- connecting ------------------------------------------------------------------------------------------------------- */

static void on_notice(void *ctx, const char *text)
{
    (void)ctx;
    LOG_DEBUG("postgres", "%.*s", STR_ARG(first_line(text)));
}

static enum status check_server(struct pg_conn *c, struct err *err)
{
    const char *encoding = pq.PQparameterStatus(c->h, "server_encoding");
    int version = pq.PQserverVersion(c->h);

    if (version < PG_VERSION_MIN)
        return err_set(err, ST_INVALID_STATE, "PostgreSQL %d is too old: cairn needs 13 or later",
                       version / 10000);
    if (!encoding || strcmp(encoding, "UTF8") != 0) {
        enum status st =
            err_set(err, ST_INVALID_STATE, "the database's encoding is %s, cairn needs UTF8",
                    encoding ? encoding : "unknown");

        err_hint(err, "create it with: createdb --encoding=UTF8 --template=template0 NAME");
        return st;
    }
    return OK;
}

static enum status set_up(struct pg_conn *c, struct err *err)
{
    const struct sql_db *db = c->base.db;
    bool turns = db->shared && c->base.role == SQL_WRITER;
    PGresult *r;
    char text[640];
    enum status st = check_server(c, err);

    if (st) return st;
    snprintf(
        text, sizeof(text),
        "SET search_path = public; SET statement_timeout = %" PRId64 "; SET lock_timeout = %" PRId64
        "; SET idle_in_transaction_session_timeout = %" PRId64
        "; SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
        "; SET jit = off; SET timezone = 'UTC';"
        "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = %s;%s"
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') IN ('off', 'local')",
        db->statement_ms, turns ? MAX_OF(db->busy_ms, (int64_t)SHARED_LOCK_MS) : db->busy_ms,
        turns ? MIN_OF(db->statement_ms, (int64_t)SHARED_IDLE_TX_MS) : db->statement_ms,
        c->base.role == SQL_READER ? "on" : "off",
        /* the log is looked at for rows behind a number; a plan made while it was short must not read all of it */
        turns ? " SET enable_seqscan = off;" : "");
    r = pq.PQexec(c->h, text);
    if (pq.PQresultStatus(r) != PGRES_TUPLES_OK) st = pg_error(c, "session", r, err);
    pq.PQclear(r);
    if (st) return st;
    if (!pq.PQenterPipelineMode(c->h) || pq.PQsetnonblocking(c->h, 1))
        return pg_lost(c, "session", err);
    return OK;
}

static const unsigned char bool_out[] = { SQL_INT };
static const unsigned char two_ints[] = { SQL_INT, SQL_INT };
static const unsigned char text_out[] = { SQL_TEXT };
static const struct sql_query try_lock = {
    .name = "owner_lock",
    .text = { "", "SELECT pg_try_advisory_lock(" OWNER_LOCK ")" },
    .kind = SQL_ONE,
    .out = bool_out,
    .out_n = 1,
};
/* The same beside others: nobody has it alone, and no other session has our own lock. */
static const struct sql_query try_shared = {
    .name = "shared_lock",
    .text = { "",
              "SELECT pg_try_advisory_lock_shared(" OWNER_LOCK ") AND pg_try_advisory_lock($1)" },
    .kind = SQL_ONE,
    .in = bool_out,
    .in_n = 1,
    .out = bool_out,
    .out_n = 1,
};
static const struct sql_query let_others_in = {
    .name = "share_lock",
    .text = { "", "SELECT pg_try_advisory_lock_shared(" OWNER_LOCK
                  "), pg_advisory_unlock(" OWNER_LOCK "), pg_try_advisory_lock($1)" },
    .kind = SQL_ONE,
    .in = bool_out,
    .in_n = 1,
    .out = bool_out,
    .out_n = 1,
};
#define HELD_LOCK(key)                                                                             \
    "l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"                                     \
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"           \
    " AND ((CAST(CAST(l.classid AS text) AS bigint) << 32)"                                        \
    " | CAST(CAST(l.objid AS text) AS bigint)) = " key
static const struct sql_query lock_holder = {
    .name = "owner_lock_holder",
    .text = { "",
              "SELECT a.application_name || ', process ' || a.pid || coalesce(' from ' || host(a.client_addr), '')"
              " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE " HELD_LOCK(
                  OWNER_LOCK) },
    .kind = SQL_ONE,
    .out = text_out,
    .out_n = 1,
};
/* Our own former session, which the server may keep for long when the network broke. */
static const struct sql_query end_former = {
    .name = "end_former_session",
    .text = { "",
              "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.pid = $1 AND " HELD_LOCK(
                  "$2") },
    .kind = SQL_ONE,
    .in = two_ints,
    .in_n = 2,
    .out = bool_out,
    .out_n = 1,
};

static enum status refuse_second(struct pg_conn *c, struct err *err)
{
    PGresult *r = NULL;
    struct err ignored = ERR_INIT;
    enum status st = pg_send(c, &lock_holder, NULL, &ignored);
    char holder[200] = "unknown";

    if (!st) st = pg_sync(c, lock_holder.name, &r, &ignored);
    if (!st && pq.PQntuples(r) > 0 && !pq.PQgetisnull(r, 0, 0))
        snprintf(holder, sizeof(holder), "%s", pq.PQgetvalue(r, 0, 0));
    pq.PQclear(r);
    pg_drop(c);
    st = err_set(err, ST_CONFLICT, "another cairn server uses this database (%s)", holder);
    err_hint(err, "one server owns a database: use it, or stop it first");
    return st;
}

static enum status try_one(struct pg_conn *c, const struct sql_query *q, const struct sql_value *in,
                           bool *taken, struct err *err)
{
    PGresult *r = NULL;
    enum status st = pg_send(c, q, in, err);

    if (!st) st = pg_sync(c, q->name, &r, err);
    *taken = !st && pq.PQntuples(r) == 1 && pq.PQgetvalue(r, 0, 0)[0];
    pq.PQclear(r);
    return st;
}

/* The session of the writer owns the database: whoever writes holds this lock, or shares it and has one of its own. */
static enum status take_lock(struct pg_conn *c, bool *taken, struct err *err)
{
    const struct pg_db *db = CONTAINER_OF(c->base.db, struct pg_db, base);
    struct sql_value in[2] = { { .i = c->former_pid }, { .i = OWNER_LOCK_NUMBER } };
    struct sql_value own[1] = { { .i = db->key } };
    enum status st = OK;

    *taken = false;
    c->base.beside = false;
    if (!db->base.shared || db->opening) st = try_one(c, &try_lock, NULL, taken, err);
    if (!st && !*taken && db->base.shared) {
        in[1].i = db->key;
        st = try_one(c, &try_shared, own, taken, err);
        c->base.beside = *taken;
    }
    if (*taken) {
        c->former_pid = pq.PQbackendPID(c->h);
    } else if (!st && c->former_pid) {
        st = pg_send(c, &end_former, in, err);
        if (!st) st = pg_sync(c, end_former.name, NULL, err);
    }
    return st;
}

enum status pg_let_others_in(struct pg_conn *c, struct err *err)
{
    struct pg_db *db = CONTAINER_OF(c->base.db, struct pg_db, base);
    struct sql_value own[1] = { { .i = db->key } };
    bool taken = true;
    enum status st = OK;

    if (!c->base.beside && !db->no_lock) st = try_one(c, &let_others_in, own, &taken, err);
    db->opening = false;
    if (!st && !taken) st = err_set(err, ST_INTERNAL, "the lock of the database cannot be shared");
    return st;
}

static void pause_ms(int64_t ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&t, NULL);
}

/* One attempt. *again: worth another one. */
static enum status attempt(struct pg_conn *c, int64_t left_ms, bool *again, struct err *err)
{
    struct pg_db *db = CONTAINER_OF(c->base.db, struct pg_db, base);
    char seconds[16];
    const char *keys[] = { "dbname",           "application_name", "client_encoding",
                           "connect_timeout",  "keepalives_idle",  "keepalives_interval",
                           "keepalives_count", "tcp_user_timeout", NULL };
    const char *values[] = { db->uri, db->app, "UTF8", seconds, "30", "10", "3", "30000", NULL };
    enum status st;

    snprintf(seconds, sizeof(seconds), "%d", (int)MAX_OF(2, (left_ms + 999) / 1000));
    *again = false;
    c->h = pq.PQconnectdbParams(keys, values, 1);
    if (!c->h) return err_nomem(err);
    if (pq.PQstatus(c->h) == CONNECTION_OK) {
        pq.PQsetNoticeProcessor(c->h, on_notice, NULL);
        st = set_up(c, err);
        if (st) pg_drop(c);
        *again = st == ST_UNAVAILABLE;
        return st;
    }
    /* A server that answers pings refused us: no use in asking again. */
    *again = pq.PQpingParams(keys, values, 1) != PQPING_OK;
    st = err_set(err, ST_UNAVAILABLE, "cannot connect to the database: %.*s",
                 STR_ARG(first_line(pq.PQerrorMessage(c->h))));
    pg_drop(c);
    return st;
}

enum status pg_connect(struct pg_conn *c, int64_t wait_ms, struct err *err)
{
    int64_t lock_ms = c->former_pid ? wait_ms : MIN_OF(wait_ms, OPEN_LOCK_WAIT_MS);
    const struct pg_db *db = CONTAINER_OF(c->base.db, struct pg_db, base);
    int64_t deadline = clock_mono_ms() + wait_ms, lock_deadline = -1, pause = RETRY_MIN_MS;
    bool said = false;
    enum status st;

    while (true) {
        bool again = true, taken = true;
        int64_t now;

        st = c->h ? OK : attempt(c, deadline - clock_mono_ms(), &again, err);
        if (!st && c->base.role == SQL_WRITER && !db->no_lock) {
            st = take_lock(c, &taken, err);
            if (st && c->h) pg_drop(c);
        }
        now = clock_mono_ms();
        if (!st && taken) return OK;
        if (!st && lock_deadline < 0) lock_deadline = now + lock_ms;
        if (!st && now >= lock_deadline) return refuse_second(c, err);
        if (st && (!again || now >= deadline)) return st;
        if (st && db->opening && !said) {
            said = true;
            LOG_WARN("postgres", "%s: trying again for up to %d s",
                     err ? err->message : "no connection", (int)((deadline - now + 999) / 1000));
        }
        pause_ms(
            MIN_OF(pause / 2 + (int64_t)rand_below((uint64_t)pause), MAX_OF(1, deadline - now)));
        pause = MIN_OF(pause * 2, RETRY_MAX_MS);
    }
}

enum status pg_ensure(struct pg_conn *c, struct err *err)
{
    enum status st;

    if (c->h) {
        struct pollfd fd = { .fd = pq.PQsocket(c->h), .events = POLLIN };

        /* A server that went away has said so, or closed the socket. */
        if (poll(&fd, 1, 0) <= 0) return OK;
        if (pq.PQconsumeInput(c->h) && pq.PQstatus(c->h) == CONNECTION_OK && poll(&fd, 1, 0) <= 0)
            return OK;
        IGNORE_STATUS(pg_lost(c, "idle connection", err)); /* we connect again */
    }
    st = pg_connect(c, c->base.db->connect_ms, err);
    if (!st) return OK;
    LOG_WARN("postgres", "%s", err ? err->message : "cannot connect");
    /* Clients are not told where the database is. */
    return st == ST_NOMEM ? st : err_set(err, ST_UNAVAILABLE, "the database is not reachable");
}
