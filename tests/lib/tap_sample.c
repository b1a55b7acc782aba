/* tests/lib/tap_sample.c - tests that pass, fail, hang and die; tap_selftest.py knows what must come out. */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TEST(passes)
{
    static const double nan_a = __builtin_nan("1");
    enum status st = OK;

    puts("ok 1 - not a result");
    T_OK(1 + 1 == 2);
    T_INT(-1, -1);
    T_UINT(UINT64_MAX, UINT64_MAX);
    T_DBL_BITS(nan_a, nan_a);
    T_STR(str_cstr("text"), "text");
    T_STR(str_of("a\0b", 3), "a\0b");
    T_STR_EQ(str_cstr(""), str_of(NULL, 0));
    T_CSTR(NULL, NULL);
    T_MEM("abc", "abd", 2);
    T_ST(st, OK);
    t_note("seen");
}

TEST(false_condition)
{
    T_OK(2 < 1);
}

TEST(other_int)
{
    T_INT(-7, 8);
}

TEST(other_uint)
{
    T_UINT(1, UINT64_MAX);
}

TEST(other_zero)
{
    T_DBL_BITS(0.0, -0.0);
}

TEST(other_str)
{
    T_STR(str_of("a\n\"b\0", 5), "a");
}

TEST(other_cstr)
{
    T_CSTR(NULL, "x");
}

TEST(other_mem)
{
    T_MEM("0123456789abcdef", "0123456789Xbcdef", 16);
}

TEST(other_status)
{
    struct err err = ERR_INIT;

    T_ST_ERR(err_set(&err, ST_NOT_FOUND, "run 4f2c not found"), OK, &err);
}

TEST(said_why)
{
    T_FAIL("gave up after %d", 3);
}

TEST(skipped)
{
    T_SKIP("no such engine");
}

TEST(dies)
{
    abort();
}

TEST(leaves)
{
    exit(3);
}

TEST_LIMIT(hangs, 1)
{
    for (;;) {
        pause();
    }
}

TEST(child_fails)
{
    if (fork() == 0) T_INT(1, 2);
    sleep(1);
}

TEST(leaves_child)
{
    pid_t pid = fork();

    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    t_note("child %d", (int)pid);
}

TEST(temporary_directories)
{
    char path[1024];
    const char *a = t_tmpdir(), *b = t_tmpdir();
    FILE *f;

    T_OK(strcmp(a, b) != 0);
    snprintf(path, sizeof(path), "%s/file", a);
    f = fopen(path, "w");
    T_OK(f != NULL);
    fclose(f);
    t_note("dir %s", a);
}

TEST(random_a)
{
    uint64_t a = t_rand();

    T_OK(t_rand_below(10) < 10);
    t_note("random %llx", (unsigned long long)a);
}

TEST(random_b)
{
    t_note("random %llx", (unsigned long long)t_rand());
}
