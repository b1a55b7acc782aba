/* net/guard.c - Host and Origin checks. */
#include "net/guard.h"
#include <ctype.h>

const char *const http_guard_default_hosts[] = {
    "localhost", "127.0.0.1", "[::1]",    "0.0.0.0",  "10.*",     "172.16.*", "172.17.*",
    "172.18.*",  "172.19.*",  "172.20.*", "172.21.*", "172.22.*", "172.23.*", "172.24.*",
    "172.25.*",  "172.26.*",  "172.27.*", "172.28.*", "172.29.*", "172.30.*", "172.31.*",
    "192.168.*", "fc00:*",    "fd00:*",   NULL
};

enum { ORIGIN_MAX = 300 };

bool http_glob(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') {
        p++;
    }
    return p == pattern.n;
}

/* Without the port. "[::1]:80" -> "[::1]", "a:80" -> "a", "a" -> "a". */
static struct str host_name(struct str host)
{
    size_t end = host.n;

    if (host.n > 0 && host.p[0] == '[') {
        end = str_find_byte(host, ']', 0);
        return end == SIZE_MAX ? host : str_sub(host, 0, end + 1);
    }
    end = str_find_byte(host, ':', 0);
    return end == SIZE_MAX ? host : str_sub(host, 0, end);
}

static bool only_of(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\0' || !strchr(set, s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

static bool host_matches(struct str pattern, struct str host)
{
    struct str name = host_name(host);

    if (str_eq_lit(pattern, "*")) {
        return true;
    }
    if (only_of(pattern, "0123456789.*") && !only_of(name, "0123456789.")) {
        return false; /* an address pattern: names do not count */
    }
    if (http_glob(pattern, host) || http_glob(pattern, name)) {
        return true;
    }
    if (name.n > 2 && name.p[0] == '[') {
        return http_glob(pattern, str_sub(name, 1, name.n - 2));
    }
    return false;
}

static bool host_allowed(const struct http_guard *g, struct str host)
{
    const char *const *p = g->hosts ? g->hosts : http_guard_default_hosts;

    for (; *p; p++) {
        if (str_eq_lit(str_cstr(*p), "*")) {
            return true;
        }
        if (host.n > 0 && host_matches(str_cstr(*p), host)) {
            return true;
        }
    }
    return false;
}

bool http_guard_origin_allowed(const struct http_guard *g, struct str origin, struct str host,
                               bool *credentials)
{
    char low[ORIGIN_MAX];
    struct str o = { low, origin.n }, authority;
    size_t at;

    *credentials = true;
    if (origin.n == 0 || origin.n > sizeof(low)) {
        return false;
    }
    for (size_t i = 0; i < origin.n; i++) {
        low[i] = (char)tolower((unsigned char)origin.p[i]);
    }
    at = str_find(o, S("://"));
    authority = at == SIZE_MAX ? S("") : str_sub(o, at + 3, SIZE_MAX);
    if (authority.n > 0) {
        struct str name = host_name(authority);

        if (str_eq(authority, host) || str_eq_lit(name, "localhost") ||
            str_eq_lit(name, "127.0.0.1") || str_eq_lit(name, "[::1]")) {
            return true;
        }
    }
    for (const char *const *p = g->origins; p && *p; p++) {
        if (str_eq_lit(str_cstr(*p), "*")) {
            *credentials = false;
            return true;
        }
        if (http_glob(str_cstr(*p), o)) {
            return true;
        }
    }
    return false;
}

static bool is_write(enum http_method m)
{
    return m == HTTP_POST || m == HTTP_PUT || m == HTTP_PATCH || m == HTTP_DELETE;
}

enum guard_result http_guard_check(const struct http_guard *g, enum http_method method,
                                   struct str path, struct str host, struct str origin)
{
    bool credentials;

    if (g->off) {
        return GUARD_PASS;
    }
    if (!str_eq_lit(path, "/health") && !str_eq_lit(path, "/version") && !host_allowed(g, host)) {
        return GUARD_HOST;
    }
    if (is_write(method) && str_is_set(origin) &&
        !http_guard_origin_allowed(g, origin, host, &credentials)) {
        return GUARD_ORIGIN;
    }
    return GUARD_PASS;
}

bool http_guard_is_api(const struct http_guard *g, struct str path)
{
    struct str prefix = str_cstr(g->prefix);

    if (prefix.n > 0 && str_starts(path, prefix)) {
        path = str_sub(path, prefix.n, SIZE_MAX);
    }
    /* Methods of gRPC, for gRPC-Web. */
    return str_starts(path, S("/api/")) || str_starts(path, S("/ajax-api/")) ||
           str_starts(path, S("/cairn.v1.")) || str_starts(path, S("/grpc."));
}
