/* store/blob/blob.h - content-addressed bytes, in a folder or in a bucket.
 * An object is known by the SHA-256 of its bytes. A writer takes bytes, hashes them on the way and, at the end, makes them
 * durable in their place. Only then may a row that names the object be committed. Bytes without a row are harmless and
 * collected later. Places are never reused: their name holds digest and generation.
 * Which backend serves a store is said by its location; blob_ops.h is the contract between them and this module.
 *
 *     FORMAT                          "cairn-blobs 1"
 *     objects/ab/abcdef...-0          whole objects; a loose whole object stays legal for ever
 *     packs/ab/abcdef0123456789       packs of chunks of objects (packfile.h), by a number that is drawn once
 *
 * An object is written whole. A background worker moves it into packs later; its recipe (recipe.h) says where its bytes lie.
 *
 * With a location "s3://bucket/prefix" these are keys below the prefix of an S3 bucket; see s3_int.h.
 * A failed sync means the bytes are lost: the write is abandoned and fails.
 * Ownership: the opener owns the store, the caller each writer until end or abort, each reader until close. Thread rule: any
 * pool thread, never a loop thread and never the sequencer (a backend may wait for a network); one writer or reader belongs to
 * one thread at a time. */
#ifndef CAIRN_STORE_BLOB_BLOB_H
#define CAIRN_STORE_BLOB_BLOB_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/exec.h"
#include "base/hash.h"

struct blob_store;
struct blob_writer;
struct blob_reader;
struct packfile;

/* How to reach a bucket; NULL and 0 = what the environment and the profile say, or the usual. */
struct blob_s3_options {
    const char *endpoint; /* "https://host[:port][/path]"; without one AWS, by region */
    const char *region;
    const char *profile; /* of ~/.aws/credentials and ~/.aws/config */
    const char *sts; /* token service, as an endpoint; without one the endpoint, else that of AWS */
    const char *ca_file;
    enum {
        BLOB_S3_AUTO,
        BLOB_S3_PATH,
        BLOB_S3_VIRTUAL
    } addressing;        /* auto: path style with an endpoint */
    int64_t patience_ms; /* how long a failing call is tried again; 0 = 30 s */
    bool direct;         /* clients may send and get bytes themselves, see blob_has_direct() */
    /* For tests. */
    size_t part_bytes; /* of an upload in parts: the first parts; 0 = 6 MiB */
    uint64_t copy_max; /* larger objects are copied in ranges; 0 = 5 GiB */
    int64_t stall_ms;  /* a connection without a byte for so long is broken; 0 = 20 s */
};

struct blob_options {
    const char *location; /* a folder, or "s3://bucket/prefix" */
    struct blob_s3_options s3;
    /* A folder of this process alone, where a name for it is kept, so that what it left behind when it died is known as its own;
     * NULL: none, leftovers go by age. */
    const char *state_dir;
    bool keep; /* a background thread removes what uploads that broke off left behind */
};

/* Opens or creates the store. ST_INVALID for one of another format, ST_CONFLICT while another process has the folder open,
 * ST_UNAVAILABLE when it cannot be reached. */
enum status blob_open_with(struct blob_store **out, const struct blob_options *opt,
                           struct err *err);
/* The same for a folder. */
enum status blob_open(struct blob_store **out, const char *dir, struct err *err);
void blob_close(struct blob_store *s); /* NULL-safe */
/* The folder on this machine; NULL when the bytes lie elsewhere. */
const char *blob_dir(const struct blob_store *s);
/* Where the bytes lie, for people: no secret is in it. */
const char *blob_location(const struct blob_store *s);
/* Threads for work on bytes (hashing, writing, waiting for a network), apart from those that read SQL. */
struct exec_pool *blob_pool(struct blob_store *s);
/* Whether bytes can be written and read now. ST_UNAVAILABLE, ST_IO or ST_CORRUPT with what is wrong. */
enum status blob_health(struct blob_store *s, struct err *err);

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */

enum status blob_write_begin(struct blob_store *s, struct blob_writer **out, struct err *err);
enum status blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err);
/* The digest and size of what was written; nothing more may be. */
void blob_write_hash(struct blob_writer *w, struct digest *sha256, uint64_t *size);
/* After that: makes the bytes durable in their place of generation gen, which must be the caller's alone, and frees the writer, also
 * on failure. */
enum status blob_write_place(struct blob_writer *w, int64_t gen, struct err *err);
/* Both. */
enum status blob_write_end(struct blob_writer *w, int64_t gen, struct digest *sha256,
                           uint64_t *size, struct err *err);
void blob_write_abort(struct blob_writer *w); /* NULL-safe */

/* ---- uploads that go on later ------------------------------------------------------------------------------------------------
 * What a writer got can be saved on the way: then another one goes on from there, after a restart too. What it needs for that is the
 * caller's to keep: where, the state of the hash, and a text of the backend. What lies there is known by an id of the caller's. */

enum { BLOB_RESUME_ID = 32, BLOB_LEDGER_MAX = 5 << 20 };
struct blob_saved {
    uint64_t at; /* so many bytes are durable */
    unsigned char hash[SHA256_SAVED_MAX];
    size_t hash_n;
    struct str ledger;
};
/* A writer that goes on behind from->at; what lies behind that is thrown away. at 0: it begins. id: BLOB_RESUME_ID hex digits, with one
 * writer at a time, else ST_CONFLICT. ST_NOT_FOUND when bytes before it are missing. blob_write_abort() leaves what was saved; after blob_write_place() it
 * lies there as well, until blob_resume_drop(). */
enum status blob_resume(struct blob_store *s, struct str id, const struct blob_saved *from,
                        struct blob_writer **out, struct err *err);
bool blob_resume_is_busy(struct blob_store *s, struct str id); /* it has a writer */
/* All that was written is durable when it returns OK, and *out says how to go on; its text lies in `ledger`, which is emptied first. */
enum status blob_resume_save(struct blob_writer *w, struct buf *ledger, struct blob_saved *out,
                             struct err *err);
/* Removes, durably, what was saved; missing is fine. No writer has it. */
enum status blob_resume_drop(struct blob_store *s, struct str id, struct str ledger,
                             struct err *err);

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

/* Whether objects can be had as descriptors: then blob_read_open() does not wait for a network. */
bool blob_has_files(const struct blob_store *s);
/* A descriptor of the whole object, which the caller closes. ST_CORRUPT when it is missing or has another size;
 * ST_NOT_IMPLEMENTED where there are no descriptors. */
enum status blob_read_open(struct blob_store *s, const struct digest *sha256, int64_t gen,
                           uint64_t size, int *fd, struct err *err);

/* Bytes [from, from + n) of an object of `size` bytes. ST_CORRUPT as above. Every backend. */
enum status blob_reader_open(struct blob_store *s, const struct digest *sha256, int64_t gen,
                             uint64_t size, uint64_t from, uint64_t n, struct blob_reader **out,
                             struct err *err);
/* The same of an object as its row describes it: whole or in packs. Bytes out of packs are checked against the ids of their chunks
 * before they are given. ST_NOT_IMPLEMENTED for a recipe of a later version. */
struct blob_object {
    struct digest sha256;
    int64_t gen;
    uint64_t size;
    struct str recipe;
};
enum status blob_object_open(struct blob_store *s, const struct blob_object *o, uint64_t from,
                             uint64_t n, struct blob_reader **out, struct err *err);
/* At least one and at most max bytes, in order; *got is 0 at the end of the range only. */
enum status blob_reader_next(struct blob_reader *r, void *p, size_t max, size_t *got,
                             struct err *err);
/* Where the next bytes lie as they are, one behind the other, in a file: at most max of them, passed over then; *fd is borrowed until the
 * next call. *n is 0 where they do not, or at the end of the range: blob_reader_next() gives them. What is had so is not checked. */
enum status blob_reader_next_file(struct blob_reader *r, uint64_t max, int *fd, uint64_t *at,
                                  uint64_t *n, struct err *err);
/* Whether much is left that comes from a service as it is, so that the next bytes may go through a pipe without being seen. */
bool blob_reader_has_pipe(const struct blob_reader *r);
/* Then: at most max of them into an empty, non-blocking pipe. *got is 0 where they do not go so, here and now: blob_reader_next() gives
 * them, and who has passed over some may ask again. What is had so is not checked. */
enum status blob_reader_next_pipe(struct blob_reader *r, int pipe, size_t max, size_t *got,
                                  struct err *err);
void blob_reader_close(struct blob_reader *r); /* NULL-safe */

/* ---- keeping ------------------------------------------------------------------------------------------------------------------ */

/* ST_NOT_FOUND when there is no such object. */
enum status blob_stat(struct blob_store *s, const struct digest *sha256, int64_t gen,
                      uint64_t *size, struct err *err);
/* ST_CORRUPT unless the object is there with that size. */
enum status blob_check(struct blob_store *s, const struct digest *sha256, int64_t gen,
                       uint64_t size, struct err *err);
/* The same for an object as its row describes it; of packs their footers are read. */
enum status blob_object_check(struct blob_store *s, const struct blob_object *o, struct err *err);
/* Removes the bytes of one generation; missing is fine. After a loss of power they may be back. */
enum status blob_delete(struct blob_store *s, const struct digest *sha256, int64_t gen,
                        struct err *err);

struct blob_entry {
    struct digest sha256;
    int64_t gen;
    uint64_t size;
    int64_t mtime_ms; /* of blob_list(): when it was written, by the backend's clock; else 0 */
};
/* The same for many, durably: when it returns OK they do not come back. Sorted entries are faster. */
enum status blob_delete_many(struct blob_store *s, const struct blob_entry *e, size_t n,
                             struct err *err);
/* From now on calls that wait for a network give up soon, with ST_UNAVAILABLE. Before the threads that make them are stopped. */
void blob_hurry(struct blob_store *s);

typedef enum status (*blob_entry_fn)(void *ctx, const struct blob_entry *entry, struct err *err);
enum { BLOB_SHARDS = 256 };
/* Calls fn for every object whose digest begins with the byte `shard`, in no order; stops at the first status that is not OK.
 * What is written or deleted meanwhile may be seen or not. */
enum status blob_list(struct blob_store *s, unsigned shard, blob_entry_fn fn, void *ctx,
                      struct err *err);

/* The same of packs: those whose id begins with the byte `shard`. */
struct blob_pack_entry {
    uint64_t id, size;
    int64_t mtime_ms;
};
typedef enum status (*blob_pack_entry_fn)(void *ctx, const struct blob_pack_entry *entry,
                                          struct err *err);
enum status blob_pack_list(struct blob_store *s, unsigned shard, blob_pack_entry_fn fn, void *ctx,
                           struct err *err);

/* ---- packs -------------------------------------------------------------------------------------------------------------------- */

/* A number that no pack has had: 63 random bits. */
uint64_t blob_pack_draw(void);
/* The place of a pack, for people: "packs/ab/abcdef0123456789". */
enum { BLOB_PACK_PLACE_MAX = 5 + 1 + 2 + 1 + 16 + 1 };
void blob_pack_place(uint64_t id, char out[BLOB_PACK_PLACE_MAX]);

struct blob_pack_writer;
enum status blob_pack_begin(struct blob_store *s, uint64_t id, struct blob_pack_writer **out,
                            struct err *err);
/* Appends n raw bytes, 1 .. CDC_MAX, as the next chunk. At most PACKFILE_CHUNKS_MAX of them. */
enum status blob_pack_add(struct blob_pack_writer *w, const struct digest *chunk, const void *p,
                          size_t n, struct err *err);
/* The same of a chunk that packfile_encode() has coded already: raw bytes, stored as `stored`. */
enum status blob_pack_put(struct blob_pack_writer *w, const struct digest *chunk, size_t raw,
                          struct str stored, uint8_t codec, struct err *err);
/* Chunks, and bytes of the file, so far. */
uint32_t blob_pack_chunks(const struct blob_pack_writer *w);
uint64_t blob_pack_bytes(const struct blob_pack_writer *w);
/* Makes the pack durable in its place and frees the writer, also on failure. At least one chunk. */
enum status blob_pack_end(struct blob_pack_writer *w, uint64_t *bytes, struct err *err);
void blob_pack_abort(struct blob_pack_writer *w); /* NULL-safe */

/* What is in a pack of that size: from memory, or its footer is read. Given back with blob_pack_close(). ST_CORRUPT when it is missing
 * or damaged. */
enum status blob_pack_open(struct blob_store *s, uint64_t id, uint64_t bytes,
                           const struct packfile **out, struct err *err);
void blob_pack_close(struct blob_store *s, const struct packfile *p); /* NULL-safe */
/* Reads a pack from its beginning to its end, every chunk checked against its id; nothing is taken from memory. ST_CORRUPT when it is
 * missing, or its footer or its head is damaged. */
struct blob_pack_scan;
enum status blob_pack_scan_begin(struct blob_store *s, uint64_t id, uint64_t bytes,
                                 struct blob_pack_scan **out, struct err *err);
/* The next chunk, with what lies between it and the last: *stored bytes. ST_CORRUPT: it is damaged; the next call goes on behind it.
 * ST_END after the last one. Other failures end the scan. */
enum status blob_pack_scan_next(struct blob_pack_scan *c, uint32_t *chunk, size_t *stored,
                                struct err *err);
const struct packfile *blob_pack_scan_foot(const struct blob_pack_scan *c);
void blob_pack_scan_end(struct blob_pack_scan *c); /* NULL-safe */
/* Durably; missing is fine. */
enum status blob_pack_delete(struct blob_store *s, uint64_t id, struct err *err);

/* ---- direct: clients that send and get bytes straight from the backend, with URLs that are good for a time ------- */

enum { BLOB_DIRECT_S = 900, BLOB_DIRECT_PARTS = 10000, BLOB_DIRECT_ID_MAX = 1200 };
bool blob_has_direct(const struct blob_store *s);
/* An upload in 1 .. BLOB_DIRECT_PARTS parts: a URL for each (a PUT with the bytes as its body answers with an ETag). What is never
 * finished is removed after a day. Results lie in the arena. Not where blob_has_direct() is false. */
enum status blob_direct_begin(struct blob_store *s, struct arena *a, unsigned parts, struct str *id,
                              struct str *urls, struct err *err);
struct blob_part {
    unsigned number; /* from 1, rising */
    struct str etag;
};
/* The parts become one object, which is read back and hashed, and waits for blob_direct_place() or _drop(). ST_INVALID when the
 * id or the parts are not those of an upload that is open. */
enum status blob_direct_join(struct blob_store *s, struct str id, const struct blob_part *parts,
                             size_t n, struct digest *sha256, uint64_t *size, struct err *err);
/* Puts it in its place: durable, as after blob_write_place(). It waits no longer, also on failure. */
enum status blob_direct_place(struct blob_store *s, struct str id, const struct digest *sha256,
                              int64_t gen, uint64_t size, struct err *err);
enum status blob_direct_drop(struct blob_store *s, struct str id, struct err *err);
/* Unknown uploads are fine. */
enum status blob_direct_abort(struct blob_store *s, struct str id, struct err *err);
/* A URL whose GET, with or without a range, answers with the bytes for so many seconds (1 .. 604800). */
enum status blob_direct_get(struct blob_store *s, struct arena *a, const struct digest *sha256,
                            int64_t gen, int64_t seconds, struct str *url, struct err *err);
/* The same for bytes that lie elsewhere: a copy is made, which goes after a day; the URL is good for half a day at most. */
enum status blob_direct_get_small(struct blob_store *s, struct arena *a,
                                  const struct digest *sha256, struct str bytes, int64_t seconds,
                                  struct str *url, struct err *err);

/* Removes what uploads that broke off left behind, as far as it cannot be somebody's at work: own leftovers of before the store was
 * opened, and others' after a day. *left: unfinished uploads that are still there afterwards. */
enum status blob_tidy(struct blob_store *s, size_t *left, struct err *err);

/* The recipe of a whole loose object, as the column object.recipe holds it. */
enum { BLOB_RECIPE_WHOLE_BYTES = 3 };
void blob_recipe_whole(unsigned char out[BLOB_RECIPE_WHOLE_BYTES]);
bool blob_recipe_is_whole(struct str recipe);

#endif
