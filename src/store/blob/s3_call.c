/* store/blob/s3_call.c - one call to the service: signed, sent, and tried again where that can help. */
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "codec/base64.h"
#include "store/blob/s3_int.h"
#include "store/blob/s3_xml.h"
#include <stdio.h>

enum {
    HOPS_MAX = 4, /* redirects and new credentials of one call */
    PAUSE_MS = 50,
    PAUSE_MAX_MS = 5000,
    RENEW_MS = 5 * 60 * 1000, /* before credentials expire */
    URL_MAX = 8192,
    SIGN_SMALL = 64 * 1024
};

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void s3_add_query(struct s3_op *op, struct str name, struct str value)
{
    if (op->query_n < ARRAY_N(op->query)) {
        op->query[op->query_n++] = (struct s3_pair){ name, value };
    }
}

void s3_add_field(struct s3_op *op, struct str name, struct str value)
{
    if (op->fields_n < ARRAY_N(op->fields)) {
        op->fields[op->fields_n++] = (struct s3_pair){ name, value };
    }
}

bool s3_pause(struct s3 *s, unsigned n, int64_t at_least_ms, int64_t until_ms)
{
    uint64_t top = MIN_OF((uint64_t)PAUSE_MAX_MS, (uint64_t)PAUSE_MS << MIN_OF(n, 10u));
    int64_t ms = MAX_OF((int64_t)rand_below(top) + 1, at_least_ms);

    return clock_mono_ms() + ms < until_ms && !exec_event_wait(s->closing, ms);
}

/* ---- credentials ----------------------------------------------------------------------------------------------------------------- */

static enum status load_creds(struct s3 *s, struct err *err)
{
    struct s3_creds fresh;
    struct s3_sts sts = s->sts;
    char region[S3_REGION_MAX];
    enum status st;

    lock_take(&s->lock);
    memcpy(region, s->region, sizeof(region));
    lock_give(&s->lock);
    sts.region = region;
    st = s3_creds_load(s->profile, &sts, &fresh, err);
    lock_take(&s->lock);
    s->is_loading = false;
    if (!st) {
        s->creds = fresh;
        s->has_creds = true;
    }
    lock_give(&s->lock);
    s3_creds_clear(&fresh);
    return st;
}

/* The credentials in force, and the region. */
static enum status current(struct s3 *s, struct s3_creds *creds, char region[S3_REGION_MAX],
                           struct err *err)
{
    int64_t now = clock_wall_ms();
    struct err why = ERR_INIT;
    bool load, usable;

    lock_take(&s->lock);
    usable = s->has_creds && (!s->creds.expires_ms || s->creds.expires_ms > now);
    load =
        !usable || (s->creds.expires_ms && s->creds.expires_ms - RENEW_MS < now && !s->is_loading);
    s->is_loading = s->is_loading || load;
    lock_give(&s->lock);
    if (load) {
        enum status st = load_creds(s, &why);

        if (st && !usable) {
            *err = why;
            return st;
        }
        if (st) {
            LOG_WARN("s3", "cannot renew the credentials: %s", why.message);
        }
    }
    lock_take(&s->lock);
    *creds = s->creds;
    memcpy(region, s->region, S3_REGION_MAX);
    lock_give(&s->lock);
    return OK;
}

/* The service does not take them: are there others by now? */
static bool renewed(struct s3 *s, const char *refused)
{
    struct err ignored = ERR_INIT;
    char before[S3_TOKEN_MAX];
    bool other;

    lock_take(&s->lock);
    other = strcmp(s->creds.access, refused) != 0;
    memcpy(before, s->creds.token, sizeof(before));
    lock_give(&s->lock);
    if (other) {
        return true; /* another thread has done it */
    }
    if (load_creds(s, &ignored)) {
        LOG_WARN("s3", "cannot renew the credentials: %s", ignored.message);
        return false;
    }
    lock_take(&s->lock);
    other = strcmp(s->creds.access, refused) != 0 || strcmp(s->creds.token, before) != 0;
    lock_give(&s->lock);
    return other;
}

/* ---- one attempt ------------------------------------------------------------------------------------------------------------------ */

struct attempt {
    struct s3_op *op;
    struct arena *a;
    int64_t until_ms;
    char other_host[S3_HOST_MAX]; /* where a redirect sent this call */
    char access[S3_ACCESS_MAX];   /* what it was signed with */
    char crc[16];
    struct digest body_sha;
    char body_hex[65];
};

static void host_of(const struct s3 *s, const struct attempt *t, const char *region,
                    char out[S3_HOST_MAX * 2])
{
    if (t->other_host[0]) {
        snprintf(out, S3_HOST_MAX * 2, "%s", t->other_host);
    } else if (s->is_aws) {
        snprintf(out, S3_HOST_MAX * 2, "%s%ss3.%s.amazonaws.com", s->is_virtual ? s->bucket : "",
                 s->is_virtual ? "." : "", region);
    } else {
        snprintf(out, S3_HOST_MAX * 2, "%s%s%s", s->is_virtual ? s->bucket : "",
                 s->is_virtual ? "." : "", s->host);
    }
}

/* What of the body is signed. Over TLS the bytes are protected on their way; a checksum finds what goes wrong in memory. */
static enum status payload_of(const struct s3 *s, struct attempt *t, struct err *err)
{
    struct s3_op *op = t->op;

    if (op->payload) {
        return OK;
    }
    if (!op->body.n) {
        op->payload = EMPTY_SHA256;
        return OK;
    }
    if (s->is_https && op->body.n > SIGN_SMALL) {
        uint32_t crc = crc32c(0, op->body.p, op->body.n);
        unsigned char be[4] = { (unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
                                (unsigned char)(crc >> 8), (unsigned char)crc };
        struct buf text = BUF_INIT(sizeof(t->crc));

        base64_put(&text, str_of(be, sizeof(be)), BASE64_STD);
        if (buf_status(&text, "checksum", err)) {
            return err->code;
        }
        memcpy(t->crc, text.p, text.n);
        s3_add_field(op, S("x-amz-checksum-crc32c"), str_of(t->crc, text.n));
        buf_release(&text);
        op->payload = S3_UNSIGNED_PAYLOAD;
        return OK;
    }
    if (!sha256_of(op->body.p, op->body.n, &t->body_sha)) {
        return err_nomem(err);
    }
    digest_hex(&t->body_sha, t->body_hex);
    op->payload = t->body_hex;
    return OK;
}

/* The URL and the fields of a signed request, in the arena. */
static enum status prepare(struct s3 *s, struct attempt *t, struct s3_request *req, struct err *err)
{
    struct s3_op *op = t->op;
    struct s3_creds creds;
    struct s3_pair query[ARRAY_N(op->query)], headers[ARRAY_N(op->fields) + 4];
    char region[S3_REGION_MAX], host[S3_HOST_MAX * 2], when[17];
    struct buf text = BUF_INIT(URL_MAX), authorization = BUF_INIT(URL_MAX);
    const char **fields = ARENA_ARRAY(t->a, const char *, ARRAY_N(headers) + 1);
    struct s3_signed sig = { .method = op->method,
                             .query = query,
                             .query_n = op->query_n,
                             .headers = headers,
                             .region = region,
                             .service = "s3",
                             .when_ms = clock_wall_ms() };
    enum status st = fields ? current(s, &creds, region, err) : err_nomem(err);

    if (st) {
        return st;
    }
    memcpy(t->access, creds.access, sizeof(t->access));
    host_of(s, t, region, host);
    sig.path = s->is_virtual ? arena_printf(t->a, "%s/%.*s", s->base, STR_ARG(op->key))
                             : arena_printf(t->a, "%s/%s%s%.*s", s->base, s->bucket,
                                            op->key.n ? "/" : "", STR_ARG(op->key));
    s3_time(sig.when_ms, when);
    memcpy(query, op->query, sizeof(query));
    memcpy(headers, op->fields, sizeof(op->fields));
    sig.headers_n = op->fields_n;
    headers[sig.headers_n++] = (struct s3_pair){ S("host"), str_cstr(host) };
    headers[sig.headers_n++] = (struct s3_pair){ S("x-amz-date"), str_cstr(when) };
    headers[sig.headers_n++] = (struct s3_pair){ S("x-amz-content-sha256"), str_cstr(op->payload) };
    if (creds.token[0]) {
        headers[sig.headers_n++] =
            (struct s3_pair){ S("x-amz-security-token"), str_cstr(creds.token) };
    }
    sig.payload = op->payload;
    st = sig.path.p ? s3_sign(&sig, &creds, &authorization, err) : err_nomem(err);
    if (st) goto out;
    buf_printf(&text, "%s://%s", s->is_https ? "https" : "http", host);
    s3_encode(&text, sig.path, true);
    if (op->query_n) {
        buf_put_u8(&text, '?');
        s3_query(&text, query, op->query_n);
    }
    st = buf_status(&text, "URL", err);
    req->url = arena_cstr(t->a, buf_str(&text));
    for (size_t i = 0; i < sig.headers_n; i++) {
        fields[i] =
            arena_printf(t->a, "%.*s: %.*s", STR_ARG(headers[i].name), STR_ARG(headers[i].value)).p;
    }
    fields[sig.headers_n] =
        arena_printf(t->a, "authorization: %.*s", STR_ARG(buf_str(&authorization))).p;
    req->fields = fields;
    req->fields_n = sig.headers_n + 1;
    for (size_t i = 0; !st && i < req->fields_n; i++) {
        st = fields[i] ? OK : err_nomem(err);
    }
    st = st || req->url ? st : err_nomem(err);
    req->method = op->method;
    req->body = op->body;
    req->until_ms = t->until_ms;
    req->may_think = op->may_think;
out:
    s3_creds_clear(&creds);
    buf_release(&text);
    buf_release(&authorization);
    return st;
}

enum status s3_url(struct s3 *s, const char *method, const char *key, const struct s3_pair *query,
                   size_t query_n, int64_t expires_s, struct arena *a, struct str *url,
                   struct err *err)
{
    struct attempt none = { .op = NULL };
    char region[S3_REGION_MAX], host[S3_HOST_MAX * 2];
    struct buf text = BUF_INIT(URL_MAX * 2);
    struct s3_pair pairs[S3_PAIRS_MAX], headers[1];
    struct s3_signed sig = { .method = method,
                             .query = pairs,
                             .query_n = query_n,
                             .headers = headers,
                             .headers_n = 1,
                             .region = region,
                             .service = "s3",
                             .when_ms = clock_wall_ms() };
    struct s3_creds creds;
    enum status st = current(s, &creds, region, err);

    if (st) {
        return st;
    }
    host_of(s, &none, region, host);
    headers[0] = (struct s3_pair){ S("host"), str_cstr(host) };
    if (query_n) {
        memcpy(pairs, query, sizeof(*query) * query_n);
    }
    sig.path = s->is_virtual ? arena_printf(a, "%s/%s", s->base, key)
                             : arena_printf(a, "%s/%s/%s", s->base, s->bucket, key);
    if (!sig.path.p) {
        st = err_nomem(err);
        goto out;
    }
    buf_printf(&text, "%s://%s", s->is_https ? "https" : "http", host);
    s3_encode(&text, sig.path, true);
    buf_put_u8(&text, '?');
    st = s3_presign(&sig, &creds, expires_s, &text, err);
    *url = arena_str(a, buf_str(&text));
    st = st || url->p ? st : err_nomem(err);
out:
    s3_creds_clear(&creds);
    buf_release(&text);
    return st;
}

/* ---- judging an answer ------------------------------------------------------------------------------------------------------------ */

enum verdict { V_OK, V_MISSING, V_AGAIN, V_ELSEWHERE, V_RENEW, V_FAIL };

static bool one_of(struct str code, const char *const *names)
{
    for (; *names; names++) {
        if (str_eq(code, str_cstr(*names))) {
            return true;
        }
    }
    return false;
}

/* The service does not take the keys: others may do. */
static bool is_of_keys(struct str code)
{
    static const char *const codes[] = { "ExpiredToken",          "InvalidToken",
                                         "TokenRefreshRequired",  "InvalidAccessKeyId",
                                         "SignatureDoesNotMatch", NULL };

    return one_of(code, codes);
}

static enum verdict judge(const struct s3_op *op, const struct s3_answer *an, struct str *code)
{
    static const char *const again[] = { "SlowDown",           "InternalError",
                                         "ServiceUnavailable", "RequestTimeout",
                                         "OperationAborted",   "Throttling",
                                         "BadDigest",          "XAmzContentSHA256Mismatch",
                                         "IncompleteBody",     NULL };
    static const char *const elsewhere[] = { "AuthorizationHeaderMalformed", "PermanentRedirect",
                                             "TemporaryRedirect", NULL };
    struct str error = s3_xml_find(an->body, "Error");

    *code = s3_xml_find(error.p ? error : an->body, "Code");
    if (an->status >= 200 && an->status < 300) {
        return !op->root || s3_xml_find(an->body, op->root).p ? V_OK : V_AGAIN;
    }
    if (an->status == 404 && !str_eq_lit(*code, "NoSuchBucket")) {
        return V_MISSING;
    }
    if (an->status == 301 || an->status == 307 || an->status == 308 || one_of(*code, elsewhere)) {
        return V_ELSEWHERE;
    }
    if (is_of_keys(*code)) {
        return V_RENEW;
    }
    /* The answer to a HEAD has no body: it does not say why. */
    if ((an->status == 400 || an->status == 403) && str_eq_lit(str_cstr(op->method), "HEAD")) {
        return V_RENEW;
    }
    return an->status >= 500 || an->status == 429 || an->status == 408 || one_of(*code, again)
               ? V_AGAIN
               : V_FAIL;
}

/* Another region, or another host: true when the next attempt differs from this one. */
static bool learn(struct s3 *s, struct attempt *t, const struct s3_answer *an)
{
    struct str region = an->region[0] ? str_cstr(an->region) : s3_xml_find(an->body, "Region"),
               scheme = s->is_https ? S("https://") : S("http://"), to = str_cstr(an->location);
    bool other = false;

    if (region.n && region.n < S3_REGION_MAX) {
        lock_take(&s->lock);
        other = !str_eq(region, str_cstr(s->region));
        memcpy(s->region, region.p, region.n);
        s->region[region.n] = 0;
        lock_give(&s->lock);
        if (other) {
            LOG_INFO("s3", "the bucket lies in region %.*s", STR_ARG(region));
        }
    }
    /* Never from https to http: the scheme stays. */
    if (str_starts(to, scheme)) {
        to = str_sub(to, scheme.n, to.n);
        to = str_sub(to, 0, str_find_byte(to, '/', 0));
        if (to.n && to.n < S3_HOST_MAX && !str_eq(to, str_cstr(t->other_host))) {
            memcpy(t->other_host, to.p, to.n);
            t->other_host[to.n] = 0;
            other = true;
        }
    }
    return other;
}

static bool is_one_of_full(struct str code)
{
    static const char *const full[] = { "QuotaExceeded", "XMinioStorageFull", NULL };

    return one_of(code, full);
}

/* Without the store of the server nothing works, so clients wait for it. What a place of others refuses, it refuses for good. */
static enum status refusal_of(const struct s3 *s, const struct s3_op *op, struct str code,
                              bool denied)
{
    static const char *const parts[] = { "InvalidPart", "InvalidPartOrder", "EntityTooSmall",
                                         NULL };

    if (op->lists_parts && one_of(code, parts)) {
        return ST_INVALID;
    }
    if (!s->of_others || is_of_keys(code) || str_eq_lit(code, "RequestTimeTooSkewed")) {
        return ST_UNAVAILABLE;
    }
    return str_eq_lit(code, "NoSuchBucket") ? ST_INVALID : denied ? ST_DENIED : ST_UNAVAILABLE;
}

static enum status refuse(const struct s3 *s, const struct s3_op *op, const struct s3_answer *an,
                          struct str code, struct err *err)
{
    struct str message = s3_xml_find(an->body, "Message");
    bool denied = an->status == 401 || an->status == 403, is_full = is_one_of_full(code);
    enum status st;

    if (!code.p && an->status < 300) {
        code = S("without the result");
    }
    st = err_set(err, refusal_of(s, op, code, denied && !is_full),
                 "cannot %s: S3 answered %d %.*s%s%.*s", op->what, an->status,
                 STR_ARG(str_sub(code, 0, 80)), message.n ? ": " : "",
                 STR_ARG(str_sub(message, 0, 300)));
    if (str_eq_lit(code, "NoSuchBucket")) {
        err_hint(err, "make the bucket %s, or name another one", s->bucket);
    } else if (is_full) {
        err_hint(err, "delete what is not needed in bucket %s, or raise its quota", s->bucket);
    } else if (str_eq_lit(code, "RequestTimeTooSkewed")) {
        err_hint(err, "set the clock of this machine");
    } else if (denied) {
        err_hint(err, "the credentials need to get, put, delete and list in bucket %s", s->bucket);
    } else if (an->status >= 300 && an->status < 400) {
        err_hint(err, "give the region of the bucket with --s3-region");
    }
    return st;
}

static bool may_repeat(const struct s3_op *op)
{
    /* Relaxed: a moment late is fine. */
    return !op->no_retries || !atomic_load_explicit(op->no_retries, memory_order_relaxed);
}

/* Sends until it is judged; channel NULL: whole answers. */
static enum status run(struct s3 *s, struct s3_op *op, struct arena *a, struct s3_channel **channel,
                       struct s3_answer *out, struct err *err)
{
    struct attempt t = { .op = op, .a = a };
    int64_t patience_ms = op->patience_ms ? op->patience_ms : s->patience_ms;
    int64_t again_until_ms =
        0; /* counts from the first failure: work that is long may still fail once */
    unsigned repeats = 0, hops = 0;
    enum status st;

    t.until_ms = clock_mono_ms() + patience_ms;
    st = payload_of(s, &t, err);
    while (!st) {
        struct s3_request req = { .method = op->method };
        struct str code = { NULL, 0 };
        enum verdict v = V_AGAIN;

        st = prepare(s, &t, &req, err);
        if (st) {
            break;
        }
        st = channel ? s3_http_begin(&s->http, &req, a, channel, out, err)
                     : s3_http_call(&s->http, &req, a, out, err);
        if (st && st != ST_UNAVAILABLE) {
            break;
        }
        v = st ? V_AGAIN : judge(op, out, &code);
        switch (v) {
        case V_OK: return OK;
        case V_MISSING: return err_set(err, ST_NOT_FOUND, "cannot %s: it is not there", op->what);
        case V_ELSEWHERE:
            if (hops++ < HOPS_MAX && learn(s, &t, out)) {
                continue;
            }
            break;
        case V_RENEW:
            if (hops++ < HOPS_MAX &&
                ((out->region[0] && learn(s, &t, out)) || renewed(s, t.access))) {
                continue;
            }
            break;
        case V_AGAIN:
            again_until_ms = again_until_ms ? again_until_ms
                                            : clock_mono_ms() + MIN_OF(patience_ms, s->patience_ms);
            if (may_repeat(op) && !out->is_hopeless &&
                s3_pause(s, repeats, out->retry_after * 1000, MIN_OF(again_until_ms, t.until_ms)) &&
                may_repeat(op)) {
                LOG_DEBUG("s3", "%s: again after %d %.*s%s", op->what, out->status, STR_ARG(code),
                          st ? err->message : "");
                repeats++;
                st = OK;
                continue;
            }
            if (st) {
                err_ctx(err, "cannot %s", op->what);
                return st;
            }
            break;
        case V_FAIL: break;
        }
        return refuse(s, op, out, code, err);
    }
    return st;
}

enum status s3_call(struct s3 *s, struct s3_op *op, struct arena *a, struct s3_answer *out,
                    struct err *err)
{
    return run(s, op, a, NULL, out, err);
}

enum status s3_stream(struct s3 *s, struct s3_op *op, struct arena *a, struct s3_channel **channel,
                      struct s3_answer *out, struct err *err)
{
    *channel = NULL;
    return run(s, op, a, channel, out, err);
}
