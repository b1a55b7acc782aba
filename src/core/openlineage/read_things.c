/* core/openlineage/read_things.c - namespaces, jobs and runs, whole. */
#include "core/openlineage/read_int.h"

/* ---- numbers and ids --------------------------------------------------------------------------------------------------------------- */

ptrdiff_t ol_place_of(const int64_t *sorted, size_t n, int64_t x)
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
    return lo < n && sorted[lo] == x ? (ptrdiff_t)lo : -1;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

enum status ol_sorted(struct arena *a, const int64_t *p, size_t n, int64_t **out, size_t *out_n,
                      struct err *err)
{
    int64_t *s = ARENA_ARRAY(a, int64_t, n + 1);
    size_t k = 0;

    *out = s;
    *out_n = 0;
    if (!s) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        s[i] = p[i];
    }
    if (n > 1) qsort(s, n, sizeof(*s), by_number);
    for (size_t i = 0; i < n; i++) {
        if (k == 0 || s[k - 1] != s[i]) {
            s[k++] = s[i];
        }
    }
    *out_n = k;
    return OK;
}

/* A UUID of version 8 whose first bytes tell what it is of. */
struct str ol_id_text(struct arena *a, enum ol_id_kind kind, int64_t uid)
{
    uint64_t x = (uint64_t)uid;

    return arena_printf(a, "6f6c%04x-0000-8000-%04x-%012" PRIx64, (unsigned)kind,
                        0x8000U | (unsigned)(x >> 48), x & 0xffffffffffffU);
}

bool ol_id_parse(struct str text, enum ol_id_kind kind, int64_t *uid)
{
    unsigned char id[16];
    uint64_t x = 0;

    if (!ol_run_id_parse(text, id) || id[0] != 0x6f || id[1] != 0x6c || id[2] != 0 ||
        id[3] != (unsigned char)kind || id[6] != 0x80 || (id[8] & 0xc0) != 0x80) {
        return false;
    }
    for (size_t i = 8; i < 16; i++) {
        x = x << 8 | (i == 8 ? id[i] & 0x3fU : id[i]);
    }
    *uid = (int64_t)x;
    return x > 0;
}

struct str ol_job_version_text(struct arena *a, const struct digest *version)
{
    unsigned char id[16];

    memcpy(id, version->b, sizeof(id));
    id[6] = (unsigned char)(0x80 | (id[6] & 0x0f));
    id[8] = (unsigned char)(0x80 | (id[8] & 0x3f));
    return ol_run_id_text(a, id);
}

/* ---- finding -------------------------------------------------------------------------------------------------------------------------- */

enum status ol_space_find(struct view *v, struct str name, struct ol_space_view *out,
                          struct err *err)
{
    struct q_ol_space_named_row row = { 0 };
    enum status st = q_ol_space_named(v->conn, v->arena, name, &row, err);

    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "namespace", "Namespace '%.*s' not found.", STR_ARG(name));
    }
    *out = (struct ol_space_view){ .uid = row.uid,
                                   .name = name,
                                   .create_us = row.create_us,
                                   .update_us = row.update_us,
                                   .hidden = row.hidden && row.hidden >= row.update_us };
    return st;
}

enum status ol_job_find(struct view *v, struct str ns, struct str name, int64_t *uid,
                        struct err *err)
{
    struct ol_space_view space;
    struct q_ol_job_uid_row row = { 0 };
    enum status st = ol_space_find(v, ns, &space, err);

    st = st ? st : q_ol_job_uid(v->conn, v->arena, space.uid, name, &row, err);
    if ((!st && (!row.shown || space.hidden)) || (st == ST_NOT_FOUND && !err->message[0])) {
        return err_field(err, ST_NOT_FOUND, "job", "Job '%.*s' not found.", STR_ARG(name));
    }
    *uid = row.uid;
    return st;
}

enum status ol_dataset_find(struct view *v, struct str ns, struct str name, int64_t *uid,
                            struct err *err)
{
    struct ol_space_view space;
    struct q_ol_dataset_uid_row row = { 0 };
    enum status st = ol_space_find(v, ns, &space, err);

    st = st ? st : q_ol_dataset_uid(v->conn, v->arena, space.uid, name, &row, err);
    if ((!st && (!row.shown || space.hidden)) || (st == ST_NOT_FOUND && !err->message[0])) {
        return err_field(err, ST_NOT_FOUND, "dataset", "Dataset '%.*s' not found.", STR_ARG(name));
    }
    *uid = row.uid;
    return st;
}

enum status ol_run_find(struct view *v, struct str id, int64_t *uid, struct err *err)
{
    unsigned char key[16];
    struct q_ident_find_row row = { 0 };
    enum status st;

    if (!ol_run_id_parse(id, key) && !ol_run_id_of_text(id, key)) {
        return err_nomem(err);
    }
    st = q_ident_find(v->conn, v->arena, OL_NS, IDENT_OL_RUN, str_of(key, sizeof(key)), &row, err);
    if (st == ST_NOT_FOUND) {
        return err_field(err, st, "runId", "Run '%.*s' not found.", STR_ARG(id));
    }
    *uid = row.uid;
    return st;
}

/* ---- names ------------------------------------------------------------------------------------------------------------------------------ */

static enum status name_of(struct view *v, struct ol_name *to, struct str ns, struct str name)
{
    *to = (struct ol_name){ ns, name };
    return view_keep(v, &to->ns) && view_keep(v, &to->name) ? OK : ST_NOMEM;
}

/* Names by sorted uids. */
static enum status read_names(struct view *v, bool jobs, const int64_t *sorted, size_t n,
                              bool hidden_too, struct ol_name *to, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < n; at += OL_LIST_MAX) {
        size_t some = MIN_OF(n - at, (size_t)OL_LIST_MAX);
        struct q_ol_job_names_row j = { 0 };
        struct q_ol_dataset_names_row d = { 0 };
        struct sql_stmt *stmt = NULL;

        st = jobs ? q_ol_job_names_open(v->conn, &stmt, sorted + at, some, err)
                  : q_ol_dataset_names_open(v->conn, &stmt, sorted + at, some, err);
        while (!st) {
            ptrdiff_t k;

            st = jobs ? q_ol_job_names_next(stmt, &j, err) : q_ol_dataset_names_next(stmt, &d, err);
            if (st) {
                break;
            }
            k = ol_place_of(sorted, n, jobs ? j.uid : d.uid);
            if (k >= 0 && (hidden_too || (jobs ? j.shown : d.shown)) &&
                name_of(v, &to[k], jobs ? j.ns : d.ns, jobs ? j.name : d.name)) {
                st = err_nomem(err);
            }
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

static enum status names_of(struct view *v, bool jobs, const int64_t *uids, size_t n,
                            bool hidden_too, struct ol_name **out, struct err *err)
{
    struct ol_name *found;
    int64_t *sorted;
    size_t m;
    enum status st = ol_sorted(v->arena, uids, n, &sorted, &m, err);

    if (st) {
        return st;
    }
    found = ARENA_ARRAY(v->arena, struct ol_name, m + 1);
    *out = ARENA_ARRAY(v->arena, struct ol_name, n + 1);
    if (!found || !*out) {
        return err_nomem(err);
    }
    st = read_names(v, jobs, sorted, m, hidden_too, found, err);
    for (size_t i = 0; !st && i < n; i++) {
        (*out)[i] = found[ol_place_of(sorted, m, uids[i])];
    }
    return st;
}

enum status ol_dataset_names(struct view *v, const int64_t *uids, size_t n, bool hidden_too,
                             struct ol_name **out, struct err *err)
{
    return names_of(v, false, uids, n, hidden_too, out, err);
}

enum status ol_job_names(struct view *v, const int64_t *uids, size_t n, bool hidden_too,
                         struct ol_name **out, struct err *err)
{
    return names_of(v, true, uids, n, hidden_too, out, err);
}

/* ---- runs --------------------------------------------------------------------------------------------------------------------------------- */

static enum status read_links(struct view *v, const int64_t *runs, size_t n, bool writes,
                              struct ol_link_view **p, size_t *p_n, size_t *cap, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_ol_run_inputs_row in = { 0 };
    struct q_ol_run_outputs_row o = { 0 };
    int64_t max = (int64_t)(OL_LINKS_OF_RUNS_MAX - *p_n) + 1;
    enum status st = writes ? q_ol_run_outputs_open(v->conn, &stmt, runs, n, max, err)
                            : q_ol_run_inputs_open(v->conn, &stmt, runs, n, max, err);

    while (!st) {
        st = writes ? q_ol_run_outputs_next(stmt, &o, err) : q_ol_run_inputs_next(stmt, &in, err);
        if (!st && *p_n == OL_LINKS_OF_RUNS_MAX) {
            st = err_set(err, ST_TOO_BIG,
                         "the runs read or wrote more than %d versions of data sets: ask for less",
                         OL_LINKS_OF_RUNS_MAX);
        }
        if (!st && !arena_grow(v->arena, (void **)p, *p_n, cap, sizeof(**p))) {
            st = err_nomem(err);
        }
        if (!st) {
            (*p)[(*p_n)++] = writes ? (struct ol_link_view){ o.run, o.version, o.dataset }
                                    : (struct ol_link_view){ in.run, in.version, in.dataset };
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* runs: sorted. */
enum status ol_links_of_runs(struct view *v, const int64_t *runs, size_t n, bool writes,
                             struct ol_link_view **out, size_t *out_n, struct err *err)
{
    size_t cap = 0;
    enum status st = OK;

    *out = NULL;
    *out_n = 0;
    for (size_t at = 0; !st && at < n; at += OL_LIST_MAX) {
        st = read_links(v, runs + at, MIN_OF(n - at, (size_t)OL_LIST_MAX), writes, out, out_n, &cap,
                        err);
    }
    return st;
}

static void part_of(struct ol_link_view *all, size_t n, int64_t run, struct ol_link_view **p,
                    size_t *p_n)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (all[mid].run < run) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *p = all + lo;
    for (*p_n = 0; lo + *p_n < n && all[lo + *p_n].run == run;) {
        ++*p_n;
    }
}

static int64_t number_at(const void *p, size_t stride, size_t i)
{
    return *(const int64_t *)((const char *)p + i * stride);
}

/* A version: the job, and the sets of what it reads and writes. in, out: numbers of data sets, `stride` bytes apart. */
static enum status version_of(struct arena *a, int64_t job, const void *in, size_t in_n,
                              const void *out, size_t out_n, size_t stride, struct digest *to,
                              struct err *err)
{
    int64_t *p = ARENA_ARRAY(a, int64_t, in_n + out_n + 3), *s;
    size_t at = 1, n;

    if (!p) {
        return err_nomem(err);
    }
    p[0] = job;
    for (int side = 0; side < 2; side++) {
        size_t m = side ? out_n : in_n;

        s = &p[at + 1];
        for (size_t i = 0; i < m; i++) {
            s[i] = number_at(side ? out : in, stride, i);
        }
        if (m > 1) qsort(s, m, sizeof(*s), by_number);
        n = 0;
        for (size_t i = 0; i < m; i++) {
            if (n == 0 || s[n - 1] != s[i]) s[n++] = s[i];
        }
        p[at] = (int64_t)n;
        at += n + 1;
    }
    return sha256_of(p, at * sizeof(*p), to) ? OK : err_nomem(err);
}

static enum status link_runs(struct view *v, struct ol_run_view *runs, size_t n,
                             const int64_t *sorted, size_t m, struct err *err)
{
    struct ol_link_view *in, *out;
    size_t in_n, out_n;
    enum status st = ol_links_of_runs(v, sorted, m, false, &in, &in_n, err);

    st = st ? st : ol_links_of_runs(v, sorted, m, true, &out, &out_n, err);
    for (size_t i = 0; !st && i < n; i++) {
        struct ol_run_view *r = &runs[i];

        if (in_n) part_of(in, in_n, r->uid, &r->in, &r->in_n);
        if (out_n) part_of(out, out_n, r->uid, &r->out, &r->out_n);
        st = version_of(v->arena, r->job, r->in_n ? &r->in->dataset : NULL, r->in_n,
                        r->out_n ? &r->out->dataset : NULL, r->out_n, sizeof(struct ol_link_view),
                        &r->version, err);
    }
    return st;
}

struct run_facets {
    struct ol_run_view *run;
    struct ol_run_body body;
};

static enum status run_rows(struct arena *a, struct run_facets *x, struct err *err)
{
    struct ol_run_view *r = x->run;
    size_t cap = 0;
    enum status st =
        ol_rows_of(a, &x->body.facets, OL_OF_SELF, 0, &r->facets, &r->facets_n, &cap, err);

    for (size_t i = 0; !st && i < x->body.io_n; i++) {
        const struct ol_io_entry *e = &x->body.io[i];

        if (e->on) {
            st = ol_rows_of(a, &e->io_facets, e->dir == OL_IN ? OL_OF_INPUT : OL_OF_OUTPUT,
                            e->dataset, &r->facets, &r->facets_n, &cap, err);
        }
    }
    return st;
}

static enum status want_run(struct ol_loading *l, const struct ol_run_body *b, struct err *err)
{
    enum status st = ol_want(l, &b->facets, NULL, err);

    for (size_t i = 0; !st && i < b->io_n; i++) {
        if (b->io[i].on) st = ol_want(l, &b->io[i].io_facets, NULL, err);
    }
    return st;
}

static enum status take_run(struct view *v, const struct q_ol_runs_of_row *row, bool facets,
                            struct ol_run_view *r, struct ol_run_body *body, struct ol_loading *l,
                            struct err *err)
{
    unsigned char id[16] = { 0 };
    enum status st = OK;

    memcpy(id, row->rid.p, MIN_OF(row->rid.n, sizeof(id)));
    *r = (struct ol_run_view){ .uid = row->uid,
                               .job = row->job,
                               .create_us = row->create_us,
                               .update_us = MAX_OF(row->create_us, row->update_us),
                               .id = ol_run_id_text(v->arena, id),
                               .text = row->text,
                               .state = (enum ol_state)row->state,
                               .has_start = !row->start_us_null,
                               .has_end = !row->end_us_null,
                               .has_nominal_start = !row->nominal_start_us_null,
                               .has_nominal_end = !row->nominal_end_us_null,
                               .start_us = row->start_us,
                               .end_us = row->end_us,
                               .nominal_start_us = row->nominal_start_us,
                               .nominal_end_us = row->nominal_end_us,
                               .parent_job = row->parent_job };
    if (!r->id.p || !view_keep(v, &r->text)) {
        return err_nomem(err);
    }
    if (facets) {
        st = ol_run_decode(row->body, v->arena, body, err);
        st = st ? st : want_run(l, body, err);
    }
    return st;
}

static enum status read_runs(struct view *v, const int64_t *sorted, size_t m, bool facets,
                             struct ol_run_view *to, struct ol_loading *l,
                             struct run_facets *bodies, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < m; at += OL_LIST_MAX) {
        struct q_ol_runs_of_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_runs_of_open(v->conn, &stmt, sorted + at, MIN_OF(m - at, (size_t)OL_LIST_MAX),
                               err);
        while (!st && (st = q_ol_runs_of_next(stmt, &row, err)) == OK) {
            ptrdiff_t k = ol_place_of(sorted, m, row.uid);

            if (k >= 0) {
                bodies[k].run = &to[k];
                st = take_run(v, &row, facets, &to[k], &bodies[k].body, l, err);
            }
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

static enum status name_runs(struct view *v, struct ol_run_view *runs, size_t n, struct err *err)
{
    int64_t *jobs = ARENA_ARRAY(v->arena, int64_t, n + 1);
    struct ol_name *names;
    enum status st;

    if (!jobs) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        jobs[i] = runs[i].job;
    }
    st = ol_job_names(v, jobs, n, true, &names, err);
    for (size_t i = 0; !st && i < n; i++) {
        runs[i].name = names[i];
        if (!names[i].name.p) runs[i].name = (struct ol_name){ S(""), S("") };
    }
    return st;
}

enum status ol_runs(struct view *v, const int64_t *uids, size_t n, unsigned with,
                    struct ol_run_view **out, struct err *err)
{
    struct ol_loading l = { .v = v };
    struct ol_run_view *found;
    struct run_facets *bodies;
    int64_t *sorted;
    size_t m;
    enum status st = ol_sorted(v->arena, uids, n, &sorted, &m, err);

    if (st) {
        return st;
    }
    found = ARENA_ARRAY(v->arena, struct ol_run_view, m + 1);
    bodies = ARENA_ARRAY(v->arena, struct run_facets, m + 1);
    *out = ARENA_ARRAY(v->arena, struct ol_run_view, n + 1);
    if (!found || !bodies || !*out) {
        return err_nomem(err);
    }
    st = read_runs(v, sorted, m, with & OL_WITH_FACETS, found, &l, bodies, err);
    st = st ? st : ol_load(&l, err);
    for (size_t i = 0; !st && i < m; i++) {
        if (!found[i].uid) {
            return err_set(err, ST_NOT_FOUND, "Run %" PRId64 " not found.", sorted[i]);
        }
        if (with & OL_WITH_FACETS) st = run_rows(v->arena, &bodies[i], err);
    }
    st = st ? st : name_runs(v, found, m, err);
    if (!st && (with & OL_WITH_LINKS)) {
        st = link_runs(v, found, m, sorted, m, err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        (*out)[i] = found[ol_place_of(sorted, m, uids[i])];
    }
    return st;
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------------------------- */

static const char *const job_keys[] = { "jobType", "sourceCodeLocation", "documentation", "tags",
                                        NULL };

static enum status take_job(struct view *v, const struct q_ol_jobs_of_row *row, bool all,
                            struct ol_job_view *j, struct ol_cells *c, struct ol_loading *l,
                            struct err *err)
{
    struct ol_stamp at;
    int64_t unused;
    enum status st = ol_thing_decode(row->body, v->arena, c, &at, &unused, err);

    *j = (struct ol_job_view){ .uid = row->uid,
                               .create_us = row->create_us,
                               .update_us = row->update_us,
                               .name = { row->ns, row->name },
                               .shown = row->shown,
                               .latest_run = row->run };
    if (!st && (!view_keep(v, &j->name.ns) || !view_keep(v, &j->name.name))) {
        st = err_nomem(err);
    }
    return st ? st : ol_want(l, c, all ? NULL : job_keys, err);
}

static struct str json_of(const struct ol_cells *c, const char *key)
{
    const struct ol_cell *x = ol_cell_find(c, str_cstr(key));

    return x && !x->gone ? x->json : (struct str){ NULL, 0 };
}

static enum status say_job(struct view *v, struct ol_job_view *j, const struct ol_cells *c,
                           const struct ol_tagged *said, size_t said_n, struct err *err)
{
    struct str kind = json_peek_text(v->arena, json_of(c, "jobType"), "processingType");
    struct ol_tags tags;
    size_t cap = 0;
    enum status st = ol_tags_read(v->arena, json_of(c, "tags"), said, said_n, j->uid, &tags, err);

    j->type = str_eq_nocase(kind, S("STREAMING")) ? OL_STREAM
              : str_eq_nocase(kind, S("SERVICE")) ? OL_SERVICE
                                                  : OL_BATCH;
    j->location = json_peek_text(v->arena, json_of(c, "sourceCodeLocation"), "url");
    j->description = json_peek_text(v->arena, json_of(c, "documentation"), "description");
    j->tags = ol_tags_of(&tags, S(""), &j->tags_n);
    j->simple_name = j->name.name;
    return st ? st : ol_rows_of(v->arena, c, OL_OF_SELF, 0, &j->facets, &j->facets_n, &cap, err);
}

/* Inputs and outputs, their names, and the version that they make. */
static enum status link_jobs(struct view *v, struct ol_job_view *jobs, size_t n,
                             const int64_t *sorted, struct err *err)
{
    struct ol_graph_link *links;
    struct ol_name *names, *all;
    int64_t *sets;
    size_t links_n, at = 0;
    bool more;
    enum status st = ol_io_of_jobs(v, sorted, n, OL_GRAPH_LINKS_MAX, &links, &links_n, &more, err);

    if (!st && more) {
        return err_set(err, ST_TOO_BIG,
                       "the jobs have more than %d inputs and outputs: ask for less",
                       OL_GRAPH_LINKS_MAX);
    }
    sets = ARENA_ARRAY(v->arena, int64_t, links_n + 1);
    all = ARENA_ARRAY(v->arena, struct ol_name, links_n + 1);
    if (!st && (!sets || !all)) {
        st = err_nomem(err);
    }
    for (size_t i = 0; !st && i < links_n; i++) {
        sets[i] = links[i].dataset;
    }
    st = st ? st : ol_dataset_names(v, sets, links_n, false, &names, err);
    for (size_t i = 0; !st && i < n;
         i++) { /* links are in the order of jobs, what they read before what they write */
        struct ol_job_view *j = &jobs[i];
        size_t from = at, in_n, out_n;

        while (at < links_n && links[at].job == j->uid && !links[at].writes)
            at++;
        in_n = at - from;
        while (at < links_n && links[at].job == j->uid)
            at++;
        out_n = at - from - in_n;
        st = version_of(v->arena, j->uid, &sets[from], in_n, &sets[from + in_n], out_n,
                        sizeof(int64_t), &j->version, err);
        j->in = &all[from];
        j->out = &all[from + in_n];
        for (size_t k = 0; k < in_n + out_n; k++) {
            struct ol_name name = names[from + k];

            if (name.name.p && k < in_n) j->in[j->in_n++] = name;
            if (name.name.p && k >= in_n) j->out[j->out_n++] = name;
        }
    }
    return st;
}

/* The newest run, and the job that its parent facet names. */
static enum status run_jobs(struct view *v, struct ol_job_view *jobs, size_t n, unsigned with,
                            struct err *err)
{
    int64_t *runs = ARENA_ARRAY(v->arena, int64_t, n + 1),
            *parents = ARENA_ARRAY(v->arena, int64_t, n + 1);
    struct ol_run_view *r;
    struct ol_name *names;
    size_t m = 0;
    enum status st = runs && parents ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        if (jobs[i].latest_run) runs[m++] = jobs[i].latest_run;
    }
    st = st ? st : ol_runs(v, runs, m, with & ~(unsigned)OL_WITH_RUN, &r, err);
    for (size_t i = 0; !st && i < m; i++) {
        parents[i] = r[i].parent_job;
    }
    st = st ? st : ol_job_names(v, parents, m, true, &names, err);
    for (size_t i = 0, k = 0; !st && i < n; i++) {
        struct ol_job_view *j = &jobs[i];

        if (!j->latest_run) {
            continue;
        }
        j->run = &r[k];
        if (r[k].parent_job && names[k].name.p) {
            struct str name = names[k].name;

            j->parent_job = r[k].parent_job;
            j->parent_name = name;
            if (j->name.name.n > name.n + 1 && str_starts(j->name.name, name) &&
                j->name.name.p[name.n] == '.') {
                j->simple_name = str_sub(j->name.name, name.n + 1, j->name.name.n);
            }
        }
        k++;
    }
    return st;
}

static enum status read_jobs(struct view *v, const int64_t *sorted, size_t m, bool all,
                             struct ol_job_view *to, struct ol_cells *cells, struct err *err)
{
    struct ol_loading l = { .v = v };
    struct ol_tagged *said;
    size_t said_n;
    enum status st = OK;

    for (size_t at = 0; !st && at < m; at += OL_LIST_MAX) {
        struct q_ol_jobs_of_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_jobs_of_open(v->conn, &stmt, sorted + at, MIN_OF(m - at, (size_t)OL_LIST_MAX),
                               err);
        while (!st && (st = q_ol_jobs_of_next(stmt, &row, err)) == OK) {
            ptrdiff_t k = ol_place_of(sorted, m, row.uid);

            if (k >= 0) st = take_job(v, &row, all, &to[k], &cells[k], &l, err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    st = st ? st : ol_load(&l, err);
    st = st ? st : ol_tagged_of(v, sorted, m, &said, &said_n, err);
    for (size_t i = 0; !st && i < m; i++) {
        st = to[i].uid ? say_job(v, &to[i], &cells[i], said, said_n, err)
                       : err_set(err, ST_NOT_FOUND, "Job %" PRId64 " not found.", sorted[i]);
    }
    return st;
}

enum status ol_jobs(struct view *v, const int64_t *uids, size_t n, unsigned with,
                    struct ol_job_view **out, struct err *err)
{
    struct ol_job_view *found;
    struct ol_cells *cells;
    int64_t *sorted;
    size_t m;
    enum status st = ol_sorted(v->arena, uids, n, &sorted, &m, err);

    if (st) {
        return st;
    }
    found = ARENA_ARRAY(v->arena, struct ol_job_view, m + 1);
    cells = ARENA_ARRAY(v->arena, struct ol_cells, m + 1);
    *out = ARENA_ARRAY(v->arena, struct ol_job_view, n + 1);
    if (!found || !cells || !*out) {
        return err_nomem(err);
    }
    st = read_jobs(v, sorted, m, with & OL_WITH_FACETS, found, cells, err);
    st = st ? st : link_jobs(v, found, m, sorted, err);
    if (!st && (with & OL_WITH_RUN)) {
        st = run_jobs(v, found, m, with, err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        (*out)[i] = found[ol_place_of(sorted, m, uids[i])];
    }
    return st;
}
