/* base/hash_pair.c - FIPS 180-4, 6.2.2, with the SHA instructions of x86. See hash_pair.h. */
#include "base/hash_pair.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

#define WITH_SHA __attribute__((target("sha,ssse3,sse4.1")))

/* Relaxed: the value is all there is. 0 = not asked yet, 1 = no, 2 = yes. */
static _Atomic int can;

bool hash_pair_can(void)
{
    int known = atomic_load_explicit(&can, memory_order_relaxed);

    if (UNLIKELY(known == 0)) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        bool yes = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29)) != 0 &&
                   __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1");

        known = yes ? 2 : 1;
        atomic_store_explicit(&can, known, memory_order_relaxed);
    }
    return known == 2;
}

/* The constants of the rounds, four to a vector. */
static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* A state as the instructions want it: words A B E F and C D G H. */
struct lanes {
    __m128i abef, cdgh;
};

WITH_SHA static struct lanes lanes_of(const uint32_t h[8])
{
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)h);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(h + 4));

    low = _mm_shuffle_epi32(low, 0xb1);
    high = _mm_shuffle_epi32(high, 0x1b);
    return (struct lanes){ _mm_alignr_epi8(low, high, 8), _mm_blend_epi16(high, low, 0xf0) };
}

WITH_SHA static void words_of(struct lanes s, uint32_t h[8])
{
    __m128i low = _mm_shuffle_epi32(s.abef, 0x1b), high = _mm_shuffle_epi32(s.cdgh, 0xb1);

    _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(high, low, 8));
}

/* Rounds 4i .. 4i + 3 of both, with the words w of the schedule. */
#define ROUNDS(i, w)                                                                               \
    do {                                                                                           \
        __m128i k_ = _mm_add_epi32(                                                                \
            w, _mm_load_si128((const __m128i *)(const void *)(constants + (size_t)4 * (i))));      \
                                                                                                   \
        x.cdgh = _mm_sha256rnds2_epu32(x.cdgh, x.abef, k_);                                        \
        y.cdgh = _mm_sha256rnds2_epu32(y.cdgh, y.abef, k_);                                        \
        k_ = _mm_shuffle_epi32(k_, 0x0e);                                                          \
        x.abef = _mm_sha256rnds2_epu32(x.abef, x.cdgh, k_);                                        \
        y.abef = _mm_sha256rnds2_epu32(y.abef, y.cdgh, k_);                                        \
    } while (0)

/* Four words of the schedule, in the place of those of sixteen before. */
#define SCHEDULE(w0, w1, w2, w3)                                                                   \
    w0 = _mm_sha256msg2_epu32(                                                                     \
        _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3)

#define SIXTEEN(i)                                                                                 \
    do {                                                                                           \
        SCHEDULE(m0, m1, m2, m3);                                                                  \
        ROUNDS(i, m0);                                                                             \
        SCHEDULE(m1, m2, m3, m0);                                                                  \
        ROUNDS((i) + 1, m1);                                                                       \
        SCHEDULE(m2, m3, m0, m1);                                                                  \
        ROUNDS((i) + 2, m2);                                                                       \
        SCHEDULE(m3, m0, m1, m2);                                                                  \
        ROUNDS((i) + 3, m3);                                                                       \
    } while (0)

WITH_SHA void hash_pair_blocks(uint32_t a[8], uint32_t b[8], void *copy, const void *p, size_t n)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const unsigned char *at = p;
    unsigned char *to = copy;
    struct lanes x = lanes_of(a), y = lanes_of(b);

    for (; n; n--, at += 64) {
        const __m128i *block = (const __m128i *)(const void *)at;
        struct lanes x0 = x, y0 = y;
        __m128i m0 = _mm_loadu_si128(block), m1 = _mm_loadu_si128(block + 1);
        __m128i m2 = _mm_loadu_si128(block + 2), m3 = _mm_loadu_si128(block + 3);

        if (to) {
            __m128i *out = (__m128i *)(void *)to;

            _mm_storeu_si128(out, m0);
            _mm_storeu_si128(out + 1, m1);
            _mm_storeu_si128(out + 2, m2);
            _mm_storeu_si128(out + 3, m3);
            to += 64;
        }
        m0 = _mm_shuffle_epi8(m0, big_endian);
        m1 = _mm_shuffle_epi8(m1, big_endian);
        m2 = _mm_shuffle_epi8(m2, big_endian);
        m3 = _mm_shuffle_epi8(m3, big_endian);
        ROUNDS(0, m0);
        ROUNDS(1, m1);
        ROUNDS(2, m2);
        ROUNDS(3, m3);
        SIXTEEN(4);
        SIXTEEN(8);
        SIXTEEN(12);
        x.abef = _mm_add_epi32(x.abef, x0.abef);
        x.cdgh = _mm_add_epi32(x.cdgh, x0.cdgh);
        y.abef = _mm_add_epi32(y.abef, y0.abef);
        y.cdgh = _mm_add_epi32(y.cdgh, y0.cdgh);
    }
    words_of(x, a);
    words_of(y, b);
}

#else

bool hash_pair_can(void)
{
    return false;
}

void hash_pair_blocks(uint32_t a[8], uint32_t b[8], void *copy, const void *p, size_t n)
{
    (void)a, (void)b, (void)copy, (void)p, (void)n;
}

#endif
