/* Every route x every kind of caller, through a real server and its gate, against the table routes.txt: a route that is not in the
 * table fails, and so does a line of the table without a route. Handlers do not run: what counts is who gets to them. */
#include "tap.h"

#include "api/grpc/grpc.h"
#include "api/kubeflow/kubeflow.h"
#include "api/mlflow/mlflow.h"
#include "api/native/native.h"
#include "api/openlineage/openlineage.h"
#include "base/fs.h"
#include "base/sock.h"
#include "base/sys.h"
#include "net/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* What the columns of the table are about. */
static const struct caller {
    const char *what, *header;
    enum auth_mode mode;
} callers[] = {
    { "no credentials", "", AUTH_TOKEN },
    { "wrong token", "Authorization: Bearer wrong\r\n", AUTH_TOKEN },
    { "right token", "Authorization: Bearer the-right-token\r\n", AUTH_TOKEN },
    { "no authentication", "", AUTH_NONE },
};

enum { DECISION_MAX = 8, LINE_MAX_BYTES = 4096 };

struct answered {
    char decision[ARRAY_N(callers)][DECISION_MAX];
};

struct row {
    const struct route *route;
    struct str method, path; /* captures filled in */
    struct answered got;
};

struct walk {
    struct arena *a;
    struct row *rows;
    size_t n, cap;
    struct str line; /* scratch */
};

static void let_in(void *ctx, struct http_req *req)
{
    (void)ctx;
    http_status(req, 204);
    http_send_empty(req);
}

static void take_route(void *ctx, const struct route *route, struct str path)
{
    struct walk *w = ctx;

    T_OK(arena_grow(w->a, (void **)&w->rows, w->n, &w->cap, sizeof(*w->rows)));
    w->rows[w->n++] = (struct row){ .route = route,
                                    .method = str_cstr(http_method_name(route->method)),
                                    .path = arena_str(w->a, path) };
}

/* "/a/{b}/{c*}" -> "/a/x/x" */
static struct str target_of(struct arena *a, struct str path)
{
    char *to = arena_alloc(a, path.n + 1);
    size_t n = 0;

    T_OK(to != NULL);
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '{') {
            i = str_find_byte(path, '}', i);
            T_OK(i != SIZE_MAX);
            to[n++] = 'x';
        } else {
            to[n++] = path.p[i];
        }
    }
    return str_of(to, n);
}

static int status_of(const struct row *row, struct arena *a, const char *address,
                     const char *header)
{
    struct str target = target_of(a, row->path);
    struct str text = arena_printf(
        a,
        "%.*s %.*s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n",
        STR_ARG(row->method), STR_ARG(target), header);
    struct err err = ERR_INIT;
    char answer[LINE_MAX_BYTES];
    size_t n = 0;
    ssize_t got;
    int fd;

    T_ST_ERR(sock_connect(address, &fd, &err), OK, &err);
    T_ST_ERR(fs_write_all(fd, text.p, text.n, &err), OK, &err);
    while (n < sizeof(answer) && (got = sys.read(fd, answer + n, sizeof(answer) - n)) > 0) {
        n += (size_t)got;
    }
    sys.close(fd);
    T_OK(n > 12 && memcmp(answer, "HTTP/1.1 ", 9) == 0);
    answer[12] = 0;
    return (int)strtol(answer + 9, NULL, 10);
}

static void ask_all(struct walk *w, const struct router *router, size_t caller)
{
    struct http_server_options options;
    struct http_server *server = NULL;
    struct http_hooks hooks;
    struct access *access = NULL;
    struct api api = { .serve_artifacts = true };
    struct digest d;
    struct err err = ERR_INIT;
    char address[64];

    T_ST(access_new(&access, callers[caller].mode, &err), OK);
    T_OK(sha256_of("the-right-token", 15, &d));
    T_ST(access_add(access, S("t"), &d, S("ann"), &err), OK);
    api.access = access;
    api_hooks(&hooks, &api);
    hooks.handle = let_in;
    http_server_options_init(&options);
    options.loop_n = 1;
    T_ST_ERR(http_server_new(&server, &options, router, &hooks, &err), OK, &err);
    T_ST_ERR(http_server_listen(server, "127.0.0.1:0", &err), OK, &err);
    T_ST_ERR(http_server_start(server, &err), OK, &err);
    snprintf(address, sizeof(address), "127.0.0.1:%u", http_server_port(server, 0));
    for (size_t i = 0; i < w->n; i++) {
        struct row *r = &w->rows[i];
        int status = status_of(r, w->a, address, callers[caller].header);

        if (status == 204) {
            snprintf(r->got.decision[caller], DECISION_MAX, "ok");
        } else {
            snprintf(r->got.decision[caller], DECISION_MAX, "%d", status);
        }
    }
    T_ST_ERR(http_server_stop(server, 1000, 1000, &err), OK, &err);
    http_server_free(server);
    access_free(access);
}

static struct str line_of(struct walk *w, const struct row *r)
{
    return arena_printf(w->a, "%.*s %.*s %s %s %s %s", STR_ARG(r->method), STR_ARG(r->path),
                        r->got.decision[0], r->got.decision[1], r->got.decision[2],
                        r->got.decision[3]);
}

static bool table_has(struct str table, struct str line)
{
    struct str rest = table, one;

    while (str_split(&rest, '\n', &one)) {
        if (str_eq(one, line)) {
            return true;
        }
    }
    return false;
}

static struct str read_table(struct arena *a)
{
    struct err err = ERR_INIT;
    struct str table;

    T_ST_ERR(fs_read_file(a, ROUTES_TABLE, 1 << 20, &table, &err), OK, &err);
    return table;
}

TEST_LIMIT(every_route_and_every_caller, 120)
{
    struct walk w = { .a = arena_new(64 << 20) };
    struct router *router = NULL;
    struct err err = ERR_INIT;
    struct str table, rest, line;
    size_t wrong = 0, expected = 0;

    T_ST(router_new(&router, &err), OK);
    T_ST_ERR(mlflow_routes(router, NULL, &err), OK, &err);
    T_ST_ERR(kubeflow_routes(router, NULL, &err), OK, &err);
    T_ST_ERR(grpc_routes(router, &err), OK, &err);
    T_ST_ERR(openlineage_routes(router, NULL, &err), OK, &err);
    T_ST_ERR(native_routes(router, NULL, true, &err), OK, &err);
    router_each(router, take_route, &w);
    for (size_t c = 0; c < ARRAY_N(callers); c++) {
        ask_all(&w, router, c);
    }
    table = read_table(w.a);
    for (size_t i = 0; i < w.n; i++) {
        line = line_of(&w, &w.rows[i]);
        if (!table_has(table, line)) {
            t_note("not in the table: %.*s", STR_ARG(line));
            wrong++;
        }
    }
    rest = table;
    while (str_split(&rest, '\n', &line)) {
        expected += line.n && line.p[0] != '#';
    }
    if (wrong) T_FAIL("%zu routes are decided in a way that routes.txt does not say", wrong);
    T_INT(w.n, expected);
    router_free(router);
    arena_free(w.a);
}

/* Nothing but the answers that tell no one anything is public. */
TEST(few_routes_are_public)
{
    struct arena *a = arena_new(1 << 22);
    struct str rest = read_table(a), line;
    size_t public = 0;

    while (str_split(&rest, '\n', &line)) {
        if (!line.n || line.p[0] == '#' || str_find(line, S(" 401 401 ok ")) != SIZE_MAX) {
            continue;
        }
        T_OK(str_starts(line, S("GET ")) || str_starts(line, S("POST /grpc.health.")) ||
             str_starts(line, S("POST /grpc.reflection.")));
        public++;
    }
    T_INT(
        public,
        8); /* health, version, server-info under both of its names; gRPC's health and reflection */
    arena_free(a);
}
