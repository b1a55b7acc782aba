/* core/openlineage/derive.c - what one event says, as changes of what is remembered (memo.c) and of links (versions.c). Every step gives the
 * same in every order of events: times are smallest or largest ones, sets grow, and of two statements the one with the higher stamp
 * holds. Whatever an event names is made, also where another event's statement holds. */
#include "core/graph/place.h"
#include "core/openlineage/ol_int.h"

#define MINUTE_US ((int64_t)60 * 1000000)

/* This event's statement of the facet holds: it is the newest. */
static bool holds(const struct ol_work *w, const struct ol_cells *c, const char *key)
{
    const struct ol_cell *x = ol_cell_find(c, str_cstr(key));

    return x && ol_stamp_eq(x->at, w->at);
}

/* ---- data sets ---------------------------------------------------------------------------------------------------------------- */

static enum status other_names(struct ol_work *w, struct ol_set *set, const struct ol_dataset *d,
                               bool now, struct err *err)
{
    struct ol_set *other;
    enum status st = now ? q_ol_symlinks_drop(w->c, set->obj.uid, err) : OK;

    for (size_t i = 0; !st && i < d->symlinks_n; i++) {
        st = ol_get_set(w, &d->symlinks[i].other, &other, err);
        if (!st && now && other != set) {
            st = q_ol_symlink_put(w->c, set->obj.uid, 1, other->obj.uid, d->symlinks[i].type,
                                  w->at.us, err);
        }
    }
    if (!st && d->renamed_from.name.p) {
        st = ol_get_set(w, &d->renamed_from, &other, err);
        if (!st && other != set) {
            st =
                q_ol_symlink_put(w->c, set->obj.uid, 2, other->obj.uid, S("RENAME"), w->at.us, err);
        }
    }
    return st || !(now || d->renamed_from.name.p) ? st
                                                  : place_symlinks(w->g, w->a, set->obj.uid, err);
}

/* What every mention of a data set says of it. job: of the event, NULL in one of the data set itself. */
static enum status say_set(struct ol_work *w, struct ol_job *job, const struct ol_dataset *d,
                           struct ol_set **out, struct err *err)
{
    struct ol_version *v;
    struct ol_set *set;
    bool names = d->has_symlinks, links = d->has_links;
    enum status st = ol_get_set(w, &d->name, &set, err);

    if (st) {
        return st;
    }
    *out = set;
    /* of two mentions in one event the first one holds, as it does for facets */
    names = names && !holds(w, &set->facets, "symlinks");
    links = links && !holds(w, &set->facets, "lineage");
    st = ol_facets_say(w, &set->obj, &set->facets, d->facets, d->facets_n, true, err);
    if (!st && (d->has_symlinks || d->renamed_from.name.p)) {
        st = other_names(w, set, d, names && holds(w, &set->facets, "symlinks"), err);
    }
    if (!st && d->version.p) {
        st = ol_version_named(w, set, d->version, &v, err);
        st = st ? st : ol_facets_say(w, &v->obj, &v->facets, d->facets, d->facets_n, true, err);
    }
    if (!st && d->has_columns) {
        st = ol_columns_say(w, job, set, d, err);
    }
    if (!st && d->has_links) {
        st = ol_links_say(w, job, set->obj.uid, links && holds(w, &set->facets, "lineage"),
                          d->links, d->links_n, err);
    }
    return st;
}

static enum status say_io(struct ol_work *w, const struct ol_job *job, enum ol_dir dir,
                          const struct ol_set *set, int64_t bit, struct err *err)
{
    /* whole minutes: a row that would change with each event changes seldom */
    int64_t us = w->at.us - (w->at.us % MINUTE_US + MINUTE_US) % MINUTE_US;
    struct ol_io *x;
    enum status st = ol_get_io(w, job->obj.uid, dir, set->obj.uid, &x, err);

    if (!st && (us > x->last_us || !(x->said & bit))) {
        x->last_us = MAX_OF(x->last_us, us);
        x->said |= bit;
        ol_dirty(w, &x->obj);
    }
    return st;
}

static enum status say_entry(struct ol_work *w, struct ol_run *run, enum ol_dir dir,
                             const struct ol_set *set, const struct ol_dataset *d, struct err *err)
{
    struct ol_io_entry *x = ol_entry_of(run, dir, set->obj.uid);
    enum status st = OK;

    if (!x && !(x = ol_entry_add(w, run, dir, set->obj.uid))) {
        return err_nomem(err);
    }
    ol_dirty(w, &run->obj);
    x->touched = true;
    if (w->at.us < x->first_us) {
        x->first_us = w->at.us;
        x->moved = true;
    }
    if (ol_newer(w->at, x->last)) {
        x->last = w->at;
    }
    if (d->version.p && ol_newer(w->at, x->version_at)) {
        x->version_at = w->at;
        x->text = arena_str(w->m->arena, d->version);
        if (!x->text.p) {
            return err_nomem(err);
        }
    }
    if (dir == OL_OUT) {
        st = ol_facets_say(w, &run->obj, &x->facets, d->facets, d->facets_n, true, err);
    }
    return st ? st
              : ol_facets_say(w, &run->obj, &x->io_facets, d->io_facets, d->io_facets_n, false,
                              err);
}

/* run NULL: the job itself says so. */
static enum status say_side(struct ol_work *w, struct ol_job *job, struct ol_run *run,
                            enum ol_dir dir, const struct ol_dataset *d, size_t n, struct err *err)
{
    struct ol_set *set;
    enum status st = OK;

    for (size_t i = 0; !st && i < n; i++) {
        st = say_set(w, job, &d[i], &set, err);
        st = st ? st : say_io(w, job, dir, set, run ? 1 : 2, err);
        if (!st && run && dir == OL_IN) {
            st = ol_version_found(w, set, err);
        }
        if (!st && run) {
            st = say_entry(w, run, dir, set, &d[i], err);
        }
    }
    return st;
}

/* ---- runs ----------------------------------------------------------------------------------------------------------------------- */

static enum status member_moves(struct ol_work *w, int64_t node, int64_t from, int64_t to,
                                struct err *err)
{
    enum status st = OK;

    if (from) {
        st = q_ol_member_drop(w->c, from, node, MEMBER_OF_JOB, err);
        st =
            st ? st
               : q_member_log_append(w->c, 2, from, node, MEMBER_OF_JOB, w->now_ms, w->now_ms, err);
    }
    st = st ? st : q_ol_member_add(w->c, to, node, MEMBER_OF_JOB, err);
    return st ? st
              : q_member_log_append(w->c, 1, to, node, MEMBER_OF_JOB, ol_ms(w->at.us), w->now_ms,
                                    err);
}

/* own: by an event of the run; else by one that names it as a parent, which counts less. */
static enum status run_of_job(struct ol_work *w, struct ol_run *run, const struct ol_job *job,
                              bool own, struct err *err)
{
    struct ol_run_body *b = &run->body;
    int64_t from = run->job;
    bool first = !run->job;

    if (!first && own == (b->job_said != 0) && !ol_newer(w->at, b->job_at)) {
        return OK;
    }
    if (!first && !own && b->job_said) {
        return OK;
    }
    b->job_said = own;
    b->job_at = w->at;
    run->job = job->obj.uid;
    ol_dirty(w, &run->obj);
    return from == run->job ? OK : member_moves(w, run->obj.uid, from, run->job, err);
}

static enum status parent_moves(struct ol_work *w, int64_t child, int64_t *at, int64_t to,
                                enum parent_role role, struct err *err)
{
    int64_t from = *at;
    enum status st = OK;

    *at = to;
    if (from == to) {
        return OK;
    }
    if (from) {
        st = q_ol_parent_drop(w->c, child, from, role, err);
        st = st ? st : q_parent_log_append(w->c, 2, child, from, role, w->now_ms, w->now_ms, err);
    }
    if (!st && to) {
        st = q_ol_parent_add(w->c, child, to, role, err);
        st = st ? st
                : q_parent_log_append(w->c, 1, child, to, role, ol_ms(w->at.us), w->now_ms, err);
    }
    return st;
}

/* A run that a parent facet names, and its job. */
static enum status named_run(struct ol_work *w, const struct ol_run_ref *ref,
                             const struct ol_name *job_name, int64_t *run, int64_t *job,
                             struct err *err)
{
    struct ol_run *r;
    struct ol_job *j;
    enum status st = OK;

    *run = *job = 0;
    if (ref->is_set) {
        st = ol_get_run(w, ref, &r, err);
        *run = st ? 0 : r->obj.uid;
    }
    if (!st && job_name->name.p) {
        st = ol_get_job(w, job_name, &j, err);
        *job = st ? 0 : j->obj.uid;
    }
    return st || !*run || !*job ? st : run_of_job(w, r, j, false, err);
}

static enum status say_parent(struct ol_work *w, struct ol_run *run, const struct ol_event *e,
                              struct err *err)
{
    int64_t parent, parent_job, root, root_job;
    enum status st = named_run(w, &e->parent, &e->parent_job, &parent, &parent_job, err);

    st = st ? st : named_run(w, &e->root, &e->root_job, &root, &root_job, err);
    if (st || !holds(w, &run->body.facets, "parent")) {
        return st;
    }
    run->parent_job = parent_job;
    ol_dirty(w, &run->obj);
    st = parent_moves(w, run->obj.uid, &run->parent, parent, PARENT_RUN, err);
    return st ? st : parent_moves(w, run->obj.uid, &run->root, root, PARENT_ROOT, err);
}

static void say_state(struct ol_work *w, struct ol_run *run, const struct ol_event *e)
{
    bool ends = e->type == OL_COMPLETE || e->type == OL_FAIL || e->type == OL_ABORT;

    if (ends && ol_newer(w->at, run->body.end_at)) {
        run->body.end_at = w->at;
        run->has_end = true;
        run->end_us = w->at.us;
        run->state = e->type == OL_COMPLETE ? OL_STATE_COMPLETE
                     : e->type == OL_FAIL   ? OL_STATE_FAILED
                                            : OL_STATE_CANCELLED;
    } else if ((e->type == OL_START || e->type == OL_RUNNING) && run->state == OL_STATE_NEW) {
        run->state = OL_STATE_RUNNING;
    }
    if (e->type == OL_START && (!run->has_start || w->at.us < run->start_us)) {
        run->has_start = true;
        run->start_us = w->at.us;
    }
    if (e->has_nominal && holds(w, &run->body.facets, "nominalTime")) {
        run->has_nominal_start = e->nominal_start_us != INT64_MIN;
        run->nominal_start_us = e->nominal_start_us;
        run->has_nominal_end = e->nominal_end_us != INT64_MIN;
        run->nominal_end_us = e->nominal_end_us;
    }
}

/* How the run's events add up; true when that is not as before. */
static bool say_emission(struct ol_work *w, struct ol_run *run, const struct ol_event *e)
{
    struct ol_run_body *b = &run->body;
    bool was = b->is_snapshot;

    if (e->has_emission && ol_newer(w->at, b->emission_at)) {
        b->emission_at = w->at;
        b->is_snapshot = e->is_snapshot;
    }
    if ((e->has_inputs || e->has_outputs) && ol_newer(w->at, b->io_at)) {
        b->io_at = w->at;
    }
    return was != b->is_snapshot;
}

static enum status say_run(struct ol_work *w, struct ol_job *job, const struct ol_event *e,
                           int64_t *uid, struct err *err)
{
    struct ol_run *run;
    bool all;
    enum status st = ol_get_run(w, &e->run, &run, err);

    if (st) {
        return st;
    }
    *uid = run->obj.uid;
    ol_dirty(w, &run->obj);
    st = ol_facets_say(w, &run->obj, &run->body.facets, e->run_facets, e->run_facets_n, false, err);
    st = st ? st : run_of_job(w, run, job, true, err);
    if (!st && e->has_parent) {
        st = say_parent(w, run, e, err);
    }
    if (!st && ol_newer(w->at, job->run_at)) {
        job->run_at = w->at;
        job->run = run->obj.uid;
        ol_dirty(w, &job->obj);
    }
    say_state(w, run, e);
    all = say_emission(w, run, e) || run->body.is_snapshot;
    st = st ? st : say_side(w, job, run, OL_OUT, e->outputs, e->outputs_n, err);
    st = st ? st : say_side(w, job, run, OL_IN, e->inputs, e->inputs_n, err);
    return st ? st : ol_settle(w, run, all, err);
}

/* ---- events ---------------------------------------------------------------------------------------------------------------------- */

enum status ol_derive(struct ol_work *w, struct ol_event *e, int64_t *run, int64_t *job_uid,
                      int64_t *dataset, struct err *err)
{
    struct ol_set *set;
    struct ol_job *job;
    enum status st;

    *run = *job_uid = *dataset = 0;
    w->at = (struct ol_stamp){ e->event_us, e->h };
    if (e->kind == OL_DATASET_EVENT) {
        st = say_set(w, NULL, e->dataset, &set, err);
        *dataset = st ? 0 : set->obj.uid;
        return st;
    }
    st = ol_get_job(w, &e->job, &job, err);
    if (st) {
        return st;
    }
    *job_uid = job->obj.uid;
    st = ol_facets_say(w, &job->obj, &job->facets, e->job_facets, e->job_facets_n, true, err);
    if (!st && e->has_links) {
        st = ol_links_say(w, job, job->obj.uid, holds(w, &job->facets, "lineage"), e->links,
                          e->links_n, err);
    }
    if (st || e->kind == OL_RUN_EVENT) {
        return st ? st : say_run(w, job, e, run, err);
    }
    st = say_side(w, job, NULL, OL_OUT, e->outputs, e->outputs_n, err);
    return st ? st : say_side(w, job, NULL, OL_IN, e->inputs, e->inputs_n, err);
}
