/* api/openlineage/things.c - namespaces, sources, jobs, runs, data sets, tags and events, one by one and in lists. */
#include "api/openlineage/read_int.h"
#include "base/clock.h"
#include "codec/json.h"

enum { LATEST_RUNS = 10, EVENTS_BYTES = 32 << 20 };

struct ol_page ol_page_of(int32_t limit, int32_t offset)
{
    return (struct ol_page){ MIN_OF((size_t)limit, (size_t)OL_PAGE_MAX), (size_t)offset };
}

enum status ol_when(struct str text, const char *field, int64_t *us, struct err *err)
{
    char whole[32];
    bool zone;

    if (!text.n) {
        return OK;
    }
    if (text.n == 10) {
        snprintf(whole, sizeof(whole), "%.*sT00:00:00Z", STR_ARG(text));
        text = str_cstr(whole);
    }
    return ol_time_read(text, us, &zone)
               ? OK
               : err_field(err, ST_INVALID, field, "%s is no time as 2026-03-01T12:00:00Z", field);
}

/* The space of the path. */
static enum status space_of(struct call *c, struct view *v, struct ol_space_view *out,
                            struct err *err)
{
    return ol_space_find(v, call_capture(c, "namespace"), out, err);
}

static enum status job_of(struct call *c, struct view *v, int64_t *uid, struct err *err)
{
    return ol_job_find(v, call_capture(c, "namespace"), call_capture(c, "job"), uid, err);
}

static enum status dataset_of(struct call *c, struct view *v, int64_t *uid, struct err *err)
{
    return ol_dataset_find(v, call_capture(c, "namespace"), call_capture(c, "dataset"), uid, err);
}

#define PAGE(c)                                                                                    \
    ol_page_of(((const struct openlineage_v1_list_query *)(c)->in)->limit,                         \
               ((const struct openlineage_v1_list_query *)(c)->in)->offset)

static enum status fine(bool ok, struct call *c, void *out, struct err *err)
{
    c->out = out;
    return ok ? OK : err_nomem(err);
}

/* ---- namespaces, sources, tags ---------------------------------------------------------------------------------------------------- */

static enum status spaces(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_namespaces *out = ARENA_NEW(c->arena, struct openlineage_v1_namespaces);
    struct ol_space_view *p;
    size_t n;
    enum status st = ol_space_list(v, PAGE(c), false, &p, &n, err);
    bool ok = out != NULL;

    if (st) {
        return st;
    }
    if (ok) {
        MSG_SET(out, OPENLINEAGE_V1_NAMESPACES_HAS_NAMESPACES, namespaces,
                ARENA_ARRAY(c->arena, struct openlineage_v1_namespace, n + 1));
        out->namespaces_n = n;
        ok = out->namespaces != NULL;
    }
    for (size_t i = 0; ok && i < n; i++) {
        ok = ol_show_space(c->arena, &p[i], &out->namespaces[i]);
    }
    return fine(ok, c, out, err);
}

static enum status space(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_namespace *out = ARENA_NEW(c->arena, struct openlineage_v1_namespace);
    struct ol_space_view x;
    enum status st = space_of(c, v, &x, err);

    return st ? st : fine(out && ol_show_space(c->arena, &x, out), c, out, err);
}

static enum status sources(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_sources *out = ARENA_NEW(c->arena, struct openlineage_v1_sources);
    struct ol_space_view *p;
    size_t n;
    enum status st = ol_space_list(v, PAGE(c), true, &p, &n, err);
    bool ok = out != NULL;

    if (st) {
        return st;
    }
    if (ok) {
        MSG_SET(out, OPENLINEAGE_V1_SOURCES_HAS_SOURCES, sources,
                ARENA_ARRAY(c->arena, struct openlineage_v1_source, n + 1));
        out->sources_n = n;
        ok = out->sources != NULL;
    }
    for (size_t i = 0; ok && i < n; i++) {
        ok = ol_show_source(c->arena, &p[i], &out->sources[i]);
    }
    return fine(ok, c, out, err);
}

static enum status source(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_source *out = ARENA_NEW(c->arena, struct openlineage_v1_source);
    struct str name = call_capture(c, "source");
    struct ol_space_view x;
    enum status st = ol_space_find(v, name, &x, err);

    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return err_field(err, st, "source", "Source '%.*s' not found.", STR_ARG(name));
    }
    return st ? st : fine(out && ol_show_source(c->arena, &x, out), c, out, err);
}

static enum status tags(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_tags *out = ARENA_NEW(c->arena, struct openlineage_v1_tags);
    struct ol_tag_view *p;
    size_t n;
    enum status st = ol_tag_list(v, PAGE(c), &p, &n, err);

    if (st || !out) {
        return st ? st : err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_TAGS_HAS_TAGS, tags,
            ARENA_ARRAY(c->arena, struct openlineage_v1_tag, n + 1));
    for (size_t i = 0; out->tags && i < n; i++) {
        MSG_SET(&out->tags[i], OPENLINEAGE_V1_TAG_HAS_NAME, name, p[i].name);
        MSG_SET(&out->tags[i], OPENLINEAGE_V1_TAG_HAS_DESCRIPTION, description, p[i].description);
    }
    out->tags_n = n;
    return fine(out->tags != NULL, c, out, err);
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------------------- */

/* Runs with what they read and wrote. */
static enum status show_runs(struct call *c, struct view *v, const int64_t *uids, size_t n,
                             struct openlineage_v1_run **out, struct err *err)
{
    struct ol_run_view *r;
    struct ol_name *names;
    int64_t *sets;
    size_t m = 0, at = 0;
    bool ok = true;
    enum status st = ol_runs(v, uids, n, OL_WITH_LINKS | OL_WITH_FACETS, &r, err);

    *out = ARENA_ARRAY(c->arena, struct openlineage_v1_run, n + 1);
    for (size_t i = 0; !st && i < n; i++) {
        m += r[i].in_n + r[i].out_n;
    }
    sets = ARENA_ARRAY(c->arena, int64_t, m + 1);
    if (st || !*out || !sets) {
        return st ? st : err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < r[i].in_n; k++)
            sets[at++] = r[i].in[k].dataset;
        for (size_t k = 0; k < r[i].out_n; k++)
            sets[at++] = r[i].out[k].dataset;
    }
    st = ol_dataset_names(v, sets, m, true, &names, err);
    at = 0;
    for (size_t i = 0; !st && ok && i < n; i++) {
        ok = ol_show_run(c->arena, &r[i], &names[at], true, &(*out)[i]);
        at += r[i].in_n + r[i].out_n;
    }
    return st ? st : ok ? OK : err_nomem(err);
}

static enum status run(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_run *out;
    int64_t uid;
    enum status st = ol_run_find(v, call_capture(c, "run"), &uid, err);

    st = st ? st : show_runs(c, v, &uid, 1, &out, err);
    return st ? st : fine(true, c, out, err);
}

static enum status runs_of_job(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_runs *out = ARENA_NEW(c->arena, struct openlineage_v1_runs);
    struct ol_uids u;
    int64_t job;
    enum status st = job_of(c, v, &job, err);

    st = st ? st : ol_run_list(v, job, PAGE(c), &u, err);
    if (st || !out) {
        return st ? st : err_nomem(err);
    }
    out->has |= OPENLINEAGE_V1_RUNS_HAS_RUNS;
    out->runs_n = u.n;
    MSG_SET(out, OPENLINEAGE_V1_RUNS_HAS_TOTAL_COUNT, total_count, u.total);
    st = show_runs(c, v, u.p, u.n, &out->runs, err);
    return st ? st : fine(true, c, out, err);
}

/* {"dataset name": {facets of it, as the run reads and writes it}}: names may repeat in namespaces, the later one holds. */
static struct str dataset_facets(struct call *c, struct view *v, const struct ol_run_view *r,
                                 enum status *st, struct err *err)
{
    size_t n = r->in_n + r->out_n;
    int64_t *sets = ARENA_ARRAY(c->arena, int64_t, n + 1);
    struct ol_dataset_view *d;
    struct buf b = BUF_INIT(SIZE_MAX / 2);
    struct json_writer w = JSON_WRITER_INIT(&b);
    struct str json = { NULL, 0 };

    for (size_t i = 0; sets && i < n; i++) {
        sets[i] = i < r->in_n ? r->in[i].dataset : r->out[i - r->in_n].dataset;
    }
    *st = sets ? ol_datasets(v, sets, n, OL_WITH_FACETS, &d, err) : err_nomem(err);
    if (*st) {
        return json;
    }
    json_w_object(&w);
    for (size_t i = 0; i < n; i++) {
        struct str of = ol_show_facets(c->arena, d[i].facets, d[i].facets_n, OL_OF_SELF, 0);

        json_w_key(&w, d[i].name.name);
        json_w_raw(&w, of.p ? of : S("{}"));
        if (!of.p) *st = err_nomem(err);
    }
    json_w_object_end(&w);
    if (!b.failed) json = arena_str(c->arena, buf_str(&b));
    buf_release(&b);
    return json;
}

static enum status run_facets(struct call *c, struct view *v, struct err *err)
{
    const struct openlineage_v1_facets_query *in = c->in;
    struct openlineage_v1_facets *out = ARENA_NEW(c->arena, struct openlineage_v1_facets);
    struct ol_run_view *r;
    struct ol_job_view *j;
    struct str json = { NULL, 0 };
    int64_t uid;
    enum status st = ol_run_find(v, call_capture(c, "run"), &uid, err);

    st = st ? st : ol_runs(v, &uid, 1, OL_WITH_FACETS | OL_WITH_LINKS, &r, err);
    if (st || !out) {
        return st ? st : err_nomem(err);
    }
    if (str_eq_nocase(in->type, S("run"))) {
        json = ol_show_facets(c->arena, r->facets, r->facets_n, OL_OF_SELF, 0);
    } else if (str_eq_nocase(in->type, S("job"))) {
        st = ol_jobs(v, &r->job, 1, OL_WITH_FACETS, &j, err);
        if (!st) json = ol_show_facets(c->arena, j->facets, j->facets_n, OL_OF_SELF, 0);
    } else if (str_eq_nocase(in->type, S("dataset"))) {
        json = dataset_facets(c, v, r, &st, err);
    } else {
        return err_field(err, ST_INVALID, "type", "type is run, job or dataset");
    }
    MSG_SET(out, OPENLINEAGE_V1_FACETS_HAS_RUN_ID, run_id, r->id);
    MSG_SET(out, OPENLINEAGE_V1_FACETS_HAS_FACETS, facets, json);
    return st ? st : fine(json.p != NULL, c, out, err);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------------------- */

static enum status show_jobs(struct call *c, struct view *v, const int64_t *uids, size_t n,
                             struct openlineage_v1_job **out, struct err *err)
{
    struct ol_job_view *j;
    enum status st = ol_jobs(v, uids, n, OL_WITH_RUN | OL_WITH_FACETS, &j, err);
    bool ok;

    *out = ARENA_ARRAY(c->arena, struct openlineage_v1_job, n + 1);
    ok = *out != NULL;
    for (size_t i = 0; !st && ok && i < n; i++) {
        ok = ol_show_job(c->arena, &j[i], true, &(*out)[i]);
    }
    return st ? st : ok ? OK : err_nomem(err);
}

enum status ol_answer_job(struct call *c, struct view *v, int64_t uid, struct err *err)
{
    struct openlineage_v1_job *out;
    struct ol_uids u;
    enum status st = show_jobs(c, v, &uid, 1, &out, err);

    st = st ? st : ol_run_list(v, uid, (struct ol_page){ LATEST_RUNS, 0 }, &u, err);
    if (st) {
        return st;
    }
    out->has |= OPENLINEAGE_V1_JOB_HAS_LATEST_RUNS;
    out->latest_runs_n = u.n;
    st = show_runs(c, v, u.p, u.n, &out->latest_runs, err);
    return st ? st : fine(true, c, out, err);
}

static enum status job(struct call *c, struct view *v, struct err *err)
{
    int64_t uid;
    enum status st = job_of(c, v, &uid, err);

    return st ? st : ol_answer_job(c, v, uid, err);
}

static enum status states_of(const struct openlineage_v1_list_query *in, int64_t *states,
                             struct err *err)
{
    static const struct {
        struct str name;
        int64_t state;
    } all[] = { { { "NEW", 3 }, OL_STATE_NEW },
                { { "RUNNING", 7 }, OL_STATE_RUNNING },
                { { "COMPLETED", 9 }, OL_STATE_COMPLETE },
                { { "FAILED", 6 }, OL_STATE_FAILED },
                { { "ABORTED", 7 }, OL_STATE_CANCELLED } };

    for (size_t i = 0; i < in->last_run_states_n; i++) {
        states[i] = 0;
        for (size_t k = 0; k < ARRAY_N(all); k++) {
            if (str_eq_nocase(in->last_run_states[i], all[k].name)) states[i] = all[k].state;
        }
        if (!states[i]) {
            return err_field(err, ST_INVALID, "lastRunStates",
                             "'%.*s' is none of NEW, RUNNING, COMPLETED, FAILED, ABORTED",
                             STR_ARG(in->last_run_states[i]));
        }
    }
    return OK;
}

/* space: NULL = all; one that is hidden has none. */
static enum status list_jobs(struct call *c, struct view *v, const struct ol_space_view *space,
                             struct err *err)
{
    const struct openlineage_v1_list_query *in = c->in;
    struct openlineage_v1_jobs *out = ARENA_NEW(c->arena, struct openlineage_v1_jobs);
    int64_t *states = ARENA_ARRAY(c->arena, int64_t, in->last_run_states_n + 1);
    struct ol_uids u = { 0 };
    enum status st = out && states ? states_of(in, states, err) : err_nomem(err);

    if (!st && !(space && space->hidden)) {
        st =
            ol_job_list(v, space ? space->uid : 0, states, in->last_run_states_n, PAGE(c), &u, err);
    }
    if (st) {
        return st;
    }
    out->has |= OPENLINEAGE_V1_JOBS_HAS_JOBS;
    out->jobs_n = u.n;
    MSG_SET(out, OPENLINEAGE_V1_JOBS_HAS_TOTAL_COUNT, total_count, u.total);
    st = show_jobs(c, v, u.p, u.n, &out->jobs, err);
    return st ? st : fine(true, c, out, err);
}

static enum status jobs(struct call *c, struct view *v, struct err *err)
{
    return list_jobs(c, v, NULL, err);
}

static enum status jobs_of_space(struct call *c, struct view *v, struct err *err)
{
    struct ol_space_view x;
    enum status st = space_of(c, v, &x, err);

    return st ? st : list_jobs(c, v, &x, err);
}

static bool show_job_version(struct call *c, const struct ol_job_view *j,
                             const struct ol_job_version *x, struct openlineage_v1_job_version *out)
{
    struct openlineage_v1_id *id;

    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSION_HAS_VERSION, version,
            ol_job_version_text(c->arena, &x->version));
    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSION_HAS_NAME, name, j->name.name);
    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSION_HAS_NAMESPACE, namespace, j->name.ns);
    if (j->location.p) MSG_SET(out, OPENLINEAGE_V1_JOB_VERSION_HAS_LOCATION, location, j->location);
    out->has |= OPENLINEAGE_V1_JOB_VERSION_HAS_INPUTS | OPENLINEAGE_V1_JOB_VERSION_HAS_OUTPUTS |
                OPENLINEAGE_V1_JOB_VERSION_HAS_CREATED_AT;
    out->inputs_n = x->in_n;
    out->outputs_n = x->out_n;
    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSION_HAS_LATEST_RUN, latest_run,
            ARENA_NEW(c->arena, struct openlineage_v1_run));
    if (!ol_show_ids(c->arena, &j->name, 1, &id) || !out->version.p || !out->latest_run) {
        return false;
    }
    MSG_SET(id, OPENLINEAGE_V1_ID_HAS_VERSION, version, out->version);
    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSION_HAS_ID, id, id);
    return ol_show_ids(c->arena, x->in, x->in_n, &out->inputs) &&
           ol_show_ids(c->arena, x->out, x->out_n, &out->outputs) &&
           ol_show_time(c->arena, x->create_us, &out->created_at) &&
           ol_show_run(c->arena, x->run, NULL, false, out->latest_run);
}

/* All versions, or the one of the path. */
static enum status job_versions(struct call *c, struct view *v, struct err *err)
{
    const struct openlineage_v1_list_query *in = c->in;
    struct openlineage_v1_job_versions *out =
        ARENA_NEW(c->arena, struct openlineage_v1_job_versions);
    struct ol_page page = ol_page_of(in->limit, in->offset);
    struct ol_job_version *p;
    struct ol_job_view *j;
    int64_t uid;
    size_t n;
    bool ok = out != NULL;
    enum status st = job_of(c, v, &uid, err);

    st = st ? st : ol_job_versions(v, uid, &p, &n, err);
    st = st ? st : ol_jobs(v, &uid, 1, 0, &j, err);
    if (st || !ok) {
        return st ? st : err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSIONS_HAS_TOTAL_COUNT, total_count, (int64_t)n);
    MSG_SET(out, OPENLINEAGE_V1_JOB_VERSIONS_HAS_VERSIONS, versions,
            ARENA_ARRAY(c->arena, struct openlineage_v1_job_version, n + 1));
    ok = out->versions != NULL;
    for (size_t i = page.skip; ok && i < n && out->versions_n < page.max; i++) {
        ok = show_job_version(c, j, &p[i], &out->versions[out->versions_n++]);
    }
    return fine(ok, c, out, err);
}

static enum status job_version(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_job_version *out = ARENA_NEW(c->arena, struct openlineage_v1_job_version);
    struct str wanted = call_capture(c, "version");
    struct ol_job_version *p;
    struct ol_job_view *j;
    int64_t uid;
    size_t n;
    enum status st = job_of(c, v, &uid, err);

    st = st ? st : ol_job_versions(v, uid, &p, &n, err);
    st = st ? st : ol_jobs(v, &uid, 1, 0, &j, err);
    for (size_t i = 0; !st && i < n; i++) {
        if (str_eq_nocase(ol_job_version_text(c->arena, &p[i].version), wanted)) {
            return fine(out && show_job_version(c, j, &p[i], out), c, out, err);
        }
    }
    return st ? st
              : err_field(err, ST_NOT_FOUND, "version", "Job version '%.*s' not found.",
                          STR_ARG(wanted));
}

/* ---- data sets ---------------------------------------------------------------------------------------------------------------------------- */

/* Data sets with since when their newest version is known; columns: with what those of a single one were made of. */
static enum status show_datasets(struct call *c, struct view *v, const int64_t *uids, size_t n,
                                 struct openlineage_v1_dataset **out, struct err *err)
{
    struct openlineage_v1_dataset *p = ARENA_ARRAY(c->arena, struct openlineage_v1_dataset, n + 1);
    struct ol_dataset_view *d;
    bool ok = p != NULL;
    enum status st = ol_datasets(v, uids, n, OL_WITH_FACETS, &d, err);

    *out = p;
    for (size_t i = 0; !st && ok && i < n; i++) {
        struct ol_said_column *said;
        size_t said_n;

        st = ol_columns_said(v, &d[i], &said, &said_n, err);
        ok = !st && ol_show_dataset(c->arena, &d[i], INT64_MIN, true, &p[i]) &&
             (!said_n || ol_show_columns(c->arena, said, said_n, &p[i]));
    }
    return st ? st : ok ? OK : err_nomem(err);
}

enum status ol_answer_dataset(struct call *c, struct view *v, int64_t uid, struct err *err)
{
    struct openlineage_v1_dataset *out;
    enum status st = show_datasets(c, v, &uid, 1, &out, err);

    return st ? st : fine(true, c, out, err);
}

static enum status dataset(struct call *c, struct view *v, struct err *err)
{
    int64_t uid;
    enum status st = dataset_of(c, v, &uid, err);

    return st ? st : ol_answer_dataset(c, v, uid, err);
}

static enum status datasets(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_datasets *out = ARENA_NEW(c->arena, struct openlineage_v1_datasets);
    struct ol_space_view x;
    struct ol_uids u = { 0 };
    enum status st = space_of(c, v, &x, err);

    st = st || x.hidden ? st : ol_dataset_list(v, x.uid, PAGE(c), &u, err);
    if (st || !out) {
        return st ? st : err_nomem(err);
    }
    out->has |= OPENLINEAGE_V1_DATASETS_HAS_DATASETS;
    out->datasets_n = u.n;
    MSG_SET(out, OPENLINEAGE_V1_DATASETS_HAS_TOTAL_COUNT, total_count, u.total);
    st = show_datasets(c, v, u.p, u.n, &out->datasets, err);
    return st ? st : fine(true, c, out, err);
}

static enum status dataset_versions(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_dataset_versions *out =
        ARENA_NEW(c->arena, struct openlineage_v1_dataset_versions);
    struct ol_version_view *p;
    struct ol_uids u;
    int64_t uid;
    bool ok = out != NULL;
    enum status st = dataset_of(c, v, &uid, err);

    st = st ? st : ol_version_list(v, uid, PAGE(c), &u, err);
    st = st ? st : ol_versions(v, u.p, u.n, OL_WITH_RUN, &p, err);
    if (st || !ok) {
        return st ? st : err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSIONS_HAS_TOTAL_COUNT, total_count, u.total);
    MSG_SET(out, OPENLINEAGE_V1_DATASET_VERSIONS_HAS_VERSIONS, versions,
            ARENA_ARRAY(c->arena, struct openlineage_v1_dataset_version, u.n + 1));
    out->versions_n = u.n;
    ok = out->versions != NULL;
    for (size_t i = 0; ok && i < u.n; i++) {
        ok = ol_show_version(c->arena, &p[i], &out->versions[i]);
    }
    return fine(ok, c, out, err);
}

static enum status dataset_version(struct call *c, struct view *v, struct err *err)
{
    struct openlineage_v1_dataset_version *out =
        ARENA_NEW(c->arena, struct openlineage_v1_dataset_version);
    struct str wanted = call_capture(c, "version");
    struct ol_version_view *p = NULL;
    int64_t uid = 0, version;
    enum status st = dataset_of(c, v, &uid, err);

    if (!st && ol_id_parse(wanted, OL_ID_VERSION, &version)) {
        st = ol_versions(v, &version, 1, OL_WITH_RUN, &p, err);
    }
    if ((!st && (!p || p->dataset != uid)) || (st == ST_NOT_FOUND && uid)) {
        err_clear(err);
        return err_field(err, ST_NOT_FOUND, "version", "Dataset version '%.*s' not found.",
                         STR_ARG(wanted));
    }
    return st ? st : fine(out && ol_show_version(c->arena, p, out), c, out, err);
}

/* ---- events ---------------------------------------------------------------------------------------------------------------------------------- */

static enum status events(struct call *c, struct view *v, struct err *err)
{
    const struct openlineage_v1_events_query *in = c->in;
    struct openlineage_v1_events *out = ARENA_NEW(c->arena, struct openlineage_v1_events);
    struct ol_page page = ol_page_of(in->limit, in->offset);
    struct ol_events_query q = { .from_us = INT64_MIN,
                                 .until_us = INT64_MAX,
                                 .down = !str_eq_nocase(in->sort_direction, S("asc")),
                                 .max = page.max,
                                 .bytes_max = EVENTS_BYTES };
    struct ol_stored *p = NULL;
    size_t n = 0;
    int64_t total = 0;
    bool more = false;
    enum status st = ol_when(in->before, "before", &q.until_us, err);

    if (in->sort_direction.n && q.down && !str_eq_nocase(in->sort_direction, S("desc"))) {
        return err_field(err, ST_INVALID, "sortDirection", "sortDirection is desc or asc");
    }
    st = st ? st : ol_when(in->after, "after", &q.from_us, err);
    st = st ? st : ol_event_count(v, q.from_us, q.until_us, &total, err);
    st = st ? st : ol_event_skip(v, &q, page.skip, err);
    if (!st && page.max) st = ol_events(v, &q, &p, &n, &more, err);
    if (!st && more && n < page.max) {
        return err_field(err, ST_TOO_BIG, "limit",
                         "%zu events of this page have more than %d bytes: ask for less", page.max,
                         EVENTS_BYTES);
    }
    if (st == ST_NOT_FOUND) st = OK; /* beyond the end */
    if (st || !out) {
        return st ? st : err_nomem(err);
    }
    MSG_SET(out, OPENLINEAGE_V1_EVENTS_HAS_TOTAL_COUNT, total_count, total);
    MSG_SET(out, OPENLINEAGE_V1_EVENTS_HAS_EVENTS, events,
            ARENA_ARRAY(c->arena, struct str, n + 1));
    out->events_n = n;
    for (size_t i = 0; out->events && i < n; i++) {
        out->events[i] = p[i].raw;
    }
    return fine(out->events != NULL, c, out, err);
}

/* ---- the table -------------------------------------------------------------------------------------------------------------------------------- */

#define NS   "/namespaces/{namespace}"
#define LIST &openlineage_v1_list_query_desc

const struct route ol_thing_routes[] = {
    OL_GET("/namespaces", LIST, &openlineage_v1_namespaces_desc, spaces),
    OL_GET(NS, NULL, &openlineage_v1_namespace_desc, space),
    OL_GET("/sources", LIST, &openlineage_v1_sources_desc, sources),
    OL_GET("/sources/{source}", NULL, &openlineage_v1_source_desc, source),
    OL_GET("/tags", LIST, &openlineage_v1_tags_desc, tags),
    OL_GET("/jobs", LIST, &openlineage_v1_jobs_desc, jobs),
    OL_GET(NS "/jobs", LIST, &openlineage_v1_jobs_desc, jobs_of_space),
    OL_GET(NS "/jobs/{job}", NULL, &openlineage_v1_job_desc, job),
    OL_GET(NS "/jobs/{job}/versions", LIST, &openlineage_v1_job_versions_desc, job_versions),
    OL_GET(NS "/jobs/{job}/versions/{version}", NULL, &openlineage_v1_job_version_desc,
           job_version),
    OL_GET(NS "/jobs/{job}/runs", LIST, &openlineage_v1_runs_desc, runs_of_job),
    OL_GET("/jobs/runs/{run}", NULL, &openlineage_v1_run_desc, run),
    OL_GET("/jobs/runs/{run}/facets", &openlineage_v1_facets_query_desc,
           &openlineage_v1_facets_desc, run_facets),
    OL_GET(NS "/datasets", LIST, &openlineage_v1_datasets_desc, datasets),
    OL_GET(NS "/datasets/{dataset}", NULL, &openlineage_v1_dataset_desc, dataset),
    OL_GET(NS "/datasets/{dataset}/versions", LIST, &openlineage_v1_dataset_versions_desc,
           dataset_versions),
    OL_GET(NS "/datasets/{dataset}/versions/{version}", NULL, &openlineage_v1_dataset_version_desc,
           dataset_version),
    OL_GET("/events/lineage", &openlineage_v1_events_query_desc, &openlineage_v1_events_desc,
           events),
};
const size_t ol_thing_routes_n = ARRAY_N(ol_thing_routes);
