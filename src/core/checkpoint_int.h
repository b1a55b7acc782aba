/* core/checkpoint_int.h - shared by the files of core/checkpoint. */
#ifndef CAIRN_CORE_CHECKPOINT_INT_H
#define CAIRN_CORE_CHECKPOINT_INT_H

#include "core/checkpoint.h"

struct sql_conn;

/* The checkpoints among the artifacts of a root, in no order; path p NULL: all, else that one. Without metrics, held and missing. Files are
 * sorted and the digests made. */
enum status checkpoint_gather(struct sql_conn *conn, struct arena *a, struct str root_uri,
                              struct str path, struct checkpoint **out, size_t *n, struct err *err);
/* The artifact root of a run. */
enum status checkpoint_root(struct view *v, struct str artifact_uri, int64_t owner,
                            struct str *root_uri, struct err *err);
/* Values of the metrics at the checkpoints: sorted by series, the highest step first. */
enum status checkpoint_join(struct view *v, const struct run_view *run, const struct str *keys,
                            size_t keys_n, struct checkpoint *list, size_t n, struct err *err);
/* ---- logged models ------------------------------------------------------------------------------------------------------ */

/* Adds the logged models of a run that are checkpoints, as checkpoint_gather() gives them. */
enum status checkpoint_models(struct view *v, int64_t run, struct checkpoint **list, size_t *n,
                              struct err *err);
/* Files, size and digest of a logged model whose URI is set. One whose bytes lie elsewhere has no files. */
enum status checkpoint_model_files(struct view *v, struct checkpoint *c, struct err *err);
/* Values that were logged to the model go before those of the run. */
enum status checkpoint_model_metrics(struct view *v, const struct str *keys, size_t keys_n,
                                     struct checkpoint *c, struct err *err);
enum status checkpoint_model_held(struct view *v, struct checkpoint *c, struct err *err);
/* Whether a path is that of a logged model. */
bool checkpoint_is_model(struct str path);
/* Into the trash, inside a transaction; counted when it was there. */
enum status checkpoint_model_delete(struct view *v, struct group *g, int64_t run, struct str path,
                                    const struct digest *digest, int64_t *deleted, struct err *err);
/* NULL: it has no value. */
const struct checkpoint_metric *checkpoint_metric(const struct checkpoint *c, struct str key);

#endif
