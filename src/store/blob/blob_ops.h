/* store/blob/blob_ops.h - what a backend of the blob store is.
 * blob.c hashes and counts on the way in, checks what readers get, and owns the pool; a backend only keeps bytes. The suite
 * tests/30conformance/test_blob_backends.c runs against every backend: same operations, same answers.
 * A new backend is one `const struct blob_ops` and one row in the table of blob.c.
 * Errors: what goes wrong in a backend is never the fault of the client who sends or asks for bytes: ST_IO, ST_UNAVAILABLE,
 * ST_NOMEM or ST_CORRUPT, and ST_NOT_FOUND only where a slot says so. Messages name no path and hold no secret.
 * Thread rule: as blob.h. Every slot may be called by several threads at once, on different writers and readers. */
#ifndef CAIRN_STORE_BLOB_BLOB_OPS_H
#define CAIRN_STORE_BLOB_BLOB_OPS_H

#include "store/blob/blob.h"

#define BLOB_FORMAT_TEXT "cairn-blobs 1\n"
enum { BLOB_FORMAT_MAX = 4096, BLOB_NAME_MAX = 64 + 1 + 20 + 1 };

struct blob_ops {
    const char *name; /* "dir", "s3" */
    /* Whether a location is this backend's. */
    bool (*serves)(const char *location);
    unsigned threads; /* of the pool */

    /* Opens or creates; *out is NULL after failure. */
    enum status (*open)(void **out, const struct blob_options *opt, struct err *err);
    void (*close)(void *b);
    const char *(*dir)(const void *b); /* (optional) the folder on this machine */
    const char *(*location)(const void *b);
    enum status (*health)(void *b, struct err *err);

    /* A writer takes pieces and ends with finish or abort, which free it. */
    enum status (*write_begin)(void *b, void **out, struct err *err);
    /* sha: goes on over the bytes as well, in the same pass where the backend hashes them too; NULL: nobody wants it. It is of the kind
     * of sha256_resume(), and covers all that the writer got, always or never. */
    enum status (*write)(void *w, struct sha256 *sha, const void *p, size_t n, struct err *err);
    /* The bytes, which have this digest and size, are durable in their place of generation gen, or nothing is. */
    enum status (*write_finish)(void *w, const struct digest *sha256, int64_t gen, uint64_t size,
                                struct err *err);
    void (*write_abort)(void *w);

    /* A writer that goes on later: see blob_resume(). write_abort leaves what was saved. The ledger is what resume_save gave. */
    enum status (*resume_begin)(void *b, struct str id, uint64_t at, struct str ledger, void **out,
                                struct err *err); /* ST_NOT_FOUND when bytes are missing */
    enum status (*resume_save)(void *w, struct buf *ledger, struct err *err);
    enum status (*resume_drop)(void *b, struct str id, struct str ledger, struct err *err);

    /* (optional) ST_NOT_FOUND when missing. The caller closes *fd. */
    enum status (*open_fd)(void *b, const struct digest *sha256, int64_t gen, int *fd,
                           struct err *err);
    /* Bytes [from, from + n) of an object that should have `size`. ST_NOT_FOUND when missing, ST_CORRUPT when it has another
     * size. */
    enum status (*read_begin)(void *b, const struct digest *sha256, int64_t gen, uint64_t size,
                              uint64_t from, uint64_t n, void **out, struct err *err);
    /* At least one byte while the range has any: a backend that cannot give it fails. */
    enum status (*read)(void *r, void *p, size_t max, size_t *got, struct err *err);
    /* (optional, both or none) See blob_reader_has_pipe(). */
    bool (*read_has_pipe)(const void *r);
    enum status (*read_pipe)(void *r, int pipe, size_t max, size_t *got, struct err *err);
    void (*read_end)(void *r);

    enum status (*stat)(void *b, const struct digest *sha256, int64_t gen, uint64_t *size,
                        struct err *err); /* ST_NOT_FOUND when missing */
    /* Missing is fine. */
    enum status (*remove)(void *b, const struct digest *sha256, int64_t gen, struct err *err);
    /* (optional) What was removed below objects/<shard> stays removed, also after a loss of power. */
    enum status (*settle)(void *b, unsigned shard, struct err *err);
    void (*hurry)(void *b); /* (optional) see blob_hurry() */

    /* Packs (store/blob/packfile.h): places named by a number that is drawn once and never again. What a writer got is durable there,
     * or nothing is; it is freed. */
    enum status (*pack_finish)(void *w, uint64_t id, uint64_t size, struct err *err);
    enum status (*pack_open_fd)(void *b, uint64_t id, int *fd, struct err *err); /* as open_fd */
    enum status (*pack_read_begin)(void *b, uint64_t id, uint64_t size, uint64_t from, uint64_t n,
                                   void **out, struct err *err); /* as read_begin */
    enum status (*pack_stat)(void *b, uint64_t id, uint64_t *size, struct err *err);
    enum status (*pack_remove)(void *b, uint64_t id, struct err *err); /* durably */

    /* (optional, all or none) */
    bool (*has_direct)(const void *b);
    enum status (*direct_begin)(void *b, struct arena *a, unsigned parts, struct str *id,
                                struct str *urls, struct err *err);
    enum status (*direct_join)(void *b, struct str id, const struct blob_part *parts, size_t n,
                               struct digest *sha256, uint64_t *size, struct err *err);
    enum status (*direct_place)(void *b, struct str id, const struct digest *sha256, int64_t gen,
                                uint64_t size, struct err *err);
    enum status (*direct_drop)(void *b, struct str id, struct err *err);
    enum status (*direct_abort)(void *b, struct str id, struct err *err);
    enum status (*direct_get)(void *b, struct arena *a, const struct digest *sha256, int64_t gen,
                              int64_t seconds, struct str *url, struct err *err);
    enum status (*direct_get_small)(void *b, struct arena *a, const struct digest *sha256,
                                    struct str bytes, int64_t seconds, struct str *url,
                                    struct err *err);
    enum status (*tidy)(void *b, size_t *left, struct err *err); /* see blob_tidy() */
    enum status (*list)(void *b, unsigned shard, blob_entry_fn fn, void *ctx, struct err *err);
    enum status (*pack_list)(void *b, unsigned shard, blob_pack_entry_fn fn, void *ctx,
                             struct err *err);
};

extern const struct blob_ops blob_dir_ops, blob_s3_ops;

/* "abcdef...-0", and back. */
void blob_name(const struct digest *sha256, int64_t gen, char out[BLOB_NAME_MAX]);
bool blob_name_parse(struct str name, struct digest *sha256, int64_t *gen);
/* "abcdef0123456789". */
bool blob_pack_name_parse(struct str name, uint64_t *id);
/* What goes wrong in a backend is never the fault of a client: ST_NOT_FOUND and ST_EXISTS become ST_IO. */
enum status blob_as_io(enum status st, struct err *err);
/* ST_INVALID with what to do, for a FORMAT of another layout. */
enum status blob_other_format(struct str text, struct err *err);

#endif
