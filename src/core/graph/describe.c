/* core/graph/describe.c - what the rows say about nodes. */
#include "base/map.h"
#include "base/sys.h"
#include "core/artifact.h"
#include "core/graph/graph_int.h"
#include "core/openlineage/openlineage.h"
#include "core/registry.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

enum { CHUNK = 256, LIBRARIES_MAX = 1000 };

/* The nodes of one answer by uid. */
struct people {
    struct view *v;
    struct graph_node *nodes;
    size_t n;
    struct int_map by_uid;
    int64_t *uids; /* of one chunk of one type */
};

static struct graph_node *of_uid(struct people *p, int64_t uid)
{
    return int_map_get(&p->by_uid, (uint64_t)uid);
}

static enum status named(struct people *p, struct graph_node *n, const char *kind, struct str ref,
                         struct str name, struct err *err)
{
    n->ref = arena_printf(p->v->arena, "%s:%.*s", kind, STR_ARG(ref));
    n->name = arena_str(p->v->arena, name);
    return n->ref.p && n->name.p ? OK : err_nomem(err);
}

static enum status keep(struct people *p, struct str *to, struct str from, struct err *err)
{
    *to = from.p ? arena_str(p->v->arena, from) : from;
    return !from.p || to->p ? OK : err_nomem(err);
}

/* ---- one statement for a chunk of each kind ------------------------------------------------------------------------------ */

static enum status rows_of_nodes(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_nodes_row row;
    enum status st = q_lineage_nodes_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_nodes_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);
        struct str ref;

        x->time_ms = row.create_ms;
        if (x->type == TYPE_MLFLOW_DATASET) {
            ref = arena_printf(p->v->arena, "%.*s@%.*s", STR_ARG(row.name), STR_ARG(row.digest));
            st = ref.p ? named(p, x, "dataset", ref, ref, err) : err_nomem(err);
        } else if (x->type == TYPE_MODEL) {
            st = named(p, x, "files", row.uri, row.uri, err);
        } else if (x->type == TYPE_DATA_PLACE) {
            ref = row.digest.p ? arena_printf(p->v->arena, "%.*s@%.*s", STR_ARG(row.uri),
                                              STR_ARG(row.digest))
                               : arena_str(p->v->arena, row.uri);
            st = ref.p ? named(p, x, "place", ref, ref, err) : err_nomem(err);
        } else if (x->type > TYPE_OF_OTHERS && (row.name.n || row.uri.n)) {
            ref = arena_printf(p->v->arena, "%" PRId64, row.uid);
            st = ref.p ? named(p, x, "node", ref, row.name.n ? row.name : row.uri, err)
                       : err_nomem(err);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status rows_of_columns(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_fields_row row;
    enum status st = q_lineage_fields_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_fields_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);
        struct str set = row.gone, ref;

        if (row.dataset.p) {
            set = arena_printf(p->v->arena, "%.*s@%.*s", STR_ARG(row.dataset), STR_ARG(row.digest));
            if (!set.p) {
                st = err_nomem(err);
                break;
            }
        }
        ref = arena_printf(p->v->arena, "%.*s.%.*s", STR_ARG(set), STR_ARG(row.name));
        x->time_ms = row.ms;
        x->gone = !row.dataset.p;
        st = ref.p ? named(p, x, "column", ref, ref, err) : err_nomem(err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* ---- OpenLineage ------------------------------------------------------------------------------------------------------------ */

enum { US = 1000 };

static enum status named_of_ol(struct people *p, struct graph_node *x, const char *kind,
                               struct str ns, struct str name, struct err *err)
{
    struct str ref = arena_printf(p->v->arena, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name));

    return ref.p ? named(p, x, kind, ref, ref, err) : err_nomem(err);
}

static enum status rows_of_ol_jobs(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_ol_jobs_row row;
    enum status st = q_lineage_ol_jobs_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_ol_jobs_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);

        x->time_ms = row.update_us / US;
        st = named_of_ol(p, x, "job", row.ns, row.name, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status rows_of_ol_datasets(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_ol_datasets_row row;
    enum status st = q_lineage_ol_datasets_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_ol_datasets_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);

        x->time_ms = row.update_us / US;
        st = named_of_ol(p, x, "data", row.ns, row.name, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* A version without a name is found by its number only. */
static enum status rows_of_ol_versions(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_ol_versions_row row;
    enum status st = q_lineage_ol_versions_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_ol_versions_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);
        struct str name = row.version.p ? arena_printf(p->v->arena, "%.*s@%.*s", STR_ARG(row.name),
                                                       STR_ARG(row.version))
                                        : row.name;

        x->time_ms = row.event_us > 0 ? row.event_us / US : 0;
        st = name.p ? named_of_ol(p, x, "data", row.ns, name, err) : err_nomem(err);
        if (!st && !row.version.p) {
            x->ref = arena_printf(p->v->arena, "node:%" PRId64, row.uid);
            st = x->ref.p ? OK : err_nomem(err);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static const char *ol_state_name(int64_t state)
{
    switch (state) {
    case OL_STATE_RUNNING: return "RUNNING";
    case OL_STATE_COMPLETE: return "COMPLETE";
    case OL_STATE_FAILED: return "FAILED";
    case OL_STATE_CANCELLED: return "CANCELED";
    default: return "NEW";
    }
}

static enum status rows_of_ol_runs(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_ol_runs_row row;
    enum status st = q_lineage_ol_runs_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_ol_runs_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);
        struct str id = { NULL, 0 };

        if (row.rid.n == 16) {
            id = ol_run_id_text(p->v->arena, (const unsigned char *)row.rid.p);
        }
        x->time_ms = (row.start_us_null ? row.update_us : row.start_us) / US;
        x->state = str_cstr(ol_state_name(row.state));
        st = id.p ? named(p, x, "run", id, row.job.p ? row.job : id, err) : err_nomem(err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status rows_of_models(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_logged_models_row row;
    enum status st = q_lineage_logged_models_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_logged_models_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);

        x->deleted = row.lifecycle == LIFECYCLE_DELETED;
        st = named(p, x, "model", row.mid, row.name, err);
        st = st ? st : keep(p, &x->source, row.artifact_uri, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status rows_of_registered(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_registered_models_row row;
    enum status st = q_lineage_registered_models_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_registered_models_next(stmt, &row, err)) == OK) {
        st = named(p, of_uid(p, row.uid), "registered", row.name, row.name, err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status aliases(struct people *p, struct graph_node *x, int64_t model, int64_t version,
                           struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_model_alias_of_version_row row;
    size_t cap = 0;
    enum status st = q_model_alias_of_version_open(p->v->conn, &stmt, model, version, err);

    while (!st && (st = q_model_alias_of_version_next(stmt, &row, err)) == OK) {
        if (!view_keep(p->v, &row.alias) || !arena_grow(p->v->arena, (void **)&x->aliases,
                                                        x->aliases_n, &cap, sizeof(*x->aliases))) {
            st = err_nomem(err);
            break;
        }
        x->aliases[x->aliases_n++] = row.alias;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status rows_of_versions(struct people *p, size_t n, struct err *err)
{
    struct {
        int64_t uid, model, version;
    } *kept = arena_zalloc(p->v->arena, n, sizeof(*kept));
    struct sql_stmt *stmt = NULL;
    struct q_lineage_versions_row row;
    size_t got = 0;
    enum status st =
        kept ? q_lineage_versions_open(p->v->conn, &stmt, p->uids, n, err) : err_nomem(err);

    while (!st && (st = q_lineage_versions_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);
        struct str ref = arena_printf(p->v->arena, "%.*s/%" PRId64, STR_ARG(row.name), row.version);

        x->deleted = row.stage == STAGE_DELETED;
        st = ref.p ? named(p, x, "version", ref, ref, err) : err_nomem(err);
        if (row.stage != STAGE_NONE && row.stage != STAGE_DELETED) {
            x->state = str_cstr(stage_name((enum model_stage)row.stage));
        }
        kept[got].uid = row.uid;
        kept[got].model = row.model;
        kept[got++].version = row.version;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < got; i++) { /* no statement is open meanwhile */
        st = aliases(p, of_uid(p, kept[i].uid), kept[i].model, kept[i].version, err);
    }
    return st;
}

static enum status rows_of_gone(struct people *p, size_t n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_lineage_tombstones_row row;
    enum status st = q_lineage_tombstones_open(p->v->conn, &stmt, p->uids, n, err);

    while (!st && (st = q_lineage_tombstones_next(stmt, &row, err)) == OK) {
        struct graph_node *x = of_uid(p, row.uid);
        const char *kind = x->type == TYPE_MLFLOW_RUN            ? "run"
                           : x->type == TYPE_MLFLOW_LOGGED_MODEL ? "model"
                           : x->type == TYPE_MLFLOW_DATASET      ? "dataset"
                                                                 : NULL;

        x->gone = true;
        x->time_ms = row.gone_ms;
        if (kind && row.ref.p) st = named(p, x, kind, row.ref, row.name, err);
        if (!st) st = keep(p, &x->experiment, row.experiment, err);
        if (!st) st = keep(p, &x->digest, row.digest, err);
        if (st) break;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status row_of_run(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    struct people *p = ctx;
    struct graph_node *x = of_uid(p, run->uid);
    enum status st = named(p, x, "run", run->run_id, run->name, err);

    (void)i;
    x->time_ms = run->start_ms;
    x->deleted = run->lifecycle == LIFECYCLE_DELETED;
    x->state = run_status_name(run->status);
    return st || !run->user_id.n ? st : keep(p, &x->user, run->user_id, err);
}

static enum status rows_of_runs(struct people *p, size_t n, struct err *err)
{
    return run_gather(p->v, p->uids, n, row_of_run, p, err);
}

/* Data sets have a source; few of an answer are data sets. */
static enum status source_of(struct people *p, struct graph_node *x, struct err *err)
{
    struct q_prop_text_row row;
    enum status st =
        q_prop_text(p->v->conn, p->v->arena, x->uid, PROP_TYPED, S("source"), &row, err);

    if (!st) {
        x->source = row.value;
    }
    return st == ST_NOT_FOUND ? OK : st;
}

/* Calls rows() for the nodes of a type, a chunk at a time; all: of every type. */
static enum status of_type(struct people *p, enum node_type type, bool all, bool unnamed,
                           enum status (*rows)(struct people *p, size_t n, struct err *err),
                           struct err *err)
{
    enum status st = OK;
    size_t n = 0;

    for (size_t i = 0; !st && i < p->n; i++) {
        const struct graph_node *x = &p->nodes[i];

        if ((all || x->type == type) && (!unnamed || !x->ref.p)) {
            p->uids[n++] = x->uid;
        }
        if (n == CHUNK || (n && i + 1 == p->n)) {
            st = rows(p, n, err);
            n = 0;
        }
    }
    return st;
}

enum status graph_describe(struct view *v, struct graph_node *nodes, size_t n, bool details,
                           struct err *err)
{
    struct people p = { .v = v, .nodes = nodes, .n = n, .by_uid = INT_MAP_INIT(n + 1) };
    enum status st = OK;

    p.uids = ARENA_ARRAY(v->arena, int64_t, CHUNK);
    if (!p.uids) {
        st = err_nomem(err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        st = int_map_put(&p.by_uid, (uint64_t)nodes[i].uid, &nodes[i]) ? err_nomem(err) : OK;
    }
    st = st ? st : of_type(&p, TYPE_MLFLOW_RUN, false, false, rows_of_runs, err);
    st = st ? st : of_type(&p, TYPE_DATA_COLUMN, false, false, rows_of_columns, err);
    st = st ? st : of_type(&p, TYPE_OL_JOB, false, false, rows_of_ol_jobs, err);
    st = st ? st : of_type(&p, TYPE_OL_DATASET, false, false, rows_of_ol_datasets, err);
    st = st ? st : of_type(&p, TYPE_OL_VERSION, false, false, rows_of_ol_versions, err);
    st = st ? st : of_type(&p, TYPE_OL_RUN, false, false, rows_of_ol_runs, err);
    st = st ? st : of_type(&p, 0, true, true, rows_of_nodes, err);
    st = st ? st : of_type(&p, TYPE_MLFLOW_LOGGED_MODEL, false, false, rows_of_models, err);
    st = st ? st : of_type(&p, TYPE_MLFLOW_REGISTERED_MODEL, false, false, rows_of_registered, err);
    st = st ? st : of_type(&p, TYPE_MLFLOW_MODEL_VERSION, false, false, rows_of_versions, err);
    st = st ? st : of_type(&p, 0, true, true, rows_of_gone, err);
    for (size_t i = 0; !st && i < n; i++) {
        struct graph_node *x = &nodes[i];

        if (x->type == TYPE_MLFLOW_DATASET && !x->gone) {
            st = source_of(&p, x, err);
        }
        if (!st && !x->ref.p) {
            x->ref = arena_printf(v->arena, "node:%" PRId64, x->uid);
            x->name = x->ref;
            st = x->ref.p ? OK : err_nomem(err);
        }
    }
    int_map_release(&p.by_uid);
    return st || !details ? st : graph_details(v, nodes, n, err);
}

/* ---- details --------------------------------------------------------------------------------------------------------------- */

static const struct str mlflow_word = { "mlflow.", 7 };

static enum status copy_pairs(struct arena *a, const struct key_value *from, size_t n,
                              struct key_value **to, size_t *to_n, bool code, struct err *err)
{
    *to = ARENA_ARRAY(a, struct key_value, n ? n : 1);
    *to_n = 0;
    for (size_t i = 0; *to && i < n; i++) {
        struct str key = from[i].key;

        if (code && !str_starts(key, S("mlflow.source.")) &&
            !str_starts(key, S("mlflow.project."))) {
            continue;
        }
        (*to)[*to_n].key = arena_str(a, code ? str_sub(key, mlflow_word.n, key.n) : key);
        (*to)[*to_n].value = arena_str(a, from[i].value);
        if (!(*to)[*to_n].key.p || !(*to)[*to_n].value.p) {
            return err_nomem(err);
        }
        (*to_n)++;
    }
    return *to ? OK : err_nomem(err);
}

static enum status details_of_run(struct view *v, struct graph_node *x, struct err *err)
{
    struct graph_details *d = x->details;
    struct run_view run;
    enum status st = run_get_uid(v, x->uid, &run, err);

    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    st = copy_pairs(v->arena, run.params, run.params_n, &d->params, &d->params_n, false, err);
    return st ? st : copy_pairs(v->arena, run.tags, run.tags_n, &d->code, &d->code_n, true, err);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The lines of the model's requirements.txt, where this server has it and it is as small as they are. */
static enum status libraries(struct view *v, struct graph_node *x, struct err *err)
{
    struct graph_details *d = x->details;
    struct artifact_place place;
    struct artifact_bytes bytes;
    struct str rest, line;
    size_t cap = 0;
    enum status st = artifact_uri_place(v, x->source, x->uid, S("requirements.txt"), &place, err);

    st = st ? st : artifact_open(v, &place, &bytes, err);
    if (st) {
        return st == ST_NOMEM || st == ST_UNAVAILABLE ? st : OK;
    }
    if (bytes.fd >= 0) {
        (void)sys.close(bytes.fd);
        return OK;
    }
    for (rest = bytes.inline_bytes;
         str_split(&rest, '\n', &line) && d->libraries_n < LIBRARIES_MAX;) {
        while (line.n && is_space(line.p[line.n - 1])) {
            line.n--;
        }
        if (!line.n || line.p[0] == '#') {
            continue;
        }
        line = arena_str(v->arena, line);
        if (!line.p || !arena_grow(v->arena, (void **)&d->libraries, d->libraries_n, &cap,
                                   sizeof(*d->libraries))) {
            return err_nomem(err);
        }
        d->libraries[d->libraries_n++] = line;
    }
    return OK;
}

enum status graph_details(struct view *v, struct graph_node *nodes, size_t n, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0, runs = 0; !st && i < n && runs < GRAPH_DETAILS_MAX; i++) {
        struct graph_node *x = &nodes[i];
        bool run = x->type == TYPE_MLFLOW_RUN;

        if (x->gone || (!run && x->type != TYPE_MLFLOW_LOGGED_MODEL)) {
            continue;
        }
        x->details = ARENA_NEW(v->arena, struct graph_details);
        runs++;
        st = !x->details   ? err_nomem(err)
             : run         ? details_of_run(v, x, err)
             : x->source.p ? libraries(v, x, err)
                           : OK;
    }
    return st;
}
