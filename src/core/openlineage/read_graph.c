/* core/openlineage/read_graph.c - graphs of jobs and data sets, and the runs behind a run. Walked level by level over rows: a level is some
 * statements over many numbers, and the walk ends when as many nodes are found as are wanted, so a hub costs what is shown of it. */
#include "base/map.h"
#include "core/openlineage/read_int.h"

enum { READS = 1, WRITES = 2 };

static bool put_link(struct arena *a, struct ol_graph_link **p, size_t *n, size_t *cap,
                     struct ol_graph_link x)
{
    if (!arena_grow(a, (void **)p, *n, cap, sizeof(x))) {
        return false;
    }
    (*p)[(*n)++] = x;
    return true;
}

/* jobs: sorted. */
enum status ol_io_of_jobs(struct view *v, const int64_t *jobs, size_t n, size_t max,
                          struct ol_graph_link **out, size_t *out_n, bool *more, struct err *err)
{
    size_t cap = 0;
    enum status st = OK;

    *out = NULL;
    *out_n = 0;
    *more = false;
    for (size_t at = 0; !st && at < n && !*more; at += OL_LIST_MAX) {
        struct q_ol_io_of_jobs_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_io_of_jobs_open(v->conn, &stmt, jobs + at, MIN_OF(n - at, (size_t)OL_LIST_MAX),
                                  (int64_t)(max - *out_n) + 1, err);
        while (!st && (st = q_ol_io_of_jobs_next(stmt, &row, err)) == OK) {
            struct ol_graph_link x = { row.job, row.dataset, row.dir == OL_OUT };

            if (*out_n == max) {
                *more = true;
                break;
            }
            if (!put_link(v->arena, out, out_n, &cap, x)) st = err_nomem(err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

/* ---- the walk ----------------------------------------------------------------------------------------------------------------------- */

struct walk {
    struct view *v;
    struct ol_graph *g;
    struct int_map jobs, sets; /* jobs: any value; sets: a struct reached */
    size_t max, sets_cap, links_cap, level_cap;
    int64_t *level; /* jobs of this level, then of the next */
    size_t level_n;
};
/* How a data set was reached; done: the jobs of the other side were looked for. */
struct reached {
    unsigned by, done;
    bool hidden;
};

static bool is_full(const struct walk *w)
{
    return w->jobs.n + w->sets.n >= w->max;
}

static enum status meet_job(struct walk *w, int64_t job, struct err *err)
{
    if (int_map_get(&w->jobs, (uint64_t)job)) {
        return OK;
    }
    if (is_full(w)) {
        w->g->partial = true;
        return OK;
    }
    if (int_map_put(&w->jobs, (uint64_t)job, w) ||
        !arena_grow(w->v->arena, (void **)&w->level, w->level_n, &w->level_cap,
                    sizeof(*w->level))) {
        return err_nomem(err);
    }
    w->level[w->level_n++] = job;
    return OK;
}

static enum status meet_set(struct walk *w, int64_t set, unsigned by, bool start,
                            struct reached **out, struct err *err)
{
    struct reached *r = (struct reached *)int_map_get(&w->sets, (uint64_t)set);

    *out = r;
    if (r) {
        r->by |= by;
        return OK;
    }
    if (is_full(w) && !start) {
        w->g->partial = true;
        return OK;
    }
    *out = r = ARENA_NEW(w->v->arena, struct reached);
    if (!r || int_map_put(&w->sets, (uint64_t)set, r) ||
        !arena_grow(w->v->arena, (void **)&w->g->datasets, w->g->datasets_n, &w->sets_cap,
                    sizeof(int64_t))) {
        return err_nomem(err);
    }
    r->by = by;
    w->g->datasets[w->g->datasets_n++] = set;
    return OK;
}

/* What the jobs of this level read and write; the level is empty then. */
static enum status sets_of_level(struct walk *w, struct err *err)
{
    struct ol_graph_link *links;
    struct reached *r;
    int64_t *sorted;
    size_t n, m;
    bool more;
    enum status st = ol_sorted(w->v->arena, w->level, w->level_n, &sorted, &m, err);

    w->level_n = 0;
    st = st ? st
            : ol_io_of_jobs(w->v, sorted, m, OL_GRAPH_LINKS_MAX - w->g->links_n, &links, &n, &more,
                            err);
    for (size_t i = 0; !st && i < n; i++) {
        st = meet_set(w, links[i].dataset, links[i].writes ? WRITES : READS, false, &r, err);
        if (!st && r &&
            !put_link(w->v->arena, &w->g->links, &w->g->links_n, &w->links_cap, links[i])) {
            st = err_nomem(err);
        }
    }
    if (!st) w->g->partial |= more;
    return st;
}

/* Jobs that read (or write) data sets which were reached by one that writes (or reads) them. */
static enum status jobs_of_sets(struct walk *w, enum ol_dir dir, struct err *err)
{
    unsigned side = dir == OL_IN ? READS : WRITES, other = side ^ (READS | WRITES);
    int64_t *sets = ARENA_ARRAY(w->v->arena, int64_t, w->g->datasets_n + 1);
    size_t n = 0;
    enum status st = sets ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < w->g->datasets_n; i++) {
        struct reached *r = (struct reached *)int_map_get(&w->sets, (uint64_t)w->g->datasets[i]);

        if ((r->by & other) && !(r->done & side)) {
            r->done |= side;
            sets[n++] = w->g->datasets[i];
        }
    }
    for (size_t at = 0; !st && at < n && !w->g->partial; at += OL_LIST_MAX) {
        struct q_ol_io_of_datasets_row row;
        struct sql_stmt *stmt = NULL;
        size_t rows = 0;

        st = q_ol_io_of_datasets_open(w->v->conn, &stmt, sets + at,
                                      MIN_OF(n - at, (size_t)OL_LIST_MAX), dir,
                                      OL_GRAPH_LINKS_MAX + 1, err);
        while (!st && !w->g->partial && (st = q_ol_io_of_datasets_next(stmt, &row, err)) == OK) {
            st = meet_job(w, row.job, err);
            w->g->partial |= ++rows > OL_GRAPH_LINKS_MAX;
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

static enum status begin(struct walk *w, const struct ol_node_id *start, struct err *err)
{
    struct ol_run_view *run;
    struct ol_name *job;
    struct reached *r;
    enum status st;

    switch (start->kind) {
    case OL_NODE_JOB: return meet_job(w, start->uid, err);
    case OL_NODE_RUN:
        st = ol_runs(w->v, &start->uid, 1, 0, &run, err);
        st = st ? st : ol_job_names(w->v, &run->job, 1, false, &job, err);
        if (!st && !job->name.p) {
            return err_field(err, ST_NOT_FOUND, "nodeId", "The job of the run is hidden.");
        }
        return st ? st : meet_job(w, run->job, err);
    case OL_NODE_DATASET:
    case OL_NODE_FIELD: break;
    }
    st = meet_set(w, start->uid, READS | WRITES, true, &r, err);
    st = st ? st : jobs_of_sets(w, OL_OUT, err);
    return st ? st : jobs_of_sets(w, OL_IN, err);
}

/* ---- the answer ----------------------------------------------------------------------------------------------------------------------- */

static int by_uid(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int by_link(const void *a, const void *b)
{
    const struct ol_graph_link *x = (const struct ol_graph_link *)a,
                               *y = (const struct ol_graph_link *)b;

    return x->job != y->job          ? (x->job < y->job ? -1 : 1)
           : x->writes != y->writes  ? x->writes - y->writes
           : x->dataset < y->dataset ? -1
                                     : x->dataset > y->dataset;
}

/* What is hidden goes, and links with it. */
static enum status leave_out(struct walk *w, struct err *err)
{
    struct ol_graph *g = w->g;
    struct ol_name *sets;
    size_t n = 0;
    enum status st = ol_dataset_names(w->v, g->datasets, g->datasets_n, false, &sets, err);

    for (size_t i = 0; !st && i < g->datasets_n; i++) {
        if (!sets[i].name.p) {
            struct reached *r = (struct reached *)int_map_get(&w->sets, (uint64_t)g->datasets[i]);

            r->hidden = true;
        }
    }
    for (size_t i = 0; !st && i < g->links_n; i++) {
        const struct reached *r =
            (const struct reached *)int_map_get(&w->sets, (uint64_t)g->links[i].dataset);

        if (!r->hidden) g->links[n++] = g->links[i];
    }
    if (st) {
        return st;
    }
    g->links_n = n;
    n = 0;
    for (size_t i = 0; i < g->datasets_n; i++) {
        if (sets[i].name.p) g->datasets[n++] = g->datasets[i];
    }
    g->datasets_n = n;
    return OK;
}

static enum status arrange(struct walk *w, struct err *err)
{
    struct ol_graph *g = w->g;
    uint64_t key;
    void *value;
    enum status st = leave_out(w, err);

    g->jobs = ARENA_ARRAY(w->v->arena, int64_t, w->jobs.n + 1);
    if (!st && !g->jobs) {
        st = err_nomem(err);
    }
    for (size_t at = 0; !st && int_map_next(&w->jobs, &at, &key, &value);) {
        g->jobs[g->jobs_n++] = (int64_t)key;
    }
    if (!st && g->jobs_n > 1) qsort(g->jobs, g->jobs_n, sizeof(*g->jobs), by_uid);
    if (!st && g->datasets_n > 1) qsort(g->datasets, g->datasets_n, sizeof(*g->datasets), by_uid);
    if (!st && g->links_n > 1) qsort(g->links, g->links_n, sizeof(*g->links), by_link);
    return st;
}

enum status ol_lineage(struct view *v, const struct ol_node_id *start, unsigned depth, size_t max,
                       struct ol_graph *out, struct err *err)
{
    struct walk w = { .v = v,
                      .g = out,
                      .max = max,
                      .jobs = INT_MAP_INIT(OL_GRAPH_NODES_MAX + 1),
                      .sets = INT_MAP_INIT(OL_GRAPH_NODES_MAX + 1) };
    enum status st;

    *out = (struct ol_graph){ 0 };
    st = begin(&w, start, err);
    for (unsigned i = 0; !st && w.level_n; i++) {
        st = sets_of_level(&w, err);
        if (!st && i < depth && !out->partial) {
            st = jobs_of_sets(&w, OL_OUT, err);
            st = st ? st : jobs_of_sets(&w, OL_IN, err);
        }
    }
    st = st ? st : arrange(&w, err);
    int_map_release(&w.jobs);
    int_map_release(&w.sets);
    return st;
}

/* ---- runs behind a run ------------------------------------------------------------------------------------------------------------------ */

struct upstream {
    struct view *v;
    struct int_map seen;
    struct ol_upstream *p;
    size_t n, cap, max;
};

static enum status meet_run(struct upstream *u, int64_t run, struct err *err)
{
    if (u->n >= u->max || int_map_get(&u->seen, (uint64_t)run)) {
        return OK;
    }
    if (int_map_put(&u->seen, (uint64_t)run, u) ||
        !arena_grow(u->v->arena, (void **)&u->p, u->n, &u->cap, sizeof(*u->p))) {
        return err_nomem(err);
    }
    u->p[u->n++] = (struct ol_upstream){ .run = run };
    return OK;
}

static enum status makers_of(struct view *v, const int64_t *versions, size_t n, struct int_map *by,
                             struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < n; at += OL_LIST_MAX) {
        struct q_ol_makers_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_makers_open(v->conn, &stmt, versions + at, MIN_OF(n - at, (size_t)OL_LIST_MAX),
                              OL_LINKS_OF_RUNS_MAX, err);
        while (!st && (st = q_ol_makers_next(stmt, &row, err)) == OK) {
            int64_t *run = ARENA_NEW(v->arena, int64_t);

            if (!run) {
                st = err_nomem(err);
                break;
            }
            *run = row.run;
            if (!int_map_get(by, (uint64_t)row.version) &&
                int_map_put(by, (uint64_t)row.version, run)) {
                st = err_nomem(err);
            }
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

/* Inputs of the runs from..to of u, and with `on` the runs that made them. */
static enum status behind(struct upstream *u, size_t from, size_t to, bool on, struct err *err)
{
    struct int_map by = INT_MAP_INIT(OL_LINKS_OF_RUNS_MAX + 1);
    int64_t *runs = ARENA_ARRAY(u->v->arena, int64_t, to - from + 1), *sorted, *versions = NULL;
    struct ol_link_view *in = NULL;
    size_t m, in_n = 0;
    enum status st = runs ? OK : err_nomem(err);

    for (size_t i = from; !st && i < to; i++) {
        runs[i - from] = u->p[i].run;
    }
    st = st ? st : ol_sorted(u->v->arena, runs, to - from, &sorted, &m, err);
    st = st ? st : ol_links_of_runs(u->v, sorted, m, false, &in, &in_n, err);
    if (!st) versions = ARENA_ARRAY(u->v->arena, int64_t, in_n + 1);
    if (!st && !versions) st = err_nomem(err);
    for (size_t i = 0; !st && i < in_n; i++) {
        versions[i] = in[i].version;
    }
    st = st ? st : makers_of(u->v, versions, in_n, &by, err);
    for (size_t i = from; !st && i < to; i++) {
        int64_t run = u->p[i].run;
        struct ol_upstream_input *p = NULL;
        size_t n = 0, cap = 0;

        for (size_t k = 0; !st && k < in_n; k++) {
            const int64_t *maker = (const int64_t *)int_map_get(&by, (uint64_t)in[k].version);

            if (in[k].run != run) {
                continue;
            }
            if (!arena_grow(u->v->arena, (void **)&p, n, &cap, sizeof(*p))) {
                st = err_nomem(err);
                break;
            }
            p[n++] = (struct ol_upstream_input){ in[k].dataset, in[k].version, maker ? *maker : 0 };
            if (maker && on) st = meet_run(u, *maker, err);
        }
        u->p[i].in = p;
        u->p[i].in_n = n;
    }
    int_map_release(&by);
    return st;
}

enum status ol_run_upstream(struct view *v, int64_t run, unsigned depth, size_t max,
                            struct ol_upstream **out, size_t *n, struct err *err)
{
    struct upstream u = { .v = v, .max = max, .seen = INT_MAP_INIT(OL_GRAPH_NODES_MAX + 1) };
    enum status st = meet_run(&u, run, err);
    size_t from = 0;

    for (unsigned i = 0; !st && from < u.n; i++) {
        size_t to = u.n;

        st = behind(&u, from, to, i < depth, err);
        from = to;
    }
    int_map_release(&u.seen);
    *out = u.p;
    *n = u.n;
    return st;
}
