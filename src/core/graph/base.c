/* core/graph/base.c - the links stored beside the store, for the next start. A cache: written in the background to a temporary file that
 * is synced and renamed, read by the first question if the last rows that are in it are those of the logs, and never needed. */
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "core/core_open.h"
#include "core/graph/graph_int.h"
#include "gen/sql/queries.h"
#include "store/graph/links_file.h"
#include "store/sql/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

enum { SAVE_SHARE = 16, TAIL_MIN = 4096, READ_STEP = 1 << 26, WITNESS_N = 28 };
enum { MARK_EDGES, MARK_MEMBERS, MARK_PARENTS, MARK_NODES, MARK_GONE, MARK_SAME, MARK_COLUMNS };

/* ---- whether a base is of these logs -------------------------------------------------------------------------------------- */

struct witness {
    int64_t n[WITNESS_N];
    size_t used;
    bool missing; /* a row that is in the base is not in the logs */
};

static void say(struct witness *w, const int64_t *values, size_t n)
{
    for (size_t i = 0; i < n && w->used < WITNESS_N; i++) {
        w->n[w->used++] = values[i];
    }
}

static enum status absent(struct witness *w, int64_t mark, enum status st)
{
    w->missing = w->missing || (st == ST_NOT_FOUND && mark > 0);
    return st == ST_NOT_FOUND ? OK : st;
}

static enum status witness(struct view *v, const int64_t *marks, uint64_t *out, bool *missing,
                           struct err *err)
{
    struct witness w = { .used = 0 };
    struct q_lineage_edge_at_row e;
    struct q_lineage_member_at_row m;
    struct q_lineage_parent_at_row p;
    struct q_lineage_same_at_row s;
    struct q_lineage_column_at_row c;
    enum status st = q_lineage_edge_at(v->conn, v->arena, marks[MARK_EDGES], &e, err);

    if (!st) {
        say(&w, (int64_t[]){ e.op, e.src, e.dst, e.role, e.claimed_ms, e.seen_ms }, 6);
    }
    st = absent(&w, marks[MARK_EDGES], st);
    st = st ? st : q_lineage_member_at(v->conn, v->arena, marks[MARK_MEMBERS], &m, err);
    if (!st) {
        say(&w, (int64_t[]){ m.op, m.ctx, m.node, m.role, m.claimed_ms, m.seen_ms }, 6);
    }
    st = absent(&w, marks[MARK_MEMBERS], st);
    st = st ? st : q_lineage_parent_at(v->conn, v->arena, marks[MARK_PARENTS], &p, err);
    if (!st) {
        say(&w, (int64_t[]){ p.op, p.child, p.parent, p.role, p.claimed_ms, p.seen_ms }, 6);
    }
    st = absent(&w, marks[MARK_PARENTS], st);
    st = st ? st : q_lineage_same_at(v->conn, v->arena, marks[MARK_SAME], &s, err);
    if (!st) {
        say(&w, (int64_t[]){ s.op, s.a, s.b, s.claimed_ms, s.seen_ms }, 5);
    }
    st = absent(&w, marks[MARK_SAME], st);
    st = st ? st : q_lineage_column_at(v->conn, v->arena, marks[MARK_COLUMNS], &c, err);
    if (!st) {
        say(&w, (int64_t[]){ c.op, c.src, c.dst, c.claimed_ms, c.seen_ms }, 5);
    }
    st = absent(&w, marks[MARK_COLUMNS], st);
    *out = (uint64_t)crc32c(0, w.n, sizeof(w.n)) << 32 | crc32c(1, w.n, sizeof(w.n));
    *missing = w.missing;
    return st;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------- */

static enum status read_all(void *ctx, void *p, size_t n, struct err *err)
{
    int fd = *(const int *)ctx;
    char *at = p;

    while (n) {
        ssize_t got = sys.read(fd, at, MIN_OF(n, (size_t)READ_STEP));

        if (got < 0) {
            return err_errno(err, errno, "read");
        }
        if (got == 0) {
            return err_set(err, ST_CORRUPT, "the file ends too soon");
        }
        at += got;
        n -= (size_t)got;
    }
    return OK;
}

static enum status read_base(struct view *v, struct graph *g, int fd, struct err *err)
{
    struct links_source from = { .read = read_all, .ctx = &fd };
    struct links_extra types = { 0 };
    struct links_stamp stamp;
    struct links *l = NULL;
    struct stat info;
    uint64_t now = 0;
    bool missing = false;
    enum status st;

    if (sys.fstat(fd, &info) < 0) {
        return err_errno(err, errno, "look at the stored links");
    }
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size > g->o.max_bytes) {
        return err_set(err, ST_TOO_BIG, "the stored links are no file of at most %zu bytes",
                       g->o.max_bytes);
    }
    from.size = (uint64_t)info.st_size;
    st = links_read(&l, &stamp, &types, &from, err);
    st = st ? st : witness(v, stamp.marks, &now, &missing, err);
    if (!st && (missing || now != stamp.witness || types.n % sizeof(*g->types))) {
        st = err_set(err, ST_CORRUPT, "the stored links are of another history");
    }
    if (st) {
        links_free(l);
        mem_free(types.p);
        return st;
    }
    rwlock_write(&g->lock);
    links_free(g->links);
    mem_free(g->types);
    g->links = l;
    g->types = types.p;
    g->types_n = types.n / sizeof(*g->types);
    rwlock_give(&g->lock);
    g->edges = stamp.marks[MARK_EDGES];
    g->members = stamp.marks[MARK_MEMBERS];
    g->parents = stamp.marks[MARK_PARENTS];
    g->nodes = stamp.marks[MARK_NODES];
    g->gone = stamp.marks[MARK_GONE];
    g->same = stamp.marks[MARK_SAME];
    g->columns = stamp.marks[MARK_COLUMNS];
    g->unsaved = 0;
    return OK;
}

void graph_base_open(struct view *v, struct graph *g)
{
    struct err err = ERR_INIT;
    int fd = g->file ? sys.open(g->file, O_RDONLY, 0) : -1;
    enum status st;

    if (fd < 0) {
        return;
    }
    st = read_base(v, g, fd, &err);
    (void)sys.close(fd);
    if (st) {
        LOG_INFO("graph", "the links are read from the logs again: %s", err.message);
    }
}

/* ---- writing --------------------------------------------------------------------------------------------------------------- */

/* Under `load`, so that nothing is added meanwhile; it is memory that is copied to the system's. */
static enum status write_base(struct view *v, struct graph *g, int fd, struct err *err)
{
    struct links_stamp stamp = { .marks = { [MARK_EDGES] = g->edges,
                                            [MARK_MEMBERS] = g->members,
                                            [MARK_PARENTS] = g->parents,
                                            [MARK_NODES] = g->nodes,
                                            [MARK_GONE] = g->gone,
                                            [MARK_SAME] = g->same,
                                            [MARK_COLUMNS] = g->columns } };
    struct links_extra types = { g->types, g->types_n * sizeof(*g->types) };
    bool missing;
    enum status st = witness(v, stamp.marks, &stamp.witness, &missing, err);

    if (!st && missing) {
        st = err_set(err, ST_CORRUPT, "rows of the logs have gone");
    }
    return st ? st : links_write(g->links, &stamp, &types, fd, err);
}

static enum status sync_parent(const char *file, struct err *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(file, '/');

    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)MAX_OF(slash - file, 1) : 1,
             slash ? file : ".");
    return fs_sync_dir(dir, err);
}

/* The steps behind the bytes. */
static enum status publish(const char *temporary, const char *file, int *fd, struct err *err)
{
    int done;

    FAILPOINT("graph.base.before_sync");
    if (sys.fdatasync(*fd) < 0) {
        return err_errno(err, errno, "sync");
    }
    done = sys.close(*fd);
    *fd = -1;
    if (done < 0) {
        return err_errno(err, errno, "close");
    }
    FAILPOINT("graph.base.before_rename");
    if (sys.rename(temporary, file) < 0) {
        return err_errno(err, errno, "rename");
    }
    FAILPOINT("graph.base.before_dir_sync");
    return sync_parent(file, err);
}

static enum status save(struct view *v, struct graph *g, struct err *err)
{
    char temporary[PATH_MAX];
    size_t was = 0;
    enum status st;
    int fd, n = snprintf(temporary, sizeof(temporary), "%s.tmp", g->file);

    if (n < 0 || (size_t)n >= sizeof(temporary)) {
        return err_set(err, ST_INVALID, "the path is too long");
    }
    fd = sys.open(temporary, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) {
        return err_errno(err, errno, "create");
    }
    lock_take(&g->load);
    was = g->unsaved;
    st = write_base(v, g, fd, err);
    lock_give(&g->load);
    st = st ? st : publish(temporary, g->file, &fd, err);
    if (fd >= 0) {
        (void)sys.close(fd);
    }
    if (st) {
        (void)sys.unlink(temporary);
        return st;
    }
    lock_take(&g->load);
    g->unsaved -= was;
    lock_give(&g->load);
    return OK;
}

static void save_now(struct view *v, struct graph *g)
{
    struct err err = ERR_INIT;

    if (save(v, g, &err)) {
        LOG_WARN("graph", "the links could not be stored: %s", err.message);
    }
}

static void save_run(struct read_job *job, struct view *v)
{
    struct graph *g = CONTAINER_OF(job, struct graph, save);

    if (!job->st) {
        save_now(v, g);
    }
    lock_take(&g->load);
    g->saving = false;
    lock_give(&g->load);
}

void graph_base_save_soon(struct graph *g)
{
    size_t least = MAX_OF(g->o.save_links, links_n(g->links) / SAVE_SHARE);

    if (!g->file || g->saving || g->unsaved < least || !links_n(g->links)) {
        return;
    }
    g->save = (struct read_job){ .run = save_run };
    g->saving = core_read_submit(g->core, &g->save) == OK;
}

void graph_save_all(struct graph *g)
{
    struct view v;

    if (g && g->file && links_n(g->links) &&
        g->unsaved >= MIN_OF(g->o.save_links, (size_t)TAIL_MIN)) {
        core_view(g->core, NULL, &v);
        save_now(&v, g);
    }
}
