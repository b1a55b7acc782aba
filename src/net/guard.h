/* net/guard.h - Host and Origin checks: against DNS rebinding and cross-site posts.
 * Patterns are globs with '*' over lower-case text. A host pattern is tried against the Host field with and without its
 * port. A pattern made of digits, dots, colons, hex digits and '*' only ("10.*", "fd00:*") matches address literals
 * only, so "10.evil.example" does not pass for a private address.
 * Origin is checked on POST, PUT, PATCH and DELETE: absent, the server's own (its authority equals Host), localhost on
 * any port, or listed. Thread rule: immutable once the server runs. */
#ifndef CAIRN_NET_GUARD_H
#define CAIRN_NET_GUARD_H

#include "net/http.h"

struct http_guard {
    const char *const
        *hosts; /* NULL-terminated patterns; NULL = the default list; {"*", NULL} = any */
    const char *const
        *origins; /* NULL-terminated patterns; NULL = none beyond localhost; "*" = any */
    bool off;     /* no check at all */
    const char
        *frame_options; /* X-Frame-Options value; NULL = "SAMEORIGIN"; "" or "NONE" = not sent */
    const char *prefix; /* static prefix of the API paths, NULL or "" = none */
};

/* localhost, loopback, 0.0.0.0 and the private ranges, on any port. */
extern const char *const http_guard_default_hosts[];

#define HTTP_GUARD_HOST_TEXT   "Invalid Host header - possible DNS rebinding attack detected"
#define HTTP_GUARD_ORIGIN_TEXT "Cross-origin request blocked"

enum guard_result { GUARD_PASS, GUARD_HOST, GUARD_ORIGIN };

/* path is the decoded path; /health and /version skip the host check. origin.p is NULL if absent. */
enum guard_result http_guard_check(const struct http_guard *g, enum http_method method,
                                   struct str path, struct str host, struct str origin);
/* True if answers may be shown to pages of that origin; *credentials: also with cookies or Authorization. */
bool http_guard_origin_allowed(const struct http_guard *g, struct str origin, struct str host,
                               bool *credentials);
/* True below /api/ and /ajax-api/ (with the prefix) and for methods of gRPC: OPTIONS is answered there, by a route of that method or by the
 * server. */
bool http_guard_is_api(const struct http_guard *g, struct str path);
/* '*' matches any run of bytes. */
bool http_glob(struct str pattern, struct str text);

#endif
