/* core/checkpoint_model.c - logged models of a run as checkpoints: those that were logged at a step. */
#include "base/map.h"
#include "base/num.h"
#include "core/checkpoint_int.h"
#include "core/logged_model.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

static const struct str scheme = S_INIT("models:/");

static enum status keep(struct arena *a, struct str *s, struct err *err)
{
    *s = arena_str(a, *s);
    return s->p ? OK : err_nomem(err);
}

/* Logging a model without a step gives it step 0, so that alone says nothing: models of a series in which no step is another one
 * are no checkpoints, unless their names say a step. */
static enum status drop_without_step(struct checkpoint *list, const bool *sure, size_t *n,
                                     struct err *err)
{
    struct str_map with = STR_MAP_INIT(CHECKPOINT_MODELS_MAX);
    size_t kept = 0;
    enum status st = OK;

    for (size_t i = 0; i < *n && !st; i++) {
        st = sure[i] && str_map_put(&with, list[i].series, list) ? err_nomem(err) : OK;
    }
    for (size_t i = 0; i < *n && !st; i++) {
        list[i].has_step = true;
        if (str_map_get(&with, list[i].series)) {
            list[kept++] = list[i];
        }
    }
    *n = kept;
    str_map_release(&with);
    return st;
}

/* Its name, step and place; *sure: the step was given. */
static enum status model_head(struct arena *a, const struct q_models_of_run_row *row,
                              struct checkpoint *c, bool *sure, struct err *err)
{
    struct checkpoint_name name;
    struct str pattern;
    enum status st = OK;

    *c = (struct checkpoint){ .folder = S(""),
                              .model = row->uid,
                              .model_id = row->mid,
                              .model_uri = row->artifact_uri,
                              .time_ms = row->update_ms };
    st = keep(a, &c->model_id, err);
    st = st ? st : keep(a, &c->model_uri, err);
    if (st) return st;
    if (row->status != LOGGED_MODEL_READY) {
        c->missing = S("end of its upload");
    }
    if (row->step.p && !num_parse_i64(row->step, &c->step)) {
        c->step = 0;
    }
    if (checkpoint_name_parse(S(""), row->name, &name) && name.has_step) {
        c->step = c->step ? c->step : name.step;
        c->epoch = name.epoch;
        c->has_epoch = name.has_epoch;
        *sure = true;
    }
    *sure = *sure || c->step != 0;
    pattern = checkpoint_pattern(a, row->name);
    c->series = arena_printf(a, "%.*s%.*s", STR_ARG(scheme), STR_ARG(pattern));
    c->path = arena_printf(a, "%.*s%.*s", STR_ARG(scheme), STR_ARG(c->model_id));
    return pattern.p && c->series.p && c->path.p ? OK : err_nomem(err);
}

static enum status model_heads(struct view *v, int64_t run, struct checkpoint **list, size_t *n,
                               struct err *err)
{
    struct q_models_of_run_row row;
    struct sql_stmt *stmt = NULL;
    bool *sure = ARENA_ARRAY(v->arena, bool, CHECKPOINT_MODELS_MAX);
    size_t cap = 0;
    enum status st = sure ? q_models_of_run_open(v->conn, &stmt, run, err) : err_nomem(err);

    *list = NULL;
    *n = 0;
    while (!st && (st = q_models_of_run_next(stmt, &row, err)) == OK) {
        if (*n == CHECKPOINT_MODELS_MAX) {
            st = err_set(err, ST_TOO_BIG, "the run has more than %d logged models",
                         CHECKPOINT_MODELS_MAX);
        } else if (!arena_grow(v->arena, (void **)list, *n, &cap, sizeof(**list))) {
            st = err_nomem(err);
        } else {
            st = model_head(v->arena, &row, &(*list)[*n], &sure[*n], err);
            (*n)++;
        }
        if (st) break;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    return st ? st : drop_without_step(*list, sure, n, err);
}

enum status checkpoint_models(struct view *v, int64_t run, struct checkpoint **list, size_t *n,
                              struct err *err)
{
    struct checkpoint *models, *both;
    size_t models_n, files = 0;
    enum status st = model_heads(v, run, &models, &models_n, err);

    for (size_t i = 0; i < models_n && !st; i++) {
        st = checkpoint_model_files(v, &models[i], err);
        files += models[i].files_n;
        if (!st && files > CHECKPOINT_FILES_MAX) {
            st = err_set(err, ST_TOO_BIG, "the logged models of the run have more than %d files",
                         CHECKPOINT_FILES_MAX);
        }
    }
    if (st || !models_n) {
        return st;
    }
    both = ARENA_ARRAY(v->arena, struct checkpoint, *n + models_n);
    if (!both) {
        return err_nomem(err);
    }
    if (*n) {
        memcpy(both, *list, *n * sizeof(*both));
    }
    memcpy(both + *n, models, models_n * sizeof(*both));
    *list = both;
    *n += models_n;
    return OK;
}

/* ---- metrics ------------------------------------------------------------------------------------------------------------- */

/* The newest point of a key that was logged to the model, over all runs and data sets; *has is set then. */
static enum status newest_of(struct view *v, const int64_t *series, size_t n, struct str key,
                             struct checkpoint_metric *out, bool *has, struct err *err)
{
    int64_t ms = 0;
    enum status st = OK;

    for (size_t i = 0; i < n && !st; i++) {
        struct point *points;
        size_t points_n;

        st = owner_metric_history(v, series[i], key, &points, &points_n, err);
        for (size_t k = 0; k < points_n && !st; k++) {
            const struct point *p = &points[k];

            if (!*has || p->step > out->step || (p->step == out->step && p->timestamp_ms >= ms)) {
                *out = (struct checkpoint_metric){ key, p->value, p->step };
                ms = p->timestamp_ms;
                *has = true;
            }
        }
    }
    return st;
}

static enum status series_of(struct view *v, int64_t model, int64_t **out, size_t *n,
                             struct err *err)
{
    struct q_model_series_of_model_row row;
    struct sql_stmt *stmt = NULL;
    size_t cap = 0;
    enum status st = q_model_series_of_model_open(v->conn, &stmt, model, err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_model_series_of_model_next(stmt, &row, err)) == OK) {
        if (!arena_grow(v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = row.uid;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status checkpoint_model_metrics(struct view *v, const struct str *keys, size_t keys_n,
                                     struct checkpoint *c, struct err *err)
{
    struct checkpoint_metric *metrics = ARENA_ARRAY(v->arena, struct checkpoint_metric, keys_n + 1);
    const struct checkpoint_metric *of_run;
    size_t n = 0, series_n;
    int64_t *series;
    enum status st = metrics ? series_of(v, c->model, &series, &series_n, err) : err_nomem(err);

    for (size_t i = 0; i < keys_n && !st; i++) {
        bool has = false;

        st = newest_of(v, series, series_n, keys[i], &metrics[n], &has, err);
        of_run = has ? NULL : checkpoint_metric(c, keys[i]);
        if (of_run) {
            metrics[n] = *of_run;
        }
        n += has || of_run;
    }
    if (!st) {
        c->metrics = metrics;
        c->metrics_n = n;
    }
    return st;
}

/* ---- held, deleted -------------------------------------------------------------------------------------------------------- */

enum status checkpoint_model_held(struct view *v, struct checkpoint *c, struct err *err)
{
    struct q_model_version_by_logged_row row;
    struct sql_stmt *stmt = NULL;
    enum status st = q_model_version_by_logged_open(v->conn, &stmt, c->model_id, err);

    st = st ? st : q_model_version_by_logged_next(stmt, &row, err);
    if (!st) {
        c->held = arena_printf(v->arena, "%.*s/%lld", STR_ARG(row.name), (long long)row.version);
        st = c->held.p ? OK : err_nomem(err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

bool checkpoint_is_model(struct str path)
{
    return str_starts(path, scheme);
}

enum status checkpoint_model_delete(struct view *v, struct group *g, int64_t run, struct str path,
                                    const struct digest *digest, int64_t *deleted, struct err *err)
{
    struct str id = str_sub(path, scheme.n, path.n);
    struct q_logged_model_get_row row;
    struct q_model_is_of_run_row of;
    struct checkpoint c;
    enum status st = q_logged_model_get(v->conn, v->arena, id, &row, err);

    st = st ? st : q_model_is_of_run(v->conn, v->arena, run, row.uid, &of, err);
    if (st || row.lifecycle) {
        return st == ST_NOT_FOUND ? OK : st; /* not there, or not any more */
    }
    c = (struct checkpoint){ .model = row.uid, .model_id = row.mid, .model_uri = row.artifact_uri };
    st = checkpoint_model_files(v, &c, err);
    st = st ? st : checkpoint_model_held(v, &c, err);
    if (st) return st;
    if (!digest_eq(&c.digest, digest) || c.held.p) {
        return err_field(err, ST_CONFLICT, "digest",
                         "checkpoint '%.*s' has changed: look at it again", STR_ARG(path));
    }
    ++*deleted;
    return q_logged_model_set_lifecycle(v->conn, row.uid, LIFECYCLE_DELETED, group_now_ms(g), err);
}
