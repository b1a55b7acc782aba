/* core/backup.c - the database first, then the bytes it names. */
#include "core/backup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/sys.h"
#include "gen/sql/packs.h"
#include "store/blob/blob.h"
#include "store/sql/sql.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PACK_PAGE = 64,
    PATH_BYTES = 4096,
    COPY_BYTES = 256 * 1024,
    LINE_MAX_BYTES = 256,
    NAME_BYTES = 64 + 2
};

struct copy {
    struct view *v;
    const char *dest;
    struct backup_result *out;
    int manifest;
    char from[PATH_BYTES], to[PATH_BYTES]; /* the folder in work */
    char *block;
};

static enum status make_dir(const char *path, struct err *err)
{
    if (sys.mkdir(path, 0700) == 0 || errno == EEXIST) {
        return OK;
    }
    return err_errno(err, errno, "create folder of the backup");
}

static enum status copy_bytes(struct copy *c, int in, int out, struct err *err)
{
    for (;;) {
        ssize_t n = sys.read(in, c->block, COPY_BYTES);
        enum status st;

        if (n < 0) {
            return err_errno(err, errno, "read object");
        }
        if (n == 0) {
            break;
        }
        st = fs_write_all(out, c->block, (size_t)n, err);
        if (st) return st;
    }
    return sys.fdatasync(out) == 0 ? OK : err_errno(err, errno, "sync object");
}

static enum status copy_file(struct copy *c, const char *from, const char *to, struct err *err)
{
    int in = sys.open(from, O_RDONLY, 0), out = -1;
    enum status st;

    if (in < 0) {
        return err_errno(err, errno, "open object");
    }
    out = sys.open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
    st = out < 0 ? err_errno(err, errno, "create object of the backup")
                 : copy_bytes(c, in, out, err);
    if (out >= 0 && sys.close(out) < 0 && !st) {
        st = err_errno(err, errno, "close object of the backup");
    }
    sys.close(in);
    return st;
}

/* "abcdef...-0" */
static bool is_object(const char *name, struct str *digest, struct str *gen)
{
    struct str s = str_cstr(name);
    struct digest d;

    *digest = str_sub(s, 0, 64);
    *gen = str_sub(s, 65, s.n);
    return s.n >= NAME_BYTES && s.p[64] == '-' && digest_parse(*digest, &d);
}

static enum status one_object(void *ctx, const char *name, struct err *err)
{
    struct copy *c = ctx;
    char from[PATH_BYTES * 2], to[PATH_BYTES * 2], line[LINE_MAX_BYTES];
    struct str digest, gen;
    struct stat info;
    enum status st = OK;
    int n;

    if (!is_object(name, &digest, &gen)) {
        return OK;
    }
    snprintf(from, sizeof(from), "%s/%s", c->from, name);
    snprintf(to, sizeof(to), "%s/%s", c->to, name);
    if (link(from, to) == 0) {
        c->out->linked++;
    } else {
        st = copy_file(c, from, to, err);
    }
    if (st) return st;
    if (sys.stat(to, &info) < 0) {
        return err_errno(err, errno, "look at object of the backup");
    }
    c->out->objects++;
    c->out->bytes += info.st_size;
    n = snprintf(line, sizeof(line), "{\"sha256\":\"%.*s\",\"gen\":%.*s,\"bytes\":%lld}\n",
                 STR_ARG(digest), STR_ARG(gen), (long long)info.st_size);
    return fs_write_all(c->manifest, line, (size_t)n, err);
}

static enum status one_folder(void *ctx, const char *name, struct err *err)
{
    struct copy *c = ctx;
    enum status st;

    if (strlen(name) != 2) {
        return OK;
    }
    snprintf(c->from, sizeof(c->from), "%s/objects/%s", blob_dir(c->v->core->blobs), name);
    snprintf(c->to, sizeof(c->to), "%s/blobs/objects/%s", c->dest, name);
    st = make_dir(c->to, err);
    st = st ? st : fs_each(c->from, one_object, c, err);
    return st ? st : fs_sync_dir(c->to, err);
}

/* Bytes in a bucket stay where they are: the manifest says which there are. */
static enum status name_object(void *ctx, const struct blob_entry *e, struct err *err)
{
    struct copy *c = ctx;
    char hex[65], line[LINE_MAX_BYTES];
    int n;

    digest_hex(&e->sha256, hex);
    n = snprintf(line, sizeof(line),
                 "{\"sha256\":\"%s\",\"gen\":%" PRId64 ",\"bytes\":%" PRIu64 "}\n", hex, e->gen,
                 e->size);
    c->out->objects++;
    c->out->bytes += (int64_t)e->size;
    return fs_write_all(c->manifest, line, (size_t)n, err);
}

static enum status name_blobs(struct copy *c, struct err *err)
{
    enum status st = OK;

    for (unsigned shard = 0; !st && shard < BLOB_SHARDS; shard++) {
        st = blob_list(c->v->core->blobs, shard, name_object, c, err);
    }
    return st;
}

static enum status copy_blobs(struct copy *c, struct err *err)
{
    const char *dir = blob_dir(c->v->core->blobs);
    char from[PATH_BYTES], to[PATH_BYTES];
    enum status st;

    if (!dir) {
        return name_blobs(c, err);
    }
    snprintf(to, sizeof(to), "%s/blobs", c->dest);
    st = make_dir(to, err);
    snprintf(to, sizeof(to), "%s/blobs/objects", c->dest);
    st = st ? st : make_dir(to, err);
    snprintf(from, sizeof(from), "%s/FORMAT", dir);
    snprintf(to, sizeof(to), "%s/blobs/FORMAT", c->dest);
    st = st ? st : copy_file(c, from, to, err);
    snprintf(from, sizeof(from), "%s/objects", dir);
    st = st ? st : fs_each(from, one_folder, c, err);
    snprintf(to, sizeof(to), "%s/blobs/objects", c->dest);
    st = st ? st : fs_sync_dir(to, err);
    snprintf(to, sizeof(to), "%s/blobs", c->dest);
    return st ? st : fs_sync_dir(to, err);
}

/* Packs of the store as its rows say now: those of the copied database are among them. One that is being deleted may be gone; then the
 * copied database does not name it any more, unless the copy took longer than the grace of places. */
static enum status one_pack(struct copy *c, const struct q_packfile_all_row *row, struct err *err)
{
    const char *dir = blob_dir(c->v->core->blobs);
    char place[BLOB_PACK_PLACE_MAX], from[PATH_BYTES * 2], to[PATH_BYTES * 2], line[LINE_MAX_BYTES];
    struct stat info;
    enum status st = OK;
    int n;

    blob_pack_place((uint64_t)row->id, place);
    if (dir) {
        snprintf(from, sizeof(from), "%s/%s", dir, place);
        snprintf(to, sizeof(to), "%s/blobs/%.*s", c->dest, (int)(strrchr(place, '/') - place),
                 place);
        st = make_dir(to, err);
        snprintf(to, sizeof(to), "%s/blobs/%s", c->dest, place);
        if (st || (row->state != 1 && sys.stat(from, &info) != 0)) {
            return st;
        }
        if (link(from, to) == 0) {
            c->out->linked++;
        } else {
            st = copy_file(c, from, to, err);
        }
        snprintf(to, sizeof(to), "%s/blobs/%.*s", c->dest, (int)(strrchr(place, '/') - place),
                 place);
        st = st ? st : fs_sync_dir(to, err);
    }
    if (st) return st;
    c->out->objects++;
    c->out->bytes += row->bytes;
    n = snprintf(line, sizeof(line), "{\"pack\":\"%016" PRIx64 "\",\"bytes\":%" PRId64 "}\n",
                 (uint64_t)row->id, row->bytes);
    return fs_write_all(c->manifest, line, (size_t)n, err);
}

static enum status copy_packs(struct copy *c, struct err *err)
{
    struct q_packfile_all_row rows[PACK_PAGE];
    char path[PATH_BYTES];
    int64_t after = 0;
    size_t n = PACK_PAGE;
    enum status st = OK;

    snprintf(path, sizeof(path), "%s/blobs/packs", c->dest);
    if (blob_dir(c->v->core->blobs)) st = make_dir(path, err);
    while (!st && n == PACK_PAGE) {
        struct sql_stmt *q = NULL;

        n = 0;
        st = q_packfile_all_open(c->v->conn, &q, after, PACK_PAGE, err);
        while (!st && n < PACK_PAGE && (st = q_packfile_all_next(q, &rows[n], err)) == OK) {
            after = rows[n++].id;
        }
        sql_close(q);
        st = st == ST_END ? OK : st;
        for (size_t i = 0; !st && i < n; i++) {
            if (rows[i].state == 1 || rows[i].state == 3) st = one_pack(c, &rows[i], err);
        }
    }
    return st || !blob_dir(c->v->core->blobs) ? st : fs_sync_dir(path, err);
}

static enum status first_line(struct copy *c, struct err *err)
{
    char line[512], when[32];
    int64_t schema = 0;
    enum status st = sql_schema_version(c->v->conn, &schema, err);
    int n;

    if (st) return st;
    clock_rfc3339(clock_wall_ms(), when);
    n = snprintf(line, sizeof(line),
                 "{\"cairn_backup\":1,\"version\":\"%s\",\"time\":\"%s\",\"engine\":\"%s\","
                 "\"schema\":%" PRId64 "}\n",
                 CAIRN_VERSION, when, sql_engine_name(sql_conn_engine(c->v->conn)), schema);
    return fs_write_all(c->manifest, line, (size_t)n, err);
}

/* Written under another name: its own appears when everything is there. */
static enum status copy_all(struct copy *c, struct err *err)
{
    char draft[PATH_BYTES], final[PATH_BYTES], path[PATH_BYTES];
    enum status st = OK;

    snprintf(draft, sizeof(draft), "%s/manifest.tmp", c->dest);
    snprintf(final, sizeof(final), "%s/manifest.jsonl", c->dest);
    if (sql_conn_engine(c->v->conn) == SQL_SQLITE) {
        snprintf(path, sizeof(path), "%s/cairn.db", c->dest);
        st = sql_backup(c->v->core->db, path, err);
        c->out->database = st == OK;
    }
    if (st) return st;
    c->manifest = sys.open(draft, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (c->manifest < 0) {
        return err_errno(err, errno, "create manifest");
    }
    st = first_line(c, err);
    st = st ? st : copy_blobs(c, err);
    st = st ? st : copy_packs(c, err);
    if (!st && sys.fdatasync(c->manifest) < 0) {
        st = err_errno(err, errno, "sync manifest");
    }
    sys.close(c->manifest);
    if (!st && sys.rename(draft, final) < 0) {
        st = err_errno(err, errno, "name manifest");
    }
    return st ? st : fs_sync_dir(c->dest, err);
}

enum status core_backup(struct view *v, const char *dest, struct backup_result *out,
                        struct err *err)
{
    struct copy *c = ARENA_NEW(v->arena, struct copy);
    enum status st;

    *out = (struct backup_result){ .objects = 0 };
    if (dest[0] != '/' || strlen(dest) > PATH_BYTES / 2) {
        st = err_field(err, ST_INVALID, "path", "the folder of a backup is an absolute path");
        err_hint(err, "write it with a slash at the beginning");
        return st;
    }
    if (!c) {
        return err_nomem(err);
    }
    c->block = arena_alloc(v->arena, COPY_BYTES);
    if (!c->block) {
        return err_nomem(err);
    }
    c->v = v;
    c->dest = dest;
    c->out = out;
    if (sys.mkdir(dest, 0700) < 0) {
        if (errno != EEXIST) {
            return err_errno(err, errno, "create folder of the backup");
        }
        st = err_field(err, ST_EXISTS, "path", "the folder of the backup exists already");
        err_hint(err, "give the name of a new folder");
        return st;
    }
    return copy_all(c, err);
}
