/* store/sql/sql_int.h - what sql.c, migrate.c and the engines share.
 * sql.c keeps the rules that are the same on both engines (the failed transaction, savepoint depth, checks of
 * parameters and columns); an engine only does what it is told. A slot returns a status and fills *err; none is
 * missing. Ownership and threads as in sql.h. */
#ifndef CAIRN_STORE_SQL_SQL_INT_H
#define CAIRN_STORE_SQL_SQL_INT_H

#include "base/exec.h"
#include "store/sql/sql.h"
#include <stdatomic.h>

enum sql_tx { TX_NONE, TX_READ, TX_WRITE, TX_EXCLUSIVE };

struct sql_ops {
    const char *name;
    /* True if the location is written in this engine's form; asked in order, the last engine takes what is left. */
    bool (*accepts)(const char *location);
    /* Takes ownership of the store; looks at nothing inside it. */
    enum status (*open)(struct sql_db **out, const struct sql_options *opt, struct err *err);
    void (*close_db)(struct sql_db *db);
    enum status (*connect)(struct sql_conn **out, struct sql_db *db, enum sql_role role,
                           struct err *err);
    void (*disconnect)(struct sql_conn *c); /* the transaction is over */
    void (*rest)(struct sql_conn *c);       /* outside a transaction, no statement is open */

    /* The store is open and of the right schema: lets other processes in that share it. */
    enum status (*share)(struct sql_conn *c, struct err *err);

    /* TX_EXCLUSIVE is TX_WRITE that also keeps every other process out that begins one. */
    enum status (*begin)(struct sql_conn *c, enum sql_tx tx, struct err *err);
    /* The transaction is over whatever this returns; sets c->unknown. */
    enum status (*commit)(struct sql_conn *c, struct err *err);
    void (*rollback)(struct sql_conn *c);
    enum status (*savepoint)(struct sql_conn *c, struct err *err);
    enum status (*release)(struct sql_conn *c, struct err *err);
    enum status (*rollback_to)(struct sql_conn *c, struct err *err);

    enum status (*exec)(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                        int64_t *changed, struct err *err);
    /* brief: the parameters stay valid until close. */
    enum status (*rows)(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                        bool brief, struct sql_stmt **out, struct err *err);
    enum status (*next)(struct sql_stmt *s, struct sql_value *out, struct err *err);
    void (*close)(struct sql_stmt *s);
    enum status (*prepare_check)(struct sql_conn *c, const struct sql_query *q, struct err *err);
    enum status (*script)(struct sql_conn *c, const char *text, struct err *err);
    enum status (*table_exists)(struct sql_conn *c, const char *name, bool *out, struct err *err);

    enum status (*checkpoint)(struct sql_conn *c, enum sql_checkpoint_mode mode, struct err *err);
    int64_t (*wal_bytes)(const struct sql_conn *c);
    int64_t (*wal_kept)(const struct sql_conn *c);
    enum status (*backup)(struct sql_db *db, const char *path, struct err *err);
    enum status (*verify)(struct sql_conn *c, struct err *err);
    enum status (*version_text)(struct sql_conn *c, struct arena *a, struct str *out,
                                struct err *err);
    enum status (*size_bytes)(struct sql_conn *c, int64_t *out, struct err *err);
};
extern const struct sql_ops sql_sqlite_ops, sql_postgres_ops;

struct sql_db {
    const struct sql_ops *ops;
    enum sql_engine engine;
    int64_t busy_ms, connect_ms, statement_ms;
    int64_t wal_found, wal_found_ns; /* see sql_wal_found() */
    bool shared;
    char owner[64];
    atomic_bool has_writer; /* relaxed: only keeps a second sql_connect() out */
    struct sql_conn *first; /* the writer of sql_open(), until somebody connects as one */
};

struct sql_conn {
    const struct sql_ops *ops;
    struct sql_db *db;
    enum sql_role role;
    enum sql_tx tx;
    int depth;    /* savepoints */
    bool failed;  /* an error inside the transaction: only undoing is possible */
    bool unknown; /* the outcome of the last commit */
    bool beside;  /* other processes have the store open: its schema cannot be changed */
};

struct sql_stmt {
    struct sql_conn *conn;
    const struct sql_query *q;
};

/* Remembers an error of the transaction; returns st. */
enum status sql_note(struct sql_conn *c, enum status st);
/* A stored value is NULL where the query says it never is. */
enum status sql_null_column(const struct sql_query *q, unsigned i, struct err *err);
/* Begins TX_EXCLUSIVE. */
enum status sql_begin_exclusive(struct sql_conn *c, struct err *err) ATTR_CHECK;
/* Brings the store to this program's schema, or checks that it has it; in migrate.c. */
enum status sql_migrate(struct sql_conn *c, enum sql_schema_mode mode, struct err *err) ATTR_CHECK;

/* Statements kept prepared, found by the address of their query. */
struct sql_cache {
    struct sql_cache_row {
        const struct sql_query *q;
        void *stmt;
    } * rows;
    size_t n, cap; /* cap is 0 or a power of two */
};
void *sql_cache_find(const struct sql_cache *c, const struct sql_query *q);
enum status sql_cache_add(struct sql_cache *c, const struct sql_query *q, void *stmt,
                          struct err *err);
/* Calls fn for each and forgets all. */
void sql_cache_clear(struct sql_cache *c, void (*fn)(void *ctx, void *stmt), void *ctx);

#endif
