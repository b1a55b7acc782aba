/* store/sql/migrate.c - the schema: its version, and the way from an older one to this program's.
 * Migrations are embedded, numbered, forward-only, and run in one transaction that keeps other processes out, so
 * servers that start at the same time find either the old schema or the new one, never half of it. */
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "store/sql/sql_int.h"
#include <inttypes.h>

static const unsigned char version_out[] = { SQL_INT };
static const char *const version_names[] = { "version" };
static const struct sql_query version_query = {
    .name = "schema_version",
    .text = { "SELECT coalesce(max(version), 0) FROM schema_version",
              "SELECT coalesce(max(version), 0) FROM schema_version" },
    .kind = SQL_ONE,
    .out = version_out,
    .out_n = 1,
    .out_names = version_names,
};
static const unsigned char add_in[] = { SQL_INT, SQL_TEXT, SQL_INT };
static const struct sql_query add_query = {
    .name = "schema_version_add",
    .text = { "INSERT INTO schema_version (version, name, applied_ms) VALUES (?1, ?2, ?3)",
              "INSERT INTO schema_version (version, name, applied_ms) VALUES ($1, $2, $3)" },
    .kind = SQL_EXEC,
    .in = add_in,
    .in_n = 3,
};
static const char *const create_version[SQL_ENGINE_N] = {
    [SQL_SQLITE] =
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, "
        "name TEXT NOT NULL, applied_ms INTEGER NOT NULL) STRICT;",
    [SQL_POSTGRES] =
        "CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL PRIMARY KEY, "
        "name text NOT NULL, applied_ms bigint NOT NULL);",
};

int64_t sql_schema_newest(void)
{
    return sql_migrations_n ? sql_migrations[sql_migrations_n - 1].version : 0;
}

enum status sql_schema_version(struct sql_conn *c, int64_t *out, struct err *err)
{
    struct sql_value v[1];
    bool exists = false;
    enum status st = c->ops->table_exists(c, "schema_version", &exists, err);

    *out = 0;
    if (st || !exists) return st;
    st = sql_one(c, &version_query, NULL, NULL, v, err);
    if (!st) *out = v[0].i;
    return st;
}

static enum status refuse_newer(int64_t version, struct err *err)
{
    enum status st = err_set(err, ST_INVALID_STATE,
                             "the store has schema version %" PRId64
                             ", this program knows versions up to %" PRId64,
                             version, sql_schema_newest());

    err_hint(err, "run the cairn release that wrote the store, or a later one");
    return st;
}

/* A database that an MLflow server created: its tables stay as they are. */
static enum status refuse_mlflow(struct sql_conn *c, struct err *err)
{
    bool alembic = false, experiments = false;
    enum status st = c->ops->table_exists(c, "alembic_version", &alembic, err);

    if (!st && alembic) st = c->ops->table_exists(c, "experiments", &experiments, err);
    if (st || !alembic || !experiments) return st;
    st = err_set(
        err, ST_INVALID_STATE,
        "the database belongs to an MLflow server (it holds MLflow's own tables); nothing was changed");
    err_hint(err, "give cairn a database or folder of its own: MLflow can go on using this one");
    return st;
}

enum status sql_check_schema(struct sql_conn *c, struct err *err)
{
    int64_t version = 0;
    enum status st = sql_schema_version(c, &version, err);

    if (st || version == sql_schema_newest()) return st;
    if (version > sql_schema_newest()) return refuse_newer(version, err);
    st = version ? OK : refuse_mlflow(c, err);
    if (st) return st;
    st = err_set(err, ST_INVALID_STATE,
                 "the store has schema version %" PRId64 ", this program needs %" PRId64, version,
                 sql_schema_newest());
    err_hint(err, "start the server once: it upgrades the store");
    return st;
}

static enum status apply_one(struct sql_conn *c, const struct sql_migration *m, struct err *err)
{
    struct sql_value in[3] = { { .i = m->version },
                               { .s = str_cstr(m->name) },
                               { .i = clock_wall_ms() } };
    enum status st = sql_script(c, m->text[sql_conn_engine(c)], err);

    if (!st) st = sql_exec(c, &add_query, in, NULL, err);
    if (st) err_ctx(err, "schema migration %s", m->name);
    return st;
}

static enum status apply_all(struct sql_conn *c, int64_t *from, struct err *err)
{
    enum status st =
        sql_schema_version(c, from, err); /* again: another process may have been first */

    if (st) return st;
    if (*from > sql_schema_newest()) return refuse_newer(*from, err);
    if (*from == 0) {
        st = refuse_mlflow(c, err);
        if (!st) st = sql_script(c, create_version[sql_conn_engine(c)], err);
    }
    for (unsigned i = 0; !st && i < sql_migrations_n; i++) {
        if (sql_migrations[i].version > *from) st = apply_one(c, &sql_migrations[i], err);
    }
    return st;
}

enum status sql_migrate(struct sql_conn *c, enum sql_schema_mode mode, struct err *err)
{
    int64_t version = 0;
    enum status st;

    if (mode == SQL_SCHEMA_CHECK) return sql_check_schema(c, err);
    st = sql_schema_version(c, &version, err);
    if (st) return st;
    if (version > sql_schema_newest()) return refuse_newer(version, err);
    if (version == sql_schema_newest()) return OK;
    if (c->beside) {
        st = err_set(err, ST_CONFLICT,
                     "the store has schema version %" PRId64 ", this program needs %" PRId64
                     ", and other servers use it",
                     version, sql_schema_newest());
        err_hint(err, "stop all servers of this database, then start those of one release");
        return st;
    }
    if (version == 0) {
        st = refuse_mlflow(c, err);
        if (st) return st;
    }
    st = sql_begin_exclusive(c, err);
    if (st) return st;
    st = apply_all(c, &version, err);
    if (st) {
        sql_rollback(c);
        return st;
    }
    FAILPOINT("store.migrate.before_commit");
    st = sql_commit(c, err);
    if (!st && version != sql_schema_newest())
        LOG_INFO("sql", "schema version %" PRId64 " -> %" PRId64, version, sql_schema_newest());
    return st;
}
