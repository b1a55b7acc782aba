/* store/blob/s3_sign.h - Signature Version 4, for requests and for URLs that others may use.
 * Pure functions: nothing is sent, no clock is read. Texts are UTF-8 bytes as they are, not yet percent-encoded, unless a
 * parameter says otherwise. S3 encodes the path once and does not normalise it.
 * Ownership: results lie in the caller's buffer. Thread rule: any thread. */
#ifndef CAIRN_STORE_BLOB_S3_SIGN_H
#define CAIRN_STORE_BLOB_S3_SIGN_H

#include "base/buf.h"
#include "base/hash.h"

struct s3_pair {
    struct str name, value;
};

enum { S3_PAIRS_MAX = 16, S3_ACCESS_MAX = 256, S3_SECRET_MAX = 256, S3_TOKEN_MAX = 8192 };

/* What proves who we are. Cleared with s3_creds_clear() when no longer needed; never logged. */
struct s3_creds {
    char access[S3_ACCESS_MAX], secret[S3_SECRET_MAX];
    char token[S3_TOKEN_MAX]; /* of a session; "" = none */
    int64_t expires_ms;       /* wall time; 0 = never */
};

struct s3_signed {
    const char *method;    /* "GET" */
    struct str path;       /* "/bucket/key", not encoded */
    struct s3_pair *query; /* sorted in place, as the signature wants them; at most S3_PAIRS_MAX */
    size_t query_n;
    struct s3_pair *
        headers; /* lower-case names; sorted in place; must hold host and every x-amz-* that is sent */
    size_t headers_n;
    const char *payload; /* value of x-amz-content-sha256 */
    const char *region, *service;
    int64_t when_ms;
};

#define S3_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

/* Percent-encodes all but A-Z a-z 0-9 - _ . ~ (and '/' if keep_slash). */
void s3_encode(struct buf *out, struct str text, bool keep_slash);
/* "a=b&c=" of pairs, encoded, in the order given. */
void s3_query(struct buf *out, const struct s3_pair *pairs, size_t n);
/* "20130524T000000Z" and a NUL. */
void s3_time(int64_t when_ms, char out[17]);

/* The value of the field Authorization. */
enum status s3_sign(const struct s3_signed *r, const struct s3_creds *c, struct buf *out,
                    struct err *err);
/* The whole query of a presigned URL, encoded; headers (at least host) are those that its user must send. The query of r has
 * room for 6 more pairs. */
enum status s3_presign(const struct s3_signed *r, const struct s3_creds *c, int64_t expires_s,
                       struct buf *out, struct err *err);
void s3_creds_clear(struct s3_creds *c);

#endif
