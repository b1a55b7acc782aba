/* store/columns/kernel.c - the loops of column tests: 64 values -> one word of a bitmap.
 * The portable variant says what is right; the others do the same with the processor's compares and
 * are chosen at run time, so that one build runs everywhere. An unsigned range test is one
 * subtraction and one compare: v - lo <= hi - lo, modulo 2^n.
 * Per 64 values: 64 to 512 bytes read; AVX-512 takes 1 (u8) to 8 (u64, f64) compares, so that
 * doubles are bound by memory. */
#include "store/columns/columns_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- portable -------------------------------------------------------------------------------------- */

#define RANGE_UNSIGNED(name, type)                                                                 \
    static void name(const void *values, size_t words, uint64_t lo, uint64_t hi, uint64_t *out)    \
    {                                                                                              \
        const type *v = values;                                                                    \
                                                                                                   \
        for (size_t w = 0; w < words; w++, v += 64) {                                              \
            uint64_t bits = 0;                                                                     \
                                                                                                   \
            for (unsigned i = 0; i < 64; i++) {                                                    \
                bits |= (uint64_t)(v[i] >= lo && v[i] <= hi) << i;                                 \
            }                                                                                      \
            out[w] = bits;                                                                         \
        }                                                                                          \
    }
#define RANGE_FLOAT(name, type)                                                                    \
    static void name(const void *values, size_t words, type lo, type hi, uint64_t *out)            \
    {                                                                                              \
        const type *v = values;                                                                    \
                                                                                                   \
        for (size_t w = 0; w < words; w++, v += 64) {                                              \
            uint64_t bits = 0;                                                                     \
                                                                                                   \
            for (unsigned i = 0; i < 64; i++) {                                                    \
                bits |= (uint64_t)(v[i] >= lo && v[i] <= hi) << i;                                 \
            }                                                                                      \
            out[w] = bits;                                                                         \
        }                                                                                          \
    }
RANGE_UNSIGNED(portable_u8, uint8_t)
RANGE_UNSIGNED(portable_u16, uint16_t)
RANGE_UNSIGNED(portable_u32, uint32_t)
RANGE_UNSIGNED(portable_u64, uint64_t)
RANGE_FLOAT(portable_f32, float)
RANGE_FLOAT(portable_f64, double)

static void portable_set8(const void *values, size_t words, const uint8_t set[32], uint64_t *out)
{
    const uint8_t *v = values;

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i++) {
            bits |= (uint64_t)(set[v[i] / 8] >> (v[i] % 8) & 1) << i;
        }
        out[w] = bits;
    }
}

static const struct column_kernels portable = { "portable",   portable_u8,  portable_u16,
                                                portable_u32, portable_u64, portable_f32,
                                                portable_f64, portable_set8 };

#if defined(__x86_64__)

/* ---- AVX2: masks come as bytes of 0 or -1, movemask makes bits of them ------------------------------ */

#define AVX2 __attribute__((target("avx2")))

static inline AVX2 __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline AVX2 uint64_t mask8(__m256i m)
{
    return (uint32_t)_mm256_movemask_epi8(m);
}

static AVX2 void avx2_u8(const void *values, size_t words, uint64_t lo, uint64_t hi, uint64_t *out)
{
    const uint8_t *v = values;
    __m256i low = _mm256_set1_epi8((char)lo), span = _mm256_set1_epi8((char)(hi - lo));

    for (size_t w = 0; w < words; w++, v += 64) {
        __m256i a = _mm256_sub_epi8(load(v), low), b = _mm256_sub_epi8(load(v + 32), low);

        out[w] = mask8(_mm256_cmpeq_epi8(_mm256_min_epu8(a, span), a)) |
                 mask8(_mm256_cmpeq_epi8(_mm256_min_epu8(b, span), b)) << 32;
    }
}

/* 32 values at v. */
static inline AVX2 uint64_t avx2_u16_half(const uint16_t *v, __m256i low, __m256i span)
{
    __m256i a = _mm256_sub_epi16(load(v), low), b = _mm256_sub_epi16(load(v + 16), low), both;

    a = _mm256_cmpeq_epi16(_mm256_min_epu16(a, span), a);
    b = _mm256_cmpeq_epi16(_mm256_min_epu16(b, span), b);
    both = _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8); /* packs works in halves */
    return mask8(both);
}

static AVX2 void avx2_u16(const void *values, size_t words, uint64_t lo, uint64_t hi, uint64_t *out)
{
    const uint16_t *v = values;
    __m256i low = _mm256_set1_epi16((short)lo), span = _mm256_set1_epi16((short)(hi - lo));

    for (size_t w = 0; w < words; w++, v += 64) {
        out[w] = avx2_u16_half(v, low, span) | avx2_u16_half(v + 32, low, span) << 32;
    }
}

static AVX2 void avx2_u32(const void *values, size_t words, uint64_t lo, uint64_t hi, uint64_t *out)
{
    const uint32_t *v = values;
    __m256i low = _mm256_set1_epi32((int)lo), span = _mm256_set1_epi32((int)(hi - lo));

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i += 8) {
            __m256i a = _mm256_sub_epi32(load(v + i), low);

            a = _mm256_cmpeq_epi32(_mm256_min_epu32(a, span), a);
            bits |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(a)) << i;
        }
        out[w] = bits;
    }
}

static AVX2 void avx2_u64(const void *values, size_t words, uint64_t lo, uint64_t hi, uint64_t *out)
{
    const uint64_t *v = values;
    __m256i low = _mm256_set1_epi64x((int64_t)lo), sign = _mm256_set1_epi64x(INT64_MIN);
    __m256i span = _mm256_xor_si256(_mm256_set1_epi64x((int64_t)(hi - lo)), sign);

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i += 4) { /* there is only a signed compare */
            __m256i a = _mm256_xor_si256(_mm256_sub_epi64(load(v + i), low), sign);

            a = _mm256_cmpgt_epi64(a, span);
            bits |= (uint64_t)(uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(a)) << i;
        }
        out[w] = ~bits;
    }
}

static AVX2 void avx2_f32(const void *values, size_t words, float lo, float hi, uint64_t *out)
{
    const float *v = values;
    __m256 low = _mm256_set1_ps(lo), high = _mm256_set1_ps(hi);

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i += 8) {
            __m256 a = _mm256_loadu_ps(v + i);

            a = _mm256_and_ps(_mm256_cmp_ps(a, low, _CMP_GE_OQ),
                              _mm256_cmp_ps(a, high, _CMP_LE_OQ));
            bits |= (uint64_t)(uint32_t)_mm256_movemask_ps(a) << i;
        }
        out[w] = bits;
    }
}

static AVX2 void avx2_f64(const void *values, size_t words, double lo, double hi, uint64_t *out)
{
    const double *v = values;
    __m256d low = _mm256_set1_pd(lo), high = _mm256_set1_pd(hi);

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i += 4) {
            __m256d a = _mm256_loadu_pd(v + i);

            a = _mm256_and_pd(_mm256_cmp_pd(a, low, _CMP_GE_OQ),
                              _mm256_cmp_pd(a, high, _CMP_LE_OQ));
            bits |= (uint64_t)(uint32_t)_mm256_movemask_pd(a) << i;
        }
        out[w] = bits;
    }
}

/* The byte of the set that v needs is number v >> 3: its low bit 0..3 and whether it is in the upper
 * half of 16 bytes choose it by shuffles, v & 7 the bit in it. */
static inline AVX2 uint64_t avx2_set8_half(__m256i v, __m256i set_low, __m256i set_high)
{
    __m256i bit_of =
        _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)0x80, 1, 2, 4, 8, 16, 32, 64, (char)0x80, 1,
                         2, 4, 8, 16, 32, 64, (char)0x80, 1, 2, 4, 8, 16, 32, 64, (char)0x80);
    __m256i at = _mm256_and_si256(_mm256_srli_epi16(v, 3), _mm256_set1_epi8(15));
    __m256i bytes = _mm256_blendv_epi8(_mm256_shuffle_epi8(set_low, at),
                                       _mm256_shuffle_epi8(set_high, at), v); /* by the top bit */
    __m256i bit = _mm256_shuffle_epi8(bit_of, _mm256_and_si256(v, _mm256_set1_epi8(7)));

    return mask8(_mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit));
}

static AVX2 void avx2_set8(const void *values, size_t words, const uint8_t set[32], uint64_t *out)
{
    const uint8_t *v = values;
    __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)set));
    __m256i high =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(set + 16)));

    for (size_t w = 0; w < words; w++, v += 64) {
        out[w] = avx2_set8_half(load(v), low, high) | avx2_set8_half(load(v + 32), low, high) << 32;
    }
}

static const struct column_kernels avx2 = { "avx2",   avx2_u8,  avx2_u16, avx2_u32,
                                            avx2_u64, avx2_f32, avx2_f64, avx2_set8 };

/* ---- AVX-512: compares give bits ------------------------------------------------------------------- */

#define AVX512 __attribute__((target("avx512f,avx512bw")))

#define AVX512_UNSIGNED(name, type, n, set1, number, sub, cmp)                                     \
    static AVX512 void name(const void *values, size_t words, uint64_t lo, uint64_t hi,            \
                            uint64_t *out)                                                         \
    {                                                                                              \
        const type *v = values;                                                                    \
        __m512i low = set1((number)lo), span = set1((number)(hi - lo));                            \
                                                                                                   \
        for (size_t w = 0; w < words; w++, v += 64) {                                              \
            uint64_t bits = 0;                                                                     \
                                                                                                   \
            for (unsigned i = 0; i < 64; i += (n)) {                                               \
                bits |= (uint64_t)cmp(sub(_mm512_loadu_si512(v + i), low), span) << i;             \
            }                                                                                      \
            out[w] = bits;                                                                         \
        }                                                                                          \
    }
AVX512_UNSIGNED(avx512_u8, uint8_t, 64, _mm512_set1_epi8, char, _mm512_sub_epi8,
                _mm512_cmple_epu8_mask)
AVX512_UNSIGNED(avx512_u32, uint32_t, 16, _mm512_set1_epi32, int, _mm512_sub_epi32,
                _mm512_cmple_epu32_mask)
AVX512_UNSIGNED(avx512_u64, uint64_t, 8, _mm512_set1_epi64, long long, _mm512_sub_epi64,
                _mm512_cmple_epu64_mask)

/* Two words of 32 bits: gcc 12 with -O1 -fsanitize=undefined loses the upper mask in the loop of the others. */
static AVX512 void avx512_u16(const void *values, size_t words, uint64_t lo, uint64_t hi,
                              uint64_t *out)
{
    const uint16_t *v = values;
    __m512i low = _mm512_set1_epi16((short)lo), span = _mm512_set1_epi16((short)(hi - lo));

    for (size_t w = 0; w < words; w++, v += 64) {
        __m512i a = _mm512_sub_epi16(_mm512_loadu_si512(v), low);
        __m512i b = _mm512_sub_epi16(_mm512_loadu_si512(v + 32), low);
        uint32_t halves[2] = { _mm512_cmple_epu16_mask(a, span), _mm512_cmple_epu16_mask(b, span) };

        memcpy(&out[w], halves, sizeof(out[w]));
    }
}

static AVX512 void avx512_f32(const void *values, size_t words, float lo, float hi, uint64_t *out)
{
    const float *v = values;
    __m512 low = _mm512_set1_ps(lo), high = _mm512_set1_ps(hi);

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i += 16) {
            __m512 a = _mm512_loadu_ps(v + i);
            __mmask16 m = _mm512_cmp_ps_mask(a, low, _CMP_GE_OQ);

            bits |= (uint64_t)_mm512_mask_cmp_ps_mask(m, a, high, _CMP_LE_OQ) << i;
        }
        out[w] = bits;
    }
}

static AVX512 void avx512_f64(const void *values, size_t words, double lo, double hi, uint64_t *out)
{
    const double *v = values;
    __m512d low = _mm512_set1_pd(lo), high = _mm512_set1_pd(hi);

    for (size_t w = 0; w < words; w++, v += 64) {
        uint64_t bits = 0;

        for (unsigned i = 0; i < 64; i += 8) {
            __m512d a = _mm512_loadu_pd(v + i);
            __mmask8 m = _mm512_cmp_pd_mask(a, low, _CMP_GE_OQ);

            bits |= (uint64_t)_mm512_mask_cmp_pd_mask(m, a, high, _CMP_LE_OQ) << i;
        }
        out[w] = bits;
    }
}

static const struct column_kernels avx512 = { "avx512",   avx512_u8,  avx512_u16, avx512_u32,
                                              avx512_u64, avx512_f32, avx512_f64, avx2_set8 };
#endif

/* ---- choice ------------------------------------------------------------------------------------------ */

const struct column_kernels *column_kernels_at(size_t i)
{
#if defined(__x86_64__)
    if (i == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx2")) {
        return &avx512;
    }
    if (i == 1 && __builtin_cpu_supports("avx2")) {
        return &avx2;
    }
#endif
    return i == 0 ? &portable : NULL;
}

const struct column_kernels *column_kernels(void)
{
    const struct column_kernels *k = column_kernels_at(2);

    if (!k) {
        k = column_kernels_at(1);
    }
    return k ? k : &portable;
}
