/* api/openlineage/graphs.c - lineage of jobs, of columns and of runs; search and figures. */
#include "api/openlineage/read_int.h"
#include "base/buf.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdlib.h>

enum { NODE_BYTES_MAX = 16 << 20, HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS, HOURS = 24, DAYS = 7 };

static int by_text(const void *a, const void *b)
{
    const struct openlineage_v1_node *x = a, *y = b;

    return str_cmp(x->id, y->id);
}

static int by_column_text(const void *a, const void *b)
{
    const struct openlineage_v1_column_node *x = a, *y = b;

    return str_cmp(x->id, y->id);
}

/* ---- jobs and data sets --------------------------------------------------------------------------------------------------------------- */

struct graph_of {
    struct arena *a;
    struct ol_graph g;
    struct ol_job_view *jobs;
    struct ol_dataset_view *sets;
    struct openlineage_v1_node *nodes; /* jobs, then data sets */
    struct buf buf;
};

static size_t place_of(const int64_t *sorted, size_t n, int64_t x)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (sorted[mid] < x) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The message as JSON. */
static bool data_of(struct graph_of *x, const struct msg_desc *desc, const void *m, struct str *out)
{
    buf_clear(&x->buf);
    msg_encode_json(&x->buf, desc, m, openlineage_tongue.encode_flags);
    if (x->buf.failed) {
        return false;
    }
    *out = arena_str(x->a, buf_str(&x->buf));
    return out->p != NULL;
}

static bool show_nodes(struct graph_of *x)
{
    bool ok = true;

    for (size_t i = 0; ok && i < x->g.jobs_n; i++) {
        struct openlineage_v1_node *n = &x->nodes[i];
        struct openlineage_v1_job m = { 0 };

        MSG_SET(n, OPENLINEAGE_V1_NODE_HAS_TYPE, type, S("JOB"));
        MSG_SET(n, OPENLINEAGE_V1_NODE_HAS_ID, id,
                ol_show_node(x->a, OL_NODE_JOB, &x->jobs[i].name, (struct str){ NULL, 0 }));
        n->has |= OPENLINEAGE_V1_NODE_HAS_DATA;
        ok = n->id.p && ol_show_job(x->a, &x->jobs[i], false, &m) &&
             data_of(x, &openlineage_v1_job_desc, &m, &n->data);
    }
    for (size_t i = 0; ok && i < x->g.datasets_n; i++) {
        struct openlineage_v1_node *n = &x->nodes[x->g.jobs_n + i];
        struct openlineage_v1_dataset m = { 0 };

        MSG_SET(n, OPENLINEAGE_V1_NODE_HAS_TYPE, type, S("DATASET"));
        MSG_SET(n, OPENLINEAGE_V1_NODE_HAS_ID, id,
                ol_show_node(x->a, OL_NODE_DATASET, &x->sets[i].name, (struct str){ NULL, 0 }));
        n->has |= OPENLINEAGE_V1_NODE_HAS_DATA;
        ok = n->id.p && ol_show_dataset(x->a, &x->sets[i], INT64_MIN, false, &m) &&
             data_of(x, &openlineage_v1_dataset_desc, &m, &n->data);
    }
    return ok;
}

/* Room for the edges of every node, then the edges: each stands at both its ends. */
static bool show_edges(struct graph_of *x)
{
    size_t total = x->g.jobs_n + x->g.datasets_n;

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < x->g.links_n; i++) {
            const struct ol_graph_link *l = &x->g.links[i];
            struct openlineage_v1_node *
                job = &x->nodes[place_of(x->g.jobs, x->g.jobs_n, l->job)],
               *set = &x->nodes[x->g.jobs_n + place_of(x->g.datasets, x->g.datasets_n, l->dataset)];
            struct openlineage_v1_node *from = l->writes ? job : set, *to = l->writes ? set : job;

            if (round) {
                struct openlineage_v1_edge e = { OPENLINEAGE_V1_EDGE_HAS_ORIGIN |
                                                     OPENLINEAGE_V1_EDGE_HAS_DESTINATION,
                                                 from->id, to->id };

                from->out_edges[from->out_edges_n] = e;
                to->in_edges[to->in_edges_n] = e;
            }
            from->out_edges_n++;
            to->in_edges_n++;
        }
        for (size_t i = 0; !round && i < total; i++) {
            struct openlineage_v1_node *n = &x->nodes[i];

            n->has |= OPENLINEAGE_V1_NODE_HAS_IN_EDGES | OPENLINEAGE_V1_NODE_HAS_OUT_EDGES;
            n->in_edges = ARENA_ARRAY(x->a, struct openlineage_v1_edge, n->in_edges_n + 1);
            n->out_edges = ARENA_ARRAY(x->a, struct openlineage_v1_edge, n->out_edges_n + 1);
            n->in_edges_n = n->out_edges_n = 0;
            if (!n->in_edges || !n->out_edges) {
                return false;
            }
        }
    }
    return true;
}

static enum status lineage(struct call *c, struct view *v, struct err *err)
{
    const struct openlineage_v1_lineage_query *in = c->in;
    struct openlineage_v1_graph *out = ARENA_NEW(c->arena, struct openlineage_v1_graph);
    struct graph_of x = { .a = c->arena, .buf = BUF_INIT(NODE_BYTES_MAX) };
    struct ol_node_id start;
    bool ok;
    enum status st = out ? ol_node_parse(v, in->node_id, &start, err) : err_nomem(err);

    st = st ? st
            : ol_lineage(v, &start, (unsigned)MIN_OF(in->depth, OL_DEPTH_MAX),
                         (size_t)in->max_nodes, &x.g, err);
    st = st ? st : ol_jobs(v, x.g.jobs, x.g.jobs_n, OL_WITH_RUN, &x.jobs, err);
    st = st ? st : ol_datasets(v, x.g.datasets, x.g.datasets_n, 0, &x.sets, err);
    if (st) {
        return st;
    }
    x.nodes = ARENA_ARRAY(c->arena, struct openlineage_v1_node, x.g.jobs_n + x.g.datasets_n + 1);
    ok = x.nodes && show_nodes(&x) && show_edges(&x);
    buf_release(&x.buf);
    if (!ok) {
        return err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_GRAPH_HAS_GRAPH, graph, x.nodes);
    out->graph_n = x.g.jobs_n + x.g.datasets_n;
    if (out->graph_n > 1) qsort(out->graph, out->graph_n, sizeof(*out->graph), by_text);
    if (x.g.partial) MSG_SET(out, OPENLINEAGE_V1_GRAPH_HAS_PARTIAL, partial, true);
    c->out = out;
    return OK;
}

/* ---- columns ----------------------------------------------------------------------------------------------------------------------------- */

static void column_data(const struct ol_column_graph *g, const struct ol_dataset_view *const *sets,
                        size_t i, struct openlineage_v1_column_data *d, const struct str *versions)
{
    const struct ol_column_node *x = &g->p[i];

    MSG_SET(d, OPENLINEAGE_V1_COLUMN_DATA_HAS_NAMESPACE, namespace, sets[i]->name.ns);
    MSG_SET(d, OPENLINEAGE_V1_COLUMN_DATA_HAS_DATASET, dataset, sets[i]->name.name);
    if (versions[i].n)
        MSG_SET(d, OPENLINEAGE_V1_COLUMN_DATA_HAS_DATASET_VERSION, dataset_version, versions[i]);
    MSG_SET(d, OPENLINEAGE_V1_COLUMN_DATA_HAS_FIELD, field, x->field);
    if (x->type.p) MSG_SET(d, OPENLINEAGE_V1_COLUMN_DATA_HAS_FIELD_TYPE, field_type, x->type);
    d->has |= OPENLINEAGE_V1_COLUMN_DATA_HAS_INPUT_FIELDS;
    d->input_fields_n = x->in_n;
    for (size_t k = 0; k < x->in_n; k++) {
        const struct ol_column_input *from = &x->in[k];
        struct openlineage_v1_column_input *to = &d->input_fields[k];

        MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_NAMESPACE, namespace,
                sets[from->column]->name.ns);
        MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_DATASET, dataset,
                sets[from->column]->name.name);
        if (versions[from->column].n) {
            MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_DATASET_VERSION, dataset_version,
                    versions[from->column]);
        }
        MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_FIELD, field, g->p[from->column].field);
        if (from->type.p)
            MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_TRANSFORMATION_TYPE, transformation_type,
                    from->type);
        if (from->description.p)
            MSG_SET(to, OPENLINEAGE_V1_COLUMN_INPUT_HAS_TRANSFORMATION_DESCRIPTION,
                    transformation_description, from->description);
    }
}

static bool column_edges(struct arena *a, const struct ol_column_graph *g, const struct str *ids,
                         struct openlineage_v1_column_node *nodes)
{
    size_t *out_n = arena_zalloc(a, g->n + 1, sizeof(*out_n));

    for (size_t i = 0; out_n && i < g->n; i++) {
        for (size_t k = 0; k < g->p[i].in_n; k++)
            out_n[g->p[i].in[k].column]++;
    }
    for (size_t i = 0; out_n && i < g->n; i++) {
        nodes[i].has |=
            OPENLINEAGE_V1_COLUMN_NODE_HAS_IN_EDGES | OPENLINEAGE_V1_COLUMN_NODE_HAS_OUT_EDGES;
        nodes[i].in_edges = ARENA_ARRAY(a, struct openlineage_v1_edge, g->p[i].in_n + 1);
        nodes[i].out_edges = ARENA_ARRAY(a, struct openlineage_v1_edge, out_n[i] + 1);
        if (!nodes[i].in_edges || !nodes[i].out_edges) {
            return false;
        }
    }
    for (size_t i = 0; out_n && i < g->n; i++) {
        for (size_t k = 0; k < g->p[i].in_n; k++) {
            struct openlineage_v1_column_node *from = &nodes[g->p[i].in[k].column], *to = &nodes[i];
            uint64_t has = OPENLINEAGE_V1_EDGE_HAS_ORIGIN | OPENLINEAGE_V1_EDGE_HAS_DESTINATION;

            to->in_edges[to->in_edges_n++] =
                (struct openlineage_v1_edge){ has, ids[i], ids[g->p[i].in[k].column] };
            from->out_edges[from->out_edges_n++] =
                (struct openlineage_v1_edge){ has, ids[g->p[i].in[k].column], ids[i] };
        }
    }
    return out_n != NULL;
}

/* Data sets of the columns; one of another tongue, or a hidden one, has none and is left out. */
static enum status sets_of(struct call *c, struct view *v, const struct ol_column_graph *g,
                           const struct ol_dataset_view **sets, struct str *versions,
                           struct err *err)
{
    int64_t *uids = ARENA_ARRAY(c->arena, int64_t, g->n + 1);
    struct ol_dataset_view *d;
    size_t n = 0;
    enum status st = uids ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < g->n; i++) {
        if (g->p[i].dataset) uids[n++] = g->p[i].dataset;
    }
    st = st ? st : ol_datasets(v, uids, n, 0, &d, err);
    for (size_t i = 0, k = 0; !st && i < g->n; i++) {
        if (!g->p[i].dataset) {
            continue;
        }
        sets[i] = &d[k++];
        if (sets[i]->version) {
            versions[i] = ol_id_text(c->arena, OL_ID_VERSION, sets[i]->version);
            if (!versions[i].p) st = err_nomem(err);
        }
    }
    return st;
}

static enum status show_columns(struct call *c, struct view *v, const struct ol_column_graph *g,
                                struct openlineage_v1_column_graph *out, struct err *err)
{
    const struct ol_dataset_view **sets =
        (const struct ol_dataset_view **)arena_zalloc(c->arena, g->n + 1, sizeof(*sets));
    struct str *versions = ARENA_ARRAY(c->arena, struct str, g->n + 1),
               *ids = ARENA_ARRAY(c->arena, struct str, g->n + 1);
    struct openlineage_v1_column_node *nodes =
        ARENA_ARRAY(c->arena, struct openlineage_v1_column_node, g->n + 1);
    size_t n = 0;
    enum status st =
        sets && versions && ids && nodes ? sets_of(c, v, g, sets, versions, err) : err_nomem(err);

    for (size_t i = 0; !st && i < g->n; i++) {
        struct openlineage_v1_column_data *d =
            ARENA_NEW(c->arena, struct openlineage_v1_column_data);

        if (!sets[i]) {
            continue;
        }
        ids[i] = ol_show_node(c->arena, OL_NODE_FIELD, &sets[i]->name, g->p[i].field);
        if (d)
            d->input_fields =
                ARENA_ARRAY(c->arena, struct openlineage_v1_column_input, g->p[i].in_n + 1);
        if (!d || !d->input_fields || !ids[i].p) {
            return err_nomem(err);
        }
        column_data(g, sets, i, d, versions);
        MSG_SET(&nodes[i], OPENLINEAGE_V1_COLUMN_NODE_HAS_ID, id, ids[i]);
        MSG_SET(&nodes[i], OPENLINEAGE_V1_COLUMN_NODE_HAS_TYPE, type, S("DATASET_FIELD"));
        MSG_SET(&nodes[i], OPENLINEAGE_V1_COLUMN_NODE_HAS_DATA, data, d);
    }
    if (!st && !column_edges(c->arena, g, ids, nodes)) {
        st = err_nomem(err);
    }
    for (size_t i = 0; !st && i < g->n; i++) {
        if (sets[i]) nodes[n++] = nodes[i];
    }
    MSG_SET(out, OPENLINEAGE_V1_COLUMN_GRAPH_HAS_GRAPH, graph, nodes);
    out->graph_n = n;
    return st;
}

static enum status column_lineage(struct call *c, struct view *v, struct err *err)
{
    const struct openlineage_v1_column_lineage_query *in = c->in;
    struct openlineage_v1_column_graph *out =
        ARENA_NEW(c->arena, struct openlineage_v1_column_graph);
    struct ol_column_graph g;
    struct ol_node_id start;
    enum status st = out ? ol_node_parse(v, in->node_id, &start, err) : err_nomem(err);

    st = st ? st
            : ol_column_lineage(v, &start, (unsigned)MIN_OF(in->depth, OL_DEPTH_MAX),
                                in->with_downstream, (size_t)in->max_nodes, &g, err);
    st = st ? st : show_columns(c, v, &g, out, err);
    if (st) {
        return st;
    }
    if (out->graph_n > 1) qsort(out->graph, out->graph_n, sizeof(*out->graph), by_column_text);
    if (g.partial) MSG_SET(out, OPENLINEAGE_V1_COLUMN_GRAPH_HAS_PARTIAL, partial, true);
    c->out = out;
    return OK;
}

/* ---- runs --------------------------------------------------------------------------------------------------------------------------------- */

struct behind {
    struct ol_upstream *p;
    size_t n;
    struct ol_run_view *runs; /* of p */
    struct ol_name *names;    /* of the data sets of all inputs, in order */
    struct ol_run_view *by;   /* that made inputs, in order, of those that are known */
};

static enum status describe(struct call *c, struct view *v, struct behind *b, struct err *err)
{
    int64_t *runs, *sets, *makers;
    size_t m = 0, k = 0, made = 0;
    enum status st;

    for (size_t i = 0; i < b->n; i++) {
        m += b->p[i].in_n;
    }
    runs = ARENA_ARRAY(c->arena, int64_t, b->n + 1);
    sets = ARENA_ARRAY(c->arena, int64_t, m + 1);
    makers = ARENA_ARRAY(c->arena, int64_t, m + 1);
    if (!runs || !sets || !makers) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < b->n; i++) {
        runs[i] = b->p[i].run;
        for (size_t j = 0; j < b->p[i].in_n; j++) {
            sets[k++] = b->p[i].in[j].dataset;
            if (b->p[i].in[j].by) makers[made++] = b->p[i].in[j].by;
        }
    }
    st = ol_runs(v, runs, b->n, OL_WITH_LINKS, &b->runs, err);
    st = st ? st : ol_runs(v, makers, made, 0, &b->by, err);
    return st ? st : ol_dataset_names(v, sets, m, true, &b->names, err);
}

static bool show_upstream_run(struct arena *a, const struct ol_run_view *r,
                              struct openlineage_v1_upstream_entry *e)
{
    struct openlineage_v1_run shown = { 0 };
    struct openlineage_v1_upstream_run *run = ARENA_NEW(a, struct openlineage_v1_upstream_run);
    struct str version = ol_job_version_text(a, &r->version);

    if (!run || !version.p || !ol_show_run(a, r, NULL, false, &shown) ||
        !ol_show_ids(a, &r->name, 1, &e->job)) {
        return false;
    }
    e->has |= OPENLINEAGE_V1_UPSTREAM_ENTRY_HAS_JOB | OPENLINEAGE_V1_UPSTREAM_ENTRY_HAS_INPUTS;
    MSG_SET(e->job, OPENLINEAGE_V1_ID_HAS_VERSION, version, version);
    MSG_SET(run, OPENLINEAGE_V1_UPSTREAM_RUN_HAS_ID, id, shown.id);
    MSG_SET(run, OPENLINEAGE_V1_UPSTREAM_RUN_HAS_STATUS, status, shown.state);
    if (shown.started_at.p)
        MSG_SET(run, OPENLINEAGE_V1_UPSTREAM_RUN_HAS_START, start, shown.started_at);
    if (shown.ended_at.p) MSG_SET(run, OPENLINEAGE_V1_UPSTREAM_RUN_HAS_END, end, shown.ended_at);
    MSG_SET(e, OPENLINEAGE_V1_UPSTREAM_ENTRY_HAS_RUN, run, run);
    return true;
}

static enum status upstream(struct call *c, struct view *v, struct err *err)
{
    const struct openlineage_v1_upstream_query *in = c->in;
    struct openlineage_v1_upstream *out = ARENA_NEW(c->arena, struct openlineage_v1_upstream);
    struct behind b = { 0 };
    int64_t uid;
    size_t k = 0, made = 0;
    enum status st = out ? ol_run_find(v, in->run_id, &uid, err) : err_nomem(err);

    st = st ? st
            : ol_run_upstream(v, uid, (unsigned)MIN_OF(in->depth, OL_DEPTH_MAX), OL_GRAPH_NODES,
                              &b.p, &b.n, err);
    st = st ? st : describe(c, v, &b, err);
    if (st) {
        return st;
    }
    MSG_SET(out, OPENLINEAGE_V1_UPSTREAM_HAS_RUNS, runs,
            ARENA_ARRAY(c->arena, struct openlineage_v1_upstream_entry, b.n + 1));
    out->runs_n = b.n;
    for (size_t i = 0; out->runs && i < b.n; i++) {
        struct openlineage_v1_upstream_entry *e = &out->runs[i];

        e->inputs = ARENA_ARRAY(c->arena, struct openlineage_v1_upstream_input, b.p[i].in_n + 1);
        if (!e->inputs || !show_upstream_run(c->arena, &b.runs[i], e)) {
            return err_nomem(err);
        }
        for (size_t j = 0; j < b.p[i].in_n; j++, k++) {
            struct openlineage_v1_upstream_input *to = &e->inputs[j];
            struct str version = ol_id_text(c->arena, OL_ID_VERSION, b.p[i].in[j].version);

            MSG_SET(to, OPENLINEAGE_V1_UPSTREAM_INPUT_HAS_NAMESPACE, namespace, b.names[k].ns);
            MSG_SET(to, OPENLINEAGE_V1_UPSTREAM_INPUT_HAS_NAME, name, b.names[k].name);
            MSG_SET(to, OPENLINEAGE_V1_UPSTREAM_INPUT_HAS_VERSION, version, version);
            if (b.p[i].in[j].by) {
                MSG_SET(to, OPENLINEAGE_V1_UPSTREAM_INPUT_HAS_PRODUCED_BY_RUN_ID,
                        produced_by_run_id, b.by[made++].id);
            }
            if (!version.p) {
                return err_nomem(err);
            }
        }
        e->inputs_n = b.p[i].in_n;
    }
    c->out = out;
    return out->runs ? OK : err_nomem(err);
}

/* ---- search --------------------------------------------------------------------------------------------------------------------------------- */

static enum status search_of(const struct openlineage_v1_search_query *in, struct view *v,
                             struct ol_search *q, struct err *err)
{
    struct ol_space_view space;
    enum status st;

    *q = (struct ol_search){ .text = in->q,
                             .datasets = !in->filter.n || str_eq_nocase(in->filter, S("dataset")),
                             .jobs = !in->filter.n || str_eq_nocase(in->filter, S("job")),
                             .newest = str_eq_nocase(in->sort, S("updated_at")),
                             .from_us = INT64_MIN,
                             .until_us = INT64_MAX,
                             .max = MIN_OF((size_t)in->limit, (size_t)OL_PAGE_MAX) };
    if (!q->datasets && !q->jobs) {
        return err_field(err, ST_INVALID, "filter", "filter is dataset or job");
    }
    if (in->sort.n && !q->newest && !str_eq_nocase(in->sort, S("name"))) {
        return err_field(err, ST_INVALID, "sort", "sort is name or updated_at");
    }
    st = ol_when(in->before, "before", &q->until_us, err);
    st = st ? st : ol_when(in->after, "after", &q->from_us, err);
    if (!st && in->namespace.n) {
        st = ol_space_find(v, in->namespace, &space, err);
        q->space =
            st ? -1 : space.uid; /* of a namespace that nobody has written to there is nothing */
        if (st == ST_NOT_FOUND) {
            err_clear(err);
            st = OK;
        }
    }
    return st;
}

static enum status search(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_search *out = ARENA_NEW(c->arena, struct openlineage_v1_search);
    struct ol_search q;
    struct ol_hit *p;
    size_t n;
    int64_t total;
    enum status st = search_of(c->in, v, &q, err);

    st = st ? st : ol_search_names(v, &q, &p, &n, &total, err);
    if (st || !out) {
        return st ? st : err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_SEARCH_HAS_TOTAL_COUNT, total_count, total);
    MSG_SET(out, OPENLINEAGE_V1_SEARCH_HAS_RESULTS, results,
            ARENA_ARRAY(c->arena, struct openlineage_v1_search_result, n + 1));
    out->results_n = n;
    for (size_t i = 0; out->results && i < n; i++) {
        struct openlineage_v1_search_result *r = &out->results[i];

        MSG_SET(r, OPENLINEAGE_V1_SEARCH_RESULT_HAS_TYPE, type,
                p[i].is_job ? S("JOB") : S("DATASET"));
        MSG_SET(r, OPENLINEAGE_V1_SEARCH_RESULT_HAS_NAME, name, p[i].name.name);
        MSG_SET(r, OPENLINEAGE_V1_SEARCH_RESULT_HAS_NAMESPACE, namespace, p[i].name.ns);
        MSG_SET(r, OPENLINEAGE_V1_SEARCH_RESULT_HAS_NODE_ID, node_id,
                ol_show_node(c->arena, p[i].is_job ? OL_NODE_JOB : OL_NODE_DATASET, &p[i].name,
                             (struct str){ NULL, 0 }));
        r->has |= OPENLINEAGE_V1_SEARCH_RESULT_HAS_UPDATED_AT;
        if (!r->node_id.p || !ol_show_time(c->arena, p[i].update_us, &r->updated_at)) {
            return err_nomem(err);
        }
    }
    c->out = out;
    return out->results ? OK : err_nomem(err);
}

/* ---- figures --------------------------------------------------------------------------------------------------------------------------------- */

/* The hours, or days, up to the one that is now. */
static enum status intervals(struct call *c, struct view *v, enum ol_stat what,
                             struct ol_interval **out, size_t *n, struct err *err)
{
    const struct openlineage_v1_stats_query *in = c->in;
    bool week = str_eq_nocase(in->period, S("WEEK"));
    int64_t step = week ? DAY_MS : HOUR_MS, end = (clock_wall_ms() / step + 1) * step;

    if (!week && !str_eq_nocase(in->period, S("DAY"))) {
        return err_field(err, ST_INVALID, "period", "period is DAY or WEEK");
    }
    *n = week ? DAYS : HOURS;
    *out = ARENA_ARRAY(c->arena, struct ol_interval, *n);
    if (!*out) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < *n; i++) {
        (*out)[i].until_us = (end - (int64_t)(*n - 1 - i) * step) * 1000;
        (*out)[i].from_us = (*out)[i].until_us - step * 1000;
    }
    return ol_statistics(v, what, *out, *n, err);
}

/* A list without a name around it. */
static enum status list(struct call *c, const struct msg_desc *desc, const void *p, size_t n,
                        struct err *err)
{
    buf_clear(&c->raw);
    buf_put_lit(&c->raw, "[");
    for (size_t i = 0; i < n; i++) {
        if (i) buf_put_lit(&c->raw, ",");
        msg_encode_json(&c->raw, desc, (const char *)p + i * desc->size,
                        openlineage_tongue.encode_flags);
    }
    buf_put_lit(&c->raw, "]");
    c->raw_type = "application/json";
    return buf_status(&c->raw, "answer", err);
}

static enum status stats_events(struct call *c, struct view *v, struct err *err)
{
    struct ol_interval *p;
    struct openlineage_v1_event_interval *out;
    size_t n;
    enum status st = intervals(c, v, OL_STAT_EVENTS, &p, &n, err);

    if (st) {
        return st;
    }
    out = ARENA_ARRAY(c->arena, struct openlineage_v1_event_interval, n);
    for (size_t i = 0; out && i < n; i++) {
        if (!ol_show_time(c->arena, p[i].from_us, &out[i].start_interval) ||
            !ol_show_time(c->arena, p[i].until_us, &out[i].end_interval)) {
            return err_nomem(err);
        }
        out[i].has |= OPENLINEAGE_V1_EVENT_INTERVAL_HAS_START_INTERVAL |
                      OPENLINEAGE_V1_EVENT_INTERVAL_HAS_END_INTERVAL;
        MSG_SET(&out[i], OPENLINEAGE_V1_EVENT_INTERVAL_HAS_FAIL, fail, p[i].failed);
        MSG_SET(&out[i], OPENLINEAGE_V1_EVENT_INTERVAL_HAS_START, start, p[i].started);
        MSG_SET(&out[i], OPENLINEAGE_V1_EVENT_INTERVAL_HAS_COMPLETE, complete, p[i].completed);
        MSG_SET(&out[i], OPENLINEAGE_V1_EVENT_INTERVAL_HAS_ABORT, abort, p[i].aborted);
    }
    return out ? list(c, &openlineage_v1_event_interval_desc, out, n, err) : err_nomem(err);
}

static enum status stats_of(struct call *c, struct view *v, enum ol_stat what, struct err *err)
{
    struct ol_interval *p;
    struct openlineage_v1_interval *out;
    size_t n;
    enum status st = intervals(c, v, what, &p, &n, err);

    if (st) {
        return st;
    }
    out = ARENA_ARRAY(c->arena, struct openlineage_v1_interval, n);
    for (size_t i = 0; out && i < n; i++) {
        if (!ol_show_time(c->arena, p[i].from_us, &out[i].start_interval) ||
            !ol_show_time(c->arena, p[i].until_us, &out[i].end_interval)) {
            return err_nomem(err);
        }
        out[i].has |=
            OPENLINEAGE_V1_INTERVAL_HAS_START_INTERVAL | OPENLINEAGE_V1_INTERVAL_HAS_END_INTERVAL;
        MSG_SET(&out[i], OPENLINEAGE_V1_INTERVAL_HAS_COUNT, count, p[i].count);
    }
    return out ? list(c, &openlineage_v1_interval_desc, out, n, err) : err_nomem(err);
}

static enum status stats_jobs(struct call *c, struct view *v, struct err *err)
{
    return stats_of(c, v, OL_STAT_JOBS, err);
}

static enum status stats_datasets(struct call *c, struct view *v, struct err *err)
{
    return stats_of(c, v, OL_STAT_DATASETS, err);
}

static enum status stats_sources(struct call *c, struct view *v, struct err *err)
{
    return stats_of(c, v, OL_STAT_SOURCES, err);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------------------------- */

#define STATS &openlineage_v1_stats_query_desc

/* User interfaces write some of the paths with a slash at their end. */
const struct route ol_graph_routes[] = {
    OL_GET("/lineage", &openlineage_v1_lineage_query_desc, &openlineage_v1_graph_desc, lineage),
    OL_GET("/lineage/", &openlineage_v1_lineage_query_desc, &openlineage_v1_graph_desc, lineage),
    OL_GET("/column-lineage", &openlineage_v1_column_lineage_query_desc,
           &openlineage_v1_column_graph_desc, column_lineage),
    OL_GET("/column-lineage/", &openlineage_v1_column_lineage_query_desc,
           &openlineage_v1_column_graph_desc, column_lineage),
    OL_GET("/runlineage/upstream", &openlineage_v1_upstream_query_desc,
           &openlineage_v1_upstream_desc, upstream),
    OL_GET("/search", &openlineage_v1_search_query_desc, &openlineage_v1_search_desc, search),
    OL_GET("/search/", &openlineage_v1_search_query_desc, &openlineage_v1_search_desc, search),
    OL_GET("/stats/lineage-events", STATS, &openlineage_v1_event_interval_desc, stats_events),
    OL_GET("/stats/jobs", STATS, &openlineage_v1_interval_desc, stats_jobs),
    OL_GET("/stats/datasets", STATS, &openlineage_v1_interval_desc, stats_datasets),
    OL_GET("/stats/sources", STATS, &openlineage_v1_interval_desc, stats_sources),
};
const size_t ol_graph_routes_n = ARRAY_N(ol_graph_routes);
