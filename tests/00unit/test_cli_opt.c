/* Options: layers and their order, types, limits, messages, the server's table, nearest words. */
#include "cli/opt.h"
#include "server/options.h"
#include "tap.h"
#include <ctype.h>
#include <stdlib.h>

struct target {
    const char *text, *choice;
    const char *const *list;
    bool flag;
    int64_t count, size, duration, times;
};

#define AT(m) .off = offsetof(struct target, m)
static const struct opt_row rows[] = {
    { .name = "text", .type = OPT_TEXT, .env = "CAIRN_TEST_TEXT", .key = "a.text", AT(text) },
    { .name = "list", .type = OPT_LIST, .env = "CAIRN_TEST_LIST", .key = "a.list", AT(list) },
    { .name = "flag", .type = OPT_BOOL, .def = "true", .key = "a.flag", AT(flag) },
    { .name = "count",
      .letter = 'c',
      .type = OPT_COUNT,
      .def = "7",
      .min = "1",
      .max = "10",
      AT(count) },
    { .name = "size", .type = OPT_SIZE, .def = "4K", .min = "1K", .max = "1G", AT(size) },
    { .name = "duration", .type = OPT_DURATION, .def = "2s", .max = "1h", AT(duration) },
    { .name = "choice", .type = OPT_CHOICE, .def = "one", .choices = "one|two", AT(choice) },
    { .name = "times", .letter = 't', .type = OPT_TIMES, AT(times) },
};

static struct arena *memory(void)
{
    static struct arena *a;

    if (!a) {
        a = arena_new(1 << 20);
    }
    if (!a) {
        abort();
    }
    return a;
}

static void flag(struct opts *o, const char *name, const char *value)
{
    struct err err = ERR_INIT;
    bool negated = false;
    const struct opt_row *row = opts_find(o, str_cstr(name), &negated);

    if (!row || opts_flag(o, row, value, negated, &err)) {
        abort();
    }
}

static void fresh(struct opts *o)
{
    struct err err = ERR_INIT;

    if (opts_init(o, rows, ARRAY_N(rows), memory(), &err)) {
        abort();
    }
}

static struct conf conf_of(const char *text)
{
    struct err err = ERR_INIT;
    struct conf c;

    if (conf_parse(&c, memory(), "test.conf", str_cstr(text), &err)) {
        abort();
    }
    return c;
}

TEST(defaults)
{
    struct opts o;
    struct target t = { 0 };
    struct err err = ERR_INIT;

    fresh(&o);
    T_OK(opts_apply(&o, &t, &err) == OK);
    T_OK(!t.text && !t.list && t.flag && t.count == 7 && t.size == 4096 && t.duration == 2000);
    T_OK(strcmp(t.choice, "one") == 0 && t.times == 0);
}

TEST(order_of_layers)
{
    struct opts o;
    struct target t = { 0 };
    struct err err = ERR_INIT;
    struct conf project = conf_of("[a]\ntext = project\nlist = p, q ,,r\n");
    struct conf user = conf_of("[a]\ntext = user\nlist = u\nflag = off\n");

    setenv("CAIRN_TEST_TEXT", "environment", 1);
    fresh(&o);
    opts_env(&o);
    opts_conf(&o, &project, OPT_FROM_PROJECT);
    opts_conf(&o, &user, OPT_FROM_USER);
    T_OK(opts_apply(&o, &t, &err) == OK && strcmp(t.text, "environment") == 0);
    T_OK(t.list && strcmp(t.list[0], "p") == 0 && strcmp(t.list[1], "q") == 0 &&
         strcmp(t.list[2], "r") == 0 && !t.list[3]);
    T_OK(!t.flag);
    T_OK(str_eq_lit(opts_origin(&o, &rows[0]), "environment CAIRN_TEST_TEXT") &&
         str_eq_lit(opts_origin(&o, &rows[1]), "test.conf, line 3"));
    fresh(&o);
    flag(&o, "text", "flag");
    flag(&o, "list", "a");
    flag(&o, "list", "b,c");
    flag(&o, "no-flag", NULL);
    flag(&o, "times", NULL);
    flag(&o, "times", NULL);
    opts_env(&o);
    opts_conf(&o, &project, OPT_FROM_PROJECT);
    T_OK(opts_apply(&o, &t, &err) == OK && strcmp(t.text, "flag") == 0 && !t.flag && t.times == 2);
    T_OK(t.list && strcmp(t.list[0], "a") == 0 && strcmp(t.list[2], "c") == 0 && !t.list[3]);
    unsetenv("CAIRN_TEST_TEXT");
    setenv("CAIRN_TEST_TWIN", "twin", 1);
    fresh(&o);
    opts_env_twin(&o, "text", "CAIRN_TEST_TWIN");
    T_OK(opts_apply(&o, &t, &err) == OK && strcmp(t.text, "twin") == 0);
    unsetenv("CAIRN_TEST_TWIN");
}

TEST(bad_values)
{
    static const struct {
        const char *name, *value;
    } cases[] = { { "count", "0" },     { "count", "11" }, { "count", "x" },
                  { "count", "" },      { "size", "1" },   { "size", "2G" },
                  { "size", "4 K" },    { "size", "-1" },  { "duration", "10" },
                  { "duration", "2h" }, { "choice", "" },  { "choice", "one|two" },
                  { "flag", "maybe" } };

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct opts o;
        struct target t = { 0 };
        struct err err = ERR_INIT;

        fresh(&o);
        flag(&o, cases[i].name, cases[i].value);
        T_OK(opts_apply(&o, &t, &err) == ST_INVALID && strcmp(err.field, cases[i].name) == 0 &&
             err.hint[0]);
    }
}

TEST(secrets)
{
    struct opt_row row = { .name = "store", .flags = OPT_SECRET };

    T_OK(str_eq_lit(opt_shown(&row, "postgresql://u:pa:s@s@h:1/d", memory()),
                    "postgresql://u:***@h:1/d"));
    T_OK(str_eq_lit(opt_shown(&row, "postgresql://u@h/d", memory()), "postgresql://u@h/d"));
    T_OK(str_eq_lit(opt_shown(&row, "postgresql://h/d?password=x", memory()),
                    "postgresql://h/d?password=***"));
    T_OK(opt_uri_has_password("postgresql://u:p@h/d") &&
         !opt_uri_has_password("postgresql://u@h:5/d"));
}

TEST(nearest)
{
    static const struct {
        const char *word, *want;
    } cases[] = { { "lsiten", "listen" },
                  { "serve", "server" },
                  { "contxt", "context" },
                  { "xyz", NULL },
                  { "ls", "ls" },
                  { "l", "ls" },
                  { "", NULL } };
    static const char *const words[] = { "listen", "server", "context", "ls" };

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        const char *best = NULL;
        unsigned cost = UINT32_MAX;

        for (size_t w = 0; w < ARRAY_N(words); w++) {
            opt_nearest(str_cstr(cases[i].word), words[w], &best, &cost);
        }
        T_CSTR(best ? best : "-", cases[i].want ? cases[i].want : "-");
    }
}

TEST(conf)
{
    static const char text[] =
        "# c\ntop = 1\n[context.a]\n server =  http://x \n; c\n[cli]\ncontext=a\n";
    struct conf c = conf_of(text);
    struct err err = ERR_INIT;
    struct buf b = BUF_INIT(4096);

    T_OK(c.n == 3 && strcmp(conf_find(&c, "context.a.server")->value, "http://x") == 0 &&
         conf_find(&c, "context.a.server")->line == 4);
    T_OK(!conf_find(&c, "server"));
    T_OK(conf_parse(&c, memory(), "f", S("[x\n"), &err) == ST_INVALID);
    T_OK(conf_parse(&c, memory(), "f", S("nothing\n"), &err) == ST_INVALID);
    T_OK(conf_parse(&c, memory(), "f", str_of("a = \0", 5), &err) == ST_INVALID);
    T_OK(conf_edit(&b, str_cstr(text), "cli", "context", "b", &err) == OK &&
         str_find(buf_str(&b), S("[cli]\ncontext = b\n")) != SIZE_MAX &&
         str_find(buf_str(&b), S("# c\n")) == 0);
    buf_clear(&b);
    T_OK(conf_edit(&b, str_cstr(text), "cli", "context", NULL, &err) == OK &&
         str_find(buf_str(&b), S("context=a")) == SIZE_MAX);
    buf_clear(&b);
    T_OK(conf_edit(&b, str_cstr(text), "new", "k", "v", &err) == OK &&
         str_ends(buf_str(&b), S("\n[new]\nk = v\n")));
    buf_clear(&b);
    T_OK(conf_edit(&b, str_cstr(text), "context.a", "token_file", "/t", &err) == OK &&
         str_find(buf_str(&b), S("token_file = /t\n[cli]")) != SIZE_MAX);
    buf_release(&b);
}

/* The rule of names: env and key follow from the name; a row that breaks it would surprise. */
TEST(server_table)
{
    struct server_options options = { 0 };
    struct opts o;
    struct err err = ERR_INIT;
    bool names = true, docs = true;

    for (size_t i = 0; i < SERVER_ROWS_N; i++) {
        const struct opt_row *row = &server_rows[i];
        char env[128] = "CAIRN_";
        size_t n = 6;

        if (!row->name || !row->doc) {
            docs = false;
            continue;
        }
        for (const char *p = row->name; *p && n < sizeof(env) - 1; p++) {
            env[n++] = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        }
        env[n] = 0;
        if (!(row->flags & OPT_MLFLOW) && !row->only) {
            const char *dot = row->key ? strchr(row->key, '.') : NULL;
            struct str tail = str_cstr(dot ? dot + 1 : NULL);
            char flat[128];
            size_t m = 0;

            for (const char *p = row->name; *p && m < sizeof(flat) - 1; p++) {
                flat[m++] = *p == '-' ? '_' : *p;
            }
            names = names && row->env && strcmp(row->env, env) == 0 && dot &&
                    str_ends(str_of(flat, m), tail);
        }
        for (size_t k = 0; k < i; k++) {
            names = names && server_rows[k].off != row->off &&
                    strcmp(server_rows[k].name, row->name) != 0;
        }
    }
    T_OK(docs);
    T_OK(names);
    T_OK(opts_init(&o, server_rows, SERVER_ROWS_N, memory(), &err) == OK &&
         opts_apply(&o, &options, &err) == OK && options.body_max == 64 << 20);
}
