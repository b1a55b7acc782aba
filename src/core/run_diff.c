/* core/run_diff.c - two runs as two sorted lists of facts, merged. */
#include "core/run_diff.h"
#include "base/num.h"
#include "core/dataset.h"
#include "core/graph/graph.h"
#include "core/logged_model.h"
#include "gen/sql/queries.h"
#include "store/series/point.h"
#include "store/sql/sql.h"
#include <stdlib.h>

enum { POINTS_PAGE = 10000, POINTS_ARENA = 16 << 20 };

struct fact {
    enum diff_section section;
    struct str key, value;
};
struct facts {
    struct view *v;
    const struct run_diff_options *o;
    struct fact *p;
    size_t n, cap;
};

const char *diff_section_name(enum diff_section s)
{
    static const char *const names[] = { "code",     "data",    "parameters", "environment",
                                         "hardware", "results", "tags" };

    return names[s];
}

static enum status put(struct facts *f, enum diff_section section, struct str key, struct str value,
                       struct err *err)
{
    if (!arena_grow(f->v->arena, (void **)&f->p, f->n, &f->cap, sizeof(*f->p))) {
        return err_nomem(err);
    }
    f->p[f->n++] = (struct fact){ section, key, value };
    return key.p && value.p ? OK : err_nomem(err);
}

/* ---- where facts come from ------------------------------------------------------------------------------------------------ */

static enum status put_tags(struct facts *f, const struct run_view *run, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < run->tags_n; i++) {
        struct str key = run->tags[i].key;
        bool code = str_starts(key, S("mlflow.source.")) || str_starts(key, S("mlflow.project.")) ||
                    str_eq_lit(key, "mlflow.gitRepoURL");

        if (str_eq_lit(key, "mlflow.log-model.history") || str_eq_lit(key, "mlflow.user")) {
            continue; /* said by the models and the user of the run */
        }
        st = put(f, code ? DIFF_CODE : DIFF_TAGS, key, run->tags[i].value, err);
    }
    return st;
}

/* The newest point by step, time and value that is not later. */
static enum status point_at(struct facts *f, const struct run_view *run, struct str key,
                            struct point *newest, bool *found, struct err *err)
{
    struct view v = *f->v;
    struct point after, *page;
    bool more = true, any = false;
    enum status st = OK;

    *found = false;
    while (!st && more) { /* in the order of time */
        size_t n = 0;

        v.arena = arena_new(POINTS_ARENA);
        if (!v.arena) {
            return err_nomem(err);
        }
        st = run_metric_history(&v, run->run_id, key, any ? &after : NULL, POINTS_PAGE, &page, &n,
                                &more, err);
        for (size_t i = 0; !st && i < n; i++) {
            if (page[i].timestamp_ms > f->o->as_of_ms) {
                more = false;
                break;
            }
            if (!*found || page[i].step >= newest->step) {
                *newest = page[i]; /* of one step the later ones come later */
                *found = true;
            }
        }
        if (!st && n) {
            after = page[n - 1];
            any = true;
        }
        more = more && n > 0;
        arena_free(v.arena);
    }
    return st;
}

static enum status put_metrics(struct facts *f, const struct run_view *run, struct err *err)
{
    enum status st = OK;

    for (size_t i = 0; !st && i < run->metrics_n; i++) {
        const struct run_metric *m = &run->metrics[i];
        char text[NUM_DOUBLE_MAX];
        struct point newest = { .value = m->value };
        bool found = true;
        size_t n;

        if (f->o->has_as_of && m->timestamp_ms > f->o->as_of_ms) {
            st = point_at(f, run, m->key, &newest, &found, err);
        }
        if (st || !found) {
            continue;
        }
        n = num_print_double(newest.value, text);
        st = put(f, str_starts(m->key, S("system/")) ? DIFF_HARDWARE : DIFF_RESULTS, m->key,
                 arena_str(f->v->arena, str_of(text, n)), err);
    }
    return st;
}

/* Whether the link was recorded at the time that is asked for. */
static enum status was_there(struct facts *f, int64_t src, int64_t dst, enum edge_role role,
                             bool *there, struct err *err)
{
    struct q_edge_stands_row row;
    enum status st =
        f->o->has_as_of ? q_edge_stands(f->v->conn, NULL, src, dst, role, &row, err) : OK;

    *there = !f->o->has_as_of || (!st && row.ms <= f->o->as_of_ms);
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status model_was_there(struct facts *f, struct str id, int64_t run, bool input,
                                   bool *there, struct err *err)
{
    struct q_logged_model_get_row row;
    enum status st = OK;

    *there = true;
    if (f->o->has_as_of) {
        st = q_logged_model_get(f->v->conn, f->v->arena, id, &row, err);
        *there = !st;
        st = st == ST_NOT_FOUND ? OK : st;
    }
    if (st || !*there || !f->o->has_as_of) {
        return st;
    }
    return input ? was_there(f, row.uid, run, EDGE_INPUT, there, err)
                 : was_there(f, run, row.uid, EDGE_OUTPUT, there, err);
}

static enum status put_inputs(struct facts *f, const struct run_view *run, struct err *err)
{
    struct dataset_input *d;
    struct str *models;
    size_t n, models_n;
    enum status st = dataset_inputs_of_run(f->v, run->uid, &d, &n, err);

    for (size_t i = 0; !st && i < n; i++) {
        struct str key = d[i].context.p ? arena_printf(f->v->arena, "%.*s (%.*s)",
                                                       STR_ARG(d[i].name), STR_ARG(d[i].context))
                                        : d[i].name;

        bool there;

        st = was_there(f, d[i].uid, run->uid, EDGE_INPUT, &there, err);
        st = st || !there ? st : put(f, DIFF_DATA, key, d[i].digest, err);
    }
    st = st ? st : model_inputs_of_run(f->v, run->uid, SIZE_MAX, &models, &models_n, err);
    for (size_t i = 0; !st && i < models_n; i++) {
        bool there;

        st = model_was_there(f, models[i], run->uid, true, &there, err);
        st = st || !there ? st : put(f, DIFF_DATA, S("model"), models[i], err);
    }
    return st;
}

/* "scikit-learn==1.7.2" is version 1.7.2 of scikit-learn. */
static enum status put_library(struct facts *f, struct str line, struct err *err)
{
    size_t cut = 0;

    while (cut < line.n && !strchr("=<>!~;[ @", line.p[cut])) {
        cut++;
    }
    return put(f, DIFF_ENVIRONMENT, str_sub(line, 0, cut),
               cut == line.n ? S("any") : str_sub(line, cut, line.n), err);
}

static enum status put_libraries(struct facts *f, const struct run_view *run, struct err *err)
{
    struct model_output *models;
    struct graph_answer answer = { 0 };
    struct graph_query q = { .details = true, .max = 1, .depth = 1 };
    size_t n;
    enum status st = model_outputs_of_run(f->v, run->uid, SIZE_MAX, &models, &n, err);

    bool there = false;

    for (size_t i = 0; !st && i < n && !there; i++) {
        st = model_was_there(f, models[i].model_id, run->uid, false, &there, err);
        models[0] = there ? models[i] : models[0];
    }
    if (st || !there) {
        return st;
    }
    q.node = arena_printf(f->v->arena, "model:%.*s", STR_ARG(models[0].model_id));
    st = q.node.p ? graph_ask(f->v, &q, &answer, err) : err_nomem(err);
    if (st == ST_NOT_FOUND) {
        return OK;
    }
    for (size_t i = 0;
         !st && answer.n && answer.nodes[0].details && i < answer.nodes[0].details->libraries_n;
         i++) {
        st = put_library(f, answer.nodes[0].details->libraries[i], err);
    }
    return st;
}

static int fact_cmp(const void *pa, const void *pb)
{
    const struct fact *a = pa, *b = pb;
    int c;

    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }
    c = str_cmp(a->key, b->key);
    return c ? c : str_cmp(a->value, b->value);
}

/* What has one name, in one value. */
static enum status join_equal_keys(struct facts *f, struct err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++) {
        struct fact *last = n ? &f->p[n - 1] : NULL;

        if (last && last->section == f->p[i].section && str_eq(last->key, f->p[i].key)) {
            last->value = arena_printf(f->v->arena, "%.*s, %.*s", STR_ARG(last->value),
                                       STR_ARG(f->p[i].value));
            if (!last->value.p) {
                return err_nomem(err);
            }
        } else {
            f->p[n++] = f->p[i];
        }
    }
    f->n = n;
    return OK;
}

static enum status facts_of(struct facts *f, struct str id, struct err *err)
{
    struct run_view run;
    enum status st = run_get(f->v, id, &run, err);
    bool ended = !f->o->has_as_of || (!st && run.has_end && run.end_ms <= f->o->as_of_ms);

    if (!st && f->o->has_as_of && run.start_ms > f->o->as_of_ms) {
        return err_set(err, ST_NOT_FOUND, "run %.*s had not begun at that time", STR_ARG(id));
    }
    for (size_t i = 0; !st && i < run.params_n; i++) {
        st = put(f, DIFF_PARAMETERS, run.params[i].key, run.params[i].value, err);
    }
    st = st ? st : put_tags(f, &run, err);
    st = st ? st : put_metrics(f, &run, err);
    st = st ? st
            : put(f, DIFF_RESULTS, S("status"), run_status_name(ended ? run.status : RUN_RUNNING),
                  err);
    if (!st && run.user_id.n) {
        st = put(f, DIFF_ENVIRONMENT, S("user"), run.user_id, err);
    }
    st = st ? st : put_inputs(f, &run, err);
    st = st ? st : put_libraries(f, &run, err);
    if (!st && f->n) {
        qsort(f->p, f->n, sizeof(*f->p), fact_cmp);
        st = join_equal_keys(f, err);
    }
    return st;
}

/* ---- the two ------------------------------------------------------------------------------------------------------------------ */

static int name_cmp(const struct fact *a, const struct fact *b)
{
    return a->section != b->section ? (a->section < b->section ? -1 : 1) : str_cmp(a->key, b->key);
}

enum status run_diff(struct view *v, struct str a, struct str b, const struct run_diff_options *opt,
                     struct run_difference **out, size_t *n, size_t *equal_n, struct err *err)
{
    struct facts fa = { .v = v, .o = opt }, fb = { .v = v, .o = opt };
    enum status st = facts_of(&fa, a, err);

    *n = *equal_n = 0;
    st = st ? st : facts_of(&fb, b, err);
    *out = st ? NULL : ARENA_ARRAY(v->arena, struct run_difference, fa.n + fb.n + 1);
    if (!st && !*out) {
        st = err_nomem(err);
    }
    for (size_t i = 0, k = 0; !st && (i < fa.n || k < fb.n);) {
        int c = i == fa.n ? 1 : k == fb.n ? -1 : name_cmp(&fa.p[i], &fb.p[k]);
        const struct fact *x = c <= 0 ? &fa.p[i++] : NULL, *y = c >= 0 ? &fb.p[k++] : NULL;
        struct run_difference d = { .section = x ? x->section : y->section,
                                    .key = x ? x->key : y->key,
                                    .a = x ? x->value : (struct str){ NULL, 0 },
                                    .b = y ? y->value : (struct str){ NULL, 0 } };

        d.equal = x && y && str_eq(x->value, y->value);
        *equal_n += d.equal;
        if (opt->all || !d.equal) {
            (*out)[(*n)++] = d;
        }
    }
    return st;
}
