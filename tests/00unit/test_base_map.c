/* Hash maps against a plain array of what must be in them. */
#include "base/map.h"
#include "base/mem.h"
#include "tap.h"
#include <stdio.h>

enum { KEYS = 700 };

static char names[KEYS][8];

static void make_names(void)
{
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof(names[i]), "k%d", i);
    }
}

TEST(str_map_against_model)
{
    struct str_map m = STR_MAP_INIT(KEYS);
    int values[2] = { 0, 1 };
    int *model[KEYS] = { NULL };
    size_t n = 0;

    make_names();
    for (int step = 0; step < 50000; step++) {
        size_t i = t_rand_below(KEYS);
        struct str key = str_cstr(names[i]);
        int *v = &values[t_rand_below(2)];

        T_OK(str_map_get(&m, key) == model[i]);
        if (t_rand_below(100) < 50 + (step / 5000 % 2 ? -20u : 20u)) {
            T_ST(str_map_put(&m, key, v), OK);
            n += model[i] == NULL;
            model[i] = v;
        } else {
            T_OK(str_map_remove(&m, key) == model[i]);
            n -= model[i] != NULL;
            model[i] = NULL;
        }
        T_UINT(m.n, n);
    }
    for (int i = 0; i < KEYS; i++) {
        T_OK(str_map_get(&m, str_cstr(names[i])) == model[i]);
    }
    str_map_release(&m);
}

TEST(str_map_limits_and_iteration)
{
    struct str_map m = STR_MAP_INIT(3);
    struct str key;
    size_t at = 0, seen = 0;
    void *value;
    int x, y;

    T_OK(str_map_get(&m, S("a")) == NULL);
    T_OK(str_map_remove(&m, S("a")) == NULL);
    T_OK(!str_map_next(&m, &at, &key, &value));
    T_ST(str_map_put(&m, S("a"), &x), OK);
    T_ST(str_map_put(&m, S(""), &x), OK);
    T_ST(str_map_put(&m, S("c"), &x), OK);
    T_ST(str_map_put(&m, S("d"), &x), ST_TOO_BIG);
    T_ST(str_map_put(&m, S("c"), &y), OK); /* replacing needs no room */
    T_OK(str_map_get(&m, S("c")) == &y);
    T_OK(str_map_get(&m, str_of(NULL, 0)) == &x);
    for (at = 0; str_map_next(&m, &at, &key, &value);) {
        T_OK(str_map_get(&m, key) == value);
        seen++;
    }
    T_UINT(seen, 3);
    str_map_release(&m);
    T_UINT(m.max, 3);
}

TEST(int_map_against_model)
{
    struct int_map m = INT_MAP_INIT(KEYS);
    int values[2] = { 0, 1 };
    int *model[KEYS] = { NULL };
    uint64_t keys[KEYS];
    size_t n = 0, at = 0, seen = 0;
    uint64_t key;
    void *value;

    for (size_t i = 0; i < KEYS; i++) {
        keys[i] = i % 3 ? i : i << 40; /* 0 is a key */
    }
    for (int step = 0; step < 50000; step++) {
        size_t i = t_rand_below(KEYS);
        int *v = &values[t_rand_below(2)];

        T_OK(int_map_get(&m, keys[i]) == model[i]);
        if (t_rand_below(100) < 50 + (step / 5000 % 2 ? -20u : 20u)) {
            T_ST(int_map_put(&m, keys[i], v), OK);
            n += model[i] == NULL;
            model[i] = v;
        } else {
            T_OK(int_map_remove(&m, keys[i]) == model[i]);
            n -= model[i] != NULL;
            model[i] = NULL;
        }
        T_UINT(m.n, n);
    }
    while (int_map_next(&m, &at, &key, &value)) {
        T_OK(int_map_get(&m, key) == value);
        seen++;
    }
    T_UINT(seen, n);
    int_map_release(&m);
}

TEST(int_map_limits)
{
    struct int_map m = INT_MAP_INIT(2);
    int x;

    T_OK(int_map_get(&m, 0) == NULL);
    T_OK(int_map_remove(&m, 0) == NULL);
    T_ST(int_map_put(&m, 0, &x), OK);
    T_ST(int_map_put(&m, UINT64_MAX, &x), OK);
    T_ST(int_map_put(&m, 1, &x), ST_TOO_BIG);
    T_OK(int_map_remove(&m, 0) == &x);
    T_ST(int_map_put(&m, 1, &x), OK);
    int_map_release(&m);
}

/* The n-th allocation fails once, for every n: the put that saw it changed nothing, and succeeds when repeated. */
TEST(maps_out_of_memory)
{
    bool done = false;
    int x;

    make_names();
    for (int64_t n = 1; !done; n++) {
        struct str_map s = STR_MAP_INIT(KEYS);
        struct int_map m = INT_MAP_INIT(KEYS);

        T_OK(n < 100);
        done = true;
        mem_fail_after(n, true);
        for (size_t i = 0; i < KEYS; i++) {
            if (str_map_put(&s, str_cstr(names[i]), &x) == ST_NOMEM) {
                done = false;
                T_UINT(s.n, i);
                T_ST(str_map_put(&s, str_cstr(names[i]), &x), OK);
            }
            if (int_map_put(&m, i, &x) == ST_NOMEM) {
                done = false;
                T_UINT(m.n, i);
                T_ST(int_map_put(&m, i, &x), OK);
            }
        }
        for (size_t i = 0; i < KEYS; i++) {
            T_OK(str_map_get(&s, str_cstr(names[i])) == &x);
            T_OK(int_map_get(&m, i) == &x);
        }
        str_map_release(&s);
        int_map_release(&m);
    }
    mem_fail_never();
}
