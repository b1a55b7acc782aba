/* core/dataset.h - what runs read and made: dataset inputs, model inputs, model outputs.
 * Datasets and logged models are nodes; inputs and outputs are edges, there only. A dataset is known by (experiment, name,
 * digest); logging it again adds nothing, and the tags of an existing input are not changed.
 * Ownership and thread rule: as core/run.h. */
#ifndef CAIRN_CORE_DATASET_H
#define CAIRN_CORE_DATASET_H

#include "core/core.h"
#include "store/seq.h"

struct dataset_input {
    int64_t uid;
    struct str name, digest, source_type, source;
    struct str schema, profile; /* NULL p = none */
    struct str context;         /* tag mlflow.data.context; NULL p = none */
    struct key_value *tags;
    size_t tags_n;
};

enum status dataset_inputs_of_run(struct view *v, int64_t run_uid, struct dataset_input **out,
                                  size_t *n, struct err *err);
/* The first `max` of them, without profile, context and tags. */
enum status dataset_places_of_run(struct view *v, int64_t run_uid, size_t max,
                                  struct dataset_input **out, size_t *n, struct err *err);
/* The first `max`, like the next one. */
enum status model_inputs_of_run(struct view *v, int64_t run_uid, size_t max, struct str **model_ids,
                                size_t *n, struct err *err);
struct model_output {
    struct str model_id;
    int64_t step;
};
enum status model_outputs_of_run(struct view *v, int64_t run_uid, size_t max,
                                 struct model_output **out, size_t *n, struct err *err);

/* Which of the runs have inputs or outputs, sorted; the others need not be asked one by one. */
enum status runs_with_links(struct view *v, const int64_t *run_uids, size_t n, int64_t **out,
                            size_t *out_n, struct err *err);

struct dataset_summary {
    int64_t experiment;
    struct str name, digest, context;
};
/* Distinct (name, digest, context) of the inputs of all runs of the experiments, at most max. */
enum status dataset_summaries(struct view *v, const int64_t *experiments, size_t n, size_t max,
                              struct dataset_summary **out, size_t *out_n, struct err *err);

/* Logs inputs and outputs of one active run, all or nothing. */
struct run_links {
    struct write_op op;
    struct core *core;
    struct str run_id;
    struct dataset_input *datasets; /* uid and context are ignored */
    size_t datasets_n;
    struct str *model_inputs;
    size_t model_inputs_n;
    struct model_output *model_outputs;
    size_t model_outputs_n;
    /* out */
    int64_t run_uid;
};
void run_links_init(struct run_links *l, struct core *core, struct arena *a);

#endif
