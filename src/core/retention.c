/* core/retention.c - see retention.h. */
#include "core/retention.h"

#include "base/clock.h"
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
    int64_t n, keep = s->off ? 0 : r->keep_last;
    struct sql_conn *w = group_conn(g);
    enum status st = experiment_require(s->core, g, s->experiment, err);

    if (st) return st;
    st = s->off ? q_retention_drop(w, s->experiment, &n, err)
                : q_retention_put(w, s->experiment, trash, purge, keep, err);
    if (!st) {
        st = q_retention_note(w, s->experiment, s->off, trash, purge, keep,
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
                               .keep_last = row.keep_last };
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

enum { STANDING_NAMED = 5 };

/* "reg/3 (has an alias), other/1". */
struct standing {
    char text[1024];
    size_t used, n;
};

static void stands(struct standing *s, struct str name, int64_t version, bool aliased)
{
    struct str shown = str_sub(name, 0, MIN_OF(name.n, (size_t)128));
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

/* The queries give the same rows. */
#define ADD_STANDING(query, key, what, id)                                                         \
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
    ADD_STANDING(q_stands_on_run, run_id, "run", run_id);
}

enum status standing_check_logged_model(struct group *g, struct str model_id, struct err *err)
{
    ADD_STANDING(q_stands_on_model, model_id, "logged model", model_id);
}

enum status standing_check_experiment(struct group *g, int64_t experiment, struct err *err)
{
    char id[24];
    int n = snprintf(id, sizeof(id), "%" PRId64, experiment);

    ADD_STANDING(q_stands_on_experiment, experiment, "experiment", str_of(id, (size_t)n));
}

/* ---- what it finds -------------------------------------------------------------------------------------------------------------- */

static enum status give(struct arena *a, struct retention_walk *w, struct str id, struct str name,
                        int64_t since_ms, struct retention_item *out, struct err *err)
{
    *out = (struct retention_item){ w->what, arena_str(a, id), arena_str(a, name), since_ms };
    return out->id.p && out->name.p ? OK : err_nomem(err);
}

static enum status next_ended(struct sql_conn *conn, struct arena *a, int64_t exp,
                              const struct retention *r, int64_t now_ms, struct retention_walk *w,
                              struct retention_item *out, struct err *err)
{
    struct q_retention_newest_row newest = { INT64_MAX, INT64_MAX };
    struct q_retention_ended_row row;
    enum status st = OK;

    if (!r->has_trash) return ST_NOT_FOUND;
    if (r->keep_last > 0) st = q_retention_newest(conn, NULL, exp, r->keep_last - 1, &newest, err);
    if (!st) {
        st = q_retention_ended(conn, a, exp, now_ms - r->trash_after_ms, w->at_ms, w->at,
                               newest.start_ms, newest.run, &row, err);
    }
    if (st) return st; /* fewer runs than stay, or none */
    w->at_ms = row.start_ms;
    w->at = row.run;
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
                           const struct retention *rule, int64_t now_ms, struct retention_walk *w,
                           struct retention_item *out, struct err *err)
{
    for (;;) {
        enum status st = w->what == RETENTION_TRASH_RUN
                             ? next_ended(conn, a, experiment, rule, now_ms, w, out, err)
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

static enum status has_keep_tag(struct view *v, struct str run_id, bool *kept, struct err *err)
{
    struct run_view run;
    enum status st = run_get(v, run_id, &run, err);

    *kept = st == ST_NOT_FOUND; /* gone meanwhile */
    for (size_t i = 0; !st && i < run.tags_n; i++) {
        if (str_eq_lit(run.tags[i].key, RETENTION_KEEP_TAG))
            *kept = str_eq_lit(run.tags[i].value, "true");
    }
    return st == ST_NOT_FOUND ? OK : st;
}

enum status retention_plan(struct view *v, int64_t experiment, const struct retention *rule,
                           size_t max, struct retention_item **out, size_t *n, bool *more,
                           struct err *err)
{
    struct retention_walk w = RETENTION_WALK_BEGIN;
    struct retention_item item;
    int64_t now_ms = clock_wall_ms();
    struct experiment x;
    enum status st = experiment_get(v, experiment, &x, err);

    *n = 0;
    *more = false;
    *out = ARENA_ARRAY(v->arena, struct retention_item, max + 1);
    if (!st && !*out) st = err_nomem(err);
    while (!st && !*more) {
        bool kept = false;

        st = retention_find(v->conn, v->arena, experiment, rule, now_ms, &w, &item, err);
        if (!st && item.what == RETENTION_TRASH_RUN) st = has_keep_tag(v, item.id, &kept, err);
        if (st || kept) continue;
        *more = *n == max;
        if (!*more) (*out)[(*n)++] = item;
    }
    return st == ST_END ? OK : st;
}
