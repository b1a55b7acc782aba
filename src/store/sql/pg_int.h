/* store/sql/pg_int.h - inside the PostgreSQL engine: libpq behind a table, and one connection.
 * libpq is loaded on first use, so a server on SQLite never pays for it. A connection is always in pipeline mode:
 * statements are sent, and pg_sync() reads their answers up to a synchronisation point. In a pipeline the first error
 * makes the server skip everything up to that point. */
#ifndef CAIRN_STORE_SQL_PG_INT_H
#define CAIRN_STORE_SQL_PG_INT_H

#include "base/buf.h"
#include "store/sql/sql_int.h"
#include <libpq-fe.h>

#define PG_SYMBOLS(X)                                                                              \
    X(PQbackendPID)                                                                                \
    X(PQclear)                                                                                     \
    X(PQcmdStatus)                                                                                 \
    X(PQcmdTuples)                                                                                 \
    X(PQconnectdbParams)                                                                           \
    X(PQconsumeInput)                                                                              \
    X(PQenterPipelineMode)                                                                         \
    X(PQerrorMessage)                                                                              \
    X(PQexec)                                                                                      \
    X(PQexitPipelineMode)                                                                          \
    X(PQfinish)                                                                                    \
    X(PQfreemem)                                                                                   \
    X(PQflush)                                                                                     \
    X(PQftype)                                                                                     \
    X(PQgetResult)                                                                                 \
    X(PQgetisnull)                                                                                 \
    X(PQgetlength)                                                                                 \
    X(PQgetvalue)                                                                                  \
    X(PQisBusy)                                                                                    \
    X(PQnfields)                                                                                   \
    X(PQnotifies)                                                                                  \
    X(PQnparams)                                                                                   \
    X(PQntuples)                                                                                   \
    X(PQparameterStatus)                                                                           \
    X(PQparamtype)                                                                                 \
    X(PQpingParams)                                                                                \
    X(PQpipelineSync)                                                                              \
    X(PQresultErrorField)                                                                          \
    X(PQresultErrorMessage)                                                                        \
    X(PQresultStatus)                                                                              \
    X(PQsendDescribePrepared)                                                                      \
    X(PQsendPrepare)                                                                               \
    X(PQsendQueryParams)                                                                           \
    X(PQsendQueryPrepared)                                                                         \
    X(PQserverVersion)                                                                             \
    X(PQsetNoticeProcessor)                                                                        \
    X(PQsetnonblocking)                                                                            \
    X(PQsocket)                                                                                    \
    X(PQstatus)

struct pg_lib {
#define PG_FIELD(name) __typeof__(&name) name;
    PG_SYMBOLS(PG_FIELD)
#undef PG_FIELD
};
/* The loaded library; valid after pg_load() succeeded. */
extern struct pg_lib pq;
/* ST_NOT_IMPLEMENTED, with the package to install, when libpq is not there. */
enum status pg_load(struct err *err) ATTR_CHECK;

enum { PG_INT8 = 20, PG_INT2 = 21, PG_INT4 = 23, PG_BOOL = 16, PG_OID = 26 };
enum { PG_FLOAT4 = 700, PG_FLOAT8 = 701 };
enum { PG_TEXT = 25, PG_NAME = 19, PG_VARCHAR = 1043, PG_BYTEA = 17 };
enum { PG_INT8_ARRAY = 1016, PG_TEXT_ARRAY = 1009 };
enum {
    PG_PENDING_MAX = 256,             /* statements sent before their answers are read */
    PG_PENDING_BYTES = 1 << 20,       /* and bytes */
    PG_FRESH_MAX = 64,                /* statements prepared since the last synchronisation */
    PG_LIST_BYTES = 64 * 1024 * 1024, /* one list parameter */
    PG_VERSION_MIN = 130000,          /* xid8 and its functions */
};

struct pg_db {
    struct sql_db base;
    char *uri;
    char *app; /* application_name: "cairn" and the owner's text */
    bool no_lock;
    int64_t
        key; /* of the advisory lock and the commit mark of this process, when others share the database */
    bool opening; /* until the schema is right the database is had alone, where that is possible */
    struct pg_conn
        *kept; /* the writer's session between writers: it holds the lock of the database */
};

/* A query prepared on this connection as "q<number>". */
struct pg_prepared {
    unsigned number;
    bool sent; /* or more: it is there unless the pipeline it was sent in failed */
};

struct pg_conn {
    struct sql_conn base;
    PGconn *h;              /* NULL: connection lost */
    struct sql_cache cache; /* of struct pg_prepared */
    unsigned next_number;
    struct pg_prepared *fresh[PG_FRESH_MAX];
    unsigned fresh_n;
    unsigned pending;     /* statements whose answers were not read */
    size_t pending_bytes; /* sent with them */
    int former_pid;       /* of the last session that held the lock of the database */
    bool marked;          /* shared: the row of commit_mark was made */
};

/* Connects, sets the session up and, for a writer, takes the lock of the database. Retries for at most wait_ms while the
 * server is away or starting. */
enum status pg_connect(struct pg_conn *c, int64_t wait_ms, struct err *err) ATTR_CHECK;
/* The end of opening a store that others may share. */
enum status pg_let_others_in(struct pg_conn *c, struct err *err) ATTR_CHECK;
/* Reconnects if the connection is lost or its server has closed it. Outside transactions. */
enum status pg_ensure(struct pg_conn *c, struct err *err) ATTR_CHECK;
/* Closes the connection: everything prepared or pending on it is forgotten. */
void pg_drop(struct pg_conn *c);
/* ST_UNAVAILABLE, and the connection is dropped; what libpq says is logged. */
enum status pg_lost(struct pg_conn *c, const char *what, struct err *err);
/* The status for an error result; drops the connection when that is what the error means. */
enum status pg_error(struct pg_conn *c, const char *what, const PGresult *r, struct err *err);

/* Queues a command without parameters and rows. */
enum status pg_send_text(struct pg_conn *c, const char *text, struct err *err) ATTR_CHECK;
/* Queues a query, preparing it where needed. */
enum status pg_send(struct pg_conn *c, const struct sql_query *q, const struct sql_value *in,
                    struct err *err) ATTR_CHECK;
/* Sends everything, reads all answers and returns the first error; else *out (may be NULL) is the answer to the last
 * statement, the caller's to clear. */
enum status pg_sync(struct pg_conn *c, const char *what, PGresult **out,
                    struct err *err) ATTR_CHECK;

#endif
