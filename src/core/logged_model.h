/* core/logged_model.h - logged models: models that a run made, before anyone registers them.
 * A logged model is an artifact node; its attributes are a row, its params and tags are properties, its metrics are series
 * owned by (model, run, dataset). Deleting is soft; core/purge.h deletes for good.
 * Ownership and thread rule: as core/run.h. */
#ifndef CAIRN_CORE_LOGGED_MODEL_H
#define CAIRN_CORE_LOGGED_MODEL_H

#include "core/run.h"
#include "core/search/filter.h"

enum logged_model_status {
    LOGGED_MODEL_PENDING = 1,
    LOGGED_MODEL_READY = 2,
    LOGGED_MODEL_UPLOAD_FAILED = 3
};

struct model_metric {
    struct str key;
    struct point point;
    struct str run_id, dataset_name, dataset_digest; /* dataset: NULL p = none */
};

struct logged_model {
    int64_t uid, experiment;
    struct str model_id, name, model_type, source_run_id,
        artifact_uri; /* NULL p = none for the middle two */
    enum logged_model_status status;
    enum lifecycle lifecycle;
    int64_t create_ms, update_ms;
    struct key_value *params, *tags; /* sorted by key */
    size_t params_n, tags_n;
    struct model_metric *metrics; /* by key, then timestamp, step */
    size_t metrics_n;
};

/* "Logged model with ID 'X' not found." */
enum status logged_model_get(struct view *v, struct str model_id, bool allow_deleted,
                             struct logged_model *out, struct err *err);

struct logged_model_search {
    int64_t *experiments;
    size_t experiments_n;
    struct str filter;
    struct order_field *order_by;
    size_t order_by_n;
    struct key_value *datasets; /* name, digest (NULL p = any) */
    size_t datasets_n;
    struct page page;
};
enum status logged_model_search(struct view *v, const struct logged_model_search *in,
                                struct logged_model **out, size_t *n, struct str *next_token,
                                struct err *err);

/* Of an experiment, newest first, without params, tags and metrics: those that are active, or those in the trash. before_ms and before_uid:
 * create_ms and uid of the last one of the page before; INT64_MAX = first page. *more: there are others. */
struct logged_model_list {
    int64_t experiment;
    bool deleted;
    int64_t before_ms, before_uid;
    size_t max;
};
enum status logged_model_list(struct view *v, const struct logged_model_list *in,
                              struct logged_model **out, size_t *n, bool *more, struct err *err);

struct logged_model_create {
    struct write_op op;
    struct core *core;
    int64_t experiment;
    struct str name, model_type, source_run_id; /* NULL p = none (a name is drawn) */
    struct key_value *params, *tags;
    size_t params_n, tags_n;
    /* out */
    struct logged_model model;
};
void logged_model_create_init(struct logged_model_create *c, struct core *core, struct arena *a);

/* One change of a logged model: exactly one of the groups below is used, as `what` says. */
struct logged_model_change {
    struct write_op op;
    struct core *core;
    struct str model_id;
    enum {
        MODEL_FINALIZE,
        MODEL_DELETE,
        MODEL_RESTORE,
        MODEL_SET_TAGS,
        MODEL_DELETE_TAG,
        MODEL_LOG_PARAMS
    } what;
    enum logged_model_status status; /* MODEL_FINALIZE */
    struct key_value *items;         /* MODEL_SET_TAGS, MODEL_LOG_PARAMS */
    size_t items_n;
    struct str key; /* MODEL_DELETE_TAG */
};
void logged_model_change_init(struct logged_model_change *c, struct core *core, struct arena *a);

/* Stores the points that a run_log operation carries for a model (struct model_points, core/run.h): inside its validate(). A model that
 * this store does not know is passed over: the points are in the run, and no training fails for it. */
enum status group_model_points(struct group *g, const struct model_points *m, struct err *err);

#endif
