/* tests/10module/test_net_guard.c - Host and Origin checks, and CORS, over the wire. */
#include "netfix.h"
#include <stdio.h>
#include <unistd.h>

static int ask(struct nf *f, const char *line, const char *host, const char *origin,
               struct nf_answer *a)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: %s\r\n%s%s%sContent-Length: 0\r\n\r\n",
                   line, host, origin ? "Origin: " : "", origin ? origin : "",
                   origin ? "\r\n" : "");
    nf_ask(f, text, a);
    return a->status;
}

static int status_of(struct nf *f, const char *line, const char *host, const char *origin)
{
    struct nf_answer a;
    int status = ask(f, line, host, origin, &a);

    nf_answer_release(&a);
    return status;
}

TEST(test_net_host)
{
    static const char *const good[] = { "localhost",    "LocalHost:5000", "127.0.0.1:1",
                                        "[::1]:80",     "0.0.0.0:5757",   "10.1.2.3",
                                        "172.16.0.1:5", "172.31.9.9",     "192.168.1.1:9",
                                        "[fd00::1]:80", "[fc00:1::2]" };
    static const char *const bad[] = { "evil.example",
                                       "localhost.evil.example",
                                       "10.evil.example",
                                       "172.32.0.1",
                                       "11.0.0.1",
                                       "192.168.evil.com:80",
                                       "127.0.0.1.nip.io",
                                       "[2001:db8::1]",
                                       "" };
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_N(good); i++) {
        T_INT(status_of(&f, "GET /hello", good[i], NULL), 200);
    }
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_INT(ask(&f, "GET /hello", bad[i], NULL, &a), 403);
        T_CSTR(a.body, "Invalid Host header - possible DNS rebinding attack detected");
        nf_answer_release(&a);
    }
    T_INT(status_of(&f, "GET /health", "evil.example", NULL), 200);
    nf_stop(&f);
}

TEST(test_net_origin)
{
    const char *write = "POST /api/2.0/mlflow/runs/create";
    struct nf_answer a;
    struct nf f;

    nf_start(&f, NULL);
    T_INT(status_of(&f, write, "localhost", NULL), 200);
    T_INT(status_of(&f, write, "localhost", "http://localhost:3000"), 200);
    T_INT(status_of(&f, write, "10.0.0.5:5000", "http://10.0.0.5:5000"), 200); /* its own pages */
    T_INT(status_of(&f, "POST /ajax-api/2.0/mlflow/runs/create", "localhost", "http://127.0.0.1:1"),
          200);
    T_INT(ask(&f, write, "localhost", "http://evil.example", &a), 403);
    T_CSTR(a.body, "Cross-origin request blocked");
    nf_answer_release(&a);
    T_INT(status_of(&f, write, "localhost", "null"), 403);
    T_INT(status_of(&f, write, "localhost", "http://localhost.evil.example"), 403);
    T_INT(status_of(&f, "POST /echo", "localhost", "http://evil.example"), 403);
    T_INT(status_of(&f, "GET /hello", "localhost", "http://evil.example"),
          200); /* reads are for CORS */
    nf_stop(&f);
}

static void listed(struct http_server_options *o)
{
    static const char *const origins[] = { "https://*.example.org", NULL };
    static const char *const hosts[] = { "tracking.example.org:*", "localhost", NULL };

    o->guard.origins = origins;
    o->guard.hosts = hosts;
    o->guard.frame_options = "NONE";
}

TEST(test_net_cors)
{
    const char *create = "/api/2.0/mlflow/runs/create";
    char line[128];
    struct nf_answer a;
    struct nf f;

    nf_start(&f, listed);
    (void)snprintf(line, sizeof(line), "OPTIONS %s", create);
    T_INT(ask(&f, line, "localhost", "https://ui.example.org", &a), 204);
    T_CSTR(nf_field(&a, "access-control-allow-origin"), "https://ui.example.org");
    T_CSTR(nf_field(&a, "access-control-allow-credentials"), "true");
    T_OK(strstr(nf_field(&a, "access-control-allow-methods"), "PATCH") != NULL);
    T_CSTR(nf_field(&a, "vary"), "Origin");
    T_CSTR(nf_field(&a, "x-frame-options"), "");
    nf_answer_release(&a);
    T_INT(ask(&f, line, "localhost", "https://evil.example", &a), 204);
    T_CSTR(nf_field(&a, "access-control-allow-origin"), "");
    nf_answer_release(&a);
    (void)snprintf(line, sizeof(line), "POST %s", create);
    T_INT(ask(&f, line, "tracking.example.org:8080", "https://ui.example.org", &a), 200);
    T_CSTR(nf_field(&a, "access-control-allow-origin"), "https://ui.example.org");
    nf_answer_release(&a);
    T_INT(status_of(&f, line, "10.0.0.1", NULL), 403);
    nf_stop(&f);
}

static void unchecked(struct http_server_options *o)
{
    static const char *const any[] = { "*", NULL };

    o->guard.origins = o->guard.hosts = any;
}

TEST(test_net_guard_any)
{
    struct nf_answer a;
    struct nf f;

    nf_start(&f, unchecked);
    T_INT(ask(&f, "POST /api/2.0/mlflow/runs/create", "any.example", "http://evil.example", &a),
          200);
    T_CSTR(nf_field(&a, "access-control-allow-origin"), "http://evil.example");
    T_CSTR(nf_field(&a, "access-control-allow-credentials"),
           ""); /* any page, but without the user's cookies */
    nf_answer_release(&a);
    nf_stop(&f);
}
