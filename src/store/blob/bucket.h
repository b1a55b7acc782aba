/* store/blob/bucket.h - a bucket that others keep: listed and read by names, and written where that is wanted.
 * A name is a key below the prefix; '/' divides folders. Entries of a folder come in byte order of their names, which is not the order
 * of keys ("a-b" comes before "a/c", but the folder "a" before "a-b"): bucket_list() puts that right without reading more than a
 * page and what may stand before its end.
 * A file that is written has its name when it is whole and the service has said so, and no part of it before: one PUT, or parts of an
 * upload of the service that bear the name from the start. Such an upload leaves a mark below BUCKET_DESK while it goes on, by which
 * those of servers that were killed are found and given up. What others have begun there is not touched.
 * Every call waits for the network. ST_DENIED: the service does not let this server; ST_INVALID: there is no such bucket;
 * ST_UNAVAILABLE: it is away, slow or full, or does not take the keys now. Calls that read are tried again for BUCKET_PATIENCE_MS at
 * most, and at most BUCKET_CALLS_MAX of them wait at once: one more is ST_UNAVAILABLE at once, so that a service that is away does not
 * hold up every thread. Calls that write are as patient as those of a store: they belong on threads of their own.
 * Ownership: the opener's until bucket_close(), which no reader may outlive. Thread rule: as blob.h. */
#ifndef CAIRN_STORE_BLOB_BUCKET_H
#define CAIRN_STORE_BLOB_BUCKET_H

#include "store/blob/blob.h"

enum { BUCKET_PATIENCE_MS = 5000, BUCKET_CALLS_MAX = 4, BUCKET_ETAG_MAX = 60 };

/* The folder of the marks, at the top of the place; bucket_list() shows it as any other. */
#define BUCKET_DESK ".cairn-uploads"

struct bucket;

/* location: "s3://bucket/prefix". Asks nothing of the service. ST_INVALID with what is wrong. */
enum status bucket_open(struct bucket **out, const char *location,
                        const struct blob_s3_options *opt, struct err *err);
/* Once, before the others know it: from here on it is written. A thread gives up, now and every hour, what was left behind.
 * state_dir: where the name is kept by which a server knows its own; NULL: what it leaves waits a day. */
enum status bucket_let_write(struct bucket *b, const struct blob_s3_options *opt,
                             const char *state_dir, struct err *err);
void bucket_close(struct bucket *b); /* NULL-safe */

struct bucket_entry {
    struct str name;
    bool is_dir;
    uint64_t size;
    int64_t mtime_ms;
    struct str etag; /* as the service says it, quoted; "" = none, or longer than BUCKET_ETAG_MAX */
};
/* The entries of folder dir ("" = the prefix itself) after the name `after`, at most max, in the arena. Nothing there is an empty list.
 * A name that is a file and a folder is a folder. *more: entries are left. */
enum status bucket_list(struct bucket *b, struct arena *a, struct str dir, struct str after,
                        size_t max, struct bucket_entry **out, size_t *n, bool *more,
                        struct err *err);
/* The file of a path. ST_NOT_FOUND. */
enum status bucket_stat(struct bucket *b, struct arena *a, struct str path,
                        struct bucket_entry *out, struct err *err);
/* Bytes [from, from + n) of a file that bucket_stat() found so; ST_UNAVAILABLE when it is another one by now. */
enum status bucket_read(struct bucket *b, struct str path, struct str etag, uint64_t size,
                        uint64_t from, uint64_t n, struct blob_reader **out, struct err *err);

/* ---- writing: of a bucket that bucket_let_write() was told of ---- */

/* Whether a file may have this name: ST_INVALID. Asks nothing of the service. */
enum status bucket_check_name(const struct bucket *b, struct str path, struct err *err);
/* Whether a file of that name lies there, or (is_folder) names below it. */
enum status bucket_has(struct bucket *b, struct arena *a, struct str path, bool is_folder,
                       bool *has, struct err *err);
struct s3_writer;
enum status bucket_write_begin(struct bucket *b, struct str path, struct s3_writer **out,
                               struct err *err);
/* sha: goes on over the bytes as well; as of blob_ops.write. */
enum status bucket_write(struct s3_writer *w, struct sha256 *sha, struct str bytes,
                         struct err *err);
/* OK: the file is there, durable and whole; what had its name is replaced. The writer is gone in any case. ST_UNAVAILABLE says that it
 * is not known to be there: when the service answered and the answer was lost for good, it may be, whole. */
enum status bucket_write_finish(struct s3_writer *w, const struct digest *sha256, uint64_t size,
                                struct err *err);
void bucket_write_abort(struct s3_writer *w); /* NULL-safe; does not wait */
/* As the calls of blob.h, for the file of a path: clients send its parts, or get it, themselves. Only where it is wanted
 * (blob_s3_options.direct), and the first three only where it is written. Ending an upload twice is fine; ST_INVALID also when
 * there is none, or its parts are not those of the list. */
bool bucket_has_direct(const struct bucket *b);
enum status bucket_direct_begin(struct bucket *b, struct arena *a, struct str path, unsigned parts,
                                struct str *id, struct str *urls, struct err *err);
enum status bucket_direct_end(struct bucket *b, struct str path, struct str id,
                              const struct blob_part *parts, size_t n, struct err *err);
enum status bucket_direct_abort(struct bucket *b, struct str path, struct str id, struct err *err);
/* A URL for a GET of it, or for a PUT that makes it, good for so many seconds. */
enum status bucket_url(struct bucket *b, struct arena *a, const char *method, struct str path,
                       int64_t seconds, struct str *url, struct err *err);
/* Deletes a file and all that lies below its name, one call each. Missing is fine; what fails leaves the rest. */
enum status bucket_delete(struct bucket *b, struct str path, struct err *err);

#endif
