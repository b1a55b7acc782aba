/* Keys of steps: their bytes, back again, differences, limits. More keys are in tests/vectors/stepkeys.json. */
#include "base/rand.h"
#include "core/step_key.h"
#include "tap.h"

static const struct digest some = { { 1, 2, 3, 31 } };

static struct str bytes_of(struct arena *a, struct step_entry *e, size_t n, struct digest *key)
{
    struct err err = ERR_INIT;
    struct str bytes;

    T_ST_ERR(step_key_make(a, e, n, &bytes, key, &err), OK, &err);
    return bytes;
}

TEST(bytes_of_version_1)
{
    static const char want[] = "\1"
                               "\1\0\0\0\0\3\5\0\0\0train"
                               "\2\4\0\0\0data\3\2\0\0\0d1"
                               "\4\1\0\0\0a\4\1"
                               "\4\1\0\0\0b\1\376\377\377\377\377\377\377\377"
                               "\4\1\0\0\0c\2\0\0\0\0\0\0\0\0"
                               "\5\0\0\0\0\0";
    struct step_entry e[] = {
        { .section = STEP_ENVIRONMENT, .type = STEP_NULL, .name = S("") },
        { .section = STEP_PARAMETER, .type = STEP_DOUBLE, .name = S("c"), .d = -0.0 },
        { .section = STEP_PARAMETER, .type = STEP_INT, .name = S("b"), .i = -2 },
        { .section = STEP_PARAMETER, .type = STEP_BOOL, .name = S("a"), .i = 1 },
        { .section = STEP_INPUT, .type = STEP_TEXT, .name = S("data"), .s = S("d1") },
        { .section = STEP_NAME, .type = STEP_TEXT, .name = S(""), .s = S("train") },
    };
    struct arena *a = arena_new(8 << 20);
    struct digest key, again;
    struct str got = bytes_of(a, e, ARRAY_N(e), &key);

    T_UINT(got.n, sizeof(want) - 1);
    T_OK(memcmp(got.p, want, got.n) == 0);
    T_OK(sha256_of(want, sizeof(want) - 1, &again));
    T_OK(digest_eq(&key, &again));
    arena_free(a);
}

/* What was made is read back, and the key does not depend on the order in which entries came. */
TEST(there_and_back)
{
    struct arena *a = arena_new(8 << 20);
    struct err err = ERR_INIT;

    for (int round = 0; round < 200; round++) {
        struct step_entry e[20];
        struct step_entries got = { .p = NULL };
        struct digest key, other;
        size_t n = (size_t)rand_below(ARRAY_N(e) + 1);
        struct str bytes, again;

        for (size_t i = 0; i < n; i++) {
            e[i] = (struct step_entry){ .section = (enum step_section)(2 + rand_below(4)),
                                        .type = (enum step_type)rand_below(7),
                                        .name = arena_printf(a, "n%zu", i),
                                        .i = (int64_t)rand_below(2),
                                        .d = (double)rand_below(9) / 3,
                                        .s = arena_printf(a, "%d", round),
                                        .digest = some };
        }
        bytes = bytes_of(a, e, n, &key);
        T_ST_ERR(step_key_read(a, bytes, &got, &err), OK, &err);
        T_UINT(got.n, n);
        T_UINT(step_key_differ(e, n, got.p, got.n, NULL, 0), 0);
        for (size_t i = n; i > 1; i--) {
            size_t k = (size_t)rand_below(i);
            struct step_entry kept = e[i - 1];

            e[i - 1] = e[k];
            e[k] = kept;
        }
        again = bytes_of(a, e, n, &other);
        T_OK(str_eq(bytes, again) && digest_eq(&key, &other));
        for (size_t cut = 1; cut < bytes.n; cut++) { /* never read beyond the end, never a crash */
            enum status st = step_key_read(a, str_sub(bytes, 0, cut), &got, &err);

            T_OK(st == OK || st == ST_CORRUPT);
        }
        arena_reset(a);
    }
    arena_free(a);
}

TEST(damaged_bytes)
{
    static const struct str bad[] = {
        S_INIT(""),
        S_INIT("\2"),
        S_INIT("\1\6\0\0\0\0\0"),             /* no such section */
        S_INIT("\1\0\0\0\0\0\0"),             /* nor this one */
        S_INIT("\1\2\0\0\0\0\7"),             /* no such type */
        S_INIT("\1\2\377\377\377\377a\0"),    /* a name beyond the end */
        S_INIT("\1\2\0\0\0\0\0\2\0\0\0\0\0"), /* a name twice */
    };
    struct arena *a = arena_new(8 << 20);
    struct err err = ERR_INIT;
    struct step_entries got = { .p = NULL };

    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        T_ST(step_key_read(a, bad[i], &got, &err), ST_CORRUPT);
    }
    arena_free(a);
}

TEST(refused)
{
    struct arena *a = arena_new(8 << 20);
    struct err err = ERR_INIT;
    struct digest key;
    struct str bytes;
    struct step_entry twice[] = {
        { .section = STEP_CODE, .name = S("x"), .type = STEP_NULL },
        { .section = STEP_CODE, .name = S("x"), .type = STEP_INT },
    };
    char *big = arena_alloc(a, STEP_BYTES_MAX);
    struct step_entry large = { .section = STEP_PARAMETER, .type = STEP_TEXT };

    T_ST(step_key_make(a, twice, 2, &bytes, &key, &err), ST_INVALID);
    T_STR(str_cstr(err.field), "code");
    T_OK(big != NULL);
    memset(big, 'x', STEP_BYTES_MAX);
    large.s = str_of(big, STEP_BYTES_MAX);
    T_ST(step_key_make(a, &large, 1, &bytes, &key, &err), ST_TOO_BIG);
    large = (struct step_entry){ .section = STEP_INPUT, .name = str_of(big, STEP_NAME_MAX + 1) };
    T_ST(step_key_make(a, &large, 1, &bytes, &key, &err), ST_INVALID);
    T_ST(step_key_make(a, &large, STEP_ENTRIES_MAX + 1, &bytes, &key, &err), ST_TOO_BIG);
    arena_free(a);
}

TEST(differences)
{
    const struct step_entry before[] = {
        { .section = STEP_INPUT, .type = STEP_DIGEST, .name = S("data"), .digest = some },
        { .section = STEP_PARAMETER, .type = STEP_INT, .name = S("a"), .i = 1 },
        { .section = STEP_PARAMETER, .type = STEP_INT, .name = S("b"), .i = 1 },
    };
    const struct step_entry now[] = {
        { .section = STEP_INPUT, .type = STEP_DIGEST, .name = S("data") },
        { .section = STEP_CODE, .type = STEP_NULL, .name = S("z") },
        { .section = STEP_PARAMETER, .type = STEP_INT, .name = S("a"), .i = 1 },
        { .section = STEP_PARAMETER, .type = STEP_DOUBLE, .name = S("b"), .d = 1 },
    };
    struct step_difference d[2];

    T_UINT(step_key_differ(before, 3, now, 4, d, 2), 3);
    T_OK(d[0].before == &before[0] && d[0].now == &now[0]);
    T_OK(d[1].before == NULL && d[1].now == &now[1]);
    T_UINT(step_key_differ(now, 4, before, 0, d, 2), 4);
    T_OK(d[0].before == &now[0] && d[0].now == NULL);
}
