/* core/run_search.c - runs as rows of the search driver.
 * Texts and numbers come straight from the run at hand. What is not in it is read lazily: datasets
 * once per run that needs them, the experiments' goals once per search. */
#include "base/buf.h"
#include "core/dataset.h"
#include "core/run_search_int.h"
#include "core/search/driver.h"

enum { DATASETS_MEMORY_MAX = 64 << 20 };

struct row {
    struct searcher *searcher;
    const struct run_view *run;
    struct view datasets_view; /* with an arena of its own, emptied for each run */
    struct search_dataset *datasets;
    size_t datasets_n;
    bool has_datasets;      /* of this run */
    struct run_goals goals; /* if they are asked for */
};

/* ---- attributes, params, tags, metrics ------------------------------------------------------- */

static bool attr_text(const struct run_view *run, enum search_attr attr, struct str *out)
{
    if (attr == ATTR_RUN_ID) {
        *out = run->run_id;
    } else if (attr == ATTR_RUN_NAME) {
        *out = run->name;
    } else if (attr == ATTR_STATUS) {
        *out = run_status_name(run->status);
    } else if (attr == ATTR_USER_ID) {
        *out = run->user_id;
    } else if (attr == ATTR_ARTIFACT_URI) {
        *out = run->artifact_uri;
    } else {
        return false;
    }
    return str_is_set(*out);
}

static bool row_text(void *row, const struct search_key *key, struct str *out)
{
    const struct run_view *run = ((struct row *)row)->run;
    const struct str *found;

    if (key->kind == SEARCH_ATTR) {
        return attr_text(run, key->attr, out);
    }
    found =
        key->kind == SEARCH_PARAM ? run_view_param(run, key->name) : run_view_tag(run, key->name);
    if (found) {
        *out = *found;
    }
    return found != NULL;
}

static bool row_integer(void *row, const struct search_key *key, int64_t *out)
{
    const struct run_view *run = ((struct row *)row)->run;

    if (key->attr == ATTR_START_TIME) {
        *out = run->start_ms;
        return true;
    }
    *out = run->end_ms;
    return key->attr == ATTR_END_TIME && run->has_end;
}

static bool row_metric(void *row, const struct search_key *key, enum search_aggregate agg,
                       double *out)
{
    const struct run_metric *m = run_view_metric(((struct row *)row)->run, key->name);

    if (!m) {
        return false;
    }
    *out = agg == AGG_MIN ? m->min : agg == AGG_MAX ? m->max : m->value;
    return true;
}

/* ---- goals ----------------------------------------------------------------------------------- */

static enum search_goal row_goal(void *row, const struct search_key *key)
{
    const struct row *r = row;
    char name[GOAL_TAG_MAX];
    struct str tag = run_goal_tag(key->name, name);
    const struct str *own = tag.p ? run_view_tag(r->run, tag) : NULL;
    enum search_goal goal = own ? search_goal_parse(*own) : GOAL_NONE;

    return goal != GOAL_NONE ? goal : run_goals_of(&r->goals, r->run->experiment, key->name);
}

/* ---- datasets -------------------------------------------------------------------------------- */

static enum status read_datasets(struct row *r, struct err *err)
{
    struct dataset_input *inputs;
    struct arena *a = r->datasets_view.arena;
    size_t n;
    enum status st;

    arena_reset(a);
    st = dataset_inputs_of_run(&r->datasets_view, r->run->uid, &inputs, &n, err);
    if (st) return st;
    r->datasets = ARENA_ARRAY(a, struct search_dataset, n + 1);
    if (!r->datasets) return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        r->datasets[i] =
            (struct search_dataset){ inputs[i].name, inputs[i].digest, inputs[i].context };
    }
    r->datasets_n = n;
    r->has_datasets = true;
    return OK;
}

static enum status row_datasets(void *row, const struct search_dataset **out, size_t *n,
                                struct err *err)
{
    struct row *r = row;
    enum status st = r->has_datasets ? OK : read_datasets(r, err);

    *out = r->datasets;
    *n = r->datasets_n;
    return st;
}

/* ---- the search ------------------------------------------------------------------------------ */

static const struct search_row_ops run_row_ops = {
    .text = row_text,
    .integer = row_integer,
    .metric = row_metric,
    .goal = row_goal,
    .datasets = row_datasets,
};

static enum status offer_run(void *ctx, const struct run_view *run, struct err *err)
{
    struct row *r = ctx;

    r->run = run;
    r->has_datasets = false;
    return searcher_offer(r->searcher, &run_row_ops, r, (uint64_t)run->uid, err);
}

static enum status search(struct row *r, struct view *v, struct run_search *in, uint64_t **uids,
                          size_t *n, struct str *next_token, struct err *err)
{
    struct search_request request = { .entity = SEARCH_RUNS,
                                      .filter = in->filter,
                                      .order_by = in->order_by,
                                      .order_by_n = in->order_by_n,
                                      .page = in->page };
    enum status st = run_search_scope(in, v->arena, &request.scope, err);

    if (st) return st;
    st = searcher_new(&r->searcher, &request, v->arena, err);
    if (st) return st;
    if (searcher_filter(r->searcher)->has_datasets) {
        r->datasets_view = *v;
        r->datasets_view.arena = arena_new(DATASETS_MEMORY_MAX);
        if (!r->datasets_view.arena) return err_nomem(err);
    }
    if (searcher_has_best(r->searcher)) {
        st = run_goals_read(&r->goals, v, in->experiments, in->n, err);
        if (st) return st;
    }
    st = run_each(v, in->experiments, in->n, in->view_type, offer_run, r, err);
    return st ? st : searcher_end(r->searcher, uids, n, next_token, err);
}

enum status run_search_rows(struct view *v, const struct run_search *in, int64_t **uids, size_t *n,
                            struct str *next_token, struct err *err)
{
    struct row r = { .run = NULL };
    struct run_search distinct = *in;
    uint64_t *found = NULL;
    enum status st;

    *n = 0;
    *next_token = (struct str){ NULL, 0 };
    st = search(&r, v, &distinct, &found, n, next_token, err);
    arena_free(r.datasets_view.arena);
    *uids = ARENA_ARRAY(v->arena, int64_t, *n + 1);
    if (!*uids && !st) st = err_nomem(err);
    for (size_t i = 0; i < *n && !st; i++) {
        (*uids)[i] = (int64_t)found[i];
    }
    return st;
}

enum status run_search(struct view *v, const struct run_search *in, struct run_view **out,
                       size_t *n, struct str *next_token, struct err *err)
{
    int64_t *uids;
    size_t uids_n;
    enum status st = run_search_rows(v, in, &uids, &uids_n, next_token, err);

    *n = 0;
    *out = ARENA_ARRAY(v->arena, struct run_view, uids_n + 1);
    if (!*out && !st) st = err_nomem(err);
    for (size_t i = 0; i < uids_n && !st; i++) { /* one that has gone since is left out */
        st = run_get_uid(v, uids[i], &(*out)[*n], err);
        *n += st == OK;
        if (st == ST_NOT_FOUND) st = OK;
    }
    return st;
}
