/* core/model_source.c - checking and resolving the source of a model version. */
#include "core/model_source.h"
#include "base/buf.h"
#include "base/num.h"
#include "core/names.h"
#include "core/run_int.h"
#include "gen/sql/queries.h"

enum { DECODE_ROUNDS_MAX = 16 };

struct resolve {
    struct view *v;
    struct group *g;
    struct str source, run_id, model_id; /* of the request */
    struct str shown;                    /* the source without secrets */
    struct uri_parts parts;
    struct model_source *out;
};

/* ---- URIs -------------------------------------------------------------------------------------------------------------- */

static bool scheme_char(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

    return letter || (!first && ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'));
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    for (size_t i = 0; p && i < s.n; i++) {
        p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
    }
    return str_of(p, p ? s.n : 0);
}

bool uri_split(struct arena *a, struct str uri, struct uri_parts *out)
{
    size_t colon = str_find_byte(uri, ':', 0), end = 0;

    *out = (struct uri_parts){ .scheme = S(""), .authority = S("") };
    for (size_t i = 0; colon != SIZE_MAX && i < colon; i++) {
        if (!scheme_char(uri.p[i], i == 0)) {
            colon = SIZE_MAX;
        }
    }
    if (colon != SIZE_MAX && colon > 0) {
        out->scheme = lower(a, str_sub(uri, 0, colon));
        uri = str_sub(uri, colon + 1, uri.n);
    }
    if (str_starts(uri, S("//"))) {
        end = 2;
        while (end < uri.n && uri.p[end] != '/' && uri.p[end] != '?' && uri.p[end] != '#') {
            end++;
        }
        out->authority = lower(a, str_sub(uri, 2, end - 2));
        uri = str_sub(uri, end, uri.n);
    }
    for (end = 0; end < uri.n && uri.p[end] != '?' && uri.p[end] != '#';) {
        end++;
    }
    out->path = str_sub(uri, 0, end);
    return out->scheme.p && out->authority.p;
}

/* The name of a query field whose value is a secret; any case, percent-encoded or not. */
static bool is_secret_field(struct str name)
{
    static const struct str secret[] = {
        S_INIT("sig"),
        S_INIT("signature"),
        S_INIT("x-amz-signature"),
        S_INIT("password"),
        S_INIT("x-amz-security-token"),
        S_INIT("x-goog-signature"),
        S_INIT("passwd"),
        S_INIT("pwd"),
        S_INIT("secret"),
        S_INIT("client_secret"),
        S_INIT("token"),
        S_INIT("access_token"),
        S_INIT("private_token"),
        S_INIT("api_key"),
        S_INIT("apikey"),
        S_INIT("access_key"),
        S_INIT("secret_key"),
        S_INIT("secret_access_key"),
        S_INIT("auth"),
        S_INIT("authorization"),
    };
    char text[64];
    size_t n = name.n;

    if (n > sizeof(text)) { /* encoded or not, none is that long */
        return false;
    }
    memcpy(text, name.p, n);
    for (int round = 0; round < DECODE_ROUNDS_MAX && name_percent_decode(text, &n); round++) {
    }
    for (size_t i = 0; i < ARRAY_N(secret); i++) {
        if (str_eq_nocase(str_of(text, n), secret[i])) {
            return true;
        }
    }
    return false;
}

/* The part of uri[from, to) that is a secret of its authority; false when there is none. */
static bool secret_of_authority(struct str uri, size_t *from, size_t *to)
{
    size_t colon = str_find_byte(uri, ':', 0), at, end;
    struct str scheme = str_sub(uri, 0, MIN_OF(colon, uri.n));
    bool web = str_eq_nocase(scheme, S("http")) || str_eq_nocase(scheme, S("https"));

    if (str_starts(uri, S("//"))) {
        *from = 2;
    } else if (colon != SIZE_MAX && str_starts(str_sub(uri, colon + 1, uri.n), S("//"))) {
        *from = colon + 3;
    } else {
        return false;
    }
    for (end = *from; end < uri.n && !memchr("/?#", uri.p[end], 3);) {
        end++;
    }
    for (at = end; at > *from && uri.p[at - 1] != '@';) {
        at--;
    }
    if (at == *from) {
        return false;
    }
    *to = at - 1;
    colon = str_find_byte(str_sub(uri, 0, *to), ':', *from);
    if (colon != SIZE_MAX) {
        *from = colon + 1;
        return *from < *to;
    }
    return web && *from < *to;
}

/* Names of models and paths of files may look like queries and are none. */
static bool has_no_secret_place(struct str uri, bool *has_query)
{
    static const struct str plain[] = { S_INIT("models"), S_INIT("runs"), S_INIT("file"),
                                        S_INIT("mlflow-artifacts") };
    size_t colon = str_find_byte(uri, ':', 0);
    struct str scheme = str_sub(uri, 0, MIN_OF(colon, uri.n));

    *has_query = colon != SIZE_MAX &&
                 (str_find_byte(uri, '?', 0) != SIZE_MAX || str_find_byte(uri, '#', 0) != SIZE_MAX);
    for (size_t i = 0; i < ARRAY_N(plain); i++) {
        if (str_eq_nocase(scheme, plain[i])) {
            *has_query = false;
        }
    }
    return !*has_query && str_find_byte(uri, '@', 0) == SIZE_MAX;
}

bool source_redact(struct arena *a, struct str *uri)
{
    size_t from, to, at = 0;
    bool has_query;
    struct buf b;

    if (!uri->p || has_no_secret_place(*uri, &has_query)) {
        return true;
    }
    buf_init(&b, uri->n * 4 + 16);
    if (secret_of_authority(*uri, &from, &to)) {
        buf_put_str(&b, str_sub(*uri, 0, from));
        buf_put_lit(&b, "***");
        at = to;
    }
    /* Fields stand behind '?', '#', '&' or ';', and have a value behind '='. */
    for (size_t i = at; i < uri->n; i++) {
        size_t eq = i + 1, end;

        if (!has_query || !memchr("?#&;", uri->p[i], 4)) {
            continue;
        }
        while (eq < uri->n && !memchr("=&;#", uri->p[eq], 4)) {
            eq++;
        }
        if (eq + 1 >= uri->n || uri->p[eq] != '=' ||
            !is_secret_field(str_sub(*uri, i + 1, eq - i - 1))) {
            continue;
        }
        for (end = eq + 1; end < uri->n && !memchr("&;#", uri->p[end], 3);) {
            end++;
        }
        buf_put_str(&b, str_sub(*uri, at, eq + 1 - at));
        buf_put_lit(&b, "***");
        at = end;
        i = end - 1;
    }
    if (at) {
        buf_put_str(&b, str_sub(*uri, at, uri->n));
        *uri = b.failed ? (struct str){ NULL, 0 } : arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return uri->p != NULL;
}

/* Percent decoding until nothing changes. p NULL when memory is out, or when it does not end (*endless). */
static struct str decode_all(struct arena *a, struct str s, bool *endless)
{
    char *p = arena_alloc(a, s.n + 1);
    size_t n = s.n;

    *endless = false;
    if (!p) {
        return (struct str){ NULL, 0 };
    }
    memcpy(p, s.p, s.n);
    for (int round = 0; name_percent_decode(p, &n); round++) {
        if (round == DECODE_ROUNDS_MAX) {
            *endless = true;
            return (struct str){ NULL, 0 };
        }
    }
    return str_of(p, n);
}

/* The next component that is not empty. */
static bool next_part(struct str *rest, struct str *part)
{
    while (str_split(rest, '/', part)) {
        if (part->n) {
            return true;
        }
    }
    return false;
}

bool uri_within(struct arena *a, struct str uri, struct str root)
{
    struct uri_parts u, r;
    struct str part, root_part;
    bool endless, any = false;

    if (!uri_split(a, uri, &u) || !uri_split(a, root, &r) || !str_eq(u.scheme, r.scheme) ||
        !str_eq(u.authority, r.authority)) {
        return false;
    }
    while (next_part(&r.path, &root_part)) {
        if (!next_part(&u.path, &part)) {
            return false;
        }
        part = decode_all(a, part, &endless);
        root_part = decode_all(a, root_part, &endless);
        if (!part.p || !root_part.p || !str_eq(part, root_part)) {
            return false;
        }
        any = true;
    }
    return any;
}

static bool is_local(const struct uri_parts *u)
{
    return u->scheme.n == 0 || str_eq_lit(u->scheme, "file");
}

/* ---- errors ------------------------------------------------------------------------------------------------------------- */

static enum status bad_owner(const struct resolve *r, const char *field, struct err *err)
{
    return err_field(
        err, ST_INVALID, "source",
        "Invalid model version source: '%.*s'. The %s request parameter must identify the "
        "resource that contains the source.",
        STR_ARG(r->shown), field);
}

static enum status bad_local(const struct resolve *r, const char *field, struct err *err)
{
    return err_field(
        err, ST_INVALID, "source",
        "Invalid model version source: '%.*s'. To use a local path as a model version source, the "
        "%s request parameter has to be specified and the local path has to be contained within the "
        "artifact directory of the run specified by the %s.",
        STR_ARG(r->shown), field, field);
}

static enum status bad_path(const struct resolve *r, struct err *err)
{
    return err_field(
        err, ST_INVALID, "source",
        "Invalid model version source: '%.*s'. If supplying a source as an http, https, local file "
        "path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without "
        "relative path references present. Please provide an absolute path.",
        STR_ARG(r->shown));
}

/* ---- checks -------------------------------------------------------------------------------------------------------------- */

/* Where the run's or model's artifacts lie; p NULL when there is no such run or model. */
static enum status artifacts_of_run(struct resolve *r, struct str *uri, struct err *err)
{
    struct head *h;
    enum status st = run_head(r->g, r->run_id, &h, err);

    *uri = (struct str){ NULL, 0 };
    if (st == ST_NOT_FOUND) {
        return OK;
    }
    *uri = st ? *uri : h->artifact_uri;
    return st;
}

static enum status artifacts_of_model(struct resolve *r, struct str *uri, struct err *err)
{
    struct q_logged_model_get_row m;
    enum status st = q_logged_model_get(r->v->conn, r->v->arena, r->model_id, &m, err);

    *uri = (struct str){ NULL, 0 };
    if (st == ST_NOT_FOUND || (!st && m.lifecycle)) {
        return OK;
    }
    if (!st) {
        *uri = m.artifact_uri;
        r->out->model_uid = m.uid;
        if (!r->run_id.n && m.source_run.p) {
            r->out->run_id = m.source_run;
        }
    }
    return st;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* A component without the parameters that may follow it. */
static struct str without_params(struct str part)
{
    return str_sub(part, 0, MIN_OF(str_find_byte(part, ';', 0), part.n));
}

/* An absolute path, equal to its own normal form, without ".." or NUL in any encoding. */
static enum status check_absolute(struct resolve *r, struct err *err)
{
    bool endless;
    struct str plain = decode_all(r->v->arena, r->source, &endless), part, rest;
    struct uri_parts u;

    if (!plain.p) {
        return endless ? bad_path(r, err) : err_nomem(err);
    }
    if (!uri_split(r->v->arena, plain, &u)) {
        return err_nomem(err);
    }
    if (has_control(plain) || !str_starts(u.path, S("/"))) {
        return bad_path(r, err);
    }
    for (rest = plain; str_split(&rest, '/', &part);) {
        if (str_eq_lit(without_params(part), "..")) {
            return bad_path(r, err);
        }
    }
    for (rest = u.path; str_split(&rest, '/', &part);) {
        if (str_eq_lit(without_params(part), ".")) {
            return bad_path(r, err);
        }
    }
    return OK;
}

/* A local path: lexically below the local artifact folder, without ".." in any encoding. */
static bool local_within(struct arena *a, struct str source, struct str root)
{
    struct uri_parts s, r;
    struct str path, base;
    bool endless;

    if (!uri_split(a, source, &s) || !uri_split(a, root, &r) || !is_local(&r) ||
        (s.authority.n && !str_eq_lit(s.authority, "localhost") &&
         !str_eq_lit(s.authority, "127.0.0.1"))) {
        return false;
    }
    path = decode_all(a, s.path, &endless);
    base = decode_all(a, r.path, &endless);
    if (!path.p || !base.p || has_control(path)) {
        return false;
    }
    path = name_normpath(a, path);
    base = name_normpath(a, base);
    return path.p && base.p && str_starts(base, S("/")) && str_starts(path, base) &&
           (path.n == base.n || path.p[base.n] == '/');
}

/* A path of an artifact proxy: its route among the components, decoded, the empty ones left out. */
static bool is_proxied(struct arena *a, const struct uri_parts *u)
{
    static const struct str route[] = { S_INIT("2.0"), S_INIT("mlflow-artifacts"),
                                        S_INIT("artifacts") };
    struct str rest = u->path, part;
    size_t at = 0;
    bool endless;

    if (!str_eq_lit(u->scheme, "http") && !str_eq_lit(u->scheme, "https")) {
        return str_eq_lit(u->scheme, "mlflow-artifacts");
    }
    while (next_part(&rest, &part)) {
        part = decode_all(a, part, &endless);
        if (!part.p) {
            return true; /* no memory: taken for one, so that it is checked */
        }
        if (str_eq_lit(part, "api") || str_eq_lit(part, "ajax-api")) {
            at = 1;
        } else {
            at = at && str_eq(part, route[at - 1]) ? at + 1 : 0;
        }
        if (at == ARRAY_N(route) + 1) {
            return true;
        }
    }
    return false;
}

static enum status check_contained(struct resolve *r, bool by_model, struct err *err)
{
    const char *field = by_model ? "model_id" : "run_id";
    struct str given = by_model ? r->model_id : r->run_id, root = { NULL, 0 };
    bool local = is_local(&r->parts);
    enum status st = OK;

    if (!local) {
        st = check_absolute(r, err);
    }
    if (!st && given.n) {
        st = by_model ? artifacts_of_model(r, &root, err) : artifacts_of_run(r, &root, err);
    }
    if (st) {
        return st;
    }
    if (local) {
        return root.p && local_within(r->v->arena, r->source, root) ? OK : bad_local(r, field, err);
    }
    if (is_proxied(r->v->arena, &r->parts) &&
        !(root.p && uri_within(r->v->arena, r->source, root))) {
        return bad_owner(r, field, err);
    }
    if (by_model && !root.p) {
        return bad_owner(r, field, err);
    }
    return OK;
}

/* runs:/RUN_ID/path */
static enum status check_runs(struct resolve *r, struct err *err)
{
    struct str rest = r->parts.path, id;
    enum status st = check_absolute(r, err);

    if (st) {
        return st;
    }
    if (r->parts.authority.n || r->model_id.n || !next_part(&rest, &id) || !r->run_id.n ||
        !str_eq(id, r->run_id)) {
        return bad_owner(r, r->model_id.n ? "model_id" : "run_id", err);
    }
    return OK;
}

/* models:/MODEL_ID */
static enum status resolve_logged(struct resolve *r, struct str id, struct err *err)
{
    struct str uri;
    enum status st;

    if (!r->model_id.n || !str_eq(id, r->model_id)) {
        return bad_owner(r, "model_id", err);
    }
    st = artifacts_of_model(r, &uri, err);
    if (!st && !uri.p) {
        return bad_owner(r, "model_id", err);
    }
    r->out->storage = uri;
    return st;
}

/* Which version models:/NAME/SUFFIX or models:/NAME@ALIAS means. */
static enum status find_version(struct resolve *r, struct str name, struct str suffix, bool alias,
                                struct model_version *mv, struct err *err)
{
    struct model_version *latest;
    enum model_stage stage;
    int64_t number;
    size_t n;
    enum status st;

    if (alias) {
        return model_version_by_alias(r->v, name, suffix, mv, err);
    }
    if (num_parse_i64(suffix, &number)) {
        return model_version_get(r->v, name, number, mv, err);
    }
    if (str_eq_nocase(suffix, S("latest"))) {
        return model_version_by_alias(r->v, name, S("latest"), mv, err);
    }
    st = stage_parse(suffix, &stage, err);
    st = st ? st : model_versions_latest(r->v, name, 1u << stage, &latest, &n, err);
    if (!st && n == 0) {
        return err_field(err, ST_NOT_FOUND, "source",
                         "No versions of model with name '%.*s' and stage '%s' found",
                         STR_ARG(name), stage_name(stage));
    }
    *mv = st ? (struct model_version){ 0 } : latest[0];
    return st;
}

static enum status resolve_copy(struct resolve *r, struct str name, struct str suffix, bool alias,
                                struct err *err)
{
    struct registered_model model;
    struct model_version mv;
    struct str none = S("");
    enum status st = registered_model_get(r->v, name, &model, err);

    if (!st && model.prompt) {
        return err_field(
            err, ST_INVALID, "source",
            "Invalid model version source: '%.*s'. Prompt versions cannot be used as model version "
            "sources.",
            STR_ARG(r->shown));
    }
    st = st ? st : find_version(r, name, suffix, alias, &mv, err);
    if (st) {
        return st;
    }
    if ((r->run_id.p && !str_eq(r->run_id, mv.run_id)) ||
        (r->model_id.p && !str_eq(r->model_id, mv.model_id.p ? mv.model_id : none))) {
        return err_field(
            err, ST_INVALID, "source",
            "Invalid model version source: '%.*s'. The run_id and model_id request parameters must "
            "match the referenced model version.",
            STR_ARG(r->shown));
    }
    r->out->source =
        arena_printf(r->v->arena, "models:/%.*s/%lld", STR_ARG(name), (long long)mv.version);
    r->out->storage = mv.storage;
    r->out->run_id = mv.run_id;
    r->out->model_id = mv.model_id;
    if (mv.model_id.p) {
        struct q_logged_model_get_row m;
        struct err ignored = ERR_INIT;

        if (q_logged_model_get(r->v->conn, r->v->arena, mv.model_id, &m, &ignored) == OK &&
            !m.lifecycle) {
            r->out->model_uid = m.uid;
        }
    }
    return r->out->source.p ? OK : err_nomem(err);
}

static enum status resolve_models(struct resolve *r, struct err *err)
{
    struct str path = r->parts.path, name, suffix = { NULL, 0 };
    size_t slash, at;

    if (r->parts.authority.n) {
        return err_field(
            err, ST_INVALID, "source",
            "Invalid model version source: '%.*s'. Registered model sources must use the active "
            "model registry.",
            STR_ARG(r->shown));
    }
    if (path.n < 2 || path.p[0] != '/') {
        return bad_owner(r, "model_id", err);
    }
    name = str_sub(path, 1, path.n);
    slash = str_find_byte(name, '/', 0);
    if (slash != SIZE_MAX) {
        suffix = str_sub(name, slash + 1, name.n);
        name = str_sub(name, 0, slash);
        if (!str_trim(suffix).n || !str_trim(name).n || str_find_byte(suffix, '/', 0) != SIZE_MAX) {
            return bad_owner(r, "model_id", err);
        }
        return resolve_copy(r, name, suffix, false, err);
    }
    for (at = name.n; at > 0 && name.p[at - 1] != '@';) {
        at--;
    }
    if (at == 0) {
        return resolve_logged(r, name, err);
    }
    suffix = str_sub(name, at, name.n);
    name = str_sub(name, 0, at - 1);
    return str_trim(suffix).n && str_trim(name).n ? resolve_copy(r, name, suffix, true, err)
                                                  : bad_owner(r, "model_id", err);
}

static enum status check(struct resolve *r, struct err *err)
{
    if (has_control(r->source) || str_trim(r->source).n != r->source.n) {
        return bad_path(r, err); /* other readers of URIs drop such characters */
    }
    if (!uri_split(r->v->arena, r->source, &r->parts)) {
        return err_nomem(err);
    }
    if (str_eq_lit(r->parts.scheme, "models")) {
        return resolve_models(r, err);
    }
    if (str_eq_lit(r->parts.scheme, "runs")) {
        return check_runs(r, err);
    }
    return check_contained(r, r->model_id.n > 0, err);
}

enum status model_source_resolve(struct view *v, struct group *g, struct str source,
                                 struct str run_id, struct str model_id, bool prompt,
                                 struct model_source *out, struct err *err)
{
    struct resolve r = {
        .v = v,
        .g = g,
        .source = source,
        .run_id = run_id,
        .model_id = model_id,
        .shown = source,
        .out = out,
    };
    enum status st;

    *out = (struct model_source){ .source = source,
                                  .storage = source,
                                  .run_id = run_id.p ? run_id : S(""),
                                  .model_id = model_id.n ? model_id : (struct str){ NULL, 0 } };
    if (!source_redact(v->arena, &r.shown)) {
        return err_nomem(err);
    }
    if (prompt) {
        out->model_id = (struct str){ NULL, 0 };
        if (str_eq_lit(source, "dummy-source") || str_eq_lit(source, "prompt-template")) {
            return OK;
        }
        return err_field(
            err, ST_INVALID, "source",
            "Invalid prompt source: '%.*s'. Prompt sources must use an MLflow placeholder.",
            STR_ARG(r.shown));
    }
    st = check(&r, err);
    out->redacted = r.shown.p != source.p;
    if (!st &&
        (!source_redact(v->arena, &out->source) || !source_redact(v->arena, &out->storage))) {
        return err_nomem(err);
    }
    return st;
}
