/* api/mlflow/mlflow_int.h - shared by the files of this folder. */
#ifndef CAIRN_API_MLFLOW_MLFLOW_INT_H
#define CAIRN_API_MLFLOW_MLFLOW_INT_H

#include "api/mlflow/mlflow.h"
#include "core/dataset.h"
#include "core/experiment.h"
#include "core/logged_model.h"
#include "core/run.h"
#include "gen/mlflow/tracking.h"

#define READ(fn)        ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_READ, .read = (fn))
#define WRITE(start_fn) ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_WRITE, .start = (start_fn))
/* The answer comes from what the operation left, or from the store. */
#define WRITE_THEN(start_fn, finish_fn)                                                            \
    ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_WRITE, .start = (start_fn),                    \
             .finish = (finish_fn))
#define WRITE_READ(start_fn, read_fn)                                                              \
    ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_WRITE, .start = (start_fn), .read = (read_fn))
#define DIRECT(fn) ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_DIRECT, .direct = (fn))
#define STREAM(fn) ENDPOINT(.tongue = &mlflow_tongue, .kind = CALL_STREAM, .stream = (fn))

/* Tables of each file. */
extern const struct route mlflow_experiment_routes[], mlflow_run_routes[], mlflow_metric_routes[],
    mlflow_model_routes[], mlflow_artifact_routes[], mlflow_registry_routes[],
    mlflow_server_routes[];
extern const size_t mlflow_experiment_routes_n, mlflow_run_routes_n, mlflow_metric_routes_n,
    mlflow_model_routes_n, mlflow_artifact_routes_n, mlflow_registry_routes_n,
    mlflow_server_routes_n;

/* ---- encode.c: core values as messages; everything in the arena ----------------------------------------------------- */

enum status mlflow_put_experiment(struct arena *a, const struct experiment *x,
                                  struct mlflow_experiment *out, struct err *err);
void mlflow_put_run_info(struct arena *a, const struct run_view *r, struct mlflow_run_info *out);
/* The whole run with its inputs and outputs. NONE: it is known to have none; LISTED: as runs/search shows it, without the models
 * that it read. */
enum mlflow_links { MLFLOW_LINKS_NONE, MLFLOW_LINKS_LISTED, MLFLOW_LINKS_ALL };
enum status mlflow_put_run(struct view *v, const struct run_view *r, enum mlflow_links links,
                           struct mlflow_run *out, struct err *err);
/* run_list.c: the runs that exist, as runs/search shows them, separated by commas. */
enum status mlflow_append_runs(struct view *v, const int64_t *uids, size_t n, struct buf *out,
                               struct err *err);
/* A run that has no inputs and outputs yet. */
enum status mlflow_put_new_run(struct arena *a, const struct run_view *r, struct mlflow_run *out,
                               struct err *err);
void mlflow_put_metric(struct str key, const struct point *p, struct mlflow_metric *out);
/* Infinities are shown as the largest finite doubles. */
double mlflow_finite(double v);
enum status mlflow_put_model(struct arena *a, const struct logged_model *m,
                             struct mlflow_logged_model *out, struct err *err);
struct str mlflow_id_text(struct arena *a, int64_t id);

/* ---- artifacts.c, artifact_direct.c ------------------------------------------------------------------------------------ */

/* ST_END after answering that the proxy is off. */
enum status mlflow_proxy_is_on(struct call *c);
extern const struct route mlflow_direct_routes[];
extern const size_t mlflow_direct_routes_n;

/* ---- requests -------------------------------------------------------------------------------------------------------- */

/* Tags and params of a request as pairs; an absent value is "". NULL when memory is out (n > 0). */
struct key_value *mlflow_run_tags(struct arena *a, const struct mlflow_run_tag *tags, size_t n);
struct key_value *mlflow_params(struct arena *a, const struct mlflow_param *params, size_t n);
/* Every id of a list, parsed. */
enum status mlflow_experiment_ids(struct arena *a, const struct str *texts, size_t n, int64_t **out,
                                  struct err *err);

#endif
