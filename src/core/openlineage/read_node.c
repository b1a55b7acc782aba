/* core/openlineage/read_node.c - nodes as clients write them. */
#include "core/openlineage/read_int.h"

enum { SPLITS_MAX = 200 };

struct split {
    struct str ns, rest;
    int64_t space;
};

/* The places of colons, the last first, of which the text before is a namespace. */
static enum status spaces_in(struct view *v, struct str text, struct split *p, size_t *n,
                             struct err *err)
{
    struct str names[SPLITS_MAX];
    struct q_ol_spaces_named_row row;
    struct sql_stmt *stmt = NULL;
    size_t m = 0;
    enum status st;

    *n = 0;
    for (size_t i = text.n; i > 0 && m < SPLITS_MAX; i--) {
        if (text.p[i - 1] == ':') names[m++] = str_sub(text, 0, i - 1);
    }
    if (m == 0) {
        return OK;
    }
    st = q_ol_spaces_named_open(v->conn, &stmt, names, m, err);
    while (!st && (st = q_ol_spaces_named_next(stmt, &row, err)) == OK) {
        for (size_t i = 0; i < m; i++) {
            if (str_eq(names[i], row.name)) {
                p[i] = (struct split){ names[i], str_sub(text, names[i].n + 1, text.n), row.uid };
            }
        }
    }
    sql_close(stmt);
    for (size_t i = 0; st == ST_END && i < m; i++) {
        if (p[i].space) p[(*n)++] = p[i];
    }
    return st == ST_END ? OK : st;
}

static enum status thing_in(struct view *v, bool job, int64_t space, struct str name, int64_t *uid,
                            struct err *err)
{
    struct q_ol_job_uid_row j = { 0 };
    struct q_ol_dataset_uid_row d = { 0 };
    enum status st = job ? q_ol_job_uid(v->conn, v->arena, space, name, &j, err)
                         : q_ol_dataset_uid(v->conn, v->arena, space, name, &d, err);

    if (!st && !(job ? j.shown : d.shown)) {
        return ST_NOT_FOUND;
    }
    *uid = job ? j.uid : d.uid;
    return st;
}

static bool is_field_of(struct view *v, int64_t set, struct str field, enum status *st,
                        struct err *err)
{
    struct q_field_find_row row;
    bool said;

    *st = q_field_find(v->conn, v->arena, set, field, &row, err);
    if (*st != ST_NOT_FOUND) {
        return !*st;
    }
    *st = ol_field_said(v, set, field, &said, err);
    return !*st && said;
}

/* NAME:FIELD: names may have colons, and so may fields; the longest name of a data set that has the field. */
static enum status field_in(struct view *v, const struct split *s, struct ol_node_id *out,
                            struct err *err)
{
    enum status st;
    size_t tried = 0;

    for (size_t i = s->rest.n; i > 1 && tried < SPLITS_MAX; i--) {
        struct str field = str_sub(s->rest, i, s->rest.n);

        if (s->rest.p[i - 1] != ':' || !field.n) {
            continue;
        }
        tried++;
        st = thing_in(v, false, s->space, str_sub(s->rest, 0, i - 1), &out->uid, err);
        if (!st && is_field_of(v, out->uid, field, &st, err)) {
            out->field = field;
            return OK;
        }
        if (st && st != ST_NOT_FOUND) {
            return st;
        }
    }
    return ST_NOT_FOUND;
}

/* What is behind the kind, without a version. */
static enum status named(struct view *v, struct str text, struct ol_node_id *out, struct err *err)
{
    struct split splits[SPLITS_MAX] = { 0 };
    size_t n;
    enum status st;

    if (out->kind == OL_NODE_RUN) {
        return ol_run_find(v, text, &out->uid, err);
    }
    st = spaces_in(v, text, splits, &n, err);
    for (size_t i = 0; !st && i < n; i++) {
        st = out->kind == OL_NODE_FIELD ? field_in(v, &splits[i], out, err)
                                        : thing_in(v, out->kind == OL_NODE_JOB, splits[i].space,
                                                   splits[i].rest, &out->uid, err);
        if (st != ST_NOT_FOUND) {
            return st;
        }
        st = OK;
    }
    return st ? st : ST_NOT_FOUND;
}

/* "#" and 36 characters of a UUID. */
static bool versioned(struct str text, struct str *name, struct str *version)
{
    unsigned char id[16];

    if (text.n < 38 || text.p[text.n - 37] != '#') {
        return false;
    }
    *name = str_sub(text, 0, text.n - 37);
    *version = str_sub(text, text.n - 36, 36);
    return ol_run_id_parse(*version, id);
}

enum status ol_node_parse(struct view *v, struct str text, struct ol_node_id *out, struct err *err)
{
    static const struct {
        struct str prefix;
        enum ol_node_kind kind;
    } kinds[] = { { { "dataset:", 8 }, OL_NODE_DATASET },
                  { { "job:", 4 }, OL_NODE_JOB },
                  { { "run:", 4 }, OL_NODE_RUN },
                  { { "datasetField:", 13 }, OL_NODE_FIELD } };
    struct str rest = { NULL, 0 }, name, version;
    enum status st;

    *out = (struct ol_node_id){ 0 };
    for (size_t i = 0; i < ARRAY_N(kinds); i++) {
        if (str_starts(text, kinds[i].prefix)) {
            out->kind = kinds[i].kind;
            rest = str_sub(text, kinds[i].prefix.n, text.n);
        }
    }
    if (!rest.n) {
        return err_field(
            err, ST_INVALID, "nodeId",
            "nodeId '%.*s' is not of the form dataset:NAMESPACE:NAME, job:NAMESPACE:NAME, "
            "datasetField:NAMESPACE:NAME:FIELD or run:ID",
            STR_ARG(text));
    }
    st = named(v, rest, out, err); /* a name may end like a version */
    if (st == ST_NOT_FOUND && versioned(rest, &name, &version)) {
        st = named(v, name, out, err);
        if (!st && out->kind != OL_NODE_JOB && out->kind != OL_NODE_RUN &&
            !ol_id_parse(version, OL_ID_VERSION, &out->version)) {
            st = ST_NOT_FOUND;
        }
    }
    if (st == ST_NOT_FOUND) {
        err_clear(err);
        return err_field(err, st, "nodeId", "Node '%.*s' not found.", STR_ARG(text));
    }
    return st;
}
