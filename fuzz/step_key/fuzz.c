/* Bytes of a step's key as they are kept: what is read is exactly what step_key_make() writes, so the same entries give the same bytes and
 * the same key. Two keys in one input (the first two bytes say where the second begins) are compared: a key does not differ from itself, and
 * what is new to one side is gone to the other. */
#include "core/step_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ARENA_MAX = 64 << 20, SHOWN = 5 };

static bool read_one(struct arena *a, struct str bytes, struct step_entries *out)
{
    struct digest key, sum;
    struct err err = ERR_INIT;
    struct str again;
    enum status st = step_key_read(a, bytes, out, &err);

    if (st) {
        CHECK(st == ST_CORRUPT && err.message[0]);
        out->n = 0;
        return false;
    }
    CHECK(step_key_make(a, out->p, out->n, &again, &key, &err) == OK);
    CHECK(str_eq(again, bytes));
    CHECK(sha256_of(bytes.p, bytes.n, &sum) && digest_eq(&sum, &key));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct step_difference there[SHOWN], back[SHOWN];
    struct step_entries one = { .p = NULL }, two = { .p = NULL };
    struct arena *a;
    struct str all;
    size_t cut, differ;

    if (n < 2) {
        return 0;
    }
    a = arena_new(ARENA_MAX);
    CHECK(a);
    all = str_of((const char *)data + 2, n - 2);
    cut = MIN_OF((size_t)data[0] << 8 | data[1], all.n);
    if (read_one(a, str_sub(all, cut, all.n), &two) && read_one(a, str_sub(all, 0, cut), &one)) {
        differ = step_key_differ(one.p, one.n, two.p, two.n, there, SHOWN);
        CHECK(differ <= one.n + two.n);
        CHECK(step_key_differ(two.p, two.n, one.p, one.n, back, SHOWN) == differ);
        for (size_t i = 0; i < MIN_OF(differ, (size_t)SHOWN); i++) {
            CHECK(there[i].before == back[i].now && there[i].now == back[i].before);
            CHECK(there[i].before || there[i].now);
        }
    }
    CHECK(step_key_differ(one.p, one.n, one.p, one.n, there, SHOWN) == 0);
    arena_free(a);
    return 0;
}
