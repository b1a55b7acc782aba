/* store/sql/sqlite.c - the embedded engine.
 * DIR/cairn.db in WAL mode with synchronous=FULL; one connection per thread (NOMUTEX). Nobody checkpoints by itself:
 * the writer does, when it is told to, because SQLite before 3.51.3 can corrupt a WAL that one connection resets while
 * another checkpoints. For the same reason DIR/lock keeps every other process out.
 *
 * Divisions: set-up of the library; errors; statements; transactions; upkeep; connections; the store. */
#include "base/buf.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/sql/sql_int.h"
#include "store/sql/sqlite_int.h"
#include "store/sql/walfile.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x6361726e, /* "carn": tells file(1) and people what the database is */
    WAL_LIMIT_BYTES = 32 * 1024 * 1024,
    CUT_WAIT_MS = 250,
    VALUE_MAX_BYTES = 512 * 1024 * 1024,
    LIST_MAX_BYTES = 64 * 1024 * 1024,
    WAL_HEADER = 32,
    WAL_FRAME_HEADER = 24,
    WAL_AHEAD_MIN = 16 * 1024,
    WAL_AHEAD_MAX = 1024 * 1024,
    WAL_AHEAD_PIECE = WALFILE_DIRECT, /* so that a disk that is full is found out here */
    MEM_HEADER = 16,
};

struct sqlite_db {
    struct sql_db base;
    char *path;        /* of the database file */
    char *vfs;         /* NULL = the system's */
    const char *layer; /* over it; NULL = none */
    int lock_fd;
    size_t writer_cache, reader_cache;
    int64_t max_pages;
};

enum fixed {
    F_BEGIN_READ,
    F_BEGIN_WRITE,
    F_BEGIN_EXCLUSIVE,
    F_COMMIT,
    F_ROLLBACK,
    F_SAVEPOINT,
    F_RELEASE,
    F_ROLLBACK_TO,
    F_N
};
static const char *const fixed_text[F_N] = {
    [F_BEGIN_READ] = "BEGIN",
    [F_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [F_BEGIN_EXCLUSIVE] = "BEGIN EXCLUSIVE",
    [F_COMMIT] = "COMMIT",
    [F_ROLLBACK] = "ROLLBACK",
    [F_SAVEPOINT] = "SAVEPOINT s",
    [F_RELEASE] = "RELEASE s",
    [F_ROLLBACK_TO] = "ROLLBACK TO s",
};

struct sqlite_conn {
    struct sql_conn base;
    sqlite3 *h; /* a reader's: NULL until its first use, and while it rests */
    sqlite3_stmt *fixed[F_N];
    struct sql_cache cache; /* of struct sqlite_stmt */
    int page_bytes;
    int wal_frames;    /* after the last commit, less what a checkpoint moved */
    int wal_end;       /* frames of the log, as the last commit left it */
    int wal_kept;      /* the same, 0 once the log was cut */
    int64_t wal_size;  /* of its file, when it was last looked at; 0 = unknown */
    bool wal_no_ahead; /* writing ahead failed: not again before the log restarts */
};

struct sqlite_stmt {
    struct sql_stmt base;
    sqlite3_stmt *h;
    bool busy;   /* between rows() and close() */
    bool cached; /* else freed by close() */
    bool done;   /* stepped to its end */
};

static struct sqlite_conn *conn_of(struct sql_conn *c)
{
    return CONTAINER_OF(c, struct sqlite_conn, base);
}

/* ---- the library: memory through base/mem, messages to the log ----------------------------------------------------- */

/* SQLite asks for the size of a block: it is kept in front. */
static void *mem_x_malloc(int n)
{
    char *p = mem_alloc((size_t)n + MEM_HEADER);

    if (!p) return NULL;
    memcpy(p, &n, sizeof(n));
    return p + MEM_HEADER;
}

static void mem_x_free(void *p)
{
    mem_free((char *)p - MEM_HEADER);
}

static void *mem_x_realloc(void *old, int n)
{
    char *p = mem_realloc((char *)old - MEM_HEADER, (size_t)n + MEM_HEADER);

    if (!p) return NULL;
    memcpy(p, &n, sizeof(n));
    return p + MEM_HEADER;
}

static int mem_x_size(void *p)
{
    int n;

    memcpy(&n, (char *)p - MEM_HEADER, sizeof(n));
    return n;
}

static int mem_x_roundup(int n)
{
    return n > INT32_MAX - 8 ? n : (n + 7) & ~7;
}

static int mem_x_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void mem_x_shutdown(void *ctx)
{
    (void)ctx;
}

static void on_message(void *ctx, int code, const char *text)
{
    (void)ctx;
    /* Constraints are answers, not events. A statement that meets a new schema fails inside and is prepared again; what
     * fails for good is logged by failed(). Recovery of a log is normal after a kill. */
    if ((code & 0xff) == SQLITE_CONSTRAINT) return;
    if ((code & 0xff) == SQLITE_NOTICE || code == SQLITE_SCHEMA || code == SQLITE_ERROR ||
        code == SQLITE_READONLY) {
        LOG_DEBUG("sqlite", "%s (%d)", text, code);
    } else {
        LOG_WARN("sqlite", "%s (%d)", text, code);
    }
}

/* *layer: of walfile.h over the file layer vfs; may be NULL. */
static enum status library_start(const char *vfs, const char **layer, struct err *err)
{
    static const sqlite3_mem_methods methods = { mem_x_malloc,   mem_x_free,    mem_x_realloc,
                                                 mem_x_size,     mem_x_roundup, mem_x_init,
                                                 mem_x_shutdown, NULL };
    static struct lock once = LOCK_INIT(LOCK_RANK_CACHE);
    static bool configured, started;
    int rc = SQLITE_OK;

    lock_take(&once);
    if (!configured) {
        if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) ||
            sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) ||
            sqlite3_config(SQLITE_CONFIG_LOG, on_message, NULL)) {
            LOG_WARN("sqlite", "was set up by another library before us");
        }
        configured = true;
    }
    if (!started) rc = sqlite3_initialize();
    started = rc == SQLITE_OK;
    if (started && layer) *layer = walfile_layer(vfs);
    lock_give(&once);
    if (rc == SQLITE_NOMEM) return err_nomem(err);
    return rc ? err_set(err, ST_INTERNAL, "sqlite cannot start (%d)", rc) : OK;
}

enum status sqlite_library(struct err *err)
{
    return library_start(NULL, NULL, err);
}

/* ---- errors -------------------------------------------------------------------------------------------------------- */

static enum status failed(struct sqlite_conn *c, const char *what, int rc, struct err *err)
{
    int os = c->h ? sqlite3_system_errno(c->h) : 0;
    enum status st;

    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
        if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
            rc == SQLITE_CONSTRAINT_ROWID)
            return err_set(err, ST_EXISTS, "already exists");
        return err_set(err, ST_INVALID, "a value is not allowed here");
    case SQLITE_MISMATCH: return err_set(err, ST_INVALID, "a value has the wrong type");
    case SQLITE_TOOBIG: return err_set(err, ST_TOO_BIG, "a value is too big to be stored");
    case SQLITE_NOMEM: return err_nomem(err);
    case SQLITE_FULL: st = err_set(err, ST_UNAVAILABLE, "no space left for the store"); break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        st = err_set(err, ST_UNAVAILABLE, "the store is locked by another operation");
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: st = err_set(err, ST_CORRUPT, "the store's database is damaged"); break;
    case SQLITE_READONLY:
        if (c->base.role == SQL_READER) return err_set(err, ST_INTERNAL, "a reader cannot write");
        st = err_set(err, ST_UNAVAILABLE, "the store cannot be written");
        break;
    case SQLITE_CANTOPEN:
        st = err_set(err, ST_UNAVAILABLE, "the store's database cannot be opened");
        break;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM) return err_nomem(err);
        st = os == ENOSPC || os == EDQUOT
                 ? err_set(err, ST_UNAVAILABLE, "no space left for the store")
                 : err_set(err, ST_IO, "the store's disk failed");
        break;
    case SQLITE_INTERRUPT: st = err_set(err, ST_CANCELLED, "interrupted"); break;
    default: st = err_set(err, ST_INTERNAL, "a statement failed (%d)", rc); break;
    }
    LOG_WARN("sqlite", "%s: %s (%d, errno %d)", what, c->h ? sqlite3_errmsg(c->h) : "no connection",
             rc, os);
    return st;
}

/* ---- statements ------------------------------------------------------------------------------------------------------ */

static enum status open_reader(struct sqlite_conn *c, struct err *err);

/* Before a handle is used for the first time after connecting or resting. */
static enum status wake(struct sqlite_conn *c, struct err *err)
{
    return LIKELY(c->h) ? OK : open_reader(c, err);
}

static void stmt_free(void *ctx, void *stmt)
{
    struct sqlite_stmt *s = stmt;

    (void)ctx;
    if (!s) return;
    sqlite3_finalize(s->h);
    mem_free(s);
}

static enum status stmt_prepare(struct sqlite_conn *c, const struct sql_query *q,
                                struct sqlite_stmt **out, struct err *err)
{
    struct sqlite_stmt *s;
    enum status st = wake(c, err);
    int rc;

    *out = NULL;
    if (st) return st;
    s = mem_zalloc(1, sizeof(*s));
    if (!s) return err_nomem(err);
    s->base = (struct sql_stmt){ &c->base, q };
    rc = sqlite3_prepare_v3(c->h, q->text[SQL_SQLITE], -1,
                            q->cached ? SQLITE_PREPARE_PERSISTENT : 0, &s->h, NULL);
    if (rc) {
        stmt_free(NULL, s);
        return failed(c, q->name, rc, err);
    }
    *out = s;
    return OK;
}

/* A prepared statement of q that nobody uses now. */
static enum status stmt_get(struct sqlite_conn *c, const struct sql_query *q,
                            struct sqlite_stmt **out, struct err *err)
{
    struct sqlite_stmt *kept = q->cached ? sql_cache_find(&c->cache, q) : NULL;
    enum status st;

    if (kept && !kept->busy) {
        *out = kept;
        return OK;
    }
    st = stmt_prepare(c, q, out, err);
    if (st) return st;
    if (q->cached && !kept) {
        st = sql_cache_add(&c->cache, q, *out, err);
        if (st) {
            stmt_free(NULL, *out);
            *out = NULL;
            return st;
        }
        (*out)->cached = true;
    }
    return OK;
}

static void stmt_put(struct sqlite_stmt *s)
{
    sqlite3_reset(s->h); /* repeats the error of the last step */
    s->busy = false;
    s->done = false;
    if (!s->cached) {
        stmt_free(NULL, s);
        return;
    }
    sqlite3_clear_bindings(s->h);
}

static void list_put_text(struct buf *b, struct str s)
{
    buf_put_u8(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];

        if (ch == '"' || ch == '\\') {
            buf_put_u8(b, '\\');
            buf_put_u8(b, ch);
        } else if (ch < 0x20) {
            buf_printf(b, "\\u%04x", ch);
        } else {
            buf_put_u8(b, ch);
        }
    }
    buf_put_u8(b, '"');
}

/* A list is one JSON array for json_each(). */
static enum status bind_list(struct sqlite_conn *c, sqlite3_stmt *h, int at, unsigned type,
                             const struct sql_value *v, struct err *err)
{
    struct buf b = BUF_INIT(LIST_MAX_BYTES);
    const int64_t *ints = v->list;
    const struct str *texts = v->list;
    enum status st;
    int rc;

    buf_put_u8(&b, '[');
    for (size_t i = 0; i < v->list_n; i++) {
        if (i) buf_put_u8(&b, ',');
        if (type == SQL_INT_LIST) {
            buf_printf(&b, "%" PRId64, ints[i]);
        } else {
            list_put_text(&b, texts[i]);
        }
    }
    buf_put_u8(&b, ']');
    st = buf_status(&b, "list of values", err);
    if (!st) {
        rc = sqlite3_bind_text64(h, at, b.p, b.n, SQLITE_TRANSIENT, SQLITE_UTF8);
        if (rc) st = failed(c, "bind", rc, err);
    }
    buf_release(&b);
    return st;
}

/* brief: the values stay where they are until the statement is reset. */
static enum status bind(struct sqlite_conn *c, struct sqlite_stmt *s, const struct sql_value *in,
                        bool brief, struct err *err)
{
    const struct sql_query *q = s->base.q;
    sqlite3_destructor_type keep = brief ? SQLITE_STATIC : SQLITE_TRANSIENT;

    for (int i = 0; i < q->in_n; i++) {
        const struct sql_value *v = &in[i];
        unsigned type = q->in[i] & SQL_TYPE_MASK;
        int rc = SQLITE_OK, at = i + 1;

        if (type == SQL_INT_LIST || type == SQL_TEXT_LIST) {
            enum status st = bind_list(c, s->h, at, type, v, err);

            if (st) return st;
        } else if ((v->null && (q->in[i] & SQL_MAYBE)) || (type == SQL_REAL && isnan(v->d))) {
            rc = sqlite3_bind_null(s->h, at);
        } else if (type == SQL_INT) {
            rc = sqlite3_bind_int64(s->h, at, v->i);
        } else if (type == SQL_REAL) {
            rc = sqlite3_bind_double(s->h, at, v->d);
        } else if (type == SQL_TEXT) {
            rc = sqlite3_bind_text64(s->h, at, v->s.p ? v->s.p : "", v->s.n, keep, SQLITE_UTF8);
        } else {
            rc = sqlite3_bind_blob64(s->h, at, v->s.p ? v->s.p : "", v->s.n, keep);
        }
        if (rc) return failed(c, q->name, rc, err);
    }
    return OK;
}

static enum status sqlite_exec(struct sql_conn *base, const struct sql_query *q,
                               const struct sql_value *in, int64_t *changed, struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    struct sqlite_stmt *s = NULL;
    enum status st = stmt_get(c, q, &s, err);
    int rc;

    if (st) return st;
    s->busy = true;
    st = bind(c, s, in, true, err);
    if (!st) {
        do {
            rc = sqlite3_step(s->h);
        } while (rc == SQLITE_ROW);
        if (rc != SQLITE_DONE) {
            st = failed(c, q->name, rc, err);
        } else if (changed) {
            *changed = sqlite3_changes64(c->h);
        }
    }
    stmt_put(s);
    return st;
}

static enum status sqlite_rows(struct sql_conn *base, const struct sql_query *q,
                               const struct sql_value *in, bool brief, struct sql_stmt **out,
                               struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    struct sqlite_stmt *s = NULL;
    enum status st = stmt_get(c, q, &s, err);

    *out = NULL;
    if (st) return st;
    s->busy = true;
    st = bind(c, s, in, brief, err);
    if (st) {
        stmt_put(s);
        return st;
    }
    *out = &s->base;
    return OK;
}

static enum status column(struct sqlite_conn *c, struct sqlite_stmt *s, int i,
                          struct sql_value *out, struct err *err)
{
    const struct sql_query *q = s->base.q;
    unsigned type = q->out[i] & SQL_TYPE_MASK;
    const void *p;

    *out = (struct sql_value){ .null = sqlite3_column_type(s->h, i) == SQLITE_NULL };
    if (out->null) return (q->out[i] & SQL_MAYBE) ? OK : sql_null_column(q, (unsigned)i, err);
    switch (type) {
    case SQL_INT: out->i = sqlite3_column_int64(s->h, i); return OK;
    case SQL_REAL: out->d = sqlite3_column_double(s->h, i); return OK;
    case SQL_TEXT: p = sqlite3_column_text(s->h, i); break;
    default: p = sqlite3_column_blob(s->h, i); break;
    }
    out->s = str_of(p, (size_t)sqlite3_column_bytes(s->h, i));
    if (!p && sqlite3_errcode(c->h) == SQLITE_NOMEM) return err_nomem(err);
    if (!p) out->s = S(""); /* an empty blob */
    return OK;
}

static enum status sqlite_next(struct sql_stmt *base, struct sql_value *out, struct err *err)
{
    struct sqlite_stmt *s = CONTAINER_OF(base, struct sqlite_stmt, base);
    struct sqlite_conn *c = conn_of(base->conn);
    int rc;

    if (s->done) return ST_END; /* another step would run the statement again */
    rc = sqlite3_step(s->h);
    if (rc == SQLITE_DONE) {
        s->done = true;
        return ST_END;
    }
    if (rc != SQLITE_ROW) {
        s->done = true;
        return failed(c, base->q->name, rc, err);
    }
    for (int i = 0; i < base->q->out_n; i++) {
        enum status st = column(c, s, i, &out[i], err);

        if (st) return st;
    }
    return OK;
}

static void sqlite_close(struct sql_stmt *base)
{
    struct sqlite_stmt *s = CONTAINER_OF(base, struct sqlite_stmt, base);

    /* A writing statement with RETURNING is complete only after its last step. */
    while (!s->done && !sqlite3_stmt_readonly(s->h)) {
        s->done = sqlite3_step(s->h) != SQLITE_ROW;
    }
    stmt_put(s);
}

static enum status sqlite_prepare_check(struct sql_conn *base, const struct sql_query *q,
                                        struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    struct sqlite_stmt *s = NULL;
    enum status st = stmt_prepare(c, q, &s, err);

    if (st || NEVER(!s)) {
        err_ctx(err, "%s: %s", q->name, sqlite3_errmsg(c->h));
        return st;
    }
    if (sqlite3_bind_parameter_count(s->h) != q->in_n) {
        st = err_set(err, ST_INTERNAL, "%s: takes %d parameters, declares %d", q->name,
                     sqlite3_bind_parameter_count(s->h), q->in_n);
    } else if (sqlite3_column_count(s->h) != q->out_n) {
        st = err_set(err, ST_INTERNAL, "%s: has %d columns, declares %d", q->name,
                     sqlite3_column_count(s->h), q->out_n);
    }
    stmt_free(NULL, s);
    return st;
}

static enum status sqlite_script(struct sql_conn *base, const char *text, struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    enum status st = wake(c, err);
    int rc;

    if (st) return st;
    rc = sqlite3_exec(c->h, text, NULL, NULL, NULL);
    return rc ? failed(c, "script", rc, err) : OK;
}

/* One integer of a statement without parameters. */
static enum status ask_int(struct sqlite_conn *c, const char *text, int64_t *out, struct err *err)
{
    sqlite3_stmt *h = NULL;
    enum status st = wake(c, err);
    int rc;

    if (st) return st;
    rc = sqlite3_prepare_v2(c->h, text, -1, &h, NULL);
    if (!rc) rc = sqlite3_step(h);
    if (rc == SQLITE_ROW) *out = sqlite3_column_int64(h, 0);
    sqlite3_finalize(h);
    return rc == SQLITE_ROW ? OK : failed(c, "pragma", rc, err);
}

static enum status sqlite_table_exists(struct sql_conn *base, const char *name, bool *out,
                                       struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    sqlite3_stmt *h = NULL;
    enum status st = wake(c, err);
    int rc;

    *out = false;
    if (st) return st;
    rc = sqlite3_prepare_v2(c->h, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                            -1, &h, NULL);
    if (!rc) rc = sqlite3_bind_text(h, 1, name, -1, SQLITE_STATIC);
    if (!rc) rc = sqlite3_step(h);
    *out = rc == SQLITE_ROW;
    sqlite3_finalize(h);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : failed(c, "schema", rc, err);
}

/* ---- transactions ------------------------------------------------------------------------------------------------------ */

static enum status fixed(struct sqlite_conn *c, enum fixed f, struct err *err)
{
    int rc = SQLITE_OK;

    if (!c->fixed[f])
        rc = sqlite3_prepare_v3(c->h, fixed_text[f], -1, SQLITE_PREPARE_PERSISTENT, &c->fixed[f],
                                NULL);
    if (!rc) {
        rc = sqlite3_step(c->fixed[f]);
        sqlite3_reset(c->fixed[f]); /* repeats rc */
    }
    return rc == SQLITE_DONE || rc == SQLITE_OK ? OK : failed(c, fixed_text[f], rc, err);
}

/* Syncing a file that has grown costs the file system a commit of its own, twice what overwriting costs (CPU and time). So zeros
 * are written ahead of the log, as much as it holds already and at most a megabyte; the sync that follows makes them durable.
 * To SQLite a frame of zeros is the end of the log: its salt and checksum do not fit. */
static void wal_ahead(struct sqlite_conn *c)
{
    static const char zeros[WAL_AHEAD_PIECE];
    int64_t used = WAL_HEADER + (int64_t)c->wal_end * (c->page_bytes + WAL_FRAME_HEADER);
    int64_t want = MIN_OF(used, (int64_t)WAL_AHEAD_MAX) / WAL_AHEAD_PIECE * WAL_AHEAD_PIECE;
    sqlite3_file *f = NULL;
    sqlite3_int64 size = 0;

    if (used < WAL_AHEAD_MIN || c->wal_no_ahead || c->wal_size - used >= want / 4) {
        return;
    }
    if (sqlite3_file_control(c->h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) || !f ||
        !f->pMethods || f->pMethods->xFileSize(f, &size) || size < used) {
        return;
    }
    c->wal_size = size;
    for (int64_t left = size - used < want / 4 ? want : 0; left > 0;) {
        int n = (int)MIN_OF(left, (int64_t)WAL_AHEAD_PIECE);

        if (f->pMethods->xWrite(f, zeros, n, c->wal_size)) {
            c->wal_no_ahead = true; /* a full disk, say: whoever needs the room finds out */
            return;
        }
        c->wal_size += n;
        left -= n;
    }
    FAILPOINT("store.sqlite.wal.ahead");
}

static enum status sqlite_begin(struct sql_conn *base, enum sql_tx tx, struct err *err)
{
    enum fixed f = tx == TX_READ        ? F_BEGIN_READ
                   : tx == TX_EXCLUSIVE ? F_BEGIN_EXCLUSIVE
                                        : F_BEGIN_WRITE;
    enum status st = wake(conn_of(base), err);

    if (st) return st;
    if (tx == TX_WRITE) wal_ahead(conn_of(base));
    return fixed(conn_of(base), f, err);
}

static void sqlite_rollback(struct sql_conn *base)
{
    struct sqlite_conn *c = conn_of(base);
    struct err ignored = ERR_INIT;

    /* SQLite ends the transaction itself after some errors. */
    if (sqlite3_get_autocommit(c->h)) return;
    if (fixed(c, F_ROLLBACK, &ignored) && !sqlite3_get_autocommit(c->h)) {
        /* no memory to prepare it: ask again in the simplest way */
        (void)sqlite3_exec(c->h, "ROLLBACK", NULL, NULL, NULL);
    }
}

static enum status sqlite_commit(struct sql_conn *base, struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    enum status st;

    if (sqlite3_get_autocommit(c->h))
        return err_set(err, ST_UNAVAILABLE, "the transaction was undone by an earlier failure");
    FAILPOINT("store.sqlite.commit.before");
    if (FAILPOINT_ERR("store.sqlite.commit.full")) {
        st = failed(c, "commit", SQLITE_FULL, err);
    } else {
        st = fixed(c, F_COMMIT, err);
    }
    FAILPOINT("store.sqlite.commit.after");
    if (st) sqlite_rollback(base);
    return st;
}

static enum status sqlite_savepoint(struct sql_conn *base, struct err *err)
{
    return fixed(conn_of(base), F_SAVEPOINT, err);
}

static enum status sqlite_release(struct sql_conn *base, struct err *err)
{
    return fixed(conn_of(base), F_RELEASE, err);
}

static enum status sqlite_rollback_to(struct sql_conn *base, struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    enum status st;

    if (sqlite3_get_autocommit(c->h))
        return err_set(err, ST_UNAVAILABLE, "the transaction was undone by an earlier failure");
    st = fixed(c, F_ROLLBACK_TO, err);
    return st ? st : fixed(c, F_RELEASE, err);
}

/* ---- upkeep ------------------------------------------------------------------------------------------------------------ */

static int on_wal(void *ctx, sqlite3 *h, const char *name, int frames)
{
    struct sqlite_conn *c = ctx;

    (void)h;
    (void)name;
    if (frames < c->wal_end) { /* the log began again, and may have been cut */
        c->wal_size = 0;
        c->wal_no_ahead = false;
    }
    c->wal_frames = c->wal_end = c->wal_kept = frames;
    return SQLITE_OK;
}

static enum status sqlite_checkpoint(struct sql_conn *base, enum sql_checkpoint_mode mode,
                                     struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    int how =
        mode == SQL_CHECKPOINT_PASSIVE ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE;
    int in_log = 0, moved = 0, rc;

    /* A reader may hold its snapshot for long: it is not waited for, or not for long. */
    sqlite3_busy_timeout(c->h, mode == SQL_CHECKPOINT_CUT ? (int)CUT_WAIT_MS : 0);
    FAILPOINT("store.sqlite.checkpoint.before");
    rc = sqlite3_wal_checkpoint_v2(c->h, NULL, how, &in_log, &moved);
    FAILPOINT("store.sqlite.checkpoint.after");
    sqlite3_busy_timeout(c->h, (int)base->db->busy_ms);
    if (rc && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) return failed(c, "checkpoint", rc, err);
    if (in_log >= moved && moved >= 0) c->wal_frames = in_log - moved;
    if (!rc && how == SQLITE_CHECKPOINT_TRUNCATE) c->wal_kept = 0;
    return OK;
}

static int64_t sqlite_wal_bytes(const struct sql_conn *base)
{
    const struct sqlite_conn *c = (const struct sqlite_conn *)base; /* its first member */

    return (int64_t)c->wal_frames * (c->page_bytes + WAL_FRAME_HEADER);
}

static int64_t sqlite_wal_kept(const struct sql_conn *base)
{
    const struct sqlite_conn *c = (const struct sqlite_conn *)base; /* its first member */

    return (int64_t)c->wal_kept * (c->page_bytes + WAL_FRAME_HEADER);
}

static enum status sqlite_verify(struct sql_conn *base, struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    sqlite3_stmt *h = NULL;
    enum status st = wake(c, err);
    int rc;

    if (st) return st;
    rc = sqlite3_prepare_v2(c->h, "PRAGMA quick_check(1)", -1, &h, NULL);
    if (!rc) rc = sqlite3_step(h);
    if (rc != SQLITE_ROW) {
        st = failed(c, "quick_check", rc, err);
    } else if (!str_eq_lit(str_cstr((const char *)sqlite3_column_text(h, 0)), "ok")) {
        st = err_set(err, ST_CORRUPT, "the store's database is damaged: %s",
                     (const char *)sqlite3_column_text(h, 0));
    }
    sqlite3_finalize(h);
    return st;
}

static enum status sqlite_version_text(struct sql_conn *base, struct arena *a, struct str *out,
                                       struct err *err)
{
    (void)base;
    *out = arena_printf(a, "SQLite %s", sqlite3_libversion());
    return out->p ? OK : err_nomem(err);
}

static enum status sqlite_size_bytes(struct sql_conn *base, int64_t *out, struct err *err)
{
    struct sqlite_conn *c = conn_of(base);
    enum status st = ask_int(c, "PRAGMA page_count", out, err);

    *out *= c->page_bytes;
    return st;
}

/* ---- connections ------------------------------------------------------------------------------------------------------- */

static void stmts_free(struct sqlite_conn *c)
{
    for (int i = 0; i < F_N; i++) {
        sqlite3_finalize(c->fixed[i]);
        c->fixed[i] = NULL;
    }
    sql_cache_clear(&c->cache, stmt_free, NULL);
}

static void sqlite_disconnect(struct sql_conn *base)
{
    struct sqlite_conn *c = conn_of(base);

    stmts_free(c);
    if (sqlite3_close(c->h)) BUG("a statement outlives its connection");
    mem_free(c);
}

/* A connection holds the schema as SQLite has parsed it, statements and a cache of pages. A background task needs none of
 * it between two rounds; the writer's is worth keeping, less the pages. */
static void sqlite_rest(struct sql_conn *base)
{
    struct sqlite_conn *c = conn_of(base);

    if (!c->h) return;
    if (base->role == SQL_WRITER) {
        (void)sqlite3_db_release_memory(c->h);
        return;
    }
    stmts_free(c);
    if (sqlite3_close(c->h)) BUG("a statement outlives its connection");
    c->h = NULL;
}

static enum status set_up(struct sqlite_conn *c, const struct sqlite_db *db, enum sql_role role,
                          struct err *err)
{
    size_t cache = role == SQL_WRITER ? db->writer_cache : db->reader_cache;
    char text[512];
    int64_t n = 0;
    enum status st;

    sqlite3_extended_result_codes(c->h, 1);
    sqlite3_busy_timeout(c->h, (int)db->base.busy_ms);
    sqlite3_wal_hook(c->h, on_wal, c); /* also takes the place of automatic checkpoints */
    sqlite3_limit(c->h, SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES);
    sqlite3_limit(c->h, SQLITE_LIMIT_WORKER_THREADS, 0);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    if (role == SQL_READER) sqlite3_db_config(c->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (role == SQL_WRITER) {
        st = sqlite_script(&c->base, "PRAGMA journal_mode = WAL", err);
        if (st) return st;
    }
    snprintf(text, sizeof(text),
             "PRAGMA synchronous = FULL; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;"
             "PRAGMA cell_size_check = ON; PRAGMA secure_delete = FAST; PRAGMA cache_size = -%zu;"
             "PRAGMA journal_size_limit = %d; %s",
             cache / 1024, (int)WAL_LIMIT_BYTES,
             role == SQL_READER ? "PRAGMA query_only = ON" : "");
    st = sqlite_script(&c->base, text, err);
    if (!st && db->max_pages) {
        snprintf(text, sizeof(text), "PRAGMA max_page_count = %" PRId64, db->max_pages);
        st = sqlite_script(&c->base, text, err);
    }
    if (!st) st = ask_int(c, "PRAGMA page_size", &n, err);
    c->page_bytes = (int)n;
    return st;
}

static enum status open_handle(struct sqlite_conn *c, const struct sqlite_db *db, int flags,
                               struct err *err)
{
    int rc = sqlite3_open_v2(db->path, &c->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | flags,
                             db->layer ? db->layer : db->vfs);
    enum status st;

    if (!rc) return OK;
    st = failed(c, "open", rc, err);
    sqlite3_close(c->h);
    c->h = NULL;
    return st;
}

/* WAL needs shared memory, which some network file systems lack: SQLite then silently stays in another mode. */
static enum status check_wal(struct sqlite_conn *c, struct err *err)
{
    sqlite3_stmt *h = NULL;
    int rc = sqlite3_prepare_v2(c->h, "PRAGMA journal_mode", -1, &h, NULL);
    bool wal = false;

    if (!rc) rc = sqlite3_step(h);
    if (rc == SQLITE_ROW)
        wal = str_eq_lit(str_cstr((const char *)sqlite3_column_text(h, 0)), "wal");
    sqlite3_finalize(h);
    if (rc != SQLITE_ROW) return failed(c, "journal_mode", rc, err);
    if (wal) return OK;
    rc = (int)err_set(
        err, ST_IO, "the store's file system has no shared memory files (a network file system?)");
    err_hint(err, "put the store on a local disk, or use PostgreSQL");
    return (enum status)rc;
}

/* Before a byte is written: a file of another program is left as it is. */
static enum status check_foreign(struct sqlite_conn *c, struct err *err)
{
    int64_t id = 0, tables = 0;
    bool alembic = false;
    enum status st = ask_int(c, "PRAGMA application_id", &id, err);
    char text[64];

    if (st || id == APPLICATION_ID) return st;
    st = ask_int(c, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (!st) st = sqlite_table_exists(&c->base, "alembic_version", &alembic, err);
    if (st || alembic) return st; /* migrate.c says what that is */
    if (tables) return err_set(err, ST_INVALID_STATE, "cairn.db is a database of another program");
    snprintf(text, sizeof(text), "PRAGMA application_id = %d", (int)APPLICATION_ID);
    return sqlite_script(&c->base, text, err);
}

static enum status open_reader(struct sqlite_conn *c, struct err *err)
{
    struct sqlite_db *db = CONTAINER_OF(c->base.db, struct sqlite_db, base);
    enum status st = open_handle(c, db, 0, err);

    if (st) return st;
    st = set_up(c, db, SQL_READER, err);
    if (!st) {
        sqlite3_limit(c->h, SQLITE_LIMIT_ATTACHED, 0);
        return OK;
    }
    stmts_free(c);
    sqlite3_close(c->h);
    c->h = NULL;
    return st;
}

/* What recovery has found may hold a commit that was written and never synced. Who reads it now must find it after a power loss
 * too; the next commit would sync it, but an answer can come before that. */
static enum status sync_found(struct sqlite_conn *c, int64_t *found, struct err *err)
{
    sqlite3_file *f = NULL;
    sqlite3_int64 size = 0;
    int rc = sqlite3_file_control(c->h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f);

    if (!rc && f && f->pMethods) rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
    if (!rc && f && f->pMethods) rc = f->pMethods->xFileSize(f, &size);
    if (*found < 0) *found = size; /* at most */
    return rc ? failed(c, "sync the log", rc, err) : OK;
}

static enum status sqlite_connect(struct sql_conn **out, struct sql_db *base, enum sql_role role,
                                  struct err *err)
{
    struct sqlite_db *db = CONTAINER_OF(base, struct sqlite_db, base);
    struct sqlite_conn *c = mem_zalloc(1, sizeof(*c));
    int64_t found = 0;
    enum status st;

    if (!c) return err_nomem(err);
    c->base.db = base;
    if (role == SQL_READER) { /* wake() opens it */
        *out = &c->base;
        return OK;
    }
    found = db->vfs ? -1 : walfile_live_bytes(db->path);
    if (base->wal_found == 0 && found > 0) base->wal_found = found;
    st = open_handle(c, db, SQLITE_OPEN_CREATE, err);
    if (st) goto fail;
    sqlite3_extended_result_codes(c->h, 1);
    sqlite3_busy_timeout(c->h, (int)base->busy_ms);
    st = check_foreign(c, err);
    if (st) goto fail;
    st = set_up(c, db, role, err);
    if (!st) st = check_wal(c, err);
    if (!st) st = sync_found(c, &found, err);
    if (st) goto fail;
    /* What was recovered is still there, and nobody has told how much of it a checkpoint had moved. */
    if (c->wal_end == 0) {
        c->wal_end = (int)(found / (c->page_bytes + WAL_FRAME_HEADER));
        c->wal_frames = c->wal_kept = c->wal_end;
    }
    sqlite3_limit(c->h, SQLITE_LIMIT_ATTACHED, 0);
    *out = &c->base;
    return OK;
fail:
    stmts_free(c);
    sqlite3_close(c->h);
    mem_free(c);
    return st;
}

/* ---- the store --------------------------------------------------------------------------------------------------------- */

static enum status sync_copy(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? mem_strdup(path) : NULL;
    int fd = sys.open(path, O_RDONLY, 0);
    enum status st = OK;

    if (slash && !dir) {
        st = err_nomem(err);
    } else if (fd < 0 || sys.fsync(fd) < 0) {
        st = err_errno(err, errno, "sync the copy");
    } else {
        if (dir) dir[slash == path ? 1 : slash - path] = '\0';
        st = fs_sync_dir(dir ? dir : ".", err);
    }
    if (fd >= 0) (void)sys.close(fd);
    mem_free(dir);
    return st;
}

static enum status sqlite_backup(struct sql_db *base, const char *path, struct err *err)
{
    struct sqlite_db *db = CONTAINER_OF(base, struct sqlite_db, base);
    struct sqlite_conn c = { .base = { .db = base } };
    sqlite3_stmt *h = NULL;
    struct stat info;
    enum status st;
    int rc;

    if (!db->vfs && sys.stat(path, &info) == 0)
        return err_set(err, ST_EXISTS, "the target file exists already");
    st = open_handle(&c, db, 0, err);
    if (st) return st;
    st = set_up(&c, db, SQL_READER, err);
    if (st) goto out;
    rc = sqlite3_exec(c.h, "PRAGMA query_only = OFF", NULL, NULL, NULL);
    if (!rc) rc = sqlite3_prepare_v2(c.h, "VACUUM INTO ?1", -1, &h, NULL);
    if (!rc) rc = sqlite3_bind_text(h, 1, path, -1, SQLITE_STATIC);
    if (!rc) rc = sqlite3_step(h);
    if (rc != SQLITE_DONE) st = failed(&c, "backup", rc, err);
    sqlite3_finalize(h);
    if (!st && !db->vfs) st = sync_copy(path, err);
    if (st && !db->vfs) (void)sys.unlink(path);
out:
    stmts_free(&c);
    sqlite3_close(c.h);
    return st;
}

static void sqlite_close_db(struct sql_db *base)
{
    struct sqlite_db *db = CONTAINER_OF(base, struct sqlite_db, base);

    if (db->lock_fd >= 0) (void)sys.close(db->lock_fd);
    mem_free(db->path);
    mem_free(db->vfs);
    mem_free(db);
}

static bool sqlite_accepts(const char *location)
{
    return location != NULL;
}

/* Someone may hand us the file of an MLflow server, or any other file: it stays as it is. */
static enum status refuse_file(struct err *err)
{
    enum status st = err_set(err, ST_INVALID_STATE,
                             "the store is a file: cairn keeps its store in a folder of its own");

    err_hint(
        err,
        "name a folder; a database file of an MLflow server can stay where it is and keeps working there");
    return st;
}

static enum status own_folder(struct sqlite_db *db, const struct sql_options *opt, struct arena *a,
                              struct err *err)
{
    struct str text;
    struct stat info;
    char *lock;
    enum status st;

    if (sys.stat(opt->location, &info) == 0 && !S_ISDIR(info.st_mode)) return refuse_file(err);
    st = fs_mkdirs(opt->location, err);
    if (st) return st;
    lock = fs_join(a, opt->location, "lock");
    text = arena_printf(a, "pid %ld%s%s", (long)getpid(), opt->owner ? ", " : "",
                        opt->owner ? opt->owner : "");
    if (!lock || !text.p) return err_nomem(err);
    st = fs_lock_file(lock, text.p, &db->lock_fd, err);
    if (st == ST_CONFLICT) {
        err_ctx(err, "another cairn has this store open");
        err_hint(err, "one server owns a store: use it, or stop it first");
    }
    return st;
}

static enum status sqlite_open(struct sql_db **out, const struct sql_options *opt, struct err *err)
{
    struct arena *a = arena_new(64 * 1024);
    struct sqlite_db *db = mem_zalloc(1, sizeof(*db));
    char *path = a ? fs_join(a, opt->location, "cairn.db") : NULL;
    enum status st;

    if (db) db->lock_fd = -1;
    if (!path || !db) {
        st = err_nomem(err);
        goto out;
    }
    st = library_start(opt->vfs, &db->layer, err);
    if (st) goto out;
    db->writer_cache = opt->writer_cache_bytes ? opt->writer_cache_bytes : 16u << 20;
    db->reader_cache = opt->reader_cache_bytes ? opt->reader_cache_bytes : 1u << 20;
    db->max_pages = opt->max_pages;
    db->path = mem_strdup(path);
    db->vfs = opt->vfs ? mem_strdup(opt->vfs) : NULL;
    if (!db->path || (opt->vfs && !db->vfs)) {
        st = err_nomem(err);
    } else if (!opt->no_lock) {
        st = own_folder(db, opt, a, err);
    }
out:
    arena_free(a);
    if (st) {
        if (db) sqlite_close_db(&db->base);
        return st;
    }
    *out = &db->base;
    return OK;
}

/* One process has the store, always. */
static enum status sqlite_share(struct sql_conn *c, struct err *err)
{
    (void)c;
    (void)err;
    return OK;
}

const struct sql_ops sql_sqlite_ops = {
    .name = "sqlite",
    .accepts = sqlite_accepts,
    .open = sqlite_open,
    .close_db = sqlite_close_db,
    .connect = sqlite_connect,
    .disconnect = sqlite_disconnect,
    .rest = sqlite_rest,
    .share = sqlite_share,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .savepoint = sqlite_savepoint,
    .release = sqlite_release,
    .rollback_to = sqlite_rollback_to,
    .exec = sqlite_exec,
    .rows = sqlite_rows,
    .next = sqlite_next,
    .close = sqlite_close,
    .prepare_check = sqlite_prepare_check,
    .script = sqlite_script,
    .table_exists = sqlite_table_exists,
    .checkpoint = sqlite_checkpoint,
    .wal_bytes = sqlite_wal_bytes,
    .wal_kept = sqlite_wal_kept,
    .backup = sqlite_backup,
    .verify = sqlite_verify,
    .version_text = sqlite_version_text,
    .size_bytes = sqlite_size_bytes,
};

/* ---- files of others --------------------------------------------------------------------------------------------------- */

/* The path as a SQLite URI that promises the file does not change: then nothing is written beside it. */
static char *immutable_uri(const char *path)
{
    static const char tail[] = "?immutable=1", digits[] = "0123456789ABCDEF";
    char *uri = mem_alloc(strlen(path) * 3 + sizeof("file:") + sizeof(tail)), *at = uri;

    if (!uri) return NULL;
    memcpy(at, "file:", 5);
    at += 5;
    for (const char *p = path; *p; p++) {
        unsigned char b = (unsigned char)*p;

        if (b == '%' || b == '?' || b == '#') {
            *at++ = '%';
            *at++ = digits[b >> 4];
            *at++ = digits[b & 15];
        } else {
            *at++ = *p;
        }
    }
    memcpy(at, tail, sizeof(tail));
    return uri;
}

enum status sql_refuse_foreign_file(const char *path, struct err *err)
{
    struct sqlite_conn c = { .h = NULL };
    char *uri = immutable_uri(path);
    bool alembic = false;
    enum status st = uri ? library_start(NULL, NULL, err) : err_nomem(err);
    int rc;

    if (st) goto out;
    rc = sqlite3_open_v2(uri, &c.h, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
                         NULL);
    st = rc ? failed(&c, "open", rc, err) : OK;
    if (!st) st = sqlite_table_exists(&c.base, "alembic_version", &alembic, err);
    if (!st && alembic) {
        st = err_set(
            err, ST_INVALID_STATE,
            "the database belongs to an MLflow server (it holds MLflow's own tables); nothing was changed");
        err_hint(err,
                 "give cairn a database or folder of its own: MLflow can go on using this one");
    }
out:
    sqlite3_close(c.h);
    mem_free(uri);
    return st;
}
