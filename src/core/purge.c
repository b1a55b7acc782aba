/* core/purge.c - see purge.h. */
#include "core/purge.h"

#include "base/failpoint.h"
#include "base/hash.h"
#include "core/artifact.h"
#include "core/experiment.h"
#include "core/logged_model.h"
#include "core/node.h"
#include "core/purge_int.h"
#include "core/retention.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <inttypes.h>

enum { RUNS_PER_PART = 64, MODELS_PER_PART = 8, MEMBERS_PER_PART = 256, DIGEST_FILES_MAX = 1000 };

static const struct str no_text = { NULL, 0 };

/* ---- logged models ---------------------------------------------------------------------------------------------------------- */

/* What its files were, in one number: the SHA-256 of "path NUL digest LF" of each, in the order of folders and names. p NULL: it has
 * none here, or too many to read them in the middle of a commit. */
static enum status files_digest(struct group *g, struct arena *a, int64_t root, struct str *out,
                                struct err *err)
{
    struct sha256 *sum = sha256_new();
    struct sql_stmt *q = NULL;
    struct q_artifact_all_row row;
    size_t n = 0;
    char hex[65];
    enum status st = sum ? q_artifact_all_open(group_conn(g), &q, root, err) : err_nomem(err);

    *out = no_text;
    while (!st && n <= DIGEST_FILES_MAX && (st = q_artifact_all_next(q, &row, err)) == OK) {
        if (row.kind != 1) continue;
        sha256_update(sum, row.dir.p, row.dir.n);
        sha256_update(sum, "/", row.dir.n > 0);
        sha256_update(sum, row.name.p, row.name.n);
        sha256_update(sum, "", 1);
        sha256_update(sum, row.object.p, row.object.n);
        sha256_update(sum, "\n", 1);
        n++;
    }
    sql_close(q);
    if (sum && n > 0 && st == ST_END) {
        struct digest d = sha256_end(sum);

        digest_hex(&d, hex);
        *out = arena_str(a, str_of(hex, 64));
        st = out->p ? OK : err_nomem(err);
    }
    sha256_free(sum);
    return st == ST_END ? OK : st;
}

static enum status series_forgotten(struct group *g, struct arena *a, int64_t model,
                                    struct err *err)
{
    struct sql_stmt *q = NULL;
    struct q_model_series_of_model_row row;
    int64_t *uids = NULL;
    size_t n = 0, cap = 0;
    enum status st = q_model_series_of_model_open(group_conn(g), &q, model, err);

    while (!st && (st = q_model_series_of_model_next(q, &row, err)) == OK) {
        if (!arena_grow(a, (void **)&uids, n, &cap, sizeof(*uids))) {
            st = err_nomem(err);
            break;
        }
        uids[n++] = row.uid;
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    return st || n == 0 ? st : purge_forget(g, uids, n, err);
}

enum status purge_logged_model(struct group *g, struct arena *a, int64_t uid,
                               struct str artifact_uri, struct str who, struct str experiment,
                               struct err *err)
{
    struct sql_conn *w = group_conn(g);
    struct q_root_get_row root = { 0 };
    struct str digest = no_text;
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_root_get(w, a, artifact_uri, &root, err);

    if (st == ST_NOT_FOUND || (!st && root.owner != uid)) {
        root.id = 0;
        st = OK;
    }
    if (!st && root.id) st = files_digest(g, a, root.id, &digest, err);
    if (!st) st = series_forgotten(g, a, uid, err);
    if (!st)
        st = q_purge_model_tombstone(w, uid, who.p ? who : S(""), now, digest, experiment, err);
    if (!st) st = q_purge_model_series(w, uid, err);
    if (!st) st = q_purge_model_series_drop(w, uid, err);
    if (!st) st = q_purge_add(w, uid, root.id, err);
    if (!st) st = q_purge_members_log(w, &uid, 1, now, err);
    if (!st) st = q_purge_members(w, &uid, 1, err);
    if (!st) st = q_purge_props(w, &uid, 1, err);
    if (!st) st = q_purge_idents(w, &uid, 1, err);
    if (!st) st = q_purge_nodes(w, &uid, 1, err);
    if (!st) st = q_purge_model(w, uid, &n, err);
    if (!st && n != 1) {
        st = err_set(err, ST_CORRUPT, "logged model %" PRId64 " has no row", uid);
    }
    FAILPOINT("core.purge.model");
    return st;
}

static enum status model_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct logged_model_purge *p = WRITE_OP_OF(op, struct logged_model_purge);
    struct q_logged_model_get_row row;
    enum status st = q_logged_model_get(group_conn(g), op->arena, p->model_id, &row, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "model_id", "Logged model with ID '%.*s' not found.",
                         STR_ARG(p->model_id));
    }
    if (st) return st;
    if (p->deleted_before_ms > 0 && (!row.lifecycle || row.update_ms >= p->deleted_before_ms)) {
        return err_set(err, ST_INVALID_STATE, "logged model %.*s is not deleted long enough",
                       STR_ARG(p->model_id));
    }
    if (!p->force) st = standing_check_logged_model(g, p->model_id, err);
    if (st == ST_CONFLICT && p->deleted_before_ms > 0) {
        return err_set(err, ST_INVALID_STATE, "registered versions stand on logged model %.*s",
                       STR_ARG(p->model_id));
    }
    if (!st) st = purge_logged_model(g, op->arena, row.uid, row.artifact_uri, p->who, no_text, err);
    return st ? st : purge_wake_after(g, p->core, err);
}

static const struct write_kind model_kind = { .name = "logged_model.purge",
                                              .validate = model_validate,
                                              .sql = true };

void logged_model_purge_init(struct logged_model_purge *p, struct core *core, struct arena *a)
{
    *p = (struct logged_model_purge){ .op = { .kind = &model_kind, .arena = a }, .core = core };
}

/* ---- experiments ------------------------------------------------------------------------------------------------------------- */

static enum status experiment_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct experiment_purge *p = WRITE_OP_OF(op, struct experiment_purge);
    struct sql_conn *w = group_conn(g);
    struct q_experiment_get_row row;
    struct str who = p->who.p ? p->who : S("");
    int64_t now = group_now_ms(g), n = 0;
    enum status st = q_experiment_get(w, op->arena, p->id, &row, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "experiment_id", "No Experiment with id=%" PRId64 " exists",
                         p->id);
    }
    if (st) return st;
    if (p->id == 0) {
        return err_field(err, ST_INVALID, "experiment_id",
                         "experiment 0 is the one that every store has: delete its runs instead");
    }
    if (!p->force) st = standing_check_experiment(g, p->id, err);
    if (st) return st;
    experiment_forget(p->core, p->id);
    if (row.lifecycle == LIFECYCLE_ACTIVE) {
        st = group_experiment_runs_lifecycle(g, p->id, LIFECYCLE_DELETED, err);
    }
    if (!st) st = q_purge_experiment_add(w, p->id, who, now, err);
    if (!st) st = q_purge_experiment_tombstone(w, p->id, who, now, err);
    if (!st) st = q_purge_experiment_tags(w, p->id, err);
    if (!st) st = q_purge_props(w, &row.uid, 1, err);
    if (!st) st = q_purge_idents(w, &row.uid, 1, err);
    if (!st) st = q_purge_nodes(w, &row.uid, 1, err);
    if (!st) st = q_retention_drop(w, p->id, &n, err);
    if (!st) st = q_purge_experiment_row(w, p->id, &n, err);
    if (!st) st = purge_wake_after(g, p->core, err);
    FAILPOINT("core.purge.experiment");
    return st;
}

static void experiment_undo(struct write_op *op)
{
    struct experiment_purge *p = WRITE_OP_OF(op, struct experiment_purge);

    experiment_forget(p->core, p->id);
}

static const struct write_kind experiment_kind = { .name = "experiment.purge",
                                                   .validate = experiment_validate,
                                                   .undo = experiment_undo,
                                                   .sql = true };

void experiment_purge_init(struct experiment_purge *p, struct core *core, struct arena *a)
{
    *p = (struct experiment_purge){ .op = { .kind = &experiment_kind, .arena = a }, .core = core };
}

static enum status part_of_runs(struct group *g, const struct experiment_rest *r, size_t *n,
                                struct err *err)
{
    struct q_purge_experiment_runs_row row;
    struct sql_stmt *q = NULL;
    int64_t uids[RUNS_PER_PART];
    enum status st = q_purge_experiment_runs_open(group_conn(g), &q, r->exp, RUNS_PER_PART, err);

    *n = 0;
    while (!st && *n < RUNS_PER_PART && (st = q_purge_experiment_runs_next(q, &row, err)) == OK) {
        uids[(*n)++] = row.run;
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    if (st || *n == 0) return st;
    st = q_purge_run_roots(group_conn(g), uids, *n, err);
    return st ? st : purge_runs(g, uids, *n, r->who, r->name, no_text, err);
}

static enum status part_of_models(struct group *g, struct arena *a, const struct experiment_rest *r,
                                  size_t *n, struct err *err)
{
    struct q_purge_experiment_models_row row;
    struct sql_stmt *q = NULL;
    struct {
        int64_t uid;
        struct str uri;
    } models[MODELS_PER_PART];
    enum status st =
        q_purge_experiment_models_open(group_conn(g), &q, r->exp, MODELS_PER_PART, err);

    *n = 0;
    while (!st && *n < MODELS_PER_PART &&
           (st = q_purge_experiment_models_next(q, &row, err)) == OK) {
        models[*n].uid = row.uid;
        models[*n].uri = arena_str(a, row.artifact_uri);
        st = models[(*n)++].uri.p ? OK : err_nomem(err);
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; i < *n && !st; i++) {
        st = purge_logged_model(g, a, models[i].uid, models[i].uri, r->who, r->name, err);
    }
    return st;
}

/* What else belongs to it: data sets go, others leave it. */
static enum status part_of_members(struct group *g, const struct experiment_rest *r, size_t *n,
                                   struct err *err)
{
    struct sql_conn *w = group_conn(g);
    struct q_purge_experiment_members_row row;
    struct sql_stmt *q = NULL;
    int64_t nodes[MEMBERS_PER_PART], sets[MEMBERS_PER_PART], now = group_now_ms(g);
    size_t sets_n = 0;
    enum status st = q_purge_experiment_members_open(w, &q, r->uid, MEMBERS_PER_PART, err);

    *n = 0;
    while (!st && *n < MEMBERS_PER_PART &&
           (st = q_purge_experiment_members_next(q, &row, err)) == OK) {
        nodes[(*n)++] = row.node;
        if (row.type_id == TYPE_MLFLOW_DATASET) sets[sets_n++] = row.node;
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    if (st || *n == 0) return st;
    st = q_purge_experiment_members_log(w, r->uid, nodes, *n, now, err);
    if (!st) st = q_purge_experiment_members_drop(w, r->uid, nodes, *n, err);
    if (st || sets_n == 0) return st;
    st = q_purge_node_tombstones(w, sets, sets_n, r->who, now, r->exp, r->name, err);
    if (!st) st = q_purge_members_log(w, sets, sets_n, now, err);
    if (!st) st = q_purge_members(w, sets, sets_n, err);
    if (!st) st = q_purge_props(w, sets, sets_n, err);
    if (!st) st = q_purge_idents(w, sets, sets_n, err);
    return st ? st : q_purge_nodes(w, sets, sets_n, err);
}

enum status purge_experiment_part(struct group *g, struct arena *a, const struct experiment_rest *r,
                                  struct err *err)
{
    struct sql_conn *w = group_conn(g);
    struct q_purge_columns_next_row column;
    size_t n = 0;
    enum status st = part_of_runs(g, r, &n, err);

    if (!st && n == 0) st = part_of_models(g, a, r, &n, err);
    if (!st && n == 0) st = part_of_members(g, r, &n, err);
    FAILPOINT("core.purge.experiment.part");
    if (st || n > 0) return st;
    st = q_purge_columns_next(w, NULL, r->exp, &column, err);
    if (!st) return q_purge_column(w, r->exp, column.kind, column.id, err);
    if (st != ST_NOT_FOUND) return st;
    st = q_purge_columns_keys(w, r->exp, err);
    if (!st) st = q_purge_experiment_done(w, r->exp, err);
    FAILPOINT("core.purge.experiment.done");
    return st;
}

/* ---- what would go ----------------------------------------------------------------------------------------------------------- */

static enum status version_named(struct view *v, struct contents *out, struct str name,
                                 int64_t version, struct err *err)
{
    struct str text = arena_printf(v->arena, "%.*s/%" PRId64, STR_ARG(name), version);

    for (size_t i = 0; text.p && i < out->versions_n; i++) {
        if (str_eq(out->versions[i], text)) return OK; /* it names the run and its model */
    }
    if (text.p && out->versions_n < CONTENTS_VERSIONS_MAX) out->versions[out->versions_n++] = text;
    return text.p ? OK : err_nomem(err);
}

/* What stands on all runs and logged models of an experiment, or on one: the queries give the same rows. */
#define ADD_VERSIONS(query, key)                                                                   \
    do {                                                                                           \
        struct query##_row named;                                                                  \
        struct sql_stmt *list = NULL;                                                              \
        st = query##_open(v->conn, &list, (key), CONTENTS_VERSIONS_MAX, err);                      \
        while (!st && (st = query##_next(list, &named, err)) == OK) {                              \
            st = version_named(v, out, named.name, named.version, err);                            \
            if (st) break;                                                                         \
        }                                                                                          \
        sql_close(list);                                                                           \
        st = st == ST_END ? OK : st;                                                               \
    } while (0)

enum status contents_of_experiment(struct view *v, int64_t id, struct contents *out,
                                   struct err *err)
{
    struct q_experiment_get_row row;
    struct q_purge_experiment_waits_row waits;
    struct q_contents_runs_row runs;
    struct q_contents_models_row models;
    struct q_contents_run_files_row of_runs;
    struct q_contents_model_files_row of_models;
    enum status st = q_experiment_get(v->conn, v->arena, id, &row, err);

    *out = (struct contents){ 0 };
    if (st == ST_NOT_FOUND) {
        st = q_purge_experiment_waits(v->conn, v->arena, id, &waits, err);
        out->going = st == OK;
    }
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "experiment_id", "No Experiment with id=%" PRId64 " exists", id);
    }
    if (!st) st = q_contents_runs(v->conn, NULL, id, &runs, err);
    if (!st) st = q_contents_models(v->conn, NULL, id, &models, err);
    if (!st) st = q_contents_run_files(v->conn, NULL, id, &of_runs, err);
    if (!st) st = q_contents_model_files(v->conn, NULL, id, &of_models, err);
    if (st) return st;
    out->runs = runs.n;
    out->logged_models = models.n;
    out->files = of_runs.n + of_models.n;
    out->bytes = of_runs.bytes + of_models.bytes;
    ADD_VERSIONS(q_contents_run_versions, id);
    if (!st) ADD_VERSIONS(q_contents_model_versions, id);
    return st;
}

static enum status files_of(struct view *v, struct str uri, int64_t owner, struct contents *out,
                            struct err *err)
{
    struct q_contents_root_row row;
    enum status st = q_contents_root(v->conn, NULL, uri, owner, &row, err);

    if (!st) {
        out->files = row.n;
        out->bytes = row.bytes;
    }
    return st;
}

enum status contents_of_run(struct view *v, struct str run_id, struct contents *out,
                            struct err *err)
{
    struct run_view run;
    enum status st = run_get(v, run_id, &run, err);

    *out = (struct contents){ .runs = 1 };
    if (!st) st = files_of(v, run.artifact_uri, run.uid, out, err);
    if (!st) ADD_VERSIONS(q_versions_of_run, run_id);
    return st;
}

enum status contents_of_logged_model(struct view *v, struct str model_id, struct contents *out,
                                     struct err *err)
{
    struct q_logged_model_get_row row;
    enum status st = q_logged_model_get(v->conn, v->arena, model_id, &row, err);

    *out = (struct contents){ .logged_models = 1 };
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "model_id", "Logged model with ID '%.*s' not found.",
                         STR_ARG(model_id));
    }
    if (!st) st = files_of(v, row.artifact_uri, row.uid, out, err);
    if (!st) ADD_VERSIONS(q_versions_of_model, model_id);
    return st;
}
