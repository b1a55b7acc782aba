/* store/sql/sql.c - see sql.h: the rules that both engines share, and the way to the engine in use. */
#include "store/sql/sql.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/sql/sql_int.h"
#include <stdio.h>

/* In the order in which they are asked; SQLite takes every other location. Indexed by enum sql_engine elsewhere. */
static const struct {
    enum sql_engine engine;
    const struct sql_ops *ops;
} engines[] = {
    { SQL_POSTGRES, &sql_postgres_ops },
    { SQL_SQLITE, &sql_sqlite_ops },
};

const char *sql_engine_name(enum sql_engine engine)
{
    for (size_t i = 0; i < ARRAY_N(engines); i++) {
        if (engines[i].engine == engine) return engines[i].ops->name;
    }
    return "unknown";
}

/* ---- statement cache ---------------------------------------------------------------------------------------------- */

static size_t cache_slot(const struct sql_cache *c, const struct sql_query *q)
{
    uint64_t h = (uint64_t)(uintptr_t)q * 0x9E3779B97F4A7C15u;

    return (size_t)(h >> 32) & (c->cap - 1);
}

void *sql_cache_find(const struct sql_cache *c, const struct sql_query *q)
{
    if (!c->cap) return NULL;
    for (size_t i = cache_slot(c, q);; i = (i + 1) & (c->cap - 1)) {
        if (c->rows[i].q == q) return c->rows[i].stmt;
        if (!c->rows[i].q) return NULL;
    }
}

static void cache_put(struct sql_cache *c, const struct sql_query *q, void *stmt)
{
    size_t i = cache_slot(c, q);

    while (c->rows[i].q) {
        i = (i + 1) & (c->cap - 1);
    }
    c->rows[i] = (struct sql_cache_row){ q, stmt };
    c->n++;
}

enum status sql_cache_add(struct sql_cache *c, const struct sql_query *q, void *stmt,
                          struct err *err)
{
    if (c->n + 1 > c->cap / 2) {
        struct sql_cache bigger = { .cap = c->cap ? c->cap * 2 : 128 };

        bigger.rows = mem_zalloc(bigger.cap, sizeof(*bigger.rows));
        if (!bigger.rows) return err_nomem(err);
        for (size_t i = 0; i < c->cap; i++) {
            if (c->rows[i].q) cache_put(&bigger, c->rows[i].q, c->rows[i].stmt);
        }
        mem_free(c->rows);
        *c = bigger;
    }
    cache_put(c, q, stmt);
    return OK;
}

void sql_cache_clear(struct sql_cache *c, void (*fn)(void *ctx, void *stmt), void *ctx)
{
    for (size_t i = 0; i < c->cap; i++) {
        if (c->rows[i].q) fn(ctx, c->rows[i].stmt);
    }
    mem_free(c->rows);
    *c = (struct sql_cache){ .n = 0 };
}

/* ---- life cycle --------------------------------------------------------------------------------------------------- */

enum status sql_open(struct sql_db **out, const struct sql_options *opt, struct err *err)
{
    struct sql_conn *c = NULL;
    struct sql_db *db = NULL;
    int64_t began_ns;
    size_t i = 0;
    enum status st;

    *out = NULL;
    while (i + 1 < ARRAY_N(engines) && !engines[i].ops->accepts(opt->location)) {
        i++;
    }
    if (engines[i].engine == SQL_SQLITE &&
        str_find(str_cstr(opt->location), S("://")) != SIZE_MAX) {
        err_set(err, ST_INVALID, "a store at %s is not possible", opt->location);
        err_hint(err, "give postgresql://user@host/database, or a folder for SQLite");
        return ST_INVALID;
    }
    st = engines[i].ops->open(&db, opt, err);
    if (st) return st;
    db->ops = engines[i].ops;
    db->engine = engines[i].engine;
    db->busy_ms = opt->busy_ms ? opt->busy_ms : 5000;
    db->connect_ms = opt->connect_ms ? opt->connect_ms : 10000;
    db->statement_ms = opt->statement_ms ? opt->statement_ms : 60000;
    snprintf(db->owner, sizeof(db->owner), "%s", opt->owner ? opt->owner : "");
    began_ns = clock_mono_ns();
    st = sql_connect(&c, db, SQL_WRITER, err);
    if (!st && opt->schema != SQL_SCHEMA_IGNORE) st = sql_migrate(c, opt->schema, err);
    if (!st && db->shared) st = db->ops->share(c, err);
    if (db->wal_found > 0) db->wal_found_ns = clock_mono_ns() - began_ns;
    if (st) {
        sql_disconnect(c);
        sql_close_db(db);
        return st;
    }
    db->first = c;
    atomic_store_explicit(&db->has_writer, false, memory_order_relaxed);
    *out = db;
    return OK;
}

void sql_close_db(struct sql_db *db)
{
    if (!db) return;
    sql_disconnect(db->first);
    db->ops->close_db(db);
}

enum sql_engine sql_db_engine(const struct sql_db *db)
{
    return db->engine;
}

bool sql_db_shared(const struct sql_db *db)
{
    return db->shared;
}

const char *sql_db_owner(const struct sql_db *db)
{
    return db->owner;
}

enum sql_engine sql_conn_engine(const struct sql_conn *c)
{
    return c->db->engine;
}

enum sql_role sql_conn_role(const struct sql_conn *c)
{
    return c->role;
}

enum status sql_connect(struct sql_conn **out, struct sql_db *db, enum sql_role role,
                        struct err *err)
{
    enum status st;

    *out = NULL;
    if (role == SQL_WRITER && atomic_exchange_explicit(&db->has_writer, true, memory_order_relaxed))
        return err_set(err, ST_INVALID_STATE, "the store has a writer already");
    if (role == SQL_WRITER && db->first) {
        *out = db->first;
        db->first = NULL;
        return OK;
    }
    st = db->ops->connect(out, db, role, err);
    if (st) {
        if (role == SQL_WRITER) atomic_store_explicit(&db->has_writer, false, memory_order_relaxed);
        return st;
    }
    (*out)->ops = db->ops;
    (*out)->db = db;
    (*out)->role = role;
    return OK;
}

void sql_disconnect(struct sql_conn *c)
{
    struct sql_db *db;
    enum sql_role role;

    if (!c) return;
    db = c->db;
    role = c->role;
    sql_rollback(c);
    c->ops->disconnect(c);
    if (role == SQL_WRITER) atomic_store_explicit(&db->has_writer, false, memory_order_relaxed);
}

void sql_rest(struct sql_conn *c)
{
    if (c && c->tx == TX_NONE) c->ops->rest(c);
}

/* ---- transactions ------------------------------------------------------------------------------------------------- */

enum status sql_note(struct sql_conn *c, enum status st)
{
    if (st && st != ST_NOT_FOUND && st != ST_END && c->tx) c->failed = true;
    return st;
}

static enum status check_usable(const struct sql_conn *c, struct err *err)
{
    if (UNLIKELY(c->failed))
        return err_set(err, ST_INVALID_STATE, "an earlier statement of this transaction failed");
    return OK;
}

static enum status begin(struct sql_conn *c, enum sql_tx tx, struct err *err)
{
    enum status st;

    if (c->tx) return err_set(err, ST_INTERNAL, "a transaction is open already");
    if (tx != TX_READ && c->role != SQL_WRITER)
        return err_set(err, ST_INTERNAL, "a reader cannot write");
    c->failed = false;
    c->unknown = false;
    c->depth = 0;
    st = c->ops->begin(c, tx, err);
    if (!st) c->tx = tx;
    return st;
}

enum status sql_begin(struct sql_conn *c, struct err *err)
{
    return begin(c, TX_WRITE, err);
}

enum status sql_begin_exclusive(struct sql_conn *c, struct err *err)
{
    return begin(c, TX_EXCLUSIVE, err);
}

enum status sql_read_begin(struct sql_conn *c, struct err *err)
{
    return begin(c, TX_READ, err);
}

static void tx_over(struct sql_conn *c)
{
    c->tx = TX_NONE;
    c->failed = false;
    c->depth = 0;
}

enum status sql_commit(struct sql_conn *c, struct err *err)
{
    enum status st;

    if (c->tx != TX_WRITE && c->tx != TX_EXCLUSIVE)
        return err_set(err, ST_INTERNAL, "no transaction is open");
    st = check_usable(c, err);
    if (!st && c->depth > 0) st = err_set(err, ST_INTERNAL, "a savepoint is open");
    if (st) {
        c->ops->rollback(c);
    } else {
        st = c->ops->commit(c, err);
    }
    tx_over(c);
    return st;
}

bool sql_outcome_unknown(const struct sql_conn *c)
{
    return c->unknown;
}

void sql_rollback(struct sql_conn *c)
{
    if (c->tx) c->ops->rollback(c);
    tx_over(c);
}

void sql_read_end(struct sql_conn *c)
{
    sql_rollback(c);
}

bool sql_in_transaction(const struct sql_conn *c)
{
    return c->tx != TX_NONE;
}

bool sql_tx_failed(const struct sql_conn *c)
{
    return c->failed;
}

enum status sql_savepoint(struct sql_conn *c, struct err *err)
{
    enum status st = check_usable(c, err);

    if (st) return st;
    if (c->tx != TX_WRITE && c->tx != TX_EXCLUSIVE)
        return err_set(err, ST_INTERNAL, "no transaction is open");
    if (c->depth == SQL_SAVEPOINT_MAX) return err_set(err, ST_INTERNAL, "too many savepoints");
    st = c->ops->savepoint(c, err);
    if (!st) c->depth++;
    return sql_note(c, st);
}

enum status sql_release(struct sql_conn *c, struct err *err)
{
    enum status st = check_usable(c, err);

    if (st) return st;
    if (c->depth == 0) return err_set(err, ST_INTERNAL, "no savepoint is open");
    st = c->ops->release(c, err);
    if (!st) c->depth--;
    return sql_note(c, st);
}

enum status sql_rollback_to(struct sql_conn *c, struct err *err)
{
    enum status st;

    if (c->depth == 0) return err_set(err, ST_INTERNAL, "no savepoint is open");
    st = c->ops->rollback_to(c, err);
    c->depth--;
    c->failed = st != OK;
    if (st) c->depth = 0; /* the transaction is lost */
    return st;
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

static enum status check_params(const struct sql_query *q, const struct sql_value *in,
                                struct err *err)
{
    for (unsigned i = 0; i < q->in_n; i++) {
        if ((q->in[i] & SQL_TYPE_MASK) == SQL_TEXT && in[i].s.n && memchr(in[i].s.p, 0, in[i].s.n))
            return err_set(err, ST_INVALID, "text contains a NUL byte");
        if ((q->in[i] & SQL_TYPE_MASK) == SQL_TEXT_LIST) {
            const struct str *list = in[i].list;

            for (size_t k = 0; k < in[i].list_n; k++) {
                if (list[k].n && memchr(list[k].p, 0, list[k].n))
                    return err_set(err, ST_INVALID, "text contains a NUL byte");
            }
        }
    }
    return OK;
}

static enum status before(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                          struct err *err)
{
    enum status st = check_usable(c, err);

    return st ? st : check_params(q, in, err);
}

enum status sql_exec(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                     int64_t *changed, struct err *err)
{
    enum status st = before(c, q, in, err);

    if (!st) st = c->ops->exec(c, q, in, changed, err);
    return sql_note(c, st);
}

enum status sql_rows(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                     struct sql_stmt **out, struct err *err)
{
    enum status st = before(c, q, in, err);

    *out = NULL;
    if (!st) st = c->ops->rows(c, q, in, false, out, err);
    return sql_note(c, st);
}

enum status sql_next(struct sql_stmt *s, struct sql_value *out, struct err *err)
{
    return sql_note(s->conn, s->conn->ops->next(s, out, err));
}

void sql_close(struct sql_stmt *s)
{
    if (s) s->conn->ops->close(s);
}

enum status sql_one(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                    struct arena *a, struct sql_value *out, struct err *err)
{
    struct sql_stmt *s = NULL;
    enum status st = before(c, q, in, err);

    if (!st) st = c->ops->rows(c, q, in, true, &s, err);
    if (!st) st = c->ops->next(s, out, err);
    for (unsigned i = 0; !st && i < q->out_n; i++) {
        if (out[i].s.p) {
            if (a) out[i].s = arena_str(a, out[i].s);
            if (!a || !out[i].s.p) st = err_nomem(err);
        }
    }
    sql_close(s);
    return sql_note(c, st == ST_END ? ST_NOT_FOUND : st);
}

enum status sql_null_column(const struct sql_query *q, unsigned i, struct err *err)
{
    return err_set(err, ST_CORRUPT, "a stored row has no value for %s (%s)", q->out_names[i],
                   q->name);
}

enum status sql_prepare_check(struct sql_conn *c, const struct sql_query *q, struct err *err)
{
    return c->ops->prepare_check(c, q, err);
}

enum status sql_script(struct sql_conn *c, const char *text, struct err *err)
{
    enum status st = check_usable(c, err);

    return sql_note(c, st ? st : c->ops->script(c, text, err));
}

/* ---- upkeep ------------------------------------------------------------------------------------------------------- */

enum status sql_checkpoint(struct sql_conn *writer, enum sql_checkpoint_mode mode, struct err *err)
{
    if (writer->tx || writer->role != SQL_WRITER)
        return err_set(err, ST_INTERNAL, "a checkpoint is for the writer, outside a transaction");
    return writer->ops->checkpoint(writer, mode, err);
}

int64_t sql_wal_bytes(const struct sql_conn *writer)
{
    return writer->ops->wal_bytes(writer);
}

int64_t sql_wal_kept(const struct sql_conn *writer)
{
    return writer->ops->wal_kept(writer);
}

int64_t sql_wal_found(const struct sql_db *db, int64_t *took_ns)
{
    *took_ns = db->wal_found_ns;
    return db->wal_found;
}

enum status sql_backup(struct sql_db *db, const char *path, struct err *err)
{
    return db->ops->backup(db, path, err);
}

enum status sql_verify(struct sql_conn *c, struct err *err)
{
    return c->ops->verify(c, err);
}

enum status sql_version_text(struct sql_conn *c, struct arena *a, struct str *out, struct err *err)
{
    return c->ops->version_text(c, a, out, err);
}

enum status sql_size_bytes(struct sql_conn *c, int64_t *out, struct err *err)
{
    return c->ops->size_bytes(c, out, err);
}
