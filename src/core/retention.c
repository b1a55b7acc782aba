/* core/retention.c - see retention.h. */
#include "core/retention.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "core/experiment.h"
#include "core/purge_int.h"
#include "core/run.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the rule ----------------------------------------------------------------------------------------------------------------- */

static void set_apply(void *ctx)
{
    struct core *core = (struct core *)ctx;

    if (core->purger) purger_rules(core->purger);
}

static enum status set_validate(struct write_op *op, struct group *g, struct err *err)
{
    struct retention_set *s = WRITE_OP_OF(op, struct retention_set);
    const struct retention *r = &s->rule;
    const int64_t *trash = r->has_trash && !s->off ? &r->trash_after_ms : NULL;
    const int64_t *purge = r->has_purge && !s->off ? &r->purge_after_ms : NULL;
    int64_t n, keep = s->off ? 0 : r->keep_last, best = s->off ? 0 : r->keep_best;
    struct str metric = best > 0 ? r->metric : S("");
    bool maximum = best > 0 && r->maximum;
    struct sql_conn *w = group_conn(g);
    enum status st = experiment_require(s->core, g, s->experiment, err);

    if (st) return st;
    st = s->off ? q_retention_drop(w, s->experiment, &n, err)
                : q_retention_put(w, s->experiment, trash, purge, keep, best, metric, maximum, err);
    if (!st) {
        st = q_retention_note(w, s->experiment, s->off, trash, purge, keep, best, metric, maximum,
                              s->who.p ? s->who : S(""), group_now_ms(g), err);
    }
    return st ? st : group_effect(g, set_apply, NULL, s->core, err);
}

static const struct write_kind set_kind = { .name = "retention.set",
                                            .validate = set_validate,
                                            .sql = true };

void retention_set_init(struct retention_set *s, struct core *core, struct arena *a)
{
    *s = (struct retention_set){ .op = { .kind = &set_kind, .arena = a }, .core = core };
}

enum status retention_get(struct view *v, int64_t experiment, struct retention *out, bool *found,
                          struct str *who, int64_t *changed_ms, struct err *err)
{
    struct experiment x;
    struct q_retention_get_row row;
    struct q_retention_last_change_row change = { 0 };
    enum status st = experiment_get(v, experiment, &x, err);

    *out = (struct retention){ 0 };
    *found = false;
    if (st) return st;
    st = q_retention_last_change(v->conn, v->arena, experiment, &change, err);
    if (st && st != ST_NOT_FOUND) return st;
    *who = change.who;
    *changed_ms = change.seen_ms;
    st = q_retention_get(v->conn, v->arena, experiment, &row, err);
    if (st) return st == ST_NOT_FOUND ? OK : st;
    *found = true;
    *out = (struct retention){ .has_trash = !row.trash_after_ms_null,
                               .has_purge = !row.purge_after_ms_null,
                               .trash_after_ms = row.trash_after_ms,
                               .purge_after_ms = row.purge_after_ms,
                               .keep_last = row.keep_last,
                               .keep_best = row.keep_best,
                               .metric = row.metric,
                               .maximum = row.maximum != 0 };
    return OK;
}

enum status retention_check_run(struct group *g, struct str run_id, struct err *err)
{
    struct q_retention_stands_row row;
    enum status st = q_retention_stands(group_conn(g), NULL, run_id, &row, err);

    if (!st && row.n > 0) {
        st = err_set(err, ST_INVALID_STATE, "registered versions stand on run %.*s",
                     STR_ARG(run_id));
    }
    return st;
}

/* ---- what stands on it ---------------------------------------------------------------------------------------------------------- */

enum { STANDING_NAMED = 5, SHOWN_CHARS = 128 };

/* "reg/3 (has an alias), other/1". */
struct standing {
    char text[STANDING_NAMED * (4 * SHOWN_CHARS + 64)];
    size_t used, n;
};

static void stands(struct standing *s, struct str name, int64_t version, bool aliased)
{
    struct str shown = utf8_prefix(name, SHOWN_CHARS);
    int n;

    if (s->n++ >= STANDING_NAMED) return;
    n = snprintf(s->text + s->used, sizeof(s->text) - s->used, "%s%.*s/%" PRId64 "%s",
                 s->used ? ", " : "", STR_ARG(shown), version, aliased ? " (has an alias)" : "");
    if (n > 0) s->used = MIN_OF(s->used + (size_t)n, sizeof(s->text) - 1);
}

static enum status refuse(const struct standing *s, const char *what, struct str id,
                          struct err *err)
{
    if (s->n == 0) return OK;
    (void)err_set(err, ST_CONFLICT,
                  "registered versions stand on %s %.*s: %.*s%s; it was not deleted", what,
                  STR_ARG(id), (int)s->used, s->text, s->n > STANDING_NAMED ? " and others" : "");
    err_hint(err, "delete these versions first, or ask with force=true (--force): they keep their "
                  "origin, not their files");
    return ST_CONFLICT;
}

/* Returns from the function. The queries give the same rows. */
#define RETURN_STANDING(query, key, what, id)                                                      \
    do {                                                                                           \
        struct query##_row row;                                                                    \
        struct standing s = { .n = 0 };                                                            \
        struct sql_stmt *list = NULL;                                                              \
        enum status st = query##_open(group_conn(g), &list, (key), STANDING_NAMED + 1, err);       \
        while (!st && (st = query##_next(list, &row, err)) == OK) {                                \
            stands(&s, row.name, row.version, row.aliased != 0);                                   \
        }                                                                                          \
        sql_close(list);                                                                           \
        return st == ST_END ? refuse(&s, (what), (id), err) : st;                                  \
    } while (0)

enum status standing_check_run(struct group *g, struct str run_id, struct err *err)
{
    RETURN_STANDING(q_stands_on_run, run_id, "run", run_id);
}

enum status standing_check_logged_model(struct group *g, struct str model_id, struct err *err)
{
    RETURN_STANDING(q_stands_on_model, model_id, "logged model", model_id);
}

enum status standing_check_experiment(struct group *g, int64_t experiment, struct err *err)
{
    char id[24];
    int n = snprintf(id, sizeof(id), "%" PRId64, experiment);

    RETURN_STANDING(q_stands_on_experiment, experiment, "experiment", str_of(id, (size_t)n));
}

/* ---- the best ------------------------------------------------------------------------------------------------------------------- */

struct ranking {
    const struct retention *rule;
    struct retention_best *out;
};

static bool is_better(const struct ranked_run *x, const struct ranked_run *y, bool maximum)
{
    if (x->value < y->value || x->value > y->value) return (x->value > y->value) == maximum;
    if (x->start_ms != y->start_ms) return x->start_ms > y->start_ms;
    return x->uid > y->uid;
}

static enum status rank_run(void *ctx, const struct run_view *run, struct err *err)
{
    struct ranking *r = (struct ranking *)ctx;
    struct retention_best *b = r->out;
    const struct run_metric *m = run_view_metric(run, r->rule->metric);
    struct ranked_run one = { m ? m->value : 0, run->start_ms, run->uid };
    size_t at = b->n;

    (void)err;
    if (!m || m->value != m->value || run->status <= RUN_SCHEDULED || !run->has_end) return OK;
    while (at > 0 && is_better(&one, &b->runs[at - 1], r->rule->maximum)) {
        at--;
    }
    if ((int64_t)at >= b->max) return OK;
    if ((int64_t)b->n < b->max) b->n++;
    for (size_t i = b->n - 1; i > at; i--) {
        b->runs[i] = b->runs[i - 1];
    }
    b->runs[at] = one;
    return OK;
}

enum status retention_best_find(struct view *v, struct arena *a, int64_t experiment,
                                const struct retention *rule, struct retention_best *out,
                                struct err *err)
{
    struct ranking r = { rule, out };

    *out = (struct retention_best){ .max = MIN_OF(rule->keep_best, (int64_t)RETENTION_BEST_MAX) };
    if (rule->keep_best <= 0 || !rule->has_trash) return OK;
    out->runs = ARENA_ARRAY(a, struct ranked_run, (size_t)out->max + 1);
    if (!out->runs) return err_nomem(err);
    return run_each(v, &experiment, 1, VIEW_ACTIVE_ONLY, rank_run, &r, err);
}

static bool is_best(const struct retention_best *b, int64_t uid)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->runs[i].uid == uid) return true;
    }
    return false;
}

void retention_bar_of(const struct retention *rule, const struct retention_best *best,
                      struct retention_bar *out)
{
    *out = (struct retention_bar){ .set = rule->keep_best > 0,
                                   .open = (int64_t)best->n < best->max,
                                   .maximum = rule->maximum,
                                   .metric = rule->metric,
                                   .worst = best->n ? best->runs[best->n - 1].value : 0 };
}

/* ---- what it finds -------------------------------------------------------------------------------------------------------------- */

static enum status give(struct arena *a, struct retention_walk *w, struct str id, struct str name,
                        int64_t since_ms, struct retention_item *out, struct err *err)
{
    *out = (struct retention_item){
        .what = w->what, .id = arena_str(a, id), .name = arena_str(a, name), .since_ms = since_ms
    };
    return out->id.p && out->name.p ? OK : err_nomem(err);
}

static enum status next_ended(struct sql_conn *conn, struct arena *a, int64_t exp,
                              const struct retention *r, const struct retention_best *best,
                              int64_t now_ms, struct retention_walk *w, struct retention_item *out,
                              struct err *err)
{
    struct q_retention_newest_row newest = { INT64_MAX, INT64_MAX };
    struct q_retention_ended_row row;
    enum status st = OK;

    if (!r->has_trash || (r->keep_best > 0 && best->n == 0)) return ST_NOT_FOUND;
    if (r->keep_last > 0) st = q_retention_newest(conn, NULL, exp, r->keep_last - 1, &newest, err);
    do {
        if (!st) {
            st = q_retention_ended(conn, a, exp, now_ms - r->trash_after_ms, w->at_ms, w->at,
                                   newest.start_ms, newest.run, &row, err);
        }
        if (st) return st; /* fewer runs than stay, or none */
        w->at_ms = row.start_ms;
        w->at = row.run;
    } while (is_best(best, row.run));
    return give(a, w, row.rid, row.name, row.end_ms, out, err);
}

static enum status next_trashed(struct sql_conn *conn, struct arena *a, int64_t exp,
                                const struct retention *r, int64_t now_ms, struct retention_walk *w,
                                struct retention_item *out, struct err *err)
{
    struct q_retention_trashed_row row;
    enum status st = r->has_purge ? q_retention_trashed(conn, a, exp, now_ms - r->purge_after_ms,
                                                        w->at_ms, w->at, &row, err)
                                  : ST_NOT_FOUND;

    if (st) return st;
    w->at_ms = row.start_ms;
    w->at = row.run;
    return give(a, w, row.rid, row.name, row.deleted_ms, out, err);
}

static enum status next_model(struct sql_conn *conn, struct arena *a, int64_t exp,
                              const struct retention *r, int64_t now_ms, struct retention_walk *w,
                              struct retention_item *out, struct err *err)
{
    struct q_retention_models_row row;
    enum status st = r->has_purge ? q_retention_models(conn, a, exp, now_ms - r->purge_after_ms,
                                                       w->at_ms, w->at, &row, err)
                                  : ST_NOT_FOUND;

    if (st) return st;
    w->at_ms = row.create_ms;
    w->at = row.uid;
    return give(a, w, row.mid, row.name, row.update_ms, out, err);
}

enum status retention_find(struct sql_conn *conn, struct arena *a, int64_t experiment,
                           const struct retention *rule, const struct retention_best *best,
                           int64_t now_ms, struct retention_walk *w, struct retention_item *out,
                           struct err *err)
{
    for (;;) {
        enum status st = w->what == RETENTION_TRASH_RUN
                             ? next_ended(conn, a, experiment, rule, best, now_ms, w, out, err)
                         : w->what == RETENTION_PURGE_RUN
                             ? next_trashed(conn, a, experiment, rule, now_ms, w, out, err)
                             : next_model(conn, a, experiment, rule, now_ms, w, out, err);

        if (st != ST_NOT_FOUND) return st;
        if (w->what == RETENTION_PURGE_MODEL) return ST_END;
        *w = (struct retention_walk){ w->what == RETENTION_TRASH_RUN ? RETENTION_PURGE_RUN
                                                                     : RETENTION_PURGE_MODEL,
                                      INT64_MIN, INT64_MIN };
    }
}

/* ---- a plan, with reasons --------------------------------------------------------------------------------------------------------- */

static bool is_tagged(const struct run_view *run)
{
    const struct str *tag = run_view_tag(run, S(RETENTION_KEEP_TAG));

    return tag && str_eq_lit(*tag, "true");
}

static enum status has_keep_tag(struct view *v, struct str run_id, bool *kept, struct err *err)
{
    struct run_view run;
    enum status st = run_get(v, run_id, &run, err);

    *kept = st == ST_NOT_FOUND || is_tagged(&run); /* gone meanwhile */
    return st == ST_NOT_FOUND ? OK : st;
}

struct plan {
    struct view *v;
    const struct retention *rule;
    struct retention_best best;
    struct q_retention_newest_row newest; /* the oldest of the newest that stay */
    bool all_newest;                      /* there are no more runs than that */
    int64_t now_ms;
    struct retention_item *items;
    size_t n, max;
    bool more;
};

static struct str why_goes(const struct retention_item *item)
{
    return item->what == RETENTION_TRASH_RUN
               ? S("it ended long enough ago, and nothing keeps it")
               : S("it is in the trash long enough, and no registered version stands on it");
}

static struct str why_active_stays(const struct plan *p, const struct run_view *run)
{
    const struct retention *r = p->rule;

    if (run->status <= RUN_SCHEDULED || !run->has_end) return S("it has not ended");
    if (!r->has_trash) return S("the rule sends nothing to the trash");
    if (run->end_ms >= p->now_ms - r->trash_after_ms) return S("it ended too recently");
    if (is_tagged(run)) return S("it has the tag " RETENTION_KEEP_TAG);
    if (r->keep_best > 0 && p->best.n == 0) {
        return arena_printf(p->v->arena, "no run has a number as its %.*s: nothing goes",
                            STR_ARG(r->metric));
    }
    for (size_t i = 0; i < p->best.n; i++) {
        if (p->best.runs[i].uid == run->uid) {
            return arena_printf(p->v->arena, "number %zu of the best %lld by %.*s: %.17g", i + 1,
                                (long long)r->keep_best, STR_ARG(r->metric), p->best.runs[i].value);
        }
    }
    if (r->keep_last > 0 && (p->all_newest || run->start_ms > p->newest.start_ms ||
                             (run->start_ms == p->newest.start_ms && run->uid >= p->newest.run))) {
        return arena_printf(p->v->arena, "one of the newest %lld", (long long)r->keep_last);
    }
    return S("its row is not written yet");
}

static enum status add_staying(void *ctx, const struct run_view *run, struct err *err)
{
    struct plan *p = (struct plan *)ctx;
    struct q_retention_stands_row stands;
    bool active = run->lifecycle == LIFECYCLE_ACTIVE;
    struct retention_item *item = &p->items[p->n];
    enum status st;

    for (size_t i = 0; i < p->n; i++) {
        if (!p->items[i].stays && str_eq(p->items[i].id, run->run_id)) return OK;
    }
    if (p->n == p->max) {
        p->more = true;
        return ST_END;
    }
    st = q_retention_stands(p->v->conn, NULL, run->run_id, &stands, err);
    if (st) return st;
    *item = (struct retention_item){
        .what = active ? RETENTION_TRASH_RUN : RETENTION_PURGE_RUN,
        .id = arena_str(p->v->arena, run->run_id),
        .name = arena_str(p->v->arena, run->name),
        .since_ms = run->has_end ? run->end_ms : 0,
        .stays = true,
        .reason = stands.n > 0 ? S("registered versions stand on it: it never goes by itself")
                  : active     ? why_active_stays(p, run)
                  : !p->rule->has_purge ? S("the rule deletes nothing for good")
                                        : S("it is not in the trash long enough for the rule"),
    };
    if (!item->id.p || !item->name.p || !item->reason.p) return err_nomem(err);
    p->n++;
    return OK;
}

static enum status add_going(struct plan *p, int64_t experiment, struct err *err)
{
    struct retention_walk w = RETENTION_WALK_BEGIN;
    struct retention_item item;
    enum status st = OK;

    while (!st && !p->more) {
        bool kept = false;

        st = retention_find(p->v->conn, p->v->arena, experiment, p->rule, &p->best, p->now_ms, &w,
                            &item, err);
        if (!st && item.what == RETENTION_TRASH_RUN) st = has_keep_tag(p->v, item.id, &kept, err);
        if (st || kept) continue;
        item.reason = why_goes(&item);
        p->more = p->n == p->max;
        if (!p->more) p->items[p->n++] = item;
    }
    return st == ST_END ? OK : st;
}

enum status retention_plan(struct view *v, int64_t experiment, const struct retention *rule,
                           bool stays, size_t max, struct retention_item **out, size_t *n,
                           bool *more, struct err *err)
{
    struct plan p = { .v = v, .rule = rule, .now_ms = clock_wall_ms(), .max = max };
    struct experiment x;
    enum status st = experiment_get(v, experiment, &x, err);

    p.items = ARENA_ARRAY(v->arena, struct retention_item, max + 1);
    if (!st && !p.items) st = err_nomem(err);
    if (!st) st = retention_best_find(v, v->arena, experiment, rule, &p.best, err);
    if (!st && rule->keep_last > 0) {
        st = q_retention_newest(v->conn, NULL, experiment, rule->keep_last - 1, &p.newest, err);
        p.all_newest = st == ST_NOT_FOUND;
        if (st == ST_NOT_FOUND) st = OK;
    }
    if (!st) st = add_going(&p, experiment, err);
    if (!st && stays && !p.more) {
        st = run_each(v, &experiment, 1, VIEW_ALL, add_staying, &p, err);
    }
    *out = p.items;
    *n = p.n;
    *more = p.more;
    return st;
}
