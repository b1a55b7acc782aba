/* base/rand.c - getrandom(2), or xoshiro256** started by splitmix64 when a seed was given. */
#include "base/rand.h"
#include "base/exec.h"
#include "base/rand_int.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static struct lock seeded_lock = LOCK_INIT(LOCK_RANK_LEAF);
static bool seeded; /* only changed while no other thread runs */
static struct xoshiro source;

void rand_seed(uint64_t seed)
{
    xoshiro_seed(&source, seed);
    seeded = true;
}

void rand_unseed(void)
{
    seeded = false;
}

void rand_bytes(void *p, size_t n)
{
    unsigned char *at = p;

    if (seeded) {
        lock_take(&seeded_lock);
        while (n) {
            uint64_t v = xoshiro_next(&source);
            size_t part = MIN_OF(n, sizeof(v));

            memcpy(at, &v, part);
            at += part;
            n -= part;
        }
        lock_give(&seeded_lock);
        return;
    }
    while (n) {
        ssize_t got = getrandom(at, n, 0);

        if (got < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        at += got;
        n -= (size_t)got;
    }
}

uint64_t rand_u64(void)
{
    uint64_t v;

    rand_bytes(&v, sizeof(v));
    return v;
}

uint64_t rand_below(uint64_t n)
{
    uint64_t floor = (0 - n) % n, v; /* 2^64 mod n: values below it would favour small results */

    do {
        v = rand_u64();
    } while (v < floor);
    return v % n;
}
