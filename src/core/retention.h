/* core/retention.h - rules of experiments about what is deleted by itself. Without a rule nothing ever is.
 * A rule sends finished runs that ended long ago to the trash, and takes for good what was in the trash for long: runs and logged models.
 * Never touched: the newest and the best runs that the rule keeps, runs with the tag cairn.keep = true, and what a registered version stands on, by
 * its run, its logged model, or the run that logged the model. All of that is looked at again in the operation that deletes.
 * The worker of core/run_purge.h obeys the rules, one run at a time and at most some hundred a second.
 * Ownership and thread rule: as struct write_op; retention_get() and _plan() are reads. */
#ifndef CAIRN_CORE_RETENTION_H
#define CAIRN_CORE_RETENTION_H

#include "core/core.h"
#include "store/seq.h"

#define RETENTION_KEEP_TAG "cairn.keep"

struct retention {
    bool has_trash, has_purge;
    int64_t trash_after_ms, purge_after_ms;
    int64_t keep_last;
    /* Of the active runs that ended, so many with the best newest value of a metric stay; of equal ones the newest. Runs without a
     * number are not among them; while no run has one, nothing goes to the trash. 0 = none; at most RETENTION_BEST_MAX. */
    int64_t keep_best;
    struct str metric;
    bool maximum;
};
enum { RETENTION_BEST_MAX = 1000 };

/* The best runs of an experiment by its rule. */
struct retention_best {
    struct ranked_run {
        double value;
        int64_t start_ms, uid;
    } * runs; /* best first */
    size_t n;
    int64_t max;
};
/* Looks at every active run, as it is in memory or its row. Lives in the arena. */
enum status retention_best_find(struct view *v, struct arena *a, int64_t experiment,
                                const struct retention *rule, struct retention_best *out,
                                struct err *err);
/* What a run must not reach, when it is looked at again: all others with a number stay. */
struct retention_bar {
    bool set, open; /* open: fewer have a number than stay */
    bool maximum;
    struct str metric;
    double worst;
};
void retention_bar_of(const struct retention *rule, const struct retention_best *best,
                      struct retention_bar *out);

/* Sets the rule of an experiment, or takes it away; what is set is kept in a log. ST_NOT_FOUND without the experiment. */
struct retention_set {
    struct write_op op;
    struct core *core;
    int64_t experiment;
    bool off;
    struct retention rule;
    struct str who;
};
void retention_set_init(struct retention_set *s, struct core *core, struct arena *a);

/* *found false: it has none. who and changed_ms: of the last change, p NULL without. */
enum status retention_get(struct view *v, int64_t experiment, struct retention *out, bool *found,
                          struct str *who, int64_t *changed_ms, struct err *err);

enum retention_what { RETENTION_TRASH_RUN, RETENTION_PURGE_RUN, RETENTION_PURGE_MODEL };
struct retention_item {
    enum retention_what what;
    struct str id, name;
    int64_t since_ms; /* when the run ended, or since when it is in the trash */
    bool stays; /* retention_plan() with stays: `what` says what the rule would do otherwise */
    struct str reason; /* of retention_plan() */
};
/* Where a walk over what a rule finds is. All 0 but `at_ms` and `at` INT64_MIN: at its beginning. */
struct retention_walk {
    enum retention_what what;
    int64_t at_ms, at;
};
#define RETENTION_WALK_BEGIN                                                                       \
    {                                                                                              \
        RETENTION_TRASH_RUN, INT64_MIN, INT64_MIN                                                  \
    }
/* The next thing that the rule finds, by the rows; its texts live in the arena. ST_END. */
enum status retention_find(struct sql_conn *conn, struct arena *a, int64_t experiment,
                           const struct retention *rule, const struct retention_best *best,
                           int64_t now_ms, struct retention_walk *w, struct retention_item *out,
                           struct err *err);
/* What a rule would take now, and behind it, when asked, the runs that stay; at most max together. */
enum status retention_plan(struct view *v, int64_t experiment, const struct retention *rule,
                           bool stays, size_t max, struct retention_item **out, size_t *n,
                           bool *more, struct err *err);

/* Inside validate(), for what deletes by itself: ST_INVALID_STATE when a version stands on the run. */
enum status retention_check_run(struct group *g, struct str run_id, struct err *err);

/* Inside validate(), for who deletes for good: ST_CONFLICT when registered versions stand on it, with their names, those with an alias
 * first. On a run: as above. On an experiment: versions that name a run or a logged model of it. */
enum status standing_check_run(struct group *g, struct str run_id, struct err *err);
enum status standing_check_logged_model(struct group *g, struct str model_id, struct err *err);
enum status standing_check_experiment(struct group *g, int64_t experiment, struct err *err);

#endif
