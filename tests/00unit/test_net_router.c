/* tests/00unit/test_net_router.c - the route table. */
#include "net/router.h"
#include "tap.h"

enum action { A_NONE, A_READ, A_WRITE };

static const int h1, h2, h3, h4, h5, h6, h7, h8;

static const struct route routes[] = {
    ROUTE(HTTP_GET, "/", NULL, NULL, 0, A_READ, &h1),
    ROUTE(HTTP_GET, "/api/2.0/runs/get", NULL, NULL, 0, A_READ, &h2),
    ROUTE(HTTP_POST, "/api/2.0/runs/create", NULL, NULL, 0, A_WRITE, &h3),
    ROUTE(HTTP_GET, "/api/2.0/models/{model_id}", NULL, NULL, 0, A_READ, &h4),
    ROUTE(HTTP_DELETE, "/api/2.0/models/{model_id}", NULL, NULL, 0, A_WRITE, &h5),
    ROUTE(HTTP_DELETE, "/api/2.0/models/{id}/tags/{tag_key}", NULL, NULL, 0, A_WRITE, &h6),
    ROUTE(HTTP_GET, "/api/2.0/models/search", NULL, NULL, 0, A_READ, &h7),
    ROUTE(HTTP_GET, "/files/{root}/{path*}", NULL, NULL, 0, A_READ, &h8),
};
static const struct route_alias aliases[] = { { "/api/2.0", "/ajax-api/2.0" },
                                              { "/api/2.0/runs", "/api/3.0/x/runs" } };

static struct router *make(const char *prefix)
{
    struct router *r = NULL;
    struct err err = ERR_INIT;

    T_ST(router_new(&r, &err), OK);
    T_ST_ERR(router_add(r, routes, ARRAY_N(routes), aliases, ARRAY_N(aliases), prefix, &err), OK,
             &err);
    return r;
}

static void find(const struct router *r, struct arena *a, enum http_method m, const char *path,
                 const int *want, struct router_match *out)
{
    enum router_result rr = router_find(r, m, str_cstr(path), a, out);

    if (rr != ROUTER_FOUND || out->route->handler != want) {
        T_FAIL("%s %s: result %d, another route", http_method_name(m), path, rr);
    }
}

TEST(router_finds)
{
    struct arena *a = arena_new(1 << 20);
    struct router *r = make(NULL);
    struct router_match m;

    find(r, a, HTTP_GET, "/", &h1, &m);
    find(r, a, HTTP_GET, "/api/2.0/runs/get", &h2, &m);
    find(r, a, HTTP_HEAD, "/api/2.0/runs/get", &h2, &m);
    find(r, a, HTTP_GET, "//api/2.0///runs//get", &h2, &m);
    find(r, a, HTTP_GET, "/api/2.0/run%73/get", &h2, &m);
    find(r, a, HTTP_POST, "/ajax-api/2.0/runs/create", &h3, &m);
    find(r, a, HTTP_POST, "/api/3.0/x/runs/create", &h3, &m);
    find(r, a, HTTP_GET, "/api/2.0/models/m-1", &h4, &m);
    T_UINT(m.capture_n, 1);
    T_STR(m.captures[0].name, "model_id");
    T_STR(m.captures[0].value, "m-1");
    find(r, a, HTTP_DELETE, "/ajax-api/2.0/models/m-1/tags/a%2Fb%20c", &h6, &m);
    T_UINT(m.capture_n, 2);
    T_STR(m.captures[0].name, "id");
    T_STR(m.captures[1].name, "tag_key");
    T_STR(m.captures[1].value, "a/b c");
    find(r, a, HTTP_GET, "/api/2.0/models/search", &h7, &m);
    T_UINT(m.capture_n, 0);
    /* The static row has no DELETE: the capture row takes it. */
    find(r, a, HTTP_DELETE, "/api/2.0/models/search", &h5, &m);
    find(r, a, HTTP_GET, "/files/r/a/b%2Bc/d.txt", &h8, &m);
    T_STR(m.captures[0].value, "r");
    T_STR(m.captures[1].name, "path");
    T_STR(m.captures[1].value, "a/b+c/d.txt");
    find(r, a, HTTP_GET, "/files/r/dir/", &h8, &m);
    T_STR(m.captures[1].value, "dir/");
    router_free(r);
    arena_free(a);
}

TEST(router_misses)
{
    static const char *const none[] = { "/nothing",
                                        "/api/2.0/runs",
                                        "/api/2.0/runs/get/",
                                        "/api/2.0/models/",
                                        "/files/r",
                                        "/files/r/",
                                        "/files",
                                        "",
                                        "api/2.0/runs/get",
                                        "/api/2.0/runs%2Fget",
                                        "/api/2.0/models/x/tags",
                                        "/API/2.0/runs/get" };
    static const char *const bad[] = { "/api/%",       "/api/%4",      "/api/%4g/x",
                                       "/files/r/%ff", "/files/r/%00", "/files/r/%c0%af",
                                       "/%ed%a0%80" };
    struct arena *a = arena_new(1 << 20);
    struct router *r = make("");
    struct router_match m;

    for (size_t i = 0; i < ARRAY_N(none); i++) {
        if (router_find(r, HTTP_GET, str_cstr(none[i]), a, &m) != ROUTER_NO_PATH) {
            T_FAIL("%s was found", none[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        if (router_find(r, HTTP_GET, str_cstr(bad[i]), a, &m) != ROUTER_BAD_PATH) {
            T_FAIL("%s passed", bad[i]);
        }
    }
    T_INT(router_find(r, HTTP_PATCH, S("/api/2.0/models/x"), a, &m), ROUTER_NO_METHOD);
    T_UINT(m.allow, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_DELETE);
    router_free(r);
    arena_free(a);
}

TEST(router_prefix)
{
    struct arena *a = arena_new(1 << 20);
    struct router *r = make("/mlflow/here");
    struct router_match m;

    find(r, a, HTTP_GET, "/mlflow/here/ajax-api/2.0/models/m", &h4, &m);
    T_STR(m.captures[0].value, "m");
    find(r, a, HTTP_GET, "/mlflow/here/", &h1, &m);
    T_INT(router_find(r, HTTP_GET, S("/api/2.0/models/m"), a, &m), ROUTER_NO_PATH);
    router_free(r);
    arena_free(a);
}

static void count(void *ctx, const struct route *route, struct str path)
{
    T_OK(route->action != ROUTE_ACTION_NONE);
    T_OK(path.n > 0 && path.p[0] == '/');
    ++*(int *)ctx;
}

TEST(router_each_row)
{
    struct router *r = make(NULL);
    int n = 0;

    router_each(r, count, &n);
    T_INT(n, 8 + 6 + 2);
    router_free(r);
}

TEST(router_refuses)
{
    static const struct route bad[] = {
        { .method = HTTP_GET, .path = "/a", .action = ROUTE_ACTION_NONE },
        { .method = HTTP_METHOD_NONE, .path = "/a", .action = A_READ },
        { .method = HTTP_GET, .path = "a", .action = A_READ },
        { .method = HTTP_GET, .path = "/a//b", .action = A_READ },
        { .method = HTTP_GET, .path = "/a{b}", .action = A_READ },
        { .method = HTTP_GET, .path = "/{}", .action = A_READ },
        { .method = HTTP_GET, .path = "/{a*}/b", .action = A_READ },
        { .method = HTTP_GET, .path = "/{a}{b}", .action = A_READ },
        { .method = HTTP_GET, .path = "/{a", .action = A_READ },
        { .method = HTTP_GET, .path = "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", .action = A_READ },
    };
    static const struct route twice[] = {
        ROUTE(HTTP_GET, "/a/{b}", NULL, NULL, 0, A_READ, &h1),
        ROUTE(HTTP_GET, "/a/{c}", NULL, NULL, 0, A_READ, &h2),
    };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct router *r = NULL;

        T_ST(router_new(&r, NULL), OK);
        T_ST(router_add(r, &bad[i], 1, NULL, 0, NULL, NULL), ST_INVALID);
        router_free(r);
    }
    struct router *r = NULL;

    T_ST(router_new(&r, NULL), OK);
    T_ST(router_add(r, twice, 2, NULL, 0, NULL, NULL), ST_EXISTS);
    router_free(r);
}

/* Whatever the path, a search ends quickly and finds nothing it should not. */
TEST(router_random_paths)
{
    static const char alphabet[] = "/%2Faapi.0runsmodels{}*x";
    struct arena *a = arena_new(1 << 20);
    struct router *r = make(NULL);

    for (int i = 0; i < 20000; i++) {
        char path[400];
        size_t n = t_rand_below(sizeof(path));
        struct router_match m;

        for (size_t k = 0; k < n; k++) {
            path[k] = alphabet[t_rand_below(sizeof(alphabet) - 1)];
        }
        if (router_find(r, HTTP_GET, str_of(path, n), a, &m) == ROUTER_FOUND) {
            T_OK(m.route->method == HTTP_GET);
            for (size_t k = 0; k < m.capture_n; k++) {
                T_OK(m.captures[k].value.n > 0 && m.captures[k].name.n > 0);
            }
        }
        arena_reset(a);
    }
    router_free(r);
    arena_free(a);
}
