/* tests/25simulate/simfs.c - see simfs.h. */
#include "simfs.h"
#include "simdisk.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

enum { FD_FIRST = 1 << 20, FDS = 128, NAME_BYTES = 128 };

struct node {
    struct node *next; /* of all */
    bool dir, marked;
    int locked_by; /* a descriptor; 0 = none */
    struct content c;
    struct name *names; /* of a folder, in the order in which they were made */
};

/* A state of a name since its folder was synced. */
struct since {
    struct since *next;
    struct node *node; /* NULL: removed */
};

struct name {
    struct name *next;
    char text[NAME_BYTES];
    struct node *now, *disk;
    struct since *first, *last;
};

struct walk {
    struct node *dir;
    int fd;
    struct name *at;
};

static struct {
    struct node *nodes, *root;
    struct {
        struct node *node;
        size_t at;
    } fds[FDS];
} fs;

/* ---- nodes and names ---------------------------------------------------------------------------------------------------------- */

static struct node *node_new(bool dir)
{
    struct node *n = (struct node *)mem_zalloc(1, sizeof(*n));

    CHECK(n);
    n->dir = dir;
    n->next = fs.nodes;
    fs.nodes = n;
    return n;
}

static void since_drop(struct name *e)
{
    while (e->first) {
        struct since *next = e->first->next;

        mem_free(e->first);
        e->first = next;
    }
    e->last = NULL;
}

static void node_free(struct node *n)
{
    while (n->names) {
        struct name *next = n->names->next;

        since_drop(n->names);
        mem_free(n->names);
        n->names = next;
    }
    content_free(&n->c);
    mem_free(n);
}

static struct name *find_name(struct node *dir, const char *text)
{
    struct name **at = &dir->names;

    while (*at && strcmp((*at)->text, text) != 0) {
        at = &(*at)->next;
    }
    if (!*at) {
        *at = (struct name *)mem_zalloc(1, sizeof(**at));
        CHECK(*at && strlen(text) < NAME_BYTES);
        memcpy((*at)->text, text, strlen(text) + 1);
    }
    return *at;
}

/* What the name is from now on; the disk has it for sure after a sync of the folder. */
static void name_set(struct name *e, struct node *node)
{
    struct since *s = (struct since *)mem_zalloc(1, sizeof(*s));

    CHECK(s);
    s->node = node;
    *(e->last ? &e->last->next : &e->first) = s;
    e->last = s;
    e->now = node;
}

static void dir_sync(struct node *dir)
{
    for (struct name *e = dir->names; e; e = e->next) {
        e->disk = e->now;
        since_drop(e);
    }
}

static bool is_ours(const char *path)
{
    size_t n = sizeof(SIMFS_ROOT) - 1;

    return strncmp(path, SIMFS_ROOT, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The name that a path means, in the folder above it, which must be there; NULL with errno. The root has no name. */
static struct name *name_of(const char *path)
{
    const char *part = path + sizeof(SIMFS_ROOT);
    struct node *dir = fs.root;

    CHECK(path[sizeof(SIMFS_ROOT) - 1] == '/');
    for (;;) {
        size_t n = strcspn(part, "/");
        char text[NAME_BYTES];
        struct name *e;

        CHECK(n > 0 && n < sizeof(text));
        memcpy(text, part, n);
        text[n] = '\0';
        e = find_name(dir, text);
        if (part[n] == '\0') return e;
        if (!e->now || !e->now->dir) {
            errno = e->now ? ENOTDIR : ENOENT;
            return NULL;
        }
        dir = e->now;
        part += n + 1;
    }
}

static struct node *node_of(const char *path)
{
    struct name *e;

    if (path[sizeof(SIMFS_ROOT) - 1] == '\0') return fs.root;
    e = name_of(path);
    if (e && !e->now) errno = ENOENT;
    return e ? e->now : NULL;
}

/* ---- the calls ------------------------------------------------------------------------------------------------------------------ */

static int refuse(int error)
{
    errno = error;
    return -1;
}

static bool is_fd(int fd)
{
    return fd >= FD_FIRST && fd < FD_FIRST + FDS && fs.fds[fd - FD_FIRST].node;
}

static struct node *fd_node(int fd)
{
    CHECK(is_fd(fd));
    return fs.fds[fd - FD_FIRST].node;
}

static int sim_open(const char *path, int flags, mode_t mode)
{
    struct node *node;
    int fd = 0;

    if (!is_ours(path)) return sys_default.open(path, flags, mode);
    if (simdisk_is_off()) return refuse(EIO);
    while (fd < FDS && fs.fds[fd].node) {
        fd++;
    }
    if (fd == FDS) return refuse(EMFILE);
    node = node_of(path);
    if (node && (flags & O_EXCL)) return refuse(EEXIST);
    if (node && (flags & O_DIRECTORY) && !node->dir) return refuse(ENOTDIR);
    if (node && node->dir && (flags & O_ACCMODE) != O_RDONLY) return refuse(EISDIR);
    if (!node) {
        struct name *e = (flags & O_CREAT) ? name_of(path) : NULL;

        if (!e) return -1;
        if (simdisk_fails()) return refuse(simdisk_is_off() ? EIO : ENOSPC);
        node = node_new(false);
        name_set(e, node);
    } else if (flags & O_TRUNC) {
        if (simdisk_fails()) return refuse(EIO);
        content_cut(&node->c, 0);
    }
    fs.fds[fd].node = node;
    fs.fds[fd].at = 0;
    return FD_FIRST + fd;
}

static int sim_openat(int dir, const char *path, int flags, mode_t mode)
{
    CHECK(!is_fd(dir) && "no caller opens below a descriptor of ours");
    return is_ours(path) ? sim_open(path, flags, mode) : sys_default.openat(dir, path, flags, mode);
}

static int sim_close(int fd)
{
    if (!is_fd(fd)) return sys_default.close(fd);
    if (fd_node(fd)->locked_by == fd) fd_node(fd)->locked_by = 0;
    fs.fds[fd - FD_FIRST].node = NULL;
    return simdisk_is_off() ? refuse(EIO) : 0;
}

static ssize_t sim_pread(int fd, void *p, size_t n, off_t at)
{
    struct bytes *b;
    size_t from = (size_t)at, have;

    if (!is_fd(fd)) return sys_default.pread(fd, p, n, at);
    if (simdisk_is_off()) return refuse(EIO);
    if (fd_node(fd)->dir) return refuse(EISDIR);
    b = &fd_node(fd)->c.now;
    have = from < b->n ? MIN_OF(n, b->n - from) : 0;
    if (have) memcpy(p, b->p + from, have);
    return (ssize_t)have;
}

static ssize_t sim_read(int fd, void *p, size_t n)
{
    ssize_t got;

    if (!is_fd(fd)) return sys_default.read(fd, p, n);
    got = sim_pread(fd, p, n, (off_t)fs.fds[fd - FD_FIRST].at);
    if (got > 0) fs.fds[fd - FD_FIRST].at += (size_t)got;
    return got;
}

static ssize_t sim_pwrite(int fd, const void *p, size_t n, off_t at)
{
    bool was_off = simdisk_is_off();
    struct node *node;

    if (!is_fd(fd)) return sys_default.pwrite(fd, p, n, at);
    node = fd_node(fd);
    if (simdisk_fails()) {
        if (simdisk_is_off() && !was_off) content_half_write(&node->c, (size_t)at, p, n);
        return refuse(!simdisk_is_off() && simdisk_draw() % 2 ? ENOSPC : EIO);
    }
    /* Never a short text: that of a lock holds the number of this process, and a seed must give one history. */
    if (n > SIMDISK_SECTOR && simdisk_draw() % 8 == 0) n = 1 + simdisk_draw() % (n - 1);
    content_write(&node->c, (size_t)at, p, n);
    return (ssize_t)n;
}

static ssize_t sim_write(int fd, const void *p, size_t n)
{
    ssize_t done;

    if (!is_fd(fd)) return sys_default.write(fd, p, n);
    done = sim_pwrite(fd, p, n, (off_t)fs.fds[fd - FD_FIRST].at);
    if (done > 0) fs.fds[fd - FD_FIRST].at += (size_t)done;
    return done;
}

static int sim_sync(struct node *node)
{
    if (simdisk_fails()) {
        if (!simdisk_is_off() && !node->dir) content_sync_failed(&node->c);
        return refuse(EIO);
    }
    if (node->dir) {
        dir_sync(node);
    } else {
        content_sync(&node->c);
    }
    return 0;
}

static int sim_fsync(int fd)
{
    return is_fd(fd) ? sim_sync(fd_node(fd)) : sys_default.fsync(fd);
}

static int sim_fdatasync(int fd)
{
    return is_fd(fd) ? sim_sync(fd_node(fd)) : sys_default.fdatasync(fd);
}

static int sim_ftruncate(int fd, off_t n)
{
    if (!is_fd(fd)) return sys_default.ftruncate(fd, n);
    if (simdisk_fails()) return refuse(EIO);
    content_cut(&fd_node(fd)->c, (size_t)n);
    return 0;
}

static int sim_flock(int fd, int operation)
{
    struct node *node;

    if (!is_fd(fd)) return sys_default.flock(fd, operation);
    CHECK(operation == (LOCK_EX | LOCK_NB) && "the one kind that is asked for");
    if (simdisk_is_off()) return refuse(EIO);
    node = fd_node(fd);
    if (node->locked_by && node->locked_by != fd) return refuse(EWOULDBLOCK);
    node->locked_by = fd;
    return 0;
}

static int sim_rename(const char *from, const char *to)
{
    struct name *a, *b;

    if (!is_ours(from)) return sys_default.rename(from, to);
    CHECK(is_ours(to));
    a = name_of(from);
    b = a ? name_of(to) : NULL;
    if (!b) return -1;
    if (!a->now) return refuse(ENOENT);
    CHECK(!a->now->dir && "nothing renames a folder");
    if (b->now && b->now->dir) return refuse(EISDIR);
    if (simdisk_fails()) return refuse(EIO);
    name_set(b, a->now);
    if (a != b) name_set(a, NULL);
    return 0;
}

/* As on a file system without second names. */
static int sim_link(const char *from, const char *to)
{
    return is_ours(from) ? refuse(EPERM) : sys_default.link(from, to);
}

static int sim_unlink(const char *path)
{
    struct name *e;

    if (!is_ours(path)) return sys_default.unlink(path);
    e = name_of(path);
    if (!e) return -1;
    if (!e->now || e->now->dir) return refuse(e->now ? EISDIR : ENOENT);
    if (simdisk_fails()) return refuse(EIO);
    name_set(e, NULL);
    return 0;
}

static int sim_mkdir(const char *path, mode_t mode)
{
    struct name *e;

    if (!is_ours(path)) return sys_default.mkdir(path, mode);
    if (path[sizeof(SIMFS_ROOT) - 1] == '\0') return refuse(EEXIST);
    e = name_of(path);
    if (!e) return -1;
    if (e->now) return refuse(EEXIST);
    if (simdisk_fails()) return refuse(simdisk_is_off() ? EIO : ENOSPC);
    name_set(e, node_new(true));
    return 0;
}

static int node_stat(const struct node *node, struct stat *st)
{
    if (simdisk_is_off()) return refuse(EIO);
    *st = (struct stat){ .st_mode = node->dir ? S_IFDIR | 0700 : S_IFREG | 0600,
                         .st_nlink = 1,
                         .st_size = (off_t)node->c.now.n };
    return 0;
}

static int sim_fstat(int fd, struct stat *st)
{
    return is_fd(fd) ? node_stat(fd_node(fd), st) : sys_default.fstat(fd, st);
}

static int sim_stat(const char *path, struct stat *st)
{
    struct node *node;

    if (!is_ours(path)) return sys_default.stat(path, st);
    node = node_of(path);
    return node ? node_stat(node, st) : -1;
}

static void *sim_walk_begin(int fd)
{
    struct walk *w;

    CHECK(is_fd(fd) && "only folders of ours are listed");
    w = (struct walk *)mem_zalloc(1, sizeof(*w));
    CHECK(w);
    *w = (struct walk){ .dir = fd_node(fd), .fd = fd, .at = fd_node(fd)->names };
    return w;
}

static const char *sim_walk_next(void *walk)
{
    struct walk *w = (struct walk *)walk;
    const char *text;

    errno = simdisk_is_off() ? EIO : 0;
    while (w->at && !w->at->now) {
        w->at = w->at->next;
    }
    if (errno || !w->at) return NULL;
    text = w->at->text;
    w->at = w->at->next;
    return text;
}

static void sim_walk_end(void *walk)
{
    (void)sim_close(((struct walk *)walk)->fd);
    mem_free(walk);
}

/* ---- power --------------------------------------------------------------------------------------------------------------------------- */

/* Each name becomes what the disk has or any state since. */
static void dir_lose(struct node *dir)
{
    for (struct name *e = dir->names; e; e = e->next) {
        size_t n = 1, k;

        for (const struct since *s = e->first; s; s = s->next) {
            n++;
        }
        k = simdisk_draw() % n;
        for (const struct since *s = e->first; s && k > 0; s = s->next, k--) {
            e->disk = s->node;
        }
        e->now = e->disk;
        since_drop(e);
    }
}

static void mark(struct node *node)
{
    if (!node || node->marked) return;
    node->marked = true;
    for (const struct name *e = node->names; e; e = e->next) {
        mark(e->now);
        mark(e->disk);
        for (const struct since *s = e->first; s; s = s->next) {
            mark(s->node);
        }
    }
}

static void collect(void)
{
    mark(fs.root);
    for (struct node **at = &fs.nodes, *n = fs.nodes; n; n = *at) {
        if (!n->marked) {
            *at = n->next;
            node_free(n);
            continue;
        }
        n->marked = false;
        for (struct name **e = &n->names, *x = n->names; x; x = *e) {
            if (x->now || x->disk || x->first) {
                e = &x->next;
            } else {
                *e = x->next;
                mem_free(x);
            }
        }
        at = &n->next;
    }
}

void simfs_restart(bool power_lost)
{
    for (size_t i = 0; i < FDS; i++) {
        CHECK(!fs.fds[i].node && "a descriptor was not closed");
    }
    for (struct node *n = fs.nodes; n; n = n->next) {
        if (power_lost) {
            dir_lose(n);
            content_lose(&n->c);
        } else {
            content_killed(&n->c);
        }
    }
    collect();
}

void simfs_begin(void)
{
    memset(&fs, 0, sizeof(fs));
    fs.root = node_new(true);
    sys = (struct sys_table){ .open = sim_open,
                              .openat = sim_openat,
                              .close = sim_close,
                              .read = sim_read,
                              .pread = sim_pread,
                              .write = sim_write,
                              .pwrite = sim_pwrite,
                              .fsync = sim_fsync,
                              .fdatasync = sim_fdatasync,
                              .ftruncate = sim_ftruncate,
                              .flock = sim_flock,
                              .rename = sim_rename,
                              .unlink = sim_unlink,
                              .link = sim_link,
                              .mkdir = sim_mkdir,
                              .fstat = sim_fstat,
                              .stat = sim_stat,
                              .sendfile = sys_default.sendfile,
                              .walk_begin = sim_walk_begin,
                              .walk_next = sim_walk_next,
                              .walk_end = sim_walk_end };
}

void simfs_end(void)
{
    sys = sys_default;
    while (fs.nodes) {
        struct node *next = fs.nodes->next;

        node_free(fs.nodes);
        fs.nodes = next;
    }
    fs.root = NULL;
}
