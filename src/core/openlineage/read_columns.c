/* core/openlineage/read_columns.c - lineage by column. Links are those of the graph (column_edge); what facets say of the transformation is
 * read from the data sets that are shown. */
#include "base/map.h"
#include "core/graph/graph.h"
#include "core/openlineage/read_int.h"

struct pair {
    int64_t src, dst;
    struct str kind;
};
struct columns {
    struct view *v;
    struct int_map places; /* column -> 1 + place in p */
    struct ol_column_node *p;
    int64_t *uids;
    size_t n, cap, uids_cap, max;
    struct pair *pairs;
    size_t pairs_n, pairs_cap;
    bool partial;
};

static enum status meet(struct columns *c, int64_t uid, struct err *err)
{
    size_t n = c->n;

    if (int_map_get(&c->places, (uint64_t)uid)) {
        return OK;
    }
    if (c->n >= c->max) {
        c->partial = true;
        return OK;
    }
    if (!arena_grow(c->v->arena, (void **)&c->p, c->n, &c->cap, sizeof(*c->p)) ||
        !arena_grow(c->v->arena, (void **)&c->uids, n, &c->uids_cap, sizeof(*c->uids)) ||
        int_map_put(&c->places, (uint64_t)uid, (void *)(uintptr_t)(c->n + 1))) {
        return err_nomem(err);
    }
    c->p[c->n] = (struct ol_column_node){ 0 };
    c->uids[c->n++] = uid;
    return OK;
}

static enum status fields_of_sets(struct columns *c, const int64_t *sets, size_t n, struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < n; at += OL_LIST_MAX) {
        struct q_ol_fields_of_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_fields_of_open(c->v->conn, &stmt, sets + at, MIN_OF(n - at, (size_t)OL_LIST_MAX),
                                 (int64_t)c->max + 1, err);
        while (!st && (st = q_ol_fields_of_next(stmt, &row, err)) == OK) {
            st = meet(c, row.uid, err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

static enum status begin(struct columns *c, const struct ol_node_id *start, struct err *err)
{
    struct q_field_find_row row;
    struct ol_graph_link *links;
    struct ol_run_view *run;
    int64_t job = start->uid, *sets;
    size_t n, m = 0;
    bool more;
    enum status st = OK;

    if (start->kind == OL_NODE_FIELD) {
        st = q_field_find(c->v->conn, c->v->arena, start->uid, start->field, &row, err);
        return st == ST_NOT_FOUND ? OK : st ? st : meet(c, row.uid, err);
    }
    if (start->kind == OL_NODE_DATASET) {
        return fields_of_sets(c, &start->uid, 1, err);
    }
    if (start->kind == OL_NODE_RUN) {
        st = ol_runs(c->v, &start->uid, 1, 0, &run, err);
        job = st ? 0 : run->job;
    }
    st = st ? st : ol_io_of_jobs(c->v, &job, 1, OL_GRAPH_LINKS_MAX, &links, &n, &more, err);
    if (st) {
        return st;
    }
    c->partial = c->partial || more;
    sets = ARENA_ARRAY(c->v->arena, int64_t, n + 1);
    for (size_t i = 0; sets && i < n; i++) {
        if (links[i].writes) sets[m++] = links[i].dataset;
    }
    return sets ? fields_of_sets(c, sets, m, err) : err_nomem(err);
}

/* Links of the columns from..to, up or down; other ends are met. */
static enum status step(struct columns *c, const int64_t *uids, size_t n, bool down,
                        struct err *err)
{
    enum status st = OK;

    for (size_t at = 0; !st && at < n; at += OL_LIST_MAX) {
        size_t some = MIN_OF(n - at, (size_t)OL_LIST_MAX);
        struct q_ol_columns_up_row up = { 0 };
        struct q_ol_columns_down_row dn = { 0 };
        struct sql_stmt *stmt = NULL;
        int64_t max = (int64_t)(OL_GRAPH_LINKS_MAX - c->pairs_n) + 1;

        st = down ? q_ol_columns_down_open(c->v->conn, &stmt, uids + at, some, max, err)
                  : q_ol_columns_up_open(c->v->conn, &stmt, uids + at, some, max, err);
        while (!st) {
            struct pair x;

            st = down ? q_ol_columns_down_next(stmt, &dn, err)
                      : q_ol_columns_up_next(stmt, &up, err);
            if (!st && c->pairs_n == OL_GRAPH_LINKS_MAX) {
                c->partial = true;
                break;
            }
            if (st) {
                break;
            }
            x = down ? (struct pair){ dn.src, dn.dst, dn.kind }
                     : (struct pair){ up.src, up.dst, up.kind };
            if (!view_keep(c->v, &x.kind) || !arena_grow(c->v->arena, (void **)&c->pairs,
                                                         c->pairs_n, &c->pairs_cap, sizeof(x))) {
                st = err_nomem(err);
                break;
            }
            c->pairs[c->pairs_n++] = x;
            st = meet(c, down ? x.dst : x.src, err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

/* Everything within depth steps of the first `starts` columns. */
static enum status walk(struct columns *c, size_t starts, unsigned depth, bool down,
                        struct err *err)
{
    struct int_map been = INT_MAP_INIT(OL_GRAPH_NODES_MAX + 1);
    int64_t *level = c->uids, *next;
    size_t n = starts, m;
    enum status st = OK;

    for (unsigned i = 0; !st && i < depth && n; i++) {
        size_t pairs = c->pairs_n;

        st = step(c, level, n, down, err);
        next = ARENA_ARRAY(c->v->arena, int64_t, c->pairs_n - pairs + 1);
        if (!st && !next) st = err_nomem(err);
        for (size_t k = 0; !st && k < n; k++) {
            if (int_map_put(&been, (uint64_t)level[k], c)) st = err_nomem(err);
        }
        m = 0;
        for (size_t k = pairs; !st && k < c->pairs_n; k++) {
            int64_t uid = down ? c->pairs[k].dst : c->pairs[k].src;

            if (int_map_get(&c->places, (uint64_t)uid) && !int_map_get(&been, (uint64_t)uid)) {
                next[m++] = uid;
                if (int_map_put(&been, (uint64_t)uid, c)) st = err_nomem(err);
            }
        }
        level = next;
        n = m;
    }
    int_map_release(&been);
    return st;
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------------------- */

static enum status name_columns(struct columns *c, struct err *err)
{
    int64_t *sorted;
    size_t m;
    enum status st = ol_sorted(c->v->arena, c->uids, c->n, &sorted, &m, err);

    for (size_t at = 0; !st && at < m; at += OL_LIST_MAX) {
        struct q_ol_fields_row row;
        struct sql_stmt *stmt = NULL;

        st = q_ol_fields_open(c->v->conn, &stmt, sorted + at, MIN_OF(m - at, (size_t)OL_LIST_MAX),
                              err);
        while (!st && (st = q_ol_fields_next(stmt, &row, err)) == OK) {
            uintptr_t at_p = (uintptr_t)int_map_get(&c->places, (uint64_t)row.uid);
            struct ol_column_node *x = &c->p[at_p - 1];

            x->dataset = row.ds;
            x->field = row.name;
            if (!view_keep(c->v, &x->field)) st = err_nomem(err);
        }
        sql_close(stmt);
        st = st == ST_END ? OK : st;
    }
    return st;
}

/* What facets of data sets say. */
struct said {
    struct arena *a;
    struct ol_said_column *p;
    size_t n, cap, in_cap;
};

static enum status one_input(void *ctx, struct str unused, struct str json, struct err *err)
{
    struct said *s = (struct said *)ctx;
    struct ol_said_column *c = &s->p[s->n - 1];
    struct ol_said_input x = { .from = { json_peek_text(s->a, json, "namespace"),
                                         json_peek_text(s->a, json, "name") },
                               .field = json_peek_text(s->a, json, "field") };
    struct str more = json_peek(json, "transformations").raw;

    (void)unused;
    if (!x.from.ns.p || !x.from.name.p || !x.field.p) {
        return OK;
    }
    if (more.p && more.n > 2) { /* of a list the first: its reader stops behind it */
        struct str first = str_trim(str_sub(more, 1, more.n - 2));
        struct str sub = json_peek_text(s->a, first, "subtype");

        x.type = sub.p ? sub : json_peek_text(s->a, first, "type");
        x.description = json_peek_text(s->a, first, "description");
    }
    if (!arena_grow(s->a, (void **)&c->in, c->in_n, &s->in_cap, sizeof(x))) {
        return err_nomem(err);
    }
    c->in[c->in_n++] = x;
    return OK;
}

static enum status one_output(void *ctx, struct str key, struct str json, struct err *err)
{
    struct said *s = (struct said *)ctx;
    struct str type = json_peek_text(s->a, json, "transformationType");
    struct str description = json_peek_text(s->a, json, "transformationDescription");
    struct ol_said_column *c;
    enum status st;

    if (!arena_grow(s->a, (void **)&s->p, s->n, &s->cap, sizeof(*s->p))) {
        return err_nomem(err);
    }
    c = &s->p[s->n++];
    *c = (struct ol_said_column){ .field = key };
    s->in_cap = 0;
    st = json_peek_each(json_peek(json, "inputFields").raw, s->a, one_input, s, err);
    for (size_t i = 0; !st && i < c->in_n; i++) {
        if (!c->in[i].type.p) c->in[i].type = type;
        if (!c->in[i].description.p) c->in[i].description = description;
    }
    return st;
}

enum status ol_columns_said(struct view *v, const struct ol_dataset_view *d,
                            struct ol_said_column **out, size_t *n, struct err *err)
{
    struct said s = { .a = v->arena };
    struct str facet = ol_facet_of(d->facets, d->facets_n, S("columnLineage"));
    enum status st = json_peek_each(json_peek(facet, "fields").raw, v->arena, one_output, &s, err);

    *out = s.p;
    *n = s.n;
    return st;
}

/* The facets of a data set, taken apart once for all its columns. */
struct of_input {
    struct str field;
    const struct ol_said_input *x;
    size_t at;
};
struct of_set {
    struct of_input *p; /* by by_input() */
    size_t n;
};

/* Of several for one column the first comes first. */
static int by_from(const struct of_input *x, const struct of_input *y)
{
    int d = str_cmp(x->field, y->field);

    d = d ? d : str_cmp(x->x->field, y->x->field);
    d = d ? d : str_cmp(x->x->from.name, y->x->from.name);
    return d ? d : str_cmp(x->x->from.ns, y->x->from.ns);
}

static int by_input(const void *a, const void *b)
{
    const struct of_input *x = (const struct of_input *)a, *y = (const struct of_input *)b;
    int d = by_from(x, y);

    return d ? d : x->at < y->at ? -1 : x->at > y->at;
}

static enum status take_apart(struct view *v, const struct ol_dataset_view *d, struct of_set *out,
                              struct err *err)
{
    struct ol_said_column *said;
    size_t n, all = 0;
    enum status st = ol_columns_said(v, d, &said, &n, err);

    for (size_t i = 0; !st && i < n; i++) {
        all += said[i].in_n;
    }
    out->p = st ? NULL : ARENA_ARRAY(v->arena, struct of_input, all + 1);
    if (st || !out->p) {
        return st ? st : err_nomem(err);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < said[i].in_n; k++, out->n++) {
            out->p[out->n] = (struct of_input){ said[i].field, &said[i].in[k], out->n };
        }
    }
    if (out->n > 1) qsort(out->p, out->n, sizeof(*out->p), by_input);
    return OK;
}

static void transformation(const struct of_set *said, struct str field, const struct ol_name *from,
                           struct str from_field, struct ol_column_input *in)
{
    struct ol_said_input wanted = { .from = *from, .field = from_field };
    struct of_input key = { field, &wanted, 0 };
    size_t lo = 0, hi = said->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (by_from(&said->p[mid], &key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo < said->n && by_from(&said->p[lo], &key) == 0) {
        if (said->p[lo].x->type.p) in->type = said->p[lo].x->type;
        in->description = said->p[lo].x->description;
    }
}

static int by_pair(const void *a, const void *b)
{
    const struct pair *x = (const struct pair *)a, *y = (const struct pair *)b;

    return x->dst != y->dst ? (x->dst < y->dst ? -1 : 1) : x->src < y->src ? -1 : x->src > y->src;
}

static enum status link_columns(struct columns *c, const struct ol_dataset_view *sets,
                                struct err *err)
{
    struct int_map of = INT_MAP_INIT(OL_GRAPH_NODES_MAX + 1); /* data set -> struct of_set */
    enum status st = OK;

    if (c->pairs_n > 1) qsort(c->pairs, c->pairs_n, sizeof(*c->pairs), by_pair);
    for (size_t i = 0; !st && i < c->pairs_n;) {
        uintptr_t at = (uintptr_t)int_map_get(&c->places, (uint64_t)c->pairs[i].dst);
        size_t from = i, cap = 0;

        while (i < c->pairs_n && c->pairs[i].dst == c->pairs[from].dst)
            i++;
        if (at && c->p[at - 1].dataset && !int_map_get(&of, (uint64_t)c->p[at - 1].dataset)) {
            struct of_set *x = ARENA_NEW(c->v->arena, struct of_set);

            st = x && !int_map_put(&of, (uint64_t)c->p[at - 1].dataset, x)
                     ? take_apart(c->v, &sets[at - 1], x, err)
                     : err_nomem(err);
        }
        for (size_t k = from; !st && at && c->p[at - 1].dataset && k < i; k++) {
            struct ol_column_node *x = &c->p[at - 1];
            uintptr_t src = (uintptr_t)int_map_get(&c->places, (uint64_t)c->pairs[k].src);
            struct ol_column_input in = { .type = c->pairs[k].kind };

            if (!src || !c->p[src - 1].dataset ||
                (k > from && c->pairs[k].src == c->pairs[k - 1].src)) {
                continue;
            }
            in.column = (uint32_t)(src - 1);
            transformation((const struct of_set *)int_map_get(&of, (uint64_t)x->dataset), x->field,
                           &sets[src - 1].name, c->p[src - 1].field, &in);
            if (!arena_grow(c->v->arena, (void **)&x->in, x->in_n, &cap, sizeof(in))) {
                st = err_nomem(err);
            }
            if (!st) x->in[x->in_n++] = in;
        }
    }
    int_map_release(&of);
    return st;
}

struct column_at {
    int64_t dataset;
    size_t at;
};

static int by_dataset(const void *a, const void *b)
{
    const struct column_at *x = (const struct column_at *)a, *y = (const struct column_at *)b;

    return x->dataset != y->dataset ? (x->dataset < y->dataset ? -1 : 1)
           : x->at < y->at          ? -1
                                    : x->at > y->at;
}

/* Of all columns of a data set at once. */
static enum status put_types(struct columns *c, const struct ol_dataset_view *sets, struct err *err)
{
    struct column_at *order = ARENA_ARRAY(c->v->arena, struct column_at, c->n + 1);
    enum status st = order ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < c->n; i++) {
        order[i] = (struct column_at){ c->p[i].dataset, i };
    }
    if (!st && c->n > 1) qsort(order, c->n, sizeof(*order), by_dataset);
    for (size_t i = 0, end; !st && i < c->n; i = end) {
        const struct ol_dataset_view *d = &sets[order[i].at];
        struct str_map types = STR_MAP_INIT(d->fields_n + 1);

        for (size_t k = 0; !st && order[i].dataset && k < d->fields_n; k++) {
            st = str_map_put(&types, d->fields[k].name, &d->fields[k]) ? err_nomem(err) : OK;
        }
        for (end = i; end < c->n && order[end].dataset == order[i].dataset; end++) {
            struct ol_column_node *x = &c->p[order[end].at];
            const struct ol_field_view *f =
                d->fields_n ? (const struct ol_field_view *)str_map_get(&types, x->field) : NULL;

            if (f) x->type = f->type;
        }
        str_map_release(&types);
    }
    return st;
}

/* Columns of data sets of other tongues, and of hidden ones, are left out: their data set is 0. */
static enum status describe(struct columns *c, struct err *err)
{
    int64_t *sets = ARENA_ARRAY(c->v->arena, int64_t, c->n + 1),
            *known = ARENA_ARRAY(c->v->arena, int64_t, c->n + 1);
    struct ol_dataset_view *d, *all = ARENA_ARRAY(c->v->arena, struct ol_dataset_view, c->n + 1);
    struct ol_name *names;
    size_t m = 0;
    enum status st = sets && known && all ? OK : err_nomem(err);

    for (size_t i = 0; !st && i < c->n; i++) {
        sets[i] = c->p[i].dataset;
    }
    st = st ? st : ol_dataset_names(c->v, sets, c->n, false, &names, err);
    for (size_t i = 0; !st && i < c->n; i++) {
        if (names[i].name.p)
            known[m++] = sets[i];
        else
            c->p[i].dataset = 0;
    }
    st = st ? st : ol_datasets(c->v, known, m, OL_WITH_FACETS, &d, err);
    for (size_t i = 0, k = 0; !st && i < c->n; i++) {
        if (c->p[i].dataset) all[i] = d[k++];
    }
    st = st ? st : put_types(c, all, err);
    return st ? st : link_columns(c, all, err);
}

enum status ol_column_lineage(struct view *v, const struct ol_node_id *start, unsigned depth,
                              bool down, size_t max, struct ol_column_graph *out, struct err *err)
{
    struct columns c = { .v = v, .max = max, .places = INT_MAP_INIT(OL_GRAPH_NODES_MAX + 1) };
    enum status st = begin(&c, start, err);
    size_t starts = c.n;

    st = st ? st : walk(&c, starts, depth, false, err);
    if (!st && down) {
        st = walk(&c, starts, depth, true, err);
    }
    st = st ? st : name_columns(&c, err);
    st = st ? st : describe(&c, err);
    int_map_release(&c.places);
    *out = (struct ol_column_graph){ c.p, c.n, c.partial };
    return st;
}
