/* core/openlineage/read_int.h - shared by the reading files of this folder. */
#ifndef CAIRN_CORE_OPENLINEAGE_READ_INT_H
#define CAIRN_CORE_OPENLINEAGE_READ_INT_H

#include "core/openlineage/ol_int.h"
#include "core/openlineage/read.h"
#include "inspect/json_peek.h"
#include <inttypes.h>
#include <stdlib.h>

/* Rows that are asked for at once. */
enum { OL_LIST_MAX = 500, OL_FACET_BYTES_MAX = 64 << 20 };

/* Facets of many bodies: those that lie outside are read together at the end. */
struct ol_loading {
    struct view *v;
    struct ol_cell **p; /* that wait for their value */
    size_t n, cap;
};
/* keys: of the facets that are wanted, up to a NULL; NULL = all. The cells must stay where they are. */
enum status ol_want(struct ol_loading *l, const struct ol_cells *c, const char *const *keys,
                    struct err *err);
/* What has come together has its values now; ST_TOO_BIG beyond OL_FACET_BYTES_MAX. */
enum status ol_load(struct ol_loading *l, struct err *err);
/* Appends the cells that have a value as rows. */
enum status ol_rows_of(struct arena *a, const struct ol_cells *c, enum ol_scope scope,
                       int64_t dataset, struct ol_facet_row **p, size_t *n, size_t *cap,
                       struct err *err);

/* What clients said of tags: of things, with their columns; by uid. */
struct ol_tagged {
    int64_t uid;
    struct str field, tag;
    bool on;
};
enum status ol_tagged_of(struct view *v, const int64_t *uids, size_t n, struct ol_tagged **out,
                         size_t *out_n, struct err *err);
/* Tags of a thing and its columns: those of its tags facet (p NULL = none) as they come there, and those that clients said, without those
 * that clients took away. */
struct ol_tags {
    struct str *fields, *tags; /* pairs by field; of the thing itself it is empty */
    size_t n;
};
enum status ol_tags_read(struct arena *a, struct str facet, const struct ol_tagged *said,
                         size_t said_n, int64_t uid, struct ol_tags *out, struct err *err);
/* Those of a column (field empty: of the thing), part of *t. */
struct str *ol_tags_of(const struct ol_tags *t, struct str field, size_t *n);

/* Sorted numbers: -1 when it is not there. */
ptrdiff_t ol_place_of(const int64_t *sorted, size_t n, int64_t x);
/* A sorted copy, each once. */
enum status ol_sorted(struct arena *a, const int64_t *p, size_t n, int64_t **out, size_t *out_n,
                      struct err *err);
/* What runs read and wrote, by run; ST_TOO_BIG beyond OL_LINKS_OF_RUNS_MAX. */
enum status ol_links_of_runs(struct view *v, const int64_t *runs, size_t n, bool writes,
                             struct ol_link_view **out, size_t *out_n, struct err *err);
enum status ol_io_of_jobs(struct view *v, const int64_t *jobs, size_t n, size_t max,
                          struct ol_graph_link **out, size_t *out_n, bool *more, struct err *err);

#endif
