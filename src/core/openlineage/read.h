/* core/openlineage/read.h - jobs, runs, data sets and lineage of OpenLineage as user interfaces ask for them: whole things with what their
 * facets say, pages of lists, search, counts, and graphs of jobs, of columns and of runs.
 *
 * What a job reads and writes now is what an event of the job itself says and what its newest run says; of a direction that this run says
 * nothing of, what earlier ones said. What a client has hidden (edit.h) is in no list and no graph until an event that is newer names it.
 * A version of a job is a set of inputs and outputs that runs of it had; its id is made of them, so it is the same wherever it is asked for.
 *
 * Ownership: everything lives in the view's arena. Thread rule: reads, on pool threads. */
#ifndef CAIRN_CORE_OPENLINEAGE_READ_H
#define CAIRN_CORE_OPENLINEAGE_READ_H

#include "base/hash.h"
#include "core/openlineage/openlineage.h"

enum {
    OL_PAGE_MAX = 1000,   /* of a list */
    OL_GRAPH_NODES = 500, /* of a graph, where nobody says another number */
    OL_GRAPH_NODES_MAX = 20000,
    OL_GRAPH_LINKS_MAX = 200000,
    OL_DEPTH_MAX = 1000,
    OL_VERSION_RUNS = 1000, /* newest runs of a job that its versions are found in */
    OL_LINKS_OF_RUNS_MAX = 100000
};

struct ol_space_view {
    int64_t uid, create_us, update_us;
    struct str name;
    bool hidden;
};
struct ol_field_view {
    struct str name, type, description; /* p NULL = not said */
    struct str *tags;
    size_t tags_n;
};
struct ol_link_view { /* of a run: a version of a data set */
    int64_t run, version, dataset;
};
struct ol_run_view {
    int64_t uid, job, create_us, update_us;
    struct str id, text; /* text: what the producer called it, where that is no UUID; else p NULL */
    struct ol_name name; /* of its job */
    enum ol_state state;
    bool has_start, has_end, has_nominal_start, has_nominal_end;
    int64_t start_us, end_us, nominal_start_us, nominal_end_us;
    int64_t parent_job;
    struct ol_facet_row *facets; /* of the run, and of what it reads and writes */
    size_t facets_n;
    struct ol_link_view *in, *out;
    size_t in_n, out_n;
    struct digest version; /* of its job, by in and out */
};
enum ol_job_type { OL_BATCH, OL_STREAM, OL_SERVICE };
struct ol_job_view {
    int64_t uid, create_us, update_us;
    struct ol_name name;
    bool shown;
    enum ol_job_type type;
    struct str simple_name;
    int64_t parent_job;
    struct str parent_name;           /* p NULL = none */
    struct str location, description; /* p NULL = not said */
    struct ol_name *in, *out;
    size_t in_n, out_n;
    int64_t latest_run;      /* 0 = none */
    struct ol_run_view *run; /* the same; NULL = none, or not asked for */
    struct str *tags;
    size_t tags_n;
    struct ol_facet_row *facets;
    size_t facets_n;
    struct digest version;
};
struct ol_dataset_view {
    int64_t uid, create_us, update_us, version; /* version: 0 = none */
    struct ol_name name;
    bool shown, is_stream, is_gone;    /* is_gone: the newest event says that it was dropped */
    struct str description, lifecycle; /* p NULL = not said */
    struct ol_field_view *fields;
    size_t fields_n;
    struct str *tags;
    size_t tags_n;
    struct ol_facet_row *facets;
    size_t facets_n;
};
struct ol_version_view {
    int64_t uid, dataset, event_us, run; /* run: that made it, 0 = not known */
    struct str said;                     /* the version that producers said; p NULL = none */
    struct ol_dataset_view set;          /* as it was said of this version */
    struct ol_run_view *by;              /* NULL = not known, or not asked for */
};

/* ---- single things ----------------------------------------------------------------------------------------------------------- */

/* ST_NOT_FOUND says what there is none of. */
enum status ol_space_find(struct view *v, struct str name, struct ol_space_view *out,
                          struct err *err);
/* What is hidden is not found. */
enum status ol_job_find(struct view *v, struct str ns, struct str name, int64_t *uid,
                        struct err *err);
enum status ol_dataset_find(struct view *v, struct str ns, struct str name, int64_t *uid,
                            struct err *err);
/* By its UUID, or by the text that its producer calls it. */
enum status ol_run_find(struct view *v, struct str id, int64_t *uid, struct err *err);

enum ol_with {
    OL_WITH_RUN = 1, /* of jobs: the newest run; of versions: the one that made it */
    OL_WITH_LINKS =
        2, /* of runs (also of the former): what they read and wrote, and their version */
    OL_WITH_FACETS = 4 /* all facets, else those that the rest is made of; of runs: none else */
};
/* Whole things in the order of uids; ST_NOT_FOUND if one is not there. `with`: bits of enum ol_with. */
enum status ol_jobs(struct view *v, const int64_t *uids, size_t n, unsigned with,
                    struct ol_job_view **out, struct err *err);
enum status ol_runs(struct view *v, const int64_t *uids, size_t n, unsigned with,
                    struct ol_run_view **out, struct err *err);
enum status ol_datasets(struct view *v, const int64_t *uids, size_t n, unsigned with,
                        struct ol_dataset_view **out, struct err *err);
enum status ol_versions(struct view *v, const int64_t *uids, size_t n, unsigned with,
                        struct ol_version_view **out, struct err *err);
/* Whether the schema facet of a data set names a field. */
enum status ol_field_said(struct view *v, int64_t set, struct str field, bool *said,
                          struct err *err);
/* Names of data sets or jobs, in the order of uids; what is not there, or hidden where that is not wanted, has name.p NULL. */
enum status ol_dataset_names(struct view *v, const int64_t *uids, size_t n, bool hidden_too,
                             struct ol_name **out, struct err *err);
enum status ol_job_names(struct view *v, const int64_t *uids, size_t n, bool hidden_too,
                         struct ol_name **out, struct err *err);

/* The id of a version of a data set, or of a job by uid, as a UUID (version 8); and back. */
enum ol_id_kind { OL_ID_VERSION = 1, OL_ID_JOB = 2 };
struct str ol_id_text(struct arena *a, enum ol_id_kind kind, int64_t uid);
bool ol_id_parse(struct str text, enum ol_id_kind kind, int64_t *uid);
/* The id of a version of a job (a UUID of version 8, of the digest). */
struct str ol_job_version_text(struct arena *a, const struct digest *version);

/* ---- lists -------------------------------------------------------------------------------------------------------------------- */

struct ol_page {
    size_t max, skip;
};
struct ol_uids {
    int64_t *p;
    size_t n;
    int64_t total; /* of the whole list */
};
enum status ol_space_list(struct view *v, struct ol_page page, bool sources,
                          struct ol_space_view **out, size_t *n, struct err *err);
/* Of a namespace by name; with space 0 of all, the one with the newest event first. states: only those whose newest run is in one of them;
 * n 0 = any. */
enum status ol_job_list(struct view *v, int64_t space, const int64_t *states, size_t states_n,
                        struct ol_page page, struct ol_uids *out, struct err *err);
enum status ol_dataset_list(struct view *v, int64_t space, struct ol_page page, struct ol_uids *out,
                            struct err *err);
/* The newest first. */
enum status ol_run_list(struct view *v, int64_t job, struct ol_page page, struct ol_uids *out,
                        struct err *err);
enum status ol_version_list(struct view *v, int64_t dataset, struct ol_page page,
                            struct ol_uids *out, struct err *err);
/* Versions of a job among its newest runs, the newest first: the newest run of each, and when the oldest began. */
struct ol_job_version {
    struct digest version;
    int64_t create_us;
    struct ol_run_view *run;
    struct ol_name *in, *out;
    size_t in_n, out_n;
};
enum status ol_job_versions(struct view *v, int64_t job, struct ol_job_version **out, size_t *n,
                            struct err *err);

struct ol_search {
    struct str text;
    bool datasets, jobs, newest; /* newest: by the time of the newest event, else by name */
    int64_t space;               /* 0 = all */
    int64_t from_us, until_us;   /* of the newest event; until_us is not in it */
    size_t max;
};
struct ol_hit {
    bool is_job;
    int64_t uid, update_us;
    struct ol_name name;
};
enum status ol_search_names(struct view *v, const struct ol_search *q, struct ol_hit **out,
                            size_t *n, int64_t *total, struct err *err);

struct ol_tag_view {
    struct str name, description;
};
enum status ol_tag_list(struct view *v, struct ol_page page, struct ol_tag_view **out, size_t *n,
                        struct err *err);

enum ol_stat { OL_STAT_EVENTS, OL_STAT_JOBS, OL_STAT_DATASETS, OL_STAT_SOURCES };
struct ol_interval {
    int64_t from_us, until_us;
    int64_t started, completed, failed, aborted; /* events */
    int64_t count;                               /* things that were there at its end */
};
/* Fills intervals that follow each other. */
enum status ol_statistics(struct view *v, enum ol_stat what, struct ol_interval *p, size_t n,
                          struct err *err);
enum status ol_event_count(struct view *v, int64_t from_us, int64_t until_us, int64_t *out,
                           struct err *err);
/* Where a page begins that leaves out `skip` events (core/openlineage/openlineage.h); ST_NOT_FOUND: there are no more. */
enum status ol_event_skip(struct view *v, struct ol_events_query *q, size_t skip, struct err *err);

/* ---- graphs ------------------------------------------------------------------------------------------------------------------- */

enum ol_node_kind { OL_NODE_JOB = 1, OL_NODE_DATASET, OL_NODE_RUN, OL_NODE_FIELD };
/* A node as clients write it: dataset:NS:NAME, job:NS:NAME, datasetField:NS:NAME:FIELD, run:UUID, each with #VERSION or without. NS and
 * NAME may hold colons: of the ways to split, the one whose namespace is longest and which names something that is there. */
struct ol_node_id {
    enum ol_node_kind kind;
    int64_t uid; /* of the job, the run, the data set */
    struct str field;
    int64_t version; /* of a data set, 0 = not said */
};
enum status ol_node_parse(struct view *v, struct str text, struct ol_node_id *out, struct err *err);

struct ol_graph_link {
    int64_t job, dataset;
    bool writes; /* the job writes it */
};
struct ol_graph {
    int64_t *jobs, *datasets; /* in ascending order */
    size_t jobs_n, datasets_n;
    struct ol_graph_link *links; /* by job, reads before writes, data set; each once */
    size_t links_n;
    bool partial; /* there is more: the nearest are given */
};
/* Jobs that the start leads to, one step from a job that writes a data set to one that reads it or back, and all that they read and
 * write. A data set begins with all jobs that read or write it. */
enum status ol_lineage(struct view *v, const struct ol_node_id *start, unsigned depth, size_t max,
                       struct ol_graph *out, struct err *err);

/* A column, and what it was made of. */
struct ol_column_input {
    uint32_t column;              /* in the answer */
    struct str type, description; /* of the transformation; p NULL = not said */
};
struct ol_column_node {
    int64_t dataset;
    struct str field, type; /* type: p NULL = not known */
    struct ol_column_input *in;
    size_t in_n;
};
struct ol_column_graph {
    struct ol_column_node *p;
    size_t n;
    bool partial;
};
/* What columns were made of, up to depth steps; with down also what was made of them. A job stands for what it writes. */
enum status ol_column_lineage(struct view *v, const struct ol_node_id *start, unsigned depth,
                              bool down, size_t max, struct ol_column_graph *out, struct err *err);

/* What the columnLineage facet of a data set says (OL_WITH_FACETS). */
struct ol_said_input {
    struct ol_name from;
    struct str field, type, description; /* p NULL = not said */
};
struct ol_said_column {
    struct str field;
    struct ol_said_input *in;
    size_t in_n;
};
enum status ol_columns_said(struct view *v, const struct ol_dataset_view *d,
                            struct ol_said_column **out, size_t *n, struct err *err);

/* A run, and the runs that made what it read, nearest first. */
struct ol_upstream_input {
    int64_t dataset, version, by; /* by: a run, 0 = not known */
};
struct ol_upstream {
    int64_t run;
    struct ol_upstream_input *in;
    size_t in_n;
};
enum status ol_run_upstream(struct view *v, int64_t run, unsigned depth, size_t max,
                            struct ol_upstream **out, size_t *n, struct err *err);

/* ---- facets ------------------------------------------------------------------------------------------------------------------- */

/* The JSON of a facet of its own; p NULL = there is none. */
struct str ol_facet_of(const struct ol_facet_row *f, size_t n, struct str key);

#endif
