/* api/openlineage/show.h - things of OpenLineage as the messages of its read API. Everything in the arena.
 * Thread rule: pure. */
#ifndef CAIRN_API_OPENLINEAGE_SHOW_H
#define CAIRN_API_OPENLINEAGE_SHOW_H

#include "api/openlineage/openlineage.h"
#include "core/openlineage/read.h"
#include "gen/openlineage/read.h"

/* Each false when memory is out. facets: with them (else an empty object). */
bool ol_show_time(struct arena *a, int64_t us, struct str *out);
bool ol_show_ids(struct arena *a, const struct ol_name *names, size_t n,
                 struct openlineage_v1_id **out);
bool ol_show_space(struct arena *a, const struct ol_space_view *s,
                   struct openlineage_v1_namespace *out);
bool ol_show_source(struct arena *a, const struct ol_space_view *s,
                    struct openlineage_v1_source *out);
/* names: of the data sets that the run reads and writes, inputs first (NULL = leave them out). */
bool ol_show_run(struct arena *a, const struct ol_run_view *r, const struct ol_name *names,
                 bool facets, struct openlineage_v1_run *out);
bool ol_show_job(struct arena *a, const struct ol_job_view *j, bool facets,
                 struct openlineage_v1_job *out);
/* modified_us: since when its newest version is known, INT64_MIN = not known. */
bool ol_show_dataset(struct arena *a, const struct ol_dataset_view *d, int64_t modified_us,
                     bool facets, struct openlineage_v1_dataset *out);
bool ol_show_version(struct arena *a, const struct ol_version_view *x,
                     struct openlineage_v1_dataset_version *out);
bool ol_show_columns(struct arena *a, const struct ol_said_column *p, size_t n,
                     struct openlineage_v1_dataset *out);
/* {"key": facet, ...} of the facets of a scope (and of a data set, 0 = all). p NULL when memory is out. */
struct str ol_show_facets(struct arena *a, const struct ol_facet_row *f, size_t n,
                          enum ol_scope scope, int64_t dataset);
/* "dataset:NS:NAME" and so on; field p NULL = none. */
struct str ol_show_node(struct arena *a, enum ol_node_kind kind, const struct ol_name *name,
                        struct str field);

#endif
