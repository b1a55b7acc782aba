/* net/http_answer.c - what handlers read of a request and how they answer it. */
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/sys.h"
#include "net/http_int.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    COMPRESS_MIN = 16 * 1024,
    COMPRESS_LOOP_MAX = 128 * 1024,
    FIELD_TEXT_MAX = 8192,
    CHARGE_MIN = 32 * 1024
};

static const char *const method_names[HTTP_METHOD_N] = { "",    "GET",    "HEAD",  "POST",
                                                         "PUT", "DELETE", "PATCH", "OPTIONS" };

const char *http_method_name(enum http_method m)
{
    return m < HTTP_METHOD_N ? method_names[m] : "";
}

enum http_method http_method_parse(struct str s)
{
    for (unsigned m = 1; m < HTTP_METHOD_N; m++) {
        if (str_eq(s, str_cstr(method_names[m]))) {
            return (enum http_method)m;
        }
    }
    return HTTP_METHOD_NONE;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        { 100, "Continue" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 428, "Precondition Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 499, "Client Closed Request" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };

    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        if (rows[i].status == status) {
            return rows[i].text;
        }
    }
    return "";
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct str http_header_nth(const struct http_req *req, struct str name, size_t at)
{
    for (size_t i = 0; i < req->field_n; i++) {
        if (str_eq(req->fields[i].name, name) && at-- == 0) {
            return req->fields[i].value;
        }
    }
    return (struct str){ NULL, 0 };
}

struct str http_header(const struct http_req *req, struct str name)
{
    return http_header_nth(req, name, 0);
}

bool http_header_has(const struct http_req *req, struct str name, struct str token)
{
    for (size_t i = 0; i < req->field_n; i++) {
        struct str list = req->fields[i].value, part;

        if (!str_eq(req->fields[i].name, name)) {
            continue;
        }
        while (str_split(&list, ',', &part)) {
            if (str_eq_nocase(str_trim(str_sub(part, 0, str_find_byte(part, ';', 0))), token)) {
                return true;
            }
        }
    }
    return false;
}

struct str http_capture(const struct http_req *req, struct str name)
{
    for (size_t i = 0; i < req->capture_n; i++) {
        if (str_eq(req->captures[i].name, name)) {
            return req->captures[i].value;
        }
    }
    return (struct str){ NULL, 0 };
}

struct str http_content_type(const struct http_req *req)
{
    struct str v = http_header(req, S("content-type"));
    char *low;

    if (!str_is_set(v)) {
        return v;
    }
    v = str_trim(str_sub(v, 0, str_find_byte(v, ';', 0)));
    low = arena_alloc(req->arena, v.n);
    if (!low) {
        return (struct str){ NULL, 0 };
    }
    for (size_t i = 0; i < v.n; i++) {
        low[i] = (char)tolower((unsigned char)v.p[i]);
    }
    return str_of(low, v.n);
}

/* ---- status and fields -------------------------------------------------------------------------------------------- */

void http_status(struct http_req *req, int status)
{
    req->priv->answer.status = status;
}

void http_type(struct http_req *req, const char *media_type)
{
    req->priv->answer.type = str_cstr(media_type);
}

void http_no_compress(struct http_req *req)
{
    req->priv->answer.no_compress = true;
}

void http_allow_range(struct http_req *req)
{
    req->priv->answer.allow_range = true;
}

void http_answer_field(struct http_priv *p, struct str name, struct str value)
{
    struct http_answer *an = &p->answer;

    if (!arena_grow(p->req.arena, (void **)&an->fields, an->field_n, &an->field_cap,
                    sizeof(*an->fields))) {
        an->failed = true;
        return;
    }
    an->fields[an->field_n++] = (struct http_field){ name, value };
}

static bool value_ok(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return v.n <= FIELD_TEXT_MAX;
}

static bool name_ok(struct str n)
{
    for (size_t i = 0; i < n.n; i++) {
        if (!isalnum((unsigned char)n.p[i]) && n.p[i] != '-' && n.p[i] != '_') {
            return false;
        }
    }
    return n.n > 0;
}

/* Copies; false: dropped. */
static bool take_field(struct http_req *req, struct str *name, struct str *value)
{
    if (!name_ok(*name) || !value_ok(*value)) {
        log_line(LOG_LEVEL_WARN, "net", req->id,
                 "a field of the answer was dropped: not printable");
        return false;
    }
    *name = arena_str(req->arena, *name);
    *value = arena_str(req->arena, *value);
    if (!str_is_set(*name) || !str_is_set(*value)) {
        req->priv->answer.failed = true;
        return false;
    }
    return true;
}

void http_add_header(struct http_req *req, struct str name, struct str value)
{
    if (take_field(req, &name, &value)) {
        http_answer_field(req->priv, name, value);
    }
}

void http_add_trailer(struct http_req *req, struct str name, struct str value)
{
    struct http_answer *an = &req->priv->answer;

    if (req->version < 20 || !take_field(req, &name, &value)) {
        return;
    }
    if (!arena_grow(req->arena, (void **)&an->trailers, an->trailer_n, &an->trailer_cap,
                    sizeof(*an->trailers))) {
        an->failed = true;
        return;
    }
    an->trailers[an->trailer_n++] = (struct http_field){ name, value };
}

void http_add_headerf(struct http_req *req, struct str name, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0) {
        http_add_header(req, name, str_of(text, MIN_OF((size_t)n, sizeof(text) - 1)));
    }
}

static void add_cors(struct http_priv *p)
{
    struct str origin = http_header(&p->req, S("origin"));
    const struct http_guard *g = &p->worker->server->opt.guard;
    bool credentials;

    if (!str_is_set(origin) || g->off || !http_guard_is_api(g, p->req.path)) {
        return;
    }
    http_answer_field(p, S("Vary"), S("Origin"));
    if (http_guard_origin_allowed(g, origin, p->req.host, &credentials)) {
        http_answer_field(p, S("Access-Control-Allow-Origin"), origin);
        if (str_starts(http_header(&p->req, S("content-type")), S("application/grpc-web"))) {
            http_answer_field(p, S("Access-Control-Expose-Headers"),
                              S("grpc-status, grpc-message, grpc-status-details-bin"));
        }
        if (credentials) {
            http_answer_field(p, S("Access-Control-Allow-Credentials"), S("true"));
        }
    }
}

bool http_core_fields(struct http_priv *p)
{
    const char *frame = p->worker->server->opt.guard.frame_options;
    struct str date = arena_str(p->req.arena, loop_http_date(p->req.loop));

    http_answer_field(p, S("Date"), date);
    if (p->answer.type.n > 0) {
        http_answer_field(p, S("Content-Type"), p->answer.type);
    }
    http_answer_field(p, S("X-Request-Id"), str_of(p->req.id, HTTP_ID_N));
    http_answer_field(p, S("X-Content-Type-Options"), S("nosniff"));
    if (!frame) {
        http_answer_field(p, S("X-Frame-Options"), S("SAMEORIGIN"));
    } else if (frame[0] != '\0' && strcmp(frame, "NONE") != 0) {
        http_answer_field(p, S("X-Frame-Options"), str_cstr(frame));
    }
    add_cors(p);
    return !p->answer.failed && str_is_set(date);
}

/* ---- ranges ------------------------------------------------------------------------------------------------------- */

enum range { RANGE_WHOLE, RANGE_PART, RANGE_NONE };

/* One range of RFC 9110 14.1.2; what is malformed or more than one is ignored, as the RFC allows. */
static enum range parse_range(struct str v, uint64_t total, uint64_t *from, uint64_t *n)
{
    uint64_t a, b = UINT64_MAX;
    struct str first, last;
    size_t dash;

    if (!str_eq_nocase(str_sub(v, 0, 6), S("bytes="))) {
        return RANGE_WHOLE;
    }
    v = str_trim(str_sub(v, 6, SIZE_MAX));
    dash = str_find_byte(v, '-', 0);
    if (dash == SIZE_MAX || str_find_byte(v, ',', 0) != SIZE_MAX) {
        return RANGE_WHOLE;
    }
    first = str_sub(v, 0, dash);
    last = str_sub(v, dash + 1, SIZE_MAX);
    if (first.n == 0) {
        if (!num_parse_u64(last, &b)) {
            return RANGE_WHOLE;
        }
        if (b == 0 || total == 0) {
            return RANGE_NONE;
        }
        *n = MIN_OF(b, total);
        *from = total - *n;
        return RANGE_PART;
    }
    if (!num_parse_u64(first, &a) || (last.n > 0 && (!num_parse_u64(last, &b) || b < a))) {
        return RANGE_WHOLE;
    }
    if (a >= total) {
        return RANGE_NONE;
    }
    *from = a;
    *n = MIN_OF(b, total - 1) - a + 1;
    return RANGE_PART;
}

/* If-Range: the part is wanted only of what the client knows (strong comparison). A date never is. */
static bool still_the_same(const struct http_req *req)
{
    struct str known = http_header(req, S("if-range"));
    const char *etag = req->priv->answer.etag;

    return !str_is_set(known) || (etag && str_eq(str_trim(known), str_cstr(etag)));
}

/* What the Range field means for this answer. */
static enum range wanted(const struct http_req *req, uint64_t total, uint64_t *from, uint64_t *n)
{
    struct str range = http_header(req, S("range"));

    *from = 0;
    *n = total;
    if (req->priv->answer.status != 200 || req->method != HTTP_GET || !str_is_set(range) ||
        !still_the_same(req)) {
        return RANGE_WHOLE;
    }
    return parse_range(range, total, from, n);
}

void http_range_etag(struct http_req *req, const char *etag)
{
    req->priv->answer.etag = etag;
}

bool http_wanted(const struct http_req *req, uint64_t total, uint64_t *from, uint64_t *n)
{
    return wanted(req, total, from, n) != RANGE_NONE;
}

/* Narrows [*from, *from + *n) of a representation that is *n bytes long; false: 416, send nothing. */
static bool apply_range(struct http_req *req, uint64_t *from, uint64_t *n)
{
    struct http_priv *p = req->priv;
    uint64_t total = *n, at, part;

    if (p->answer.status != 200 || req->method != HTTP_GET) {
        return true;
    }
    http_answer_field(p, S("Accept-Ranges"), S("bytes"));
    switch (wanted(req, total, &at, &part)) {
    case RANGE_WHOLE: return true;
    case RANGE_PART:
        p->answer.status = 206;
        http_add_headerf(req, S("Content-Range"), "bytes %llu-%llu/%llu", (unsigned long long)at,
                         (unsigned long long)(at + part - 1), (unsigned long long)total);
        *from += at;
        *n = part;
        return true;
    case RANGE_NONE: break;
    }
    p->answer.status = 416;
    http_add_headerf(req, S("Content-Range"), "bytes */%llu", (unsigned long long)total);
    *n = 0;
    return false;
}

/* ---- bodies ------------------------------------------------------------------------------------------------------- */

/* The answer's text is compressed in place of itself; false: send it as it is. */
static bool compress(struct http_priv *p, struct str body)
{
    struct http_answer *an = &p->answer;
    enum coding c;
    struct buf out;
    size_t n;

    if (an->no_compress || body.n <= COMPRESS_MIN || !coding_worthwhile(an->type) ||
        (loop_is_any() && body.n > COMPRESS_LOOP_MAX)) {
        return false;
    }
    for (size_t i = 0; i < an->field_n; i++) {
        if (str_eq_nocase(an->fields[i].name, S("content-encoding"))) {
            return false;
        }
    }
    http_answer_field(p, S("Vary"), S("Accept-Encoding"));
    c = coding_choose(http_header(&p->req, S("accept-encoding")));
    if (c == CODING_IDENTITY || (an->allow_range && str_is_set(http_header(&p->req, S("range"))))) {
        return false;
    }
    buf_init(&out, body.n + body.n / 8 + 1024);
    if (coding_compress(c, body, &out, NULL) || out.n >= body.n) {
        buf_release(&out);
        return false;
    }
    mem_free(an->owned);
    an->owned = buf_take(&out, &n);
    an->body = str_of(an->owned, n);
    http_answer_field(p, S("Content-Encoding"), str_cstr(coding_name(c)));
    return true;
}

/* A big answer stays in memory, with what it was made from, until its client has read it: it counts as a body of the
 * server. False: there is no room, and the answer says so. */
static bool charge_answer(struct http_priv *p)
{
    struct http_server *s = p->worker->server;
    size_t n = arena_bytes(p->req.arena) + (p->answer.owned ? p->answer.body.n : 0);
    int64_t sum;

    if (n < CHARGE_MIN) {
        return true;
    }
    sum = atomic_fetch_add_explicit(&s->bodies, (int64_t)n, memory_order_relaxed) + (int64_t)n;
    p->charged += n;
    if (sum <= (int64_t)s->opt.limits.bodies_max) {
        return true;
    }
    http_core_free_answer(p);
    http_core_refuse(p, 503, ST_UNAVAILABLE, "too many answers wait in memory for their clients");
    return false;
}

static void send_bytes(struct http_priv *p, struct str body)
{
    struct http_answer *an = &p->answer;
    uint64_t from = 0, n = body.n;

    an->kind = ANSWER_BYTES;
    an->body = body;
    if (!compress(p, body) && an->allow_range) {
        (void)apply_range(&p->req, &from, &n);
        an->body = str_sub(body, (size_t)from, (size_t)n);
    }
    an->length = (int64_t)an->body.n;
    if (p->refuse_status || charge_answer(p)) {
        http_core_submit(p);
    }
}

void http_send(struct http_req *req, struct str body)
{
    if (body.n > 0 && !body.p) {
        req->priv->answer.failed = true;
    }
    send_bytes(req->priv, body);
}

void http_send_buf(struct http_req *req, struct buf *b)
{
    struct http_priv *p = req->priv;
    size_t n = 0;

    p->answer.failed = p->answer.failed || b->failed != OK;
    p->answer.owned = buf_take(b, &n);
    send_bytes(p, str_of(p->answer.owned, n));
}

void http_send_empty(struct http_req *req)
{
    send_bytes(req->priv, S(""));
}

void http_send_file(struct http_req *req, int fd, uint64_t offset, uint64_t length)
{
    struct http_priv *p = req->priv;

    p->answer.kind = ANSWER_FILE;
    p->answer.fd = fd;
    (void)apply_range(req, &offset, &length);
    p->answer.offset = offset;
    p->answer.length = (int64_t)length;
    http_core_submit(p);
}

bool http_can_converse(const struct http_req *req)
{
    const struct http_priv *p = req->priv;

    return p->wire && p->wire->duplex;
}

void http_deadline(struct http_req *req, int64_t ms)
{
    struct http_priv *p = req->priv;
    int64_t now = loop_now_ms(req->loop);

    p->deadline_ms = ms < INT64_MAX - now ? now + MAX_OF(ms, (int64_t)1) : 0;
    if (p->wire && p->wire->later) {
        p->wire->later(p->carrier);
    }
}

bool http_is_late(const struct http_req *req)
{
    return req->priv->late;
}

void http_send_stream(struct http_req *req, int64_t length, const struct http_producer *producer,
                      void *ctx)
{
    struct http_priv *p = req->priv;
    uint64_t from = 0, n = length >= 0 ? (uint64_t)length : 0;

    p->answer.kind = ANSWER_STREAM;
    p->answer.producer = *producer;
    p->answer.ctx = ctx;
    if (length >= 0 && p->answer.allow_range) {
        (void)apply_range(req, &from, &n);
    }
    p->answer.offset = from;
    p->answer.length = length >= 0 ? (int64_t)n : HTTP_LENGTH_UNKNOWN;
    http_core_submit(p);
}
