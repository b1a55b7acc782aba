/* run_search() over a fake source of runs: the functions it calls are defined here. */
#include "base/mem.h"
#include "core/dataset.h"
#include "core/experiment.h"
#include "core/run_search.h"
#include "tap.h"

#include <math.h>

static struct run_view *source;
static size_t source_n, dataset_calls, experiment_calls;
static enum status dataset_answer;

enum status run_each(struct view *v, const int64_t *experiments, size_t n, enum view_type type,
                     enum status (*fn)(void *ctx, const struct run_view *run, struct err *err),
                     void *ctx, struct err *err)
{
    T_OK(v->arena != NULL);
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < source_n; r++) {
            if (source[r].experiment == experiments[i] &&
                view_type_has(type, source[r].lifecycle)) {
                enum status st = fn(ctx, &source[r], err);

                if (st) return st;
            }
        }
    }
    return OK;
}

enum status run_get_uid(struct view *v, int64_t uid, struct run_view *out, struct err *err)
{
    T_OK(v->arena != NULL);
    for (size_t r = 0; r < source_n; r++) {
        if (source[r].uid == uid) {
            *out = source[r];
            return OK;
        }
    }
    return err_set(err, ST_NOT_FOUND, "gone");
}

const struct run_metric *run_view_metric(const struct run_view *run, struct str key)
{
    for (size_t i = 0; i < run->metrics_n; i++) {
        if (str_eq(run->metrics[i].key, key)) {
            return &run->metrics[i];
        }
    }
    return NULL;
}

static const struct str *find(const struct key_value *items, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(items[i].key, key)) {
            return &items[i].value;
        }
    }
    return NULL;
}

const struct str *run_view_param(const struct run_view *run, struct str key)
{
    return find(run->params, run->params_n, key);
}

const struct str *run_view_tag(const struct run_view *run, struct str key)
{
    return find(run->tags, run->tags_n, key);
}

enum status dataset_inputs_of_run(struct view *v, int64_t run_uid, struct dataset_input **out,
                                  size_t *n, struct err *err)
{
    dataset_calls++;
    if (dataset_answer) return err_set(err, dataset_answer, "away");
    *n = run_uid == 2;
    *out = ARENA_ARRAY(v->arena, struct dataset_input, 1);
    if (!*out) return err_nomem(err);
    (*out)->name = S("iris");
    (*out)->digest = S("d1");
    return OK;
}

static struct key_value goal_tag = { S_INIT("cairn.goal.loss"), S_INIT(" Min ") };

enum status experiment_get(struct view *v, int64_t id, struct experiment *out, struct err *err)
{
    T_OK(v->arena != NULL);
    experiment_calls++;
    if (id > 8) return err_set(err, ST_NOT_FOUND, "No Experiment with id=%d exists", (int)id);
    *out = (struct experiment){ .id = id, .tags = &goal_tag, .tags_n = id == 7 };
    return OK;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static struct run_metric metric(double value, double min, double max)
{
    return (struct run_metric){ .key = S("loss"), .value = value, .min = min, .max = max };
}

static struct run_metric losses[4];
static struct key_value params[] = { { S_INIT("opt"), S_INIT("adam") } };
static struct key_value tags[] = { { S_INIT("mlflow.runName"), S_INIT("blue") },
                                   { S_INIT("cairn.goal.loss"), S_INIT("max") } };

static struct run_view *four_runs(void)
{
    static struct run_view runs[4];

    losses[0] = metric(0.5, 0.1, 0.9);
    losses[1] = metric(0.3, 0.2, 0.8);
    losses[2] = metric((double)NAN, 0.3, 0.7);
    runs[0] = (struct run_view){ .uid = 1,
                                 .experiment = 7,
                                 .run_id = S("a"),
                                 .status = RUN_FINISHED,
                                 .start_ms = 10,
                                 .has_end = true,
                                 .end_ms = 20,
                                 .metrics = losses,
                                 .metrics_n = 1 };
    runs[1] = (struct run_view){ .uid = 2,
                                 .experiment = 7,
                                 .run_id = S("b"),
                                 .status = RUN_RUNNING,
                                 .start_ms = 10,
                                 .metrics = losses + 1,
                                 .metrics_n = 1,
                                 .params = params,
                                 .params_n = 1 };
    runs[2] = (struct run_view){ .uid = 3,
                                 .experiment = 8,
                                 .run_id = S("c"),
                                 .status = RUN_FAILED,
                                 .start_ms = 30,
                                 .metrics = losses + 2,
                                 .metrics_n = 1,
                                 .tags = tags,
                                 .tags_n = 2,
                                 .name = S("blue") };
    runs[3] = (struct run_view){ .uid = 4,
                                 .experiment = 7,
                                 .run_id = S("d"),
                                 .status = RUN_KILLED,
                                 .start_ms = 40,
                                 .lifecycle = LIFECYCLE_DELETED };
    source = runs;
    source_n = 4;
    dataset_calls = experiment_calls = 0;
    dataset_answer = OK;
    return runs;
}

static int64_t fail_after; /* the allocation that fails in found(); 0 = none */

/* The ids of the page, one letter each; "!text" for an error. */
static const char *found(const char *filter, const char *order, enum view_type type, size_t max,
                         struct str *token)
{
    static const int64_t experiments[] = { 8, 7, 7, 99 };
    static char ids[1024];
    struct arena *a = arena_new(1 << 20);
    struct view v = { .arena = a };
    struct str clause = str_cstr(order), next;
    struct run_search in = { .experiments = experiments,
                             .n = 4,
                             .view_type = type,
                             .filter = str_cstr(filter),
                             .order_by = &clause,
                             .order_by_n = order[0] != '\0',
                             .page = { .max = max } };
    struct err err = ERR_INIT;
    struct run_view *runs;
    size_t n;

    t_note("%s | %s", filter, order);
    if (token) {
        in.page.token = *token;
    }
    if (fail_after) mem_fail_after(fail_after, true);
    if (run_search(&v, &in, &runs, &n, &next, &err)) {
        ids[0] = '!';
        memcpy(ids + 1, err.message, MIN_OF(strlen(err.message) + 1, sizeof(ids) - 1));
    } else {
        for (size_t i = 0; i < n; i++) {
            ids[i] = runs[i].run_id.p[0];
        }
        ids[n] = '\0';
    }
    if (token) {
        static char kept[4096];

        CHECK(next.n < sizeof(kept));
        if (next.n) {
            memcpy(kept, next.p, next.n);
        }
        *token = str_of(next.p ? kept : NULL, next.n);
    }
    arena_free(a);
    return ids;
}

TEST(run_search_filters)
{
    enum view_type on = VIEW_ACTIVE_ONLY;

    four_runs();
    T_CSTR(found("", "", on, 10, NULL), "cab");
    T_CSTR(found("", "", VIEW_ALL, 10, NULL), "dcab");
    T_CSTR(found("", "", VIEW_DELETED_ONLY, 10, NULL), "d");
    T_CSTR(found("status = 'RUNNING'", "", on, 10, NULL), "b");
    T_CSTR(found("status in ('FAILED', 'FINISHED')", "", on, 10, NULL), "ca");
    T_CSTR(found("run_id = 'a'", "", on, 10, NULL), "a");
    T_CSTR(found("end_time > 5", "", on, 10, NULL), "a");
    T_CSTR(found("end_time != 5", "", on, 10, NULL), "a");
    T_CSTR(found("start_time >= 10 and start_time < 30", "", on, 10, NULL), "ab");
    T_CSTR(found("params.opt = 'adam'", "", on, 10, NULL), "b");
    T_CSTR(found("run_name = 'blue'", "", on, 10, NULL), "c");
    T_CSTR(found("tags.mlflow.runName = 'blue'", "", on, 10, NULL), "c");
    T_CSTR(found("metrics.loss < 0.4", "", on, 10, NULL), "b");
    T_CSTR(found("min(loss) < 0.25", "", on, 10, NULL), "ab");
    T_CSTR(found("user_id != 'x'", "", on, 10, NULL), "");
    T_CSTR(found("bogus", "", on, 10, NULL), "!Invalid clause(s) in filter string: 'bogus'");
}

TEST(run_search_orders)
{
    four_runs();
    T_CSTR(found("", "metrics.loss", VIEW_ALL, 10, NULL), "bacd");
    T_CSTR(found("", "metrics.loss desc", VIEW_ALL, 10, NULL), "abcd");
    T_CSTR(found("", "max(metrics.loss) desc", VIEW_ALL, 10, NULL), "abcd");
    T_CSTR(found("", "end_time", VIEW_ALL, 10, NULL), "adcb");
    T_CSTR(found("", "run_name", VIEW_ALL, 10, NULL), "cdab");
    T_CSTR(found("", "status desc", VIEW_ALL, 10, NULL), "bdac");
}

TEST(run_search_pages)
{
    struct str token = { NULL, 0 };

    four_runs();
    T_CSTR(found("", "", VIEW_ALL, 3, &token), "dca");
    T_OK(token.p != NULL);
    T_CSTR(found("", "", VIEW_ALL, 3, &token), "b");
    T_OK(token.p == NULL);
    T_CSTR(found("", "", VIEW_ALL, 4, &token), "dcab");
    T_OK(token.p == NULL);
    T_CSTR(found("", "", VIEW_ALL, 1, &token), "d");
    T_CSTR(found("", "", VIEW_ACTIVE_ONLY, 1, &token),
           "!Experiment IDs in the page token do not match the requested experiment IDs.");
}

/* Directions: run c says max itself, experiment 7 says min. */
TEST(run_search_best)
{
    struct run_view *runs = four_runs();

    T_CSTR(found("best(metrics.loss) < 0.15", "", VIEW_ALL, 10, NULL), "a");
    T_CSTR(found("best(metrics.loss) = 0.7", "", VIEW_ALL, 10, NULL), "c");
    T_CSTR(found("", "best(metrics.loss)", VIEW_ALL, 10, NULL), "abcd");
    T_UINT(experiment_calls, 9);
    four_runs();
    T_CSTR(found("", "metrics.loss", VIEW_ALL, 10, NULL), "bacd");
    T_UINT(experiment_calls, 0);
    runs[2].tags_n = 1;
    T_CSTR(
        found("", "best(metrics.loss)", VIEW_ALL, 10, NULL),
        "!best(metrics.loss) needs a direction: set the tag cairn.goal.loss to min or max on the run or its experiment");
}

TEST(run_search_datasets)
{
    four_runs();
    T_CSTR(found("datasets.name = 'iris' and datasets.digest = 'd1'", "", VIEW_ALL, 10, NULL), "b");
    T_UINT(dataset_calls, 4); /* once per run */
    dataset_calls = 0;
    T_CSTR(found("datasets.name = 'iris' and start_time = 10", "", VIEW_ALL, 10, NULL), "b");
    T_UINT(dataset_calls, 2);
    T_CSTR(found("datasets.context != 'x'", "", VIEW_ALL, 10, NULL), "");
    dataset_answer = ST_UNAVAILABLE;
    T_CSTR(found("datasets.name = 'iris'", "", VIEW_ALL, 10, NULL), "!away");
}

TEST(run_search_no_memory)
{
    const char *got = "!";

    for (fail_after = 1; got[0] == '!'; fail_after++) {
        four_runs();
        got = found("datasets.name = 'iris' and best(metrics.loss) > 0", "params.opt", VIEW_ALL, 1,
                    NULL);
        mem_fail_never();
        T_OK(fail_after < 1000);
    }
    T_CSTR(got, "b");
    T_OK(fail_after > 4);
}
