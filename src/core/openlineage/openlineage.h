/* core/openlineage/openlineage.h - events of OpenLineage, and what they say of jobs, runs and data.
 *
 * An event is stored as it came, and what it says becomes rows in the same operation, so that an answer means both. The rows are a
 * function of the set of events: in whatever order, how often and in which portions they come, the graph is the same.
 *
 *   namespace, job, data set   contexts; a job and a data set have their namespace as parent
 *   run                        an execution, member of its job
 *   version of a data set      an artifact, member of its data set; links lead from the versions that a run read to it, and from it to
 *                              those it made, with the roles of core/node.h
 *
 * Facets: of each, what the newest event says holds (by its time, then by the hash of the event), told apart for a run, a job, a data
 * set, a version, and for what a run reads and writes. A facet of a job or a data set that is _deleted is gone. Of more than OL_CELLS_MAX
 * different ones, those whose key comes first by bytes are remembered, and the ones that rows and links are made of always.
 * State of a run: a COMPLETE, FAIL or ABORT holds against all others, the newest of them; else START and RUNNING; else it is new.
 * Inputs and outputs of a run: all that its events name; where its job says COMPLETE_SNAPSHOT, those of the newest event that names any.
 * Versions: one that says its version is that one. An output that does not is a version of its run's own, known since the run first
 * named it. An input that does not is bound to the newest version that was known when the run first named it, and that it does not make itself;
 * bound again when what was known then changes. Before any known version there is one without name, event_us OL_EVER.
 *
 * Bodies of events and facets come back byte for byte. Numbers of nodes (node.id) are their uid; their namespace is OL_NS.
 * Ownership: an operation borrows everything from its arena. Thread rule: writes as other write operations; reads need a view. */
#ifndef CAIRN_CORE_OPENLINEAGE_OPENLINEAGE_H
#define CAIRN_CORE_OPENLINEAGE_OPENLINEAGE_H

#include "core/node.h"

enum { OL_NS = -2 }; /* node.ns and ident.ns */
#define OL_EVER INT64_MIN
enum {
    OL_NS_MAX = 1024,        /* bytes of the name of a namespace */
    OL_NAME_MAX = 2048,      /* of a job or a data set */
    OL_RUN_TEXT_MAX = 1024,  /* of a run's id */
    OL_VERSION_MAX = 1024,   /* of the version of a data set */
    OL_KEY_MAX = 256,        /* of the key of a facet */
    OL_FIELD_MAX = 1000,     /* of a column: longer ones are left out of lineage by column */
    OL_EVENTS_MAX = 10000,   /* of one request */
    OL_DATASETS_MAX = 20000, /* inputs and outputs of one event */
    OL_FACETS_MAX = 1000,    /* of one object in one event */
    OL_CELLS_MAX = 2000      /* that are remembered of one thing */
};

enum ol_kind { OL_RUN_EVENT = 1, OL_JOB_EVENT = 2, OL_DATASET_EVENT = 3 };
enum ol_type {
    OL_TYPE_NONE,
    OL_START,
    OL_RUNNING,
    OL_COMPLETE,
    OL_ABORT,
    OL_FAIL,
    OL_OTHER,
    OL_TYPE_UNKNOWN
};
/* Numbers of ML Metadata. */
enum ol_state {
    OL_STATE_NEW = 1,
    OL_STATE_RUNNING = 2,
    OL_STATE_COMPLETE = 3,
    OL_STATE_FAILED = 4,
    OL_STATE_CANCELLED = 6
};
enum ol_dir { OL_IN = 1, OL_OUT = 2 };

/* ---- an event, taken apart ------------------------------------------------------------------------------------------------- */

struct ol_facet {
    struct str key;
    struct str json; /* its bytes */
    bool deleted;    /* it says _deleted */
    int64_t h, h2;   /* of the bytes, when they are more than OL_INLINE_MAX */
};
enum { OL_INLINE_MAX = 256 };
struct ol_name {
    struct str ns, name;
};
struct ol_symlink {
    struct ol_name other;
    struct str type;
};
/* One column was made of another. */
struct ol_column {
    struct str field;
    struct ol_name from;
    struct str from_field;
    struct str kind; /* one of column_kinds (core/graph/graph.h) */
};
/* What a lineage facet says of a whole: src led to dst. A job without a name is the event's own. */
struct ol_end {
    bool is_job;
    struct ol_name name;
};
struct ol_said_link {
    struct ol_end src, dst;
};
struct ol_dataset {
    struct ol_name name;
    struct ol_facet *facets, *io_facets; /* io_facets: inputFacets or outputFacets */
    size_t facets_n, io_facets_n;
    struct str version; /* p NULL = not said */
    struct ol_symlink *symlinks;
    size_t symlinks_n;
    bool has_symlinks;
    struct ol_name renamed_from; /* name.p NULL = it was not renamed */
    struct ol_column *columns;
    size_t columns_n, columns_cap;
    bool has_columns; /* a columnLineage facet is there */
    int64_t columns_h;
    struct ol_said_link *links;
    size_t links_n;
    bool has_links;
};
struct ol_run_ref {
    unsigned char id[16];
    struct str text; /* p NULL = the id is what was said */
    bool is_set;
};
struct ol_event {
    struct str raw;
    int64_t h, h2; /* of the canonical body */
    int64_t event_us;
    enum ol_kind kind;
    enum ol_type type;
    struct ol_name job; /* name.p NULL = none */
    struct ol_facet *job_facets;
    size_t job_facets_n;
    struct ol_run_ref run;
    struct ol_facet *run_facets;
    size_t run_facets_n;
    bool has_emission, is_snapshot; /* the jobType facet says how the run's events add up */
    bool has_nominal;
    int64_t nominal_start_us, nominal_end_us; /* INT64_MIN = not said */
    bool has_parent;                          /* a parent facet is there */
    struct ol_run_ref parent, root;
    struct ol_name parent_job, root_job; /* name.p NULL = not said */
    bool has_inputs, has_outputs;        /* the member is there */
    struct ol_dataset *inputs, *outputs;
    size_t inputs_n, outputs_n;
    struct ol_dataset *dataset; /* of an OL_DATASET_EVENT */
    struct ol_said_link *links; /* of the job's lineage facet */
    size_t links_n;
    bool has_links;
    bool known; /* out: it was there before, or stands twice in the operation */
};

/* ---- writing --------------------------------------------------------------------------------------------------------------- */

/* Stores events and what they say. All or nothing. */
struct ol_put {
    struct write_op op;
    struct core *core;
    struct ol_event *events; /* known is filled */
    size_t n;
    /* out */
    size_t added;
};
void ol_put_init(struct ol_put *p, struct core *core, struct arena *a);

/* What the writing side remembers of rows: belongs to the core, used on the sequencer's thread. */
struct ol_memo;
enum status ol_memo_new(struct ol_memo **out, struct err *err);
void ol_memo_free(struct ol_memo *m); /* NULL-safe */
/* Rows may have changed elsewhere, or memory is wanted: nothing is remembered from here on. The sequencer's thread. */
void ol_memo_forget(struct ol_memo *m);

/* The UUID of a run that is called by another text: a name-based one (RFC 9562, version 5, in the namespace of URLs, of
 * "openlineage:run:" and the text). False when memory is out. */
bool ol_run_id_of_text(struct str text, unsigned char out[16]);
/* 36 digits and dashes of either case, or 32 digits. */
bool ol_run_id_parse(struct str text, unsigned char out[16]);
struct str ol_run_id_text(struct arena *a,
                          const unsigned char id[16]); /* lower case, with dashes */

/* A run of MLflow that says by a tag which run of a job started it: "NAMESPACE/JOB/RUNID", as OPENLINEAGE_PARENT_ID has it, of which the id
 * alone counts; a text without a slash is the id. The run of the job is made if no event has named it yet. Inside validate(). */
#define OL_PARENT_TAG "openlineage.parent"
enum status ol_started_by(struct group *g, struct core *core, struct arena *a, int64_t run,
                          struct str parent, struct err *err);

/* ---- finding -------------------------------------------------------------------------------------------------------------- */

/* The node of a job (IDENT_OL_JOB) or a data set (IDENT_OL_DATASET); *uid 0: there is none. */
enum status ol_find(struct view *v, enum ident_scheme scheme, struct str ns, struct str name,
                    int64_t *uid, struct err *err);
/* Of the run with that UUID. */
enum status ol_find_run(struct view *v, struct str id, int64_t *uid, struct err *err);

/* ---- reading --------------------------------------------------------------------------------------------------------------- */

enum ol_scope {
    OL_OF_SELF = 0, /* of the run, job, data set or version itself */
    OL_OF_INPUT = 1,
    OL_OF_OUTPUT = 2, /* inputFacets and outputFacets of a run: dataset says of which */
    OL_OF_MADE = 3    /* facets of a data set as a run made it: those of that version */
};
struct ol_facet_row {
    enum ol_scope scope;
    int64_t dataset;
    struct str key, json;
    int64_t event_us; /* of the event that said it */
};
/* The facets in a body of ol_job, ol_dataset or ol_version (of a version that has a name; those of a run's own are in the body of that
 * run), in the view's arena. */
enum status ol_facets(struct view *v, struct str body, struct ol_facet_row **out, size_t *n,
                      struct err *err);
/* The same of ol_run, of every scope. */
enum status ol_run_facets(struct view *v, struct str body, struct ol_facet_row **out, size_t *n,
                          struct err *err);
/* What a run reads and writes, from its body. version: 0 for an input that did not say which: then it is in ol_read. */
struct ol_io_row {
    enum ol_dir dir;
    int64_t dataset, version;
    int64_t first_us, last_us;
};
enum status ol_run_io(struct view *v, struct str body, struct ol_io_row **out, size_t *n,
                      struct err *err);

/* Events by time, their bytes in the view's arena. A page goes on behind (after_us, after): in the beginning INT64_MIN or, downwards,
 * INT64_MAX, both. */
struct ol_stored {
    int64_t seq, event_us;
    enum ol_kind kind;
    struct str raw;
};
struct ol_events_query {
    int64_t from_us, until_us; /* until_us is not in it */
    bool down;                 /* newest first */
    int64_t after_us, after;
    size_t max;
    size_t bytes_max; /* of bodies; at least one event is given; 0 = 16 MiB */
};
enum status ol_events(struct view *v, const struct ol_events_query *q, struct ol_stored **out,
                      size_t *n, bool *more, struct err *err);

#endif
