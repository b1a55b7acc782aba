/* store/blob/s3_sign.c - Signature Version 4. */
#include "store/blob/s3_sign.h"
#include "base/clock.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { CANONICAL_MAX = 64 * 1024, SCOPE_MAX = 160 };

static bool is_plain(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

void s3_encode(struct buf *out, struct str text, bool keep_slash)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (is_plain(c) || (c == '/' && keep_slash)) {
            buf_put_u8(out, c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

void s3_query(struct buf *out, const struct s3_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i) {
            buf_put_u8(out, '&');
        }
        s3_encode(out, pairs[i].name, false);
        buf_put_u8(out, '=');
        s3_encode(out, pairs[i].value, false);
    }
}

void s3_time(int64_t when_ms, char out[17])
{
    char text[32]; /* 2013-05-24T00:00:00.000Z */

    clock_rfc3339(when_ms, text);
    snprintf(out, 17, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text, text + 5, text + 8, text + 11, text + 14,
             text + 17);
}

/* The order of encoded texts. '%' comes before every byte that stays as it is, and among encoded bytes, as among plain ones, the
 * order is their own. */
static int encoded_cmp(struct str a, struct str b)
{
    for (size_t i = 0; i < MIN_OF(a.n, b.n); i++) {
        unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];

        if (x != y) {
            return is_plain(x) == is_plain(y) ? (x < y ? -1 : 1) : is_plain(y) ? -1 : 1;
        }
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

static int pair_cmp(const void *a, const void *b)
{
    const struct s3_pair *x = a, *y = b;
    int r = encoded_cmp(x->name, y->name);

    return r ? r : encoded_cmp(x->value, y->value);
}

static int header_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct s3_pair *)a)->name, ((const struct s3_pair *)b)->name);
}

/* Trimmed, inner runs of spaces collapsed. */
static void put_value(struct buf *out, struct str v)
{
    bool space = false;

    v = str_trim(v);
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != ' ' || !space) {
            buf_put_u8(out, (unsigned char)v.p[i]);
        }
        space = v.p[i] == ' ';
    }
}

static void put_names(struct buf *out, const struct s3_signed *r)
{
    for (size_t i = 0; i < r->headers_n; i++) {
        if (i) {
            buf_put_u8(out, ';');
        }
        buf_put_str(out, r->headers[i].name);
    }
}

static void put_canonical(struct buf *out, const struct s3_signed *r)
{
    buf_put_cstr(out, r->method);
    buf_put_u8(out, '\n');
    s3_encode(out, r->path, true);
    buf_put_u8(out, '\n');
    s3_query(out, r->query, r->query_n);
    buf_put_u8(out, '\n');
    for (size_t i = 0; i < r->headers_n; i++) {
        buf_put_str(out, r->headers[i].name);
        buf_put_u8(out, ':');
        put_value(out, r->headers[i].value);
        buf_put_u8(out, '\n');
    }
    buf_put_u8(out, '\n');
    put_names(out, r);
    buf_put_u8(out, '\n');
    buf_put_cstr(out, r->payload);
}

static void scope_of(const struct s3_signed *r, char out[SCOPE_MAX])
{
    char when[17];

    s3_time(r->when_ms, when);
    snprintf(out, SCOPE_MAX, "%.8s/%s/%s/aws4_request", when, r->region, r->service);
}

static bool derive(const struct s3_signed *r, const struct s3_creds *c, struct digest *key)
{
    char first[S3_SECRET_MAX + 8], when[17];
    int n = snprintf(first, sizeof(first), "AWS4%s", c->secret);
    bool ok;

    s3_time(r->when_ms, when);
    ok = hmac_sha256(first, (size_t)n, when, 8, key) &&
         hmac_sha256(key->b, sizeof(key->b), r->region, strlen(r->region), key) &&
         hmac_sha256(key->b, sizeof(key->b), r->service, strlen(r->service), key) &&
         hmac_sha256(key->b, sizeof(key->b), "aws4_request", 12, key);
    explicit_bzero(first, sizeof(first));
    return ok;
}

static enum status signature(const struct s3_signed *r, const struct s3_creds *c, char hex[65],
                             struct err *err)
{
    struct buf canonical = BUF_INIT(CANONICAL_MAX);
    char text[512], when[17], scope[SCOPE_MAX];
    struct digest d, key;
    enum status st;
    int n;

    qsort(r->query, r->query_n, sizeof(*r->query), pair_cmp);
    qsort(r->headers, r->headers_n, sizeof(*r->headers), header_cmp);
    put_canonical(&canonical, r);
    st = buf_status(&canonical, "request", err);
    if (!st && !sha256_of(canonical.p, canonical.n, &d)) {
        st = err_nomem(err);
    }
    buf_release(&canonical);
    if (st) {
        return st;
    }
    s3_time(r->when_ms, when);
    scope_of(r, scope);
    digest_hex(&d, hex);
    n = snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s\n%s", when, scope, hex);
    if (!derive(r, c, &key) || !hmac_sha256(key.b, sizeof(key.b), text, (size_t)n, &d)) {
        st = err_nomem(err);
    }
    explicit_bzero(&key, sizeof(key));
    digest_hex(&d, hex);
    return st;
}

enum status s3_sign(const struct s3_signed *r, const struct s3_creds *c, struct buf *out,
                    struct err *err)
{
    char hex[65], scope[SCOPE_MAX];
    enum status st = signature(r, c, hex, err);

    if (st) {
        return st;
    }
    scope_of(r, scope);
    buf_printf(out, ALGORITHM " Credential=%s/%s, SignedHeaders=", c->access, scope);
    put_names(out, r);
    buf_printf(out, ", Signature=%s", hex);
    return buf_status(out, "signature", err);
}

enum status s3_presign(const struct s3_signed *r, const struct s3_creds *c, int64_t expires_s,
                       struct buf *out, struct err *err)
{
    char credential[S3_ACCESS_MAX + SCOPE_MAX], when[17], expires[24], hex[65], scope[SCOPE_MAX];
    struct buf names = BUF_INIT(1024);
    struct s3_signed all = *r;
    enum status st;

    if (r->query_n + 6 > S3_PAIRS_MAX) {
        return err_set(err, ST_INVALID, "more than %d query parameters", S3_PAIRS_MAX - 6);
    }
    qsort(all.headers, all.headers_n, sizeof(*all.headers), header_cmp);
    put_names(&names, &all);
    scope_of(r, scope);
    s3_time(r->when_ms, when);
    snprintf(credential, sizeof(credential), "%s/%s", c->access, scope);
    snprintf(expires, sizeof(expires), "%" PRId64, expires_s);
    all.payload = S3_UNSIGNED_PAYLOAD;
    all.query[all.query_n++] = (struct s3_pair){ S("X-Amz-Algorithm"), S(ALGORITHM) };
    all.query[all.query_n++] = (struct s3_pair){ S("X-Amz-Credential"), str_cstr(credential) };
    all.query[all.query_n++] = (struct s3_pair){ S("X-Amz-Date"), str_cstr(when) };
    all.query[all.query_n++] = (struct s3_pair){ S("X-Amz-Expires"), str_cstr(expires) };
    all.query[all.query_n++] = (struct s3_pair){ S("X-Amz-SignedHeaders"), buf_str(&names) };
    if (c->token[0]) {
        all.query[all.query_n++] =
            (struct s3_pair){ S("X-Amz-Security-Token"), str_cstr(c->token) };
    }
    st = buf_status(&names, "names of header fields", err);
    st = st ? st : signature(&all, c, hex, err);
    if (!st) {
        s3_query(out, all.query, all.query_n);
        buf_printf(out, "&X-Amz-Signature=%s", hex);
        st = buf_status(out, "URL", err);
    }
    buf_release(&names);
    return st;
}

void s3_creds_clear(struct s3_creds *c)
{
    explicit_bzero(c, sizeof(*c));
}
