/* store/sql/postgres.c - the PostgreSQL engine: the slots of struct sql_ops over pg_conn.c.
 *
 * The writer's session holds an advisory lock of the database, so whoever commits owns the store; after a lost
 * connection the new session gets that lock only when the old one has ended. Where servers share the database they
 * share that lock, and each has one of its own in the same way. Every commit also writes a number of its
 * own into its row of commit_mark: when the connection breaks during COMMIT, the new session reads the mark and knows the outcome
 * exactly, also after a crash or a failover of the database (where transaction ids may be given out again). */
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "store/sql/pg_int.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

/* Keeps parallel migrations apart; beside the owner's lock. */
#define MIGRATE_LOCK "SELECT pg_advisory_xact_lock(426836062831)"

struct pg_stmt {
    struct sql_stmt base;
    PGresult *r;
    int row, n;
};

static struct pg_conn *conn_of(struct sql_conn *c)
{
    return CONTAINER_OF(c, struct pg_conn, base);
}

/* ---- queries of our own ---------------------------------------------------------------------------------------------- */

static const unsigned char int_type[] = { SQL_INT };
static const unsigned char two_ints[] = { SQL_INT, SQL_INT };
static const unsigned char text_type[] = { SQL_TEXT };
static const struct sql_query mark_set = {
    .name = "commit_mark_set",
    .text = { "", "UPDATE commit_mark SET mark = $1 WHERE id = $2" },
    .kind = SQL_EXEC,
    .in = two_ints,
    .in_n = 2,
    .cached = true,
};
/* The rows of processes that are gone go with it: each live one holds the lock of its number. */
static const struct sql_query mark_clean = {
    .name = "commit_mark_clean",
    .text = { "",
              "DELETE FROM commit_mark WHERE id NOT IN (0, $1) AND id NOT IN"
              " (SELECT (CAST(CAST(classid AS text) AS bigint) << 32) | CAST(CAST(objid AS text) AS bigint)"
              " FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1)" },
    .kind = SQL_EXEC,
    .in = int_type,
    .in_n = 1,
};
static const struct sql_query mark_make = {
    .name = "commit_mark_make",
    .text = { "", "INSERT INTO commit_mark (id, mark) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING" },
    .kind = SQL_EXEC,
    .in = int_type,
    .in_n = 1,
};
static const struct sql_query mark_get = {
    .name = "commit_mark_get",
    .text = { "", "SELECT coalesce(max(mark), -1) FROM commit_mark WHERE id = $1" },
    .kind = SQL_ONE,
    .in = int_type,
    .in_n = 1,
    .out = int_type,
    .out_n = 1,
};
static const struct sql_query table_query = {
    .name = "table_exists",
    .text = { "",
              "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public' AND tablename = $1" },
    .kind = SQL_ONE,
    .in = text_type,
    .in_n = 1,
    .out = int_type,
    .out_n = 1,
};
static const struct sql_query size_query = {
    .name = "database_size",
    .text = { "", "SELECT pg_database_size(current_database())" },
    .kind = SQL_ONE,
    .out = int_type,
    .out_n = 1,
};

/* ---- columns ---------------------------------------------------------------------------------------------------------- */

static uint64_t be(const char *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++) {
        v = v << 8 | (unsigned char)p[i];
    }
    return v;
}

static bool type_fits(unsigned declared, Oid type)
{
    switch (declared & SQL_TYPE_MASK) {
    case SQL_INT:
        return type == PG_INT8 || type == PG_INT4 || type == PG_INT2 || type == PG_BOOL ||
               type == PG_OID;
    case SQL_REAL: return type == PG_FLOAT8;
    case SQL_TEXT: return type == PG_TEXT || type == PG_VARCHAR || type == PG_NAME;
    default: return type == PG_BYTEA;
    }
}

static int64_t read_int(const char *p, Oid type)
{
    switch (type) {
    case PG_INT8: return (int64_t)be(p, 8);
    case PG_INT4: return (int32_t)be(p, 4);
    case PG_INT2: return (int16_t)be(p, 2);
    case PG_OID: return (int64_t)be(p, 4);
    default: return p[0] != 0;
    }
}

static enum status read_row(const PGresult *r, int row, const struct sql_query *q,
                            struct sql_value *out, struct err *err)
{
    for (int i = 0; i < q->out_n; i++) {
        const char *p = pq.PQgetvalue(r, row, i);
        Oid type = pq.PQftype(r, i);

        out[i] = (struct sql_value){ .null = pq.PQgetisnull(r, row, i) };
        if (out[i].null) {
            if (!(q->out[i] & SQL_MAYBE)) return sql_null_column(q, (unsigned)i, err);
        } else if (!type_fits(q->out[i], type)) {
            return err_set(err, ST_INTERNAL, "%s: column %d has another type than declared",
                           q->name, i + 1);
        } else if ((q->out[i] & SQL_TYPE_MASK) == SQL_INT) {
            out[i].i = read_int(p, type);
        } else if ((q->out[i] & SQL_TYPE_MASK) == SQL_REAL) {
            uint64_t bits = be(p, 8);

            memcpy(&out[i].d, &bits, sizeof(bits));
        } else {
            out[i].s = str_of(p, (size_t)pq.PQgetlength(r, row, i));
        }
    }
    return OK;
}

/* ---- statements ------------------------------------------------------------------------------------------------------- */

/* Sends one query and reads everything up to its answer. A read outside a transaction is repeated once on a new
 * connection: it changes nothing. */
static enum status ask(struct pg_conn *c, const struct sql_query *q, const struct sql_value *in,
                       PGresult **out, struct err *err)
{
    bool again = !c->base.tx && c->base.role == SQL_READER;
    enum status st;

    *out = NULL;
    if (!c->base.tx) {
        st = pg_ensure(c, err);
        if (st) return st;
    }
    st = pg_send(c, q, in, err);
    if (!st) st = pg_sync(c, q->name, out, err);
    if (st != ST_UNAVAILABLE || c->h || !again) return st;
    st = pg_ensure(c, err);
    if (!st) st = pg_send(c, q, in, err);
    return st ? st : pg_sync(c, q->name, out, err);
}

static enum status pg_exec(struct sql_conn *base, const struct sql_query *q,
                           const struct sql_value *in, int64_t *changed, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    PGresult *r = NULL;
    enum status st;

    if (base->tx && base->tx != TX_READ && !changed) {
        st = pg_send(c, q, in, err);
        if (st || (c->pending < PG_PENDING_MAX && c->pending_bytes < PG_PENDING_BYTES)) return st;
        return pg_sync(c, q->name, NULL, err);
    }
    st = ask(c, q, in, &r, err);
    if (!st && changed) {
        int64_t n = 0;

        for (const char *p = pq.PQcmdTuples(r); *p >= '0' && *p <= '9'; p++) {
            n = n * 10 + (*p - '0');
        }
        *changed = n;
    }
    pq.PQclear(r);
    return st;
}

static enum status pg_rows(struct sql_conn *base, const struct sql_query *q,
                           const struct sql_value *in, bool brief, struct sql_stmt **out,
                           struct err *err)
{
    struct pg_stmt *s = mem_zalloc(1, sizeof(*s));
    enum status st;

    (void)brief; /* parameters are copied when they are sent */
    *out = NULL;
    if (!s) return err_nomem(err);
    s->base = (struct sql_stmt){ base, q };
    st = ask(conn_of(base), q, in, &s->r, err);
    if (!st && pq.PQnfields(s->r) != q->out_n)
        st = err_set(err, ST_INTERNAL, "%s: has %d columns, declares %d", q->name,
                     pq.PQnfields(s->r), q->out_n);
    if (st) {
        pq.PQclear(s->r);
        mem_free(s);
        return st;
    }
    s->n = pq.PQntuples(s->r);
    *out = &s->base;
    return OK;
}

static enum status pg_next(struct sql_stmt *base, struct sql_value *out, struct err *err)
{
    struct pg_stmt *s = CONTAINER_OF(base, struct pg_stmt, base);

    if (s->row >= s->n) return ST_END;
    return read_row(s->r, s->row++, base->q, out, err);
}

static void pg_close(struct sql_stmt *base)
{
    struct pg_stmt *s = CONTAINER_OF(base, struct pg_stmt, base);

    pq.PQclear(s->r);
    mem_free(s);
}

/* One integer of a query of our own. */
static enum status ask_int(struct pg_conn *c, const struct sql_query *q, const struct sql_value *in,
                           int64_t *out, struct err *err)
{
    PGresult *r = NULL;
    struct sql_value v[1];
    enum status st = ask(c, q, in, &r, err);

    if (!st && pq.PQntuples(r) != 1) st = err_set(err, ST_CORRUPT, "%s: no answer", q->name);
    if (!st) st = read_row(r, 0, q, v, err);
    if (!st) *out = v[0].i;
    pq.PQclear(r);
    return st;
}

static enum status compare(const struct sql_query *q, const PGresult *r, struct err *err)
{
    if (pq.PQnparams(r) != q->in_n)
        return err_set(err, ST_INTERNAL, "%s: takes %d parameters, declares %d", q->name,
                       pq.PQnparams(r), q->in_n);
    if (pq.PQnfields(r) != q->out_n)
        return err_set(err, ST_INTERNAL, "%s: has %d columns, declares %d", q->name,
                       pq.PQnfields(r), q->out_n);
    for (int i = 0; i < q->out_n; i++) {
        if (!type_fits(q->out[i], pq.PQftype(r, i)))
            return err_set(err, ST_INTERNAL, "%s: column %s has type %u on PostgreSQL", q->name,
                           q->out_names[i], pq.PQftype(r, i));
    }
    return OK;
}

static enum status pg_prepare_check(struct sql_conn *base, const struct sql_query *q,
                                    struct err *err)
{
    static const Oid oids[] = {
        [SQL_INT] = PG_INT8,   [SQL_REAL] = PG_FLOAT8,         [SQL_TEXT] = PG_TEXT,
        [SQL_BLOB] = PG_BYTEA, [SQL_INT_LIST] = PG_INT8_ARRAY, [SQL_TEXT_LIST] = PG_TEXT_ARRAY
    };
    struct pg_conn *c = conn_of(base);
    Oid types[SQL_IN_MAX];
    PGresult *r = NULL;
    enum status st = pg_ensure(c, err);

    if (st) return st;
    for (unsigned i = 0; i < q->in_n; i++) {
        types[i] = oids[q->in[i] & SQL_TYPE_MASK];
    }
    if (!pq.PQsendPrepare(c->h, "", q->text[SQL_POSTGRES], q->in_n, types) ||
        !pq.PQsendDescribePrepared(c->h, ""))
        return pg_lost(c, q->name, err);
    st = pg_sync(c, q->name, &r, err);
    if (st) {
        err_ctx(err, "%s", q->name);
    } else {
        st = compare(q, r, err);
    }
    pq.PQclear(r);
    return st;
}

/* Several statements at once are for the simple protocol, outside pipeline mode. */
static enum status pg_script(struct sql_conn *base, const char *text, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    ExecStatusType is;
    PGresult *r;
    enum status st = base->tx ? OK : pg_ensure(c, err);

    if (!st) st = pg_sync(c, "script", NULL, err);
    if (st) return st;
    if (!pq.PQexitPipelineMode(c->h) || pq.PQsetnonblocking(c->h, 0))
        return pg_lost(c, "script", err);
    r = pq.PQexec(c->h, text);
    is = pq.PQresultStatus(r);
    if (is != PGRES_COMMAND_OK && is != PGRES_TUPLES_OK && is != PGRES_EMPTY_QUERY)
        st = pg_error(c, "script", r, err);
    pq.PQclear(r);
    if (c->h && (!pq.PQenterPipelineMode(c->h) || pq.PQsetnonblocking(c->h, 1)))
        return pg_lost(c, "script", err);
    return st;
}

static enum status pg_table_exists(struct sql_conn *base, const char *name, bool *out,
                                   struct err *err)
{
    struct sql_value in[1] = { { .s = str_cstr(name) } };
    int64_t n = 0;
    enum status st = ask_int(conn_of(base), &table_query, in, &n, err);

    *out = n > 0;
    return st;
}

/* ---- transactions ------------------------------------------------------------------------------------------------------- */

/* Whose row of commit_mark is ours: 0 when no other process writes. */
static int64_t mark_id(const struct pg_conn *c)
{
    return c->base.db->shared ? CONTAINER_OF(c->base.db, struct pg_db, base)->key : 0;
}

static enum status pg_begin(struct sql_conn *base, enum sql_tx tx, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    struct sql_value own[1] = { { .i = mark_id(c) } };
    enum status st = pg_ensure(c, err);

    if (st) return st;
    if (tx == TX_READ) {
        st = pg_send_text(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    } else {
        st = pg_send_text(c, "BEGIN", err);
    }
    if (!st && tx == TX_WRITE && own[0].i && !c->marked) {
        st = pg_send(c, &mark_make, own, err);
        c->marked = true;
    }
    if (!st && tx == TX_EXCLUSIVE) {
        st = pg_send_text(c, MIGRATE_LOCK, err);
        if (!st) st = pg_sync(c, "begin", NULL, err);
        if (st && c->h) pg_drop(c); /* a transaction may be open on it */
    }
    return st;
}

static void pg_rollback(struct sql_conn *base)
{
    struct pg_conn *c = conn_of(base);
    struct err ignored = ERR_INIT;
    enum status st;

    if (!c->h) return; /* the server undoes what a lost session did */
    c->marked = false; /* perhaps by this transaction */
    if (c->pending)
        IGNORE_STATUS(
            pg_sync(c, "rollback", NULL, &ignored)); /* an error would skip what follows */
    st = c->h ? pg_send_text(c, "ROLLBACK", &ignored) : OK;
    if (!st && c->h) st = pg_sync(c, "rollback", NULL, &ignored);
    if (st) pg_drop(c);
}

/* The connection broke after COMMIT was sent. With the owner's lock in hand the old session is over, and the mark says
 * whether it committed. */
static enum status resolve(struct pg_conn *c, int64_t mark, struct err *err)
{
    struct sql_value own[1] = { { .i = mark_id(c) } };
    struct err why = ERR_INIT;
    int64_t found = 0;
    enum status st;

    c->base.tx = TX_NONE;
    for (int i = 0; i < 3;
         i++) { /* each bounded by connect_ms; a new connection may break as well */
        st = pg_connect(c, c->base.db->connect_ms, &why);
        if (!st) st = ask_int(c, &mark_get, own, &found, &why);
        if (!st || st == ST_CONFLICT) break;
    }
    if (!st && found < 0) st = err_set(&why, ST_NOT_FOUND, "its mark is gone");
    if (st) {
        c->base.unknown = true;
        LOG_ERROR("postgres", "the outcome of a commit is unknown: %s", why.message);
        return err_set(err, ST_UNAVAILABLE, "the database is not reachable");
    }
    LOG_WARN("postgres", "the connection broke during a commit, which %s",
             found == mark ? "was completed" : "did not happen");
    return found == mark ? OK : err_set(err, ST_UNAVAILABLE, "the database connection was lost");
}

static enum status pg_commit(struct sql_conn *base, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    int64_t mark = (int64_t)(rand_u64() >> 1);
    struct sql_value in[2] = { { .i = mark }, { .i = mark_id(c) } };
    bool marked = base->tx == TX_WRITE;
    PGresult *r = NULL;
    enum status st = OK;

    /* The mark goes out with COMMIT; if a statement before it failed, the server skips both. */
    if (marked) st = pg_send(c, &mark_set, in, err);
    if (!st) st = pg_send_text(c, "COMMIT", err);
    if (st) {
        pg_rollback(base);
        return st;
    }
    FAILPOINT("store.postgres.commit.before");
    if (FAILPOINT_ERR("store.postgres.commit.unsent")) (void)shutdown(pq.PQsocket(c->h), SHUT_RDWR);
    if (FAILPOINT_ERR("store.postgres.commit.unread")) {
        IGNORE_STATUS(pg_sync(c, "commit", NULL, err)); /* the answer is the one thrown away */
        pg_drop(c);
    }
    st = pg_sync(c, "commit", &r, err);
    if (!st && !str_eq_lit(str_cstr(pq.PQcmdStatus(r)), "COMMIT"))
        st = err_set(err, ST_UNAVAILABLE, "the database did not commit");
    pq.PQclear(r);
    FAILPOINT("store.postgres.commit.after");
    if (!st) return OK;
    if (c->h) {
        pg_rollback(base);
    } else if (marked) {
        return resolve(c, mark, err);
    }
    return st;
}

/* Errors of statements sent before belong to what is outside the savepoint: they are read first. */
static enum status pg_savepoint(struct sql_conn *base, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    enum status st = c->pending ? pg_sync(c, "savepoint", NULL, err) : OK;

    return st ? st : pg_send_text(c, "SAVEPOINT s", err);
}

static enum status pg_release(struct sql_conn *base, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    enum status st = pg_send_text(c, "RELEASE SAVEPOINT s", err);

    return st ? st : pg_sync(c, "release", NULL, err);
}

static enum status pg_rollback_to(struct sql_conn *base, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    struct err ignored = ERR_INIT;
    enum status st;

    if (c->h && c->pending)
        IGNORE_STATUS(pg_sync(c, "rollback to", NULL, &ignored)); /* what is undone now */
    st = pg_send_text(c, "ROLLBACK TO SAVEPOINT s", err);
    if (!st) st = pg_send_text(c, "RELEASE SAVEPOINT s", err);
    return st ? st : pg_sync(c, "rollback to", NULL, err);
}

/* ---- upkeep ------------------------------------------------------------------------------------------------------------- */

/* The memory of a session is its server's, and libpq keeps little. */
static void pg_rest(struct sql_conn *base)
{
    (void)base;
}

static enum status pg_checkpoint(struct sql_conn *base, enum sql_checkpoint_mode mode,
                                 struct err *err)
{
    (void)base;
    (void)mode;
    (void)err;
    return OK;
}

static int64_t pg_wal_bytes(const struct sql_conn *base)
{
    (void)base;
    return 0;
}

static enum status pg_backup(struct sql_db *base, const char *path, struct err *err)
{
    enum status st = err_set(err, ST_NOT_IMPLEMENTED, "a PostgreSQL store is not copied by cairn");

    (void)base;
    (void)path;
    err_hint(err, "run pg_dump --format=custom on the database");
    return st;
}

static enum status pg_verify(struct sql_conn *base, struct err *err)
{
    int64_t n = 0;

    return ask_int(conn_of(base), &size_query, NULL, &n, err);
}

static enum status pg_version_text(struct sql_conn *base, struct arena *a, struct str *out,
                                   struct err *err)
{
    struct pg_conn *c = conn_of(base);
    enum status st = base->tx ? OK : pg_ensure(c, err);
    int version;

    if (st) return st;
    if (!c->h) return err_set(err, ST_UNAVAILABLE, "the database is not reachable");
    version = pq.PQserverVersion(c->h);
    *out = arena_printf(a, "PostgreSQL %d.%d", version / 10000, version % 10000);
    return out->p ? OK : err_nomem(err);
}

static enum status pg_size_bytes(struct sql_conn *base, int64_t *out, struct err *err)
{
    return ask_int(conn_of(base), &size_query, NULL, out, err);
}

/* ---- life cycle ----------------------------------------------------------------------------------------------------------- */

static void conn_free(struct pg_conn *c)
{
    if (!c) return;
    pg_drop(c);
    mem_free(c);
}

static struct pg_conn *conn_new(struct sql_db *db, enum sql_role role)
{
    struct pg_conn *c = mem_zalloc(1, sizeof(*c));

    if (c) {
        c->base.db = db;
        c->base.role = role;
    }
    return c;
}

static enum status pg_open_conn(struct sql_conn **out, struct sql_db *base, enum sql_role role,
                                struct err *err)
{
    struct pg_db *db = CONTAINER_OF(base, struct pg_db, base);
    struct pg_conn *c = role == SQL_WRITER ? db->kept : NULL;
    enum status st;

    if (c) { /* the session that holds the lock since sql_open() */
        db->kept = NULL;
        *out = &c->base;
        return OK;
    }
    c = conn_new(base, role);
    if (!c) return err_nomem(err);
    st = pg_connect(c, base->connect_ms, err);
    if (st) {
        conn_free(c);
        return st;
    }
    *out = &c->base;
    return OK;
}

static void pg_disconnect(struct sql_conn *base)
{
    struct pg_db *db = CONTAINER_OF(base->db, struct pg_db, base);

    if (base->role == SQL_WRITER) {
        db->kept = conn_of(base);
    } else {
        conn_free(conn_of(base));
    }
}

static enum status pg_share(struct sql_conn *base, struct err *err)
{
    struct pg_conn *c = conn_of(base);
    struct sql_value own[1] = { { .i = mark_id(c) } };
    enum status st = pg_let_others_in(c, err);

    return st ? st : pg_exec(base, &mark_clean, own, NULL, err);
}

static void pg_close_db(struct sql_db *base)
{
    struct pg_db *db = CONTAINER_OF(base, struct pg_db, base);

    conn_free(db->kept);
    mem_free(db->uri);
    mem_free(db->app);
    mem_free(db);
}

static bool pg_accepts(const char *location)
{
    struct str s = str_cstr(location);

    return str_starts(s, S("postgresql://")) || str_starts(s, S("postgres://")) ||
           str_starts(s, S("postgresql+")) || str_starts(s, S("postgres+"));
}

/* libpq's form: without the "+driver" that some clients put behind the scheme. */
static char *plain_uri(const char *location)
{
    const char *rest = strstr(location, "://");
    size_t n = rest ? strlen(rest) : 0;
    char *uri = rest ? mem_alloc(sizeof("postgresql") + n) : NULL;

    if (!uri) return NULL;
    memcpy(uri, "postgresql", sizeof("postgresql") - 1);
    memcpy(uri + sizeof("postgresql") - 1, rest, n + 1);
    return uri;
}

static enum status pg_open(struct sql_db **out, const struct sql_options *opt, struct err *err)
{
    struct pg_db *db;
    char app[64];
    enum status st = pg_load(err);

    if (st) return st;
    if (!strstr(opt->location, "://"))
        return err_set(err, ST_INVALID, "the address of the database has no ://");
    db = mem_zalloc(1, sizeof(*db));
    if (!db) return err_nomem(err);
    snprintf(app, sizeof(app), "cairn%s%s", opt->owner ? " " : "", opt->owner ? opt->owner : "");
    db->no_lock = opt->no_lock;
    db->base.shared = db->opening = opt->shared;
    db->key = (int64_t)(rand_u64() >> 1) | 1;
    db->uri = plain_uri(opt->location);
    db->app = mem_strdup(app);
    if (!db->uri || !db->app) {
        pg_close_db(&db->base);
        return err_nomem(err);
    }
    *out = &db->base;
    return OK;
}

const struct sql_ops sql_postgres_ops = {
    .name = "postgres",
    .accepts = pg_accepts,
    .open = pg_open,
    .close_db = pg_close_db,
    .connect = pg_open_conn,
    .disconnect = pg_disconnect,
    .rest = pg_rest,
    .share = pg_share,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .savepoint = pg_savepoint,
    .release = pg_release,
    .rollback_to = pg_rollback_to,
    .exec = pg_exec,
    .rows = pg_rows,
    .next = pg_next,
    .close = pg_close,
    .prepare_check = pg_prepare_check,
    .script = pg_script,
    .table_exists = pg_table_exists,
    .checkpoint = pg_checkpoint,
    .wal_bytes = pg_wal_bytes,
    .wal_kept = pg_wal_bytes,
    .backup = pg_backup,
    .verify = pg_verify,
    .version_text = pg_version_text,
    .size_bytes = pg_size_bytes,
};
