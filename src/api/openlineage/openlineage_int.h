/* api/openlineage/openlineage_int.h - shared by the files of this folder. */
#ifndef CAIRN_API_OPENLINEAGE_OPENLINEAGE_INT_H
#define CAIRN_API_OPENLINEAGE_OPENLINEAGE_INT_H

#include "api/openlineage/openlineage.h"
#include "codec/json.h"

enum { OL_PATH_MAX = ERR_FIELD_MAX };

/* A reader of JSON at some place in an event. */
struct ol_in {
    struct json_reader r;
    struct arena *a;
    struct err *err;
    struct ol_warnings *warnings;
    enum status st; /* the first failure, in err */
    char path[OL_PATH_MAX];
    size_t path_n;
};
/* text: one JSON value. Released with ol_in_end(). */
void ol_in_begin(struct ol_in *x, struct arena *a, struct str text, struct err *err);
void ol_in_end(struct ol_in *x);
/* The next event; JSON_EV_ERROR sets st. */
enum json_event ol_in_next(struct ol_in *x);
/* In an object: its next key, decoded; false at its end, or after a failure. */
bool ol_in_key(struct ol_in *x, struct str *key);
/* The value after a key, or an element: its first event and its bytes; the reader is behind it. */
enum json_event ol_in_value(struct ol_in *x, struct str *raw);
/* The value as text if it is one; p NULL if it is null or anything else. */
struct str ol_in_text(struct ol_in *x);
/* Into the object or the list that is the value; false: it is none, and is skipped. */
bool ol_in_object(struct ol_in *x);
bool ol_in_list(struct ol_in *x, enum json_event *first);
enum status ol_in_fail(struct ol_in *x, enum status st, const char *name, const char *fmt, ...)
    ATTR_FORMAT(4, 5);
void ol_in_warn(struct ol_in *x, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* Appends to the path of fields ("inputs[2]"); back to what it was with path_n. */
size_t ol_in_path(struct ol_in *x, const char *fmt, ...) ATTR_FORMAT(2, 3);

/* What the facets say that cairn knows (facets.c). Whatever does not fit is left as JSON. */
enum status ol_read_run_facets(struct arena *a, struct ol_event *e, struct err *err);
enum status ol_read_job_facets(struct arena *a, struct ol_event *e, struct err *err);
enum status ol_read_dataset_facets(struct arena *a, struct ol_dataset *d, struct err *err);
/* A text that can be a name: neither empty nor too long nor with U+0000 in it. */
bool ol_name_fits(struct str s, size_t max);

#endif
