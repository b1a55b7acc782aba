/* store/mkeys.c - see mkeys.h. The maps are guarded by a read-write lock: readers add what they loaded, the sequencer
 * adds new names. Entries are freed only by the sequencer, under the write lock, and only without references; a reader copies
 * a name while it holds the lock. */
#include "store/mkeys.h"

#include "base/exec.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "gen/sql/queries.h"

enum { KEYS_MAX = 1 << 24, FRESH_MAX = 1 << 22, ENTRY_OVERHEAD = 64 };

struct mkeys {
    struct rwlock lock;
    struct str_map by_name;
    struct int_map by_id;
    _Atomic size_t bytes; /* changed under the lock; the sequencer looks without it */
    size_t max_bytes;
    uint32_t last_id;         /* the sequencer's */
    VEC(struct mkey *) fresh; /* added by the open group, in order */
};

enum status mkeys_open(struct mkeys **out, struct sql_conn *writer, size_t max_bytes,
                       struct err *err)
{
    struct q_mkey_last_row row;
    struct mkeys *m = (struct mkeys *)mem_zalloc(1, sizeof(*m));
    enum status st;

    *out = NULL;
    if (!m) {
        return err_nomem(err);
    }
    st = q_mkey_last(writer, NULL, &row, err);
    if (st) {
        mem_free(m);
        return st;
    }
    m->last_id = (uint32_t)row.id;
    m->max_bytes = max_bytes;
    m->by_name.max = KEYS_MAX;
    m->by_id.max = KEYS_MAX;
    m->fresh.max = FRESH_MAX;
    rwlock_init(&m->lock, LOCK_RANK_CACHE);
    *out = m;
    return OK;
}

void mkeys_close(struct mkeys *m)
{
    size_t at = 0;
    uint64_t id;
    void *value;

    if (!m) {
        return;
    }
    while (int_map_next(&m->by_id, &at, &id, &value)) {
        mem_free(value);
    }
    str_map_release(&m->by_name);
    int_map_release(&m->by_id);
    vec_release(&m->fresh);
    rwlock_release(&m->lock);
    mem_free(m);
}

static struct mkey *entry_new(struct str name, uint32_t id)
{
    struct mkey *k = (struct mkey *)mem_alloc(sizeof(*k) + name.n);
    char *p = (char *)(k + 1);

    if (k) {
        if (name.n > 0) {
            memcpy(p, name.p, name.n);
        }
        *k = (struct mkey){ .name = { p, name.n }, .id = id };
    }
    return k;
}

size_t mkeys_bytes(struct mkeys *m)
{
    size_t n;

    rwlock_read(&m->lock);
    n = m->bytes;
    rwlock_give(&m->lock);
    return n;
}

static void entry_remove(struct mkeys *m, struct mkey *k)
{
    (void)str_map_remove(&m->by_name, k->name);
    (void)int_map_remove(&m->by_id, k->id);
    m->bytes -= sizeof(*k) + k->name.n + ENTRY_OVERHEAD;
    mem_free(k);
}

/* Puts k into both maps, or frees it for the entry that another thread put meanwhile. */
static enum status entry_put(struct mkeys *m, struct mkey **k, struct err *err)
{
    struct mkey *other;
    enum status st = OK;

    rwlock_write(&m->lock);
    other = (struct mkey *)int_map_get(&m->by_id, (*k)->id);
    if (other) {
        mem_free(*k);
        *k = other;
    } else {
        st = str_map_put(&m->by_name, (*k)->name, *k);
        if (!st) {
            st = int_map_put(&m->by_id, (*k)->id, *k);
            if (st) (void)str_map_remove(&m->by_name, (*k)->name);
        }
        if (!st) m->bytes += sizeof(**k) + (*k)->name.n + ENTRY_OVERHEAD;
    }
    rwlock_give(&m->lock);
    if (st) {
        mem_free(*k);
        *k = NULL;
        return err_nomem(err);
    }
    return OK;
}

static struct mkey *cached_by_name(struct mkeys *m, struct str name)
{
    struct mkey *k;

    rwlock_read(&m->lock);
    k = (struct mkey *)str_map_get(&m->by_name, name);
    rwlock_give(&m->lock);
    return k;
}

/* ---- the sequencer's ------------------------------------------------------------------------------------------------------ */

static enum status add(struct mkeys *m, struct sql_conn *writer, struct str name, struct mkey **out,
                       struct err *err)
{
    struct mkey **slot = vec_add(&m->fresh), *k;
    enum status st;

    if (!slot || m->last_id >= KEYS_MAX) {
        if (slot) m->fresh.n--;
        return slot ? err_set(err, ST_TOO_BIG, "the store has %d different keys", (int)KEYS_MAX)
                    : err_nomem(err);
    }
    m->fresh.n--; /* room is kept; it counts once everything has worked */
    k = entry_new(name, m->last_id + 1);
    if (!k) {
        return err_nomem(err);
    }
    k->fresh = true;
    st = q_mkey_insert(writer, k->id, name, err);
    if (st) {
        mem_free(k);
        return st;
    }
    st = entry_put(m, &k, err);
    if (st) return st;
    m->last_id++;
    m->fresh.p[m->fresh.n++] = k;
    *out = k;
    return OK;
}

enum status mkeys_get_or_add(struct mkeys *m, struct sql_conn *writer, struct str name,
                             struct mkey **out, struct err *err)
{
    struct q_mkey_by_name_row row;
    struct mkey *k = cached_by_name(m, name);
    enum status st;

    *out = k;
    if (k) {
        return OK;
    }
    st = q_mkey_by_name(writer, NULL, name, &row, err);
    if (st == ST_NOT_FOUND) {
        return add(m, writer, name, out, err);
    }
    if (st) return st;
    k = entry_new(name, (uint32_t)row.id);
    if (!k) {
        return err_nomem(err);
    }
    st = entry_put(m, &k, err);
    *out = k;
    return st;
}

size_t mkeys_mark(const struct mkeys *m)
{
    return m->fresh.n;
}

void mkeys_rollback(struct mkeys *m, size_t mark)
{
    if (m->fresh.n == mark) {
        return;
    }
    rwlock_write(&m->lock);
    while (m->fresh.n > mark) {
        struct mkey *k = m->fresh.p[--m->fresh.n];

        CHECK(k->refs == 0);
        m->last_id = k->id - 1;
        entry_remove(m, k);
    }
    rwlock_give(&m->lock);
}

/* Drops entries without references until at most `keep` bytes are left. */
static void trim(struct mkeys *m, size_t keep)
{
    enum { BATCH = 256 };
    struct mkey *drop[BATCH];
    bool more = true;

    while (more && m->bytes > keep) {
        size_t at = 0, n = 0;
        uint64_t id;
        void *value;

        rwlock_write(&m->lock);
        while (n < BATCH && int_map_next(&m->by_id, &at, &id, &value)) {
            if (((struct mkey *)value)->refs == 0) {
                drop[n++] = (struct mkey *)value;
            }
        }
        for (size_t i = 0; i < n; i++) {
            entry_remove(m, drop[i]);
        }
        rwlock_give(&m->lock);
        more = n > 0;
    }
}

void mkeys_commit(struct mkeys *m)
{
    if (m->fresh.n > 0) {
        rwlock_write(&m->lock);
        for (size_t i = 0; i < m->fresh.n; i++) {
            m->fresh.p[i]->fresh = false;
        }
        rwlock_give(&m->lock);
        vec_clear(&m->fresh);
    }
    if (m->bytes > m->max_bytes) {
        trim(m, m->max_bytes - m->max_bytes / 10); /* a tenth is free then */
    }
}

enum status mkeys_refresh(struct mkeys *m, struct sql_conn *writer, struct err *err)
{
    struct q_mkey_last_row row;
    enum status st = q_mkey_last(writer, NULL, &row, err);

    if (!st) m->last_id = (uint32_t)row.id;
    return st;
}

void mkeys_clear(struct mkeys *m)
{
    trim(m, 0);
}

enum status mkeys_by_id(struct mkeys *m, struct sql_conn *conn, uint32_t id, struct mkey **out,
                        struct err *err)
{
    struct q_mkey_by_id_row row;
    struct arena *a = NULL;
    struct mkey *k;
    enum status st;

    rwlock_read(&m->lock);
    k = (struct mkey *)int_map_get(&m->by_id, id);
    rwlock_give(&m->lock);
    *out = k;
    if (k) {
        return OK;
    }
    a = arena_new(64 << 10);
    if (!a) {
        return err_nomem(err);
    }
    st = q_mkey_by_id(conn, a, id, &row, err);
    if (st == ST_NOT_FOUND) {
        st = err_set(err, ST_CORRUPT, "key %u has no name", id);
    }
    if (!st) {
        k = entry_new(row.name, id);
        st = k ? entry_put(m, &k, err) : err_nomem(err);
        *out = k;
    }
    arena_free(a);
    return st;
}

/* ---- readers' --------------------------------------------------------------------------------------------------------------- */

enum status mkeys_find(struct mkeys *m, struct sql_conn *conn, struct str name, uint32_t *id,
                       struct err *err)
{
    struct q_mkey_by_name_row row;
    struct mkey *k;
    enum status st;

    rwlock_read(&m->lock);
    k = (struct mkey *)str_map_get(&m->by_name, name);
    *id = k && !k->fresh ? k->id : 0; /* the id of a group that may yet fail is nobody's */
    rwlock_give(&m->lock);
    if (*id != 0) {
        return OK;
    }
    st = q_mkey_by_name(conn, NULL, name, &row, err);
    if (st == ST_NOT_FOUND) {
        return OK;
    }
    if (st) return st;
    *id = (uint32_t)row.id;
    return OK;
}

/* Copies the cached name; false when it is not there or memory is out (then *out is unset). */
static bool copy_cached(struct mkeys *m, char *room, size_t room_n, uint32_t id, size_t *need)
{
    struct mkey *k;
    bool ok;

    rwlock_read(&m->lock);
    k = (struct mkey *)int_map_get(&m->by_id, id);
    *need = k ? k->name.n : SIZE_MAX;
    ok = k && k->name.n <= room_n;
    if (ok) {
        memcpy(room, k->name.p, k->name.n);
    }
    rwlock_give(&m->lock);
    return ok;
}

enum status mkeys_name(struct mkeys *m, struct sql_conn *conn, struct arena *a, uint32_t id,
                       struct str *out, struct err *err)
{
    enum { ROOM = 256 };
    struct q_mkey_by_id_row row;
    char room[ROOM];
    size_t n;
    struct mkey *k;
    enum status st;

    if (copy_cached(m, room, sizeof(room), id, &n)) {
        *out = arena_str(a, str_of(room, n));
        return out->p ? OK : err_nomem(err);
    }
    st = q_mkey_by_id(conn, a, id, &row, err);
    if (st == ST_NOT_FOUND) {
        return err_set(err, ST_CORRUPT, "key %u has no name", id);
    }
    if (st) return st;
    *out = row.name;
    k = n == SIZE_MAX ? entry_new(row.name, id) : NULL;
    if (k) {
        IGNORE_STATUS(entry_put(m, &k, NULL)); /* only a cache: the name is known now */
    }
    return OK;
}
