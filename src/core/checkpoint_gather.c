/* core/checkpoint_gather.c - finding checkpoints among the artifacts of a run. Rows come a folder after the other, so what is known of a
 * folder is kept until the next. */
#include "base/map.h"
#include "base/num.h"
#include "core/checkpoint_int.h"
#include "core/node.h"
#include "gen/sql/queries.h"
#include "store/sql/sql.h"
#include <stdlib.h>

struct found {
    struct checkpoint c;
    size_t cap, entries; /* direct entries of the folder with this stem */
    struct str entry;    /* the last of these */
    bool is_more;        /* than pictures and tables */
    struct found *next;
};

struct gather {
    struct sql_conn *conn;
    struct arena *a;
    int64_t root;
    struct str only; /* path of one checkpoint; p NULL = all */
    struct str_map by_stem;
    struct found *first;
    size_t n, files;
    /* The folder at hand. */
    struct str dir;
    bool dir_is_new;
    struct found *dir_in; /* what the whole folder belongs to, or NULL */
};

static bool is_picture(struct str path)
{
    static const struct str ends[] = { S_INIT(".png"), S_INIT(".jpg"), S_INIT(".jpeg"),
                                       S_INIT(".gif"), S_INIT(".svg"), S_INIT(".html"),
                                       S_INIT(".csv"), S_INIT(".txt"), S_INIT(".log"),
                                       S_INIT(".md"),  S_INIT(".pdf") };

    for (size_t i = 0; i < ARRAY_N(ends); i++) {
        if (path.n > ends[i].n &&
            str_eq_nocase(str_sub(path, path.n - ends[i].n, ends[i].n), ends[i])) {
            return true;
        }
    }
    return false;
}

/* The checkpoint of that stem, made when it is new; entry: the component that has the stem. */
static enum status found_of(struct gather *g, struct str folder, struct str entry,
                            const struct checkpoint_name *name, struct found **out, struct err *err)
{
    struct str stem = str_sub(entry, 0, name->stem_n);
    struct str key = folder.n ? arena_printf(g->a, "%.*s/%.*s", STR_ARG(folder), STR_ARG(stem))
                              : arena_str(g->a, stem);
    struct found *f = key.p ? str_map_get(&g->by_stem, key) : NULL;
    enum status st;

    *out = NULL;
    if (!key.p) {
        return err_nomem(err);
    }
    if (!f) {
        f = ARENA_NEW(g->a, struct found);
        if (!f) {
            return err_nomem(err);
        }
        f->c = (struct checkpoint){ .series = checkpoint_pattern(g->a, key),
                                    .folder = str_sub(key, 0, folder.n),
                                    .path = key,
                                    .step = name->step,
                                    .epoch = name->epoch,
                                    .has_step = name->has_step,
                                    .has_epoch = name->has_epoch };
        f->entry = S("");
        st = f->c.series.p ? str_map_put(&g->by_stem, key, f) : ST_NOMEM;
        if (st) {
            return err_nomem(err);
        }
        f->next = g->first;
        g->first = f;
        g->n++;
    }
    if (!str_eq(f->entry, entry)) {
        f->entry = arena_str(g->a, entry);
        f->entries++;
    }
    *out = f;
    return f->entry.p ? OK : err_nomem(err);
}

/* What the folder belongs to as a whole: the first of its components that is a checkpoint's name. */
static enum status enter(struct gather *g, struct str dir, struct err *err)
{
    struct str rest, part, folder;
    struct checkpoint_name name;

    g->dir = arena_str(g->a, dir);
    g->dir_in = NULL;
    g->dir_is_new = false;
    if (!g->dir.p) {
        return err_nomem(err);
    }
    for (rest = g->dir; str_split(&rest, '/', &part);) {
        size_t at = (size_t)(part.p - g->dir.p);

        folder = str_sub(g->dir, 0, at ? at - 1 : 0);
        if (checkpoint_name_parse(folder, part, &name)) {
            return found_of(g, folder, part, &name, &g->dir_in, err);
        }
    }
    return OK;
}

static enum status add_row(struct gather *g, struct str dir, struct str name, int64_t kind,
                           int64_t size, struct str object, int64_t mtime_ms, struct err *err)
{
    struct checkpoint_name parsed;
    struct found *f;
    struct checkpoint_file *file;
    struct str path;
    size_t cut;
    enum status st = OK;

    if (kind != 1 || object.n != sizeof(file->sha256.b)) {
        return OK;
    }
    if (g->dir_is_new || !str_eq(dir, g->dir)) {
        st = enter(g, dir, err);
    }
    f = g->dir_in;
    if (!st && !f && checkpoint_name_parse(dir, name, &parsed)) {
        st = found_of(g, g->dir, name, &parsed, &f, err);
    }
    if (st || !f || (g->only.p && !str_starts(g->only, f->c.path))) {
        return st;
    }
    if (g->files++ == CHECKPOINT_FILES_MAX) {
        return err_set(err, ST_TOO_BIG, "the checkpoints of the run have more than %d files",
                       CHECKPOINT_FILES_MAX);
    }
    if (!arena_grow(g->a, (void **)&f->c.files, f->c.files_n, &f->cap, sizeof(*file))) {
        return err_nomem(err);
    }
    cut = f->c.folder.n ? f->c.folder.n + 1 : 0;
    path = g->dir.n > cut ? arena_printf(g->a, "%.*s/%.*s", STR_ARG(str_sub(g->dir, cut, g->dir.n)),
                                         STR_ARG(name))
                          : arena_str(g->a, name);
    file = &f->c.files[f->c.files_n++];
    *file = (struct checkpoint_file){ .path = path, .size = size, .mtime_ms = mtime_ms };
    memcpy(file->sha256.b, object.p, sizeof(file->sha256.b));
    f->c.size += size;
    f->c.time_ms = MAX_OF(f->c.time_ms, mtime_ms);
    f->is_more = f->is_more || !is_picture(path);
    return path.p ? OK : err_nomem(err);
}

/* The three queries have the same columns. */
#define ADD_ROWS(g, query, row, st, err)                                                           \
    do {                                                                                           \
        while (!(st) && ((st) = q_##query##_next(stmt, &(row), err)) == OK) {                      \
            (st) = add_row(g, (row).dir, (row).name, (row).kind, (row).size, (row).object,         \
                           (row).mtime_ms, err);                                                   \
        }                                                                                          \
        sql_close(stmt);                                                                           \
        stmt = NULL;                                                                               \
        (st) = (st) == ST_END ? OK : (st);                                                         \
    } while (0)

static enum status scan_all(struct gather *g, struct err *err)
{
    struct q_artifact_all_row row;
    struct sql_stmt *stmt = NULL;
    enum status st = q_artifact_all_open(g->conn, &stmt, g->root, err);

    ADD_ROWS(g, artifact_all, row, st, err);
    return st;
}

/* The first text after all that begin with s; s does not end in 0xff. */
static struct str after_prefix(struct arena *a, struct str s)
{
    struct str out = arena_str(a, s);

    if (out.p && out.n) {
        ((char *)(uintptr_t)out.p)[out.n - 1]++;
    }
    return out;
}

/* The entries of one folder that begin with the stem, and what is below such folders. */
static enum status scan_one(struct gather *g, struct err *err)
{
    struct q_artifact_named_row named;
    struct q_artifact_dirs_row below;
    struct sql_stmt *stmt = NULL;
    struct checkpoint_name name;
    size_t at = g->only.n;
    struct str folder, entry, to_name, to_dir;
    enum status st;

    while (at > 0 && g->only.p[at - 1] != '/') {
        at--;
    }
    folder = str_sub(g->only, 0, at ? at - 1 : 0);
    entry = str_sub(g->only, at, g->only.n);
    if (!entry.n || !checkpoint_name_parse(folder, entry, &name)) {
        return OK;
    }
    entry = str_sub(entry, 0, name.stem_n);
    to_name = after_prefix(g->a, entry);
    to_dir = after_prefix(g->a, str_sub(g->only, 0, at + name.stem_n));
    if (!to_name.p || !to_dir.p) {
        return err_nomem(err);
    }
    st = q_artifact_named_open(g->conn, &stmt, g->root, folder, entry, to_name, err);
    ADD_ROWS(g, artifact_named, named, st, err);
    st = st ? st
            : q_artifact_dirs_open(g->conn, &stmt, g->root, str_sub(g->only, 0, at + name.stem_n),
                                   to_dir, err);
    ADD_ROWS(g, artifact_dirs, below, st, err);
    return st;
}

static int by_path(const void *a, const void *b)
{
    return str_cmp(((const struct checkpoint_file *)a)->path,
                   ((const struct checkpoint_file *)b)->path);
}

static enum status make_digest(struct checkpoint *c, struct err *err)
{
    struct sha256 *sha;
    char hex[65];

    if (c->files_n > 1) {
        qsort(c->files, c->files_n, sizeof(*c->files), by_path);
    }
    if (c->files_n == 1) {
        c->digest = c->files[0].sha256;
        return OK;
    }
    sha = sha256_new();
    if (!sha) {
        return err_nomem(err);
    }
    for (size_t i = 0; i < c->files_n; i++) {
        digest_hex(&c->files[i].sha256, hex);
        sha256_update(sha, hex, 64);
        sha256_update(sha, "  ", 2);
        sha256_update(sha, c->files[i].path.p, c->files[i].path.n);
        sha256_update(sha, "\n", 1);
    }
    c->digest = sha256_end(sha);
    sha256_free(sha);
    return OK;
}

/* The whole number behind "key": in a JSON text of one level. */
static bool number_of(struct str json, struct str key, int64_t *out)
{
    size_t at = str_find(json, key), from;

    if (at == SIZE_MAX) {
        return false;
    }
    for (at += key.n; at < json.n && memchr(" \t\r\n:", json.p[at], 5);) {
        at++;
    }
    for (from = at; at < json.n && json.p[at] >= '0' && json.p[at] <= '9';) {
        at++;
    }
    return num_parse_i64(str_sub(json, from, at - from), out);
}

/* MLflow's save_best_only keeps {"epoch": 3, "global_step": 120, ...} beside the file. */
static enum status read_latest(struct gather *g, struct checkpoint *c, struct err *err)
{
    struct q_object_get_row object;
    enum status st;

    for (size_t i = 0; i < c->files_n; i++) {
        const struct checkpoint_file *f = &c->files[i];

        if (!str_eq_lit(f->path, "latest_checkpoint_metrics.json")) {
            continue;
        }
        st = q_object_get(g->conn, g->a, str_of(f->sha256.b, sizeof(f->sha256.b)), &object, err);
        if (st || !object.body.p) {
            return st == ST_NOT_FOUND ? OK : st; /* nothing that has to be there */
        }
        c->has_epoch = number_of(object.body, S("\"epoch\""), &c->epoch);
        c->has_step = number_of(object.body, S("\"global_step\""), &c->step);
    }
    return OK;
}

static enum status end(struct gather *g, struct checkpoint **out, size_t *n, struct err *err)
{
    enum status st = OK;

    *out = ARENA_ARRAY(g->a, struct checkpoint, g->n + 1);
    if (!*out) {
        return err_nomem(err);
    }
    for (struct found *f = g->first; f && !st; f = f->next) {
        if (!f->c.files_n || !f->is_more) {
            continue;
        }
        if (f->entries == 1) { /* a folder or file alone is known by its whole name */
            f->c.path = f->c.folder.n ? arena_printf(g->a, "%.*s/%.*s", STR_ARG(f->c.folder),
                                                     STR_ARG(f->entry))
                                      : f->entry;
        }
        st = f->c.path.p ? make_digest(&f->c, err) : err_nomem(err);
        st = st || f->c.has_step ? st : read_latest(g, &f->c, err);
        if (!st && (!g->only.p || str_eq(g->only, f->c.path))) {
            (*out)[(*n)++] = f->c;
        }
    }
    return st;
}

enum status checkpoint_model_files(struct view *v, struct checkpoint *c, struct err *err)
{
    struct artifact_place place;
    struct q_artifact_all_row row;
    struct sql_stmt *stmt = NULL;
    struct q_root_get_row root;
    size_t cap = 0;
    enum status st = artifact_uri_place(v, c->model_uri, c->model, S(""), &place, err);

    if (st == ST_INVALID || (!st && (place.outside || place.path.n))) {
        return make_digest(c, err); /* not kept here */
    }
    st = st ? st : q_root_get(v->conn, v->arena, place.root_uri, &root, err);
    if (st == ST_NOT_FOUND) {
        return make_digest(c, err);
    }
    st = st ? st : q_artifact_all_open(v->conn, &stmt, root.id, err);
    while (!st && (st = q_artifact_all_next(stmt, &row, err)) == OK) {
        struct checkpoint_file *file;

        if (row.kind != 1 || row.object.n != sizeof(file->sha256.b)) {
            continue;
        }
        if (c->files_n == CHECKPOINT_FILES_MAX) {
            st = err_set(err, ST_TOO_BIG, "a logged model of more than %d files",
                         CHECKPOINT_FILES_MAX);
            break;
        }
        if (!arena_grow(v->arena, (void **)&c->files, c->files_n, &cap, sizeof(*file))) {
            st = err_nomem(err);
            break;
        }
        file = &c->files[c->files_n++];
        *file = (struct checkpoint_file){ .path = row.dir.n ? arena_printf(v->arena, "%.*s/%.*s",
                                                                           STR_ARG(row.dir),
                                                                           STR_ARG(row.name))
                                                            : arena_str(v->arena, row.name),
                                          .size = row.size,
                                          .mtime_ms = row.mtime_ms };
        memcpy(file->sha256.b, row.object.p, sizeof(file->sha256.b));
        c->size += row.size;
        if (!file->path.p) {
            st = err_nomem(err);
            break;
        }
    }
    sql_close(stmt);
    return st == ST_END ? make_digest(c, err) : st;
}

enum status checkpoint_gather(struct sql_conn *conn, struct arena *a, struct str root_uri,
                              struct str path, struct checkpoint **out, size_t *n, struct err *err)
{
    struct gather g = { .conn = conn,
                        .a = a,
                        .only = path,
                        .by_stem = STR_MAP_INIT(CHECKPOINT_FILES_MAX),
                        .dir_is_new = true };
    struct q_root_get_row root;
    enum status st = q_root_get(conn, a, root_uri, &root, err);

    *out = NULL;
    *n = 0;
    if (st) {
        return st == ST_NOT_FOUND ? OK : st;
    }
    g.root = root.id;
    st = path.p ? scan_one(&g, err) : scan_all(&g, err);
    st = st ? st : end(&g, out, n, err);
    str_map_release(&g.by_stem);
    return st;
}
