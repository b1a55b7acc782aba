/* store/blob/s3_int.h - objects in an S3 bucket: what the files of this backend share.
 *
 *     PREFIX/FORMAT                              "cairn-blobs 1"
 *     PREFIX/objects/ab/abcdef...-0              whole objects, by their SHA-256
 *     PREFIX/packs/ab/abcdef0123456789           packs
 *     PREFIX/staging/<instance>.<start>.<n>      an upload whose digest is not known yet
 *     PREFIX/staging/client.<random>             likewise, sent by a client itself (s3_direct.c)
 *     PREFIX/staging/resume.<id>[.<n>]           one that goes on later; what is no part of it yet
 *     PREFIX/staging/get.<sha256>                a copy of what lies in a row, for a signed URL
 *
 * and, below a place of others that is written (bucket.h), where files have the names that they were given:
 *
 *     PREFIX/.cairn-uploads/<instance>.<start>.<n>   a mark: names the upload of the service that sends parts of a file
 *     PREFIX/.cairn-uploads/client.<random>          likewise, of one that a client sends itself
 *
 * What fits into one part is one PUT to its place, signed with its SHA-256, which the service checks. More goes in parts to a key of
 * staging, becomes one object there, and is copied to its place by the service when the digest is known; only then a row may name
 * it. So a content key is written whole or not at all, and what a crash leaves lies under staging, listed by the service: removed
 * by a look now and then of whoever staged it, at the next start of the same instance, or after a day. Instance: a random name in the state folder of the server. Start: drawn
 * anew at each opening, so that leftovers are told from what is at work.
 * Over plain HTTP a part is signed with its SHA-256, which is made while the bytes come, in one pass with that of the object.
 * While a part is sent the next one comes from the client: up to two parts of an upload and eight of all are on their way, sent by
 * threads of their own. Where there is no room for that, a writer sends its part itself.
 * One call to the service is signed, sent, and tried again with jitter until its patience is over (s3_call.c); nothing above it
 * tries again.
 * Thread rule: any thread that may wait. */
#ifndef CAIRN_STORE_BLOB_S3_INT_H
#define CAIRN_STORE_BLOB_S3_INT_H

#include "store/blob/blob_ops.h"
#include "store/blob/bucket.h"
#include "store/blob/s3_creds.h"
#include "store/blob/s3_http.h"
#include "store/blob/s3_sign.h"
#include <stdatomic.h>

#define S3_MARKS BUCKET_DESK "/"

enum {
    S3_BUCKET_MAX = 64,
    S3_PREFIX_MAX = 512,
    S3_KEY_MAX = 1024,
    S3_HOST_MAX = 256,
    S3_REGION_MAX = 64,
    S3_UPLOAD_ID_MAX = 1024,
    S3_MARK_MAX = 64,
    S3_ARENA_MAX = 24 << 20,
    S3_THREADS = 16,
    S3_PATIENCE_MS = 30000,
    S3_PART_BYTES = 6 << 20, /* three of an upload at once stay below 30 MB with all around them */
    S3_PART_BYTES_MAX = 128 << 20,
    S3_BUFFERED_MAX = 512 << 20, /* parts of all uploads together, of one struct s3 */
    S3_AHEAD_OF_UPLOAD = 2,      /* parts that are sent while the next one fills: of one upload */
    S3_AHEAD_MAX_PARTS = 8,      /* and of all, likewise; so many threads send */
    S3_AHEAD_BUFFERED_MAX = 128 << 20, /* no part goes ahead where the buffers would be more */
    S3_LEFTOVER_MS = 24 * 3600 * 1000,
    S3_RESUME_DAYS = 9, /* of what goes on later, which has an owner that removes it before */
};

/* An upload in parts that is to be aborted by whoever may wait. */
struct s3_doomed {
    struct s3_doomed *next;
    char key[S3_KEY_MAX], id[S3_UPLOAD_ID_MAX], mark[S3_MARK_MAX]; /* mark "": none */
};

/* An upload in parts that is at work here; what is staged under our name and is none of these is a leftover. */
struct s3_live {
    struct s3_live *next;
    char key[S3_KEY_MAX];
    char id[S3_UPLOAD_ID_MAX]; /* "" = not known yet */
    char mark[S3_MARK_MAX];    /* "" = the key lies in staging; else the name of its mark */
};

struct s3 {
    struct arena *arena; /* of the texts below */
    char *location;
    char bucket[S3_BUCKET_MAX], prefix[S3_PREFIX_MAX]; /* "" or "a/b/" */
    bool is_https, is_virtual, is_aws, direct;
    bool of_others;         /* a place, not the store of this server: see bucket.h */
    char host[S3_HOST_MAX]; /* with port; of AWS: by region */
    char base[S3_HOST_MAX]; /* path of the endpoint, without a slash at the end */
    const char *profile;
    struct s3_sts sts;
    struct s3_http http;
    struct lock lock; /* of what follows, until the next comment */
    char region[S3_REGION_MAX];
    struct s3_creds creds;
    bool has_creds,
        is_loading; /* is_loading: somebody fetches new ones while the old ones are good */
    struct s3_doomed *doomed;
    struct s3_live *live;
    /* set once */
    struct exec_event *closing;
    struct exec_actor *keeper;
    struct exec_pool *senders;
    _Atomic size_t buffered;    /* relaxed: a sum, nothing is published through it */
    _Atomic unsigned ahead;     /* parts that senders have; relaxed, likewise */
    _Atomic uint64_t staging_n; /* relaxed, likewise */
    size_t part_bytes;
    uint64_t copy_max;
    int64_t patience_ms;
    char instance[33], start[33];
    int64_t swept_ms; /* the keeper's */
};

/* A bucket, of which nothing is asked yet; what goes on in the background is the opener's to start. */
enum status s3_new(struct s3 **out, const char *location, const struct blob_s3_options *opt,
                   struct err *err);
void s3_free(struct s3 *s);
/* The names of its uploads, and what removes those that broke off. state_dir NULL: the next start does not know them. */
enum status s3_set_instance(struct s3 *s, const char *state_dir, struct err *err);
enum status s3_keep(struct s3 *s, struct err *err);

/* One call. Texts are borrowed until it ends. */
struct s3_op {
    const char *method;
    struct str key; /* whole key; "" = the bucket */
    struct s3_pair query[8];
    size_t query_n;
    struct s3_pair
        fields[4]; /* beside host, x-amz-date, -content-sha256 and -security-token; lower case */
    size_t fields_n;
    struct str body;     /* p NULL = none */
    const char *payload; /* SHA-256 of the body in hex, if known */
    const char
        *root; /* element that a 200 must bring: S3 sends errors with 200 where the work is long */
    int64_t
        patience_ms; /* for the whole call; 0 = that of the store, which also limits how long it is tried again */
    bool may_think;                 /* the service works before it answers */
    bool lists_parts;               /* which a client sent: what is wrong with them is told it */
    const _Atomic bool *no_retries; /* (optional) relaxed: set when trying again is of no use */
    const char *what;               /* for messages: "put an object" */
};

/* OK for 2xx; ST_NOT_FOUND for 404; otherwise ST_UNAVAILABLE (or ST_NOMEM), after it was tried often enough. In a place of others also
 * ST_DENIED, and ST_INVALID: there is no such bucket. ST_INVALID for lists_parts, too. */
enum status s3_call(struct s3 *s, struct s3_op *op, struct arena *a, struct s3_answer *out,
                    struct err *err);
/* The same for an answer that is read in pieces. */
enum status s3_stream(struct s3 *s, struct s3_op *op, struct arena *a, struct s3_channel **channel,
                      struct s3_answer *out, struct err *err);
/* A URL that others may use for expires_s seconds. */
enum status s3_url(struct s3 *s, const char *method, const char *key, const struct s3_pair *query,
                   size_t query_n, int64_t expires_s, struct arena *a, struct str *url,
                   struct err *err);
/* Waits before the n-th repetition (from 0); false when the store is closing or it would be after until_ms. */
bool s3_pause(struct s3 *s, unsigned n, int64_t at_least_ms, int64_t until_ms);
void s3_add_query(struct s3_op *op, struct str name, struct str value);
void s3_add_field(struct s3_op *op, struct str name, struct str value);

/* Keys: "<prefix>objects/ab/...". */
void s3_object_key(const struct s3 *s, const struct digest *sha256, int64_t gen,
                   char out[S3_KEY_MAX]);
void s3_pack_key(const struct s3 *s, uint64_t id, char out[S3_KEY_MAX]);

/* s3_upload.c: slots of blob_ops */
enum status s3_write_begin(void *b, void **out, struct err *err);
enum status s3_write(void *w, struct sha256 *sha, const void *p, size_t n, struct err *err);
enum status s3_write_finish(void *w, const struct digest *sha256, int64_t gen, uint64_t size,
                            struct err *err);
enum status s3_pack_finish(void *w, uint64_t id, uint64_t size, struct err *err);
void s3_write_abort(void *w);
enum status s3_resume_begin(void *b, struct str id, uint64_t at, struct str ledger, void **out,
                            struct err *err);
enum status s3_resume_save(void *w, struct buf *ledger, struct err *err);
enum status s3_resume_drop(void *b, struct str id, struct str ledger, struct err *err);

/* A file of a name of its own, in a place of others: it has the name when s3_named_finish() is OK, and in no part before. Parts of
 * what is large go under that name at once, as an upload of the service, which a mark names; s3_write() and s3_write_abort() as above.
 * sha256 NULL: not known. */
enum status s3_named_begin(struct s3 *s, const char *key, struct s3_writer **out, struct err *err);
enum status s3_named_finish(struct s3_writer *w, const struct digest *sha256, uint64_t size,
                            struct err *err);
enum status s3_put_mark(struct s3 *s, struct arena *a, const char *mark, const char *key,
                        const char *id, struct err *err);
/* What cannot be deleted now is later. */
void s3_drop_mark(struct s3 *s, struct arena *a, const char *mark);

/* Begins an upload in parts to a key; id has S3_UPLOAD_ID_MAX bytes. mark (optional): what the object will say of itself, so that it is
 * told from others of its name. */
enum status s3_create(struct s3 *s, struct arena *a, const char *key, const char *mark, char *id,
                      struct err *err);
/* An entry of the list of parts. */
void s3_put_part(struct buf *list, unsigned number, struct str etag);
/* The parts become one object. ST_NOT_FOUND when there is no such upload and no object either. size UINT64_MAX: not known, since a client
 * sent the parts; ST_INVALID when they are not those of the list, or too small. mark: that of s3_create(); NULL: nobody else makes that
 * key. */
enum status s3_complete(struct s3 *s, struct arena *a, const char *key, const char *id,
                        const char *mark, const struct buf *list, uint64_t size, struct err *err);
/* A staged object is copied to its place, looked at there, and no longer staged. */
enum status s3_place(struct s3 *s, struct arena *a, const char *staging, const char *key,
                     uint64_t size, struct err *err);
/* Deletes a staged object; what cannot be deleted now is later. */
void s3_forget_staging(struct s3 *s, struct arena *a, const char *staging);
/* Reads a key; s3_read() and s3_read_end() go on. */
enum status s3_read_key(struct s3 *s, const char *key, uint64_t size, uint64_t from, uint64_t n,
                        void **out, struct err *err);
/* The same, while the service knows it by this ETag: ST_CORRUPT when it is another object by now. "" = by any. */
enum status s3_read_tagged(struct s3 *s, const char *key, const char *etag, uint64_t size,
                           uint64_t from, uint64_t n, void **out, struct err *err);
enum status s3_read(void *reader, void *p, size_t max, size_t *got, struct err *err);
bool s3_read_has_pipe(const void *reader);
enum status s3_read_pipe(void *reader, int pipe, size_t max, size_t *got, struct err *err);
void s3_read_end(void *reader);

/* s3_direct.c: slots of blob_ops */
enum status s3_direct_begin(void *b, struct arena *a, unsigned parts, struct str *id,
                            struct str *urls, struct err *err);
enum status s3_direct_join(void *b, struct str id, const struct blob_part *parts, size_t n,
                           struct digest *sha256, uint64_t *size, struct err *err);
enum status s3_direct_place(void *b, struct str id, const struct digest *sha256, int64_t gen,
                            uint64_t size, struct err *err);
enum status s3_direct_drop(void *b, struct str id, struct err *err);
enum status s3_direct_abort(void *b, struct str id, struct err *err);
enum status s3_direct_get(void *b, struct arena *a, const struct digest *sha256, int64_t gen,
                          int64_t seconds, struct str *url, struct err *err);
enum status s3_direct_get_small(void *b, struct arena *a, const struct digest *sha256,
                                struct str bytes, int64_t seconds, struct str *url,
                                struct err *err);

/* The same in a place of others: of a file with that key, which has its name when the end is OK. Ending it twice is fine. */
enum status s3_named_direct_begin(struct s3 *s, struct arena *a, const char *key, unsigned parts,
                                  struct str *id, struct str *urls, struct err *err);
enum status s3_named_direct_end(struct s3 *s, const char *key, struct str id,
                                const struct blob_part *parts, size_t n, struct err *err);
enum status s3_named_direct_abort(struct s3 *s, const char *key, struct str id, struct err *err);

/* s3_tidy.c */
enum status s3_tidy(void *b, size_t *left, struct err *err);
/* Puts an upload in parts on the list of those to abort, with its mark ("" = none); does not wait. */
void s3_doom(struct s3 *s, const char *key, const char *upload_id, const char *mark);
/* Aborts what is on the list. */
void s3_abort_doomed(struct s3 *s);
/* The step of the keeper: aborts, and looks for leftovers now and then. */
int64_t s3_keeper_step(void *ctx);

enum status s3_stat_key(struct s3 *s, const char *key, uint64_t *size, struct err *err);

#endif
