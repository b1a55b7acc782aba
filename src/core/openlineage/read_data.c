/* core/openlineage/read_data.c - data sets and their versions, whole. */
#include "core/openlineage/read_int.h"

static const char *const set_keys[] = { "schema",      "documentation",        "tags",
                                        "datasetType", "lifecycleStateChange", NULL };

static struct str json_of(const struct ol_cells *c, const char *key)
{
    const struct ol_cell *x = ol_cell_find(c, str_cstr(key));

    return x && !x->gone ? x->json : (struct str){ NULL, 0 };
}

/* ---- what facets say ----------------------------------------------------------------------------------------------------------- */

struct fields {
    struct view *v;
    struct ol_dataset_view *d;
    struct ol_tags tags;
    size_t cap;
};

static enum status one_field(void *ctx, struct str unused, struct str json, struct err *err)
{
    struct fields *f = (struct fields *)ctx;
    struct ol_dataset_view *d = f->d;
    struct ol_field_view x = { .name = json_peek_text(f->v->arena, json, "name"),
                               .type = json_peek_text(f->v->arena, json, "type"),
                               .description = json_peek_text(f->v->arena, json, "description") };

    (void)unused;
    if (!x.name.p) {
        return OK;
    }
    if (x.name.n) x.tags = ol_tags_of(&f->tags, x.name, &x.tags_n);
    if (!arena_grow(f->v->arena, (void **)&d->fields, d->fields_n, &f->cap, sizeof(x))) {
        return err_nomem(err);
    }
    d->fields[d->fields_n++] = x;
    return OK;
}

static bool is_stream(struct str ns, struct str type)
{
    return str_starts(ns, S("kafka:")) || str_starts(ns, S("pubsub")) ||
           str_eq_nocase(type, S("TOPIC")) || str_eq_nocase(type, S("STREAM"));
}

static enum status say_set(struct view *v, struct ol_dataset_view *d, const struct ol_cells *c,
                           const struct ol_tagged *said, size_t said_n, struct err *err)
{
    struct fields f = { .v = v, .d = d };
    size_t cap = 0;
    enum status st = ol_tags_read(v->arena, json_of(c, "tags"), said, said_n, d->uid, &f.tags, err);

    d->tags = ol_tags_of(&f.tags, S(""), &d->tags_n);
    d->description = json_peek_text(v->arena, json_of(c, "documentation"), "description");
    d->lifecycle =
        json_peek_text(v->arena, json_of(c, "lifecycleStateChange"), "lifecycleStateChange");
    d->is_gone = str_eq_nocase(d->lifecycle, S("DROP"));
    d->is_stream =
        is_stream(d->name.ns, json_peek_text(v->arena, json_of(c, "datasetType"), "datasetType"));
    st = st ? st
            : json_peek_each(json_peek(json_of(c, "schema"), "fields").raw, v->arena, one_field, &f,
                             err);
    return st ? st : ol_rows_of(v->arena, c, OL_OF_SELF, 0, &d->facets, &d->facets_n, &cap, err);
}

/* ---- data sets -------------------------------------------------------------------------------------------------------------------- */

static enum status take_set(struct view *v, const struct q_ol_datasets_of_row *row,
                            struct ol_dataset_view *d, struct ol_cells *c, struct ol_loading *l,
                            const char *const *keys, struct err *err)
{
    struct ol_stamp at;
    int64_t unused;
    enum status st;

    *d = (struct ol_dataset_view){ .uid = row->uid,
                                   .create_us = row->create_us,
                                   .update_us = row->update_us,
                                   .version = row->version_null ? 0 : row->version,
                                   .name = { row->ns, row->name },
                                   .shown = row->shown };
    if (!view_keep(v, &d->name.ns) || !view_keep(v, &d->name.name)) {
        return err_nomem(err);
    }
    st = ol_thing_decode(row->body, v->arena, c, &at, &unused, err);
    return st ? st : ol_want(l, c, keys, err);
}

/* By sorted uids; what is not there has uid 0. Facets are in cells, those of `keys` (NULL = all) with their values. */
static enum status read_sets(struct view *v, const int64_t *sorted, size_t m,
                             const char *const *keys, struct ol_dataset_view *to,
                             struct ol_cells *cells, struct ol_loading *l, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < m; at += OL_LIST_MAX) {
        struct q_ol_datasets_of_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_datasets_of_open(v->conn, &stmt, sorted + at, MIN_OF(m - at, (size_t)OL_LIST_MAX),
                                   err);
        while (!st && (st = q_ol_datasets_of_next(stmt, &row, err)) == OK) {
            ptrdiff_t k = ol_place_of(sorted, m, row.uid);

            if (k >= 0) st = take_set(v, &row, &to[k], &cells[k], l, keys, err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

enum status ol_datasets(struct view *v, const int64_t *uids, size_t n, unsigned with,
                        struct ol_dataset_view **out, struct err *err)
{
    struct ol_loading l = { .v = v };
    struct ol_dataset_view *found;
    struct ol_cells *cells;
    struct ol_tagged *said;
    int64_t *sorted;
    size_t m, said_n;
    enum status st = ol_sorted(v->arena, uids, n, &sorted, &m, err);

    if (st) {
        return st;
    }
    found = ARENA_ARRAY(v->arena, struct ol_dataset_view, m + 1);
    cells = ARENA_ARRAY(v->arena, struct ol_cells, m + 1);
    *out = ARENA_ARRAY(v->arena, struct ol_dataset_view, n + 1);
    if (!found || !cells || !*out) {
        return err_nomem(err);
    }
    st = read_sets(v, sorted, m, with & OL_WITH_FACETS ? NULL : set_keys, found, cells, &l, err);
    st = st ? st : ol_load(&l, err);
    st = st ? st : ol_tagged_of(v, sorted, m, &said, &said_n, err);
    for (size_t i = 0; !st && i < m; i++) {
        st = found[i].uid ? say_set(v, &found[i], &cells[i], said, said_n, err)
                          : err_set(err, ST_NOT_FOUND, "Dataset %" PRId64 " not found.", sorted[i]);
    }
    for (size_t i = 0; !st && i < n; i++) {
        (*out)[i] = found[ol_place_of(sorted, m, uids[i])];
    }
    return st;
}

struct finding {
    struct arena *a;
    struct str name;
    bool found;
};

static enum status one_name(void *ctx, struct str unused, struct str json, struct err *err)
{
    struct finding *f = (struct finding *)ctx;
    struct str name = json_peek_text(f->a, json, "name");

    (void)unused;
    (void)err;
    f->found = name.p && str_eq(name, f->name);
    return f->found ? ST_END : OK;
}

enum status ol_field_said(struct view *v, int64_t set, struct str field, bool *said,
                          struct err *err)
{
    static const char *const keys[] = { "schema", NULL };
    struct ol_loading l = { .v = v };
    struct finding f = { v->arena, field, false };
    struct ol_dataset_view d;
    struct ol_cells c = { 0 };
    enum status st = read_sets(v, &set, 1, keys, &d, &c, &l, err);

    st = st ? st : ol_load(&l, err);
    st = st ? st
            : json_peek_each(json_peek(json_of(&c, "schema"), "fields").raw, v->arena, one_name, &f,
                             err);
    *said = f.found;
    return st;
}

/* ---- versions ------------------------------------------------------------------------------------------------------------------------ */

struct versions {
    struct view *v;
    struct ol_version_view *p; /* by sorted uids */
    struct ol_cells *cells;    /* what is said of each */
    const int64_t *sorted;
    size_t n;
    struct ol_loading l;
};

static enum status read_versions(struct versions *x, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < x->n; at += OL_LIST_MAX) {
        struct q_ol_versions_of_row row;
        struct sql_stmt *stmt = NULL;
        struct ol_stamp when;
        int64_t unused;

        st = q_ol_versions_of_open(x->v->conn, &stmt, x->sorted + at,
                                   MIN_OF(x->n - at, (size_t)OL_LIST_MAX), err);
        while (!st && (st = q_ol_versions_of_next(stmt, &row, err)) == OK) {
            ptrdiff_t k = ol_place_of(x->sorted, x->n, row.uid);

            if (k < 0) {
                continue;
            }
            x->p[k] = (struct ol_version_view){ .uid = row.uid,
                                                .dataset = row.dataset,
                                                .event_us = row.event_us,
                                                .run = row.run,
                                                .said = row.name };
            if (!view_keep(x->v, &x->p[k].said)) {
                st = err_nomem(err);
            }
            st =
                st ? st : ol_thing_decode(row.body, x->v->arena, &x->cells[k], &when, &unused, err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

/* Runs that made versions which producers named. */
static enum status read_makers(struct versions *x, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < x->n; at += OL_LIST_MAX) {
        struct q_ol_makers_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_makers_open(x->v->conn, &stmt, x->sorted + at,
                              MIN_OF(x->n - at, (size_t)OL_LIST_MAX), OL_LINKS_OF_RUNS_MAX, err);
        while (!st && (st = q_ol_makers_next(stmt, &row, err)) == OK) {
            ptrdiff_t k = ol_place_of(x->sorted, x->n, row.version);

            if (k >= 0 && !x->p[k].run) x->p[k].run = row.run;
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

/* Of a version that has no facets of its own: what its run said of the data set as it wrote it. */
static enum status facets_of_runs(struct versions *x, struct err *err)
{
    int64_t *runs = ARENA_ARRAY(x->v->arena, int64_t, x->n + 1), *sorted;
    size_t n = 0, m;
    enum status st = runs ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < x->n; i++) {
        if (x->p[i].run && !x->cells[i].n) runs[n++] = x->p[i].run;
    }
    st = st ? st : ol_sorted(x->v->arena, runs, n, &sorted, &m, err);
    for (size_t at = 0; !st && at < m; at += OL_LIST_MAX) {
        struct q_ol_runs_of_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_runs_of_open(x->v->conn, &stmt, sorted + at, MIN_OF(m - at, (size_t)OL_LIST_MAX),
                               err);
        while (!st && (st = q_ol_runs_of_next(stmt, &row, err)) == OK) {
            struct ol_run_body body;

            st = ol_run_decode(row.body, x->v->arena, &body, err);
            for (size_t i = 0; !st && i < x->n; i++) {
                for (size_t k = 0; x->p[i].run == row.uid && !x->cells[i].n && k < body.io_n; k++) {
                    if (body.io[k].dir == OL_OUT && body.io[k].dataset == x->p[i].dataset) {
                        x->cells[i] = body.io[k].facets;
                        break;
                    }
                }
            }
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

static enum status sets_of_versions(struct versions *x, struct err *err)
{
    int64_t *sets = ARENA_ARRAY(x->v->arena, int64_t, x->n + 1);
    struct ol_name *names;
    struct ol_tagged *said;
    size_t said_n;
    enum status st = sets ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < x->n; i++) {
        sets[i] = x->p[i].dataset;
        st = ol_want(&x->l, &x->cells[i], NULL, err);
    }
    st = st ? st : ol_load(&x->l, err);
    st = st ? st : ol_dataset_names(x->v, sets, x->n, true, &names, err);
    st = st ? st : ol_tagged_of(x->v, sets, x->n, &said, &said_n, err);
    for (size_t i = 0; !st && i < x->n; i++) {
        struct ol_dataset_view *d = &x->p[i].set;

        d->uid = sets[i];
        d->name = names[i];
        d->version = x->p[i].uid;
        d->shown = true;
        d->create_us = d->update_us = x->p[i].event_us;
        st = say_set(x->v, d, &x->cells[i], said, said_n, err);
    }
    return st;
}

static enum status runs_of_versions(struct versions *x, unsigned with, struct err *err)
{
    int64_t *runs = ARENA_ARRAY(x->v->arena, int64_t, x->n + 1);
    struct ol_run_view *r;
    size_t n = 0;
    enum status st = runs ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < x->n; i++) {
        if (x->p[i].run) runs[n++] = x->p[i].run;
    }
    st = st ? st : ol_runs(x->v, runs, n, with, &r, err);
    for (size_t i = 0, k = 0; !st && i < x->n; i++) {
        if (x->p[i].run) x->p[i].by = &r[k++];
    }
    return st;
}

enum status ol_versions(struct view *v, const int64_t *uids, size_t n, unsigned with,
                        struct ol_version_view **out, struct err *err)
{
    struct versions x = { .v = v, .l = { .v = v } };
    int64_t *sorted;
    enum status st = ol_sorted(v->arena, uids, n, &sorted, &x.n, err);

    if (st) {
        return st;
    }
    x.sorted = sorted;
    x.p = ARENA_ARRAY(v->arena, struct ol_version_view, x.n + 1);
    x.cells = ARENA_ARRAY(v->arena, struct ol_cells, x.n + 1);
    *out = ARENA_ARRAY(v->arena, struct ol_version_view, n + 1);
    if (!x.p || !x.cells || !*out) {
        return err_nomem(err);
    }
    st = read_versions(&x, err);
    for (size_t i = 0; !st && i < x.n; i++) {
        if (!x.p[i].uid) {
            return err_set(err, ST_NOT_FOUND, "Dataset version %" PRId64 " not found.", sorted[i]);
        }
    }
    st = st ? st : read_makers(&x, err);
    st = st ? st : facets_of_runs(&x, err);
    st = st ? st : sets_of_versions(&x, err);
    if (!st && (with & OL_WITH_RUN)) {
        st = runs_of_versions(&x, with & ~(unsigned)OL_WITH_RUN, err);
    }
    for (size_t i = 0; !st && i < n; i++) {
        (*out)[i] = x.p[ol_place_of(sorted, x.n, uids[i])];
    }
    return st;
}
