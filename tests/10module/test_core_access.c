/* Tokens, principals and the decision; tokens in the store, on both engines. */
#include "corefix.h"
#include "sqltest.h"
#include "tap.h"

#include "base/mem.h"
#include "core/access.h"
#include <stdio.h>

static struct access *new_access(enum auth_mode mode)
{
    struct access *a = NULL;
    struct err err = ERR_INIT;

    T_ST(access_new(&a, mode, &err), OK);
    return a;
}

static struct digest digest(const char *text)
{
    struct digest d;

    T_OK(sha256_of(text, strlen(text), &d));
    return d;
}

static void add(struct access *a, const char *name, const char *token)
{
    struct err err = ERR_INIT;
    struct digest d = digest(token);

    T_ST_ERR(access_add(a, str_cstr(name), &d, S("who"), &err), OK, &err);
}

static enum status auth(struct access *a, const char *token)
{
    const struct principal *p = NULL;
    struct err err = ERR_INIT;
    enum status st = access_authenticate(a, str_cstr(token), &p, &err);

    T_OK(p != NULL);
    T_OK(p->anonymous == (st != OK || access_mode(a) == AUTH_NONE));
    return st;
}

TEST(decisions)
{
    struct access *open = new_access(AUTH_NONE), *closed = new_access(AUTH_TOKEN);
    const struct principal *anonymous, *known;
    struct err err = ERR_INIT;
    struct str none = { NULL, 0 };

    add(closed, "t", "secret");
    T_ST(access_authenticate(closed, none, &anonymous, &err), OK);
    T_OK(anonymous->anonymous);
    T_ST(access_authenticate(closed, S("secret"), &known, &err), OK);
    T_STR(known->name, "who");
    for (int i = -1; i <= ACTION_N; i++) {
        enum action action = (enum action)i;
        bool real = i > ACTION_NONE && i < ACTION_N, public = i == ACTION_PUBLIC;

        T_ST(authorise(open, anonymous, action, RESOURCE_RUN, &err), real ? OK : ST_DENIED);
        T_ST(authorise(closed, known, action, RESOURCE_RUN, &err), real ? OK : ST_DENIED);
        T_ST(authorise(closed, anonymous, action, RESOURCE_RUN, &err), public ? OK
                                                                       : real ? ST_UNAUTHENTICATED
                                                                              : ST_DENIED);
        if (real) T_OK(action_name(action)[0] != 0);
        if (i == ACTION_N) T_CSTR(action_name(action), "");
    }
    access_free(open);
    access_free(closed);
    access_free(NULL);
}

TEST(credentials)
{
    struct access *a = new_access(AUTH_TOKEN);
    char big[5001];

    memset(big, 'x', 5000);
    big[5000] = 0;
    add(a, "t", "secret");
    T_ST(auth(a, "secret"), OK);
    T_ST(auth(a, "secreT"), ST_UNAUTHENTICATED);
    T_ST(auth(a, "secre"), ST_UNAUTHENTICATED);
    T_ST(auth(a, ""), ST_UNAUTHENTICATED);
    T_ST(auth(a, big), ST_UNAUTHENTICATED);
    add(a, "t", "newer"); /* replaces */
    T_ST(auth(a, "secret"), ST_UNAUTHENTICATED);
    T_ST(auth(a, "newer"), OK);
    T_OK(access_remove(a, S("t")));
    T_OK(!access_remove(a, S("t")));
    T_ST(auth(a, "newer"), ST_UNAUTHENTICATED);
    access_free(a);
}

/* One token under two names: removing a name leaves the other. */
TEST(the_same_token_twice)
{
    struct access *a = new_access(AUTH_TOKEN);

    add(a, "old", "secret");
    add(a, "new", "secret");
    T_OK(access_remove(a, S("old")));
    T_ST(auth(a, "secret"), OK);
    T_OK(access_remove(a, S("new")));
    T_ST(auth(a, "secret"), ST_UNAUTHENTICATED);
    access_free(a);
}

/* A removed token is not accepted any more, also when memory is out. */
TEST(removing_needs_no_memory)
{
    struct access *a = new_access(AUTH_TOKEN);

    for (int i = 0; i < 100; i++) {
        char name[16], token[16];

        snprintf(name, sizeof(name), "n%d", i);
        snprintf(token, sizeof(token), "secret %d", i);
        add(a, name, token);
        mem_fail_after(1, false);
        T_OK(access_remove(a, str_cstr(name)));
        mem_fail_never();
        T_ST(auth(a, token), ST_UNAUTHENTICATED);
    }
    access_free(a);
}

TEST(new_tokens_differ)
{
    char x[TOKEN_TEXT_MAX], y[TOKEN_TEXT_MAX];
    struct digest d, e;

    T_OK(token_new(x, &d) && token_new(y, &e));
    T_OK(strcmp(x, y) != 0);
    T_INT(strlen(x), 51);
    T_OK(strncmp(x, "cairn_t_", 8) == 0);
    e = digest(x);
    T_MEM(d.b, e.b, sizeof(d.b));
}

SQL_TEST(tokens_of_the_store)
{
    struct access *a = new_access(AUTH_TOKEN), *later = new_access(AUTH_TOKEN);
    struct token_add t;
    struct token_remove r;
    struct token_row *rows;
    struct corefix f;
    size_t n;

    corefix_open(&f, location, NULL);
    token_add_init(&t, a, f.a);
    t.name = S("ci");
    t.principal = S("robot");
    t.sha256 = digest("secret");
    T_ST_ERR(corefix_run(&f, &t.op), OK, &f.err);
    T_ST(auth(a, "secret"), OK);
    T_ST(corefix_run(&f, &t.op), ST_EXISTS);
    T_CSTR(f.err.message, "token ci exists already");
    t.sha256 = digest("other");
    T_ST(corefix_run(&f, &t.op), ST_EXISTS);
    T_ST(auth(a, "other"), ST_UNAUTHENTICATED);
    corefix_reopen(&f);
    T_ST_ERR(access_load(later, &f.v, &f.err), OK, &f.err);
    T_ST(auth(later, "secret"), OK);
    T_ST_ERR(token_list(&f.v, &rows, &n, &f.err), OK, &f.err);
    T_INT(n, 1);
    T_STR(rows[0].name, "ci");
    T_STR(rows[0].principal, "robot");
    T_OK(rows[0].create_ms > 1500000000000);
    token_remove_init(&r, later, f.a);
    r.name = S("ci");
    T_ST_ERR(corefix_run(&f, &r.op), OK, &f.err);
    T_ST(auth(later, "secret"), ST_UNAUTHENTICATED);
    T_ST(corefix_run(&f, &r.op), ST_NOT_FOUND);
    T_ST_ERR(token_list(&f.v, &rows, &n, &f.err), OK, &f.err);
    T_INT(n, 0);
    corefix_close(&f);
    access_free(a);
    access_free(later);
}
