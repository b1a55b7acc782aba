/* core/purge_int.h - what deleting for good shares between its files (run_purge.h, purge.h), inside validate(). */
#ifndef CAIRN_CORE_PURGE_INT_H
#define CAIRN_CORE_PURGE_INT_H

#include "core/run_purge.h"

/* Takes the names of runs away and leaves tombstones; memory forgets them with the commit. What they hold is still there: the caller
 * deletes it or lists it in `purge`, before this where it needs their rows. experiment: its name, when it has no row any more; name: of
 * the one run, newer than its row's. p NULL: none. */
enum status purge_runs(struct group *g, const int64_t *uids, size_t n, struct str who,
                       struct str experiment, struct str name, struct err *err);
/* Takes a logged model away and lists what it holds. */
enum status purge_logged_model(struct group *g, struct arena *a, int64_t uid,
                               struct str artifact_uri, struct str who, struct str experiment,
                               struct err *err);
/* Memory, here and on other servers, forgets owners of points with the commit. */
enum status purge_forget(struct group *g, const int64_t *uids, size_t n, struct err *err);

/* Deletes the next part of an experiment that has no row any more; the last one takes it off the list. */
struct experiment_rest {
    int64_t exp, uid;
    struct str name, who;
};
enum status purge_experiment_part(struct group *g, struct arena *a, const struct experiment_rest *r,
                                  struct err *err);

#endif
