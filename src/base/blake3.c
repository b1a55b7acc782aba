/* base/blake3.c - see blake3.h.
 * The input is cut into chunks of 1,024 bytes, each hashed in blocks of 64 bytes to a chaining value of 8 words; above them stands a
 * binary tree whose left side is the largest power of two of whole chunks. Pairing neighbours level by level, with an odd one
 * carried up, gives the same tree. Rotations and the shape of a lane's loop are left to the compiler's vector types. */
#include "base/blake3.h"
#include <string.h>

enum {
    BLOCK = 64,
    CHUNK = 1024,
    WORDS = 8,
    ROUNDS = 7,
    SMALL_CHUNKS = 128, /* of a subtree that is done level by level */
    LANES_MAX = 16
};
enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8, KEYED = 16 };

static const uint32_t iv[WORDS] = { 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19 };
/* The words of the message in each round. */
static const unsigned char schedule[ROUNDS][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8 },
    { 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1 },
    { 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6 },
    { 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4 },
    { 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7 },
    { 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13 },
};

static uint32_t load_le32(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

#define ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
#define MIX(s, a, b, c, d, x, y)                                                                   \
    do {                                                                                           \
        s[a] = s[a] + s[b] + (x);                                                                  \
        s[d] = ROTATE(s[d] ^ s[a], 16);                                                            \
        s[c] = s[c] + s[d];                                                                        \
        s[b] = ROTATE(s[b] ^ s[c], 12);                                                            \
        s[a] = s[a] + s[b] + (y);                                                                  \
        s[d] = ROTATE(s[d] ^ s[a], 8);                                                             \
        s[c] = s[c] + s[d];                                                                        \
        s[b] = ROTATE(s[b] ^ s[c], 7);                                                             \
    } while (0)
#define ROUND(s, m, w)                                                                             \
    do {                                                                                           \
        MIX(s, 0, 4, 8, 12, m[w[0]], m[w[1]]);                                                     \
        MIX(s, 1, 5, 9, 13, m[w[2]], m[w[3]]);                                                     \
        MIX(s, 2, 6, 10, 14, m[w[4]], m[w[5]]);                                                    \
        MIX(s, 3, 7, 11, 15, m[w[6]], m[w[7]]);                                                    \
        MIX(s, 0, 5, 10, 15, m[w[8]], m[w[9]]);                                                    \
        MIX(s, 1, 6, 11, 12, m[w[10]], m[w[11]]);                                                  \
        MIX(s, 2, 7, 8, 13, m[w[12]], m[w[13]]);                                                   \
        MIX(s, 3, 4, 9, 14, m[w[14]], m[w[15]]);                                                   \
    } while (0)

/* cv becomes the chaining value after one block of n bytes. */
static void compress(uint32_t cv[WORDS], const unsigned char *block, size_t n, uint64_t counter,
                     uint32_t flags)
{
    uint32_t s[16], m[16];

    for (unsigned i = 0; i < 16; i++) {
        m[i] = load_le32(block + i * 4);
    }
    memcpy(s, cv, WORDS * sizeof(*s));
    memcpy(s + WORDS, iv, 4 * sizeof(*s));
    s[12] = (uint32_t)counter;
    s[13] = (uint32_t)(counter >> 32);
    s[14] = (uint32_t)n;
    s[15] = flags;
    for (unsigned r = 0; r < ROUNDS; r++) {
        ROUND(s, m, schedule[r]);
    }
    for (unsigned i = 0; i < WORDS; i++) {
        cv[i] = s[i] ^ s[i + WORDS];
    }
}

/* A chunk of n <= CHUNK bytes; the flags of the last block are added to. */
static void one_chunk(const uint32_t key[WORDS], const unsigned char *p, size_t n, uint64_t counter,
                      uint32_t flags, uint32_t last, uint32_t cv[WORDS])
{
    uint32_t first = CHUNK_START;

    memcpy(cv, key, WORDS * sizeof(*cv));
    while (n > BLOCK) {
        compress(cv, p, BLOCK, counter, flags | first);
        first = 0;
        p += BLOCK;
        n -= BLOCK;
    }
    if (n == BLOCK) {
        compress(cv, p, n, counter, flags | first | CHUNK_END | last);
    } else {
        unsigned char block[BLOCK] = { 0 };

        if (n) {
            memcpy(block, p, n);
        }
        compress(cv, block, n, counter, flags | first | CHUNK_END | last);
    }
}

static void one_parent(const uint32_t key[WORDS], const uint32_t children[2 * WORDS],
                       uint32_t flags, uint32_t cv[WORDS])
{
    unsigned char block[BLOCK];

    for (unsigned i = 0; i < 2 * WORDS; i++) {
        uint32_t v = children[i];

        for (unsigned k = 0; k < 4; k++) {
            block[i * 4 + k] = (unsigned char)(v >> (k * 8));
        }
    }
    memcpy(cv, key, WORDS * sizeof(*cv));
    compress(cv, block, BLOCK, 0, flags | PARENT);
}

/* ---- several at once ------------------------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* lanes inputs of `blocks` whole blocks each, one every `stride` bytes: whole chunks (stride CHUNK, counters rise), or the nodes above
 * pairs of chaining values (stride BLOCK, counters stay 0). */
typedef void (*lanes_fn)(const uint32_t key[WORDS], const unsigned char *p, size_t stride,
                         unsigned blocks, uint64_t counter, uint32_t flags, uint32_t *cvs);

#define LANES(name, attribute, lanes)                                                              \
    typedef uint32_t name##_words __attribute__((vector_size((lanes)*4)));                         \
    attribute static void name(const uint32_t key[WORDS], const unsigned char *p, size_t stride,   \
                               unsigned blocks, uint64_t counter, uint32_t flags, uint32_t *cvs)   \
    {                                                                                              \
        name##_words h[WORDS], low = { 0 }, high = { 0 };                                          \
        bool is_chunk = stride == CHUNK;                                                           \
                                                                                                   \
        for (unsigned i = 0; i < WORDS; i++) {                                                     \
            h[i] = (name##_words){ 0 } + key[i];                                                   \
        }                                                                                          \
        for (unsigned l = 0; l < (lanes); l++) {                                                   \
            low[l] = is_chunk ? (uint32_t)(counter + l) : 0;                                       \
            high[l] = is_chunk ? (uint32_t)((counter + l) >> 32) : 0;                              \
        }                                                                                          \
        for (unsigned b = 0; b < blocks; b++) {                                                    \
            uint32_t t[16][lanes];                                                                 \
            name##_words m[16], s[16];                                                             \
            uint32_t f = flags;                                                                    \
                                                                                                   \
            f |= is_chunk && b == 0 ? (uint32_t)CHUNK_START : 0;                                   \
            f |= is_chunk && b == blocks - 1 ? (uint32_t)CHUNK_END : 0;                            \
            for (unsigned l = 0; l < (lanes); l++) {                                               \
                for (unsigned i = 0; i < 16; i++) {                                                \
                    t[i][l] = load_le32(p + l * stride + b * BLOCK + i * 4);                       \
                }                                                                                  \
            }                                                                                      \
            memcpy(m, t, sizeof(m));                                                               \
            for (unsigned i = 0; i < WORDS; i++) {                                                 \
                s[i] = h[i];                                                                       \
            }                                                                                      \
            for (unsigned i = 0; i < 4; i++) {                                                     \
                s[i + 8] = (name##_words){ 0 } + iv[i];                                            \
            }                                                                                      \
            s[12] = low;                                                                           \
            s[13] = high;                                                                          \
            s[14] = (name##_words){ 0 } + (uint32_t)BLOCK;                                         \
            s[15] = (name##_words){ 0 } + f;                                                       \
            for (unsigned r = 0; r < ROUNDS; r++) {                                                \
                ROUND(s, m, schedule[r]);                                                          \
            }                                                                                      \
            for (unsigned i = 0; i < WORDS; i++) {                                                 \
                h[i] = s[i] ^ s[i + WORDS];                                                        \
            }                                                                                      \
        }                                                                                          \
        for (unsigned l = 0; l < (lanes); l++) {                                                   \
            for (unsigned i = 0; i < WORDS; i++) {                                                 \
                cvs[l * WORDS + i] = h[i][l];                                                      \
            }                                                                                      \
        }                                                                                          \
    }

LANES(lanes_4, , 4)
LANES(lanes_8, __attribute__((target("avx2"))), 8)
LANES(lanes_16, __attribute__((target("avx512f,avx512vl"))), 16)

static size_t lanes_best(lanes_fn *fn)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
        *fn = lanes_16;
        return 16;
    }
    if (__builtin_cpu_supports("avx2")) {
        *fn = lanes_8;
        return 8;
    }
    *fn = lanes_4;
    return 4;
}

/* Groups from the widest lanes down; returns how many of the n inputs are done. */
static size_t wide(const uint32_t key[WORDS], const unsigned char *p, size_t stride, size_t n,
                   uint64_t counter, uint32_t flags, uint32_t *cvs)
{
    static const struct {
        lanes_fn fn;
        size_t n;
    } narrower[] = { { lanes_8, 8 }, { lanes_4, 4 } };
    lanes_fn fn;
    size_t lanes = lanes_best(&fn), done = 0;
    unsigned blocks = (unsigned)(stride / BLOCK);

    for (size_t i = 0;; i++) {
        while (n - done >= lanes) {
            fn(key, p + done * stride, stride, blocks, counter + done, flags, cvs + done * WORDS);
            done += lanes;
        }
        while (i < ARRAY_N(narrower) && narrower[i].n >= lanes) {
            i++;
        }
        if (i >= ARRAY_N(narrower)) {
            return done;
        }
        fn = narrower[i].fn;
        lanes = narrower[i].n;
    }
}
#else
static size_t wide(const uint32_t key[WORDS], const unsigned char *p, size_t stride, size_t n,
                   uint64_t counter, uint32_t flags, uint32_t *cvs)
{
    (void)key, (void)p, (void)stride, (void)n, (void)counter, (void)flags, (void)cvs;
    return 0;
}
#endif

/* ---- the tree --------------------------------------------------------------------------------------------------------------------- */

struct tree {
    uint32_t key[WORDS];
    uint32_t flags;
    bool portable;
};

/* Neighbours become one, until one is left, in place. */
static void pair_up(const struct tree *t, uint32_t *cvs, size_t n, uint32_t root)
{
    while (n > 1) {
        size_t pairs = n / 2, done = 0;

        if (n > 2 && !t->portable) {
            uint32_t out[SMALL_CHUNKS / 2 * WORDS];
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            done =
                wide(t->key, (const unsigned char *)cvs, BLOCK, pairs, 0, t->flags | PARENT, out);
#endif
            memcpy(cvs, out, done * WORDS * sizeof(*cvs));
        }
        for (size_t i = done; i < pairs; i++) {
            uint32_t cv[WORDS];

            one_parent(t->key, cvs + i * 2 * WORDS, t->flags | (n == 2 ? root : 0), cv);
            memcpy(cvs + i * WORDS, cv, sizeof(cv));
        }
        if (n & 1) {
            memmove(cvs + pairs * WORDS, cvs + (n - 1) * WORDS, WORDS * sizeof(*cvs));
        }
        n = pairs + (n & 1);
    }
}

static void subtree(const struct tree *t, const unsigned char *p, size_t n, uint64_t counter,
                    uint32_t root, uint32_t cv[WORDS])
{
    size_t whole = n / CHUNK, chunks = (n + CHUNK - 1) / CHUNK;

    if (chunks <= 1) {
        one_chunk(t->key, p, n, counter, t->flags, root, cv);
    } else if (chunks <= SMALL_CHUNKS) {
        uint32_t cvs[SMALL_CHUNKS * WORDS];
        size_t done = t->portable ? 0 : wide(t->key, p, CHUNK, whole, counter, t->flags, cvs);

        for (size_t i = done; i < chunks; i++) {
            one_chunk(t->key, p + i * CHUNK, MIN_OF(n - i * CHUNK, (size_t)CHUNK), counter + i,
                      t->flags, 0, cvs + i * WORDS);
        }
        pair_up(t, cvs, chunks, root);
        memcpy(cv, cvs, WORDS * sizeof(*cv));
    } else {
        uint32_t cvs[2 * WORDS];
        size_t left = SMALL_CHUNKS;

        while (left * 2 < chunks) {
            left *= 2;
        }
        subtree(t, p, left * CHUNK, counter, 0, cvs);
        subtree(t, p + left * CHUNK, n - left * CHUNK, counter + left, 0, cvs + WORDS);
        one_parent(t->key, cvs, t->flags | root, cv);
    }
}

static struct digest hash(const unsigned char *key, const void *p, size_t n, bool portable)
{
    struct tree t = { .flags = key ? KEYED : 0, .portable = portable };
    uint32_t cv[WORDS];
    struct digest out;

    for (unsigned i = 0; i < WORDS; i++) {
        t.key[i] = key ? load_le32(key + i * 4) : iv[i];
    }
    subtree(&t, p, n, 0, ROOT, cv);
    for (unsigned i = 0; i < sizeof(out.b); i++) {
        out.b[i] = (unsigned char)(cv[i / 4] >> (i % 4 * 8));
    }
    return out;
}

struct digest blake3(const unsigned char *key, const void *p, size_t n)
{
    return hash(key, p, n, false);
}

struct digest blake3_portable(const unsigned char *key, const void *p, size_t n)
{
    return hash(key, p, n, true);
}
