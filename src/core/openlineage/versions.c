/* core/openlineage/versions.c - which versions runs read and make, and the links that say so.
 *
 * What an input without a version is bound to depends on what is known of its data set at a time, and that may change later: an older event
 * arrives, a run says later which version it made. So each change of a version looks for the inputs that it concerns: those that begin
 * before the second version behind it (the first one may be the reader's own). Mostly there are none, which is known without a question. */
#include "core/openlineage/ol_int.h"

static const struct str no_text = { NULL, 0 };

/* ---- links -------------------------------------------------------------------------------------------------------------------- */

enum status ol_edge_add(struct ol_work *w, int64_t src, int64_t dst, enum edge_role role,
                        int64_t us, struct err *err)
{
    enum status st = q_ol_edge_add(w->c, src, dst, role, ol_ms(us), err);

    return st ? st : q_edge_log_append(w->c, 1, src, dst, role, no_text, ol_ms(us), w->now_ms, err);
}

enum status ol_edge_drop(struct ol_work *w, int64_t src, int64_t dst, enum edge_role role,
                         int64_t us, struct err *err)
{
    enum status st = q_ol_edge_drop(w->c, src, dst, role, err);

    return st ? st : q_edge_log_append(w->c, 2, src, dst, role, no_text, ol_ms(us), w->now_ms, err);
}

/* From one end to another (0: none), or since another time. */
static enum status input_moves(struct ol_work *w, int64_t run, int64_t from, int64_t to, int64_t us,
                               struct err *err)
{
    enum status st = from ? ol_edge_drop(w, from, run, EDGE_INPUT, us, err) : OK;

    return st || !to ? st : ol_edge_add(w, to, run, EDGE_INPUT, us, err);
}

static enum status output_moves(struct ol_work *w, int64_t run, int64_t from, int64_t to,
                                int64_t us, struct err *err)
{
    enum status st = from ? ol_edge_drop(w, run, from, EDGE_OUTPUT, us, err) : OK;

    return st || !to ? st : ol_edge_add(w, run, to, EDGE_OUTPUT, us, err);
}

/* ---- binding ------------------------------------------------------------------------------------------------------------------ */

struct newest {
    int64_t uid, us, ord;
};

/* The newest at most two versions that were known at a time. */
static enum status before(struct ol_work *w, int64_t dataset, int64_t us, struct newest out[2],
                          struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_ol_versions_before_row row;
    size_t n = 0;
    enum status st = ol_flush(w, true, err);

    out[0] = out[1] = (struct newest){ 0, 0, 0 };
    st = st ? st : q_ol_versions_before_open(w->c, &stmt, dataset, us, 2, err);
    while (!st && (st = q_ol_versions_before_next(stmt, &row, err)) == OK) {
        out[n++] = (struct newest){ row.uid, row.event_us, row.ord };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status bind(struct ol_work *w, struct ol_set *set, int64_t us, int64_t own,
                        int64_t *out, struct err *err)
{
    struct newest n[2];
    enum status st = OK;

    if (!set->has_top) {
        st = before(w, set->obj.uid, INT64_MAX, n, err);
        if (st) {
            return st;
        }
        set->has_top = true;
        set->top = n[0].uid;
        set->top_us = n[0].us;
        set->top_ord = n[0].ord;
    }
    if (set->top && set->top_us <= us && set->top != own) {
        *out = set->top;
        return OK;
    }
    st = before(w, set->obj.uid, us, n, err);
    *out = n[0].uid && n[0].uid != own ? n[0].uid : n[1].uid ? n[1].uid : set->found;
    return st;
}

struct read_at {
    int64_t run, us, version, own;
};

static enum status reads_between(struct ol_work *w, int64_t dataset, int64_t from, int64_t until,
                                 struct read_at **out, size_t *n, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_ol_reads_between_row row;
    size_t cap = 0;
    enum status st = q_ol_reads_between_open(w->c, &stmt, dataset, from, until, err);

    *out = NULL;
    *n = 0;
    while (!st && (st = q_ol_reads_between_next(stmt, &row, err)) == OK) {
        if (!arena_grow(w->a, (void **)out, *n, &cap, sizeof(**out))) {
            st = err_nomem(err);
            break;
        }
        (*out)[(*n)++] = (struct read_at){ row.run, row.event_us, row.version, row.own };
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

/* Up to when inputs may be concerned by what happened to a version at (us, ord). */
static enum status concerned_until(struct ol_work *w, int64_t dataset, int64_t us, int64_t ord,
                                   int64_t *until, struct err *err)
{
    struct sql_stmt *stmt = NULL;
    struct q_ol_versions_after_row row;
    size_t n = 0;
    enum status st = ol_flush(w, true, err);

    *until = INT64_MAX;
    st = st ? st : q_ol_versions_after_open(w->c, &stmt, dataset, us, ord, 2, err);
    while (!st && (st = q_ol_versions_after_next(stmt, &row, err)) == OK) {
        if (++n == 2) {
            *until = row.event_us;
        }
    }
    sql_close(stmt);
    return st == ST_END ? OK : st;
}

static enum status read_newest(struct ol_work *w, struct ol_set *set, struct err *err)
{
    struct q_ol_newest_read_row row;
    enum status st;

    if (set->has_read) {
        return OK;
    }
    st = q_ol_newest_read(w->c, NULL, set->obj.uid, &row, err);
    set->read_us = st ? INT64_MIN : row.event_us;
    set->has_read = !st || st == ST_NOT_FOUND;
    return st == ST_NOT_FOUND ? OK : st;
}

/* Inputs since `from` are bound again, as far as what happened at (us, ord) concerns them. */
static enum status rebind(struct ol_work *w, struct ol_set *set, int64_t from, int64_t us,
                          int64_t ord, struct err *err)
{
    struct read_at *reads;
    int64_t until, to;
    size_t n;
    enum status st = read_newest(w, set, err);

    if (st || set->read_us == INT64_MIN || from > set->read_us) {
        return st;
    }
    st = concerned_until(w, set->obj.uid, us, ord, &until, err);
    st = st ? st : reads_between(w, set->obj.uid, from, until, &reads, &n, err);
    for (size_t i = 0; !st && i < n; i++) {
        const struct read_at *r = &reads[i];

        st = bind(w, set, r->us, r->own, &to, err);
        if (!st && to != r->version) {
            st = input_moves(w, r->run, r->version, to, r->us, err);
            st = st ? st : q_ol_read_put(w->c, r->run, set->obj.uid, r->us, to, r->own, err);
        }
    }
    return st;
}

/* ---- versions ------------------------------------------------------------------------------------------------------------------ */

static enum status version_becomes(struct ol_work *w, struct ol_set *set, struct ol_version *v,
                                   bool is_new, bool live, int64_t us, struct err *err)
{
    bool was = v->live && !is_new;
    int64_t old = v->obj.create_us;
    enum status st = OK;

    if (!is_new && v->live == live && old == us) {
        return OK;
    }
    if (v->live != live) {
        st = ol_version_of_set(w, v, live, err);
    }
    v->live = live;
    v->obj.create_us = us;
    ol_dirty(w, &v->obj);
    if (set->has_top) {
        bool above = !set->top || us > set->top_us || (us == set->top_us && v->ord > set->top_ord);

        if (live && above) {
            set->top = v->obj.uid;
            set->top_us = us;
            set->top_ord = v->ord;
        } else if (set->top == v->obj.uid) {
            set->has_top = false;
        }
    }
    if (st || !live) {
        return st || !was ? st : rebind(w, set, old, old, v->ord, err);
    }
    return rebind(w, set, us, was ? MAX_OF(old, us) : us, v->ord, err);
}

enum status ol_version_found(struct ol_work *w, struct ol_set *set, struct err *err)
{
    struct ol_version *v;
    bool made;
    enum status st;

    if (set->found) {
        return OK;
    }
    st = ol_get_version(w, set->obj.uid, no_text, NULL, OL_EVER, &v, &made, err);
    if (!st) {
        set->found = v->obj.uid;
        ol_dirty(w, &set->obj);
        st = version_becomes(w, set, v, made, true, OL_EVER, err);
    }
    return st;
}

enum status ol_version_named(struct ol_work *w, struct ol_set *set, struct str name,
                             struct ol_version **out, struct err *err)
{
    bool made;
    enum status st = ol_get_version(w, set->obj.uid, name, NULL, w->at.us, out, &made, err);

    if (!st && (made || w->at.us < (*out)->obj.create_us)) {
        st = version_becomes(w, set, *out, made, true, w->at.us, err);
    }
    return st;
}

/* ---- what a run reads and makes -------------------------------------------------------------------------------------------------- */

static enum status own_version(struct ol_work *w, struct ol_run *run, struct ol_set *set,
                               struct ol_io_entry *x, bool live, struct err *err)
{
    struct ol_version *v;
    bool made;
    enum status st = ol_get_version(w, x->dataset, no_text, run, x->first_us, &v, &made, err);

    if (!st) {
        x->own = v->obj.uid;
        st = version_becomes(w, set, v, made, live, x->first_us, err);
    }
    return st;
}

static enum status settle_output(struct ol_work *w, struct ol_run *run, struct ol_io_entry *x,
                                 bool on, struct err *err)
{
    struct ol_io_entry *in;
    struct ol_version *v;
    struct ol_set *set;
    int64_t to = 0;
    bool made;
    enum status st = ol_set_of_uid(w, x->dataset, &set, err);

    if (!st && on && x->text.p) {
        st = ol_get_version(w, x->dataset, x->text, NULL, x->first_us, &v, &made, err);
        to = st ? 0 : v->obj.uid;
    } else if (!st && on) {
        st = own_version(w, run, set, x, true, err);
        to = x->own;
    }
    if (!st && x->own && to != x->own) {
        st = own_version(w, run, set, x, false, err);
    }
    if (st || (to == x->version && !(to && x->moved))) {
        return st;
    }
    if (to != x->version) {
        in = ol_entry_of(run, OL_IN, x->dataset);
        if (in) {
            in->touched = true;
        }
    }
    st = output_moves(w, run->obj.uid, x->version, to, x->first_us, err);
    x->version = to;
    return st;
}

static enum status settle_read(struct ol_work *w, struct ol_run *run, struct ol_io_entry *x,
                               struct err *err)
{
    const struct ol_io_entry *made = ol_entry_of(run, OL_OUT, x->dataset);
    int64_t own = made ? made->version : 0, from = x->version, to;
    struct q_ol_read_get_row row;
    struct ol_set *set;
    enum status st;

    if (x->is_read && !x->moved && own == x->own) {
        return OK;
    }
    st = ol_set_of_uid(w, x->dataset, &set, err);
    if (!st && x->is_read) {
        st = q_ol_read_get(w->c, NULL, run->obj.uid, x->dataset, &row, err);
        from = st ? 0 : row.version;
    }
    st = st ? st : read_newest(w, set, err);
    st = st ? st : bind(w, set, x->first_us, own, &to, err);
    st = st ? st : q_ol_read_put(w->c, run->obj.uid, x->dataset, x->first_us, to, own, err);
    if (!st && (from != to || x->moved)) {
        st = input_moves(w, run->obj.uid, from, to, x->first_us, err);
    }
    if (!st) {
        set->read_us = MAX_OF(set->read_us, x->first_us);
        x->is_read = true;
        x->version = 0;
        x->own = own;
    }
    return st;
}

static enum status settle_input(struct ol_work *w, struct ol_run *run, struct ol_io_entry *x,
                                bool on, struct err *err)
{
    struct q_ol_read_get_row row;
    int64_t from = x->version, to = 0;
    struct ol_version *v;
    bool made;
    enum status st = OK;

    if (on && !x->text.p) {
        return settle_read(w, run, x, err);
    }
    if (x->is_read) {
        st = q_ol_read_get(w->c, NULL, run->obj.uid, x->dataset, &row, err);
        from = st ? 0 : row.version;
        st = st ? st : q_ol_read_drop(w->c, run->obj.uid, x->dataset, err);
        x->is_read = false;
        x->own = 0;
    }
    if (!st && on) {
        st = ol_get_version(w, x->dataset, x->text, NULL, x->first_us, &v, &made, err);
        to = st ? 0 : v->obj.uid;
    }
    if (st || (to == from && !(to && x->moved))) {
        x->version = to;
        return st;
    }
    x->version = to;
    return input_moves(w, run->obj.uid, from, to, x->first_us, err);
}

static enum status settle_side(struct ol_work *w, struct ol_run *run, enum ol_dir dir, bool all,
                               struct err *err)
{
    const struct ol_run_body *b = &run->body;
    enum status st = OK;

    for (size_t i = 0; !st && i < b->io_n; i++) {
        struct ol_io_entry *x = &b->io[i];
        bool on = !b->is_snapshot || ol_stamp_eq(x->last, b->io_at);

        if (x->dir != dir || !(all || x->touched)) {
            continue;
        }
        st = dir == OL_OUT ? settle_output(w, run, x, on, err) : settle_input(w, run, x, on, err);
        x->on = on;
        x->touched = x->moved = false;
    }
    return st;
}

enum status ol_settle(struct ol_work *w, struct ol_run *run, bool all, struct err *err)
{
    enum status st = settle_side(w, run, OL_OUT, all, err);

    return st ? st : settle_side(w, run, OL_IN, all, err);
}
