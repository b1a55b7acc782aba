/* core/outside.h - artifacts that others put into folders of this machine, below the places that the operator listed.
 * A run may have any artifact URI; clients read and write it themselves. What lies below a listed place is also listed and read by this
 * server, never written. Every file is opened beneath the place (openat2), so neither a name nor a symbolic link leads out of it.
 * Ownership: the opener's until outside_free(). Thread rule: immutable after outside_new(); the rest on any thread that may wait for
 * a disk. */
#ifndef CAIRN_CORE_OUTSIDE_H
#define CAIRN_CORE_OUTSIDE_H

#include "core/artifact.h"

struct outside;
struct outside_place;

/* places: absolute folders or file: URIs; NULL-terminated, NULL = none. ST_INVALID for what is no folder. */
enum status outside_new(struct outside **out, const char *const *places, struct err *err);
void outside_free(struct outside *o); /* NULL-safe */
/* The place that a URI lies below, and the rest of its path. ST_NOT_FOUND when it lies below none; ST_INVALID for a URI that is not one of
 * a file or tries to leave. */
enum status outside_find(const struct outside *o, struct arena *a, struct str uri,
                         const struct outside_place **place, struct str *rest, struct err *err);

/* As artifact_list() and artifact_open(); `at` is of this kind. */
enum status outside_list(struct view *v, const struct artifact_place *at, struct str after,
                         size_t max, struct artifact_info **out, size_t *n, bool *more,
                         struct err *err);
enum status outside_open(struct view *v, const struct artifact_place *at,
                         struct artifact_bytes *out, struct err *err);

#endif
