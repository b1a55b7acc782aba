/* store/mkeys.h - names of metrics, params and tags as small numbers.
 * Only the sequencer gives out ids, inside the transaction of a group; readers look up. The cache has a cap in bytes; an
 * entry that a head in memory refers to stays. Ids given out by a group that did not commit are taken back with
 * mkeys_rollback(), after everything that referred to them was undone.
 * Ownership: the opener owns the cache; a struct mkey lives while it has a reference.
 * Thread rule: mkeys_get_or_add, _ref, _unref, _commit, _rollback on the sequencer's thread; the rest any thread. */
#ifndef CAIRN_STORE_MKEYS_H
#define CAIRN_STORE_MKEYS_H

#include "base/arena.h"

struct sql_conn;

struct mkey {
    struct str name; /* stands behind the struct */
    uint32_t id;
    uint32_t refs; /* the sequencer's */
    bool fresh;    /* added by the group that has not committed */
};

struct mkeys;
/* max_bytes caps the cache. */
enum status mkeys_open(struct mkeys **out, struct sql_conn *writer, size_t max_bytes,
                       struct err *err);
void mkeys_close(struct mkeys *m); /* NULL-safe */

/* The entry of a name; inserted in the open transaction if there is none. The caller takes a reference if it keeps it
 * beyond its operation. */
enum status mkeys_get_or_add(struct mkeys *m, struct sql_conn *writer, struct str name,
                             struct mkey **out, struct err *err);
/* By id, loaded if needed; ST_CORRUPT when a body refers to an id that has no row. */
enum status mkeys_by_id(struct mkeys *m, struct sql_conn *conn, uint32_t id, struct mkey **out,
                        struct err *err);
static inline void mkey_ref(struct mkey *k)
{
    k->refs++;
}
static inline void mkey_unref(struct mkey *k)
{
    k->refs--;
}
/* A point in the group that mkeys_rollback() can go back to. */
size_t mkeys_mark(const struct mkeys *m);
void mkeys_rollback(struct mkeys *m, size_t mark);
/* The group has committed: ids are final. Also drops unused entries beyond the cap. */
void mkeys_commit(struct mkeys *m);
/* Other servers may have given out ids: the next one is read again. Outside a group, or before its first key. */
enum status mkeys_refresh(struct mkeys *m, struct sql_conn *writer, struct err *err);
/* Forgets every entry without a reference: the store may have others now. */
void mkeys_clear(struct mkeys *m);

/* Of memory, any thread. */
size_t mkeys_bytes(struct mkeys *m);

/* For readers. *id is 0 when there is no such name. */
enum status mkeys_find(struct mkeys *m, struct sql_conn *conn, struct str name, uint32_t *id,
                       struct err *err);
/* The name of an id, copied to the arena. */
enum status mkeys_name(struct mkeys *m, struct sql_conn *conn, struct arena *a, uint32_t id,
                       struct str *out, struct err *err);

#endif
