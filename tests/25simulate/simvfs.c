/* tests/25simulate/simvfs.c - see simvfs.h. */
#include "simvfs.h"
#include "simdisk.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { FILES_MAX = 16, NAME_MAX_N = 128, SHM_REGIONS = 64, SHM_SLOTS = SQLITE_SHM_NLOCK };

struct file {
    char name[NAME_MAX_N];
    bool exists;  /* as programs see it */
    bool on_disk; /* the folder on the disk has it (or the one of this name before it) */
    bool fresh;   /* made since the folder was synced */
    struct content c;
    /* Locks of the handles of this file. */
    int shared, reserved, pending, exclusive;
    void *shm[SHM_REGIONS];
    size_t shm_size;
    int shm_shared[SHM_SLOTS], shm_exclusive[SHM_SLOTS];
    int handles;
};

struct handle {
    sqlite3_file base;
    struct file *f;
    int lock;
    unsigned shm_shared, shm_exclusive; /* slots that this handle holds */
    bool remove;
};

static struct {
    struct file files[FILES_MAX];
    bool registered;
    sqlite3_vfs vfs;
} sim;

static void folder_sync(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &sim.files[i];

        if (!f->exists && f->on_disk) {
            content_gone(&f->c);
        }
        f->on_disk = f->exists;
        f->fresh = false;
    }
}

/* As SQLite does it on unix: the first sync of a new file syncs its folder too. */
static void file_sync(struct file *f)
{
    content_sync(&f->c);
    if (f->fresh) folder_sync();
}

/* ---- power and faults -------------------------------------------------------------------------------------------------------- */

static void file_lose(struct file *f)
{
    content_lose(&f->c);
    if (f->exists && !f->on_disk) f->on_disk = simdisk_draw() % 2; /* made, folder never synced */
    if (!f->exists && f->on_disk)
        f->on_disk = simdisk_draw() % 2; /* deleted, folder never synced */
    f->exists = f->on_disk;
    f->fresh = false;
    if (!f->exists) content_gone(&f->c);
}

static void shm_free(struct file *f)
{
    for (int i = 0; i < SHM_REGIONS; i++) {
        mem_free(f->shm[i]);
        f->shm[i] = NULL;
    }
    memset(f->shm_shared, 0, sizeof(f->shm_shared));
    memset(f->shm_exclusive, 0, sizeof(f->shm_exclusive));
}

void simvfs_restart(bool power_lost)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &sim.files[i];

        if (power_lost) {
            file_lose(f);
        } else {
            content_killed(&f->c);
        }
        CHECK(f->handles == 0);
        shm_free(f);
        f->shared = f->reserved = f->pending = f->exclusive = 0;
    }
}

/* ---- file methods --------------------------------------------------------------------------------------------------------------- */

static struct handle *handle_of(sqlite3_file *file)
{
    return (struct handle *)(void *)file;
}

static int sim_unlock(sqlite3_file *file, int to)
{
    struct handle *h = handle_of(file);
    struct file *f = h->f;

    if (h->lock >= SQLITE_LOCK_EXCLUSIVE && to < SQLITE_LOCK_EXCLUSIVE) f->exclusive = 0;
    if (h->lock >= SQLITE_LOCK_PENDING && to < SQLITE_LOCK_PENDING) f->pending = 0;
    if (h->lock >= SQLITE_LOCK_RESERVED && to < SQLITE_LOCK_RESERVED) f->reserved = 0;
    if (h->lock >= SQLITE_LOCK_SHARED && to < SQLITE_LOCK_SHARED) f->shared--;
    h->lock = MIN_OF(h->lock, to);
    return SQLITE_OK;
}

static int sim_lock(sqlite3_file *file, int to)
{
    struct handle *h = handle_of(file);
    struct file *f = h->f;

    if (to >= SQLITE_LOCK_SHARED && h->lock < SQLITE_LOCK_SHARED) {
        if (f->pending || f->exclusive) return SQLITE_BUSY;
        f->shared++;
        h->lock = SQLITE_LOCK_SHARED;
    }
    if (to == SQLITE_LOCK_RESERVED && h->lock < SQLITE_LOCK_RESERVED) {
        if (f->reserved) return SQLITE_BUSY;
        f->reserved = 1;
        h->lock = SQLITE_LOCK_RESERVED;
    }
    if (to == SQLITE_LOCK_EXCLUSIVE && h->lock < SQLITE_LOCK_EXCLUSIVE) {
        if (h->lock < SQLITE_LOCK_PENDING) {
            if (f->pending || (f->reserved && h->lock < SQLITE_LOCK_RESERVED)) return SQLITE_BUSY;
            f->reserved = f->pending = 1;
            h->lock = SQLITE_LOCK_PENDING;
        }
        if (f->shared > 1) return SQLITE_BUSY;
        f->exclusive = 1;
        h->lock = SQLITE_LOCK_EXCLUSIVE;
    }
    return SQLITE_OK;
}

static int sim_check_reserved(sqlite3_file *file, int *out)
{
    *out = handle_of(file)->f->reserved;
    return SQLITE_OK;
}

static int sim_close(sqlite3_file *file)
{
    struct handle *h = handle_of(file);

    (void)sim_unlock(file, SQLITE_LOCK_NONE);
    h->f->handles--;
    if (h->remove) h->f->exists = h->f->on_disk = false;
    return SQLITE_OK;
}

static int sim_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
    struct bytes *b = &handle_of(file)->f->c.now;
    size_t from = (size_t)at, want = (size_t)n, have = from < b->n ? MIN_OF(want, b->n - from) : 0;

    if (simdisk_is_off()) return SQLITE_IOERR_READ;
    if (have) memcpy(p, b->p + from, have);
    if (have == want) return SQLITE_OK;
    memset((unsigned char *)p + have, 0, want - have);
    return SQLITE_IOERR_SHORT_READ;
}

static int sim_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    struct file *f = handle_of(file)->f;
    bool was_off = simdisk_is_off();

    if (simdisk_fails()) {
        if (simdisk_is_off() && !was_off) content_half_write(&f->c, (size_t)at, p, (size_t)n);
        return !simdisk_is_off() && simdisk_draw() % 2 ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    content_write(&f->c, (size_t)at, p, (size_t)n);
    return SQLITE_OK;
}

static int sim_truncate(sqlite3_file *file, sqlite3_int64 n)
{
    struct file *f = handle_of(file)->f;

    if (simdisk_fails()) return SQLITE_IOERR_TRUNCATE;
    content_cut(&f->c, (size_t)n);
    return SQLITE_OK;
}

static int sim_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    if (simdisk_fails()) return SQLITE_IOERR_FSYNC;
    file_sync(handle_of(file)->f);
    return SQLITE_OK;
}

static int sim_size(sqlite3_file *file, sqlite3_int64 *n)
{
    *n = (sqlite3_int64)handle_of(file)->f->c.now.n;
    return simdisk_is_off() ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int sim_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int sim_sector(sqlite3_file *file)
{
    (void)file;
    return SIMDISK_SECTOR;
}

static int sim_characteristics(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int sim_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    struct file *f = handle_of(file)->f;

    *out = NULL;
    if (region >= SHM_REGIONS) return SQLITE_FULL;
    if (!f->shm[region]) {
        if (!extend) return SQLITE_OK;
        f->shm[region] = mem_zalloc(1, (size_t)size);
        if (!f->shm[region]) return SQLITE_NOMEM;
    }
    *out = f->shm[region];
    return SQLITE_OK;
}

static int sim_shm_lock(sqlite3_file *file, int from, int n, int flags)
{
    struct handle *h = handle_of(file);
    struct file *f = h->f;
    bool shared = (flags & SQLITE_SHM_SHARED) != 0, lock = (flags & SQLITE_SHM_LOCK) != 0;

    for (int i = from; lock && i < from + n; i++) {
        bool own_shared = (h->shm_shared >> i & 1) != 0,
             own_exclusive = (h->shm_exclusive >> i & 1) != 0;

        if (f->shm_exclusive[i] && !own_exclusive) return SQLITE_BUSY;
        if (!shared && f->shm_shared[i] > own_shared) return SQLITE_BUSY;
    }
    for (int i = from; i < from + n; i++) {
        unsigned bit = 1u << i, *own = shared ? &h->shm_shared : &h->shm_exclusive;
        int *count = shared ? f->shm_shared : f->shm_exclusive;

        if (lock && !(*own & bit)) count[i]++;
        if (!lock && (*own & bit)) count[i]--;
        *own = lock ? *own | bit : *own & ~bit;
    }
    return SQLITE_OK;
}

static void sim_shm_barrier(sqlite3_file *file)
{
    (void)file;
}

static int sim_shm_unmap(sqlite3_file *file, int delete_it)
{
    struct handle *h = handle_of(file);

    for (int i = 0; i < SHM_SLOTS; i++) {
        if (h->shm_shared >> i & 1) h->f->shm_shared[i]--;
        if (h->shm_exclusive >> i & 1) h->f->shm_exclusive[i]--;
    }
    h->shm_shared = h->shm_exclusive = 0;
    if (delete_it) shm_free(h->f);
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = sim_close,
    .xRead = sim_read,
    .xWrite = sim_write,
    .xTruncate = sim_truncate,
    .xSync = sim_sync,
    .xFileSize = sim_size,
    .xLock = sim_lock,
    .xUnlock = sim_unlock,
    .xCheckReservedLock = sim_check_reserved,
    .xFileControl = sim_control,
    .xSectorSize = sim_sector,
    .xDeviceCharacteristics = sim_characteristics,
    .xShmMap = sim_shm_map,
    .xShmLock = sim_shm_lock,
    .xShmBarrier = sim_shm_barrier,
    .xShmUnmap = sim_shm_unmap,
};

/* ---- vfs methods ------------------------------------------------------------------------------------------------------------------ */

static struct file *find_file(const char *name, bool make)
{
    struct file *empty = NULL;

    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &sim.files[i];

        if (f->name[0] && strcmp(f->name, name) == 0) return f;
        if (!f->name[0] && !empty) empty = f;
    }
    if (make && empty) snprintf(empty->name, sizeof(empty->name), "%s", name);
    return make ? empty : NULL;
}

static int sim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                    int *out_flags)
{
    static int temporary;
    struct handle *h = handle_of(file);
    char made[32];
    struct file *f;

    (void)vfs;
    memset(h, 0, sizeof(*h));
    if (simdisk_is_off()) return SQLITE_CANTOPEN;
    if (!name) {
        snprintf(made, sizeof(made), "temporary-%d", temporary++ % 4);
        name = made;
    }
    f = find_file(name, true);
    if (!f) return SQLITE_CANTOPEN;
    if (!f->exists && !(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
    if (!f->exists) {
        /* On the disk the old file of this name may still be there. */
        content_cut(&f->c, 0);
        if (!f->on_disk) content_gone(&f->c);
        f->exists = f->fresh = true;
    }
    h->base.pMethods = &methods;
    h->f = f;
    h->remove = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    f->handles++;
    if (out_flags) *out_flags = flags;
    return SQLITE_OK;
}

static int sim_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    struct file *f = find_file(name, false);

    (void)vfs;
    if (simdisk_fails()) return SQLITE_IOERR_DELETE;
    if (!f || !f->exists) return SQLITE_IOERR_DELETE_NOENT;
    f->exists = false;
    bytes_cut(&f->c.now, 0);
    if (sync_folder) folder_sync();
    return SQLITE_OK;
}

static int sim_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    struct file *f = find_file(name, false);

    (void)vfs;
    (void)flags;
    *out = f && f->exists && (flags != SQLITE_ACCESS_EXISTS || f->c.now.n > 0);
    return simdisk_is_off() ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int sim_full_path(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
    (void)vfs;
    snprintf(out, (size_t)n, "%s", name);
    return SQLITE_OK;
}

static int sim_random(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    for (int i = 0; i < n; i++) {
        out[i] = (char)simdisk_draw();
    }
    return n;
}

static int sim_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

static int sim_time(sqlite3_vfs *vfs, double *out)
{
    (void)vfs;
    *out = 2460000.5;
    return SQLITE_OK;
}

static int sim_last_error(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    (void)n;
    (void)out;
    return 0;
}

static void files_free(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &sim.files[i];

        content_free(&f->c);
        shm_free(f);
        memset(f, 0, sizeof(*f));
    }
}

void simvfs_begin(void)
{
    files_free();
    if (!sim.registered) {
        sim.vfs = (sqlite3_vfs){ .iVersion = 1,
                                 .szOsFile = sizeof(struct handle),
                                 .mxPathname = NAME_MAX_N - 1,
                                 .zName = "sim",
                                 .xOpen = sim_open,
                                 .xDelete = sim_delete,
                                 .xAccess = sim_access,
                                 .xFullPathname = sim_full_path,
                                 .xRandomness = sim_random,
                                 .xSleep = sim_sleep,
                                 .xCurrentTime = sim_time,
                                 .xGetLastError = sim_last_error };
        CHECK(sqlite3_vfs_register(&sim.vfs, 0) == SQLITE_OK);
        sim.registered = true;
    }
}

void simvfs_end(void)
{
    files_free();
}
