/* core/scrub_names.c - whose an object is. See scrub.h. */
#include "core/artifact_int.h"
#include "core/node.h"
#include "core/run.h"
#include "core/scrub.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <inttypes.h>

enum { VERSIONS_MAX = 20, ROLE_OF_VERSION = 2 };

struct names {
    struct view *v;
    struct scrub_name *at;
    size_t n;
};

static enum status add(struct names *l, enum scrub_owner kind, struct str id, struct str name,
                       struct str path, struct err *err)
{
    if (l->n == SCRUB_NAMES_MAX) {
        return OK;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (l->at[i].kind == kind && kind == SCRUB_MODEL_VERSION && str_eq(l->at[i].id, id)) {
            return OK;
        }
    }
    l->at[l->n] = (struct scrub_name){ kind, id, name, path };
    if (!view_keep(l->v, &l->at[l->n].id) || !view_keep(l->v, &l->at[l->n].name) ||
        !view_keep(l->v, &l->at[l->n].path)) {
        return err_nomem(err);
    }
    l->n++;
    return OK;
}

static enum status versions_of(struct names *l, int64_t node, struct str path, struct err *err)
{
    struct q_versions_of_node_row row;
    struct sql_stmt *q = NULL;
    enum status st = q_versions_of_node_open(l->v->conn, &q, node, VERSIONS_MAX, err);

    while (!st && (st = q_versions_of_node_next(q, &row, err)) == OK) {
        struct str id = arena_printf(l->v->arena, "%.*s/%" PRId64, STR_ARG(row.name), row.version);

        st = id.p ? add(l, SCRUB_MODEL_VERSION, id, row.name, path, err) : err_nomem(err);
    }
    sql_close(q);
    return st == ST_END ? OK : st;
}

/* Versions that were made of a folder at or above the file: they are nodes by the URI of that folder. */
static enum status versions_above(struct names *l, struct str uri, struct str path, struct err *err)
{
    enum status st = OK;

    while (!st && uri.n) {
        struct q_ident_find_row row;
        size_t slash = uri.n;

        st = q_ident_find(l->v->conn, l->v->arena, 0, IDENT_MODEL_PLACE, uri, &row, err);
        if (!st) st = versions_of(l, row.uid, path, err);
        st = st == ST_NOT_FOUND ? OK : st;
        while (slash > 0 && uri.p[slash - 1] != '/') {
            slash--;
        }
        uri = str_sub(uri, 0, slash ? slash - 1 : 0);
    }
    return st;
}

static enum status owner_of(struct names *l, int64_t uid, struct str path, struct err *err)
{
    struct q_lineage_logged_models_row model;
    struct sql_stmt *q = NULL;
    struct run_view run;
    enum status st = uid ? run_get_uid(l->v, uid, &run, err) : ST_NOT_FOUND;

    if (st == OK) {
        struct str uri =
            arena_printf(l->v->arena, "runs:/%.*s/%.*s", STR_ARG(run.run_id), STR_ARG(path));

        st = add(l, SCRUB_RUN, run.run_id, run.name, path, err);
        return st ? st : uri.p ? versions_above(l, uri, path, err) : err_nomem(err);
    }
    if (st != ST_NOT_FOUND) {
        return st;
    }
    st = uid ? q_lineage_logged_models_open(l->v->conn, &q, &uid, 1, err) : ST_END;
    st = st ? st : q_lineage_logged_models_next(q, &model, err);
    if (!st) st = add(l, SCRUB_LOGGED_MODEL, model.mid, model.name, path, err);
    sql_close(q);
    if (st == OK) {
        return versions_of(l, uid, path, err);
    }
    return st == ST_END ? add(l, SCRUB_ARTIFACT, S(""), S(""), path, err) : st;
}

static enum status one(struct names *l, const struct q_object_names_row *row, struct err *err)
{
    struct arena *a = l->v->arena;
    struct str path = row->dir.n
                          ? arena_printf(a, "%.*s/%.*s", STR_ARG(row->dir), STR_ARG(row->name))
                          : row->name;
    struct str uri = path.p
                         ? arena_printf(a, "%.*s%s%.*s", STR_ARG(row->uri),
                                        row->uri.n && row->uri.p[row->uri.n - 1] == '/' ? "" : "/",
                                        STR_ARG(path))
                         : path;
    enum status st;

    if (!uri.p) {
        return err_nomem(err);
    }
    st = owner_of(l, row->owner, path, err);
    return st ? st : versions_above(l, uri, path, err);
}

enum status scrub_names(struct view *v, const struct digest *sha256, struct scrub_name **out,
                        size_t *n, struct err *err)
{
    struct names l = { .v = v, .at = ARENA_ARRAY(v->arena, struct scrub_name, SCRUB_NAMES_MAX) };
    struct q_object_names_row *rows =
        ARENA_ARRAY(v->arena, struct q_object_names_row, SCRUB_NAMES_MAX);
    struct sql_stmt *q = NULL;
    size_t rows_n = 0;
    enum status st = l.at && rows
                         ? q_object_names_open(v->conn, &q, str_of(sha256->b, sizeof(sha256->b)),
                                               SCRUB_NAMES_MAX, err)
                         : err_nomem(err);

    *out = NULL;
    *n = 0;
    while (!st && rows_n < SCRUB_NAMES_MAX &&
           (st = q_object_names_next(q, &rows[rows_n], err)) == OK) {
        struct q_object_names_row *r = &rows[rows_n++];

        st = view_keep(v, &r->uri) && view_keep(v, &r->dir) && view_keep(v, &r->name)
                 ? OK
                 : err_nomem(err);
    }
    sql_close(q);
    st = st == ST_END ? OK : st;
    for (size_t i = 0; !st && i < rows_n; i++) {
        st = one(&l, &rows[i], err);
    }
    *out = l.at;
    *n = l.n;
    return st;
}
