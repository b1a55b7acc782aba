/* core/run_project.c - see run_project.h. With a "*" somewhere runs are read whole; else the values are picked out of their heads. */
#include "core/run_project.h"

#include "store/mkeys.h"
#include "store/runcols/runcols.h"

#include <stdlib.h>

enum { PICK_MEMORY_MAX = 1 << 30 };

static int name_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* l is sorted. */
static bool has_name(const struct run_names *l, struct str name)
{
    return l->n && bsearch(&name, l->names, l->n, sizeof(*l->names), name_cmp) != NULL;
}

static bool has_all(const struct run_names *l)
{
    return has_name(l, S("*"));
}

/* Sorted copies, each once. */
static enum status sort_names(struct arena *a, const struct run_names *in, struct run_names *out,
                              struct err *err)
{
    struct str *p = ARENA_ARRAY(a, struct str, in->n + 1);
    size_t n = 0;

    if (!p) {
        return err_nomem(err);
    }
    if (in->n > 0) memcpy(p, in->names, in->n * sizeof(*p));
    if (in->n > 1) qsort(p, in->n, sizeof(*p), name_cmp);
    for (size_t i = 0; i < in->n; i++) {
        if (n == 0 || !str_eq(p[n - 1], p[i])) p[n++] = p[i];
    }
    *out = (struct run_names){ p, n };
    return OK;
}

/* ---- whole runs ------------------------------------------------------------------------------------------------------------------ */

struct whole {
    const struct run_names *metrics, *params, *tags; /* sorted */
    enum status (*fn)(void *ctx, size_t i, const struct run_view *run, struct err *err);
    void *ctx;
};

static bool is_named(const struct run_names *l, struct str key)
{
    return has_name(l, key) || has_all(l);
}

/* Leaves the pairs that are asked for. */
static size_t keep_pairs(const struct run_names *l, struct key_value *p, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (is_named(l, p[i].key)) p[kept++] = p[i];
    }
    return kept;
}

static enum status whole_run(void *ctx, size_t i, const struct run_view *run, struct err *err)
{
    const struct whole *w = ctx;
    struct run_view r = *run;
    size_t kept = 0;

    for (size_t k = 0; k < r.metrics_n; k++) {
        if (is_named(w->metrics, r.metrics[k].key)) r.metrics[kept++] = r.metrics[k];
    }
    r.metrics_n = kept;
    r.params_n = keep_pairs(w->params, r.params, r.params_n);
    r.tags_n = keep_pairs(w->tags, r.tags, r.tags_n);
    return w->fn(w->ctx, i, &r, err);
}

/* ---- picked values ---------------------------------------------------------------------------------------------------------------- */

enum { ATTRS = COLUMN_ARTIFACT_URI };

struct picked {
    struct view *v;
    struct column_key *keys; /* attributes by their number, then metrics, params, tags */
    size_t keys_n;
    const struct run_names *names[3];
    struct run_pick *picks;
    struct run_view run;
};

static enum status find_keys(struct picked *p, struct err *err)
{
    static const enum column_kind kinds[3] = { COLUMN_METRIC, COLUMN_PARAM, COLUMN_TAG };
    size_t n = ATTRS;
    enum status st = OK;

    for (size_t k = 0; k < 3; k++) {
        n += p->names[k]->n;
    }
    p->keys = ARENA_ARRAY(p->v->arena, struct column_key, n);
    p->picks = ARENA_ARRAY(p->v->arena, struct run_pick, n * RUN_PICK_ROWS);
    p->run.metrics = ARENA_ARRAY(p->v->arena, struct run_metric, p->names[0]->n + 1);
    p->run.params = ARENA_ARRAY(p->v->arena, struct key_value, p->names[1]->n + 1);
    p->run.tags = ARENA_ARRAY(p->v->arena, struct key_value, p->names[2]->n + 1);
    if (!p->keys || !p->picks || !p->run.metrics || !p->run.params || !p->run.tags) {
        return err_nomem(err);
    }
    for (uint32_t a = 1; a <= ATTRS; a++) {
        p->keys[p->keys_n++] = (struct column_key){ COLUMN_ATTR, a };
    }
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < p->names[k]->n && !st; i++) {
            struct column_key *key = &p->keys[p->keys_n++];

            key->kind = kinds[k];
            st = mkeys_find(p->v->core->mkeys, p->v->conn, p->names[k]->names[i], &key->id, err);
        }
    }
    return st;
}

static size_t put_pairs(const struct run_names *l, const struct run_pick *p, struct key_value *out)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (p[i].has) out[n++] = (struct key_value){ l->names[i], p[i].s };
    }
    return n;
}

static enum run_status status_of(struct str s)
{
    enum run_status status = RUN_KILLED;

    (void)run_status_of_name(s, &status);
    return status;
}

/* The run whose values are at v. */
static const struct run_view *run_of(struct picked *p, int64_t uid, int64_t experiment,
                                     const struct run_pick *v)
{
    const struct run_pick *at = v + ATTRS;
    struct run_view *r = &p->run;

    *r = (struct run_view){ .uid = uid,
                            .experiment = experiment,
                            .run_id = v[COLUMN_RUN_ID - 1].s,
                            .name = v[COLUMN_NAME - 1].s,
                            .user_id = v[COLUMN_USER - 1].s,
                            .artifact_uri = v[COLUMN_ARTIFACT_URI - 1].s,
                            .status = status_of(v[COLUMN_STATUS - 1].s),
                            .lifecycle = (enum lifecycle)v[COLUMN_LIFECYCLE - 1].i,
                            .start_ms = v[COLUMN_START - 1].i,
                            .end_ms = v[COLUMN_END - 1].i,
                            .has_end = v[COLUMN_END - 1].has,
                            .metrics = r->metrics,
                            .params = r->params,
                            .tags = r->tags };
    for (size_t i = 0; i < p->names[0]->n; i++, at++) {
        if (at->has) {
            r->metrics[r->metrics_n++] =
                (struct run_metric){ .key = p->names[0]->names[i], .value = at->d };
        }
    }
    r->params_n = put_pairs(p->names[1], at, r->params);
    r->tags_n = put_pairs(p->names[2], at + p->names[1]->n, r->tags);
    return r;
}

static enum status pick_runs(struct view *v, const int64_t *uids, size_t n, struct picked *p,
                             enum status (*fn)(void *ctx, size_t i, const struct run_view *run,
                                               struct err *err),
                             void *ctx, struct err *err)
{
    struct arena *texts = arena_new(PICK_MEMORY_MAX), *scratch = arena_new(PICK_MEMORY_MAX);
    int64_t experiments[RUN_PICK_ROWS];
    bool exists[RUN_PICK_ROWS];
    enum status st = texts && scratch ? find_keys(p, err) : err_nomem(err);

    for (size_t from = 0; from < n && !st; from += RUN_PICK_ROWS) {
        size_t k = MIN_OF(n - from, (size_t)RUN_PICK_ROWS);

        arena_reset(texts);
        st = run_picks(v->core->heads, v->conn, uids + from, k, p->keys, p->keys_n, texts, scratch,
                       p->picks, exists, experiments, err);
        for (size_t i = 0; i < k && !st; i++) {
            if (!exists[i]) continue;
            st = fn(ctx, from + i,
                    run_of(p, uids[from + i], experiments[i], p->picks + i * p->keys_n), err);
        }
    }
    arena_free(texts);
    arena_free(scratch);
    return st == ST_END ? OK : st;
}

enum status run_project(struct view *v, const int64_t *uids, size_t n,
                        const struct run_projection *in,
                        enum status (*fn)(void *ctx, size_t i, const struct run_view *run,
                                          struct err *err),
                        void *ctx, struct err *err)
{
    struct run_names metrics, params, tags;
    struct whole w = { &metrics, &params, &tags, fn, ctx };
    struct picked p = { .v = v, .names = { &metrics, &params, &tags } };
    enum status st;

    if (in->metrics.n + in->params.n + in->tags.n > RUN_PROJECT_KEYS_MAX) {
        return err_set(err, ST_INVALID, "more than %d keys are asked for", RUN_PROJECT_KEYS_MAX);
    }
    st = sort_names(v->arena, &in->metrics, &metrics, err);
    if (!st) st = sort_names(v->arena, &in->params, &params, err);
    if (!st) st = sort_names(v->arena, &in->tags, &tags, err);
    if (st) return st;
    if (has_all(&metrics) || has_all(&params) || has_all(&tags)) {
        return run_gather(v, uids, n, whole_run, &w, err);
    }
    return pick_runs(v, uids, n, &p, fn, ctx, err);
}
