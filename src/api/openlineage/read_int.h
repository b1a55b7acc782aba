/* api/openlineage/read_int.h - shared by the files of the read API. */
#ifndef CAIRN_API_OPENLINEAGE_READ_INT_H
#define CAIRN_API_OPENLINEAGE_READ_INT_H

#include "api/openlineage/show.h"

#define OL_READ(fn) ENDPOINT(.tongue = &openlineage_tongue, .kind = CALL_READ, .read = (fn))
/* Seven arguments, one row: GET path below /api/v1, what comes in, what goes out, who answers. */
#define OL_GET(path, in_, out_, fn)                                                                \
    ROUTE(HTTP_GET, "/api/v1" path, in_, out_, RESOURCE_RUN, ACTION_RUN_READ, OL_READ(fn))

extern const struct route ol_thing_routes[], ol_graph_routes[], ol_edit_routes[];
extern const size_t ol_thing_routes_n, ol_graph_routes_n, ol_edit_routes_n;

struct ol_page ol_page_of(int32_t limit, int32_t offset);
/* Text of a time or a day (2026-03-01); absent or empty leaves *us. */
enum status ol_when(struct str text, const char *field, int64_t *us, struct err *err);

/* Whole things as messages: the answer of a single one, or of what was written. */
enum status ol_answer_job(struct call *c, struct view *v, int64_t uid, struct err *err);
enum status ol_answer_dataset(struct call *c, struct view *v, int64_t uid, struct err *err);

#endif
