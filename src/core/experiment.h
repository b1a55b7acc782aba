/* core/experiment.h - experiments: the named folders of runs.
 * Experiment 0 is Default and exists from the first start; ids ascend. Names are unique including deleted experiments.
 * Deleting an experiment deletes all its runs, restoring it restores all of them.
 * Ownership: operations and what they point to live in the caller's arena until done has run; what reads return lives in the
 * view's arena. Thread rule: init functions any thread; reads on pool threads; functions with a group on the sequencer. */
#ifndef CAIRN_CORE_EXPERIMENT_H
#define CAIRN_CORE_EXPERIMENT_H

#include "core/core.h"
#include "store/seq.h"

struct experiment {
    int64_t id, uid;
    struct str name, artifact_location;
    enum lifecycle lifecycle;
    int64_t create_ms, update_ms;
    struct key_value *tags; /* sorted by key */
    size_t tags_n;
};

/* What the sequencer remembers of experiments (struct core's `experiments`). */
enum status experiments_new(struct experiments **out, struct err *err);
void experiments_free(struct experiments *x);
/* Rows may have been changed by other servers. On the sequencer's thread, not inside a validate(). */
void experiments_forget(struct core *core);
/* One of them is being changed, or that is undone. On the sequencer's thread. */
void experiment_forget(struct core *core, int64_t id);
/* Creates experiment 0 in a store that has none. Waits for the sequencer: at start-up only. */
enum status experiments_ensure_default(struct core *core, struct err *err);

/* "Invalid experiment ID 'x'. Experiment ID must be a valid integer."; "" is 0. */
enum status experiment_parse_id(struct str text, int64_t *id, struct err *err);

/* ---- reads ---------------------------------------------------------------------------------------------------------- */

/* ST_NOT_FOUND: "No Experiment with id=N exists". Deleted ones are found too. */
enum status experiment_get(struct view *v, int64_t id, struct experiment *out, struct err *err);
/* ST_NOT_FOUND: "Could not find experiment with name 'x'". */
enum status experiment_get_by_name(struct view *v, struct str name, struct experiment *out,
                                   struct err *err);
struct experiment_search {
    struct str filter;
    struct str *order_by;
    size_t order_by_n;
    enum view_type view_type;
    struct page page;
};
enum status experiment_search(struct view *v, const struct experiment_search *in,
                              struct experiment **out, size_t *n, struct str *next_token,
                              struct err *err);

/* ---- writes ------------------------------------------------------------------------------------------------------------ */

struct experiment_create {
    struct write_op op;
    struct core *core;
    struct str name;
    struct str artifact_location; /* NULL p: <artifact root>/<id> */
    struct key_value *tags;
    size_t tags_n;
    /* out */
    int64_t id;
};
void experiment_create_init(struct experiment_create *c, struct core *core, struct arena *a);

struct experiment_rename {
    struct write_op op;
    struct core *core;
    int64_t id;
    struct str name;
};
void experiment_rename_init(struct experiment_rename *r, struct core *core, struct arena *a);

/* Deletes an active experiment or restores a deleted one, with all its runs; else ST_NOT_FOUND. */
struct experiment_lifecycle {
    struct write_op op;
    struct core *core;
    int64_t id;
    enum lifecycle to;
};
void experiment_lifecycle_init(struct experiment_lifecycle *l, struct core *core, struct arena *a);

/* Sets a tag, or removes it when `remove` is set; the experiment must be active. */
struct experiment_tag {
    struct write_op op;
    struct core *core;
    int64_t id;
    struct str key, value;
    bool remove;
};
void experiment_tag_init(struct experiment_tag *t, struct core *core, struct arena *a);

/* ---- for other services, inside validate() ------------------------------------------------------------------------------- */

/* ST_NOT_FOUND if missing: "No Experiment with id=N exists". */
enum status experiment_require(struct core *core, struct group *g, int64_t id, struct err *err);
/* ST_NOT_FOUND if missing; ST_INVALID "The experiment N must be in the 'active' state. Current state is deleted.". */
enum status experiment_require_active(struct core *core, struct group *g, int64_t id,
                                      struct err *err);
/* Where the experiment's artifacts lie, copied to the arena; p NULL when missing or memory is out. After require_active. */
struct str experiment_artifact_location(struct core *core, struct group *g, int64_t id,
                                        struct arena *a);
/* The node of the experiment; 0 when missing. After require_active. */
int64_t experiment_uid(struct core *core, struct group *g, int64_t id);

#endif
