/* import/mlmd_file.c - rows of the SQLite file of a store of ML Metadata. The file may hold anything: a value that fits nowhere is left
 * out and noted; a row that makes no sense is sent as it is and skipped by the server, with its reason. */
#include "base/mem.h"
#include "codec/base64.h"
#include "import/mlmd_source.h"
#include "import/wire.h"
#include "store/sql/file.h"
#include <inttypes.h>
#include <stdio.h>

#define W(name_) CAIRN_MLMD_V1_IMPORT_WHAT_IMPORT_##name_

enum {
    SCHEMA_MIN = 6,
    SCHEMA_EXTERNAL = 9,
    SCHEMA_MORE_VALUES = 10,
    ROW_MAX = MLMD_MESSAGE - (1 << 20)
};

struct file {
    struct mlmd_source base;
    struct sqlfile *db;
    int64_t schema;
    int what;
    int64_t after; /* number of the last row */
    bool done;
};

static bool is_text(const struct sqlfile_value *v)
{
    return v->kind == SQLFILE_TEXT || v->kind == SQLFILE_BLOB;
}

static void put_text(struct buf *b, unsigned field, const struct sqlfile_value *v)
{
    if (is_text(v)) wire_put_bytes(b, field, v->s);
}

static void put_int(struct buf *b, unsigned field, const struct sqlfile_value *v)
{
    if (v->kind == SQLFILE_INT) wire_put_i64(b, field, v->i);
}

static void note(struct file *f, int what, int64_t number, const char *before, struct str name,
                 const char *after)
{
    char text[512];

    snprintf(text, sizeof(text), "%s %.*s%s", before, STR_ARG(str_sub(name, 0, 200)), after);
    f->base.notes.note(f->base.notes.ctx, what, number, text);
}

/* ---- values ------------------------------------------------------------------------------------------------------------------ */

enum { V_NAME, V_CUSTOM, V_INT, V_DOUBLE, V_STRING, V_PROTO, V_BOOL, V_N };

/* A message that lies in a text as base64. */
static enum status put_packed(struct buf *b, unsigned field, struct str text, struct arena *a,
                              bool *fits, struct err *err)
{
    struct str bytes;
    bool nomem = false;

    *fits = base64_decode(text, a, &bytes, &nomem);
    if (nomem) {
        return err_nomem(err);
    }
    if (*fits) wire_put_bytes(b, field, bytes);
    return OK;
}

/* The Value of a row of properties. *fits is false for one that is none. */
static enum status put_value(struct buf *b, const struct sqlfile_value *v, struct arena *a,
                             bool *fits, struct err *err)
{
    struct str head = S("mlmd-struct::");

    *fits = true;
    if (v[V_INT].kind == SQLFILE_INT) {
        wire_put_i64(b, 1, v[V_INT].i);
    } else if (v[V_DOUBLE].kind == SQLFILE_REAL || v[V_DOUBLE].kind == SQLFILE_INT) {
        wire_put_double(b, 2, v[V_DOUBLE].d);
    } else if (is_text(&v[V_STRING]) && str_starts(v[V_STRING].s, head)) {
        return put_packed(b, 4, str_sub(v[V_STRING].s, head.n, v[V_STRING].s.n), a, fits, err);
    } else if (is_text(&v[V_STRING])) {
        wire_put_bytes(b, 3, v[V_STRING].s);
    } else if (is_text(&v[V_PROTO])) {
        return put_packed(b, 5, v[V_PROTO].s, a, fits, err);
    } else if (v[V_BOOL].kind == SQLFILE_INT) {
        wire_put_i64(b, 6, v[V_BOOL].i != 0);
    } else {
        *fits = false;
    }
    return OK;
}

static enum status put_properties(struct file *f, int what, const char *text, int64_t number,
                                  struct buf *row, struct arena *a, struct err *err)
{
    struct sqlfile_rows *r = NULL;
    struct sqlfile_value v[V_N];
    struct buf value = BUF_INIT(ROW_MAX), entry = BUF_INIT(ROW_MAX);
    enum status st = sqlfile_query(f->db, text, &number, 1, &r, err);

    while (!st && (st = sqlfile_next(r, v, V_N, err)) == OK) {
        bool fits;

        buf_clear(&value);
        buf_clear(&entry);
        st = put_value(&value, v, a, &fits, err);
        if (!st && !fits) {
            note(f, what, number, "property", v[V_NAME].s, " has no value, and is left out");
            continue;
        }
        put_text(&entry, 1, &v[V_NAME]);
        wire_put_bytes(&entry, 2, buf_str(&value));
        wire_put_bytes(row, v[V_CUSTOM].i ? 5 : 4, buf_str(&entry));
        st = st ? st : buf_status(&value, "value", err);
        st = st ? st : buf_status(&entry, "property", err);
    }
    buf_release(&value);
    buf_release(&entry);
    sqlfile_end(r);
    return st == ST_END ? OK : st;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------- */

/* Columns of a node: id, type_id, name, external_id, the two times, and one or two more. */
enum { N_ID, N_TYPE, N_NAME, N_EXTERNAL, N_CREATE, N_UPDATE, N_STATE, N_URI, N_N };

static const struct node_table {
    const char *name, *key, *more;
    uint8_t at_name, at_state, at_uri, at_create, at_update, at_external;
} node_tables[] = {
    { "Artifact", "artifact_id", "state, uri", 7, 6, 3, 9, 10, 11 },
    { "Execution", "execution_id",
      "last_known_state, (SELECT t.name FROM Type t WHERE t.id = Execution.type_id)", 6, 3, 7, 8, 9,
      10 }, /* 7: the name of its type */
    { "Context", "context_id", "NULL, NULL", 3, 0, 0, 7, 8, 9 },
};

static enum status node_row(struct file *f, int what, const struct node_table *t,
                            const struct sqlfile_value *v, struct mlmd_page *page, struct err *err)
{
    const char *more = f->schema >= SCHEMA_MORE_VALUES ? "proto_value, bool_value" : "NULL, NULL";
    struct buf row = BUF_INIT(ROW_MAX);
    char text[400];
    enum status st;

    put_int(&row, 1, &v[N_ID]);
    put_int(&row, 2, &v[N_TYPE]);
    put_text(&row, t->at_name, &v[N_NAME]);
    put_text(&row, t->at_external, &v[N_EXTERNAL]);
    put_int(&row, t->at_create, &v[N_CREATE]);
    put_int(&row, t->at_update, &v[N_UPDATE]);
    if (t->at_state) put_int(&row, t->at_state, &v[N_STATE]);
    if (t->at_uri) put_text(&row, t->at_uri, &v[N_URI]);
    snprintf(text, sizeof(text),
             "SELECT name, is_custom_property, int_value, double_value, string_value, %s FROM "
             "%sProperty WHERE %s = ?1",
             more, t->name, t->key);
    st = put_properties(f, what, text, v[N_ID].i, &row, page->arena, err);
    st = st ? st : buf_status(&row, "row", err);
    st = st ? st : mlmd_page_add(page, buf_str(&row), err);
    buf_release(&row);
    return st;
}

/* ---- types ------------------------------------------------------------------------------------------------------------------- */

enum { T_ID, T_NAME, T_VERSION, T_DESCRIPTION, T_EXTERNAL, T_BASE, T_INPUT, T_OUTPUT, T_N };

static int64_t base_of(struct str name)
{
    static const char *const names[] = { "mlmd.Dataset",    "mlmd.Model",    "mlmd.Metrics",
                                         "mlmd.Statistics", "mlmd.Train",    "mlmd.Transform",
                                         "mlmd.Process",    "mlmd.Evaluate", "mlmd.Deploy" };

    for (size_t i = 0; i < ARRAY_N(names); i++) {
        if (str_eq(name, str_cstr(names[i]))) {
            return i < 4 ? (int64_t)i + 1 : (int64_t)i - 3;
        }
    }
    return 0;
}

static enum status type_row(struct file *f, int what, const struct sqlfile_value *v,
                            struct mlmd_page *page, struct err *err)
{
    bool execution = what == W(EXECUTION_TYPES);
    struct buf row = BUF_INIT(ROW_MAX), entry = BUF_INIT(ROW_MAX);
    struct sqlfile_rows *r = NULL;
    struct sqlfile_value p[2];
    int64_t id = v[T_ID].i, base = is_text(&v[T_BASE]) ? base_of(v[T_BASE].s) : 0;
    enum status st = sqlfile_query(
        f->db, "SELECT name, data_type FROM TypeProperty WHERE type_id = ?1", &id, 1, &r, err);

    put_int(&row, 1, &v[T_ID]);
    put_text(&row, 2, &v[T_NAME]);
    put_text(&row, execution ? 6 : 4, &v[T_VERSION]);
    put_text(&row, execution ? 7 : 5, &v[T_DESCRIPTION]);
    if (base) wire_put_i64(&row, execution ? 8 : 6, base);
    put_text(&row, execution ? 9 : 7, &v[T_EXTERNAL]);
    if (is_text(&v[T_INPUT]) || is_text(&v[T_OUTPUT])) {
        note(f, what, id, "type", v[T_NAME].s, ": its input_type and output_type are left out");
    }
    while (!st && (st = sqlfile_next(r, p, 2, err)) == OK) {
        buf_clear(&entry);
        put_text(&entry, 1, &p[0]);
        put_int(&entry, 2, &p[1]);
        wire_put_bytes(&row, 3, buf_str(&entry));
        st = buf_status(&entry, "property", err);
    }
    st = st == ST_END ? OK : st;
    sqlfile_end(r);
    buf_release(&entry);
    st = st ? st : buf_status(&row, "row", err);
    st = st ? st : mlmd_page_add(page, buf_str(&row), err);
    buf_release(&row);
    return st;
}

/* ---- links ------------------------------------------------------------------------------------------------------------------- */

/* After the number of the row: artifact or child, and so on. */
static enum status pair_row(const struct sqlfile_value *v, struct mlmd_page *page, struct err *err)
{
    struct buf row = BUF_INIT(64);
    enum status st;

    put_int(&row, 1, &v[1]);
    put_int(&row, 2, &v[2]);
    st = buf_status(&row, "row", err);
    st = st ? st : mlmd_page_add(page, buf_str(&row), err);
    buf_release(&row);
    return st;
}

static enum status event_row(struct file *f, const struct sqlfile_value *v, struct mlmd_page *page,
                             struct err *err)
{
    struct buf row = BUF_INIT(ROW_MAX), path = BUF_INIT(ROW_MAX), step = BUF_INIT(ROW_MAX);
    struct sqlfile_rows *r = NULL;
    struct sqlfile_value p[3];
    int64_t id = v[0].i;
    enum status st =
        sqlfile_query(f->db,
                      "SELECT is_index_step, step_index, step_key FROM EventPath WHERE event_id = "
                      "?1 ORDER BY rowid",
                      &id, 1, &r, err);

    while (!st && (st = sqlfile_next(r, p, 3, err)) == OK) {
        buf_clear(&step);
        if (p[0].i) {
            put_int(&step, 1, &p[1]);
        } else {
            put_text(&step, 2, &p[2]);
        }
        wire_put_bytes(&path, 1, buf_str(&step));
        st = buf_status(&step, "step", err);
    }
    st = st == ST_END ? OK : st;
    sqlfile_end(r);
    put_int(&row, 1, &v[1]);
    put_int(&row, 2, &v[2]);
    if (path.n) wire_put_bytes(&row, 3, buf_str(&path));
    put_int(&row, 4, &v[3]);
    put_int(&row, 5, &v[4]);
    st = st ? st : buf_status(&path, "path", err);
    st = st ? st : buf_status(&row, "row", err);
    st = st ? st : mlmd_page_add(page, buf_str(&row), err);
    buf_release(&row);
    buf_release(&path);
    buf_release(&step);
    return st;
}

/* ---- the source ------------------------------------------------------------------------------------------------------------------- */

static const char *table_of(int what)
{
    return what <= W(CONTEXT_TYPES)  ? "Type"
           : what <= W(CONTEXTS)     ? node_tables[what - W(ARTIFACTS)].name
           : what == W(PARENTS)      ? "ParentContext"
           : what == W(ATTRIBUTIONS) ? "Attribution"
           : what == W(ASSOCIATIONS) ? "Association"
                                     : "Event";
}

/* EXECUTION 0, ARTIFACT 1, CONTEXT 2 */
static int type_kind_of(int what)
{
    return what == W(ARTIFACT_TYPES) ? 1 : what == W(EXECUTION_TYPES) ? 0 : 2;
}

/* The query of a table; every one gives the row's number first, and takes the last one. */
static void query_of(const struct file *f, int what, char *text, size_t size)
{
    const char *external = f->schema >= SCHEMA_EXTERNAL ? "external_id" : "NULL";

    switch (what) {
    case W(ARTIFACT_TYPES):
    case W(EXECUTION_TYPES):
    case W(CONTEXT_TYPES):
        snprintf(text, size,
                 "SELECT id, name, version, description, %s, (SELECT b.name FROM ParentType p JOIN "
                 "Type b ON b.id = p.parent_type_id WHERE p.type_id = t.id), input_type, "
                 "output_type FROM Type t WHERE id > ?1 AND type_kind = %d ORDER BY id LIMIT %d",
                 external, type_kind_of(what), MLMD_PAGE);
        return;
    case W(PARENTS):
        snprintf(text, size,
                 "SELECT rowid, context_id, parent_context_id FROM ParentContext WHERE rowid > ?1 "
                 "ORDER BY rowid LIMIT %d",
                 MLMD_PAGE);
        return;
    case W(ATTRIBUTIONS):
    case W(ASSOCIATIONS):
        snprintf(text, size, "SELECT id, %s, context_id FROM %s WHERE id > ?1 ORDER BY id LIMIT %d",
                 what == W(ATTRIBUTIONS) ? "artifact_id" : "execution_id", table_of(what),
                 MLMD_PAGE);
        return;
    case W(EVENTS):
        snprintf(text, size,
                 "SELECT id, artifact_id, execution_id, type, milliseconds_since_epoch FROM Event "
                 "WHERE id > ?1 ORDER BY id LIMIT %d",
                 MLMD_PAGE);
        return;
    default: break;
    }
    snprintf(text, size,
             "SELECT id, type_id, name, %s, create_time_since_epoch, "
             "last_update_time_since_epoch, %s FROM %s WHERE id > ?1 ORDER BY id LIMIT %d",
             external, node_tables[what - W(ARTIFACTS)].more, table_of(what), MLMD_PAGE);
}

static int columns_of(int what)
{
    return what <= W(CONTEXT_TYPES) ? (int)T_N
           : what <= W(CONTEXTS)    ? (int)N_N
           : what == W(EVENTS)      ? 5
                                    : 3;
}

static enum status row_of(struct file *f, int what, const struct sqlfile_value *v,
                          struct mlmd_page *page, struct err *err)
{
    if (what <= W(CONTEXT_TYPES)) {
        return type_row(f, what, v, page, err);
    }
    if (what <= W(CONTEXTS)) {
        return node_row(f, what, &node_tables[what - W(ARTIFACTS)], v, page, err);
    }
    return what == W(EVENTS) ? event_row(f, v, page, err) : pair_row(v, page, err);
}

/* The number that the query gives, or NULL. */
static enum status number_of(struct file *f, const char *text, int64_t in,
                             struct sqlfile_value *out, struct err *err)
{
    struct sqlfile_rows *r = NULL;
    enum status st = sqlfile_query(f->db, text, &in, 1, &r, err);

    st = st ? st : sqlfile_next(r, out, 1, err);
    sqlfile_end(r);
    return st;
}

/* Goes beyond the next row of the table, which cannot be read because a value of it is too large. Types of other kinds lie between. */
static enum status pass_large(struct file *f, int what, struct err *err)
{
    bool other = false;
    char text[200];
    struct sqlfile_value v;
    enum status st;

    snprintf(text, sizeof(text), "SELECT MIN(rowid) FROM %s WHERE rowid > ?1", table_of(what));
    do {
        st = number_of(f, text, f->after, &v, err);
        if (!st && v.kind != SQLFILE_INT) {
            st = err_set(err, ST_CORRUPT, "the file is damaged: a row has no number");
        }
        if (!st) {
            f->after = v.i;
        }
        if (!st && what <= W(CONTEXT_TYPES)) {
            st = number_of(f, "SELECT type_kind FROM Type WHERE rowid = ?1", f->after, &v, err);
            other = !st && v.i != type_kind_of(what);
            st = st == ST_TOO_BIG ? OK : st;
        }
    } while (!st && other);
    if (!st) {
        note(f, what, f->after, "a value of the row is larger than", S("64 MiB"),
             "; the row is left out");
    }
    return st;
}

static enum status file_next(struct mlmd_source *base, int what, struct mlmd_page *page,
                             struct err *err)
{
    struct file *f = (struct file *)base;
    struct sqlfile_value v[8];
    struct sqlfile_rows *r = NULL;
    int64_t before;
    size_t n = 0;
    char text[600];
    enum status st;

    if (f->what != what) {
        f->what = what;
        f->after = INT64_MIN;
        f->done = false;
    }
    if (f->done) {
        return ST_END;
    }
    query_of(f, what, text, sizeof(text));
    before = f->after;
    st = sqlfile_query(f->db, text, &before, 1, &r, err);
    while (!st && (st = sqlfile_next(r, v, columns_of(what), err)) == OK) {
        if (v[0].kind != SQLFILE_INT) {
            st = err_set(err, ST_CORRUPT, "the file is damaged: a row has no number");
            break;
        }
        f->after = v[0].i;
        n++;
        st = row_of(f, what, v, page, err);
        if (st == ST_TOO_BIG) {
            note(f, what, f->after, "the row is larger than", S("100 MiB"), ", and is left out");
            st = OK;
        }
        if (page->bytes > MLMD_PAGE_BYTES) {
            break;
        }
    }
    sqlfile_end(r);
    f->done = st == ST_END && n < MLMD_PAGE;
    if (st == ST_TOO_BIG) {
        st = pass_large(f, what, err);
    }
    return st == ST_END ? OK : st;
}

static void file_close(struct mlmd_source *base)
{
    struct file *f = (struct file *)base;

    if (f) {
        sqlfile_close(f->db);
        mem_free(f);
    }
}

static const struct mlmd_source_ops file_ops = { file_next, file_close };

static enum status check_schema(struct file *f, struct err *err)
{
    struct sqlfile_rows *r = NULL;
    struct sqlfile_value v;
    bool has = false;
    enum status st = sqlfile_has_table(f->db, "MLMDEnv", &has, err);

    if (!st && !has) {
        return err_set(err, ST_INVALID_STATE, "the file holds no store of ML Metadata");
    }
    st = st ? st : sqlfile_query(f->db, "SELECT schema_version FROM MLMDEnv", NULL, 0, &r, err);
    st = st ? st : sqlfile_next(r, &v, 1, err);
    sqlfile_end(r);
    if (st == ST_END || (!st && v.kind != SQLFILE_INT)) {
        return err_set(err, ST_INVALID_STATE, "the file does not say which schema it has");
    }
    f->schema = st ? 0 : v.i;
    if (st || (f->schema >= SCHEMA_MIN && f->schema <= SCHEMA_MORE_VALUES)) {
        return st;
    }
    st = err_set(err, ST_INVALID_STATE, "the file has schema %" PRId64 "; %d to %d can be read",
                 f->schema, SCHEMA_MIN, SCHEMA_MORE_VALUES);
    err_hint(err, f->schema < SCHEMA_MIN
                      ? "let the library that wrote it upgrade it first (enable_upgrade_migration)"
                      : "give the address of a server that serves it: grpc://HOST:PORT");
    return st;
}

enum status mlmd_file_open(struct mlmd_source **out, const char *path, struct err *err)
{
    struct file *f = mem_zalloc(1, sizeof(*f));
    enum status st = f ? sqlfile_open(&f->db, path, err) : err_nomem(err);

    *out = NULL;
    if (!st) {
        f->base.ops = &file_ops;
        st = check_schema(f, err);
    }
    if (st) {
        file_close(f ? &f->base : NULL);
        return st;
    }
    *out = &f->base;
    return OK;
}
