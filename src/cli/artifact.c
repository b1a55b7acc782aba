/* cli/artifact.c - cairn artifact ls, get, cat, put, rm. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/sys.h"
#include "cli/api.h"
#include "cli/fetch.h"
#include "cli/render.h"
#include "cli/run.h"
#include "cli/send.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PAGE = 1000, DEPTH_MAX = 64 };

#define API     "/api/cairn/v1/artifacts"
#define UPLOADS "/api/cairn/v1/uploads"

struct artifact_ls_flags {
    bool recursive;
};
struct artifact_get_flags {
    const char *to, *zip, *tar;
    bool force;
};
struct artifact_put_flags {
    const char *to;
};
struct artifact_rm_flags {
    bool recursive;
};

static const struct str no_body = { NULL, 0 };

/* ---- whose artifacts --------------------------------------------------------------------------------------------------------- */

/* "run_id=4f2c...", as the first argument says it: a run by id or name, a logged model by "m-...", "-" for paths of the proxy. */
static enum status owner_of(struct cli *cli, const char **query, struct err *err)
{
    struct str name = str_cstr(cli->args[0]), id = { NULL, 0 };
    const struct jv *run = NULL;
    enum status st = OK;

    if (str_eq_lit(name, "-")) {
        *query = "";
        return OK;
    }
    if (str_starts(name, S("m-")) && name.n == 34) {
        *query =
            arena_printf(cli->arena, "model_id=%.*s&", STR_ARG(api_escape(cli->arena, name))).p;
        return *query ? OK : err_nomem(err);
    }
    st = cli_run_find(cli, cli->args[0], &run, err);
    if (!st) {
        id = api_escape(cli->arena, jv_text(jv_get(run, "info"), "run_id"));
        *query = arena_printf(cli->arena, "run_id=%.*s&", STR_ARG(id)).p;
        st = id.p && *query ? OK : err_nomem(err);
    }
    return st;
}

static const char *url_of(struct cli *cli, const char *what, const char *owner, struct str path,
                          const char *more)
{
    struct str escaped = api_escape(cli->arena, path);

    return escaped.p ? arena_printf(cli->arena, API "%s?%spath=%.*s%s", what, owner,
                                    STR_ARG(escaped), more)
                           .p
                     : NULL;
}

/* ---- walking --------------------------------------------------------------------------------------------------------------------- */

struct walk {
    struct cli *cli;
    const char *owner;
    bool recursive;
    bool is_file; /* the path that was asked for is a file */
    enum status (*each)(void *ctx, const struct jv *file, struct err *err);
    void *ctx;
};

static enum status walk(struct walk *w, struct str path, unsigned depth, struct err *err)
{
    struct str token = S("");
    enum status st = OK;

    if (depth > DEPTH_MAX) {
        return err_set(err, ST_TOO_BIG, "'%.*s' is more than %d folders deep", STR_ARG(path),
                       DEPTH_MAX);
    }
    do {
        struct str escaped = api_escape(w->cli->arena, token);
        const char *more = arena_printf(w->cli->arena, "&max_results=%d%s%.*s", PAGE,
                                        token.n ? "&page_token=" : "", STR_ARG(escaped))
                               .p;
        const char *url = more ? url_of(w->cli, "", w->owner, path, more) : NULL;
        const struct jv *is_file;
        struct jv *page = NULL;

        st = url && escaped.p ? api_call(w->cli, "GET", url, no_body, &page, err) : err_nomem(err);
        is_file = jv_get(page, "is_file");
        w->is_file = depth == 0 ? is_file && is_file->is_true : w->is_file;
        for (const struct jv *f = jv_items(page, "files"); !st && f; f = f->next) {
            const struct jv *is_dir = jv_get(f, "is_dir");

            st = w->each(w->ctx, f, err);
            if (!st && w->recursive && is_dir && is_dir->is_true) {
                st = walk(w, jv_text(f, "path"), depth + 1, err);
            }
        }
        token = st ? S("") : jv_text(page, "next_page_token");
    } while (!st && token.n);
    return st;
}

static enum status no_such(struct str path, struct err *err)
{
    return err_set(err, ST_NOT_FOUND, "No such artifact: '%.*s'", STR_ARG(path));
}

static struct str path_argument(const struct cli *cli)
{
    return cli->arg_n > 1 ? str_cstr(cli->args[1]) : S("");
}

/* ---- ls ------------------------------------------------------------------------------------------------------------------------- */

static const struct column columns[] = {
    { "path", "PATH", COLUMN_NAME },
    { "size", "SIZE", COLUMN_RIGHT },
    { "time", "SAVED", 0 },
    { "sha256", "SHA256", COLUMN_WIDE },
    { "is_dir", "FOLDER", COLUMN_DATA },
};

struct listing {
    struct render r;
    size_t n;
};

static enum status list_one(void *ctx, const struct jv *f, struct err *err)
{
    struct listing *l = ctx;
    const struct jv *is_dir = jv_get(f, "is_dir");
    bool dir = is_dir && is_dir->is_true;
    struct str path = jv_text(f, "path"), sha = jv_text(f, "sha256"),
               shown = dir ? arena_printf(l->r.cli->arena, "%.*s/", STR_ARG(path)) : path;
    struct cell none = { .kind = CELL_NONE };
    struct cell cells[ARRAY_N(columns)] = {
        cell_text(shown),
        dir ? none : (struct cell){ .kind = CELL_BYTES, .i = jv_i64(f, "size", 0) },
        jv_i64(f, "mtime_ms", 0) ? cell_time(jv_i64(f, "mtime_ms", 0)) : none,
        sha.n ? cell_text(sha) : none,
        { .kind = CELL_BOOL, .i = dir },
    };

    l->n++;
    return shown.p ? render_row(&l->r, cells, err) : err_nomem(err);
}

static int artifact_ls(struct cli *cli)
{
    const struct artifact_ls_flags *flags = cli->options;
    struct listing l = { .n = 0 };
    struct walk w = { .cli = cli, .recursive = flags->recursive, .each = list_one, .ctx = &l };
    struct str path = path_argument(cli);
    struct err err = ERR_INIT;
    enum status st = owner_of(cli, &w.owner, &err);

    st = st ? st : render_begin(&l.r, cli, columns, ARRAY_N(columns), false, &err);
    st = st ? st : walk(&w, path, 0, &err);
    if (!st && !l.n && path.n) {
        st = no_such(path, &err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_end(&l.r);
    return CLI_DONE;
}

/* ---- get and cat ---------------------------------------------------------------------------------------------------------------- */

struct getting {
    struct cli *cli;
    struct fetch f;
    const struct jv **files;
    size_t n, cap;
};

static enum status note_file(void *ctx, const struct jv *f, struct err *err)
{
    struct getting *g = ctx;
    const struct jv *is_dir = jv_get(f, "is_dir");

    if (is_dir && is_dir->is_true) {
        return OK;
    }
    if (!arena_grow(g->cli->arena, (void **)&g->files, g->n, &g->cap, sizeof(*g->files))) {
        return err_nomem(err);
    }
    g->files[g->n++] = f;
    g->f.total += (uint64_t)jv_i64(f, "size", 0);
    return OK;
}

static struct str parent_of(struct str path)
{
    size_t at = path.n;

    while (at && path.p[at - 1] != '/') {
        at--;
    }
    return str_sub(path, 0, at ? at - 1 : 0);
}

static enum status get_files(struct getting *g, const char *owner, struct str folder,
                             struct err *err)
{
    size_t cut = folder.n ? folder.n + 1 : 0;
    enum status st = OK;

    for (size_t i = 0; i < g->n && !st; i++) {
        struct str path = jv_text(g->files[i], "path");
        const char *url = url_of(g->cli, "/file", owner, path, "");
        struct digest sha;

        if (!url) {
            return err_nomem(err);
        }
        if (!digest_parse(jv_text(g->files[i], "sha256"), &sha) || path.n <= cut) {
            return err_set(err, ST_INTERNAL, "the server's list of files has no digests");
        }
        st = fetch_file(&g->f, url, str_sub(path, cut, path.n),
                        (uint64_t)jv_i64(g->files[i], "size", 0), &sha, err);
    }
    return st;
}

struct output {
    int fd;
    int errnum;
};

static bool put_out(void *ctx, int status, const void *p, size_t n)
{
    struct output *o = ctx;

    (void)status;
    for (size_t done = 0; done < n;) {
        ssize_t w = sys.write(o->fd, (const char *)p + done, n - done);

        if (w <= 0) {
            o->errnum = w < 0 ? errno : ENOSPC;
            return false;
        }
        done += (size_t)w;
    }
    return true;
}

/* One answer of the server into a file; "-" is stdout. What broke off is no archive: it is removed. */
static enum status save(struct cli *cli, const char *url, const char *dest, struct err *err)
{
    bool to_stdout = strcmp(dest, "-") == 0;
    struct output o = { .fd = STDOUT_FILENO };
    enum status st;

    if (!to_stdout) {
        o.fd = sys.open(dest, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (o.fd < 0) {
            return err_set(err, ST_IO, "%s: %s", dest, strerror(errno));
        }
    }
    st = api_download(cli, url, 0, put_out, &o, err);
    if (o.errnum) {
        st = err_set(err, ST_IO, "%s: %s", dest, strerror(o.errnum));
    }
    if (!to_stdout) {
        sys.close(o.fd);
        if (st) {
            sys.unlink(dest);
        }
    }
    return st;
}

static int artifact_get(struct cli *cli)
{
    const struct artifact_get_flags *flags = cli->options;
    struct getting g = { .cli = cli,
                         .f = { .cli = cli, .folder = flags->to, .force = flags->force } };
    struct walk w = { .cli = cli, .recursive = true, .each = note_file, .ctx = &g };
    const char *archive = flags->zip ? flags->zip : flags->tar, *url;
    struct str path = path_argument(cli);
    struct err err = ERR_INIT;
    char size[32];
    enum status st = owner_of(cli, &w.owner, &err);

    while (path.n && path.p[path.n - 1] == '/') {
        path.n--;
    }
    if (!st && flags->zip && flags->tar) {
        st = err_set(&err, ST_INVALID, "--zip and --tar are two different files: give one");
    }
    if (!st && archive) {
        url = url_of(cli, "/archive", w.owner, path, flags->zip ? "&format=zip" : "&format=tar");
        st = url ? save(cli, url, archive, &err) : err_nomem(&err);
        return st ? cli_fail(cli, st, &err) : CLI_DONE;
    }
    st = st ? st : walk(&w, path, 0, &err);
    if (!st && !g.n) {
        st = no_such(path, &err);
    }
    st = st ? st : get_files(&g, w.owner, w.is_file ? parent_of(path) : path, &err);
    fetch_end(&g.f);
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_bytes((int64_t)g.f.done, size);
    cli_note(cli, "%zu %s, %s in %s, digests are right", g.n, g.n == 1 ? "file" : "files", size,
             g.f.folder);
    return CLI_DONE;
}

static int artifact_cat(struct cli *cli)
{
    struct err err = ERR_INIT;
    const char *owner, *url;
    enum status st = owner_of(cli, &owner, &err);

    if (!st) {
        url = url_of(cli, "/file", owner, path_argument(cli), "");
        st = url ? save(cli, url, "-", &err) : err_nomem(&err);
    }
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- put ---------------------------------------------------------------------------------------------------------------------------- */

struct putting {
    struct cli *cli;
    const char *owner;
    size_t n;
    uint64_t bytes;
    int fd; /* of the file at hand */
    uint64_t at;
    struct sha256 *sha;
    /* of the folder at hand */
    const char *from;
    struct str to;
    unsigned depth;
};

static size_t read_some(void *ctx, void *p, size_t max)
{
    struct putting *u = ctx;
    ssize_t n = sys.pread(u->fd, p, max, (off_t)u->at);

    if (n <= 0) {
        return 0;
    }
    sha256_update(u->sha, p, (size_t)n);
    u->at += (uint64_t)n;
    return (size_t)n;
}

static enum status put_file(struct putting *u, const char *from, uint64_t size, struct str to,
                            struct err *err)
{
    const char *url = url_of(u->cli, "/file", u->owner, to, "");
    struct digest sent, kept;
    struct jv *answer = NULL;
    enum status st;

    if (size >= SEND_MIN) {
        struct str escaped = api_escape(u->cli->arena, to);
        const char *path =
            escaped.p
                ? arena_printf(u->cli->arena, UPLOADS "?%spath=%.*s", u->owner, STR_ARG(escaped)).p
                : NULL;
        bool begun = false;

        st = path ? send_resumed(u->cli, path, u->fd, from, size, &begun, err) : err_nomem(err);
        u->n += begun && !st;
        u->bytes += begun && !st ? size : 0;
        if (st || begun) {
            return st;
        }
    }
    u->at = 0;
    u->sha = sha256_new();
    st = url && u->sha ? api_upload(u->cli, url, size, read_some, u, &answer, err) : err_nomem(err);
    if (st == ST_IO) {
        st = err_set(err, ST_IO, "%s became shorter while it was sent", from);
    }
    if (u->sha) {
        sent = sha256_end(u->sha);
        sha256_free(u->sha);
    }
    if (!st && (!digest_parse(jv_text(answer, "sha256"), &kept) || !digest_eq(&kept, &sent))) {
        st = err_set(err, ST_CORRUPT, "the server has other bytes of %s than were sent", from);
    }
    if (!st) {
        u->n++;
        u->bytes += size;
    }
    return st;
}

static enum status put_path(struct putting *u, const char *from, struct str to, struct err *err);

static enum status put_child(void *ctx, const char *name, struct err *err)
{
    struct putting *u = ctx;
    const char *from = fs_join(u->cli->arena, u->from, name), *from_was = u->from;
    struct str to_was = u->to,
               to = to_was.n ? arena_printf(u->cli->arena, "%.*s/%s", STR_ARG(to_was), name)
                             : str_cstr(arena_cstr(u->cli->arena, str_cstr(name)));
    enum status st = from && to.p ? put_path(u, from, to, err) : err_nomem(err);

    u->from = from_was;
    u->to = to_was;
    return st;
}

/* A file, or a folder with what is in it. Links are not followed: they are named and left out. */
static enum status put_path(struct putting *u, const char *from, struct str to, struct err *err)
{
    int fd = sys.open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    struct stat info;
    enum status st = OK;

    if (fd < 0 && errno == ELOOP) {
        cli_warn(u->cli, "%s is a symbolic link: left out", from);
        return OK;
    }
    if (fd < 0 || sys.fstat(fd, &info)) {
        st = err_set(err, errno == ENOENT ? ST_NOT_FOUND : ST_IO, "%s: %s", from, strerror(errno));
    } else if (S_ISREG(info.st_mode)) {
        u->fd = fd;
        st = put_file(u, from, (uint64_t)info.st_size, to, err);
    } else if (!S_ISDIR(info.st_mode)) {
        cli_warn(u->cli, "%s is neither a file nor a folder: left out", from);
    } else if (u->depth == DEPTH_MAX) {
        st = err_set(err, ST_TOO_BIG, "%s is more than %d folders deep", from, DEPTH_MAX);
    } else {
        u->depth++;
        u->from = from;
        u->to = to;
        st = fs_each(from, put_child, u, err);
        u->depth--;
    }
    if (fd >= 0) {
        sys.close(fd);
    }
    return st;
}

/* The last component of a path of this machine; "" for "." and "..". */
static struct str base_name(const char *path)
{
    struct str s = str_cstr(path), rest;

    while (s.n > 1 && s.p[s.n - 1] == '/') {
        s.n--;
    }
    rest = s;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '/') {
            rest = str_sub(s, i + 1, s.n);
        }
    }
    return str_eq_lit(rest, ".") || str_eq_lit(rest, "..") || str_eq_lit(rest, "/") ? S("") : rest;
}

static int artifact_put(struct cli *cli)
{
    const struct artifact_put_flags *flags = cli->options;
    struct putting u = { .cli = cli };
    struct str folder = flags->to ? str_cstr(flags->to) : S("");
    struct err err = ERR_INIT;
    char size[32];
    enum status st = owner_of(cli, &u.owner, &err);

    while (folder.n && folder.p[folder.n - 1] == '/') {
        folder.n--;
    }
    for (unsigned i = 1; i < cli->arg_n && !st; i++) {
        struct str name = base_name(cli->args[i]),
                   to = arena_printf(cli->arena, "%.*s%s%.*s", STR_ARG(folder),
                                     folder.n && name.n ? "/" : "", STR_ARG(name));

        st = to.p ? put_path(&u, cli->args[i], to, &err) : err_nomem(&err);
    }
    if (st) {
        return cli_fail(cli, st, &err);
    }
    render_bytes((int64_t)u.bytes, size);
    cli_note(cli, "%zu %s, %s, digests are right", u.n, u.n == 1 ? "file" : "files", size);
    return CLI_DONE;
}

/* ---- rm ----------------------------------------------------------------------------------------------------------------------------- */

static int artifact_rm(struct cli *cli)
{
    const struct artifact_rm_flags *flags = cli->options;
    struct err err = ERR_INIT;
    struct jv *answer;
    const char *owner, *url = NULL;
    enum status st = owner_of(cli, &owner, &err);

    if (!st) {
        url = url_of(cli, "/file", owner, path_argument(cli),
                     flags->recursive ? "&recursive=true" : "");
        st = url ? OK : err_nomem(&err);
    }
    if (!st && flags->recursive && !cli_confirm(cli, cli->args[1], &err)) {
        st = ST_INVALID;
    }
    st = st ? st : api_call(cli, "DELETE", url, no_body, &answer, &err);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------------- */

static const struct opt_row ls_rows[] = {
    { .name = "recursive",
      .letter = 'r',
      .type = OPT_BOOL,
      .off = offsetof(struct artifact_ls_flags, recursive),
      .doc = "with all that is in the folders" },
};
static const struct opt_row get_rows[] = {
    { .name = "to",
      .type = OPT_TEXT,
      .arg = "DIR",
      .def = ".",
      .off = offsetof(struct artifact_get_flags, to),
      .doc = "folder for the files; made when it is missing" },
    { .name = "zip",
      .type = OPT_TEXT,
      .arg = "FILE",
      .off = offsetof(struct artifact_get_flags, zip),
      .doc = "one zip file instead; - is standard output" },
    { .name = "tar",
      .type = OPT_TEXT,
      .arg = "FILE",
      .off = offsetof(struct artifact_get_flags, tar),
      .doc = "one tar file instead; - is standard output" },
    { .name = "force",
      .type = OPT_BOOL,
      .off = offsetof(struct artifact_get_flags, force),
      .doc = "replace files that have other bytes" },
};
static const struct opt_row put_rows[] = {
    { .name = "to",
      .type = OPT_TEXT,
      .arg = "FOLDER",
      .off = offsetof(struct artifact_put_flags, to),
      .doc = "folder of the artifacts; without it their top" },
};
static const struct opt_row rm_rows[] = {
    { .name = "recursive",
      .letter = 'r',
      .type = OPT_BOOL,
      .off = offsetof(struct artifact_rm_flags, recursive),
      .doc = "a folder with all that is in it" },
};

#define OWNER                                                                                      \
    "RUN is a run's id, its beginning or its name; m-... is a logged model, and - stands for paths that belong to neither."

static const struct cli_command rows[] = {
    { .noun = "artifact",
      .verb = "ls",
      .args = "RUN [PATH]",
      .args_min = 1,
      .args_max = 2,
      .summary = "List the artifacts of a run or a logged model",
      .detail = OWNER,
      CLI_OPTIONS(ls_rows, struct artifact_ls_flags),
      CLI_EXAMPLES("cairn artifact ls bright-fox-12", "cairn artifact ls 4f2c model --recursive",
                   "cairn artifact ls - datasets"),
      .run = artifact_ls },
    { .noun = "artifact",
      .verb = "get",
      .args = "RUN [PATH]",
      .args_min = 1,
      .args_max = 2,
      .summary = "Fetch a file, or a folder with all that is in it",
      .detail = OWNER
      " Every file is checked against its SHA-256, and a command that was interrupted goes on where it was.",
      CLI_OPTIONS(get_rows, struct artifact_get_flags),
      CLI_EXAMPLES("cairn artifact get 4f2c model --to model",
                   "cairn artifact get 4f2c --zip everything.zip"),
      .run = artifact_get },
    { .noun = "artifact",
      .verb = "cat",
      .args = "RUN PATH",
      .args_min = 2,
      .args_max = 2,
      .summary = "Print a file",
      .detail = OWNER,
      CLI_EXAMPLES("cairn artifact cat 4f2c model/MLmodel"),
      .run = artifact_cat },
    { .noun = "artifact",
      .verb = "put",
      .args = "RUN FILE...",
      .args_min = 2,
      .args_max = 1000,
      .summary = "Add files and folders to the artifacts of a run",
      .detail = OWNER
      " A folder keeps its name, and '.' puts what is in it. Symbolic links are not followed. What the server keeps is compared with what was sent.",
      CLI_OPTIONS(put_rows, struct artifact_put_flags),
      CLI_EXAMPLES("cairn artifact put 4f2c report.html",
                   "cairn artifact put 4f2c plots --to eval"),
      .run = artifact_put },
    { .noun = "artifact",
      .verb = "rm",
      .args = "RUN PATH",
      .args_min = 2,
      .args_max = 2,
      .summary = "Remove a file, or a folder with --recursive",
      .detail = OWNER,
      CLI_OPTIONS(rm_rows, struct artifact_rm_flags),
      CLI_EXAMPLES("cairn artifact rm 4f2c report.html",
                   "cairn artifact rm 4f2c checkpoints --recursive --yes"),
      .run = artifact_rm },
};
const struct cli_table cli_artifacts = { rows, ARRAY_N(rows) };
