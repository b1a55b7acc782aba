/* store/sql/file.c - reading SQLite files of other programs. */
#include "store/sql/file.h"
#include "base/mem.h"
#include "store/sql/sqlite_int.h"
#include <sqlite3.h>
#include <stdio.h>

enum { BUSY_MS = 5000, VALUE_MAX = 64 << 20, CACHE_KIB = 8192 };

struct sqlfile {
    sqlite3 *h;
};
struct sqlfile_rows {
    struct sqlfile *f;
    sqlite3_stmt *stmt;
};

static enum status failed(struct sqlfile *f, int rc, struct err *err)
{
    switch (rc & 0xff) {
    case SQLITE_NOMEM: return err_nomem(err);
    case SQLITE_CANTOPEN: return err_set(err, ST_NOT_FOUND, "the file cannot be opened");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ST_UNAVAILABLE, "another program has locked the file; try again");
    case SQLITE_TOOBIG: return err_set(err, ST_TOO_BIG, "a value in the file has more than 64 MiB");
    case SQLITE_NOTADB: return err_set(err, ST_CORRUPT, "the file is no SQLite database");
    default:
        return err_set(err, ST_CORRUPT, "the file is damaged, or is not what it should be: %s",
                       f->h ? sqlite3_errmsg(f->h) : "no memory");
    }
}

enum status sqlfile_open(struct sqlfile **out, const char *path, struct err *err)
{
    struct sqlfile *f = mem_zalloc(1, sizeof(*f));
    enum status st = f ? sqlite_library(err) : err_nomem(err);
    char cache[48];
    int rc;

    *out = NULL;
    if (st) {
        mem_free(f);
        return st;
    }
    rc = sqlite3_open_v2(path, &f->h, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc) {
        snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%d", CACHE_KIB);
        sqlite3_busy_timeout(f->h, BUSY_MS);
        sqlite3_limit(f->h, SQLITE_LIMIT_LENGTH, VALUE_MAX);
        sqlite3_db_config(f->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(f->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        rc = sqlite3_exec(f->h, cache, NULL, NULL, NULL);
    }
    rc = rc ? rc : sqlite3_exec(f->h, "PRAGMA cell_size_check=1", NULL, NULL, NULL);
    rc = rc ? rc : sqlite3_exec(f->h, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, NULL, NULL);
    if (rc) {
        st = failed(f, rc, err);
        sqlfile_close(f);
        return st;
    }
    *out = f;
    return OK;
}

void sqlfile_close(struct sqlfile *f)
{
    if (f) {
        sqlite3_close(f->h);
        mem_free(f);
    }
}

enum status sqlfile_has_table(struct sqlfile *f, const char *name, bool *out, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(
        f->h, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", -1, &stmt, NULL);

    if (!rc) {
        rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    }
    rc = rc ? rc : sqlite3_step(stmt);
    *out = rc == SQLITE_ROW;
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : failed(f, rc, err);
}

enum status sqlfile_query(struct sqlfile *f, const char *text, const int64_t *in, int n,
                          struct sqlfile_rows **out, struct err *err)
{
    struct sqlfile_rows *r = mem_zalloc(1, sizeof(*r));
    enum status st;
    int rc;

    *out = NULL;
    if (!r) {
        return err_nomem(err);
    }
    r->f = f;
    rc = sqlite3_prepare_v2(f->h, text, -1, &r->stmt, NULL);
    for (int i = 0; !rc && i < n; i++) {
        rc = sqlite3_bind_int64(r->stmt, i + 1, in[i]);
    }
    if (rc) {
        st = failed(f, rc, err);
        sqlfile_end(r);
        return st;
    }
    *out = r;
    return OK;
}

static enum status value(struct sqlfile_rows *r, int i, struct sqlfile_value *out, struct err *err)
{
    const void *p;

    *out = (struct sqlfile_value){ .kind = SQLFILE_NULL };
    switch (sqlite3_column_type(r->stmt, i)) {
    case SQLITE_INTEGER:
        out->kind = SQLFILE_INT;
        out->i = sqlite3_column_int64(r->stmt, i);
        out->d = (double)out->i;
        return OK;
    case SQLITE_FLOAT:
        out->kind = SQLFILE_REAL;
        out->d = sqlite3_column_double(r->stmt, i);
        return OK;
    case SQLITE_TEXT:
        out->kind = SQLFILE_TEXT;
        p = sqlite3_column_text(r->stmt, i);
        break;
    case SQLITE_BLOB:
        out->kind = SQLFILE_BLOB;
        p = sqlite3_column_blob(r->stmt, i);
        break;
    default: return OK;
    }
    out->s = (struct str){ p, (size_t)sqlite3_column_bytes(r->stmt, i) };
    if (!p && (out->s.n || out->kind == SQLFILE_TEXT)) {
        return err_nomem(err);
    }
    out->s = p ? out->s : S("");
    return OK;
}

enum status sqlfile_next(struct sqlfile_rows *r, struct sqlfile_value *out, int n, struct err *err)
{
    int rc = sqlite3_step(r->stmt);
    enum status st = OK;

    if (rc == SQLITE_DONE) {
        return ST_END;
    }
    if (rc != SQLITE_ROW) {
        return failed(r->f, rc, err);
    }
    for (int i = 0; !st && i < n; i++) {
        st = value(r, i, &out[i], err);
    }
    return st;
}

void sqlfile_end(struct sqlfile_rows *r)
{
    if (r) {
        sqlite3_finalize(r->stmt);
        mem_free(r);
    }
}
