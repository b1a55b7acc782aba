/* core/graph/find.c - which nodes a text names. */
#include "base/hash.h"
#include "base/num.h"
#include "core/graph/data_uri.h"
#include "core/graph/graph_int.h"
#include "core/graph/place.h"
#include "core/logged_model.h"
#include "core/openlineage/openlineage.h"
#include "core/registry.h"
#include "gen/sql/queries.h"
#include "inspect/dataschema.h"
#include "store/sql/sql.h"
#include <stdio.h>

enum {
    PLACE_KEY_MAX = 1024,
    WORDS_MAX = 256,
    DOTS_MAX = 16,
    SCHEMA_ROOM = 32 << 20,
    SLASHES_MAX = 64
};

struct found {
    int64_t *uids; /* room for GRAPH_STARTS_MAX */
    size_t n;
    bool columns;
};

static enum status put(struct found *f, int64_t uid)
{
    if (f->n < GRAPH_STARTS_MAX) {
        f->uids[f->n++] = uid;
    }
    return OK;
}

/* ---- one kind each: OK with nothing put where there is none -------------------------------------------------------------- */

static enum status none_is_fine(enum status st)
{
    return st == ST_NOT_FOUND || st == ST_INVALID ? OK : st;
}

/* What is gone is found by what it was called, where nothing else is called so now. */
static enum status find_gone(struct view *v, struct str text, enum node_type type, struct found *f,
                             enum status st, struct err *err)
{
    struct q_tombstone_by_ref_row row;

    if (st != ST_NOT_FOUND) {
        return none_is_fine(st);
    }
    st = q_tombstone_by_ref(v->conn, NULL, text, type, &row, err);
    return st ? none_is_fine(st) : put(f, row.uid);
}

static enum status find_run(struct view *v, const struct graph_query *q, struct str text,
                            struct found *f, struct err *err)
{
    struct run_view run;
    enum status st = run_get(v, text, &run, err);

    (void)q;
    if (st == ST_NOT_FOUND) {
        int64_t uid;
        enum status other = ol_find_run(v, text, &uid, err);

        if (other || uid) {
            return other ? other : put(f, uid);
        }
    }
    return st ? find_gone(v, text, TYPE_MLFLOW_RUN, f, st, err) : put(f, run.uid);
}

static enum status find_model(struct view *v, const struct graph_query *q, struct str text,
                              struct found *f, struct err *err)
{
    struct q_logged_model_get_row row;
    enum status st = q_logged_model_get(v->conn, v->arena, text, &row, err);

    (void)q;
    return st ? find_gone(v, text, TYPE_MLFLOW_LOGGED_MODEL, f, st, err) : put(f, row.uid);
}

static enum status find_registered(struct view *v, const struct graph_query *q, struct str text,
                                   struct found *f, struct err *err)
{
    struct q_registered_model_uid_row row;
    enum status st = q_registered_model_uid(v->conn, v->arena, text, &row, err);

    (void)q;
    return st ? none_is_fine(st) : put(f, row.uid);
}

/* NAME/NUMBER, NAME@ALIAS: the alias as it was at the time that is asked for. */
static enum status find_version(struct view *v, const struct graph_query *q, struct str text,
                                struct found *f, struct err *err)
{
    struct model_version m;
    int64_t number, since;
    struct str who;
    size_t cut = text.n;
    enum status st = OK;

    while (cut > 0 && text.p[cut - 1] != '@' && text.p[cut - 1] != '/') {
        cut--;
    }
    if (cut < 2) {
        return OK;
    }
    if (text.p[cut - 1] == '@' && !q->has_as_of) {
        st = model_version_by_alias(v, str_sub(text, 0, cut - 1), str_sub(text, cut, text.n), &m,
                                    err);
        return st ? none_is_fine(st) : put(f, m.uid);
    }
    if (text.p[cut - 1] == '@') {
        st = registry_alias_at(v, str_sub(text, 0, cut - 1), str_sub(text, cut, text.n),
                               q->as_of_ms, &number, &who, &since, err);
        if (st || !number) {
            return none_is_fine(st);
        }
    } else if (!num_parse_i64(str_sub(text, cut, text.n), &number)) {
        return OK;
    }
    st = model_version_get(v, str_sub(text, 0, cut - 1), number, &m, err);
    return st ? none_is_fine(st) : put(f, m.uid);
}

static enum status find_files(struct view *v, const struct graph_query *q, struct str text,
                              struct found *f, struct err *err)
{
    struct q_ident_find_row row;
    struct digest d;
    char hex[65];
    enum status st;

    (void)q;
    if (text.n > PLACE_KEY_MAX) {
        if (!sha256_of(text.p, text.n, &d)) {
            return err_nomem(err);
        }
        digest_hex(&d, hex);
        text = str_of(hex, 64);
    }
    st = q_ident_find(v->conn, NULL, 0, IDENT_MODEL_PLACE, text, &row, err);
    return st ? none_is_fine(st) : put(f, row.uid);
}

static enum status put_place(struct view *v, struct str uri, struct str digest, struct found *f,
                             struct err *err)
{
    struct q_ident_find_row row;
    struct str spelled, key;
    enum status st = data_uri(v->arena, uri, &spelled, err);

    if (st || !spelled.p) {
        return st;
    }
    st = place_key(v->arena, spelled, digest, &key, err);
    st = st ? st : q_ident_find(v->conn, NULL, 0, IDENT_DATA_PLACE, key, &row, err);
    return st ? none_is_fine(st) : put(f, row.uid);
}

/* URI, URI@DIGEST: either may have an @ in it, each is tried, the last first. */
static enum status find_place(struct view *v, const struct graph_query *q, struct str text,
                              struct found *f, struct err *err)
{
    enum status st = put_place(v, text, (struct str){ NULL, 0 }, f, err);

    (void)q;
    for (size_t i = text.n, n = 0; !st && f->n == 0 && n < DOTS_MAX && i-- > 1;) {
        if (text.p[i] == '@' && i + 1 < text.n) {
            st = put_place(v, str_sub(text, 0, i), str_sub(text, i + 1, text.n), f, err);
            n++;
        }
    }
    return st;
}

/* NAMESPACE/NAME of a job or a data set of OpenLineage: either may have slashes, the longest namespace that is known counts. */
static enum status named_of_ol(struct view *v, enum ident_scheme scheme, struct str text,
                               int64_t *uid, struct err *err)
{
    enum status st = OK;

    *uid = 0;
    for (size_t i = text.n, n = 0; !st && !*uid && n < SLASHES_MAX && i-- > 1;) {
        if (text.p[i] == '/' && i + 1 < text.n) {
            st = ol_find(v, scheme, str_sub(text, 0, i), str_sub(text, i + 1, text.n), uid, err);
            n++;
        }
    }
    return st;
}

static enum status find_data(struct view *v, const struct graph_query *q, struct str text,
                             struct found *f, struct err *err)
{
    struct q_lineage_ol_version_named_row row;
    int64_t uid;
    enum status st = named_of_ol(v, IDENT_OL_DATASET, text, &uid, err);

    (void)q;
    if (!st && uid) {
        return put(f, uid);
    }
    for (size_t i = text.n, n = 0; !st && f->n == 0 && n < DOTS_MAX && i-- > 1;) {
        if (text.p[i] != '@' || i + 1 == text.n) {
            continue;
        }
        n++;
        st = named_of_ol(v, IDENT_OL_DATASET, str_sub(text, 0, i), &uid, err);
        if (!st && uid) {
            st = q_lineage_ol_version_named(v->conn, NULL, uid, str_sub(text, i + 1, text.n), &row,
                                            err);
            st = st ? none_is_fine(st) : put(f, row.uid);
        }
    }
    return st;
}

/* A job and its newest runs. */
static enum status find_job(struct view *v, const struct graph_query *q, struct str text,
                            struct found *f, struct err *err)
{
    struct q_lineage_ol_runs_of_job_row row;
    struct sql_stmt *stmt = NULL;
    int64_t uid;
    enum status st = named_of_ol(v, IDENT_OL_JOB, text, &uid, err);

    (void)q;
    if (st || !uid) {
        return st;
    }
    st = put(f, uid);
    st = st ? st : q_lineage_ol_runs_of_job_open(v->conn, &stmt, uid, GRAPH_STARTS_MAX, err);
    while (!st && (st = q_lineage_ol_runs_of_job_next(stmt, &row, err)) == OK) {
        st = put(f, row.uid);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status find_node(struct view *v, const struct graph_query *q, struct str text,
                             struct found *f, struct err *err)
{
    int64_t uid;

    (void)v;
    (void)q;
    (void)err;
    return num_parse_i64(text, &uid) && uid >= 0 && uid <= LINKS_UID_MAX ? put(f, uid) : OK;
}

static enum status datasets_named(struct view *v, struct str name, struct found *f, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_datasets_named_row row;
    enum status st = q_lineage_datasets_named_open(v->conn, &stmt, name, GRAPH_STARTS_MAX, err);

    while (!st && (st = q_lineage_datasets_named_next(stmt, &row, err)) == OK) {
        st = put(f, row.uid);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status datasets_version(struct view *v, struct str name, struct str digest,
                                    struct found *f, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_datasets_version_row row;
    enum status st =
        q_lineage_datasets_version_open(v->conn, &stmt, name, digest, GRAPH_STARTS_MAX, err);

    while (!st && (st = q_lineage_datasets_version_next(stmt, &row, err)) == OK) {
        st = put(f, row.uid);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status datasets_digest(struct view *v, struct str digest, struct found *f,
                                   struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_datasets_digest_row row;
    enum status st = q_lineage_datasets_digest_open(v->conn, &stmt, digest, GRAPH_STARTS_MAX, err);

    while (!st && (st = q_lineage_datasets_digest_next(stmt, &row, err)) == OK) {
        st = put(f, row.uid);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* NAME@DIGEST, @DIGEST, NAME, DIGEST. A name may have an @ in it: each is tried, the last first. */
static enum status find_dataset(struct view *v, const struct graph_query *q, struct str text,
                                struct found *f, struct err *err)
{
    enum status st = datasets_named(v, text, f, err);

    (void)q;
    for (size_t i = text.n; !st && f->n == 0 && i-- > 0;) {
        if (text.p[i] == '@' && i + 1 < text.n) {
            st = i == 0 ? datasets_digest(v, str_sub(text, 1, text.n), f, err)
                        : datasets_version(v, str_sub(text, 0, i), str_sub(text, i + 1, text.n), f,
                                           err);
        }
    }
    return st || f->n ? st : datasets_digest(v, text, f, err);
}

/* The node of a data set's column; the data set itself if only its schema knows the column. room: for the schema. */
static enum status put_column(struct view *v, struct arena *room, int64_t ds, struct str name,
                              struct found *f, struct err *err)
{
    struct q_field_find_row field;
    struct q_prop_text_row schema;
    enum status st = q_field_find(v->conn, NULL, ds, name, &field, err);

    if (st != ST_NOT_FOUND) {
        return st ? st : put(f, field.uid);
    }
    st = q_prop_text(v->conn, room, ds, PROP_TYPED, S("schema"), &schema, err);
    if (st) {
        return none_is_fine(st);
    }
    return dataschema_has(schema.value, name, room) ? put(f, ds) : OK;
}

/* DATASET.NAME, where either may have dots: the longest data set first. */
static enum status find_column(struct view *v, const struct graph_query *q, struct str text,
                               struct found *f, struct err *err)
{
    struct found sets = { ARENA_ARRAY(v->arena, int64_t, GRAPH_STARTS_MAX), 0, false };
    struct arena *room = arena_new(SCHEMA_ROOM);
    enum status st = sets.uids && room ? OK : err_nomem(err);

    for (size_t i = text.n, dots = 0; !st && !f->n && dots < DOTS_MAX && i-- > 1;) {
        if (text.p[i] != '.' || i + 1 == text.n) {
            continue;
        }
        dots++;
        sets.n = 0;
        st = find_dataset(v, q, str_sub(text, 0, i), &sets, err);
        for (size_t k = 0; !st && k < sets.n; k++) {
            arena_reset(room);
            st = put_column(v, room, sets.uids[k], str_sub(text, i + 1, text.n), f, err);
        }
    }
    arena_free(room);
    f->columns = f->n > 0;
    return st;
}

/* ---- all kinds ------------------------------------------------------------------------------------------------------------ */

static const struct kind {
    struct str word;
    bool said;                             /* needs its word */
    enum { NO_DATA, DATA, DATA_TOO } data; /* DATA_TOO: where it is asked what is the same */
    enum status (*find)(struct view *v, const struct graph_query *q, struct str text,
                        struct found *f, struct err *err);
} kinds[] = {
    { { "run:", 4 }, false, NO_DATA, find_run },
    { { "dataset:", 8 }, false, DATA, find_dataset },
    { { "model:", 6 }, false, NO_DATA, find_model },
    { { "version:", 8 }, false, NO_DATA, find_version },
    { { "registered:", 11 }, false, NO_DATA, find_registered },
    { { "files:", 6 }, true, DATA, find_files },
    { { "column:", 7 }, false, NO_DATA, find_column },
    { { "place:", 6 }, true, DATA_TOO, find_place },
    { { "data:", 5 }, true, DATA_TOO, find_data },
    { { "job:", 4 }, true, NO_DATA, find_job },
    { { "node:", 5 }, true, DATA_TOO, find_node },
};

static enum status nothing(struct str text, struct err *err)
{
    enum status st =
        err_field(err, ST_NOT_FOUND, "node", "nothing is called '%.*s'", STR_ARG(text));

    err_hint(err, "write run:ID, dataset:NAME@DIGEST, model:ID, version:NAME/NUMBER, "
                  "version:NAME@ALIAS, registered:NAME, files:URI, place:URI, job:NAMESPACE/NAME, "
                  "data:NAMESPACE/NAME or column:DATASET.NAME");
    return st;
}

static enum status find_bare(struct view *v, const struct graph_query *q, struct str text,
                             struct found *f, struct err *err)
{
    char words[WORDS_MAX] = "";
    size_t kinds_n = 0, used = 0;
    struct found one = { ARENA_ARRAY(v->arena, int64_t, GRAPH_STARTS_MAX), 0, false };

    if (!one.uids) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        enum status st;

        one.n = 0;
        one.columns = false;
        st = kinds[i].said ? OK : kinds[i].find(v, q, text, &one, err);
        if (st) {
            return st;
        }
        if (one.n) {
            used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%.*s", used ? ", " : "",
                                     STR_ARG(kinds[i].word));
            kinds_n++;
            memcpy(f->uids, one.uids, one.n * sizeof(*one.uids));
            f->n = one.n;
            f->columns = one.columns;
        }
    }
    if (kinds_n > 1) {
        return err_field(err, ST_INVALID, "node",
                         "'%.*s' is the name of several things: put one of %s before it",
                         STR_ARG(text), words);
    }
    return f->n ? OK : nothing(text, err);
}

static enum status find_data_as(struct view *v, int data, struct str text, const char *field,
                                int64_t **uids, size_t *n, struct err *err)
{
    struct graph_query q = { .max = 0 };
    struct found f = { ARENA_ARRAY(v->arena, int64_t, GRAPH_STARTS_MAX), 0, false };
    enum status st = f.uids ? OK : err_nomem(err);

    for (size_t i = 0; !st && !f.n && i < ARRAY_N(kinds); i++) {
        if (kinds[i].data && (int)kinds[i].data <= data && str_starts(text, kinds[i].word)) {
            st = kinds[i].find(v, &q, str_sub(text, kinds[i].word.n, text.n), &f, err);
        }
    }
    st = st || f.n ? st : find_dataset(v, &q, text, &f, err);
    if (!st && !f.n) {
        st = err_field(err, ST_NOT_FOUND, field, "no data is called '%.*s'", STR_ARG(text));
        err_hint(
            err,
            "write dataset:NAME@DIGEST, dataset:NAME, dataset:@DIGEST, files:URI, place:URI, or "
            "node:NUMBER of an artifact");
    }
    *uids = f.uids;
    *n = f.n;
    return st;
}

enum status graph_find_data(struct view *v, struct str text, const char *field, int64_t **uids,
                            size_t *n, struct err *err)
{
    return find_data_as(v, DATA, text, field, uids, n, err);
}

/* node:NUMBER is the number of data. */
static enum status check_data(struct view *v, struct str text, const char *field, int64_t uid,
                              struct err *err)
{
    struct q_same_node_row row;
    enum status st = q_same_node(v->conn, v->arena, uid, &row, err);

    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    if (!st && (row.type_id == TYPE_MLFLOW_DATASET || row.type_id == TYPE_MODEL ||
                row.type_id == TYPE_DATA_PLACE || row.type_id == TYPE_OL_DATASET ||
                row.type_id == TYPE_OL_VERSION ||
                (row.type_id > TYPE_OF_OTHERS && row.kind == NODE_ARTIFACT))) {
        return OK;
    }
    return err_field(err, ST_INVALID, field,
                     "'%.*s' is no data: it is a data set, a place or an artifact that can be the "
                     "same as another",
                     STR_ARG(text));
}

enum status graph_find_same(struct view *v, struct str text, const char *field, int64_t **uids,
                            size_t *n, struct err *err)
{
    enum status st = find_data_as(v, DATA_TOO, text, field, uids, n, err);

    return st || !str_starts(text, S("node:")) ? st : check_data(v, text, field, (*uids)[0], err);
}

enum status graph_find(struct view *v, const struct graph_query *q, struct str text,
                       struct graph_starts *out, struct err *err)
{
    struct found f = { ARENA_ARRAY(v->arena, int64_t, GRAPH_STARTS_MAX), 0, false };
    enum status st = f.uids ? OK : err_nomem(err);

    for (size_t i = 0; !st && !f.n && i < ARRAY_N(kinds); i++) {
        if (str_starts(text, kinds[i].word)) { /* a name may have such a word in it, too */
            st = kinds[i].find(v, q, str_sub(text, kinds[i].word.n, text.n), &f, err);
            break;
        }
    }
    if (!st && !f.n) {
        st = find_bare(v, q, text, &f, err);
    }
    *out = (struct graph_starts){ f.uids, st ? 0 : f.n, f.columns };
    return st;
}
