/* core/outside.h - artifacts that others put into folders of this machine, or into buckets, below the places that the operator listed.
 * A run may have any artifact URI; clients read and write it themselves. What lies below a listed place is also listed and read by this
 * server, and written below those that are listed for that ("PLACE=rw"). Every file of a folder is opened beneath the place (openat2),
 * so neither a name nor a symbolic link leads out of it; in a bucket (store/blob/bucket.h) a name is a key below the prefix and nothing
 * else.
 * Ownership: the opener's until outside_free(). Thread rule: immutable after outside_new(); the rest on any thread that may wait for
 * a disk, or, for a bucket, a few seconds for its service. */
#ifndef CAIRN_CORE_OUTSIDE_H
#define CAIRN_CORE_OUTSIDE_H

#include "core/artifact.h"
#include "store/blob/blob.h"

struct outside;
struct outside_place;

/* places: absolute folders, file: URIs or "s3://BUCKET[/PREFIX]", which s3 says how to reach; NULL-terminated, NULL = none. "=rw" behind
 * one: files are written there too; "=ro", or nothing: they are not. own: folders and "s3://BUCKET/PREFIX" that the server keeps its own
 * data in, all of them there; NULL-terminated, NULL = none. ST_INVALID for what is no folder and no bucket, or is listed twice, for a
 * folder that cannot be written and should, and, before anything is written there, for a place with "=rw" that holds, or lies in, one of
 * own, by whatever name or link. The start does not wait for a service. state_dir: as bucket_let_write(). */
enum status outside_new(struct outside **out, const char *const *places, const char *const *own,
                        const struct blob_s3_options *s3, const char *state_dir, struct err *err);
void outside_free(struct outside *o); /* NULL-safe */
/* The place that a URI lies below, and the rest of its path. ST_NOT_FOUND when it lies below none; ST_INVALID for a URI that is not one of
 * a file or a bucket, or tries to leave. */
enum status outside_find(const struct outside *o, struct arena *a, struct str uri,
                         const struct outside_place **place, struct str *rest, struct err *err);

/* As artifact_list() and artifact_open(); `at` is of this kind. */
enum status outside_list(struct view *v, const struct artifact_place *at, struct str after,
                         size_t max, struct artifact_info **out, size_t *n, bool *more,
                         struct err *err);
enum status outside_open(struct view *v, const struct artifact_place *at,
                         struct artifact_bytes *out, struct err *err);
/* ---- writing: only into places listed for it; symbolic links are not followed ------------------------------------------------ */

/* Runs work on files of a place: uploads and deletions of a bucket on threads of their own, since they wait for its service; all others,
 * also of the store (at->outside NULL), as artifact_work_submit(). */
enum status outside_work_submit(struct core *core, const struct artifact_place *at,
                                struct exec_job *job) ATTR_CHECK;

bool outside_writes(const struct outside_place *p); /* false for NULL */
bool outside_writes_any(const struct outside *o);   /* NULL-safe */
/* Whether a file could be put there as things are: as artifact_put_check(). Of a bucket only the name is looked at: what lies there
 * says outside_write_begin(). */
enum status outside_put_check(struct arena *a, const struct artifact_place *at, struct err *err);
/* A file that comes. In a folder its bytes go under a name that nobody is shown, in a folder of the place's own (".cairn-uploads"); in a
 * bucket they are parts that nobody sees. `at` lives as long as the writer. */
struct outside_writer;
enum status outside_write_begin(const struct artifact_place *at, struct arena *a,
                                struct outside_writer **out, struct err *err);
enum status outside_write(struct outside_writer *w, struct str bytes, struct err *err);
void outside_write_hash(struct outside_writer *w, struct digest *sha256);
/* Makes the file and the folders above it durable, under their names; what had the name before is replaced. When it fails nothing is
 * kept. The writer is gone in any case. */
enum status outside_write_place(struct outside_writer *w, struct arena *a, struct err *err);
void outside_write_abort(struct outside_writer *w); /* NULL-safe */
/* Removes a file, or a folder with everything in it, for good when it answers. Missing is fine. */
enum status outside_delete(struct arena *a, const struct artifact_place *at, struct err *err);

/* Clients that send parts, or get files, straight from the service of a bucket: as artifact_direct_...(), of `at`. */
bool outside_has_direct(const struct outside_place *p); /* uploads too, where outside_writes() */
bool outside_has_direct_any(const struct outside *o);   /* for uploads; NULL-safe */
enum status outside_direct_begin(const struct artifact_place *at, struct arena *a, unsigned parts,
                                 struct str *id, struct str *urls, struct err *err);
enum status outside_direct_end(const struct artifact_place *at, struct arena *a, struct str id,
                               const struct artifact_part *parts, size_t n, struct err *err);
enum status outside_direct_abort(const struct artifact_place *at, struct str id, struct err *err);
/* A URL that makes the file when it is put there; what outside_write_begin() looks for is looked for now. */
enum status outside_direct_put(const struct artifact_place *at, struct arena *a, int64_t seconds,
                               struct str *url, struct err *err);
enum status outside_direct_get(const struct outside_place *p, struct arena *a, struct str path,
                               int64_t seconds, struct str *url, struct err *err);

/* As artifact_read_begin(), of what outside_open() found in a bucket. */
enum status outside_read_begin(const struct artifact_bytes *b, uint64_t from, uint64_t n,
                               struct blob_reader **out, struct err *err);

#endif
