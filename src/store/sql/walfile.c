/* store/sql/walfile.c - see walfile.h. */
#include "store/sql/walfile.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "base/sys.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Below 128 KiB: SQLite's unix layer takes the length of a write modulo that. */
enum { KEPT_MAX = 120 * 1024, LAYERS_MAX = 4, NAME_MAX_N = 40 };

struct layer {
    sqlite3_vfs base; /* the one below, with its own open */
    sqlite3_vfs *below;
    char name[NAME_MAX_N];
};

static struct layer layers[LAYERS_MAX];

/* In the memory that SQLite gives, the file below comes right after it. */
struct walfile {
    sqlite3_file base;
    sqlite3_file *below;
    char *kept; /* KEPT_MAX bytes, made at the first write */
    int n;
    sqlite3_int64 at; /* of the first byte kept */
};

static struct walfile *of(sqlite3_file *f)
{
    return (struct walfile *)f; /* its first member */
}

static int flush(struct walfile *w)
{
    int n = w->n;

    w->n = 0; /* also when it fails: SQLite writes these frames again, or never */
    return n > 0 ? w->below->pMethods->xWrite(w->below, w->kept, n, w->at) : SQLITE_OK;
}

static int wal_close(sqlite3_file *f)
{
    struct walfile *w = of(f);
    int failed = flush(w), rc = w->below->pMethods->xClose(w->below);

    mem_free(w->kept);
    w->kept = NULL;
    return rc ? rc : failed;
}

static int wal_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    struct walfile *w = of(f);
    int rc = flush(w);

    return rc ? rc : w->below->pMethods->xRead(w->below, p, n, at);
}

static int wal_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct walfile *w = of(f);
    int rc = SQLITE_OK;

    if (w->n > 0 && (at != w->at + w->n || n > KEPT_MAX - w->n)) rc = flush(w);
    if (!w->kept) w->kept = mem_alloc(KEPT_MAX);
    if (rc) return rc;
    if (!w->kept || n >= WALFILE_DIRECT) {
        rc = flush(w);
        return rc ? rc : w->below->pMethods->xWrite(w->below, p, n, at);
    }
    if (w->n == 0) w->at = at;
    memcpy(w->kept + w->n, p, (size_t)n);
    w->n += n;
    return SQLITE_OK;
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct walfile *w = of(f);
    int rc = flush(w);

    return rc ? rc : w->below->pMethods->xTruncate(w->below, size);
}

static int wal_sync(sqlite3_file *f, int flags)
{
    struct walfile *w = of(f);
    int rc = flush(w);

    return rc ? rc : w->below->pMethods->xSync(w->below, flags);
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *size)
{
    struct walfile *w = of(f);
    int rc = flush(w);

    return rc ? rc : w->below->pMethods->xFileSize(w->below, size);
}

static int wal_lock(sqlite3_file *f, int level)
{
    return of(f)->below->pMethods->xLock(of(f)->below, level);
}

static int wal_unlock(sqlite3_file *f, int level)
{
    return of(f)->below->pMethods->xUnlock(of(f)->below, level);
}

static int wal_reserved(sqlite3_file *f, int *out)
{
    return of(f)->below->pMethods->xCheckReservedLock(of(f)->below, out);
}

static int wal_control(sqlite3_file *f, int op, void *arg)
{
    return of(f)->below->pMethods->xFileControl(of(f)->below, op, arg);
}

static int wal_sector(sqlite3_file *f)
{
    return of(f)->below->pMethods->xSectorSize(of(f)->below);
}

static int wal_device(sqlite3_file *f)
{
    return of(f)->below->pMethods->xDeviceCharacteristics(of(f)->below);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* a log is neither shared memory nor mapped */
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_device,
};

static int layer_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    sqlite3_vfs *below = CONTAINER_OF(vfs, struct layer, base)->below;
    struct walfile *w = of(f);
    int rc;

    if (!(flags & SQLITE_OPEN_WAL)) return below->xOpen(below, name, f, flags, out);
    memset(w, 0, sizeof(*w));
    w->below = (sqlite3_file *)(void *)(w + 1);
    w->below->pMethods = NULL;
    rc = below->xOpen(below, name, w->below, flags, out);
    if (!rc) {
        w->base.pMethods = &methods;
    } else if (w->below->pMethods) {
        (void)w->below->pMethods->xClose(w->below);
    }
    return rc;
}

const char *walfile_layer(const char *below)
{
    sqlite3_vfs *real = sqlite3_vfs_find(below);
    struct layer *l = layers;

    while (real && l < layers + LAYERS_MAX && l->below && l->below != real) {
        l++;
    }
    if (!real || l == layers + LAYERS_MAX) return NULL;
    if (l->below) return l->name;
    l->base = *real;
    l->base.pNext = NULL;
    l->base.szOsFile = MAX_OF(real->szOsFile, (int)sizeof(struct walfile) + real->szOsFile);
    l->base.xOpen = layer_open;
    snprintf(l->name, sizeof(l->name), "cairn-%s", real->zName);
    l->base.zName = l->name;
    if (sqlite3_vfs_register(&l->base, 0)) return NULL;
    l->below = real;
    return l->name;
}

/* ---- what a start finds ---------------------------------------------------------------------------------------------- */

/* As SQLite's format of the file says: two salts in the header of the file are in the header of every frame since then. */
enum {
    LOG_HEADER = 32,
    LOG_PAGE_AT = 8,
    LOG_SALT_AT = 16,
    FRAME_HEADER = 24,
    FRAME_SALT_AT = 8,
    SALTS = 8
};

static bool frame_is_live(int fd, int64_t at, const unsigned char *salts)
{
    unsigned char frame[FRAME_HEADER];

    return sys.pread(fd, frame, sizeof(frame), (off_t)at) == (ssize_t)sizeof(frame) &&
           memcmp(frame + FRAME_SALT_AT, salts, SALTS) == 0;
}

/* Frames of the present log come first, older ones or zeros behind them: halves are enough to find where. */
static int64_t live_bytes(int fd)
{
    unsigned char log[LOG_HEADER];
    int64_t low = 0, high, step;
    struct stat info;

    if (sys.fstat(fd, &info) || sys.pread(fd, log, sizeof(log), 0) != (ssize_t)sizeof(log)) {
        return 0;
    }
    step = (int64_t)log[LOG_PAGE_AT] << 24 | log[LOG_PAGE_AT + 1] << 16 |
           log[LOG_PAGE_AT + 2] << 8 | log[LOG_PAGE_AT + 3];
    step += FRAME_HEADER;
    high = ((int64_t)info.st_size - LOG_HEADER) / step;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;

        if (frame_is_live(fd, LOG_HEADER + mid * step, log + LOG_SALT_AT)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low * step;
}

int64_t walfile_live_bytes(const char *path)
{
    size_t n = strlen(path) + sizeof("-wal");
    char *name = (char *)mem_alloc(n);
    int64_t bytes = 0;
    int fd;

    if (!name) return 0;
    snprintf(name, n, "%s-wal", path);
    fd = sys.open(name, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        bytes = live_bytes(fd);
        (void)sys.close(fd);
    }
    mem_free(name);
    return bytes;
}
