/* api/bytes.c - artifacts on their way out, see bytes.h. */
#include "api/bytes.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sys.h"
#include "codec/base64.h"

/* ---- what a file is ---------------------------------------------------------------------------------------------------- */

#define TEXT_TYPE "text/plain; charset=utf-8"

const char *bytes_type(struct str name)
{
    /* Text that programs read is shown as text, whatever a registry of types calls it. */
    static const char *const texts[] = { "txt", "log",  "err", "md",   "rst", "yaml",      "yml",
                                         "ini", "cfg",  "cf",  "conf", "cnf", "config",    "toml",
                                         "py",  "py3",  "js",  "ts",   "c",   "h",         "sh",
                                         "sql", "prop", "tsv", "r",    "jl",  "properties" };
    static const struct {
        const char *ending, *type;
    } types[] = {
        { "csv", "text/csv; charset=utf-8" },
        { "json", "application/json" },
        { "jsonl", "application/jsonl; charset=utf-8" },
        { "xml", "text/xml; charset=utf-8" },
        { "html", "text/html; charset=utf-8" },
        { "htm", "text/html; charset=utf-8" },
        { "svg", "image/svg+xml" },
        { "png", "image/png" },
        { "jpg", "image/jpeg" },
        { "jpeg", "image/jpeg" },
        { "gif", "image/gif" },
        { "webp", "image/webp" },
        { "avif", "image/avif" },
        { "bmp", "image/bmp" },
        { "tif", "image/tiff" },
        { "tiff", "image/tiff" },
        { "pdf", "application/pdf" },
        { "zip", "application/zip" },
        { "tar", "application/x-tar" },
        { "gz", "application/gzip" },
        { "zst", "application/zstd" },
        { "parquet", "application/vnd.apache.parquet" },
        { "ipynb", "application/x-ipynb+json" },
        { "mp4", "video/mp4" },
        { "webm", "video/webm" },
        { "wav", "audio/wav" },
        { "mp3", "audio/mpeg" },
        { "flac", "audio/flac" },
        { "ogg", "audio/ogg" },
    };
    size_t dot = name.n;
    struct str ending;

    if (str_eq_lit(name, "MLmodel") || str_eq_lit(name, "MLproject")) {
        return TEXT_TYPE;
    }
    while (dot && name.p[dot - 1] != '.' && name.p[dot - 1] != '/') {
        dot--;
    }
    ending = dot && name.p[dot - 1] == '.' ? str_sub(name, dot, name.n) : S("");
    for (size_t i = 0; i < ARRAY_N(texts); i++) {
        if (str_eq_nocase(ending, str_cstr(texts[i]))) {
            return TEXT_TYPE;
        }
    }
    for (size_t i = 0; i < ARRAY_N(types); i++) {
        if (str_eq_nocase(ending, str_cstr(types[i].ending))) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* RFC 6266: an ASCII form, and the exact one percent-encoded (RFC 8187). */
void bytes_disposition(struct call *c, struct str name)
{
    struct buf b = BUF_INIT(8192);

    buf_put_lit(&b, "attachment; filename=\"");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char u = (unsigned char)name.p[i];

        buf_put_u8(&b, u < 0x20 || u >= 0x7f || u == '"' || u == '\\' ? '_' : u);
    }
    buf_put_lit(&b, "\"; filename*=UTF-8''");
    for (size_t i = 0; i < name.n; i++) {
        unsigned char u = (unsigned char)name.p[i];
        bool plain = (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') ||
                     u == '.' || u == '-' || u == '_' || u == '~';

        if (plain) {
            buf_put_u8(&b, u);
        } else {
            buf_printf(&b, "%%%02X", u);
        }
    }
    if (!b.failed) {
        http_add_header(c->req, S("content-disposition"), buf_str(&b));
    }
    buf_release(&b);
}

void bytes_no_script(struct call *c)
{
    http_add_header(c->req, S("content-security-policy"), S("sandbox; default-src 'none'"));
}

/* RFC 9530, and RFC 3230 for those who know only that. The bytes go out as they are, so that the digest is theirs. */
static void add_digest(struct call *c, const struct digest *sha256)
{
    struct buf b = BUF_INIT(256);

    base64_put(&b, str_of(sha256->b, sizeof(sha256->b)), BASE64_STD);
    if (!b.failed) {
        http_add_headerf(c->req, S("repr-digest"), "sha-256=:%.*s:", STR_ARG(buf_str(&b)));
        http_add_headerf(c->req, S("digest"), "sha-256=%.*s", STR_ARG(buf_str(&b)));
    }
    buf_release(&b);
    http_no_compress(c->req);
}

/* For If-Range; a weak one is none that parts of two answers may be put together by. */
static void set_etag(struct call *c, const struct artifact_bytes *b)
{
    const char *copy = b->etag[0] == '"' ? arena_cstr(c->arena, str_cstr(b->etag)) : NULL;

    http_range_etag(c->req, copy);
}

/* HTML and SVG never run in the server's origin: they are attachments, sandboxed. */
static void add_fields(struct call *c, struct str name, const struct artifact_bytes *b)
{
    http_type(c->req, bytes_type(name));
    bytes_disposition(c, name);
    bytes_no_script(c);
    http_add_headerf(c->req, S("etag"), "%s", b->etag);
    if (b->has_sha256) {
        add_digest(c, &b->sha256);
    } else {
        http_no_compress(c->req);
    }
}

/* ---- bytes that lie elsewhere come piece by piece, on threads that may wait ---------------------------------------------- */

enum { REMOTE_PIECE = 256 * 1024, FILE_PIECE = 8 << 20, PIPE_PIECE = 512 * 1024 };

struct remote_get {
    struct call *call;
    struct exec_job work;
    struct str name;
    struct artifact_bytes bytes;
    struct blob_reader *reader;
    uint64_t from, n; /* what the client wants of it */
    char *piece;
    size_t have;  /* bytes in the piece that the client has not been given */
    int pipe[2];  /* of bytes that go through unseen; -1: there is none */
    bool no_pipe; /* the system has refused one */
    struct err err;
};

/* How many of the next bytes lie in the pipe, from the service's connection to the client's; 0: they go through the piece. Where the system
 * has refused a pipe the rest goes so, too. */
static enum status through_pipe(struct remote_get *g, size_t *n)
{
    struct err ignored = ERR_INIT;

    *n = 0;
    if (g->pipe[0] < 0 &&
        (g->no_pipe || !http_can_give_pipe(g->call->req) || !artifact_read_has_pipe(g->reader))) {
        return OK;
    }
    if (g->pipe[0] < 0) {
        g->no_pipe = fs_pipe(g->pipe, PIPE_PIECE, &ignored) != OK;
    }
    return g->no_pipe ? OK : artifact_read_pipe(g->reader, g->pipe[1], PIPE_PIECE, n, &g->err);
}

static void remote_more(struct exec_job *job, unsigned worker)
{
    struct remote_get *g = CONTAINER_OF(job, struct remote_get, work);
    struct http_req *req = g->call->req;
    uint64_t at = 0, n = 0;
    size_t got = 0;
    int fd = -1;
    enum status st = OK;

    (void)worker;
    /* What lies in packs as it is leaves like a file of its own. */
    if (http_can_give_file(req)) {
        st = artifact_read_file(g->reader, FILE_PIECE, &fd, &at, &n, &g->err);
    }
    if (!st && n) {
        http_give_file(req, fd, at, n);
        return;
    }
    st = st ? st : through_pipe(g, &got);
    if (!st && got) {
        http_give_pipe(req, g->pipe[0], got);
        return;
    }
    st = st ? st : artifact_read(g->reader, g->piece, REMOTE_PIECE, &got, &g->err);
    if (st) {
        LOG_WARN("artifacts", "a download broke off: %s", g->err.message);
        http_give(req, S(""), HTTP_GIVE_ABORT);
        return;
    }
    http_give(req, str_of(g->piece, got), HTTP_GIVE_MORE);
}

static void remote_pull(struct http_req *req, void *ctx, uint64_t at)
{
    struct remote_get *g = ctx;

    (void)at; /* bytes are asked for in order */
    if (g->have) {
        size_t n = g->have;

        g->have = 0;
        http_give(req, str_of(g->piece, n), HTTP_GIVE_MORE);
        return;
    }
    g->work.run = remote_more;
    if (artifact_work_submit(g->call->core, &g->work)) {
        http_give(req, S(""), HTTP_GIVE_ABORT);
    }
}

static void remote_done(struct http_req *req, void *ctx)
{
    struct remote_get *g = ctx;

    (void)req;
    artifact_read_end(g->reader);
    g->reader = NULL;
    for (size_t i = 0; i < ARRAY_N(g->pipe); i++) {
        if (g->pipe[i] >= 0) {
            (void)sys.close(g->pipe[i]);
        }
    }
}

/* The first bytes are fetched before the answer begins, so that what fails is still an error with a status. */
static void remote_first(struct exec_job *job, unsigned worker)
{
    static const struct http_producer producer = { .pull = remote_pull, .done = remote_done };
    struct remote_get *g = CONTAINER_OF(job, struct remote_get, work);
    struct http_req *req = g->call->req;
    uint64_t size = (uint64_t)g->bytes.size;
    enum status st = OK;
    bool some;

    (void)worker;
    set_etag(g->call, &g->bytes);
    some = http_wanted(req, size, &g->from, &g->n);
    if (req->method == HTTP_HEAD) {
        st = artifact_read_check(g->call->core, &g->bytes, &g->err);
    } else if (some) {
        st = artifact_read_begin(g->call->core, &g->bytes, g->from, g->n, &g->reader, &g->err);
        st = st ? st : artifact_read(g->reader, g->piece, REMOTE_PIECE, &g->have, &g->err);
    }
    if (st) {
        artifact_read_end(g->reader);
        call_error(g->call, st, &g->err);
        return;
    }
    add_fields(g->call, g->name, &g->bytes);
    http_allow_range(req);
    http_send_stream(req, g->bytes.size, &producer, g);
}

static enum status send_remote(struct call *c, struct str name, const struct artifact_bytes *b,
                               struct err *err)
{
    struct remote_get *g = ARENA_NEW(c->arena, struct remote_get);

    if (g) {
        g->piece = arena_alloc(c->arena, REMOTE_PIECE);
    }
    if (!g || !g->piece) {
        return err_nomem(err);
    }
    g->call = c;
    g->name = name;
    g->bytes = *b;
    g->pipe[0] = g->pipe[1] = -1;
    g->work.run = remote_first;
    return artifact_work_submit(c->core, &g->work)
               ? err_set(err, ST_UNAVAILABLE, "too many transfers are waiting; try again")
               : ST_END;
}

/* The client has these bytes already: If-None-Match names them (RFC 9110 13.1.2, weak comparison). */
static bool is_known(const struct call *c, struct str etag)
{
    struct str list, tag;

    etag = str_starts(etag, S("W/")) ? str_sub(etag, 2, etag.n) : etag;
    for (size_t i = 0; (list = http_header_nth(c->req, S("if-none-match"), i)).p; i++) {
        while (str_split(&list, ',', &tag)) {
            tag = str_trim(tag);
            tag = str_starts(tag, S("W/")) ? str_sub(tag, 2, tag.n) : tag;
            if (str_eq_lit(tag, "*") || str_eq(tag, etag)) {
                return true;
            }
        }
    }
    return false;
}

enum status bytes_send(struct call *c, struct view *v, const struct artifact_place *place,
                       struct err *err)
{
    struct artifact_bytes b;
    struct str name = place->path;
    enum status st = artifact_open(v, place, &b, err);

    if (st) {
        return st;
    }
    if (is_known(c, str_cstr(b.etag))) {
        if (b.fd >= 0) {
            (void)sys.close(b.fd);
        }
        http_status(c->req, 304);
        http_add_headerf(c->req, S("etag"), "%s", b.etag);
        http_send_empty(c->req);
        return ST_END;
    }
    for (size_t at = str_find_byte(name, '/', 0); at != SIZE_MAX;
         at = str_find_byte(name, '/', 0)) {
        name = str_sub(name, at + 1, name.n);
    }
    if (b.is_remote) {
        return send_remote(c, name, &b, err);
    }
    add_fields(c, name, &b);
    set_etag(c, &b);
    if (b.fd >= 0) {
        http_send_file(c->req, b.fd, 0, (uint64_t)b.size);
    } else {
        http_allow_range(c->req);
        http_send(c->req, b.inline_bytes);
    }
    return ST_END;
}
