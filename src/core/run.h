/* core/run.h - runs: creating, changing and reading them.
 * A run's attributes, params, tags and latest metrics are one head (store/heads.h); its points are series. Every change is
 * a write_op below: the caller fills the input fields, sets op.done, and submits; when done runs (on the sequencer), op.st
 * and op.err tell the outcome and the output fields are set. Texts in op->err are those that MLflow clients match on.
 * Ownership: operations and everything they point to live in the caller's arena until done has run.
 * Thread rule: init functions any thread; reads need a view and run on pool threads. */
#ifndef CAIRN_CORE_RUN_H
#define CAIRN_CORE_RUN_H

#include "core/core.h"
#include "store/run_status.h"
#include "store/seq.h"
#include "store/series/point.h"

/* The newest value of one metric key (maximum by step, timestamp, value), with its extremes over the whole series. */
struct run_metric {
    struct str key;
    double value;
    int64_t timestamp_ms, step;
    double min, max; /* NaN excluded; NaN when there is no other value */
    int64_t min_step, max_step;
    int64_t n; /* points received (duplicates counted) */
};

/* A readable copy of a run. Lists are sorted by key in byte order. Lives in the arena of the view that made it. */
struct run_view {
    int64_t uid;
    int64_t experiment;
    struct str run_id, name, user_id, artifact_uri;
    enum run_status status;
    enum lifecycle lifecycle;
    int64_t start_ms, end_ms;
    bool has_end;
    struct run_metric *metrics;
    size_t metrics_n;
    struct key_value *params;
    size_t params_n;
    struct key_value *tags;
    size_t tags_n;
};

/* ST_NOT_FOUND: "Run with id=X not found". */
enum status run_get(struct view *v, struct str run_id, struct run_view *out, struct err *err);
/* Rises with every change of the run that readers can see: what is made from a run that is read after this call is current as long
 * as the number is the same. */
uint64_t run_change(const struct view *v, int64_t uid);
/* The same by node uid. */
enum status run_get_uid(struct view *v, int64_t uid, struct run_view *out, struct err *err);
/* Many runs by node uid, each uid once: fn is called for those that exist, in the order of uids, with the index among them. The view
 * lives until fn returns; fn returns ST_END to stop early. */
enum status run_gather(struct view *v, const int64_t *uids, size_t n,
                       enum status (*fn)(void *ctx, size_t i, const struct run_view *run,
                                         struct err *err),
                       void *ctx, struct err *err);
/* Calls fn for every run of the experiments whose lifecycle is in `type`, in no order. The view passed to fn lives in a scratch
 * arena until fn returns (run_view_copy() keeps it); fn returns ST_END to stop early. */
enum status run_each(struct view *v, const int64_t *experiments, size_t n, enum view_type type,
                     enum status (*fn)(void *ctx, const struct run_view *run, struct err *err),
                     void *ctx, struct err *err);
enum status run_view_copy(struct arena *a, const struct run_view *from, struct run_view *to,
                          struct err *err);
/* NULL if absent; binary search. */
const struct run_metric *run_view_metric(const struct run_view *run, struct str key);
const struct str *run_view_param(const struct run_view *run, struct str key);
const struct str *run_view_tag(const struct run_view *run, struct str key);

/* ---- metric history ------------------------------------------------------------------------------------------------- */

/* All points of one key of a run in MLflow's order (timestamp, step, value; exact duplicates once), from after the
 * position `after` (NULL = start), at most max. *more says whether points are left. ST_NOT_FOUND only for the run; an unknown key
 * gives no points. */
enum status run_metric_history(struct view *v, struct str run_id, struct str key,
                               const struct point *after, size_t max, struct point **out, size_t *n,
                               bool *more, struct err *err);
/* The same for an owner that is not a run (a model series). */
enum status owner_metric_history(struct view *v, int64_t owner, struct str key, struct point **out,
                                 size_t *n, struct err *err);
/* Keys that an owner has points for, sorted. */
enum status owner_metric_keys(struct view *v, int64_t owner, struct str **out, size_t *n,
                              struct err *err);

/* ---- writes --------------------------------------------------------------------------------------------------------------- */

/* Creates a run; run_id is drawn when p is NULL. The tag mlflow.runName and the name are made equal (a random readable
 * name when neither is given). Errors: experiment missing or deleted, two names that differ, bad keys. */
struct run_create {
    struct write_op op; /* first: run_create_init() clears what follows */
    struct core *core;
    int64_t experiment;
    struct str run_id, user_id, name;
    int64_t start_ms;
    struct key_value *tags;
    size_t tags_n;
    /* out */
    int64_t uid;
    struct str artifact_uri;
    struct key_value *kept; /* tags of the run, sorted by key */
    size_t kept_n;
};
void run_create_init(struct run_create *c, struct core *core, struct arena *a);
/* The run as it was created, from the operation alone; after it has succeeded. Texts lie in the operation's arena. */
void run_create_view(const struct run_create *c, struct run_view *out);

/* Changes the attributes that are present. An empty name is ignored. */
struct run_update {
    struct write_op op;
    struct core *core;
    struct str run_id;
    bool has_status, has_end, has_name;
    enum run_status status;
    int64_t end_ms;
    struct str name, who;
};
void run_update_init(struct run_update *u, struct core *core, struct arena *a);
/* Sets the status. RUN_RUNNING for a run that exists already and was not just scheduled means that somebody goes on in it (a client
 * that was interrupted, or one more process): that is kept as an event, at most one a second for a run. */
void run_update_status(struct run_update *u, enum run_status status);

enum run_event_kind { RUN_RESUMED = 1 };
enum { RUN_EVENTS_MAX = 1000 };
struct run_event {
    enum run_event_kind kind;
    enum run_status before;
    int64_t
        since_ms; /* last sign of life before: its start, its end, its newest point, or the event before */
    int64_t at_ms;
    struct str who;
};
/* Newest first, at most RUN_EVENTS_MAX. */
enum status run_events(struct view *v, struct str run_id, struct run_event **out, size_t *n,
                       struct err *err);

/* Deletes (or restores) one run; repeating it is harmless. */
struct retention_bar;
struct run_lifecycle {
    struct write_op op;
    struct core *core;
    struct str run_id;
    enum lifecycle to;
    int64_t ended_before_ms; /* not 0: only what core/retention.h may take; else ST_INVALID_STATE */
    const struct retention_bar
        *bar; /* then also: none that has become better than this; NULL = none */
};
void run_lifecycle_init(struct run_lifecycle *l, struct core *core, struct arena *a);

/* Points of one request on their way to the sequencer: a flat array, no allocation per point. Keys are interned per
 * request. */
struct run_points {
    struct arena *arena;
    struct run_point {
        int64_t step, timestamp_ms;
        double value;
        uint32_t key; /* index into keys */
    } * points;
    size_t n, cap;
    struct str *keys;
    size_t keys_n, keys_cap;
    struct str_map *index;
};
enum status run_points_begin(struct run_points *p, struct arena *a, struct err *err);
/* Index of a key in p->keys, SIZE_MAX when no point has had it. */
size_t run_points_key(const struct run_points *p, struct str key);
/* key is copied when first seen. NaN is made canonical. */
enum status run_points_add(struct run_points *p, struct str key, double value, int64_t timestamp_ms,
                           int64_t step, struct err *err);

/* Points of one request that name a logged model: kept for the model too, per dataset (NULL p = none). */
struct model_points {
    struct str model_id, run_id, dataset_name, dataset_digest;
    struct run_points points;
};

/* Logs points, params and tags of one run: all or nothing. Used by log-metric, log-parameter, set-tag and log-batch.
 * Params are immutable: the same value again is nothing, another is ST_INVALID with MLflow's text (`batch` chooses between its two texts). A tag given twice: the
 * last wins. Setting mlflow.runName renames the run. */
struct run_log {
    struct write_op op; /* first: run_log_init() clears what follows */
    struct core *core;
    struct str run_id;
    struct run_points points;
    struct key_value *params;
    size_t params_n;
    struct key_value *tags;
    size_t tags_n;
    bool batch;
    struct model_points *models; /* filled by run_log_model() */
    size_t models_n, models_cap;
    /* A JSON value to append to the JSON list in the tag append_key (NULL p = none); the tag is made when it is missing. */
    struct str append_key, append_item;
};
void run_log_init(struct run_log *l, struct core *core, struct arena *a);
/* The points of `l` for one model and dataset, made when first asked for; NULL with *err filled when memory is out. */
struct model_points *run_log_model(struct run_log *l, struct str model_id, struct str dataset_name,
                                   struct str dataset_digest, struct err *err);

/* "No tag with name: k in run with id R" when it is not there. */
struct run_tag_delete {
    struct write_op op;
    struct core *core;
    struct str run_id, key;
};
void run_tag_delete_init(struct run_tag_delete *t, struct core *core, struct arena *a);

/* For operations of other services that change a run inside their own validate(), on the sequencer: finds the head (cold
 * ones are loaded) and checks that the run is active. *uid and *experiment are set. */
enum status run_require_active(struct group *g, struct str run_id, int64_t *uid,
                               int64_t *experiment, struct err *err);
/* Appends points to an owner without a head (a model series), inside validate(). Keys are registered. They become readable after the commit. */
enum status group_owner_points(struct group *g, int64_t owner, const struct run_points *p,
                               struct err *err);
/* Sets the lifecycle of every run of an experiment, inside validate() of an operation on the experiment. */
enum status group_experiment_runs_lifecycle(struct group *g, int64_t experiment, enum lifecycle to,
                                            struct err *err);

#endif
