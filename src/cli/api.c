/* cli/api.c - finding the server and its token, sending, reading errors. */
#include "cli/api.h"
#include "base/fs.h"
#include "client/http.h"
#include <stdlib.h>
#include <unistd.h>

enum { TOKEN_FILE_MAX = 4096, URL_FILE_MAX = 4096, SOCKET_PATH_MAX = 107, QUERY_MAX = 16 << 20 };

#define DEFAULT_URL "http://127.0.0.1:5757"

/* ---- which server ------------------------------------------------------------------------------------------------- */

enum status api_read_token(struct cli *cli, const char *path, const char **out, struct err *err)
{
    struct str text;
    enum status st = fs_read_file(cli->arena, path, TOKEN_FILE_MAX, &text, err);

    *out = NULL;
    if (st) {
        err_ctx(err, "token file %s", path);
        return st;
    }
    text = str_trim(text);
    if (!text.n) {
        return err_set(err, ST_INVALID, "token file %s is empty", path);
    }
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f) {
            return err_set(err, ST_INVALID, "token file %s holds more than one token", path);
        }
    }
    *out = arena_cstr(cli->arena, text);
    return *out ? OK : err_nomem(err);
}

enum status api_clean_url(struct cli *cli, const char *url, const char **out, struct err *err)
{
    struct str s = str_trim(str_cstr(url));
    enum status st;

    if (!str_starts(s, S("http://")) && !str_starts(s, S("https://"))) {
        st = err_set(err, ST_INVALID, "%s is no address of a server", url);
        err_hint(err, "write it as http://HOST:PORT");
        return st;
    }
    while (s.n && s.p[s.n - 1] == '/') {
        s.n--;
    }
    *out = arena_cstr(cli->arena, s);
    return *out ? OK : err_nomem(err);
}

static const struct conf_entry *context_entry(struct cli *cli, const char *name, const char *key)
{
    const char *full = arena_printf(cli->arena, "context.%s.%s", name, key).p;

    return full ? conf_find(&cli->user, full) : NULL;
}

/* A token that cairn.conf keeps for exactly this address. */
static const char *token_file_of_url(struct cli *cli, const char *url)
{
    for (size_t i = 0; i < cli->user.n; i++) {
        const struct conf_entry *e = &cli->user.entries[i];
        struct str key = str_cstr(e->key), name;
        const struct conf_entry *file;
        const char *copy;

        if (!str_starts(key, S("context.")) || !str_ends(key, S(".server")) ||
            strcmp(e->value, url) != 0 || key.n < 16) {
            continue;
        }
        name = str_sub(key, 8, key.n - 8 - 7);
        copy = arena_cstr(cli->arena, name);
        file = copy ? context_entry(cli, copy, "token_file") : NULL;
        if (file) {
            return file->value;
        }
    }
    return NULL;
}

static enum status add_token(struct cli *cli, struct target *out, enum opt_source source,
                             const char *context, struct err *err)
{
    const struct opt_value *given = opts_value(&cli->global_opts, "token-file");
    const char *path = cli->globals.token_file;
    const struct conf_entry *e;

    if (source == OPT_FROM_PROJECT && given->source != OPT_FROM_FLAG) {
        path = NULL;
    }
    if (!path && context) {
        e = context_entry(cli, context, "token_file");
        path = e ? e->value : NULL;
    }
    path = path ? path : token_file_of_url(cli, out->url);
    return path ? api_read_token(cli, path, &out->token, err) : OK;
}

static enum status from_context(struct cli *cli, struct target *out, struct err *err)
{
    const char *name = cli->globals.context;
    const struct conf_entry *e = context_entry(cli, name, "server");
    enum status st;

    if (!e) {
        st = err_set(err, ST_NOT_FOUND, "there is no context %s", name);
        err_hint(err, "cairn context ls lists them; cairn context set %s --server URL makes it",
                 name);
        return st;
    }
    st = api_clean_url(cli, e->value, &out->url, err);
    return st ? st
              : add_token(cli, out, opts_value(&cli->global_opts, "context")->source, name, err);
}

enum status api_target_of_data(struct cli *cli, const char *data, struct target *out,
                               struct err *err)
{
    const char *url = fs_join(cli->arena, data, "server.url");
    const char *token = fs_join(cli->arena, data, "server.token");
    const char *path = fs_join(cli->arena, data, "server.sock");
    struct str text;
    enum status st;

    *out = (struct target){ .url = NULL };
    if (!url || !token || !path) {
        return err_nomem(err);
    }
    st = fs_read_file(cli->arena, url, URL_FILE_MAX, &text, err);
    if (st) {
        return st == ST_NOT_FOUND ? err_set(err, st, "no server runs on %s", data) : st;
    }
    text = str_trim(text);
    st = api_clean_url(cli, arena_cstr(cli->arena, text), &out->url, err);
    if (!st && access(token, R_OK) == 0) {
        st = api_read_token(cli, token, &out->token, err);
    }
    if (!st && access(path, R_OK | W_OK) == 0 && strlen(path) <= SOCKET_PATH_MAX) {
        out->socket = path;
    }
    return st;
}

static enum status guess(struct cli *cli, struct target *out, struct err *err)
{
    const char *data = getenv("CAIRN_DATA");
    struct err ignored = ERR_INIT;

    data = data && data[0] ? data : "cairn-data";
    if (api_target_of_data(cli, data, out, &ignored) == OK) {
        out->guessed = true;
        cli_note(cli, "no server is configured: using the one of %s, %s", data, out->url);
        return OK;
    }
    *out = (struct target){ .url = DEFAULT_URL, .guessed = true };
    cli_note(cli, "no server is configured: using %s", out->url);
    return add_token(cli, out, OPT_FROM_DEFAULT, NULL, err);
}

enum status api_target(struct cli *cli, struct target *out, struct err *err)
{
    const struct opt_value *server = opts_value(&cli->global_opts, "server");
    const struct opt_value *context = opts_value(&cli->global_opts, "context");
    bool has_server = cli->globals.server != NULL, has_context = cli->globals.context != NULL;
    enum status st;

    *out = (struct target){ .url = NULL };
    if (has_context && (!has_server || context->source < server->source)) {
        return from_context(cli, out, err);
    }
    if (!has_server) {
        return guess(cli, out, err);
    }
    st = api_clean_url(cli, cli->globals.server, &out->url, err);
    return st ? st : add_token(cli, out, server->source, NULL, err);
}

/* ---- talking ------------------------------------------------------------------------------------------------------- */

static enum status status_of(int http, struct str code)
{
    switch (http) {
    case 401: return ST_UNAUTHENTICATED;
    case 403: return ST_DENIED;
    case 404: return ST_NOT_FOUND;
    case 409: return ST_CONFLICT;
    case 413: return ST_TOO_BIG;
    case 429: return ST_BUSY;
    case 501: return ST_NOT_IMPLEMENTED;
    case 503: return ST_UNAVAILABLE;
    case 504: return ST_DEADLINE;
    default: break;
    }
    if (str_eq_lit(code, "RESOURCE_ALREADY_EXISTS") || str_eq_lit(code, "EXISTS")) {
        return ST_EXISTS;
    }
    if (str_eq_lit(code, "INVALID_STATE")) {
        return ST_INVALID_STATE;
    }
    return http >= 400 && http < 500 ? ST_INVALID : ST_INTERNAL;
}

/* MLflow's {"error_code", "message"} and cairn's {"error": {...}}. */
static enum status error_of(struct cli *cli, const struct client_answer *answer, const char *url,
                            struct err *err)
{
    struct err ignored = ERR_INIT;
    struct jv *doc = NULL;
    const struct jv *e;
    struct str code, message, hint;
    enum status st;

    IGNORE_STATUS(
        jv_parse(answer->body, cli->arena, &doc, &ignored)); /* then there is no message */
    e = jv_get(doc, "error");
    code = e ? jv_text(e, "code") : jv_text(doc, "error_code");
    message = e ? jv_text(e, "message") : jv_text(doc, "message");
    hint = e ? jv_text(e, "hint") : jv_text(doc, "hint");
    st = status_of(answer->status, code);
    if (message.n) {
        err_set(err, st, "%.*s", STR_ARG(message));
    } else {
        err_set(err, st, "%s answers with HTTP status %d", url, answer->status);
    }
    err->retry_after_s =
        answer->status == 503 ? 1 : 0; /* tells a server that is busy from one that is not there */
    if (hint.n) {
        err_hint(err, "%.*s", STR_ARG(hint));
    } else if (st == ST_UNAUTHENTICATED) {
        err_hint(err, "cairn login URL --with-token keeps a token for this server");
    } else if (answer->request_id[0] && st == ST_INTERNAL) {
        err_hint(err, "request %s in the server's log says more", answer->request_id);
    }
    return st;
}

enum status api_send(struct cli *cli, const struct target *t, const char *method, const char *path,
                     struct str body, struct jv **out, struct err *err)
{
    struct client_answer answer;
    struct client_request req = { .method = method,
                                  .socket = t->socket,
                                  .token = t->token,
                                  .body = body,
                                  .total_ms = 600 * 1000 };
    enum status st;

    *out = NULL;
    req.url = arena_printf(cli->arena, "%s%s", t->url, path).p;
    if (!req.url) {
        return err_nomem(err);
    }
    st = client_send(cli->arena, &req, &answer, err);
    if (st) {
        if (st == ST_UNAVAILABLE && !err->hint[0]) {
            err_hint(err, t->guessed ? "start one with: cairn server, or name one with --server URL"
                                     : "is it running? name another one with --server URL");
        }
        return st;
    }
    if (cli->globals.verbose > 0) {
        cli_note(cli, "%s %s: %d, %zu bytes, request %s", method, req.url, answer.status,
                 answer.body.n, answer.request_id);
    }
    if (answer.status < 200 || answer.status > 299) {
        return error_of(cli, &answer, t->url, err);
    }
    if (!answer.body.n) {
        return OK;
    }
    st = jv_parse(answer.body, cli->arena, out, err);
    if (st) {
        err_ctx(err, "%s gives an answer that is none of cairn's", t->url);
    }
    return st == ST_BAD_REQUEST ? ST_INTERNAL : st;
}

static enum status need_target(struct cli *cli, struct err *err)
{
    if (cli->target) {
        return OK;
    }
    cli->target = ARENA_NEW(cli->arena, struct target);
    return cli->target ? api_target(cli, cli->target, err) : err_nomem(err);
}

enum status api_call(struct cli *cli, const char *method, const char *path, struct str body,
                     struct jv **out, struct err *err)
{
    enum status st = need_target(cli, err);

    return st ? st : api_send(cli, cli->target, method, path, body, out, err);
}

const char *api_query(struct cli *cli, const char *path, const char *const *pairs)
{
    struct buf b = BUF_INIT(QUERY_MAX);
    const char *out = NULL;
    char mark = '?';

    buf_put_cstr(&b, path);
    for (size_t i = 0; pairs[i]; i += 2) {
        if (pairs[i + 1]) {
            struct str value = api_escape(cli->arena, str_cstr(pairs[i + 1]));

            buf_printf(&b, "%c%s=%.*s", mark, pairs[i], STR_ARG(value));
            b.failed = b.failed || !value.p;
            mark = '&';
        }
    }
    if (!b.failed) {
        out = arena_cstr(cli->arena, buf_str(&b));
    }
    buf_release(&b);
    return out;
}

enum status api_get(struct cli *cli, const char *path, const char *const *pairs, struct jv **out,
                    struct err *err)
{
    const char *target = api_query(cli, path, pairs);

    *out = NULL;
    return target ? api_call(cli, "GET", target, (struct str){ NULL, 0 }, out, err)
                  : err_nomem(err);
}

void api_put_texts(struct json_writer *w, const char *const *pairs)
{
    for (size_t i = 0; pairs[i]; i += 2) {
        if (pairs[i + 1]) {
            json_w_key(w, str_cstr(pairs[i]));
            json_w_cstr(w, pairs[i + 1]);
        }
    }
}

void api_put_raw(const struct jv *answer)
{
    out_write(OUT_STDOUT, answer->raw);
    out_write(OUT_STDOUT, S("\n"));
}

/* The server of the command, and the path there. */
static enum status address(struct cli *cli, struct client_request *req, const char *path,
                           struct err *err)
{
    enum status st = need_target(cli, err);

    if (st) {
        return st;
    }
    req->socket = cli->target->socket;
    req->token = cli->target->token;
    req->url = arena_printf(cli->arena, "%s%s", cli->target->url, path).p;
    return req->url ? OK : err_nomem(err);
}

enum status api_download(struct cli *cli, const char *path, uint64_t from,
                         bool (*sink)(void *ctx, int status, const void *p, size_t n), void *ctx,
                         struct err *err)
{
    struct client_answer answer;
    struct client_request req = { .method = "GET", .sink = sink, .sink_ctx = ctx };
    enum status st = address(cli, &req, path, err);

    req.range = from ? arena_printf(cli->arena, "%llu-", (unsigned long long)from).p : NULL;
    st = st                   ? st
         : !from || req.range ? client_send(cli->arena, &req, &answer, err)
                              : err_nomem(err);
    if (st) {
        return st;
    }
    return answer.status == 200 || answer.status == 206
               ? OK
               : error_of(cli, &answer, cli->target->url, err);
}

enum status api_upload(struct cli *cli, const char *path, uint64_t n,
                       size_t (*source)(void *ctx, void *p, size_t max), void *ctx, struct jv **out,
                       struct err *err)
{
    struct client_answer answer;
    struct client_request req = {
        .method = "PUT", .source = source, .source_ctx = ctx, .source_n = n
    };
    enum status st = address(cli, &req, path, err);

    *out = NULL;
    st = st ? st : client_send(cli->arena, &req, &answer, err);
    if (st) {
        return st;
    }
    return answer.status == 200 ? jv_parse(answer.body, cli->arena, out, err)
                                : error_of(cli, &answer, cli->target->url, err);
}

enum status api_ask(struct cli *cli, struct client_request *req, const char *path,
                    struct client_answer *answer, struct err *err)
{
    enum status st = address(cli, req, path, err);

    return st ? st : client_send(cli->arena, req, answer, err);
}

enum status api_answer_error(struct cli *cli, const struct client_answer *answer, struct err *err)
{
    return error_of(cli, answer, cli->target->url, err);
}

struct str api_escape(struct arena *a, struct str s)
{
    static const char digits[] = "0123456789ABCDEF", plain[] = "-._~";
    char *out = arena_alloc(a, s.n * 3 + 1), *at = out;

    if (!out) {
        return (struct str){ NULL, 0 };
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool keep = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c && strchr(plain, c));

        if (keep) {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    *at = 0;
    return str_of(out, (size_t)(at - out));
}
