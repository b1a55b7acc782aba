/* core/catalog_tracking.h - making and changing experiments and runs by dense numbers: for tongues beside MLflow's.
 * They are the experiments and runs of core/experiment.h and core/run.h; the operations here are made of theirs, all or nothing. What
 * those have no place for (properties, a state, an external id) are properties and identities of the node. A description is the tag
 * mlflow.note.content, the owner of a new run its user.
 * Ownership and thread rule: as core/catalog.h. What was made is read with catalog_get_uid() after the commit. */
#ifndef CAIRN_CORE_CATALOG_TRACKING_H
#define CAIRN_CORE_CATALOG_TRACKING_H

#include "core/catalog.h"
#include "core/dataset.h"
#include "core/experiment.h"

/* "experiment with name X already exists" (ST_EXISTS). */
struct catalog_experiment_create {
    struct write_op op;
    struct core *core;
    struct str name, who;
    struct catalog_facts facts;
    /* out */
    int64_t uid;
    /* Private. */
    struct experiment_create base;
};
void catalog_experiment_create_init(struct catalog_experiment_create *c, struct core *core,
                                    struct arena *a);

struct catalog_experiment_patch {
    struct write_op op;
    struct core *core;
    int64_t id;
    struct str who;
    struct catalog_facts facts;
};
void catalog_experiment_patch_init(struct catalog_experiment_patch *p, struct core *core,
                                   struct arena *a);

/* What a run may be told beside its facts. An end before its start is ST_INVALID. */
struct catalog_run_times {
    bool has_status, has_end;
    enum run_status status;
    int64_t end_ms;
};

/* Names of runs need not differ. */
struct catalog_run_create {
    struct write_op op;
    struct core *core;
    int64_t experiment_id; /* 404 on "experimentId" */
    struct str name, owner, who;
    int64_t start_ms;
    struct catalog_run_times times;
    struct catalog_facts facts;
    /* out */
    int64_t uid;
    /* Private. */
    struct run_create base;
    struct run_update update;
    struct key_value note;
};
void catalog_run_create_init(struct catalog_run_create *c, struct core *core, struct arena *a);

struct catalog_run_patch {
    struct write_op op;
    struct core *core;
    int64_t id;
    struct str who;
    struct catalog_run_times times;
    struct catalog_facts facts;
    /* Private. */
    struct run_update update;
    struct run_log log;
    struct key_value note;
};
void catalog_run_patch_init(struct catalog_run_patch *p, struct core *core, struct arena *a);

/* Points, params, tags and data sets of one run: log and links are filled as for operations of their own, but for the run. */
struct catalog_run_log {
    struct write_op op;
    struct core *core;
    int64_t id;
    struct run_log log;
    struct run_links links;
};
void catalog_run_log_init(struct catalog_run_log *l, struct core *core, struct arena *a);

#endif
