/* tests/lib/tap.h - the C test harness: TAP on standard output, one process per test.
 *
 *     #include "tap.h"
 *
 *     TEST(str_trim_drops_both_ends)
 *     {
 *         T_STR(str_trim(S("  a b ")), "a b");
 *         T_INT(str_cmp(S("a"), S("b")) < 0, 1);
 *     }
 *
 * TEST() defines a test and registers it; main() comes from tap.c. The first check that fails prints both values with
 * file and line and ends that test; the next test runs in a new process. A test also fails when its process dies,
 * exits with another code than 0 (the leak checker of a sanitizer build does), or exceeds its time. What it leaves
 * behind (processes of its group, temporary directories) is removed by the parent.
 *
 * Options of every test program: --list, --filter TEXT (names that contain TEXT), --seed N, --no-fork (for a
 * debugger). Environment: CAIRN_TEST_SEED, CAIRN_TEST_TIMEOUT_S (replaces every limit),
 * CAIRN_TEST_SLOW=N (N times every limit, for sanitizers and busy machines).
 *
 * Ownership: everything returned here belongs to the harness and lives until the test ends.
 * Thread rule: checks may be made in any thread and in children of the test; t_rand() and t_tmpdir() are for one
 * thread at a time. */
#ifndef CAIRN_TESTS_LIB_TAP_H
#define CAIRN_TESTS_LIB_TAP_H

#include "base/err.h"
#include "base/str.h"
#include <stdint.h>

enum { TAP_TIMEOUT_S = 60 };

struct tap_test {
    const char *name;
    void (*run)(void);
    int timeout_s;
    struct tap_test *next;
};

void tap_register(struct tap_test *t);

/* A test with its own time limit in seconds; TEST() takes TAP_TIMEOUT_S. Tests run in the order of definition. */
#define TEST_LIMIT(test_name, seconds)                                                             \
    static void tap_run_##test_name(void);                                                         \
    static struct tap_test tap_row_##test_name = { #test_name, tap_run_##test_name, (seconds),     \
                                                   NULL };                                         \
    __attribute__((constructor)) static void tap_reg_##test_name(void)                             \
    {                                                                                              \
        tap_register(&tap_row_##test_name);                                                        \
    }                                                                                              \
    static void tap_run_##test_name(void)
#define TEST(test_name) TEST_LIMIT(test_name, TAP_TIMEOUT_S)

/* Checks. Each evaluates its arguments once. */
#define T_OK(cond)        ((cond) ? (void)0 : t_fail_at(__FILE__, __LINE__, "false: %s", #cond))
#define T_INT(got, want)  tap_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
#define T_UINT(got, want) tap_uint(__FILE__, __LINE__, #got, (uint64_t)(got), (uint64_t)(want))
/* The same 64 bits: tells 0.0 from -0.0 and one NaN from another. */
#define T_DBL_BITS(got, want) tap_dbl(__FILE__, __LINE__, #got, (got), (want))
/* A struct str against a string literal, which may hold NUL bytes. */
#define T_STR(got, literal) tap_str(__FILE__, __LINE__, #got, (got), S(literal))
/* A struct str against a struct str. */
#define T_STR_EQ(got, want) tap_str(__FILE__, __LINE__, #got, (got), (want))
/* NUL-terminated text; NULL equals only NULL. */
#define T_CSTR(got, want)   tap_cstr(__FILE__, __LINE__, #got, (got), (want))
#define T_MEM(got, want, n) tap_mem(__FILE__, __LINE__, #got, (got), (want), (n))
#define T_ST(got, want)     tap_st(__FILE__, __LINE__, #got, (got), (want), NULL)
/* As T_ST, printing what *err says where they differ. */
#define T_ST_ERR(got, want, err) tap_st(__FILE__, __LINE__, #got, (got), (want), (err))
#define T_FAIL(...)              t_fail_at(__FILE__, __LINE__, __VA_ARGS__)
/* Ends the test as skipped, with the reason. */
#define T_SKIP(why) t_skip(why)

ATTR_NORETURN void t_fail_at(const char *file, int line, const char *fmt, ...) ATTR_FORMAT(3, 4);
ATTR_NORETURN void t_skip(const char *why);
/* A line for the reader of the log, shown with the result of this test. */
void t_note(const char *fmt, ...) ATTR_FORMAT(1, 2);

/* Depends only on the seed and the name of the test, so a failure repeats alone. */
uint64_t t_rand(void);
/* Below n, which is not 0. */
uint64_t t_rand_below(uint64_t n);
/* A new, empty directory under TMPDIR; at most 64 in a test. */
const char *t_tmpdir(void);

void tap_int(const char *file, int line, const char *what, int64_t got, int64_t want);
void tap_uint(const char *file, int line, const char *what, uint64_t got, uint64_t want);
void tap_dbl(const char *file, int line, const char *what, double got, double want);
void tap_str(const char *file, int line, const char *what, struct str got, struct str want);
void tap_cstr(const char *file, int line, const char *what, const char *got, const char *want);
void tap_mem(const char *file, int line, const char *what, const void *got, const void *want,
             size_t n);
void tap_st(const char *file, int line, const char *what, enum status got, enum status want,
            const struct err *err);

#endif
