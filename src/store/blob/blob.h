/* store/blob/blob.h - content-addressed bytes in a folder.
 * An object is known by the SHA-256 of its bytes. A writer takes bytes, hashes them on the way and, at the end, makes them
 * durable: temporary file, fdatasync, rename, fsync of the folder. Only then may a row that names the object be committed. A file
 * without a row is harmless and collected later. Places are never reused: the name of a file holds digest and generation.
 *
 *     DIR/FORMAT                          "cairn-blobs 1"
 *     DIR/lock                            held while the store is open
 *     DIR/tmp/<random>                    being written; emptied at the next start
 *     DIR/objects/ab/abcdef...-0          whole objects; a loose whole file stays legal for ever
 *
 * An fsync error means the bytes are lost: the file is abandoned and the write fails.
 * Ownership: the opener owns the store, the caller each writer until end or abort. Thread rule: any pool thread, never a
 * loop thread; one writer belongs to one thread at a time. */
#ifndef CAIRN_STORE_BLOB_BLOB_H
#define CAIRN_STORE_BLOB_BLOB_H

#include "base/exec.h"
#include "base/hash.h"

struct blob_store;
struct blob_writer;

/* Opens or creates the folder. ST_INVALID for a folder of another format, ST_CONFLICT while another process has it open. */
enum status blob_open(struct blob_store **out, const char *dir, struct err *err);
void blob_close(struct blob_store *s); /* NULL-safe */
const char *blob_dir(const struct blob_store *s);
/* Threads for work on bytes (hashing, writing), apart from those that read SQL. */
struct exec_pool *blob_pool(struct blob_store *s);

enum status blob_write_begin(struct blob_store *s, struct blob_writer **out, struct err *err);
enum status blob_write(struct blob_writer *w, const void *p, size_t n, struct err *err);
/* Makes the bytes durable in their place and frees the writer, also on failure. */
enum status blob_write_end(struct blob_writer *w, struct digest *sha256, uint64_t *size,
                           struct err *err);
void blob_write_abort(struct blob_writer *w); /* NULL-safe */

/* A descriptor of the whole object, which the caller closes. ST_CORRUPT when the file is missing or has another size. */
enum status blob_read_open(struct blob_store *s, const struct digest *sha256, int64_t gen,
                           uint64_t size, int *fd, struct err *err);

/* The recipe of a whole loose file, as the column object.recipe holds it. */
enum { BLOB_RECIPE_WHOLE_BYTES = 3 };
void blob_recipe_whole(unsigned char out[BLOB_RECIPE_WHOLE_BYTES]);
bool blob_recipe_is_whole(struct str recipe);

#endif
