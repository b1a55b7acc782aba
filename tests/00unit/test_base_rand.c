/* Random bytes and identifiers: form, reproducibility under a seed, no gross bias. */
#include "base/id.h"
#include "base/rand.h"
#include "tap.h"
#include <stdlib.h>

TEST(system_source)
{
    unsigned char a[40] = { 0 }, b[40] = { 0 };

    rand_bytes(a, sizeof(a));
    rand_bytes(b, sizeof(b));
    T_OK(memcmp(a, b, sizeof(a)) != 0);
    T_OK(rand_u64() != rand_u64());
    rand_bytes(a, 0);
}

TEST(seeded_source_repeats)
{
    uint64_t first[5];
    unsigned char a[13], b[13];

    rand_seed(42);
    for (int i = 0; i < 5; i++) {
        first[i] = rand_u64();
    }
    rand_bytes(a, sizeof(a));
    rand_seed(42);
    for (int i = 0; i < 5; i++) {
        T_UINT(rand_u64(), first[i]);
    }
    rand_bytes(b, sizeof(b));
    T_MEM(a, b, sizeof(a));
    rand_seed(43);
    T_OK(rand_u64() != first[0]);
    rand_unseed();
    T_OK(rand_u64() != rand_u64());
}

TEST(below_is_even)
{
    unsigned seen[10] = { 0 }, low;

    rand_seed(1);
    T_UINT(rand_below(1), 0);
    for (int i = 0; i < 100000; i++) {
        seen[rand_below(10)]++;
    }
    for (int i = 0; i < 10; i++) {
        T_OK(seen[i] > 9500 && seen[i] < 10500);
    }
    for (int i = 0; i < 1000; i++) {
        T_OK(rand_below(UINT64_MAX) < UINT64_MAX);
        T_OK(rand_below(((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
    }
    low = 0; /* of 1.5 * 2^63 a third is below 2^62; plain remainders would make it half */
    for (int i = 0; i < 10000; i++) {
        low += rand_below(((uint64_t)3 << 62)) < (uint64_t)1 << 62;
    }
    T_OK(low > 3100 && low < 3600);
    rand_unseed();
}

TEST(hex_ids)
{
    char id[33], other[33], text[9];

    for (int i = 0; i < 1000; i++) {
        id_hex32(id);
        T_UINT(strlen(id), 32);
        T_UINT(strspn(id, "0123456789abcdef"), 32);
        T_OK(id[12] == '4' && strchr("89ab", id[16]));
    }
    id_hex32(other);
    T_OK(strcmp(id, other) != 0);
    id_hex("\x00\xff\x10\xab", 4, text);
    T_CSTR(text, "00ff10ab");
}

TEST(timed_ids)
{
    unsigned char random[ID_TIMED_RANDOM];
    char id[33], later[33];

    memset(random, 0xff, sizeof(random));
    id_timed(0x0123456789ab, random, id);
    T_CSTR(id, "0123456789ab7fffbfffffffffffffff");
    memset(random, 0, sizeof(random));
    id_timed(0x0123456789ac, random, later);
    T_CSTR(later, "0123456789ac70008000000000000000");
    T_OK(strcmp(id, later) < 0); /* in the order of their times */
}

TEST(run_names)
{
    for (int i = 0; i < 20000; i++) {
        char name[24], *noun, *number, *end;
        long v;

        id_run_name(rand_u64(), name);
        T_OK(strlen(name) <= 20);
        noun = strchr(name, '-');
        T_OK(noun && noun > name);
        number = strchr(noun + 1, '-');
        T_OK(number && number > noun + 1);
        T_UINT(strspn(name, "abcdefghijklmnopqrstuvwxyz"), (size_t)(noun - name));
        T_UINT(strspn(noun + 1, "abcdefghijklmnopqrstuvwxyz"), (size_t)(number - noun - 1));
        v = strtol(number + 1, &end, 10);
        T_OK(*end == 0 && end > number + 1 && v >= 0 && v <= 1000);
    }
}
