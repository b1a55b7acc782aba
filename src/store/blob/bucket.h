/* store/blob/bucket.h - a bucket that others keep: listed and read by names, never written.
 * A name is a key below the prefix; '/' divides folders. Entries of a folder come in byte order of their names, which is not the order
 * of keys ("a-b" comes before "a/c", but the folder "a" before "a-b"): bucket_list() puts that right without reading more than a
 * page and what may stand before its end.
 * Every call waits for the network, tried again for BUCKET_PATIENCE_MS at most, and at most BUCKET_CALLS_MAX calls wait at once: one
 * more is ST_UNAVAILABLE at once, so that a service that is away does not hold up every thread.
 * Ownership: the opener's until bucket_close(), which no reader may outlive. Thread rule: as blob.h. */
#ifndef CAIRN_STORE_BLOB_BUCKET_H
#define CAIRN_STORE_BLOB_BUCKET_H

#include "store/blob/blob.h"

enum { BUCKET_PATIENCE_MS = 5000, BUCKET_CALLS_MAX = 4, BUCKET_ETAG_MAX = 60 };

struct bucket;

/* location: "s3://bucket/prefix". Asks nothing of the service. ST_INVALID with what is wrong. */
enum status bucket_open(struct bucket **out, const char *location,
                        const struct blob_s3_options *opt, struct err *err);
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

#endif
