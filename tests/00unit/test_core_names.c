/* test_core_names.c - names, values and paths: what is taken, and the texts of what is not. */
#include "base/mem.h"
#include "core/names.h"
#include "tap.h"

static struct arena *arena;

static const char *norm(const char *path)
{
    struct str s;

    if (!arena) {
        arena = arena_new(1 << 20);
    }
    s = name_normpath(arena, str_cstr(path));
    return arena_cstr(arena, s);
}

TEST(normpath_is_posixpath_normpath)
{
    static const char *const cases[][2] = {
        { "", "." },
        { "a", "a" },
        { "a/b", "a/b" },
        { "a//b", "a/b" },
        { "./a", "a" },
        { "a/.", "a" },
        { "a/..", "." },
        { "a/../b", "b" },
        { "../a", "../a" },
        { "a/../../b", "../b" },
        { "/", "/" },
        { "//", "//" },
        { "///", "/" },
        { "/..", "/" },
        { "/../a", "/a" },
        { "//a/../..", "//" },
        { "a/b/", "a/b" },
        { "../..", "../.." },
        { "../../a", "../../a" },
        { "a/b/../../..", ".." },
    };

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        T_CSTR(norm(cases[i][0]), cases[i][1]);
    }
    arena_free(arena);
    arena = NULL;
}

static enum status check(const char *key, struct err *err)
{
    return name_check_metric(str_cstr(key), "name", err);
}

TEST(keys_that_are_taken)
{
    static const char *const good[] = { "loss",
                                        "train/loss",
                                        "a b",
                                        "a.b",
                                        "a-b_c",
                                        "a:b",
                                        "x..y",
                                        ".hidden",
                                        "\xc3\xa9t\xc3\xa9",
                                        "\xe5\xad\xa6\xe7\xbf\x92" };

    for (size_t i = 0; i < ARRAY_N(good); i++) {
        struct err err = ERR_INIT;

        T_ST(check(good[i], &err), OK);
    }
}

TEST(keys_that_are_refused_with_their_texts)
{
    struct err err = ERR_INIT;

    T_ST(check("a$b", &err), ST_INVALID);
    T_CSTR(
        err.message,
        "Invalid value \"a$b\" for parameter 'name' supplied: Names may only contain alphanumerics, underscores "
        "(_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).");
    T_ST(check("a//b", &err), ST_INVALID);
    T_CSTR(
        err.message,
        "Invalid value \"a//b\" for parameter 'name' supplied: Names may be treated as files in certain cases, "
        "and must not resolve to other names when treated as such. This name would resolve to 'a/b'");
    T_ST(check("../x", &err), ST_INVALID);
    T_ST(check("/x", &err), ST_INVALID);
    T_ST(check("x/", &err), ST_INVALID);
    T_ST(check(".", &err), ST_INVALID);
    T_ST(check("...", &err), ST_INVALID);
    T_ST(check("a/./b", &err), ST_INVALID);
    T_ST(check("a\nb", &err), ST_INVALID);
    T_ST(check("a\xf0\x9f\x98\x80", &err), ST_INVALID);
    T_CSTR(
        err.message,
        "Invalid value \"a\\ud83d\\ude00\" for parameter 'name' supplied: Names may only contain alphanumerics, "
        "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).");
}

TEST(lengths_count_code_points)
{
    char text[1024];
    struct err err = ERR_INIT;

    memset(text, 'x', sizeof(text));
    T_ST(name_check_metric(str_of(text, 250), "name", &err), OK);
    T_ST(name_check_metric(str_of(text, 251), "name", &err), ST_INVALID);
    T_CSTR(err.message, "'Metric name' exceeds the maximum length of 250 characters");
    for (size_t i = 0; i < 250; i++) {
        text[2 * i] = (char)0xc3;
        text[2 * i + 1] = (char)0xa9;
    }
    T_ST(name_check_param(str_of(text, 500), "key", &err), OK);
    T_ST(name_check_experiment((struct str){ "", 0 }, &err), ST_INVALID);
    T_CSTR(err.message, "Invalid experiment name: ''");
}

TEST(artifact_paths)
{
    static const char *const good[] = { "",      "a",     "a/b.txt", "a b/c", "model/",
                                        "a%20b", "x/..y", "100%",    "a:b/c" };
    static const char *const bad[] = { "..",
                                       "a/..",
                                       "../a",
                                       "/a",
                                       "a//b",
                                       "a\\b",
                                       "%2e%2e/a",
                                       "a/%2e.",
                                       "a#b",
                                       "%252e%252e/",
                                       "%5c",
                                       "C:/a",
                                       "file:///a",
                                       "a/./b",
                                       "a\x01",
                                       "%00",
                                       "%252525252e%252525252e/x",
                                       "s3:/x",
                                       "file:etc/passwd",
                                       "File:x",
                                       "%2fetc" };
    char longest[300];

    for (size_t i = 0; i < ARRAY_N(good); i++) {
        struct err err = ERR_INIT;

        if (name_check_artifact_path(str_cstr(good[i]), &err)) {
            T_CSTR(good[i], "is taken");
        }
    }
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        struct err err = ERR_INIT;

        if (name_check_artifact_path(str_cstr(bad[i]), &err) != ST_INVALID) {
            T_CSTR(bad[i], "is refused");
        }
        T_CSTR(err.message, "Invalid path");
    }
    memset(longest, 'x', sizeof(longest));
    T_ST(name_check_artifact_path(str_of(longest, 255), NULL), OK);
    T_ST(name_check_artifact_path(str_of(longest, 256), NULL), ST_INVALID);
}

TEST(run_ids)
{
    struct err err = ERR_INIT;

    T_ST(name_check_run_id(S("0123456789abcdef0123456789abcdef"), "run_id", &err), OK);
    T_ST(name_check_run_id(S("a-b_c"), "run_id", &err), OK);
    T_ST(name_check_run_id(S("-a"), "run_id", &err), ST_INVALID);
    T_CSTR(err.message, "Invalid value \"-a\" for parameter 'run_id' supplied.");
    T_ST(name_check_run_id(S("a b"), "run_id", &err), ST_INVALID);
    T_ST(name_check_run_id(S(""), "run_id", &err), ST_INVALID);
}

TEST(artifact_locations)
{
    struct err err = ERR_INIT;

    T_ST(name_check_artifact_location(S("s3://bucket/path"), &err), OK);
    T_ST(name_check_artifact_location(S("mlflow-artifacts:/x"), &err), OK);
    T_ST(name_check_artifact_location(S("runs:/a/b"), &err), ST_INVALID);
    T_ST(name_check_artifact_location(S("s3://bucket/path#x"), &err), ST_INVALID);
    T_ST(name_check_artifact_location(S("s3://bucket/path?x=../y"), &err), ST_INVALID);
    /* What the proxy would refuse with every single file is refused before a run exists. */
    T_ST(name_check_artifact_location(S("mlflow-artifacts:/"), &err), OK);
    T_ST(name_check_artifact_location(S("mlflow-artifacts://host:80/a/b/"), &err), OK);
    T_ST(name_check_artifact_location(S("mlflow-artifacts://host"), &err), OK);
    T_ST(name_check_artifact_location(S("mlflow-artifacts:///a"), &err), OK);
    T_ST(name_check_artifact_location(S("mlflow-artifacts:/a/../../etc"), &err), ST_INVALID);
    T_CSTR(err.field, "artifact_location");
    T_ST(name_check_artifact_location(S("mlflow-artifacts://host/../etc"), &err), ST_INVALID);
    T_ST(name_check_artifact_location(S("mlflow-artifacts:/a/%2e%2e/b"), &err), ST_INVALID);
    T_ST(name_check_artifact_location(S("mlflow-artifacts:/a\\b"), &err), ST_INVALID);
    T_ST(name_check_artifact_location(S("mlflow-artifacts:a"), &err), ST_INVALID);
    T_ST(name_check_artifact_location(S("s3://bucket/../x"), &err), OK); /* not ours */
}

/* However long a wrong value is, it is the caller's mistake and not a lack of memory. */
TEST(huge_values_are_the_callers_mistake)
{
    struct arena *a = arena_new(8 << 20);
    char *p = arena_alloc(a, 600000);
    struct err err = ERR_INIT;
    static const char fills[] = { '#', 'a', '.', '/' };

    for (size_t i = 0; i < ARRAY_N(fills); i++) {
        struct str s = str_of(p, 600000);

        memset(p, fills[i], s.n);
        T_ST(name_check_run_id(s, "run_id", &err), ST_INVALID);
        T_ST(name_check_metric(s, "key", &err), ST_INVALID);
        T_ST(name_check_tag(s, "key", &err), ST_INVALID);
        T_ST(name_check_experiment(s, &err), ST_INVALID);
        T_ST(name_check_artifact_path(s, &err), ST_INVALID);
        T_ST(name_check_artifact_location(s, &err), ST_INVALID);
    }
    arena_free(a);
}

TEST(out_of_memory_is_said)
{
    struct err err = ERR_INIT;

    for (int64_t n = 1; n < 20; n++) {
        enum status st;

        mem_fail_after(n, true);
        st = name_check_metric(S("a//b"), "name", &err);
        mem_fail_never();
        T_OK(st == ST_INVALID || st == ST_NOMEM);
    }
}
