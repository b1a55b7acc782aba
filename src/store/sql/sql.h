/* store/sql/sql.h - SQL on SQLite and PostgreSQL behind one interface.
 *
 * Nobody above this folder writes SQL: queries live in store/sql/queries/ and become the typed functions of
 * gen/sql/queries.h. This header opens the store and its connections and brackets those functions with transactions.
 *
 *     sql_open(&db, &opt, err)                    one server per store: takes its lock, brings the schema up to date
 *     sql_connect(&c, db, SQL_READER, err)        as many as there are threads; SQL_WRITER once, the sequencer's
 *     sql_begin(c, err) ... sql_commit(c, err)    on the writer
 *     sql_read_begin(c, err) ... sql_read_end(c)  several reads of one snapshot; a single read needs neither
 *
 * Errors are the same on both engines: a unique violation is ST_EXISTS, any other constraint and a value that the column
 * cannot hold ST_INVALID, a lock not obtained, a full disk and a lost database ST_UNAVAILABLE, a damaged file ST_CORRUPT,
 * no memory ST_NOMEM, wrong SQL ST_INTERNAL. Messages hold neither SQL nor paths; the details are logged.
 * After an error inside a transaction only sql_rollback_to() the savepoint around it, or sql_rollback(), is possible:
 * everything else answers ST_INVALID_STATE until then, on both engines alike. ST_NOT_FOUND and ST_END are not errors.
 * On PostgreSQL `:exec` statements of the writer are pipelined: their error may come from a later call of the same
 * transaction, at the latest from sql_commit(), or from sql_release() when they ran inside a savepoint.
 * Text parameters hold no NUL byte (ST_INVALID); a NaN is stored as NULL and -0.0 as 0.0 (what must
 * be exact lies in blobs). Text compares by bytes.
 *
 * Ownership: the opener owns the database and closes it after every connection; a connection owns its statements.
 * Thread rule: struct sql_db any thread; a connection and its statements one thread at a time, never a loop thread. */
#ifndef CAIRN_STORE_SQL_SQL_H
#define CAIRN_STORE_SQL_SQL_H

#include "base/arena.h"

struct sql_db;
struct sql_conn;
struct sql_stmt;

enum sql_engine { SQL_SQLITE, SQL_POSTGRES, SQL_ENGINE_N };
enum sql_role { SQL_READER, SQL_WRITER };
enum sql_schema_mode {
    SQL_SCHEMA_MIGRATE, /* create or upgrade; refuse a newer one */
    SQL_SCHEMA_CHECK,   /* refuse any version but this program's */
    SQL_SCHEMA_IGNORE,  /* for tests and repair */
};

struct sql_options {
    /* "postgresql://..." or "postgres://..." (also with "+driver" after the scheme): PostgreSQL. Anything else is the
     * folder of a SQLite store, created if missing; the database is DIR/cairn.db, the lock DIR/lock. */
    const char *location;
    const char *
        owner; /* one line others read when they find the store taken, e.g. the server's address; or NULL */
    const char *vfs; /* SQLite: name of a registered sqlite3_vfs; NULL = the system's */
    bool no_lock;    /* SQLite: take no lock file (the simulator, whose VFS is the only user) */
    /* PostgreSQL: other processes that say the same may have the store open too (store/seq.h keeps them coherent). A
     * schema that must be upgraded first needs the store alone. */
    bool shared;
    enum sql_schema_mode schema;
    int64_t busy_ms; /* wait for a lock of another connection; 0 = 5,000 */
    int64_t
        connect_ms; /* PostgreSQL: bound of connecting and reconnecting, retries included; 0 = 10,000 */
    int64_t statement_ms;      /* PostgreSQL: bound of one statement; 0 = 60,000 */
    size_t writer_cache_bytes; /* SQLite page cache; 0 = 16 MiB */
    size_t reader_cache_bytes; /* 0 = 1 MiB */
    int64_t max_pages; /* SQLite: cap of the database in pages (a full disk, for tests); 0 = none */
};

/* ---- life cycle ------------------------------------------------------------------------------------------------------ */

/* Opens the store and makes this process its only owner. ST_CONFLICT when another process owns it (the message names
 * it); ST_INVALID_STATE when the store is of a newer version or holds the schema of an MLflow server, which is left
 * untouched; the hint says what to do. */
enum status sql_open(struct sql_db **out, const struct sql_options *opt,
                     struct err *err) ATTR_CHECK;
void sql_close_db(struct sql_db *db); /* NULL-safe; after every connection is gone */
enum sql_engine sql_db_engine(const struct sql_db *db);
/* Other servers may use the store too: PostgreSQL, opened with `shared`. */
bool sql_db_shared(const struct sql_db *db);
/* The owner's text of sql_options, "" when there was none. */
const char *sql_db_owner(const struct sql_db *db);
const char *sql_engine_name(enum sql_engine engine); /* "sqlite", "postgres" */

/* SQL_WRITER: ST_INVALID_STATE while another writer of this db exists. The first one gets the connection that sql_open() has made, so
 * that a log left by a kill is recovered once. A reader refuses writing statements. */
enum status sql_connect(struct sql_conn **out, struct sql_db *db, enum sql_role role,
                        struct err *err) ATTR_CHECK;
void sql_disconnect(struct sql_conn *c); /* NULL-safe; rolls back what is open */
/* Nobody needs c for a while: gives back what it only keeps to be fast. On SQLite a reader is closed until its next use, which opens it
 * again (about a millisecond), as the first use does; the writer drops its cache of pages. Does nothing on PostgreSQL or inside a
 * transaction. No statement of c is open. NULL-safe. */
void sql_rest(struct sql_conn *c);
enum sql_engine sql_conn_engine(const struct sql_conn *c);
enum sql_role sql_conn_role(const struct sql_conn *c);

/* ---- transactions ---------------------------------------------------------------------------------------------------- */

/* The writer's transaction: takes the write lock at once. Reconnects (bounded) when the connection was lost. */
enum status sql_begin(struct sql_conn *c, struct err *err) ATTR_CHECK;
/* Durable when it returns OK. Any other status: rolled back, the connection is ready for sql_begin(), unless
 * sql_outcome_unknown(). A connection that broke during COMMIT is asked for the outcome after reconnecting. */
enum status sql_commit(struct sql_conn *c, struct err *err) ATTR_CHECK;
/* True after a sql_commit() whose outcome could not be learnt in time: memory above the store must be built anew. */
bool sql_outcome_unknown(const struct sql_conn *c);
void sql_rollback(struct sql_conn *c); /* fine outside a transaction */
bool sql_in_transaction(const struct sql_conn *c);
/* True after an error inside a transaction, until it is undone. */
bool sql_tx_failed(const struct sql_conn *c);

/* A savepoint inside the writer's transaction, around statements that can fail; at most SQL_SAVEPOINT_MAX deep. It ends
 * with sql_release() (kept) or sql_rollback_to() (undone, the transaction goes on). When sql_release() fails, call
 * sql_rollback_to(); when that fails, the transaction is lost and only sql_rollback() is left. */
enum { SQL_SAVEPOINT_MAX = 8 };
enum status sql_savepoint(struct sql_conn *c, struct err *err) ATTR_CHECK;
enum status sql_release(struct sql_conn *c, struct err *err) ATTR_CHECK;
enum status sql_rollback_to(struct sql_conn *c, struct err *err) ATTR_CHECK;

/* A read snapshot: every read until sql_read_end() sees the same state. Keep it as short as one page of an answer. */
enum status sql_read_begin(struct sql_conn *c, struct err *err) ATTR_CHECK;
void sql_read_end(struct sql_conn *c);

/* ---- upkeep (the sequencer's and commands') ---------------------------------------------------------------------------- */

enum sql_checkpoint_mode { SQL_CHECKPOINT_PASSIVE, SQL_CHECKPOINT_TRUNCATE, SQL_CHECKPOINT_CUT };
/* Moves the write-ahead log into the database; outside a transaction, on the writer only. Readers in the way are no
 * error (less is moved). TRUNCATE does not wait for them, CUT does so for a quarter of a second, as long as many pages of answers
 * take. Nothing to do on PostgreSQL. */
enum status sql_checkpoint(struct sql_conn *writer, enum sql_checkpoint_mode mode,
                           struct err *err) ATTR_CHECK;
/* Bytes in the write-ahead log as of the last commit of this connection; 0 on PostgreSQL. */
int64_t sql_wal_bytes(const struct sql_conn *writer);
/* What a start would read of it after a kill now: also what a checkpoint has moved, until it begins again; 0 on PostgreSQL. */
int64_t sql_wal_kept(const struct sql_conn *writer);
/* What of it was there when the writer was connected, and how long the engine took to open the database with it; 0 and 0 when there
 * was nothing to recover. */
int64_t sql_wal_found(const struct sql_db *db, int64_t *took_ns);
/* A consistent, synced copy of a SQLite store in the new file `path`, while others read and write.
 * ST_NOT_IMPLEMENTED on PostgreSQL (pg_dump does it). */
enum status sql_backup(struct sql_db *db, const char *path, struct err *err) ATTR_CHECK;
/* The engine's own check of its files (SQLite: quick_check); ST_CORRUPT with the first finding. */
enum status sql_verify(struct sql_conn *c, struct err *err) ATTR_CHECK;
/* "SQLite 3.40.1", "PostgreSQL 15.14". */
enum status sql_version_text(struct sql_conn *c, struct arena *a, struct str *out,
                             struct err *err) ATTR_CHECK;
/* Size of the database in bytes, without the log. */
enum status sql_size_bytes(struct sql_conn *c, int64_t *out, struct err *err) ATTR_CHECK;

/* ---- schema ------------------------------------------------------------------------------------------------------------ */

/* The version this program writes, and the one of a store (0: none yet). */
int64_t sql_schema_newest(void);
enum status sql_schema_version(struct sql_conn *c, int64_t *out, struct err *err) ATTR_CHECK;
/* OK if the store has exactly this program's schema, else ST_INVALID_STATE with what to do. */
enum status sql_check_schema(struct sql_conn *c, struct err *err) ATTR_CHECK;
/* ST_INVALID_STATE, with what to do, if the SQLite file is the database of an MLflow server. Reads only, and writes nothing
 * beside it either. */
enum status sql_refuse_foreign_file(const char *path, struct err *err) ATTR_CHECK;

/* ---- what gen/sql/queries.c is made of ----------------------------------------------------------------------------------- */

enum sql_type { SQL_INT = 1, SQL_REAL, SQL_TEXT, SQL_BLOB, SQL_INT_LIST, SQL_TEXT_LIST };
enum { SQL_TYPE_MASK = 15, SQL_MAYBE = 16 }; /* SQL_MAYBE: NULL is allowed */
enum sql_query_kind { SQL_ONE, SQL_MANY, SQL_EXEC, SQL_EXECROWS };
enum { SQL_IN_MAX = 128, SQL_OUT_MAX = 32 };

struct sql_query {
    const char *name;
    const char *text[SQL_ENGINE_N]; /* parameters are ?1 on SQLite, $1 on PostgreSQL */
    const unsigned char *in, *out;  /* types, with SQL_MAYBE */
    const char *const *out_names;
    unsigned char in_n, out_n, kind;
    bool cached; /* static: each connection keeps it prepared, found by its address */
};
/* One query file. */
struct sql_query_area {
    const struct sql_query *const *queries;
    size_t n;
};
extern const struct sql_query_area sql_query_areas[];
extern const unsigned sql_query_areas_n;

/* A parameter or a column; which member counts is the query's type. */
struct sql_value {
    bool null;
    int64_t i;
    double d;
    struct str s;
    const void *list; /* int64_t or struct str */
    size_t list_n;
};

/* Runs a statement without columns; *changed (may be NULL) is the number of rows it wrote. */
enum status sql_exec(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                     int64_t *changed, struct err *err) ATTR_CHECK;
/* The first row, texts and blobs copied to the arena (which may be NULL when the query has none). ST_NOT_FOUND without a
 * message when there is none. */
enum status sql_one(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                    struct arena *a, struct sql_value *out, struct err *err) ATTR_CHECK;
/* Rows one by one. While a statement is open others may run on the connection. A result is held in memory on
 * PostgreSQL: large tables are read in pages. */
enum status sql_rows(struct sql_conn *c, const struct sql_query *q, const struct sql_value *in,
                     struct sql_stmt **out, struct err *err) ATTR_CHECK;
/* ST_END after the last row. What `out` points to is valid until the next call with this statement. */
enum status sql_next(struct sql_stmt *s, struct sql_value *out, struct err *err) ATTR_CHECK;
void sql_close(struct sql_stmt *s); /* NULL-safe; before its transaction ends */
/* Prepares the query and compares its parameters and columns with what it declares: ST_INTERNAL on a difference. */
enum status sql_prepare_check(struct sql_conn *c, const struct sql_query *q,
                              struct err *err) ATTR_CHECK;
/* Runs constant statements separated by semicolons, inside the open transaction if there is one. For tests and repair. */
enum status sql_script(struct sql_conn *c, const char *text, struct err *err) ATTR_CHECK;

/* ---- what gen/sql/schema.c is made of ------------------------------------------------------------------------------------ */

struct sql_migration {
    int64_t version; /* 1, 2, 3 ... */
    const char *name;
    const char *text[SQL_ENGINE_N];
};
extern const struct sql_migration sql_migrations[];
extern const unsigned sql_migrations_n;

#endif
