/* net/router.c - a trie over path segments.
 * A search visits each node at most once (its depth fixes the segment), so hostile paths cannot make it slow. */
#include "net/router.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"

enum { ROUTER_ARENA_MAX = 8 << 20, ROUTER_SEGMENT_MAX = 64, ROUTER_ROW_MAX = 100000 };

struct node {
    struct str_map children; /* static segment -> node */
    struct node *capture;
    const struct route *here[HTTP_METHOD_N];
    const struct route *rest[HTTP_METHOD_N];
};

struct row {
    const struct route *route;
    struct str path;
};

struct router {
    struct arena *arena;
    struct node root;
    struct row *rows;
    size_t n, cap;
};

static void node_release(void *ctx)
{
    struct node *n = ctx;

    str_map_release(&n->children);
}

enum status router_new(struct router **out, struct err *err)
{
    struct arena *a = arena_new(ROUTER_ARENA_MAX);
    struct router *r = a ? ARENA_NEW(a, struct router) : NULL;

    *out = NULL;
    if (!r || !arena_cleanup(a, node_release, &r->root)) {
        arena_free(a);
        return err_nomem(err);
    }
    r->arena = a;
    r->root.children.max = ROUTER_ROW_MAX;
    *out = r;
    return OK;
}

void router_free(struct router *r)
{
    if (r) {
        arena_free(r->arena);
    }
}

static struct node *node_new(struct router *r)
{
    struct node *n = ARENA_NEW(r->arena, struct node);

    if (!n || !arena_cleanup(r->arena, node_release, n)) {
        return NULL;
    }
    n->children.max = ROUTER_ROW_MAX;
    return n;
}

static struct node *node_child(struct router *r, struct node *at, struct str segment)
{
    struct node *next;

    if (segment.n > 2 && segment.p[0] == '{') {
        if (!at->capture) {
            at->capture = node_new(r);
        }
        return at->capture;
    }
    next = str_map_get(&at->children, segment);
    if (!next) {
        next = node_new(r);
        if (!next || str_map_put(&at->children, segment, next)) {
            return NULL;
        }
    }
    return next;
}

/* A segment is static without braces, or "{name}", or "{name*}" at the end. */
static bool segment_ok(struct str s, bool last, bool *rest)
{
    *rest = false;
    if (s.n == 0 || s.p[0] != '{') {
        return str_find_byte(s, '{', 0) == SIZE_MAX && str_find_byte(s, '}', 0) == SIZE_MAX &&
               str_find_byte(s, '%', 0) == SIZE_MAX;
    }
    if (s.n < 3 || s.p[s.n - 1] != '}') {
        return false;
    }
    *rest = s.p[s.n - 2] == '*';
    s = str_sub(s, 1, s.n - (*rest ? 3 : 2));
    return s.n > 0 && str_find_byte(s, '{', 0) == SIZE_MAX &&
           str_find_byte(s, '*', 0) == SIZE_MAX && (!*rest || last);
}

static enum status add_one(struct router *r, const struct route *route, struct str path,
                           struct err *err)
{
    struct node *at = &r->root;
    struct str left = str_sub(path, 1, SIZE_MAX), segment;
    size_t captures = 0;
    bool rest = false, last;

    if (path.n == 0 || path.p[0] != '/' || route->method <= HTTP_METHOD_NONE ||
        route->method >= HTTP_METHOD_N || route->action == ROUTE_ACTION_NONE) {
        return err_set(err, ST_INVALID, "route %.*s lacks a method, a right or its first slash",
                       STR_ARG(path));
    }
    do {
        size_t slash = str_find_byte(left, '/', 0);

        last = slash == SIZE_MAX;
        segment = str_sub(left, 0, slash);
        left = last ? S("") : str_sub(left, slash + 1, SIZE_MAX);
        if (!segment_ok(segment, last, &rest) || (segment.n == 0 && !last)) {
            return err_set(err, ST_INVALID, "route %.*s is malformed", STR_ARG(path));
        }
        captures += segment.n > 0 && segment.p[0] == '{';
        at = rest ? at : node_child(r, at, segment);
        if (!at) {
            return err_nomem(err);
        }
    } while (!last);
    if (captures > HTTP_CAPTURE_MAX) {
        return err_set(err, ST_INVALID, "route %.*s has more than %d captures", STR_ARG(path),
                       HTTP_CAPTURE_MAX);
    }
    const struct route **slot = rest ? &at->rest[route->method] : &at->here[route->method];

    if (*slot) {
        return err_set(err, ST_EXISTS, "route %s %.*s is there twice",
                       http_method_name(route->method), STR_ARG(path));
    }
    if (!arena_grow(r->arena, (void **)&r->rows, r->n, &r->cap, sizeof(*r->rows))) {
        return err_nomem(err);
    }
    *slot = route;
    r->rows[r->n++] = (struct row){ route, path };
    return OK;
}

enum status router_add(struct router *r, const struct route *routes, size_t n,
                       const struct route_alias *aliases, size_t alias_n, const char *prefix,
                       struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct str path = arena_printf(r->arena, "%s%s", prefix ? prefix : "", routes[i].path);
        enum status st = str_is_set(path) ? add_one(r, &routes[i], path, err) : err_nomem(err);

        for (size_t k = 0; k < alias_n && st == OK; k++) {
            struct str own = str_cstr(routes[i].path), from = str_cstr(aliases[k].from);

            if (!str_starts(own, from)) {
                continue;
            }
            path = arena_printf(r->arena, "%s%s%s", prefix ? prefix : "", aliases[k].to,
                                routes[i].path + from.n);
            st = str_is_set(path) ? add_one(r, &routes[i], path, err) : err_nomem(err);
        }
        if (st) return st;
    }
    return OK;
}

void router_each(const struct router *r,
                 void (*fn)(void *ctx, const struct route *route, struct str path), void *ctx)
{
    for (size_t i = 0; i < r->n; i++) {
        fn(ctx, r->rows[i].route, r->rows[i].path);
    }
}

/* ---- search ------------------------------------------------------------------------------------------------------ */

enum router_result router_decode(struct str raw, struct arena *a, struct str *out)
{
    char *p;
    size_t n = 0;

    *out = raw;
    if (str_find_byte(raw, '%', 0) == SIZE_MAX) {
        return utf8_valid(raw) ? ROUTER_FOUND : ROUTER_BAD_PATH;
    }
    p = arena_alloc(a, raw.n);
    if (!p) {
        return ROUTER_NOMEM;
    }
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] == '%') {
            int hi = i + 2 < raw.n ? num_hex_digit(raw.p[i + 1]) : -1;
            int lo = i + 2 < raw.n ? num_hex_digit(raw.p[i + 2]) : -1;

            if (hi < 0 || lo < 0 || (hi == 0 && lo == 0)) {
                return ROUTER_BAD_PATH;
            }
            p[n++] = (char)(hi * 16 + lo);
            i += 2;
        } else {
            p[n++] = raw.p[i];
        }
    }
    *out = str_of(p, n);
    return utf8_valid(*out) ? ROUTER_FOUND : ROUTER_BAD_PATH;
}

struct search {
    enum http_method method;
    size_t n; /* segments */
    struct str raw[ROUTER_SEGMENT_MAX];
    struct str decoded[ROUTER_SEGMENT_MAX];
    const char *end; /* of the path */
    bool whole;      /* every segment of the path is in raw[] */
    unsigned allow;
    size_t captured[HTTP_CAPTURE_MAX + 1]; /* segments taken by captures on the way */
    size_t captured_n;
    bool rest; /* the last of them takes all that follows */
};

static const struct route *pick(struct search *s, const struct route *const *rows)
{
    if (rows[s->method]) {
        return rows[s->method];
    }
    if (s->method == HTTP_HEAD && rows[HTTP_GET]) {
        return rows[HTTP_GET];
    }
    for (unsigned m = 1; m < HTTP_METHOD_N; m++) {
        s->allow |= rows[m] ? 1u << m : 0;
    }
    return NULL;
}

static const struct route *walk(struct search *s, const struct node *at, size_t i)
{
    const struct route *found = NULL;

    if (i == s->n) {
        return s->whole ? pick(s, at->here) : NULL;
    }
    const struct node *next = str_map_get(&at->children, s->decoded[i]);

    if (next) {
        found = walk(s, next, i + 1);
    }
    if (found || s->captured_n >= HTTP_CAPTURE_MAX) {
        return found;
    }
    s->captured[s->captured_n++] = i;
    if (at->capture && s->decoded[i].n > 0) {
        found = walk(s, at->capture, i + 1);
    }
    if (!found && s->raw[i].p < s->end) {
        found = pick(s, at->rest);
        s->rest = found != NULL;
    }
    s->captured_n -= found ? 0 : 1;
    return found;
}

/* Splits at slashes; runs of slashes count as one. */
static void split(struct search *s, struct str path)
{
    size_t i = 0;

    s->end = path.p + path.n;
    s->whole = true;
    while (i < path.n && path.p[i] == '/') {
        i++;
        while (i < path.n && path.p[i] == '/') {
            i++;
        }
        size_t end = MIN_OF(str_find_byte(path, '/', i), path.n);

        if (s->n == ROUTER_SEGMENT_MAX) {
            s->whole = false;
            return;
        }
        s->raw[s->n++] = str_sub(path, i, end - i);
        i = end;
    }
}

/* Values are where the walk went through captures; names stand in the route's own path, in the same order. */
static enum router_result fill_captures(struct search *s, struct arena *a, struct router_match *m)
{
    struct str left = str_cstr(m->route->path);

    for (size_t i = 0; i < s->captured_n; i++) {
        size_t at = s->captured[i], open = str_find_byte(left, '{', 0);
        size_t close = str_find_byte(left, '}', 0);
        struct str *value = &m->captures[i].value;
        struct str name = str_sub(left, open + 1, close - open - 1);

        m->captures[i].name = name;
        *value = s->decoded[at];
        left = str_sub(left, close + 1, SIZE_MAX);
        if (s->rest && i + 1 == s->captured_n) {
            struct str raw = str_of(s->raw[at].p, (size_t)(s->end - s->raw[at].p));
            enum router_result rr = router_decode(raw, a, value);

            m->captures[i].name = str_sub(name, 0, name.n - 1);
            if (rr != ROUTER_FOUND) {
                return rr;
            }
        }
    }
    m->capture_n = s->captured_n;
    return ROUTER_FOUND;
}

enum router_result router_merge_slashes(struct str raw, struct arena *a, struct str *out)
{
    char *p;
    size_t n = 0;

    *out = raw;
    if (str_find(raw, S("//")) == SIZE_MAX) {
        return ROUTER_FOUND;
    }
    p = arena_alloc(a, raw.n);
    if (!p) {
        return ROUTER_NOMEM;
    }
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] != '/' || n == 0 || p[n - 1] != '/') {
            p[n++] = raw.p[i];
        }
    }
    *out = str_of(p, n);
    return ROUTER_FOUND;
}

enum router_result router_find(const struct router *r, enum http_method method, struct str raw_path,
                               struct arena *a, struct router_match *out)
{
    struct search s = { .method = method };
    struct str path;
    enum router_result rr = router_merge_slashes(raw_path, a, &path);

    memset(out, 0, sizeof(*out));
    if (rr != ROUTER_FOUND) {
        return rr;
    }
    split(&s, path);
    if (s.n == 0) {
        return ROUTER_NO_PATH;
    }
    for (size_t i = 0; i < s.n; i++) {
        rr = router_decode(s.raw[i], a, &s.decoded[i]);
        if (rr != ROUTER_FOUND) {
            return rr;
        }
    }
    out->route = walk(&s, &r->root, 0);
    if (!out->route) {
        out->allow = s.allow | (s.allow & (1u << HTTP_GET) ? 1u << HTTP_HEAD : 0);
        return s.allow ? ROUTER_NO_METHOD : ROUTER_NO_PATH;
    }
    return fill_captures(&s, a, out);
}
