/* client/http.c - requests through libcurl. */
#include "client/http.h"
#include "base/buf.h"
#include "base/curl.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 120 * 1000, UPLOAD_BUFFER = 256 * 1024 };

struct body {
    struct buf buf;
    const struct client_request *req;
    CURL *h;
    uint64_t sent;
    bool sink_failed;
};

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct body *b = ctx;
    long status = 0;

    if (b->req->sink) {
        curl.easy_getinfo(b->h, CURLINFO_RESPONSE_CODE, &status);
    }
    if (status == 200 || status == 206) {
        b->sink_failed = !b->req->sink(b->req->sink_ctx, (int)status, p, size * n);
        return b->sink_failed ? 0 : size * n;
    }
    buf_put(&b->buf, p, size * n);
    return b->buf.failed ? 0 : size * n;
}

static size_t on_source(char *p, size_t size, size_t n, void *ctx)
{
    struct body *b = ctx;
    size_t got = 0;

    if (b->sent < b->req->source_n) {
        got = b->req->source(b->req->source_ctx, p,
                             (size_t)MIN_OF((uint64_t)(size * n), b->req->source_n - b->sent));
        b->sink_failed = got == 0;
        b->sent += got;
    }
    return b->sink_failed ? CURL_READFUNC_ABORT : got;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct client_answer *out = ctx;
    struct str line = str_of(p, size * n);
    const struct {
        struct str name;
        char *to;
        size_t max;
    } rows[] = { { S("x-request-id:"), out->request_id, sizeof(out->request_id) },
                 { S("location:"), out->location, sizeof(out->location) },
                 { S("upload-offset:"), out->upload_offset, sizeof(out->upload_offset) },
                 { S("retry-after:"), out->retry_after, sizeof(out->retry_after) },
                 { S("repr-digest:"), out->repr_digest, sizeof(out->repr_digest) } };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct str name = rows[i].name;

        if (line.n > name.n && str_eq_nocase(str_sub(line, 0, name.n), name)) {
            struct str value = str_trim(str_sub(line, name.n, line.n));

            value.n = MIN_OF(value.n, rows[i].max - 1);
            memcpy(rows[i].to, value.p, value.n);
            rows[i].to[value.n] = 0;
        }
    }
    return size * n;
}

static int on_progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up)
{
    const struct client_request *req = ctx;

    (void)total;
    (void)now;
    (void)up_total;
    (void)up;
    return req->stop(req->stop_ctx);
}

/* A proxy of the environment is not for this machine's own addresses. */
static bool is_here(const struct client_request *req)
{
    static const char *const hosts[] = { "://127.", "://localhost", "://[::1]" };

    for (size_t i = 0; i < ARRAY_N(hosts); i++) {
        if (str_find(str_cstr(req->url), str_cstr(hosts[i])) != SIZE_MAX) {
            return true;
        }
    }
    return req->socket != NULL;
}

/* NULL when memory is out, as is list then. Frees the list in that case. */
static struct curl_slist *add_field(struct curl_slist *list, const char *field)
{
    struct curl_slist *more = list && field ? curl.slist_append(list, field) : NULL;

    if (list && !more) {
        curl.slist_free_all(list);
    }
    return more;
}

/* The list of header fields; NULL when memory is out. */
static struct curl_slist *make_fields(const struct client_request *req, struct arena *a)
{
    struct curl_slist *list =
        curl.slist_append(NULL, req->sink ? "Accept: */*" : "Accept: application/json");

    if (req->body.p) {
        list = add_field(list, "Content-Type: application/json");
    } else if (req->source) {
        list = add_field(list, arena_printf(a, "Content-Type: %s",
                                            req->type ? req->type : "application/octet-stream")
                                   .p);
    }
    if (req->token) {
        list = add_field(list, arena_printf(a, "Authorization: Bearer %s", req->token).p);
    }
    for (size_t i = 0; req->fields && req->fields[i]; i++) {
        list = add_field(list, req->fields[i]);
    }
    return list;
}

static void set_up(CURL *h, const struct client_request *req, struct body *body,
                   struct client_answer *out)
{
    long total = (long)(req->total_ms ? req->total_ms : TOTAL_MS);

    curl.easy_setopt(h, CURLOPT_URL, req->url);
    curl.easy_setopt(h, CURLOPT_CUSTOMREQUEST, req->method);
    curl.easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    if (!req->sink) {
        curl.easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "");
    }
    curl.easy_setopt(h, CURLOPT_USERAGENT, "cairn/" CAIRN_VERSION);
    curl.easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(req->connect_ms ? req->connect_ms : CONNECT_MS));
    if (req->source) {
        curl.easy_setopt(h, CURLOPT_UPLOAD, 1L);
        curl.easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->source_n);
        curl.easy_setopt(h, CURLOPT_READFUNCTION, on_source);
        curl.easy_setopt(h, CURLOPT_READDATA, body);
        curl.easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    }
    if (req->sink || req->source) { /* however long it takes, as long as bytes move */
        curl.easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl.easy_setopt(h, CURLOPT_LOW_SPEED_TIME, total / 1000);
    } else {
        curl.easy_setopt(h, CURLOPT_TIMEOUT_MS, total);
    }
    if (req->stop) {
        curl.easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
        curl.easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl.easy_setopt(h, CURLOPT_XFERINFODATA, req);
    }
    if (strcmp(req->method, "HEAD") == 0) {
        curl.easy_setopt(h, CURLOPT_NOBODY, 1L);
    }
    if (req->range) {
        curl.easy_setopt(h, CURLOPT_RANGE, req->range);
    }
    curl.easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(h, CURLOPT_WRITEDATA, body);
    curl.easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl.easy_setopt(h, CURLOPT_HEADERDATA, out);
    if (is_here(req)) {
        curl.easy_setopt(h, CURLOPT_NOPROXY, "*");
    }
    if (req->ca_file) {
        curl.easy_setopt(h, CURLOPT_CAINFO, req->ca_file);
    }
    if (req->socket) {
        /* Only its owner can make or open that file: it says who answers, so no certificate has to. */
        curl.easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, req->socket);
        curl.easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl.easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (req->body.p) {
        curl.easy_setopt(h, CURLOPT_POSTFIELDS, req->body.p);
        curl.easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
    }
}

static enum status explain(CURLcode code, const struct client_request *req, const struct body *body,
                           struct err *err)
{
    enum status st;

    if (body->sink_failed) {
        return err_set(err, ST_IO, "the bytes of %s could not be kept", req->url);
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        return err_set(err, ST_CANCELLED, "the request was given up");
    }
    if (body->buf.failed) {
        return buf_status(&body->buf, "answer", err);
    }
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
        st = err_set(err, ST_INVALID, "%s is no address of a server", req->url);
        err_hint(err, "write it as http://HOST:PORT");
        return st;
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        return err_nomem(err);
    }
    return err_set(err, ST_UNAVAILABLE, "no answer from %s: %s", req->url,
                   curl.easy_strerror(code));
}

enum status client_send(struct arena *a, const struct client_request *req,
                        struct client_answer *out, struct err *err)
{
    struct body body = { .buf = BUF_INIT(CLIENT_ANSWER_MAX), .req = req };
    struct curl_slist *fields = NULL;
    CURL *h = NULL;
    CURLcode code;
    long status = 0;
    enum status st = curl_load(err);

    *out = (struct client_answer){ .status = 0 };
    if (st) {
        return st;
    }
    h = curl.easy_init();
    fields = h ? make_fields(req, a) : NULL;
    if (!fields) {
        st = err_nomem(err);
        goto out;
    }
    body.h = h;
    set_up(h, req, &body, out);
    curl.easy_setopt(h, CURLOPT_HTTPHEADER, fields);
    code = curl.easy_perform(h);
    if (code != CURLE_OK) {
        st = explain(code, req, &body, err);
        goto out;
    }
    curl.easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    out->status = (int)status;
    out->body = arena_str(a, buf_str(&body.buf));
    st = out->body.p ? OK : err_nomem(err);
out:
    if (h) curl.easy_cleanup(h);
    if (fields) curl.slist_free_all(fields);
    buf_release(&body.buf);
    return st;
}
