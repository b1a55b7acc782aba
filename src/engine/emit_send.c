/* engine/emit_send.c - see emit_send.h. */
#include "engine/emit_send.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/num.h"
#include "client/http.h"
#include "codec/json.h"
#include "net/coding.h"

enum {
    TIMEOUT_MS = 5000,
    AFTER_MAX_MS = 600 * 1000,
    LINE_MAX_BYTES = 160 << 20,
    GZIP_MIN = 1024,
    FIELDS_MAX = 64
};

#define ENDPOINT "/api/v1/lineage"

/* Behind the host. */
static struct str path_of(struct str url)
{
    size_t host = str_find(url, S("://")), slash;

    if (host == SIZE_MAX) return S("");
    slash = str_find_byte(url, '/', host + 3);
    return slash == SIZE_MAX ? S("") : str_sub(url, slash, url.n);
}

enum status emit_address_check(const struct emit_address *to, struct err *err)
{
    struct str url = str_cstr(to->url);
    size_t n = 0;
    enum status st = OK;

    if (!str_starts(url, S("http://")) && !str_starts(url, S("https://"))) {
        st = err_set(err, ST_INVALID, "%s is no address that events can be sent to", to->url);
        err_hint(err, "write it as http://HOST:PORT or https://HOST:PORT/PATH");
    }
    if (!st && str_find_byte(str_sub(url, 0, url.n - path_of(url).n), '@', 0) != SIZE_MAX) {
        st = err_set(err, ST_INVALID, "an address that events are sent to holds no password");
        err_hint(
            err,
            "send a bearer token (--openlineage-token-file), or a header field (--openlineage-headers)");
    }
    for (; !st && to->headers && to->headers[n]; n++) {
        struct str h = str_cstr(to->headers[n]);
        size_t colon = str_find_byte(h, ':', 0);

        if (colon == 0 || colon == SIZE_MAX || str_find_byte(h, '\r', 0) != SIZE_MAX ||
            str_find_byte(h, '\n', 0) != SIZE_MAX) {
            st = err_set(err, ST_INVALID, "a header field of events has no name");
            err_hint(err, "write it as \"Name: value\"");
        }
    }
    if (!st && n > FIELDS_MAX - 2) {
        st = err_set(err, ST_INVALID, "events have at most %d header fields", FIELDS_MAX - 2);
    }
    return st;
}

static enum emit_outcome judge(int status)
{
    if (status >= 200 && status < 300) return EMIT_TAKEN;
    switch (status) {
    case 401:
    case 403:
    case 407:
    case 408:
    case 425:
    case 429: return EMIT_LATER;
    case 500: return EMIT_BROKEN;
    default: return status > 500 ? EMIT_LATER : EMIT_REFUSED;
    }
}

static enum status make_fields(const struct emit_address *to, struct arena *a, bool gzip,
                               const char *const **out, struct err *err)
{
    const char **fields = ARENA_ARRAY(a, const char *, FIELDS_MAX);
    size_t n = 0;

    if (!fields) return err_nomem(err);
    for (; to->headers && to->headers[n] && n < FIELDS_MAX - 2; n++) {
        fields[n] = to->headers[n];
    }
    if (gzip) fields[n++] = "Content-Encoding: gzip";
    *out = fields;
    return OK;
}

static enum status read_token(const struct emit_address *to, struct arena *a, const char **out,
                              struct err *err)
{
    struct str text;
    enum status st;

    *out = NULL;
    if (!to->token_file) return OK;
    st = fs_read_file(a, to->token_file, EMIT_TOKEN_MAX, &text, err);
    if (st) return st;
    *out = arena_cstr(a, str_trim(text));
    return *out ? OK : err_nomem(err);
}

/* Seconds; a date is not understood, which the own patience covers. */
static int64_t after_ms(const char *text)
{
    uint64_t s;

    return num_parse_u64(str_trim(str_cstr(text)), &s)
               ? (int64_t)MIN_OF(s, (uint64_t)AFTER_MAX_MS / 1000) * 1000
               : 0;
}

enum status emit_post(const struct emit_address *to, struct arena *a, struct str event,
                      struct emit_answer *out, struct err *err)
{
    struct str path = path_of(str_cstr(to->url)), url = str_cstr(to->url);
    struct buf packed = BUF_INIT(LINE_MAX_BYTES);
    struct client_request req = { .method = "POST",
                                  .body = event,
                                  .ca_file = to->ca_file,
                                  .total_ms = to->timeout_ms ? to->timeout_ms : TIMEOUT_MS,
                                  .stop = to->stop,
                                  .stop_ctx = to->stop_ctx };
    struct client_answer answer = { 0 };
    struct err why = ERR_INIT;
    enum status st = OK;

    *out = (struct emit_answer){ .outcome = EMIT_LATER };
    if (path.n <= 1) {
        url = arena_printf(a, "%.*s" ENDPOINT, STR_ARG(str_sub(url, 0, url.n - path.n)));
    }
    req.connect_ms = req.total_ms;
    req.url = url.p ? arena_cstr(a, url) : NULL;
    if (!req.url) st = err_nomem(err);
    if (!st) st = read_token(to, a, &req.token, err);
    if (!st) st = make_fields(to, a, to->gzip && event.n >= GZIP_MIN, &req.fields, err);
    if (!st && to->gzip && event.n >= GZIP_MIN) {
        st = coding_compress(CODING_GZIP, event, &packed, err);
        req.body = buf_str(&packed);
    }
    if (st) goto out;
    if (client_send(a, &req, &answer, &why)) {
        out->why = arena_printf(a, "%s", why.message);
    } else {
        out->outcome = judge(answer.status);
        out->after_ms = after_ms(answer.retry_after);
        answer.body.n = MIN_OF(answer.body.n, (size_t)EMIT_REASON_MAX);
        out->why = arena_printf(a, "%d %.*s", answer.status, STR_ARG(answer.body));
    }
    st = out->why.p ? OK : err_nomem(err);
out:
    buf_release(&packed);
    return st;
}

enum status emit_bury(const char *file, const char *destination, struct str reason,
                      struct str event, struct err *err)
{
    struct buf line = BUF_INIT(LINE_MAX_BYTES);
    struct json_writer w = JSON_WRITER_INIT(&line);
    char when[32];
    enum status st;

    clock_rfc3339(clock_wall_ms(), when);
    json_w_object(&w);
    json_w_key(&w, S("time"));
    json_w_cstr(&w, when);
    json_w_key(&w, S("destination"));
    json_w_cstr(&w, destination);
    json_w_key(&w, S("reason"));
    json_w_str(&w, reason);
    json_w_key(&w, S("event"));
    json_w_raw(&w, event);
    json_w_object_end(&w);
    buf_put_u8(&line, '\n');
    st = buf_status(&line, "event", err);
    if (!st) st = fs_append_lines(file, line.p, line.n, 0600, err);
    buf_release(&line);
    return st;
}
