/* core/dataset.c - inputs and outputs of runs, as nodes and edges. */
#include "core/dataset.h"
#include "base/map.h"
#include "base/num.h"
#include "core/experiment.h"
#include "core/graph/place.h"
#include "core/node.h"
#include "core/run.h"
#include "gen/sql/queries.h"
#include "store/heads.h"
#include "store/series/batch.h"
#include "store/sql/sql.h"
#include <inttypes.h>

#define CONTEXT_TAG "mlflow.data.context"
#define STEP_TAG    "mlflow.step"

/* ---- writes ------------------------------------------------------------------------------------------------------------ */

static enum status add_typed(struct group *g, int64_t uid, struct str key, struct str value,
                             struct err *err)
{
    return value.p ? q_prop_set_text(group_conn(g), uid, PROP_TYPED, key, value, err) : OK;
}

/* The dataset's node, made when the experiment does not know it yet. */
static enum status dataset_node(struct run_links *l, struct group *g, int64_t exp,
                                const struct dataset_input *d, int64_t *uid, struct err *err)
{
    struct node_new node = { .kind = NODE_ARTIFACT,
                             .type = TYPE_MLFLOW_DATASET,
                             .scheme = IDENT_MLFLOW_DATASET,
                             .name = d->name,
                             .digest = d->digest };
    enum status st;

    node.ident = arena_printf(l->op.arena, "%" PRId64 "%c%.*s%c%.*s", exp, 0, STR_ARG(d->name), 0,
                              STR_ARG(d->digest));
    if (!node.ident.p) {
        return err_nomem(err);
    }
    st = group_node_find(g, IDENT_MLFLOW_DATASET, node.ident, uid, err);
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = group_node_add(g, &node, uid, err);
    st = st ? st : add_typed(g, *uid, S("source_type"), d->source_type, err);
    st = st ? st : add_typed(g, *uid, S("source"), d->source, err);
    st = st ? st : add_typed(g, *uid, S("schema"), d->schema, err);
    st = st ? st : add_typed(g, *uid, S("profile"), d->profile, err);
    if (!st) {
        struct place_dataset at = {
            l->core, l->op.arena, *uid, d->source_type, d->source, d->digest
        };

        st = place_dataset(g, &at, err);
    }
    return st ? st
              : group_member_add(g, experiment_uid(l->core, g, exp), *uid, MEMBER_OF_EXPERIMENT,
                                 err);
}

static enum status link_dataset(struct run_links *l, struct group *g, int64_t exp, int64_t run,
                                const struct dataset_input *d, struct err *err)
{
    int64_t uid;
    bool added;
    enum status st = dataset_node(l, g, exp, d, &uid, err);

    if (st) {
        return st;
    }
    st = group_edge_add(g, uid, run, EDGE_INPUT, &added, err);
    for (size_t i = 0; !st && added && i < d->tags_n; i++) {
        st = q_edge_tag_set(group_conn(g), uid, run, EDGE_INPUT, d->tags[i].key, d->tags[i].value,
                            err);
    }
    return st;
}

static enum status find_model(struct run_links *l, struct group *g, struct str model_id,
                              int64_t *uid, struct err *err)
{
    struct q_logged_model_get_row row;
    enum status st = q_logged_model_get(group_conn(g), l->op.arena, model_id, &row, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "models", "Logged model with ID '%.*s' not found.",
                         STR_ARG(model_id));
    }
    *uid = st ? 0 : row.uid;
    return st;
}

static enum status links_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct run_links *l = WRITE_OP_OF(op, struct run_links);
    int64_t run = 0, exp, model = 0;
    bool added;
    enum status st = run_require_active(g, l->run_id, &run, &exp, err);

    if (!st) {
        /* Fills the cache that dataset_node() reads the experiment's node from; a deleted experiment has no active runs. */
        st = experiment_require_active(l->core, g, exp, err);
    }
    for (size_t i = 0; !st && i < l->datasets_n; i++) {
        st = link_dataset(l, g, exp, run, &l->datasets[i], err);
    }
    for (size_t i = 0; !st && i < l->model_inputs_n; i++) {
        st = find_model(l, g, l->model_inputs[i], &model, err);
        st = st ? st : group_edge_add(g, model, run, EDGE_INPUT, &added, err);
    }
    for (size_t i = 0; !st && i < l->model_outputs_n; i++) {
        char step[NUM_I64_MAX];
        size_t n = num_print_i64(l->model_outputs[i].step, step);

        st = find_model(l, g, l->model_outputs[i].model_id, &model, err);
        st = st ? st : group_edge_add(g, run, model, EDGE_OUTPUT, &added, err);
        st = st ? st
                : q_edge_tag_set(group_conn(g), run, model, EDGE_OUTPUT, S(STEP_TAG),
                                 str_of(step, n), err);
    }
    l->run_uid = run;
    if (!st) { /* a notice, for what was made from the run elsewhere */
        uint32_t ordinal;

        batch_record(group_batch(g));
        st = batch_record_end(group_batch(g), BATCH_LINKS, run, &ordinal, err);
    }
    return st;
}

static void links_apply(struct write_op *op)
{
    struct run_links *l = WRITE_OP_OF(op, struct run_links);

    heads_touch(l->core->heads, l->run_uid);
}

static const struct write_kind links_kind = {
    .name = "run.links", .validate = links_validate, .apply = links_apply, .sql = true
};

void run_links_init(struct run_links *l, struct core *core, struct arena *a)
{
    *l = (struct run_links){ .op = { .kind = &links_kind, .arena = a }, .core = core };
}

/* ---- reads --------------------------------------------------------------------------------------------------------------- */

/* As a query wants it. */
static int64_t limit_of(size_t max)
{
    return (int64_t)MIN_OF(max, (size_t)INT64_MAX);
}

static enum status read_props(struct view *v, struct dataset_input *d, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_prop_texts_row row;
    enum status st = q_prop_texts_open(v->conn, &stmt, d->uid, PROP_TYPED, err);

    while (!st && (st = q_prop_texts_next(stmt, &row, err)) == OK) {
        struct str *to = str_eq_lit(row.key, "source_type") ? &d->source_type
                         : str_eq_lit(row.key, "source")    ? &d->source
                         : str_eq_lit(row.key, "schema")    ? &d->schema
                         : str_eq_lit(row.key, "profile")   ? &d->profile
                                                            : NULL;

        if (to) {
            *to = arena_str(v->arena, row.value);
            st = to->p ? OK : err_nomem(err);
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* Tags of all inputs of a run in one query, handed to the inputs by source. */
static enum status read_edge_tags(struct view *v, int64_t run, struct dataset_input *d, size_t n,
                                  struct err *err)
{
    struct int_map by_uid = INT_MAP_INIT(n + 1);
    struct sql_stmt *stmt = NULL;
    struct q_edge_tags_of_run_row row;
    struct dataset_input *in = NULL;
    size_t cap = 0;
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = int_map_put(&by_uid, (uint64_t)d[i].uid, &d[i]) ? err_nomem(err) : OK;
    }
    st = st ? st : q_edge_tags_of_run_open(v->conn, &stmt, run, err);
    while (!st && (st = q_edge_tags_of_run_next(stmt, &row, err)) == OK) {
        struct dataset_input *of = int_map_get(&by_uid, (uint64_t)row.src);

        if (!of) {
            continue;
        }
        if (of != in) {
            in = of;
            cap = 0;
        }
        if (!view_keep(v, &row.key) || !view_keep(v, &row.value) ||
            !arena_grow(v->arena, (void **)&of->tags, of->tags_n, &cap, sizeof(*of->tags))) {
            st = err_nomem(err);
            break;
        }
        of->tags[of->tags_n++] = (struct key_value){ row.key, row.value };
        if (str_eq_lit(row.key, CONTEXT_TAG)) {
            of->context = of->tags[of->tags_n - 1].value;
        }
    }
    sql_close(stmt);
    int_map_release(&by_uid);
    return st == ST_END ? OK : st;
}

static enum status list_inputs(struct view *v, int64_t run_uid, size_t max,
                               struct dataset_input **out, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_dataset_inputs_of_run_row row;
    struct dataset_input *d = NULL;
    size_t cap = 0, count = 0;
    enum status st = q_dataset_inputs_of_run_open(v->conn, &stmt, run_uid, limit_of(max), err);

    while (!st && (st = q_dataset_inputs_of_run_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.name) || !view_keep(v, &row.digest) ||
            !arena_grow(v->arena, (void **)&d, count, &cap, sizeof(*d))) {
            st = err_nomem(err);
            break;
        }
        d[count++] =
            (struct dataset_input){ .uid = row.uid, .name = row.name, .digest = row.digest };
    }
    sql_close(stmt);
    *out = d;
    *n = count;
    return st == ST_END ? OK : st;
}

static enum status all_or_none(enum status st, struct dataset_input **out, size_t *n)
{
    if (st) {
        *out = NULL;
        *n = 0;
    }
    return st;
}

enum status dataset_inputs_of_run(struct view *v, int64_t run_uid, struct dataset_input **out,
                                  size_t *n, struct err *err)
{
    enum status st = list_inputs(v, run_uid, SIZE_MAX, out, n, err);

    for (size_t i = 0; !st && i < *n; i++) {
        st = read_props(v, &(*out)[i], err);
    }
    if (!st && *n) {
        st = read_edge_tags(v, run_uid, *out, *n, err);
    }
    return all_or_none(st, out, n);
}

static enum status read_place(struct view *v, struct dataset_input *d, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_dataset_place_row row;
    enum status st = q_dataset_place_open(v->conn, &stmt, d->uid, PROP_TYPED, err);

    while (!st && (st = q_dataset_place_next(stmt, &row, err)) == OK) {
        struct str *to = str_eq_lit(row.key, "source")   ? &d->source
                         : str_eq_lit(row.key, "schema") ? &d->schema
                                                         : &d->source_type;

        *to = arena_str(v->arena, row.value);
        st = to->p ? OK : err_nomem(err);
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status dataset_places_of_run(struct view *v, int64_t run_uid, size_t max,
                                  struct dataset_input **out, size_t *n, struct err *err)
{
    enum status st = list_inputs(v, run_uid, max, out, n, err);

    for (size_t i = 0; !st && i < *n; i++) {
        st = read_place(v, &(*out)[i], err);
    }
    return all_or_none(st, out, n);
}

enum status model_inputs_of_run(struct view *v, int64_t run_uid, size_t max, struct str **model_ids,
                                size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_model_inputs_of_run_row row;
    size_t cap = 0;
    enum status st = q_model_inputs_of_run_open(v->conn, &stmt, run_uid, limit_of(max), err);

    *model_ids = NULL;
    *n = 0;
    while (!st && (st = q_model_inputs_of_run_next(stmt, &row, err)) == OK) {
        if (!view_keep(v, &row.mid) ||
            !arena_grow(v->arena, (void **)model_ids, *n, &cap, sizeof(**model_ids))) {
            st = err_nomem(err);
            break;
        }
        (*model_ids)[(*n)++] = row.mid;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status model_outputs_of_run(struct view *v, int64_t run_uid, size_t max,
                                 struct model_output **out, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_model_outputs_of_run_row row;
    size_t cap = 0;
    enum status st = q_model_outputs_of_run_open(v->conn, &stmt, run_uid, limit_of(max), err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_model_outputs_of_run_next(stmt, &row, err)) == OK) {
        int64_t step = 0;

        if (row.step.p && !num_parse_i64(row.step, &step)) {
            st = err_set(err, ST_CORRUPT, "step of model output %.*s is not a number",
                         STR_ARG(row.mid));
            break;
        }
        if (!view_keep(v, &row.mid) ||
            !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = (struct model_output){ row.mid, step };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status runs_with_links(struct view *v, const int64_t *run_uids, size_t n, int64_t **out,
                            size_t *out_n, struct err *err)
{
    struct q_runs_with_links_row row;
    struct sql_stmt *stmt = NULL;
    enum status st;

    *out_n = 0;
    *out = ARENA_ARRAY(v->arena, int64_t, n + 1);
    if (!*out) {
        return err_nomem(err);
    }
    st = q_runs_with_links_open(v->conn, &stmt, run_uids, n, err);
    while (!st && (st = q_runs_with_links_next(stmt, &row, err)) == OK) {
        (*out)[(*out_n)++] = row.run;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

enum status dataset_summaries(struct view *v, const int64_t *experiments, size_t n, size_t max,
                              struct dataset_summary **out, size_t *out_n, struct err *err)
{
    struct q_dataset_summaries_row row;
    size_t cap = 0;
    enum status st = OK;

    *out = NULL;
    *out_n = 0;
    for (size_t i = 0; !st && i < n && *out_n < max; i++) {
        struct sql_stmt *stmt = NULL;

        st = q_dataset_summaries_open(v->conn, &stmt, experiments[i], (int64_t)(max - *out_n), err);
        while (!st && (st = q_dataset_summaries_next(stmt, &row, err)) == OK) {
            if (!view_keep(v, &row.name) || !view_keep(v, &row.digest) ||
                !view_keep(v, &row.context) ||
                !arena_grow(v->arena, (void **)out, *out_n, &cap, sizeof(**out))) {
                st = err_nomem(err);
                break;
            }
            (*out)[(*out_n)++] =
                (struct dataset_summary){ experiments[i], row.name, row.digest, row.context };
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}
