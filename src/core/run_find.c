/* core/run_find.c - searching runs in columns. The columns answer for all runs but those whose head is newer: these are offered one by
 * one, with the values of the keys that the search names. */
#include "core/columns.h"
#include "core/dataset.h"
#include "core/run_search_int.h"
#include "core/search/column_values.h"
#include "store/mkeys.h"
#include "store/runcols/runcols.h"

enum { DATASETS_MEMORY_MAX = 64 << 20, PICK_MEMORY_MAX = 512 << 20 };

struct find {
    struct view *v;
    struct run_search in;
    struct searcher *searcher; /* of a page; or NULL, and */
    struct values *values;     /* of the values of a key */
    const struct column_plan *plan;
    struct column_key *keys; /* of plan->wants */
    struct run_goals goals;
    struct view datasets_view; /* with an arena of its own, emptied for each run */
    struct search_dataset *datasets;
    struct arena *texts, *scratch;
    struct run_pick *picks;
    int64_t experiment; /* at hand */
    const struct run_pick *row;
    struct part *parts;
    size_t parts_n;
};

/* One experiment of the search, held until its end. */
struct part {
    struct find *find;
    int64_t experiment;
    struct runcols_query query;
    struct column_source source;
};

/* ---- a run by itself ------------------------------------------------------------------------------------------------------------- */

static const struct run_pick *pick_of(const struct find *f, enum column_kind kind, uint32_t attr,
                                      struct str name)
{
    static const struct run_pick none = { .has = false };

    for (size_t i = 0; i < f->plan->n; i++) {
        const struct column_want *w = &f->plan->wants[i];

        if (w->kind == kind && (kind == COLUMN_ATTR ? w->attr == attr : str_eq(w->name, name))) {
            return &f->row[i];
        }
    }
    return &none;
}

static uint32_t attr_of(enum search_attr attr)
{
    /* Attributes of other entities are no keys of runs. */
    return attr == ATTR_RUN_ID         ? COLUMN_RUN_ID
           : attr == ATTR_RUN_NAME     ? COLUMN_NAME
           : attr == ATTR_STATUS       ? COLUMN_STATUS
           : attr == ATTR_USER_ID      ? COLUMN_USER
           : attr == ATTR_ARTIFACT_URI ? COLUMN_ARTIFACT_URI
           : attr == ATTR_START_TIME   ? COLUMN_START
           : attr == ATTR_END_TIME     ? COLUMN_END
                                       : 0;
}

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct find *f = row;
    const struct run_pick *p = pick_of(f,
                                       key->kind == SEARCH_ATTR    ? COLUMN_ATTR
                                       : key->kind == SEARCH_PARAM ? COLUMN_PARAM
                                                                   : COLUMN_TAG,
                                       attr_of(key->attr), key->name);

    *out = p->s;
    return p->has;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    const struct find *f = row;
    const struct run_pick *p = pick_of(f, COLUMN_ATTR, attr_of(key->attr), key->name);

    *out = p->i;
    return p->has;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct find *f = row;
    const struct run_pick *p = pick_of(f,
                                       agg == AGG_MIN   ? COLUMN_METRIC_MIN
                                       : agg == AGG_MAX ? COLUMN_METRIC_MAX
                                                        : COLUMN_METRIC,
                                       0, key->name);

    if (!p->has &&
        agg ==
            AGG_LAST) { /* asked of best() without a direction: whether the run has the metric at all */
        p = pick_of(f, COLUMN_METRIC_MIN, 0, key->name);
    }
    *out = p->d;
    return p->has;
}

static enum search_goal row_goal(void *row, const struct search_key *key)
{
    const struct find *f = row;
    char room[GOAL_TAG_MAX];
    struct str tag = run_goal_tag(key->name, room);
    const struct run_pick *own = pick_of(f, COLUMN_TAG, 0, tag);
    enum search_goal goal = tag.p && own->has ? search_goal_parse(own->s) : GOAL_NONE;

    return goal != GOAL_NONE ? goal : run_goals_of(&f->goals, f->experiment, key->name);
}

static enum status datasets_of(struct find *f, int64_t uid, const struct search_dataset **out,
                               size_t *n, struct err *err)
{
    struct arena *a = f->datasets_view.arena;
    struct dataset_input *inputs;
    struct search_dataset *sets;
    enum status st;

    arena_reset(a);
    st = dataset_inputs_of_run(&f->datasets_view, uid, &inputs, n, err);
    if (st) return st;
    sets = ARENA_ARRAY(a, struct search_dataset, *n + 1);
    if (!sets) return err_nomem(err);
    for (size_t i = 0; i < *n; i++) {
        sets[i] = (struct search_dataset){ inputs[i].name, inputs[i].digest, inputs[i].context };
    }
    *out = sets;
    return OK;
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    struct find *f = row;

    return datasets_of(f, f->row[COLUMN_WANT_UID].i, out, n, err);
}

static const struct search_row_ops row_ops = {
    .text = row_text,
    .integer = row_integer,
    .metric = row_metric,
    .goal = row_goal,
    .datasets = row_datasets,
};

static enum status offer_newer(struct find *f, const int64_t *uids, size_t n, struct err *err)
{
    bool exists[RUN_PICK_ROWS];
    enum status st;

    arena_reset(f->texts);
    st = run_picks(f->v->core->heads, f->v->conn, uids, n, f->keys, f->plan->n, f->texts,
                   f->scratch, f->picks, exists, NULL, err);
    for (size_t i = 0; i < n && !st; i++) {
        f->row = f->picks + i * f->plan->n;
        if (!exists[i] ||
            !view_type_has(f->in.view_type, (enum lifecycle)f->row[COLUMN_WANT_LIFECYCLE].i)) {
            continue;
        }
        st = f->values ? values_offer(f->values, &row_ops, f, err)
                       : searcher_offer(f->searcher, &row_ops, f, (uint64_t)uids[i], err);
    }
    return st;
}

/* ---- the search -------------------------------------------------------------------------------------------------------------------- */

static enum search_goal experiment_goal(void *ctx, struct str metric)
{
    const struct part *p = ctx;

    return run_goals_of(&p->find->goals, p->experiment, metric);
}

static enum status experiment_datasets(void *ctx, int64_t uid, const struct search_dataset **out,
                                       size_t *n, struct err *err)
{
    return datasets_of(((struct part *)ctx)->find, uid, out, n, err);
}

static enum status one_experiment(struct find *f, int64_t experiment, struct err *err)
{
    struct part *p = &f->parts[f->parts_n++];
    struct runcols_query *q = &p->query;
    enum status st = runcols_begin(f->v->core->columns, f->v->conn, f->v->arena, experiment,
                                   f->keys, f->plan->n, q, err);

    p->find = f;
    p->experiment = f->experiment = experiment;
    p->source = (struct column_source){ .table = &q->table,
                                        .view_type = f->in.view_type,
                                        .goal = experiment_goal,
                                        .datasets = experiment_datasets,
                                        .ctx = p };
    if (!st && f->values) {
        st = values_offer_columns(f->values, &p->source, err);
    } else if (!st) {
        st = searcher_offer_columns(f->searcher, f->plan, &p->source, err);
    }
    for (size_t at = 0; at < q->newer_n && !st; at += RUN_PICK_ROWS) {
        st = offer_newer(f, q->newer + at, MIN_OF(q->newer_n - at, (size_t)RUN_PICK_ROWS), err);
    }
    return st;
}

/* The numbers of the names that the search wants; 0 of a name that no run has. */
static enum status find_keys(struct find *f, struct err *err)
{
    enum status st = OK;

    f->keys = ARENA_ARRAY(f->v->arena, struct column_key, f->plan->n + 1);
    if (!f->keys) return err_nomem(err);
    for (size_t i = 0; i < f->plan->n && !st; i++) {
        const struct column_want *w = &f->plan->wants[i];

        f->keys[i] = (struct column_key){ w->kind, w->attr };
        if (w->kind != COLUMN_ATTR) {
            st = mkeys_find(f->v->core->mkeys, f->v->conn, w->name, &f->keys[i].id, err);
        }
    }
    return st;
}

/* Once f->plan is there. */
static enum status prepare(struct find *f, bool has_best, struct err *err)
{
    struct arena *a = f->v->arena;
    enum status st = find_keys(f, err);

    if (!st && has_best) {
        st = run_goals_read(&f->goals, f->v, f->in.experiments, f->in.n, err);
    }
    if (st) return st;
    f->parts = ARENA_ARRAY(a, struct part, f->in.n + 1);
    f->picks = ARENA_ARRAY(a, struct run_pick, f->plan->n * RUN_PICK_ROWS);
    f->texts = arena_new(PICK_MEMORY_MAX);
    f->scratch = arena_new(PICK_MEMORY_MAX);
    f->datasets_view = *f->v;
    f->datasets_view.arena = arena_new(DATASETS_MEMORY_MAX);
    return f->parts && f->picks && f->texts && f->scratch && f->datasets_view.arena
               ? OK
               : err_nomem(err);
}

static enum status prepare_page(struct find *f, struct err *err)
{
    struct search_request request = { .entity = SEARCH_RUNS,
                                      .filter = f->in.filter,
                                      .order_by = f->in.order_by,
                                      .order_by_n = f->in.order_by_n,
                                      .page = f->in.page,
                                      .count_all = f->in.count };
    struct column_plan *plan = NULL;
    enum status st = run_search_scope(&f->in, f->v->arena, &request.scope, err);

    if (!st) st = searcher_new(&f->searcher, &request, f->v->arena, err);
    if (!st) st = column_plan_new(&plan, f->searcher, f->v->arena, err);
    f->plan = plan;
    return st ? st : prepare(f, searcher_has_best(f->searcher), err);
}

/* All experiments; then the arena of the view holds what they gave. */
static enum status each_experiment(struct find *f, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; i < f->in.n && !st; i++) {
        st = one_experiment(f, f->in.experiments[i], err);
    }
    return st;
}

static void release(struct find *f)
{
    for (size_t i = 0; i < f->parts_n; i++) {
        runcols_end(&f->parts[i].query);
    }
    arena_free(f->texts);
    arena_free(f->scratch);
    arena_free(f->datasets_view.arena);
}

enum status run_find(struct view *v, const struct run_search *in, struct run_found *out,
                     struct err *err)
{
    struct find f = { .v = v, .in = *in };
    uint64_t *handles = NULL;
    enum status st = prepare_page(&f, err);

    *out = (struct run_found){ .n = 0 };
    if (!st) st = each_experiment(&f, err);
    if (!st) st = searcher_end(f.searcher, &handles, &out->n, &out->next_token, err);
    if (!st) {
        out->total = searcher_total(f.searcher);
        out->uids = ARENA_ARRAY(v->arena, int64_t, out->n + 1);
        if (!out->uids) st = err_nomem(err);
    }
    for (size_t i = 0; i < out->n && !st; i++) {
        out->uids[i] = (int64_t)handles[i];
    }
    release(&f);
    if (!st) columns_save_soon(v->core);
    return st;
}

enum status run_values(struct view *v, const struct run_search *in, struct str key, size_t max,
                       struct values_result *out, struct err *err)
{
    struct find f = { .v = v, .in = *in };
    struct str ignored;
    enum status st = run_search_scope(&f.in, v->arena, &ignored, err);

    *out = (struct values_result){ .n = 0 };
    if (!st) st = values_new(&f.values, f.in.filter, key, max, v->arena, err);
    if (!st) {
        f.plan = values_plan(f.values);
        st = prepare(&f, values_has_best(f.values), err);
    }
    if (!st) st = each_experiment(&f, err);
    if (!st) st = values_end(f.values, out, err);
    release(&f);
    if (!st) columns_save_soon(v->core);
    return st;
}
