/* core/openlineage/read_counts.h - how many jobs and events there are, so that a list of some does not look at all of them each
 * time. Kept is the number of those up to one; what is newer is counted and added. None is ever deleted, and numbers ascend.
 * Thread rule: any thread. */
#ifndef CAIRN_CORE_OPENLINEAGE_READ_COUNTS_H
#define CAIRN_CORE_OPENLINEAGE_READ_COUNTS_H

#include "core/core.h"

struct ol_counts;
enum status ol_counts_new(struct ol_counts **out, struct err *err);
void ol_counts_free(struct ol_counts *c); /* NULL-safe */
/* The database may be another one than before. */
void ol_counts_forget(struct ol_counts *c);
/* Jobs that are not hidden. */
enum status ol_counts_jobs(struct view *v, int64_t *out, struct err *err);

enum status ol_counts_events(struct view *v, int64_t *out, struct err *err);

#endif
