/* core/openlineage/columns.c - lineage by column, and links between whole things that lineage facets say. Columns are nodes of data sets,
 * not of versions, so that their number is bounded by what data has; `via` is the job that said it. */
#include "base/map.h"
#include "core/openlineage/ol_int.h"

enum { OP_SAID = 1, OP_TAKEN_BACK = 2, PAIRS_MAX = 1 << 20 };

/* A link that stands, or shall. */
struct pair {
    int64_t src, dst;
    struct str kind;
    struct str src_field, dst_field;
    int64_t src_ds, dst_ds;
    bool wanted;
};
struct diff {
    struct ol_work *w;
    int64_t via, dst_ds;
    struct str_map fields; /* data set and name -> uid */
    struct str_map pairs;  /* what stands, by src, dst, kind */
};

static struct str key_of(struct arena *a, int64_t x, int64_t y, struct str text)
{
    int64_t n[2] = { x, y };
    char *p = arena_alloc(a, sizeof(n) + text.n);

    if (!p) {
        return (struct str){ NULL, 0 };
    }
    memcpy(p, n, sizeof(n));
    if (text.n) memcpy(p + sizeof(n), text.p, text.n);
    return str_of(p, sizeof(n) + text.n);
}

/* The node of a column, made if it is not there. */
static enum status field_uid(struct diff *d, int64_t ds, struct str name, int64_t *uid,
                             struct err *err)
{
    struct ol_work *w = d->w;
    struct str key = key_of(w->a, ds, 0, name);
    int64_t *kept = key.p ? str_map_get(&d->fields, key) : NULL, ms = ol_ms(w->at.us);
    struct q_field_find_row row;
    enum status st;

    if (kept) {
        *uid = *kept;
        return OK;
    }
    kept = ARENA_NEW(w->a, int64_t);
    if (!key.p || !kept) {
        return err_nomem(err);
    }
    st = q_field_find(w->c, NULL, ds, name, &row, err);
    *uid = row.uid;
    if (st == ST_NOT_FOUND) {
        *uid = group_new_uid(w->g);
        st = q_field_insert(w->c, ds, name, *uid, ms, err);
        st = st ? st
                : q_column_edge_log_append(w->c, OP_SAID, ds, name, ds, S(""), 0, S("of"), ms,
                                           w->now_ms, *uid, ds, err);
    }
    *kept = *uid;
    return st || !str_map_put(&d->fields, key, kept) ? st : err_nomem(err);
}

static enum status what_stands(struct diff *d, struct err *err)
{
    struct ol_work *w = d->w;
    struct sql_stmt *stmt = NULL;
    struct q_ol_column_edges_row row;
    enum status st = q_ol_column_edges_open(w->c, &stmt, d->dst_ds, d->via, err);

    while (!st && (st = q_ol_column_edges_next(stmt, &row, err)) == OK) {
        struct pair *p = ARENA_NEW(w->a, struct pair);
        struct str key = key_of(w->a, row.src, row.dst, row.kind);

        if (!p || !key.p) {
            st = err_nomem(err);
            break;
        }
        *p = (struct pair){ .src = row.src,
                            .dst = row.dst,
                            .kind = str_sub(key, 2 * sizeof(int64_t), key.n),
                            .src_field = arena_str(w->a, row.src_field),
                            .dst_field = arena_str(w->a, row.dst_field),
                            .src_ds = row.src_ds,
                            .dst_ds = d->dst_ds };
        if (!p->src_field.p || !p->dst_field.p || str_map_put(&d->pairs, key, p)) {
            st = err_nomem(err);
            break;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status append(struct diff *d, int64_t op, const struct pair *p, struct err *err)
{
    struct ol_work *w = d->w;

    return q_column_edge_log_append(w->c, op, p->src_ds, p->src_field, p->dst_ds, p->dst_field,
                                    d->via, p->kind, op == OP_SAID ? ol_ms(w->at.us) : w->now_ms,
                                    w->now_ms, p->src, p->dst, err);
}

/* A pair stands in the log as long as one job, or none in particular, says so. */
static enum status add(struct diff *d, const struct pair *p, struct err *err)
{
    struct q_column_edge_pair_row row;
    struct ol_work *w = d->w;
    int64_t n = 0;
    enum status st = q_column_edge_add(w->c, p->src_ds, p->src_field, p->dst_ds, p->dst_field,
                                       d->via, p->kind, ol_ms(w->at.us), p->src, p->dst, &n, err);

    if (st || !n) {
        return st;
    }
    st = q_column_edge_pair(w->c, NULL, p->src, p->dst, p->kind, &row, err);
    return st || row.n != 1 ? st : append(d, OP_SAID, p, err);
}

static enum status drop(struct diff *d, const struct pair *p, struct err *err)
{
    struct q_column_edge_pair_row row;
    struct ol_work *w = d->w;
    int64_t n = 0;
    enum status st = q_column_edge_delete(w->c, p->src, p->dst, d->via, p->kind, &n, err);

    st = st ? st : q_column_edge_pair(w->c, NULL, p->src, p->dst, p->kind, &row, err);
    return st || row.n != 0 ? st : append(d, OP_TAKEN_BACK, p, err);
}

static enum status want(struct diff *d, const struct ol_column *c, struct err *err)
{
    struct pair p = { .dst_ds = d->dst_ds,
                      .src_field = c->from_field,
                      .dst_field = c->field,
                      .kind = c->kind,
                      .wanted = true };
    struct pair *stands;
    struct ol_set *from;
    struct str key;
    enum status st = ol_get_set(d->w, &c->from, &from, err);

    if (st) {
        return st;
    }
    p.src_ds = from->obj.uid;
    st = field_uid(d, p.src_ds, c->from_field, &p.src, err);
    st = st ? st : field_uid(d, p.dst_ds, c->field, &p.dst, err);
    if (st) {
        return st;
    }
    key = key_of(d->w->a, p.src, p.dst, p.kind);
    if (!key.p) {
        return err_nomem(err);
    }
    stands = str_map_get(&d->pairs, key);
    if (stands) {
        stands->wanted = true;
        return OK;
    }
    stands = ARENA_NEW(d->w->a, struct pair);
    if (!stands || str_map_put(&d->pairs, key, stands)) {
        return err_nomem(err);
    }
    *stands = p;
    return add(d, &p, err);
}

static enum status bring_in_line(struct ol_work *w, int64_t via, const struct ol_set *set,
                                 const struct ol_dataset *said, struct err *err)
{
    struct diff d = { .w = w,
                      .via = via,
                      .dst_ds = set->obj.uid,
                      .fields = STR_MAP_INIT(PAIRS_MAX),
                      .pairs = STR_MAP_INIT(PAIRS_MAX) };
    struct str key;
    void *value;
    enum status st = what_stands(&d, err);

    for (size_t i = 0; !st && i < said->columns_n; i++) {
        st = want(&d, &said->columns[i], err);
    }
    for (size_t at = 0; !st && str_map_next(&d.pairs, &at, &key, &value);) {
        const struct pair *p = value;

        st = p->wanted ? OK : drop(&d, p, err);
    }
    str_map_release(&d.fields);
    str_map_release(&d.pairs);
    return st;
}

enum status ol_columns_say(struct ol_work *w, struct ol_job *job, struct ol_set *set,
                           const struct ol_dataset *d, struct err *err)
{
    int64_t via = job ? job->obj.uid : 0;
    struct q_ol_columns_get_row row = { 0 };
    struct ol_set *from;
    bool known;
    enum status st = OK;

    for (size_t i = 0; !st && i < d->columns_n; i++) { /* also where another event's word holds */
        st = ol_get_set(w, &d->columns[i].from, &from, err);
    }
    st = st ? st : q_ol_columns_get(w->c, NULL, via, set->obj.uid, &row, err);
    known = !st;
    if (st && st != ST_NOT_FOUND) {
        return st;
    }
    if (known && !ol_newer(w->at, (struct ol_stamp){ row.event_us, row.h })) {
        return OK;
    }
    st = known && row.value_h == d->columns_h ? OK : bring_in_line(w, via, set, d, err);
    return st ? st
              : q_ol_columns_put(w->c, via, set->obj.uid, w->at.us, w->at.h, d->columns_h, err);
}

/* ---- whole things ------------------------------------------------------------------------------------------------------------ */

static enum status end_of(struct ol_work *w, struct ol_job *own, const struct ol_end *e,
                          int64_t *uid, struct err *err)
{
    struct ol_set *set;
    struct ol_job *job = own;
    enum status st = OK;

    *uid = 0;
    if (!e->is_job) {
        st = ol_get_set(w, &e->name, &set, err);
        *uid = st ? 0 : set->obj.uid;
        return st;
    }
    if (e->name.name.p) {
        st = ol_get_job(w, &e->name, &job, err);
    }
    *uid = st || !job ? 0 : job->obj.uid;
    return st;
}

enum status ol_links_say(struct ol_work *w, struct ol_job *job, int64_t of, bool holds,
                         const struct ol_said_link *links, size_t n, struct err *err)
{
    int64_t src, dst;
    enum status st = holds ? q_ol_links_drop(w->c, of, err) : OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = end_of(w, job, &links[i].src, &src, err);
        st = st ? st : end_of(w, job, &links[i].dst, &dst, err);
        if (!st && holds && src && dst) {
            st = q_ol_link_put(w->c, of, job ? job->obj.uid : 0, src, dst, w->at.us, err);
        }
    }
    return st;
}
