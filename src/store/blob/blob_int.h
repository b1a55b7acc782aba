/* store/blob/blob_int.h - the store itself, and reading out of packs: what blob.c and blob_pack.c share.
 * Footers of packs that were read lately stay in memory, up to PACKS_KEPT_BYTES beside those in use.
 * Thread rule: as blob.h; a packed reader belongs to one thread at a time. */
#ifndef CAIRN_STORE_BLOB_BLOB_INT_H
#define CAIRN_STORE_BLOB_BLOB_INT_H

#include "base/map.h"
#include "store/blob/blob_ops.h"
#include "store/blob/recipe.h"

enum { BLOB_RECIPE_ARENA_MAX = 256 << 20, PACKS_KEPT_BYTES = 4 << 20, PACKS_KEPT_MAX = 4096 };

struct kept_pack;

struct blob_store {
    const struct blob_ops *ops;
    void *backend;
    struct exec_pool *pool;
    /* Footers, by id. The lock guards what follows and the counts in them. */
    struct lock packs_lock;
    struct int_map packs;
    struct kept_pack *newest, *oldest; /* of those that nobody uses */
    size_t packs_bytes;                /* of those */
    struct blob_writer *resumed;       /* at work; the same lock */
};

/* A reader of a backend as one of the store; takes it, also on failure. */
enum status blob_reader_wrap(const struct blob_ops *ops, void *backend, uint64_t n,
                             struct blob_reader **out, struct err *err);

void blob_packs_init(struct blob_store *s);
void blob_packs_release(struct blob_store *s);

struct packed_reader;
/* Takes the arena, in which the recipe lies, when it succeeds: *a is NULL then. The range lies inside of the object. */
enum status packed_open(struct blob_store *s, struct arena **a, const struct recipe *r,
                        uint64_t from, uint64_t n, struct packed_reader **out,
                        struct err *err) ATTR_CHECK;
/* At least one byte. Not beyond the range. */
enum status packed_next(struct packed_reader *r, void *p, size_t max, size_t *got,
                        struct err *err) ATTR_CHECK;
/* See blob_reader_next_file(). */
enum status packed_next_file(struct packed_reader *r, uint64_t max, int *fd, uint64_t *at,
                             uint64_t *n, struct err *err) ATTR_CHECK;
void packed_close(struct packed_reader *r); /* NULL-safe */
/* ---- blob_delta.c: an extent of differences ----------------------------------------------------------------------------------- */

struct delta_reader;
/* Bytes [from, from + n) of the extent; from is a multiple of RECIPE_ALIGN. The recipe stays while the reader does. */
enum status delta_open(struct blob_store *s, const struct recipe *r, const struct recipe_extent *e,
                       uint64_t from, uint64_t n, struct delta_reader **out,
                       struct err *err) ATTR_CHECK;
/* The next *got bytes into out, which has room for CDC_MAX; not beyond the range. */
enum status delta_next(struct delta_reader *r, unsigned char *out, size_t *got,
                       struct err *err) ATTR_CHECK;
/* Bytes of the range that are not given yet. */
uint64_t delta_left(const struct delta_reader *r);
void delta_close(struct delta_reader *r); /* NULL-safe */
/* ST_CORRUPT unless every step of the extent lies in its pack. */
enum status delta_check(struct blob_store *s, const struct recipe *r, const struct recipe_extent *e,
                        struct err *err) ATTR_CHECK;

/* ---- blob_pack.c -------------------------------------------------------------------------------------------------------------- */

enum status blob_pack_missing(uint64_t id, struct err *err);
enum status blob_extent_differs(struct err *err);
/* ST_CORRUPT unless every extent lies in its pack. */
enum status packed_check(struct blob_store *s, const struct recipe *r, struct err *err) ATTR_CHECK;

#endif
