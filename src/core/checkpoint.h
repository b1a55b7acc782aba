/* core/checkpoint.h - checkpoints of a run: artifacts whose names carry a step.
 *
 * Recognition. In the path of an artifact, the first component that is a checkpoint's name makes everything at and below it part of
 * that checkpoint. A name is one when
 *   - it has a word and a number: step, steps, global_step, iter, iteration, epoch, checkpoint, ckpt or chkpt (any case; no letter
 *     before it), then nothing or one of _ - = . and then digits that no letter or digit follows: epoch_3, checkpoint-500, ckpt-12.index,
 *     global_step500, epoch=3-step=500.ckpt, model_iter_000500.pt;
 *   - or it is all digits in a folder called checkpoint, checkpoints, ckpt or ckpts: checkpoints/500;
 *   - or it begins with latest_checkpoint in a folder called checkpoints (what MLflow's autologging keeps with save_best_only).
 * The name up to its last such number is the checkpoint's stem; entries of one folder with one stem are one checkpoint (ckpt-3.index and
 * ckpt-3.data-00000-of-00001; epoch_3.pt and epoch_3_metrics.json). Stems that differ in their numbers only are a series, named by the
 * stem with * for the numbers: checkpoints/epoch_*. The step is the number of step, else iteration, else epoch, else the last one; an epoch
 * beside a step is kept as well. latest_checkpoint has the step that MLflow writes beside it. Pictures and tables alone
 * (.png .jpg .jpeg .gif .svg .html .csv .txt .log .md .pdf) are no checkpoint.
 * The digest of a checkpoint of one file is the file's SHA-256, of several the SHA-256 of what sha256sum prints for their paths in byte
 * order, relative to the folder of the stem.
 * The newest of a series is incomplete when it lacks a file that the one before it has (numbers of steps in names set aside): a
 * process that was killed while it uploaded leaves one.
 *
 * Logged models are checkpoints too, when the run names them as its output at a step (log_model(..., step=40)) or their name carries one.
 * Their path is models:/MODEL_ID, their series models:/ and the pattern of their name. Without a step a client says 0: so models of a
 * series that have no other step are none. Values logged to the model go before those of the run. One that is not READY is
 * incomplete; deleting moves it to the trash.
 * Ownership and thread rule: as core/run.h. */
#ifndef CAIRN_CORE_CHECKPOINT_H
#define CAIRN_CORE_CHECKPOINT_H

#include "core/artifact.h"
#include "core/run.h"

enum {
    CHECKPOINT_FILES_MAX = 100000, /* of all checkpoints of a run */
    CHECKPOINT_MODELS_MAX = 10000, /* logged models of a run */
    CHECKPOINT_METRICS_MAX = 32,
    CHECKPOINT_DELETE_MAX = 10000 /* checkpoints of one request */
};

/* ---- names: pure ------------------------------------------------------------------------------------------------------- */

struct checkpoint_name {
    size_t stem_n; /* bytes of the name */
    int64_t step, epoch;
    bool has_step, has_epoch;
};
/* folder: the whole folder of the name or its last component. */
bool checkpoint_name_parse(struct str folder, struct str name, struct checkpoint_name *out);
/* Each number behind a word becomes *; an all-digit component in a folder of checkpoints too. p NULL when memory is out. */
struct str checkpoint_pattern(struct arena *a, struct str path);

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

struct checkpoint_file {
    struct str path; /* relative to the folder of the stem */
    struct digest sha256;
    int64_t size, mtime_ms;
};
struct checkpoint_metric {
    struct str key;
    double value;
    int64_t step; /* at or before the checkpoint's, after that of the one before it in the series */
};
struct checkpoint {
    struct str series; /* "checkpoints/epoch_*" */
    struct str folder; /* "checkpoints"; "" = the top */
    struct str path;   /* folder and stem; the whole name where there is only one entry */
    int64_t step, epoch;
    bool has_step, has_epoch;
    struct digest digest;
    int64_t size, time_ms; /* sum; of the newest file */
    struct str missing;    /* path of a file that is not there; p NULL = complete */
    struct str held;       /* NAME/VERSION of a registered model made from it; p NULL = none */
    struct checkpoint_file *files; /* by path */
    size_t files_n;
    struct checkpoint_metric *metrics; /* by key; those that have a value */
    int64_t model;                     /* uid of the logged model; 0 = artifacts of the run */
    struct str model_id, model_uri;    /* of the logged model */
    size_t metrics_n;
};

enum checkpoint_mode { CHECKPOINT_MIN = 1, CHECKPOINT_MAX = 2 };
struct checkpoint_query {
    struct str run_id;
    struct str series; /* p NULL = all */
    struct str path;   /* of one checkpoint; p NULL = all */
    /* Values that they come with; none = up to CHECKPOINT_METRICS_MAX keys of the run, but system/ ones. */
    const struct str *keys;
    size_t keys_n;
    struct str
        best; /* best first by this metric, those without a value left out; p NULL = by series, the highest step first */
    enum checkpoint_mode mode;
};
/* ST_NOT_FOUND for the run, and for a path or series that is asked for. */
enum status checkpoint_list(struct view *v, const struct checkpoint_query *q,
                            struct checkpoint **out, size_t *n, struct err *err);

/* ---- retention ------------------------------------------------------------------------------------------------------------- */

struct checkpoint_keep {
    struct str run_id, series;
    size_t last, best; /* newest and best that stay; together they are what stays */
    struct str metric; /* for best */
    enum checkpoint_mode mode;
};
/* The checkpoints of one series, the highest step first, and which go. What is incomplete, has no step, or is held by a registered model
 * stays and is not counted. ST_INVALID when nothing would be kept, or no checkpoint has a value of the metric. */
enum status checkpoint_plan(struct view *v, const struct checkpoint_keep *k,
                            struct checkpoint **out, bool **goes, size_t *n, struct err *err);

/* Deletes checkpoints as artifacts are deleted, logged models into the trash, all in one transaction, if each is still what it was: ST_CONFLICT otherwise. Ones that are
 * gone already are fine. */
struct checkpoint_delete {
    struct write_op op;
    struct core *core;
    struct str run_id;
    struct str *paths;
    struct digest *digests;
    size_t n;
    int64_t deleted; /* out */
};
void checkpoint_delete_init(struct checkpoint_delete *d, struct core *core, struct arena *a);

#endif
