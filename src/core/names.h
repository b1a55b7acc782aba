/* core/names.h - which names and values the recorder takes, with the texts that MLflow clients match on.
 * Lengths count code points, as Python's len() does. `path` is the request field ("key", "metrics[3].name").
 * Thread rule: pure functions. */
#ifndef CAIRN_CORE_NAMES_H
#define CAIRN_CORE_NAMES_H

#include "base/arena.h"

enum {
    NAME_KEY_MAX = 250,
    NAME_PARAM_VALUE_MAX = 6000,
    NAME_TAG_VALUE_MAX = 8000,
    NAME_EXPERIMENT_MAX = 500,
    NAME_EXPERIMENT_TAG_VALUE_MAX = 20000,
    NAME_ARTIFACT_LOCATION_MAX = 2048
};

/* Letters, digits and "/_.- :" only, and equal to its own normalised path. */
enum status name_check_key(struct str key, const char *path, struct err *err);
/* "'<what>' exceeds the maximum length of N characters". */
enum status name_check_length(struct str s, const char *what, size_t max, struct err *err);
/* One round of percent decoding in place; false when nothing changed. */
bool name_percent_decode(char *p, size_t *n);
/* As posixpath.normpath. NULL p when memory is out. */
struct str name_normpath(struct arena *a, struct str path);

enum status name_check_metric(struct str key, const char *path, struct err *err);
enum status name_check_param(struct str key, const char *path, struct err *err);
enum status name_check_tag(struct str key, const char *path, struct err *err);
enum status name_check_experiment(struct str name, struct err *err);
enum status name_check_experiment_tag(struct str key, struct str value, struct err *err);
/* Not empty (when set), none of / : . % " '. */
enum status name_check_logged_model(struct str name, struct err *err);
/* An artifact location: no runs: scheme, no fragment, no parameters, no ".." in the query, at most 2048 characters; below
 * "mlflow-artifacts:" a path that the artifact proxy takes. */
enum status name_check_artifact_location(struct str uri, struct err *err);
/* "Invalid value "x" for parameter 'run_id' supplied." */
enum status name_check_run_id(struct str run_id, const char *path, struct err *err);

/* An artifact path relative to its root: decoded repeatedly only for this check; "Invalid path" for "..", absolute forms,
 * back slashes, '#', NUL, control characters, empty or over-long (255 bytes) components, a scheme. */
enum status name_check_artifact_path(struct str path, struct err *err);

/* The text as a JSON string with ASCII escapes, as Python's json.dumps writes it. NULL p when memory is out. */
struct str name_json_quoted(struct arena *a, struct str s);

#endif
