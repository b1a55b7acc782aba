/* core/purge.h - the trash, and deleting logged models and experiments for good; runs: core/run_purge.h.
 * A logged model goes in one operation: its row, names, params, tags. An experiment leaves at once: nobody finds it any more, its name is
 * free, its runs can no longer be written. What was in it goes in short transactions of the worker, also after a crash: runs, logged
 * models, data sets, columns; until then its runs are found as deleted ones. Tombstones stay, with what the things were called and
 * where they were, and so do the edges: what was made of them keeps its origin. Bytes are given back by the collection.
 * Ownership and thread rule: as struct write_op; contents_ are reads. */
#ifndef CAIRN_CORE_PURGE_H
#define CAIRN_CORE_PURGE_H

#include "core/core.h"
#include "store/seq.h"

/* Deletes a logged model, active or deleted, for good. ST_NOT_FOUND "Logged model with ID 'X' not found." */
struct logged_model_purge {
    struct write_op op;
    struct core *core;
    struct str model_id, who;
    bool force; /* also when registered versions stand on it; else ST_CONFLICT */
    /* > 0: only one that was deleted before and that no version stands on; else ST_INVALID_STATE: retention */
    int64_t deleted_before_ms;
};
void logged_model_purge_init(struct logged_model_purge *p, struct core *core, struct arena *a);

/* Deletes an experiment, active or deleted, and all that is in it for good. ST_NOT_FOUND; ST_INVALID for experiment 0, which every store
 * has. */
struct experiment_purge {
    struct write_op op;
    struct core *core;
    int64_t id;
    struct str who;
    bool force; /* also when registered versions stand on what is in it; else ST_CONFLICT */
};
void experiment_purge_init(struct experiment_purge *p, struct core *core, struct arena *a);

/* ---- what would go ----------------------------------------------------------------------------------------------------- */

enum { CONTENTS_VERSIONS_MAX = 100 };
struct contents {
    int64_t runs, logged_models, files, bytes; /* bytes: of the files, before they share any */
    struct str
        versions[CONTENTS_VERSIONS_MAX]; /* NAME/NUMBER: registered versions that stand on it */
    size_t versions_n;
    bool going; /* it is being deleted for good */
};
/* An experiment, also while it goes: then ST_NOT_FOUND says that nothing is left. */
enum status contents_of_experiment(struct view *v, int64_t id, struct contents *out,
                                   struct err *err);
enum status contents_of_run(struct view *v, struct str run_id, struct contents *out,
                            struct err *err);
enum status contents_of_logged_model(struct view *v, struct str model_id, struct contents *out,
                                     struct err *err);

#endif
