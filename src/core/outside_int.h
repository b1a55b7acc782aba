/* core/outside_int.h - shared by the files of listed folders and buckets. */
#ifndef CAIRN_CORE_OUTSIDE_INT_H
#define CAIRN_CORE_OUTSIDE_INT_H

#include "core/outside.h"

struct bucket;

enum { PLACES_MAX = 64 };

struct outside_place {
    int fd;                /* of a folder; -1: a bucket */
    struct bucket *bucket; /* NULL: a folder */
    struct str
        path; /* of a folder: absolute, without a slash at its end: "" is the root; of a bucket: "s3://bucket/prefix", likewise */
    bool writes; /* listed as one that this server writes */
    const struct outside *all;
};

/* Of a bucket (outside_bucket.c): what outside.h says of the calls of these names. */
struct s3_writer;
enum status outside_bucket_check(const struct artifact_place *at, struct err *err);
enum status outside_bucket_begin(const struct artifact_place *at, struct arena *a,
                                 struct s3_writer **out, struct err *err);
enum status outside_bucket_delete(const struct artifact_place *at, struct err *err);
/* The place itself, and those that are listed inside of it, are not what a path may name; a path may lie in one. */
enum status outside_check_place(struct arena *a, const struct artifact_place *at, struct err *err);

/* The threads of outside_work_submit(), unless they are there. */
enum status outside_writers_new(struct outside *o, struct err *err);

struct outside {
    struct arena *arena;
    struct outside_place *places;
    size_t n;
    struct exec_pool *writers; /* of what waits for services that are written to; NULL: for none */
};

/* The innermost place that an absolute path, decoded, lies in; NULL = none. */
const struct outside_place *outside_place_of(const struct outside *o, struct str path);
/* Whether a part of the path is the name of the folder where files wait that still come: nobody is shown it. */
bool outside_is_reserved(struct str path);
/* At the start: makes that folder, so that a place that cannot be written is told at once, and removes what was left in it for a day. */
enum status outside_prepare(const struct outside_place *p, struct err *err);

#endif
