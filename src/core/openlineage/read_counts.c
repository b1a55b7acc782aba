/* core/openlineage/read_counts.c - see read_counts.h. */
#include "core/openlineage/read_counts.h"
#include "base/mem.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

/* Things up to this one. */
struct counted {
    int64_t last, n;
};
struct ol_counts {
    struct lock lock; /* guards the rest */
    struct counted jobs, events;
    uint64_t forgotten;
};

enum status ol_counts_new(struct ol_counts **out, struct err *err)
{
    struct ol_counts *c = (struct ol_counts *)mem_zalloc(1, sizeof(*c));

    *out = c;
    if (!c) {
        return err_nomem(err);
    }
    lock_init(&c->lock, LOCK_RANK_CACHE);
    return OK;
}

void ol_counts_free(struct ol_counts *c)
{
    if (c) {
        lock_release(&c->lock);
        mem_free(c);
    }
}

void ol_counts_forget(struct ol_counts *c)
{
    lock_take(&c->lock);
    c->jobs = c->events = (struct counted){ 0 };
    c->forgotten++;
    lock_give(&c->lock);
}

/* Jobs of namespaces that are hidden, and hidden ones of the others. */
static enum status hidden_jobs(struct view *v, int64_t *out, struct err *err)
{
    struct q_ol_jobs_hidden_row row = { 0 };
    struct q_ol_spaces_hidden_row space;
    struct sql_stmt *stmt = NULL;
    enum status st = q_ol_jobs_hidden(v->conn, v->arena, 0, &row, err);

    *out = row.n;
    st = st ? st : q_ol_spaces_hidden_open(v->conn, &stmt, 0, err);
    while (!st && (st = q_ol_spaces_hidden_next(stmt, &space, err)) == OK) {
        struct q_ol_ns_jobs_count_row n = { 0 };

        st = q_ol_ns_jobs_count(v->conn, v->arena, space.uid, &n, err);
        *out += n.n;
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static struct counted kept(struct ol_counts *c, const struct counted *x, uint64_t *forgotten)
{
    struct counted copy;

    lock_take(&c->lock);
    copy = *x;
    *forgotten = c->forgotten;
    lock_give(&c->lock);
    return copy;
}

static void keep(struct ol_counts *c, struct counted *x, struct counted was, struct counted now,
                 uint64_t forgotten)
{
    lock_take(&c->lock);
    if (now.n > was.n && c->forgotten == forgotten && x->last == was.last) {
        *x = now;
    }
    lock_give(&c->lock);
}

enum status ol_counts_jobs(struct view *v, int64_t *out, struct err *err)
{
    struct ol_counts *c = v->core->ol_counts;
    struct q_ol_jobs_since_row row = { 0 };
    uint64_t forgotten;
    struct counted was = kept(c, &c->jobs, &forgotten);
    int64_t hidden = 0;
    enum status st = q_ol_jobs_since(v->conn, v->arena, was.last, &row, err);

    st = st ? st : hidden_jobs(v, &hidden, err);
    *out = was.n + row.n - hidden;
    if (!st) keep(c, &c->jobs, was, (struct counted){ row.last, was.n + row.n }, forgotten);
    return st;
}

enum status ol_counts_events(struct view *v, int64_t *out, struct err *err)
{
    struct ol_counts *c = v->core->ol_counts;
    struct q_ol_events_since_row row = { 0 };
    uint64_t forgotten;
    struct counted was = kept(c, &c->events, &forgotten);
    enum status st = q_ol_events_since(v->conn, v->arena, was.last, &row, err);

    *out = was.n + row.n;
    if (!st) keep(c, &c->events, was, (struct counted){ row.last, was.n + row.n }, forgotten);
    return st;
}
