/* base/rand_int.h - xoshiro256**, a small fast generator for reproducible sequences. Never for secrets. */
#ifndef CAIRN_BASE_RAND_INT_H
#define CAIRN_BASE_RAND_INT_H

#include "base/compiler.h"

struct xoshiro {
    uint64_t s[4];
};

static inline void xoshiro_seed(struct xoshiro *x, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        x->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t xoshiro_next(struct xoshiro *x)
{
    uint64_t *s = x->s, m = s[1] * 5, out = (m << 7 | m >> 57) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return out;
}

#endif
