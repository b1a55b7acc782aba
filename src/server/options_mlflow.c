/* server/options_mlflow.c - the options of `mlflow server`, for people who switch. */
#include "base/sys.h"
#include "codec/json.h"
#include "server/options_int.h"
#include "store/sql/sql.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONFIG_MAX = 256 * 1024, PATH_BYTES = 4096 };

/* scheme of "scheme:..."; empty for a path. A single letter is none. */
static struct str scheme_of(const char *uri)
{
    struct str s = str_cstr(uri);
    size_t colon = str_find_byte(s, ':', 0), slash = str_find_byte(s, '/', 0);

    return colon == SIZE_MAX || colon < 2 || slash < colon ? S("") : str_sub(s, 0, colon);
}

/* "file:///a/b", "file:/a/b" and plain paths. NULL for another host or scheme. */
static const char *local_path(const char *uri)
{
    struct str scheme = scheme_of(uri);
    const char *rest;

    if (!scheme.n) {
        return uri;
    }
    if (!str_eq_lit(scheme, "file")) {
        return NULL;
    }
    rest = uri + scheme.n + 1;
    if (rest[0] == '/' && rest[1] == '/') {
        rest += 2;
        if (strncmp(rest, "localhost/", 10) == 0) {
            rest += 9;
        }
    }
    return rest[0] == '/' ? rest : NULL;
}

/* Where a relative path leads from here, as MLflow resolves it. */
static const char *absolute(struct arena *a, const char *path)
{
    char dir[PATH_BYTES];

    if (path[0] == '/') {
        return path;
    }
    while (path[0] == '.' && path[1] == '/') {
        path += 2;
    }
    return getcwd(dir, sizeof(dir)) ? arena_printf(a, "%s/%s", dir, path).p : NULL;
}

static enum status refuse_remote(const char *option, const char *uri, struct err *err)
{
    struct str scheme = scheme_of(uri);
    enum status st = err_field(err, ST_NOT_IMPLEMENTED, option,
                               "--%s: bytes are kept in folders and on S3, not in %.*s:", option,
                               STR_ARG(scheme));

    err_hint(err, "give a folder, or keep the bytes on S3 with --blobs s3://BUCKET/PREFIX");
    return st;
}

/* ---- the store -------------------------------------------------------------------------------------------------------- */

static bool exists(const char *path)
{
    struct stat info;

    return sys.stat(path, &info) == 0;
}

/* sqlite:///relative.db, sqlite:////absolute.db (also with "+driver" after the scheme, and "?options") */
static enum status store_sqlite(struct cli *cli, struct server_options *o, const char *uri,
                                struct err *err)
{
    struct str s = str_cstr(uri);
    size_t at = str_find(s, S("://"));
    struct str path = at == SIZE_MAX ? S("") : str_sub(s, at + 3, s.n);
    const char *file;
    enum status st;

    path = str_sub(path, 0, str_find_byte(path, '?', 0));
    if (path.n < 2 || path.p[0] != '/' || str_eq_lit(path, "/:memory:")) {
        st = err_field(err, ST_INVALID, "backend-store-uri", "--backend-store-uri %s names no file",
                       uri);
        err_hint(err, "write sqlite:///relative.db or sqlite:////absolute/path.db");
        return st;
    }
    file = arena_cstr(cli->arena, str_sub(path, 1, path.n));
    if (!file) {
        return err_nomem(err);
    }
    if (exists(file)) {
        st = sql_refuse_foreign_file(file, err);
        if (st) {
            err_ctx(err, "%s", file);
            return st;
        }
    }
    o->data = arena_printf(cli->arena, "%s.cairn", file).p;
    if (!o->data) {
        return err_nomem(err);
    }
    cli_note(cli, "the store is the folder %s", o->data);
    return OK;
}

/* A folder that MLflow's file store uses stays MLflow's. */
static enum status store_folder(struct cli *cli, struct server_options *o, const char *path,
                                struct err *err)
{
    static const char *const marks[] = { "meta.yaml", "0/meta.yaml", ".trash", "models" };
    enum status st;

    for (size_t i = 0; i < ARRAY_N(marks); i++) {
        const char *mark = arena_printf(cli->arena, "%s/%s", path, marks[i]).p;

        if (!mark) {
            return err_nomem(err);
        }
        if (exists(mark)) {
            st = err_field(err, ST_INVALID_STATE, "backend-store-uri",
                           "%s is the file store of an MLflow server; nothing was changed", path);
            err_hint(err, "give cairn a folder of its own: --data DIR");
            return st;
        }
    }
    o->data = path;
    return OK;
}

static enum status store_uri(struct cli *cli, struct server_options *o, struct err *err)
{
    const char *uri = o->ml_store_uri, *path = local_path(uri);
    struct str scheme = scheme_of(uri);
    enum status st;

    if (str_starts(scheme, S("postgres"))) {
        o->store = uri;
        return OK;
    }
    if (str_starts(scheme, S("sqlite"))) {
        return store_sqlite(cli, o, uri, err);
    }
    if (path) {
        return store_folder(cli, o, path, err);
    }
    st = err_field(err, ST_NOT_IMPLEMENTED, "backend-store-uri",
                   "--backend-store-uri: cairn does not keep its store in %.*s", STR_ARG(scheme));
    err_hint(err, "give postgresql://user@host/database or sqlite:///FILE");
    return st;
}

/* ---- artifacts ---------------------------------------------------------------------------------------------------------- */

static enum status destination(struct server_options *o, struct err *err)
{
    const char *path = local_path(o->ml_artifacts_destination);

    if (str_eq_lit(scheme_of(o->ml_artifacts_destination), "s3")) {
        path = o->ml_artifacts_destination;
    }
    if (!path) {
        return refuse_remote("artifacts-destination", o->ml_artifacts_destination, err);
    }
    o->blobs = path;
    return OK;
}

static enum status artifact_root(struct cli *cli, struct server_options *o, struct err *err)
{
    struct str scheme;
    const char *path;

    if (!o->artifact_root) {
        if (o->serve_artifacts) {
            return OK;
        }
        if (o->store) {
            enum status st =
                err_field(err, ST_INVALID, "default-artifact-root",
                          "with --no-serve-artifacts, --default-artifact-root is needed");

            err_hint(err, "give a folder that every client can reach under the same path");
            return st;
        }
        o->artifact_root = "./mlruns";
    }
    scheme = scheme_of(o->artifact_root);
    if (str_eq_lit(scheme, "mlflow-artifacts") || str_starts(scheme, S("http"))) {
        return OK;
    }
    path = local_path(o->artifact_root);
    if (!path) {
        enum status st = err_field(err, ST_NOT_IMPLEMENTED, "default-artifact-root",
                                   "--default-artifact-root: artifacts below %.*s: are not served",
                                   STR_ARG(scheme));

        err_hint(err, "leave it out, and keep the bytes on S3 with --blobs s3://BUCKET/PREFIX");
        return st;
    }
    if (!scheme.n) {
        o->artifact_root = absolute(cli->arena, path);
    }
    return o->artifact_root ? OK : err_nomem(err);
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------- */

static bool is_set(const struct opts *o, const char *name)
{
    return opts_value(o, name)->source != OPT_FROM_DEFAULT;
}

/* True if anything says that the caller thinks in `mlflow server`. */
static bool is_mlflow_style(const struct opts *o)
{
    for (size_t i = 0; i < o->n; i++) {
        bool named = (o->rows[i].flags & OPT_MLFLOW) ||
                     strcmp(o->rows[i].name, "default-artifact-root") == 0;

        if (named && o->values[i].source != OPT_FROM_DEFAULT) {
            return true;
        }
    }
    return false;
}

static enum status twice(const char *a, const char *b, struct err *err)
{
    enum status st = err_field(err, ST_INVALID, a, "--%s and --%s say the same thing twice", a, b);

    err_hint(err, "give one of them");
    return st;
}

static enum status listen_on(struct cli *cli, struct server_options *o, struct err *err)
{
    const char **list = ARENA_ARRAY(cli->arena, const char *, 2);
    const char *host = o->ml_host ? o->ml_host : "127.0.0.1";
    bool bare6 = strchr(host, ':') && host[0] != '[';

    if (!list) {
        return err_nomem(err);
    }
    list[0] =
        arena_printf(cli->arena, bare6 ? "[%s]:%lld" : "%s:%lld", host, (long long)o->ml_port).p;
    o->listen = list;
    return list[0] ? OK : err_nomem(err);
}

enum status options_mlflow(struct cli *cli, struct server_options *o, struct err *err)
{
    const struct opts *set = &cli->own_opts;
    enum status st = OK;

    if (o->ml_store_uri) {
        if (is_set(set, "store")) return twice("store", "backend-store-uri", err);
        st = store_uri(cli, o, err);
        if (!st && is_set(set, "data")) {
            o->data =
                opts_text(set, "data"); /* said outright: stronger than what the URI implies */
        }
    }
    if (!st && o->ml_artifacts_destination) {
        st = is_set(set, "blobs") ? twice("blobs", "artifacts-destination", err)
                                  : destination(o, err);
    }
    st = st ? st : artifact_root(cli, o, err);
    if (!st && o->ml_prometheus) {
        o->metrics = true;
        cli_note(cli, "--expose-prometheus: figures are at /metrics; the folder is not needed");
    }
    if (!st && !o->listen && is_mlflow_style(set)) {
        st = listen_on(cli, o, err);
    }
    return st;
}

/* ---- the configuration as an answer ----------------------------------------------------------------------------------------- */

static void put_option(struct json_writer *w, struct cli *cli, const struct opt_row *row)
{
    const char *text = opts_text(&cli->own_opts, row->name);

    json_w_object(w);
    json_w_key(w, S("name"));
    json_w_cstr(w, row->name);
    json_w_key(w, S("value"));
    if (text) {
        json_w_str(w, opt_shown(row, text, cli->arena));
    } else {
        json_w_null(w);
    }
    json_w_key(w, S("default"));
    json_w_cstr(w, row->def);
    json_w_key(w, S("source"));
    json_w_str(w, opts_origin(&cli->own_opts, row));
    json_w_key(w, S("environment"));
    json_w_cstr(w, row->env);
    json_w_key(w, S("key"));
    json_w_cstr(w, row->key);
    json_w_key(w, S("reload"));
    json_w_bool(w, (row->flags & OPT_RELOAD) != 0);
    json_w_key(w, S("doc"));
    json_w_cstr(w, row->doc);
    json_w_object_end(w);
}

enum status options_config(struct cli *cli, struct str *out, struct err *err)
{
    struct buf b = BUF_INIT(CONFIG_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);
    enum status st;

    json_w_object(&w);
    json_w_key(&w, S("options"));
    json_w_array(&w);
    for (size_t i = 0; i < cli->own_opts.n; i++) {
        if (!cli->own_opts.rows[i].only) {
            put_option(&w, cli, &cli->own_opts.rows[i]);
        }
    }
    json_w_array_end(&w);
    json_w_object_end(&w);
    st = buf_status(&b, "configuration", err);
    if (!st) {
        *out = arena_str(cli->arena, buf_str(&b));
        st = out->p ? OK : err_nomem(err);
    }
    buf_release(&b);
    return st;
}
