/* core/run_int.h - shared by the files of core/run. */
#ifndef CAIRN_CORE_RUN_INT_H
#define CAIRN_CORE_RUN_INT_H

#include "core/run.h"
#include "store/heads.h"
#include "store/series/batch.h"
#include "store/series/series.h"

#define RUN_NAME_TAG S("mlflow.runName")

/* The node of a run; ST_NOT_FOUND "Run with id=X not found". On a pool thread. */
enum status run_uid(struct view *v, struct str run_id, int64_t *uid, struct err *err);
/* The head of a run, as the group sees it; ST_NOT_FOUND "Run with id=X not found". */
enum status run_head(struct group *g, struct str run_id, struct head **out, struct err *err);
/* ST_INVALID unless the run is active in the eyes of the group. */
enum status run_check_active(struct group *g, const struct head *h, struct err *err);

/* run_log with points for models: its validate() also runs SQL that can fail. */
extern const struct write_kind run_log_models_kind;

/* A param or tag that the group has set (p NULL: deleted), for its later operations. */
enum status run_pending_set(struct group *g, enum pending_kind kind, const struct head *h,
                            const struct mkey *key, struct str value, struct err *err);

/* A copy of the head, if it is in memory. Pool threads. */
enum status run_from_memory(struct heads *hs, struct arena *a, int64_t uid, struct run_view *out,
                            bool *found, struct err *err);
struct run_metric run_metric_of(struct str key, const struct metric_cell *m);
/* Sorts params or tags as views hold them. */
void run_pairs_sort(struct key_value *p, size_t n);

/* Points of one owner inside a group: keys looked up, room reserved, record written; then appended or given back. */
struct points_write {
    struct series *series;
    struct tail *tail;
    struct tail_point *points;
    struct mkey **keys; /* of the request's keys */
    size_t n, keys_n;
};
enum status points_prepare(struct group *g, struct points_write *w, struct arena *a,
                           const struct run_points *p, struct err *err);
enum status points_reserve(struct points_write *w, int64_t owner, struct err *err);
enum status points_record(struct group *g, const struct points_write *w, enum batch_kind kind,
                          int64_t owner, const struct run_points *p, struct err *err);
void points_append(struct points_write *w);
void points_undo(struct points_write *w);

#endif
