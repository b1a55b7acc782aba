/* core/openlineage/read_list.c - lists, search, counts. */
#include "core/openlineage/read_counts.h"
#include "core/openlineage/read_int.h"

static bool put_uid(struct view *v, struct ol_uids *u, size_t *cap, int64_t uid)
{
    if (!arena_grow(v->arena, (void **)&u->p, u->n, cap, sizeof(*u->p))) {
        return false;
    }
    u->p[u->n++] = uid;
    return true;
}

/* Statements whose rows are uids. */
#define COLLECT(query, v_, out_, err_, ...)                                                        \
    do {                                                                                           \
        struct q_##query##_row row_;                                                               \
        struct sql_stmt *stmt_ = NULL;                                                             \
        size_t cap_ = 0;                                                                           \
                                                                                                   \
        st = q_##query##_open((v_)->conn, &stmt_, __VA_ARGS__, err_);                              \
        while (!st && (st = q_##query##_next(stmt_, &row_, err_)) == OK) {                         \
            if (!put_uid((v_), (out_), &cap_, row_.uid)) st = err_nomem(err_);                     \
        }                                                                                          \
        sql_close(stmt_);                                                                          \
        st = st == ST_END ? OK : st;                                                               \
    } while (0)

/* ---- namespaces ---------------------------------------------------------------------------------------------------------------- */

enum status ol_space_list(struct view *v, struct ol_page page, bool sources,
                          struct ol_space_view **out, size_t *n, struct err *err)
{
    struct q_ol_spaces_row row = { 0 };
    struct q_ol_sources_row source = { 0 };
    struct sql_stmt *stmt = NULL;
    size_t cap = 0;
    enum status st =
        sources ? q_ol_sources_open(v->conn, &stmt, (int64_t)page.max, (int64_t)page.skip, err)
                : q_ol_spaces_open(v->conn, &stmt, (int64_t)page.max, (int64_t)page.skip, err);

    *out = NULL;
    *n = 0;
    while (!st) {
        struct ol_space_view x;

        st = sources ? q_ol_sources_next(stmt, &source, err) : q_ol_spaces_next(stmt, &row, err);
        if (st) {
            break;
        }
        x = sources
                ? (struct ol_space_view){ source.uid, source.create_us, source.update_us,
                                          source.name, false }
                : (struct ol_space_view){ row.uid, row.create_us, row.update_us, row.name, false };
        if (!view_keep(v, &x.name) || !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(x))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = x;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* ---- jobs, data sets, runs, versions ---------------------------------------------------------------------------------------------- */

static enum status count_jobs(struct view *v, int64_t space, const int64_t *states, size_t states_n,
                              int64_t *out, struct err *err)
{
    struct q_ol_ns_jobs_count_row all = { 0 };
    struct q_ol_ns_jobs_hidden_row hidden = { 0 };
    struct q_ol_ns_jobs_count_in_row in = { 0 };
    struct q_ol_jobs_count_in_row in_all = { 0 };
    enum status st;

    if (states_n && space) {
        st = q_ol_ns_jobs_count_in(v->conn, v->arena, space, states, states_n, &in, err);
        *out = in.n;
        return st;
    }
    if (states_n) {
        st = q_ol_jobs_count_in(v->conn, v->arena, INT64_MAX, states, states_n, &in_all, err);
        *out = in_all.n;
        return st;
    }
    if (!space) {
        return ol_counts_jobs(v, out, err);
    }
    st = q_ol_ns_jobs_count(v->conn, v->arena, space, &all, err);
    st = st ? st : q_ol_ns_jobs_hidden(v->conn, v->arena, space, &hidden, err);
    *out = all.n - hidden.n;
    return st;
}

enum status ol_job_list(struct view *v, int64_t space, const int64_t *states, size_t states_n,
                        struct ol_page page, struct ol_uids *out, struct err *err)
{
    int64_t max = (int64_t)page.max, skip = (int64_t)page.skip;
    enum status st;

    *out = (struct ol_uids){ 0 };
    if (space && states_n) {
        COLLECT(ol_jobs_by_name_in, v, out, err, space, states, states_n, max, skip);
    } else if (space) {
        COLLECT(ol_jobs_by_name, v, out, err, space, max, skip);
    } else if (states_n) {
        COLLECT(ol_jobs_newest_in, v, out, err, INT64_MAX, states, states_n, max, skip);
    } else {
        COLLECT(ol_jobs_newest, v, out, err, INT64_MAX, max, skip);
    }
    return st ? st : count_jobs(v, space, states, states_n, &out->total, err);
}

enum status ol_dataset_list(struct view *v, int64_t space, struct ol_page page, struct ol_uids *out,
                            struct err *err)
{
    struct q_ol_ns_datasets_count_row all = { 0 };
    struct q_ol_ns_datasets_hidden_row hidden = { 0 };
    enum status st;

    *out = (struct ol_uids){ 0 };
    COLLECT(ol_datasets_by_name, v, out, err, space, (int64_t)page.max, (int64_t)page.skip);
    st = st ? st : q_ol_ns_datasets_count(v->conn, v->arena, space, &all, err);
    st = st ? st : q_ol_ns_datasets_hidden(v->conn, v->arena, space, &hidden, err);
    out->total = all.n - hidden.n;
    return st;
}

enum status ol_run_list(struct view *v, int64_t job, struct ol_page page, struct ol_uids *out,
                        struct err *err)
{
    struct q_ol_runs_count_row all = { 0 };
    enum status st;

    *out = (struct ol_uids){ 0 };
    COLLECT(ol_runs_of_job, v, out, err, job, (int64_t)page.max, (int64_t)page.skip);
    st = st ? st : q_ol_runs_count(v->conn, v->arena, job, &all, err);
    out->total = all.n;
    return st;
}

enum status ol_version_list(struct view *v, int64_t dataset, struct ol_page page,
                            struct ol_uids *out, struct err *err)
{
    struct q_ol_versions_count_row all = { 0 };
    enum status st;

    *out = (struct ol_uids){ 0 };
    COLLECT(ol_versions_newest, v, out, err, dataset, OL_EVER, (int64_t)page.max,
            (int64_t)page.skip);
    st = st ? st : q_ol_versions_count(v->conn, v->arena, dataset, OL_EVER, &all, err);
    out->total = all.n;
    return st;
}

/* ---- versions of a job ---------------------------------------------------------------------------------------------------------------- */

static struct ol_job_version *version_of_run(struct ol_job_version *p, size_t n,
                                             const struct ol_run_view *r)
{
    for (size_t i = 0; i < n; i++) {
        if (digest_eq(&p[i].version, &r->version)) {
            return &p[i];
        }
    }
    return NULL;
}

static enum status name_links(struct view *v, const struct ol_link_view *p, size_t n,
                              struct ol_name **out, size_t *out_n, struct err *err)
{
    int64_t *sets = ARENA_ARRAY(v->arena, int64_t, n + 1);
    size_t m = 0;
    enum status st = sets ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < n; i++) {
        sets[i] = p[i].dataset;
    }
    st = st ? st : ol_sorted(v->arena, sets, n, &sets, &m, err);
    *out_n = m;
    return st ? st : ol_dataset_names(v, sets, m, true, out, err);
}

enum status ol_job_versions(struct view *v, int64_t job, struct ol_job_version **out, size_t *n,
                            struct err *err)
{
    struct ol_uids runs = { 0 };
    struct ol_run_view *r;
    struct ol_job_version *p = NULL;
    size_t m = 0, cap = 0;
    enum status st;

    COLLECT(ol_runs_of_job, v, &runs, err, job, OL_VERSION_RUNS, 0);
    st = st ? st : ol_runs(v, runs.p, runs.n, OL_WITH_LINKS, &r, err);
    for (size_t i = 0; !st && i < runs.n; i++) {
        struct ol_job_version *x = version_of_run(p, m, &r[i]);

        if (x) {
            x->create_us = MIN_OF(x->create_us, r[i].create_us);
            continue;
        }
        if (!arena_grow(v->arena, (void **)&p, m, &cap, sizeof(*p))) {
            return err_nomem(err);
        }
        p[m++] = (struct ol_job_version){ .version = r[i].version,
                                          .create_us = r[i].create_us,
                                          .run = &r[i] };
    }
    for (size_t i = 0; !st && i < m; i++) {
        st = name_links(v, p[i].run->in, p[i].run->in_n, &p[i].in, &p[i].in_n, err);
        st = st ? st : name_links(v, p[i].run->out, p[i].run->out_n, &p[i].out, &p[i].out_n, err);
    }
    *out = p;
    *n = m;
    return st;
}

/* ---- search --------------------------------------------------------------------------------------------------------------------------- */

static struct str lower(struct arena *a, struct str s)
{
    char *p = (char *)arena_alloc(a, s.n + 1);

    for (size_t i = 0; p && i < s.n; i++) {
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + ('a' - 'A') : s.p[i]);
    }
    return p ? str_of(p, s.n) : (struct str){ NULL, 0 };
}

enum status ol_search_names(struct view *v, const struct ol_search *q, struct ol_hit **out,
                            size_t *n, int64_t *total, struct err *err)
{
    struct str part = lower(v->arena, q->text);
    struct q_ol_search_by_name_row a = { 0 };
    struct q_ol_search_newest_row b = { 0 };
    struct q_ol_search_count_row count = { 0 };
    struct sql_stmt *stmt = NULL;
    size_t cap = 0;
    enum status st;

    *out = NULL;
    *n = 0;
    if (!part.p) {
        return err_nomem(err);
    }
    st = q->newest
             ? q_ol_search_newest_open(v->conn, &stmt, part, 0, q->space, q->datasets, q->jobs,
                                       q->from_us, q->until_us, (int64_t)q->max, err)
             : q_ol_search_by_name_open(v->conn, &stmt, part, 0, q->space, q->datasets, q->jobs,
                                        q->from_us, q->until_us, (int64_t)q->max, err);
    while (!st) {
        struct ol_hit x;

        st = q->newest ? q_ol_search_newest_next(stmt, &b, err)
                       : q_ol_search_by_name_next(stmt, &a, err);
        if (st) {
            break;
        }
        x = q->newest ? (struct ol_hit){ b.is_job, b.uid, b.update_us, { b.ns, b.name } }
                      : (struct ol_hit){ a.is_job, a.uid, a.update_us, { a.ns, a.name } };
        if (!view_keep(v, &x.name.ns) || !view_keep(v, &x.name.name) ||
            !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(x))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = x;
    }
    sql_close(stmt);
    st = st == ST_END ? OK : st;
    st = st ? st
            : q_ol_search_count(v->conn, v->arena, part, 0, q->space, q->datasets, q->jobs,
                                q->from_us, q->until_us, &count, err);
    *total = count.n;
    return st;
}

/* ---- tags and figures ------------------------------------------------------------------------------------------------------------------ */

enum status ol_tag_list(struct view *v, struct ol_page page, struct ol_tag_view **out, size_t *n,
                        struct err *err)
{
    struct q_ol_tags_row row;
    struct sql_stmt *stmt = NULL;
    size_t cap = 0;
    enum status st = q_ol_tags_open(v->conn, &stmt, (int64_t)page.max, (int64_t)page.skip, err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_ol_tags_next(stmt, &row, err)) == OK) {
        struct ol_tag_view x = { row.name, row.description };

        if (!view_keep(v, &x.name) || !view_keep(v, &x.description) ||
            !arena_grow(v->arena, (void **)out, *n, &cap, sizeof(x))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = x;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status count_made(struct view *v, enum ol_stat what, int64_t from, int64_t until,
                              int64_t *out, struct err *err)
{
    struct q_ol_stat_jobs_row j = { 0 };
    struct q_ol_stat_datasets_row d = { 0 };
    struct q_ol_stat_sources_row s = { 0 };
    enum status st = what == OL_STAT_JOBS ? q_ol_stat_jobs(v->conn, v->arena, from, until, &j, err)
                     : what == OL_STAT_DATASETS
                         ? q_ol_stat_datasets(v->conn, v->arena, from, until, &d, err)
                         : q_ol_stat_sources(v->conn, v->arena, from, until, &s, err);

    *out = j.n + d.n + s.n;
    return st;
}

enum status ol_statistics(struct view *v, enum ol_stat what, struct ol_interval *p, size_t n,
                          struct err *err)
{
    int64_t before = 0, made;
    enum status st = OK;

    if (n && what != OL_STAT_EVENTS) {
        st = count_made(v, what, INT64_MIN, p[0].from_us, &before, err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        struct q_ol_stat_events_row row;

        if (what == OL_STAT_EVENTS) {
            st = q_ol_stat_events(v->conn, v->arena, p[i].from_us, p[i].until_us, &row, err);
            if (!st) {
                p[i].started = row.started;
                p[i].completed = row.completed;
                p[i].failed = row.failed;
                p[i].aborted = row.aborted;
            }
            continue;
        }
        st = count_made(v, what, p[i].from_us, p[i].until_us, &made, err);
        if (!st) p[i].count = before += made;
    }
    return st;
}

enum status ol_event_count(struct view *v, int64_t from_us, int64_t until_us, int64_t *out,
                           struct err *err)
{
    struct q_ol_events_count_row row = { 0 };
    enum status st;

    if (from_us == INT64_MIN && until_us == INT64_MAX) {
        return ol_counts_events(v, out, err);
    }
    st = q_ol_events_count(v->conn, v->arena, from_us, until_us, &row, err);
    *out = row.n;
    return st;
}

enum status ol_event_skip(struct view *v, struct ol_events_query *q, size_t skip, struct err *err)
{
    struct q_ol_event_skip_up_row up = { 0 };
    struct q_ol_event_skip_down_row down = { 0 };
    int64_t n = (int64_t)skip - 1;
    enum status st;

    q->after_us = q->after = q->down ? INT64_MAX : INT64_MIN;
    if (!skip) {
        return OK;
    }
    st = q->down ? q_ol_event_skip_down(v->conn, v->arena, q->from_us, q->until_us, n, &down, err)
                 : q_ol_event_skip_up(v->conn, v->arena, q->from_us, q->until_us, n, &up, err);
    q->after_us = q->down ? down.event_us : up.event_us;
    q->after = q->down ? down.seq : up.seq;
    return st;
}
