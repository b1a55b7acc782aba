/* core/model_inspect.h - the files of a model, looked into without running them (inspect/inspect.h), and what was found kept with the
 * version.
 * A read opens the files of a folder of artifacts; looking into them may wait for a network and takes up to INSPECT_TIME_MS, so it runs
 * on a thread of artifact_work_submit(); storing is an operation of the sequencer.
 * Ownership: everything lies in the arenas that the caller gives. Thread rule: as said. */
#ifndef CAIRN_CORE_MODEL_INSPECT_H
#define CAIRN_CORE_MODEL_INSPECT_H

#include "core/artifact.h"
#include "core/registry.h"
#include "inspect/inspect.h"

enum {
    INSPECT_FILES_MAX = 64, /* of a folder; more are counted */
    INSPECT_TIME_MS = 20000,
    INSPECT_AT_ONCE = 2, /* inspections of one process */
    INSPECT_FINDINGS_MAX = 200
};

struct model_files {
    struct core *core;
    struct artifact_bytes bytes[INSPECT_FILES_MAX];
    struct str paths[INSPECT_FILES_MAX]; /* below the folder */
    size_t n;
    uint64_t all;
    const struct inspect_report *reports[INSPECT_FILES_MAX]; /* after model_files_inspect() */
    bool counted;                                            /* holds one of INSPECT_AT_ONCE */
};
/* Where the files of a version are: its storage, through runs:/ and models:/ to the artifacts. ST_INVALID for places that this server does
 * not serve. */
enum status model_version_place(struct view *v, const struct model_version *version,
                                struct artifact_place *out, struct err *err);
/* A read. Opens the files at and below a place; descriptors are closed with the view's arena. ST_NOT_FOUND when there are none,
 * ST_UNAVAILABLE when INSPECT_AT_ONCE others are at work. */
enum status model_files_open(struct view *v, const struct artifact_place *place,
                             struct model_files **out, struct err *err);
/* On a thread that may wait. Reports lie in `a`, which is another arena than that of the view or the same. */
enum status model_files_inspect(struct model_files *f, struct arena *a, struct err *err);

/* ---- kept with the version -------------------------------------------------------------------------------------------------- */

struct inspection {
    int64_t files, size, params, tensors, findings_n;
    bool has_worst, complete;
    enum inspect_severity worst;
    struct str formats; /* "pytorch, safetensors" */
    struct str who;
    int64_t at_ms;
    struct inspect_finding *findings; /* the worst first */
};
/* What the reports of the files come to; findings say in which file they are. */
enum status inspection_of(const struct model_files *f, struct arena *a, struct inspection *out,
                          struct err *err);
/* ST_NOT_FOUND when the version was not looked at yet. */
enum status inspection_get(struct view *v, int64_t version_uid, struct inspection *out,
                           struct err *err);

/* Replaces what is kept. "Model Version (name=X, version=N) not found" when it went meanwhile. */
struct inspection_put {
    struct write_op op;
    struct core *core;
    struct str name, who;
    int64_t version;
    struct inspection found;
};
void inspection_put_init(struct inspection_put *p, struct core *core, struct arena *a);

#endif
