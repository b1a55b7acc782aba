/* api/openlineage/openlineage.h - the tongue of OpenLineage: events come in at POST /api/v1/lineage.
 * Errors are {code, message}, with the field at fault where there is one.
 * Thread rule: tables are immutable; functions are pure. */
#ifndef CAIRN_API_OPENLINEAGE_OPENLINEAGE_H
#define CAIRN_API_OPENLINEAGE_OPENLINEAGE_H

#include "api/call.h"
#include "core/openlineage/openlineage.h"

extern const struct tongue openlineage_tongue;

/* Adds the routes; prefix as router_add(). */
enum status openlineage_routes(struct router *r, const char *prefix, struct err *err);

enum { OL_WARNINGS_MAX = 8, OL_JSON_DEPTH = 200 };
/* What was taken in all the same. */
struct ol_warnings {
    struct str text[OL_WARNINGS_MAX];
    size_t n;
};
/* One event as JSON, which may come from anybody. What it holds points into text and the arena. ST_INVALID and ST_BAD_REQUEST name the
 * field, "inputs[2].name". warnings may be NULL. */
enum status ol_event_read(struct arena *a, struct str text, struct ol_event *out,
                          struct ol_warnings *warnings, struct err *err);
/* An RFC 3339 time, in microseconds UTC; finer digits are left away. *zone: it says its zone; else it is UTC. */
bool ol_time_read(struct str text, int64_t *us, bool *zone);

#endif
